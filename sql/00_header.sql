-- order2cash: what CREATE EXTENSION brings.  Assembled by sql/assemble.sh.
\echo Use "CREATE EXTENSION order2cash" to load this file. \quit

-- texts, templates and bank files hold whatever people write
DO $do$
BEGIN
  IF pg_catalog.getdatabaseencoding() <> 'UTF8' THEN
    RAISE EXCEPTION USING ERRCODE = 'O2008',
      MESSAGE = pg_catalog.format('order2cash needs a database of encoding UTF8, this one is %s', pg_catalog.getdatabaseencoding()),
      HINT = 'CREATE DATABASE ... ENCODING ''UTF8'' TEMPLATE template0.';
  END IF;
END
$do$;

