
-- Nobody but the owner may call anything until install() grants it to roles.
DO $do$
DECLARE
  f regprocedure;
BEGIN
  FOR f IN SELECT p.oid::pg_catalog.regprocedure FROM pg_catalog.pg_proc p
           WHERE p.pronamespace = 'o2c'::pg_catalog.regnamespace
  LOOP
    EXECUTE pg_catalog.format('REVOKE ALL ON ROUTINE %s FROM PUBLIC', f);
    EXECUTE pg_catalog.format('GRANT EXECUTE ON ROUTINE %s TO %s WITH GRANT OPTION', f, $ext$@extowner@$ext$);
  END LOOP;
END
$do$;

GRANT SELECT ON o2c.lifecycle TO @extowner@ WITH GRANT OPTION;
