-- Bank statements: files of banks into o2c.bank_statement and o2c.bank_line.
--
-- The rows that 54_statement_file.sql reads are checked and stored in sets:
-- account, currency, sums, identity.  Everything of a file is imported or
-- nothing.

COMMENT ON TYPE o2c.bank_line_state IS 'open: to be matched; matched: a payment was posted from it; ignored: no receivable is concerned.';

CREATE FUNCTION o2c._check_statement_file(company integer, account_code text, account_id bigint) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
DECLARE
  bad record;
BEGIN
  -- the account that each statement names
  SELECT s.account, s.account_id, a.code, a.iban, a.account_number INTO bad
  FROM pg_temp.o2c_statement s LEFT JOIN o2c.bank_account a ON a.company_id = company AND a.id = $3
  WHERE s.account_id IS NULL OR (s.account IS NOT NULL AND (a.iban IS NOT NULL OR a.account_number IS NOT NULL)
    AND NOT o2c._same_account(s.account, a.iban, a.account_number))
  ORDER BY s.statement_no LIMIT 1;
  IF FOUND THEN
    IF account_code IS NULL THEN
      RAISE EXCEPTION USING ERRCODE = 'O2053',
        MESSAGE = pg_catalog.format('the statement is for account "%s", which is not exactly one of the company''s', bad.account),
        HINT = 'Nothing was imported. Give the bank account its IBAN or account number, or name the account to import to.';
    END IF;
    RAISE EXCEPTION USING ERRCODE = 'O2053',
      MESSAGE = pg_catalog.format('the statement is for account "%s", not for bank account "%s"', bad.account, account_code),
      DETAIL = pg_catalog.format('Bank account "%s" has %s.', account_code, coalesce('IBAN ' || bad.iban, 'number ' || bad.account_number)),
      HINT = 'Nothing was imported. For a file with several accounts pass NULL as bank_account: each statement goes to the account that it names.';
  END IF;

  -- the currency
  SELECT s.*, a.code, a.currency AS account_currency INTO bad
  FROM pg_temp.o2c_statement s JOIN o2c.bank_account a ON a.company_id = company AND a.id = s.account_id
  WHERE s.currency <> a.currency ORDER BY s.statement_no LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'O2053',
      MESSAGE = pg_catalog.format('the statement is in %s, bank account "%s" in %s', bad.currency, bad.code, bad.account_currency),
      HINT = 'Nothing was imported. A bank account without currency takes statements of any.';
  END IF;
  SELECT r.*, s.currency AS statement_currency INTO bad
  FROM pg_temp.o2c_statement_row r JOIN pg_temp.o2c_statement s USING (statement_no)
  WHERE r.line_no > 0 AND r.currency <> s.currency::text ORDER BY r.statement_no, r.line_no LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'O2053',
      MESSAGE = pg_catalog.format('line %s of statement "%s" is in %s, the statement in %s',
        bad.line_no, bad.statement_no, bad.currency, bad.statement_currency),
      HINT = 'Nothing was imported. Ask the bank for the statement again.';
  END IF;

  SELECT s.* INTO bad FROM pg_temp.o2c_statement s
  WHERE s.details ->> 'opening_currency' <> s.currency::text OR s.details ->> 'closing_currency' <> s.currency::text
  ORDER BY s.statement_no LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'O2053',
      MESSAGE = pg_catalog.format('statement %s in %s has an opening balance in %s and a closing balance in %s',
        coalesce('"' || bad.statement_ref || '"', bad.statement_no::text), bad.currency,
        bad.details ->> 'opening_currency', bad.details ->> 'closing_currency'),
      HINT = 'Nothing was imported. Ask the bank for the statement again.';
  END IF;

  -- the sums
  SELECT s.* INTO bad FROM pg_temp.o2c_statement s
  WHERE NOT s.interim AND (s.opening_balance IS NULL OR s.closing_balance IS NULL)
  ORDER BY s.statement_no LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'O2052',
      MESSAGE = pg_catalog.format('statement %s has no %s balance', coalesce('"' || bad.statement_ref || '"', bad.statement_no::text),
        CASE WHEN bad.opening_balance IS NULL THEN 'opening' ELSE 'closing' END),
      DETAIL = pg_catalog.format('Its %s lines sum to %s %s.', bad.line_count, bad.line_sum, bad.currency),
      HINT = 'Nothing was imported. Ask the bank for the statement again.';
  END IF;
  SELECT s.* INTO bad FROM pg_temp.o2c_statement s
  WHERE NOT s.interim AND s.opening_balance + s.line_sum <> s.closing_balance
  ORDER BY s.statement_no LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'O2052',
      MESSAGE = pg_catalog.format('statement %s does not add up: opening balance and lines give %s %s, the closing balance is %s %s',
        coalesce('"' || bad.statement_ref || '"', bad.statement_no::text),
        bad.opening_balance + bad.line_sum, bad.currency, bad.closing_balance, bad.currency),
      DETAIL = pg_catalog.format('Opening balance %s, %s lines with a sum of %s.', bad.opening_balance, bad.line_count, bad.line_sum),
      HINT = 'Nothing was imported. A line may be missing; ask the bank for the statement again.';
  END IF;
  SELECT s.*, t.* INTO bad FROM pg_temp.o2c_statement s,
    LATERAL (SELECT 'debits' AS what, s.debits AS found, o2c._to_numeric(s.details ->> 'debit_sum') AS stated
             UNION ALL SELECT 'credits', s.credits, o2c._to_numeric(s.details ->> 'credit_sum')) t
  WHERE t.found <> t.stated ORDER BY s.statement_no LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'O2052',
      MESSAGE = pg_catalog.format('statement %s does not add up: its %s sum to %s %s, it states %s %s',
        coalesce('"' || bad.statement_ref || '"', bad.statement_no::text), bad.what, bad.found, bad.currency, bad.stated, bad.currency),
      HINT = 'Nothing was imported. A line may be missing; ask the bank for the report again.';
  END IF;

  -- amounts of the currency, dates of this era
  SELECT r.* INTO bad FROM pg_temp.o2c_statement_row r JOIN pg_temp.o2c_statement s USING (statement_no)
  WHERE r.line_no > 0 AND (r.amount IS NULL OR r.booking_date IS NULL OR NOT o2c.is_amount(r.amount, s.currency))
  ORDER BY r.statement_no, r.line_no LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION USING ERRCODE = CASE WHEN bad.amount IS NULL OR bad.booking_date IS NULL THEN 'O2050' ELSE 'O2043' END,
      MESSAGE = CASE WHEN bad.amount IS NULL THEN pg_catalog.format('line %s of statement %s has no amount', bad.line_no, bad.statement_no)
        WHEN bad.booking_date IS NULL THEN pg_catalog.format('line %s of statement %s has no date', bad.line_no, bad.statement_no)
        ELSE pg_catalog.format('%s is not an amount in %s', bad.amount, bad.currency) END,
      DETAIL = pg_catalog.format('Line %s of statement %s.', bad.line_no, bad.statement_no),
      HINT = 'Nothing was imported. Ask the bank for the file again.';
  END IF;
END $$;
COMMENT ON FUNCTION o2c._check_statement_file(integer, text, bigint) IS
  'Refuses what was read if account, currency or sums do not fit. Errors: O2043, O2050, O2052, O2053.';

CREATE FUNCTION o2c._import_statement(company integer, account_code text, content bytea, wanted text)
RETURNS TABLE (statement_id bigint, format text, lines bigint, duplicates bigint)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
SET client_min_messages = warning
AS $$
#variable_conflict use_column
DECLARE
  account record;
  file_hash bytea;
  file_format text;
  today date;
BEGIN
  PERFORM o2c._require_company(company);
  IF account_code IS NOT NULL THEN
    -- the lock keeps a second import of the same file waiting
    SELECT a.id, a.currency INTO account FROM o2c.bank_account a
    WHERE a.company_id = company AND a.code = account_code FOR NO KEY UPDATE;
    IF NOT FOUND THEN
      RAISE EXCEPTION USING ERRCODE = 'O2003', MESSAGE = pg_catalog.format('there is no bank account "%s"', account_code),
        HINT = 'Insert it into o2c.bank_account.';
    END IF;
  ELSE
    SELECT NULL::bigint AS id, NULL::o2c.currency AS currency INTO account;
    PERFORM FROM o2c.bank_account a WHERE a.company_id = company ORDER BY a.id FOR NO KEY UPDATE;
  END IF;
  IF content IS NULL OR pg_catalog.length(content) = 0 THEN
    RAISE EXCEPTION USING ERRCODE = 'O2050', MESSAGE = 'the file is empty';
  END IF;

  -- the same file again: nothing to do
  file_hash := pg_catalog.sha256(content);
  RETURN QUERY
    SELECT s.id, s.format, 0::bigint, s.line_count FROM o2c.bank_statement s
    WHERE s.company_id = company AND s.content_hash = file_hash
      AND (account_code IS NULL OR s.bank_account_id = account.id)
    ORDER BY s.file_position;
  IF FOUND THEN
    RETURN;
  END IF;

  wanted := pg_catalog.regexp_replace(pg_catalog.lower(coalesce(wanted, 'auto')), E'^camt[._]?(05\\d).*$', E'camt.\\1');
  file_format := o2c._open_statement_file(company, o2c._statement_text(content), wanted);
  ANALYZE pg_temp.o2c_statement_row;
  today := o2c.today(company);

  DROP TABLE IF EXISTS pg_temp.o2c_statement, pg_temp.o2c_line;
  CREATE TEMPORARY TABLE o2c_statement ON COMMIT DROP AS
  SELECT h.statement_no, h.account, h.statement_ref, h.sequence_no, coalesce(h.interim, false) AS interim,
         h.from_date, h.to_date, h.opening_balance,
         -- a statement without lines may leave out the balance that did not change
         coalesce(h.closing_balance, CASE WHEN l.line_count IS NULL AND NOT coalesce(h.interim, false) THEN h.opening_balance END) AS closing_balance,
         coalesce(h.currency, l.currency, ac.currency::text, co.currency::text)::o2c.currency AS currency,
         h.details, coalesce(l.line_count, 0) AS line_count, coalesce(l.line_sum, 0) AS line_sum,
         coalesce(l.debits, 0) AS debits, coalesce(l.credits, 0) AS credits,
         coalesce(account.id, (SELECT CASE WHEN pg_catalog.count(*) = 1 THEN pg_catalog.min(a.id) END FROM o2c.bank_account a
            WHERE a.company_id = company AND o2c._same_account(h.account, a.iban, a.account_number))) AS account_id,
         NULL::bigint AS statement_id
  FROM pg_temp.o2c_statement_row h
  LEFT JOIN (SELECT r.statement_no, pg_catalog.count(*) AS line_count, pg_catalog.sum(r.amount) AS line_sum,
                    pg_catalog.sum(-r.amount) FILTER (WHERE r.amount < 0) AS debits,
                    pg_catalog.sum(r.amount) FILTER (WHERE r.amount > 0) AS credits, pg_catalog.min(r.currency) AS currency
             FROM pg_temp.o2c_statement_row r WHERE r.line_no > 0 GROUP BY 1) l USING (statement_no)
  LEFT JOIN o2c.bank_account ac ON ac.company_id = company AND ac.id = account.id
  JOIN o2c.company co ON co.company_id = company
  WHERE h.line_no = 0;
  ANALYZE pg_temp.o2c_statement;
  IF NOT EXISTS (SELECT FROM pg_temp.o2c_statement) THEN
    RAISE EXCEPTION USING ERRCODE = 'O2050', MESSAGE = 'the file holds no statement';
  END IF;
  UPDATE pg_temp.o2c_statement s SET opening_balance = s.closing_balance
  WHERE s.opening_balance IS NULL AND s.line_count = 0 AND NOT s.interim;
  PERFORM o2c._check_statement_file(company, account_code, account.id);

  WITH made AS (
    INSERT INTO o2c.bank_statement (company_id, bank_account_id, format, statement_ref, sequence_no, interim, from_date, to_date,
      currency, opening_balance, closing_balance, line_count, line_sum, content_hash, file_position)
    SELECT company, s.account_id, file_format, s.statement_ref, s.sequence_no, s.interim, s.from_date, s.to_date,
      s.currency, s.opening_balance, s.closing_balance, s.line_count, s.line_sum, file_hash, s.statement_no
    FROM pg_temp.o2c_statement s ORDER BY s.statement_no
    RETURNING id, file_position)
  UPDATE pg_temp.o2c_statement s SET statement_id = m.id FROM made m WHERE m.file_position = s.statement_no;

  PERFORM o2c._identify_lines(company);
  PERFORM o2c._settle_batches(company);

  RETURN QUERY
  WITH made AS (
    INSERT INTO o2c.bank_line (company_id, bank_account_id, statement_id, line_id, booking_date, value_date, amount, currency,
      payer_name, payer_iban, payer_account, payer_bic, remittance_text, structured_ref, end_to_end_id, mandate_id,
      bank_ref, entry_ref, transaction_code, return_reason, charges, original_amount, original_currency, details, state)
    SELECT company, l.account_id, l.statement_id, l.line_id, l.booking_date, l.value_date, l.amount, l.statement_currency,
      l.payer_name, l.payer_iban, l.payer_account, l.payer_bic, l.remittance_text, l.structured_ref, l.end_to_end_id, l.mandate_id,
      l.bank_ref, l.entry_ref, l.transaction_code, l.return_reason, CASE WHEN l.charges > 0 AND l.charges < 1e14 THEN l.charges END, l.original_amount,
      l.original_currency, l.details,
      CASE WHEN l.amount = 0 THEN 'ignored' ELSE 'open' END::o2c.bank_line_state
    FROM pg_temp.o2c_line l WHERE NOT l.known ORDER BY l.statement_no, l.line_no
    ON CONFLICT (company_id, bank_account_id, line_id) DO NOTHING
    RETURNING statement_id)
  SELECT s.statement_id, file_format, coalesce(m.n, 0), s.line_count - coalesce(m.n, 0)
  FROM pg_temp.o2c_statement s
  LEFT JOIN (SELECT made.statement_id, pg_catalog.count(*) AS n FROM made GROUP BY 1) m ON m.statement_id = s.statement_id
  ORDER BY s.statement_no;

  UPDATE o2c.bank_account a
  SET last_statement_id = x.statement_id, last_statement_date = x.to_date, last_balance = x.closing_balance
  FROM (SELECT DISTINCT ON (s.account_id) s.account_id, s.statement_id, coalesce(s.to_date, today) AS to_date, s.closing_balance
        FROM pg_temp.o2c_statement s WHERE NOT s.interim
        ORDER BY s.account_id, coalesce(s.to_date, today) DESC, s.statement_no DESC) x
  WHERE a.company_id = company AND a.id = x.account_id
    AND (a.last_statement_date IS NULL OR a.last_statement_date <= x.to_date);
  INSERT INTO o2c.event (company_id, entity, entity_id, event, data)
  SELECT company, 'bank_statement', s.statement_id, 'import',
    pg_catalog.jsonb_build_object('format', file_format, 'lines', s.line_count)
  FROM pg_temp.o2c_statement s ORDER BY s.statement_no;
  DROP TABLE pg_temp.o2c_statement_row, pg_temp.o2c_statement, pg_temp.o2c_line;
END $$;
COMMENT ON FUNCTION o2c._import_statement(integer, text, bytea, text) IS
  'What import_statement() does, under parameter names that do not clash with its result.';

CREATE FUNCTION o2c._identify_lines(company integer) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
SET datestyle = 'ISO, YMD'
AS $$
BEGIN
  -- The bank's reference with day and amount (banks reuse references), else
  -- the whole content; then the occurrence.  Equal lines of different
  -- statements in one file are different movements, unless the file repeats
  -- the statement; and so are those of a statement that provably follows an
  -- earlier one, because it opens with the balance that the other closed with.
  CREATE TEMPORARY TABLE o2c_line ON COMMIT DROP AS
  WITH keyed AS (
    SELECT r.*, s.account_id, s.statement_id,
      pg_catalog.row_number() OVER (PARTITION BY s.account_id, s.statement_ref, s.sequence_no, s.from_date, s.to_date,
        s.opening_balance, s.closing_balance, s.line_sum, s.line_count, r.line_no ORDER BY s.statement_no) AS copy_no,
      NOT s.interim AS proven, s.currency AS statement_currency, s.opening_balance AS statement_opening, s.from_date AS statement_from,
      CASE WHEN r.bank_ref IS NOT NULL
        THEN r.bank_ref || '|' || r.booking_date || '|' || pg_catalog.trim_scale(r.amount)
        ELSE pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(pg_catalog.jsonb_build_array(
          r.booking_date, r.value_date, pg_catalog.trim_scale(r.amount), s.currency::text, r.payer_name, r.payer_iban, r.payer_account,
          r.remittance_text, r.structured_ref, r.end_to_end_id, r.mandate_id, r.entry_ref, r.transaction_code,
          r.return_reason, pg_catalog.trim_scale(r.original_amount))::text, 'UTF8')), 'hex') END AS line_key
    FROM pg_temp.o2c_statement_row r JOIN pg_temp.o2c_statement s USING (statement_no)
    WHERE r.line_no > 0
  ), counted AS (
    SELECT k.*, pg_catalog.row_number() OVER (PARTITION BY k.account_id, k.copy_no, k.line_key ORDER BY k.statement_no, k.line_no) AS occurrence
    FROM keyed k
  )
  SELECT c.*, NULL::text AS line_id, false AS known FROM counted c;
  ANALYZE pg_temp.o2c_line (statement_no, line_no, account_id, line_key, occurrence, bank_ref, entry_ref, booking_date, proven);

  -- equal lines without reference in the statement before on the same day
  UPDATE pg_temp.o2c_line l SET occurrence = l.occurrence + x.n
  FROM (SELECT k.statement_no, k.line_key, pg_catalog.count(DISTINCT b.id) AS n
        FROM pg_temp.o2c_line k
        JOIN o2c.bank_line b ON b.company_id = company AND b.bank_account_id = k.account_id
          AND b.line_id IN (k.line_key, k.line_key || '#2', k.line_key || '#3')
        JOIN o2c.bank_statement p ON p.company_id = company AND p.id = b.statement_id
          AND NOT p.interim AND p.closing_balance = k.statement_opening AND p.to_date <= k.statement_from
          AND p.opening_balance <> p.closing_balance
        WHERE k.bank_ref IS NULL AND k.proven AND k.booking_date <= k.statement_from
        GROUP BY 1, 2) x
  WHERE x.statement_no = l.statement_no AND x.line_key = l.line_key;

  UPDATE pg_temp.o2c_line l SET line_id = CASE WHEN l.occurrence = 1 THEN l.line_key ELSE l.line_key || '#' || l.occurrence END;
END $$;
COMMENT ON FUNCTION o2c._identify_lines(integer) IS
  'Makes pg_temp.o2c_line of what was read: each line with its identity within the account.';

CREATE FUNCTION o2c._settle_batches(company integer) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
DECLARE
  replaced bigint;
BEGIN
  UPDATE pg_temp.o2c_line l SET known = true
  FROM o2c.bank_line b
  WHERE b.company_id = company AND b.bank_account_id = l.account_id AND b.line_id = l.line_id;

  -- entries by the bank's reference: here, and as they came before
  DROP TABLE IF EXISTS pg_temp.o2c_entry, pg_temp.o2c_batch;
  CREATE TEMPORARY TABLE o2c_entry ON COMMIT DROP AS
  SELECT n.statement_no, n.account_id, n.entry_ref, n.booking_date, pg_catalog.count(*) AS n, pg_catalog.sum(n.amount) AS total
  FROM pg_temp.o2c_line n WHERE n.entry_ref IS NOT NULL GROUP BY 1, 2, 3, 4 HAVING NOT pg_catalog.bool_or(n.known);
  ANALYZE pg_temp.o2c_entry;
  CREATE TEMPORARY TABLE o2c_batch ON COMMIT DROP AS
  SELECT e.statement_no, e.entry_ref, e.booking_date, e.n, p.n AS n_before, p.ids, p.open
  FROM pg_temp.o2c_entry e
  JOIN (SELECT b.bank_account_id, b.entry_ref, b.booking_date, pg_catalog.count(*) AS n, pg_catalog.sum(b.amount) AS total,
               pg_catalog.min(b.id) AS ids, pg_catalog.bool_and(b.state = 'open') AS open
        FROM o2c.bank_line b
        WHERE b.company_id = company AND b.state <> 'ignored'
          AND (b.bank_account_id, b.entry_ref) IN (SELECT x.account_id, x.entry_ref FROM pg_temp.o2c_entry x)
        GROUP BY 1, 2, 3) p
    ON p.bank_account_id = e.account_id AND p.entry_ref = e.entry_ref AND p.booking_date = e.booking_date AND p.total = e.total
  WHERE (e.n = 1) <> (p.n = 1);

  -- A whole entry whose details came before (as a notification, say) is known.
  -- Details of an entry that came before as a whole take its place while
  -- nothing was posted from it, and are known otherwise.
  UPDATE pg_temp.o2c_line l SET known = true
  FROM pg_temp.o2c_batch x
  WHERE x.statement_no = l.statement_no AND x.entry_ref = l.entry_ref AND x.booking_date = l.booking_date AND (x.n = 1 OR NOT x.open);
  PERFORM FROM o2c.bank_line b
  WHERE b.company_id = company AND b.id IN (SELECT x.ids FROM pg_temp.o2c_batch x WHERE x.n > 1 AND x.open) ORDER BY b.id FOR NO KEY UPDATE;
  UPDATE o2c.bank_line b SET state = 'ignored', details = coalesce(b.details, '{}') || '{"replaced_by": "details"}'
  FROM pg_temp.o2c_batch x WHERE b.company_id = company AND b.id = x.ids AND x.n > 1 AND x.open AND b.state = 'open';
  GET DIAGNOSTICS replaced = ROW_COUNT;
  IF replaced < (SELECT pg_catalog.count(DISTINCT x.ids) FROM pg_temp.o2c_batch x WHERE x.n > 1 AND x.open) THEN
    RAISE EXCEPTION USING ERRCODE = '40001', MESSAGE = 'entries of the statement were matched while it was imported',
      HINT = 'Import it again.';
  END IF;
  DROP TABLE pg_temp.o2c_entry, pg_temp.o2c_batch;
END $$;
COMMENT ON FUNCTION o2c._settle_batches(integer) IS
  'Marks lines that are known, and keeps a batched entry and its details from counting twice.';

CREATE FUNCTION o2c.import_statement(company_id integer, bank_account text, content bytea, format text DEFAULT 'auto')
RETURNS TABLE (statement_id bigint, format text, lines bigint, duplicates bigint)
LANGUAGE sql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$ SELECT r.statement_id, r.format, r.lines, r.duplicates FROM o2c._import_statement($1, $2, $3, $4) r $$;
COMMENT ON FUNCTION o2c.import_statement(integer, text, bytea, text) IS
  'Import a bank''s file: camt.052/053/054, MT940/942, BAI2, CODA, OFX, or CSV by o2c.statement_format. One row a statement: lines added, lines known before. bank_account NULL = the account that each statement names. All or nothing. Errors: O2002, O2003, O2004, O2042, O2043, O2050 to O2053.';

CREATE FUNCTION o2c._check_statement(company_id integer)
RETURNS TABLE (invariant text, company_id integer, entity text, entity_id bigint, detail text)
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  SELECT 'a statement adds up', s.company_id, 'bank_statement', s.id,
    pg_catalog.format('%s + %s is not %s', s.opening_balance, s.line_sum, s.closing_balance)
  FROM o2c.bank_statement s
  WHERE ($1 IS NULL OR s.company_id = $1) AND NOT s.interim
    AND (s.opening_balance + s.line_sum <> s.closing_balance) IS NOT FALSE
  UNION ALL
  SELECT 'a statement brings at most its own lines', s.company_id, 'bank_statement', s.id,
    pg_catalog.format('%s lines point at it, it has %s', l.n, s.line_count)
  FROM o2c.bank_statement s
  JOIN (SELECT b.company_id, b.statement_id, pg_catalog.count(*) AS n FROM o2c.bank_line b
        WHERE b.statement_id IS NOT NULL GROUP BY 1, 2) l ON l.company_id = s.company_id AND l.statement_id = s.id
  WHERE ($1 IS NULL OR s.company_id = $1) AND l.n > s.line_count
  UNION ALL
  SELECT 'a line of a statement is in its account''s currency', b.company_id, 'bank_line', b.id, pg_catalog.format('%s, the account is in %s', b.currency, a.currency)
  FROM o2c.bank_line b JOIN o2c.bank_account a ON a.company_id = b.company_id AND a.id = b.bank_account_id
  WHERE ($1 IS NULL OR b.company_id = $1) AND b.statement_id IS NOT NULL AND b.currency <> a.currency
  UNION ALL
  SELECT 'a line that waits is among those to be matched', b.company_id, 'bank_line', b.id, b.line_id
  FROM o2c.bank_line b
  LEFT JOIN (SELECT o.company_id, pg_catalog.range_agg(pg_catalog.int8range(o.first_id, o.last_id, '[]')) AS ids
             FROM o2c.bank_line_open o GROUP BY 1) s ON s.company_id = b.company_id
  WHERE ($1 IS NULL OR b.company_id = $1) AND b.state = 'open' AND (b.amount > 0) = (b.return_reason IS NULL)
    AND (b.id <@ s.ids) IS NOT TRUE
$$;
COMMENT ON FUNCTION o2c._check_statement(integer) IS 'Invariants of statements and their lines, for o2c.check().';
