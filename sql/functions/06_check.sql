-- check(): every violated invariant as a row.  A domain contributes a function
-- _check_<domain>(company_id) with the same columns.

CREATE FUNCTION o2c._run_checks(company integer)
RETURNS TABLE (invariant text, company_id integer, entity text, entity_id bigint, detail text)
LANGUAGE plpgsql STABLE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
DECLARE
  f text;
BEGIN
  IF o2c._installed_version() IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'O2001',
      MESSAGE = 'order2cash is not installed in this database',
      HINT = 'Call o2c.install() first.';
  END IF;
  FOR f IN SELECT p.proname FROM pg_catalog.pg_proc p
           WHERE p.pronamespace = 'o2c'::pg_catalog.regnamespace AND p.proname LIKE E'\\_check\\_%'
             AND p.proretset AND p.proargtypes[0] = 'integer'::pg_catalog.regtype AND p.pronargs = 1
           ORDER BY p.proname
  LOOP
    RETURN QUERY EXECUTE pg_catalog.format('SELECT * FROM o2c.%I($1)', f) USING company;
  END LOOP;
END $$;
COMMENT ON FUNCTION o2c._run_checks(integer) IS
  'Rows of every function _check_<domain>(company_id), for one company or all.';

-- SQL, not PL/pgSQL: the argument and a result column share the name company_id.
CREATE FUNCTION o2c.check(company_id integer DEFAULT NULL)
RETURNS TABLE (invariant text, company_id integer, entity text, entity_id bigint, detail text)
LANGUAGE sql STABLE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$ SELECT * FROM o2c._run_checks($1) $$;
COMMENT ON FUNCTION o2c.check(integer) IS
  'Every violated invariant of one company, or of all when NULL; no row means healthy. Errors: O2001 before install().';
