-- Bank accounts, the statements imported for them and their lines.
--
-- A bank line is what the bank says happened, kept as imported; what the
-- company makes of it (a payment, a return, a charge) stands elsewhere and
-- points here.  Lines arrive by o2c.import_statement or
-- o2c.import_bank_lines; line_id is the identity that makes a second import
-- of the same movement add nothing.

CREATE SEQUENCE o2c.bank_account_id_seq;
CREATE TABLE o2c.bank_account (
  company_id integer NOT NULL REFERENCES o2c.company,
  id bigint NOT NULL DEFAULT nextval('o2c.bank_account_id_seq'),
  code text NOT NULL CHECK (code <> ''),
  name text,
  currency o2c.currency,
  iban o2c.iban,
  account_number text CHECK (account_number <> ''),
  bic text CHECK (bic ~ '^[A-Z0-9]{4}[A-Z]{2}[A-Z0-9]{2}([A-Z0-9]{3})?$'),
  gl_account text,
  creditor_id text CHECK (creditor_id ~ '^[A-Z]{2}[0-9]{2}[A-Za-z0-9]{3}[A-Za-z0-9]{1,28}$'),
  cut_off time,
  active boolean NOT NULL DEFAULT true,
  last_statement_id bigint,
  last_statement_date date CHECK (isfinite(last_statement_date)),
  last_balance numeric,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (company_id, id),
  UNIQUE (company_id, code)
);
ALTER SEQUENCE o2c.bank_account_id_seq OWNED BY o2c.bank_account.id;
CREATE INDEX bank_account_iban_idx ON o2c.bank_account (company_id, iban) WHERE iban IS NOT NULL;
-- its statements and their lines are in its currency
CREATE TRIGGER bank_account_currency BEFORE UPDATE OF currency ON o2c.bank_account
  FOR EACH ROW WHEN (OLD.last_statement_id IS NOT NULL) EXECUTE FUNCTION o2c.guard_derived('currency');
COMMENT ON TABLE o2c.bank_account IS 'An account of the company at a bank, by its own code.';
COMMENT ON COLUMN o2c.bank_account.currency IS 'Currency of the account; null = an account in several currencies, whose statements name theirs.';
COMMENT ON COLUMN o2c.bank_account.account_number IS 'Number as the bank''s statements write it, where it is not an IBAN.';
COMMENT ON COLUMN o2c.bank_account.creditor_id IS 'SEPA creditor identifier under which direct debits are collected.';
COMMENT ON COLUMN o2c.bank_account.cut_off IS
  'Until when, in the company''s time zone, the bank takes payment orders for the same business day; null = whenever.';
COMMENT ON COLUMN o2c.bank_account.last_statement_date IS 'Last day covered by a booked statement.';
COMMENT ON COLUMN o2c.bank_account.last_balance IS 'Closing balance of that statement, in the account''s currency.';

CREATE TABLE o2c.statement_format (
  company_id integer NOT NULL REFERENCES o2c.company,
  code text NOT NULL CHECK (code ~ '^[a-z0-9_.-]+$' AND code NOT IN ('auto', 'mt940', 'mt942', 'bai2', 'coda', 'ofx') AND code NOT LIKE 'camt%'),
  kind text NOT NULL DEFAULT 'csv' CHECK (kind = 'csv'),
  settings jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(settings) = 'object'),
  description text,
  PRIMARY KEY (company_id, code)
);
COMMENT ON TABLE o2c.statement_format IS 'CSV dialects of banks: which column means what, as data.';
COMMENT ON COLUMN o2c.statement_format.settings IS
  'delimiter, quote, skip, header, decimal, debit_marks, thousands, date_format, columns {field: heading or position}; see docs/reference/statement.md.';

CREATE SEQUENCE o2c.bank_statement_id_seq;
CREATE TABLE o2c.bank_statement (
  company_id integer NOT NULL,
  id bigint NOT NULL DEFAULT nextval('o2c.bank_statement_id_seq'),
  bank_account_id bigint NOT NULL,
  format text NOT NULL,
  statement_ref text,
  sequence_no text,
  interim boolean NOT NULL DEFAULT false,
  from_date date CHECK (isfinite(from_date)),
  to_date date CHECK (isfinite(to_date)),
  currency o2c.currency,
  opening_balance numeric,
  closing_balance numeric,
  line_count bigint NOT NULL DEFAULT 0 CHECK (line_count >= 0),
  line_sum numeric NOT NULL DEFAULT 0,
  content_hash bytea NOT NULL,
  file_position integer NOT NULL DEFAULT 1 CHECK (file_position > 0),
  imported_at timestamptz NOT NULL DEFAULT now(),
  imported_by text NOT NULL DEFAULT session_user,
  PRIMARY KEY (company_id, id),
  UNIQUE (company_id, content_hash, bank_account_id, file_position),
  FOREIGN KEY (company_id, bank_account_id) REFERENCES o2c.bank_account (company_id, id),
  CHECK (interim OR opening_balance + line_sum = closing_balance),
  CHECK (o2c.is_total(opening_balance, currency) AND o2c.is_total(closing_balance, currency) AND o2c.is_total(line_sum, currency))
);
ALTER SEQUENCE o2c.bank_statement_id_seq OWNED BY o2c.bank_statement.id;
CREATE INDEX bank_statement_date_idx ON o2c.bank_statement (company_id, bank_account_id, to_date);
CREATE TRIGGER bank_statement_kept BEFORE UPDATE ON o2c.bank_statement
  FOR EACH ROW EXECUTE FUNCTION o2c.guard_derived('company_id', 'bank_account_id', 'interim', 'currency', 'opening_balance', 'closing_balance', 'line_count', 'line_sum', 'content_hash', 'file_position');
COMMENT ON TABLE o2c.bank_statement IS 'A statement as the bank gave it; its lines may have come with an earlier one.';
COMMENT ON COLUMN o2c.bank_statement.interim IS 'True for notifications and intraday reports, which prove no balance.';
COMMENT ON COLUMN o2c.bank_statement.line_count IS 'Lines in the statement, those already known included.';
COMMENT ON COLUMN o2c.bank_statement.line_sum IS 'Sum of all its lines; opening balance + line_sum = closing balance.';
COMMENT ON COLUMN o2c.bank_statement.content_hash IS 'SHA-256 of the file that brought it.';
COMMENT ON COLUMN o2c.bank_statement.file_position IS 'Place of the statement in that file, from 1.';

CREATE SEQUENCE o2c.bank_line_id_seq;
CREATE TABLE o2c.bank_line (
  company_id integer NOT NULL,
  id bigint NOT NULL DEFAULT nextval('o2c.bank_line_id_seq'),
  bank_account_id bigint NOT NULL,
  statement_id bigint,
  line_id text NOT NULL CHECK (line_id <> ''),
  booking_date date NOT NULL CHECK (isfinite(booking_date)),
  value_date date CHECK (isfinite(value_date)),
  amount numeric NOT NULL,
  currency o2c.currency NOT NULL,
  payer_name text,
  payer_iban text,
  payer_account text,
  payer_bic text,
  remittance_text text,
  structured_ref text,
  end_to_end_id text,
  mandate_id text,
  bank_ref text,
  entry_ref text,
  transaction_code text,
  return_reason text,
  charges numeric CHECK (charges >= 0 AND charges < 1e14),
  original_amount numeric,
  original_currency o2c.currency,
  details jsonb,
  state o2c.bank_line_state NOT NULL DEFAULT 'open',
  payment_id bigint,
  recorded_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (company_id, id),
  UNIQUE (company_id, bank_account_id, line_id),
  FOREIGN KEY (company_id, bank_account_id) REFERENCES o2c.bank_account (company_id, id),
  FOREIGN KEY (company_id, statement_id) REFERENCES o2c.bank_statement (company_id, id),
  CHECK (o2c.is_amount(amount, currency))
) WITH (fillfactor = 46);
ALTER SEQUENCE o2c.bank_line_id_seq OWNED BY o2c.bank_line.id;
-- A line is written to once more, when it is matched.  No index names what
-- changes then, its guards fire after it (one before it would lock the row for
-- itself), and its page has room for the second version: so it touches nothing
-- else.  What waits is found through bank_line_open.
CREATE INDEX bank_line_date_idx ON o2c.bank_line USING brin (company_id, booking_date) WITH (pages_per_range = 32);
CREATE INDEX bank_line_statement_idx ON o2c.bank_line (company_id, statement_id) WHERE statement_id IS NOT NULL;
CREATE INDEX bank_line_entry_ref_idx ON o2c.bank_line (company_id, bank_account_id, entry_ref) WHERE entry_ref IS NOT NULL;
CREATE TRIGGER bank_line_kept
  AFTER UPDATE OF company_id, id, bank_account_id, line_id, booking_date, value_date, amount, currency ON o2c.bank_line
  FOR EACH ROW EXECUTE FUNCTION o2c.guard_derived('company_id', 'id', 'bank_account_id', 'line_id', 'booking_date', 'value_date', 'amount', 'currency');
CREATE TRIGGER bank_line_payment AFTER UPDATE OF payment_id ON o2c.bank_line
  FOR EACH ROW WHEN (OLD.payment_id IS NOT NULL) EXECUTE FUNCTION o2c.guard_derived('payment_id');
CREATE TRIGGER bank_line_settled AFTER UPDATE OF state ON o2c.bank_line
  FOR EACH ROW WHEN (OLD.payment_id IS NOT NULL AND NEW.state <> OLD.state) EXECUTE FUNCTION o2c.guard_derived('state');
CREATE TRIGGER bank_line_keep BEFORE DELETE OR TRUNCATE ON o2c.bank_line
  FOR EACH STATEMENT EXECUTE FUNCTION o2c.append_only();
CREATE TRIGGER bank_line_waits AFTER INSERT ON o2c.bank_line
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION o2c._keep_open_lines();
CREATE TRIGGER bank_line_waits_again AFTER UPDATE OF state, return_reason ON o2c.bank_line
  FOR EACH ROW WHEN (NEW.state = 'open' AND (OLD.state <> 'open' OR (OLD.return_reason IS NULL) <> (NEW.return_reason IS NULL)))
  EXECUTE FUNCTION o2c._keep_open_lines();
COMMENT ON TABLE o2c.bank_line IS 'One movement on a bank account; a batched entry with details is one line for each detail.';
COMMENT ON COLUMN o2c.bank_line.statement_id IS 'The first statement that brought the line; null = from import_bank_lines.';
COMMENT ON COLUMN o2c.bank_line.line_id IS 'Identity within the account: the bank''s reference, or else content and occurrence.';
COMMENT ON COLUMN o2c.bank_line.amount IS 'In currency; above zero = credit (money in), below = debit.';
COMMENT ON COLUMN o2c.bank_line.payer_name IS 'The other party: who paid a credit, who received a debit.';
COMMENT ON COLUMN o2c.bank_line.payer_iban IS 'IBAN of the other party as the bank wrote it, without blanks; not validated.';
COMMENT ON COLUMN o2c.bank_line.structured_ref IS 'Creditor reference (ISO 11649, national) as given, without blanks.';
COMMENT ON COLUMN o2c.bank_line.entry_ref IS 'The bank''s reference of the whole entry that this line is a detail of, or is.';
COMMENT ON COLUMN o2c.bank_line.charges IS 'Charges that the bank took out of the amount or, with a return, added to it; above zero.';
COMMENT ON COLUMN o2c.bank_line.original_amount IS 'Amount instructed, in original_currency, where the bank gives it.';
COMMENT ON COLUMN o2c.bank_line.details IS 'Everything else the bank said: ultimate parties, codes, further text.';
COMMENT ON COLUMN o2c.bank_line.payment_id IS 'The payment posted from this line.';

CREATE SEQUENCE o2c.bank_line_open_id_seq;
CREATE TABLE o2c.bank_line_open (
  company_id integer NOT NULL,
  id bigint NOT NULL DEFAULT nextval('o2c.bank_line_open_id_seq'),
  first_id bigint NOT NULL,
  last_id bigint NOT NULL,
  PRIMARY KEY (company_id, id),
  CHECK (first_id <= last_id)
);
ALTER SEQUENCE o2c.bank_line_open_id_seq OWNED BY o2c.bank_line_open.id;
CREATE TRIGGER bank_line_open_kept BEFORE UPDATE ON o2c.bank_line_open
  FOR EACH ROW EXECUTE FUNCTION o2c.guard_derived('company_id', 'id', 'first_id', 'last_id');
CREATE TRIGGER bank_line_open_whole BEFORE TRUNCATE ON o2c.bank_line_open
  FOR EACH STATEMENT EXECUTE FUNCTION o2c._keep_open_lines_again();
CREATE TRIGGER bank_line_open_again AFTER DELETE ON o2c.bank_line_open
  REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION o2c._keep_open_lines_again();
COMMENT ON TABLE o2c.bank_line_open IS
  'Where bank lines wait for match_cash: stretches of their ids, which may overlap and hold others too. Follows o2c.bank_line by trigger; what is deleted while a line in it waits comes again.';
COMMENT ON COLUMN o2c.bank_line_open.first_id IS 'Lines of the company with ids from first_id to last_id may wait; no line elsewhere does.';
