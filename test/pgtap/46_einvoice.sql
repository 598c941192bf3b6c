-- Electronic documents: UBL whose totals are derived again by XPath, on random
-- invoices in four currencies; UBL orders; payment codes; the printable page.
SELECT plan(48);
SELECT setseed(0.4711);

SELECT o2c.create_company('Müller & Söhne <KG>', 'DE', 'EUR', vat_id => 'DE123456789', email => 'post@example.com', street => 'Straße 1', postal_code => '10115', city => 'Berlin') AS c \gset
INSERT INTO o2c.bank_account (company_id, code, currency, iban, bic) VALUES (:c, 'MAIN', 'EUR', 'DE89370400440532013000', 'COBADEFFXXX');
INSERT INTO o2c.exchange_rate (company_id, from_currency, to_currency, valid_from, rate) VALUES (:c, 'USD', 'EUR', '2020-01-01', 0.9), (:c, 'JPY', 'EUR', '2020-01-01', 0.006), (:c, 'KWD', 'EUR', '2020-01-01', 3);
INSERT INTO o2c.customer (company_id, code, name, country, vat_id, language) VALUES (:c, 'DE', 'Kunde "A" & B', 'DE', NULL, 'de'), (:c, 'FR', 'Client', 'FR', 'FR12345678901', 'fr');

-- 120 random documents: lines with discounts, allowances and charges, several rates
INSERT INTO o2c.invoice (company_id, id, customer_id, currency)
SELECT :c, n, (SELECT id FROM o2c.customer WHERE company_id = :c AND code = 'DE'), (ARRAY['EUR', 'USD', 'JPY', 'KWD'])[1 + n % 4]::o2c.currency FROM generate_series(1001, 1120) n;
INSERT INTO o2c.invoice_line (company_id, invoice_id, line_no, description, quantity, unit_price, discount_percent, currency, allowance_amount, charge_amount, tax_category, tax_rate, exemption_code)
SELECT :c, i.id, l, 'Line ' || l || ' <&>', round((random() * 20)::numeric, (random() * 3)::int) + 1, round((random() * 500)::numeric, (random() * 6)::int),
  CASE WHEN random() < 0.3 THEN round((random() * 30)::numeric, 1) ELSE 0 END, i.currency,
  CASE WHEN random() < 0.2 THEN o2c.round_amount((random())::numeric, i.currency) ELSE 0 END, CASE WHEN random() < 0.2 THEN o2c.round_amount((random() * 9)::numeric, i.currency) ELSE 0 END,
  t.cat, t.rate, CASE WHEN t.cat = 'E' THEN 'VATEX-EU-132-1A' END
FROM o2c.invoice i, generate_series(1, 1 + (i.id % 6)::int) l
CROSS JOIN LATERAL (SELECT cat, rate FROM (VALUES ('S', 19), ('S', 7), ('Z', 0), ('E', 0)) v(cat, rate) ORDER BY md5(i.id || '-' || l || '-' || cat || rate) LIMIT 1) t
WHERE i.company_id = :c;
INSERT INTO o2c.invoice_allowance (company_id, invoice_id, charge, currency, amount, reason, tax_category, tax_rate)
SELECT :c, l.invoice_id, l.invoice_id % 2 = 0, l.currency, o2c.round_amount(0.01 * l.net_amount, l.currency), 'Rebate or freight', l.tax_category, l.tax_rate
FROM o2c.invoice_line l WHERE l.company_id = :c AND l.line_no = 1 AND l.tax_category IN ('S', 'Z') AND l.invoice_id % 3 = 0;
SELECT is(count(*), 120::bigint, 'issue 120 random documents') FROM o2c.issue_invoices(:c, NULL, '2026-01-31');

CREATE TEMPORARY TABLE doc AS SELECT i.id, i.currency, o2c.invoice_ubl(:c, i.id) AS ubl FROM o2c.invoice i WHERE i.company_id = :c;
CREATE FUNCTION pg_temp.ns() RETURNS text[] LANGUAGE sql IMMUTABLE AS $$ SELECT ARRAY[ARRAY['i', 'urn:oasis:names:specification:ubl:schema:xsd:Invoice-2'],
  ARRAY['n', 'urn:oasis:names:specification:ubl:schema:xsd:CreditNote-2'], ARRAY['a', 'urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2'],
  ARRAY['b', 'urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2']] $$;
-- a number, or the sum of all numbers, at a path
CREATE FUNCTION pg_temp.sum(doc xml, path text) RETURNS numeric LANGUAGE sql IMMUTABLE AS
$$ SELECT coalesce(sum(x::text::numeric), 0) FROM unnest(xpath(path || '/text()', doc, pg_temp.ns())) x $$;
CREATE FUNCTION pg_temp.broken(rule text, condition text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN RETURN is_empty(format('SELECT id FROM doc d WHERE NOT (%s)', condition), rule); END $$;

SELECT pg_temp.broken('BR-CO-10: lines', $$pg_temp.sum(ubl, '//a:LegalMonetaryTotal/b:LineExtensionAmount') = pg_temp.sum(ubl, '//a:InvoiceLine/b:LineExtensionAmount')$$);
SELECT pg_temp.broken('BR-CO-11: allowances', $$pg_temp.sum(ubl, '//a:LegalMonetaryTotal/b:AllowanceTotalAmount') = pg_temp.sum(ubl, '/i:Invoice/a:AllowanceCharge[b:ChargeIndicator="false"]/b:Amount')$$);
SELECT pg_temp.broken('BR-CO-12: charges', $$pg_temp.sum(ubl, '//a:LegalMonetaryTotal/b:ChargeTotalAmount') = pg_temp.sum(ubl, '/i:Invoice/a:AllowanceCharge[b:ChargeIndicator="true"]/b:Amount')$$);
SELECT pg_temp.broken('BR-CO-13: net', $$pg_temp.sum(ubl, '//b:TaxExclusiveAmount') = pg_temp.sum(ubl, '//a:LegalMonetaryTotal/b:LineExtensionAmount') - pg_temp.sum(ubl, '//b:AllowanceTotalAmount') + pg_temp.sum(ubl, '//b:ChargeTotalAmount')$$);
SELECT pg_temp.broken('BR-CO-14: tax', $$pg_temp.sum(ubl, '//a:TaxTotal[a:TaxSubtotal]/b:TaxAmount') = pg_temp.sum(ubl, '//a:TaxSubtotal/b:TaxAmount')$$);
SELECT pg_temp.broken('BR-CO-15: total', $$pg_temp.sum(ubl, '//b:TaxInclusiveAmount') = pg_temp.sum(ubl, '//b:TaxExclusiveAmount') + pg_temp.sum(ubl, '//a:TaxTotal[a:TaxSubtotal]/b:TaxAmount')$$);
SELECT pg_temp.broken('BR-CO-16: payable', $$pg_temp.sum(ubl, '//b:PayableAmount') = pg_temp.sum(ubl, '//b:TaxInclusiveAmount') - pg_temp.sum(ubl, '//b:PrepaidAmount') + pg_temp.sum(ubl, '//b:PayableRoundingAmount')$$);
SELECT is_empty($$
  SELECT d.id, t.* FROM doc d, unnest(xpath('//a:TaxSubtotal', d.ubl, pg_temp.ns())) s,
  LATERAL (SELECT pg_temp.sum(s, '//b:TaxableAmount') AS base, pg_temp.sum(s, '//b:TaxAmount') AS tax, pg_temp.sum(s, '//b:Percent') AS rate) t
  WHERE t.tax <> round(t.base * t.rate / 100, o2c.minor_unit(d.currency))$$, 'BR-CO-17: tax is base times rate, rounded once');
SELECT is_empty($$
  SELECT d.id, k.cat, k.rate FROM doc d,
  (VALUES ('S', 19), ('S', 7), ('Z', 0), ('E', 0)) k(cat, rate),
  LATERAL (SELECT format('[b:ID="%s" and number(b:Percent)=%s]', k.cat, k.rate) AS is) x
  WHERE pg_temp.sum(d.ubl, format('//a:TaxSubtotal[a:TaxCategory%s]/b:TaxableAmount', x.is))
     <> pg_temp.sum(d.ubl, format('//a:InvoiceLine[a:Item/a:ClassifiedTaxCategory%s]/b:LineExtensionAmount', x.is))
      - pg_temp.sum(d.ubl, format('/i:Invoice/a:AllowanceCharge[b:ChargeIndicator="false" and a:TaxCategory%s]/b:Amount', x.is))
      + pg_temp.sum(d.ubl, format('/i:Invoice/a:AllowanceCharge[b:ChargeIndicator="true" and a:TaxCategory%s]/b:Amount', x.is))$$, 'BR-S-08, BR-Z-08, BR-E-08: bases by category and rate');
-- price x quantity less allowances is the line, within the last digit of its rounding
SELECT is_empty($$
  SELECT d.id FROM doc d, unnest(xpath('//a:InvoiceLine', d.ubl, pg_temp.ns())) l
  WHERE abs(round(pg_temp.sum(l, '/*/b:InvoicedQuantity') * pg_temp.sum(l, '//a:Price/b:PriceAmount'), o2c.minor_unit(d.currency))
     - pg_temp.sum(l, '//a:AllowanceCharge[b:ChargeIndicator="false"]/b:Amount') + pg_temp.sum(l, '//a:AllowanceCharge[b:ChargeIndicator="true"]/b:Amount')
     - pg_temp.sum(l, '/*/b:LineExtensionAmount')) > 0$$, 'lines');
SELECT is((SELECT count(*) FROM doc WHERE currency <> 'EUR' AND (xpath('string(//b:TaxCurrencyCode)', ubl, pg_temp.ns()))[1]::text = 'EUR'), 90::bigint, 'tax currency where it is another');
SELECT is((SELECT count(DISTINCT (xpath('string(/i:Invoice/a:PaymentMeans/b:PaymentID)', ubl, pg_temp.ns()))[1]::text) FROM doc), 120::bigint, 'each has its payment reference');
SELECT ok(bool_and((xpath('string(/i:Invoice/a:AccountingSupplierParty//a:PartyLegalEntity/b:RegistrationName)', ubl, pg_temp.ns()))[1]::text = 'Müller &amp; Söhne &lt;KG&gt;'), 'names are escaped once') FROM doc;
-- a credit note names its invoice
SELECT o2c.credit_invoice(:c, 1004, '[{"line": 1}]', 'damaged', '2026-02-01') AS cn \gset
SELECT is((xpath('string(//a:BillingReference//b:ID)', o2c.invoice_ubl(:c, :cn), pg_temp.ns()))[1]::text, (SELECT number FROM o2c.invoice WHERE company_id = :c AND id = 1004), 'a credit note names its invoice');
SELECT is((xpath('string(/n:CreditNote/b:CreditNoteTypeCode)', o2c.invoice_ubl(:c, :cn), pg_temp.ns()))[1]::text, '381', 'type 381');
SELECT throws_ok(format('SELECT o2c.invoice_ubl(%s, 999999)', :c), 'O2003', NULL, 'no such invoice');
INSERT INTO o2c.invoice (company_id, id, customer_id, currency) SELECT :c, 5000, id, 'EUR' FROM o2c.customer WHERE company_id = :c LIMIT 1;
SELECT throws_ok(format('SELECT o2c.invoice_ubl(%s, 5000)', :c), 'O2010', NULL, 'a draft has no electronic form');
SELECT throws_ok(format('SELECT o2c.invoice_html(%s, 5000)', :c), 'O2010', NULL, 'nor a page');

-- BR-CO-25: what is to be paid has a due date (BT-9) and terms (BT-20)
INSERT INTO o2c.payment_term (company_id, code, kind) VALUES (:c, '3X', 'instalments');
INSERT INTO o2c.payment_term_line (company_id, term_code, instalment, percent, net_days) VALUES (:c, '3X', 1, 33.33, 10), (:c, '3X', 2, 33.33, 30), (:c, '3X', 3, 33.34, 60);
INSERT INTO o2c.invoice (company_id, id, customer_id, currency, payment_term, prepaid_amount)
SELECT :c, v.id, k.id, 'EUR', v.term, v.prepaid FROM o2c.customer k,
  (VALUES (6001, 'NET30', 0.00), (6002, '3X', 0), (6003, '3X', 19), (6004, 'NET30', 119)) v(id, term, prepaid) WHERE k.company_id = :c AND k.code = 'DE';
INSERT INTO o2c.invoice_line (company_id, invoice_id, line_no, description, quantity, unit_price, currency, tax_category, tax_rate)
SELECT :c, n, 1, 'Item', 1, 100, 'EUR', 'S', 19 FROM generate_series(6001, 6004) n;
SELECT count(*) FROM o2c.issue_invoices(:c, ARRAY[6001, 6002, 6003, 6004], '2026-02-01') \g /dev/null
CREATE FUNCTION pg_temp.terms(c integer, i bigint) RETURNS text LANGUAGE sql AS $$
  SELECT concat_ws(' | ', x[1]::text, x[2]::text, x[3]::text) FROM (SELECT ARRAY[(xpath('string(/*/b:DueDate)', u, pg_temp.ns()))[1],
    (xpath('string(/*/a:PaymentTerms/b:Note)', u, pg_temp.ns()))[1], (xpath('string(//b:PayableAmount)', u, pg_temp.ns()))[1]] AS x FROM o2c.invoice_ubl($1, $2) u) y $$;
SELECT is(pg_temp.terms(:c, 6001), '2026-03-03 | 30 days net, 2026-03-03 | 119.00', 'one due date');
SELECT is(pg_temp.terms(:c, 6002), E'2026-02-11 | 1/3: 39.66 EUR, 2026-02-11\n2/3: 39.66 EUR, 2026-03-03\n3/3: 39.68 EUR, 2026-04-02 | 119.00', 'instalments: the first due date, all of them in the terms');
SELECT is(pg_temp.terms(:c, 6003), E'2026-02-11 | 1/3: 33.33 EUR, 2026-02-11\n2/3: 33.33 EUR, 2026-03-03\n3/3: 33.34 EUR, 2026-04-02 | 100.00', 'of what is not prepaid');
SELECT is(pg_temp.terms(:c, 6004), '2026-03-03 |  | 0.00', 'all prepaid: nothing is due, no terms are needed');
SELECT is(pg_temp.terms(:c, o2c.credit_invoice(:c, 6001, NULL, 'wrong', '2026-02-02')),
  (SELECT ' | Credit to ' || number || ' | 119.00' FROM o2c.invoice WHERE company_id = :c AND id = 6001), 'a credit note has terms and no due date');

-- payment codes
SELECT is(o2c.epc_qr_text('Wikimedia', 'DE33100205000001194700', 123.45, 'RF18539007547034'), E'BCD\n002\n1\nSCT\n\nWikimedia\nDE33100205000001194700\nEUR123.45\n\nRF18539007547034', 'EPC069-12 with a reference');
SELECT is(o2c.epc_qr_text('A', 'DE33100205000001194700', 1, NULL, E'two\nlines', 'BFSWDE33BER'), E'BCD\n002\n1\nSCT\nBFSWDE33BER\nA\nDE33100205000001194700\nEUR1\n\n\ntwo lines', 'with a text in one line');
SELECT throws_ok($$SELECT o2c.epc_qr_text('A', 'DE33100205000001194700', 1, 'RF17539007547034')$$, 'O2041', NULL, 'a reference with right check digits');
SELECT throws_ok($$SELECT o2c.invoice_faults(1, -1)$$, 'O2003', NULL, 'an invoice that is not there has no rules to keep');
SELECT throws_ok($$SELECT o2c.epc_qr_text('A', 'DE33100205000001194700', 1, bic => 'BFSW')$$, 'O2004', NULL, 'a whole BIC');
SELECT throws_ok($$SELECT o2c.epc_qr_text('A', 'DE33100205000001194700', 0)$$, 'O2043', NULL, 'no amount');
SELECT throws_ok($$SELECT o2c.epc_qr_text('A', 'DE33100205000001194700', 1, 'RF18539007547034', 'text')$$, 'O2004', NULL, 'reference and text');
SELECT ok(o2c.qr_svg('hello') LIKE '<svg %</svg>' AND o2c.qr_svg('hello')::xml IS NOT NULL, 'a QR code is an SVG element');
SELECT throws_ok($$SELECT o2c.qr_svg(repeat('x', 4000))$$, 'O2004', NULL, 'too much for a QR code');

-- the page, in five languages and one that is none of them
SELECT is(array_agg(o2c.invoice_html(:c, 1004, l) ~ word ORDER BY l), '{t,t,t,t,t,t}'::boolean[], 'words of each language')
FROM (VALUES ('de', 'Rechnung INV'), ('en', 'Invoice INV'), ('es', 'Factura INV'), ('fr', 'Facture INV'), ('it', 'Fattura INV'), ('pl', 'Invoice INV')) v(l, word);
SELECT ok(o2c.invoice_html(:c, 1004) ~ 'lang="de"' AND o2c.invoice_html(:c, 1004) !~ 'Söhne <KG>' AND o2c.invoice_html(:c, 1004) ~ '<svg ', 'the customer''s language, escaped, with a QR code');

SELECT ok(h ~ '@page [^}]*counter\(page\)' AND h ~ 'thead \{ display: table-header-group \}' AND h ~ 'tr \{ break-inside: avoid \}'
    AND h ~ '<div class="end"><div class="sums">.*<section class="pay">.*</section>\s*<footer>[^<]*</footer></div>',
  'in print the head repeats, rows stay whole, sums and payment stay together and pages are numbered')
FROM o2c.invoice_html(:c, 1004) h;

-- an electronic order becomes an order
INSERT INTO o2c.product (company_id, code, name, unit_price) VALUES (:c, 'SKU-1', 'Widget', 10);
CREATE FUNCTION pg_temp.ubl_order(id text, buyer text, item text, quantity text, price text) RETURNS xml LANGUAGE sql AS $$
  SELECT format('<Order xmlns="urn:oasis:names:specification:ubl:schema:xsd:Order-2" xmlns:cac="urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2" xmlns:cbc="urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2"><cbc:ID>%s</cbc:ID><cbc:IssueDate>2026-01-15</cbc:IssueDate><cbc:DocumentCurrencyCode>EUR</cbc:DocumentCurrencyCode><cac:BuyerCustomerParty><cac:Party><cac:PartyTaxScheme><cbc:CompanyID>%s</cbc:CompanyID><cac:TaxScheme><cbc:ID>VAT</cbc:ID></cac:TaxScheme></cac:PartyTaxScheme></cac:Party></cac:BuyerCustomerParty><cac:OrderLine><cac:LineItem><cbc:ID>1</cbc:ID><cbc:Quantity unitCode="C62">%s</cbc:Quantity><cac:Price><cbc:PriceAmount currencyID="EUR">%s</cbc:PriceAmount><cbc:BaseQuantity>10</cbc:BaseQuantity></cac:Price><cac:Item><cbc:Name>Widget</cbc:Name><cac:SellersItemIdentification><cbc:ID>%s</cbc:ID></cac:SellersItemIdentification></cac:Item></cac:LineItem></cac:OrderLine></Order>', id, buyer, quantity, price, item)::xml $$;
SELECT o2c.import_ubl_order(:c, pg_temp.ubl_order('PO-7', 'fr 12 345 678 901', 'SKU-1', '3', '95')) AS o \gset
SELECT results_eq(format('SELECT o.code, o.customer_reference, l.quantity, l.unit_price, l.net_amount FROM o2c.sales_order o JOIN o2c.sales_order_line l ON l.company_id = o.company_id AND l.order_id = o.id WHERE o.company_id = %s AND o.id = %s', :c, :o),
  $$VALUES ('PO-7', 'PO-7', 3::numeric, 9.5, 28.50)$$, 'an order from UBL');
SELECT is(o2c.import_ubl_order(:c, pg_temp.ubl_order('PO-7', 'FR12345678901', 'SKU-1', '3', '95')), :o::bigint, 'again: the same order');
SELECT throws_ok(format('SELECT o2c.import_ubl_order(%s, pg_temp.ubl_order(''X'', ''FR0'', ''SKU-1'', ''3'', ''95''))', :c), 'O2003', NULL, 'an unknown buyer');
SELECT throws_like(format('SELECT o2c.import_ubl_order(%s, pg_temp.ubl_order(''X'', ''FR12345678901'', ''SKU-9'', ''3'', ''95''))', :c), '%line 1%SKU-9%', 'an unknown product, by its line');
SELECT throws_like(format('SELECT o2c.import_ubl_order(%s, pg_temp.ubl_order(''X'', ''FR12345678901'', ''SKU-1'', ''-3'', ''95''))', :c), '%line 1%quantity%', 'a negative quantity');
SELECT throws_ok(format('SELECT o2c.import_ubl_order(%s, ''<a/>'')', :c), 'O2006', NULL, 'another document');
SELECT throws_ok(format('SELECT o2c.import_ubl_order(%s, %L)', :c, x), 'O2006', NULL, 'no document, or one that has twice what may be there once')
FROM (VALUES ('<a/><b/>'), ('text'),
  (replace(pg_temp.ubl_order('X', 'FR12345678901', 'SKU-1', '3', '95')::text, '<cac:Price>', '<cbc:Quantity>4</cbc:Quantity><cac:Price>'))) v(x);
SELECT throws_like(format('SELECT o2c.import_ubl_order(%s, replace(pg_temp.ubl_order(''X'', ''FR12345678901'', ''SKU-1'', ''3'', ''95'')::text, ''currencyID="EUR"'', ''currencyID="USD"'')::xml)', :c),
  '%line 1%in USD, the order in EUR%', 'a price in another currency than the order');
SELECT throws_ok(format('SELECT o2c.import_ubl_order(%s, pg_temp.ubl_order(repeat(''X'', 101), ''FR12345678901'', ''SKU-1'', ''3'', ''95''))', :c), 'O2004', NULL, 'a number that would be cut off to another''s');

SELECT is_empty('SELECT * FROM o2c.check()', 'check() is empty');
SELECT * FROM finish();
