-- What a credit note took back is billed again when it says so: by quantity,
-- with the cost of shipping, once, and never more than was billed.
SELECT plan(41);

SELECT o2c.create_company('Again', 'DE', 'EUR', vat_id => 'DE123456789') AS c \gset
INSERT INTO o2c.customer (company_id, code, name, country) SELECT :c, x, x, 'DE' FROM unnest('{A,PRE,MILE,SUB}'::text[]) x;
INSERT INTO o2c.product (company_id, code, name, unit_price, tax_category) VALUES (:c, 'A', 'Alpha', 10, 'S'), (:c, 'B', 'Beta', 0.333, 'AA'), (:c, 'F', 'Free', 0, 'S');
CREATE FUNCTION pg_temp.shipped(c integer, customer text, code text, lines text DEFAULT '[{"product": "A", "quantity": 10}, {"product": "B", "quantity": 3}]') RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE o bigint := o2c.place_order(c, customer, lines::jsonb, '2026-01-02', code);
BEGIN PERFORM o2c.submit_order(c, o); PERFORM o2c.confirm_order(c, o); PERFORM o2c.ship_order(c, o, NULL, '2026-01-05'); RETURN o; END $$;
-- quantities of an order's lines: invoiced (billed)
CREATE FUNCTION pg_temp.billed(c integer, o bigint) RETURNS text LANGUAGE sql AS $$
  SELECT string_agg(format('%s (%s)', trim_scale(invoiced), trim_scale(billed)), ', ' ORDER BY line_no) FROM o2c.sales_order_line WHERE company_id = $1 AND order_id = $2 $$;
CREATE FUNCTION pg_temp.bill(c integer, o bigint, d date DEFAULT '2026-01-15') RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE i bigint := o2c.invoice_order(c, o);
BEGIN PERFORM o2c.issue_invoice(c, i, d); RETURN i; END $$;
CREATE FUNCTION pg_temp.lines(c integer, i bigint) RETURNS text LANGUAGE sql AS $$
  SELECT string_agg(format('%s x %s = %s', trim_scale(quantity), trim_scale(unit_price), net_amount), '; ' ORDER BY line_no) FROM o2c.invoice_line WHERE company_id = $1 AND invoice_id = $2 $$;

-- as before: a credit note alone is no reason to bill again
SELECT pg_temp.shipped(:c, 'A', 'O1') AS o \gset
UPDATE o2c.sales_order SET shipping_amount = 4.50 WHERE company_id = :c AND id = :o;
SELECT pg_temp.bill(:c, :o, '2026-01-10') AS i \gset
SELECT is(pg_temp.lines(:c, :i), '10 x 10 = 100.00; 3 x 0.333 = 1.00', 'billed');
SELECT o2c.credit_invoice(:c, :i, '[{"line": 1, "quantity": 1}]', 'scratched', '2026-01-11') \g /dev/null
SELECT is(pg_temp.billed(:c, :o), '10 (10), 3 (3)', 'credited without rebill: still billed');
SELECT is(invoices, 0::bigint, 'and not billable') FROM o2c.run_billing(:c, '2026-12-31');
SELECT is(shipped_not_invoiced, 0::numeric, 'nor exposed') FROM o2c.credit_exposure(:c, 'A');

-- by quantity
SELECT o2c.credit_invoice(:c, :i, '[{"line": 1, "quantity": 4}]', 'wrong price', '2026-01-11', rebill => true) AS n \gset
SELECT is(pg_temp.lines(:c, :n), '4 x 10 = 40.00', 'credited by quantity');
SELECT is(pg_temp.billed(:c, :o), '6 (6), 3 (3)', 'four of ten can be billed again');
SELECT is(shipped_not_invoiced, 40::numeric, 'and count as shipped and not invoiced') FROM o2c.credit_exposure(:c, 'A');
SELECT is(invoices || ' ' || amount, '1 47.60', 'they are billed again') FROM o2c.run_billing(:c, '2026-12-31');
SELECT is(invoices, 0::bigint, 'once') FROM o2c.run_billing(:c, '2026-12-31');
SELECT is((SELECT count(*) FROM o2c.invoice_allowance a WHERE a.company_id = :c AND a.order_id = :o), 1::bigint, 'the cost of shipping was not taken back and is not billed again');
SELECT is(shipped_not_invoiced, 40::numeric, 'a draft changes no exposure') FROM o2c.credit_exposure(:c, 'A');
SELECT count(*) FROM o2c.issue_invoices(:c, NULL, '2026-01-12') \g /dev/null
SELECT is(pg_temp.billed(:c, :o), '10 (10), 3 (3)', 'billed as before');
SELECT is(shipped_not_invoiced, 0::numeric, 'nothing is left') FROM o2c.credit_exposure(:c, 'A');

-- the rest: five pieces, three that make 1.00 at 0.333 each, and the shipping
SELECT o2c.credit_invoice(:c, :i, '[{"line": 2, "quantity": 1}]', NULL, '2026-01-12', true) AS n1 \gset
SELECT is((SELECT net_amount FROM o2c.invoice_line WHERE company_id = :c AND invoice_id = :n1), 0.33, 'one of three at 0.333');
SELECT o2c.credit_invoice(:c, :i, NULL, 'wrong address', '2026-01-12', rebill => true) AS n \gset
SELECT is(pg_temp.lines(:c, :n), '5 x 10 = 50.00; 2 x 0.333 = 0.67', 'the rest of each line is a quantity, to the cent');
SELECT is((SELECT charge_total || ' ' || state FROM o2c.invoice i WHERE i.company_id = :c AND i.id = :n), '4.50 credited', 'with the cost of shipping, set off');
SELECT is((SELECT state::text FROM o2c.invoice WHERE company_id = :c AND id = :i), 'credited', 'nothing is left of the invoice');
SELECT is(pg_temp.billed(:c, :o), '5 (5), 0 (0)', 'five and three can be billed again');
SELECT o2c.invoice_order(:c, :o) AS i2 \gset
SELECT is((SELECT net_amount FROM o2c.invoice WHERE company_id = :c AND id = :i2), 55.50, '50.00 + 1.00 + 4.50');
SELECT is((SELECT count(*) FROM o2c.invoice_allowance a JOIN o2c.invoice_allowance n ON n.company_id = a.company_id AND n.id = a.rebills_id AND n.rebill
           WHERE a.company_id = :c AND a.invoice_id = :i2), 1::bigint, 'the charge names the credit that it bills again');
SELECT is(o2c.invoice_order(:c, :o), :i2::bigint, 'again: the same draft');
SELECT throws_ok(format($$INSERT INTO o2c.invoice_allowance (company_id, invoice_id, charge, currency, amount, reason, tax_category, tax_rate, order_id, rebills_id)
  SELECT company_id, invoice_id, charge, currency, amount, reason, tax_category, tax_rate, order_id, rebills_id FROM o2c.invoice_allowance WHERE company_id = %s AND invoice_id = %s$$, :c, :i2),
  '23505', NULL, 'no charge is billed twice');
SELECT o2c.drop_draft(:c, :i2) \g /dev/null
SELECT is(pg_temp.billed(:c, :o), '5 (5), 0 (0)', 'dropping the draft makes them billable again');
SELECT o2c.invoice_order(:c, :o) AS i2 \gset
SELECT is((SELECT charge_total FROM o2c.invoice WHERE company_id = :c AND id = :i2), 4.50, 'the shipping too');
SELECT o2c.issue_invoice(:c, :i2, '2026-01-13') \g /dev/null
-- and again from there
SELECT o2c.credit_invoice(:c, :i2, NULL, NULL, '2026-01-14', true) AS n \gset
SELECT pg_temp.bill(:c, :o) AS i3 \gset
SELECT is((SELECT net_amount FROM o2c.invoice WHERE company_id = :c AND id = :i3), 55.50, 'credited and billed a third time');
SELECT is_empty('SELECT * FROM o2c.check()', 'check() is empty');

-- goods that came back: with rebill the order's count follows them
SELECT pg_temp.shipped(:c, 'A', 'O2', '[{"product": "A", "quantity": 4}]') AS o \gset
SELECT pg_temp.bill(:c, :o) AS i \gset
SELECT o2c.return_goods(:c, (SELECT id FROM o2c.shipment WHERE company_id = :c AND order_id = :o), '[{"line": 1, "quantity": 1}]', 'broken') \g /dev/null
SELECT o2c.credit_invoice(:c, :i, '[{"line": 1, "quantity": 1}]', 'returned', '2026-01-15', true) \g /dev/null
SELECT is(pg_temp.billed(:c, :o), '3 (3)', 'three are billed, as many as stayed');
SELECT is(o2c.invoice_order(:c, :o), NULL, 'and nothing is billable');

-- refused
CREATE FUNCTION pg_temp.refused(c integer, i bigint, lines text, message text, name text) RETURNS text LANGUAGE sql AS
$$ SELECT throws_like(format('SELECT o2c.credit_invoice(%s, %s, %L, NULL, %L, true)', c, i, lines, '2026-02-01'), message, name) $$;
SELECT pg_temp.shipped(:c, 'A', 'O3', '[{"product": "A", "quantity": 4}, {"product": "F", "quantity": 2}]') AS o \gset
SELECT pg_temp.bill(:c, :o) AS i \gset
SELECT pg_temp.refused(:c, :i, '[{"line": 1, "amount": 10}]', '%cannot be billed again%', 'a credit of an amount');
SELECT throws_ok(format($$SELECT o2c.credit_invoice(%s, %s, '[{"line": 1, "amount": 10}]', NULL, '2026-02-01', true)$$, :c, :i), 'O2033', NULL, 'is a rule');
SELECT o2c.credit_invoice(:c, :i, '[{"line": 2, "quantity": 2}]', NULL, '2026-01-15', true) \g /dev/null
SELECT pg_temp.refused(:c, :i, '[{"line": 2, "quantity": 1}]', 'more than what is left of line 2%', 'free goods, more than were billed');
SELECT pg_temp.bill(:c, :o) \g /dev/null
SELECT pg_temp.refused(:c, :i, '[{"line": 2, "quantity": 2}]', 'more than what is left of line 2%', 'nor when they were billed again');
-- the same by hand
INSERT INTO o2c.invoice (company_id, kind, customer_id, original_id, currency) SELECT :c, 'credit_note', customer_id, id, currency FROM o2c.invoice WHERE company_id = :c AND id = :i RETURNING id AS h \gset
INSERT INTO o2c.invoice_line (company_id, invoice_id, line_no, order_line_id, original_line_id, description, quantity, unit_price, currency, tax_category, tax_rate, rebill)
SELECT :c, :h, 1, order_line_id, id, description, 1, 0, currency, tax_category, tax_rate, true FROM o2c.invoice_line WHERE company_id = :c AND invoice_id = :i AND line_no = 2;
SELECT is(pg_temp.billed(:c, :o), '4 (4), 2 (2)', 'a draft credit note takes nothing back');
SELECT o2c.recalculate_invoice(:c, :h) \g /dev/null
SELECT throws_ok(format('SELECT o2c.issue_invoice(%s, %s, ''2026-02-01'')', :c, :h), 'O2033', NULL, 'nor may it take back more than was billed, by hand');
SELECT o2c.drop_draft(:c, :h) \g /dev/null
SELECT throws_ok(format($$INSERT INTO o2c.invoice_line (company_id, invoice_id, line_no, order_line_id, description, quantity, unit_price, currency, tax_category, rebill)
  SELECT company_id, %s, 9, order_line_id, 'x', 1, 1, 'EUR', 'S', true FROM o2c.invoice_line WHERE company_id = %s AND invoice_id = %s LIMIT 1$$, :i, :c, :i), '23514', NULL, 'only a credit takes back');
-- lines that bill no order
INSERT INTO o2c.invoice (company_id, customer_id, currency) SELECT :c, id, 'EUR' FROM o2c.customer WHERE company_id = :c AND code = 'A' RETURNING id AS h \gset
INSERT INTO o2c.invoice_line (company_id, invoice_id, line_no, description, quantity, unit_price, currency, tax_category, tax_rate) VALUES (:c, :h, 1, 'Service', 1, 1, 'EUR', 'S', 19);
SELECT o2c.issue_invoice(:c, :h, '2026-01-31') \g /dev/null
SELECT pg_temp.refused(:c, :h, NULL, 'nothing of invoice % would be billed again', 'an invoice of no order');
-- a prepayment that was deducted
SELECT o2c.place_order(:c, 'PRE', '[{"product": "A", "quantity": 10}]', '2026-01-02', 'P1') AS o \gset
SELECT o2c.submit_order(:c, :o), o2c.confirm_order(:c, :o), o2c.prepayment_invoice(:c, :o, 30) AS p \gset
SELECT o2c.issue_invoice(:c, :p, '2026-01-31'), o2c.ship_order(:c, :o, NULL, '2026-01-31') \g /dev/null
SELECT o2c.invoice_order(:c, :o) AS i \gset
SELECT o2c.issue_invoice(:c, :i, '2026-01-31') \g /dev/null
SELECT pg_temp.refused(:c, :i, '[{"line": 1, "quantity": 1}]', '%cannot be billed again%', 'an invoice that deducts a prepayment');
-- milestones and periods
SELECT o2c.place_order(:c, 'MILE', '[{"product": "A", "quantity": 10}]', '2026-01-02', 'M1') AS o \gset
SELECT o2c.submit_order(:c, :o), o2c.confirm_order(:c, :o) \g /dev/null
INSERT INTO o2c.billing_milestone (company_id, order_id, name, percent, reached_on) VALUES (:c, :o, 'All', 100, '2026-01-31');
INSERT INTO o2c.subscription (company_id, code, customer_id, product_id, unit_price, currency, starts_on, ends_on)
SELECT :c, 'SUB', k.id, p.id, 31, 'EUR', '2026-01-01', '2026-01-31' FROM o2c.customer k, o2c.product p WHERE k.company_id = :c AND k.code = 'SUB' AND p.company_id = :c AND p.code = 'A';
SELECT is(invoices, 2::bigint, 'a milestone and a period') FROM o2c.run_billing(:c, '2026-01-31');
SELECT count(*) FROM o2c.issue_invoices(:c, NULL, '2026-01-31') \g /dev/null
SELECT pg_temp.refused(:c, invoice_id, NULL, '%cannot be billed again%', CASE WHEN milestone_id IS NULL THEN 'a period' ELSE 'a milestone' END || ' is billed once')
FROM o2c.invoice_line WHERE company_id = :c AND coalesce(milestone_id, subscription_id) IS NOT NULL ORDER BY milestone_id;

SELECT is_empty('SELECT * FROM o2c.check()', 'check() is empty');
SELECT * FROM finish();
