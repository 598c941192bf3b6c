-- Business days: by the company's weekend and bank holidays.

CREATE FUNCTION o2c.is_business_day(company_id integer, day date)
RETURNS boolean
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
BEGIN
  IF NOT $2 BETWEEN '0001-01-01' AND '9999-12-31' THEN
    RAISE EXCEPTION USING ERRCODE = 'O2044', MESSAGE = pg_catalog.format('%s is not a day of the calendar', $2);
  ELSIF NOT EXISTS (SELECT FROM o2c.company c WHERE c.company_id = $1) THEN
    PERFORM o2c._require_company($1);
  END IF;
  RETURN o2c._is_business_day($1, $2);
END $$;
COMMENT ON FUNCTION o2c.is_business_day(integer, date) IS
  'Whether the day is neither weekend (company.settings "weekend", default Saturday and Sunday) nor in o2c.holiday. Errors: O2002, O2044 when the day is none of the years 1 to 9999.';

CREATE FUNCTION o2c._is_business_day(company integer, day date)
RETURNS boolean
LANGUAGE sql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  SELECT NOT coalesce((SELECT c.settings -> 'weekend' FROM o2c.company c WHERE c.company_id = $1), '[6, 7]')
             @> pg_catalog.to_jsonb(pg_catalog.date_part('isodow', $2)::integer)
     AND NOT EXISTS (SELECT FROM o2c.holiday h WHERE h.company_id = $1 AND h.day = $2)
$$;
COMMENT ON FUNCTION o2c._is_business_day(integer, date) IS
  'The work of o2c.is_business_day() for a company and a day known to be right.';

CREATE FUNCTION o2c.next_business_day(company_id integer, day date)
RETURNS date
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
BEGIN
  IF o2c.is_business_day($1, $2) THEN
    RETURN $2;
  END IF;
  RETURN coalesce((SELECT $2 + n FROM pg_catalog.generate_series(1, 60) n
                   WHERE o2c._is_business_day($1, $2 + n) ORDER BY n LIMIT 1), $2);
END $$;
COMMENT ON FUNCTION o2c.next_business_day(integer, date) IS
  'The day itself when it is a business day of the company, else the first one after it; the day itself when sixty days have none. Errors: O2002, O2044 when the day is none of the years 1 to 9999.';
