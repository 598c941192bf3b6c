-- Prices and shipping: looked up for whole orders at once.

CREATE FUNCTION o2c._find_prices(company integer, customer_ids bigint[], currencies text[], dates date[],
  product_ids bigint[], quantities numeric[])
RETURNS TABLE (n bigint, unit_price numeric, discount_percent numeric)
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  SELECT w.n,
         coalesce(f.unit_price, CASE WHEN w.currency = c.currency THEN p.unit_price
           ELSE pg_catalog.round(p.unit_price * o2c._rate_on(company, c.currency, w.currency, w.on_date), 6) END),
         coalesce(f.discount_percent, 0)
  FROM ROWS FROM (pg_catalog.unnest(customer_ids), pg_catalog.unnest(currencies), pg_catalog.unnest(dates),
                  pg_catalog.unnest(product_ids), pg_catalog.unnest(quantities))
         WITH ORDINALITY w(customer_id, currency, on_date, product_id, quantity, n)
  JOIN o2c.company c ON c.company_id = company
  JOIN o2c.product p ON p.company_id = company AND p.id = w.product_id
  LEFT JOIN LATERAL (
    SELECT r.unit_price, r.discount_percent
    FROM o2c.price r
    JOIN o2c.price_list l ON l.company_id = r.company_id AND l.id = r.price_list_id
    JOIN o2c.customer k ON k.company_id = company AND k.id = w.customer_id
    WHERE r.company_id = company AND r.product_id = w.product_id AND r.valid @> w.on_date
      AND r.min_quantity <= w.quantity AND l.currency = w.currency
      AND (l.customer_id IS NULL OR l.customer_id = w.customer_id)
      AND (l.customer_group IS NULL OR l.customer_group = k.customer_group)
    ORDER BY (l.customer_id IS NOT NULL) DESC, (l.customer_group IS NOT NULL) DESC, l.priority DESC,
             r.min_quantity DESC, r.unit_price LIMIT 1) f ON true
$$;
COMMENT ON FUNCTION o2c._find_prices(integer, bigint[], text[], date[], bigint[], numeric[]) IS
  'Price and discount of many lines (parallel arrays) at once: the customer''s list, its group''s, a general one, else the product''s own price, converted when the currency is another. NULL price: there is none.';

CREATE FUNCTION o2c._rate_on(company integer, from_currency text, to_currency text, on_date date) RETURNS numeric
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  SELECT CASE WHEN $2 = $3 THEN 1 ELSE
    (SELECT CASE WHEN r.from_currency = $2 THEN r.rate ELSE 1 / r.rate END
     FROM o2c.exchange_rate r
     WHERE r.company_id = $1 AND r.valid_from <= $4
       AND ((r.from_currency = $2 AND r.to_currency = $3) OR (r.from_currency = $3 AND r.to_currency = $2))
     ORDER BY r.valid_from DESC, (r.from_currency = $2) DESC LIMIT 1) END
$$;
COMMENT ON FUNCTION o2c._rate_on(integer, text, text, date) IS
  'Exchange rate on a date, or NULL when there is none.';

CREATE FUNCTION o2c.price_of(company_id integer, customer_code text, product_code text, quantity numeric DEFAULT 1,
  on_date date DEFAULT NULL, currency text DEFAULT NULL, OUT unit_price numeric, OUT discount_percent numeric)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  customer bigint := o2c._customer_id($1, $2);
  product bigint := o2c._product_id($1, $3);
BEGIN
  IF NOT coalesce(pg_catalog.isfinite($5), true) THEN
    RAISE EXCEPTION USING ERRCODE = 'O2044', MESSAGE = 'the date of a price must be finite';
  END IF;
  IF NOT ($4 > 0 AND o2c.is_quantity($4)) THEN
    RAISE EXCEPTION USING ERRCODE = 'O2004', MESSAGE = pg_catalog.format('%s is not a quantity', $4),
      HINT = 'A quantity is greater than zero and has at most six decimals.';
  END IF;
  SELECT f.unit_price, f.discount_percent INTO unit_price, discount_percent
  FROM o2c._find_prices($1, ARRAY[customer],
    ARRAY[coalesce($6::o2c.currency::text, (SELECT c.currency::text FROM o2c.customer c WHERE c.company_id = $1 AND c.id = customer))],
    ARRAY[coalesce($5, o2c.today($1))], ARRAY[product], ARRAY[$4]) f;
END $$;
COMMENT ON FUNCTION o2c.price_of(integer, text, text, numeric, date, text) IS
  'What a customer pays for one unit when it orders a quantity on a date (net of tax, before the discount in percent); NULL when there is no price. Errors: O2002, O2003, O2004, O2042, O2044.';

CREATE FUNCTION o2c._incoterms() RETURNS TABLE (code text, name text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
  VALUES ('EXW', 'Ex Works'), ('FCA', 'Free Carrier'), ('CPT', 'Carriage Paid To'), ('CIP', 'Carriage and Insurance Paid To'),
         ('DAP', 'Delivered at Place'), ('DPU', 'Delivered at Place Unloaded'), ('DDP', 'Delivered Duty Paid'),
         ('FAS', 'Free Alongside Ship'), ('FOB', 'Free On Board'), ('CFR', 'Cost and Freight'), ('CIF', 'Cost, Insurance and Freight')
$$;
COMMENT ON FUNCTION o2c._incoterms() IS 'The rules of Incoterms 2020; each needs a named place.';

CREATE FUNCTION o2c._shipping(company integer, order_ids bigint[])
RETURNS TABLE (order_id bigint, rule_id bigint, cost_amount numeric, currency o2c.currency, lead_days integer)
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  SELECT DISTINCT ON (s.id) s.id, r.id, r.cost_amount, r.currency, r.lead_days
  FROM (SELECT s.id, s.carrier, s.currency, c.country, s.total_amount,
               pg_catalog.sum(l.quantity * coalesce(p.weight, 0)) AS weight
        FROM o2c.sales_order s
        JOIN o2c.customer c ON c.company_id = s.company_id AND c.id = s.customer_id
        JOIN o2c.sales_order_line l ON l.company_id = s.company_id AND l.order_id = s.id
        JOIN o2c.product p ON p.company_id = l.company_id AND p.id = l.product_id
        WHERE s.company_id = company AND s.id = ANY (order_ids) AND s.carrier IS NOT NULL
        GROUP BY s.id, s.carrier, s.currency, c.country, s.total_amount) s
  JOIN o2c.shipping_rule r ON r.company_id = company AND r.carrier = s.carrier
    AND (r.country IS NULL OR r.country = s.country)
    AND CASE r.basis WHEN 'weight' THEN s.weight ELSE s.total_amount END >= r.from_value
    AND (r.to_value IS NULL OR CASE r.basis WHEN 'weight' THEN s.weight ELSE s.total_amount END < r.to_value)
    AND (r.basis = 'weight' OR r.currency = s.currency)
  ORDER BY s.id, (r.country IS NOT NULL) DESC, r.cost_amount, r.id
$$;
COMMENT ON FUNCTION o2c._shipping(integer, bigint[]) IS
  'The cheapest rule of each order''s carrier that fits its country and its weight or amount.';
