-- Credit: exposure through the whole cycle, limits, groups, currencies, rules, alerts.

SELECT plan(64);

SELECT o2c.create_company('Credit', 'DE', 'EUR') AS c \gset
INSERT INTO o2c.customer (company_id, code, name, credit_limit) VALUES
  (:c, 'A', 'Alpha', 1000), (:c, 'U', 'Unlimited', NULL), (:c, 'Z', 'Zero', 0);
INSERT INTO o2c.product (company_id, code, name, unit_price, tax_category) VALUES (:c, 'P', 'Piece', 100, 'S');
INSERT INTO o2c.tax_rate (company_id, country, tax_category, rate) VALUES (:c, 'DE', 'S', 19) ON CONFLICT DO NOTHING;
CREATE FUNCTION pg_temp.order(company integer, customer text, quantity numeric, code text) RETURNS bigint LANGUAGE sql AS
  $$ SELECT o2c.place_order(company, customer, jsonb_build_array(jsonb_build_object('product', 'P', 'quantity', quantity)), '2026-03-01', code) $$;
-- exposure, open_items, open_orders, shipped_not_invoiced, unapplied
CREATE FUNCTION pg_temp.seen(company integer, customer text) RETURNS text LANGUAGE sql AS
  $$ SELECT concat_ws(' ', trim_scale(e.exposure), trim_scale(e.open_items), trim_scale(e.open_orders), trim_scale(e.shipped_not_invoiced), trim_scale(e.unapplied))
     FROM o2c.credit_exposure(company, customer) e $$;

-- the vector of ten: one after the other
SELECT count(pg_temp.order(:c, 'A', 1, 'V' || g)) FROM generate_series(1, 50) g \gset
SELECT is((SELECT string_agg(r.state || ' ' || r.n, ', ' ORDER BY r.state) FROM (SELECT x.state, count(*) AS n
  FROM o2c.sales_order s CROSS JOIN LATERAL (SELECT o2c.confirm_order(:c, s.id) AS state) x WHERE s.company_id = :c GROUP BY 1) r),
  'confirmed 10, submitted 40', 'of 50 orders of 100 a limit of 1000 lets 10 pass');
SELECT is((SELECT count(*) FROM o2c.hold WHERE company_id = :c AND reason = 'credit' AND released_at IS NULL), 40::bigint, 'the others have a hold');
SELECT is(pg_temp.seen(:c, 'A'), '1000 0 1000 0 0', 'exposure is full');
SELECT is((SELECT (credit_limit, available, ratio)::text FROM o2c.credit_exposure(:c, 'A')), '(1000,0.00,1.000000)', 'limit, available, ratio');
SELECT results_eq(format($$SELECT (data ->> 'threshold')::integer FROM o2c.event WHERE company_id = %s AND event = 'credit_alert' ORDER BY id$$, :c),
  $$VALUES (80), (90), (100)$$, 'each threshold was announced once');
SELECT throws_ok(format($$UPDATE o2c.sales_order SET state = 'confirmed' WHERE company_id = %s AND state = 'submitted'$$, :c), 'O2011', NULL, 'by hand the hold is in the way');
UPDATE o2c.hold SET released_at = now(), released_by = 'me' WHERE company_id = :c AND order_id = (SELECT min(id) FROM o2c.sales_order WHERE company_id = :c AND state = 'submitted');
SELECT throws_ok(format($$UPDATE o2c.sales_order SET state = 'confirmed' WHERE company_id = %s AND id = (SELECT min(id) FROM o2c.sales_order WHERE company_id = %s AND state = 'submitted')$$, :c, :c),
  'O2020', NULL, 'and without it the limit');
SELECT is(o2c.release_order(:c, (SELECT max(id) FROM o2c.sales_order WHERE company_id = :c), 'please'), 'submitted', 'release checks again');
SELECT throws_ok('UPDATE o2c.credit_account SET open_orders = 0', 'O2030', NULL, 'no exposure by hand');
SELECT throws_ok('DELETE FROM o2c.credit_account WHERE open_orders > 0', 'O2030', NULL, 'no account goes while something is open');

-- one contribution per document, from order to payment
SELECT min(id) AS o FROM o2c.sales_order WHERE company_id = :c AND state = 'confirmed' \gset
SELECT o2c.ship_order(:c, :o, shipped_on => '2026-03-02') AS s \gset
SELECT is(pg_temp.seen(:c, 'A'), '1000 0 900 100 0', 'shipped: moved, not counted twice');
SELECT o2c.invoice_order(:c, :o) AS i \gset
SELECT is(pg_temp.seen(:c, 'A'), '1000 0 900 100 0', 'a draft invoice hides nothing');
SELECT o2c.issue_invoice(:c, :i, '2026-03-03') AS number \gset
SELECT is(pg_temp.seen(:c, 'A'), (900 + total_amount)::text || ' ' || total_amount || ' 900 0 0', 'invoiced: the open item counts, gross')
FROM (SELECT trim_scale(total_amount) AS total_amount FROM o2c.invoice WHERE id = :i) i;
SELECT is_empty('SELECT * FROM o2c.check()', 'the stored exposure is that of the documents');

-- payments: posted as items and allocations, as the ledger's own functions do
INSERT INTO o2c.open_item (company_id, customer_id, kind, number, document_date, due_date, currency, amount, open_amount)
SELECT :c, id, 'on_account', 'PAY1', '2026-03-05', '2026-03-05', 'EUR', -50, -50 FROM o2c.customer WHERE company_id = :c AND code = 'A';
SELECT is((SELECT (exposure, unapplied)::text FROM o2c.credit_exposure(:c, 'A')), (SELECT (900.00 + total_amount - 50, 50.00)::text FROM o2c.invoice WHERE id = :i), 'a payment on account lowers exposure');
INSERT INTO o2c.allocation (company_id, debit_item_id, credit_item_id, currency, amount, effective_on)
SELECT :c, d.id, k.id, 'EUR', 50, '2026-03-06' FROM o2c.open_item d, o2c.open_item k
WHERE d.company_id = :c AND k.company_id = :c AND d.invoice_id = :i AND k.number = 'PAY1';
SELECT is((SELECT (exposure, unapplied)::text FROM o2c.credit_exposure(:c, 'A')), (SELECT (900.00 + total_amount - 50, 0.00)::text FROM o2c.invoice WHERE id = :i), 'applying it moves nothing');
SELECT is_empty('SELECT * FROM o2c.check()', 'still that of the documents');

-- limits
SELECT is(o2c.confirm_order(:c, pg_temp.order(:c, 'U', 100000, 'U1')), 'confirmed', 'no limit: everything passes');
SELECT is(o2c.confirm_order(:c, pg_temp.order(:c, 'Z', 1, 'Z1')), 'submitted', 'limit 0: nothing passes');
SELECT is((SELECT (credit_limit, available, ratio)::text FROM o2c.credit_exposure(:c, 'U')), '(,,)', 'unlimited has neither available nor ratio');
SELECT throws_ok(format('SELECT o2c.set_credit_limit(%s, %L, %s)', :c, 'A', q.v), q.code, NULL, q.what)
FROM (VALUES ('-1', 'O2043', 'a negative limit'), ('10.005', 'O2043', 'a limit with three decimals'), ($$'NaN'$$, 'O2043', 'NaN'), ($$'Infinity'$$, 'O2043', 'an endless limit')) q(v, code, what);
SELECT throws_ok(format('SELECT o2c.set_credit_limit(%s, %L, 1)', :c, 'nobody'), 'O2003', NULL, 'unknown customer');
SELECT o2c.set_credit_limit(:c, 'A', 500, 'bad news') \gset
SELECT is((SELECT reason FROM o2c.event WHERE company_id = :c AND event = 'credit_limit' ORDER BY id DESC LIMIT 1), 'bad news', 'the event says why');
SELECT o2c.set_credit_limit(:c, 'A', 1200, 'good news') \gset
SELECT is(o2c.release_order(:c, (SELECT max(id) FROM o2c.sales_order WHERE company_id = :c AND code LIKE 'V%'), 'limit raised'), 'confirmed', 'and releases what fits now');

-- for a while
INSERT INTO o2c.customer (company_id, code, name, credit_limit) VALUES (:c, 'T', 'Temporary', 100);
SELECT is(o2c.confirm_order(:c, pg_temp.order(:c, 'T', 2, 'T1')), 'submitted', 'over the limit');
SELECT o2c.raise_credit_limit(:c, 'T', 100, o2c.today(:c) - 20, o2c.today(:c) - 1, 'last month') \gset
SELECT is(o2c.release_order(:c, (SELECT id FROM o2c.sales_order WHERE code = 'T1' AND company_id = :c)), 'submitted', 'an increase that is over helps nothing');
SELECT o2c.raise_credit_limit(:c, 'T', 100, reason => 'season') \gset
SELECT is(o2c.release_order(:c, (SELECT id FROM o2c.sales_order WHERE code = 'T1' AND company_id = :c)), 'confirmed', 'one that holds today does');
SELECT is((SELECT credit_limit FROM o2c.credit_exposure(:c, 'T')), 200.00, 'the limit has it');
SELECT throws_ok(format('SELECT o2c.raise_credit_limit(%s, %L, -5)', :c, 'T'), 'O2043', NULL, 'no negative increase');
SELECT throws_ok(format('SELECT o2c.raise_credit_limit(%s, %L, 5, %L, %L)', :c, 'T', '2026-02-01', '2026-01-01'), 'O2044', NULL, 'no increase that ends before it begins');

-- groups
INSERT INTO o2c.customer (company_id, code, name, credit_limit, parent_code) VALUES
  (:c, 'G', 'Group', 1000, NULL), (:c, 'G1', 'First child', NULL, 'G'), (:c, 'G2', 'Second child', 300, 'G'), (:c, 'G11', 'Grandchild', NULL, 'G1');
SELECT is(o2c.confirm_order(:c, pg_temp.order(:c, 'G11', 6, 'G11a')), 'confirmed', 'a grandchild orders within the group''s limit');
SELECT is(o2c.confirm_order(:c, pg_temp.order(:c, 'G2', 4, 'G2a')), 'submitted', 'a child not over its own');
SELECT is(o2c.confirm_order(:c, pg_temp.order(:c, 'G2', 3, 'G2b')), 'confirmed', 'but within it');
SELECT is(o2c.confirm_order(:c, pg_temp.order(:c, 'G', 2, 'Ga')), 'submitted', 'the parent not over the limit that its children use too');
SELECT is(pg_temp.seen(:c, 'G'), '900 0 900 0 0', 'the group''s exposure is that of all');
SELECT is(pg_temp.seen(:c, 'G1'), '600 0 600 0 0', 'the middle one has its own below it');
UPDATE o2c.customer SET parent_code = NULL WHERE company_id = :c AND code = 'G1';
SELECT is(pg_temp.seen(:c, 'G'), '300 0 300 0 0', 'who leaves takes its exposure along');
SELECT is(o2c.confirm_order(:c, (SELECT id FROM o2c.sales_order WHERE company_id = :c AND code = 'Ga')), 'submitted', 'a hold stays until it is released');
SELECT is(o2c.release_order(:c, (SELECT id FROM o2c.sales_order WHERE company_id = :c AND code = 'Ga')), 'confirmed', 'then there is room');
UPDATE o2c.customer SET parent_code = 'G11' WHERE company_id = :c AND code = 'G2';
SELECT is(pg_temp.seen(:c, 'G1'), '900 0 900 0 0', 'and brings it where it goes');
SELECT throws_ok(format($$UPDATE o2c.customer SET parent_code = 'G2' WHERE company_id = %s AND code = 'G1'$$, :c), 'O2033', NULL, 'nobody stands below himself');
SELECT is_empty('SELECT * FROM o2c.check()', 'groups add up');

-- currencies
INSERT INTO o2c.exchange_rate (company_id, from_currency, to_currency, valid_from, rate) VALUES (:c, 'USD', 'EUR', '2020-01-01', 0.5);
INSERT INTO o2c.customer (company_id, code, name, credit_limit) VALUES (:c, 'F', 'Foreign', 1000);
SELECT is(o2c.confirm_order(:c, o2c.place_order(:c, 'F', '[{"product": "P", "quantity": 8}]', order_code => 'F1')), 'confirmed', '800 in the limit''s currency');
SELECT o2c.place_order(:c, 'F', '[{"product": "P", "quantity": 1}]', currency => 'USD', order_code => 'F2') AS f2 \gset
SELECT is((SELECT unit_price FROM o2c.sales_order_line WHERE order_id = :f2), 200.000000, 'the list price is converted');
SELECT is(o2c.confirm_order(:c, (SELECT id FROM o2c.sales_order WHERE company_id = :c AND code = 'F2')), 'confirmed', '100 more in another');
SELECT is(pg_temp.seen(:c, 'F'), '900 0 900 0 0', 'together');
SELECT is(o2c.confirm_order(:c, o2c.place_order(:c, 'F', '[{"product": "P", "quantity": 2}]', currency => 'USD', order_code => 'F3')), 'submitted', 'no more');
SELECT is(o2c.confirm_order(:c, o2c.place_order(:c, 'F', '[{"product": "P", "quantity": 1, "unit_price": 10}]', currency => 'GBP', order_code => 'F4')), 'submitted', 'nor in one without rate');
SELECT throws_ok(format($$UPDATE o2c.customer SET currency = 'USD' WHERE company_id = %s AND code = 'F'$$, :c), 'O2033', NULL, 'the limit''s currency stays while something is open');
UPDATE o2c.customer SET currency = 'USD' WHERE company_id = :c AND code = 'Z';
SELECT is((SELECT currency FROM o2c.credit_exposure(:c, 'Z')), 'USD', 'and may change before');

-- rules
INSERT INTO o2c.customer (company_id, code, name, credit_limit) VALUES (:c, 'R', 'Rules', 100000);
INSERT INTO o2c.open_item (company_id, customer_id, kind, number, document_date, due_date, currency, amount, open_amount)
SELECT :c, id, 'invoice', 'OLD', o2c.today(:c) - 60, o2c.today(:c) - 30, 'EUR', 10, 10 FROM o2c.customer WHERE company_id = :c AND code = 'R';
SELECT is(o2c.confirm_order(:c, pg_temp.order(:c, 'R', 1, 'R1')), 'confirmed', 'without a rule overdue items are no matter');
INSERT INTO o2c.credit_rule (company_id, code, kind, threshold) VALUES (:c, 'late', 'overdue_days', 20);
SELECT pg_temp.order(:c, 'R', 1, 'R2') AS r2 \gset
SELECT is(o2c.confirm_order(:c, :r2), 'submitted', 'with one they are');
SELECT is((SELECT note FROM o2c.hold WHERE order_id = :r2), 'rule "late": customer "R" is overdue for 30 days', 'the hold says which');
UPDATE o2c.hold SET released_at = now(), released_by = 'me' WHERE order_id = :r2;
SELECT throws_ok(format($$UPDATE o2c.sales_order SET state = 'confirmed' WHERE id = %s$$, :r2), 'O2020', NULL, 'by hand too');
UPDATE o2c.credit_rule SET active = false WHERE company_id = :c;
INSERT INTO o2c.credit_rule (company_id, code, kind, threshold, hold_reason) VALUES (:c, 'big', 'order_amount', 5000, 'fraud');
SELECT is(o2c.confirm_order(:c, pg_temp.order(:c, 'R', 51, 'R3')), 'submitted', 'a rule may suspect fraud');
SELECT is((SELECT string_agg(reason, ',') FROM o2c.hold h JOIN o2c.sales_order s ON s.id = h.order_id WHERE s.code = 'R3'), 'fraud', 'and says so');
SELECT cmp_ok(o2c.classify_risk(:c), '>=', 0::bigint, 'risk classes follow payment');
SELECT is((SELECT risk_class FROM o2c.customer WHERE company_id = :c AND code = 'R'), 'medium', 'who is 30 days late');
SELECT is((SELECT count(*) FROM o2c_bi.credit WHERE company_id = :c AND customer_code = 'G' AND group_exposure >= exposure), 1::bigint, 'the view knows the group');

-- many at once
CREATE TEMP TABLE many AS SELECT 'M' || g AS order_code, 'A' AS customer_code, 'P' AS product_code, 1 AS quantity, 1 AS unit_price FROM generate_series(1, 500) g;
SELECT o2c.import_orders(:c, 'many') \gset
SELECT o2c.set_credit_limit(:c, 'A', (SELECT exposure + 100.50 FROM o2c.credit_exposure(:c, 'A')), 'room for 100') \gset
SELECT results_eq(format($$SELECT x.state, count(*) FROM o2c.confirm_orders(%s, (SELECT array_agg(id) FROM o2c.sales_order WHERE company_id = %s AND code LIKE 'M%%')) x GROUP BY 1 ORDER BY 1$$, :c, :c),
  $$VALUES ('confirmed', 100::bigint), ('submitted', 400)$$, 'a set takes exactly what fits');

SELECT is_empty('SELECT * FROM o2c.check()', 'every invariant holds');
SELECT * FROM finish();
