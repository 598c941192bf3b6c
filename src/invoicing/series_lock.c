/*
 * series_lock.c
 *		Waiting for a gapless series.
 *
 * Who draws a number has its series to itself until the transaction ends, by a
 * heavyweight lock: it is seen in pg_locks, goes away with a savepoint, stays
 * with a prepared transaction and takes part in the search for deadlocks.
 *
 * Such a lock is handed to the first in its queue when it is let go.  Where
 * there are more clients than processors, the one it is handed to sleeps, and
 * the series stands still until it gets a processor; others arrive, find the
 * queue and sleep as well, and from then on each number costs a turn of the
 * scheduler.  So those who wait do not queue at first.  They sleep on a bell in
 * shared memory, which rings when a holder has let go, and take the lock if
 * they come to it before those who are running anyway.  Who has not got it after
 * a while queues, and then it is his turn next: nobody starves, and deadlocks
 * are found that much later.
 *
 * Without shared_preload_libraries there are no bells, and all queue.
 */
#include "o2c.h"

#include "common/hashfn.h"
#include "invoicing/numbering.h"
#include "miscadmin.h"
#include "storage/condition_variable.h"
#include "storage/ipc.h"
#include "storage/lock.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

/* Series that share a bell wake each other in vain, no more. */
#define NBELLS 64

/* How long to wait for the bell before queueing, milliseconds. */
#define BELL_PATIENCE 100

typedef struct SeriesBells
{
	ConditionVariable bells[NBELLS];
} SeriesBells;

static SeriesBells *shared = NULL;
static shmem_request_hook_type prev_shmem_request_hook = NULL;
static shmem_startup_hook_type prev_shmem_startup_hook = NULL;

/* Bells of the series that this transaction has locked, one bit each. */
static uint64 held = 0;

static void
SeriesLockShmemRequest(void)
{
	if (prev_shmem_request_hook)
		prev_shmem_request_hook();
	RequestAddinShmemSpace(MAXALIGN(sizeof(SeriesBells)));
}

static void
SeriesLockShmemStartup(void)
{
	bool		found;

	if (prev_shmem_startup_hook)
		prev_shmem_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared = ShmemInitStruct("order2cash series", sizeof(SeriesBells), &found);
	if (!found)
		for (int i = 0; i < NBELLS; i++)
			ConditionVariableInit(&shared->bells[i]);
	LWLockRelease(AddinShmemInitLock);
}

/* Called by _PG_init while shared_preload_libraries are loaded. */
void
SeriesLockInit(void)
{
	prev_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = SeriesLockShmemRequest;
	prev_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = SeriesLockShmemStartup;
}

/*
 * Locks are gone: wake one who waits for each.  A savepoint's end or a part of
 * the transaction may ring before its time; who wakes looks and sleeps again.
 */
static void
RingBells(ResourceReleasePhase phase, bool isCommit, bool isTopLevel, void *arg)
{
	if (held == 0)
		return;
	if (phase == RESOURCE_RELEASE_LOCKS && (isTopLevel || !isCommit))
	{
		for (int i = 0; i < NBELLS; i++)
			if (held & (UINT64CONST(1) << i))
				ConditionVariableSignal(&shared->bells[i]);
	}
	else if (phase == RESOURCE_RELEASE_AFTER_LOCKS && isTopLevel)
		held = 0;
}

/* Try for the lock whenever the bell rings; false when patience is at its end. */
static bool
WaitForBell(const LOCKTAG *tag, ConditionVariable *bell)
{
	TimestampTz until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), BELL_PATIENCE);
	bool		locked;

	ConditionVariablePrepareToSleep(bell);
	for (;;)
	{
		long		left;

		locked = LockAcquire(tag, ExclusiveLock, false, true) != LOCKACQUIRE_NOT_AVAIL;
		if (locked)
			break;
		left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), until);
		if (left <= 0)
			break;
		(void) ConditionVariableTimedSleep(bell, left, PG_WAIT_EXTENSION);
	}
	ConditionVariableCancelSleep();
	return locked;
}

/*
 * Wait for the series.  Everybody who draws takes this lock first, until the
 * transaction ends: one wait, where waiting for the counter's row itself would
 * be two and a search for its newest version.
 */
void
LockSeries(Oid counter, int32 company, text *series)
{
	static bool registered = false;
	uint32		hash = hash_combine(DatumGetUInt32(hash_any((unsigned char *) VARDATA_ANY(series),
															VARSIZE_ANY_EXHDR(series))),
									murmurhash32((uint32) company));
	int			bell = hash % NBELLS;
	LOCKTAG		tag;

	if (!registered)
	{
		RegisterResourceReleaseCallback(RingBells, NULL);
		registered = true;
	}
	/* two series may share a lock: then they share its waits */
	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, counter, hash, 0);

	/* lock_timeout counts time in the queue */
	if (shared == NULL || LockTimeout > 0)
		(void) LockAcquire(&tag, ExclusiveLock, false, false);
	else if (LockAcquire(&tag, ExclusiveLock, false, true) == LOCKACQUIRE_NOT_AVAIL &&
			 !WaitForBell(&tag, &shared->bells[bell]))
		(void) LockAcquire(&tag, ExclusiveLock, false, false);
	if (shared != NULL)
		held |= UINT64CONST(1) << bell;
}
