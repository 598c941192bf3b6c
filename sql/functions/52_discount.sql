-- Cash discounts: what one that was taken means for the tax of its invoice.

CREATE FUNCTION o2c.discount_tax(company_id integer, invoice_id bigint, amount numeric)
RETURNS TABLE (tax_category text, tax_rate numeric, discount_amount numeric, net_amount numeric, tax_amount numeric)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
  -- inlined into views: spread over the rates by their totals, the units that
  -- rounding leaves to the largest remainders
  SELECT p.tax_category, p.tax_rate, p.part, p.part - p.tax, p.tax
  FROM (
    SELECT s.tax_category, s.tax_rate, s.sign * s.part AS part,
      CASE WHEN s.reduces_tax AND s.gross <> 0 THEN s.sign * o2c.round_amount(s.part * s.tax / s.gross, s.currency) ELSE 0 END AS tax
    FROM (
      SELECT f.*, o2c.round_amount((f.units + CASE WHEN pg_catalog.row_number() OVER (ORDER BY f.exact - f.units DESC, f.tax_category, f.tax_rate)
                               <= f.whole - pg_catalog.sum(f.units) OVER () THEN 1 ELSE 0 END) / f.factor, f.currency) AS part
      FROM (
        SELECT q.*, pg_catalog.floor(q.exact) AS units
        FROM (
          SELECT x.tax_category, x.tax_rate, x.base_amount + x.tax_amount AS gross, x.tax_amount AS tax, v.currency, u.factor,
            pg_catalog.sign($3) AS sign, coalesce(t.discount_basis, 'gross') = 'gross' AS reduces_tax,
            pg_catalog.abs($3) * u.factor AS whole,
            pg_catalog.abs($3) * u.factor * (x.base_amount + x.tax_amount)
              / nullif(pg_catalog.sum(x.base_amount + x.tax_amount) OVER (), 0) AS exact
          FROM o2c.invoice v
          JOIN o2c.invoice_tax x ON x.company_id = v.company_id AND x.invoice_id = v.id
          LEFT JOIN o2c.payment_term t ON t.company_id = v.company_id AND t.code = v.payment_term
          CROSS JOIN LATERAL (SELECT pg_catalog.round(10::numeric ^ o2c.minor_unit(v.currency)) AS factor) u
          WHERE v.company_id = $1 AND v.id = $2) q
        WHERE q.exact IS NOT NULL) f) s) p
$$;
COMMENT ON FUNCTION o2c.discount_tax(integer, bigint, numeric) IS
  'A cash discount that was taken on an invoice, spread over its tax rates by largest remainder: discount, net and tax of each, with the sign of amount. The tax is nothing when the payment term gives the discount on the net amount or up front; no row for an invoice without a total.';
