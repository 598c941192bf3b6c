-- Interest and fees: simple interest at a reference rate plus a margin, and
-- the open items that charges become.

CREATE FUNCTION o2c._interest_points(rate_code text, margin numeric, from_date date, to_date date)
RETURNS numeric
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  -- half-years that overlap [from_date, to_date], each at the rate in force
  -- on its first day
  SELECT coalesce(pg_catalog.sum(
           (least(h.first_day + '6 months'::interval - '1 day'::interval, $4)::date - greatest(h.first_day, $3) + 1)
           * greatest(h.rate + $2, 0)), 0)
  FROM (SELECT s::date AS first_day,
               (SELECT r.rate FROM o2c.reference_rate r WHERE r.code = $1 AND r.valid_from <= s::date
                ORDER BY r.valid_from DESC LIMIT 1) AS rate
        FROM pg_catalog.generate_series(
               pg_catalog.make_date(pg_catalog.date_part('year', $3)::integer,
                                    CASE WHEN pg_catalog.date_part('month', $3) < 7 THEN 1 ELSE 7 END, 1)::timestamp,
               $4::timestamp, '6 months'::interval) s
        WHERE $3 <= $4) h
$$;
COMMENT ON FUNCTION o2c._interest_points(text, numeric, date, date) IS
  'Σ days × (reference rate + margin) for the days from_date to to_date, both included: an amount of 36500 bears so much interest. Not divided here, so that half a cent stays half a cent. Half-years before the first known rate bear none.';

CREATE FUNCTION o2c.late_interest(principal numeric, due_date date, paid_on date, margin numeric DEFAULT 8,
  rate_code text DEFAULT 'ECB')
RETURNS numeric
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
BEGIN
  -- NaN and infinities have no scale
  IF $1 IS NOT NULL AND pg_catalog.scale($1) IS NULL OR $4 IS NOT NULL AND pg_catalog.scale($4) IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'O2043', MESSAGE = 'interest needs a finite principal and margin';
  END IF;
  PERFORM o2c._require_day($2), o2c._require_day($3);
  RETURN $1 * o2c._interest_points($5, $4, $2 + 1, $3) / 36500;
END $$;
COMMENT ON FUNCTION o2c.late_interest(numeric, date, date, numeric, text) IS
  'Simple interest on principal from the day after due_date to paid_on, in the principal''s currency and not rounded: Σ days × (reference rate of the half-year + margin points) / 365 (Directive 2011/7/EU). Rates are in o2c.reference_rate under rate_code, percent a year; half-years before the first known rate bear none. 0 when paid in time. Errors: O2043, O2044 (not finite).';

CREATE FUNCTION o2c._notice_interest(company_id integer, run_id bigint)
RETURNS TABLE (notice_id bigint, item_id bigint, from_date date, to_date date, currency o2c.currency, amount numeric)
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  WITH item AS MATERIALIZED (
    SELECT ni.notice_id, ni.item_id, i.currency, p.rate_code, p.interest_margin AS margin, n.as_of,
           i.disputed_amount,
           greatest(i.due_date, (SELECT pg_catalog.max(h.to_date) FROM o2c.dunning_charge h
              WHERE h.company_id = $1 AND h.source_item_id = i.id AND h.kind = 'interest' AND h.reversed_on IS NULL)) AS charged_to
    FROM o2c.dunning_notice n
    JOIN o2c.dunning_policy p ON p.company_id = n.company_id AND p.id = n.policy_id
    JOIN o2c.dunning_notice_item ni ON ni.company_id = n.company_id AND ni.notice_id = n.id
    JOIN o2c.dunning_level l ON l.company_id = n.company_id AND l.policy_id = n.policy_id AND l.level = n.level
    JOIN o2c.open_item i ON i.company_id = ni.company_id AND i.id = ni.item_id
    WHERE n.company_id = $1 AND n.run_id = $2 AND l.charge_interest AND ni.days_overdue > 0
      -- what another channel sends again was charged with the first attempt
      AND NOT EXISTS (SELECT FROM o2c.dunning_notice_item o
            JOIN o2c.dunning_notice x ON x.company_id = o.company_id AND x.id = o.notice_id AND x.state = 'failed'
            JOIN o2c.dunning_charge h ON h.company_id = o.company_id AND h.notice_id = o.notice_id
             AND h.source_item_id = o.item_id AND h.kind = 'interest' AND h.reversed_on IS NULL
            WHERE o.company_id = $1 AND o.item_id = ni.item_id AND o.level = ni.level)
  ), part AS (
    -- an entry bears interest from the day after it took effect: interest is
    -- linear in the entries, so every partial payment is right without periods
    SELECT t.notice_id, t.item_id, e.amount, t.rate_code, t.margin, greatest(t.charged_to, e.effective_on) + 1 AS from_date, t.as_of
    FROM item t JOIN o2c.ledger_entry e ON e.company_id = $1 AND e.item_id = t.item_id AND e.effective_on <= t.as_of
    UNION ALL
    SELECT t.notice_id, t.item_id, -t.disputed_amount, t.rate_code, t.margin, t.charged_to + 1, t.as_of
    FROM item t WHERE t.disputed_amount > 0
  ), points AS MATERIALIZED (
    SELECT k.rate_code, k.margin, k.from_date, k.as_of, o2c._interest_points(k.rate_code, k.margin, k.from_date, k.as_of) AS points
    FROM (SELECT DISTINCT p.rate_code, p.margin, p.from_date, p.as_of FROM part p) k
  )
  SELECT t.notice_id, t.item_id, t.charged_to + 1, t.as_of, t.currency, o2c.round_amount(s.amount, t.currency)
  FROM item t
  JOIN (SELECT p.item_id, pg_catalog.sum(p.amount * f.points) / 36500 AS amount
        FROM part p JOIN points f ON (f.rate_code, f.margin, f.from_date, f.as_of) = (p.rate_code, p.margin, p.from_date, p.as_of)
        GROUP BY p.item_id) s ON s.item_id = t.item_id
  WHERE o2c.round_amount(s.amount, t.currency) > 0 AND t.charged_to < t.as_of
$$;
COMMENT ON FUNCTION o2c._notice_interest(integer, bigint) IS
  'Interest that a run''s notices charge on their items, for the days that no earlier notice charged.';

CREATE FUNCTION o2c._post_charges(company_id integer, run_id bigint)
RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  result bigint;
BEGIN
  -- an item that is charged gets an open item of its own, linked to its source
  WITH charged AS MATERIALIZED (
    -- a level of an item is charged once, however many attempts it takes
    SELECT ni.item_id, ni.level
    FROM o2c.dunning_charge h
    JOIN o2c.dunning_notice_item ni ON ni.company_id = h.company_id AND ni.notice_id = h.notice_id
    WHERE h.company_id = $1 AND h.kind = 'fee' AND h.reversed_on IS NULL
      AND (h.source_item_id IS NULL OR h.source_item_id = ni.item_id)
  ), charge AS MATERIALIZED (
    SELECT 'interest'::o2c.item_kind AS kind, f.notice_id, f.item_id AS source_item_id, f.currency, f.amount,
           f.from_date, f.to_date
    FROM o2c._notice_interest($1, $2) f
    UNION ALL
    SELECT 'fee', n.id, NULL, l.currency, l.fee_amount, NULL, NULL
    FROM o2c.dunning_notice n
    JOIN o2c.dunning_level l ON l.company_id = n.company_id AND l.policy_id = n.policy_id AND l.level = n.level
    WHERE n.company_id = $1 AND n.run_id = $2 AND l.fee_amount > 0 AND l.fee_basis = 'notice'
      AND EXISTS (SELECT FROM o2c.dunning_notice_item ni
                  WHERE ni.company_id = $1 AND ni.notice_id = n.id AND ni.level = n.level
                    AND NOT EXISTS (SELECT FROM charged g WHERE g.item_id = ni.item_id AND g.level = ni.level))
    UNION ALL
    SELECT 'fee', n.id, ni.item_id, l.currency, l.fee_amount, NULL, NULL
    FROM o2c.dunning_notice n
    JOIN o2c.dunning_level l ON l.company_id = n.company_id AND l.policy_id = n.policy_id AND l.level = n.level
    JOIN o2c.dunning_notice_item ni ON ni.company_id = n.company_id AND ni.notice_id = n.id AND ni.level = n.level
    WHERE n.company_id = $1 AND n.run_id = $2 AND l.fee_amount > 0 AND l.fee_basis = 'item'
      AND NOT EXISTS (SELECT FROM charged g WHERE g.item_id = ni.item_id AND g.level = ni.level)
  ), numbered AS MATERIALIZED (
    SELECT c.*, pg_catalog.nextval('o2c.dunning_charge_id_seq') AS id, pg_catalog.nextval('o2c.open_item_id_seq') AS item_id
    FROM charge c
  ), item AS (
    INSERT INTO o2c.open_item (company_id, id, customer_id, kind, number, source_item_id, document_date, due_date, currency, amount, open_amount)
    SELECT $1, c.item_id, n.customer_id, c.kind, CASE c.kind WHEN 'fee' THEN 'FEE-' ELSE 'INT-' END || c.id,
           c.source_item_id, n.as_of, n.pay_by, c.currency, c.amount, c.amount
    FROM numbered c JOIN o2c.dunning_notice n ON n.company_id = $1 AND n.id = c.notice_id
  )
  INSERT INTO o2c.dunning_charge (company_id, id, notice_id, kind, source_item_id, item_id, currency, amount, from_date, to_date)
  SELECT $1, c.id, c.notice_id, c.kind::text, c.source_item_id, c.item_id, c.currency, c.amount, c.from_date, c.to_date
  FROM numbered c;
  GET DIAGNOSTICS result = ROW_COUNT;

  RETURN result;
END $$;
COMMENT ON FUNCTION o2c._post_charges(integer, bigint) IS
  'Post fees and interest of a run''s notices as open items; returns how many.';

CREATE FUNCTION o2c._reverse_charges(company_id integer, as_of date)
RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  result bigint;
  items bigint[];
BEGIN
  SELECT pg_catalog.array_agg(h.item_id) INTO items
  FROM o2c.dunning_charge h JOIN o2c.dunning_notice n ON n.company_id = h.company_id AND n.id = h.notice_id
  WHERE h.company_id = $1 AND n.state = 'cancelled' AND h.reversed_on IS NULL;
  IF items IS NULL THEN
    RETURN 0;
  END IF;
  -- who pays them at the same moment comes before or after; whom the same run may charge next is locked with them
  PERFORM o2c._lock_posting($1, items, NULL,
    (SELECT pg_catalog.array_agg(DISTINCT b.customer_id) FROM o2c.open_balance b
     WHERE b.company_id = $1 AND b.open_amount > 0 AND b.due_date < $2));
  -- what was charged with a notice that never got out, as far as it is unpaid
  WITH lost AS (
    UPDATE o2c.dunning_charge h SET reversed_on = greatest($2, n.as_of)
    FROM o2c.dunning_notice n
    WHERE h.company_id = $1 AND n.company_id = $1 AND n.id = h.notice_id
      AND n.state = 'cancelled' AND h.reversed_on IS NULL
    RETURNING h.item_id, h.reversed_on)
  INSERT INTO o2c.ledger_entry (company_id, item_id, customer_id, currency, due_date, kind, amount, raises, effective_on, reason)
  SELECT i.company_id, i.id, i.customer_id, i.currency, i.due_date, 'credit', -i.open_amount, false, l.reversed_on,
         'the reminder was not sent'
  FROM lost l JOIN o2c.open_item i ON i.company_id = $1 AND i.id = l.item_id
  WHERE i.open_amount > 0
  ORDER BY i.id;
  GET DIAGNOSTICS result = ROW_COUNT;
  RETURN result;
END $$;
COMMENT ON FUNCTION o2c._reverse_charges(integer, date) IS
  'Take back fees and interest of cancelled notices; returns how many were.';
