-- Which tax a supply bears: by product category, destination and date.

CREATE FUNCTION o2c._eu_countries() RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$ SELECT '{AT,BE,BG,CY,CZ,DE,DK,EE,ES,FI,FR,GR,HR,HU,IE,IT,LT,LU,LV,MT,NL,PL,PT,RO,SE,SI,SK}'::text[] $$;
COMMENT ON FUNCTION o2c._eu_countries() IS 'Member states of the European Union (27, since 1 February 2020).';

CREATE FUNCTION o2c._tax_rate_defaults()
RETURNS TABLE (country text, tax_category text, rate numeric, valid_from date)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  -- rates published by the member states (European Commission, "Taxes in
  -- Europe" database), Switzerland, Norway and the United Kingdom; as of
  -- January 2026.  AA is the main reduced rate; companies add what they need.
  VALUES
    ('AT', 'S', 20, '1984-01-01'::date), ('AT', 'AA', 10, '1984-01-01'),
    ('BE', 'S', 21, '1996-01-01'), ('BE', 'AA', 6, '1996-01-01'),
    ('BG', 'S', 20, '1999-01-01'), ('BG', 'AA', 9, '2011-04-01'),
    ('CY', 'S', 19, '2014-01-13'), ('CY', 'AA', 9, '2014-01-13'),
    ('CZ', 'S', 21, '2013-01-01'), ('CZ', 'AA', 15, '2013-01-01'), ('CZ', 'AA', 12, '2024-01-01'),
    ('DE', 'S', 19, '2007-01-01'), ('DE', 'S', 16, '2020-07-01'), ('DE', 'S', 19, '2021-01-01'),
    ('DE', 'AA', 7, '1983-07-01'), ('DE', 'AA', 5, '2020-07-01'), ('DE', 'AA', 7, '2021-01-01'),
    ('DK', 'S', 25, '1992-01-01'),
    ('EE', 'S', 20, '2009-07-01'), ('EE', 'S', 22, '2024-01-01'), ('EE', 'S', 24, '2025-07-01'), ('EE', 'AA', 9, '2009-01-01'),
    ('ES', 'S', 21, '2012-09-01'), ('ES', 'AA', 10, '2012-09-01'),
    ('FI', 'S', 24, '2013-01-01'), ('FI', 'S', 25.5, '2024-09-01'),
    ('FR', 'S', 20, '2014-01-01'), ('FR', 'AA', 5.5, '2014-01-01'),
    ('GR', 'S', 24, '2016-06-01'), ('GR', 'AA', 13, '2011-01-01'),
    ('HR', 'S', 25, '2012-03-01'), ('HR', 'AA', 13, '2014-01-01'),
    ('HU', 'S', 27, '2012-01-01'), ('HU', 'AA', 5, '2004-01-01'),
    ('IE', 'S', 23, '2012-01-01'), ('IE', 'S', 21, '2020-09-01'), ('IE', 'S', 23, '2021-03-01'), ('IE', 'AA', 13.5, '2003-01-01'),
    ('IT', 'S', 22, '2013-10-01'), ('IT', 'AA', 10, '1995-02-24'),
    ('LT', 'S', 21, '2009-09-01'), ('LT', 'AA', 9, '2000-05-01'),
    ('LU', 'S', 17, '2015-01-01'), ('LU', 'S', 16, '2023-01-01'), ('LU', 'S', 17, '2024-01-01'), ('LU', 'AA', 8, '2015-01-01'),
    ('LV', 'S', 21, '2012-07-01'), ('LV', 'AA', 12, '2011-01-01'),
    ('MT', 'S', 18, '2004-01-01'), ('MT', 'AA', 5, '1995-01-01'),
    ('NL', 'S', 21, '2012-10-01'), ('NL', 'AA', 6, '1992-10-01'), ('NL', 'AA', 9, '2019-01-01'),
    ('PL', 'S', 23, '2011-01-01'), ('PL', 'AA', 8, '2011-01-01'),
    ('PT', 'S', 23, '2011-01-01'), ('PT', 'AA', 6, '1992-03-24'),
    ('RO', 'S', 19, '2017-01-01'), ('RO', 'S', 21, '2025-08-01'), ('RO', 'AA', 11, '2025-08-01'),
    ('SE', 'S', 25, '1990-07-01'), ('SE', 'AA', 12, '1996-01-01'),
    ('SI', 'S', 22, '2013-07-01'), ('SI', 'AA', 9.5, '2013-07-01'),
    ('SK', 'S', 20, '2011-01-01'), ('SK', 'S', 23, '2025-01-01'), ('SK', 'AA', 19, '2025-01-01'),
    ('CH', 'S', 7.7, '2018-01-01'), ('CH', 'S', 8.1, '2024-01-01'), ('CH', 'AA', 2.5, '2011-01-01'), ('CH', 'AA', 2.6, '2024-01-01'),
    ('GB', 'S', 17.5, '1991-04-01'), ('GB', 'S', 15, '2008-12-01'), ('GB', 'S', 17.5, '2010-01-01'), ('GB', 'S', 20, '2011-01-04'), ('GB', 'AA', 5, '1997-09-01'),
    ('NO', 'S', 25, '2005-01-01'), ('NO', 'AA', 15, '2013-01-01')
$$;
COMMENT ON FUNCTION o2c._tax_rate_defaults() IS 'Published VAT rates that a new company starts with.';

CREATE FUNCTION o2c._seed_company_tax(company integer) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
BEGIN
  INSERT INTO o2c.tax_rate (company_id, country, tax_category, rate, valid_from)
  SELECT company, r.country, r.tax_category, r.rate, r.valid_from
  FROM o2c._tax_rate_defaults() r
  ON CONFLICT DO NOTHING;
  INSERT INTO o2c.tax_rule (company_id, tax_category, destination, result_category, exemption_code, exemption_reason)
  SELECT company, v.* FROM (VALUES
    ('*', 'domestic', 'S', NULL, NULL),
    ('*', 'eu_business', 'K', 'VATEX-EU-IC', 'Intra-Community supply'),
    ('*', 'eu_consumer', 'S', NULL, NULL),
    ('*', 'export', 'G', 'VATEX-EU-G', 'Export outside the EU'),
    ('Z', 'domestic', 'Z', NULL, NULL),
    ('Z', 'eu_consumer', 'Z', NULL, NULL),
    ('E', 'domestic', 'E', NULL, 'Exempt from tax'),
    ('E', 'eu_business', 'E', NULL, 'Exempt from tax'),
    ('E', 'eu_consumer', 'E', NULL, 'Exempt from tax'),
    ('E', 'export', 'E', NULL, 'Exempt from tax'),
    ('AE', 'domestic', 'AE', 'VATEX-EU-AE', 'Reverse charge'),
    ('AE', 'eu_business', 'AE', 'VATEX-EU-AE', 'Reverse charge'),
    ('AE', 'eu_consumer', 'S', NULL, NULL),
    ('AE', 'export', 'O', 'VATEX-EU-O', 'Not subject to VAT'),
    ('K', 'domestic', 'K', 'VATEX-EU-IC', 'Intra-Community supply'),
    ('G', 'domestic', 'G', 'VATEX-EU-G', 'Export outside the EU'),
    ('O', 'domestic', 'O', 'VATEX-EU-O', 'Not subject to VAT'),
    ('O', 'eu_business', 'O', 'VATEX-EU-O', 'Not subject to VAT'),
    ('O', 'eu_consumer', 'O', 'VATEX-EU-O', 'Not subject to VAT'),
    ('O', 'export', 'O', 'VATEX-EU-O', 'Not subject to VAT')) v(a, b, c, d, e)
  ON CONFLICT DO NOTHING;
END $$;
COMMENT ON FUNCTION o2c._seed_company_tax(integer) IS 'Rates and rules of tax that a new company starts with.';

CREATE FUNCTION o2c._destination(seller_country text, buyer_country text, buyer_vat_id text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
  SELECT CASE
    WHEN buyer_country IS NULL OR buyer_country = seller_country THEN 'domestic'
    WHEN seller_country = ANY (o2c._eu_countries()) AND buyer_country = ANY (o2c._eu_countries())
      THEN CASE WHEN coalesce(pg_catalog.btrim(buyer_vat_id), '') <> '' THEN 'eu_business' ELSE 'eu_consumer' END
    ELSE 'export' END
$$;
COMMENT ON FUNCTION o2c._destination(text, text, text) IS
  'domestic, eu_business, eu_consumer or export; a buyer without country is domestic.';

CREATE FUNCTION o2c._taxes(company integer, on_date date)
RETURNS TABLE (tax_category text, country text, vat_registered boolean,
               category text, rate numeric, exemption_code text, exemption_reason text)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  -- every combination that may occur, so that bulk billing joins it once:
  -- product category x country of a customer ('' = none) x has a VAT id
  WITH me AS (
    SELECT c.country, coalesce((c.settings #>> '{tax,oss}')::boolean, false) AS oss
    FROM o2c.company c WHERE c.company_id = $1),
  rates AS (
    SELECT DISTINCT ON (r.country, r.tax_category) r.country, r.tax_category, r.rate
    FROM o2c.tax_rate r WHERE r.company_id = $1
    -- before the first row known, that row
    ORDER BY r.country, r.tax_category, r.valid_from > $2, pg_catalog.abs(r.valid_from - $2)),
  categories AS (
    SELECT p.tax_category FROM o2c.product p WHERE p.company_id = $1
    UNION SELECT r.tax_category FROM o2c.tax_rule r WHERE r.company_id = $1 AND r.tax_category <> '*'
    UNION SELECT r.tax_category FROM rates r),
  countries AS (
    SELECT DISTINCT coalesce(c.country, '') AS country FROM o2c.customer c WHERE c.company_id = $1
    UNION SELECT '')
  SELECT c.tax_category, k.country, v.registered,
         CASE WHEN s.rated THEN CASE WHEN t.rate IS NULL THEN 'O' WHEN t.rate = 0 THEN 'Z' ELSE 'S' END
              ELSE u.result_category END,
         CASE WHEN s.rated THEN coalesce(t.rate, 0) ELSE 0 END,
         CASE WHEN s.rated THEN CASE WHEN t.rate IS NULL THEN 'VATEX-EU-O' END ELSE u.exemption_code END,
         CASE WHEN s.rated THEN CASE WHEN t.rate IS NULL THEN 'Not subject to VAT' END ELSE u.exemption_reason END
  FROM me
  CROSS JOIN categories c
  CROSS JOIN countries k
  CROSS JOIN (VALUES (true), (false)) v(registered)
  CROSS JOIN LATERAL (SELECT o2c._destination(me.country, nullif(k.country, ''), CASE WHEN v.registered THEN '-' END) AS code) d
  JOIN LATERAL (
    SELECT r.* FROM o2c.tax_rule r
    WHERE r.company_id = $1 AND r.destination = d.code AND r.tax_category IN (c.tax_category, '*')
    ORDER BY r.tax_category = '*' LIMIT 1) u ON true
  CROSS JOIN LATERAL (SELECT u.result_category = 'S' AS rated,
    CASE WHEN d.code = 'eu_consumer' AND me.oss THEN k.country ELSE me.country END AS country) s
  -- a category that is only a direction (AE, K, …) but is taxed here has the standard rate
  LEFT JOIN LATERAL (
    SELECT r.rate FROM rates r
    WHERE r.country = s.country AND r.tax_category IN (c.tax_category, CASE WHEN c.tax_category IN ('AE', 'K', 'G') THEN 'S' END)
    ORDER BY r.tax_category = c.tax_category DESC LIMIT 1) t ON true;
END $$;
COMMENT ON FUNCTION o2c._taxes(integer, date) IS
  'Category, rate and exemption for every product category, customer country and kind of customer on a date. A country without any rate is category O.';

CREATE FUNCTION o2c.tax_for(company_id integer, customer_code text, tax_category text, on_date date DEFAULT NULL,
  OUT category text, OUT rate numeric, OUT exemption_code text, OUT exemption_reason text)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  customer bigint := o2c._customer_id($1, $2);
BEGIN
  IF NOT pg_catalog.isfinite($4) THEN
    RAISE EXCEPTION USING ERRCODE = 'O2044', MESSAGE = 'the day of a tax rate must be finite';
  END IF;
  SELECT t.category, t.rate, t.exemption_code, t.exemption_reason
  INTO category, rate, exemption_code, exemption_reason
  FROM o2c.customer c
  JOIN o2c._taxes($1, coalesce($4, o2c.today($1))) t
    ON t.tax_category = $3 AND t.country = coalesce(c.country, '')
   AND t.vat_registered = (coalesce(pg_catalog.btrim(c.vat_id), '') <> '')
  WHERE c.company_id = $1 AND c.id = customer;
  IF NOT FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'O2033',
      MESSAGE = pg_catalog.format('BR-CL-18: "%s" is not a tax category', coalesce($3, 'NULL')),
      HINT = 'Use S, AA (reduced), Z, E, AE, K, G, O or a category of o2c.tax_rate.';
  END IF;
END $$;
COMMENT ON FUNCTION o2c.tax_for(integer, text, text, date) IS
  'The tax that a product''s category bears for a customer on a date. Errors: O2003, O2033.';
