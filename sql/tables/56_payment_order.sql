-- Payments that the company starts: direct debits by mandate and transfers of
-- refunds, in orders that become pain.008 and pain.001 files.

CREATE SEQUENCE o2c.mandate_id_seq;
CREATE TABLE o2c.mandate (
  company_id integer NOT NULL,
  id bigint NOT NULL DEFAULT nextval('o2c.mandate_id_seq'),
  customer_id bigint NOT NULL,
  reference text NOT NULL CHECK (reference ~ '^[A-Za-z0-9/?:().,''+-]([A-Za-z0-9/?:().,''+ -]{0,33}[A-Za-z0-9/?:().,''+-])?$' AND reference !~ '^/|/$|//'),
  scheme text NOT NULL DEFAULT 'CORE' CHECK (scheme IN ('CORE', 'COR1', 'B2B')),
  recurrent boolean NOT NULL DEFAULT true,
  iban o2c.iban NOT NULL,
  bic text CHECK (bic ~ '^[A-Z0-9]{4}[A-Z]{2}[A-Z0-9]{2}([A-Z0-9]{3})?$'),
  holder text NOT NULL CHECK (holder <> ''),
  signed_on date NOT NULL CHECK (isfinite(signed_on)),
  revoked_on date CHECK (isfinite(revoked_on)),
  revoke_reason text,
  last_collected_on date CHECK (isfinite(last_collected_on)),
  created_at timestamptz NOT NULL DEFAULT now(),
  created_by text NOT NULL DEFAULT session_user,
  PRIMARY KEY (company_id, id),
  FOREIGN KEY (company_id, customer_id) REFERENCES o2c.customer (company_id, id)
);
ALTER SEQUENCE o2c.mandate_id_seq OWNED BY o2c.mandate.id;
CREATE UNIQUE INDEX mandate_reference_key ON o2c.mandate (company_id, upper(reference));
CREATE INDEX mandate_customer_idx ON o2c.mandate (company_id, customer_id);
COMMENT ON TABLE o2c.mandate IS 'A customer''s consent to direct debits from one account.';
COMMENT ON COLUMN o2c.mandate.reference IS 'Unique mandate reference, unique per company whatever its case.';
COMMENT ON COLUMN o2c.mandate.recurrent IS 'False for a mandate that serves one collection only.';
COMMENT ON COLUMN o2c.mandate.last_collected_on IS 'Day of the latest collection; a mandate not used for 36 months has lapsed.';

CREATE SEQUENCE o2c.payment_order_id_seq;
CREATE TABLE o2c.payment_order (
  company_id integer NOT NULL,
  id bigint NOT NULL DEFAULT nextval('o2c.payment_order_id_seq'),
  kind text NOT NULL CHECK (kind IN ('direct_debit', 'transfer')),
  state text NOT NULL DEFAULT 'created' CHECK (state IN ('created', 'settled', 'void')),
  bank_account_id bigint NOT NULL,
  requested_on date NOT NULL CHECK (isfinite(requested_on)),
  currency o2c.currency NOT NULL,
  line_count bigint NOT NULL CHECK (line_count > 0),
  total_amount numeric NOT NULL CHECK (total_amount > 0 AND o2c.is_amount(total_amount, currency)),
  settled_on date CHECK (isfinite(settled_on)),
  bank_line_id bigint,
  void_reason text,
  created_at timestamptz NOT NULL DEFAULT date_trunc('second', now()),
  created_by text NOT NULL DEFAULT session_user,
  PRIMARY KEY (company_id, id),
  FOREIGN KEY (company_id, bank_account_id) REFERENCES o2c.bank_account (company_id, id),
  FOREIGN KEY (company_id, bank_line_id) REFERENCES o2c.bank_line (company_id, id),
  CHECK ((state = 'settled') = (settled_on IS NOT NULL)),
  CHECK ((state = 'void') = (void_reason IS NOT NULL))
);
ALTER SEQUENCE o2c.payment_order_id_seq OWNED BY o2c.payment_order.id;
CREATE INDEX payment_order_account_idx ON o2c.payment_order (company_id, bank_account_id);
CREATE INDEX payment_order_bank_line_idx ON o2c.payment_order (company_id, bank_line_id) WHERE bank_line_id IS NOT NULL;
CREATE TRIGGER payment_order_kept BEFORE UPDATE ON o2c.payment_order
  FOR EACH ROW EXECUTE FUNCTION o2c.guard_derived('company_id', 'kind', 'bank_account_id', 'requested_on', 'currency', 'line_count', 'total_amount', 'created_at');
COMMENT ON TABLE o2c.payment_order IS 'A file of direct debits or transfers for the bank; what it holds does not change.';
COMMENT ON COLUMN o2c.payment_order.requested_on IS 'Day of collection or execution that the bank is asked for.';

CREATE SEQUENCE o2c.payment_order_line_id_seq;
CREATE TABLE o2c.payment_order_line (
  company_id integer NOT NULL,
  id bigint NOT NULL DEFAULT nextval('o2c.payment_order_line_id_seq'),
  payment_order_id bigint NOT NULL,
  pending boolean NOT NULL DEFAULT true,
  customer_id bigint NOT NULL,
  item_id bigint,
  mandate_id bigint,
  refund_id bigint,
  payment_id bigint,
  sequence_type text CHECK (sequence_type IN ('FRST', 'RCUR', 'OOFF', 'FNAL')),
  end_to_end_id text NOT NULL CHECK (length(end_to_end_id) BETWEEN 1 AND 35),
  amount numeric NOT NULL CHECK (amount > 0 AND o2c.is_amount(amount, currency)),
  currency o2c.currency NOT NULL,
  CONSTRAINT payment_order_line_sepa_amount CHECK (currency::text <> 'EUR' OR amount <= 999999999.99),
  party_name text NOT NULL CHECK (party_name <> ''),
  iban o2c.iban NOT NULL,
  bic text,
  remittance_text text NOT NULL,
  PRIMARY KEY (company_id, id),
  UNIQUE (company_id, end_to_end_id),
  FOREIGN KEY (company_id, payment_order_id) REFERENCES o2c.payment_order (company_id, id),
  FOREIGN KEY (company_id, customer_id) REFERENCES o2c.customer (company_id, id),
  FOREIGN KEY (company_id, item_id) REFERENCES o2c.open_item (company_id, id),
  FOREIGN KEY (company_id, mandate_id) REFERENCES o2c.mandate (company_id, id),
  FOREIGN KEY (company_id, refund_id) REFERENCES o2c.refund (company_id, id),
  FOREIGN KEY (company_id, payment_id) REFERENCES o2c.payment (company_id, id),
  CHECK ((item_id IS NULL) <> (refund_id IS NULL)),
  CHECK ((item_id IS NULL) = (mandate_id IS NULL) AND (mandate_id IS NULL) = (sequence_type IS NULL))
);
ALTER SEQUENCE o2c.payment_order_line_id_seq OWNED BY o2c.payment_order_line.id;
CREATE INDEX payment_order_line_order_idx ON o2c.payment_order_line (company_id, payment_order_id);
CREATE INDEX payment_order_line_customer_idx ON o2c.payment_order_line (company_id, customer_id);
CREATE INDEX payment_order_line_item_idx ON o2c.payment_order_line (company_id, item_id) WHERE item_id IS NOT NULL;
CREATE UNIQUE INDEX payment_order_line_item_key ON o2c.payment_order_line (company_id, item_id) WHERE pending;
CREATE INDEX payment_order_line_mandate_idx ON o2c.payment_order_line (company_id, mandate_id) WHERE mandate_id IS NOT NULL;
CREATE INDEX payment_order_line_refund_idx ON o2c.payment_order_line (company_id, refund_id) WHERE refund_id IS NOT NULL;
CREATE UNIQUE INDEX payment_order_line_refund_key ON o2c.payment_order_line (company_id, refund_id) WHERE pending;
CREATE INDEX payment_order_line_payment_idx ON o2c.payment_order_line (company_id, payment_id) WHERE payment_id IS NOT NULL;
CREATE TRIGGER payment_order_line_kept BEFORE UPDATE ON o2c.payment_order_line
  FOR EACH ROW EXECUTE FUNCTION o2c.guard_derived('company_id', 'payment_order_id', 'customer_id', 'item_id', 'mandate_id', 'refund_id',
    'sequence_type', 'end_to_end_id', 'amount', 'currency', 'party_name', 'iban', 'bic', 'remittance_text');
CREATE TRIGGER payment_order_line_keep BEFORE DELETE OR TRUNCATE ON o2c.payment_order_line
  FOR EACH STATEMENT EXECUTE FUNCTION o2c.append_only();
CREATE TRIGGER payment_order_line_stands AFTER INSERT ON o2c.payment_order_line
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION o2c._four_eyes_order_line();
COMMENT ON TABLE o2c.payment_order_line IS 'One collection or transfer of an order, with the account as it was sent to the bank.';
COMMENT ON COLUMN o2c.payment_order_line.pending IS 'True until the order is settled or void; an item is in one pending order at most.';
