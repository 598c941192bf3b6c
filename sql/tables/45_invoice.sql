-- Invoices, their lines, allowances and taxes.  What is issued is for ever: a
-- correction is a further document.

CREATE SEQUENCE o2c.invoice_id_seq;
CREATE TABLE o2c.invoice (
  company_id integer NOT NULL REFERENCES o2c.company,
  id bigint NOT NULL DEFAULT pg_catalog.nextval('o2c.invoice_id_seq'),
  kind text NOT NULL DEFAULT 'invoice' CHECK (kind IN ('invoice', 'credit_note', 'debit_note', 'prepayment')),
  state o2c.invoice_state NOT NULL DEFAULT 'draft',
  number text,
  series text COLLATE "C",
  sequence_period date CHECK (pg_catalog.isfinite(sequence_period)),
  sequence_no bigint CHECK (sequence_no > 0),
  issue_date date CHECK (pg_catalog.isfinite(issue_date)),
  issued_at timestamptz,
  due_date date CHECK (pg_catalog.isfinite(due_date)),
  customer_id bigint NOT NULL,
  order_id bigint,
  original_id bigint,
  currency o2c.currency NOT NULL,
  line_total numeric NOT NULL DEFAULT 0 CHECK (o2c.is_amount(line_total, currency)),
  allowance_total numeric NOT NULL DEFAULT 0 CHECK (o2c.is_amount(allowance_total, currency)),
  charge_total numeric NOT NULL DEFAULT 0 CHECK (o2c.is_amount(charge_total, currency)),
  net_amount numeric NOT NULL DEFAULT 0 CHECK (o2c.is_amount(net_amount, currency)),
  tax_amount numeric NOT NULL DEFAULT 0 CHECK (o2c.is_amount(tax_amount, currency)),
  total_amount numeric NOT NULL DEFAULT 0 CHECK (o2c.is_amount(total_amount, currency)),
  prepaid_amount numeric NOT NULL DEFAULT 0 CHECK (prepaid_amount >= 0 AND o2c.is_amount(prepaid_amount, currency)),
  rounding_amount numeric NOT NULL DEFAULT 0 CHECK (o2c.is_amount(rounding_amount, currency)),
  payable_amount numeric NOT NULL DEFAULT 0 CHECK (o2c.is_amount(payable_amount, currency)),
  open_amount numeric CHECK (o2c.is_amount(open_amount, currency)),
  advance_amount numeric NOT NULL DEFAULT 0 CHECK (advance_amount >= 0 AND o2c.is_amount(advance_amount, currency)),
  prices_include_tax boolean NOT NULL DEFAULT false,
  tax_currency o2c.currency,
  exchange_rate numeric CHECK (exchange_rate > 0 AND exchange_rate < 1e12),
  tax_amount_base numeric CHECK (o2c.is_amount(tax_amount_base, tax_currency)),
  payment_term text,
  payment_reference o2c.creditor_reference,
  customer_reference text CHECK (pg_catalog.length(customer_reference) <= 200),
  buyer_reference text CHECK (pg_catalog.length(buyer_reference) <= 200),
  supply_date date CHECK (pg_catalog.isfinite(supply_date)),
  period_start date CHECK (pg_catalog.isfinite(period_start)),
  period_end date CHECK (pg_catalog.isfinite(period_end)),
  note text,
  reason text,
  seller jsonb,
  buyer jsonb,
  delivery jsonb,
  payment_means jsonb,
  created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
  PRIMARY KEY (company_id, id),
  UNIQUE (company_id, number),
  FOREIGN KEY (company_id, customer_id) REFERENCES o2c.customer (company_id, id),
  FOREIGN KEY (company_id, order_id) REFERENCES o2c.sales_order (company_id, id),
  FOREIGN KEY (company_id, original_id) REFERENCES o2c.invoice (company_id, id),
  CONSTRAINT invoice_draft_has_no_number CHECK (state <> 'draft' OR number IS NULL),
  CONSTRAINT invoice_net CHECK (state = 'draft' OR net_amount = line_total - allowance_total + charge_total),
  CONSTRAINT invoice_total CHECK (state = 'draft' OR total_amount = net_amount + tax_amount),
  CONSTRAINT invoice_payable CHECK (state = 'draft' OR payable_amount = total_amount - prepaid_amount + rounding_amount),
  CHECK (period_start <= period_end)
);
ALTER SEQUENCE o2c.invoice_id_seq OWNED BY o2c.invoice.id;
CREATE INDEX invoice_customer_idx ON o2c.invoice (company_id, customer_id);
CREATE INDEX invoice_order_idx ON o2c.invoice (company_id, order_id) WHERE order_id IS NOT NULL;
CREATE INDEX invoice_original_idx ON o2c.invoice (company_id, original_id) WHERE original_id IS NOT NULL;
CREATE INDEX invoice_advance_idx ON o2c.invoice (company_id, customer_id) WHERE advance_amount <> 0;
CREATE INDEX invoice_draft_idx ON o2c.invoice (company_id, id) WHERE state = 'draft';
CREATE TRIGGER invoice_lifecycle BEFORE INSERT OR UPDATE ON o2c.invoice
  FOR EACH ROW EXECUTE FUNCTION o2c.lifecycle_guard('invoice');
CREATE TRIGGER invoice_guard BEFORE INSERT OR UPDATE OR DELETE ON o2c.invoice
  FOR EACH ROW EXECUTE FUNCTION o2c._invoice_guard();
CREATE CONSTRAINT TRIGGER invoice_assign AFTER UPDATE ON o2c.invoice
  DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW WHEN (NEW.number IS NULL AND NEW.state <> 'draft') EXECUTE FUNCTION o2c._invoice_assign();
CREATE TRIGGER invoice_no_truncate BEFORE TRUNCATE ON o2c.invoice
  FOR EACH STATEMENT EXECUTE FUNCTION o2c._no_truncate();
CREATE TRIGGER invoice_log_update AFTER UPDATE ON o2c.invoice
  REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION o2c.lifecycle_log('invoice');
COMMENT ON TABLE o2c.invoice IS 'Invoices, credit notes and debit notes; credit notes have positive amounts here and a negative open item.';
COMMENT ON COLUMN o2c.invoice.advance_amount IS
  'Of a prepayment invoice, net of tax: what is settled of it and no issued document has deducted or credited; it lowers the customer''s exposure.';
COMMENT ON COLUMN o2c.invoice.series IS 'Series of the number; the one of the document''s kind when NULL.';
COMMENT ON COLUMN o2c.invoice.sequence_no IS 'The n of the number within its series and period: what gapless is proved by.';
COMMENT ON COLUMN o2c.invoice.issued_at IS 'When the number was drawn, taken under the lock of the series.';
COMMENT ON COLUMN o2c.invoice.original_id IS 'The invoice that a credit or debit note corrects.';
COMMENT ON COLUMN o2c.invoice.line_total IS 'Sum of the lines'' net amounts (BT-106).';
COMMENT ON COLUMN o2c.invoice.allowance_total IS 'Sum of the document''s allowances (BT-107).';
COMMENT ON COLUMN o2c.invoice.charge_total IS 'Sum of the document''s charges (BT-108).';
COMMENT ON COLUMN o2c.invoice.net_amount IS 'Total without tax (BT-109).';
COMMENT ON COLUMN o2c.invoice.total_amount IS 'Total with tax (BT-112).';
COMMENT ON COLUMN o2c.invoice.prepaid_amount IS 'What was paid before the invoice and is deducted from it (BT-113).';
COMMENT ON COLUMN o2c.invoice.rounding_amount IS 'Added to the total to make what is to be paid (BT-114).';
COMMENT ON COLUMN o2c.invoice.payable_amount IS 'What is to be paid (BT-115): the amount of the open items.';
COMMENT ON COLUMN o2c.invoice.open_amount IS 'What is still to be paid, derived from the ledger.';
COMMENT ON COLUMN o2c.invoice.prices_include_tax IS 'The lines'' gross_price are prices with tax; unit_price follows from them.';
COMMENT ON COLUMN o2c.invoice.tax_currency IS 'Currency of the tax return where it is not the invoice''s (BT-6).';
COMMENT ON COLUMN o2c.invoice.tax_amount_base IS 'Tax in tax_currency (BT-111), at exchange_rate.';
COMMENT ON COLUMN o2c.invoice.customer_reference IS 'The customer''s order number (BT-13).';
COMMENT ON COLUMN o2c.invoice.buyer_reference IS 'What the customer wants invoices to carry for their routing (BT-10).';
COMMENT ON COLUMN o2c.invoice.supply_date IS 'Date of the delivery or service (BT-72).';
COMMENT ON COLUMN o2c.invoice.seller IS 'The company as it was when the invoice was issued.';
COMMENT ON COLUMN o2c.invoice.buyer IS 'The customer as it was when the invoice was issued, with its billing address where it had one.';
COMMENT ON COLUMN o2c.invoice.delivery IS 'Where it was delivered to: as given on the draft, else the customer''s shipping address when it was issued, else its country.';

CREATE SEQUENCE o2c.invoice_line_id_seq;
CREATE TABLE o2c.invoice_line (
  company_id integer NOT NULL,
  id bigint NOT NULL DEFAULT pg_catalog.nextval('o2c.invoice_line_id_seq'),
  invoice_id bigint NOT NULL,
  line_no integer NOT NULL CHECK (line_no > 0),
  product_id bigint,
  order_line_id bigint,
  shipment_line_id bigint,
  original_line_id bigint,
  description text NOT NULL,
  quantity numeric NOT NULL CHECK (o2c.is_quantity(quantity)),
  unit text NOT NULL DEFAULT 'C62',
  unit_price numeric NOT NULL CHECK (o2c.is_quantity(unit_price)),
  gross_price numeric CHECK (o2c.is_quantity(gross_price)),
  discount_percent numeric NOT NULL DEFAULT 0 CHECK (discount_percent BETWEEN 0 AND 100),
  currency o2c.currency NOT NULL,
  allowance_amount numeric NOT NULL DEFAULT 0 CHECK (allowance_amount >= 0 AND o2c.is_amount(allowance_amount, currency)),
  charge_amount numeric NOT NULL DEFAULT 0 CHECK (charge_amount >= 0 AND o2c.is_amount(charge_amount, currency)),
  net_amount numeric NOT NULL DEFAULT 0 CHECK (o2c.is_amount(net_amount, currency)),
  tax_category text NOT NULL,
  tax_rate numeric NOT NULL DEFAULT 0 CHECK (tax_rate >= 0 AND tax_rate < 100),
  exemption_code text,
  exemption_reason text,
  period_start date CHECK (pg_catalog.isfinite(period_start)),
  period_end date CHECK (pg_catalog.isfinite(period_end)),
  subscription_id bigint,
  milestone_id bigint,
  rebill boolean NOT NULL DEFAULT false,
  PRIMARY KEY (company_id, id),
  UNIQUE (company_id, invoice_id, line_no),
  FOREIGN KEY (company_id, invoice_id) REFERENCES o2c.invoice (company_id, id) ON DELETE CASCADE,
  FOREIGN KEY (company_id, product_id) REFERENCES o2c.product (company_id, id),
  FOREIGN KEY (company_id, order_line_id) REFERENCES o2c.sales_order_line (company_id, id),
  FOREIGN KEY (company_id, shipment_line_id) REFERENCES o2c.shipment_line (company_id, id),
  FOREIGN KEY (company_id, original_line_id) REFERENCES o2c.invoice_line (company_id, id),
  FOREIGN KEY (company_id, subscription_id) REFERENCES o2c.subscription (company_id, id),
  FOREIGN KEY (company_id, milestone_id) REFERENCES o2c.billing_milestone (company_id, id),
  CHECK (period_start <= period_end),
  CONSTRAINT invoice_line_rebill CHECK
    (NOT rebill OR (original_line_id IS NOT NULL AND order_line_id IS NOT NULL AND quantity > 0))
);
ALTER SEQUENCE o2c.invoice_line_id_seq OWNED BY o2c.invoice_line.id;
CREATE INDEX invoice_line_product_idx ON o2c.invoice_line (company_id, product_id) WHERE product_id IS NOT NULL;
CREATE INDEX invoice_line_order_line_idx ON o2c.invoice_line (company_id, order_line_id) WHERE order_line_id IS NOT NULL;
CREATE INDEX invoice_line_shipment_line_idx ON o2c.invoice_line (company_id, shipment_line_id) WHERE shipment_line_id IS NOT NULL;
CREATE INDEX invoice_line_original_idx ON o2c.invoice_line (company_id, original_line_id) WHERE original_line_id IS NOT NULL;
CREATE UNIQUE INDEX invoice_line_subscription_key ON o2c.invoice_line (company_id, subscription_id, period_start)
  WHERE subscription_id IS NOT NULL AND original_line_id IS NULL;
CREATE INDEX invoice_line_milestone_idx ON o2c.invoice_line (company_id, milestone_id) WHERE milestone_id IS NOT NULL;
CREATE TRIGGER invoice_line_compute BEFORE INSERT OR UPDATE ON o2c.invoice_line
  FOR EACH ROW EXECUTE FUNCTION o2c._invoice_line_compute();
CREATE TRIGGER invoice_line_insert AFTER INSERT ON o2c.invoice_line
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION o2c._invoice_part_guard('line');
CREATE TRIGGER invoice_line_update AFTER UPDATE ON o2c.invoice_line
  REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION o2c._invoice_part_guard('line');
CREATE TRIGGER invoice_line_delete AFTER DELETE ON o2c.invoice_line
  REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION o2c._invoice_part_guard('line');
CREATE TRIGGER invoice_line_no_truncate BEFORE TRUNCATE ON o2c.invoice_line
  FOR EACH STATEMENT EXECUTE FUNCTION o2c._no_truncate();
COMMENT ON TABLE o2c.invoice_line IS 'One line of an invoice, net of tax.';
COMMENT ON COLUMN o2c.invoice_line.net_amount IS
  'Computed: quantity x unit_price less discount_percent, less allowance_amount, plus charge_amount, rounded once.';
COMMENT ON COLUMN o2c.invoice_line.gross_price IS 'Price of one unit with tax, where the invoice''s prices include it.';
COMMENT ON COLUMN o2c.invoice_line.allowance_amount IS 'Further deduction from the line, beside discount_percent.';
COMMENT ON COLUMN o2c.invoice_line.tax_category IS 'EN 16931 category (UNCL 5305).';
COMMENT ON COLUMN o2c.invoice_line.original_line_id IS 'The line that this one credits or deducts.';
COMMENT ON COLUMN o2c.invoice_line.rebill IS
  'Of a credit note: from its issue on, the quantity of the order line that it takes back is to be billed again.';

CREATE SEQUENCE o2c.invoice_allowance_id_seq;
CREATE TABLE o2c.invoice_allowance (
  company_id integer NOT NULL,
  id bigint NOT NULL DEFAULT pg_catalog.nextval('o2c.invoice_allowance_id_seq'),
  invoice_id bigint NOT NULL,
  charge boolean NOT NULL DEFAULT false,
  currency o2c.currency NOT NULL,
  amount numeric NOT NULL CHECK (amount >= 0 AND o2c.is_amount(amount, currency)),
  percent numeric CHECK (percent BETWEEN 0 AND 100),
  base_amount numeric CHECK (o2c.is_amount(base_amount, currency)),
  reason_code text,
  reason text,
  tax_category text NOT NULL,
  tax_rate numeric NOT NULL DEFAULT 0 CHECK (tax_rate >= 0 AND tax_rate < 100),
  exemption_code text,
  exemption_reason text,
  cash_discount boolean NOT NULL DEFAULT false,
  original_allowance_id bigint,
  order_id bigint,
  rebill boolean NOT NULL DEFAULT false,
  rebills_id bigint,
  PRIMARY KEY (company_id, id),
  FOREIGN KEY (company_id, invoice_id) REFERENCES o2c.invoice (company_id, id) ON DELETE CASCADE,
  FOREIGN KEY (company_id, order_id) REFERENCES o2c.sales_order (company_id, id),
  FOREIGN KEY (company_id, original_allowance_id) REFERENCES o2c.invoice_allowance (company_id, id),
  FOREIGN KEY (company_id, rebills_id) REFERENCES o2c.invoice_allowance (company_id, id),
  CHECK (NOT rebill OR original_allowance_id IS NOT NULL),
  CHECK (rebills_id IS NULL OR order_id IS NOT NULL)
);
ALTER SEQUENCE o2c.invoice_allowance_id_seq OWNED BY o2c.invoice_allowance.id;
CREATE INDEX invoice_allowance_invoice_idx ON o2c.invoice_allowance (company_id, invoice_id);
-- once, and once more for each credit that takes it back for that
CREATE UNIQUE INDEX invoice_allowance_order_key ON o2c.invoice_allowance (company_id, order_id, rebills_id) NULLS NOT DISTINCT
  WHERE order_id IS NOT NULL;
CREATE UNIQUE INDEX invoice_allowance_rebill_key ON o2c.invoice_allowance (company_id, original_allowance_id) WHERE rebill;
CREATE INDEX invoice_allowance_rebills_idx ON o2c.invoice_allowance (company_id, rebills_id) WHERE rebills_id IS NOT NULL;
COMMENT ON COLUMN o2c.invoice_allowance.order_id IS 'The order whose cost of shipping this charge bills, once.';
COMMENT ON COLUMN o2c.invoice_allowance.rebill IS
  'Of a credit note: from its issue on, the cost of shipping that it takes back is to be billed again.';
COMMENT ON COLUMN o2c.invoice_allowance.rebills_id IS 'The credited charge that this one bills again.';
CREATE INDEX invoice_allowance_original_idx ON o2c.invoice_allowance (company_id, original_allowance_id)
  WHERE original_allowance_id IS NOT NULL;
CREATE TRIGGER invoice_allowance_insert AFTER INSERT ON o2c.invoice_allowance
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION o2c._invoice_part_guard('allowance');
CREATE TRIGGER invoice_allowance_update AFTER UPDATE ON o2c.invoice_allowance
  REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION o2c._invoice_part_guard('allowance');
CREATE TRIGGER invoice_allowance_delete AFTER DELETE ON o2c.invoice_allowance
  REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION o2c._invoice_part_guard('allowance');
CREATE TRIGGER invoice_allowance_no_truncate BEFORE TRUNCATE ON o2c.invoice_allowance
  FOR EACH STATEMENT EXECUTE FUNCTION o2c._no_truncate();
COMMENT ON TABLE o2c.invoice_allowance IS 'Allowances and charges of a whole document (EN 16931 BG-20 and BG-21).';
COMMENT ON COLUMN o2c.invoice_allowance.reason_code IS 'UNCL 5189 for allowances, UNCL 7161 for charges.';
COMMENT ON COLUMN o2c.invoice_allowance.cash_discount IS 'Made from a payment term whose discount is upfront.';

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
  FOREIGN KEY (company_id, invoice_id) REFERENCES o2c.invoice (company_id, id) ON DELETE CASCADE
);
ALTER SEQUENCE o2c.invoice_tax_id_seq OWNED BY o2c.invoice_tax.id;
CREATE TRIGGER invoice_tax_insert AFTER INSERT ON o2c.invoice_tax
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION o2c._invoice_part_guard('tax');
CREATE TRIGGER invoice_tax_update AFTER UPDATE ON o2c.invoice_tax
  REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION o2c._invoice_part_guard('tax');
CREATE TRIGGER invoice_tax_delete AFTER DELETE ON o2c.invoice_tax
  REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION o2c._invoice_part_guard('tax');
CREATE TRIGGER invoice_tax_no_truncate BEFORE TRUNCATE ON o2c.invoice_tax
  FOR EACH STATEMENT EXECUTE FUNCTION o2c._no_truncate();
COMMENT ON TABLE o2c.invoice_tax IS 'Tax of an invoice per category and rate (EN 16931 BG-23).';
