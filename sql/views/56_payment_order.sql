-- Payment orders: rights and the view of mandates.
CREATE OR REPLACE VIEW o2c_bi.mandates WITH (security_invoker = true) AS
SELECT m.company_id, m.id AS mandate_id, c.code AS customer_code, m.reference, m.scheme, m.recurrent, m.iban::text AS iban,
  m.holder, m.signed_on, m.last_collected_on, m.revoked_on,
  (m.revoked_on IS NULL AND (m.recurrent OR m.last_collected_on IS NULL)
   AND coalesce(m.last_collected_on, m.signed_on) > o2c.today(m.company_id) - '36 months'::interval) AS usable
FROM o2c.mandate m JOIN o2c.customer c ON c.company_id = m.company_id AND c.id = m.customer_id;
COMMENT ON VIEW o2c_bi.mandates IS 'Mandates for direct debits, with whether they can be used today.';
COMMENT ON COLUMN o2c_bi.mandates.company_id IS 'Company.';
COMMENT ON COLUMN o2c_bi.mandates.mandate_id IS 'The mandate.';
COMMENT ON COLUMN o2c_bi.mandates.customer_code IS 'Who gave it.';
COMMENT ON COLUMN o2c_bi.mandates.reference IS 'Unique mandate reference.';
COMMENT ON COLUMN o2c_bi.mandates.scheme IS 'CORE, COR1 or B2B.';
COMMENT ON COLUMN o2c_bi.mandates.recurrent IS 'False for one collection only.';
COMMENT ON COLUMN o2c_bi.mandates.iban IS 'Account to collect from.';
COMMENT ON COLUMN o2c_bi.mandates.holder IS 'Holder of that account.';
COMMENT ON COLUMN o2c_bi.mandates.signed_on IS 'Day of signature.';
COMMENT ON COLUMN o2c_bi.mandates.last_collected_on IS 'Day of the latest collection.';
COMMENT ON COLUMN o2c_bi.mandates.revoked_on IS 'Nothing is collected from this day on.';
COMMENT ON COLUMN o2c_bi.mandates.usable IS 'Whether it can be used today: not revoked, not spent, not lapsed after 36 months.';

GRANT INSERT, UPDATE ON o2c.mandate, o2c.payment_order, o2c.payment_order_line TO o2c_clerk, o2c_manager, o2c_admin;
GRANT EXECUTE ON FUNCTION o2c.create_mandate, o2c.revoke_mandate, o2c._order_account, o2c.first_order_day, o2c._require_order_day, o2c._lock_ordering, o2c.collect_direct_debits, o2c.order_refunds,
  o2c._xml_agent, o2c._debit_xml, o2c._transfer_xml, o2c._payment_order, o2c.payment_order_xml, o2c.void_payment_order,
  o2c.settle_payment_order, o2c._payment_order_line_of, o2c._sepa_text, o2c._refuse_sepa_amount
  TO o2c_clerk, o2c_manager, o2c_admin;
GRANT UPDATE (last_statement_id, last_statement_date, last_balance) ON o2c.bank_account TO o2c_admin;
GRANT EXECUTE ON FUNCTION o2c._check_payment_order TO o2c_clerk, o2c_collector, o2c_manager, o2c_admin, o2c_dispatcher;
