-- Cash application, second half of the engine: gather candidates, weigh, decide, post.
-- The first half, with the list of work tables, is 55_match.sql.
--   o2c_m_answer  what is found for a line, up to three answers: of the first round only for lines that it decides
--   o2c_m_claim   what decided lines pay; o2c_m_taken: its sum for each item
--   o2c_m_todo    lines that the first round leaves undecided, with who pays them
--   o2c_m_pair    items of lines that cite their order: they are candidates
--   o2c_m_cand    items that undecided lines cite or that their amount pays
--   o2c_m_pay     the payments that are posted

CREATE FUNCTION o2c._match_first(company integer) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
SET client_min_messages = warning
AS $$
DECLARE
  -- for few lines rows are looked up, with many the tables are read
  few CONSTANT boolean := (SELECT pg_catalog.count(*) < 1000 FROM (SELECT FROM pg_temp.o2c_m_line LIMIT 1000) x);
  item CONSTANT text := 'SELECT i.id, i.customer_id, i.currency, i.open_amount, i.amount, i.discount_amount, i.discount_date, '
    'i.document_date, i.due_date, i.number, i.alt_number, i.structured_ref, %s FROM o2c.open_item i WHERE i.company_id = $1 AND %s';
  open CONSTANT text := 'i.id IN (SELECT b.item_id FROM o2c.open_balance b WHERE b.company_id = $1 AND %s)';
BEGIN
  -- cited by our order, the customer's, or the delivery
  CREATE TEMPORARY TABLE o2c_m_pair (line_id bigint NOT NULL, item_id bigint NOT NULL, order_number text) ON COMMIT DROP;
  IF EXISTS (SELECT FROM o2c.invoice v WHERE v.company_id = company AND v.order_id IS NOT NULL) THEN
    INSERT INTO pg_temp.o2c_m_pair
    SELECT t.line_id, i.id, pg_catalog.max(o.number)
    FROM (SELECT l.id AS line_id, pg_catalog.unnest(l.keys) AS key FROM pg_temp.o2c_m_line l) t
    JOIN (SELECT o2c._document_key(s.code) AS key, s.id, s.code AS number FROM o2c.sales_order s WHERE s.company_id = company
          UNION ALL
          SELECT o2c._document_key(s.customer_reference), s.id, s.customer_reference FROM o2c.sales_order s
          WHERE s.company_id = company AND s.customer_reference IS NOT NULL
          UNION ALL
          SELECT o2c._document_key(h.number), h.order_id, h.number FROM o2c.shipment h
          WHERE h.company_id = company AND h.number IS NOT NULL) o ON o.key = t.key
    JOIN o2c.invoice v ON v.company_id = company AND v.order_id = o.id
    JOIN o2c.open_item i ON i.company_id = company AND i.invoice_id = v.id AND i.open_amount <> 0
    GROUP BY 1, 2;
  END IF;
  CREATE TEMPORARY TABLE o2c_m_taken (item_id bigint NOT NULL, taken bigint NOT NULL) ON COMMIT DROP;
  CREATE TEMPORARY TABLE o2c_m_todo (line_id bigint NOT NULL, page bigint NOT NULL, party bigint NOT NULL, payer integer NOT NULL, payer_customer bigint,
    currency o2c.currency, day integer) ON COMMIT DROP;
  CREATE TEMPORARY TABLE o2c_m_cand (line_id bigint NOT NULL, item_id bigint NOT NULL, customer_id bigint, number text, alt_number text,
    customer_name text, open bigint, amount bigint, discount bigint, discount_date integer, issued integer, due integer, reference_key bigint,
    tolerance bigint, charges bigint, rel integer, grp integer, order_number text) ON COMMIT DROP;
  -- across all lines no item is claimed twice: the better evidence first, then the earlier day
  CREATE TEMPORARY TABLE o2c_m_answer ON COMMIT DROP AS
  SELECT f.line_id, f.option, f.decided, f.tier, f.paid, f.customer_id, f.confidence, f.rule, f.item_ids, f.cash, f.settle,
    f.settle_kind, f.explanation
  FROM o2c._first_round(company, few,
    lines => 'SELECT l.id, l.party, l.currency, l.minor_amount, l.reference_key, l.keys FROM pg_temp.o2c_m_line l',
    tolerances => 'SELECT t.customer_id, t.difference, t.percent, t.charges FROM o2c.tolerance t WHERE t.company_id = $1',
    payers => 'SELECT p.party, p.customer_id, p.rel, p.grp FROM pg_temp.o2c_m_payer p',
    keys => 'SELECT k.key, k.item_id FROM o2c.match_key k WHERE k.company_id = $1' || CASE WHEN few THEN ' AND k.key = ANY ($2)' ELSE '' END,
    settled => 'SELECT s.key, s.customer_id, s.number FROM o2c.settled_number s WHERE s.company_id = $1'
      || CASE WHEN few THEN ' AND s.key = ANY ($2)' ELSE '' END,
    pairs => 'SELECT p.line_id, p.item_id, p.order_number FROM pg_temp.o2c_m_pair p',
    -- by its id 1, by its payer's amounts 2, by anybody's amounts 4
    items => CASE
      WHEN few THEN pg_catalog.format(item, 1, 'i.id = ANY ($2)')
        || ' UNION ALL ' || pg_catalog.format(item, 2, pg_catalog.format(open, 'b.customer_id = ANY ($3)'))
        || ' UNION ALL ' || pg_catalog.format(item, 4, 'pg_catalog.cardinality($4) > 0 AND ' || pg_catalog.format(open, 'b.open_amount = ANY ($4)'))
      ELSE pg_catalog.format(item, 7, 'true') END,
    -- a credit note that makes up what the cited items are more than the payment
    credits => pg_catalog.format(item, 0, 'i.open_amount < 0 AND i.kind NOT IN (''on_account'', ''unidentified'')')
      || CASE WHEN few THEN ' AND ' || pg_catalog.format(open, 'b.customer_id = ANY ($3) AND b.open_amount < 0') ELSE '' END,
    names => 'SELECT u.id, u.name, u.code FROM o2c.customer u WHERE u.company_id = $1' || CASE WHEN few THEN ' AND u.id = ANY ($3)' ELSE '' END,
    weighed => pg_catalog.format($q$
      SELECT 0::bigint, l.id, l.minor_amount, l.booking_date - '2000-01-01'::date, l.remittance_text, l.payer_name,
        l.reference_key, l.charges, l.minor, w.payer, %s
      ORDER BY l.id $q$, CASE WHEN EXISTS (SELECT FROM pg_temp.o2c_m_rejected) THEN $q$x.rejected
      FROM pg_temp.o2c_m_line l
      JOIN pg_temp.o2c_m_who w ON w.party = l.party
      LEFT JOIN (SELECT r.line_id, pg_catalog.array_agg(r.item_ids::text) AS rejected FROM pg_temp.o2c_m_rejected r GROUP BY 1) x
        ON x.line_id = l.id $q$ ELSE $q$NULL::text[]
      FROM pg_temp.o2c_m_line l
      JOIN pg_temp.o2c_m_who w ON w.party = l.party $q$ END),
    taken => 'INSERT INTO pg_temp.o2c_m_taken SELECT r.id, r.amount FROM o2c_rows r',
    undecided => $q$
      INSERT INTO pg_temp.o2c_m_todo
      SELECT l.id, 0, l.party, w.payer, w.payer_customer, l.currency, l.booking_date - '2000-01-01'::date
      FROM o2c_rows r JOIN pg_temp.o2c_m_line l ON l.id = r.id JOIN pg_temp.o2c_m_who w ON w.party = l.party $q$,
    candidates => $q$
      INSERT INTO pg_temp.o2c_m_cand
      SELECT r.line_id, r.item_id, r.customer_id, r.number, r.alt_number, r.customer_name, r.open, r.amount, r.discount, r.discount_date, r.issued,
        r.due, r.reference_key, r.tolerance, r.charges, r.rel, r.grp, r.order_number
      FROM o2c_rows r $q$) f;
  DROP TABLE pg_temp.o2c_m_pair;
  ANALYZE pg_temp.o2c_m_todo, pg_temp.o2c_m_taken (item_id), pg_temp.o2c_m_cand (line_id, item_id, customer_id);
  -- whose items others have
  DELETE FROM pg_temp.o2c_m_answer a WHERE a.line_id IN (SELECT t.line_id FROM pg_temp.o2c_m_todo t);
  CREATE TEMPORARY TABLE o2c_m_claim ON COMMIT DROP AS
  SELECT a.line_id, a.item_ids[1] AS item_id, a.cash[1] AS cash, a.settle[1] AS settle, a.settle_kind
  FROM pg_temp.o2c_m_answer a WHERE a.option = 1 AND pg_catalog.cardinality(a.item_ids) = 1
  UNION ALL
  SELECT a.line_id, pg_catalog.unnest(a.item_ids), pg_catalog.unnest(a.cash), pg_catalog.unnest(a.settle), a.settle_kind
  FROM pg_temp.o2c_m_answer a WHERE a.option = 1 AND pg_catalog.cardinality(a.item_ids) > 1;
  RETURN (SELECT pg_catalog.count(*) FROM pg_temp.o2c_m_todo);
END $$;
COMMENT ON FUNCTION o2c._match_first(integer) IS
  'Stage of match_cash: the items that lines cite or that their amounts pay, and the lines that these decide, where the items bear all that is claimed together; returns how many are left.';

CREATE FUNCTION o2c._match_rest(company integer) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
SET client_min_messages = warning
AS $$
BEGIN
  WITH found AS (
    INSERT INTO pg_temp.o2c_m_answer
    SELECT w.line_id, w.option, w.decided, w.tier, w.paid, w.customer_id, w.confidence, w.rule, w.item_ids, w.cash, w.settle,
      w.settle_kind, w.explanation
    FROM o2c._weigh_lines(company,
      $q$
        SELECT t.page, l.id, l.minor_amount, l.booking_date - '2000-01-01'::date, l.remittance_text, l.payer_name,
          l.reference_key, l.charges, l.minor, t.payer, x.rejected
        FROM pg_temp.o2c_m_todo t
        JOIN pg_temp.o2c_m_line l ON l.id = t.line_id
        LEFT JOIN (SELECT r.line_id, pg_catalog.array_agg(r.item_ids::text) AS rejected FROM pg_temp.o2c_m_rejected r GROUP BY 1) x
          ON x.line_id = t.line_id
        ORDER BY t.page, l.id $q$,
      $q$
        SELECT t.page, c.line_id, c.item_id, c.customer_id, c.number, c.alt_number, c.customer_name, c.open - coalesce(k.taken, 0),
          c.amount, c.discount, c.discount_date, c.issued, c.due, c.reference_key, c.tolerance, c.charges, c.rel, c.grp, c.order_number
        FROM pg_temp.o2c_m_todo t
        JOIN pg_temp.o2c_m_cand c ON c.line_id = t.line_id
        LEFT JOIN pg_temp.o2c_m_taken k ON k.item_id = c.item_id
        ORDER BY t.page, c.line_id, c.item_id $q$,
      $q$
        SELECT b.page, b.due, b.item_id, b.customer_id, b.number, b.alt_number, NULL::text, b.open,
          b.amount, b.discount, b.discount_date, b.issued, b.due, b.reference_key, b.tolerance, b.charges, 0, 0, NULL::text
        FROM pg_temp.o2c_m_book b
        ORDER BY b.page, b.due, b.item_id $q$) w
    RETURNING *),
  claim AS (
    INSERT INTO pg_temp.o2c_m_claim
    SELECT f.line_id, pg_catalog.unnest(f.item_ids), pg_catalog.unnest(f.cash), pg_catalog.unnest(f.settle), f.settle_kind
    FROM found f WHERE f.decided AND f.option = 1
    RETURNING item_id, cash + settle AS total),
  news AS (
    SELECT c.item_id, o2c._minor_sum(c.total) AS taken FROM claim c GROUP BY 1),
  known AS (
    UPDATE pg_temp.o2c_m_taken k SET taken = k.taken + n.taken FROM news n WHERE n.item_id = k.item_id
    RETURNING k.item_id)
  INSERT INTO pg_temp.o2c_m_taken
  SELECT n.item_id, n.taken FROM news n WHERE n.item_id NOT IN (SELECT k.item_id FROM known k);
END $$;
COMMENT ON FUNCTION o2c._match_rest(integer) IS
  'Stage of match_cash: the rounds in which the lines that are left are weighed with the books of their payers, until none is decided.';

CREATE FUNCTION o2c._match_post(company integer) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
SET client_min_messages = warning
AS $$
DECLARE
  paid bigint;
  posted bigint;
  short bigint[];
  owners bigint[];	-- of the items that are paid
BEGIN
  -- what somebody else applied since we read it is not ours to apply: the rows that are locked are the newest;
  -- with them those of the payments of earlier runs, before any account is
  SELECT pg_catalog.array_agg(x.id) FILTER (WHERE pg_catalog.abs(x.taken) > pg_catalog.abs(o2c._minor_amount(x.open_amount, x.currency))),
    pg_catalog.array_agg(DISTINCT x.customer_id)
    INTO short, owners
  FROM (SELECT i.id, i.open_amount, i.currency, i.customer_id, k.taken
        FROM (SELECT t.item_id, t.taken FROM pg_temp.o2c_m_taken t
              UNION ALL
              SELECT l.item_id, l.minor_amount FROM pg_temp.o2c_m_line l
              JOIN pg_temp.o2c_m_answer a ON a.line_id = l.id AND a.option = 1 AND a.decided WHERE l.item_id IS NOT NULL
              ORDER BY 1 OFFSET 0) k
        CROSS JOIN LATERAL (SELECT o.id, o.open_amount, o.currency, o.customer_id FROM o2c.open_item o
          WHERE o.company_id = company AND o.id = k.item_id FOR NO KEY UPDATE) i) x;
  IF short IS NOT NULL THEN
    UPDATE pg_temp.o2c_m_answer a SET decided = false
    WHERE a.line_id IN (SELECT c.line_id FROM pg_temp.o2c_m_claim c WHERE c.item_id = ANY (short));
    DELETE FROM pg_temp.o2c_m_claim c
    WHERE c.line_id IN (SELECT d.line_id FROM pg_temp.o2c_m_claim d WHERE d.item_id = ANY (short)
                        UNION ALL SELECT l.id FROM pg_temp.o2c_m_line l WHERE l.item_id = ANY (short));
    -- a payment that somebody used has no answer
    DELETE FROM pg_temp.o2c_m_answer a USING pg_temp.o2c_m_line l WHERE l.id = a.line_id AND l.item_id = ANY (short);
  END IF;

  -- each line is a payment with its credit item, understood or not; one that is used up
  -- is inserted as it remains, and its receipt posted with its allocations
  CREATE TEMPORARY TABLE o2c_m_pay ON COMMIT DROP AS
  SELECT l.id AS line_id, y.line_id IS NOT NULL AS done, coalesce(y.paid = l.minor_amount, false) AS used_up,
    l.currency, l.amount, l.booking_date, l.value_date, l.minor,
    ('{1,0.1,0.01,0.001,0.0001}'::numeric[])[l.minor + 1] AS unit,
    coalesce(l.payment_id, pg_catalog.nextval('o2c.payment_id_seq')) AS payment_id, l.payment_id IS NULL AS is_new,
    coalesce(l.item_id, pg_catalog.nextval('o2c.open_item_id_seq')) AS item_id,
    CASE WHEN y.line_id IS NOT NULL THEN y.customer_id WHEN w.payer >= 3 THEN w.payer_customer END AS customer_id,
    l.end_to_end_id, coalesce(y.paid, 0) AS cash, coalesce(y.notes, false) AS notes,
    coalesce(w.payer < 3 AND y.tier <= 2, false) AS learned
  FROM pg_temp.o2c_m_line l
  JOIN pg_temp.o2c_m_who w ON w.party = l.party
  LEFT JOIN (SELECT a.line_id, a.customer_id, a.paid, a.tier, coalesce(0 > ANY (a.cash), false) AS notes
             FROM pg_temp.o2c_m_answer a WHERE a.option = 1 AND a.decided) y ON y.line_id = l.id
  ORDER BY l.id;
  ANALYZE pg_temp.o2c_m_pay (line_id, done, is_new), pg_temp.o2c_m_claim;
  -- it is posted in several statements: documents that others pay by another instalment, and all accounts, before
  PERFORM o2c._lock_posting(company,
    CASE WHEN EXISTS (SELECT FROM o2c.payment_term_line t WHERE t.company_id = company AND t.instalment > 1) THEN
      (SELECT pg_catalog.array_agg(DISTINCT i.id) FROM pg_temp.o2c_m_claim c
       JOIN o2c.open_item i ON i.company_id = company AND i.id = c.item_id
       WHERE i.instalment > 1 OR EXISTS (SELECT FROM o2c.open_item o
         WHERE o.company_id = company AND o.invoice_id = i.invoice_id AND o.instalment > 1)) END,
    NULL,
    (SELECT pg_catalog.array_agg(x.id) FROM
      (SELECT p.customer_id AS id FROM pg_temp.o2c_m_pay p WHERE p.customer_id IS NOT NULL
       UNION
       SELECT u.id FROM pg_catalog.unnest(owners) u(id) WHERE u.id IS NOT NULL) x));
  SET CONSTRAINTS o2c.open_item_paid DEFERRED;	-- the payment comes after its item, whatever the session set
  INSERT INTO o2c.open_item (company_id, id, customer_id, kind, number, document_date, due_date, currency, amount, open_amount)
  SELECT company, p.item_id, p.customer_id,
    CASE WHEN p.customer_id IS NULL THEN 'unidentified' ELSE 'on_account' END::o2c.item_kind,
    'PAY-' || p.payment_id, p.booking_date, p.booking_date, p.currency, - p.amount,
    CASE WHEN p.used_up THEN 0 * p.amount ELSE - p.amount END
  FROM pg_temp.o2c_m_pay p WHERE p.is_new;
  -- payments of earlier runs that nobody could place now have a customer
  IF EXISTS (SELECT FROM pg_temp.o2c_m_pay p WHERE NOT p.is_new AND p.done) THEN
    PERFORM o2c._identify_payments(company, pg_catalog.array_agg(p.payment_id), pg_catalog.array_agg(p.customer_id))
    FROM pg_temp.o2c_m_pay p JOIN o2c.payment y ON y.company_id = company AND y.id = p.payment_id
    WHERE NOT p.is_new AND p.done AND y.customer_id IS NULL HAVING pg_catalog.count(*) > 0;
    UPDATE pg_temp.o2c_m_pay p SET item_id = y.item_id
    FROM o2c.payment y WHERE NOT p.is_new AND y.company_id = company AND y.id = p.payment_id AND y.item_id <> p.item_id;
  END IF;
  PERFORM o2c._match_allocate(company);
  INSERT INTO o2c.payment (company_id, id, state, customer_id, amount, currency, received_on, value_date,
    method, reference, bank_line_id, item_id)
  SELECT company, p.payment_id, CASE WHEN p.used_up THEN 'applied' ELSE 'received' END::o2c.payment_state,
    p.customer_id, p.amount, p.currency, p.booking_date, p.value_date, 'transfer', p.end_to_end_id, p.line_id, p.item_id
  FROM pg_temp.o2c_m_pay p WHERE p.is_new;
  GET DIAGNOSTICS paid = ROW_COUNT;
  -- a line that somebody settled otherwise since we read it has its money already
  UPDATE o2c.bank_line b SET state = 'matched', payment_id = p.payment_id
  FROM pg_temp.o2c_m_pay p WHERE p.is_new AND b.company_id = company AND b.id = p.line_id AND b.state = 'open';
  GET DIAGNOSTICS posted = ROW_COUNT;
  IF posted < paid THEN
    RAISE EXCEPTION USING ERRCODE = '40001', MESSAGE = 'bank lines were settled otherwise while they were matched',
      HINT = 'Run match_cash again.';
  END IF;
  PERFORM o2c._match_settle(company);

    -- proposals of earlier runs give way, but for those that would be made again: a person may have them before him
  DELETE FROM pg_temp.o2c_m_answer a USING pg_temp.o2c_m_rejected x WHERE x.line_id = a.line_id AND x.item_ids = a.item_ids;
  UPDATE o2c.match_proposal m SET state = 'superseded', decided_at = pg_catalog.now()
  FROM pg_temp.o2c_m_pay p
  WHERE NOT p.is_new AND m.company_id = company AND m.payment_id = p.payment_id AND m.state = 'suggested'
    AND (p.done OR NOT EXISTS (
      SELECT FROM pg_temp.o2c_m_answer a
      WHERE a.line_id = p.line_id AND a.option = m.option AND a.rule = m.rule AND a.item_ids = m.item_ids
        AND a.confidence = m.confidence
        AND o2c._amounts(a.cash, p.minor) = m.amounts AND o2c._amounts(a.settle, p.minor) = m.settled
        AND a.settle_kind = coalesce(m.settle_kind::text, '') AND a.explanation = m.explanation));
  INSERT INTO o2c.match_proposal (company_id, payment_id, bank_line_id, option, state, rule, confidence, item_ids,
    amounts, settled, settle_kind, explanation)
  SELECT company, p.payment_id, p.line_id, a.option, CASE WHEN p.done THEN 'auto' ELSE 'suggested' END::o2c.match_state,
    a.rule, a.confidence, a.item_ids,
    o2c._amounts(a.cash, p.minor), o2c._amounts(a.settle, p.minor),
    nullif(a.settle_kind, '')::o2c.entry_kind, a.explanation
  FROM pg_temp.o2c_m_answer a JOIN pg_temp.o2c_m_pay p ON p.line_id = a.line_id
  WHERE CASE WHEN p.done THEN a.option = 1 ELSE pg_catalog.cardinality(a.item_ids) > 0 END
    AND (p.is_new OR NOT EXISTS (SELECT FROM o2c.match_proposal m WHERE m.company_id = company AND m.payment_id = p.payment_id
                                   AND m.state = 'suggested' AND m.option = a.option));
  -- who paid what he cited is learned as a payer
  PERFORM o2c._count_payers(company, pg_catalog.array_agg(y.customer_id), pg_catalog.array_agg(l.account), pg_catalog.array_agg(l.name_key), 1)
  FROM pg_temp.o2c_m_pay p
  JOIN pg_temp.o2c_m_line l ON l.id = p.line_id
  CROSS JOIN LATERAL (SELECT CASE WHEN p.is_new THEN p.customer_id
    ELSE (SELECT q.customer_id FROM o2c.payment q WHERE q.company_id = company AND q.id = p.payment_id) END AS customer_id) y
  WHERE p.learned HAVING pg_catalog.count(*) > 0;
END $$;
COMMENT ON FUNCTION o2c._match_post(integer) IS
  'Last stage of match_cash: payments, credit items, allocations, settlements and proposals, each in one statement.';

CREATE FUNCTION o2c._match_returns(company integer, up_to date) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
DECLARE
  line_ids bigint[];
  payments bigint[];
  reasons text[];
  days date[];
  returned bigint := 0;
BEGIN
  -- money that the bank took back: the payment of that amount that the line names, when it is one;
  -- with it banks take what they charge, and say so or what the amount was
  WITH back AS (
    SELECT b.id, b.booking_date, b.return_reason, pg_catalog.min(p.id) AS payment_id
    FROM (SELECT pg_catalog.unnest(pg_catalog.range_agg(pg_catalog.int8range(w.first_id, w.last_id, '[]'))) AS ids
          FROM o2c.bank_line_open w WHERE w.company_id = company) s
    CROSS JOIN LATERAL (SELECT * FROM o2c.bank_line b
      WHERE b.company_id = company AND b.id >= pg_catalog.lower(s.ids) AND b.id < pg_catalog.upper(s.ids)
        AND b.state = 'open' AND b.amount < 0 AND b.return_reason IS NOT NULL
        AND (up_to IS NULL OR b.booking_date <= up_to) OFFSET 0) b
    CROSS JOIN LATERAL (SELECT DISTINCT v.amount FROM (VALUES (- b.amount), (- b.amount - b.charges),
      (CASE WHEN coalesce(b.original_currency, b.currency) = b.currency AND b.original_amount < - b.amount THEN b.original_amount END)) v(amount)) t
    JOIN o2c.payment p ON p.company_id = company AND p.amount = t.amount AND p.currency = b.currency
      AND p.state <> 'returned' AND p.received_on <= b.booking_date
    LEFT JOIN o2c.bank_line o ON o.company_id = company AND o.id = p.bank_line_id
    WHERE (b.end_to_end_id = coalesce(o.end_to_end_id, p.reference)
        OR (coalesce(b.end_to_end_id, 'NOTPROVIDED') = 'NOTPROVIDED'
            AND o2c._account_key(coalesce(b.payer_iban, b.payer_account)) = o2c._account_key(coalesce(o.payer_iban, o.payer_account))))
    GROUP BY 1, 2, 3 HAVING pg_catalog.count(*) = 1)
  SELECT pg_catalog.array_agg(o.id ORDER BY o.customer_id, o.payment_id), pg_catalog.array_agg(o.payment_id ORDER BY o.customer_id, o.payment_id),
         pg_catalog.array_agg(o.return_reason ORDER BY o.customer_id, o.payment_id), pg_catalog.array_agg(o.booking_date ORDER BY o.customer_id, o.payment_id)
  INTO line_ids, payments, reasons, days
  FROM (SELECT DISTINCT ON (k.payment_id) k.*, p.customer_id
        FROM back k JOIN o2c.payment p ON p.company_id = company AND p.id = k.payment_id
        ORDER BY k.payment_id, k.booking_date, k.id) o;
  IF line_ids IS NULL THEN
    RETURN 0;
  END IF;
  -- all that they are posted to at once, each in order
  PERFORM o2c._lock_posting(company, pg_catalog.array_agg(x.id))
  FROM (SELECT p.item_id AS id FROM o2c.payment p WHERE p.company_id = company AND p.id = ANY (payments)
        UNION
        SELECT pg_catalog.unnest(ARRAY[a.credit_item_id, a.debit_item_id])
        FROM o2c.payment p
        JOIN o2c.open_item c ON c.company_id = company AND c.id = p.item_id
        JOIN o2c.allocation a ON a.company_id = company AND a.credit_item_id IN (c.id, c.source_item_id)
        WHERE p.company_id = company AND p.id = ANY (payments)) x;
  FOR n IN 1 .. pg_catalog.cardinality(line_ids) LOOP
    BEGIN
      PERFORM o2c.return_payment(company, payments[n], reasons[n], days[n]);
      UPDATE o2c.bank_line b SET state = 'matched', payment_id = payments[n]
      WHERE b.company_id = company AND b.id = line_ids[n];
      returned := returned + 1;
    EXCEPTION WHEN SQLSTATE 'O2033' OR SQLSTATE 'O2061' THEN
      -- a part was refunded or written off, or somebody returned it: the line waits for a person and keeps no other waiting
      NULL;
    END;
  END LOOP;
  RETURN returned;
END $$;
COMMENT ON FUNCTION o2c._match_returns(integer, date) IS
  'Stage of match_cash: returned payments (lines with money out and a return reason) by end-to-end id or account, when exactly one fits and all of it is there; returns how many.';

CREATE FUNCTION o2c.match_cash(company_id integer, up_to date DEFAULT NULL,
  OUT lines bigint, OUT auto_lines bigint, OUT suggested_lines bigint, OUT unmatched_lines bigint, OUT auto_amount numeric)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
SET client_min_messages = warning
SET jit = off
SET default_statistics_target = 10
SET enable_nestloop = on
SET enable_mergejoin = on
AS $$
#variable_conflict use_column
DECLARE
  mark record;
  home o2c.currency;
BEGIN
  PERFORM o2c._require_company($1);
  SELECT c.currency INTO home FROM o2c.company c WHERE c.company_id = $1;
  lines := 0;
  auto_lines := 0;
  suggested_lines := 0;
  unmatched_lines := 0;
  auto_amount := 0;
  -- one run a company at a time; with a snapshot of before another's end it fails here
  PERFORM pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext('order2cash.match_cash'), $1);
  INSERT INTO o2c.match_watermark AS w (company_id, item_id, entry_id) VALUES ($1, 0, 0) ON CONFLICT DO NOTHING;
  PERFORM FROM o2c.match_watermark w WHERE w.company_id = $1 FOR NO KEY UPDATE;
  SELECT coalesce((SELECT i.id FROM o2c.open_item i WHERE i.company_id = $1 ORDER BY i.id DESC LIMIT 1), 0) AS item_id,
    coalesce((SELECT e.id FROM o2c.ledger_entry e WHERE e.company_id = $1 ORDER BY e.id DESC LIMIT 1), 0) AS entry_id,
    (SELECT a.updated_at FROM o2c.payer_alias a WHERE a.company_id = $1 ORDER BY a.updated_at DESC LIMIT 1) AS alias_at
    INTO mark;
  IF EXISTS (SELECT FROM o2c.match_watermark w WHERE w.company_id = $1
               AND w.item_id = mark.item_id AND w.entry_id = mark.entry_id
               AND w.alias_at IS NOT DISTINCT FROM mark.alias_at)
     AND NOT EXISTS (
       SELECT FROM (SELECT pg_catalog.unnest(pg_catalog.range_agg(pg_catalog.int8range(o.first_id, o.last_id, '[]'))) AS ids
                    FROM o2c.bank_line_open o WHERE o.company_id = $1) s
       CROSS JOIN LATERAL (SELECT FROM o2c.bank_line b
         WHERE b.company_id = $1 AND b.id >= pg_catalog.lower(s.ids) AND b.id < pg_catalog.upper(s.ids) AND b.state = 'open'
           AND (b.amount > 0) = (b.return_reason IS NULL) AND b.amount < 1e14 AND ($2 IS NULL OR b.booking_date <= $2) OFFSET 0) b) THEN
    -- where nothing waits any more, because somebody else took the lines away
    DELETE FROM o2c.bank_line_open o WHERE o.company_id = $1 AND $2 IS NULL;
    RETURN;
  END IF;
  PERFORM o2c._match_returns($1, $2);
  lines := o2c._match_lines($1, $2);
  IF lines > 0 THEN
    -- many lines are joined with whole tables, whatever is known of these
    PERFORM pg_catalog.set_config('enable_nestloop', (lines < 1000)::text, true),
      pg_catalog.set_config('enable_mergejoin', (lines < 1000)::text, true);
    PERFORM o2c._match_payers($1);
    IF o2c._match_first($1) > 0 THEN
      PERFORM o2c._match_books($1);
      PERFORM o2c._match_rest($1);
    END IF;
    ANALYZE pg_temp.o2c_m_answer (line_id, option, tier), pg_temp.o2c_m_taken (item_id);
    PERFORM pg_catalog.set_config('enable_nestloop', 'on', true), pg_catalog.set_config('enable_mergejoin', 'on', true);
    PERFORM o2c._match_post($1);
    SELECT coalesce(pg_catalog.sum(x.lines), 0), coalesce(pg_catalog.sum(x.amount), 0) INTO auto_lines, auto_amount
    FROM (SELECT pg_catalog.count(*) AS lines, pg_catalog.sum(p.cash) * pg_catalog.max(p.unit) AS amount
          FROM pg_temp.o2c_m_pay p WHERE p.done AND p.currency = home
          UNION ALL
          SELECT 1, pg_catalog.round(p.cash * p.unit * r.base_rate, o2c.minor_unit(home))
          FROM pg_temp.o2c_m_pay p
          CROSS JOIN LATERAL (SELECT i.base_rate FROM o2c.open_item i WHERE i.company_id = $1 AND i.id = p.item_id OFFSET 0) r
          WHERE p.done AND p.currency <> home) x;
    SELECT pg_catalog.count(DISTINCT a.line_id) INTO suggested_lines
    FROM pg_temp.o2c_m_answer a WHERE NOT a.decided AND pg_catalog.cardinality(a.item_ids) > 0;
    unmatched_lines := lines - auto_lines - suggested_lines;
    DROP TABLE pg_temp.o2c_m_pay;
  END IF;
  DELETE FROM o2c.bank_line_open o WHERE o.company_id = $1;
  INSERT INTO o2c.match_watermark AS w (company_id, item_id, entry_id, alias_at)
  VALUES ($1, coalesce((SELECT i.id FROM o2c.open_item i WHERE i.company_id = $1 ORDER BY i.id DESC LIMIT 1), 0),
          coalesce((SELECT e.id FROM o2c.ledger_entry e WHERE e.company_id = $1 ORDER BY e.id DESC LIMIT 1), 0),
          (SELECT a.updated_at FROM o2c.payer_alias a WHERE a.company_id = $1 ORDER BY a.updated_at DESC LIMIT 1))
  ON CONFLICT (company_id) DO UPDATE SET item_id = EXCLUDED.item_id, entry_id = EXCLUDED.entry_id,
    alias_at = EXCLUDED.alias_at, matched_at = pg_catalog.now();
END $$;
COMMENT ON FUNCTION o2c.match_cash(integer, date) IS
  'Make payments of all open bank lines (up to a booking date) and apply those that are certain; the rest become proposals or stay on account or unidentified. Payments on which nothing is applied are looked at again when something is new. One run a company at a time. auto_amount is what was applied by itself, in the company''s currency at the rates of the booking dates; what has no rate is not in it. Errors: O2002.';
