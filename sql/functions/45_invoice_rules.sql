-- The rules that a document must keep before it is issued, those of EN 16931
-- by their ids.

CREATE FUNCTION o2c._invoice_faults(company integer, ids bigint[])
RETURNS TABLE (invoice_id bigint, fault text)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  WITH line AS (
    SELECT l.invoice_id, pg_catalog.count(*) AS n, pg_catalog.sum(l.net_amount) AS net,
           pg_catalog.bool_or(l.unit_price < 0) AS negative_price,
           pg_catalog.bool_or(pg_catalog.btrim(l.description) = '') AS nameless,
           pg_catalog.min(l.tax_category) FILTER (WHERE l.tax_category NOT IN ('S', 'Z', 'E', 'AE', 'K', 'G', 'O', 'L', 'M', 'B')) AS unknown,
           pg_catalog.bool_or(l.tax_category = 'S' AND l.tax_rate <= 0) AS s_unrated,
           pg_catalog.min(l.tax_category) FILTER (WHERE l.tax_category IN ('Z', 'E', 'AE', 'K', 'G', 'O') AND l.tax_rate <> 0) AS rated,
           pg_catalog.bool_or(l.tax_category = 'O') AS o, pg_catalog.bool_or(l.tax_category <> 'O') AS not_o,
           pg_catalog.bool_or(l.tax_category = 'AE') AS ae, pg_catalog.bool_or(l.tax_category = 'K') AS k,
           pg_catalog.bool_or(l.currency <> i.currency) AS foreign
    FROM o2c.invoice_line l JOIN o2c.invoice i ON i.company_id = l.company_id AND i.id = l.invoice_id
    WHERE l.company_id = $1 AND l.invoice_id = ANY ($2) GROUP BY l.invoice_id),
  allowance AS (
    SELECT a.invoice_id, coalesce(pg_catalog.sum(a.amount) FILTER (WHERE NOT a.charge), 0) AS allowances,
           coalesce(pg_catalog.sum(a.amount) FILTER (WHERE a.charge), 0) AS charges,
           pg_catalog.bool_or(NOT a.charge AND a.reason IS NULL AND a.reason_code IS NULL) AS no_reason,
           pg_catalog.bool_or(a.charge AND a.reason IS NULL AND a.reason_code IS NULL) AS no_charge_reason
    FROM o2c.invoice_allowance a WHERE a.company_id = $1 AND a.invoice_id = ANY ($2) GROUP BY a.invoice_id),
  tax AS (
    SELECT t.invoice_id, pg_catalog.count(*) AS n, pg_catalog.sum(t.tax_amount) AS tax,
           pg_catalog.min(t.tax_category) FILTER (WHERE t.tax_category IN ('E', 'AE', 'K', 'G', 'O')
             AND t.exemption_code IS NULL AND t.exemption_reason IS NULL) AS unexplained,
           pg_catalog.min(t.tax_category) FILTER (WHERE t.tax_category IN ('Z', 'E', 'AE', 'K', 'G', 'O') AND t.tax_amount <> 0) AS taxed
    FROM o2c.invoice_tax t WHERE t.company_id = $1 AND t.invoice_id = ANY ($2) GROUP BY t.invoice_id),
  -- a credit note that takes the last of a category takes its last cent of tax
  wrong AS (
    SELECT e.invoice_id, pg_catalog.min(e.tax_category) AS category,
           pg_catalog.bool_or(t.base_amount IS DISTINCT FROM e.base_amount) AS base
    FROM o2c._expected_taxes($1, $2) e
    JOIN o2c.invoice i ON i.company_id = $1 AND i.id = e.invoice_id
    LEFT JOIN o2c.invoice_tax t ON t.company_id = $1 AND t.invoice_id = e.invoice_id
      AND t.tax_category = e.tax_category AND t.tax_rate = e.tax_rate
    WHERE t.base_amount IS DISTINCT FROM e.base_amount
       OR pg_catalog.abs(t.tax_amount - e.tax_amount) > CASE WHEN i.kind = 'credit_note' THEN 1 ELSE 0 END
    GROUP BY e.invoice_id)
  SELECT i.id, f.fault
  FROM o2c.invoice i
  JOIN o2c.customer c ON c.company_id = i.company_id AND c.id = i.customer_id
  LEFT JOIN line l ON l.invoice_id = i.id
  LEFT JOIN allowance a ON a.invoice_id = i.id
  LEFT JOIN tax t ON t.invoice_id = i.id
  LEFT JOIN wrong w ON w.invoice_id = i.id
  CROSS JOIN LATERAL pg_catalog.unnest(pg_catalog.array_remove(ARRAY[
    CASE WHEN l.n IS NULL THEN 'BR-16: the document has no line' END,
    CASE WHEN l.foreign THEN 'a line has another currency than its document' END,
    CASE WHEN l.nameless THEN 'BR-25: a line has no description' END,
    CASE WHEN l.negative_price THEN 'BR-27: a line has a negative price' END,
    CASE WHEN l.unknown IS NOT NULL THEN pg_catalog.format('BR-CL-18: "%s" is not a tax category of EN 16931', l.unknown) END,
    CASE WHEN l.s_unrated THEN 'BR-S-05: a line of category S has no tax rate above zero' END,
    CASE WHEN l.rated IS NOT NULL THEN pg_catalog.format('BR-%s-05: a line of category %s has a tax rate',
      CASE l.rated WHEN 'K' THEN 'IC' ELSE l.rated END, l.rated) END,
    CASE WHEN l.o AND l.not_o THEN 'BR-O-12: lines not subject to tax cannot stand with others' END,
    CASE WHEN (l.ae OR l.k) AND coalesce(pg_catalog.btrim(c.vat_id), '') = '' AND i.kind <> 'credit_note'
      THEN pg_catalog.format('BR-%s-02: the customer has no VAT id', CASE WHEN l.ae THEN 'AE' ELSE 'IC' END) END,
    CASE WHEN c.vat_id ~ '\S' AND c.vat_id !~* '^\s*[A-Z1][A-Z]' AND NOT coalesce(l.o, false)
      THEN 'BR-CO-09: the customer''s VAT id does not begin with a country code' END,
    CASE WHEN a.no_reason THEN 'BR-33: an allowance has neither reason nor reason code' END,
    CASE WHEN a.no_charge_reason THEN 'BR-38: a charge has neither reason nor reason code' END,
    CASE WHEN i.line_total <> coalesce(l.net, 0) THEN 'BR-CO-10: line_total is not the sum of the lines' END,
    CASE WHEN i.allowance_total <> coalesce(a.allowances, 0) THEN 'BR-CO-11: allowance_total is not the sum of the allowances' END,
    CASE WHEN i.charge_total <> coalesce(a.charges, 0) THEN 'BR-CO-12: charge_total is not the sum of the charges' END,
    CASE WHEN i.net_amount <> i.line_total - i.allowance_total + i.charge_total THEN 'BR-CO-13: net_amount is not lines less allowances plus charges' END,
    CASE WHEN i.tax_amount <> coalesce(t.tax, 0) THEN 'BR-CO-14: tax_amount is not the sum of the categories' END,
    CASE WHEN i.total_amount <> i.net_amount + i.tax_amount THEN 'BR-CO-15: total_amount is not net plus tax' END,
    CASE WHEN i.payable_amount <> i.total_amount - i.prepaid_amount + i.rounding_amount THEN 'BR-CO-16: payable_amount is not total less prepaid plus rounding' END,
    CASE WHEN w.base THEN pg_catalog.format('BR-%s-08: the base of category %s is not the sum of its lines', CASE w.category WHEN 'K' THEN 'IC' ELSE w.category END, w.category)
         WHEN w.category IS NOT NULL THEN pg_catalog.format('BR-CO-17: the tax of category %s is not base times rate', w.category) END,
    CASE WHEN l.n IS NOT NULL AND t.n IS NULL THEN 'BR-CO-18: the document has no tax category' END,
    CASE WHEN t.taxed IS NOT NULL THEN pg_catalog.format('BR-%s-09: category %s bears no tax', CASE t.taxed WHEN 'K' THEN 'IC' ELSE t.taxed END, t.taxed) END,
    CASE WHEN t.unexplained IS NOT NULL THEN pg_catalog.format('BR-%s-10: category %s needs an exemption reason or code',
      CASE t.unexplained WHEN 'K' THEN 'IC' ELSE t.unexplained END, t.unexplained) END,
    CASE WHEN i.total_amount < 0 THEN 'the total is negative: issue a credit note instead' END,
    CASE WHEN i.payable_amount < 0 AND i.total_amount >= 0 THEN 'more was prepaid than the total' END
    ], NULL)) f(fault)
  WHERE i.company_id = $1 AND i.id = ANY ($2);
END $$;
COMMENT ON FUNCTION o2c._invoice_faults(integer, bigint[]) IS
  'What keeps documents from being issued: each violated rule, with its EN 16931 id where it has one.';

CREATE FUNCTION o2c.invoice_faults(company_id integer, invoice_id bigint) RETURNS SETOF text
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$ SELECT f.fault FROM o2c._invoice_faults($1, ARRAY[$2]) f $$;
COMMENT ON FUNCTION o2c.invoice_faults(integer, bigint) IS
  'Rules that a draft violates now; no row means that it can be issued.';
