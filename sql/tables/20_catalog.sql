-- Products, price lists and stock.

CREATE SEQUENCE o2c.product_id_seq;
CREATE TABLE o2c.product (
  company_id integer NOT NULL REFERENCES o2c.company,
  id bigint NOT NULL DEFAULT pg_catalog.nextval('o2c.product_id_seq'),
  code text NOT NULL CHECK (code <> '' AND pg_catalog.length(code) <= 100),
  name text NOT NULL CHECK (name <> '' AND pg_catalog.length(name) <= 300),
  unit text NOT NULL DEFAULT 'C62',
  tax_category text NOT NULL DEFAULT 'S',
  unit_price numeric CHECK (unit_price >= 0 AND o2c.is_quantity(unit_price)),
  unit_cost numeric CHECK (unit_cost >= 0 AND o2c.is_quantity(unit_cost)),
  stocked boolean NOT NULL DEFAULT false,
  created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
  PRIMARY KEY (company_id, id),
  UNIQUE (company_id, code)
);
ALTER SEQUENCE o2c.product_id_seq OWNED BY o2c.product.id;
COMMENT ON TABLE o2c.product IS 'What is sold; code is the user''s own key.';
COMMENT ON COLUMN o2c.product.unit IS 'UNECE Recommendation 20 code; C62 is one piece.';
COMMENT ON COLUMN o2c.product.tax_category IS 'EN 16931 category (UNCL 5305): S standard, Z zero, E exempt, AE reverse charge, …';
COMMENT ON COLUMN o2c.product.unit_price IS 'List price in the company''s currency, net of tax.';
COMMENT ON COLUMN o2c.product.stocked IS 'Whether orders reserve stock; services and untracked goods do not.';
