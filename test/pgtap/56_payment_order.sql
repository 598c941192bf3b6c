-- Mandates, direct debits, refund transfers and their files.
SELECT plan(62);

SELECT o2c.create_company('Österreich & Söhne', 'DE', 'EUR');
INSERT INTO o2c.bank_account (company_id, code, currency, iban, bic) VALUES (1, 'main', 'EUR', 'DE89370400440532013000', 'COBADEFFXXX'), (1, 'bare', 'EUR', NULL, NULL);
INSERT INTO o2c.customer (company_id, code, name, iban) VALUES
  (1, 'C1', 'Müller „Bau“ GmbH', 'NL91ABNA0417164300'), (1, 'C2', '<b>&', 'FR1420041010050500013M02606'), (1, 'C3', 'Without mandate', NULL);
CREATE TEMPORARY TABLE items AS
SELECT v.*, date '2026-01-01' AS document_date, 'EUR' AS currency, amount AS open_amount
FROM (VALUES ('INV-1', 'C1', 100.00, o2c.today(1) - 10), ('INV-2', 'C1', 50.00, o2c.today(1) - 5), ('INV-3', 'C2', 70.00, o2c.today(1) - 5),
             ('INV-4', 'C2', 30.00, o2c.today(1) - 4), ('INV-5', 'C3', 10.00, o2c.today(1) - 5), ('INV-6', 'C1', 5.00, o2c.today(1) + 90)) v(number, customer_code, amount, due_date);
SELECT is((SELECT imported FROM o2c.import_open_items(1, 'items')), 6::bigint, 'items are there');

---------------------------------------------------------------- mandates
SELECT is(o2c.create_mandate(1, 'C1', 'NL91 ABNA 0417 1643 00', '2026-01-01', 'MAND/1'), 1::bigint, 'a mandate is noted');
SELECT is(o2c.create_mandate(1, 'C1', 'NL91ABNA0417164300', '2026-01-01', 'mand/1'), 1::bigint, 'the same again is the same mandate, whatever the case of its reference');
SELECT throws_ok($$SELECT o2c.create_mandate(1, 'C2', 'FR1420041010050500013M02606', '2026-01-01', 'MAND/1')$$, 'O2005', NULL, 'a reference stands for one mandate');
SELECT throws_ok($$SELECT o2c.create_mandate(1, 'C2', 'FR1420041010050500013M02607', '2026-01-01')$$, 'O2040', NULL, 'an IBAN has the right check digits');
SELECT throws_ok($$SELECT o2c.create_mandate(1, 'C2', 'FR1420041010050500013M02606', '2026-01-01', 'Äpfel')$$, 'O2041', NULL, 'a reference is of the SEPA character set');
SELECT throws_ok($$SELECT o2c.create_mandate(1, 'C2', 'FR1420041010050500013M02606', o2c.today(1) + 1)$$, 'O2044', NULL, 'nobody has signed tomorrow');
SELECT throws_ok($$SELECT o2c.create_mandate(1, 'XX', 'FR1420041010050500013M02606', '2026-01-01')$$, 'O2003', NULL, 'the customer is known');
SELECT throws_ok($$SELECT o2c.create_mandate(1, 'C2', 'FR1420041010050500013M02606', '2026-01-01', NULL, 'XXX')$$, 'O2004', NULL, 'the scheme is known');
SELECT ok(o2c.create_mandate(1, 'C2', 'FR1420041010050500013M02606', '2026-01-01', recurrent => false, bic => 'SOGEFRPP') IS NOT NULL, 'a mandate for one collection');

---------------------------------------------------------------- collection
SELECT throws_ok($$SELECT o2c.collect_direct_debits(1, 'bare', o2c.today(1) + 2)$$, 'O2033', NULL, 'an account without IBAN collects nothing');
SELECT throws_ok($$SELECT o2c.collect_direct_debits(1, 'main', o2c.today(1) + 2)$$, 'O2033', NULL, 'nor one without creditor identifier');
UPDATE o2c.bank_account SET creditor_id = 'DE98ZZZ09999999999' WHERE code = 'main';
UPDATE o2c.bank_account SET currency = 'CHF' WHERE code = 'main';
SELECT throws_ok($$SELECT o2c.collect_direct_debits(1, 'main', o2c.today(1) + 2)$$, 'O2033', NULL, 'nor one that is not in euro');
UPDATE o2c.bank_account SET currency = 'EUR' WHERE code = 'main';
SELECT throws_ok($$SELECT o2c.collect_direct_debits(1, 'main', o2c.today(1) - 1)$$, 'O2044', NULL, 'nothing is collected yesterday');
SELECT is(o2c.collect_direct_debits(1, 'main', o2c.today(1) + 2), 1::bigint, 'an order is drawn');
SELECT results_eq($$SELECT i.number, l.amount, l.sequence_type FROM o2c.payment_order_line l JOIN o2c.open_item i ON i.company_id = 1 AND i.id = l.item_id ORDER BY l.id$$,
  $$VALUES ('INV-1', 100.00, 'FRST'), ('INV-2', 50.00, 'RCUR'), ('INV-3', 70.00, 'OOFF')$$,
  'of what is due and covered: the first, then recurring; a mandate for one collection serves once');
SELECT is(o2c.collect_direct_debits(1, 'main', o2c.today(1) + 2), NULL::bigint, 'again: nothing is collected twice');
SELECT is((SELECT (line_count, total_amount)::text FROM o2c.payment_order), '(3,220.00)', 'the order knows its sum');

---------------------------------------------------------------- pain.008
CREATE TEMPORARY TABLE f AS SELECT o2c.payment_order_xml(1, 1) AS x;
CREATE FUNCTION pg_temp.at(path text) RETURNS text[] LANGUAGE sql AS $$
  SELECT xpath(path, x, '{{p,urn:iso:std:iso:20022:tech:xsd:pain.008.001.08}}')::text[] FROM f $$;
SELECT is(pg_temp.at('//p:GrpHdr/p:NbOfTxs/text() | //p:GrpHdr/p:CtrlSum/text()'), '{3,220.00}', 'the header has count and sum');
SELECT is(pg_temp.at('//p:PmtInf/p:PmtTpInf/p:SeqTp/text()'), '{FRST,OOFF,RCUR}', 'one batch for each sequence type');
SELECT is((SELECT array_agg((xpath('name(/*)', e))[1]::text) FROM f, unnest(xpath('(//p:PmtInf)[1]/*', x, '{{p,urn:iso:std:iso:20022:tech:xsd:pain.008.001.08}}')) e),
  '{PmtInfId,PmtMtd,BtchBookg,NbOfTxs,CtrlSum,PmtTpInf,ReqdColltnDt,Cdtr,CdtrAcct,CdtrAgt,ChrgBr,CdtrSchmeId,DrctDbtTxInf}',
  'elements of a batch in the order of the schema');
SELECT is((SELECT array_agg((xpath('name(/*)', e))[1]::text) FROM f, unnest(xpath('(//p:DrctDbtTxInf)[1]/*', x, '{{p,urn:iso:std:iso:20022:tech:xsd:pain.008.001.08}}')) e),
  '{PmtId,InstdAmt,DrctDbtTx,DbtrAgt,Dbtr,DbtrAcct,RmtInf}', 'and those of a collection');
SELECT is(pg_temp.at('//p:Dbtr/p:Nm/text()'), '{Mueller Bau GmbH,b +,Mueller Bau GmbH}', 'names are in the SEPA character set');
SELECT is(pg_temp.at('//p:InitgPty/p:Nm/text()'), '{Oesterreich + Soehne}', 'our own too');
SELECT is(pg_temp.at('//p:DbtrAgt//p:BICFI/text() | //p:DbtrAgt//p:Othr/p:Id/text()'), '{NOTPROVIDED,SOGEFRPP,NOTPROVIDED}', 'banks by BIC, or as not provided');
SELECT is(o2c.payment_order_xml(1, 1)::text, (SELECT x::text FROM f), 'the same order gives the same file');
SELECT matches(o2c.payment_order_xml(1, 1, 'pain.008.001.02')::text, '<BIC>SOGEFRPP</BIC>', 'the older version for banks that take no other');
SELECT is(cardinality(xpath('//p:DrctDbtTxInf', o2c.payment_order_xml(1, 1, 'pain.008.001.09'), '{{p,urn:iso:std:iso:20022:tech:xsd:pain.008.001.09}}')), 3,
  'the newer one has the same collections in its own namespace');
-- what the schemas refused before: a name of no letter that banks take, a BIC as only newer ones write it
BEGIN;
UPDATE o2c.company SET name = '株式会社' WHERE company_id = 1;
UPDATE o2c.bank_account SET bic = 'AB12DE00XXX' WHERE code = 'main';
DELETE FROM f;
INSERT INTO f SELECT o2c.payment_order_xml(1, 1);
SELECT is(pg_temp.at('(//p:InitgPty/p:Nm | //p:Cdtr/p:Nm)/text()'), '{NOTPROVIDED,NOTPROVIDED,NOTPROVIDED,NOTPROVIDED}', 'no element is empty');
SELECT is((SELECT (regexp_matches(o2c.payment_order_xml(1, 1, v)::text, '<CdtrAgt>.*?</CdtrAgt>'))[1]), wanted, v || ': a BIC where the schema takes it')
FROM (VALUES ('pain.008.001.08', '<CdtrAgt><FinInstnId><BICFI>AB12DE00XXX</BICFI></FinInstnId></CdtrAgt>'),
  ('pain.008.001.02', '<CdtrAgt><FinInstnId><Othr><Id>NOTPROVIDED</Id></Othr></FinInstnId></CdtrAgt>')) v (v, wanted);
ROLLBACK;
SELECT throws_ok($$SELECT o2c.payment_order_xml(1, 1, 'pain.001.001.09')$$, 'O2004', NULL, 'a direct debit is no transfer');

---------------------------------------------------------------- settling
INSERT INTO o2c.bank_line (company_id, bank_account_id, line_id, booking_date, amount, currency) VALUES
  (1, 1, 'sum', o2c.today(1) + 2, 220.00, 'EUR'), (1, 1, 'other', o2c.today(1) + 2, 219.00, 'EUR');
SELECT throws_ok($$SELECT o2c.settle_payment_order(1, 1, bank_line_id => (SELECT id FROM o2c.bank_line WHERE line_id = 'other'))$$, 'O2033', NULL,
  'a movement of another amount is not the order''s');
SELECT is(o2c.settle_payment_order(1, 1, bank_line_id => (SELECT id FROM o2c.bank_line WHERE line_id = 'sum')), 3::bigint, 'the bank has collected: three receipts');
SELECT is((SELECT array_agg(number ORDER BY number) FROM o2c.open_item WHERE open_amount > 0), '{INV-4,INV-5,INV-6}', 'what was collected is paid');
SELECT is((SELECT state::text FROM o2c.bank_line WHERE line_id = 'sum'), 'ignored', 'the movement for all needs no matching');
SELECT is(o2c.settle_payment_order(1, 1), 0::bigint, 'again: nothing');
SELECT throws_ok($$SELECT o2c.void_payment_order(1, 1, 'x')$$, 'O2033', NULL, 'a settled order is not taken back');

SELECT o2c.revoke_mandate(1, 1, 'customer asked');
SELECT is(o2c.collect_direct_debits(1, 'main', o2c.today(1) + 100), NULL::bigint, 'a revoked mandate and a spent one collect nothing');
SELECT o2c.create_mandate(1, 'C1', 'NL91ABNA0417164300', '2026-01-02', 'MAND/2');
SELECT is(o2c.collect_direct_debits(1, 'main', o2c.today(1) + 100), 4::bigint, 'a new mandate does');
SELECT o2c.void_payment_order(1, 4, 'not sent');
SELECT is((SELECT last_collected_on FROM o2c.mandate WHERE reference = 'MAND/2'), NULL::date, 'a void order leaves the mandate as it was');

-- the bank's movement is found by itself when only one can be it
SELECT o2c.collect_direct_debits(1, 'main', o2c.today(1) + 100) AS ord \gset
SELECT total_amount AS total FROM o2c.payment_order WHERE id = :ord \gset
INSERT INTO o2c.bank_line (company_id, bank_account_id, line_id, booking_date, amount, currency, payer_iban)
VALUES (1, 1, 'customer', o2c.today(1) + 100, :total, 'EUR', 'NL91ABNA0417164300');
SELECT is(o2c._payment_order_line_of(1, :ord), NULL::bigint, 'a movement that has another party is not taken for it');
INSERT INTO o2c.bank_line (company_id, bank_account_id, line_id, booking_date, amount, currency, details)
VALUES (1, 1, 'batch', o2c.today(1) + 101, :total, 'EUR', jsonb_build_object('message_id', 'O2C-1-' || :ord)),
  (1, 1, 'alike', o2c.today(1) + 101, :total, 'EUR', NULL);
SELECT ok(o2c.settle_payment_order(1, :ord) > 0, 'an order is settled without naming its movement');
SELECT results_eq($$SELECT line_id, state::text FROM o2c.bank_line WHERE line_id IN ('customer', 'batch', 'alike') ORDER BY 1$$,
  $$VALUES ('alike', 'open'), ('batch', 'ignored'), ('customer', 'open')$$, 'the one that the bank names is found among others of its amount');

---------------------------------------------------------------- cut-off, and mandates that lapse
SELECT is(o2c.first_order_day(1, 'main', '2026-03-07 12:00+00'), '2026-03-07'::date, 'without a cut-off every day is taken');
UPDATE o2c.bank_account SET cut_off = '14:00' WHERE code = 'main';
UPDATE o2c.company SET time_zone = 'Europe/Vienna' WHERE company_id = 1;
SELECT is(o2c.first_order_day(1, 'main', t::timestamptz), d::date, format('at %s the first day is %s', t, d))
FROM (VALUES ('2026-03-06 12:59+00', '2026-03-06'), ('2026-03-06 13:01+00', '2026-03-09'), ('2026-03-07 08:00+00', '2026-03-09')) v (t, d);
UPDATE o2c.bank_account SET cut_off = '00:00' WHERE code = 'main';
SELECT throws_ok($$SELECT o2c.collect_direct_debits(1, 'main', o2c.today(1))$$, 'O2044', NULL, 'after the cut-off nothing is collected today');
SELECT throws_ok($$SELECT o2c.order_refunds(1, 'main', o2c.today(1))$$, 'O2044', NULL, 'nor paid');
UPDATE o2c.bank_account SET cut_off = NULL WHERE code = 'main';
INSERT INTO o2c.customer (company_id, code, name) VALUES (1, 'LAPSE', 'Lapse');
CREATE TEMPORARY TABLE late AS SELECT 'LATE-1' AS number, 'LAPSE' AS customer_code, '2026-01-01' AS document_date, '2026-01-01' AS due_date, 'EUR' AS currency, '9.00' AS amount;
SELECT o2c.import_open_items(1, 'late') \g /dev/null
SELECT o2c.create_mandate(1, 'LAPSE', 'NL91ABNA0417164300', (o2c.today(1) - '36 months'::interval)::date + 10, 'LAPSE/1') \g /dev/null
SELECT ok(usable, 'a mandate of nearly 36 months is good today') FROM o2c_bi.mandates WHERE reference = 'LAPSE/1';
SELECT is((SELECT count(*) FROM o2c.payment_order_line l WHERE l.payment_order_id = o2c.collect_direct_debits(1, 'main', o2c.today(1) + 11)
  AND l.customer_id = (SELECT id FROM o2c.customer WHERE code = 'LAPSE')), 0::bigint, 'but not on the day when it has not been used for 36 months');
SELECT o2c.collect_direct_debits(1, 'main', o2c.today(1) + 9) \g /dev/null
SELECT is((SELECT sequence_type FROM o2c.payment_order_line l JOIN o2c.open_item i ON i.id = l.item_id WHERE i.number = 'LATE-1'), 'FRST', 'a day before it is used');
SELECT is((SELECT usable FROM o2c_bi.mandates WHERE reference = 'LAPSE/1'), true, 'which begins its 36 months anew');

---------------------------------------------------------------- the most that a file can say
INSERT INTO o2c.customer (company_id, code, name, iban) VALUES (1, 'BIG', 'Big', 'NL91ABNA0417164300');
CREATE TEMPORARY TABLE big AS SELECT v.*, 'BIG' AS customer_code, '2026-01-01' AS document_date, 'EUR' AS currency
FROM (VALUES ('BIG-1', '999999999.99', '2026-01-01'), ('BIG-2', '1000000000.00', '2026-01-02')) v(number, amount, due_date);
SELECT o2c.import_open_items(1, 'big') \g /dev/null
SELECT o2c.create_mandate(1, 'BIG', 'NL91ABNA0417164300', o2c.today(1) - 1, 'BIG/1') \g /dev/null
SELECT throws_ok($$SELECT o2c.collect_direct_debits(1, 'main', o2c.today(1) + 2)$$, 'O2033', 'item BIG-2: 1000000000.00 EUR is more than one payment of the SEPA can be', 'more than a file can say is refused by its number');
SELECT is((SELECT count(*) FROM o2c.payment_order_line l JOIN o2c.open_item i ON i.id = l.item_id WHERE i.number LIKE 'BIG%'), 0::bigint, 'and nothing is ordered');
SELECT ok(o2c.collect_direct_debits(1, 'main', o2c.today(1) + 2, '2026-01-01') IS NOT NULL, 'the most that one can is');
SELECT is((SELECT l.amount FROM o2c.payment_order_line l JOIN o2c.open_item i ON i.id = l.item_id WHERE i.number = 'BIG-1'), 999999999.99, 'collected');
SELECT throws_ok($$INSERT INTO o2c.payment_order_line (company_id, payment_order_id, customer_id, item_id, mandate_id, sequence_type, end_to_end_id, amount, currency, party_name, iban, remittance_text)
  SELECT 1, max(l.payment_order_id), i.customer_id, i.id, m.id, 'RCUR', 'BIG', i.open_amount, 'EUR', 'x', m.iban, 'x'
  FROM o2c.open_item i JOIN o2c.mandate m ON m.customer_id = i.customer_id, o2c.payment_order_line l WHERE i.number = 'BIG-2' GROUP BY i.customer_id, i.id, m.id, m.iban, i.open_amount$$,
  '23514', NULL, 'nor does a line come by hand');
SELECT o2c.refund(1, o2c.record_payment(1, 'BIG', 2000000000, 'EUR', o2c.today(1), 'too much'), 1500000000, 'paid too much') AS r \gset
CREATE ROLE sepa_second_pair_of_eyes SUPERUSER;
SET SESSION AUTHORIZATION sepa_second_pair_of_eyes;
SELECT o2c.approve_refund(1, :r) \g /dev/null
RESET SESSION AUTHORIZATION;
DROP ROLE sepa_second_pair_of_eyes;
SELECT is((SELECT state FROM o2c.refund WHERE id = :r), 'approved', 'a refund of more');
SELECT throws_ok($$SELECT o2c.order_refunds(1, 'main', o2c.today(1) + 1)$$, 'O2033', 'refund of too much: 1500000000 EUR is more than one payment of the SEPA can be', 'is not transferred either');

SELECT is_empty('SELECT * FROM o2c.check()', 'no invariant is violated');
SELECT * FROM finish();
