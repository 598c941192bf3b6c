-- What a session keeps of its transaction in memory, when part of the
-- transaction is taken back: documents that wait for their numbers, the
-- company's currency, a transaction that is prepared, and that it is o2c itself
-- who changes what only o2c may change.
SET client_min_messages = warning;
SELECT plan(14);

SELECT o2c.create_company('Savepoints', 'DE', 'EUR', vat_id => 'DE123456789') AS c \gset
INSERT INTO o2c.customer (company_id, code, name, country) VALUES (:c, 'A', 'A', 'DE');
INSERT INTO o2c.number_series (company_id, code, prefix, assign) VALUES (:c, 'late', 'L', 'commit'), (:c, 'now', 'N', 'issue');
CREATE TABLE ctx AS SELECT :c AS c;
-- a draft of a series, issued
CREATE FUNCTION issue(of_series text, on_date date DEFAULT '2026-02-01') RETURNS text LANGUAGE plpgsql SET search_path = public AS $$
DECLARE
  c integer := (SELECT x.c FROM ctx x);
  made bigint;
BEGIN
  INSERT INTO o2c.invoice (company_id, customer_id, currency, series) SELECT c, k.id, 'EUR', of_series FROM o2c.customer k WHERE k.company_id = c RETURNING id INTO made;
  INSERT INTO o2c.invoice_line (company_id, invoice_id, line_no, description, quantity, unit_price, currency, tax_category, tax_rate)
    VALUES (c, made, 1, 'Item', 1, 100, 'EUR', 'S', 19);
  PERFORM o2c.recalculate_invoice(c, made);
  RETURN o2c.issue_invoice(c, made, on_date);
END $$;
CREATE VIEW numbers AS SELECT string_agg(coalesce(i.number, '?'), ' ' ORDER BY i.id) AS all FROM o2c.invoice i WHERE i.state <> 'draft';

-- numbered in a savepoint that is taken back, the document waits again
BEGIN;
SELECT issue('late') \gset
SAVEPOINT a;
SET CONSTRAINTS ALL IMMEDIATE;
SELECT is(numbers.all, 'L2026-000001', 'numbered within a savepoint') FROM numbers;
ROLLBACK TO a;
SELECT is(numbers.all, '?', 'the savepoint takes the number back') FROM numbers;
COMMIT;
SELECT is(numbers.all, 'L2026-000001', 'the document has its number when the transaction ends') FROM numbers;

-- kept with the savepoint, and noted within one that goes
BEGIN;
SELECT issue('late') \gset
SAVEPOINT a;
SAVEPOINT b;
SET CONSTRAINTS ALL IMMEDIATE;
SET CONSTRAINTS ALL DEFERRED;
RELEASE b;
SELECT issue('late') \gset
ROLLBACK TO a;
SAVEPOINT c;
SELECT issue('late') \gset
RELEASE c;
SAVEPOINT d;
SET CONSTRAINTS ALL IMMEDIATE;
RELEASE d;
COMMIT;
SELECT is(numbers.all, 'L2026-000001 L2026-000002 L2026-000003', 'savepoints that stay and savepoints that go') FROM numbers;

-- what fails in a block with an exception takes nothing with it
SELECT issue('now', '2026-03-01') \gset
DO $$
BEGIN
  PERFORM issue('late');
  FOR n IN 1 .. 3 LOOP
    BEGIN
      PERFORM issue('now', '2026-02-28');    -- before the last of its series
    EXCEPTION WHEN OTHERS THEN NULL;
    END;
  END LOOP;
END $$;
SELECT is(numbers.all, 'L2026-000001 L2026-000002 L2026-000003 N2026-000001 L2026-000004', 'another document that cannot be issued') FROM numbers;

-- a user's trigger that issues a document while others get their numbers
CREATE FUNCTION echo() RETURNS trigger LANGUAGE plpgsql SET search_path = public AS $$
BEGIN
  IF (SELECT count(*) FROM o2c.invoice i WHERE i.series = 'late') < 8 THEN
    PERFORM issue('late');
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER echo AFTER UPDATE OF number ON o2c.invoice FOR EACH ROW EXECUTE FUNCTION echo();
BEGIN;
SELECT issue('late') \gset
SELECT issue('late') \gset
COMMIT;
DROP TRIGGER echo ON o2c.invoice;
SELECT is((SELECT string_agg(i.number, ' ' ORDER BY i.number) FROM o2c.invoice i WHERE i.series = 'late'),
  (SELECT string_agg('L2026-' || lpad(n::text, 6, '0'), ' ' ORDER BY n) FROM generate_series(1, 9) n), 'documents issued while others are numbered');

-- prepared transactions: numbered before, and the session knows nothing of them afterwards
BEGIN;
SELECT issue('late') \gset
PREPARE TRANSACTION 'savepoint one';
SELECT throws_ok($$ INSERT INTO o2c.invoice (company_id, customer_id, currency, series, state, number, issue_date)
  SELECT k.company_id, k.id, 'EUR', 'late', 'issued', 'L2026-000010', '2026-02-01' FROM o2c.customer k LIMIT 1 $$,
  NULL, NULL, 'a number that a prepared transaction drew is not drawn here');
COMMIT PREPARED 'savepoint one';
SELECT is((SELECT max(i.number) FROM o2c.invoice i WHERE i.series = 'late'), 'L2026-000010', 'prepared and committed');
BEGIN;
SELECT issue('late') \gset
PREPARE TRANSACTION 'savepoint two';
ROLLBACK PREPARED 'savepoint two';
SELECT issue('late') \gset
SELECT is((SELECT max(i.number) FROM o2c.invoice i WHERE i.series = 'late'), 'L2026-000011', 'prepared and taken back: no gap');

-- the currency of a company that goes with a savepoint, and of another one with its number
CREATE FUNCTION owe(of_company integer, of_currency text) RETURNS SETOF numeric LANGUAGE sql AS $$
  INSERT INTO o2c.open_item (company_id, customer_id, kind, number, document_date, due_date, currency, amount, open_amount)
  SELECT $1, k.id, 'opening', 'I1', '2026-01-01', '2026-01-31', $2::o2c.currency, 10, 10 FROM o2c.customer k WHERE k.company_id = $1
  RETURNING base_rate $$;
BEGIN;
SAVEPOINT a;
INSERT INTO o2c.company (company_id, name, country, currency) VALUES (900, 'Dollars', 'US', 'USD');
INSERT INTO o2c.customer (company_id, code, name) VALUES (900, 'A', 'A');
SELECT results_eq($$ SELECT owe(900, 'USD') $$, $$ VALUES (NULL::numeric) $$, 'an item in the currency of its company');
ROLLBACK TO a;
INSERT INTO o2c.company (company_id, name, country, currency) VALUES (900, 'Euros', 'DE', 'EUR');
INSERT INTO o2c.customer (company_id, code, name, currency) VALUES (900, 'A', 'A', 'EUR');
INSERT INTO o2c.exchange_rate (company_id, from_currency, to_currency, valid_from, rate) VALUES (900, 'USD', 'EUR', '2000-01-01', 0.9);
SELECT results_eq($$ SELECT owe(900, 'USD') $$, $$ VALUES (0.9) $$, 'another company of that number has its own currency');
COMMIT;

-- an alert that cannot be noted leaves the guards of derived columns as they were
INSERT INTO o2c.customer (company_id, code, name, credit_limit) VALUES (:c, 'L', 'Limit', 100);
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no alerts'; END $$;
CREATE TRIGGER refuse AFTER UPDATE OF alert_level ON o2c.credit_account FOR EACH ROW WHEN (NEW.alert_level > OLD.alert_level) EXECUTE FUNCTION refuse();
SELECT throws_ok($$ INSERT INTO o2c.open_item (company_id, customer_id, kind, number, document_date, due_date, currency, amount, open_amount)
  SELECT k.company_id, k.id, 'opening', 'I95', '2026-01-01', '2026-01-31', 'EUR', 95, 95 FROM o2c.customer k WHERE k.code = 'L' $$,
  'P0001', 'no alerts', 'an alert that cannot be noted');
SELECT throws_ok($$ UPDATE o2c.credit_account SET open_items = 1 WHERE customer_id = (SELECT k.id FROM o2c.customer k WHERE k.code = 'L') $$,
  'O2030', NULL, 'exposure still cannot be set');
DROP TRIGGER refuse ON o2c.credit_account;

SELECT is_empty('SELECT * FROM o2c.check()', 'check() is empty');
SELECT * FROM finish();
