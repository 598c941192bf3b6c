/*
 * loop.c
 *		The dispatcher's loop, and the transactions that it runs.
 *
 * Each round: notice what was asked (reload, pause, stop), record what is
 * known, claim what there is room for, start what may start (pace.c), then let
 * libcurl work or wait (pump.c).  No transaction is open while the dispatcher
 * waits, and an error in one ends that one only.
 */
#include "o2c.h"

#include <time.h>

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "dispatch/worker.h"

/* So many results are recorded together with a claim, whatever their age. */
#define RECORD_ALONG 16

/* A wake-up asks whether this database may still send, not so often. */
#define CHECK_MS 20

/* What could not be recorded is tried again after so long. */
#define STUCK_MS 30000

/* What a former dispatcher left and somebody holds, so often. */
#define RESCUE_MS 2000

static double record_ms = 5;	/* what recording took the last time */
static TimestampTz stuck_until = 0; /* when stuck results are tried again */

/*
 * The time by which the dispatcher measures how long something takes: begun at
 * the clock's and never set, so that a clock that is put back stops nothing.
 */
TimestampTz
SteadyNow(void)
{
	static int64 base = 0;
	struct timespec ts;
	int64		passed;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	passed = (int64) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
	if (base == 0)
		base = GetCurrentTimestamp() - passed;
	return base + passed;
}

/* How far the clock, by which the database knows what is due, is ahead of it. */
int64
WallAhead(void)
{
	return GetCurrentTimestamp() - SteadyNow();
}

/* Run one transaction's work; an error is logged and the loop goes on. */
bool
RunGuarded(int (*work) (void *), void *arg, int *result)
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
		WorkOver();
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
	return DispatchSetup(&dispatcher.idle);
}

/* May this database be served?  False when that could not be found out. */
bool
MayServe(int *serve)
{
	return RunGuarded(SetupWork, NULL, serve);
}

static int
RescueWork(void *arg)
{
	RescueMessages();
	return 0;
}

/*
 * Look after messages that a former dispatcher left.  One that cannot be looked
 * after now holds up nothing else: its evidence stays, and we come again.
 */
void
Rescue(void)
{
	if (!RunGuarded(RescueWork, NULL, NULL))
		dispatcher.left_behind = true;
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

		if (!RunGuarded(TurnWork, &turn, NULL))
		{
			dlist_push_tail(&dispatcher.stuck, dlist_pop_head_node(&dispatcher.results));
			dispatcher.nresults--;
			stuck_until = TimestampTzPlusMilliseconds(SteadyNow(), STUCK_MS);
		}
	}
	SetConfigOption("lock_timeout", "1000", PGC_SUSET, PGC_S_OVERRIDE);
}

/* What could not be recorded is tried again. */
static void
TakeStuck(void)
{
	while (!dlist_is_empty(&dispatcher.stuck))
	{
		dlist_push_tail(&dispatcher.results, dlist_pop_head_node(&dispatcher.stuck));
		if (dispatcher.nresults++ == 0)
			dispatcher.first_result_at = SteadyNow();
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
		TimestampTz start = SteadyNow();
		bool		last = dispatcher.nresults <= o2c_dispatch_batch;
		Turn		turn = {.record = o2c_dispatch_batch, .claim = claim && last, .list = list};

		if (RunGuarded(TurnWork, &turn, NULL))
		{
			record_ms = (SteadyNow() - start) / 1000.0;
			if (turn.claim)
				return true;
		}
		else
			RecordOneByOne();
	}
	if (claim)
	{
		Turn		turn = {.claim = true, .list = list};

		ok &= RunGuarded(TurnWork, &turn, NULL);
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

/* Leave: everything in the air is judged by what is known and recorded. */
static void
Stop(void)
{
	dlist_iter	iter;

	DispatchLeaving = true;
	/* a standby that does not answer must not keep us: the recorder's word is as good */
	SetConfigOption("synchronous_commit", "local", PGC_USERSET, PGC_S_OVERRIDE);
	while (!dlist_is_empty(&dispatcher.flying))
		TransferAbort(dlist_head_element(Transfer, node, &dispatcher.flying));
	dlist_foreach(iter, &dispatcher.channels)
		ReleaseWaiting(dlist_container(Channel, node, iter.cur));
	TakeStuck();
	(void) TakeTurn(true, false, false);
	if (dispatcher.nclaimed == 0)
		RecorderEnd();
}

/* The loop: until shutdown is asked for, or the database may not be served any more. */
void
ServeDatabase(void)
{
	TimestampTz renewed_at = SteadyNow();
	TimestampTz checked_at = renewed_at;
	TimestampTz rescued_at = renewed_at;
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
		now = SteadyNow();
		if (TimestampDifferenceExceeds(checked_at, now, check ? CHECK_MS : 5000))
		{
			int			serve = 1;

			checked_at = now;
			check = false;
			if (MayServe(&serve) && !serve)
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
				Pump(0);
				ok = TakeTurn(record, claim, list);
				StartWaiting();
			}
			if (woken || check)
				wait = Min(wait, 5);
			if (ok && TimestampDifferenceExceeds(renewed_at, now, o2c_dispatch_lease * 1000 / 3))
			{
				if (dispatcher.nclaimed > 0)
					ok = RunGuarded(RenewWork, NULL, NULL);
				renewed_at = now;
			}
			if (ok && TimestampDifferenceExceeds(rescued_at, now, dispatcher.left_behind ? RESCUE_MS :
												 o2c_dispatch_lease * 1000 / 3))
			{
				Rescue();
				rescued_at = now;
			}
			if (dispatcher.left_behind)
				wait = Min(wait, RESCUE_MS);
			if (!ok)
			{
				trouble_until = TimestampTzPlusMilliseconds(now, 1000);
				check = true;
			}
		}
		Pump(trouble_until <= now && ClaimWanted() ? 0 : wait);
	}
	Stop();
}
