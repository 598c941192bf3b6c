/*
 * pace.c
 *		What may start when, and what a result says about its peer.
 *
 * Channels are served in turn and each has its own bounds (concurrency, rate,
 * Retry-After, a peer that is down), so that a peer that stalls holds up its
 * own messages only.
 */
#include "o2c.h"

#include <math.h>

#include "mb/pg_wchar.h"
#include "postmaster/interrupt.h"

#include "dispatch/worker.h"

/* Bytes of large messages that may be in memory at once. */
#define LOADED_MAX (64 * 1024 * 1024)
#define LOAD_AT_ONCE 16

/* A channel may always have so many open, whatever the others do. */
#define CHANNEL_SHARE 4

/* A peer that fails so often in a row is asked one message at a time. */
#define FAILURES_MAX 3

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

/*
 * What is kept of an error is what the database can hold: a peer says what it
 * likes, a message of ours may have been cut inside of a character.
 */
static void
MakeStorable(char *s)
{
	bool		valid = pg_verifymbstr(s, strlen(s), true);

	RedactSecrets(s);
	for (; *s; s++)
		if ((unsigned char) *s < 0x20 || *s == 0x7f || (!valid && (unsigned char) *s >= 0x80))
			*s = '?';
}

/* It is known what became of a message: it waits to be recorded. */
void
FinishTransfer(Transfer *t, ResultKind result)
{
	Channel    *channel = t->channel;
	TimestampTz now = SteadyNow();
	TimestampTz wall = now + WallAhead();

	if (t->state == TRANSFER_FLYING)
	{
		dispatcher.nflying--;
		channel->nflying--;
	}
	else
		channel->nwaiting--;
	dlist_delete(&t->node);
	t->state = TRANSFER_DONE;
	if (channel->outdated && channel->nflying == 0)
		dispatcher.next_due = now;	/* its new row is read soon */

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
		wall < TimestampTzPlusMilliseconds(t->first_attempt_at, (int64) (channel->window * 1000)))
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
		t->next_attempt_at = TimestampTzPlusMilliseconds(wall, (int64) (Backoff(channel, t->attempts) * 1000));
		if (t->retry_after >= 0)
		{
			int64		asked = (int64) t->retry_after * 1000;

			t->next_attempt_at = Max(t->next_attempt_at, TimestampTzPlusMilliseconds(wall, asked));
			channel->blocked_until = Max(channel->blocked_until, TimestampTzPlusMilliseconds(now, asked));
		}
	}
	if (t->error[0] != '\0')
		MakeStorable(t->error);
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
void
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
		(channel->nflying >= CHANNEL_SHARE || dispatcher.nflying >= dispatcher.hard_limit))
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
	return list.n > 0 && RunGuarded(LoadWork, &list, NULL);
}

/* Start what may start, one of each channel in turn. */
void
StartWaiting(void)
{
	bool		progress = true;
	sigset_t	save;

	EnterCurl(&save);
	/* whoever is told to leave starts nothing that he would have to break off */
	while (progress && !ShutdownRequestPending)
	{
		TimestampTz now = SteadyNow();
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
				t->ours = true;
				FinishTransfer(t, t->result);
			}
			progress = true;
		}
	}
	LeaveCurl(&save);
}

/* Milliseconds until a waiting message may start or a new one is due. */
long
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
