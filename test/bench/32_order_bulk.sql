-- Import, confirm and ship order lines in sets, against inserting the very rows
-- that they make into the same tables of another company.
\set lines 100000 * :scale
SELECT o2c.create_company('Bulk', 'DE', 'EUR') AS c \gset
SELECT o2c.create_company('Copy', 'DE', 'EUR') AS b \gset
INSERT INTO o2c.customer (company_id, id, code, name, credit_limit) SELECT :c, g, 'C' || g, 'C', 1e9 FROM generate_series(1, 2000) g;
INSERT INTO o2c.customer (company_id, id, code, name, credit_limit) SELECT :b, g, 'C' || g, 'C', 1e9 FROM generate_series(1, 2000) g;
INSERT INTO o2c.product (company_id, id, code, name, unit_price, stocked) SELECT :c, g, 'P' || g, 'P', 10, g <= 1000 FROM generate_series(1, 2000) g;
INSERT INTO o2c.product (company_id, id, code, name, unit_price) SELECT :b, g, 'P' || g, 'P', 10 FROM generate_series(1, 2000) g;
INSERT INTO o2c.stock (company_id, product_id, on_hand) SELECT :c, id, 1e9 FROM o2c.product WHERE company_id = :c AND stocked;
CREATE TABLE bench_source AS SELECT 'O' || g / 5 AS order_code, 'C' || 1 + (g / 5) % 2000 AS customer_code, 'P' || 1 + g % 2000 AS product_code,
  2 AS quantity, CASE WHEN g % 2 = 0 THEN 9.5 END AS unit_price, '2026-01-01' AS ordered_on FROM generate_series(0, (:lines)::bigint - 1) g;
VACUUM ANALYZE;
CHECKPOINT;
SELECT clock_timestamp() AS t0 \gset
SELECT * FROM o2c.import_orders(:c, 'bench_source');
SELECT clock_timestamp() AS t1 \gset
SELECT array_agg(id) AS ids FROM o2c.sales_order WHERE company_id = :c \gset
SELECT count(*) FILTER (WHERE state = 'confirmed') AS confirmed FROM o2c.confirm_orders(:c, :'ids');
SELECT clock_timestamp() AS t2 \gset
SELECT count(*) AS shipped FROM o2c.ship_orders(:c, :'ids');
SELECT clock_timestamp() AS t3 \gset
BEGIN;
INSERT INTO o2c.sales_order (company_id, id, code, customer_id, currency, ordered_on, content_key)
SELECT :b, id, code, customer_id, currency, ordered_on, content_key FROM o2c.sales_order WHERE company_id = :c;
INSERT INTO o2c.sales_order_line (company_id, id, order_id, line_no, product_id, description, quantity, unit_price, currency, net_amount, tax_category)
SELECT :b, id, order_id, line_no, product_id, description, quantity, unit_price, currency, net_amount, tax_category FROM o2c.sales_order_line WHERE company_id = :c;
COMMIT;
SELECT clock_timestamp() AS t4 \gset
SELECT format('RATIO|import_orders, %s lines (%s lines/s)|%s|%s|INSERT ... SELECT of the same orders and lines', (:lines)::bigint,
  round((:lines)::bigint / extract(epoch FROM timestamptz :'t1' - :'t0')), round(extract(epoch FROM timestamptz :'t1' - :'t0') * 1000), round(extract(epoch FROM timestamptz :'t4' - :'t3') * 1000));
SELECT format('RATIO|confirm_orders, %s lines (%s lines/s)|%s|%s|INSERT ... SELECT of the same orders and lines', (:lines)::bigint,
  round((:lines)::bigint / extract(epoch FROM timestamptz :'t2' - :'t1')), round(extract(epoch FROM timestamptz :'t2' - :'t1') * 1000), round(extract(epoch FROM timestamptz :'t4' - :'t3') * 1000));
SELECT format('RATIO|ship_orders, %s lines (%s lines/s)|%s|%s|INSERT ... SELECT of the same orders and lines', (:lines)::bigint,
  round((:lines)::bigint / extract(epoch FROM timestamptz :'t3' - :'t2')), round(extract(epoch FROM timestamptz :'t3' - :'t2') * 1000), round(extract(epoch FROM timestamptz :'t4' - :'t3') * 1000));
SELECT CASE WHEN count(*) > 0 THEN 'check() found ' || count(*) END FROM o2c.check(:c);
