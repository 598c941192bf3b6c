/*
 * claim.c
 *		Claiming messages from the fronts of their lanes (lane.c).
 *
 * What is claimed together and belongs to one company is one row of
 * message_claim, which is the lease of it all.
 */
#include "o2c.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "dispatch/worker.h"

#define LAZY_SIZE 8192
#define CLAIM_SIZE 200

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
		LanesRewind();
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
	int64		files;
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
	files = DatumGetInt64(Value(row, 10, &isnull));
	t->size = IntValue(row, 9);
	t->lazy = t->size > LAZY_SIZE || !isnull;
	t->size += isnull ? 0 : files;
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
		"  (SELECT sum(octet_length(a.content)) FROM o2c.message_attachment a"
		"   WHERE a.company_id = m.company_id AND a.message_id = m.id),"
		"  m.subject,"
		"  CASE WHEN coalesce(octet_length(m.body_text), 0) + coalesce(octet_length(m.body_html), 0) <= " CppAsString2(LAZY_SIZE)
		"   THEN m.body_text END,"
		"  CASE WHEN coalesce(octet_length(m.body_text), 0) + coalesce(octet_length(m.body_html), 0) <= " CppAsString2(LAZY_SIZE)
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

/*
 * Claim what there is room for, in the transaction that is open; lanes are
 * listed again when they may have changed, and with them what may send.
 */
void
ClaimMessages(bool list)
{
	int			limits[MAX_LANES];

	DropPending();
	LanesRefresh(list);
	if (LanesWanted(limits))
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
	TimestampTz now = SteadyNow();

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
