-- Bad values for every argument of every public function of templates,
-- collections, dispatch and jobs: each is refused with an error of class O2
-- (or 22, 23: a value of the type that no column takes), never an internal
-- one, or it is harmless; and what is refused is refused when it is written.
SELECT plan(9);
SELECT o2c.create_company('Bad', 'DE', 'EUR') AS c \gset
SELECT o2c.create_company('Other', 'DE', 'EUR') AS o \gset
INSERT INTO o2c.customer (company_id, code, name, email, phone, language) SELECT c, 'C' || c, 'Kunde', 'k@example.com', '0170', 'de' FROM unnest(ARRAY[:c, :o]) c;
INSERT INTO o2c.channel (company_id, code, kind, url) SELECT c, 'mail' || c, 'email', 'smtp://127.0.0.1:2525' FROM unnest(ARRAY[:c, :o]) c;
INSERT INTO o2c.open_item (company_id, customer_id, kind, number, document_date, due_date, currency, amount, open_amount)
SELECT k.company_id, k.id, 'invoice', 'R' || k.company_id, '2026-01-01', '2026-01-31', 'EUR', 100, 100 FROM o2c.customer k;
INSERT INTO o2c.message (company_id, channel, recipient, body_text) SELECT c, 'mail' || c, 'k@example.com', 't' FROM unnest(ARRAY[:c, :o]) c;
SELECT id AS message FROM o2c.message WHERE company_id = :c \gset
SELECT id AS other_message FROM o2c.message WHERE company_id = :o \gset

-- a call of each that is good
CREATE TEMPORARY TABLE good (fn text, args text[]);
INSERT INTO good VALUES
  ('arm_dispatch', ARRAY[:'c']), ('disarm_dispatch', ARRAY[:'c']),
  ('assign_dunning_policy', ARRAY[:'c', 'C' || :'c', 'standard']),
  ('block_dunning', ARRAY[:'c', 'C' || :'c', 'reason', '2026-12-31', 'R' || :'c', '2026-01-01']),
  ('cancel_message', ARRAY[:'c', :'message', 'reason']), ('complete_activity', ARRAY[:'c', '1', 'note']),
  ('confirm_notice', ARRAY[:'c', '1', '2026-03-01', 'note']),
  ('find_template', ARRAY[:'c', 'dunning_1', 'email', 'de']), ('format_amount', '{1.50,de}'), ('format_date', '{2026-01-01,de}'),
  ('late_interest', '{1000,2026-01-01,2026-03-01,8,ECB}'),
  ('log_activity', ARRAY[:'c', 'C' || :'c', 'call', 'subject', 'note', '2026-03-01', 'R' || :'c']),
  ('preview_dunning', ARRAY[:'c', '2026-03-01', 'true']),
  ('promise_to_pay', ARRAY[:'c', 'C' || :'c', '50', '2026-12-01', 'R' || :'c', 'EUR', '2026-03-01', 'note']),
  ('purge_messages', ARRAY[:'c', '400 days', '10']),
  ('record_delivery', ARRAY[:'c', 'ref', 'delivered', 'detail', 'key', '2026-03-01 00:00+00']),
  ('render', ARRAY['{{a}}', '{"a": 1}', 'html']), ('render_sample', ARRAY[:'c', 'dunning_1', 'email', 'de']),
  ('render_template', ARRAY[:'c', 'dunning_1', 'email', 'de', '{}']),
  ('resolve_message', ARRAY[:'c', :'message', 'dead', 'note']),
  ('run_due_jobs', '{2026-03-01 12:00+00}'), ('run_dunning', ARRAY[:'c', '2026-03-01']),
  ('save_template', ARRAY[:'c', 'letter', 'email', 'de', 'S', 'T', '<p>H</p>']),
  ('schedule_jobs', ARRAY['* * * * *', current_database(), NULL]), ('unschedule_jobs', ARRAY[current_database()::text]),
  ('send_message', ARRAY[:'c', 'mail' || :'c', 'k@example.com', NULL, '{"subject": "s", "body_text": "t"}', 'key', 'de', '5', 'C' || :'c', 'invoice', '1', '2026-03-01 00:00+00', '[{"name": "a.txt", "content": "x"}]']),
  ('send_statements', ARRAY[:'c', '2026-03-01', 'C' || :'c']),
  ('set_dunning_policy', ARRAY[:'c', 'mine', '[{"level": 1, "days": 7, "channels": ["email"], "template": "dunning_1"}]', 'Mine', '{}']),
  ('settle_dunning', ARRAY[:'c', '2026-03-01']), ('settle_promises', ARRAY[:'c', '2026-03-01']),
  ('template_sample', '{dunning_1,de}'), ('template_variables', '{{{a}}}'), ('unblock_dunning', ARRAY[:'c', '1']),
  ('verify_webhook', '{whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw,id,1,v1,"\\\\x00",1}'),
  ('webhook_signature', '{whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw,id,1,"\\\\x00"}');

CREATE TEMPORARY TABLE bad (type regtype, value text, what text);
INSERT INTO bad VALUES
  ('integer', '-1', 'negative'), ('integer', '0', 'zero'), ('integer', '2147483647', 'largest'), ('integer', :'o', 'other company'),
  ('bigint', '-1', 'negative'), ('bigint', '9223372036854775807', 'largest'), ('bigint', :'other_message', 'id of another company'),
  ('numeric', 'NaN', 'NaN'), ('numeric', 'Infinity', 'infinity'), ('numeric', '-Infinity', '-infinity'), ('numeric', '-1', 'negative'), ('numeric', '0', 'zero'),
  ('numeric', '0.001', 'a fraction of a cent'), ('numeric', '1e130', 'huge'),
  ('date', 'infinity', 'infinity'), ('date', '-infinity', '-infinity'), ('date', '5874897-12-31', 'the last date'), ('date', '4713-01-01 BC', 'the first'),
  ('timestamptz', 'infinity', 'infinity'), ('timestamptz', '-infinity', '-infinity'), ('timestamptz', '294276-12-31 00:00+00', 'the last time'), ('timestamptz', '4713-01-02 00:00+00 BC', 'the first'),
  ('interval', '-1 day', 'negative'), ('interval', '178000000 years', 'huge'),
  ('boolean', 'false', 'false'),
  ('bytea', '', 'empty'), ('bytea', '\x' || repeat('ff', 1000000), '1 MB'),
  ('jsonb', 'null', 'null'), ('jsonb', '[]', 'empty list'), ('jsonb', '{}', 'empty object'), ('jsonb', '"x"', 'text'), ('jsonb', '[null]', 'list of null'), ('jsonb', '[1, "x", []]', 'list of anything'),
  ('jsonb', '[{"level": -1, "days": "x"}]', 'level'), ('jsonb', '[{"level": 1, "days": 1e300}]', 'days'), ('jsonb', '{"a": {"b": [1e1000]}}', 'numbers'), ('jsonb', '{"subject": "s\r\nBcc: x@y.z", "body_text": "t"}', 'CR LF'),
  ('jsonb', '[{"name": "../../x", "content": "x"}]', 'path'), ('jsonb', '[{"name": "a", "base64": "%%%"}]', 'no base64'), ('jsonb', '[{"name": "a\nb", "content": "x"}]', 'name of two lines'), ('jsonb', '[{"name": "a"}]', 'no content'),
  ('jsonb', '{"x": "' || repeat('y', 1000000) || '"}', '1 MB'), ('jsonb', repeat('[', 2000) || repeat(']', 2000), 'deep'),
  ('text', '', 'empty'), ('text', ' ', 'blank'), ('text', repeat('x', 1000000), '1 MB'), ('text', E'a\r\nBcc: x@y.z', 'CR LF'), ('text', E'\u202eevil', 'bidi'), ('text', E'\x01', 'control'),
  ('text', 'nothing like it', 'unknown'), ('text', '{{#a}}', 'unclosed'), ('text', '%s %I $1 '';', 'quoting'), ('text', 'C' || :'o', 'customer of another company'), ('text', 'mail' || :'o', 'channel of another company'), ('text', 'R' || :'o', 'item of another company');

CREATE TEMPORARY TABLE outcome (fn text, arg integer, what text, state text, message text);
CREATE FUNCTION pg_temp.call(fn text, args text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  types regtype[] := (SELECT proargtypes::regtype[] FROM pg_proc WHERE pronamespace = 'o2c'::regnamespace AND proname = fn);
  list text;
BEGIN
  -- an oidvector counts from 0
  SELECT string_agg(quote_nullable(args[n]) || '::' || types[n - 1], ', ' ORDER BY n) INTO list FROM generate_series(1, cardinality(args)) n;
  EXECUTE format('SELECT count(x.r) FROM (SELECT (o2c.%I(%s))::text) x(r)', fn, list);
END $$;
CREATE FUNCTION pg_temp.attempt(fn text, args text[], arg integer, what text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  state text := '00000'; message text; refused boolean := true;
BEGIN
  BEGIN
    PERFORM pg_temp.call(fn, args);
    -- what was written must be sound, and go again
    IF EXISTS (SELECT FROM o2c.message m WHERE NOT o2c._is_recipient('email', m.recipient) OR m.subject ~ '[[:cntrl:]]') THEN
      message := 'a message that cannot be sent was queued';
      state := 'XXXXX';
    END IF;
    refused := false;
    RAISE EXCEPTION 'undo' USING ERRCODE = 'ZZZZZ';
  EXCEPTION
    WHEN SQLSTATE 'ZZZZZ' THEN NULL;
    WHEN OTHERS THEN state := SQLSTATE; message := SQLERRM;
  END;
  INSERT INTO outcome VALUES (fn, arg, what, state, left(message, 200));
END $$;

SELECT count(pg_temp.attempt(g.fn, g.args, 0, 'good')) FROM good g;
SELECT count(pg_temp.attempt(g.fn, g.args[:n - 1] || ARRAY[b.value] || g.args[n + 1:], n, b.what))
FROM good g
JOIN pg_proc p ON p.pronamespace = 'o2c'::regnamespace AND p.proname = g.fn
CROSS JOIN LATERAL generate_series(1, cardinality(g.args)) n
JOIN (SELECT * FROM bad UNION ALL SELECT DISTINCT type, NULL, 'null' FROM bad) b ON b.type = p.proargtypes[n - 1];

SELECT is_empty($$SELECT g.fn FROM good g WHERE NOT EXISTS (SELECT FROM pg_proc p WHERE p.pronamespace = 'o2c'::regnamespace AND p.proname = g.fn AND p.pronargs >= cardinality(g.args))$$, 'the calls name functions that are there');
SELECT is_empty($$SELECT fn, state, message FROM outcome WHERE what = 'good' AND state !~ '^(O2003|O2001|O2010|00)'$$, 'good calls succeed, or find nothing');
SELECT cmp_ok((SELECT count(*) FROM outcome), '>', 1000::bigint, 'more than a thousand bad ones are tried');
SELECT is_empty($$SELECT fn, arg, what, state, message FROM outcome WHERE state !~ '^(O2|22|23|00)' ORDER BY 1, 2, 3$$, 'errors are of class O2, 22 or 23');
SELECT is_empty($$SELECT fn, arg, what, state, message FROM outcome WHERE message = '' OR message ~* 'internal|unexpected|cache lookup'$$, 'and say what is wrong');
SELECT is_empty($$SELECT fn, arg, what FROM outcome WHERE what ~ 'another company|other company' AND state = '00000'
  AND NOT (fn, arg) IN (SELECT p.proname::text, n + 1 FROM pg_proc p, generate_series(0, p.pronargs - 1) n WHERE p.proargnames[n + 1] NOT IN ('company_id', 'message_id', 'block_id', 'customer_code', 'channel', 'number', 'activity_id', 'notice_id'))
  AND what <> 'other company'$$, 'nothing of another company is taken for one''s own');
SELECT is_empty($$SELECT fn, arg, state, message FROM outcome WHERE what IN ('NaN', 'infinity', '-infinity') AND state = '00000'
  AND fn IN ('promise_to_pay', 'block_dunning', 'send_message', 'run_dunning', 'run_due_jobs', 'late_interest', 'record_delivery', 'log_activity', 'settle_promises', 'send_statements', 'settle_dunning')$$, 'no amount that is no number, no day without end');
SELECT is((SELECT count(*) FROM outcome WHERE state = '00000' AND fn = 'send_message' AND arg = 3 AND what <> 'good'), 0::bigint, 'no recipient that cannot be reached');
SELECT is_empty('SELECT * FROM o2c.check()', 'check() is empty');
SELECT * FROM finish();
