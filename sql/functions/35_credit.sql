-- Credit: exposure of customers and their limits.
--
-- The accounts are kept by C triggers (src/credit); here are their
-- declarations, what users call, and the proof from the documents.

CREATE FUNCTION o2c.credit_on_customers() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'o2c_credit_on_customers';
COMMENT ON FUNCTION o2c.credit_on_customers() IS
  'Statement trigger of customer: keeps accounts in step with limit, currency and group (O2033).';

CREATE FUNCTION o2c.credit_on_increases() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'o2c_credit_on_increases';
COMMENT ON FUNCTION o2c.credit_on_increases() IS
  'Statement trigger of credit_increase: notes on the account that the limit may be higher.';

CREATE FUNCTION o2c.credit_on_orders() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'o2c_credit_on_orders';
COMMENT ON FUNCTION o2c.credit_on_orders() IS
  'Statement trigger of sales_order: takes credit and refuses a confirmation over the limit (O2020), on hold (O2011) or without stock (O2013).';

CREATE FUNCTION o2c.credit_on_items() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'o2c_credit_on_items';
COMMENT ON FUNCTION o2c.credit_on_items() IS
  'Statement trigger of open_item: carries what is open and what is unapplied to the accounts.';

CREATE FUNCTION o2c.credit_on_payments() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'o2c_credit_on_payments';
COMMENT ON FUNCTION o2c.credit_on_payments() IS
  'Statement trigger of payment: carries what can still bounce to the accounts.';

CREATE FUNCTION o2c.credit_receipt() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'o2c_credit_receipt';
COMMENT ON FUNCTION o2c.credit_receipt() IS
  'Row trigger of payment: until when it can bounce, by the company''s setting for its method; nothing once it is returned.';

CREATE FUNCTION o2c.credit_settings() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'o2c_credit_settings';
COMMENT ON FUNCTION o2c.credit_settings() IS
  'Row trigger of company: refuses settings "credit_horizon_days" and "credit_return_days" that are no days (O2004).';

CREATE FUNCTION o2c.credit_on_invoices() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'o2c_credit_on_invoices';
COMMENT ON FUNCTION o2c.credit_on_invoices() IS
  'Statement trigger of invoice: what an issued invoice bills is noted on the order lines, which then no longer count.';

CREATE FUNCTION o2c._screen_orders(company_id integer, order_ids bigint[], as_of date DEFAULT NULL)
RETURNS TABLE (order_id bigint, verdict text, note text)
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'o2c_credit_screen';
COMMENT ON FUNCTION o2c._screen_orders(integer, bigint[], date) IS
  'Lock stock and accounts and say of each order, by oldest promise, whether it may be confirmed, or once confirmed take credit: verdict NULL, stock or credit. An order beyond the horizon of as_of (NULL: today) takes none.';

CREATE FUNCTION o2c._settle_exposure(company_id integer, as_of date, OUT receipts bigint, OUT orders bigint, OUT held bigint)
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'o2c_credit_settle';
COMMENT ON FUNCTION o2c._settle_exposure(integer, date) IS 'See o2c.settle_exposure(). Errors: O2002.';

CREATE FUNCTION o2c._unchanged_account(same boolean) RETURNS boolean
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'o2c_credit_unchanged_account';
COMMENT ON FUNCTION o2c._unchanged_account(boolean) IS
  'True; what is false is refused (40001): an account that was locked has another group or currency than was read.';

CREATE FUNCTION o2c._lock_posting(company integer, item_ids bigint[], invoice_ids bigint[] DEFAULT NULL, customer_ids bigint[] DEFAULT NULL)
RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'o2c_credit_lock_posting';
COMMENT ON FUNCTION o2c._lock_posting(integer, bigint[], bigint[], bigint[]) IS
  'Lock until the end of the transaction what will be posted to in several statements: open items, those of invoices, their invoices, and the credit accounts of their customers, of further ones and of everybody above them, in the order of all locks. Errors: O2002, 40001.';

CREATE FUNCTION o2c._credit_thresholds(company integer) RETURNS integer[]
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  SELECT coalesce((SELECT pg_catalog.array_agg(e.p::integer ORDER BY e.p::integer)
    FROM o2c.company c
    CROSS JOIN LATERAL pg_catalog.jsonb_array_elements_text(
      CASE pg_catalog.jsonb_typeof(c.settings -> 'credit_alerts') WHEN 'array' THEN c.settings -> 'credit_alerts' ELSE '[]' END) e(p)
    WHERE c.company_id = company AND e.p ~ '^[1-9][0-9]{0,3}$'), '{80,90,100}')
$$;
COMMENT ON FUNCTION o2c._credit_thresholds(integer) IS
  'Percent of the limit at which a company is alerted: company.settings {"credit_alerts": [...]}, else 80, 90 and 100.';

CREATE FUNCTION o2c._credit_rate(company integer, from_currency text, to_currency text) RETURNS numeric
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  SELECT CASE WHEN $2 = $3 THEN 1 ELSE
    (SELECT CASE WHEN r.from_currency = $2 THEN r.rate ELSE 1 / r.rate END
     FROM o2c.exchange_rate r
     WHERE r.company_id = $1 AND r.valid_from <= o2c.today($1)
       AND ((r.from_currency = $2 AND r.to_currency = $3) OR (r.from_currency = $3 AND r.to_currency = $2))
     ORDER BY r.valid_from DESC, (r.from_currency = $2) DESC LIMIT 1) END
$$;
COMMENT ON FUNCTION o2c._credit_rate(integer, text, text) IS
  'Today''s exchange rate, or NULL when there is none: a payment is never refused for want of a rate.';

CREATE FUNCTION o2c._credit_parts(company integer)
RETURNS TABLE (customer_id bigint, currency o2c.currency, open_orders numeric, shipped_not_invoiced numeric,
               open_items numeric, unapplied numeric, returnable numeric)
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  SELECT x.customer_id, x.currency, pg_catalog.sum(x.oo), pg_catalog.sum(x.sni), pg_catalog.sum(x.oi), pg_catalog.sum(x.ua), pg_catalog.sum(x.rt)
  FROM (
    SELECT s.customer_id, s.currency, CASE WHEN s.deferred THEN 0 ELSE
             o2c.round_amount(l.net_amount * greatest(greatest(l.quantity - l.cancelled, l.shipped) - l.returned - l.billed - l.quantity * s.milestone_percent * 0.01, 0) / l.quantity, l.currency)
             - o2c.round_amount(l.net_amount * greatest(l.shipped - l.returned - l.billed - l.quantity * s.milestone_percent * 0.01, 0) / l.quantity, l.currency) END AS oo,
           o2c.round_amount(l.net_amount * greatest(l.shipped - l.returned - l.billed - l.quantity * s.milestone_percent * 0.01, 0) / l.quantity, l.currency) AS sni,
           0 AS oi, 0 AS ua, 0 AS rt
    FROM o2c.sales_order s JOIN o2c.sales_order_line l ON l.company_id = s.company_id AND l.order_id = s.id
    WHERE s.company_id = company AND s.state IN ('confirmed', 'fulfilling', 'fulfilled')
    UNION ALL
    SELECT b.customer_id, b.currency, 0, 0, greatest(b.open_amount, 0), -least(b.open_amount, 0), 0
    FROM o2c.open_balance b WHERE b.company_id = company AND b.customer_id IS NOT NULL
    UNION ALL
    SELECT p.customer_id, p.currency, 0, 0, 0, p.advance_amount, 0
    FROM o2c.invoice p WHERE p.company_id = company AND p.advance_amount <> 0
    UNION ALL
    SELECT m.customer_id, m.currency, 0, 0, 0, 0, m.returnable_amount
    FROM o2c.payment m WHERE m.company_id = company AND m.returnable_amount <> 0 AND m.customer_id IS NOT NULL) x
  GROUP BY 1, 2
$$;
COMMENT ON FUNCTION o2c._credit_parts(integer) IS
  'Exposure of every customer of a company and currency, computed from the documents.';

CREATE FUNCTION o2c._credit_family(company integer, customer_code text)
RETURNS TABLE (customer_id bigint)
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  WITH RECURSIVE family(id, code) AS (
    SELECT c.id, c.code FROM o2c.customer c WHERE c.company_id = company AND c.code = customer_code
    UNION
    SELECT c.id, c.code FROM family f JOIN o2c.customer c ON c.company_id = company AND c.parent_code = f.code)
  SELECT f.id FROM family f
$$;
COMMENT ON FUNCTION o2c._credit_family(integer, text) IS 'A customer and everybody below it.';

CREATE FUNCTION o2c.credit_exposure(company_id integer, customer_code text,
  OUT credit_limit numeric, OUT exposure numeric, OUT available numeric, OUT ratio numeric, OUT open_items numeric,
  OUT open_orders numeric, OUT shipped_not_invoiced numeric, OUT unapplied numeric, OUT currency text, OUT prepaid numeric,
  OUT returnable numeric)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  customer bigint := o2c._customer_id($1, $2);
  limit_currency o2c.currency;
BEGIN
  SELECT c.credit_limit, c.currency, c.currency INTO credit_limit, currency, limit_currency
  FROM o2c.customer c WHERE c.company_id = $1 AND c.id = customer;
  SELECT coalesce(pg_catalog.sum(o2c.round_amount(a.open_items * r.rate, limit_currency)), 0),
         coalesce(pg_catalog.sum(o2c.round_amount(a.open_orders * r.rate, limit_currency)), 0),
         coalesce(pg_catalog.sum(o2c.round_amount(a.shipped_not_invoiced * r.rate, limit_currency)), 0),
         coalesce(pg_catalog.sum(o2c.round_amount(a.unapplied * r.rate, limit_currency)), 0),
         coalesce(pg_catalog.sum(o2c.round_amount(a.returnable * r.rate, limit_currency)), 0)
  INTO open_items, open_orders, shipped_not_invoiced, unapplied, returnable
  FROM o2c.credit_account a
  CROSS JOIN LATERAL (SELECT CASE WHEN a.currency = limit_currency THEN 1
    ELSE o2c.exchange_rate_on($1, a.currency, limit_currency, o2c.today($1)) END AS rate) r
  WHERE a.company_id = $1 AND a.customer_id IN (SELECT f.customer_id FROM o2c._credit_family($1, $2) f)
    AND (a.open_items, a.open_orders, a.shipped_not_invoiced, a.unapplied, a.returnable) <> (0, 0, 0, 0, 0);
  SELECT coalesce(pg_catalog.sum(o2c.round_amount(p.advance_amount * r.rate, limit_currency)), 0) INTO prepaid
  FROM o2c.invoice p
  CROSS JOIN LATERAL (SELECT CASE WHEN p.currency = limit_currency THEN 1
    ELSE o2c.exchange_rate_on($1, p.currency, limit_currency, o2c.today($1)) END AS rate) r
  WHERE p.company_id = $1 AND p.customer_id IN (SELECT f.customer_id FROM o2c._credit_family($1, $2) f) AND p.advance_amount <> 0;
  exposure := open_items + open_orders + shipped_not_invoiced + returnable - unapplied;
  -- accounts hold both as one
  unapplied := unapplied - prepaid;
  credit_limit := credit_limit + coalesce((SELECT pg_catalog.sum(i.amount) FROM o2c.credit_increase i
    WHERE i.company_id = $1 AND i.customer_id = customer AND o2c.today($1) BETWEEN i.valid_from AND i.valid_to), 0);
  available := credit_limit - exposure;
  ratio := pg_catalog.round(exposure / nullif(credit_limit, 0), 6);
END $$;
COMMENT ON FUNCTION o2c.credit_exposure(integer, text) IS
  'What a customer and those below it owe or have ordered, in the currency of the limit: exposure = open_items + open_orders (those within the horizon) + shipped_not_invoiced + returnable (receipts that can still bounce) - unapplied - prepaid (net of prepayment invoices settled and not yet deducted). The limit has what o2c.credit_increase adds today; limit, available and ratio are NULL when unlimited. Errors: O2002, O2003.';

CREATE FUNCTION o2c.set_credit_limit(company_id integer, customer_code text, credit_limit numeric, reason text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  customer bigint := o2c._customer_id($1, customer_code);
  use_currency o2c.currency;
  was numeric;
BEGIN
  SELECT c.currency, c.credit_limit INTO use_currency, was
  FROM o2c.customer c WHERE c.company_id = $1 AND c.id = customer FOR NO KEY UPDATE;
  IF $3 < 0 OR NOT o2c.is_amount($3, use_currency) THEN
    RAISE EXCEPTION USING ERRCODE = 'O2043',
      MESSAGE = pg_catalog.format('%s is not a credit limit in %s', $3, use_currency),
      HINT = 'A limit is zero or more with the currency''s decimals; NULL is unlimited.';
  END IF;
  IF was IS DISTINCT FROM $3 THEN
    UPDATE o2c.customer c SET credit_limit = $3 WHERE c.company_id = $1 AND c.id = customer;
    INSERT INTO o2c.event (company_id, entity, entity_id, event, reason, data)
    VALUES ($1, 'customer', customer, 'credit_limit', $4,
            pg_catalog.jsonb_build_object('from', was, 'to', $3, 'currency', use_currency::text));
  END IF;
END $$;
COMMENT ON FUNCTION o2c.set_credit_limit(integer, text, numeric, text) IS
  'Set a customer''s limit in its currency (NULL is unlimited, 0 no credit) and note why. Errors: O2002, O2003, O2043.';

CREATE FUNCTION o2c.settle_exposure(company_id integer, as_of date DEFAULT NULL,
  OUT receipts bigint, OUT orders bigint, OUT held bigint)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
BEGIN
  PERFORM o2c._require_company($1);
  IF NOT coalesce(pg_catalog.isfinite($2), true) THEN
    RAISE EXCEPTION USING ERRCODE = 'O2044', MESSAGE = 'the date must be finite';
  END IF;
  SELECT s.* INTO receipts, orders, held FROM o2c._settle_exposure($1, coalesce($2, o2c.today($1))) s;
END $$;
COMMENT ON FUNCTION o2c.settle_exposure(integer, date) IS
  'Bring credit to a day (default: today), as the job "credit" does daily: receipts that can no longer bounce leave the exposure, orders that have come inside the horizon enter it and those beyond leave it. An order for which there is no room is put on hold. Returns how many receipts became final, orders moved and orders were held; again: zero. Errors: O2002, O2044.';
