-- Orders: import in sets.

CREATE FUNCTION o2c.import_orders(company_id integer, source regclass,
  OUT imported bigint, OUT unchanged bigint, OUT rejected bigint)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
SET client_min_messages = warning
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  columns constant text[] := '{order_code,customer_code,product_code,quantity,unit_price,ordered_on}';
  company_today date;
BEGIN
  PERFORM o2c._require_company($1);
  company_today := o2c.today($1);
  DROP TABLE IF EXISTS pg_temp.o2c_import, pg_temp.o2c_import_order;
  EXECUTE 'CREATE TEMPORARY TABLE o2c_import ON COMMIT DROP AS '
    || o2c._import_query(source, columns, '{order_code,customer_code,product_code,quantity}');
  ALTER TABLE pg_temp.o2c_import ADD reason text, ADD customer_id bigint, ADD product_id bigint,
    ADD n_quantity numeric, ADD n_price numeric, ADD price numeric, ADD discount numeric NOT NULL DEFAULT 0,
    ADD on_date date;
  -- joined, not looked up row by row: a new company has no statistics yet
  UPDATE pg_temp.o2c_import i SET n_quantity = o2c._to_numeric(i.quantity), n_price = o2c._to_numeric(i.unit_price),
    on_date = coalesce(o2c._to_date(i.ordered_on), CASE WHEN i.ordered_on IS NULL THEN company_today END),
    customer_id = x.customer_id, product_id = x.product_id
  FROM (SELECT r.row_no, c.id AS customer_id, p.id AS product_id
        FROM pg_temp.o2c_import r
        LEFT JOIN o2c.customer c ON c.company_id = $1 AND c.code = r.customer_code
        LEFT JOIN o2c.product p ON p.company_id = $1 AND p.code = r.product_code) x
  WHERE x.row_no = i.row_no;
  CREATE INDEX ON pg_temp.o2c_import (order_code);
  ANALYZE pg_temp.o2c_import;
  -- rows without a price ask the price list, all at once
  WITH w AS (
    SELECT pg_catalog.array_agg(i.row_no) AS rows, pg_catalog.array_agg(i.customer_id) AS customers,
           pg_catalog.array_agg(c.currency::text) AS currencies, pg_catalog.array_agg(i.on_date) AS dates,
           pg_catalog.array_agg(i.product_id) AS products, pg_catalog.array_agg(i.n_quantity) AS quantities
    FROM pg_temp.o2c_import i JOIN o2c.customer c ON c.company_id = $1 AND c.id = i.customer_id
    WHERE i.unit_price IS NULL AND i.product_id IS NOT NULL AND i.on_date IS NOT NULL AND i.n_quantity > 0)
  UPDATE pg_temp.o2c_import i SET price = f.unit_price, discount = f.discount_percent
  FROM w CROSS JOIN LATERAL o2c._find_prices($1, w.customers, w.currencies, w.dates, w.products, w.quantities) f
  WHERE w.rows IS NOT NULL AND i.row_no = w.rows[f.n];
  UPDATE pg_temp.o2c_import i SET
    price = coalesce(i.n_price, i.price),
    reason = CASE
    WHEN i.order_code IS NULL THEN 'order code is missing'
    WHEN pg_catalog.length(i.order_code) > 100 THEN 'order code is longer than 100 characters'
    WHEN i.customer_code IS NULL THEN 'customer code is missing'
    WHEN i.customer_id IS NULL THEN pg_catalog.format('there is no customer "%s"', i.customer_code)
    WHEN i.product_code IS NULL THEN 'product code is missing'
    WHEN i.product_id IS NULL THEN pg_catalog.format('there is no product "%s"', i.product_code)
    WHEN i.quantity IS NULL THEN 'quantity is missing'
    WHEN i.n_quantity IS NULL THEN pg_catalog.format('quantity "%s" is not a number', i.quantity)
    WHEN i.n_quantity <= 0 THEN pg_catalog.format('quantity %s is not greater than zero', i.quantity)
    WHEN NOT o2c.is_quantity(i.n_quantity) THEN pg_catalog.format('quantity %s has more than six decimals or is too large', i.quantity)
    WHEN i.unit_price IS NOT NULL AND i.n_price IS NULL THEN pg_catalog.format('unit price "%s" is not a number', i.unit_price)
    WHEN i.n_price <= 0 THEN pg_catalog.format('unit price %s is not greater than zero', i.unit_price)
    WHEN NOT o2c.is_quantity(i.n_price) THEN pg_catalog.format('unit price %s has more than six decimals or is too large', i.unit_price)
    WHEN i.n_price IS NULL AND i.price IS NULL AND i.on_date IS NOT NULL THEN pg_catalog.format('product "%s" has no price', i.product_code)
    WHEN i.on_date IS NULL THEN pg_catalog.format('order date "%s" is not a date', i.ordered_on)
    WHEN i.n_quantity * coalesce(i.n_price, i.price) >= 1e15 THEN 'the amount of the line is too large'
    END;
  -- one order has one customer and one date: its first good row decides
  UPDATE pg_temp.o2c_import i SET reason = pg_catalog.format('order "%s" has another customer or date in an earlier row', i.order_code)
  FROM (SELECT DISTINCT ON (f.order_code) f.order_code, f.customer_id, f.on_date FROM pg_temp.o2c_import f
        WHERE f.reason IS NULL ORDER BY f.order_code, f.row_no) f
  WHERE f.order_code = i.order_code AND i.reason IS NULL AND (f.customer_id, f.on_date) <> (i.customer_id, i.on_date);
  -- and a total that leaves room for its tax
  UPDATE pg_temp.o2c_import i SET reason = pg_catalog.format('the total of order "%s" is too large', i.order_code)
  FROM (SELECT f.order_code FROM pg_temp.o2c_import f JOIN o2c.customer c ON c.company_id = $1 AND c.id = f.customer_id
        WHERE f.reason IS NULL GROUP BY f.order_code, c.currency
        HAVING pg_catalog.sum(f.n_quantity * f.price) >= 1e12
          AND NOT o2c.is_amount(10 * o2c.round_amount(pg_catalog.sum(f.n_quantity * f.price), c.currency), c.currency)) f
  WHERE f.order_code = i.order_code AND i.reason IS NULL;

  CREATE TEMPORARY TABLE o2c_import_order ON COMMIT DROP AS
  SELECT i.order_code, pg_catalog.min(i.customer_id) AS customer_id, pg_catalog.min(i.on_date) AS on_date,
         c.currency, NULL::bigint AS order_id, true AS fresh,
         pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(
           pg_catalog.jsonb_build_array(pg_catalog.min(i.customer_id), pg_catalog.min(i.on_date), c.currency::text, pg_catalog.jsonb_agg(
             pg_catalog.jsonb_build_array(i.product_code, pg_catalog.trim_scale(i.n_quantity),
               pg_catalog.trim_scale(i.n_price), 0) ORDER BY i.row_no))::text, 'UTF8')), 'hex') AS content_key
  FROM pg_temp.o2c_import i JOIN o2c.customer c ON c.company_id = $1 AND c.id = i.customer_id
  WHERE i.reason IS NULL GROUP BY i.order_code, c.currency;
  CREATE INDEX ON pg_temp.o2c_import_order (order_code);
  ANALYZE pg_temp.o2c_import_order;

  WITH made AS (
    INSERT INTO o2c.sales_order (company_id, code, customer_id, currency, ordered_on, content_key)
    SELECT $1, d.order_code, d.customer_id, d.currency, d.on_date, d.content_key
    FROM pg_temp.o2c_import_order d ORDER BY d.order_code
    ON CONFLICT ON CONSTRAINT sales_order_company_id_code_key DO NOTHING
    RETURNING id, code)
  UPDATE pg_temp.o2c_import_order d SET order_id = m.id FROM made m WHERE m.code = d.order_code;
  UPDATE pg_temp.o2c_import_order d SET fresh = false WHERE d.order_id IS NULL;
  ANALYZE pg_temp.o2c_import_order;
  UPDATE pg_temp.o2c_import i SET reason = pg_catalog.format('order "%s" exists with other content', i.order_code)
  FROM pg_temp.o2c_import_order d JOIN o2c.sales_order s ON s.company_id = $1 AND s.code = d.order_code
  WHERE NOT d.fresh AND d.order_code = i.order_code AND i.reason IS NULL AND s.content_key IS DISTINCT FROM d.content_key;

  INSERT INTO o2c.sales_order_line (company_id, order_id, line_no, product_id, description, quantity, unit_price,
                                    discount_percent, currency, net_amount, tax_category)
  SELECT $1, d.order_id, pg_catalog.row_number() OVER (PARTITION BY d.order_id ORDER BY i.row_no), i.product_id, p.name,
         i.n_quantity, i.price, i.discount, d.currency, o2c._line_net(i.n_quantity, i.price, i.discount, d.currency), p.tax_category
  FROM pg_temp.o2c_import i
  JOIN pg_temp.o2c_import_order d ON d.order_code = i.order_code AND d.fresh
  JOIN o2c.product p ON p.company_id = $1 AND p.id = i.product_id
  WHERE i.reason IS NULL
  ORDER BY d.order_id, i.row_no;
  GET DIAGNOSTICS imported = ROW_COUNT;

  INSERT INTO o2c.import_reject (company_id, import, source_row, reason)
  SELECT $1, 'import_orders', i.source_row, i.reason
  FROM pg_temp.o2c_import i WHERE i.reason IS NOT NULL ORDER BY i.row_no;
  GET DIAGNOSTICS rejected = ROW_COUNT;
  unchanged := (SELECT pg_catalog.count(*) FROM pg_temp.o2c_import) - imported - rejected;
  DROP TABLE pg_temp.o2c_import, pg_temp.o2c_import_order;
END $$;
COMMENT ON FUNCTION o2c.import_orders(integer, regclass) IS
  'Create draft orders from the named columns of a table, view or temporary table, one row a line. An order that exists with the same content is unchanged, with other content rejected. Bad rows go to o2c.import_reject with their reason. Errors: O2002, O2006.';
