-- Tax: rights.
GRANT INSERT, UPDATE, DELETE ON o2c.tax_rate, o2c.tax_rule TO o2c_admin;
GRANT EXECUTE ON FUNCTION o2c._seed_company_tax TO o2c_admin;
GRANT EXECUTE ON FUNCTION o2c._eu_countries, o2c._destination, o2c._taxes, o2c.tax_for
  TO o2c_clerk, o2c_collector, o2c_manager, o2c_admin, o2c_dispatcher;
