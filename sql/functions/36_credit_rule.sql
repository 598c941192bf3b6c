-- Credit: rules as data, risk classes, temporary limits, and the proof.

CREATE FUNCTION o2c._credit_horizon(company integer) RETURNS date
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  SELECT o2c.today(company) + (c.settings ->> 'credit_horizon_days')::integer FROM o2c.company c WHERE c.company_id = company
$$;
COMMENT ON FUNCTION o2c._credit_horizon(integer) IS
  'Last day of orders that take credit today, by company.settings {"credit_horizon_days": n}; NULL: all do.';

CREATE FUNCTION o2c._credit_findings(company integer, order_ids bigint[])
RETURNS TABLE (order_id bigint, reason text, note text)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  IF order_ids IS NULL OR NOT EXISTS (SELECT FROM o2c.credit_rule r WHERE r.company_id = company AND r.active) THEN
    RETURN;
  END IF;
  RETURN QUERY
  WITH o AS (
    SELECT s.id, s.customer_id, c.code, c.risk_class, c.currency, a.credit_limit,
           s.total_amount * o2c._credit_rate(company, s.currency, c.currency) AS amount,
           CASE WHEN coalesce(s.promised_on, s.ordered_on) > o2c._credit_horizon(company) THEN 0
                ELSE s.total_amount * o2c._credit_rate(company, s.currency, c.currency) END AS takes,
           (SELECT pg_catalog.sum(x.group_exposure * o2c._credit_rate(company, x.currency, c.currency))
            FROM o2c.credit_account x WHERE x.company_id = company AND x.customer_id = s.customer_id
              AND x.group_exposure <> 0) AS exposure,
           (SELECT o2c.today(company) - pg_catalog.min(b.due_date) FROM o2c.open_balance b
            JOIN o2c.open_item i ON i.company_id = b.company_id AND i.id = b.item_id
            WHERE b.company_id = company AND b.customer_id = s.customer_id
              AND b.open_amount > i.disputed_amount) AS overdue
    FROM o2c.sales_order s
    JOIN o2c.customer c ON c.company_id = company AND c.id = s.customer_id
    JOIN o2c.credit_account a ON a.company_id = company AND a.customer_id = s.customer_id AND a.head
    WHERE s.company_id = company AND s.id = ANY (order_ids))
  SELECT DISTINCT ON (o.id, r.hold_reason) o.id, r.hold_reason, CASE r.kind
      WHEN 'overdue_days' THEN pg_catalog.format('rule "%s": customer "%s" is overdue for %s days', r.code, o.code, o.overdue)
      WHEN 'limit_share' THEN pg_catalog.format('rule "%s": exposure %s and this order of %s are over %s %% of the limit of %s',
                                                r.code, coalesce(o.exposure, 0), o.takes, r.threshold, o.credit_limit)
      WHEN 'risk_class' THEN pg_catalog.format('rule "%s": customer "%s" is in risk class "%s"', r.code, o.code, o.risk_class)
      ELSE pg_catalog.format('rule "%s": the order of %s is over %s', r.code, o.amount, r.threshold) END
  FROM o JOIN o2c.credit_rule r ON r.company_id = company AND r.active AND CASE r.kind
      WHEN 'overdue_days' THEN o.overdue > r.threshold
      WHEN 'limit_share' THEN coalesce(o.exposure, 0) + o.takes > o.credit_limit * r.threshold / 100
      WHEN 'risk_class' THEN o.risk_class = r.risk_class
      ELSE o.amount > r.threshold END
  ORDER BY o.id, r.hold_reason, r.id;
END $$;
COMMENT ON FUNCTION o2c._credit_findings(integer, bigint[]) IS
  'Orders that a rule of the company keeps from being confirmed, with the reason of the hold.';

CREATE FUNCTION o2c.raise_credit_limit(company_id integer, customer_code text, amount numeric,
  valid_from date DEFAULT NULL, valid_to date DEFAULT NULL, reason text DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  customer bigint := o2c._customer_id($1, $2);
  use_currency o2c.currency;
  from_date date := coalesce($4, o2c.today($1));
  to_date date := coalesce($5, CASE WHEN from_date < '9999-01-01' THEN from_date + 30 ELSE from_date END);
  new_id bigint;
BEGIN
  SELECT c.currency INTO use_currency FROM o2c.customer c WHERE c.company_id = $1 AND c.id = customer FOR NO KEY UPDATE;
  IF $3 IS NULL OR $3 <= 0 OR NOT o2c.is_amount($3, use_currency) THEN
    RAISE EXCEPTION USING ERRCODE = 'O2043', MESSAGE = pg_catalog.format('%s is not an amount to add to a limit in %s', coalesce($3::text, 'NULL'), use_currency);
  END IF;
  IF from_date < '0001-01-01' OR to_date > '9999-12-31' OR to_date < from_date THEN
    RAISE EXCEPTION USING ERRCODE = 'O2044', MESSAGE = pg_catalog.format('a limit cannot be raised from %s to %s', from_date, to_date),
      HINT = 'Give two days of the years 1 to 9999, the earlier first.';
  END IF;
  INSERT INTO o2c.credit_increase (company_id, customer_id, currency, amount, valid_from, valid_to, reason)
  VALUES ($1, customer, use_currency, $3, from_date, to_date, $6) RETURNING id INTO new_id;
  INSERT INTO o2c.event (company_id, entity, entity_id, event, reason, data)
  VALUES ($1, 'customer', customer, 'credit_increase', $6,
          pg_catalog.jsonb_build_object('amount', $3, 'valid_from', from_date, 'valid_to', to_date, 'currency', use_currency::text));
  RETURN new_id;
END $$;
COMMENT ON FUNCTION o2c.raise_credit_limit(integer, text, numeric, date, date, text) IS
  'Raise a customer''s limit by an amount for some days (default: 30 from today), both included. Errors: O2002, O2003, O2043, O2044.';

CREATE FUNCTION o2c.classify_risk(company_id integer, as_of date DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  on_date date := coalesce($2, o2c.today($1));
  changed bigint;
BEGIN
  PERFORM o2c._require_company($1);
  IF NOT pg_catalog.isfinite(on_date) THEN
    RAISE EXCEPTION USING ERRCODE = 'O2044', MESSAGE = 'the date must be finite';
  END IF;
  WITH paid AS (
    -- days late of every debit item settled within a year, weighed by amount
    SELECT i.customer_id, i.amount, pg_catalog.max(e.effective_on) - i.due_date AS late
    FROM o2c.open_item i JOIN o2c.ledger_entry e ON e.company_id = i.company_id AND e.item_id = i.id AND e.amount < 0
    WHERE i.company_id = $1 AND i.amount > 0 AND i.open_amount = 0 AND i.customer_id IS NOT NULL
    GROUP BY i.customer_id, i.id, i.amount, i.due_date
    HAVING pg_catalog.max(e.effective_on) BETWEEN on_date - 365 AND on_date
    UNION ALL
    SELECT b.customer_id, b.open_amount, on_date - b.due_date
    FROM o2c.open_balance b JOIN o2c.open_item i ON i.company_id = b.company_id AND i.id = b.item_id
    WHERE b.company_id = $1 AND i.open_amount > i.disputed_amount AND b.due_date < on_date AND b.customer_id IS NOT NULL
  ), score AS (
    SELECT p.customer_id, pg_catalog.sum(p.amount * p.late) / pg_catalog.sum(p.amount) AS late, pg_catalog.max(p.late) AS worst
    FROM paid p GROUP BY 1
  ), class AS MATERIALIZED (
    SELECT s.customer_id, CASE WHEN s.late > 30 OR s.worst > 90 THEN 'high' WHEN s.late > 5 OR s.worst > 30 THEN 'medium' ELSE 'low' END AS risk
    FROM score s
  ), locked AS MATERIALIZED (
    -- in the order in which an import writes customers
    SELECT c.id, k.risk FROM o2c.customer c JOIN class k ON c.company_id = $1 AND c.id = k.customer_id
    WHERE c.risk_class IS DISTINCT FROM k.risk ORDER BY c.code FOR NO KEY UPDATE OF c)
  UPDATE o2c.customer c SET risk_class = k.risk
  FROM locked k WHERE c.company_id = $1 AND c.id = k.id;
  GET DIAGNOSTICS changed = ROW_COUNT;
  RETURN changed;
END $$;
COMMENT ON FUNCTION o2c.classify_risk(integer, date) IS
  'Set customer.risk_class from how late a year''s invoices were paid: high (on average over 30 days late, or one over 90), medium (5, 30) or low. Returns how many changed. Errors: O2002, O2044.';

CREATE FUNCTION o2c._check_credit(company_id integer)
RETURNS TABLE (invariant text, company_id integer, entity text, entity_id bigint, detail text)
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
-- everything is read whole: nothing is looped through, whatever statistics say
SET enable_nestloop = off
SET jit = off
AS $$
  WITH RECURSIVE due AS (
    SELECT c.company_id, p.* FROM o2c.company c CROSS JOIN LATERAL o2c._credit_parts(c.company_id) p
    WHERE $1 IS NULL OR c.company_id = $1
  ), pair AS (
    SELECT c.company_id, c.id AS member, c.id AS above, c.parent_code, 0 AS depth FROM o2c.customer c
    WHERE $1 IS NULL OR c.company_id = $1
    UNION ALL
    SELECT p.company_id, p.member, c.id, c.parent_code, p.depth + 1
    FROM pair p JOIN o2c.customer c ON c.company_id = p.company_id AND c.code = p.parent_code
    WHERE p.depth < 100
  ), family AS (
    SELECT p.company_id, p.above AS customer_id, d.currency,
           pg_catalog.sum(d.open_orders + d.shipped_not_invoiced + d.open_items + d.returnable - d.unapplied) AS exposure
    FROM pair p JOIN due d ON d.company_id = p.company_id AND d.customer_id = p.member
    GROUP BY 1, 2, 3
  )
  SELECT 'stored exposure is that of the documents', coalesce(a.company_id, d.company_id), 'customer',
         coalesce(a.customer_id, d.customer_id),
         pg_catalog.format('%s: stored %s, documents %s', coalesce(a.currency, d.currency),
           (a.open_orders, a.shipped_not_invoiced, a.open_items, a.unapplied, a.returnable),
           (d.open_orders, d.shipped_not_invoiced, d.open_items, d.unapplied, d.returnable))
  FROM (SELECT * FROM o2c.credit_account a WHERE $1 IS NULL OR a.company_id = $1) a
  FULL JOIN due d ON d.company_id = a.company_id AND d.customer_id = a.customer_id AND d.currency = a.currency
  WHERE (coalesce(a.open_orders, 0), coalesce(a.shipped_not_invoiced, 0), coalesce(a.open_items, 0), coalesce(a.unapplied, 0), coalesce(a.returnable, 0))
     <> (coalesce(d.open_orders, 0), coalesce(d.shipped_not_invoiced, 0), coalesce(d.open_items, 0), coalesce(d.unapplied, 0), coalesce(d.returnable, 0))
  UNION ALL
  SELECT 'exposure of a group is that of its members', coalesce(a.company_id, f.company_id), 'customer',
         coalesce(a.customer_id, f.customer_id),
         pg_catalog.format('%s: stored %s, members %s', coalesce(a.currency, f.currency), a.group_exposure, f.exposure)
  FROM (SELECT * FROM o2c.credit_account a WHERE $1 IS NULL OR a.company_id = $1) a
  FULL JOIN family f ON f.company_id = a.company_id AND f.customer_id = a.customer_id AND f.currency = a.currency
  WHERE coalesce(a.group_exposure, 0) <> coalesce(f.exposure, 0)
  UNION ALL
  SELECT 'an advance is what is settled of a prepayment invoice and not used', i.company_id, 'invoice', i.id,
         pg_catalog.format('stored %s, documents %s', i.advance_amount, x.advance)
  FROM o2c.invoice i
  LEFT JOIN (
    SELECT l.company_id, l.invoice_id, pg_catalog.sum(pg_catalog.abs(u.net_amount)) AS amount
    FROM o2c.invoice_line u
    JOIN o2c.invoice_line l ON l.company_id = u.company_id AND l.id = u.original_line_id
    JOIN o2c.invoice d ON d.company_id = u.company_id AND d.id = u.invoice_id AND d.state NOT IN ('draft', 'void')
    WHERE $1 IS NULL OR u.company_id = $1 GROUP BY 1, 2) used ON used.company_id = i.company_id AND used.invoice_id = i.id
  CROSS JOIN LATERAL (
    SELECT CASE WHEN i.kind <> 'prepayment' OR i.state IN ('draft', 'void', 'written_off') OR i.payable_amount <= 0 THEN 0
      ELSE greatest(0, o2c.round_amount(i.net_amount * (i.payable_amount - i.open_amount) / i.payable_amount, i.currency)
        - coalesce(used.amount, 0)) END AS advance) x
  WHERE ($1 IS NULL OR i.company_id = $1) AND (i.kind = 'prepayment' OR i.advance_amount <> 0)
    AND i.advance_amount IS DISTINCT FROM x.advance
  UNION ALL
  SELECT 'an order notes the milestones that issued invoices bill', s.company_id, 'order', s.id,
         pg_catalog.format('stored %s, invoices %s', s.milestone_percent, coalesce(m.percent, 0))
  FROM o2c.sales_order s
  LEFT JOIN (
    SELECT m.company_id, m.order_id, pg_catalog.sum(m.percent) AS percent FROM o2c.billing_milestone m
    WHERE ($1 IS NULL OR m.company_id = $1) AND EXISTS (
      SELECT FROM o2c.invoice_line v JOIN o2c.invoice i ON i.company_id = v.company_id AND i.id = v.invoice_id
      WHERE v.company_id = m.company_id AND v.milestone_id = m.id AND v.original_line_id IS NULL AND i.state NOT IN ('draft', 'void'))
    GROUP BY 1, 2) m ON m.company_id = s.company_id AND m.order_id = s.id
  WHERE ($1 IS NULL OR s.company_id = $1) AND s.milestone_percent <> coalesce(m.percent, 0)
  UNION ALL
  SELECT 'a milestone is billed once', v.company_id, 'billing_milestone', v.milestone_id,
         pg_catalog.format('documents %s', pg_catalog.string_agg(DISTINCT v.invoice_id::text, ', '))
  FROM o2c.invoice_line v JOIN o2c.invoice i ON i.company_id = v.company_id AND i.id = v.invoice_id
  WHERE ($1 IS NULL OR v.company_id = $1) AND v.milestone_id IS NOT NULL AND v.original_line_id IS NULL AND i.state <> 'void'
  GROUP BY v.company_id, v.milestone_id HAVING pg_catalog.min(v.invoice_id) <> pg_catalog.max(v.invoice_id)
  UNION ALL
  SELECT 'no more is deducted or credited of a prepayment invoice than it billed', l.company_id, 'invoice', l.invoice_id,
         pg_catalog.format('line %s: billed %s, taken %s', l.line_no, l.net_amount, u.amount)
  FROM (SELECT v.company_id, v.original_line_id, pg_catalog.sum(pg_catalog.abs(v.net_amount)) AS amount
        FROM o2c.invoice_line v JOIN o2c.invoice i ON i.company_id = v.company_id AND i.id = v.invoice_id
        WHERE ($1 IS NULL OR v.company_id = $1) AND v.original_line_id IS NOT NULL AND i.state NOT IN ('draft', 'void')
        GROUP BY 1, 2) u
  JOIN o2c.invoice_line l ON l.company_id = u.company_id AND l.id = u.original_line_id
  JOIN o2c.invoice p ON p.company_id = l.company_id AND p.id = l.invoice_id
  WHERE p.kind = 'prepayment' AND u.amount > pg_catalog.abs(l.net_amount)
  UNION ALL
  SELECT 'an account knows whether its limit may be raised', a.company_id, 'customer', a.customer_id,
         pg_catalog.format('account %s, increases %s', a.temporary, i.customer_id IS NOT NULL)
  FROM o2c.credit_account a
  LEFT JOIN (SELECT DISTINCT x.company_id, x.customer_id FROM o2c.credit_increase x) i
    ON i.company_id = a.company_id AND i.customer_id = a.customer_id
  WHERE a.head AND ($1 IS NULL OR a.company_id = $1) AND a.temporary <> (i.customer_id IS NOT NULL)
  UNION ALL
  SELECT 'every customer has an account with its limit and parent', c.company_id, 'customer', c.id,
         pg_catalog.format('customer "%s": limit %s, account %s', c.code, c.credit_limit, a.credit_limit)
  FROM o2c.customer c
  LEFT JOIN o2c.customer p ON p.company_id = c.company_id AND p.code = c.parent_code
  LEFT JOIN o2c.credit_account a ON a.company_id = c.company_id AND a.customer_id = c.id AND a.head
  WHERE ($1 IS NULL OR c.company_id = $1)
    AND (a.customer_id IS NULL OR (a.currency, a.credit_limit, a.parent_id) IS DISTINCT FROM (c.currency, c.credit_limit, p.id))
$$;
COMMENT ON FUNCTION o2c._check_credit(integer) IS 'Violated invariants of credit: every exposure computed anew from the documents.';
