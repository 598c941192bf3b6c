-- Ratios against numbers worked out by hand, what is asked of a view reads
-- what was asked for, and arguments that make no sense.
SELECT plan(77);
CREATE TEMPORARY TABLE ctx AS SELECT o2c.create_company('By hand', 'DE', 'EUR') AS c;
INSERT INTO o2c.customer (company_id, code, name) SELECT c, code, code FROM ctx, unnest('{A,B}'::text[]) code;
CREATE FUNCTION pg_temp.add(number text, kind text, doc date, due date, amount numeric, customer text DEFAULT 'A', cur text DEFAULT 'EUR') RETURNS bigint LANGUAGE sql AS $$
  INSERT INTO o2c.open_item (company_id, customer_id, kind, number, document_date, due_date, currency, amount, open_amount)
  SELECT c, k.id, kind::o2c.item_kind, $1, doc, due, cur::o2c.currency, amount, amount FROM ctx JOIN o2c.customer k ON k.company_id = c AND k.code = customer RETURNING id $$;
CREATE FUNCTION pg_temp.apply(debit text, credit text, amount numeric, eff date) RETURNS bigint LANGUAGE sql AS $$
  INSERT INTO o2c.allocation (company_id, debit_item_id, credit_item_id, currency, amount, effective_on)
  SELECT c, d.id, k.id, d.currency, $3, eff FROM ctx JOIN o2c.open_item d ON d.company_id = c AND d.number = $1
  JOIN o2c.open_item k ON k.company_id = c AND k.number = $2 RETURNING id $$;

-- 45 before the year; January 310, nothing in February, March 125 + 30, April 90
SELECT pg_temp.add('X', 'invoice', '2023-12-15', '2024-01-10', 45);
SELECT pg_temp.add('J', 'invoice', '2024-01-10', '2024-02-09', 310);
SELECT pg_temp.add('M1', 'invoice', '2024-03-15', '2024-04-14', 125);
SELECT pg_temp.add('M2', 'invoice', '2024-03-02', '2024-05-01', 30);
SELECT pg_temp.add('P', 'invoice', '2024-04-20', '2024-05-20', 90);
SELECT pg_temp.add('R1', 'on_account', '2024-02-01', '2024-02-01', -45);
SELECT pg_temp.add('R2', 'on_account', '2024-03-10', '2024-03-10', -255);
-- 45 paid 22 days late, 225 30 days late; 30 first applied wrongly, then 40 days late
SELECT pg_temp.apply('X', 'R1', 45, '2024-02-01');
SELECT pg_temp.apply('J', 'R2', 225, '2024-03-10');
CREATE TEMPORARY TABLE wrong AS SELECT pg_temp.apply('M2', 'R2', 30, '2024-03-10') AS id;
SELECT o2c.unapply(c, id, '2024-03-20', 'meant for J') FROM ctx, wrong;
SELECT pg_temp.apply('J', 'R2', 30, '2024-03-20');

-- at the end 300 are open: 55 and 125 overdue, 30 and 90 not yet
SELECT is(o2c.dso(c, '2024-01-01', '2024-04-30'), round(300 * 121 / 555.0, 2), 'DSO is 300 of 555 in 121 days: 65.41') FROM ctx;
SELECT is(o2c.dso(c, '2024-01-01', '2024-04-30', 'best_possible'), 26.16, 'best possible: 120 / 555 × 121') FROM ctx;
SELECT is(o2c.dso(c, '2024-01-01', '2024-04-30', 'add'), 39.24, 'delinquent: 180 / 555 × 121') FROM ctx;
SELECT is(o2c.dso(c, '2024-01-01', '2024-04-30', 'countback'), 95.50, 'countback: April 30, March 31, the empty February 29, and 55 / 310 of January') FROM ctx;
SELECT is(o2c.dso(c, '2024-01-01', '2024-04-10', 'countback'), 10 + 31 + 29 + round(55 / 310.0 * 31, 2), 'a month under way counts its days so far') FROM ctx;
SELECT is(o2c.cei(c, '2024-01-01', '2024-04-30'), 62.50, 'CEI: 300 of 480 that could be collected') FROM ctx;
SELECT is(o2c.average_days_late(c, '2024-01-01', '2024-04-30'), 29.80, 'days late: (225 × 30 + 30 × 40 + 45 × 22) / 300, what was undone left out') FROM ctx;
SELECT is(o2c.average_days_late(c, '2024-01-01', '2024-03-15'), round((225 * 30 + 30 * -52 + 45 * 22) / 300.0, 2), 'before it was undone it was paid') FROM ctx;
SELECT is(o2c.average_days_late(c, '2024-01-01', '2024-04-30', 'B'), NULL, 'who paid nothing is not late') FROM ctx;
SELECT is((SELECT cost_of_days_late FROM o2c.customer_profitability(c, '2024-01-01', '2024-04-30', 10)), round(8940 * 0.1 / 365, 2), '8940 euro-days at 10 % a year') FROM ctx;
-- 30 days late by habit: 125 on 14 May as 55 that should have come, 30 on 31 May, 90 on 19 June
SELECT is((SELECT string_agg(week_from || ' ' || expected, ', ' ORDER BY week_from) FROM o2c.cash_forecast(c, '2024-04-30') WHERE expected > 0),
  '2024-05-08 180, 2024-05-29 30, 2024-06-19 90', 'a forecast by hand') FROM ctx;
SELECT is((SELECT string_agg(week_from || ' ' || due, ', ' ORDER BY week_from) FROM o2c.cash_forecast(c, '2024-04-30') WHERE due > 0),
  '2024-05-01 30, 2024-05-15 90', 'and by due dates alone') FROM ctx;
SELECT is((SELECT array_agg(items ORDER BY week_from) FROM o2c.cash_forecast(c, '2024-04-30', 8)), '{0,2,0,0,1,0,0,1}', 'every week has a row') FROM ctx;
INSERT INTO o2c.dispute (company_id, item_id, customer_id, currency, amount, reason, opened_on)
SELECT c, i.id, i.customer_id, 'EUR', 25, 'wrong price', '2024-04-25' FROM ctx JOIN o2c.open_item i ON i.company_id = c AND i.number = 'M1';
SELECT is((SELECT sum(expected) FROM o2c.cash_forecast(c, '2024-04-30')), 275.00, 'a disputed share is not expected') FROM ctx;
SELECT is((SELECT sum(expected) FROM o2c.cash_forecast(c, '2024-04-24', 20)), 300.00, 'the day before it was') FROM ctx;
SELECT is((SELECT sum(expected) FROM o2c.cash_forecast(c, '2024-02-29', 20)), 310.00, 'a forecast of a past day knows that day''s open amounts') FROM ctx;
SELECT pg_temp.add('C', 'credit_note', '2024-06-01', '2024-06-01', -10);
SELECT is(o2c.dso(c, '2024-06-01', '2024-06-30'), NULL, 'more credited than sold: no DSO') FROM ctx;

-- what is asked of a view goes down to the tables: it touches a small part of what the whole view does
CREATE TEMPORARY TABLE big AS SELECT o2c.create_company('Volume', 'DE', 'EUR') AS c;
INSERT INTO o2c.customer (company_id, code, name) SELECT c, 'K' || g, 'K' || g FROM big, generate_series(1, 300) g;
INSERT INTO o2c.open_item (company_id, customer_id, kind, number, document_date, due_date, currency, amount, open_amount)
SELECT c, k.id, v.kind::o2c.item_kind, v.number || g, d, d + 30, 'EUR', v.sign * 10, v.sign * 10
FROM big JOIN o2c.customer k ON k.company_id = c JOIN generate_series(1, 6000) g ON k.code = 'K' || 1 + g % 300
CROSS JOIN LATERAL (SELECT '2022-01-01'::date + g / 6 AS d) x CROSS JOIN (VALUES ('invoice', 'I', 1), ('on_account', 'R', -1)) v (kind, number, sign) ORDER BY g;
INSERT INTO o2c.allocation (company_id, debit_item_id, credit_item_id, currency, amount, effective_on)
SELECT c, i.id, r.id, 'EUR', 10, i.due_date FROM big JOIN o2c.open_item i ON i.company_id = c AND i.amount > 0
JOIN o2c.open_item r ON r.company_id = c AND r.number = replace(i.number, 'I', 'R') WHERE i.due_date < '2024-06-01' ORDER BY i.id;
VACUUM ANALYZE o2c.open_item, o2c.ledger_entry, o2c.allocation, o2c.customer;
CREATE FUNCTION pg_temp.blocks(query text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE j json;
BEGIN
  EXECUTE 'EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ' || query INTO j;
  RETURN (j -> 0 -> 'Plan' ->> 'Shared Hit Blocks')::bigint + (j -> 0 -> 'Plan' ->> 'Shared Read Blocks')::bigint;
END $$;
SELECT cmp_ok(5 * pg_temp.blocks(format('SELECT * FROM %s WHERE company_id = %s AND %s', view, c, replace(filter, 'ONE', (SELECT max(id)::text FROM o2c.allocation a WHERE a.company_id = c)))), '<',
              pg_temp.blocks(format('SELECT * FROM %s WHERE company_id = %s OFFSET 0', view, c)), view || ' by ' || filter)
FROM big, (VALUES ('o2c.open_item', $$number = 'R77'$$), ('o2c_bi.receivables', $$number = 'I5500'$$), ('o2c_bi.customer_behaviour', $$customer_code = 'K7'$$),
  ('o2c_bi.journal', $$customer_code = 'K7'$$), ('o2c_bi.journal', $$number = 'I77'$$), ('o2c_bi.journal', $$posted_on = '2023-03-10'$$),
  ('o2c_bi.journal', $$document_kind = 'allocation' AND document_id = ONE$$), ('o2c_bi.journal', $$document_kind = 'invoice' AND document_id = 1$$),
  ('o2c_bi.journal', $$document_kind = 'entry' AND document_id = 1$$),
  ('o2c_bi.fact_payment', $$date = '2023-03-10'$$), ('o2c_bi.fact_payment', $$number = 'R77'$$), ('o2c_bi.fact_allocation', $$debit_number = 'I77'$$)) v (view, filter);

-- arguments that make no sense: an error of ours that says so
SELECT throws_ok(format(call, c), code, NULL, format(call, c))
FROM ctx, (VALUES
  ('SELECT * FROM o2c.aging(NULL)', 'O2002'), ('SELECT * FROM o2c.aging(%s, ''-infinity'')', 'O2044'), ('SELECT * FROM o2c.aging(%s, bounds => NULL)', 'O2004'),
  ('SELECT * FROM o2c.aging(%s, bounds => ''{1,1}'')', 'O2004'), ('SELECT * FROM o2c.aging(%s, bounds => ''{NULL}'')', 'O2004'),
  ('SELECT * FROM o2c.aging(%s, basis => NULL)', 'O2004'), ('SELECT * FROM o2c.aging(%s, basis => ''due '')', 'O2004'), ('SELECT * FROM o2c.aging(%s, credits => ''none'')', 'O2004'),
  ('SELECT * FROM o2c.aging(%s, grouped_by => NULL)', 'O2004'), ('SELECT * FROM o2c.aging(%s, in_currency => ''EURO'')', 'O2042'), ('SELECT * FROM o2c.aging(%s, in_currency => ''XAU'')', 'O2003'),
  ('SELECT * FROM o2c.aging(%s, customer => ''nobody'')', 'O2003'), ('SELECT * FROM o2c.aging(0, customer => ''A'')', 'O2002'),
  ('SELECT * FROM o2c._aging(%s, NULL, ''{0}'', ''due'', NULL, NULL, ''guess'')', 'O2004'),
  ('SELECT o2c.dso(NULL, ''2024-01-01'', ''2024-02-01'')', 'O2002'), ('SELECT o2c.dso(%s, NULL, ''2024-02-01'')', 'O2044'), ('SELECT o2c.dso(%s, ''-infinity'', ''infinity'')', 'O2044'),
  ('SELECT o2c.dso(%s, ''2024-01-01'', ''2024-02-01'', NULL)', 'O2004'), ('SELECT o2c.cei(0, ''2024-01-01'', ''2024-02-01'')', 'O2002'), ('SELECT o2c.cei(%s, ''2024-01-01'', ''infinity'')', 'O2044'),
  ('SELECT o2c.average_days_late(%s, ''2024-01-01'', NULL)', 'O2044'), ('SELECT o2c.average_days_late(%s, ''2024-01-01'', ''2024-02-01'', ''nobody'')', 'O2003'),
  ('SELECT * FROM o2c.cash_forecast(0)', 'O2002'), ('SELECT * FROM o2c.cash_forecast(0, ''2024-01-01'')', 'O2002'), ('SELECT * FROM o2c.cash_forecast(%s, ''infinity'')', 'O2044'), ('SELECT * FROM o2c.cash_forecast(%s, weeks => NULL)', 'O2004'),
  ('SELECT * FROM o2c.statement_of_account(%s, NULL, ''2024-01-01'', ''2024-02-01'')', 'O2003'), ('SELECT * FROM o2c.statement_of_account(%s, ''A'', NULL, NULL)', 'O2044'),
  ('SELECT * FROM o2c.statement_of_open_items(%s, ''A'', ''infinity'')', 'O2044'), ('SELECT o2c.statement_html(%s, ''A'', NULL, ''2024-01-01'')', 'O2044'),
  ('SELECT * FROM o2c.customer_profitability(%s, ''2024-01-01'', ''2024-02-01'', NULL)', 'O2004'), ('SELECT * FROM o2c.customer_profitability(%s, ''2024-01-01'', ''2024-02-01'', ''NaN'')', 'O2004'),
  ('SELECT * FROM o2c.export_journal(%s, ''2024-02-01'', ''2024-01-01'')', 'O2044'), ('SELECT * FROM o2c.export_journal(NULL, ''2024-01-01'', ''2024-02-01'')', 'O2002'),
  ('SELECT o2c.revalue(%s, NULL)', 'O2044'), ('SELECT o2c.take_aging_snapshot(%s, ''infinity'')', 'O2044'), ('SELECT o2c.take_aging_snapshot(%s, ''2024-01-01'', ''{2,1}'')', 'O2004'),
  ('SELECT o2c.take_aging_snapshot(NULL, ''2024-01-01'')', 'O2002'), ('SELECT * FROM o2c.aging_snapshot_differences(%s, NULL)', 'O2003'), ('SELECT * FROM o2c.aging_snapshot_differences(0, ''2024-01-01'')', 'O2002'),
  ('SELECT o2c.receivables_dashboard(NULL)', 'O2002'), ('SELECT o2c.receivables_dashboard(%s, ''infinity'')', 'O2044')) v (call, code);
-- the dashboard of odd companies: nothing at all, credits alone, amounts and names without end
CREATE TEMPORARY TABLE odd AS SELECT o2c.create_company('Odd & <b>Co</b>', 'KW', 'KWD') AS c;
CREATE FUNCTION pg_temp.page() RETURNS text LANGUAGE sql AS $$SELECT o2c.receivables_dashboard(c) FROM odd$$;
SELECT ok(pg_temp.page() LIKE '%Nothing is open.%No sales%Nothing is open.%Nothing is overdue.%Nobody.%' AND pg_temp.page() NOT LIKE '%<svg%', 'sentences where there is nothing to draw');
INSERT INTO o2c.customer (company_id, code, name) SELECT c, 'X', repeat('long', 50) || '<script>' FROM odd;
INSERT INTO o2c.open_item (company_id, customer_id, kind, number, document_date, due_date, currency, amount, open_amount)
SELECT c, k.id, 'credit_note', 'C', '2024-01-01', '2024-01-01', 'KWD', -5.125, -5.125 FROM odd JOIN o2c.customer k ON k.company_id = c;
SELECT ok(pg_temp.page() ~ 'Balance</span><b[^>]*>-5.13<' AND pg_temp.page() NOT LIKE '%<svg%', 'credits alone draw nothing');
INSERT INTO o2c.open_item (company_id, customer_id, kind, number, document_date, due_date, currency, amount, open_amount)
SELECT c, k.id, 'invoice', 'I', '2024-01-01', '2024-01-01', 'KWD', 4543950576449.125, 4543950576449.125 FROM odd JOIN o2c.customer k ON k.company_id = c;
SELECT ok(pg_temp.page() ~ E'<b title="4\u2009543\u2009950\u2009576\u2009444">4\u2009544 bn<', 'a large amount is short, and in full for who points at it');
SELECT ok(pg_temp.page() NOT LIKE '%<script%' AND pg_temp.page() NOT LIKE '%<b>Co%', 'names are text');
SELECT ok(xml_is_well_formed_document(replace(replace(pg_temp.page(), '<!DOCTYPE html>', ''),
  '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">', '')), 'and the page is well formed');
SELECT is_empty('SELECT * FROM o2c.check()');
SELECT * FROM finish();
