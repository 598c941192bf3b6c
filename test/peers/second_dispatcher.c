/*
 * second_dispatcher.c
 *		start_dispatcher(): a further dispatcher for this database, behind the
 *		launcher's back.  The tests show that it leaves without sending.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"

PG_MODULE_MAGIC;
PG_FUNCTION_INFO_V1(start_dispatcher);

Datum
start_dispatcher(PG_FUNCTION_ARGS)
{
	BackgroundWorker worker = {0};
	BackgroundWorkerHandle *handle;
	pid_t		pid;

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	snprintf(worker.bgw_name, BGW_MAXLEN, "order2cash dispatcher");
	snprintf(worker.bgw_type, BGW_MAXLEN, "second dispatcher");
	snprintf(worker.bgw_library_name, MAXPGPATH, "order2cash");
	snprintf(worker.bgw_function_name, BGW_MAXLEN, "o2c_dispatch_worker_main");
	worker.bgw_main_arg = ObjectIdGetDatum(MyDatabaseId);
	worker.bgw_notify_pid = MyProcPid;
	if (!RegisterDynamicBackgroundWorker(&worker, &handle))
		elog(ERROR, "no background worker is free");
	/* true when it is still there after it had its turn */
	if (WaitForBackgroundWorkerStartup(handle, &pid) == BGWH_STOPPED)
		PG_RETURN_BOOL(false);
	pg_usleep(500000L);
	PG_RETURN_BOOL(GetBackgroundWorkerPid(handle, &pid) != BGWH_STOPPED);
}
