-- Payments and matching: reporting views and rights.

CREATE OR REPLACE VIEW o2c_bi.cash_matches WITH (security_invoker = true) AS
SELECT m.company_id, b.line_id, i.number, u.amount AS applied_amount,
  CASE m.state WHEN 'suggested' THEN 'suggested' WHEN 'accepted' THEN 'accepted' ELSE 'auto' END AS status,
  m.rule, m.confidence, m.explanation, m.option, m.id AS proposal_id, m.payment_id,
  b.booking_date, b.amount AS line_amount, b.currency::text AS currency, c.code AS customer_code,
  nullif(u.settled, 0) AS settled_amount, m.settle_kind::text AS settle_kind, b.payer_name, b.remittance_text
FROM o2c.match_proposal m
JOIN o2c.bank_line b ON b.company_id = m.company_id AND b.id = m.bank_line_id
CROSS JOIN LATERAL ROWS FROM (pg_catalog.unnest(m.item_ids), pg_catalog.unnest(m.amounts), pg_catalog.unnest(m.settled))
  AS u(item_id, amount, settled)
JOIN o2c.open_item i ON i.company_id = m.company_id AND i.id = u.item_id
LEFT JOIN o2c.customer c ON c.company_id = i.company_id AND c.id = i.customer_id
WHERE m.state IN ('auto', 'suggested', 'accepted');
COMMENT ON VIEW o2c_bi.cash_matches IS
  'What each bank line pays: posted by itself (auto), accepted by a person, or suggested (option 1 first); applied_amount is cash.';

GRANT INSERT, UPDATE ON o2c.payment, o2c.match_proposal, o2c.payer_alias, o2c.match_watermark TO o2c_clerk, o2c_manager, o2c_admin;
GRANT UPDATE (state, payment_id) ON o2c.bank_line TO o2c_clerk, o2c_manager, o2c_admin;
GRANT INSERT, UPDATE, DELETE ON o2c.match_rule, o2c.tolerance, o2c.payer_alias TO o2c_admin;
GRANT INSERT ON o2c.settled_number, o2c.payment_history TO o2c_admin;
GRANT EXECUTE ON FUNCTION o2c._match_lines, o2c._match_payers, o2c._match_candidates, o2c._match_all_of_payer,
  o2c._match_weigh, o2c._match_decide, o2c._match_post, o2c.match_cash, o2c._weigh_lines
  TO o2c_clerk, o2c_manager, o2c_admin;
GRANT EXECUTE ON FUNCTION o2c.import_payment_history TO o2c_admin;
