-- run_dunning against inserting the very rows that it writes.
--
-- 200,000 overdue items of 20,000 customers (times scale; SCALE=5 is a million
-- of 100,000, and takes some ten minutes to prepare).  The baseline copies
-- the notices, their items and their messages, already computed, into the same
-- tables of another company: the same indexes, constraints and triggers.
\set items 200000 * :scale
\set customers 20000 * :scale
SELECT o2c.create_company('Bench', 'DE', 'EUR') AS c \gset
SELECT o2c.create_company('Copy', 'DE', 'EUR') AS b \gset
INSERT INTO o2c.channel (company_id, code, kind, url) SELECT c, 'mail', 'email', 'smtp://127.0.0.1:2525' FROM unnest(ARRAY[:c, :b]) c;
INSERT INTO o2c.customer (company_id, id, code, name, email, language)
SELECT :c, n, 'K' || n, 'Customer ' || n, 'k' || n || '@example.com', (ARRAY['de', 'en', 'it', 'fr', 'es', NULL])[1 + n % 6]
FROM generate_series(1, (:customers)::bigint) n;
INSERT INTO o2c.customer (company_id, id, code, name, email, language)
SELECT :b, id, code, name, email, language FROM o2c.customer WHERE company_id = :c;
INSERT INTO o2c.open_item (company_id, id, customer_id, kind, number, document_date, due_date, currency, amount, open_amount)
SELECT :c, n, 1 + n % (:customers)::bigint, 'invoice', 'R' || n, date '2026-01-01' - 30 - (n % 50)::integer, date '2026-01-01' - (n % 50)::integer, 'EUR', a.amount, a.amount
FROM generate_series(1, (:items)::bigint) n, LATERAL (SELECT 10 + n % 1000 + 0.25 AS amount) a;
INSERT INTO o2c.open_item (company_id, id, customer_id, kind, number, document_date, due_date, currency, amount, open_amount)
SELECT :b, id, customer_id, kind, number, document_date, due_date, currency, amount, open_amount FROM o2c.open_item WHERE company_id = :c;
VACUUM ANALYZE;
CHECKPOINT;

SELECT clock_timestamp() AS t0 \gset
SELECT notices, items, messages FROM o2c.run_dunning(:c, '2026-02-01');
SELECT clock_timestamp() AS t1 \gset
SELECT notices, items, messages FROM o2c.run_dunning(:c, '2026-02-01');
SELECT clock_timestamp() AS t2 \gset

CHECKPOINT;
SELECT clock_timestamp() AS b0 \gset
BEGIN;
INSERT INTO o2c.dunning_run SELECT :b, id, as_of, notices, items, messages, run_by, run_at FROM o2c.dunning_run WHERE company_id = :c;
INSERT INTO o2c.dunning_notice (company_id, id, run_id, customer_id, policy_id, level, as_of, pay_by, item_count, channel)
SELECT :b, n.id, n.run_id, n.customer_id, p.id, n.level, n.as_of, n.pay_by, n.item_count, n.channel
FROM o2c.dunning_notice n, o2c.dunning_policy p WHERE n.company_id = :c AND p.company_id = :b;
SELECT clock_timestamp() AS b1 \gset
INSERT INTO o2c.dunning_notice_item SELECT :b, item_id, level, attempt, notice_id, days_overdue, currency, amount FROM o2c.dunning_notice_item WHERE company_id = :c;
SELECT clock_timestamp() AS b2 \gset
INSERT INTO o2c.message (company_id, id, channel, kind, template, recipient, language, customer_id, entity, entity_id, recheck, dedupe_key, subject, body_text, body_html)
SELECT :b, id, channel, kind, template, recipient, language, customer_id, entity, entity_id, recheck, dedupe_key, subject, body_text, body_html FROM o2c.message WHERE company_id = :c;
COMMIT;
SELECT clock_timestamp() AS b3 \gset

SELECT format('RATIO|run_dunning, %s items of %s customers|%s|%s|INSERT ... SELECT of the same notices, items and messages', (:items)::bigint, (:customers)::bigint,
  round(extract(epoch FROM timestamptz :'t1' - :'t0') * 1000), round(extract(epoch FROM timestamptz :'b3' - :'b0') * 1000));
SELECT format('RATIO|run_dunning against its items alone|%s|%s|INSERT ... SELECT of the same rows of dunning_notice_item',
  round(extract(epoch FROM timestamptz :'t1' - :'t0') * 1000), round(extract(epoch FROM timestamptz :'b2' - :'b1') * 1000));
SELECT format('RATIO|run_dunning again, nothing to do|%s|%s|INSERT ... SELECT of the same notices, items and messages',
  round(extract(epoch FROM timestamptz :'t2' - :'t1') * 1000), round(extract(epoch FROM timestamptz :'b3' - :'b0') * 1000));
