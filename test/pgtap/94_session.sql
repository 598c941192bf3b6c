-- What a session has set for itself changes nothing that is kept or sent: the
-- style of dates, strings of the old kind, digits of floating point numbers.
SELECT plan(16);
-- lines of a function's body are parsed by its caller's settings
SELECT is_empty($$
  SELECT p.oid::regprocedure, m[2]
  FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang,
       regexp_matches(regexp_replace(p.prosrc, '--[^\n]*', '', 'g'), '(.?)''((?:[^'']|'''')*)''', 'g') m
  WHERE p.pronamespace = 'o2c'::regnamespace AND l.lanname IN ('sql', 'plpgsql') AND p.proname <> '_install_steps'
    AND strpos(m[2], chr(92)) > 0 AND m[1] <> 'E'
$$, 'every literal with a backslash says that it has escapes');

SET datestyle = 'German, DMY';
SET standard_conforming_strings = off;
SET escape_string_warning = off;
SET extra_float_digits = -12;
SELECT o2c.create_company('Session', 'DE', 'EUR', vat_id => 'DE136695976', email => 'a@x.example') AS c \gset
INSERT INTO o2c.customer (company_id, code, name, email) VALUES (:c, 'A', 'Alice', 'alice@x.example');
INSERT INTO o2c.product (company_id, code, name, unit_price) VALUES (:c, 'P', 'P', 10);
INSERT INTO o2c.channel (company_id, code, kind, url, settings) VALUES (:c, 'mail', 'email', 'smtp://127.0.0.1:25', '{"from": "a@x.example"}');
SELECT o2c.place_order(:c, 'A', '[{"product": "P", "quantity": 1}]', '2025-01-10') AS o \gset
SELECT is(o2c.confirm_order(:c, :o), 'confirmed', 'an order is confirmed');
SELECT is(o2c.prepayment_invoice(:c, :o, 50) > 0, true, 'half is asked for before');
SELECT is((SELECT count(*) FROM o2c.issue_invoices(:c, NULL, '2025-01-11')), 1::bigint, 'the prepayment invoice is issued');
SELECT is(o2c.ship_order(:c, :o, shipped_on => '2025-01-15') > 0, true, 'goods leave');
SELECT o2c.invoice_order(:c, :o) AS i \gset
SELECT is(o2c.issue_invoice(:c, :i, '2025-01-31'), 'INV2025-000001', 'the invoice is issued');
SELECT is((SELECT count(*) FROM o2c.invoice_line WHERE company_id = :c AND invoice_id = :i AND description ~ '2025-01-11'), 1::bigint, 'what was prepaid is dated in ISO 8601');
SELECT matches(o2c.invoice_ubl(:c, :i)::text, '<cbc:IssueDate>2025-01-31</cbc:IssueDate><cbc:DueDate>2025-03-02</cbc:DueDate>', 'UBL has dates of XML');
SELECT ok(o2c.invoice_html(:c, :i) ~ 'RF[0-9]{2} INV2 0250', 'the reference stands on the page in blocks of four');
SELECT ok(o2c.receivables_dashboard(:c, '2025-02-28') ~ 'as of 2025-02-28', 'the dashboard is drawn');
SELECT is(o2c.send_statements(:c, '2025-02-28'), 1::bigint, 'a statement is queued');
SET datestyle = 'ISO';
SELECT is(o2c.send_statements(:c, '2025-02-28'), 0::bigint, 'and not again by a session that writes dates otherwise');
SET datestyle = 'German, DMY';
CREATE TEMPORARY TABLE source AS
SELECT 'O-1' AS order_code, 'A' AS customer_code, 'P' AS product_code, 1234567.125::double precision AS quantity, 2.5::double precision AS unit_price, date '2025-04-03' AS ordered_on;
SELECT results_eq(format('SELECT imported, rejected FROM o2c.import_orders(%s, ''source'')', :c), 'VALUES (1::bigint, 0::bigint)', 'a column of dates is read');
SELECT results_eq(format('SELECT o.ordered_on, l.quantity FROM o2c.sales_order o JOIN o2c.sales_order_line l ON l.company_id = o.company_id AND l.order_id = o.id WHERE o.company_id = %s AND o.code = ''O-1''', :c),
  $$VALUES (date '2025-04-03', 1234567.125)$$, 'and one of floating point numbers, in all their digits');
CREATE TEMPORARY TABLE items AS SELECT 'IT-1' AS number, 'A' AS customer_code, date '2025-02-03' AS document_date, date '2025-03-05' AS due_date, 1234567890.25::double precision AS amount;
SELECT o2c.import_open_items(:c, 'items') IS NOT NULL AS done \gset
SELECT is((SELECT amount FROM o2c.open_item WHERE company_id = :c AND number = 'IT-1'), 1234567890.25, 'amounts too');
SELECT is_empty('SELECT * FROM o2c.check()');
SELECT * FROM finish();
