-- Fulfilment: rights.
GRANT INSERT, UPDATE ON o2c.shipment, o2c.shipment_line TO o2c_clerk;
GRANT UPDATE ON o2c.stock TO o2c_clerk;
GRANT EXECUTE ON FUNCTION o2c._wanted_lines, o2c._blocked_by, o2c.pick_order, o2c.pack_order, o2c.ship_order,
  o2c.deliver_shipment, o2c.return_goods TO o2c_clerk;
