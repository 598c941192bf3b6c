-- Sales orders, their lines and the holds that block their events.

CREATE SEQUENCE o2c.sales_order_id_seq;
CREATE TABLE o2c.sales_order (
  company_id integer NOT NULL,  -- its customer's: one key says both
  id bigint NOT NULL DEFAULT pg_catalog.nextval('o2c.sales_order_id_seq'),
  code text NOT NULL CHECK (code <> '' AND pg_catalog.length(code) <= 100 AND code !~ '[[:cntrl:]]'),
  customer_id bigint NOT NULL,
  state o2c.order_state NOT NULL DEFAULT 'draft',
  deferred boolean NOT NULL DEFAULT false,
  milestone_percent numeric NOT NULL DEFAULT 0 CHECK (milestone_percent >= 0 AND milestone_percent < 'Infinity'),
  currency o2c.currency NOT NULL,
  total_amount numeric NOT NULL DEFAULT 0 CHECK (total_amount >= 0 AND o2c.is_amount(total_amount, currency)),
  ordered_on date NOT NULL CHECK (pg_catalog.isfinite(ordered_on)),
  promised_on date CHECK (pg_catalog.isfinite(promised_on)),
  customer_reference text,
  warehouse text NOT NULL DEFAULT 'main',
  carrier text,
  incoterm text CHECK (incoterm IN ('EXW', 'FCA', 'CPT', 'CIP', 'DAP', 'DPU', 'DDP', 'FAS', 'FOB', 'CFR', 'CIF')),
  incoterm_place text,
  shipping_amount numeric CHECK (shipping_amount >= 0 AND o2c.is_amount(shipping_amount, currency)),
  version integer NOT NULL DEFAULT 1 CHECK (version > 0),
  content_key text,
  created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
  PRIMARY KEY (company_id, id),
  UNIQUE (company_id, code),
  FOREIGN KEY (company_id, customer_id) REFERENCES o2c.customer (company_id, id),
  FOREIGN KEY (company_id, warehouse) REFERENCES o2c.warehouse (company_id, code),
  FOREIGN KEY (company_id, carrier) REFERENCES o2c.carrier (company_id, code)
);
ALTER SEQUENCE o2c.sales_order_id_seq OWNED BY o2c.sales_order.id;
CREATE INDEX sales_order_customer_idx ON o2c.sales_order (company_id, customer_id);
CREATE INDEX sales_order_warehouse_idx ON o2c.sales_order (company_id, warehouse);
CREATE INDEX sales_order_carrier_idx ON o2c.sales_order (company_id, carrier) WHERE carrier IS NOT NULL;
CREATE INDEX sales_order_state_idx ON o2c.sales_order (company_id, state) WHERE state NOT IN ('closed', 'cancelled');
CREATE INDEX sales_order_deferred_idx ON o2c.sales_order (company_id) WHERE deferred;
CREATE TRIGGER sales_order_lifecycle BEFORE INSERT OR UPDATE ON o2c.sales_order
  FOR EACH ROW EXECUTE FUNCTION o2c.lifecycle_guard('order');
CREATE TRIGGER sales_order_log_insert AFTER INSERT ON o2c.sales_order
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION o2c.lifecycle_log('order');
CREATE TRIGGER sales_order_log_update AFTER UPDATE ON o2c.sales_order
  REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION o2c.lifecycle_log('order');
CREATE TRIGGER sales_order_guard BEFORE UPDATE ON o2c.sales_order
  FOR EACH ROW EXECUTE FUNCTION o2c.guard_derived('total_amount', 'customer_id', 'currency', 'deferred', 'milestone_percent');
CREATE TRIGGER sales_order_guard_insert BEFORE INSERT ON o2c.sales_order
  FOR EACH ROW WHEN (NEW.total_amount <> 0 OR NEW.deferred OR NEW.milestone_percent <> 0) EXECUTE FUNCTION o2c.posting_only();
COMMENT ON TABLE o2c.sales_order IS 'A customer''s order; progress stands on its lines.';
COMMENT ON COLUMN o2c.sales_order.total_amount IS 'Sum of the lines'' net amounts, before tax.';
COMMENT ON COLUMN o2c.sales_order.deferred IS
  'Confirmed for a day beyond the company''s credit horizon: what is not shipped takes no credit yet. Kept by triggers and o2c.settle_exposure().';
COMMENT ON COLUMN o2c.sales_order.milestone_percent IS
  'Sum of the milestones on issued invoices: that part of every line is billed, and its open item counts for credit.';
COMMENT ON COLUMN o2c.sales_order.promised_on IS 'Date promised to the customer; the oldest promise is served first.';
COMMENT ON COLUMN o2c.sales_order.incoterm IS 'Delivery term of Incoterms 2020, with its named place.';
COMMENT ON COLUMN o2c.sales_order.shipping_amount IS 'Cost of the carrier by o2c.shipping_rule, looked up at submission; not part of total_amount, billed as a charge with the first invoice.';
COMMENT ON COLUMN o2c.sales_order.version IS 'Counts amendments; earlier versions stand in o2c.order_version.';
COMMENT ON COLUMN o2c.sales_order.content_key IS 'Digest of what was ordered: a repeated call with the same content finds the same order.';

-- A line is updated at every step of its order, twice when goods are picked and
-- shipped in one transaction: with room for three versions on its page no index
-- has to follow.
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
  cancelled numeric NOT NULL DEFAULT 0 CHECK (cancelled >= 0 AND o2c.is_quantity(cancelled)),
  reserved numeric NOT NULL DEFAULT 0 CHECK (reserved >= 0 AND o2c.is_quantity(reserved)),
  picked numeric NOT NULL DEFAULT 0 CHECK (picked >= 0 AND o2c.is_quantity(picked)),
  shipped numeric NOT NULL DEFAULT 0 CHECK (shipped >= 0 AND o2c.is_quantity(shipped)),
  returned numeric NOT NULL DEFAULT 0 CHECK (returned >= 0 AND o2c.is_quantity(returned)),
  invoiced numeric NOT NULL DEFAULT 0 CHECK (invoiced >= 0 AND o2c.is_quantity(invoiced)),
  billed numeric NOT NULL DEFAULT 0 CHECK (billed >= 0 AND o2c.is_quantity(billed)),
  PRIMARY KEY (company_id, id),
  UNIQUE (company_id, order_id, line_no),
  FOREIGN KEY (company_id, order_id) REFERENCES o2c.sales_order (company_id, id),
  FOREIGN KEY (company_id, product_id) REFERENCES o2c.product (company_id, id),
  CONSTRAINT sales_order_line_net_amount CHECK
    (net_amount = o2c.round_amount(quantity * unit_price * (1 - discount_percent / 100), currency)),
  CONSTRAINT sales_order_line_not_over_picked CHECK (picked + cancelled <= quantity),
  CONSTRAINT sales_order_line_not_over_shipped CHECK (shipped <= picked),
  CONSTRAINT sales_order_line_not_over_returned CHECK (returned <= shipped),
  CONSTRAINT sales_order_line_not_over_reserved CHECK (reserved + shipped + cancelled <= quantity)
) WITH (fillfactor = 33);
ALTER SEQUENCE o2c.sales_order_line_id_seq OWNED BY o2c.sales_order_line.id;
CREATE TRIGGER sales_order_line_guard BEFORE UPDATE ON o2c.sales_order_line
  FOR EACH ROW EXECUTE FUNCTION o2c.guard_derived('picked', 'shipped', 'returned', 'invoiced', 'billed');
CREATE INDEX sales_order_line_product_idx ON o2c.sales_order_line (company_id, product_id);
COMMENT ON TABLE o2c.sales_order_line IS 'One product of an order, with what was reserved, shipped, returned and invoiced of it.';
COMMENT ON COLUMN o2c.sales_order_line.net_amount IS 'quantity × unit_price × (1 − discount_percent / 100), rounded to the currency.';
COMMENT ON COLUMN o2c.sales_order_line.cancelled IS 'Part of quantity that will not be delivered any more.';
COMMENT ON COLUMN o2c.sales_order_line.picked IS 'Sum of the line in shipments that are not cancelled, shipped ones included.';
COMMENT ON COLUMN o2c.sales_order_line.shipped IS 'Sum of the line in shipments that have left.';
COMMENT ON COLUMN o2c.sales_order_line.invoiced IS 'Sum of the line on draft and issued invoices, less what issued credit notes took back to be billed again.';
COMMENT ON COLUMN o2c.sales_order_line.billed IS 'Sum of the line on issued invoices, less what was taken back to be billed again: from then on the open item counts for credit.';

CREATE SEQUENCE o2c.hold_id_seq;
CREATE TABLE o2c.hold (
  company_id integer NOT NULL,
  id bigint NOT NULL DEFAULT pg_catalog.nextval('o2c.hold_id_seq'),
  order_id bigint NOT NULL,
  reason text NOT NULL CHECK (reason <> '' AND pg_catalog.length(reason) <= 500),
  note text,
  blocks text[] NOT NULL DEFAULT '{confirm,pick,ship}',
  automatic boolean NOT NULL DEFAULT false,
  release_role name,
  expires_at timestamptz,
  placed_by text NOT NULL DEFAULT current_user,
  placed_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
  released_by text,
  released_at timestamptz,
  release_note text,
  PRIMARY KEY (company_id, id),
  FOREIGN KEY (company_id, order_id) REFERENCES o2c.sales_order (company_id, id),
  CHECK ((released_at IS NULL) = (released_by IS NULL)),
  CHECK (blocks <@ '{confirm,pick,ship,invoice}' AND blocks <> '{}')
);
ALTER SEQUENCE o2c.hold_id_seq OWNED BY o2c.hold.id;
CREATE UNIQUE INDEX hold_open_key ON o2c.hold (company_id, order_id, reason) WHERE released_at IS NULL;
CREATE TRIGGER hold_guard BEFORE UPDATE ON o2c.hold
  FOR EACH ROW EXECUTE FUNCTION o2c.hold_guard();
CREATE INDEX hold_order_idx ON o2c.hold (company_id, order_id);
CREATE INDEX hold_invoice_idx ON o2c.hold (company_id, order_id) WHERE released_at IS NULL AND 'invoice' = ANY (blocks);
COMMENT ON TABLE o2c.hold IS 'What keeps an order from moving on, until it is released by somebody for a reason.';
COMMENT ON COLUMN o2c.hold.blocks IS 'Steps that the hold forbids: confirm, pick, ship, invoice.';
COMMENT ON COLUMN o2c.hold.automatic IS 'Placed by a check at confirmation; releasing it checks again.';
COMMENT ON COLUMN o2c.hold.release_role IS 'Role whose members may release it; NULL: those of o2c_manager.';
COMMENT ON COLUMN o2c.hold.expires_at IS 'From then on the hold no longer blocks.';

CREATE TABLE o2c.hold_reason (
  company_id integer NOT NULL REFERENCES o2c.company,
  code text NOT NULL CHECK (code <> '' AND pg_catalog.length(code) <= 100),
  name text NOT NULL DEFAULT '',
  blocks text[] NOT NULL DEFAULT '{confirm,pick,ship}' CHECK (blocks <@ '{confirm,pick,ship,invoice}' AND blocks <> '{}'),
  release_role name,
  expires_after interval CHECK (expires_after > '0'),
  PRIMARY KEY (company_id, code)
);
COMMENT ON TABLE o2c.hold_reason IS 'What holds of a reason block, who may release them and when they lapse; other reasons block confirm, pick and ship.';

CREATE SEQUENCE o2c.order_version_id_seq;
CREATE TABLE o2c.order_version (
  company_id integer NOT NULL,
  id bigint NOT NULL DEFAULT pg_catalog.nextval('o2c.order_version_id_seq'),
  order_id bigint NOT NULL,
  version integer NOT NULL CHECK (version > 0),
  state o2c.order_state NOT NULL,
  total_amount numeric NOT NULL CHECK (o2c.is_amount(total_amount, currency)),
  currency o2c.currency NOT NULL,
  lines jsonb,
  reason text,
  amended_by text NOT NULL DEFAULT current_user,
  amended_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
  PRIMARY KEY (company_id, id),
  UNIQUE (company_id, order_id, version),
  FOREIGN KEY (company_id, order_id) REFERENCES o2c.sales_order (company_id, id)
);
ALTER SEQUENCE o2c.order_version_id_seq OWNED BY o2c.order_version.id;
CREATE TRIGGER order_version_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON o2c.order_version
  FOR EACH STATEMENT EXECUTE FUNCTION o2c.append_only();
COMMENT ON TABLE o2c.order_version IS 'Append-only: what an order was before each amendment.';
