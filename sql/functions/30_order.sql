-- Orders: placing them.
--
-- Locks are always taken in this order: open items, orders, order lines,
-- shipments, stock, credit accounts; within a kind in the order of keys.
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
  label text := (SELECT s.code FROM o2c.sales_order s WHERE s.company_id = company AND s.id = wanted);
BEGIN
  IF label IS NULL THEN
    PERFORM o2c._require_company(company);
    RAISE EXCEPTION USING ERRCODE = 'O2003',
      MESSAGE = pg_catalog.format('there is no order %s', coalesce(wanted::text, 'NULL')),
      HINT = 'place_order() returns the id of an order; o2c.sales_order lists them.';
  END IF;
  RETURN label;
END $$;
COMMENT ON FUNCTION o2c._order_label(integer, bigint) IS 'Code of an order. Errors: O2002, O2003.';

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
  promised_on date DEFAULT NULL, customer_reference text DEFAULT NULL, warehouse text DEFAULT 'main')
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
  bad record;
BEGIN
  IF NOT pg_catalog.isfinite(use_date) OR NOT coalesce(pg_catalog.isfinite($7), true) THEN
    RAISE EXCEPTION USING ERRCODE = 'O2044', MESSAGE = 'the date of an order must be finite';
  END IF;
  IF order_code = '' OR pg_catalog.length(order_code) > 100 THEN
    RAISE EXCEPTION USING ERRCODE = 'O2004', MESSAGE = 'an order code has 1 to 100 characters';
  END IF;
  IF NOT EXISTS (SELECT FROM o2c.warehouse w WHERE w.company_id = $1 AND w.code = use_warehouse) THEN
    RAISE EXCEPTION USING ERRCODE = 'O2003',
      MESSAGE = pg_catalog.format('there is no warehouse "%s"', use_warehouse);
  END IF;
  use_currency := coalesce($6::o2c.currency,
    (SELECT c.currency FROM o2c.customer c WHERE c.company_id = $1 AND c.id = customer));

  key := (SELECT pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(
      pg_catalog.jsonb_build_array(customer, use_date, use_currency::text, pg_catalog.jsonb_agg(
        pg_catalog.jsonb_build_array(p.product, pg_catalog.trim_scale(p.quantity),
          pg_catalog.trim_scale(p.unit_price), pg_catalog.trim_scale(p.discount_percent)) ORDER BY p.line_no))::text,
      'UTF8')), 'hex')
    FROM o2c._parse_order_lines(lines) p);
  new_id := pg_catalog.nextval('o2c.sales_order_id_seq');
  INSERT INTO o2c.sales_order (company_id, id, code, customer_id, currency, ordered_on, promised_on,
                               customer_reference, warehouse, content_key)
  VALUES ($1, new_id, coalesce(order_code, 'SO-' || new_id), customer, use_currency, use_date, $7, $8, use_warehouse, key)
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
COMMENT ON FUNCTION o2c.place_order(integer, text, jsonb, date, text, text, date, text, text) IS
  'Create a draft order; prices that are null come from the price list. The same order_code and content again returns the same order. Errors: O2002, O2003 (customer, product, warehouse), O2004 (a line), O2005 (code used for other content).';

CREATE FUNCTION o2c._insert_order_lines(company integer, target bigint, lines jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  bad record;
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
  SELECT l.line_no, l.product INTO bad
  FROM o2c._parse_order_lines(lines) l
  JOIN o2c.product p ON p.company_id = company AND p.code = l.product
  WHERE l.unit_price IS NULL AND p.unit_price IS NULL ORDER BY l.line_no LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'O2003',
      MESSAGE = pg_catalog.format('line %s: product "%s" has no price', bad.line_no, bad.product);
  END IF;
  INSERT INTO o2c.sales_order_line (company_id, order_id, line_no, product_id, description, quantity,
                                    unit_price, discount_percent, currency, net_amount, tax_category)
  SELECT company, target, l.line_no, p.id, p.name, l.quantity, coalesce(l.unit_price, p.unit_price), l.discount_percent,
         s.currency, o2c._line_net(l.quantity, coalesce(l.unit_price, p.unit_price), l.discount_percent, s.currency),
         p.tax_category
  FROM o2c._parse_order_lines(lines) l
  JOIN o2c.product p ON p.company_id = company AND p.code = l.product
  JOIN o2c.sales_order s ON s.company_id = company AND s.id = target
  ORDER BY l.line_no;
END $$;
COMMENT ON FUNCTION o2c._insert_order_lines(integer, bigint, jsonb) IS 'Price and insert the lines of an order. Errors: O2003, O2004.';
