-- Who may use the types: every role of order2cash.  The functions of 01_types
-- compute on their arguments alone, and CHECK constraints call them as whoever
-- writes the row.
DO $do$
DECLARE
  f regprocedure;
BEGIN
  FOR f IN SELECT p.oid::pg_catalog.regprocedure
           FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_depend d
             ON d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid AND d.deptype = 'e'
           JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid AND e.extname = 'order2cash'
           JOIN pg_catalog.pg_language l ON l.oid = p.prolang AND l.lanname IN ('c', 'internal')
           WHERE p.provolatile = 'i' AND p.pronamespace = 'o2c'::pg_catalog.regnamespace
  LOOP
    EXECUTE pg_catalog.format('GRANT EXECUTE ON ROUTINE %s TO o2c_reader, o2c_clerk, o2c_collector, o2c_manager, o2c_admin, o2c_dispatcher', f);
  END LOOP;
END
$do$;
