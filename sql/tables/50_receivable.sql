-- The subledger: open items, append-only entries, allocations, periods.
--
-- How to post.  Insert an open item with open_amount = amount: its first entry
-- is written with it (an opening balance may be open in part).  Then insert allocations (a credit item pays a debit
-- item; each becomes two entries; an item on account that was inserted with open_amount = 0 has its receipt written
-- with its first ones, so that money that is used up at once is one row version) or, for what has no counterpart (write-off,
-- refund, return), entries.  Statement triggers in C keep open_amount and the
-- invoice; they cost one statement for any number of rows.
--
-- The ledger has no foreign keys and no row triggers: its posting trigger
-- proves that each entry fits its item, and rows are never changed afterwards.

CREATE SEQUENCE o2c.open_item_id_seq;
CREATE TABLE o2c.open_item (
  company_id integer NOT NULL,
  id bigint NOT NULL DEFAULT pg_catalog.nextval('o2c.open_item_id_seq'),
  customer_id bigint,
  kind o2c.item_kind NOT NULL,
  number text NOT NULL CHECK (number <> ''),
  instalment integer NOT NULL DEFAULT 1 CHECK (instalment > 0),
  invoice_id bigint,
  source_item_id bigint,
  document_date date NOT NULL CHECK (pg_catalog.isfinite(document_date)),
  due_date date NOT NULL CHECK (pg_catalog.isfinite(due_date)),
  currency o2c.currency NOT NULL,
  amount numeric NOT NULL CHECK (amount <> 0 AND o2c.is_amount(amount, currency)),
  open_amount numeric NOT NULL DEFAULT 0,
  structured_ref text,
  alt_number text,
  discount_date date CHECK (pg_catalog.isfinite(discount_date)),
  discount_amount numeric CHECK (discount_amount >= 0 AND o2c.is_amount(discount_amount, currency)),
  disputed_amount numeric NOT NULL DEFAULT 0 CHECK (disputed_amount >= 0 AND o2c.is_amount(disputed_amount, currency)),
  created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
  base_rate numeric,
  PRIMARY KEY (company_id, id),
  -- customer and source: open_item_belongs locks them for all rows at once, customer_items keeps them
  FOREIGN KEY (company_id, invoice_id) REFERENCES o2c.invoice (company_id, id),
  -- a debit is never over-applied, nor a credit
  CONSTRAINT open_item_not_over_applied CHECK
    (CASE WHEN amount > 0 THEN open_amount >= 0 AND open_amount <= amount
          ELSE open_amount <= 0 AND open_amount >= amount END),
  CHECK (customer_id IS NOT NULL OR kind = 'unidentified')
) WITH (fillfactor = 62); -- room for the new versions of what one run of matching closes, six of ten rows
ALTER SEQUENCE o2c.open_item_id_seq OWNED BY o2c.open_item.id;
-- numbers of documents are unique; other items are found by theirs, too, but those of payments (PAY- and the payment's id)
-- by the payment: o2c._open_item_by_number.  The comparisons leave nothing out that the kind and the prefix do not; from
-- them the planner knows that the index has every item with a number that it is given
CREATE UNIQUE INDEX open_item_number_key ON o2c.open_item (company_id, number, instalment,
  (CASE WHEN kind IN ('invoice', 'debit_note', 'credit_note', 'opening', 'fee', 'interest') THEN 0 ELSE id END))
  WHERE kind NOT IN ('on_account', 'unidentified') OR NOT number ^@ 'PAY-' OR number < 'PAY-' OR number >= 'PAY.';
-- no index holds open_amount: paying an item then leaves all of them alone, and what is open is found in open_balance
CREATE INDEX open_item_customer_idx ON o2c.open_item (company_id, customer_id);
CREATE INDEX open_item_invoice_idx ON o2c.open_item (company_id, invoice_id) WHERE invoice_id IS NOT NULL;
CREATE INDEX open_item_source_idx ON o2c.open_item (company_id, source_item_id) WHERE source_item_id IS NOT NULL;
CREATE TRIGGER open_item_guard BEFORE UPDATE ON o2c.open_item
  FOR EACH ROW EXECUTE FUNCTION o2c.guard_item('open_amount', 'amount', 'currency', 'customer_id', 'disputed_amount',
    'due_date', 'document_date', 'invoice_id', 'source_item_id', 'company_id', 'id', 'kind', 'number', 'instalment', 'base_rate');
CREATE TRIGGER open_item_rate BEFORE INSERT ON o2c.open_item
  FOR EACH ROW EXECUTE FUNCTION o2c._item_rate();
CREATE TRIGGER open_item_keep BEFORE DELETE OR TRUNCATE ON o2c.open_item
  FOR EACH STATEMENT EXECUTE FUNCTION o2c.append_only();
-- by its name the first of those that fire
CREATE TRIGGER open_item_belongs AFTER INSERT ON o2c.open_item
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION o2c._item_belongs();
CREATE TRIGGER open_item_post AFTER INSERT ON o2c.open_item
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION o2c.post_items();
CREATE TRIGGER open_item_rights AFTER INSERT ON o2c.open_item
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION o2c._item_rights();
-- the payment names the item, and so comes after it
CREATE CONSTRAINT TRIGGER open_item_paid AFTER INSERT ON o2c.open_item
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
  WHEN (NEW.kind IN ('on_account', 'unidentified')) EXECUTE FUNCTION o2c._item_paid();
CREATE TRIGGER customer_items AFTER DELETE ON o2c.customer
  FOR EACH ROW EXECUTE FUNCTION o2c._keep_customer();
CREATE TRIGGER customer_items_update AFTER UPDATE OF company_id, id ON o2c.customer
  FOR EACH ROW WHEN ((OLD.company_id, OLD.id) IS DISTINCT FROM (NEW.company_id, NEW.id)) EXECUTE FUNCTION o2c._keep_customer();
COMMENT ON TABLE o2c.open_item IS 'One instalment, credit note, payment on account or fee: what allocations pair.';
COMMENT ON COLUMN o2c.open_item.amount IS 'Signed: debits positive, credits negative.';
COMMENT ON COLUMN o2c.open_item.open_amount IS 'Sum of the item''s ledger entries, kept by their trigger.';
COMMENT ON COLUMN o2c.open_item.base_rate IS
  'Units of the company''s currency for one of the item''s, as it stood when the item was posted; null in the company''s own currency, or when there was no rate.';

CREATE TABLE o2c.open_balance (
  company_id integer NOT NULL,
  due_date date NOT NULL,
  customer_id bigint,
  item_id bigint NOT NULL,
  document_date date NOT NULL,
  currency o2c.currency NOT NULL,
  open_amount numeric NOT NULL,
  PRIMARY KEY (company_id, item_id)
) WITH (fillfactor = 90);
CREATE INDEX open_balance_customer_idx ON o2c.open_balance (company_id, customer_id);
CREATE TRIGGER open_balance_guard BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON o2c.open_balance
  FOR EACH STATEMENT EXECUTE FUNCTION o2c._guard_balance();
COMMENT ON TABLE o2c.open_balance IS
  'What is open, one narrow row for each item with open_amount <> 0. Posting writes it with the item, under the lock of the item''s row; nobody else may. Whoever asks for open items starts here, and reads the item for what else it says.';
COMMENT ON COLUMN o2c.open_balance.customer_id IS 'That of the item, as are dates and currency, which never change; null: not identified yet.';
COMMENT ON COLUMN o2c.open_balance.open_amount IS 'That of the item; never 0.';

CREATE SEQUENCE o2c.ledger_entry_id_seq;
CREATE TABLE o2c.ledger_entry (
  company_id integer NOT NULL,
  id bigint NOT NULL DEFAULT pg_catalog.nextval('o2c.ledger_entry_id_seq'),
  item_id bigint NOT NULL,
  customer_id bigint,
  currency o2c.currency NOT NULL,
  due_date date NOT NULL,
  kind o2c.entry_kind NOT NULL,
  amount numeric NOT NULL CHECK (amount <> 0 AND o2c.is_amount(amount, currency)),
  effective_on date NOT NULL CHECK (pg_catalog.isfinite(effective_on)),
  recorded_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp() CHECK (pg_catalog.isfinite(recorded_at)),
  allocation_id bigint,
  raises boolean,
  credit boolean NOT NULL GENERATED ALWAYS AS
    ((amount < 0) = coalesce(raises, allocation_id IS NULL AND
       kind IN ('opening', 'invoice', 'credit', 'receipt', 'charge', 'fee', 'interest'))) STORED,
  reverses_id bigint,
  reason text,
  PRIMARY KEY (company_id, id)
);
ALTER SEQUENCE o2c.ledger_entry_id_seq OWNED BY o2c.ledger_entry.id;
CREATE INDEX ledger_entry_item_idx ON o2c.ledger_entry (company_id, item_id);
CREATE INDEX ledger_entry_effective_idx ON o2c.ledger_entry (company_id, effective_on);
CREATE UNIQUE INDEX ledger_entry_reverses_key ON o2c.ledger_entry (company_id, reverses_id) WHERE reverses_id IS NOT NULL;
CREATE INDEX ledger_entry_recorded_idx ON o2c.ledger_entry USING brin (recorded_at);
CREATE TRIGGER ledger_entry_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON o2c.ledger_entry
  FOR EACH STATEMENT EXECUTE FUNCTION o2c.append_only();
CREATE TRIGGER ledger_entry_post AFTER INSERT ON o2c.ledger_entry
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION o2c.post_entries();
CREATE TRIGGER ledger_entry_rights AFTER INSERT ON o2c.ledger_entry
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION o2c._entry_rights();
COMMENT ON TABLE o2c.ledger_entry IS 'Append-only: every change of an open item, signed, with its effective date and when it was recorded.';
COMMENT ON COLUMN o2c.ledger_entry.customer_id IS 'That of the item, as are currency and due_date: aging of a past date reads entries alone.';
COMMENT ON COLUMN o2c.ledger_entry.effective_on IS 'The date from which the entry counts.';
COMMENT ON COLUMN o2c.ledger_entry.recorded_at IS
  'When the company knew it, by the clock as it was written. A transaction that is still open may commit entries with an earlier time than others that are visible: a question about knowledge at a time gives the same answer again once every transaction that began before it has ended.';
COMMENT ON COLUMN o2c.ledger_entry.raises IS 'True: moves the item away from zero; false: settles it; null: as the kind says (opening, invoice, credit, receipt, charge, fee and interest raise, the rest settles).';
COMMENT ON COLUMN o2c.ledger_entry.reverses_id IS 'The entry that this one undoes; each can be undone once. Entries of allocations are undone by an allocation.';
COMMENT ON COLUMN o2c.ledger_entry.credit IS 'Whether the item is a credit; follows from amount, kind and raises, and the posting trigger compares it with the item.';

CREATE SEQUENCE o2c.allocation_id_seq;
CREATE TABLE o2c.allocation (
  company_id integer NOT NULL,
  id bigint NOT NULL DEFAULT pg_catalog.nextval('o2c.allocation_id_seq'),
  debit_item_id bigint NOT NULL,
  credit_item_id bigint NOT NULL,
  currency o2c.currency NOT NULL,
  amount numeric NOT NULL CHECK (amount <> 0 AND o2c.is_amount(amount, currency)),
  kind o2c.entry_kind NOT NULL DEFAULT 'application',
  effective_on date NOT NULL CHECK (pg_catalog.isfinite(effective_on)),
  recorded_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp() CHECK (pg_catalog.isfinite(recorded_at)),
  reverses_id bigint,
  reason text,
  PRIMARY KEY (company_id, id),
  CHECK ((amount < 0) = (reverses_id IS NOT NULL)),
  CHECK (debit_item_id <> credit_item_id)
);
ALTER SEQUENCE o2c.allocation_id_seq OWNED BY o2c.allocation.id;
CREATE UNIQUE INDEX allocation_reverses_key ON o2c.allocation (company_id, reverses_id) WHERE reverses_id IS NOT NULL;
CREATE INDEX allocation_debit_idx ON o2c.allocation (company_id, debit_item_id);
CREATE INDEX allocation_credit_idx ON o2c.allocation (company_id, credit_item_id);
CREATE TRIGGER allocation_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON o2c.allocation
  FOR EACH STATEMENT EXECUTE FUNCTION o2c.append_only();
CREATE TRIGGER allocation_post AFTER INSERT ON o2c.allocation
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION o2c.post_allocations();
COMMENT ON TABLE o2c.allocation IS 'Append-only: a credit item pays a debit item; a negative amount undoes an earlier allocation.';
COMMENT ON COLUMN o2c.allocation.effective_on IS 'The date from which it counts, though never before both items exist.';
COMMENT ON COLUMN o2c.allocation.reverses_id IS 'The allocation that this one undoes, in full; each can be undone once.';

CREATE SEQUENCE o2c.period_id_seq;
CREATE TABLE o2c.period (
  company_id integer NOT NULL REFERENCES o2c.company,
  id bigint NOT NULL DEFAULT pg_catalog.nextval('o2c.period_id_seq'),
  from_date date NOT NULL CHECK (pg_catalog.isfinite(from_date)),
  to_date date NOT NULL CHECK (pg_catalog.isfinite(to_date)),
  closed_at timestamptz,
  closed_by text,
  PRIMARY KEY (company_id, id),
  UNIQUE (company_id, from_date),
  CHECK (from_date <= to_date),
  CHECK ((closed_at IS NULL) = (closed_by IS NULL))
);
ALTER SEQUENCE o2c.period_id_seq OWNED BY o2c.period.id;
CREATE INDEX period_closed_idx ON o2c.period (company_id, to_date) WHERE closed_at IS NOT NULL;
CREATE TRIGGER period_guard BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON o2c.period
  FOR EACH STATEMENT EXECUTE FUNCTION o2c.guard_period();
COMMENT ON TABLE o2c.period IS 'Accounting periods; a closed one takes no ledger entry.';
COMMENT ON COLUMN o2c.period.closed_at IS 'When it was closed; null = open.';
