-- Price lists: for everybody, for a group of customers or for one customer.

CREATE SEQUENCE o2c.price_list_id_seq;
CREATE TABLE o2c.price_list (
  company_id integer NOT NULL REFERENCES o2c.company,
  id bigint NOT NULL DEFAULT pg_catalog.nextval('o2c.price_list_id_seq'),
  code text NOT NULL CHECK (code <> '' AND pg_catalog.length(code) <= 100),
  name text NOT NULL DEFAULT '',
  currency o2c.currency NOT NULL,
  customer_id bigint,
  customer_group text CHECK (customer_group <> ''),
  priority integer NOT NULL DEFAULT 0,
  PRIMARY KEY (company_id, id),
  UNIQUE (company_id, code),
  FOREIGN KEY (company_id, customer_id) REFERENCES o2c.customer (company_id, id),
  CHECK (customer_id IS NULL OR customer_group IS NULL)
);
ALTER SEQUENCE o2c.price_list_id_seq OWNED BY o2c.price_list.id;
CREATE INDEX price_list_customer_idx ON o2c.price_list (company_id, customer_id) WHERE customer_id IS NOT NULL;
COMMENT ON TABLE o2c.price_list IS 'A list of prices in one currency; a customer''s own list goes before that of its group, that before the general ones.';
COMMENT ON COLUMN o2c.price_list.priority IS 'Among lists of the same reach the higher one is asked first.';

CREATE SEQUENCE o2c.price_id_seq;
CREATE TABLE o2c.price (
  company_id integer NOT NULL,
  id bigint NOT NULL DEFAULT pg_catalog.nextval('o2c.price_id_seq'),
  price_list_id bigint NOT NULL,
  product_id bigint NOT NULL,
  min_quantity numeric NOT NULL DEFAULT 0 CHECK (min_quantity >= 0 AND o2c.is_quantity(min_quantity)),
  unit_price numeric NOT NULL CHECK (unit_price >= 0 AND o2c.is_quantity(unit_price)),
  discount_percent numeric NOT NULL DEFAULT 0 CHECK (discount_percent BETWEEN 0 AND 100),
  valid daterange NOT NULL DEFAULT '(,)' CHECK (NOT pg_catalog.isempty(valid)),
  PRIMARY KEY (company_id, id),
  FOREIGN KEY (company_id, price_list_id) REFERENCES o2c.price_list (company_id, id),
  FOREIGN KEY (company_id, product_id) REFERENCES o2c.product (company_id, id),
  -- one price on any day; ranges of one value stand for equality, which GiST
  -- lacks for plain columns
  CONSTRAINT price_one_a_day EXCLUDE USING gist (
    pg_catalog.int4range(company_id, company_id, '[]') WITH &&,
    pg_catalog.int8range(price_list_id, price_list_id, '[]') WITH &&,
    pg_catalog.int8range(product_id, product_id, '[]') WITH &&,
    pg_catalog.numrange(min_quantity, min_quantity, '[]') WITH &&,
    valid WITH &&)
);
ALTER SEQUENCE o2c.price_id_seq OWNED BY o2c.price.id;
CREATE INDEX price_product_idx ON o2c.price (company_id, product_id);
CREATE INDEX price_list_idx ON o2c.price (company_id, price_list_id);
COMMENT ON TABLE o2c.price IS 'Price of a product in a list from a quantity on, while valid.';
COMMENT ON COLUMN o2c.price.min_quantity IS 'From this quantity of an order line on.';

-- Carriers and what they cost.
CREATE TABLE o2c.carrier (
  company_id integer NOT NULL REFERENCES o2c.company,
  code text NOT NULL CHECK (code <> '' AND pg_catalog.length(code) <= 100),
  name text NOT NULL DEFAULT '',
  active boolean NOT NULL DEFAULT true,
  PRIMARY KEY (company_id, code)
);
COMMENT ON TABLE o2c.carrier IS 'Who brings goods to customers.';

CREATE SEQUENCE o2c.shipping_rule_id_seq;
CREATE TABLE o2c.shipping_rule (
  company_id integer NOT NULL,
  id bigint NOT NULL DEFAULT pg_catalog.nextval('o2c.shipping_rule_id_seq'),
  carrier text NOT NULL,
  country text CHECK (country ~ '^[A-Z]{2}$'),
  basis text NOT NULL DEFAULT 'weight' CHECK (basis IN ('weight', 'amount')),
  from_value numeric NOT NULL DEFAULT 0 CHECK (from_value >= 0 AND o2c.is_quantity(from_value)),
  to_value numeric CHECK (to_value > from_value AND o2c.is_quantity(to_value)),
  currency o2c.currency NOT NULL,
  cost_amount numeric NOT NULL CHECK (cost_amount >= 0 AND o2c.is_amount(cost_amount, currency)),
  lead_days integer NOT NULL DEFAULT 0 CHECK (lead_days BETWEEN 0 AND 3650),
  PRIMARY KEY (company_id, id),
  FOREIGN KEY (company_id, carrier) REFERENCES o2c.carrier (company_id, code)
);
ALTER SEQUENCE o2c.shipping_rule_id_seq OWNED BY o2c.shipping_rule.id;
CREATE INDEX shipping_rule_carrier_idx ON o2c.shipping_rule (company_id, carrier);
COMMENT ON TABLE o2c.shipping_rule IS 'Cost and days of a carrier, by the weight (kg) or the net amount of an order, to a country or anywhere (NULL).';

CREATE TRIGGER product_history_update AFTER UPDATE ON o2c.product
  REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION o2c.record_history();
CREATE TRIGGER product_history_delete AFTER DELETE ON o2c.product
  REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION o2c.record_history();
CREATE TRIGGER price_history_update AFTER UPDATE ON o2c.price
  REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION o2c.record_history();
CREATE TRIGGER price_history_delete AFTER DELETE ON o2c.price
  REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION o2c.record_history();
