-- Numbers with letters as people and banks write them, lists without blanks,
-- amounts behind a currency, those who pay for others and keep a share, and
-- money for no invoice in more languages and in broken words.
BEGIN;
SELECT plan(43);

SELECT o2c.create_company('Spelling', 'DE', 'EUR') AS c \gset
CREATE TEMP TABLE customers AS
SELECT 'C' || n AS code, format('%s Handwerk KG', name) AS name, 'ACC' || n AS iban
FROM unnest(ARRAY['Adler', 'Biber', 'Condor', 'Dachs', 'Elster', 'Falter', 'Grille', 'Hamster', 'Iltis', 'Jaguar', 'Kauz', 'Lerche', 'Marder', 'Nerz', 'Otter', 'Panther',
                  'Qualle', 'Reiher', 'Seehund', 'Tapir', 'Uhu', 'Viper', 'Wiesel', 'Yak', 'Zebra', 'Aal', 'Bussard', 'Chamaeleon', 'Dohle', 'Eule'])
  WITH ORDINALITY x(name, n);
SELECT o2c.import_customers(:c, 'customers') \g /dev/null
CREATE TEMP TABLE items (number text, customer_code text, amount numeric);
INSERT INTO items VALUES
  ('ADL-0021', 'C1', 1112.78), ('ADL-0024', 'C1', 312.31), ('A4C3-0143', 'C2', 2538.93), ('A4C3-0205', 'C2', 610.10),
  -- two series with the same numbers
  ('A/26/00355', 'C3', 715.51), ('B/26/00355', 'C3', 4694.89), ('A/26/00361', 'C3', 500.88), ('A/26/00462', 'C4', 671.93), ('B/26/00462', 'C4', 293.83),
  ('B/26/00471', 'C5', 83.10), ('A/26/00471', 'C6', 59.90),
  ('A/26/00480', 'C4', 120.12), ('B/26/00480', 'C4', 340.34),
  ('26-30700', 'C7', 39.99), ('26-30709', 'C7', 921.22), ('26-30756', 'C7', 181.75), ('26-30783', 'C7', 273.37),
  ('26-30801', 'C8', 426.47), ('26-30802', 'C8', 900),
  ('A4E8-0200', 'C9', 233.89), ('A4E8-0202', 'C9', 867.18), ('A4E8-0203', 'C9', 642.04),
  ('26-31001', 'C10', 500), ('26-31002', 'C11', 600), ('26-31003', 'C12', 700), ('26-31004', 'C28', 800),
  ('26-32001', 'C13', 1013.13), ('26-32002', 'C14', 1014.14), ('26-32003', 'C15', 1015.15), ('26-32004', 'C16', 1016.16), ('26-32005', 'C17', 1017.17),
  ('26-32006', 'C18', 1018.18), ('26-32007', 'C19', 1019.19), ('26-32008', 'C20', 1020.20), ('26-32009', 'C21', 1021.21), ('4868', 'C22', 56),
  ('26-32011', 'C23', 1023.23), ('26-32012', 'C24', 1024.24), ('26-32013', 'C25', 1025.25), ('26-32014', 'C26', 1026.26),
  ('26-32015', 'C27', 1027.27), ('26-32016', 'C29', 1029.29), ('26-32017', 'C30', 1030.30), ('26-32018', 'C30', 1031.31), ('26-32019', 'C30', 1032.32), ('26-32020', 'C30', 1033.33),
  ('FV/77/08/2026/KR', 'C30', 1034.34);
CREATE TEMP VIEW open_items AS
SELECT i.*, amount AS open_amount, 'EUR' AS currency, date '2026-01-02' AS document_date, date '2026-02-15' AS due_date FROM items i;
SELECT o2c.import_open_items(:c, 'open_items') \g /dev/null
INSERT INTO o2c.bank_account (company_id, code) VALUES (:c, 'B');
CREATE TEMP TABLE lines (line_id text, payer text, amount numeric, remittance_text text, expected text, what text);
INSERT INTO lines VALUES
  ('blanks', 'C1', 1112.78, 'Rechnung ADL - 0021', 'ADL-0021=1112.78 auto number', 'blanks around a hyphen'),
  ('zeros', 'C1', 300, 'RG ADL-24 1. Rate', 'ADL-0024=300.00 auto partial', 'a number of letters without its zeros'),
  ('third', 'somebody', 2538.93, 'INV A4C3 / 0143 MERCI', 'A4C3-0143=2538.93 auto number', 'or around a slash, whoever pays'),
  ('short', 'C2', 573.10, 'invoice A4C3-205 returns GBP 37.00', 'A4C3-0205=573.10 auto partial', 'the same before an amount'),
  ('series', 'C3', 1216.39, 'fra A/26/00355;A/26/361', 'A/26/00355=715.51 auto list, A/26/00361=500.88 auto list', 'the letter tells two series apart'),
  ('part of one', 'C4', 200, 'pago a cuenta fra. B/26/00462', 'B/26/00462=200.00 auto partial', 'also for a part'),
  ('one of two', 'C4', 120.12, 'fra A-26-00480', 'A/26/00480=120.12 auto number', 'and beside the other''s'),
  ('own series', 'C5', 83.10, 'fra A/26/00471', 'B/26/00471=83.10 auto number', 'a letter of another customer''s is a wrong letter where the amount is his own'),
  ('list', 'C7', 1234.58, 'inv 26-30709,26-30700,26 30783', '26-30700=39.99 auto numbers, 26-30709=921.22 auto numbers, 26-30783=273.37 auto numbers',
    'the year behind a comma is no decimals'),
  ('amount', 'C7', 181.75, '26-30756 181,75', '26-30756=181.75 auto number', 'but decimals are'),
  ('charges', 'C8', 419.47, 'Ausgleich RG 26-30801 /CHGS/EUR7.00/', '26-30801=419.47 auto charges', 'charges behind their currency'),
  ('not one', 'C8', 800, 'RG 26-30802 LOT17.05', '26-30802=800.00 auto partial', 'but no amount behind a word'),
  ('hidden', 'C9', 1692.61, 'A4E8-0200;A4E8-0202;A4E8-203 returns',
    'A4E8-0200=233.89 suggested overpayment, A4E8-0202=867.18 suggested overpayment', 'a further number in short is no overpayment'),
  ('share', 'factor', 400, 'JAGUAR HANDWERK K RG 26-31001', '26-31001=400.00 auto partial', 'who pays for a customer and names him may pay a part'),
  ('fee', 'processor', 582.60, 'payout 26-31002 fee 17,40', '26-31002=582.60 auto partial', 'so may who says what he kept'),
  ('neither', 'stranger', 690, 'RG 26-31003', '26-31003=690.00 suggested partial', 'else a person is asked'),
  ('too short a name', 'agent', 790, 'CHAMAEL RG 26-31004', '26-31004=790.00 suggested partial', 'a piece of a name is not enough'),
  ('tax', 'C13', 1013.13, 'veronpalautus 274127', '26-32001=1013.13 suggested amount', 'a refund of taxes in Finnish'),
  ('skatt', 'C14', 1014.14, 'Skatteåterbäring', '26-32002=1014.14 suggested amount', 'in Swedish'),
  ('belasting', 'C15', 1015.15, 'belastingteruggave 2025', '26-32003=1015.15 suggested amount', 'in Dutch'),
  ('hmrc', 'C16', 1016.16, 'HMRC tax repayment', '26-32004=1016.16 suggested amount', 'in English'),
  ('insurance', 'C17', 1017.17, 'EREF+211864652 MREF+M4286 SVWZ+Vers icherungsleistung', '26-32005=1017.17 suggested amount', 'what an insurer pays, in a word that the bank broke'),
  ('interest', 'C18', 1018.18, 'Zinsertrag', '26-32006=1018.18 suggested amount', 'interest'),
  ('offer', 'C19', 1019.19, 'Zahlung Angebot 773312', '26-32007=1019.19 suggested amount', 'who pays an offer has no invoice yet'),
  ('provision', 'C20', 1020.20, 'provision AN-4059', '26-32008=1020.20 suggested amount', 'a payment in advance in French'),
  ('korko', 'C21', 1021.21, 'korko', '26-32009=1021.21 suggested amount', 'interest in Finnish'),
  ('in advance', 'C22', 582.51, 'Anzahlung AN-4868', '4868=56.00 suggested overpayment', 'a payment in advance is not too much for what has the number of its offer'),
  ('broken', 'C23', 1023.23, 'EREF+1 SVWZ+unsere Vorausz ahlung', '26-32011=1023.23 suggested amount', 'another word that the bank broke'),
  ('dividend', 'C27', 1027.27, 'dywidenda 2025', '26-32015=1027.27 suggested amount', 'a dividend in Polish'),
  ('grant', 'C29', 1029.29, 'tilskud 871954', '26-32016=1029.29 suggested amount', 'a grant in Danish'),
  ('called', 'C30', 1030.30, 'VNR 322722, RG-NR 20261105', '26-32017=1030.30 suggested amount', 'eight digits that are called an invoice are no date'),
  ('dated', 'C30', 1031.31, 'vom 20261105', '26-32018=1031.31 auto amount', 'but else they are'),
  ('cut', 'C30', 1132.32, 'INV 26-32019, IN', '26-32019=1032.32 suggested overpayment', 'a list that ends before its next number is no overpayment'),
  ('not cut', 'C30', 1133.33, 'INV 26-32020, Danke', '26-32020=1033.33 auto overpayment', 'another word may follow'),
  ('its own letters', 'C30', 1234.34, 'FV/77/08/2026/KR', 'FV/77/08/2026/KR=1034.34 auto overpayment', 'nor are the letters that the number ends in another'),
  ('name', 'C24', 1024.24, 'Bonusmarkt Zahlung', '26-32012=1024.24 auto amount', 'a longer word is another'),
  ('zinsser', 'C25', 1025.25, 'Zinsser Lieferung', '26-32013=1025.25 auto amount', 'so is a name'),
  ('plain', 'C26', 1026.26, 'payment', '26-32014=1026.26 auto amount', 'and nothing at all says nothing');
INSERT INTO o2c.bank_line (company_id, bank_account_id, line_id, booking_date, amount, currency, payer_name, payer_account, remittance_text)
SELECT :c, b.id, l.line_id, date '2026-02-14', l.amount, 'EUR', coalesce(k.name, 'Unbekannt'), coalesce(k.iban, l.payer), l.remittance_text
FROM o2c.bank_account b, lines l LEFT JOIN customers k ON k.code = l.payer WHERE b.company_id = :c ORDER BY l.line_id;
SELECT lives_ok(format('SELECT o2c.match_cash(%s)', :c), 'the lines are matched');
SELECT is((SELECT string_agg(m.number || '=' || m.applied_amount || ' ' || m.status || ' ' || m.rule, ', ' ORDER BY m.option, m.number)
           FROM o2c_bi.cash_matches m WHERE m.company_id = :c AND m.line_id = l.line_id), l.expected, l.what)
FROM lines l;
SELECT is((SELECT string_agg(t.value, ' ' ORDER BY t."position", t.value) FROM o2c.cash_tokens('26-30700,26-30709 USD25.00 99,95') t WHERE t.kind = 'M'), '25.00 99,95',
          'what reads as an amount');
SELECT is((SELECT count(*) FROM o2c.cash_tokens('ADL - 0021') t WHERE t.kind = 'A' AND t.value = 'ADL0021'), 1::bigint, 'a number over blanks');
SELECT is((SELECT count(*) FROM o2c.cash_tokens('ADL  -  0021') t WHERE t.kind = 'A' AND t.value = 'ADL0021'), 0::bigint, 'but not over many');
SELECT is_empty(format('SELECT * FROM o2c.check(%s)', :c), 'the books are right');
SELECT finish();
ROLLBACK;
