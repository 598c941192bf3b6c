-- Dispatch: channels, the outbox and whether this database may send.
--
-- A message is written in the business transaction; the worker claims it,
-- sends it while no transaction is open and records the result.  Where it
-- stands is its state (lifecycle "message"); what it says never changes after
-- it was queued.

CREATE SEQUENCE o2c.channel_id_seq;
CREATE TABLE o2c.channel (
  company_id integer NOT NULL REFERENCES o2c.company,
  id bigint NOT NULL DEFAULT pg_catalog.nextval('o2c.channel_id_seq'),
  code text NOT NULL CHECK (code ~ '^[A-Za-z0-9_.-]{1,60}$'),
  kind text NOT NULL CHECK (kind IN ('email', 'sms', 'post', 'webhook')),
  url text NOT NULL CHECK (url <> '' AND pg_catalog.length(url) <= 2000),
  settings jsonb NOT NULL DEFAULT '{}' CHECK (pg_catalog.jsonb_typeof(settings) = 'object'),
  rate_per_second numeric CHECK (rate_per_second > 0 AND rate_per_second <= 1000000),
  max_concurrency integer CHECK (max_concurrency BETWEEN 1 AND 1024),
  max_attempts integer NOT NULL DEFAULT 12 CHECK (max_attempts BETWEEN 1 AND 1000),
  quiet_from time,
  quiet_to time,
  quiet_days integer[] NOT NULL DEFAULT '{}' CHECK (quiet_days <@ '{1,2,3,4,5,6,7}' AND pg_catalog.array_length(quiet_days, 1) IS DISTINCT FROM 7),
  failover_channel text,
  enabled boolean NOT NULL DEFAULT true,
  created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
  PRIMARY KEY (company_id, id),
  UNIQUE (company_id, code),
  FOREIGN KEY (company_id, failover_channel) REFERENCES o2c.channel (company_id, code) DEFERRABLE,
  CHECK (failover_channel <> code),
  CHECK ((quiet_from IS NULL) = (quiet_to IS NULL))
);
ALTER SEQUENCE o2c.channel_id_seq OWNED BY o2c.channel.id;
CREATE INDEX channel_failover_idx ON o2c.channel (company_id, failover_channel) WHERE failover_channel IS NOT NULL;
CREATE TRIGGER channel_check BEFORE INSERT OR UPDATE ON o2c.channel
  FOR EACH ROW EXECUTE FUNCTION o2c._channel_check();
COMMENT ON TABLE o2c.channel IS 'Ways out: a mail relay, a gateway for text messages or letters, a webhook.';
COMMENT ON COLUMN o2c.channel.url IS 'smtp://, smtps://, http:// or https:// address of the peer; its path may use {{variables}}.';
COMMENT ON COLUMN o2c.channel.settings IS 'How to speak to the peer: see docs/reference/dispatch.md. Secrets stand here by name only.';
COMMENT ON COLUMN o2c.channel.rate_per_second IS 'Most messages started a second; NULL is unlimited.';
COMMENT ON COLUMN o2c.channel.max_concurrency IS 'Most open transfers; NULL is order2cash.dispatch_concurrency.';
COMMENT ON COLUMN o2c.channel.max_attempts IS 'After so many failed attempts a message is dead.';
COMMENT ON COLUMN o2c.channel.quiet_from IS 'From this time of the recipient''s day until quiet_to nothing is sent, except priorities 0 and 1.';
COMMENT ON COLUMN o2c.channel.quiet_days IS 'Days of the recipient''s week without sending: 1 is Monday, 7 is Sunday.';
COMMENT ON COLUMN o2c.channel.failover_channel IS 'Where a message goes that this channel could not deliver for good.';

CREATE SEQUENCE o2c.message_id_seq;
CREATE TABLE o2c.message (
  company_id integer NOT NULL,
  id bigint NOT NULL DEFAULT pg_catalog.nextval('o2c.message_id_seq'),
  channel text NOT NULL,
  state o2c.message_state NOT NULL DEFAULT 'queued',
  priority smallint NOT NULL DEFAULT 5 CHECK (priority BETWEEN 0 AND 9),
  attempts integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
  next_attempt_at timestamptz NOT NULL DEFAULT pg_catalog.now() CHECK (pg_catalog.isfinite(next_attempt_at)),
  created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
  first_attempt_at timestamptz,
  lease_owner uuid,
  sent_at timestamptz,
  delivered_at timestamptz,
  customer_id bigint,
  entity_id bigint,
  failover_of bigint,
  recheck boolean NOT NULL DEFAULT false,
  erase boolean NOT NULL DEFAULT false,
  idempotency_key text NOT NULL DEFAULT pg_catalog.gen_random_uuid()
    CHECK (o2c._is_key(idempotency_key)),
  dedupe_key text CHECK (dedupe_key <> '' AND pg_catalog.length(dedupe_key) <= 500),
  kind text CHECK (kind <> '' AND pg_catalog.length(kind) <= 200),
  entity text CHECK (pg_catalog.length(entity) <= 200),
  recipient text CHECK (recipient <> '' AND o2c._is_line(recipient, 4000, true)),
  language text CHECK (pg_catalog.length(language) <= 100),
  time_zone text CHECK (pg_catalog.length(time_zone) <= 100),
  template text CHECK (pg_catalog.length(template) <= 200),
  subject text CHECK (o2c._is_line(subject, 2000, false)),
  body_text text,
  body_html text,
  context jsonb CHECK (pg_catalog.jsonb_typeof(context) = 'object'),
  provider_id text,
  last_error text,
  PRIMARY KEY (company_id, id),
  UNIQUE (company_id, idempotency_key),
  FOREIGN KEY (company_id, channel) REFERENCES o2c.channel (company_id, code),
  FOREIGN KEY (company_id, customer_id) REFERENCES o2c.customer (company_id, id),
  CHECK ((state = 'sending') = (lease_owner IS NOT NULL))
) WITH (fillfactor = 45, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0.1);
ALTER SEQUENCE o2c.message_id_seq OWNED BY o2c.message.id;
-- A message is written to twice while it is sent: claimed and recorded.  No
-- index names what changes then, and a page has room for a second version of
-- all that is on it: so both stay on the page and touch no index.  What waits
-- is found through message_queue, what is being sent through message_claim.
CREATE INDEX message_channel_idx ON o2c.message (company_id, channel, created_at);
CREATE UNIQUE INDEX message_dedupe_idx ON o2c.message (company_id, dedupe_key) WHERE dedupe_key IS NOT NULL;
CREATE INDEX message_provider_idx ON o2c.message (company_id, provider_id) WHERE provider_id IS NOT NULL;
CREATE INDEX message_customer_idx ON o2c.message (company_id, customer_id) WHERE customer_id IS NOT NULL;
CREATE INDEX message_entity_idx ON o2c.message (company_id, entity, entity_id) WHERE entity_id IS NOT NULL;
CREATE UNIQUE INDEX message_failover_idx ON o2c.message (company_id, failover_of) WHERE failover_of IS NOT NULL;
CREATE TRIGGER message_lifecycle BEFORE INSERT OR UPDATE OF state ON o2c.message
  FOR EACH ROW EXECUTE FUNCTION o2c.lifecycle_guard('message');
CREATE TRIGGER message_queued AFTER INSERT ON o2c.message
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION o2c._message_queued();
CREATE TRIGGER message_moved AFTER UPDATE ON o2c.message
  REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION o2c._message_moved();
CREATE TRIGGER message_removed AFTER DELETE ON o2c.message
  REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION o2c._message_moved();
COMMENT ON TABLE o2c.message IS 'The outbox: what is to be sent, is being sent and was sent.';
COMMENT ON COLUMN o2c.message.priority IS '0 first, 9 last; 0 and 1 ignore quiet hours.';
COMMENT ON COLUMN o2c.message.attempts IS 'How often a worker has taken it up.';
COMMENT ON COLUMN o2c.message.lease_owner IS 'While sending: the run of the worker that holds it.';
COMMENT ON COLUMN o2c.message.failover_of IS 'The message of another channel that this one replaces.';
COMMENT ON COLUMN o2c.message.recheck IS 'Ask o2c._message_still_due before each attempt; cancelled when it is not.';
COMMENT ON COLUMN o2c.message.erase IS 'Erase texts and context once sent (one-time passwords).';
COMMENT ON COLUMN o2c.message.idempotency_key IS 'Stable over all attempts: Message-ID, Idempotency-Key and webhook-id.';
COMMENT ON COLUMN o2c.message.dedupe_key IS 'The sender''s own key: a second message with it is the first.';
COMMENT ON COLUMN o2c.message.kind IS 'What it is about (dunning, invoice_issued …); chooses the template together with channel and language.';
COMMENT ON COLUMN o2c.message.recipient IS 'Mail address, telephone number, postal address (lines) or webhook target; NULL for webhooks without one.';
COMMENT ON COLUMN o2c.message.provider_id IS 'What the peer calls it; delivery reports name it.';

-- A lane is (company, channel, priority): the worker reads each from its front,
-- so that neither depth nor a blocked neighbour costs anything.
CREATE TABLE o2c.message_queue (
  company_id integer NOT NULL,
  channel text NOT NULL,
  priority smallint NOT NULL,
  due timestamptz NOT NULL,
  message_id bigint NOT NULL,
  PRIMARY KEY (company_id, channel, priority, due, message_id)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);
COMMENT ON TABLE o2c.message_queue IS 'Index of what is not finished: follows o2c.message by trigger; nobody else writes to it.';
COMMENT ON COLUMN o2c.message_queue.due IS 'When its next attempt is due; infinity while nobody knows what became of it (uncertain).';

CREATE SEQUENCE o2c.message_claim_id_seq;
CREATE TABLE o2c.message_claim (
  company_id integer NOT NULL,
  id bigint NOT NULL DEFAULT pg_catalog.nextval('o2c.message_claim_id_seq'),
  lease_owner uuid NOT NULL,
  lease_until timestamptz NOT NULL CHECK (pg_catalog.isfinite(lease_until)),
  message_ids bigint[] NOT NULL,
  PRIMARY KEY (company_id, id)
) WITH (autovacuum_vacuum_threshold = 500, autovacuum_vacuum_cost_delay = 0);
ALTER SEQUENCE o2c.message_claim_id_seq OWNED BY o2c.message_claim.id;
COMMENT ON TABLE o2c.message_claim IS 'What a run of the worker has taken up together, until it has recorded what became of all of it.';
COMMENT ON COLUMN o2c.message_claim.lease_owner IS 'The run of the worker.';
COMMENT ON COLUMN o2c.message_claim.lease_until IS 'When another worker may take what is still sending for lost.';

CREATE SEQUENCE o2c.message_attachment_id_seq;
CREATE TABLE o2c.message_attachment (
  company_id integer NOT NULL,
  id bigint NOT NULL DEFAULT pg_catalog.nextval('o2c.message_attachment_id_seq'),
  message_id bigint NOT NULL,
  name text NOT NULL CHECK (name <> '' AND name !~ '[[:cntrl:]/\\]' AND pg_catalog.length(name) <= 200),
  content_type text NOT NULL DEFAULT 'application/octet-stream'
    CHECK (content_type ~ '^[A-Za-z0-9!#$&^_.+-]{1,60}/[A-Za-z0-9!#$&^_.+-]{1,100}(; ?charset=[A-Za-z0-9_-]{1,30})?$'),
  content bytea NOT NULL,
  PRIMARY KEY (company_id, id),
  FOREIGN KEY (company_id, message_id) REFERENCES o2c.message (company_id, id) ON DELETE CASCADE
);
ALTER SEQUENCE o2c.message_attachment_id_seq OWNED BY o2c.message_attachment.id;
CREATE INDEX message_attachment_message_idx ON o2c.message_attachment (company_id, message_id);
CREATE TRIGGER message_attachment_size AFTER INSERT ON o2c.message_attachment
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION o2c._message_attached();
COMMENT ON TABLE o2c.message_attachment IS 'Files that go with a message; written in the transaction that queues it.';

-- Which events become messages.
CREATE SEQUENCE o2c.event_subscription_id_seq;
CREATE TABLE o2c.event_subscription (
  company_id integer NOT NULL REFERENCES o2c.company,
  id bigint NOT NULL DEFAULT pg_catalog.nextval('o2c.event_subscription_id_seq'),
  entity text NOT NULL CHECK (entity <> '' AND pg_catalog.length(entity) <= 200),
  event text NOT NULL CHECK (event <> '' AND pg_catalog.length(event) <= 200),
  channel text NOT NULL,
  template text,
  recipient text NOT NULL DEFAULT 'customer' CHECK (recipient <> ''),
  attach text[] NOT NULL DEFAULT '{}' CHECK (attach <@ '{ubl,html}'),
  priority smallint NOT NULL DEFAULT 5 CHECK (priority BETWEEN 0 AND 9),
  enabled boolean NOT NULL DEFAULT true,
  PRIMARY KEY (company_id, id),
  UNIQUE (company_id, entity, event, channel, recipient),
  FOREIGN KEY (company_id, channel) REFERENCES o2c.channel (company_id, code)
);
ALTER SEQUENCE o2c.event_subscription_id_seq OWNED BY o2c.event_subscription.id;
CREATE INDEX event_subscription_channel_idx ON o2c.event_subscription (company_id, channel);
CREATE TRIGGER event_subscriptions AFTER INSERT ON o2c.event
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION o2c._event_subscriptions();
COMMENT ON TABLE o2c.event_subscription IS 'An event of this kind becomes a message, once for each event.';
COMMENT ON COLUMN o2c.event_subscription.template IS 'Kind of the template; NULL is the built-in kind of the event, or entity_event; a webhook without one carries the event as JSON.';
COMMENT ON COLUMN o2c.event_subscription.recipient IS '"customer" is the event''s customer by the channel''s kind; anything else is the address itself.';
COMMENT ON COLUMN o2c.event_subscription.attach IS 'ubl: the invoice as UBL; html: the invoice''s page, or for other events the message''s HTML text, as a file.';

-- Delivery reports as they came in, so that each counts once.
CREATE SEQUENCE o2c.delivery_report_id_seq;
CREATE TABLE o2c.delivery_report (
  company_id integer NOT NULL,
  id bigint NOT NULL DEFAULT pg_catalog.nextval('o2c.delivery_report_id_seq'),
  message_id bigint NOT NULL,
  outcome text NOT NULL CHECK (outcome IN ('delivered', 'bounced', 'failed', 'deferred')),
  report_key text CHECK (pg_catalog.length(report_key) <= 500),
  detail text,
  occurred_at timestamptz NOT NULL DEFAULT pg_catalog.now() CHECK (pg_catalog.isfinite(occurred_at)),
  recorded_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
  PRIMARY KEY (company_id, id),
  UNIQUE (company_id, report_key),
  FOREIGN KEY (company_id, message_id) REFERENCES o2c.message (company_id, id) ON DELETE CASCADE
);
ALTER SEQUENCE o2c.delivery_report_id_seq OWNED BY o2c.delivery_report.id;
CREATE INDEX delivery_report_message_idx ON o2c.delivery_report (company_id, message_id);
COMMENT ON TABLE o2c.delivery_report IS 'What providers reported after a message was sent.';
COMMENT ON COLUMN o2c.delivery_report.report_key IS 'The provider''s own identity of the report; a second one with it changes nothing.';

-- Whether this database may send.  A dump carries the row, but not the
-- identity of the database that it was restored into.
CREATE TABLE o2c.dispatch_state (
  company_id integer NOT NULL,
  armed_identity text,
  armed_at timestamptz,
  armed_by name,
  paused boolean NOT NULL DEFAULT false,
  PRIMARY KEY (company_id)
);
COMMENT ON TABLE o2c.dispatch_state IS 'Armed and paused, per company; company 0 is the whole database.';
COMMENT ON COLUMN o2c.dispatch_state.armed_identity IS 'System identifier, database oid and name for which it was armed.';
