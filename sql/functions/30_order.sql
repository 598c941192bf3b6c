-- Orders: placing them.
--
-- Locks are always taken in this order: orders, open items, invoices, order
-- lines, shipments, stock, credit accounts, series; within a kind by key.
-- docs/reference/order.md says more about it.

CREATE FUNCTION o2c._seed_company_order(company_id integer) RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  INSERT INTO o2c.hold_reason (company_id, code, name, blocks) VALUES
    ($1, 'credit', 'Credit limit or credit rule', '{confirm,pick,ship}'),
    ($1, 'stock', 'Not enough stock', '{confirm,pick,ship}'),
    ($1, 'fraud', 'Suspected fraud', '{confirm,pick,ship,invoice}'),
    ($1, 'manual', 'Placed by hand', '{confirm,pick,ship}')
  ON CONFLICT DO NOTHING
$$;
COMMENT ON FUNCTION o2c._seed_company_order(integer) IS 'What every company starts with: reasons for holds.';

CREATE FUNCTION o2c._order_label(company integer, wanted bigint) RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
DECLARE
  label text;
BEGIN
  IF pg_catalog.to_regclass('o2c.sales_order') IS NULL THEN
    PERFORM o2c._require_installed();
  END IF;
  label := (SELECT s.code FROM o2c.sales_order s WHERE s.company_id = company AND s.id = wanted);
  IF label IS NULL THEN
    PERFORM o2c._require_company(company);
    RAISE EXCEPTION USING ERRCODE = 'O2003',
      MESSAGE = pg_catalog.format('there is no order %s', coalesce(wanted::text, 'NULL')),
      HINT = 'place_order() returns the id of an order; o2c.sales_order lists them.';
  END IF;
  RETURN label;
END $$;
COMMENT ON FUNCTION o2c._order_label(integer, bigint) IS 'Code of an order. Errors: O2002, O2003.';

CREATE FUNCTION o2c._lock_order(company integer, wanted bigint, OUT label text, OUT state o2c.order_state, OUT warehouse text)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
BEGIN
  label := o2c._order_label(company, wanted);
  SELECT s.state, s.warehouse INTO state, warehouse FROM o2c.sales_order s
  WHERE s.company_id = company AND s.id = wanted FOR NO KEY UPDATE;
END $$;
COMMENT ON FUNCTION o2c._lock_order(integer, bigint) IS
  'Lock an order until the end of the transaction: its code, state and warehouse. Errors: O2002, O2003.';

CREATE FUNCTION o2c._note_reason(reason text) RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$ SELECT pg_catalog.set_config('order2cash.reason', coalesce(reason, ''), true) $$;
COMMENT ON FUNCTION o2c._note_reason(text) IS 'Reason that the event log notes with the moves that follow in this transaction.';

CREATE FUNCTION o2c._line_net(quantity numeric, unit_price numeric, discount_percent numeric, currency o2c.currency)
RETURNS numeric
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$ SELECT o2c.round_amount(quantity * unit_price * (1 - discount_percent / 100), currency) $$;
COMMENT ON FUNCTION o2c._line_net(numeric, numeric, numeric, o2c.currency) IS
  'Net amount of an order line, rounded half away from zero to the currency.';

CREATE FUNCTION o2c._parse_order_lines(lines jsonb)
RETURNS TABLE (line_no integer, product text, quantity numeric, unit_price numeric, discount_percent numeric)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  bad record;
BEGIN
  IF lines IS NULL OR pg_catalog.jsonb_typeof(lines) <> 'array' OR pg_catalog.jsonb_array_length(lines) = 0 THEN
    RAISE EXCEPTION USING ERRCODE = 'O2004', MESSAGE = 'an order needs lines',
      HINT = 'Pass a JSON array such as [{"product": "SKU", "quantity": 2}].';
  END IF;
  SELECT r.* INTO bad FROM (
    SELECT l.n, CASE
      WHEN pg_catalog.jsonb_typeof(l.e) <> 'object' THEN 'is not an object'
      WHEN pg_catalog.jsonb_typeof(l.e -> 'product') IS DISTINCT FROM 'string' OR l.e ->> 'product' = ''
        THEN 'names no product'
      WHEN l.e ->> 'quantity' IS NULL THEN 'has no quantity'
      WHEN o2c._to_numeric(l.e ->> 'quantity') IS NULL
        THEN pg_catalog.format('has quantity %s, which is not a number', l.e -> 'quantity')
      WHEN o2c._to_numeric(l.e ->> 'quantity') <= 0
        THEN pg_catalog.format('has quantity %s; it must be greater than zero', l.e ->> 'quantity')
      WHEN NOT o2c.is_quantity(o2c._to_numeric(l.e ->> 'quantity'))
        THEN pg_catalog.format('has quantity %s, which has more than six decimals or is too large', l.e ->> 'quantity')
      WHEN l.e ->> 'unit_price' IS NOT NULL AND o2c._to_numeric(l.e ->> 'unit_price') IS NULL
        THEN pg_catalog.format('has unit price %s, which is not a number', l.e -> 'unit_price')
      WHEN o2c._to_numeric(l.e ->> 'unit_price') <= 0
        THEN pg_catalog.format('has unit price %s; it must be greater than zero', l.e ->> 'unit_price')
      WHEN NOT o2c.is_quantity(o2c._to_numeric(l.e ->> 'unit_price'))
        THEN pg_catalog.format('has unit price %s, which has more than six decimals or is too large', l.e ->> 'unit_price')
      WHEN o2c._to_numeric(l.e ->> 'quantity') * o2c._to_numeric(l.e ->> 'unit_price') >= 1e15
        THEN 'has an amount that is too large'
      WHEN l.e ->> 'discount_percent' IS NOT NULL
           AND coalesce(o2c._to_numeric(l.e ->> 'discount_percent') NOT BETWEEN 0 AND 100, true)
        THEN pg_catalog.format('has discount %s; it must be from 0 to 100 percent', l.e -> 'discount_percent')
      END AS why
    FROM pg_catalog.jsonb_array_elements(lines) WITH ORDINALITY l(e, n)) r
  WHERE r.why IS NOT NULL ORDER BY r.n LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'O2004',
      MESSAGE = pg_catalog.format('line %s %s', bad.n, bad.why),
      HINT = 'A line is {"product": "SKU", "quantity": 2, "unit_price": null, "discount_percent": 0}.';
  END IF;
  RETURN QUERY
    SELECT l.n::integer, l.e ->> 'product', (l.e ->> 'quantity')::numeric,
           (l.e ->> 'unit_price')::numeric, coalesce((l.e ->> 'discount_percent')::numeric, 0)
    FROM pg_catalog.jsonb_array_elements(lines) WITH ORDINALITY l(e, n);
END $$;
COMMENT ON FUNCTION o2c._parse_order_lines(jsonb) IS
  'The lines of an order as rows; anything that is no line raises O2004 with its position.';

CREATE FUNCTION o2c.place_order(company_id integer, customer_code text, lines jsonb,
  ordered_on date DEFAULT NULL, order_code text DEFAULT NULL, currency text DEFAULT NULL,
  promised_on date DEFAULT NULL, customer_reference text DEFAULT NULL, warehouse text DEFAULT 'main',
  carrier text DEFAULT NULL, incoterm text DEFAULT NULL, incoterm_place text DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  customer bigint := o2c._customer_id($1, customer_code);
  use_currency o2c.currency;
  use_date date := coalesce(ordered_on, o2c.today($1));
  use_warehouse text := coalesce($9, 'main');
  key text;
  new_id bigint;
  there record;
BEGIN
  IF NOT pg_catalog.isfinite(use_date) OR NOT coalesce(pg_catalog.isfinite($7), true) THEN
    RAISE EXCEPTION USING ERRCODE = 'O2044', MESSAGE = 'the date of an order must be finite';
  END IF;
  IF pg_catalog.btrim(order_code) = '' OR pg_catalog.length(order_code) > 100 OR order_code ~ '[[:cntrl:]]' THEN
    RAISE EXCEPTION USING ERRCODE = 'O2004', MESSAGE = 'an order code has 1 to 100 characters, none of them a control character';
  END IF;
  IF NOT EXISTS (SELECT FROM o2c.warehouse w WHERE w.company_id = $1 AND w.code = use_warehouse) THEN
    RAISE EXCEPTION USING ERRCODE = 'O2003',
      MESSAGE = pg_catalog.format('there is no warehouse "%s"', use_warehouse);
  END IF;
  IF $11 IS NOT NULL AND NOT EXISTS (SELECT FROM o2c._incoterms() i WHERE i.code = $11) THEN
    RAISE EXCEPTION USING ERRCODE = 'O2004', MESSAGE = pg_catalog.format('"%s" is not a term of Incoterms 2020', $11),
      HINT = 'Use one of EXW, FCA, CPT, CIP, DAP, DPU, DDP, FAS, FOB, CFR, CIF.';
  END IF;
  IF $10 IS NOT NULL AND NOT EXISTS (SELECT FROM o2c.carrier c WHERE c.company_id = $1 AND c.code = $10) THEN
    RAISE EXCEPTION USING ERRCODE = 'O2003', MESSAGE = pg_catalog.format('there is no carrier "%s"', $10);
  END IF;
  use_currency := coalesce($6::o2c.currency,
    (SELECT c.currency FROM o2c.customer c WHERE c.company_id = $1 AND c.id = customer));
  IF o2c.minor_unit(use_currency) IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'O2042', MESSAGE = pg_catalog.format('nothing can be sold in %s, which has no minor unit', use_currency),
      HINT = 'Use a currency of a country, for example EUR.';
  END IF;

  key := (SELECT pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(
      pg_catalog.jsonb_build_array(customer, use_date, use_currency::text, pg_catalog.jsonb_agg(
        pg_catalog.jsonb_build_array(p.product, pg_catalog.trim_scale(p.quantity),
          pg_catalog.trim_scale(p.unit_price), pg_catalog.trim_scale(p.discount_percent)) ORDER BY p.line_no))::text,
      'UTF8')), 'hex')
    FROM o2c._parse_order_lines(lines) p);
  new_id := pg_catalog.nextval('o2c.sales_order_id_seq');
  INSERT INTO o2c.sales_order (company_id, id, code, customer_id, currency, ordered_on, promised_on,
                               customer_reference, warehouse, content_key, carrier, incoterm, incoterm_place)
  VALUES ($1, new_id, coalesce(order_code, 'SO-' || new_id), customer, use_currency, use_date, $7, $8, use_warehouse, key,
          $10, $11, $12)
  ON CONFLICT ON CONSTRAINT sales_order_company_id_code_key DO NOTHING;
  IF NOT FOUND THEN
    SELECT s.id, s.content_key INTO there FROM o2c.sales_order s
    WHERE s.company_id = $1 AND s.code = coalesce(order_code, 'SO-' || new_id);
    IF there.content_key IS DISTINCT FROM key THEN
      RAISE EXCEPTION USING ERRCODE = 'O2005',
        MESSAGE = pg_catalog.format('order "%s" exists with other content', coalesce(order_code, 'SO-' || new_id)),
        HINT = 'Use another order_code, or change the order with o2c.amend_order().';
    END IF;
    RETURN there.id;
  END IF;

  PERFORM o2c._insert_order_lines($1, new_id, lines);
  RETURN new_id;
END $$;
COMMENT ON FUNCTION o2c.place_order(integer, text, jsonb, date, text, text, date, text, text, text, text, text) IS
  'Create a draft order; prices that are null come from the price list. The same order_code and content again returns the same order. Errors: O2002, O2003 (customer, product, warehouse), O2004 (a line), O2005 (code used for other content).';

CREATE FUNCTION o2c._insert_order_lines(company integer, target bigint, lines jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  bad record;
  want record;
  o record;
BEGIN
  SELECT l.line_no, l.product, p.id AS product_id, p.active INTO bad
  FROM o2c._parse_order_lines(lines) l
  LEFT JOIN o2c.product p ON p.company_id = company AND p.code = l.product
  WHERE p.id IS NULL OR NOT p.active ORDER BY l.line_no LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'O2003',
      MESSAGE = CASE WHEN bad.product_id IS NULL
        THEN pg_catalog.format('line %s: there is no product "%s"', bad.line_no, bad.product)
        ELSE pg_catalog.format('line %s: product "%s" is no longer sold', bad.line_no, bad.product) END;
  END IF;
  SELECT pg_catalog.array_agg(p.id ORDER BY l.line_no) AS products,
         pg_catalog.array_agg(l.quantity ORDER BY l.line_no) AS quantities, pg_catalog.count(*) AS count
  INTO want FROM o2c._parse_order_lines(lines) l JOIN o2c.product p ON p.company_id = company AND p.code = l.product;
  SELECT s.customer_id, s.currency::text AS currency, s.ordered_on INTO o
  FROM o2c.sales_order s WHERE s.company_id = company AND s.id = target;
  -- as prices stand in the list, or as the caller gives them
  WITH found AS MATERIALIZED (
    SELECT f.n, f.unit_price, f.discount_percent
    FROM o2c._find_prices(company, pg_catalog.array_fill(o.customer_id, ARRAY[want.count::integer]),
      pg_catalog.array_fill(o.currency, ARRAY[want.count::integer]),
      pg_catalog.array_fill(o.ordered_on, ARRAY[want.count::integer]), want.products, want.quantities) f
  ), made AS (
    INSERT INTO o2c.sales_order_line (company_id, order_id, line_no, product_id, description, quantity,
                                      unit_price, discount_percent, currency, net_amount, tax_category)
    SELECT company, target, l.line_no, p.id, p.name, l.quantity, x.price, x.discount, o.currency::o2c.currency,
           o2c._line_net(l.quantity, x.price, x.discount, o.currency::o2c.currency), p.tax_category
    FROM o2c._parse_order_lines(lines) l
    JOIN o2c.product p ON p.company_id = company AND p.code = l.product
    JOIN found f ON f.n = l.line_no
    CROSS JOIN LATERAL (SELECT coalesce(l.unit_price, f.unit_price) AS price,
      CASE WHEN l.unit_price IS NULL AND l.discount_percent = 0 THEN f.discount_percent ELSE l.discount_percent END AS discount) x
    WHERE x.price IS NOT NULL
    ORDER BY l.line_no
    RETURNING line_no)
  SELECT l.line_no, l.product INTO bad FROM o2c._parse_order_lines(lines) l
  WHERE NOT EXISTS (SELECT FROM made m WHERE m.line_no = l.line_no) ORDER BY l.line_no LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'O2003',
      MESSAGE = pg_catalog.format('line %s: product "%s" has no price in %s on %s', bad.line_no, bad.product, o.currency, o.ordered_on),
      DETAIL = coalesce((SELECT pg_catalog.format('The last price ended on %s.', pg_catalog.max(pg_catalog.upper(r.valid) - 1))
                FROM o2c.price r JOIN o2c.product p ON p.company_id = r.company_id AND p.id = r.product_id
                WHERE r.company_id = company AND p.code = bad.product AND pg_catalog.upper(r.valid) <= o.ordered_on
                HAVING pg_catalog.count(*) > 0), 'Neither a price list nor the product has one.'),
      HINT = 'Give a unit_price, or insert a price into o2c.price or product.unit_price.';
  END IF;
END $$;
COMMENT ON FUNCTION o2c._insert_order_lines(integer, bigint, jsonb) IS 'Price and insert the lines of an order. Errors: O2003, O2004.';

CREATE FUNCTION o2c._check_order(company_id integer)
RETURNS TABLE (invariant text, company_id integer, entity text, entity_id bigint, detail text)
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  SELECT 'an order''s total is the sum of its lines', s.company_id, 'order', s.id,
         pg_catalog.format('order %s: total %s, lines %s', s.code, s.total_amount, coalesce(l.amount, 0))
  FROM o2c.sales_order s
  LEFT JOIN (SELECT l.company_id, l.order_id, pg_catalog.sum(l.net_amount) AS amount, pg_catalog.bool_and(l.currency = x.currency) AS same
             FROM o2c.sales_order_line l JOIN o2c.sales_order x ON x.company_id = l.company_id AND x.id = l.order_id
             WHERE $1 IS NULL OR l.company_id = $1 GROUP BY 1, 2) l
    ON l.company_id = s.company_id AND l.order_id = s.id
  WHERE ($1 IS NULL OR s.company_id = $1) AND (s.total_amount <> coalesce(l.amount, 0) OR NOT coalesce(l.same, true))
  UNION ALL
  SELECT 'only orders under way have reserved stock', s.company_id, 'order', s.id,
         pg_catalog.format('order %s is %s and has reserved %s', s.code, s.state, l.reserved)
  FROM o2c.sales_order s JOIN o2c.sales_order_line l ON l.company_id = s.company_id AND l.order_id = s.id
  WHERE ($1 IS NULL OR s.company_id = $1) AND l.reserved > 0 AND s.state NOT IN ('submitted', 'confirmed', 'fulfilling')
  UNION ALL
  SELECT 'an order is as far as its goods', s.company_id, 'order', s.id,
         pg_catalog.format('order %s is %s, %s shipped, %s open', s.code, s.state, l.shipped, l.open)
  FROM o2c.sales_order s
  JOIN (SELECT l.company_id, l.order_id, pg_catalog.sum(l.shipped) AS shipped, pg_catalog.sum(l.quantity - l.cancelled - l.shipped) AS open
        FROM o2c.sales_order_line l WHERE $1 IS NULL OR l.company_id = $1 GROUP BY 1, 2) l
    ON l.company_id = s.company_id AND l.order_id = s.id
  WHERE ($1 IS NULL OR s.company_id = $1)
    AND CASE WHEN s.state IN ('fulfilled', 'closed') THEN l.open > 0 OR l.shipped = 0
             WHEN s.state = 'fulfilling' THEN l.shipped = 0 ELSE l.shipped > 0 END
  UNION ALL
  SELECT 'reserved stock is that of the order lines', coalesce(k.company_id, d.company_id), 'product',
         coalesce(k.product_id, d.product_id),
         pg_catalog.format('%s: stock has reserved %s, orders %s', coalesce(k.warehouse, d.warehouse), k.reserved, d.reserved)
  FROM (SELECT * FROM o2c.stock k WHERE $1 IS NULL OR k.company_id = $1) k
  FULL JOIN (SELECT s.company_id, l.product_id, s.warehouse, pg_catalog.sum(l.reserved) AS reserved
             FROM o2c.sales_order s JOIN o2c.sales_order_line l ON l.company_id = s.company_id AND l.order_id = s.id
             WHERE ($1 IS NULL OR s.company_id = $1) AND l.reserved > 0 GROUP BY 1, 2, 3) d
    ON d.company_id = k.company_id AND d.product_id = k.product_id AND d.warehouse = k.warehouse
  WHERE coalesce(k.reserved, 0) <> coalesce(d.reserved, 0)
  UNION ALL
  SELECT 'an order is in the state that its events lead to', s.company_id, 'order', s.id,
         pg_catalog.format('order %s is %s, its last event led to %s', s.code, s.state, e.to_state)
  FROM o2c.sales_order s
  CROSS JOIN LATERAL (SELECT n.to_state FROM o2c.event n
    WHERE n.company_id = s.company_id AND n.entity = 'order' AND n.entity_id = s.id AND n.to_state IS NOT NULL
    ORDER BY n.id DESC LIMIT 1) e
  WHERE ($1 IS NULL OR s.company_id = $1) AND e.to_state <> s.state::text
$$;
COMMENT ON FUNCTION o2c._check_order(integer) IS 'Violated invariants of orders and stock.';
