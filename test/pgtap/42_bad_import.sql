-- Files with every mistake that a file can have: imports of customers, products
-- and orders, with each column in turn missing, empty, of another type, not a
-- number, endless, huge, with control characters, unknown or another company's.
--
-- A table of good rows, and for each bad value a good row with one column
-- replaced.  One import takes them all: it never fails, every good row comes in,
-- every bad one is kept whole with its reason.
SELECT plan(38);

SELECT o2c.create_company('Good', 'DE', 'EUR') AS c \gset
SELECT o2c.create_company('Other', 'DE', 'EUR') AS x \gset
INSERT INTO o2c.customer (company_id, code, name) VALUES (:c, 'A', 'A'), (:c, 'B', 'B'), (:x, 'X', 'X');
INSERT INTO o2c.product (company_id, code, name, unit_price) VALUES (:c, 'P', 'P', 10), (:x, 'Q', 'Q', 10), (:c, 'FREE', 'No price', NULL);
INSERT INTO o2c.payment_term (company_id, code, name) VALUES (:x, 'THEIRS', 'theirs') ON CONFLICT DO NOTHING;

-- value, and whether it must be refused: of any column, and of kinds of columns
CREATE TABLE bad (kind text, value text, refuse boolean);
INSERT INTO bad VALUES
  ('code', NULL, true), ('code', '', true), ('code', '   ', true), ('code', repeat('x', 101), true), ('code', repeat('x', 1000000), true),
  ('code', E'a\x01b', true), ('code', E'a\nb', true), ('code', E'a\x7fb', true), ('code', 'a''; DROP TABLE o2c.customer --', false), ('code', 'ünïcødé ✓', false),
  ('name', NULL, true), ('name', '', true), ('name', repeat('x', 301), true), ('name', E'a\x01b', true), ('name', E'Müller & <Söhne>', false),
  ('number', 'NaN', true), ('number', 'Infinity', true), ('number', '-Infinity', true), ('number', '-1', true), ('number', '1e3', true), ('number', 'many', true),
  ('number', '1,5', true), ('number', '0x10', true), ('number', repeat('9', 40), true), ('number', repeat('9', 100000), true), ('number', '0.0000001', true),
  ('number', '1.2.3', true), ('number', '--1', true), ('number', E'1\n', false), ('number', ' 7 ', false), ('number', '+7', NULL),
  ('positive', '0', true), ('positive', '-0', true),
  ('date', '2026-02-30', true), ('date', 'infinity', true), ('date', 'today', true), ('date', '01.02.2026', true), ('date', '2026-13-01', true),
  ('date', repeat('9', 100), true), ('date', '0000-01-01', true), ('date', NULL, false), ('date', '2026-02-28', false),
  ('country', 'DEU', true), ('country', 'de', true), ('country', 'D', true), ('country', E'D\n', true), ('country', NULL, false), ('country', 'FR', false),
  ('currency', 'EURO', true), ('currency', 'XX', true), ('currency', '€', true), ('currency', repeat('x', 100000), true), ('currency', NULL, false), ('currency', 'USD', false),
  ('language', 'german', true), ('language', 'DE', true), ('language', 'de_DE', true), ('language', 'de-CH', false),
  ('email', E'a@b\nBcc: c@d', true), ('email', repeat('x', 321), true), ('email', 'a@example.com', false),
  ('phone', E'1\t2', true), ('phone', repeat('1', 41), true), ('phone', '+49 30 1', false),
  ('iban', 'DE89370400440532013001', true), ('iban', 'DE89', true), ('iban', E'DE89\x01', true), ('iban', repeat('x', 100000), true), ('iban', 'DE89 3704 0044 0532 0130 00', false),
  ('cents', '0.001', true),
  ('term', 'NET99', true), ('term', 'THEIRS', true), ('term', 'NET30', false),
  ('parent', 'nobody', true), ('parent', 'X', true), ('parent', 'A', false),
  ('unit', repeat('x', 100000), true), ('unit', E'a\x01', true), ('unit', 'KGM', false),
  ('category', repeat('x', 100000), true), ('category', E'a\x01', true), ('category', 'S', false),
  ('customer', 'nobody', true), ('customer', 'X', true), ('customer', NULL, true), ('customer', repeat('x', 1000000), true), ('customer', 'B', false),
  ('product', 'nothing', true), ('product', 'Q', true), ('product', NULL, true), ('product', repeat('x', 1000000), true);
-- columns of each import: the good value and the kinds of what is bad
CREATE TABLE col (func text, n integer, name text, good text, kinds text[]);
INSERT INTO col VALUES
  ('import_customers', 1, 'code', NULL, '{code}'), ('import_customers', 2, 'name', 'Name', '{name}'), ('import_customers', 3, 'country', 'DE', '{country}'),
  ('import_customers', 4, 'currency', 'EUR', '{currency}'), ('import_customers', 5, 'language', 'de', '{language}'), ('import_customers', 6, 'email', 'a@example.com', '{email}'),
  ('import_customers', 7, 'phone', '1', '{phone}'), ('import_customers', 8, 'iban', NULL, '{iban}'), ('import_customers', 9, 'credit_limit', '100', '{number,cents}'),
  ('import_customers', 10, 'payment_term', 'NET30', '{term}'), ('import_customers', 11, 'parent_code', NULL, '{parent}'),
  ('import_products', 1, 'code', NULL, '{code}'), ('import_products', 2, 'name', 'Name', '{name}'), ('import_products', 3, 'unit', 'C62', '{unit}'),
  ('import_products', 4, 'unit_price', '10', '{number}'), ('import_products', 5, 'tax_category', 'S', '{category}'), ('import_products', 6, 'on_hand', '5', '{number}'),
  ('import_orders', 1, 'order_code', NULL, '{code}'), ('import_orders', 2, 'customer_code', 'A', '{customer}'), ('import_orders', 3, 'product_code', 'P', '{product}'),
  ('import_orders', 4, 'quantity', '2', '{number,positive}'), ('import_orders', 5, 'unit_price', '10', '{number,positive}'), ('import_orders', 6, 'ordered_on', '2026-01-01', '{date}');

-- one row for each bad value of each column, in a table of the import's columns
CREATE TABLE trial (func text, row_no bigint, col text, value text, refuse boolean, r jsonb);
INSERT INTO trial
SELECT t.func, t.row_no, t.name, t.value, t.refuse,
  (SELECT jsonb_object_agg(o.name, CASE WHEN o.name = t.name THEN t.value ELSE coalesce(o.good, CASE WHEN o.n = 1 THEN 'K' || t.row_no END) END)
   FROM col o WHERE o.func = t.func)
FROM (SELECT row_number() OVER () AS row_no, c.func, c.n, c.name, k.kind, b.value, b.refuse
      FROM col c CROSS JOIN LATERAL unnest(c.kinds) k(kind) JOIN bad b ON b.kind = k.kind) t;
-- and a good row beside each
INSERT INTO trial
SELECT t.func, t.row_no, NULL, NULL, false,
  (SELECT jsonb_object_agg(o.name, coalesce(o.good, CASE WHEN o.n = 1 THEN 'G' || t.row_no END)) FROM col o WHERE o.func = t.func)
FROM trial t;
SELECT cmp_ok(count(*) FILTER (WHERE refuse), '>', 100::bigint, 'many ways to be wrong') FROM trial;
DO $$
DECLARE
  f text;
BEGIN
  FOR f IN SELECT DISTINCT func FROM col LOOP
    EXECUTE format('CREATE TABLE src_%s AS SELECT t.r AS whole, %s FROM trial t WHERE t.func = %L ORDER BY t.row_no, t.refuse', f,
      (SELECT string_agg(format('t.r ->> %L AS %I', name, name), ', ' ORDER BY n) FROM col WHERE func = f), f);
  END LOOP;
END $$;

SELECT lives_ok(format('SELECT o2c.%I(%s, %L)', f, :c, 'src_' || f), f || ' survives such a file')
FROM unnest('{import_customers,import_products,import_orders}'::text[]) f;
SELECT is((SELECT string_agg(format(E'\n%s.%s = %s', t.func, t.col, left(t.value, 60)), '') FROM trial t
  WHERE t.refuse AND NOT EXISTS (SELECT FROM o2c.import_reject r WHERE r.import = t.func AND r.source_row -> 'whole' = t.r)), NULL, 'what is wrong is rejected, and kept whole');
SELECT is((SELECT string_agg(format(E'\n%s.%s = %s: %s', t.func, t.col, left(t.value, 60), r.reason), '') FROM trial t
  JOIN o2c.import_reject r ON r.import = t.func AND r.source_row -> 'whole' = t.r WHERE NOT t.refuse), NULL, 'what is right is not');
SELECT is((SELECT count(*) FROM o2c.import_reject r WHERE length(r.reason) NOT BETWEEN 5 AND 400), 0::bigint, 'each with a reason that echoes no megabyte');
SELECT is((SELECT count(*) FROM trial t WHERE t.func = 'import_customers' AND t.col IS NULL AND NOT EXISTS (SELECT FROM o2c.customer c WHERE c.company_id = :c AND c.code = t.r ->> 'code')), 0::bigint, 'the good customers are there');
SELECT is((SELECT count(*) FROM trial t WHERE t.func = 'import_products' AND t.col IS NULL AND NOT EXISTS (SELECT FROM o2c.product c WHERE c.company_id = :c AND c.code = t.r ->> 'code')), 0::bigint, 'the good products');
SELECT is((SELECT count(*) FROM trial t WHERE t.func = 'import_orders' AND t.col IS NULL AND NOT EXISTS (SELECT FROM o2c.sales_order c WHERE c.company_id = :c AND c.code = t.r ->> 'order_code')), 0::bigint, 'and the good orders');
-- the same files again
SELECT is((SELECT imported FROM o2c.import_customers(:c, 'src_import_customers')), 0::bigint, 'again: no customer is new');
SELECT is((SELECT imported FROM o2c.import_products(:c, 'src_import_products')), 0::bigint, 'no product');
SELECT is((SELECT imported FROM o2c.import_orders(:c, 'src_import_orders')), 0::bigint, 'no order');
SELECT is((SELECT count(*) FROM o2c.customer WHERE company_id = :x), 1::bigint, 'the other company has what it had');

-- arguments
SELECT throws_ok(format('SELECT o2c.%I(%s, %s)', f, a.company, a.source), a.code, NULL, format('%s(%s, %s)', f, a.company, a.source))
FROM unnest('{import_customers,import_products,import_orders}'::text[]) f, (VALUES
  ('NULL', quote_literal('src_import_orders'), 'O2002'), ('-1', quote_literal('src_import_orders'), 'O2002'), (:'c', 'NULL', 'O2004'),
  (:'c', '''nowhere''', '42P01'), (:'c', '''pg_class''', 'O2006'), (:'c', '0', 'O2006')) a(company, source, code);

-- columns of other types
CREATE TABLE typed AS SELECT 'T' || n AS order_code, 'A' AS customer_code, 'P' AS product_code, q AS quantity, 10::money::numeric AS unit_price, timestamptz '2026-01-01 12:00+00' AS ordered_on
FROM (VALUES (1, 2::float8), (2, 'NaN'), (3, 'Infinity'), (4, 1e300), (5, 0.1)) v(n, q);
SELECT is((SELECT (imported, rejected)::text FROM o2c.import_orders(:c, 'typed')), '(2,3)', 'doubles and times are read as they are written; NaN, Infinity and 1e300 are no quantities');
CREATE TABLE bytes AS SELECT '\xff00fe'::bytea AS code, '{"a": 1}'::jsonb AS name, '{1,2}'::integer[] AS unit_price;
SELECT is((SELECT (imported, rejected)::text FROM o2c.import_products(:c, 'bytes')), '(0,1)', 'an array is no price');
-- duplicates in one file
CREATE TABLE twice AS SELECT * FROM (VALUES ('D1', 'One'), ('D1', 'One'), ('D1', 'Other'), ('d1', 'Another')) v(code, name);
SELECT is((SELECT (imported, unchanged, rejected)::text FROM o2c.import_customers(:c, 'twice')), '(2,1,1)', 'equal rows are one customer, other content is rejected');
SELECT is((SELECT (imported, unchanged, rejected)::text FROM o2c.import_products(:c, 'twice')), '(2,1,1)', 'as with products');
CREATE TABLE mixed AS SELECT * FROM (VALUES ('M1', 'A', 'P', 1), ('M1', 'B', 'P', 1), ('M1', 'A', 'P', 1), ('M1', 'A', 'FREE', 1)) v(order_code, customer_code, product_code, quantity);
SELECT is((SELECT (imported, unchanged, rejected)::text FROM o2c.import_orders(:c, 'mixed')), '(2,0,2)', 'an order of two customers is that of its first; equal rows are two lines');

SELECT is_empty('SELECT * FROM o2c.check()', 'every invariant holds');
SELECT * FROM finish();
