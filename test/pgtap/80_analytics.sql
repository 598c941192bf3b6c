-- Ratios with their vectors, statements, journal, revaluation, snapshots, views.
BEGIN;
SELECT plan(68);
CREATE TEMPORARY TABLE ctx AS SELECT o2c.create_company('Ratios', 'DE', 'EUR') AS c;
INSERT INTO o2c.customer (company_id, code, name) SELECT c, code, code FROM ctx, unnest('{A,B}'::text[]) code;
CREATE FUNCTION pg_temp.add(number text, kind text, customer text, doc date, due date, amount numeric, cur text DEFAULT 'EUR') RETURNS bigint LANGUAGE sql AS $$
  INSERT INTO o2c.open_item (company_id, customer_id, kind, number, document_date, due_date, currency, amount, open_amount)
  SELECT c, k.id, kind::o2c.item_kind, $1, doc, due, cur::o2c.currency, amount, amount FROM ctx JOIN o2c.customer k ON k.company_id = c AND k.code = customer RETURNING id $$;
CREATE FUNCTION pg_temp.apply(debit text, credit text, amount numeric, eff date) RETURNS bigint LANGUAGE sql AS $$
  INSERT INTO o2c.allocation (company_id, debit_item_id, credit_item_id, currency, amount, effective_on)
  SELECT c, d.id, k.id, d.currency, $3, eff FROM ctx JOIN o2c.open_item d ON d.company_id = c AND d.number = $1
  JOIN o2c.open_item k ON k.company_id = c AND k.number = $2 RETURNING id $$;

-- receivables 200 at the start, 250 at the end of which 180 not overdue; sales 110, 100, 120
SELECT pg_temp.add('D0', 'invoice', 'A', '2022-12-15', '2023-01-14', 200);
SELECT pg_temp.add('J', 'invoice', 'A', '2023-01-10', '2023-02-09', 110);
SELECT pg_temp.add('F', 'invoice', 'A', '2023-02-10', '2023-04-11', 100);
SELECT pg_temp.add('M', 'invoice', 'B', '2023-03-10', '2023-04-09', 120);
SELECT pg_temp.add('P1', 'on_account', 'A', '2023-02-01', '2023-02-01', -200);
SELECT pg_temp.add('P2', 'on_account', 'A', '2023-03-01', '2023-03-01', -80);
SELECT pg_temp.apply('D0', 'P1', 200, '2023-02-01');
SELECT pg_temp.apply('J', 'P2', 40, '2023-03-01');
SELECT pg_temp.apply('F', 'P2', 40, '2023-03-01');
SELECT is(round(o2c.dso(c, '2023-01-01', '2023-03-31', 'simple'), 2), 68.18, 'DSO') FROM ctx;
SELECT is(o2c.dso(c, '2023-01-01', '2023-03-31', 'countback'), 67.45, 'countback DSO') FROM ctx;
SELECT is(o2c.dso(c, '2023-01-01', '2023-03-31', 'best_possible'), 49.09, 'best possible DSO') FROM ctx;
SELECT is(o2c.dso(c, '2023-01-01', '2023-03-31', 'add'), 19.09, 'ADD') FROM ctx;
SELECT is(o2c.cei(c, '2023-01-01', '2023-03-31'), 80.00, 'CEI') FROM ctx;
SELECT is(o2c.dso(c, '2030-01-01', '2030-03-31'), NULL, 'no sales, no DSO') FROM ctx;
SELECT throws_ok(format($$SELECT o2c.dso(%s, '2023-02-01', '2023-01-01')$$, c), 'O2044', NULL, 'dates in order') FROM ctx;
SELECT throws_ok(format($$SELECT o2c.dso(%s, '2023-01-01', '2023-02-01', 'guess')$$, c), 'O2004', NULL, 'a known method') FROM ctx;
-- 200 paid 18 days late, 40 paid 20 days late, 40 paid 41 days early
SELECT is(o2c.average_days_late(c, '2023-01-01', '2023-03-31'), round((200 * 18 + 40 * 20 - 40 * 41) / 280.0, 2), 'average days late by amount') FROM ctx;

-- statements
SELECT results_eq(format($$SELECT kind, number, debit, credit, balance FROM o2c.statement_of_account(%s, 'A', '2023-02-01', '2023-02-28')$$, c),
  $$VALUES ('opening balance', NULL, NULL::numeric, NULL::numeric, 310::numeric), ('receipt', 'P1', NULL, 200, 110), ('invoice', 'F', 100, NULL, 210)$$, 'a statement runs its balance') FROM ctx;
SELECT results_eq(format($$SELECT number, open_amount, balance, days_overdue FROM o2c.statement_of_open_items(%s, 'A', '2023-02-28')$$, c),
  $$VALUES ('J', 110::numeric, 110::numeric, 19), ('F', 100, 210, 0)$$, 'open items of a past date') FROM ctx;
SELECT is((SELECT balance FROM o2c.statement_of_account(c, 'A', '2023-01-01', '2023-12-31') ORDER BY line_no DESC LIMIT 1),
          (SELECT total FROM o2c.aging(c, '2023-12-31', customer => 'A')), 'the last balance is the aging total') FROM ctx;
SELECT throws_ok(format($$SELECT * FROM o2c.statement_of_account(%s, 'nobody', '2023-02-01', '2023-02-28')$$, c), 'O2003', NULL, 'a customer') FROM ctx;

-- forecast: what is due and the customer's habit
SELECT is((SELECT sum(expected) FROM o2c.cash_forecast(c, '2023-03-31', 26)), 250::numeric, 'all that is open is expected some time') FROM ctx;
SELECT throws_ok(format($$SELECT * FROM o2c.cash_forecast(%s, '2023-03-31', 0)$$, c), 'O2004', NULL, 'some weeks') FROM ctx;

-- days late cost (200 * 18 + 40 * 20 - 40 * 41) * 8 % / 365, nothing was invoiced in this database
SELECT is((SELECT row(revenue, discounts, written_off, cost_of_days_late, result)::text FROM o2c.customer_profitability(c, '2023-01-01', '2023-03-31') WHERE customer_code = 'A'),
  '(0,0,0,0.60,-0.60)', 'paying late costs') FROM ctx;
SELECT throws_ok(format($$SELECT * FROM o2c.customer_profitability(%s, '2023-01-01', '2023-03-31', 101)$$, c), 'O2004', NULL, 'at a percentage') FROM ctx;

-- journal
SELECT is((SELECT array_agg(DISTINCT d) FROM (SELECT sum(debit) - sum(credit) AS d FROM o2c_bi.journal, ctx WHERE company_id = c GROUP BY document_kind, document_id) x),
  '{0}'::numeric[], 'every document balances');
SELECT is((SELECT sum(debit) - sum(credit) FROM o2c_bi.journal, ctx WHERE company_id = c AND purpose IN ('receivable', 'unapplied', 'unidentified')),
  (SELECT sum(amount) FROM o2c.ledger_entry, ctx WHERE company_id = c), 'control accounts are the ledger');
SELECT ok(count(*) > 0, 'an export has the accounts') FROM ctx, o2c.export_journal(c, '2023-01-01', '2023-12-31') WHERE account = '1200';

-- exchange: invoice at 0.90, paid at 0.95; the receipt is worth 5 more
INSERT INTO o2c.exchange_rate (company_id, from_currency, to_currency, valid_from, rate)
SELECT c, 'USD', 'EUR', d::date, r FROM ctx, (VALUES ('2023-01-01', 0.90), ('2023-06-15', 0.95), ('2023-06-30', 1.00)) v(d, r);
SELECT pg_temp.add('U1', 'invoice', 'B', '2023-06-01', '2023-07-01', 100.00, 'USD');
SELECT pg_temp.add('U2', 'invoice', 'B', '2023-06-01', '2023-07-01', 33.33, 'USD');
SELECT pg_temp.add('UP', 'on_account', 'B', '2023-06-20', '2023-06-20', -100, 'USD');
SELECT pg_temp.apply('U1', 'UP', 33.33, '2023-06-20');
SELECT pg_temp.apply('U1', 'UP', 33.33, '2023-06-20');
SELECT pg_temp.apply('U1', 'UP', 33.34, '2023-06-20');
SELECT is((SELECT sum(base_credit) - sum(base_debit) FROM o2c_bi.journal, ctx WHERE company_id = c AND purpose = 'exchange'), 5.00, 'the realised difference is a gain of 5');
SELECT is((SELECT sum(base_debit) - sum(base_credit) FROM o2c_bi.journal, ctx WHERE company_id = c AND number = 'U1' AND purpose = 'receivable'), 0.00, 'a cleared item ends at zero in both currencies');
SELECT is(o2c.revalue(c, '2023-06-30'), 4::bigint, 'one balance is revalued and reversed') FROM ctx;
SELECT is(o2c.revalue(c, '2023-06-30'), 0::bigint, 'once') FROM ctx;
SELECT is((SELECT sum(base_debit) FROM o2c.journal_line, ctx WHERE company_id = c AND posted_on = '2023-06-30'), 3.33, '33.33 USD are worth 3.33 more');
SELECT is((SELECT sum(base_debit - base_credit) FROM o2c.journal_line, ctx WHERE company_id = c AND purpose = 'receivable'), 0.00, 'the reversal takes it back');
SAVEPOINT s;
SELECT throws_ok($$INSERT INTO o2c.journal_line (company_id, document_id, posted_on, purpose, currency, base_debit) SELECT c, 1, '2023-07-01', 'cash', 'EUR', 5 FROM ctx;
  SET CONSTRAINTS ALL IMMEDIATE$$, 'O2034', NULL, 'a document that does not balance is refused at commit');
ROLLBACK TO s;
SELECT throws_ok('UPDATE o2c.journal_line SET base_debit = 1', 'O2030', NULL, 'journal lines are append-only');

-- a rate that is corrected later changes nothing that was posted
CREATE TEMPORARY TABLE booked AS SELECT * FROM o2c_bi.journal WHERE company_id = (SELECT c FROM ctx);
SELECT is((SELECT array_agg(DISTINCT base_rate) FROM o2c.open_item, ctx WHERE company_id = c AND number IN ('U1', 'U2')), '{0.90}', 'an item keeps the rate of its date');
SAVEPOINT s;
INSERT INTO o2c.company (name, country, currency) VALUES ('Rates too', 'US', 'USD');
INSERT INTO o2c.customer (company_id, code, name) SELECT max(company_id), 'A', 'A' FROM o2c.company;
INSERT INTO o2c.exchange_rate (company_id, from_currency, to_currency, valid_from, rate)
SELECT r.c, f, t, d, rate FROM (SELECT c, 'CHF', 'EUR', '2023-01-01'::date, 1.01 FROM ctx UNION ALL SELECT c, 'CHF', 'EUR', '2023-02-01', 1.02 FROM ctx
  UNION ALL SELECT c, 'EUR', 'GBP', '2023-01-01', 0.8 FROM ctx UNION ALL SELECT max(company_id), 'CHF', 'USD', '2023-01-01', 1.1 FROM o2c.company) r (c, f, t, d, rate);
CREATE FUNCTION pg_temp.many(prefix text) RETURNS SETOF text LANGUAGE sql AS $$
  WITH i AS (INSERT INTO o2c.open_item (company_id, customer_id, kind, number, document_date, due_date, currency, amount, open_amount)
    SELECT k.company_id, k.id, 'opening', prefix || n, d, d, cur::o2c.currency, 1, 1
    FROM (SELECT row_number() OVER (), d.*, cur FROM (VALUES ('2023-01-31'::date), ('2023-02-01'), ('2022-12-31')) d (d), unnest('{CHF,EUR,GBP,SEK,CHF}'::text[]) cur) r (n, d, cur)
    JOIN o2c.customer k ON k.code = 'A' AND (k.company_id = (SELECT c FROM ctx) OR k.company_id = (SELECT max(company_id) FROM o2c.company))
    RETURNING company_id, currency, document_date, base_rate)
  SELECT DISTINCT format('%s %s %s %s', company_id = (SELECT c FROM ctx), currency, document_date, round(base_rate, 3)) FROM i $$;
SELECT bag_eq('SELECT * FROM pg_temp.many($$R$$)', $$SELECT * FROM unnest(ARRAY[
  't CHF 2023-01-31 1.010', 't CHF 2023-02-01 1.020', 't CHF 2022-12-31 ', 't GBP 2023-01-31 1.250', 't GBP 2023-02-01 1.250', 't GBP 2022-12-31 ',
  't EUR 2023-01-31 ', 't EUR 2023-02-01 ', 't EUR 2022-12-31 ', 't SEK 2023-01-31 ', 't SEK 2023-02-01 ', 't SEK 2022-12-31 ',
  'f CHF 2023-01-31 1.100', 'f CHF 2023-02-01 1.100', 'f CHF 2022-12-31 ', 'f GBP 2023-01-31 ', 'f GBP 2023-02-01 ', 'f GBP 2022-12-31 ',
  'f EUR 2023-01-31 ', 'f EUR 2023-02-01 ', 'f EUR 2022-12-31 ', 'f SEK 2023-01-31 ', 'f SEK 2023-02-01 ', 'f SEK 2022-12-31 '])$$,
  'many items in one statement get the rate of their company, currency and day, or none');
UPDATE o2c.exchange_rate SET rate = 2 WHERE from_currency = 'CHF';
SELECT is((SELECT array_agg(r ORDER BY r) FROM pg_temp.many('S') r WHERE r ~ 'CHF'),
  '{"f CHF 2022-12-31 ","f CHF 2023-01-31 2.000","f CHF 2023-02-01 2.000","t CHF 2022-12-31 ","t CHF 2023-01-31 2.000","t CHF 2023-02-01 2.000"}', 'the next statement looks again');
ROLLBACK TO s;
UPDATE o2c.exchange_rate SET rate = 0.80 WHERE company_id = (SELECT c FROM ctx) AND valid_from = '2023-01-01';
INSERT INTO o2c.exchange_rate (company_id, from_currency, to_currency, valid_from, rate) SELECT c, 'USD', 'EUR', '2023-06-01', 0.70 FROM ctx;
SELECT bag_eq('SELECT * FROM o2c_bi.journal WHERE company_id = (SELECT c FROM ctx)', 'SELECT * FROM booked', 'the journal stays as it was');
SAVEPOINT s;
SELECT throws_ok('UPDATE o2c.open_item SET base_rate = 1 WHERE company_id = (SELECT c FROM ctx)', 'O2030', NULL, 'nobody changes an item''s rate');
ROLLBACK TO s;
UPDATE o2c.exchange_rate SET rate = 0.90 WHERE company_id = (SELECT c FROM ctx) AND valid_from = '2023-01-01';
DELETE FROM o2c.exchange_rate WHERE company_id = (SELECT c FROM ctx) AND valid_from = '2023-06-01';

-- a cash discount takes its tax back: 23.80 of 1000 + 19 % are 20.00 and 3.80
INSERT INTO o2c.payment_term (company_id, code, discount_percent, discount_days, discount_basis)
SELECT c, v.code, 2, 10, v.basis FROM ctx, (VALUES ('2G', 'gross'), ('2N', 'net')) v(code, basis);
INSERT INTO o2c.invoice (company_id, customer_id, currency, payment_term, customer_reference)
SELECT c, k.id, 'EUR', t, t FROM ctx JOIN o2c.customer k ON k.company_id = c AND k.code = 'A', unnest('{2G,2N}'::text[]) t;
INSERT INTO o2c.invoice_line (company_id, invoice_id, line_no, description, quantity, unit_price, currency, tax_category, tax_rate)
SELECT c, i.id, 1, 'Work', 1, 1000, 'EUR', 'S', 19 FROM ctx JOIN o2c.invoice i ON i.company_id = c AND i.customer_reference IN ('2G', '2N');
SELECT o2c.issue_invoice(c, i.id, '2023-07-01') FROM ctx JOIN o2c.invoice i ON i.company_id = c AND i.customer_reference IN ('2G', '2N') ORDER BY i.id;
INSERT INTO o2c.ledger_entry (company_id, item_id, customer_id, currency, due_date, kind, amount, effective_on)
SELECT i.company_id, i.id, i.customer_id, i.currency, i.due_date, 'discount', - i.discount_amount, '2023-07-05'
FROM ctx JOIN o2c.invoice v ON v.company_id = c AND v.customer_reference IN ('2G', '2N') JOIN o2c.open_item i ON i.company_id = c AND i.invoice_id = v.id;
SELECT results_eq($$SELECT v.customer_reference, j.purpose, sum(j.debit - j.credit) FROM ctx JOIN o2c.invoice v ON v.company_id = c AND v.customer_reference IN ('2G', '2N')
  JOIN o2c_bi.journal j ON j.company_id = c AND j.number = v.number AND j.kind = 'discount' GROUP BY 1, 2 ORDER BY 1, 2$$,
  $$VALUES ('2G', 'discount', 20.00), ('2G', 'receivable', -23.80), ('2G', 'tax', 3.80), ('2N', 'discount', 20.00), ('2N', 'receivable', -20.00)$$,
  'a discount on the total reduces the tax, one on the net amount does not');
SELECT o2c.reverse_entry(c, e.id, 'not in time', '2023-07-20') FROM ctx JOIN o2c.ledger_entry e ON e.company_id = c AND e.kind = 'discount';
SELECT is((SELECT sum(debit - credit) FROM o2c_bi.journal, ctx WHERE company_id = c AND kind = 'discount' AND purpose IN ('tax', 'discount')), 0.00, 'its reversal gives both back');
SELECT is((SELECT array_agg(DISTINCT d) FROM (SELECT sum(base_debit) - sum(base_credit) AS d FROM o2c_bi.journal, ctx WHERE company_id = c GROUP BY document_kind, document_id) x), '{0.00}', 'all documents balance');
SELECT is_empty('SELECT * FROM o2c.check((SELECT c FROM ctx))', 'check() finds nothing');

-- snapshots
SELECT ok(o2c.take_aging_snapshot(c, '2023-03-31') > 0, 'an aging is kept') FROM ctx;
SELECT is(o2c.take_aging_snapshot(c, '2023-03-31'), 0::bigint, 'once') FROM ctx;
SELECT is((SELECT count(*) FROM o2c.aging_snapshot_differences(c, '2023-03-31')), 0::bigint, 'and is still true') FROM ctx;
SELECT pg_temp.add('BD', 'invoice', 'A', '2023-03-15', '2023-04-14', 7);
SELECT is((SELECT count(*) FROM o2c.aging_snapshot_differences(c, '2023-03-31')), 1::bigint, 'until something is back-dated') FROM ctx;
SELECT is((SELECT sum(total) FROM o2c.aging(c, '2023-03-31', known_at => (SELECT known_at FROM o2c.aging_snapshot s WHERE s.company_id = c))),
          (SELECT sum(total) FROM o2c.aging_snapshot_line l WHERE l.company_id = c), 'at the knowledge of then it is as kept') FROM ctx;

-- views
SELECT is((SELECT sum(total) FROM o2c_bi.aging, ctx WHERE company_id = c), (SELECT sum(total) FROM ctx, o2c.aging(c)), 'the view is today''s aging');
SELECT is((SELECT sum(open_amount) FROM o2c_bi.receivables, ctx WHERE company_id = c), (SELECT sum(total) FROM ctx, o2c.aging(c)), 'items add up to it');
SELECT is((SELECT average_days_late FROM o2c_bi.customer_behaviour, ctx WHERE company_id = c AND customer_code = 'A'), 18.00, 'days late of settled items');
SELECT is((SELECT string_agg(DISTINCT data_type, ',') FROM information_schema.columns WHERE table_schema = 'o2c_bi'
  AND table_name IN ('receivables', 'aging', 'customer_behaviour', 'journal', 'dim_customer', 'dim_product', 'dim_date', 'fact_invoice', 'fact_payment', 'fact_allocation', 'fact_message')
  AND data_type NOT IN ('text', 'numeric', 'date', 'timestamp with time zone', 'bigint', 'integer')), NULL, 'plain types');
SELECT is((SELECT string_agg(c.relname || '.' || a.attname, ' ') FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
  WHERE c.relnamespace = 'o2c_bi'::regnamespace AND c.relname IN ('receivables', 'aging', 'customer_behaviour', 'journal', 'dim_customer', 'dim_product', 'dim_date', 'fact_invoice', 'fact_payment', 'fact_allocation', 'fact_message')
  AND col_description(c.oid, a.attnum) IS NULL), NULL, 'a comment on every column');
SELECT is((SELECT string_agg(k::text, ' ') FROM o2c.check(c) k), NULL, 'nothing is violated') FROM ctx;
UPDATE o2c.customer SET name = '<script>alert(1)</script> & Co' WHERE company_id = (SELECT c FROM ctx);
CREATE TEMPORARY TABLE page AS SELECT o2c.receivables_dashboard(c, '2023-06-20') AS html FROM ctx;
SELECT ok(xml_is_well_formed_document(replace(replace(html, '<!DOCTYPE html>', ''), '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">', '')), 'the dashboard is well formed') FROM page;
SELECT ok(html NOT LIKE '%<script%' AND html !~ '(src|href)=', 'and self-contained, whatever a customer is called') FROM page;
SELECT ok(html LIKE '%&lt;script&gt;%', 'names are escaped') FROM page;
SELECT lives_ok(format('SELECT o2c.receivables_dashboard(%s)', o2c.create_company('Empty', 'DE', 'EUR')), 'a company without rows has one too');

-- the statement as a page; the customers are called <script>… by now
CREATE FUNCTION pg_temp.page(form text, language text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  UPDATE o2c.customer u SET language = page.language WHERE u.company_id = (SELECT c FROM ctx);
  RETURN (SELECT o2c.statement_html(c, 'B', '2023-06-01', '2023-06-30', form) FROM ctx);
END $$;
CREATE TEMPORARY TABLE sheet AS
SELECT f.form, l.language, pg_temp.page(f.form, l.language) AS html
FROM unnest('{activity,open_item}'::text[]) f (form), unnest('{en,de,it,fr,es,pl}'::text[]) l (language);
SELECT is((SELECT count(*) FROM sheet WHERE NOT xml_is_well_formed_document(replace(replace(replace(html, '<!DOCTYPE html>', ''), '<br>', ''),
  E'<meta charset="utf-8">\n<meta name="viewport" content="width=device-width, initial-scale=1">', ''))), 0::bigint, 'statements are well formed');
SELECT is((SELECT count(*) FROM sheet WHERE html LIKE '%<script%' OR html ~ '(src|href)=' OR html NOT LIKE '%&lt;script&gt;alert(1)&lt;/script&gt; &amp; Co%'), 0::bigint, 'self-contained, names escaped');
SELECT is(html LIKE '%<html lang="' || CASE language WHEN 'pl' THEN 'en' ELSE language END || '">%' AND html LIKE '%<h1>' || title || '</h1>%', true, 'a statement in ' || language)
FROM sheet JOIN (VALUES ('en', 'Statement of account'), ('de', 'Kontoauszug'), ('it', 'Estratto conto'), ('fr', 'Relevé de compte'), ('es', 'Estado de cuenta'), ('pl', 'Statement of account')) v (language, title)
  USING (language) WHERE form = 'activity';
SELECT ok(html LIKE '%<th>Endsaldo</th><td>' || (SELECT o2c.format_amount(balance, 'de') FROM o2c.statement_of_account(c, 'B', '2023-06-01', '2023-06-30') WHERE currency = 'USD' ORDER BY line_no DESC LIMIT 1) || ' USD</td>%',
  'closes with the balance of the rows, in its currency') FROM sheet, ctx WHERE form = 'activity' AND language = 'de';
SELECT ok(html LIKE '%<td class="">U2</td>%' AND html LIKE '%<td class="n">33.33</td>%' AND html NOT LIKE '%U1%', 'open items alone in the other form') FROM sheet WHERE form = 'open_item' AND language = 'en';
SELECT is((SELECT count(*) FROM sheet WHERE html LIKE '%{{%'), 0::bigint, 'nothing of the template is left');
SELECT ok(o2c.statement_html(c, 'B', '2001-01-01', '2001-12-31') LIKE '%moved.</p>%', 'a customer without movements has a page') FROM ctx;
SELECT throws_ok(format($$SELECT o2c.statement_html(%s, 'B', '2023-06-01', '2023-06-30', 'short')$$, c), 'O2004', NULL, 'a form that is known') FROM ctx;
SELECT throws_ok(format($$SELECT o2c.statement_html(%s, 'B', '2023-06-30', '2023-06-01')$$, c), 'O2044', NULL, 'dates in order') FROM ctx;
SELECT throws_ok(format($$SELECT o2c.statement_html(%s, 'nobody', '2023-06-01', '2023-06-30')$$, c), 'O2003', NULL, 'a customer there is') FROM ctx;
SELECT is((SELECT count(*) FROM o2c_bi.dim_date WHERE year = 2024), 366::bigint, 'a date dimension');
SELECT * FROM finish();
ROLLBACK;
