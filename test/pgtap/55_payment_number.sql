-- Items by number: documents by their index, whoever asks, a payment's items by
-- the payment; and nothing else bears a payment's number.
SET client_min_messages = warning;
BEGIN;
SELECT plan(33);
SELECT o2c.create_company('Numbers', 'DE', 'EUR') AS c \gset
INSERT INTO o2c.customer (company_id, code, name) VALUES (:c, 'A', 'Alpha'), (:c, 'B', 'Beta');
SELECT o2c.record_payment(:c, 'A', 100, 'EUR', '2026-01-10', 'r1') AS known, o2c.record_payment(:c, NULL, 50, 'EUR', '2026-01-11', 'r2') AS unknown \gset
CREATE TEMPORARY TABLE src AS SELECT n AS number, 'A' AS customer_code, '2026-01-01' AS document_date, '2026-01-31' AS due_date, '30' AS amount
FROM unnest(ARRAY['I1', 'PAY-' || :known, 'PAY-X']) n;
SELECT is((SELECT row(imported, unchanged, rejected)::text FROM o2c.import_open_items(:c, 'src')), '(3,0,0)', 'a document may have a number like a payment''s');
SELECT is((SELECT row(imported, unchanged, rejected)::text FROM o2c.import_open_items(:c, 'src')), '(0,3,0)', 'and is known again');
UPDATE src SET amount = 31;
SELECT is((SELECT row(imported, unchanged, rejected)::text FROM o2c.import_open_items(:c, 'src')), '(0,0,3)', 'or refused when it differs');
SELECT throws_ok(format($$INSERT INTO o2c.open_item (company_id, customer_id, kind, number, document_date, due_date, currency, amount, open_amount)
  SELECT company_id, customer_id, 'opening', number, document_date, due_date, currency, amount, amount FROM o2c.open_item WHERE company_id = %s AND number = %L$$, :c, n),
  '23505', NULL, 'a document''s number is unique: ' || n) FROM unnest('{I1,PAY-X}'::text[]) n;

-- found by number
CREATE FUNCTION pg_temp.found(company integer, number text) RETURNS text LANGUAGE sql AS $$
  SELECT format('%s %s', i.kind, trim_scale(i.open_amount)) FROM o2c.open_item i WHERE i.company_id = $1 AND i.id = o2c._open_item_by_number($1, $2) $$;
SELECT is(pg_temp.found(:c, 'I1'), 'opening 30', 'a document by its number');
SELECT is(pg_temp.found(:c, 'PAY-X'), 'opening 30', 'also one that looks like a payment''s');
SELECT is(pg_temp.found(:c, 'PAY-' || :unknown), 'unidentified -50', 'a payment''s item by its own');
SELECT is(pg_temp.found(:c, 'PAY-' || :known), 'on_account -100', 'of a document and a payment the one that is due first');
SELECT throws_ok(format('SELECT o2c._open_item_by_number(%s, %L)', :c, n), 'O2003', NULL, 'no item: ' || n)
FROM unnest('{PAY-,PAY-0,PAY-01,PAY-99999999999999999999,PAY-999999999999}'::text[]) n;
SELECT o2c.apply_payment(:c, :known, 'I1', 30) \g /dev/null
SELECT o2c._identify_payments(:c, ARRAY[:unknown]::bigint[], ARRAY[(SELECT id FROM o2c.customer WHERE company_id = :c AND code = 'B')]) \g /dev/null
SELECT is(pg_temp.found(:c, 'PAY-' || :unknown), 'on_account -50', 'when its payer is known, the item that it went to');
SELECT o2c.return_payment(:c, :unknown, 'bounced') \g /dev/null
SELECT is(pg_temp.found(:c, 'PAY-' || :unknown), 'unidentified 0', 'and the first when nothing is open on either');
SELECT lives_ok(format($$SELECT o2c.write_off(%s, 'PAY-%s', NULL, 'forgotten')$$, :c, :known), 'a manager writes off what he names so');

-- whose number it is
CREATE FUNCTION pg_temp.money(company integer, number text, amount numeric DEFAULT -7, source bigint DEFAULT NULL) RETURNS bigint LANGUAGE sql AS $$
  INSERT INTO o2c.open_item (company_id, customer_id, kind, number, document_date, due_date, currency, amount, open_amount, source_item_id)
  SELECT company_id, id, 'on_account', $2, '2026-01-12', '2026-01-12', 'EUR', $3, $3, $4 FROM o2c.customer WHERE company_id = $1 AND code = 'A' RETURNING id $$;
SELECT lives_ok(format('SELECT pg_temp.money(%s, %L); SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED', :c, 'OWN-1'), 'money by an item alone has a number of its own');
SELECT is(pg_temp.found(:c, 'OWN-1'), 'on_account -7', 'and is found by it');
SELECT throws_ok(format('SELECT pg_temp.money(%s, %L); SET CONSTRAINTS ALL IMMEDIATE', :c, n), 'O2033',
  format('item "%s" has a payment''s number, and no payment', n), 'not that of a payment: ' || n) FROM unnest(ARRAY['PAY-9999', 'PAY-' || :known]) n;
SELECT throws_ok(format($$WITH i AS (SELECT pg_temp.money(%s, 'PAY-%s') AS id)
  INSERT INTO o2c.payment (company_id, customer_id, amount, currency, received_on, item_id)
  SELECT %1$s, c.id, 7, 'EUR', '2026-01-12', i.id FROM i, o2c.customer c WHERE c.company_id = %1$s AND c.code = 'A'$$, :c, :known),
  'O2033', NULL, 'nor does a payment name an item with another''s');
SET CONSTRAINTS ALL IMMEDIATE;

SELECT is((SELECT count(*) FROM o2c.check(:c)), 0::bigint, 'check() finds nothing');
ALTER TABLE o2c.open_item DISABLE TRIGGER open_item_paid;
SELECT pg_temp.money(:c, 'PAY-9999') \g /dev/null
SELECT is((SELECT string_agg(invariant || ' ' || detail, ', ') FROM o2c.check(:c) WHERE entity = 'open_item'), 'number of a payment is that of its items PAY-9999', 'and tells of a number without its payment');
SET CONSTRAINTS ALL IMMEDIATE;
ALTER TABLE o2c.open_item ENABLE TRIGGER open_item_paid;

-- every way to ask for a document reads its index
CREATE FUNCTION pg_temp.plan(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE line text; result text := ''; BEGIN
  FOR line IN EXECUTE 'EXPLAIN ' || query LOOP result := result || line || E'\n'; END LOOP; RETURN result; END $$;
INSERT INTO o2c.open_item (company_id, customer_id, kind, number, document_date, due_date, currency, amount, open_amount)
SELECT :c, id, 'opening', 'N' || n, '2026-01-12', '2026-01-12', 'EUR', 7, 7 FROM o2c.customer, generate_series(1, 5000) n WHERE company_id = :c AND code = 'A';
ANALYZE o2c.open_item;
SELECT ok(bool_and(pg_temp.plan(q) ~ 'open_item_number_key'), 'index plans: ' || string_agg(q, E'\n') FILTER (WHERE pg_temp.plan(q) !~ 'open_item_number_key')) FROM unnest(ARRAY[
  format('SELECT * FROM o2c.open_item WHERE company_id = %s AND number = %L', :c, 'N77'),
  format('SELECT * FROM o2c_bi.receivables WHERE company_id = %s AND number = %L', :c, 'N77')]) q;
-- the functions' own, with plans for any number too
CREATE FUNCTION pg_temp.seq_scans(query text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE before bigint := pg_stat_get_xact_numscans('o2c.open_item'::regclass); BEGIN
  FOR i IN 1 .. 8 LOOP EXECUTE query; END LOOP; RETURN pg_stat_get_xact_numscans('o2c.open_item'::regclass) - before; END $$;
SELECT is(sum(pg_temp.seq_scans(q)), 0::numeric, 'functions that look a number up') FROM unnest(ARRAY[
  format('SELECT o2c._open_item_by_number(%s, %L)', :c, 'N77'), format('SELECT o2c._debit_item(%s, %L)', :c, 'N77'),
  format('SELECT o2c._open_item_by_number(%s, %L)', :c, 'PAY-' || :known)]) q;
SET LOCAL plan_cache_mode = force_generic_plan;
SELECT is(sum(pg_temp.seq_scans(q)), 0::numeric, 'functions that look a number up, planned once') FROM unnest(ARRAY[
  format('SELECT o2c._open_item_by_number(%s, %L)', :c, 'N78'), format('SELECT o2c._debit_item(%s, %L)', :c, 'N78'),
  format('SELECT o2c._open_item_by_number(%s, %L)', :c, 'PAY-' || :unknown)]) q;
SELECT format('SELECT imported FROM o2c.import_open_items(%s, %L)', :c, 'src') AS import \gset
TRUNCATE src;
INSERT INTO src SELECT 'N' || n, 'A', '2026-01-12', '2026-01-12', '7' FROM generate_series(1, 5) n;
SELECT is(pg_temp.seq_scans(:'import'), 0::bigint, 'and an import of a few');

-- what was seen with the payment counts until the transaction ends, but for a payment that is taken back
SET CONSTRAINTS ALL DEFERRED;
SELECT pg_temp.money(:c, 'PAY-' || nextval('o2c.payment_id_seq')) AS item, currval('o2c.payment_id_seq') AS payment \gset
SELECT format($$INSERT INTO o2c.payment (company_id, id, customer_id, amount, currency, received_on, item_id)
  SELECT company_id, %s, id, 7, 'EUR', '2026-01-12', %s FROM o2c.customer WHERE company_id = %s AND code = 'A'$$, :payment, :item, :c) AS pay \gset
SAVEPOINT before;
:pay;
ROLLBACK TO before;
SELECT throws_ok('SET CONSTRAINTS ALL IMMEDIATE', 'O2033', NULL, 'a payment that a savepoint took back stands for nothing');
:pay;
SELECT lives_ok('SET CONSTRAINTS ALL IMMEDIATE', 'and for its item when it comes again');
-- to the last of all ids
SELECT setval('o2c.payment_id_seq', 9223372036854775806) \gset
SELECT o2c.record_payment(:c, 'A', 7, 'EUR', '2026-01-12', 'last') AS last \gset
SELECT cmp_ok(o2c.write_off(:c, 'PAY-9223372036854775807', 7, 'nobody claims it', '2026-02-01'), '>', 0::bigint, 'the item of the last payment is found by its number');
SELECT throws_ok(format('SELECT o2c.write_off(%s, ''PAY-9223372036854775808'', 7, ''x'')', :c), 'O2003', NULL, 'a number beyond is nobody''s');
SELECT is_empty($$SELECT * FROM o2c.check() WHERE detail = 'PAY-9223372036854775807'$$, 'and check() knows it');
SELECT * FROM finish();
ROLLBACK;
