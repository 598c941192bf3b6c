-- Issuing: checks, number, copies of the parties, open items and ledger, for
-- one document or all drafts, in sets.

CREATE FUNCTION o2c._require_open_period(company integer, on_date date) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
DECLARE
  closed date := (SELECT o2c._to_date(c.settings #>> '{books,closed_until}') FROM o2c.company c WHERE c.company_id = company);
BEGIN
  -- a later date could never be followed by a right one in its series
  IF on_date NOT BETWEEN '1900-01-01' AND '2999-12-31' THEN
    RAISE EXCEPTION USING ERRCODE = 'O2044', MESSAGE = pg_catalog.format('%s is not the date of a document', on_date),
      HINT = 'Use a date of the years 1900 to 2999.';
  END IF;
  SELECT greatest(closed, pg_catalog.max(p.to_date)) INTO closed
  FROM o2c.period p WHERE p.company_id = company AND p.closed_at IS NOT NULL AND on_date BETWEEN p.from_date AND p.to_date;
  IF on_date <= closed THEN
    RAISE EXCEPTION USING ERRCODE = 'O2031',
      MESSAGE = pg_catalog.format('the books are closed until %s, so nothing can be issued on %s', closed, on_date),
      HINT = 'Use a later date.';
  END IF;
END $$;
COMMENT ON FUNCTION o2c._require_open_period(integer, date) IS
  'Raises O2044 for a date outside of the years 1900 to 2999, O2031 for one in a closed row of o2c.period, or up to company.settings {"books": {"closed_until": "2025-12-31"}}.';

CREATE FUNCTION o2c._issue(company integer, ids bigint[], on_date date) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS 'MODULE_PATHNAME', 'o2c_invoice_issue';
COMMENT ON FUNCTION o2c._issue(integer, bigint[], date) IS
  'Issue drafts that the caller has locked: o2c._issue_drafts(), then the numbers that are drawn last. Nothing else takes a draft to issued. Errors: O2031, O2032, O2033, O2044; then no number is drawn.';

CREATE FUNCTION o2c._settle_nothing(company integer, ids bigint[]) RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS 'MODULE_PATHNAME', 'o2c_invoice_settle_nothing';
COMMENT ON FUNCTION o2c._settle_nothing(integer, bigint[]) IS
  'Documents just issued with nothing to pay are paid. Does nothing outside of o2c._issue().';

CREATE FUNCTION o2c._require_no_fault(company integer, ids bigint[]) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
DECLARE
  faulty record;
BEGIN
  SELECT f.invoice_id, pg_catalog.min(f.fault) AS fault, pg_catalog.count(*) AS n,
         pg_catalog.string_agg(f.fault, '; ' ORDER BY f.fault) AS faults INTO faulty
  FROM o2c._invoice_faults(company, ids) f
  GROUP BY f.invoice_id ORDER BY f.invoice_id LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'O2033',
      MESSAGE = pg_catalog.format('invoice %s cannot be issued: %s', faulty.invoice_id, faulty.fault),
      DETAIL = pg_catalog.format('%s of its rules are violated: %s.', faulty.n, faulty.faults),
      HINT = 'Edit the draft; o2c.invoice_faults() lists what is wrong. No number was drawn.';
  END IF;
END $$;
COMMENT ON FUNCTION o2c._require_no_fault(integer, bigint[]) IS
  'Raises O2033 for the first document that violates a rule, with all rules that it violates.';

CREATE FUNCTION o2c._held_drafts(company integer, ids bigint[]) RETURNS TABLE (invoice_id bigint, order_code text, reason text)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
BEGIN
  -- from the holds, of which there are few; in PL/pgSQL, which keeps the plan
  RETURN QUERY SELECT i.id, s.code, h.reason
  FROM o2c.hold h
  JOIN o2c.sales_order s ON s.company_id = company AND s.id = h.order_id
  JOIN o2c.invoice i ON i.company_id = company AND i.id = ANY (ids) AND i.kind <> 'credit_note'
    AND (i.order_id = s.id OR (i.order_id IS NULL AND EXISTS (
      SELECT FROM o2c.invoice_line v JOIN o2c.sales_order_line l ON l.company_id = company AND l.id = v.order_line_id
      WHERE v.company_id = company AND v.invoice_id = i.id AND l.order_id = s.id)))
  WHERE h.company_id = company AND h.released_at IS NULL AND 'invoice' = ANY (h.blocks)
    AND (h.expires_at IS NULL OR h.expires_at > pg_catalog.now());
END $$;
COMMENT ON FUNCTION o2c._held_drafts(integer, bigint[]) IS 'Which of these documents bill an order that an open hold keeps from being invoiced.';

CREATE FUNCTION o2c._issue_drafts(company integer, ids bigint[], on_date date) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
SET jit = off
AS $$
DECLARE
  base_currency o2c.currency := (SELECT c.currency FROM o2c.company c WHERE c.company_id = company);
  default_term constant text := o2c._default_term(company);
  suspects bigint[];
  nothing boolean;
  s record;
  block record;
BEGIN
  IF on_date IS NULL OR NOT pg_catalog.isfinite(on_date) THEN
    RAISE EXCEPTION USING ERRCODE = 'O2044', MESSAGE = 'the issue date must be finite';
  END IF;
  PERFORM o2c._require_open_period(company, on_date);
  SELECT * INTO s FROM o2c._held_drafts(company, ids) LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'O2011',
      MESSAGE = pg_catalog.format('invoice %s cannot be issued: order %s is on hold: %s', s.invoice_id, s.order_code, s.reason),
      HINT = 'Release it with o2c.release_order().';
  END IF;

  -- one look at all drafts; only those that are not in order, or have amounts
  -- that the rules do not cover, are computed again and looked at again
  SELECT pg_catalog.array_agg(DISTINCT x.id) INTO suspects
  FROM (SELECT f.invoice_id AS id FROM o2c._invoice_faults(company, ids) f
        UNION ALL
        SELECT i.id FROM o2c.invoice i
        JOIN o2c.company c ON c.company_id = i.company_id
        LEFT JOIN o2c.payment_term t ON t.company_id = i.company_id AND t.code = i.payment_term
        WHERE i.company_id = company AND i.id = ANY (ids) AND i.kind <> 'credit_note'
          AND (i.prices_include_tax OR t.discount_basis = 'upfront'
               OR c.settings #> '{invoice,cash_rounding}' IS NOT NULL)) x;
  IF suspects IS NOT NULL THEN
    PERFORM o2c._recalculate(company, (SELECT pg_catalog.array_agg(i.id) FROM o2c.invoice i
      WHERE i.company_id = company AND i.id = ANY (suspects) AND i.kind <> 'credit_note'));
    PERFORM o2c._require_no_fault(company, suspects);
  END IF;

  -- many are issued series after series, and may draw numbers before they are posted:
  -- what they correct or deduct, and all accounts, are locked before
  IF pg_catalog.cardinality(ids) > 1 THEN
    PERFORM o2c._lock_posting(company, NULL, pg_catalog.array_agg(DISTINCT x.used_id), pg_catalog.array_agg(DISTINCT x.customer_id))
    FROM (SELECT i.customer_id, i.original_id AS used_id
          FROM pg_catalog.unnest(ids) d(id)
          CROSS JOIN LATERAL (SELECT v.customer_id, v.original_id FROM o2c.invoice v WHERE v.company_id = company AND v.id = d.id OFFSET 0) i
          UNION ALL
          SELECT NULL, u.invoice_id
          FROM pg_catalog.unnest(ids) d(id)
          CROSS JOIN LATERAL (SELECT v.original_line_id FROM o2c.invoice_line v WHERE v.company_id = company AND v.invoice_id = d.id
                              AND CASE WHEN v.original_line_id IS NULL THEN false ELSE true END OFFSET 0) l
          CROSS JOIN LATERAL (SELECT v.invoice_id FROM o2c.invoice_line v WHERE v.company_id = company AND v.id = l.original_line_id OFFSET 0) u) x;
  END IF;

  -- numbers for many at once, one block for each series (there are few); a few
  -- documents get theirs when all else is done, so that nobody waits for it
  FOR s IN
    SELECT n.code, n.pattern, coalesce(n.prefix, n.code) AS prefix, n.assign, n.gapless, x.code AS wanted, x.ids
    FROM (SELECT coalesce(i.series, i.kind) AS code, pg_catalog.array_agg(i.id ORDER BY i.id) AS ids
          FROM o2c.invoice i WHERE i.company_id = company AND i.id = ANY (ids) GROUP BY 1) x
    LEFT JOIN o2c.number_series n ON n.company_id = company AND n.code = x.code
    ORDER BY x.code
  LOOP
    IF s.code IS NULL THEN
      RAISE EXCEPTION USING ERRCODE = 'O2032',
        MESSAGE = pg_catalog.format('there is no number series "%s" in company %s', s.wanted, company),
        HINT = 'Insert it into o2c.number_series.';
    END IF;
    SELECT NULL::bigint AS first, NULL::date AS period, NULL::timestamptz AS issued_at INTO block;
    IF s.assign = 'issue' AND s.gapless AND pg_catalog.cardinality(s.ids) > 16 THEN
      block := o2c._draw_block(company, s.code, on_date, pg_catalog.cardinality(s.ids));
    END IF;
    -- dates do not depend on the document, amounts do
    WITH term AS MATERIALIZED (
      SELECT t.code, (SELECT pg_catalog.max(d.due_date) FROM o2c._term_schedule(company, t.code, on_date) d) AS due_date
      FROM (SELECT DISTINCT coalesce(i.payment_term, c.payment_term, default_term) AS code
            FROM o2c.invoice i JOIN o2c.customer c ON c.company_id = company AND c.id = i.customer_id
            WHERE i.company_id = company AND i.id = ANY (s.ids)) t),
    me AS MATERIALIZED (SELECT o2c._seller(company) AS seller),
    means AS MATERIALIZED (
      SELECT x.currency, o2c._payment_means(company, x.currency) AS payment_means,
             CASE WHEN x.currency <> base_currency::text AND x.taxed
                  THEN o2c.exchange_rate_on(company, x.currency, base_currency, on_date) END AS rate
      FROM (SELECT i.currency::text AS currency, pg_catalog.bool_or(i.tax_amount <> 0) AS taxed FROM o2c.invoice i
            WHERE i.company_id = company AND i.id = ANY (s.ids) GROUP BY 1) x),
    numbered AS (
      SELECT d.id, n.n, o2c._format_number(s.pattern, s.prefix, on_date, n.n) AS number, n.period, n.issued_at
      FROM pg_catalog.unnest(s.ids) WITH ORDINALITY d(id, k)
      CROSS JOIN LATERAL (
        SELECT block.first + d.k - 1 AS n, block.period, coalesce(block.issued_at, pg_catalog.clock_timestamp()) AS issued_at
        WHERE s.assign = 'commit' OR s.gapless
        UNION ALL
        SELECT b.first, b.period, b.issued_at FROM o2c._draw_block(company, s.code, on_date, 1) b
        WHERE s.assign = 'issue' AND NOT s.gapless) n),
    issued AS (
    UPDATE o2c.invoice i SET state = 'issued', series = s.code, number = n.number,
      sequence_period = n.period, sequence_no = n.n, issue_date = on_date, issued_at = n.issued_at,
      payment_reference = CASE WHEN i.kind <> 'credit_note' THEN o2c._payment_reference(n.number) END,
      payment_term = t.code,
      due_date = coalesce(i.due_date, t.due_date),
      supply_date = coalesce(i.supply_date, on_date),
      -- what its items will add up to
      open_amount = CASE i.kind WHEN 'credit_note' THEN -i.payable_amount ELSE i.payable_amount END,
      tax_currency = CASE WHEN i.currency <> base_currency THEN base_currency END,
      exchange_rate = m.rate,
      tax_amount_base = CASE WHEN i.currency <> base_currency THEN o2c.round_amount(i.tax_amount * coalesce(m.rate, 0), base_currency) END,
      seller = me.seller, payment_means = m.payment_means,
      buyer = pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object('code', c.code, 'name', c.name,
        'country', coalesce(b.country, c.country, me.seller ->> 'country'),
        'vat_id', nullif(pg_catalog.upper(pg_catalog.regexp_replace(c.vat_id, E'[\\s.-]', '', 'g')), ''),
        -- of an address as a whole: its parts don't mix
        'street', CASE WHEN b.city IS NULL THEN c.street ELSE b.street END,
        'postal_code', CASE WHEN b.city IS NULL THEN c.postal_code ELSE b.postal_code END,
        'city', coalesce(b.city, c.city), 'addressee', nullif(b.name, c.name), 'email', c.email, 'phone', c.phone,
        'language', c.language)),
      delivery = coalesce(i.delivery, pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object('name', v.name, 'street', v.street,
        'postal_code', v.postal_code, 'city', v.city, 'country', coalesce(v.country, c.country, me.seller ->> 'country'))))
    FROM numbered n, term t, me, means m, o2c.customer c
    LEFT JOIN LATERAL (SELECT a.* FROM o2c._addresses_for(company, '{billing}') a WHERE a.customer_id = c.id OFFSET 0) b ON true
    LEFT JOIN LATERAL (SELECT a.* FROM o2c._addresses_for(company, '{shipping}') a WHERE a.customer_id = c.id OFFSET 0) v ON true
    WHERE i.company_id = company AND i.id = n.id
      AND c.company_id = company AND c.id = i.customer_id
      AND t.code = coalesce(i.payment_term, c.payment_term, default_term)
      AND m.currency = i.currency::text
    RETURNING i.payable_amount = 0 AS paid)
    SELECT coalesce(nothing, false) OR pg_catalog.bool_or(u.paid) INTO nothing FROM issued u;
  END LOOP;

  PERFORM o2c._post_invoices(company, ids);
  IF nothing THEN
    PERFORM o2c._settle_nothing(company, ids);
  END IF;
END $$;
COMMENT ON FUNCTION o2c._issue_drafts(integer, bigint[], date) IS
  'The work of o2c._issue(); called by anything else it is refused (O2010).';

CREATE FUNCTION o2c._payment_reference(number text) RETURNS o2c.creditor_reference
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'o2c_payment_reference';
COMMENT ON FUNCTION o2c._payment_reference(text) IS
  'ISO 11649 reference from a document number; NULL when the number has more than 21 letters and digits.';

CREATE FUNCTION o2c._post_invoices(company integer, ids bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
SET jit = off
AS $$
BEGIN
  -- dates follow from term and issue date alone: once for each of them
  WITH term AS MATERIALIZED (
    SELECT d.payment_term, d.issue_date, d.credit, t.*
    FROM (SELECT DISTINCT x.payment_term, x.issue_date, x.kind = 'credit_note' AS credit
          FROM o2c.invoice x WHERE x.company_id = company AND x.id = ANY (ids)) d
    CROSS JOIN LATERAL (
      SELECT s.* FROM o2c._term_schedule(company, d.payment_term, d.issue_date) s WHERE NOT d.credit
      UNION ALL
      -- a credit is due at once
      SELECT 1, 100, true, d.issue_date, NULL, 0, 'gross' WHERE d.credit) t),
  due AS MATERIALIZED (
    SELECT i.id AS invoice_id, i.kind, i.customer_id, i.currency, i.issue_date, i.net_amount, i.total_amount, i.payable_amount,
           coalesce(i.number, '#' || i.id) AS number, i.payment_reference, i.due_date AS invoice_due,
           t.instalment, t.percent, t.is_last, t.due_date, t.discount_date, t.discount_percent, t.discount_basis
    FROM o2c.invoice i
    JOIN term t ON t.payment_term = i.payment_term AND t.issue_date = i.issue_date AND t.credit = (i.kind = 'credit_note')
    WHERE i.company_id = company AND i.id = ANY (ids)),
  part AS (
    -- few cents over many instalments: none takes more than what is left
    SELECT d.*, CASE WHEN d.is_last THEN d.payable_amount ELSE least(d.payable_amount, pg_catalog.sum(r.part) OVER upto) END
      - least(d.payable_amount, coalesce(pg_catalog.sum(r.part) OVER before, 0)) AS amount
    FROM due d
    CROSS JOIN LATERAL (SELECT o2c.round_amount(d.payable_amount * d.percent * 0.01, d.currency) AS part) r
    WINDOW upto AS (PARTITION BY d.invoice_id ORDER BY d.instalment),
           before AS (PARTITION BY d.invoice_id ORDER BY d.instalment ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING))
  -- inserted as open: the trigger of open_item writes the ledger entries
  INSERT INTO o2c.open_item (company_id, customer_id, kind, number, instalment, invoice_id, document_date, due_date, currency,
                             amount, open_amount, structured_ref, discount_date, discount_amount)
  SELECT company, p.customer_id,
         (CASE p.kind WHEN 'prepayment' THEN 'invoice' ELSE p.kind END)::o2c.item_kind,
         p.number, p.instalment, p.invoice_id, p.issue_date,
         -- a draft's own due date holds for an invoice of one instalment
         CASE WHEN p.percent = 100 AND p.kind <> 'credit_note' THEN p.invoice_due ELSE p.due_date END, p.currency,
         s.amount, s.amount, p.payment_reference, p.discount_date,
         CASE WHEN p.discount_date IS NOT NULL THEN
           -- the quotient last, as in o2c.due_dates
           least(p.amount, o2c.round_amount(CASE WHEN p.discount_basis = 'gross' THEN p.amount * p.discount_percent
             ELSE p.amount * p.net_amount * p.discount_percent / nullif(p.total_amount, 0) END * 0.01, p.currency)) END
  FROM part p
  CROSS JOIN LATERAL (SELECT CASE WHEN p.kind = 'credit_note' THEN -p.amount ELSE p.amount END AS amount) s
  WHERE p.amount <> 0
  ORDER BY p.invoice_id, p.instalment;
END $$;
COMMENT ON FUNCTION o2c._post_invoices(integer, bigint[]) IS
  'Open items, one for each instalment, and their first ledger entries, of documents just issued.';

CREATE FUNCTION o2c._lock_billed_orders(company integer, invoice_ids bigint[]) RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  SELECT FROM o2c.sales_order s
  WHERE s.company_id = company AND s.id IN (
    SELECT l.order_id FROM o2c.invoice i
    JOIN o2c.invoice_line v ON v.company_id = company AND v.invoice_id = i.id
    JOIN o2c.sales_order_line l ON l.company_id = company AND l.id = v.order_line_id
    WHERE i.company_id = company AND i.state = 'draft' AND i.id = ANY (invoice_ids)
    UNION ALL
    SELECT m.order_id FROM o2c.invoice i
    JOIN o2c.invoice_line v ON v.company_id = company AND v.invoice_id = i.id
    JOIN o2c.billing_milestone m ON m.company_id = company AND m.id = v.milestone_id
    WHERE i.company_id = company AND i.state = 'draft' AND i.id = ANY (invoice_ids))
  ORDER BY s.id FOR NO KEY UPDATE
$$;
COMMENT ON FUNCTION o2c._lock_billed_orders(integer, bigint[]) IS
  'Lock the orders that drafts bill, before the drafts themselves: the order of all locks.';

CREATE FUNCTION o2c.issue_invoice(company_id integer, invoice_id bigint, issue_date date DEFAULT NULL) RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
-- one document: planning would cost more than it saves
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  found record;
BEGIN
  PERFORM o2c._lock_billed_orders($1, ARRAY[$2]);
  SELECT i.state, i.number, i.issue_date INTO found FROM o2c.invoice i
  WHERE i.company_id = $1 AND i.id = $2 FOR NO KEY UPDATE;
  IF found.state IN ('issued', 'paid', 'written_off', 'credited') AND ($3 IS NULL OR $3 = found.issue_date) THEN
    RETURN found.number;  -- again: the same number
  END IF;
  PERFORM o2c._require_draft($1, $2);
  PERFORM o2c._issue($1, ARRAY[$2], coalesce($3, o2c.today($1)));
  RETURN (SELECT i.number FROM o2c.invoice i WHERE i.company_id = $1 AND i.id = $2);
END $$;
COMMENT ON FUNCTION o2c.issue_invoice(integer, bigint, date) IS
  'Issue a draft on a date (default the company''s today) and return its number; NULL when its series numbers at commit. Again: the same number. Errors: O2003, O2010, O2011 hold, O2031 closed period, O2032 date before the last one, O2033 a rule is violated.';

CREATE FUNCTION o2c.issue_invoices(company_id integer, invoice_ids bigint[] DEFAULT NULL, issue_date date DEFAULT NULL)
RETURNS TABLE (invoice_id bigint, number text)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
  drafts bigint[];
  other record;
BEGIN
  PERFORM o2c._require_company($1);
  drafts := coalesce($2, (SELECT pg_catalog.array_agg(i.id) FROM o2c.invoice i WHERE i.company_id = $1 AND i.state = 'draft'));
  IF $2 IS NULL THEN
    drafts := ARRAY(SELECT pg_catalog.unnest(drafts) EXCEPT SELECT h.invoice_id FROM o2c._held_drafts($1, drafts) h);
  END IF;
  PERFORM o2c._lock_billed_orders($1, drafts);
  SELECT pg_catalog.array_agg(x.id ORDER BY x.id) INTO drafts
  FROM (SELECT i.id FROM o2c.invoice i
        WHERE i.company_id = $1 AND i.state = 'draft' AND i.id = ANY (drafts)
        ORDER BY i.id FOR NO KEY UPDATE) x;
  -- asked for by id, a document that is neither draft nor issued is an error;
  -- full, because that can't be nested loops, which tables without statistics would get
  SELECT w.id, i.state INTO other
  FROM pg_catalog.unnest($2) w(id)
  FULL JOIN (SELECT x.id, x.state FROM o2c.invoice x WHERE x.company_id = $1 AND x.id = ANY ($2)) i ON i.id = w.id
  WHERE i.state IS NULL OR i.state = 'void' LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'O2003',
      MESSAGE = CASE WHEN other.state IS NULL THEN pg_catalog.format('there is no invoice %s in company %s', coalesce(other.id::text, 'NULL'), $1)
                     ELSE pg_catalog.format('invoice %s is void', other.id) END;
  END IF;
  IF drafts IS NOT NULL THEN
    PERFORM o2c._issue($1, drafts, coalesce($3, o2c.today($1)));
  END IF;
  RETURN QUERY SELECT i.id, i.number FROM o2c.invoice i
    WHERE i.company_id = $1 AND i.id = ANY (coalesce($2, drafts)) ORDER BY i.sequence_no, i.id;
END $$;
COMMENT ON FUNCTION o2c.issue_invoices(integer, bigint[], date) IS
  'Issue these drafts (default all of orders that no hold keeps from it) on a date, all or none, with one block of numbers for each series; rows of those already issued are returned as they are. Errors: as issue_invoice.';

CREATE FUNCTION o2c.void_invoice(company_id integer, invoice_id bigint, reason text, void_date date DEFAULT NULL) RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  on_date constant date := coalesce($4, o2c.today($1));
  drawn record;
BEGIN
  IF coalesce(pg_catalog.btrim(reason), '') = '' THEN
    RAISE EXCEPTION USING ERRCODE = 'O2004', MESSAGE = 'a void document needs a reason';
  END IF;
  PERFORM o2c._lock_billed_orders($1, ARRAY[$2]);
  PERFORM o2c._require_draft($1, $2);
  PERFORM o2c._require_open_period($1, on_date);
  -- its quantities are free again, its number is not
  UPDATE o2c.invoice_line l SET order_line_id = NULL, shipment_line_id = NULL, subscription_id = NULL, milestone_id = NULL, rebill = false
  WHERE l.company_id = $1 AND l.invoice_id = $2;
  UPDATE o2c.invoice_allowance a SET order_id = NULL, rebills_id = NULL, rebill = false
  WHERE a.company_id = $1 AND a.invoice_id = $2 AND (a.order_id IS NOT NULL OR a.rebill);
  SELECT s.code, b.first, b.period, b.issued_at,
         o2c._format_number(s.pattern, coalesce(s.prefix, s.code), on_date, b.first) AS number INTO drawn
  FROM o2c.invoice i
  JOIN o2c.number_series s ON s.company_id = i.company_id AND s.code = coalesce(i.series, i.kind)
  CROSS JOIN LATERAL o2c._draw_block($1, s.code, on_date, 1) b
  WHERE i.company_id = $1 AND i.id = $2;
  UPDATE o2c.invoice i SET state = 'void', series = drawn.code, number = drawn.number, sequence_period = drawn.period,
    sequence_no = drawn.first, issue_date = on_date, issued_at = drawn.issued_at, reason = $3,
    line_total = 0, allowance_total = 0, charge_total = 0, net_amount = 0, tax_amount = 0, total_amount = 0,
    prepaid_amount = 0, rounding_amount = 0, payable_amount = 0
  WHERE i.company_id = $1 AND i.id = $2;
  RETURN drawn.number;
END $$;
COMMENT ON FUNCTION o2c.void_invoice(integer, bigint, text, date) IS
  'Make a draft void: it takes a number, so that a form already printed or sent is accounted for, and keeps it, with zero totals and nothing to pay. Errors: O2003, O2004, O2010, O2031, O2032.';
