-- Exposure and days: receipts that can still bounce, orders beyond the horizon.

SELECT plan(71);

SELECT o2c.create_company('Exposure', 'DE', 'EUR') AS c \gset
SELECT o2c.today(:c) AS today \gset
INSERT INTO o2c.product (company_id, code, name, unit_price, tax_category) VALUES (:c, 'P', 'Piece', 100, 'S');
INSERT INTO o2c.customer (company_id, code, name, country, credit_limit)
  SELECT :c, x, x, 'DE', 1000 FROM unnest('{DEBIT,CHEQUE,CASH,LOST,WHO,PRE,HEAD,DOLLAR,FAR,NEAR,MANY,SHIP,MOVE}'::text[]) x;
INSERT INTO o2c.customer (company_id, code, name, country, parent_code) VALUES (:c, 'CHILD', 'Child', 'DE', 'HEAD');
INSERT INTO o2c.exchange_rate (company_id, from_currency, to_currency, valid_from, rate) VALUES (:c, 'USD', 'EUR', '2020-01-01', 0.5);
-- exposure, open_items, open_orders, shipped_not_invoiced, unapplied, prepaid, returnable
CREATE FUNCTION pg_temp.seen(company integer, customer text) RETURNS text LANGUAGE sql AS
  $$ SELECT concat_ws(' ', trim_scale(e.exposure), trim_scale(e.open_items), trim_scale(e.open_orders),
       trim_scale(e.shipped_not_invoiced), trim_scale(e.unapplied), trim_scale(e.prepaid), trim_scale(e.returnable))
     FROM o2c.credit_exposure(company, customer) e $$;
CREATE FUNCTION pg_temp.item(company integer, customer text, num text, amount numeric, cur text DEFAULT 'EUR') RETURNS bigint LANGUAGE sql AS
  $$ INSERT INTO o2c.open_item (company_id, customer_id, kind, number, document_date, due_date, currency, amount, open_amount)
     SELECT company, k.id, 'invoice', num, o2c.today(company) - 40, o2c.today(company) - 10, cur::o2c.currency, amount, amount
     FROM o2c.customer k WHERE k.company_id = company AND k.code = customer RETURNING id $$;
-- an order of so many pieces of 100 for a day, confirmed if it may; its state
CREATE FUNCTION pg_temp.confirmed(company integer, customer text, quantity numeric, code text, day date) RETURNS text LANGUAGE plpgsql AS $$
DECLARE o bigint := o2c.place_order(company, customer, jsonb_build_array(jsonb_build_object('product', 'P', 'quantity', quantity)), o2c.today(company), code);
BEGIN
  UPDATE o2c.sales_order s SET promised_on = day WHERE s.company_id = company AND s.id = o;
  RETURN o2c.confirm_order(company, o);
END $$;
CREATE FUNCTION pg_temp.o(company integer, order_code text) RETURNS bigint LANGUAGE sql AS
  $$ SELECT s.id FROM o2c.sales_order s WHERE s.company_id = company AND s.code = order_code $$;
CREATE FUNCTION pg_temp.set(company integer, entry jsonb) RETURNS void LANGUAGE sql AS
  $$ UPDATE o2c.company c SET settings = c.settings || entry WHERE c.company_id = company $$;

-- nothing is decided: money counts from its booking, orders whatever their day
SELECT o2c.record_payment(:c, 'CASH', 50, 'EUR', :'today', 'N1', 'direct_debit') AS p \gset
SELECT is(pg_temp.seen(:c, 'CASH'), '-50 0 0 0 50 0 0', 'without a setting a direct debit is money');
SELECT is((SELECT returnable_until FROM o2c.payment WHERE id = :p), NULL, 'final at once');
SELECT is(pg_temp.confirmed(:c, 'FAR', 2, 'N2', :'today'::date + 5000), 'confirmed', 'an order for a far day');
SELECT is(pg_temp.seen(:c, 'FAR'), '200 0 200 0 0 0 0', 'counts');
SELECT is((SELECT (s.receipts, s.orders, s.held)::text FROM o2c.settle_exposure(:c) s), '(0,0,0)', 'and a day changes nothing');
SELECT o2c.cancel_order(:c, pg_temp.o(:c, 'N2')) \g /dev/null

-- receipts ---------------------------------------------------------------------------------
SELECT pg_temp.set(:c, '{"credit_return_days": {"direct_debit": 56, "cheque": 10}}') \g /dev/null
SELECT is(pg_temp.seen(:c, 'CASH'), '-50 0 0 0 50 0 0', 'what was recorded before stays final');
SELECT pg_temp.item(:c, 'DEBIT', 'D1', 400) AS d1 \gset
SELECT o2c.record_payment(:c, 'DEBIT', 400, 'EUR', :'today', 'R1', 'direct_debit') AS p1 \gset
SELECT is(pg_temp.seen(:c, 'DEBIT'), '400 400 0 0 400 0 400', 'on account and able to bounce: it frees nothing');
SELECT o2c.apply_payment(:c, :p1, 'D1') AS a1 \gset
SELECT is(pg_temp.seen(:c, 'DEBIT'), '400 0 0 0 0 0 400', 'applied: the item is paid, the amount counts on');
SELECT is((SELECT (returnable_until - :'today'::date, returnable_amount)::text FROM o2c.payment WHERE id = :p1), '(56,400)', 'for 56 days');
SELECT is(pg_temp.confirmed(:c, 'DEBIT', 7, 'D-7', :'today'), 'submitted', '400 that can bounce and 700 are over 1000');
SELECT is(pg_temp.confirmed(:c, 'DEBIT', 6, 'D-6', :'today'), 'confirmed', 'and 600 are not');
SELECT is((SELECT (s.receipts)::text FROM o2c.settle_exposure(:c, :'today'::date + 56) s), '0', 'on its last day it can still bounce');
SELECT is((SELECT (s.receipts)::text FROM o2c.settle_exposure(:c, :'today'::date + 57) s), '1', 'on the next it is final');
SELECT is((SELECT (s.receipts)::text FROM o2c.settle_exposure(:c, :'today'::date + 57) s), '0', 'once');
SELECT is(pg_temp.seen(:c, 'DEBIT'), '600 0 600 0 0 0 0', 'and out of the exposure');
SELECT is(o2c.return_payment(:c, :p1, 'late', :'today'), 1::bigint, 'what comes back all the same');
SELECT is(pg_temp.seen(:c, 'DEBIT'), '1000 400 600 0 0 0 0', 'is owed again');

SELECT pg_temp.item(:c, 'LOST', 'L1', 300) AS l1 \gset
SELECT o2c.record_payment(:c, 'LOST', 300, 'EUR', :'today', 'R2', 'cheque') AS p2 \gset
SELECT o2c.apply_payment(:c, :p2, 'L1') AS a2 \gset
SELECT o2c.return_payment(:c, :p2, 'AM04', :'today') AS back \gset
SELECT is(pg_temp.seen(:c, 'LOST'), '300 300 0 0 0 0 0', 'returned in time: once owed, not twice');
SELECT is((SELECT returnable_amount FROM o2c.payment WHERE id = :p2), 0::numeric, 'nothing of it is to come');

SELECT o2c.record_payment(:c, 'CHEQUE', 80, 'EUR', :'today'::date - 10, 'R3', 'cheque') AS p3 \gset
SELECT o2c.record_payment(:c, 'CHEQUE', 70, 'EUR', :'today'::date - 11, 'R4', 'cheque') AS p4 \gset
SELECT o2c.record_payment(:c, 'CHEQUE', 60, 'EUR', :'today', 'R5', 'transfer') AS p5 \gset
SELECT is(pg_temp.seen(:c, 'CHEQUE'), '-130 0 0 0 210 0 80', 'each method by its days, from when it was received');

-- who paid is known later
SELECT pg_temp.item(:c, 'WHO', 'W1', 90) AS w1 \gset
SELECT o2c.record_payment(:c, NULL, 90, 'EUR', :'today', 'R6', 'direct_debit') AS p6 \gset
SELECT is_empty('SELECT * FROM o2c.check()', 'nobody''s receipt is in no account');
SELECT o2c.apply_payment(:c, :p6, 'W1') AS a6 \gset
SELECT is(pg_temp.seen(:c, 'WHO'), '90 0 0 0 0 0 90', 'it goes to whose item it pays');

-- in groups and other currencies
SELECT o2c.record_payment(:c, 'CHILD', 120, 'EUR', :'today', 'R7', 'direct_debit') AS p7 \gset
SELECT is(pg_temp.seen(:c, 'HEAD'), '0 0 0 0 120 0 120', 'a child''s receipt in the group');
SELECT pg_temp.item(:c, 'CHILD', 'C1', 120) AS c1 \gset
SELECT o2c.apply_payment(:c, :p7, 'C1') AS a7 \gset
UPDATE o2c.customer SET parent_code = NULL WHERE company_id = :c AND code = 'CHILD';
SELECT is(pg_temp.seen(:c, 'HEAD') || ', ' || pg_temp.seen(:c, 'CHILD'), '0 0 0 0 0 0 0, 120 0 0 0 0 0 120', 'and moves with it');
SELECT pg_temp.item(:c, 'DOLLAR', 'U1', 200, 'USD') AS u1 \gset
SELECT o2c.record_payment(:c, 'DOLLAR', 200, 'USD', :'today', 'R8', 'direct_debit') AS p8 \gset
SELECT o2c.apply_payment(:c, :p8, 'U1') AS a8 \gset
SELECT is(pg_temp.seen(:c, 'DOLLAR'), '100 0 0 0 0 0 100', 'in the limit''s currency');
SELECT throws_ok(format($$UPDATE o2c.customer SET currency = 'GBP' WHERE company_id = %s AND code = 'DOLLAR'$$, :c), 'O2033', NULL, 'which stays meanwhile');
SELECT is((SELECT (exposure, returnable)::text FROM o2c_bi.credit WHERE company_id = :c AND customer_code = 'DOLLAR'), '(100.00,100.00)', 'the view has it');

-- a prepayment: the goods count once, with what was paid in advance and can bounce
SELECT pg_temp.confirmed(:c, 'PRE', 8, 'PRE', :'today') \g /dev/null
SELECT o2c.prepayment_invoice(:c, pg_temp.o(:c, 'PRE'), 50) AS v \gset
SELECT o2c.issue_invoice(:c, :v, :'today') AS vn \gset
SELECT o2c.record_payment(:c, 'PRE', 476, 'EUR', :'today', 'R9', 'direct_debit') AS p9 \gset
SELECT o2c.apply_payment(:c, :p9, :'vn') AS a9 \gset
SELECT is(pg_temp.seen(:c, 'PRE'), '876 0 800 0 0 400 476', '800 ordered; 400 and their tax of 76 paid and not yet certain');
SELECT o2c.settle_exposure(:c, :'today'::date + 57) \g /dev/null
SELECT is(pg_temp.seen(:c, 'PRE'), '400 0 800 0 0 400 0', 'certain: half is paid');
SELECT is_empty('SELECT * FROM o2c.check()', 'every exposure is that of the documents');

-- nobody writes it
SELECT throws_ok(format('UPDATE o2c.payment SET returnable_amount = amount WHERE id = %s', :p4), 'O2030', NULL, 'what can bounce is derived');
SELECT throws_ok(format('UPDATE o2c.payment SET returnable_until = NULL WHERE id = %s', :p3), 'O2030', NULL, 'so is until when');
SELECT throws_ok(format('UPDATE o2c.credit_account SET returnable = 0 WHERE company_id = %s', :c), 'O2030', NULL, 'and the account');

-- the horizon ------------------------------------------------------------------------------
SELECT pg_temp.set(:c, '{"credit_horizon_days": 30}') \g /dev/null
SELECT is(pg_temp.confirmed(:c, 'FAR', 50, 'F1', :'today'::date + 31), 'confirmed', 'beyond the horizon an order of 5000 passes a limit of 1000');
SELECT is(pg_temp.seen(:c, 'FAR'), '0 0 0 0 0 0 0', 'and takes nothing');
SELECT ok((SELECT deferred FROM o2c.sales_order WHERE id = pg_temp.o(:c, 'F1')), 'it is deferred');
SELECT is(pg_temp.confirmed(:c, 'FAR', 11, 'F2', :'today'::date + 30), 'submitted', 'the last day within counts');
SELECT is(pg_temp.confirmed(:c, 'FAR', 9, 'F3', :'today'::date + 30), 'confirmed', 'as it always did');
SELECT is(o2c.cancel_order(:c, pg_temp.o(:c, 'F1')), 'cancelled', 'a deferred order is cancelled');
SELECT is(pg_temp.seen(:c, 'FAR'), '900 0 900 0 0 0 0', 'and gives back nothing');
-- an update by hand
SELECT o2c.release_order(:c, pg_temp.o(:c, 'F2')) \g /dev/null
UPDATE o2c.hold SET released_at = now(), released_by = 'me' WHERE company_id = :c AND order_id = pg_temp.o(:c, 'F2') AND released_at IS NULL;
UPDATE o2c.sales_order SET state = 'confirmed', promised_on = :'today'::date + 90 WHERE id = pg_temp.o(:c, 'F2');
SELECT is(pg_temp.seen(:c, 'FAR'), '900 0 900 0 0 0 0', 'by hand the same holds');
SELECT throws_ok(format('UPDATE o2c.sales_order SET promised_on = %L WHERE id = %s', :'today', pg_temp.o(:c, 'F2')), 'O2020', NULL, 'a promise does not come nearer when there is no room');
UPDATE o2c.sales_order SET promised_on = :'today'::date + 40 WHERE id = pg_temp.o(:c, 'F3');
SELECT is(pg_temp.seen(:c, 'FAR'), '0 0 0 0 0 0 0', 'one that moves away gives back');
UPDATE o2c.sales_order SET promised_on = :'today'::date + 3 WHERE id = pg_temp.o(:c, 'F3');
SELECT is(pg_temp.seen(:c, 'FAR'), '900 0 900 0 0 0 0', 'and takes again when it comes back');
SELECT throws_ok(format('UPDATE o2c.sales_order SET deferred = NOT deferred WHERE id = %s', pg_temp.o(:c, 'F3')), 'O2030', NULL, 'nobody defers by hand');

-- the day comes: oldest promise first, what does not fit is held
SELECT pg_temp.confirmed(:c, 'MANY', 6, 'M1', :'today'::date + 41) || pg_temp.confirmed(:c, 'MANY', 6, 'M2', :'today'::date + 40)
  || pg_temp.confirmed(:c, 'MANY', 3, 'M3', :'today'::date + 42) || pg_temp.confirmed(:c, 'MANY', 3, 'M4', :'today'::date + 60) AS states \gset
SELECT is((SELECT (s.orders, s.held)::text FROM o2c.settle_exposure(:c, :'today'::date + 9) s), '(0,0)', 'the day before');
SELECT is((SELECT (s.orders, s.held)::text FROM o2c.settle_exposure(:c, :'today'::date + 12) s), '(3,1)', 'three days later, at once');
SELECT is(pg_temp.seen(:c, 'MANY'), '1500 0 1500 0 0 0 0', 'they count, whether there is room or not');
SELECT results_eq(format($$SELECT s.code, h.reason, h.note, h.automatic FROM o2c.hold h JOIN o2c.sales_order s ON s.company_id = h.company_id AND s.id = h.order_id
  JOIN o2c.customer k ON k.company_id = s.company_id AND k.id = s.customer_id WHERE h.company_id = %s AND k.code = 'MANY'$$, :c),
  $$VALUES ('M1', 'credit', 'customer "MANY": exposure 600.00 and this order of 600.00 are over the limit of 1000 EUR', true)$$, 'the one that does not fit is held, with the figures');
SELECT is((SELECT count(*) FROM o2c.event WHERE company_id = :c AND entity = 'order' AND event = 'credit_hold'), 1::bigint, 'an event tells of it');
SELECT is((SELECT max((data ->> 'threshold')::integer) FROM o2c.event e JOIN o2c.customer k ON k.company_id = e.company_id AND k.id = e.entity_id
  WHERE e.company_id = :c AND e.event = 'credit_alert' AND k.code = 'MANY'), 100, 'and the alert of the limit');
SELECT is((SELECT (s.orders, s.held)::text FROM o2c.settle_exposure(:c, :'today'::date + 12) s), '(0,0)', 'again: nothing');
SELECT throws_ok(format('SELECT o2c.ship_order(%s, %s)', :c, pg_temp.o(:c, 'M1')), 'O2011', NULL, 'nothing of it leaves');
SELECT is(o2c.release_order(:c, pg_temp.o(:c, 'M1'), 'please'), 'confirmed', 'a hold of a confirmed order is released');
SELECT is((SELECT string_agg(note, ', ') FROM o2c.hold WHERE order_id = pg_temp.o(:c, 'M1') AND released_at IS NULL),
  'customer "MANY": exposure 1500.00 is over the limit of 1000 EUR', 'which is checked again, and held again');
SELECT o2c.set_credit_limit(:c, 'MANY', 2000) \g /dev/null
SELECT o2c.release_order(:c, pg_temp.o(:c, 'M1'), 'paid') \g /dev/null
SELECT is((SELECT count(*) FROM o2c.hold WHERE order_id = pg_temp.o(:c, 'M1') AND released_at IS NULL), 0::bigint, 'until there is room');

-- shipped before its day
SELECT pg_temp.confirmed(:c, 'SHIP', 5, 'S1', :'today'::date + 100) \g /dev/null
SELECT o2c.ship_order(:c, pg_temp.o(:c, 'S1'), '[{"line": 1, "quantity": 2}]', :'today') \g /dev/null
SELECT is(pg_temp.seen(:c, 'SHIP'), '200 0 0 200 0 0 0', 'goods that have left count, whatever the day');
SELECT o2c.settle_exposure(:c, :'today'::date + 70) \g /dev/null
SELECT is(pg_temp.seen(:c, 'SHIP'), '500 0 300 200 0 0 0', 'the rest when it comes');

-- another horizon takes effect with the next day; the rules know it
SELECT pg_temp.set(:c, '{"credit_horizon_days": 1}') \g /dev/null
SELECT o2c.settle_exposure(:c) \g /dev/null
SELECT is(pg_temp.seen(:c, 'MANY') || ', ' || pg_temp.seen(:c, 'FAR'), '0 0 0 0 0 0 0, 0 0 0 0 0 0 0', 'a nearer one lets orders go');
INSERT INTO o2c.credit_rule (company_id, code, kind, threshold) VALUES (:c, 'half', 'limit_share', 50);
SELECT is(pg_temp.confirmed(:c, 'NEAR', 6, 'NE1', :'today'::date + 10) || ' ' || pg_temp.confirmed(:c, 'NEAR', 6, 'NE2', :'today'::date + 1), 'confirmed submitted', 'a share of the limit is of what counts');
UPDATE o2c.company SET settings = settings - 'credit_horizon_days' WHERE company_id = :c;
SELECT o2c.settle_exposure(:c) \g /dev/null
SELECT is((SELECT count(*) FROM o2c.sales_order WHERE company_id = :c AND deferred AND state IN ('confirmed', 'fulfilling')), 0::bigint, 'without one everything counts');

-- settings that make no sense
SELECT throws_ok(format('UPDATE o2c.company SET settings = %L WHERE company_id = %s', q.v, :c), 'O2004', q.what, q.v)
FROM (VALUES ('{"credit_horizon_days": "soon"}', 'company setting "credit_horizon_days" must be a whole number of days from 0 to 36525'),
             ('{"credit_horizon_days": -1}', 'company setting "credit_horizon_days" must be a whole number of days from 0 to 36525'),
             ('{"credit_return_days": {"barter": 3}}', 'company setting "credit_return_days" of "barter" is for no method of payment'),
             ('{"credit_return_days": {"cheque": 1.5}}', 'company setting "credit_return_days" of "cheque" must be a whole number of days from 0 to 36525'),
             ('{"credit_return_days": [56]}', 'company setting "credit_return_days" must be an object of methods of payment and days')) q(v, what);

-- one statement with items of many: alone, with a limit that it passes, in a group, in another currency, of nobody
INSERT INTO o2c.customer (company_id, code, name, country, credit_limit, parent_code)
  VALUES (:c, 'S_ALONE', 'S', 'DE', NULL, NULL), (:c, 'S_BELOW', 'S', 'DE', 1000, NULL), (:c, 'S_OVER', 'S', 'DE', 1000, NULL), (:c, 'S_HEAD', 'S', 'DE', 1000, NULL),
         (:c, 'S_DOLLAR', 'S', 'DE', NULL, NULL), (:c, 'S_ZERO', 'S', 'DE', NULL, NULL);
INSERT INTO o2c.customer (company_id, code, name, country, parent_code) VALUES (:c, 'S_CHILD', 'S', 'DE', 'S_HEAD'), (:c, 'S_GRANDCHILD', 'S', 'DE', 'S_CHILD');
CREATE FUNCTION pg_temp.items(company integer, prefix text, rows text[]) RETURNS void LANGUAGE sql AS $$
  INSERT INTO o2c.open_item (company_id, customer_id, kind, number, document_date, due_date, currency, amount, open_amount)
  SELECT company, k.id, 'opening', prefix || n, o2c.today(company) - 40, o2c.today(company) - 10, split_part(r, ' ', 3)::o2c.currency,
    split_part(r, ' ', 2)::numeric, split_part(r, ' ', 2)::numeric
  FROM unnest(rows) WITH ORDINALITY u(r, n) JOIN o2c.customer k ON k.company_id = company AND k.code = split_part(r, ' ', 1) $$;
CREATE FUNCTION pg_temp.sets(company integer) RETURNS TABLE (a text) LANGUAGE sql AS $$
  SELECT k.code || ' ' || concat_ws(' ', a.currency, trim_scale(a.open_items), trim_scale(a.unapplied), trim_scale(a.group_exposure))
  FROM o2c.credit_account a JOIN o2c.customer k ON k.company_id = a.company_id AND k.id = a.customer_id
  WHERE a.company_id = company AND k.code LIKE 'S\_%' $$;
SELECT pg_temp.items(:c, 'SET', '{S_ALONE 100 EUR,S_ALONE -30 EUR,S_BELOW 700 EUR,S_OVER 500 EUR,S_OVER 600 EUR,S_OVER -250 EUR,S_CHILD 300 EUR,S_GRANDCHILD 20 EUR,S_HEAD 5 EUR,S_DOLLAR 40 USD,S_DOLLAR 7 EUR}');
SELECT bag_eq(format('SELECT * FROM pg_temp.sets(%s)', :c), $$SELECT * FROM unnest('{S_ALONE EUR 100 30 70,S_BELOW EUR 700 0 700,S_OVER EUR 1100 250 850,S_HEAD EUR 5 0 325,
  S_CHILD EUR 300 0 320,S_GRANDCHILD EUR 20 0 20,S_DOLLAR EUR 7 0 7,S_DOLLAR USD 40 0 40,S_ZERO EUR 0 0 0}'::text[])$$, 'a set reaches every account, and everybody above');
SELECT is((SELECT array_agg(k.code || (e.data ->> 'threshold') ORDER BY e.id) FROM o2c.event e JOIN o2c.customer k ON k.company_id = e.company_id AND k.id = e.entity_id
  WHERE e.company_id = :c AND e.event = 'credit_alert' AND k.code LIKE 'S\_%'), '{S_OVER80}', 'whoever passes a threshold is announced');
SELECT pg_temp.items(:c, 'SET2', '{S_OVER 200 EUR,S_BELOW 150 EUR,S_ALONE -70 EUR,S_ZERO 5 EUR,S_GRANDCHILD 500 EUR}');
SELECT is((SELECT array_agg(k.code || (e.data ->> 'threshold') ORDER BY k.code, e.id) FROM o2c.event e JOIN o2c.customer k ON k.company_id = e.company_id AND k.id = e.entity_id
  WHERE e.company_id = :c AND e.event = 'credit_alert' AND k.code LIKE 'S\_%'), '{S_BELOW80,S_HEAD80,S_OVER80,S_OVER100}', 'of groups and of those that stand alone');
INSERT INTO o2c.allocation (company_id, debit_item_id, credit_item_id, currency, amount, effective_on)
  SELECT :c, d.id, k.id, 'EUR', least(d.amount, - k.amount), o2c.today(:c) FROM o2c.open_item d JOIN o2c.open_item k ON k.company_id = d.company_id AND k.customer_id = d.customer_id
  WHERE d.company_id = :c AND (d.number, k.number) IN (('SET1', 'SET2'), ('SET4', 'SET6'));
SELECT bag_eq(format('SELECT * FROM pg_temp.sets(%s) WHERE a ~ $q$ALONE|OVER|HEAD|CHILD$q$', :c), $$SELECT * FROM unnest('{S_ALONE EUR 70 70 0,S_OVER EUR 1050 0 1050,S_HEAD EUR 5 0 825,
  S_CHILD EUR 300 0 820,S_GRANDCHILD EUR 520 0 520}'::text[])$$, 'applications take from both sides and leave the exposure');

SELECT is_empty('SELECT * FROM o2c.check()', 'every invariant holds');
SELECT * FROM finish();
