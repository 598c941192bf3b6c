-- Bank files: from bytes to one row for each statement and line, by readers in
-- C for line formats and CSV, and by 54_camt.sql for camt.  What these rows
-- mean for the company's accounts is 54_statement.sql.

CREATE TYPE o2c._bank_file_row AS (
  statement_no integer,
  line_no integer,
  account text,
  statement_ref text,
  sequence_no text,
  interim boolean,
  from_date date,
  to_date date,
  opening_balance numeric,
  closing_balance numeric,
  currency text,
  booking_date date,
  value_date date,
  amount numeric,
  payer_name text,
  payer_iban text,
  payer_account text,
  payer_bic text,
  remittance_text text,
  structured_ref text,
  end_to_end_id text,
  mandate_id text,
  bank_ref text,
  entry_ref text,
  transaction_code text,
  return_reason text,
  charges numeric,
  original_amount numeric,
  original_currency text,
  details jsonb
);
COMMENT ON TYPE o2c._bank_file_row IS
  'What readers of bank files produce: a statement (line_no 0) or one of its lines (line_no 1, 2, ...).';

CREATE FUNCTION o2c._statement_text(content bytea) RETURNS text
  AS 'MODULE_PATHNAME', 'o2c_statement_text' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION o2c._statement_text(bytea) IS
  'The text of a bank file by its byte order mark, XML declaration, or as UTF-8, else Windows-1252; control characters become blanks. Errors: O2050.';

CREATE FUNCTION o2c._statement_format(content text) RETURNS text
  AS 'MODULE_PATHNAME', 'o2c_statement_format' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION o2c._statement_format(text) IS
  'Format of a bank file by its content: xml, mt940, mt942, bai2, coda, ofx, or NULL.';

CREATE FUNCTION o2c._statement_rows(content text, format text, settings text)
RETURNS SETOF o2c._bank_file_row
  AS 'MODULE_PATHNAME', 'o2c_statement_rows' LANGUAGE C STABLE PARALLEL SAFE ROWS 1000;
COMMENT ON FUNCTION o2c._statement_rows(text, text, text) IS
  'Statements and lines of a file in one of the line formats (mt940, bai2, coda, ofx, csv with its settings as key=value lines). Errors: O2050, O2051, O2052.';

CREATE FUNCTION o2c._csv_settings(settings jsonb) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  SELECT pg_catalog.string_agg(pg_catalog.translate(k, E'\n=', '') || '=' || pg_catalog.translate(v, E'\n', ''), E'\n')
  FROM (
    SELECT e.key AS k, e.value #>> '{}' AS v FROM pg_catalog.jsonb_each(settings) e
    WHERE e.key IN ('delimiter', 'quote', 'skip', 'header', 'decimal', 'thousands', 'date_format')
    UNION ALL
    SELECT 'debit_mark', m FROM pg_catalog.jsonb_array_elements_text(
      CASE WHEN pg_catalog.jsonb_typeof(settings -> 'debit_marks') = 'array' THEN settings -> 'debit_marks' ELSE '[]' END) m
    UNION ALL
    SELECT 'column.' || c.key, s.name
    FROM pg_catalog.jsonb_each(CASE WHEN pg_catalog.jsonb_typeof(settings -> 'columns') = 'object' THEN settings -> 'columns' ELSE '{}' END) c,
      LATERAL pg_catalog.jsonb_array_elements_text(
        CASE pg_catalog.jsonb_typeof(c.value) WHEN 'array' THEN c.value ELSE pg_catalog.jsonb_build_array(c.value) END) s(name)
  ) x WHERE v IS NOT NULL
$$;
COMMENT ON FUNCTION o2c._csv_settings(jsonb) IS
  'Settings of a CSV format as the lines key=value that its reader takes.';

CREATE FUNCTION o2c._csv_format_of(company integer, content text) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  SELECT CASE WHEN pg_catalog.count(*) = 1 THEN pg_catalog.min(f.code) END
  FROM o2c.statement_format f
  WHERE f.company_id = company
    AND coalesce(f.settings ->> 'header', 'true') <> 'false'
    AND pg_catalog.jsonb_typeof(f.settings -> 'columns') = 'object'
    AND NOT EXISTS (
      SELECT FROM pg_catalog.jsonb_each(f.settings -> 'columns') c,
        LATERAL pg_catalog.jsonb_array_elements_text(
          CASE pg_catalog.jsonb_typeof(c.value) WHEN 'array' THEN c.value ELSE pg_catalog.jsonb_build_array(c.value) END) s(name)
      WHERE pg_catalog.strpos(pg_catalog.lower(pg_catalog.split_part(pg_catalog.left(content, 65536), E'\n',
              1 + coalesce(o2c._to_numeric(f.settings ->> 'skip'), 0)::integer)), pg_catalog.lower(s.name)) = 0)
$$;
COMMENT ON FUNCTION o2c._csv_format_of(integer, text) IS
  'The only CSV format of the company whose headings all stand in the file''s first line, or NULL.';

CREATE FUNCTION o2c._same_account(stated text, iban text, account_number text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  -- the number as a whole and each part between slashes, with and without a
  -- currency at its end; a bank code and a number also as they stand in a BBAN
  WITH part AS (
    SELECT pg_catalog.upper(pg_catalog.regexp_replace(p, '[^A-Za-z0-9]', '', 'g')) AS p
    FROM (SELECT stated AS p
          UNION ALL SELECT s FROM pg_catalog.unnest(pg_catalog.string_to_array(stated, '/')) s
          UNION ALL SELECT m[1] || pg_catalog.lpad(m[2], 10, '0')
            FROM pg_catalog.regexp_match(stated, E'^\\s*(\\d{8})/(\\d{1,10})') m) x
  ), candidate AS (
    SELECT p FROM part
    UNION SELECT pg_catalog.regexp_replace(p, '[A-Z]{3}$', '') FROM part WHERE p ~ E'\\d[A-Z]{3}$'
  ), own AS (
    SELECT pg_catalog.upper(pg_catalog.regexp_replace(coalesce(iban, ''), E'\\s', '', 'g')) AS iban,
           pg_catalog.upper(pg_catalog.regexp_replace(coalesce(account_number, ''), '[^A-Za-z0-9]', '', 'g')) AS number
  )
  SELECT EXISTS (
    SELECT FROM candidate c, own o
    WHERE c.p <> ''
      AND (c.p = o.iban OR c.p = o.number
        OR (o.number <> '' AND pg_catalog.ltrim(c.p, '0') = pg_catalog.ltrim(o.number, '0'))
        OR (o.iban <> '' AND (c.p = pg_catalog.substr(o.iban, 5)
          OR (pg_catalog.length(pg_catalog.ltrim(c.p, '0')) >= 6
              AND pg_catalog.right(pg_catalog.substr(o.iban, 5), pg_catalog.length(pg_catalog.ltrim(c.p, '0'))) = pg_catalog.ltrim(c.p, '0'))))))
$$;
COMMENT ON FUNCTION o2c._same_account(text, text, text) IS
  'Whether the account that a statement names is the one with this IBAN or number: bank code, currency, blanks and leading zeros may differ.';

CREATE FUNCTION o2c._open_statement_file(company integer, content text, wanted text)
RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
SET client_min_messages = warning
SET plan_cache_mode = force_generic_plan  -- a custom plan would hold the whole file as a constant
AS $$
DECLARE
  kind text := o2c._statement_format(content);
  csv_settings text;
BEGIN
  DROP TABLE IF EXISTS pg_temp.o2c_statement_row, pg_temp.o2c_camt_part;
  CREATE TEMPORARY TABLE o2c_statement_row OF o2c._bank_file_row ON COMMIT DROP;
  IF wanted = 'auto' THEN
    IF kind IS NULL THEN
      wanted := o2c._csv_format_of(company, content);
    END IF;
  ELSIF wanted IN ('camt', 'camt.052', 'camt.053', 'camt.054') THEN
    IF kind IS DISTINCT FROM 'xml' THEN
      RAISE EXCEPTION USING ERRCODE = 'O2051', MESSAGE = pg_catalog.format('the file is not %s', wanted),
        DETAIL = coalesce(pg_catalog.format('By its content it is %s.', kind), 'It is not XML.'),
        HINT = 'Pass format => ''auto'' to go by the content.';
    END IF;
  ELSIF wanted IN ('mt940', 'mt942', 'bai2', 'coda', 'ofx') THEN
    IF kind IS NOT NULL AND kind <> wanted AND NOT (kind IN ('mt940', 'mt942') AND wanted IN ('mt940', 'mt942')) THEN
      RAISE EXCEPTION USING ERRCODE = 'O2051', MESSAGE = pg_catalog.format('the file is not %s', wanted),
        DETAIL = pg_catalog.format('By its content it is %s.', kind),
        HINT = 'Pass format => ''auto'' to go by the content.';
    END IF;
    kind := coalesce(kind, wanted);
  ELSE
    kind := NULL;
  END IF;

  IF kind IS NULL AND wanted IS DISTINCT FROM 'auto' AND wanted IS NOT NULL THEN
    SELECT coalesce(o2c._csv_settings(f.settings), '') INTO csv_settings
    FROM o2c.statement_format f WHERE f.company_id = company AND f.code = wanted;
    IF csv_settings IS NULL THEN
      RAISE EXCEPTION USING ERRCODE = 'O2004', MESSAGE = pg_catalog.format('there is no statement format "%s"', wanted),
        HINT = 'Formats are auto, camt, mt940, bai2, coda, ofx and the codes in o2c.statement_format.';
    END IF;
    INSERT INTO pg_temp.o2c_statement_row SELECT r.* FROM o2c._statement_rows(content, 'csv', csv_settings) r;
    RETURN wanted;
  END IF;
  IF kind IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'O2050', MESSAGE = 'cannot tell the format of the file',
      DETAIL = 'It is not XML, MT940, BAI2, CODA or OFX, and no CSV format of the company fits its first line.',
      HINT = 'Describe a CSV file in o2c.statement_format and pass its code as format.';
  END IF;

  IF kind = 'xml' THEN
    CREATE TEMPORARY TABLE o2c_camt_part (message text, statement_no integer, kind text, fragment xml) ON COMMIT DROP;
    INSERT INTO pg_temp.o2c_camt_part SELECT p.* FROM o2c._camt_parts(content) p;
    SELECT p.message INTO kind FROM pg_temp.o2c_camt_part p LIMIT 1;
    IF wanted LIKE 'camt.%' AND kind <> wanted THEN
      RAISE EXCEPTION USING ERRCODE = 'O2051', MESSAGE = pg_catalog.format('the file is not %s', wanted),
        DETAIL = pg_catalog.format('By its content it is %s.', kind),
        HINT = 'Pass format => ''auto'' to go by the content.';
    END IF;
    INSERT INTO pg_temp.o2c_statement_row SELECT r.* FROM o2c._camt_rows() r;
    DROP TABLE pg_temp.o2c_camt_part;
  ELSE
    INSERT INTO pg_temp.o2c_statement_row SELECT r.* FROM o2c._statement_rows(content, kind, NULL) r;
  END IF;
  RETURN kind;
END $$;
COMMENT ON FUNCTION o2c._open_statement_file(integer, text, text) IS
  'Reads a bank file into pg_temp.o2c_statement_row; returns its format. Errors: O2004, O2050, O2051, O2052.';
