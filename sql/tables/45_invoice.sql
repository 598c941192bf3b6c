-- Number series and invoices.  What is issued is for ever: a correction is a
-- further document.

CREATE TABLE o2c.number_series (
  company_id integer NOT NULL REFERENCES o2c.company,
  code text NOT NULL CHECK (code <> ''),
  pattern text NOT NULL DEFAULT '{series}{yyyy}-{n:6}',
  reset text NOT NULL DEFAULT 'never' CHECK (reset IN ('never', 'year', 'month')),
  assign text NOT NULL DEFAULT 'issue' CHECK (assign IN ('issue', 'commit')),
  gapless boolean NOT NULL DEFAULT true,
  early_release boolean NOT NULL DEFAULT false,
  PRIMARY KEY (company_id, code)
);
COMMENT ON TABLE o2c.number_series IS 'How documents of one kind are numbered.';

CREATE SEQUENCE o2c.invoice_id_seq;
CREATE TABLE o2c.invoice (
  company_id integer NOT NULL REFERENCES o2c.company,
  id bigint NOT NULL DEFAULT pg_catalog.nextval('o2c.invoice_id_seq'),
  kind text NOT NULL DEFAULT 'invoice' CHECK (kind IN ('invoice', 'credit_note', 'debit_note', 'prepayment')),
  state o2c.invoice_state NOT NULL DEFAULT 'draft',
  number text,
  series text,
  issue_date date CHECK (pg_catalog.isfinite(issue_date)),
  issued_at timestamptz,
  due_date date CHECK (pg_catalog.isfinite(due_date)),
  customer_id bigint NOT NULL,
  order_id bigint,
  original_id bigint,
  currency o2c.currency NOT NULL,
  net_amount numeric NOT NULL DEFAULT 0 CHECK (o2c.is_amount(net_amount, currency)),
  tax_amount numeric NOT NULL DEFAULT 0 CHECK (o2c.is_amount(tax_amount, currency)),
  total_amount numeric NOT NULL DEFAULT 0 CHECK (o2c.is_amount(total_amount, currency)),
  open_amount numeric CHECK (o2c.is_amount(open_amount, currency)),
  payment_term text,
  payment_reference o2c.creditor_reference,
  customer_reference text,
  created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
  PRIMARY KEY (company_id, id),
  UNIQUE (company_id, number),
  FOREIGN KEY (company_id, customer_id) REFERENCES o2c.customer (company_id, id),
  FOREIGN KEY (company_id, order_id) REFERENCES o2c.sales_order (company_id, id),
  FOREIGN KEY (company_id, original_id) REFERENCES o2c.invoice (company_id, id)
);
ALTER SEQUENCE o2c.invoice_id_seq OWNED BY o2c.invoice.id;
CREATE INDEX invoice_customer_idx ON o2c.invoice (company_id, customer_id);
CREATE INDEX invoice_order_idx ON o2c.invoice (company_id, order_id) WHERE order_id IS NOT NULL;
CREATE INDEX invoice_original_idx ON o2c.invoice (company_id, original_id) WHERE original_id IS NOT NULL;
CREATE TRIGGER invoice_lifecycle BEFORE INSERT OR UPDATE ON o2c.invoice
  FOR EACH ROW EXECUTE FUNCTION o2c.lifecycle_guard('invoice');
CREATE TRIGGER invoice_log_update AFTER UPDATE ON o2c.invoice
  REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION o2c.lifecycle_log('invoice');
COMMENT ON TABLE o2c.invoice IS 'Invoices, credit notes and debit notes; credit notes have positive amounts here and a negative open item.';
COMMENT ON COLUMN o2c.invoice.open_amount IS 'What is still to be paid, derived from the ledger.';

CREATE SEQUENCE o2c.invoice_line_id_seq;
CREATE TABLE o2c.invoice_line (
  company_id integer NOT NULL,
  id bigint NOT NULL DEFAULT pg_catalog.nextval('o2c.invoice_line_id_seq'),
  invoice_id bigint NOT NULL,
  line_no integer NOT NULL CHECK (line_no > 0),
  product_id bigint,
  order_line_id bigint,
  shipment_line_id bigint,
  description text NOT NULL,
  quantity numeric NOT NULL CHECK (o2c.is_quantity(quantity)),
  unit text NOT NULL DEFAULT 'C62',
  unit_price numeric NOT NULL CHECK (o2c.is_quantity(unit_price)),
  currency o2c.currency NOT NULL,
  net_amount numeric NOT NULL CHECK (o2c.is_amount(net_amount, currency)),
  tax_category text NOT NULL,
  tax_rate numeric NOT NULL CHECK (tax_rate >= 0 AND tax_rate < 100),
  PRIMARY KEY (company_id, id),
  UNIQUE (company_id, invoice_id, line_no),
  FOREIGN KEY (company_id, invoice_id) REFERENCES o2c.invoice (company_id, id),
  FOREIGN KEY (company_id, product_id) REFERENCES o2c.product (company_id, id),
  FOREIGN KEY (company_id, order_line_id) REFERENCES o2c.sales_order_line (company_id, id),
  FOREIGN KEY (company_id, shipment_line_id) REFERENCES o2c.shipment_line (company_id, id)
);
ALTER SEQUENCE o2c.invoice_line_id_seq OWNED BY o2c.invoice_line.id;
CREATE INDEX invoice_line_product_idx ON o2c.invoice_line (company_id, product_id) WHERE product_id IS NOT NULL;
CREATE INDEX invoice_line_order_line_idx ON o2c.invoice_line (company_id, order_line_id) WHERE order_line_id IS NOT NULL;
CREATE INDEX invoice_line_shipment_line_idx ON o2c.invoice_line (company_id, shipment_line_id) WHERE shipment_line_id IS NOT NULL;
COMMENT ON TABLE o2c.invoice_line IS 'One line of an invoice, net of tax.';

CREATE SEQUENCE o2c.invoice_tax_id_seq;
CREATE TABLE o2c.invoice_tax (
  company_id integer NOT NULL,
  id bigint NOT NULL DEFAULT pg_catalog.nextval('o2c.invoice_tax_id_seq'),
  invoice_id bigint NOT NULL,
  tax_category text NOT NULL,
  tax_rate numeric NOT NULL CHECK (tax_rate >= 0 AND tax_rate < 100),
  currency o2c.currency NOT NULL,
  base_amount numeric NOT NULL CHECK (o2c.is_amount(base_amount, currency)),
  tax_amount numeric NOT NULL CHECK (o2c.is_amount(tax_amount, currency)),
  exemption_code text,
  exemption_reason text,
  PRIMARY KEY (company_id, id),
  UNIQUE (company_id, invoice_id, tax_category, tax_rate),
  FOREIGN KEY (company_id, invoice_id) REFERENCES o2c.invoice (company_id, id)
);
ALTER SEQUENCE o2c.invoice_tax_id_seq OWNED BY o2c.invoice_tax.id;
COMMENT ON TABLE o2c.invoice_tax IS 'Tax of an invoice per category and rate (EN 16931 BG-23).';
