-- Companies, what "today" is for them, and what every import shares.

CREATE FUNCTION o2c._is_time_zone(name text) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
BEGIN
  PERFORM pg_catalog.timezone(name, '2000-01-01 00:00:00+00'::timestamptz);
  RETURN true;
EXCEPTION WHEN invalid_parameter_value THEN
  RETURN false;
END $$;
COMMENT ON FUNCTION o2c._is_time_zone(text) IS 'Whether the server knows a time zone of that name.';

CREATE FUNCTION o2c._company_member_grant() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'o2c_company_member_grant';
COMMENT ON FUNCTION o2c._company_member_grant() IS
  'Statement trigger: who creates a company sees it.';

CREATE FUNCTION o2c._require_installed() RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
BEGIN
  IF pg_catalog.to_regclass('o2c.company') IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'O2001',
      MESSAGE = 'order2cash is not installed in this database',
      HINT = 'Call o2c.install() first.';
  END IF;
END $$;
COMMENT ON FUNCTION o2c._require_installed() IS 'Raises O2001 before install().';

CREATE FUNCTION o2c._require_company(company integer) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
BEGIN
  PERFORM o2c._require_installed();
  IF NOT EXISTS (SELECT FROM o2c.company c WHERE c.company_id = company) THEN
    RAISE EXCEPTION USING ERRCODE = 'O2002',
      MESSAGE = pg_catalog.format('there is no company %s', coalesce(company::text, 'NULL')),
      HINT = 'Create it with o2c.create_company(), or ask for access in o2c.company_member.';
  END IF;
END $$;
COMMENT ON FUNCTION o2c._require_company(integer) IS 'Raises O2002 unless the company exists and is visible.';

CREATE FUNCTION o2c._once(company integer, what text, key text, newest text) RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'o2c_once';
COMMENT ON FUNCTION o2c._once(integer, text, text, text) IS
  'Wait, before looking whether something exists, for whoever does the same (what, key), until the transaction ends. newest is a query with $1 company and $2 key for the newest row; above READ COMMITTED its answer must be that of the caller''s own snapshot. Errors: 40001.';

CREATE FUNCTION o2c.today(company_id integer) RETURNS date
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
DECLARE
  zone text;
BEGIN
  PERFORM o2c._require_installed();
  zone := (SELECT c.time_zone FROM o2c.company c WHERE c.company_id = $1);
  IF zone IS NULL THEN
    PERFORM o2c._require_company($1);
  END IF;
  RETURN (pg_catalog.now() AT TIME ZONE zone)::date;
END $$;
COMMENT ON FUNCTION o2c.today(integer) IS
  'The company''s own date at the start of the transaction. Errors: O2002.';

CREATE FUNCTION o2c.create_company(
  name text, country text, currency text, time_zone text DEFAULT 'UTC',
  language text DEFAULT 'en', vat_id text DEFAULT NULL, email text DEFAULT NULL,
  street text DEFAULT NULL, postal_code text DEFAULT NULL, city text DEFAULT NULL)
RETURNS integer
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  new_id integer;
  hook text;
BEGIN
  PERFORM o2c._require_installed();
  IF coalesce(name, '') = '' THEN
    RAISE EXCEPTION USING ERRCODE = 'O2004', MESSAGE = 'a company needs a name';
  END IF;
  IF country IS NULL OR country !~ '^[A-Z]{2}$' THEN
    RAISE EXCEPTION USING ERRCODE = 'O2004',
      MESSAGE = pg_catalog.format('"%s" is not a country code', country),
      HINT = 'Use two capital letters of ISO 3166-1, for example DE.';
  END IF;
  IF time_zone IS NULL OR NOT o2c._is_time_zone(time_zone) THEN
    RAISE EXCEPTION USING ERRCODE = 'O2004',
      MESSAGE = pg_catalog.format('"%s" is not a time zone', time_zone),
      HINT = 'pg_timezone_names lists them, for example Europe/Berlin.';
  END IF;
  IF language IS NULL OR language !~ '^[a-z]{2}(-[A-Z]{2})?$' THEN
    RAISE EXCEPTION USING ERRCODE = 'O2004',
      MESSAGE = pg_catalog.format('"%s" is not a language', language),
      HINT = 'Use two small letters of ISO 639-1, with a country where it matters, for example de or de-AT.';
  END IF;
  IF currency IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'O2042', MESSAGE = 'a company needs a currency',
      HINT = 'Use a code of ISO 4217, for example EUR.';
  ELSIF o2c.minor_unit($3::o2c.currency) IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'O2042',
      MESSAGE = pg_catalog.format('currency %s has no minor unit, so no books can be kept in it', $3),
      HINT = 'Use a currency of a country, for example EUR.';
  END IF;
  new_id := pg_catalog.nextval('o2c.company_company_id_seq');
  INSERT INTO o2c.company (company_id, name, country, currency, time_zone, language,
                           vat_id, email, street, postal_code, city)
  VALUES (new_id, $1, $2, $3::o2c.currency, $4, $5, $6, $7, $8, $9, $10);
  -- domains contribute functions named _seed_company_<domain>(company_id)
  FOR hook IN SELECT p.proname FROM pg_catalog.pg_proc p
              WHERE p.pronamespace = 'o2c'::pg_catalog.regnamespace AND p.proname LIKE E'\\_seed\\_company\\_%'
              ORDER BY p.proname
  LOOP
    EXECUTE pg_catalog.format('SELECT o2c.%I($1)', hook) USING new_id;
  END LOOP;
  RETURN new_id;
END $$;
COMMENT ON FUNCTION o2c.create_company(text, text, text, text, text, text, text, text, text, text) IS
  'Create a company with its default terms, taxes and series; returns its id. Errors: O2004, O2042.';

CREATE FUNCTION o2c.exchange_rate_on(company_id integer, from_currency text, to_currency text, on_date date)
RETURNS numeric
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  found numeric;
BEGIN
  IF from_currency = to_currency THEN
    RETURN 1;
  END IF;
  SELECT CASE WHEN r.from_currency = $2::o2c.currency THEN r.rate ELSE 1 / r.rate END INTO found
  FROM o2c.exchange_rate r
  WHERE r.company_id = $1 AND r.valid_from <= on_date
    AND ((r.from_currency = $2::o2c.currency AND r.to_currency = $3::o2c.currency)
      OR (r.from_currency = $3::o2c.currency AND r.to_currency = $2::o2c.currency))
  ORDER BY r.valid_from DESC, (r.from_currency = $2::o2c.currency) DESC LIMIT 1;
  IF found IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'O2003',
      MESSAGE = pg_catalog.format('there is no exchange rate from %s to %s on %s', $2, $3, $4),
      HINT = 'Insert one into o2c.exchange_rate.';
  END IF;
  RETURN found;
END $$;
COMMENT ON FUNCTION o2c.exchange_rate_on(integer, text, text, date) IS
  'Units of to_currency for one unit of from_currency on a date, from o2c.exchange_rate or its inverse. Errors: O2003.';

-- Imports: what all of them share.

CREATE FUNCTION o2c._to_numeric(value text) RETURNS numeric
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'o2c_types_plain_numeric';
COMMENT ON FUNCTION o2c._to_numeric(text) IS 'A plain decimal number, or NULL when the text is none (NaN, Infinity and exponents are none).';

CREATE FUNCTION o2c._to_date(value text) RETURNS date
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'o2c_types_plain_date';
COMMENT ON FUNCTION o2c._to_date(text) IS 'An ISO 8601 date, or NULL when the text is none.';

CREATE FUNCTION o2c._import_query(source regclass, columns text[], required text[])
RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
DECLARE
  missing text[];
BEGIN
  IF source IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'O2004', MESSAGE = 'the source of an import must be given';
  END IF;
  SELECT pg_catalog.array_agg(r) INTO missing
  FROM pg_catalog.unnest(required) r
  WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_attribute a
                    WHERE a.attrelid = source AND a.attname = r AND a.attnum > 0 AND NOT a.attisdropped);
  IF missing IS NOT NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'O2006',
      MESSAGE = pg_catalog.format('%s lacks required column %s', source, pg_catalog.array_to_string(missing, ', ')),
      HINT = pg_catalog.format('Columns read: %s.', pg_catalog.array_to_string(columns, ', '));
  END IF;
  RETURN (
    SELECT pg_catalog.format('SELECT pg_catalog.row_number() OVER () AS row_no, pg_catalog.to_jsonb(s.*) AS source_row, %s FROM %s s',
             pg_catalog.string_agg(
               CASE WHEN a.attname IS NULL THEN pg_catalog.format('NULL::text AS %I', c)
                    ELSE pg_catalog.format('nullif(pg_catalog.btrim(s.%I::text), '''') AS %I', c, c) END, ', ' ORDER BY n),
             source::text)
    FROM pg_catalog.unnest(columns) WITH ORDINALITY u(c, n)
    LEFT JOIN pg_catalog.pg_attribute a
      ON a.attrelid = source AND a.attname = c AND a.attnum > 0 AND NOT a.attisdropped);
END $$;
COMMENT ON FUNCTION o2c._import_query(regclass, text[], text[]) IS
  'The query that reads an import''s columns as trimmed text (NULL where absent) beside row_no and the whole row. Errors: O2006.';

CREATE FUNCTION o2c._sees_company(company integer) RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
BEGIN
  RETURN EXISTS (SELECT FROM o2c.company_member m WHERE m.company_id = company);
END $$;
COMMENT ON FUNCTION o2c._sees_company(integer) IS
  'Whether the caller is a member of the company; a function, so that the policy of company_member may ask it.';

CREATE FUNCTION o2c._is_admin() RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  SELECT pg_catalog.pg_has_role('o2c_admin', 'member')
      OR pg_catalog.pg_has_role((SELECT c.relowner FROM pg_catalog.pg_class c
                                 WHERE c.oid = 'o2c.company'::pg_catalog.regclass), 'member')
$$;
COMMENT ON FUNCTION o2c._is_admin() IS
  'Whether the caller may create companies: a member of o2c_admin or the owner of the tables.';
