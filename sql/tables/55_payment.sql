-- Payments, what the matching engine knows, and what it proposed.
--
-- Every receipt becomes a payment with a credit item in the subledger at once,
-- whether or not it is understood: money that nobody can place stands on an
-- unidentified item, which aging shows.

CREATE SEQUENCE o2c.payment_id_seq;
CREATE TABLE o2c.payment (
  company_id integer NOT NULL,
  id bigint NOT NULL DEFAULT nextval('o2c.payment_id_seq'),
  state o2c.payment_state NOT NULL DEFAULT 'received',
  customer_id bigint,
  amount numeric NOT NULL CHECK (amount > 0 AND o2c.is_amount(amount, currency)),
  currency o2c.currency NOT NULL,
  received_on date NOT NULL CHECK (isfinite(received_on)),
  value_date date CHECK (isfinite(value_date)),
  method text NOT NULL DEFAULT 'transfer'
    CHECK (method IN ('transfer', 'cash', 'cheque', 'card', 'direct_debit', 'other')),
  reference text,
  bank_line_id bigint,
  item_id bigint NOT NULL,
  returnable_until date CHECK (isfinite(returnable_until)),
  returnable_amount numeric NOT NULL DEFAULT 0,
  returned_on date CHECK (isfinite(returned_on)),
  return_reason text,
  created_at timestamptz NOT NULL DEFAULT now(),
  created_by text NOT NULL DEFAULT session_user,
  PRIMARY KEY (company_id, id),
  -- item and bank line: a trigger looks when it is inserted, both are never deleted;
  -- the customer is the item's, which was checked and is kept
  CHECK ((state = 'returned') = (returned_on IS NOT NULL)),
  CHECK (o2c.is_amount(returnable_amount, currency)),
  CHECK (returnable_amount = 0 OR (returnable_amount = amount AND returnable_until IS NOT NULL AND state <> 'returned'))
);
ALTER SEQUENCE o2c.payment_id_seq OWNED BY o2c.payment.id;
CREATE UNIQUE INDEX payment_bank_line_key ON o2c.payment (company_id, bank_line_id) WHERE bank_line_id IS NOT NULL;
CREATE UNIQUE INDEX payment_item_key ON o2c.payment (company_id, item_id);
CREATE INDEX payment_customer_idx ON o2c.payment (company_id, customer_id) WHERE customer_id IS NOT NULL;
-- of a reference as much as fits an index row
CREATE INDEX payment_reference_idx ON o2c.payment (company_id, (pg_catalog.left(reference, 100)))
  WHERE reference IS NOT NULL AND bank_line_id IS NULL;
CREATE INDEX payment_returnable_idx ON o2c.payment (company_id, returnable_until) WHERE returnable_amount <> 0;
CREATE INDEX payment_received_idx ON o2c.payment (company_id, received_on) WHERE state = 'received';
CREATE TRIGGER payment_lifecycle BEFORE INSERT OR UPDATE ON o2c.payment
  FOR EACH ROW EXECUTE FUNCTION o2c.lifecycle_guard('payment');
CREATE TRIGGER payment_log_insert AFTER INSERT ON o2c.payment
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION o2c.lifecycle_log('payment');
CREATE TRIGGER payment_log_update AFTER UPDATE ON o2c.payment
  REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION o2c.lifecycle_log('payment');
-- what was received stays; received or applied follows from the ledger
CREATE TRIGGER payment_kept BEFORE UPDATE OF company_id, id, amount, currency, bank_line_id, returnable_until, returnable_amount ON o2c.payment
  FOR EACH ROW EXECUTE FUNCTION o2c.guard_derived('company_id', 'id', 'amount', 'currency', 'bank_line_id', 'returnable_until', 'returnable_amount');
CREATE TRIGGER payment_state BEFORE UPDATE OF state ON o2c.payment
  FOR EACH ROW WHEN (NEW.state <> OLD.state AND NEW.state <> 'returned') EXECUTE FUNCTION o2c.guard_derived('state');
-- what can still bounce stays in the exposure of the customer (src/credit/receipts.c)
CREATE TRIGGER payment_receipt_insert BEFORE INSERT ON o2c.payment
  FOR EACH ROW EXECUTE FUNCTION o2c.credit_receipt();
CREATE TRIGGER payment_receipt_return BEFORE UPDATE OF state ON o2c.payment
  FOR EACH ROW WHEN (NEW.state = 'returned' AND NEW.returnable_amount <> 0) EXECUTE FUNCTION o2c.credit_receipt();
CREATE TRIGGER payment_credit_insert AFTER INSERT ON o2c.payment
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION o2c.credit_on_payments();
CREATE TRIGGER payment_credit_update AFTER UPDATE ON o2c.payment
  REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION o2c.credit_on_payments();
CREATE TRIGGER payment_keep BEFORE DELETE OR TRUNCATE ON o2c.payment
  FOR EACH STATEMENT EXECUTE FUNCTION o2c.append_only();
CREATE TRIGGER payment_fit_insert AFTER INSERT ON o2c.payment
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION o2c._payment_fit();
CREATE CONSTRAINT TRIGGER payment_fit_update AFTER UPDATE OF state, customer_id, item_id ON o2c.payment
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
  WHEN ((OLD.customer_id, OLD.item_id) IS DISTINCT FROM (NEW.customer_id, NEW.item_id) OR NEW.state = 'returned')
  EXECUTE FUNCTION o2c._payment_fit();
COMMENT ON TABLE o2c.payment IS 'Money received: from a bank line, or recorded by hand.';
COMMENT ON COLUMN o2c.payment.customer_id IS 'Whose account it is credited to; null = unidentified.';
COMMENT ON COLUMN o2c.payment.item_id IS 'Its credit item in the subledger: on account, or unidentified.';
COMMENT ON COLUMN o2c.payment.returnable_until IS
  'Last day on which it can bounce, by company.settings "credit_return_days" for its method when it was recorded; null: it was final at once.';
COMMENT ON COLUMN o2c.payment.returnable_amount IS
  'What of it stays in the customer''s exposure because it can bounce: all, or 0 once it is final or was returned.';
COMMENT ON COLUMN o2c.payment.reference IS 'What the payer gave as reference; with method and date the identity of a payment recorded by hand.';

-- Keys: under which a line may find an item ------------------------------------------------

CREATE TABLE o2c.match_key (
  company_id integer NOT NULL,
  key bigint NOT NULL,
  item_id bigint NOT NULL,
  PRIMARY KEY (company_id, key, item_id)
);
COMMENT ON TABLE o2c.match_key IS
  'Keys (o2c._document_key, o2c._reference_key) of every debit and credit note, open or settled, kept by a trigger of open_item.';
CREATE TRIGGER open_item_match_key AFTER INSERT ON o2c.open_item
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION o2c._keep_match_keys();
CREATE TRIGGER open_item_match_key_update AFTER UPDATE OF number, alt_number, structured_ref ON o2c.open_item
  FOR EACH ROW WHEN ((OLD.number, OLD.alt_number, OLD.structured_ref) IS DISTINCT FROM (NEW.number, NEW.alt_number, NEW.structured_ref))
  EXECUTE FUNCTION o2c._keep_match_keys();

CREATE TABLE o2c.settled_number (
  company_id integer NOT NULL,
  key bigint NOT NULL,
  number text NOT NULL,
  customer_id bigint NOT NULL,
  PRIMARY KEY (company_id, key, number),
  FOREIGN KEY (company_id, customer_id) REFERENCES o2c.customer (company_id, id)
);
CREATE INDEX settled_number_customer_idx ON o2c.settled_number (company_id, customer_id);
COMMENT ON TABLE o2c.settled_number IS
  'Documents that were settled elsewhere, from import_payment_history: citing one of them is no payment of an open item.';

-- Who pays for whom -------------------------------------------------------------------------

CREATE TABLE o2c.payment_history (
  company_id integer NOT NULL,
  line_id text NOT NULL CHECK (line_id <> ''),
  number text NOT NULL DEFAULT '',
  customer_id bigint NOT NULL,
  booking_date date CHECK (isfinite(booking_date)),
  amount numeric CHECK (o2c.is_amount(amount, currency)),
  currency o2c.currency,
  payer_name text,
  payer_iban text,
  remittance_text text,
  structured_ref text,
  PRIMARY KEY (company_id, line_id, number),
  FOREIGN KEY (company_id, customer_id) REFERENCES o2c.customer (company_id, id)
);
CREATE INDEX payment_history_customer_idx ON o2c.payment_history (company_id, customer_id);
COMMENT ON TABLE o2c.payment_history IS 'Payments that were cleared elsewhere: only to learn payers from.';

CREATE TABLE o2c.payer_alias (
  company_id integer NOT NULL,
  kind text NOT NULL CHECK (kind IN ('account', 'name')),
  value text NOT NULL CHECK (value <> ''),
  customer_id bigint NOT NULL,
  confirmations integer NOT NULL DEFAULT 1 CHECK (confirmations >= 0),
  contradictions integer NOT NULL DEFAULT 0 CHECK (contradictions >= 0),
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (company_id, kind, value, customer_id),
  FOREIGN KEY (company_id, customer_id) REFERENCES o2c.customer (company_id, id)
);
CREATE INDEX payer_alias_updated_idx ON o2c.payer_alias (company_id, updated_at);
CREATE INDEX payer_alias_customer_idx ON o2c.payer_alias (company_id, customer_id);
COMMENT ON TABLE o2c.payer_alias IS
  'Accounts and names that paid for a customer; trusted after two confirmations when nobody else uses them and nothing was reversed.';
COMMENT ON COLUMN o2c.payer_alias.value IS 'Account without blanks, or o2c._name_key of the name.';

-- orders and deliveries that a bank line may name
CREATE INDEX sales_order_key_idx ON o2c.sales_order (company_id, (o2c._document_key(code)));
CREATE INDEX sales_order_reference_key_idx ON o2c.sales_order (company_id, (o2c._document_key(customer_reference)))
  WHERE customer_reference IS NOT NULL;
CREATE INDEX shipment_key_idx ON o2c.shipment (company_id, (o2c._document_key(number))) WHERE number IS NOT NULL;

CREATE INDEX customer_name_key_idx ON o2c.customer (company_id, (o2c._name_key(name)));

-- Rules and tolerances as data --------------------------------------------------------------

CREATE SEQUENCE o2c.match_rule_id_seq;
CREATE TABLE o2c.match_rule (
  company_id integer NOT NULL REFERENCES o2c.company,
  id bigint NOT NULL DEFAULT nextval('o2c.match_rule_id_seq'),
  rule text NOT NULL CHECK (rule <> ''),
  customer_id bigint,
  automatic boolean NOT NULL DEFAULT true,
  min_confidence numeric NOT NULL DEFAULT 0.99 CHECK (min_confidence BETWEEN 0 AND 1),
  max_chance numeric CHECK (max_chance BETWEEN 0 AND 1),
  max_size integer CHECK (max_size BETWEEN 2 AND 12),
  description text NOT NULL DEFAULT '',
  PRIMARY KEY (company_id, id),
  FOREIGN KEY (company_id, customer_id) REFERENCES o2c.customer (company_id, id),
  CHECK (customer_id IS NULL OR (max_chance IS NULL AND max_size IS NULL))
);
ALTER SEQUENCE o2c.match_rule_id_seq OWNED BY o2c.match_rule.id;
CREATE UNIQUE INDEX match_rule_company_key ON o2c.match_rule (company_id, rule) WHERE customer_id IS NULL;
CREATE UNIQUE INDEX match_rule_customer_key ON o2c.match_rule (company_id, customer_id, rule) WHERE customer_id IS NOT NULL;
COMMENT ON TABLE o2c.match_rule IS 'Which findings of the engine may be posted without a person: the company''s rules (customer null) and a customer''s own, which stand in their place.';
COMMENT ON COLUMN o2c.match_rule.max_chance IS 'For sums of several items: equal sums that accident may give at most; the company''s only.';
COMMENT ON COLUMN o2c.match_rule.max_size IS 'For sums of several items: how many may be unnamed; the company''s only.';

CREATE SEQUENCE o2c.tolerance_id_seq;
CREATE TABLE o2c.tolerance (
  company_id integer NOT NULL REFERENCES o2c.company,
  id bigint NOT NULL DEFAULT nextval('o2c.tolerance_id_seq'),
  customer_id bigint,
  difference numeric NOT NULL DEFAULT 1 CHECK (difference >= 0 AND difference < 1e14),
  percent numeric NOT NULL DEFAULT 5 CHECK (percent BETWEEN 0 AND 100),
  charges numeric NOT NULL DEFAULT 30 CHECK (charges >= 0 AND charges < 1e14),
  grace_days integer NOT NULL DEFAULT 1 CHECK (grace_days BETWEEN 0 AND 365),
  PRIMARY KEY (company_id, id),
  FOREIGN KEY (company_id, customer_id) REFERENCES o2c.customer (company_id, id)
);
ALTER SEQUENCE o2c.tolerance_id_seq OWNED BY o2c.tolerance.id;
CREATE UNIQUE INDEX tolerance_company_key ON o2c.tolerance (company_id) WHERE customer_id IS NULL;
CREATE UNIQUE INDEX tolerance_customer_key ON o2c.tolerance (company_id, customer_id) WHERE customer_id IS NOT NULL;
COMMENT ON TABLE o2c.tolerance IS 'Differences that settle an item: the company''s (customer null) and a customer''s own; the stricter of each wins.';
COMMENT ON COLUMN o2c.tolerance.difference IS 'Largest difference in units of the item''s currency; with percent, the stricter.';
COMMENT ON COLUMN o2c.tolerance.charges IS 'Largest bank charges, when the line or its text states them.';
COMMENT ON COLUMN o2c.tolerance.grace_days IS 'Days after the discount date on which the discount is still granted (the company''s row).';

-- What the engine decided and proposed ------------------------------------------------------

CREATE SEQUENCE o2c.match_proposal_id_seq;
CREATE TABLE o2c.match_proposal (
  company_id integer NOT NULL,
  id bigint NOT NULL DEFAULT nextval('o2c.match_proposal_id_seq'),
  payment_id bigint NOT NULL,
  bank_line_id bigint NOT NULL,
  option integer NOT NULL DEFAULT 1 CHECK (option > 0),
  state o2c.match_state NOT NULL,
  rule text NOT NULL,
  confidence numeric NOT NULL CHECK (confidence BETWEEN 0 AND 1),
  item_ids bigint[] NOT NULL,
  amounts numeric[] NOT NULL,
  settled numeric[] NOT NULL,
  settle_kind o2c.entry_kind,
  explanation text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  decided_at timestamptz,
  decided_by text,
  was_automatic boolean,
  PRIMARY KEY (company_id, id),
  CHECK (cardinality(item_ids) = cardinality(amounts) AND cardinality(item_ids) = cardinality(settled))
);
ALTER SEQUENCE o2c.match_proposal_id_seq OWNED BY o2c.match_proposal.id;
CREATE INDEX match_proposal_payment_idx ON o2c.match_proposal (company_id, payment_id);
CREATE TRIGGER match_proposal_kept BEFORE UPDATE OF company_id, id, payment_id, bank_line_id ON o2c.match_proposal
  FOR EACH ROW EXECUTE FUNCTION o2c.guard_derived('company_id', 'id', 'payment_id', 'bank_line_id');
COMMENT ON TABLE o2c.match_proposal IS 'Each answer of the engine: posted by itself, or shown to a person, and what became of it.';
COMMENT ON COLUMN o2c.match_proposal.was_automatic IS 'Of a reversed one: whether the engine had posted it, not a person.';
COMMENT ON COLUMN o2c.match_proposal.item_ids IS 'Open items paid, in step with amounts (cash, negative for credit notes) and settled (beyond the cash, of settle_kind).';

CREATE TABLE o2c.match_watermark (
  company_id integer NOT NULL PRIMARY KEY REFERENCES o2c.company,
  item_id bigint NOT NULL,
  entry_id bigint NOT NULL,
  alias_at timestamptz,
  matched_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE o2c.match_watermark IS 'What was known at the last match_cash: payments on account are looked at again only when something is new.';

CREATE SEQUENCE o2c.refund_id_seq;
CREATE TABLE o2c.refund (
  company_id integer NOT NULL,
  id bigint NOT NULL DEFAULT nextval('o2c.refund_id_seq'),
  payment_id bigint NOT NULL,
  amount numeric NOT NULL CHECK (amount > 0 AND o2c.is_amount(amount, currency)),
  currency o2c.currency NOT NULL,
  reason text NOT NULL CHECK (reason <> ''),
  state text NOT NULL DEFAULT 'requested' CHECK (state IN ('requested', 'approved', 'rejected')),
  requested_by text NOT NULL DEFAULT session_user,
  requested_at timestamptz NOT NULL DEFAULT now(),
  approved_by text,
  approved_at timestamptz,
  entry_id bigint,
  PRIMARY KEY (company_id, id),
  FOREIGN KEY (company_id, payment_id) REFERENCES o2c.payment (company_id, id),
  CHECK (approved_by <> requested_by),
  CHECK ((state = 'approved') = (entry_id IS NOT NULL AND approved_by IS NOT NULL))
);
ALTER SEQUENCE o2c.refund_id_seq OWNED BY o2c.refund.id;
CREATE INDEX refund_payment_idx ON o2c.refund (company_id, payment_id);
CREATE TRIGGER refund_four_eyes BEFORE INSERT OR UPDATE ON o2c.refund
  FOR EACH ROW EXECUTE FUNCTION o2c._four_eyes_refund();
COMMENT ON TABLE o2c.refund IS 'Money to be paid back: asked for by one person, granted by another.';
