-- What the ledger costs: inserting items and allocations through its triggers,
-- against bare inserts of the same rows into tables with the same indexes; in
-- one statement (50,000 rows at scale 1), and one at a time (2,000).
\set ON_ERROR_STOP 1
SELECT o2c.create_company('Bench', 'DE', 'EUR') AS c \gset
INSERT INTO o2c.customer (company_id, code, name) SELECT :c, 'K' || g, 'K' || g FROM generate_series(1, 1000) g;
ANALYZE o2c.customer;
CREATE TEMPORARY TABLE k AS SELECT row_number() OVER () AS n, id FROM o2c.customer WHERE company_id = :c;
CREATE TEMPORARY TABLE i AS
  SELECT nextval('o2c.open_item_id_seq') AS id, nextval('o2c.open_item_id_seq') AS payment, g, k.id AS customer
  FROM generate_series(1, (50000 * :scale)::integer) g JOIN k ON k.n = 1 + g % 1000;
ANALYZE i;
CREATE TABLE bare_item (LIKE o2c.open_item INCLUDING DEFAULTS INCLUDING INDEXES);
CREATE TABLE bare_entry (LIKE o2c.ledger_entry INCLUDING DEFAULTS INCLUDING INDEXES);
CREATE TABLE bare_allocation (LIKE o2c.allocation INCLUDING DEFAULTS INCLUDING INDEXES);
CREATE TEMPORARY TABLE t (what text, ms numeric);
CREATE FUNCTION pg_temp.ms(label text, VARIADIC statements text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  began timestamptz := clock_timestamp();
  s text;
BEGIN
  FOREACH s IN ARRAY statements LOOP EXECUTE s; END LOOP;
  INSERT INTO t VALUES (label, round(1000 * extract(epoch FROM clock_timestamp() - began), 1));
END $$;
SELECT pg_temp.ms('items', format('INSERT INTO o2c.open_item (company_id, id, customer_id, kind, number, document_date, due_date, currency, amount, open_amount)
  SELECT %s, id, customer, ''opening'', ''I'' || g, ''2024-01-01''::date + g %% 300, ''2024-02-01''::date + g %% 300, ''EUR'', g, g FROM i ORDER BY id', :c));
SELECT pg_temp.ms('payments', format('INSERT INTO o2c.open_item (company_id, id, customer_id, kind, number, document_date, due_date, currency, amount, open_amount)
  SELECT %s, payment, customer, ''on_account'', ''P'' || g, ''2024-03-01''::date + g %% 300, ''2024-03-01''::date + g %% 300, ''EUR'', -g, -g FROM i ORDER BY id', :c));
SELECT pg_temp.ms('allocations', format('INSERT INTO o2c.allocation (company_id, debit_item_id, credit_item_id, currency, amount, effective_on)
  SELECT %s, id, payment, ''EUR'', g, ''2024-03-01''::date + g %% 300 FROM i ORDER BY id', :c));
SELECT pg_temp.ms('bare items', 'INSERT INTO bare_item SELECT * FROM o2c.open_item WHERE amount > 0',
  'INSERT INTO bare_entry SELECT * FROM o2c.ledger_entry WHERE kind = ''opening''');
SELECT pg_temp.ms('bare allocations', 'INSERT INTO bare_allocation SELECT * FROM o2c.allocation',
  'INSERT INTO bare_entry SELECT * FROM o2c.ledger_entry WHERE allocation_id IS NOT NULL');
SELECT pg_temp.ms('bare updates', 'UPDATE bare_item SET open_amount = 0');
SELECT format('RATIO|posting %s items|%s|%s|bare inserts of items and entries', (SELECT count(*) FROM i), a.ms, b.ms) FROM t a, t b WHERE a.what = 'items' AND b.what = 'bare items';
SELECT format('RATIO|posting %s allocations|%s|%s|bare inserts and updates of both items', (SELECT count(*) FROM i), a.ms, b.ms + 2 * u.ms)
FROM t a, t b, t u WHERE a.what = 'allocations' AND b.what = 'bare allocations' AND u.what = 'bare updates';
SELECT format('RATIO|posting %s allocations|%s|%s|bare inserts without touching the items', (SELECT count(*) FROM i), a.ms, b.ms)
FROM t a, t b WHERE a.what = 'allocations' AND b.what = 'bare allocations';

-- one document a statement
CREATE TEMPORARY TABLE one AS
  SELECT g, nextval('o2c.open_item_id_seq') AS id, nextval('o2c.open_item_id_seq') AS payment, k.id AS customer
  FROM generate_series(1, (2000 * :scale)::integer) g JOIN k ON k.n = 1 + g % 1000;
CREATE INDEX ON one (g);
ANALYZE one;
CREATE FUNCTION pg_temp.each(label text, statement text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  n constant integer := (SELECT count(*) FROM one);
  began timestamptz := clock_timestamp();
BEGIN
  FOR i IN 1 .. n LOOP EXECUTE statement USING i; END LOOP;
  INSERT INTO t VALUES (label, round(1000 * extract(epoch FROM clock_timestamp() - began), 1));
END $$;
SELECT pg_temp.each('one item', format('INSERT INTO o2c.open_item (company_id, id, customer_id, kind, number, document_date, due_date, currency, amount, open_amount)
  SELECT %s, id, customer, ''opening'', ''J'' || g, ''2024-01-01'', ''2024-02-01'', ''EUR'', g, g FROM one WHERE g = $1', :c));
SELECT pg_temp.each('one payment', format('INSERT INTO o2c.open_item (company_id, id, customer_id, kind, number, document_date, due_date, currency, amount, open_amount)
  SELECT %s, payment, customer, ''on_account'', ''Q'' || g, ''2024-03-01'', ''2024-03-01'', ''EUR'', -g, -g FROM one WHERE g = $1', :c));
SELECT pg_temp.each('one allocation', format('INSERT INTO o2c.allocation (company_id, debit_item_id, credit_item_id, currency, amount, effective_on)
  SELECT %s, id, payment, ''EUR'', g, ''2024-03-01'' FROM one WHERE g = $1', :c));
SELECT pg_temp.each('bare item', format('WITH i AS (INSERT INTO bare_item (company_id, id, customer_id, kind, number, document_date, due_date, currency, amount, open_amount)
  SELECT %1$s, id, customer, ''opening'', ''J'' || g, ''2024-01-01'', ''2024-02-01'', ''EUR'', g, g FROM one WHERE g = $1)
  INSERT INTO bare_entry (company_id, item_id, customer_id, currency, due_date, kind, amount, effective_on, credit)
  SELECT %1$s, id, customer, ''EUR'', ''2024-02-01'', ''opening'', g, ''2024-01-01'', false FROM one WHERE g = $1', :c));
INSERT INTO bare_item SELECT i.* FROM o2c.open_item i JOIN one ON one.payment = i.id WHERE i.company_id = :c;
SELECT pg_temp.each('bare allocation', format('WITH a AS (INSERT INTO bare_allocation (company_id, debit_item_id, credit_item_id, currency, amount, effective_on)
   SELECT %1$s, id, payment, ''EUR'', g, ''2024-03-01'' FROM one WHERE g = $1),
  u AS (UPDATE bare_item b SET open_amount = 0 FROM one WHERE b.company_id = %1$s AND b.id IN (one.id, one.payment) AND one.g = $1)
  INSERT INTO bare_entry (company_id, item_id, customer_id, currency, due_date, kind, amount, effective_on, credit)
  SELECT %1$s, v.item, customer, ''EUR'', ''2024-02-01'', ''application'', v.amount, ''2024-03-01'', v.amount > 0 FROM one, LATERAL (VALUES (id, -g), (payment, g)) v (item, amount) WHERE g = $1', :c));
SELECT format('RATIO|posting one item, %s times|%s|%s|bare inserts of item and entry', (SELECT count(*) FROM one), a.ms, b.ms)
FROM t a, t b WHERE a.what = 'one item' AND b.what = 'bare item';
SELECT format('RATIO|posting one allocation, %s times|%s|%s|bare inserts and updates of both items', (SELECT count(*) FROM one), a.ms, b.ms)
FROM t a, t b WHERE a.what = 'one allocation' AND b.what = 'bare allocation';
DROP TABLE bare_item, bare_entry, bare_allocation;
