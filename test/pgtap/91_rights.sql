-- What a clerk may not do by writing to tables what the functions refuse him:
-- write-offs, discounts, refunds, credits without a document, released holds,
-- raised limits; and that all he does through functions still works.
SELECT plan(59);

SET client_min_messages = warning;
SELECT o2c.create_company('Rights', 'DE', 'EUR') AS company \gset
INSERT INTO o2c.customer (company_id, code, name, iban, credit_limit) VALUES (:company, 'A', 'Alpha GmbH', 'DE89370400440532013000', 100), (:company, 'B', 'Beta AG', 'GB82WEST12345698765432', 10000);
INSERT INTO o2c.bank_account (company_id, code, currency, iban, creditor_id) VALUES (:company, 'MAIN', 'EUR', 'DE02120300000000202051', 'DE98ZZZ09999999999');
INSERT INTO o2c.product (company_id, code, name, unit_price) VALUES (:company, 'P', 'Part', 100);
CREATE TEMPORARY TABLE items AS SELECT * FROM (VALUES
  ('70001', '1000.00', '2026-01-31', '20.00'), ('70002', '500.00', NULL, NULL), ('70003', '300.00', NULL, NULL), ('70004', '800.00', NULL, NULL), ('70005', '90.00', NULL, NULL))
  v (number, amount, discount_date, discount_amount) CROSS JOIN (VALUES ('B', '2026-01-10', '2026-02-10', 'EUR')) w (customer_code, document_date, due_date, currency);
SELECT o2c.import_open_items(:company, 'items') \g /dev/null
SELECT id AS item FROM o2c.open_item WHERE company_id = :company AND number = '70005' \gset
CREATE ROLE rights_clerk LOGIN;
CREATE ROLE rights_manager LOGIN;
GRANT o2c_clerk TO rights_clerk;
GRANT o2c_manager, o2c_clerk TO rights_manager;
INSERT INTO o2c.company_member (company_id, role_name) VALUES (:company, 'rights_clerk'), (:company, 'rights_manager');
GRANT USAGE ON SCHEMA tap TO rights_clerk, rights_manager;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA tap TO rights_clerk, rights_manager;
CREATE FUNCTION public.entry(kind text, amount numeric, more text DEFAULT 'reason', value text DEFAULT '''x''', number text DEFAULT '70005') RETURNS text LANGUAGE sql AS $$
  SELECT format('INSERT INTO o2c.ledger_entry (company_id, item_id, customer_id, currency, due_date, kind, amount, raises, effective_on, %s)
    SELECT company_id, id, customer_id, currency, due_date, %L, %s, false, ''2026-03-01'', %s FROM o2c.open_item WHERE number = %L', more, kind, amount, value, number) $$;

SET SESSION AUTHORIZATION rights_clerk;
----------------------------------------------------------------- entries without money
SELECT throws_ok(entry(k, -90), 'O2008', NULL, 'a clerk settles nothing by an entry of kind ' || k)
FROM unnest('{write_off,discount,charge,credit,application,exchange,transfer,refund,return,fee,interest,opening,invoice,receipt}'::text[]) k;
SELECT o2c.record_payment(:company, 'B', 50, 'EUR', '2026-02-01', 'c1') AS payment \gset
SELECT throws_ok(entry('write_off', -90, value => quote_literal('payment ' || :payment)), 'O2008', NULL, 'nor beyond the tolerance in the name of a payment');
SELECT throws_ok(entry('discount', -2, value => quote_literal('payment ' || :payment)), 'O2008', NULL, 'nor by a discount that was not granted');
SELECT throws_ok(entry('charge', -31, value => quote_literal('payment ' || :payment)), 'O2008', NULL, 'nor by charges beyond what is allowed');
SELECT throws_ok(entry('refund', 50, number => 'PAY-' || :payment), 'O2008', NULL, 'he pays nothing back');
SELECT throws_ok(entry('return', 50, number => 'PAY-' || :payment), 'O2008', NULL, 'nor is a payment returned that is not');
SELECT throws_ok(entry('transfer', 50, number => 'PAY-' || :payment), 'O2008', NULL, 'nor does money go nowhere');
SELECT throws_ok(format('SELECT o2c.write_off(%s, ''70005'', 90, ''x'')', :company), '42501', NULL, 'the function is a manager''s as ever');
SELECT throws_ok($$UPDATE o2c.open_item SET discount_amount = 90, discount_date = '2026-12-31' WHERE number = '70005'$$, '42501', NULL, 'a discount is not granted by hand');
----------------------------------------------------------------- items without a document
SELECT throws_ok(format('INSERT INTO o2c.open_item (company_id, customer_id, kind, number, document_date, due_date, currency, amount, open_amount)
  SELECT company_id, id, %L, ''X1'', ''2026-02-01'', ''2026-02-01'', ''EUR'', -90, -90 FROM o2c.customer WHERE code = ''B''', k), 'O2008', NULL, 'no item of kind ' || k || ' without a document')
FROM unnest('{credit_note,opening,invoice,debit_note,fee}'::text[]) k;
----------------------------------------------------------------- money without a payment
CREATE FUNCTION pg_temp.money(kind text, amount numeric DEFAULT -90, customer text DEFAULT 'B', source bigint DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
  SELECT format('INSERT INTO o2c.open_item (company_id, customer_id, kind, number, document_date, due_date, currency, amount, open_amount, source_item_id)
    SELECT company_id, CASE WHEN code = %L THEN id END, %L, ''X2'', ''2026-02-01'', ''2026-02-01'', ''EUR'', %s, %3$s, %L FROM o2c.customer WHERE code = ''B''; ', customer, kind, amount, source) $$;
SELECT throws_ok(pg_temp.money('on_account') || 'SET CONSTRAINTS ALL IMMEDIATE', 'O2008', 'you may not post on_account of -90 on item "X2"', 'no money on account without a payment');
SELECT throws_ok(pg_temp.money('unidentified', customer => '') || 'SET CONSTRAINTS ALL IMMEDIATE', 'O2008', NULL, 'none that is unidentified');
SELECT throws_ok(pg_temp.money('on_account') || format('INSERT INTO o2c.allocation (company_id, debit_item_id, credit_item_id, currency, amount, effective_on)
  SELECT company_id, %s, id, ''EUR'', 90, ''2026-02-01'' FROM o2c.open_item WHERE number = ''X2''; SET CONSTRAINTS ALL IMMEDIATE', :item), 'O2008', NULL, 'nor to settle an item with');
SELECT throws_ok(pg_temp.money('on_account', -50, source => item_id) || 'SET CONSTRAINTS ALL IMMEDIATE', 'O2008', NULL, 'nor a second time from the item of one') FROM o2c.payment WHERE id = :payment;
SELECT throws_ok(pg_temp.money('on_account', -50) || format('UPDATE o2c.payment SET item_id = (SELECT id FROM o2c.open_item WHERE number = ''X2'') WHERE id = %s; SET CONSTRAINTS ALL IMMEDIATE', :payment),
  'O2033', NULL, 'nor does a payment move away from its money');
BEGIN;
SELECT throws_ok(pg_temp.money('on_account') || 'SET CONSTRAINTS ALL IMMEDIATE', 'O2008', NULL, 'in a transaction of several statements');
COMMIT;
SELECT is((SELECT count(*) FROM o2c.open_item WHERE number = 'X2'), 0::bigint, 'nothing of it stands');
SELECT o2c.record_payment(:company, NULL, 7, 'EUR', '2026-02-01', 'who') AS unknown \gset
SELECT lives_ok(format('SELECT o2c._identify_payments(%s, ARRAY[%s]::bigint[], ARRAY[(SELECT id FROM o2c.customer WHERE code = ''B'')]); SET CONSTRAINTS ALL IMMEDIATE', :company, :unknown), 'what a payer sent moves to him when he is known');
SELECT lives_ok(format('SET CONSTRAINTS ALL IMMEDIATE; SELECT o2c.record_payment(%s, ''B'', 3, ''EUR'', ''2026-02-01'', ''at once'')', :company), 'a session that wants its constraints checked at once records payments, too');
SELECT lives_ok(format('DO $d$ BEGIN PERFORM o2c._identify_payments(%s, ARRAY[o2c.record_payment(%1$s, NULL, 8, ''EUR'', ''2026-02-01'', ''both'')], ARRAY[(SELECT id FROM o2c.customer WHERE code = ''B'')]); END $d$; SET CONSTRAINTS ALL IMMEDIATE', :company), 'in one transaction as well');
RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION rights_manager;
SELECT lives_ok(pg_temp.money('on_account', -1) || 'SET CONSTRAINTS ALL IMMEDIATE', 'a manager may post money by an item alone');
RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION rights_clerk;
----------------------------------------------------------------- refunds
SELECT o2c.refund(:company, :payment, 20, 'overpaid') AS refund \gset
SELECT throws_ok(format('INSERT INTO o2c.refund (company_id, payment_id, amount, currency, reason, state, requested_by, approved_by, entry_id)
  VALUES (%s, %s, 20, ''EUR'', ''x'', ''approved'', ''somebody'', ''boss'', 1)', :company, :payment), 'O2010', NULL, 'no refund is born approved');
SELECT throws_ok(format('UPDATE o2c.refund SET state = ''approved'', approved_by = ''boss'', entry_id = 1 WHERE id = %s', :refund), 'O2008', NULL, 'nor approved by a clerk');
SELECT throws_ok(format('UPDATE o2c.refund SET amount = 50 WHERE id = %s', :refund), 'O2030', NULL, 'nor changed');
INSERT INTO o2c.refund (company_id, payment_id, amount, currency, reason, requested_by) VALUES (:company, :payment, 1, 'EUR', 'x', 'somebody');
SELECT is((SELECT requested_by FROM o2c.refund WHERE reason = 'x'), 'rights_clerk', 'who asked is who runs the session');
RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION rights_manager;
SELECT o2c.approve_refund(:company, :refund) \g /dev/null
SELECT is((SELECT approved_by FROM o2c.refund WHERE id = :refund), 'rights_manager', 'another approves, who is a manager');
SELECT lives_ok(entry('write_off', -90), 'who may write off');
SELECT o2c.refund(:company, :payment, 3, 'own') AS own \gset
SELECT throws_ok(format('UPDATE o2c.refund SET state = ''approved'', approved_by = ''other'', entry_id = 1 WHERE id = %s', :own), 'O2080', NULL, 'but not approve his own');
RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION rights_clerk;
SELECT throws_ok(format($$WITH o AS (INSERT INTO o2c.payment_order (company_id, kind, bank_account_id, requested_on, currency, line_count, total_amount)
    SELECT %1$s, 'transfer', id, o2c.today(%1$s) + 1, 'EUR', 1, 20 FROM o2c.bank_account RETURNING id)
  INSERT INTO o2c.payment_order_line (company_id, payment_order_id, customer_id, refund_id, end_to_end_id, amount, currency, party_name, iban, remittance_text)
  SELECT %1$s, o.id, c.id, %2$s, 'E1', 20, 'EUR', 'Me', 'NL91ABNA0417164300', 'x' FROM o2c.customer c, o WHERE c.code = 'B'$$, :company, :refund),
  'O2080', NULL, 'a refund is paid to no other account than the customer''s');
SELECT ok(o2c.order_refunds(:company, 'MAIN', o2c.today(:company) + 1) IS NOT NULL, 'to his it is');
----------------------------------------------------------------- limits and holds
SELECT throws_ok($$UPDATE o2c.customer SET credit_limit = NULL$$, '42501', NULL, 'limits are not raised');
SELECT throws_ok($$UPDATE o2c.credit_account SET credit_limit = NULL, open_items = 0$$, '42501', NULL, 'nor in the account');
SELECT o2c.place_order(:company, 'A', '[{"product": "P", "quantity": 5}]', '2026-03-01') AS sale \gset
SELECT o2c.submit_order(:company, :sale), o2c.confirm_order(:company, :sale) \g /dev/null
SELECT is((SELECT count(*) FROM o2c.hold WHERE order_id = :sale AND released_at IS NULL), 1::bigint, 'an order over the limit is held');
SELECT throws_ok($$UPDATE o2c.hold SET released_at = now(), released_by = 'boss'$$, 'O2008', NULL, 'no clerk releases it');
SELECT throws_ok($$DELETE FROM o2c.hold$$, '42501', NULL, 'or deletes it');
SELECT throws_ok(format('UPDATE o2c.sales_order SET state = ''confirmed'' WHERE id = %s', :sale), 'O2011', NULL, 'or confirms the order in spite of it');
----------------------------------------------------------------- all his work
INSERT INTO o2c.bank_line (company_id, bank_account_id, line_id, booking_date, amount, currency, payer_name, payer_iban, remittance_text, charges)
SELECT :company, a.id, v.line, '2026-01-20', v.amount, 'EUR', 'Beta AG', 'GB82WEST12345698765432', v.text, v.charges FROM o2c.bank_account a,
  (VALUES ('discount', 980.00, 'inv 70001', NULL), ('tolerance', 499.60, 'inv 70002', NULL), ('charges', 290.00, 'inv 70003', 10.00), ('returned', 800.00, 'inv 70004', NULL)) v (line, amount, text, charges);
SELECT is((SELECT auto_lines FROM o2c.match_cash(:company)), 4::bigint, 'a clerk matches, with discount, tolerance and charges');
SELECT is((SELECT string_agg(e.kind || ' ' || e.amount, ', ' ORDER BY e.amount) FROM o2c.ledger_entry e WHERE e.reason LIKE 'payment %'),
  'discount -20.00, charge -10.00, write_off -0.40', 'which settle the items');
SELECT lives_ok(format('SELECT o2c.unapply(%s, a.id, ''2026-02-20'', ''wrong'') FROM o2c.allocation a JOIN o2c.open_item i ON i.id = a.debit_item_id WHERE i.number = ''70002''', :company), 'he undoes one');
SELECT lives_ok(format('SELECT o2c.return_payment(%s, p.payment_id, ''AC04'', ''2026-02-21'') FROM o2c_bi.payments p WHERE p.line_id = ''returned''', :company), 'and takes back another');
RESET SESSION AUTHORIZATION;
SELECT is((SELECT array_agg(number || ' ' || open_amount ORDER BY number) FROM o2c.open_item WHERE company_id = :company AND number ~ '^7'),
  '{"70001 0.00","70002 500.00","70003 0.00","70004 800.00","70005 0.00"}', 'with what belonged to them');
SELECT is_empty('SELECT * FROM o2c.check()', 'no invariant is violated');
SELECT * FROM finish();
REASSIGN OWNED BY rights_clerk, rights_manager TO CURRENT_USER;
DROP OWNED BY rights_clerk, rights_manager;
DROP ROLE rights_clerk, rights_manager;
