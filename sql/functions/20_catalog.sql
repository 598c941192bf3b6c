-- Products and stock: defaults of a company, import in sets.

CREATE FUNCTION o2c._seed_company_catalog(company_id integer) RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  INSERT INTO o2c.warehouse (company_id, code, name) VALUES ($1, 'main', 'Main warehouse') ON CONFLICT DO NOTHING
$$;
COMMENT ON FUNCTION o2c._seed_company_catalog(integer) IS 'What every company starts with: the warehouse "main".';

CREATE FUNCTION o2c._product_id(company integer, product_code text) RETURNS bigint
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
DECLARE
  found bigint;
BEGIN
  PERFORM o2c._require_company(company);
  found := (SELECT p.id FROM o2c.product p WHERE p.company_id = company AND p.code = product_code);
  IF found IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'O2003',
      MESSAGE = pg_catalog.format('there is no product "%s"', coalesce(pg_catalog.left(product_code, 100), 'NULL'));
  END IF;
  RETURN found;
END $$;
COMMENT ON FUNCTION o2c._product_id(integer, text) IS 'Id of the product with the user''s code. Errors: O2002, O2003.';

CREATE FUNCTION o2c.import_products(company_id integer, source regclass,
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
  columns constant text[] := '{code,name,unit,unit_price,tax_category,on_hand}';
BEGIN
  PERFORM o2c._require_company($1);
  DROP TABLE IF EXISTS pg_temp.o2c_import;
  EXECUTE 'CREATE TEMPORARY TABLE o2c_import ON COMMIT DROP AS '
    || o2c._import_query(source, columns, '{code,name}');
  ALTER TABLE pg_temp.o2c_import ADD reason text, ADD n_price numeric, ADD n_on_hand numeric, ADD changed boolean;
  CREATE INDEX ON pg_temp.o2c_import USING hash (code);  -- takes codes of any length
  ANALYZE pg_temp.o2c_import;

  UPDATE pg_temp.o2c_import SET n_price = o2c._to_numeric(unit_price), n_on_hand = o2c._to_numeric(on_hand);
  UPDATE pg_temp.o2c_import i SET reason = CASE
    WHEN i.code IS NULL THEN 'code is missing'
    WHEN pg_catalog.length(i.code) > 100 THEN 'code is longer than 100 characters'
    WHEN i.name IS NULL THEN 'name is missing'
    WHEN pg_catalog.length(i.name) > 300 THEN 'name is longer than 300 characters'
    WHEN i.code || i.name ~ '[[:cntrl:]]' THEN 'code or name has control characters'
    WHEN pg_catalog.length(i.unit) > 20 OR i.unit ~ '[[:cntrl:]]' THEN 'the unit is no code'
    WHEN pg_catalog.length(i.tax_category) > 20 OR i.tax_category ~ '[[:cntrl:]]' THEN 'the tax category is no code'
    WHEN i.unit_price IS NOT NULL AND i.n_price IS NULL
      THEN pg_catalog.format('unit price "%s" is not a number', pg_catalog.left(i.unit_price, 100))
    WHEN i.n_price < 0 THEN pg_catalog.format('unit price %s is negative', pg_catalog.left(i.unit_price, 100))
    WHEN NOT o2c.is_quantity(i.n_price) THEN pg_catalog.format('unit price %s has more than six decimals or is too large', pg_catalog.left(i.unit_price, 100))
    WHEN i.on_hand IS NOT NULL AND i.n_on_hand IS NULL
      THEN pg_catalog.format('stock "%s" is not a number', pg_catalog.left(i.on_hand, 100))
    WHEN i.n_on_hand < 0 THEN pg_catalog.format('stock %s is negative', pg_catalog.left(i.on_hand, 100))
    WHEN NOT o2c.is_quantity(i.n_on_hand) THEN pg_catalog.format('stock %s has more than six decimals or is too large', pg_catalog.left(i.on_hand, 100))
    WHEN EXISTS (SELECT FROM pg_temp.o2c_import o WHERE o.code = i.code AND o.row_no < i.row_no
                 AND o.source_row <> i.source_row)
      THEN pg_catalog.format('code "%s" stands in an earlier row with other content', pg_catalog.left(i.code, 100))
    END;
  -- stock that is promised already cannot be counted away; the rows stay
  -- locked, so that no order reserves in between
  UPDATE pg_temp.o2c_import i
  SET reason = pg_catalog.format('stock %s is less than the %s that orders have reserved', i.on_hand, s.reserved)
  FROM (SELECT k.product_id, k.reserved, p.code
        FROM o2c.stock k JOIN o2c.product p ON p.company_id = k.company_id AND p.id = k.product_id
        WHERE k.company_id = $1 AND k.warehouse = 'main'
          AND p.code IN (SELECT t.code FROM pg_temp.o2c_import t WHERE t.n_on_hand IS NOT NULL)
        ORDER BY k.product_id FOR NO KEY UPDATE OF k) s
  WHERE s.code = i.code AND i.reason IS NULL AND i.n_on_hand < s.reserved;

  INSERT INTO o2c.import_reject (company_id, import, source_row, reason)
  SELECT $1, 'import_products', i.source_row, i.reason
  FROM pg_temp.o2c_import i WHERE i.reason IS NOT NULL ORDER BY i.row_no;
  GET DIAGNOSTICS rejected = ROW_COUNT;

  -- a column that the source lacks, or leaves empty, keeps its present value: the one
  -- that another session is about to write, too
  PERFORM FROM o2c.product p
  WHERE p.company_id = $1 AND p.code IN (SELECT i.code FROM pg_temp.o2c_import i WHERE i.reason IS NULL)
  ORDER BY p.code FOR NO KEY UPDATE;
  WITH good AS (
    SELECT DISTINCT ON (i.code) i.* FROM pg_temp.o2c_import i WHERE i.reason IS NULL ORDER BY i.code, i.row_no
  ), changed AS (
    INSERT INTO o2c.product AS p (company_id, code, name, unit, unit_price, tax_category, stocked)
    SELECT $1, g.code, g.name, coalesce(g.unit, x.unit, 'C62'), coalesce(g.n_price, x.unit_price),
           coalesce(g.tax_category, x.tax_category, 'S'), g.n_on_hand IS NOT NULL OR coalesce(x.stocked, false)
    FROM good g LEFT JOIN o2c.product x ON x.company_id = $1 AND x.code = g.code ORDER BY g.code
    ON CONFLICT ON CONSTRAINT product_company_id_code_key DO UPDATE SET
      name = EXCLUDED.name, unit = EXCLUDED.unit, unit_price = EXCLUDED.unit_price,
      tax_category = EXCLUDED.tax_category, stocked = EXCLUDED.stocked
    WHERE (p.name, p.unit, p.unit_price, p.tax_category, p.stocked) IS DISTINCT FROM
      (EXCLUDED.name, EXCLUDED.unit, EXCLUDED.unit_price, EXCLUDED.tax_category, EXCLUDED.stocked)
    RETURNING p.code)
  UPDATE pg_temp.o2c_import i SET changed = true FROM changed c WHERE c.code = i.code AND i.reason IS NULL
    AND NOT EXISTS (SELECT FROM pg_temp.o2c_import o WHERE o.code = i.code AND o.reason IS NULL AND o.row_no < i.row_no);

  WITH stocked AS (
    INSERT INTO o2c.stock AS k (company_id, product_id, warehouse, on_hand)
    SELECT DISTINCT ON (p.id) $1, p.id, 'main', i.n_on_hand
    FROM pg_temp.o2c_import i JOIN o2c.product p ON p.company_id = $1 AND p.code = i.code
    WHERE i.reason IS NULL AND i.n_on_hand IS NOT NULL ORDER BY p.id, i.row_no
    ON CONFLICT ON CONSTRAINT stock_company_id_product_id_warehouse_key DO UPDATE SET on_hand = EXCLUDED.on_hand
    WHERE k.on_hand <> EXCLUDED.on_hand
    RETURNING k.product_id)
  UPDATE pg_temp.o2c_import i SET changed = true
  FROM stocked s JOIN o2c.product p ON p.company_id = $1 AND p.id = s.product_id
  WHERE p.code = i.code AND i.reason IS NULL
    AND NOT EXISTS (SELECT FROM pg_temp.o2c_import o WHERE o.code = i.code AND o.reason IS NULL AND o.row_no < i.row_no);

  SELECT pg_catalog.count(*) FILTER (WHERE i.changed),
         pg_catalog.count(*) FILTER (WHERE i.reason IS NULL AND i.changed IS NULL) INTO imported, unchanged
  FROM pg_temp.o2c_import i;
  DROP TABLE pg_temp.o2c_import;
END $$;
COMMENT ON FUNCTION o2c.import_products(integer, regclass) IS
  'Insert or update products by code from the named columns of a table, view or temporary table; on_hand is the stock in warehouse "main" and makes a product stocked. Bad rows go to o2c.import_reject with their reason. Errors: O2002, O2006.';
