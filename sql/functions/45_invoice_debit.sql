-- Debit notes: what an issued document was short of.

CREATE FUNCTION o2c._debit_lines(company integer, invoice bigint, asked jsonb)
RETURNS TABLE (line_no bigint, line_id bigint, description text, quantity numeric, unit_price numeric, tax_category text)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  bad record;
  wanted constant jsonb := o2c._named_lines($3);
BEGIN
  IF wanted IS NULL OR pg_catalog.jsonb_typeof(wanted) <> 'array' OR pg_catalog.jsonb_array_length(wanted) = 0 THEN
    RAISE EXCEPTION USING ERRCODE = 'O2004', MESSAGE = 'the lines to debit must be a JSON array with at least one line',
      HINT = 'For example [{"line": 1, "amount": 5.00}, {"line": 2, "quantity": 1}, {"description": "Express", "amount": 9.90, "tax_category": "S"}].';
  END IF;
  SELECT e.no, e.value INTO bad
  FROM pg_catalog.jsonb_array_elements(wanted) WITH ORDINALITY e(value, no)
  CROSS JOIN (SELECT i.currency FROM o2c.invoice i WHERE i.company_id = company AND i.id = invoice) i
  LEFT JOIN o2c.invoice_line l ON l.company_id = company AND l.invoice_id = invoice AND l.line_no::text = e.value ->> 'line'
  WHERE CASE WHEN pg_catalog.jsonb_typeof(e.value) <> 'object' THEN true
    -- a line of the document, or a description of something else
    WHEN (e.value ? 'line') = (e.value ? 'description') THEN true
    WHEN e.value ? 'line' THEN l.id IS NULL OR e.value ? 'tax_category'
    ELSE coalesce(pg_catalog.btrim(e.value ->> 'description'), '') = '' END
    -- an amount, or a quantity with a price
    OR CASE WHEN e.value ? 'amount' THEN e.value ?| '{quantity,unit_price}'
              OR NOT coalesce(o2c._to_numeric(e.value ->> 'amount') > 0 AND o2c.is_amount(o2c._to_numeric(e.value ->> 'amount'), i.currency), false)
            WHEN e.value ? 'quantity' THEN
              NOT coalesce(o2c._to_numeric(e.value ->> 'quantity') > 0 AND o2c.is_quantity(o2c._to_numeric(e.value ->> 'quantity')), false)
              OR CASE WHEN e.value ? 'unit_price' THEN
                   NOT coalesce(o2c._to_numeric(e.value ->> 'unit_price') > 0 AND o2c.is_quantity(o2c._to_numeric(e.value ->> 'unit_price')), false)
                 ELSE NOT e.value ? 'line' END
            ELSE true END
  LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'O2004',
      MESSAGE = pg_catalog.format('line %s of the debit is not understood: %s', bad.no, bad.value),
      HINT = 'Each is {"line": number of the document''s line}, or {"description": text, "tax_category": category of the product}, with "amount" (before tax), or "quantity" and "unit_price" (of a line: its own when left out), above zero.';
  END IF;
  RETURN QUERY
    SELECT e.no, l.id, coalesce(e.value ->> 'description', l.description),
           coalesce(o2c._to_numeric(e.value ->> 'quantity'), 1),
           coalesce(o2c._to_numeric(e.value ->> 'amount'), o2c._to_numeric(e.value ->> 'unit_price')),
           coalesce(e.value ->> 'tax_category', 'S')
    FROM pg_catalog.jsonb_array_elements(wanted) WITH ORDINALITY e(value, no)
    LEFT JOIN o2c.invoice_line l ON l.company_id = company AND l.invoice_id = invoice AND l.line_no::text = e.value ->> 'line';
END $$;
COMMENT ON FUNCTION o2c._debit_lines(integer, bigint, jsonb) IS
  'What a debit note is asked to bill: of a line of its original, at that line''s price where unit_price is NULL, or of something else. Errors: O2004.';

CREATE FUNCTION o2c.debit_invoice(company_id integer, invoice_id bigint, lines jsonb,
  reason text DEFAULT NULL, issue_date date DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
-- one document: planning would cost more than it saves
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  original record;
  note_id bigint;
  on_date constant date := coalesce($5, o2c.today($1));
BEGIN
  SELECT i.*, coalesce(c.country, '') AS country, coalesce(pg_catalog.btrim(c.vat_id), '') <> '' AS vat_registered INTO original
  FROM o2c.invoice i JOIN o2c.customer c ON c.company_id = i.company_id AND c.id = i.customer_id
  WHERE i.company_id = $1 AND i.id = $2;
  IF NOT FOUND THEN
    PERFORM o2c._require_company($1);
    RAISE EXCEPTION USING ERRCODE = 'O2003',
      MESSAGE = pg_catalog.format('there is no invoice %s in company %s', coalesce($2::text, 'NULL'), $1);
  ELSIF original.state IN ('draft', 'void') THEN
    RAISE EXCEPTION USING ERRCODE = 'O2010',
      MESSAGE = pg_catalog.format('invoice %s is %s and cannot be debited', $2, original.state),
      HINT = 'Drafts are edited or dropped with o2c.drop_draft().';
  ELSIF on_date < original.issue_date THEN
    RAISE EXCEPTION USING ERRCODE = 'O2032',
      MESSAGE = pg_catalog.format('a debit note of %s would be older than its invoice of %s', on_date, original.issue_date);
  END IF;

  INSERT INTO o2c.invoice (company_id, kind, customer_id, order_id, original_id, currency, payment_term, customer_reference,
                           buyer_reference, supply_date, period_start, period_end, reason, delivery)
  VALUES ($1, 'debit_note', original.customer_id, original.order_id, $2, original.currency, original.payment_term,
          original.customer_reference, original.buyer_reference, original.supply_date, original.period_start, original.period_end,
          $4, original.delivery)
  RETURNING id INTO note_id;

  -- more of what a line billed bears its tax; something else that of the day of supply
  INSERT INTO o2c.invoice_line (company_id, invoice_id, line_no, product_id, description, quantity, unit, unit_price, discount_percent,
                                currency, tax_category, tax_rate, exemption_code, exemption_reason, period_start, period_end)
  SELECT $1, note_id, w.line_no, l.product_id, w.description, w.quantity,
         CASE WHEN w.unit_price IS NULL OR w.quantity <> 1 THEN coalesce(l.unit, 'C62') ELSE 'C62' END,
         coalesce(w.unit_price, l.unit_price), CASE WHEN w.unit_price IS NULL THEN l.discount_percent ELSE 0 END,
         original.currency,
         -- a category that no rule knows is kept as it is, for the rules to name it
         CASE WHEN l.id IS NOT NULL THEN l.tax_category ELSE coalesce(t.category, w.tax_category) END,
         coalesce(l.tax_rate, t.rate, 0),
         CASE WHEN l.id IS NOT NULL THEN l.exemption_code ELSE t.exemption_code END,
         CASE WHEN l.id IS NOT NULL THEN l.exemption_reason ELSE t.exemption_reason END, l.period_start, l.period_end
  FROM o2c._debit_lines($1, $2, $3) w
  LEFT JOIN o2c.invoice_line l ON l.company_id = $1 AND l.id = w.line_id
  LEFT JOIN o2c._taxes($1, original.supply_date) t ON w.line_id IS NULL AND t.tax_category = w.tax_category
    AND t.country = original.country AND t.vat_registered = original.vat_registered;

  PERFORM o2c._recalculate($1, ARRAY[note_id]);
  PERFORM o2c._issue($1, ARRAY[note_id], on_date);
  RETURN note_id;
END $$;
COMMENT ON FUNCTION o2c.debit_invoice(integer, bigint, jsonb, text, date) IS
  'Issue a debit note for what an issued invoice, credit note or debit note was short of: of its lines [{"line": 1, "amount": 5.00}, {"line": 2, "quantity": 1}, {"line": 2, "quantity": 1, "unit_price": 9.90}] with their own tax, or of something else {"description": "Express", "amount": 9.90, "tax_category": "S"} with the tax of the day of supply; amounts are before tax. Returns the debit note''s id. Errors: O2003, O2004, O2010, O2031, O2032, O2033.';
