-- The subledger: its triggers, periods, imports, write-offs and reversals.
-- Aging stands in 51_aging.sql.

CREATE FUNCTION o2c._entry_rights() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'o2c_entry_rights';
COMMENT ON FUNCTION o2c._entry_rights() IS
  'Trigger of ledger_entry: who is no manager writes only what applying money brings with it (discounts granted, differences within the tolerance, charges, returns, transfers of payments, the undoing of these). Errors: O2008.';
CREATE FUNCTION o2c._item_rights() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'o2c_item_rights';
COMMENT ON FUNCTION o2c._item_rights() IS
  'Trigger of open_item: who is no manager makes items with their documents only, never an opening balance or a credit note of its own. Errors: O2008.';

CREATE FUNCTION o2c._item_paid() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'o2c_item_paid';
COMMENT ON FUNCTION o2c._item_paid() IS
  'Deferred trigger of open_item: money on account or unidentified that no manager posts, or that bears the number of a payment, has its payment when the transaction ends. Errors: O2008, O2033.';

CREATE FUNCTION o2c.post_items() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'o2c_post_items';
COMMENT ON FUNCTION o2c.post_items() IS
  'Statement trigger of open_item: writes the first entry of items inserted with open_amount = amount; of an opening balance also what was paid before.';

CREATE FUNCTION o2c.post_entries() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'o2c_post_entries';
COMMENT ON FUNCTION o2c.post_entries() IS
  'Statement trigger of ledger_entry: adds entries to their open items and invoices.';

CREATE FUNCTION o2c.post_allocations() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'o2c_post_allocations';
COMMENT ON FUNCTION o2c.post_allocations() IS
  'Statement trigger of allocation: writes the two entries of each allocation.';

CREATE FUNCTION o2c.guard_item() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'o2c_guard_item';
COMMENT ON FUNCTION o2c.guard_item() IS
  'Row trigger of open_item: the columns named change only through posted entries (O2030).';

CREATE FUNCTION o2c._guard_balance() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'o2c_guard_balance';
COMMENT ON FUNCTION o2c._guard_balance() IS
  'Statement trigger of open_balance: refuses every statement; posting writes its rows with their items. Errors: O2030.';

CREATE FUNCTION o2c._item_rate() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'o2c_item_rate';
COMMENT ON FUNCTION o2c._item_rate() IS
  'Row trigger of open_item: an item in another currency than the company''s keeps the exchange rate of its date.';

CREATE FUNCTION o2c._item_belongs() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'o2c_item_belongs';
COMMENT ON FUNCTION o2c._item_belongs() IS
  'Statement trigger of open_item: its customers and source items exist, and are locked as by a foreign key. Errors: 23503.';

CREATE FUNCTION o2c._keep_customer() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'o2c_keep_customer';
COMMENT ON FUNCTION o2c._keep_customer() IS
  'Row trigger of customer: who has open items is not deleted and keeps its id. Errors: 23503.';

CREATE FUNCTION o2c.guard_period() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'o2c_guard_period';
COMMENT ON FUNCTION o2c.guard_period() IS
  'Statement trigger of period: waits for postings under way and lets new ones wait until the change is committed.';

CREATE FUNCTION o2c.close_period(company_id integer, from_date date, to_date date) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  period_id bigint;
BEGIN
  PERFORM o2c._require_company($1);
  IF $2 IS NULL OR $3 IS NULL OR NOT pg_catalog.isfinite($2) OR NOT pg_catalog.isfinite($3) OR $2 > $3 THEN
    RAISE EXCEPTION USING ERRCODE = 'O2044',
      MESSAGE = 'a period needs a first and a last day',
      DETAIL = pg_catalog.format('Given: %s to %s.', $2, $3);
  END IF;
  PERFORM o2c._once($1, 'period', '', 'SELECT pg_catalog.max(p.id) FROM o2c.period p WHERE p.company_id = $1');
  -- locks the ledger (guard_period), so that no other period comes between
  UPDATE o2c.period p SET closed_at = pg_catalog.now(), closed_by = session_user
  WHERE p.company_id = $1 AND p.from_date = $2 AND p.to_date = $3 AND p.closed_at IS NULL
  RETURNING p.id INTO period_id;
  IF period_id IS NOT NULL THEN
    RETURN period_id;
  END IF;
  SELECT p.id INTO period_id FROM o2c.period p
  WHERE p.company_id = $1 AND p.from_date = $2 AND p.to_date = $3;
  IF period_id IS NOT NULL THEN
    RETURN period_id;
  END IF;
  IF EXISTS (SELECT FROM o2c.period p WHERE p.company_id = $1 AND p.from_date <= $3 AND p.to_date >= $2) THEN
    RAISE EXCEPTION USING ERRCODE = 'O2005',
      MESSAGE = pg_catalog.format('the period %s to %s overlaps another', $2, $3),
      HINT = 'SELECT * FROM o2c.period shows them.';
  END IF;
  INSERT INTO o2c.period (company_id, from_date, to_date, closed_at, closed_by)
  VALUES ($1, $2, $3, pg_catalog.now(), session_user) RETURNING id INTO period_id;
  RETURN period_id;
END $$;
COMMENT ON FUNCTION o2c.close_period(integer, date, date) IS
  'Close a period to ledger entries: none with an effective date in it is taken any more (O2031). Waits for postings under way; again: the same id. Errors: O2002, O2005, O2044.';

CREATE FUNCTION o2c.reopen_period(company_id integer, period_id bigint, reason text) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  UPDATE o2c.period p SET closed_at = NULL, closed_by = NULL
  WHERE p.company_id = $1 AND p.id = $2 AND p.closed_at IS NOT NULL;
  IF NOT FOUND THEN
    IF NOT EXISTS (SELECT FROM o2c.period p WHERE p.company_id = $1 AND p.id = $2) THEN
      PERFORM o2c._require_company($1);
      RAISE EXCEPTION USING ERRCODE = 'O2003', MESSAGE = pg_catalog.format('there is no period %s', $2);
    END IF;
    RETURN $2;
  END IF;
  INSERT INTO o2c.event (company_id, entity, entity_id, event, from_state, to_state, reason)
  VALUES ($1, 'period', $2, 'reopen', 'closed', 'open', $3);
  RETURN $2;
END $$;
COMMENT ON FUNCTION o2c.reopen_period(integer, bigint, text) IS
  'Let a closed period take entries again; noted in o2c.event. Errors: O2002, O2003.';

CREATE FUNCTION o2c._open_item_by_number(company integer, number text) RETURNS bigint
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
DECLARE
  found bigint;
BEGIN
  -- of several instalments the oldest that is open
  IF $2 ^@ 'PAY-' THEN
    -- the items of a payment, from the one that it stands on back to the first, are in no index by number
    WITH RECURSIVE item AS (
      SELECT p.item_id AS id FROM o2c.payment p
      WHERE p.company_id = company AND p.id = CASE WHEN $2 ~ '^PAY-[1-9][0-9]{0,17}$'
              OR ($2 ~ '^PAY-[1-9][0-9]{18}$' AND pg_catalog.substr($2, 5)::numeric <= 9223372036854775807) THEN pg_catalog.substr($2, 5)::bigint END
      UNION
      SELECT i.source_item_id FROM item t JOIN o2c.open_item i ON i.company_id = company AND i.id = t.id
      WHERE i.source_item_id IS NOT NULL)
    SELECT i.id INTO found
    FROM (SELECT t.id FROM item t
          UNION
          SELECT d.id FROM o2c.open_item d
          WHERE d.company_id = company AND d.number = $2 AND d.kind NOT IN ('on_account', 'unidentified')) t
    CROSS JOIN LATERAL (SELECT * FROM o2c.open_item i WHERE i.company_id = company AND i.id = t.id AND i.number = $2 OFFSET 0) i
    ORDER BY (i.open_amount = 0), i.due_date, i.instalment, i.id LIMIT 1;
  ELSE
    SELECT i.id INTO found FROM o2c.open_item i
    WHERE i.company_id = company AND i.number = $2 AND NOT i.number ^@ 'PAY-'
    ORDER BY (i.open_amount = 0), i.due_date, i.instalment, i.id LIMIT 1;
  END IF;
  IF found IS NULL THEN
    PERFORM o2c._require_company(company);
    RAISE EXCEPTION USING ERRCODE = 'O2003',
      MESSAGE = pg_catalog.format('there is no open item "%s"', coalesce($2, 'NULL')),
      HINT = 'The number of an invoice, credit note or imported item is meant.';
  END IF;
  RETURN found;
END $$;
COMMENT ON FUNCTION o2c._open_item_by_number(integer, text) IS
  'Id of the item with that number; of several instalments the first that is open. Errors: O2002, O2003.';

CREATE FUNCTION o2c._require_effective(effective_on date) RETURNS void
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
BEGIN
  IF NOT pg_catalog.isfinite(effective_on) THEN
    RAISE EXCEPTION USING ERRCODE = 'O2044', MESSAGE = pg_catalog.format('%s is not a date from which an entry counts', effective_on);
  END IF;
END $$;
COMMENT ON FUNCTION o2c._require_effective(date) IS 'Raises O2044 for an infinite date; NULL, which stands for today, passes.';

CREATE FUNCTION o2c.write_off(company_id integer, number text, amount numeric DEFAULT NULL,
  reason text DEFAULT NULL, effective_on date DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  item o2c.open_item;
  target bigint;
  off numeric := $3;
  entry_id bigint;
BEGIN
  IF coalesce($4, '') = '' THEN
    RAISE EXCEPTION USING ERRCODE = 'O2004', MESSAGE = 'a write-off needs a reason';
  END IF;
  PERFORM o2c._require_effective($5);
  target := o2c._open_item_by_number($1, $2); -- not in the query: a company without items would never ask for it
  SELECT * INTO item FROM o2c.open_item i WHERE i.company_id = $1 AND i.id = target FOR NO KEY UPDATE;
  IF item.open_amount = 0 THEN
    RAISE EXCEPTION USING ERRCODE = 'O2060',
      MESSAGE = pg_catalog.format('nothing is open on "%s"', $2);
  END IF;
  off := coalesce(off, pg_catalog.abs(item.open_amount));
  IF off <= 0 OR NOT o2c.is_amount(off, item.currency) THEN
    RAISE EXCEPTION USING ERRCODE = 'O2043',
      MESSAGE = pg_catalog.format('%s is not an amount of %s to write off', off, item.currency),
      HINT = 'Give a positive amount without digits beyond the minor unit, of at most 18 digits.';
  END IF;
  INSERT INTO o2c.ledger_entry (company_id, item_id, customer_id, currency, due_date, kind, amount, effective_on, reason)
  VALUES ($1, item.id, item.customer_id, item.currency, item.due_date, 'write_off',
          CASE WHEN item.amount > 0 THEN - off ELSE off END,
          GREATEST(coalesce($5, o2c.today($1)), item.document_date), $4)
  RETURNING id INTO entry_id;
  INSERT INTO o2c.event (company_id, entity, entity_id, event, reason, data)
  VALUES ($1, 'open_item', item.id, 'write_off', $4,
          pg_catalog.jsonb_build_object('amount', off, 'currency', item.currency, 'entry_id', entry_id));
  RETURN entry_id;
END $$;
COMMENT ON FUNCTION o2c.write_off(integer, text, numeric, text, date) IS
  'Write off an amount (NULL = all that is open) of the item with that number, counting from effective_on; returns the ledger entry. A credit that nobody claims is written off the same way. Errors: O2002, O2003, O2004, O2031, O2043, O2044, O2060.';

CREATE FUNCTION o2c.reverse_entry(company_id integer, entry_id bigint, reason text, effective_on date DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  entry o2c.ledger_entry;
  new_id bigint;
BEGIN
  IF coalesce($3, '') = '' THEN
    RAISE EXCEPTION USING ERRCODE = 'O2004', MESSAGE = 'a reversal needs a reason';
  END IF;
  PERFORM o2c._require_effective($4);
  SELECT e.* INTO entry FROM o2c.ledger_entry e WHERE e.company_id = $1 AND e.id = $2;
  IF NOT FOUND THEN
    PERFORM o2c._require_company($1);
    RAISE EXCEPTION USING ERRCODE = 'O2003', MESSAGE = pg_catalog.format('there is no ledger entry %s', $2);
  END IF;
  IF entry.allocation_id IS NOT NULL OR entry.kind NOT IN ('write_off', 'discount', 'refund', 'exchange') THEN
    RAISE EXCEPTION USING ERRCODE = 'O2033',
      MESSAGE = pg_catalog.format('entry %s of kind %s is not reversed by itself', $2, entry.kind),
      HINT = 'Undo an allocation with o2c.unapply(), an invoice with o2c.credit_invoice(), a payment with o2c.return_payment().';
  END IF;
  -- one at a time on the item: the second finds the first's reversal
  PERFORM FROM o2c.open_item i WHERE i.company_id = $1 AND i.id = entry.item_id FOR NO KEY UPDATE;
  INSERT INTO o2c.ledger_entry (company_id, item_id, customer_id, currency, due_date, kind, amount, raises,
                                effective_on, reverses_id, reason)
  VALUES ($1, entry.item_id, entry.customer_id, entry.currency, entry.due_date, entry.kind, - entry.amount, true,
          GREATEST(coalesce($4, o2c.today($1)), entry.effective_on), $2, $3)
  ON CONFLICT (company_id, reverses_id) WHERE reverses_id IS NOT NULL DO NOTHING
  RETURNING id INTO new_id;
  IF new_id IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'O2061',
      MESSAGE = pg_catalog.format('ledger entry %s is reversed already', $2);
  END IF;
  RETURN new_id;
END $$;
COMMENT ON FUNCTION o2c.reverse_entry(integer, bigint, text, date) IS
  'Undo a write-off, discount, refund or exchange difference by a further entry from effective_on; once. Returns the new entry. Errors: O2003, O2004, O2031, O2033, O2044, O2061.';

CREATE FUNCTION o2c.import_open_items(company_id integer, source regclass,
  OUT imported bigint, OUT unchanged bigint, OUT rejected bigint)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
SET datestyle = 'ISO'
SET extra_float_digits = 1  -- what a column holds, however the session prints it
SET client_min_messages = warning
AS $$
#variable_conflict use_column
DECLARE
  columns constant text[] := '{number,customer_code,document_date,due_date,currency,amount,open_amount,structured_ref,alt_number,discount_date,discount_amount}';
BEGIN
  PERFORM o2c._require_company($1);
  -- one import a company at a time: numbers of another are unchanged then, not new
  PERFORM pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext('order2cash.import_open_items'), $1);
  DROP TABLE IF EXISTS pg_temp.o2c_import;
  DROP TABLE IF EXISTS pg_temp.o2c_import_item;
  EXECUTE 'CREATE TEMPORARY TABLE o2c_import ON COMMIT DROP AS '
    || o2c._import_query(source, columns, '{number,customer_code,document_date,due_date,amount}');

  -- read once: typed values, the customer, the item that has the number already
  CREATE TEMPORARY TABLE o2c_import_item ON COMMIT DROP AS
  SELECT i.row_no, i.number, c.id AS customer_id, c.code AS customer_code,
         o2c._to_date(i.document_date) AS document_date, o2c._to_date(i.due_date) AS due_date,
         CASE WHEN i.currency IS NULL THEN c.currency WHEN o2c.is_currency(i.currency) THEN i.currency::o2c.currency END AS currency,
         o2c._to_numeric(i.amount) AS amount,
         CASE WHEN i.open_amount IS NULL THEN o2c._to_numeric(i.amount) ELSE o2c._to_numeric(i.open_amount) END AS open_amount,
         CASE WHEN o2c.is_creditor_reference(i.structured_ref)
              THEN o2c.creditor_reference(i.structured_ref)::text ELSE i.structured_ref END AS structured_ref,
         i.alt_number, o2c._to_date(i.discount_date) AS discount_date, o2c._to_numeric(i.discount_amount) AS discount_amount,
         NULL::bigint AS item_id, NULL::text AS reason, false AS repeated, false AS is_new
  FROM pg_temp.o2c_import i LEFT JOIN o2c.customer c ON c.company_id = $1 AND c.code = i.customer_code;
  CREATE INDEX ON pg_temp.o2c_import_item (number, row_no);
  CREATE INDEX ON pg_temp.o2c_import_item (row_no);
  CREATE INDEX ON pg_temp.o2c_import (row_no);
  ANALYZE pg_temp.o2c_import, pg_temp.o2c_import_item;

  UPDATE pg_temp.o2c_import_item t SET reason = CASE
    WHEN i.number IS NULL THEN 'number is missing'
    WHEN i.customer_code IS NULL THEN 'customer_code is missing'
    WHEN t.customer_id IS NULL THEN pg_catalog.format('there is no customer "%s"', i.customer_code)
    WHEN t.document_date IS NULL THEN pg_catalog.format('document_date "%s" is not a date', i.document_date)
    WHEN t.due_date IS NULL THEN pg_catalog.format('due_date "%s" is not a date', i.due_date)
    WHEN t.currency IS NULL THEN pg_catalog.format('"%s" is not a currency', i.currency)
    WHEN t.amount IS NULL THEN pg_catalog.format('amount "%s" is not a number', i.amount)
    WHEN t.amount = 0 THEN 'amount is zero'
    WHEN NOT o2c.is_amount(t.amount, t.currency)
      THEN pg_catalog.format('amount %s %s', i.amount, o2c._amount_fault(t.amount, t.currency))
    WHEN t.open_amount IS NULL THEN pg_catalog.format('open_amount "%s" is not a number', i.open_amount)
    WHEN NOT o2c.is_amount(t.open_amount, t.currency)
      THEN pg_catalog.format('open_amount %s %s', i.open_amount, o2c._amount_fault(t.open_amount, t.currency))
    WHEN t.open_amount * pg_catalog.sign(t.amount) NOT BETWEEN 0 AND pg_catalog.abs(t.amount)
      THEN pg_catalog.format('open_amount %s is not between 0 and amount %s', i.open_amount, i.amount)
    WHEN i.discount_date IS NOT NULL AND t.discount_date IS NULL
      THEN pg_catalog.format('discount_date "%s" is not a date', i.discount_date)
    WHEN i.discount_amount IS NOT NULL AND t.discount_amount IS NULL
      THEN pg_catalog.format('discount_amount "%s" is not a number', i.discount_amount)
    WHEN t.discount_amount < 0 OR t.discount_amount > pg_catalog.abs(t.amount) OR NOT o2c.is_amount(t.discount_amount, t.currency)
      THEN pg_catalog.format('discount_amount %s does not fit amount %s', i.discount_amount, i.amount)
    END
  FROM pg_temp.o2c_import i WHERE i.row_no = t.row_no;

  -- a number that stands twice in the source counts once, if it says the same
  UPDATE pg_temp.o2c_import_item t SET
    repeated = true,
    reason = CASE WHEN (t.customer_id, t.document_date, t.due_date, t.currency::text, t.amount, t.open_amount)
                    IS DISTINCT FROM (f.customer_id, f.document_date, f.due_date, f.currency::text, f.amount, f.open_amount)
                  THEN pg_catalog.format('number "%s" stands in an earlier row with other content', t.number) END
  FROM (SELECT DISTINCT ON (o.number) o.* FROM pg_temp.o2c_import_item o WHERE o.reason IS NULL ORDER BY o.number, o.row_no) f
  WHERE t.reason IS NULL AND f.number = t.number AND f.row_no < t.row_no;

  -- a number that the ledger has is unchanged, or refused when money differs
  UPDATE pg_temp.o2c_import_item t SET
    item_id = k.id,
    reason = CASE
      WHEN k.kind <> 'opening' THEN pg_catalog.format('number "%s" belongs to a document of this database', t.number)
      WHEN (t.customer_id, t.document_date, t.due_date, t.currency::text, t.amount)
             IS DISTINCT FROM (k.customer_id, k.document_date, k.due_date, k.currency::text, k.amount)
           OR t.open_amount <> (SELECT pg_catalog.sum(e.amount) FROM o2c.ledger_entry e
                                WHERE e.company_id = k.company_id AND e.item_id = k.id AND e.kind = 'opening')
      THEN pg_catalog.format('number "%s" was imported with other content; what is posted stays', t.number) END
  FROM o2c.open_item k
  WHERE t.reason IS NULL AND k.company_id = $1 AND k.number = t.number AND k.instalment = 1
    AND k.kind IN ('invoice', 'debit_note', 'credit_note', 'opening', 'fee', 'interest');

  INSERT INTO o2c.import_reject (company_id, import, source_row, reason)
  SELECT $1, 'import_open_items', i.source_row, t.reason
  FROM pg_temp.o2c_import_item t JOIN pg_temp.o2c_import i ON i.row_no = t.row_no
  WHERE t.reason IS NOT NULL ORDER BY t.row_no;
  GET DIAGNOSTICS rejected = ROW_COUNT;

  -- references and discounts are no money: the later import says them
  PERFORM FROM o2c.open_item k
  WHERE k.company_id = $1 AND k.id IN (SELECT t.item_id FROM pg_temp.o2c_import_item t WHERE t.reason IS NULL AND NOT t.repeated)
  ORDER BY k.id FOR NO KEY UPDATE;
  UPDATE o2c.open_item k SET
    structured_ref = coalesce(t.structured_ref, k.structured_ref), alt_number = coalesce(t.alt_number, k.alt_number),
    discount_date = coalesce(t.discount_date, k.discount_date), discount_amount = coalesce(t.discount_amount, k.discount_amount)
  FROM pg_temp.o2c_import_item t
  WHERE t.reason IS NULL AND NOT t.repeated AND k.company_id = $1 AND k.id = t.item_id
    AND (k.structured_ref, k.alt_number, k.discount_date, k.discount_amount) IS DISTINCT FROM
        (coalesce(t.structured_ref, k.structured_ref), coalesce(t.alt_number, k.alt_number),
         coalesce(t.discount_date, k.discount_date), coalesce(t.discount_amount, k.discount_amount));

  UPDATE pg_temp.o2c_import_item t SET item_id = pg_catalog.nextval('o2c.open_item_id_seq'), is_new = true
  WHERE t.reason IS NULL AND NOT t.repeated AND t.item_id IS NULL;
  -- their trigger writes the entries, that of what was paid before too
  INSERT INTO o2c.open_item (company_id, id, customer_id, kind, number, document_date, due_date, currency,
                             amount, open_amount, structured_ref, alt_number, discount_date, discount_amount)
  SELECT $1, t.item_id, t.customer_id, 'opening', t.number, t.document_date, t.due_date, t.currency,
         t.amount, t.open_amount, t.structured_ref, t.alt_number, t.discount_date, t.discount_amount
  FROM pg_temp.o2c_import_item t WHERE t.is_new ORDER BY t.item_id;
  GET DIAGNOSTICS imported = ROW_COUNT;
  unchanged := (SELECT pg_catalog.count(*) FROM pg_temp.o2c_import) - imported - rejected;
  DROP TABLE pg_temp.o2c_import_item, pg_temp.o2c_import;
END $$;
COMMENT ON FUNCTION o2c.import_open_items(integer, regclass) IS
  'Opening balances: open items by number from the named columns of a table, view or temporary table; a negative amount is a credit note, a missing currency that of the customer. What was paid before counts from the item''s date. Rows that do not fit go to o2c.import_reject. Errors: O2002, O2006.';

CREATE FUNCTION o2c._check_receivable(company integer)
RETURNS TABLE (invariant text, company_id integer, entity text, entity_id bigint, detail text)
LANGUAGE plpgsql STABLE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
-- everything is read whole: nothing is looped through, whatever statistics say
SET enable_nestloop = off
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
  -- stored open amounts are the sums of their entries
  RETURN QUERY
    SELECT 'open amount is the sum of entries', i.company_id, 'open_item', i.id,
           pg_catalog.format('%s: open %s, entries %s', i.number, i.open_amount, coalesce(s.amount, 0))
    FROM o2c.open_item i
    LEFT JOIN (SELECT e.company_id, e.item_id, pg_catalog.sum(e.amount) AS amount FROM o2c.ledger_entry e
               WHERE company IS NULL OR e.company_id = company GROUP BY 1, 2) s
      ON s.company_id = i.company_id AND s.item_id = i.id
    WHERE (company IS NULL OR i.company_id = company) AND (s.item_id IS NULL OR s.amount <> i.open_amount);

  -- and stand beside them, for those that are open
  RETURN QUERY
    SELECT 'balance is what is open on its item', coalesce(i.company_id, b.company_id), 'open_item', coalesce(i.id, b.item_id),
           pg_catalog.format('%s: open %s, balance %s', coalesce(i.number, 'no item'), i.open_amount, coalesce(b.open_amount::text, 'missing'))
    FROM (SELECT * FROM o2c.open_item x WHERE x.open_amount <> 0 AND (company IS NULL OR x.company_id = company)) i
    FULL JOIN (SELECT * FROM o2c.open_balance x WHERE company IS NULL OR x.company_id = company) b
      ON b.company_id = i.company_id AND b.item_id = i.id
    WHERE (i.open_amount, i.customer_id, i.due_date, i.document_date, i.currency::text)
      IS DISTINCT FROM (b.open_amount, b.customer_id, b.due_date, b.document_date, b.currency::text);

  -- an entry repeats what it says of its item
  RETURN QUERY
    SELECT 'item has its customer and its source', i.company_id, 'open_item', i.id,
           pg_catalog.format('%s: customer %s, source %s', i.number, i.customer_id, i.source_item_id)
    FROM o2c.open_item i
    LEFT JOIN o2c.customer c ON c.company_id = i.company_id AND c.id = i.customer_id
    LEFT JOIN o2c.open_item s ON s.company_id = i.company_id AND s.id = i.source_item_id
    WHERE (company IS NULL OR i.company_id = company)
      AND ((i.customer_id IS NOT NULL AND c.id IS NULL) OR (i.source_item_id IS NOT NULL AND s.id IS NULL));
  RETURN QUERY
    SELECT 'entry fits its item', e.company_id, 'ledger_entry', e.id,
           pg_catalog.format('item %s %s', e.item_id, coalesce(i.number, 'does not exist'))
    FROM o2c.ledger_entry e LEFT JOIN o2c.open_item i ON i.company_id = e.company_id AND i.id = e.item_id
    WHERE (company IS NULL OR e.company_id = company)
      AND (i.id IS NULL OR i.currency::text <> e.currency::text OR i.customer_id IS DISTINCT FROM e.customer_id
           OR i.due_date <> e.due_date OR (i.amount < 0) <> e.credit OR e.effective_on < i.document_date);

  -- an allocation is two entries
  RETURN QUERY
    SELECT 'allocation is two entries', a.company_id, 'allocation', a.id,
           pg_catalog.format('debit %s, credit %s, entries %s', s.debit, s.credit, coalesce(s.n, 0))
    FROM o2c.allocation a
    LEFT JOIN (SELECT e.company_id, e.allocation_id, pg_catalog.count(*) AS n,
                 pg_catalog.sum(e.amount) FILTER (WHERE NOT e.credit) AS debit,
                 pg_catalog.sum(e.amount) FILTER (WHERE e.credit) AS credit
               FROM o2c.ledger_entry e
               WHERE e.allocation_id IS NOT NULL AND (company IS NULL OR e.company_id = company) GROUP BY 1, 2) s
      ON s.company_id = a.company_id AND s.allocation_id = a.id
    WHERE (company IS NULL OR a.company_id = company)
      AND (s.n IS DISTINCT FROM 2 OR s.debit <> - a.amount OR s.credit <> a.amount);

  -- a reversal undoes exactly what it names
  RETURN QUERY
    SELECT 'reversal fits its allocation', a.company_id, 'allocation', a.id, pg_catalog.format('reverses %s', a.reverses_id)
    FROM o2c.allocation a LEFT JOIN o2c.allocation o ON o.company_id = a.company_id AND o.id = a.reverses_id
    WHERE a.reverses_id IS NOT NULL AND (company IS NULL OR a.company_id = company)
      AND (o.id IS NULL OR o.amount <> - a.amount OR o.debit_item_id <> a.debit_item_id
           OR o.credit_item_id <> a.credit_item_id OR o.effective_on > a.effective_on);

  -- invoices carry what is open on their items
  RETURN QUERY
    SELECT 'invoice carries its open items', v.company_id, 'invoice', v.id,
           pg_catalog.format('%s in state %s: open %s, items %s', v.number, v.state, v.open_amount, s.amount)
    FROM o2c.invoice v
    JOIN (SELECT i.company_id, i.invoice_id, pg_catalog.sum(i.open_amount) AS amount FROM o2c.open_item i
          WHERE i.invoice_id IS NOT NULL AND (company IS NULL OR i.company_id = company) GROUP BY 1, 2) s
      ON s.company_id = v.company_id AND s.invoice_id = v.id
    WHERE v.open_amount IS DISTINCT FROM s.amount
       OR (v.state = 'issued' AND s.amount = 0) OR (v.state IN ('paid', 'written_off', 'credited') AND s.amount <> 0);

  -- nothing came into a period after it was closed
  RETURN QUERY
    SELECT 'closed period takes no entry', e.company_id, 'ledger_entry', e.id,
           pg_catalog.format('effective %s, recorded %s, closed %s', e.effective_on, e.recorded_at, p.closed_at)
    FROM o2c.period p
    -- each period reads its own days
    CROSS JOIN LATERAL (
      SELECT x.* FROM o2c.ledger_entry x
      WHERE x.company_id = p.company_id AND x.effective_on BETWEEN p.from_date AND p.to_date AND x.recorded_at > p.closed_at OFFSET 0) e
    WHERE p.closed_at IS NOT NULL AND (company IS NULL OR p.company_id = company);

  -- buckets and unapplied credits add up to the ledger
  RETURN QUERY
    WITH c AS MATERIALIZED (
      SELECT k.company_id, o2c.today(k.company_id) AS today FROM o2c.company k
      WHERE company IS NULL OR k.company_id = company),
    aged AS (
      SELECT c.company_id, r.customer_id, r.currency::text AS currency,
             r.unapplied + (SELECT pg_catalog.sum(b) FROM pg_catalog.unnest(r.buckets) b) AS total
      FROM c CROSS JOIN LATERAL o2c._aging(c.company_id, c.today, '{0,30,60,90}', 'due', NULL, NULL, 'rollback') r),
    ledger AS (
      SELECT e.company_id, e.customer_id, e.currency::text AS currency, pg_catalog.sum(e.amount) AS total
      FROM o2c.ledger_entry e JOIN c ON c.company_id = e.company_id AND e.effective_on <= c.today
      GROUP BY 1, 2, 3)
    SELECT 'aging adds up to the ledger', coalesce(a.company_id, l.company_id), 'customer',
           coalesce(a.customer_id, l.customer_id),
           pg_catalog.format('%s: aging %s, ledger %s', coalesce(a.currency, l.currency), a.total, l.total)
    FROM aged a FULL JOIN ledger l
      ON l.company_id = a.company_id AND coalesce(l.customer_id, 0) = coalesce(a.customer_id, 0) AND l.currency = a.currency
    WHERE coalesce(a.total, 0) <> coalesce(l.total, 0);
END $$;
COMMENT ON FUNCTION o2c._check_receivable(integer) IS 'Invariants of the subledger; see o2c.check().';
