-- Disputes: a share of an item that the customer objects to.  It is not
-- reminded of until the dispute is resolved.

CREATE SEQUENCE o2c.dispute_id_seq;
CREATE TABLE o2c.dispute (
  company_id integer NOT NULL,
  id bigint NOT NULL DEFAULT pg_catalog.nextval('o2c.dispute_id_seq'),
  item_id bigint NOT NULL,
  customer_id bigint NOT NULL,
  currency o2c.currency NOT NULL,
  amount numeric NOT NULL CHECK (amount > 0 AND o2c.is_amount(amount, currency)),
  reason text NOT NULL CHECK (reason <> '' AND pg_catalog.length(reason) <= 1000),
  state o2c.dispute_state NOT NULL DEFAULT 'open',
  opened_on date NOT NULL CHECK (pg_catalog.isfinite(opened_on)),
  opened_by name NOT NULL DEFAULT current_user,
  recorded_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp() CHECK (pg_catalog.isfinite(recorded_at)),
  assigned_to text,
  outcome text CHECK (outcome IN ('accepted', 'partial', 'rejected', 'withdrawn')),
  note text,
  resolved_at timestamptz CHECK (pg_catalog.isfinite(resolved_at)),
  PRIMARY KEY (company_id, id),
  FOREIGN KEY (company_id, item_id) REFERENCES o2c.open_item (company_id, id),
  FOREIGN KEY (company_id, customer_id) REFERENCES o2c.customer (company_id, id),
  CONSTRAINT dispute_outcome_when_resolved CHECK
    ((state = 'resolved') = (outcome IS NOT NULL) AND (state = 'resolved') = (resolved_at IS NOT NULL))
);
ALTER SEQUENCE o2c.dispute_id_seq OWNED BY o2c.dispute.id;
CREATE INDEX dispute_item_idx ON o2c.dispute (company_id, item_id);
-- what is in dispute now, or was on a recent day
CREATE INDEX dispute_resolved_idx ON o2c.dispute (company_id, resolved_at);
CREATE INDEX dispute_customer_idx ON o2c.dispute (company_id, customer_id);
CREATE TRIGGER dispute_lifecycle BEFORE INSERT OR UPDATE ON o2c.dispute
  FOR EACH ROW EXECUTE FUNCTION o2c.lifecycle_guard('dispute');
CREATE TRIGGER dispute_log_insert AFTER INSERT ON o2c.dispute
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION o2c.lifecycle_log('dispute');
CREATE TRIGGER dispute_log_update AFTER UPDATE ON o2c.dispute
  REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION o2c.lifecycle_log('dispute');
CREATE TRIGGER dispute_share_insert AFTER INSERT ON o2c.dispute
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION o2c._dispute_share();
CREATE TRIGGER dispute_share_update AFTER UPDATE ON o2c.dispute
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION o2c._dispute_share();
CREATE TRIGGER dispute_share_delete AFTER DELETE ON o2c.dispute
  REFERENCING OLD TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION o2c._dispute_share();
CREATE TRIGGER dispute_fixed BEFORE UPDATE ON o2c.dispute
  FOR EACH ROW EXECUTE FUNCTION o2c.guard_derived('item_id', 'customer_id', 'currency', 'amount', 'opened_on', 'recorded_at');
COMMENT ON TABLE o2c.dispute IS 'What a customer objects to; open_item.disputed_amount is the sum of those not resolved.';
COMMENT ON COLUMN o2c.dispute.opened_on IS 'The date from which it counts; until resolved_at the share is in dispute, also when aging looks back.';
COMMENT ON COLUMN o2c.dispute.recorded_at IS 'When the company knew it.';
COMMENT ON COLUMN o2c.dispute.outcome IS
  'accepted: the customer is right (credit it); partial; rejected: to be paid; withdrawn by the customer.';
