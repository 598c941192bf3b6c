-- Payments: recorded, applied, taken back, returned, refunded.  What people do
-- with the engine's proposals is 55_proposal.sql.

CREATE FUNCTION o2c._match_allocate(company integer) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
SET client_min_messages = warning
AS $$
BEGIN
  -- cash pays debits; where credit notes are part of the answer they pay first
  INSERT INTO o2c.allocation (company_id, debit_item_id, credit_item_id, currency, amount, kind, effective_on)
  SELECT company, c.item_id, p.item_id, p.currency, c.cash * p.unit, 'application'::o2c.entry_kind, p.booking_date
  FROM pg_temp.o2c_m_claim c JOIN pg_temp.o2c_m_pay p ON p.line_id = c.line_id
  WHERE c.cash > 0 AND NOT p.notes
  UNION ALL
  SELECT company, d.item_id, k.item_id, d.currency, (least(d.upto, k.upto) - greatest(d.start, k.start)) * d.unit,
    'application'::o2c.entry_kind, d.booking_date
  FROM (SELECT c.line_id, c.item_id, p.currency, p.unit, p.booking_date,
          pg_catalog.sum(c.cash) OVER w AS upto, pg_catalog.sum(c.cash) OVER w - c.cash AS start
        FROM pg_temp.o2c_m_claim c JOIN pg_temp.o2c_m_pay p ON p.line_id = c.line_id
        WHERE c.cash > 0 AND p.notes
        WINDOW w AS (PARTITION BY c.line_id ORDER BY c.item_id)) d
  JOIN (SELECT x.line_id, x.item_id, pg_catalog.sum(x.credit) OVER w AS upto,
          pg_catalog.sum(x.credit) OVER w - x.credit AS start
        FROM (SELECT c.line_id, c.item_id, - c.cash AS credit, 0 AS rank FROM pg_temp.o2c_m_claim c WHERE c.cash < 0
              UNION ALL
              SELECT p.line_id, p.item_id, o2c._minor_amount(p.amount, p.currency), 1 FROM pg_temp.o2c_m_pay p WHERE p.notes) x
        WINDOW w AS (PARTITION BY x.line_id ORDER BY x.rank, x.item_id)) k
    ON k.line_id = d.line_id AND k.upto > d.start AND k.start < d.upto
  ORDER BY 2;
END $$;
COMMENT ON FUNCTION o2c._match_allocate(integer) IS
  'Allocate the cash of the claims of pg_temp.o2c_m_claim from the credit items of pg_temp.o2c_m_pay. An item that was inserted with nothing open has its receipt posted with it.';

CREATE FUNCTION o2c._match_settle(company integer) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
SET client_min_messages = warning
AS $$
BEGIN
  -- discount, tolerance and charges settle the rest of the debit
  INSERT INTO o2c.ledger_entry (company_id, item_id, customer_id, currency, due_date, kind, amount, raises, effective_on, reason)
  SELECT company, i.id, i.customer_id, i.currency, i.due_date, c.settle_kind::o2c.entry_kind, - c.settle * p.unit, false,
    greatest(p.booking_date, i.document_date), 'payment ' || p.payment_id
  FROM pg_temp.o2c_m_claim c JOIN pg_temp.o2c_m_pay p ON p.line_id = c.line_id
  CROSS JOIN LATERAL (SELECT o.id, o.customer_id, o.currency, o.due_date, o.document_date FROM o2c.open_item o
    WHERE o.company_id = company AND o.id = c.item_id OFFSET 0) i
  WHERE c.settle > 0
  ORDER BY c.item_id;
END $$;
COMMENT ON FUNCTION o2c._match_settle(integer) IS
  'Post the discounts, write-offs and charges of the claims of pg_temp.o2c_m_claim; they name the payments of pg_temp.o2c_m_pay, which exist by now.';

CREATE FUNCTION o2c._identify_payments(company integer, payment_ids bigint[], customer_ids bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
SET client_min_messages = warning
AS $$
BEGIN
  DROP TABLE IF EXISTS pg_temp.o2c_identify;
  CREATE TEMPORARY TABLE o2c_identify ON COMMIT DROP AS
  SELECT p.id AS payment_id, u.customer_id, i.id AS old_id, pg_catalog.nextval('o2c.open_item_id_seq') AS new_id,
    i.number, i.document_date, i.due_date, i.currency, i.open_amount
  FROM ROWS FROM (pg_catalog.unnest(payment_ids), pg_catalog.unnest(customer_ids)) AS u(payment_id, customer_id)
  JOIN o2c.payment p ON p.company_id = company AND p.id = u.payment_id AND p.customer_id IS NULL
  JOIN o2c.open_item i ON i.company_id = company AND i.id = p.item_id
  WHERE i.open_amount <> 0 AND u.customer_id IS NOT NULL;
  -- payment and items fit again when all is done, whatever the session set
  SET CONSTRAINTS o2c.open_item_paid, o2c.payment_fit_update DEFERRED;
  INSERT INTO o2c.open_item (company_id, id, customer_id, kind, number, source_item_id, document_date, due_date, currency, amount, open_amount)
  SELECT company, t.new_id, t.customer_id, 'on_account', t.number, t.old_id, t.document_date, t.due_date, t.currency, t.open_amount, 0
  FROM pg_temp.o2c_identify t;
  -- first the payment, since its state follows what is posted on its item
  UPDATE o2c.payment p SET customer_id = t.customer_id, item_id = t.new_id
  FROM pg_temp.o2c_identify t WHERE p.company_id = company AND p.id = t.payment_id;
  INSERT INTO o2c.ledger_entry (company_id, item_id, customer_id, currency, due_date, kind, amount, raises, effective_on)
  SELECT company, t.old_id, NULL, t.currency, t.due_date, 'transfer'::o2c.entry_kind, - t.open_amount, false, t.document_date
  FROM pg_temp.o2c_identify t
  UNION ALL
  SELECT company, t.new_id, t.customer_id, t.currency, t.due_date, 'transfer', t.open_amount, true, t.document_date
  FROM pg_temp.o2c_identify t;
  DROP TABLE pg_temp.o2c_identify;
END $$;
COMMENT ON FUNCTION o2c._identify_payments(integer, bigint[], bigint[]) IS
  'Move what is open of unidentified payments to the customers, in step: from the unidentified item to a new item on account.';

CREATE FUNCTION o2c._count_payers(company integer, customer_ids bigint[], accounts text[], names text[], sign integer) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
BEGIN
  INSERT INTO o2c.payer_alias AS a (company_id, kind, value, customer_id, confirmations, contradictions)
  SELECT company, k.kind, k.value, u.customer_id,
    CASE WHEN sign > 0 THEN pg_catalog.count(*) ELSE 0 END, CASE WHEN sign < 0 THEN pg_catalog.count(*) ELSE 0 END
  FROM ROWS FROM (pg_catalog.unnest(customer_ids), pg_catalog.unnest(accounts), pg_catalog.unnest(names)) AS u(customer_id, account, name)
  CROSS JOIN LATERAL (VALUES ('account', u.account), ('name', u.name)) k(kind, value)
  WHERE u.customer_id IS NOT NULL AND k.value <> ''
  GROUP BY k.kind, k.value, u.customer_id
  ORDER BY k.kind, k.value, u.customer_id
  ON CONFLICT ON CONSTRAINT payer_alias_pkey DO UPDATE SET
    confirmations = a.confirmations + EXCLUDED.confirmations,
    contradictions = a.contradictions + EXCLUDED.contradictions,
    updated_at = pg_catalog.now();
END $$;
COMMENT ON FUNCTION o2c._count_payers(integer, bigint[], text[], text[], integer) IS
  'Count accounts and names (as o2c._account_key and o2c._name_key make them, in step) as confirmed (sign 1) or contradicted (-1) for the customers.';

CREATE FUNCTION o2c._learn_payers(company integer, payment_ids bigint[], sign integer) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
BEGIN
  PERFORM o2c._count_payers(company, pg_catalog.array_agg(p.customer_id),
    pg_catalog.array_agg(o2c._account_key(coalesce(nullif(b.payer_iban, ''), b.payer_account))), pg_catalog.array_agg(o2c._name_key(b.payer_name)), sign)
  FROM pg_catalog.unnest(payment_ids) u(id)
  JOIN o2c.payment p ON p.company_id = company AND p.id = u.id
  JOIN o2c.bank_line b ON b.company_id = company AND b.id = p.bank_line_id;
END $$;
COMMENT ON FUNCTION o2c._learn_payers(integer, bigint[], integer) IS
  'Count the accounts and names of these payments'' bank lines as confirmed (sign 1) or contradicted (-1) for their customers.';

CREATE FUNCTION o2c._require_era(day date, what text) RETURNS void
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
BEGIN
  -- NULL stands for today, or for not known
  IF day IS NOT NULL AND NOT day BETWEEN '0001-01-01' AND '9999-12-31' THEN
    RAISE EXCEPTION USING ERRCODE = 'O2044', MESSAGE = pg_catalog.format('%s is not a day %s', day, what),
      HINT = 'Give a day of the years 1 to 9999.';
  END IF;
END $$;
COMMENT ON FUNCTION o2c._require_era(date, text) IS 'Refuses a date that is none of this era, infinity among them. Errors: O2044.';

CREATE FUNCTION o2c._payment(company integer, payment_id bigint, item_ids bigint[] DEFAULT '{}') RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
DECLARE
  item bigint;
BEGIN
  SELECT p.item_id INTO item FROM o2c.payment p WHERE p.company_id = company AND p.id = payment_id;
  IF NOT FOUND THEN
    PERFORM o2c._require_company(company);
    RAISE EXCEPTION USING ERRCODE = 'O2003',
      MESSAGE = pg_catalog.format('there is no payment %s', coalesce(payment_id::text, 'NULL')),
      HINT = 'o2c_bi.payments lists them.';
  END IF;
  -- items before payments, as the posting triggers do
  PERFORM FROM o2c.open_item i WHERE i.company_id = company AND i.id = ANY (item_ids || item) ORDER BY i.id FOR NO KEY UPDATE;
  PERFORM FROM o2c.payment p WHERE p.company_id = company AND p.id = payment_id AND p.item_id = item FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    RAISE EXCEPTION USING ERRCODE = '40001',
      MESSAGE = pg_catalog.format('payment %s was given to a customer at the same moment', payment_id),
      HINT = 'Try the transaction again.';
  END IF;
  RETURN payment_id;
END $$;
COMMENT ON FUNCTION o2c._payment(integer, bigint, bigint[]) IS
  'Locks a payment for change: first its item and those that will be posted with it, in the order of ids. Errors: O2002, O2003.';

CREATE FUNCTION o2c._payment_fit() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'o2c_payment_fit';
COMMENT ON FUNCTION o2c._payment_fit() IS
  'Triggers of payment: it has its credit item, of the same customer, currency and amount. Errors: O2033.';

CREATE FUNCTION o2c.record_payment(company_id integer, customer_code text, amount numeric, currency text DEFAULT NULL,
  received_on date DEFAULT NULL, reference text DEFAULT NULL, method text DEFAULT 'transfer', value_date date DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  customer bigint := CASE WHEN customer_code IS NOT NULL THEN o2c._customer_id($1, $2) END;
  cur o2c.currency;
  on_day date := coalesce($5, o2c.today($1));
  new_id bigint;
  new_item bigint;
BEGIN
  PERFORM o2c._require_company($1);
  cur := coalesce($4, (SELECT c.currency::text FROM o2c.customer c WHERE c.company_id = $1 AND c.id = customer),
                  (SELECT c.currency::text FROM o2c.company c WHERE c.company_id = $1))::o2c.currency;
  IF $3 IS NULL OR NOT $3 > 0 OR NOT o2c.is_amount($3, cur) THEN
    RAISE EXCEPTION USING ERRCODE = 'O2043',
      MESSAGE = pg_catalog.format('%s is not an amount of %s that can be received', coalesce($3::text, 'NULL'), cur),
      DETAIL = 'It ' || coalesce(o2c._amount_fault($3, cur), 'is not above zero') || '.',
      HINT = 'Give a positive amount without digits beyond the minor unit, of at most 18 digits.';
  END IF;
  IF $7 IS NULL OR $7 NOT IN ('transfer', 'cash', 'cheque', 'card', 'direct_debit', 'other') THEN
    RAISE EXCEPTION USING ERRCODE = 'O2004', MESSAGE = pg_catalog.format('"%s" is not a method of payment', $7),
      HINT = 'Methods: transfer, cash, cheque, card, direct_debit, other.';
  END IF;
  PERFORM o2c._require_era(on_day, 'to receive a payment on');
  PERFORM o2c._require_era($8, 'of value');
  -- the same reference of the same payer, day, amount and method again is the same payment
  reference := nullif(reference, '');
  IF $6 IS NOT NULL THEN
    PERFORM o2c._once($1, 'payment', $6, 'SELECT pg_catalog.max(p.id) FROM o2c.payment p
      WHERE p.company_id = $1 AND p.reference = $2 AND pg_catalog.left(p.reference, 100) = pg_catalog.left($2, 100)');
    SELECT p.id INTO new_id FROM o2c.payment p
    WHERE p.company_id = $1 AND p.customer_id IS NOT DISTINCT FROM customer
      AND p.reference = $6 AND pg_catalog.left(p.reference, 100) = pg_catalog.left($6, 100)
      AND p.amount = $3 AND p.currency = cur AND p.received_on = on_day AND p.method = $7 AND p.bank_line_id IS NULL;
    IF FOUND THEN
      RETURN new_id;
    END IF;
  END IF;
  new_id := pg_catalog.nextval('o2c.payment_id_seq');
  SET CONSTRAINTS o2c.open_item_paid DEFERRED;	-- the payment comes after its item, whatever the session set
  INSERT INTO o2c.open_item (company_id, customer_id, kind, number, document_date, due_date, currency, amount, open_amount)
  VALUES ($1, customer, CASE WHEN customer IS NULL THEN 'unidentified' ELSE 'on_account' END::o2c.item_kind,
          'PAY-' || new_id, on_day, on_day, cur, - $3, - $3)
  RETURNING id INTO new_item;
  INSERT INTO o2c.payment (company_id, id, customer_id, amount, currency, received_on, value_date, method, reference, item_id)
  VALUES ($1, new_id, customer, $3, cur, on_day, $8, $7, $6, new_item);
  RETURN new_id;
END $$;
COMMENT ON FUNCTION o2c.record_payment(integer, text, numeric, text, date, text, text, date) IS
  'Record money received otherwise than by a bank file; it stands on the customer''s account (unidentified without customer) until it is applied. The same reference, payer, day, amount and method again is the same payment. Returns its id. Errors: O2002, O2003, O2004, O2042, O2043, O2044.';

CREATE FUNCTION o2c.apply_payment(company_id integer, payment_id bigint, number text, amount numeric DEFAULT NULL,
  effective_on date DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  pay o2c.payment;
  debit o2c.open_item;
  credit o2c.open_item;
  target bigint;
  part numeric;
  new_id bigint;
BEGIN
  PERFORM o2c._require_effective($5);
  IF NOT EXISTS (SELECT FROM o2c.payment p WHERE p.company_id = $1 AND p.id = $2) THEN
    PERFORM o2c._payment($1, $2);
  END IF;
  target := o2c._open_item_by_number($1, $3);
  SELECT i.* INTO debit FROM o2c.open_item i WHERE i.company_id = $1 AND i.id = target;
  PERFORM o2c._payment($1, $2, ARRAY[debit.id]);
  SELECT p.* INTO pay FROM o2c.payment p WHERE p.company_id = $1 AND p.id = $2;
  IF pay.state = 'returned' THEN
    RAISE EXCEPTION USING ERRCODE = 'O2033', MESSAGE = pg_catalog.format('payment %s was returned', $2);
  END IF;
  IF debit.amount < 0 THEN
    RAISE EXCEPTION USING ERRCODE = 'O2033', MESSAGE = pg_catalog.format('"%s" is a credit, a payment pays debits', $3);
  END IF;
  IF debit.currency <> pay.currency THEN
    RAISE EXCEPTION USING ERRCODE = 'O2033',
      MESSAGE = pg_catalog.format('payment %s is in %s, "%s" in %s', $2, pay.currency, $3, debit.currency);
  END IF;
  IF pay.customer_id IS NULL THEN
    -- the item's document before the account, which is written first
    PERFORM o2c._lock_posting($1, ARRAY[debit.id]);
    PERFORM o2c._identify_payments($1, ARRAY[$2], ARRAY[debit.customer_id]);
    SELECT p.* INTO pay FROM o2c.payment p WHERE p.company_id = $1 AND p.id = $2;
  END IF;
  SELECT i.* INTO debit FROM o2c.open_item i WHERE i.company_id = $1 AND i.id = debit.id;
  SELECT i.* INTO credit FROM o2c.open_item i WHERE i.company_id = $1 AND i.id = pay.item_id;
  part := coalesce($4, least(debit.open_amount, - credit.open_amount));
  IF part > debit.open_amount OR part > - credit.open_amount OR (part = 0 AND $4 IS NULL) THEN
    RAISE EXCEPTION USING ERRCODE = 'O2060',
      MESSAGE = pg_catalog.format('cannot apply %s of payment %s to "%s"', coalesce(nullif(part, 0), pay.amount), $2, $3),
      DETAIL = pg_catalog.format('%s is open on the item and %s of the payment.', debit.open_amount, - credit.open_amount),
      HINT = 'Apply at most what is open; the rest stays on the customer''s account.';
  END IF;
  IF NOT part > 0 OR NOT o2c.is_amount(part, pay.currency) THEN
    RAISE EXCEPTION USING ERRCODE = 'O2043', MESSAGE = pg_catalog.format('%s is not an amount of %s to apply', part, pay.currency);
  END IF;
  INSERT INTO o2c.allocation (company_id, debit_item_id, credit_item_id, currency, amount, effective_on)
  VALUES ($1, debit.id, credit.id, pay.currency, part,
          greatest(coalesce($5, o2c.today($1)), debit.document_date, credit.document_date))
  RETURNING id INTO new_id;
  UPDATE o2c.match_proposal m SET state = 'superseded', decided_at = pg_catalog.now(), decided_by = session_user
  WHERE m.company_id = $1 AND m.payment_id = $2 AND m.state = 'suggested';
  RETURN new_id;
END $$;
COMMENT ON FUNCTION o2c.apply_payment(integer, bigint, text, numeric, date) IS
  'Apply a payment to the item with that number (NULL amount: as much as is open on both); an unidentified payment becomes the item''s customer''s. Returns the allocation. Errors: O2003, O2031, O2033, O2043, O2044, O2060.';

CREATE FUNCTION o2c._unapply(company integer, allocation_ids bigint[], on_day date, why text, wrong boolean) RETURNS bigint[]
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
DECLARE
  new_ids bigint[];
  payments bigint[];
BEGIN
  WITH undone AS (
    INSERT INTO o2c.allocation (company_id, debit_item_id, credit_item_id, currency, amount, kind, effective_on, reverses_id, reason)
    SELECT a.company_id, a.debit_item_id, a.credit_item_id, a.currency, - a.amount, a.kind,
      greatest(on_day, a.effective_on), a.id, why
    FROM o2c.allocation a
    WHERE a.company_id = company AND a.id = ANY (allocation_ids)
    ORDER BY a.debit_item_id
    RETURNING id)
  SELECT pg_catalog.array_agg(u.id) INTO new_ids FROM undone u;
  -- payments whose money it was, and what was settled together with it
  SELECT pg_catalog.array_agg(DISTINCT p.id) INTO payments
  FROM o2c.allocation a
  JOIN o2c.open_item i ON i.company_id = company AND i.id = a.credit_item_id
  JOIN o2c.payment p ON p.company_id = company AND (p.item_id = i.id
    OR p.item_id = (SELECT n.id FROM o2c.open_item n WHERE n.company_id = company AND n.source_item_id = i.id LIMIT 1))
  WHERE a.company_id = company AND a.id = ANY (allocation_ids);
  INSERT INTO o2c.ledger_entry (company_id, item_id, customer_id, currency, due_date, kind, amount, raises, effective_on, reverses_id, reason)
  SELECT e.company_id, e.item_id, e.customer_id, e.currency, e.due_date, e.kind, - e.amount, true,
    greatest(on_day, e.effective_on), e.id, why
  FROM o2c.allocation a
  JOIN o2c.ledger_entry e ON e.company_id = company AND e.item_id = a.debit_item_id AND e.allocation_id IS NULL
    AND e.kind IN ('discount', 'write_off', 'charge') AND e.reverses_id IS NULL
    AND e.reason IN (SELECT 'payment ' || x FROM pg_catalog.unnest(payments) x)
  WHERE a.company_id = company AND a.id = ANY (allocation_ids)
    AND NOT EXISTS (SELECT FROM o2c.ledger_entry r WHERE r.company_id = company AND r.reverses_id = e.id)
  ORDER BY e.item_id;
  UPDATE o2c.match_proposal m SET state = 'reversed', was_automatic = m.state = 'auto', decided_at = pg_catalog.now(), decided_by = session_user
  WHERE m.company_id = company AND m.payment_id = ANY (payments) AND m.state IN ('auto', 'accepted');
  IF FOUND AND wrong THEN
    PERFORM o2c._learn_payers(company, payments, -1);
  END IF;
  RETURN new_ids;
END $$;
COMMENT ON FUNCTION o2c._unapply(integer, bigint[], date, text, boolean) IS
  'Undo allocations by further ones, and the discounts, write-offs and charges that were settled with them; the payments are open again. When they were wrong, what the engine learned from them is contradicted.';

CREATE FUNCTION o2c.unapply(company_id integer, allocation_id bigint, effective_on date DEFAULT NULL, reason text DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  old o2c.allocation;
BEGIN
  PERFORM o2c._require_effective($3);
  SELECT a.* INTO old FROM o2c.allocation a WHERE a.company_id = $1 AND a.id = $2;
  IF NOT FOUND THEN
    PERFORM o2c._require_company($1);
    RAISE EXCEPTION USING ERRCODE = 'O2003', MESSAGE = pg_catalog.format('there is no allocation %s', coalesce($2::text, 'NULL'));
  END IF;
  IF old.reverses_id IS NOT NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'O2033', MESSAGE = pg_catalog.format('allocation %s is itself a reversal', $2);
  END IF;
  -- one at a time on its items: the second finds the first's reversal
  PERFORM FROM o2c.open_item i WHERE i.company_id = $1 AND i.id IN (old.debit_item_id, old.credit_item_id)
  ORDER BY i.id FOR NO KEY UPDATE;
  IF EXISTS (SELECT FROM o2c.allocation a WHERE a.company_id = $1 AND a.reverses_id = $2) THEN
    RAISE EXCEPTION USING ERRCODE = 'O2061', MESSAGE = pg_catalog.format('allocation %s is reversed already', $2);
  END IF;
  RETURN (o2c._unapply($1, ARRAY[$2], coalesce($3, o2c.today($1)), $4, true))[1];
END $$;
COMMENT ON FUNCTION o2c.unapply(integer, bigint, date, text) IS
  'Undo an allocation by a further one that counts from effective_on, with the discount or write-off settled with it; history stays. Returns the new allocation. Errors: O2003, O2031, O2033, O2044, O2061.';

CREATE FUNCTION o2c.return_payment(company_id integer, payment_id bigint, reason text, effective_on date DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  pay o2c.payment;
  on_day date;
  touched bigint[];
  undo bigint[];
  rest numeric;
BEGIN
  IF coalesce($3, '') = '' THEN
    RAISE EXCEPTION USING ERRCODE = 'O2004', MESSAGE = 'a return needs a reason';
  END IF;
  PERFORM o2c._require_effective($4);
  -- what it paid is posted to as well
  SELECT pg_catalog.array_agg(DISTINCT x) INTO touched
  FROM o2c.payment p JOIN o2c.open_item i ON i.company_id = $1 AND i.id = p.item_id
  JOIN o2c.allocation a ON a.company_id = $1 AND a.credit_item_id IN (i.id, i.source_item_id)
  CROSS JOIN LATERAL pg_catalog.unnest(ARRAY[a.credit_item_id, a.debit_item_id]) x
  WHERE p.company_id = $1 AND p.id = $2;
  PERFORM o2c._payment($1, $2, coalesce(touched, '{}'));
  SELECT p.* INTO pay FROM o2c.payment p WHERE p.company_id = $1 AND p.id = $2;
  IF pay.state = 'returned' THEN
    RAISE EXCEPTION USING ERRCODE = 'O2061', MESSAGE = pg_catalog.format('payment %s was returned on %s', $2, pay.returned_on);
  END IF;
  on_day := greatest(coalesce($4, o2c.today($1)), pay.received_on);
  SELECT pg_catalog.array_agg(a.id) INTO undo
  FROM o2c.allocation a
  WHERE a.company_id = $1 AND a.amount > 0
    AND a.credit_item_id IN (SELECT i.id FROM o2c.open_item i WHERE i.company_id = $1 AND i.id = pay.item_id
                             UNION ALL SELECT i.source_item_id FROM o2c.open_item i WHERE i.company_id = $1 AND i.id = pay.item_id)
    AND NOT EXISTS (SELECT FROM o2c.allocation r WHERE r.company_id = $1 AND r.reverses_id = a.id);
  IF EXISTS (SELECT FROM o2c.allocation a WHERE a.company_id = $1 AND a.id = ANY (undo)
             AND a.debit_item_id <> ALL (coalesce(touched, '{}'))) THEN
    RAISE EXCEPTION USING ERRCODE = '40001',
      MESSAGE = pg_catalog.format('payment %s was applied at the same moment', $2),
      HINT = 'Try the transaction again.';
  END IF;
  IF undo IS NOT NULL THEN
    -- what it paid may be of several customers
    PERFORM o2c._lock_posting($1, touched || pay.item_id);
  END IF;
  -- one step, not unapplied first
  UPDATE o2c.payment p SET state = 'returned', returned_on = on_day, return_reason = $3
  WHERE p.company_id = $1 AND p.id = $2;
  IF undo IS NOT NULL THEN
    -- the money went back, who it was for was right
    PERFORM o2c._unapply($1, undo, on_day, $3, false);
  END IF;
  SELECT i.open_amount INTO rest FROM o2c.open_item i WHERE i.company_id = $1 AND i.id = pay.item_id FOR NO KEY UPDATE;
  IF - rest <> pay.amount THEN
    RAISE EXCEPTION USING ERRCODE = 'O2033',
      MESSAGE = pg_catalog.format('payment %s cannot be returned whole', $2),
      DETAIL = pg_catalog.format('%s of %s was refunded or written off.', pay.amount + rest, pay.amount);
  END IF;
  INSERT INTO o2c.ledger_entry (company_id, item_id, customer_id, currency, due_date, kind, amount, raises, effective_on, reason)
  SELECT $1, i.id, i.customer_id, i.currency, i.due_date, 'return', - i.open_amount, false, on_day, $3
  FROM o2c.open_item i WHERE i.company_id = $1 AND i.id = pay.item_id;
  UPDATE o2c.match_proposal m SET state = 'superseded', decided_at = pg_catalog.now()
  WHERE m.company_id = $1 AND m.payment_id = $2 AND m.state = 'suggested';
  RETURN coalesce(pg_catalog.cardinality(undo), 0);
END $$;
COMMENT ON FUNCTION o2c.return_payment(integer, bigint, text, date) IS
  'The bank took the payment back: its applications are undone, the items are open again with their due dates, all from effective_on. Returns how many applications were undone. Errors: O2003, O2004, O2031, O2033, O2044, O2061.';

CREATE FUNCTION o2c._four_eyes_refund() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'o2c_four_eyes_refund';
COMMENT ON FUNCTION o2c._four_eyes_refund() IS
  'Trigger of refund: asked for by who runs the session, approved once by a manager who is somebody else. Errors: O2008, O2010, O2030, O2080.';

CREATE FUNCTION o2c.refund(company_id integer, payment_id bigint, amount numeric DEFAULT NULL, reason text DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  pay o2c.payment;
  rest numeric;
  new_id bigint;
BEGIN
  IF coalesce($4, '') = '' THEN
    RAISE EXCEPTION USING ERRCODE = 'O2004', MESSAGE = 'a refund needs a reason';
  END IF;
  PERFORM o2c._payment($1, $2);
  PERFORM o2c._once($1, 'refund', $2::text, 'SELECT pg_catalog.max(r.id) FROM o2c.refund r WHERE r.company_id = $1 AND r.payment_id = $2::bigint');
  SELECT p.* INTO pay FROM o2c.payment p WHERE p.company_id = $1 AND p.id = $2;
  SELECT - i.open_amount - coalesce((SELECT pg_catalog.sum(r.amount) FROM o2c.refund r
           WHERE r.company_id = $1 AND r.payment_id = $2 AND r.state = 'requested'), 0) INTO rest
  FROM o2c.open_item i WHERE i.company_id = $1 AND i.id = pay.item_id;
  IF coalesce($3, rest) > rest OR rest <= 0 THEN
    RAISE EXCEPTION USING ERRCODE = 'O2060', MESSAGE = pg_catalog.format('cannot refund %s of payment %s', coalesce($3, pay.amount), $2),
      DETAIL = pg_catalog.format('%s of it is neither applied nor to be refunded.', greatest(rest, 0));
  END IF;
  IF NOT coalesce($3, rest) > 0 OR NOT o2c.is_amount(coalesce($3, rest), pay.currency) THEN
    RAISE EXCEPTION USING ERRCODE = 'O2043', MESSAGE = pg_catalog.format('%s is not an amount of %s to refund', $3, pay.currency);
  END IF;
  INSERT INTO o2c.refund (company_id, payment_id, amount, currency, reason)
  VALUES ($1, $2, coalesce($3, rest), pay.currency, $4) RETURNING id INTO new_id;
  RETURN new_id;
END $$;
COMMENT ON FUNCTION o2c.refund(integer, bigint, numeric, text) IS
  'Ask to pay back what is not applied of a payment (NULL: all of it); nothing moves until another person calls approve_refund. Returns the refund. Errors: O2003, O2004, O2043, O2060.';

CREATE FUNCTION o2c.approve_refund(company_id integer, refund_id bigint, effective_on date DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  back o2c.refund;
  entry bigint;
BEGIN
  PERFORM o2c._require_effective($3);
  SELECT r.* INTO back FROM o2c.refund r WHERE r.company_id = $1 AND r.id = $2 FOR UPDATE;
  IF NOT FOUND THEN
    PERFORM o2c._require_company($1);
    RAISE EXCEPTION USING ERRCODE = 'O2003', MESSAGE = pg_catalog.format('there is no refund %s', coalesce($2::text, 'NULL'));
  END IF;
  IF back.state <> 'requested' THEN
    RAISE EXCEPTION USING ERRCODE = 'O2033', MESSAGE = pg_catalog.format('refund %s is %s', $2, back.state);
  END IF;
  IF back.requested_by = session_user THEN
    RAISE EXCEPTION USING ERRCODE = 'O2080', MESSAGE = 'a refund is approved by another person than asked for it',
      HINT = pg_catalog.format('%s asked for it.', back.requested_by);
  END IF;
  PERFORM o2c._payment($1, back.payment_id);
  INSERT INTO o2c.ledger_entry (company_id, item_id, customer_id, currency, due_date, kind, amount, raises, effective_on, reason)
  SELECT $1, i.id, i.customer_id, i.currency, i.due_date, 'refund', back.amount, false,
    greatest(coalesce($3, o2c.today($1)), i.document_date), back.reason
  FROM o2c.payment p JOIN o2c.open_item i ON i.company_id = $1 AND i.id = p.item_id
  WHERE p.company_id = $1 AND p.id = back.payment_id
  RETURNING id INTO entry;
  UPDATE o2c.refund r SET state = 'approved', approved_by = session_user, approved_at = pg_catalog.now(), entry_id = entry
  WHERE r.company_id = $1 AND r.id = $2;
  RETURN entry;
END $$;
COMMENT ON FUNCTION o2c.approve_refund(integer, bigint, date) IS
  'Grant a refund that somebody else asked for: the money leaves the customer''s account from effective_on. Returns the ledger entry. Errors: O2003, O2031, O2033, O2044, O2060, O2080.';

CREATE FUNCTION o2c._check_payment(company integer)
RETURNS TABLE (invariant text, company_id integer, entity text, entity_id bigint, detail text)
LANGUAGE plpgsql STABLE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
    SELECT 'payment is applied when nothing is left', p.company_id, 'payment', p.id,
           pg_catalog.format('%s, open %s', p.state, i.open_amount)
    FROM o2c.payment p JOIN o2c.open_item i ON i.company_id = p.company_id AND i.id = p.item_id
    WHERE (company IS NULL OR p.company_id = company)
      AND ((p.state = 'applied') <> (i.open_amount = 0 AND p.state <> 'returned') OR (p.state = 'returned' AND i.open_amount <> 0)
           OR i.customer_id IS DISTINCT FROM p.customer_id OR i.currency::text <> p.currency::text OR i.amount < - p.amount);
  RETURN QUERY
    SELECT 'payment has its item and its line', p.company_id, 'payment', p.id,
           pg_catalog.format('item %s, bank line %s', p.item_id, p.bank_line_id)
    FROM o2c.payment p
    LEFT JOIN o2c.open_item i ON i.company_id = p.company_id AND i.id = p.item_id
    LEFT JOIN o2c.bank_line b ON b.company_id = p.company_id AND b.id = p.bank_line_id
    WHERE (company IS NULL OR p.company_id = company)
      AND (i.id IS NULL OR i.kind NOT IN ('on_account', 'unidentified') OR (p.bank_line_id IS NOT NULL AND b.id IS NULL)
           OR (i.number ^@ 'PAY-' AND i.number <> 'PAY-' || p.id));
  -- they are found by it
  RETURN QUERY
    SELECT 'number of a payment is that of its items', i.company_id, 'open_item', i.id, i.number
    FROM (SELECT x.company_id, x.id, x.number,
            CASE WHEN x.number ~ '^PAY-[1-9][0-9]{0,17}$'
              OR (x.number ~ '^PAY-[1-9][0-9]{18}$' AND pg_catalog.substr(x.number, 5)::numeric <= 9223372036854775807)
              THEN pg_catalog.substr(x.number, 5)::bigint END AS payment_id
          FROM o2c.open_item x
          WHERE (company IS NULL OR x.company_id = company)
            AND CASE WHEN x.kind IN ('on_account', 'unidentified') THEN x.number ^@ 'PAY-' ELSE false END) i
    -- full, because that can't be nested loops, which tables without statistics would get
    FULL JOIN (SELECT y.company_id, y.id FROM o2c.payment y WHERE company IS NULL OR y.company_id = company) p
      ON p.company_id = i.company_id AND p.id = i.payment_id
    WHERE CASE WHEN i.id IS NULL THEN false ELSE p.id IS NULL END;
  RETURN QUERY
    SELECT 'proposal has its payment and items', m.company_id, 'match_proposal', m.id,
           pg_catalog.format('payment %s, items %s', m.payment_id, m.item_ids)
    FROM o2c.match_proposal m
    LEFT JOIN o2c.payment p ON p.company_id = m.company_id AND p.id = m.payment_id
    WHERE (company IS NULL OR m.company_id = company)
      AND (p.id IS NULL OR p.bank_line_id IS DISTINCT FROM m.bank_line_id
           OR EXISTS (SELECT FROM pg_catalog.unnest(m.item_ids) x
                      WHERE NOT EXISTS (SELECT FROM o2c.open_item i WHERE i.company_id = m.company_id AND i.id = x)));
  RETURN QUERY
    SELECT CASE WHEN b.id IS NULL THEN 'payment of a bank line that is matched' ELSE 'bank line that is matched has its payment' END,
           coalesce(b.company_id, p.company_id), CASE WHEN b.id IS NULL THEN 'payment' ELSE 'bank_line' END, coalesce(b.id, p.id),
           coalesce(b.line_id, pg_catalog.format('bank line %s', p.bank_line_id))
    FROM (SELECT x.* FROM o2c.bank_line x WHERE x.state = 'matched' AND x.amount > 0 AND (company IS NULL OR x.company_id = company)) b
    -- full, because that can't be nested loops, which tables without statistics would get
    FULL JOIN (SELECT x.* FROM o2c.payment x WHERE x.bank_line_id IS NOT NULL AND (company IS NULL OR x.company_id = company)) p
      ON p.company_id = b.company_id AND p.bank_line_id = b.id
    WHERE b.id IS NULL OR p.id IS NULL OR p.id IS DISTINCT FROM b.payment_id OR p.amount <> b.amount;
  RETURN QUERY
    SELECT 'key of every document', i.company_id, 'open_item', i.id, i.number
    FROM o2c.open_item i
    WHERE (company IS NULL OR i.company_id = company) AND i.kind NOT IN ('on_account', 'unidentified')
      AND o2c._document_key(i.number) <> 0
      AND NOT EXISTS (SELECT FROM o2c.match_key k WHERE k.company_id = i.company_id
                      AND k.key = o2c._document_key(i.number) AND k.item_id = i.id);
END $$;
COMMENT ON FUNCTION o2c._check_payment(integer) IS 'Invariants of payments and matching; see o2c.check().';
