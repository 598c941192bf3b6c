#!/bin/sh
# Assembles the extension script: types, then functions, then one function that
# holds, as text, what install() executes (tables, seeds) and replays (views).
#
# usage: assemble.sh functions FILE... tables FILE... seeds FILE... views FILE...
set -eu

step=0
part=

# One row of o2c._install_steps(): (step, part, name, script).
emit_step()
{
	step=$((step + 1))
	[ "$step" -eq 1 ] || printf ',\n'
	printf "(%d, '%s', '%s', \$o2c_step\$" "$step" "$part" "$(basename "$1" .sql)"
	cat "$1"
	printf '$o2c_step$)'
}

cat sql/00_header.sql sql/01_types.sql sql/02_states.sql

in_steps=
for word in "$@"
do
	case $word in
		functions)
			part=functions ;;
		tables|seeds|views)
			if [ -z "$in_steps" ]
			then
				in_steps=yes
				cat <<'SQL'
CREATE FUNCTION o2c._install_steps()
RETURNS TABLE (step integer, part text, name text, script text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $o2c_steps$
VALUES
SQL
			fi
			part=$word ;;
		*)
			if [ "$part" = functions ]
			then
				cat "$word"
			else
				emit_step "$word"
			fi ;;
	esac
done

cat <<'SQL'

$o2c_steps$;
COMMENT ON FUNCTION o2c._install_steps() IS
  'The scripts that install() executes and migrate() replays, in order.';
SQL
cat sql/99_footer.sql
