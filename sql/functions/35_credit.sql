-- Credit: exposure of customers and their limits.

CREATE FUNCTION o2c._credit_parts(company integer)
RETURNS TABLE (customer_id bigint, currency o2c.currency, open_orders numeric, shipped_not_invoiced numeric,
               open_items numeric, unapplied numeric)
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  SELECT x.customer_id, x.currency, pg_catalog.sum(x.oo), pg_catalog.sum(x.sni), pg_catalog.sum(x.oi), pg_catalog.sum(x.ua)
  FROM (
    SELECT s.customer_id, s.currency,
           o2c.round_amount(l.net_amount * greatest(greatest(l.quantity - l.cancelled, l.shipped) - l.returned - l.invoiced, 0) / l.quantity, l.currency)
           - o2c.round_amount(l.net_amount * greatest(l.shipped - l.returned - l.invoiced, 0) / l.quantity, l.currency) AS oo,
           o2c.round_amount(l.net_amount * greatest(l.shipped - l.returned - l.invoiced, 0) / l.quantity, l.currency) AS sni,
           0 AS oi, 0 AS ua
    FROM o2c.sales_order s JOIN o2c.sales_order_line l ON l.company_id = s.company_id AND l.order_id = s.id
    WHERE s.company_id = company AND s.state IN ('confirmed', 'fulfilling', 'fulfilled')
    UNION ALL
    SELECT i.customer_id, i.currency, 0, 0, greatest(i.open_amount, 0), -least(i.open_amount, 0)
    FROM o2c.open_item i WHERE i.company_id = company AND i.open_amount <> 0 AND i.customer_id IS NOT NULL) x
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
  OUT open_orders numeric, OUT shipped_not_invoiced numeric, OUT unapplied numeric, OUT currency text)
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
  SELECT coalesce(pg_catalog.sum(o2c.round_amount(p.open_items * r.rate, limit_currency)), 0),
         coalesce(pg_catalog.sum(o2c.round_amount(p.open_orders * r.rate, limit_currency)), 0),
         coalesce(pg_catalog.sum(o2c.round_amount(p.shipped_not_invoiced * r.rate, limit_currency)), 0),
         coalesce(pg_catalog.sum(o2c.round_amount(p.unapplied * r.rate, limit_currency)), 0)
  INTO open_items, open_orders, shipped_not_invoiced, unapplied
  FROM o2c._credit_parts($1) p
  CROSS JOIN LATERAL (SELECT o2c.exchange_rate_on($1, p.currency, limit_currency, o2c.today($1)) AS rate) r
  WHERE p.customer_id IN (SELECT f.customer_id FROM o2c._credit_family($1, $2) f);
  exposure := open_items + open_orders + shipped_not_invoiced - unapplied;
  available := credit_limit - exposure;
  ratio := pg_catalog.round(exposure / nullif(credit_limit, 0), 6);
END $$;
COMMENT ON FUNCTION o2c.credit_exposure(integer, text) IS
  'What a customer and those below it owe or have ordered, in the currency of the limit; limit, available and ratio are NULL when unlimited. Errors: O2002, O2003.';

CREATE FUNCTION o2c._credit_forbids(company integer, customer bigint, amount numeric, currency o2c.currency) RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
DECLARE
  c record;
  e record;
BEGIN
  FOR c IN
    WITH RECURSIVE chain(code, parent_code) AS (
      SELECT k.code, k.parent_code FROM o2c.customer k WHERE k.company_id = company AND k.id = customer
      UNION
      SELECT k.code, k.parent_code FROM chain h JOIN o2c.customer k ON k.company_id = company AND k.code = h.parent_code)
    SELECT k.id, k.code, k.currency, k.credit_limit FROM o2c.customer k
    WHERE k.company_id = company AND k.code IN (SELECT h.code FROM chain h)
    ORDER BY k.id FOR NO KEY UPDATE
  LOOP
    SELECT * INTO e FROM o2c.credit_exposure(company, c.code);
    IF e.exposure + amount * o2c.exchange_rate_on(company, currency, c.currency, o2c.today(company)) > c.credit_limit THEN
      RETURN pg_catalog.format('customer "%s": exposure %s and this order of %s are over the limit of %s %s',
                               c.code, e.exposure, amount, c.credit_limit, c.currency);
    END IF;
  END LOOP;
  RETURN NULL;
END $$;
COMMENT ON FUNCTION o2c._credit_forbids(integer, bigint, numeric, o2c.currency) IS
  'Why a customer may not order an amount more; NULL when it may.';

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
