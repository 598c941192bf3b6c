#!/bin/sh
# make check: build, install, start a private server, run every test, stop it.
#
# LAYER=regress|pgtap|isolation|tap runs one layer, FILE=part-of-a-name some of
# its files.  The last line printed is "N passed, N failed"; the exit code says
# the same.
. "$(dirname "$0")/lib.sh"

sh "$ROOT/test/deps.sh"
find_postgres
find_user

mkdir -p "$ROOT/build"
exec 9>"$ROOT/build/check.lock"
flock -n 9 || die "another check is running in this checkout"

build_and_install
warnings=$(grep -c 'warning:' "$ROOT/build/build.log" || true)
[ "$warnings" -eq 0 ] || grep 'warning:' "$ROOT/build/build.log"

make_room check
# Logs outlive the run, for a look at what failed.
finish()
{
	status=$?
	trap - EXIT INT TERM
	stop_server "$ROOM"
	rm -rf "$ROOT/build/logs"
	mkdir -p "$ROOT/build/logs"
	for log in "$ROOM/server.log" "$ROOM/out"
	do
		[ ! -e "$log" ] || cp -R "$log" "$ROOT/build/logs/"
	done
	final=$(cat "$ROOM/out/total" 2>/dev/null || true)
	clear_room check
	[ -n "$final" ] || [ "$status" -ne 0 ] || status=1
	say "${final:-0 passed, 1 failed}"
	exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM

stage_tree
start_server "fsync = off" "full_page_writes = off" "synchronous_commit = off" \
	"autovacuum_naptime = 10min"

# sizes of tests, O2C_NAME=number, reach them
sizes=$(env | grep -E '^O2C_[A-Z_]+=[0-9]+$' || true)
status=0
as_user $(user_env "$ROOM") "PGHOST=$PGHOST" "PGPORT=$PGPORT" PGUSER=postgres PGDATABASE=postgres \
	"PGXS_DIR=$PGXS_DIR" "O2C_ROOT=$TREE" ${SHARED:+"O2C_SHARED=$SHARED"} "OUT=$ROOM/out" \
	"PGXS_MAJOR=$PGMAJOR" "BUILD_WARNINGS=$warnings" "LAYER=${LAYER:-}" "FILE=${FILE:-}" "JOBS=${JOBS:-2}" $sizes \
	perl "$TREE/test/layers.pl" 9>&- || status=$?
exit $status
