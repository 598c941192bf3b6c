#!/bin/sh
# The lifecycle trigger on single rows, one prepared UPDATE a transaction and client,
# against no trigger and against a trigger in C that does nothing: what PostgreSQL
# itself asks of any BEFORE UPDATE row trigger, which locks the row before it calls
# it.  Short runs in turn, the best of each; the disk is not waited for.
# ROUNDS (5), BENCH_SINGLE_ROWS (20000 updates a run).
set -e
rows=${BENCH_SINGLE_ROWS:-20000}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export PGOPTIONS="-c synchronous_commit=off"

psql -Xqo /dev/null -v ON_ERROR_STOP=1 <<'SQL'
CREATE TABLE bench_plain (company_id integer, id bigint PRIMARY KEY, code text, state o2c.order_state, amount numeric) WITH (fillfactor = 50);
INSERT INTO bench_plain SELECT 1, g, 'O' || g, 'draft', g FROM generate_series(1, 20000) g;
CREATE TABLE bench_empty (LIKE bench_plain INCLUDING ALL) WITH (fillfactor = 50);
INSERT INTO bench_empty SELECT * FROM bench_plain;
CREATE TABLE bench_c (LIKE bench_plain INCLUDING ALL) WITH (fillfactor = 50);
INSERT INTO bench_c SELECT * FROM bench_plain;
-- does nothing but return the row
CREATE TRIGGER t BEFORE UPDATE ON bench_empty FOR EACH ROW EXECUTE FUNCTION o2c.guard_derived();
CREATE TRIGGER t BEFORE UPDATE ON bench_c FOR EACH ROW EXECUTE FUNCTION o2c.lifecycle_guard('order');
SQL
psql -Xqc 'VACUUM ANALYZE' -c CHECKPOINT

# Milliseconds of one run.
run()
{
	cat >"$dir/$1.sql" <<SQL
\\set id random(1, 20000)
UPDATE bench_$1 SET state = CASE state WHEN 'draft' THEN 'submitted' ELSE 'draft' END::o2c.order_state WHERE id = :id;
SQL
	pgbench -n -M prepared -c 1 -t "$rows" -f "$dir/$1.sql" >"$dir/out" 2>&1
	awk -v n="$rows" '/^tps/ {print n / $3 * 1000}' "$dir/out" >>"$dir/$1.ms"
}

for round in $(seq "${ROUNDS:-5}")
do
	for what in plain empty c
	do
		run $what
	done
done
best() { sort -n "$dir/$1.ms" | awk 'NR == 1 {printf "%.0f", $1}'; }
echo "RATIO|lifecycle trigger, $rows single rows|$(best c)|$(best plain)|no trigger"
echo "RATIO|lifecycle trigger, $rows single rows|$(best c)|$(best empty)|a trigger in C that does nothing"
