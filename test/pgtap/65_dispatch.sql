-- Dispatch: what is refused when written, dedupe, signatures, events as messages.
SELECT plan(26);

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

SELECT is(o2c.arm_dispatch() IN ('running', 'starting', 'not served', 'not preloaded'), true, 'arming says what the dispatcher does');
SELECT is_empty('SELECT * FROM o2c.check()', 'check() is empty');
SELECT * FROM finish();
