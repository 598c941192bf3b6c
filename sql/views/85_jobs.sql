-- Jobs: rights.
GRANT INSERT, UPDATE ON o2c.job TO o2c_admin;
GRANT INSERT, UPDATE ON o2c.job_heartbeat TO o2c_admin;
GRANT INSERT ON o2c.job_run TO o2c_admin;
GRANT EXECUTE ON FUNCTION o2c.schedule_jobs, o2c.unschedule_jobs, o2c.run_due_jobs, o2c._run_job, o2c._job_due TO o2c_admin;
GRANT EXECUTE ON FUNCTION o2c._warnings_jobs TO o2c_clerk, o2c_collector, o2c_manager, o2c_admin, o2c_dispatcher;
