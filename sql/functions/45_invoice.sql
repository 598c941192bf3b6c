-- Invoices: their triggers, their arithmetic and the rules they must keep
-- before a number is drawn.

CREATE FUNCTION o2c._invoice_guard() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'o2c_invoice_guard';
COMMENT ON FUNCTION o2c._invoice_guard() IS
  'Row trigger: refuses (O2030) every change of an issued document but what the ledger derives.';

CREATE FUNCTION o2c._invoice_part_guard() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'o2c_invoice_part_guard';
COMMENT ON FUNCTION o2c._invoice_part_guard() IS
  'Statement trigger of lines, allowances and taxes: refuses (O2030) changes of issued documents; keeps sales_order_line.invoiced.';

CREATE FUNCTION o2c._invoice_assign() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'o2c_invoice_assign';
COMMENT ON FUNCTION o2c._invoice_assign() IS
  'Deferred constraint trigger: gives numbers, at commit, to documents whose series assigns them there.';

CREATE FUNCTION o2c._no_truncate() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'o2c_no_truncate';
COMMENT ON FUNCTION o2c._no_truncate() IS 'Statement trigger: refuses (O2030) TRUNCATE, for the owner too.';

CREATE FUNCTION o2c._invoice_line_compute() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'o2c_invoice_line_compute';
COMMENT ON FUNCTION o2c._invoice_line_compute() IS 'Row trigger: computes net_amount from quantity, price, discount, allowance and charge.';

CREATE FUNCTION o2c._cash_step(company integer, currency text) RETURNS numeric
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
BEGIN
  RETURN (
  SELECT CASE WHEN v > 0 THEN v END
  FROM (SELECT o2c._to_numeric(c.settings #>> ARRAY['invoice', 'cash_rounding', $2]) AS v
        FROM o2c.company c WHERE c.company_id = $1) x);
END $$;
COMMENT ON FUNCTION o2c._cash_step(integer, text) IS
  'Step that amounts payable are rounded to in a currency, from company.settings {"invoice": {"cash_rounding": {"CHF": 0.05}}}; NULL is none.';

CREATE FUNCTION o2c._expected_taxes(company integer, ids bigint[])
RETURNS TABLE (invoice_id bigint, tax_category text, tax_rate numeric, currency o2c.currency,
               base_amount numeric, tax_amount numeric, exemption_code text, exemption_reason text)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  -- tax is rounded once for each category and rate (BR-CO-17)
  SELECT p.invoice_id, p.tax_category, pg_catalog.trim_scale(p.tax_rate), pg_catalog.max(p.currency::text)::o2c.currency, pg_catalog.sum(p.amount),
         o2c.round_amount(pg_catalog.sum(p.amount) * p.tax_rate * 0.01, pg_catalog.max(p.currency::text)::o2c.currency),
         pg_catalog.max(p.exemption_code), pg_catalog.max(p.exemption_reason)
  FROM (SELECT l.invoice_id, l.tax_category, l.tax_rate, l.currency, l.net_amount AS amount, l.exemption_code, l.exemption_reason
        FROM o2c.invoice_line l WHERE l.company_id = $1 AND l.invoice_id = ANY ($2)
        UNION ALL
        SELECT a.invoice_id, a.tax_category, a.tax_rate, a.currency, CASE WHEN a.charge THEN a.amount ELSE -a.amount END,
               a.exemption_code, a.exemption_reason
        FROM o2c.invoice_allowance a WHERE a.company_id = $1 AND a.invoice_id = ANY ($2)) p
  GROUP BY p.invoice_id, p.tax_category, p.tax_rate;
END $$;
COMMENT ON FUNCTION o2c._expected_taxes(integer, bigint[]) IS
  'Base and tax of each category and rate, from lines, allowances and charges.';

CREATE FUNCTION o2c._recalculate(company integer, ids bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
DECLARE
  gross bigint[];
  upfront bigint[];
  stale bigint[];
BEGIN
  -- prices with tax: the net price follows, as exactly as a price may be stated
  SELECT pg_catalog.array_agg(i.id) INTO gross
  FROM o2c.invoice i WHERE i.company_id = company AND i.id = ANY (ids) AND i.prices_include_tax;
  IF gross IS NOT NULL THEN
    UPDATE o2c.invoice_line l SET unit_price = x.price
    FROM (SELECT g.id, pg_catalog.round(g.gross_price * 100 / (100 + g.tax_rate), 6) AS price
          FROM o2c.invoice_line g
          WHERE g.company_id = company AND g.invoice_id = ANY (gross) AND g.gross_price IS NOT NULL) x
    WHERE l.company_id = company AND l.id = x.id AND l.unit_price <> x.price;
  END IF;

  -- a discount that tax is computed on from the start: an allowance from the
  -- taxed base, given back as a charge outside of tax until it is earned
  SELECT pg_catalog.array_agg(i.id) INTO upfront
  FROM o2c.invoice i
  JOIN o2c.payment_term t ON t.company_id = i.company_id AND t.code = i.payment_term
  WHERE i.company_id = company AND i.id = ANY (ids) AND i.kind <> 'credit_note'
    AND t.discount_basis = 'upfront' AND t.discount_percent > 0;
  IF upfront IS NOT NULL THEN
    DELETE FROM o2c.invoice_allowance a
    WHERE a.company_id = company AND a.invoice_id = ANY (upfront) AND a.cash_discount;
    INSERT INTO o2c.invoice_allowance (company_id, invoice_id, charge, currency, amount, percent, base_amount,
                                       reason_code, reason, tax_category, tax_rate, exemption_reason, cash_discount)
    SELECT company, x.invoice_id, s.charge, x.currency, x.discount,
           CASE WHEN NOT s.charge THEN x.discount_percent END, CASE WHEN NOT s.charge THEN x.base_amount END,
           CASE WHEN s.charge THEN 'ZZZ' ELSE '95' END, 'Cash discount',
           CASE WHEN s.charge THEN 'E' ELSE x.tax_category END, CASE WHEN s.charge THEN 0 ELSE x.tax_rate END,
           CASE WHEN s.charge THEN 'Cash discount not yet earned' END, true
    FROM (SELECT e.*, t.discount_percent,
                 o2c.round_amount(e.base_amount * t.discount_percent * 0.01, e.currency) AS discount
          FROM o2c._expected_taxes(company, upfront) e
          JOIN o2c.invoice i ON i.company_id = company AND i.id = e.invoice_id
          JOIN o2c.payment_term t ON t.company_id = company AND t.code = i.payment_term
          WHERE e.tax_category = 'S') x
    CROSS JOIN (VALUES (false), (true)) s(charge)
    WHERE x.discount > 0;
  END IF;

  -- taxes: only documents whose rows are not what they should be are written
  SELECT pg_catalog.array_agg(DISTINCT x.invoice_id) INTO stale
  FROM (SELECT coalesce(e.invoice_id, t.invoice_id) AS invoice_id
        FROM (SELECT * FROM o2c._expected_taxes(company, ids)) e
        FULL JOIN (SELECT * FROM o2c.invoice_tax t WHERE t.company_id = company AND t.invoice_id = ANY (ids)) t
          ON t.invoice_id = e.invoice_id AND t.tax_category = e.tax_category AND t.tax_rate = e.tax_rate
        WHERE (e.base_amount, e.tax_amount, e.exemption_code, e.exemption_reason)
              IS DISTINCT FROM (t.base_amount, t.tax_amount, t.exemption_code, t.exemption_reason)) x;
  IF stale IS NOT NULL THEN
    DELETE FROM o2c.invoice_tax t WHERE t.company_id = company AND t.invoice_id = ANY (stale);
    INSERT INTO o2c.invoice_tax (company_id, invoice_id, tax_category, tax_rate, currency, base_amount, tax_amount,
                                 exemption_code, exemption_reason)
    SELECT company, e.invoice_id, e.tax_category, e.tax_rate, e.currency, e.base_amount, e.tax_amount,
           e.exemption_code, e.exemption_reason
    FROM o2c._expected_taxes(company, stale) e;
  END IF;

  PERFORM o2c._total(company, ids);
END $$;
COMMENT ON FUNCTION o2c._recalculate(integer, bigint[]) IS
  'Bring taxes and totals of drafts to what their lines, allowances and charges say.';

CREATE FUNCTION o2c._expected_totals(company integer, ids bigint[])
RETURNS TABLE (invoice_id bigint, line_total numeric, allowance_total numeric, charge_total numeric, tax_amount numeric,
               rounding_amount numeric)
LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 100000
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  WITH part (invoice_id, net, gross, net_price, allowance, charge, tax) AS (
    SELECT l.invoice_id, l.net_amount,
           o2c.round_amount(l.quantity * l.gross_price * (100 - l.discount_percent) * 0.01, l.currency),
           l.gross_price IS NULL, NULL::numeric, NULL::numeric, NULL::numeric
    FROM o2c.invoice_line l WHERE l.company_id = $1 AND l.invoice_id = ANY ($2)
    UNION ALL
    SELECT a.invoice_id, NULL, NULL, NULL, CASE WHEN NOT a.charge THEN a.amount END, CASE WHEN a.charge THEN a.amount END, NULL
    FROM o2c.invoice_allowance a WHERE a.company_id = $1 AND a.invoice_id = ANY ($2)
    UNION ALL
    SELECT t.invoice_id, NULL, NULL, NULL, NULL, NULL, t.tax_amount
    FROM o2c.invoice_tax t WHERE t.company_id = $1 AND t.invoice_id = ANY ($2)),
  sums AS (
    SELECT p.invoice_id, pg_catalog.sum(p.net) AS net, coalesce(pg_catalog.sum(p.allowance), 0) AS allowances,
           coalesce(pg_catalog.sum(p.charge), 0) AS charges, coalesce(pg_catalog.sum(p.tax), 0) AS tax,
           CASE WHEN NOT pg_catalog.bool_or(p.net_price) AND pg_catalog.count(p.allowance) + pg_catalog.count(p.charge) = 0
                THEN pg_catalog.sum(p.gross) END AS gross
    FROM part p GROUP BY p.invoice_id),
  step AS MATERIALIZED (
    SELECT c.currency, o2c._cash_step($1, c.currency) AS step
    FROM (SELECT DISTINCT i.currency::text AS currency FROM o2c.invoice i WHERE i.company_id = $1 AND i.id = ANY ($2)) c),
  document AS (
    -- full, though every sum is a document's: that can't be nested loops, which
    -- tables without statistics would get
    SELECT i.id, i.prices_include_tax, i.prepaid_amount, i.rounding_amount, i.currency::text AS currency, s.gross,
           coalesce(s.net, 0) AS net, coalesce(s.allowances, 0) AS allowances, coalesce(s.charges, 0) AS charges, coalesce(s.tax, 0) AS tax
    FROM (SELECT * FROM o2c.invoice x WHERE x.company_id = $1 AND x.id = ANY ($2)) i
    FULL JOIN sums s ON s.invoice_id = i.id)
  SELECT d.id, d.net, d.allowances, d.charges, d.tax,
         -- an invoice with prices including tax is paid as those say; the
         -- cents between are the rounding amount.  Without lines of that
         -- kind the user's own rounding amount stays.
         CASE WHEN d.prices_include_tax AND d.gross IS NOT NULL THEN d.gross - d.net - d.tax
              WHEN s.step IS NOT NULL THEN
                pg_catalog.round((d.net - d.allowances + d.charges + d.tax - d.prepaid_amount) / s.step) * s.step
                - (d.net - d.allowances + d.charges + d.tax - d.prepaid_amount)
              ELSE d.rounding_amount END
  FROM document d LEFT JOIN step s ON s.currency = d.currency;
END $$;
COMMENT ON FUNCTION o2c._expected_totals(integer, bigint[]) IS
  'Totals of documents from their lines, allowances and taxes.';

CREATE FUNCTION o2c._total(company integer, ids bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
BEGIN
  UPDATE o2c.invoice i SET line_total = t.line_total, allowance_total = t.allowance_total, charge_total = t.charge_total,
    net_amount = t.net, tax_amount = t.tax_amount, total_amount = t.net + t.tax_amount, rounding_amount = t.rounding_amount,
    payable_amount = t.net + t.tax_amount - i.prepaid_amount + t.rounding_amount
  FROM (SELECT e.*, e.line_total - e.allowance_total + e.charge_total AS net FROM o2c._expected_totals(company, ids) e) t
  WHERE i.company_id = company AND i.id = t.invoice_id AND i.id = ANY (ids)
    AND (i.line_total, i.allowance_total, i.charge_total, i.net_amount, i.tax_amount, i.total_amount,
         i.rounding_amount, i.payable_amount)
        IS DISTINCT FROM (t.line_total, t.allowance_total, t.charge_total, t.net, t.tax_amount, t.net + t.tax_amount,
                          t.rounding_amount, t.net + t.tax_amount - i.prepaid_amount + t.rounding_amount);
END $$;
COMMENT ON FUNCTION o2c._total(integer, bigint[]) IS 'Bring the totals of drafts to the sums of their parts (BR-CO-10 to 16).';

CREATE FUNCTION o2c.recalculate_invoice(company_id integer, invoice_id bigint) RETURNS numeric
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
BEGIN
  PERFORM o2c._require_draft($1, $2);
  PERFORM o2c._recalculate($1, ARRAY[$2]);
  RETURN (SELECT i.payable_amount FROM o2c.invoice i WHERE i.company_id = $1 AND i.id = $2);
END $$;
COMMENT ON FUNCTION o2c.recalculate_invoice(integer, bigint) IS
  'Recompute taxes and totals of a draft after its lines were edited; returns what is payable. Errors: O2003, O2010.';

CREATE FUNCTION o2c._require_draft(company integer, invoice bigint) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
DECLARE
  found o2c.invoice_state;
BEGIN
  SELECT i.state INTO found FROM o2c.invoice i
  WHERE i.company_id = company AND i.id = invoice FOR NO KEY UPDATE;
  IF found IS NULL THEN
    PERFORM o2c._require_company(company);
    RAISE EXCEPTION USING ERRCODE = 'O2003',
      MESSAGE = pg_catalog.format('there is no invoice %s in company %s', coalesce(invoice::text, 'NULL'), company);
  ELSIF found <> 'draft' THEN
    RAISE EXCEPTION USING ERRCODE = 'O2010',
      MESSAGE = pg_catalog.format('invoice %s is %s, not a draft', invoice, found),
      HINT = 'Issued documents are corrected by o2c.credit_invoice() and o2c.debit_invoice().';
  END IF;
END $$;
COMMENT ON FUNCTION o2c._require_draft(integer, bigint) IS
  'Lock an invoice and raise unless it is a draft. Errors: O2002, O2003, O2010.';

CREATE FUNCTION o2c._seller(company integer) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
BEGIN
  RETURN (
  SELECT pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object('id', c.company_id, 'name', c.name, 'country', c.country,
    'vat_id', nullif(pg_catalog.upper(pg_catalog.regexp_replace(c.vat_id, E'[\\s.-]', '', 'g')), ''),
    'registration_id', nullif(pg_catalog.btrim(c.registration_id), ''),
    'tax_id', nullif(pg_catalog.btrim(c.settings #>> '{tax,registration}'), ''),
    'street', c.street, 'postal_code', c.postal_code, 'city', c.city, 'email', c.email, 'phone', c.phone, 'website', c.website))
  FROM o2c.company c WHERE c.company_id = $1);
END $$;
COMMENT ON FUNCTION o2c._seller(integer) IS 'The company as an issued document keeps it.';

CREATE FUNCTION o2c._payment_means(company integer, currency text) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
BEGIN
  RETURN (
  SELECT pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object('iban', b.iban, 'bic', b.bic, 'account', b.account_number, 'name', b.name))
  FROM o2c.bank_account b
  WHERE b.company_id = $1 AND b.active AND (b.iban IS NOT NULL OR b.account_number IS NOT NULL)
    AND (b.currency IS NULL OR b.currency = $2::o2c.currency)
  ORDER BY b.iban IS NULL, b.currency IS NULL, b.id LIMIT 1);
END $$;
COMMENT ON FUNCTION o2c._payment_means(integer, text) IS
  'The company''s account for payments in a currency: its oldest active one of that currency; NULL when there is none.';
