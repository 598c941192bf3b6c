-- Billing by milestone and by period, and prepayment invoices.

CREATE FUNCTION o2c._keep_milestone() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'o2c_keep_milestone';
COMMENT ON FUNCTION o2c._keep_milestone() IS
  'Trigger: the share and the order of a milestone stay once a document bills it. Errors: O2033.';

CREATE FUNCTION o2c._bill_milestones(company integer, up_to date) RETURNS bigint[]
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
DECLARE
  drafts bigint[];
BEGIN
  -- locked, and written: who bills or changes them with a snapshot of before must fail
  UPDATE o2c.billing_milestone m SET reached_on = m.reached_on
  FROM (SELECT x.id FROM o2c.billing_milestone x
        WHERE x.company_id = company AND x.reached_on <= up_to
          AND NOT EXISTS (SELECT FROM o2c.invoice_line l WHERE l.company_id = x.company_id AND l.milestone_id = x.id)
        ORDER BY x.id FOR NO KEY UPDATE) d
  WHERE m.company_id = company AND m.id = d.id;
  WITH due AS MATERIALIZED (
    SELECT m.*, o.customer_id, o.currency, coalesce(o.customer_reference, o.code) AS reference,
           pg_catalog.nextval('o2c.invoice_id_seq') AS invoice_id
    FROM (SELECT x.*, pg_catalog.sum(x.percent) OVER (PARTITION BY x.order_id ORDER BY x.id) AS upto
          FROM o2c.billing_milestone x WHERE x.company_id = company) m
    JOIN o2c.sales_order o ON o.company_id = m.company_id AND o.id = m.order_id
    WHERE m.reached_on <= up_to
      AND o.state IN ('confirmed', 'fulfilling', 'fulfilled', 'closed')
      AND o2c._not_held(company, ARRAY[o.id], '{invoice}') IS NOT NULL
      AND NOT EXISTS (SELECT FROM o2c.invoice_line l WHERE l.company_id = m.company_id AND l.milestone_id = m.id)),
  invoice AS (
    INSERT INTO o2c.invoice (company_id, id, customer_id, order_id, currency, payment_term, customer_reference, supply_date)
    SELECT company, d.invoice_id, d.customer_id, d.order_id, d.currency,
           coalesce(c.payment_term, o2c._default_term(company)), pg_catalog.left(d.reference, 200), d.reached_on
    FROM due d
    CROSS JOIN LATERAL (SELECT x.payment_term FROM o2c.customer x WHERE x.company_id = company AND x.id = d.customer_id OFFSET 0) c),
  tax AS MATERIALIZED (
    SELECT x.reached_on, t.* FROM (SELECT DISTINCT d.reached_on FROM due d) x
    CROSS JOIN LATERAL o2c._taxes(company, x.reached_on) t),
  line AS (
    INSERT INTO o2c.invoice_line (company_id, invoice_id, line_no, milestone_id, description, quantity, unit_price, currency,
                                  tax_category, tax_rate, exemption_code, exemption_reason)
    SELECT company, s.invoice_id, pg_catalog.row_number() OVER (PARTITION BY s.invoice_id ORDER BY s.tax_category),
           -- rounded as sums up to each, so that all of them are the whole
           s.id, s.name, 1, o2c.round_amount(s.net * s.upto * 0.01, s.currency)
             - o2c.round_amount(s.net * (s.upto - s.percent) * 0.01, s.currency), s.currency,
           coalesce(t.category, s.tax_category), coalesce(t.rate, 0), t.exemption_code, t.exemption_reason
    FROM (SELECT d.invoice_id, d.id, d.name, d.percent, d.upto, d.currency, d.customer_id, d.reached_on, l.tax_category,
                 pg_catalog.sum(l.net_amount) AS net
          FROM due d JOIN o2c.sales_order_line l ON l.company_id = company AND l.order_id = d.order_id
          GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9) s
    CROSS JOIN LATERAL (SELECT x.country, x.vat_id FROM o2c.customer x WHERE x.company_id = company AND x.id = s.customer_id OFFSET 0) c
    LEFT JOIN tax t ON t.reached_on = s.reached_on AND t.tax_category = s.tax_category AND t.country = coalesce(c.country, '')
      AND t.vat_registered = (coalesce(pg_catalog.btrim(c.vat_id), '') <> ''))
  SELECT pg_catalog.array_agg(d.invoice_id) INTO drafts FROM due d;
  IF drafts IS NOT NULL THEN
    PERFORM o2c._bill_shipping(company, drafts, ARRAY(SELECT i.order_id FROM o2c.invoice i
      WHERE i.company_id = company AND i.id = ANY (drafts)));
    PERFORM o2c._deduct_prepayments(company, drafts);
    PERFORM o2c._recalculate(company, drafts);
  END IF;
  RETURN drafts;
END $$;
COMMENT ON FUNCTION o2c._bill_milestones(integer, date) IS
  'Drafts of milestones reached up to a date and not billed, one each; returns their ids.';

CREATE FUNCTION o2c._subscription_periods(starts_on date, ends_on date, period text, aligned boolean, in_advance boolean, up_to date)
RETURNS TABLE (period_start date, period_end date, share numeric)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  SELECT greatest(w.first, $1), least(w.last, $2),
         (least(w.last, $2) - greatest(w.first, $1) + 1)::numeric / (w.last - w.first + 1)
  FROM (
    SELECT (a.anchor + n * a.step)::date AS first, (a.anchor + (n + 1) * a.step)::date - 1 AS last
    FROM (SELECT CASE WHEN $4 THEN pg_catalog.date_trunc($3, $1::timestamp) ELSE $1::timestamp END AS anchor,
                 CASE $3 WHEN 'week' THEN '7 days'::interval WHEN 'quarter' THEN '3 months'::interval
                         ELSE ('1 ' || $3)::interval END AS step) a
    CROSS JOIN LATERAL pg_catalog.generate_series(0,
      ((least($6, coalesce($2, $6)) - a.anchor::date) / CASE $3 WHEN 'week' THEN 7 WHEN 'month' THEN 28 WHEN 'quarter' THEN 90 ELSE 365 END) + 1) n) w
  WHERE w.first <= coalesce($2, w.first) AND w.last >= $1
    AND CASE WHEN $5 THEN greatest(w.first, $1) ELSE least(w.last, $2) END <= $6
$$;
COMMENT ON FUNCTION o2c._subscription_periods(date, date, text, boolean, boolean, date) IS
  'Periods of a subscription that are billable by a date, each with the share of a whole one by days.';

CREATE FUNCTION o2c._bill_subscriptions(company integer, up_to date) RETURNS bigint[]
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
DECLARE
  drafts bigint[];
BEGIN
  PERFORM FROM o2c.subscription s WHERE s.company_id = company AND s.starts_on <= up_to ORDER BY s.id FOR NO KEY UPDATE;
  WITH due AS MATERIALIZED (
    SELECT s.*, p.period_start, p.period_end, p.share
    FROM o2c.subscription s
    CROSS JOIN LATERAL o2c._subscription_periods(s.starts_on, s.ends_on, s.period, s.aligned, s.in_advance, up_to) p
    WHERE s.company_id = company AND s.starts_on <= up_to
      AND NOT EXISTS (SELECT FROM o2c.invoice_line l
                      WHERE l.company_id = s.company_id AND l.subscription_id = s.id AND l.period_start = p.period_start
                        AND l.original_line_id IS NULL)),
  -- one invoice for a customer, currency and period
  grp AS MATERIALIZED (
    SELECT g.*, pg_catalog.nextval('o2c.invoice_id_seq') AS invoice_id
    FROM (SELECT DISTINCT d.customer_id, d.currency::text AS currency, d.period_start, d.period_end FROM due d) g
    ORDER BY g.period_start, g.customer_id),
  invoice AS (
    INSERT INTO o2c.invoice (company_id, id, customer_id, currency, payment_term, supply_date, period_start, period_end)
    SELECT company, g.invoice_id, g.customer_id, g.currency::o2c.currency,
           coalesce(c.payment_term, o2c._default_term(company)), g.period_start, g.period_start, g.period_end
    FROM grp g JOIN o2c.customer c ON c.company_id = company AND c.id = g.customer_id),
  tax AS MATERIALIZED (
    SELECT x.period_start, t.* FROM (SELECT DISTINCT d.period_start FROM due d) x
    CROSS JOIN LATERAL o2c._taxes(company, x.period_start) t),
  line AS (
    INSERT INTO o2c.invoice_line (company_id, invoice_id, line_no, product_id, subscription_id, description, quantity, unit,
                                  unit_price, currency, tax_category, tax_rate, exemption_code, exemption_reason,
                                  period_start, period_end)
    SELECT company, g.invoice_id, pg_catalog.row_number() OVER (PARTITION BY g.invoice_id ORDER BY d.id),
           p.id, d.id, coalesce(nullif(d.description, ''), p.name), d.quantity, p.unit,
           -- a share of a period is a share of its price
           CASE WHEN d.share = 1 THEN d.unit_price ELSE pg_catalog.round(d.unit_price * d.share, 6) END,
           d.currency, coalesce(t.category, p.tax_category), coalesce(t.rate, 0), t.exemption_code, t.exemption_reason,
           d.period_start, d.period_end
    FROM due d
    JOIN grp g ON g.customer_id = d.customer_id AND g.currency = d.currency::text
      AND g.period_start = d.period_start AND g.period_end = d.period_end
    JOIN o2c.product p ON p.company_id = company AND p.id = d.product_id
    JOIN o2c.customer c ON c.company_id = company AND c.id = d.customer_id
    LEFT JOIN tax t ON t.period_start = d.period_start AND t.tax_category = p.tax_category AND t.country = coalesce(c.country, '')
      AND t.vat_registered = (coalesce(pg_catalog.btrim(c.vat_id), '') <> ''))
  SELECT pg_catalog.array_agg(g.invoice_id) INTO drafts FROM grp g;
  IF drafts IS NOT NULL THEN
    PERFORM o2c._recalculate(company, drafts);
  END IF;
  RETURN drafts;
END $$;
COMMENT ON FUNCTION o2c._bill_subscriptions(integer, date) IS
  'Drafts of subscription periods that are due by a date and not billed; returns their ids.';

CREATE FUNCTION o2c.prepayment_invoice(company_id integer, order_id bigint, percent numeric) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  draft bigint;
  ordered record;
BEGIN
  IF percent IS NULL OR percent <= 0 OR percent > 100 THEN
    RAISE EXCEPTION USING ERRCODE = 'O2004',
      MESSAGE = pg_catalog.format('%s is not a percentage of an order', coalesce($3::text, 'NULL')),
      HINT = 'Use a number above 0 and up to 100.';
  END IF;
  SELECT o.*, coalesce(c.payment_term, o2c._default_term($1)) AS term, c.country, c.vat_id INTO ordered
  FROM o2c.sales_order o JOIN o2c.customer c ON c.company_id = o.company_id AND c.id = o.customer_id
  WHERE o.company_id = $1 AND o.id = $2 FOR NO KEY UPDATE OF o;
  IF NOT FOUND THEN
    PERFORM o2c._require_company($1);
    RAISE EXCEPTION USING ERRCODE = 'O2003',
      MESSAGE = pg_catalog.format('there is no order %s in company %s', coalesce($2::text, 'NULL'), $1);
  END IF;
  INSERT INTO o2c.invoice (company_id, kind, customer_id, order_id, currency, payment_term, customer_reference)
  VALUES ($1, 'prepayment', ordered.customer_id, $2, ordered.currency, ordered.term,
          pg_catalog.left(coalesce(ordered.customer_reference, ordered.code), 200))
  RETURNING id INTO draft;
  INSERT INTO o2c.invoice_line (company_id, invoice_id, line_no, description, quantity, unit_price, currency,
                                tax_category, tax_rate, exemption_code, exemption_reason)
  SELECT $1, draft, pg_catalog.row_number() OVER (ORDER BY s.tax_category),
         pg_catalog.format('Prepayment of %s %% on order %s', pg_catalog.trim_scale($3), ordered.code),
         1, o2c.round_amount(s.net * $3 * 0.01, ordered.currency), ordered.currency,
         coalesce(t.category, s.tax_category), coalesce(t.rate, 0), t.exemption_code, t.exemption_reason
  FROM (SELECT l.tax_category, pg_catalog.sum(l.net_amount) AS net FROM o2c.sales_order_line l
        WHERE l.company_id = $1 AND l.order_id = $2 GROUP BY l.tax_category) s
  LEFT JOIN o2c._taxes($1, o2c.today($1)) t ON t.tax_category = s.tax_category AND t.country = coalesce(ordered.country, '')
    AND t.vat_registered = (coalesce(pg_catalog.btrim(ordered.vat_id), '') <> '');
  IF NOT EXISTS (SELECT FROM o2c.invoice_line l WHERE l.company_id = $1 AND l.invoice_id = draft AND l.net_amount <> 0) THEN
    RAISE EXCEPTION USING ERRCODE = 'O2004',
      MESSAGE = pg_catalog.format('%s %% of order %s is nothing', pg_catalog.left($3::text, 20), ordered.code),
      HINT = 'Use a percentage that makes at least the smallest unit of the currency.';
  END IF;
  PERFORM o2c._recalculate($1, ARRAY[draft]);
  RETURN draft;
END $$;
COMMENT ON FUNCTION o2c.prepayment_invoice(integer, bigint, numeric) IS
  'Draft a prepayment invoice of a percentage of an order, per tax category; invoices of the order deduct it. Errors: O2002, O2003, O2004.';
