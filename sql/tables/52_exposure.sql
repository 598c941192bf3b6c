-- What open items add to the exposure of their customers.
CREATE TRIGGER open_item_credit_insert AFTER INSERT ON o2c.open_item
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION o2c.credit_on_items();
CREATE TRIGGER open_item_credit_update AFTER UPDATE ON o2c.open_item
  REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION o2c.credit_on_items();
CREATE TRIGGER open_item_credit_delete AFTER DELETE ON o2c.open_item
  REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION o2c.credit_on_items();

-- Until an invoice is issued its order lines count; from then on its open item.
CREATE TRIGGER invoice_credit AFTER UPDATE ON o2c.invoice
  REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION o2c.credit_on_invoices();
