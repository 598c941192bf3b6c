-- Due dates, instalments and discount dates from a payment term and a date.

CREATE FUNCTION o2c._due_date(kind text, base date, net_days integer, months integer, day_of_month integer)
RETURNS date
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
DECLARE
  month timestamp;
  day date;
BEGIN
  IF kind = 'net' THEN
    RETURN base + net_days;
  END IF;
  -- the first day of the month that is meant
  month := pg_catalog.date_trunc('month', base::timestamp) + pg_catalog.make_interval(months => months);
  IF kind = 'end_of_month' THEN
    RETURN (month + '1 month - 1 day'::interval)::date + net_days;
  END IF;
  day := least(month::date + day_of_month - 1, (month + '1 month - 1 day'::interval)::date);
  IF day < base THEN
    month := month + '1 month'::interval;
    day := least(month::date + day_of_month - 1, (month + '1 month - 1 day'::interval)::date);
  END IF;
  RETURN day;
END $$;
COMMENT ON FUNCTION o2c._due_date(text, date, integer, integer, integer) IS
  'Due date by calendar arithmetic alone; a day that a month lacks is its last day.';

CREATE FUNCTION o2c._roll_date(company integer, day date, rule text) RETURNS date
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
DECLARE
  rolled date;
BEGIN
  IF rule = 'none' THEN
    RETURN day;
  END IF;
  rolled := o2c.next_business_day(company, day);
  IF rule = 'modified' AND pg_catalog.date_trunc('month', rolled) <> pg_catalog.date_trunc('month', day) THEN
    RETURN coalesce((SELECT day - n FROM pg_catalog.generate_series(1, 60) n
                     WHERE o2c.is_business_day(company, day - n) ORDER BY n LIMIT 1), day);
  END IF;
  RETURN rolled;
END $$;
COMMENT ON FUNCTION o2c._roll_date(integer, date, text) IS
  'The business day that a due date goes to: none, following or modified.';

CREATE FUNCTION o2c._term_schedule(company integer, term text, base date)
RETURNS TABLE (instalment integer, percent numeric, is_last boolean, due_date date, discount_date date,
               discount_percent numeric, discount_basis text)
LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 3
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT l.instalment, l.percent, l.instalment = pg_catalog.max(l.instalment) OVER (),
         o2c._roll_date($1, greatest(o2c._due_date(l.kind, $3, l.net_days, l.months, l.day_of_month), $3), t.business_days),
         CASE WHEN t.discount_percent > 0 THEN $3 + t.discount_days END,
         t.discount_percent, t.discount_basis
  FROM o2c.payment_term t
  CROSS JOIN LATERAL (
    SELECT 1 AS instalment, 100::numeric AS percent, t.kind, t.net_days, t.months, t.day_of_month
    WHERE t.kind <> 'instalments'
    UNION ALL
    SELECT x.instalment, x.percent, x.kind, x.net_days, x.months, x.day_of_month
    FROM o2c.payment_term_line x
    WHERE t.kind = 'instalments' AND x.company_id = t.company_id AND x.term_code = t.code) l
  WHERE t.company_id = $1 AND t.code = $2
  UNION ALL
  -- no such term: 30 days net
  SELECT 1, 100, true, $3 + 30, NULL, 0, 'gross'
  WHERE NOT EXISTS (SELECT FROM o2c.payment_term t WHERE t.company_id = $1 AND t.code = $2);
END $$;
COMMENT ON FUNCTION o2c._term_schedule(integer, text, date) IS
  'Instalments of a term for an invoice date, without amounts; a missing term is 30 days net.';

CREATE FUNCTION o2c._dated_term(company integer, term text, on_date date, amount numeric, currency o2c.currency) RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
DECLARE
  found constant text := coalesce(term, o2c._default_term(company));
BEGIN
  PERFORM o2c._require_company(company);
  IF NOT EXISTS (SELECT FROM o2c.payment_term t WHERE t.company_id = company AND t.code = found) THEN
    RAISE EXCEPTION USING ERRCODE = 'O2003', MESSAGE = pg_catalog.format('there is no payment term "%s"', found),
      HINT = 'Payment terms are rows of o2c.payment_term.';
  ELSIF on_date IS NULL OR NOT pg_catalog.isfinite(on_date) THEN
    RAISE EXCEPTION USING ERRCODE = 'O2044', MESSAGE = 'the date of an invoice must be finite';
  ELSIF currency IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'O2042', MESSAGE = 'amounts need a currency';
  ELSIF NOT coalesce(o2c.is_amount(amount, currency), false) THEN
    RAISE EXCEPTION USING ERRCODE = 'O2043',
      MESSAGE = pg_catalog.format('%s is not an amount in %s', coalesce(amount::text, 'NULL'), currency);
  END IF;
  RETURN found;
END $$;
COMMENT ON FUNCTION o2c._dated_term(integer, text, date, numeric, o2c.currency) IS
  'The term, NULL being the company''s default. Errors: O2002, O2003, O2042, O2043, O2044.';

CREATE FUNCTION o2c.due_dates(company_id integer, payment_term text, invoice_date date,
  amount numeric, currency text, net_amount numeric DEFAULT NULL)
RETURNS TABLE (instalment integer, amount numeric, due_date date, discount_date date, discount_amount numeric)
LANGUAGE sql STABLE PARALLEL SAFE ROWS 3
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  SELECT s.instalment, s.part, s.due_date, s.discount_date,
         CASE WHEN s.discount_date IS NOT NULL THEN
           -- the one quotient that need not end comes last, so that halves stay halves
           o2c.round_amount(pg_catalog.abs(CASE WHEN s.discount_basis = 'gross' OR $6 IS NULL OR $4 = 0 THEN s.part * s.discount_percent
             ELSE s.part * $6 * s.discount_percent / $4 END) * 0.01, $5::o2c.currency) END
  FROM (
    -- as the instalments of an invoice are made: o2c._post_invoices
    SELECT t.*, pg_catalog.sign($4)
      * (CASE WHEN t.is_last THEN pg_catalog.abs($4) ELSE least(pg_catalog.abs($4), pg_catalog.sum(r.part) OVER upto) END
         - least(pg_catalog.abs($4), coalesce(pg_catalog.sum(r.part) OVER before, 0))) AS part
    FROM o2c._dated_term($1, $2, $3, $4, $5::o2c.currency) term
    CROSS JOIN LATERAL o2c._term_schedule($1, term, $3) t
    CROSS JOIN LATERAL (SELECT o2c.round_amount(pg_catalog.abs($4) * t.percent / 100, $5::o2c.currency) AS part) r
    WINDOW upto AS (ORDER BY t.instalment),
           before AS (ORDER BY t.instalment ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)) s
  -- which refuses a net amount as it does an amount
  WHERE $6 IS NULL OR o2c._dated_term($1, $2, $3, $6, $5::o2c.currency) IS NOT NULL
  ORDER BY s.instalment
$$;
COMMENT ON FUNCTION o2c.due_dates(integer, text, date, numeric, text, numeric) IS
  'What an invoice of amount (of which net_amount before tax, for discounts on net) in a currency would be due when under a payment term (NULL: the company''s default): one row for each instalment with its amount, due date, and the last day and amount of its cash discount. The last instalment takes what rounding leaves. Errors: O2002, O2003, O2042, O2043, O2044.';

CREATE FUNCTION o2c._easter(year integer) RETURNS date
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  -- Gregorian computus: the epact gives the full moon, then the next Sunday
  SELECT pg_catalog.make_date(year, 3, 21) + moon
         + 7 - pg_catalog.date_part('dow', pg_catalog.make_date(year, 3, 21) + moon)::integer
  FROM (SELECT CASE WHEN e = 29 OR (e = 28 AND year % 19 > 10) THEN e - 1 ELSE e END AS moon
        FROM (SELECT (19 * (year % 19) + 15 + year / 100 - year / 400 - (8 * (year / 100) + 13) / 25) % 30 AS e) x) y
$$;
COMMENT ON FUNCTION o2c._easter(integer) IS 'Easter Sunday of a year in the Gregorian calendar.';

CREATE FUNCTION o2c._holiday_rules()
RETURNS TABLE (country text, month integer, day integer, easter_offset integer, name text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  -- public holidays in a whole country by its law, as of January 2026; days
  -- that only a region keeps, or that move to a Monday, are the company's to add
  SELECT c, r.month, r.day, r.easter_offset, r.name
  FROM (VALUES
    (1, 1, NULL::integer, 'New Year', '{AT,BE,BG,CY,CZ,DE,DK,EE,ES,FI,FR,GR,HR,HU,IE,IT,LT,LU,LV,MT,NL,PL,PT,RO,SE,SI,SK,CH,GB,NO,US}'::text[]),
    (1, 6, NULL, 'Epiphany', '{AT,ES,FI,HR,IT,PL,SE,SK,GR,CY}'),
    (NULL, NULL, -2, 'Good Friday', '{DE,DK,EE,ES,FI,HU,IE,LV,MT,PT,SE,SK,CZ,CH,GB,NO}'),
    (NULL, NULL, 1, 'Easter Monday', '{AT,BE,CZ,DE,DK,FI,FR,HR,HU,IE,IT,LT,LU,LV,NL,PL,SE,SI,SK,CH,NO,GB}'),
    (5, 1, NULL, 'Labour Day', '{AT,BE,BG,CY,CZ,DE,EE,ES,FI,FR,GR,HR,HU,IT,LT,LU,LV,MT,PL,PT,RO,SE,SI,SK,NO}'),
    (NULL, NULL, 39, 'Ascension', '{AT,BE,DE,DK,FI,FR,LU,NL,SE,CH,NO}'),
    (NULL, NULL, 50, 'Whit Monday', '{AT,BE,DE,DK,FR,HU,LU,NL,CH,NO}'),
    (NULL, NULL, 60, 'Corpus Christi', '{AT,HR,PL,PT}'),
    (8, 15, NULL, 'Assumption', '{AT,BE,ES,FR,HR,IT,LT,LU,MT,PL,PT,RO,SI,GR,CY}'),
    (11, 1, NULL, 'All Saints', '{AT,BE,ES,FR,HR,HU,IT,LT,LU,PL,PT,SI}'),
    (12, 8, NULL, 'Immaculate Conception', '{AT,ES,IT,MT,PT}'),
    (12, 25, NULL, 'Christmas Day', '{AT,BE,BG,CY,CZ,DE,DK,EE,ES,FI,FR,GR,HR,HU,IE,IT,LT,LU,LV,MT,NL,PL,PT,RO,SE,SI,SK,CH,GB,NO,US}'),
    (12, 26, NULL, 'Second day of Christmas', '{AT,BG,CY,CZ,DE,DK,EE,FI,GR,HR,HU,IE,IT,LT,LU,LV,NL,PL,RO,SE,SI,SK,GB,NO}'),
    (10, 3, NULL, 'German Unity Day', '{DE}'), (10, 26, NULL, 'National Day', '{AT}'),
    (7, 14, NULL, 'Bastille Day', '{FR}'), (5, 8, NULL, 'Victory Day', '{FR}'), (11, 11, NULL, 'Armistice', '{FR,BE,PL}'),
    (4, 25, NULL, 'Liberation Day', '{IT,PT}'), (6, 2, NULL, 'Republic Day', '{IT}'),
    (10, 12, NULL, 'National Day', '{ES}'), (12, 6, NULL, 'Constitution Day', '{ES}'),
    (7, 21, NULL, 'National Day', '{BE}'), (6, 23, NULL, 'National Day', '{LU}'), (5, 9, NULL, 'Europe Day', '{LU}'),
    (5, 3, NULL, 'Constitution Day', '{PL}'), (6, 10, NULL, 'Portugal Day', '{PT}'),
    (10, 5, NULL, 'Republic Day', '{PT}'), (12, 1, NULL, 'Restoration of Independence', '{PT}'),
    (4, 27, NULL, 'King''s Day', '{NL}'), (6, 6, NULL, 'National Day', '{SE}'), (8, 1, NULL, 'National Day', '{CH}'),
    (6, 5, NULL, 'Constitution Day', '{DK}'), (5, 17, NULL, 'Constitution Day', '{NO}'),
    (7, 4, NULL, 'Independence Day', '{US}'), (6, 19, NULL, 'Juneteenth', '{US}'), (11, 11, NULL, 'Veterans Day', '{US}')
  ) r(month, day, easter_offset, name, countries), pg_catalog.unnest(r.countries) c
$$;
COMMENT ON FUNCTION o2c._holiday_rules() IS
  'Public holidays by country: a fixed day, or days after Easter Sunday.';

CREATE FUNCTION o2c.seed_holidays(company_id integer, from_year integer, to_year integer, country text DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  added bigint;
BEGIN
  PERFORM o2c._require_company($1);
  IF (from_year BETWEEN 1900 AND 2200 AND to_year BETWEEN 1900 AND 2200) IS NOT TRUE THEN
    RAISE EXCEPTION USING ERRCODE = 'O2004', MESSAGE = 'years of holidays must be between 1900 and 2200';
  END IF;
  IF $4 IS NOT NULL AND NOT EXISTS (SELECT FROM o2c._holiday_rules() r WHERE r.country = $4) THEN
    RAISE EXCEPTION USING ERRCODE = 'O2004',
      MESSAGE = pg_catalog.format('no public holidays are known of country "%s"', pg_catalog.left($4, 20)),
      HINT = 'Insert its days into o2c.holiday.';
  END IF;
  INSERT INTO o2c.holiday (company_id, day, name)
  SELECT DISTINCT ON (d.day) $1, d.day, r.name
  FROM o2c._holiday_rules() r
  CROSS JOIN pg_catalog.generate_series($2, $3) y
  CROSS JOIN LATERAL (SELECT CASE WHEN r.easter_offset IS NOT NULL THEN o2c._easter(y) + r.easter_offset
                                  ELSE pg_catalog.make_date(y, r.month, r.day) END AS day) d
  WHERE r.country = coalesce($4, (SELECT c.country FROM o2c.company c WHERE c.company_id = $1))
  ORDER BY d.day, r.name
  ON CONFLICT DO NOTHING;
  GET DIAGNOSTICS added = ROW_COUNT;
  RETURN added;
END $$;
COMMENT ON FUNCTION o2c.seed_holidays(integer, integer, integer, text) IS
  'Add the public holidays of a country (default the company''s) for a range of years to o2c.holiday; returns how many were new. Errors: O2002, O2004.';

CREATE FUNCTION o2c._seed_company_term(company integer) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
BEGIN
  INSERT INTO o2c.payment_term (company_id, code, name, kind, net_days, months, day_of_month, discount_percent, discount_days)
  VALUES (company, 'NET0', 'Payable at once', 'net', 0, 0, NULL, 0, 0),
         (company, 'NET7', '7 days net', 'net', 7, 0, NULL, 0, 0),
         (company, 'NET14', '14 days net', 'net', 14, 0, NULL, 0, 0),
         (company, 'NET30', '30 days net', 'net', 30, 0, NULL, 0, 0),
         (company, 'NET45', '45 days net', 'net', 45, 0, NULL, 0, 0),
         (company, 'NET60', '60 days net', 'net', 60, 0, NULL, 0, 0),
         (company, 'NET90', '90 days net', 'net', 90, 0, NULL, 0, 0),
         (company, 'EOM', 'End of month', 'end_of_month', 0, 0, NULL, 0, 0),
         (company, 'EOM30', 'End of month plus 30 days', 'end_of_month', 30, 0, NULL, 0, 0),
         (company, '2/10NET30', '2 % in 10 days, 30 days net', 'net', 30, 0, NULL, 2, 10)
  ON CONFLICT DO NOTHING;
  PERFORM o2c.seed_holidays(company, 2020, 2035);
END $$;
COMMENT ON FUNCTION o2c._seed_company_term(integer) IS
  'Usual payment terms and the country''s holidays of 2020 to 2035 for a new company.';
