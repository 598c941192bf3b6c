-- Credit: rights.
GRANT UPDATE ON o2c.customer TO o2c_manager;
GRANT EXECUTE ON FUNCTION o2c.credit_exposure, o2c._credit_parts, o2c._credit_family
  TO o2c_reader, o2c_clerk, o2c_collector, o2c_manager, o2c_admin, o2c_dispatcher;
GRANT EXECUTE ON FUNCTION o2c._credit_forbids TO o2c_clerk, o2c_manager;
GRANT EXECUTE ON FUNCTION o2c.set_credit_limit TO o2c_manager;
