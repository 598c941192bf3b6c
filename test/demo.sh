#!/bin/sh
# make demo: the whole cycle on sample data, step by step, in a private server
# that is left running.  make demo-stop stops it; a second demo starts anew.
. "$(dirname "$0")/lib.sh"

sh "$ROOT/test/deps.sh"
find_postgres
find_user
build_and_install
stop_peer() { sh "$ROOT/test/demo-stop.sh" peer; }
stop_peer
make_room demo
stage_tree

# Run a command as the server's user, beside the sample data.
client()
{
	as_user $(user_env "$ROOM") "PGHOST=${PGHOST:-}" "PGPORT=${PGPORT:-}" PGUSER=postgres PGDATABASE=demo \
		sh -c 'cd "$1" && shift && exec "$@"' sh "$TREE" "$@"
}

# The mail server on loopback: it keeps each message as a file.
as_user PATH=/usr/bin:/bin mkdir "$ROOM/mail"
client sh -c 'exec perl test/peers/smtp_peer.pl "$1/mail" >"$1/smtp.log" 2>&1 & echo $! > "$1/smtp.pid"' sh "$ROOM"
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20
do
	[ ! -s "$ROOM/mail/port" ] || break
	sleep 0.2
done
[ -s "$ROOM/mail/port" ] || { cat "$ROOM/smtp.log"; die "the loopback mail server did not start"; }
smtp_port=$(cat "$ROOM/mail/port")

start_server "order2cash.databases = 'demo'"
say "# a private server runs in $ROOM"
PGDATABASE=postgres
client psql -Xqd postgres -c "CREATE DATABASE demo"
say ""
say "== 0. Install"
client psql -Xqa -v ON_ERROR_STOP=1 -P footer=off -c "CREATE EXTENSION order2cash;" -c "SELECT o2c.install();"

client psql -X -v "smtp=smtp://127.0.0.1:$smtp_port" -f test/demo/10_cycle.sql

# The worker looks up when a message is queued; give it some seconds.
tries=0
until [ "$(client psql -XAtc "SELECT count(*) FROM o2c.message WHERE state IN ('queued', 'sending', 'retry')")" = 0 ]
do
	tries=$((tries + 1))
	[ $tries -lt 150 ] || { tail -n 20 "$ROOM/server.log"; client psql -X -c "SELECT id, state, last_error FROM o2c.message"; die "the reminders were not sent within 30 seconds"; }
	sleep 0.2
done
client psql -X -f test/demo/20_after.sql

say ""
say "== 13. One of the reminders, as the mail server received it"
mail=$(ls "$ROOM/mail"/mail.* 2>/dev/null | head -n 1)
[ -n "$mail" ] || die "the mail server has received nothing"
sed -e 's/^/  | /' -e '/^  | Content-Type: text\/html/q' "$mail"
say "  | … (and the same as HTML)"

say ""
say "The server goes on running; the mails are in $ROOM/mail. Go on yourself:"
say "  $BINDIR/psql -h $PGHOST -p $PGPORT -U postgres demo"
say "and stop it with: make demo-stop"
