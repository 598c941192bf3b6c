-- Roles are shared by the whole cluster: install() takes those that exist.
DO $do$
DECLARE
  r text;
  missing text[] := '{}';
BEGIN
  FOREACH r IN ARRAY ARRAY['o2c_reader', 'o2c_clerk', 'o2c_collector', 'o2c_manager',
                           'o2c_admin', 'o2c_dispatcher']
  LOOP
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = r) THEN
      missing := missing || r;
    END IF;
  END LOOP;
  IF missing <> '{}' AND NOT (SELECT rolcreaterole OR rolsuper FROM pg_catalog.pg_roles
                              WHERE rolname = current_user) THEN
    RAISE EXCEPTION USING ERRCODE = 'O2008',
      MESSAGE = 'roles of order2cash are missing and you may not create them',
      DETAIL = pg_catalog.format('Missing: %s.', pg_catalog.array_to_string(missing, ', ')),
      HINT = pg_catalog.format('Let a superuser run: %s; then call o2c.install() again.',
               (SELECT pg_catalog.string_agg('CREATE ROLE ' || m || ' NOLOGIN', '; ')
                FROM pg_catalog.unnest(missing) m));
  END IF;
  FOREACH r IN ARRAY missing LOOP
    EXECUTE pg_catalog.format('CREATE ROLE %I NOLOGIN', r);
  END LOOP;
END
$do$;

CREATE SCHEMA IF NOT EXISTS o2c_bi;
COMMENT ON SCHEMA o2c_bi IS 'order2cash: views for reporting, with plain column types';

-- What install() and migrate() did: the version of the tables.
CREATE TABLE o2c.installation (
  singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
  tables_version text NOT NULL,
  installed_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
  migrated_at timestamptz
);
COMMENT ON TABLE o2c.installation IS 'One row: the version that the tables have.';
