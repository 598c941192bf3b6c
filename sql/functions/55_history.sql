-- Who pays for whom: learned from history, from acceptances, unlearned from
-- reversals.

CREATE FUNCTION o2c.import_payment_history(company_id integer, source regclass,
  OUT imported bigint, OUT unchanged bigint, OUT rejected bigint)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
SET datestyle = 'ISO'
SET extra_float_digits = 1  -- what a column holds, however the session prints it
SET client_min_messages = warning
AS $$
#variable_conflict use_column
DECLARE
  columns constant text[] := '{line_id,booking_date,amount,currency,payer_name,payer_iban,remittance_text,structured_ref,customer_code,number}';
BEGIN
  PERFORM o2c._require_company($1);
  DROP TABLE IF EXISTS pg_temp.o2c_import, pg_temp.o2c_import_history;
  EXECUTE 'CREATE TEMPORARY TABLE o2c_import ON COMMIT DROP AS '
    || o2c._import_query(source, columns, '{line_id,customer_code}');
  ANALYZE pg_temp.o2c_import;
  CREATE TEMPORARY TABLE o2c_import_history ON COMMIT DROP AS
  SELECT i.*, c.id AS customer_id, c.currency AS customer_currency, CASE
      WHEN i.line_id IS NULL THEN 'line_id is missing'
      WHEN i.customer_code IS NULL THEN 'customer_code is missing'
      WHEN c.id IS NULL THEN pg_catalog.format('there is no customer "%s"', i.customer_code)
      WHEN i.booking_date IS NOT NULL AND o2c._to_date(i.booking_date) IS NULL
        THEN pg_catalog.format('booking_date "%s" is not a date', i.booking_date)
      WHEN i.amount IS NOT NULL AND o2c._to_numeric(i.amount) IS NULL THEN pg_catalog.format('amount "%s" is not a number', i.amount)
      WHEN NOT o2c.is_currency(i.currency) THEN pg_catalog.format('"%s" is not a currency', i.currency)
      WHEN i.amount IS NOT NULL AND NOT o2c.is_amount(o2c._to_numeric(i.amount), coalesce(i.currency::o2c.currency, c.currency))
        THEN pg_catalog.format('amount %s %s', i.amount, o2c._amount_fault(o2c._to_numeric(i.amount), coalesce(i.currency::o2c.currency, c.currency)))
      WHEN i.payer_name IS NULL AND i.payer_iban IS NULL THEN 'neither payer_name nor payer_iban is given'
    END AS reason
  FROM pg_temp.o2c_import i LEFT JOIN o2c.customer c ON c.company_id = $1 AND c.code = i.customer_code;

  INSERT INTO o2c.import_reject (company_id, import, source_row, reason)
  SELECT $1, 'import_payment_history', i.source_row, i.reason
  FROM pg_temp.o2c_import_history i WHERE i.reason IS NOT NULL ORDER BY i.row_no;
  GET DIAGNOSTICS rejected = ROW_COUNT;

  CREATE TEMPORARY TABLE o2c_import_new ON COMMIT DROP AS
  WITH put AS (
    INSERT INTO o2c.payment_history (company_id, line_id, number, customer_id, booking_date, amount, currency,
                                     payer_name, payer_iban, remittance_text, structured_ref)
    SELECT DISTINCT ON (i.line_id, coalesce(i.number, '')) $1, i.line_id, coalesce(i.number, ''), i.customer_id,
      o2c._to_date(i.booking_date), o2c._to_numeric(i.amount), coalesce(i.currency::o2c.currency, i.customer_currency),
      i.payer_name, i.payer_iban, i.remittance_text, i.structured_ref
    FROM pg_temp.o2c_import_history i WHERE i.reason IS NULL
    ORDER BY i.line_id, coalesce(i.number, ''), i.row_no
    ON CONFLICT DO NOTHING
    RETURNING line_id, number, customer_id, payer_name, payer_iban)
  SELECT * FROM put;
  GET DIAGNOSTICS imported = ROW_COUNT;
  unchanged := (SELECT pg_catalog.count(*) FROM pg_temp.o2c_import) - imported - rejected;

  INSERT INTO o2c.settled_number (company_id, key, number, customer_id)
  SELECT DISTINCT ON (o2c._document_key(n.number), n.number) $1, o2c._document_key(n.number), n.number, n.customer_id
  FROM pg_temp.o2c_import_new n WHERE n.number <> '' AND o2c._document_key(n.number) <> 0
  ON CONFLICT DO NOTHING;
  -- a line that paid several documents of one customer confirms once
  INSERT INTO o2c.payer_alias AS a (company_id, kind, value, customer_id, confirmations)
  SELECT $1, k.kind, k.value, n.customer_id, pg_catalog.count(DISTINCT n.line_id)::integer
  FROM pg_temp.o2c_import_new n
  CROSS JOIN LATERAL (VALUES ('account', o2c._account_key(n.payer_iban)), ('name', nullif(o2c._name_key(n.payer_name), ''))) k(kind, value)
  WHERE k.value IS NOT NULL
  GROUP BY 2, 3, 4
  ORDER BY 2, 3, 4
  ON CONFLICT ON CONSTRAINT payer_alias_pkey
  DO UPDATE SET confirmations = a.confirmations + EXCLUDED.confirmations, updated_at = pg_catalog.now();
  DROP TABLE pg_temp.o2c_import, pg_temp.o2c_import_history, pg_temp.o2c_import_new;
END $$;
COMMENT ON FUNCTION o2c.import_payment_history(integer, regclass) IS
  'Learn from payments that were cleared elsewhere: which accounts and names pay for which customers, and which documents are settled. Nothing is posted. Rows that do not fit go to o2c.import_reject. Errors: O2002, O2006.';
