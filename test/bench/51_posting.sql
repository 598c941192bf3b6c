-- What the ledger costs: inserting items and allocations through its triggers,
-- against bare inserts of the same rows into tables with the same indexes.
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
DROP TABLE bare_item, bare_entry, bare_allocation;
