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

CREATE FUNCTION o2c.format_amount(amount numeric, language text)
RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'o2c_format_amount';
COMMENT ON FUNCTION o2c.format_amount(numeric, text) IS
  'The amount with all its digits as the language writes numbers: 1,234.50 in en, 1.234,50 in de. Languages not known are written as en. No errors.';

CREATE FUNCTION o2c.format_date(day date, language text)
RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'o2c_format_date';
COMMENT ON FUNCTION o2c.format_date(date, text) IS
  'The date as the language writes it: 5 Mar 2026 in en, 05.03.2026 in de; ISO 8601 for languages not known.';

-- Which template: a company's own before the built-in one, and for each the
-- exact language, its base, the company's language and its base, then English.

CREATE FUNCTION o2c._language_chain(language text, company_language text)
RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  SELECT ARRAY[language, pg_catalog.split_part(language, '-', 1),
               company_language, pg_catalog.split_part(company_language, '-', 1), 'en']
$$;
COMMENT ON FUNCTION o2c._language_chain(text, text) IS
  'Languages to look for, the best first; may hold nulls and repeats.';

CREATE FUNCTION o2c.find_template(company_id integer, kind text, channel_kind text, language text DEFAULT NULL)
RETURNS TABLE (template_id bigint, template_language text, template_version integer,
               subject text, body_text text, body_html text)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  chain text[];
BEGIN
  SELECT o2c._language_chain($4, c.language) INTO chain
  FROM o2c.company c WHERE c.company_id = $1;
  IF chain IS NULL THEN
    PERFORM o2c._require_company($1);
  END IF;
  RETURN QUERY
  SELECT t.id, t.language, t.version, t.subject, t.body_text, t.body_html
  FROM (
    SELECT t.id, t.language, t.version, t.subject, t.body_text, t.body_html, 1 AS source
    FROM o2c.template t
    WHERE t.company_id = $1 AND t.kind = $2 AND t.channel_kind = $3
      AND t.language = ANY (chain) AND t.active
    UNION ALL
    SELECT NULL, b.language, b.version, b.subject, b.body_text, b.body_html, 2
    FROM o2c.builtin_template b
    WHERE b.kind = $2 AND b.channel_kind = $3 AND b.language = ANY (chain)
  ) t
  ORDER BY t.source, pg_catalog.array_position(chain, t.language), t.version DESC
  LIMIT 1;
END $$;
COMMENT ON FUNCTION o2c.find_template(integer, text, text, text) IS
  'The template that a message of this kind, channel kind and language uses: the company''s before the built-in, each by exact language, base language, the company''s, English; the newest version. No row when there is none. Errors: O2002.';

CREATE FUNCTION o2c.render_template(company_id integer, kind text, channel_kind text, language text, context jsonb)
RETURNS TABLE (template_id bigint, template_language text, subject text, body_text text, body_html text)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT f.template_id, f.template_language, o2c.render(f.subject, $5, 'header'),
         o2c.render(f.body_text, $5, 'none'), o2c.render(f.body_html, $5, 'html')
  FROM o2c.find_template($1, $2, $3, $4) f;
  IF NOT FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'O2070',
      MESSAGE = pg_catalog.format('there is no template "%s" for %s', $2, $3),
      HINT = 'Save one with o2c.save_template(); o2c.template_kind lists the built-in ones.';
  END IF;
END $$;
COMMENT ON FUNCTION o2c.render_template(integer, text, text, text, jsonb) IS
  'Subject, text and HTML of a message from its template (see find_template) and context. Errors: O2002, O2070 when there is no template.';

CREATE FUNCTION o2c._template_guard() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'o2c_template_guard';
COMMENT ON FUNCTION o2c._template_guard() IS
  'Row trigger: refuses (O2070) a template that is not well formed or uses a variable that its kind does not have.';

CREATE FUNCTION o2c.save_template(company_id integer, kind text, channel_kind text, language text,
  subject text DEFAULT NULL, body_text text DEFAULT NULL, body_html text DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  newest record;
  result bigint;
BEGIN
  PERFORM o2c._require_company($1);
  IF $3 IS NULL OR $3 NOT IN ('email', 'sms', 'post', 'webhook') THEN
    RAISE EXCEPTION USING ERRCODE = 'O2004', MESSAGE = pg_catalog.format('there is no kind of channel "%s"', $3),
      HINT = 'Use email, sms, post or webhook.';
  END IF;
  IF $2 IS NULL OR $2 !~ '^[a-z][a-z0-9_]{0,59}$' THEN
    RAISE EXCEPTION USING ERRCODE = 'O2004', MESSAGE = pg_catalog.format('"%s" cannot be a kind of template', $2),
      HINT = 'A kind is a small letter and up to 59 more, digits or underscores, for example dunning_1.';
  END IF;
  IF $4 IS NULL OR $4 !~ '^[a-z]{2}(-[A-Z]{2})?$' THEN
    RAISE EXCEPTION USING ERRCODE = 'O2004', MESSAGE = pg_catalog.format('"%s" is not a language', $4),
      HINT = 'Use two small letters of ISO 639-1, with a country where it matters, for example de or de-AT.';
  END IF;
  IF coalesce($6, $7, '') = '' OR ($3 = 'email' AND coalesce($5, '') = '') OR ($3 = 'sms' AND ($6 IS NULL OR $7 IS NOT NULL))
     OR $5 ~ '[[:cntrl:]]' THEN
    RAISE EXCEPTION USING ERRCODE = 'O2070', MESSAGE = 'a template is not complete',
      DETAIL = 'It has a text or HTML; one for e-mail a subject, which is one line; one for sms a text alone.';
  END IF;
  -- one version after the other
  PERFORM o2c._once($1, 'template', pg_catalog.concat_ws(' ', $2, $3, $4), 'SELECT pg_catalog.max(t.id) FROM o2c.template t WHERE t.company_id = $1 AND pg_catalog.concat_ws('' '', t.kind, t.channel_kind, t.language) = $2');
  SELECT t.id, t.version, t.active, t.subject, t.body_text, t.body_html INTO newest
  FROM o2c.template t
  WHERE t.company_id = $1 AND t.kind = $2 AND t.channel_kind = $3 AND t.language = $4
  ORDER BY t.version DESC LIMIT 1;
  IF newest.active AND (newest.subject, newest.body_text, newest.body_html) IS NOT DISTINCT FROM ($5, $6, $7) THEN
    RETURN newest.id;
  END IF;
  INSERT INTO o2c.template (company_id, kind, channel_kind, language, version, subject, body_text, body_html)
  VALUES ($1, $2, $3, $4, coalesce(newest.version, 0) + 1, $5, $6, $7)
  RETURNING id INTO result;
  RETURN result;
END $$;
COMMENT ON FUNCTION o2c.save_template(integer, text, text, text, text, text, text) IS
  'Save a company''s own template as a new version, checked; the same texts again: the same version. Returns its id. Errors: O2002, O2004, O2070.';

CREATE FUNCTION o2c.template_sample(kind text, language text DEFAULT 'en')
RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
DECLARE
  result jsonb;
BEGIN
  SELECT k.sample INTO result FROM o2c.template_kind k WHERE k.kind = $1;
  IF result IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'O2003',
      MESSAGE = pg_catalog.format('there is no sample for templates of kind "%s"', $1),
      HINT = 'o2c.template_kind lists the kinds that have one.';
  END IF;
  RETURN result || pg_catalog.jsonb_build_object('language', language);
END $$;
COMMENT ON FUNCTION o2c.template_sample(text, text) IS
  'A made-up context of a built-in kind, to try templates with. Errors: O2003.';

CREATE FUNCTION o2c.render_sample(company_id integer, kind text, channel_kind text DEFAULT 'email', language text DEFAULT NULL)
RETURNS TABLE (template_language text, subject text, body_text text, body_html text)
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  SELECT r.template_language, r.subject, r.body_text, r.body_html
  FROM o2c.render_template($1, $2, $3, $4, o2c.template_sample($2, $4)) r
$$;
COMMENT ON FUNCTION o2c.render_sample(integer, text, text, text) IS
  'What a message of this kind would look like, with made-up values. Errors: O2002, O2003, O2070.';
