#!/bin/sh
# Issuing with one gapless series, with 1, 8 and 32 clients, synchronous_commit
# on and off, against the same with numbers of a plain sequence (the upper
# bound).  Also against the bound: the counter row taken first, as users write it.
#
# Every transaction issues one draft of three lines, which is all that
# o2c.issue_invoice() does: rules, taxes, open item, ledger, event.  All ways
# work on the same tables.  The clients stay for all of a case, and every SLOT
# milliseconds all of them go on to the next way, so that what else the machine
# does falls on all ways alike; a line gives the median of ROUNDS (times SCALE)
# rounds, each compared with the sequence's slot of its own round.  The first WARM seconds,
# in which clients plan, and the first quarter of each slot do not count.
#
# BENCH_CLIENTS=8,32 BENCH_SYNC=on BENCH_WAYS=commit_early choose some of the
# cases.  BENCH_RATE: drafts that are made ready for each second and way; a
# machine that is faster stops with "reached maximum value of sequence".
set -eu
: "${SCALE:=1}" "${ROUNDS:=3}" "${BENCH_CLIENTS:=1,8,32}" "${BENCH_SYNC:=on,off}" "${BENCH_SLOT:=600}" "${BENCH_WARM:=3}"
: "${BENCH_RATE:=700}" "${BENCH_WAYS:=issue,commit,issue_early,commit_early,users}"
ROUNDS=$(awk "BEGIN { r = int($ROUNDS * $SCALE + 0.5); print r < 1 ? 1 : r }")
words() { echo "$1" | tr ',' ' '; }
ways=sequence,$BENCH_WAYS
nways=$(words "$ways" | wc -w)
cases=$(($(words "$BENCH_CLIENTS" | wc -w) * $(words "$BENCH_SYNC" | wc -w)))
# whole rounds of warming up, and one slot to end in
warm=$(((BENCH_WARM * 1000 + nways * BENCH_SLOT - 1) / (nways * BENCH_SLOT)))
seconds=$((((warm + ROUNDS) * nways + 1) * BENCH_SLOT / 1000 + 1))
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
  EXECUTE format('CREATE SEQUENCE bench.%I START %s MAXVALUE %s', way, low + 1, low + drafts);
END $$;
-- one document, in the way whose turn it is
CREATE FUNCTION bench.issue(c integer, ways text[], base float8, slot float8) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  turn bigint := floor((extract(epoch FROM clock_timestamp())::float8 - base) / slot);
  way text := ways[1 + turn % cardinality(ways)];
BEGIN
  IF way = 'users' THEN
    UPDATE bench.counter SET n = n + 1 WHERE id = 1;
  END IF;
  RETURN o2c.issue_invoice(c, nextval(('bench.' || way)::regclass), DATE '2026-01-31');
END $$;
SQL
c=$(psql -XAtqc "SELECT max(company_id) FROM o2c.company")

# a way works for its slots of warming up, of the rounds, and perhaps of the end
drafts=$((cases * (warm + ROUNDS + 1) * BENCH_SLOT * BENCH_RATE / 1000 + 100))
for way in $(words "$ways")
do
	psql -XAtqo /dev/null -c "SELECT bench.prepare($c, '$way', $drafts)"
done
psql -Xqc "VACUUM ANALYZE" -c "CHECKPOINT"

for sync in $(words "$BENCH_SYNC")
do
	for clients in $(words "$BENCH_CLIENTS")
	do
		rm -f "$dir"/log*
		base=$(date +%s)
		echo "SELECT bench.issue($c, '{$ways}', $base, $BENCH_SLOT / 1000.0);" >"$dir/issue.sql"
		if ! PGOPTIONS="-c synchronous_commit=$sync" pgbench -n -M prepared -c "$clients" -j 1 -T "$seconds" -l \
			--log-prefix="$dir/log" -f "$dir/issue.sql" >"$dir/out" 2>&1
		then
			grep -m 3 -i error "$dir/out"
			exit 1
		fi
		# client, transaction, microseconds, script, when it ended: seconds, microseconds
		cat "$dir"/log* | awk -v ways="$ways" -v base="$base" -v slot="$BENCH_SLOT" -v warm="$warm" -v rounds="$ROUNDS" \
			-v clients="$clients" -v sync="$sync" '
			function median(v, k,    i, j, t) {
				for (i = 1; i <= k; i++) for (j = i + 1; j <= k; j++) if (v[j] < v[i]) { t = v[i]; v[i] = v[j]; v[j] = t }
				return k % 2 ? v[(k + 1) / 2] : (v[k / 2] + v[k / 2 + 1]) / 2
			}
			BEGIN {
				n = split(ways, way, ",")
				label["issue"] = "drawn at issue"; label["commit"] = "drawn at commit"
				label["issue_early"] = "drawn at issue, early release"; label["commit_early"] = "drawn at commit, early release"
				label["users"] = "(as users write it: counter row first)"
			}
			{
				at = (($5 - base) * 1000 + $6 / 1000) / slot
				turn = int(at)
				if (at - turn >= 0.25) done[turn]++
			}
			END {
				for (r = 1; r <= rounds; r++) bound[r] = 0.75 * slot / done[(warm + r - 1) * n]
				for (i = 2; i <= n; i++) {
					for (r = 1; r <= rounds; r++) ratio[r] = done[(warm + r - 1) * n] / done[(warm + r - 1) * n + i - 1]
					ms[i] = median(ratio, rounds)
				}
				sequence = median(bound, rounds)
				for (i = 2; i <= n; i++)
					printf "RATIO|%s, %d client%s, synchronous_commit %s|%.4f|%.4f|the same with a plain sequence\n",
						label[way[i]], clients, (clients > 1 ? "s" : ""), sync, ms[i] * sequence, sequence
			}'
	done
done
