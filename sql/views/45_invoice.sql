-- Invoices: the reporting view and rights.

CREATE OR REPLACE VIEW o2c_bi.invoices WITH (security_invoker = true) AS
SELECT i.company_id, i.id AS invoice_id, i.kind, i.state::text AS state, i.number, i.issue_date, i.due_date,
       c.code AS customer_code, coalesce(i.buyer ->> 'name', c.name) AS customer_name,
       o.code AS order_code, r.number AS original_number,
       i.currency::text AS currency, i.net_amount, i.tax_amount, i.total_amount, i.payable_amount,
       coalesce(i.open_amount, 0) AS open_amount, i.payment_term, i.payment_reference::text AS payment_reference,
       i.customer_reference, i.supply_date, i.issued_at
FROM o2c.invoice i
JOIN o2c.customer c ON c.company_id = i.company_id AND c.id = i.customer_id
LEFT JOIN o2c.sales_order o ON o.company_id = i.company_id AND o.id = i.order_id
LEFT JOIN o2c.invoice r ON r.company_id = i.company_id AND r.id = i.original_id;
COMMENT ON VIEW o2c_bi.invoices IS
  'Every invoice, credit note and debit note, drafts included; credit notes have positive totals and a negative open amount.';
COMMENT ON COLUMN o2c_bi.invoices.company_id IS 'Company.';
COMMENT ON COLUMN o2c_bi.invoices.invoice_id IS 'Id of the document.';
COMMENT ON COLUMN o2c_bi.invoices.kind IS 'invoice, credit_note, debit_note or prepayment.';
COMMENT ON COLUMN o2c_bi.invoices.state IS 'draft, issued, paid, written_off, credited or void.';
COMMENT ON COLUMN o2c_bi.invoices.number IS 'Number; NULL for drafts.';
COMMENT ON COLUMN o2c_bi.invoices.issue_date IS 'Date of the document.';
COMMENT ON COLUMN o2c_bi.invoices.due_date IS 'When the last instalment is due.';
COMMENT ON COLUMN o2c_bi.invoices.customer_code IS 'The user''s key of the customer.';
COMMENT ON COLUMN o2c_bi.invoices.customer_name IS 'Name as on the document.';
COMMENT ON COLUMN o2c_bi.invoices.order_code IS 'Order, when the document is of one alone.';
COMMENT ON COLUMN o2c_bi.invoices.original_number IS 'Number of the invoice that a credit or debit note corrects.';
COMMENT ON COLUMN o2c_bi.invoices.currency IS 'Currency of all amounts.';
COMMENT ON COLUMN o2c_bi.invoices.net_amount IS 'Total without tax.';
COMMENT ON COLUMN o2c_bi.invoices.tax_amount IS 'Tax.';
COMMENT ON COLUMN o2c_bi.invoices.total_amount IS 'Total with tax.';
COMMENT ON COLUMN o2c_bi.invoices.payable_amount IS 'To be paid: total less prepaid plus rounding.';
COMMENT ON COLUMN o2c_bi.invoices.open_amount IS 'Not paid yet; negative for credit notes.';
COMMENT ON COLUMN o2c_bi.invoices.payment_term IS 'Code of the payment term.';
COMMENT ON COLUMN o2c_bi.invoices.payment_reference IS 'Creditor reference (ISO 11649).';
COMMENT ON COLUMN o2c_bi.invoices.customer_reference IS 'The customer''s order number.';
COMMENT ON COLUMN o2c_bi.invoices.supply_date IS 'Date of delivery or service.';
COMMENT ON COLUMN o2c_bi.invoices.issued_at IS 'When the number was drawn.';

GRANT SELECT ON o2c.code_list TO o2c_clerk, o2c_collector, o2c_manager, o2c_admin, o2c_dispatcher;
GRANT INSERT, UPDATE, DELETE ON o2c.number_series, o2c.billing_policy, o2c.subscription TO o2c_admin;
-- one column is enough to lock a row; what is billed stays with o2c_admin
GRANT UPDATE (description) ON o2c.subscription TO o2c_clerk;
GRANT INSERT, UPDATE, DELETE ON o2c.invoice, o2c.invoice_line, o2c.invoice_allowance, o2c.invoice_tax,
  o2c.billing_milestone TO o2c_clerk;
GRANT EXECUTE ON FUNCTION o2c._seed_company_invoice TO o2c_admin;
GRANT EXECUTE ON FUNCTION o2c._draw_block, o2c._draw_numbers, o2c._next_number, o2c._recalculate, o2c._total,
  o2c.recalculate_invoice, o2c._require_draft, o2c._lock_billed_orders, o2c._bill_orders, o2c._bill_shipping, o2c._lock_prepayments, o2c._deduct_prepayments, o2c._bill_milestones,
  o2c._bill_subscriptions, o2c.prepayment_invoice, o2c.invoice_order, o2c.run_billing, o2c.drop_draft,
  o2c._issue, o2c._issue_drafts, o2c._held_drafts, o2c._settle_nothing, o2c._post_invoices, o2c.issue_invoice, o2c.issue_invoices, o2c.void_invoice,
  o2c.credit_invoice, o2c._require_rebillable, o2c.debit_invoice, o2c._settle_credit, o2c.import_ubl_order
  TO o2c_clerk;
GRANT EXECUTE ON FUNCTION o2c._cash_step, o2c._expected_taxes, o2c._expected_totals, o2c._seller, o2c._payment_means, o2c._invoice_faults, o2c._require_no_fault,
  o2c.invoice_faults, o2c._ubl_unit, o2c._payment_terms_text, o2c._ubl_lines, o2c._invoice_ubl, o2c._ubl_faults, o2c.invoice_ubl, o2c._invoice_context, o2c._check_invoice, o2c._warnings_invoice, o2c.invoice_html, o2c._billable_lines, o2c._default_term, o2c._require_open_period, o2c._credit_left, o2c._credit_lines, o2c._debit_lines
  TO o2c_clerk, o2c_collector, o2c_manager, o2c_admin, o2c_dispatcher;
