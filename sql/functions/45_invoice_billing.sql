-- Billing: drafts from what was ordered, shipped or agreed, in sets.
--
-- sales_order_line.invoiced counts what drafts and issued invoices hold
-- already (kept by the trigger of invoice_line), so that billing again adds
-- nothing and dropping a draft makes its quantities billable again; so does an
-- issued credit note whose lines say so (rebill).

CREATE FUNCTION o2c._billable_lines(company integer, orders bigint[], up_to date)
RETURNS TABLE (order_id bigint, order_line_id bigint, quantity numeric, supply_date date, shipment_line_id bigint)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT l.order_id, l.id, d.quantity - l.invoiced, d.supply_date, d.shipment_line_id
  FROM o2c.sales_order_line l
  JOIN o2c.sales_order o ON o.company_id = l.company_id AND o.id = l.order_id
  JOIN o2c.company c ON c.company_id = o.company_id
  LEFT JOIN o2c.billing_policy p ON p.company_id = o.company_id AND p.customer_id = o.customer_id
  CROSS JOIN LATERAL (
    -- by order: all of it as soon as it is confirmed
    SELECT greatest(l.quantity, l.shipped) - l.returned AS quantity, o.ordered_on AS supply_date, NULL::bigint AS shipment_line_id
    WHERE p.method = 'order' AND o.ordered_on <= $3
    UNION ALL
    -- by shipment: what has left and has not come back; an invoice for each
    -- shipment needs what each still has when the oldest are billed first
    SELECT CASE WHEN x.apart THEN l.invoiced + least(x.quantity, x.upto - l.invoiced) ELSE x.quantity END,
           x.supply_date, x.shipment_line_id
    FROM (
      SELECT q.apart, pg_catalog.sum(q.quantity) AS quantity, pg_catalog.max(q.upto) AS upto, pg_catalog.max(q.shipped_on) AS supply_date,
             CASE WHEN pg_catalog.count(*) = 1 THEN pg_catalog.min(q.id) END AS shipment_line_id
      FROM (SELECT sl.id, s.shipped_on, sl.quantity - sl.returned AS quantity,
                   pg_catalog.sum(sl.quantity - sl.returned) OVER (ORDER BY s.shipped_on, sl.id) AS upto,
                   coalesce(p.consolidate, c.settings #>> '{invoice,consolidate}', '') = 'shipment' AS apart
            FROM o2c.shipment_line sl
            JOIN o2c.shipment s ON s.company_id = sl.company_id AND s.id = sl.shipment_id
            WHERE coalesce(p.method, 'shipment') = 'shipment'
              AND sl.company_id = l.company_id AND sl.order_line_id = l.id
              AND s.state IN ('shipped', 'delivered')
              AND s.shipped_on <= CASE p.frequency WHEN 'week' THEN pg_catalog.date_trunc('week', ($3 + 1)::timestamp)::date - 1
                                                   WHEN 'month' THEN pg_catalog.date_trunc('month', ($3 + 1)::timestamp)::date - 1
                                                   ELSE $3 END) q
      GROUP BY q.apart, CASE WHEN q.apart THEN q.id END) x) d
  WHERE l.company_id = $1 AND l.order_id = ANY ($2)
    AND o.state IN ('confirmed', 'fulfilling', 'fulfilled', 'closed', 'cancelled')
    AND d.quantity > l.invoiced
    -- an order with milestones is billed by them; hashed, whatever statistics say
    AND (l.order_id IN (SELECT m.order_id FROM o2c.billing_milestone m
                        WHERE m.company_id = $1 AND m.order_id = ANY ($2))) IS NOT TRUE;
END $$;
COMMENT ON FUNCTION o2c._billable_lines(integer, bigint[], date) IS
  'What is to be billed of these orders up to a date and is not invoiced: quantity, last date of supply.';

CREATE FUNCTION o2c._default_term(company integer) RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
BEGIN
  RETURN (
  SELECT coalesce(c.settings #>> '{invoice,payment_term}', 'NET30') FROM o2c.company c WHERE c.company_id = $1);
END $$;
COMMENT ON FUNCTION o2c._default_term(integer) IS
  'Payment term of customers without one: company.settings {"invoice": {"payment_term": …}}, else NET30.';

CREATE FUNCTION o2c._bill_orders(company integer, orders bigint[], up_to date) RETURNS bigint[]
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
DECLARE
  drafts bigint[];
BEGIN
  -- whoever bills these orders at the same time waits here and then sees them billed
  PERFORM FROM o2c.sales_order o WHERE o.company_id = company AND o.id = ANY (orders)
  ORDER BY o.id FOR NO KEY UPDATE;
  orders := o2c._not_held(company, orders, '{invoice}');

  WITH due AS MATERIALIZED (
    SELECT b.*, o.customer_id, o.currency, o.customer_reference, o.code,
           CASE coalesce(p.consolidate, c.settings #>> '{invoice,consolidate}')
             WHEN 'customer' THEN
               -- what was prepaid of an order is deducted from that order's own invoices
               CASE WHEN EXISTS (SELECT FROM o2c.invoice a WHERE a.company_id = company AND a.order_id = o.id
                                 AND a.kind = 'prepayment' AND a.state IN ('issued', 'paid'))
                    THEN 'o' || o.id ELSE 'c' || o.customer_id || o.currency END
             WHEN 'shipment' THEN 's' || coalesce((SELECT sl.shipment_id FROM o2c.shipment_line sl
               WHERE sl.company_id = company AND sl.id = b.shipment_line_id)::text, 'o' || o.id)
             ELSE 'o' || o.id END AS grp
    FROM o2c._billable_lines(company, orders, up_to) b
    JOIN o2c.sales_order o ON o.company_id = company AND o.id = b.order_id
    JOIN o2c.company c ON c.company_id = company
    LEFT JOIN o2c.billing_policy p ON p.company_id = company AND p.customer_id = o.customer_id),
  grp AS MATERIALIZED (
    SELECT g.*, pg_catalog.nextval('o2c.invoice_id_seq') AS invoice_id
    FROM (SELECT d.grp, pg_catalog.min(d.customer_id) AS customer_id, pg_catalog.min(d.currency::text) AS currency,
                 CASE WHEN pg_catalog.min(d.order_id) = pg_catalog.max(d.order_id) THEN pg_catalog.min(d.order_id) END AS order_id,
                 CASE WHEN pg_catalog.min(d.order_id) = pg_catalog.max(d.order_id)
                      THEN coalesce(pg_catalog.min(d.customer_reference), pg_catalog.min(d.code)) END AS customer_reference,
                 pg_catalog.max(d.supply_date) AS supply_date
          FROM due d GROUP BY d.grp) g
    ORDER BY g.customer_id, g.order_id, g.grp),
  invoice AS (
    INSERT INTO o2c.invoice (company_id, id, customer_id, order_id, currency, payment_term, customer_reference, supply_date)
    SELECT company, g.invoice_id, g.customer_id, g.order_id, g.currency::o2c.currency,
           coalesce(c.payment_term, o2c._default_term(company)), pg_catalog.left(g.customer_reference, 200), g.supply_date
    FROM grp g JOIN o2c.customer c ON c.company_id = company AND c.id = g.customer_id),
  tax AS MATERIALIZED (
    SELECT d.supply_date, t.* FROM (SELECT DISTINCT g.supply_date FROM grp g) d
    CROSS JOIN LATERAL o2c._taxes(company, d.supply_date) t),
  line AS (
    INSERT INTO o2c.invoice_line (company_id, invoice_id, line_no, product_id, order_line_id, shipment_line_id, description,
                                  quantity, unit, unit_price, discount_percent, currency, tax_category, tax_rate,
                                  exemption_code, exemption_reason)
    SELECT company, g.invoice_id,
           pg_catalog.row_number() OVER (PARTITION BY g.invoice_id ORDER BY d.order_id, l.line_no),
           l.product_id, l.id, d.shipment_line_id, coalesce(nullif(l.description, ''), p.name),
           d.quantity, p.unit, l.unit_price, l.discount_percent, l.currency,
           -- a category that no rule knows is kept as it is, for the rules to name it
           coalesce(t.category, l.tax_category), coalesce(t.rate, 0), t.exemption_code, t.exemption_reason
    FROM due d
    JOIN grp g ON g.grp = d.grp
    JOIN o2c.sales_order_line l ON l.company_id = company AND l.id = d.order_line_id
    JOIN o2c.product p ON p.company_id = company AND p.id = l.product_id
    JOIN o2c.customer c ON c.company_id = company AND c.id = g.customer_id
    LEFT JOIN tax t ON t.supply_date = g.supply_date AND t.tax_category = l.tax_category AND t.country = coalesce(c.country, '')
      AND t.vat_registered = (coalesce(pg_catalog.btrim(c.vat_id), '') <> ''))
  SELECT pg_catalog.array_agg(g.invoice_id ORDER BY g.invoice_id) INTO drafts FROM grp g;

  IF drafts IS NOT NULL THEN
    PERFORM o2c._bill_shipping(company, drafts, orders);
    PERFORM o2c._deduct_prepayments(company, drafts);
    PERFORM o2c._recalculate(company, drafts);
  END IF;
  RETURN drafts;
END $$;
COMMENT ON FUNCTION o2c._bill_orders(integer, bigint[], date) IS
  'Make drafts of everything billable of these orders up to a date, grouped by policy; returns their ids.';

CREATE FUNCTION o2c._bill_shipping(company integer, drafts bigint[], orders bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM o2c.sales_order o WHERE o.company_id = company AND o.id = ANY (orders) AND o.shipping_amount > 0)
     OR (SELECT c.settings #>> '{invoice,shipping}' FROM o2c.company c WHERE c.company_id = company) = 'false' THEN
    RETURN;
  END IF;
  -- shipping shares the tax of the goods: of several categories the one with most of the order
  INSERT INTO o2c.invoice_allowance (company_id, invoice_id, charge, currency, amount, reason_code, reason,
                                     tax_category, tax_rate, exemption_code, exemption_reason, order_id, rebills_id)
  SELECT DISTINCT ON (o.id) company, v.invoice_id, true, o.currency, o.shipping_amount, 'FC', 'Freight service',
         v.tax_category, v.tax_rate, v.exemption_code, v.exemption_reason, o.id, b.id
  FROM (SELECT coalesce(l.order_id, m.order_id) AS order_id, v.invoice_id, v.tax_category, v.tax_rate, v.exemption_code,
               v.exemption_reason, pg_catalog.sum(v.net_amount) AS net
        FROM o2c.invoice_line v
        LEFT JOIN o2c.sales_order_line l ON l.company_id = company AND l.id = v.order_line_id
        LEFT JOIN o2c.billing_milestone m ON m.company_id = company AND m.id = v.milestone_id
        WHERE v.company_id = company AND v.invoice_id = ANY (drafts) GROUP BY 1, 2, 3, 4, 5, 6) v
  JOIN o2c.sales_order o ON o.company_id = company AND o.id = v.order_id AND o.shipping_amount > 0
  -- billed once, and again for each credit that took it back for that
  LEFT JOIN LATERAL (
    SELECT c.id FROM o2c.invoice_allowance a
    JOIN o2c.invoice_allowance c ON c.company_id = company AND c.original_allowance_id = a.id AND c.rebill
    JOIN o2c.invoice n ON n.company_id = company AND n.id = c.invoice_id AND n.state NOT IN ('draft', 'void')
    WHERE a.company_id = company AND a.order_id = o.id
      AND NOT EXISTS (SELECT FROM o2c.invoice_allowance x WHERE x.company_id = company AND x.rebills_id = c.id)
    ORDER BY c.id LIMIT 1) b ON true
  WHERE b.id IS NOT NULL
     OR NOT EXISTS (SELECT FROM o2c.invoice_allowance a WHERE a.company_id = company AND a.order_id = o.id)
  ORDER BY o.id, v.invoice_id, v.net DESC, v.tax_category, v.tax_rate;
END $$;
COMMENT ON FUNCTION o2c._bill_shipping(integer, bigint[], bigint[]) IS
  'Add an order''s cost of shipping, as a charge with the tax of its goods, to the first of its invoices, unless company.settings {"invoice": {"shipping": false}}.';

CREATE FUNCTION o2c._lock_prepayments(company integer, order_ids bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
BEGIN
  -- whoever credits one of them meanwhile is waited for, and then seen
  PERFORM FROM o2c.open_item i
  WHERE i.company_id = company AND i.invoice_id IN (
    SELECT p.id FROM o2c.invoice p WHERE p.company_id = company AND p.kind = 'prepayment' AND p.order_id = ANY (order_ids))
  ORDER BY i.id FOR NO KEY UPDATE;
  PERFORM FROM o2c.invoice p
  WHERE p.company_id = company AND p.kind = 'prepayment' AND p.state <> 'draft' AND p.order_id = ANY (order_ids)
  ORDER BY p.id FOR NO KEY UPDATE;
END $$;
COMMENT ON FUNCTION o2c._lock_prepayments(integer, bigint[]) IS
  'Lock prepayment invoices of orders, which are locked, and their open items.';

CREATE FUNCTION o2c._deduct_prepayments(company integer, drafts bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
BEGIN
  -- what prepayment invoices of the same order hold in the same category is
  -- taken off base and tax, oldest first, as far as the invoices have it
  IF NOT EXISTS (SELECT FROM pg_catalog.unnest(drafts) d(id)
                 CROSS JOIN LATERAL (SELECT x.order_id FROM o2c.invoice x WHERE x.company_id = company AND x.id = d.id OFFSET 0) i
                 CROSS JOIN LATERAL (SELECT FROM o2c.invoice x WHERE x.company_id = company AND x.order_id = i.order_id
                                       AND x.kind = 'prepayment' AND x.state IN ('issued', 'paid') OFFSET 0) p) THEN
    RETURN;
  END IF;
  PERFORM o2c._lock_prepayments(company, ARRAY(SELECT d.order_id FROM o2c.invoice d WHERE d.company_id = company AND d.id = ANY (drafts)));
  -- both are laid end to end, prepayments by age and drafts by id: where they
  -- overlap, one is taken off the other.  CASE and unnest, because without
  -- statistics kind and state would be taken for rare and the drafts for few,
  -- and all be compared with all
  WITH base AS (
    SELECT x.*, pg_catalog.sum(x.base) OVER (PARTITION BY x.order_id, x.currency, x.tax_category, x.tax_rate ORDER BY x.id) AS upto
    FROM (SELECT i.id, i.order_id, i.currency::text AS currency, l.tax_category, l.tax_rate, pg_catalog.sum(l.net_amount) AS base
          FROM pg_catalog.unnest(drafts) d(id)
          JOIN o2c.invoice i ON i.company_id = company AND i.id = d.id
          JOIN o2c.invoice_line l ON l.company_id = company AND l.invoice_id = i.id
          WHERE CASE i.kind WHEN 'invoice' THEN true ELSE false END
          GROUP BY 1, 2, 3, 4, 5 HAVING pg_catalog.sum(l.net_amount) > 0) x),
  advance AS (
    SELECT x.*, pg_catalog.sum(x.remaining) OVER (PARTITION BY x.order_id, x.currency, x.tax_category, x.tax_rate
                                                  ORDER BY x.issue_date, x.id) AS upto
    FROM (SELECT p.order_id, p.number, p.issue_date, p.currency::text AS currency, pl.id, pl.description, pl.tax_category, pl.tax_rate,
                 pl.exemption_code, pl.exemption_reason,
                 pl.net_amount - coalesce((SELECT pg_catalog.sum(pg_catalog.abs(u.net_amount)) FROM o2c.invoice_line u
                   JOIN o2c.invoice d ON d.company_id = company AND d.id = u.invoice_id AND d.state <> 'void'
                   WHERE u.company_id = company AND u.original_line_id = pl.id), 0) AS remaining
          FROM o2c.invoice p JOIN o2c.invoice_line pl ON pl.company_id = company AND pl.invoice_id = p.id
          WHERE p.company_id = company AND CASE p.kind WHEN 'prepayment' THEN p.state IN ('issued', 'paid') ELSE false END
            AND p.order_id IN (SELECT b.order_id FROM base b)) x
    WHERE x.remaining > 0)
  INSERT INTO o2c.invoice_line (company_id, invoice_id, line_no, original_line_id, description, quantity, unit_price, currency,
                                tax_category, tax_rate, exemption_code, exemption_reason)
  SELECT company, b.id,
         (SELECT pg_catalog.max(l.line_no) FROM o2c.invoice_line l WHERE l.company_id = company AND l.invoice_id = b.id)
         + pg_catalog.row_number() OVER (PARTITION BY b.id ORDER BY a.id),
         a.id, pg_catalog.format('%s (%s, %s)', a.description, a.number, pg_catalog.to_char(a.issue_date, 'YYYY-MM-DD')), -1, x.amount, b.currency::o2c.currency,
         a.tax_category, a.tax_rate, a.exemption_code, a.exemption_reason
  FROM base b
  -- full, because that can't be nested loops
  FULL JOIN advance a ON a.order_id = b.order_id AND a.currency = b.currency AND a.tax_category = b.tax_category AND a.tax_rate = b.tax_rate
  CROSS JOIN LATERAL (
    SELECT CASE WHEN a.id IS NOT NULL AND b.id IS NOT NULL
                THEN least(a.upto, b.upto) - greatest(a.upto - a.remaining, b.upto - b.base) ELSE 0 END AS amount) x
  WHERE x.amount > 0;
END $$;
COMMENT ON FUNCTION o2c._deduct_prepayments(integer, bigint[]) IS
  'Add lines to drafts that deduct what prepayment invoices of their order have billed already.';

CREATE FUNCTION o2c.invoice_order(company_id integer, order_id bigint) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
-- one document: planning would cost more than it saves
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
DECLARE
  drafts bigint[];
BEGIN
  IF NOT EXISTS (SELECT FROM o2c.sales_order o WHERE o.company_id = $1 AND o.id = $2) THEN
    PERFORM o2c._require_company($1);
    RAISE EXCEPTION USING ERRCODE = 'O2003',
      MESSAGE = pg_catalog.format('there is no order %s in company %s', coalesce($2::text, 'NULL'), $1);
  END IF;
  PERFORM o2c._refuse_held($1, $2, 'invoice');
  drafts := o2c._bill_orders($1, ARRAY[$2], '5000-01-01');
  IF drafts IS NULL THEN
    -- nothing new: the draft of an earlier call, if it is still one
    RETURN (SELECT pg_catalog.max(i.id) FROM o2c.invoice i
            WHERE i.company_id = $1 AND i.order_id = $2 AND i.kind = 'invoice' AND i.state = 'draft');
  END IF;
  RETURN drafts[1];
END $$;
COMMENT ON FUNCTION o2c.invoice_order(integer, bigint) IS
  'Make a draft invoice of what is shipped and not invoiced of an order and return its id; again: the same draft; NULL when nothing is to be invoiced. Errors: O2002, O2003, O2011.';

CREATE FUNCTION o2c.run_billing(company_id integer, up_to date DEFAULT NULL,
  OUT invoices bigint, OUT amount numeric)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
SET jit = off
AS $$
DECLARE
  until constant date := coalesce($2, o2c.today($1));
  orders bigint[];
  staged bigint[];
  drafts bigint[];
BEGIN
  PERFORM o2c._require_company($1);
  PERFORM o2c._require_era(until, 'up to which to bill');
  SELECT pg_catalog.array_agg(DISTINCT l.order_id) INTO orders
  FROM o2c.sales_order_line l
  JOIN o2c.sales_order o ON o.company_id = l.company_id AND o.id = l.order_id
  WHERE l.company_id = $1 AND l.invoiced < greatest(l.quantity, l.shipped) - l.returned
    AND o.state IN ('confirmed', 'fulfilling', 'fulfilled', 'closed', 'cancelled');
  -- orders that are billed by milestones come after the others, and what was prepaid of both is deducted: locked at once
  SELECT pg_catalog.array_agg(DISTINCT m.order_id) INTO staged FROM o2c.billing_milestone m
  WHERE m.company_id = $1 AND m.reached_on <= until
    AND NOT EXISTS (SELECT FROM o2c.invoice_line l WHERE l.company_id = m.company_id AND l.milestone_id = m.id);
  IF staged IS NOT NULL THEN
    PERFORM FROM o2c.sales_order o WHERE o.company_id = $1 AND o.id = ANY (orders || staged) ORDER BY o.id FOR NO KEY UPDATE;
    PERFORM o2c._lock_prepayments($1, orders || staged);
  END IF;
  drafts := coalesce(o2c._bill_orders($1, coalesce(orders, '{}'), until), '{}')
         || coalesce(o2c._bill_milestones($1, until), '{}')
         || coalesce(o2c._bill_subscriptions($1, until), '{}');
  -- amounts in different currencies have no sum
  SELECT pg_catalog.count(*), CASE WHEN pg_catalog.count(DISTINCT i.currency::text) <= 1 THEN coalesce(pg_catalog.sum(i.total_amount), 0) END
  INTO invoices, amount
  FROM o2c.invoice i WHERE i.company_id = $1 AND i.id = ANY (drafts);
END $$;
COMMENT ON FUNCTION o2c.run_billing(integer, date) IS
  'Make drafts of everything billable up to a date (default the company''s today): shipments, orders, milestones, recurring; orders that a hold keeps from being invoiced wait. Returns how many and their sum with tax, in their currency; amount is NULL when they are in several. Again: zero. Errors: O2002, O2044.';

CREATE FUNCTION o2c.drop_draft(company_id integer, invoice_id bigint) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
BEGIN
  -- the lines of its orders note that they are not billed
  PERFORM o2c._lock_billed_orders($1, ARRAY[$2]);
  PERFORM o2c._require_draft($1, $2);
  DELETE FROM o2c.invoice i WHERE i.company_id = $1 AND i.id = $2;
END $$;
COMMENT ON FUNCTION o2c.drop_draft(integer, bigint) IS
  'Delete a draft; what it billed can be billed again. No number is lost, since drafts have none. Errors: O2003, O2010.';
