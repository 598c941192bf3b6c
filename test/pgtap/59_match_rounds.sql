-- Cash application in rounds: what the first does not decide, what one decision
-- makes possible for another line, who comes first, and little memory.
BEGIN;
SELECT plan(16);

-- A company with the same books each time: 40 payers with eight items, and lines
-- that only the later rounds can place.
CREATE FUNCTION pg_temp.fill(name text) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  c integer := o2c.create_company(name, 'DE', 'EUR');
BEGIN
  CREATE TEMP TABLE customers AS SELECT 'P' || p AS code, 'Steinbruch ' || p || ' Keller KG' AS name, 'ACC' || p AS iban
    FROM generate_series(1, 40) p;
  PERFORM o2c.import_customers(c, 'customers');
  CREATE TEMP TABLE items AS
  SELECT format('19%s0010%s', to_char(p, 'FM00'), i) AS number, 'P' || p AS customer_code, date '2025-01-01' AS document_date,
    date '2025-02-01' + i::integer AS due_date, 'EUR' AS currency, a + p AS amount, a + p AS open_amount
  FROM generate_series(1, 40) p,
    unnest(ARRAY[10010.13, 20020.29, 30030.42, 55551.77, 77773.33, 81818.07, 1717.17, 1717.17]) WITH ORDINALITY x(a, i);
  UPDATE items SET amount = amount + split_part(customer_code, 'P', 2)::integer, open_amount = amount + split_part(customer_code, 'P', 2)::integer
  WHERE number LIKE '%103';
  PERFORM o2c.import_open_items(c, 'items');
  DROP TABLE customers, items;
  INSERT INTO o2c.bank_account (company_id, code) VALUES (c, 'M');
  INSERT INTO o2c.bank_line (company_id, bank_account_id, line_id, booking_date, amount, currency, payer_name, payer_account, remittance_text)
  SELECT c, b.id, l.line_id || '-' || p, l.day, l.amount + l.n * p, 'EUR', 'STEINBRUCH ' || p || ' KELLER KG', 'ACC' || p, l.remittance_text
  FROM o2c.bank_account b, generate_series(1, 40) p, (VALUES
    -- 10010.13 + 77773.33, in one way only
    ('first', date '2025-02-05', 87783.46, 2, 'Zahlung'),
    -- 30030.42 + 55551.77, but as well 10010.13 + 20020.29 + 55551.77 until these are paid
    ('then', date '2025-02-05', 85582.19, 3, 'Zahlung'),
    -- numbers that name nothing: the amount decides, and only when the book was read; two lines want one item
    ('late', date '2025-02-07', 81818.07, 1, 'Ref 7171717'),
    ('early', date '2025-02-06', 81818.07, 1, 'Ref 7272727'),
    -- equal to two items
    ('either', date '2025-02-07', 1717.17, 1, 'Zahlung')) l(line_id, day, amount, n, remittance_text)
  WHERE b.company_id = c;
  RETURN c;
END $$;
-- what became of each line, however many payers there are
CREATE FUNCTION pg_temp.outcome(company integer) RETURNS TABLE (line text, option smallint, state text, rule text, items text, lines bigint) LANGUAGE sql AS $$
  SELECT split_part(b.line_id, '-', 1), m.option::smallint, m.state::text, m.rule,
    (SELECT string_agg(right(i.number, 1), '+' ORDER BY i.number) FROM o2c.open_item i WHERE i.company_id = company AND i.id = ANY (m.item_ids)), count(*)
  FROM o2c.match_proposal m JOIN o2c.bank_line b ON b.company_id = company AND b.id = m.bank_line_id
  WHERE m.company_id = company GROUP BY 1, 2, 3, 4, 5
$$;
CREATE TEMP TABLE expected (line text, option smallint, state text, rule text, items text, lines bigint);
INSERT INTO expected VALUES ('first', 1, 'auto', 'bundle', '1+5', 40), ('then', 1, 'auto', 'bundle', '3+4', 40),
  ('early', 1, 'auto', 'amount', '6', 40), ('either', 1, 'suggested', 'amount', '7', 40), ('either', 2, 'suggested', 'amount', '8', 40);

SELECT pg_temp.fill('Rounds') AS c \gset
SELECT results_eq(format('SELECT lines, auto_lines, suggested_lines, unmatched_lines FROM o2c.match_cash(%s)', :c),
  'VALUES (200::bigint, 120::bigint, 40::bigint, 40::bigint)', 'three lines of each payer are posted');
SELECT set_eq(format('SELECT * FROM pg_temp.outcome(%s)', :c), 'SELECT * FROM expected',
  'a sum that another line makes unique is found in a later round; of two lines for one item the earlier day has it');
SELECT is((SELECT count(*) FROM o2c.allocation a WHERE a.company_id = :c), 200::bigint, 'five items of each payer are settled');
SELECT is((SELECT count(DISTINCT p.id) FROM o2c.payment p JOIN o2c.bank_line b ON b.company_id = p.company_id AND b.id = p.bank_line_id
           WHERE p.company_id = :c AND p.state = 'received' AND b.line_id LIKE 'late-%'), 40::bigint, 'who came late keeps his money on account');

-- the same with next to no memory: rows that are read in several rounds go to disk
SET LOCAL work_mem = '64kB';
SELECT pg_temp.fill('Little') AS d \gset
SELECT results_eq(format('SELECT lines, auto_lines FROM o2c.match_cash(%s)', :d), 'VALUES (200::bigint, 120::bigint)', 'little memory posts the same');
SELECT set_eq(format('SELECT * FROM pg_temp.outcome(%s)', :d), 'SELECT * FROM expected', '... and finds the same');
RESET work_mem;

-- rules of the company and of a customer hold in all rounds
SELECT pg_temp.fill('Rules') AS e \gset
UPDATE o2c.match_rule SET automatic = false WHERE company_id = :e AND rule = 'bundle';
INSERT INTO o2c.match_rule (company_id, rule, customer_id, automatic) SELECT :e, 'bundle', c.id, true FROM o2c.customer c WHERE c.company_id = :e AND c.code = 'P1';
INSERT INTO o2c.match_rule (company_id, rule, customer_id, automatic) SELECT :e, 'amount', c.id, false FROM o2c.customer c WHERE c.company_id = :e AND c.code = 'P2';
INSERT INTO o2c.match_rule (company_id, rule, customer_id, automatic, min_confidence) SELECT :e, 'amount', c.id, true, 1 FROM o2c.customer c WHERE c.company_id = :e AND c.code = 'P3';
SELECT results_eq(format('SELECT lines, auto_lines FROM o2c.match_cash(%s)', :e), 'VALUES (200::bigint, 40::bigint)', 'what a rule keeps from posting is not posted');
SELECT set_eq(format($$ SELECT split_part(b.line_id, '-', 1), m.rule FROM o2c.match_proposal m JOIN o2c.bank_line b ON b.company_id = m.company_id AND b.id = m.bank_line_id
                        WHERE m.company_id = %s AND m.state = 'auto' AND b.line_id LIKE '%%-1' $$, :e),
  $$ VALUES ('first', 'bundle'), ('then', 'bundle'), ('early', 'amount') $$, 'the customer''s own rule goes before the company''s');
SELECT is((SELECT count(*) FROM o2c.match_proposal m JOIN o2c.bank_line b ON b.company_id = m.company_id AND b.id = m.bank_line_id
           WHERE m.company_id = :e AND m.state = 'auto' AND b.line_id ~ '-(2|3)$'), 0::bigint, 'and may forbid, or ask for more confidence');
SELECT is((SELECT count(*) FROM o2c.match_proposal m WHERE m.company_id = :e AND m.state = 'suggested' AND m.rule = 'bundle' AND m.option = 1), 78::bigint,
  'what is not posted is suggested');

-- what a person rejected is not posted again, in whichever round it is found
SELECT pg_temp.fill('Rejected') AS f \gset
UPDATE o2c.match_rule SET automatic = false WHERE company_id = :f;
SELECT is(auto_lines, 0::bigint, 'nothing is posted while no rule is automatic') FROM o2c.match_cash(:f);
SELECT o2c.reject_matches(:f, array_agg(m.id)) FROM o2c.match_proposal m JOIN o2c.bank_line b ON b.company_id = m.company_id AND b.id = m.bank_line_id
WHERE m.company_id = :f AND b.line_id IN ('first-5', 'early-7') \g /dev/null
UPDATE o2c.match_rule SET automatic = true WHERE company_id = :f;
CREATE TEMP TABLE items AS SELECT 'NEW-1' AS number, 'P1' AS customer_code, date '2025-01-01' AS document_date, date '2025-09-01' AS due_date,
  'EUR' AS currency, 1 AS amount, 1 AS open_amount;
SELECT o2c.import_open_items(:f, 'items') \g /dev/null
SELECT is(auto_lines, 118::bigint, 'then all but what was rejected and what hung on it') FROM o2c.match_cash(:f);
SELECT set_eq(format($$ SELECT DISTINCT b.line_id FROM o2c.match_proposal m JOIN o2c.bank_line b ON b.company_id = m.company_id AND b.id = m.bank_line_id
                        WHERE m.company_id = %s AND m.state = 'auto' AND b.line_id ~ '-(5|7)$' $$, :f),
  $$ VALUES ('early-5'), ('first-7'), ('then-7'), ('late-7') $$, 'what was rejected for one line is free for another');

-- of two lines that want one item in a later round the better evidence has it, though it came a day later:
-- the end of its number, of which a part is paid, goes before its amount
SELECT o2c.create_company('Tiers', 'DE', 'EUR') AS g \gset
INSERT INTO o2c.customer (company_id, code, name, account_number) SELECT :g, 'T' || t, 'Ziegelei ' || t || ' GmbH', 'TIER' || t FROM generate_series(1, 5) t;
CREATE TEMP TABLE tiers AS SELECT 'RE-2719' || t || '6041' AS number, 'T' || t AS customer_code, date '2025-01-01' AS document_date, date '2025-02-01' AS due_date,
  'EUR' AS currency, 81818.07 AS amount FROM generate_series(1, 5) t;
SELECT o2c.import_open_items(:g, 'tiers') \g /dev/null
INSERT INTO o2c.bank_account (company_id, code) VALUES (:g, 'M');
INSERT INTO o2c.bank_line (company_id, bank_account_id, line_id, booking_date, amount, currency, payer_name, payer_account, remittance_text)
SELECT :g, b.id, l.line_id || '-' || t, l.day, l.amount, 'EUR', 'ZIEGELEI ' || t, 'TIER' || t, replace(l.remittance_text, 'T', t::text)
FROM o2c.bank_account b, generate_series(1, 5) t, (VALUES
  ('amount', date '2025-02-05', 81818.07, 'Ref 7171717'), ('part', date '2025-02-06', 1234.56, 'Teilzahlung T6041')) l(line_id, day, amount, remittance_text)
WHERE b.company_id = :g;
SELECT is(auto_lines, 5::bigint, 'one line of each payer is posted') FROM o2c.match_cash(:g);
SELECT set_eq(format($$ SELECT split_part(b.line_id, '-', 1), m.rule, count(*) FROM o2c.match_proposal m
                        JOIN o2c.bank_line b ON b.company_id = m.company_id AND b.id = m.bank_line_id
                        WHERE m.company_id = %s AND m.state = 'auto' GROUP BY 1, 2 $$, :g),
  $$ VALUES ('part', 'partial', 5::bigint) $$, '... by the better evidence, not by the earlier day');
SELECT is_empty('SELECT * FROM o2c.check()', 'every invariant holds');
SELECT finish();
ROLLBACK;
