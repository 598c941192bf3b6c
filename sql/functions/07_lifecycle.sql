-- The lifecycles (src/lifecycle) and the triggers that every domain attaches.

CREATE FUNCTION o2c.lifecycle_guard() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'o2c_lifecycle_guard';
COMMENT ON FUNCTION o2c.lifecycle_guard() IS
  'Row trigger: refuses (O2010) every move of column state that the machine named as its argument does not list.';

CREATE FUNCTION o2c.lifecycle_log() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'o2c_lifecycle_log';
COMMENT ON FUNCTION o2c.lifecycle_log() IS
  'Statement trigger: writes one o2c.event per document that moved.';

CREATE FUNCTION o2c._lifecycle_event(machine text, from_state text, to_state text) RETURNS text
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'o2c_lifecycle_event';
COMMENT ON FUNCTION o2c._lifecycle_event(text, text, text) IS
  'Name of the event that leads from one state to another; NULL when there is none.';

CREATE FUNCTION o2c._lifecycle_moves(OUT machine text, OUT from_state text, OUT event text, OUT to_state text)
RETURNS SETOF record
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'o2c_lifecycle_moves';
COMMENT ON FUNCTION o2c._lifecycle_moves() IS 'Every permitted move of every machine.';

CREATE VIEW o2c.lifecycle AS SELECT * FROM o2c._lifecycle_moves();
COMMENT ON VIEW o2c.lifecycle IS
  'The lifecycles: machine, from_state (NULL is creation), event, to_state.';

CREATE FUNCTION o2c.append_only() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'o2c_append_only';
COMMENT ON FUNCTION o2c.append_only() IS
  'Statement trigger: refuses (O2030) UPDATE, DELETE and TRUNCATE, for the owner too.';

CREATE FUNCTION o2c.guard_derived() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'o2c_guard_derived';
COMMENT ON FUNCTION o2c.guard_derived() IS
  'Row trigger: the columns named as its arguments change (O2030) only through posted entries.';

CREATE FUNCTION o2c.posting_only() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'o2c_posting_only';
COMMENT ON FUNCTION o2c.posting_only() IS
  'Row trigger: refuses (O2030) every change that does not come from o2c''s own triggers.';

CREATE FUNCTION o2c.follow_order_lines() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'o2c_follow_order_lines';
COMMENT ON FUNCTION o2c.follow_order_lines() IS
  'Statement trigger of sales_order_line: keeps order totals, reserved stock and exposure; refuses changes of content after submission (O2030).';

CREATE FUNCTION o2c.follow_shipments() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'o2c_follow_shipments';
COMMENT ON FUNCTION o2c.follow_shipments() IS
  'Statement trigger of shipment: what leaves is taken from stock and noted on lines and order (O2010, O2011, O2013).';

CREATE FUNCTION o2c.follow_shipment_lines() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'o2c_follow_shipment_lines';
COMMENT ON FUNCTION o2c.follow_shipment_lines() IS
  'Statement trigger of shipment_line: counts what is picked and returned on the order lines (O2010, O2012, O2030).';

CREATE FUNCTION o2c.record_history() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'o2c_history_record';
COMMENT ON FUNCTION o2c.record_history() IS
  'Statement trigger of master data: notes in o2c.master_history the columns that changed, before and after, by whom.';

CREATE FUNCTION o2c.hold_guard() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'o2c_hold_guard';
COMMENT ON FUNCTION o2c.hold_guard() IS
  'Row trigger of hold: only members of its role, or of o2c_manager, release it (O2008); what is released stays (O2030).';
