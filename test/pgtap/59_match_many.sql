-- Cash application over many lines: amounts in minor units, slips, what a
-- payer's book holds, parties, and a second run.
BEGIN;
SELECT plan(40);

----------------------------------------------------------------- minor units
SELECT is(o2c._minor_amount(a, c::o2c.currency), m, format('%s %s is %s', a, c, coalesce(m::text, 'nothing')))
FROM (VALUES (12.34, 'EUR', 1234::bigint), (-12.34, 'EUR', -1234), (0.00, 'EUR', 0), (100, 'JPY', 100), (1.234, 'BHD', 1234), (7, 'EUR', 700),
  (0.005, 'EUR', 1), (-0.005, 'EUR', -1), (0.0049999999, 'EUR', 0), (0.5, 'JPY', 1), (-2.5, 'JPY', -3), (1234567890123456.78, 'EUR', 123456789012345678),
  (0.000000000001, 'EUR', 0), (NULL, 'EUR', NULL)) v(a, c, m);
SELECT is(o2c._minor_amount(a, 'EUR'), (a * 100)::bigint, format('%s as numeric says', a))
FROM unnest(ARRAY[99999999.995, -0.0150000001, 1e13, 12345.6750, 0.01499999999999999999]) a;
SELECT throws_ok($$ SELECT o2c._minor_amount(1e20, 'EUR') $$, '22003', NULL, 'an amount beyond 64 bits is refused');

----------------------------------------------------------------- one slip, all four kinds
SELECT is(o2c.name_similarity(n, 'Keller'), 0.9::float8, n || ' is one slip from Keller')
FROM unnest(ARRAY['KELER', 'KELLLER', 'KLELER', 'KELLEX', 'XKELLER', 'KELLE', 'EKLLER']) n;
SELECT ok(o2c.name_similarity(n, 'Keller') < 0.9, n || ' is more than one') FROM unnest(ARRAY['KLELRE', 'KELEX', 'KEXXER', 'XKELLEY']) n;

----------------------------------------------------------------- a book holds what the first round leaves
SELECT o2c.create_company('Many', 'DE', 'EUR') AS c \gset
CREATE TEMP TABLE customers (code text, name text, iban text);
INSERT INTO customers VALUES ('P', 'Steinbruch Keller KG', 'DE89370400440532013000'), ('Q', 'Ohne Konto AG', NULL);
SELECT o2c.import_customers(:c, 'customers') \g /dev/null
-- 120 items; 112 are paid by number; two of the other eight are paid together without one
CREATE TEMP TABLE items AS
SELECT '19500010' || to_char(n, 'FM000') AS number, 'P' AS customer_code, date '2025-01-01' AS document_date,
  date '2025-02-01' + n / 4 AS due_date, 'EUR' AS currency, 1000 + n * n * 7.13 AS amount, 1000 + n * n * 7.13 AS open_amount
FROM generate_series(1, 120) n;
SELECT o2c.import_open_items(:c, 'items') \g /dev/null
INSERT INTO o2c.bank_account (company_id, code) VALUES (:c, 'M');
INSERT INTO o2c.bank_line (company_id, bank_account_id, line_id, booking_date, amount, currency, payer_name, payer_iban, remittance_text)
SELECT :c, a.id, l.line_id, l.booking_date, l.amount, 'EUR', l.payer_name, l.payer_iban, l.remittance_text
FROM o2c.bank_account a, (
  SELECT number AS line_id, date '2025-02-03' AS booking_date, amount, 'STEINBRUCH KELLER KG' AS payer_name, 'DE89370400440532013000' AS payer_iban,
    'RG ' || number AS remittance_text FROM items WHERE number < '19500010113'
  UNION ALL
  SELECT 'bundle', '2025-02-03', sum(amount), 'STEINBRUCH KELLER KG', 'DE89370400440532013000', 'Zahlung' FROM items WHERE number IN ('19500010114', '19500010119')
  UNION ALL
  SELECT 'nobody', '2025-02-03', 17.17, NULL, NULL, NULL
  UNION ALL
  SELECT 'blank', '2025-02-03', 18.18, ' ', '', '') l
WHERE a.company_id = :c;
SELECT results_eq(format('SELECT lines, auto_lines, unmatched_lines FROM o2c.match_cash(%s)', :c), 'VALUES (115::bigint, 113::bigint, 2::bigint)',
  'all but the two lines of nobody are posted');
SELECT results_eq(format($$ SELECT number, rule, status FROM o2c_bi.cash_matches WHERE company_id = %s AND line_id = 'bundle' ORDER BY 1 $$, :c),
  $$ VALUES ('19500010114', 'bundle', 'auto'), ('19500010119', 'bundle', 'auto') $$,
  'a sum is trusted when all that is left open was looked at');
SELECT is((SELECT count(*) FROM o2c.payment p WHERE p.company_id = :c AND p.customer_id IS NULL), 2::bigint,
  'a line without name and account is no customer''s without account');
SELECT results_eq(format('SELECT count(*), sum(open_amount) FROM o2c.open_item WHERE company_id = %s AND kind = ''opening'' AND open_amount > 0', :c),
  'SELECT count(*), sum(amount) FROM items WHERE number IN (''19500010113'', ''19500010115'', ''19500010116'', ''19500010117'', ''19500010118'', ''19500010120'')',
  'six items stay open');

----------------------------------------------------------------- again
CREATE TEMP TABLE before AS SELECT m.id, m.xmin::text || m.cmin AS written FROM o2c.match_proposal m;
SELECT results_eq(format('SELECT lines, auto_lines FROM o2c.match_cash(%s)', :c), 'VALUES (0::bigint, 0::bigint)', 'a second run has nothing to do');
SELECT bag_eq('SELECT m.id, m.xmin::text || m.cmin AS written FROM o2c.match_proposal m', 'SELECT * FROM before', 'and writes nothing');

----------------------------------------------------------------- an end of a number that is not looked at
-- 100 items, two fall due a day; the text has the end of the number of the
-- first, less than its amount, which is that of one due on the line's day
SELECT o2c.create_company('Hidden', 'DE', 'EUR') AS h \gset
SELECT o2c.import_customers(:h, 'customers') \g /dev/null
CREATE TEMP TABLE far AS
SELECT '1930011' || to_char(200 + n, 'FM000') AS number, 'P' AS customer_code, date '2025-01-01' AS document_date,
  date '2025-02-01' + n / 2 AS due_date, 'EUR' AS currency, 1000 + n * 17.13 AS amount, 1000 + n * 17.13 AS open_amount
FROM generate_series(1, 100) n;
UPDATE far SET amount = 2900, open_amount = 2900 WHERE number = '1930011201';
SELECT o2c.import_open_items(:h, 'far') \g /dev/null
INSERT INTO o2c.bank_account (company_id, code) VALUES (:h, 'M');
INSERT INTO o2c.bank_line (company_id, bank_account_id, line_id, booking_date, amount, currency, payer_name, payer_iban, remittance_text)
SELECT :h, a.id, v.id, '2025-03-20', v.amount, 'EUR', 'STEINBRUCH KELLER KG', 'DE89370400440532013000', v.text
FROM o2c.bank_account a, (VALUES ('end', 1000 + 95 * 17.13, '011201 abzgl. Reklamation'), ('other', 1000 + 96 * 17.13, '774911 Reklamation')) v(id, amount, text)
WHERE a.company_id = :h;
SELECT results_eq(format('SELECT lines, auto_lines FROM o2c.match_cash(%s)', :h), 'VALUES (2::bigint, 1::bigint)', 'one of two is posted');
SELECT results_eq(format($$ SELECT line_id, status, number FROM o2c_bi.cash_matches WHERE company_id = %s AND rule = 'amount' ORDER BY 1 $$, :h),
  $$ VALUES ('end', 'suggested', '1930011295'), ('other', 'auto', '1930011296') $$, 'where no end of a number of the payer stands in the text');
SELECT is_empty('SELECT * FROM o2c.check()', 'every invariant holds');
SELECT finish();
ROLLBACK;
