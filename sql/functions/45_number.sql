-- Document numbers (src/invoicing/numbering.c) and what a new company starts
-- with.

CREATE FUNCTION o2c._is_number_pattern(pattern text, reset text) RETURNS boolean
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'o2c_number_pattern_is_valid';
COMMENT ON FUNCTION o2c._is_number_pattern(text, text) IS
  'Whether a pattern is well formed, has {n} once and the tokens that its reset needs.';

CREATE FUNCTION o2c._format_number(pattern text, series text, on_date date, n bigint) RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'o2c_number_format';
COMMENT ON FUNCTION o2c._format_number(text, text, date, bigint) IS
  'A number by a pattern with the tokens {series} {yyyy} {yy} {mm} {n} {n:6}.';

CREATE FUNCTION o2c._draw_block(company integer, series text, on_date date, count integer,
  OUT first bigint, OUT period date, OUT issued_at timestamptz)
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS 'MODULE_PATHNAME', 'o2c_number_draw';
COMMENT ON FUNCTION o2c._draw_block(integer, text, date, integer) IS
  'Draw consecutive numbers; the series stays locked until the transaction ends. issued_at is taken under the lock. Errors: O2003, O2032 when the date is before the last one.';

CREATE FUNCTION o2c._last_number_date(company integer, series text) RETURNS date
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS 'MODULE_PATHNAME', 'o2c_number_last_date';
COMMENT ON FUNCTION o2c._last_number_date(integer, text) IS
  'Lock a gapless series until the transaction ends and tell the day of its last number, whatever the snapshot shows; NULL of any other series. Errors: O2003.';

CREATE FUNCTION o2c._draw_numbers(company integer, series text, on_date date, count integer) RETURNS bigint
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
BEGIN
  RETURN (
 SELECT b.first FROM o2c._draw_block($1, $2, $3, $4) b);
END $$;
COMMENT ON FUNCTION o2c._draw_numbers(integer, text, date, integer) IS
  'The first of count consecutive numbers of a series. Errors: as _draw_block.';

CREATE FUNCTION o2c._next_number(company integer, series text, on_date date) RETURNS text
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
BEGIN
  RETURN (
  SELECT o2c._format_number(s.pattern, coalesce(s.prefix, s.code), $3, o2c._draw_numbers($1, $2, $3, 1))
  FROM o2c.number_series s WHERE s.company_id = $1 AND s.code = $2);
END $$;
COMMENT ON FUNCTION o2c._next_number(integer, text, date) IS
  'Draw one number of a series and print it by the pattern. Errors: as _draw_block.';

CREATE FUNCTION o2c._number_series_counter() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'o2c_number_series_counter';
COMMENT ON FUNCTION o2c._number_series_counter() IS 'Statement trigger: a new series gets its counter.';

CREATE FUNCTION o2c._number_series_guard() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'o2c_number_series_guard';
COMMENT ON FUNCTION o2c._number_series_guard() IS
  'Row trigger: refuses (O2032) to change how a series counts once numbers were drawn.';

CREATE FUNCTION o2c._number_counter_guard() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'o2c_number_counter_guard';
COMMENT ON FUNCTION o2c._number_counter_guard() IS
  'Row trigger: counters are changed (O2030) only by drawing numbers.';

CREATE FUNCTION o2c._seed_company_invoice(company integer) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
BEGIN
  INSERT INTO o2c.number_series (company_id, code, prefix, pattern, reset)
  VALUES (company, 'invoice', 'INV', '{series}{yyyy}-{n:6}', 'year'),
         (company, 'credit_note', 'CN', '{series}{yyyy}-{n:6}', 'year'),
         (company, 'debit_note', 'DN', '{series}{yyyy}-{n:6}', 'year'),
         (company, 'prepayment', 'PI', '{series}{yyyy}-{n:6}', 'year'),
         (company, 'shipment', 'SH', '{series}{yyyy}-{n:6}', 'year')
  ON CONFLICT DO NOTHING;
END $$;
COMMENT ON FUNCTION o2c._seed_company_invoice(integer) IS 'The number series that a new company starts with.';
