-- Billing, computed by hand: each expected figure stands with its sum.
SELECT plan(42);

SELECT o2c.create_company('By hand', 'DE', 'EUR', vat_id => 'DE123456789') AS c \gset
INSERT INTO o2c.customer (company_id, code, name, country) SELECT :c, x, x, 'DE' FROM unnest('{MILE,SUB,SUB2,CONS,WEEK,SHIP,PRE,PRE2,PRE3}'::text[]) x;
INSERT INTO o2c.product (company_id, code, name, unit_price, tax_category) VALUES (:c, 'A', 'Alpha', 10, 'S'), (:c, 'B', 'Beta', 3.333, 'AA'), (:c, 'M', 'Project', 100.05, 'S');
CREATE FUNCTION pg_temp.confirmed(c integer, customer text, code text, lines text DEFAULT '[{"product": "A", "quantity": 10}, {"product": "B", "quantity": 3, "discount_percent": 10}]') RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE o bigint := o2c.place_order(c, customer, lines::jsonb, '2026-01-02', code);
BEGIN PERFORM o2c.submit_order(c, o); PERFORM o2c.confirm_order(c, o); RETURN o; END $$;
-- drafts made by a run: net, tax and total of each, in order
CREATE FUNCTION pg_temp.run(c integer, up_to date) RETURNS text LANGUAGE plpgsql AS $$
DECLARE before bigint := (SELECT coalesce(max(id), 0) FROM o2c.invoice WHERE company_id = c);
BEGIN
  PERFORM o2c.run_billing(c, up_to);
  RETURN (SELECT string_agg(format('%s + %s = %s', round(net_amount, 2), round(tax_amount, 2), round(total_amount, 2)), '; ' ORDER BY id) FROM o2c.invoice WHERE company_id = c AND id > before);
END $$;
CREATE FUNCTION pg_temp.again(c integer, up_to date) RETURNS text LANGUAGE sql AS $$ SELECT is(pg_temp.run(c, up_to), NULL, 'again: nothing') $$;

--------------------------------------------------------------- milestones
-- 100.05 by halves: 50.025 is 50.03; the other half is the rest, 50.02
SELECT pg_temp.confirmed(:c, 'MILE', 'M1', '[{"product": "M", "quantity": 1}]') AS o \gset
INSERT INTO o2c.billing_milestone (company_id, order_id, name, percent, reached_on) VALUES (:c, :o, 'Half', 50, '2026-01-10'), (:c, :o, 'Rest', 50, '2026-01-20');
SELECT is(pg_temp.run(:c, '2026-01-15'), '50.03 + 9.51 = 59.54', '50.03 + 19 % (9.5057)');
SELECT pg_temp.again(:c, '2026-01-15');
SELECT is(pg_temp.run(:c, '2026-01-31'), '50.02 + 9.50 = 59.52', '50.02 + 19 % (9.5038): together 100.05');
-- a draft that is dropped comes back the same
SELECT o2c.drop_draft(:c, invoice_id) FROM o2c.invoice_line WHERE company_id = :c AND net_amount = 50.03 \g /dev/null
SELECT is(pg_temp.run(:c, '2026-01-31'), '50.03 + 9.51 = 59.54', 'the first half again, not the rest');
-- 100.00 at 19 % and 3 x 3.333 less 10 % = 8.9991 = 9.00 at 7 %, by thirds, all at once:
-- 33.33 + 3.00, tax 6.3327 + 0.21; twice; then 33.34 + 3.00, tax 6.3346 + 0.21
SELECT pg_temp.confirmed(:c, 'MILE', 'M2') AS o \gset
INSERT INTO o2c.billing_milestone (company_id, order_id, name, percent, reached_on) VALUES (:c, :o, '1', 33.333333, '2026-02-01'), (:c, :o, '2', 33.333333, '2026-02-01'), (:c, :o, '3', 33.333334, '2026-02-01');
SELECT is(pg_temp.run(:c, '2026-02-01'), '36.33 + 6.54 = 42.87; 36.34 + 6.54 = 42.88; 36.33 + 6.54 = 42.87', 'thirds: 33.33, 33.34 (66.67 less 33.33), 33.33 of 100.00, and 3.00 of 9.00 each');
SELECT is((SELECT sum(net_amount) FROM o2c.invoice WHERE company_id = :c AND order_id = :o), 109.00, 'together the order');
SELECT pg_temp.again(:c, '2026-12-31');

---------------------------------------------------------------- recurring
CREATE FUNCTION pg_temp.sub(c integer, code text, price numeric, period text, starts date, ends date, aligned boolean DEFAULT true, in_advance boolean DEFAULT true, customer text DEFAULT 'SUB', currency text DEFAULT 'EUR') RETURNS void LANGUAGE sql AS $$
  INSERT INTO o2c.subscription (company_id, code, customer_id, product_id, unit_price, currency, period, starts_on, ends_on, aligned, in_advance)
  SELECT $1, $2, k.id, p.id, $3, $10::o2c.currency, $4, $5, $6, $7, $8 FROM o2c.customer k, o2c.product p WHERE k.company_id = $1 AND k.code = $9 AND p.company_id = $1 AND p.code = 'A' $$;
CREATE FUNCTION pg_temp.periods(c integer, code text) RETURNS text LANGUAGE sql AS $$
  SELECT string_agg(format('%s..%s %s', to_char(l.period_start, 'MMDD'), to_char(l.period_end, 'MMDD'), l.net_amount), '; ' ORDER BY l.period_start)
  FROM o2c.invoice_line l JOIN o2c.subscription s ON s.company_id = l.company_id AND s.id = l.subscription_id WHERE s.company_id = $1 AND s.code = $2 $$;
SELECT pg_temp.sub(:c, 'feb', 31, 'month', '2026-02-15', '2026-03-31'), pg_temp.sub(:c, 'leap', 31, 'month', '2028-02-15', '2028-02-29'),
  pg_temp.sub(:c, 'q26', 900, 'quarter', '2026-02-01', '2026-05-15'), pg_temp.sub(:c, 'q28', 910, 'quarter', '2028-02-01', '2028-03-31'),
  pg_temp.sub(:c, 'y26', 365, 'year', '2026-03-01', '2026-12-31'), pg_temp.sub(:c, 'y28', 366, 'year', '2028-03-01', '2028-12-31'),
  pg_temp.sub(:c, 'week', 7, 'week', '2026-01-01', '2026-01-13'),
  pg_temp.sub(:c, 'own', 30, 'month', '2026-01-31', '2026-04-10', false), pg_temp.sub(:c, 'one', 31, 'month', '2026-01-31', '2026-01-31'),
  pg_temp.sub(:c, 'late', 31, 'month', '2026-06-16', '2026-07-31', true, false, 'SUB2') \g /dev/null
SELECT isnt(pg_temp.run(:c, '2026-01-31'), NULL, 'the first run');
SELECT pg_temp.again(:c, '2026-01-31');
SELECT pg_temp.again(:c, '2026-01-15');
SELECT isnt(pg_temp.run(:c, '2028-12-31'), NULL, 'three years later all the rest');
SELECT pg_temp.again(:c, '2028-12-31');
SELECT is(pg_temp.periods(:c, 'feb'), '0215..0228 15.50; 0301..0331 31.00', 'half of February: 14 of 28 days of 31.00');
SELECT is(pg_temp.periods(:c, 'leap'), '0215..0229 16.03', 'in a leap year: 15 of 29 days, 16.034483');
SELECT is(pg_temp.periods(:c, 'q26'), '0201..0331 590.00; 0401..0515 445.05', 'quarters: 59 of 90 days of 900.00; 45 of 91, 445.054945');
SELECT is(pg_temp.periods(:c, 'q28'), '0201..0331 600.00', 'in a leap year: 60 of 91 days of 910.00');
SELECT is(pg_temp.periods(:c, 'y26'), '0301..1231 306.00', 'a year: 306 of 365 days of 365.00');
SELECT is(pg_temp.periods(:c, 'y28'), '0301..1231 306.00', 'in a leap year: 306 of 366 days of 366.00');
SELECT is(pg_temp.periods(:c, 'week'), '0101..0104 4.00; 0105..0111 7.00; 0112..0113 2.00', 'weeks from Monday: Thursday to Sunday, a week, Monday and Tuesday');
SELECT is(pg_temp.periods(:c, 'own'), '0131..0227 30.00; 0228..0330 30.00; 0331..0410 11.00', 'months from the 31st: each from the last day of a short month; 11 of 30 days');
SELECT is(pg_temp.periods(:c, 'one'), '0131..0131 1.00', 'a day of January');
SELECT is(pg_temp.periods(:c, 'late'), '0616..0630 15.50; 0701..0731 31.00', 'in arrears: 15 of 30 days');
-- in arrears is billed when the period is over
SELECT pg_temp.sub(:c, 'arrears', 31, 'month', '2029-01-01', '2029-01-31', true, false, 'SUB2') \g /dev/null
SELECT is(pg_temp.run(:c, '2029-01-30'), NULL, 'not a day before');
SELECT is(pg_temp.run(:c, '2029-01-31'), '31.00 + 5.89 = 36.89', 'on its last day: 31.00 + 19 %');
-- one invoice for a customer, currency and period
SELECT pg_temp.sub(:c, 'g1', 10, 'month', '2029-02-01', '2029-02-28', customer => 'SUB'), pg_temp.sub(:c, 'g2', 20, 'month', '2029-02-01', '2029-02-28', customer => 'SUB'),
  pg_temp.sub(:c, 'g3', 40, 'month', '2029-02-01', '2029-02-28', customer => 'SUB', currency => 'USD'), pg_temp.sub(:c, 'g4', 30, 'month', '2029-02-02', '2029-02-28', customer => 'SUB') \g /dev/null
SELECT is(pg_temp.run(:c, '2029-02-27'), '30.00 + 5.70 = 35.70; 40.00 + 7.60 = 47.60; 28.93 + 5.50 = 34.43', 'two of the same period together, dollars and another period apart: 27 of 28 days of 30.00 (28.928571)');

------------------------------------------------------------ consolidation
INSERT INTO o2c.billing_policy (company_id, customer_id, consolidate, frequency)
SELECT :c, id, CASE code WHEN 'SHIP' THEN 'shipment' ELSE 'customer' END, CASE code WHEN 'CONS' THEN 'month' WHEN 'WEEK' THEN 'week' ELSE 'always' END
FROM o2c.customer WHERE company_id = :c AND code IN ('CONS', 'WEEK', 'SHIP', 'PRE3');
-- April: 10 x 10.00 and 3 x 3.333 less 10 % twice, 109.00 each; May: once
SELECT o2c.ship_order(:c, pg_temp.confirmed(:c, 'CONS', 'C' || n), NULL, d) FROM (VALUES (1, date '2029-04-03'), (2, '2029-04-30'), (3, '2029-05-01')) v(n, d) ORDER BY n \g /dev/null
SELECT is(pg_temp.run(:c, '2029-04-29'), NULL, 'a month that is not over');
SELECT is(pg_temp.run(:c, '2029-05-20'), '218.00 + 39.26 = 257.26', 'April: 200.00 at 19 % = 38.00 and 18.00 at 7 % = 1.26, once for both orders');
SELECT pg_temp.again(:c, '2029-05-30');
SELECT is(pg_temp.run(:c, '2029-05-31'), '109.00 + 19.63 = 128.63', 'May: 19.00 + 0.63');
-- weeks that are over: Sunday 2029-06-10 ends one
SELECT o2c.ship_order(:c, pg_temp.confirmed(:c, 'WEEK', 'W' || n), NULL, d) FROM (VALUES (1, date '2029-06-06'), (2, '2029-06-11')) v(n, d) ORDER BY n \g /dev/null
SELECT is(pg_temp.run(:c, '2029-06-09'), NULL, 'Saturday: the week is not over');
SELECT is(pg_temp.run(:c, '2029-06-16'), '109.00 + 19.63 = 128.63', 'the Saturday after: the week before');
SELECT is(pg_temp.run(:c, '2029-06-17'), '109.00 + 19.63 = 128.63', 'Sunday: the week itself');
-- one for each shipment: 4 x 10.00 and the rest, 60.00 + 9.00
SELECT pg_temp.confirmed(:c, 'SHIP', 'S1') AS o \gset
SELECT o2c.ship_order(:c, :o, '[{"line": 1, "quantity": 4}]', '2029-07-01'), o2c.ship_order(:c, :o, NULL, '2029-07-02') \g /dev/null
SELECT is(o2c.invoice_order(:c, :o) IS NOT NULL, true, 'shipment by shipment');
SELECT results_eq(format('SELECT net_amount, tax_amount FROM o2c.invoice WHERE company_id = %s AND order_id = %s ORDER BY 1', :c, :o), $$VALUES (40.00, 7.60), (69.00, 12.03)$$, '4 x 10.00 of the first; 6 x 10.00 at 19 % = 11.40 and 9.00 at 7 % = 0.63 of the second');

------------------------------------------- prepayment and final invoice
-- 40 %: 40.00 at 19 % = 7.60; 3.60 at 7 % = 0.252
SELECT pg_temp.confirmed(:c, 'PRE', 'P1') AS o \gset
SELECT o2c.prepayment_invoice(:c, :o, 40) AS p \gset
SELECT results_eq(format('SELECT net_amount, tax_amount, total_amount FROM o2c.invoice WHERE company_id = %s AND id = %s', :c, :p), $$VALUES (43.60, 7.85, 51.45)$$, '40 % of 100.00 and 9.00');
SELECT o2c.issue_invoice(:c, :p, '2029-07-10'), o2c.ship_order(:c, :o, NULL, '2029-07-10') \g /dev/null
-- final: 109.00 less 43.60; 60.00 at 19 % = 11.40, 5.40 at 7 % = 0.378
SELECT is(pg_temp.run(:c, '2029-07-31'), '65.40 + 11.78 = 77.18', 'the final invoice: tax of each rate on what is left of it');
-- two prepayments (30 %, 20 %), then shipments on several drafts of one run
SELECT pg_temp.confirmed(:c, 'PRE2', 'P2') AS o \gset
SELECT o2c.issue_invoice(:c, o2c.prepayment_invoice(:c, :o, 30), '2029-07-31'), o2c.issue_invoice(:c, o2c.prepayment_invoice(:c, :o, 20), '2029-07-31') \g /dev/null
SELECT o2c.ship_order(:c, :o, '[{"line": 1, "quantity": 4}]', '2029-08-01') \g /dev/null
-- 40.00: 30.00 of the first and 10.00 of the second are deducted
SELECT is(pg_temp.run(:c, '2029-08-01'), '0.00 + 0.00 = 0.00', 'the first 40.00 are prepaid');
SELECT o2c.ship_order(:c, :o, NULL, '2029-08-02') \g /dev/null
-- 60.00 less 10.00 at 19 % = 9.50; 9.00 less 2.70 and 1.80 at 7 % = 0.315
SELECT is(pg_temp.run(:c, '2029-08-02'), '54.50 + 9.82 = 64.32', 'the rest, less the rest');
-- milestones of an order that was prepaid by 50 %, two at once: 30.00 + 2.70 and 70.00 + 6.30
-- less 30.00 + 2.70, then less 20.00 + 1.80: 50.00 at 19 % = 9.50, 4.50 at 7 % = 0.315
SELECT pg_temp.confirmed(:c, 'PRE2', 'P3') AS o \gset
SELECT o2c.issue_invoice(:c, o2c.prepayment_invoice(:c, :o, 50), '2029-08-02') \g /dev/null
INSERT INTO o2c.billing_milestone (company_id, order_id, name, percent, reached_on) VALUES (:c, :o, '1', 30, '2029-08-03'), (:c, :o, '2', 70, '2029-08-03');
SELECT is(pg_temp.run(:c, '2029-08-03'), '0.00 + 0.00 = 0.00; 54.50 + 9.82 = 64.32', 'a prepayment is deducted from as many invoices as it reaches');
-- a void draft gives back what it deducted; consolidated customers keep prepaid orders apart
SELECT pg_temp.confirmed(:c, 'PRE3', 'P4') AS o \gset
SELECT o2c.issue_invoice(:c, o2c.prepayment_invoice(:c, :o, 100), '2029-08-03'), o2c.ship_order(:c, :o, NULL, '2029-08-04'), o2c.ship_order(:c, pg_temp.confirmed(:c, 'PRE3', 'P5'), NULL, '2029-08-04') \g /dev/null
SELECT is(pg_temp.run(:c, '2029-08-04'), '0.00 + 0.00 = 0.00; 109.00 + 19.63 = 128.63', 'what was prepaid of one order is not lost among others');
SELECT o2c.void_invoice(:c, (SELECT max(id) FROM o2c.invoice WHERE company_id = :c AND order_id = :o AND kind = 'invoice'), 'misprint', '2029-08-04') \g /dev/null
SELECT is(pg_temp.run(:c, '2029-08-04'), '0.00 + 0.00 = 0.00', 'a void invoice has used nothing');

SELECT is_empty('SELECT * FROM o2c.check()', 'check() is empty');
SELECT * FROM finish();
