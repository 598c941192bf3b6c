-- Jobs: for reporting, and rights.
CREATE OR REPLACE VIEW o2c_bi.jobs WITH (security_invoker = true) AS
SELECT j.company_id, j.name AS job, j.every, j.last_for, j.last_started_at, j.last_ok_at,
  j.failures::bigint AS failures, j.last_error, j.retry_at,
  CASE WHEN NOT j.enabled THEN 'off' WHEN j.failures > 0 THEN 'failing' WHEN j.last_ok_at IS NULL THEN 'new' ELSE 'ok' END AS state
FROM o2c.job j;
COMMENT ON VIEW o2c_bi.jobs IS 'The regular work of each company: when it was last done, and what keeps it from being done.';
COMMENT ON COLUMN o2c_bi.jobs.company_id IS 'Company.';
COMMENT ON COLUMN o2c_bi.jobs.job IS 'Name of the job.';
COMMENT ON COLUMN o2c_bi.jobs.every IS 'tick, hour, day or month.';
COMMENT ON COLUMN o2c_bi.jobs.last_for IS 'The day that it was last done for.';
COMMENT ON COLUMN o2c_bi.jobs.last_started_at IS 'When it was last tried.';
COMMENT ON COLUMN o2c_bi.jobs.last_ok_at IS 'When it last went well.';
COMMENT ON COLUMN o2c_bi.jobs.failures IS 'Failed tries since then.';
COMMENT ON COLUMN o2c_bi.jobs.last_error IS 'What the last of them said.';
COMMENT ON COLUMN o2c_bi.jobs.retry_at IS 'When it is tried again.';
COMMENT ON COLUMN o2c_bi.jobs.state IS 'ok, failing, new or off.';

CREATE OR REPLACE VIEW o2c_bi.job_runs WITH (security_invoker = true) AS
SELECT r.company_id, r.id, r.name AS job, r.for_day, CASE WHEN r.ok THEN 'ok' ELSE 'failed' END AS outcome, r.result, r.started_at, r.finished_at
FROM o2c.job_run r;
COMMENT ON VIEW o2c_bi.job_runs IS 'Runs of daily and monthly jobs, and every failure, of the last 90 days.';
COMMENT ON COLUMN o2c_bi.job_runs.company_id IS 'Company.';
COMMENT ON COLUMN o2c_bi.job_runs.id IS 'Id of the run.';
COMMENT ON COLUMN o2c_bi.job_runs.job IS 'Name of the job.';
COMMENT ON COLUMN o2c_bi.job_runs.for_day IS 'The day that it was to do.';
COMMENT ON COLUMN o2c_bi.job_runs.outcome IS 'ok or failed.';
COMMENT ON COLUMN o2c_bi.job_runs.result IS 'What it did, or SQLSTATE and text of its error.';
COMMENT ON COLUMN o2c_bi.job_runs.started_at IS 'When it began.';
COMMENT ON COLUMN o2c_bi.job_runs.finished_at IS 'When it ended.';

CREATE OR REPLACE VIEW o2c_bi.kpis WITH (security_invoker = true) AS
SELECT k.company_id, k.as_of, k.measure, k.value, k.taken_at FROM o2c.kpi_snapshot k;
COMMENT ON VIEW o2c_bi.kpis IS 'Key figures of each month''s end, as they were known then.';
COMMENT ON COLUMN o2c_bi.kpis.company_id IS 'Company.';
COMMENT ON COLUMN o2c_bi.kpis.as_of IS 'Last day of the month.';
COMMENT ON COLUMN o2c_bi.kpis.measure IS 'Which figure: receivables, overdue, dso, cei ….';
COMMENT ON COLUMN o2c_bi.kpis.value IS 'In the company''s currency, days or percent; NULL where there were no sales to divide by.';
COMMENT ON COLUMN o2c_bi.kpis.taken_at IS 'When it was computed.';

GRANT INSERT ON o2c.kpi_snapshot TO o2c_admin;
GRANT INSERT, UPDATE ON o2c.job TO o2c_admin;
GRANT INSERT, UPDATE ON o2c.job_heartbeat TO o2c_admin;
GRANT INSERT, DELETE ON o2c.job_run TO o2c_admin;
GRANT EXECUTE ON FUNCTION o2c.schedule_jobs, o2c.unschedule_jobs, o2c.run_due_jobs, o2c._run_job, o2c._begin_job, o2c._job_failed, o2c._job_wait, o2c._require_job_right,
  o2c._job_due, o2c._begin_tick, o2c._due_jobs, o2c._end_tick TO o2c_admin;
GRANT EXECUTE ON PROCEDURE o2c.run_jobs TO o2c_admin;
GRANT EXECUTE ON FUNCTION o2c._warnings_jobs TO o2c_clerk, o2c_collector, o2c_manager, o2c_admin, o2c_dispatcher;

-- Each job for the roles that may call all that it calls.
GRANT EXECUTE ON FUNCTION o2c._job_expiry, o2c._job_kpi, o2c._job_retention TO o2c_admin;
GRANT EXECUTE ON FUNCTION o2c._job_credit TO o2c_manager, o2c_admin;
GRANT EXECUTE ON FUNCTION o2c._job_matching TO o2c_clerk, o2c_manager, o2c_admin;
GRANT EXECUTE ON FUNCTION o2c._job_stock TO o2c_clerk, o2c_manager;
GRANT EXECUTE ON FUNCTION o2c._job_billing TO o2c_clerk;
GRANT EXECUTE ON FUNCTION o2c._job_promises, o2c._job_dunning, o2c._job_statements TO o2c_collector, o2c_manager;
