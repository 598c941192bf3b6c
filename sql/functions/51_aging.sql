-- Aging: any as-of date, any moment of knowledge, any bounds.
--
-- Open(item, D, T) is the sum of its ledger entries with effective_on <= D and
-- recorded_at <= T.  The report is C (src/receivables/aging_lines.c), which
-- says how it is read; what stands here in SQL sums its lines further.

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
LANGUAGE c STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS 'MODULE_PATHNAME', 'o2c_aging_path';
COMMENT ON FUNCTION o2c._aging_path(integer, date, timestamptz) IS
  'Which way to an aging reads least: stored, rollback or full. All give the same answer.';

CREATE FUNCTION o2c._aging(company integer, as_of date, bounds integer[], basis text, known_at timestamptz,
  customer bigint, path text DEFAULT NULL, aged boolean DEFAULT false)
RETURNS TABLE (customer_id bigint, currency o2c.currency, buckets numeric[], unapplied numeric, total numeric, disputed numeric)
LANGUAGE c STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS 'MODULE_PATHNAME', 'o2c_aging_lines';
COMMENT ON FUNCTION o2c._aging(integer, date, integer[], text, timestamptz, bigint, text, boolean) IS
  'Aging per customer id and currency by one way (stored, rollback, full; NULL: what reads least); credits apart, or in the bucket of their own date when aged.';

CREATE FUNCTION o2c._aging_summary(company integer, on_date date, bounds integer[], basis text, known_at timestamptz,
  credits text, grouped_by text, in_currency text, customer bigint)
RETURNS TABLE (customer_code text, currency text, buckets numeric[], unapplied numeric, total numeric, disputed numeric)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  target o2c.currency := in_currency;
BEGIN
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
      FROM o2c._aging(company, on_date, bounds, basis, known_at, customer, NULL, credits = 'aged') a
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
COMMENT ON FUNCTION o2c._aging_summary(integer, date, integer[], text, timestamptz, text, text, text, bigint) IS
  'The part of o2c.aging() that sums lines of customers further: netted, by group or company, in one currency.';

CREATE FUNCTION o2c.aging(company_id integer, as_of date DEFAULT NULL, bounds integer[] DEFAULT '{0,30,60,90}',
  basis text DEFAULT 'due', known_at timestamptz DEFAULT NULL, credits text DEFAULT 'separate',
  grouped_by text DEFAULT 'customer', in_currency text DEFAULT NULL, customer text DEFAULT NULL)
RETURNS TABLE (customer_code text, currency text, buckets numeric[], unapplied numeric, total numeric, disputed numeric)
LANGUAGE c STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS 'MODULE_PATHNAME', 'o2c_aging_report';
COMMENT ON FUNCTION o2c.aging(integer, date, integer[], text, timestamptz, text, text, text, text) IS
  'Receivables by age as of a date (default: the company''s today), as known at a moment (default: now). basis: due or document. credits: separate (in unapplied), aged (in the bucket of their own date) or netted (taken from the oldest bucket first). grouped_by: customer, group (topmost parent) or company. in_currency converts at the rate of as_of. Buckets and unapplied add up to total, the customer''s balance; disputed says how much of what was open was in dispute then. A row without customer_code is money not identified yet. Errors: O2002, O2003, O2004, O2042.';
