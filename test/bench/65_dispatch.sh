#!/bin/sh
# Messages per second end to end (claim, send, record) over HTTP and SMTP on
# loopback, against the same requests by bare libcurl in a C loop and, where the
# extension pg_net is installed, against the same requests by pg_net on the same
# server; and what a claim reads of a queue, whatever its depth.
#
# SCALE 1 is 20,000 messages; BENCH_DEPTH (100000) messages wait in the deepest
# queue: BENCH_DEPTH=1000000 takes two minutes more.  pg_net sends a tenth of
# the messages at its defaults, and all of them with BENCH_NET_BATCH (2000).
# For it the private server is restarted twice: it wants to be preloaded.
set -eu
n=$(awk "BEGIN { print int(20000 * $SCALE) }")
depth=${BENCH_DEPTH:-100000}
bin=$(mktemp -d)
trap 'kill $pids 2>/dev/null || true; rm -rf "$bin"' EXIT
pids=
# pg_net opens a connection for each message of a batch
ulimit -S -n "$(ulimit -H -n)"
sql() { psql -XAtqc "$1"; }

case $(sql "SHOW shared_preload_libraries") in *order2cash*) ;; *)
	echo "skipped: the server does not preload order2cash"; exit 0 ;; esac
cc -O2 -o "$bin/floor" "$(dirname "$0")/dispatch_floor.c" $(pkg-config --cflags --libs libcurl)

old=$(sql "SHOW order2cash.databases")
sql "ALTER SYSTEM SET order2cash.databases = '$PGDATABASE'" ; sql "SELECT pg_reload_conf()" >/dev/null
sql "SELECT o2c.create_company('Bench', 'DE', 'EUR'); SELECT o2c.arm_dispatch()" >/dev/null

# run CHANNEL: milliseconds from the commit that queued n messages to the last one's result
run()
{
	sql "SELECT o2c.pause_dispatch()" >/dev/null
	last=$(sql "SELECT coalesce(max(id), 0) FROM o2c.message")
	sql "INSERT INTO o2c.message (company_id, channel, recipient, subject, body_text)
	     SELECT 1, '$1', CASE '$1' WHEN 'http' THEN '0170' ELSE 'customer@example.com' END, 'Reminder',
	       'Please pay invoice 4711 of 119.00 EUR.' FROM generate_series(1, $n)"
	sql "VACUUM ANALYZE o2c.message, o2c.message_queue"
	sql "SELECT o2c.resume_dispatch()" >/dev/null
	while [ "$(sql "SELECT count(*) FROM o2c.dispatch_status() WHERE state <> 'running'")" != 0 ]; do sleep 0.1; done
	while [ "$(sql "SELECT count(*) FROM (SELECT FROM o2c.message_queue WHERE channel = '$1' AND due <= now() LIMIT 1) x")" != 0 ] ||
		[ "$(sql "SELECT sending FROM o2c.dispatch_status()")" != 0 ]; do sleep 0.2; done
	sql "SELECT round(1000 * extract(epoch FROM max(sent_at) - min(first_attempt_at)), 1) FROM o2c.message WHERE channel = '$1' AND state = 'sent' AND created_at > now() - interval '1 hour' AND id > $last"
}

# buffers CHANNEL: what finding the next 500 messages of a channel reads
buffers()
{
	sql "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_bitmapscan = off;
		EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF) SELECT q.ctid, m.ctid FROM o2c.message_queue q
		JOIN o2c.message m ON m.company_id = q.company_id AND m.id = q.message_id
		WHERE q.company_id = 1 AND q.channel = '$1' AND q.priority = 5 AND q.due <= now() AND m.state IN ('queued', 'retry')
		ORDER BY q.due, q.message_id LIMIT 500" | sed -n 's/.*Buffers: shared hit=\([0-9]*\)\( read=\([0-9]*\)\)\{0,1\}.*/\1 \3/p' | awk 'NR == 1 { print $1 + $2 }'
}

if command -v nginx >/dev/null 2>&1
then
	cat >"$bin/nginx.conf" <<CONF
daemon off; worker_processes 1; pid $bin/nginx.pid; error_log $bin/error.log crit;
events { worker_connections 16384; }
http { access_log off; keepalive_requests 1000000; client_body_temp_path $bin/b; proxy_temp_path $bin/p;
  fastcgi_temp_path $bin/f; uwsgi_temp_path $bin/u; scgi_temp_path $bin/s;
  server { listen unix:$bin/sock; listen 127.0.0.1:${BENCH_PORT:-18089} backlog=16384; location / { return 200 '{"id": "x"}'; } } }
CONF
	nginx -p "$bin" -c "$bin/nginx.conf" >/dev/null 2>&1 & pids="$pids $!"
	sleep 1
	http_url="http://127.0.0.1:${BENCH_PORT:-18089}/"
	url=$http_url
	sql "INSERT INTO o2c.channel (company_id, code, kind, url) VALUES (1, 'http', 'sms', '$url')"
	floor=$("$bin/floor" http "$url" "$n" 64)
	ours=$(run http)
	http=$ours
	echo "RATIO|http, $n messages, 64 connections|$ours|$floor|bare libcurl multi, C loop"
fi

"$bin/floor" sink >"$bin/port" & pids="$pids $!"
while [ ! -s "$bin/port" ]; do sleep 0.1; done
url="smtp://127.0.0.1:$(cat "$bin/port")"
sql "INSERT INTO o2c.channel (company_id, code, kind, url, max_concurrency, settings) VALUES (1, 'smtp', 'email', '$url', 16, '{\"from\": \"billing@example.com\"}')"
floor=$("$bin/floor" smtp "$url" "$n" 16)
ours=$(run smtp)
echo "RATIO|smtp, $n messages, 16 connections|$ours|$floor|bare libcurl multi, C loop"

# the same messages before others that are not due yet
sql "SELECT o2c.pause_dispatch()" >/dev/null
sql "INSERT INTO o2c.channel (company_id, code, kind, url, enabled) SELECT 1, 'deep' || g, 'email', '$url', false FROM generate_series(1, 3) g"
sql "INSERT INTO o2c.message (company_id, channel, recipient, subject, body_text, next_attempt_at)
	 SELECT 1, 'smtp', 'customer@example.com', 'Reminder', 'Please pay.', now() + interval '1 day' FROM generate_series(1, $depth)"
behind=$(run smtp)
echo "RATIO|smtp, $n messages before $depth that wait|$behind|$ours|the same with an empty queue"

# what a claim reads, of queues of three depths
i=0
for d in $((depth / 100)) $((depth / 10)) $depth
do
	i=$((i + 1))
	sql "INSERT INTO o2c.message (company_id, channel, recipient, body_text)
		 SELECT 1, 'deep$i', 'customer@example.com', 'Please pay.' FROM generate_series(1, $d)"
	sql "VACUUM ANALYZE o2c.message, o2c.message_queue"
	read=$(buffers "deep$i")
	[ "$i" -gt 1 ] || { shallow=$read; shallow_depth=$d; }
	echo "RATIO|buffers that a claim of 500 reads, $d waiting|$read|$shallow|of $shallow_depth waiting"
done
sql "ALTER SYSTEM SET order2cash.databases = '$old'"; sql "SELECT pg_reload_conf()" >/dev/null
sql "SELECT o2c.pause_dispatch()" >/dev/null
sleep 1

# pg_net, whose worker serves the database postgres
net() { psql -XAtqd postgres -v ON_ERROR_STOP=1 -c "$1"; }

# preload LIST: restart the server with these libraries; an empty list: its own
preload()
{
	if [ -n "$1" ]
	then sql "ALTER SYSTEM SET shared_preload_libraries = $1"
	else sql "ALTER SYSTEM RESET shared_preload_libraries"
	fi
	pg_ctl -D "$data" -l "$(dirname "$data")/server.log" -m fast -w -t 60 restart >/dev/null
}

# theirs MESSAGES BATCH: milliseconds from the commit that queued them to the last one's response
theirs()
{
	if [ "$2" = default ]
	then net "ALTER SYSTEM RESET pg_net.batch_size"
	else net "ALTER SYSTEM SET pg_net.batch_size = $2"
	fi
	net "SELECT pg_reload_conf()" >/dev/null
	net "TRUNCATE net._http_response"
	sleep 2
	start=$(psql -XAtqd postgres -v ON_ERROR_STOP=1 <<SQL
BEGIN;
SELECT count(net.http_post('$http_url', jsonb_build_object('id', g, 'key', gen_random_uuid(), 'to', '0170',
	'text', 'Please pay invoice 4711 of 119.00 EUR.'))) FROM generate_series(1, $1) g \\gset
SELECT extract(epoch FROM clock_timestamp());
COMMIT;
SQL
	)
	while [ "$(net "SELECT EXISTS (SELECT FROM net.http_request_queue)")" = t ]; do sleep 0.02; done
	took=$(net "SELECT round(1000 * (extract(epoch FROM clock_timestamp()) - $start), 1)")
	good=$(net "SELECT count(*) FROM net._http_response WHERE status_code = 200")
	[ "$good" = "$1" ] || echo "pg_net, batch $2: only $good of $1 requests were answered" >&2
	echo "$took"
}

# per_thousand MILLISECONDS MESSAGES
per_thousand() { awk "BEGIN { printf \"%.2f\", 1000 * $1 / $2 }"; }

data=$(sql "SHOW data_directory")
if [ -z "${http_url:-}" ]
then echo "SKIP pg_net: no nginx"
elif [ "$(sql "SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_net'")" = 0 ]
then echo "SKIP pg_net: not installed"
elif [ ! -w "$data/postgresql.conf" ] || ! command -v pg_ctl >/dev/null 2>&1
then echo "SKIP pg_net: the server cannot be restarted from here"
else
	preload "$(sql "SHOW shared_preload_libraries" | tr -d ' '), pg_net"
	net "CREATE EXTENSION pg_net" 2>/dev/null
	few=$((n / 10))
	batch=${BENCH_NET_BATCH:-2000}
	took=$(theirs "$few" default)
	echo "RATIO|http, a thousand messages|$(per_thousand "$http" "$n")|$(per_thousand "$took" "$few")|pg_net at its defaults, $few messages"
	took=$(theirs "$n" "$batch")
	echo "RATIO|http, a thousand messages|$(per_thousand "$http" "$n")|$(per_thousand "$took" "$n")|pg_net, batches of $batch, $n messages"
	net "DROP EXTENSION pg_net"
	net "ALTER SYSTEM RESET pg_net.batch_size"
	preload ""
fi
