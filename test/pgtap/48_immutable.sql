-- 10,000 issued documents, attacked by every kind of DML as the owner of the
-- tables: each statement is refused, and not a byte of them has changed.
SET client_min_messages = warning;
SELECT plan(11);

SELECT o2c.create_company('Kept', 'DE', 'EUR', vat_id => 'DE123456789') AS c \gset
INSERT INTO o2c.customer (company_id, code, name, country) SELECT :c, 'C' || n, 'Customer ' || n, 'DE' FROM generate_series(1, 100) n;
INSERT INTO o2c.number_series (company_id, code, assign) VALUES (:c, 'late', 'commit');
INSERT INTO o2c.invoice (company_id, id, customer_id, currency)
SELECT :c, n, (SELECT min(id) FROM o2c.customer WHERE company_id = :c) + n % 100, 'EUR' FROM generate_series(1, 10002) n;
INSERT INTO o2c.invoice_line (company_id, invoice_id, line_no, description, quantity, unit_price, currency, tax_category, tax_rate)
SELECT :c, n, l, 'Item ' || l, l, 9.99, 'EUR', 'S', CASE l WHEN 1 THEN 19 ELSE 7 END FROM generate_series(1, 10002) n, generate_series(1, 2) l;
INSERT INTO o2c.invoice_allowance (company_id, invoice_id, currency, amount, reason, tax_category, tax_rate)
SELECT :c, n, 'EUR', 1, 'Loyalty', 'S', 19 FROM generate_series(1, 10002, 3) n;
SELECT count(*) AS issued FROM o2c.issue_invoices(:c, (SELECT array_agg(n::bigint) FROM generate_series(1, 10000) n), '2026-01-31') \gset
SELECT is(:issued, 10000, '10,000 documents are issued');

CREATE FUNCTION pg_temp.digest() RETURNS numeric LANGUAGE sql AS $$
  SELECT sum(hashtextextended(t, 0)::numeric) FROM (
    SELECT i::text AS t FROM o2c.invoice i UNION ALL SELECT l::text FROM o2c.invoice_line l
    UNION ALL SELECT x::text FROM o2c.invoice_tax x UNION ALL SELECT a::text FROM o2c.invoice_allowance a
    UNION ALL SELECT c::text FROM o2c.number_counter c UNION ALL SELECT o::text FROM o2c.open_item o) all_rows $$;
-- the SQLSTATE of a statement, 'done' when it is not refused; undone in any case
CREATE FUNCTION pg_temp.attack(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE statement;
  SET CONSTRAINTS ALL IMMEDIATE;
  RAISE EXCEPTION USING ERRCODE = 'ATTAK';
EXCEPTION WHEN OTHERS THEN
  RETURN CASE SQLSTATE WHEN 'ATTAK' THEN 'done' ELSE SQLSTATE END;
END $$;
SELECT pg_temp.digest() AS before \gset

-- another value for any column
CREATE FUNCTION pg_temp.other(name name, type oid) RETURNS text LANGUAGE sql AS $$
  SELECT format(CASE type::regtype::text
    WHEN 'o2c.invoice_state' THEN '''paid''' WHEN 'o2c.currency' THEN '''USD'''
    WHEN 'o2c.creditor_reference' THEN '''RF18539007547034''' WHEN 'text' THEN 'coalesce(%1$I, '''') || ''x'''
    WHEN 'date' THEN 'coalesce(%1$I, ''2026-01-01'') + 1' WHEN 'timestamp with time zone' THEN 'coalesce(%1$I, now()) + ''1 s'''
    WHEN 'jsonb' THEN '''{"changed": true}''' WHEN 'boolean' THEN 'NOT %1$I'
    ELSE 'coalesce(%1$I, 0) + 1' END, name) $$;

-- every column of every table, in some documents and in one of them
CREATE TEMP TABLE attempt AS
SELECT s.statement, pg_temp.attack(s.statement) AS outcome
FROM pg_attribute a
CROSS JOIN LATERAL (SELECT CASE WHEN a.attrelid = 'o2c.invoice'::regclass THEN 'id' ELSE 'invoice_id' END AS key) k
CROSS JOIN LATERAL (VALUES (k.key || ' % 1000 = 4'), (k.key || ' = 10000')) w(rows)
CROSS JOIN LATERAL (SELECT format('UPDATE %s SET %I = %s WHERE %s', a.attrelid::regclass, a.attname, pg_temp.other(a.attname, a.atttypid), w.rows)) s(statement)
WHERE a.attrelid IN ('o2c.invoice'::regclass, 'o2c.invoice_line'::regclass, 'o2c.invoice_tax'::regclass, 'o2c.invoice_allowance'::regclass)
  AND a.attnum > 0 AND NOT a.attisdropped;
SELECT cmp_ok((SELECT count(*) FROM attempt), '>', 150::bigint, 'all columns are attacked');
-- by the guard, by a lifecycle, by a constraint that says what it is
SELECT is_empty($$SELECT * FROM attempt WHERE outcome NOT IN ('O2030', 'O2010', 'O2042') AND outcome NOT LIKE '23%'$$,
  'no column can be changed, and every refusal is in words');

-- all other forms
CREATE TABLE public.lines_copy AS SELECT * FROM o2c.invoice_line WHERE invoice_id = 1;
UPDATE public.lines_copy SET id = id + 1000000, line_no = line_no + 10;
SELECT current_setting('data_directory') || '/attack.copy' AS file \gset
COPY public.lines_copy TO :'file';
CREATE VIEW public.invoice_view AS SELECT * FROM o2c.invoice;
CREATE TEMP TABLE other_form AS SELECT s AS statement, pg_temp.attack(s) AS outcome FROM unnest(ARRAY[
  'DELETE FROM o2c.invoice', 'DELETE FROM o2c.invoice WHERE id = 77', 'DELETE FROM o2c.invoice i USING o2c.customer c WHERE c.id = i.customer_id',
  'DELETE FROM o2c.invoice_line', 'DELETE FROM o2c.invoice_tax', 'DELETE FROM o2c.invoice_allowance',
  'DELETE FROM o2c.customer', 'DELETE FROM o2c.company', 'DELETE FROM o2c.number_series', 'DELETE FROM o2c.number_counter',
  'UPDATE o2c.number_counter SET last_number = 0', 'UPDATE o2c.number_series SET first_number = 7 WHERE code = ''invoice''',
  'UPDATE o2c.number_series SET reset = ''never'' WHERE code = ''invoice''',
  'TRUNCATE o2c.invoice', 'TRUNCATE o2c.invoice CASCADE', 'TRUNCATE o2c.invoice_line', 'TRUNCATE o2c.invoice_line CASCADE', 'TRUNCATE o2c.invoice_tax',
  'TRUNCATE o2c.invoice_allowance CASCADE', 'TRUNCATE o2c.customer CASCADE', 'TRUNCATE o2c.company CASCADE', 'TRUNCATE o2c.sales_order CASCADE',
  'TRUNCATE o2c.number_counter', 'TRUNCATE o2c.number_series CASCADE',
  format('COPY o2c.invoice_line FROM %L', :'file'), 'INSERT INTO o2c.invoice_line SELECT * FROM public.lines_copy',
  'MERGE INTO o2c.invoice i USING o2c.customer c ON c.id = i.customer_id WHEN MATCHED THEN UPDATE SET note = ''x''',
  'MERGE INTO o2c.invoice i USING o2c.customer c ON c.id = i.customer_id WHEN MATCHED THEN DELETE',
  'MERGE INTO o2c.invoice_line l USING (VALUES (1)) v(n) ON l.invoice_id = v.n WHEN MATCHED THEN UPDATE SET quantity = 7',
  'MERGE INTO o2c.invoice_tax t USING (VALUES (1)) v(n) ON t.invoice_id = v.n WHEN MATCHED THEN DELETE',
  'INSERT INTO o2c.invoice (company_id, id, customer_id, currency) SELECT company_id, id, customer_id, currency FROM o2c.invoice ON CONFLICT (company_id, id) DO UPDATE SET note = ''x''',
  'INSERT INTO o2c.invoice_line SELECT * FROM o2c.invoice_line WHERE invoice_id = 1 ON CONFLICT (company_id, id) DO UPDATE SET quantity = 7',
  'INSERT INTO o2c.invoice_tax SELECT * FROM o2c.invoice_tax WHERE invoice_id = 1 ON CONFLICT (company_id, id) DO UPDATE SET tax_amount = 0',
  format('INSERT INTO o2c.invoice_tax (company_id, invoice_id, tax_category, tax_rate, currency, base_amount, tax_amount) VALUES (%s, 1, ''Z'', 0, ''EUR'', 0, 0)', :c),
  format('INSERT INTO o2c.invoice_allowance (company_id, invoice_id, currency, amount, reason, tax_category) VALUES (%s, 1, ''EUR'', 1, ''x'', ''S'')', :c),
  'UPDATE o2c.invoice_line SET invoice_id = 1, line_no = 9 WHERE invoice_id = 10001 AND line_no = 1',
  'UPDATE o2c.invoice_line SET invoice_id = 10001, line_no = 9 WHERE invoice_id = 1 AND line_no = 1',
  'UPDATE o2c.invoice_tax SET invoice_id = 10001 WHERE invoice_id = 1', 'UPDATE o2c.invoice_allowance SET invoice_id = 10001 WHERE invoice_id = 1',
  'WITH d AS (DELETE FROM o2c.invoice_line WHERE invoice_id = 1 RETURNING *) INSERT INTO o2c.invoice_line SELECT * FROM d',
  'WITH u AS (UPDATE o2c.invoice SET note = ''x'' WHERE id = 5 RETURNING 1) SELECT * FROM u',
  'UPDATE public.invoice_view SET total_amount = 0', 'DELETE FROM public.invoice_view', 'UPDATE o2c.open_item SET amount = 1', 'DELETE FROM o2c.open_item',
  format('SELECT o2c.drop_draft(%s, 1)', :c), format('SELECT o2c.void_invoice(%s, 1, ''gone'')', :c), format('SELECT o2c.recalculate_invoice(%s, 1)', :c),
  format('SELECT o2c._post_invoices(%s, ARRAY[1::bigint])', :c)]) s;
SELECT is_empty($$SELECT * FROM other_form WHERE outcome NOT LIKE 'O2%' AND outcome NOT LIKE '23%'
  AND (statement, outcome) <> ('TRUNCATE o2c.invoice', '0A000') -- PostgreSQL's own refusal of a referenced table
  $$, 'every other statement is refused, in words');

-- a document is issued by its function and in no other way
SELECT is((SELECT array_agg(DISTINCT pg_temp.attack(format(
  'UPDATE o2c.invoice SET state = %L, series = %L, issue_date = %L WHERE id = 10001', state, series, '2026-02-01')))
  FROM unnest(ARRAY['issued', 'paid', 'credited', 'written_off']) state, unnest(ARRAY['late', 'invoice']) series), '{O2010}'::text[],
  'an UPDATE of the state does not issue, whether numbers are drawn at issue or at commit');
SELECT is(pg_temp.attack(format('SELECT o2c._issue_drafts(%s, ARRAY[10001::bigint], %L)', :c, '2026-02-01')), 'O2010',
  'nor does a part of what issuing does');

-- what an owner can do to the guards themselves, check() tells of
CREATE FUNCTION pg_temp.told(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE told text;
BEGIN
  EXECUTE statement;
  SELECT string_agg(detail, '; ' ORDER BY detail) INTO told FROM o2c._check_guard(NULL);
  RAISE EXCEPTION USING ERRCODE = 'ATTAK';
EXCEPTION
  WHEN SQLSTATE 'ATTAK' THEN
    RETURN told;
  WHEN object_not_in_prerequisite_state OR feature_not_supported THEN
    RETURN SQLERRM;	-- newer servers refuse an inheritance child with such triggers themselves
END $$;
CREATE TABLE public.parent (LIKE o2c.invoice_line);
CREATE TABLE public.parted (LIKE o2c.invoice_allowance) PARTITION BY RANGE (company_id);
CREATE TEMP TABLE ddl AS SELECT s AS statement, pg_temp.told(s) AS told FROM unnest(ARRAY[
  'ALTER TABLE o2c.invoice DISABLE TRIGGER invoice_guard', 'ALTER TABLE o2c.invoice DISABLE TRIGGER USER', 'ALTER TABLE o2c.invoice_line DISABLE TRIGGER ALL',
  'ALTER TABLE o2c.invoice_tax ENABLE REPLICA TRIGGER invoice_tax_update', 'DROP TRIGGER invoice_guard ON o2c.invoice', 'ALTER TRIGGER invoice_guard ON o2c.invoice RENAME TO other',
  'DROP TRIGGER invoice_guard ON o2c.invoice; CREATE TRIGGER invoice_guard BEFORE INSERT OR UPDATE OR DELETE ON o2c.invoice FOR EACH ROW EXECUTE FUNCTION pg_catalog.suppress_redundant_updates_trigger()',
  'DROP TRIGGER invoice_guard ON o2c.invoice; CREATE TRIGGER invoice_guard BEFORE INSERT ON o2c.invoice FOR EACH ROW EXECUTE FUNCTION o2c._invoice_guard()',
  'CREATE OR REPLACE FUNCTION o2c._invoice_guard() RETURNS trigger LANGUAGE plpgsql AS ''BEGIN RETURN NEW; END''',
  'ALTER TABLE o2c.invoice DROP CONSTRAINT invoice_total', 'ALTER TABLE o2c.invoice_line DROP CONSTRAINT invoice_line_company_id_invoice_id_fkey',
  'ALTER TABLE o2c.invoice DROP CONSTRAINT invoice_total; ALTER TABLE o2c.invoice ADD CONSTRAINT invoice_total CHECK (state = ''draft'' OR total_amount = net_amount + tax_amount) NOT VALID',
  'DROP INDEX o2c.invoice_line_subscription_key', 'ALTER TABLE o2c.invoice DISABLE ROW LEVEL SECURITY', 'ALTER TABLE o2c.invoice NO FORCE ROW LEVEL SECURITY',
  'CREATE RULE quiet AS ON DELETE TO o2c.invoice_line DO INSTEAD NOTHING', 'CREATE TABLE public.child () INHERITS (o2c.invoice)', 'ALTER TABLE o2c.invoice_line INHERIT public.parent',
  'ALTER TABLE public.parted ATTACH PARTITION o2c.invoice_allowance FOR VALUES FROM (0) TO (1000)', 'ALTER TABLE o2c.invoice RENAME TO invoice_old', 'DROP TABLE o2c.invoice_tax CASCADE',
  format('ALTER DATABASE %I SET session_replication_role = replica', current_database()), 'ALTER ROLE o2c_clerk SET session_replication_role = replica']) s;
SELECT is_empty('SELECT statement FROM ddl WHERE told IS NULL', 'every way around the guards is told of');
SELECT is((SELECT told FROM ddl WHERE statement LIKE '%DISABLE TRIGGER invoice_guard'), 'trigger invoice_guard of o2c.invoice is disabled', 'by name');
SELECT is(pg_temp.attack('UPDATE o2c.guard SET detail = ''x''') || pg_temp.attack('DELETE FROM o2c.guard') || pg_temp.attack('TRUNCATE o2c.guard'), 'O2030O2030O2030', 'what there should be is kept as documents are');

SELECT is(pg_temp.digest(), :before, 'not a byte has changed');
ANALYZE;
SELECT is_empty('SELECT * FROM o2c.check()', 'check() is empty');
SELECT * FROM finish();
