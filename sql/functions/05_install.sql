-- install(), migrate(), uninstall(), version(): how ordinary tables come and go.
--
-- The extension owns code; install() creates tables, triggers, views and roles
-- as ordinary objects of the caller, so that dump, restore and upgrade treat
-- them like any table.

CREATE FUNCTION o2c._library_version() RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'o2c_library_version';
COMMENT ON FUNCTION o2c._library_version() IS 'Version of the loaded shared library.';

CREATE FUNCTION o2c._extension_version() RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$ SELECT e.extversion FROM pg_catalog.pg_extension e WHERE e.extname = 'order2cash' $$;
COMMENT ON FUNCTION o2c._extension_version() IS 'Version of the extension''s SQL objects.';

CREATE FUNCTION o2c._installed_version() RETURNS text
LANGUAGE plpgsql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, o2c, pg_temp
AS $$
BEGIN
  IF pg_catalog.to_regclass('o2c.installation') IS NULL THEN
    RETURN NULL;
  END IF;
  RETURN (SELECT i.tables_version FROM o2c.installation i);
END $$;
COMMENT ON FUNCTION o2c._installed_version() IS 'Version of the tables, NULL before install().';

CREATE FUNCTION o2c._run_steps(parts text[]) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
SET standard_conforming_strings = on
SET client_min_messages = warning
AS $$
DECLARE
  s record;
  state text;
  message text;
  detail text;
  hint text;
BEGIN
  -- a script is a whole file of the extension, never input
  FOR s IN SELECT t.part, t.name, t.script FROM o2c._install_steps() t
           WHERE t.part = ANY (parts) ORDER BY t.step
  LOOP
    EXECUTE s.script;
  END LOOP;
EXCEPTION WHEN OTHERS THEN
  -- again without the context, which would show the whole script
  GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
    detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
  RAISE EXCEPTION USING ERRCODE = state, MESSAGE = message, HINT = hint,
    DETAIL = pg_catalog.concat_ws(' ', nullif(detail, ''), pg_catalog.format('In %s/%s.', s.part, s.name));
END $$;
COMMENT ON FUNCTION o2c._run_steps(text[]) IS 'Execute the install steps of these parts, in order.';

CREATE FUNCTION o2c._one_at_a_time() RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$ SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('order2cash.install', 0)) $$;
COMMENT ON FUNCTION o2c._one_at_a_time() IS
  'What install(), migrate() and uninstall() begin with: the second waits for the first to commit and finds what it made.';

CREATE FUNCTION o2c._installed_relations(kind text) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  -- only what install() names: a user's own table in the schema is none of ours
  SELECT pg_catalog.string_agg(r.name, ', ') FROM (
    SELECT pg_catalog.format('o2c_bi.%I', m[1]) AS name
    FROM o2c._install_steps() s,
         pg_catalog.regexp_matches(s.script, E'CREATE OR REPLACE VIEW o2c_bi\\.(\\w+)', 'g') m
    WHERE $1 = 'view' AND s.part = 'views'
    UNION ALL
    SELECT pg_catalog.format('o2c.%I', m[1])
    FROM o2c._install_steps() s,
         pg_catalog.regexp_matches(s.script, E'CREATE (?:UNLOGGED )?TABLE (?:IF NOT EXISTS )?o2c\\.(\\w+)', 'g') m
    WHERE $1 = 'table' AND s.part IN ('tables', 'migrations')) r
  WHERE pg_catalog.to_regclass(r.name) IS NOT NULL
$$;
COMMENT ON FUNCTION o2c._installed_relations(text) IS
  'The tables or views (kind) that install() made and that are still there, as a list for a statement.';

CREATE FUNCTION o2c._lock_all() RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
DECLARE
  relations text := pg_catalog.concat_ws(', ', o2c._installed_relations('table'), o2c._installed_relations('view'));
BEGIN
  FOR try IN 1 .. 500 LOOP
    BEGIN
      -- nearly everybody begins with the company: who has it is waited for with
      -- empty hands, who comes later waits; who has another table and waits for
      -- the company goes on before the next try
      LOCK TABLE o2c.company IN ACCESS EXCLUSIVE MODE;
      EXECUTE 'LOCK TABLE ' || relations || ' IN ACCESS EXCLUSIVE MODE NOWAIT';
      RETURN;
    EXCEPTION WHEN lock_not_available THEN
      PERFORM pg_catalog.pg_sleep(0.02 + 0.08 * pg_catalog.random());
    END;
  END LOOP;
  RAISE EXCEPTION USING ERRCODE = '55P03', MESSAGE = 'the tables of order2cash are in use',
    HINT = 'Try again when long transactions have ended; pg_locks shows who holds them.';
END $$;
COMMENT ON FUNCTION o2c._lock_all() IS
  'Lock every table and view of order2cash at once or none, so that nobody who is at work meets a deadlock. Errors: 55P03 when they are in use for more than half a minute.';

CREATE FUNCTION o2c._create_roles() RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
DECLARE
  r text;
  missing text[];
BEGIN
  SELECT pg_catalog.array_agg(u) INTO missing
  FROM pg_catalog.unnest('{o2c_reader,o2c_clerk,o2c_collector,o2c_manager,o2c_admin,o2c_dispatcher}'::text[]) u
  WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles p WHERE p.rolname = u);
  IF missing IS NULL THEN
    RETURN;
  END IF;
  IF NOT (SELECT p.rolcreaterole OR p.rolsuper FROM pg_catalog.pg_roles p WHERE p.rolname = current_user) THEN
    RAISE EXCEPTION USING ERRCODE = 'O2008',
      MESSAGE = 'roles of order2cash are missing and you may not create them',
      DETAIL = pg_catalog.format('Missing: %s.', pg_catalog.array_to_string(missing, ', ')),
      HINT = pg_catalog.format('Let a superuser run: %s; then call o2c.install() again.',
               (SELECT pg_catalog.string_agg('CREATE ROLE ' || m || ' NOLOGIN', '; ')
                FROM pg_catalog.unnest(missing) m));
  END IF;
  FOREACH r IN ARRAY missing LOOP
    BEGIN
      EXECUTE pg_catalog.format('CREATE ROLE %I NOLOGIN', r);
    EXCEPTION WHEN duplicate_object OR unique_violation THEN
      NULL;  -- an install in another database was faster
    END;
  END LOOP;
END $$;
COMMENT ON FUNCTION o2c._create_roles() IS
  'Create the o2c_ roles that the cluster lacks. Errors: O2008 when the caller may not.';

CREATE FUNCTION o2c.install() RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
DECLARE
  present text;
  extension text := o2c._extension_version();
BEGIN
  PERFORM o2c._one_at_a_time();
  present := o2c._installed_version();
  IF present IS NOT NULL THEN
    RETURN pg_catalog.format('already installed, tables version %s', present);
  END IF;
  IF NOT pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE')
     OR NOT pg_catalog.has_schema_privilege('o2c', 'CREATE') THEN
    RAISE EXCEPTION USING ERRCODE = 'O2008',
      MESSAGE = 'you may not install order2cash in this database',
      DETAIL = 'install() creates tables in schema o2c and the schema o2c_bi.',
      HINT = 'Call it as the owner of the database or as a superuser.';
  END IF;
  PERFORM o2c._create_roles();
  PERFORM o2c._run_steps('{tables,seeds}');
  INSERT INTO o2c.installation (tables_version) VALUES (extension);
  PERFORM o2c._run_steps('{views}');
  RETURN pg_catalog.format('installed, tables version %s', extension);
END $$;
COMMENT ON FUNCTION o2c.install() IS
  'Create the tables, triggers, views and roles of order2cash; again: does nothing. Errors: O2008 when the caller may not.';

CREATE FUNCTION o2c.migrate() RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
SET standard_conforming_strings = on
AS $$
DECLARE
  present text;
  target text := o2c._extension_version();
  step record;
BEGIN
  PERFORM o2c._one_at_a_time();
  present := o2c._installed_version();
  IF present IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'O2001',
      MESSAGE = 'order2cash is not installed in this database',
      HINT = 'Call o2c.install() first.';
  END IF;
  PERFORM o2c._lock_all();
  WHILE present <> target LOOP
    SELECT s.script, pg_catalog.split_part(s.name, '--', 2) AS to_version INTO step
    FROM o2c._install_steps() s
    WHERE s.part = 'migrations' AND pg_catalog.split_part(s.name, '--', 1) = present;
    IF NOT FOUND THEN
      RAISE EXCEPTION USING ERRCODE = 'O2001',
        MESSAGE = pg_catalog.format('there is no way from tables version %s to %s', present, target),
        HINT = 'Update the extension with ALTER EXTENSION order2cash UPDATE first.';
    END IF;
    EXECUTE step.script;
    present := step.to_version;
  END LOOP;
  PERFORM o2c._create_roles();
  PERFORM o2c._run_steps('{seeds,views}');
  UPDATE o2c.installation SET tables_version = target, migrated_at = pg_catalog.now();
  RETURN pg_catalog.format('tables version %s', target);
END $$;
COMMENT ON FUNCTION o2c.migrate() IS
  'Bring the tables to the extension''s version and replay views, grants and code lists; idempotent. Who is at work is waited for, who comes meanwhile waits. Errors: O2001, 55P03 (tables in use for long).';

CREATE FUNCTION o2c.uninstall(drop_data boolean DEFAULT false) RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
DECLARE
  companies bigint;
  views text;
  tables text;
BEGIN
  PERFORM o2c._one_at_a_time();
  IF o2c._installed_version() IS NULL THEN
    RETURN 'not installed';
  END IF;
  PERFORM o2c._lock_all();
  -- count what the owner may not see, too; a refusal undoes this
  ALTER TABLE o2c.company NO FORCE ROW LEVEL SECURITY;
  SELECT pg_catalog.count(*) INTO companies FROM o2c.company;
  IF companies > 0 AND NOT drop_data THEN
    RAISE EXCEPTION USING ERRCODE = 'O2007',
      MESSAGE = 'order2cash still holds business rows',
      DETAIL = pg_catalog.format('There are %s companies.', companies),
      HINT = 'Call o2c.uninstall(drop_data => true) to drop them for ever.';
  END IF;
  -- a user's own table in the schema stays, and a user's own view or foreign
  -- key on ours makes the DROP refuse
  views := o2c._installed_relations('view');
  tables := o2c._installed_relations('table');
  IF views IS NOT NULL THEN
    EXECUTE 'DROP VIEW ' || views;
  END IF;
  EXECUTE 'DROP TABLE ' || tables;
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.relnamespace = pg_catalog.to_regnamespace('o2c_bi')) THEN
    DROP SCHEMA o2c_bi;
  END IF;
  RETURN 'uninstalled; the o2c_ roles stay, they belong to the whole cluster';
END $$;
COMMENT ON FUNCTION o2c.uninstall(boolean) IS
  'Drop what install() made. Refuses (O2007) while companies exist, unless drop_data; 55P03 while tables are in use for long.';

CREATE FUNCTION o2c.version()
RETURNS TABLE (library text, extension text, tables text, pg_cron boolean, dispatcher text, warnings text[])
LANGUAGE plpgsql STABLE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
DECLARE
  hook text;
  found text[];
BEGIN
  library := o2c._library_version();
  extension := o2c._extension_version();
  tables := o2c._installed_version();
  pg_cron := EXISTS (SELECT FROM pg_catalog.pg_extension e WHERE e.extname = 'pg_cron');
  dispatcher := 'not installed';
  IF tables IS NOT NULL AND pg_catalog.to_regprocedure('o2c._dispatcher_state()') IS NOT NULL THEN
    EXECUTE 'SELECT o2c._dispatcher_state()' INTO dispatcher;
  END IF;
  warnings := '{}';
  IF library <> extension OR extension <> tables THEN
    warnings := warnings || 'versions differ: run ALTER EXTENSION order2cash UPDATE and o2c.migrate()'::text;
  END IF;
  IF pg_catalog.current_setting('server_version_num')::integer BETWEEN 180000 AND 180001 THEN
    warnings := warnings || 'PostgreSQL 18 before 18.2 may leave out rows for which a statement waited: update it'::text;
  END IF;
  IF tables IS NOT NULL THEN
    -- domains contribute functions named _warnings_<domain>() returning text[]
    FOR hook IN SELECT p.proname FROM pg_catalog.pg_proc p
                WHERE p.pronamespace = 'o2c'::pg_catalog.regnamespace AND p.proname LIKE E'\\_warnings\\_%'
                ORDER BY p.proname
    LOOP
      EXECUTE pg_catalog.format('SELECT o2c.%I()', hook) INTO found;
      warnings := warnings || coalesce(found, '{}');
    END LOOP;
  END IF;
  RETURN NEXT;
END $$;
COMMENT ON FUNCTION o2c.version() IS
  'Versions of library, extension and tables, whether pg_cron is present, the dispatcher''s state and warnings.';

CREATE FUNCTION o2c.distribute() RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
DECLARE
  t text;
BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_extension e WHERE e.extname = 'citus') THEN
    RAISE EXCEPTION USING ERRCODE = 'O2090',
      MESSAGE = 'distribute() needs the Citus extension',
      HINT = 'Add citus to shared_preload_libraries and run CREATE EXTENSION citus; without it nothing has to be distributed.';
  END IF;
  FOR t IN SELECT c.relname FROM pg_catalog.pg_class c
           JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attname = 'company_id'
           WHERE c.relnamespace = 'o2c'::pg_catalog.regnamespace AND c.relkind = 'r'
           ORDER BY (c.relname <> 'company'), c.oid
  LOOP
    EXECUTE pg_catalog.format('SELECT public.create_distributed_table(%L, ''company_id'')', 'o2c.' || t);
  END LOOP;
END $$;
COMMENT ON FUNCTION o2c.distribute() IS
  'Under Citus: distribute every table by company_id. Errors: O2090 without Citus.';
