-- Primary keys are made again, after every other index.
--
-- All indexes start with company_id.  On a table that is small and was never
-- analysed the planner finds each of them as good as the primary key for
-- company_id = … AND id = …, and takes the one that was made last.  Plans kept
-- while a table was small (those of foreign keys and of triggers) would go on
-- reading a company's whole index until the next ANALYZE, however large the
-- table has become.  Made last, the primary key is what they take.
DO $do$
DECLARE
  k record;
  foreign_keys text[];
  statement text;
BEGIN
  SELECT pg_catalog.array_agg(pg_catalog.format('ALTER TABLE %s ADD CONSTRAINT %I %s', c.conrelid::pg_catalog.regclass, c.conname,
           pg_catalog.pg_get_constraintdef(c.oid)) ORDER BY c.oid) INTO foreign_keys
  FROM pg_catalog.pg_constraint c
  WHERE c.connamespace = 'o2c'::pg_catalog.regnamespace AND c.contype = 'f';

  FOR k IN SELECT c.conrelid::pg_catalog.regclass AS rel, c.conname FROM pg_catalog.pg_constraint c
           WHERE c.connamespace = 'o2c'::pg_catalog.regnamespace AND c.contype = 'f' LOOP
    EXECUTE pg_catalog.format('ALTER TABLE %s DROP CONSTRAINT %I', k.rel, k.conname);
  END LOOP;
  FOR k IN SELECT c.conrelid::pg_catalog.regclass AS rel, c.conname, pg_catalog.pg_get_constraintdef(c.oid) AS definition
           FROM pg_catalog.pg_constraint c JOIN pg_catalog.pg_class t ON t.oid = c.conrelid
           WHERE c.connamespace = 'o2c'::pg_catalog.regnamespace AND c.contype = 'p' AND t.relkind = 'r'
             AND EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = c.conrelid AND i.indexrelid > c.conindid)
           ORDER BY c.oid LOOP
    EXECUTE pg_catalog.format('ALTER TABLE %s DROP CONSTRAINT %I, ADD CONSTRAINT %I %s', k.rel, k.conname, k.conname, k.definition);
  END LOOP;
  FOREACH statement IN ARRAY coalesce(foreign_keys, '{}') LOOP
    EXECUTE statement;
  END LOOP;
END
$do$;
