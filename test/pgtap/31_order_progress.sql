-- How far an order is follows from its goods, whoever says otherwise; holds that
-- keep an order from being invoiced; back-orders are served before new ones.

SELECT plan(42);

SELECT o2c.create_company('Progress', 'DE', 'EUR', vat_id => 'DE123456789') AS c \gset
INSERT INTO o2c.customer (company_id, code, name, country, credit_limit) VALUES (:c, 'A', 'Alpha', 'DE', 1000), (:c, 'B', 'Beta', 'DE', NULL);
INSERT INTO o2c.product (company_id, code, name, unit_price) VALUES (:c, 'X', 'Thing', 100);
INSERT INTO o2c.tax_rate (company_id, country, tax_category, rate) VALUES (:c, 'DE', 'S', 19) ON CONFLICT DO NOTHING;
CREATE FUNCTION pg_temp.confirmed(company integer, customer text, lines jsonb, carrier text DEFAULT NULL) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  o bigint := o2c.place_order(company, customer, lines, carrier => carrier);
BEGIN
  PERFORM o2c.confirm_order(company, o);
  RETURN o;
END $$;
CREATE FUNCTION pg_temp.state(o bigint) RETURNS text LANGUAGE sql AS $$ SELECT state::text FROM o2c.sales_order WHERE id = o $$;
CREATE FUNCTION pg_temp.exposure(company integer) RETURNS numeric LANGUAGE sql AS $$ SELECT exposure FROM o2c.credit_exposure(company, 'A') $$;

-- no state without the goods
SELECT pg_temp.confirmed(:c, 'A', '[{"product": "X", "quantity": 6}, {"product": "X", "quantity": 4}]') AS o \gset
SELECT is(pg_temp.exposure(:c), 1000.00, 'the whole limit is taken');
SELECT throws_ok(format('UPDATE o2c.sales_order SET state = %L WHERE id = %s', v.s, :o), 'O2010', v.m, 'an order of which nothing was shipped is not ' || v.s)
FROM (VALUES ('fulfilling', format('order SO-%s cannot be fulfilling', :o)), ('fulfilled', format('order SO-%s cannot be fulfilled', :o))) v(s, m);
SELECT o2c.ship_order(:c, :o, '[{"line": 1, "quantity": 6}]') AS s1 \gset
SELECT throws_ok(format('UPDATE o2c.sales_order SET state = %L WHERE id = %s', 'fulfilled', :o), 'O2010', NULL, 'one that has something open is not fulfilled');
SELECT throws_ok(format($$MERGE INTO o2c.sales_order s USING (SELECT %s::bigint AS id) x ON s.id = x.id WHEN MATCHED THEN UPDATE SET state = 'fulfilled'$$, :o),
  'O2010', NULL, 'nor by MERGE');
-- what is cancelled stays cancelled
UPDATE o2c.sales_order_line SET cancelled = 1 WHERE order_id = :o AND line_no = 2;
SELECT is(pg_temp.exposure(:c), 900.00, 'a part that will not be delivered gives credit back');
SELECT pg_temp.confirmed(:c, 'A', '[{"product": "X", "quantity": 1}]') AS o2 \gset
SELECT is(pg_temp.state(:o2), 'confirmed', 'which another order takes');
SELECT throws_ok(format('UPDATE o2c.sales_order_line SET cancelled = 0 WHERE order_id = %s', :o), 'O2030', NULL, 'so that it cannot come back');
SELECT is(o2c.cancel_rest(:c, :o), 'fulfilled', 'without the rest it is fulfilled');
SELECT throws_ok(format('UPDATE o2c.sales_order SET state = %L WHERE id = %s', 'fulfilling', :o), 'O2010', NULL, 'and stays so');
SELECT throws_ok(format('UPDATE o2c.sales_order_line SET cancelled = 0 WHERE order_id = %s', :o), 'O2030', NULL, 'with what was cancelled');
SELECT o2c.return_goods(:c, :s1, '[{"line": 1, "quantity": 2}]', 'broken') AS returned \gset
SELECT is(pg_temp.state(:o), 'fulfilled', 'goods that come back do not open it again');
SELECT throws_ok(format('SELECT o2c.close_order(%s, NULL)', :c), 'O2003', NULL, 'no order to close');
-- and check() would tell
BEGIN;
SET LOCAL session_replication_role = replica;
UPDATE o2c.sales_order SET state = 'fulfilled' WHERE id = :o2;
SELECT is((SELECT string_agg(detail, '') FROM o2c.check(:c) WHERE invariant = 'an order is as far as its goods'),
  format('order SO-%s is fulfilled, 0 shipped, 1 open', :o2), 'check() compares states with goods');
ROLLBACK;

-- reopening
SELECT o2c.place_order(:c, 'B', '[{"product": "X", "quantity": 1}]') AS r \gset
SELECT o2c.submit_order(:c, :r) AS submitted \gset
SELECT is(o2c.reopen_order(:c, :r, 'forgot something'), 'draft', 'a submitted order becomes a draft again');
SELECT is(o2c.reopen_order(:c, :r), 'draft', 'again: the same');
SELECT results_eq(format('SELECT event, reason FROM o2c.event WHERE entity = %L AND entity_id = %s ORDER BY id DESC LIMIT 1', 'order', :r),
  $$VALUES ('reopen', 'forgot something')$$, 'and the log says why');
SELECT throws_ok(format('SELECT o2c.reopen_order(%s, %s)', :c, :o2), 'O2010', NULL, 'a confirmed one does not');

-- a hold that blocks invoicing
SELECT o2c.create_company('Held', 'DE', 'EUR', vat_id => 'DE123456789') AS h \gset
INSERT INTO o2c.customer (company_id, code, name, country) VALUES (:h, 'A', 'Alpha', 'DE');
INSERT INTO o2c.product (company_id, code, name, unit_price) VALUES (:h, 'X', 'Thing', 100);
INSERT INTO o2c.tax_rate (company_id, country, tax_category, rate) VALUES (:h, 'DE', 'S', 19) ON CONFLICT DO NOTHING;
INSERT INTO o2c.hold_reason (company_id, code, name, blocks) VALUES (:h, 'legal', 'Ask the lawyers', '{invoice}');
SELECT pg_temp.confirmed(:h, 'A', '[{"product": "X", "quantity": 2}]') AS o \gset
SELECT o2c.ship_order(:h, :o, '[{"line": 1, "quantity": 1}]') AS shipped \gset
SELECT o2c.hold_order(:h, :o, 'legal') AS held \gset
SELECT throws_ok(format('SELECT o2c.invoice_order(%s, %s)', :h, :o), 'O2011', format('order SO-%s is on hold: legal', :o), 'an order with such a hold is not invoiced');
SELECT is((SELECT invoices FROM o2c.run_billing(:h)), 0::bigint, 'nor by a run');
INSERT INTO o2c.billing_milestone (company_id, order_id, name, percent, reached_on) SELECT :h, pg_temp.confirmed(:h, 'A', '[{"product": "X", "quantity": 1}]'), 'start', 100, '2026-01-01';
SELECT order_id AS m FROM o2c.billing_milestone WHERE company_id = :h \gset
SELECT o2c.hold_order(:h, :m, 'legal') AS held \gset
SELECT is((SELECT invoices FROM o2c.run_billing(:h)), 0::bigint, 'nor by its milestones');
SELECT o2c.release_order(:h, :o, 'they agree'), o2c.release_order(:h, :m, 'they agree');
SELECT is((SELECT invoices FROM o2c.run_billing(:h)), 2::bigint, 'released, both are');
SELECT id AS i FROM o2c.invoice WHERE company_id = :h AND order_id = :o \gset
SELECT o2c.hold_order(:h, :o, 'legal') AS held \gset
SELECT throws_ok(format('SELECT o2c.issue_invoice(%s, %s)', :h, :i), 'O2011', format('invoice %s cannot be issued: order SO-%s is on hold: legal', :i, :o), 'a draft of a held order is not issued');
SELECT throws_ok(format('SELECT o2c.issue_invoices(%s, ARRAY[%s]::bigint[])', :h, :i), 'O2011', NULL, 'nor in a set');
SELECT is((SELECT count(*) FROM o2c.issue_invoices(:h)), 1::bigint, 'all drafts are those that no hold keeps');
UPDATE o2c.hold SET expires_at = now() - interval '1 hour', placed_at = now() - interval '2 hours' WHERE order_id = :o AND released_at IS NULL;
SELECT ok(o2c.issue_invoice(:h, :i) IS NOT NULL, 'a hold that lapsed keeps nothing');

-- orders billed by milestones: shipping is billed with the first, they close when all are
INSERT INTO o2c.carrier (company_id, code, name) VALUES (:h, 'DHL', 'DHL');
INSERT INTO o2c.shipping_rule (company_id, carrier, basis, from_value, cost_amount, currency) VALUES (:h, 'DHL', 'amount', 0, 9, 'EUR');
SELECT pg_temp.confirmed(:h, 'A', '[{"product": "X", "quantity": 10}]', 'DHL') AS m \gset
INSERT INTO o2c.billing_milestone (company_id, order_id, name, percent, reached_on) VALUES (:h, :m, 'start', 40, '2026-01-01'), (:h, :m, 'end', 60, NULL);
SELECT is((SELECT invoices FROM o2c.run_billing(:h)), 1::bigint, 'the first milestone is billed');
SELECT is((SELECT (charge_total, net_amount, tax_amount, total_amount)::text FROM o2c.invoice WHERE company_id = :h AND order_id = :m), '(9.00,409.00,77.71,486.71)',
  'with the cost of shipping and its tax');
SELECT is((SELECT count(*) FROM o2c.issue_invoices(:h)), 1::bigint, 'and issued');
SELECT o2c.ship_order(:h, :m) AS shipped \gset
SELECT throws_ok(format('SELECT o2c.close_order(%s, %s)', :h, :m), 'O2010', NULL, 'an order with a milestone that is not billed is not closed');
UPDATE o2c.billing_milestone SET reached_on = '2026-02-01' WHERE order_id = :m AND name = 'end';
SELECT is((SELECT (invoices, amount)::text FROM o2c.run_billing(:h)), '(1,714.00)', 'the second has no shipping');
SELECT throws_ok(format('SELECT o2c.close_order(%s, %s)', :h, :m), 'O2010', NULL, 'a draft is not enough');
SELECT is((SELECT count(*) FROM o2c.issue_invoices(:h)), 1::bigint, 'it is issued');
SELECT is(o2c.close_order(:h, :m), 'closed', 'and the order closed');

-- who waits for goods is served when they come
INSERT INTO o2c.product (company_id, code, name, unit_price, stocked, backorder) VALUES (:h, 'S', 'Stocked', 10, true, true);
INSERT INTO o2c.warehouse (company_id, code) VALUES (:h, 'south');
SELECT pg_temp.confirmed(:h, 'A', '[{"product": "S", "quantity": 5}]') AS w \gset
SELECT is(o2c.receive_goods(:h, 'S', 3, reason => 'delivery 17'), 3::numeric, 'goods go to the back-order');
SELECT is((SELECT (on_hand, reserved)::text FROM o2c.stock WHERE company_id = :h), '(3,3)', 'at once');
SELECT pg_temp.confirmed(:h, 'A', '[{"product": "S", "quantity": 1}]') AS later \gset
SELECT is((SELECT reserved FROM o2c.sales_order_line WHERE order_id = :later), 0::numeric, 'a later order gets none');
SELECT is(o2c.receive_goods(:h, 'S', 4, 'main'), 3::numeric, 'then both get theirs');
SELECT is(o2c.receive_goods(:h, 'S', 2, 'south'), 0::numeric, 'goods of another place serve its own orders');
SELECT results_eq(format($$SELECT event, reason, data ->> 'quantity' FROM o2c.event WHERE company_id = %s AND entity = 'product' ORDER BY id LIMIT 1$$, :h),
  $$VALUES ('receive', 'delivery 17', '3')$$, 'the log has who received what');
SELECT throws_ok(format('SELECT o2c.receive_goods(%s, %L, 1)', :h, 'X'), 'O2004', NULL, 'what is not stocked is not received');

SELECT is_empty('SELECT * FROM o2c.check()', 'every invariant holds');
SELECT * FROM finish();
