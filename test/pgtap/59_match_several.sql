-- Cash application without numbers: items that fall due together make the
-- amount, and something else does as well.
BEGIN;
SELECT plan(13);

SELECT o2c.create_company('Several', 'DE', 'EUR') AS c \gset
CREATE TEMP TABLE customers (code text, name text, iban text);
INSERT INTO customers VALUES ('ONE', 'Lagerhaus Ost KG', 'DE89370400440532013000'), ('TWO', 'Kranbau West AG', 'DE02120300000000202051'),
  ('RIVAL', 'Drahtwerk Nord OHG', 'DE02500105170137075030'), ('ALONE', 'Farbenhof Mitte GmbH', 'DE02100500000054540402'),
  ('SMALL', 'Papier Huber GmbH', 'DE75512108001245126199'), ('NAME', 'Ziegelei Brandt KG', NULL);
SELECT o2c.import_customers(:c, 'customers') \g /dev/null

-- 16 items, one falls due each day.  Of RIVAL six of the eighth to the
-- fourteenth make what the third and the sixth do, of ALONE a cent less.
CREATE TEMP TABLE items (number text, customer_code text, document_date date, due_date date, currency text, amount numeric, open_amount numeric);
CREATE TEMP TABLE amounts AS SELECT n, a FROM unnest(ARRAY[412.37, 866.91, 927.13, 918.44, 285.62, 918.09, 591.78, 317.26, 268.53, 345.91, 291.07,
  263.38, 0, 340.15, 951.82, 474.46]) WITH ORDINALITY v(a, n);
UPDATE amounts SET a = (SELECT sum(a) FROM amounts WHERE n IN (3, 6)) - (SELECT sum(a) FROM amounts WHERE n IN (8, 9, 10, 12, 14)) WHERE n = 13;
INSERT INTO items SELECT c || '-' || to_char(2600 + n, 'FM0000'), c, '2026-01-02', date '2026-02-01' + n::int, 'EUR',
  a - CASE WHEN c = 'ALONE' AND n = 13 THEN 0.01 ELSE 0 END, a - CASE WHEN c = 'ALONE' AND n = 13 THEN 0.01 ELSE 0 END
FROM amounts, (VALUES ('RIVAL'), ('ALONE')) v(c);
SELECT cmp_ok((SELECT a FROM amounts WHERE n = 13), '>', 200.00, 'the thirteenth is an amount like the others');

-- One item equals what two that fall due together make; of SMALL a tenth.
INSERT INTO items SELECT c || '-' || n, c, '2026-01-02', d, 'EUR', a, a
FROM (VALUES ('ONE'), ('TWO')) v(c), (VALUES ('71', date '2026-02-03', 1496.50), ('72', '2026-02-20', 440.20), ('73', '2026-02-20', 1056.30), ('74', '2026-03-01', 318.27)) i(n, d, a);
INSERT INTO items SELECT 'SMALL-' || n, 'SMALL', '2026-01-02', d, 'EUR', a, a
FROM (VALUES ('71', date '2026-02-03', 149.65), ('72', '2026-02-20', 44.02), ('73', '2026-02-20', 105.63), ('74', '2026-03-01', 318.27)) i(n, d, a);
-- Somebody without an account pays two of four items.
INSERT INTO items SELECT 'NAME-' || n, 'NAME', '2026-01-02', '2026-02-06', 'EUR', a, a
FROM (VALUES (81, 42.02), (82, 50.27), (83, 58.51), (84, 66.76)) i(n, a);
SELECT o2c.import_open_items(:c, 'items') \g /dev/null

INSERT INTO o2c.bank_account (company_id, code) VALUES (:c, 'B');
INSERT INTO o2c.bank_line (company_id, bank_account_id, line_id, booking_date, amount, currency, payer_name, payer_iban, remittance_text)
SELECT :c, b.id, v.* FROM o2c.bank_account b, (VALUES
  ('rival', date '2026-02-05', (SELECT sum(a) FROM amounts WHERE n IN (3, 6)), 'EUR', 'DRAHTWERK NORD', 'DE02500105170137075030', 'Zahlung'),
  ('alone', '2026-02-05', (SELECT sum(a) FROM amounts WHERE n IN (3, 6)), 'EUR', 'FARBENHOF MITTE', 'DE02100500000054540402', 'Zahlung'),
  ('plural', '2026-02-20', 1496.50, 'EUR', 'LAGERHAUS OST', 'DE89370400440532013000', 'Invoices as agreed'),
  ('singular', '2026-02-20', 1496.50, 'EUR', 'KRANBAU WEST', 'DE02120300000000202051', 'Payment as agreed'),
  ('lonely', '2026-02-20', 318.27, 'EUR', 'KRANBAU WEST', 'DE02120300000000202051', 'Rechnungen wie besprochen'),
  ('small', '2026-02-20', 149.65, 'EUR', 'PAPIER HUBER', 'DE75512108001245126199', 'Vielen Dank'),
  ('name', '2026-02-06', 125.27, 'EUR', 'ZIEGELEI BRANDT', 'DE12500105170648489890', 'Zahlung')) v
WHERE b.company_id = :c;
SELECT results_eq(format('SELECT lines, auto_lines, suggested_lines FROM o2c.match_cash(%s)', :c), 'VALUES (7::bigint, 3::bigint, 4::bigint)', 'three are posted');

-- What a line's answers are: option, rule, items.
CREATE FUNCTION pg_temp.answers(company integer, line text) RETURNS SETOF text LANGUAGE sql AS $$
  SELECT m.option || ' ' || m.status || ' ' || m.rule || ' ' || string_agg(m.number, '+' ORDER BY m.number)
  FROM o2c_bi.cash_matches m WHERE m.company_id = $1 AND m.line_id = $2 GROUP BY m.option, m.status, m.rule ORDER BY m.option $$;
SELECT is(count(*), 0::bigint, 'what six others make as well is not posted') FROM pg_temp.answers(:c, 'rival') a WHERE a ~ 'auto';
SELECT results_eq(format('SELECT pg_temp.answers(%s, ''rival'') LIMIT 1', :c), $$ VALUES ('1 suggested bundle RIVAL-2603+RIVAL-2606') $$, 'but offered');
SELECT results_eq(format('SELECT pg_temp.answers(%s, ''alone'')', :c), $$ VALUES ('1 auto bundle ALONE-2603+ALONE-2606') $$, 'what none other makes is posted');
SELECT results_eq(format('SELECT pg_temp.answers(%s, ''plural'')', :c),
  $$ VALUES ('1 suggested bundle ONE-72+ONE-73'), ('2 suggested amount ONE-71') $$, 'a text in the plural and one item of the amount: both are offered');
SELECT results_eq(format('SELECT pg_temp.answers(%s, ''singular'')', :c), $$ VALUES ('1 auto amount TWO-71') $$, 'without the plural the one item is meant');
SELECT results_eq(format('SELECT pg_temp.answers(%s, ''lonely'')', :c), $$ VALUES ('1 auto amount TWO-74') $$, 'with it, too, when no others make the amount');
SELECT matches(min(explanation), 'the text speaks of several') FROM o2c_bi.cash_matches WHERE company_id = :c AND line_id = 'plural' AND option = 1;
SELECT results_eq(format('SELECT pg_temp.answers(%s, ''small'')', :c),
  $$ VALUES ('1 suggested bundle SMALL-72+SMALL-73'), ('2 suggested amount SMALL-71') $$, 'of small amounts that happens by accident: both are offered');
SELECT matches(explanation, 'equals this item, but also the sum of some') FROM o2c_bi.cash_matches WHERE company_id = :c AND line_id = 'small' AND option = 2;
SELECT results_eq(format('SELECT pg_temp.answers(%s, ''name'')', :c), $$ VALUES ('1 suggested bundle NAME-83+NAME-84') $$, 'the same items are offered once');
SELECT is_empty('SELECT * FROM o2c.check()', 'every invariant holds');
SELECT finish();
ROLLBACK;
