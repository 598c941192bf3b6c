#!/bin/sh
# Matching and posting the lines of a synthetic bank statement, against (a) a
# regexp over the text joined to exact numbers of equal amount and (b) a loop
# over the lines, both posting the same way.  Prints lines a second, and the
# score where the generator's scorer is at hand.
#
# SCALE 1 is 50,000 open items (24,700 lines); SCALE 20 the size that the aim is
# stated for.  BENCH_SEED draws others; BENCH_WORK_MEM, in kB, is what
# all three ways have (64 MB unless said).
# Needs the generator of the shared data; without it there is nothing to run.
set -eu
: "${SCALE:=1}"
export PGOPTIONS="-c work_mem=${BENCH_WORK_MEM:-65536}"
bench=${O2C_SHARED:-../shared}/matchbench
if [ ! -f "$bench/gen.py" ] || ! command -v python3 >/dev/null 2>&1
then
	echo "skipped: no matchbench/gen.py in the shared data"
	exit 0
fi
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 "$bench/gen.py" --out "$dir" --invoices "$(awk "BEGIN { print int(50000 * $SCALE) }")" --seed "${BENCH_SEED:-4711}" >/dev/null

psql -XAtq -v ON_ERROR_STOP=1 -v dir="$dir" <<'SQL'
SET client_min_messages = warning;
SET synchronous_commit = off;
CREATE TABLE s_customer (id text, name text, iban text, credit_terms text, currency text, country text, parent_id text);
CREATE TABLE s_invoice (number text, customer text, issue_date text, due_date text, currency text, amount text, open_amount text, structured_ref text, discount_date text, discount_amount text);
CREATE TABLE s_line (line_id text, booking_date date, amount numeric, currency text, payer_name text, payer_iban text, remittance_text text, structured_ref text);
CREATE TABLE s_history (line_id text, booking_date text, amount text, currency text, payer_name text, payer_iban text, remittance_text text, structured_ref text, customer text, number text);
\set copy '\\copy s_customer FROM ' :dir '/customers.csv CSV HEADER'
:copy
\set copy '\\copy s_invoice FROM ' :dir '/invoices.csv CSV HEADER'
:copy
\set copy '\\copy s_line FROM ' :dir '/bank_lines.csv CSV HEADER'
:copy
\set copy '\\copy s_history FROM ' :dir '/history.csv CSV HEADER'
:copy
CREATE VIEW v_customer AS SELECT id AS code, name, iban, currency, country, parent_id AS parent_code FROM s_customer;
CREATE VIEW v_invoice AS SELECT s_invoice.*, customer AS customer_code, issue_date AS document_date FROM s_invoice;
CREATE VIEW v_history AS SELECT s_history.*, customer AS customer_code FROM s_history;
SELECT o2c.create_company('Bench', 'DE', 'EUR') AS c \gset
SELECT o2c.import_customers(:c, 'v_customer') \g /dev/null
SELECT o2c.import_open_items(:c, 'v_invoice') \g /dev/null
SELECT o2c.import_payment_history(:c, 'v_history') \g /dev/null
INSERT INTO o2c.bank_account (company_id, code) VALUES (:c, 'MAIN');
INSERT INTO o2c.bank_line (company_id, bank_account_id, line_id, booking_date, amount, currency, payer_name, payer_iban, remittance_text, structured_ref)
SELECT :c, a.id, l.line_id, l.booking_date, l.amount, l.currency, l.payer_name, l.payer_iban, l.remittance_text, l.structured_ref
FROM s_line l, o2c.bank_account a WHERE a.company_id = :c ORDER BY l.line_id;
VACUUM ANALYZE o2c.open_item, o2c.open_balance, o2c.bank_line, o2c.match_key, o2c.customer, o2c.payer_alias;

-- each way in a transaction that is rolled back, ours at last for good
CREATE FUNCTION pg_temp.post(c integer) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE n bigint;
BEGIN
  CREATE TEMP TABLE pay ON COMMIT DROP AS
  SELECT f.*, nextval('o2c.open_item_id_seq') AS credit_id, nextval('o2c.payment_id_seq') AS payment_id FROM found f;
  INSERT INTO o2c.open_item (company_id, id, customer_id, kind, number, document_date, due_date, currency, amount, open_amount)
  SELECT c, credit_id, customer_id, 'on_account', 'PAY-' || payment_id, booking_date, booking_date, currency, - amount, - amount FROM pay;
  INSERT INTO o2c.payment (company_id, id, customer_id, amount, currency, received_on, bank_line_id, item_id)
  SELECT c, payment_id, customer_id, amount, currency, booking_date, line_id, credit_id FROM pay;
  INSERT INTO o2c.allocation (company_id, debit_item_id, credit_item_id, currency, amount, effective_on)
  SELECT c, item_id, credit_id, currency, amount, booking_date FROM pay;
  SELECT count(*) INTO n FROM pay;
  RETURN n;
END $$;
\set start 'SELECT clock_timestamp() AS began \\gset'
\set took 'SELECT extract(epoch FROM clock_timestamp() - :''began'')::numeric * 1000 AS ms \\gset'

BEGIN;
:start
CREATE TEMP TABLE found ON COMMIT DROP AS
SELECT DISTINCT ON (i.id) b.id AS line_id, i.id AS item_id, i.customer_id, b.amount, b.currency, greatest(b.booking_date, i.document_date) AS booking_date
FROM (SELECT DISTINCT b.id, (regexp_matches(upper(b.remittance_text), '[A-Z0-9-]{4,}', 'g'))[1] AS word FROM o2c.bank_line b WHERE b.company_id = :c) t
JOIN o2c.bank_line b ON b.company_id = :c AND b.id = t.id
JOIN o2c.open_item i ON i.company_id = :c AND i.number = t.word AND i.currency = b.currency AND i.open_amount = b.amount
ORDER BY i.id, b.id;
DELETE FROM found f USING found g WHERE g.line_id = f.line_id AND g.item_id < f.item_id;
SELECT pg_temp.post(:c) AS posted_a \gset
:took
ROLLBACK;
\set ms_a :ms

CREATE FUNCTION pg_temp.one_by_one(c integer, n bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE l record; i record; credit bigint; posted bigint := 0;
BEGIN
  FOR l IN SELECT b.* FROM o2c.bank_line b WHERE b.company_id = c ORDER BY b.id LIMIT n LOOP
    SELECT o.* INTO i FROM o2c.open_item o
    WHERE o.company_id = c AND o.currency = l.currency AND o.open_amount = l.amount
      AND o.kind NOT IN ('on_account', 'unidentified')
      AND o.number IN (SELECT (regexp_matches(upper(l.remittance_text), '[A-Z0-9-]{4,}', 'g'))[1]) LIMIT 1;
    CONTINUE WHEN NOT FOUND;
    INSERT INTO o2c.open_item (company_id, customer_id, kind, number, document_date, due_date, currency, amount, open_amount)
    VALUES (c, i.customer_id, 'on_account', 'L' || l.id, l.booking_date, l.booking_date, l.currency, - l.amount, - l.amount) RETURNING id INTO credit;
    INSERT INTO o2c.payment (company_id, customer_id, amount, currency, received_on, bank_line_id, item_id)
    VALUES (c, i.customer_id, l.amount, l.currency, l.booking_date, l.id, credit);
    INSERT INTO o2c.allocation (company_id, debit_item_id, credit_item_id, currency, amount, effective_on)
    VALUES (c, i.id, credit, l.currency, l.amount, greatest(l.booking_date, i.document_date));
    posted := posted + 1;
  END LOOP;
  RETURN posted;
END $$;
BEGIN;
:start
SELECT pg_temp.one_by_one(:c, 2000) AS posted_b \gset
:took
ROLLBACK;
\set ms_b :ms
VACUUM o2c.open_item, o2c.payment, o2c.ledger_entry, o2c.allocation;

:start
SELECT lines, auto_lines FROM o2c.match_cash(:c) \gset
:took
\set ms_ours :ms
:start
SELECT lines AS again FROM o2c.match_cash(:c) \gset
:took
SELECT format('%s lines, %s posted by themselves, %s lines a second; again: %s lines in %s ms', :lines, :auto_lines, round(:lines * 1000 / :ms_ours), :again, round(:ms, 1));
SELECT 'largest memory of the session: ' || (regexp_match(pg_read_file('/proc/' || pg_backend_pid() || '/status'), 'VmHWM:\s+(\d+)'))[1]::bigint / 1024
  || ' MB, of which shared buffers ' || (regexp_match(pg_read_file('/proc/' || pg_backend_pid() || '/status'), 'RssShmem:\s+(\d+)'))[1]::bigint / 1024 || ' MB'
WHERE EXISTS (SELECT FROM pg_ls_dir('/proc/self', true, false));
SELECT format('(a) posts %s lines, (b) %s of the first 2,000', :posted_a, :posted_b);
SELECT format('RATIO|matching, a posted line|%s|%s|regexp and join, exact number and amount', round(:ms_ours / :auto_lines, 4), round(:ms_a / :posted_a, 4));
SELECT format('RATIO|matching, a posted line|%s|%s|loop over lines in PL/pgSQL', round(:ms_ours / :auto_lines, 4), round(:ms_b / :posted_b, 4));
SELECT 'check: ' || count(*) FROM o2c.check(:c);
\set copy '\\copy (SELECT line_id, number AS invoice_number, applied_amount, status, option FROM o2c_bi.cash_matches) TO ' :dir '/result.csv CSV HEADER'
:copy
SQL
[ -f "$bench/score.py" ] && python3 "$bench/score.py" --bench "$dir" --result "$dir/result.csv" --split heldout |
	grep -E '^(matchable_lines|auto_lines|precision_auto |precision_auto_95ci|false_auto|recall_auto \(|suggestion_hit_any|violations)'
exit 0
