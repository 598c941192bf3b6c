-- The bound of amounts: one rule (o2c.is_amount, 18 digits with those of the
-- minor unit) wherever money comes in, refused with a reason; what is within
-- it adds up in every total without an overflow.
SET client_min_messages = warning;
SELECT plan(31);

SELECT is(o2c.is_amount(a, c::o2c.currency), wanted, format('%s %s', a, c)) FROM (VALUES
  (9999999999999999.99, 'EUR', true), (10000000000000000.00, 'EUR', false), (-9999999999999999.99, 'EUR', true), (-1e16, 'EUR', false),
  (999999999999999999, 'JPY', true), (1e18, 'JPY', false), (999999999999999.999, 'KWD', true), (1e15, 'KWD', false),
  (99999999999999.9999, 'CLF', true), (1e14, 'CLF', false), (123456789012345678901234567890, 'EUR', false)) v (a, c, wanted);
SELECT ok(o2c.is_total(1e27 - 1, 'EUR') AND NOT o2c.is_total(1e27, 'EUR') AND NOT o2c.is_total(0.001, 'EUR') AND NOT o2c.is_total('NaN', 'EUR'), 'a total is wider');
SELECT is(o2c._amount_fault(a, c::o2c.currency), wanted, format('%s %s: %s', a, c, wanted)) FROM (VALUES
  (1.00, 'EUR', NULL), (1e30, 'EUR', 'has more than 18 digits'), (1.001, 'EUR', 'has more decimals than EUR'), ('NaN', 'EUR', 'is not a number'),
  (NULL, 'EUR', 'is missing'), (1, 'XAU', 'is in XAU, which is no money')) v (a, c, wanted);

SELECT o2c.create_company('Big', 'DE', 'EUR') AS c \gset
INSERT INTO o2c.customer (company_id, code, name, iban) VALUES (:c, 'A', 'Alpha', 'DE89370400440532013000');
INSERT INTO o2c.bank_account (company_id, code, currency) VALUES (:c, 'M', 'EUR');
INSERT INTO o2c.product (company_id, code, name, unit_price) VALUES (:c, 'P', 'Part', 10);

SELECT throws_ok(format($$SELECT o2c.record_payment(%s, 'A', 123456789012345678901234567890, 'EUR', '2026-01-01')$$, :c), 'O2043', NULL, 'a receipt');
SELECT throws_ok(format($$SELECT o2c.place_order(%s, 'A', '[{"product": "P", "quantity": 1, "unit_price": 123456789012345678901234567890}]')$$, :c), 'O2004', NULL, 'an order');
CREATE FUNCTION pg_temp.reasons(import text) RETURNS text[] LANGUAGE sql AS $$
  SELECT array_agg(DISTINCT r.reason ORDER BY r.reason) FROM o2c.import_reject r WHERE r.import = $1 $$;
CREATE TEMPORARY TABLE orders AS SELECT * FROM (VALUES ('O1', '1', '123456789012345678901234567890'), ('O2', '999999999', '999999999'),
  ('O3', '1', '900000000000000'), ('O3', '2', '450000000000000'), ('O4', '2', '10')) v (order_code, quantity, unit_price)
  CROSS JOIN (VALUES ('A', 'P', '2026-01-01')) w (customer_code, product_code, ordered_on);
SELECT is((SELECT r::text FROM o2c.import_orders(:c, 'orders') r), '(1,0,4)', 'orders: one is good');
SELECT is(pg_temp.reasons('import_orders'), ARRAY['the amount of the line is too large', 'the total of order "O3" is too large',
  'unit price 123456789012345678901234567890 has more than six decimals or is too large'], 'and the others say why not');
CREATE TEMPORARY TABLE items AS SELECT 'I' || g AS number, 'A' AS customer_code, '2026-01-01' AS document_date, '2026-01-01' AS due_date, 'EUR' AS currency,
  CASE g WHEN 1 THEN '123456789012345678901234567890' ELSE '9999999999999999.99' END AS amount FROM generate_series(1, 2101) g;
SELECT is((SELECT r::text FROM o2c.import_open_items(:c, 'items') r), '(2100,0,1)', 'items: the largest there can be, in great number');
SELECT is(pg_temp.reasons('import_open_items'), ARRAY['amount 123456789012345678901234567890 has more than 18 digits'], 'and one too large');
CREATE TEMPORARY TABLE lines AS SELECT 'L' || g AS line_id, '2026-02-01' AS booking_date, 'Alpha' AS payer_name, 'I77 I78' AS remittance_text,
  (ARRAY['123456789012345678901234567890', '9999999999999999.99', '99999999999999.99'])[g] AS amount FROM generate_series(1, 3) g;
SELECT is((SELECT r::text FROM o2c.import_bank_lines(:c, 'M', 'lines') r), '(2,0,1)', 'bank lines');
INSERT INTO o2c.statement_format (company_id, code, settings) VALUES (:c, 'csv', '{"columns": {"booking_date": "d", "amount": "a", "charges": "c"}}');
SELECT is((SELECT lines FROM o2c.import_statement(:c, 'M', E'd,a,c\n2026-02-02,5.00,999999999999999999\n')), 1::bigint, 'a line with charges of 18 digits');

-- nothing that adds them up overflows
SELECT lives_ok(format('SELECT * FROM o2c.match_cash(%s)', :c), 'matching');
SELECT is((SELECT sum(total) FROM o2c.aging(:c, '2026-03-01')), (SELECT sum(open_amount) FROM o2c.open_item), 'aging');
SELECT is((SELECT open_items FROM o2c.credit_exposure(:c, 'A')), 2100 * 9999999999999999.99, 'exposure');
SELECT lives_ok(format($$SELECT o2c.take_aging_snapshot(%s, '2026-01-31'), o2c.run_dunning(%s, '2026-03-01'), o2c.dso(%1$s, '2026-01-01', '2026-03-31', 'simple')$$, :c, :c), 'snapshots, reminders, ratios');
SELECT is_empty('SELECT * FROM o2c.check()', 'no invariant is violated');
SELECT * FROM finish();
