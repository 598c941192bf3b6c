-- What the clients of test/t/210_stress.pl do: a company with few customers and
-- few products, so that they meet, and one procedure that does a random step.
--
-- A refusal by a rule (class O2) is an answer.  Everything else (a deadlock, a
-- serialization failure, an internal error, a violated constraint) goes to the
-- client.
CREATE SCHEMA stress;
CREATE TABLE stress.answer (step text NOT NULL, sqlstate text NOT NULL, message text NOT NULL);
SELECT o2c.create_company('Stress', 'DE', 'EUR', vat_id => 'DE123456789');
-- G is the parent of the Gs; the limits are such that orders now and then do not pass
INSERT INTO o2c.customer (company_id, code, name, credit_limit, parent_code) VALUES
  (1, 'G', 'Group', 40000, NULL), (1, 'G1', 'First', NULL, 'G'), (1, 'G2', 'Second', 20000, 'G'), (1, 'G3', 'Third', NULL, 'G1'),
  (1, 'A', 'Alone', 20000, NULL), (1, 'B', 'Big', NULL, NULL), (1, 'C', 'Small', 3000, NULL);
-- limits in another currency than the group's, and made before and after those above them
INSERT INTO o2c.customer (company_id, code, name, currency, credit_limit, parent_code) VALUES
  (1, 'U', 'Abroad', 'USD', 9000, NULL), (1, 'W', 'World', 'USD', 50000, NULL), (1, 'U1', 'Far', 'USD', NULL, 'W'), (1, 'G4', 'Overseas', 'USD', 15000, 'G');
INSERT INTO o2c.product (company_id, code, name, unit_price, stocked, backorder)
SELECT 1, 'P' || g, 'Product ' || g, 10 * g, g <= 4, g = 4 FROM generate_series(1, 6) g;
INSERT INTO o2c.stock (company_id, product_id, on_hand) SELECT 1, p.id, 300 FROM o2c.product p WHERE p.company_id = 1 AND p.stocked;
INSERT INTO o2c.exchange_rate (company_id, from_currency, to_currency, valid_from, rate) VALUES (1, 'USD', 'EUR', '2000-01-01', 0.9);
-- B pays in two instalments; what is overdue is reminded of with a fee
INSERT INTO o2c.payment_term (company_id, code, kind) VALUES (1, 'PARTS', 'instalments');
INSERT INTO o2c.payment_term_line (company_id, term_code, instalment, percent, net_days) VALUES (1, 'PARTS', 1, 40, 0), (1, 'PARTS', 2, 60, 30);
UPDATE o2c.customer SET payment_term = 'PARTS', email = 'b@example.com' WHERE code = 'B';
INSERT INTO o2c.channel (company_id, code, kind, url) VALUES (1, 'mail', 'email', 'smtp://127.0.0.1:2525');
SELECT o2c.set_dunning_policy(1, 'standard', '[{"level": 1, "days": 1, "fee_amount": 5}, {"level": 2, "days": 8, "charge_interest": true}]');

-- A second company where exposure must never be over a limit: nothing but orders, fixed limits, no tax.
SELECT o2c.create_company('Strict', 'DE', 'EUR');
INSERT INTO o2c.customer (company_id, code, name, credit_limit, parent_code) VALUES
  (2, 'G', 'Group', 1500, NULL), (2, 'G1', 'First', 1000, 'G'), (2, 'G2', 'Second', NULL, 'G'), (2, 'A', 'Alone', 1000, NULL), (2, 'T', 'Told', 1000, NULL);
INSERT INTO o2c.product (company_id, code, name, unit_price) VALUES (2, 'P', 'Product', 100);
CREATE VIEW stress.over_limit AS
SELECT a.* FROM o2c.credit_account a WHERE a.company_id IN (2, 3) AND a.head AND a.group_exposure > a.credit_limit;

CREATE FUNCTION stress.pick(n integer) RETURNS integer LANGUAGE sql AS $$ SELECT 1 + floor(random() * n)::integer $$;
CREATE FUNCTION stress.customer() RETURNS text LANGUAGE sql AS $$
  SELECT coalesce((ARRAY['G', 'G1', 'G2', 'G3', 'G4', 'A', 'B', 'C', 'U', 'U1', 'W'])[stress.pick(12)],
    (SELECT n.code FROM (SELECT c.code FROM o2c.customer c WHERE c.company_id = 1 AND c.code LIKE 'N%' ORDER BY c.id DESC LIMIT 3) n ORDER BY random() LIMIT 1), 'A') $$;
CREATE FUNCTION stress.lines() RETURNS jsonb LANGUAGE sql AS $$
  SELECT jsonb_agg(jsonb_build_object('product', 'P' || stress.pick(6), 'quantity', stress.pick(9))) FROM generate_series(1, stress.pick(4)) $$;
-- one of the latest orders in some state, or several
CREATE FUNCTION stress.orders(company integer, states text[], wanted integer) RETURNS bigint[] LANGUAGE sql AS $$
  SELECT array_agg(x.id) FROM (SELECT s.id FROM (SELECT o.id FROM o2c.sales_order o WHERE o.company_id = company AND o.state::text = ANY (states)
    ORDER BY o.id DESC LIMIT 40) s ORDER BY random() LIMIT wanted) x $$;

CREATE PROCEDURE stress.do(step text) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  ids bigint[];
  item record;
  target bigint;
BEGIN
  CASE step
  WHEN 'place' THEN
    PERFORM o2c.place_order(1, stress.customer(), stress.lines(), currency => CASE WHEN stress.pick(8) = 1 THEN 'USD' END);
  WHEN 'place and confirm' THEN
    PERFORM o2c.confirm_order(1, o2c.place_order(1, stress.customer(), stress.lines()));
  WHEN 'confirm' THEN
    PERFORM o2c.confirm_order(1, (stress.orders(1, '{draft,submitted}', 1))[1]);
  WHEN 'confirm many' THEN
    PERFORM count(*) FROM o2c.confirm_orders(1, stress.orders(1, '{draft,submitted}', 5));
  WHEN 'confirm by hand' THEN
    UPDATE o2c.sales_order s SET state = 'confirmed' WHERE s.company_id = 1 AND s.id = (SELECT (stress.orders(1, '{submitted}', 1))[1]);
  WHEN 'amend' THEN
    PERFORM o2c.amend_order(1, (stress.orders(1, '{draft,submitted,confirmed}', 1))[1], stress.lines());
  WHEN 'lines by hand' THEN
    -- the lines of an order, not the order
    UPDATE o2c.sales_order_line l SET quantity = x.q, net_amount = round(x.q * l.unit_price * (1 - l.discount_percent / 100), 2)
    FROM (SELECT stress.pick(9) AS q) x WHERE l.company_id = 1 AND l.order_id = ANY (ARRAY(SELECT unnest(stress.orders(1, '{draft,submitted}', 1))));
  WHEN 'unreserve by hand' THEN
    UPDATE o2c.sales_order_line l SET reserved = 0 WHERE l.company_id = 1 AND l.order_id = ANY (ARRAY(SELECT unnest(stress.orders(1, '{submitted,confirmed}', 1)))) AND l.reserved > 0;
  WHEN 'delete lines' THEN
    DELETE FROM o2c.sales_order_line l WHERE l.company_id = 1 AND l.order_id = ANY (ARRAY(SELECT unnest(stress.orders(1, '{draft}', 1)))) AND l.line_no > 1;
  WHEN 'hold' THEN
    PERFORM o2c.hold_order(1, (stress.orders(1, '{submitted,confirmed,fulfilling}', 1))[1], 'manual', 'stress', now() + '2 seconds');
  WHEN 'release' THEN
    PERFORM o2c.release_order(1, (SELECT h.order_id FROM o2c.hold h WHERE h.company_id = 1 AND h.released_at IS NULL ORDER BY random() LIMIT 1));
  WHEN 'cancel' THEN
    PERFORM o2c.cancel_order(1, (stress.orders(1, '{draft,submitted,confirmed}', 1))[1], 'stress');
  WHEN 'cancel rest' THEN
    PERFORM o2c.cancel_rest(1, (stress.orders(1, '{confirmed,fulfilling}', 1))[1], 'stress');
  WHEN 'close' THEN
    PERFORM o2c.close_order(1, (stress.orders(1, '{fulfilled}', 1))[1]);
  WHEN 'pick' THEN
    PERFORM o2c.pick_order(1, (stress.orders(1, '{confirmed,fulfilling}', 1))[1], '[{"line": 1, "quantity": 1}]');
  WHEN 'ship' THEN
    PERFORM o2c.ship_order(1, (stress.orders(1, '{confirmed,fulfilling}', 1))[1]);
  WHEN 'ship part' THEN
    PERFORM o2c.ship_order(1, (stress.orders(1, '{confirmed,fulfilling}', 1))[1], '[{"line": 1, "quantity": 1}]');
  WHEN 'ship many' THEN
    PERFORM count(*) FROM o2c.ship_orders(1, stress.orders(1, '{confirmed,fulfilling}', 4));
  WHEN 'put back' THEN
    PERFORM o2c.cancel_shipment(1, (SELECT h.id FROM o2c.shipment h WHERE h.company_id = 1 AND h.state IN ('picked', 'packed') ORDER BY random() LIMIT 1));
  WHEN 'deliver' THEN
    PERFORM o2c.deliver_shipment(1, (SELECT h.id FROM o2c.shipment h WHERE h.company_id = 1 AND h.state = 'shipped' ORDER BY random() LIMIT 1));
  WHEN 'return' THEN
    PERFORM o2c.return_goods(1, (SELECT h.id FROM o2c.shipment h WHERE h.company_id = 1 AND h.state IN ('shipped', 'delivered') ORDER BY h.id DESC, random() LIMIT 1));
  WHEN 'allocate' THEN
    PERFORM o2c.allocate_stock(1);
  WHEN 'receive' THEN
    UPDATE o2c.stock k SET on_hand = k.on_hand + 60 WHERE k.company_id = 1
      AND k.product_id = (SELECT p.id FROM o2c.product p WHERE p.company_id = 1 AND p.code = 'P' || (SELECT stress.pick(4)));
  WHEN 'count' THEN
    -- somebody corrects the stock downwards
    UPDATE o2c.stock k SET on_hand = k.on_hand - 5 WHERE k.company_id = 1
      AND k.product_id = (SELECT p.id FROM o2c.product p WHERE p.company_id = 1 AND p.code = 'P' || (SELECT stress.pick(4))) AND k.available >= 5;
  WHEN 'invoice' THEN
    target := o2c.invoice_order(1, (stress.orders(1, '{fulfilling,fulfilled}', 1))[1]);
    IF target IS NOT NULL THEN
      PERFORM o2c.issue_invoice(1, target);
    END IF;
  WHEN 'bill' THEN
    PERFORM o2c.run_billing(1);
  WHEN 'issue all' THEN
    PERFORM count(*) FROM o2c.issue_invoices(1);
  WHEN 'drop draft' THEN
    PERFORM o2c.drop_draft(1, (SELECT i.id FROM o2c.invoice i WHERE i.company_id = 1 AND i.state = 'draft' ORDER BY random() LIMIT 1));
  WHEN 'credit' THEN
    PERFORM o2c.credit_invoice(1, (SELECT i.id FROM o2c.invoice i WHERE i.company_id = 1 AND i.kind = 'invoice' AND i.state IN ('issued', 'paid') ORDER BY i.id DESC, random() LIMIT 1));
  WHEN 'credit some' THEN
    PERFORM o2c.credit_invoice(1, (SELECT i.id FROM o2c.invoice i WHERE i.company_id = 1 AND i.kind = 'invoice' AND i.state IN ('issued', 'paid') ORDER BY random() LIMIT 1));
  WHEN 'pay' THEN
    SELECT i.number, i.open_amount, c.code, i.currency INTO item FROM o2c.open_item i JOIN o2c.customer c ON c.company_id = 1 AND c.id = i.customer_id
    WHERE i.company_id = 1 AND i.open_amount > 0 ORDER BY random() LIMIT 1;
    IF FOUND THEN
      PERFORM o2c.record_payment(1, item.code, item.open_amount, item.currency);
    END IF;
  WHEN 'pay on account' THEN
    PERFORM o2c.record_payment(1, stress.customer(), stress.pick(500), 'EUR');
  WHEN 'apply' THEN
    SELECT p.id, i.number INTO item FROM o2c.payment p JOIN o2c.open_item i ON i.company_id = 1 AND i.open_amount > 0 AND i.customer_id = p.customer_id
    WHERE p.company_id = 1 ORDER BY random() LIMIT 1;
    PERFORM o2c.apply_payment(1, item.id, item.number);
  WHEN 'unapply' THEN
    PERFORM o2c.unapply(1, (SELECT a.id FROM o2c.allocation a WHERE a.company_id = 1 AND a.reverses_id IS NULL ORDER BY random() LIMIT 1));
  WHEN 'payment returns' THEN
    PERFORM o2c.return_payment(1, (SELECT p.id FROM o2c.payment p WHERE p.company_id = 1 ORDER BY random() LIMIT 1), 'stress');
  WHEN 'write off' THEN
    PERFORM o2c.write_off(1, (SELECT i.number FROM o2c.open_item i WHERE i.company_id = 1 AND i.open_amount > 0 ORDER BY random() LIMIT 1), reason => 'stress');
  WHEN 'dispute' THEN
    PERFORM o2c.open_dispute(1, (SELECT i.number FROM o2c.invoice i WHERE i.company_id = 1 AND i.state = 'issued' ORDER BY random() LIMIT 1), 1, 'quality');
  WHEN 'limit' THEN
    PERFORM o2c.set_credit_limit(1, (ARRAY['G', 'G2', 'A', 'C'])[stress.pick(4)], 1000 * stress.pick(40), 'stress');
  WHEN 'raise' THEN
    PERFORM o2c.raise_credit_limit(1, (ARRAY['G2', 'A', 'C'])[stress.pick(3)], 100 * stress.pick(9));
  WHEN 'move' THEN
    UPDATE o2c.customer c SET parent_code = nullif((ARRAY['G', 'A', 'B', 'G1', 'W', NULL])[stress.pick(6)], c.code)
    WHERE c.company_id = 1 AND c.code = (SELECT coalesce((ARRAY['G3', 'G2', 'C', 'U', 'U1'])[stress.pick(6)], stress.customer()));
  WHEN 'lower' THEN
    DELETE FROM o2c.credit_increase i WHERE i.company_id = 1 AND i.id = (SELECT x.id FROM o2c.credit_increase x WHERE x.company_id = 1 ORDER BY random() LIMIT 1);
  WHEN 'new customer' THEN
    INSERT INTO o2c.customer (company_id, code, name, currency, credit_limit, parent_code)
    SELECT 1, 'N' || nextval('o2c.customer_id_seq'), 'New', (ARRAY['EUR', 'USD'])[stress.pick(2)], 500 * stress.pick(9), (ARRAY['G', 'A', 'G1', 'G3'])[stress.pick(5)]
    WHERE (SELECT count(*) < 40 FROM o2c.customer c WHERE c.company_id = 1);
  WHEN 'currency' THEN
    UPDATE o2c.customer c SET currency = CASE c.currency WHEN 'EUR' THEN 'USD' ELSE 'EUR' END WHERE c.company_id = 1 AND c.code = (SELECT stress.customer());
  WHEN 'rename' THEN
    UPDATE o2c.customer c SET code = CASE c.code WHEN 'C' THEN 'CC' ELSE 'C' END WHERE c.company_id = 1 AND c.code IN ('C', 'CC');
  WHEN 'prepay' THEN
    PERFORM o2c.issue_invoice(1, o2c.prepayment_invoice(1, (stress.orders(1, '{confirmed,fulfilling}', 1))[1], 10 * stress.pick(5)));
  WHEN 'credit prepayment' THEN
    PERFORM o2c.credit_invoice(1, (SELECT i.id FROM o2c.invoice i WHERE i.company_id = 1 AND i.kind = 'prepayment' AND i.state IN ('issued', 'paid') ORDER BY i.id DESC LIMIT 1));
  WHEN 'milestones' THEN
    INSERT INTO o2c.billing_milestone (company_id, order_id, name, percent, reached_on)
    SELECT 1, s.id, 'Half ' || n, 50, CASE WHEN n <= stress.pick(2) THEN o2c.today(1) END
    FROM o2c.sales_order s, generate_series(1, 2) n WHERE s.company_id = 1 AND s.state = 'confirmed' AND s.id = (SELECT (stress.orders(1, '{confirmed}', 1))[1])
      AND NOT EXISTS (SELECT FROM o2c.billing_milestone m WHERE m.company_id = 1 AND m.order_id = s.id)
    ON CONFLICT DO NOTHING;
  WHEN 'reach' THEN
    UPDATE o2c.billing_milestone m SET reached_on = o2c.today(1), percent = m.percent - 1 WHERE m.company_id = 1
      AND m.id = (SELECT x.id FROM o2c.billing_milestone x WHERE x.company_id = 1 ORDER BY x.reached_on DESC NULLS FIRST, random() LIMIT 1);
  WHEN 'settle exposure' THEN
    PERFORM o2c.settle_exposure(1);
  WHEN 'remind' THEN
    PERFORM o2c.run_dunning(1, o2c.today(1) + 7 * stress.pick(9));
  WHEN 'cancel message' THEN
    PERFORM o2c.cancel_message(1, (SELECT m.id FROM o2c.message m WHERE m.company_id = 1 AND m.state = 'queued' AND m.entity = 'dunning_notice' ORDER BY random() LIMIT 1));
    PERFORM o2c.settle_dunning(1);
  WHEN 'strict' THEN
    CASE stress.pick(5)
    WHEN 1, 2 THEN
      PERFORM o2c.confirm_order(2, o2c.place_order(2, (ARRAY['G', 'G1', 'G2', 'A'])[stress.pick(4)], jsonb_build_array(jsonb_build_object('product', 'P', 'quantity', stress.pick(3)))));
    WHEN 3 THEN
      PERFORM o2c.cancel_order(2, (stress.orders(2, '{confirmed}', 1))[1]);
    WHEN 4 THEN
      PERFORM o2c.amend_order(2, (stress.orders(2, '{confirmed,submitted}', 1))[1], jsonb_build_array(jsonb_build_object('product', 'P', 'quantity', stress.pick(3))));
    ELSE
      PERFORM o2c.release_order(2, (SELECT h.order_id FROM o2c.hold h WHERE h.company_id = 2 AND h.released_at IS NULL ORDER BY random() LIMIT 1));
    END CASE;
    IF EXISTS (SELECT FROM stress.over_limit) THEN
      RAISE EXCEPTION 'exposure is over the limit';
    END IF;
  END CASE;
EXCEPTION WHEN OTHERS THEN
  -- lines of an order that was confirmed meanwhile may not shrink below what is reserved
  IF SQLSTATE NOT LIKE 'O2%' AND NOT (step = 'lines by hand' AND SQLSTATE = '23514') THEN
    RAISE;
  END IF;
  INSERT INTO stress.answer VALUES (step, SQLSTATE, SQLERRM);
END $$;
