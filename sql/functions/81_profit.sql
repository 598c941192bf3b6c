-- What a customer earns the company: margin less discounts, losses and the
-- cost of paying late.

CREATE FUNCTION o2c.customer_profitability(company_id integer, from_date date, to_date date, cost_of_capital numeric DEFAULT 8)
RETURNS TABLE (customer_code text, customer_name text, currency text, revenue numeric, cost numeric, margin numeric,
               discounts numeric, written_off numeric, cost_of_days_late numeric, result numeric)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  PERFORM o2c._require_company($1);
  PERFORM o2c._require_range($2, $3);
  IF $4 IS NULL OR $4 NOT BETWEEN 0 AND 100 THEN
    RAISE EXCEPTION USING ERRCODE = 'O2004', MESSAGE = 'cost of capital is a percentage a year from 0 to 100';
  END IF;
  RETURN QUERY
    WITH sold AS (
      SELECT v.customer_id, v.currency::text AS currency,
             pg_catalog.sum(g.sign * l.net_amount) AS revenue,
             pg_catalog.sum(g.sign * l.quantity * coalesce(p.unit_cost, 0) * r.rate) AS cost
      FROM o2c.invoice v
      JOIN o2c.company k ON k.company_id = v.company_id
      JOIN o2c.invoice_line l ON l.company_id = v.company_id AND l.invoice_id = v.id
      LEFT JOIN o2c.product p ON p.company_id = l.company_id AND p.id = l.product_id
      CROSS JOIN LATERAL (SELECT CASE v.kind WHEN 'credit_note' THEN -1 ELSE 1 END AS sign) g
      -- costs are stated in the company's currency
      CROSS JOIN LATERAL (SELECT CASE WHEN v.currency::text = k.currency::text OR coalesce(p.unit_cost, 0) = 0 THEN 1
        ELSE o2c.exchange_rate_on($1, k.currency, v.currency, v.issue_date) END AS rate) r
      WHERE v.company_id = $1 AND v.issue_date BETWEEN $2 AND $3 AND v.state NOT IN ('draft', 'void') AND v.kind <> 'prepayment'
      GROUP BY v.customer_id, v.currency),
    moved AS (
      SELECT e.customer_id, e.currency::text AS currency,
             - coalesce(pg_catalog.sum(e.amount) FILTER (WHERE e.kind = 'discount' AND NOT e.credit), 0) AS discounts,
             - coalesce(pg_catalog.sum(e.amount) FILTER (WHERE e.kind = 'write_off' AND NOT e.credit), 0) AS written_off,
             coalesce(pg_catalog.sum(e.days), 0) * $4 / 100 / 365 AS late
      FROM (SELECT x.customer_id, x.currency, x.kind, x.credit, x.amount, NULL::numeric AS days FROM o2c.ledger_entry x
            WHERE x.company_id = $1 AND x.effective_on BETWEEN $2 AND $3 AND x.kind IN ('discount', 'write_off')
            UNION ALL
            SELECT p.customer_id, p.currency, 'application', false, NULL, p.amount * p.days_late FROM o2c._paid($1, $2, $3) p) e
      GROUP BY e.customer_id, e.currency)
    SELECT c.code, c.name, x.currency, x.revenue, x.cost, x.revenue - x.cost, x.discounts, x.written_off, x.late,
           x.revenue - x.cost - x.discounts - x.written_off - x.late
    FROM (
      SELECT coalesce(s.customer_id, m.customer_id) AS customer_id, coalesce(s.currency, m.currency) AS currency,
             coalesce(s.revenue, 0) AS revenue, o2c.round_amount(coalesce(s.cost, 0), coalesce(s.currency, m.currency)::o2c.currency) AS cost,
             coalesce(m.discounts, 0) AS discounts, coalesce(m.written_off, 0) AS written_off,
             o2c.round_amount(coalesce(m.late, 0), coalesce(s.currency, m.currency)::o2c.currency) AS late
      FROM sold s FULL JOIN moved m ON m.customer_id = s.customer_id AND m.currency = s.currency) x
    JOIN o2c.customer c ON c.company_id = $1 AND c.id = x.customer_id
    ORDER BY 10 DESC, 1;
END $$;
COMMENT ON FUNCTION o2c.customer_profitability(integer, date, date, numeric) IS
  'Per customer and currency: net revenue less cost of goods (product.unit_cost, in the company''s currency) is the margin; less cash discounts, write-offs and what days late cost at cost_of_capital percent a year (paying early earns). Errors: O2002, O2003 without an exchange rate, O2004, O2044.';
