-- Credit: what customers owe and have ordered, stored per customer and
-- currency, and what may lift their limits for a while.

CREATE TABLE o2c.credit_account (
  company_id integer NOT NULL,
  customer_id bigint NOT NULL,
  currency o2c.currency NOT NULL,
  head boolean NOT NULL DEFAULT false,
  open_orders numeric NOT NULL DEFAULT 0 CHECK (o2c.is_total(open_orders, currency)),
  shipped_not_invoiced numeric NOT NULL DEFAULT 0 CHECK (o2c.is_total(shipped_not_invoiced, currency)),
  open_items numeric NOT NULL DEFAULT 0 CHECK (o2c.is_total(open_items, currency)),
  unapplied numeric NOT NULL DEFAULT 0 CHECK (o2c.is_total(unapplied, currency)),
  returnable numeric NOT NULL DEFAULT 0 CHECK (o2c.is_total(returnable, currency)),
  group_exposure numeric NOT NULL DEFAULT 0 CHECK (o2c.is_total(group_exposure, currency)),
  mixed boolean NOT NULL DEFAULT false,
  credit_limit numeric CHECK (o2c.is_amount(credit_limit, currency)),
  temporary boolean NOT NULL DEFAULT false,
  parent_id bigint,
  alert_level integer NOT NULL DEFAULT 0,
  alert_at numeric DEFAULT 0,
  alert_below numeric,
  PRIMARY KEY (company_id, customer_id, currency),
  FOREIGN KEY (company_id, customer_id) REFERENCES o2c.customer (company_id, id) ON DELETE CASCADE
) WITH (fillfactor = 50);
CREATE UNIQUE INDEX credit_account_head_key ON o2c.credit_account (company_id, customer_id) WHERE head;
CREATE INDEX credit_account_parent_idx ON o2c.credit_account (company_id, parent_id) WHERE parent_id IS NOT NULL;
CREATE TRIGGER credit_account_guard BEFORE INSERT OR UPDATE ON o2c.credit_account
  FOR EACH ROW EXECUTE FUNCTION o2c.posting_only();
CREATE TRIGGER credit_account_guard_delete BEFORE DELETE ON o2c.credit_account
  FOR EACH ROW WHEN (OLD.open_orders <> 0 OR OLD.shipped_not_invoiced <> 0 OR OLD.open_items <> 0
                     OR OLD.unapplied <> 0 OR OLD.returnable <> 0 OR OLD.group_exposure <> 0)
  EXECUTE FUNCTION o2c.posting_only();
COMMENT ON TABLE o2c.credit_account IS
  'Exposure of a customer in a currency, changed only by triggers on orders, shipments, invoices and payments under the row''s lock.';
COMMENT ON COLUMN o2c.credit_account.head IS
  'The row in the currency of the limit. Every change of any row of the customer, or of one below it, changes this row too: whoever holds it knows the exposure.';
COMMENT ON COLUMN o2c.credit_account.unapplied IS
  'What the customer has paid or been credited and no invoice has used: credits that are open, and advances on prepayment invoices.';
COMMENT ON COLUMN o2c.credit_account.returnable IS 'Receipts that can still bounce, whatever they were applied to.';
COMMENT ON COLUMN o2c.credit_account.group_exposure IS
  'Exposure in this currency of the customer and everybody below it.';
COMMENT ON COLUMN o2c.credit_account.mixed IS 'Whether rows in other currencies exist.';
COMMENT ON COLUMN o2c.credit_account.credit_limit IS 'Copy of the customer''s limit, so that confirming reads one row.';
COMMENT ON COLUMN o2c.credit_account.temporary IS 'Whether o2c.credit_increase has rows for the customer.';
COMMENT ON COLUMN o2c.credit_account.alert_level IS 'Highest threshold (percent of the limit) reached and announced.';
COMMENT ON COLUMN o2c.credit_account.alert_at IS 'Exposure at which the next threshold is reached.';
COMMENT ON COLUMN o2c.credit_account.alert_below IS 'Exposure under which the announced threshold is left.';

CREATE SEQUENCE o2c.credit_increase_id_seq;
CREATE TABLE o2c.credit_increase (
  company_id integer NOT NULL,
  id bigint NOT NULL DEFAULT pg_catalog.nextval('o2c.credit_increase_id_seq'),
  customer_id bigint NOT NULL,
  currency o2c.currency NOT NULL,
  amount numeric NOT NULL CHECK (amount > 0 AND o2c.is_amount(amount, currency)),
  valid_from date NOT NULL CHECK (pg_catalog.isfinite(valid_from)),
  valid_to date NOT NULL CHECK (pg_catalog.isfinite(valid_to)),
  reason text,
  created_by text NOT NULL DEFAULT current_user,
  created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
  PRIMARY KEY (company_id, id),
  FOREIGN KEY (company_id, customer_id) REFERENCES o2c.customer (company_id, id),
  CHECK (valid_from <= valid_to)
);
ALTER SEQUENCE o2c.credit_increase_id_seq OWNED BY o2c.credit_increase.id;
CREATE INDEX credit_increase_customer_idx ON o2c.credit_increase (company_id, customer_id, valid_to);
CREATE TRIGGER credit_increase_insert AFTER INSERT ON o2c.credit_increase
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION o2c.credit_on_increases();
CREATE TRIGGER credit_increase_update AFTER UPDATE ON o2c.credit_increase
  REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION o2c.credit_on_increases();
CREATE TRIGGER credit_increase_delete AFTER DELETE ON o2c.credit_increase
  REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION o2c.credit_on_increases();
COMMENT ON TABLE o2c.credit_increase IS 'Amounts added to a customer''s limit from one day to another, both included; they count in the limit''s currency.';

CREATE SEQUENCE o2c.credit_rule_id_seq;
CREATE TABLE o2c.credit_rule (
  company_id integer NOT NULL REFERENCES o2c.company,
  id bigint NOT NULL DEFAULT pg_catalog.nextval('o2c.credit_rule_id_seq'),
  code text NOT NULL CHECK (code <> '' AND pg_catalog.length(code) <= 100),
  kind text NOT NULL CHECK (kind IN ('overdue_days', 'limit_share', 'risk_class', 'order_amount')),
  threshold numeric CHECK (threshold >= 0 AND o2c.is_quantity(threshold)),
  risk_class text,
  hold_reason text NOT NULL DEFAULT 'credit' CHECK (hold_reason <> ''),
  active boolean NOT NULL DEFAULT true,
  PRIMARY KEY (company_id, id),
  UNIQUE (company_id, code),
  CHECK (CASE kind WHEN 'risk_class' THEN risk_class IS NOT NULL ELSE threshold IS NOT NULL END)
);
ALTER SEQUENCE o2c.credit_rule_id_seq OWNED BY o2c.credit_rule.id;
COMMENT ON TABLE o2c.credit_rule IS 'When a customer''s order must not be confirmed although its limit would allow it.';
COMMENT ON COLUMN o2c.credit_rule.kind IS
  'overdue_days: some item is overdue for more than threshold days; limit_share: exposure with the order is over threshold percent of the limit; risk_class: the customer is in risk_class; order_amount: the order is over threshold, in the customer''s currency.';

-- What a company decides about days: settings that make no sense are refused.
CREATE TRIGGER company_credit_settings BEFORE INSERT OR UPDATE OF settings ON o2c.company
  FOR EACH ROW EXECUTE FUNCTION o2c.credit_settings();

-- Customers come before this table, so their accounts are attached here.
CREATE TRIGGER customer_credit_insert AFTER INSERT ON o2c.customer
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION o2c.credit_on_customers();
CREATE TRIGGER customer_credit_update AFTER UPDATE ON o2c.customer
  REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION o2c.credit_on_customers();
CREATE TRIGGER sales_order_take_credit AFTER UPDATE ON o2c.sales_order
  REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION o2c.credit_on_orders();
CREATE TRIGGER sales_order_line_insert AFTER INSERT ON o2c.sales_order_line
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION o2c.follow_order_lines();
CREATE TRIGGER sales_order_line_update AFTER UPDATE ON o2c.sales_order_line
  REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION o2c.follow_order_lines();
CREATE TRIGGER sales_order_line_delete AFTER DELETE ON o2c.sales_order_line
  REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION o2c.follow_order_lines();
