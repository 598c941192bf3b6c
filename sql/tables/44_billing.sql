-- What decides when and how customers are billed, and the code lists that
-- documents are checked by.

CREATE TABLE o2c.code_list (
  list text NOT NULL,
  code text NOT NULL,
  PRIMARY KEY (list, code)
);
COMMENT ON TABLE o2c.code_list IS 'Code lists of the world: unit, country, exemption, allowance_reason, charge_reason, as EN 16931 accepts them.';

CREATE TABLE o2c.billing_policy (
  company_id integer NOT NULL,
  customer_id bigint NOT NULL,
  method text NOT NULL DEFAULT 'shipment' CHECK (method IN ('shipment', 'order')),
  consolidate text NOT NULL DEFAULT 'order' CHECK (consolidate IN ('order', 'customer', 'shipment')),
  frequency text NOT NULL DEFAULT 'always' CHECK (frequency IN ('always', 'week', 'month')),
  PRIMARY KEY (company_id, customer_id),
  FOREIGN KEY (company_id, customer_id) REFERENCES o2c.customer (company_id, id) ON DELETE CASCADE
);
COMMENT ON TABLE o2c.billing_policy IS 'How a customer is billed, where it is not by shipment and one invoice an order.';
COMMENT ON COLUMN o2c.billing_policy.method IS 'shipment: what has left; order: all of an order when it is confirmed.';
COMMENT ON COLUMN o2c.billing_policy.consolidate IS 'One invoice for each order, customer (and currency) or shipment.';
COMMENT ON COLUMN o2c.billing_policy.frequency IS 'always: with each run; week, month: shipments of weeks or months that are over.';

CREATE SEQUENCE o2c.billing_milestone_id_seq;
CREATE TABLE o2c.billing_milestone (
  company_id integer NOT NULL,
  id bigint NOT NULL DEFAULT pg_catalog.nextval('o2c.billing_milestone_id_seq'),
  order_id bigint NOT NULL,
  name text NOT NULL CHECK (name <> ''),
  percent numeric NOT NULL CHECK (percent > 0 AND percent <= 100),
  reached_on date CHECK (pg_catalog.isfinite(reached_on)),
  PRIMARY KEY (company_id, id),
  UNIQUE (company_id, order_id, name),
  FOREIGN KEY (company_id, order_id) REFERENCES o2c.sales_order (company_id, id)
);
ALTER SEQUENCE o2c.billing_milestone_id_seq OWNED BY o2c.billing_milestone.id;
CREATE TRIGGER billing_milestone_keep BEFORE UPDATE ON o2c.billing_milestone
  FOR EACH ROW WHEN ((NEW.percent, NEW.order_id) IS DISTINCT FROM (OLD.percent, OLD.order_id)) EXECUTE FUNCTION o2c._keep_milestone();
COMMENT ON TABLE o2c.billing_milestone IS 'Shares of an order that are billed when they are reached; such an order is not billed by shipment.';
COMMENT ON COLUMN o2c.billing_milestone.percent IS 'Of the order''s net amount; all milestones of an order should make 100. Stays as it is once the milestone is on a document.';

CREATE SEQUENCE o2c.subscription_id_seq;
CREATE TABLE o2c.subscription (
  company_id integer NOT NULL,
  id bigint NOT NULL DEFAULT pg_catalog.nextval('o2c.subscription_id_seq'),
  code text NOT NULL CHECK (code <> ''),
  customer_id bigint NOT NULL,
  product_id bigint NOT NULL,
  description text NOT NULL DEFAULT '',
  quantity numeric NOT NULL DEFAULT 1 CHECK (quantity > 0 AND o2c.is_quantity(quantity)),
  unit_price numeric NOT NULL CHECK (unit_price >= 0 AND o2c.is_quantity(unit_price)),
  currency o2c.currency NOT NULL,
  period text NOT NULL DEFAULT 'month' CHECK (period IN ('week', 'month', 'quarter', 'year')),
  starts_on date NOT NULL CHECK (pg_catalog.isfinite(starts_on)),
  ends_on date CHECK (pg_catalog.isfinite(ends_on)),
  aligned boolean NOT NULL DEFAULT true,
  in_advance boolean NOT NULL DEFAULT true,
  PRIMARY KEY (company_id, id),
  UNIQUE (company_id, code),
  FOREIGN KEY (company_id, customer_id) REFERENCES o2c.customer (company_id, id),
  FOREIGN KEY (company_id, product_id) REFERENCES o2c.product (company_id, id),
  CHECK (starts_on <= ends_on)
);
ALTER SEQUENCE o2c.subscription_id_seq OWNED BY o2c.subscription.id;
CREATE INDEX subscription_customer_idx ON o2c.subscription (company_id, customer_id);
CREATE INDEX subscription_product_idx ON o2c.subscription (company_id, product_id);
COMMENT ON TABLE o2c.subscription IS 'A product that a customer is billed for in every period.';
COMMENT ON COLUMN o2c.subscription.unit_price IS 'For one unit and one whole period, before tax.';
COMMENT ON COLUMN o2c.subscription.aligned IS 'Periods are those of the calendar, the first and last prorated by days; false: they count from starts_on.';
COMMENT ON COLUMN o2c.subscription.in_advance IS 'Billed when the period begins; false: when it is over.';
