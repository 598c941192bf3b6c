-- Calendars: rights.
GRANT INSERT, UPDATE, DELETE ON o2c.holiday TO o2c_admin;
GRANT EXECUTE ON FUNCTION o2c.is_business_day, o2c._is_business_day, o2c.next_business_day
  TO o2c_clerk, o2c_collector, o2c_manager, o2c_admin, o2c_dispatcher;
