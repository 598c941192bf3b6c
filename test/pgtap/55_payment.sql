-- Cash application: text, references, names, subset search, the engine's
-- decisions, and what people do with payments.
BEGIN;
SELECT plan(122);

----------------------------------------------------------------- tokeniser
CREATE FUNCTION pg_temp.tokens(t text, k text) RETURNS text LANGUAGE sql AS $$
  SELECT string_agg(value, ' ' ORDER BY "position", value) FROM o2c.cash_tokens(t) WHERE kind = ANY (string_to_array(k, NULL))
$$;
CREATE FUNCTION pg_temp.finds(t text, number text) RETURNS boolean LANGUAGE sql AS $$
  SELECT o2c._document_key(number) = ANY (o2c._cash_keys(t))
$$;
SELECT ok(pg_temp.finds(t, '1930001001'), 'finds 1930001001 in "' || t || '"') FROM unnest(ARRAY[
  '1930001001', 'RG 1930001001', 'inv1930001001', '193 0001 001', '1930.001001', '001930001001', '193000'||' '||'1001',
  '001*0050*00001930001001', 'EREF+X SVWZ+RNr 1930001001 v. 02.01.2025']) t;
SELECT ok(pg_temp.finds(t, 'INV-2025-000123'), 'finds INV-2025-000123 in "' || t || '"') FROM unnest(ARRAY[
  'INV-2025-000123', 'inv2025000123', 'INV 2025 000123', 'INV/2025/000123', '2025-000123', 'Re. INV_2025_000123.']) t;
SELECT ok(pg_temp.finds('order A7B9C pays', 'A7B9C'), 'finds a number with letters between digits');
SELECT is(pg_temp.tokens('dd 12.03.2025 EUR 1.234,56 less 3%', 'D'), '12.03.2025', 'a date is told apart');
SELECT is(pg_temp.tokens('dd 12.03.2025 EUR 1.234,56 less 3%', 'M'), '1.234,56', 'so is an amount');
SELECT is(pg_temp.tokens('dd 12.03.2025 EUR 1.234,56 less 3%', 'P'), '3', 'and a percentage');
SELECT ok(pg_temp.finds('INV 1930001001-1004', n), 'a range opens ' || n)
FROM unnest(ARRAY['1930001001', '1930001002', '1930001003', '1930001004']) n;
SELECT ok(NOT pg_temp.finds('INV 1930001001-1004', '1930001005'), 'and ends');
SELECT ok(pg_temp.finds('1930017686/17702/17706, 710', n), 'a list is completed: ' || n)
FROM unnest(ARRAY['1930017702', '1930017706', '1930017710']) n;
SELECT is(pg_temp.tokens('INV 19300O1001', 'o'), '1930001001', 'a letter O in a number is read as zero');
SELECT is(pg_temp.tokens('RF18 5390 0754 7034', 'S'), 'RF18539007547034', 'a reference in groups of four');
SELECT is(pg_temp.tokens('RF17 5390 0754 7034', 'S'), NULL, 'but not with wrong check digits');
SELECT lives_ok($$ SELECT count(*) FROM o2c.cash_tokens(repeat('1930001001-', 100000)) $$, 'a text of 1 MB is no problem');
SELECT lives_ok($$ SELECT count(*) FROM o2c.cash_tokens(E'\x01\x02 12\x7f 34') $$, 'nor are control characters');

----------------------------------------------------------------- references
SELECT is(o2c.reference_kind(r), k, 'reference ' || r || ' is ' || coalesce(k, 'none'))
FROM (VALUES ('RF18539007547034', 'iso11649'), ('RF712348231', 'iso11649'), ('RF185390075470Y', 'iso11649'),
  ('RF17539007547034', NULL), ('RF68539007547034', NULL), ('+++090/9337/55493+++', 'be_ogm'),
  ('210000000003139471430009017', 'ch_qr'), ('12 34567 89012 34567 89012 34567', 'ch_qr'), ('123456789012345678901234568', NULL),
  ('000000000000000000000047119', 'ch_qr'), ('+++012/3456/78939+++', 'be_ogm'), ('+++012/3456/78940+++', NULL), ('100000006397', 'be_ogm'),
  ('12344', 'fi_viite'), ('90002717', 'fi_viite'), ('12345', NULL), ('12345674', 'no_kid'), ('1234567892', 'no_kid'), ('100008-', 'no_kid'),
  ('100007-', NULL), ('12345675', NULL), ('SI12 12345 679', 'si'), ('SI125012345678900', 'si'), ('SI121234567 8', NULL), ('SI99', 'si')) v(r, k);

----------------------------------------------------------------- names
SELECT cmp_ok(o2c.name_similarity(p, c), '>=', 0.8::float8, p || ' is ' || c)
FROM (VALUES ('NORDWERK LOGISTIK', 'Nordwerk Logistik GmbH'), ('MUELLER UND SOEHNE', 'Müller & Söhne KG'),
  ('Nrodwerk Logistik GmbH', 'Nordwerk Logistik GmbH'), ('FALKHAUS TEXTILKG', 'Falkhaus Textil KG'),
  ('Nordwerk Logistik GmbH EINKAUF', 'Nordwerk Logistik GmbH')) v(p, c);
SELECT cmp_ok(o2c.name_similarity('FINANZAMT', 'Nordwerk Logistik GmbH'), '<', 0.3::float8, 'a tax office is not a customer');

----------------------------------------------------------------- subset search
SELECT is((SELECT members FROM o2c._subset_search('{100,250,333,475,1200}', 1533, 4, 100000)), '{5,3}', 'one set');
SELECT is((SELECT solutions FROM o2c._subset_search('{100,200,300}', 300, 3, 100000)), 2, 'two sets are ambiguous');
SELECT is((SELECT complete FROM o2c._subset_search((SELECT array_agg(x * x * 2) FROM generate_series(1::bigint, 200) x), 77777, 8, 1000)),
  false, 'a budget that ends the search is admitted');
-- against brute force, n up to 12
SELECT is_empty($$
  WITH r AS (
    SELECT s, n, (SELECT array_agg((hashint8(s * 100 + i) & 63)::bigint + 1 ORDER BY i) FROM generate_series(1, n) i) AS a,
      (hashint8(s * 7) & 255)::bigint + 1 AS t
    FROM generate_series(1::bigint, 150) s, LATERAL (SELECT 3 + (s % 8)::integer AS n) x),
  brute AS (
    SELECT r.s, count(*) AS sets
    FROM r, generate_series(1, (1 << r.n) - 1) m
    WHERE (SELECT sum(r.a[i]) FROM generate_series(1, r.n) i WHERE m & (1 << (i - 1)) <> 0) = r.t
    GROUP BY 1)
  SELECT r.s, f.solutions, b.sets FROM r
  CROSS JOIN LATERAL o2c._subset_search(r.a, r.t, 12, 10000000) f
  LEFT JOIN brute b ON b.s = r.s
  WHERE f.solutions <> least(coalesce(b.sets, 0), 2)
$$, 'as many sets as brute force finds');

----------------------------------------------------------------- the engine
SELECT o2c.create_company('Match Ltd', 'DE', 'EUR') AS company \gset
CREATE TEMP TABLE c (code text, name text, iban text, parent_code text);
INSERT INTO c VALUES ('A', 'Nordwerk Logistik GmbH', 'DE89370400440532013000', NULL), ('B', 'Alpenbau AG', 'GB82WEST12345698765432', NULL),
  ('C', 'Rheinfarm Foods BV', NULL, NULL), ('D', 'Nordwerk Handel GmbH', NULL, 'A');
SELECT o2c.import_customers(:company, 'c');
CREATE TEMP TABLE i (number text, customer_code text, document_date date, due_date date, currency text, amount numeric, open_amount numeric, structured_ref text, discount_date date, discount_amount numeric);
INSERT INTO i VALUES
  ('1930001001', 'A', '2025-01-02', '2025-02-01', 'EUR', 100.00, 100.00, o2c.creditor_reference_from('1930001001')::text, NULL, NULL),
  ('1930001002', 'A', '2025-01-02', '2025-02-01', 'EUR', 250.50, 250.50, NULL, '2025-01-12', 5.01),
  ('1930001003', 'A', '2025-01-03', '2025-02-02', 'EUR', 333.33, 333.33, NULL, NULL, NULL),
  ('1930001004', 'A', '2025-01-03', '2025-02-02', 'EUR', 777.77, 777.77, NULL, NULL, NULL),
  ('1930001005', 'A', '2025-01-04', '2025-02-03', 'EUR', 777.77, 777.77, NULL, NULL, NULL),
  ('1930001006', 'A', '2025-01-04', '2025-02-03', 'EUR', 1200.00, 1200.00, NULL, NULL, NULL),
  ('1930001007', 'A', '2025-01-05', '2025-02-04', 'EUR', -50.00, -50.00, NULL, NULL, NULL),
  ('1930002001', 'B', '2025-01-02', '2025-02-01', 'EUR', 444.40, 444.40, NULL, NULL, NULL),
  ('1930002002', 'B', '2025-01-02', '2025-02-01', 'EUR', 555.50, 555.50, NULL, NULL, NULL),
  ('1930002003', 'B', '2025-01-02', '2025-02-01', 'EUR', 666.60, 666.60, NULL, NULL, NULL),
  ('1930003001', 'C', '2025-01-02', '2025-02-01', 'EUR', 888.80, 888.80, NULL, NULL, NULL),
  ('1930004001', 'D', '2025-01-02', '2025-02-01', 'EUR', 999.90, 999.90, NULL, NULL, NULL);
SELECT o2c.import_open_items(:company, 'i');
INSERT INTO o2c.bank_account (company_id, code, currency, iban) VALUES (:company, 'M', 'EUR', NULL) RETURNING id AS bank \gset
CREATE TEMP TABLE l (line_id text, booking_date date, amount numeric, payer_name text, payer_iban text, remittance_text text);
INSERT INTO l VALUES
  ('reference', '2025-01-10', 100.00, 'whoever', 'X1', o2c.creditor_reference_from('1930001001')::text),
  ('discount', '2025-01-10', 245.49, 'Nordwerk', 'DE89370400440532013000', 'RG 1930001002 less 2%'),
  ('tie', '2025-01-20', 777.77, 'Nordwerk Logistik', 'DE89370400440532013000', 'thanks'),
  ('net', '2025-01-21', 1150.00, 'Nordwerk Logistik', 'DE89370400440532013000', '1930001006 less CN 1930001007'),
  ('foreign', '2025-01-21', 666.60, 'Nordwerk Logistik', 'DE89370400440532013000', 'RG 1930002003'),
  ('amount', '2025-01-22', 444.40, 'ALPENBAU', 'GB82WEST12345698765432', ''),
  ('duplicate', '2025-01-25', 100.00, 'whoever', 'X1', 'RG 1930001001'),
  ('unknown', '2025-01-25', 12.34, 'FINANZAMT', 'X2', 'Erstattung'),
  ('conflict', '2025-01-26', 333.33, 'Nordwerk Logistik', 'DE89370400440532013000', 'RG 1930001004'),
  ('short', '2025-01-26', 500.00, 'ALPENBAU AG', 'GB82WEST12345698765432', 'RG 1930002002 Rate 1/2'),
  ('slip', '2025-01-27', 888.80, 'RHEINFARM FOODS', 'X3', 'RG 1930003010'),
  ('child', '2025-01-28', 999.90, 'NORDWERK LOGISTIK', 'DE89370400440532013000', 'Zahlung'),
  ('outgoing', '2025-01-28', -444.40, 'ALPENBAU', 'GB82WEST12345698765432', 'RG 1930002001');
INSERT INTO o2c.bank_line (company_id, bank_account_id, line_id, booking_date, amount, currency, payer_name, payer_iban, remittance_text)
SELECT :company, :bank, l.line_id, l.booking_date, l.amount, 'EUR', l.payer_name, l.payer_iban, l.remittance_text FROM l;
SELECT results_eq(format('SELECT lines FROM o2c.match_cash(%s)', :company), 'VALUES (12::bigint)', 'every line with money in is matched, none with money out');
CREATE FUNCTION pg_temp.result(c integer, line text) RETURNS text LANGUAGE sql AS $$
  SELECT string_agg(number || '=' || applied_amount || ' ' || status || ' ' || rule, ', ' ORDER BY option, number)
  FROM o2c_bi.cash_matches WHERE company_id = c AND line_id = line
$$;
SELECT is(pg_temp.result(:company, line), r, 'line ' || line) FROM (VALUES
  ('reference', '1930001001=100.00 auto reference'),
  ('discount', '1930001002=245.49 auto discount'),
  ('tie', '1930001004=777.77 suggested amount, 1930001005=777.77 suggested amount'),
  ('net', '1930001006=1200.00 auto net, 1930001007=-50.00 auto net'),
  ('foreign', '1930002003=666.60 suggested number'),
  ('amount', '1930002001=444.40 auto amount'),
  ('duplicate', NULL), ('unknown', NULL),
  ('conflict', '1930001003=333.33 suggested conflict, 1930001004=333.33 suggested partial'),
  ('short', '1930002002=500.00 auto partial'),
  ('slip', '1930003001=888.80 auto number_slip'),
  ('child', '1930004001=999.90 auto amount_group')) v(line, r);
SELECT is((SELECT open_amount FROM o2c.open_item WHERE company_id = :company AND number = '1930001002'), 0.00, 'the discount is settled');
SELECT is((SELECT sum(open_amount) FROM o2c.open_item WHERE company_id = :company AND kind = 'unidentified'), -112.34,
  'what nobody can place stands on unidentified items');
SELECT results_eq(format('SELECT lines, auto_lines FROM o2c.match_cash(%s)', :company), 'VALUES (0::bigint, 0::bigint)', 'again: nothing');
SELECT is_empty(format('SELECT * FROM o2c.check(%s)', :company), 'the books are right');

----------------------------------------------------------------- people
SELECT proposal_id AS tie FROM o2c_bi.cash_matches WHERE company_id = :company AND line_id = 'tie' AND option = 2 \gset
SELECT lives_ok(format('SELECT o2c.accept_match(%s, %s)', :company, :tie), 'a proposal is accepted');
SELECT is((SELECT open_amount FROM o2c.open_item WHERE company_id = :company AND number = '1930001005'), 0.00, 'and posted');
SELECT throws_ok(format('SELECT o2c.accept_match(%s, %s)', :company, :tie), 'O2033', NULL, 'once');
SELECT results_eq(format('SELECT accepted, reason FROM o2c.accept_matches(%s, ARRAY[%s, -1, NULL])', :company, :tie),
  format($$VALUES (false, 'proposal %s is accepted'), (false, 'there is no proposal -1'), (false, 'there is no proposal NULL')$$, :tie),
  'of many each has its answer');
SELECT is_empty(format('SELECT * FROM o2c.accept_matches(%s, NULL)', :company), 'of none none');
-- an order's number, the customer's own, and the delivery's
SELECT o2c.create_company('Orders', 'DE', 'EUR') AS oc \gset
INSERT INTO o2c.customer (company_id, code, name, iban) VALUES (:oc, 'O', 'Order AG', 'DE89370400440532013000');
INSERT INTO o2c.bank_account (company_id, code) VALUES (:oc, 'B') RETURNING id AS oc_account \gset
CREATE FUNCTION pg_temp.sold(c integer, code text, reference text, price text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE o bigint; i bigint;
BEGIN
  INSERT INTO o2c.sales_order (company_id, code, customer_id, currency, ordered_on, customer_reference)
  SELECT c, $2, k.id, 'EUR', '2025-01-02', $3 FROM o2c.customer k WHERE k.company_id = c RETURNING id INTO o;
  INSERT INTO o2c.invoice (company_id, customer_id, currency, order_id) SELECT c, k.id, 'EUR', o FROM o2c.customer k WHERE k.company_id = c RETURNING id INTO i;
  INSERT INTO o2c.invoice_line (company_id, invoice_id, line_no, description, quantity, unit_price, currency, tax_category, tax_rate)
  VALUES (c, i, 1, 'Item', 1, $4::numeric, 'EUR', 'S', 19);
  INSERT INTO o2c.shipment (company_id, order_id, number) VALUES (c, o, 'LS-' || o || '-77');
  RETURN o2c.issue_invoice(c, i, '2025-01-10');
END $$;
SELECT pg_temp.sold(:oc, 'SO-2025-4711', 'PO 88123', '100') AS so1, pg_temp.sold(:oc, 'SO-2025-4712', 'PO 88124', '100') AS so2,
  pg_temp.sold(:oc, 'SO-2025-4713', NULL, '100') AS so3 \gset
INSERT INTO o2c.bank_line (company_id, bank_account_id, line_id, booking_date, amount, currency, payer_name, payer_iban, remittance_text)
SELECT :oc, :oc_account, 'so' || n, '2025-01-20', 119, 'EUR', 'Order AG', 'DE89370400440532013000', t
FROM unnest(ARRAY['Bestellung SO-2025-4711', 'your order, our PO 88124', 'thanks']) WITH ORDINALITY u(t, n);
SELECT o2c.match_cash(:oc) \g /dev/null
SELECT results_eq(format('SELECT line_id, number, status, rule FROM o2c_bi.cash_matches WHERE company_id = %s ORDER BY 1', :oc),
  format($$VALUES ('so1', %L, 'auto', 'order'), ('so2', %L, 'auto', 'order'), ('so3', %L, 'auto', 'amount')$$, :'so1', :'so2', :'so3'),
  'three invoices of one amount: our order number tells one, the customer''s another, and the third is left');
-- what a customer may not have posted by itself, and what only he may
SELECT pg_temp.sold(:oc, 'SO-2025-4714', NULL, '200') AS so4, pg_temp.sold(:oc, 'SO-2025-4715', NULL, '300') AS so5 \gset
INSERT INTO o2c.match_rule (company_id, rule, customer_id, automatic) SELECT :oc, 'number', id, false FROM o2c.customer WHERE company_id = :oc;
UPDATE o2c.match_rule SET automatic = false WHERE company_id = :oc AND rule = 'order' AND customer_id IS NULL;
INSERT INTO o2c.match_rule (company_id, rule, customer_id) SELECT :oc, 'order', id FROM o2c.customer WHERE company_id = :oc;
INSERT INTO o2c.bank_line (company_id, bank_account_id, line_id, booking_date, amount, currency, payer_name, payer_iban, remittance_text)
VALUES (:oc, :oc_account, 'so4', '2025-01-20', 238, 'EUR', 'Order AG', 'DE89370400440532013000', :'so4'),
  (:oc, :oc_account, 'so5', '2025-01-20', 357, 'EUR', 'Order AG', 'DE89370400440532013000', 'SO-2025-4715');
SELECT o2c.match_cash(:oc) \g /dev/null
SELECT results_eq(format('SELECT line_id, status, rule FROM o2c_bi.cash_matches WHERE company_id = %s AND line_id IN (''so4'', ''so5'') ORDER BY 1', :oc),
  $$VALUES ('so4', 'suggested', 'number'), ('so5', 'auto', 'order')$$, 'a customer''s own rules stand in the place of the company''s');
SELECT throws_ok(format($$INSERT INTO o2c.match_rule (company_id, rule, customer_id) SELECT %s, 'order', id FROM o2c.customer WHERE company_id = %1$s$$, :oc),
  '23505', NULL, 'one rule of a kind for a customer');
SELECT throws_ok(format($$INSERT INTO o2c.match_rule (company_id, rule) VALUES (%s, 'order')$$, :oc), '23505', NULL, 'and for the company');
-- what a person is offered: of equal amounts the oldest, then those due about when it was paid; and names that are only alike
SELECT o2c.create_company('Offers', 'DE', 'EUR') AS offers \gset
INSERT INTO o2c.customer (company_id, code, name, iban) VALUES (:offers, 'R', 'Regal AG', 'DE89370400440532013000'),
  (:offers, 'K', 'Kroner Trust', NULL), (:offers, 'S', 'Sommer Wind', NULL);
INSERT INTO o2c.bank_account (company_id, code) VALUES (:offers, 'B') RETURNING id AS offers_account \gset
CREATE TEMPORARY TABLE offer_items AS
SELECT 'RE-' || 80000 + n AS number, 'R' AS customer_code, '2025-01-01'::date AS document_date, '2025-01-31'::date + 10 * n AS due_date,
  'EUR' AS currency, 50.00 AS amount FROM generate_series(1, 9) n
UNION ALL VALUES ('RE-90001', 'K', '2025-01-01'::date, '2025-02-01'::date, 'EUR', 88.11), ('RE-90002', 'S', '2025-01-01', '2025-02-01', 'EUR', 88.12);
SELECT o2c.import_open_items(:offers, 'offer_items') \g /dev/null
INSERT INTO o2c.bank_line (company_id, bank_account_id, line_id, booking_date, amount, currency, payer_name, payer_iban)
VALUES (:offers, :offers_account, 'equal', '2025-04-01', 50.00, 'EUR', 'Regal AG', 'DE89370400440532013000'),
  (:offers, :offers_account, 'alike', '2025-04-01', 88.11, 'EUR', 'KRONER', 'X9'),
  (:offers, :offers_account, 'unlike', '2025-04-01', 88.12, 'EUR', 'FINANZAMT', 'X8');
SELECT results_eq(format('SELECT suggested_lines, unmatched_lines FROM o2c.match_cash(%s)', :offers), 'VALUES (2::bigint, 1::bigint)',
  'an amount is suggested for a name that is alike, not for any name');
SELECT is(pg_temp.result(:offers, 'equal'),
  'RE-80001=50.00 suggested amount, RE-80006=50.00 suggested amount, RE-80005=50.00 suggested amount',
  'of nine equal items: the oldest, then those due on 1 April and 22 March');
SELECT is(pg_temp.result(:offers, 'alike'), 'RE-90001=88.11 suggested amount_name', 'Kroner Trust may be KRONER');
SELECT is_empty(format('SELECT * FROM o2c.check(%s)', :offers), 'the books are right');

-- a second payment of one amount, and proposals that take one item twice
SELECT o2c.create_company('Bulk', 'DE', 'EUR') AS bulk \gset
INSERT INTO o2c.customer (company_id, code, name, iban) VALUES (:bulk, 'B', 'Bulk AG', 'DE89370400440532013000');
INSERT INTO o2c.bank_account (company_id, code) VALUES (:bulk, 'B') RETURNING id AS bulk_account \gset
CREATE TEMPORARY TABLE bulk_items AS SELECT 'BU-' || 70000 + n AS number, 'B' AS customer_code, '2025-01-01'::date AS document_date,
  '2025-02-01'::date AS due_date, 'EUR' AS currency, 100.00 AS amount FROM generate_series(1, 3) n;
SELECT o2c.import_open_items(:bulk, 'bulk_items') \g /dev/null
INSERT INTO o2c.bank_line (company_id, bank_account_id, line_id, booking_date, amount, currency, payer_name, payer_iban)
SELECT :bulk, :bulk_account, 'bulk' || n, '2025-02-01', 100, 'EUR', 'Bulk AG', 'DE89370400440532013000' FROM generate_series(1, 3) n;
SELECT is((SELECT suggested_lines FROM o2c.match_cash(:bulk)), 3::bigint, 'three payments, three items of one amount: no telling');
SELECT results_eq(format($$SELECT accepted, reason FROM o2c.accept_matches(%1$s, ARRAY(
    SELECT proposal_id FROM o2c_bi.cash_matches WHERE company_id = %1$s AND option = 1 ORDER BY proposal_id LIMIT 2)
    || ARRAY(SELECT proposal_id FROM o2c_bi.cash_matches WHERE company_id = %1$s AND option = 2 AND line_id = 'bulk3'))$$, :bulk),
  $$VALUES (true, NULL), (false, 'of "BU-70001" only 100.00 EUR is open'), (true, NULL)$$,
  'the second that takes an item does not keep the third from being accepted');
SELECT is((SELECT count(*) FROM o2c.open_item WHERE company_id = :bulk AND amount > 0 AND open_amount = 0), 2::bigint, 'two are posted');
SELECT proposal_id AS bulk2 FROM o2c_bi.cash_matches WHERE company_id = :bulk AND line_id = 'bulk2' AND option = 1 \gset
SELECT throws_ok(format('SELECT o2c.accept_match(%s, %s)', :bulk, :bulk2), 'O2060', NULL, 'alone it is refused with the reason');
INSERT INTO o2c.period (company_id, from_date, to_date, closed_at, closed_by) VALUES (:bulk, '2025-02-01', '2025-02-28', now(), 'me');
SELECT results_eq(format($$SELECT accepted, reason FROM o2c.accept_matches(%1$s, ARRAY(
    SELECT proposal_id FROM o2c_bi.cash_matches WHERE company_id = %1$s AND line_id = 'bulk2' AND option = 3))$$, :bulk),
  $$VALUES (false, 'period of 2025-02-01 is closed')$$, 'what the ledger refuses is told as well');
SELECT proposal_id AS conflict FROM o2c_bi.cash_matches WHERE company_id = :company AND line_id = 'conflict' AND option = 1 \gset
SELECT lives_ok(format('SELECT o2c.reject_match(%s, %s)', :company, :conflict), 'a proposal is rejected');
SELECT payment_id AS unknown FROM o2c_bi.payments WHERE company_id = :company AND line_id = 'unknown' \gset
SELECT throws_ok(format('SELECT o2c.apply_payment(%s, %s, ''1930001003'', 20)', :company, :unknown), 'O2060', NULL, 'not more than was paid');
SELECT o2c.apply_payment(:company, :unknown, '1930001003', 10, '2025-02-01') AS allocation \gset
SELECT is((SELECT customer_code || ' ' || open_amount FROM o2c_bi.payments WHERE company_id = :company AND payment_id = :unknown), 'A 2.34',
  'an applied payment is identified, its rest is on the customer''s account');
SELECT isnt(o2c.unapply(:company, :allocation, '2025-02-02', 'mistake'), NULL, 'and undone');
SELECT throws_ok(format('SELECT o2c.unapply(%s, %s)', :company, :allocation), 'O2061', NULL, 'once');
SELECT payment_id AS amount FROM o2c_bi.payments WHERE company_id = :company AND line_id = 'amount' \gset
SELECT is(o2c.return_payment(:company, :amount, 'AC04', '2025-02-03'), 1::bigint, 'a returned payment reopens its item');
SELECT is((SELECT open_amount FROM o2c.open_item WHERE company_id = :company AND number = '1930002001'), 444.40, 'in full');
INSERT INTO o2c.bank_line (company_id, bank_account_id, line_id, booking_date, amount, currency, payer_name, payer_iban, return_reason)
VALUES (:company, :bank, 'back', '2025-02-05', -500, 'EUR', 'ALPENBAU AG', 'GB82WEST12345698765432', 'MD06');
SELECT lives_ok(format('SELECT o2c.match_cash(%s)', :company), 'a line that takes money back is read');
SELECT is((SELECT open_amount FROM o2c.open_item WHERE company_id = :company AND number = '1930002002'), 555.50, 'and its item is open again');
SELECT o2c.record_payment(:company, 'C', 70, 'EUR', '2025-02-01', 'CHQ 1', 'cheque') AS cheque \gset
SELECT is(o2c.record_payment(:company, 'C', 70, 'EUR', '2025-02-01', 'CHQ 1', 'cheque'), :cheque::bigint, 'recorded again: the same payment');
SELECT throws_ok(format('SELECT o2c.record_payment(%s, ''C'', -1)', :company), 'O2043', NULL, 'no negative payment');
SELECT o2c.refund(:company, :cheque, 20, 'overpaid') AS refund \gset
SELECT throws_ok(format('SELECT o2c.approve_refund(%s, %s)', :company, :refund), 'O2080', NULL, 'nobody grants his own refund');
SELECT o2c.record_payment(:company, 'C', 60, 'EUR', '2025-02-01', 'CHQ 2', 'cheque') AS cheque \gset
SELECT o2c.write_off(:company, 'PAY-' || :cheque, 10, 'costs of the cheque', '2025-02-01') > 0 AS written_off;
INSERT INTO o2c.bank_line (company_id, bank_account_id, line_id, booking_date, amount, currency, end_to_end_id, return_reason)
VALUES (:company, :bank, 'part back', '2025-02-05', -60, 'EUR', 'CHQ 2', 'MD06'), (:company, :bank, 'beside it', '2025-02-05', 60, 'EUR', NULL, NULL);
SELECT lives_ok(format('SELECT o2c.match_cash(%s)', :company), 'a return that does not fit stops no run');
SELECT results_eq(format('SELECT line_id, state FROM o2c.bank_line WHERE company_id = %s AND line_id IN (''part back'', ''beside it'') ORDER BY 1', :company),
  $$VALUES ('beside it', 'matched'::o2c.bank_line_state), ('part back', 'open')$$, 'it waits, the others are matched');
-- what the bank charges for a return comes with it, and is said in one way or the other
SELECT o2c.record_payment(:company, 'C', a, 'EUR', '2025-02-01', 'DD ' || a, 'direct_debit') FROM unnest(ARRAY[61.26, 62.26, 63.26, 64.26]) a \g /dev/null
INSERT INTO o2c.bank_line (company_id, bank_account_id, line_id, booking_date, amount, currency, end_to_end_id, return_reason, charges, original_amount, original_currency) VALUES
  (:company, :bank, 'charged', '2025-02-05', -64.26, 'EUR', 'DD 61.26', 'AM04', 3.00, NULL, NULL),
  (:company, :bank, 'instructed', '2025-02-05', -65.26, 'EUR', 'DD 62.26', 'AM04', NULL, 62.26, 'EUR'),
  (:company, :bank, 'unsaid', '2025-02-05', -66.26, 'EUR', 'DD 63.26', 'AM04', NULL, NULL, NULL),
  (:company, :bank, 'elsewhere', '2025-02-05', -67.26, 'EUR', 'DD 64.26', 'AM04', NULL, 64.26, 'USD');
SELECT lives_ok(format('SELECT o2c.match_cash(%s)', :company), 'returns with charges are read');
SELECT results_eq(format('SELECT line_id FROM o2c.bank_line WHERE company_id = %s AND return_reason = ''AM04'' AND state = ''matched'' ORDER BY 1', :company),
  $$VALUES ('charged'), ('instructed')$$, 'where the bank says what it charges, or what the amount was in this currency');
SELECT results_eq(format('SELECT reference, returned_on FROM o2c.payment WHERE company_id = %s AND reference ~ ''^DD'' AND state = ''returned'' ORDER BY 1', :company),
  $$VALUES ('DD 61.26', '2025-02-05'::date), ('DD 62.26', '2025-02-05')$$, 'these payments are returned');
SELECT is((SELECT sum(amount) FROM o2c.bank_line WHERE company_id = :company AND return_reason = 'AM04' AND state = 'open'), -133.52, 'the others wait for a person');
SELECT is_empty(format('SELECT * FROM o2c.check(%s)', :company), 'the books are still right');
SET LOCAL session_replication_role = replica;	-- its trigger refuses this
UPDATE o2c.bank_line SET state = 'ignored' WHERE company_id = :company AND line_id = 'amount';
SET LOCAL session_replication_role = origin;
SELECT results_eq(format('SELECT invariant, entity, entity_id FROM o2c.check(%s)', :company),
  format($$VALUES ('payment of a bank line that is matched', 'payment', %s::bigint)$$, :amount), 'money of a line that counts as ignored is seen');
SELECT * FROM finish();
ROLLBACK;
