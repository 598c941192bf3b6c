-- Orders: submitting, confirming, holds, amending, cancelling, closing.
--
-- Every event takes a set of orders; that of one order is a set of one.

CREATE FUNCTION o2c._submit_findings(company integer, order_ids bigint[])
RETURNS TABLE (order_id bigint, code text, finding text)
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  SELECT DISTINCT ON (s.id) s.id, s.code, CASE
    WHEN l.id IS NULL THEN 'has no lines'
    WHEN NOT p.active THEN pg_catalog.format('line %s: product "%s" is no longer sold', l.line_no, p.code)
    WHEN s.incoterm IS NOT NULL AND coalesce(s.incoterm_place, '') = ''
      THEN pg_catalog.format('%s needs a named place', s.incoterm)
    WHEN NOT k.active THEN pg_catalog.format('carrier "%s" is no longer used', s.carrier)
    ELSE pg_catalog.format('carrier "%s" has no shipping rule for its country and weight or amount', s.carrier) END
  FROM o2c.sales_order s
  LEFT JOIN o2c.carrier k ON k.company_id = s.company_id AND k.code = s.carrier
  LEFT JOIN o2c.sales_order_line l ON l.company_id = s.company_id AND l.order_id = s.id
  LEFT JOIN o2c.product p ON p.company_id = l.company_id AND p.id = l.product_id
  WHERE s.company_id = company AND s.id = ANY (order_ids) 
    AND (l.id IS NULL OR NOT p.active OR (s.incoterm IS NOT NULL AND coalesce(s.incoterm_place, '') = '')
      OR NOT k.active
      OR (EXISTS (SELECT FROM o2c.shipping_rule r WHERE r.company_id = company AND r.carrier = s.carrier)
          AND NOT EXISTS (SELECT FROM o2c._shipping(company, ARRAY[s.id]))))
  ORDER BY s.id, l.id IS NULL DESC, p.active, l.line_no
$$;
COMMENT ON FUNCTION o2c._submit_findings(integer, bigint[]) IS
  'Why draft orders cannot be submitted, one finding each; no row when they can.';

CREATE FUNCTION o2c._submit(company integer, order_ids bigint[]) RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  UPDATE o2c.sales_order s SET state = 'submitted', shipping_amount = d.cost,
    promised_on = coalesce(s.promised_on, s.ordered_on + d.days)
  FROM (SELECT s.id, CASE WHEN h.order_id IS NOT NULL
                 THEN o2c.round_amount(h.cost_amount * o2c._rate_on(company, h.currency, s.currency, s.ordered_on), s.currency) END AS cost,
               coalesce(h.lead_days, 0) + coalesce(g.days, 0) AS days
        FROM o2c.sales_order s
        LEFT JOIN o2c._shipping(company, order_ids) h ON h.order_id = s.id
        LEFT JOIN (SELECT l.order_id, pg_catalog.max(p.lead_days) AS days
                   FROM o2c.sales_order_line l
                   JOIN o2c.sales_order w ON w.company_id = l.company_id AND w.id = l.order_id
                   JOIN o2c.product p ON p.company_id = l.company_id AND p.id = l.product_id AND p.lead_days > 0
                   LEFT JOIN o2c.stock k ON k.company_id = p.company_id AND k.product_id = p.id AND k.warehouse = w.warehouse
                   WHERE l.company_id = company AND l.order_id = ANY (order_ids)
                     AND (NOT p.stocked OR l.quantity > coalesce(k.available, 0)) GROUP BY 1) g ON g.order_id = s.id
        WHERE s.company_id = company AND s.id = ANY (order_ids)) d
  WHERE s.company_id = company AND s.id = d.id
$$;
COMMENT ON FUNCTION o2c._submit(integer, bigint[]) IS
  'Submit orders: the cost of shipping is looked up, and the date promised when none was given.';

CREATE FUNCTION o2c.submit_order(company_id integer, order_id bigint) RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  o record;
  why text;
BEGIN
  SELECT * INTO o FROM o2c._lock_order($1, $2);
  IF o.state = 'submitted' THEN
    RETURN o.state;
  END IF;
  IF o.state <> 'draft' THEN
    RAISE EXCEPTION USING ERRCODE = 'O2010',
      MESSAGE = pg_catalog.format('order %s is %s and cannot be submitted', o.label, o.state),
      HINT = 'o2c.amend_order() changes a confirmed order.';
  END IF;
  SELECT f.finding INTO why FROM o2c._submit_findings($1, ARRAY[$2]) f;
  IF FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'O2033', MESSAGE = pg_catalog.format('order %s cannot be submitted: %s', o.label, why);
  END IF;
  PERFORM o2c._submit($1, ARRAY[$2]);
  RETURN 'submitted';
END $$;
COMMENT ON FUNCTION o2c.submit_order(integer, bigint) IS
  'Submit a draft order; returns its state. Errors: O2002, O2003, O2010 (not a draft), O2033 (what is wrong with it).';

CREATE FUNCTION o2c._reserve(company integer, order_ids bigint[], only_product bigint DEFAULT NULL) RETURNS numeric
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
SET jit = off
AS $$
DECLARE
  total numeric;
BEGIN
  WITH given AS (
    UPDATE o2c.sales_order_line l SET reserved = l.reserved + a.quantity
    FROM (SELECT w.id, least(w.wanted, greatest(0, k.available - w.before)) AS quantity
          FROM (SELECT l.id, l.product_id, s.warehouse, l.quantity - l.cancelled - l.shipped - l.reserved AS wanted,
                       coalesce(pg_catalog.sum(l.quantity - l.cancelled - l.shipped - l.reserved) OVER (
                         PARTITION BY l.product_id, s.warehouse
                         ORDER BY coalesce(s.promised_on, s.ordered_on), s.id, l.line_no
                         ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before
                FROM o2c.sales_order s
                JOIN o2c.sales_order_line l ON l.company_id = s.company_id AND l.order_id = s.id
                JOIN o2c.product p ON p.company_id = l.company_id AND p.id = l.product_id AND p.stocked
                WHERE s.company_id = company AND s.id = ANY (order_ids) AND (only_product IS NULL OR p.id = only_product)) w
          JOIN o2c.stock k ON k.company_id = company AND k.product_id = w.product_id AND k.warehouse = w.warehouse) a
    WHERE l.company_id = company AND l.id = a.id AND a.quantity > 0
    RETURNING a.quantity)
  SELECT coalesce(pg_catalog.sum(g.quantity), 0) INTO total FROM given g;
  RETURN total;
END $$;
COMMENT ON FUNCTION o2c._reserve(integer, bigint[], bigint) IS
  'Reserve what is available for the lines of orders, oldest promise first, of one product or all; orders and stock are locked before. Returns the quantity.';

CREATE FUNCTION o2c.confirm_orders(company_id integer, order_ids bigint[])
RETURNS TABLE (order_id bigint, state text, holds text, note text)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  drafts bigint[];
  open bigint[];
  passing bigint[];
  known bigint;
BEGIN
  SELECT pg_catalog.count(*), pg_catalog.array_agg(x.id) FILTER (WHERE x.state = 'draft'),
         pg_catalog.array_agg(x.id) FILTER (WHERE x.state IN ('draft', 'submitted'))
  INTO known, drafts, open
  FROM (SELECT s.id, s.state FROM o2c.sales_order s WHERE s.company_id = $1 AND s.id = ANY ($2)
        ORDER BY s.id FOR NO KEY UPDATE) x;
  IF known < (SELECT pg_catalog.count(DISTINCT u.id) FROM pg_catalog.unnest($2) u(id)) OR $2 IS NULL
     OR EXISTS (SELECT FROM pg_catalog.unnest($2) u(id) WHERE u.id IS NULL) THEN
    PERFORM o2c._order_label($1, u.id) FROM pg_catalog.unnest(coalesce($2, '{NULL}')) u(id);
  END IF;

  IF drafts IS NOT NULL THEN
    PERFORM o2c._submit($1, pg_catalog.array_agg(d.id)) FROM pg_catalog.unnest(drafts) d(id)
    WHERE d.id NOT IN (SELECT f.order_id FROM o2c._submit_findings($1, drafts) f);
  END IF;

  -- what has lapsed, then what keeps the others
  UPDATE o2c.hold h SET released_by = 'expiry', released_at = pg_catalog.clock_timestamp()
  WHERE h.company_id = $1 AND h.order_id = ANY (open) AND h.released_at IS NULL AND h.expires_at <= pg_catalog.now();
  INSERT INTO o2c.hold (company_id, order_id, reason, note, blocks, release_role, automatic)
  SELECT $1, f.order_id, f.reason, f.note, coalesce(r.blocks, '{confirm,pick,ship}'), r.release_role, true
  FROM o2c._credit_findings($1, open) f
  LEFT JOIN o2c.hold_reason r ON r.company_id = $1 AND r.code = f.reason
  ON CONFLICT DO NOTHING;
  open := (SELECT pg_catalog.array_agg(s.id) FROM o2c.sales_order s
           WHERE s.company_id = $1 AND s.id = ANY (open) AND s.state = 'submitted'
             AND NOT EXISTS (SELECT FROM o2c.hold h WHERE h.company_id = $1 AND h.order_id = s.id
                             AND h.released_at IS NULL AND 'confirm' = ANY (h.blocks)));
  IF open IS NOT NULL THEN
    WITH v AS MATERIALIZED (SELECT * FROM o2c._screen_orders($1, open)
    ), held AS (
      INSERT INTO o2c.hold (company_id, order_id, reason, note, blocks, release_role, automatic)
      SELECT $1, v.order_id, v.verdict, v.note, coalesce(r.blocks, '{confirm,pick,ship}'), r.release_role, true
      FROM v LEFT JOIN o2c.hold_reason r ON r.company_id = $1 AND r.code = v.verdict
      WHERE v.verdict IS NOT NULL
      ON CONFLICT DO NOTHING)
    SELECT pg_catalog.array_agg(v.order_id) INTO passing FROM v WHERE v.verdict IS NULL;
  END IF;
  IF pg_catalog.cardinality(passing) <= 20 THEN
    -- in the order in which somebody else's statement reads the lines of an order
    PERFORM FROM o2c.sales_order_line l WHERE l.company_id = $1 AND l.order_id = ANY (passing) ORDER BY l.id FOR NO KEY UPDATE;
  END IF;
  IF passing IS NOT NULL THEN
    PERFORM o2c._reserve($1, passing);
    UPDATE o2c.sales_order s SET state = 'confirmed' WHERE s.company_id = $1 AND s.id = ANY (passing);
  END IF;

  RETURN QUERY
    SELECT s.id, s.state::text, h.reasons,
           coalesce(h.notes, (SELECT f.finding FROM o2c._submit_findings($1, ARRAY[s.id]) f WHERE s.state = 'draft'))
    FROM o2c.sales_order s
    LEFT JOIN LATERAL (SELECT pg_catalog.string_agg(h.reason, ', ' ORDER BY h.id) AS reasons,
                              pg_catalog.string_agg(h.note, '; ' ORDER BY h.id) AS notes
                       FROM o2c.hold h WHERE h.company_id = $1 AND h.order_id = s.id AND h.released_at IS NULL
                         AND s.state IN ('draft', 'submitted')) h ON true
    WHERE s.company_id = $1 AND s.id = ANY ($2) ORDER BY s.id;
END $$;
COMMENT ON FUNCTION o2c.confirm_orders(integer, bigint[]) IS
  'Confirm orders in one go (drafts are submitted first), oldest promise first: reserves stock and takes credit. Each comes back with its state and, when it stayed, the holds and why. Errors: O2002, O2003.';

CREATE FUNCTION o2c.confirm_order(company_id integer, order_id bigint) RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  outcome record;
BEGIN
  IF $2 IS NULL THEN
    PERFORM o2c._order_label($1, $2);
  END IF;
  SELECT c.state, c.note INTO outcome FROM o2c.confirm_orders($1, ARRAY[$2]) c;
  IF outcome.state = 'draft' THEN
    RAISE EXCEPTION USING ERRCODE = 'O2033',
      MESSAGE = pg_catalog.format('order %s cannot be submitted: %s', o2c._order_label($1, $2), outcome.note);
  ELSIF outcome.state NOT IN ('submitted', 'confirmed') THEN
    RAISE EXCEPTION USING ERRCODE = 'O2010',
      MESSAGE = pg_catalog.format('order %s is %s and cannot be confirmed', o2c._order_label($1, $2), outcome.state);
  END IF;
  RETURN outcome.state;
END $$;
COMMENT ON FUNCTION o2c.confirm_order(integer, bigint) IS
  'Confirm an order (a draft is submitted first): reserves stock and takes credit. Returns "confirmed", or the state it stayed in with a hold when credit, fraud or stock forbids. Errors: O2002, O2003, O2010, O2033.';

CREATE FUNCTION o2c.hold_order(company_id integer, order_id bigint, reason text, note text DEFAULT NULL,
  expires_at timestamptz DEFAULT NULL)
RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  o record;
BEGIN
  IF coalesce(pg_catalog.btrim($3), '') = '' THEN
    RAISE EXCEPTION USING ERRCODE = 'O2004', MESSAGE = 'a hold needs a reason';
  END IF;
  IF pg_catalog.length($3) > 500 THEN
    RAISE EXCEPTION USING ERRCODE = 'O2004', MESSAGE = 'the reason of a hold has at most 500 characters',
      HINT = 'Say the rest in the note.';
  END IF;
  SELECT * INTO o FROM o2c._lock_order($1, $2);
  IF o.state IN ('closed', 'cancelled') THEN
    RAISE EXCEPTION USING ERRCODE = 'O2010',
      MESSAGE = pg_catalog.format('order %s is %s and cannot be put on hold', o.label, o.state);
  END IF;
  INSERT INTO o2c.hold (company_id, order_id, reason, note, blocks, release_role, expires_at)
  SELECT $1, $2, $3, $4, coalesce(r.blocks, '{confirm,pick,ship}'), r.release_role,
         coalesce($5, pg_catalog.now() + r.expires_after)
  FROM (SELECT 1) one LEFT JOIN o2c.hold_reason r ON r.company_id = $1 AND r.code = $3
  ON CONFLICT DO NOTHING;
  RETURN o.state;
END $$;
COMMENT ON FUNCTION o2c.hold_order(integer, bigint, text, text, timestamptz) IS
  'Put an order on hold for a reason, which o2c.hold_reason may describe; its state stays, and is returned. Errors: O2002, O2003, O2004, O2010.';

CREATE FUNCTION o2c._hold_over_limit(company_id integer, order_id bigint) RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  INSERT INTO o2c.hold (company_id, order_id, reason, note, blocks, release_role, automatic)
  SELECT $1, v.order_id, v.verdict, v.note, coalesce(r.blocks, '{confirm,pick,ship}'), r.release_role, true
  FROM o2c.sales_order s
  CROSS JOIN LATERAL o2c._screen_orders($1, ARRAY[s.id]) v
  LEFT JOIN o2c.hold_reason r ON r.company_id = $1 AND r.code = v.verdict
  WHERE s.company_id = $1 AND s.id = $2 AND s.state IN ('confirmed', 'fulfilling') AND v.verdict = 'credit'
  ON CONFLICT DO NOTHING
$$;
COMMENT ON FUNCTION o2c._hold_over_limit(integer, bigint) IS
  'Put a confirmed order on hold again while its customer is over the limit.';

CREATE FUNCTION o2c.release_order(company_id integer, order_id bigint, note text DEFAULT NULL, reason text DEFAULT NULL)
RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  o record;
  again boolean;
BEGIN
  SELECT * INTO o FROM o2c._lock_order($1, $2);
  WITH released AS (
    UPDATE o2c.hold h SET released_by = current_user, released_at = pg_catalog.clock_timestamp(), release_note = $3
    WHERE h.company_id = $1 AND h.order_id = $2 AND h.released_at IS NULL AND ($4 IS NULL OR h.reason = $4)
    RETURNING h.automatic)
  SELECT pg_catalog.bool_or(r.automatic) INTO again FROM released r;
  IF again AND o.state = 'submitted' THEN
    RETURN o2c.confirm_order($1, $2);
  ELSIF again THEN
    PERFORM o2c._hold_over_limit($1, $2);
  END IF;
  RETURN o.state;
END $$;
COMMENT ON FUNCTION o2c.release_order(integer, bigint, text, text) IS
  'Release the holds of an order, or that of one reason; what a check at confirmation had held is checked again and held again when it still must be. Takes a member of the hold''s role, or of o2c_manager. Returns the state after. Errors: O2002, O2003, O2008.';

CREATE FUNCTION o2c.cancel_order(company_id integer, order_id bigint, reason text DEFAULT NULL) RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  o record;
BEGIN
  SELECT * INTO o FROM o2c._lock_order($1, $2);
  IF o.state <> 'cancelled' THEN
    PERFORM o2c._note_reason($3);
    UPDATE o2c.sales_order s SET state = 'cancelled' WHERE s.company_id = $1 AND s.id = $2;
    PERFORM o2c._note_reason(NULL);
  END IF;
  RETURN 'cancelled';
END $$;
COMMENT ON FUNCTION o2c.cancel_order(integer, bigint, text) IS
  'Cancel an order of which nothing has been shipped: reserved stock, picked goods and credit are given back. Errors: O2002, O2003, O2010.';

CREATE FUNCTION o2c.cancel_rest(company_id integer, order_id bigint, reason text DEFAULT NULL) RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  o record;
  done boolean;
BEGIN
  SELECT * INTO o FROM o2c._lock_order($1, $2);
  IF o.state NOT IN ('confirmed', 'fulfilling') THEN
    RAISE EXCEPTION USING ERRCODE = 'O2010',
      MESSAGE = pg_catalog.format('order %s is %s: there is no open rest to cancel', o.label, o.state);
  END IF;
  IF NOT EXISTS (SELECT FROM o2c.sales_order_line l WHERE l.company_id = $1 AND l.order_id = $2 AND l.picked > 0) THEN
    RETURN o2c.cancel_order($1, $2, $3);
  END IF;
  PERFORM o2c._note_reason($3);
  UPDATE o2c.sales_order_line l SET cancelled = l.quantity - l.picked, reserved = least(l.reserved, l.picked - l.shipped)
  WHERE l.company_id = $1 AND l.order_id = $2 AND l.quantity - l.picked > l.cancelled;
  done := NOT EXISTS (SELECT FROM o2c.sales_order_line l WHERE l.company_id = $1 AND l.order_id = $2
                      AND l.shipped + l.cancelled < l.quantity);
  IF done THEN
    UPDATE o2c.sales_order s SET state = 'fulfilled' WHERE s.company_id = $1 AND s.id = $2;
  END IF;
  INSERT INTO o2c.event (company_id, entity, entity_id, event, reason) VALUES ($1, 'order', $2, 'cancel_rest', $3);
  PERFORM o2c._note_reason(NULL);
  RETURN (SELECT s.state FROM o2c.sales_order s WHERE s.company_id = $1 AND s.id = $2);
END $$;
COMMENT ON FUNCTION o2c.cancel_rest(integer, bigint, text) IS
  'Cancel what is not yet picked of an order; what is picked still leaves. Returns the state after. Errors: O2002, O2003, O2010.';

CREATE FUNCTION o2c.close_order(company_id integer, order_id bigint) RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  PERFORM o2c._lock_order($1, $2);
  UPDATE o2c.sales_order s SET state = 'closed' WHERE s.company_id = $1 AND s.id = $2 AND s.state <> 'closed';
  RETURN 'closed';
END $$;
COMMENT ON FUNCTION o2c.close_order(integer, bigint) IS
  'Close a fulfilled order that is invoiced. Errors: O2002, O2003, O2010.';

CREATE FUNCTION o2c.reopen_order(company_id integer, order_id bigint, reason text DEFAULT NULL) RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  PERFORM o2c._lock_order($1, $2);
  PERFORM o2c._note_reason($3);
  UPDATE o2c.sales_order s SET state = 'draft' WHERE s.company_id = $1 AND s.id = $2 AND s.state <> 'draft';
  PERFORM o2c._note_reason(NULL);
  RETURN 'draft';
END $$;
COMMENT ON FUNCTION o2c.reopen_order(integer, bigint, text) IS
  'Make a submitted order a draft again. Errors: O2002, O2003, O2010.';

CREATE FUNCTION o2c.amend_order(company_id integer, order_id bigint, lines jsonb, reason text DEFAULT NULL,
  promised_on date DEFAULT NULL)
RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  label text := o2c._order_label($1, $2);
  o record;
BEGIN
  IF NOT coalesce(pg_catalog.isfinite($5), true) THEN
    RAISE EXCEPTION USING ERRCODE = 'O2044', MESSAGE = 'the promised date must be finite';
  END IF;
  SELECT s.* INTO o FROM o2c.sales_order s WHERE s.company_id = $1 AND s.id = $2 FOR NO KEY UPDATE;
  IF o.state NOT IN ('draft', 'submitted', 'confirmed')
     OR EXISTS (SELECT FROM o2c.sales_order_line l WHERE l.company_id = $1 AND l.order_id = $2 AND l.picked > 0) THEN
    RAISE EXCEPTION USING ERRCODE = 'O2010',
      MESSAGE = pg_catalog.format('order %s cannot be amended', label),
      DETAIL = pg_catalog.format('It is %s, or goods of it have been picked.', o.state),
      HINT = 'o2c.cancel_rest() cancels what is still open; place a further order for the rest.';
  END IF;
  IF EXISTS (SELECT FROM o2c.sales_order_line l WHERE l.company_id = $1 AND l.order_id = $2 AND l.invoiced > 0) THEN
    RAISE EXCEPTION USING ERRCODE = 'O2010',
      MESSAGE = pg_catalog.format('order %s cannot be amended', label),
      DETAIL = 'It is on an invoice.',
      HINT = 'Drop the draft with o2c.drop_draft(); place a further order once it is issued.';
  END IF;
  PERFORM o2c._note_reason($4);
  IF o.state <> 'draft' THEN
    INSERT INTO o2c.order_version (company_id, order_id, version, state, total_amount, currency, lines, reason)
    SELECT $1, $2, o.version, o.state, o.total_amount, o.currency,
           pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('line', l.line_no, 'product', p.code, 'quantity', l.quantity,
             'unit_price', l.unit_price, 'discount_percent', l.discount_percent, 'net_amount', l.net_amount) ORDER BY l.line_no), $4
    FROM o2c.sales_order_line l JOIN o2c.product p ON p.company_id = l.company_id AND p.id = l.product_id
    WHERE l.company_id = $1 AND l.order_id = $2;
  END IF;
  IF o.state = 'confirmed' THEN
    -- the stock of old and new lines, before the account is touched for the first time
    PERFORM FROM o2c.stock k WHERE k.company_id = $1 AND k.warehouse = o.warehouse AND k.product_id IN (
      SELECT l.product_id FROM o2c.sales_order_line l WHERE l.company_id = $1 AND l.order_id = $2
      UNION ALL
      SELECT p.id FROM o2c._parse_order_lines(lines) n JOIN o2c.product p ON p.company_id = $1 AND p.code = n.product)
    ORDER BY k.product_id FOR NO KEY UPDATE;
    UPDATE o2c.sales_order s SET state = 'submitted' WHERE s.company_id = $1 AND s.id = $2;
  END IF;
  -- what cancelled shipments would have taken; all others have picked something
  DELETE FROM o2c.shipment_line w USING o2c.shipment h
  WHERE h.company_id = $1 AND h.order_id = $2 AND w.company_id = $1 AND w.shipment_id = h.id;
  DELETE FROM o2c.sales_order_line l WHERE l.company_id = $1 AND l.order_id = $2;
  PERFORM o2c._insert_order_lines($1, $2, lines);
  UPDATE o2c.sales_order s SET version = s.version + (o.state <> 'draft')::integer, content_key = NULL,
    promised_on = coalesce($5, s.promised_on)
  WHERE s.company_id = $1 AND s.id = $2;
  PERFORM o2c._note_reason(NULL);
  IF o.state = 'confirmed' THEN
    RETURN o2c.confirm_order($1, $2);
  END IF;
  RETURN o.state;
END $$;
COMMENT ON FUNCTION o2c.amend_order(integer, bigint, jsonb, text, date) IS
  'Replace the lines of an order before anything of it is picked; the earlier version stays in o2c.order_version. A confirmed order is checked and confirmed again, and its state returned. Errors: O2002, O2003, O2004, O2010.';
