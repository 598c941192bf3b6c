-- Contacts and addresses with roles: who gets reminders and statements, and
-- what invoices say of the buyer and the place of delivery.
SELECT plan(28);

SELECT o2c.create_company('Seller', 'DE', 'EUR', vat_id => 'DE123456789', street => 'Weg 1', postal_code => '10115', city => 'Berlin') AS c \gset
INSERT INTO o2c.customer (company_id, code, name, country, email, phone, street, postal_code, city, language)
SELECT :c, x, 'Customer ' || x, 'DE', lower(x) || '@own.example', '+49301', 'Own street 1', '20095', 'Hamburg', 'en' FROM unnest('{A,B,C}'::text[]) x;
SELECT id AS a FROM o2c.customer WHERE company_id = :c AND code = 'A' \gset
SELECT id AS b FROM o2c.customer WHERE company_id = :c AND code = 'B' \gset
INSERT INTO o2c.channel (company_id, code, kind, url) VALUES (:c, 'letter', 'post', 'http://127.0.0.1:8080/');
INSERT INTO o2c.channel (company_id, code, kind, url, failover_channel) VALUES (:c, 'mail', 'email', 'smtp://127.0.0.1:2525', 'letter');
INSERT INTO o2c.customer_contact (company_id, customer_id, role, name, email, phone, language, is_default) VALUES
  (:c, :a, 'billing', 'Bill', 'bill@a.example', '+49302', 'de', true), (:c, :a, 'dunning', 'Dee', 'dee@a.example', NULL, 'fr', false),
  (:c, :a, 'dunning', 'Dan', 'dan@a.example', NULL, NULL, true), (:c, :a, 'shipping', 'Sue', 'sue@a.example', NULL, NULL, true),
  (:c, :b, 'billing', 'Bea', 'bea@b.example', NULL, 'it', false), (:c, :b, 'other', 'Otto', 'otto@b.example', NULL, 'es', true);
INSERT INTO o2c.customer_address (company_id, customer_id, role, name, street, postal_code, city, country, is_default) VALUES
  (:c, :a, 'billing', 'Accounts office', 'Bill street 2', NULL, 'Köln', NULL, true),
  (:c, :a, 'shipping', NULL, 'Old gate 3', '1010', 'Wien', 'AT', false), (:c, :a, 'shipping', 'Gate 4', 'Ramp 4', '1020', 'Wien', 'AT', true),
  (:c, :b, 'billing', NULL, NULL, NULL, 'Essen', NULL, true), (:c, :b, 'dunning', NULL, 'Dun street 5', '44787', 'Bochum', NULL, false);

SELECT results_eq(format('SELECT code, email, phone, language, name, street, postal_code, city, country FROM o2c._addressees(%s, %L) ORDER BY code', :c, '{dunning,billing}'),
  $$VALUES ('A', 'dan@a.example', '+49302', 'fr', 'Accounts office', 'Bill street 2', NULL, 'Köln', 'DE'),
           ('B', 'bea@b.example', '+49301', 'it', 'Customer B', 'Dun street 5', '44787', 'Bochum', 'DE'),
           ('C', 'c@own.example', '+49301', 'en', 'Customer C', 'Own street 1', '20095', 'Hamburg', 'DE')$$,
  'dunning, then billing, then the customer; addresses are not mixed');

-- invoices, one a customer
INSERT INTO o2c.invoice (company_id, customer_id, currency) SELECT :c, id, 'EUR' FROM o2c.customer WHERE company_id = :c;
INSERT INTO o2c.invoice_line (company_id, invoice_id, line_no, description, quantity, unit_price, currency, tax_category, tax_rate)
SELECT :c, id, 1, 'Sample', 1, 100, 'EUR', 'S', 19 FROM o2c.invoice WHERE company_id = :c;
SELECT is(count(*), 3::bigint, 'issue') FROM o2c.issue_invoices(:c, NULL, '2026-01-10');
SELECT id AS ia FROM o2c.invoice WHERE company_id = :c AND customer_id = :a \gset
SELECT is(buyer - '{code,email,phone,language}'::text[], '{"name": "Customer A", "addressee": "Accounts office", "street": "Bill street 2", "city": "Köln", "country": "DE"}', 'the buyer has its billing address')
FROM o2c.invoice WHERE id = :ia;
SELECT is(delivery, '{"name": "Gate 4", "street": "Ramp 4", "postal_code": "1020", "city": "Wien", "country": "AT"}', 'it was delivered to the shipping address')
FROM o2c.invoice WHERE id = :ia;
SELECT is(buyer ->> 'street' || ', ' || (buyer ->> 'city'), 'Own street 1, Hamburg', 'without street it is none') FROM o2c.invoice WHERE company_id = :c AND customer_id = :b;
SELECT results_eq(format('SELECT buyer, delivery FROM o2c.invoice i JOIN o2c.customer k ON k.id = i.customer_id WHERE i.company_id = %s AND k.code = %L', :c, 'C'),
  $$VALUES ('{"code": "C", "name": "Customer C", "country": "DE", "street": "Own street 1", "postal_code": "20095", "city": "Hamburg", "email": "c@own.example", "phone": "+49301", "language": "en"}'::jsonb,
            '{"country": "DE"}'::jsonb)$$, 'who has neither is as it was');

-- the documents
CREATE FUNCTION pg_temp.at(path text) RETURNS text LANGUAGE sql AS $$
  SELECT (xpath('//a:' || path || '/text()', o2c.invoice_ubl(v.company_id, v.id), '{{a,urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2},{b,urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2}}'))[1]::text
  FROM o2c.invoice v JOIN o2c.customer k ON k.id = v.customer_id WHERE k.code = 'A' ORDER BY v.id LIMIT 1 $$;
SELECT is(pg_temp.at('AccountingCustomerParty//a:PostalAddress/b:StreetName'), 'Bill street 2', 'UBL: street of the buyer');
SELECT is(pg_temp.at('AccountingCustomerParty//a:PostalAddress/b:AdditionalStreetName'), 'Accounts office', 'UBL: who is addressed there');
SELECT is(pg_temp.at('AccountingCustomerParty//b:RegistrationName'), 'Customer A', 'UBL: the buyer itself');
SELECT is(pg_temp.at('DeliveryLocation/a:Address/b:StreetName'), 'Ramp 4', 'UBL: where to');
SELECT is(pg_temp.at('DeliveryLocation//b:IdentificationCode'), 'AT', 'UBL: in which country');
SELECT is(pg_temp.at('DeliveryParty/a:PartyName/b:Name'), 'Gate 4', 'UBL: to whom');
SELECT o2c.invoice_html(:c, :ia) AS page, o2c.invoice_ubl(:c, :ia)::text AS ubl \gset
SELECT ok(:'page' LIKE '%Customer A%Accounts office%Bill street 2%' AND :'page' NOT LIKE '%Own street%', 'the page: the buyer');
SELECT ok(:'page' LIKE '%Delivered to%Gate 4, Ramp 4, 1020 Wien, AT%', 'the page: the delivery');

-- what comes later is for later documents
UPDATE o2c.customer_address SET street = 'New street 9' WHERE customer_id = :a;
SELECT ok(o2c.invoice_html(:c, :ia) = :'page' AND o2c.invoice_ubl(:c, :ia)::text = :'ubl', 'an issued invoice keeps its addresses');
INSERT INTO o2c.invoice (company_id, customer_id, currency, delivery) VALUES (:c, :a, 'EUR', '{"city": "Linz", "country": "AT"}') RETURNING id AS ib \gset
INSERT INTO o2c.invoice_line (company_id, invoice_id, line_no, description, quantity, unit_price, currency, tax_category, tax_rate) VALUES (:c, :ib, 1, 'Sample', 1, 100, 'EUR', 'S', 19);
SELECT isnt(o2c.issue_invoice(:c, :ib, '2026-01-11'), NULL, 'a second one');
SELECT is(buyer ->> 'street', 'New street 9', 'has the new one') FROM o2c.invoice WHERE id = :ib;
SELECT is(delivery ->> 'city', 'Linz', 'and the delivery that its draft gave') FROM o2c.invoice WHERE id = :ib;

-- reminders
SELECT results_eq(format('SELECT notices, messages FROM o2c.run_dunning(%s, %L)', :c, '2026-04-01'), 'VALUES (3::bigint, 3::bigint)', 'reminders');
SELECT results_eq(format('SELECT recipient, language FROM o2c.message WHERE company_id = %s AND entity = %L ORDER BY customer_id', :c, 'dunning_notice'),
  $$VALUES ('dan@a.example', 'fr'), ('bea@b.example', 'it'), ('c@own.example', 'en')$$, 'go to the contact for dunning, for billing, to the customer, in their language');
UPDATE o2c.message SET state = 'sending', lease_owner = gen_random_uuid() WHERE company_id = :c AND entity = 'dunning_notice';
UPDATE o2c.message SET state = 'dead', lease_owner = NULL WHERE company_id = :c AND entity = 'dunning_notice';
SELECT ok(o2c._failover(array_agg(company_id), array_agg(id)) > 0, 'refused they fail over to letters') FROM o2c.message WHERE company_id = :c AND entity = 'dunning_notice' AND state = 'dead';
SELECT results_eq(format('SELECT recipient FROM o2c.message WHERE company_id = %s AND channel = %L ORDER BY customer_id', :c, 'letter'),
  $$VALUES (E'Accounts office\nNew street 9\nKöln\nDE'), (E'Customer B\nDun street 5\n44787 Bochum\nDE'), (E'Customer C\nOwn street 1\n20095 Hamburg\nDE')$$, 'at the address for billing, for dunning, their own');

-- statements of account
SELECT is(o2c.send_statements(:c, '2026-04-02'), 3::bigint, 'statements');
SELECT results_eq(format('SELECT recipient, language FROM o2c.message WHERE company_id = %s AND kind = %L ORDER BY customer_id', :c, 'statement'),
  $$VALUES ('dan@a.example', 'fr'), ('bea@b.example', 'it'), ('c@own.example', 'en')$$, 'the same people');
SELECT ok(h LIKE '%lang="fr"%' AND h LIKE '%Accounts office%New street 9%', 'the page is in their language') FROM o2c.statement_html(:c, 'A', NULL, '2026-04-02', 'open_item') h;

-- part of the plan of whoever asks, and by key where one is given
CREATE FUNCTION pg_temp.plan(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE line text; whole text := ''; BEGIN FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP whole := whole || line || E'\n'; END LOOP; RETURN whole; END $$;
SELECT unalike(pg_temp.plan(format('SELECT * FROM o2c._addressees(%s, %L)', :c, '{dunning,billing}')), '%Function Scan%', 'no function is called for a row');
SET enable_seqscan = off;
SELECT alike(pg_temp.plan(format('SELECT * FROM o2c.customer c LEFT JOIN LATERAL (SELECT a.* FROM o2c._addresses_for(%s, %L) a WHERE a.customer_id = c.id OFFSET 0) b ON true', :c, '{billing}')),
  '%customer_id = c.id%', 'by key within LATERAL');
RESET enable_seqscan;

SELECT is_empty('SELECT * FROM o2c.check()', 'every invariant holds');
SELECT * FROM finish();
