-- Customers: who orders, who pays, how they are reached.

CREATE SEQUENCE o2c.customer_id_seq;
CREATE TABLE o2c.customer (
  company_id integer NOT NULL REFERENCES o2c.company,
  id bigint NOT NULL DEFAULT pg_catalog.nextval('o2c.customer_id_seq'),
  code text NOT NULL CHECK (code <> '' AND pg_catalog.length(code) <= 100 AND code !~ '[[:cntrl:]]'),
  name text NOT NULL CHECK (name <> '' AND pg_catalog.length(name) <= 300 AND name !~ '[[:cntrl:]]'),
  country text CHECK (country ~ '^[A-Z]{2}$'),
  currency o2c.currency NOT NULL,
  language text CHECK (language ~ '^[a-z]{2}(-[A-Z]{2})?$'),
  email text CHECK (email !~ '[[:cntrl:]]' AND pg_catalog.length(email) <= 320),
  phone text CHECK (phone !~ '[[:cntrl:]]' AND pg_catalog.length(phone) <= 40),
  street text,
  postal_code text,
  city text,
  vat_id text,
  iban o2c.iban,
  account_number text CHECK (account_number <> '' AND pg_catalog.length(account_number) <= 64),
  time_zone text,
  credit_limit numeric CHECK (credit_limit >= 0 AND o2c.is_amount(credit_limit, currency)),
  payment_term text,
  parent_code text,
  customer_group text CHECK (customer_group <> ''),
  risk_class text,
  collector text,
  channel text NOT NULL DEFAULT 'email' CHECK (channel IN ('email', 'sms', 'post', 'none')),
  created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
  PRIMARY KEY (company_id, id),
  UNIQUE (company_id, code),
  FOREIGN KEY (company_id, payment_term) REFERENCES o2c.payment_term (company_id, code),
  FOREIGN KEY (company_id, parent_code) REFERENCES o2c.customer (company_id, code)
    DEFERRABLE INITIALLY DEFERRED,
  CHECK (parent_code <> code)
);
ALTER SEQUENCE o2c.customer_id_seq OWNED BY o2c.customer.id;
CREATE INDEX customer_parent_idx ON o2c.customer (company_id, parent_code) WHERE parent_code IS NOT NULL;
CREATE INDEX customer_payment_term_idx ON o2c.customer (company_id, payment_term) WHERE payment_term IS NOT NULL;
CREATE INDEX customer_iban_idx ON o2c.customer (company_id, iban) WHERE iban IS NOT NULL;
CREATE INDEX customer_account_idx ON o2c.customer (company_id, account_number) WHERE account_number IS NOT NULL;
CREATE TRIGGER customer_defaults BEFORE INSERT ON o2c.customer
  FOR EACH ROW WHEN (NEW.currency IS NULL) EXECUTE FUNCTION o2c._customer_defaults();
COMMENT ON TABLE o2c.customer IS 'A customer; code is the user''s own key.';
COMMENT ON COLUMN o2c.customer.currency IS 'Currency of the credit limit and default of orders; the company''s when not given.';
COMMENT ON COLUMN o2c.customer.credit_limit IS 'Limit in currency; NULL is unlimited, 0 is no credit.';
COMMENT ON COLUMN o2c.customer.account_number IS 'Bank account where it has no valid IBAN: as given, capitals, without blanks.';
COMMENT ON COLUMN o2c.customer.parent_code IS 'Customer that pays for this one and whose limit holds for the group.';
COMMENT ON COLUMN o2c.customer.risk_class IS 'low, medium or high by o2c.classify_risk(), or a class of one''s own.';
COMMENT ON COLUMN o2c.customer.collector IS 'Who collects from this customer.';
COMMENT ON COLUMN o2c.customer.channel IS 'How the customer wants to be written to.';

CREATE SEQUENCE o2c.customer_address_id_seq;
CREATE TABLE o2c.customer_address (
  company_id integer NOT NULL,
  id bigint NOT NULL DEFAULT pg_catalog.nextval('o2c.customer_address_id_seq'),
  customer_id bigint NOT NULL,
  role text NOT NULL DEFAULT 'billing' CHECK (role IN ('billing', 'shipping', 'dunning', 'other')),
  name text CHECK (pg_catalog.length(name) <= 300),
  street text,
  postal_code text,
  city text,
  region text,
  country text CHECK (country ~ '^[A-Z]{2}$'),
  is_default boolean NOT NULL DEFAULT false,
  PRIMARY KEY (company_id, id),
  FOREIGN KEY (company_id, customer_id) REFERENCES o2c.customer (company_id, id)
);
ALTER SEQUENCE o2c.customer_address_id_seq OWNED BY o2c.customer_address.id;
CREATE INDEX customer_address_customer_idx ON o2c.customer_address (company_id, customer_id);
CREATE UNIQUE INDEX customer_address_default_key ON o2c.customer_address (company_id, customer_id, role) WHERE is_default;
COMMENT ON TABLE o2c.customer_address IS 'Addresses of a customer by what they are for; the customer''s own one holds where none is given. Account letters go to dunning, then billing; invoices name billing and shipping.';
COMMENT ON COLUMN o2c.customer_address.name IS 'Who is addressed there, where it is not the customer by its name.';
COMMENT ON COLUMN o2c.customer_address.is_default IS 'Of several with a role this one is taken, else the oldest.';

CREATE SEQUENCE o2c.customer_contact_id_seq;
CREATE TABLE o2c.customer_contact (
  company_id integer NOT NULL,
  id bigint NOT NULL DEFAULT pg_catalog.nextval('o2c.customer_contact_id_seq'),
  customer_id bigint NOT NULL,
  role text NOT NULL DEFAULT 'billing' CHECK (role IN ('billing', 'shipping', 'dunning', 'collector', 'signing', 'other')),
  name text NOT NULL CHECK (name <> '' AND pg_catalog.length(name) <= 300),
  email text CHECK (email !~ '[[:cntrl:]]' AND pg_catalog.length(email) <= 320),
  phone text CHECK (phone !~ '[[:cntrl:]]' AND pg_catalog.length(phone) <= 40),
  language text CHECK (language ~ '^[a-z]{2}(-[A-Z]{2})?$'),
  channel text CHECK (channel IN ('email', 'sms', 'post', 'none')),
  is_default boolean NOT NULL DEFAULT false,
  PRIMARY KEY (company_id, id),
  FOREIGN KEY (company_id, customer_id) REFERENCES o2c.customer (company_id, id)
);
ALTER SEQUENCE o2c.customer_contact_id_seq OWNED BY o2c.customer_contact.id;
CREATE INDEX customer_contact_customer_idx ON o2c.customer_contact (company_id, customer_id);
CREATE UNIQUE INDEX customer_contact_default_key ON o2c.customer_contact (company_id, customer_id, role) WHERE is_default;
COMMENT ON TABLE o2c.customer_contact IS 'People at a customer by what they are asked about, with their language and channel. Account letters go to dunning, then billing.';

-- A changed bank account is how money is stolen: where the company asks for
-- four eyes, nobody changes one alone.
CREATE SEQUENCE o2c.customer_bank_account_id_seq;
CREATE TABLE o2c.customer_bank_account (
  company_id integer NOT NULL,
  id bigint NOT NULL DEFAULT pg_catalog.nextval('o2c.customer_bank_account_id_seq'),
  customer_id bigint NOT NULL,
  iban o2c.iban NOT NULL,
  bic text CHECK (bic ~ '^[A-Z]{4}[A-Z]{2}[A-Z0-9]{2}([A-Z0-9]{3})?$'),
  holder text CHECK (pg_catalog.length(holder) <= 300),
  proposed_by text NOT NULL DEFAULT current_user,
  proposed_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
  approved_by text,
  approved_at timestamptz,
  PRIMARY KEY (company_id, id),
  UNIQUE (company_id, customer_id, iban),
  FOREIGN KEY (company_id, customer_id) REFERENCES o2c.customer (company_id, id),
  CHECK ((approved_by IS NULL) = (approved_at IS NULL))
);
ALTER SEQUENCE o2c.customer_bank_account_id_seq OWNED BY o2c.customer_bank_account.id;
CREATE INDEX customer_bank_account_iban_idx ON o2c.customer_bank_account (company_id, iban);
CREATE TRIGGER customer_bank_account_eyes BEFORE INSERT OR UPDATE ON o2c.customer_bank_account
  FOR EACH ROW EXECUTE FUNCTION o2c._bank_account_eyes();
CREATE TRIGGER customer_iban_eyes BEFORE INSERT OR UPDATE ON o2c.customer
  FOR EACH ROW WHEN (NEW.iban IS NOT NULL) EXECUTE FUNCTION o2c._customer_iban_eyes();
COMMENT ON TABLE o2c.customer_bank_account IS 'Bank accounts of customers, with who proposed and who approved them.';

CREATE SEQUENCE o2c.master_history_id_seq;
CREATE TABLE o2c.master_history (
  company_id integer NOT NULL,
  id bigint NOT NULL DEFAULT pg_catalog.nextval('o2c.master_history_id_seq'),
  entity text NOT NULL,
  entity_id text NOT NULL,
  operation text NOT NULL CHECK (operation IN ('insert', 'update', 'delete')),
  before jsonb,
  after jsonb,
  changed_by text NOT NULL,
  changed_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
  PRIMARY KEY (company_id, id)
);
ALTER SEQUENCE o2c.master_history_id_seq OWNED BY o2c.master_history.id;
CREATE INDEX master_history_entity_idx ON o2c.master_history (company_id, entity, entity_id);
CREATE TRIGGER master_history_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON o2c.master_history
  FOR EACH STATEMENT EXECUTE FUNCTION o2c.append_only();
COMMENT ON TABLE o2c.master_history IS
  'Append-only: changes of master data, the columns that changed before and after, by whom and when.';

CREATE TRIGGER customer_history_update AFTER UPDATE ON o2c.customer
  REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION o2c.record_history();
CREATE TRIGGER customer_history_delete AFTER DELETE ON o2c.customer
  REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION o2c.record_history();
CREATE TRIGGER customer_address_history_update AFTER UPDATE ON o2c.customer_address
  REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION o2c.record_history();
CREATE TRIGGER customer_address_history_delete AFTER DELETE ON o2c.customer_address
  REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION o2c.record_history();
CREATE TRIGGER customer_contact_history_update AFTER UPDATE ON o2c.customer_contact
  REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION o2c.record_history();
CREATE TRIGGER customer_contact_history_delete AFTER DELETE ON o2c.customer_contact
  REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION o2c.record_history();
CREATE TRIGGER customer_bank_account_history_insert AFTER INSERT ON o2c.customer_bank_account
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION o2c.record_history();
CREATE TRIGGER customer_bank_account_history_update AFTER UPDATE ON o2c.customer_bank_account
  REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION o2c.record_history();
CREATE TRIGGER customer_bank_account_history_delete AFTER DELETE ON o2c.customer_bank_account
  REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION o2c.record_history();
