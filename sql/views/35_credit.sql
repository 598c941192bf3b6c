-- Credit: rights.
GRANT UPDATE ON o2c.customer TO o2c_manager;
GRANT EXECUTE ON FUNCTION o2c._unchanged_account, o2c._lock_posting TO o2c_clerk, o2c_collector, o2c_manager, o2c_admin;
GRANT EXECUTE ON FUNCTION o2c.credit_exposure, o2c._credit_parts, o2c._credit_family, o2c._credit_rate, o2c._credit_thresholds, o2c._credit_horizon
  TO o2c_reader, o2c_clerk, o2c_collector, o2c_manager, o2c_admin, o2c_dispatcher;
-- one column is enough to lock a row, and its guard refuses every change
GRANT UPDATE (alert_below) ON o2c.credit_account TO o2c_clerk, o2c_manager;
GRANT EXECUTE ON FUNCTION o2c._screen_orders TO o2c_clerk, o2c_manager;
GRANT INSERT, UPDATE, DELETE ON o2c.credit_increase TO o2c_manager;
GRANT INSERT, UPDATE, DELETE ON o2c.credit_rule TO o2c_manager, o2c_admin;
GRANT EXECUTE ON FUNCTION o2c.settle_exposure, o2c._settle_exposure TO o2c_manager, o2c_admin;
GRANT EXECUTE ON FUNCTION o2c.set_credit_limit, o2c.raise_credit_limit, o2c.classify_risk TO o2c_manager;
GRANT EXECUTE ON FUNCTION o2c._check_credit TO o2c_clerk, o2c_collector, o2c_manager, o2c_admin, o2c_dispatcher;

CREATE OR REPLACE VIEW o2c_bi.credit WITH (security_invoker = true) AS
SELECT a.company_id, c.code AS customer_code, c.name AS customer_name, c.currency::text AS currency,
       a.credit_limit + coalesce(i.amount, 0) AS credit_limit, x.exposure,
       a.credit_limit + coalesce(i.amount, 0) - x.exposure AS available,
       pg_catalog.round(x.exposure / nullif(a.credit_limit + coalesce(i.amount, 0), 0), 6) AS ratio,
       x.open_items, x.open_orders, x.shipped_not_invoiced, x.unapplied, x.group_exposure,
       c.risk_class, c.parent_code, a.alert_level::bigint AS alert_level, x.returnable
FROM o2c.credit_account a
JOIN o2c.customer c ON c.company_id = a.company_id AND c.id = a.customer_id
CROSS JOIN LATERAL (
  SELECT pg_catalog.sum(o2c.round_amount(k.open_items * r.rate, c.currency)) AS open_items,
         pg_catalog.sum(o2c.round_amount(k.open_orders * r.rate, c.currency)) AS open_orders,
         pg_catalog.sum(o2c.round_amount(k.shipped_not_invoiced * r.rate, c.currency)) AS shipped_not_invoiced,
         pg_catalog.sum(o2c.round_amount(k.unapplied * r.rate, c.currency)) AS unapplied,
         pg_catalog.sum(o2c.round_amount(k.returnable * r.rate, c.currency)) AS returnable,
         pg_catalog.sum(o2c.round_amount(k.group_exposure * r.rate, c.currency)) AS group_exposure,
         pg_catalog.sum(o2c.round_amount((k.open_items + k.open_orders + k.shipped_not_invoiced + k.returnable - k.unapplied) * r.rate, c.currency)) AS exposure
  FROM o2c.credit_account k
  CROSS JOIN LATERAL (SELECT CASE WHEN k.head THEN 1 ELSE o2c._credit_rate(k.company_id, k.currency, c.currency) END AS rate) r
  WHERE k.company_id = a.company_id AND k.customer_id = a.customer_id) x
LEFT JOIN LATERAL (
  SELECT pg_catalog.sum(n.amount) AS amount FROM o2c.credit_increase n
  WHERE a.temporary AND n.company_id = a.company_id AND n.customer_id = a.customer_id
    AND o2c.today(a.company_id) BETWEEN n.valid_from AND n.valid_to) i ON true
WHERE a.head;
COMMENT ON VIEW o2c_bi.credit IS
  'Limit and exposure of each customer, in the currency of its limit; group_exposure has those below it too.';
COMMENT ON COLUMN o2c_bi.credit.company_id IS 'Company.';
COMMENT ON COLUMN o2c_bi.credit.customer_code IS 'Customer.';
COMMENT ON COLUMN o2c_bi.credit.customer_name IS 'Name of the customer.';
COMMENT ON COLUMN o2c_bi.credit.currency IS 'Currency of the limit, in which all amounts are.';
COMMENT ON COLUMN o2c_bi.credit.credit_limit IS 'Limit with what is added today; NULL is unlimited.';
COMMENT ON COLUMN o2c_bi.credit.exposure IS 'Open items, open orders, unbilled shipments and receipts that can still bounce, less unapplied credits of the customer.';
COMMENT ON COLUMN o2c_bi.credit.available IS 'Limit less exposure.';
COMMENT ON COLUMN o2c_bi.credit.ratio IS 'Exposure by limit.';
COMMENT ON COLUMN o2c_bi.credit.open_items IS 'Open debits.';
COMMENT ON COLUMN o2c_bi.credit.open_orders IS 'Ordered and not shipped, as far as it is within the horizon.';
COMMENT ON COLUMN o2c_bi.credit.shipped_not_invoiced IS 'Shipped and not on an issued invoice.';
COMMENT ON COLUMN o2c_bi.credit.unapplied IS 'Payments and credit notes not yet applied.';
COMMENT ON COLUMN o2c_bi.credit.group_exposure IS 'Exposure with that of all customers below.';
COMMENT ON COLUMN o2c_bi.credit.risk_class IS 'Risk class.';
COMMENT ON COLUMN o2c_bi.credit.parent_code IS 'Customer whose limit holds for the group.';
COMMENT ON COLUMN o2c_bi.credit.alert_level IS 'Highest threshold announced, in percent.';
COMMENT ON COLUMN o2c_bi.credit.returnable IS 'Receipts that can still bounce.';
