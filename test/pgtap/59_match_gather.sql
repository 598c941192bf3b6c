-- Which items a line may pay: streamed past the lines it is the same set as
-- joins would give, whatever memory there is, and for few lines as for many.
SELECT plan(31);

SELECT o2c.create_company('Gather', 'DE', 'EUR') AS c \gset
CREATE TEMP TABLE customers (code text, name text, iban text, parent_code text);
INSERT INTO customers VALUES
  ('P', 'Steinbruch Keller KG', 'DE89370400440532013000', NULL), ('P1', 'Steinbruch Nord GmbH', NULL, 'P'), ('P2', 'Steinbruch West GmbH', NULL, 'P'),
  ('Q', 'Glaserei Sommer AG', 'AT611904300234573201', NULL), ('R', 'Tischlerei Winter', NULL, NULL);
SELECT o2c.import_customers(:c, 'customers') \g /dev/null
CREATE TEMP TABLE items (number text, customer_code text, document_date date, due_date date, currency text, amount numeric, open_amount numeric,
  structured_ref text, discount_date date, discount_amount numeric);
-- plain ones; in yen; with discount and reference; sixty and sixty-one of one amount; credit notes that make up a difference
INSERT INTO items
SELECT '7100' || to_char(n, 'FM0000'), (ARRAY['P', 'P1', 'P2', 'Q', 'R'])[1 + n % 5], date '2025-01-01' + n % 90, date '2025-02-01' + n % 90,
  CASE WHEN n % 50 = 0 THEN 'JPY' ELSE 'EUR' END, 1000 + n % 700, CASE WHEN n % 40 = 7 THEN 0 ELSE 1000 + n % 700 END,
  CASE WHEN n % 3 = 0 THEN 'RF' || to_char(n, 'FM0000000') END, CASE WHEN n % 4 = 0 THEN date '2025-01-15' END, CASE WHEN n % 4 = 0 THEN 20 END
FROM generate_series(1, 1500) n;
INSERT INTO items SELECT '7200' || to_char(n, 'FM0000'), 'R', '2025-01-01', '2025-02-01', 'EUR', 60, 60 FROM generate_series(1, 60) n;
INSERT INTO items SELECT '7300' || to_char(n, 'FM0000'), 'Q', '2025-01-01', '2025-02-01', 'EUR', 61, 61 FROM generate_series(1, 61) n;
INSERT INTO items SELECT '7400' || to_char(n, 'FM0000'), (ARRAY['P', 'P1', 'P2', 'Q', 'R'])[1 + n % 5], '2025-01-01', '2025-02-01', 'EUR', -n, -n
FROM generate_series(1, 300) n;
SELECT o2c.import_open_items(:c, 'items') \g /dev/null
INSERT INTO o2c.settled_number (company_id, key, number, customer_id)
SELECT :c, o2c._document_key('7500' || to_char(n, 'FM0000')), '7500' || to_char(n, 'FM0000'), (SELECT id FROM o2c.customer WHERE company_id = :c AND code = 'Q')
FROM generate_series(1, 50) n;
INSERT INTO o2c.tolerance (company_id, customer_id, difference, percent, charges)
SELECT :c, u.id, 0.5, 0.125, 7 FROM o2c.customer u WHERE u.company_id = :c AND u.code = 'P1';
INSERT INTO o2c.bank_account (company_id, code) VALUES (:c, 'M');
INSERT INTO o2c.bank_line (company_id, bank_account_id, line_id, booking_date, amount, currency, payer_name, payer_iban, remittance_text, structured_ref)
SELECT :c, a.id, 'L' || n, date '2025-02-03',
  CASE WHEN n % 11 = 0 THEN 60 WHEN n % 13 = 0 THEN 61 WHEN n % 4 = 0 THEN 980 + n % 700 ELSE 1000 + n % 700 END, 'EUR',
  (ARRAY['STEINBRUCH KELLER KG', 'Glaserei Sommer', NULL, 'Tischlerei Winter'])[1 + n % 4],
  (ARRAY['DE89370400440532013000', 'AT611904300234573201', 'DE02120300000000202051', NULL])[1 + n % 4],
  CASE n % 6 WHEN 0 THEN 'RG 7100' || to_char(n, 'FM0000') WHEN 1 THEN '7100' || to_char(n, 'FM0000') || ' 7100' || to_char(n + 5, 'FM0000')
    WHEN 2 THEN 'Rechnung 7500' || to_char(n % 60, 'FM0000') WHEN 3 THEN 'Zahlung' WHEN 4 THEN '7100' || to_char(n + 37, 'FM0000') END,
  CASE WHEN n % 3 = 0 THEN 'RF' || to_char(n, 'FM0000000') END
FROM generate_series(1, 1200) n, o2c.bank_account a WHERE a.company_id = :c;

-- the stages up to the first round, kept as a table; while it decides nothing it leaves all candidates
UPDATE o2c.match_rule SET automatic = false WHERE company_id = :c;
CREATE FUNCTION pg_temp.candidates(company integer, mem text, keep text) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('work_mem', mem, true), set_config('hash_mem_multiplier', '1', true);
  PERFORM o2c._match_lines(company, NULL), o2c._match_payers(company), o2c._match_first(company);
  EXECUTE format('CREATE TEMP TABLE %I AS SELECT b.line_id AS line, c.* FROM o2c_m_cand c JOIN o2c.bank_line b ON b.company_id = %s AND b.id = c.line_id', keep, company);
  -- the weigher takes them as they stand
  RETURN (SELECT count(*) FROM (SELECT (c.line_id, c.item_id) < lag((c.line_id, c.item_id)) OVER () AS back FROM o2c_m_cand c) x WHERE x.back);
END $$;
BEGIN;
SELECT is(pg_temp.candidates(:c, '64MB', 'much'), 0::bigint, 'candidates come in the order of lines and items');
-- what joins say
CREATE TEMP TABLE said AS
WITH key AS (
  SELECT l.id AS line_id, unnest(l.keys || l.reference_key) AS key FROM o2c_m_line l),
cited AS (
  SELECT DISTINCT k.line_id, m.item_id FROM key k JOIN o2c.match_key m ON m.company_id = :c AND m.key = k.key WHERE k.key <> 0),
who AS (
  SELECT l.id AS line_id, w.party, w.payer, w.payer_customer, l.currency, l.amount FROM o2c_m_line l JOIN o2c_m_who w ON w.party = l.party),
open AS (
  SELECT i.* FROM o2c.open_item i WHERE i.company_id = :c AND i.open_amount <> 0),
pair AS (
  SELECT line_id, item_id FROM cited
  UNION
  SELECT w.line_id, i.id FROM who w JOIN o2c_m_payer p ON p.party = w.party
  JOIN open i ON i.customer_id = p.customer_id AND i.currency = w.currency
    AND w.amount IN (i.open_amount, CASE WHEN i.discount_amount > 0 THEN i.open_amount - i.discount_amount END)
  UNION
  SELECT w.line_id, i.id FROM who w JOIN open i ON i.currency = w.currency AND i.open_amount = w.amount
  WHERE w.payer < 3 AND (SELECT count(*) FROM open x WHERE x.currency = w.currency AND x.open_amount = w.amount) <= 60),
gap AS (
  SELECT w.line_id, i.customer_id, w.amount - i.open_amount AS short FROM cited x JOIN who w ON w.line_id = x.line_id
  JOIN open i ON i.id = x.item_id AND i.currency = w.currency AND i.open_amount > 0
  UNION
  SELECT w.line_id, i.customer_id, min(w.amount) - sum(i.open_amount) FROM cited x JOIN who w ON w.line_id = x.line_id
  JOIN open i ON i.id = x.item_id AND i.currency = w.currency AND i.open_amount > 0 GROUP BY 1, 2),
all_pair AS (
  SELECT * FROM pair
  UNION
  SELECT g.line_id, n.id FROM gap g JOIN who w ON w.line_id = g.line_id
  JOIN open n ON n.customer_id = g.customer_id AND n.currency = w.currency AND n.open_amount = g.short AND n.kind <> 'on_account' WHERE g.short < 0)
SELECT x.line_id, i.id AS item_id, i.customer_id, i.number, CASE WHEN coalesce(p.rel, 0) < 2 THEN u.name END AS customer_name,
  (i.open_amount * f)::bigint AS open, (i.amount * f)::bigint AS amount, coalesce(i.discount_amount * f, 0)::bigint AS discount,
  coalesce(i.discount_date, i.document_date) - date '2000-01-01' AS discount_date, i.due_date - date '2000-01-01' AS due,
  coalesce(o2c._reference_key(i.structured_ref), 0) AS reference_key,
  least(d.difference * f, round(abs(i.amount) * f * d.percent / 100), t.difference * f, round(abs(i.amount) * f * t.percent / 100))::bigint AS tolerance,
  least(d.charges, t.charges)::bigint * f AS charges, coalesce(p.rel, CASE WHEN w.payer >= 3 THEN -1 ELSE 0 END) AS rel, coalesce(p.grp, false)::integer AS grp
FROM all_pair x
JOIN who w ON w.line_id = x.line_id
JOIN o2c.open_item i ON i.company_id = :c AND i.id = x.item_id AND i.currency = w.currency
CROSS JOIN LATERAL (SELECT CASE i.currency WHEN 'JPY' THEN 1 ELSE 100 END) c(f)
LEFT JOIN o2c.customer u ON u.company_id = :c AND u.id = i.customer_id
LEFT JOIN o2c_m_payer p ON p.party = w.party AND p.customer_id = i.customer_id
LEFT JOIN o2c.tolerance t ON t.company_id = :c AND t.customer_id = i.customer_id
JOIN o2c.tolerance d ON d.company_id = :c AND d.customer_id IS NULL;
CREATE TEMP TABLE settled AS
SELECT l.id AS line_id, s.number, s.customer_id FROM o2c_m_line l JOIN o2c.settled_number s ON s.company_id = :c AND s.key = ANY (l.keys || l.reference_key)
UNION ALL
-- what is in another currency, of a stranger to a known payer, is a number that is known
SELECT x.line_id, i.number, i.customer_id
FROM (SELECT DISTINCT l.id AS line_id, l.party, l.currency, m.item_id
      FROM o2c_m_line l JOIN o2c.match_key m ON m.company_id = :c AND m.key = ANY (l.keys || l.reference_key) WHERE m.key <> 0) x
JOIN o2c_m_who w ON w.party = x.party AND w.payer >= 3
JOIN o2c.open_item i ON i.company_id = :c AND i.id = x.item_id AND i.currency <> x.currency
WHERE NOT EXISTS (SELECT FROM o2c_m_payer p WHERE p.party = x.party AND p.customer_id = i.customer_id);
COMMIT;
SELECT bag_eq('SELECT line_id, item_id, customer_id, number, customer_name, open, amount, discount, discount_date, due, reference_key, tolerance, charges, rel, grp
  FROM much WHERE item_id <> 0', 'TABLE said', 'candidates are what joins say');
SELECT bag_eq('SELECT line_id, number, customer_id FROM much WHERE item_id = 0', 'TABLE settled', 'as are numbers settled elsewhere, or in another currency');
SELECT is((SELECT count(*) FROM much WHERE item_id = 0 AND customer_name = (SELECT name FROM o2c.customer WHERE id = much.customer_id)), (SELECT count(*) FROM settled), '... each with its customer''s name');
-- the cases are there at all
SELECT cmp_ok((SELECT count(*) FROM said), '>', 3000::bigint, 'there are many');
SELECT cmp_ok((SELECT count(*) FROM said WHERE open < 0), '>', 10::bigint, 'credit notes among them');
SELECT cmp_ok((SELECT count(*) FROM said WHERE grp = 1), '>', 100::bigint, 'items of relatives');
SELECT cmp_ok((SELECT count(*) FROM said WHERE number LIKE '7200%'), '>', 60::bigint, 'amounts that sixty items have, of unknown payers');
SELECT is((SELECT count(*) FROM said JOIN o2c.bank_line b ON b.company_id = :c AND b.id = said.line_id WHERE number LIKE '7300%' AND rel = 0), 0::bigint,
  '... but not those that more have');
SELECT cmp_ok((SELECT count(DISTINCT tolerance) FROM said), '>', 2::bigint, 'the stricter tolerance differs');
-- in less memory lines are taken in runs, and runs halved
SELECT is(pg_temp.candidates(:c, '64kB', 'little'), 0::bigint, '... in little memory too');
SELECT bag_eq('TABLE little', 'TABLE much', 'the same in little memory');
-- who pays is numbered by the first of his lines; account and name are two things; in little memory some are numbered again
CREATE FUNCTION pg_temp.parties(mem text, OUT numbers bigint, OUT parties bigint, OUT mixed bigint, OUT not_first bigint) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('work_mem', mem, true), set_config('hash_mem_multiplier', '1', true);
  CREATE TEMP TABLE numbered ON COMMIT DROP AS
  SELECT x.n, x.account, x.name, o2c._same_party(x.n, x.account, x.name) AS party
  FROM (SELECT n, 'DE' || n % 5000 AS account, repeat('x', (n % 2)::integer) AS name FROM generate_series(1::bigint, 30000) n
        UNION ALL VALUES (30001, 'DE5x', ''), (30002, '', 'DE5x')) x;
  SELECT count(DISTINCT party), count(DISTINCT (account, name)) INTO numbers, parties FROM numbered;
  SELECT count(*) INTO mixed FROM (SELECT FROM numbered GROUP BY party HAVING count(DISTINCT (account, name)) > 1) x;
  SELECT count(*) INTO not_first FROM numbered x WHERE NOT EXISTS (SELECT FROM numbered y WHERE y.n = x.party AND y.party = y.n AND y.n <= x.n);
  DROP TABLE numbered;
END $$;
SELECT is(ARRAY[p.numbers, p.parties, p.mixed, p.not_first], ARRAY[5002, 5002, 0, 0]::bigint[], 'who pays has one number, his first line''s') FROM pg_temp.parties('64MB') p;
SELECT cmp_ok(p.numbers, '>', p.parties, 'in little memory some have several') FROM pg_temp.parties('64kB') p;
SELECT is(ARRAY[p.mixed, p.not_first], ARRAY[0, 0]::bigint[], '... but each number is one party''s, and its first line''s') FROM pg_temp.parties('64kB') p;
-- lines that come in another order
SET work_mem = '64kB';
CREATE FUNCTION pg_temp.first_round(lines text, keys text, pairs text, items text, weighed text) RETURNS bigint LANGUAGE sql AS $$
  SELECT count(*) FROM o2c._first_round(1, false, lines, '', '', keys, '', pairs, items, '', '', weighed, 'INSERT INTO taken SELECT r.id, r.amount FROM o2c_rows r',
    'INSERT INTO undecided SELECT r.id FROM o2c_rows r', 'INSERT INTO candidate SELECT r.line_id, r.item_id FROM o2c_rows r') $$;
CREATE TEMP TABLE taken (item_id bigint, taken bigint);
CREATE TEMP TABLE undecided (line_id bigint);
CREATE TEMP TABLE candidate (line_id bigint, item_id bigint);
SELECT is(pg_temp.first_round('SELECT 3001 - n, 1::bigint, ''EUR'', 1::bigint, 0::bigint, NULL::bigint[] FROM generate_series(1::bigint, 3000) n', '',
  'SELECT n, 1::bigint, NULL::text FROM generate_series(1::bigint, 3000) n',
  'SELECT 1::bigint, NULL::bigint, ''EUR'', 1.0, 1.0, NULL::numeric, NULL::date, current_date, current_date, ''N'', NULL::text, NULL::text, 1',
  'SELECT 0::bigint, n, 1::bigint, 0, ''N'', ''P'', 0::bigint, 0::bigint, 2, 3, NULL::text[] FROM generate_series(1::bigint, 3000) n'), 0::bigint, '... and when lines do not');
SELECT is((count(*), count(*) FILTER (WHERE x.line_id < x.before)), (3000::bigint, 0::bigint), '... all of them')
FROM (SELECT line_id, lag(line_id) OVER () AS before FROM candidate) x;
SELECT is((SELECT count(*) FROM undecided), 3000::bigint, '... and lines, for they are undecided');
RESET work_mem;
-- few lines are looked up
UPDATE o2c.bank_line SET return_reason = 'AC01' WHERE company_id = :c AND line_id > 'L2';
SELECT pg_temp.candidates(:c, '64MB', 'few') \g /dev/null
SELECT cmp_ok((SELECT count(DISTINCT line_id) FROM few), '>', 100::bigint, 'few lines have candidates');
SELECT bag_eq('TABLE few', 'SELECT * FROM much WHERE line <= ''L2''', '... the same as among many');
-- books: of two pages, less what is taken
CREATE TEMP TABLE pages AS
SELECT row_number() OVER () AS page, u.id AS customer_id, 'EUR'::o2c.currency AS currency FROM o2c.customer u WHERE u.company_id = :c AND u.code IN ('P1', 'Q');
INSERT INTO taken
SELECT i.id AS item_id, CASE WHEN i.id % 2 = 0 THEN i.open_amount * 100 ELSE 1 END::bigint AS taken FROM o2c.open_item i WHERE i.company_id = :c AND i.id % 3 = 0;
CREATE FUNCTION pg_temp.book(company integer, few boolean) RETURNS SETOF record LANGUAGE sql AS $$
  SELECT * FROM o2c._gather_book(company, few, 'SELECT * FROM pages', 'SELECT * FROM taken',
    'SELECT t.customer_id, t.difference, t.percent, t.charges FROM o2c.tolerance t WHERE t.company_id = $1',
    'SELECT i.id, i.customer_id, i.currency, i.open_amount, i.amount, i.discount_amount, i.discount_date, i.document_date, i.due_date, i.number,
       i.alt_number, i.structured_ref FROM o2c.open_item i WHERE i.company_id = $1 AND i.open_amount <> 0'
    || CASE WHEN few THEN ' AND i.customer_id = ANY ($2)' ELSE '' END) $$;
CREATE TEMP TABLE book AS
SELECT * FROM pg_temp.book(:c, false) b(page bigint, due integer, item_id bigint, customer_id bigint, number text, alt_number text, open bigint, amount bigint,
  discount bigint, discount_date integer, issued integer, reference_key bigint, tolerance bigint, charges bigint, taken bigint);
SELECT bag_eq('SELECT page, item_id, customer_id, number, open, amount, due, charges, taken FROM book',
  format($q$ SELECT p.page, i.id, i.customer_id, i.number, (i.open_amount * 100 - coalesce(k.taken, 0))::bigint AS open, (i.amount * 100)::bigint AS amount,
      i.due_date - date '2000-01-01' AS due, CASE u.code WHEN 'P1' THEN 700 ELSE 3000 END::bigint AS charges, coalesce(k.taken, 0) AS taken
    FROM pages p JOIN o2c.open_item i ON i.company_id = %s AND i.customer_id = p.customer_id AND i.currency = p.currency
    JOIN o2c.customer u ON u.company_id = i.company_id AND u.id = i.customer_id LEFT JOIN taken k ON k.item_id = i.id
    WHERE i.open_amount <> 0 AND i.open_amount * 100 <> coalesce(k.taken, 0) $q$, :c), 'a book has what is left of the items of its pages');
SELECT cmp_ok((SELECT count(DISTINCT page) FROM book WHERE open <> amount), '=', 2::bigint, '... of both, some of it taken');
SELECT bag_eq(format('SELECT * FROM pg_temp.book(%s, true) b(page bigint, due integer, item_id bigint, customer_id bigint, number text, alt_number text,
  open bigint, amount bigint, discount bigint, discount_date integer, issued integer, reference_key bigint, tolerance bigint, charges bigint, taken bigint)', :c),
  'TABLE book', '... the same for few pages');
UPDATE o2c.bank_line SET return_reason = NULL WHERE company_id = :c AND return_reason IS NOT NULL;
UPDATE o2c.match_rule SET automatic = true WHERE company_id = :c;
SELECT o2c.match_cash(:c) \g /dev/null
SELECT is_empty('SELECT * FROM o2c.check()', 'every invariant holds');
-- whoever may call these functions gives them queries: what they read is what they ask for, or refused
CREATE FUNCTION pg_temp.gather(lines text, items text) RETURNS bigint LANGUAGE sql AS $$
  SELECT pg_temp.first_round(lines, 'SELECT 7::bigint, 1::bigint', '', items, 'SELECT') $$;
CREATE FUNCTION pg_temp.weigh(line text) RETURNS bigint LANGUAGE sql AS $$
  SELECT pg_temp.first_round('SELECT 1::bigint, 1::bigint, ''EUR'', 1::bigint, 1::bigint, NULL::bigint[]', '', '', '', line) $$;
SELECT throws_ok($$ SELECT pg_temp.gather('', '') $$, '22023', NULL, 'no query for lines');
SELECT throws_ok($$ SELECT pg_temp.gather('SELECT 1::bigint, 1::bigint, ''EUR'', 1::bigint, 1::bigint, NULL::bigint[], 5::bigint', '') $$, '42804', NULL, 'a column too many');
SELECT throws_ok($$ SELECT pg_temp.gather('SELECT 1::bigint, 1::bigint, 99::bigint, 1::bigint, 1::bigint, NULL::bigint[]', '') $$, '42804', NULL, 'a number for a text');
SELECT throws_ok($$ SELECT pg_temp.gather('SELECT 1::bigint, 1::bigint, ''EUR'', 1::bigint, 1::bigint, ARRAY[7, NULL]::bigint[]', '') $$, '22004', NULL, 'a null among keys');
SELECT throws_ok($$ SELECT pg_temp.gather('SELECT 1::bigint, 1::bigint, ''EUR'', 1::bigint, 7::bigint, NULL::bigint[]',
  'SELECT 1::bigint, 1::bigint, ''EUR'', 1.0, 1.0, NULL::numeric, NULL::date, current_date, current_date, NULL::text, NULL::text, NULL::text, 1') $$,
  '22004', NULL, 'an item without number');
SELECT throws_ok($$ SELECT pg_temp.weigh('SELECT 0::bigint, 1::bigint, 1::bigint, 0, 4711::bigint, ''P'', 0::bigint, 0::bigint, 2, 3, NULL::text[]') $$,
  '42804', NULL, 'a number for the text of a line');
SELECT throws_ok($$ SELECT pg_temp.weigh('SELECT 0::bigint, 1::bigint, 1::bigint, 0, ''N'', ''P'', 0::bigint, 0::bigint, 64, 3, NULL::text[]') $$,
  '22023', NULL, 'no currency has 64 decimals');
SELECT * FROM finish();
