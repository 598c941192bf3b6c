-- Aging of today, of a recent and of an old date, and of one customer, against
-- what users write by hand, what general ERP reports do, and a sequential
-- count(*) of the items.  SCALE 1 is 500,000 items among 2 million entries;
-- SCALE 10 the size that the aims are stated for.
\set ON_ERROR_STOP 1
SELECT o2c.create_company('Bench', 'DE', 'EUR') AS c \gset
SET session_replication_role = replica;
-- no asynchronous commit here: VACUUM would come too early to mark pages all-visible, and indexes could not be read alone
INSERT INTO o2c.customer (company_id, code, name, currency) SELECT :c, 'K' || g, 'Customer ' || g, 'EUR' FROM generate_series(1, (10000 * :scale)::integer) g;
CREATE TEMPORARY TABLE k AS SELECT row_number() OVER () AS n, id FROM o2c.customer WHERE company_id = :c;

-- two years of invoices, 49 of 50 paid 5 to 95 days after their date, a third of those in two parts
CREATE TEMPORARY TABLE i AS
  SELECT nextval('o2c.open_item_id_seq') AS id, k.id AS customer_id, g, o2c.today(:c) - 730 + (g * 730 / (500000 * :scale))::integer AS d,
         (10 + random() * 990)::numeric(12, 2) AS amount, 5 + (random() * 90)::integer AS wait, random() < 0.98 AS paid, random() < 0.33 AS twice
  FROM generate_series(1, (500000 * :scale)::integer) g JOIN k ON k.n = 1 + (g::bigint * 7919) % (10000 * :scale)::integer ORDER BY g;
INSERT INTO o2c.open_item (company_id, id, customer_id, kind, number, document_date, due_date, currency, amount, open_amount)
SELECT :c, id, customer_id, 'invoice', 'I' || g, d, d + 30, 'EUR', amount, CASE WHEN paid AND d + wait <= o2c.today(:c) THEN 0 ELSE amount END FROM i;
-- 1.65 entries settle an item on average here; two more make the four entries an item of a ledger with receipts and reversals
INSERT INTO o2c.ledger_entry (company_id, item_id, customer_id, currency, due_date, kind, amount, effective_on, recorded_at, raises, allocation_id)
SELECT :c, i.id, i.customer_id, 'EUR', i.d + 30, e.kind::o2c.entry_kind, e.amount, e.on_date, e.on_date + '12:00'::time, e.raises, e.allocation_id
FROM i CROSS JOIN LATERAL (VALUES
  ('invoice', i.amount, i.d, true, NULL::bigint, true),
  ('application', - CASE WHEN twice THEN round(i.amount / 2, 2) ELSE i.amount END, i.d + i.wait, false, 1, i.paid),
  ('application', - (i.amount - round(i.amount / 2, 2)), i.d + i.wait, false, 1, i.paid AND i.twice),
  ('application', - 1.00, i.d + 3, false, 1, true), ('application', 1.00, i.d + 4, true, 1, true)) e (kind, amount, on_date, raises, allocation_id, used)
WHERE e.used AND e.on_date <= o2c.today(:c) AND (i.d + i.wait <= o2c.today(:c) OR e.kind = 'invoice' OR i.d + 4 <= o2c.today(:c) AND abs(e.amount) = 1)
ORDER BY e.on_date;
INSERT INTO o2c.open_balance (company_id, item_id, customer_id, due_date, document_date, currency, open_amount)
SELECT company_id, id, customer_id, due_date, document_date, currency, open_amount FROM o2c.open_item WHERE open_amount <> 0 ORDER BY id;
SET session_replication_role = origin;
VACUUM (ANALYZE) o2c.open_item;
VACUUM (ANALYZE) o2c.open_balance;
VACUUM (ANALYZE) o2c.ledger_entry;
ANALYZE o2c.customer;
SELECT format('%s items, %s open, %s entries', (SELECT count(*) FROM o2c.open_item), (SELECT count(*) FROM o2c.open_item WHERE open_amount <> 0), (SELECT count(*) FROM o2c.ledger_entry));

CREATE FUNCTION pg_temp.ms(query text, runs integer DEFAULT 3) RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
  best numeric; took numeric; began timestamptz;
BEGIN
  FOR r IN 1 .. runs LOOP
    began := clock_timestamp();
    EXECUTE query;
    took := 1000 * extract(epoch FROM clock_timestamp() - began);
    best := least(best, took);
  END LOOP;
  RETURN round(best, 2);
END $$;
-- the floor: every page of the items, one after the other
CREATE FUNCTION pg_temp.floor() RETURNS numeric LANGUAGE sql SET enable_indexonlyscan = off SET enable_indexscan = off SET enable_bitmapscan = off
  SET max_parallel_workers_per_gather = 0 AS $$ SELECT pg_temp.ms('SELECT count(*) FROM o2c.open_item', 9) $$;
-- what the stored amounts answer
CREATE FUNCTION pg_temp.filters(company integer) RETURNS text LANGUAGE sql AS $$ SELECT format('SELECT count(*) FROM (SELECT customer_id, currency,
  sum(open_amount) FILTER (WHERE %1$L::date - due_date <= 0), sum(open_amount) FILTER (WHERE %1$L::date - due_date BETWEEN 1 AND 30),
  sum(open_amount) FILTER (WHERE %1$L::date - due_date BETWEEN 31 AND 60), sum(open_amount) FILTER (WHERE %1$L::date - due_date BETWEEN 61 AND 90),
  sum(open_amount) FILTER (WHERE %1$L::date - due_date > 90) FROM o2c.open_balance WHERE company_id = %2$s GROUP BY 1, 2 OFFSET 0) x', o2c.today(company), company) $$;
-- what an ERP does for a past date: every item with the sum of its entries up to then
CREATE FUNCTION pg_temp.erp(company integer, as_of date) RETURNS text LANGUAGE sql AS $$ SELECT format('SELECT count(*) FROM (SELECT i.customer_id,
  sum(o.amount) FILTER (WHERE %1$L::date - i.due_date <= 0), sum(o.amount) FILTER (WHERE %1$L::date - i.due_date BETWEEN 1 AND 30),
  sum(o.amount) FILTER (WHERE %1$L::date - i.due_date BETWEEN 31 AND 60), sum(o.amount) FILTER (WHERE %1$L::date - i.due_date BETWEEN 61 AND 90),
  sum(o.amount) FILTER (WHERE %1$L::date - i.due_date > 90) FROM o2c.open_item i
  JOIN (SELECT item_id, sum(amount) AS amount FROM o2c.ledger_entry WHERE company_id = %2$s AND effective_on <= %1$L GROUP BY 1) o ON o.item_id = i.id
  WHERE i.company_id = %2$s GROUP BY 1 OFFSET 0) x', as_of, company) $$;
CREATE TEMPORARY TABLE t AS SELECT
  pg_temp.floor() AS floor,
  pg_temp.ms(format('SELECT count(*) FROM o2c.aging(%s)', :c), 9) AS today,
  pg_temp.ms(format('SELECT count(*) FROM o2c.aging(%s, %L)', :c, o2c.today(:c) - 60)) AS recent,
  pg_temp.ms(format('SELECT count(*) FROM o2c.aging(%s, %L)', :c, o2c.today(:c) - 500)) AS old,
  pg_temp.ms(format('SELECT count(*) FROM o2c.aging(%s, %L, known_at => %L)', :c, o2c.today(:c) - 60, o2c.today(:c) - 30)) AS known,
  pg_temp.ms(format('SELECT count(*) FROM o2c.aging(%s, customer => ''K77'')', :c), 20) AS one,
  pg_temp.ms(format('SELECT count(*) FROM o2c.aging(%s, %L, customer => ''K77'')', :c, o2c.today(:c) - 60), 20) AS one_recent,
  pg_temp.ms(format('SELECT count(*) FROM o2c_bi.aging WHERE company_id = %s AND customer_code = ''K77''', :c), 20) AS one_view,
  pg_temp.ms(format('SELECT count(*) FROM o2c_bi.customer_behaviour WHERE company_id = %s AND customer_code = ''K77''', :c), 20) AS one_behaviour,
  pg_temp.ms(format('SELECT count(*) FROM o2c_bi.journal WHERE company_id = %s AND number = ''I77''', :c), 20) AS one_journal,
  pg_temp.ms(format('SELECT count(*) FROM (SELECT * FROM o2c_bi.aging WHERE company_id = %s OFFSET 0) x', :c)) AS bi_view,
  pg_temp.ms(pg_temp.filters(:c)) AS filters,
  pg_temp.ms(pg_temp.erp(:c, o2c.today(:c) - 60), 1) AS erp_recent,
  pg_temp.ms(pg_temp.erp(:c, o2c.today(:c) - 500), 1) AS erp_old;
SELECT format('RATIO|aging today|%s|%s|sequential count(*) of the items', today, floor) FROM t;
SELECT format('RATIO|aging today|%s|%s|sum FILTER over stored open amounts', today, filters) FROM t;
SELECT format('RATIO|o2c_bi.aging|%s|%s|sequential count(*) of the items', bi_view, floor) FROM t;
SELECT format('RATIO|aging 60 days ago|%s|%s|sequential count(*) of the items', recent, floor) FROM t;
SELECT format('RATIO|aging 60 days ago|%s|%s|items joined with sums of entries', recent, erp_recent) FROM t;
SELECT format('RATIO|aging 500 days ago|%s|%s|sequential count(*) of the items', old, floor) FROM t;
SELECT format('RATIO|aging 500 days ago|%s|%s|items joined with sums of entries', old, erp_old) FROM t;
SELECT format('RATIO|aging 60 days ago as known 30 days ago|%s|%s|sequential count(*) of the items', known, floor) FROM t;
SELECT format('RATIO|one customer today|%s|1|1 ms', one) FROM t;
SELECT format('RATIO|one customer 60 days ago|%s|1|1 ms', one_recent) FROM t;
SELECT format('RATIO|o2c_bi.aging of one customer|%s|1|1 ms', one_view) FROM t;
SELECT format('RATIO|o2c_bi.customer_behaviour of one customer|%s|1|1 ms', one_behaviour) FROM t;
SELECT format('RATIO|o2c_bi.journal of one document|%s|1|1 ms', one_journal) FROM t;
