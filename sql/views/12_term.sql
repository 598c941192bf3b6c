-- Payment terms: rights.
GRANT INSERT, UPDATE, DELETE ON o2c.payment_term, o2c.payment_term_line TO o2c_admin;
GRANT EXECUTE ON FUNCTION o2c.seed_holidays, o2c._seed_company_term TO o2c_admin;
GRANT EXECUTE ON FUNCTION o2c._due_date, o2c._dated_term, o2c._roll_date, o2c._term_schedule, o2c.due_dates
  TO o2c_clerk, o2c_collector, o2c_manager, o2c_admin, o2c_dispatcher;
