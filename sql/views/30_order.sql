-- Orders: rights.
GRANT INSERT, UPDATE ON o2c.sales_order TO o2c_clerk, o2c_manager;
GRANT INSERT, UPDATE, DELETE ON o2c.sales_order_line TO o2c_clerk, o2c_manager;
GRANT INSERT, UPDATE ON o2c.stock TO o2c_manager;
GRANT INSERT, UPDATE ON o2c.hold TO o2c_clerk, o2c_manager;
GRANT INSERT, UPDATE, DELETE ON o2c.hold_reason TO o2c_admin;
GRANT INSERT ON o2c.order_version TO o2c_clerk, o2c_manager;
GRANT EXECUTE ON FUNCTION o2c.place_order, o2c.submit_order, o2c.confirm_orders, o2c.cancel_rest, o2c.close_order,
  o2c.amend_order, o2c._submit_findings, o2c._submit, o2c._credit_findings, o2c.confirm_order, o2c.hold_order,
  o2c.cancel_order, o2c.reopen_order, o2c._order_label, o2c._lock_order, o2c._reserve, o2c._note_reason, o2c._parse_order_lines, o2c._insert_order_lines,
  o2c.import_orders
  TO o2c_clerk, o2c_manager;
GRANT EXECUTE ON FUNCTION o2c.release_order, o2c._hold_over_limit TO o2c_manager;
GRANT EXECUTE ON FUNCTION o2c._seed_company_order TO o2c_admin;

CREATE OR REPLACE VIEW o2c_bi.open_orders WITH (security_invoker = true) AS
SELECT s.company_id, s.id AS order_id, s.code AS order_code, c.code AS customer_code,
       c.name AS customer_name, s.state::text AS state, s.ordered_on, s.promised_on, s.currency::text AS currency,
       s.total_amount, l.line_no::bigint AS line_no, p.code AS product_code, l.quantity, l.cancelled, l.reserved, l.picked,
       l.shipped, l.returned, l.invoiced, l.quantity - l.cancelled - l.shipped AS open_quantity,
       greatest(l.quantity - l.cancelled - l.shipped - l.reserved, 0) AS backordered,
       pg_catalog.round(l.net_amount * (l.quantity - l.cancelled - l.shipped) / l.quantity,
                        coalesce(o2c.minor_unit(l.currency), 2)) AS open_amount,
       (SELECT pg_catalog.string_agg(h.reason, ', ' ORDER BY h.id) FROM o2c.hold h
        WHERE h.company_id = s.company_id AND h.order_id = s.id AND h.released_at IS NULL
          AND (h.expires_at IS NULL OR h.expires_at > pg_catalog.now())) AS holds
FROM o2c.sales_order s
JOIN o2c.customer c ON c.company_id = s.company_id AND c.id = s.customer_id
JOIN o2c.sales_order_line l ON l.company_id = s.company_id AND l.order_id = s.id
JOIN o2c.product p ON p.company_id = l.company_id AND p.id = l.product_id
WHERE s.state NOT IN ('fulfilled', 'closed', 'cancelled') AND l.quantity - l.cancelled - l.shipped > 0;
COMMENT ON VIEW o2c_bi.open_orders IS 'Every order line of which something is still to be delivered.';

CREATE OR REPLACE VIEW o2c_bi.order_cycle WITH (security_invoker = true) AS
SELECT s.company_id, s.id AS order_id, s.code AS order_code, c.code AS customer_code,
       s.state::text AS state, e.submitted_at, e.confirmed_at, h.first_shipped_at, e.fulfilled_at, e.closed_at, v.invoiced_at,
       pg_catalog.round(extract(epoch FROM e.submitted_at - e.placed_at) / 3600, 2) AS hours_to_submit,
       pg_catalog.round(extract(epoch FROM e.confirmed_at - e.submitted_at) / 3600, 2) AS hours_to_confirm,
       pg_catalog.round(extract(epoch FROM h.first_shipped_at - e.confirmed_at) / 3600, 2) AS hours_to_ship,
       pg_catalog.round(extract(epoch FROM e.fulfilled_at - h.first_shipped_at) / 3600, 2) AS hours_to_fulfil,
       pg_catalog.round(extract(epoch FROM v.invoiced_at - h.first_shipped_at) / 3600, 2) AS hours_to_invoice,
       pg_catalog.round(x.hours_on_hold, 2) AS hours_on_hold
FROM o2c.sales_order s
JOIN o2c.customer c ON c.company_id = s.company_id AND c.id = s.customer_id
LEFT JOIN LATERAL (
  SELECT pg_catalog.min(n.at) FILTER (WHERE n.to_state = 'draft') AS placed_at,
         pg_catalog.min(n.at) FILTER (WHERE n.to_state = 'submitted') AS submitted_at,
         pg_catalog.min(n.at) FILTER (WHERE n.to_state = 'confirmed') AS confirmed_at,
         pg_catalog.max(n.at) FILTER (WHERE n.to_state = 'fulfilled') AS fulfilled_at,
         pg_catalog.max(n.at) FILTER (WHERE n.to_state = 'closed') AS closed_at
  FROM o2c.event n WHERE n.company_id = s.company_id AND n.entity = 'order' AND n.entity_id = s.id) e ON true
LEFT JOIN LATERAL (
  SELECT pg_catalog.min(n.at) AS first_shipped_at
  FROM o2c.shipment t JOIN o2c.event n ON n.company_id = t.company_id AND n.entity = 'shipment' AND n.entity_id = t.id AND n.to_state = 'shipped'
  WHERE t.company_id = s.company_id AND t.order_id = s.id) h ON true
LEFT JOIN LATERAL (
  SELECT pg_catalog.min(i.issued_at) AS invoiced_at FROM o2c.invoice i
  WHERE i.company_id = s.company_id AND i.order_id = s.id AND i.kind = 'invoice') v ON true
LEFT JOIN LATERAL (
  SELECT pg_catalog.sum(extract(epoch FROM coalesce(d.released_at, least(d.expires_at, pg_catalog.now()), pg_catalog.now()) - d.placed_at)) / 3600 AS hours_on_hold
  FROM o2c.hold d WHERE d.company_id = s.company_id AND d.order_id = s.id) x ON true;
COMMENT ON VIEW o2c_bi.order_cycle IS 'Hours that each order spent per stage, from the event log.';
GRANT EXECUTE ON FUNCTION o2c._check_order TO o2c_clerk, o2c_collector, o2c_manager, o2c_admin, o2c_dispatcher;
COMMENT ON COLUMN o2c_bi.open_orders.company_id IS 'Company.';
COMMENT ON COLUMN o2c_bi.open_orders.order_id IS 'Id of the order.';
COMMENT ON COLUMN o2c_bi.open_orders.order_code IS 'The user''s code of the order.';
COMMENT ON COLUMN o2c_bi.open_orders.customer_code IS 'Customer.';
COMMENT ON COLUMN o2c_bi.open_orders.customer_name IS 'Name of the customer.';
COMMENT ON COLUMN o2c_bi.open_orders.state IS 'State of the order.';
COMMENT ON COLUMN o2c_bi.open_orders.ordered_on IS 'Date of the order.';
COMMENT ON COLUMN o2c_bi.open_orders.promised_on IS 'Date promised to the customer.';
COMMENT ON COLUMN o2c_bi.open_orders.currency IS 'Currency of the order.';
COMMENT ON COLUMN o2c_bi.open_orders.total_amount IS 'Net total of the whole order.';
COMMENT ON COLUMN o2c_bi.open_orders.line_no IS 'Line of the order.';
COMMENT ON COLUMN o2c_bi.open_orders.product_code IS 'Product of the line.';
COMMENT ON COLUMN o2c_bi.open_orders.quantity IS 'Ordered quantity.';
COMMENT ON COLUMN o2c_bi.open_orders.cancelled IS 'Quantity that will not be delivered.';
COMMENT ON COLUMN o2c_bi.open_orders.reserved IS 'Quantity reserved on stock.';
COMMENT ON COLUMN o2c_bi.open_orders.picked IS 'Quantity in shipments, shipped ones included.';
COMMENT ON COLUMN o2c_bi.open_orders.shipped IS 'Quantity that has left.';
COMMENT ON COLUMN o2c_bi.open_orders.returned IS 'Quantity that came back.';
COMMENT ON COLUMN o2c_bi.open_orders.invoiced IS 'Quantity on draft and issued invoices.';
COMMENT ON COLUMN o2c_bi.open_orders.open_quantity IS 'Quantity still to be delivered.';
COMMENT ON COLUMN o2c_bi.open_orders.backordered IS 'Open quantity that is not reserved.';
COMMENT ON COLUMN o2c_bi.open_orders.open_amount IS 'Net amount of the open quantity.';
COMMENT ON COLUMN o2c_bi.open_orders.holds IS 'Reasons of the open holds.';
COMMENT ON COLUMN o2c_bi.order_cycle.company_id IS 'Company.';
COMMENT ON COLUMN o2c_bi.order_cycle.order_id IS 'Id of the order.';
COMMENT ON COLUMN o2c_bi.order_cycle.order_code IS 'The user''s code of the order.';
COMMENT ON COLUMN o2c_bi.order_cycle.customer_code IS 'Customer.';
COMMENT ON COLUMN o2c_bi.order_cycle.state IS 'State of the order.';
COMMENT ON COLUMN o2c_bi.order_cycle.submitted_at IS 'First submitted.';
COMMENT ON COLUMN o2c_bi.order_cycle.confirmed_at IS 'First confirmed.';
COMMENT ON COLUMN o2c_bi.order_cycle.first_shipped_at IS 'First goods left.';
COMMENT ON COLUMN o2c_bi.order_cycle.fulfilled_at IS 'Everything had left.';
COMMENT ON COLUMN o2c_bi.order_cycle.closed_at IS 'Closed.';
COMMENT ON COLUMN o2c_bi.order_cycle.invoiced_at IS 'First invoice issued.';
COMMENT ON COLUMN o2c_bi.order_cycle.hours_to_submit IS 'Hours from placing to submission.';
COMMENT ON COLUMN o2c_bi.order_cycle.hours_to_confirm IS 'Hours from submission to confirmation.';
COMMENT ON COLUMN o2c_bi.order_cycle.hours_to_ship IS 'Hours from confirmation to the first shipment.';
COMMENT ON COLUMN o2c_bi.order_cycle.hours_to_fulfil IS 'Hours from the first to the last shipment.';
COMMENT ON COLUMN o2c_bi.order_cycle.hours_to_invoice IS 'Hours from the first shipment to the first invoice.';
COMMENT ON COLUMN o2c_bi.order_cycle.hours_on_hold IS 'Hours of all holds together.';
