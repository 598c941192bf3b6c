-- Issuing drafts in one call: against the bare INSERT ... SELECT of the rows
-- that issuing makes and changes, into tables with the same columns and keys.
\set drafts 20000
SELECT :drafts * :scale AS drafts \gset
SET client_min_messages = warning;
SELECT o2c.create_company('Bench', 'DE', 'EUR', vat_id => 'DE123456789') AS c \gset
INSERT INTO o2c.customer (company_id, code, name, country) SELECT :c, 'C' || n, 'Customer ' || n, 'DE' FROM generate_series(1, 1000) n;
-- statistics first: foreign keys keep the plan of their first check
ANALYZE o2c.customer;
INSERT INTO o2c.invoice (company_id, id, customer_id, currency)
SELECT :c, n, (SELECT min(id) FROM o2c.customer WHERE company_id = :c) + n % 1000, 'EUR' FROM generate_series(1, :drafts) n;
ANALYZE o2c.invoice;
INSERT INTO o2c.invoice_line (company_id, invoice_id, line_no, description, quantity, unit_price, currency, tax_category, tax_rate)
SELECT :c, n, l, 'Item ' || l, l, 9.99, 'EUR', 'S', CASE WHEN l = 3 THEN 7 ELSE 19 END FROM generate_series(1, :drafts) n, generate_series(1, 3) l;
SELECT o2c._recalculate(:c, array_agg(n::bigint)) FROM generate_series(1, :drafts) n \g /dev/null
VACUUM ANALYZE;
CHECKPOINT;
SELECT clock_timestamp() AS t0 \gset
SELECT count(*) FROM o2c.issue_invoices(:c, NULL, '2026-01-31') \g /dev/null
SELECT extract(epoch FROM clock_timestamp() - :'t0') * 1000 AS ours \gset

-- the same rows, bare: invoices with their lines and taxes, items, entries, events
CREATE SCHEMA bare;
CREATE TABLE bare.invoice (LIKE o2c.invoice INCLUDING DEFAULTS INCLUDING INDEXES);
CREATE TABLE bare.invoice_line (LIKE o2c.invoice_line INCLUDING DEFAULTS INCLUDING INDEXES);
CREATE TABLE bare.invoice_tax (LIKE o2c.invoice_tax INCLUDING DEFAULTS INCLUDING INDEXES);
CREATE TABLE bare.open_item (LIKE o2c.open_item INCLUDING DEFAULTS INCLUDING INDEXES);
CREATE TABLE bare.ledger_entry (LIKE o2c.ledger_entry INCLUDING DEFAULTS INCLUDING INDEXES);
CREATE TABLE bare.event (LIKE o2c.event INCLUDING DEFAULTS INCLUDING INDEXES);
CHECKPOINT;
SELECT clock_timestamp() AS t0 \gset
BEGIN;
INSERT INTO bare.invoice SELECT * FROM o2c.invoice WHERE company_id = :c;
INSERT INTO bare.invoice_line SELECT * FROM o2c.invoice_line WHERE company_id = :c;
INSERT INTO bare.invoice_tax SELECT * FROM o2c.invoice_tax WHERE company_id = :c;
INSERT INTO bare.open_item SELECT * FROM o2c.open_item WHERE company_id = :c;
INSERT INTO bare.ledger_entry SELECT * FROM o2c.ledger_entry WHERE company_id = :c;
INSERT INTO bare.event SELECT * FROM o2c.event WHERE company_id = :c;
COMMIT;
SELECT extract(epoch FROM clock_timestamp() - :'t0') * 1000 AS bare \gset
SELECT format('RATIO|issue_invoices of %s drafts with 3 lines|%s|%s|bare INSERT ... SELECT of the same rows', :drafts, round(:ours), round(:bare));

-- electronic invoices, in one query and one by one
SELECT clock_timestamp() AS t0 \gset
SELECT sum(length(u.ubl::text)) FROM o2c._invoice_ubl(:c, ARRAY(SELECT generate_series(1, 2000)::bigint)) u \g /dev/null
SELECT extract(epoch FROM clock_timestamp() - :'t0') * 1000 AS bulk \gset
SELECT clock_timestamp() AS t0 \gset
SELECT sum(length(o2c.invoice_ubl(:c, n)::text)) FROM generate_series(1, 500) n \g /dev/null
SELECT extract(epoch FROM clock_timestamp() - :'t0') * 1000 / 500 AS one \gset
SELECT clock_timestamp() AS t0 \gset
SELECT sum(length(query_to_xml(format('SELECT * FROM o2c.invoice_line WHERE company_id = %s AND invoice_id = %s', :c, n), true, false, '')::text)) FROM generate_series(1, 500) n \g /dev/null
SELECT extract(epoch FROM clock_timestamp() - :'t0') * 1000 / 500 AS plain \gset
SELECT format('RATIO|invoice_ubl, one document|%s|%s|query_to_xml of its three lines', round(:one, 3), round(:plain, 3));
SELECT format('# invoice_ubl: %s documents a second one by one, %s in one query', round(1000 / :one), round(2000 * 1000 / :bulk));
