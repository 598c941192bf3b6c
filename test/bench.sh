#!/bin/sh
# make bench: run every file of test/bench and print the ratios side by side.
#
# Each file gets its own database (PGDATABASE) with the extension installed, in a
# private server with PostgreSQL's defaults for durability.  Its lines
#   RATIO|case|ours_ms|baseline_ms|what the baseline is
# are collected; ours/baseline below 1 is faster than the baseline.
# FILE=part-of-a-name runs some; SCALE (default 1) multiplies sizes; ROUNDS and
# SECONDS_PER_RUN lengthen those that alternate.
. "$(dirname "$0")/lib.sh"

sh "$ROOT/test/deps.sh"
find_postgres
find_user
build_and_install
make_room bench
finish()
{
	status=$?
	trap - EXIT INT TERM
	clear_room bench
	exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM
stage_tree
start_server "shared_buffers = 512MB" "max_wal_size = 4GB" "max_connections = 120"

# sizes and cases of single benchmarks, BENCH_NAME=number or word,word, reach them
sizes=$(env | grep -E '^BENCH_[A-Z_]+=[0-9a-z_,]+$' || true)

# Run a command against the private server.
client()
{
	as_user $(user_env "$ROOM") "PGHOST=$PGHOST" "PGPORT=$PGPORT" PGUSER=postgres \
		"PGDATABASE=${database:-postgres}" "PGXS_DIR=$PGXS_DIR" "O2C_ROOT=$TREE" \
		${SHARED:+"O2C_SHARED=$SHARED"} "SCALE=${SCALE:-1}" ${ROUNDS:+"ROUNDS=$ROUNDS"} ${SECONDS_PER_RUN:+"SECONDS_PER_RUN=$SECONDS_PER_RUN"} $sizes "$@"
}

client psql -Xqc "CREATE DATABASE o2c_template"
database=o2c_template client psql -Xqo /dev/null -v ON_ERROR_STOP=1 -c "CREATE EXTENSION order2cash" -c "SELECT o2c.install()"

results=$ROOT/build/bench.txt
: >"$results"
failed=0
for file in "$TREE"/test/bench/[0-9]*.sql "$TREE"/test/bench/[0-9]*.sh "$TREE"/test/bench/[0-9]*.pl
do
	[ -f "$file" ] || continue
	name=$(basename "$file")
	case $name in *"${FILE:-}"*) ;; *) continue ;; esac
	say "== $name"
	database=$(printf 'bench_%s' "${name%.*}")
	( database=postgres; client psql -Xqc "CREATE DATABASE \"$(printf 'bench_%s' "${name%.*}")\" TEMPLATE o2c_template" )
	case $name in
		*.sql) set -- psql -XAtq -v ON_ERROR_STOP=1 -v "scale=${SCALE:-1}" -f "$file" ;;
		*.sh) set -- sh "$file" ;;
		*.pl) set -- perl "$file" ;;
	esac
	if ! client "$@" >"$ROOT/build/bench.out" 2>&1
	then
		failed=$((failed + 1))
		say "FAILED: $name"
	fi
	sed 's/^/  /' "$ROOT/build/bench.out"
	grep '^RATIO|' "$ROOT/build/bench.out" >> "$results" || true
	( database=postgres; client psql -Xqc "DROP DATABASE \"$(printf 'bench_%s' "${name%.*}")\"" ) || true
done

say ""
say "== ratios (ours / baseline; below 1 is faster)"
awk -F'|' 'BEGIN { printf "%-52s %12s %12s %8s  %s\n", "case", "ours ms", "baseline ms", "ratio", "baseline" }
	{ printf "%-52s %12.1f %12.1f %8s  %s\n", $2, $3, $4, ($4 > 0 ? sprintf("%.2f", $3 / $4) : "-"), $5 }' "$results"
[ "$failed" -eq 0 ] || die "$failed benchmark file(s) failed"
