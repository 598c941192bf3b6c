-- What a careful bookkeeper would not post: payments that cite a document which
-- nobody here knows, settled ones among open ones, more than is understood; and
-- what he would: numbers of other things, slips, cut and shortened numbers.
BEGIN;
SELECT plan(45);

SELECT o2c.create_company('Careful', 'DE', 'EUR') AS c \gset
CREATE TEMP TABLE customers AS
SELECT 'C' || n AS code, format('%s KG', name) AS name, 'ACC' || n AS iban
FROM unnest(ARRAY['Anker', 'Bogen', 'Corso', 'Dorn', 'Eisen', 'Flut', 'Garbe', 'Hafen', 'Insel', 'Joch', 'Kamin', 'Lager', 'Mole', 'Nadel', 'Ofen', 'Pfahl', 'Quelle', 'Riff', 'Sporn', 'Turm',
                  'Ufer', 'Vogt', 'Wall', 'Xaver', 'Yacht', 'Zinne', 'Alm', 'Bach', 'Carl', 'Damm', 'Eck', 'Fels', 'Gans', 'Hut', 'Igel', 'Jahn', 'Koch', 'Lamm', 'Made', 'Nest'])
  WITH ORDINALITY x(name, n);
SELECT o2c.import_customers(:c, 'customers') \g /dev/null
CREATE TEMP TABLE items (number text, customer_code text, amount numeric, due_date date, currency text DEFAULT 'EUR');
INSERT INTO items SELECT '2025/00' || 10000 + n, 'C' || n, 1000 + n * 7.01, '2025-02-15' FROM generate_series(1, 20) n;
-- several of one customer
INSERT INTO items VALUES
  ('2025/0020101', 'C21', 100, '2025-02-10'), ('2025/0020102', 'C21', 250, '2025-02-10'),
  ('2025/0020201', 'C22', 100, '2025-02-10'), ('2025/0020202', 'C22', 250, '2025-02-10'), ('2025/0020203', 'C22', 311, '2025-02-10'),
  ('2025/0020301', 'C23', 400, '2025-02-10'),
  ('2025/0020401', 'C24', 91.07, '2025-02-10'), ('2025/0020402', 'C24', 5, '2025-02-10'),
  ('2025/0020501', 'C25', 20, '2025-01-10'), ('2025/0020502', 'C25', 30, '2025-01-10'), ('2025/0020503', 'C25', 30, '2025-03-10'),
  ('55010656', 'C26', 71.50, '2025-02-10'), ('55009716', 'C26', 12.25, '2025-02-10'),
  ('1955/FE/2025', 'C27', 500, '2025-02-10'), ('2438/A', 'C28', 600, '2025-02-10'),
  ('2025/0020601', 'C29', 700, '2025-02-10'), ('2025/0020602', 'C30', 700, '2025-02-10'),
  ('2025/0020701', 'C31', 800, '2025-02-10'), ('2025/0020702', 'C31', 333, '2025-02-10'),
  ('2025/0020801', 'C32', 100, '2025-02-10'), ('2025/0020802', 'C32', 200, '2025-02-10'),
  ('2025/0029999', 'C33', 5555, '2025-02-10'), ('2025/0029998', 'C34', 4444, '2025-02-10');
UPDATE items SET currency = 'USD' WHERE number = '2025/0029999';
INSERT INTO items SELECT '2025/00' || 30000 + n, 'C' || 30 + n, 2000 + n * 3.03, '2025-02-15' FROM generate_series(5, 9) n;
INSERT INTO items VALUES ('RG-1427', 'C40', 24.99, '2025-02-10');
CREATE TEMP VIEW open_items AS SELECT i.*, amount AS open_amount, date '2025-01-02' AS document_date FROM items i;
SELECT o2c.import_open_items(:c, 'open_items') \g /dev/null
INSERT INTO o2c.bank_account (company_id, code) VALUES (:c, 'B');
CREATE TEMP TABLE lines (line_id text, payer text, amount numeric, remittance_text text, expected text, what text);
INSERT INTO lines VALUES
  ('series', 'C1', 1007.01, '2025/0018888', '2025/0010001=1007.01 suggested amount', 'a number of our series that is none of ours is asked about'),
  ('short', 'C2', 1014.02, 'RG 2025/18888', '2025/0010002=1014.02 suggested amount', 'in a short form as well'),
  ('joined', 'C3', 1021.03, '20250018888', '2025/0010003=1021.03 suggested amount', 'and written together'),
  ('called', 'C4', 1028.04, 'Rechnungs-Nr.: 47110815', '2025/0010004=1028.04 suggested amount', 'any number that is called an invoice'),
  ('called2', 'C5', 1035.05, 'INV000174', '2025/0010005=1035.05 suggested amount', 'with or without a blank'),
  ('order', 'C6', 1042.06, 'Bestellung 2025/0018888', '2025/0010006=1042.06 auto amount', 'an order is the payer''s own affair'),
  ('contract', 'C7', 1049.07, 'Vertragsnr. 47110815 Kd.Nr. 20250018', '2025/0010007=1049.07 auto amount', 'so are contracts and customers'),
  ('free', 'C8', 1056.08, '47110815 Tel. 0711 471108', '2025/0010008=1056.08 auto amount', 'so is a number unlike ours'),
  ('slip', 'C9', 1063.09, 'Rechnung 2025/001009', '2025/0010009=1063.09 auto number_slip', 'one slip of the number that is meant stands for it'),
  ('cut', 'C10', 1070.10, 'Danke fuer alles, Rechnung 2025/0010', '2025/0010010=1070.10 auto amount', 'so does its beginning, where the text ends'),
  ('month', 'C11', 1077.11, 'Rechnung 01/2025', '2025/0010011=1077.11 auto amount', 'a month is no number'),
  ('letters', 'C12', 1084.12, 'ref F7CE2025/0018888A', '2025/0010012=1084.12 auto amount', 'nor is the inside of a word'),
  ('theirs', 'C13', 1091.13, 'Rechnung 2025/0029998', '2025/0010013=1091.13 auto amount', 'another customer''s number is known, and not meant'),
  ('theirs in dollars', 'C14', 1098.14, 'Rechnung 2025/0029999', '2025/0010014=1098.14 auto amount', 'in whatever currency'),
  ('prepaid', 'C15', 1105.15, 'ΠΡΟΚΑΤΑΒΟΛΗ', '2025/0010015=1105.15 suggested amount', 'Greek letters are read'),
  ('word', 'C16', 1112.16, 'DAVANSO HALL', '2025/0010016=1112.16 auto amount', 'a word for a payment in advance counts as a word only'),
  ('avans', 'C17', 1119.17, 'avans', '2025/0010017=1119.17 suggested amount', 'as here'),
  ('compound', 'C18', 1126.18, 'Mietvorauszahlung', '2025/0010018=1126.18 suggested amount', 'or as the end of a German one'),
  ('sepa', 'C19', 333, 'SEPA-Gutschrift 2025/0010019 Teilzahlung', '2025/0010019=333.00 auto partial', 'a bank''s word for money that comes in is no credit note'),
  ('savoir', 'C20', 333, 'Savoir Faire 2025/0010020', '2025/0010020=333.00 auto partial', 'nor is the inside of another word'),
  ('unknown beside', 'C21', 780, 'RG 2025/0020101 + 2025/0018888', '2025/0020101=100.00 suggested overpayment', 'more than the one that is known: another is asked about'),
  ('settled before', 'C22', 100, 'RG 2025/0020201', '2025/0020201=100.00 auto number', 'an item is paid'),
  ('settled beside', 'C22', 480, 'RG 2025/0020201 + 2025/0020202', '2025/0020202=250.00 suggested overpayment', 'and cited again, with another that the money is more than'),
  ('part of which', 'C23', 300, 'RG 2025/0020301 + 2025/0018888', '2025/0020301=300.00 suggested partial', 'less than the one that is known'),
  ('fee', 'C24', 96.07, 'RG 2025/0020401 zzgl. Mahngebuehr 5,00', '2025/0020401=91.07 suggested overpayment', 'a fee that is stated is no item of its amount'),
  ('twin', 'C25', 50, '', '2025/0020501=20.00 suggested past_due_cleared, 2025/0020502=30.00 suggested past_due_cleared', 'what is past due may be meant, or its twin'),
  ('broken', 'C26', 83.75, 'Rechnungen 55010656,55 009716', '55009716=12.25 auto numbers, 55010656=71.50 auto numbers', 'two numbers, the second in pieces, are no amount'),
  ('short year', 'C27', 123, 'FT. 1955/FE/25', '1955/FE/2025=123.00 auto partial', 'the year of a number in two digits'),
  ('digits', 'C28', 123, 'saldo ft 2438 /A', '2438/A=123.00 auto partial', 'all digits of a number that has letters'),
  ('same amount', 'C29', 700, 'Rechnung 2025/18888', '2025/0020601=700.00 suggested amount', 'nothing is posted for the first of two customers'),
  ('weakly', 'C31', 1500, 'RG 2025/0020701, 2025/20702', '2025/0020701=800.00 suggested overpayment', 'more than both of two, one cited in short: a person'),
  ('tails', 'C32', 300, 'RG 2025/0020801, 20802', '2025/0020801=100.00 auto list, 2025/0020802=200.00 auto list', 'a list of two'),
  ('r.nr', 'C35', 2015.15, 'R.Nr 47110815', '2025/0030005=2015.15 suggested amount', 'letters before the word for a number'),
  ('letters before', 'C39', 2027.27, 'fact. X17-8061', '2025/0030009=2027.27 suggested amount', 'letters at its beginning do not hide what it is called'),
  ('three digits', 'C40', 112.36, 'RE RG-1427&RG-886', 'RG-1427=24.99 suggested overpayment', 'three digits are a number where ours have no more than four'),
  ('no label', 'C36', 2018.18, 'Kundennr 47110815', '2025/0030006=2018.18 auto amount', 'but not those of something else'),
  ('hungarian', 'C37', 2021.21, 'eloleg 2026', '2025/0030007=2021.21 suggested amount', 'a Hungarian payment in advance'),
  ('czech', 'C38', 2024.24, 'záloha', '2025/0030008=2024.24 suggested amount', 'a Czech one');
INSERT INTO o2c.bank_line (company_id, bank_account_id, line_id, booking_date, amount, currency, payer_name, payer_account, remittance_text)
SELECT :c, b.id, l.line_id, date '2025-02-14' + (l.line_id = 'settled beside')::integer, l.amount, 'EUR', k.name, k.iban, l.remittance_text
FROM o2c.bank_account b, lines l LEFT JOIN customers k ON k.code = l.payer WHERE b.company_id = :c;
SELECT lives_ok(format('SELECT o2c.match_cash(%s)', :c), 'the lines are matched');
SELECT is((SELECT string_agg(m.number || '=' || m.applied_amount || ' ' || m.status || ' ' || m.rule, ', ' ORDER BY m.option, m.number)
           FROM o2c_bi.cash_matches m WHERE m.company_id = :c AND m.line_id = l.line_id), l.expected, l.what)
FROM lines l;
SELECT matches((SELECT m.explanation FROM o2c.match_proposal m JOIN o2c.bank_line b ON b.company_id = :c AND b.id = m.bank_line_id
                WHERE m.company_id = :c AND b.line_id = 'series'), 'text cites 2025/0018888, which is not known', 'the sentence says why it is only offered');

-- a bank line that is settled stays so
SELECT throws_ok(format('UPDATE o2c.bank_line SET state = ''open'' WHERE company_id = %s AND line_id = ''order''', :c), 'O2030', NULL, 'a matched line is not opened by hand');
SELECT throws_ok(format('UPDATE o2c.bank_line SET state = ''ignored'' WHERE company_id = %s AND line_id = ''order''', :c), 'O2030', NULL, 'nor put aside');
SELECT lives_ok(format('UPDATE o2c.bank_line SET state = state WHERE company_id = %s AND line_id = ''order''', :c), 'its own state is no change');

-- what is posted is counted in the company's currency
INSERT INTO o2c.exchange_rate (company_id, from_currency, to_currency, valid_from, rate) VALUES (:c, 'USD', 'EUR', '2025-01-01', 0.5);
INSERT INTO items VALUES ('2025/0040001', 'C1', 100, '2025-03-01', 'USD'), ('2025/0040002', 'C2', 10.01, '2025-03-01', 'EUR'), ('2025/0040003', 'C3', 7, '2025-03-01', 'GBP');
SELECT o2c.import_open_items(:c, 'open_items') \g /dev/null
INSERT INTO o2c.bank_line (company_id, bank_account_id, line_id, booking_date, amount, currency, payer_name, payer_account, remittance_text)
SELECT :c, b.id, l.number, date '2025-03-01', l.amount, l.currency, 'x', 'ACC' || right(l.number, 1), 'Rechnung ' || l.number
FROM o2c.bank_account b, items l WHERE b.company_id = :c AND l.number LIKE '2025/004%';
SELECT results_eq(format('SELECT auto_lines, auto_amount FROM o2c.match_cash(%s)', :c), $$VALUES (3::bigint, 60.01::numeric)$$,
  'dollars at the rate of the day, pounds without a rate not at all');
SELECT is_empty(format('SELECT * FROM o2c.check(%s)', :c), 'the books are right');
SELECT finish();
ROLLBACK;
