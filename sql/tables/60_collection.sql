-- Collection: who is reminded when, how far each reminder got, promises,
-- blocks and what collectors do.
--
-- How far an item has come is not a column of the item: it is the highest
-- level among its notices that a channel accepted.  So a payment that is
-- reversed finds the item at the level it had, and nothing can drift.

CREATE SEQUENCE o2c.dunning_policy_id_seq;
CREATE TABLE o2c.dunning_policy (
  company_id integer NOT NULL REFERENCES o2c.company,
  id bigint NOT NULL DEFAULT pg_catalog.nextval('o2c.dunning_policy_id_seq'),
  code text NOT NULL CHECK (code <> '' AND pg_catalog.length(code) <= 200),
  name text NOT NULL DEFAULT '',
  is_default boolean NOT NULL DEFAULT false,
  customer_group text CHECK (customer_group <> ''),
  grouping text NOT NULL DEFAULT 'customer' CHECK (grouping IN ('customer', 'item')),
  grace_days integer NOT NULL DEFAULT 0 CHECK (grace_days BETWEEN 0 AND 365),
  promise_grace_days integer NOT NULL DEFAULT 3 CHECK (promise_grace_days BETWEEN 0 AND 60),
  business_days_only boolean NOT NULL DEFAULT false,
  roll_due_dates boolean NOT NULL DEFAULT false,
  with_statement boolean NOT NULL DEFAULT false,
  interest_margin numeric NOT NULL DEFAULT 8 CHECK (interest_margin >= 0 AND interest_margin <= 100),
  rate_code text NOT NULL DEFAULT 'ECB',
  active boolean NOT NULL DEFAULT true,
  PRIMARY KEY (company_id, id),
  UNIQUE (company_id, code)
);
ALTER SEQUENCE o2c.dunning_policy_id_seq OWNED BY o2c.dunning_policy.id;
CREATE UNIQUE INDEX dunning_policy_default_key ON o2c.dunning_policy (company_id) WHERE is_default;
CREATE UNIQUE INDEX dunning_policy_group_key ON o2c.dunning_policy (company_id, customer_group)
  WHERE customer_group IS NOT NULL;
COMMENT ON TABLE o2c.dunning_policy IS
  'How overdue items are reminded of: the customer''s own policy (o2c.dunning_assignment), else its group''s, else the default.';
COMMENT ON COLUMN o2c.dunning_policy.grouping IS 'customer: one notice with all items; item: one notice for each item.';
COMMENT ON COLUMN o2c.dunning_policy.grace_days IS 'Days after the due date that do not count as overdue for levels.';
COMMENT ON COLUMN o2c.dunning_policy.promise_grace_days IS 'Days after a promised date until the promise is broken.';
COMMENT ON COLUMN o2c.dunning_policy.business_days_only IS 'No notices on weekends and bank holidays of the company.';
COMMENT ON COLUMN o2c.dunning_policy.roll_due_dates IS 'A due date that is no business day counts as the next one.';
COMMENT ON COLUMN o2c.dunning_policy.with_statement IS 'Notices list everything open, not only what is asked for.';
COMMENT ON COLUMN o2c.dunning_policy.interest_margin IS 'Points above the reference rate (8: Directive 2011/7/EU).';

CREATE TABLE o2c.dunning_level (
  company_id integer NOT NULL,
  policy_id bigint NOT NULL,
  level smallint NOT NULL CHECK (level BETWEEN 0 AND 9),
  days integer NOT NULL CHECK (days BETWEEN -90 AND 3650),
  interval_days integer NOT NULL DEFAULT 7 CHECK (interval_days BETWEEN 0 AND 3650),
  repeat_days integer CHECK (repeat_days BETWEEN 1 AND 3650),
  currency o2c.currency NOT NULL,
  minimum_amount numeric NOT NULL DEFAULT 0 CHECK (minimum_amount >= 0 AND o2c.is_amount(minimum_amount, currency)),
  fee_amount numeric NOT NULL DEFAULT 0 CHECK (fee_amount >= 0 AND o2c.is_amount(fee_amount, currency)),
  fee_basis text NOT NULL DEFAULT 'notice' CHECK (fee_basis IN ('notice', 'item')),
  charge_interest boolean NOT NULL DEFAULT false,
  channels text[] NOT NULL DEFAULT '{email,post,sms}',
  template text NOT NULL CHECK (template ~ '^[a-z][a-z0-9_]{0,59}$'),
  pay_within_days integer NOT NULL DEFAULT 10 CHECK (pay_within_days BETWEEN 0 AND 365),
  escalation text CHECK (escalation IN ('task', 'service_stop')),
  PRIMARY KEY (company_id, policy_id, level),
  FOREIGN KEY (company_id, policy_id) REFERENCES o2c.dunning_policy (company_id, id) ON DELETE CASCADE,
  CHECK ((level = 0) = (days <= 0)),
  CHECK (pg_catalog.array_position(channels, NULL) IS NULL AND pg_catalog.cardinality(channels) <= 10)
);
CREATE CONSTRAINT TRIGGER dunning_level_order AFTER INSERT OR UPDATE OR DELETE ON o2c.dunning_level
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION o2c._dunning_level_order();
COMMENT ON TABLE o2c.dunning_level IS 'The steps of a policy; level 0 is the friendly reminder before the due date.';
COMMENT ON COLUMN o2c.dunning_level.days IS 'Days overdue from which the level applies; for level 0 the days before the due date, negative.';
COMMENT ON COLUMN o2c.dunning_level.interval_days IS 'Least days since the notice before.';
COMMENT ON COLUMN o2c.dunning_level.repeat_days IS 'Of the last level: send it again after so many days; NULL is never.';
COMMENT ON COLUMN o2c.dunning_level.minimum_amount IS 'Least total of a notice, in the level''s currency; other currencies are converted by o2c.exchange_rate.';
COMMENT ON COLUMN o2c.dunning_level.fee_basis IS 'One fee for the notice, or one for each item (EUR 40 per invoice: Directive 2011/7/EU).';
COMMENT ON COLUMN o2c.dunning_level.channels IS 'In order of preference: channel codes or kinds. The next one is tried when one fails.';
COMMENT ON COLUMN o2c.dunning_level.escalation IS 'task: an activity for the collector; service_stop: also an event that other systems subscribe to.';

CREATE TABLE o2c.dunning_assignment (
  company_id integer NOT NULL,
  customer_id bigint NOT NULL,
  policy_id bigint NOT NULL,
  PRIMARY KEY (company_id, customer_id),
  FOREIGN KEY (company_id, customer_id) REFERENCES o2c.customer (company_id, id),
  FOREIGN KEY (company_id, policy_id) REFERENCES o2c.dunning_policy (company_id, id)
);
CREATE INDEX dunning_assignment_policy_idx ON o2c.dunning_assignment (company_id, policy_id);
COMMENT ON TABLE o2c.dunning_assignment IS 'Customers with a policy of their own.';

CREATE SEQUENCE o2c.dunning_block_id_seq;
CREATE TABLE o2c.dunning_block (
  company_id integer NOT NULL,
  id bigint NOT NULL DEFAULT pg_catalog.nextval('o2c.dunning_block_id_seq'),
  customer_id bigint NOT NULL,
  item_id bigint,
  valid_from date NOT NULL CHECK (pg_catalog.isfinite(valid_from)),
  valid_to date CHECK (pg_catalog.isfinite(valid_to)),
  reason text NOT NULL CHECK (reason <> ''),
  created_by name NOT NULL DEFAULT current_user,
  created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
  lifted_at timestamptz,
  lifted_by name,
  PRIMARY KEY (company_id, id),
  FOREIGN KEY (company_id, customer_id) REFERENCES o2c.customer (company_id, id),
  FOREIGN KEY (company_id, item_id) REFERENCES o2c.open_item (company_id, id),
  CHECK (valid_to >= valid_from),
  CHECK ((lifted_at IS NULL) = (lifted_by IS NULL))
);
ALTER SEQUENCE o2c.dunning_block_id_seq OWNED BY o2c.dunning_block.id;
CREATE INDEX dunning_block_customer_idx ON o2c.dunning_block (company_id, customer_id);
CREATE INDEX dunning_block_item_idx ON o2c.dunning_block (company_id, item_id) WHERE item_id IS NOT NULL;
COMMENT ON TABLE o2c.dunning_block IS 'No reminders for a customer, or for one item, in a time; both days included.';

CREATE SEQUENCE o2c.promise_id_seq;
CREATE TABLE o2c.promise (
  company_id integer NOT NULL,
  id bigint NOT NULL DEFAULT pg_catalog.nextval('o2c.promise_id_seq'),
  customer_id bigint NOT NULL,
  item_id bigint,
  currency o2c.currency NOT NULL,
  amount numeric NOT NULL CHECK (amount > 0 AND o2c.is_amount(amount, currency)),
  given_on date NOT NULL CHECK (pg_catalog.isfinite(given_on)),
  promised_on date NOT NULL CHECK (pg_catalog.isfinite(promised_on)),
  grace_days integer NOT NULL DEFAULT 3 CHECK (grace_days BETWEEN 0 AND 60),
  state o2c.promise_state NOT NULL DEFAULT 'open',
  settled_on date CHECK (pg_catalog.isfinite(settled_on)),
  note text,
  created_by name NOT NULL DEFAULT current_user,
  created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
  PRIMARY KEY (company_id, id),
  FOREIGN KEY (company_id, customer_id) REFERENCES o2c.customer (company_id, id),
  FOREIGN KEY (company_id, item_id) REFERENCES o2c.open_item (company_id, id),
  CHECK (promised_on >= given_on),
  CHECK ((state = 'open') = (settled_on IS NULL))
);
ALTER SEQUENCE o2c.promise_id_seq OWNED BY o2c.promise.id;
CREATE INDEX promise_customer_idx ON o2c.promise (company_id, customer_id, promised_on);
CREATE INDEX promise_item_idx ON o2c.promise (company_id, item_id) WHERE item_id IS NOT NULL;
CREATE TRIGGER promise_lifecycle BEFORE INSERT OR UPDATE ON o2c.promise
  FOR EACH ROW EXECUTE FUNCTION o2c.lifecycle_guard('promise');
CREATE TRIGGER promise_derived BEFORE UPDATE ON o2c.promise FOR EACH ROW
  WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION o2c._promise_guard();
CREATE TRIGGER promise_log_update AFTER UPDATE ON o2c.promise
  REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION o2c.lifecycle_log('promise');
COMMENT ON TABLE o2c.promise IS
  'Promises to pay. Whether one was kept follows from the ledger and is never set by hand.';
COMMENT ON COLUMN o2c.promise.item_id IS 'The item that it is about; NULL is the customer''s whole account.';
COMMENT ON COLUMN o2c.promise.settled_on IS 'The day for which it was found kept or broken.';

CREATE SEQUENCE o2c.dunning_run_id_seq;
CREATE TABLE o2c.dunning_run (
  company_id integer NOT NULL REFERENCES o2c.company,
  id bigint NOT NULL DEFAULT pg_catalog.nextval('o2c.dunning_run_id_seq'),
  as_of date NOT NULL CHECK (pg_catalog.isfinite(as_of)),
  notices bigint NOT NULL DEFAULT 0,
  items bigint NOT NULL DEFAULT 0,
  messages bigint NOT NULL DEFAULT 0,
  run_by name NOT NULL DEFAULT current_user,
  run_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
  PRIMARY KEY (company_id, id)
);
ALTER SEQUENCE o2c.dunning_run_id_seq OWNED BY o2c.dunning_run.id;
CREATE INDEX dunning_run_as_of_idx ON o2c.dunning_run (company_id, as_of);
COMMENT ON TABLE o2c.dunning_run IS 'Runs that wrote notices; a run that found nothing leaves no row.';

CREATE SEQUENCE o2c.dunning_notice_id_seq;
CREATE TABLE o2c.dunning_notice (
  company_id integer NOT NULL,
  id bigint NOT NULL DEFAULT pg_catalog.nextval('o2c.dunning_notice_id_seq'),
  run_id bigint NOT NULL,
  customer_id bigint NOT NULL,
  policy_id bigint NOT NULL,
  level smallint NOT NULL,
  as_of date NOT NULL CHECK (pg_catalog.isfinite(as_of)),
  pay_by date NOT NULL CHECK (pg_catalog.isfinite(pay_by)),
  item_count integer NOT NULL CHECK (item_count > 0),
  channel text,
  state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'accepted', 'failed', 'cancelled')),
  accepted_on date CHECK (pg_catalog.isfinite(accepted_on)),
  PRIMARY KEY (company_id, id),
  FOREIGN KEY (company_id, run_id) REFERENCES o2c.dunning_run (company_id, id),
  FOREIGN KEY (company_id, customer_id) REFERENCES o2c.customer (company_id, id),
  FOREIGN KEY (company_id, policy_id) REFERENCES o2c.dunning_policy (company_id, id),
  CHECK ((state = 'accepted') = (accepted_on IS NOT NULL))
);
ALTER SEQUENCE o2c.dunning_notice_id_seq OWNED BY o2c.dunning_notice.id;
CREATE INDEX dunning_notice_customer_idx ON o2c.dunning_notice (company_id, customer_id);
CREATE INDEX dunning_notice_run_idx ON o2c.dunning_notice (company_id, run_id);
CREATE INDEX dunning_notice_policy_idx ON o2c.dunning_notice (company_id, policy_id);
CREATE TRIGGER dunning_notice_kept
  BEFORE UPDATE OF company_id, id, run_id, customer_id, policy_id, level, as_of, item_count ON o2c.dunning_notice
  FOR EACH ROW EXECUTE FUNCTION o2c.guard_derived('company_id', 'id', 'run_id', 'customer_id', 'policy_id', 'level', 'as_of', 'item_count');
COMMENT ON TABLE o2c.dunning_notice IS 'A reminder to one customer; it counts when the channel has accepted its message.';
COMMENT ON COLUMN o2c.dunning_notice.level IS 'The highest level among its items.';
COMMENT ON COLUMN o2c.dunning_notice.channel IS 'Code of the channel; NULL when none reaches the customer: then a collector sends it (o2c.confirm_notice).';
COMMENT ON COLUMN o2c.dunning_notice.state IS
  'pending: in the outbox or on the collector''s desk; accepted: counts; failed: the channel could not, the next one is tried; cancelled: no longer due before it was sent.';

CREATE TABLE o2c.dunning_notice_item (
  company_id integer NOT NULL,
  item_id bigint NOT NULL,
  level smallint NOT NULL,
  attempt smallint NOT NULL CHECK (attempt > 0),
  notice_id bigint NOT NULL,
  days_overdue integer NOT NULL,
  currency o2c.currency NOT NULL,
  amount numeric NOT NULL CHECK (amount > 0 AND o2c.is_amount(amount, currency)),
  PRIMARY KEY (company_id, item_id, level, attempt),
  FOREIGN KEY (company_id, notice_id) REFERENCES o2c.dunning_notice (company_id, id),
  FOREIGN KEY (company_id, item_id) REFERENCES o2c.open_item (company_id, id)
);
CREATE INDEX dunning_notice_item_notice_idx ON o2c.dunning_notice_item (company_id, notice_id);
CREATE TRIGGER dunning_notice_item_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON o2c.dunning_notice_item
  FOR EACH STATEMENT EXECUTE FUNCTION o2c.append_only();
COMMENT ON TABLE o2c.dunning_notice_item IS
  'What a notice asks for. The key lets an item have a level once, and again only as a further attempt.';
COMMENT ON COLUMN o2c.dunning_notice_item.amount IS 'Asked for: open on the day, without the disputed share.';

CREATE TABLE o2c.reference_rate (
  code text NOT NULL CHECK (code <> '' AND pg_catalog.length(code) <= 200),
  valid_from date NOT NULL CHECK (pg_catalog.isfinite(valid_from)),
  rate numeric NOT NULL CHECK (rate > -100 AND rate < 1000),
  PRIMARY KEY (code, valid_from)
);
COMMENT ON TABLE o2c.reference_rate IS
  'Code list: reference rates in percent a year; interest takes the one in force on 1 January and 1 July for the half-year.';

CREATE SEQUENCE o2c.dunning_charge_id_seq;
CREATE TABLE o2c.dunning_charge (
  company_id integer NOT NULL,
  id bigint NOT NULL DEFAULT pg_catalog.nextval('o2c.dunning_charge_id_seq'),
  notice_id bigint NOT NULL,
  kind text NOT NULL CHECK (kind IN ('fee', 'interest')),
  source_item_id bigint,
  item_id bigint NOT NULL,
  currency o2c.currency NOT NULL,
  amount numeric NOT NULL CHECK (amount > 0 AND o2c.is_amount(amount, currency)),
  from_date date CHECK (pg_catalog.isfinite(from_date)),
  to_date date CHECK (pg_catalog.isfinite(to_date)),
  reversed_on date CHECK (pg_catalog.isfinite(reversed_on)),
  PRIMARY KEY (company_id, id),
  FOREIGN KEY (company_id, notice_id) REFERENCES o2c.dunning_notice (company_id, id),
  FOREIGN KEY (company_id, source_item_id) REFERENCES o2c.open_item (company_id, id),
  FOREIGN KEY (company_id, item_id) REFERENCES o2c.open_item (company_id, id),
  CHECK (kind = 'fee' OR (source_item_id IS NOT NULL AND from_date <= to_date))
);
ALTER SEQUENCE o2c.dunning_charge_id_seq OWNED BY o2c.dunning_charge.id;
CREATE INDEX dunning_charge_notice_idx ON o2c.dunning_charge (company_id, notice_id);
CREATE INDEX dunning_charge_source_idx ON o2c.dunning_charge (company_id, source_item_id, to_date) WHERE source_item_id IS NOT NULL;
CREATE UNIQUE INDEX dunning_charge_item_key ON o2c.dunning_charge (company_id, item_id);
CREATE TRIGGER dunning_charge_kept
  BEFORE UPDATE OF company_id, id, notice_id, kind, source_item_id, item_id, currency, amount, from_date, to_date ON o2c.dunning_charge
  FOR EACH ROW EXECUTE FUNCTION o2c.guard_derived('company_id', 'id', 'notice_id', 'kind', 'source_item_id', 'item_id', 'currency', 'amount', 'from_date', 'to_date');
COMMENT ON TABLE o2c.dunning_charge IS 'Fees and interest of notices, each an open item of its own.';
COMMENT ON COLUMN o2c.dunning_charge.source_item_id IS 'The overdue item; NULL for a fee on the whole notice.';
COMMENT ON COLUMN o2c.dunning_charge.from_date IS 'First day of interest; to_date is the last.';
COMMENT ON COLUMN o2c.dunning_charge.reversed_on IS 'Taken back because the notice never got out.';

CREATE SEQUENCE o2c.activity_id_seq;
CREATE TABLE o2c.activity (
  company_id integer NOT NULL,
  id bigint NOT NULL DEFAULT pg_catalog.nextval('o2c.activity_id_seq'),
  customer_id bigint NOT NULL,
  kind text NOT NULL CHECK (kind IN ('call', 'email', 'letter', 'visit', 'note', 'task')),
  subject text NOT NULL CHECK (subject <> ''),
  note text,
  item_id bigint,
  notice_id bigint,
  due_on date CHECK (pg_catalog.isfinite(due_on)),
  done_at timestamptz,
  done_by name,
  created_by name NOT NULL DEFAULT current_user,
  created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
  PRIMARY KEY (company_id, id),
  FOREIGN KEY (company_id, customer_id) REFERENCES o2c.customer (company_id, id),
  FOREIGN KEY (company_id, item_id) REFERENCES o2c.open_item (company_id, id),
  FOREIGN KEY (company_id, notice_id) REFERENCES o2c.dunning_notice (company_id, id),
  CHECK ((done_at IS NULL) = (done_by IS NULL))
);
ALTER SEQUENCE o2c.activity_id_seq OWNED BY o2c.activity.id;
CREATE INDEX activity_customer_idx ON o2c.activity (company_id, customer_id, created_at);
CREATE INDEX activity_due_idx ON o2c.activity (company_id, due_on) WHERE done_at IS NULL AND due_on IS NOT NULL;
CREATE INDEX activity_item_idx ON o2c.activity (company_id, item_id) WHERE item_id IS NOT NULL;
CREATE INDEX activity_notice_idx ON o2c.activity (company_id, notice_id) WHERE notice_id IS NOT NULL;
COMMENT ON TABLE o2c.activity IS 'What collectors did (calls, notes) and have to do (open ones with a due date).';
