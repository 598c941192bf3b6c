-- Credit: rights.
GRANT UPDATE ON o2c.customer TO o2c_manager;
GRANT EXECUTE ON FUNCTION o2c.credit_exposure, o2c._credit_parts, o2c._credit_family, o2c._credit_rate
  TO o2c_reader, o2c_clerk, o2c_collector, o2c_manager, o2c_admin, o2c_dispatcher;
-- one column is enough to lock a row, and its guard refuses every change
GRANT UPDATE (alert_below) ON o2c.credit_account TO o2c_clerk, o2c_manager;
GRANT EXECUTE ON FUNCTION o2c._screen_orders TO o2c_clerk, o2c_manager;
GRANT INSERT, UPDATE, DELETE ON o2c.credit_increase TO o2c_manager;
GRANT EXECUTE ON FUNCTION o2c.set_credit_limit TO o2c_manager;
GRANT EXECUTE ON FUNCTION o2c._check_credit TO o2c_clerk, o2c_collector, o2c_manager, o2c_admin, o2c_dispatcher;
