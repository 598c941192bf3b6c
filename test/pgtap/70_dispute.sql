-- Disputes: shares of items, their life, what is refused.
BEGIN;
SELECT plan(24);
CREATE TEMPORARY TABLE ctx AS SELECT o2c.create_company('Disputes', 'DE', 'EUR') AS c;
CREATE FUNCTION pg_temp.c() RETURNS integer LANGUAGE sql AS 'SELECT c FROM ctx';
INSERT INTO o2c.customer (company_id, code, name) SELECT c, 'A', 'Alpha' FROM ctx;
INSERT INTO o2c.open_item (company_id, customer_id, kind, number, instalment, document_date, due_date, currency, amount, open_amount)
SELECT c, k.id, 'invoice', v.number, v.part, '2026-01-01', v.due::date, 'EUR', v.amount, v.amount
FROM ctx JOIN o2c.customer k ON k.company_id = c,
(VALUES ('I1', 1, '2026-01-31', 100), ('I2', 1, '2026-01-31', 30), ('I2', 2, '2026-02-28', 70)) v(number, part, due, amount);
CREATE FUNCTION pg_temp.share(number text, part int DEFAULT 1) RETURNS numeric LANGUAGE sql AS
  'SELECT disputed_amount FROM o2c.open_item i WHERE i.company_id = pg_temp.c() AND i.number = $1 AND i.instalment = $2';

SELECT o2c.open_dispute(pg_temp.c(), 'I1', 40, 'damaged', '2026-02-01') AS d \gset
SELECT is(pg_temp.share('I1'), 40::numeric, 'a share is disputed');
SELECT is(o2c.open_dispute(pg_temp.c(), 'I1', 40, 'damaged', '2026-02-01'), :d::bigint, 'the same again is the same dispute');
SELECT is((SELECT row(state, amount, opened_on)::text FROM o2c.dispute WHERE id = :d), '(open,40,2026-02-01)', 'open, with its day');
SELECT is((SELECT count(*) FROM o2c.event WHERE company_id = pg_temp.c() AND entity = 'dispute' AND event = 'open'), 1::bigint, 'an event for those who subscribe');
SELECT throws_ok($$SELECT o2c.open_dispute(pg_temp.c(), 'I1', 60.01, 'price')$$, 'O2033', 'cannot dispute 60.01 of item I1', 'not more than is left');
SELECT lives_ok($$SELECT o2c.open_dispute(pg_temp.c(), 'I1', NULL, 'price')$$, 'all that is left');
SELECT is(pg_temp.share('I1'), 100::numeric, 'is disputed then');
SELECT throws_ok($$SELECT o2c.open_dispute(pg_temp.c(), 'I1', NULL, 'more')$$, 'O2043', NULL, 'and there is no more');
SELECT throws_ok($$SELECT o2c.open_dispute(pg_temp.c(), 'I9', 1, 'x')$$, 'O2003', NULL, 'an item that does not exist');
SELECT throws_ok($$SELECT o2c.open_dispute(pg_temp.c(), 'I1', 1, '')$$, 'O2004', NULL, 'a reason is needed');
SELECT throws_ok($$SELECT o2c.open_dispute(pg_temp.c(), 'I2', -1, 'x')$$, 'O2043', NULL, 'nothing negative');
SELECT throws_ok($$SELECT o2c.open_dispute(pg_temp.c(), 'I2', 0.001, 'x')$$, 'O2043', NULL, 'nor less than a cent');
SELECT lives_ok($$SELECT o2c.open_dispute(pg_temp.c(), 'I2', 50, 'late')$$, 'of several instalments');
SELECT is(pg_temp.share('I2', 2), 50::numeric, 'the one that is large enough');
SELECT throws_ok($$UPDATE o2c.open_item SET disputed_amount = 0 WHERE company_id = pg_temp.c() AND number = 'I1'$$, 'O2030', NULL, 'the share is derived');
SELECT throws_ok($$UPDATE o2c.dispute SET amount = 41 WHERE reason = 'damaged'$$, 'O2030', NULL, 'what is disputed does not change');
SELECT throws_ok($$INSERT INTO o2c.dispute (company_id, item_id, customer_id, currency, amount, reason, opened_on)
  SELECT company_id, id, customer_id, 'EUR', 51, 'too much', '2026-01-01' FROM o2c.open_item WHERE company_id = pg_temp.c() AND number = 'I2' AND instalment = 2$$, 'O2033', NULL, 'nor does an INSERT dispute more than there is');
SELECT is(o2c.investigate_dispute(pg_temp.c(), :d, 'anna'), 'investigating', 'somebody looks into it');
SELECT is(o2c.resolve_dispute(pg_temp.c(), :d, 'rejected', 'photos show none'), :d::bigint, 'and resolves it');
SELECT is(pg_temp.share('I1'), 60::numeric, 'the share is to be paid again');
SELECT is(o2c.resolve_dispute(pg_temp.c(), :d, 'rejected'), :d::bigint, 'again: the same');
SELECT throws_ok(format('SELECT o2c.resolve_dispute(pg_temp.c(), %s, ''accepted'')', :d), 'O2010', NULL, 'but not otherwise');
SELECT throws_ok(format('SELECT o2c.resolve_dispute(pg_temp.c(), %s, ''maybe'')', :d), 'O2004', NULL, 'nor in a way that does not exist');
SELECT is_empty('SELECT * FROM o2c.check()', 'nothing is violated');
SELECT * FROM finish();
ROLLBACK;
