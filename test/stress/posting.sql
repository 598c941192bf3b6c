-- What the clients of the posting stress (test/t/211_posting_stress.pl) do to
-- the receivables of few customers, one step a transaction.
\set ON_ERROR_STOP 1
SELECT o2c.create_company('Ledger stress', 'DE', 'EUR') AS c \gset
INSERT INTO o2c.customer (company_id, code, name, parent_code)
  VALUES (:c, 'A', 'A', NULL), (:c, 'B', 'B', NULL), (:c, 'A1', 'A1', 'A'), (:c, 'A2', 'A2', 'A');
CREATE TABLE opening AS
  SELECT 'O' || g AS number, (ARRAY['A', 'B', 'A1', 'A2'])[1 + g % 4] AS customer_code, o2c.today(:c) - 40 + g % 30 AS document_date,
         o2c.today(:c) - 10 + g % 30 AS due_date, 'EUR' AS currency, 100 + g AS amount FROM generate_series(1, 40) g;
SELECT o2c.import_open_items(:c, 'opening');
INSERT INTO o2c.invoice (company_id, customer_id, currency)
  SELECT :c, k.id, 'EUR' FROM generate_series(1, 10) n, o2c.customer k WHERE k.company_id = :c;
INSERT INTO o2c.invoice_line (company_id, invoice_id, line_no, description, quantity, unit_price, currency, tax_category, tax_rate)
  SELECT :c, i.id, l, 'Item ' || l, 10, 9.99, 'EUR', 'S', 19 FROM o2c.invoice i, generate_series(1, 2) l WHERE i.company_id = :c;
SELECT o2c._recalculate(:c, array_agg(i.id)) FROM o2c.invoice i WHERE i.company_id = :c;
SELECT count(*) FROM o2c.issue_invoices(:c);
SELECT o2c.record_payment(:c, (ARRAY['A', 'B', 'A1', 'A2'])[1 + g % 4], 300, 'EUR', o2c.today(:c) - 5, 'start ' || g) FROM generate_series(1, 20) g;

INSERT INTO o2c.bank_account (company_id, code, currency, iban, creditor_id) VALUES
  (:c, 'one', 'EUR', 'DE02120300000000202051', 'DE98ZZZ09999999999'), (:c, 'two', 'EUR', 'DE02500105170137075030', 'DE98ZZZ09999999999');
UPDATE o2c.customer SET iban = 'DE89370400440532013000' WHERE company_id = :c AND code = 'A';
SELECT o2c.create_mandate(:c, k, 'DE89370400440532013000', o2c.today(:c) - 9, 'M' || k) FROM unnest(ARRAY['A', 'B']) k;
SELECT o2c.set_dunning_policy(:c, 'standard', '[{"level": 1, "days": 1, "fee_amount": 5}, {"level": 2, "days": 8, "charge_interest": true}]');
INSERT INTO o2c.channel (company_id, code, kind, url) VALUES (:c, 'mail', 'email', 'smtp://127.0.0.1:2525');
UPDATE o2c.customer SET email = 'a@example.com' WHERE company_id = :c;

CREATE SCHEMA ledger_stress;
CREATE TABLE ledger_stress.answer (step text, code text, message text);
CREATE FUNCTION ledger_stress.company() RETURNS integer LANGUAGE sql STABLE AS $$ SELECT max(c.company_id) FROM o2c.company c $$;
CREATE FUNCTION ledger_stress.item(sign integer) RETURNS o2c.open_item LANGUAGE sql VOLATILE AS $$
  SELECT i FROM o2c.open_item i WHERE i.company_id = ledger_stress.company() AND sign(i.open_amount) = $1 ORDER BY random() LIMIT 1 $$;
CREATE FUNCTION ledger_stress.payment() RETURNS o2c.payment LANGUAGE sql VOLATILE AS $$
  SELECT p FROM o2c.payment p WHERE p.company_id = ledger_stress.company() ORDER BY random() LIMIT 1 $$;

CREATE PROCEDURE ledger_stress.do(step text) LANGUAGE plpgsql AS $$
DECLARE
  c constant integer := ledger_stress.company();
  item o2c.open_item;
  pay o2c.payment;
  code text;
  said text;
BEGIN
  CASE step
  WHEN 'pay' THEN
    PERFORM o2c.record_payment(c, (ARRAY['A', 'B', 'A1', 'A2'])[1 + floor(random() * 4)::integer], round((1 + random() * 300)::numeric, 2));
  WHEN 'apply' THEN
    pay := ledger_stress.payment();
    SELECT i.* INTO item FROM o2c.open_item i WHERE i.company_id = c AND i.open_amount > 0 AND i.customer_id = pay.customer_id ORDER BY random() LIMIT 1;
    PERFORM o2c.apply_payment(c, pay.id, item.number, CASE WHEN random() < 0.5 THEN round((1 + random() * 50)::numeric, 2) END);
  WHEN 'apply many by hand' THEN
    INSERT INTO o2c.allocation (company_id, debit_item_id, credit_item_id, currency, amount, effective_on)
    SELECT c, d.id, k.id, 'EUR', 1, o2c.today(c)
    FROM (SELECT i.id, i.customer_id FROM o2c.open_item i WHERE i.company_id = c AND i.open_amount > 5 ORDER BY random() LIMIT 5) d
    JOIN o2c.open_item k ON k.company_id = c AND k.open_amount < -20 AND k.customer_id = d.customer_id
    ORDER BY random() LIMIT 12;
  WHEN 'unapply' THEN
    PERFORM o2c.unapply(c, (SELECT a.id FROM o2c.allocation a WHERE a.company_id = c AND a.reverses_id IS NULL ORDER BY random() LIMIT 1));
  WHEN 'return' THEN
    pay := ledger_stress.payment();
    PERFORM o2c.return_payment(c, pay.id, 'stress');
  WHEN 'write off' THEN
    item := ledger_stress.item(CASE WHEN random() < 0.8 THEN 1 ELSE -1 END);
    PERFORM o2c.write_off(c, item.number, CASE WHEN random() < 0.7 THEN 1 END, 'stress');
  WHEN 'reverse' THEN
    PERFORM o2c.reverse_entry(c, (SELECT e.id FROM o2c.ledger_entry e WHERE e.company_id = c AND e.kind = 'write_off' AND e.reverses_id IS NULL
                                  ORDER BY random() LIMIT 1), 'stress');
  WHEN 'credit' THEN
    PERFORM o2c.credit_invoice(c, (SELECT i.id FROM o2c.invoice i WHERE i.company_id = c AND i.kind = 'invoice' ORDER BY random() LIMIT 1),
                               '[{"line": 1, "amount": 5}]', 'stress');
  WHEN 'refund' THEN
    pay := ledger_stress.payment();
    PERFORM o2c.refund(c, pay.id, CASE WHEN random() < 0.7 THEN 2 END, 'stress');
  WHEN 'approve' THEN
    PERFORM o2c.approve_refund(c, (SELECT r.id FROM o2c.refund r WHERE r.company_id = c AND r.state = 'requested' ORDER BY random() LIMIT 1));
  WHEN 'lines' THEN
    -- what pays three items, by their numbers
    INSERT INTO o2c.bank_line (company_id, bank_account_id, line_id, booking_date, amount, currency, payer_iban, remittance_text)
    SELECT c, b.id, gen_random_uuid()::text, o2c.today(c), x.amount, 'EUR', (ARRAY['DE89370400440532013000'])[1 + floor(random() * 2)::integer], x.number
    FROM (SELECT i.number, CASE WHEN random() < 0.8 THEN i.open_amount ELSE 7 END AS amount FROM o2c.open_item i
          WHERE i.company_id = c AND i.open_amount > 0 ORDER BY random() LIMIT 3) x, o2c.bank_account b WHERE b.company_id = c AND b.code = 'one';
  WHEN 'match' THEN
    PERFORM o2c.match_cash(c);
  WHEN 'accept' THEN
    PERFORM o2c.accept_match(c, (SELECT m.id FROM o2c.match_proposal m WHERE m.company_id = c AND m.state = 'suggested' ORDER BY random() LIMIT 1));
  WHEN 'statement' THEN
    -- one of few files, again and again, by several at once
    PERFORM o2c.import_statement(c, 'two', convert_to(format(E':20:R\n:25:DE02500105170137075030\n:28C:%s/1\n:60F:C260301EUR0,\n:61:2603020302C10,NTRFX%s\n:62F:C260302EUR10,\n-\n', n, n), 'UTF8'))
    FROM floor(random() * 5) n;
  WHEN 'collect' THEN
    PERFORM o2c.collect_direct_debits(c, (ARRAY['one', 'two'])[1 + floor(random() * 2)::integer], o2c.today(c) + 1);
  WHEN 'order refunds' THEN
    PERFORM o2c.order_refunds(c, (ARRAY['one', 'two'])[1 + floor(random() * 2)::integer], o2c.today(c));
  WHEN 'settle order' THEN
    PERFORM o2c.settle_payment_order(c, o.id, o2c.today(c)) FROM (SELECT x.id FROM o2c.payment_order x WHERE x.company_id = c AND x.state = 'created' LIMIT 1) o;
  WHEN 'void order' THEN
    PERFORM o2c.void_payment_order(c, o.id, 'stress') FROM (SELECT x.id FROM o2c.payment_order x WHERE x.company_id = c AND x.state = 'created' LIMIT 1) o;
  WHEN 'dispute' THEN
    IF random() < 0.5 THEN
      item := ledger_stress.item(1);
      PERFORM o2c.open_dispute(c, item.number, 1, 'stress ' || random());
    ELSE
      PERFORM o2c.resolve_dispute(c, d.id, 'rejected') FROM (SELECT x.id FROM o2c.dispute x WHERE x.company_id = c AND x.state <> 'resolved' LIMIT 1) d;
    END IF;
  WHEN 'remind' THEN
    PERFORM o2c.run_dunning(c, o2c.today(c) + floor(random() * 60)::integer);
  WHEN 'cancel message' THEN
    PERFORM o2c.cancel_message(c, m.id) FROM (SELECT x.id FROM o2c.message x WHERE x.company_id = c AND x.state = 'queued' ORDER BY random() LIMIT 1) m;
    PERFORM o2c.settle_dunning(c);
  WHEN 'promise' THEN
    PERFORM o2c.promise_to_pay(c, 'A', 5, o2c.today(c) + 3);
    PERFORM o2c.settle_promises(c, o2c.today(c) + floor(random() * 9)::integer);
  WHEN 'period' THEN
    IF random() < 0.5 THEN
      PERFORM o2c.close_period(c, o2c.today(c) - 100, o2c.today(c) - 60);
    ELSE
      PERFORM o2c.reopen_period(c, p.id, 'stress') FROM o2c.period p WHERE p.company_id = c;
    END IF;
  END CASE;
  INSERT INTO ledger_stress.answer VALUES (step, 'done');
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, said = MESSAGE_TEXT;
  IF code LIKE '40%' THEN
    RAISE;
  END IF;
  INSERT INTO ledger_stress.answer VALUES (step, code, said);
END $$;
