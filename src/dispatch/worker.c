/*
 * worker.c
 *		The process that is the dispatcher of one database: how it starts, its
 *		slot in shared memory, how it ends.
 *
 * The launcher made the slot and the process.  The dispatcher finds out
 * whether it may serve, makes sure that it is the only one, looks after what a
 * former one left behind, and enters its loop (loop.c).
 */
#include "o2c.h"

#include <sys/resource.h>

#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "dispatch/worker.h"

PGDLLEXPORT void o2c_dispatch_worker_main(Datum arg);

/* Key of the advisory lock: two dispatchers never run for one database. */
#define DISPATCH_LOCK_KEY1 0x6f326331
#define DISPATCH_LOCK_KEY2 0x64697370

/* Idle connections of a kind, however many files a process may have. */
#define KEPT_MAX	2048

Dispatcher	dispatcher = {.idle = DISPATCH_STARTING};

/* SIGINT: what the database is at is cancelled; the dispatcher goes on. */
static void
OnCancel(SIGNAL_ARGS)
{
	int			save_errno = errno;

	if (DispatchAtWork)
		InterruptPending = QueryCancelPending = true;
	SetLatch(MyLatch);
	errno = save_errno;
}

/* SIGTERM: leave, and do not wait for what the database waits for. */
static void
OnTerminate(SIGNAL_ARGS)
{
	ShutdownRequestPending = true;
	OnCancel(postgres_signal_arg);
}

/* The slot is free for another dispatcher. */
static void
WorkerExit(int code, Datum arg)
{
	DispatchShared *shared = DispatchMemory();
	DispatchSlot *slot;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	slot = DispatchSlotOf(MyDatabaseId, false);
	if (slot != NULL && slot->pid == MyProcPid)
	{
		slot->pid = 0;
		slot->latch = NULL;
		slot->in_flight = slot->claimed = 0;
		slot->state = dispatcher.idle == DISPATCH_RUNNING ? DISPATCH_FAILED : dispatcher.idle;
	}
	LWLockRelease(shared->lock);
}

/* Enter the slot of the database; the launcher made it. */
static void
EnterSlot(Oid dboid)
{
	DispatchShared *shared = DispatchMemory();
	DispatchSlot *slot;
	bool		taken;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	slot = DispatchSlotOf(dboid, false);
	taken = slot == NULL || slot->pid != 0;
	if (!taken)
	{
		slot->pid = MyProcPid;
		slot->latch = &MyProc->procLatch;
		slot->started_at = GetCurrentTimestamp();
		slot->sent = slot->failed = 0;
	}
	LWLockRelease(shared->lock);
	if (taken)
		proc_exit(0);
	before_shmem_exit(WorkerExit, (Datum) 0);
}

/* Was something queued or changed?  Also publishes the counters. */
bool
TakeWake(void)
{
	DispatchShared *shared = DispatchMemory();
	DispatchSlot *slot;
	bool		woken = false;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	slot = DispatchSlotOf(MyDatabaseId, false);
	if (slot != NULL)
	{
		woken = slot->woken;
		slot->woken = false;
		slot->state = DISPATCH_RUNNING;
		slot->in_flight = dispatcher.nflying;
		slot->claimed = dispatcher.nclaimed;
		slot->sent = dispatcher.sent;
		slot->failed = dispatcher.failed;
	}
	LWLockRelease(shared->lock);
	return woken;
}

/* Entry point of a dispatcher; arg is the database's oid. */
void
o2c_dispatch_worker_main(Datum arg)
{
	Oid			dboid = DatumGetObjectId(arg);
	LOCKTAG		tag;
	struct rlimit files;
	int			serve = 0;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, OnTerminate);
	pqsignal(SIGINT, OnCancel);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(dboid, InvalidOid, 0);
	EnterSlot(dboid);
	pgstat_report_appname("order2cash dispatcher");

	dispatcher.context = AllocSetContextCreate(TopMemoryContext, "o2c dispatcher",
											   ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(dispatcher.context);
	dlist_init(&dispatcher.channels);
	dlist_init(&dispatcher.flying);
	dlist_init(&dispatcher.results);
	dlist_init(&dispatcher.stuck);
	dlist_init(&dispatcher.claims);

	/* the plans that a queue needs, whatever its size was when they were made */
	SetConfigOption("search_path", "pg_catalog, o2c, pg_temp", PGC_USERSET, PGC_S_OVERRIDE);
	SetConfigOption("enable_seqscan", "off", PGC_USERSET, PGC_S_OVERRIDE);
	SetConfigOption("enable_hashjoin", "off", PGC_USERSET, PGC_S_OVERRIDE);
	SetConfigOption("enable_mergejoin", "off", PGC_USERSET, PGC_S_OVERRIDE);
	SetConfigOption("enable_bitmapscan", "off", PGC_USERSET, PGC_S_OVERRIDE);
	SetConfigOption("plan_cache_mode", "force_generic_plan", PGC_USERSET, PGC_S_OVERRIDE);
	SetConfigOption("jit", "off", PGC_USERSET, PGC_S_OVERRIDE);
	SetConfigOption("lock_timeout", "1000", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("synchronous_commit", "on", PGC_USERSET, PGC_S_OVERRIDE);
	SetConfigOption("DateStyle", "ISO, YMD", PGC_USERSET, PGC_S_OVERRIDE);

	if (!MayServe(&serve))
	{
		dispatcher.idle = DISPATCH_FAILED;
		proc_exit(0);
	}
	if (!serve)
		proc_exit(0);

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, DISPATCH_LOCK_KEY1, DISPATCH_LOCK_KEY2, 2);
	if (LockAcquire(&tag, ExclusiveLock, true, true) == LOCKACQUIRE_NOT_AVAIL)
	{
		dispatcher.idle = DISPATCH_FAILED;
		proc_exit(0);
	}

	if (!pg_strong_random(&dispatcher.owner, sizeof(dispatcher.owner)))
		elog(ERROR, "could not draw a random number");
	srandom((unsigned int) (MyProcPid ^ GetCurrentTimestamp()));
	dispatcher.hard_limit = o2c_dispatch_concurrency * 4;
	dispatcher.kept_limit = KEPT_MAX;
	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur != RLIM_INFINITY)
	{
		/* a half for what flies, an eighth for what is idle of each kind, the rest for PostgreSQL's own files */
		dispatcher.hard_limit = Min(dispatcher.hard_limit, Max(8, (int) (files.rlim_cur / 2)));
		dispatcher.kept_limit = Min(KEPT_MAX, Max(4, (int) (files.rlim_cur / 8)));
	}
	PumpInit();
	Rescue();
	RecorderBegin(MyDatabaseId, &dispatcher.owner);
	ereport(LOG, (errmsg("order2cash dispatcher started for database %u", MyDatabaseId)));

	ServeDatabase();
	if (ShutdownRequestPending)
		dispatcher.idle = DISPATCH_STARTING;
	/* idle connections are left to the kernel: a QUIT could wait for its reply */
	proc_exit(0);
}
