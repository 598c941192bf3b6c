-- Which bank lines wait for match_cash: o2c.bank_line_open, however lines come
-- and whoever changes them.
\set ON_ERROR_STOP 1
SELECT plan(26);
SELECT o2c.create_company('Waiting', 'DE', 'EUR') AS c \gset
INSERT INTO o2c.customer (company_id, code, name, iban) VALUES (:c, 'A', 'Nordwerk GmbH', 'DE89370400440532013000');
INSERT INTO o2c.bank_account (company_id, code, currency) VALUES (:c, 'M', 'EUR');
INSERT INTO o2c.open_item (company_id, customer_id, kind, number, document_date, due_date, currency, amount, open_amount)
SELECT :c, k.id, 'opening', '19300010' || n, '2024-01-01', '2024-01-31', 'EUR', n, n
FROM o2c.customer k, generate_series(10, 69) n WHERE k.company_id = :c;

CREATE FUNCTION stretches() RETURNS text LANGUAGE sql AS $$
  SELECT string_agg(format('%s-%s', o.first_id, o.last_id), ' ' ORDER BY o.first_id) FROM o2c.bank_line_open o $$;
-- a line by hand; amounts below 0 are debits
CREATE FUNCTION line(line bigint, amount numeric, reason text DEFAULT NULL, day date DEFAULT '2024-02-01') RETURNS void LANGUAGE sql AS $$
  INSERT INTO o2c.bank_line (company_id, id, bank_account_id, line_id, booking_date, amount, currency, payer_iban, remittance_text, return_reason)
  SELECT b.company_id, line, b.id, 'L' || line, day, amount, 'EUR', 'DE89370400440532013000', 'RG 19300010' || abs(amount)::integer, reason FROM o2c.bank_account b $$;

CREATE TEMPORARY TABLE bank_rows AS SELECT 'R' || n AS line_id, '2024-02-01' AS booking_date, n::text AS amount, 'EUR' AS currency, NULL::text AS payer_name,
  'DE89370400440532013000' AS payer_iban, 'RG 19300010' || n AS remittance_text, NULL::text AS structured_ref FROM generate_series(10, 29) n;
SELECT imported AS n FROM o2c.import_bank_lines(:c, 'M', 'bank_rows') \gset
SELECT min(id) AS low, max(id) AS high FROM o2c.bank_line \gset
SELECT is(stretches(), format('%s-%s', :low, :high), 'the lines of one import are one stretch');
SELECT imported AS n FROM o2c.import_bank_lines(:c, 'M', 'bank_rows') \gset
SELECT is((SELECT count(*)::integer FROM o2c.bank_line_open), 1, 'the same lines again add none');

BEGIN;
SELECT auto_lines AS n FROM o2c.match_cash(:c) \gset
SELECT is(:n, 20, 'all are matched');
SELECT is(pg_stat_get_xact_tuples_hot_updated('o2c.bank_line'::regclass), pg_stat_get_xact_tuples_updated('o2c.bank_line'::regclass),
  'which stays on the page of each line and touches no index');
COMMIT;
SELECT is(stretches(), NULL, 'and then nothing waits');

-- what waits, and what does not
SELECT line(1001, 30);
SELECT line(1002, -5);
SELECT line(1003, -30, 'AC04');
SELECT line(1004, 31, 'AC04');
SELECT is(stretches(), '1001-1001 1003-1003', 'money in and money that came back; not what was paid, nor what is neither');
UPDATE o2c.bank_line SET state = 'ignored' WHERE id = 1001;
SELECT is((SELECT lines::integer FROM o2c.match_cash(:c)), 0, 'what a clerk ignores is not matched');
SELECT is(stretches(), '1003-1003', 'nor looked at any more; a return that fits no payment waits on');
UPDATE o2c.bank_line SET state = 'open' WHERE id = 1001;
UPDATE o2c.bank_line SET return_reason = NULL WHERE id = 1004;
UPDATE o2c.bank_line SET details = '{"note": "seen"}' WHERE id = 1004;
SELECT is(stretches(), '1001-1001 1003-1003 1004-1004', 'what is open again waits again');
SELECT is((SELECT auto_lines::integer FROM o2c.match_cash(:c)), 2, 'and is matched');
SELECT o2c.match_cash(:c) \g /dev/null
SELECT is(stretches(), NULL, 'and so is the return, now that its payment is known');

-- runs up to a day
SELECT line(2001, 40), line(2002, 41, NULL, '2024-03-01'), line(2050, 42), line(2051, 43, NULL, '2024-03-01');
SELECT is((SELECT lines::integer FROM o2c.match_cash(:c, '2024-02-29')), 2, 'a run up to a day takes its lines');
SELECT is(stretches(), '2002-2002 2051-2051', 'and leaves the others waiting');
SELECT is((SELECT lines::integer FROM o2c.match_cash(:c, '2024-02-29')), 0, 'again it finds nothing');
SELECT is((SELECT auto_lines::integer FROM o2c.match_cash(:c)), 2, 'a later run takes the rest');
INSERT INTO o2c.bank_line (company_id, id, bank_account_id, line_id, booking_date, amount, currency)
SELECT b.company_id, n, b.id, 'G' || n, '2024-02-01', 7, 'EUR' FROM o2c.bank_account b, unnest('{3000,3001,3033,3066,2990}'::bigint[]) n;
SELECT is(stretches(), '2990-2990 3000-3033 3066-3066', 'stretches leap over few ids, and need no order');
UPDATE o2c.bank_line SET state = 'ignored' WHERE id >= 2990;
SELECT is((SELECT lines::integer FROM o2c.match_cash(:c)), 0, 'nothing is new');
SELECT is(stretches(), NULL, 'and stretches without a line that waits go');

-- nobody can make match_cash forget a line
SELECT line(4001, 44), line(4002, 45);
INSERT INTO o2c.company_member SELECT :c, 'o2c_clerk';
SELECT ok(NOT has_table_privilege('o2c_clerk', 'o2c.bank_line_open', 'INSERT, UPDATE, TRUNCATE'), 'a clerk, who runs match_cash, takes stretches away only');
SET ROLE o2c_clerk;
DELETE FROM o2c.bank_line_open;
RESET ROLE;
SELECT is(stretches(), '4001-4002', 'what is deleted while lines in it wait comes again');
SELECT throws_ok('UPDATE o2c.bank_line_open SET last_id = last_id + 1', 'O2030', NULL, 'stretches do not change');
SELECT throws_ok('TRUNCATE o2c.bank_line_open', 'O2030', NULL, 'nor are they truncated');
SELECT throws_ok('UPDATE o2c.bank_line SET amount = amount + 1 WHERE id = 4001', 'O2030', NULL, 'nor does what the bank said');
SELECT is_empty('SELECT * FROM o2c.check()', 'check() finds nothing');
ALTER TABLE o2c.bank_line_open DISABLE TRIGGER bank_line_open_again;
DELETE FROM o2c.bank_line_open;
ALTER TABLE o2c.bank_line_open ENABLE TRIGGER bank_line_open_again;
SELECT results_eq('SELECT invariant, entity_id FROM o2c.check() ORDER BY 2',
  $$VALUES ('a line that waits is among those to be matched', 4001::bigint), ('a line that waits is among those to be matched', 4002)$$, 'check() tells when one is forgotten');
UPDATE o2c.bank_line SET state = 'ignored' WHERE id >= 4001;
UPDATE o2c.bank_line SET state = 'open' WHERE id >= 4001;
SELECT is((SELECT auto_lines::integer FROM o2c.match_cash(:c)), 2, 'setting it open again finds it');
SELECT * FROM finish();
