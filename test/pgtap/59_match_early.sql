-- Money that comes before its invoice is dated: what settles the invoice beside the cash counts from the invoice's day.
BEGIN;
SELECT plan(5);
SELECT o2c.create_company('Early', 'DE', 'EUR') AS c \gset
INSERT INTO o2c.customer (company_id, code, name, iban) VALUES (:c, 'E', 'Early Bird AG', 'DE89370400440532013000');
INSERT INTO o2c.bank_account (company_id, code) VALUES (:c, 'B') RETURNING id AS bank \gset
UPDATE o2c.tolerance SET difference = 0.05, percent = 1 WHERE company_id = :c AND customer_id IS NULL;
CREATE TEMPORARY TABLE items AS SELECT * FROM (VALUES
  ('EB-50001', 100.00, NULL::date, NULL::numeric), ('EB-50002', 200.00, '2025-03-20'::date, 4.00)) v(number, amount, discount_date, discount_amount),
  (VALUES ('E', '2025-03-10'::date, '2025-04-09'::date, 'EUR')) d(customer_code, document_date, due_date, currency);
SELECT o2c.import_open_items(:c, 'items') \g /dev/null
INSERT INTO o2c.bank_line (company_id, bank_account_id, line_id, booking_date, amount, currency, payer_name, payer_iban, remittance_text) VALUES
  (:c, :bank, 'cent', '2025-03-03', 99.98, 'EUR', 'Early Bird AG', 'DE89370400440532013000', 'EB-50001'),
  (:c, :bank, 'less', '2025-03-04', 196.00, 'EUR', 'Early Bird AG', 'DE89370400440532013000', 'EB-50002 less 2 %');
SELECT results_eq(format('SELECT lines, auto_lines FROM o2c.match_cash(%s)', :c), 'VALUES (2::bigint, 2::bigint)', 'both are applied');
SELECT results_eq(format($$SELECT i.number, e.kind::text, e.amount, e.effective_on FROM o2c.ledger_entry e JOIN o2c.open_item i ON i.company_id = e.company_id AND i.id = e.item_id
  WHERE e.company_id = %s AND e.allocation_id IS NULL AND i.number LIKE 'EB%%' AND e.kind <> 'opening' ORDER BY 1$$, :c),
  $$VALUES ('EB-50001', 'write_off', -0.02, date '2025-03-10'), ('EB-50002', 'discount', -4.00, '2025-03-10')$$, 'what the cash leaves is settled when the invoices exist');
SELECT is((SELECT sum(abs(open_amount)) FROM o2c.open_item WHERE company_id = :c), 0.00, 'nothing is open');
SELECT is((SELECT sum(unapplied) FROM o2c.aging(:c, '2025-03-05')), -295.98, 'the money is on account until then');
SELECT is((SELECT count(*) FROM o2c.check(:c)), 0::bigint, 'nothing is violated');
SELECT * FROM finish();
ROLLBACK;
