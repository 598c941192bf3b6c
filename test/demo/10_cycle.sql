-- The demo's first part: from a new company to a queued reminder, every step
-- through the functions that an application calls.  Run by demo.sh, which sets
-- :data (folder of the sample files) and :smtp (address of the loopback mail
-- server).  Statements are echoed, so that the output reads as a lesson.
\set ON_ERROR_STOP on
\set QUIET on
\pset footer off
\pset null '·'
SET client_min_messages = warning;
SET datestyle = ISO;

\echo
\echo '== 1. A company'
\echo 'Everything belongs to a company: the first argument of every function, the first column of every key.'
\set ECHO queries
SELECT o2c.create_company('Brenner Werkzeuge GmbH', 'DE', 'EUR', 'Europe/Berlin',
         vat_id => 'DE136695976', email => 'billing@brenner.example',
         street => 'Am Markt 1', postal_code => '10178', city => 'Berlin') AS company_id;
INSERT INTO o2c.bank_account (company_id, code, currency, iban)
VALUES (1, 'MAIN', 'EUR', 'DE89 3704 0044 0532 0130 00');
UPDATE o2c.number_series SET pattern = 'INV-{yyyy}-{n:4}', reset = 'year'
WHERE company_id = 1 AND code = 'invoice';
\set ECHO none

\echo
\echo '== 2. Customers, products and orders, copied from CSV and imported in sets'
\echo 'A bad row never stops the good ones: it is kept with its reason.'
CREATE TEMPORARY TABLE csv_customers (code text, name text, country text, currency text, language text, email text, phone text, iban text, credit_limit text);
CREATE TEMPORARY TABLE csv_products (code text, name text, unit text, unit_price text, tax_category text, on_hand text);
CREATE TEMPORARY TABLE csv_orders (order_code text, customer_code text, product_code text, quantity text, unit_price text, ordered_on text);
\copy csv_customers FROM 'test/data/customers.csv' (FORMAT csv, HEADER)
\copy csv_products FROM 'test/data/products.csv' (FORMAT csv, HEADER)
\copy csv_orders FROM 'test/data/orders.csv' (FORMAT csv, HEADER)
\set ECHO queries
SELECT * FROM o2c.import_customers(1, 'csv_customers');
SELECT * FROM o2c.import_products(1, 'csv_products');
SELECT * FROM o2c.import_orders(1, 'csv_orders');
SELECT import, coalesce(source_row->>'code', source_row->>'order_code') AS row, reason
FROM o2c.import_reject WHERE company_id = 1 ORDER BY id;
\set ECHO none

\echo
\echo '== 3. Orders are submitted and confirmed, if the customer''s credit allows'
\echo 'Holzwerk Nord may owe 500 and ordered more: its order stays submitted, on hold.'
\set ECHO queries
SELECT o.code, c.code AS customer, o.total_amount AS net, o2c.submit_order(1, o.id) AS submitted
FROM o2c.sales_order o JOIN o2c.customer c ON (c.company_id, c.id) = (o.company_id, o.customer_id)
WHERE o.company_id = 1 ORDER BY o.code;
SELECT o.code, o2c.confirm_order(1, o.id) AS state_after
FROM o2c.sales_order o WHERE o.company_id = 1 AND o.state = 'submitted' ORDER BY o.code;
SELECT o.code, h.reason, h.note
FROM o2c.hold h JOIN o2c.sales_order o ON (o.company_id, o.id) = (h.company_id, h.order_id)
WHERE h.company_id = 1 AND h.released_at IS NULL;
\set ECHO none

\echo
\echo '== 4. What is confirmed is shipped'
\set ECHO queries
SELECT o.code, o2c.ship_order(1, o.id, shipped_on => '2025-09-04') AS shipment
FROM o2c.sales_order o WHERE o.company_id = 1 AND o.state = 'confirmed' ORDER BY o.code;
\set ECHO none

\echo
\echo '== 5. What is shipped is billed; the number is drawn when the invoice is issued, without gaps'
\set ECHO queries
SELECT * FROM o2c.run_billing(1, '2025-09-05');
SELECT * FROM o2c.issue_invoices(1, issue_date => '2025-09-05');
SELECT i.number, c.name AS customer, i.net_amount, i.tax_amount, i.total_amount, i.due_date
FROM o2c.invoice i JOIN o2c.customer c ON (c.company_id, c.id) = (i.company_id, i.customer_id)
WHERE i.company_id = 1 ORDER BY i.number;
\set ECHO none

\echo
\echo '== 6. A manager raises the limit of Holzwerk Nord and releases the order'
\set ECHO queries
SELECT o2c.set_credit_limit(1, 'HOLZ', 1500, 'guarantee of 2025-10-15');
SELECT o2c.release_order(1, o.id, 'limit raised') AS after_release
FROM o2c.sales_order o WHERE o.company_id = 1 AND o.code = 'A-1006';
SELECT o2c.ship_order(1, o.id, shipped_on => '2025-10-20') AS shipment
FROM o2c.sales_order o WHERE o.company_id = 1 AND o.code = 'A-1006';
SELECT o2c.issue_invoice(1, o2c.invoice_order(1, o.id), '2025-10-20') AS number
FROM o2c.sales_order o WHERE o.company_id = 1 AND o.code = 'A-1006';
SELECT * FROM o2c.credit_exposure(1, 'HOLZ');
\set ECHO none

\echo
\echo '== 7. The bank''s statement (camt.053) arrives; imported twice, it adds nothing the second time'
\set file `base64 -w0 test/data/statement_camt053.xml`
SELECT o2c.import_statement(1, 'MAIN', decode(:'file', 'base64')) \g /dev/null
\set ECHO queries
SELECT booking_date, round(amount, 2) AS amount, payer_name, remittance_text
FROM o2c.bank_line WHERE company_id = 1 ORDER BY id;
\set ECHO none
\echo 'SELECT * FROM o2c.import_statement(1, ''MAIN'', <the same file>);'
SELECT * FROM o2c.import_statement(1, 'MAIN', decode(:'file', 'base64'));

\echo
\echo '== 8. The money is matched to the invoices; what is certain is posted, the rest is proposed'
\set ECHO queries
SELECT * FROM o2c.match_cash(1);
SELECT left(line_id, 13) AS line, number, applied_amount AS applied, status, rule, explanation
FROM o2c_bi.cash_matches ORDER BY line_id, number;
\set ECHO none

\echo
\echo '== 9. Aging on 10 November 2025'
\echo 'What nobody could be found for stands in a line of its own: money is never lost.'
\set ECHO queries
SELECT customer_code, currency, buckets[1] AS not_due, buckets[2] AS d1_30, buckets[3] AS d31_60,
       buckets[4] AS d61_90, buckets[5] AS d90_plus, unapplied, total
FROM o2c.aging(1, '2025-11-10') ORDER BY customer_code;
\set ECHO none
\echo 'The same for 1 October 2025, before the money came, though we know it now:'
\set ECHO queries
SELECT customer_code, buckets, unapplied, total FROM o2c.aging(1, '2025-10-01') ORDER BY customer_code;
\set ECHO none

\echo
\echo '== 10. Who is overdue is reminded: the message is written in the same transaction'
INSERT INTO o2c.channel (company_id, code, kind, url, settings) VALUES (1, 'mail', 'email', :'smtp', '{"from": "billing@brenner.example"}')
  ON CONFLICT (company_id, code) DO UPDATE SET url = EXCLUDED.url, settings = EXCLUDED.settings, enabled = true;
\set ECHO queries
SELECT * FROM o2c.run_dunning(1, '2025-11-10');
SELECT * FROM o2c.run_dunning(1, '2025-11-10');
SELECT m.id, m.recipient, m.subject, m.state
FROM o2c.message m WHERE m.company_id = 1 ORDER BY m.id;
\set ECHO none

\echo
\echo '== 11. This database is armed: from now on its background worker sends'
\set ECHO queries
SELECT o2c.arm_dispatch() IS NOT NULL AS armed;
\set ECHO none
