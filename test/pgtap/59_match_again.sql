-- What a further match_cash does with the proposals of the one before: those that it would make again stay as
-- they are, with their ids, since a person may have them before him; others give way.
BEGIN;
SELECT plan(11);

SELECT o2c.create_company('Again', 'DE', 'EUR') AS c \gset
INSERT INTO o2c.customer (company_id, code, name, iban) VALUES
  (:c, 'T', 'Twin AG', 'DE89370400440532013000'), (:c, 'O', 'Other AG', 'GB82WEST12345698765432');
INSERT INTO o2c.bank_account (company_id, code) VALUES (:c, 'B') RETURNING id AS bank \gset
CREATE TEMPORARY TABLE items AS SELECT * FROM (VALUES
  ('TW-70001', 'T', 100.00), ('TW-70002', 'T', 100.00), ('TW-70003', 'T', 250.00)) v(number, customer_code, amount),
  (VALUES ('2025-01-01'::date, '2025-02-01'::date, 'EUR')) d(document_date, due_date, currency);
SELECT o2c.import_open_items(:c, 'items') \g /dev/null
INSERT INTO o2c.bank_line (company_id, bank_account_id, line_id, booking_date, amount, currency, payer_name, payer_iban)
VALUES (:c, :bank, 'twin', '2025-02-01', 100, 'EUR', 'Twin AG', 'DE89370400440532013000');
SELECT is((SELECT suggested_lines FROM o2c.match_cash(:c)), 1::bigint, 'two items of one amount are suggested');
CREATE TEMPORARY TABLE shown AS SELECT m.id, m.option, m.item_ids FROM o2c.match_proposal m WHERE m.company_id = :c AND m.state = 'suggested';
SELECT is((SELECT count(*) FROM shown), 2::bigint, 'one option each');

-- a payment that has nothing to do with it
CREATE TEMPORARY TABLE more AS SELECT 'OT-80001' AS number, 'O' AS customer_code, 77.70 AS amount,
  '2025-01-01'::date AS document_date, '2025-02-01'::date AS due_date, 'EUR' AS currency;
SELECT o2c.import_open_items(:c, 'more') \g /dev/null
INSERT INTO o2c.bank_line (company_id, bank_account_id, line_id, booking_date, amount, currency, payer_name, payer_iban, remittance_text)
VALUES (:c, :bank, 'other', '2025-02-02', 77.70, 'EUR', 'Other AG', 'GB82WEST12345698765432', 'OT-80001');
SELECT results_eq(format('SELECT lines, auto_lines, suggested_lines FROM o2c.match_cash(%s)', :c), 'VALUES (2::bigint, 1::bigint, 1::bigint)',
  'the payment is looked at again and suggested again');
SELECT results_eq(format($$SELECT id, option, item_ids FROM o2c.match_proposal WHERE company_id = %s AND state = 'suggested' ORDER BY id$$, :c),
  'SELECT id, option, item_ids FROM shown ORDER BY id', 'by the proposals that were shown');
SELECT is((SELECT count(*) FROM o2c.match_proposal WHERE company_id = :c AND state = 'superseded'), 0::bigint, 'none is superseded');

-- a third item of that amount: the first two options are what they were or are written anew, never twice
UPDATE more SET number = 'TW-70004', customer_code = 'T', amount = 100.00;
SELECT o2c.import_open_items(:c, 'more') \g /dev/null
SELECT is((SELECT suggested_lines FROM o2c.match_cash(:c)), 1::bigint, 'a third item joins them');
SELECT results_eq(format($$SELECT option, count(*) FROM o2c.match_proposal WHERE company_id = %s AND state = 'suggested' GROUP BY 1 ORDER BY 1$$, :c),
  'VALUES (1, 1::bigint), (2, 1::bigint), (3, 1::bigint)', 'each option once');

-- what is no longer open is not suggested any longer
SELECT o2c.write_off(:c, 'TW-70001', 100.00, 'lost') \g /dev/null
SELECT o2c.match_cash(:c) \g /dev/null
SELECT is_empty(format($$SELECT m.id FROM o2c.match_proposal m JOIN o2c.open_item i ON i.company_id = m.company_id AND i.id = ANY (m.item_ids)
  WHERE m.company_id = %s AND m.state = 'suggested' AND i.number = 'TW-70001'$$, :c), 'an item that is gone takes its options along');

-- nor what a person rejected, though everything is looked at again
CREATE FUNCTION pg_temp.suggested(company integer) RETURNS text LANGUAGE sql AS $$
  SELECT string_agg(i.number, ' ' ORDER BY i.number) FROM o2c.match_proposal m JOIN o2c.open_item i ON i.company_id = m.company_id AND i.id = ANY (m.item_ids)
  WHERE m.company_id = company AND m.state = 'suggested' $$;
SELECT is(pg_temp.suggested(:c), 'TW-70002 TW-70004', 'two are left');
SELECT o2c.reject_match(:c, m.id) FROM o2c.match_proposal m JOIN o2c.open_item i ON i.company_id = m.company_id AND i.id = ANY (m.item_ids)
WHERE m.company_id = :c AND m.state = 'suggested' AND i.number = 'TW-70002';
UPDATE more SET number = 'TW-70005';
SELECT o2c.import_open_items(:c, 'more') \g /dev/null
SELECT o2c.match_cash(:c) \g /dev/null
SELECT is(pg_temp.suggested(:c), 'TW-70004 TW-70005', 'what was rejected is not suggested again');
SELECT is_empty(format('SELECT * FROM o2c.check(%s)', :c), 'the books are right');
SELECT * FROM finish();
ROLLBACK;
