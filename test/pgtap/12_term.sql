-- Payment terms: every form of due date, instalments, discounts, business days.
SELECT plan(38);

SELECT o2c.create_company('Terms', 'DE', 'EUR') AS c \gset

-- net days; a discount within days
SELECT results_eq(format($$SELECT instalment, amount, due_date, discount_date, discount_amount FROM o2c.due_dates(%s, 'NET30', '2026-01-31', 100, 'EUR')$$, :c),
  $$VALUES (1, 100::numeric, date '2026-03-02', NULL::date, NULL::numeric)$$, '30 days net');
SELECT results_eq(format($$SELECT due_date, discount_date, discount_amount FROM o2c.due_dates(%s, '2/10NET30', '2026-01-01', 1190, 'EUR', 1000)$$, :c),
  $$VALUES (date '2026-01-31', date '2026-01-11', 23.80)$$, '2/10 net 30 on 1000 + 19 %: 23.80 of the total');

-- end of month
SELECT is(o2c._due_date('end_of_month', '2026-01-31', 0, 0, NULL), '2026-01-31', 'end of month');
SELECT is(o2c._due_date('end_of_month', '2026-01-31', 0, 1, NULL), '2026-02-28', '31 January and a month is 28 February');
SELECT is(o2c._due_date('end_of_month', '2028-01-31', 0, 1, NULL), '2028-02-29', 'and 29 February in a leap year');
SELECT is(o2c._due_date('end_of_month', '2026-01-05', 30, 0, NULL), '2026-03-02', 'end of month plus 30 days');
SELECT is(o2c._due_date('end_of_month', '2026-12-31', 0, 1, NULL), '2027-01-31', 'over the end of a year');
-- the d-th of a month
SELECT is(o2c._due_date('day_of_month', '2026-01-10', 0, 0, 15), '2026-01-15', 'the 15th of this month');
SELECT is(o2c._due_date('day_of_month', '2026-01-16', 0, 0, 15), '2026-02-15', 'is the next one when it is past');
SELECT is(o2c._due_date('day_of_month', '2026-01-15', 0, 0, 15), '2026-01-15', 'or that very day');
SELECT is(o2c._due_date('day_of_month', '2026-01-20', 0, 1, 31), '2026-02-28', 'the 31st of February is its last day');
SELECT is(o2c._due_date('day_of_month', '2026-11-20', 0, 2, 5), '2027-01-05', 'two months on');

-- instalments: the last takes what rounding leaves
INSERT INTO o2c.payment_term (company_id, code, kind) VALUES (:c, '3X', 'instalments');
INSERT INTO o2c.payment_term_line (company_id, term_code, instalment, percent, net_days) VALUES (:c, '3X', 1, 33.33, 0), (:c, '3X', 2, 33.33, 30), (:c, '3X', 3, 33.34, 60);
SELECT results_eq(format($$SELECT instalment, amount, due_date FROM o2c.due_dates(%s, '3X', '2026-01-01', 100.01, 'EUR')$$, :c),
  $$VALUES (1, 33.33, date '2026-01-01'), (2, 33.33, '2026-01-31'), (3, 33.35, '2026-03-02')$$, 'instalments add up');
SELECT is((SELECT sum(amount) FROM o2c.due_dates(:c, '3X', '2026-01-01', 1, 'JPY')), 1::numeric, 'even one yen in three parts');
SELECT is((SELECT sum(amount) FROM o2c.due_dates(:c, '3X', '2026-01-01', 10.001, 'KWD')), 10.001, 'and three decimals');
SELECT throws_ok(format($$INSERT INTO o2c.payment_term (company_id, code, kind) VALUES (%s, 'x', 'day_of_month')$$, :c), '23514', NULL, 'a day of the month must be given');
SELECT throws_ok(format($$INSERT INTO o2c.payment_term (company_id, code, net_days) VALUES (%s, 'x', -1)$$, :c), '23514', NULL, 'negative days are refused');

-- discounts: the three ways of the vector 2/10 net 30 on 1000 + 19 %
INSERT INTO o2c.payment_term (company_id, code, discount_percent, discount_days, discount_basis) VALUES (:c, 'DG', 2, 10, 'gross'), (:c, 'DN', 2, 10, 'net'), (:c, 'DU', 2, 10, 'upfront');
INSERT INTO o2c.customer (company_id, code, name) VALUES (:c, 'A', 'A');
INSERT INTO o2c.invoice (company_id, id, customer_id, currency, payment_term)
SELECT :c, n, (SELECT id FROM o2c.customer WHERE company_id = :c), 'EUR', t FROM (VALUES (101, 'DG'), (102, 'DN'), (103, 'DU')) v(n, t);
INSERT INTO o2c.invoice_line (company_id, invoice_id, line_no, description, quantity, unit_price, currency, tax_category, tax_rate)
SELECT :c, n, 1, 'Item', 1, 1000, 'EUR', 'S', 19 FROM generate_series(101, 103) n;
SELECT lives_ok(format('SELECT o2c.issue_invoices(%s, NULL, ''2026-01-01'')', :c), 'issue with three kinds of discount');
SELECT results_eq(format($$SELECT i.tax_amount, i.total_amount, o.amount - o.discount_amount FROM o2c.invoice i JOIN o2c.open_item o ON o.company_id = i.company_id AND o.invoice_id = i.id WHERE i.company_id = %s ORDER BY i.id$$, :c),
  $$VALUES (190.00, 1190.00, 1166.20), (190.00, 1190.00, 1170.00), (186.20, 1186.20, 1166.20)$$, 'pay 1166.20, 1170.00 and 1166.20 of 1186.20');

SELECT is((SELECT discount_amount FROM o2c.due_dates(:c, 'DN', '2026-01-01', 304954.46, 'EUR', 256264.25)), 5125.29, '2 % of 256264.25 is 5125.285: rounded up, whatever the tax');

-- business days
SELECT is(o2c._roll_date(:c, '2026-01-31', 'none'), '2026-01-31', 'no rolling');
SELECT is(o2c._roll_date(:c, '2026-01-31', 'following'), '2026-02-02', 'a Saturday goes to Monday');
SELECT is(o2c._roll_date(:c, '2026-01-31', 'modified'), '2026-01-30', 'modified stays in the month');
SELECT is(o2c._roll_date(:c, '2026-01-01', 'following'), '2026-01-02', 'New Year goes to the next day');
SELECT is(o2c._roll_date(:c, '2026-04-03', 'following'), '2026-04-07', 'Good Friday goes over Easter Monday');
SELECT is(array_agg(o2c._easter(y) ORDER BY y), '{1981-04-19,2000-04-23,2024-03-31,2025-04-20,2026-04-05,2038-04-25}'::date[], 'Easter')
FROM unnest('{1981,2000,2024,2025,2026,2038}'::int[]) y;
SELECT ok(EXISTS (SELECT FROM o2c.holiday WHERE company_id = :c AND day = '2026-10-03'), 'a German company has its national day');
SELECT is(o2c.seed_holidays(:c, 2026, 2026), 0::bigint, 'seeding again adds nothing');
SELECT cmp_ok(o2c.seed_holidays(:c, 2040, 2040, 'FR'), '>', 8::bigint, 'another year, another country');
SELECT throws_ok(format('SELECT o2c.seed_holidays(%s, 1, 2)', :c), 'O2004', NULL, 'years out of range');

-- arguments
SELECT throws_ok(format('SELECT * FROM o2c.due_dates(%s, ''NOPE'', ''2026-01-01'', 1, ''EUR'')', :c), 'O2003', NULL, 'a term is known');
SELECT throws_ok('SELECT * FROM o2c.due_dates(99, ''NET30'', ''2026-01-01'', 1, ''EUR'')', 'O2002', NULL, 'so is the company');
SELECT throws_ok(format('SELECT * FROM o2c.due_dates(%s, ''NET30'', ''2026-01-01'', 1.001, ''EUR'')', :c), 'O2043', NULL, 'an amount has the currency''s decimals');
SELECT throws_ok(format('SELECT * FROM o2c.due_dates(%s, ''NET30'', ''infinity'', 1, ''EUR'')', :c), 'O2044', NULL, 'a date is finite');
SELECT is((SELECT due_date FROM o2c.due_dates(:c, NULL, '2026-01-01', 1, 'EUR')), '2026-01-31'::date, 'no term is the company''s default');

-- a few cents over many instalments
INSERT INTO o2c.payment_term (company_id, code, kind) VALUES (:c, 'SEVEN', 'instalments');
INSERT INTO o2c.payment_term_line (company_id, term_code, instalment, percent, net_days)
SELECT :c, 'SEVEN', n, CASE WHEN n < 7 THEN 14.285714 ELSE 14.285716 END, 30 * n FROM generate_series(1, 7) n;
SELECT is((SELECT array_agg(amount ORDER BY instalment) FROM o2c.due_dates(:c, 'SEVEN', '2026-01-01', 0.05, 'EUR')),
  '{0.01,0.01,0.01,0.01,0.01,0.00,0.00}'::numeric[], 'no instalment is negative');
INSERT INTO o2c.customer (company_id, code, name, payment_term) VALUES (:c, 'CENTS', 'Cents', 'SEVEN');
INSERT INTO o2c.invoice (company_id, customer_id, currency) SELECT :c, id, 'EUR' FROM o2c.customer WHERE company_id = :c AND code = 'CENTS' RETURNING id AS cents \gset
INSERT INTO o2c.invoice_line (company_id, invoice_id, line_no, description, quantity, unit_price, currency, tax_category, tax_rate)
VALUES (:c, :cents, 1, 'x', 1, 0.04, 'EUR', 'S', 19);
SELECT o2c.issue_invoice(:c, :cents, '2026-01-01') \g /dev/null
SELECT is((SELECT array_agg(amount ORDER BY instalment) FROM o2c.open_item WHERE company_id = :c AND invoice_id = :cents),
  '{0.01,0.01,0.01,0.01,0.01}'::numeric[], 'nor of an invoice');

SELECT is_empty('SELECT * FROM o2c.check()', 'check() is empty');
SELECT * FROM finish();
