-- Cash application, the text side: what src/cash reads out of remittance
-- texts, names and references.  Pure functions; the engine is in 55_match.sql.

CREATE FUNCTION o2c.cash_tokens(remittance_text text,
  OUT kind text, OUT value text, OUT "position" integer) RETURNS SETOF record
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'o2c_cash_tokens';
COMMENT ON FUNCTION o2c.cash_tokens(text) IS
  'What the matching engine reads in a remittance text: kind N number, c completed list member, r inside a range, o repaired letter, A letters and digits, S reference with right check digits, D date, M amount, P percent; its value, and its position in the folded text from 0. Texts are read up to 16 kB; none for NULL. No errors.';

CREATE FUNCTION o2c._cash_keys(remittance_text text) RETURNS bigint[]
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 100
AS 'MODULE_PATHNAME', 'o2c_cash_keys';
COMMENT ON FUNCTION o2c._cash_keys(text) IS
  'The distinct keys (see o2c.match_key) of documents that a text may name.';

CREATE FUNCTION o2c._named_codes(remittance_text text, payer_name text) RETURNS bigint[]
LANGUAGE c IMMUTABLE PARALLEL SAFE COST 50
AS 'MODULE_PATHNAME', 'o2c_cash_named_codes';
COMMENT ON FUNCTION o2c._named_codes(text, text) IS
  'Keys (see o2c._document_key) of at most four numbers that a text or a payer''s name calls customer numbers ("Kd.Nr. 10234"); NULL for none.';

CREATE FUNCTION o2c._minor_amount(amount numeric, currency o2c.currency) RETURNS bigint
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'o2c_cash_minor_amount';
COMMENT ON FUNCTION o2c._minor_amount(numeric, o2c.currency) IS
  'An amount in minor units of its currency, halves rounded away from zero; NULL for a currency without minor unit. Errors: 22003 beyond 18 digits.';

CREATE AGGREGATE o2c._minor_sum(bigint) (
  SFUNC = pg_catalog.int8pl, STYPE = bigint, COMBINEFUNC = pg_catalog.int8pl, PARALLEL = SAFE
);
COMMENT ON AGGREGATE o2c._minor_sum(bigint) IS
  'Sum of amounts in minor units, as such; pg_catalog.sum makes a numeric, at three times the cost. NULL for none. Errors: 22003 beyond 64 bits.';

CREATE FUNCTION o2c._amounts(minor_amounts bigint[], minor integer) RETURNS numeric[]
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'o2c_cash_amounts';
COMMENT ON FUNCTION o2c._amounts(bigint[], integer) IS
  'Amounts in minor units as amounts of a currency with so many decimals (0 to 4), in step.';

CREATE FUNCTION o2c._document_key(number text) RETURNS bigint
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'o2c_cash_document_key';
COMMENT ON FUNCTION o2c._document_key(text) IS
  'Key of a document number: its digits (at least four, none between letters), else a hash of its letters and digits; 0 for none.';

CREATE FUNCTION o2c._document_digits(number text) RETURNS bigint
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'o2c_cash_document_digits';
COMMENT ON FUNCTION o2c._document_digits(text) IS
  'Second key of a document number that has letters between its digits: the digits alone, six at least; else 0.';

CREATE FUNCTION o2c._reference_key(reference text) RETURNS bigint
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'o2c_cash_reference_key';
COMMENT ON FUNCTION o2c._reference_key(text) IS
  'Key of a structured reference: its digits, or a hash of its letters and digits; 0 for fewer than four characters.';

CREATE FUNCTION o2c.reference_kind(reference text) RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'o2c_cash_reference_kind';
COMMENT ON FUNCTION o2c.reference_kind(text) IS
  'The standard whose check digits a payment reference satisfies: iso11649, si, ch_qr, be_ogm, fi_viite, no_kid; NULL for none.';

CREATE FUNCTION o2c._name_key(name text) RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 20
AS 'MODULE_PATHNAME', 'o2c_cash_name_key';
COMMENT ON FUNCTION o2c._name_key(text) IS
  'A name without accents, case, punctuation and legal form: equal for two spellings of one name.';

CREATE FUNCTION o2c._account_key(account text) RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'o2c_cash_account_key';
COMMENT ON FUNCTION o2c._account_key(text) IS 'An account as payer_alias has it: capitals, without blanks; NULL when empty.';

CREATE FUNCTION o2c._same_party(line_id bigint, account text, name_key text) RETURNS bigint
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'o2c_cash_same_party';
COMMENT ON FUNCTION o2c._same_party(bigint, text, text) IS
  'Numbers who pays: the line_id with which this call of the statement was first made for the account and name; when they are more than fit into the memory of a hash table, some are numbered again.';

CREATE FUNCTION o2c.name_similarity(payer text, customer text) RETURNS double precision
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'o2c_cash_name_similarity';
COMMENT ON FUNCTION o2c.name_similarity(text, text) IS
  '0 to 1: how well a payer''s name as banks write it (capitals, cut, misspelt, without legal form) fits a customer''s.';

CREATE FUNCTION o2c._subset_search(amounts bigint[], target bigint, max_size integer, budget bigint,
  OUT members integer[], OUT solutions integer, OUT complete boolean, OUT chance double precision)
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'o2c_cash_subset';
COMMENT ON FUNCTION o2c._subset_search(bigint[], bigint, integer, bigint) IS
  'Sets of at most max_size of the amounts (minor units) that add up to target: positions of the first, how many (2 = several), whether all were searched within the budget of nodes, and how many equal sums chance alone would give.';

CREATE FUNCTION o2c._keep_match_keys() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'o2c_cash_keep_keys';
COMMENT ON FUNCTION o2c._keep_match_keys() IS 'Trigger of open_item: the keys under which a bank line finds the item.';

CREATE FUNCTION o2c._first_round(company integer, few boolean, lines text, tolerances text, payers text, keys text, settled text,
  pairs text, items text, credits text, names text, weighed text, taken text, undecided text, candidates text,
  OUT line_id bigint, OUT option integer, OUT decided boolean, OUT tier integer, OUT rule text,
  OUT confidence numeric, OUT customer_id bigint, OUT item_ids bigint[], OUT cash bigint[],
  OUT settle bigint[], OUT settle_kind text, OUT explanation text, OUT item_left bigint[], OUT day integer,
  OUT paid bigint) RETURNS SETOF record
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE ROWS 1000
AS 'MODULE_PATHNAME', 'o2c_cash_first_round';
COMMENT ON FUNCTION o2c._first_round(integer, boolean, text, text, text, text, text, text, text, text, text, text, text, text, text) IS
  'Streams the keys, settled numbers and open items that queries return past the lines of a matching run: the items that each line may pay; then weighs each line (weighed, in the order of lines) and decides, so that no item is claimed twice. Returns up to three answers, best first, of the lines that it may decide, also of those that it decides not since others have their items: these are among the undecided. Queries may use $1 company, and with "few" $2 keys or items, $3 customers, $4 amounts that are looked for; an empty one returns nothing. The last three insert what is left from o2c_rows: what is taken (id of the item, amount), undecided lines (id), and their candidates in the order of lines and items. Amounts in minor units, dates in days since 2000.';

CREATE FUNCTION o2c._weigh_lines(company integer, lines text, candidates text, book text,
  OUT line_id bigint, OUT option integer, OUT decided boolean, OUT tier integer, OUT rule text,
  OUT confidence numeric, OUT customer_id bigint, OUT item_ids bigint[], OUT cash bigint[],
  OUT settle bigint[], OUT settle_kind text, OUT explanation text, OUT item_left bigint[], OUT day integer,
  OUT paid bigint) RETURNS SETOF record
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE ROWS 1000
AS 'MODULE_PATHNAME', 'o2c_cash_weigh_lines';
COMMENT ON FUNCTION o2c._weigh_lines(integer, text, text, text) IS
  'Streams undecided lines, candidates and books of a matching run (queries in the order of page, line and due date) through the weigher, in all rounds that come after the first: up to three answers a line, best first, as they were last found, whether that is decided, each item with what was open, the booking date in days since 2000, and the cash of all items; amounts in minor units.';

CREATE FUNCTION o2c._gather_book(company integer, few boolean, pages text, taken text, tolerances text, items text,
  OUT page bigint, OUT due integer, OUT item_id bigint, OUT customer_id bigint, OUT number text, OUT alt_number text,
  OUT open bigint, OUT amount bigint, OUT discount bigint, OUT discount_date integer, OUT issued integer,
  OUT reference_key bigint, OUT tolerance bigint, OUT charges bigint, OUT taken bigint) RETURNS SETOF record
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE ROWS 1000
AS 'MODULE_PATHNAME', 'o2c_cash_book';
COMMENT ON FUNCTION o2c._gather_book(integer, boolean, text, text, text, text) IS
  'Of the open items that a query returns those of the pages (customer and currency), less what is taken of them, and that: as the weigher takes them, in no order. Queries may use $1 company, and with "few" $2 customers that are looked for.';
