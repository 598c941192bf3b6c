-- The subledger: items, entries, allocations, reversals, periods, imports.
BEGIN;
SELECT plan(97);
CREATE TEMPORARY TABLE ctx AS SELECT o2c.create_company('Ledger', 'DE', 'EUR') AS c;
INSERT INTO o2c.customer (company_id, code, name) SELECT c, code, code FROM ctx, unnest('{A,B}'::text[]) code;
CREATE FUNCTION pg_temp.c() RETURNS integer LANGUAGE sql AS 'SELECT c FROM ctx';
CREATE FUNCTION pg_temp.cust(text) RETURNS bigint LANGUAGE sql AS 'SELECT id FROM o2c.customer WHERE company_id = pg_temp.c() AND code = $1';
CREATE FUNCTION pg_temp.item(number text) RETURNS bigint LANGUAGE sql AS 'SELECT id FROM o2c.open_item i WHERE i.company_id = pg_temp.c() AND i.number = $1';
CREATE FUNCTION pg_temp.open(number text) RETURNS numeric LANGUAGE sql AS 'SELECT open_amount FROM o2c.open_item i WHERE i.company_id = pg_temp.c() AND i.number = $1';
CREATE FUNCTION pg_temp.add(number text, kind text, customer text, doc date, due date, amount numeric, cur text DEFAULT 'EUR') RETURNS bigint LANGUAGE sql AS $$
  INSERT INTO o2c.open_item (company_id, customer_id, kind, number, document_date, due_date, currency, amount, open_amount)
  VALUES (pg_temp.c(), pg_temp.cust(customer), kind::o2c.item_kind, number, doc, due, cur::o2c.currency, amount, amount) RETURNING id $$;
CREATE FUNCTION pg_temp.apply(debit text, credit text, amount numeric, eff date, reverses bigint DEFAULT NULL, cur text DEFAULT 'EUR') RETURNS bigint LANGUAGE sql AS $$
  INSERT INTO o2c.allocation (company_id, debit_item_id, credit_item_id, currency, amount, effective_on, reverses_id)
  VALUES (pg_temp.c(), pg_temp.item(debit), pg_temp.item(credit), cur::o2c.currency, amount, eff, reverses) RETURNING id $$;

-- items and their first entries
SELECT lives_ok($$SELECT pg_temp.add('I1', 'invoice', 'A', '2024-01-10', '2024-02-09', 100)$$, 'an item is posted with its first entry');
SELECT is(pg_temp.open('I1'), 100::numeric, 'it is open in full');
SELECT is((SELECT row(kind, amount, effective_on, credit)::text FROM o2c.ledger_entry WHERE item_id = pg_temp.item('I1')),
  '(invoice,100,2024-01-10,f)', 'its entry counts from the document date');
SELECT lives_ok($$INSERT INTO o2c.open_item (company_id, customer_id, kind, number, document_date, due_date, currency, amount)
  VALUES (pg_temp.c(), pg_temp.cust('A'), 'invoice', 'I2', '2024-01-20', '2024-02-19', 'EUR', 50)$$, 'an item may come with nothing open');
SELECT is(pg_temp.open('I2'), 0::numeric, 'and waits for its entries');
SELECT lives_ok($$INSERT INTO o2c.ledger_entry (company_id, item_id, customer_id, currency, due_date, kind, amount, effective_on)
  VALUES (pg_temp.c(), pg_temp.item('I2'), pg_temp.cust('A'), 'EUR', '2024-02-19', 'invoice', 50, '2024-01-20')$$, 'which then follow');
SELECT is(pg_temp.open('I2'), 50::numeric, 'and open it');
SELECT throws_ok($$INSERT INTO o2c.open_item (company_id, customer_id, kind, number, document_date, due_date, currency, amount, open_amount)
  VALUES (pg_temp.c(), pg_temp.cust('A'), 'invoice', 'IX', '2024-01-20', '2024-02-19', 'EUR', 50, 20)$$, 'O2033', NULL, 'part of an amount cannot be inserted as open');
SELECT throws_ok($$SELECT pg_temp.add('IX', 'invoice', 'A', '2024-01-10', '2024-02-09', 100.005)$$, '23514', NULL, 'no amount of another scale');
SELECT throws_ok($$SELECT pg_temp.add('IX', 'invoice', 'A', '2024-01-10', '2024-02-09', 'NaN')$$, '23514', NULL, 'no NaN');
SELECT throws_ok($$SELECT pg_temp.add('IX', 'invoice', 'A', 'infinity', '2024-02-09', 1)$$, '23514', NULL, 'no date of infinity');
SELECT lives_ok($$SELECT pg_temp.add('P1', 'on_account', 'A', '2024-02-01', '2024-02-01', -120)$$, 'money on account');

-- allocations
SELECT lives_ok($$SELECT pg_temp.apply('I1', 'P1', 70, '2024-02-01')$$, 'a payment is applied in part');
SELECT is(pg_temp.open('I1'), 30::numeric, 'the invoice has the rest open');
SELECT is(pg_temp.open('P1'), -50::numeric, 'and so has the payment');
SELECT throws_ok($$SELECT pg_temp.apply('I1', 'P1', 30.01, '2024-02-01')$$, 'O2060', NULL, 'never more than is open on the debit');
SELECT throws_ok($$SELECT pg_temp.apply('I2', 'P1', 50.01, '2024-02-01')$$, 'O2060', NULL, 'never more than is open on the credit');
SELECT throws_ok($$SELECT pg_temp.apply('P1', 'I1', 1, '2024-02-01')$$, 'O2003', NULL, 'a debit does not pay a credit');
SELECT throws_ok($$SELECT pg_temp.apply('I1', 'P1', 1, '2024-02-01', NULL, 'USD')$$, 'O2003', NULL, 'nor another currency');
SELECT throws_ok($$SELECT pg_temp.apply('I1', 'P1', 1, 'infinity')$$, '23514', NULL, 'nor at infinity');
SELECT lives_ok($$INSERT INTO o2c.allocation (company_id, debit_item_id, credit_item_id, currency, amount, effective_on)
  SELECT pg_temp.c(), pg_temp.item('I1'), pg_temp.item('P1'), 'EUR', 10, '2024-02-02' FROM generate_series(1, 3)$$, 'one item several times in one statement');
SELECT is(pg_temp.open('I1'), 0::numeric, 'is added up');
SELECT throws_ok($$INSERT INTO o2c.allocation (company_id, debit_item_id, credit_item_id, currency, amount, effective_on)
  SELECT pg_temp.c(), pg_temp.item('I2'), pg_temp.item('P1'), 'EUR', 10, '2024-02-02' FROM generate_series(1, 3)$$, 'O2060', NULL, 'and refused as a whole');
SELECT is(pg_temp.open('I2'), 50::numeric, 'then nothing of it stays');

-- reversals
SELECT throws_ok($$SELECT pg_temp.apply('I1', 'P1', -70, '2024-01-31', (SELECT min(id) FROM o2c.allocation WHERE company_id = pg_temp.c()))$$,
  'O2033', NULL, 'a reversal is not earlier than what it undoes');
SELECT throws_ok($$SELECT pg_temp.apply('I1', 'P1', -60, '2024-02-05', (SELECT min(id) FROM o2c.allocation WHERE company_id = pg_temp.c()))$$,
  'O2033', NULL, 'nor of another amount');
SELECT throws_ok($$SELECT pg_temp.apply('I1', 'P1', -70, '2024-02-05')$$, '23514', NULL, 'nor of nothing');
SELECT lives_ok($$SELECT pg_temp.apply('I1', 'P1', -70, '2024-03-05', (SELECT min(id) FROM o2c.allocation WHERE company_id = pg_temp.c()))$$, 'an allocation is undone');
SELECT is(pg_temp.open('I1'), 70::numeric, 'the invoice is open again');
SELECT throws_ok($$SELECT pg_temp.apply('I1', 'P1', -70, '2024-03-05', (SELECT min(id) FROM o2c.allocation WHERE company_id = pg_temp.c()))$$,
  '23505', NULL, 'once');
SELECT is((SELECT total FROM o2c.aging(pg_temp.c(), '2024-02-15')), 30::numeric, 'two invoices less the payment, applied or not');
SELECT is((SELECT buckets FROM o2c.aging(pg_temp.c(), '2024-03-04')), '{0,50,0,0,0}'::numeric[], 'the day before the reversal');
SELECT is((SELECT buckets FROM o2c.aging(pg_temp.c(), '2024-03-05')), '{0,120,0,0,0}'::numeric[], 'the day of the reversal');

-- an application counts from the day on which both documents exist
SELECT pg_temp.add('I3', 'invoice', 'B', '2024-05-10', '2024-06-09', 80);
SELECT pg_temp.add('P3', 'on_account', 'B', '2024-05-01', '2024-05-01', -80);
SELECT lives_ok($$SELECT pg_temp.apply('I3', 'P3', 80, '2024-05-01')$$, 'a prepayment is applied with its own date');
SELECT is((SELECT unapplied FROM o2c.aging(pg_temp.c(), '2024-05-05') WHERE customer_code = 'B'), -80::numeric, 'it is on account until there is an invoice');
SELECT is((SELECT count(*) FROM o2c.aging(pg_temp.c(), '2024-05-10') WHERE customer_code = 'B'), 0::bigint, 'and settles it on its date');

-- append-only, derived, fitting
SELECT throws_ok('UPDATE o2c.ledger_entry SET amount = 1', 'O2030', NULL, 'entries are not changed');
SELECT throws_ok('DELETE FROM o2c.ledger_entry', 'O2030', NULL, 'nor deleted');
SELECT throws_ok('TRUNCATE o2c.ledger_entry', 'O2030', NULL, 'nor truncated');
SELECT throws_ok('DELETE FROM o2c.allocation', 'O2030', NULL, 'allocations neither');
SELECT throws_ok('DELETE FROM o2c.open_item', 'O2030', NULL, 'items neither');
SELECT throws_ok($$UPDATE o2c.open_item SET open_amount = 0 WHERE number = 'I2'$$, 'O2030', NULL, 'open amounts are derived');
SELECT throws_ok($$INSERT INTO o2c.ledger_entry (company_id, item_id, customer_id, currency, due_date, kind, amount, effective_on)
  VALUES (pg_temp.c(), pg_temp.item('I2'), pg_temp.cust('B'), 'EUR', '2024-02-19', 'write_off', -1, '2024-03-01')$$, 'O2003', NULL, 'an entry has its item''s customer');
SELECT throws_ok($$INSERT INTO o2c.ledger_entry (company_id, item_id, customer_id, currency, due_date, kind, amount, effective_on)
  VALUES (pg_temp.c(), pg_temp.item('I2'), pg_temp.cust('A'), 'EUR', '2024-02-20', 'write_off', -1, '2024-03-01')$$, 'O2003', NULL, 'and due date');
SELECT throws_ok($$INSERT INTO o2c.ledger_entry (company_id, item_id, customer_id, currency, due_date, kind, amount, effective_on)
  VALUES (pg_temp.c(), pg_temp.item('I2'), pg_temp.cust('A'), 'EUR', '2024-02-19', 'write_off', -1, '2024-01-01')$$, 'O2003', NULL, 'and does not count before it');
SELECT throws_ok($$INSERT INTO o2c.ledger_entry (company_id, item_id, customer_id, currency, due_date, kind, amount, effective_on)
  VALUES (pg_temp.c(), 0, pg_temp.cust('A'), 'EUR', '2024-02-19', 'write_off', -1, '2024-03-01')$$, 'O2003', NULL, 'and an item');

-- write-off and its reversal
SELECT throws_ok($$SELECT o2c.write_off(pg_temp.c(), 'I2', 5)$$, 'O2004', NULL, 'a write-off has a reason');
SELECT throws_ok($$SELECT o2c.write_off(pg_temp.c(), 'nope', 5, 'x')$$, 'O2003', NULL, 'and an item');
SELECT throws_ok($$SELECT o2c.write_off(pg_temp.c(), 'I2', 50.01, 'x')$$, 'O2060', NULL, 'and at most what is open');
SELECT throws_ok($$SELECT o2c.write_off(pg_temp.c(), 'I2', 'NaN', 'x')$$, 'O2043', NULL, 'and an amount');
CREATE TEMPORARY TABLE w AS SELECT o2c.write_off(pg_temp.c(), 'I2', 20, 'small debt', '2024-06-01') AS id;
SELECT is(pg_temp.open('I2'), 30::numeric, 'it reduces what is open');
SELECT lives_ok($$SELECT o2c.reverse_entry(pg_temp.c(), (SELECT id FROM w), 'paid after all', '2024-07-01')$$, 'it can be undone');
SELECT is(pg_temp.open('I2'), 50::numeric, 'and is open again');
SELECT throws_ok($$SELECT o2c.reverse_entry(pg_temp.c(), (SELECT id FROM w), 'again', '2024-07-01')$$, 'O2061', NULL, 'once');

-- periods
SELECT lives_ok($$SELECT o2c.close_period(pg_temp.c(), '2024-01-01', '2024-03-31')$$, 'a period is closed');
SELECT throws_ok($$SELECT o2c.write_off(pg_temp.c(), 'I2', 5, 'x', '2024-03-31')$$, 'O2031', NULL, 'and takes no entry');
SELECT throws_ok($$SELECT pg_temp.add('I9', 'invoice', 'A', '2024-01-01', '2024-02-09', 100)$$, 'O2031', NULL, 'nor an item');
SELECT o2c.reopen_period(pg_temp.c(), (SELECT id FROM o2c.period WHERE company_id = pg_temp.c()), 'audit');
SELECT lives_ok($$SELECT o2c.write_off(pg_temp.c(), 'I2', 5, 'x', '2024-03-31')$$, 'until it is opened again');

SELECT is((SELECT string_agg(i.indrelid::regclass::text, ' ') FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid WHERE t.relnamespace = 'o2c'::regnamespace AND i.indisprimary
  AND EXISTS (SELECT FROM pg_index o WHERE o.indrelid = i.indrelid AND o.indexrelid > i.indexrelid)), NULL, 'primary keys are the last index of their table');

-- imports
CREATE TEMPORARY TABLE src (number text, customer_code text, document_date date, due_date text, currency text, amount text, open_amount numeric, structured_ref text);
INSERT INTO src VALUES ('O1', 'A', '2023-01-01', '2023-01-31', 'EUR', '1000.00', 400, 'rf18 5390 0754 7034'), ('O2', 'A', '2023-01-01', '2023-01-31', 'EUR', '-10', NULL, NULL),
  ('O3', 'nobody', '2023-01-01', '2023-01-31', 'EUR', '1', NULL, NULL), ('O4', 'A', '2023-01-01', '2023-02-30', 'EUR', '1', NULL, NULL),
  ('O5', 'A', '2023-01-01', '2023-01-31', 'EUR', '1.001', NULL, NULL), ('O6', 'A', '2023-01-01', '2023-01-31', 'EUR', '5', 6, NULL),
  ('O1', 'A', '2023-01-01', '2023-01-31', 'EUR', '1000.00', 400, NULL), ('I1', 'A', '2023-01-01', '2023-01-31', 'EUR', '5', NULL, NULL),
  ('O1', 'B', '2023-01-01', '2023-01-31', 'EUR', '1000.00', 400, NULL), ('O7', 'A', '2023-01-01', '2023-01-31', 'XXX', 'NaN', NULL, NULL);
SELECT is(o2c.import_open_items(pg_temp.c(), 'src')::text, '(2,1,7)', 'open items are imported, bad rows are not');
SELECT is(o2c.import_open_items(pg_temp.c(), 'src')::text, '(0,3,7)', 'once');
SELECT is(o2c._aging(pg_temp.c(), '2023-02-01', '{0,30}', 'due', NULL, NULL, 'full')::text LIKE '%{0.00,400.00,0.00}%-10%', true,
  'what was paid before the import was never open');
SELECT is((SELECT string_agg(k::text, ' ') FROM o2c._check_receivable(pg_temp.c()) k), NULL, 'nothing is violated');

-- an item's customer and source exist and stay, as by foreign keys
SELECT throws_ok($$INSERT INTO o2c.open_item (company_id, customer_id, kind, number, document_date, due_date, currency, amount, open_amount)
  SELECT pg_temp.c(), x, 'invoice', 'K' || n, '2024-05-01', '2024-06-01', 'EUR', 1, 1 FROM unnest(ARRAY[pg_temp.cust('A'), -1, pg_temp.cust('A')]) WITH ORDINALITY u(x, n)$$,
  '23503', NULL, 'no item of a customer that does not exist');
SELECT throws_ok($$INSERT INTO o2c.open_item (company_id, customer_id, kind, number, document_date, due_date, currency, amount, open_amount)
  SELECT o2c.create_company('Elsewhere', 'DE', 'EUR'), pg_temp.cust('A'), 'invoice', 'K', '2024-05-01', '2024-06-01', 'EUR', 1, 1$$,
  '23503', NULL, 'nor of another company''s');
SELECT throws_ok($$INSERT INTO o2c.open_item (company_id, customer_id, kind, number, source_item_id, document_date, due_date, currency, amount, open_amount)
  VALUES (pg_temp.c(), pg_temp.cust('A'), 'fee', 'K', -1, '2024-05-01', '2024-06-01', 'EUR', 1, 1)$$, '23503', NULL, 'nor from an item that does not exist');
SELECT throws_ok($$UPDATE o2c.open_item SET source_item_id = -1 WHERE company_id = pg_temp.c() AND number = 'I1'$$, 'O2030', NULL, 'nor later');
INSERT INTO o2c.customer (company_id, code, name) SELECT c, 'C', 'C' FROM ctx;
SELECT lives_ok($$DELETE FROM o2c.customer WHERE company_id = pg_temp.c() AND code = 'C'$$, 'a customer without items may go');
INSERT INTO o2c.customer (company_id, code, name) SELECT c, 'D', 'D' FROM ctx;
INSERT INTO o2c.open_item (company_id, customer_id, kind, number, document_date, due_date, currency, amount, open_amount)
VALUES (pg_temp.c(), pg_temp.cust('D'), 'invoice', 'K', '2024-05-01', '2024-06-01', 'EUR', 1, 1);
SELECT throws_ok($$DELETE FROM o2c.customer WHERE company_id = pg_temp.c() AND code = 'D'$$, 'O2030', NULL, 'one that owes stays');
SELECT lives_ok($$SELECT o2c.write_off(pg_temp.c(), 'K', 1, 'x', '2024-05-02')$$, 'it owes nothing any more');
SELECT throws_ok($$DELETE FROM o2c.customer WHERE company_id = pg_temp.c() AND code = 'D'$$, '23503', NULL, 'one with items stays');
SELECT throws_ok($$UPDATE o2c.customer SET id = -1 WHERE company_id = pg_temp.c() AND code = 'D'$$, '23503', NULL, 'and keeps its id');

-- money that is used up at once: the receipt is posted together with what it pays
CREATE FUNCTION pg_temp.receive(number text, doc date, amount numeric) RETURNS bigint LANGUAGE sql AS $$
  INSERT INTO o2c.open_item (company_id, customer_id, kind, number, document_date, due_date, currency, amount, open_amount)
  VALUES (pg_temp.c(), pg_temp.cust('B'), 'on_account', number, doc, doc, 'EUR', amount, 0) RETURNING id $$;
CREATE FUNCTION pg_temp.entries(number text) RETURNS text LANGUAGE sql AS $$
  SELECT string_agg(e.kind || ' ' || e.amount || ' ' || e.effective_on, ', ' ORDER BY e.id) FROM o2c.ledger_entry e
  WHERE e.company_id = pg_temp.c() AND e.item_id = pg_temp.item(number) $$;
SELECT pg_temp.add('J1', 'invoice', 'B', '2024-05-01', '2024-06-01', 100);
SELECT lives_ok($$SELECT pg_temp.receive('R1', '2024-05-10', -40)$$, 'money on account may come with nothing open');
SELECT is(pg_temp.entries('R1'), NULL, 'then it has no entry');
SELECT throws_ok($$INSERT INTO o2c.payment (company_id, customer_id, amount, currency, received_on, item_id, state)
  VALUES (pg_temp.c(), pg_temp.cust('B'), 40, 'EUR', '2024-05-10', pg_temp.item('R1'), 'applied')$$, 'O2033', NULL, 'and is nobody''s payment');
CREATE TEMPORARY TABLE was AS SELECT ctid AS place FROM o2c.open_item WHERE company_id = pg_temp.c() AND number = 'R1';
SELECT lives_ok($$SELECT pg_temp.apply('J1', 'R1', 40, '2024-05-01')$$, 'until it pays');
SELECT is(pg_temp.entries('R1'), 'receipt -40 2024-05-10, application 40 2024-05-10', 'its receipt comes first, on its own day');
SELECT is(pg_temp.open('J1'), 60::numeric, 'what it pays is less');
SELECT is((SELECT i.ctid FROM o2c.open_item i WHERE i.company_id = pg_temp.c() AND i.number = 'R1'), (SELECT place FROM was), 'what is used up stays as it was inserted');
SELECT lives_ok($$INSERT INTO o2c.payment (company_id, customer_id, amount, currency, received_on, item_id, state)
  VALUES (pg_temp.c(), pg_temp.cust('B'), 40, 'EUR', '2024-05-10', pg_temp.item('R1'), 'applied')$$, 'now it is a payment');
SELECT throws_ok($$SELECT pg_temp.apply('J1', 'R1', 1, '2024-05-10')$$, 'O2060', NULL, 'it pays once');
SELECT lives_ok($$SELECT pg_temp.apply('J1', 'R1', -40, '2024-05-11', (SELECT max(id) FROM o2c.allocation WHERE company_id = pg_temp.c()))$$, 'undone');
SELECT is(pg_temp.open('R1'), -40::numeric, 'it is open');
SELECT is((SELECT p.state::text FROM o2c.payment p WHERE p.company_id = pg_temp.c() AND p.item_id = pg_temp.item('R1')), 'received', 'and so is its payment');
SELECT pg_temp.receive('R2', '2024-05-10', -50);
SELECT throws_ok($$SELECT pg_temp.apply('J1', 'R2', 50.01, '2024-05-10')$$, 'O2060', NULL, 'never more than was received');
SELECT lives_ok($$SELECT pg_temp.apply('J1', 'R2', 20, '2024-05-10')$$, 'in part');
SELECT is(pg_temp.open('R2'), -30::numeric, 'the rest is open');
SELECT is(pg_temp.entries('R2'), 'receipt -50 2024-05-10, application 20 2024-05-10', 'with one receipt');
SELECT is((SELECT row(x.open_items, x.unapplied)::text FROM o2c.credit_account x WHERE x.company_id = pg_temp.c() AND x.customer_id = pg_temp.cust('B')),
  (SELECT row(sum(greatest(i.open_amount, 0)), - sum(least(i.open_amount, 0)))::text FROM o2c.open_item i WHERE i.company_id = pg_temp.c() AND i.customer_id = pg_temp.cust('B')),
  'the exposure follows');
SELECT is((SELECT string_agg(k::text, ' ') FROM o2c._check_receivable(pg_temp.c()) k), NULL, 'still nothing is violated');
SELECT pg_temp.add('J2', 'invoice', 'B', '2024-05-01', '2024-06-01', 45), pg_temp.add('J3', 'invoice', 'B', '2024-05-03', '2024-06-01', 15);
SELECT pg_temp.receive('R4', '2024-05-10', -40), pg_temp.receive('R5', '2024-05-02', -20);
SELECT lives_ok($$INSERT INTO o2c.allocation (company_id, debit_item_id, credit_item_id, currency, amount, effective_on)
  SELECT pg_temp.c(), pg_temp.item(debit), pg_temp.item(credit), 'EUR', amount, '2024-05-01'
  FROM (VALUES ('J3', 'R5', 10), ('J2', 'R4', 35), ('J3', 'R4', 5), ('J2', 'R5', 10)) v (debit, credit, amount)$$, 'two payments for two invoices at once');
SELECT is((SELECT string_agg(concat_ws(' ', i.number, e.kind, e.amount, e.effective_on), ', ' ORDER BY e.id) FROM o2c.ledger_entry e
    JOIN o2c.open_item i ON i.company_id = e.company_id AND i.id = e.item_id
    WHERE i.company_id = pg_temp.c() AND i.number IN ('J2', 'J3', 'R4', 'R5') AND e.kind <> 'invoice'),
  'J2 application -35 2024-05-10, J2 application -10 2024-05-02, J3 application -10 2024-05-03, J3 application -5 2024-05-10,'
  ' R4 receipt -40 2024-05-10, R4 application 35 2024-05-10, R4 application 5 2024-05-10,'
  ' R5 receipt -20 2024-05-02, R5 application 10 2024-05-03, R5 application 10 2024-05-02', 'their entries come in the order of the items');
SELECT is((SELECT string_agg(k::text, ' ') FROM o2c._check_receivable(pg_temp.c()) k), NULL, 'and nothing is violated');
-- what posting does in place of its own triggers is not withheld from others
CREATE TEMPORARY TABLE seen (what text);
CREATE FUNCTION pg_temp.see() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO pg_temp.seen SELECT concat_ws(' ', TG_TABLE_NAME, count(*), sum((to_jsonb(n) ->> TG_ARGV[0])::numeric)) FROM new_rows n;
  RETURN NULL;
END $$;
CREATE TRIGGER see AFTER UPDATE ON o2c.open_item REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION pg_temp.see('open_amount');
CREATE TRIGGER see AFTER INSERT ON o2c.ledger_entry REFERENCING NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION pg_temp.see('amount');
SELECT pg_temp.add('J4', 'invoice', 'B', '2024-05-01', '2024-06-01', 10), pg_temp.receive('R6', '2024-05-10', -7);
SELECT pg_temp.apply('J4', 'R6', 4, '2024-05-10');
SELECT is((SELECT string_agg(what, ', ') FROM seen), 'ledger_entry 1 10, ledger_entry 3 -7, open_item 2 3', 'transition tables are those of any statement');
SELECT is((SELECT row(x.open_items, x.unapplied)::text FROM o2c.credit_account x WHERE x.company_id = pg_temp.c() AND x.customer_id = pg_temp.cust('B')),
  (SELECT row(sum(greatest(i.open_amount, 0)), - sum(least(i.open_amount, 0)))::text FROM o2c.open_item i WHERE i.company_id = pg_temp.c() AND i.customer_id = pg_temp.cust('B')),
  'and the exposure follows once');
DROP TRIGGER see ON o2c.ledger_entry;
SELECT pg_temp.receive('R3', '2022-01-10', -5);
SELECT matches((SELECT string_agg(k::text, ' ') FROM o2c._check_receivable(pg_temp.c()) k), 'R3: open 0', 'what was received and not posted is');
SELECT o2c.close_period(pg_temp.c(), '2022-01-01', '2022-03-31');
SELECT throws_ok($$SELECT pg_temp.apply('J1', 'R3', 5, '2024-05-10')$$, 'O2031', NULL, 'no receipt comes into a closed period');
SELECT * FROM finish();
ROLLBACK;
