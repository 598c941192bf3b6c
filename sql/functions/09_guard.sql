-- Whether everything that guards the rows is there and switched on.

CREATE FUNCTION o2c._check_guard(company integer)
RETURNS TABLE (invariant text, company_id integer, entity text, entity_id bigint, detail text)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  -- gone, or of the same name and something else
  RETURN QUERY
    SELECT 'guards_enabled', NULL::integer, 'table', NULL::bigint,
           pg_catalog.format('%s %s of o2c.%s is %s', g.kind, g.name, g.relation, CASE WHEN x.detail IS NULL THEN 'missing' ELSE 'another one' END)
    FROM o2c.guard g
    LEFT JOIN (
      SELECT c.relname::text AS relname, 'trigger' AS kind, t.tgname::text AS name, pg_catalog.format('%s %s %s', p.proname, t.tgtype, l.lanname) AS detail
      FROM pg_catalog.pg_trigger t
      JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid AND c.relnamespace = 'o2c'::pg_catalog.regnamespace
      JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid AND p.pronamespace = 'o2c'::pg_catalog.regnamespace
      JOIN pg_catalog.pg_language l ON l.oid = p.prolang
      WHERE NOT t.tgisinternal
      UNION ALL
      SELECT c.relname::text, 'constraint', k.conname::text, k.contype::text
      FROM pg_catalog.pg_constraint k
      JOIN pg_catalog.pg_class c ON c.oid = k.conrelid AND c.relnamespace = 'o2c'::pg_catalog.regnamespace
      UNION ALL
      SELECT c.relname::text, 'index', n.relname::text, ''
      FROM pg_catalog.pg_index i
      JOIN pg_catalog.pg_class c ON c.oid = i.indrelid AND c.relnamespace = 'o2c'::pg_catalog.regnamespace
      JOIN pg_catalog.pg_class n ON n.oid = i.indexrelid
      WHERE i.indisunique AND i.indisvalid) x ON x.relname = g.relation AND x.kind = g.kind AND x.name = g.name
    WHERE x.detail IS DISTINCT FROM g.detail;
  -- there, and not at work: those of foreign keys are internal triggers
  RETURN QUERY
    SELECT 'guards_enabled', NULL::integer, 'table', NULL::bigint,
           pg_catalog.format('trigger %s of o2c.%s is disabled', t.tgname, c.relname)
    FROM pg_catalog.pg_trigger t
    JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid AND c.relnamespace = 'o2c'::pg_catalog.regnamespace
    WHERE t.tgenabled NOT IN ('O', 'A')
      AND (t.tgisinternal OR EXISTS (SELECT FROM o2c.guard g WHERE g.relation = c.relname AND g.kind = 'trigger' AND g.name = t.tgname));
  RETURN QUERY
    SELECT 'guards_enabled', NULL::integer, 'table', NULL::bigint,
           pg_catalog.format('constraint %s of o2c.%s is not validated', k.conname, c.relname)
    FROM pg_catalog.pg_constraint k
    JOIN pg_catalog.pg_class c ON c.oid = k.conrelid AND c.relnamespace = 'o2c'::pg_catalog.regnamespace
    JOIN o2c.guard g ON g.relation = c.relname AND g.kind = 'constraint' AND g.name = k.conname
    WHERE NOT k.convalidated;
  RETURN QUERY
    SELECT 'guards_enabled', NULL::integer, 'table', NULL::bigint,
           pg_catalog.format('row-level security of o2c.%s is off', c.relname)
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attname = 'company_id'
    WHERE c.relnamespace = 'o2c'::pg_catalog.regnamespace AND c.relkind = 'r' AND NOT (c.relrowsecurity AND c.relforcerowsecurity)
      AND c.relname IN (SELECT g.relation FROM o2c.guard g);
  -- ways around: a rule rewrites statements before any trigger; rows of a child
  -- are seen and not guarded; written through a parent, statement triggers are silent
  RETURN QUERY
    SELECT 'guards_enabled', NULL::integer, 'table', NULL::bigint,
           pg_catalog.format('rule %s of o2c.%s rewrites its statements', r.rulename, c.relname)
    FROM pg_catalog.pg_rewrite r
    JOIN pg_catalog.pg_class c ON c.oid = r.ev_class AND c.relnamespace = 'o2c'::pg_catalog.regnamespace
    WHERE c.relname IN (SELECT g.relation FROM o2c.guard g);
  RETURN QUERY
    SELECT 'guards_enabled', NULL::integer, 'table', NULL::bigint,
           pg_catalog.format('table %s inherits from %s', i.inhrelid::pg_catalog.regclass, i.inhparent::pg_catalog.regclass)
    FROM pg_catalog.pg_inherits i
    JOIN pg_catalog.pg_class c ON c.oid IN (i.inhrelid, i.inhparent) AND c.relnamespace = 'o2c'::pg_catalog.regnamespace
    WHERE c.relname IN (SELECT g.relation FROM o2c.guard g);
  RETURN QUERY
    SELECT 'guards_enabled', NULL::integer, 'database', NULL::bigint,
           pg_catalog.format('%s is set for %s', s.setting, coalesce('role ' || r.rolname, 'the database'))
    FROM (SELECT d.setdatabase, d.setrole, pg_catalog.unnest(d.setconfig) AS setting FROM pg_catalog.pg_db_role_setting d) s
    LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole
    WHERE s.setdatabase IN (0, (SELECT b.oid FROM pg_catalog.pg_database b WHERE b.datname = pg_catalog.current_database()))
      AND s.setting ~* '^session_replication_role=replica';
END $$;
COMMENT ON FUNCTION o2c._check_guard(integer) IS
  'Triggers, constraints and unique indexes that are missing, replaced, disabled or not validated, tables without row-level security, and ways around triggers: rules, inheritance, session_replication_role. The same for every company.';
