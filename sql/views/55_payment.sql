-- Payments and matching: reporting views and rights.

CREATE OR REPLACE VIEW o2c_bi.cash_matches WITH (security_invoker = true) AS
SELECT m.company_id, b.line_id, i.number, m.cash AS applied_amount,
  CASE m.state WHEN 'suggested' THEN 'suggested' WHEN 'accepted' THEN 'accepted' ELSE 'auto' END AS status,
  m.rule, m.confidence, m.explanation, m.option::bigint AS option, m.id AS proposal_id, m.payment_id,
  b.booking_date, b.amount AS line_amount, b.currency::text AS currency, c.code AS customer_code,
  nullif(m.more, 0) AS settled_amount, m.settle_kind::text AS settle_kind, b.payer_name, b.remittance_text
-- unnested first, so that items are joined by their whole key at once
FROM (SELECT p.company_id, p.id, p.bank_line_id, p.payment_id, p.state, p.rule, p.confidence, p.explanation, p.option, p.settle_kind,
        pg_catalog.unnest(p.item_ids) AS item_id, pg_catalog.unnest(p.amounts) AS cash, pg_catalog.unnest(p.settled) AS more
      FROM o2c.match_proposal p WHERE p.state IN ('auto', 'suggested', 'accepted')) m
JOIN o2c.bank_line b ON b.company_id = m.company_id AND b.id = m.bank_line_id
JOIN o2c.open_item i ON i.company_id = m.company_id AND i.id = m.item_id
LEFT JOIN o2c.customer c ON c.company_id = i.company_id AND c.id = i.customer_id;
COMMENT ON VIEW o2c_bi.cash_matches IS
  'What each bank line pays: posted by itself (auto), accepted by a person, or suggested (option 1 first); applied_amount is cash.';

CREATE OR REPLACE VIEW o2c_bi.payments WITH (security_invoker = true) AS
SELECT p.company_id, p.id AS payment_id, p.state::text AS state, c.code AS customer_code, c.name AS customer_name,
  p.received_on, p.value_date, p.amount, p.currency::text AS currency,
  coalesce(a.applied, 0) AS applied_amount, - i.open_amount AS open_amount, coalesce(r.refunded, 0) AS refunded_amount,
  p.method, p.reference, b.line_id, b.payer_name, b.remittance_text, p.returned_on, p.return_reason, a.numbers,
  (SELECT pg_catalog.count(*) FROM o2c.match_proposal m WHERE m.company_id = p.company_id AND m.payment_id = p.id
   AND m.state = 'suggested') AS suggestions
FROM o2c.payment p
JOIN o2c.open_item i ON i.company_id = p.company_id AND i.id = p.item_id
LEFT JOIN o2c.customer c ON c.company_id = p.company_id AND c.id = p.customer_id
LEFT JOIN o2c.bank_line b ON b.company_id = p.company_id AND b.id = p.bank_line_id
LEFT JOIN LATERAL (
  SELECT pg_catalog.sum(x.amount) AS applied, pg_catalog.string_agg(x.number, ', ' ORDER BY x.number) AS numbers
  FROM (SELECT d.number, pg_catalog.sum(l.amount) AS amount
        FROM o2c.allocation l JOIN o2c.open_item d ON d.company_id = l.company_id AND d.id = l.debit_item_id
        WHERE l.company_id = p.company_id AND l.credit_item_id IN (p.item_id, i.source_item_id)
        GROUP BY d.number HAVING pg_catalog.sum(l.amount) <> 0) x) a ON true
LEFT JOIN LATERAL (
  SELECT pg_catalog.sum(f.amount) AS refunded FROM o2c.refund f
  WHERE f.company_id = p.company_id AND f.payment_id = p.id AND f.state = 'approved') r ON true;
COMMENT ON VIEW o2c_bi.payments IS 'Each payment with what became of it.';

CREATE OR REPLACE VIEW o2c_bi.match_quality WITH (security_invoker = true) AS
WITH total AS (
  SELECT b.company_id, pg_catalog.count(*) AS lines, pg_catalog.sum(b.amount) AS amount
  FROM o2c.bank_line b WHERE b.amount > 0 GROUP BY 1),
-- documents that people paid by hand from bank lines
by_hand AS (
  SELECT p.company_id, pg_catalog.count(DISTINCT (a.credit_item_id, a.debit_item_id)) AS items
  FROM o2c.payment p JOIN o2c.allocation a ON a.company_id = p.company_id AND a.credit_item_id = p.item_id
  WHERE p.bank_line_id IS NOT NULL AND a.amount > 0
    AND NOT EXISTS (SELECT FROM o2c.allocation r WHERE r.company_id = a.company_id AND r.reverses_id = a.id)
    AND NOT EXISTS (SELECT FROM o2c.match_proposal m WHERE m.company_id = p.company_id AND m.payment_id = p.id AND m.state IN ('auto', 'accepted'))
  GROUP BY 1),
answer AS (
  SELECT m.company_id, m.rule, m.payment_id, m.state,
    m.state = 'auto' OR (m.state = 'reversed' AND m.was_automatic IS NOT FALSE) AS automatic,
    m.state = 'accepted' OR (m.state = 'reversed' AND m.was_automatic IS FALSE) AS accepted,
    -- what the bank took back was not wrong
    m.state = 'reversed' AND p.state <> 'returned' AS corrected,
    pg_catalog.cardinality(m.item_ids) AS items,
    (SELECT pg_catalog.sum(x) FROM pg_catalog.unnest(m.amounts) x) AS amount
  FROM o2c.match_proposal m JOIN o2c.payment p ON p.company_id = m.company_id AND p.id = m.payment_id),
grouped AS (
  SELECT a.company_id, a.rule, pg_catalog.count(DISTINCT a.payment_id) AS lines,
    pg_catalog.count(*) FILTER (WHERE a.automatic) AS auto_lines,
    coalesce(pg_catalog.sum(a.items) FILTER (WHERE a.automatic), 0) AS auto_items,
    coalesce(pg_catalog.sum(a.items) FILTER (WHERE a.accepted), 0) AS accepted_items,
    coalesce(pg_catalog.sum(a.amount) FILTER (WHERE a.automatic), 0) AS auto_amount,
    pg_catalog.count(DISTINCT a.payment_id) FILTER (WHERE a.state = 'suggested') AS suggested_lines,
    pg_catalog.count(*) FILTER (WHERE a.accepted) AS accepted_lines,
    pg_catalog.count(DISTINCT a.payment_id) FILTER (WHERE a.state = 'rejected') AS rejected_lines,
    pg_catalog.count(*) FILTER (WHERE a.automatic AND a.corrected) AS corrected_lines
  FROM answer a GROUP BY GROUPING SETS ((a.company_id, a.rule), (a.company_id)))
SELECT g.company_id, g.rule, CASE WHEN g.rule IS NULL THEN t.lines ELSE g.lines END AS lines, g.auto_lines,
  pg_catalog.round(g.auto_lines::numeric / nullif(CASE WHEN g.rule IS NULL THEN t.lines ELSE g.lines END, 0), 4) AS auto_rate,
  g.auto_items, g.auto_amount, pg_catalog.round(g.auto_amount / nullif(t.amount, 0), 4) AS auto_amount_rate,
  g.suggested_lines, g.accepted_lines, g.rejected_lines, g.corrected_lines,
  pg_catalog.round(1 - g.corrected_lines::numeric / nullif(g.auto_lines, 0), 6) AS precision,
  pg_catalog.round(g.auto_items::numeric / nullif(g.auto_items + g.accepted_items + CASE WHEN g.rule IS NULL THEN coalesce(h.items, 0) ELSE 0 END, 0), 4) AS auto_item_rate
FROM grouped g JOIN total t ON t.company_id = g.company_id LEFT JOIN by_hand h ON h.company_id = g.company_id;
COMMENT ON VIEW o2c_bi.match_quality IS
  'How much the engine posts by itself, by line, document and value, and how much of it was undone later; per rule and over all.';

-- everything that happened to a payment, a row each
CREATE OR REPLACE VIEW o2c_bi.payment_events WITH (security_invoker = true) AS
WITH item AS NOT MATERIALIZED (
  -- its item, and the one it stood on before its payer was known
  SELECT p.company_id, p.id AS payment_id, p.currency, p.item_id FROM o2c.payment p
  UNION ALL
  SELECT p.company_id, p.id, p.currency, i.source_item_id
  FROM o2c.payment p JOIN o2c.open_item i ON i.company_id = p.company_id AND i.id = p.item_id
  WHERE i.source_item_id IS NOT NULL)
SELECT p.company_id, p.id AS payment_id, p.created_at AS happened_at, p.received_on AS effective_on, 'received' AS step,
  NULL::text AS number, p.amount, p.currency::text AS currency, p.created_by AS actor,
  coalesce(b.remittance_text, p.reference) AS note
FROM o2c.payment p LEFT JOIN o2c.bank_line b ON b.company_id = p.company_id AND b.id = p.bank_line_id
UNION ALL
SELECT t.company_id, t.payment_id, e.recorded_at, e.effective_on,
  CASE WHEN e.allocation_id IS NOT NULL THEN CASE WHEN e.amount > 0 THEN 'applied' ELSE 'unapplied' END
    WHEN e.kind = 'transfer' THEN 'identified' WHEN e.kind = 'refund' AND e.amount > 0 THEN 'refunded' WHEN e.kind = 'return' THEN 'returned'
    WHEN e.kind = 'write_off' AND e.amount > 0 THEN 'written_off' ELSE e.kind || CASE WHEN e.reverses_id IS NULL THEN '' ELSE '_reversed' END END,
  CASE e.kind WHEN 'transfer' THEN k.code ELSE d.number END, pg_catalog.abs(e.amount), e.currency::text, NULL, coalesce(a.reason, e.reason)
FROM item t
JOIN o2c.ledger_entry e ON e.company_id = t.company_id AND e.item_id = t.item_id
LEFT JOIN o2c.allocation a ON a.company_id = e.company_id AND a.id = e.allocation_id
LEFT JOIN o2c.open_item d ON d.company_id = a.company_id AND d.id = a.debit_item_id
LEFT JOIN o2c.customer k ON k.company_id = e.company_id AND k.id = e.customer_id
WHERE e.kind <> 'receipt' AND NOT (e.kind = 'transfer' AND e.customer_id IS NULL)
UNION ALL
-- what was settled with it beyond the money, and took its way back
SELECT s.company_id, s.payment_id, e.recorded_at, e.effective_on, e.kind || CASE WHEN e.reverses_id IS NULL THEN '' ELSE '_reversed' END,
  i.number, pg_catalog.abs(e.amount), e.currency::text, NULL, CASE WHEN e.reverses_id IS NOT NULL THEN e.reason END
FROM (SELECT DISTINCT t.company_id, t.payment_id, a.debit_item_id
      FROM item t JOIN o2c.allocation a ON a.company_id = t.company_id AND a.credit_item_id = t.item_id) s
JOIN o2c.ledger_entry e ON e.company_id = s.company_id AND e.item_id = s.debit_item_id AND e.allocation_id IS NULL
  AND e.kind IN ('discount', 'write_off', 'charge')
  AND (e.reason = 'payment ' || s.payment_id OR EXISTS (SELECT FROM o2c.ledger_entry o
    WHERE o.company_id = e.company_id AND o.id = e.reverses_id AND o.reason = 'payment ' || s.payment_id))
JOIN o2c.open_item i ON i.company_id = e.company_id AND i.id = e.item_id
UNION ALL
SELECT m.company_id, m.payment_id, v.happened_at, b.booking_date, v.step,
  (SELECT pg_catalog.string_agg(i.number, ', ' ORDER BY i.number) FROM o2c.open_item i
   WHERE i.company_id = m.company_id AND i.id = ANY (m.item_ids)),
  (SELECT pg_catalog.sum(x) FROM pg_catalog.unnest(m.amounts) x), b.currency::text, v.actor, m.explanation
FROM o2c.match_proposal m
JOIN o2c.bank_line b ON b.company_id = m.company_id AND b.id = m.bank_line_id
CROSS JOIN LATERAL (
  SELECT m.created_at AS happened_at, CASE WHEN m.state = 'auto' OR m.was_automatic THEN 'matched' ELSE 'suggested' END AS step, NULL::text AS actor
  UNION ALL
  SELECT m.decided_at, 'match_' || m.state, m.decided_by WHERE m.state <> 'auto' AND m.decided_at IS NOT NULL) v
UNION ALL
SELECT r.company_id, r.payment_id, v.happened_at, NULL, v.step, NULL, r.amount, r.currency::text, v.actor, r.reason
FROM o2c.refund r
CROSS JOIN LATERAL (VALUES (r.requested_at, 'refund_requested', r.requested_by),
  (r.approved_at, 'refund_' || r.state, r.approved_by)) v (happened_at, step, actor)
WHERE v.happened_at IS NOT NULL
UNION ALL
SELECT l.company_id, coalesce(l.payment_id, r.payment_id), o.created_at, o.requested_on,
  CASE o.kind WHEN 'transfer' THEN 'refund_ordered' ELSE 'collection_ordered' END, i.number, l.amount, l.currency::text, o.created_by,
  l.end_to_end_id || CASE WHEN o.state = 'void' THEN ' (void)' ELSE '' END
FROM o2c.payment_order_line l
JOIN o2c.payment_order o ON o.company_id = l.company_id AND o.id = l.payment_order_id
LEFT JOIN o2c.refund r ON r.company_id = l.company_id AND r.id = l.refund_id
LEFT JOIN o2c.open_item i ON i.company_id = l.company_id AND i.id = l.item_id
WHERE coalesce(l.payment_id, r.payment_id) IS NOT NULL;
COMMENT ON VIEW o2c_bi.payment_events IS
  'A payment''s whole history, a row each: received, suggested and decided, identified, applied and taken back, what was settled with it, returned, refunded.';

COMMENT ON COLUMN o2c_bi.payment_events.company_id IS 'The company.';
COMMENT ON COLUMN o2c_bi.payment_events.payment_id IS 'The payment.';
COMMENT ON COLUMN o2c_bi.payment_events.happened_at IS 'When it was recorded.';
COMMENT ON COLUMN o2c_bi.payment_events.effective_on IS 'From when it counts.';
COMMENT ON COLUMN o2c_bi.payment_events.step IS 'received, matched, suggested, match_accepted, match_rejected, match_reversed, match_superseded, identified, applied, unapplied, discount, write_off, charge (and each with _reversed), returned, refund_requested, refund_approved, refund_ordered, refunded, collection_ordered.';
COMMENT ON COLUMN o2c_bi.payment_events.number IS 'Document, or the customer who was identified.';
COMMENT ON COLUMN o2c_bi.payment_events.amount IS 'Amount of the step.';
COMMENT ON COLUMN o2c_bi.payment_events.currency IS 'Its currency.';
COMMENT ON COLUMN o2c_bi.payment_events.actor IS 'Who did it, where a person did.';
COMMENT ON COLUMN o2c_bi.payment_events.note IS 'The payers words, the engines sentence, or the reason.';

COMMENT ON COLUMN o2c_bi.cash_matches.company_id IS 'The company.';
COMMENT ON COLUMN o2c_bi.cash_matches.line_id IS 'Identity of the bank line.';
COMMENT ON COLUMN o2c_bi.cash_matches.number IS 'Number of the document paid.';
COMMENT ON COLUMN o2c_bi.cash_matches.applied_amount IS 'Cash applied, in the line''s currency; negative for a credit note that was deducted.';
COMMENT ON COLUMN o2c_bi.cash_matches.status IS 'auto, suggested or accepted.';
COMMENT ON COLUMN o2c_bi.cash_matches.rule IS 'The rule of o2c.match_rule that found it.';
COMMENT ON COLUMN o2c_bi.cash_matches.confidence IS '0 to 1.';
COMMENT ON COLUMN o2c_bi.cash_matches.explanation IS 'What was found, in a sentence.';
COMMENT ON COLUMN o2c_bi.cash_matches.option IS 'Rank among the suggestions of the line, from 1.';
COMMENT ON COLUMN o2c_bi.cash_matches.proposal_id IS 'For accept_match and reject_match.';
COMMENT ON COLUMN o2c_bi.cash_matches.payment_id IS 'The payment that the line became.';
COMMENT ON COLUMN o2c_bi.cash_matches.booking_date IS 'Day of the bank line.';
COMMENT ON COLUMN o2c_bi.cash_matches.line_amount IS 'Amount of the bank line.';
COMMENT ON COLUMN o2c_bi.cash_matches.currency IS 'Its currency.';
COMMENT ON COLUMN o2c_bi.cash_matches.customer_code IS 'Customer of the document.';
COMMENT ON COLUMN o2c_bi.cash_matches.settled_amount IS 'Settled beyond the cash.';
COMMENT ON COLUMN o2c_bi.cash_matches.settle_kind IS 'As what: discount, write_off or charge.';
COMMENT ON COLUMN o2c_bi.cash_matches.payer_name IS 'The payer as the bank wrote it.';
COMMENT ON COLUMN o2c_bi.cash_matches.remittance_text IS 'The payer''s words.';
COMMENT ON COLUMN o2c_bi.payments.company_id IS 'The company.';
COMMENT ON COLUMN o2c_bi.payments.payment_id IS 'The payment.';
COMMENT ON COLUMN o2c_bi.payments.state IS 'received, applied or returned.';
COMMENT ON COLUMN o2c_bi.payments.customer_code IS 'Whose account it is on; null = unidentified.';
COMMENT ON COLUMN o2c_bi.payments.customer_name IS 'Name of that customer.';
COMMENT ON COLUMN o2c_bi.payments.received_on IS 'Day of receipt.';
COMMENT ON COLUMN o2c_bi.payments.value_date IS 'Value date, when the bank gave it.';
COMMENT ON COLUMN o2c_bi.payments.amount IS 'Amount received.';
COMMENT ON COLUMN o2c_bi.payments.currency IS 'Its currency.';
COMMENT ON COLUMN o2c_bi.payments.applied_amount IS 'Applied to documents.';
COMMENT ON COLUMN o2c_bi.payments.open_amount IS 'Not applied, returned or refunded.';
COMMENT ON COLUMN o2c_bi.payments.refunded_amount IS 'Paid back.';
COMMENT ON COLUMN o2c_bi.payments.method IS 'Way of payment.';
COMMENT ON COLUMN o2c_bi.payments.reference IS 'Payer''s or bank''s reference.';
COMMENT ON COLUMN o2c_bi.payments.line_id IS 'Identity of its bank line.';
COMMENT ON COLUMN o2c_bi.payments.payer_name IS 'The payer as the bank wrote it.';
COMMENT ON COLUMN o2c_bi.payments.remittance_text IS 'The payer''s words.';
COMMENT ON COLUMN o2c_bi.payments.returned_on IS 'Day the bank took it back.';
COMMENT ON COLUMN o2c_bi.payments.return_reason IS 'Why.';
COMMENT ON COLUMN o2c_bi.payments.numbers IS 'Documents it pays now.';
COMMENT ON COLUMN o2c_bi.payments.suggestions IS 'Proposals that wait for a person.';
COMMENT ON COLUMN o2c_bi.match_quality.company_id IS 'The company.';
COMMENT ON COLUMN o2c_bi.match_quality.rule IS 'Rule of o2c.match_rule; null = all rules.';
COMMENT ON COLUMN o2c_bi.match_quality.lines IS 'Answers of the rule, or all lines with money in.';
COMMENT ON COLUMN o2c_bi.match_quality.auto_lines IS 'Posted without a person.';
COMMENT ON COLUMN o2c_bi.match_quality.auto_rate IS 'Share of the lines.';
COMMENT ON COLUMN o2c_bi.match_quality.auto_items IS 'Documents paid by them.';
COMMENT ON COLUMN o2c_bi.match_quality.auto_amount IS 'Cash applied by them.';
COMMENT ON COLUMN o2c_bi.match_quality.auto_amount_rate IS 'Share of all cash received by bank lines.';
COMMENT ON COLUMN o2c_bi.match_quality.suggested_lines IS 'Shown to a person now.';
COMMENT ON COLUMN o2c_bi.match_quality.accepted_lines IS 'Accepted by a person.';
COMMENT ON COLUMN o2c_bi.match_quality.rejected_lines IS 'Rejected by a person.';
COMMENT ON COLUMN o2c_bi.match_quality.corrected_lines IS 'Posted without a person and undone later.';
COMMENT ON COLUMN o2c_bi.match_quality.auto_item_rate IS 'Share of the documents paid by bank lines: by the engine, of those by the engine or people.';
COMMENT ON COLUMN o2c_bi.match_quality.precision IS 'Share of the automatic postings that nobody undid.';

GRANT INSERT, UPDATE ON o2c.payment, o2c.match_proposal, o2c.payer_alias, o2c.match_watermark, o2c.refund TO o2c_clerk, o2c_manager, o2c_admin;
GRANT UPDATE (state, payment_id) ON o2c.bank_line TO o2c_clerk, o2c_manager, o2c_admin;
GRANT DELETE ON o2c.bank_line_open TO o2c_clerk, o2c_manager, o2c_admin;
GRANT INSERT, UPDATE, DELETE ON o2c.match_rule, o2c.tolerance, o2c.payer_alias TO o2c_admin;
GRANT INSERT ON o2c.settled_number, o2c.payment_history TO o2c_admin;
GRANT EXECUTE ON FUNCTION o2c._match_lines, o2c._match_payers, o2c._match_returns, o2c._match_books, o2c._match_first,
  o2c._match_rest, o2c._match_post, o2c._match_allocate, o2c._match_settle, o2c.match_cash, o2c._weigh_lines, o2c._minor_sum, o2c._same_party, o2c._first_round, o2c._gather_book,
  o2c._identify_payments, o2c._count_payers, o2c._learn_payers, o2c._payment, o2c._require_era, o2c._unapply,
  o2c.record_payment, o2c.apply_payment, o2c.unapply, o2c.accept_match, o2c.accept_matches, o2c._lock_proposals, o2c._post_proposals, o2c._proposal_faults,
  o2c.reject_match, o2c.reject_matches, o2c.return_payment, o2c.refund
  TO o2c_clerk, o2c_manager, o2c_admin;
GRANT EXECUTE ON FUNCTION o2c.approve_refund TO o2c_manager, o2c_admin;
GRANT EXECUTE ON FUNCTION o2c.import_payment_history, o2c._seed_company_match TO o2c_admin;
GRANT EXECUTE ON FUNCTION o2c._check_payment TO o2c_clerk, o2c_collector, o2c_manager, o2c_admin, o2c_dispatcher;
