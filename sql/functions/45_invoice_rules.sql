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
  -- what lines and allowances say of each category and rate, beside what the
  -- taxes say, in one pass over each table
  WITH part AS (
    SELECT p.invoice_id, p.tax_category, p.tax_rate, pg_catalog.count(p.net) AS n, pg_catalog.sum(p.net) AS net,
           pg_catalog.sum(p.allowance) AS allowances, pg_catalog.sum(p.charge) AS charges,
           pg_catalog.min(p.unit_price) AS price, pg_catalog.bool_or(p.nameless) AS nameless,
           pg_catalog.bool_or(p.no_reason) AS no_reason, pg_catalog.bool_or(p.no_charge_reason) AS no_charge_reason,
           pg_catalog.min(p.currency) AS currency, pg_catalog.max(p.currency) AS other_currency,
           pg_catalog.max(p.exemption_code) AS exemption_code, pg_catalog.max(p.exemption_reason) AS exemption_reason
    FROM (SELECT l.invoice_id, l.tax_category, l.tax_rate, l.net_amount AS net, NULL::numeric AS allowance, NULL::numeric AS charge,
                 l.unit_price, pg_catalog.btrim(l.description) = '' AS nameless, NULL::boolean AS no_reason,
                 NULL::boolean AS no_charge_reason, l.currency::text AS currency, l.exemption_code, l.exemption_reason
          FROM o2c.invoice_line l WHERE l.company_id = $1 AND l.invoice_id = ANY ($2)
          UNION ALL
          SELECT a.invoice_id, a.tax_category, a.tax_rate, NULL, CASE WHEN NOT a.charge THEN a.amount END,
                 CASE WHEN a.charge THEN a.amount END, NULL, NULL,
                 NOT a.charge AND a.reason IS NULL AND a.reason_code IS NULL,
                 a.charge AND a.reason IS NULL AND a.reason_code IS NULL, a.currency, a.exemption_code, a.exemption_reason
          FROM o2c.invoice_allowance a WHERE a.company_id = $1 AND a.invoice_id = ANY ($2)) p
    GROUP BY p.invoice_id, p.tax_category, p.tax_rate),
  category AS (
    SELECT coalesce(p.invoice_id, t.invoice_id) AS invoice_id, coalesce(p.tax_category, t.tax_category) AS code,
           p.tax_rate, p.n, p.net, p.allowances, p.charges, p.price, p.nameless, p.no_reason, p.no_charge_reason,
           p.currency, p.other_currency, t.tax_amount, t.invoice_id IS NOT NULL AS has_tax,
           p.invoice_id IS NULL OR t.base_amount IS DISTINCT FROM coalesce(p.net, 0) - coalesce(p.allowances, 0) + coalesce(p.charges, 0) AS wrong_base,
           pg_catalog.abs(t.tax_amount - o2c.round_amount(
             (coalesce(p.net, 0) - coalesce(p.allowances, 0) + coalesce(p.charges, 0)) * p.tax_rate * 0.01, t.currency)) AS wrong_tax,
           t.exemption_code IS NULL AND t.exemption_reason IS NULL AS unexplained,
           p.invoice_id IS NOT NULL AND t.invoice_id IS NOT NULL
           AND (p.exemption_code, p.exemption_reason) IS DISTINCT FROM (t.exemption_code, t.exemption_reason) AS other_reason
    FROM part p
    FULL JOIN (SELECT x.* FROM o2c.invoice_tax x WHERE x.company_id = $1 AND x.invoice_id = ANY ($2)) t
      ON t.invoice_id = p.invoice_id AND t.tax_category = p.tax_category AND t.tax_rate = p.tax_rate),
  document (invoice_id, n, net, allowances, charges, tax, taxes, price, nameless, no_reason, no_charge_reason, currency,
            other_currency, unknown, s_unrated, rated, o, not_o, ae, k, wrong, wrong_base, wrong_tax, taxed, unexplained,
            other_reason) AS (
    SELECT c.invoice_id, pg_catalog.sum(c.n), coalesce(pg_catalog.sum(c.net), 0), coalesce(pg_catalog.sum(c.allowances), 0),
           coalesce(pg_catalog.sum(c.charges), 0), coalesce(pg_catalog.sum(c.tax_amount), 0), pg_catalog.bool_or(c.has_tax),
           pg_catalog.min(c.price), pg_catalog.bool_or(c.nameless), pg_catalog.bool_or(c.no_reason),
           pg_catalog.bool_or(c.no_charge_reason), pg_catalog.min(c.currency), pg_catalog.max(c.other_currency),
           pg_catalog.min(CASE WHEN c.n > 0 AND c.code NOT IN ('S', 'Z', 'E', 'AE', 'K', 'G', 'O', 'L', 'M', 'B') THEN c.code END),
           pg_catalog.bool_or(c.n > 0 AND c.code = 'S' AND c.tax_rate <= 0),
           pg_catalog.min(CASE WHEN c.n > 0 AND c.code IN ('Z', 'E', 'AE', 'K', 'G', 'O') AND c.tax_rate <> 0 THEN c.code END),
           pg_catalog.bool_or(c.n > 0 AND c.code = 'O'), pg_catalog.bool_or(c.n > 0 AND c.code <> 'O'),
           pg_catalog.bool_or(c.n > 0 AND c.code = 'AE'), pg_catalog.bool_or(c.n > 0 AND c.code = 'K'),
           pg_catalog.min(CASE WHEN c.wrong_base OR c.wrong_tax > 0 THEN c.code END), pg_catalog.bool_or(c.wrong_base),
           pg_catalog.max(c.wrong_tax),
           pg_catalog.min(CASE WHEN c.code IN ('Z', 'E', 'AE', 'K', 'G', 'O') AND c.tax_amount <> 0 THEN c.code END),
           pg_catalog.min(CASE WHEN c.has_tax AND c.code IN ('E', 'AE', 'K', 'G', 'O') AND c.unexplained THEN c.code END),
           pg_catalog.min(CASE WHEN c.other_reason THEN c.code END)
    FROM category c GROUP BY c.invoice_id)
  SELECT i.id, f.fault
  -- looked up by its key: as a join it would be compared with every customer
  FROM (SELECT i.*, (SELECT c.vat_id FROM o2c.customer c WHERE c.company_id = i.company_id AND c.id = i.customer_id) AS vat_id
        FROM o2c.invoice i WHERE i.company_id = $1 AND i.id = ANY ($2)) i
  -- every document is an invoice's: full, because that can't be nested loops,
  -- which tables without statistics would get
  FULL JOIN document l ON l.invoice_id = i.id
  CROSS JOIN LATERAL pg_catalog.unnest(pg_catalog.array_remove(ARRAY[
    CASE WHEN coalesce(l.n, 0) = 0 THEN 'BR-16: the document has no line' END,
    CASE WHEN l.currency <> i.currency OR l.other_currency <> i.currency THEN 'a line has another currency than its document' END,
    CASE WHEN l.nameless THEN 'BR-25: a line has no description' END,
    CASE WHEN l.price < 0 THEN 'BR-27: a line has a negative price' END,
    CASE WHEN l.unknown IS NOT NULL THEN pg_catalog.format('BR-CL-18: "%s" is not a tax category of EN 16931', l.unknown) END,
    CASE WHEN l.s_unrated THEN 'BR-S-05: a line of category S has no tax rate above zero' END,
    CASE WHEN l.rated IS NOT NULL THEN pg_catalog.format('BR-%s-05: a line of category %s has a tax rate',
      CASE l.rated WHEN 'K' THEN 'IC' ELSE l.rated END, l.rated) END,
    CASE WHEN l.o AND l.not_o THEN 'BR-O-12: lines not subject to tax cannot stand with others' END,
    CASE WHEN (l.ae OR l.k) AND coalesce(pg_catalog.btrim(i.vat_id), '') = '' AND i.kind <> 'credit_note'
      THEN pg_catalog.format('BR-%s-02: the customer has no VAT id', CASE WHEN l.ae THEN 'AE' ELSE 'IC' END) END,
    CASE WHEN i.vat_id ~ E'\\S' AND i.vat_id !~* E'^\\s*[A-Z1][A-Z]' AND NOT coalesce(l.o, false)
      THEN 'BR-CO-09: the customer''s VAT id does not begin with a country code' END,
    CASE WHEN l.no_reason THEN 'BR-33: an allowance has neither reason nor reason code' END,
    CASE WHEN l.no_charge_reason THEN 'BR-38: a charge has neither reason nor reason code' END,
    CASE WHEN i.line_total <> coalesce(l.net, 0) THEN 'BR-CO-10: line_total is not the sum of the lines' END,
    CASE WHEN i.allowance_total <> coalesce(l.allowances, 0) THEN 'BR-CO-11: allowance_total is not the sum of the allowances' END,
    CASE WHEN i.charge_total <> coalesce(l.charges, 0) THEN 'BR-CO-12: charge_total is not the sum of the charges' END,
    CASE WHEN i.net_amount <> i.line_total - i.allowance_total + i.charge_total THEN 'BR-CO-13: net_amount is not lines less allowances plus charges' END,
    CASE WHEN i.tax_amount <> coalesce(l.tax, 0) THEN 'BR-CO-14: tax_amount is not the sum of the categories' END,
    CASE WHEN i.total_amount <> i.net_amount + i.tax_amount THEN 'BR-CO-15: total_amount is not net plus tax' END,
    CASE WHEN i.payable_amount <> i.total_amount - i.prepaid_amount + i.rounding_amount THEN 'BR-CO-16: payable_amount is not total less prepaid plus rounding' END,
    -- a credit note that takes the last of a category takes its last cent of tax
    CASE WHEN l.wrong_base THEN pg_catalog.format('BR-%s-08: the base of category %s is not the sum of its lines', CASE l.wrong WHEN 'K' THEN 'IC' ELSE l.wrong END, l.wrong)
         WHEN l.wrong_tax > CASE WHEN i.kind = 'credit_note' THEN 1 ELSE 0 END
           THEN pg_catalog.format('BR-CO-17: the tax of category %s is not base times rate', l.wrong) END,
    CASE WHEN l.other_reason IS NOT NULL THEN
      pg_catalog.format('the tax of category %s gives another exemption reason than its lines', l.other_reason) END,
    CASE WHEN l.n > 0 AND NOT l.taxes THEN 'BR-CO-18: the document has no tax category' END,
    CASE WHEN l.taxed IS NOT NULL THEN pg_catalog.format('BR-%s-09: category %s bears no tax', CASE l.taxed WHEN 'K' THEN 'IC' ELSE l.taxed END, l.taxed) END,
    CASE WHEN l.unexplained IS NOT NULL THEN pg_catalog.format('BR-%s-10: category %s needs an exemption reason or code',
      CASE l.unexplained WHEN 'K' THEN 'IC' ELSE l.unexplained END, l.unexplained) END,
    CASE WHEN i.total_amount < 0 THEN 'the total is negative: issue a credit note instead' END,
    CASE WHEN i.payable_amount < 0 AND i.total_amount >= 0 THEN 'more was prepaid than the total' END
    ], NULL)) f(fault);
END $$;
COMMENT ON FUNCTION o2c._invoice_faults(integer, bigint[]) IS
  'What keeps documents from being issued: each violated rule, with its EN 16931 id where it has one.';

CREATE FUNCTION o2c.invoice_faults(company_id integer, invoice_id bigint) RETURNS SETOF text
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM o2c.invoice i WHERE i.company_id = $1 AND i.id = $2) THEN
    PERFORM o2c._require_company($1);
    RAISE EXCEPTION USING ERRCODE = 'O2003', MESSAGE = pg_catalog.format('there is no invoice %s in company %s', coalesce($2::text, 'NULL'), $1);
  END IF;
  RETURN QUERY SELECT f.fault FROM o2c._invoice_faults($1, ARRAY[$2]) f;
END $$;
COMMENT ON FUNCTION o2c.invoice_faults(integer, bigint) IS
  'The rules of EN 16931 and of the law that a draft violates, one text each, beginning with the rule''s id where it has one; no row: it can be issued. Errors: O2002, O2003.';
