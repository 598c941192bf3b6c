-- Wrong arguments to every public function of cash application: each is
-- refused with an error of class O2 (or 22, 23: what PostgreSQL's own types and
-- constraints say), never with another, and nothing is half done.  Functions
-- are found in the catalog; each argument in turn takes each wrong value of its
-- type while the others are right.
BEGIN;
SELECT o2c.create_company('Mine', 'DE', 'EUR') AS c, o2c.create_company('Theirs', 'DE', 'EUR') AS d \gset
INSERT INTO o2c.customer (company_id, code, name, iban) VALUES (:c, 'A', 'Own AG', 'DE89370400440532013000'), (:d, 'B', 'Foreign AG', 'NL91ABNA0417164300');
INSERT INTO o2c.bank_account (company_id, code, currency, iban, creditor_id) VALUES
  (:c, 'MAIN', 'EUR', 'DE02120300000000202051', 'DE98ZZZ09999999999'), (:d, 'OTHER', 'EUR', 'NL91ABNA0417164300', NULL);
CREATE TEMPORARY TABLE items AS SELECT 'IN-' || 5000 + n AS number, 'A' AS customer_code, '2025-01-01' AS document_date, '2025-01-31' AS due_date,
  'EUR' AS currency, '100.00' AS amount FROM generate_series(1, 8) n;
SELECT o2c.import_open_items(:c, 'items') \g /dev/null
CREATE TEMPORARY TABLE theirs AS SELECT 'FO-' || 5000 + n AS number, 'B' AS customer_code, '2025-01-01' AS document_date, '2025-01-31' AS due_date,
  'EUR' AS currency, '100.00' AS amount FROM generate_series(1, 2) n;
SELECT o2c.import_open_items(:d, 'theirs') \g /dev/null
SELECT o2c.record_payment(:d, 'B', 50, received_on => '2025-02-01') AS their_payment \gset
SELECT o2c.apply_payment(:d, :their_payment, 'FO-5001', 50, '2025-02-01') AS their_allocation \gset
SELECT o2c.record_payment(:d, 'B', 20, received_on => '2025-02-01') AS their_rest \gset
SELECT o2c.refund(:d, :their_rest, 5, 'theirs') AS their_refund \gset
INSERT INTO o2c.mandate (company_id, customer_id, reference, iban, holder, signed_on)
SELECT :d, id, 'M-THEIRS', 'NL91ABNA0417164300', 'Foreign AG', '2025-01-01' FROM o2c.customer WHERE company_id = :d RETURNING id AS their_mandate \gset
INSERT INTO o2c.bank_line (company_id, bank_account_id, line_id, booking_date, amount, currency, payer_name)
SELECT :d, id, 'x', '2025-02-02', 100, 'EUR', 'Foreign AG' FROM o2c.bank_account WHERE company_id = :d;
SELECT o2c.match_cash(:d) \g /dev/null
SELECT coalesce(min(id), 0) AS their_proposal FROM o2c.match_proposal WHERE company_id = :d \gset
SELECT o2c.record_payment(:c, 'A', 50, received_on => '2025-02-01') AS payment \gset
SELECT o2c.apply_payment(:c, :payment, 'IN-5001', 10, '2025-02-01') AS allocation \gset
SELECT o2c.refund(:c, :payment, 5, 'asked') AS refund \gset
SELECT o2c.create_mandate(:c, 'A', 'DE89370400440532013000', '2025-01-01', 'M-1') AS mandate \gset
SELECT o2c.collect_direct_debits(:c, 'MAIN', o2c.today(:c) + 5) AS payorder \gset
CREATE TEMPORARY TABLE wrong_columns AS SELECT 1 AS nothing;
CREATE TEMPORARY TABLE bank_rows AS SELECT 'l1' AS line_id, '2025-02-01' AS booking_date, '12.00' AS amount, 'EUR' AS currency, 'P' AS payer_name,
  NULL AS payer_iban, 'hello' AS remittance_text, NULL AS structured_ref;
CREATE TEMPORARY TABLE history_rows AS SELECT 'h1' AS line_id, '2025-02-01' AS booking_date, '12.00' AS amount, 'EUR' AS currency, 'P' AS payer_name,
  NULL AS payer_iban, 'hello' AS remittance_text, NULL AS structured_ref, 'A' AS customer_code, 'H-77001' AS number;

-- a call of each function with right arguments, in the order of its parameters
CREATE TEMPORARY TABLE call (fn text PRIMARY KEY, args text[]);
INSERT INTO call VALUES
  ('import_statement', ARRAY[:'c', '''MAIN''', '''\x41''::bytea', '''auto''']),
  ('import_bank_lines', ARRAY[:'c', '''MAIN''', '''bank_rows''']),
  ('import_payment_history', ARRAY[:'c', '''history_rows''']),
  ('match_cash', ARRAY[:'c', 'NULL::date']),
  ('record_payment', ARRAY[:'c', '''A''', '10', '''EUR''', '''2025-02-01''::date', '''ref''', '''cash''', '''2025-02-01''::date']),
  ('apply_payment', ARRAY[:'c', :'payment', '''IN-5002''', '1', '''2025-02-01''::date']),
  ('unapply', ARRAY[:'c', :'allocation', '''2025-02-01''::date', '''why''']),
  ('return_payment', ARRAY[:'c', :'payment', '''AC04''', '''2025-02-02''::date']),
  ('refund', ARRAY[:'c', :'payment', '1', '''why''']),
  ('approve_refund', ARRAY[:'c', :'refund', '''2025-02-02''::date']),
  ('accept_match', ARRAY[:'c', '-1']), ('accept_matches', ARRAY[:'c', '''{-1}''::bigint[]']),
  ('reject_match', ARRAY[:'c', '-1']), ('reject_matches', ARRAY[:'c', '''{-1}''::bigint[]']),
  ('create_mandate', ARRAY[:'c', '''A''', '''DE89370400440532013000''', '''2025-01-01''::date', '''M-2''', '''CORE''', 'true', 'NULL', '''Own AG''']),
  ('revoke_mandate', ARRAY[:'c', :'mandate', '''why''', '''2025-02-02''::date']),
  ('collect_direct_debits', ARRAY[:'c', '''MAIN''', '''2030-01-01''::date', '''2030-01-01''::date']),
  ('order_refunds', ARRAY[:'c', '''MAIN''', '''2030-01-01''::date']),
  ('payment_order_xml', ARRAY[:'c', :'payorder', 'NULL']),
  ('void_payment_order', ARRAY[:'c', :'payorder', '''why''']),
  ('settle_payment_order', ARRAY[:'c', :'payorder', '''2025-02-02''::date', 'NULL::bigint']),
  ('cash_tokens', ARRAY['''RG 1''']), ('reference_kind', ARRAY['''RF18''']), ('name_similarity', ARRAY['''a''', '''b''']);
SELECT plan(7);
SELECT is((SELECT array_agg(p.proname::text ORDER BY 1) FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
    WHERE p.pronamespace = 'o2c'::regnamespace AND p.proname !~ '^_'
      AND p.proname ~ '(match|payment|statement$|bank_lines|mandate|refund|apply|collect_direct|cash_|reference_kind|name_similarity)'
      AND p.prorettype <> 'trigger'::regtype AND p.prokind = 'f' AND p.proname NOT IN ('prepayment_invoice', 'cash_forecast') AND NOT p.proname = ANY (ARRAY(SELECT fn FROM call))),
  NULL, 'every public function of cash application is called here');

CREATE TEMPORARY TABLE wrong (type text, value text);
INSERT INTO wrong VALUES ('integer', 'NULL'), ('integer', '-1'), ('integer', '0'), ('integer', '2147483647'), ('integer', :'d'),
  ('bigint', 'NULL'), ('bigint', '-1'), ('bigint', '0'), ('bigint', '9223372036854775807'),
  ('bigint', :'their_payment'), ('bigint', :'their_allocation'), ('bigint', :'their_refund'), ('bigint', :'their_mandate'), ('bigint', :'their_proposal'),
  ('bigint[]', 'NULL'), ('bigint[]', '''{}'''), ('bigint[]', '''{NULL}'''), ('bigint[]', '''{9223372036854775807,0,-1}'''), ('bigint[]', '''{{1,2},{3,4}}'''),
  ('bigint[]', '''{' || :'their_proposal' || '}'''),
  ('numeric', 'NULL'), ('numeric', '''NaN'''), ('numeric', '''Infinity'''), ('numeric', '''-Infinity'''), ('numeric', '0'), ('numeric', '-1'),
  ('numeric', '0.001'), ('numeric', '123456789012345678901234567890.12'), ('numeric', '1e400'),
  ('date', 'NULL'), ('date', '''infinity'''), ('date', '''-infinity'''), ('date', '''4713-01-01 BC'''), ('date', '''5874897-12-31'''),
  ('text', 'NULL'), ('text', ''''''), ('text', '''nobody''''s'''), ('text', 'repeat(''x'', 1000000)'), ('text', 'E''a\x01\x1f\nb'''), ('text', '''%s $1 \ ;--'''),
  ('text', '''FO-5001'''), ('text', '''B'''), ('text', '''OTHER'''),
  ('bytea', 'NULL'), ('bytea', ''''''), ('bytea', '''\x00'''), ('bytea', '''\xff00fe00ff'''), ('bytea', 'decode(repeat(''00ff'', 500000), ''hex'')'),
  ('bytea', 'convert_to(repeat(''<a>'', 100000), ''UTF8'')'),
  ('bytea', 'convert_to(''<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><Document>&b;</Document>'', ''UTF8'')'),
  ('bytea', 'convert_to(''<Document x="'' || repeat(''y'', 5000000) || ''"/>'', ''UTF8'')'),
  ('regclass', 'NULL'), ('regclass', '''wrong_columns'''), ('regclass', '0'), ('regclass', '''pg_class'''), ('regclass', '4294967295'), ('regclass', '''pg_class_oid_index'''),
  ('boolean', 'NULL');

-- what money and people did, without what a refusal may leave (rejected rows of imports)
CREATE FUNCTION pg_temp.state_of_things() RETURNS text LANGUAGE sql AS $$
  SELECT md5(concat_ws('|', (SELECT string_agg(x::text, ',' ORDER BY x.id) FROM o2c.payment x), (SELECT string_agg(x::text, ',' ORDER BY x.id) FROM o2c.open_item x),
    (SELECT string_agg(x::text, ',' ORDER BY x.id) FROM o2c.ledger_entry x), (SELECT string_agg(x::text, ',' ORDER BY x.id) FROM o2c.allocation x),
    (SELECT string_agg(x::text, ',' ORDER BY x.id) FROM o2c.refund x), (SELECT string_agg(x::text, ',' ORDER BY x.id) FROM o2c.mandate x),
    (SELECT string_agg(x::text, ',' ORDER BY x.id) FROM o2c.bank_line x), (SELECT string_agg(x::text, ',' ORDER BY x.id) FROM o2c.bank_statement x),
    (SELECT string_agg(x::text, ',' ORDER BY x.id) FROM o2c.payment_order x), (SELECT string_agg(x::text, ',' ORDER BY x.id) FROM o2c.match_proposal x)))
$$;
CREATE TEMPORARY TABLE outcome (fn text, argument text, value text, state text, message text);
CREATE FUNCTION pg_temp.try_all() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  t record;
  state text;
  msg text;
  before text := pg_temp.state_of_things();
BEGIN
  FOR t IN
    SELECT c.fn, a.n, p.proargnames[a.n] AS argument, w.value,
      format('SELECT count(*) FROM o2c.%I(%s)', c.fn,
        array_to_string(ARRAY(SELECT CASE WHEN x.n = a.n THEN w.value || '::' || a.type ELSE x.v END
                              FROM unnest(c.args) WITH ORDINALITY x(v, n) ORDER BY x.n), ', ')) AS sql
    FROM call c
    JOIN pg_proc p ON p.proname = c.fn AND p.pronamespace = 'o2c'::regnamespace
    CROSS JOIN LATERAL (SELECT n, format_type(y, NULL) AS type FROM unnest(string_to_array(p.proargtypes::text, ' ')::oid[]) WITH ORDINALITY y(y, n)) a
    JOIN wrong w ON w.type = a.type
    WHERE a.n <= cardinality(c.args)
    ORDER BY c.fn, a.n
  LOOP
    BEGIN
      EXECUTE t.sql;
      -- a value may be right after all: what it did is taken back
      RAISE EXCEPTION USING ERRCODE = 'OK000', MESSAGE = 'done';
    EXCEPTION WHEN OTHERS THEN
      GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, msg = MESSAGE_TEXT;
    END;
    INSERT INTO outcome VALUES (t.fn, t.argument, left(t.value, 60), state, left(msg, 200));
  END LOOP;
  IF before <> pg_temp.state_of_things() THEN
    RAISE EXCEPTION 'a refused call left something behind';
  END IF;
END $$;
SELECT lives_ok('SELECT pg_temp.try_all()', 'wrong arguments, one at a time, leave nothing behind');
SELECT is_empty($$SELECT * FROM outcome WHERE state !~ '^(O2|22|23|OK)'$$, 'each is refused with an error of class O2, 22 or 23');
SELECT is_empty(format($$SELECT fn, value, message FROM outcome WHERE argument LIKE '%%company%%' AND value IN ('NULL', '-1', '0', '2147483647') AND state <> 'O2002'$$),
  'an unknown company is told as such by each');
SELECT is_empty($$SELECT * FROM outcome WHERE (value ~ 'infinity' OR value ~ '5874897' AND argument !~ '^(effective|execute)_on$') AND state <> 'O2044' AND fn <> 'match_cash'
  AND NOT (fn = 'approve_refund' AND state = 'O2080')$$, 'a day that is none is told as such');
SELECT is_empty(format($$SELECT fn, argument, value FROM outcome WHERE state = 'OK000' AND fn !~ '^(accept_matches|cash_tokens|reference_kind|name_similarity)$' AND (
    argument = 'payment_id' AND value = %L AND value <> %L OR argument = 'allocation_id' AND value = %L AND value <> %L OR
    argument = 'refund_id' AND value = %L AND value <> %L OR argument = 'mandate_id' AND value = %L AND value <> %L OR
    argument IN ('customer_code', 'bank_account', 'number') AND trim(value, '''') IN ('B', 'OTHER', 'FO-5001') OR
    argument = 'company_id' AND value = %L AND fn IN ('apply_payment', 'unapply', 'return_payment', 'refund', 'approve_refund', 'revoke_mandate',
      'payment_order_xml', 'void_payment_order', 'settle_payment_order', 'record_payment', 'create_mandate', 'import_bank_lines'))$$,
  :'their_payment', :'payment', :'their_allocation', :'allocation', :'their_refund', :'refund', :'their_mandate', :'mandate', :'d'),
  'what is another company''s does not exist here');
SELECT is_empty('SELECT * FROM o2c.check()', 'no invariant is violated');
SELECT * FROM finish();
ROLLBACK;
