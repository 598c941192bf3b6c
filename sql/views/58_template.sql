-- Templates: rights.
GRANT INSERT, UPDATE ON o2c.template TO o2c_admin;
GRANT INSERT, UPDATE, DELETE ON o2c.template_variable TO o2c_admin;
GRANT EXECUTE ON FUNCTION o2c.save_template TO o2c_admin;
GRANT EXECUTE ON FUNCTION o2c.find_template, o2c.render_template, o2c.template_sample, o2c.render_sample
  TO o2c_clerk, o2c_collector, o2c_manager, o2c_admin, o2c_dispatcher;
