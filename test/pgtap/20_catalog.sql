-- Catalog: products, price lists, shipping rules, import.

SELECT plan(40);

SELECT o2c.create_company('Catalog', 'DE', 'EUR') AS c \gset
INSERT INTO o2c.customer (company_id, code, name, country, customer_group) VALUES
  (:c, 'A', 'Alpha', 'DE', NULL), (:c, 'B', 'Beta', 'FR', 'trade'), (:c, 'S', 'Special', 'DE', 'trade');
INSERT INTO o2c.product (company_id, code, name) VALUES (:c, 'D', 'With defaults');
SELECT is((SELECT (unit, tax_category, stocked, unit_price)::text FROM o2c.product WHERE company_id = :c AND code = 'D'), '(C62,S,f,)', 'a product needs a code and a name');

-- import
CREATE TEMP TABLE src AS SELECT * FROM (VALUES
  ('P', 'Product', 'KGM', '12.5', 'S', '7'), ('Q', 'Other', NULL, '3', NULL, NULL), ('', 'No code', NULL, '1', NULL, NULL),
  ('R', NULL, NULL, '1', NULL, NULL), ('T', 'Bad price', NULL, 'abc', NULL, NULL), ('U', 'Negative', NULL, '-1', NULL, NULL),
  ('V', 'Bad stock', NULL, '1', NULL, '1e3'), ('P', 'Again other', NULL, '1', NULL, NULL), ('W', 'NaN', NULL, 'NaN', NULL, NULL)
) v(code, name, unit, unit_price, tax_category, on_hand);
SELECT is(o2c.import_products(:c, 'src')::text, '(2,0,7)', 'good rows go in, bad rows are kept');
SELECT is(o2c.import_products(:c, 'src')::text, '(0,2,7)', 'again nothing changes');
SELECT is((SELECT (p.unit, p.unit_price, p.stocked, s.on_hand, s.warehouse)::text FROM o2c.product p JOIN o2c.stock s ON s.product_id = p.id WHERE p.company_id = :c AND p.code = 'P'), '(KGM,12.5,t,7,main)', 'on_hand is stock and makes a product stocked');
CREATE TEMP TABLE src2 AS SELECT 'P' AS code, 'Product' AS name, 9 AS on_hand, 'x' AS ignored;
SELECT is(o2c.import_products(:c, 'src2')::text, '(1,0,0)', 'a changed stock is a change');
SELECT is((SELECT (unit, unit_price)::text FROM o2c.product WHERE company_id = :c AND code = 'P'), '(KGM,12.5)', 'columns that are not there keep their values');
SELECT throws_ok(format('SELECT o2c.import_products(%s, %L)', :c, 'pg_class'), 'O2006', NULL, 'a missing column is an error that names it');
SELECT is((SELECT count(*) FROM o2c.master_history WHERE company_id = :c AND entity = 'product'), 0::bigint, 'nothing changed in the products yet');
UPDATE o2c.product SET unit_price = 10 WHERE company_id = :c AND code = 'P';
SELECT is((SELECT (before, after, changed_by = current_user)::text FROM o2c.master_history WHERE company_id = :c AND entity = 'product'),
  '("{""unit_price"": 12.5}","{""unit_price"": 10}",t)', 'history has before, after and who');
SELECT throws_ok('DELETE FROM o2c.master_history', 'O2030', NULL, 'and stays');

-- price lists
INSERT INTO o2c.price_list (company_id, code, currency) VALUES (:c, 'general', 'EUR'), (:c, 'dollar', 'USD');
INSERT INTO o2c.price_list (company_id, code, currency, customer_group) VALUES (:c, 'trade', 'EUR', 'trade');
INSERT INTO o2c.price_list (company_id, code, currency, customer_id) SELECT :c, 'special', 'EUR', id FROM o2c.customer WHERE company_id = :c AND code = 'S';
CREATE FUNCTION pg_temp.price(company integer, list text, product text, price numeric, min numeric DEFAULT 0, valid daterange DEFAULT '(,)', discount numeric DEFAULT 0) RETURNS void LANGUAGE sql AS
  $$ INSERT INTO o2c.price (company_id, price_list_id, product_id, unit_price, min_quantity, valid, discount_percent)
     SELECT company, l.id, p.id, price, min, valid, discount FROM o2c.price_list l, o2c.product p
     WHERE l.company_id = company AND p.company_id = company AND l.code = list AND p.code = product $$;
SELECT pg_temp.price(:c, 'general', 'P', 9, valid => '[2026-01-01,2026-07-01)'), pg_temp.price(:c, 'general', 'P', 8, 10, '[2026-01-01,2026-07-01)'),
       pg_temp.price(:c, 'trade', 'P', 7), pg_temp.price(:c, 'special', 'P', 6, discount => 50), pg_temp.price(:c, 'dollar', 'P', 20) \gset
SELECT is((o2c.price_of(:c, q.customer, 'P', q.quantity, q.on_date, q.currency)).unit_price, q.price, q.what)
FROM (VALUES ('A', 1, '2026-03-01'::date, NULL, 9::numeric, 'the general list'), ('A', 10, '2026-03-01', NULL, 8, 'from ten pieces on'),
  ('A', 9.999999, '2026-03-01', NULL, 9, 'not before'), ('B', 100, '2026-03-01', NULL, 7, 'a group has its own'), ('S', 1, '2026-03-01', NULL, 6, 'a customer even more so'),
  ('A', 1, '2026-07-01', NULL, 10, 'after its end the product''s own price'), ('A', 1, '2026-03-01', 'USD', 20, 'a list has a currency'),
  ('A', 1, '2026-03-01', 'GBP', NULL, 'without list and rate there is no price')) q(customer, quantity, on_date, currency, price, what);
SELECT throws_ok(format($$SELECT pg_temp.price(%s, 'general', 'P', 1, valid => '[2026-06-30,2026-08-01)')$$, :c), '23P01', NULL, 'one price a day');
SELECT lives_ok(format($$SELECT pg_temp.price(%s, 'general', 'P', 9.5, valid => '[2026-07-01,2026-08-01)')$$, :c), 'the next one begins when the last ends');
SELECT throws_ok(format($$SELECT pg_temp.price(%s, 'general', 'P', 1, valid => 'empty')$$, :c), '23514', NULL, 'no price for no day');
SELECT o2c.place_order(:c, 'S', '[{"product": "P", "quantity": 2}]', '2026-03-01') AS o \gset
SELECT is((SELECT (unit_price, discount_percent, net_amount)::text FROM o2c.sales_order_line WHERE order_id = :o), '(6,50,6.00)', 'an order takes price and discount of the list');
SELECT throws_ok(format('SELECT o2c.place_order(%s, %L, %L, %L)', :c, 'A', '[{"product": "D", "quantity": 1}]', '2026-09-01'), 'O2003', NULL, 'no price at all');
SELECT pg_temp.price(:c, 'general', 'D', 1, valid => '[2026-01-01,2026-02-01)') \gset
SELECT throws_ok(format('SELECT o2c.place_order(%s, %L, %L, %L)', :c, 'A', '[{"product": "D", "quantity": 1}]', '2026-09-01'), 'O2003', 'line 1: product "D" has no price in EUR on 2026-09-01', 'an expired price is none');

-- shipping
INSERT INTO o2c.carrier (company_id, code) VALUES (:c, 'truck'), (:c, 'gone');
UPDATE o2c.carrier SET active = false WHERE company_id = :c AND code = 'gone';
UPDATE o2c.product SET weight = 4 WHERE company_id = :c AND code = 'P';
INSERT INTO o2c.shipping_rule (company_id, carrier, country, from_value, to_value, currency, cost_amount, lead_days) VALUES
  (:c, 'truck', 'DE', 0, 10, 'EUR', 5, 2), (:c, 'truck', 'DE', 10, NULL, 'EUR', 9, 3);
SELECT o2c.submit_order(:c, o2c.place_order(:c, 'A', '[{"product": "P", "quantity": 3}]', '2026-03-01', 'SH1', carrier => 'truck', incoterm => 'DAP', incoterm_place => 'Hamburg')) \gset
SELECT is((SELECT (shipping_amount, promised_on)::text FROM o2c.sales_order WHERE company_id = :c AND code = 'SH1'), '(9.00,2026-03-04)', 'cost and days of the carrier by weight');
SELECT throws_ok(format('SELECT o2c.place_order(%s, %L, %L, carrier => %L)', :c, 'A', '[{"product": "P", "quantity": 1}]', 'pigeon'), 'O2003', NULL, 'unknown carrier');
SELECT throws_ok(format('SELECT o2c.submit_order(%s, o2c.place_order(%s, %L, %L, carrier => %L))', :c, :c, 'A', '[{"product": "P", "quantity": 1}]', 'gone'), 'O2033', NULL, 'a carrier that is no longer used');
SELECT throws_ok(format('SELECT o2c.submit_order(%s, o2c.place_order(%s, %L, %L, carrier => %L))', :c, :c, 'B', '[{"product": "P", "quantity": 1}]', 'truck'), 'O2033', NULL, 'a carrier that does not go there');
SELECT throws_ok(format('SELECT o2c.place_order(%s, %L, %L, incoterm => %L)', :c, 'A', '[{"product": "P", "quantity": 1}]', 'XYZ'), 'O2004', NULL, 'no such delivery term');
SELECT throws_ok(format('SELECT o2c.submit_order(%s, o2c.place_order(%s, %L, %L, incoterm => %L))', :c, :c, 'A', '[{"product": "P", "quantity": 1}]', 'FOB'), 'O2033', NULL, 'a delivery term without place');

-- shipping is billed once, as a charge with the tax of the goods
SELECT o2c.create_company('Freight', 'DE', 'EUR', vat_id => 'DE123456789') AS f \gset
INSERT INTO o2c.customer (company_id, code, name, country) VALUES (:f, 'A', 'A', 'DE');
INSERT INTO o2c.product (company_id, code, name, unit_price) VALUES (:f, 'P', 'P', 100);
INSERT INTO o2c.tax_rate (company_id, country, tax_category, rate) VALUES (:f, 'DE', 'S', 19) ON CONFLICT DO NOTHING;
INSERT INTO o2c.carrier (company_id, code, name) VALUES (:f, 'DHL', 'DHL');
INSERT INTO o2c.shipping_rule (company_id, carrier, basis, from_value, cost_amount, currency) VALUES (:f, 'DHL', 'amount', 0, 9, 'EUR');
SELECT o2c.place_order(:f, 'A', '[{"product": "P", "quantity": 2}]', carrier => 'DHL') AS o \gset
SELECT o2c.confirm_order(:f, :o) AS confirmed \gset
SELECT o2c.ship_order(:f, :o, '[{"line": 1, "quantity": 1}]', o2c.today(:f) - 400) AS first_shipment \gset
SELECT is((SELECT number FROM o2c.shipment WHERE id = :first_shipment), 'SH' || extract(year FROM o2c.today(:f) - 400) || '-000001', 'a transport document is of the day the goods left');
SELECT o2c.invoice_order(:f, :o) AS i \gset
SELECT is((SELECT (charge_total, net_amount, tax_amount, total_amount)::text FROM o2c.invoice WHERE id = :i), '(9.00,109.00,20.71,129.71)', 'the first invoice has the cost of shipping and its tax');
SELECT o2c.drop_draft(:f, :i);
SELECT o2c.invoice_order(:f, :o) AS i \gset
SELECT is((SELECT charge_total FROM o2c.invoice WHERE id = :i), 9.00, 'a dropped draft gives it back');
SELECT ok(o2c.issue_invoice(:f, :i) IS NOT NULL, 'it is issued');
SELECT o2c.ship_order(:f, :o) AS second_shipment \gset
SELECT is((SELECT number FROM o2c.shipment WHERE id = :second_shipment), 'SH' || extract(year FROM o2c.today(:f)) || '-000001', 'today''s is of today');
SELECT o2c.invoice_order(:f, :o) AS i2 \gset
SELECT is((SELECT total_amount FROM o2c.invoice WHERE id = :i2), 119.00, 'the second invoice has none');
SELECT o2c.place_order(:f, 'A', '[{"product": "P", "quantity": 1}]', carrier => 'DHL') AS o2 \gset
SELECT o2c.confirm_order(:f, :o2) AS confirmed \gset
SELECT o2c.ship_order(:f, :o2, shipped_on => o2c.today(:f) - 800) AS third_shipment \gset
SELECT is((SELECT number FROM o2c.shipment WHERE id = :third_shipment), 'SH' || extract(year FROM o2c.today(:f)) || '-000002', 'dates do not run backwards within the series');
UPDATE o2c.company SET settings = settings || '{"invoice": {"shipping": false}}' WHERE company_id = :f;
SELECT o2c.invoice_order(:f, :o2) AS i3 \gset
SELECT is((SELECT total_amount FROM o2c.invoice WHERE id = :i3), 119.00, 'a company need not bill it');
SELECT is_empty(format('SELECT * FROM o2c._invoice_faults(%s, ARRAY(SELECT id FROM o2c.invoice WHERE company_id = %s))', :f, :f), 'no rule is violated');
SELECT is_empty('SELECT * FROM o2c.check()', 'every invariant holds');
SELECT * FROM finish();
