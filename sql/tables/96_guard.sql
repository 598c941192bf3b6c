-- What guards the rows: the triggers, constraints and unique indexes that
-- install() made, by name, so that check() can tell when one is gone.  What a
-- user adds is not in it.

CREATE TABLE o2c.guard (
  relation text NOT NULL,
  kind text NOT NULL CHECK (kind IN ('trigger', 'constraint', 'index')),
  name text NOT NULL,
  detail text NOT NULL,
  PRIMARY KEY (relation, kind, name)
);
COMMENT ON TABLE o2c.guard IS
  'Triggers, constraints and unique indexes of this database''s tables as install() made them; o2c.check() compares.';
COMMENT ON COLUMN o2c.guard.detail IS 'Of a trigger its function, its type and the function''s language; of a constraint its type.';

INSERT INTO o2c.guard (relation, kind, name, detail)
SELECT c.relname::text, 'trigger', t.tgname::text, pg_catalog.format('%s %s %s', p.proname, t.tgtype, l.lanname)
FROM pg_catalog.pg_trigger t
JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid AND c.relnamespace = 'o2c'::pg_catalog.regnamespace
JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid
JOIN pg_catalog.pg_language l ON l.oid = p.prolang
WHERE NOT t.tgisinternal
UNION ALL
SELECT c.relname::text, 'constraint', k.conname::text, k.contype::text
FROM pg_catalog.pg_constraint k
JOIN pg_catalog.pg_class c ON c.oid = k.conrelid AND c.relnamespace = 'o2c'::pg_catalog.regnamespace
WHERE k.contype IN ('p', 'u', 'f', 'c') AND c.relname <> 'guard'
UNION ALL
SELECT c.relname::text, 'index', x.relname::text, ''
FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_class c ON c.oid = i.indrelid AND c.relnamespace = 'o2c'::pg_catalog.regnamespace
JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
WHERE i.indisunique AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.conindid = i.indexrelid);

CREATE TRIGGER guard_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON o2c.guard
  FOR EACH STATEMENT EXECUTE FUNCTION o2c.append_only();
