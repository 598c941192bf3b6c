-- Fulfilment: rights.
GRANT INSERT, UPDATE, DELETE ON o2c.shipment_line TO o2c_clerk;
GRANT INSERT, UPDATE ON o2c.shipment TO o2c_clerk;
GRANT INSERT, UPDATE ON o2c.stock TO o2c_clerk;
GRANT EXECUTE ON FUNCTION o2c._wanted_lines, o2c._refuse_held, o2c._not_held, o2c.pick_order, o2c.pack_order, o2c.ship_order,
  o2c.ship_orders, o2c.cancel_shipment, o2c._ship, o2c._make_shipments, o2c._ship_at_once, o2c._open_shipment,
  o2c.deliver_shipment, o2c.return_goods, o2c._lock_shipment TO o2c_clerk;
GRANT EXECUTE ON FUNCTION o2c.allocate_stock, o2c.receive_goods, o2c._lock_backorders
  TO o2c_clerk, o2c_manager;
GRANT EXECUTE ON FUNCTION o2c._check_fulfilment TO o2c_clerk, o2c_collector, o2c_manager, o2c_admin, o2c_dispatcher;
