-- Sales orders, their lines and the holds that block their events.

CREATE SEQUENCE o2c.sales_order_id_seq;
CREATE TABLE o2c.sales_order (
  company_id integer NOT NULL REFERENCES o2c.company,
  id bigint NOT NULL DEFAULT pg_catalog.nextval('o2c.sales_order_id_seq'),
  code text NOT NULL CHECK (code <> '' AND pg_catalog.length(code) <= 100),
  customer_id bigint NOT NULL,
  state o2c.order_state NOT NULL DEFAULT 'draft',
  currency o2c.currency NOT NULL,
  total_amount numeric NOT NULL DEFAULT 0 CHECK (total_amount >= 0 AND o2c.is_amount(total_amount, currency)),
  ordered_on date NOT NULL CHECK (pg_catalog.isfinite(ordered_on)),
  customer_reference text,
  created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
  PRIMARY KEY (company_id, id),
  UNIQUE (company_id, code),
  FOREIGN KEY (company_id, customer_id) REFERENCES o2c.customer (company_id, id)
);
ALTER SEQUENCE o2c.sales_order_id_seq OWNED BY o2c.sales_order.id;
CREATE INDEX sales_order_customer_idx ON o2c.sales_order (company_id, customer_id);
CREATE INDEX sales_order_state_idx ON o2c.sales_order (company_id, state) WHERE state NOT IN ('closed', 'cancelled');
CREATE TRIGGER sales_order_lifecycle BEFORE INSERT OR UPDATE ON o2c.sales_order
  FOR EACH ROW EXECUTE FUNCTION o2c.lifecycle_guard('order');
CREATE TRIGGER sales_order_log_insert AFTER INSERT ON o2c.sales_order
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION o2c.lifecycle_log('order');
CREATE TRIGGER sales_order_log_update AFTER UPDATE ON o2c.sales_order
  REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION o2c.lifecycle_log('order');
COMMENT ON TABLE o2c.sales_order IS 'A customer''s order; progress stands on its lines.';
COMMENT ON COLUMN o2c.sales_order.total_amount IS 'Sum of the lines'' net amounts, before tax.';

CREATE SEQUENCE o2c.sales_order_line_id_seq;
CREATE TABLE o2c.sales_order_line (
  company_id integer NOT NULL,
  id bigint NOT NULL DEFAULT pg_catalog.nextval('o2c.sales_order_line_id_seq'),
  order_id bigint NOT NULL,
  line_no integer NOT NULL CHECK (line_no > 0),
  product_id bigint NOT NULL,
  description text NOT NULL DEFAULT '',
  quantity numeric NOT NULL CHECK (quantity > 0 AND o2c.is_quantity(quantity)),
  unit_price numeric NOT NULL CHECK (unit_price >= 0 AND o2c.is_quantity(unit_price)),
  discount_percent numeric NOT NULL DEFAULT 0 CHECK (discount_percent BETWEEN 0 AND 100),
  currency o2c.currency NOT NULL,
  net_amount numeric NOT NULL CHECK (net_amount >= 0 AND o2c.is_amount(net_amount, currency)),
  tax_category text NOT NULL DEFAULT 'S',
  reserved numeric NOT NULL DEFAULT 0 CHECK (reserved >= 0 AND o2c.is_quantity(reserved)),
  shipped numeric NOT NULL DEFAULT 0 CHECK (shipped >= 0 AND o2c.is_quantity(shipped)),
  returned numeric NOT NULL DEFAULT 0 CHECK (returned >= 0 AND o2c.is_quantity(returned)),
  invoiced numeric NOT NULL DEFAULT 0 CHECK (invoiced >= 0 AND o2c.is_quantity(invoiced)),
  PRIMARY KEY (company_id, id),
  UNIQUE (company_id, order_id, line_no),
  FOREIGN KEY (company_id, order_id) REFERENCES o2c.sales_order (company_id, id),
  FOREIGN KEY (company_id, product_id) REFERENCES o2c.product (company_id, id),
  CHECK (shipped <= quantity),
  CHECK (returned <= shipped),
  CHECK (reserved + shipped <= quantity)
);
ALTER SEQUENCE o2c.sales_order_line_id_seq OWNED BY o2c.sales_order_line.id;
CREATE INDEX sales_order_line_product_idx ON o2c.sales_order_line (company_id, product_id);
COMMENT ON TABLE o2c.sales_order_line IS 'One product of an order, with what was reserved, shipped, returned and invoiced of it.';

CREATE SEQUENCE o2c.hold_id_seq;
CREATE TABLE o2c.hold (
  company_id integer NOT NULL,
  id bigint NOT NULL DEFAULT pg_catalog.nextval('o2c.hold_id_seq'),
  order_id bigint NOT NULL,
  reason text NOT NULL CHECK (reason <> ''),
  note text,
  placed_by text NOT NULL DEFAULT current_user,
  placed_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
  released_by text,
  released_at timestamptz,
  release_note text,
  PRIMARY KEY (company_id, id),
  FOREIGN KEY (company_id, order_id) REFERENCES o2c.sales_order (company_id, id),
  CHECK ((released_at IS NULL) = (released_by IS NULL))
);
ALTER SEQUENCE o2c.hold_id_seq OWNED BY o2c.hold.id;
CREATE UNIQUE INDEX hold_open_key ON o2c.hold (company_id, order_id, reason) WHERE released_at IS NULL;
CREATE INDEX hold_order_idx ON o2c.hold (company_id, order_id);
COMMENT ON TABLE o2c.hold IS 'What keeps an order from moving on, until it is released by somebody for a reason.';
