-- Direct debits and transfers: mandates, orders, and the files for the bank
-- (pain.008 and pain.001 of ISO 20022).
--
-- An order is drawn in one statement from what is due, keeps what was sent,
-- and becomes XML as often as it is asked for; settling it books its receipts.

CREATE FUNCTION o2c._four_eyes_order_line() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'o2c_four_eyes_order_line';
COMMENT ON FUNCTION o2c._four_eyes_order_line() IS
  'Trigger of payment_order_line: a transfer is an approved refund to the customer''s own account, a collection goes by his mandate. Errors: O2080.';

CREATE FUNCTION o2c._sepa_text(value text, max_length integer) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  SELECT nullif(pg_catalog.btrim(pg_catalog.left(pg_catalog.btrim(pg_catalog.regexp_replace(pg_catalog.regexp_replace(
    pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(
    pg_catalog.replace(pg_catalog.replace(
      pg_catalog.translate(pg_catalog.normalize(pg_catalog.translate(value, 'ØøŁłĐđ&_', 'OoLlDd+-'), 'NFKC'),
        'ÀÁÂÃÅÇÈÉÊËÌÍÎÏÑÒÓÔÕÙÚÛÝàáâãåçèéêëìíîïñòóôõùúûýÿĀāĂăĄąĆćČčĎďĒēĖėĘęĚěĞğĢģĪīĮįİıĶķĻļĽľŃńŅņŇňŌōŐőŔŕŘřŚśŞşŠšŢţŤťŪūŮůŰűŲųŹźŻżŽžȘșȚț',
        'AAAAACEEEEIIIINOOOOUUUYaaaaaceeeeiiiinoooouuuyyAaAaAaCcCcDdEeEeEeEeGgGgIiIiIiKkLlLlNnNnNnOoOoRrRrSsSsSsTtTtUuUuUuUuZzZzZzSsTt'),
      'Ä', 'Ae'), 'Ö', 'Oe'), 'Ü', 'Ue'), 'ä', 'ae'), 'ö', 'oe'), 'ü', 'ue'), 'ß', 'ss'), 'Æ', 'Ae'), 'æ', 'ae'),
    '[^A-Za-z0-9/?:().,''+ -]', ' ', 'g'), E'\\s+', ' ', 'g')), max_length)), '')
$$;
COMMENT ON FUNCTION o2c._sepa_text(text, integer) IS
  'A text in the character set that all banks of the SEPA take, cut to a length; NULL if nothing is left.';

CREATE FUNCTION o2c.create_mandate(company_id integer, customer_code text, iban text, signed_on date,
  reference text DEFAULT NULL, scheme text DEFAULT 'CORE', recurrent boolean DEFAULT true, bic text DEFAULT NULL, holder text DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  customer bigint := o2c._customer_id($1, $2);
  new_id bigint;
  known o2c.mandate;
BEGIN
  IF $3 IS NULL OR $4 IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'O2004', MESSAGE = 'a mandate needs an IBAN and the day it was signed on';
  END IF;
  PERFORM o2c._require_era($4, 'to sign a mandate on');
  IF $4 > o2c.today($1) THEN
    RAISE EXCEPTION USING ERRCODE = 'O2044', MESSAGE = pg_catalog.format('a mandate cannot be signed on %s, which is to come', $4);
  END IF;
  IF $7 IS NULL OR $8 !~ '^[A-Z0-9]{4}[A-Z]{2}[A-Z0-9]{2}([A-Z0-9]{3})?$' OR $9 = '' OR pg_catalog.length($9) > 140 THEN
    RAISE EXCEPTION USING ERRCODE = 'O2004',
      MESSAGE = CASE WHEN $7 IS NULL THEN 'a mandate is recurrent or not'
        WHEN $9 = '' OR pg_catalog.length($9) > 140 THEN 'the holder of an account has a name of 1 to 140 characters'
        ELSE pg_catalog.format('"%s" is not a BIC', pg_catalog.left($8, 40)) END;
  END IF;
  IF coalesce($6, '') NOT IN ('CORE', 'COR1', 'B2B') THEN
    RAISE EXCEPTION USING ERRCODE = 'O2004', MESSAGE = pg_catalog.format('"%s" is not a direct debit scheme', $6), HINT = 'Use CORE, COR1 or B2B.';
  END IF;
  IF $5 IS NOT NULL THEN
    -- the same again is the same mandate, at the same moment too
    PERFORM o2c._once($1, 'mandate', pg_catalog.upper($5), 'SELECT pg_catalog.max(m.id) FROM o2c.mandate m WHERE m.company_id = $1 AND pg_catalog.upper(m.reference) = $2');
    SELECT m.* INTO known FROM o2c.mandate m WHERE m.company_id = $1 AND pg_catalog.upper(m.reference) = pg_catalog.upper($5);
    IF FOUND THEN
      IF known.customer_id = customer AND known.iban = $3::o2c.iban AND known.signed_on = $4 THEN
        RETURN known.id;
      END IF;
      RAISE EXCEPTION USING ERRCODE = 'O2005', MESSAGE = pg_catalog.format('mandate "%s" exists with another customer, account or date', $5),
        HINT = 'A mandate reference stands for one mandate for ever; use another.';
    END IF;
    IF o2c._sepa_text($5, 35) IS DISTINCT FROM $5 OR $5 ~ '^/|/$|//' THEN
      RAISE EXCEPTION USING ERRCODE = 'O2041', MESSAGE = pg_catalog.format('"%s" is not a mandate reference', $5),
        HINT = 'Use up to 35 letters, digits and the signs / ? : ( ) . , '' + -, with no slash at either end.';
    END IF;
  END IF;
  new_id := pg_catalog.nextval('o2c.mandate_id_seq');
  INSERT INTO o2c.mandate (company_id, id, customer_id, reference, scheme, recurrent, iban, bic, holder, signed_on)
  SELECT $1, new_id, customer, coalesce($5, pg_catalog.format('M%s-%s', $1, new_id)), $6, $7, $3::o2c.iban, $8, coalesce($9, c.name), $4
  FROM o2c.customer c WHERE c.company_id = $1 AND c.id = customer;
  INSERT INTO o2c.event (company_id, entity, entity_id, event) VALUES ($1, 'mandate', new_id, 'create');
  RETURN new_id;
END $$;
COMMENT ON FUNCTION o2c.create_mandate(integer, text, text, date, text, text, boolean, text, text) IS
  'Note a customer''s mandate for direct debits from an account; without reference one is made. The same reference with the same content again is the same mandate. Returns its id. Errors: O2002, O2003, O2004, O2005, O2040, O2041, O2044.';

CREATE FUNCTION o2c.revoke_mandate(company_id integer, mandate_id bigint, reason text, revoked_on date DEFAULT NULL) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  IF coalesce($3, '') = '' THEN
    RAISE EXCEPTION USING ERRCODE = 'O2004', MESSAGE = 'revoking a mandate needs a reason';
  END IF;
  PERFORM o2c._require_company($1);
  PERFORM o2c._require_era($4, 'to revoke a mandate on');
  UPDATE o2c.mandate m SET revoked_on = coalesce(m.revoked_on, $4, o2c.today($1)), revoke_reason = coalesce(m.revoke_reason, $3)
  WHERE m.company_id = $1 AND m.id = $2;
  IF NOT FOUND THEN
    PERFORM o2c._require_company($1);
    RAISE EXCEPTION USING ERRCODE = 'O2003', MESSAGE = pg_catalog.format('there is no mandate %s', coalesce($2::text, 'NULL'));
  END IF;
  INSERT INTO o2c.event (company_id, entity, entity_id, event, reason) VALUES ($1, 'mandate', $2, 'revoke', $3);
END $$;
COMMENT ON FUNCTION o2c.revoke_mandate(integer, bigint, text, date) IS
  'End a mandate: nothing is collected by it on or after revoked_on. Again: no change. Errors: O2002, O2003, O2004, O2044.';

CREATE TYPE o2c._bank_account_ref AS (id bigint, currency o2c.currency, iban o2c.iban, creditor_id text);
COMMENT ON TYPE o2c._bank_account_ref IS 'What a payment order needs of a bank account.';

CREATE FUNCTION o2c._order_account(company integer, code text) RETURNS o2c._bank_account_ref
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
DECLARE
  account o2c._bank_account_ref;
BEGIN
  SELECT a.id, coalesce(a.currency, c.currency), a.iban, a.creditor_id INTO account
  FROM o2c.bank_account a JOIN o2c.company c ON c.company_id = a.company_id
  WHERE a.company_id = company AND a.code = $2;
  IF account.id IS NULL THEN
    PERFORM o2c._require_company(company);
    RAISE EXCEPTION USING ERRCODE = 'O2003', MESSAGE = pg_catalog.format('there is no bank account "%s"', code),
      HINT = 'Insert it into o2c.bank_account.';
  END IF;
  IF account.iban IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'O2033', MESSAGE = pg_catalog.format('bank account "%s" has no IBAN', code),
      HINT = 'A payment order names the account by its IBAN: set it in o2c.bank_account.';
  END IF;
  RETURN account;
END $$;
COMMENT ON FUNCTION o2c._order_account(integer, text) IS 'The bank account that an order is for. Errors: O2002, O2003, O2033.';

CREATE FUNCTION o2c.first_order_day(company_id integer, bank_account text, at timestamptz DEFAULT now()) RETURNS date
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  account o2c._bank_account_ref := o2c._order_account($1, $2);
  cut_off time := (SELECT a.cut_off FROM o2c.bank_account a WHERE a.company_id = $1 AND a.id = account.id);
  here timestamp := coalesce($3, pg_catalog.now()) AT TIME ZONE (SELECT c.time_zone FROM o2c.company c WHERE c.company_id = $1);
BEGIN
  IF NOT pg_catalog.isfinite(here) THEN
    RAISE EXCEPTION USING ERRCODE = 'O2044', MESSAGE = pg_catalog.format('%s is not a time of an order', $3);
  END IF;
  RETURN CASE WHEN cut_off IS NULL THEN here::date
    ELSE o2c.next_business_day($1, here::date + CASE WHEN here::time > cut_off THEN 1 ELSE 0 END) END;
END $$;
COMMENT ON FUNCTION o2c.first_order_day(integer, text, timestamptz) IS
  'The first day for which the account''s bank takes a payment order that is given at a time (default: now): with a cut-off the business day itself until then, afterwards the next. Errors: O2002, O2003, O2033, O2044.';

CREATE FUNCTION o2c._require_order_day(company integer, account_code text, day date) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
BEGIN
  IF day < o2c.first_order_day(company, account_code) THEN
    RAISE EXCEPTION USING ERRCODE = 'O2044', MESSAGE = pg_catalog.format('it is too late for a payment order on %s', day),
      DETAIL = pg_catalog.format('The cut-off of bank account "%s" is %s.', account_code,
        (SELECT a.cut_off FROM o2c.bank_account a WHERE a.company_id = company AND a.code = account_code)),
      HINT = pg_catalog.format('The first day is %s.', o2c.first_order_day(company, account_code));
  END IF;
END $$;
COMMENT ON FUNCTION o2c._require_order_day(integer, text, date) IS 'Refuses a day that lies before the first one for which the bank takes orders. Errors: O2044.';

CREATE FUNCTION o2c._refuse_sepa_amount(amount numeric, currency text, about text) RETURNS numeric
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
BEGIN
  RAISE EXCEPTION USING ERRCODE = 'O2033',
    MESSAGE = pg_catalog.format('%s: %s %s is more than one payment of the SEPA can be', about, amount, currency),
    DETAIL = 'Banks take at most 999999999.99 EUR in one collection or transfer.',
    HINT = 'Nothing was ordered. Agree with the customer on another way for this one, or have it due in instalments.';
END $$;
COMMENT ON FUNCTION o2c._refuse_sepa_amount(numeric, text, text) IS 'Refuses an amount that no file of the SEPA can have. Errors: O2033, always.';

CREATE FUNCTION o2c._lock_ordering(company integer, currency o2c.currency) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
BEGIN
  PERFORM FROM o2c.bank_account a JOIN o2c.company c ON c.company_id = a.company_id
  WHERE a.company_id = company AND coalesce(a.currency, c.currency) = $2
  ORDER BY a.id FOR NO KEY UPDATE OF a;
  -- written as well: who orders with a snapshot of before must fail
  UPDATE o2c.bank_account a SET last_balance = a.last_balance
  FROM o2c.company c
  WHERE a.company_id = company AND c.company_id = company AND coalesce(a.currency, c.currency) = $2;
END $$;
COMMENT ON FUNCTION o2c._lock_ordering(integer, o2c.currency) IS
  'One session at a time orders payments in a currency, from whichever account: items and refunds are ordered once.';

CREATE FUNCTION o2c.collect_direct_debits(company_id integer, bank_account text, collect_on date, up_to date DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  account o2c._bank_account_ref := o2c._order_account($1, $2);
  new_id bigint;
BEGIN
  PERFORM o2c._require_era($3, 'to collect on');
  PERFORM o2c._require_era($4, 'up to which to collect');
  IF $3 IS NULL OR $3 < o2c.today($1) THEN
    RAISE EXCEPTION USING ERRCODE = 'O2044', MESSAGE = pg_catalog.format('cannot collect on %s, which is past', coalesce($3::text, 'NULL'));
  END IF;
  PERFORM o2c._require_order_day($1, $2, $3);
  IF account.creditor_id IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'O2033', MESSAGE = pg_catalog.format('bank account "%s" has no creditor identifier', $2),
      HINT = 'Set creditor_id in o2c.bank_account.';
  END IF;
  IF account.currency::text <> 'EUR' THEN
    RAISE EXCEPTION USING ERRCODE = 'O2033', MESSAGE = pg_catalog.format('bank account "%s" is in %s', $2, account.currency),
      DETAIL = 'Direct debits of the SEPA are in euro.';
  END IF;
  PERFORM o2c._lock_ordering($1, account.currency);
  new_id := pg_catalog.nextval('o2c.payment_order_id_seq');
  WITH usable AS (
    -- per customer the mandate that was signed last and is still good
    SELECT DISTINCT ON (m.customer_id) m.*
    FROM o2c.mandate m
    WHERE m.company_id = $1 AND m.signed_on <= $3 AND (m.revoked_on IS NULL OR m.revoked_on > $3)
      AND coalesce(m.last_collected_on, m.signed_on) > $3 - '36 months'::interval
      AND (m.recurrent OR m.last_collected_on IS NULL)
    ORDER BY m.customer_id, m.signed_on DESC, m.id DESC
  ), due AS (
    SELECT i.id, i.customer_id, i.number, i.instalment, i.open_amount - i.disputed_amount AS amount, u.id AS mandate_id, u.recurrent,
      u.last_collected_on, u.iban, u.bic, u.holder, c.name AS customer_name,
      pg_catalog.row_number() OVER (PARTITION BY u.id ORDER BY i.due_date, i.id) AS n
    FROM o2c.open_balance b
    JOIN usable u ON u.customer_id = b.customer_id
    JOIN o2c.open_item i ON i.company_id = $1 AND i.id = b.item_id
    JOIN o2c.customer c ON c.company_id = $1 AND c.id = b.customer_id
    WHERE b.company_id = $1 AND b.open_amount > 0 AND b.currency = account.currency
      AND b.due_date <= coalesce($4, $3) AND i.open_amount - i.disputed_amount > 0
      AND NOT EXISTS (SELECT FROM o2c.payment_order_line p WHERE p.company_id = $1 AND p.item_id = i.id AND p.pending)
  ), chosen AS (
    SELECT d.* FROM due d WHERE d.recurrent OR d.n = 1
  ), made AS (
    INSERT INTO o2c.payment_order (company_id, id, kind, bank_account_id, requested_on, currency, line_count, total_amount)
    SELECT $1, new_id, 'direct_debit', account.id, $3, account.currency, pg_catalog.count(*), pg_catalog.sum(x.amount)
    FROM chosen x HAVING pg_catalog.count(*) > 0
    RETURNING id
  ), lines AS (
    INSERT INTO o2c.payment_order_line (company_id, payment_order_id, customer_id, item_id, mandate_id, sequence_type,
      end_to_end_id, amount, currency, party_name, iban, bic, remittance_text)
    SELECT $1, new_id, x.customer_id, x.id, x.mandate_id,
      CASE WHEN NOT x.recurrent THEN 'OOFF' WHEN x.last_collected_on IS NULL AND x.n = 1 THEN 'FRST' ELSE 'RCUR' END,
      pg_catalog.format('DD%s-%s', new_id, x.id),
      CASE WHEN x.amount > 999999999.99 THEN o2c._refuse_sepa_amount(x.amount, account.currency::text, 'item ' || x.number) ELSE x.amount END,
      account.currency, coalesce(x.holder, x.customer_name), x.iban, x.bic, x.number
    FROM chosen x CROSS JOIN made ORDER BY x.customer_id, x.n
    RETURNING mandate_id
  ), used AS (
    UPDATE o2c.mandate m SET last_collected_on = greatest(m.last_collected_on, $3)
    WHERE m.company_id = $1 AND m.id IN (SELECT l.mandate_id FROM lines l)
  )
  INSERT INTO o2c.event (company_id, entity, entity_id, event)
  SELECT $1, 'payment_order', m.id, 'create' FROM made m;
  IF NOT FOUND THEN
    RETURN NULL;
  END IF;
  RETURN new_id;
END $$;
COMMENT ON FUNCTION o2c.collect_direct_debits(integer, text, date, date) IS
  'Draw an order of direct debits on collect_on for all open items due by up_to (default: that day) of customers with a usable mandate, in the account''s currency, without disputed shares and items already in a pending order. Returns the order, or NULL if nothing is due. Errors: O2002, O2003, O2033 (also when one item is more than 999999999.99), O2044.';

CREATE FUNCTION o2c.order_refunds(company_id integer, bank_account text, execute_on date) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  account o2c._bank_account_ref := o2c._order_account($1, $2);
  new_id bigint;
  left_out boolean;
BEGIN
  PERFORM o2c._require_effective($3);
  IF $3 IS NULL OR $3 < o2c.today($1) THEN
    RAISE EXCEPTION USING ERRCODE = 'O2044', MESSAGE = pg_catalog.format('cannot pay on %s, which is past', coalesce($3::text, 'NULL'));
  END IF;
  PERFORM o2c._require_order_day($1, $2, $3);
  PERFORM o2c._lock_ordering($1, account.currency);
  new_id := pg_catalog.nextval('o2c.payment_order_id_seq');
  WITH waiting AS (
    -- to the account that the customer is known by, never to one that only a payment named
    SELECT r.id, r.amount, p.customer_id, c.name, c.iban, coalesce(p.reference, 'payment ' || p.id) AS about
    FROM o2c.refund r
    JOIN o2c.payment p ON p.company_id = $1 AND p.id = r.payment_id
    LEFT JOIN o2c.customer c ON c.company_id = $1 AND c.id = p.customer_id
    WHERE r.company_id = $1 AND r.state = 'approved' AND r.currency = account.currency
      AND NOT EXISTS (SELECT FROM o2c.payment_order_line l JOIN o2c.payment_order o ON o.company_id = $1 AND o.id = l.payment_order_id
                      WHERE l.company_id = $1 AND l.refund_id = r.id AND o.state <> 'void')
  ), made AS (
    INSERT INTO o2c.payment_order (company_id, id, kind, bank_account_id, requested_on, currency, line_count, total_amount)
    SELECT $1, new_id, 'transfer', account.id, $3, account.currency, pg_catalog.count(*), pg_catalog.sum(x.amount)
    FROM waiting x WHERE x.iban IS NOT NULL HAVING pg_catalog.count(*) > 0
    RETURNING id
  ), lines AS (
    INSERT INTO o2c.payment_order_line (company_id, payment_order_id, customer_id, refund_id, end_to_end_id, amount, currency,
      party_name, iban, remittance_text)
    SELECT $1, new_id, x.customer_id, x.id, pg_catalog.format('RF%s-%s', new_id, x.id),
      CASE WHEN x.amount > 999999999.99 AND account.currency::text = 'EUR'
           THEN o2c._refuse_sepa_amount(x.amount, account.currency::text, 'refund of ' || x.about) ELSE x.amount END, account.currency, x.name, x.iban, 'Refund ' || x.about
    FROM waiting x CROSS JOIN made WHERE x.iban IS NOT NULL ORDER BY x.id
  ), noted AS (
    INSERT INTO o2c.event (company_id, entity, entity_id, event)
    SELECT $1, 'payment_order', m.id, 'create' FROM made m
  )
  SELECT (SELECT m.id FROM made m), EXISTS (SELECT FROM waiting x WHERE x.iban IS NULL) INTO new_id, left_out;
  IF left_out THEN
    RAISE NOTICE USING MESSAGE = 'approved refunds to customers without an IBAN are not ordered',
      HINT = 'Set o2c.customer.iban to the account that the customer is paid on.';
  END IF;
  RETURN new_id;
END $$;
COMMENT ON FUNCTION o2c.order_refunds(integer, text, date) IS
  'Draw an order of transfers on execute_on for all approved refunds in the account''s currency to customers with an IBAN; a refund is paid once. A notice says when others have none. Returns the order, or NULL if there is none. Errors: O2002, O2003, O2033 (also when one refund is more than EUR 999999999.99), O2044.';

CREATE FUNCTION o2c._xml_agent(bic text, version_new boolean) RETURNS xml
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
  SELECT XMLELEMENT(NAME "FinInstnId",
    -- the older schemas take no digits where those of today do
    CASE WHEN version_new AND bic IS NOT NULL THEN XMLELEMENT(NAME "BICFI", bic)
         WHEN bic ~ '^[A-Z]{6}[A-Z2-9][A-NP-Z0-9]([A-Z0-9]{3})?$' THEN XMLELEMENT(NAME "BIC", bic)
         ELSE XMLELEMENT(NAME "Othr", XMLELEMENT(NAME "Id", 'NOTPROVIDED')) END)
$$;
COMMENT ON FUNCTION o2c._xml_agent(text, boolean) IS 'A bank by its BIC, or as not provided; to older schemas also where they would not take the BIC.';

CREATE FUNCTION o2c._debit_xml(company integer, order_id bigint, version_new boolean) RETURNS xml
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  WITH o AS (
    SELECT p.*, a.iban AS own_iban, a.bic AS own_bic, a.creditor_id, coalesce(o2c._sepa_text(c.name, 70), 'NOTPROVIDED') AS own_name
    FROM o2c.payment_order p
    JOIN o2c.bank_account a ON a.company_id = p.company_id AND a.id = p.bank_account_id
    JOIN o2c.company c ON c.company_id = p.company_id
    WHERE p.company_id = $1 AND p.id = $2
  ), batch AS (
    SELECT m.scheme, l.sequence_type, pg_catalog.count(*) AS n, pg_catalog.sum(l.amount) AS total,
      pg_catalog.row_number() OVER (ORDER BY m.scheme, l.sequence_type) AS no,
      XMLAGG(XMLELEMENT(NAME "DrctDbtTxInf",
        XMLELEMENT(NAME "PmtId", XMLELEMENT(NAME "EndToEndId", l.end_to_end_id)),
        XMLELEMENT(NAME "InstdAmt", XMLATTRIBUTES(l.currency AS "Ccy"), l.amount),
        XMLELEMENT(NAME "DrctDbtTx", XMLELEMENT(NAME "MndtRltdInf",
          XMLELEMENT(NAME "MndtId", m.reference), XMLELEMENT(NAME "DtOfSgntr", pg_catalog.to_char(m.signed_on, 'YYYY-MM-DD')))),
        XMLELEMENT(NAME "DbtrAgt", o2c._xml_agent(l.bic, $3)),
        XMLELEMENT(NAME "Dbtr", XMLELEMENT(NAME "Nm", coalesce(o2c._sepa_text(l.party_name, 70), 'NOTPROVIDED'))),
        XMLELEMENT(NAME "DbtrAcct", XMLELEMENT(NAME "Id", XMLELEMENT(NAME "IBAN", l.iban))),
        XMLELEMENT(NAME "RmtInf", XMLELEMENT(NAME "Ustrd", coalesce(o2c._sepa_text(l.remittance_text, 140), l.end_to_end_id)))) ORDER BY l.id) AS lines
    FROM o2c.payment_order_line l JOIN o2c.mandate m ON m.company_id = l.company_id AND m.id = l.mandate_id
    WHERE l.company_id = $1 AND l.payment_order_id = $2
    GROUP BY 1, 2
  )
  SELECT XMLELEMENT(NAME "Document",
    XMLATTRIBUTES(CASE WHEN $3 THEN 'urn:iso:std:iso:20022:tech:xsd:pain.008.001.08' ELSE 'urn:iso:std:iso:20022:tech:xsd:pain.008.001.02' END AS xmlns),
    XMLELEMENT(NAME "CstmrDrctDbtInitn",
      XMLELEMENT(NAME "GrpHdr",
        XMLELEMENT(NAME "MsgId", pg_catalog.format('O2C-%s-%s', $1, $2)),
        XMLELEMENT(NAME "CreDtTm", pg_catalog.to_char(o.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')),
        XMLELEMENT(NAME "NbOfTxs", o.line_count), XMLELEMENT(NAME "CtrlSum", o.total_amount),
        XMLELEMENT(NAME "InitgPty", XMLELEMENT(NAME "Nm", o.own_name))),
      (SELECT XMLAGG(XMLELEMENT(NAME "PmtInf",
        XMLELEMENT(NAME "PmtInfId", pg_catalog.format('O2C-%s-%s-%s', $1, $2, b.no)),
        XMLELEMENT(NAME "PmtMtd", 'DD'),
        XMLELEMENT(NAME "BtchBookg", 'true'),
        XMLELEMENT(NAME "NbOfTxs", b.n), XMLELEMENT(NAME "CtrlSum", b.total),
        XMLELEMENT(NAME "PmtTpInf", XMLELEMENT(NAME "SvcLvl", XMLELEMENT(NAME "Cd", 'SEPA')),
          XMLELEMENT(NAME "LclInstrm", XMLELEMENT(NAME "Cd", b.scheme)), XMLELEMENT(NAME "SeqTp", b.sequence_type)),
        XMLELEMENT(NAME "ReqdColltnDt", pg_catalog.to_char(o.requested_on, 'YYYY-MM-DD')),
        XMLELEMENT(NAME "Cdtr", XMLELEMENT(NAME "Nm", o.own_name)),
        XMLELEMENT(NAME "CdtrAcct", XMLELEMENT(NAME "Id", XMLELEMENT(NAME "IBAN", o.own_iban))),
        XMLELEMENT(NAME "CdtrAgt", o2c._xml_agent(o.own_bic, $3)),
        XMLELEMENT(NAME "ChrgBr", 'SLEV'),
        XMLELEMENT(NAME "CdtrSchmeId", XMLELEMENT(NAME "Id", XMLELEMENT(NAME "PrvtId", XMLELEMENT(NAME "Othr",
          XMLELEMENT(NAME "Id", o.creditor_id), XMLELEMENT(NAME "SchmeNm", XMLELEMENT(NAME "Prtry", 'SEPA')))))),
        b.lines) ORDER BY b.no) FROM batch b)))
  FROM o
$$;
COMMENT ON FUNCTION o2c._debit_xml(integer, bigint, boolean) IS 'An order of direct debits as pain.008.001.08, or .02 for banks that take no other.';

CREATE FUNCTION o2c._transfer_xml(company integer, order_id bigint, version_new boolean) RETURNS xml
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  SELECT XMLELEMENT(NAME "Document",
    XMLATTRIBUTES(CASE WHEN $3 THEN 'urn:iso:std:iso:20022:tech:xsd:pain.001.001.09' ELSE 'urn:iso:std:iso:20022:tech:xsd:pain.001.001.03' END AS xmlns),
    XMLELEMENT(NAME "CstmrCdtTrfInitn",
      XMLELEMENT(NAME "GrpHdr",
        XMLELEMENT(NAME "MsgId", pg_catalog.format('O2C-%s-%s', $1, $2)),
        XMLELEMENT(NAME "CreDtTm", pg_catalog.to_char(o.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')),
        XMLELEMENT(NAME "NbOfTxs", o.line_count), XMLELEMENT(NAME "CtrlSum", o.total_amount),
        XMLELEMENT(NAME "InitgPty", XMLELEMENT(NAME "Nm", coalesce(o2c._sepa_text(c.name, 70), 'NOTPROVIDED')))),
      XMLELEMENT(NAME "PmtInf",
        XMLELEMENT(NAME "PmtInfId", pg_catalog.format('O2C-%s-%s-1', $1, $2)),
        XMLELEMENT(NAME "PmtMtd", 'TRF'),
        XMLELEMENT(NAME "BtchBookg", 'true'),
        XMLELEMENT(NAME "NbOfTxs", o.line_count), XMLELEMENT(NAME "CtrlSum", o.total_amount),
        CASE WHEN o.currency::text = 'EUR' THEN XMLELEMENT(NAME "PmtTpInf", XMLELEMENT(NAME "SvcLvl", XMLELEMENT(NAME "Cd", 'SEPA'))) END,
        CASE WHEN $3 THEN XMLELEMENT(NAME "ReqdExctnDt", XMLELEMENT(NAME "Dt", pg_catalog.to_char(o.requested_on, 'YYYY-MM-DD')))
          ELSE XMLELEMENT(NAME "ReqdExctnDt", pg_catalog.to_char(o.requested_on, 'YYYY-MM-DD')) END,
        XMLELEMENT(NAME "Dbtr", XMLELEMENT(NAME "Nm", coalesce(o2c._sepa_text(c.name, 70), 'NOTPROVIDED'))),
        XMLELEMENT(NAME "DbtrAcct", XMLELEMENT(NAME "Id", XMLELEMENT(NAME "IBAN", a.iban))),
        XMLELEMENT(NAME "DbtrAgt", o2c._xml_agent(a.bic, $3)),
        XMLELEMENT(NAME "ChrgBr", CASE WHEN o.currency::text = 'EUR' THEN 'SLEV' ELSE 'SHAR' END),
        (SELECT XMLAGG(XMLELEMENT(NAME "CdtTrfTxInf",
          XMLELEMENT(NAME "PmtId", XMLELEMENT(NAME "EndToEndId", l.end_to_end_id)),
          XMLELEMENT(NAME "Amt", XMLELEMENT(NAME "InstdAmt", XMLATTRIBUTES(l.currency AS "Ccy"), l.amount)),
          CASE WHEN l.bic IS NOT NULL THEN XMLELEMENT(NAME "CdtrAgt", o2c._xml_agent(l.bic, $3)) END,
          XMLELEMENT(NAME "Cdtr", XMLELEMENT(NAME "Nm", coalesce(o2c._sepa_text(l.party_name, 70), 'NOTPROVIDED'))),
          XMLELEMENT(NAME "CdtrAcct", XMLELEMENT(NAME "Id", XMLELEMENT(NAME "IBAN", l.iban))),
          XMLELEMENT(NAME "RmtInf", XMLELEMENT(NAME "Ustrd", coalesce(o2c._sepa_text(l.remittance_text, 140), l.end_to_end_id)))) ORDER BY l.id)
         FROM o2c.payment_order_line l WHERE l.company_id = $1 AND l.payment_order_id = $2))))
  FROM o2c.payment_order o
  JOIN o2c.bank_account a ON a.company_id = o.company_id AND a.id = o.bank_account_id
  JOIN o2c.company c ON c.company_id = o.company_id
  WHERE o.company_id = $1 AND o.id = $2
$$;
COMMENT ON FUNCTION o2c._transfer_xml(integer, bigint, boolean) IS 'An order of transfers as pain.001.001.09, or .03 for banks that take no other.';

CREATE FUNCTION o2c._payment_order(company integer, order_id bigint) RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
DECLARE
  state text;
BEGIN
  SELECT o.state INTO state FROM o2c.payment_order o WHERE o.company_id = company AND o.id = order_id FOR UPDATE;
  IF NOT FOUND THEN
    PERFORM o2c._require_company(company);
    RAISE EXCEPTION USING ERRCODE = 'O2003', MESSAGE = pg_catalog.format('there is no payment order %s', coalesce(order_id::text, 'NULL'));
  END IF;
  RETURN state;
END $$;
COMMENT ON FUNCTION o2c._payment_order(integer, bigint) IS 'Locks a payment order and returns its state. Errors: O2002, O2003.';

CREATE FUNCTION o2c.payment_order_xml(company_id integer, payment_order_id bigint, version text DEFAULT NULL) RETURNS xml
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  kind text := (SELECT o.kind FROM o2c.payment_order o WHERE o.company_id = $1 AND o.id = $2 AND o.state <> 'void');
BEGIN
  IF kind IS NULL THEN
    PERFORM o2c._require_company($1);
    RAISE EXCEPTION USING ERRCODE = 'O2003', MESSAGE = pg_catalog.format('there is no payment order %s, or it is void', coalesce($2::text, 'NULL'));
  END IF;
  IF kind = 'direct_debit' AND coalesce($3, 'pain.008.001.08') IN ('pain.008.001.08', 'pain.008.001.02') THEN
    RETURN o2c._debit_xml($1, $2, coalesce($3, '') <> 'pain.008.001.02');
  ELSIF kind = 'direct_debit' AND $3 = 'pain.008.001.09' THEN
    -- what we write is the same in both
    RETURN pg_catalog.regexp_replace(o2c._debit_xml($1, $2, true)::text, E'pain\\.008\\.001\\.08', 'pain.008.001.09')::xml;
  ELSIF kind = 'transfer' AND coalesce($3, 'pain.001.001.09') IN ('pain.001.001.09', 'pain.001.001.03') THEN
    RETURN o2c._transfer_xml($1, $2, coalesce($3, '') <> 'pain.001.001.03');
  END IF;
  RAISE EXCEPTION USING ERRCODE = 'O2004', MESSAGE = pg_catalog.format('"%s" is no version of a %s', $3, pg_catalog.replace(kind, '_', ' ')),
    HINT = 'Direct debits are pain.008.001.08, .09 or .02, transfers pain.001.001.09 or pain.001.001.03.';
END $$;
COMMENT ON FUNCTION o2c.payment_order_xml(integer, bigint, text) IS
  'The file of an order for the bank: pain.008.001.08 or pain.001.001.09, or the version named (pain.008.001.09, pain.008.001.02, pain.001.001.03). The same order gives the same file. Errors: O2002, O2003, O2004.';

CREATE FUNCTION o2c.void_payment_order(company_id integer, payment_order_id bigint, reason text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  state text := o2c._payment_order($1, $2);
BEGIN
  IF coalesce($3, '') = '' THEN
    RAISE EXCEPTION USING ERRCODE = 'O2004', MESSAGE = 'voiding a payment order needs a reason';
  END IF;
  IF state = 'void' THEN
    RETURN;
  ELSIF state = 'settled' THEN
    RAISE EXCEPTION USING ERRCODE = 'O2033', MESSAGE = pg_catalog.format('payment order %s is settled', $2),
      HINT = 'Return the payments that came of it: o2c.return_payment().';
  END IF;
  -- another order may use its mandates meanwhile
  PERFORM o2c._lock_ordering($1, o.currency) FROM o2c.payment_order o WHERE o.company_id = $1 AND o.id = $2;
  UPDATE o2c.payment_order o SET state = 'void', void_reason = $3 WHERE o.company_id = $1 AND o.id = $2;
  UPDATE o2c.payment_order_line l SET pending = false WHERE l.company_id = $1 AND l.payment_order_id = $2;
  -- a mandate is as it was before the order
  UPDATE o2c.mandate m SET last_collected_on =
    (SELECT pg_catalog.max(o.requested_on) FROM o2c.payment_order_line l JOIN o2c.payment_order o ON o.company_id = $1 AND o.id = l.payment_order_id
     WHERE l.company_id = $1 AND l.mandate_id = m.id AND o.state <> 'void')
  WHERE m.company_id = $1 AND m.id IN (SELECT l.mandate_id FROM o2c.payment_order_line l WHERE l.company_id = $1 AND l.payment_order_id = $2);
  INSERT INTO o2c.event (company_id, entity, entity_id, event, reason) VALUES ($1, 'payment_order', $2, 'void', $3);
END $$;
COMMENT ON FUNCTION o2c.void_payment_order(integer, bigint, text) IS
  'Take back an order that did not go to the bank: its items and refunds may be ordered again. Again: no change. Errors: O2002, O2003, O2004, O2033.';

CREATE FUNCTION o2c._payment_order_line_of(company integer, order_id bigint) RETURNS bigint
LANGUAGE sql STABLE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  -- the bank may name the message, its block or its only payment; without that the
  -- amount decides, unless the movement has another party, or another movement or
  -- another order fits as well
  WITH ord AS (
    SELECT o.*, CASE o.kind WHEN 'transfer' THEN - o.total_amount ELSE o.total_amount END AS moved
    FROM o2c.payment_order o WHERE o.company_id = company AND o.id = order_id),
  fits AS (
    SELECT b.id, coalesce(b.payer_iban, b.payer_account) IS NULL AS bare,
      coalesce((b.details ->> 'message_id') = pg_catalog.format('O2C-%s-%s', company, order_id), false)
        OR coalesce(pg_catalog.starts_with(b.details ->> 'payment_info_id', pg_catalog.format('O2C-%s-%s-', company, order_id)), false)
        OR (o.line_count = 1 AND EXISTS (SELECT FROM o2c.payment_order_line l
            WHERE l.company_id = company AND l.payment_order_id = order_id AND l.end_to_end_id = b.end_to_end_id)) AS named
    FROM ord o
    JOIN o2c.bank_line b ON b.company_id = company AND b.bank_account_id = o.bank_account_id AND b.state = 'open'
      AND b.amount = o.moved AND b.currency = o.currency AND b.return_reason IS NULL
      AND b.booking_date BETWEEN o.requested_on - 5 AND o.requested_on + 15)
  SELECT CASE
    WHEN pg_catalog.count(*) FILTER (WHERE f.named) = 1 THEN pg_catalog.min(f.id) FILTER (WHERE f.named)
    WHEN pg_catalog.count(*) = 1 AND pg_catalog.bool_and(f.bare) AND NOT EXISTS (
      SELECT FROM o2c.payment_order r JOIN ord o ON r.bank_account_id = o.bank_account_id AND r.kind = o.kind
        AND r.total_amount = o.total_amount AND r.currency = o.currency AND r.id <> o.id
        AND pg_catalog.abs(r.requested_on - o.requested_on) <= 20
      WHERE r.company_id = company AND r.state = 'created') THEN pg_catalog.min(f.id) END
  FROM fits f
$$;
COMMENT ON FUNCTION o2c._payment_order_line_of(integer, bigint) IS
  'The open bank line that is the movement of a payment order, when only one can be; else NULL.';

CREATE FUNCTION o2c.settle_payment_order(company_id integer, payment_order_id bigint, settled_on date DEFAULT NULL, bank_line_id bigint DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  state text := o2c._payment_order($1, $2);
  ord o2c.payment_order;
  line record;
  on_day date;
  n bigint;
  moved_by bigint;
BEGIN
  PERFORM o2c._require_era($3, 'to settle an order on');
  SELECT o.* INTO ord FROM o2c.payment_order o WHERE o.company_id = $1 AND o.id = $2;
  IF state = 'settled' THEN
    RETURN 0;
  ELSIF state = 'void' THEN
    RAISE EXCEPTION USING ERRCODE = 'O2033', MESSAGE = pg_catalog.format('payment order %s is void', $2);
  END IF;
  -- all that is posted to, in several statements, before the bank line
  PERFORM o2c._lock_posting($1, pg_catalog.array_agg(l.item_id), NULL, pg_catalog.array_agg(l.customer_id))
  FROM o2c.payment_order_line l WHERE l.company_id = $1 AND l.payment_order_id = $2 AND l.item_id IS NOT NULL;
  moved_by := coalesce($4, o2c._payment_order_line_of($1, $2));
  IF moved_by IS NOT NULL THEN
    SELECT b.amount, b.booking_date, b.state::text AS state INTO line FROM o2c.bank_line b
    WHERE b.company_id = $1 AND b.id = moved_by AND b.bank_account_id = ord.bank_account_id AND b.currency = ord.currency FOR UPDATE;
    IF NOT FOUND OR line.state <> 'open' OR line.amount <> (CASE ord.kind WHEN 'transfer' THEN - ord.total_amount ELSE ord.total_amount END) THEN
      RAISE EXCEPTION USING ERRCODE = 'O2033',
        MESSAGE = pg_catalog.format('bank line %s is not the open movement of payment order %s', moved_by, $2),
        DETAIL = pg_catalog.format('The order is for %s %s, the line %s.', ord.total_amount, ord.currency,
          coalesce(pg_catalog.format('has %s and is %s', line.amount, line.state), 'is not on its bank account'));
    END IF;
    -- the order's payments stand for it
    UPDATE o2c.bank_line b SET state = 'ignored', details = coalesce(b.details, '{}') || pg_catalog.jsonb_build_object('payment_order', $2)
    WHERE b.company_id = $1 AND b.id = moved_by;
    on_day := line.booking_date;
  END IF;
  on_day := coalesce($3, on_day, ord.requested_on);

  -- a receipt for each collection, on the item that it was for
  UPDATE o2c.payment_order_line l SET payment_id =
    o2c.record_payment($1, c.code, l.amount, l.currency::text, on_day, l.end_to_end_id, 'direct_debit', on_day)
  FROM o2c.customer c
  WHERE l.company_id = $1 AND l.payment_order_id = $2 AND l.item_id IS NOT NULL AND c.company_id = $1 AND c.id = l.customer_id;
  PERFORM o2c.apply_payment($1, x.payment_id, x.number, least(x.amount, x.open_amount), on_day)
  FROM (SELECT l.payment_id, i.number, l.amount, i.open_amount
        FROM o2c.payment_order_line l JOIN o2c.open_item i ON i.company_id = $1 AND i.id = l.item_id
        WHERE l.company_id = $1 AND l.payment_order_id = $2 AND i.open_amount > 0 ORDER BY i.id OFFSET 0) x;
  UPDATE o2c.payment_order_line l SET pending = false WHERE l.company_id = $1 AND l.payment_order_id = $2;
  GET DIAGNOSTICS n = ROW_COUNT;
  UPDATE o2c.payment_order o SET state = 'settled', settled_on = on_day, bank_line_id = moved_by WHERE o.company_id = $1 AND o.id = $2;
  INSERT INTO o2c.event (company_id, entity, entity_id, event) VALUES ($1, 'payment_order', $2, 'settle');
  RETURN n;
END $$;
COMMENT ON FUNCTION o2c.settle_payment_order(integer, bigint, date, bigint) IS
  'The bank has carried out an order: each collection becomes a payment applied to its item. bank_line_id names the bank''s one movement for all, which then needs no matching; without it the movement is found when only one can be it. Again: 0. Returns the lines settled. Errors: O2002, O2003, O2033, O2044.';

CREATE FUNCTION o2c._check_payment_order(company_id integer)
RETURNS TABLE (invariant text, company_id integer, entity text, entity_id bigint, detail text)
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  SELECT 'a payment order is the sum of its lines', o.company_id, 'payment_order', o.id,
    pg_catalog.format('%s lines with %s, it says %s with %s', l.n, l.total, o.line_count, o.total_amount)
  FROM o2c.payment_order o
  LEFT JOIN (SELECT p.company_id, p.payment_order_id, pg_catalog.count(*) AS n, pg_catalog.sum(p.amount) AS total,
                    pg_catalog.bool_or(p.pending) AS pending FROM o2c.payment_order_line p GROUP BY 1, 2) l
    ON l.company_id = o.company_id AND l.payment_order_id = o.id
  WHERE ($1 IS NULL OR o.company_id = $1)
    AND ((l.n, l.total) IS DISTINCT FROM (o.line_count, o.total_amount) OR l.pending <> (o.state = 'created'))
$$;
COMMENT ON FUNCTION o2c._check_payment_order(integer) IS 'Invariants of payment orders, for o2c.check().';
