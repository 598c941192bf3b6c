-- Lines are named by "line" or, as the column is called, by "line_no",
-- everywhere where functions take lines of a document.
SET client_min_messages = warning;
SELECT plan(22);
SELECT o2c.create_company('Lines', 'DE', 'EUR', vat_id => 'DE123456789') AS c \gset
INSERT INTO o2c.customer (company_id, code, name, country) VALUES (:c, 'A', 'A', 'DE');
INSERT INTO o2c.product (company_id, code, name, unit_price) VALUES (:c, 'P', 'P', 10), (:c, 'Q', 'Q', 20);
SELECT o2c.place_order(:c, 'A', '[{"product": "P", "quantity": 9}, {"product": "Q", "quantity": 9}]', '2026-01-01', 'O') AS o \gset
SELECT o2c.submit_order(:c, :o), o2c.confirm_order(:c, :o) \g /dev/null
CREATE FUNCTION pg_temp.lines(bigint) RETURNS text LANGUAGE sql AS $$
  SELECT string_agg(o.line_no || ':' || trim_scale(l.quantity), ' ' ORDER BY o.line_no)
  FROM o2c.shipment_line l JOIN o2c.sales_order_line o ON o.company_id = l.company_id AND o.id = l.order_line_id WHERE l.shipment_id = $1 $$;
CREATE FUNCTION pg_temp.credited(bigint) RETURNS text LANGUAGE sql AS $$
  SELECT string_agg(trim_scale(quantity) || '*' || trim_scale(unit_price), ' ' ORDER BY line_no) FROM o2c.invoice_line WHERE invoice_id = $1 $$;

-- shipping
SELECT o2c.pick_order(:c, :o, '[{"line_no": 2, "quantity": 3}]') AS s \gset
SELECT is(pg_temp.lines(:s), '2:3', 'picked by line_no');
SELECT o2c.ship_order(:c, :o, '[{"line_no": 1, "quantity": 4}, {"line": 2, "line_no": 2, "quantity": 1}]', '2026-01-02') AS t \gset
SELECT is(pg_temp.lines(:t), '1:4 2:1', 'shipped by line_no, and by both when they agree');
SELECT throws_like(format('SELECT o2c.ship_order(%s, %s, ''[{"product": "P"}, {"line": 1, "line_no": 2}]'')', :c, :o), '%line 2 names two lines: "line" 1 and "line_no" 2%', 'not when they differ');
SELECT throws_ok(format('SELECT o2c.ship_order(%s, %s, ''[{"line": 1, "line_no": 2}]'')', :c, :o), 'O2004', NULL, 'an error of its own');
SELECT throws_ok(format('SELECT o2c.ship_order(%s, %s, ''[{"line_no": 7}]'')', :c, :o), 'O2004', 'line 1 is not on the order: 7', 'a line that is not there');
SELECT throws_ok(format('SELECT o2c.ship_order(%s, %s, ''[{"line_no": null}]'')', :c, :o), 'O2004', 'line 1 names neither line nor product', 'no line');
SELECT throws_ok(format('SELECT o2c.ship_order(%s, %s, ''["line_no"]'')', :c, :o), 'O2004', 'line 1 is not an object', 'no object');
SELECT throws_ok(format('SELECT o2c.ship_order(%s, %s, ''[{"line_no": {"line": 1}}]'')', :c, :o), 'O2004', NULL, 'no number');
SELECT is(trim_scale(o2c.return_goods(:c, :t, '[{"line_no": 1, "quantity": 1}]', 'damaged')), 1::numeric, 'returned by line_no');
SELECT is((SELECT string_agg(line_no || ':' || trim_scale(returned), ' ' ORDER BY line_no) FROM o2c.sales_order_line WHERE order_id = :o), '1:1 2:0', 'of that line');
SELECT throws_ok(format('SELECT o2c.return_goods(%s, %s, ''[{"line": 1, "line_no": 2}]'')', :c, :t), 'O2004', NULL, 'nor do two lines come back');

-- invoices
SELECT o2c.invoice_order(:c, :o) AS i \gset
SELECT o2c.issue_invoice(:c, :i, '2026-01-03') \g /dev/null
SELECT o2c.credit_invoice(:c, :i, '[{"line_no": 2, "quantity": 1}]', 'damaged', '2026-01-04') AS n \gset
SELECT is(pg_temp.credited(:n), '1*20', 'credited by line_no');
SELECT o2c.credit_invoice(:c, :i, '[{"line_no": 1, "line": 1, "amount": 5.00}]', 'damaged', '2026-01-04') AS n \gset
SELECT is(pg_temp.credited(:n), '1*5', 'by both, an amount');
SELECT throws_like(format('SELECT o2c.credit_invoice(%s, %s, ''[{"line": 1, "line_no": 2, "quantity": 1}]'', ''x'', ''2026-01-04'')', :c, :i), '%names two lines%', 'not by two lines');
SELECT throws_ok(format('SELECT o2c.credit_invoice(%s, %s, ''[{"line_no": 9}]'', ''x'', ''2026-01-04'')', :c, :i), 'O2004', NULL, 'nor by one that is not there');
SELECT o2c.debit_invoice(:c, :i, '[{"line_no": 1, "quantity": 2}, {"description": "Express", "amount": 9.90}]', 'short', '2026-01-05') AS d \gset
SELECT is(pg_temp.credited(:d), '2*10 1*9.9', 'debited by line_no');
SELECT throws_ok(format('SELECT o2c.debit_invoice(%s, %s, ''[{"line": 2, "line_no": 1, "quantity": 2}]'', ''x'', ''2026-01-05'')', :c, :i), 'O2004', NULL, 'not by two lines');
SELECT throws_ok(format('SELECT o2c.debit_invoice(%s, %s, ''[{"line_no": 1, "description": "y", "amount": 2}]'', ''x'', ''2026-01-05'')', :c, :i), 'O2004', NULL, 'nor a line and something else');
SELECT is(o2c._named_lines('[{"line": 1}, {"a": 2}]'), '[{"line": 1}, {"a": 2}]', 'what has no line_no stays as it is');
SELECT is(o2c._named_lines('{"line_no": 1}'), '{"line_no": 1}', 'and what is no array');

-- the sum of drafts in several currencies
INSERT INTO o2c.customer (company_id, code, name, country, currency) VALUES (:c, 'U', 'U', 'US', 'USD'), (:c, 'V', 'V', 'DE', 'EUR');
INSERT INTO o2c.billing_policy (company_id, customer_id, method) SELECT :c, id, 'order' FROM o2c.customer WHERE company_id = :c AND code IN ('U', 'V');
SELECT o2c.place_order(:c, 'U', '[{"product": "P", "quantity": 1, "unit_price": 10}]', '2026-01-06', 'U', currency => 'USD') AS u \gset
SELECT o2c.submit_order(:c, :u), o2c.confirm_order(:c, :u) \g /dev/null
SELECT is((SELECT (invoices, trim_scale(amount))::text FROM o2c.run_billing(:c, '2026-01-31')), '(1,10)', 'drafts in one currency have a sum in it');
SELECT o2c.place_order(:c, 'U', '[{"product": "P", "quantity": 1, "unit_price": 10}]', '2026-01-06', 'U2', currency => 'USD') AS u \gset
SELECT o2c.place_order(:c, 'V', '[{"product": "P", "quantity": 1, "unit_price": 10}]', '2026-01-06', 'V2') AS v \gset
SELECT o2c.submit_order(:c, :u), o2c.confirm_order(:c, :u), o2c.submit_order(:c, :v), o2c.confirm_order(:c, :v) \g /dev/null
SELECT is((SELECT (invoices, amount)::text FROM o2c.run_billing(:c, '2026-01-31')), '(2,)', 'in two they have none');
SELECT * FROM finish();
