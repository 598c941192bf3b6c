-- Orders: import in sets.

CREATE FUNCTION o2c.import_orders(company_id integer, source regclass,
  OUT imported bigint, OUT unchanged bigint, OUT rejected bigint)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
SET datestyle = 'ISO'
SET extra_float_digits = 1  -- what a column holds, however the session prints it
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
  DROP TABLE IF EXISTS pg_temp.o2c_import, pg_temp.o2c_import_typed, pg_temp.o2c_import_line, pg_temp.o2c_import_order;
  EXECUTE 'CREATE TEMPORARY TABLE o2c_import ON COMMIT DROP AS '
    || o2c._import_query(source, columns, '{order_code,customer_code,product_code,quantity}');
  ANALYZE pg_temp.o2c_import;
  -- Read once, into narrow tables that are written once: what is updated later
  -- are the bad rows.  Joined, not looked up row by row: a new company has no
  -- statistics yet.
  CREATE TEMPORARY TABLE o2c_import_typed ON COMMIT DROP AS
  WITH typed AS MATERIALIZED (
    SELECT r.row_no, r.customer_code, r.product_code, o2c._to_numeric(r.quantity) AS n_quantity, o2c._to_numeric(r.unit_price) AS n_price,
           coalesce(o2c._to_date(r.ordered_on), CASE WHEN r.ordered_on IS NULL THEN company_today END) AS on_date,
           r.unit_price IS NULL AS asks_price
    FROM pg_temp.o2c_import r)
  SELECT t.row_no, t.n_quantity, t.n_price, t.on_date, t.asks_price, c.id AS customer_id, c.currency,
         p.id AS product_id, p.name AS description, p.tax_category
  FROM typed t
  LEFT JOIN o2c.customer c ON c.company_id = $1 AND c.code = t.customer_code
  LEFT JOIN o2c.product p ON p.company_id = $1 AND p.code = t.product_code;
  ANALYZE pg_temp.o2c_import_typed;
  CREATE TEMPORARY TABLE o2c_import_line ON COMMIT DROP AS
  -- rows without a price ask the price list, all at once
  WITH w AS MATERIALIZED (
    SELECT pg_catalog.array_agg(t.row_no) AS rows, pg_catalog.array_agg(t.customer_id) AS customers,
           pg_catalog.array_agg(t.currency::text) AS currencies, pg_catalog.array_agg(t.on_date) AS dates,
           pg_catalog.array_agg(t.product_id) AS products, pg_catalog.array_agg(t.n_quantity) AS quantities
    FROM pg_temp.o2c_import_typed t
    WHERE t.asks_price AND t.customer_id IS NOT NULL AND t.product_id IS NOT NULL AND t.on_date IS NOT NULL AND t.n_quantity > 0
  ), found AS MATERIALIZED (
    SELECT w.rows[f.n] AS row_no, f.unit_price, f.discount_percent
    FROM w CROSS JOIN LATERAL o2c._find_prices($1, w.customers, w.currencies, w.dates, w.products, w.quantities) f
    WHERE w.rows IS NOT NULL
  ), priced AS MATERIALIZED (
    SELECT t.*, i.order_code, i.customer_code, i.product_code, i.quantity, i.unit_price, i.ordered_on,
           coalesce(t.n_price, f.unit_price) AS price, coalesce(f.discount_percent, 0) AS discount
    FROM pg_temp.o2c_import_typed t
    JOIN pg_temp.o2c_import i ON i.row_no = t.row_no
    LEFT JOIN found f ON f.row_no = t.row_no)
  SELECT i.row_no, i.order_code, i.product_code, i.customer_id, i.currency, i.on_date, i.product_id, i.description, i.tax_category,
         i.n_quantity, i.n_price, i.price, i.discount, CASE
    WHEN i.order_code IS NULL THEN 'order code is missing'
    WHEN pg_catalog.length(i.order_code) > 100 THEN 'order code is longer than 100 characters'
    WHEN i.order_code ~ '[[:cntrl:]]' THEN 'order code has control characters'
    WHEN i.customer_code IS NULL THEN 'customer code is missing'
    WHEN i.customer_id IS NULL THEN pg_catalog.format('there is no customer "%s"', pg_catalog.left(i.customer_code, 100))
    WHEN i.product_code IS NULL THEN 'product code is missing'
    WHEN i.product_id IS NULL THEN pg_catalog.format('there is no product "%s"', pg_catalog.left(i.product_code, 100))
    WHEN i.quantity IS NULL THEN 'quantity is missing'
    WHEN i.n_quantity IS NULL THEN pg_catalog.format('quantity "%s" is not a number', pg_catalog.left(i.quantity, 100))
    WHEN i.n_quantity <= 0 THEN pg_catalog.format('quantity %s is not greater than zero', pg_catalog.left(i.quantity, 100))
    WHEN NOT o2c.is_quantity(i.n_quantity) THEN pg_catalog.format('quantity %s has more than six decimals or is too large', pg_catalog.left(i.quantity, 100))
    WHEN i.unit_price IS NOT NULL AND i.n_price IS NULL THEN pg_catalog.format('unit price "%s" is not a number', pg_catalog.left(i.unit_price, 100))
    WHEN i.n_price <= 0 THEN pg_catalog.format('unit price %s is not greater than zero', pg_catalog.left(i.unit_price, 100))
    WHEN NOT o2c.is_quantity(i.n_price) THEN pg_catalog.format('unit price %s has more than six decimals or is too large', pg_catalog.left(i.unit_price, 100))
    WHEN i.price IS NULL AND i.on_date IS NOT NULL THEN pg_catalog.format('product "%s" has no price', i.product_code)
    WHEN i.on_date IS NULL THEN pg_catalog.format('order date "%s" is not a date', pg_catalog.left(i.ordered_on, 100))
    WHEN i.n_quantity * i.price >= 1e15 THEN 'the amount of the line is too large'
    END AS reason
  FROM priced i;
  ANALYZE pg_temp.o2c_import_line;
  -- one order has one customer and one date: its first good row decides
  WITH mixed AS MATERIALIZED (
    SELECT f.order_code FROM pg_temp.o2c_import_line f WHERE f.reason IS NULL
    GROUP BY 1 HAVING pg_catalog.min(f.customer_id) <> pg_catalog.max(f.customer_id) OR pg_catalog.min(f.on_date) <> pg_catalog.max(f.on_date))
  UPDATE pg_temp.o2c_import_line i SET reason = pg_catalog.format('order "%s" has another customer or date in an earlier row', i.order_code)
  FROM (SELECT DISTINCT ON (f.order_code) f.order_code, f.customer_id, f.on_date
        FROM pg_temp.o2c_import_line f JOIN mixed m ON m.order_code = f.order_code
        WHERE f.reason IS NULL ORDER BY f.order_code, f.row_no) f
  WHERE f.order_code = i.order_code AND i.reason IS NULL AND (f.customer_id, f.on_date) <> (i.customer_id, i.on_date);
  -- and a total that leaves room for its tax
  UPDATE pg_temp.o2c_import_line i SET reason = pg_catalog.format('the total of order "%s" is too large', i.order_code)
  FROM (SELECT f.order_code FROM pg_temp.o2c_import_line f
        WHERE f.reason IS NULL GROUP BY f.order_code, f.currency
        HAVING pg_catalog.sum(f.n_quantity * f.price) >= 1e12
          AND NOT o2c.is_amount(10 * o2c.round_amount(pg_catalog.sum(f.n_quantity * f.price), f.currency), f.currency)) f
  WHERE f.order_code = i.order_code AND i.reason IS NULL;

  CREATE TEMPORARY TABLE o2c_import_order ON COMMIT DROP AS
  SELECT i.order_code, pg_catalog.min(i.customer_id) AS customer_id, pg_catalog.min(i.on_date) AS on_date, i.currency,
         pg_catalog.nextval('o2c.sales_order_id_seq') AS order_id, false AS fresh,
         pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(
           pg_catalog.jsonb_build_array(pg_catalog.min(i.customer_id), pg_catalog.min(i.on_date), i.currency::text, pg_catalog.jsonb_agg(
             pg_catalog.jsonb_build_array(i.product_code, pg_catalog.trim_scale(i.n_quantity),
               pg_catalog.trim_scale(i.n_price), 0) ORDER BY i.row_no))::text, 'UTF8')), 'hex') AS content_key
  FROM pg_temp.o2c_import_line i WHERE i.reason IS NULL GROUP BY i.order_code, i.currency;
  ANALYZE pg_temp.o2c_import_order;

  INSERT INTO o2c.sales_order (company_id, id, code, customer_id, currency, ordered_on, content_key)
  SELECT $1, d.order_id, d.order_code, d.customer_id, d.currency, d.on_date, d.content_key
  FROM pg_temp.o2c_import_order d ORDER BY d.order_code
  ON CONFLICT ON CONSTRAINT sales_order_company_id_code_key DO NOTHING;
  UPDATE pg_temp.o2c_import_order d SET fresh = true
  FROM o2c.sales_order s WHERE s.company_id = $1 AND s.id = d.order_id;
  UPDATE pg_temp.o2c_import_line i SET reason = pg_catalog.format('order "%s" exists with other content', i.order_code)
  FROM pg_temp.o2c_import_order d JOIN o2c.sales_order s ON s.company_id = $1 AND s.code = d.order_code
  WHERE NOT d.fresh AND d.order_code = i.order_code AND i.reason IS NULL AND s.content_key IS DISTINCT FROM d.content_key;

  INSERT INTO o2c.sales_order_line (company_id, order_id, line_no, product_id, description, quantity, unit_price,
                                    discount_percent, currency, net_amount, tax_category)
  SELECT $1, d.order_id, pg_catalog.row_number() OVER (PARTITION BY d.order_id ORDER BY i.row_no), i.product_id, i.description,
         i.n_quantity, i.price, i.discount, d.currency, o2c._line_net(i.n_quantity, i.price, i.discount, d.currency), i.tax_category
  FROM pg_temp.o2c_import_line i
  JOIN pg_temp.o2c_import_order d ON d.order_code = i.order_code AND d.fresh
  WHERE i.reason IS NULL
  ORDER BY d.order_id, i.row_no;
  GET DIAGNOSTICS imported = ROW_COUNT;

  INSERT INTO o2c.import_reject (company_id, import, source_row, reason)
  SELECT $1, 'import_orders', i.source_row, l.reason
  FROM pg_temp.o2c_import_line l JOIN pg_temp.o2c_import i ON i.row_no = l.row_no
  WHERE l.reason IS NOT NULL ORDER BY l.row_no;
  GET DIAGNOSTICS rejected = ROW_COUNT;
  unchanged := (SELECT pg_catalog.count(*) FROM pg_temp.o2c_import) - imported - rejected;
  DROP TABLE pg_temp.o2c_import, pg_temp.o2c_import_typed, pg_temp.o2c_import_line, pg_temp.o2c_import_order;
END $$;
COMMENT ON FUNCTION o2c.import_orders(integer, regclass) IS
  'Create draft orders from the named columns of a table, view or temporary table, one row a line. An order that exists with the same content is unchanged, with other content rejected. Bad rows go to o2c.import_reject with their reason. Errors: O2002, O2006.';
