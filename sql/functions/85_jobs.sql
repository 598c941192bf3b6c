-- Jobs: one idempotent tick that anything may call, and its entry in pg_cron.
--
-- A job is a function o2c._job_<name>(company_id, day) that returns a line for
-- the log; domains may add their own.  Each does nothing that was done.  A job
-- calls what one role at least may call alone: the login that ticks needs that
-- role for it, and no job needs two.

CREATE FUNCTION o2c._job_dunning(company_id integer, day date) RETURNS text
LANGUAGE sql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$ SELECT pg_catalog.format('%s notices, %s items, %s messages', r.notices, r.items, r.messages) FROM o2c.run_dunning($1, $2) r $$;
COMMENT ON FUNCTION o2c._job_dunning(integer, date) IS 'Job: reminders of the day.';

CREATE FUNCTION o2c._job_promises(company_id integer, day date) RETURNS text
LANGUAGE sql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  SELECT pg_catalog.format('promises %s kept, %s broken; notices %s accepted, %s failed, %s cancelled',
                           p.kept, p.broken, d.accepted, d.failed, d.cancelled)
  FROM o2c.settle_promises($1, $2) p, o2c.settle_dunning($1, $2) d
$$;
COMMENT ON FUNCTION o2c._job_promises(integer, date) IS 'Job: outcome of promises and of notices.';

CREATE FUNCTION o2c._job_statements(company_id integer, day date) RETURNS text
LANGUAGE sql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$ SELECT pg_catalog.format('%s statements', o2c.send_statements($1, $2)) $$;
COMMENT ON FUNCTION o2c._job_statements(integer, date) IS 'Job: statements of account.';

CREATE FUNCTION o2c._job_matching(company_id integer, day date) RETURNS text
LANGUAGE sql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$ SELECT pg_catalog.to_jsonb(r)::text FROM o2c.match_cash($1, $2) r $$;
COMMENT ON FUNCTION o2c._job_matching(integer, date) IS 'Job: match bank lines to open items.';

CREATE FUNCTION o2c._job_billing(company_id integer, day date) RETURNS text
LANGUAGE sql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$ SELECT pg_catalog.to_jsonb(r)::text FROM o2c.run_billing($1, $2) r $$;
COMMENT ON FUNCTION o2c._job_billing(integer, date) IS 'Job: draft invoices for what can be billed.';

CREATE FUNCTION o2c._job_stock(company_id integer, day date) RETURNS text
LANGUAGE sql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$ SELECT pg_catalog.format('%s reserved', o2c.allocate_stock($1)) $$;
COMMENT ON FUNCTION o2c._job_stock(integer, date) IS 'Job: what became free on stock goes to back-orders.';

CREATE FUNCTION o2c._job_expiry(company_id integer, day date) RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  ended bigint;
BEGIN
  -- what ends by its date ends without a job: this tells of it, once
  INSERT INTO o2c.event (company_id, entity, entity_id, event, data)
  SELECT x.company_id, 'customer', x.customer_id, x.event, pg_catalog.jsonb_build_object('id', x.id, 'valid_to', x.valid_to)
  FROM (SELECT i.company_id, i.customer_id, 'credit_increase_ended' AS event, i.id, i.valid_to FROM o2c.credit_increase i
        UNION ALL
        SELECT b.company_id, b.customer_id, 'dunning_block_ended', b.id, b.valid_to FROM o2c.dunning_block b WHERE b.lifted_at IS NULL) x
  WHERE x.company_id = $1 AND x.valid_to < $2 AND x.valid_to >= $2 - 366
    AND NOT EXISTS (SELECT FROM o2c.event e WHERE e.company_id = $1 AND e.entity = 'customer' AND e.entity_id = x.customer_id
                    AND e.event = x.event AND e.data @> pg_catalog.jsonb_build_object('id', x.id));
  GET DIAGNOSTICS ended = ROW_COUNT;
  RETURN pg_catalog.format('%s limits and blocks ended', ended);
END $$;
COMMENT ON FUNCTION o2c._job_expiry(integer, date) IS
  'Job: an event for each temporary limit and reminder block that has ended, once.';

CREATE FUNCTION o2c._job_credit(company_id integer, day date) RETURNS text
LANGUAGE sql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$ SELECT pg_catalog.format('%s receipts final, %s orders moved, %s held', s.receipts, s.orders, s.held) FROM o2c.settle_exposure($1, $2) s $$;
COMMENT ON FUNCTION o2c._job_credit(integer, date) IS 'Job: what the day changes in credit.';

CREATE FUNCTION o2c._job_kpi(company_id integer, day date) RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  last date := $2 - 1;
  began date := $2 - 90;
  aged bigint;
BEGIN
  -- the first day of a month keeps how the last one closed
  IF pg_catalog.date_part('day', $2) <> 1 THEN
    RETURN NULL;
  END IF;
  aged := o2c.take_aging_snapshot($1, last);
  INSERT INTO o2c.kpi_snapshot (company_id, as_of, measure, value)
  SELECT $1, last, k.measure, k.value
  FROM o2c._receivables_at($1, last) r
  CROSS JOIN LATERAL (VALUES ('receivables', r.balance), ('overdue', r.balance - r.not_overdue),
    ('dso', o2c.dso($1, began, last)), ('dso_countback', o2c.dso($1, began, last, 'countback')),
    ('dso_best_possible', o2c.dso($1, began, last, 'best_possible')), ('add', o2c.dso($1, began, last, 'add')),
    ('cei', o2c.cei($1, began, last)), ('average_days_late', o2c.average_days_late($1, began, last))) k (measure, value)
  ON CONFLICT (company_id, as_of, measure) DO NOTHING;
  RETURN pg_catalog.format('aging of %s: %s rows', last, aged);
END $$;
COMMENT ON FUNCTION o2c._job_kpi(integer, date) IS
  'Job: on the first of a month keeps the aging and the key figures (o2c.kpi_snapshot) of the month''s end.';

CREATE FUNCTION o2c._job_retention(company_id integer, day date) RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  keep interval := coalesce((SELECT c.settings ->> 'message_retention' FROM o2c.company c WHERE c.company_id = $1), '400 days')::interval;
  messages text;
  runs bigint;
BEGIN
  messages := o2c.purge_messages($1, keep)::text;
  DELETE FROM o2c.job_run r WHERE r.company_id = $1 AND r.started_at < $2 - 90;
  GET DIAGNOSTICS runs = ROW_COUNT;
  RETURN pg_catalog.format('messages %s, runs %s', messages, runs);
END $$;
COMMENT ON FUNCTION o2c._job_retention(integer, date) IS
  'Job: remove old messages (company.settings "message_retention", default 400 days) and runs.';

CREATE FUNCTION o2c._default_jobs()
RETURNS TABLE (name text, every text, run_at time, each_day boolean, enabled boolean)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  VALUES ('promises', 'hour', '00:00'::time, false, true),
         ('matching', 'hour', '00:00', false, true),
         ('stock', 'hour', '00:00', false, true),
         ('expiry', 'day', '00:05', false, true),
         ('credit', 'day', '00:01', false, true),
         ('billing', 'day', '02:00', false, true),
         ('kpi', 'day', '00:30', true, true),
         ('retention', 'day', '03:00', false, true),
         ('dunning', 'day', '06:00', false, true),
         ('statements', 'month', '06:30', false, false)
$$;
COMMENT ON FUNCTION o2c._default_jobs() IS
  'Jobs of a company that has not chosen otherwise; statements wait until they are wanted.';

CREATE FUNCTION o2c._job_day(every text, run_at time, day_of_month integer, local_now timestamp) RETURNS date
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  -- the last day that the job had its turn on
  SELECT CASE every
    WHEN 'day' THEN (local_now - run_at::interval)::date
    WHEN 'month' THEN (pg_catalog.date_trunc('month', local_now - run_at::interval - pg_catalog.make_interval(days => day_of_month - 1))
                       + pg_catalog.make_interval(days => day_of_month - 1))::date
    ELSE local_now::date END
$$;
COMMENT ON FUNCTION o2c._job_day(text, time, integer, timestamp) IS
  'The last day, by the company''s clock, that a job was to run for.';

CREATE FUNCTION o2c._require_job_right(job_name text, work regprocedure) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
BEGIN
  IF NOT pg_catalog.has_function_privilege($2, 'EXECUTE') THEN
    RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
      MESSAGE = pg_catalog.format('job "%s" takes the rights of %s, which %I does not have', $1,
        coalesce((SELECT pg_catalog.string_agg(x.grantee::regrole::text, ' or ' ORDER BY x.grantee::regrole::text)
                  FROM pg_catalog.pg_proc p, pg_catalog.aclexplode(p.proacl) x
                  WHERE p.oid = $2 AND x.privilege_type = 'EXECUTE' AND NOT x.is_grantable AND x.grantee NOT IN (0, p.proowner)), 'its owner'), current_user);
  END IF;
END $$;
COMMENT ON FUNCTION o2c._require_job_right(text, regprocedure) IS
  'Refuse a job whose function the caller may not execute, naming the roles that may. Errors: 42501.';

CREATE FUNCTION o2c._job_wait(failures integer) RETURNS interval
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$ SELECT least(pg_catalog.power(2, least(failures, 6)), 60) * '1 minute'::interval $$;
COMMENT ON FUNCTION o2c._job_wait(integer) IS 'How long a job waits that had failed so often before: 1, 2, 4 … 60 minutes.';

CREATE FUNCTION o2c._begin_job(company_id integer, job_name text, at_time timestamptz) RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  -- one that was begun before and neither ended nor failed took its session with it
  UPDATE o2c.job j SET begun_at = $3, retry_at = $3 + o2c._job_wait(j.failures + (j.begun_at IS NOT NULL)::integer),
    failures = j.failures + (j.begun_at IS NOT NULL)::integer,
    last_error = CASE WHEN j.begun_at IS NULL THEN j.last_error ELSE 'was interrupted' END
  FROM (SELECT j.company_id, j.name
        FROM o2c.job j JOIN o2c.company c ON c.company_id = j.company_id
        WHERE j.company_id = $1 AND j.name = $2
          AND o2c._job_due(j.every, j.run_at, j.day_of_month, j.enabled, j.last_for, j.last_started_at, j.retry_at, c.time_zone, $3)
        FOR UPDATE OF j SKIP LOCKED) due
  WHERE j.company_id = due.company_id AND j.name = due.name;
  RETURN FOUND;
END $$;
COMMENT ON FUNCTION o2c._begin_job(integer, text, timestamptz) IS
  'Note, to be committed before it runs, that a due job is begun: until it has ended or failed it waits as if it had failed. False when it is not due, or another tick has it in work.';

CREATE FUNCTION o2c._job_failed(company_id integer, job_name text, at_time timestamptz, sqlstate_of text, message text) RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  PERFORM pg_catalog.set_config('lock_timeout', '1s', true);
  UPDATE o2c.job j SET last_started_at = $3, failures = j.failures + 1, last_error = $5, begun_at = NULL,
    retry_at = $3 + o2c._job_wait(j.failures)
  WHERE j.company_id = $1 AND j.name = $2;
  BEGIN
    INSERT INTO o2c.job_run (company_id, name, for_day, ok, result, started_at)
    SELECT $1, $2, ($3 AT TIME ZONE c.time_zone)::date, false, $4 || ': ' || $5, pg_catalog.now()
    FROM o2c.company c WHERE c.company_id = $1;
  EXCEPTION WHEN lock_not_available THEN
    NULL; -- the company itself is held: o2c.job says it
  END;
  RETURN false;
END $$;
COMMENT ON FUNCTION o2c._job_failed(integer, text, timestamptz, text, text) IS
  'Record the failure of a job that could not do so itself: its time was up, or its company is locked.';

CREATE FUNCTION o2c._run_job(company_id integer, job_name text, at_time timestamptz) RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  job record;
  target date;
  day date;
  began timestamptz;
  work regprocedure;
  outcome text;
  note text;
  bounded boolean := false;
BEGIN
  -- another tick that has it in work does it; what it has done is not due
  SELECT j.*, c.time_zone INTO job
  FROM o2c.job j JOIN o2c.company c ON c.company_id = j.company_id
  WHERE j.company_id = $1 AND j.name = $2
  FOR UPDATE OF j SKIP LOCKED;
  IF NOT FOUND OR NOT coalesce(job.begun_at = $3, false)
    AND NOT o2c._job_due(job.every, job.run_at, job.day_of_month, job.enabled, job.last_for, job.last_started_at,
                         job.retry_at, job.time_zone, $3) THEN
    RETURN NULL;
  END IF;
  work := pg_catalog.to_regprocedure(pg_catalog.format('o2c.%I(integer, date)', '_job_' || $2));
  IF work IS NULL THEN
    UPDATE o2c.job j SET last_error = 'there is no function o2c._job_' || $2, retry_at = $3 + '1 day'::interval, begun_at = NULL
    WHERE j.company_id = $1 AND j.name = $2;
    RETURN NULL;
  END IF;
  target := o2c._job_day(job.every, job.run_at, job.day_of_month, $3 AT TIME ZONE job.time_zone);
  day := target;
  IF job.each_day AND job.every = 'day' AND job.last_for < target THEN
    day := greatest(job.last_for + 1, target - 366);
  END IF;
  began := pg_catalog.clock_timestamp();
  -- whoever holds a lock for long has this job wait, and not all the others
  IF pg_catalog.current_setting('lock_timeout') = '0' THEN
    PERFORM pg_catalog.set_config('lock_timeout', '30s', true);
    bounded := true;
  END IF;
  BEGIN
    PERFORM o2c._require_job_right($2, work);
    SET CONSTRAINTS ALL DEFERRED;
    LOOP
      EXECUTE pg_catalog.format('SELECT o2c.%I($1, $2)', '_job_' || $2) INTO note USING $1, day;
      outcome := pg_catalog.concat_ws('; ', outcome, note);
      EXIT WHEN day >= target;
      day := day + 1;
    END LOOP;
    -- constraints that wait for the end of the transaction must not take the
    -- other jobs down with this one
    SET CONSTRAINTS ALL IMMEDIATE;
  EXCEPTION WHEN OTHERS THEN
    -- only this job's work is undone
    UPDATE o2c.job j SET last_started_at = $3, failures = j.failures + 1, last_error = SQLERRM, begun_at = NULL,
      retry_at = $3 + o2c._job_wait(j.failures)
    WHERE j.company_id = $1 AND j.name = $2;
    INSERT INTO o2c.job_run (company_id, name, for_day, ok, result, started_at)
    VALUES ($1, $2, day, false, SQLSTATE || ': ' || SQLERRM, began);
    IF bounded THEN
      PERFORM pg_catalog.set_config('lock_timeout', '0', true);
    END IF;
    RETURN false;
  END;
  UPDATE o2c.job j SET last_for = target, last_started_at = $3, last_ok_at = $3, failures = 0, retry_at = NULL, last_error = NULL,
    begun_at = NULL
  WHERE j.company_id = $1 AND j.name = $2;
  IF job.every IN ('day', 'month') THEN
    INSERT INTO o2c.job_run (company_id, name, for_day, ok, result, started_at)
    VALUES ($1, $2, target, true, pg_catalog.left(outcome, 10000), began);
  END IF;
  IF bounded THEN
    PERFORM pg_catalog.set_config('lock_timeout', '0', true);
  END IF;
  RETURN true;
END $$;
COMMENT ON FUNCTION o2c._run_job(integer, text, timestamptz) IS
  'Run one job when it is due: true when it went well, false when it failed (recorded), NULL when there was nothing to do.';

CREATE FUNCTION o2c._job_due(every text, run_at time, day_of_month integer, enabled boolean, last_for date,
  last_started_at timestamptz, retry_at timestamptz, time_zone text, at_time timestamptz) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  SELECT enabled AND coalesce(retry_at <= at_time, true) AND CASE every
    WHEN 'tick' THEN true
    WHEN 'hour' THEN retry_at IS NOT NULL OR last_started_at IS NULL
      OR pg_catalog.date_trunc('hour', last_started_at) < pg_catalog.date_trunc('hour', at_time)
    -- a new job waits for its next turn
    ELSE o2c._job_day(every, run_at, day_of_month, at_time AT TIME ZONE time_zone)
         > coalesce(last_for, (at_time AT TIME ZONE time_zone)::date - 1) END
$$;
COMMENT ON FUNCTION o2c._job_due(text, time, integer, boolean, date, timestamptz, timestamptz, text, timestamptz) IS
  'Whether a job has something to do at a time.';

CREATE FUNCTION o2c._begin_tick(at_time timestamptz) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
BEGIN
  IF $1 IS NULL OR NOT pg_catalog.isfinite($1) THEN
    RAISE EXCEPTION USING ERRCODE = 'O2044', MESSAGE = 'jobs need a finite time';
  END IF;
  -- in the order in which two ticks would meet the same rows
  INSERT INTO o2c.job (company_id, name, every, run_at, each_day, enabled, last_for)
  SELECT c.company_id, d.name, d.every, d.run_at, d.each_day, d.enabled,
         least(o2c._job_day(d.every, d.run_at, 1, $1 AT TIME ZONE c.time_zone), ($1 AT TIME ZONE c.time_zone)::date - 1)
  FROM o2c.company c CROSS JOIN o2c._default_jobs() d
  WHERE NOT EXISTS (SELECT FROM o2c.job j WHERE j.company_id = c.company_id AND j.name = d.name)
  ORDER BY c.company_id, d.name
  FOR KEY SHARE OF c SKIP LOCKED
  ON CONFLICT DO NOTHING;

  -- what is switched off is not made up when it is switched on again
  UPDATE o2c.job j SET last_for = off.day
  FROM (SELECT j.company_id, j.name, o2c._job_day(j.every, j.run_at, j.day_of_month, $1 AT TIME ZONE c.time_zone) AS day
        FROM o2c.job j JOIN o2c.company c ON c.company_id = j.company_id
        WHERE NOT j.enabled
          AND j.last_for < o2c._job_day(j.every, j.run_at, j.day_of_month, $1 AT TIME ZONE c.time_zone)
        FOR UPDATE OF j SKIP LOCKED) off
  WHERE j.company_id = off.company_id AND j.name = off.name;
END $$;
COMMENT ON FUNCTION o2c._begin_tick(timestamptz) IS
  'Before the jobs of a tick: new companies get theirs, what is switched off is not owed. Errors: O2044.';

CREATE FUNCTION o2c._due_jobs(at_time timestamptz) RETURNS TABLE (company_id integer, name text)
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  SELECT j.company_id, j.name FROM o2c.job j JOIN o2c.company c ON c.company_id = j.company_id
  WHERE o2c._job_due(j.every, j.run_at, j.day_of_month, j.enabled, j.last_for, j.last_started_at, j.retry_at, c.time_zone, $1)
  ORDER BY j.company_id, j.run_at, j.name
$$;
COMMENT ON FUNCTION o2c._due_jobs(timestamptz) IS 'The jobs that have something to do at a time, in their order.';

CREATE FUNCTION o2c._end_tick(ran bigint, failed bigint) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
BEGIN
  -- a tick that another one is at work with does not wait for it here
  PERFORM FROM o2c.job_heartbeat FOR UPDATE SKIP LOCKED;
  IF FOUND THEN
    UPDATE o2c.job_heartbeat h SET last_tick_at = pg_catalog.clock_timestamp(),
      jobs_run = h.jobs_run + ran, jobs_failed = h.jobs_failed + failed;
  ELSIF NOT EXISTS (SELECT FROM o2c.job_heartbeat) THEN
    INSERT INTO o2c.job_heartbeat (last_tick_at, jobs_run, jobs_failed)
    VALUES (pg_catalog.clock_timestamp(), ran, failed) ON CONFLICT DO NOTHING;
  END IF;
END $$;
COMMENT ON FUNCTION o2c._end_tick(bigint, bigint) IS 'After the jobs of a tick: its heartbeat.';

CREATE FUNCTION o2c.run_due_jobs(now timestamptz DEFAULT pg_catalog.now())
RETURNS TABLE (company_id integer, job text, ok boolean)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  ran bigint := 0;
  failed bigint := 0;
BEGIN
  PERFORM o2c._begin_tick($1);
  FOR company_id, job IN SELECT d.company_id, d.name FROM o2c._due_jobs($1) d LOOP
    ok := o2c._run_job(company_id, job, $1);
    IF ok IS NOT NULL THEN
      ran := ran + 1;
      failed := failed + (NOT ok)::integer;
      RETURN NEXT;
    END IF;
  END LOOP;
  PERFORM o2c._end_tick(ran, failed);
END $$;
COMMENT ON FUNCTION o2c.run_due_jobs(timestamptz) IS
  'The tick in one transaction: run every job that is due in some company at the time, each on its own; one row for each that ran. A failure is recorded (o2c.job, o2c.job_run, o2c_bi.jobs), tried again later and stops no other. Errors: O2044. See run_jobs for a transaction a job.';

CREATE PROCEDURE o2c.run_jobs(now timestamptz DEFAULT pg_catalog.now())
LANGUAGE c AS 'MODULE_PATHNAME', 'o2c_jobs_run';
COMMENT ON PROCEDURE o2c.run_jobs(timestamptz) IS
  'The tick as run_due_jobs does it, but each job of each company commits by itself: no company waits for another''s locks, and what was done stays done whatever ends the call. Called inside of a transaction block it is one transaction. Errors: O2044.';

-- pg_cron

CREATE FUNCTION o2c._cron_name(database text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$ SELECT 'order2cash ' || database $$;
COMMENT ON FUNCTION o2c._cron_name(text) IS 'Name of the entry in cron.job for a database.';

CREATE FUNCTION o2c.schedule_jobs(schedule text DEFAULT '* * * * *', database text DEFAULT NULL, username text DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
DECLARE
  target text := coalesce(database, pg_catalog.current_database());
  home text := pg_catalog.current_setting('cron.database_name', true);
  result bigint;
BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_database d WHERE d.datname = target) THEN
    RAISE EXCEPTION USING ERRCODE = 'O2003', MESSAGE = pg_catalog.format('there is no database "%s"', target);
  END IF;
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_extension e WHERE e.extname = 'pg_cron') THEN
    RAISE EXCEPTION USING ERRCODE = 'O2001',
      MESSAGE = 'pg_cron is not installed in this database',
      DETAIL = CASE WHEN home IS NULL THEN 'The server does not preload pg_cron.'
                    ELSE pg_catalog.format('pg_cron lives in database "%s".', home) END,
      HINT = CASE WHEN home IS NULL
        THEN 'Add pg_cron to shared_preload_libraries, or let any scheduler CALL o2c.run_jobs() every minute.'
        ELSE pg_catalog.format('In database "%s" run: SELECT cron.schedule_in_database(%L, %L, %L, %L);',
               home, o2c._cron_name(target), schedule, 'CALL o2c.run_jobs()', target) END;
  END IF;
  -- the same name again replaces the entry
  IF pg_catalog.to_regprocedure('cron.schedule_in_database(text, text, text, text, text, boolean)') IS NOT NULL THEN
    EXECUTE 'SELECT cron.schedule_in_database($1, $2, $3, $4, $5, true)' INTO result
      USING o2c._cron_name(target), schedule, 'CALL o2c.run_jobs()', target, username;
  ELSIF target = pg_catalog.current_database() AND username IS NULL THEN
    EXECUTE 'SELECT cron.schedule($1, $2, $3)' INTO result
      USING o2c._cron_name(target), schedule, 'CALL o2c.run_jobs()';
  ELSE
    RAISE EXCEPTION USING ERRCODE = 'O2001', MESSAGE = 'this pg_cron cannot run jobs in another database or for another user',
      HINT = 'Update pg_cron to 1.4 or later.';
  END IF;
  IF target = pg_catalog.current_database() THEN
    INSERT INTO o2c.job_heartbeat (last_tick_at, jobs_run, jobs_failed, scheduled)
    VALUES (pg_catalog.clock_timestamp(), 0, 0, true)
    ON CONFLICT (singleton) DO UPDATE SET scheduled = true, last_tick_at = EXCLUDED.last_tick_at;
  END IF;
  RETURN result;
END $$;
COMMENT ON FUNCTION o2c.schedule_jobs(text, text, text) IS
  'Let pg_cron call run_jobs() in this database or, from pg_cron''s own, in another; again: replaces the entry. Returns pg_cron''s job id. Errors: O2001 where pg_cron is not (the hint says what to run where), O2003.';

CREATE FUNCTION o2c.unschedule_jobs(database text DEFAULT NULL)
RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
DECLARE
  target text := coalesce(database, pg_catalog.current_database());
  removed bigint := 0;
BEGIN
  IF EXISTS (SELECT FROM pg_catalog.pg_extension e WHERE e.extname = 'pg_cron') THEN
    EXECUTE 'SELECT pg_catalog.count(cron.unschedule(j.jobid)) FROM cron.job j WHERE j.jobname = $1'
      INTO removed USING o2c._cron_name(target);
  END IF;
  IF target = pg_catalog.current_database() THEN
    UPDATE o2c.job_heartbeat h SET scheduled = false;
  END IF;
  RETURN removed > 0;
END $$;
COMMENT ON FUNCTION o2c.unschedule_jobs(text) IS
  'Remove the entry of schedule_jobs() from pg_cron; false when there was none.';

CREATE FUNCTION o2c._warnings_jobs() RETURNS text[]
LANGUAGE sql STABLE PARALLEL UNSAFE
SET search_path = pg_catalog, o2c, pg_temp
AS $$
  SELECT pg_catalog.array_agg(w.warning ORDER BY w.warning) FROM (
    SELECT pg_catalog.format('jobs: no tick since %s; is pg_cron running?', h.last_tick_at) AS warning
    FROM o2c.job_heartbeat h WHERE h.scheduled AND h.last_tick_at < pg_catalog.now() - '10 minutes'::interval
    UNION ALL
    SELECT pg_catalog.format('jobs: "%s" of company %s has failed %s times: %s', j.name, j.company_id, j.failures, j.last_error)
    FROM o2c.job j WHERE j.enabled AND j.failures > 0
  ) w
$$;
COMMENT ON FUNCTION o2c._warnings_jobs() IS 'What version() should say about jobs: a tick that no longer comes, jobs that fail.';
