-- Orders: rights.
GRANT INSERT, UPDATE ON o2c.sales_order TO o2c_clerk, o2c_manager;
GRANT INSERT, UPDATE, DELETE ON o2c.sales_order_line TO o2c_clerk, o2c_manager;
GRANT UPDATE ON o2c.stock TO o2c_manager;
GRANT INSERT, UPDATE ON o2c.hold TO o2c_clerk, o2c_manager;
GRANT INSERT, UPDATE, DELETE ON o2c.hold_reason TO o2c_admin;
GRANT INSERT ON o2c.order_version TO o2c_clerk, o2c_manager;
GRANT EXECUTE ON FUNCTION o2c.place_order, o2c.submit_order, o2c.confirm_orders, o2c.cancel_rest, o2c.close_order,
  o2c.amend_order, o2c._submit_findings, o2c._credit_findings, o2c.confirm_order, o2c.hold_order, o2c.release_order,
  o2c.cancel_order, o2c._order_label, o2c._note_reason, o2c._parse_order_lines, o2c._insert_order_lines,
  o2c.import_orders
  TO o2c_clerk, o2c_manager;
GRANT EXECUTE ON FUNCTION o2c._seed_company_order TO o2c_admin;
