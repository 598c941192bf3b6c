-- Number series: how documents are numbered, and the counters.

CREATE TABLE o2c.number_series (
  company_id integer NOT NULL REFERENCES o2c.company,
  code text COLLATE "C" NOT NULL CHECK (code ~ '^[A-Za-z0-9_./-]{1,32}$'),
  prefix text CHECK (prefix ~ '^[A-Za-z0-9_./-]{0,16}$'),
  pattern text NOT NULL DEFAULT '{series}{yyyy}-{n:6}',
  reset text NOT NULL DEFAULT 'never' CHECK (reset IN ('never', 'year', 'month')),
  assign text NOT NULL DEFAULT 'issue' CHECK (assign IN ('issue', 'commit')),
  gapless boolean NOT NULL DEFAULT true,
  early_release boolean NOT NULL DEFAULT false,
  first_number bigint NOT NULL DEFAULT 1 CHECK (first_number BETWEEN 1 AND 1000000000000),
  PRIMARY KEY (company_id, code),
  CHECK (o2c._is_number_pattern(pattern, reset)),
  CHECK (gapless OR reset = 'never')
);
COMMENT ON TABLE o2c.number_series IS 'How documents of one kind are numbered.';
COMMENT ON COLUMN o2c.number_series.code IS
  'invoice, credit_note, debit_note, prepayment and shipment are what documents of that kind use unless they name another.';
COMMENT ON COLUMN o2c.number_series.prefix IS 'What {series} stands for; the code when NULL.';
COMMENT ON COLUMN o2c.number_series.pattern IS
  'Text with the tokens {series} {yyyy} {yy} {mm} {n} and {n:6} (at least six digits); has {n} once, and the tokens that its reset needs.';
COMMENT ON COLUMN o2c.number_series.reset IS 'When counting begins at 1 again: never, each year or each month, by the document''s date.';
COMMENT ON COLUMN o2c.number_series.assign IS
  'issue: the number is drawn when the document is issued and the series stays locked until the transaction ends; commit: drawn while committing, so that nobody waits for a client.';
COMMENT ON COLUMN o2c.number_series.gapless IS
  'false: numbers come from a plain sequence, without lock, order of dates or a promise that none is missing.';
COMMENT ON COLUMN o2c.number_series.first_number IS 'Where counting begins, for a series that goes on from another system.';
COMMENT ON COLUMN o2c.number_series.early_release IS
  'The series is unlocked when the commit record is written and before it is flushed; the client is answered after the flush.';

-- One row a series, changed in place by src/invoicing/numbering.c; the free
-- space on its pages lets each change stay on the page of the row.
CREATE TABLE o2c.number_counter (
  company_id integer NOT NULL,
  series text COLLATE "C" NOT NULL,
  period date NOT NULL DEFAULT '0001-01-01' CHECK (pg_catalog.isfinite(period)),
  last_number bigint NOT NULL DEFAULT 0 CHECK (last_number >= 0),
  last_date date NOT NULL DEFAULT '0001-01-01' CHECK (pg_catalog.isfinite(last_date)),
  last_issued_at timestamptz NOT NULL DEFAULT '2000-01-01 00:00:00+00',
  PRIMARY KEY (company_id, series),
  FOREIGN KEY (company_id, series) REFERENCES o2c.number_series (company_id, code) ON DELETE CASCADE
) WITH (fillfactor = 10);
COMMENT ON TABLE o2c.number_counter IS
  'The last number of each series, its date and the moment it was drawn; only the server''s own code writes it.';
COMMENT ON COLUMN o2c.number_counter.period IS 'First day of the year or month that last_number counts.';

CREATE SEQUENCE o2c.number_loose_seq;
ALTER SEQUENCE o2c.number_loose_seq OWNED BY o2c.number_series.first_number;
COMMENT ON SEQUENCE o2c.number_loose_seq IS 'Numbers of every series that is not gapless.';

CREATE TRIGGER number_series_counter AFTER INSERT ON o2c.number_series
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION o2c._number_series_counter();
CREATE TRIGGER number_series_guard BEFORE UPDATE ON o2c.number_series
  FOR EACH ROW EXECUTE FUNCTION o2c._number_series_guard();
CREATE TRIGGER number_counter_guard BEFORE UPDATE OR DELETE ON o2c.number_counter
  FOR EACH ROW EXECUTE FUNCTION o2c._number_counter_guard();
CREATE TRIGGER number_counter_no_truncate BEFORE TRUNCATE ON o2c.number_counter
  FOR EACH STATEMENT EXECUTE FUNCTION o2c._no_truncate();
