-- Who would be reminded of what on a day: the rules of dunning, read only.
--
-- One row for each overdue item, with the notice that it would be part of or
-- the reason why it is not.  run_dunning writes what this says and
-- preview_dunning shows it, so the two can't differ.

CREATE FUNCTION o2c._notice_states(company_id integer)
RETURNS TABLE (notice_id bigint, channel text, state text, accepted_on date, as_of date)
LANGUAGE sql STABLE PARALLEL SAFE ROWS 100000
AS $$
  -- what became of a notice is what became of its messages: one is enough
  -- that was accepted, and only when none is under way has it failed
  SELECT n.id, n.channel,
         CASE WHEN m.notice_id IS NULL THEN n.state
              WHEN m.accepted THEN 'accepted'
              -- a dead message that is revived does not undo that the next
              -- channel has been tried: it is cancelled before it is sent
              WHEN m.under_way THEN CASE WHEN n.state IN ('failed', 'cancelled') THEN n.state ELSE 'pending' END
              WHEN m.dead THEN 'failed' ELSE 'cancelled' END,
         CASE WHEN m.notice_id IS NULL THEN n.accepted_on
              WHEN m.accepted THEN coalesce(n.accepted_on, m.sent_on, n.as_of) END,
         n.as_of
  FROM o2c.dunning_notice n
  LEFT JOIN (
    SELECT m.entity_id AS notice_id,
           pg_catalog.bool_or(m.state IN ('sent', 'delivered')) AS accepted,
           pg_catalog.bool_or(m.state IN ('queued', 'sending', 'retry', 'uncertain')) AS under_way,
           pg_catalog.bool_or(m.state = 'dead') AS dead,
           (pg_catalog.min(m.sent_at) FILTER (WHERE m.state IN ('sent', 'delivered')) AT TIME ZONE
             (SELECT c.time_zone FROM o2c.company c WHERE c.company_id = $1))::date AS sent_on
    FROM o2c.message m WHERE m.company_id = $1 AND m.entity = 'dunning_notice'
    GROUP BY m.entity_id
  ) m ON m.notice_id = n.id
  WHERE n.company_id = $1
$$;
COMMENT ON FUNCTION o2c._notice_states(integer) IS
  'The state of every notice, derived from its messages where they still exist.';

CREATE FUNCTION o2c._dunning_plan(company_id integer, as_of date)
RETURNS TABLE (item_id bigint, customer_id bigint, policy_id bigint, days_overdue integer, currency o2c.currency,
               amount numeric, level smallint, attempt smallint, reason text,
               group_no bigint, notice_level smallint, channel text)
LANGUAGE sql STABLE PARALLEL SAFE ROWS 100000
AS $$
WITH pol AS MATERIALIZED (
  SELECT p.id, p.customer_group, p.is_default, p.grouping, p.grace_days, p.roll_due_dates,
         NOT p.business_days_only OR o2c.is_business_day($1, $2) AS runs_today,
         pg_catalog.min(l.level) AS first_level, pg_catalog.min(l.days) AS first_days,
         pg_catalog.array_agg(l.days ORDER BY l.level) AS days,
         pg_catalog.array_agg(l.interval_days ORDER BY l.level) AS intervals,
         pg_catalog.array_agg(l.repeat_days ORDER BY l.level) AS repeats
  FROM o2c.dunning_policy p
  JOIN o2c.dunning_level l ON l.company_id = p.company_id AND l.policy_id = p.id
  WHERE p.company_id = $1 AND p.active
  GROUP BY p.company_id, p.id
), who AS MATERIALIZED (
  SELECT c.id, coalesce(a.policy_id, g.id, d.id) AS policy_id
  FROM o2c.customer c
  LEFT JOIN o2c.dunning_assignment a ON a.company_id = c.company_id AND a.customer_id = c.id
  LEFT JOIN pol g ON g.customer_group = c.customer_group
  LEFT JOIN pol d ON d.is_default
  WHERE c.company_id = $1
), rolled AS MATERIALIZED (
  SELECT d.due_date, o2c.next_business_day($1, d.due_date) AS due_on
  FROM (SELECT DISTINCT b.due_date FROM o2c.open_balance b
        WHERE b.company_id = $1 AND b.open_amount > 0 AND b.due_date <= $2
          AND EXISTS (SELECT FROM pol WHERE pol.roll_due_dates)) d
), due AS MATERIALIZED (
  SELECT i.id, i.customer_id, i.currency, w.policy_id, $2 - i.due_date AS days_overdue,
         greatest(i.open_amount - i.disputed_amount, 0) AS amount,
         -- the highest level whose days have come; 0 days is before the first
         pg_catalog.width_bucket(CASE WHEN d.days > 0 THEN greatest(d.days - p.grace_days, 0) ELSE d.days END, p.days) AS step,
         CASE p.grouping WHEN 'item' THEN i.id ELSE 0 END AS group_key
  FROM o2c.open_balance b
  JOIN o2c.open_item i ON i.company_id = $1 AND i.id = b.item_id
  JOIN who w ON w.id = b.customer_id
  JOIN pol p ON p.id = w.policy_id
  LEFT JOIN rolled r ON r.due_date = b.due_date AND p.roll_due_dates
  CROSS JOIN LATERAL (SELECT $2 - coalesce(r.due_on, b.due_date) AS days) d
  WHERE b.company_id = $1 AND b.open_amount > 0 AND i.open_amount > 0
    AND i.kind IN ('invoice', 'debit_note', 'opening', 'deduction')
    AND $2 - b.due_date >= p.first_days
    AND (d.days <= 0 OR pg_catalog.width_bucket(greatest(d.days - p.grace_days, 0), p.days) + p.first_level > 1)
), told AS MATERIALIZED (
  SELECT ni.item_id, ni.level, pg_catalog.max(ni.attempt) AS attempts,
         pg_catalog.bool_or(s.state = 'accepted') AS accepted, pg_catalog.bool_or(s.state = 'pending') AS pending,
         -- a date of acceptance after this day's run is of another calendar:
         -- the notice's own date counts then
         pg_catalog.max(CASE WHEN s.accepted_on <= $2 THEN s.accepted_on ELSE s.as_of END)
           FILTER (WHERE s.state = 'accepted') AS accepted_on,
         pg_catalog.array_agg(s.channel) FILTER (WHERE s.state = 'failed' AND s.channel IS NOT NULL) AS failed
  FROM o2c.dunning_notice_item ni
  JOIN o2c._notice_states($1) s ON s.notice_id = ni.notice_id
  WHERE ni.company_id = $1
  GROUP BY ni.item_id, ni.level
), past AS MATERIALIZED (
  SELECT t.item_id, pg_catalog.max(t.level) FILTER (WHERE t.accepted) AS last_level,
         pg_catalog.max(t.accepted_on) AS last_on, pg_catalog.bool_or(t.pending) AS pending
  FROM told t GROUP BY t.item_id
), covered AS MATERIALIZED (
  -- credits that the customer has not used reach for everything overdue
  SELECT d.customer_id, d.currency
  FROM (SELECT b.customer_id, b.currency, pg_catalog.sum(b.open_amount) AS amount FROM o2c.open_balance b
        WHERE b.company_id = $1 AND b.open_amount < 0 AND b.customer_id IS NOT NULL
        GROUP BY b.customer_id, b.currency) c
  JOIN due d ON d.customer_id = c.customer_id AND d.currency = c.currency
  GROUP BY d.customer_id, d.currency, c.amount
  HAVING pg_catalog.sum(d.amount) + c.amount <= 0
), candidate AS MATERIALIZED (
  SELECT d.id, d.customer_id, d.currency, d.policy_id, d.days_overdue, d.amount, d.group_key, s.level,
         CASE WHEN d.amount = 0 THEN 'disputed'
              WHEN p.pending THEN 'pending'
              WHEN p.last_level >= s.eligible AND (s.eligible = 0 OR l.repeats[d.step] IS NULL OR p.last_level > s.eligible)
                THEN 'level reached'
              WHEN p.last_level >= 1 AND $2 - p.last_on <
                   CASE WHEN p.last_level = s.eligible THEN l.repeats[d.step] ELSE l.intervals[s.level - l.first_level + 1] END
                THEN 'interval'
              WHEN NOT l.runs_today THEN 'no business day'
              WHEN d.customer_id IN (SELECT b.customer_id FROM o2c.dunning_block b WHERE b.company_id = $1 AND b.item_id IS NULL
                     AND b.lifted_at IS NULL AND b.valid_from <= $2 AND coalesce(b.valid_to, $2) >= $2)
                OR d.id IN (SELECT b.item_id FROM o2c.dunning_block b WHERE b.company_id = $1 AND b.item_id IS NOT NULL
                     AND b.lifted_at IS NULL AND b.valid_from <= $2 AND coalesce(b.valid_to, $2) >= $2)
                THEN 'blocked'
              WHEN d.customer_id IN (SELECT q.customer_id FROM o2c.promise q WHERE q.company_id = $1 AND q.item_id IS NULL
                     AND q.state = 'open' AND q.given_on <= $2 AND q.promised_on + q.grace_days >= $2)
                OR d.id IN (SELECT q.item_id FROM o2c.promise q WHERE q.company_id = $1 AND q.item_id IS NOT NULL
                     AND q.state = 'open' AND q.given_on <= $2 AND q.promised_on + q.grace_days >= $2)
                THEN 'promised'
              WHEN v.customer_id IS NOT NULL THEN 'covered by credit'
         END AS reason
  FROM due d
  JOIN pol l ON l.id = d.policy_id
  LEFT JOIN past p ON p.item_id = d.id
  LEFT JOIN covered v ON v.customer_id = d.customer_id AND v.currency = d.currency
  CROSS JOIN LATERAL (
    SELECT e.eligible, CASE WHEN e.eligible = 0 THEN 0 ELSE least(e.eligible, coalesce(p.last_level, 0) + 1) END::smallint AS level
    FROM (SELECT (l.first_level + d.step - 1)::smallint AS eligible) e) s
  WHERE d.step > 0
), grouped AS MATERIALIZED (
  SELECT c.policy_id, c.customer_id, c.group_key, pg_catalog.min(c.id) AS group_no, pg_catalog.max(c.level) AS notice_level
  FROM candidate c WHERE c.reason IS NULL
  GROUP BY c.policy_id, c.customer_id, c.group_key
), below AS MATERIALIZED (
  SELECT g.group_no
  FROM grouped g
  JOIN o2c.dunning_level l ON l.company_id = $1 AND l.policy_id = g.policy_id AND l.level = g.notice_level
  JOIN candidate c ON c.policy_id = g.policy_id AND c.customer_id = g.customer_id AND c.group_key = g.group_key
  WHERE l.minimum_amount > 0 AND c.reason IS NULL
  GROUP BY g.group_no, l.minimum_amount
  -- without a rate between two currencies a small amount can't be told: it is asked for
  HAVING pg_catalog.sum(coalesce(c.amount * CASE WHEN c.currency = l.currency THEN 1 ELSE (
           SELECT CASE WHEN x.from_currency = c.currency THEN x.rate ELSE 1 / x.rate END
           FROM o2c.exchange_rate x
           WHERE x.company_id = $1 AND x.valid_from <= $2
             AND ((x.from_currency = c.currency AND x.to_currency = l.currency)
               OR (x.from_currency = l.currency AND x.to_currency = c.currency))
           ORDER BY x.valid_from DESC LIMIT 1) END, l.minimum_amount)) < l.minimum_amount
), failed AS MATERIALIZED (
  SELECT c.policy_id, c.customer_id, c.group_key, pg_catalog.array_agg(f) AS channels
  FROM candidate c
  JOIN told t ON t.item_id = c.id AND t.level = c.level AND t.failed IS NOT NULL
  CROSS JOIN LATERAL pg_catalog.unnest(t.failed) f
  WHERE c.reason IS NULL
  GROUP BY c.policy_id, c.customer_id, c.group_key
), way AS MATERIALIZED (
  SELECT l.policy_id, l.level, o.ord, h.code, h.kind
  FROM o2c.dunning_level l
  CROSS JOIN LATERAL pg_catalog.unnest(l.channels) WITH ORDINALITY o(name, ord)
  CROSS JOIN LATERAL (
    SELECT h.code, h.kind FROM o2c.channel h
    WHERE h.company_id = $1 AND h.enabled AND (h.code = o.name OR h.kind = o.name)
      -- what has no text for the channel can't go there; a webhook takes the values
      AND (h.kind = 'webhook' OR EXISTS (SELECT FROM o2c.find_template($1, l.template, h.kind)))
    ORDER BY h.code = o.name DESC, h.id LIMIT 1) h
  WHERE l.company_id = $1
), chosen AS MATERIALIZED (
  SELECT DISTINCT ON (g.group_no) g.group_no, w.code
  FROM grouped g
  JOIN way w ON w.policy_id = g.policy_id AND w.level = g.notice_level
  JOIN o2c._addressees($1, '{dunning,billing}') k ON k.id = g.customer_id
  LEFT JOIN failed f ON f.policy_id = g.policy_id AND f.customer_id = g.customer_id AND f.group_key = g.group_key
  WHERE w.code <> ALL (coalesce(f.channels, '{}'))
    AND o2c._is_recipient(w.kind, o2c._dunning_recipient(w.kind, k.email, k.phone, k.name, k.street, k.postal_code, k.city, k.country))
  ORDER BY g.group_no, w.ord
)
SELECT c.id, c.customer_id, c.policy_id, c.days_overdue, c.currency, c.amount, c.level,
       (coalesce(t.attempts, 0) + 1)::smallint,
       coalesce(c.reason, CASE WHEN b.group_no IS NOT NULL THEN 'below minimum' END),
       g.group_no, g.notice_level, h.code
FROM candidate c
LEFT JOIN grouped g ON g.policy_id = c.policy_id AND g.customer_id = c.customer_id AND g.group_key = c.group_key
  AND c.reason IS NULL
LEFT JOIN below b ON b.group_no = g.group_no
LEFT JOIN chosen h ON h.group_no = g.group_no
LEFT JOIN told t ON t.item_id = c.id AND t.level = c.level
$$;
COMMENT ON FUNCTION o2c._dunning_plan(integer, date) IS
  'Each overdue item (and those that are soon due, where a policy reminds of them): its level, the notice (group_no) and channel, or the reason why it is not reminded of. channel NULL: none reaches the customer.';

CREATE FUNCTION o2c._dunning_recipient(kind text, email text, phone text, name text, street text, postal_code text,
  city text, country text)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
  SELECT CASE kind
    WHEN 'email' THEN email
    WHEN 'sms' THEN phone
    WHEN 'post' THEN CASE WHEN street <> '' AND city <> '' THEN
      pg_catalog.translate(name, E'\r\n\t', '   ') || E'\n' || pg_catalog.translate(street, E'\r\n\t', '   ')
      || E'\n' || pg_catalog.translate(coalesce(postal_code || ' ', '') || city, E'\r\n\t', '   ')
      || coalesce(E'\n' || country, '') END
  END
$$;
COMMENT ON FUNCTION o2c._dunning_recipient(text, text, text, text, text, text, text, text) IS
  'Where a channel of that kind reaches a customer; NULL when the data for it is missing, and for webhooks.';

CREATE FUNCTION o2c.preview_dunning(company_id integer, as_of date DEFAULT NULL, with_excluded boolean DEFAULT false)
RETURNS TABLE (customer_code text, notice bigint, notice_level integer, channel text, number text, level integer,
               days_overdue integer, currency text, amount numeric, reason text)
LANGUAGE plpgsql STABLE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
SET enable_nestloop = off
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  day date := coalesce($2, o2c.today($1));
BEGIN
  PERFORM o2c._require_dunning($1, day);
  RETURN QUERY
  SELECT k.code, CASE WHEN p.reason IS NULL THEN pg_catalog.dense_rank() OVER (ORDER BY p.reason IS NOT NULL, p.group_no) END,
         CASE WHEN p.reason IS NULL THEN p.notice_level::integer END, CASE WHEN p.reason IS NULL THEN p.channel END,
         i.number, p.level::integer, p.days_overdue, p.currency::text, p.amount, p.reason
  FROM o2c._dunning_plan($1, day) p
  JOIN o2c.open_item i ON i.company_id = $1 AND i.id = p.item_id
  JOIN o2c.customer k ON k.company_id = $1 AND k.id = p.customer_id
  WHERE p.reason IS NULL OR $3
  ORDER BY p.reason IS NOT NULL, k.code, p.group_no, i.due_date, i.number;
END $$;
COMMENT ON FUNCTION o2c.preview_dunning(integer, date, boolean) IS
  'What run_dunning would do on a day, without writing: one row for each item, notices numbered from 1; with_excluded also lists overdue items that are left out, each with its reason. Errors: O2002, O2033, O2044.';

CREATE FUNCTION o2c._require_day(day date)
RETURNS void
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
BEGIN
  IF NOT day BETWEEN '0001-01-01' AND '9999-12-31' THEN
    RAISE EXCEPTION USING ERRCODE = 'O2044', MESSAGE = 'collections need a date of the years 1 to 9999';
  END IF;
END $$;
COMMENT ON FUNCTION o2c._require_day(date) IS 'Raises O2044 for a date that is none of this era, infinity among them; NULL passes.';

CREATE FUNCTION o2c._require_dunning(company_id integer, as_of date)
RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  PERFORM o2c._require_company($1);
  PERFORM o2c._require_day($2);
  IF NOT EXISTS (SELECT FROM o2c.dunning_policy p JOIN o2c.dunning_level l ON l.company_id = p.company_id AND l.policy_id = p.id
                 WHERE p.company_id = $1 AND p.active) THEN
    RAISE EXCEPTION USING ERRCODE = 'O2033', MESSAGE = pg_catalog.format('company %s has no dunning policy', $1),
      HINT = 'Create one with o2c.set_dunning_policy(company_id, ''standard'', levels, options => ''{"is_default": true}'').';
  END IF;
END $$;
COMMENT ON FUNCTION o2c._require_dunning(integer, date) IS
  'Raises O2002, O2033 or O2044 unless the company can run dunning on the date.';
