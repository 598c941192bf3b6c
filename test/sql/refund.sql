-- Who draws an order of refunds is told of those that it leaves out.
SET client_min_messages = warning;
CREATE ROLE o2c_test_granter;
GRANT o2c_manager TO o2c_test_granter;
SELECT o2c.create_company('Refunds', 'DE', 'EUR') AS c \gset
INSERT INTO o2c.company_member VALUES (:c, 'o2c_test_granter');
INSERT INTO o2c.customer (company_id, code, name, iban) VALUES (:c, 'WITH', 'Anker KG', 'DE02120300000000202051'), (:c, 'WITHOUT', 'Bogen KG', NULL);
INSERT INTO o2c.bank_account (company_id, code, currency, iban) VALUES (:c, 'MAIN', 'EUR', 'DE89370400440532013000');
SELECT o2c.refund(:c, o2c.record_payment(:c, code, 50, 'EUR', '2025-02-03', 'paid by ' || code, 'cheque'), 20, 'paid twice') IS NOT NULL AS asked
FROM o2c.customer WHERE company_id = :c ORDER BY code;
SET SESSION AUTHORIZATION o2c_test_granter;
SELECT o2c.approve_refund(:c, r.id) IS NOT NULL AS granted FROM o2c.refund r WHERE r.company_id = :c;
RESET SESSION AUTHORIZATION;
RESET client_min_messages;
SELECT o2c.order_refunds(:c, 'MAIN', o2c.today(:c) + 7) IS NOT NULL AS ordered;
SELECT o2c.order_refunds(:c, 'MAIN', o2c.today(:c) + 7) IS NOT NULL AS ordered;
UPDATE o2c.customer SET iban = 'DE02500105170137075030' WHERE company_id = :c AND code = 'WITHOUT';
SELECT o2c.order_refunds(:c, 'MAIN', o2c.today(:c) + 7) IS NOT NULL AS ordered;
SELECT * FROM o2c.check(:c);
DELETE FROM o2c.company_member WHERE role_name = 'o2c_test_granter';
DROP ROLE o2c_test_granter;
