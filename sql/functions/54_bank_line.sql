-- Bank lines from a table, view or temporary table, idempotent by line_id; and
-- the triggers that keep where lines wait to be matched.

CREATE FUNCTION o2c._keep_open_lines() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'o2c_cash_open_lines';
COMMENT ON FUNCTION o2c._keep_open_lines() IS
  'Trigger of o2c.bank_line: o2c.bank_line_open takes in each line that waits for match_cash, when it is inserted and when it is open again.';

CREATE FUNCTION o2c._keep_open_lines_again() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'o2c_cash_open_lines_again';
COMMENT ON FUNCTION o2c._keep_open_lines_again() IS
  'Statement trigger of o2c.bank_line_open: takes in again what still waits in the stretches that were deleted; refuses TRUNCATE (O2030).';

CREATE FUNCTION o2c.import_bank_lines(company_id integer, bank_account text, source regclass,
  OUT imported bigint, OUT unchanged bigint, OUT rejected bigint)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
SET client_min_messages = warning
SET datestyle = 'ISO, YMD'
SET extra_float_digits = 1  -- what a column holds, however the session prints it
AS $$
#variable_conflict use_column
DECLARE
  columns constant text[] := '{line_id,booking_date,value_date,amount,currency,payer_name,payer_iban,payer_account,remittance_text,structured_ref,end_to_end_id,mandate_id,bank_ref}';
  account record;
  total bigint;
BEGIN
  PERFORM o2c._require_company($1);
  SELECT a.id, coalesce(a.currency, c.currency) AS currency INTO account
  FROM o2c.bank_account a JOIN o2c.company c ON c.company_id = a.company_id
  WHERE a.company_id = $1 AND a.code = $2;
  IF NOT FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'O2003', MESSAGE = pg_catalog.format('there is no bank account "%s"', $2),
      HINT = 'Insert it into o2c.bank_account.';
  END IF;
  DROP TABLE IF EXISTS pg_temp.o2c_import;
  EXECUTE 'CREATE TEMPORARY TABLE o2c_import ON COMMIT DROP AS SELECT q.*,
      o2c._to_numeric(q.amount) AS n_amount, o2c._to_date(q.booking_date) AS d_booking, o2c._to_date(q.value_date) AS d_value,
      NULL::text AS reason
    FROM (' || o2c._import_query(source, columns, '{line_id,booking_date,amount}') || ') q';
  GET DIAGNOSTICS total = ROW_COUNT;
  ANALYZE pg_temp.o2c_import (row_no, line_id);

  UPDATE pg_temp.o2c_import i SET reason = CASE
      WHEN i.line_id IS NULL THEN 'line id is missing'
      WHEN pg_catalog.length(i.line_id) > 500 THEN 'line id is longer than 500 characters'
      WHEN i.amount IS NULL THEN 'amount is missing'
      WHEN i.n_amount IS NULL THEN pg_catalog.format('amount "%s" is not a number', pg_catalog.left(i.amount, 60))
      WHEN i.booking_date IS NULL THEN 'booking date is missing'
      WHEN i.d_booking IS NULL THEN pg_catalog.format('booking date "%s" is not a date', pg_catalog.left(i.booking_date, 60))
      WHEN i.value_date IS NOT NULL AND i.d_value IS NULL THEN pg_catalog.format('value date "%s" is not a date', pg_catalog.left(i.value_date, 60))
      WHEN i.currency IS NOT NULL AND NOT o2c.is_currency(i.currency) THEN pg_catalog.format('"%s" is not a currency', pg_catalog.left(i.currency, 20))
      WHEN NOT o2c.is_amount(i.n_amount, coalesce(i.currency, account.currency::text)::o2c.currency)
        THEN pg_catalog.format('amount %s %s', i.amount, o2c._amount_fault(i.n_amount, coalesce(i.currency, account.currency::text)::o2c.currency))
      ELSE 'text is longer than 65536 bytes' END
  WHERE i.line_id IS NULL OR pg_catalog.length(i.line_id) > 500 OR i.n_amount IS NULL OR i.d_booking IS NULL
    OR (i.value_date IS NOT NULL AND i.d_value IS NULL)
    OR CASE WHEN i.currency IS NULL THEN NOT o2c.is_amount(i.n_amount, account.currency)
            WHEN NOT o2c.is_currency(i.currency) THEN true
            ELSE NOT o2c.is_amount(i.n_amount, i.currency::o2c.currency) END
    OR pg_catalog.octet_length(i.remittance_text) > 65536 OR pg_catalog.octet_length(i.payer_name) > 65536;

  -- a line id stands for one movement: its first good row decides
  UPDATE pg_temp.o2c_import i SET reason = pg_catalog.format('line "%s" stands in an earlier row with other content', i.line_id)
  FROM (SELECT s.line_id, pg_catalog.min(s.row_no) AS row_no FROM pg_temp.o2c_import s
        WHERE s.reason IS NULL GROUP BY s.line_id HAVING pg_catalog.count(*) > 1) f
  JOIN pg_temp.o2c_import first ON first.row_no = f.row_no
  WHERE f.line_id = i.line_id AND f.row_no < i.row_no
    AND (i.n_amount, i.d_booking) IS DISTINCT FROM (first.n_amount, first.d_booking)
    AND i.reason IS NULL;

  INSERT INTO o2c.bank_line (company_id, bank_account_id, line_id, booking_date, value_date, amount, currency, payer_name, payer_iban,
    payer_account, remittance_text, structured_ref, end_to_end_id, mandate_id, bank_ref, state)
  SELECT $1, account.id, i.line_id, i.d_booking, i.d_value, i.n_amount, coalesce(i.currency::o2c.currency, account.currency),
    i.payer_name, pg_catalog.replace(i.payer_iban, ' ', ''), i.payer_account, i.remittance_text, pg_catalog.replace(i.structured_ref, ' ', ''),
    i.end_to_end_id, i.mandate_id, i.bank_ref, CASE WHEN i.n_amount = 0 THEN 'ignored' ELSE 'open' END::o2c.bank_line_state
  FROM pg_temp.o2c_import i WHERE i.reason IS NULL ORDER BY i.row_no
  ON CONFLICT (company_id, bank_account_id, line_id) DO NOTHING;
  GET DIAGNOSTICS imported = ROW_COUNT;

  UPDATE pg_temp.o2c_import i SET reason = pg_catalog.format('line "%s" exists with another date or amount', i.line_id)
  FROM o2c.bank_line b
  WHERE imported < total AND i.reason IS NULL AND b.company_id = $1 AND b.bank_account_id = account.id AND b.line_id = i.line_id
    AND (b.booking_date <> i.d_booking OR b.amount <> i.n_amount);
  INSERT INTO o2c.import_reject (company_id, import, source_row, reason)
  SELECT $1, 'import_bank_lines', i.source_row, i.reason
  FROM pg_temp.o2c_import i WHERE i.reason IS NOT NULL ORDER BY i.row_no;
  GET DIAGNOSTICS rejected = ROW_COUNT;
  unchanged := total - imported - rejected;
  DROP TABLE pg_temp.o2c_import;
END $$;
COMMENT ON FUNCTION o2c.import_bank_lines(integer, text, regclass) IS
  'Import bank lines from a table or view (columns line_id, booking_date, value_date, amount, currency, payer_name, payer_iban, payer_account, remittance_text, structured_ref, end_to_end_id, mandate_id, bank_ref; the first, second and fourth are required), idempotent by line_id. Errors: O2002, O2003, O2006; bad rows go to o2c.import_reject.';
