-- Every function of invoices, terms and taxes with every argument wrong in
-- every way: refused in words (class O2, or 22 and 23 with the column's name),
-- never by an internal error, never accepted, and no number is drawn.
SET client_min_messages = warning;
SELECT plan(6);

SELECT o2c.create_company('Args', 'DE', 'EUR', vat_id => 'DE123456789') AS c \gset
SELECT o2c.create_company('Other', 'AT', 'EUR', vat_id => 'ATU12345678') AS other \gset
INSERT INTO o2c.customer (company_id, code, name, country) VALUES (:c, 'A', 'Customer A', 'DE'), (:other, 'B', 'Customer B', 'AT');
INSERT INTO o2c.product (company_id, code, name, unit_price) VALUES (:c, 'P', 'Product', 10);
SELECT o2c.place_order(:c, 'A', '[{"product": "P", "quantity": 2}]', '2026-01-01', 'O-1') AS o \gset
SELECT o2c.submit_order(:c, :o) \g /dev/null
SELECT o2c.confirm_order(:c, :o) \g /dev/null
INSERT INTO o2c.invoice (company_id, id, customer_id, currency)
SELECT k.company_id, 1000 + n, k.id, 'EUR' FROM o2c.customer k, generate_series(1, 3) n WHERE k.code = 'A'
UNION ALL SELECT k.company_id, 2000, k.id, 'EUR' FROM o2c.customer k WHERE k.code = 'B';
INSERT INTO o2c.invoice_line (company_id, invoice_id, line_no, description, quantity, unit_price, currency, tax_category, tax_rate)
SELECT company_id, id, 1, 'Item', 1, 100, 'EUR', 'S', 19 FROM o2c.invoice;
SELECT o2c.issue_invoice(:c, 1002, '2026-01-31'), o2c.issue_invoice(:c, 1003, '2026-01-31') \g /dev/null
SELECT sum(last_number) AS drawn FROM o2c.number_counter \gset

CREATE FUNCTION pg_temp.attempt(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE message text;
BEGIN
  EXECUTE statement;
  RAISE EXCEPTION USING ERRCODE = 'ATTAK';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS message = MESSAGE_TEXT;
  RETURN CASE SQLSTATE WHEN 'ATTAK' THEN 'done' ELSE SQLSTATE || ': ' || left(message, 200) END;
END $$;
CREATE FUNCTION pg_temp.ubl_order(buyer text DEFAULT 'A', item text DEFAULT 'P', quantity text DEFAULT '2', price text DEFAULT '9.5',
  id text DEFAULT 'PO-1', issued text DEFAULT '2026-01-15', currency text DEFAULT 'EUR', base text DEFAULT '1') RETURNS text LANGUAGE sql AS $$
  SELECT format('<Order xmlns="urn:oasis:names:specification:ubl:schema:xsd:Order-2" xmlns:a="urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2" xmlns:b="urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2"><b:ID>%s</b:ID><b:IssueDate>%s</b:IssueDate><b:DocumentCurrencyCode>%s</b:DocumentCurrencyCode><a:BuyerCustomerParty><b:SupplierAssignedAccountID>%s</b:SupplierAssignedAccountID></a:BuyerCustomerParty><a:OrderLine><a:LineItem><b:ID>1</b:ID><b:Quantity unitCode="C62">%s</b:Quantity><a:Price><b:PriceAmount currencyID="EUR">%s</b:PriceAmount><b:BaseQuantity>%s</b:BaseQuantity></a:Price><a:Item><a:SellersItemIdentification><b:ID>%s</b:ID></a:SellersItemIdentification></a:Item></a:LineItem></a:OrderLine></Order>',
    id, issued, currency, buyer, quantity, price, base, item) $$;
-- what is right, one argument after the other
CREATE TEMP TABLE right_call (function text, arguments text[]);
INSERT INTO right_call VALUES
  ('issue_invoice', ARRAY[:'c', '1001', $$'2026-01-31'$$]), ('issue_invoices', ARRAY[:'c', 'ARRAY[1001::bigint]', $$'2026-01-31'$$]),
  ('credit_invoice', ARRAY[:'c', '1002', '''[{"line": 1, "quantity": 1}]''', '''because''', $$'2026-01-31'$$]),
  ('void_invoice', ARRAY[:'c', '1001', '''because''', $$'2026-01-31'$$]), ('drop_draft', ARRAY[:'c', '1001']), ('recalculate_invoice', ARRAY[:'c', '1001']),
  ('invoice_faults', ARRAY[:'c', '1001']), ('invoice_ubl', ARRAY[:'c', '1002']), ('invoice_html', ARRAY[:'c', '1002', '''en''']),
  ('invoice_order', ARRAY[:'c', :'o']), ('run_billing', ARRAY[:'c', $$'2026-01-31'$$]), ('prepayment_invoice', ARRAY[:'c', :'o', '30']),
  ('due_dates', ARRAY[:'c', '''NET30''', $$'2026-01-31'$$, '119', '''EUR''', '100']), ('seed_holidays', ARRAY[:'c', '2026', '2027', '''DE''']),
  ('is_business_day', ARRAY[:'c', $$'2026-01-31'$$]), ('next_business_day', ARRAY[:'c', $$'2026-01-31'$$]),
  ('import_ubl_order', ARRAY[:'c', 'pg_temp.ubl_order()::xml']),
  ('tax_for', ARRAY[:'c', '''A''', '''S''', $$'2026-01-31'$$]),
  ('qr_svg', ARRAY['''text''', '''M''']), ('epc_qr_text', ARRAY['''Name''', '''DE89370400440532013000''', '12.30', '''RF18539007547034''', 'NULL', '''COBADEFFXXX''']);
SELECT is_empty($$SELECT function, arguments, pg_temp.attempt(format('SELECT * FROM o2c.%I(%s)', function, array_to_string(arguments, ', '))) FROM right_call
  WHERE function NOT IN ('invoice_order') AND pg_temp.attempt(format('SELECT * FROM o2c.%I(%s)', function, array_to_string(arguments, ', '))) <> 'done'$$,
  'right calls work');

-- one argument wrong at a time
CREATE TEMP TABLE wrong AS
SELECT r.function, p.name, v.value, format('SELECT * FROM o2c.%I(%s)', r.function,
         array_to_string(r.arguments[:p.n - 1] || v.value || r.arguments[p.n + 1:], ', ')) AS statement
FROM right_call r
JOIN pg_proc f ON f.pronamespace = 'o2c'::regnamespace AND f.proname = r.function
CROSS JOIN LATERAL (SELECT row_number() OVER (ORDER BY n) AS n, t AS type, f.proargnames[n] AS name
  FROM unnest(f.proargtypes::oid[]) WITH ORDINALITY a(t, n)) p
JOIN (VALUES
  ('integer', ARRAY['NULL', '-1', '0', '2147483647', :'other', '999999']),
  ('bigint', ARRAY['NULL', '-1', '0', '9223372036854775807', '2000']),
  ('bigint[]', ARRAY['ARRAY[NULL]::bigint[]', 'ARRAY[-1]::bigint[]', 'ARRAY[2000]::bigint[]', 'ARRAY[9223372036854775807]', 'ARRAY[[1001],[2000]]::bigint[]']),
  ('date', ARRAY['''infinity''::date', '''-infinity''::date', '''4713-01-01 BC''::date', '''5874897-12-31''::date']),
  ('numeric', ARRAY['NULL', '''NaN''::numeric', '''Infinity''::numeric', '''-Infinity''::numeric', '-5', '1e30', '0.00001', '1e-300', '1e140000']),
  ('text', ARRAY['''''', '''   ''', 'repeat(''x'', 1000000)', '''nope''', 'E''\x01''', '''<b>&"''''; DROP''']),
  ('jsonb', ARRAY['''{}''', '''"x"''', '''[]''', '''[1]''', '''[{}]''', '''[{"line": 99, "quantity": 1}]''', '''[{"line": 1, "quantity": -1}]''', '''[{"line": 1, "quantity": "NaN"}]''',
    '''[{"line": 1, "quantity": 1e30}]''', '''[{"line": null, "quantity": 1}]''', '''[{"line": "x"}]''', '''[{"line": 1, "quantity": 0}]''', '''[{"line": 1, "amount": -1}]''',
    '''[{"line_no": 99, "quantity": 1}]''', '''[{"line": 1, "line_no": 2, "quantity": 1}]''', '''[{"line_no": null}]''']),
  -- malformed, another document, and an order with one thing wrong
  ('xml', ARRAY['NULL', '''''', '''no markup''', '''<a/>''', '''<Order''', '''<Order><a></Order>''', '''<a/><b/>''', '''<Order>&nope;</Order>''', '''<Order xmlns="urn:x"/>''',
    'left(pg_temp.ubl_order(), 500)::xml', 'replace(pg_temp.ubl_order(), ''<a:OrderLine>'', ''<a:Line>'')::xml', 'regexp_replace(pg_temp.ubl_order(), ''<a:OrderLine>.*</a:OrderLine>'', '''')::xml',
    '(''<!DOCTYPE Order [<!ENTITY x SYSTEM "file:///etc/passwd">]>'' || pg_temp.ubl_order(buyer => ''&x;''))::xml',
    'pg_temp.ubl_order(id => '''')::xml', 'pg_temp.ubl_order(issued => '''')::xml', 'pg_temp.ubl_order(issued => ''2026-02-30'')::xml', 'pg_temp.ubl_order(issued => ''infinity'')::xml',
    'pg_temp.ubl_order(currency => ''QQQ'')::xml', 'pg_temp.ubl_order(currency => ''XAU'')::xml', 'pg_temp.ubl_order(buyer => ''B'')::xml', 'pg_temp.ubl_order(buyer => '''')::xml',
    'pg_temp.ubl_order(item => ''Q'')::xml', 'pg_temp.ubl_order(item => '''')::xml', 'pg_temp.ubl_order(quantity => '''')::xml', 'pg_temp.ubl_order(quantity => ''0'')::xml',
    'pg_temp.ubl_order(quantity => ''-1'')::xml', 'pg_temp.ubl_order(quantity => ''NaN'')::xml', 'pg_temp.ubl_order(quantity => ''Infinity'')::xml', 'pg_temp.ubl_order(quantity => ''1e30'')::xml',
    'pg_temp.ubl_order(quantity => ''0.0000001'')::xml', 'pg_temp.ubl_order(quantity => ''many'')::xml', 'pg_temp.ubl_order(price => ''-1'')::xml', 'pg_temp.ubl_order(price => ''NaN'')::xml',
    'pg_temp.ubl_order(price => ''Infinity'')::xml', 'pg_temp.ubl_order(price => ''1e400'')::xml', 'pg_temp.ubl_order(price => ''free'')::xml', 'pg_temp.ubl_order(base => ''0'')::xml',
    'pg_temp.ubl_order(base => ''NaN'')::xml', 'pg_temp.ubl_order(base => ''Infinity'')::xml', 'pg_temp.ubl_order(base => ''-2'')::xml'])
  ) x(type, bad) ON x.type = p.type::regtype::text
CROSS JOIN LATERAL unnest(x.bad) v(value);
ALTER TABLE wrong ADD outcome text;
UPDATE wrong SET outcome = pg_temp.attempt(statement);
SELECT cmp_ok((SELECT count(*) FROM wrong), '>', 300::bigint, 'hundreds of wrong calls');
-- what is no mistake: another company's own calendar, any text as a reason or a
-- name, an unknown language (the document's is taken), days long ago, credits
SELECT is_empty($$SELECT function, name, left(value, 40) FROM wrong WHERE outcome = 'done' AND NOT (
  name = 'company_id' AND value = (SELECT o.company_id::text FROM o2c.company o WHERE o.name = 'Other') AND function IN ('is_business_day', 'next_business_day', 'due_dates', 'run_billing', 'seed_holidays')
  OR name = 'company_id' AND value = 'NULL' AND function IN ('is_business_day', 'next_business_day')
  OR function IN ('is_business_day', 'next_business_day') AND value ~ '4713|5874897'
  OR (function, name) IN (('credit_invoice', 'reason'), ('void_invoice', 'reason'), ('epc_qr_text', 'name'), ('epc_qr_text', 'remittance'),
    ('invoice_html', 'language'), ('qr_svg', 'content'))
  OR function = 'due_dates' AND value IN ('-5', '1e30') OR function = 'due_dates' AND (name, value) = ('net_amount', 'NULL')
  OR name IN ('invoice_date', 'up_to', 'on_date') AND value ~ '4713|5874897' AND function IN ('due_dates', 'run_billing', 'tax_for'))$$,
  'garbage is not accepted');
SELECT is_empty($$SELECT function, name, left(value, 40), left(outcome, 200) FROM wrong WHERE outcome <> 'done' AND outcome !~ '^(O2|22|23)'$$,
  'every refusal has a code of its own and says what is wrong');
SELECT is((SELECT sum(last_number) FROM o2c.number_counter), :drawn::numeric, 'no number was drawn');
SELECT is_empty('SELECT * FROM o2c.check()', 'check() is empty');
SELECT * FROM finish();
