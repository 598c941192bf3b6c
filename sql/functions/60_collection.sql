-- Collection: policies, blocks, promises and what collectors note.

CREATE FUNCTION o2c._promise_guard() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'o2c_promise_guard';
COMMENT ON FUNCTION o2c._promise_guard() IS
  'Row trigger: refuses (O2030) a state of a promise that the ledger does not give.';

CREATE FUNCTION o2c._dunning_level_order() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'o2c_dunning_level_order';
COMMENT ON FUNCTION o2c._dunning_level_order() IS
  'Constraint trigger: refuses (O2033) levels with a gap or that do not apply later the higher they are.';

CREATE FUNCTION o2c.set_dunning_policy(company_id integer, code text, levels jsonb, name text DEFAULT NULL,
  options jsonb DEFAULT '{}')
RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  home o2c.currency;
  unknown text;
  result bigint;
BEGIN
  PERFORM o2c._require_company($1);
  home := (SELECT c.currency FROM o2c.company c WHERE c.company_id = $1);
  IF pg_catalog.jsonb_typeof($3) IS DISTINCT FROM 'array' OR $3 = '[]'
     OR EXISTS (SELECT FROM pg_catalog.jsonb_array_elements($3) l WHERE pg_catalog.jsonb_typeof(l) <> 'object') THEN
    RAISE EXCEPTION USING ERRCODE = 'O2004', MESSAGE = 'levels must be a JSON array of objects',
      HINT = '[{"level": 1, "days": 7, "template": "dunning_1"}] is the least.';
  END IF;
  IF EXISTS (SELECT FROM pg_catalog.jsonb_array_elements($3) l WHERE l ->> 'level' IS NULL OR l ->> 'days' IS NULL) THEN
    RAISE EXCEPTION USING ERRCODE = 'O2004', MESSAGE = 'every level needs its number and its days',
      HINT = '[{"level": 1, "days": 7, "template": "dunning_1"}] is the least.';
  END IF;
  SELECT k INTO unknown FROM pg_catalog.jsonb_array_elements($3) l, pg_catalog.jsonb_object_keys(l) k
  WHERE k NOT IN ('level', 'days', 'interval_days', 'repeat_days', 'currency', 'minimum_amount', 'fee_amount',
                  'fee_basis', 'charge_interest', 'channels', 'template', 'pay_within_days', 'escalation')
  UNION ALL
  SELECT k FROM pg_catalog.jsonb_object_keys(coalesce($5, '{}')) k
  WHERE k NOT IN ('is_default', 'customer_group', 'grouping', 'grace_days', 'promise_grace_days', 'business_days_only',
                  'roll_due_dates', 'with_statement', 'interest_margin', 'rate_code', 'active')
  LIMIT 1;
  IF unknown IS NOT NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'O2004', MESSAGE = pg_catalog.format('a dunning policy has no setting "%s"', unknown),
      HINT = 'docs/reference/collection.md lists the settings of policies and levels.';
  END IF;

  -- what could never be sent is refused here, not found out by a run
  SELECT c.name INTO unknown
  FROM pg_catalog.jsonb_to_recordset($3) l(channels text[]) CROSS JOIN LATERAL pg_catalog.unnest(l.channels) c(name)
  WHERE c.name NOT IN ('email', 'sms', 'post', 'webhook')
    AND NOT EXISTS (SELECT FROM o2c.channel h WHERE h.company_id = $1 AND h.code = c.name)
  LIMIT 1;
  IF unknown IS NOT NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'O2003', MESSAGE = pg_catalog.format('there is no channel "%s"', unknown),
      HINT = 'Name a kind (email, sms, post, webhook) or the code of a row of o2c.channel.';
  END IF;
  SELECT l.template INTO unknown
  FROM pg_catalog.jsonb_to_recordset($3) l(template text)
  WHERE l.template IS NOT NULL
    AND NOT EXISTS (SELECT FROM o2c.template t WHERE t.company_id = $1 AND t.kind = l.template AND t.active)
    AND NOT EXISTS (SELECT FROM o2c.builtin_template b WHERE b.kind = l.template)
  LIMIT 1;
  IF unknown IS NOT NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'O2070', MESSAGE = pg_catalog.format('there is no template "%s"', unknown),
      HINT = 'Save it with o2c.save_template() first; o2c.template_kind lists the built-in ones.';
  END IF;
  -- two that both would be the default come one after the other
  PERFORM pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('order2cash.dunning_policy ' || $1, 0));
  IF ($5 ->> 'is_default')::boolean THEN
    UPDATE o2c.dunning_policy p SET is_default = false
    WHERE p.company_id = $1 AND p.is_default AND p.code <> $2;
  END IF;
  INSERT INTO o2c.dunning_policy AS p (company_id, code, name, is_default, customer_group, grouping, grace_days,
    promise_grace_days, business_days_only, roll_due_dates, with_statement, interest_margin, rate_code, active)
  SELECT $1, $2, coalesce($4, ''), coalesce(o.is_default, false), o.customer_group, coalesce(o.grouping, 'customer'),
         coalesce(o.grace_days, 0), coalesce(o.promise_grace_days, 3), coalesce(o.business_days_only, false),
         coalesce(o.roll_due_dates, false), coalesce(o.with_statement, false), coalesce(o.interest_margin, 8),
         coalesce(o.rate_code, 'ECB'), coalesce(o.active, true)
  FROM pg_catalog.jsonb_to_record(coalesce($5, '{}')) o(is_default boolean, customer_group text, grouping text,
    grace_days integer, promise_grace_days integer, business_days_only boolean, roll_due_dates boolean,
    with_statement boolean, interest_margin numeric, rate_code text, active boolean)
  ON CONFLICT (company_id, code) DO UPDATE SET name = coalesce($4, p.name),
    is_default = CASE WHEN $5 ? 'is_default' THEN EXCLUDED.is_default ELSE p.is_default END,
    customer_group = CASE WHEN $5 ? 'customer_group' THEN EXCLUDED.customer_group ELSE p.customer_group END,
    grouping = EXCLUDED.grouping, grace_days = EXCLUDED.grace_days,
    promise_grace_days = EXCLUDED.promise_grace_days, business_days_only = EXCLUDED.business_days_only,
    roll_due_dates = EXCLUDED.roll_due_dates, with_statement = EXCLUDED.with_statement,
    interest_margin = EXCLUDED.interest_margin, rate_code = EXCLUDED.rate_code, active = EXCLUDED.active
  RETURNING p.id INTO result;

  DELETE FROM o2c.dunning_level l WHERE l.company_id = $1 AND l.policy_id = result;
  INSERT INTO o2c.dunning_level (company_id, policy_id, level, days, interval_days, repeat_days, currency,
    minimum_amount, fee_amount, fee_basis, charge_interest, channels, template, pay_within_days, escalation)
  SELECT $1, result, l.level, l.days, coalesce(l.interval_days, 7), l.repeat_days, coalesce(l.currency::o2c.currency, home),
         coalesce(l.minimum_amount, 0), coalesce(l.fee_amount, 0), coalesce(l.fee_basis, 'notice'),
         coalesce(l.charge_interest, false), coalesce(l.channels, '{email,post,sms}'),
         coalesce(l.template, CASE WHEN l.level = 0 THEN 'dunning_friendly' ELSE 'dunning_' || least(l.level, 3) END),
         coalesce(l.pay_within_days, 10), l.escalation
  FROM pg_catalog.jsonb_to_recordset($3) l(level smallint, days integer, interval_days integer, repeat_days integer,
    currency text, minimum_amount numeric, fee_amount numeric, fee_basis text, charge_interest boolean,
    channels text[], template text, pay_within_days integer, escalation text);
  RETURN result;
END $$;
COMMENT ON FUNCTION o2c.set_dunning_policy(integer, text, jsonb, text, jsonb) IS
  'Create or replace a dunning policy by its code; levels and options are objects with the columns of o2c.dunning_level and o2c.dunning_policy. Returns its id. Errors: O2002, O2003 (channel), O2004 (unknown setting), O2033 (levels out of order), O2070 (template).';

CREATE FUNCTION o2c._seed_company_collection(company_id integer)
RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  SELECT o2c.set_dunning_policy($1, 'standard', '[
    {"level": 1, "days": 1},
    {"level": 2, "days": 15},
    {"level": 3, "days": 30, "escalation": "task"}]', 'Three reminders', '{"is_default": true}')
$$;
COMMENT ON FUNCTION o2c._seed_company_collection(integer) IS 'The dunning policy that a new company starts with.';

CREATE FUNCTION o2c.assign_dunning_policy(company_id integer, customer_code text, policy_code text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  who bigint := o2c._customer_id($1, $2);
  policy bigint;
BEGIN
  IF $3 IS NULL THEN
    DELETE FROM o2c.dunning_assignment a WHERE a.company_id = $1 AND a.customer_id = who;
    RETURN;
  END IF;
  SELECT p.id INTO policy FROM o2c.dunning_policy p WHERE p.company_id = $1 AND p.code = $3;
  IF policy IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'O2003', MESSAGE = pg_catalog.format('there is no dunning policy "%s"', $3),
      HINT = 'Create it with o2c.set_dunning_policy().';
  END IF;
  INSERT INTO o2c.dunning_assignment (company_id, customer_id, policy_id) VALUES ($1, who, policy)
  ON CONFLICT (company_id, customer_id) DO UPDATE SET policy_id = EXCLUDED.policy_id;
END $$;
COMMENT ON FUNCTION o2c.assign_dunning_policy(integer, text, text) IS
  'Give a customer a policy of its own; NULL takes it back. Errors: O2002, O2003.';

-- One instalment of a document by its number: the first that is open, or the
-- first there is.
CREATE FUNCTION o2c._debit_item(company_id integer, number text, least_open numeric DEFAULT 0, of_customer bigint DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  result bigint;
BEGIN
  SELECT i.id INTO result FROM o2c.open_item i
  WHERE i.company_id = $1 AND i.number = $2 AND i.amount > 0
    AND (i.kind NOT IN ('on_account', 'unidentified') OR NOT i.number ^@ 'PAY-') -- payments, which open_item_number_key leaves out
  ORDER BY (i.open_amount - i.disputed_amount >= $3 AND i.open_amount > 0) DESC, i.due_date, i.instalment, i.id
  LIMIT 1;
  IF result IS NULL THEN
    PERFORM o2c._require_company($1);
    RAISE EXCEPTION USING ERRCODE = 'O2003',
      MESSAGE = pg_catalog.format('there is no item to be paid with number "%s"', coalesce($2, 'NULL'));
  END IF;
  IF $4 IS NOT NULL AND NOT EXISTS (SELECT FROM o2c.open_item i WHERE i.company_id = $1 AND i.id = result AND i.customer_id = $4) THEN
    RAISE EXCEPTION USING ERRCODE = 'O2003',
      MESSAGE = pg_catalog.format('item "%s" is not of customer "%s"', $2,
        (SELECT c.code FROM o2c.customer c WHERE c.company_id = $1 AND c.id = $4));
  END IF;
  RETURN result;
END $$;
COMMENT ON FUNCTION o2c._debit_item(integer, text, numeric, bigint) IS
  'Id of the item with that number, of that customer when one is given; of several instalments the first with at least so much open and undisputed. Errors: O2002, O2003.';

CREATE FUNCTION o2c.block_dunning(company_id integer, customer_code text, reason text,
  valid_to date DEFAULT NULL, number text DEFAULT NULL, valid_from date DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  who bigint := o2c._customer_id($1, $2);
  item bigint;
  begins date := coalesce($6, least(o2c.today($1), $4));
  result bigint;
BEGIN
  IF coalesce($3, '') = '' THEN
    RAISE EXCEPTION USING ERRCODE = 'O2004', MESSAGE = 'a block of reminders needs a reason';
  END IF;
  PERFORM o2c._require_era($4, 'to end a block of reminders on'), o2c._require_era($6, 'to begin a block of reminders on');
  IF $5 IS NOT NULL THEN
    item := o2c._debit_item($1, $5, of_customer => who);
  END IF;
  -- the same twice at once: the second finds the first
  PERFORM o2c._once($1, 'block of reminders', who::text, 'SELECT pg_catalog.max(b.id) FROM o2c.dunning_block b WHERE b.company_id = $1 AND b.customer_id = $2::bigint');
  SELECT b.id INTO result FROM o2c.dunning_block b
  WHERE b.company_id = $1 AND b.customer_id = who AND b.item_id IS NOT DISTINCT FROM item
    AND b.valid_to IS NOT DISTINCT FROM $4 AND b.reason = $3 AND b.lifted_at IS NULL AND b.valid_from <= begins;
  IF result IS NULL THEN
    INSERT INTO o2c.dunning_block (company_id, customer_id, item_id, valid_from, valid_to, reason)
    VALUES ($1, who, item, begins, $4, $3) RETURNING id INTO result;
  END IF;
  RETURN result;
END $$;
COMMENT ON FUNCTION o2c.block_dunning(integer, text, text, date, text, date) IS
  'No reminders for a customer, or for one item, from valid_from (default today) to valid_to (NULL: until lifted). Returns the block''s id. Errors: O2002, O2003, O2004, O2044.';

CREATE FUNCTION o2c.unblock_dunning(company_id integer, block_id bigint)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  UPDATE o2c.dunning_block b SET lifted_at = coalesce(b.lifted_at, pg_catalog.now()), lifted_by = coalesce(b.lifted_by, current_user)
  WHERE b.company_id = $1 AND b.id = $2;
  IF NOT FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'O2003', MESSAGE = pg_catalog.format('there is no dunning block %s', $2);
  END IF;
END $$;
COMMENT ON FUNCTION o2c.unblock_dunning(integer, bigint) IS 'Lift a block of reminders from now on; who lifted it is kept. Again: nothing. Errors: O2003.';

-- Promises

CREATE FUNCTION o2c.promise_to_pay(company_id integer, customer_code text, amount numeric, promised_on date,
  number text DEFAULT NULL, currency text DEFAULT NULL, given_on date DEFAULT NULL, note text DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  who bigint := o2c._customer_id($1, $2);
  item record;
  money o2c.currency;
  begins date := coalesce($7, least(o2c.today($1), $4));
  grace integer;
  result bigint;
BEGIN
  IF $4 IS NULL OR NOT pg_catalog.isfinite($4) THEN
    RAISE EXCEPTION USING ERRCODE = 'O2044', MESSAGE = 'a promise needs the date by which the customer pays';
  END IF;
  IF $4 < begins THEN
    RAISE EXCEPTION USING ERRCODE = 'O2044',
      MESSAGE = pg_catalog.format('promised date %s is before the promise was given (%s)', $4, begins);
  END IF;
  IF $5 IS NOT NULL THEN
    result := o2c._debit_item($1, $5, of_customer => who);
    SELECT i.id, i.currency INTO item FROM o2c.open_item i WHERE i.company_id = $1 AND i.id = result;
  ELSE
    SELECT NULL::bigint AS id, NULL::o2c.currency AS currency INTO item;
  END IF;
  money := coalesce($6::o2c.currency, item.currency,
                    (SELECT c.currency FROM o2c.customer c WHERE c.company_id = $1 AND c.id = who));
  IF $3 IS NULL OR $3 <= 0 OR NOT o2c.is_amount($3, money) THEN
    RAISE EXCEPTION USING ERRCODE = 'O2043',
      MESSAGE = pg_catalog.format('"%s" is not an amount in %s that can be promised', $3, money),
      HINT = 'Give a positive amount with no more decimals than the currency has.';
  END IF;
  -- the same twice at once: the second finds the first
  PERFORM o2c._once($1, 'promise', who::text, 'SELECT pg_catalog.max(p.id) FROM o2c.promise p WHERE p.company_id = $1 AND p.customer_id = $2::bigint');
  SELECT p.id INTO result FROM o2c.promise p
  WHERE p.company_id = $1 AND p.customer_id = who AND p.item_id IS NOT DISTINCT FROM item.id
    AND p.currency = money AND p.amount = $3 AND p.promised_on = $4 AND p.state = 'open';
  IF result IS NOT NULL THEN
    RETURN result;
  END IF;
  grace := coalesce((SELECT p.promise_grace_days FROM o2c.dunning_policy p
                     WHERE p.company_id = $1 AND p.id = o2c._dunning_policy_of($1, who)), 3);
  INSERT INTO o2c.promise (company_id, customer_id, item_id, currency, amount, given_on, promised_on, grace_days, note)
  VALUES ($1, who, item.id, money, $3, begins, $4, grace, $8)
  RETURNING id INTO result;
  RETURN result;
END $$;
COMMENT ON FUNCTION o2c.promise_to_pay(integer, text, numeric, date, text, text, date, text) IS
  'Record that a customer promised to pay by a date, on the account or for one item (number); reminders wait for it. Returns its id; the same open promise again: the same id. Errors: O2002, O2003, O2043, O2044.';

CREATE FUNCTION o2c._dunning_policy_of(company_id integer, customer_id bigint)
RETURNS bigint
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  SELECT p.id FROM o2c.customer c
  JOIN o2c.dunning_policy p ON p.company_id = c.company_id
  LEFT JOIN o2c.dunning_assignment a ON a.company_id = c.company_id AND a.customer_id = c.id
  WHERE c.company_id = $1 AND c.id = $2 AND (p.id = a.policy_id OR p.customer_group = c.customer_group OR p.is_default)
  ORDER BY p.id IS NOT DISTINCT FROM a.policy_id DESC, p.customer_group IS NOT DISTINCT FROM c.customer_group DESC
  LIMIT 1
$$;
COMMENT ON FUNCTION o2c._dunning_policy_of(integer, bigint) IS
  'Id of the policy of a customer: its own, its group''s or the default; NULL when there is none.';

CREATE FUNCTION o2c._promise_outcomes(company_id integer, as_of date, promise_ids bigint[] DEFAULT NULL)
RETURNS TABLE (promise_id bigint, state text)
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  WITH p AS (
    SELECT p.*, p.promised_on + p.grace_days AS until FROM o2c.promise p
    WHERE p.company_id = $1 AND ($3 IS NULL OR p.id = ANY ($3))
  ), received AS (
    -- on the account: receipts of the time, those too that were found to be
    -- the customer's later, less what of them was returned
    SELECT p.id, -pg_catalog.sum(e.amount) AS amount
    FROM p
    JOIN o2c.ledger_entry r ON r.company_id = $1 AND r.customer_id = p.customer_id AND r.currency = p.currency
      AND r.kind IN ('receipt', 'transfer') AND r.amount < 0 AND r.effective_on BETWEEN p.given_on AND least(p.until, $2)
    JOIN o2c.ledger_entry e ON e.company_id = $1 AND e.item_id = r.item_id
      AND (e.id = r.id OR e.kind = 'return') AND e.effective_on <= $2
    WHERE p.item_id IS NULL
    GROUP BY p.id
    UNION ALL
    -- for one item: what settled it in the time, less what undid that
    SELECT p.id, -pg_catalog.sum(e.amount)
    FROM p
    JOIN o2c.ledger_entry e ON e.company_id = $1 AND e.item_id = p.item_id
      AND e.effective_on BETWEEN p.given_on AND $2
      AND e.kind NOT IN ('opening', 'invoice', 'fee', 'interest', 'charge')
      AND (e.effective_on <= p.until OR e.amount > 0)
    WHERE p.item_id IS NOT NULL
    GROUP BY p.id
  ), earlier AS (
    -- what another promise of the same time takes first is not counted twice
    SELECT p.id, pg_catalog.sum(q.amount) AS amount
    FROM p
    JOIN o2c.promise q ON q.company_id = $1 AND q.customer_id = p.customer_id AND q.currency = p.currency
      AND q.item_id IS NOT DISTINCT FROM p.item_id AND q.state <> 'broken'
      AND (q.promised_on, q.id) < (p.promised_on, p.id)
      AND q.promised_on + q.grace_days >= p.given_on AND q.given_on <= p.until
    GROUP BY p.id
  )
  SELECT p.id, CASE WHEN coalesce(r.amount, 0) - coalesce(e.amount, 0) >= p.amount THEN 'kept'
                    WHEN p.until < $2 THEN 'broken' ELSE 'open' END
  FROM p LEFT JOIN received r ON r.id = p.id LEFT JOIN earlier e ON e.id = p.id
$$;
COMMENT ON FUNCTION o2c._promise_outcomes(integer, date, bigint[]) IS
  'What the ledger says of promises on a day: open, kept or broken.';

CREATE FUNCTION o2c.settle_promises(company_id integer, as_of date DEFAULT NULL)
RETURNS TABLE (kept bigint, broken bigint, reopened bigint)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  day date := coalesce($2, o2c.today($1));
BEGIN
  PERFORM o2c._require_day(day);
  PERFORM o2c._lock_dunning($1);
  FOR try IN 1 .. 5 LOOP
    BEGIN
      -- a returned payment, or one that was found late, opens what was settled
      UPDATE o2c.promise p SET state = 'open', settled_on = NULL
      FROM o2c._promise_outcomes($1, 'infinity') o
      WHERE p.company_id = $1 AND p.id = o.promise_id AND p.state <> 'open' AND p.state::text <> o.state
        AND EXISTS (SELECT FROM o2c._promise_outcomes($1, greatest(day, p.settled_on), ARRAY[p.id]) n
                    WHERE n.state <> p.state::text);
      GET DIAGNOSTICS reopened = ROW_COUNT;
      WITH settled AS (
        UPDATE o2c.promise p SET state = o.state::o2c.promise_state, settled_on = day
        FROM o2c._promise_outcomes($1, day) o
        WHERE p.company_id = $1 AND p.id = o.promise_id AND p.state = 'open' AND o.state <> 'open'
        RETURNING o.state)
      SELECT pg_catalog.count(*) FILTER (WHERE s.state = 'kept'), pg_catalog.count(*) FILTER (WHERE s.state = 'broken')
      INTO kept, broken FROM settled s;
      EXIT;
    EXCEPTION WHEN SQLSTATE 'O2030' THEN
      -- money came in between: the ledger says otherwise by now
      IF try = 5 THEN
        RAISE;
      END IF;
    END;
  END LOOP;
  RETURN NEXT;
END $$;
COMMENT ON FUNCTION o2c.settle_promises(integer, date) IS
  'Derive from the ledger which promises were kept and which are broken on a day; again: zero. Errors: O2002.';

-- What collectors do

CREATE FUNCTION o2c.log_activity(company_id integer, customer_code text, kind text, subject text,
  note text DEFAULT NULL, due_on date DEFAULT NULL, number text DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  who bigint := o2c._customer_id($1, $2);
  result bigint;
BEGIN
  IF $3 IS NULL OR $3 NOT IN ('call', 'email', 'letter', 'visit', 'note', 'task') THEN
    RAISE EXCEPTION USING ERRCODE = 'O2004', MESSAGE = pg_catalog.format('unknown kind of activity "%s"', $3),
      HINT = 'Use call, email, letter, visit, note or task.';
  END IF;
  IF coalesce($4, '') = '' THEN
    RAISE EXCEPTION USING ERRCODE = 'O2004', MESSAGE = 'an activity needs a subject';
  END IF;
  PERFORM o2c._require_era($6, 'to do something on');
  -- without a due date it has been done; with one it is still to do
  INSERT INTO o2c.activity (company_id, customer_id, kind, subject, note, due_on, item_id, done_at, done_by)
  VALUES ($1, who, $3, $4, $5, $6, CASE WHEN $7 IS NOT NULL THEN o2c._debit_item($1, $7, of_customer => who) END,
          CASE WHEN $6 IS NULL THEN pg_catalog.now() END, CASE WHEN $6 IS NULL THEN current_user END)
  RETURNING id INTO result;
  RETURN result;
END $$;
COMMENT ON FUNCTION o2c.log_activity(integer, text, text, text, text, date, text) IS
  'Note what was done with a customer or, with due_on, what is to do. Returns its id. Errors: O2002, O2003, O2004, O2044.';

CREATE FUNCTION o2c.complete_activity(company_id integer, activity_id bigint, note text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  UPDATE o2c.activity a SET done_at = coalesce(a.done_at, pg_catalog.now()), done_by = coalesce(a.done_by, current_user),
    note = CASE WHEN $3 IS NULL OR $3 = a.note THEN a.note ELSE pg_catalog.concat_ws(E'\n', a.note, $3) END
  WHERE a.company_id = $1 AND a.id = $2;
  IF NOT FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'O2003', MESSAGE = pg_catalog.format('there is no activity %s', $2);
  END IF;
END $$;
COMMENT ON FUNCTION o2c.complete_activity(integer, bigint, text) IS 'Mark an activity as done, with a note that is added to it. Errors: O2003.';

CREATE FUNCTION o2c._check_collection(company_id integer)
RETURNS TABLE (invariant text, company_id integer, entity text, entity_id bigint, detail text)
LANGUAGE sql STABLE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  SELECT 'an item has no two notices of one level that count or are under way', x.company_id, 'open_item', x.item_id,
         pg_catalog.format('level %s, notices %s', x.level, x.notices)
  FROM (SELECT ni.company_id, ni.item_id, ni.level, pg_catalog.string_agg(ni.notice_id::text, ', ') AS notices
        FROM o2c.dunning_notice_item ni
        JOIN o2c.dunning_notice n ON n.company_id = ni.company_id AND n.id = ni.notice_id
        WHERE ($1 IS NULL OR ni.company_id = $1) AND ni.attempt > 1 AND n.state = 'pending'
        GROUP BY ni.company_id, ni.item_id, ni.level HAVING pg_catalog.count(*) > 1) x
  UNION ALL
  SELECT 'a notice has the items that it counts', n.company_id, 'dunning_notice', n.id,
         pg_catalog.format('%s counted, %s found', n.item_count, i.found)
  FROM o2c.dunning_notice n
  LEFT JOIN (SELECT ni.company_id, ni.notice_id, pg_catalog.count(*) AS found
             FROM o2c.dunning_notice_item ni WHERE $1 IS NULL OR ni.company_id = $1
             GROUP BY ni.company_id, ni.notice_id) i
    ON i.company_id = n.company_id AND i.notice_id = n.id
  WHERE ($1 IS NULL OR n.company_id = $1) AND i.found IS DISTINCT FROM n.item_count
  UNION ALL
  SELECT 'a charge is what its open item says', h.company_id, 'dunning_charge', h.id,
         pg_catalog.format('charge %s %s, item %s %s', h.amount, h.currency, i.amount, i.currency)
  FROM o2c.dunning_charge h
  JOIN o2c.open_item i ON i.company_id = h.company_id AND i.id = h.item_id
  WHERE ($1 IS NULL OR h.company_id = $1)
    AND (i.amount <> h.amount OR i.currency <> h.currency OR i.kind::text <> h.kind)
  UNION ALL
  SELECT 'no day of an item bears interest twice', h.company_id, 'dunning_charge', h.id,
         pg_catalog.format('overlaps charge %s', g.id)
  FROM o2c.dunning_charge h
  JOIN o2c.dunning_charge g ON g.company_id = h.company_id AND g.source_item_id = h.source_item_id AND g.id < h.id
    AND g.kind = 'interest' AND g.reversed_on IS NULL AND g.from_date <= h.to_date AND h.from_date <= g.to_date
  WHERE ($1 IS NULL OR h.company_id = $1) AND h.kind = 'interest' AND h.reversed_on IS NULL
$$;
COMMENT ON FUNCTION o2c._check_collection(integer) IS 'Violated invariants of collection.';
