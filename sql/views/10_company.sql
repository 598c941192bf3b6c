-- Companies: rights.
GRANT INSERT, UPDATE ON o2c.company, o2c.exchange_rate TO o2c_admin;
GRANT INSERT, DELETE ON o2c.company_member TO o2c_admin;
-- who and when are not for the caller to say
GRANT INSERT (company_id, entity, entity_id, event, from_state, to_state, reason, data) ON o2c.event
  TO o2c_clerk, o2c_collector, o2c_manager, o2c_admin, o2c_dispatcher;
GRANT INSERT ON o2c.import_reject TO o2c_clerk, o2c_collector, o2c_manager, o2c_admin, o2c_dispatcher;
GRANT EXECUTE ON FUNCTION o2c.create_company TO o2c_admin;
GRANT EXECUTE ON FUNCTION o2c.today, o2c._require_installed, o2c._require_company, o2c._once, o2c._sees_company, o2c._is_admin, o2c._import_query,
  o2c.exchange_rate_on, o2c._installed_version, o2c._extension_version, o2c._library_version
  TO o2c_reader, o2c_clerk, o2c_collector, o2c_manager, o2c_admin, o2c_dispatcher;
GRANT EXECUTE ON FUNCTION o2c.check, o2c._run_checks, o2c._check_guard, o2c.version
  TO o2c_clerk, o2c_collector, o2c_manager, o2c_admin, o2c_dispatcher;
