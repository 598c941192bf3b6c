-- Customers: defaults, look-up by the user's code, import in sets.

CREATE FUNCTION o2c._customer_defaults() RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
BEGIN
  NEW.currency := (SELECT c.currency FROM o2c.company c WHERE c.company_id = NEW.company_id);
  IF NEW.currency IS NULL THEN
    PERFORM o2c._require_company(NEW.company_id);
  END IF;
  RETURN NEW;
END $$;
COMMENT ON FUNCTION o2c._customer_defaults() IS
  'Row trigger: a customer without currency takes the company''s.';

CREATE FUNCTION o2c._customer_id(company integer, customer_code text) RETURNS bigint
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
DECLARE
  found bigint;
BEGIN
  IF pg_catalog.to_regclass('o2c.customer') IS NULL THEN
    PERFORM o2c._require_installed();
  END IF;
  found := (SELECT c.id FROM o2c.customer c WHERE c.company_id = company AND c.code = customer_code);
  IF found IS NULL THEN
    PERFORM o2c._require_company(company);
    RAISE EXCEPTION USING ERRCODE = 'O2003',
      MESSAGE = pg_catalog.format('there is no customer "%s"', coalesce(customer_code, 'NULL')),
      HINT = 'Customers are rows of o2c.customer; o2c.import_customers() brings many.';
  END IF;
  RETURN found;
END $$;
COMMENT ON FUNCTION o2c._customer_id(integer, text) IS
  'Id of the customer with the user''s code. Errors: O2002, O2003.';

CREATE FUNCTION o2c._mod97(iban text) RETURNS boolean
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  SELECT v ~ '^[A-Z]{2}[0-9]{2}[A-Z0-9]{8,30}$' AND
    (SELECT pg_catalog.string_agg(CASE WHEN c ~ '[A-Z]' THEN (pg_catalog.ascii(c) - 55)::text ELSE c END, '' ORDER BY n)::numeric % 97 = 1
     FROM pg_catalog.unnest(pg_catalog.string_to_array(pg_catalog.substr(v, 5) || pg_catalog.substr(v, 1, 4), NULL))
       WITH ORDINALITY u(c, n) WHERE c ~ '[A-Z0-9]')
  FROM pg_catalog.upper(pg_catalog.replace(iban, ' ', '')) v
$$;
COMMENT ON FUNCTION o2c._mod97(text) IS 'Whether the two check digits of an IBAN are right, whatever its country asks besides.';

CREATE FUNCTION o2c.import_customers(company_id integer, source regclass,
  OUT imported bigint, OUT unchanged bigint, OUT rejected bigint)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
SET datestyle = 'ISO'
SET extra_float_digits = 1  -- what a column holds, however the session prints it
SET client_min_messages = warning
AS $$
#variable_conflict use_column
DECLARE
  columns constant text[] := '{code,name,country,currency,language,email,phone,iban,credit_limit,payment_term,parent_code}';
  company_currency o2c.currency;
BEGIN
  PERFORM o2c._require_company($1);
  company_currency := (SELECT c.currency FROM o2c.company c WHERE c.company_id = $1);
  DROP TABLE IF EXISTS pg_temp.o2c_import;
  EXECUTE 'CREATE TEMPORARY TABLE o2c_import ON COMMIT DROP AS '
    || o2c._import_query(source, columns, '{code,name}');
  ALTER TABLE pg_temp.o2c_import ADD reason text;
  CREATE INDEX ON pg_temp.o2c_import USING hash (code);  -- takes codes of any length
  ANALYZE pg_temp.o2c_import;

  UPDATE pg_temp.o2c_import i SET reason = CASE
    WHEN i.code IS NULL THEN 'code is missing'
    WHEN pg_catalog.length(i.code) > 100 THEN 'code is longer than 100 characters'
    WHEN i.name IS NULL THEN 'name is missing'
    WHEN pg_catalog.length(i.name) > 300 THEN 'name is longer than 300 characters'
    WHEN i.code || i.name ~ '[[:cntrl:]]' THEN 'code or name has control characters'
    WHEN i.country !~ '^[A-Z]{2}$' THEN pg_catalog.format('"%s" is not a country code', pg_catalog.left(i.country, 100))
    WHEN NOT o2c.is_currency(i.currency) THEN pg_catalog.format('"%s" is not a currency', pg_catalog.left(i.currency, 100))
    WHEN i.language !~ '^[a-z]{2}(-[A-Z]{2})?$' THEN pg_catalog.format('"%s" is not a language code', pg_catalog.left(i.language, 100))
    WHEN i.email ~ '[[:cntrl:]]' OR pg_catalog.length(i.email) > 320 THEN 'email has control characters or is too long'
    WHEN i.phone ~ '[[:cntrl:]]' OR pg_catalog.length(i.phone) > 40 THEN 'phone has control characters or is too long'
    WHEN pg_catalog.length(i.iban) > 64 OR i.iban ~ '[[:cntrl:]]' THEN 'the account number has control characters or more than 64 characters'
    -- what does not begin like an IBAN is an account number of a country without;
    -- right by ISO 7064 but not by its country's own digits: kept as an account too
    WHEN NOT o2c.is_iban(i.iban) AND pg_catalog.replace(i.iban, ' ', '') ~* '^[a-z]{2}[0-9]{2}'
      AND NOT o2c._mod97(i.iban) THEN pg_catalog.format('"%s" is not an IBAN', pg_catalog.left(i.iban, 100))
    WHEN i.credit_limit IS NOT NULL AND o2c._to_numeric(i.credit_limit) IS NULL
      THEN pg_catalog.format('credit limit "%s" is not a number', pg_catalog.left(i.credit_limit, 100))
    WHEN o2c._to_numeric(i.credit_limit) < 0 THEN pg_catalog.format('credit limit %s is negative', pg_catalog.left(i.credit_limit, 100))
    WHEN NOT o2c.is_amount(o2c._to_numeric(i.credit_limit), coalesce(i.currency::o2c.currency, company_currency))
      THEN pg_catalog.format('credit limit %s %s', i.credit_limit,
        o2c._amount_fault(o2c._to_numeric(i.credit_limit), coalesce(i.currency::o2c.currency, company_currency)))
    WHEN i.payment_term IS NOT NULL AND NOT EXISTS (SELECT FROM o2c.payment_term t
           WHERE t.company_id = $1 AND t.code = i.payment_term)
      THEN pg_catalog.format('there is no payment term "%s"', pg_catalog.left(i.payment_term, 100))
    WHEN i.parent_code = i.code THEN 'a customer cannot be its own parent'
    WHEN EXISTS (SELECT FROM pg_temp.o2c_import o WHERE o.code = i.code AND o.row_no < i.row_no
                 AND o.source_row <> i.source_row)
      THEN pg_catalog.format('code "%s" stands in an earlier row with other content', pg_catalog.left(i.code, 100))
    END;
  -- a parent must exist or come with the same import and be accepted itself
  LOOP
    UPDATE pg_temp.o2c_import i SET reason = pg_catalog.format('there is no customer "%s" to be the parent', pg_catalog.left(i.parent_code, 100))
    WHERE i.reason IS NULL AND i.parent_code IS NOT NULL
      AND NOT EXISTS (SELECT FROM pg_temp.o2c_import o WHERE o.code = i.parent_code AND o.reason IS NULL)
      AND NOT EXISTS (SELECT FROM o2c.customer c WHERE c.company_id = $1 AND c.code = i.parent_code);
    EXIT WHEN NOT FOUND;
  END LOOP;

  INSERT INTO o2c.import_reject (company_id, import, source_row, reason)
  SELECT $1, 'import_customers', i.source_row, i.reason
  FROM pg_temp.o2c_import i WHERE i.reason IS NOT NULL ORDER BY i.row_no;
  GET DIAGNOSTICS rejected = ROW_COUNT;

  -- a column that the source lacks, or leaves empty, keeps its present value
  WITH changed AS (
    INSERT INTO o2c.customer AS c (company_id, code, name, country, currency, language, email, phone,
                                   iban, account_number, credit_limit, payment_term, parent_code)
    SELECT DISTINCT ON (i.code) $1, i.code, i.name, i.country, coalesce(i.currency::o2c.currency, company_currency),
           i.language, i.email, i.phone,
           CASE WHEN o2c.is_iban(i.iban) THEN i.iban::o2c.iban END,
           CASE WHEN NOT o2c.is_iban(i.iban) THEN pg_catalog.upper(pg_catalog.replace(i.iban, ' ', '')) END,
           o2c._to_numeric(i.credit_limit), i.payment_term, i.parent_code
    FROM pg_temp.o2c_import i WHERE i.reason IS NULL
    ORDER BY i.code, i.row_no
    ON CONFLICT ON CONSTRAINT customer_company_id_code_key DO UPDATE SET
      name = EXCLUDED.name,
      country = coalesce(EXCLUDED.country, c.country),
      language = coalesce(EXCLUDED.language, c.language),
      email = coalesce(EXCLUDED.email, c.email),
      phone = coalesce(EXCLUDED.phone, c.phone),
      iban = coalesce(EXCLUDED.iban, c.iban),
      account_number = coalesce(EXCLUDED.account_number, c.account_number),
      credit_limit = coalesce(EXCLUDED.credit_limit, c.credit_limit),
      payment_term = coalesce(EXCLUDED.payment_term, c.payment_term),
      parent_code = coalesce(EXCLUDED.parent_code, c.parent_code)
    WHERE (c.name, c.country, c.language, c.email, c.phone, c.iban::text, c.account_number, c.credit_limit, c.payment_term, c.parent_code)
      IS DISTINCT FROM
      (EXCLUDED.name, coalesce(EXCLUDED.country, c.country), coalesce(EXCLUDED.language, c.language),
       coalesce(EXCLUDED.email, c.email), coalesce(EXCLUDED.phone, c.phone), coalesce(EXCLUDED.iban, c.iban)::text, coalesce(EXCLUDED.account_number, c.account_number),
       coalesce(EXCLUDED.credit_limit, c.credit_limit), coalesce(EXCLUDED.payment_term, c.payment_term),
       coalesce(EXCLUDED.parent_code, c.parent_code))
    RETURNING 1)
  SELECT pg_catalog.count(*) INTO imported FROM changed;
  unchanged := (SELECT pg_catalog.count(*) FROM pg_temp.o2c_import) - imported - rejected;
  DROP TABLE pg_temp.o2c_import;
END $$;
COMMENT ON FUNCTION o2c.import_customers(integer, regclass) IS
  'Insert or update customers by code from the named columns of a table, view or temporary table. Bad rows go to o2c.import_reject with their reason. Errors: O2002, O2006.';

-- Four eyes: with company.settings {"four_eyes_bank_accounts": true} a
-- customer's bank account counts only when a second person approved it.

CREATE FUNCTION o2c._four_eyes(company integer) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  SELECT coalesce((SELECT c.settings -> 'four_eyes_bank_accounts' = 'true'::jsonb FROM o2c.company c WHERE c.company_id = company), false)
$$;
COMMENT ON FUNCTION o2c._four_eyes(integer) IS 'Whether bank accounts of customers need a second person''s approval.';

CREATE FUNCTION o2c._bank_account_eyes() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'o2c_four_eyes_account';
COMMENT ON FUNCTION o2c._bank_account_eyes() IS
  'Row trigger: notes who proposes and approves a bank account, and that they are two (O2030, O2080).';

CREATE FUNCTION o2c._customer_iban_eyes() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'o2c_four_eyes_customer';
COMMENT ON FUNCTION o2c._customer_iban_eyes() IS
  'Row trigger: where four eyes are asked for, customer.iban takes approved accounts only (O2080).';

CREATE FUNCTION o2c.propose_bank_account(company_id integer, customer_code text, iban text, bic text DEFAULT NULL, holder text DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  customer bigint := o2c._customer_id($1, $2);
  new_id bigint;
BEGIN
  IF $3 IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'O2040', MESSAGE = 'a bank account needs an IBAN';
  END IF;
  IF $4 !~ '^[A-Z]{4}[A-Z]{2}[A-Z0-9]{2}([A-Z0-9]{3})?$' THEN
    RAISE EXCEPTION USING ERRCODE = 'O2004', MESSAGE = pg_catalog.format('"%s" is not a BIC', $4),
      HINT = 'A BIC has 8 or 11 capital letters and digits, for example COBADEFFXXX.';
  END IF;
  INSERT INTO o2c.customer_bank_account (company_id, customer_id, iban, bic, holder)
  VALUES ($1, customer, $3::o2c.iban, $4, $5) ON CONFLICT DO NOTHING RETURNING id INTO new_id;
  IF new_id IS NULL THEN
    RETURN (SELECT b.id FROM o2c.customer_bank_account b
            WHERE b.company_id = $1 AND b.customer_id = customer AND b.iban = $3::o2c.iban);
  END IF;
  IF NOT o2c._four_eyes($1) THEN
    PERFORM o2c.approve_bank_account($1, new_id);
  END IF;
  RETURN new_id;
END $$;
COMMENT ON FUNCTION o2c.propose_bank_account(integer, text, text, text, text) IS
  'Propose a bank account of a customer; where four eyes are not asked for it holds at once. The same again: the same id. Errors: O2002, O2003, O2004, O2040.';

CREATE FUNCTION o2c.approve_bank_account(company_id integer, bank_account_id bigint) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  b record;
BEGIN
  SELECT a.* INTO b FROM o2c.customer_bank_account a WHERE a.company_id = $1 AND a.id = $2 FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    PERFORM o2c._require_company($1);
    RAISE EXCEPTION USING ERRCODE = 'O2003', MESSAGE = pg_catalog.format('there is no proposed bank account %s', coalesce($2::text, 'NULL'));
  END IF;
  IF b.approved_by IS NULL THEN
    UPDATE o2c.customer_bank_account a SET approved_by = session_user, approved_at = pg_catalog.now()
    WHERE a.company_id = $1 AND a.id = $2;
  END IF;
  UPDATE o2c.customer c SET iban = b.iban WHERE c.company_id = $1 AND c.id = b.customer_id AND c.iban IS DISTINCT FROM b.iban;
END $$;
COMMENT ON FUNCTION o2c.approve_bank_account(integer, bigint) IS
  'Approve a proposed bank account, which becomes the customer''s. Errors: O2002, O2003, O2080 (by whom proposed it).';

-- Who is written to, and where: one row for each customer that has such a
-- contact or address.  Plain SQL, which is part of the plan of whoever asks:
-- joined whole, or by key from within LATERAL (… OFFSET 0).

CREATE FUNCTION o2c._contacts_for(company_id integer, roles text[])
RETURNS TABLE (customer_id bigint, email text, phone text, language text)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
  SELECT c.customer_id,
         (pg_catalog.array_agg(c.email ORDER BY pg_catalog.array_position($2, c.role), NOT c.is_default, c.id) FILTER (WHERE c.email <> ''))[1],
         (pg_catalog.array_agg(c.phone ORDER BY pg_catalog.array_position($2, c.role), NOT c.is_default, c.id) FILTER (WHERE c.phone <> ''))[1],
         (pg_catalog.array_agg(c.language ORDER BY pg_catalog.array_position($2, c.role), NOT c.is_default, c.id) FILTER (WHERE c.language <> ''))[1]
  FROM o2c.customer_contact c
  WHERE c.company_id = $1 AND c.role = ANY ($2)
  GROUP BY c.customer_id
$$;
COMMENT ON FUNCTION o2c._contacts_for(integer, text[]) IS
  'How the contacts with one of these roles are reached, by customer: each value of the first contact that has it, in the order of the roles, the default one first, then the oldest.';

CREATE FUNCTION o2c._addresses_for(company_id integer, roles text[])
RETURNS TABLE (customer_id bigint, name text, street text, postal_code text, city text, country text)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
  SELECT DISTINCT ON (a.customer_id) a.customer_id, a.name, a.street, a.postal_code, a.city, a.country
  FROM o2c.customer_address a
  WHERE a.company_id = $1 AND a.role = ANY ($2) AND a.street <> '' AND a.city <> ''
  ORDER BY a.customer_id, pg_catalog.array_position($2, a.role), NOT a.is_default, a.id
$$;
COMMENT ON FUNCTION o2c._addresses_for(integer, text[]) IS
  'The address with one of these roles, by customer: in the order of the roles, the default one first, then the oldest; one without street or city is none.';

CREATE FUNCTION o2c._addressees(company_id integer, roles text[])
RETURNS TABLE (id bigint, code text, name text, street text, postal_code text, city text, country text,
               email text, phone text, language text, time_zone text)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
  SELECT k.id, k.code, coalesce(a.name, k.name),
         CASE WHEN a.customer_id IS NULL THEN k.street ELSE a.street END,
         CASE WHEN a.customer_id IS NULL THEN k.postal_code ELSE a.postal_code END,
         CASE WHEN a.customer_id IS NULL THEN k.city ELSE a.city END,
         coalesce(a.country, k.country),
         coalesce(t.email, k.email), coalesce(t.phone, k.phone), coalesce(t.language, k.language), k.time_zone
  FROM o2c.customer k
  LEFT JOIN o2c._contacts_for($1, $2) t ON t.customer_id = k.id
  LEFT JOIN o2c._addresses_for($1, $2) a ON a.customer_id = k.id
  WHERE k.company_id = $1
$$;
COMMENT ON FUNCTION o2c._addressees(integer, text[]) IS
  'Every customer as it is written to in these roles: its address as a whole and e-mail, phone and language each from there, else from its own row.';
