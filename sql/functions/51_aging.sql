-- Aging: any as-of date, any moment of knowledge, any bounds.
--
-- Open(item, D, T) is the sum of its ledger entries with effective_on <= D and
-- recorded_at <= T.  Because an entry repeats customer, currency and due date
-- of its item, a bucket is a sum over entries and no item is looked up.  Three
-- ways lead to the same sums:
--   stored   open_item.open_amount, when no entry lies after D
--   rollback stored amounts minus the entries after D (or T)
--   full     the entries up to D and T
-- o2c._aging_path() chooses by how much of the ledger each would read.

CREATE FUNCTION o2c.aging_bucket(days integer, bounds integer[]) RETURNS integer
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'o2c_aging_bucket';
COMMENT ON FUNCTION o2c.aging_bucket(integer, integer[]) IS
  'Subscript, from 1, of the bucket that a number of days overdue falls into: 1 for days <= bounds[1], 2 up to bounds[2], …, one more than there are bounds for what is above the last. Errors: O2004 unless bounds ascend.';

CREATE FUNCTION o2c._aging_sum_step(state bytea, amount numeric, days integer, bounds integer[]) RETURNS bytea
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'o2c_aging_sum_step';
COMMENT ON FUNCTION o2c._aging_sum_step(bytea, numeric, integer, integer[]) IS 'Transition function of o2c.aging_sum.';

CREATE FUNCTION o2c._aging_sum_combine(state bytea, other bytea) RETURNS bytea
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'o2c_aging_sum_combine';
COMMENT ON FUNCTION o2c._aging_sum_combine(bytea, bytea) IS 'Combine function of o2c.aging_sum.';

CREATE FUNCTION o2c._aging_sum_final(state bytea) RETURNS numeric[]
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'o2c_aging_sum_final';
COMMENT ON FUNCTION o2c._aging_sum_final(bytea) IS 'Final function of o2c.aging_sum.';

CREATE AGGREGATE o2c.aging_sum(amount numeric, days integer, bounds integer[]) (
  SFUNC = o2c._aging_sum_step, STYPE = bytea, SSPACE = 256,
  COMBINEFUNC = o2c._aging_sum_combine, FINALFUNC = o2c._aging_sum_final,
  PARALLEL = SAFE
);
COMMENT ON AGGREGATE o2c.aging_sum(numeric, integer, integer[]) IS
  'Sums of amounts by aging bucket of their days, in one pass: as many elements as bounds and one more. Exact; amounts below 10^28 with at most 24 decimals. Errors: O2004, O2043.';

CREATE FUNCTION o2c._aging_line_step(state bytea, amount numeric, disputed numeric, days integer, credit boolean, bounds integer[])
RETURNS bytea
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'o2c_aging_line_step';
COMMENT ON FUNCTION o2c._aging_line_step(bytea, numeric, numeric, integer, boolean, integer[]) IS 'Transition function of o2c._aging_line.';

CREATE FUNCTION o2c._aging_line_final(state bytea) RETURNS numeric[]
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'o2c_aging_line_final';
COMMENT ON FUNCTION o2c._aging_line_final(bytea) IS 'Final function of o2c._aging_line.';

CREATE AGGREGATE o2c._aging_line(amount numeric, disputed numeric, days integer, credit boolean, bounds integer[]) (
  SFUNC = o2c._aging_line_step, STYPE = bytea, SSPACE = 320,
  COMBINEFUNC = o2c._aging_sum_combine, FINALFUNC = o2c._aging_line_final,
  PARALLEL = SAFE
);
COMMENT ON AGGREGATE o2c._aging_line(numeric, numeric, integer, boolean, integer[]) IS
  'A line of o2c.aging(): the buckets of debits, then credits, total and disputed amounts; NULL when nothing is open. Without credit the sign decides.';

CREATE FUNCTION o2c._aging_net(buckets numeric[], credit numeric, OUT netted numeric[], OUT rest numeric)
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  SELECT pg_catalog.array_agg(b.amount - b.used ORDER BY b.place), credit + pg_catalog.sum(b.used)
  FROM (SELECT u.place, u.amount,
          GREATEST(0, LEAST(u.amount, - credit - coalesce(pg_catalog.sum(GREATEST(u.amount, 0)) OVER
            (ORDER BY u.place DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0))) AS used
        FROM pg_catalog.unnest(buckets) WITH ORDINALITY u (amount, place)) b
$$;
COMMENT ON FUNCTION o2c._aging_net(numeric[], numeric) IS
  'Takes a credit (negative) out of the buckets, oldest first; rest is what no bucket could take.';

CREATE FUNCTION o2c._aging_path(company integer, as_of date, known_at timestamptz) RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
DECLARE
  first_on date;
  last_on date;
BEGIN
  last_on := (SELECT pg_catalog.max(e.effective_on) FROM o2c.ledger_entry e WHERE e.company_id = company);
  IF last_on IS NULL OR (last_on <= as_of AND known_at IS NULL) THEN
    RETURN 'stored';
  END IF;
  first_on := (SELECT pg_catalog.min(e.effective_on) FROM o2c.ledger_entry e WHERE e.company_id = company);
  -- what was recorded after a moment is about what counts after it
  RETURN CASE WHEN known_at = '-infinity' THEN 'full'
    WHEN LEAST(as_of, known_at::date) - first_on > 0.4 * (last_on - first_on) THEN 'rollback' ELSE 'full' END;
END $$;
COMMENT ON FUNCTION o2c._aging_path(integer, date, timestamptz) IS
  'Which way to an aging reads least: stored, rollback or full. All give the same answer.';

CREATE FUNCTION o2c._aging_rows_query(path text, basis text, aged boolean, one_customer boolean) RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
DECLARE
  -- with basis due the entry has the date; otherwise its item is looked up
  item text := CASE WHEN basis = 'due' AND NOT one_customer THEN ''
    ELSE ' JOIN o2c.open_item i ON i.company_id = e.company_id AND i.id = e.item_id' END;
  anchor text := CASE WHEN basis = 'due' THEN 'e.due_date' ELSE 'i.document_date' END;
  mine text := CASE WHEN one_customer THEN ' AND i.company_id = $1 AND i.customer_id = $4' ELSE '' END;
  stored text := 'SELECT i.customer_id, i.currency, $2 - '
    || CASE WHEN basis = 'due' THEN 'i.due_date' ELSE 'i.document_date' END
    || ' AS days, ' || CASE WHEN aged THEN 'false' ELSE 'NULL::boolean' END
    || ' AS credit, i.open_amount AS amount, i.disputed_amount AS disputed'
    || ' FROM o2c.open_item i WHERE i.company_id = $1 AND i.open_amount <> 0' || mine;
  entries text := 'SELECT e.customer_id, e.currency, $2 - ' || anchor
    || ' AS days, ' || CASE WHEN aged THEN 'false' ELSE 'e.credit' END
    || ' AS credit, %s e.amount AS amount, NULL::numeric AS disputed FROM o2c.ledger_entry e'
    || item || ' WHERE e.company_id = $1' || mine;
BEGIN
  RETURN CASE path
    WHEN 'stored' THEN stored
    WHEN 'rollback' THEN stored
      || ' UNION ALL ' || pg_catalog.format(entries, '-') || ' AND e.effective_on > $2'
      || ' UNION ALL ' || pg_catalog.format(entries, '-') || ' AND e.effective_on <= $2 AND e.recorded_at > $3'
    ELSE pg_catalog.format(entries, '') || ' AND e.effective_on <= $2 AND ($3 IS NULL OR e.recorded_at <= $3)'
    END;
END $$;
COMMENT ON FUNCTION o2c._aging_rows_query(text, text, boolean, boolean) IS
  'Query of the rows that an aging sums: (customer_id, currency, days, credit, amount, disputed), $1 company, $2 as of, $3 known at, $4 customer.';

CREATE FUNCTION o2c._aging_query(path text, basis text, aged boolean, one_customer boolean) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  SELECT 'SELECT g.customer_id, g.currency, g.line[1:$6] AS buckets, g.line[$6 + 1] AS unapplied, g.line[$6 + 2] AS total,'
    || ' g.line[$6 + 3] AS disputed'
    || ' FROM (SELECT r.customer_id, r.currency, o2c._aging_line(r.amount, r.disputed, r.days, r.credit, $5) AS line'
    || ' FROM (' || o2c._aging_rows_query(path, basis, aged, one_customer) || ') r'
    || ' GROUP BY r.customer_id, r.currency OFFSET 0) g WHERE g.line IS NOT NULL'
$$;
COMMENT ON FUNCTION o2c._aging_query(text, text, boolean, boolean) IS
  'Query of an aging per customer id and currency; parameters as in o2c._aging_rows_query, $5 bounds, $6 number of buckets.';

CREATE FUNCTION o2c._aging(company integer, as_of date, bounds integer[], basis text, known_at timestamptz,
  customer bigint, path text, aged boolean DEFAULT false)
RETURNS TABLE (customer_id bigint, currency o2c.currency, buckets numeric[], unapplied numeric, total numeric, disputed numeric)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
BEGIN
  RETURN QUERY EXECUTE o2c._aging_query(path, basis, aged, customer IS NOT NULL)
    USING company, as_of, known_at, customer, bounds, coalesce(pg_catalog.array_length(bounds, 1), 0) + 1;
END $$;
COMMENT ON FUNCTION o2c._aging(integer, date, integer[], text, timestamptz, bigint, text, boolean) IS
  'Aging per customer id and currency by one way (stored, rollback, full); credits apart, or in the bucket of their own date when aged.';

CREATE FUNCTION o2c.aging(company_id integer, as_of date DEFAULT NULL, bounds integer[] DEFAULT '{0,30,60,90}',
  basis text DEFAULT 'due', known_at timestamptz DEFAULT NULL, credits text DEFAULT 'separate',
  grouped_by text DEFAULT 'customer', in_currency text DEFAULT NULL, customer text DEFAULT NULL)
RETURNS TABLE (customer_code text, currency text, buckets numeric[], unapplied numeric, total numeric, disputed numeric)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  company constant integer := $1;
  on_date date := as_of;
  one bigint;
  path text;
  target o2c.currency := in_currency;
BEGIN
  IF on_date IS NULL THEN
    on_date := o2c.today(company);
  ELSIF NOT pg_catalog.isfinite(on_date) THEN
    RAISE EXCEPTION USING ERRCODE = 'O2044', MESSAGE = 'the date of an aging must be finite';
  END IF;
  IF basis IS NULL OR basis NOT IN ('due', 'document') THEN
    RAISE EXCEPTION USING ERRCODE = 'O2004',
      MESSAGE = pg_catalog.format('basis "%s" is not known', basis),
      HINT = 'Use due or document.';
  END IF;
  IF credits IS NULL OR credits NOT IN ('separate', 'aged', 'netted') THEN
    RAISE EXCEPTION USING ERRCODE = 'O2004',
      MESSAGE = pg_catalog.format('treatment of credits "%s" is not known', credits),
      HINT = 'Use separate, aged or netted.';
  END IF;
  IF grouped_by IS NULL OR grouped_by NOT IN ('customer', 'group', 'company') THEN
    RAISE EXCEPTION USING ERRCODE = 'O2004',
      MESSAGE = pg_catalog.format('grouping "%s" is not known', grouped_by),
      HINT = 'Use customer, group or company.';
  END IF;
  IF bounds IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'O2004', MESSAGE = 'bounds of aging buckets must not be null';
  END IF;
  PERFORM o2c.aging_bucket(0, bounds);
  PERFORM o2c._require_company(company);
  IF customer IS NOT NULL THEN
    one := o2c._customer_id(company, customer);
  END IF;
  path := o2c._aging_path(company, on_date, known_at);

  IF credits <> 'netted' AND grouped_by = 'customer' AND target IS NULL THEN
    RETURN QUERY EXECUTE
      'SELECT c.code, a.currency::text, a.buckets, a.unapplied, a.total, a.disputed FROM ('
      || o2c._aging_query(path, basis, credits = 'aged', one IS NOT NULL)
      || ') a LEFT JOIN o2c.customer c ON c.company_id = $1 AND c.id = a.customer_id'
      USING company, on_date, known_at, one, bounds, coalesce(pg_catalog.array_length(bounds, 1), 0) + 1;
    RETURN;
  END IF;

  RETURN QUERY
    WITH RECURSIVE top AS (
      SELECT c.id, c.code, c.code AS top_code FROM o2c.customer c
      WHERE c.company_id = company AND (c.parent_code IS NULL OR grouped_by <> 'group')
      UNION ALL
      SELECT c.id, c.code, t.top_code FROM o2c.customer c JOIN top t ON c.parent_code = t.code
      WHERE c.company_id = company AND grouped_by = 'group'),
    aged AS (
      SELECT CASE WHEN grouped_by <> 'company' THEN coalesce(t.top_code, c.code) END AS code,
             a.currency AS from_currency, coalesce(target, a.currency) AS currency,
             a.buckets, a.unapplied, a.disputed
      FROM o2c._aging(company, on_date, bounds, basis, known_at, one, path, credits = 'aged') a
      LEFT JOIN o2c.customer c ON c.company_id = company AND c.id = a.customer_id
      LEFT JOIN top t ON t.id = a.customer_id),
    rate AS (
      SELECT f.from_currency,
             CASE WHEN target IS NULL THEN 1
                  ELSE o2c.exchange_rate_on(company, f.from_currency, target, on_date) END AS rate
      FROM (SELECT DISTINCT a.from_currency FROM aged a) f),
    cell AS (
      SELECT a.code, a.currency, u.place,
             pg_catalog.sum(CASE WHEN target IS NULL THEN u.amount ELSE o2c.round_amount(r.rate * u.amount, target) END) AS amount
      FROM aged a JOIN rate r ON r.from_currency::text = a.from_currency::text
      CROSS JOIN LATERAL pg_catalog.unnest(a.buckets) WITH ORDINALITY u (amount, place)
      GROUP BY a.code, a.currency, u.place),
    line AS (
      SELECT c.code, c.currency, pg_catalog.array_agg(c.amount ORDER BY c.place) AS buckets
      FROM cell c GROUP BY c.code, c.currency),
    rest AS (
      SELECT a.code, a.currency,
             pg_catalog.sum(CASE WHEN target IS NULL THEN a.unapplied
                                 ELSE o2c.round_amount(r.rate * a.unapplied, target) END) AS unapplied,
             pg_catalog.sum(CASE WHEN target IS NULL THEN a.disputed
                                 ELSE o2c.round_amount(r.rate * a.disputed, target) END) AS disputed
      FROM aged a JOIN rate r ON r.from_currency::text = a.from_currency::text
      GROUP BY a.code, a.currency),
    final AS (
      SELECT l.code, l.currency, r.disputed,
             CASE WHEN credits = 'netted' THEN n.netted ELSE l.buckets END AS buckets,
             CASE WHEN credits = 'netted' THEN n.rest ELSE r.unapplied END AS unapplied
      FROM line l JOIN rest r ON r.code IS NOT DISTINCT FROM l.code AND r.currency::text = l.currency::text
      CROSS JOIN LATERAL o2c._aging_net(l.buckets, r.unapplied) n)
    SELECT f.code, f.currency::text, f.buckets, f.unapplied,
           f.unapplied + (SELECT pg_catalog.sum(b) FROM pg_catalog.unnest(f.buckets) b), f.disputed
    FROM final f
    WHERE f.unapplied <> 0 OR EXISTS (SELECT FROM pg_catalog.unnest(f.buckets) b WHERE b <> 0);
END $$;
COMMENT ON FUNCTION o2c.aging(integer, date, integer[], text, timestamptz, text, text, text, text) IS
  'Receivables by age as of a date (default: the company''s today), as known at a moment (default: now). basis: due or document. credits: separate (in unapplied), aged (in the bucket of their own date) or netted (taken from the oldest bucket first). grouped_by: customer, group (topmost parent) or company. in_currency converts at the rate of as_of. Buckets and unapplied add up to total, the customer''s balance; disputed says how much of it is in dispute now. A row without customer_code is money not identified yet. Errors: O2002, O2003, O2004, O2042.';
