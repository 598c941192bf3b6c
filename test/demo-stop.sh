#!/bin/sh
# make demo-stop: stop what make demo left running and remove its folder.
# With the argument "peer": only its mail server.
. "$(dirname "$0")/lib.sh"

find_postgres
find_user
[ -f "$ROOT/build/demo.room" ] || exit 0
room=$(cat "$ROOT/build/demo.room")
if [ -f "$room/smtp.pid" ]
then
	pid=$(cat "$room/smtp.pid")
	case $({ tr '\0' ' ' <"/proc/$pid/cmdline"; } 2>/dev/null || true) in
		*"$room"*) kill "$pid" 2>/dev/null || true ;;
	esac
fi
[ "${1:-}" = peer ] || clear_room demo
