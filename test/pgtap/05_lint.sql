-- The catalog lint: what must be true of every function, table and view,
-- proved by one search through the catalog each.  A new object that breaks a
-- rule fails here by name; nothing has to be listed except the few exceptions
-- below, each with its reason.
SELECT plan(29);

CREATE TEMPORARY VIEW lint_function AS
SELECT p.oid::regprocedure::text AS name, p.*, l.lanname
FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
WHERE p.pronamespace = 'o2c'::regnamespace
  AND p.proname <> '_install_steps';  -- holds the install scripts as constants

CREATE TEMPORARY VIEW lint_table AS
SELECT c.oid, c.relname::text AS name, c.relrowsecurity, c.relforcerowsecurity,
       EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'company_id') AS by_company
FROM pg_class c
WHERE c.relnamespace = 'o2c'::regnamespace AND c.relkind IN ('r', 'p');

-- Columns as names, in the order of a key.
CREATE FUNCTION pg_temp.key_columns(rel oid, key int2[]) RETURNS text[] LANGUAGE sql STABLE AS $$
  SELECT array_agg(a.attname::text ORDER BY k.n)
  FROM unnest(key) WITH ORDINALITY AS k (attnum, n)
  JOIN pg_attribute a ON a.attrelid = rel AND a.attnum = k.attnum
$$;

-- Something to lint at all.
SELECT cmp_ok((SELECT count(*) FROM lint_function), '>', 50::bigint, 'functions are there');
SELECT cmp_ok((SELECT count(*) FROM lint_table), '>', 20::bigint, 'tables are there');

------------------------------------------------------------------- functions
SELECT is_empty($$
  SELECT name FROM lint_function
  WHERE lanname = 'plpgsql' AND NOT coalesce(proconfig, '{}') @> ARRAY['search_path=pg_catalog, o2c, pg_temp']
$$, 'every PL/pgSQL function has SET search_path = pg_catalog, o2c, pg_temp');

SELECT is_empty($$
  SELECT name FROM lint_function
  WHERE coalesce(array_to_string(proconfig, ' '), '') ~ 'search_path'
    AND NOT proconfig @> ARRAY['search_path=pg_catalog, o2c, pg_temp']
$$, 'no function has another search_path');

-- A plan that must do without nested loops may bear the price of a forbidden
-- one, 10,000,000,000, and then PostgreSQL compiles it for seconds.
SELECT is_empty($$
  SELECT name FROM lint_function
  WHERE EXISTS (SELECT FROM unnest(proconfig) setting WHERE setting ~ '^enable_.*=off$') AND NOT proconfig @> ARRAY['jit=off']
$$, 'who forbids a kind of plan forbids just-in-time compilation too');

SELECT is_empty($$ SELECT name FROM lint_function WHERE prosecdef $$, 'no function is SECURITY DEFINER');

-- Operators, casts and input functions of the types must work for whoever
-- may see a column of the type; they touch no table.
SELECT is_empty($$
  SELECT name FROM lint_function f
  WHERE (proacl IS NULL OR EXISTS (SELECT FROM aclexplode(proacl) x WHERE x.grantee = 0 AND x.privilege_type = 'EXECUTE'))
    AND NOT (lanname = 'c' AND provolatile = 'i' AND proparallel = 's')
    AND NOT (prokind = 'a' AND proparallel = 's')
$$, 'nothing is executable by PUBLIC, except pure functions of the types');

SELECT is_empty($$
  SELECT name FROM lint_function WHERE coalesce(btrim(obj_description(oid, 'pg_proc')), '') = ''
$$, 'every function has a comment');

SELECT is_empty($$
  SELECT name, provolatile, proparallel FROM lint_function
  WHERE lanname IN ('sql', 'plpgsql')
    AND prosrc ~* '\m(insert\s+into|update\s+o2c\.|delete\s+from|truncate|nextval|pg_advisory|for\s+(no\s+key\s+)?update)\M'
    AND (provolatile <> 'v' OR proparallel <> 'u')
$$, 'a function that writes or locks is VOLATILE and PARALLEL UNSAFE');

SELECT is_empty($$
  SELECT name FROM lint_function
  WHERE lanname IN ('sql', 'plpgsql') AND provolatile = 'i' AND prosrc ~* '\m(from|join)\s+o2c(_bi)?\.\w+\s*(\w|;|$)'
    AND prosrc !~* '\m(from|join)\s+o2c\.\w+\s*\('
$$, 'a function that reads tables is not IMMUTABLE');

SELECT is_empty($$
  SELECT name FROM lint_function WHERE prorettype = 'trigger'::regtype AND lanname <> 'c' AND proname !~ '_defaults$'
    AND proname <> '_template_guard'    -- templates change rarely, and parsing them is in C
$$, 'every trigger function is in C, except those that fill defaults');

-- What a role may call must work for it: whatever a function's body calls or
-- writes, each role that may execute the function may as well.
CREATE TEMPORARY TABLE lint_may AS
SELECT f.oid, f.proname, regexp_replace(f.prosrc, '''[^'']*''|--[^\n]*', '', 'g') AS prosrc, r.rolname  -- without texts and comments
FROM lint_function f JOIN pg_roles r ON r.rolname LIKE 'o2c\_%' AND has_function_privilege(r.oid, f.oid, 'EXECUTE')
WHERE f.lanname IN ('sql', 'plpgsql');

SELECT is_empty($$
  WITH called AS (
    SELECT m.oid, m.rolname, c[1] AS callee FROM lint_may m, regexp_matches(m.prosrc, '\mo2c\.(\w+)\s*\(', 'g') c
    UNION SELECT m.oid, m.rolname, f.proname FROM lint_may m JOIN lint_function f
      ON (m.proname = '_run_checks' AND f.proname LIKE '\_check\_%' AND f.proretset AND f.pronargs = 1)
      OR (m.proname = 'create_company' AND f.proname LIKE '\_seed\_company\_%')
      OR (m.proname = 'version' AND f.proname LIKE '\_warnings\_%'))
  SELECT c.oid::regprocedure, c.rolname, f.oid::regprocedure AS lacks
  FROM called c JOIN lint_function f ON f.proname = c.callee
  WHERE NOT has_function_privilege(c.rolname, f.oid, 'EXECUTE')
    AND NOT EXISTS (SELECT FROM lint_function o WHERE o.proname = c.callee AND has_function_privilege(c.rolname, o.oid, 'EXECUTE'))
  ORDER BY 3, 1, 2
$$, 'a role that may call a function may call what that calls');

SELECT is_empty($$
  SELECT DISTINCT m.oid::regprocedure, m.rolname, x.verb, x.name
  FROM lint_may m, LATERAL (
    SELECT 'INSERT' AS verb, c[1] AS name FROM regexp_matches(m.prosrc, '\minsert\s+into\s+o2c\.(\w+)', 'gi') c
    UNION SELECT 'UPDATE', c[1] FROM regexp_matches(m.prosrc, '\mupdate\s+o2c\.(\w+)', 'gi') c
    UNION SELECT 'DELETE', c[1] FROM regexp_matches(m.prosrc, '\mdelete\s+from\s+o2c\.(\w+)', 'gi') c
    -- to lock a row takes the right to update a column of it
    UNION SELECT 'UPDATE', c[1] FROM regexp_matches(m.prosrc, '\mfrom\s+o2c\.(\w+)(?:(?!\mfrom\M)[^;])*\mfor\s+(?:no\s+key\s+)?(?:update|share)\M', 'gi') c) x
  WHERE to_regclass('o2c.' || x.name) IS NOT NULL
    AND NOT has_table_privilege(m.rolname, ('o2c.' || x.name)::regclass, x.verb)
    AND NOT has_any_column_privilege(m.rolname, ('o2c.' || x.name)::regclass, nullif(x.verb, 'DELETE'))
  ORDER BY 4, 3, 1, 2
$$, 'and may write the tables that it writes');

SELECT is_empty($$
  SELECT f.name FROM lint_function f
  WHERE f.prorettype <> 'trigger'::regtype AND f.proname !~ '^_|_(in|out|send|recv)$' AND f.proname NOT IN ('install', 'migrate', 'uninstall', 'distribute')
    AND NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname LIKE 'o2c\_%' AND has_function_privilege(r.oid, f.oid, 'EXECUTE'))
$$, 'every public function is for some role');

------------------------------------------------------------------- tables
-- Without a company: code lists of the world, what comes with order2cash for
-- every company, and what install() knows of itself.
SELECT is_empty($$
  SELECT name FROM lint_table
  WHERE NOT by_company
    AND name NOT IN ('installation', 'template_kind', 'template_variable', 'builtin_template')
    AND obj_description(oid, 'pg_class') !~* '(code list|installation|of the database|of this database|the world|all companies)'
$$, 'a table without company_id says in its comment why');

SELECT is_empty($$
  SELECT name FROM lint_table t
  WHERE NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = t.oid AND k.contype = 'p')
$$, 'every table has a primary key');

SELECT is_empty($$
  SELECT t.name, i.indexrelid::regclass
  FROM lint_table t JOIN pg_index i ON i.indrelid = t.oid
  WHERE t.by_company AND i.indisunique
    AND (pg_temp.key_columns(t.oid, i.indkey::int2[]))[1] IS DISTINCT FROM 'company_id'
$$, 'every primary key and unique index starts with company_id');

SELECT is_empty($$
  SELECT t.name, k.conname
  FROM lint_table t JOIN pg_constraint k ON k.conrelid = t.oid AND k.contype = 'f'
  JOIN lint_table r ON r.oid = k.confrelid
  WHERE t.by_company AND r.by_company
    AND ((pg_temp.key_columns(t.oid, k.conkey))[1] IS DISTINCT FROM 'company_id'
      OR (pg_temp.key_columns(r.oid, k.confkey))[1] IS DISTINCT FROM 'company_id')
$$, 'every foreign key between companies'' tables starts with company_id');

SELECT is_empty($$
  SELECT t.name, k.conname, pg_temp.key_columns(t.oid, k.conkey)
  FROM lint_table t JOIN pg_constraint k ON k.conrelid = t.oid AND k.contype = 'f'
  WHERE NOT EXISTS (
    SELECT FROM pg_index i
    WHERE i.indrelid = t.oid AND i.indisvalid
      AND (i.indkey::int2[])[0:cardinality(k.conkey) - 1] @> k.conkey
      AND (i.indpred IS NULL OR pg_get_expr(i.indpred, i.indrelid) ~ 'IS NOT NULL'))
    AND t.by_company
$$, 'every foreign key is indexed');

SELECT is_empty($$
  SELECT name FROM lint_table WHERE coalesce(btrim(obj_description(oid, 'pg_class')), '') = ''
$$, 'every table has a comment');

SELECT is_empty($$
  SELECT name, relrowsecurity, relforcerowsecurity FROM lint_table t
  WHERE by_company AND (NOT relrowsecurity OR NOT relforcerowsecurity
    OR NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = t.oid))
$$, 'row security is enabled, forced and has a policy on every company''s table');

SELECT is_empty($$
  SELECT t.name, a.attname FROM lint_table t JOIN pg_attribute a ON a.attrelid = t.oid
  WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attidentity <> ''
$$, 'no identity column');

SELECT is_empty($$
  SELECT t.name, a.attname FROM lint_table t JOIN pg_attribute a ON a.attrelid = t.oid
  WHERE a.attnum > 0 AND NOT a.attisdropped AND a.atttypid IN ('float4'::regtype, 'float8'::regtype, 'money'::regtype, 'timestamp'::regtype)
$$, 'no floating point, money or timestamp without time zone');

SELECT is_empty($$
  SELECT t.name, a.attname FROM lint_table t JOIN pg_attribute a ON a.attrelid = t.oid
  WHERE a.attnum > 0 AND NOT a.attisdropped AND a.atttypid = 'numeric'::regtype
    AND a.attname ~ '(^|_)(amount|fee|tax|total|net|gross|credit_limit|exposure)$'
    AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = t.oid AND k.contype = 'c'
                    AND pg_get_constraintdef(k.oid) ~ ('is_(amount|total)\(\(?' || a.attname || '\M'))
    AND (t.name, a.attname) NOT IN (
      ('open_item', 'open_amount'),       -- a sum of checked entries, between 0 and the checked amount
      ('open_balance', 'open_amount'),    -- copied from it
      ('bank_line', 'original_amount'))   -- kept as the bank wrote it
$$, 'every amount is checked by o2c.is_amount, every sum of amounts by it or o2c.is_total');

SELECT is_empty($$
  SELECT t.name, a.attname FROM lint_table t JOIN pg_attribute a ON a.attrelid = t.oid
  WHERE a.attnum > 0 AND NOT a.attisdropped AND a.atttypid = 'date'::regtype
    AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = t.oid AND k.contype = 'c'
                    AND pg_get_constraintdef(k.oid) ~ ('isfinite\(\(?' || a.attname || '\M'))
    AND (t.name, a.attname) NOT IN (('ledger_entry', 'due_date'), ('open_balance', 'due_date'), ('open_balance', 'document_date'))  -- copied from the item
$$, 'every date is checked to be finite');

------------------------------------------------------------------- views
SELECT is_empty($$
  SELECT t.oid::regtype FROM pg_type t WHERE t.typnamespace = 'o2c'::regnamespace AND t.typtype IN ('b', 'e') AND t.typcategory <> 'A'
    AND obj_description(t.oid, 'pg_type') IS NULL
$$, 'every type has a comment');

SELECT is_empty($$
  SELECT c.relname FROM pg_class c
  WHERE c.relnamespace = 'o2c_bi'::regnamespace AND c.relkind = 'v'
    AND NOT coalesce(c.reloptions, '{}') && ARRAY['security_invoker=true', 'security_invoker=on']
$$, 'every o2c_bi view is security_invoker');

SELECT is_empty($$
  SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod)
  FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
  WHERE c.relnamespace = 'o2c_bi'::regnamespace AND c.relkind = 'v' AND a.attnum > 0
    AND a.atttypid NOT IN ('text'::regtype, 'numeric'::regtype, 'date'::regtype, 'timestamptz'::regtype,
                           'bigint'::regtype)
    AND NOT (a.attname = 'company_id' AND a.atttypid = 'integer'::regtype)
    AND a.atttypid <> 'boolean'::regtype
$$, 'o2c_bi views have plain column types');

SELECT is_empty($$
  SELECT c.relname, a.attname
  FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
  WHERE c.relnamespace = 'o2c_bi'::regnamespace AND c.relkind = 'v' AND a.attnum > 0
    AND (col_description(c.oid, a.attnum) IS NULL OR obj_description(c.oid, 'pg_class') IS NULL)
$$, 'every o2c_bi view and column has a comment');

SELECT * FROM finish();
