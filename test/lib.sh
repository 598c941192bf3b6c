# test/lib.sh: what the command scripts (deps, check, demo, bench) share:
# where PostgreSQL is, who runs the private server, and in which folder.
#
# Sourced by the scripts beside it, which run under sh.  PG_CONFIG chooses the
# installation; TEST_USER (default postgres) runs the server when we are root,
# because a server refuses to.
set -eu
umask 022

ROOT=$(cd "$(dirname "$0")/.." && pwd -P)
cd /   # the server's user may not be able to stand where we were called
PG_CONFIG=${PG_CONFIG:-pg_config}
MAKE=${MAKE:-make}
unset PGDATABASE PGUSER PGPORT PGHOST PGOPTIONS PGSERVICE PGPASSWORD 2>/dev/null || true
unset MAKEFLAGS MAKELEVEL MFLAGS 2>/dev/null || true

say() { printf '%s\n' "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# Run a command as root: directly, or through sudo.
as_root()
{
	if [ "$(id -u)" -eq 0 ]; then "$@"
	elif command -v sudo >/dev/null 2>&1; then sudo "$@"
	else die "need root or sudo for: $*"
	fi
}

# Set BINDIR, SHAREDIR, PKGLIBDIR, PGXS_DIR and PGMAJOR from PG_CONFIG.
find_postgres()
{
	BINDIR=$("$PG_CONFIG" --bindir) || die "PG_CONFIG=$PG_CONFIG does not run"
	SHAREDIR=$("$PG_CONFIG" --sharedir)
	PKGLIBDIR=$("$PG_CONFIG" --pkglibdir)
	PGXS_DIR=$(dirname "$(dirname "$("$PG_CONFIG" --pgxs)")")
	PGMAJOR=$("$PG_CONFIG" --version | sed 's/^PostgreSQL \([0-9]*\).*/\1/')
}

# Set SERVER_USER: whoever may run a server.
find_user()
{
	if [ "$(id -u)" -eq 0 ]
	then
		SERVER_USER=${TEST_USER:-postgres}
		id "$SERVER_USER" >/dev/null 2>&1 || die "no user \"$SERVER_USER\" to run the server as; set TEST_USER"
	else
		SERVER_USER=$(id -un)
	fi
}

# Run a command as the server's user in a clean environment; words of the
# form NAME=value before the command are added to it.
as_user()
{
	if [ "$(id -u)" -eq 0 ]
	then set -- runuser -u "$SERVER_USER" -- env -i "$@"
	else set -- env -i "$@"
	fi
	"$@" 9>&-    # the lock of check.sh is not for servers that outlive it
}

# The environment that as_user gets in every script.
user_env()
{
	printf '%s\n' "PATH=$BINDIR:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin" \
		"HOME=$1" "LANG=C.UTF-8" "TZ=UTC" "PG_CONFIG=$PG_CONFIG" "USER=$SERVER_USER"
}

# make_room NAME: set ROOM to an empty folder that SERVER_USER owns and may
# reach: build/NAME of the checkout, or one under /var/tmp when it may not enter
# the checkout.  What a crashed former run left there is stopped and removed.
make_room()
{
	mkdir -p "$ROOT/build"
	clear_room "$1"
	ROOM=$ROOT/build/$1
	mkdir "$ROOM"
	if [ "$(id -u)" -eq 0 ]
	then
		chown "$SERVER_USER" "$ROOM" 2>/dev/null || true
		if ! as_user PATH=/usr/bin:/bin sh -c 'cd "$1" && : >.probe && rm .probe' sh "$ROOM" 2>/dev/null
		then
			say "# $SERVER_USER may not enter $ROOT: using a folder under /var/tmp"
			rmdir "$ROOM"
			ROOM=$(mktemp -d "/var/tmp/order2cash-$1.XXXXXX")
			chown "$SERVER_USER" "$ROOM"
		fi
	fi
	chmod 755 "$ROOM"
	say "$ROOM" > "$ROOT/build/$1.room"
}

# Stop the server of room NAME when it runs, and remove the room.
clear_room()
{
	[ -f "$ROOT/build/$1.room" ] || { rm -rf "${ROOT:?}/build/$1"; return 0; }
	former=$(cat "$ROOT/build/$1.room")
	case $former in
		"$ROOT/build/$1"|/var/tmp/order2cash-"$1".??????) ;;
		*) die "$ROOT/build/$1.room names a folder that is not ours: $former" ;;
	esac
	stop_runner "$former"
	stop_server "$former"
	rm -rf "$former" "${ROOT:?}/build/$1" "$ROOT/build/$1.room"
}

# End the test runner of a room whose check.sh was killed, and what it runs.
stop_runner()
{
	[ -f "$1/out/runner.pid" ] || return 0
	pid=$(cat "$1/out/runner.pid")
	case $({ tr '\0' ' ' <"/proc/$pid/cmdline"; } 2>/dev/null || true) in
		*"$1/tree/test/layers.pl"*)
			kill "$pid" 2>/dev/null || true
			for _ in 1 2 3 4 5 6 7 8 9 10
			do
				[ -d "/proc/$pid" ] || break
				sleep 0.5
			done ;;
	esac
}

# Stop the servers whose data directories lie in a room: its own, and those of
# tests that were killed.  A process counts only if it stands in that directory.
stop_server()
{
	for pid_file in $(find "$1" -name postmaster.pid 2>/dev/null)
	do
		data=$(dirname "$pid_file")
		pid=$(head -n 1 "$pid_file")
		[ "$(readlink "/proc/$pid/cwd" 2>/dev/null || true)" = "$data" ] || continue
		as_user "PATH=$BINDIR:/usr/bin:/bin" pg_ctl -D "$data" -m fast -w -t 60 stop >/dev/null 2>&1 ||
			as_user "PATH=$BINDIR:/usr/bin:/bin" pg_ctl -D "$data" -m immediate -w stop >/dev/null 2>&1 || true
	done
	if [ -f "$1/socket_dir" ]
	then
		socket=$(cat "$1/socket_dir")
		case $socket in
			/tmp/o2c.??????) rm -rf "$socket" ;;
		esac
	fi
}

# start_server [LINE...]: a fresh private server in ROOM: reached through a
# socket that only SERVER_USER and root may open, listening on no network.
# Arguments are further lines for postgresql.conf.  Sets PGHOST and PGPORT.
start_server()
{
	socket=$ROOM/socket
	if [ ${#socket} -gt 80 ]
	then
		socket=$(as_user PATH=/usr/bin:/bin mktemp -d /tmp/o2c.XXXXXX)
	else
		as_user PATH=/usr/bin:/bin mkdir -m 700 "$socket"
	fi
	printf '%s\n' "$socket" > "$ROOM/socket_dir"
	PGHOST=$socket
	PGPORT=$(perl -MIO::Socket::INET -e 'print IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1")->sockport')

	preload=
	for library in pg_cron order2cash
	do
		[ -f "$PKGLIBDIR/$library.so" ] && preload=${preload:+$preload,}$library
	done

	as_user "PATH=$BINDIR:/usr/bin:/bin" initdb -D "$ROOM/data" -U postgres -A trust \
		--locale=C.UTF-8 -E UTF8 --no-sync >"$ROOM/initdb.log" 2>&1 ||
		{ cat "$ROOM/initdb.log"; die "initdb failed"; }
	{
		printf '%s\n' "listen_addresses = ''" "port = $PGPORT" \
			"unix_socket_directories = '$socket'" \
			"shared_preload_libraries = '$preload'" \
			"max_connections = 80" "max_worker_processes = 24" \
			"max_prepared_transactions = 4" "shared_buffers = 128MB" \
			"timezone = 'UTC'" "log_timezone = 'UTC'" "lc_messages = 'C'" \
			"jit = off" "log_line_prefix = '%m [%p] %d %a '"
		case $preload in
			*pg_cron*) printf '%s\n' "cron.database_name = 'postgres'" "cron.use_background_workers = on" ;;
		esac
		[ $# -eq 0 ] || printf '%s\n' "$@"
	} | as_user PATH=/usr/bin:/bin sh -c 'cat >> "$1"' sh "$ROOM/data/postgresql.conf"
	as_user $(user_env "$ROOM") pg_ctl -D "$ROOM/data" -l "$ROOM/server.log" -w -t 60 start >/dev/null ||
		{ tail -n 30 "$ROOM/server.log"; die "the private server did not start"; }
}

# Build, and install into PG_CONFIG's installation unless it is there already.
build_and_install()
{
	mkdir -p "$ROOT/build"
	say "# building with $("$PG_CONFIG" --version)"
	"$MAKE" -C "$ROOT" "PG_CONFIG=$PG_CONFIG" >"$ROOT/build/build.log" 2>&1 ||
		{ tail -n 40 "$ROOT/build/build.log"; die "the build failed"; }
	if [ -w "$PKGLIBDIR" ] && [ -w "$SHAREDIR/extension" ]
	then "$MAKE" -C "$ROOT" "PG_CONFIG=$PG_CONFIG" install >>"$ROOT/build/build.log" 2>&1 ||
		{ tail -n 40 "$ROOT/build/build.log"; die "the installation failed"; }
	else as_root "$MAKE" -C "$ROOT" "PG_CONFIG=$PG_CONFIG" install >>"$ROOT/build/build.log" 2>&1 ||
		{ tail -n 40 "$ROOT/build/build.log"; die "the installation failed"; }
	fi
}

# Copy what tests read into ROOM/tree, as SERVER_USER's own, and set TREE and
# SHARED (public data beside the checkout, or empty when there is none).
stage_tree()
{
	TREE=$ROOM/tree
	as_user PATH=/usr/bin:/bin mkdir "$TREE"
	( cd "$ROOT" && tar -cf - --exclude=./.git --exclude=./build --exclude='*.o' \
		--exclude='*.bc' --exclude='*.so' . ) |
		as_user PATH=/usr/bin:/bin tar -C "$TREE" -xf - --no-same-owner
	SHARED=$(cd "$ROOT/.." && pwd -P)/shared
	if [ ! -d "$SHARED/data" ]
	then SHARED=
	elif ! as_user PATH=/usr/bin:/bin test -r "$SHARED/data/README.md"
	then
		as_user PATH=/usr/bin:/bin mkdir "$ROOM/shared"
		( cd "$SHARED" && tar -cf - data ) |
			as_user PATH=/usr/bin:/bin tar -C "$ROOM/shared" -xf - --no-same-owner
		SHARED=$ROOM/shared
	fi
}
