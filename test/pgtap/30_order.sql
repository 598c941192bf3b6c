-- Orders: placing, submitting, confirming, holds, amending, cancelling.

SELECT plan(81);

SELECT o2c.create_company('Orders', 'DE', 'EUR') AS c \gset
INSERT INTO o2c.customer (company_id, code, name) VALUES (:c, 'A', 'Alpha'), (:c, 'B', 'Beta');
INSERT INTO o2c.product (company_id, code, name, unit_price) VALUES
  (:c, 'X', 'Service', 100), (:c, 'Y', 'Thing', 0.333), (:c, 'N', 'No price', NULL), (:c, 'OLD', 'Gone', 5);
UPDATE o2c.product SET active = false WHERE company_id = :c AND code = 'OLD';

-- placing
SELECT o2c.place_order(:c, 'A', '[{"product": "X", "quantity": 2}, {"product": "Y", "quantity": 10, "discount_percent": 10},
  {"product": "N", "quantity": 1, "unit_price": 7.5}]', '2026-03-01', 'O1') AS o \gset
SELECT is((SELECT state::text FROM o2c.sales_order WHERE id = :o), 'draft', 'a new order is a draft');
SELECT results_eq(format('SELECT line_no, net_amount FROM o2c.sales_order_line WHERE order_id = %s ORDER BY 1', :o),
  $$VALUES (1, 200.00), (2, 3.00), (3, 7.50)$$, 'net = round(quantity × price × (1 − discount / 100))');
SELECT is((SELECT total_amount FROM o2c.sales_order WHERE id = :o), 210.50, 'the total is the sum of the lines');
SELECT is(o2c.place_order(:c, 'A', '[{"product": "X", "quantity": 2.0}, {"product": "Y", "quantity": 10, "discount_percent": 10.0},
  {"product": "N", "quantity": 1, "unit_price": 7.50}]', '2026-03-01', 'O1'), :o::bigint, 'same code and content: same order');
SELECT throws_ok(format($$SELECT o2c.place_order(%s, 'A', '[{"product": "X", "quantity": 3}]', '2026-03-01', 'O1')$$, :c),
  'O2005', NULL, 'same code, other content');
SELECT throws_ok(format($$SELECT o2c.place_order(%s, 'A', '[{"product": "X", "quantity": 2}]', '2026-03-02', 'O1')$$, :c),
  'O2005', NULL, 'same code, other date');
SELECT throws_ok(format($$SELECT o2c.place_order(%s, 'B', '[{"product": "X", "quantity": 2}]', '2026-03-01', 'O1')$$, :c),
  'O2005', NULL, 'same code, other customer');
SELECT is((SELECT count(*) FROM o2c.sales_order WHERE company_id = :c), 1::bigint, 'none of them left anything');
SELECT isnt((SELECT code FROM o2c.sales_order WHERE id = o2c.place_order(:c, 'A', '[{"product": "X", "quantity": 1}]')), '',
  'an order without code gets one');

-- what a form can send
SELECT throws_ok(format('SELECT o2c.place_order(%s, %L, %L::jsonb)', q.company, q.customer, q.lines), q.code, NULL, q.what)
FROM (VALUES
  (-1, 'A', '[{"product": "X", "quantity": 1}]', 'O2002', 'unknown company'),
  (:c, 'Z', '[{"product": "X", "quantity": 1}]', 'O2003', 'unknown customer'),
  (:c, NULL, '[{"product": "X", "quantity": 1}]', 'O2003', 'no customer'),
  (:c, 'A', NULL, 'O2004', 'no lines'),
  (:c, 'A', '[]', 'O2004', 'empty lines'),
  (:c, 'A', '{"product": "X"}', 'O2004', 'lines are no array'),
  (:c, 'A', '[7]', 'O2004', 'a line is no object'),
  (:c, 'A', '[{"quantity": 1}]', 'O2004', 'no product'),
  (:c, 'A', '[{"product": 5, "quantity": 1}]', 'O2004', 'product is a number'),
  (:c, 'A', '[{"product": "ZZ", "quantity": 1}]', 'O2003', 'unknown product'),
  (:c, 'A', '[{"product": "OLD", "quantity": 1}]', 'O2003', 'product no longer sold'),
  (:c, 'A', '[{"product": "N", "quantity": 1}]', 'O2003', 'product without price'),
  (:c, 'A', '[{"product": "X"}]', 'O2004', 'no quantity'),
  (:c, 'A', '[{"product": "X", "quantity": null}]', 'O2004', 'quantity null'),
  (:c, 'A', '[{"product": "X", "quantity": 0}]', 'O2004', 'quantity 0'),
  (:c, 'A', '[{"product": "X", "quantity": -1}]', 'O2004', 'negative quantity'),
  (:c, 'A', '[{"product": "X", "quantity": "many"}]', 'O2004', 'quantity is a word'),
  (:c, 'A', '[{"product": "X", "quantity": "NaN"}]', 'O2004', 'quantity is NaN'),
  (:c, 'A', '[{"product": "X", "quantity": "1e400"}]', 'O2004', 'quantity with an exponent'),
  (:c, 'A', '[{"product": "X", "quantity": 0.0000001}]', 'O2004', 'quantity with seven decimals'),
  (:c, 'A', '[{"product": "X", "quantity": {"a": 1}}]', 'O2004', 'quantity is an object'),
  (:c, 'A', '[{"product": "X", "quantity": 1, "unit_price": 0}]', 'O2004', 'price 0'),
  (:c, 'A', '[{"product": "X", "quantity": 1, "unit_price": -5}]', 'O2004', 'negative price'),
  (:c, 'A', '[{"product": "X", "quantity": 1, "unit_price": "free"}]', 'O2004', 'price is a word'),
  (:c, 'A', '[{"product": "X", "quantity": 1, "discount_percent": 101}]', 'O2004', 'discount over 100'),
  (:c, 'A', '[{"product": "X", "quantity": 1, "discount_percent": -1}]', 'O2004', 'negative discount')
) q(company, customer, lines, code, what);
SELECT throws_ok(format($$SELECT o2c.place_order(%s, 'A', '[{"product": "X", "quantity": 1}, {"product": "X", "quantity": -2}]')$$, :c),
  'O2004', 'line 2 has quantity -2; it must be greater than zero', 'the error names the line');
SELECT throws_ok(format($$SELECT o2c.place_order(%s, 'A', '[{"product": "X", "quantity": 1}]', 'infinity')$$, :c), 'O2044', NULL, 'endless date');
SELECT throws_ok(format($$SELECT o2c.place_order(%s, 'A', '[{"product": "X", "quantity": 1}]', currency => 'EURO')$$, :c), 'O2042', NULL, 'no currency');
SELECT throws_ok(format($$SELECT o2c.place_order(%s, 'A', '[{"product": "X", "quantity": 1}]', warehouse => 'moon')$$, :c), 'O2003', NULL, 'unknown warehouse');

-- events
SELECT is(o2c.submit_order(:c, :o), 'submitted', 'submit');
SELECT is(o2c.submit_order(:c, :o), 'submitted', 'again: the same');
SELECT is(o2c.confirm_order(:c, :o), 'confirmed', 'confirm');
SELECT is(o2c.confirm_order(:c, :o), 'confirmed', 'again: the same');
SELECT throws_ok(format('SELECT o2c.submit_order(%s, %s)', :c, :o), 'O2010', NULL, 'a confirmed order is not submitted');
SELECT throws_ok(format('SELECT o2c.confirm_order(%s, NULL)', :c), 'O2003', NULL, 'no order');
SELECT throws_ok(format('SELECT o2c.confirm_order(%s, -4)', :c), 'O2003', NULL, 'unknown order');
SELECT results_eq(format($$SELECT event FROM o2c.event WHERE entity = 'order' AND entity_id = %s ORDER BY id$$, :o),
  $$VALUES ('draft'), ('submit'), ('confirm')$$, 'every event is in the log');

-- nobody gets around the functions
SELECT throws_ok(format($$UPDATE o2c.sales_order SET state = 'closed' WHERE id = %s$$, :o), 'O2010', NULL, 'no state by hand that the machine lacks');
SELECT throws_ok(format($$INSERT INTO o2c.sales_order (company_id, code, customer_id, state, currency, ordered_on)
  SELECT company_id, 'H', customer_id, 'confirmed', currency, ordered_on FROM o2c.sales_order WHERE id = %s$$, :o), 'O2010', NULL, 'no order is born confirmed');
SELECT throws_ok(format('UPDATE o2c.sales_order SET total_amount = 1 WHERE id = %s', :o), 'O2030', NULL, 'no total by hand');
SELECT throws_ok(format('UPDATE o2c.sales_order_line SET quantity = 9, net_amount = 900 WHERE order_id = %s AND line_no = 1', :o), 'O2030', NULL, 'no quantity after confirmation');
SELECT throws_ok(format('UPDATE o2c.sales_order_line SET shipped = 1 WHERE order_id = %s AND line_no = 1', :o), 'O2030', NULL, 'no shipped quantity by hand');
SELECT throws_ok(format('UPDATE o2c.sales_order_line SET net_amount = 1 WHERE order_id = %s AND line_no = 1', :o), '23514', NULL, 'no net amount that is not the product');
SELECT throws_ok(format('DELETE FROM o2c.sales_order_line WHERE order_id = %s', :o), 'O2030', NULL, 'no line goes after confirmation');

-- amending
SELECT is(o2c.amend_order(:c, :o, '[{"product": "X", "quantity": 5}]', 'customer called'), 'confirmed', 'an amended order is confirmed again');
SELECT is((SELECT (version, total_amount)::text FROM o2c.sales_order WHERE id = :o), '(2,500.00)', 'it has a new version');
SELECT is((SELECT (version, total_amount, jsonb_array_length(lines))::text FROM o2c.order_version WHERE order_id = :o), '(1,210.50,3)', 'the old one is kept');
SELECT throws_ok('UPDATE o2c.order_version SET reason = NULL', 'O2030', NULL, 'for ever');

-- holds
SELECT is(o2c.hold_order(:c, :o, 'ask legal', 'contract?'), 'confirmed', 'a hold leaves the state');
SELECT throws_ok(format('SELECT o2c.ship_order(%s, %s)', :c, :o), 'O2011', NULL, 'an order on hold is not shipped');
SELECT is(o2c.release_order(:c, :o, 'fine'), 'confirmed', 'release');
SELECT is((SELECT (reason, released_by IS NOT NULL, release_note)::text FROM o2c.hold WHERE order_id = :o), '("ask legal",t,fine)', 'who and why is kept');
SELECT o2c.place_order(:c, 'B', '[{"product": "X", "quantity": 1}]', '2026-03-01', 'O2') AS o2 \gset
SELECT o2c.hold_order(:c, :o2, 'fraud') \gset
SELECT is(o2c.confirm_order(:c, :o2), 'submitted', 'fraud keeps it submitted');
SELECT throws_ok(format($$UPDATE o2c.sales_order SET state = 'confirmed' WHERE id = %s$$, :o2), 'O2011', NULL, 'by hand too');
UPDATE o2c.hold SET expires_at = now() - interval '1 hour', placed_at = now() - interval '2 hours' WHERE order_id = :o2;
SELECT is(o2c.confirm_order(:c, :o2), 'confirmed', 'a hold that lapsed no longer blocks');
CREATE ROLE fraud_officer;
UPDATE o2c.hold_reason SET release_role = 'fraud_officer' WHERE company_id = :c AND code = 'fraud';
SELECT o2c.place_order(:c, 'B', '[{"product": "X", "quantity": 1}]', '2026-03-01', 'O3') AS o3 \gset
SELECT o2c.hold_order(:c, :o3, 'fraud'), o2c.hold_order(:c, :o3, 'other') \gset
CREATE ROLE manager_only;
GRANT o2c_manager TO manager_only;
INSERT INTO o2c.company_member (company_id, role_name) VALUES (:c, 'o2c_manager');
GRANT USAGE ON SCHEMA tap TO manager_only;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA tap TO manager_only;
SET ROLE manager_only;
DO $$ BEGIN PERFORM o2c.release_order(company_id, id, 'mine', 'fraud') FROM o2c.sales_order WHERE code = 'O3';
  EXCEPTION WHEN SQLSTATE 'O2008' THEN PERFORM set_config('test.refused', 'yes', false); END $$;
DO $$ BEGIN UPDATE o2c.hold SET expires_at = now() WHERE reason = 'fraud' AND released_at IS NULL;
  EXCEPTION WHEN SQLSTATE 'O2008' THEN PERFORM set_config('test.refused_too', 'yes', false); END $$;
DO $$ BEGIN PERFORM o2c.release_order(company_id, id, 'mine', 'other') FROM o2c.sales_order WHERE code = 'O3'; END $$;
RESET ROLE;
SELECT is(current_setting('test.refused', true), 'yes', 'only its role releases a hold that names one');
SELECT is(current_setting('test.refused_too', true), 'yes', 'nor by hand');
SELECT is((SELECT string_agg(reason, ',') FROM o2c.hold WHERE order_id = :o3 AND released_at IS NULL), 'fraud', 'a manager releases the others');
SELECT throws_ok(format('SELECT o2c.hold_order(%s, %s, %L)', :c, :o, ' '), 'O2004', NULL, 'a hold needs a reason');

-- cancelling
SELECT is(o2c.cancel_order(:c, :o2, 'no longer wanted'), 'cancelled', 'cancel');
SELECT is((SELECT reason FROM o2c.event WHERE entity = 'order' AND entity_id = :o2 AND event = 'cancel'), 'no longer wanted', 'with its reason');
SELECT o2c.ship_order(:c, :o, '[{"line": 1, "quantity": 2}]') \gset
SELECT throws_ok(format('SELECT o2c.cancel_order(%s, %s)', :c, :o), 'O2010', NULL, 'not after the first shipment');
SELECT is(o2c.cancel_rest(:c, :o, 'rest not wanted'), 'fulfilled', 'the open rest can be cancelled');
SELECT throws_ok(format('SELECT o2c.close_order(%s, %s)', :c, :o), 'O2010', NULL, 'closed only when invoiced');

-- import
CREATE TEMP TABLE src AS SELECT * FROM (VALUES
  ('I1', 'A', 'X', '2', '9.5', '2026-01-02'), ('I1', 'A', 'Y', '3', NULL, '2026-01-02'), ('I1', 'A', 'X', '2', '9.5', '2026-01-02'),
  ('I2', 'B', 'X', '-1', '1', '2026-01-02'), ('I3', 'Q', 'X', '1', '1', '2026-01-02'), ('I4', 'B', 'X', '1', '1', '2026-02-30'),
  ('I1', 'B', 'X', '1', '1', '2026-01-02'), (NULL, 'A', 'X', '1', '1', NULL), ('I5', 'B', 'X', '1', NULL, NULL)
) v(order_code, customer_code, product_code, quantity, unit_price, ordered_on);
SELECT is(o2c.import_orders(:c, 'src')::text, '(4,0,5)', 'import keeps the good rows');
SELECT is((SELECT total_amount FROM o2c.sales_order WHERE company_id = :c AND code = 'I1'), 39.00, 'equal rows are two lines');
SELECT is(o2c.import_orders(:c, 'src')::text, '(0,4,5)', 'again it changes nothing');
SELECT is((SELECT count(*) FROM o2c.import_reject WHERE company_id = :c AND source_row ->> 'order_code' = 'I2' AND reason LIKE '%not greater than zero%'), 2::bigint, 'rejects keep row and reason');
CREATE TEMP TABLE bad AS SELECT 'I1' AS order_code, 'A' AS customer_code, 'X' AS product_code;
SELECT throws_ok(format('SELECT o2c.import_orders(%s, %L)', :c, 'bad'), 'O2006', NULL, 'a missing column is named');
SELECT is((SELECT count(*) FROM o2c_bi.order_cycle WHERE order_id = :o AND hours_to_confirm IS NOT NULL AND first_shipped_at IS NOT NULL), 1::bigint, 'the cycle has hours');

SELECT is_empty('SELECT * FROM o2c.check()', 'every invariant holds');
SELECT * FROM finish();
