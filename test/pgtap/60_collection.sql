-- Collection: levels, intervals, outcome of messages, promises, blocks,
-- charges, policies, preview.  Each scenario has a company of its own.
BEGIN;
SELECT plan(103);
CREATE TEMPORARY TABLE ctx (c integer);
CREATE FUNCTION pg_temp.c() RETURNS integer LANGUAGE sql AS 'SELECT c FROM ctx';
CREATE FUNCTION pg_temp.fresh(name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM ctx; INSERT INTO ctx SELECT o2c.create_company(name, 'DE', 'EUR');
  INSERT INTO o2c.customer (company_id, code, name, email, phone, street, city, language, customer_group)
  VALUES (pg_temp.c(), 'A', 'Alpha', 'a@example.com', '+4930123456', 'Weg 1', 'Berlin', 'de', 'big'),
         (pg_temp.c(), 'B', 'Beta', 'b@example.com', NULL, NULL, NULL, 'en', NULL),
         (pg_temp.c(), 'C', 'Gamma', NULL, NULL, NULL, NULL, 'fr', NULL);
  INSERT INTO o2c.channel (company_id, code, kind, url) VALUES (pg_temp.c(), 'mail', 'email', 'smtp://127.0.0.1:2525');
END $$;
CREATE FUNCTION pg_temp.cust(text) RETURNS bigint LANGUAGE sql AS 'SELECT id FROM o2c.customer WHERE company_id = pg_temp.c() AND code = $1';
CREATE FUNCTION pg_temp.item(text) RETURNS bigint LANGUAGE sql AS 'SELECT id FROM o2c.open_item i WHERE i.company_id = pg_temp.c() AND i.number = $1';
CREATE FUNCTION pg_temp.add(customer text, number text, due date, amount numeric, cur text DEFAULT 'EUR') RETURNS bigint LANGUAGE sql AS $$
  INSERT INTO o2c.open_item (company_id, customer_id, kind, number, document_date, due_date, currency, amount, open_amount)
  VALUES (pg_temp.c(), pg_temp.cust(customer), (CASE WHEN amount < 0 THEN 'on_account' ELSE 'invoice' END)::o2c.item_kind, number,
          CASE WHEN amount < 0 THEN due ELSE due - 30 END, due, cur::o2c.currency, amount, amount) RETURNING id $$;
CREATE FUNCTION pg_temp.apply(debit text, credit text, amount numeric, eff date, reverses bigint DEFAULT NULL) RETURNS bigint LANGUAGE sql AS $$
  INSERT INTO o2c.allocation (company_id, debit_item_id, credit_item_id, currency, amount, effective_on, reverses_id)
  VALUES (pg_temp.c(), pg_temp.item(debit), pg_temp.item(credit), 'EUR', amount, eff, reverses) RETURNING id $$;
CREATE FUNCTION pg_temp.run(day date) RETURNS text LANGUAGE sql AS $$ SELECT format('%s,%s,%s', r.notices, r.items, r.messages) FROM o2c.run_dunning(pg_temp.c(), day) r $$;
-- what the worker does with every message that waits
CREATE FUNCTION pg_temp.work(outcome text, day date DEFAULT NULL) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  UPDATE o2c.message SET state = 'sending', lease_owner = gen_random_uuid() WHERE company_id = pg_temp.c() AND state IN ('queued', 'retry');
  UPDATE o2c.message SET state = outcome::o2c.message_state, lease_owner = NULL,
    sent_at = CASE WHEN outcome = 'sent' THEN coalesce(day::timestamptz, now()) END
  WHERE company_id = pg_temp.c() AND state = 'sending';
END $$;
CREATE FUNCTION pg_temp.levels(number text) RETURNS text LANGUAGE sql AS $$
  SELECT string_agg(ni.level || ':' || n.state, ' ' ORDER BY n.id) FROM o2c.dunning_notice_item ni
  JOIN o2c.dunning_notice n ON n.company_id = ni.company_id AND n.id = ni.notice_id
  WHERE ni.company_id = pg_temp.c() AND ni.item_id = pg_temp.item(number) $$;
CREATE FUNCTION pg_temp.why(number text, day date) RETURNS text LANGUAGE sql AS $$
  SELECT coalesce(reason, 'level ' || level) FROM o2c.preview_dunning(pg_temp.c(), day, true) p WHERE p.number = why.number $$;

-- one notice for a customer, once
SELECT pg_temp.fresh('Basics');
SELECT pg_temp.add('A', 'A1', '2026-01-31', 100), pg_temp.add('A', 'A2', '2026-02-20', 50.5), pg_temp.add('A', 'A3', '2026-02-20', 7, 'USD'),
       pg_temp.add('B', 'B1', '2026-02-28', 70), pg_temp.add('C', 'C1', '2026-01-01', 20), pg_temp.add('B', 'B2', '2026-03-01', 5);
SELECT is((SELECT count(DISTINCT notice) || ',' || count(*) FROM o2c.preview_dunning(pg_temp.c(), '2026-03-01')), '3,5', 'the preview counts notices and items');
SELECT is((SELECT count(*) FROM o2c.dunning_notice), 0::bigint, 'and writes nothing');
SELECT is(pg_temp.run('2026-03-01'), '3,5,2', 'one notice for each customer with all its items; due on the day is not overdue');
SELECT is(pg_temp.run('2026-03-01'), '0,0,0', 'again: zero');
SELECT is(pg_temp.run('2026-04-15'), '1,1,1', 'before the outbox has delivered, later days add only what was not asked for');
SELECT is((SELECT array_agg(level::int) FROM o2c.dunning_notice WHERE company_id = pg_temp.c() AND as_of = '2026-03-01'), '{1,1,1}', 'however late, the first level is the first');
SELECT is((SELECT subject FROM o2c.message WHERE company_id = pg_temp.c() AND recipient = 'a@example.com'), 'Zahlungserinnerung: 150,50 EUR + 7,00 USD – Basics', 'in the customer''s language, by currency');
SELECT ok((SELECT body_text ~ 'A1.*A2' AND body_html ~ 'A1' AND recheck AND entity = 'dunning_notice' AND kind = 'dunning_1' FROM o2c.message WHERE company_id = pg_temp.c() AND recipient = 'a@example.com'), 'text and HTML with the items');
SELECT is((SELECT channel IS NULL AND state = 'pending' FROM o2c.dunning_notice WHERE company_id = pg_temp.c() AND customer_id = pg_temp.cust('C')), true, 'whom no channel reaches gets a notice by hand');
SELECT is((SELECT count(*) FROM o2c.activity WHERE company_id = pg_temp.c() AND kind = 'letter' AND done_at IS NULL), 1::bigint, 'and a collector an activity');
SELECT is(o2c.confirm_notice(pg_temp.c(), (SELECT id FROM o2c.dunning_notice WHERE company_id = pg_temp.c() AND channel IS NULL)), 'accepted', 'who says when it is out');
SELECT is((SELECT count(*) FROM o2c.activity WHERE company_id = pg_temp.c() AND kind = 'letter' AND done_at IS NULL), 0::bigint, 'which does the activity');
SELECT throws_ok($$SELECT o2c.confirm_notice(pg_temp.c(), (SELECT min(id) FROM o2c.dunning_notice WHERE company_id = pg_temp.c() AND channel IS NOT NULL))$$, 'O2010', NULL, 'what a channel sends is not confirmed by hand');

-- a level counts when the channel accepted the message
SELECT pg_temp.fresh('Levels');
SELECT pg_temp.add('A', 'L1', '2026-01-01', 100);
SELECT is(pg_temp.run('2026-01-02'), '1,1,1', 'first level');
SELECT is(pg_temp.run('2026-03-01'), '0,0,0', 'not accepted: no further level, however late');
SELECT pg_temp.work('retry');
SELECT is(pg_temp.run('2026-03-01'), '0,0,0', 'nor while it is tried again');
SELECT pg_temp.work('uncertain');
SELECT is(pg_temp.run('2026-03-01'), '0,0,0', 'nor while it is uncertain');
UPDATE o2c.message SET state = 'sent', sent_at = '2026-01-05' WHERE company_id = pg_temp.c();
SELECT is(pg_temp.run('2026-01-11'), '0,0,0', 'the next level waits for its days');
SELECT is(pg_temp.why('L1', '2026-01-11'), 'level reached', 'as the preview says');
SELECT is(pg_temp.run('2026-01-16'), '1,1,1', 'and comes with them');
SELECT pg_temp.work('sent', '2026-01-30');
SELECT is(pg_temp.run('2026-02-05'), '0,0,0', 'the interval counts from acceptance');
SELECT is(pg_temp.why('L1', '2026-02-05'), 'interval', 'as the preview says');
SELECT is(pg_temp.run('2026-02-06'), '1,1,1', 'third level after the interval');
SELECT is((SELECT count(*) FROM o2c.activity WHERE company_id = pg_temp.c() AND kind = 'call'), 1::bigint, 'which escalates to a collector');
SELECT pg_temp.work('sent', '2026-02-06');
SELECT is(pg_temp.run('2026-12-01'), '0,0,0', 'the last level is not repeated');
SELECT is(pg_temp.levels('L1'), '1:accepted 2:accepted 3:accepted', 'one notice for each level');

-- a reversed payment restores the level
SELECT pg_temp.add('A', 'P1', '2026-02-10', -100);
SELECT pg_temp.fresh('Reversal');
SELECT pg_temp.add('A', 'R1', '2026-01-01', 100);
SELECT pg_temp.run('2026-01-02'); SELECT pg_temp.work('sent', '2026-01-02');
SELECT pg_temp.run('2026-01-16'); SELECT pg_temp.work('sent', '2026-01-16');
SELECT pg_temp.add('A', 'RP', '2026-01-20', -100);
SELECT pg_temp.apply('R1', 'RP', 100, '2026-01-20') AS allocation \gset
SELECT is(pg_temp.run('2026-03-01'), '0,0,0', 'what is paid is not reminded of');
SELECT pg_temp.apply('R1', 'RP', -100, '2026-03-02', :allocation);
SELECT is(pg_temp.why('R1', '2026-03-02'), 'covered by credit', 'the money is still there');
INSERT INTO o2c.ledger_entry (company_id, item_id, customer_id, currency, due_date, kind, amount, effective_on)
SELECT company_id, id, customer_id, currency, due_date, 'return', 100, '2026-03-02' FROM o2c.open_item WHERE company_id = pg_temp.c() AND number = 'RP';
SELECT is(pg_temp.run('2026-03-02'), '1,1,1', 'the payment is returned: the item is reminded of again');
SELECT is(pg_temp.levels('R1'), '1:accepted 2:accepted 3:pending', 'where it was');

-- failover by policy
SELECT pg_temp.fresh('Failover');
INSERT INTO o2c.channel (company_id, code, kind, url, settings) VALUES (pg_temp.c(), 'letters', 'post', 'https://post.example/', '{"body": {"to": "{{recipient}}"}}');
SELECT pg_temp.add('A', 'F1', '2026-01-01', 100), pg_temp.add('B', 'F2', '2026-01-01', 100);
SELECT is(pg_temp.run('2026-01-02'), '2,2,2', 'by e-mail');
SELECT pg_temp.work('dead');
SELECT is(pg_temp.run('2026-01-03'), '2,2,1', 'what the channel could not deliver goes to the next, or to a collector');
SELECT is((SELECT string_agg(coalesce(n.channel, 'hand'), ',' ORDER BY n.id) FROM o2c.dunning_notice n WHERE n.company_id = pg_temp.c() AND n.customer_id = pg_temp.cust('A')), 'mail,letters', 'in the order of the policy');
SELECT is((SELECT array_agg(coalesce(n.channel, 'hand') ORDER BY n.id) FROM o2c.dunning_notice n WHERE n.company_id = pg_temp.c() AND n.customer_id = pg_temp.cust('B')), '{mail,hand}', 'a customer without address by hand');
SELECT is(pg_temp.levels('F1'), '1:failed 1:pending', 'at the same level');
SELECT pg_temp.work('sent', '2026-01-03');
UPDATE o2c.message SET state = 'dead' WHERE company_id = pg_temp.c() AND channel = 'letters';
SELECT is(pg_temp.run('2026-01-04'), '1,1,0', 'a bounce after acceptance takes the level back');
SELECT is(pg_temp.levels('F1'), '1:failed 1:failed 1:pending', 'until somebody is reached');

-- a message that is no longer due
SELECT pg_temp.fresh('Recheck');
SELECT pg_temp.add('A', 'D1', '2026-01-01', 100), pg_temp.add('A', 'D2', '2026-01-01', 50);
SELECT pg_temp.run('2026-01-02');
SELECT id AS message FROM o2c.message WHERE company_id = pg_temp.c() \gset
SELECT is(o2c._message_still_due(pg_temp.c(), :message), true, 'still due');
SELECT pg_temp.add('A', 'DP', '2026-01-02', -50); SELECT pg_temp.apply('D2', 'DP', 50, '2026-01-02');
SELECT is(o2c._message_still_due(pg_temp.c(), :message), false, 'not any more when one of its items was paid');
UPDATE o2c.message SET state = 'cancelled' WHERE company_id = pg_temp.c();
SELECT is(pg_temp.run('2026-01-02'), '1,1,1', 'the rest is asked for again');
SELECT is(pg_temp.levels('D1'), '1:cancelled 1:pending', 'at the same level');
SELECT id AS message FROM o2c.message WHERE company_id = pg_temp.c() AND state = 'queued' \gset
SELECT o2c.block_dunning(pg_temp.c(), 'A', 'they called', valid_from => '2026-01-02') AS block \gset
SELECT is(o2c._message_still_due(pg_temp.c(), :message), false, 'nor when reminders are blocked');
SELECT o2c.unblock_dunning(pg_temp.c(), :block);
SELECT is(o2c._message_still_due(pg_temp.c(), :message), true, 'until the block is lifted');

-- what is left out
SELECT pg_temp.fresh('Left out');
SELECT pg_temp.add('A', 'O1', '2026-01-01', 100), pg_temp.add('A', 'O2', '2026-01-01', 60), pg_temp.add('B', 'O3', '2026-01-01', 100);
SELECT o2c.open_dispute(pg_temp.c(), 'O1', NULL, 'damaged', '2026-01-01');
SELECT o2c.open_dispute(pg_temp.c(), 'O2', 20, 'price', '2026-01-01') AS dispute \gset
SELECT is(pg_temp.why('O1', '2026-02-01'), 'disputed', 'a disputed item');
SELECT is((SELECT amount FROM o2c.preview_dunning(pg_temp.c(), '2026-02-01') WHERE number = 'O2'), 40::numeric, 'only the undisputed share is asked for');
SELECT o2c.block_dunning(pg_temp.c(), 'A', 'key account', '2026-02-10', 'O2', '2026-01-20') AS block \gset
SELECT is(pg_temp.why('O2', '2026-02-10'), 'blocked', 'a blocked item, the last day included');
SELECT is(pg_temp.why('O2', '2026-02-11'), 'level 1', 'and not after');
SELECT is(o2c.promise_to_pay(pg_temp.c(), 'B', 100, '2026-02-05', given_on => '2026-01-20'),
          o2c.promise_to_pay(pg_temp.c(), 'B', 100, '2026-02-05', given_on => '2026-01-20'), 'the same promise again is the same');
SELECT is(pg_temp.why('O3', '2026-02-08'), 'promised', 'a live promise, with its days of grace');
SELECT is(pg_temp.why('O3', '2026-02-09'), 'level 1', 'and not when they are over');
SELECT pg_temp.add('B', 'OC', '2026-01-05', -100);
SELECT is(pg_temp.why('O3', '2026-02-09'), 'covered by credit', 'a credit that reaches for it');

-- promises are what the ledger says
SELECT pg_temp.fresh('Promises');
SELECT pg_temp.add('A', 'M1', '2026-01-01', 300), pg_temp.add('B', 'M2', '2026-01-01', 300);
SELECT o2c.promise_to_pay(pg_temp.c(), 'A', 100, '2026-02-01', given_on => '2026-01-20') AS p1 \gset
SELECT o2c.promise_to_pay(pg_temp.c(), 'B', 100, '2026-02-01', given_on => '2026-01-20') AS p2 \gset
SELECT throws_ok(format('UPDATE o2c.promise SET state = ''kept'', settled_on = ''2026-01-25'' WHERE id = %s', :p1), 'O2030', NULL, 'never by hand');
SELECT pg_temp.add('A', 'MP', '2026-02-03', -100);
SELECT is((SELECT row(s.*)::text FROM o2c.settle_promises(pg_temp.c(), '2026-02-04') s), '(1,0,0)', 'kept within the days of grace');
SELECT is((SELECT row(s.*)::text FROM o2c.settle_promises(pg_temp.c(), '2026-02-05') s), '(0,1,0)', 'broken after them');
SELECT is((SELECT row(s.*)::text FROM o2c.settle_promises(pg_temp.c(), '2026-02-05') s), '(0,0,0)', 'again: zero');
INSERT INTO o2c.ledger_entry (company_id, item_id, customer_id, currency, due_date, kind, amount, effective_on)
SELECT company_id, id, customer_id, currency, due_date, 'return', 100, '2026-02-10' FROM o2c.open_item WHERE company_id = pg_temp.c() AND number = 'MP';
SELECT is((SELECT row(s.*)::text FROM o2c.settle_promises(pg_temp.c(), '2026-02-10') s), '(0,1,1)', 'a returned payment breaks what it kept');
SELECT pg_temp.add('B', 'MQ', '2026-01-30', -100);
SELECT is((SELECT row(s.*)::text FROM o2c.settle_promises(pg_temp.c(), '2026-02-10') s), '(1,0,1)', 'one that is found late keeps what seemed broken');
SELECT throws_ok($$SELECT o2c.promise_to_pay(pg_temp.c(), 'A', 0, '2026-05-01')$$, 'O2043', NULL, 'nothing is no promise');
SELECT pg_temp.add('B', 'OFB', '2026-01-01', 10) AS of_b \gset
SELECT throws_ok(format('SELECT o2c.%s', q), 'O2003', 'item "OFB" is not of customer "A"', q)
FROM unnest(ARRAY[$$promise_to_pay(pg_temp.c(), 'A', 5, '2026-05-01', 'OFB')$$, $$block_dunning(pg_temp.c(), 'A', 'why', '2026-05-01', 'OFB')$$,
  $$log_activity(pg_temp.c(), 'A', 'call', 'asked', NULL, NULL, 'OFB')$$]) q;
SELECT throws_ok($$SELECT o2c.promise_to_pay(pg_temp.c(), 'A', 1.001, '2026-05-01')$$, 'O2043', NULL, 'nor what the currency can''t pay');
SELECT throws_ok($$SELECT o2c.promise_to_pay(pg_temp.c(), 'A', 1, 'infinity')$$, 'O2044', NULL, 'nor some day');

-- minimum, grace, pre-due reminders, holidays, groups, items one by one
SELECT pg_temp.fresh('Policies');
SELECT o2c.set_dunning_policy(pg_temp.c(), 'standard', '[{"level": 0, "days": -3}, {"level": 1, "days": 1, "minimum_amount": 10}, {"level": 2, "days": 10}]', options => '{"is_default": true, "grace_days": 2}');
SELECT pg_temp.add('B', 'G1', '2026-03-10', 9.99), pg_temp.add('B', 'G2', '2026-04-10', 1000);
SELECT is(pg_temp.run('2026-03-06'), '0,0,0', 'too early for a friendly reminder');
SELECT is(pg_temp.run('2026-03-07'), '1,1,1', 'a friendly reminder before the due date');
SELECT is((SELECT kind FROM o2c.message WHERE company_id = pg_temp.c()), 'dunning_friendly', 'is friendly');
SELECT pg_temp.work('sent', '2026-03-07');
SELECT is(pg_temp.run('2026-03-10'), '0,0,0', 'once');
SELECT is(pg_temp.run('2026-03-12'), '0,0,0', 'days of grace do not count');
SELECT is(pg_temp.why('G1', '2026-03-13'), 'below minimum', 'below the minimum');
SELECT pg_temp.add('B', 'G3', '2026-03-10', 0.01);
SELECT is(pg_temp.run('2026-03-13'), '1,2,1', 'together they reach it');
SELECT o2c.set_dunning_policy(pg_temp.c(), 'strict', '[{"level": 1, "days": 5}]', options => '{"customer_group": "big", "grouping": "item", "business_days_only": true, "roll_due_dates": true}');
INSERT INTO o2c.holiday (company_id, day, name) VALUES (pg_temp.c(), '2026-04-06', 'Easter Monday') ON CONFLICT DO NOTHING;
SELECT pg_temp.add('A', 'H1', '2026-04-04', 100), pg_temp.add('A', 'H2', '2026-04-04', 100);
SELECT is(pg_temp.run('2026-04-11'), '0,0,0', 'due on a Saturday before a holiday counts from Tuesday');
SELECT is(pg_temp.why('H1', '2026-04-12'), 'no business day', 'nothing on a Sunday');
SELECT is(pg_temp.run('2026-04-13'), '3,3,3', 'a group with a notice for each item, beside the default');
SELECT o2c.assign_dunning_policy(pg_temp.c(), 'A', 'standard');
SELECT pg_temp.add('A', 'H3', '2026-04-01', 100);
SELECT is((SELECT notice_level FROM o2c.preview_dunning(pg_temp.c(), '2026-04-13') WHERE number = 'H3'), 1, 'a customer''s own policy wins');
SELECT throws_ok($$SELECT o2c.set_dunning_policy(pg_temp.c(), 'x', '[{"level": 1, "dayz": 5}]')$$, 'O2004', NULL, 'an unknown setting is refused');
SELECT throws_ok($$SELECT o2c.set_dunning_policy(pg_temp.c(), 'x', '[{"level": 1, "days": 5}, {"level": 3, "days": 9}]'); SET CONSTRAINTS ALL IMMEDIATE$$, 'O2033', NULL, 'levels have no gap');
SELECT throws_ok($$SELECT o2c.set_dunning_policy(pg_temp.c(), 'x', '[{"level": 1, "days": 5}, {"level": 2, "days": 5}]'); SET CONSTRAINTS ALL IMMEDIATE$$, 'O2033', NULL, 'and apply one after the other');
SET CONSTRAINTS ALL DEFERRED;
SELECT throws_ok($$SELECT o2c.set_dunning_policy(pg_temp.c(), 'x', '[{"level": 1, "days": 5, "channels": ["email", "pigeon"]}]')$$, 'O2003', 'there is no channel "pigeon"', 'channels exist');
SELECT throws_ok($$SELECT o2c.set_dunning_policy(pg_temp.c(), 'x', '[{"level": 1, "days": 5, "template": "nasty"}]')$$, 'O2070', 'there is no template "nasty"', 'and templates');

-- interest and fees
SELECT is(round(o2c.late_interest(10000, '2023-05-31', '2023-08-31'), 2), 290.14, 'interest over a change of the reference rate');
SELECT is(o2c.late_interest(10000, '2023-05-31', '2023-05-31'), 0::numeric, 'none on the due date');
SELECT is(round(o2c.late_interest(18250, '2015-03-01', '2015-03-02'), 2), 4.03, 'half a cent is not lost in a division: 18250 x 8.05 % / 365 = 4.025');
SELECT pg_temp.fresh('Charges');
SELECT o2c.set_dunning_policy(pg_temp.c(), 'standard', '[{"level": 1, "days": 1, "fee_amount": 5, "charge_interest": true}, {"level": 2, "days": 10, "fee_amount": 40, "fee_basis": "item", "charge_interest": true}]', options => '{"is_default": true}');
SELECT pg_temp.add('A', 'I1', '2023-05-31', 10000), pg_temp.add('A', 'I2', '2023-07-31', 100);
SELECT pg_temp.run('2023-08-31');
SELECT is((SELECT array_agg(kind || ' ' || amount ORDER BY kind, amount) FROM o2c.open_item WHERE company_id = pg_temp.c() AND kind IN ('fee', 'interest')), '{"fee 5","interest 1.02","interest 290.14"}', 'become open items of their own');
SELECT is((SELECT source_item_id FROM o2c.open_item WHERE company_id = pg_temp.c() AND amount = 290.14), pg_temp.item('I1'), 'linked to their source');
SELECT ok((SELECT body_text ~ '10\.100,00' AND body_text !~ 'NULL' AND subject ~ '10\.396,16 EUR' FROM o2c.message WHERE company_id = pg_temp.c()) IS NOT NULL, 'and are part of what is asked for');
SELECT pg_temp.work('dead');
SELECT pg_temp.run('2023-09-01');
SELECT is((SELECT count(*) FROM o2c.open_item WHERE company_id = pg_temp.c() AND kind IN ('fee', 'interest')), 3::bigint, 'a further attempt charges nothing again');
SELECT o2c.confirm_notice(pg_temp.c(), (SELECT max(id) FROM o2c.dunning_notice WHERE company_id = pg_temp.c()), '2023-09-01');
SELECT pg_temp.run('2023-09-30');
SELECT is((SELECT array_agg(h.kind || ' ' || h.amount || ' ' || coalesce(h.from_date::text, '') ORDER BY h.id) FROM o2c.dunning_charge h JOIN o2c.dunning_notice n ON n.company_id = h.company_id AND n.id = h.notice_id WHERE n.company_id = pg_temp.c() AND n.as_of = '2023-09-30' AND h.source_item_id = pg_temp.item('I1')),
  '{"interest 98.63 2023-09-01","fee 40 "}', 'interest goes on after the last day charged; one fee for each item');

-- the same through the functions that applications call
SELECT pg_temp.fresh('Functions');
SELECT pg_temp.add('A', 'W1', '2026-01-01', 100);
SELECT pg_temp.run('2026-01-02'); SELECT pg_temp.work('sent', '2026-01-02');
SELECT o2c.promise_to_pay(pg_temp.c(), 'A', 100, '2026-01-10', given_on => '2026-01-05') AS promise \gset
SELECT o2c.record_payment(pg_temp.c(), 'A', 100, 'EUR', '2026-01-09', 'W1') AS payment \gset
SELECT o2c.apply_payment(pg_temp.c(), :payment, 'W1', 100, '2026-01-09');
SELECT is(pg_temp.run('2026-01-20'), '0,0,0', 'a payment ends the reminders');
SELECT is((SELECT state::text FROM o2c.promise WHERE id = :promise), 'kept', 'and keeps the promise');
SELECT o2c.return_payment(pg_temp.c(), :payment, 'no funds', '2026-01-21');
SELECT is(pg_temp.run('2026-01-21'), '1,1,1', 'its return starts them again');
SELECT is(pg_temp.levels('W1'), '1:accepted 2:pending', 'with the next level');
SELECT is((SELECT state::text FROM o2c.promise WHERE id = :promise), 'broken', 'and breaks the promise');
SELECT o2c.write_off(pg_temp.c(), 'W1', NULL, 'insolvent', '2026-01-22');
SELECT is(o2c._message_still_due(pg_temp.c(), (SELECT max(id) FROM o2c.message WHERE company_id = pg_temp.c())), false, 'what is written off is not asked for');

-- a webhook takes the values themselves
SELECT pg_temp.fresh('Webhook');
INSERT INTO o2c.channel (company_id, code, kind, url) VALUES (pg_temp.c(), 'hook', 'webhook', 'https://hooks.example/dunning');
SELECT o2c.set_dunning_policy(pg_temp.c(), 'standard', '[{"level": 1, "days": 1, "channels": ["hook"]}]', options => '{"is_default": true}');
SELECT pg_temp.add('C', 'K1', '2026-01-01', 100);
SELECT is(pg_temp.run('2026-01-02'), '1,1,1', 'needs neither template nor address');
SELECT is((SELECT context -> 'items' -> 0 ->> 'number' FROM o2c.message WHERE company_id = pg_temp.c()), 'K1', 'and carries the items');

-- charges of a reminder that was never sent
SELECT pg_temp.fresh('Taken back');
SELECT o2c.set_dunning_policy(pg_temp.c(), 'standard', '[{"level": 1, "days": 1, "fee_amount": 5}]', options => '{"is_default": true}');
SELECT pg_temp.add('A', 'T1', '2026-01-01', 100);
SELECT pg_temp.run('2026-01-02');
UPDATE o2c.message SET state = 'cancelled' WHERE company_id = pg_temp.c();
SELECT is((SELECT row(s.*)::text FROM o2c.settle_dunning(pg_temp.c(), '2026-01-03') s), '(0,0,1)', 'a message that is cancelled cancels the notice');
SELECT is((SELECT array_agg(amount || ' ' || open_amount) FROM o2c.open_item WHERE company_id = pg_temp.c() AND kind = 'fee'), '{"5 0"}', 'and takes its fee back');
SELECT pg_temp.run('2026-01-03');
SELECT is((SELECT array_agg(amount || ' ' || open_amount ORDER BY id) FROM o2c.open_item WHERE company_id = pg_temp.c() AND kind = 'fee'), '{"5 0","5 5"}', 'which the next attempt charges');

-- a dead message that somebody revives when the next channel was tried
SELECT pg_temp.fresh('Revived');
SELECT pg_temp.add('B', 'V1', '2026-01-01', 100);
SELECT pg_temp.run('2026-01-02'); SELECT pg_temp.work('dead'); SELECT pg_temp.run('2026-01-03');
SELECT id AS message FROM o2c.message WHERE company_id = pg_temp.c() \gset
UPDATE o2c.message SET state = 'queued' WHERE id = :message;
SELECT pg_temp.run('2026-01-04');
SELECT is(pg_temp.levels('V1'), '1:failed 1:pending', 'does not become a second reminder');
SELECT is(o2c._message_still_due(pg_temp.c(), :message), false, 'and is not sent');

-- the collector's own rights are enough
SELECT pg_temp.add('A', 'V2', '2026-01-01', 100);
SELECT o2c.set_dunning_policy(pg_temp.c(), 'standard', '[{"level": 1, "days": 1, "fee_amount": 5, "charge_interest": true, "escalation": "service_stop"}]', options => '{"is_default": true}');
INSERT INTO o2c.company_member (company_id, role_name) VALUES (pg_temp.c(), 'o2c_collector') ON CONFLICT DO NOTHING;
SELECT pg_temp.c() AS c \gset
SET ROLE o2c_collector;
SELECT format('%s,%s,%s', r.notices, r.items, r.messages) AS ran FROM o2c.run_dunning(:c, '2026-02-04') r \gset
SELECT count(*) AS listed FROM o2c_bi.worklist WHERE company_id = :c \gset
RESET ROLE;
SELECT is(:'ran'::text, '1,1,1', 'a collector may run it, with charges');
SELECT is(:listed, 2, 'and sees the worklist');
SELECT is_empty('SELECT * FROM o2c.check()', 'nothing is violated');

SELECT * FROM finish();
ROLLBACK;
