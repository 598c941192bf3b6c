-- Analytics: accounts of the journal, periodic journal lines, aging snapshots.

CREATE TABLE o2c.account_mapping (
  company_id integer NOT NULL REFERENCES o2c.company,
  purpose text NOT NULL CHECK (purpose IN ('receivable', 'unapplied', 'unidentified', 'revenue', 'prepayment', 'tax', 'rounding',
    'cash', 'discount', 'bad_debt', 'charge', 'fee', 'interest', 'exchange', 'transfer', 'opening')),
  account text NOT NULL CHECK (account <> ''),
  name text NOT NULL DEFAULT '',
  PRIMARY KEY (company_id, purpose)
);
COMMENT ON TABLE o2c.account_mapping IS 'Which account of the general ledger each purpose of the journal is posted to.';

CREATE SEQUENCE o2c.journal_line_id_seq;
CREATE TABLE o2c.journal_line (
  company_id integer NOT NULL REFERENCES o2c.company,
  id bigint NOT NULL DEFAULT pg_catalog.nextval('o2c.journal_line_id_seq'),
  document_id bigint NOT NULL,
  posted_on date NOT NULL CHECK (pg_catalog.isfinite(posted_on)),
  purpose text NOT NULL,
  currency o2c.currency NOT NULL,
  base_debit numeric NOT NULL DEFAULT 0 CHECK (base_debit >= 0 AND o2c.is_quantity(base_debit)),
  base_credit numeric NOT NULL DEFAULT 0 CHECK (base_credit >= 0 AND o2c.is_quantity(base_credit)),
  description text NOT NULL DEFAULT '',
  recorded_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
  PRIMARY KEY (company_id, id),
  FOREIGN KEY (company_id, purpose) REFERENCES o2c.account_mapping (company_id, purpose),
  CHECK ((base_debit = 0) <> (base_credit = 0))
);
ALTER SEQUENCE o2c.journal_line_id_seq OWNED BY o2c.journal_line.id;
CREATE INDEX journal_line_document_idx ON o2c.journal_line (company_id, document_id);
CREATE INDEX journal_line_purpose_idx ON o2c.journal_line (company_id, purpose);
-- a date is revalued once, whatever a transaction can see of another's
CREATE UNIQUE INDEX journal_line_revaluation_key ON o2c.journal_line (company_id, posted_on, description, purpose, currency)
  WHERE description ^@ 'revaluation ' AND purpose IN ('receivable', 'unapplied', 'unidentified');
CREATE TRIGGER journal_line_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON o2c.journal_line
  FOR EACH STATEMENT EXECUTE FUNCTION o2c.append_only();
CREATE CONSTRAINT TRIGGER journal_line_balance AFTER INSERT ON o2c.journal_line
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION o2c.check_journal_balance();
COMMENT ON TABLE o2c.journal_line IS
  'Append-only: journal lines that no document makes, such as revaluations; each document balances at commit. All other lines of o2c_bi.journal follow from the subledger.';
COMMENT ON COLUMN o2c.journal_line.document_id IS 'What belongs together and balances; drawn from the sequence of id.';
COMMENT ON COLUMN o2c.journal_line.currency IS 'Currency whose balances were revalued; the amounts are in the company''s.';

CREATE TABLE o2c.aging_snapshot (
  company_id integer NOT NULL REFERENCES o2c.company,
  as_of date NOT NULL CHECK (pg_catalog.isfinite(as_of)),
  bounds integer[] NOT NULL,
  known_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
  taken_by text NOT NULL DEFAULT session_user,
  PRIMARY KEY (company_id, as_of)
);
CREATE TRIGGER aging_snapshot_guard BEFORE INSERT ON o2c.aging_snapshot
  FOR EACH STATEMENT EXECUTE FUNCTION o2c.guard_period();
COMMENT ON TABLE o2c.aging_snapshot IS 'Closing agings that were kept.';
COMMENT ON COLUMN o2c.aging_snapshot.known_at IS 'Knowledge at which it was taken: o2c.aging(…, known_at) gives the same again.';

CREATE SEQUENCE o2c.aging_snapshot_line_id_seq;
CREATE TABLE o2c.aging_snapshot_line (
  company_id integer NOT NULL,
  id bigint NOT NULL DEFAULT pg_catalog.nextval('o2c.aging_snapshot_line_id_seq'),
  as_of date NOT NULL CHECK (pg_catalog.isfinite(as_of)),
  customer_code text,
  currency o2c.currency NOT NULL,
  buckets numeric[] NOT NULL,
  unapplied numeric NOT NULL CHECK (o2c.is_total(unapplied, currency)),
  total numeric NOT NULL CHECK (o2c.is_total(total, currency)),
  PRIMARY KEY (company_id, id),
  FOREIGN KEY (company_id, as_of) REFERENCES o2c.aging_snapshot (company_id, as_of)
);
ALTER SEQUENCE o2c.aging_snapshot_line_id_seq OWNED BY o2c.aging_snapshot_line.id;
CREATE INDEX aging_snapshot_line_as_of_idx ON o2c.aging_snapshot_line (company_id, as_of);
CREATE TRIGGER aging_snapshot_line_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON o2c.aging_snapshot_line
  FOR EACH STATEMENT EXECUTE FUNCTION o2c.append_only();
COMMENT ON TABLE o2c.aging_snapshot_line IS 'Append-only: the rows of a kept aging.';
