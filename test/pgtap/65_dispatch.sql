-- Dispatch: what is refused when written, dedupe, signatures, events as messages.
SELECT plan(41);

SELECT lives_ok($$SELECT o2c.create_company('Acme', 'DE', 'EUR')$$, 'a company');
INSERT INTO o2c.channel (company_id, code, kind, url) VALUES
  (1, 'mail', 'email', 'smtp://127.0.0.1:2525'), (1, 'sms', 'sms', 'http://127.0.0.1:8080/sms/{{key}}'),
  (1, 'hook', 'webhook', 'https://example.com/hook');
SELECT throws_ok($$INSERT INTO o2c.channel (company_id, code, kind, url) VALUES (1, 'x', 'email', 'ftp://h')$$, 'O2071', NULL, 'a scheme that no mail has');
SELECT throws_ok($$INSERT INTO o2c.channel (company_id, code, kind, url) VALUES (1, 'x', 'sms', 'smtp://h')$$, 'O2071', NULL, 'a scheme that no text message has');
SELECT throws_ok($$INSERT INTO o2c.channel (company_id, code, kind, url) VALUES (1, 'x', 'sms', 'http://user:pw@h/')$$, 'O2071', NULL, 'a password in the url');
SELECT throws_ok($$INSERT INTO o2c.channel (company_id, code, kind, url) VALUES (1, 'x', 'sms', 'http://{{recipient}}/')$$, 'O2071', NULL, 'a variable host');
SELECT throws_ok($$INSERT INTO o2c.channel (company_id, code, kind, url) VALUES (1, 'x', 'sms', 'http://169.254.169.254/latest')$$, 'O2071', NULL, 'a link-local address');
SELECT throws_ok($$INSERT INTO o2c.channel (company_id, code, kind) VALUES (1, 'x', 'sms')$$, '23502', NULL, 'no url');
SELECT throws_ok($$UPDATE o2c.channel SET url = E'http://h/\r\nx' WHERE code = 'sms'$$, 'O2071', NULL, 'a line end in the url');

SELECT is(o2c.send_message(1, 'mail', 'a@example.com', NULL, '{"subject": "s", "body_text": "t"}', 'k'),
          o2c.send_message(1, 'mail', 'b@example.com', NULL, '{"subject": "s", "body_text": "t"}', 'k'), 'the same key is the same message');
SELECT throws_ok($$SELECT o2c.send_message(1, 'nope', 'a@example.com', NULL, '{"body_text": "t"}')$$, 'O2003', NULL, 'an unknown channel');
SELECT throws_ok($$SELECT o2c.send_message(99, 'mail', 'a@example.com', NULL, '{"body_text": "t"}')$$, 'O2002', NULL, 'an unknown company');
SELECT throws_ok($$SELECT o2c.send_message(1, 'mail', NULL, NULL, '{"body_text": "t"}')$$, 'O2071', NULL, 'no recipient');
SELECT throws_ok($$SELECT o2c.send_message(1, 'mail', E'a@example.com\nBcc: x@y.z', NULL, '{"body_text": "t"}')$$, 'O2071', NULL, 'an address of two lines');
SELECT throws_ok($$SELECT o2c.send_message(1, 'sms', 'not a number', NULL, '{"body_text": "t"}')$$, 'O2071', NULL, 'no telephone number');
SELECT throws_ok($$SELECT o2c.send_message(1, 'mail', 'a@example.com', 'no_such_template')$$, 'O2070', NULL, 'an unknown template');
SELECT throws_ok($$SELECT o2c.send_message(1, 'mail', 'a@example.com', NULL, '{}')$$, 'O2070', NULL, 'no text at all');
SELECT throws_ok($$INSERT INTO o2c.message (company_id, channel, recipient, body_text) VALUES (1, 'mail', 'a@example.com', repeat('x', 11000000))$$, 'O2071', NULL, 'a text over the cap');
SELECT throws_ok($$INSERT INTO o2c.message_attachment (company_id, message_id, name, content) SELECT 1, min(id), 'x', convert_to(repeat('x', 11000000), 'UTF8') FROM o2c.message$$, 'O2071', NULL, 'an attachment over the cap');
SELECT throws_ok($$UPDATE o2c.message SET state = 'delivered'$$, 'O2010', NULL, 'no state is skipped');
SELECT is(o2c.cancel_message(1, (SELECT min(id) FROM o2c.message)), 'cancelled', 'a waiting message can be cancelled');

SELECT is(o2c.webhook_signature('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', 'msg_p5jXN8AQM9LWM0D4loKWxJek', 1614265330, '{"test": 2432232314}'),
          'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=', 'the vector of Standard Webhooks');
SELECT ok(NOT o2c.verify_webhook('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', 'msg_p5jXN8AQM9LWM0D4loKWxJek', 1614265330,
          'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=', '{"test": 2432232314}', 1614265330 + 301), 'too old by a second');

INSERT INTO o2c.customer (company_id, code, name, email, language) VALUES (1, 'C1', 'Kunde', 'k@example.com', 'de'), (1, 'C2', 'Mute', NULL, 'en');
INSERT INTO o2c.event_subscription (company_id, entity, event, channel) VALUES (1, 'customer', 'credit_alert', 'mail');
INSERT INTO o2c.event (company_id, entity, entity_id, event)
SELECT 1, 'customer', id, 'credit_alert' FROM o2c.customer;
SELECT is((SELECT count(*) FROM o2c.message WHERE kind = 'customer.credit_alert' AND recipient = 'k@example.com'), 1::bigint, 'an event becomes a message');
SELECT is((SELECT count(*) FROM o2c.event WHERE entity = 'event_subscription' AND event = 'skip'), 1::bigint, 'who cannot be reached is noted');

-- the queue follows what waits, whoever changes it
CREATE VIEW pg_temp.queue AS
  SELECT string_agg(format('%s %s %s %s', m.recipient, q.channel, q.priority, CASE WHEN q.due = 'infinity' THEN 'unknown' ELSE q.due::date::text END), ', ' ORDER BY m.recipient) AS q
  FROM o2c.message_queue q JOIN o2c.message m ON m.company_id = q.company_id AND m.id = q.message_id
  WHERE m.recipient ~ '^q';
INSERT INTO o2c.message (company_id, channel, recipient, body_text, next_attempt_at)
SELECT 1, 'mail', 'q' || n || '@x.y', 't', '2030-01-01' FROM generate_series(1, 3) n;
SELECT is((SELECT q FROM pg_temp.queue), 'q1@x.y mail 5 2030-01-01, q2@x.y mail 5 2030-01-01, q3@x.y mail 5 2030-01-01', 'what is queued');
UPDATE o2c.message SET next_attempt_at = '2031-02-02', priority = 2 WHERE recipient = 'q2@x.y';
UPDATE o2c.message SET recipient = recipient WHERE recipient ~ '^q';
DELETE FROM o2c.message WHERE recipient = 'q3@x.y';
SELECT is((SELECT q FROM pg_temp.queue), 'q1@x.y mail 5 2030-01-01, q2@x.y mail 2 2031-02-02', 'what is put off, promoted or deleted');
UPDATE o2c.message SET state = 'sending', lease_owner = gen_random_uuid() WHERE recipient ~ '^q';
SELECT is((SELECT q FROM pg_temp.queue), NULL, 'what is being sent has left it');
UPDATE o2c.message SET state = CASE recipient WHEN 'q1@x.y' THEN 'retry' ELSE 'uncertain' END::o2c.message_state, lease_owner = NULL WHERE recipient ~ '^q';
SELECT is((SELECT q FROM pg_temp.queue), 'q1@x.y mail 5 2030-01-01, q2@x.y mail 2 unknown', 'what failed is back, what nobody knows of waits for ever');
SELECT is((SELECT waiting || ' ' || uncertain FROM o2c.dispatch_status()), (SELECT count(*) || ' 1' FROM o2c.message WHERE state IN ('queued', 'retry')), 'as the status counts them');
SELECT is(o2c.resolve_message(1, (SELECT id FROM o2c.message WHERE recipient = 'q2@x.y'), 'dead'), 'dead', 'until somebody decides');
SELECT is((SELECT q FROM pg_temp.queue), 'q1@x.y mail 5 2030-01-01', 'and then it is gone');
SELECT is_empty('SELECT * FROM o2c.check()', 'check() finds the queue right');
DELETE FROM o2c.message_queue q USING o2c.message m WHERE m.company_id = q.company_id AND m.id = q.message_id AND m.recipient ~ '^q';
SELECT is((SELECT string_agg(invariant, ' ') FROM o2c.check()), 'queue_follows_messages', 'and would tell if it were not');
UPDATE o2c.message SET next_attempt_at = '2032-01-01' WHERE recipient ~ '^q';
SELECT is_empty('SELECT * FROM o2c.check()', 'the next change mends it');

-- one message that cannot be judged or handed on stops no other
ALTER FUNCTION o2c._message_still_due(integer, bigint) RENAME TO _still_due_once;
CREATE FUNCTION o2c._message_still_due(company_id integer, message_id bigint) RETURNS boolean LANGUAGE sql
AS $$SELECT CASE $2 % 3 WHEN 0 THEN 1 / 0 > 0 WHEN 1 THEN true ELSE false END$$;
SELECT results_eq($$SELECT message_id, error FROM o2c._stale_messages('{1,1,1,1}', '{3,4,5,6}')$$,
  $$VALUES (3::bigint, 'division by zero'), (5, NULL), (6, 'division by zero')$$, 'of four one is due, one is not, and two cannot be judged');
DROP FUNCTION o2c._message_still_due(integer, bigint);
ALTER FUNCTION o2c._still_due_once(integer, bigint) RENAME TO _message_still_due;
CREATE FUNCTION pg_temp.poison() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'not this one'; END$$;
CREATE TRIGGER poison BEFORE INSERT ON o2c.message FOR EACH ROW
  WHEN (NEW.failover_of IS NOT NULL AND NEW.context ->> 'n' = '2') EXECUTE FUNCTION pg_temp.poison();
INSERT INTO o2c.channel (company_id, code, kind, url) VALUES (1, 'post', 'post', 'http://127.0.0.1:8080/');
UPDATE o2c.channel SET failover_channel = 'post' WHERE code = 'mail';
UPDATE o2c.customer SET street = 'Weg 1', postal_code = '1', city = 'Ort', country = 'DE' WHERE code = 'C1';
INSERT INTO o2c.message (company_id, channel, recipient, body_text, customer_id, dedupe_key, context)
SELECT 1, 'mail', 'dead@x.y', 't', k.id, 'dead' || n, jsonb_build_object('n', n)
FROM generate_series(1, 3) n, o2c.customer k WHERE k.code = 'C1';
UPDATE o2c.message SET state = 'sending', lease_owner = gen_random_uuid() WHERE dedupe_key ~ '^dead';
UPDATE o2c.message SET state = 'dead', last_error = 'no', lease_owner = NULL WHERE dedupe_key ~ '^dead';
SELECT lives_ok($$SELECT o2c._report_failures(array_agg(company_id), array_agg(id), array_agg('dead'::text), array_agg(last_error)) FROM o2c.message WHERE dedupe_key ~ '^dead'$$,
  'a letter that cannot be written does not stop the others');
SELECT is((SELECT string_agg(f.dedupe_key, ' ' ORDER BY f.dedupe_key) FROM o2c.message m JOIN o2c.message f ON f.id = m.failover_of), 'dead1 dead3', 'these go by letter');
SELECT is((SELECT last_error FROM o2c.message WHERE dedupe_key = 'dead2'), 'no; no failover: not this one', 'this one says why it does not');
SELECT is((SELECT count(*) FROM o2c.event WHERE entity = 'message' AND event = 'fail'), 3::bigint, 'all three are in the event log');
DELETE FROM o2c.message WHERE recipient = 'q1@x.y' OR state = 'sending';

SELECT is(o2c.arm_dispatch() IN ('running', 'starting', 'not served', 'not preloaded'), true, 'arming says what the dispatcher does');
SELECT is_empty('SELECT * FROM o2c.check()', 'check() is empty');
SELECT * FROM finish();
