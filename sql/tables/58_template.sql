-- Templates of messages.  The built-in ones are code lists, equal for every
-- company and replaced only by newer versions; a company's own stand in
-- o2c.template and win over them.  Versions are kept: a message of last year
-- can still be explained.

CREATE TABLE o2c.template_kind (
  kind text PRIMARY KEY CHECK (kind ~ '^[a-z][a-z0-9_]{0,59}$'),
  description text NOT NULL,
  sample jsonb NOT NULL CHECK (pg_catalog.jsonb_typeof(sample) = 'object')
);
COMMENT ON TABLE o2c.template_kind IS 'Code list: built-in kinds of messages, each with a made-up context to try templates with.';

CREATE TABLE o2c.template_variable (
  kind text NOT NULL,
  name text NOT NULL CHECK (name ~ '^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*(\.\*)?$'),
  description text NOT NULL DEFAULT '',
  PRIMARY KEY (kind, name)
);
COMMENT ON TABLE o2c.template_variable IS
  'Code list: what templates of a kind may use. A kind of one''s own without rows here may use anything; with rows, only those.';
COMMENT ON COLUMN o2c.template_variable.name IS
  'Path: items is a list, items.number a value of its elements; x.* is everything below x.';

CREATE TABLE o2c.builtin_template (
  kind text NOT NULL REFERENCES o2c.template_kind,
  channel_kind text NOT NULL CHECK (channel_kind IN ('email', 'sms', 'post', 'webhook')),
  language text NOT NULL CHECK (language ~ '^[a-z]{2}(-[A-Z]{2})?$'),
  version integer NOT NULL DEFAULT 1 CHECK (version > 0),
  subject text CHECK (subject !~ '[[:cntrl:]]'),
  body_text text,
  body_html text,
  PRIMARY KEY (kind, channel_kind, language, version),
  CHECK (coalesce(body_text, body_html) <> ''),
  CHECK (channel_kind <> 'email' OR subject <> '')
);
CREATE TRIGGER builtin_template_guard BEFORE INSERT OR UPDATE ON o2c.builtin_template
  FOR EACH ROW EXECUTE FUNCTION o2c._template_guard();
COMMENT ON TABLE o2c.builtin_template IS 'Code list: templates that come with order2cash, for all companies that have none of their own.';

CREATE SEQUENCE o2c.template_id_seq;
CREATE TABLE o2c.template (
  company_id integer NOT NULL REFERENCES o2c.company,
  id bigint NOT NULL DEFAULT pg_catalog.nextval('o2c.template_id_seq'),
  kind text NOT NULL CHECK (kind ~ '^[a-z][a-z0-9_]{0,59}$'),
  channel_kind text NOT NULL CHECK (channel_kind IN ('email', 'sms', 'post', 'webhook')),
  language text NOT NULL DEFAULT 'en' CHECK (language ~ '^[a-z]{2}(-[A-Z]{2})?$'),
  version integer NOT NULL DEFAULT 1 CHECK (version > 0),
  active boolean NOT NULL DEFAULT true,
  subject text CHECK (subject !~ '[[:cntrl:]]'),
  body_text text,
  body_html text,
  created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
  created_by name NOT NULL DEFAULT current_user,
  PRIMARY KEY (company_id, id),
  UNIQUE (company_id, kind, channel_kind, language, version),
  CONSTRAINT template_has_body CHECK (coalesce(body_text, body_html, '') <> ''),
  CONSTRAINT template_email_subject CHECK (channel_kind <> 'email' OR coalesce(subject, '') <> ''),
  CONSTRAINT template_sms_text CHECK (channel_kind <> 'sms' OR (body_text IS NOT NULL AND body_html IS NULL))
);
ALTER SEQUENCE o2c.template_id_seq OWNED BY o2c.template.id;
CREATE TRIGGER template_guard BEFORE INSERT OR UPDATE ON o2c.template
  FOR EACH ROW EXECUTE FUNCTION o2c._template_guard();
COMMENT ON TABLE o2c.template IS
  'A company''s own templates; the highest active version of kind, channel kind and language is used.';
COMMENT ON COLUMN o2c.template.subject IS 'Of e-mail; one line. Rendered with controls removed.';
COMMENT ON COLUMN o2c.template.body_html IS 'Values are escaped for HTML unless written {{{so}}}.';
