-- Jobs: what is due when, made-up nights, failures, time zones.
BEGIN;
SELECT plan(51);
CREATE TEMPORARY TABLE ctx AS SELECT o2c.create_company('Jobs', 'DE', 'EUR', 'Europe/Berlin') AS c;
CREATE FUNCTION pg_temp.c() RETURNS integer LANGUAGE sql AS 'SELECT c FROM ctx';
CREATE FUNCTION pg_temp.tick(at timestamptz) RETURNS text LANGUAGE sql AS
  'SELECT string_agg(job || CASE WHEN ok THEN '''' ELSE '' failed'' END, '' '' ORDER BY job) FROM o2c.run_due_jobs(at) WHERE company_id = pg_temp.c()';
CREATE FUNCTION pg_temp.last(text) RETURNS date LANGUAGE sql AS
  'SELECT last_for FROM o2c.job WHERE company_id = pg_temp.c() AND name = $1';
INSERT INTO o2c.customer (company_id, code, name, email) SELECT c, 'A', 'Alpha', 'a@example.com' FROM ctx;
INSERT INTO o2c.channel (company_id, code, kind, url) SELECT c, 'mail', 'email', 'smtp://127.0.0.1:2525' FROM ctx;
INSERT INTO o2c.open_item (company_id, customer_id, kind, number, document_date, due_date, currency, amount, open_amount)
SELECT c, k.id, 'invoice', 'I1', '2026-01-01', '2026-01-31', 'EUR', 100, 100 FROM ctx JOIN o2c.customer k ON k.company_id = c;

-- the time of day is the company's: 06:00 in Berlin is 05:00 UTC in winter
SELECT is(pg_temp.tick('2026-03-01 04:59+00'), 'billing credit expiry kpi matching promises retention stock', 'dunning waits for its time of day');
SELECT is(pg_temp.tick('2026-03-01 05:00+00'), 'dunning matching promises stock', 'and comes with it, in the company''s time zone');
SELECT is(pg_temp.last('dunning'), '2026-03-01'::date, 'for the day');
SELECT is((SELECT array_agg(as_of) FROM o2c.aging_snapshot WHERE company_id = pg_temp.c()), '{2026-02-28}', 'the first of a month keeps how the last one closed');
SELECT is((SELECT count(*) FROM o2c.dunning_notice WHERE company_id = pg_temp.c() AND as_of = '2026-03-01'), 1::bigint, 'a notice was written');
SELECT is((SELECT result FROM o2c.job_run WHERE company_id = pg_temp.c() AND name = 'dunning'), '1 notices, 1 items, 1 messages', 'and the run is on record');
SELECT is(pg_temp.tick('2026-03-01 05:00+00'), NULL, 'a second tick finds nothing');
SELECT is(pg_temp.tick('2026-03-01 05:59+00'), NULL, 'nor another minute');
SELECT is(pg_temp.tick('2026-03-01 06:00+00'), 'matching promises stock', 'hourly jobs, every hour');
SELECT is(pg_temp.tick('2026-03-01 23:10+00'), 'credit expiry matching promises stock', 'the company''s midnight begins a day');
SELECT is(pg_temp.tick('2026-02-20 12:00+00'), NULL, 'a clock that goes back does nothing');

-- missed nights
UPDATE o2c.message SET state = 'sending', lease_owner = gen_random_uuid() WHERE company_id = pg_temp.c();
UPDATE o2c.message SET state = 'sent', sent_at = '2026-03-01', lease_owner = NULL WHERE company_id = pg_temp.c();
SELECT is(pg_temp.tick('2026-03-25 12:00+00'), 'billing credit dunning expiry kpi matching promises retention stock', 'after a long outage everything runs');
SELECT is(pg_temp.last('dunning'), '2026-03-25'::date, 'dunning for the present day only');
SELECT is((SELECT count(*) FROM o2c.dunning_notice WHERE company_id = pg_temp.c()), 2::bigint, 'one further notice, not one for each night');
SELECT is(pg_temp.tick('2026-03-25 12:00+00'), NULL, 'and nothing is left');

-- switched off, monthly
UPDATE o2c.job SET enabled = false WHERE company_id = pg_temp.c() AND name IN ('billing', 'credit', 'kpi', 'expiry', 'retention', 'matching', 'promises', 'stock');
UPDATE o2c.job SET enabled = true WHERE company_id = pg_temp.c() AND name = 'statements';
SELECT is(pg_temp.tick('2026-03-31 12:00+00'), 'dunning', 'only what is enabled');
SELECT is(pg_temp.tick('2026-04-01 04:29+00'), 'dunning', 'statements wait for their time');
SELECT is(pg_temp.tick('2026-04-01 04:30+00'), 'statements', 'on the first of the month');
SELECT is((SELECT count(*) FROM o2c.message WHERE company_id = pg_temp.c() AND kind = 'statement'), 1::bigint, 'a statement of account');
SELECT ok((SELECT body_text ~ 'I1' AND subject ~ '1 Apr 2026' FROM o2c.message WHERE company_id = pg_temp.c() AND kind = 'statement'), 'with what is open');
SELECT is(o2c.send_statements(pg_temp.c(), '2026-04-01'), 0::bigint, 'once for a day');
SELECT is(pg_temp.tick('2026-06-10 12:00+00'), 'dunning statements', 'months that were missed are one');
SELECT is(pg_temp.last('statements'), '2026-06-01'::date, 'for the last first');

-- failures
CREATE FUNCTION o2c._job_broken(company_id integer, day date) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO o2c.activity (company_id, customer_id, kind, subject) SELECT $1, k.id, 'note', 'half' FROM o2c.customer k WHERE k.company_id = $1;
  RAISE EXCEPTION 'broken on purpose';
END $$;
INSERT INTO o2c.job (company_id, name, every, run_at) SELECT c, 'broken', 'day', '00:00' FROM ctx;
SELECT is(pg_temp.tick('2026-06-11 12:00+00'), 'broken failed dunning', 'a job that fails stops no other');
SELECT is((SELECT row(failures, last_error, retry_at)::text FROM o2c.job WHERE company_id = pg_temp.c() AND name = 'broken'),
  row(1, 'broken on purpose', '2026-06-11 12:01+00'::timestamptz)::text, 'it is recorded, and when it is tried again');
SELECT is((SELECT count(*) FROM o2c.activity WHERE company_id = pg_temp.c() AND subject = 'half'), 0::bigint, 'its half work is undone');
SELECT is((SELECT count(*) FROM o2c.job_run WHERE company_id = pg_temp.c() AND NOT ok), 1::bigint, 'with a row in the log');
SELECT ok((SELECT array_to_string(warnings, ' ') ~ 'broken on purpose' FROM o2c.version()), 'version() warns');
SELECT is(pg_temp.tick('2026-06-11 12:00:30+00'), NULL, 'it waits');
SELECT is(pg_temp.tick('2026-06-11 12:01+00'), 'broken failed', 'and is tried again');
SELECT ok((SELECT last_tick_at IS NOT NULL AND jobs_failed >= 2 FROM o2c.job_heartbeat), 'the tick leaves its heartbeat');
SELECT is((SELECT state || ': ' || last_error FROM o2c_bi.jobs WHERE company_id = pg_temp.c() AND job = 'broken'), 'failing: broken on purpose', 'o2c_bi.jobs shows what fails');
SELECT ok((SELECT result ~ 'broken on purpose' FROM o2c_bi.job_runs WHERE company_id = pg_temp.c() AND outcome = 'failed' LIMIT 1), 'o2c_bi.job_runs each failure');
SELECT lives_ok($$CALL o2c.run_jobs('2026-06-12 12:00+00')$$, 'in a transaction block run_jobs() is one transaction');
SELECT is(pg_temp.last('dunning'), '2026-06-12'::date, 'and does the same');
SELECT throws_ok($$CALL o2c.run_jobs('infinity')$$, 'O2044', NULL, 'a time without end');
SELECT throws_ok($$CALL o2c.run_jobs(NULL)$$, 'O2044', NULL, 'no time');

-- a closed day keeps the fees away, not the reminders
SELECT is((SELECT notices FROM o2c.run_dunning(pg_temp.c(), '2026-06-13')), 0::bigint, 'nothing new within the interval');
UPDATE o2c.dunning_level SET fee_amount = 5, currency = 'EUR' WHERE company_id = pg_temp.c();
INSERT INTO o2c.open_item (company_id, customer_id, kind, number, document_date, due_date, currency, amount, open_amount)
SELECT c, k.id, 'invoice', 'I2', '2026-05-01', '2026-05-02', 'EUR', 70, 70 FROM ctx JOIN o2c.customer k ON k.company_id = c;
SELECT o2c.close_period(pg_temp.c(), '2026-06-01', '2026-06-30') IS NOT NULL;
SELECT is((SELECT notices FROM o2c.run_dunning(pg_temp.c(), '2026-06-20')), 1::bigint, 'a reminder goes out on a closed day');
SELECT is((SELECT count(*) FROM o2c.event WHERE company_id = pg_temp.c() AND event = 'charges_skipped'), 1::bigint, 'that it charged nothing is on record');
-- what a month's end leaves, what has ended, statements as files
SELECT is((SELECT string_agg(measure || coalesce(' ' || round(value, 2), ''), ', ' ORDER BY measure) FROM o2c_bi.kpis WHERE company_id = pg_temp.c() AND as_of = '2026-02-28' AND measure IN ('receivables', 'overdue', 'dso')),
  'dso 90.00, overdue 100.00, receivables 100.00', 'key figures of the month that closed');
SELECT o2c.block_dunning(pg_temp.c(), 'A', 'waiting', '2026-06-15', valid_from => '2026-06-10') IS NOT NULL;
SELECT is(o2c._job_expiry(pg_temp.c(), '2026-06-15'), '0 limits and blocks ended', 'what ends today has not ended');
SELECT is(o2c._job_expiry(pg_temp.c(), '2026-06-16') || ', ' || o2c._job_expiry(pg_temp.c(), '2026-06-17'), '1 limits and blocks ended, 0 limits and blocks ended', 'what has ended is told of once');
UPDATE o2c.company SET settings = settings || '{"attach_statement": true}' WHERE company_id = pg_temp.c();
SELECT is(o2c.send_statements(pg_temp.c(), '2026-06-25'), 1::bigint, 'a statement with its page');
SELECT ok((SELECT count(*) = 1 AND bool_and(a.name = 'statement-A-2026-06-25.html' AND convert_from(a.content, 'UTF8') ~ 'I1.*I2') FROM o2c.message_attachment a WHERE a.company_id = pg_temp.c()), 'attached once, with everything open');
-- what a notice has not taken in yet is not removed
CREATE FUNCTION pg_temp.reminder() RETURNS text LANGUAGE sql AS $$
  SELECT n.state || ' ' || (SELECT count(*) FROM o2c.message m WHERE m.company_id = n.company_id AND m.entity = 'dunning_notice' AND m.entity_id = n.id)
  FROM o2c.dunning_notice n WHERE n.company_id = pg_temp.c() ORDER BY n.id DESC LIMIT 1 $$;
UPDATE o2c.message SET state = 'sending', lease_owner = gen_random_uuid() WHERE company_id = pg_temp.c() AND state = 'queued';
UPDATE o2c.message SET state = 'sent', sent_at = '2026-06-20', lease_owner = NULL WHERE company_id = pg_temp.c() AND state = 'sending';
UPDATE o2c.company SET settings = settings || '{"message_retention": "-1 day"}' WHERE company_id = pg_temp.c();
SELECT matches(o2c._job_retention(pg_temp.c(), '2026-06-27'), '^messages [1-9]', 'old messages go');
SELECT is(pg_temp.reminder(), 'pending 1', 'not that of a notice that waits for its outcome');
SELECT o2c._job_promises(pg_temp.c(), '2026-06-27') IS NOT NULL, o2c._job_retention(pg_temp.c(), '2026-06-27') IS NOT NULL;
SELECT is(pg_temp.reminder(), 'accepted 0', 'only once it is known');

-- rights: who may run what; docs/reference/jobs.md says the same
SELECT is((SELECT string_agg(j.name || ': ' || j.roles, ', ' ORDER BY j.name) FROM (
    SELECT d.name, string_agg(substr(r.rolname, 5), ' ' ORDER BY r.rolname) AS roles FROM o2c._default_jobs() d JOIN pg_roles r ON r.rolname LIKE 'o2c\_%'
      AND has_function_privilege(r.oid, ('o2c._job_' || d.name || '(integer, date)')::regprocedure, 'EXECUTE') GROUP BY d.name) j),
  'billing: clerk, credit: admin manager, dunning: collector manager, expiry: admin, kpi: admin, matching: admin clerk manager, '
  || 'promises: collector manager, retention: admin, statements: collector manager, stock: clerk manager', 'each job is for the roles that may do it');
SELECT is((SELECT count(*) FROM pg_proc p WHERE p.pronamespace = 'o2c'::regnamespace AND p.proname LIKE '\_job\_%' AND p.pronargs = 2 AND p.proname <> '_job_broken'
           AND substr(p.proname, 6) NOT IN (SELECT name FROM o2c._default_jobs())), 0::bigint, 'and there is no other');
SELECT is_empty('SELECT * FROM o2c.check()', 'nothing is violated');
SELECT * FROM finish();
ROLLBACK;
