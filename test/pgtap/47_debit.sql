-- Debit notes: what an issued document was short of; and what any correction
-- of another document must keep, whoever drafts it.
SELECT plan(38);

SELECT o2c.create_company('Short', 'DE', 'EUR', vat_id => 'DE123456789', street => 'Weg 1', city => 'Berlin', postal_code => '10115') AS c \gset
INSERT INTO o2c.customer (company_id, code, name, country, language) VALUES (:c, 'A', 'Kunde', 'DE', 'de'), (:c, 'B', 'Other', 'DE', 'en');
INSERT INTO o2c.product (company_id, code, name, unit_price, tax_category) VALUES (:c, 'P', 'Paper', 10, 'S'), (:c, 'Q', 'Book', 5, 'AA'), (:c, 'E', 'Insurance', 5, 'E');
CREATE FUNCTION pg_temp.draft(c integer, customer text, lines text, kind text DEFAULT 'invoice', original bigint DEFAULT NULL, currency text DEFAULT 'EUR') RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE i bigint;
BEGIN
  INSERT INTO o2c.invoice (company_id, customer_id, currency, kind, original_id, supply_date) SELECT $1, k.id, $6::o2c.currency, $4, $5, '2020-12-31' FROM o2c.customer k WHERE k.company_id = $1 AND k.code = $2 RETURNING id INTO i;
  INSERT INTO o2c.invoice_line (company_id, invoice_id, line_no, description, quantity, unit_price, discount_percent, currency, tax_category, tax_rate)
  SELECT $1, i, e.n, 'Item ' || e.n, p[1]::numeric, p[2]::numeric, coalesce(p[5]::numeric, 0), $6::o2c.currency, p[3], p[4]::numeric
  FROM unnest(string_to_array($3, ';')) WITH ORDINALITY e(s, n), string_to_array(e.s, ' ') p;
  PERFORM o2c.recalculate_invoice($1, i);
  RETURN i;
END $$;
SELECT pg_temp.draft(:c, 'A', '10 10 S 16;4 5 S 5 10') AS i \gset
SELECT o2c.issue_invoice(:c, :i, '2021-01-10') AS inumber \gset

-- by amount, by quantity, by a price of its own, and something else
SELECT o2c.debit_invoice(:c, :i, '[{"line": 1, "amount": 5.00}, {"line": 2, "quantity": 2}, {"line": 2, "quantity": 3, "unit_price": 1.5},
  {"description": "Express", "amount": 9.90, "tax_category": "S"}, {"description": "Insured", "amount": 1, "tax_category": "E"}]', 'price list of January', '2021-01-11') AS d \gset
SELECT results_eq(format('SELECT line_no, description, quantity, unit_price, discount_percent, net_amount, tax_category, tax_rate, order_line_id, original_line_id FROM o2c.invoice_line WHERE company_id = %s AND invoice_id = %s ORDER BY 1', :c, :d),
  $$VALUES (1, 'Item 1', 1::numeric, 5.00, 0::numeric, 5.00, 'S', 16::numeric, NULL::bigint, NULL::bigint),
           (2, 'Item 2', 2, 5, 10, 9.00, 'S', 5, NULL, NULL),
           (3, 'Item 2', 3, 1.5, 0, 4.50, 'S', 5, NULL, NULL),
           (4, 'Express', 1, 9.90, 0, 9.90, 'S', 16, NULL, NULL),
           (5, 'Insured', 1, 1, 0, 1.00, 'E', 0, NULL, NULL)$$, 'its lines: the tax of their line, or that of the day of supply (16 % in 2020)');
SELECT results_eq(format('SELECT tax_category, tax_rate, base_amount, tax_amount FROM o2c.invoice_tax WHERE company_id = %s AND invoice_id = %s ORDER BY 2', :c, :d),
  -- 13.50 x 5 % = 0.675, rounded away from zero; 14.90 x 16 % = 2.384
  $$VALUES ('E', 0::numeric, 1.00, 0.00), ('S', 5, 13.50, 0.68), ('S', 16, 14.90, 2.38)$$, 'tax once per category and rate');
SELECT results_eq(format('SELECT kind, number, original_id, net_amount, tax_amount, total_amount, open_amount, due_date, reason FROM o2c.invoice WHERE company_id = %s AND id = %s', :c, :d),
  format($$VALUES ('debit_note', 'DN2021-000001', %s::bigint, 29.40, 3.06, 32.46, 32.46, date '2021-02-10', 'price list of January')$$, :i), 'the document, in a series of its own');
SELECT results_eq(format('SELECT kind::text, number, amount, open_amount, due_date FROM o2c.open_item WHERE company_id = %s AND invoice_id = %s', :c, :d),
  $$VALUES ('debit_note', 'DN2021-000001', 32.46, 32.46, date '2021-02-10')$$, 'its open item');
SELECT is((SELECT total FROM o2c.aging(:c, '2021-03-31') WHERE customer_code = 'A'), 167.36 + 0, 'aged with the invoice: 134.90 + 32.46');
SELECT is((SELECT open_items FROM o2c.credit_exposure(:c, 'A')), 167.36, 'and exposed');

-- its electronic form and its page
CREATE FUNCTION pg_temp.x(doc xml, path text) RETURNS text LANGUAGE sql AS $$ SELECT (xpath('string(' || path || ')', doc, ARRAY[ARRAY['i', 'urn:oasis:names:specification:ubl:schema:xsd:Invoice-2'],
  ARRAY['a', 'urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2'], ARRAY['b', 'urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2']]))[1]::text $$;
SELECT is(pg_temp.x(u, '/i:Invoice/b:InvoiceTypeCode'), '383', 'UBL: an Invoice of type 383')  FROM o2c.invoice_ubl(:c, :d) u;
SELECT is(pg_temp.x(u, '/i:Invoice/a:BillingReference/a:InvoiceDocumentReference/b:ID') || ' ' || pg_temp.x(u, '//a:BillingReference//b:IssueDate'), :'inumber' || ' 2021-01-10', 'that names what it corrects') FROM o2c.invoice_ubl(:c, :d) u;
SELECT is(pg_temp.x(u, '//a:LegalMonetaryTotal/b:PayableAmount') || ' ' || pg_temp.x(u, '/i:Invoice/b:DueDate') || ' ' || pg_temp.x(u, '/i:Invoice/b:Note'), '32.46 2021-02-10 price list of January', 'with what is to be paid and why') FROM o2c.invoice_ubl(:c, :d) u;
SELECT ok(h LIKE '%Belastungsanzeige DN2021-000001%' AND h LIKE '%Zu Rechnung%' || :'inumber' || '%' AND h LIKE '%price list of January%', 'a page in the customer''s language') FROM o2c.invoice_html(:c, :d) h;

-- it is paid, credited and reminded of as an invoice
SELECT o2c.credit_invoice(:c, :d, '[{"line": 4}]', 'not agreed', '2021-01-12') \g /dev/null
SELECT is((SELECT open_amount FROM o2c.invoice WHERE company_id = :c AND id = :d), 20.98, 'a debit note can be credited: 32.46 - 9.90 x 1.16');
SELECT o2c.apply_payment(:c, o2c.record_payment(:c, 'A', 20.98, 'EUR', '2021-01-13'), 'DN2021-000001') IS NOT NULL \g /dev/null
SELECT is((SELECT state::text FROM o2c.invoice WHERE company_id = :c AND id = :d), 'paid', 'and paid');
-- a credit note that was too high is corrected by a debit note
SELECT o2c.credit_invoice(:c, :i, '[{"line": 1, "quantity": 2}]', NULL, '2021-01-13') AS n \gset
SELECT o2c.debit_invoice(:c, :n, '[{"line": 1, "quantity": 1}]', 'only one came back', '2021-01-13') AS dn \gset
SELECT is((SELECT net_amount || ' ' || tax_amount FROM o2c.invoice WHERE company_id = :c AND id = :dn), '10.00 1.60', 'a debit note to a credit note');
SELECT throws_ok(format('SELECT o2c.credit_invoice(%s, %s)', :c, :n), 'O2010', NULL, 'which itself is not credited');

-- bad input
SELECT throws_ok(format('SELECT o2c.debit_invoice(%s, %s, %L, NULL, ''2021-01-14'')', :c, :i, l), 'O2004', NULL, 'not understood: ' || coalesce(l, 'NULL'))
FROM unnest(ARRAY[NULL, '[]', '{}', '[1]', '[{"line": 9, "amount": 1}]', '[{"line": 1}]', '[{"line": 1, "amount": 0}]', '[{"line": 1, "amount": 0.001}]', '[{"line": 1, "amount": 1, "quantity": 1}]',
  '[{"line": 1, "quantity": -1}]', '[{"line": 1, "quantity": "NaN"}]', '[{"description": "x", "quantity": 1}]', '[{"line": 1, "description": "x", "amount": 1}]', '[{"description": " ", "amount": 1}]']) l;
SELECT throws_ok(format($$SELECT o2c.debit_invoice(%s, %s, '[{"description": "x", "amount": 1, "tax_category": "?"}]', NULL, '2021-01-14')$$, :c, :i), 'O2033', NULL, 'a category that is none');
SELECT throws_ok(format($$SELECT o2c.debit_invoice(%s, %s, '[{"line": 1, "amount": 1}]', NULL, '2021-01-09')$$, :c, :i), 'O2032', NULL, 'older than its invoice');
SELECT throws_ok(format($$SELECT o2c.debit_invoice(%s, 999999, '[{"line": 1, "amount": 1}]')$$, :c), 'O2003', NULL, 'of nothing');
SELECT throws_ok(format($$SELECT o2c.debit_invoice(%s, %s, '[{"line": 1, "amount": 1}]')$$, :c, pg_temp.draft(:c, 'A', '1 1 S 19')), 'O2010', NULL, 'of a draft');

-- drafted by hand: the same rules
CREATE FUNCTION pg_temp.refused(c integer, i bigint, detail text, name text, on_date date DEFAULT '2021-02-01') RETURNS text LANGUAGE plpgsql AS $$
DECLARE d text := 'issued';
BEGIN
  BEGIN PERFORM o2c.issue_invoice(c, i, on_date); EXCEPTION WHEN SQLSTATE 'O2033' THEN GET STACKED DIAGNOSTICS d = PG_EXCEPTION_DETAIL; END;
  RETURN ok(d LIKE detail, name || ': ' || d);
END $$;
SELECT pg_temp.refused(:c, pg_temp.draft(:c, 'B', '1 1 S 16', k, :i), 'It is another customer%', k || ' of another customer') FROM unnest('{credit_note,debit_note}'::text[]) k;
SELECT pg_temp.refused(:c, pg_temp.draft(:c, 'A', '1 8.01 S 16;9 8 S 16', 'credit_note', :i), 'Of tax category S at 16 \%, credits would be 100.01%', 'more than is left of a category');
SELECT pg_temp.refused(:c, pg_temp.draft(:c, 'A', '1 1 S 19', 'credit_note', :i), '%the invoice has 0 with tax of 0.', 'a rate that the invoice has not');
SELECT is(o2c.issue_invoice(:c, pg_temp.draft(:c, 'A', '1 80 S 16', 'credit_note', :i), '2021-02-01'), 'CN2021-000003', 'all that is left of a category');

SELECT is_empty('SELECT * FROM o2c.check()', 'check() is empty');
SELECT * FROM finish();
