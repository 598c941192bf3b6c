-- The customer number that a payment names tells who pays when account and name do not.
BEGIN;
SELECT plan(20);

SELECT is(o2c._named_codes(t, n), expected, what)
FROM (VALUES ('Zahlung Kd.Nr. 10234', NULL, ARRAY[10234]::bigint[], 'a number behind its word'),
  (NULL, 'KD 10234 Müller GmbH', ARRAY[10234]::bigint[], 'before the payer''s name'),
  ('KUNDENNUMMER: K00513', '', ARRAY[o2c._document_key('K00513')], 'with letters, in a longer word'),
  ('EREFKD10234 AKD 12', 'Kundendienst Nord', NULL, 'not within a word, nor a word alone')) x(t, n, expected, what);

SELECT o2c.create_company('Codes', 'DE', 'EUR') AS c \gset
CREATE TEMP TABLE customers AS
SELECT * FROM (VALUES ('10234', 'Amsel KG', 'ACC1'), ('10235', 'Amsel KG', 'ACC2'), ('K00513', 'Buche AG', 'ACC3'), ('10237', 'Cedro OHG', 'ACC4'), ('1238', 'Distel UG', 'ACC5')) x(code, name, iban);
SELECT o2c.import_customers(:c, 'customers') \g /dev/null
CREATE TEMP VIEW items AS
SELECT *, amount AS open_amount, date '2025-01-02' AS document_date, date '2025-02-01' AS due_date, 'EUR' AS currency
FROM (VALUES ('930001', '10234', 100), ('930002', '10235', 100), ('930003', 'K00513', 300), ('930004', 'K00513', 400), ('930005', 'K00513', 400), ('930006', '10237', 600),
  ('930007', '10237', 700), ('930008', 'K00513', 700), ('930009', 'K00513', 800),
  ('930010', 'K00513', 900), ('930011', '10237', 900), ('930012', 'K00513', 950), ('930013', '1238', 960), ('930014', 'K00513', 970)) x(number, customer_code, amount);
SELECT o2c.import_open_items(:c, 'items') \g /dev/null
INSERT INTO o2c.bank_account (company_id, code) VALUES (:c, 'B');
CREATE TEMP TABLE lines (line_id text, payer text, account text, amount numeric, remittance_text text, expected text, what text);
INSERT INTO lines VALUES
  ('text', 'Treuhand West', 'X1', 300, 'Kd-Nr K00513 Miete', '930003=300.00 auto amount', 'a payer whom nobody knows names the customer'),
  ('name', 'KD 10237 Irgendwer', 'X2', 600, '', '930006=600.00 auto amount', 'in his name as well'),
  ('same name', 'Amsel KG', 'X3', 100, 'Kundennummer 10235', '930002=100.00 auto amount', 'of two customers of one name it tells which'),
  ('equal', 'Treuhand West', 'X1', 400, 'Kd-Nr K00513', '930004=400.00 suggested amount, 930005=400.00 suggested amount', 'between equal items a person decides'),
  ('bare', 'Treuhand West', 'X4', 810, 'K00513', NULL, 'without a word for it a number is anything'),
  ('bare amount', 'Zahldienst', 'X5', 800, 'K00513 TXN558633160', '930009=800.00 auto amount', 'but who pays to the cent what that customer owes names him'),
  ('two codes', 'Zahldienst', 'X5', 900, 'K00513/10237', '930010=900.00 suggested amount, 930011=900.00 suggested amount', 'of two such a person decides'),
  ('piece', 'Zahldienst', 'X5', 950, 'AK00513', NULL, 'a piece of another number is none'),
  ('four', 'Zahldienst', 'X5', 960, '1238 TXN1', NULL, 'nor are four digits enough'),
  ('wages', 'Zahldienst', 'X5', 970, 'Gehalt K00513', '930014=970.00 suggested amount', 'and wages are wages'),
  ('known', 'Cedro OHG', 'ACC4', 700, 'Kd-Nr K00513', '930007=700.00 auto amount', 'a registered account goes before it');
INSERT INTO o2c.bank_line (company_id, bank_account_id, line_id, booking_date, amount, currency, payer_name, payer_account, remittance_text)
SELECT :c, b.id, l.line_id, date '2025-02-14', l.amount, 'EUR', l.payer, l.account, l.remittance_text
FROM o2c.bank_account b, lines l WHERE b.company_id = :c;
SELECT lives_ok(format('SELECT o2c.match_cash(%s)', :c), 'the lines are matched');
SELECT is((SELECT string_agg(m.number || '=' || m.applied_amount || ' ' || m.status || ' ' || m.rule, ', ' ORDER BY m.option, m.number)
           FROM o2c_bi.cash_matches m WHERE m.company_id = :c AND m.line_id = l.line_id), l.expected, l.what)
FROM lines l;
SELECT matches((SELECT m.explanation FROM o2c.match_proposal m JOIN o2c.bank_line b ON b.company_id = :c AND b.id = m.bank_line_id
                WHERE m.company_id = :c AND b.line_id = 'text'), 'name or number', 'the sentence says so');
SELECT is((SELECT count(*) FROM o2c.payer_alias WHERE company_id = :c), 0::bigint, 'nothing is learned from a number that anybody can write');
SELECT is((SELECT u.code FROM o2c.payment p JOIN o2c.bank_line b ON b.company_id = :c AND b.id = p.bank_line_id
           LEFT JOIN o2c.customer u ON u.company_id = :c AND u.id = p.customer_id WHERE p.company_id = :c AND b.line_id = 'equal'), NULL,
  'money that is not applied stays unidentified');
SELECT is_empty(format('SELECT * FROM o2c.check(%s)', :c), 'the books are right');
SELECT finish();
ROLLBACK;
