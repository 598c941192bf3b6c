/*
 * claim.c
 *		Lanes and claiming.
 *
 * A lane is (company, channel, priority).  Lanes that have something are
 * found by skipping through the queue's index; each is claimed from its front,
 * behind the place where the last claim ended, so that neither the depth of
 * the queue nor dead versions at its front cost anything.
 *
 * What is claimed together and belongs to one company is one row of
 * message_claim, which is the lease of it all.
 */
#include "o2c.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "dispatch/worker.h"

#define MAX_LANES 4096
#define LANE_REFRESH_MS 1000
#define CURSOR_REFRESH_MS 5000
#define LAZY_SIZE "8192"
#define CLAIM_SIZE 200

typedef struct Lane
{
	int32		company_id;
	Channel    *channel;
	int			priority;
	TimestampTz due;			/* of its first message */
	TimestampTz cursor_at;		/* where the last claim ended */
	int64		cursor_id;
	bool		quiet;			/* the channel has quiet hours */
	bool		exhausted;		/* the last claim found less than it asked for */
} Lane;

static Lane lanes[MAX_LANES];
static int	nlanes = 0;
static TimestampTz lanes_at = 0;
static TimestampTz cursors_at = 0;

/* What this very database is armed by. */
static const char *
Identity(void)
{
	static char *identity = NULL;

	if (identity == NULL)
	{
		if (SPI_execute("SELECT o2c._database_identity()", true, 1) != SPI_OK_SELECT)
			elog(ERROR, "could not read the database's identity");
		identity = TextValue(0, 1, dispatcher.context);
	}
	return identity;
}

/*
 * Give back what was claimed for channels that may not send any more: switched
 * off, or of a company that was disarmed or paused.
 */
static void
ReleaseForbidden(void)
{
	static Statement forbidden = {
		.sql = "SELECT r.company_id, r.code FROM unnest($2, $3) r(company_id, code)"
		" WHERE NOT EXISTS (SELECT FROM o2c.channel c"
		"  WHERE c.company_id = r.company_id AND c.code = r.code AND c.enabled)"
		"  OR NOT EXISTS (SELECT FROM o2c.dispatch_state d WHERE d.company_id IN (0, r.company_id)"
		"   AND d.armed_identity = $1)"
		"  OR EXISTS (SELECT FROM o2c.dispatch_state d WHERE d.company_id IN (0, r.company_id) AND d.paused)",
		.nargs = 3,
		.argtypes = {TEXTOID, INT4ARRAYOID, TEXTARRAYOID},
		.expected = SPI_OK_SELECT
	};
	Datum	   *columns[2];
	Datum		args[3];
	uint64		nrows;
	int			n = 0;
	dlist_iter	iter;

	dlist_foreach(iter, &dispatcher.channels)
		n += dlist_container(Channel, node, iter.cur)->nwaiting > 0;
	if (n == 0)
		return;
	columns[0] = palloc(sizeof(Datum) * n);
	columns[1] = palloc(sizeof(Datum) * n);
	n = 0;
	dlist_foreach(iter, &dispatcher.channels)
	{
		Channel    *channel = dlist_container(Channel, node, iter.cur);

		if (channel->nwaiting == 0)
			continue;
		columns[0][n] = Int32GetDatum(channel->company_id);
		columns[1][n++] = CStringGetTextDatum(channel->code);
	}
	args[0] = CStringGetTextDatum(Identity());
	args[1] = ArrayOf(columns[0], NULL, n, INT4OID);
	args[2] = ArrayOf(columns[1], NULL, n, TEXTOID);
	nrows = Execute(&forbidden, args, NULL);
	for (uint64 r = 0; r < nrows; r++)
	{
		char	   *code = TextValue(r, 2, CurrentMemoryContext);

		dlist_foreach(iter, &dispatcher.channels)
		{
			Channel    *channel = dlist_container(Channel, node, iter.cur);

			if (channel->company_id == IntValue(r, 1) && strcmp(channel->code, code) == 0)
				ReleaseWaiting(channel);
		}
	}
}

/* Which lanes have something, and when the first of each is due. */
static void
ListLanes(void)
{
	static Statement list = {
		.expected = SPI_OK_SELECT,
		.sql = "WITH RECURSIVE lane AS ("
		" (SELECT q.company_id, q.channel, q.priority FROM o2c.message_queue q"
		"  ORDER BY q.company_id, q.channel, q.priority LIMIT 1)"
		" UNION ALL"
		" SELECT n.company_id, n.channel, n.priority FROM lane l CROSS JOIN LATERAL"
		"  (SELECT q.company_id, q.channel, q.priority FROM o2c.message_queue q"
		"   WHERE (q.company_id, q.channel, q.priority) > (l.company_id, l.channel, l.priority)"
		"   ORDER BY q.company_id, q.channel, q.priority LIMIT 1) n)"
		" SELECT l.company_id, l.channel, l.priority, c.xmin::text::int8, f.due,"
		"  c.quiet_from IS NOT NULL OR c.quiet_days <> '{}',"
		"  c.kind, c.url, c.settings, c.rate_per_second::float8, c.max_concurrency, c.max_attempts,"
		"  k.name, k.email"
		" FROM lane l JOIN o2c.channel c ON c.company_id = l.company_id AND c.code = l.channel AND c.enabled"
		" JOIN o2c.company k ON k.company_id = l.company_id"
		" CROSS JOIN LATERAL (SELECT q.due FROM o2c.message_queue q"
		"  WHERE q.company_id = l.company_id AND q.channel = l.channel AND q.priority = l.priority"
		"  ORDER BY q.due, q.message_id LIMIT 1) f"
		" WHERE f.due < 'infinity'"
		"  AND EXISTS (SELECT FROM o2c.dispatch_state d WHERE d.company_id IN (0, l.company_id)"
		"   AND d.armed_identity = $1)"
		"  AND NOT EXISTS (SELECT FROM o2c.dispatch_state d WHERE d.company_id IN (0, l.company_id) AND d.paused)"
		" ORDER BY l.priority, f.due"
		" LIMIT $2",
		.nargs = 2,
		.argtypes = {TEXTOID, INT4OID}
	};
	Lane	   *old = palloc(sizeof(Lane) * Max(nlanes, 1));
	int			nold = nlanes;
	TimestampTz now = GetCurrentTimestamp();
	bool		keep_cursors = !TimestampDifferenceExceeds(cursors_at, now, CURSOR_REFRESH_MS);
	Datum		args[2];
	int			n;

	memcpy(old, lanes, sizeof(Lane) * nlanes);
	if (!keep_cursors)
		cursors_at = now;
	args[0] = CStringGetTextDatum(Identity());
	args[1] = Int32GetDatum(MAX_LANES);
	n = (int) Execute(&list, args, NULL);

	dispatcher.next_due = 0;
	nlanes = 0;
	for (int i = 0; i < n; i++)
	{
		Lane	   *lane = &lanes[nlanes];
		char	   *code = TextValue(i, 2, CurrentMemoryContext);
		bool		isnull;

		memset(lane, 0, sizeof(Lane));
		lane->company_id = IntValue(i, 1);
		lane->priority = IntValue(i, 3);
		lane->due = IntValue(i, 5);
		lane->quiet = DatumGetBool(Value(i, 6, &isnull));
		lane->channel = ChannelOf(lane->company_id, code, (TransactionId) IntValue(i, 4), i, 7);
		lane->cursor_at = DT_NOBEGIN;
		for (int o = 0; keep_cursors && o < nold; o++)
			if (old[o].channel == lane->channel && old[o].priority == lane->priority && !old[o].exhausted)
			{
				lane->cursor_at = old[o].cursor_at;
				lane->cursor_id = old[o].cursor_id;
				break;
			}
		if (dispatcher.next_due == 0 || lane->due < dispatcher.next_due)
			dispatcher.next_due = lane->due;
		nlanes++;
	}
	lanes_at = now;
	pfree(old);
}

/* How many more messages a channel should have claimed now. */
static int
RoomOf(Channel *channel, TimestampTz now)
{
	int			have = channel->nwaiting + channel->nflying;
	int			room;

	if (channel->blocked_until > now)
		return 0;
	if (channel->failures > 0)	/* the peer is down: one probe at a time */
		return have > 0 ? 0 : 1;
	room = Min(channel->ceiling, o2c_dispatch_batch * 2) - have;
	if (channel->rate > 0)
		room = Min(room, (int) Max(1, channel->rate) - have);
	/* half empty before it is filled again: claims are worth their size */
	if (channel->nwaiting > channel->ceiling / 2)
		return 0;
	return Max(room, 0);
}

/* Does any lane want to be claimed?  Fills limits[]; true when some do. */
static bool
WantedLanes(int *limits, TimestampTz now)
{
	int			budget = Min(o2c_dispatch_batch, RECORDER_SLOTS / 2 - dispatcher.nclaimed);
	bool		wanted = false;
	dlist_iter	iter;

	dlist_foreach(iter, &dispatcher.channels)
	{
		Channel    *channel = dlist_container(Channel, node, iter.cur);
		int			room = -1;

		for (int i = 0; i < nlanes; i++)
		{
			if (lanes[i].channel != channel)
				continue;
			if (room < 0)
				room = RoomOf(channel, now);
			limits[i] = lanes[i].due > now || lanes[i].exhausted ? 0 : Min(room, budget);
			room -= limits[i];
			budget -= limits[i];
			wanted |= limits[i] > 0;
		}
	}
	return wanted;
}

/* Messages claimed in the transaction under way; they count once it commits. */
static dlist_head pending = DLIST_STATIC_INIT(pending);
static dlist_head pending_claims = DLIST_STATIC_INIT(pending_claims);

static bool claim_open = false;

/* Forget what a failed transaction had claimed, and how far it had come. */
static void
DropPending(void)
{
	if (claim_open)
	{
		for (int i = 0; i < nlanes; i++)
		{
			lanes[i].cursor_at = DT_NOBEGIN;
			lanes[i].exhausted = false;
		}
		claim_open = false;
	}
	while (!dlist_is_empty(&pending))
	{
		Transfer   *t = dlist_container(Transfer, node, dlist_pop_head_node(&pending));

		MemoryContextDelete(t->context);
	}
	while (!dlist_is_empty(&pending_claims))
		pfree(dlist_container(Claim, node, dlist_pop_head_node(&pending_claims)));
}

/* A claimed row becomes a transfer. */
static void
TakeRow(uint64 row)
{
	/* one block for all that most messages need */
	MemoryContext context = AllocSetContextCreate(dispatcher.context, "o2c message",
												  0, 8 * 1024, ALLOCSET_DEFAULT_MAXSIZE);
	Transfer   *t = MemoryContextAllocZero(context, sizeof(Transfer));
	bool		isnull;

	t->context = context;
	dlist_push_tail(&pending, &t->node);
	t->channel = lanes[IntValue(row, 1)].channel;
	t->company_id = t->channel->company_id;
	t->id = IntValue(row, 2);
	t->attempts = IntValue(row, 3);
	t->first_attempt_at = IntValue(row, 4);
	t->key = TextValue(row, 5, context);
	t->recipient = TextValue(row, 6, context);
	t->kind = TextValue(row, 7, context);
	t->language = TextValue(row, 8, context);
	t->size = IntValue(row, 9);
	t->lazy = DatumGetBool(Value(row, 10, &isnull));
	t->subject = TextValue(row, 11, context);
	t->body_text = TextValue(row, 12, context);
	t->body_html = TextValue(row, 13, context);
	t->message_context = JsonbValueOf(row, 14, context);
	t->retry_after = -1;
	t->slot = -1;
}

/* The pending transfer of a message, or NULL. */
static Transfer *
PendingOf(int32 company_id, int64 id)
{
	dlist_iter	iter;

	dlist_foreach(iter, &pending)
	{
		Transfer   *t = dlist_container(Transfer, node, iter.cur);

		if (t->id == id && t->company_id == company_id)
			return t;
	}
	return NULL;
}

/*
 * Of the messages just claimed, cancel those that ask to be checked again and
 * are not due any more.  Whether they are is the collections domain's to say;
 * one that it cannot judge fails by itself and holds up no other.
 */
static void
CancelStale(Datum owner, Datum companies, Datum ids)
{
	static Statement check = {
		.sql = "SELECT s.company_id, s.message_id, s.error FROM o2c._stale_messages($1, $2) s",
		.nargs = 2,
		.argtypes = {INT4ARRAYOID, INT8ARRAYOID},
		.expected = SPI_OK_SELECT
	};
	static Statement cancel = {
		.sql = "UPDATE o2c.message m SET state = 'cancelled', lease_owner = NULL,"
		"  attempts = m.attempts - 1, last_error = 'not due any more'"
		" FROM unnest($2, $3) r(company_id, id)"
		" WHERE m.company_id = r.company_id AND m.id = r.id AND m.lease_owner = $1",
		.nargs = 3,
		.argtypes = {UUIDOID, INT4ARRAYOID, INT8ARRAYOID},
		.expected = SPI_OK_UPDATE
	};
	Datum		args[3];
	uint64		nrows;
	int			n = 0;
	Datum	   *stale[2];

	args[0] = companies;
	args[1] = ids;
	nrows = Execute(&check, args, NULL);
	for (int c = 0; c < 2; c++)
		stale[c] = palloc(sizeof(Datum) * Max(nrows, 1));
	for (uint64 r = 0; r < nrows; r++)
	{
		int32		company_id = IntValue(r, 1);
		int64		id = IntValue(r, 2);
		Transfer   *t = PendingOf(company_id, id);
		char	   *error = TextValue(r, 3, CurrentMemoryContext);

		if (t == NULL)
			continue;
		if (error != NULL)
		{
			SetTransferError(t, "cannot be checked: %s", error);
			continue;
		}
		stale[0][n] = Int32GetDatum(company_id);
		stale[1][n++] = Int64GetDatum(id);
		dlist_delete(&t->node);
		MemoryContextDelete(t->context);
	}
	args[0] = owner;
	args[1] = ArrayOf(stale[0], NULL, n, INT4OID);
	args[2] = ArrayOf(stale[1], NULL, n, INT8OID);
	if (n > 0)
		(void) Execute(&cancel, args, NULL);
}

/*
 * Write the lease of what is pending: rows of one company each, small enough
 * to stay in their page.
 */
static void
InsertClaims(Datum owner, int most)
{
	static Statement insert = {
		.sql = "INSERT INTO o2c.message_claim (company_id, lease_owner, lease_until, message_ids)"
		" SELECT r.company_id, $1, now() + make_interval(secs => $2), array_agg(r.id)"
		" FROM unnest($3, $4, $5) r(claim, company_id, id) GROUP BY r.claim, r.company_id ORDER BY r.claim"
		" RETURNING company_id, id",
		.nargs = 5,
		.argtypes = {UUIDOID, FLOAT8OID, INT4ARRAYOID, INT4ARRAYOID, INT8ARRAYOID},
		.expected = SPI_OK_INSERT_RETURNING
	};
	Datum	   *claims = palloc(sizeof(Datum) * most);
	Datum	   *companies = palloc(sizeof(Datum) * most);
	Datum	   *ids = palloc(sizeof(Datum) * most);
	Claim	  **made;
	int			nclaims = 0;
	int			size = 0;
	Datum		args[5];
	dlist_iter	iter;
	int			n = 0;

	dlist_foreach(iter, &pending)
	{
		Transfer   *t = dlist_container(Transfer, node, iter.cur);

		companies[n] = Int32GetDatum(t->company_id);
		ids[n] = Int64GetDatum(t->id);
		if (nclaims == 0 || size == CLAIM_SIZE || companies[n] != companies[n - 1])
		{
			nclaims++;
			size = 0;
		}
		size++;
		claims[n++] = Int32GetDatum(nclaims - 1);
	}
	if (n == 0)
		return;
	args[0] = owner;
	args[1] = Float8GetDatum(o2c_dispatch_lease);
	args[2] = ArrayOf(claims, NULL, n, INT4OID);
	args[3] = ArrayOf(companies, NULL, n, INT4OID);
	args[4] = ArrayOf(ids, NULL, n, INT8OID);
	if (Execute(&insert, args, NULL) != nclaims)
		elog(ERROR, "claims were not written");

	made = palloc(sizeof(Claim *) * nclaims);
	for (int i = 0; i < nclaims; i++)
	{
		made[i] = MemoryContextAllocZero(dispatcher.context, sizeof(Claim));
		dlist_push_tail(&pending_claims, &made[i]->node);
		made[i]->company_id = IntValue(i, 1);
		made[i]->id = IntValue(i, 2);
	}
	n = 0;
	dlist_foreach(iter, &pending)
		dlist_container(Transfer, node, iter.cur)->claim = made[DatumGetInt32(claims[n++])];
}

/* Claim for every lane that wants; the transaction is open. */
static void
ClaimLanes(const int *limits)
{
	static Statement defer = {
		.sql = "UPDATE o2c.message m SET next_attempt_at = q.until FROM ("
		" SELECT x.company_id, x.id, o2c._quiet_until(x.company_id, x.channel, x.time_zone, now()) AS until"
		" FROM unnest($1, $2, $3, $4) l(company_id, channel, priority, quota)"
		" CROSS JOIN LATERAL (SELECT m.company_id, m.id, m.channel, m.time_zone FROM o2c.message_queue q"
		"  JOIN o2c.message m ON m.company_id = q.company_id AND m.id = q.message_id"
		"  WHERE q.company_id = l.company_id AND q.channel = l.channel AND q.priority = l.priority"
		"   AND q.due <= now() AND m.state IN ('queued', 'retry')"
		"  ORDER BY q.due, q.message_id LIMIT l.quota FOR NO KEY UPDATE OF m SKIP LOCKED) x) q"
		" WHERE m.company_id = q.company_id AND m.id = q.id AND q.until > now()",
		.nargs = 4,
		.argtypes = {INT4ARRAYOID, TEXTARRAYOID, INT2ARRAYOID, INT4ARRAYOID},
		.expected = SPI_OK_UPDATE
	};
	static Statement claim = {
		.sql = "WITH due AS MATERIALIZED (SELECT l.lane, x.queue, x.message, x.due"
		"  FROM unnest($2, $3, $4, $5, $6, $7, $8, $9)"
		"   l(lane, company_id, channel, priority, quota, cursor_at, cursor_id, quiet)"
		"  CROSS JOIN LATERAL (SELECT q.ctid AS queue, m.ctid AS message, q.due FROM o2c.message_queue q"
		"   JOIN o2c.message m ON m.company_id = q.company_id AND m.id = q.message_id"
		"   WHERE q.company_id = l.company_id AND q.channel = l.channel AND q.priority = l.priority"
		"    AND q.due <= now() AND (q.due, q.message_id) > (l.cursor_at, l.cursor_id)"
		"    AND m.state IN ('queued', 'retry')"
		"    AND (NOT l.quiet OR o2c._quiet_until(m.company_id, m.channel, m.time_zone, now()) IS NULL)"
		"   ORDER BY q.due, q.message_id LIMIT l.quota FOR NO KEY UPDATE OF m SKIP LOCKED) x),"
		/*
		 * Both rows are ours while the message's is locked: where they are is
		 * enough.  A message that somebody changed since this snapshot is not
		 * where the UPDATE below can see it, and stays in the queue.
		 */
		" taken AS (DELETE FROM o2c.message_queue q USING due d JOIN o2c.message v ON v.ctid = d.message"
		"  WHERE q.ctid = d.queue)"
		" UPDATE o2c.message m SET state = 'sending', attempts = m.attempts + 1,"
		"  first_attempt_at = coalesce(m.first_attempt_at, now()), lease_owner = $1"
		" FROM due d WHERE m.ctid = d.message"
		" RETURNING d.lane, m.id, m.attempts, m.first_attempt_at, m.idempotency_key, m.recipient, m.kind,"
		"  m.language, coalesce(octet_length(m.body_text), 0) + coalesce(octet_length(m.body_html), 0),"
		"  coalesce(octet_length(m.body_text), 0) + coalesce(octet_length(m.body_html), 0) > " LAZY_SIZE
		"   OR EXISTS (SELECT FROM o2c.message_attachment a"
		"    WHERE a.company_id = m.company_id AND a.message_id = m.id),"
		"  m.subject,"
		"  CASE WHEN coalesce(octet_length(m.body_text), 0) + coalesce(octet_length(m.body_html), 0) <= " LAZY_SIZE
		"   THEN m.body_text END,"
		"  CASE WHEN coalesce(octet_length(m.body_text), 0) + coalesce(octet_length(m.body_html), 0) <= " LAZY_SIZE
		"   THEN m.body_html END,"
		"  m.context, d.due, m.recheck",
		.nargs = 9,
		.argtypes = {UUIDOID, INT4ARRAYOID, INT4ARRAYOID, TEXTARRAYOID, INT2ARRAYOID,
		INT4ARRAYOID, TIMESTAMPTZARRAYOID, INT8ARRAYOID, BOOLARRAYOID},
		.expected = SPI_OK_UPDATE_RETURNING
	};
	Datum	   *columns[8];
	Datum		args[9];
	int		   *got = palloc0(sizeof(int) * Max(nlanes, 1));
	int			n = 0;
	bool		quiet = false;
	uint64		nrows;
	Datum	   *companies;
	Datum	   *ids;
	int			nrecheck = 0;

	for (int c = 0; c < 8; c++)
		columns[c] = palloc(sizeof(Datum) * Max(nlanes, 1));
	for (int i = 0; i < nlanes; i++)
	{
		Lane	   *lane = &lanes[i];
		bool		quiet_lane = lane->quiet && lane->priority > 1;

		if (limits[i] <= 0)
			continue;
		columns[0][n] = Int32GetDatum(i);
		columns[1][n] = Int32GetDatum(lane->company_id);
		columns[2][n] = CStringGetTextDatum(lane->channel->code);
		columns[3][n] = Int16GetDatum(lane->priority);
		columns[4][n] = Int32GetDatum(limits[i]);
		columns[5][n] = TimestampTzGetDatum(quiet_lane ? DT_NOBEGIN : lane->cursor_at);
		columns[6][n] = Int64GetDatum(lane->cursor_id);
		columns[7][n] = BoolGetDatum(quiet_lane);
		quiet |= quiet_lane;
		n++;
	}
	args[0] = UUIDPGetDatum(&dispatcher.owner);
	args[1] = ArrayOf(columns[0], NULL, n, INT4OID);
	args[2] = ArrayOf(columns[1], NULL, n, INT4OID);
	args[3] = ArrayOf(columns[2], NULL, n, TEXTOID);
	args[4] = ArrayOf(columns[3], NULL, n, INT2OID);
	args[5] = ArrayOf(columns[4], NULL, n, INT4OID);
	args[6] = ArrayOf(columns[5], NULL, n, TIMESTAMPTZOID);
	args[7] = ArrayOf(columns[6], NULL, n, INT8OID);
	args[8] = ArrayOf(columns[7], NULL, n, BOOLOID);
	if (quiet)
		(void) Execute(&defer, &args[2], NULL);
	nrows = ExecuteKeepingQueue(&claim, args, NULL);

	companies = palloc(sizeof(Datum) * (nrows + 1));
	ids = palloc(sizeof(Datum) * (nrows + 1));
	for (uint64 r = 0; r < nrows; r++)
	{
		int			lane = IntValue(r, 1);
		int64		id = IntValue(r, 2);
		TimestampTz at = IntValue(r, 15);
		bool		isnull;

		TakeRow(r);
		got[lane]++;
		/* where the next claim of the lane begins */
		if (at > lanes[lane].cursor_at || (at == lanes[lane].cursor_at && id > lanes[lane].cursor_id))
		{
			lanes[lane].cursor_at = at;
			lanes[lane].cursor_id = id;
		}
		if (DatumGetBool(Value(r, 16, &isnull)))
		{
			companies[nrecheck] = Int32GetDatum(lanes[lane].company_id);
			ids[nrecheck++] = Int64GetDatum(id);
		}
	}
	for (int i = 0; i < nlanes; i++)
		if (limits[i] > 0 && got[i] < limits[i])
			lanes[i].exhausted = true;
	if (nrecheck > 0)
		CancelStale(args[0], ArrayOf(companies, NULL, nrecheck, INT4OID),
					ArrayOf(ids, NULL, nrecheck, INT8OID));
	/* the lease is of what will end: a claim without a message never would */
	InsertClaims(args[0], (int) nrows);
}

/* May a claim find anything now?  Cheap: asked in every round. */
bool
ClaimWanted(void)
{
	int			limits[MAX_LANES];

	return nlanes > 0 && WantedLanes(limits, GetCurrentTimestamp());
}

/*
 * Claim what there is room for, in the transaction that is open; lanes are
 * listed again when they may have changed, and with them what may send.
 */
void
ClaimMessages(bool list)
{
	int			limits[MAX_LANES];

	DropPending();
	if (list || lanes_at == 0 ||
		TimestampDifferenceExceeds(lanes_at, GetCurrentTimestamp(), LANE_REFRESH_MS))
	{
		ReleaseForbidden();
		ListLanes();
	}
	if (WantedLanes(limits, GetCurrentTimestamp()))
	{
		claim_open = true;
		ClaimLanes(limits);
	}
}

/*
 * A channel that gets through a claim in no time is given more at once, so
 * that a claim is worth its transaction; a slow one less, so that what waits
 * can still be cancelled.
 */
static void
FitCeiling(Channel *channel, TimestampTz now)
{
	if (channel->claimed_at == now)
		return;
	if (!TimestampDifferenceExceeds(channel->claimed_at, now, 500))
		channel->ceiling = Min(channel->ceiling * 2, Max(o2c_dispatch_batch * 2, 2));
	else if (TimestampDifferenceExceeds(channel->claimed_at, now, 5000))
		channel->ceiling = Max(channel->ceiling / 2, Min(channel->ceiling, 2 * o2c_dispatch_concurrency));
	channel->claimed_at = now;
}

/* The transaction has committed: what was claimed is the dispatcher's. */
void
ClaimCommitted(void)
{
	TimestampTz now = GetCurrentTimestamp();

	claim_open = false;
	while (!dlist_is_empty(&pending_claims))
		dlist_push_tail(&dispatcher.claims, dlist_pop_head_node(&pending_claims));
	while (!dlist_is_empty(&pending))
	{
		Transfer   *t = dlist_container(Transfer, node, dlist_pop_head_node(&pending));

		t->slot = RecorderTake(t->company_id, t->id);
		t->claim->remaining++;
		FitCeiling(t->channel, now);
		dlist_push_tail(&t->channel->waiting, &t->node);
		t->channel->nwaiting++;
		dispatcher.nclaimed++;
		if (t->error[0] != '\0')	/* what cannot be checked is not sent */
		{
			t->ours = true;
			FinishTransfer(t, RESULT_RETRY);
		}
	}
}
