#!/bin/sh
# Issuing with one gapless series, with 1, 8 and 32 clients, synchronous_commit
# on and off, against the same with numbers of a plain sequence (the upper
# bound).  Also against the bound: the counter row taken first, as users write it.
#
# Every transaction issues one draft of three lines, which is all that
# o2c.issue_invoice() does: rules, taxes, open item, ledger, event.  All ways
# work on the same tables and take turns; a line gives the medians of ROUNDS
# turns of EACH (times SCALE) documents.  CLIENTS, SYNC and WAYS choose some of
# the cases.  A client's first documents are slow, while it plans: for figures
# of clients that stay, let EACH be 50 times their number or more.
set -eu
: "${SCALE:=1}" "${ROUNDS:=3}" "${EACH:=320}" "${CLIENTS:=1 8 32}" "${SYNC:=on off}"
: "${WAYS:=issue commit issue_early commit_early users}"
each=$(awk "BEGIN { print int($EACH * $SCALE) }")
[ "$each" -ge 32 ] || each=32
ways="sequence $WAYS"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

psql -Xqv ON_ERROR_STOP=1 <<'SQL'
SET client_min_messages = warning;
CREATE SCHEMA bench;
CREATE TABLE bench.counter (id integer PRIMARY KEY, n bigint NOT NULL);
INSERT INTO bench.counter VALUES (1, 0);
SELECT o2c.create_company('Bench', 'DE', 'EUR', vat_id => 'DE123456789') AS c \gset
INSERT INTO o2c.customer (company_id, code, name, country) SELECT :c, 'C' || n, 'Customer ' || n, 'DE' FROM generate_series(1, 200) n;
INSERT INTO o2c.number_series (company_id, code, assign, early_release, gapless) VALUES
  (:c, 'sequence', 'issue', false, false), (:c, 'issue', 'issue', false, true), (:c, 'commit', 'commit', false, true),
  (:c, 'issue_early', 'issue', true, true), (:c, 'commit_early', 'commit', true, true), (:c, 'users', 'issue', false, false);
-- so many drafts for each way, the next of which its sequence says
CREATE FUNCTION bench.prepare(c integer, way text, drafts integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  low bigint := coalesce((SELECT max(id) FROM o2c.invoice), 0);
BEGIN
  INSERT INTO o2c.invoice (company_id, id, customer_id, currency, series)
  SELECT c, low + d, (SELECT min(k.id) FROM o2c.customer k WHERE k.company_id = c) + d % 200, 'EUR', way FROM generate_series(1, drafts) d;
  INSERT INTO o2c.invoice_line (company_id, invoice_id, line_no, description, quantity, unit_price, currency, tax_category, tax_rate)
  SELECT c, low + d, l, 'Item', l, 9.99, 'EUR', 'S', 19 FROM generate_series(1, drafts) d, generate_series(1, 3) l;
  PERFORM o2c._recalculate(c, (SELECT array_agg(low + d) FROM generate_series(1, drafts) d));
  EXECUTE format('CREATE SEQUENCE bench.%I START %s', way, low + 1);
END $$;
SQL
c=$(psql -XAtqc "SELECT max(company_id) FROM o2c.company")

drafts=64
for sync in $SYNC; do for clients in $CLIENTS; do drafts=$((drafts + ROUNDS * (each + clients))); done; done
for way in $ways
do
	psql -XAtqo /dev/null -c "SELECT bench.prepare($c, '$way', $drafts)"
	issue="SELECT o2c.issue_invoice($c, nextval('bench.$way'), DATE '2026-01-31');"
	if [ "$way" = users ]
	then printf '%s\n' 'BEGIN;' 'UPDATE bench.counter SET n = n + 1 WHERE id = 1;' "$issue" 'COMMIT;'
	else printf '%s\n' "$issue"
	fi >"$dir/$way.sql"
done
psql -Xqc "VACUUM ANALYZE" -c "CHECKPOINT"

# turn CLIENTS SYNC WAY: milliseconds for one document
turn()
{
	PGOPTIONS="-c synchronous_commit=$2" pgbench -n -M prepared -c "$1" -j 2 -t $(((each + $1 - 1) / $1)) \
		-f "$dir/$3.sql" 2>/dev/null |
		sed -n 's/^tps = \([0-9.]*\).*/\1/p' | awk '{ printf "%.4f\n", 1000 / $1 }'
}

median() { sort -n "$1" | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }

for sync in $SYNC
do
	for clients in $CLIENTS
	do
		rm -f "$dir"/*.ms
		round=0
		order=$ways
		while [ "$round" -lt "$ROUNDS" ]
		do
			for way in $order; do turn "$clients" "$sync" "$way" >>"$dir/$way.ms"; done
			# another begins the next round
			order="${order#* } ${order%% *}"
			round=$((round + 1))
		done
		sequence=$(median "$dir/sequence.ms")
		for label in 'issue|drawn at issue' 'commit|drawn at commit' 'issue_early|drawn at issue, early release' \
			'commit_early|drawn at commit, early release' 'users|(as users write it: counter row first)'
		do
			way=${label%%|*}
			[ -f "$dir/$way.ms" ] || continue
			echo "RATIO|${label#*|}, $clients clients, synchronous_commit $sync|$(median "$dir/$way.ms")|$sequence|the same with a plain sequence"
		done
	done
done
