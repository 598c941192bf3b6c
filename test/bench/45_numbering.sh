#!/bin/sh
# Issuing with one gapless series, 1, 8 and 32 clients, synchronous_commit on
# and off, against the same with numbers of a plain sequence (the upper bound).
# Also against the bound: the counter row taken first, as users write it.
#
# Every transaction issues one draft of three lines, which is all that
# o2c.issue_invoice() does: rules, taxes, open item, ledger, event.
set -eu
: "${SCALE:=1}"
each=$((1200 * SCALE))

psql -Xqv ON_ERROR_STOP=1 <<'SQL'
SET client_min_messages = warning;
CREATE SCHEMA bench;
CREATE SEQUENCE bench.draft;
CREATE TABLE bench.counter (id integer PRIMARY KEY, n bigint NOT NULL);
INSERT INTO bench.counter VALUES (1, 0);
-- a company of its own for each run, with so many drafts, and ids from 1
CREATE FUNCTION bench.prepare(drafts integer, assign text, early boolean, gapless boolean) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  c integer := o2c.create_company('Bench', 'DE', 'EUR', vat_id => 'DE123456789');
  customer bigint;
BEGIN
  INSERT INTO o2c.number_series (company_id, code, prefix, assign, early_release, gapless) VALUES (c, 'run', 'R' || c, $2, $3, $4);
  INSERT INTO o2c.customer (company_id, code, name, country) SELECT c, 'C' || n, 'Customer ' || n, 'DE' FROM generate_series(1, 200) n;
  INSERT INTO o2c.invoice (company_id, id, customer_id, currency, series)
  SELECT c, d, (SELECT min(k.id) FROM o2c.customer k WHERE k.company_id = c) + d % 200, 'EUR', 'run' FROM generate_series(1, drafts) d;
  INSERT INTO o2c.invoice_line (company_id, invoice_id, line_no, description, quantity, unit_price, currency, tax_category, tax_rate)
  SELECT c, d, l, 'Item', l, 9.99, 'EUR', 'S', 19 FROM generate_series(1, drafts) d, generate_series(1, 3) l;
  PERFORM o2c._recalculate(c, (SELECT array_agg(d::bigint) FROM generate_series(1, drafts) d));
  PERFORM setval('bench.draft', 1, false);
  RETURN c;
END $$;
SQL

# run CLIENTS SYNC ASSIGN EARLY GAPLESS FIRST: milliseconds for one document
run()
{
	clients=$1 sync=$2
	c=$(psql -XAtqc "SELECT bench.prepare($((each + 64)), '$3', $4, $5)")
	psql -Xqc "VACUUM ANALYZE" -c "CHECKPOINT"
	first= last=
	if [ "$6" = yes ]
	then
		first="BEGIN; UPDATE bench.counter SET n = n + 1 WHERE id = 1;" last="COMMIT;"
	fi
	# one script, one message for each statement
	printf '%s\nSELECT o2c.issue_invoice(%s, nextval('"'bench.draft'"'), DATE '"'2026-01-31'"');\n%s\n' \
		"$(printf '%s' "$first" | tr ';' '\n' | sed '/^ *$/d; s/$/;/')" "$c" "$last" >"${TMPDIR:-/tmp}/bench-issue.$$"
	PGOPTIONS="-c synchronous_commit=$sync" pgbench -n -M prepared -c "$clients" -j 2 -t $((each / clients)) \
		-f "${TMPDIR:-/tmp}/bench-issue.$$" 2>/dev/null |
		sed -n 's/^tps = \([0-9.]*\).*/\1/p' | awk '{ printf "%.4f\n", 1000 / $1 }'
	rm -f "${TMPDIR:-/tmp}/bench-issue.$$"
}

for sync in on off
do
	for clients in 1 8 32
	do
		sequence=$(run $clients $sync issue false false no)
		for kind in 'drawn at issue|issue|false|no' 'drawn at commit|commit|false|no' \
			'drawn at issue, early release|issue|true|no' 'drawn at commit, early release|commit|true|no'
		do
			name=${kind%%|*} rest=${kind#*|}
			assign=${rest%%|*} rest=${rest#*|}
			ours=$(run $clients $sync "$assign" "${rest%%|*}" true no)
			echo "RATIO|$name, $clients clients, synchronous_commit $sync|$ours|$sequence|the same with a plain sequence"
		done
		ours=$(run $clients $sync issue false false yes)
		echo "RATIO|(as users write it: counter row first), $clients clients, synchronous_commit $sync|$ours|$sequence|the same with a plain sequence"
	done
done
