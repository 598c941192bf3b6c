-- Customers: who orders, who pays, how they are reached.

CREATE SEQUENCE o2c.customer_id_seq;
CREATE TABLE o2c.customer (
  company_id integer NOT NULL REFERENCES o2c.company,
  id bigint NOT NULL DEFAULT pg_catalog.nextval('o2c.customer_id_seq'),
  code text NOT NULL CHECK (code <> '' AND pg_catalog.length(code) <= 100),
  name text NOT NULL CHECK (name <> '' AND pg_catalog.length(name) <= 300),
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
  account_number text CHECK (account_number <> ''),
  time_zone text,
  credit_limit numeric CHECK (credit_limit >= 0 AND o2c.is_amount(credit_limit, currency)),
  payment_term text,
  parent_code text,
  customer_group text,
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
