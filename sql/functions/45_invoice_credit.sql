-- Credit notes: full, of lines, or of amounts; never more than what is left.
-- What one takes back can be billed again: see o2c_credit_on_invoices().

CREATE FUNCTION o2c._credit_left(company integer, invoice bigint)
RETURNS TABLE (tax_category text, tax_rate numeric, base_left numeric, tax_left numeric)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT t.tax_category, t.tax_rate,
         t.base_amount - coalesce(pg_catalog.sum(c.base_amount), 0),
         t.tax_amount - coalesce(pg_catalog.sum(c.tax_amount), 0)
  FROM o2c.invoice_tax t
  LEFT JOIN (o2c.invoice n JOIN o2c.invoice_tax c ON c.company_id = n.company_id AND c.invoice_id = n.id)
    ON n.company_id = t.company_id AND n.original_id = t.invoice_id AND n.kind = 'credit_note' AND n.state NOT IN ('draft', 'void')
   AND c.tax_category = t.tax_category AND c.tax_rate = t.tax_rate
  WHERE t.company_id = $1 AND t.invoice_id = $2
  GROUP BY t.tax_category, t.tax_rate, t.base_amount, t.tax_amount;
END $$;
COMMENT ON FUNCTION o2c._credit_left(integer, bigint) IS
  'What of an invoice is not credited yet, per tax category and rate.';

CREATE FUNCTION o2c._credit_lines(company integer, invoice bigint, asked jsonb)
RETURNS TABLE (line_id bigint, quantity numeric, amount numeric)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
DECLARE
  bad record;
  wanted constant jsonb := o2c._named_lines($3);
BEGIN
  IF wanted IS NOT NULL THEN
    IF pg_catalog.jsonb_typeof(wanted) <> 'array' OR pg_catalog.jsonb_array_length(wanted) = 0 THEN
      RAISE EXCEPTION USING ERRCODE = 'O2004', MESSAGE = 'the lines to credit must be a JSON array with at least one line',
        HINT = 'For example [{"line": 1, "quantity": 2}, {"line": 3, "amount": 10.00}]; null credits all that is left.';
    END IF;
    SELECT e.no, e.value INTO bad
    FROM pg_catalog.jsonb_array_elements(wanted) WITH ORDINALITY e(value, no)
    LEFT JOIN o2c.invoice_line l ON l.company_id = company AND l.invoice_id = invoice
      AND l.line_no::text = e.value ->> 'line'
    WHERE pg_catalog.jsonb_typeof(e.value) <> 'object' OR l.id IS NULL
       OR (e.value ? 'quantity' AND e.value ? 'amount')
       OR (e.value ? 'quantity' AND coalesce(o2c._to_numeric(e.value ->> 'quantity'), 0) <= 0)
       OR (e.value ? 'amount' AND (coalesce(o2c._to_numeric(e.value ->> 'amount'), 0) <= 0
                                   OR NOT o2c.is_amount(o2c._to_numeric(e.value ->> 'amount'), l.currency)))
    LIMIT 1;
    IF FOUND THEN
      RAISE EXCEPTION USING ERRCODE = 'O2004',
        MESSAGE = pg_catalog.format('line %s of the credit is not understood: %s', bad.no, bad.value),
        HINT = 'Each is {"line": number of the invoice''s line} with "quantity" or "amount" (before tax) above zero, or neither for all that is left of it.';
    END IF;
  END IF;
  RETURN QUERY
    SELECT l.id,
           CASE WHEN e.pieces IS NOT NULL THEN e.pieces WHEN e.money IS NULL THEN nullif(u.left_over, 0) END,
           CASE WHEN e.money IS NOT NULL THEN e.money
                WHEN e.pieces IS NULL OR e.pieces = u.left_over THEN l.net_amount - u.credited
                WHEN e.pieces < l.quantity AND coalesce(e.pieces < u.left_over, true)
                  THEN o2c.round_amount(l.net_amount * e.pieces / l.quantity, l.currency)
                -- more than was billed: refused as more than what is left
                ELSE l.net_amount + CASE WHEN l.net_amount < 0 THEN -1 ELSE 1 END END
    FROM o2c.invoice_line l
    JOIN (SELECT v.value ->> 'line' AS line, o2c._to_numeric(v.value ->> 'quantity') AS pieces,
                 o2c._to_numeric(v.value ->> 'amount') AS money
          FROM pg_catalog.jsonb_array_elements(coalesce(wanted, '[{}]')) v(value)) e
      ON e.line = l.line_no::text OR wanted IS NULL
    CROSS JOIN LATERAL (
      -- left_over: of the quantity, as long as all credits so far were by quantity, at the line's own price
      SELECT coalesce(pg_catalog.sum(pg_catalog.abs(x.net_amount)), 0) AS credited,
             CASE WHEN pg_catalog.count(x.id) = 0 THEN l.quantity
                  WHEN pg_catalog.bool_and(x.unit_price = l.unit_price AND x.discount_percent = l.discount_percent AND x.quantity > 0)
                  THEN greatest(0, l.quantity - pg_catalog.sum(x.quantity)) END AS left_over
      FROM o2c.invoice_line x JOIN o2c.invoice c ON c.company_id = x.company_id AND c.id = x.invoice_id
      WHERE x.company_id = l.company_id AND x.original_line_id = l.id AND c.state <> 'void') u
    WHERE l.company_id = company AND l.invoice_id = invoice
      AND (e.pieces IS NOT NULL OR e.money IS NOT NULL OR u.left_over <> 0 OR l.net_amount <> u.credited);
END $$;
COMMENT ON FUNCTION o2c._credit_lines(integer, bigint, jsonb) IS
  'What to credit of which line: net amount, and the quantity where it is one. Errors: O2004.';

CREATE FUNCTION o2c.credit_invoice(company_id integer, invoice_id bigint, lines jsonb DEFAULT NULL,
  reason text DEFAULT NULL, issue_date date DEFAULT NULL, rebill boolean DEFAULT false) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
-- one document: planning would cost more than it saves
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  original record;
  over record;
  note_id bigint;
  on_date constant date := coalesce($5, o2c.today($1));
BEGIN
  -- orders before open items, these before invoices and accounts: the order of all locks
  IF $6 THEN
    PERFORM FROM o2c.sales_order s
    WHERE s.company_id = $1 AND s.id IN (
      SELECT o.order_id FROM o2c.invoice_line l
      JOIN o2c.sales_order_line o ON o.company_id = l.company_id AND o.id = l.order_line_id
      WHERE l.company_id = $1 AND l.invoice_id = $2
      UNION SELECT a.order_id FROM o2c.invoice_allowance a WHERE a.company_id = $1 AND a.invoice_id = $2)
    ORDER BY s.id FOR NO KEY UPDATE;
  END IF;
  PERFORM FROM o2c.open_item i WHERE i.company_id = $1 AND i.invoice_id = $2 ORDER BY i.id FOR NO KEY UPDATE;
  SELECT i.* INTO original FROM o2c.invoice i
  WHERE i.company_id = $1 AND i.id = $2 FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    PERFORM o2c._require_company($1);
    RAISE EXCEPTION USING ERRCODE = 'O2003',
      MESSAGE = pg_catalog.format('there is no invoice %s in company %s', coalesce($2::text, 'NULL'), $1);
  ELSIF original.state IN ('draft', 'void') THEN
    RAISE EXCEPTION USING ERRCODE = 'O2010',
      MESSAGE = pg_catalog.format('invoice %s is %s and cannot be credited', $2, original.state),
      HINT = 'Drafts are edited or dropped with o2c.drop_draft().';
  ELSIF original.kind = 'credit_note' THEN
    RAISE EXCEPTION USING ERRCODE = 'O2010',
      MESSAGE = pg_catalog.format('%s is a credit note and cannot be credited', coalesce(original.number, $2::text)),
      HINT = 'Correct it by a debit note: o2c.debit_invoice().';
  ELSIF on_date < original.issue_date THEN
    RAISE EXCEPTION USING ERRCODE = 'O2032',
      MESSAGE = pg_catalog.format('a credit note of %s would be older than its invoice of %s', on_date, original.issue_date);
  END IF;

  INSERT INTO o2c.invoice (company_id, kind, customer_id, order_id, original_id, currency, payment_term, customer_reference,
                           buyer_reference, supply_date, prices_include_tax, reason, delivery)
  VALUES ($1, 'credit_note', original.customer_id, original.order_id, $2, original.currency, original.payment_term,
          original.customer_reference, original.buyer_reference, original.supply_date, false, $4, original.delivery)
  RETURNING id INTO note_id;

  -- a line is credited by quantity at its own price, with an allowance or a
  -- charge where that does not make the amount, otherwise as one piece of the amount
  INSERT INTO o2c.invoice_line (company_id, invoice_id, line_no, product_id, order_line_id, shipment_line_id, original_line_id,
                                description, quantity, unit, unit_price, discount_percent, allowance_amount, charge_amount,
                                currency, tax_category, tax_rate, exemption_code, exemption_reason, period_start, period_end, rebill)
  SELECT $1, note_id, pg_catalog.row_number() OVER (ORDER BY l.line_no), l.product_id, l.order_line_id, l.shipment_line_id, l.id,
         l.description,
         CASE WHEN x.whole OR x.pieces THEN w.quantity WHEN w.amount < 0 THEN -1 ELSE 1 END,
         CASE WHEN x.whole OR x.pieces THEN l.unit ELSE 'C62' END,
         CASE WHEN x.whole OR x.pieces THEN l.unit_price ELSE pg_catalog.abs(w.amount) END,
         CASE WHEN x.whole OR x.pieces THEN l.discount_percent ELSE 0 END,
         CASE WHEN x.whole THEN l.allowance_amount WHEN x.pieces THEN greatest(x.price - w.amount, 0) ELSE 0 END,
         CASE WHEN x.whole THEN l.charge_amount WHEN x.pieces THEN greatest(w.amount - x.price, 0) ELSE 0 END,
         l.currency, l.tax_category, l.tax_rate, l.exemption_code, l.exemption_reason, l.period_start, l.period_end,
         coalesce($6 AND l.order_line_id IS NOT NULL AND l.original_line_id IS NULL AND (x.whole OR x.pieces), false)
  FROM o2c._credit_lines($1, $2, $3) w
  JOIN o2c.invoice_line l ON l.company_id = $1 AND l.id = w.line_id
  CROSS JOIN LATERAL (
    SELECT w.quantity = l.quantity AND w.amount = l.net_amount AS whole,
           w.quantity > 0 AS pieces,
           o2c.round_amount(w.quantity * l.unit_price * (100 - l.discount_percent) * 0.01, l.currency) AS price) x;

  -- never more than what is left of a line
  SELECT l.line_no, l.net_amount, pg_catalog.sum(pg_catalog.abs(c.net_amount)) AS credited INTO over
  FROM o2c.invoice_line l
  JOIN o2c.invoice_line c ON c.company_id = l.company_id AND c.original_line_id = l.id
  JOIN o2c.invoice n ON n.company_id = c.company_id AND n.id = c.invoice_id AND n.state <> 'void'
  WHERE l.company_id = $1 AND l.invoice_id = $2
  GROUP BY l.id, l.line_no, l.net_amount
  HAVING pg_catalog.sum(pg_catalog.abs(c.net_amount)) > pg_catalog.abs(l.net_amount)
  ORDER BY l.line_no LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'O2033',
      MESSAGE = pg_catalog.format('more than what is left of line %s would be credited', over.line_no),
      DETAIL = pg_catalog.format('The line is %s, credits with this one would be %s.', over.net_amount, over.credited);
  END IF;
  IF $3 IS NULL THEN
    INSERT INTO o2c.invoice_allowance (company_id, invoice_id, charge, currency, amount, percent, base_amount, reason_code, reason,
                                       tax_category, tax_rate, exemption_code, exemption_reason, cash_discount, original_allowance_id,
                                       rebill)
    SELECT $1, note_id, a.charge, a.currency, a.amount - u.credited, CASE WHEN u.credited = 0 THEN a.percent END,
           CASE WHEN u.credited = 0 THEN a.base_amount END, a.reason_code, a.reason,
           a.tax_category, a.tax_rate, a.exemption_code, a.exemption_reason, a.cash_discount, a.id,
           coalesce($6, false) AND a.order_id IS NOT NULL
    FROM o2c.invoice_allowance a
    CROSS JOIN LATERAL (
      SELECT coalesce(pg_catalog.sum(x.amount), 0) AS credited
      FROM o2c.invoice_allowance x WHERE x.company_id = $1 AND x.original_allowance_id = a.id) u
    WHERE a.company_id = $1 AND a.invoice_id = $2 AND a.amount > u.credited;
  END IF;
  IF NOT EXISTS (SELECT FROM o2c.invoice_line l WHERE l.company_id = $1 AND l.invoice_id = note_id) THEN
    RAISE EXCEPTION USING ERRCODE = 'O2033',
      MESSAGE = pg_catalog.format('nothing is left to credit of invoice %s', coalesce(original.number, $2::text));
  END IF;

  IF $6 THEN
    PERFORM o2c._require_rebillable($1, note_id, coalesce(original.number, $2::text));
  END IF;

  -- base by the lines; tax by the rate, but all of the rest with the last of a
  -- category and never more than the rest
  INSERT INTO o2c.invoice_tax (company_id, invoice_id, tax_category, tax_rate, currency, base_amount, tax_amount,
                               exemption_code, exemption_reason)
  SELECT $1, note_id, e.tax_category, e.tax_rate, e.currency, e.base_amount,
         CASE WHEN e.base_amount = r.base_left THEN r.tax_left
              WHEN e.base_amount >= 0 AND r.tax_left >= 0 THEN least(e.tax_amount, r.tax_left)
              ELSE e.tax_amount END,
         e.exemption_code, e.exemption_reason
  FROM o2c._expected_taxes($1, ARRAY[note_id]) e
  LEFT JOIN o2c._credit_left($1, $2) r ON r.tax_category = e.tax_category AND r.tax_rate = e.tax_rate;

  SELECT t.tax_category, t.tax_rate, t.base_amount, r.base_left INTO over
  FROM o2c.invoice_tax t
  LEFT JOIN o2c._credit_left($1, $2) r ON r.tax_category = t.tax_category AND r.tax_rate = t.tax_rate
  WHERE t.company_id = $1 AND t.invoice_id = note_id
    AND (r.base_left IS NULL OR pg_catalog.abs(t.base_amount) > pg_catalog.abs(r.base_left)
         OR pg_catalog.sign(t.base_amount) * pg_catalog.sign(r.base_left) < 0) LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'O2033',
      MESSAGE = pg_catalog.format('more than what is left of tax category %s at %s %% would be credited', over.tax_category, over.tax_rate),
      DETAIL = pg_catalog.format('Left are %s, asked for are %s.', coalesce(over.base_left, 0), over.base_amount),
      HINT = 'Allowances of the whole invoice reduce what is left; null lines credit all of it.';
  END IF;
  -- the rounding of the invoice goes back with the last of it
  IF original.rounding_amount <> 0 AND NOT EXISTS (
       SELECT FROM o2c._credit_left($1, $2) r
       JOIN o2c.invoice_tax t ON t.company_id = $1 AND t.invoice_id = note_id
         AND t.tax_category = r.tax_category AND t.tax_rate = r.tax_rate
       WHERE r.base_left <> t.base_amount) AND
     (SELECT pg_catalog.count(*) FROM o2c._credit_left($1, $2) r WHERE r.base_left <> 0) =
     (SELECT pg_catalog.count(*) FROM o2c.invoice_tax t WHERE t.company_id = $1 AND t.invoice_id = note_id AND t.base_amount <> 0) THEN
    UPDATE o2c.invoice i SET rounding_amount = original.rounding_amount WHERE i.company_id = $1 AND i.id = note_id;
  END IF;
  PERFORM o2c._total($1, ARRAY[note_id]);
  PERFORM o2c._issue($1, ARRAY[note_id], on_date);
  PERFORM o2c._settle_credit($1, note_id, $2, on_date);
  RETURN note_id;
END $$;
COMMENT ON FUNCTION o2c.credit_invoice(integer, bigint, jsonb, text, date, boolean) IS
  'Issue a credit note of an invoice and set it off against what is open of it: all that is left, or lines [{"line": 1, "quantity": 2}, {"line": 2, "amount": 5.00}] (amounts before tax). With rebill, the quantities of orders and the cost of shipping that it takes back are billable again. Returns the credit note''s id. Errors: O2003, O2004, O2010, O2031, O2032, O2033 when more than what is left would be credited, or nothing can be billed again.';

CREATE FUNCTION o2c._require_rebillable(company integer, note bigint, original text) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
DECLARE
  bad record;
BEGIN
  SELECT l.line_no, l.milestone_id, l.subscription_id, d.line_no AS deduction INTO bad
  FROM o2c.invoice_line n
  JOIN o2c.invoice_line l ON l.company_id = n.company_id AND l.id = n.original_line_id
  LEFT JOIN LATERAL (SELECT pg_catalog.min(x.line_no) AS line_no FROM o2c.invoice_line x
    WHERE x.company_id = l.company_id AND x.invoice_id = l.invoice_id AND x.original_line_id IS NOT NULL) d ON true
  WHERE n.company_id = company AND n.invoice_id = note
    AND ((l.order_line_id IS NOT NULL AND NOT n.rebill)
         OR coalesce(l.milestone_id, l.subscription_id) IS NOT NULL OR d.line_no IS NOT NULL)
  ORDER BY l.line_no LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'O2033',
      MESSAGE = pg_catalog.format('line %s of invoice %s cannot be billed again', bad.line_no, original),
      DETAIL = CASE WHEN bad.deduction IS NOT NULL THEN pg_catalog.format('The invoice deducts a prepayment, on its line %s.', bad.deduction)
                    WHEN bad.milestone_id IS NOT NULL THEN 'It bills a milestone, and each is billed once.'
                    WHEN bad.subscription_id IS NOT NULL THEN 'It bills a period of a subscription, and each is billed once.'
                    ELSE 'It is credited by an amount, not by a quantity.' END,
      HINT = 'Credit it without rebill, and draft by hand what is to be billed instead.';
  ELSIF NOT EXISTS (SELECT FROM o2c.invoice_line n WHERE n.company_id = company AND n.invoice_id = note AND n.rebill)
    AND NOT EXISTS (SELECT FROM o2c.invoice_allowance a WHERE a.company_id = company AND a.invoice_id = note AND a.rebill) THEN
    RAISE EXCEPTION USING ERRCODE = 'O2033',
      MESSAGE = pg_catalog.format('nothing of invoice %s would be billed again', original),
      DETAIL = 'None of the lines that are credited bills an order.',
      HINT = 'Credit it without rebill.';
  END IF;
END $$;
COMMENT ON FUNCTION o2c._require_rebillable(integer, bigint, text) IS
  'Raises O2033 unless what a credit note with rebill takes back can be billed again.';

CREATE FUNCTION o2c._settle_credit(company integer, note bigint, original bigint, on_date date) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
BEGIN
  -- the latest instalments first: what is due soonest stays due
  PERFORM FROM o2c.open_item i
  WHERE i.company_id = company AND i.invoice_id IN (note, original) ORDER BY i.id FOR NO KEY UPDATE;
  INSERT INTO o2c.allocation (company_id, debit_item_id, credit_item_id, currency, amount, kind, effective_on, reason)
  SELECT company, d.id, c.id, d.currency, least(d.open_amount, -c.open_amount - d.before), 'credit', on_date, 'credit note'
  FROM o2c.open_item c
  JOIN (SELECT i.*, coalesce(pg_catalog.sum(i.open_amount) OVER (ORDER BY i.instalment DESC
                 ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before
        FROM o2c.open_item i
        WHERE i.company_id = company AND i.invoice_id = original AND i.open_amount > 0) d
    ON d.currency = c.currency AND d.before < -c.open_amount
  WHERE c.company_id = company AND c.invoice_id = note AND c.open_amount < 0
  ORDER BY d.id;
END $$;
COMMENT ON FUNCTION o2c._settle_credit(integer, bigint, bigint, date) IS
  'Set a credit note off against the open instalments of its invoice.';
