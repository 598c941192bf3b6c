#!/bin/sh
# make docs: write docs/reference/functions.md from the functions' own comments.
. "$(dirname "$0")/lib.sh"

sh "$ROOT/test/deps.sh"
find_postgres
find_user
build_and_install
make_room docs
trap 'status=$?; trap - EXIT; clear_room docs; exit $status' EXIT
trap 'exit 130' INT TERM
start_server "fsync = off"
client() { as_user $(user_env "$ROOM") "PGHOST=$PGHOST" "PGPORT=$PGPORT" PGUSER=postgres PGDATABASE=docs "$@"; }
client psql -Xqd postgres -c "CREATE DATABASE docs"
client psql -Xqo /dev/null -v ON_ERROR_STOP=1 -c "SET client_min_messages = warning" -c "CREATE EXTENSION order2cash" -c "SELECT o2c.install()"
client psql -XAtq -v ON_ERROR_STOP=1 >"$ROOT/build/functions.md" <<'SQL'
SELECT '# Functions, views and tables

Written by `make docs` from the comments of the objects themselves. Roles that may call a function are in brackets.
Arguments in `[ ]` have defaults.

## Functions
';
SELECT format(E'**`%s(%s)`** → `%s`%s\n%s\n', p.proname,
    (SELECT coalesce(string_agg(CASE WHEN n > p.pronargs - p.pronargdefaults THEN format('[%s %s]', a.name, a.type) ELSE format('%s %s', a.name, a.type) END, ', ' ORDER BY n), '')
     FROM (SELECT row_number() OVER (ORDER BY x.o) AS n, coalesce(nullif(x.name, ''), '$' || x.o) AS name, format_type(x.type, NULL) AS type
           FROM unnest(coalesce(p.proallargtypes, p.proargtypes::oid[]), coalesce(p.proargnames, '{}'), coalesce(p.proargmodes, '{}')) WITH ORDINALITY x(type, name, mode, o)
           WHERE x.type IS NOT NULL AND coalesce(x.mode, 'i') IN ('i', 'b', 'v')) a),
    pg_get_function_result(p.oid),
    coalesce(' [' || (SELECT string_agg(substr(r.rolname, 5), ', ' ORDER BY r.rolname) FROM pg_roles r
      WHERE r.rolname LIKE 'o2c\_%' AND has_function_privilege(r.oid, p.oid, 'EXECUTE')) || ']', ''),
    obj_description(p.oid, 'pg_proc'))
FROM pg_proc p
WHERE p.pronamespace = 'o2c'::regnamespace AND p.proname !~ '^_' AND p.prorettype <> 'trigger'::regtype
  AND NOT EXISTS (SELECT FROM pg_operator o WHERE o.oprcode = p.oid)
  AND NOT EXISTS (SELECT FROM pg_type t WHERE p.oid IN (t.typinput, t.typoutput, t.typreceive, t.typsend))
  AND NOT EXISTS (SELECT FROM pg_amproc a WHERE a.amproc = p.oid)
  AND NOT EXISTS (SELECT FROM pg_cast k WHERE k.castfunc = p.oid)
ORDER BY p.proname, p.oid::regprocedure::text;
SELECT E'## Views of o2c_bi\n\n| view | what | columns |\n|---|---|---|';
SELECT format('| `%s` | %s | %s |', c.relname, replace(obj_description(c.oid, 'pg_class'), '|', '\|'),
    (SELECT string_agg(a.attname, ', ' ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0))
FROM pg_class c WHERE c.relnamespace = 'o2c_bi'::regnamespace AND c.relkind = 'v' ORDER BY c.relname;
SELECT E'\n## Tables\n\n| table | what |\n|---|---|';
SELECT format('| `%s` | %s |', c.relname, replace(obj_description(c.oid, 'pg_class'), '|', '\|'))
FROM pg_class c WHERE c.relnamespace = 'o2c'::regnamespace AND c.relkind IN ('r', 'p') ORDER BY c.relname;
SQL
cat "$ROOT/build/functions.md" >"$ROOT/docs/reference/functions.md"
say "wrote docs/reference/functions.md: $(grep -c '^\*\*`' "$ROOT/docs/reference/functions.md") functions"
