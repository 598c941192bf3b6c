-- What direct writes meet: rows that no function wrote, by the owner, and by
-- roles that may insert but not pretend.
SELECT plan(35);

SET client_min_messages = warning;
SELECT o2c.create_company('Direct', 'DE', 'EUR') AS company \gset
INSERT INTO o2c.customer (company_id, code, name) VALUES (:company, 'A', 'Alpha'), (:company, 'B', 'Beta');
INSERT INTO o2c.bank_account (company_id, code, currency, iban) VALUES (:company, 'MAIN', 'EUR', 'DE89370400440532013000');
INSERT INTO o2c.open_item (company_id, customer_id, kind, number, document_date, due_date, currency, amount, open_amount)
SELECT :company, c.id, 'opening', 'OP-' || c.code, '2026-01-01', '2026-01-31', 'EUR', 100, 100 FROM o2c.customer c WHERE c.company_id = :company;
SELECT o2c.record_payment(:company, 'A', 60, 'EUR', '2026-02-01', 'cheque 1') AS payment \gset
SELECT p.item_id AS credit, d.id AS debit, d.customer_id AS customer FROM o2c.payment p
JOIN o2c.open_item d ON d.company_id = p.company_id AND d.number = 'OP-A' WHERE p.company_id = :company AND p.id = :payment \gset

CREATE FUNCTION pg_temp.state(company integer, payment bigint) RETURNS text LANGUAGE sql AS
$$ SELECT p.state::text FROM o2c.payment p WHERE p.company_id = company AND p.id = payment $$;

-- a payment's state follows what is posted on its item, whoever posts
SELECT lives_ok(format('INSERT INTO o2c.allocation (company_id, debit_item_id, credit_item_id, currency, amount, effective_on)
  VALUES (%s, %s, %s, ''EUR'', 60, ''2026-02-01'')', :company, :debit, :credit), 'an allocation is inserted by hand');
SELECT is(pg_temp.state(:company, :payment), 'applied', 'the payment is applied with it');
SELECT is_empty('SELECT * FROM o2c.check()', 'and everything fits');
SELECT lives_ok(format('INSERT INTO o2c.allocation (company_id, debit_item_id, credit_item_id, currency, amount, effective_on, reverses_id)
  SELECT company_id, debit_item_id, credit_item_id, currency, - amount, ''2026-02-02'', id FROM o2c.allocation WHERE company_id = %s', :company), 'and undone by hand');
SELECT is(pg_temp.state(:company, :payment), 'received', 'the payment is there again');
SELECT lives_ok(format('INSERT INTO o2c.ledger_entry (company_id, item_id, customer_id, currency, due_date, kind, amount, effective_on)
  SELECT company_id, id, customer_id, currency, due_date, ''refund'', 60, ''2026-02-03'' FROM o2c.open_item WHERE company_id = %s AND id = %s', :company, :credit),
  'an entry takes it all');
SELECT is(pg_temp.state(:company, :payment), 'applied', 'and nothing of the payment is left');
SELECT is_empty('SELECT * FROM o2c.check()', 'everything fits');
SELECT throws_ok('INSERT INTO o2c.ledger_entry (company_id, item_id, customer_id, currency, due_date, kind, amount, effective_on, allocation_id)
  SELECT company_id, item_id, customer_id, currency, due_date, kind, amount, effective_on, allocation_id FROM o2c.ledger_entry
  WHERE allocation_id IS NOT NULL AND amount < 0 LIMIT 1', 'O2030', NULL, 'entries of an allocation come with it only');

-- payments
SELECT throws_ok(format('UPDATE o2c.payment SET %s WHERE company_id = %s', change, :company), 'O2030', NULL, 'a payment keeps: ' || change)
FROM unnest(ARRAY['amount = 61', 'currency = ''USD''', 'state = ''received''', 'id = id + 100', 'bank_line_id = 1']) change;
SELECT throws_ok('DELETE FROM o2c.payment', 'O2030', NULL, 'payments are not deleted');
SELECT throws_ok('TRUNCATE o2c.payment CASCADE', 'O2030', NULL, 'nor truncated');
SELECT throws_ok(format('INSERT INTO o2c.payment (company_id, customer_id, amount, currency, received_on, item_id) VALUES (%s, %s, 100, ''EUR'', ''2026-02-01'', %s)',
  :company, :customer, :debit), 'O2033', NULL, 'a payment has a credit item');
PREPARE other AS UPDATE o2c.payment p SET customer_id = c.id FROM o2c.customer c WHERE c.company_id = p.company_id AND c.code = 'B';
SELECT throws_ok('EXECUTE other; SET CONSTRAINTS ALL IMMEDIATE', 'O2033', NULL, 'and its item''s customer');
SELECT throws_ok(format('UPDATE o2c.payment SET state = ''returned'', returned_on = ''2026-02-01'', item_id = %s WHERE company_id = %s; SET CONSTRAINTS ALL IMMEDIATE',
  :debit, :company), 'O2033', NULL, 'and is not returned while its item is open');

-- items, bank lines, proposals
SELECT throws_ok(format('UPDATE o2c.open_item SET %s WHERE company_id = %s', change, :company), 'O2030', NULL, 'an item keeps: ' || change)
FROM unnest(ARRAY['number = ''X''', 'kind = ''unidentified''', 'id = id + 100', 'instalment = 2']) change;
INSERT INTO o2c.bank_line (company_id, bank_account_id, line_id, booking_date, amount, currency, remittance_text)
SELECT :company, id, 'L1', '2026-03-01', 7, 'EUR', 'who knows' FROM o2c.bank_account WHERE company_id = :company;
SELECT o2c.match_cash(:company) \g /dev/null
SELECT throws_ok('DELETE FROM o2c.bank_line', 'O2030', NULL, 'bank lines are not deleted');
SELECT throws_ok('UPDATE o2c.bank_line SET payment_id = NULL', 'O2030', NULL, 'nor parted from their payment');

-- identified later, and returned: the state follows, one event a step
SELECT p.id AS found FROM o2c.payment p WHERE p.company_id = :company AND p.customer_id IS NULL \gset
SELECT o2c.apply_payment(:company, :found, 'OP-B', 7, '2026-03-02') \g /dev/null
SELECT is(pg_temp.state(:company, :found), 'applied', 'an unidentified payment is applied');
SELECT is(o2c.return_payment(:company, :found, 'AC04', '2026-03-03'), 1::bigint, 'and returned');
SELECT is((SELECT string_agg(e.event, ' ' ORDER BY e.id) FROM o2c.event e WHERE e.company_id = :company AND e.entity = 'payment' AND e.entity_id = :found),
  'receive apply return', 'its events tell each step once');

-- the event log names who did it, and cannot be made to name another
CREATE ROLE direct_clerk LOGIN;
GRANT o2c_clerk TO direct_clerk;
INSERT INTO o2c.company_member (company_id, role_name) VALUES (:company, 'direct_clerk');
INSERT INTO o2c.product (company_id, code, name, unit_price) VALUES (:company, 'P', 'Part', 10);
SET ROLE direct_clerk;
SELECT o2c.place_order(:company, 'A', '[{"product": "P", "quantity": 1}]', '2026-03-01') AS sale \gset
SELECT o2c.confirm_order(:company, :sale), o2c.ship_order(:company, :sale, NULL, '2026-03-01') \g /dev/null
SELECT o2c.issue_invoice(:company, o2c.invoice_order(:company, :sale), '2026-03-02') AS number \gset
SELECT o2c.record_payment(:company, 'A', 11.90, 'EUR', '2026-03-05', 'cheque 2') AS second \gset
SELECT o2c.apply_payment(:company, :second, :'number', NULL, '2026-03-05') \g /dev/null
RESET ROLE;
SELECT is((SELECT string_agg(DISTINCT e.actor, ' ') FROM o2c.event e WHERE e.company_id = :company AND
    ((e.entity = 'order' AND e.entity_id = :sale) OR (e.entity = 'invoice' AND e.event IN ('issue', 'settle')))),
  'direct_clerk', 'what follows by trigger is noted under the name of who caused it');
GRANT USAGE ON SCHEMA tap TO direct_clerk;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA tap TO direct_clerk;
SET ROLE direct_clerk;
SELECT throws_ok(format('INSERT INTO o2c.event (company_id, entity, entity_id, event, actor) VALUES (%s, ''order'', 1, ''note'', ''boss'')', :company), '42501', NULL,
  'nobody writes events under another name');
SELECT throws_ok(format('INSERT INTO o2c.event (company_id, entity, entity_id, event, to_state) VALUES (%s, ''order'', %s, ''close'', ''closed'')', :company, :sale), '42501', NULL,
  'nor moves that no document made');
SELECT lives_ok(format('INSERT INTO o2c.event (company_id, entity, entity_id, event, reason) VALUES (%s, ''order'', %s, ''note'', ''called'')', :company, :sale),
  'notes are welcome');
RESET ROLE;

-- settings of a session change nothing
SET xmloption = document;
SELECT is((SELECT lines FROM o2c.import_statement(:company, 'MAIN', convert_to(
'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.02"><BkToCstmrStmt><GrpHdr><MsgId>1</MsgId><CreDtTm>2026-03-01T00:00:00</CreDtTm></GrpHdr><Stmt><Id>1</Id>
<Acct><Id><IBAN>DE89370400440532013000</IBAN></Id><Ccy>EUR</Ccy></Acct>
<Bal><Tp><CdOrPrtry><Cd>OPBD</Cd></CdOrPrtry></Tp><Amt Ccy="EUR">0.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><Dt><Dt>2026-03-01</Dt></Dt></Bal>
<Bal><Tp><CdOrPrtry><Cd>CLBD</Cd></CdOrPrtry></Tp><Amt Ccy="EUR">5.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><Dt><Dt>2026-03-01</Dt></Dt></Bal>
<Ntry><Amt Ccy="EUR">5.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts>BOOK</Sts><BookgDt><Dt>2026-03-01</Dt></BookgDt></Ntry></Stmt></BkToCstmrStmt></Document>', 'UTF8'))),
  1::bigint, 'a camt file is read under xmloption = document too');
RESET xmloption;
SELECT throws_ok('UPDATE o2c.bank_account SET currency = ''USD''', 'O2030', NULL, 'an account with statements keeps its currency');

SELECT is_empty('SELECT * FROM o2c.check()', 'no invariant is violated');
SELECT * FROM finish();
REASSIGN OWNED BY direct_clerk TO CURRENT_USER;
DROP OWNED BY direct_clerk;
DROP ROLE direct_clerk;
