-- Shipments of orders.

CREATE SEQUENCE o2c.shipment_id_seq;
CREATE TABLE o2c.shipment (
  company_id integer NOT NULL,
  id bigint NOT NULL DEFAULT pg_catalog.nextval('o2c.shipment_id_seq'),
  order_id bigint NOT NULL,
  state o2c.shipment_state NOT NULL DEFAULT 'planned',
  number text,
  carrier text,
  tracking_number text,
  shipped_on date CHECK (pg_catalog.isfinite(shipped_on)),
  delivered_on date CHECK (pg_catalog.isfinite(delivered_on)),
  created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
  PRIMARY KEY (company_id, id),
  UNIQUE (company_id, number),
  FOREIGN KEY (company_id, order_id) REFERENCES o2c.sales_order (company_id, id)
);
ALTER SEQUENCE o2c.shipment_id_seq OWNED BY o2c.shipment.id;
CREATE INDEX shipment_order_idx ON o2c.shipment (company_id, order_id);
CREATE TRIGGER shipment_lifecycle BEFORE INSERT OR UPDATE ON o2c.shipment
  FOR EACH ROW EXECUTE FUNCTION o2c.lifecycle_guard('shipment');
CREATE TRIGGER shipment_log_insert AFTER INSERT ON o2c.shipment
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION o2c.lifecycle_log('shipment');
CREATE TRIGGER shipment_log_update AFTER UPDATE ON o2c.shipment
  REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION o2c.lifecycle_log('shipment');
COMMENT ON TABLE o2c.shipment IS 'Goods of one order that leave together.';

CREATE SEQUENCE o2c.shipment_line_id_seq;
CREATE TABLE o2c.shipment_line (
  company_id integer NOT NULL,
  id bigint NOT NULL DEFAULT pg_catalog.nextval('o2c.shipment_line_id_seq'),
  shipment_id bigint NOT NULL,
  order_line_id bigint NOT NULL,
  quantity numeric NOT NULL CHECK (quantity > 0 AND o2c.is_quantity(quantity)),
  returned numeric NOT NULL DEFAULT 0 CHECK (returned BETWEEN 0 AND quantity),
  PRIMARY KEY (company_id, id),
  UNIQUE (company_id, shipment_id, order_line_id),
  FOREIGN KEY (company_id, shipment_id) REFERENCES o2c.shipment (company_id, id),
  FOREIGN KEY (company_id, order_line_id) REFERENCES o2c.sales_order_line (company_id, id)
);
ALTER SEQUENCE o2c.shipment_line_id_seq OWNED BY o2c.shipment_line.id;
CREATE INDEX shipment_line_order_line_idx ON o2c.shipment_line (company_id, order_line_id);
COMMENT ON TABLE o2c.shipment_line IS 'How much of an order line a shipment carries.';
CREATE TRIGGER shipment_follow AFTER UPDATE ON o2c.shipment
  REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION o2c.follow_shipments();
CREATE TRIGGER shipment_line_insert AFTER INSERT ON o2c.shipment_line
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION o2c.follow_shipment_lines();
CREATE TRIGGER shipment_line_update AFTER UPDATE ON o2c.shipment_line
  REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION o2c.follow_shipment_lines();
CREATE TRIGGER shipment_line_delete AFTER DELETE ON o2c.shipment_line
  REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION o2c.follow_shipment_lines();
