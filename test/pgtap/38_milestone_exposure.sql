-- Exposure of orders that milestones bill: what is billed counts as an open
-- item and no longer as an open order, whatever is shipped.

SELECT plan(34);

SELECT o2c.create_company('Milestones', 'DE', 'EUR') AS c \gset
SELECT o2c.today(:c) AS today \gset
INSERT INTO o2c.product (company_id, code, name, unit_price, tax_category) VALUES
  (:c, 'P', 'Piece', 100, 'S'), (:c, 'B', 'Book', 9.99, 'AA');
INSERT INTO o2c.customer (company_id, code, name, country) SELECT :c, x, x, 'DE' FROM unnest('{ALL,CREDIT,STOP,PRE,FAR,AMEND,THIRDS,REST}'::text[]) x;
UPDATE o2c.customer SET credit_limit = 1200 WHERE company_id = :c AND code IN ('ALL', 'AMEND');
-- exposure, open_items, open_orders, shipped_not_invoiced, unapplied, prepaid; and that the documents say the same
CREATE FUNCTION pg_temp.seen(company integer, customer text) RETURNS text LANGUAGE sql AS
  $$ SELECT concat_ws(' ', trim_scale(e.exposure), trim_scale(e.open_items), trim_scale(e.open_orders),
       trim_scale(e.shipped_not_invoiced), trim_scale(e.unapplied), trim_scale(e.prepaid),
       (SELECT k.invariant || ': ' || k.detail FROM o2c.check(company) k LIMIT 1))
     FROM o2c.credit_exposure(company, customer) e $$;
-- an order with milestones of these percents, none reached; its id
CREATE FUNCTION pg_temp.ordered(company integer, customer text, lines jsonb, VARIADIC percents numeric[]) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE o bigint := o2c.place_order(company, customer, lines, o2c.today(company), customer);
BEGIN
  PERFORM o2c.confirm_order(company, o);
  INSERT INTO o2c.billing_milestone (company_id, order_id, name, percent)
  SELECT company, o, 'M' || p.n, p.percent FROM unnest(percents) WITH ORDINALITY p(percent, n) ORDER BY p.n;
  RETURN o;
END $$;
-- milestones of an order are reached: their drafts
CREATE FUNCTION pg_temp.reached(company integer, of_order bigint, VARIADIC names text[]) RETURNS bigint[] LANGUAGE plpgsql AS $$
BEGIN
  UPDATE o2c.billing_milestone m SET reached_on = o2c.today(company) WHERE m.company_id = company AND m.order_id = of_order AND m.name = ANY (names);
  PERFORM o2c.run_billing(company, o2c.today(company));
  RETURN ARRAY(SELECT i.id FROM o2c.invoice i WHERE i.company_id = company AND i.order_id = of_order AND i.state = 'draft' ORDER BY i.id);
END $$;
CREATE FUNCTION pg_temp.issued(company integer, ids bigint[]) RETURNS bigint LANGUAGE sql AS
  $$ SELECT count(*) FROM o2c.issue_invoices(company, ids) $$;

-- 1000, half and half, shipped in parts
SELECT pg_temp.ordered(:c, 'ALL', '[{"product": "P", "quantity": 10}]', 50, 50) AS o \gset
SELECT is(pg_temp.seen(:c, 'ALL'), '1000 0 1000 0 0 0', 'an order');
SELECT pg_temp.reached(:c, :o, 'M1') AS d \gset
SELECT is(pg_temp.seen(:c, 'ALL'), '1000 0 1000 0 0 0', 'a draft changes nothing');
SELECT pg_temp.issued(:c, :'d') AS n \gset
SELECT is(pg_temp.seen(:c, 'ALL'), '1095 595 500 0 0 0', 'issued: half is owed with its tax of 95, half is open');
SELECT throws_ok(format('UPDATE o2c.billing_milestone SET percent = 40 WHERE company_id = %s AND order_id = %s AND name = ''M1''', :c, :o), 'O2033', NULL, 'the share of a milestone stays once it is billed');
SELECT lives_ok(format('UPDATE o2c.billing_milestone SET percent = 50.0 WHERE company_id = %s AND order_id = %s AND name = ''M1''', :c, :o), 'writing the same is no change');
SELECT throws_ok(format('UPDATE o2c.sales_order SET milestone_percent = 0 WHERE company_id = %s AND id = %s', :c, :o), 'O2030', NULL, 'nobody else writes what is billed of an order');
SELECT o2c.place_order(:c, 'ALL', '[{"product": "P", "quantity": 1}]', :'today', 'A1') AS a1 \gset
SELECT is(o2c.confirm_order(:c, :a1)::text, 'confirmed', '100 more are within the limit of 1200');
SELECT is(o2c.confirm_order(:c, o2c.place_order(:c, 'ALL', '[{"product": "P", "quantity": 1}]', :'today', 'A2'))::text, 'submitted', 'and again 100 are not');
SELECT o2c.cancel_order(:c, :a1) \g /dev/null
SELECT o2c.ship_order(:c, :o, '[{"line": 1, "quantity": 4}]') AS s \gset
SELECT is(pg_temp.seen(:c, 'ALL'), '1095 595 500 0 0 0', 'the first goods are billed already');
SELECT o2c.ship_order(:c, :o, '[{"line": 1, "quantity": 2}]') AS s \gset
SELECT is(pg_temp.seen(:c, 'ALL'), '1095 595 400 100 0 0', 'what is shipped above that is not');
SELECT o2c.ship_order(:c, :o, NULL) AS s \gset
SELECT is(pg_temp.seen(:c, 'ALL'), '1095 595 0 500 0 0', 'all is shipped');
SELECT pg_temp.reached(:c, :o, 'M2') AS d \gset
SELECT pg_temp.issued(:c, :'d') AS n \gset
SELECT is(pg_temp.seen(:c, 'ALL'), '1190 1190 0 0 0 0', 'all is billed: only items are left');
SELECT o2c.close_order(:c, :o) \g /dev/null
SELECT is(pg_temp.seen(:c, 'ALL'), '1190 1190 0 0 0 0', 'closing changes nothing');
SELECT o2c.record_payment(:c, 'ALL', 1190, 'EUR', :'today', 'A', 'transfer') AS p \gset
SELECT is(pg_temp.seen(:c, 'ALL'), '0 1190 0 0 1190 0', 'and paid it is nothing');

-- a milestone that is credited is not billed again, so it is not open again
SELECT pg_temp.ordered(:c, 'CREDIT', '[{"product": "P", "quantity": 10}]', 30, 70) AS o \gset
SELECT pg_temp.reached(:c, :o, 'M1') AS d \gset
SELECT pg_temp.issued(:c, :'d') AS n \gset
SELECT is(pg_temp.seen(:c, 'CREDIT'), '1057 357 700 0 0 0', 'thirty percent');
SELECT o2c.credit_invoice(:c, (:'d'::bigint[])[1], '[{"line": 1, "amount": 100}]') AS n \gset
SELECT is(pg_temp.seen(:c, 'CREDIT'), '938 238 700 0 0 0', 'credited in part: 119 less are owed');
SELECT o2c.credit_invoice(:c, (:'d'::bigint[])[1]) AS n \gset
SELECT is(pg_temp.seen(:c, 'CREDIT'), '700 0 700 0 0 0', 'credited: the other seventy are left');

-- cancelled after the first: what is billed stays owed
SELECT pg_temp.ordered(:c, 'STOP', '[{"product": "P", "quantity": 10}]', 50, 50) AS o \gset
SELECT pg_temp.reached(:c, :o, 'M1') AS d \gset
SELECT pg_temp.issued(:c, :'d') AS n \gset
SELECT o2c.cancel_order(:c, :o) \g /dev/null
SELECT is(pg_temp.seen(:c, 'STOP'), '595 595 0 0 0 0', 'the rest of a cancelled order is not open');

-- the rest is cancelled: 7 shipped of 10, half is billed, so 2 of them are not
SELECT pg_temp.ordered(:c, 'REST', '[{"product": "P", "quantity": 10}]', 50, 50) AS o \gset
SELECT pg_temp.reached(:c, :o, 'M1') AS d \gset
SELECT pg_temp.issued(:c, :'d') AS n \gset
SELECT o2c.ship_order(:c, :o, '[{"line": 1, "quantity": 7}]') AS s \gset
SELECT is(pg_temp.seen(:c, 'REST'), '1095 595 300 200 0 0', 'seven shipped');
SELECT o2c.cancel_rest(:c, :o) \g /dev/null
SELECT is(pg_temp.seen(:c, 'REST'), '795 595 0 200 0 0', 'and three cancelled');

-- half is prepaid, and deducted from the first milestone
SELECT pg_temp.ordered(:c, 'PRE', '[{"product": "P", "quantity": 10}]', 50, 50) AS o \gset
SELECT o2c.prepayment_invoice(:c, :o, 50) AS p \gset
SELECT o2c.issue_invoice(:c, :p) AS num \gset
SELECT o2c.record_payment(:c, 'PRE', 595, 'EUR', :'today', 'PP', 'transfer') AS pay \gset
SELECT o2c.apply_payment(:c, :pay, :'num') AS a \gset
SELECT is(pg_temp.seen(:c, 'PRE'), '500 0 1000 0 0 500', 'half is prepaid');
SELECT pg_temp.reached(:c, :o, 'M1') AS d \gset
SELECT pg_temp.issued(:c, :'d') AS n \gset
SELECT is(pg_temp.seen(:c, 'PRE'), '500 0 500 0 0 0', 'the milestone takes the advance over');
SELECT pg_temp.reached(:c, :o, 'M2') AS d \gset
SELECT pg_temp.issued(:c, :'d') AS n \gset
SELECT is(pg_temp.seen(:c, 'PRE'), '595 595 0 0 0 0', 'and the second bills the rest');

-- beyond the horizon
UPDATE o2c.company SET settings = settings || '{"credit_horizon_days": 90}' WHERE company_id = :c;
SELECT pg_temp.ordered(:c, 'FAR', '[{"product": "P", "quantity": 10}]', 50, 50) AS o \gset
UPDATE o2c.sales_order SET promised_on = :'today'::date + 100 WHERE company_id = :c AND id = :o;
SELECT is(pg_temp.seen(:c, 'FAR'), '0 0 0 0 0 0', 'a far order');
SELECT pg_temp.reached(:c, :o, 'M1') AS d \gset
SELECT pg_temp.issued(:c, :'d') AS n \gset
SELECT is(pg_temp.seen(:c, 'FAR'), '595 595 0 0 0 0', 'owes its first milestone only');
UPDATE o2c.sales_order SET promised_on = :'today'::date + 80 WHERE company_id = :c AND id = :o;
SELECT is(pg_temp.seen(:c, 'FAR'), '1095 595 500 0 0 0', 'and the rest once it is near');

-- an order that goes back and is confirmed again
SELECT pg_temp.ordered(:c, 'AMEND', '[{"product": "P", "quantity": 10}]', 50, 50) AS o \gset
SELECT pg_temp.reached(:c, :o, 'M1') AS d \gset
SELECT pg_temp.issued(:c, :'d') AS n \gset
UPDATE o2c.sales_order SET state = 'submitted' WHERE company_id = :c AND id = :o;
SELECT is(pg_temp.seen(:c, 'AMEND'), '595 595 0 0 0 0', 'back: only the item is left');
UPDATE o2c.sales_order SET state = 'confirmed' WHERE company_id = :c AND id = :o;
SELECT is(pg_temp.seen(:c, 'AMEND'), '1095 595 500 0 0 0', 'again: the open half is within the limit');
UPDATE o2c.sales_order SET state = 'submitted' WHERE company_id = :c AND id = :o;
SELECT is(o2c.confirm_order(:c, :o)::text, 'confirmed', 'as is said beforehand');
SELECT is(pg_temp.seen(:c, 'AMEND'), '1095 595 500 0 0 0', 'with the same figures');

-- lines of two taxes, 100 and 3 × 9.99 = 29.97, and thirds: 33.33 and 9.99 are owed with 6.33 and 0.70 of tax
SELECT pg_temp.ordered(:c, 'THIRDS', '[{"product": "P", "quantity": 1}, {"product": "B", "quantity": 3}]', 33.333333, 33.333333, 33.333334) AS o \gset
SELECT is(pg_temp.seen(:c, 'THIRDS'), '129.97 0 129.97 0 0 0', 'two lines');
SELECT pg_temp.reached(:c, :o, 'M1') AS d \gset
SELECT pg_temp.issued(:c, :'d') AS n \gset
SELECT is(pg_temp.seen(:c, 'THIRDS'), '137 50.35 86.65 0 0 0', 'a third of each line');
SELECT pg_temp.reached(:c, :o, 'M2', 'M3') AS d \gset
SELECT is(pg_temp.issued(:c, :'d'), 2::bigint, 'two milestones in one statement');
SELECT is(pg_temp.seen(:c, 'THIRDS'), '151.06 151.06 0 0 0 0', 'nothing is left over: 129.97 and three times 6.33 and 0.70 of tax');

SELECT * FROM finish();
