-- Invoices: arithmetic, issuing, immutability, credit notes, bad input.
SELECT plan(81);

SELECT o2c.create_company('Seller', 'DE', 'EUR', vat_id => 'DE123456789') AS c \gset
INSERT INTO o2c.customer (company_id, code, name, country, vat_id) VALUES (:c, 'A', 'Customer', 'DE', NULL), (:c, 'F', 'Client', 'FR', 'FR12345678901');
INSERT INTO o2c.exchange_rate VALUES (:c, 'USD', 'EUR', '2026-01-01', 0.9), (:c, 'USD', 'EUR', '2026-02-01', 0.8);
-- a draft with lines (quantity, price, category, rate)
CREATE FUNCTION pg_temp.draft(c integer, customer text, currency text, lines text, kind text DEFAULT 'invoice') RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE i bigint;
BEGIN
  INSERT INTO o2c.invoice (company_id, customer_id, currency, kind) SELECT $1, k.id, $3::o2c.currency, $5 FROM o2c.customer k WHERE k.company_id = $1 AND k.code = $2 RETURNING id INTO i;
  INSERT INTO o2c.invoice_line (company_id, invoice_id, line_no, description, quantity, unit_price, currency, tax_category, tax_rate, exemption_reason)
  SELECT $1, i, e.n, 'Item ' || e.n, p[1]::numeric, p[2]::numeric, $3::o2c.currency, p[3], p[4]::numeric, CASE WHEN p[3] NOT IN ('S', 'Z') THEN 'because' END
  FROM unnest(string_to_array($4, ';')) WITH ORDINALITY e(s, n), string_to_array(e.s, ' ') p WHERE $4 <> '';
  RETURN i;
END $$;

------------------------------------------------------------------ arithmetic
SELECT pg_temp.draft(:c, 'A', 'EUR', '1 0.33 S 19;1 0.33 S 19;1 0.33 S 19') AS i1 \gset
SELECT is(o2c.issue_invoice(:c, :i1, '2026-01-10'), 'INV2026-000001', 'the first number');
SELECT is(o2c.issue_invoice(:c, :i1), 'INV2026-000001', 'again: the same');
SELECT results_eq(format('SELECT net_amount, tax_amount, total_amount, open_amount, payment_reference::text FROM o2c.invoice WHERE company_id = %s AND id = %s', :c, :i1),
  $$VALUES (0.99, 0.19, 1.18, 1.18, 'RF94INV2026000001')$$, 'three lines of 0.33 at 19 %: tax 0.19, once per category');
SELECT results_eq(format('SELECT number, amount, open_amount, due_date, structured_ref FROM o2c.open_item WHERE company_id = %s AND invoice_id = %s', :c, :i1),
  $$VALUES ('INV2026-000001', 1.18, 1.18, date '2026-02-09', 'RF94INV2026000001')$$, 'its open item');
SELECT results_eq(format($$SELECT l.kind::text, l.amount, l.effective_on FROM o2c.ledger_entry l WHERE l.company_id = %s$$, :c),
  $$VALUES ('invoice', 1.18, date '2026-01-10')$$, 'its ledger entry');

-- discounts and allowances, line and document; the same rate twice is one category
SELECT pg_temp.draft(:c, 'A', 'EUR', '2.5 13.333333 S 19;1 100 S 7;3 10 S 19.00') AS i2 \gset
UPDATE o2c.invoice_line SET discount_percent = 10 WHERE company_id = :c AND invoice_id = :i2 AND line_no = 1;
UPDATE o2c.invoice_line SET allowance_amount = 5, charge_amount = 2.5 WHERE company_id = :c AND invoice_id = :i2 AND line_no = 2;
INSERT INTO o2c.invoice_allowance (company_id, invoice_id, charge, currency, amount, reason, tax_category, tax_rate)
VALUES (:c, :i2, false, 'EUR', 3, 'Rebate', 'S', 19), (:c, :i2, true, 'EUR', 6.5, 'Freight', 'S', 7);
SELECT is(o2c.recalculate_invoice(:c, :i2), 179.11::numeric, 'a draft can be recalculated');
SELECT results_eq(format('SELECT tax_rate, base_amount, tax_amount FROM o2c.invoice_tax WHERE company_id = %s AND invoice_id = %s ORDER BY 1', :c, :i2),
  $$VALUES (7::numeric, 104.00, 7.28), (19, 57.00, 10.83)$$, 'bases with allowances and charges');
SELECT results_eq(format('SELECT line_total, allowance_total, charge_total, net_amount, tax_amount, total_amount FROM o2c.invoice WHERE company_id = %s AND id = %s', :c, :i2),
  $$VALUES (157.50, 3.00::numeric, 6.50::numeric, 161.00, 18.11, 179.11)$$, 'totals');
-- rounding half away from zero, in four minor units
CREATE FUNCTION pg_temp.net(c integer, currency text, line text) RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE i bigint := pg_temp.draft(c, 'A', currency, line); n numeric;
BEGIN SELECT net_amount INTO n FROM o2c.invoice_line WHERE company_id = c AND invoice_id = i; PERFORM o2c.drop_draft(c, i); RETURN n; END $$;
SELECT is(pg_temp.net(:c, 'EUR', '1 0.005 S 19'), 0.01, 'half a cent is one');
SELECT is(pg_temp.net(:c, 'EUR', '-1 0.005 S 19'), -0.01, 'away from zero');
SELECT is(pg_temp.net(:c, 'JPY', '3 33.5 S 19'), 101::numeric, 'yen have no decimals');
SELECT is(pg_temp.net(:c, 'KWD', '1 1.0005 S 19'), 1.001, 'dinars have three');
SELECT is(pg_temp.net(:c, 'CLF', '1 1.00005 S 19'), 1.0001, 'unidades de fomento have four');
SELECT is(o2c.issue_invoice(:c, :i2, '2026-01-10'), 'INV2026-000002', 'issued');
DELETE FROM o2c.invoice i WHERE i.company_id = :c AND i.state = 'draft';

-- prices that include tax are what is paid
SELECT pg_temp.draft(:c, 'A', 'EUR', '1 0 S 19;2 0 S 19;3 0 S 7') AS i3 \gset
UPDATE o2c.invoice SET prices_include_tax = true WHERE company_id = :c AND id = :i3;
UPDATE o2c.invoice_line SET gross_price = 9.99 WHERE company_id = :c AND invoice_id = :i3;
SELECT is(o2c.recalculate_invoice(:c, :i3), 59.94, 'six pieces of 9.99 are 59.94');
SELECT is((SELECT total_amount + rounding_amount FROM o2c.invoice WHERE company_id = :c AND id = :i3), 59.94, 'with a rounding amount');
-- cash rounding
UPDATE o2c.company SET settings = '{"invoice": {"cash_rounding": {"CHF": 0.05}}}' WHERE company_id = :c;
INSERT INTO o2c.exchange_rate VALUES (:c, 'CHF', 'EUR', '2026-01-01', 1.1);
SELECT is(o2c.recalculate_invoice(:c, pg_temp.draft(:c, 'A', 'CHF', '1 10.03 S 0.0001')), 10.05, 'francs are paid in steps of 0.05');
-- another currency: tax in the company's own, by the rate of the day
SELECT pg_temp.draft(:c, 'A', 'USD', '1 100 S 19') AS i4 \gset
SELECT isnt(o2c.issue_invoice(:c, :i4, '2026-01-31'), NULL, 'an invoice in dollars');
SELECT results_eq(format('SELECT tax_currency::text, exchange_rate, tax_amount_base FROM o2c.invoice WHERE company_id = %s AND id = %s', :c, :i4),
  $$VALUES ('EUR', 0.9, 17.10)$$, 'its tax in euro');
SELECT is((SELECT state::text FROM o2c.invoice WHERE company_id = :c AND id = :i3), 'draft', 'others stay drafts');

------------------------------------------------------------------ bad input
SELECT last_number AS n FROM o2c.number_counter WHERE company_id = :c AND series = 'invoice' \gset
CREATE FUNCTION pg_temp.refused(c integer, i bigint, state text, message text, name text, on_date date DEFAULT '2026-02-01') RETURNS text LANGUAGE sql AS
$$ SELECT throws_like(format('SELECT o2c.issue_invoice(%s, %s, %L)', c, i, on_date), message, name) $$;
SELECT pg_temp.refused(:c, pg_temp.draft(:c, 'A', 'EUR', ''), 'O2033', '%BR-16%', 'an empty invoice');
SELECT pg_temp.refused(:c, pg_temp.draft(:c, 'A', 'EUR', '-1 10 S 19'), 'O2033', '%negative%', 'a negative total');
SELECT pg_temp.refused(:c, pg_temp.draft(:c, 'A', 'EUR', '1 -10 S 19;1 20 S 19'), 'O2033', '%BR-27%', 'a negative price');
SELECT pg_temp.refused(:c, pg_temp.draft(:c, 'A', 'EUR', '1 10 X 19'), 'O2033', '%BR-CL-18%', 'a category that is none');
SELECT pg_temp.refused(:c, pg_temp.draft(:c, 'A', 'EUR', '1 10 S 0'), 'O2033', '%BR-S-05%', 'standard rate of zero');
SELECT pg_temp.refused(:c, pg_temp.draft(:c, 'A', 'EUR', '1 10 E 19'), 'O2033', '%BR-E-05%', 'exempt with a rate');
SELECT pg_temp.refused(:c, pg_temp.draft(:c, 'A', 'EUR', '1 10 O 0;1 10 S 19'), 'O2033', '%BR-O-12%', 'not subject beside others');
SELECT pg_temp.refused(:c, pg_temp.draft(:c, 'A', 'EUR', '1 10 K 0'), 'O2033', '%BR-IC-02%', 'intra-community without a VAT id');
SELECT pg_temp.refused(:c, pg_temp.draft(:c, 'A', 'EUR', '1 10 AE 0'), 'O2033', '%BR-AE-02%', 'reverse charge without a VAT id');
SELECT pg_temp.draft(:c, 'F', 'EUR', '1 10 K 0') AS k \gset
UPDATE o2c.invoice_line SET exemption_reason = NULL WHERE company_id = :c AND invoice_id = :k;
SELECT pg_temp.refused(:c, :k, 'O2033', '%BR-IC-10%', 'no reason of exemption');
SELECT pg_temp.draft(:c, 'A', 'EUR', '1 10 S 19') AS ok \gset
SELECT pg_temp.refused(:c, :ok, 'O2032', '%before the last one%', 'a date before the last one', '2026-01-30');
SELECT pg_temp.refused(:c, :ok, 'O2044', '%finite%', 'no date', 'infinity');
UPDATE o2c.company SET settings = settings || '{"books": {"closed_until": "2026-02-28"}}' WHERE company_id = :c;
SELECT pg_temp.refused(:c, :ok, 'O2031', '%closed until%', 'a closed period');
UPDATE o2c.company SET settings = settings - 'books' WHERE company_id = :c;
SELECT throws_ok(format('SELECT o2c.issue_invoice(%s, 999999)', :c), 'O2003', NULL, 'an invoice that is not there');
SELECT throws_ok('SELECT o2c.issue_invoice(0, 1)', 'O2002', NULL, 'a company that is not there');
SELECT throws_ok(format('SELECT pg_temp.draft(%s, ''A'', ''EUX'', '''')', :c), 'O2042', NULL, 'an unknown currency');
SELECT throws_ok(format('SELECT o2c.issue_invoices(%s, ARRAY[%s, 999999]::bigint[], ''2026-02-01'')', :c, :ok), 'O2003', NULL, 'a list with one that is not there');
UPDATE o2c.invoice SET series = 'nowhere' WHERE company_id = :c AND id = :ok;
SELECT pg_temp.refused(:c, :ok, 'O2032', '%no number series%', 'a series that is not there');
SELECT is((SELECT last_number FROM o2c.number_counter WHERE company_id = :c AND series = 'invoice'), :n::bigint, 'no number was drawn by any of them');
DELETE FROM o2c.invoice WHERE company_id = :c AND state = 'draft';

---------------------------------------------------------------- immutability
SELECT throws_ok(format('UPDATE o2c.invoice SET %I = %s WHERE company_id = %s AND number = ''INV2026-000001''', col, val, :c), 'O2030', NULL, col || ' of an issued invoice')
FROM (VALUES ('net_amount', '2'), ('open_amount', '0'), ('state', '''paid'''), ('number', '''X'''), ('issue_date', '''2026-03-01'''), ('note', '''x'''), ('customer_id', 'customer_id + 1')) v(col, val);
SELECT throws_ok(format('DELETE FROM o2c.invoice WHERE company_id = %s', :c), 'O2030', NULL, 'delete');
SELECT throws_ok('TRUNCATE o2c.invoice CASCADE', 'O2030', NULL, 'truncate');
SELECT throws_ok(format('%s WHERE company_id = %s', dml, :c), 'O2030', NULL, dml)
FROM unnest(ARRAY['UPDATE o2c.invoice_line SET quantity = 2', 'UPDATE o2c.invoice_line SET description = ''x''', 'DELETE FROM o2c.invoice_line',
  'UPDATE o2c.invoice_tax SET tax_amount = 0', 'DELETE FROM o2c.invoice_tax', 'DELETE FROM o2c.invoice_allowance', 'UPDATE o2c.invoice_allowance SET amount = 1']) dml;
SELECT throws_ok(format($$INSERT INTO o2c.invoice_line (company_id, invoice_id, line_no, description, quantity, unit_price, currency, tax_category) VALUES (%s, %s, 9, 'x', 1, 1, 'EUR', 'S')$$, :c, :i1), 'O2030', NULL, 'a further line');
SELECT throws_ok(format($$INSERT INTO o2c.invoice_tax (company_id, invoice_id, tax_category, tax_rate, currency, base_amount, tax_amount) VALUES (%s, %s, 'Z', 0, 'EUR', 0, 0)$$, :c, :i1), 'O2030', NULL, 'a further tax');
SELECT pg_temp.draft(:c, 'A', 'EUR', '1 10 S 19') AS d \gset
SELECT throws_ok(format($$UPDATE o2c.invoice_line SET invoice_id = %s, line_no = 7 WHERE company_id = %s AND invoice_id = %s$$, :i1, :c, :d), 'O2030', NULL, 'a line moved to an issued invoice');
SELECT throws_ok(format($$UPDATE o2c.invoice SET state = 'issued', number = 'INV2026-000009', series = 'invoice', issue_date = '2026-02-01', sequence_no = 9, sequence_period = '2026-01-01' WHERE company_id = %s AND id = %s$$, :c, :d), 'O2010', NULL, 'a number that was not drawn');
SELECT throws_ok(format($$INSERT INTO o2c.invoice (company_id, customer_id, currency, state, number) SELECT company_id, customer_id, 'EUR', 'issued', 'X' FROM o2c.invoice WHERE company_id = %s LIMIT 1$$, :c), 'O2010', NULL, 'an invoice born issued');
SELECT throws_ok(format('UPDATE o2c.number_counter SET last_number = 0 WHERE company_id = %s', :c), 'O2030', NULL, 'the counter');
SELECT is(o2c.void_invoice(:c, :d, 'printed twice', '2026-02-01'), 'INV2026-000004', 'a void document keeps a number');
SELECT throws_ok(format('UPDATE o2c.invoice SET number = NULL WHERE company_id = %s AND id = %s', :c, :d), 'O2030', NULL, 'for ever');

---------------------------------------------------------------- credit notes
SELECT pg_temp.draft(:c, 'A', 'EUR', '3 0.35 S 19;10 1.00 S 7') AS o \gset
SELECT o2c.issue_invoice(:c, :o, '2026-02-01') AS onum \gset
SELECT o2c.credit_invoice(:c, :o, '[{"line": 1, "quantity": 1}]', 'one back', '2026-02-02') AS n1 \gset
SELECT results_eq(format('SELECT number, kind, net_amount, tax_amount, original_id, reason FROM o2c.invoice WHERE company_id = %s AND id = %s', :c, :n1),
  format($$VALUES ('CN2026-000001', 'credit_note', 0.35, 0.07, %s::bigint, 'one back')$$, :o), 'a credit note of one piece');
SELECT o2c.credit_invoice(:c, :o, '[{"line": 1, "quantity": 1}, {"line": 2, "amount": 2.50}]', NULL, '2026-02-02') AS n2 \gset
SELECT throws_ok(format($$SELECT o2c.credit_invoice(%s, %s, '[{"line": 1, "quantity": 2}]', NULL, '2026-02-02')$$, :c, :o), 'O2033', NULL, 'more than what is left of a line');
SELECT throws_ok(format($$SELECT o2c.credit_invoice(%s, %s, '[{"line": 2, "amount": 7.51}]', NULL, '2026-02-02')$$, :c, :o), 'O2033', NULL, 'by a cent');
SELECT throws_ok(format($$SELECT o2c.credit_invoice(%s, %s, %L, NULL, '2026-02-02')$$, :c, :o, l), 'O2004', NULL, 'not understood: ' || l)
FROM unnest(ARRAY['[]', '{}', '[{"line": 9}]', '[{"line": 1, "quantity": -1}]', '[{"line": 1, "amount": 0.001}]', '[{"line": 1, "quantity": "NaN"}]', '[1]']) l;
SELECT throws_ok(format($$SELECT o2c.credit_invoice(%s, %s, NULL, NULL, '2026-01-31')$$, :c, :o), 'O2032', NULL, 'older than its invoice');
SELECT o2c.credit_invoice(:c, :o, NULL, 'the rest', '2026-02-03') AS n3 \gset
SELECT results_eq(format('SELECT sum(net_amount), sum(tax_amount) FROM o2c.invoice WHERE company_id = %s AND original_id = %s', :c, :o),
  $$VALUES (11.05, 0.90)$$, 'all credits are the invoice, to the cent of tax');
SELECT is((SELECT state || ' ' || open_amount FROM o2c.invoice WHERE company_id = :c AND id = :o), 'credited 0.00', 'which is credited');
SELECT throws_ok(format('SELECT o2c.credit_invoice(%s, %s, NULL, NULL, ''2026-02-04'')', :c, :o), 'O2033', NULL, 'nothing is left');
SELECT throws_ok(format('SELECT o2c.credit_invoice(%s, %s, NULL, NULL, ''2026-02-04'')', :c, :n3), 'O2010', NULL, 'a credit note is not credited');

-- nothing to pay is paid
SELECT pg_temp.draft(:c, 'A', 'EUR', '1 0 S 19') AS free \gset
SELECT o2c.issue_invoice(:c, :free, '2026-12-31') \g /dev/null
SELECT is((SELECT (state, open_amount, number IS NOT NULL)::text FROM o2c.invoice WHERE company_id = :c AND id = :free), '(paid,0,t)', 'an invoice of zero is paid when it is issued');
SELECT is((SELECT array_agg(event ORDER BY id) FROM o2c.event WHERE company_id = :c AND entity = 'invoice' AND entity_id = :free), '{issue,settle}', 'and both moves are noted');

SELECT is_empty('SELECT * FROM o2c.check()', 'check() is empty');
SELECT * FROM finish();
