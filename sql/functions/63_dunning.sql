-- Dunning: writing what the plan says, in a few statements for all customers.

CREATE FUNCTION o2c._lock_dunning(company integer) RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$ SELECT pg_catalog.pg_advisory_xact_lock('o2c.dunning_run'::pg_catalog.regclass::pg_catalog.oid::integer, company) $$;
COMMENT ON FUNCTION o2c._lock_dunning(integer) IS
  'One session at a time reminds for a company or settles its promises and notices; the second sees what the first wrote.';

CREATE FUNCTION o2c.settle_dunning(company_id integer, as_of date DEFAULT NULL)
RETURNS TABLE (accepted bigint, failed bigint, cancelled bigint)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
SET enable_nestloop = off
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  day date := coalesce($2, o2c.today($1));
BEGIN
  PERFORM o2c._require_day(day);
  PERFORM o2c._lock_dunning($1);
  WITH moved AS (
    UPDATE o2c.dunning_notice n SET state = s.state, accepted_on = s.accepted_on
    FROM o2c._notice_states($1) s
    WHERE n.company_id = $1 AND n.id = s.notice_id AND n.state <> s.state
    RETURNING n.state)
  SELECT pg_catalog.count(*) FILTER (WHERE m.state = 'accepted'), pg_catalog.count(*) FILTER (WHERE m.state = 'failed'),
         pg_catalog.count(*) FILTER (WHERE m.state = 'cancelled')
  INTO accepted, failed, cancelled FROM moved m;
  PERFORM o2c._reverse_charges($1, day);
  RETURN NEXT;
END $$;
COMMENT ON FUNCTION o2c.settle_dunning(integer, date) IS
  'Carry the outcome of messages to their notices, and take back what was charged with cancelled ones; again: zero. Errors: O2002.';

CREATE FUNCTION o2c.run_dunning(company_id integer, as_of date DEFAULT NULL)
RETURNS TABLE (notices bigint, items bigint, messages bigint)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
-- everything here is joined whole, on rows that no statistics know yet
SET enable_nestloop = off
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  day date := coalesce($2, o2c.today($1));
  run bigint;
BEGIN
  PERFORM o2c._require_dunning($1, day);
  PERFORM o2c._lock_dunning($1);
  PERFORM o2c.settle_promises($1, day);
  PERFORM o2c.settle_dunning($1, day);

  run := pg_catalog.nextval('o2c.dunning_run_id_seq');
  BEGIN
    WITH plan AS MATERIALIZED (
      SELECT p.* FROM o2c._dunning_plan($1, day) p WHERE p.reason IS NULL
    ), notice AS MATERIALIZED (
      SELECT p.group_no, pg_catalog.nextval('o2c.dunning_notice_id_seq') AS id, p.customer_id, p.policy_id,
             p.notice_level, p.channel, pg_catalog.count(*) AS items
      FROM plan p
      GROUP BY p.group_no, p.customer_id, p.policy_id, p.notice_level, p.channel
    ), run_row AS (
      INSERT INTO o2c.dunning_run (company_id, id, as_of, notices, items, messages)
      SELECT $1, run, day, pg_catalog.count(*), pg_catalog.sum(n.items), pg_catalog.count(n.channel)
      FROM notice n HAVING pg_catalog.count(*) > 0
    ), notice_rows AS (
      INSERT INTO o2c.dunning_notice (company_id, id, run_id, customer_id, policy_id, level, as_of, pay_by, item_count, channel)
      SELECT $1, n.id, run, n.customer_id, n.policy_id, n.notice_level, day, day + l.pay_within_days, n.items, n.channel
      FROM notice n
      JOIN o2c.dunning_level l ON l.company_id = $1 AND l.policy_id = n.policy_id AND l.level = n.notice_level
    )
    INSERT INTO o2c.dunning_notice_item (company_id, item_id, level, attempt, notice_id, days_overdue, currency, amount)
    SELECT $1, p.item_id, p.level, p.attempt, n.id, p.days_overdue, p.currency, p.amount
    FROM plan p JOIN notice n ON n.group_no = p.group_no;
  EXCEPTION WHEN unique_violation THEN
    -- above READ COMMITTED a run of the meantime is not seen
    RAISE EXCEPTION USING ERRCODE = '40001', MESSAGE = 'reminders of the same items were written at the same moment',
      HINT = 'Try the transaction again.';
  END;

  SELECT r.notices, r.items INTO notices, items FROM o2c.dunning_run r WHERE r.company_id = $1 AND r.id = run;
  IF notices IS NULL THEN
    notices := 0; items := 0; messages := 0;
    RETURN NEXT;
    RETURN;
  END IF;
  IF EXISTS (SELECT FROM o2c.dunning_level l WHERE l.company_id = $1 AND (l.fee_amount > 0 OR l.charge_interest)) THEN
    BEGIN
      PERFORM o2c._post_charges($1, run);
    EXCEPTION WHEN SQLSTATE 'O2031' THEN
      -- the day is closed: the reminders go out, without charges
      INSERT INTO o2c.event (company_id, entity, entity_id, event, reason, data)
      VALUES ($1, 'dunning_run', run, 'charges_skipped', SQLERRM, pg_catalog.jsonb_build_object('as_of', day));
      INSERT INTO o2c.activity (company_id, customer_id, kind, subject, notice_id, due_on)
      SELECT $1, n.customer_id, 'call', pg_catalog.format('fees and interest of notice %s were not charged: %s', n.id, SQLERRM), n.id, n.as_of
      FROM o2c.dunning_notice n
      JOIN o2c.dunning_level l ON l.company_id = $1 AND l.policy_id = n.policy_id AND l.level = n.level
      WHERE n.company_id = $1 AND n.run_id = run AND (l.fee_amount > 0 OR l.charge_interest);
    END;
  END IF;
  messages := o2c._queue_notices($1, run);

  -- what a collector has to do: escalations, and customers whom nothing reaches
  INSERT INTO o2c.activity (company_id, customer_id, kind, subject, notice_id, due_on)
  SELECT $1, n.customer_id, CASE WHEN n.channel IS NULL THEN 'letter' ELSE 'call' END,
         pg_catalog.format(CASE WHEN n.channel IS NULL THEN 'send notice %s (level %s) by hand: no channel reaches the customer'
                                ELSE 'follow up on notice %s (level %s)' END, n.id, n.level), n.id, n.as_of
  FROM o2c.dunning_notice n
  JOIN o2c.dunning_level l ON l.company_id = $1 AND l.policy_id = n.policy_id AND l.level = n.level
  WHERE n.company_id = $1 AND n.run_id = run AND (n.channel IS NULL OR l.escalation IS NOT NULL);
  INSERT INTO o2c.event (company_id, entity, entity_id, event, data)
  SELECT $1, 'customer', n.customer_id, 'service_stop',
         pg_catalog.jsonb_build_object('notice_id', n.id, 'level', n.level, 'as_of', n.as_of)
  FROM o2c.dunning_notice n
  JOIN o2c.dunning_level l ON l.company_id = $1 AND l.policy_id = n.policy_id AND l.level = n.level
  WHERE n.company_id = $1 AND n.run_id = run AND l.escalation = 'service_stop';
  INSERT INTO o2c.event (company_id, entity, entity_id, event, data)
  VALUES ($1, 'dunning_run', run, 'run',
          pg_catalog.jsonb_build_object('as_of', day, 'notices', notices, 'items', items, 'messages', messages));
  RETURN NEXT;
END $$;
COMMENT ON FUNCTION o2c.run_dunning(integer, date) IS
  'Remind of everything that is due for it on a day: notices grouped by customer, their messages in the outbox, fees and interest as open items. Running a day again, or a later day before a message was accepted, writes nothing twice. Errors: O2002, O2033 (no policy), O2044.';

CREATE FUNCTION o2c._queue_notices(company_id integer, run_id bigint)
RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
SET enable_nestloop = off
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  result bigint;
BEGIN
  WITH notice AS MATERIALIZED (
    SELECT n.id, n.customer_id, n.level, n.as_of, n.pay_by, n.item_count, n.channel, h.kind AS channel_kind,
           h.failover_channel IS NOT NULL AS fails_over, l.template, p.with_statement, k.language
    FROM o2c.dunning_notice n
    JOIN o2c.channel h ON h.company_id = $1 AND h.code = n.channel
    JOIN o2c.dunning_policy p ON p.company_id = $1 AND p.id = n.policy_id
    JOIN o2c.dunning_level l ON l.company_id = $1 AND l.policy_id = n.policy_id AND l.level = n.level
    JOIN o2c._addressees($1, '{dunning,billing}') k ON k.id = n.customer_id
    WHERE n.company_id = $1 AND n.run_id = $2
  ), text_of AS MATERIALIZED (
    -- each template once, in the language that it really has
    SELECT d.template, d.channel_kind, coalesce(d.language, '') AS language,
           coalesce(f.template_language, d.language, 'en') AS template_language, f.subject, f.body_text, f.body_html
    FROM (SELECT DISTINCT n.template, n.channel_kind, n.language FROM notice n) d
    LEFT JOIN LATERAL o2c.find_template($1, d.template, d.channel_kind, d.language) f ON true
  ), item AS MATERIALIZED (
    SELECT ni.notice_id,
           pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
             'number', i.number, 'date', o2c.format_date(i.document_date, t.template_language),
             'due_date', o2c.format_date(i.due_date, t.template_language), 'days', ni.days_overdue, 'level', ni.level,
             'currency', i.currency::text, 'amount', o2c._letter_amount(i.amount, i.currency, t.template_language),
             'open_amount', o2c._letter_amount(ni.amount, i.currency, t.template_language),
             'disputed', CASE WHEN i.disputed_amount > 0 THEN o2c._letter_amount(i.disputed_amount, i.currency, t.template_language) END)
             ORDER BY i.due_date, i.number) AS items
    FROM notice n
    JOIN text_of t ON t.template = n.template AND t.channel_kind = n.channel_kind AND t.language = coalesce(n.language, '')
    JOIN o2c.dunning_notice_item ni ON ni.company_id = $1 AND ni.notice_id = n.id
    JOIN o2c.open_item i ON i.company_id = $1 AND i.id = ni.item_id
    GROUP BY ni.notice_id
  ), charge AS MATERIALIZED (
    SELECT h.notice_id, h.currency, pg_catalog.sum(h.amount) FILTER (WHERE h.kind = 'fee') AS fee,
           pg_catalog.sum(h.amount) FILTER (WHERE h.kind = 'interest') AS interest
    FROM notice n JOIN o2c.dunning_charge h ON h.company_id = $1 AND h.notice_id = n.id
    GROUP BY h.notice_id, h.currency
  ), earlier AS MATERIALIZED (
    SELECT i.customer_id, i.currency, pg_catalog.sum(i.open_amount) AS amount
    FROM o2c.open_balance b JOIN o2c.open_item i ON i.company_id = $1 AND i.id = b.item_id
    WHERE b.company_id = $1 AND b.open_amount > 0 AND i.open_amount > 0 AND i.kind IN ('fee', 'interest')
      AND NOT EXISTS (SELECT FROM o2c.dunning_charge h JOIN notice n ON n.id = h.notice_id
                      WHERE h.company_id = $1 AND h.item_id = i.id)
    GROUP BY i.customer_id, i.currency
  ), sums AS MATERIALIZED (
    SELECT s.notice_id, s.currency, pg_catalog.sum(s.amount) AS amount, pg_catalog.sum(s.fee) AS fee,
           pg_catalog.sum(s.interest) AS interest, pg_catalog.sum(s.earlier) AS earlier
    FROM (SELECT ni.notice_id, ni.currency, ni.amount, NULL::numeric AS fee, NULL::numeric AS interest, NULL::numeric AS earlier
          FROM notice n JOIN o2c.dunning_notice_item ni ON ni.company_id = $1 AND ni.notice_id = n.id
          UNION ALL
          SELECT c.notice_id, c.currency, coalesce(c.fee, 0) + coalesce(c.interest, 0), c.fee, c.interest, NULL FROM charge c
          UNION ALL
          SELECT n.id, e.currency, e.amount, NULL, NULL, e.amount FROM notice n JOIN earlier e ON e.customer_id = n.customer_id) s
    GROUP BY s.notice_id, s.currency
  ), total AS MATERIALIZED (
    SELECT s.notice_id, pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('currency', s.currency::text, 'amount', a.amount) ORDER BY s.currency) AS totals,
           pg_catalog.string_agg(a.amount || ' ' || s.currency, ' + ' ORDER BY s.currency) AS total,
           pg_catalog.string_agg(o2c._letter_amount(s.fee, s.currency, t.template_language) || ' ' || s.currency, ' + ' ORDER BY s.currency) AS fee,
           pg_catalog.string_agg(o2c._letter_amount(s.interest, s.currency, t.template_language) || ' ' || s.currency, ' + ' ORDER BY s.currency) AS interest,
           pg_catalog.string_agg(o2c._letter_amount(s.earlier, s.currency, t.template_language) || ' ' || s.currency, ' + ' ORDER BY s.currency) AS charges,
           pg_catalog.min(s.currency::text) AS currency
    FROM sums s
    JOIN notice n ON n.id = s.notice_id
    JOIN text_of t ON t.template = n.template AND t.channel_kind = n.channel_kind AND t.language = coalesce(n.language, '')
    CROSS JOIN LATERAL (SELECT o2c._letter_amount(s.amount, s.currency, t.template_language) AS amount) a
    GROUP BY s.notice_id
  ), statement AS MATERIALIZED (
    SELECT n.id AS notice_id, pg_catalog.jsonb_build_object('lines', pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
             'number', i.number, 'date', o2c.format_date(i.document_date, t.template_language),
             'due_date', o2c.format_date(i.due_date, t.template_language), 'currency', i.currency::text,
             'open_amount', o2c._letter_amount(i.open_amount, i.currency, t.template_language))
             ORDER BY i.currency, i.due_date, i.number)) AS lines
    FROM notice n
    JOIN text_of t ON t.template = n.template AND t.channel_kind = n.channel_kind AND t.language = coalesce(n.language, '')
    JOIN o2c.open_balance b ON b.company_id = $1 AND b.customer_id = n.customer_id
    JOIN o2c.open_item i ON i.company_id = $1 AND i.id = b.item_id
    WHERE n.with_statement
    GROUP BY n.id
  ), bank AS MATERIALIZED (
    SELECT DISTINCT ON (x.currency) x.currency, o2c.iban_format(b.iban) AS iban, b.bic
    FROM (SELECT DISTINCT t.currency FROM total t) x
    JOIN o2c.bank_account b ON b.company_id = $1 AND b.active AND b.iban IS NOT NULL
    ORDER BY x.currency, (b.currency::text = x.currency) DESC NULLS LAST, b.id
  ), sender AS MATERIALIZED (
    SELECT pg_catalog.jsonb_build_object('name', c.name, 'email', c.email, 'phone', c.phone, 'website', c.website,
             'street', c.street, 'postal_code', c.postal_code, 'city', c.city, 'country', c.country, 'vat_id', c.vat_id) AS company
    FROM o2c.company c WHERE c.company_id = $1
  ), letter AS MATERIALIZED (
    SELECT n.id, n.customer_id, n.channel, n.channel_kind, n.fails_over, n.template, t.template_language, k.time_zone,
           o2c._dunning_recipient(n.channel_kind, k.email, k.phone, k.name, k.street, k.postal_code, k.city, k.country) AS recipient,
           t.subject, t.body_text, t.body_html,
           pg_catalog.jsonb_build_object(
             'language', t.template_language, 'today', o2c.format_date(n.as_of, t.template_language),
             'company', s.company,
             'customer', pg_catalog.jsonb_build_object('code', k.code, 'name', k.name, 'street', k.street,
               'postal_code', k.postal_code, 'city', k.city, 'country', k.country),
             'level', n.level, 'pay_by', o2c.format_date(n.pay_by, t.template_language), 'item_count', n.item_count,
             'items', i.items, 'total', m.total, 'totals', m.totals, 'fee', m.fee, 'interest', m.interest, 'charges', m.charges,
             'bank', pg_catalog.jsonb_build_object('iban', b.iban, 'bic', b.bic, 'reference', k.code),
             'statement', a.lines) AS context
    FROM notice n
    JOIN text_of t ON t.template = n.template AND t.channel_kind = n.channel_kind AND t.language = coalesce(n.language, '')
    JOIN o2c._addressees($1, '{dunning,billing}') k ON k.id = n.customer_id
    JOIN item i ON i.notice_id = n.id
    JOIN total m ON m.notice_id = n.id
    CROSS JOIN sender s
    LEFT JOIN bank b ON b.currency = m.currency
    LEFT JOIN statement a ON a.notice_id = n.id
  )
  INSERT INTO o2c.message (company_id, channel, kind, template, recipient, language, time_zone, customer_id, entity, entity_id,
    recheck, dedupe_key, subject, body_text, body_html, context)
  SELECT $1, r.channel, r.template, r.template, r.recipient, r.template_language, r.time_zone, r.customer_id, 'dunning_notice', r.id,
         true, 'dunning_notice:' || r.id, pg_catalog.left(o2c.render(r.subject, r.context, 'header'), 1000),
         o2c.render(r.body_text, r.context, 'none'), o2c.render(r.body_html, r.context, 'html'),
         -- only a channel that passes messages on needs the values again
         CASE WHEN r.fails_over OR r.channel_kind = 'webhook' THEN r.context END
  FROM letter r;
  GET DIAGNOSTICS result = ROW_COUNT;
  RETURN result;
END $$;
COMMENT ON FUNCTION o2c._queue_notices(integer, bigint) IS
  'Write the messages of a run''s notices to the outbox; returns how many.';

CREATE FUNCTION o2c._letter_amount(amount numeric, currency o2c.currency, language text)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT o2c.format_amount(pg_catalog.round(amount, coalesce(o2c.minor_unit(currency), 2)), language) $$;
COMMENT ON FUNCTION o2c._letter_amount(numeric, o2c.currency, text) IS
  'An amount with all decimals of its currency, as the language writes it.';

CREATE FUNCTION o2c._message_still_due(company_id integer, message_id bigint)
RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  SELECT coalesce((
    SELECT n.state = 'pending'
      -- everything asked for is still open and not disputed …
      AND NOT EXISTS (SELECT FROM o2c.dunning_notice_item ni
            JOIN o2c.open_item i ON i.company_id = ni.company_id AND i.id = ni.item_id
            WHERE ni.company_id = n.company_id AND ni.notice_id = n.id AND i.open_amount - i.disputed_amount < ni.amount)
      -- … and nobody stopped reminders or promised to pay in the meantime
      AND NOT EXISTS (SELECT FROM o2c.dunning_block b
            WHERE b.company_id = n.company_id AND b.customer_id = n.customer_id AND b.lifted_at IS NULL
              AND b.valid_from <= greatest(n.as_of, o2c.today(n.company_id)) AND coalesce(b.valid_to, n.as_of) >= n.as_of
              AND (b.item_id IS NULL OR EXISTS (SELECT FROM o2c.dunning_notice_item ni
                     WHERE ni.company_id = n.company_id AND ni.notice_id = n.id AND ni.item_id = b.item_id)))
      AND NOT EXISTS (SELECT FROM o2c.promise p
            WHERE p.company_id = n.company_id AND p.customer_id = n.customer_id AND p.state = 'open'
              AND p.promised_on + p.grace_days >= n.as_of
              AND (p.item_id IS NULL OR EXISTS (SELECT FROM o2c.dunning_notice_item ni
                     WHERE ni.company_id = n.company_id AND ni.notice_id = n.id AND ni.item_id = p.item_id)))
    FROM o2c.message m
    JOIN o2c.dunning_notice n ON n.company_id = m.company_id AND n.id = m.entity_id
    WHERE m.company_id = $1 AND m.id = $2 AND m.entity = 'dunning_notice'), true)
$$;
COMMENT ON FUNCTION o2c._message_still_due(integer, bigint) IS
  'Whether a message may still go out: for a reminder, whether all that it asks for is open, undisputed, not blocked and not promised; true for any other message.';

CREATE FUNCTION o2c.confirm_notice(company_id integer, notice_id bigint, accepted_on date DEFAULT NULL, note text DEFAULT NULL)
RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  now_in text;
  by_channel text;
BEGIN
  SELECT n.state, n.channel INTO now_in, by_channel FROM o2c.dunning_notice n
  WHERE n.company_id = $1 AND n.id = $2 FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'O2003', MESSAGE = pg_catalog.format('there is no dunning notice %s', $2);
  END IF;
  IF by_channel IS NOT NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'O2010',
      MESSAGE = pg_catalog.format('notice %s goes through channel "%s"', $2, by_channel),
      DETAIL = 'It counts when the channel has accepted its message.';
  END IF;
  IF now_in = 'pending' THEN
    UPDATE o2c.dunning_notice n SET state = 'accepted', accepted_on = coalesce($3, n.as_of)
    WHERE n.company_id = $1 AND n.id = $2;
    UPDATE o2c.activity a SET done_at = pg_catalog.now(), done_by = current_user, note = coalesce($4, a.note)
    WHERE a.company_id = $1 AND a.notice_id = $2 AND a.kind = 'letter' AND a.done_at IS NULL;
    now_in := 'accepted';
  END IF;
  RETURN now_in;
END $$;
COMMENT ON FUNCTION o2c.confirm_notice(integer, bigint, date, text) IS
  'Say that a notice that no channel could send was handed over (accepted_on: default its own date); from then its level counts. Returns its state. Errors: O2003, O2010.';
