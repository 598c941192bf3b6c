-- Types: currency, iban and creditor_reference, and what a currency says about
-- numbers.  All three are text that has been checked and brought to its normal
-- form on the way in (capital letters, no blanks).  They are binary compatible
-- with text and use its operators, indexes and statistics, as varchar does, so
-- that they join and compare with text columns whatever the search_path is.
-- A literal in a comparison is text: cast it (o2c.iban 'DE89 3704 …') when it
-- may not be in normal form.

CREATE TYPE o2c.currency;
CREATE FUNCTION o2c.currency_in(cstring) RETURNS o2c.currency
  AS 'MODULE_PATHNAME', 'o2c_currency_in' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION o2c.currency_out(o2c.currency) RETURNS cstring
  AS 'textout' LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION o2c.currency_recv(internal) RETURNS o2c.currency
  AS 'MODULE_PATHNAME', 'o2c_currency_recv' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION o2c.currency_send(o2c.currency) RETURNS bytea
  AS 'textsend' LANGUAGE internal STABLE STRICT PARALLEL SAFE;
CREATE TYPE o2c.currency (
  INPUT = o2c.currency_in, OUTPUT = o2c.currency_out,
  RECEIVE = o2c.currency_recv, SEND = o2c.currency_send,
  LIKE = pg_catalog.text, CATEGORY = 'S', COLLATABLE = true
);
COMMENT ON TYPE o2c.currency IS
  'Currency code of ISO 4217 (list one of 2024-06-25): three capital letters; input in any case.';
COMMENT ON FUNCTION o2c.currency_in(cstring) IS 'Input of o2c.currency: checks and normalises.';
COMMENT ON FUNCTION o2c.currency_out(o2c.currency) IS 'Output of o2c.currency: its normal form.';
COMMENT ON FUNCTION o2c.currency_recv(internal) IS 'Binary input of o2c.currency: that of text, checked.';
COMMENT ON FUNCTION o2c.currency_send(o2c.currency) IS 'Binary output of o2c.currency: that of text.';

CREATE FUNCTION o2c.currency(text) RETURNS o2c.currency
  AS 'MODULE_PATHNAME', 'o2c_currency_from_text' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION o2c.currency(text) IS
  'The currency code that a text holds; raises what input raises.';
CREATE FUNCTION o2c.is_currency(text) RETURNS boolean
  AS 'MODULE_PATHNAME', 'o2c_currency_is_valid' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION o2c.is_currency(text) IS
  'Whether a text would be accepted as o2c.currency; never raises.';
CREATE CAST (o2c.currency AS text) WITHOUT FUNCTION AS IMPLICIT;
CREATE CAST (o2c.currency AS varchar) WITHOUT FUNCTION AS ASSIGNMENT;
CREATE CAST (text AS o2c.currency) WITH FUNCTION o2c.currency(text) AS ASSIGNMENT;
CREATE CAST (varchar AS o2c.currency) WITH FUNCTION o2c.currency(text) AS ASSIGNMENT;
CREATE CAST (bpchar AS o2c.currency) WITH INOUT AS ASSIGNMENT;

CREATE TYPE o2c.iban;
CREATE FUNCTION o2c.iban_in(cstring) RETURNS o2c.iban
  AS 'MODULE_PATHNAME', 'o2c_iban_in' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION o2c.iban_out(o2c.iban) RETURNS cstring
  AS 'textout' LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION o2c.iban_recv(internal) RETURNS o2c.iban
  AS 'MODULE_PATHNAME', 'o2c_iban_recv' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION o2c.iban_send(o2c.iban) RETURNS bytea
  AS 'textsend' LANGUAGE internal STABLE STRICT PARALLEL SAFE;
CREATE TYPE o2c.iban (
  INPUT = o2c.iban_in, OUTPUT = o2c.iban_out,
  RECEIVE = o2c.iban_recv, SEND = o2c.iban_send,
  LIKE = pg_catalog.text, CATEGORY = 'S', COLLATABLE = true
);
COMMENT ON TYPE o2c.iban IS
  'IBAN (ISO 13616), checked by country (SWIFT registry release 101) and check digits; stored and printed in the electronic form without blanks, o2c.iban_format() prints groups of four.';
COMMENT ON FUNCTION o2c.iban_in(cstring) IS 'Input of o2c.iban: checks and normalises.';
COMMENT ON FUNCTION o2c.iban_out(o2c.iban) IS 'Output of o2c.iban: its normal form.';
COMMENT ON FUNCTION o2c.iban_recv(internal) IS 'Binary input of o2c.iban: that of text, checked.';
COMMENT ON FUNCTION o2c.iban_send(o2c.iban) IS 'Binary output of o2c.iban: that of text.';

CREATE FUNCTION o2c.iban(text) RETURNS o2c.iban
  AS 'MODULE_PATHNAME', 'o2c_iban_from_text' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION o2c.iban(text) IS
  'The IBAN that a text holds; raises what input raises.';
CREATE FUNCTION o2c.is_iban(text) RETURNS boolean
  AS 'MODULE_PATHNAME', 'o2c_iban_is_valid' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION o2c.is_iban(text) IS
  'Whether a text would be accepted as o2c.iban; never raises.';
CREATE CAST (o2c.iban AS text) WITHOUT FUNCTION AS IMPLICIT;
CREATE CAST (o2c.iban AS varchar) WITHOUT FUNCTION AS ASSIGNMENT;
CREATE CAST (text AS o2c.iban) WITH FUNCTION o2c.iban(text) AS ASSIGNMENT;
CREATE CAST (varchar AS o2c.iban) WITH FUNCTION o2c.iban(text) AS ASSIGNMENT;
CREATE CAST (bpchar AS o2c.iban) WITH INOUT AS ASSIGNMENT;

CREATE TYPE o2c.creditor_reference;
CREATE FUNCTION o2c.creditor_reference_in(cstring) RETURNS o2c.creditor_reference
  AS 'MODULE_PATHNAME', 'o2c_reference_in' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION o2c.creditor_reference_out(o2c.creditor_reference) RETURNS cstring
  AS 'textout' LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION o2c.creditor_reference_recv(internal) RETURNS o2c.creditor_reference
  AS 'MODULE_PATHNAME', 'o2c_reference_recv' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
CREATE FUNCTION o2c.creditor_reference_send(o2c.creditor_reference) RETURNS bytea
  AS 'textsend' LANGUAGE internal STABLE STRICT PARALLEL SAFE;
CREATE TYPE o2c.creditor_reference (
  INPUT = o2c.creditor_reference_in, OUTPUT = o2c.creditor_reference_out,
  RECEIVE = o2c.creditor_reference_recv, SEND = o2c.creditor_reference_send,
  LIKE = pg_catalog.text, CATEGORY = 'S', COLLATABLE = true
);
COMMENT ON TYPE o2c.creditor_reference IS
  'Creditor reference (ISO 11649): RF, two check digits, 1 to 21 letters and digits; stored and printed without blanks.';
COMMENT ON FUNCTION o2c.creditor_reference_in(cstring) IS 'Input of o2c.creditor_reference: checks and normalises.';
COMMENT ON FUNCTION o2c.creditor_reference_out(o2c.creditor_reference) IS 'Output of o2c.creditor_reference: its normal form.';
COMMENT ON FUNCTION o2c.creditor_reference_recv(internal) IS 'Binary input of o2c.creditor_reference: that of text, checked.';
COMMENT ON FUNCTION o2c.creditor_reference_send(o2c.creditor_reference) IS 'Binary output of o2c.creditor_reference: that of text.';

CREATE FUNCTION o2c.creditor_reference(text) RETURNS o2c.creditor_reference
  AS 'MODULE_PATHNAME', 'o2c_reference_from_text' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION o2c.creditor_reference(text) IS
  'The creditor reference that a text holds; raises what input raises.';
CREATE FUNCTION o2c.is_creditor_reference(text) RETURNS boolean
  AS 'MODULE_PATHNAME', 'o2c_reference_is_valid' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION o2c.is_creditor_reference(text) IS
  'Whether a text would be accepted as o2c.creditor_reference; never raises.';
CREATE CAST (o2c.creditor_reference AS text) WITHOUT FUNCTION AS IMPLICIT;
CREATE CAST (o2c.creditor_reference AS varchar) WITHOUT FUNCTION AS ASSIGNMENT;
CREATE CAST (text AS o2c.creditor_reference) WITH FUNCTION o2c.creditor_reference(text) AS ASSIGNMENT;
CREATE CAST (varchar AS o2c.creditor_reference) WITH FUNCTION o2c.creditor_reference(text) AS ASSIGNMENT;
CREATE CAST (bpchar AS o2c.creditor_reference) WITH INOUT AS ASSIGNMENT;

CREATE FUNCTION o2c.iban_country(iban o2c.iban) RETURNS text
  AS 'MODULE_PATHNAME', 'o2c_iban_country' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION o2c.iban_country(o2c.iban) IS
  'The country code that an IBAN begins with.';
CREATE FUNCTION o2c.iban_format(iban o2c.iban) RETURNS text
  AS 'MODULE_PATHNAME', 'o2c_iban_format' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION o2c.iban_format(o2c.iban) IS
  'The paper form of an IBAN, in groups of four.';

CREATE FUNCTION o2c.creditor_reference_from(body text) RETURNS o2c.creditor_reference
  AS 'MODULE_PATHNAME', 'o2c_reference_make' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION o2c.creditor_reference_from(text) IS
  'Makes a creditor reference from a document number: its letters and digits behind RF and check digits; blanks and ASCII punctuation are dropped. O2041 when fewer than 1 or more than 21 are left, or on other letters.';

CREATE FUNCTION o2c.minor_unit(currency o2c.currency) RETURNS integer
  AS 'MODULE_PATHNAME', 'o2c_currency_minor_unit' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION o2c.minor_unit(o2c.currency) IS
  'Digits behind the point of a currency: 0 for JPY, 2 for EUR, 3 for KWD, 4 for CLF; NULL for codes that have none, such as XAU.';
CREATE FUNCTION o2c.is_amount(amount numeric, currency o2c.currency) RETURNS boolean
  AS 'MODULE_PATHNAME', 'o2c_currency_is_amount' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION o2c.is_amount(numeric, o2c.currency) IS
  'Whether a number is an amount of the currency: finite, without a digit other than zero beyond the minor unit (1.500 EUR is one, 1.005 EUR is none), and of at most 18 digits with those of the minor unit (below 10^16 EUR, 10^18 JPY); false for currencies without a minor unit, NULL for NULL.';
CREATE FUNCTION o2c.is_total(total numeric, currency o2c.currency) RETURNS boolean
  AS 'MODULE_PATHNAME', 'o2c_currency_is_total' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION o2c.is_total(numeric, o2c.currency) IS
  'Whether a number is a sum of amounts of the currency: as o2c.is_amount, but below 10^27, so that no total of amounts is refused; NULL for NULL.';
CREATE FUNCTION o2c._amount_fault(amount numeric, currency o2c.currency) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
  SELECT CASE
    WHEN o2c.is_amount(amount, currency) THEN NULL
    WHEN amount IS NULL THEN 'is missing'
    WHEN amount IN ('NaN', 'Infinity', '-Infinity') THEN 'is not a number'
    WHEN o2c.minor_unit(currency) IS NULL THEN pg_catalog.format('is in %s, which is no money', currency)
    WHEN pg_catalog.abs(amount) >= 10::numeric ^ (18 - o2c.minor_unit(currency)) THEN 'has more than 18 digits'
    ELSE pg_catalog.format('has more decimals than %s', currency) END
$$;
COMMENT ON FUNCTION o2c._amount_fault(numeric, o2c.currency) IS
  'What keeps a number from being an amount of the currency (o2c.is_amount), as the end of a sentence about it; NULL when nothing does.';
CREATE FUNCTION o2c.is_quantity(quantity numeric) RETURNS boolean
  AS 'MODULE_PATHNAME', 'o2c_quantity_is_valid' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION o2c.is_quantity(numeric) IS
  'Whether a number is a quantity: finite, at most six decimals by value, below 10^15 in absolute value; NULL for NULL.';
CREATE FUNCTION o2c.round_amount(amount numeric, currency o2c.currency) RETURNS numeric
  AS 'MODULE_PATHNAME', 'o2c_currency_round' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION o2c.round_amount(numeric, o2c.currency) IS
  'Rounds to the minor unit of the currency, half away from zero. O2042 when the currency has none, O2043 when the number is not finite.';
