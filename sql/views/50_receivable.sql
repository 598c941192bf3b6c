-- The subledger: rights.  Reporting views stand in 80_analytics.sql.
GRANT INSERT ON o2c.open_item, o2c.ledger_entry, o2c.allocation TO o2c_clerk, o2c_manager, o2c_admin;
GRANT UPDATE (structured_ref, alt_number, disputed_amount) ON o2c.open_item
  TO o2c_clerk, o2c_collector, o2c_manager, o2c_admin;
GRANT UPDATE (discount_date, discount_amount) ON o2c.open_item TO o2c_manager, o2c_admin;
GRANT INSERT, UPDATE (closed_at, closed_by) ON o2c.period TO o2c_manager, o2c_admin;
GRANT EXECUTE ON FUNCTION o2c.import_open_items TO o2c_admin;
GRANT EXECUTE ON FUNCTION o2c._require_effective TO o2c_clerk, o2c_collector, o2c_manager, o2c_admin, o2c_dispatcher;
GRANT EXECUTE ON FUNCTION o2c.write_off, o2c.reverse_entry, o2c.close_period, o2c.reopen_period TO o2c_manager, o2c_admin;
GRANT EXECUTE ON FUNCTION o2c.aging, o2c._aging, o2c._aging_path, o2c._aging_summary, o2c._open_item_by_number
  TO o2c_reader, o2c_clerk, o2c_collector, o2c_manager, o2c_admin, o2c_dispatcher;
GRANT EXECUTE ON FUNCTION o2c._check_receivable TO o2c_clerk, o2c_collector, o2c_manager, o2c_admin, o2c_dispatcher;
