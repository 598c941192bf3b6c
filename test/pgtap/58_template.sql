-- Templates: syntax, escaping, bounds, fallback, refusal when saved.
BEGIN;
SELECT plan(58);
CREATE TEMPORARY TABLE ctx AS SELECT o2c.create_company('Letters', 'DE', 'EUR', language => 'de') AS c;
CREATE FUNCTION pg_temp.c() RETURNS integer LANGUAGE sql AS 'SELECT c FROM ctx';

-- syntax
SELECT is(o2c.render('Hi {{name}}, {{ name }}!', '{"name": "Ann"}'), 'Hi Ann, Ann!', 'variables');
SELECT is(o2c.render('{{a.b.c}}|{{a.b}}|{{a.x.y}}|{{q}}', '{"a": {"b": {"c": 1}}}'), '1|{"c": 1}||', 'dotted names; what is missing is nothing');
SELECT is(o2c.render('{{n}} {{t}} {{f}}|{{z}}|{{e}}|', '{"n": 12.30, "t": true, "f": false, "z": null, "e": ""}'), '12.30 true false|||', 'numbers keep their digits, null is nothing');
SELECT is(o2c.render('{{#l}}[{{x}}]{{/l}}', '{"l": [{"x": 1}, {"x": 2}]}'), '[1][2]', 'a list repeats its section');
SELECT is(o2c.render('{{#l}}<{{.}}>{{/l}}', '{"l": [1, "b", true]}'), '<1><b><true>', 'the element itself');
SELECT is(o2c.render('{{#o}}{{in}} {{out}}{{/o}}', '{"out": "O", "o": {"in": "I"}}'), 'I O', 'an object opens a scope over the outer one');
SELECT is(o2c.render('{{#a}}x{{/a}}{{^a}}none{{/a}}', '{"a": []}'), 'none', 'an empty list is nothing');
SELECT is(string_agg(o2c.render('{{#a}}yes{{/a}}{{^a}}no{{/a}}', v::jsonb), ','  ORDER BY n), 'no,no,no,no,no,yes,yes,yes',
  'null, false, "", [], {} are nothing; 0, text and true are something')
FROM unnest(ARRAY['{}', '{"a": false}', '{"a": null}', '{"a": ""}', '{"a": {}}', '{"a": 0}', '{"a": "x"}', '{"a": true}']) WITH ORDINALITY u(v, n);
SELECT is(o2c.render(E'a{{! one\nline }}b', '{}'), 'ab', 'comments');
SELECT is(o2c.render(E'1\n  {{#l}}  \n- {{.}}\n  {{/l}}\n2\n', '{"l": ["a", "b"]}'), E'1\n- a\n- b\n2\n', 'section tags alone on a line take it with them');
SELECT is(o2c.render(E'1\r\n{{#t}}\r\nx\r\n{{/t}}\r\n', '{"t": true}'), E'1\r\nx\r\n', 'with CR LF as well');
SELECT is(o2c.render(E'{{! c }}\nx', '{}'), 'x', 'comments too');
SELECT is(o2c.render('', '{}'), '', 'an empty template');
SELECT is(o2c.render('{ {x} } }}', '{"x": 1}'), '{ {x} } }}', 'single braces are text');
SELECT is(o2c.render('{{.}}', '"s"'), 's', 'a context may be a scalar');

-- escaping
SELECT is(o2c.render('{{x}} {{{x}}} {{&x}}', $${"x": "<a href='x'>&\""}$$, 'html'), $$&lt;a href=&#39;x&#39;&gt;&amp;&quot; <a href='x'>&" <a href='x'>&"$$, 'html');
SELECT is(o2c.render('{{x}}', '{"x": "<b>"}'), '<b>', 'none is the default');
SELECT is(o2c.render('{"t": "{{x}}"}', jsonb_build_object('x', E'a"\\\n\r\t\x01é'), 'json')::jsonb, jsonb_build_object('t', E'a"\\\n\r\t\x01é'), 'json gives the text back');
SELECT is(o2c.render('{{{x}}}', '{"x": {"a": [1]}}', 'json'), '{"a": [1]}', 'raw JSON');
SELECT is(o2c.render('{{x}}', '{"x": "a b&ä/~"}', 'url'), 'a%20b%26%C3%A4%2F~', 'url');
SELECT is(o2c.render(E'S {{x}} {{{x}}}\r\nX: y', jsonb_build_object('x', E'a\r\nBcc: b')::jsonb, 'header'), 'S a Bcc: b a Bcc: b X: y', 'no line break gets into a header, not even by the template');
SELECT is(o2c.render('{{x}}', jsonb_build_object('x', E'a\u2028b\u202ec\u0085d\u200fe'), 'header'), 'a b c d e', 'nor Unicode line ends and direction marks');
SELECT throws_ok($$SELECT o2c.render('x', '{}', 'xml')$$, 'O2004', NULL, 'unknown escape');

-- what is not well formed
SELECT throws_ok($$SELECT o2c.render('{{#a}}x', '{}')$$, 'O2070', 'template does not close section "a" of line 1', 'unclosed section');
SELECT throws_ok($$SELECT o2c.render(E'\n{{#a}}{{#b}}{{/a}}{{/b}}', '{}')$$, 'O2070', 'template closes section "a" at line 2, but "b" of line 2 is open', 'crossed sections');
SELECT throws_ok($$SELECT o2c.render('{{/a}}', '{}')$$, 'O2070', NULL, 'closing what is not open');
SELECT throws_ok($$SELECT o2c.render(E'a\n\n{{x', '{}')$$, 'O2070', 'template has an unclosed tag at line 3', 'unclosed tag');
SELECT throws_ok($$SELECT o2c.render('{{{x}}', '{}')$$, 'O2070', NULL, 'unclosed raw tag');
SELECT throws_ok($$SELECT o2c.render('{{}}', '{}')$$, 'O2070', NULL, 'no name');
SELECT throws_ok($$SELECT o2c.render('{{a b}}', '{}')$$, 'O2070', NULL, 'a name with a blank');
SELECT throws_ok($$SELECT o2c.render('{{a..b}}', '{}')$$, 'O2070', NULL, 'an empty part of a name');
SELECT throws_ok($$SELECT o2c.render('{{> part}}', '{}')$$, 'O2070', NULL, 'partials are refused');
SELECT throws_ok($$SELECT o2c.render('{{=<% %>=}}', '{}')$$, 'O2070', NULL, 'other delimiters as well');

-- bounds
SELECT throws_ok($$SELECT o2c.render(repeat('{{#a}}', 33) || repeat('{{/a}}', 33), '{}')$$, 'O2070', NULL, 'depth');
SELECT throws_ok($$SELECT o2c.render(repeat('x', 1048577), '{}')$$, 'O2070', NULL, 'size of the template');
SELECT throws_ok($$SELECT o2c.render(repeat('{{x}}', 100), jsonb_build_object('x', repeat('a', 100000)))$$, 'O2070', 'rendered template is too long', 'size of the result');
SELECT throws_ok($$SELECT o2c.render(repeat('{{#a}}', 9) || repeat('{{/a}}', 9), '{"a": [1,2,3,4,5,6,7,8,9,10]}')$$, 'O2070', 'template takes too many steps to render', 'lists in lists');

-- what a template uses
SELECT is(o2c.template_variables('{{b}}{{#items}}{{number}}{{.}}{{/items}}{{^c.d}}{{{b}}}{{/c.d}}'), '{b,c.d,items,number}', 'names, each once');
SELECT lives_ok($$SELECT o2c._check_template_text('{{#items}}{{number}} {{today}}{{/items}}', '{items.number,today}')$$, 'names inside sections, and from outside');
SELECT throws_ok($$SELECT o2c._check_template_text('{{number}}', '{items.number}')$$, 'O2070', NULL, 'a name of a list needs its section');
SELECT throws_ok($$SELECT o2c._check_template_text('{{^items}}{{number}}{{/items}}', '{items.number}')$$, 'O2070', NULL, 'an inverted section opens no scope');
SELECT lives_ok($$SELECT o2c._check_template_text('{{event.any.thing}}', '{event.*}')$$, 'everything below');

-- saving
SELECT ok(o2c.save_template(pg_temp.c(), 'dunning_1', 'email', 'de', 'Hallo', 'Text {{customer.name}}') IS NOT NULL, 'a good template is saved');
SELECT is(o2c.save_template(pg_temp.c(), 'dunning_1', 'email', 'de', 'Hallo', 'Text {{customer.name}}'), (SELECT id FROM o2c.template WHERE company_id = pg_temp.c()), 'the same again is the same version');
SELECT throws_ok($$SELECT o2c.save_template(pg_temp.c(), 'dunning_1', 'email', 'de', 'Hallo', 'Text {{customer.nmae}}')$$, 'O2070', 'template uses unknown variable "customer.nmae" at line 1', 'an unknown variable is refused when saved');
SELECT throws_ok($$INSERT INTO o2c.template (company_id, kind, channel_kind, subject, body_text) VALUES (pg_temp.c(), 'dunning_1', 'email', 'x', '{{#items}}')$$, 'O2070', NULL, 'an unclosed section too, by INSERT');
SELECT throws_ok($$INSERT INTO o2c.template (company_id, kind, channel_kind, body_text) VALUES (pg_temp.c(), 'dunning_1', 'email', 'x')$$, '23514', NULL, 'an e-mail needs a subject');
SELECT throws_ok($$INSERT INTO o2c.template (company_id, kind, channel_kind, subject, body_text) VALUES (pg_temp.c(), 'dunning_1', 'email', E'a\nb', 'x')$$, '23514', NULL, 'of one line');
SELECT lives_ok($$SELECT o2c.save_template(pg_temp.c(), 'newsletter', 'email', 'en', 'News', '{{anything}}')$$, 'a kind of one''s own may use anything');
INSERT INTO o2c.template_variable (kind, name) VALUES ('newsletter', 'headline');
SELECT throws_ok($$SELECT o2c.save_template(pg_temp.c(), 'newsletter', 'email', 'en', 'News', '{{anything}}!')$$, 'O2070', NULL, 'until it declares its variables');

-- which template
SELECT is((SELECT body_text FROM o2c.find_template(pg_temp.c(), 'dunning_1', 'email', 'de-AT')), 'Text {{customer.name}}', 'the company''s own, by the base language');
SELECT is((SELECT body_text FROM o2c.find_template(pg_temp.c(), 'dunning_1', 'email', 'it')), 'Text {{customer.name}}', 'the company''s own in its language before a built-in one');
SELECT is((SELECT template_language FROM o2c.find_template(pg_temp.c(), 'dunning_2', 'email', 'it-CH')), 'it', 'built in: base language');
SELECT is((SELECT template_language FROM o2c.find_template(pg_temp.c(), 'dunning_2', 'email', 'pl')), 'de', 'else the company''s language');
SELECT throws_ok($$SELECT * FROM o2c.render_template(pg_temp.c(), 'nothing', 'email', 'en', '{}')$$, 'O2070', NULL, 'no template at all');
SELECT is((SELECT count(*) FROM o2c.builtin_template b, LATERAL o2c.render_sample(pg_temp.c(), b.kind, b.channel_kind, b.language) r
           WHERE r.body_text ~ '\S' AND coalesce(r.subject, '') || r.body_text || coalesce(r.body_html, '') !~ '\{\{'),
  (SELECT count(*) FROM o2c.builtin_template), 'every built-in template renders its sample');
SELECT is((SELECT array_agg(DISTINCT language ORDER BY language) FROM o2c.builtin_template), '{de,en,es,fr,it}', 'in five languages');
SELECT is(ARRAY[o2c.format_amount(1234567.5, 'en'), o2c.format_amount(-1234.50, 'de-AT'), o2c.format_amount(1234.5, 'de-CH'), o2c.format_date('2026-03-05', 'en'), o2c.format_date('2026-03-05', 'de'), o2c.format_date('2026-03-05', 'xx')],
  ARRAY['1,234,567.5', '-1.234,50', '1''234.5', '5 Mar 2026', '05.03.2026', '2026-03-05'], 'amounts and dates as each language writes them');

SELECT * FROM finish();
ROLLBACK;
