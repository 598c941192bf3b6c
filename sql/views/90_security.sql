-- Row-level security by company, and what every role may do.  Replayed by
-- migrate(), so everything here can be said again.

DO $do$
DECLARE
  t regclass;
  f regprocedure;
BEGIN
  -- every table with company_id: who sees the company sees the row
  FOR t IN SELECT c.oid::pg_catalog.regclass FROM pg_catalog.pg_class c
           JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attname = 'company_id'
           WHERE c.relnamespace = 'o2c'::pg_catalog.regnamespace AND c.relkind IN ('r', 'p')
             AND c.oid <> 'o2c.company_member'::pg_catalog.regclass
  LOOP
    EXECUTE pg_catalog.format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', t);
    EXECUTE pg_catalog.format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', t);
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_policy p WHERE p.polrelid = t AND p.polname = 'o2c_member') THEN
      EXECUTE pg_catalog.format(
        'CREATE POLICY o2c_member ON %s USING (company_id = ANY (ARRAY(SELECT m.company_id FROM o2c.company_member m)))', t);
    END IF;
  END LOOP;

  -- functions that only compute are for every role of order2cash: types need them
  FOR f IN SELECT p.oid::pg_catalog.regprocedure FROM pg_catalog.pg_proc p
           WHERE p.pronamespace = 'o2c'::pg_catalog.regnamespace
             AND (p.provolatile = 'i' OR p.proname LIKE E'\\_is\\_%') AND p.prorettype <> 'trigger'::pg_catalog.regtype
  LOOP
    EXECUTE pg_catalog.format('GRANT EXECUTE ON ROUTINE %s TO o2c_reader, o2c_clerk, o2c_collector, o2c_manager, o2c_admin, o2c_dispatcher', f);
  END LOOP;
END
$do$;

ALTER TABLE o2c.company_member ENABLE ROW LEVEL SECURITY;
ALTER TABLE o2c.company_member FORCE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS o2c_own ON o2c.company_member;
CREATE POLICY o2c_own ON o2c.company_member FOR SELECT USING
  (EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.rolname = role_name
           AND pg_catalog.pg_has_role(r.oid, 'member')));
DROP POLICY IF EXISTS o2c_grant ON o2c.company_member;
CREATE POLICY o2c_grant ON o2c.company_member FOR INSERT
  WITH CHECK (o2c._is_admin() AND o2c._sees_company(company_id));
DROP POLICY IF EXISTS o2c_withdraw ON o2c.company_member;
CREATE POLICY o2c_withdraw ON o2c.company_member FOR DELETE
  USING (o2c._is_admin() AND o2c._sees_company(company_id));

-- what a document went through is written by its own trigger alone
DROP POLICY IF EXISTS o2c_moves ON o2c.event;
CREATE POLICY o2c_moves ON o2c.event AS RESTRICTIVE FOR INSERT
  WITH CHECK (to_state IS NULL OR entity NOT IN ('order', 'invoice', 'shipment', 'payment', 'dispute', 'promise', 'quote', 'contract'));

DROP POLICY IF EXISTS o2c_create ON o2c.company;
CREATE POLICY o2c_create ON o2c.company FOR INSERT
  WITH CHECK (o2c._is_admin());

GRANT USAGE ON SCHEMA o2c TO o2c_clerk, o2c_collector, o2c_manager, o2c_admin, o2c_dispatcher;
GRANT USAGE ON SCHEMA o2c_bi TO o2c_reader, o2c_clerk, o2c_collector, o2c_manager, o2c_admin;
-- views run with the caller's rights: readers may select, but can't name
-- o2c's own tables because they lack USAGE on its schema
GRANT SELECT ON ALL TABLES IN SCHEMA o2c TO o2c_reader, o2c_clerk, o2c_collector, o2c_manager, o2c_admin, o2c_dispatcher;
GRANT SELECT ON ALL TABLES IN SCHEMA o2c_bi TO o2c_reader, o2c_clerk, o2c_collector, o2c_manager, o2c_admin;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA o2c TO o2c_clerk, o2c_collector, o2c_manager, o2c_admin, o2c_dispatcher;
