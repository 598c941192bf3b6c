-- Bank accounts and statements: rights.
GRANT INSERT, UPDATE ON o2c.bank_account, o2c.statement_format TO o2c_admin;
GRANT DELETE ON o2c.statement_format TO o2c_admin;
GRANT UPDATE (last_statement_id, last_statement_date, last_balance) ON o2c.bank_account TO o2c_clerk, o2c_manager;
GRANT INSERT ON o2c.bank_statement TO o2c_clerk, o2c_manager;
GRANT INSERT ON o2c.bank_line TO o2c_clerk, o2c_manager;
GRANT UPDATE (state, payment_id, details) ON o2c.bank_line TO o2c_clerk, o2c_manager;
GRANT EXECUTE ON FUNCTION o2c.import_statement, o2c.import_bank_lines, o2c._import_statement, o2c._statement_text,
  o2c._statement_format, o2c._statement_rows, o2c._csv_settings, o2c._csv_format_of, o2c._same_account,
  o2c._open_statement_file, o2c._check_statement_file, o2c._identify_lines, o2c._settle_batches,
  o2c._camt_parts, o2c._camt_rows, o2c._xml_text, o2c._xml_sum
  TO o2c_clerk, o2c_manager;
GRANT EXECUTE ON FUNCTION o2c._check_statement TO o2c_clerk, o2c_collector, o2c_manager, o2c_admin, o2c_dispatcher;
