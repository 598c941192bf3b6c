-- Companies, who may see them, exchange rates, the event log and what imports
-- refused.  Every other table starts with company_id.

CREATE SEQUENCE o2c.company_company_id_seq AS integer;
CREATE TABLE o2c.company (
  company_id integer NOT NULL DEFAULT pg_catalog.nextval('o2c.company_company_id_seq'),
  name text NOT NULL CHECK (name <> '' AND pg_catalog.length(name) <= 200),
  country text NOT NULL CHECK (country ~ '^[A-Z]{2}$'),
  currency o2c.currency NOT NULL,
  time_zone text NOT NULL DEFAULT 'UTC',
  language text NOT NULL DEFAULT 'en' CHECK (language ~ '^[a-z]{2}(-[A-Z]{2})?$'),
  vat_id text,
  registration_id text,
  street text,
  postal_code text,
  city text,
  email text,
  phone text,
  website text,
  settings jsonb NOT NULL DEFAULT '{}' CHECK (pg_catalog.jsonb_typeof(settings) = 'object'),
  created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
  PRIMARY KEY (company_id)
);
ALTER SEQUENCE o2c.company_company_id_seq OWNED BY o2c.company.company_id;
COMMENT ON TABLE o2c.company IS 'A legal entity that sells; everything else belongs to one.';
COMMENT ON COLUMN o2c.company.time_zone IS 'Decides what "today" is for this company.';
COMMENT ON COLUMN o2c.company.settings IS 'Policies of the company that are not columns; documented per domain.';

CREATE TABLE o2c.company_member (
  company_id integer NOT NULL REFERENCES o2c.company,
  role_name name NOT NULL,
  granted_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
  PRIMARY KEY (company_id, role_name)
);
COMMENT ON TABLE o2c.company_member IS
  'Database roles that see a company: a login sees those of every role it belongs to.';

CREATE TABLE o2c.exchange_rate (
  company_id integer NOT NULL REFERENCES o2c.company,
  from_currency o2c.currency NOT NULL,
  to_currency o2c.currency NOT NULL,
  valid_from date NOT NULL CHECK (pg_catalog.isfinite(valid_from)),
  rate numeric NOT NULL CHECK (rate > 0 AND rate < 1e12),
  PRIMARY KEY (company_id, from_currency, to_currency, valid_from),
  CHECK (from_currency <> to_currency)
);
COMMENT ON TABLE o2c.exchange_rate IS
  'One unit of from_currency is rate units of to_currency, from valid_from until the next row.';

CREATE SEQUENCE o2c.event_id_seq;
CREATE TABLE o2c.event (
  company_id integer NOT NULL,
  id bigint NOT NULL DEFAULT pg_catalog.nextval('o2c.event_id_seq'),
  entity text NOT NULL,
  entity_id bigint NOT NULL,
  event text NOT NULL,
  from_state text,
  to_state text,
  actor text NOT NULL DEFAULT current_user,
  reason text,
  data jsonb,
  at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp() CHECK (pg_catalog.isfinite(at)),
  PRIMARY KEY (company_id, id)
);
ALTER SEQUENCE o2c.event_id_seq OWNED BY o2c.event.id;
CREATE INDEX event_entity_idx ON o2c.event (company_id, entity, entity_id);
CREATE TRIGGER event_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON o2c.event
  FOR EACH STATEMENT EXECUTE FUNCTION o2c.append_only();
COMMENT ON TABLE o2c.event IS 'Append-only: who did what to which document, when and why.';

CREATE SEQUENCE o2c.import_reject_id_seq;
CREATE TABLE o2c.import_reject (
  company_id integer NOT NULL REFERENCES o2c.company,
  id bigint NOT NULL DEFAULT pg_catalog.nextval('o2c.import_reject_id_seq'),
  import text NOT NULL,
  source_row jsonb NOT NULL,
  reason text NOT NULL,
  at timestamptz NOT NULL DEFAULT pg_catalog.now(),
  PRIMARY KEY (company_id, id)
);
ALTER SEQUENCE o2c.import_reject_id_seq OWNED BY o2c.import_reject.id;
COMMENT ON TABLE o2c.import_reject IS 'Rows that an import refused, whole, each with its reason.';
COMMENT ON COLUMN o2c.import_reject.import IS 'The function that refused it, for example import_customers.';

CREATE TRIGGER company_member_grant AFTER INSERT ON o2c.company
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION o2c._company_member_grant();
ALTER TABLE o2c.company ADD CONSTRAINT company_time_zone_known CHECK (o2c._is_time_zone(time_zone));
