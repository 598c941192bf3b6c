-- A payment's whole history in one view, what the engine learns and unlearns
-- from people, and how its quality is counted.
SET client_min_messages = warning;
SELECT plan(20);

SELECT o2c.create_company('History', 'DE', 'EUR') AS c \gset
INSERT INTO o2c.customer (company_id, code, name) VALUES (:c, 'A', 'Alpha Werke GmbH'), (:c, 'B', 'Beta Handel AG');
INSERT INTO o2c.bank_account (company_id, code, currency) VALUES (:c, 'M', 'EUR') RETURNING id AS bank \gset
CREATE TEMPORARY TABLE items AS SELECT '88000' || n AS number, CASE WHEN n <= 6 THEN 'A' ELSE 'B' END AS customer_code, '2026-01-10' AS document_date, '2026-02-10' AS due_date,
  'EUR' AS currency, (100 * n)::text AS amount, CASE n WHEN 2 THEN '2026-01-31' END AS discount_date, CASE n WHEN 2 THEN '4.00' END AS discount_amount FROM generate_series(1, 9) n;
SELECT o2c.import_open_items(:c, 'items') \g /dev/null
CREATE FUNCTION pg_temp.line(c integer, bank bigint, line text, amount numeric, txt text, account text) RETURNS void LANGUAGE sql AS $$
  INSERT INTO o2c.bank_line (company_id, bank_account_id, line_id, booking_date, amount, currency, payer_name, payer_iban, remittance_text)
  VALUES (c, bank, line, '2026-01-20', amount, 'EUR', CASE account WHEN 'ACC1' THEN 'ALPHA WERKE' ELSE 'Zahlstelle Sued' END, account, txt) $$;
CREATE FUNCTION pg_temp.steps(line text) RETURNS text LANGUAGE sql AS $$
  SELECT string_agg(e.step || coalesce(' ' || e.number, '') || ' ' || e.amount, ', ' ORDER BY e.happened_at, e.step DESC)
  FROM o2c_bi.payment_events e JOIN o2c_bi.payments p ON p.payment_id = e.payment_id WHERE p.line_id = line $$;
CREATE FUNCTION pg_temp.alias(account text) RETURNS text LANGUAGE sql AS $$
  SELECT string_agg(k.code || ' ' || a.confirmations || '/' || a.contradictions, ', ' ORDER BY k.code)
  FROM o2c.payer_alias a JOIN o2c.customer k ON k.id = a.customer_id WHERE a.kind = 'account' AND a.value = account $$;
CREATE FUNCTION pg_temp.allocation(doc text) RETURNS bigint LANGUAGE sql AS $$
  SELECT max(a.id) FROM o2c.allocation a JOIN o2c.open_item i ON i.id = a.debit_item_id WHERE i.number = doc AND a.amount > 0 $$;
CREATE FUNCTION pg_temp.payment(line text) RETURNS bigint LANGUAGE sql AS $$ SELECT payment_id FROM o2c_bi.payments WHERE line_id = line $$;

-- the engine matches by number, and learns the account; a person takes one back
SELECT pg_temp.line(:c, :bank, 'l1', 100, 'inv 880001', 'ACC1'), pg_temp.line(:c, :bank, 'l2', 196, 'inv 880002 less discount', 'ACC1');
SELECT o2c.match_cash(:c) \g /dev/null
SELECT is(pg_temp.alias('ACC1'), 'A 2/0', 'an account that paid twice by number is known');
SELECT ok(pg_temp.steps('l2') ~ '^received 196' AND pg_temp.steps('l2') ~ 'matched 880002 196' AND pg_temp.steps('l2') ~ 'applied 880002 196' AND pg_temp.steps('l2') ~ 'discount 880002 4.00',
  'a history: received, matched, applied, its discount');
SELECT o2c.unapply(:c, pg_temp.allocation('880002'), '2026-01-25', 'was for Beta') \g /dev/null
SELECT is(pg_temp.alias('ACC1'), 'A 2/1', 'taking it back contradicts what was learned');
SELECT ok(pg_temp.steps('l2') ~ 'unapplied 880002 196' AND pg_temp.steps('l2') ~ 'discount_reversed 880002 4.00' AND pg_temp.steps('l2') ~ 'match_reversed', 'the history goes on');
SELECT is((SELECT actor FROM o2c_bi.payment_events WHERE payment_id = pg_temp.payment('l2') AND step = 'match_reversed'), session_user::text, 'with who did it');
SELECT results_eq(format('SELECT auto_lines, corrected_lines, precision FROM o2c_bi.match_quality WHERE company_id = %s AND rule IS NULL', :c), 'VALUES (2::bigint, 1::bigint, 0.500000)', 'and is a correction');

-- a bank's return is none: the money went back, who it was for was right
SELECT o2c.return_payment(:c, pg_temp.payment('l1'), 'AC04', '2026-01-28') \g /dev/null
SELECT is(pg_temp.alias('ACC1'), 'A 2/1', 'a return contradicts nothing');
SELECT results_eq(format('SELECT auto_lines, corrected_lines FROM o2c_bi.match_quality WHERE company_id = %s AND rule IS NULL', :c), 'VALUES (2::bigint, 1::bigint)', 'nor is it a correction');
SELECT ok(pg_temp.steps('l1') ~ 'unapplied 880001 100' AND pg_temp.steps('l1') ~ 'returned 100', 'it is told as returned');
SELECT results_eq($$SELECT open_amount, due_date FROM o2c.open_item WHERE number = '880001'$$, $$VALUES (100.00, '2026-02-10'::date)$$, 'its item is open again with its due date');
SELECT is((SELECT total FROM o2c.aging(:c, '2026-01-27') WHERE customer_code = 'A'), (SELECT total - 100 FROM o2c.aging(:c, '2026-01-28') WHERE customer_code = 'A'), 'from the day of the return');

-- by hand: identified, applied in part, the rest refunded by two persons
SELECT pg_temp.line(:c, :bank, 'l3', 750, 'Danke', 'ACC9');
SELECT o2c.match_cash(:c) \g /dev/null
SELECT throws_ok(format('SELECT o2c.apply_payment(%s, %s, %L)', :c, pg_temp.payment('l3'), 'OTHER-1'), 'O2003', NULL, 'a document of nobody here pays nothing');
SELECT o2c.apply_payment(:c, pg_temp.payment('l3'), '880007', 700, '2026-01-22') \g /dev/null
CREATE ROLE history_boss SUPERUSER LOGIN;
SELECT o2c.refund(:c, pg_temp.payment('l3'), 50, 'too much') AS refund \gset
SELECT throws_ok(format('SELECT o2c.approve_refund(%s, %s)', :c, :refund), 'O2080', NULL, 'one person alone refunds nothing');
SET SESSION AUTHORIZATION history_boss;
SELECT o2c.approve_refund(:c, :refund, '2026-02-01') \g /dev/null
RESET SESSION AUTHORIZATION;
SELECT ok(pg_temp.steps('l3') ~ '^received 750' AND pg_temp.steps('l3') ~ 'identified B 750' AND pg_temp.steps('l3') ~ 'applied 880007 700' AND pg_temp.steps('l3') ~ 'refund_requested 50.*refund_approved 50'
  AND pg_temp.steps('l3') ~ 'refunded 50', 'an unknown payer, found by a person, and what was too much');
SELECT is((SELECT state FROM o2c_bi.payments WHERE payment_id = pg_temp.payment('l3')), 'applied', 'nothing of it is left');
SELECT is((SELECT string_agg(actor, ' ' ORDER BY step) FROM o2c_bi.payment_events WHERE payment_id = pg_temp.payment('l3') AND step ~ 'refund_(req|app)'),
  'history_boss ' || session_user, 'by whom');
SELECT is((SELECT auto_item_rate FROM o2c_bi.match_quality WHERE company_id = :c AND rule IS NULL), 0.6667, 'two documents by the engine, one by hand');

-- an accepted proposal that is taken back is no mistake of the engine
SELECT pg_temp.line(:c, :bank, 'l4', 400, 'inv 880003', 'ACC1');  -- that document or that amount?
SELECT o2c.match_cash(:c) \g /dev/null
SELECT o2c.accept_match(:c, proposal_id) FROM o2c_bi.cash_matches WHERE line_id = 'l4' AND status = 'suggested' AND option = 1;
SELECT o2c.unapply(:c, (SELECT max(id) FROM o2c.allocation WHERE amount > 0), '2026-01-25', 'wrong') \g /dev/null
SELECT results_eq(format('SELECT auto_lines, accepted_lines, corrected_lines FROM o2c_bi.match_quality WHERE company_id = %s AND rule IS NULL', :c),
  'VALUES (2::bigint, 1::bigint, 1::bigint)',
  'what a person accepted counts as accepted');
SELECT is((SELECT count(*) FROM o2c_bi.payment_events e WHERE e.company_id = :c AND e.step = 'received'), 4::bigint, 'each payment once');
SELECT is_empty('SELECT * FROM o2c.check()', 'no invariant is violated');
SELECT * FROM finish();
DROP ROLE history_boss;
