-- Every function survives NULL in every place, those in C that are not STRICT
-- before all: whoever may call them is a client, and a crash is everybody's.
-- Each is called with NULLs alone, and with each argument NULL while the others
-- have some value of their type.
SELECT plan(4);
SELECT o2c.create_company('Nothing', 'DE', 'EUR') AS c \gset

CREATE TEMPORARY TABLE sample (type regtype PRIMARY KEY, value text);
INSERT INTO sample VALUES ('integer', :'c'), ('smallint', '1'), ('bigint', '1'), ('numeric', '1'), ('double precision', '1'), ('boolean', 'true'), ('text', 'x'),
  ('date', '2026-01-01'), ('timestamptz', '2026-01-01 12:00+00'), ('timestamp', '2026-01-01 12:00'), ('time', '12:00'), ('interval', '1 day'), ('jsonb', '{}'), ('xml', '<a/>'), ('bytea', 'x'),
  ('regclass', 'pg_class'), ('regprocedure', 'o2c.today(integer)'), ('name', 'x'), ('oid', '1'), ('o2c.currency', 'EUR'), ('o2c.iban', 'DE89370400440532013000'), ('o2c.creditor_reference', 'RF18539007547034');
INSERT INTO sample SELECT (type::text || '[]')::regtype, CASE WHEN type = 'integer'::regtype THEN '{0,30}' ELSE '{' || value || '}' END
FROM sample WHERE type IN ('integer'::regtype, 'bigint', 'numeric', 'text', 'boolean');

CREATE TEMPORARY TABLE tried (statement text, code text, message text);
CREATE FUNCTION pg_temp.try(statement text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE 'SELECT count(*) FROM (SELECT (' || statement || ')) x';
  RAISE EXCEPTION 'undo' USING ERRCODE = 'ZZZZZ';
EXCEPTION WHEN OTHERS THEN
  INSERT INTO tried VALUES (statement, SQLSTATE, SQLERRM);
END $$;
CREATE TEMPORARY VIEW callable AS
SELECT p.oid, p.proname, p.pronargs, p.proargtypes::regtype[] AS types
FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
WHERE p.pronamespace = 'o2c'::regnamespace AND p.prokind = 'f' AND p.pronargs > 0
  AND NOT (l.lanname = 'c' AND p.proisstrict)
  AND NOT p.proargtypes::regtype[] && ARRAY['internal', 'cstring']::regtype[]
  -- these make and remove everything, or run whatever they are given
  AND p.proname NOT IN ('install', 'uninstall', 'migrate', '_run_steps', '_in_transaction');
SELECT count(pg_temp.try(format('o2c.%I(%s)', proname, (SELECT string_agg(format('NULL::%s', t), ', ' ORDER BY n) FROM unnest(types) WITH ORDINALITY a(t, n)))))
FROM callable \gset all_
SELECT count(pg_temp.try(format('o2c.%I(%s)', c.proname,
  (SELECT string_agg(CASE WHEN a.n = hole THEN format('NULL::%s', a.t) ELSE format('%L::%s', s.value, a.t) END, ', ' ORDER BY a.n)
   FROM unnest(c.types) WITH ORDINALITY a(t, n) LEFT JOIN sample s ON s.type = a.t))))
FROM callable c CROSS JOIN LATERAL generate_series(1, c.pronargs) hole \gset one_
SELECT cmp_ok(:all_count, '>', 250, 'functions are called with nothing');
SELECT cmp_ok(:one_count, '>', 900, 'and with nothing in one place');
SELECT is_empty($$SELECT * FROM tried WHERE code ~ '^(XX|53|57|58)' LIMIT 20$$, 'none fails inside');
SELECT is_empty('SELECT * FROM o2c.check()');
SELECT * FROM finish();
