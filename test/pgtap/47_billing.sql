-- Billing: by shipment, order, milestone and period; consolidation; prepayment;
-- nothing twice.
SELECT plan(32);

SELECT o2c.create_company('Billing', 'DE', 'EUR', vat_id => 'DE123456789') AS c \gset
INSERT INTO o2c.customer (company_id, code, name, country) SELECT :c, x, x, 'DE' FROM unnest('{SHIP,ORDER,CONS,MONTH,MILE,PRE,SUB}'::text[]) x;
INSERT INTO o2c.product (company_id, code, name, unit, unit_price, tax_category) VALUES (:c, 'A', 'Alpha', 'C62', 10, 'S'), (:c, 'B', 'Beta', 'KGM', 3.333, 'AA');
INSERT INTO o2c.billing_policy (company_id, customer_id, method, consolidate, frequency)
SELECT :c, id, CASE code WHEN 'ORDER' THEN 'order' ELSE 'shipment' END, CASE code WHEN 'CONS' THEN 'customer' ELSE 'order' END,
  CASE code WHEN 'MONTH' THEN 'month' ELSE 'always' END FROM o2c.customer WHERE company_id = :c AND code IN ('ORDER', 'CONS', 'MONTH');
CREATE FUNCTION pg_temp.confirmed(c integer, customer text, code text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE o bigint := o2c.place_order(c, customer, '[{"product": "A", "quantity": 10}, {"product": "B", "quantity": 3, "discount_percent": 10}]', '2026-01-02', code);
BEGIN PERFORM o2c.submit_order(c, o); PERFORM o2c.confirm_order(c, o); RETURN o; END $$;

-- by shipment: what has left, once
SELECT pg_temp.confirmed(:c, 'SHIP', 'S1') AS o \gset
SELECT is(o2c.invoice_order(:c, :o), NULL, 'nothing shipped, nothing to invoice');
SELECT o2c.ship_order(:c, :o, '[{"line": 1, "quantity": 4}]', '2026-01-05') IS NOT NULL AS shipped \gset
SELECT o2c.invoice_order(:c, :o) AS i \gset
SELECT results_eq(format('SELECT quantity, unit_price, net_amount, tax_category, tax_rate FROM o2c.invoice_line WHERE company_id = %s AND invoice_id = %s', :c, :i),
  $$VALUES (4::numeric, 10::numeric, 40.00, 'S', 19::numeric)$$, 'four pieces of ten');
SELECT is(o2c.invoice_order(:c, :o), :i::bigint, 'again: the same draft');
SELECT o2c.ship_order(:c, :o, NULL, '2026-01-09') IS NOT NULL AS shipped \gset
SELECT results_eq(format('SELECT * FROM o2c.run_billing(%s, ''2026-01-08'')', :c), $$VALUES (0::bigint, 0::numeric)$$, 'not yet what left later');
SELECT results_eq(format('SELECT * FROM o2c.run_billing(%s, ''2026-01-09'')', :c), $$VALUES (1::bigint, 81.03)$$, 'then the rest: 60.00 + 19 % and 9.00 + 7 %');
SELECT results_eq(format('SELECT * FROM o2c.run_billing(%s, ''2026-12-31'')', :c), $$VALUES (0::bigint, 0::numeric)$$, 'again: zero');
SELECT results_eq(format('SELECT sum(invoiced) FROM o2c.sales_order_line WHERE company_id = %s AND order_id = %s', :c, :o), $$VALUES (13::numeric)$$, 'the order knows');
SELECT lives_ok(format('SELECT o2c.drop_draft(%s, %s)', :c, :i), 'a draft is dropped');
SELECT results_eq(format('SELECT * FROM o2c.run_billing(%s, ''2026-12-31'')', :c), $$VALUES (1::bigint, 47.60)$$, 'and billed again');
SELECT is(count(number), 2::bigint, 'issue') FROM o2c.issue_invoices(:c, NULL, '2026-01-31');
SELECT results_eq(format('SELECT * FROM o2c.run_billing(%s, ''2026-12-31'')', :c), $$VALUES (0::bigint, 0::numeric)$$, 'issued: still zero');
SELECT throws_ok(format('SELECT o2c.invoice_order(%s, 999999)', :c), 'O2003', NULL, 'no such order');

-- by order, when it is confirmed
SELECT pg_temp.confirmed(:c, 'ORDER', 'O1') AS o \gset
SELECT o2c.invoice_order(:c, :o) \g /dev/null
SELECT is((SELECT sum(l.quantity) FROM o2c.invoice_line l JOIN o2c.invoice i ON i.company_id = l.company_id AND i.id = l.invoice_id WHERE i.company_id = :c AND i.order_id = :o), 13::numeric, 'all of it');

-- one invoice for all orders of a customer
SELECT o2c.ship_order(:c, pg_temp.confirmed(:c, 'CONS', 'C' || n), NULL, '2026-02-03') IS NOT NULL AS shipped FROM generate_series(1, 3) n \g /dev/null
SELECT is(invoices, 1::bigint, 'three orders, one invoice') FROM o2c.run_billing(:c, '2026-02-28');
SELECT is((SELECT count(*) FROM o2c.invoice_line l JOIN o2c.invoice i ON i.company_id = l.company_id AND i.id = l.invoice_id
  WHERE i.company_id = :c AND i.order_id IS NULL), 6::bigint, 'of six lines');

-- months that are over
SELECT o2c.ship_order(:c, pg_temp.confirmed(:c, 'MONTH', 'M1'), NULL, '2026-03-10') IS NOT NULL AS shipped \g /dev/null
SELECT is(invoices, 0::bigint, 'March is not over') FROM o2c.run_billing(:c, '2026-03-30');
SELECT is(invoices, 1::bigint, 'now it is') FROM o2c.run_billing(:c, '2026-03-31');

-- milestones
SELECT pg_temp.confirmed(:c, 'MILE', 'X1') AS o \gset
INSERT INTO o2c.billing_milestone (company_id, order_id, name, percent, reached_on) VALUES (:c, :o, 'Start', 30, '2026-04-01'), (:c, :o, 'End', 70, NULL);
SELECT o2c.ship_order(:c, :o, NULL, '2026-04-02') IS NOT NULL AS shipped \g /dev/null
SELECT is(invoices, 1::bigint, 'one milestone reached') FROM o2c.run_billing(:c, '2026-04-30');
SELECT results_eq(format('SELECT l.net_amount, l.tax_rate FROM o2c.invoice_line l JOIN o2c.invoice i ON i.company_id = l.company_id AND i.id = l.invoice_id WHERE i.company_id = %s AND i.order_id = %s ORDER BY 1', :c, :o),
  $$VALUES (2.70, 7::numeric), (30.00, 19)$$, '30 % of each category');
UPDATE o2c.billing_milestone SET reached_on = '2026-05-01' WHERE company_id = :c AND name = 'End';
SELECT is(invoices, 1::bigint, 'the other one') FROM o2c.run_billing(:c, '2026-05-31');
SELECT is(invoices, 0::bigint, 'and no more') FROM o2c.run_billing(:c, '2026-05-31');

-- prepayment and final invoice
SELECT pg_temp.confirmed(:c, 'PRE', 'P1') AS o \gset
SELECT o2c.prepayment_invoice(:c, :o, 50) AS p \gset
SELECT results_eq(format('SELECT kind, net_amount, tax_amount FROM o2c.invoice WHERE company_id = %s AND id = %s', :c, :p),
  $$VALUES ('prepayment', 54.50, 9.82)$$, 'half of 100.00 at 19 % and of 9.00 at 7 %');
SELECT is(o2c.issue_invoice(:c, :p, '2026-05-31'), 'PI2026-000001', 'prepayment invoices have their series');
SELECT o2c.ship_order(:c, :o, '[{"line": 1, "quantity": 3}]', '2026-06-01') IS NOT NULL AS shipped \g /dev/null
SELECT o2c.invoice_order(:c, :o) AS f1 \gset
SELECT is((SELECT total_amount FROM o2c.invoice WHERE company_id = :c AND id = :f1), 0.00, 'the first 30.00 are paid already');
SELECT o2c.ship_order(:c, :o, NULL, '2026-06-02') IS NOT NULL AS shipped \g /dev/null
SELECT o2c.invoice_order(:c, :o) AS f2 \gset
SELECT is((SELECT net_amount FROM o2c.invoice WHERE company_id = :c AND id = :f2), 54.50, 'the rest of the prepayment comes off the rest');
SELECT is(count(*), 2::bigint, 'both can be issued') FROM o2c.issue_invoices(:c, ARRAY[:f1, :f2]::bigint[], '2026-06-03');
SELECT throws_ok(format('SELECT o2c.prepayment_invoice(%s, %s, 101)', :c, :o), 'O2004', NULL, 'more than all');

-- subscriptions: by period, prorated, once
INSERT INTO o2c.subscription (company_id, code, customer_id, product_id, unit_price, currency, period, starts_on, ends_on)
SELECT :c, 'SUB-1', k.id, p.id, 31, 'EUR', 'month', '2026-07-17', '2026-09-15' FROM o2c.customer k, o2c.product p WHERE k.company_id = :c AND k.code = 'SUB' AND p.company_id = :c AND p.code = 'A';
SELECT is(invoices, 2::bigint, 'July and August') FROM o2c.run_billing(:c, '2026-08-31');
SELECT is(invoices, 0::bigint, 'once') FROM o2c.run_billing(:c, '2026-08-31');
SELECT is(invoices, 1::bigint, 'September') FROM o2c.run_billing(:c, '2026-12-31');
SELECT results_eq(format('SELECT period_start, period_end, net_amount FROM o2c.invoice_line WHERE company_id = %s AND subscription_id IS NOT NULL ORDER BY 1', :c),
  $$VALUES (date '2026-07-17', date '2026-07-31', 15.00), ('2026-08-01', '2026-08-31', 31.00), ('2026-09-01', '2026-09-15', 15.50)$$, 'by days');

SELECT is_empty('SELECT * FROM o2c.check()', 'check() is empty');
SELECT * FROM finish();
