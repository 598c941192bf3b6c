-- Jobs: what is to be done regularly for each company, and what was.
--
-- When a job is due follows from the stored day that it was last done for and
-- the company's own time zone, never from how often the tick comes: a night
-- that was missed is made up, a second tick finds nothing to do.

CREATE TABLE o2c.job (
  company_id integer NOT NULL REFERENCES o2c.company,
  name text NOT NULL CHECK (name ~ '^[a-z][a-z0-9_]{0,50}$'),
  every text NOT NULL CHECK (every IN ('tick', 'hour', 'day', 'month')),
  run_at time NOT NULL DEFAULT '06:00',
  day_of_month integer NOT NULL DEFAULT 1 CHECK (day_of_month BETWEEN 1 AND 28),
  each_day boolean NOT NULL DEFAULT false,
  enabled boolean NOT NULL DEFAULT true,
  last_for date CHECK (pg_catalog.isfinite(last_for)),
  last_started_at timestamptz,
  last_ok_at timestamptz,
  failures integer NOT NULL DEFAULT 0 CHECK (failures >= 0),
  retry_at timestamptz,
  last_error text,
  begun_at timestamptz,
  PRIMARY KEY (company_id, name)
);
COMMENT ON TABLE o2c.job IS 'Regular work of a company; name is that of a function o2c._job_<name>(company_id, day).';
COMMENT ON COLUMN o2c.job.every IS 'tick: whenever run_due_jobs comes; hour, day, month: once in each, of the company''s time zone.';
COMMENT ON COLUMN o2c.job.run_at IS 'For day and month: not before this time of the company''s day.';
COMMENT ON COLUMN o2c.job.each_day IS 'Missed days are made up one by one (snapshots), not by one run for the last (reminders).';
COMMENT ON COLUMN o2c.job.last_for IS 'The day that it was last done for.';
COMMENT ON COLUMN o2c.job.begun_at IS 'The tick that began it last, until it has ended or failed: one that was interrupted keeps it, and waits like one that failed.';
COMMENT ON COLUMN o2c.job.failures IS 'Failed tries since it last went well; the wait before the next doubles from a minute to an hour.';

CREATE SEQUENCE o2c.job_run_id_seq;
CREATE TABLE o2c.job_run (
  company_id integer NOT NULL REFERENCES o2c.company,
  id bigint NOT NULL DEFAULT pg_catalog.nextval('o2c.job_run_id_seq'),
  name text NOT NULL,
  for_day date NOT NULL CHECK (pg_catalog.isfinite(for_day)),
  ok boolean NOT NULL,
  result text,
  started_at timestamptz NOT NULL,
  finished_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
  PRIMARY KEY (company_id, id)
);
ALTER SEQUENCE o2c.job_run_id_seq OWNED BY o2c.job_run.id;
CREATE INDEX job_run_name_idx ON o2c.job_run (company_id, name, started_at);
COMMENT ON TABLE o2c.job_run IS 'Runs of daily and monthly jobs, and every failure; the job retention keeps 90 days.';

CREATE TABLE o2c.job_heartbeat (
  singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
  last_tick_at timestamptz NOT NULL,
  jobs_run bigint NOT NULL,
  jobs_failed bigint NOT NULL,
  scheduled boolean NOT NULL DEFAULT false
);
COMMENT ON TABLE o2c.job_heartbeat IS 'One row of the database: the last tick of run_due_jobs.';
COMMENT ON COLUMN o2c.job_heartbeat.scheduled IS 'schedule_jobs() was called: version() warns when no tick comes.';

-- What the key figures were when a month closed; the job kpi writes it once.
CREATE TABLE o2c.kpi_snapshot (
  company_id integer NOT NULL REFERENCES o2c.company,
  as_of date NOT NULL CHECK (pg_catalog.isfinite(as_of)),
  measure text NOT NULL CHECK (measure ~ '^[a-z][a-z0-9_]{0,60}$'),
  value numeric CHECK (value NOT IN ('NaN', 'Infinity', '-Infinity')),
  taken_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
  PRIMARY KEY (company_id, as_of, measure)
);
COMMENT ON TABLE o2c.kpi_snapshot IS 'Key figures as they were known when a month had closed, in the company''s currency, days or percent.';
COMMENT ON COLUMN o2c.kpi_snapshot.as_of IS 'Last day of the month.';
COMMENT ON COLUMN o2c.kpi_snapshot.measure IS 'receivables, overdue, dso, dso_countback, dso_best_possible, add, cei, average_days_late, each over the last 90 days.';
