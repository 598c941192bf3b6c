-- Fulfilment: stock, reservation, pick, pack, ship, deliver, return.

SELECT plan(68);

SELECT o2c.create_company('Fulfil', 'DE', 'EUR') AS c \gset
INSERT INTO o2c.customer (company_id, code, name) VALUES (:c, 'A', 'Alpha');
CREATE TEMP TABLE p AS SELECT * FROM (VALUES ('S', 'Stocked', '10', '5'), ('N', 'Not stocked', '1', NULL)) v(code, name, unit_price, on_hand);
SELECT is(o2c.import_products(:c, 'p')::text, '(2,0,0)', 'products with stock');
CREATE FUNCTION pg_temp.order(company integer, product text, quantity numeric, promised date DEFAULT NULL) RETURNS bigint LANGUAGE sql AS
  $$ SELECT o2c.place_order(company, 'A', jsonb_build_array(jsonb_build_object('product', product, 'quantity', quantity)), '2026-03-01', promised_on => promised) $$;
CREATE FUNCTION pg_temp.stock(company integer) RETURNS text LANGUAGE sql AS
  $$ SELECT concat_ws(' ', trim_scale(on_hand), trim_scale(reserved), trim_scale(available)) FROM o2c.stock WHERE company_id = company $$;

-- reservation
SELECT pg_temp.order(:c, 'S', 3) AS o1 \gset
SELECT pg_temp.order(:c, 'S', 3) AS o2 \gset
SELECT is(o2c.confirm_order(:c, :o1), 'confirmed', 'there are five');
SELECT is(pg_temp.stock(:c), '5 3 2', 'three are reserved');
SELECT is(o2c.confirm_order(:c, :o2), 'submitted', 'two are not enough for three');
SELECT is((SELECT reason FROM o2c.hold WHERE order_id = :o2), 'stock', 'stock forbids');
SELECT throws_ok('UPDATE o2c.stock SET on_hand = 2', '23514', NULL, 'what is promised cannot be counted away');
SELECT throws_ok('UPDATE o2c.stock SET reserved = 0', 'O2030', NULL, 'nor set free by hand');
SELECT throws_ok(format('UPDATE o2c.sales_order_line SET reserved = 3 WHERE order_id = %s', :o2), 'O2013', NULL, 'nor taken twice');
UPDATE o2c.hold SET released_at = now(), released_by = 'me' WHERE order_id = :o2;
SELECT throws_ok(format($$UPDATE o2c.sales_order SET state = 'confirmed' WHERE id = %s$$, :o2), 'O2013', NULL, 'nor confirmed by hand');
CREATE TEMP TABLE p2 AS SELECT 'S' AS code, 'Stocked' AS name, 2 AS on_hand;
SELECT is(o2c.import_products(:c, 'p2')::text, '(0,0,1)', 'an import that counts promised goods away is rejected');

-- pick, pack, ship
SELECT throws_ok(format('SELECT o2c.ship_order(%s, %s)', :c, :o2), 'O2010', NULL, 'only confirmed orders are shipped');
SELECT throws_ok(format('SELECT o2c.ship_order(%s, %s, %L)', :c, :o1, q.lines), q.code, NULL, q.what)
FROM (VALUES ('[]', 'O2004', 'no lines'), ('{}', 'O2004', 'no array'), ('[{"line": 7, "quantity": 1}]', 'O2004', 'unknown line'),
  ('[{"product": "N", "quantity": 1}]', 'O2004', 'product not on the order'), ('[{"line": 1, "quantity": 0}]', 'O2004', 'quantity 0'),
  ('[{"line": 1, "quantity": -1}]', 'O2004', 'negative quantity'), ('[{"line": 1, "quantity": "x"}]', 'O2004', 'quantity is a word'),
  ('[{"line": 1, "quantity": 4}]', 'O2012', 'more than ordered'), ('[{"quantity": 1}]', 'O2004', 'neither line nor product')) q(lines, code, what);
SELECT throws_ok(format('SELECT o2c.ship_order(%s, %s, shipped_on => %L)', :c, :o1, 'infinity'), 'O2044', NULL, 'an endless date');
SELECT o2c.pick_order(:c, :o1, '[{"product": "S", "quantity": 1}]') AS s1 \gset
SELECT is((SELECT state::text FROM o2c.shipment WHERE id = :s1), 'picked', 'pick');
SELECT is(o2c.pack_order(:c, :o1), :s1::bigint, 'pack the same');
SELECT is(o2c.ship_order(:c, :o1, '[{"product": "S", "quantity": 1}]', '2026-03-02'), :s1::bigint, 'ship the same lines: the same shipment');
SELECT is(pg_temp.stock(:c), '4 2 2', 'one has left');
SELECT is((SELECT state::text FROM o2c.sales_order WHERE id = :o1), 'fulfilling', 'the order is under way');
SELECT is((SELECT number FROM o2c.shipment WHERE id = :s1) IS NOT NULL, true, 'the transport document has a number');
SELECT o2c.pick_order(:c, :o1) AS s2 \gset
SELECT throws_ok(format('SELECT o2c.pick_order(%s, %s)', :c, :o1), 'O2012', NULL, 'nothing is picked twice');
SELECT is(o2c.cancel_shipment(:c, :s2, 'wrong shelf'), 'cancelled', 'a shipment can be put back');
SELECT is((SELECT trim_scale(picked)::text FROM o2c.sales_order_line WHERE order_id = :o1), '1', 'then it is open again');
SELECT o2c.ship_order(:c, :o1, shipped_on => '2026-03-03') AS s3 \gset
SELECT is((SELECT state::text FROM o2c.sales_order WHERE id = :o1), 'fulfilled', 'everything has left');
SELECT is((SELECT count(DISTINCT number) FROM o2c.shipment WHERE company_id = :c AND state = 'shipped'), 2::bigint, 'each with its own number');
SELECT throws_ok(format('UPDATE o2c.shipment SET number = %L WHERE id = %s', 'X', :s3), 'O2030', NULL, 'which it keeps');
SELECT throws_ok(format('DELETE FROM o2c.shipment_line WHERE shipment_id = %s', :s3), 'O2030', NULL, 'and its lines');
SELECT throws_ok(format('UPDATE o2c.shipment SET state = %L WHERE id = %s', 'cancelled', :s3), 'O2010', NULL, 'what has left is not cancelled');

-- deliver and return
SELECT throws_ok(format('SELECT o2c.deliver_shipment(%s, %s, %L)', :c, :s3, '2026-03-02'), 'O2044', NULL, 'nothing arrives before it leaves');
SELECT is(o2c.deliver_shipment(:c, :s3, '2026-03-05'), 'delivered', 'deliver');
SELECT is(o2c.deliver_shipment(:c, :s3), 'delivered', 'again: the same');
SELECT throws_ok(format('SELECT o2c.deliver_shipment(%s, -1)', :c), 'O2003', NULL, 'unknown shipment');
SELECT throws_ok(format('SELECT o2c.return_goods(%s, %s, %L)', :c, :s3, '[{"line": 1, "quantity": 3}]'), 'O2012', NULL, 'no more comes back than left');
SELECT is(trim_scale(o2c.return_goods(:c, :s3, '[{"line": 1, "quantity": 1}]', 'broken', restock => false)), 1::numeric, 'return');
SELECT is(pg_temp.stock(:c), '2 0 2', 'broken goods are no stock');
SELECT is(trim_scale(o2c.return_goods(:c, :s3, NULL, 'not wanted')), 1::numeric, 'the rest');
SELECT is(pg_temp.stock(:c), '3 0 3', 'good ones are');
SELECT throws_ok(format('SELECT o2c.return_goods(%s, %s)', :c, :s3), 'O2012', NULL, 'nothing comes back twice');
SELECT is(o2c.release_order(:c, :o2), 'submitted', 'a hold that was released by hand is not checked again by itself');
SELECT is(o2c.confirm_order(:c, :o2), 'confirmed', 'but confirming again finds the goods');
SELECT is(o2c.cancel_order(:c, :o2), 'cancelled', 'cancel');
SELECT is(pg_temp.stock(:c), '3 0 3', 'gives them back');

-- back-orders
UPDATE o2c.product SET backorder = true, lead_days = 14 WHERE company_id = :c AND code = 'S';
SELECT pg_temp.order(:c, 'S', 5) AS b1 \gset
SELECT pg_temp.order(:c, 'S', 4, '2026-03-02') AS b2 \gset
SELECT is(o2c.confirm_order(:c, :b1), 'confirmed', 'with back-orders an order is confirmed though goods are short');
SELECT is((SELECT promised_on FROM o2c.sales_order WHERE id = :b1), '2026-03-15'::date, 'and promised for when they come');
SELECT is(o2c.confirm_order(:c, :b2), 'confirmed', 'another one');
SELECT is(pg_temp.stock(:c), '3 3 0', 'what there is went to the first');
SELECT throws_ok(format('SELECT o2c.ship_order(%s, %s)', :c, :b1), 'O2013', NULL, 'goods that are not there do not leave');
SELECT is((SELECT sum(backordered) FROM o2c_bi.open_orders WHERE company_id = :c), 6.000000::numeric, 'the view shows what is missing');
UPDATE o2c.stock SET on_hand = on_hand + 5 WHERE company_id = :c;
SELECT is(trim_scale(o2c.allocate_stock(:c)), 5::numeric, 'goods that arrive are reserved');
SELECT results_eq(format('SELECT order_id, trim_scale(reserved) FROM o2c.sales_order_line WHERE order_id IN (%s, %s) ORDER BY 1', :b1, :b2),
  format('VALUES (%s::bigint, 4::numeric), (%s, 4)', :b1, :b2), 'the oldest promise first');
SELECT is((SELECT count(*) FROM o2c.ship_orders(:c, ARRAY[:b1, :b2]::bigint[], '2026-03-20')), 2::bigint, 'many ship at once');
SELECT is((SELECT string_agg(state::text, ' ' ORDER BY id) FROM o2c.sales_order WHERE id IN (:b1, :b2)), 'fulfilling fulfilled', 'each as far as its goods go');
SELECT is(pg_temp.stock(:c), '0 0 0', 'nothing is left');

-- not stocked
SELECT pg_temp.order(:c, 'N', 1000000) AS n \gset
SELECT is(o2c.confirm_order(:c, :n), 'confirmed', 'what is not stocked needs none');
SELECT cmp_ok(o2c.ship_order(:c, :n), '>', 0::bigint, 'and ships straight from confirmed');

-- amending: what a cancelled shipment held does not stand in the way, an invoice does
SELECT o2c.create_company('Amended', 'DE', 'EUR') AS am \gset
INSERT INTO o2c.customer (company_id, code, name) VALUES (:am, 'A', 'A');
INSERT INTO o2c.product (company_id, code, name, unit_price) VALUES (:am, 'P', 'P', 10);
SELECT o2c.place_order(:am, 'A', '[{"product": "P", "quantity": 2}]') AS o \gset
SELECT o2c.confirm_order(:am, :o) AS confirmed \gset
SELECT o2c.cancel_shipment(:am, o2c.pick_order(:am, :o)) AS cancelled \gset
SELECT is(o2c.amend_order(:am, :o, '[{"product": "P", "quantity": 5}]'), 'confirmed', 'an order whose shipment was cancelled can be amended');
SELECT is((SELECT (l.quantity, l.picked)::text FROM o2c.sales_order_line l WHERE l.order_id = :o), '(5,0)', 'nothing is picked of it');
INSERT INTO o2c.billing_policy (company_id, customer_id, method) SELECT :am, id, 'order' FROM o2c.customer WHERE company_id = :am;
SELECT o2c.invoice_order(:am, :o) AS i \gset
SELECT throws_ok(format('SELECT o2c.amend_order(%s, %s, %L)', :am, :o, '[{"product": "P", "quantity": 1}]'), 'O2010', NULL, 'one that is on a draft invoice cannot');
SELECT o2c.drop_draft(:am, :i);
SELECT is(o2c.amend_order(:am, :o, '[{"product": "P", "quantity": 1}]'), 'confirmed', 'without the draft it can');
SELECT is(o2c.ship_order(:am, :o) > 0, true, 'and ships');
SELECT is_empty('SELECT * FROM o2c.check()', 'every invariant holds');
SELECT * FROM finish();
