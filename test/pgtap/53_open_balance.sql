-- What is open, beside the items: o2c.open_balance follows every posting, takes
-- no statement from anybody, and check() tells when it says anything else.
SET client_min_messages = warning;
BEGIN;
SELECT plan(41);
CREATE TEMPORARY TABLE ctx AS SELECT o2c.create_company('Balances', 'DE', 'EUR') AS c;
INSERT INTO o2c.customer (company_id, code, name) SELECT c, code, code FROM ctx, unnest('{A,B}'::text[]) code;
CREATE FUNCTION pg_temp.c() RETURNS integer LANGUAGE sql STABLE AS 'SELECT c FROM ctx';
CREATE FUNCTION pg_temp.item(number text) RETURNS bigint LANGUAGE sql AS 'SELECT id FROM o2c.open_item i WHERE i.company_id = pg_temp.c() AND i.number = $1';
CREATE FUNCTION pg_temp.add(number text, kind text, customer text, amount numeric, open numeric) RETURNS void LANGUAGE sql AS $$
  INSERT INTO o2c.open_item (company_id, customer_id, kind, number, document_date, due_date, currency, amount, open_amount)
  VALUES (pg_temp.c(), (SELECT id FROM o2c.customer k WHERE k.company_id = pg_temp.c() AND k.code = customer), kind::o2c.item_kind,
          number, '2024-01-10', '2024-02-09', 'EUR', amount, open) $$;
CREATE FUNCTION pg_temp.apply(debit text, credit text, amount numeric) RETURNS void LANGUAGE sql AS $$
  INSERT INTO o2c.allocation (company_id, debit_item_id, credit_item_id, currency, amount, effective_on)
  VALUES (pg_temp.c(), pg_temp.item(debit), pg_temp.item(credit), 'EUR', amount, '2024-02-01') $$;
-- number, customer and amount of all that is open
CREATE FUNCTION pg_temp.balances() RETURNS text LANGUAGE sql AS $$
  SELECT coalesce(string_agg(format('%s %s %s', i.number, coalesce(k.code, '-'), trim_scale(b.open_amount)), ', ' ORDER BY i.number), 'none')
  FROM o2c.open_balance b JOIN o2c.open_item i ON i.company_id = b.company_id AND i.id = b.item_id
  LEFT JOIN o2c.customer k ON k.company_id = b.company_id AND k.id = b.customer_id WHERE b.company_id = pg_temp.c() $$;
CREATE FUNCTION pg_temp.faults() RETURNS bigint LANGUAGE sql AS $$
  SELECT count(*) FROM o2c.check(pg_temp.c()) WHERE invariant = 'balance is what is open on its item' $$;

-- every way of an open amount
SELECT pg_temp.add('I1', 'invoice', 'A', 100, 100), pg_temp.add('I2', 'invoice', 'B', 50, 0), pg_temp.add('O1', 'opening', 'A', 80, 30),
  pg_temp.add('O2', 'opening', 'A', 70, 0), pg_temp.add('P1', 'on_account', 'A', -120, -120), pg_temp.add('P2', 'on_account', 'A', -40, 0),
  pg_temp.add('U1', 'unidentified', NULL, -9, -9) \g /dev/null
SELECT is(pg_temp.balances(), 'I1 A 100, O1 A 30, P1 A -120, U1 - -9', 'items that are posted open have a balance, others none');
SELECT is((SELECT row(company_id = pg_temp.c(), due_date, document_date, currency)::text FROM o2c.open_balance WHERE item_id = pg_temp.item('I1')),
  '(t,2024-02-09,2024-01-10,EUR)', 'with the dates and the currency of the item');
INSERT INTO o2c.ledger_entry (company_id, item_id, customer_id, currency, due_date, kind, amount, effective_on)
SELECT company_id, id, customer_id, currency, due_date, 'invoice', 50, document_date FROM o2c.open_item WHERE id = pg_temp.item('I2');
SELECT is(pg_temp.balances(), 'I1 A 100, I2 B 50, O1 A 30, P1 A -120, U1 - -9', 'an entry opens an item');
SELECT pg_temp.apply('I1', 'P1', 70) \g /dev/null
SELECT is(pg_temp.balances(), 'I1 A 30, I2 B 50, O1 A 30, P1 A -50, U1 - -9', 'an allocation leaves the rest of both');
SELECT pg_temp.apply('I1', 'P1', 30), pg_temp.apply('O1', 'P1', 20) \g /dev/null
SELECT is(pg_temp.balances(), 'I2 B 50, O1 A 10, U1 - -9', 'and what is settled has none');
SELECT pg_temp.apply('O1', 'P2', 10) \g /dev/null
SELECT is(pg_temp.balances(), 'I2 B 50, P2 A -30, U1 - -9', 'a receipt that comes with its first allocation has its rest');
INSERT INTO o2c.allocation (company_id, debit_item_id, credit_item_id, currency, amount, effective_on, reverses_id)
SELECT company_id, debit_item_id, credit_item_id, currency, - amount, '2024-03-01', id FROM o2c.allocation
WHERE debit_item_id = pg_temp.item('I1') AND amount = 70;
SELECT is(pg_temp.balances(), 'I1 A 70, I2 B 50, P1 A -70, P2 A -30, U1 - -9', 'what is undone is open again');
SELECT pg_temp.add('I3', 'invoice', 'B', 5, 5), pg_temp.add('P3', 'on_account', 'B', -5, -5), pg_temp.apply('I3', 'P3', 5) \g /dev/null
SELECT is(pg_temp.balances(), 'I1 A 70, I2 B 50, P1 A -70, P2 A -30, U1 - -9', 'an item comes and goes in one statement');
SAVEPOINT s;
SELECT pg_temp.apply('I1', 'P1', 70) \g /dev/null
ROLLBACK TO s;
SELECT is(pg_temp.balances(), 'I1 A 70, I2 B 50, P1 A -70, P2 A -30, U1 - -9', 'what is rolled back was not posted');
INSERT INTO o2c.open_item (company_id, customer_id, kind, number, document_date, due_date, currency, amount, open_amount)
SELECT pg_temp.c(), k.id, 'invoice', 'M' || n, '2024-01-10', '2024-02-09', 'EUR', n, n FROM o2c.customer k, generate_series(1, 1000) n WHERE k.company_id = pg_temp.c() AND k.code = 'B';
SELECT is((SELECT row(count(*), sum(open_amount))::text FROM o2c.open_balance WHERE company_id = pg_temp.c()), '(1005,500511)', 'many at once');
INSERT INTO o2c.ledger_entry (company_id, item_id, customer_id, currency, due_date, kind, amount, effective_on)
SELECT company_id, id, customer_id, currency, due_date, 'write_off', - amount, '2024-03-01' FROM o2c.open_item WHERE company_id = pg_temp.c() AND number LIKE 'M%';
SELECT is(pg_temp.balances(), 'I1 A 70, I2 B 50, P1 A -70, P2 A -30, U1 - -9', 'and settled at once');
SELECT is_empty('SELECT * FROM o2c.check(pg_temp.c())', 'check() is empty');

-- no statement, whoever gives it
SELECT throws_ok(s.statement, 'O2030', NULL, 'its owner may not: ' || s.statement)
FROM (VALUES ('INSERT INTO o2c.open_balance SELECT * FROM o2c.open_balance'), ('UPDATE o2c.open_balance SET open_amount = 1'),
  ('DELETE FROM o2c.open_balance'), ('TRUNCATE o2c.open_balance'), ('DELETE FROM o2c.open_balance WHERE false')) s(statement);
SELECT ok(NOT has_any_column_privilege(r, 'o2c.open_balance', 'INSERT, UPDATE') AND NOT has_table_privilege(r, 'o2c.open_balance', 'INSERT, UPDATE, DELETE, TRUNCATE'),
  r || ' may not write it')
FROM unnest('{o2c_reader,o2c_clerk,o2c_collector,o2c_manager,o2c_admin,o2c_dispatcher}'::text[]) r;
SELECT ok(has_table_privilege(r, 'o2c.open_balance', 'SELECT'), r || ' may read it')
FROM unnest('{o2c_reader,o2c_clerk,o2c_collector,o2c_manager,o2c_admin,o2c_dispatcher}'::text[]) r;
SET LOCAL ROLE o2c_manager;
SELECT count(*) AS seen FROM o2c.open_balance \gset
RESET ROLE;
SELECT is(:seen, 0, 'a role that is no member of the company sees nothing of it');

-- whatever is changed past the trigger, check() finds
ALTER TABLE o2c.open_balance DISABLE TRIGGER open_balance_guard;
CREATE FUNCTION pg_temp.after(change text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  result bigint;
BEGIN
  EXECUTE change;
  result := pg_temp.faults();
  RAISE EXCEPTION USING ERRCODE = 'UNDO0', MESSAGE = result;
EXCEPTION WHEN SQLSTATE 'UNDO0' THEN
  RETURN SQLERRM::bigint;
END $$;
SELECT is(pg_temp.after(format('UPDATE o2c.open_balance SET %s WHERE item_id = %s', x.change, pg_temp.item('I1'))), 1::bigint, 'check() finds ' || x.change)
FROM (VALUES ('open_amount = 71'), ('open_amount = 0'), ('customer_id = customer_id + 1'), ('customer_id = NULL'),
  ('due_date = due_date + 1'), ('document_date = document_date - 1'), ('currency = ''USD''')) x(change);
SELECT is(pg_temp.after(format('DELETE FROM o2c.open_balance WHERE item_id = %s', pg_temp.item('I1'))), 1::bigint, 'check() finds a balance that is gone');
SELECT is(pg_temp.after(format('INSERT INTO o2c.open_balance SELECT company_id, due_date, customer_id, %s, document_date, currency, 1 FROM o2c.open_balance WHERE item_id = %s',
  pg_temp.item('I3'), pg_temp.item('I1'))), 1::bigint, 'and one too many');
-- the item is the truth: the next posting puts its balance right
UPDATE o2c.open_balance SET open_amount = 1 WHERE item_id = pg_temp.item('I1');
DELETE FROM o2c.open_balance WHERE item_id = pg_temp.item('P1');
SELECT pg_temp.apply('I1', 'P1', 10) \g /dev/null
SELECT is(pg_temp.balances(), 'I1 A 60, I2 B 50, P1 A -60, P2 A -30, U1 - -9', 'what was wrong is put right by the next posting');
ALTER TABLE o2c.open_balance ENABLE TRIGGER open_balance_guard;

-- paying an item changes no index of it
SELECT is_empty($$
  SELECT i.indexrelid::regclass FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attname = 'open_amount'
  WHERE i.indrelid IN ('o2c.open_item'::regclass, 'o2c.open_balance'::regclass)
    AND (a.attnum = ANY (i.indkey) OR pg_get_indexdef(i.indexrelid) ~ 'open_amount')
$$, 'no index holds an open amount');
SELECT * FROM finish();
ROLLBACK;
