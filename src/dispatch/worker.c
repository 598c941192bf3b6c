/*
 * worker.c
 *		The dispatcher of one database: its loop.
 *
 * Each round: notice what was asked (reload, pause, stop), record what is
 * known, claim what there is room for, start what may start, then let libcurl
 * work or wait.  No transaction is open while anything flies.  Channels are
 * served in turn and each has its own bounds, so that a peer that stalls
 * holds up its own messages only.
 */
#include "o2c.h"

#include <math.h>
#include <sys/resource.h>
#include <unistd.h>

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "dispatch/worker.h"

PGDLLEXPORT void o2c_dispatch_worker_main(Datum arg);

/* Key of the advisory lock: two dispatchers never run for one database. */
#define DISPATCH_LOCK_KEY1 0x6f326331
#define DISPATCH_LOCK_KEY2 0x64697370

/* Bytes of large messages that may be in memory at once. */
#define LOADED_MAX (64 * 1024 * 1024)
#define LOAD_AT_ONCE 16

/* A channel may always have so many open, whatever the others do. */
#define CHANNEL_SHARE 4

/* A peer that fails so often in a row is asked one message at a time. */
#define FAILURES_MAX 3

/* So many results are recorded together with a claim, whatever their age. */
#define RECORD_ALONG 16

/* A wake-up asks whether this database may still send, not so often. */
#define CHECK_MS 20

/* What could not be recorded is tried again after so long. */
#define STUCK_MS 30000

Dispatcher	dispatcher;

static DispatchIdle idle = DISPATCH_STARTING;
static int	hard_limit;
static double record_ms = 5;	/* what recording took the last time */
static TimestampTz stuck_until = 0; /* when stuck results are tried again */

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
		slot->state = idle == DISPATCH_RUNNING ? DISPATCH_FAILED : idle;
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
static bool
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

/* Run one transaction's work; an error is logged and the loop goes on. */
static bool
Guarded(int (*work) (void *), void *arg, int *result)
{
	volatile bool ok = true;
	volatile int value = 0;

	PG_TRY();
	{
		value = work(arg);
	}
	PG_CATCH();
	{
		HOLD_INTERRUPTS();
		EmitErrorReport();
		AbortCurrentTransaction();
		FlushErrorState();
		MemoryContextSwitchTo(dispatcher.context);
		RESUME_INTERRUPTS();
		pgstat_report_activity(STATE_IDLE, NULL);
		ok = false;
	}
	PG_END_TRY();
	if (result != NULL)
		*result = value;
	return ok;
}

static int
SetupWork(void *arg)
{
	return DispatchSetup(&idle);
}

static int
RescueWork(void *arg)
{
	RescueMessages(arg != NULL);
	return 0;
}

/* What one transaction does: results in, messages out, one flush for both. */
typedef struct Turn
{
	int			record;			/* at most so many results */
	bool		claim;
	bool		list;			/* the lanes, before claiming */
} Turn;

static int
TurnWork(void *arg)
{
	Turn	   *turn = arg;

	BeginWork(turn->record == 0 ? "claiming messages" :
			  turn->claim ? "recording results, claiming messages" : "recording results");
	if (turn->record > 0)
		RecordResults(turn->record);
	if (turn->claim)
		ClaimMessages(turn->list);
	EndWork();
	if (turn->record > 0)
		RecordCommitted();
	if (turn->claim)
		ClaimCommitted();
	return 0;
}

static int
RenewWork(void *arg)
{
	RenewLeases();
	return 0;
}

typedef struct LoadList
{
	Transfer   *transfers[LOAD_AT_ONCE];
	int			n;
} LoadList;

static int
LoadWork(void *arg)
{
	LoadList   *list = arg;

	LoadMessages(list->transfers, list->n);
	return 0;
}

/* Milliseconds from now until then; 0 when it has come. */
static long
MsUntil(TimestampTz then, TimestampTz now)
{
	return then <= now ? 0 : TimestampDifferenceMilliseconds(now, then);
}

/* Seconds to wait before the next attempt: doubled each time, with jitter. */
static double
Backoff(Channel *channel, int attempts)
{
	double		seconds = channel->backoff * pow(2, Min(attempts - 1, 20));

	seconds = Min(seconds, 6 * 3600);
	return seconds * (0.5 + (double) (random() % 1000) / 2000);
}

/* The peer could not be reached, or did not answer: ask it less. */
static void
NoteFailure(Channel *channel, TimestampTz now)
{
	channel->failures++;
	if (channel->failures >= FAILURES_MAX)
	{
		double		pause = Min(60, channel->backoff * pow(2, Min(channel->failures - FAILURES_MAX, 10)));

		channel->blocked_until = Max(channel->blocked_until,
									 TimestampTzPlusMilliseconds(now, (int64) (pause * 1000)));
	}
}

/* It is known what became of a message: it waits to be recorded. */
void
FinishTransfer(Transfer *t, ResultKind result)
{
	Channel    *channel = t->channel;
	TimestampTz now = GetCurrentTimestamp();

	if (t->state == TRANSFER_FLYING)
	{
		dispatcher.nflying--;
		channel->nflying--;
	}
	else
		channel->nwaiting--;
	dlist_delete(&t->node);
	t->state = TRANSFER_DONE;

	if (result == RESULT_SENT)
		channel->failures = 0;
	if (t->ours)
		;						/* tells nothing about the peer */
	else if (result == RESULT_UNCERTAIN || (result == RESULT_RETRY && !t->connected))
		NoteFailure(channel, now);
	else if (result == RESULT_RETRY || result == RESULT_DEAD)
		channel->failures = 0;

	/* a peer that knows the key again may be asked again */
	if (result == RESULT_UNCERTAIN && channel->window > 0 &&
		now < TimestampTzPlusMilliseconds(t->first_attempt_at, (int64) (channel->window * 1000)))
		result = RESULT_RETRY;
	if (result == RESULT_RETRY && t->attempts >= channel->max_attempts)
	{
		char		last[ERROR_MAX];

		strlcpy(last, t->error, sizeof(last));
		snprintf(t->error, ERROR_MAX, "gave up after %d attempts: %.400s", t->attempts, last);
		result = RESULT_DEAD;
	}
	if (result == RESULT_RETRY)
	{
		t->next_attempt_at = TimestampTzPlusMilliseconds(now, (int64) (Backoff(channel, t->attempts) * 1000));
		if (t->retry_after >= 0)
		{
			TimestampTz asked = TimestampTzPlusMilliseconds(now, (int64) t->retry_after * 1000);

			t->next_attempt_at = Max(t->next_attempt_at, asked);
			channel->blocked_until = Max(channel->blocked_until, asked);
		}
	}
	for (char *p = t->provider_id; *p; p++)
		if ((unsigned char) *p < 0x20 || (unsigned char) *p >= 0x7f)
			*p = '?';
	if (t->slot >= 0 && result != RESULT_UNCERTAIN && result != RESULT_RELEASE)
		RecorderMark(t->slot, result == RESULT_SENT ? PHASE_SENT : PHASE_REFUSED);
	t->result = result;
	if (dispatcher.nresults++ == 0)
		dispatcher.first_result_at = now;
	dlist_push_tail(&dispatcher.results, &t->node);
}

/* Give back what a channel has not started. */
static void
ReleaseWaiting(Channel *channel)
{
	while (!dlist_is_empty(&channel->waiting))
		FinishTransfer(dlist_head_element(Transfer, node, &channel->waiting), RESULT_RELEASE);
}

/* May the channel start one more now? */
static bool
MayStart(Channel *channel, TimestampTz now)
{
	int			limit = channel->max_concurrency > 0 ? channel->max_concurrency : o2c_dispatch_concurrency;

	if (channel->blocked_until > now)
		return false;
	if (channel->failures >= FAILURES_MAX)
		limit = 1;
	if (channel->nflying >= limit)
		return false;
	if (dispatcher.nflying >= o2c_dispatch_concurrency &&
		(channel->nflying >= CHANNEL_SHARE || dispatcher.nflying >= hard_limit))
		return false;
	if (channel->rate > 0)
	{
		double		passed = channel->tokens_at == 0 ? 1 : (now - channel->tokens_at) / 1e6;

		/* at most a tenth of a second's worth at once */
		channel->tokens = Min(Max(1, channel->rate / 10), channel->tokens + passed * channel->rate);
		channel->tokens_at = now;
		if (channel->tokens < 1)
			return false;
		channel->tokens -= 1;
	}
	return true;
}

/* Load the texts of the next messages of a channel that have none yet. */
static bool
LoadNext(Channel *channel)
{
	LoadList	list = {.n = 0};
	size_t		bytes = dispatcher.bytes;
	dlist_iter	iter;

	dlist_foreach(iter, &channel->waiting)
	{
		Transfer   *t = dlist_container(Transfer, node, iter.cur);

		if (!t->lazy)
			continue;
		if (list.n == LOAD_AT_ONCE || (bytes > 0 && bytes + t->size > LOADED_MAX))
			break;
		bytes += Max(t->size, 1024 * 1024);
		list.transfers[list.n++] = t;
	}
	return list.n > 0 && Guarded(LoadWork, &list, NULL);
}

/* Start what may start, one of each channel in turn. */
static void
StartWaiting(void)
{
	bool		progress = true;
	sigset_t	save;

	EnterCurl(&save);
	while (progress)
	{
		TimestampTz now = GetCurrentTimestamp();
		dlist_iter	iter;

		progress = false;
		dlist_foreach(iter, &dispatcher.channels)
		{
			Channel    *channel = dlist_container(Channel, node, iter.cur);
			Transfer   *t;

			if (dlist_is_empty(&channel->waiting))
				continue;
			if (channel->failures >= FAILURES_MAX ||
				channel->blocked_until > TimestampTzPlusMilliseconds(now, 500))
			{
				bool		probe = channel->blocked_until <= now && channel->nflying == 0;

				if (!probe)
				{
					ReleaseWaiting(channel);
					continue;
				}
			}
			t = dlist_head_element(Transfer, node, &channel->waiting);
			if (t->lazy)
			{
				bool		loaded;

				LeaveCurl(&save);	/* a transaction wants its signals */
				loaded = LoadNext(channel);
				EnterCurl(&save);
				if (!loaded)
					continue;
			}
			if (t->lazy || !MayStart(channel, now))
				continue;
			if (TransferStart(t))
			{
				dlist_delete(&t->node);
				dlist_push_tail(&dispatcher.flying, &t->node);
				channel->nwaiting--;
				channel->nflying++;
				dispatcher.nflying++;
				if (t->deferred_start)
					MailBegin(t);
			}
			else
			{
				RedactSecrets(t->error);
				t->ours = true;
				FinishTransfer(t, RESULT_DEAD);
			}
			progress = true;
		}
	}
	LeaveCurl(&save);
}

/*
 * A batch could not be recorded: each result by itself.  What still fails, or
 * whose row somebody holds, is set aside and holds up no other.
 */
static void
RecordOneByOne(void)
{
	SetConfigOption("lock_timeout", "100", PGC_SUSET, PGC_S_OVERRIDE);
	for (int n = dispatcher.nresults; n > 0; n--)
	{
		Turn		turn = {.record = 1};

		if (!Guarded(TurnWork, &turn, NULL))
		{
			dlist_push_tail(&dispatcher.stuck, dlist_pop_head_node(&dispatcher.results));
			dispatcher.nresults--;
			stuck_until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), STUCK_MS);
		}
	}
	SetConfigOption("lock_timeout", "1000", PGC_SUSET, PGC_S_OVERRIDE);
}

/* A wake-up asks whether this database may still send, not so often. */
#define CHECK_MS 20

/* What could not be recorded is tried again. */
static void
TakeStuck(void)
{
	while (!dlist_is_empty(&dispatcher.stuck))
	{
		dlist_push_tail(&dispatcher.results, dlist_pop_head_node(&dispatcher.stuck));
		if (dispatcher.nresults++ == 0)
			dispatcher.first_result_at = GetCurrentTimestamp();
	}
	stuck_until = 0;
}

/*
 * One turn: record the results there are, claim what there is room for.  False
 * when something failed.
 */
static bool
TakeTurn(bool record, bool claim, bool list)
{
	bool		ok = true;

	while (record && dispatcher.nresults > 0)
	{
		TimestampTz start = GetCurrentTimestamp();
		bool		last = dispatcher.nresults <= o2c_dispatch_batch;
		Turn		turn = {.record = o2c_dispatch_batch, .claim = claim && last, .list = list};

		if (Guarded(TurnWork, &turn, NULL))
		{
			record_ms = (GetCurrentTimestamp() - start) / 1000.0;
			if (turn.claim)
				return true;
		}
		else
			RecordOneByOne();
	}
	if (claim)
	{
		Turn		turn = {.claim = true, .list = list};

		ok &= Guarded(TurnWork, &turn, NULL);
	}
	return ok;
}

/* Should results be recorded now, or gathered a little longer? */
static bool
RecordNow(TimestampTz now, long *wait)
{
	long		patience = Min(200, Max(5, (long) (record_ms * 5)));
	long		age;

	if (dispatcher.nresults == 0)
		return false;
	age = (now - dispatcher.first_result_at) / 1000;
	if (dispatcher.nresults >= o2c_dispatch_batch || age >= patience ||
		dispatcher.nflying == 0)
		return true;
	*wait = Min(*wait, patience - age);
	return false;
}

/* Milliseconds until a waiting message may start or a new one is due. */
static long
NextEvent(TimestampTz now)
{
	long		wait = 5000;
	dlist_iter	iter;

	dlist_foreach(iter, &dispatcher.channels)
	{
		Channel    *channel = dlist_container(Channel, node, iter.cur);

		if (channel->blocked_until > now)
			wait = Min(wait, MsUntil(channel->blocked_until, now) + 1);
		else if (channel->nwaiting > 0 && channel->rate > 0)
			wait = Min(wait, Max(1, (long) (1000 / channel->rate / 2)));
		else if (channel->nwaiting > 0 && dispatcher.nflying == 0)
			wait = Min(wait, 100);
	}
	if (dispatcher.next_due != 0)
		wait = Min(wait, Max(dispatcher.next_due <= now ? 1000 : 1, MsUntil(dispatcher.next_due, now)));
	return wait;
}

/* Leave: everything in the air is judged by what is known and recorded. */
static void
Stop(void)
{
	dlist_iter	iter;

	while (!dlist_is_empty(&dispatcher.flying))
		TransferAbort(dlist_head_element(Transfer, node, &dispatcher.flying));
	dlist_foreach(iter, &dispatcher.channels)
		ReleaseWaiting(dlist_container(Channel, node, iter.cur));
	TakeStuck();
	(void) TakeTurn(true, false, false);
}

/* The loop. */
static void
Serve(void)
{
	TimestampTz renewed_at = GetCurrentTimestamp();
	TimestampTz checked_at = renewed_at;
	TimestampTz listed_at = 0;
	TimestampTz trouble_until = 0;
	bool		woken = true;
	bool		check = false;	/* paused, disarmed or dropped, perhaps */

	while (!ShutdownRequestPending)
	{
		TimestampTz now;
		long		wait;
		bool		ok = true;
		dlist_iter	iter;

		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
			SecretsForget();
			dlist_foreach(iter, &dispatcher.channels)
				ForgetHandles(dlist_container(Channel, node, iter.cur));
		}
		if (TakeWake())
			woken = check = true;
		now = GetCurrentTimestamp();
		if (TimestampDifferenceExceeds(checked_at, now, check ? CHECK_MS : 5000))
		{
			int			serve = 1;

			checked_at = now;
			check = false;
			if (Guarded(SetupWork, NULL, &serve) && !serve)
				break;
		}
		StartWaiting();
		wait = NextEvent(now);
		if (trouble_until <= now)
		{
			bool		list = (woken && TimestampDifferenceExceeds(listed_at, now, 4)) ||
				(dispatcher.next_due != 0 && dispatcher.next_due <= now &&
				 TimestampDifferenceExceeds(listed_at, now, 250)) ||
				TimestampDifferenceExceeds(listed_at, now, 5000);
			bool		claim;
			bool		record;

			/* listing lanes is what a wake-up asks for, but not for each of a thousand */
			if (list)
			{
				listed_at = now;
				woken = false;
			}
			if (stuck_until != 0 && stuck_until <= now)
				TakeStuck();
			claim = list || ClaimWanted();
			/* whoever claims may as well record */
			record = RecordNow(now, &wait) || (claim && dispatcher.nresults >= Min(RECORD_ALONG, o2c_dispatch_batch));
			if (record || claim)
			{
				/* the peers work on these while the database does on those */
				TransferPump(0);
				ok = TakeTurn(record, claim, list);
				StartWaiting();
			}
			if (woken || check)
				wait = Min(wait, 5);
			if (ok && TimestampDifferenceExceeds(renewed_at, now, o2c_dispatch_lease * 1000 / 3))
			{
				if (dispatcher.nclaimed > 0)
					ok = Guarded(RenewWork, NULL, NULL);
				ok = ok && Guarded(RescueWork, NULL, NULL);
				renewed_at = now;
			}
			if (!ok)
			{
				trouble_until = TimestampTzPlusMilliseconds(now, 1000);
				check = true;
			}
		}
		TransferPump(trouble_until <= now && ClaimWanted() ? 0 : wait);
	}
	Stop();
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
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
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

	if (!Guarded(SetupWork, NULL, &serve))
	{
		idle = DISPATCH_FAILED;
		proc_exit(0);
	}
	if (!serve)
		proc_exit(0);

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, DISPATCH_LOCK_KEY1, DISPATCH_LOCK_KEY2, 2);
	if (LockAcquire(&tag, ExclusiveLock, true, true) == LOCKACQUIRE_NOT_AVAIL)
	{
		idle = DISPATCH_FAILED;
		proc_exit(0);
	}

	if (!pg_strong_random(&dispatcher.owner, sizeof(dispatcher.owner)))
		elog(ERROR, "could not draw a random number");
	srandom((unsigned int) (MyProcPid ^ GetCurrentTimestamp()));
	hard_limit = o2c_dispatch_concurrency * 4;
	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur != RLIM_INFINITY)
		hard_limit = Min(hard_limit, Max(8, (int) (files.rlim_cur / 2)));
	TransferInit();
	if (!Guarded(RescueWork, &serve, NULL))
	{
		idle = DISPATCH_FAILED;
		proc_exit(0);
	}
	RecorderBegin(MyDatabaseId, &dispatcher.owner);
	ereport(LOG, (errmsg("order2cash dispatcher started for database %u", MyDatabaseId)));

	Serve();
	if (ShutdownRequestPending)
		idle = DISPATCH_STARTING;
	/* idle connections are left to the kernel: a QUIT could wait for its reply */
	proc_exit(0);
}
