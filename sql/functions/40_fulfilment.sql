-- Fulfilment: pick, pack, ship, deliver, return.

CREATE FUNCTION o2c._named_lines(lines jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
DECLARE
  bad record;
BEGIN
  IF pg_catalog.jsonb_typeof(lines) IS DISTINCT FROM 'array'
     OR NOT EXISTS (SELECT FROM pg_catalog.jsonb_array_elements(lines) e WHERE e ? 'line_no') THEN
    RETURN lines;
  END IF;
  SELECT l.n, l.e ->> 'line' AS line, l.e ->> 'line_no' AS line_no INTO bad
  FROM pg_catalog.jsonb_array_elements(lines) WITH ORDINALITY l(e, n)
  WHERE l.e ->> 'line' <> l.e ->> 'line_no' ORDER BY l.n LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'O2004',
      MESSAGE = pg_catalog.format('line %s names two lines: "line" %s and "line_no" %s', bad.n, bad.line, bad.line_no),
      HINT = 'Both mean the number of the line; one of them is enough.';
  END IF;
  RETURN (SELECT pg_catalog.jsonb_agg(
            CASE WHEN pg_catalog.jsonb_typeof(l.e) <> 'object' THEN l.e
                 WHEN l.e ->> 'line_no' IS NULL THEN l.e - 'line_no'
                 ELSE pg_catalog.jsonb_set(l.e - 'line_no', '{line}', l.e -> 'line_no') END ORDER BY l.n)
          FROM pg_catalog.jsonb_array_elements(lines) WITH ORDINALITY l(e, n));
END $$;
COMMENT ON FUNCTION o2c._named_lines(jsonb) IS
  'The lines that a caller passes with their number as "line" where it was given as "line_no", the name of the column. Errors: O2004 when both are there and differ.';

CREATE FUNCTION o2c._wanted_lines(company integer, wanted_order bigint, asked jsonb)
RETURNS TABLE (order_line_id bigint, quantity numeric)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  bad record;
  lines constant jsonb := o2c._named_lines($3);
BEGIN
  IF lines IS NULL THEN
    RETURN QUERY SELECT l.id, l.quantity - l.cancelled - l.picked FROM o2c.sales_order_line l
      WHERE l.company_id = company AND l.order_id = wanted_order AND l.quantity - l.cancelled - l.picked > 0
      ORDER BY l.line_no;
    RETURN;
  END IF;
  IF pg_catalog.jsonb_typeof(lines) <> 'array' OR pg_catalog.jsonb_array_length(lines) = 0 THEN
    RAISE EXCEPTION USING ERRCODE = 'O2004', MESSAGE = 'lines must be a JSON array that is not empty',
      HINT = 'Pass [{"line": 1, "quantity": 2}] or [{"product": "SKU", "quantity": 2}], or NULL for all that is open.';
  END IF;
  SELECT r.* INTO bad FROM (
    SELECT e.n, CASE
      WHEN pg_catalog.jsonb_typeof(e.e) <> 'object' THEN 'is not an object'
      WHEN e.e ->> 'line' IS NULL AND e.e ->> 'product' IS NULL THEN 'names neither line nor product'
      WHEN e.e ->> 'quantity' IS NOT NULL AND (coalesce(o2c._to_numeric(e.e ->> 'quantity') <= 0, true)
           OR NOT o2c.is_quantity(o2c._to_numeric(e.e ->> 'quantity')))
        THEN pg_catalog.format('has quantity %s; it must be a number greater than zero', e.e -> 'quantity')
      WHEN pg_catalog.count(l.id) = 0 THEN pg_catalog.format('is not on the order: %s', coalesce(e.e ->> 'line', e.e ->> 'product'))
      WHEN pg_catalog.count(l.id) > 1 THEN pg_catalog.format('is ambiguous: the order has %s lines of product "%s"',
           pg_catalog.count(l.id), e.e ->> 'product')
      END AS why
    FROM pg_catalog.jsonb_array_elements(lines) WITH ORDINALITY e(e, n)
    LEFT JOIN (SELECT l.id, l.line_no, p.code FROM o2c.sales_order_line l
               JOIN o2c.product p ON p.company_id = l.company_id AND p.id = l.product_id
               WHERE l.company_id = company AND l.order_id = wanted_order) l
      ON CASE WHEN e.e ->> 'line' IS NOT NULL THEN l.line_no::text = e.e ->> 'line' ELSE l.code = e.e ->> 'product' END
    GROUP BY e.n, e.e) r
  WHERE r.why IS NOT NULL ORDER BY r.n LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'O2004', MESSAGE = pg_catalog.format('line %s %s', bad.n, bad.why),
      HINT = 'Pass [{"line": 1, "quantity": 2}] or [{"product": "SKU", "quantity": 2}].';
  END IF;
  RETURN QUERY
    SELECT l.id, pg_catalog.sum(coalesce(o2c._to_numeric(e ->> 'quantity'), l.quantity - l.cancelled - l.picked))
    FROM pg_catalog.jsonb_array_elements(lines) e
    JOIN o2c.sales_order_line l ON l.company_id = company AND l.order_id = wanted_order
    JOIN o2c.product p ON p.company_id = l.company_id AND p.id = l.product_id
    WHERE CASE WHEN e ->> 'line' IS NOT NULL THEN l.line_no::text = e ->> 'line' ELSE p.code = e ->> 'product' END
    GROUP BY l.id;
END $$;
COMMENT ON FUNCTION o2c._wanted_lines(integer, bigint, jsonb) IS
  'Order lines and quantities that a caller names by line or product, or all that is not yet picked. Errors: O2004.';

CREATE FUNCTION o2c._refuse_held(company integer, wanted_order bigint, step text) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
DECLARE
  reasons text := (SELECT pg_catalog.string_agg(h.reason, ', ' ORDER BY h.id) FROM o2c.hold h
    WHERE h.company_id = company AND h.order_id = wanted_order AND h.released_at IS NULL
      AND step = ANY (h.blocks) AND (h.expires_at IS NULL OR h.expires_at > pg_catalog.now()));
BEGIN
  IF reasons IS NOT NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'O2011',
      MESSAGE = pg_catalog.format('order %s is on hold: %s', o2c._order_label(company, wanted_order), reasons),
      HINT = 'Release it with o2c.release_order().';
  END IF;
END $$;
COMMENT ON FUNCTION o2c._refuse_held(integer, bigint, text) IS 'Raises O2011 when an open hold blocks that step of the order.';

CREATE FUNCTION o2c._not_held(company integer, orders bigint[], steps text[]) RETURNS bigint[]
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  SELECT pg_catalog.array_agg(u.id) FROM pg_catalog.unnest(orders) u(id)
  WHERE NOT EXISTS (SELECT FROM o2c.hold h WHERE h.company_id = company AND h.order_id = u.id AND h.released_at IS NULL
                    AND h.blocks && steps AND (h.expires_at IS NULL OR h.expires_at > pg_catalog.now()))
$$;
COMMENT ON FUNCTION o2c._not_held(integer, bigint[], text[]) IS 'Those of the orders of which no open hold blocks one of these steps; NULL when none.';

CREATE FUNCTION o2c.pick_order(company_id integer, order_id bigint, lines jsonb DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  o record;
  new_id bigint;
BEGIN
  SELECT * INTO o FROM o2c._lock_order($1, $2);
  IF o.state NOT IN ('confirmed', 'fulfilling') THEN
    RAISE EXCEPTION USING ERRCODE = 'O2010',
      MESSAGE = pg_catalog.format('order %s is %s and cannot be picked', o.label, o.state),
      HINT = 'Only confirmed orders are picked and shipped; see o2c.confirm_order().';
  END IF;
  PERFORM o2c._refuse_held($1, $2, 'pick');
  PERFORM FROM o2c.sales_order_line l WHERE l.company_id = $1 AND l.order_id = $2 ORDER BY l.id FOR NO KEY UPDATE;
  new_id := pg_catalog.nextval('o2c.shipment_id_seq');
  INSERT INTO o2c.shipment (company_id, id, order_id, carrier)
  SELECT $1, new_id, $2, s.carrier FROM o2c.sales_order s WHERE s.company_id = $1 AND s.id = $2;
  INSERT INTO o2c.shipment_line (company_id, shipment_id, order_line_id, quantity)
  SELECT $1, new_id, w.order_line_id, w.quantity FROM o2c._wanted_lines($1, $2, $3) w WHERE w.quantity > 0;
  IF NOT FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'O2012', MESSAGE = pg_catalog.format('order %s has nothing open to pick', o.label);
  END IF;
  UPDATE o2c.shipment h SET state = 'picked' WHERE h.company_id = $1 AND h.id = new_id;
  RETURN new_id;
END $$;
COMMENT ON FUNCTION o2c.pick_order(integer, bigint, jsonb) IS
  'Pick goods of a confirmed order into a new shipment: lines by "line" or "product" with "quantity", or all that is open. Returns the shipment. Errors: O2002, O2003, O2004, O2010, O2011, O2012.';

CREATE FUNCTION o2c.pack_order(company_id integer, order_id bigint, lines jsonb DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  target bigint;
BEGIN
  PERFORM o2c._lock_order($1, $2);
  IF $3 IS NULL THEN
    target := (SELECT h.id FROM o2c.shipment h WHERE h.company_id = $1 AND h.order_id = $2 AND h.state = 'picked'
               ORDER BY h.id LIMIT 1);
  ELSE
    target := o2c._open_shipment($1, $2, $3, '{picked}');
  END IF;
  IF target IS NULL THEN
    target := o2c.pick_order($1, $2, $3);
  END IF;
  UPDATE o2c.shipment h SET state = 'packed' WHERE h.company_id = $1 AND h.id = target;
  RETURN target;
END $$;
COMMENT ON FUNCTION o2c.pack_order(integer, bigint, jsonb) IS
  'Pack the oldest picked shipment of an order, or the given lines, which are picked first when they are not. Returns the shipment. Errors: as pick_order().';

CREATE FUNCTION o2c._open_shipment(company integer, wanted_order bigint, lines jsonb, states o2c.shipment_state[]) RETURNS bigint
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  SELECT h.id FROM o2c.shipment h
  WHERE h.company_id = company AND h.order_id = wanted_order AND h.state = ANY (states)
    AND NOT EXISTS (
      SELECT FROM (SELECT w.order_line_id, w.quantity FROM o2c.shipment_line w
                   WHERE w.company_id = company AND w.shipment_id = h.id) w
      FULL JOIN o2c._wanted_lines(company, wanted_order, lines) n ON n.order_line_id = w.order_line_id
      WHERE w.quantity IS DISTINCT FROM n.quantity)
  ORDER BY h.id LIMIT 1
$$;
COMMENT ON FUNCTION o2c._open_shipment(integer, bigint, jsonb, o2c.shipment_state[]) IS
  'A shipment of an order that has not left and holds exactly these lines.';

CREATE FUNCTION o2c._ship(company integer, shipment_ids bigint[], on_date date) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
BEGIN
  UPDATE o2c.shipment h SET state = 'picked' WHERE h.company_id = company AND h.id = ANY (shipment_ids) AND h.state = 'planned';
  UPDATE o2c.shipment h SET state = 'packed' WHERE h.company_id = company AND h.id = ANY (shipment_ids) AND h.state = 'picked';
  UPDATE o2c.shipment h SET state = 'shipped', shipped_on = on_date WHERE h.company_id = company AND h.id = ANY (shipment_ids);
END $$;
COMMENT ON FUNCTION o2c._ship(integer, bigint[], date) IS 'Move shipments on until they have left; their triggers do the rest.';

CREATE FUNCTION o2c.ship_order(company_id integer, order_id bigint, lines jsonb DEFAULT NULL, shipped_on date DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  on_date date := coalesce($4, o2c.today($1));
  target bigint;
BEGIN
  IF NOT pg_catalog.isfinite(on_date) THEN
    RAISE EXCEPTION USING ERRCODE = 'O2044', MESSAGE = 'the date of a shipment must be finite';
  END IF;
  PERFORM o2c._lock_order($1, $2);
  PERFORM o2c._refuse_held($1, $2, 'ship');
  IF $3 IS NULL THEN
    target := (SELECT h.id FROM o2c.shipment h WHERE h.company_id = $1 AND h.order_id = $2
               AND h.state IN ('planned', 'picked', 'packed') ORDER BY h.id LIMIT 1);
  ELSE
    target := o2c._open_shipment($1, $2, $3, '{planned,picked,packed}');
  END IF;
  IF target IS NULL THEN
    target := o2c.pick_order($1, $2, $3);
  END IF;
  PERFORM o2c._ship($1, ARRAY[target], on_date);
  RETURN target;
END $$;
COMMENT ON FUNCTION o2c.ship_order(integer, bigint, jsonb, date) IS
  'Ship goods of a confirmed order: the oldest shipment that was picked, or the given lines, or all that is open. Returns the shipment. Errors: O2002, O2003, O2004, O2010, O2011 (hold), O2012 (quantity), O2013 (stock), O2044.';

CREATE FUNCTION o2c._make_shipments(company integer, order_ids bigint[], on_date date) RETURNS bigint[]
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  made bigint[];
BEGIN
  -- of stocked goods only what is reserved leaves; the rest stays as back-order
  WITH part AS MATERIALIZED (
    SELECT l.order_id, l.id, l.line_no, q.quantity
    FROM o2c.sales_order_line l JOIN o2c.product p ON p.company_id = l.company_id AND p.id = l.product_id
    CROSS JOIN LATERAL (SELECT l.quantity - l.cancelled - l.picked AS open, l.reserved - (l.picked - l.shipped) AS reserved) o
    CROSS JOIN LATERAL (SELECT CASE WHEN p.stocked THEN least(o.open, o.reserved) ELSE o.open END AS quantity) q
    WHERE l.company_id = company AND l.order_id = ANY (order_ids) AND q.quantity > 0
  ), header AS (
    INSERT INTO o2c.shipment (company_id, order_id, carrier)
    SELECT company, s.id, s.carrier FROM o2c.sales_order s
    WHERE s.company_id = company AND s.id IN (SELECT q.order_id FROM part q) ORDER BY s.id
    RETURNING id, order_id
  ), line AS (
    INSERT INTO o2c.shipment_line (company_id, shipment_id, order_line_id, quantity)
    SELECT company, h.id, q.id, q.quantity FROM header h JOIN part q ON q.order_id = h.order_id ORDER BY q.order_id, q.line_no)
  SELECT pg_catalog.array_agg(h.id) INTO made FROM header h;
  PERFORM o2c._ship(company, made, on_date);
  RETURN made;
END $$;
COMMENT ON FUNCTION o2c._make_shipments(integer, bigint[], date) IS
  'Make a shipment of all that is open and reserved of each order and ship it; what o2c._ship_at_once() runs.';

CREATE FUNCTION o2c._ship_at_once(company integer, order_ids bigint[], on_date date) RETURNS bigint[]
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'o2c_ship_at_once';
COMMENT ON FUNCTION o2c._ship_at_once(integer, bigint[], date) IS
  'Ship all that is open and reserved of orders, writing each of their lines once. Returns the shipments.';

CREATE FUNCTION o2c.ship_orders(company_id integer, order_ids bigint[], shipped_on date DEFAULT NULL)
RETURNS TABLE (order_id bigint, shipment_id bigint)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  on_date date := coalesce($3, o2c.today($1));
  ready bigint[];
  made bigint[];
BEGIN
  IF NOT pg_catalog.isfinite(on_date) THEN
    RAISE EXCEPTION USING ERRCODE = 'O2044', MESSAGE = 'the date of a shipment must be finite';
  END IF;
  PERFORM o2c._require_company($1);
  PERFORM o2c._order_label($1, u.id) FROM pg_catalog.unnest(coalesce($2, '{NULL}')) u(id)
  WHERE NOT EXISTS (SELECT FROM o2c.sales_order s WHERE s.company_id = $1 AND s.id = u.id);
  SELECT pg_catalog.array_agg(x.id) INTO ready
  FROM (SELECT s.id FROM o2c.sales_order s
        WHERE s.company_id = $1 AND s.id = ANY ($2) AND s.state IN ('confirmed', 'fulfilling')
        ORDER BY s.id FOR NO KEY UPDATE) x;
  ready := o2c._not_held($1, ready, '{pick,ship}');
  made := o2c._ship_at_once($1, ready, on_date);
  RETURN QUERY SELECT h.order_id, h.id FROM o2c.shipment h WHERE h.company_id = $1 AND h.id = ANY (made) ORDER BY h.order_id;
END $$;
COMMENT ON FUNCTION o2c.ship_orders(integer, bigint[], date) IS
  'Ship all that is open and reserved of many orders in one go, one shipment each; orders that are not ready or on hold are left out. Errors: O2002, O2003, O2044.';

CREATE FUNCTION o2c._lock_shipment(company integer, wanted bigint, OUT order_id bigint, OUT state o2c.shipment_state,
  OUT shipped_on date, OUT delivered_on date, OUT warehouse text)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  -- a shipment keeps its order, and orders are locked before shipments
  SELECT s.id, s.warehouse INTO order_id, warehouse FROM o2c.sales_order s
  WHERE s.company_id = company AND s.id = (SELECT h.order_id FROM o2c.shipment h WHERE h.company_id = company AND h.id = wanted)
  FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    PERFORM o2c._require_company(company);
    RAISE EXCEPTION USING ERRCODE = 'O2003',
      MESSAGE = pg_catalog.format('there is no shipment %s', coalesce(wanted::text, 'NULL'));
  END IF;
  SELECT h.state, h.shipped_on, h.delivered_on INTO state, shipped_on, delivered_on FROM o2c.shipment h
  WHERE h.company_id = company AND h.id = wanted FOR NO KEY UPDATE;
END $$;
COMMENT ON FUNCTION o2c._lock_shipment(integer, bigint) IS
  'Lock a shipment, after its order, until the end of the transaction. Errors: O2002, O2003.';

CREATE FUNCTION o2c.cancel_shipment(company_id integer, shipment_id bigint, reason text DEFAULT NULL) RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  PERFORM o2c._lock_shipment($1, $2);
  PERFORM o2c._note_reason($3);
  UPDATE o2c.shipment h SET state = 'cancelled' WHERE h.company_id = $1 AND h.id = $2;
  PERFORM o2c._note_reason(NULL);
  RETURN 'cancelled';
END $$;
COMMENT ON FUNCTION o2c.cancel_shipment(integer, bigint, text) IS
  'Put a shipment that has not left back. Errors: O2002, O2003, O2010.';

CREATE FUNCTION o2c.deliver_shipment(company_id integer, shipment_id bigint, delivered_on date DEFAULT NULL) RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  h record;
  on_date date := coalesce($3, o2c.today($1));
BEGIN
  SELECT * INTO h FROM o2c._lock_shipment($1, $2);
  IF h.state = 'delivered' AND ($3 IS NULL OR h.delivered_on = $3) THEN
    RETURN 'delivered';
  END IF;
  IF NOT pg_catalog.isfinite(on_date) OR on_date < h.shipped_on THEN
    RAISE EXCEPTION USING ERRCODE = 'O2044',
      MESSAGE = pg_catalog.format('shipment %s left on %s and cannot arrive on %s', $2, h.shipped_on, on_date);
  END IF;
  UPDATE o2c.shipment s SET state = 'delivered', delivered_on = on_date WHERE s.company_id = $1 AND s.id = $2;
  RETURN 'delivered';
END $$;
COMMENT ON FUNCTION o2c.deliver_shipment(integer, bigint, date) IS
  'Note that a shipment arrived. Errors: O2002, O2003, O2010, O2044 (before it left).';

CREATE FUNCTION o2c.return_goods(company_id integer, shipment_id bigint, lines jsonb DEFAULT NULL, reason text DEFAULT NULL,
  restock boolean DEFAULT true)
RETURNS numeric
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  h record;
  over record;
  total numeric;
  wanted constant jsonb := o2c._named_lines($3);
BEGIN
  SELECT * INTO h FROM o2c._lock_shipment($1, $2);
  IF h.state NOT IN ('shipped', 'delivered') THEN
    RAISE EXCEPTION USING ERRCODE = 'O2010', MESSAGE = pg_catalog.format('shipment %s is %s; nothing of it can come back', $2, h.state);
  END IF;
  IF $3 IS NOT NULL THEN
    -- checks the shape and that every line is on the order
    PERFORM FROM o2c._wanted_lines($1, h.order_id, wanted);
  END IF;
  CREATE TEMPORARY TABLE IF NOT EXISTS o2c_return (line_id bigint, order_line_id bigint, quantity numeric) ON COMMIT DROP;
  TRUNCATE pg_temp.o2c_return;
  INSERT INTO pg_temp.o2c_return
  SELECT w.id, w.order_line_id, CASE WHEN $3 IS NULL THEN w.quantity - w.returned ELSE e.quantity END
  FROM o2c.shipment_line w
  JOIN o2c.sales_order_line l ON l.company_id = $1 AND l.id = w.order_line_id
  JOIN o2c.product p ON p.company_id = $1 AND p.id = l.product_id
  LEFT JOIN LATERAL (SELECT pg_catalog.sum(coalesce(o2c._to_numeric(j ->> 'quantity'), w.quantity - w.returned)) AS quantity
        FROM pg_catalog.jsonb_array_elements(wanted) j
        WHERE CASE WHEN j ->> 'line' IS NOT NULL THEN l.line_no::text = j ->> 'line' ELSE p.code = j ->> 'product' END) e ON true
  WHERE w.company_id = $1 AND w.shipment_id = $2 AND CASE WHEN $3 IS NULL THEN w.quantity > w.returned ELSE e.quantity IS NOT NULL END;
  SELECT l.line_no, r.quantity, w.quantity - w.returned AS open INTO over
  FROM pg_temp.o2c_return r JOIN o2c.shipment_line w ON w.company_id = $1 AND w.id = r.line_id
  JOIN o2c.sales_order_line l ON l.company_id = $1 AND l.id = r.order_line_id
  WHERE r.quantity > w.quantity - w.returned ORDER BY l.line_no LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'O2012',
      MESSAGE = pg_catalog.format('shipment %s line %s: %s come back, %s were shipped and not returned', $2, over.line_no, over.quantity, over.open);
  END IF;
  total := (SELECT pg_catalog.sum(r.quantity) FROM pg_temp.o2c_return r);
  IF coalesce(total, 0) <= 0 THEN
    RAISE EXCEPTION USING ERRCODE = 'O2012', MESSAGE = pg_catalog.format('shipment %s has nothing that could come back', $2);
  END IF;
  IF restock THEN
    -- the stock before the account, which the next statement writes
    PERFORM FROM o2c.stock k WHERE k.company_id = $1 AND k.warehouse = h.warehouse AND k.product_id IN (
      SELECT l.product_id FROM pg_temp.o2c_return r JOIN o2c.sales_order_line l ON l.company_id = $1 AND l.id = r.order_line_id)
    ORDER BY k.product_id FOR NO KEY UPDATE;
  END IF;
  UPDATE o2c.shipment_line w SET returned = w.returned + r.quantity
  FROM pg_temp.o2c_return r WHERE w.company_id = $1 AND w.id = r.line_id;
  IF restock THEN
    UPDATE o2c.stock k SET on_hand = k.on_hand + d.quantity
    FROM (SELECT l.product_id, pg_catalog.sum(r.quantity) AS quantity FROM pg_temp.o2c_return r
          JOIN o2c.sales_order_line l ON l.company_id = $1 AND l.id = r.order_line_id GROUP BY 1) d
    WHERE k.company_id = $1 AND k.product_id = d.product_id AND k.warehouse = h.warehouse;
  END IF;
  INSERT INTO o2c.event (company_id, entity, entity_id, event, reason, data)
  SELECT $1, 'shipment', $2, 'return', $4, pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('order_line_id', r.order_line_id, 'quantity', r.quantity))
  FROM pg_temp.o2c_return r;
  RETURN total;
END $$;
COMMENT ON FUNCTION o2c.return_goods(integer, bigint, jsonb, text, boolean) IS
  'Take goods of a shipment back: given lines or everything; back on stock unless restock is false. Returns the quantity. Errors: O2002, O2003, O2004, O2010, O2012.';

CREATE FUNCTION o2c._check_fulfilment(company_id integer)
RETURNS TABLE (invariant text, company_id integer, entity text, entity_id bigint, detail text)
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  SELECT 'an order line is picked, shipped and returned as its shipments say', l.company_id, 'order_line', l.id,
         pg_catalog.format('line %s, shipments %s', (l.picked, l.shipped, l.returned), (d.picked, d.shipped, d.returned))
  FROM o2c.sales_order_line l
  LEFT JOIN (
    SELECT w.company_id, w.order_line_id,
           coalesce(pg_catalog.sum(w.quantity) FILTER (WHERE h.state <> 'cancelled'), 0) AS picked,
           coalesce(pg_catalog.sum(w.quantity) FILTER (WHERE h.state IN ('shipped', 'delivered')), 0) AS shipped,
           pg_catalog.sum(w.returned) AS returned
    FROM o2c.shipment_line w JOIN o2c.shipment h ON h.company_id = w.company_id AND h.id = w.shipment_id
    WHERE $1 IS NULL OR w.company_id = $1 GROUP BY 1, 2) d
    ON d.company_id = l.company_id AND d.order_line_id = l.id
  WHERE ($1 IS NULL OR l.company_id = $1)
    AND (l.picked, l.shipped, l.returned) <> (coalesce(d.picked, 0), coalesce(d.shipped, 0), coalesce(d.returned, 0))
  UNION ALL
  SELECT 'an order line is billed as its issued invoices say', l.company_id, 'order_line', l.id,
         pg_catalog.format('billed %s, invoices %s', l.billed, coalesce(d.quantity, 0))
  FROM o2c.sales_order_line l
  LEFT JOIN (
    SELECT v.company_id, v.order_line_id, pg_catalog.sum(CASE WHEN v.rebill THEN -v.quantity ELSE v.quantity END) AS quantity
    FROM o2c.invoice_line v JOIN o2c.invoice i ON i.company_id = v.company_id AND i.id = v.invoice_id
    WHERE ($1 IS NULL OR v.company_id = $1) AND i.state NOT IN ('draft', 'void')
      AND v.order_line_id IS NOT NULL AND (v.original_line_id IS NULL OR v.rebill) GROUP BY 1, 2) d
    ON d.company_id = l.company_id AND d.order_line_id = l.id
  WHERE ($1 IS NULL OR l.company_id = $1) AND l.billed <> coalesce(d.quantity, 0)
$$;
COMMENT ON FUNCTION o2c._check_fulfilment(integer) IS 'Violated invariants of shipments and of what was billed.';

CREATE FUNCTION o2c._lock_backorders(company integer, only_product bigint) RETURNS bigint[]
LANGUAGE sql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  SELECT pg_catalog.array_agg(x.id) FROM (
    SELECT s.id FROM o2c.sales_order s
    WHERE s.company_id = company AND s.state IN ('confirmed', 'fulfilling')
      AND EXISTS (SELECT FROM o2c.sales_order_line l JOIN o2c.product p ON p.company_id = l.company_id AND p.id = l.product_id AND p.stocked
                  WHERE l.company_id = company AND l.order_id = s.id AND l.reserved + l.shipped + l.cancelled < l.quantity
                    AND (only_product IS NULL OR p.id = only_product))
    ORDER BY s.id FOR NO KEY UPDATE) x
$$;
COMMENT ON FUNCTION o2c._lock_backorders(integer, bigint) IS
  'Lock the confirmed orders that miss stocked goods, of one product or any, and return their ids.';

CREATE FUNCTION o2c.allocate_stock(company_id integer, product_code text DEFAULT NULL) RETURNS numeric
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  product bigint := CASE WHEN $2 IS NOT NULL THEN o2c._product_id($1, $2) END;
  orders bigint[];
BEGIN
  PERFORM o2c._require_company($1);
  -- orders first, then the stock: the order of all locks
  orders := o2c._lock_backorders($1, product);
  PERFORM FROM o2c.stock k
  WHERE k.company_id = $1 AND k.product_id IN (
    SELECT l.product_id FROM o2c.sales_order_line l
    WHERE l.company_id = $1 AND l.order_id = ANY (orders) AND (product IS NULL OR l.product_id = product))
  ORDER BY k.product_id, k.warehouse COLLATE "C" FOR NO KEY UPDATE;
  RETURN o2c._reserve($1, orders, product);
END $$;
COMMENT ON FUNCTION o2c.allocate_stock(integer, text) IS
  'Reserve what is on stock for back-ordered lines, oldest promise first, of one product or all. Returns the quantity. Errors: O2002, O2003.';

CREATE FUNCTION o2c.receive_goods(company_id integer, product_code text, quantity numeric, warehouse text DEFAULT 'main',
  reason text DEFAULT NULL)
RETURNS numeric
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  product bigint := o2c._product_id($1, $2);
  orders bigint[];
BEGIN
  IF $3 IS NULL OR $3 <= 0 OR NOT o2c.is_quantity($3) THEN
    RAISE EXCEPTION USING ERRCODE = 'O2004', MESSAGE = pg_catalog.format('%s is not a quantity', coalesce($3::text, 'NULL')),
      HINT = 'A quantity is greater than zero and has at most six decimals.';
  END IF;
  IF NOT EXISTS (SELECT FROM o2c.warehouse w WHERE w.company_id = $1 AND w.code = coalesce($4, 'main')) THEN
    RAISE EXCEPTION USING ERRCODE = 'O2003', MESSAGE = pg_catalog.format('there is no warehouse "%s"', pg_catalog.left($4, 100));
  END IF;
  IF NOT (SELECT p.stocked FROM o2c.product p WHERE p.company_id = $1 AND p.id = product) THEN
    RAISE EXCEPTION USING ERRCODE = 'O2004', MESSAGE = pg_catalog.format('product "%s" is not kept on stock', $2),
      HINT = 'Set product.stocked when orders are to reserve it.';
  END IF;
  -- who waits for these goods is served before anybody who orders now can reserve them
  orders := o2c._lock_backorders($1, product);
  -- they may wait in other warehouses too
  PERFORM FROM o2c.stock k WHERE k.company_id = $1 AND k.product_id = product ORDER BY k.warehouse COLLATE "C" FOR NO KEY UPDATE;
  INSERT INTO o2c.stock AS k (company_id, product_id, warehouse, on_hand) VALUES ($1, product, coalesce($4, 'main'), $3)
  ON CONFLICT ON CONSTRAINT stock_company_id_product_id_warehouse_key DO UPDATE SET on_hand = k.on_hand + EXCLUDED.on_hand;
  INSERT INTO o2c.event (company_id, entity, entity_id, event, reason, data)
  VALUES ($1, 'product', product, 'receive', $5,
          pg_catalog.jsonb_build_object('quantity', $3, 'warehouse', coalesce($4, 'main')));
  RETURN o2c._reserve($1, orders, product);
END $$;
COMMENT ON FUNCTION o2c.receive_goods(integer, text, numeric, text, text) IS
  'Add goods to the stock of a warehouse and reserve them for back-ordered lines, oldest promise first. Returns the quantity reserved. Errors: O2002, O2003 (product, warehouse), O2004 (quantity, product not stocked).';
