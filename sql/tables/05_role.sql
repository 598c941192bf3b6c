-- The schema of the views and the version of the tables.  The roles are made
-- by o2c._create_roles(), since they belong to the whole cluster.

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
