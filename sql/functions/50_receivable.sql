-- The subledger: triggers that derive open amounts from appended entries.

CREATE FUNCTION o2c.post_entries() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'o2c_post_entries';
COMMENT ON FUNCTION o2c.post_entries() IS
  'Statement trigger of ledger_entry: adds entries to their open items and invoices.';

CREATE FUNCTION o2c.post_allocations() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'o2c_post_allocations';
COMMENT ON FUNCTION o2c.post_allocations() IS
  'Statement trigger of allocation: writes the two entries of each allocation.';
