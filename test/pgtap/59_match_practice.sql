-- Cash application as people pay: payments in advance in several languages,
-- credit notes that are only mentioned, numbers without their zeros, numbers of
-- others beside one's own, an old number on a new payment, and lists of customers
-- with more items than a line looks at.
BEGIN;
SELECT plan(24);

SELECT o2c.create_company('Practice', 'DE', 'EUR') AS c \gset
CREATE TEMP TABLE customers AS
SELECT 'C' || n AS code, format('%s Werkstatt KG', name) AS name, 'ACC' || n AS iban
FROM unnest(ARRAY['Amsel', 'Buche', 'Cedro', 'Distel', 'Erle', 'Fichte', 'Ginster', 'Holunder', 'Ilex', 'Jasmin', 'Kiefer', 'Linde', 'Mispel'])
  WITH ORDINALITY x(name, n);
SELECT o2c.import_customers(:c, 'customers') \g /dev/null
CREATE TEMP TABLE items (number text, customer_code text, amount numeric, due_date date DEFAULT '2025-02-15');
INSERT INTO items (number, customer_code, amount) VALUES ('2025/0000101', 'C1', 100), ('2025/0000102', 'C2', 200), ('2025/0000103', 'C3', 300), ('2025/0000104', 'C4', 400),
  ('2025/0000201', 'C5', 806.66), ('2025/0000202', 'C5', -127.01), ('2025/0000203', 'C6', 48.08), ('2025/0000204', 'C6', -0.95),
  ('2025/0001882', 'C7', 700), ('FV/517/01/2025', 'C7', 296.55), ('2025/0000002', 'C7', 888),
  ('2025/0000301', 'C8', 480.34), ('2025/0000302', 'C9', 160.17), ('2025/0000303', 'C9', 77.70), ('2025/0000304', 'C9', 12.34),
  ('2025/0000401', 'C10', 555.05), ('2025/0000402', 'C10', 444.04), ('2025/0000403', 'C10', 555.05), ('2025/0000501', 'C11', 26.89), ('2025/0000502', 'C11', -20.00);
INSERT INTO items VALUES ('2025/0000601', 'C13', 500, '2025-02-15'), ('2025/0000602', 'C13', 500, '2025-02-05'), ('2025/0000603', 'C13', 500, '2025-02-25');
-- more items than a line looks at, and one of a list long before them
INSERT INTO items VALUES ('INV-2025-009127', 'C12', 26.89, '2025-01-05'), ('INV-2025-009147', 'C12', 6.24, '2025-02-14'),
  ('INV-2025-009148', 'C12', 7.77, '2025-02-14');
INSERT INTO items SELECT 'INV-2025-00' || 3000 + n, 'C12', 300 + 3 * n, date '2025-02-10' FROM generate_series(1, 150) n;
CREATE TEMP VIEW open_items AS
SELECT i.*, amount AS open_amount, 'EUR' AS currency, date '2025-01-02' AS document_date FROM items i;
SELECT o2c.import_open_items(:c, 'open_items') \g /dev/null
INSERT INTO o2c.bank_account (company_id, code) VALUES (:c, 'B');
CREATE TEMP TABLE lines (line_id text, payer text, amount numeric, remittance_text text, expected text, what text);
INSERT INTO lines VALUES
  ('nl', 'C1', 100, 'aanbetaling PO 1272908', '2025/0000101=100.00 suggested amount', 'Dutch for a payment in advance'),
  ('sv', 'C2', 200, 'Förskott beställning 406364', '2025/0000102=200.00 suggested amount', 'Swedish'),
  ('pl', 'C3', 300, 'zaliczka zam. 4293916', '2025/0000103=300.00 suggested amount', 'Polish'),
  ('fi', 'C4', 400, 'ENNAKKOMAKSU TILAUS 7421034', '2025/0000104=400.00 suggested amount', 'Finnish'),
  ('credit', 'C5', 679.65, 'RG 2025/0000201 abz. GUTSCHR.', '2025/0000201=806.66 auto net, 2025/0000202=-127.01 auto net', 'a shortened word for a credit note'),
  ('small', 'C6', 47.13, '2025/0000203 avg kreditfaktura', '2025/0000203=48.08 auto net, 2025/0000204=-0.95 auto net',
    'a credit note that is mentioned goes before a difference within the tolerance'),
  ('zeros', 'C7', 350, 'RG 2025/1882 2. Rate', '2025/0001882=350.00 auto partial', 'a number without its zeros'),
  ('groups', 'C7', 296.00, 'za fakture FV/517/1/2025', 'FV/517/01/2025=296.00 auto tolerance', 'so in each of its groups'),
  ('month', 'C7', 88, 'Miete 2025/2', NULL, 'but year and month are no number'),
  ('theirs', 'somebody', 480.34, 'factuurnr 2025/0000301 order 2025/0000302', '2025/0000301=480.34 auto number', 'of two customers'' numbers one has the amount'),
  ('both', 'C9', 77.70, 'RG 2025/0000303 + 2025/0000304',
    '2025/0000303=77.70 suggested number, 2025/0000303=65.36 suggested short, 2025/0000304=12.34 suggested short', 'of one customer''s numbers a person is asked'),
  ('first', 'C10', 555.05, 'RG 2025/0000401', '2025/0000401=555.05 auto number', 'a number'),
  ('old', 'C10', 444.04, 'RG 2025/0000401', '2025/0000402=444.04 suggested conflict', 'an old number on a new payment: the item of this amount is offered'),
  ('again', 'C10', 555.05, 'RG 2025/0000401', NULL, 'the old payment once more: another item of the same amount is not'),
  ('list', 'C12', 33.13, 'INV 9127 + INV-2025-009147', 'INV-2025-009147=6.24 suggested overpayment',
    'with more items than were looked at, another number like the cited one is no overpayment'),
  ('order', 'C11', 175.51, 'order 2025/0000502', '2025/0000502=-20.00 suggested overpayment', 'a payment is not too much for a credit note'),
  ('part', 'C13', 250, 'Teilzahlung RG 2025/0000601 + 2025/0000602', '2025/0000602=250.00 suggested short', 'less than any of two: the one that is due first'),
  ('parts', 'C13', 700, 'RG 2025/0000601 2025/0000602 2025/0000603', '2025/0000601=200.00 suggested short, 2025/0000602=500.00 suggested short', 'of three as many as it pays'),
  ('rest', 'C12', 17.77, 'INV-2025-009148 Kunde 771', 'INV-2025-009148=7.77 auto overpayment', 'any other number is none of ours');
INSERT INTO o2c.bank_line (company_id, bank_account_id, line_id, booking_date, amount, currency, payer_name, payer_account, remittance_text)
SELECT :c, b.id, l.line_id, date '2025-02-14' + (l.line_id = 'again')::integer, l.amount, 'EUR', coalesce(k.name, 'Unbekannt'), coalesce(k.iban, l.payer), l.remittance_text
FROM o2c.bank_account b, lines l LEFT JOIN customers k ON k.code = l.payer WHERE b.company_id = :c;
SELECT lives_ok(format('SELECT o2c.match_cash(%s)', :c), 'the lines are matched');
SELECT is((SELECT string_agg(m.number || '=' || m.applied_amount || ' ' || m.status || ' ' || m.rule, ', ' ORDER BY m.option, m.number)
           FROM o2c_bi.cash_matches m WHERE m.company_id = :c AND m.line_id = l.line_id), l.expected, l.what)
FROM lines l;
SELECT is((SELECT open_amount FROM o2c.open_item WHERE company_id = :c AND number = '2025/0000204'), 0.00, 'the small credit note is used up');
SELECT is((SELECT count(*) FROM o2c.ledger_entry WHERE company_id = :c AND kind = 'write_off'), 1::bigint, 'and not written off as well');
SELECT matches((SELECT m.explanation FROM o2c.match_proposal m JOIN o2c.bank_line b ON b.company_id = :c AND b.id = m.bank_line_id
                WHERE m.company_id = :c AND b.line_id = 'old'), 'text cites 2025/0000401, which is settled', 'the sentence says why it is only offered');
SELECT is_empty(format('SELECT * FROM o2c.check(%s)', :c), 'the books are right');
SELECT finish();
ROLLBACK;
