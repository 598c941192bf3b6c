-- Customers: addresses, contacts, history, four eyes on bank accounts.

SELECT plan(18);

SELECT o2c.create_company('Party', 'DE', 'EUR') AS c \gset
INSERT INTO o2c.customer (company_id, code, name) VALUES (:c, 'A', 'Alpha');
SELECT id AS a FROM o2c.customer WHERE company_id = :c \gset
SELECT is((SELECT currency::text FROM o2c.customer WHERE id = :a), 'EUR', 'company, code and name make a customer');
SELECT is((SELECT count(*) FROM o2c.credit_account WHERE customer_id = :a AND head), 1::bigint, 'it has a credit account from the start');

INSERT INTO o2c.customer_address (company_id, customer_id, role, city, is_default) VALUES (:c, :a, 'billing', 'Berlin', true), (:c, :a, 'shipping', 'Hamburg', true);
SELECT throws_ok(format('INSERT INTO o2c.customer_address (company_id, customer_id, role, is_default) VALUES (%s, %s, %L, true)', :c, :a, 'billing'), '23505', NULL, 'one default address a role');
SELECT throws_ok(format('INSERT INTO o2c.customer_contact (company_id, customer_id, name, email) VALUES (%s, %s, %L, %L)', :c, :a, 'Eve', E'a@b\nBcc: x'), '23514', NULL, 'no line breaks in an address of mail');
INSERT INTO o2c.customer_contact (company_id, customer_id, role, name, email, language, channel) VALUES (:c, :a, 'dunning', 'Ann', 'ann@example.com', 'fr', 'email');

UPDATE o2c.customer SET name = 'Alpha GmbH', phone = '1' WHERE id = :a;
UPDATE o2c.customer SET name = 'Alpha GmbH' WHERE id = :a;
UPDATE o2c.customer_contact SET channel = 'post' WHERE customer_id = :a;
SELECT results_eq('SELECT entity, operation, before, after FROM o2c.master_history ORDER BY id',
  $$VALUES ('customer', 'update', '{"name": "Alpha", "phone": null}'::jsonb, '{"name": "Alpha GmbH", "phone": "1"}'::jsonb),
           ('customer_contact', 'update', '{"channel": "email"}', '{"channel": "post"}')$$, 'history has what changed, and nothing else');

-- bank accounts without and with four eyes
SELECT o2c.propose_bank_account(:c, 'A', 'DE89 3704 0044 0532 0130 00') AS b \gset
SELECT is((SELECT iban::text FROM o2c.customer WHERE id = :a), 'DE89370400440532013000', 'alone it holds at once');
UPDATE o2c.company SET settings = '{"four_eyes_bank_accounts": true}' WHERE company_id = :c;
SELECT throws_ok(format('UPDATE o2c.customer SET iban = %L WHERE id = %s', 'FR1420041010050500013M02606', :a), 'O2080', NULL, 'where four eyes are asked for, nobody changes it alone');
SELECT throws_ok(format('INSERT INTO o2c.customer (company_id, code, name, iban) VALUES (%s, %L, %L, %L)', :c, 'B', 'Beta', 'FR1420041010050500013M02606'), 'O2080', NULL, 'nor brings one along');
SELECT lives_ok(format('UPDATE o2c.customer SET iban = NULL WHERE id = %s', :a), 'taking it away is safe');
SELECT o2c.propose_bank_account(:c, 'A', 'FR1420041010050500013M02606') AS b2 \gset
SELECT is((SELECT iban FROM o2c.customer WHERE id = :a), NULL, 'proposed is not approved');
SELECT is(o2c.propose_bank_account(:c, 'A', 'FR1420041010050500013M02606'), :b2::bigint, 'again: the same');
SELECT throws_ok(format('SELECT o2c.approve_bank_account(%s, %s)', :c, :b2), 'O2080', NULL, 'not by the one who proposed it');
SELECT throws_ok(format('UPDATE o2c.customer_bank_account SET proposed_by = %L WHERE id = %s', 'other', :b2), 'O2030', NULL, 'who cannot pass it off on another');
CREATE ROLE second_person SUPERUSER;
SET ROLE second_person;
SELECT throws_ok(format('SELECT o2c.approve_bank_account(%s, %s)', :c, :b2), 'O2080', NULL, 'who takes another role is the same person');
RESET ROLE;
SET SESSION AUTHORIZATION second_person;
SELECT o2c.approve_bank_account(:c, :b2) \gset
RESET SESSION AUTHORIZATION;
SELECT is((SELECT iban::text FROM o2c.customer WHERE id = :a), 'FR1420041010050500013M02606', 'a second person approves');
SELECT is((SELECT approved_by FROM o2c.customer_bank_account WHERE id = :b2), 'second_person', 'and is noted');
SELECT throws_ok(format('SELECT o2c.propose_bank_account(%s, %L, %L)', :c, 'A', 'DE00'), 'O2040', NULL, 'no IBAN');

SELECT is_empty('SELECT * FROM o2c.check()', 'every invariant holds');
SELECT * FROM finish();
