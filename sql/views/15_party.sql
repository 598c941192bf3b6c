-- Customers: rights.
GRANT INSERT, UPDATE ON o2c.customer TO o2c_admin;
GRANT EXECUTE ON FUNCTION o2c.import_customers TO o2c_admin;
GRANT EXECUTE ON FUNCTION o2c._customer_id TO o2c_reader, o2c_clerk, o2c_collector, o2c_manager, o2c_admin, o2c_dispatcher;
GRANT INSERT, UPDATE, DELETE ON o2c.customer_address, o2c.customer_contact TO o2c_admin, o2c_clerk;
GRANT INSERT, UPDATE ON o2c.customer_bank_account TO o2c_admin, o2c_manager;
GRANT EXECUTE ON FUNCTION o2c.propose_bank_account, o2c.approve_bank_account TO o2c_admin, o2c_manager;
GRANT EXECUTE ON FUNCTION o2c._four_eyes TO o2c_reader, o2c_clerk, o2c_collector, o2c_manager, o2c_admin, o2c_dispatcher;
GRANT EXECUTE ON FUNCTION o2c._contacts_for, o2c._addresses_for, o2c._addressees TO o2c_reader, o2c_clerk, o2c_collector, o2c_manager, o2c_admin, o2c_dispatcher;
