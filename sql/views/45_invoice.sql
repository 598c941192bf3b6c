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

GRANT INSERT, UPDATE, DELETE ON o2c.number_series, o2c.billing_policy, o2c.subscription TO o2c_admin;
GRANT INSERT, UPDATE, DELETE ON o2c.invoice, o2c.invoice_line, o2c.invoice_allowance, o2c.invoice_tax,
  o2c.billing_milestone TO o2c_clerk;
GRANT EXECUTE ON FUNCTION o2c._seed_company_invoice TO o2c_admin;
GRANT EXECUTE ON FUNCTION o2c._draw_block, o2c._draw_numbers, o2c._next_number, o2c._recalculate, o2c._total,
  o2c.recalculate_invoice, o2c._require_draft, o2c._bill_orders, o2c._deduct_prepayments, o2c._bill_milestones,
  o2c._bill_subscriptions, o2c.prepayment_invoice, o2c.invoice_order, o2c.run_billing, o2c.drop_draft,
  o2c._issue, o2c._post_invoices, o2c.issue_invoice, o2c.issue_invoices, o2c.void_invoice,
  o2c.credit_invoice, o2c._settle_credit
  TO o2c_clerk;
GRANT EXECUTE ON FUNCTION o2c._cash_step, o2c._expected_taxes, o2c._seller, o2c._payment_means, o2c._invoice_faults,
  o2c.invoice_faults, o2c._billable_lines, o2c._default_term, o2c._require_open_period, o2c._credit_left, o2c._credit_lines
  TO o2c_reader, o2c_clerk, o2c_collector, o2c_manager, o2c_admin, o2c_dispatcher;
