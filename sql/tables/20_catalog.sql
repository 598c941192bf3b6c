-- Products, warehouses and stock.  Prices stand in 21_price.sql.

CREATE SEQUENCE o2c.product_id_seq;
CREATE TABLE o2c.product (
  company_id integer NOT NULL REFERENCES o2c.company,
  id bigint NOT NULL DEFAULT pg_catalog.nextval('o2c.product_id_seq'),
  code text NOT NULL CHECK (code <> '' AND pg_catalog.length(code) <= 100 AND code !~ '[[:cntrl:]]'),
  name text NOT NULL CHECK (name <> '' AND pg_catalog.length(name) <= 300 AND name !~ '[[:cntrl:]]'),
  unit text NOT NULL DEFAULT 'C62' CHECK (unit <> '' AND pg_catalog.length(unit) <= 20),
  tax_category text NOT NULL DEFAULT 'S' CHECK (tax_category <> '' AND pg_catalog.length(tax_category) <= 20),
  unit_price numeric CHECK (unit_price >= 0 AND o2c.is_quantity(unit_price)),
  unit_cost numeric CHECK (unit_cost >= 0 AND o2c.is_quantity(unit_cost)),
  weight numeric CHECK (weight >= 0 AND o2c.is_quantity(weight)),
  stocked boolean NOT NULL DEFAULT false,
  backorder boolean NOT NULL DEFAULT false,
  lead_days integer NOT NULL DEFAULT 0 CHECK (lead_days BETWEEN 0 AND 3650),
  active boolean NOT NULL DEFAULT true,
  created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
  PRIMARY KEY (company_id, id),
  UNIQUE (company_id, code)
);
ALTER SEQUENCE o2c.product_id_seq OWNED BY o2c.product.id;
COMMENT ON TABLE o2c.product IS 'What is sold; code is the user''s own key.';
COMMENT ON COLUMN o2c.product.unit IS 'UNECE Recommendation 20 code; C62 is one piece.';
COMMENT ON COLUMN o2c.product.tax_category IS 'EN 16931 category (UNCL 5305): S standard, Z zero, E exempt, AE reverse charge, …';
COMMENT ON COLUMN o2c.product.unit_price IS 'List price in the company''s currency, net of tax.';
COMMENT ON COLUMN o2c.product.unit_cost IS 'Cost of one unit in the company''s currency, for margins.';
COMMENT ON COLUMN o2c.product.weight IS 'Weight of one unit in kilograms, for shipping rules.';
COMMENT ON COLUMN o2c.product.stocked IS 'Whether orders reserve stock; services and untracked goods do not.';
COMMENT ON COLUMN o2c.product.backorder IS 'Whether an order may be confirmed while stock is short; the rest is reserved when goods arrive.';
COMMENT ON COLUMN o2c.product.lead_days IS 'Days until goods that are not in stock arrive.';

CREATE TABLE o2c.warehouse (
  company_id integer NOT NULL REFERENCES o2c.company,
  code text NOT NULL CHECK (code <> '' AND pg_catalog.length(code) <= 100),
  name text NOT NULL DEFAULT '',
  PRIMARY KEY (company_id, code)
);
COMMENT ON TABLE o2c.warehouse IS 'Where goods lie; every company starts with "main".';

CREATE SEQUENCE o2c.stock_id_seq;
CREATE TABLE o2c.stock (
  company_id integer NOT NULL,
  id bigint NOT NULL DEFAULT pg_catalog.nextval('o2c.stock_id_seq'),
  product_id bigint NOT NULL,
  warehouse text NOT NULL DEFAULT 'main',
  on_hand numeric NOT NULL DEFAULT 0 CHECK (on_hand >= 0 AND o2c.is_quantity(on_hand)),
  reserved numeric NOT NULL DEFAULT 0 CHECK (reserved >= 0 AND o2c.is_quantity(reserved)),
  available numeric GENERATED ALWAYS AS (on_hand - reserved) STORED,
  PRIMARY KEY (company_id, id),
  UNIQUE (company_id, product_id, warehouse),
  FOREIGN KEY (company_id, product_id) REFERENCES o2c.product (company_id, id),
  FOREIGN KEY (company_id, warehouse) REFERENCES o2c.warehouse (company_id, code),
  -- promised goods are there: stock cannot be promised or taken twice
  CONSTRAINT stock_not_over_reserved CHECK (reserved <= on_hand)
);
ALTER SEQUENCE o2c.stock_id_seq OWNED BY o2c.stock.id;
CREATE INDEX stock_warehouse_idx ON o2c.stock (company_id, warehouse);
CREATE TRIGGER stock_guard BEFORE UPDATE ON o2c.stock
  FOR EACH ROW EXECUTE FUNCTION o2c.guard_derived('reserved', 'product_id', 'warehouse');
CREATE TRIGGER stock_guard_insert BEFORE INSERT ON o2c.stock
  FOR EACH ROW WHEN (NEW.reserved <> 0) EXECUTE FUNCTION o2c.posting_only();
COMMENT ON TABLE o2c.stock IS 'Goods of a product in a warehouse, and how many of them orders have reserved.';
COMMENT ON COLUMN o2c.stock.reserved IS 'Sum of the order lines'' reserved quantities, kept by their trigger.';
