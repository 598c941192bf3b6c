-- Events as messages: what a subscription asks for is written once, with its documents.
SELECT plan(20);

SELECT o2c.create_company('Acme GmbH', 'DE', 'EUR', 'Europe/Berlin', vat_id => 'DE123456789',
  street => 'Weg 1', postal_code => '10115', city => 'Berlin', email => 'ar@acme.example');
UPDATE o2c.company SET settings = settings || '{"electronic_invoice": true}' WHERE company_id = 1;
INSERT INTO o2c.bank_account (company_id, code, currency, iban) VALUES (1, 'MAIN', 'EUR', 'DE89370400440532013000');
INSERT INTO o2c.customer (company_id, code, name, country, language, email, credit_limit, street, postal_code, city)
VALUES (1, 'C1', 'Kunde & Söhne', 'DE', 'de', 'kunde@example.org', 100, 'Platz 2', '20095', 'Hamburg');
INSERT INTO o2c.product (company_id, code, name, unit_price) VALUES (1, 'P', 'Pumpe', 81);
INSERT INTO o2c.channel (company_id, code, kind, url, settings)
VALUES (1, 'mail', 'email', 'smtp://127.0.0.1:2525', '{"from": "ar@acme.example"}');
INSERT INTO o2c.event_subscription (company_id, entity, event, channel, recipient, attach) VALUES
  (1, 'order', 'confirm', 'mail', 'customer', '{}'),
  (1, 'invoice', 'issue', 'mail', 'customer', '{ubl,html}'),
  (1, 'payment', 'receive', 'mail', 'customer', '{}'),
  (1, 'dispute', 'open', 'mail', 'desk@acme.example', '{}'),
  (1, 'customer', 'credit_alert', 'mail', 'desk@acme.example', '{}');

SELECT is(o2c.confirm_order(1, o2c.place_order(1, 'C1', '[{"product": "P", "quantity": 1}]', '2026-03-02', 'O1')), 'confirmed', 'an order is confirmed');
SELECT is((SELECT count(*) FROM o2c.message WHERE template = 'order_confirmed' AND recipient = 'kunde@example.org'), 1::bigint,
  'its customer is told once');
SELECT results_eq($$SELECT count(*), bool_and(coalesce(body_text, '') ~ '81') FROM o2c.message WHERE template = 'credit_alert'$$, $$VALUES (1::bigint, true)$$,
  'crossing 80 % of the limit is told, with the percentage');
SELECT isnt(o2c.ship_order(1, 1, shipped_on => '2026-03-03'), NULL, 'the order is shipped');
SELECT matches(o2c.issue_invoice(1, o2c.invoice_order(1, 1), '2026-03-04'), '^INV', 'and invoiced');
SELECT is((SELECT count(*) FROM o2c.message WHERE template = 'invoice_issued'), 1::bigint, 'the invoice is told once');
SELECT results_eq($$SELECT a.name, a.content_type FROM o2c.message_attachment a JOIN o2c.message m ON m.company_id = a.company_id AND m.id = a.message_id
    WHERE m.template = 'invoice_issued' ORDER BY 1$$,
  $$VALUES ('INV2026-000001.html', 'text/html; charset=utf-8'), ('INV2026-000001.xml', 'application/xml')$$, 'with its page and its UBL');
SELECT ok((SELECT bool_and(convert_from(a.content, 'UTF8') ~ 'INV2026-000001') FROM o2c.message_attachment a), 'which are this invoice''s');
SELECT is((SELECT count(*) FROM o2c.event WHERE event = 'attach_failed'), 0::bigint, 'nothing failed to attach');
SELECT isnt(o2c.record_payment(1, 'C1', 10, 'EUR', '2026-03-05', 'REF', 'transfer'), NULL, 'a payment is recorded');
SELECT is((SELECT count(*) FROM o2c.message WHERE template = 'payment_received' AND subject <> ''), 1::bigint, 'and told once');
SELECT is((SELECT count(*) FROM (SELECT o2c.open_dispute(1, 'INV2026-000001', 5, 'price')) d
           CROSS JOIN LATERAL (SELECT 1) x), 1::bigint, 'a dispute is opened');
CREATE TEMPORARY TABLE paid AS SELECT 'L1' AS line_id, '2026-03-06' AS booking_date, total_amount AS amount, 'EUR' AS currency,
  'Kunde & Soehne' AS payer_name, number AS remittance_text FROM o2c.invoice;
SELECT is((SELECT imported FROM o2c.import_bank_lines(1, 'MAIN', 'paid')) + (SELECT auto_lines FROM o2c.match_cash(1)), 2::bigint,
  'one that comes through the bank is applied at once');
SELECT is((SELECT count(*) FROM o2c.message WHERE template = 'payment_received'), 2::bigint, 'and told once as well');
-- what cannot be said is noted, and neither the act nor another subscription suffers
INSERT INTO o2c.event_subscription (company_id, entity, event, channel, recipient) VALUES
  (1, 'order', 'cancel', 'mail', 'desk@acme.example'), (1, 'order', 'cancel', 'mail', 'other@acme.example'),
  (1, 'event_subscription', 'skip', 'mail', 'nobody'), (1, 'event_subscription', 'skip', 'mail', 'desk@acme.example');
UPDATE o2c.event_subscription SET template = 'short' WHERE recipient = 'other@acme.example';
SELECT o2c.save_template(1, 'order_cancel', 'email', 'en', 'Cancelled: {{event.reason}}', 'Cancelled') > 0 AS saved \gset
SELECT o2c.save_template(1, 'short', 'email', 'en', 'Cancelled', 'Cancelled') > 0 AS saved \gset
SELECT o2c.place_order(1, 'C1', '[{"product": "P", "quantity": 1}]', '2026-03-02', 'O2') AS o2 \gset
SELECT is(o2c.cancel_order(1, :o2, repeat('because ', 500)), 'cancelled', 'an order is cancelled for a reason that is too long for a subject');
SELECT is((SELECT count(*) FROM o2c.message WHERE kind = 'order.cancel'), 1::bigint, 'who wants no reason is told');
SELECT is((SELECT count(*) FROM o2c.event e JOIN o2c.event_subscription s ON s.id = e.entity_id AND s.recipient = 'desk@acme.example' AND s.event = 'cancel'
           WHERE e.entity = 'event_subscription' AND e.event = 'skip' AND e.reason ~ 'message_subject_check'), 1::bigint, 'that the other was not is noted once');
SELECT lives_ok($$INSERT INTO o2c.event (company_id, entity, entity_id, event, data) VALUES (1, 'customer', 1, 'credit_alert', '{"limit": "x"}')$$,
  'an event with strange data is an event');
SELECT is((SELECT count(*) FROM o2c.event WHERE event = 'skip' AND reason ~ 'invalid input syntax'), 1::bigint, 'of which nobody is told');

SELECT is_empty('SELECT * FROM o2c.check()', 'no invariant is violated');
SELECT * FROM finish();
