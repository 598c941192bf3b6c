-- Cash application, second half of the engine: weigh, decide, post.
-- The first half, with the list of work tables, is 55_match.sql.
--   o2c_m_todo    lines not decided; o2c_m_look: those to be weighed in this round
--   o2c_m_answer  up to three answers a line; o2c_m_first: those of lines that the first round decided
--   o2c_m_ok      lines decided in this round
--   o2c_m_claim   what decided lines pay; o2c_m_taken: its sum for each item; o2c_m_since: of that, since the books were opened
--   o2c_m_pay     the payments that are posted

CREATE FUNCTION o2c._match_weigh(company integer, round integer) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
SET client_min_messages = warning
AS $$
DECLARE
  setting record;
  grace integer;
BEGIN
  SELECT coalesce(pg_catalog.max(r.max_chance), 0.01)::double precision AS max_chance, coalesce(pg_catalog.max(r.max_size), 5) AS max_size
    INTO setting FROM o2c.match_rule r WHERE r.company_id = company AND r.rule = 'bundle' AND r.customer_id IS NULL;
  grace := coalesce((SELECT t.grace_days FROM o2c.tolerance t WHERE t.company_id = company AND t.customer_id IS NULL), 0);
  IF round > 1 THEN
    DELETE FROM pg_temp.o2c_m_answer a USING pg_temp.o2c_m_look k WHERE k.line_id = a.line_id;
  END IF;
  IF round = 2 THEN
    ALTER TABLE pg_temp.o2c_m_answer RENAME TO o2c_m_first;
  END IF;
  IF round <= 2 THEN
    CREATE TEMPORARY TABLE o2c_m_answer (line_id bigint NOT NULL, option integer NOT NULL, sure boolean NOT NULL,
      tier integer NOT NULL, rule text NOT NULL, confidence double precision NOT NULL, customer_id bigint,
      item_ids bigint[] NOT NULL, cash bigint[] NOT NULL, settle bigint[] NOT NULL, settle_kind text NOT NULL,
      explanation text NOT NULL, item_left bigint[] NOT NULL, allowed boolean) ON COMMIT DROP;
  END IF;
  INSERT INTO pg_temp.o2c_m_answer
  SELECT w.*, coalesce(c.automatic, r.automatic) AND w.confidence >= coalesce(c.min_confidence, r.min_confidence)
    AND NOT EXISTS (SELECT FROM pg_temp.o2c_m_rejected x WHERE x.line_id = w.line_id AND x.item_ids = w.item_ids)
  FROM o2c._weigh_lines(
    -- nothing is decided before the first round: all lines, all that is open
    CASE WHEN round = 1 THEN $q$
      SELECT 0::bigint, l.id, l.minor_amount, l.booking_date - '2000-01-01'::date, l.remittance_text, l.payer_name,
        l.reference_key, l.charges, l.minor, w.payer, 0, 0
      FROM pg_temp.o2c_m_line l
      JOIN pg_temp.o2c_m_who w ON w.line_id = l.id
      ORDER BY l.id $q$
    ELSE pg_catalog.format($q$
      SELECT r.page, r.line_id, r.minor_amount, r.day, r.remittance_text, r.payer_name,
        r.reference_key, r.charges, r.minor, r.payer, 1, %s
      FROM pg_temp.o2c_m_rest r
      WHERE r.line_id IN (SELECT k.line_id FROM pg_temp.o2c_m_look k)
      ORDER BY r.page, r.line_id $q$, (round > 2)::integer) END,
    CASE WHEN round = 1 THEN $q$
      SELECT 0::bigint, c.line_id, c.item_id, c.customer_id, c.number, c.alt_number, c.customer_name, c.open,
        c.amount, c.discount, c.discount_date, c.issued, c.due, c.reference_key, c.tolerance, c.charges, c.rel, c.grp, c.order_number
      FROM pg_temp.o2c_m_cand c
      ORDER BY c.line_id, c.item_id $q$
    ELSE $q$
      SELECT c.page, c.line_id, c.item_id, c.customer_id, c.number, c.alt_number, c.customer_name, c.open - coalesce(t.taken, 0),
        c.amount, c.discount, c.discount_date, c.issued, c.due, c.reference_key, c.tolerance, c.charges, c.rel, c.grp, c.order_number
      FROM pg_temp.o2c_m_cand c
      LEFT JOIN pg_temp.o2c_m_since t ON t.item_id = c.item_id
      WHERE c.line_id IN (SELECT k.line_id FROM pg_temp.o2c_m_look k)
      ORDER BY c.page, c.line_id, c.item_id $q$ END,
    CASE WHEN round = 1 THEN '' ELSE $q$
      SELECT b.page, b.due, b.item_id, b.customer_id, b.number, b.alt_number, NULL::text, b.open - coalesce(t.taken, 0),
        b.amount, b.discount, b.discount_date, b.issued, b.due, b.reference_key, b.tolerance, b.charges, 0, 0, NULL::text
      FROM pg_temp.o2c_m_book b
      LEFT JOIN pg_temp.o2c_m_since t ON t.item_id = b.item_id
      WHERE b.page IN (SELECT k.page FROM pg_temp.o2c_m_look k)
      ORDER BY b.page, b.due, b.item_id $q$ END,
    setting.max_chance, setting.max_size, grace, 100000) w
  LEFT JOIN o2c.match_rule r ON r.company_id = company AND r.rule = w.rule AND r.customer_id IS NULL
  LEFT JOIN o2c.match_rule c ON c.company_id = company AND c.rule = w.rule AND c.customer_id = w.customer_id;
  ANALYZE pg_temp.o2c_m_answer (line_id, option, sure, allowed);
END $$;
COMMENT ON FUNCTION o2c._match_weigh(integer, integer) IS
  'Stage of match_cash: the answers of the lines to be looked at; from the second round with the payers'' books, from the third knowing that what other lines clearly pay is gone.';

CREATE FUNCTION o2c._match_decide() RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
SET client_min_messages = warning
AS $$
DECLARE
  n bigint;
BEGIN
  -- across all lines no item is claimed twice: the better evidence first, then the earlier day;
  -- claims are lined up for the few items that have more than they can bear
  TRUNCATE pg_temp.o2c_m_ok;
  INSERT INTO pg_temp.o2c_m_ok
  WITH sure AS MATERIALIZED (
    SELECT a.line_id, a.tier, pg_catalog.unnest(a.item_ids) AS item_id, pg_catalog.unnest(a.cash) AS cash,
      pg_catalog.unnest(a.settle) AS settle, pg_catalog.unnest(a.item_left) AS item_left
    FROM pg_temp.o2c_m_answer a JOIN pg_temp.o2c_m_todo t ON t.line_id = a.line_id
    WHERE a.sure AND a.allowed AND a.option = 1),
  short AS (
    SELECT s.item_id FROM sure s GROUP BY s.item_id
    HAVING pg_catalog.sum(pg_catalog.abs(s.cash + s.settle)) > pg_catalog.min(pg_catalog.abs(s.item_left))),
  queue AS (
    SELECT s.line_id, s.item_left,
      pg_catalog.sum(pg_catalog.abs(s.cash + s.settle)) OVER (PARTITION BY s.item_id ORDER BY s.tier, w.booking_date, s.line_id
        ROWS UNBOUNDED PRECEDING) AS claimed
    FROM sure s JOIN short h ON h.item_id = s.item_id JOIN pg_temp.o2c_m_who w ON w.line_id = s.line_id)
  SELECT DISTINCT s.line_id FROM sure s
  WHERE s.line_id NOT IN (SELECT q.line_id FROM queue q WHERE q.claimed > pg_catalog.abs(q.item_left));
  GET DIAGNOSTICS n = ROW_COUNT;
  IF n = 0 THEN
    RETURN 0;
  END IF;
  ANALYZE pg_temp.o2c_m_ok;
  INSERT INTO pg_temp.o2c_m_claim
  SELECT a.line_id, pg_catalog.unnest(a.item_ids), pg_catalog.unnest(a.cash), pg_catalog.unnest(a.settle), a.settle_kind
  FROM pg_temp.o2c_m_answer a JOIN pg_temp.o2c_m_ok o ON o.line_id = a.line_id
  WHERE a.option = 1;
  ANALYZE pg_temp.o2c_m_claim;
  CREATE TEMPORARY TABLE o2c_m_news ON COMMIT DROP AS
  SELECT c.item_id, pg_catalog.sum(c.cash + c.settle)::bigint AS taken
  FROM pg_temp.o2c_m_claim c JOIN pg_temp.o2c_m_ok o ON o.line_id = c.line_id GROUP BY 1;
  ANALYZE pg_temp.o2c_m_news;
  UPDATE pg_temp.o2c_m_taken t SET taken = t.taken + n.taken FROM pg_temp.o2c_m_news n WHERE n.item_id = t.item_id;
  INSERT INTO pg_temp.o2c_m_taken
  SELECT n.item_id, n.taken FROM pg_temp.o2c_m_news n
  WHERE NOT EXISTS (SELECT FROM pg_temp.o2c_m_taken t WHERE t.item_id = n.item_id);
  ANALYZE pg_temp.o2c_m_taken;
  IF pg_catalog.to_regclass('pg_temp.o2c_m_since') IS NOT NULL THEN
    UPDATE pg_temp.o2c_m_since t SET taken = t.taken + n.taken FROM pg_temp.o2c_m_news n WHERE n.item_id = t.item_id;
    INSERT INTO pg_temp.o2c_m_since
    SELECT n.item_id, n.taken FROM pg_temp.o2c_m_news n
    WHERE NOT EXISTS (SELECT FROM pg_temp.o2c_m_since t WHERE t.item_id = n.item_id);
    ANALYZE pg_temp.o2c_m_since;
  END IF;
  DROP TABLE pg_temp.o2c_m_news;
  ALTER TABLE pg_temp.o2c_m_todo RENAME TO o2c_m_before;
  CREATE TEMPORARY TABLE o2c_m_todo ON COMMIT DROP AS
  SELECT b.* FROM pg_temp.o2c_m_before b WHERE NOT EXISTS (SELECT FROM pg_temp.o2c_m_ok o WHERE o.line_id = b.line_id);
  DROP TABLE pg_temp.o2c_m_before;
  ANALYZE pg_temp.o2c_m_todo;
  RETURN n;
END $$;
COMMENT ON FUNCTION o2c._match_decide() IS
  'Stage of match_cash: sure answers that together claim no item beyond its open amount become decisions; returns how many.';

CREATE FUNCTION o2c._match_look(round integer) RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
SET client_min_messages = warning
AS $$
BEGIN
  DROP TABLE IF EXISTS pg_temp.o2c_m_look;
  IF round <= 3 THEN
    CREATE TEMPORARY TABLE o2c_m_look ON COMMIT DROP AS SELECT t.line_id, t.page FROM pg_temp.o2c_m_todo t;
  ELSE
    CREATE TEMPORARY TABLE o2c_m_look ON COMMIT DROP AS
    WITH news AS MATERIALIZED (
      SELECT DISTINCT k.item_id FROM pg_temp.o2c_m_claim k JOIN pg_temp.o2c_m_ok o ON o.line_id = k.line_id)
    SELECT t.line_id, t.page FROM pg_temp.o2c_m_todo t
    WHERE t.line_id IN (SELECT c.line_id FROM pg_temp.o2c_m_cand c JOIN news n ON n.item_id = c.item_id)
       OR t.page IN (SELECT b.page FROM pg_temp.o2c_m_book b JOIN news n ON n.item_id = b.item_id);
  END IF;
  GET DIAGNOSTICS round = ROW_COUNT;
  ANALYZE pg_temp.o2c_m_look;
  RETURN round > 0;
END $$;
COMMENT ON FUNCTION o2c._match_look(integer) IS
  'Stage of match_cash: the lines of a round: in the first three all that are undecided, then those that lost a candidate; false when there is none.';

CREATE FUNCTION o2c._match_post(company integer) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
SET client_min_messages = warning
AS $$
DECLARE
  posted bigint;
  retried bigint[];
BEGIN
  -- what somebody else applied since we read it is not ours to apply: lock, look again
  PERFORM i.id FROM o2c.open_item i
  WHERE i.company_id = company AND i.id IN (SELECT k.item_id FROM pg_temp.o2c_m_taken k)
  ORDER BY i.id FOR NO KEY UPDATE;
  TRUNCATE pg_temp.o2c_m_ok;
  INSERT INTO pg_temp.o2c_m_ok
  SELECT DISTINCT c.line_id
  FROM pg_temp.o2c_m_claim c JOIN pg_temp.o2c_m_line l ON l.id = c.line_id
  JOIN pg_temp.o2c_m_factor f ON f.minor = l.minor
  JOIN pg_temp.o2c_m_taken k ON k.item_id = c.item_id
  JOIN o2c.open_item i ON i.company_id = company AND i.id = c.item_id
  WHERE pg_catalog.abs(k.taken) > pg_catalog.abs(i.open_amount * f.factor);
  IF FOUND THEN
    DELETE FROM pg_temp.o2c_m_claim c USING pg_temp.o2c_m_ok o WHERE o.line_id = c.line_id;
  END IF;

  -- each line is a payment with its credit item, understood or not; one that is used up
  -- is inserted as it remains, and its receipt posted with its allocations
  CREATE TEMPORARY TABLE o2c_m_pay ON COMMIT DROP AS
  SELECT l.id AS line_id, t.line_id IS NOT NULL AS done, l.currency, l.amount, l.booking_date, l.value_date, f.factor, f.unit,
    coalesce(l.payment_id, pg_catalog.nextval('o2c.payment_id_seq')) AS payment_id, l.payment_id IS NULL AS is_new,
    coalesce(l.item_id, pg_catalog.nextval('o2c.open_item_id_seq')) AS item_id,
    CASE WHEN t.line_id IS NOT NULL THEN a.customer_id WHEN w.payer >= 3 THEN w.payer_customer END AS customer_id,
    l.end_to_end_id, coalesce(t.cash, 0) AS cash, w.payer
  FROM pg_temp.o2c_m_line l
  JOIN pg_temp.o2c_m_factor f ON f.minor = l.minor
  JOIN pg_temp.o2c_m_who w ON w.line_id = l.id
  LEFT JOIN pg_temp.o2c_m_answer a ON a.line_id = l.id AND a.option = 1
  LEFT JOIN (SELECT c.line_id, pg_catalog.sum(c.cash) AS cash FROM pg_temp.o2c_m_claim c GROUP BY 1) t ON t.line_id = l.id
  ORDER BY l.id;
  ANALYZE pg_temp.o2c_m_pay, pg_temp.o2c_m_claim;
  INSERT INTO o2c.open_item (company_id, id, customer_id, kind, number, document_date, due_date, currency, amount, open_amount)
  SELECT company, p.item_id, p.customer_id,
    CASE WHEN p.customer_id IS NULL THEN 'unidentified' ELSE 'on_account' END::o2c.item_kind,
    'PAY-' || p.payment_id, p.booking_date, p.booking_date, p.currency, - p.amount,
    CASE WHEN p.done AND p.cash = p.amount * p.factor THEN 0 * p.amount ELSE - p.amount END
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
  SELECT company, p.payment_id, CASE WHEN p.done AND p.cash = p.amount * p.factor THEN 'applied' ELSE 'received' END::o2c.payment_state,
    p.customer_id, p.amount, p.currency, p.booking_date, p.value_date, 'transfer', p.end_to_end_id, p.line_id, p.item_id
  FROM pg_temp.o2c_m_pay p WHERE p.is_new;
  UPDATE o2c.bank_line b SET state = 'matched', payment_id = p.payment_id
  FROM pg_temp.o2c_m_pay p WHERE p.is_new AND b.company_id = company AND b.id = p.line_id;
  PERFORM o2c._match_settle(company);

  -- proposals of earlier runs give way to new ones
  SELECT pg_catalog.array_agg(p.payment_id) INTO retried FROM pg_temp.o2c_m_pay p WHERE NOT p.is_new;
  IF retried IS NOT NULL THEN
    UPDATE o2c.match_proposal m SET state = 'superseded', decided_at = pg_catalog.now()
    WHERE m.company_id = company AND m.payment_id = ANY (retried) AND m.state = 'suggested';
  END IF;
  INSERT INTO o2c.match_proposal (company_id, payment_id, bank_line_id, option, state, rule, confidence, item_ids,
    amounts, settled, settle_kind, explanation)
  SELECT company, p.payment_id, p.line_id, a.option, CASE WHEN p.done THEN 'auto' ELSE 'suggested' END::o2c.match_state,
    a.rule, least(a.confidence, 1)::numeric(6, 5), a.item_ids,
    CASE pg_catalog.cardinality(a.cash) WHEN 1 THEN ARRAY[a.cash[1] * p.unit]
      ELSE ARRAY(SELECT u.x * p.unit FROM pg_catalog.unnest(a.cash) WITH ORDINALITY u(x, n) ORDER BY u.n) END,
    CASE pg_catalog.cardinality(a.settle) WHEN 1 THEN ARRAY[a.settle[1] * p.unit]
      ELSE ARRAY(SELECT u.x * p.unit FROM pg_catalog.unnest(a.settle) WITH ORDINALITY u(x, n) ORDER BY u.n) END,
    nullif(a.settle_kind, '')::o2c.entry_kind, a.explanation
  FROM pg_temp.o2c_m_answer a JOIN pg_temp.o2c_m_pay p ON p.line_id = a.line_id
  WHERE CASE WHEN p.done THEN a.option = 1 ELSE pg_catalog.cardinality(a.item_ids) > 0 END
    AND NOT EXISTS (SELECT FROM pg_temp.o2c_m_rejected x WHERE x.line_id = a.line_id AND x.item_ids = a.item_ids);
  -- who paid what he cited is learned as a payer
  PERFORM o2c._learn_payers(company, pg_catalog.array_agg(p.payment_id), 1)
  FROM pg_temp.o2c_m_pay p
  JOIN pg_temp.o2c_m_answer a ON a.line_id = p.line_id AND a.option = 1
  WHERE p.done AND p.payer < 3 AND a.tier <= 2 HAVING pg_catalog.count(*) > 0;
  posted := (SELECT pg_catalog.count(*) FROM pg_temp.o2c_m_pay p WHERE p.done);
  RETURN posted;
END $$;
COMMENT ON FUNCTION o2c._match_post(integer) IS
  'Last stage of match_cash: payments, credit items, allocations, settlements and proposals, each in one statement; returns how many lines were applied.';

CREATE FUNCTION o2c._match_returns(company integer, up_to date) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
DECLARE
  n bigint;
BEGIN
  -- money that the bank took back: the payment of that amount that the line names, when it is one
  WITH back AS (
    SELECT b.id, b.booking_date, b.return_reason, pg_catalog.min(p.id) AS payment_id
    FROM o2c.bank_line b
    JOIN o2c.payment p ON p.company_id = company AND p.amount = - b.amount AND p.currency = b.currency
      AND p.state <> 'returned' AND p.received_on <= b.booking_date
    LEFT JOIN o2c.bank_line o ON o.company_id = company AND o.id = p.bank_line_id
    WHERE b.company_id = company AND b.state = 'open' AND b.amount < 0 AND b.return_reason IS NOT NULL
      AND (up_to IS NULL OR b.booking_date <= up_to)
      AND (b.end_to_end_id = coalesce(o.end_to_end_id, p.reference)
        OR (coalesce(b.end_to_end_id, 'NOTPROVIDED') = 'NOTPROVIDED'
            AND o2c._account_key(coalesce(b.payer_iban, b.payer_account)) = o2c._account_key(coalesce(o.payer_iban, o.payer_account))))
    GROUP BY 1, 2, 3 HAVING pg_catalog.count(*) = 1),
  once AS (
    SELECT DISTINCT ON (k.payment_id) k.* FROM back k ORDER BY k.payment_id, k.booking_date, k.id),
  done AS (
    SELECT k.id, k.payment_id, o2c.return_payment(company, k.payment_id, k.return_reason, k.booking_date) AS undone FROM once k)
  UPDATE o2c.bank_line b SET state = 'matched', payment_id = d.payment_id
  FROM done d WHERE b.company_id = company AND b.id = d.id;
  GET DIAGNOSTICS n = ROW_COUNT;
  RETURN n;
END $$;
COMMENT ON FUNCTION o2c._match_returns(integer, date) IS
  'Stage of match_cash: returned payments (lines with money out and a return reason) by end-to-end id or account, when exactly one fits; returns how many.';

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
BEGIN
  PERFORM o2c._require_company($1);
  lines := 0;
  auto_lines := 0;
  suggested_lines := 0;
  unmatched_lines := 0;
  auto_amount := 0;
  -- one run a company at a time
  PERFORM pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext('order2cash.match_cash'), $1);
  SELECT coalesce((SELECT i.id FROM o2c.open_item i WHERE i.company_id = $1 ORDER BY i.id DESC LIMIT 1), 0) AS item_id,
    coalesce((SELECT e.id FROM o2c.ledger_entry e WHERE e.company_id = $1 ORDER BY e.id DESC LIMIT 1), 0) AS entry_id,
    (SELECT a.updated_at FROM o2c.payer_alias a WHERE a.company_id = $1 ORDER BY a.updated_at DESC LIMIT 1) AS alias_at
    INTO mark;
  -- in the order of the index on open lines: statistics may still say that all are open, and then EXISTS would read the whole table
  IF (SELECT b.id FROM o2c.bank_line b WHERE b.company_id = $1 AND b.state = 'open'
        AND (b.amount > 0) = (b.return_reason IS NULL) AND b.amount < 1e14 AND ($2 IS NULL OR b.booking_date <= $2)
      ORDER BY b.booking_date, b.id LIMIT 1) IS NULL
     AND EXISTS (SELECT FROM o2c.match_watermark w WHERE w.company_id = $1
                   AND w.item_id = mark.item_id AND w.entry_id = mark.entry_id
                   AND w.alias_at IS NOT DISTINCT FROM mark.alias_at) THEN
    RETURN;
  END IF;
  PERFORM o2c._match_returns($1, $2);
  lines := o2c._match_lines($1, $2);
  IF lines > 0 THEN
    -- many lines are joined with whole tables, whatever is known of these
    PERFORM pg_catalog.set_config('enable_nestloop', (lines < 1000)::text, true),
      pg_catalog.set_config('enable_mergejoin', (lines < 1000)::text, true);
    PERFORM o2c._match_payers($1);
    PERFORM o2c._match_candidates($1);
    CREATE TEMPORARY TABLE o2c_m_todo ON COMMIT DROP AS SELECT w.line_id, 0::bigint AS page FROM pg_temp.o2c_m_who w;
    CREATE TEMPORARY TABLE o2c_m_ok (line_id bigint NOT NULL) ON COMMIT DROP;
    CREATE TEMPORARY TABLE o2c_m_claim (line_id bigint NOT NULL, item_id bigint NOT NULL, cash bigint NOT NULL,
      settle bigint NOT NULL, settle_kind text NOT NULL) ON COMMIT DROP;
    CREATE TEMPORARY TABLE o2c_m_taken (item_id bigint NOT NULL, taken bigint NOT NULL) ON COMMIT DROP;
    ANALYZE pg_temp.o2c_m_todo;
    -- each round knows what the decisions of the rounds before leave open; the
    -- second brings the payers' other items, the third what is left for them
    FOR round IN 1..8 LOOP
      IF round = 2 THEN
        PERFORM o2c._match_books($1);
      END IF;
      EXIT WHEN NOT o2c._match_look(round) AND round > 2;
      PERFORM o2c._match_weigh($1, round);
      EXIT WHEN o2c._match_decide() = 0 AND round > 2;
    END LOOP;
    INSERT INTO pg_temp.o2c_m_first SELECT a.* FROM pg_temp.o2c_m_answer a;
    DROP TABLE pg_temp.o2c_m_answer;
    ALTER TABLE pg_temp.o2c_m_first RENAME TO o2c_m_answer;
    ANALYZE pg_temp.o2c_m_answer (line_id, option, sure, allowed);
    PERFORM pg_catalog.set_config('enable_nestloop', 'on', true), pg_catalog.set_config('enable_mergejoin', 'on', true);
    auto_lines := o2c._match_post($1);
    SELECT pg_catalog.count(DISTINCT a.line_id) INTO suggested_lines
    FROM pg_temp.o2c_m_answer a JOIN pg_temp.o2c_m_pay p ON p.line_id = a.line_id
    WHERE NOT p.done AND pg_catalog.cardinality(a.item_ids) > 0;
    unmatched_lines := lines - auto_lines - suggested_lines;
    SELECT coalesce(pg_catalog.sum(p.cash * p.unit), 0) INTO auto_amount FROM pg_temp.o2c_m_pay p WHERE p.done;
    DROP TABLE pg_temp.o2c_m_pay;
  END IF;
  INSERT INTO o2c.match_watermark AS w (company_id, item_id, entry_id, alias_at)
  VALUES ($1, coalesce((SELECT i.id FROM o2c.open_item i WHERE i.company_id = $1 ORDER BY i.id DESC LIMIT 1), 0),
          coalesce((SELECT e.id FROM o2c.ledger_entry e WHERE e.company_id = $1 ORDER BY e.id DESC LIMIT 1), 0),
          (SELECT a.updated_at FROM o2c.payer_alias a WHERE a.company_id = $1 ORDER BY a.updated_at DESC LIMIT 1))
  ON CONFLICT (company_id) DO UPDATE SET item_id = EXCLUDED.item_id, entry_id = EXCLUDED.entry_id,
    alias_at = EXCLUDED.alias_at, matched_at = pg_catalog.now();
END $$;
COMMENT ON FUNCTION o2c.match_cash(integer, date) IS
  'Make payments of all open bank lines (up to a booking date) and apply those that are certain; the rest become proposals or stay on account or unidentified. Payments on which nothing is applied are looked at again when something is new. One run a company at a time. Errors: O2002.';
