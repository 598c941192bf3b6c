/*
 * launcher.c
 *		Shared memory of the dispatchers, and the launcher that keeps them.
 *
 * The launcher is a static background worker, started once recovery has
 * finished; a promotion therefore starts it.  It is connected to no database,
 * so that it stands in the way of none.  For each name in order2cash.databases
 * it keeps one dispatcher running, unless the database is paused, not armed or
 * without order2cash; then it asks again when woken, or after a while.
 */
#include "o2c.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"
#include "utils/varlena.h"

#include "dispatch/dispatch.h"

/* How long until an idle database is asked again, milliseconds. */
#define RETRY_IDLE 10000
#define RETRY_FAILED 3000

PGDLLEXPORT void o2c_dispatch_launcher_main(Datum arg);

static DispatchShared *shared = NULL;
static shmem_request_hook_type prev_shmem_request_hook = NULL;
static shmem_startup_hook_type prev_shmem_startup_hook = NULL;

/* Workers that this launcher started, by slot. */
static BackgroundWorkerHandle *handles[DISPATCH_MAX_DATABASES];

/* Reserve what DispatchShmemStartup takes. */
static void
DispatchShmemRequest(void)
{
	if (prev_shmem_request_hook)
		prev_shmem_request_hook();
	RequestAddinShmemSpace(MAXALIGN(sizeof(DispatchShared)));
	RequestNamedLWLockTranche("order2cash", 1);
}

/* Create or attach the shared memory. */
static void
DispatchShmemStartup(void)
{
	bool		found;

	if (prev_shmem_startup_hook)
		prev_shmem_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared = ShmemInitStruct("order2cash", sizeof(DispatchShared), &found);
	if (!found)
	{
		memset(shared, 0, sizeof(DispatchShared));
		shared->lock = &GetNamedLWLockTranche("order2cash")->lock;
	}
	LWLockRelease(AddinShmemInitLock);
}

/* The shared memory, or NULL when the library was not preloaded. */
DispatchShared *
DispatchMemory(void)
{
	return shared;
}

/* Called by _PG_init while shared_preload_libraries are loaded. */
void
DispatchInit(void)
{
	BackgroundWorker worker = {0};

	prev_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = DispatchShmemRequest;
	prev_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = DispatchShmemStartup;

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = 2;
	strlcpy(worker.bgw_name, "order2cash launcher", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "order2cash launcher", BGW_MAXLEN);
	strlcpy(worker.bgw_library_name, "order2cash", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "o2c_dispatch_launcher_main", BGW_MAXLEN);
	RegisterBackgroundWorker(&worker);
}

/* The slot of a database; the caller holds the lock.  NULL when there is none. */
DispatchSlot *
DispatchSlotOf(Oid dboid, bool create)
{
	DispatchSlot *unused = NULL;

	for (int i = 0; i < DISPATCH_MAX_DATABASES; i++)
	{
		DispatchSlot *slot = &shared->slots[i];

		if (slot->dboid == dboid)
			return slot;
		if (slot->dboid == InvalidOid && unused == NULL)
			unused = slot;
	}
	if (!create || unused == NULL)
		return NULL;
	memset(unused, 0, sizeof(DispatchSlot));
	unused->dboid = dboid;
	return unused;
}

/* Nobody may set the latch of a launcher that is gone. */
static void
LauncherExit(int code, Datum arg)
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	shared->launcher_pid = 0;
	shared->launcher_latch = NULL;
	LWLockRelease(shared->lock);
}

/* The databases of the setting that exist, in the given memory context. */
static int
ServedDatabases(MemoryContext context, Oid *oids)
{
	char	   *copy;
	List	   *names = NIL;
	ListCell   *lc;
	int			n = 0;

	StartTransactionCommand();
	copy = pstrdup(o2c_databases ? o2c_databases : "");
	if (SplitGUCList(copy, ',', &names) && names != NIL)
	{
		Relation	rel = table_open(DatabaseRelationId, AccessShareLock);
		SysScanDesc scan;
		HeapTuple	tup;

		/* a heap scan: without a database there are no indexes to use */
		scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
		while (HeapTupleIsValid(tup = systable_getnext(scan)))
		{
			Form_pg_database db = (Form_pg_database) GETSTRUCT(tup);

			if (!db->datallowconn)
				continue;
			foreach(lc, names)
			{
				if (strcmp((char *) lfirst(lc), NameStr(db->datname)) == 0 &&
					n < DISPATCH_MAX_DATABASES)
				{
					oids[n++] = db->oid;
					break;
				}
			}
		}
		systable_endscan(scan);
		table_close(rel, AccessShareLock);
	}
	CommitTransactionCommand();
	MemoryContextSwitchTo(context);
	return n;
}

/* Ask the postmaster for a dispatcher of that slot. */
static void
StartDispatcher(int i)
{
	BackgroundWorker worker = {0};

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	snprintf(worker.bgw_name, BGW_MAXLEN, "order2cash dispatcher");
	strlcpy(worker.bgw_type, "order2cash dispatcher", BGW_MAXLEN);
	strlcpy(worker.bgw_library_name, "order2cash", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "o2c_dispatch_worker_main", BGW_MAXLEN);
	worker.bgw_main_arg = ObjectIdGetDatum(shared->slots[i].dboid);
	worker.bgw_notify_pid = MyProcPid;
	if (!RegisterDynamicBackgroundWorker(&worker, &handles[i]))
	{
		handles[i] = NULL;
		ereport(LOG,
				(errmsg("order2cash: no background worker is free for a dispatcher"),
				 errhint("Increase max_worker_processes.")));
	}
}

/* One round over the slots; returns milliseconds until the next. */
static long
LauncherRound(Oid *served, int nserved)
{
	TimestampTz now = GetCurrentTimestamp();
	long		wait = RETRY_IDLE;

	/* finished workers first: their slots are judged below */
	for (int i = 0; i < DISPATCH_MAX_DATABASES; i++)
	{
		pid_t		pid;

		if (handles[i] != NULL &&
			GetBackgroundWorkerPid(handles[i], &pid) == BGWH_STOPPED)
		{
			pfree(handles[i]);
			handles[i] = NULL;
			LWLockAcquire(shared->lock, LW_EXCLUSIVE);
			if (shared->slots[i].state <= DISPATCH_RUNNING)
				shared->slots[i].state = DISPATCH_FAILED;
			shared->slots[i].retry_at =
				TimestampTzPlusMilliseconds(now, shared->slots[i].state == DISPATCH_FAILED ?
											RETRY_FAILED : RETRY_IDLE);
			LWLockRelease(shared->lock);
		}
	}

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	for (int n = 0; n < nserved; n++)
		if (DispatchSlotOf(served[n], true) == NULL)
			ereport(LOG, (errmsg("order2cash serves at most %d databases", DISPATCH_MAX_DATABASES)));
	LWLockRelease(shared->lock);

	for (int i = 0; i < DISPATCH_MAX_DATABASES; i++)
	{
		DispatchSlot *slot = &shared->slots[i];
		bool		wanted = false;
		bool		start = false;

		if (slot->dboid == InvalidOid)
			continue;
		for (int n = 0; n < nserved; n++)
			wanted |= served[n] == slot->dboid;

		LWLockAcquire(shared->lock, LW_EXCLUSIVE);
		if (!wanted)
		{
			if (slot->pid == 0 && handles[i] == NULL)
				slot->dboid = InvalidOid;
		}
		else if (slot->pid == 0 && handles[i] == NULL)
		{
			start = slot->woken || slot->state == DISPATCH_STARTING ||
				(slot->retry_at <= now && slot->state != DISPATCH_PAUSED);
			if (start)
			{
				slot->woken = false;
				slot->state = DISPATCH_STARTING;
			}
			else if (slot->state != DISPATCH_PAUSED)
				wait = Min(wait, Max(10, TimestampDifferenceMilliseconds(now, slot->retry_at)));
		}
		LWLockRelease(shared->lock);

		if (start)
			StartDispatcher(i);
		else if (!wanted && handles[i] != NULL)
			TerminateBackgroundWorker(handles[i]);
	}
	return wait;
}

/* Entry point of the launcher. */
void
o2c_dispatch_launcher_main(Datum arg)
{
	Oid			served[DISPATCH_MAX_DATABASES];

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	pgstat_report_appname("order2cash launcher");

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	shared->launcher_pid = MyProcPid;
	shared->launcher_latch = &MyProc->procLatch;
	LWLockRelease(shared->lock);
	before_shmem_exit(LauncherExit, (Datum) 0);

	while (!ShutdownRequestPending)
	{
		int			nserved;
		long		wait;

		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		nserved = ServedDatabases(TopMemoryContext, served);
		wait = LauncherRound(served, nserved);
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 wait, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
	proc_exit(0);
}
