-- What must never be false of invoices, for o2c.check().

CREATE FUNCTION o2c._check_invoice(company integer)
RETURNS TABLE (invariant text, company_id integer, entity text, entity_id bigint, detail text)
LANGUAGE plpgsql STABLE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  -- numbers of a series and period are 1..n, and the counter stands at n
  RETURN QUERY
    SELECT 'invoice_numbers_gapless', x.company_id, 'number_series', NULL::bigint,
           pg_catalog.format('series %s, period from %s: %s numbers from %s to %s, counter at %s',
             x.series, x.sequence_period, x.n, x.low, x.high, x.counter)
    FROM (
      SELECT i.company_id, i.series, i.sequence_period, pg_catalog.count(*) AS n, pg_catalog.min(i.sequence_no) AS low,
             pg_catalog.max(i.sequence_no) AS high,
             CASE WHEN c.period = i.sequence_period THEN c.last_number END AS counter, s.first_number
      FROM o2c.invoice i
      LEFT JOIN o2c.number_series s ON s.company_id = i.company_id AND s.code = i.series
      LEFT JOIN o2c.number_counter c ON c.company_id = s.company_id AND c.series = s.code
      -- CASE keeps the join an outer one: else invoices would be read once for each series
      WHERE i.sequence_no IS NOT NULL AND ($1 IS NULL OR i.company_id = $1) AND CASE WHEN s.gapless THEN true ELSE false END
      GROUP BY i.company_id, i.series, i.sequence_period, c.period, c.last_number, s.first_number) x
    WHERE x.high - x.low + 1 <> x.n OR x.low NOT IN (1, x.first_number) OR x.counter <> x.high;

  RETURN QUERY
    SELECT 'invoice_numbered', i.company_id, 'invoice', i.id,
           pg_catalog.format('state is %s and number is %s', i.state, coalesce(i.number, 'missing'))
    FROM o2c.invoice i
    WHERE ($1 IS NULL OR i.company_id = $1) AND (i.state = 'draft') <> (i.number IS NULL);

  -- dates and moments run as numbers do
  RETURN QUERY
    SELECT 'invoice_dates_in_order', x.company_id, 'invoice', x.id,
           pg_catalog.format('%s of %s comes after one of %s', x.number, x.issue_date, x.before)
    FROM (SELECT i.company_id, i.id, i.number, i.issue_date, i.issued_at,
                 pg_catalog.lag(i.issue_date) OVER w AS before, pg_catalog.lag(i.issued_at) OVER w AS issued_before
          FROM o2c.invoice i
          LEFT JOIN o2c.number_series s ON s.company_id = i.company_id AND s.code = i.series
          WHERE i.sequence_no IS NOT NULL AND ($1 IS NULL OR i.company_id = $1) AND CASE WHEN s.gapless THEN true ELSE false END
          WINDOW w AS (PARTITION BY i.company_id, i.series ORDER BY i.sequence_period, i.sequence_no)) x
    WHERE x.issue_date < x.before OR x.issued_at < x.issued_before;

  -- totals are the sums of their parts, tax is base times rate
  RETURN QUERY
    SELECT 'invoice_sums', i.company_id, 'invoice', i.id,
           pg_catalog.format('%s: lines %s of %s, tax %s of %s, allowances %s of %s', i.number,
             coalesce(p.net, 0), i.line_total, coalesce(p.tax, 0), i.tax_amount,
             coalesce(p.allowance, 0), i.charge_total - i.allowance_total)
    FROM (SELECT x.* FROM o2c.invoice x WHERE x.state NOT IN ('draft', 'void') AND ($1 IS NULL OR x.company_id = $1)) i
    -- full, because that can't be nested loops, which tables without statistics would get
    FULL JOIN (
      SELECT x.company_id, x.invoice_id, pg_catalog.sum(x.net) AS net, pg_catalog.sum(x.tax) AS tax, pg_catalog.sum(x.base) AS base,
             pg_catalog.sum(x.allowance) AS allowance
      FROM (SELECT l.company_id, l.invoice_id, l.net_amount AS net, NULL::numeric AS tax, NULL::numeric AS base, NULL::numeric AS allowance
            FROM o2c.invoice_line l WHERE $1 IS NULL OR l.company_id = $1
            UNION ALL
            SELECT t.company_id, t.invoice_id, NULL, t.tax_amount, t.base_amount, NULL FROM o2c.invoice_tax t WHERE $1 IS NULL OR t.company_id = $1
            UNION ALL
            SELECT a.company_id, a.invoice_id, NULL, NULL, NULL, CASE WHEN a.charge THEN a.amount ELSE -a.amount END
            FROM o2c.invoice_allowance a WHERE $1 IS NULL OR a.company_id = $1) x
      GROUP BY 1, 2) p ON p.company_id = i.company_id AND p.invoice_id = i.id
    WHERE CASE WHEN i.id IS NULL THEN false
               ELSE coalesce(p.net, 0) <> i.line_total OR coalesce(p.tax, 0) <> i.tax_amount OR coalesce(p.base, 0) <> i.net_amount
                    OR coalesce(p.allowance, 0) <> i.charge_total - i.allowance_total END;
  RETURN QUERY
    SELECT 'invoice_tax_rate', t.company_id, 'invoice', t.invoice_id,
           pg_catalog.format('category %s: tax %s is not %s at %s %%', t.tax_category, t.tax_amount, t.base_amount, t.tax_rate)
    FROM o2c.invoice_tax t
    JOIN o2c.invoice i ON i.company_id = t.company_id AND i.id = t.invoice_id
    WHERE i.state NOT IN ('draft', 'void') AND i.kind <> 'credit_note' AND ($1 IS NULL OR t.company_id = $1)
      AND t.tax_amount <> o2c.round_amount(t.base_amount * t.tax_rate * 0.01, t.currency);

  -- what is to be paid stands on the open items, and they know the number
  RETURN QUERY
    SELECT 'invoice_items', i.company_id, 'invoice', i.id,
           pg_catalog.format('%s: payable %s, items %s', i.number, i.payable_amount, coalesce(o.amount, 0))
    FROM o2c.invoice i
    LEFT JOIN (SELECT o.company_id, o.invoice_id, pg_catalog.sum(o.amount) AS amount,
                      pg_catalog.min(o.number) AS low, pg_catalog.max(o.number) AS high
               FROM o2c.open_item o WHERE o.invoice_id IS NOT NULL GROUP BY 1, 2) o
      ON o.company_id = i.company_id AND o.invoice_id = i.id
    WHERE i.state NOT IN ('draft', 'void') AND ($1 IS NULL OR i.company_id = $1)
      AND (coalesce(o.amount, 0) <> CASE WHEN i.kind = 'credit_note' THEN -i.payable_amount ELSE i.payable_amount END
           OR o.low <> i.number OR o.high <> i.number);

  -- credit notes never exceed their invoice, in any category
  RETURN QUERY
    SELECT 'credit_within_invoice', x.company_id, 'invoice', x.original_id,
           pg_catalog.format('category %s at %s %%: credited %s of %s, tax %s of %s',
             x.tax_category, x.tax_rate, x.base, coalesce(t.base_amount, 0), x.tax, coalesce(t.tax_amount, 0))
    FROM (SELECT n.company_id, n.original_id, c.tax_category, c.tax_rate, pg_catalog.sum(c.base_amount) AS base, pg_catalog.sum(c.tax_amount) AS tax
          FROM o2c.invoice n JOIN o2c.invoice_tax c ON c.company_id = n.company_id AND c.invoice_id = n.id
          WHERE n.kind = 'credit_note' AND n.state NOT IN ('draft', 'void') AND n.original_id IS NOT NULL
            AND ($1 IS NULL OR n.company_id = $1)
          GROUP BY 1, 2, 3, 4) x
    LEFT JOIN o2c.invoice_tax t ON t.company_id = x.company_id AND t.invoice_id = x.original_id
      AND t.tax_category = x.tax_category AND t.tax_rate = x.tax_rate
    WHERE pg_catalog.abs(x.base) > coalesce(pg_catalog.abs(t.base_amount), 0) OR pg_catalog.abs(x.tax) > coalesce(pg_catalog.abs(t.tax_amount), 0);

  -- what order lines call invoiced is what drafts and invoices hold, less what
  -- issued credit notes took back to be billed again
  RETURN QUERY
    SELECT 'order_line_invoiced', l.company_id, 'sales_order_line', l.id,
           pg_catalog.format('invoiced is %s, lines hold %s', l.invoiced, coalesce(v.quantity, 0))
    FROM o2c.sales_order_line l
    LEFT JOIN (SELECT v.company_id, v.order_line_id, pg_catalog.sum(CASE WHEN v.rebill THEN -v.quantity ELSE v.quantity END) AS quantity
               FROM o2c.invoice_line v
               WHERE v.order_line_id IS NOT NULL AND (v.original_line_id IS NULL OR (v.rebill AND EXISTS (
                 SELECT FROM o2c.invoice n WHERE n.company_id = v.company_id AND n.id = v.invoice_id AND n.state NOT IN ('draft', 'void'))))
               GROUP BY 1, 2) v
      ON v.company_id = l.company_id AND v.order_line_id = l.id
    WHERE ($1 IS NULL OR l.company_id = $1) AND l.invoiced <> coalesce(v.quantity, 0);

  -- nothing is billed again that was not billed, and shipping as often as it was taken back
  RETURN QUERY
    SELECT 'rebill_within_line', l.company_id, 'invoice_line', l.id,
           pg_catalog.format('billed %s, credited to be billed again %s', l.quantity, pg_catalog.sum(c.quantity))
    -- few lines: each looks up what it belongs to
    FROM (SELECT x.* FROM o2c.invoice_line x WHERE x.rebill AND ($1 IS NULL OR x.company_id = $1) OFFSET 0) c
    CROSS JOIN LATERAL (SELECT i.kind FROM o2c.invoice i
      WHERE i.company_id = c.company_id AND i.id = c.invoice_id AND i.state NOT IN ('draft', 'void') OFFSET 0) n
    CROSS JOIN LATERAL (SELECT o.* FROM o2c.invoice_line o WHERE o.company_id = c.company_id AND o.id = c.original_line_id OFFSET 0) l
    GROUP BY l.company_id, l.id, l.quantity, l.order_line_id
    HAVING pg_catalog.sum(c.quantity) > l.quantity
        OR pg_catalog.bool_or(n.kind <> 'credit_note' OR l.order_line_id IS DISTINCT FROM c.order_line_id);
  RETURN QUERY
    SELECT 'shipping_rebilled', a.company_id, 'invoice', a.invoice_id,
           pg_catalog.format('shipping of order %s is billed again without a credit', a.order_id)
    FROM (SELECT x.* FROM o2c.invoice_allowance x WHERE x.rebills_id IS NOT NULL AND ($1 IS NULL OR x.company_id = $1) OFFSET 0) a
    LEFT JOIN LATERAL (
      SELECT c.id FROM o2c.invoice_allowance c
      JOIN o2c.invoice n ON n.company_id = a.company_id AND n.id = c.invoice_id AND n.state NOT IN ('draft', 'void')
      JOIN o2c.invoice_allowance f ON f.company_id = a.company_id AND f.id = c.original_allowance_id AND f.order_id = a.order_id
      WHERE c.company_id = a.company_id AND c.id = a.rebills_id AND c.rebill OFFSET 0) c ON true
    WHERE c.id IS NULL;
END $$;
COMMENT ON FUNCTION o2c._check_invoice(integer) IS
  'Violated invariants of invoices: gapless numbers, order of dates, sums, tax, open items, credit notes, quantities invoiced and billed again.';

CREATE FUNCTION o2c._warnings_invoice() RETURNS text[]
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
BEGIN
  IF pg_catalog.current_setting('synchronous_commit') IN ('off', 'local')
     AND EXISTS (SELECT FROM o2c.number_series s WHERE s.gapless) THEN
    RETURN ARRAY['synchronous_commit is ' || pg_catalog.current_setting('synchronous_commit')
      || ': a crash or failover may take back documents whose numbers were told to somebody'];
  ELSIF EXISTS (SELECT FROM pg_catalog.pg_stat_replication r WHERE r.sync_state = 'async')
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_replication r WHERE r.sync_state IN ('sync', 'quorum'))
        AND EXISTS (SELECT FROM o2c.number_series s WHERE s.gapless) THEN
    RETURN ARRAY['no standby is synchronous: a failover may take back documents whose numbers were told to somebody'::text];
  END IF;
  RETURN '{}';
END $$;
COMMENT ON FUNCTION o2c._warnings_invoice() IS
  'Settings under which an issued number can be lost, for o2c.version().';
