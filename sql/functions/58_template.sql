-- Templates: rendering and checking message texts (src/documents/template_*.c).
--
-- The renderer needs no table; which template a message uses is decided by
-- o2c.find_template, further down in this file.

CREATE FUNCTION o2c.render(template text, context jsonb, escape text DEFAULT 'none')
RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'o2c_template_render';
COMMENT ON FUNCTION o2c.render(text, jsonb, text) IS
  'The template''s text with the context''s values. template: {{name}}, {{{raw}}}, {{#section}}…{{/section}}, {{^inverted}}…{{/inverted}}, {{! comment}}, dotted names. escape: none, html, json (inside of a string), header (one line, no controls), url. At most 8 MB. Raises O2070 for a template that is not well formed, O2004 for an unknown escape.';

CREATE FUNCTION o2c.template_variables(template text)
RETURNS text[]
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'o2c_template_variables';
COMMENT ON FUNCTION o2c.template_variables(text) IS
  'The names that a template uses, as written, sorted, each once. Raises O2070 for a template that is not well formed.';

CREATE FUNCTION o2c._check_template_text(template text, known text[])
RETURNS void
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'o2c_template_check';
COMMENT ON FUNCTION o2c._check_template_text(text, text[]) IS
  'Raises O2070 with the line when the template is not well formed or uses a variable that is not among known (paths such as items.number; x.* allows everything below x; null allows all).';
