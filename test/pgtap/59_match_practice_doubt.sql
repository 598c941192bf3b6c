-- Where a careful bookkeeper asks before he posts, however well the amount fits:
-- money that is for no invoice, numbers that are called something else, slips
-- among amounts that come again, lists of which a piece is not read; and the
-- order in which two payments of one invoice count.
BEGIN;
SELECT plan(35);

SELECT o2c.create_company('Doubt', 'DE', 'EUR') AS c \gset
CREATE TEMP TABLE customers AS
SELECT 'C' || n AS code, format('%s KG', name) AS name, 'ACC' || n AS iban, CASE n WHEN 22 THEN 'C21' END AS parent_code
FROM unnest(ARRAY['Anker', 'Bogen', 'Corso', 'Dorn', 'Eisen', 'Flut', 'Garbe', 'Hafen', 'Insel', 'Joch', 'Kamin', 'Lager', 'Mole', 'Nadel', 'Ofen', 'Pfahl', 'Quelle', 'Riff', 'Sporn', 'Turm',
                  'Ufer', 'Vogt', 'Wall', 'Xaver', 'Yacht', 'Zinne', 'Alm', 'Bach', 'Carl', 'Damm', 'Elm', 'Fichtelberger'])
  WITH ORDINALITY x(name, n);
SELECT o2c.import_customers(:c, 'customers') \g /dev/null
CREATE TEMP TABLE items (number text, customer_code text, amount numeric, due_date date DEFAULT '2025-02-10');
INSERT INTO items SELECT '2025/00' || 10000 + n, 'C' || n, 1000 + n * 7.01 FROM generate_series(1, 9) n;
INSERT INTO items (number, customer_code, amount) VALUES
  -- two of one amount, one ends like the customer's number
  ('2025/0040414', 'C10', 596.18), ('2025/0040999', 'C10', 596.18),
  ('250473', 'C11', 19.90), ('266666', 'C11', 19.90),
  ('2025/0041001', 'C12', 412.12), ('2025/0041002', 'C13', 413.13), ('2025/0041003', 'C14', 414.14), ('2025/0041004', 'C15', 414.14),
  ('2025/0042111', 'C18', 118.18), ('2025/0042112', 'C18', 300),
  ('2025/0043001', 'C19', 50.05), ('2025/0043012', 'C19', 50.05), ('2025/0043101', 'C20', 61.10), ('2025/0043112', 'C20', 72.20),
  ('2025/0044201', 'C21', 900.90), ('2025/0044202', 'C22', 821.21),
  ('2025/0045001', 'C23', 357.40), ('2025/0045002', 'C23', 250), ('2025/0045003', 'C24', 357.40), ('2025/0045004', 'C24', 219.87),
  ('2025/0045005', 'C23', 13119.11), ('2025/0045006', 'C24', 13119.11),
  ('2025/0046001', 'C25', 1023.31), ('2025/0046002', 'C25', 999.99),
  ('2025/0047001', 'C26', 130), ('2025/0047002', 'C26', 168.53), ('2025/0048001', 'C27', 132.33),
  ('965/2025', 'C28', 5509.15), ('977/2025', 'C28', 1.15), ('FV/1108/09/2025', 'C29', 206.35),
  ('2025/0049001', 'C30', 36.77), ('2025/0049002', 'C30', -0.88),
  ('2025/0049101', 'C31', 310.31), ('2025/0049107', 'C31', 427.07), ('2025/0049201', 'C32', 384.10);
-- an amount that comes again: the number that is one slip away is of long ago
INSERT INTO items VALUES ('2025/0042001', 'C16', 240.24, '2025-01-10'), ('2025/0042050', 'C16', 240.24, '2025-02-12'),
  ('2025/0042060', 'C17', 250.25, '2025-01-10'), ('2025/0042071', 'C17', 250.25, '2025-02-12');
CREATE TEMP VIEW open_items AS SELECT i.*, amount AS open_amount, 'EUR' AS currency, date '2025-01-02' AS document_date FROM items i;
SELECT o2c.import_open_items(:c, 'open_items') \g /dev/null
-- what was settled elsewhere
CREATE TEMP TABLE history AS
SELECT 'H1' AS line_id, '2025-01-05' AS booking_date, 'C20' AS customer_code, 'Turm KG' AS payer_name, 'ACC20' AS payer_iban, '2025/0043121' AS number;
SELECT o2c.import_payment_history(:c, 'history') \g /dev/null
INSERT INTO o2c.bank_account (company_id, code) VALUES (:c, 'B');
CREATE TEMP TABLE lines (line_id text, payer text, amount numeric, remittance_text text, expected text, what text, day date DEFAULT '2025-02-14');
INSERT INTO lines VALUES
  ('wages', 'C1', 1007.01, 'Lohn/Gehalt 01/2025', '2025/0010001=1007.01 suggested amount', 'wages are no payment of an invoice'),
  ('refund', 'C2', 1014.02, 'USt-Erstattung 2024', '2025/0010002=1014.02 suggested amount', 'nor is a refund'),
  ('surety', 'C3', 1021.03, 'Mietkaution Whg 4', '2025/0010003=1021.03 suggested amount', 'nor a surety'),
  ('interest', 'C4', 1028.04, 'kamata 01/2025', '2025/0010004=1028.04 suggested amount', 'nor interest, in Croatian'),
  ('ahead', 'C5', 1035.05, 'sinal encomenda 8611451', '2025/0010005=1035.05 suggested amount', 'a payment in advance, in Portuguese'),
  ('lon', 'C6', 1042.06, 'Loncar Projekt 17', '2025/0010006=1042.06 auto amount', 'a name that begins like wages is a name'),
  ('beleg', 'C7', 1049.07, 'Beleg 47110815', '2025/0010007=1049.07 suggested amount', 'a number that is called a document is meant'),
  ('their order', 'C8', 1056.08, 'Bestellung 2025/0041001', '2025/0010008=1056.08 suggested amount', 'an order that is another customer''s item is asked about'),
  ('their number', 'C9', 1063.09, 'zu 2025/0041001', '2025/0010009=1063.09 auto amount', 'his number alone is not meant, as ever'),
  ('customer', 'C10', 596.18, 'Kundennr D0414', '2025/0040414=596.18 suggested amount, 2025/0040999=596.18 suggested amount', 'a customer number is not the end of one of ours'),
  ('order', 'C11', 19.90, 'bestelling 250743', '250473=19.90 suggested amount, 266666=19.90 suggested amount', 'nor an order ours with a slip'),
  ('unknown order', 'somebody', 413.13, 'order 2025/0041002', '2025/0041002=413.13 suggested number', 'the order of somebody unknown may be an order'),
  ('unknown invoice', 'someone', 412.12, 'invoice 2025/0041001', '2025/0041001=412.12 auto number', 'an invoice is one'),
  ('namesake', 'Dorn', 1028.04, 'RG 2025/0041003', '2025/0010004=1028.04 suggested conflict', 'with another amount a number of somebody else''s is left to people'),
  ('both have it', 'Ofen', 414.14, 'RG 2025/0041003',
    '2025/0041003=414.14 suggested number, 2025/0041004=414.14 suggested conflict', 'known by name, a payer who has the amount himself may mean that'),
  ('slip', 'C16', 240.24, 'RG 2025/0042010', '2025/0042001=240.24 suggested number_slip, 2025/0042050=240.24 suggested amount',
    'where the amount comes again, a slip of a number of long ago may be another of the series'),
  ('slip in length', 'C17', 250.25, 'RG 2025/00420660', '2025/0042060=250.25 auto number_slip', 'but not what no number of the series is like'),
  ('first', 'C18', 118.18, 'RE 2025/42111', '2025/0042111=118.18 auto number_part', 'of two payments of one invoice the earlier pays it, be it in short'),
  ('second', 'C18', 118.18, 'RE 2025/0042111', NULL, 'and the later does not'),
  ('twin in list', 'C19', 100.10, 'RG 2025/0043001 + 2025/0043021',
    '2025/0043001=50.05 suggested list_completed, 2025/0043012=50.05 suggested list_completed, 2025/0043001=50.05 suggested overpayment', 'a slip in a list says nothing where others have the amount'),
  ('settled in list', 'C20', 133.30, 'RG 2025/0043101 + 2025/0043121', '2025/0043101=61.10 suggested overpayment', 'nor where it is the number of what was settled'),
  ('group', 'C21', 821.21, 'RG 2025/0044220', '2025/0044202=821.21 suggested number_slip', 'of a group each may pay the same: a slip is asked about'),
  ('round', 'C23', 607.40, 'RG 2025/0045001', '2025/0045001=357.40 suggested list_completed, 2025/0045002=250.00 suggested list_completed, 2025/0045001=357.40 suggested overpayment',
    'a round amount too much may be just that'),
  ('not round', 'C24', 577.27, 'RG 2025/0045003', '2025/0045003=357.40 auto list_completed, 2025/0045004=219.87 auto list_completed', 'another makes an item that was not named'),
  ('piece', 'C25', 1389.46, 'RG 2025/0046001&2025/00460', '2025/0046001=1023.31 suggested overpayment', 'a piece of a number at the end is another item'),
  ('unread', 'C26', 498.53, 'RG 2025/0047001 / 9/2 6 / 2025/0047002', '2025/0047001=130.00 suggested overpayment, 2025/0047002=168.53 suggested overpayment',
    'so is what cannot be read within a list'),
  ('list', 'C31', 1150.19, 'RG 2025/0049101, 2025/0049107', '2025/0049101=310.31 suggested overpayment, 2025/0049107=427.07 suggested overpayment',
    'who lists what he pays and pays more has rather left something out'),
  ('hardly known', 'Fichtelberger Einkauf KG', 512.51, 'RG 2025/0049201', '2025/0049201=384.10 suggested overpayment',
    'of a payer whose name is only alike nobody knows what else he pays'),
  ('part of order', 'C27', 57.21, 'order no 2025/0048001', '2025/0048001=57.21 suggested partial', 'less than an item whose number is called an order'),
  ('year', 'C28', 5509.15, 'salaris 10/2025', '965/2025=5509.15 suggested amount', 'the year is not the end of a number'),
  ('month', 'C29', 962.27, 'ZA FAKTURE FV 948 08 2025; OKRES 08/2025', NULL, 'nor the month a short year of one'),
  ('kredit', 'C30', 35.89, 'Fakt 2025/0049001; avg kredit', '2025/0049001=36.77 auto net, 2025/0049002=-0.88 auto net', 'a credit note by its shortest word');
UPDATE lines SET day = '2025-02-20' WHERE line_id = 'second';
INSERT INTO o2c.bank_line (company_id, bank_account_id, line_id, booking_date, amount, currency, payer_name, payer_account, remittance_text)
SELECT :c, b.id, l.line_id, l.day, l.amount, 'EUR', coalesce(k.name, n.name, CASE WHEN l.payer ~ ' ' THEN l.payer ELSE 'Unbekannt' END), coalesce(k.iban, l.payer), l.remittance_text
FROM o2c.bank_account b, lines l LEFT JOIN customers k ON k.code = l.payer LEFT JOIN customers n ON n.name = l.payer || ' KG'
WHERE b.company_id = :c ORDER BY l.line_id;
SELECT lives_ok(format('SELECT o2c.match_cash(%s)', :c), 'the lines are matched');
SELECT is((SELECT string_agg(m.number || '=' || m.applied_amount || ' ' || m.status || ' ' || m.rule, ', ' ORDER BY m.option, m.number)
           FROM o2c_bi.cash_matches m WHERE m.company_id = :c AND m.line_id = l.line_id), l.expected, l.what)
FROM lines l;
SELECT matches((SELECT m.explanation FROM o2c.match_proposal m JOIN o2c.bank_line b ON b.company_id = :c AND b.id = m.bank_line_id
                WHERE m.company_id = :c AND b.line_id = 'their order'), 'text cites 2025/0041001, which is another customer''s', 'the sentence says why it is only offered');
SELECT is_empty(format('SELECT * FROM o2c.check(%s)', :c), 'the books are right');
SELECT finish();
ROLLBACK;
