/*
 * claim.c
 *		Lanes, channels and claiming.
 *
 * A lane is (company, channel, priority).  Lanes that have something are
 * found by skipping through the index; each is claimed from its front, behind
 * the place where the last claim ended, so that neither the depth of the queue
 * nor dead versions at its front cost anything.
 */
#include "o2c.h"

#include "catalog/pg_type.h"
#include "nodes/value.h"
#include "parser/parse_func.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "dispatch/worker.h"

#define MAX_LANES 4096
#define LANE_REFRESH_MS 1000
#define CURSOR_REFRESH_MS 5000
#define LAZY_SIZE "8192"

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

/*
 * The channel of that name, read again when its row has changed.  Called with
 * the row of a lane as current result.
 */
static Channel *
ChannelOf(int32 company_id, const char *code, TransactionId xmin, uint64 row, int first)
{
	Channel    *channel = NULL;
	dlist_iter	iter;
	char	   *scheme = NULL;
	char	   *host = NULL;
	char	   *port = NULL;
	char	   *kind;
	char	   *name;
	char	   *email;
	CURLU	   *parts;
	bool		isnull;
	MemoryContext old;

	dlist_foreach(iter, &dispatcher.channels)
	{
		Channel    *c = dlist_container(Channel, node, iter.cur);

		if (c->company_id == company_id && strcmp(c->code, code) == 0)
		{
			channel = c;
			break;
		}
	}
	if (channel != NULL && channel->xmin == xmin)
		return channel;
	if (channel == NULL)
	{
		channel = MemoryContextAllocZero(dispatcher.context, sizeof(Channel));
		channel->company_id = company_id;
		strlcpy(channel->code, code, sizeof(channel->code));
		dlist_init(&channel->waiting);
		channel->ceiling = 2 * o2c_dispatch_concurrency;
		dlist_push_tail(&dispatcher.channels, &channel->node);
	}
	else if (channel->nflying > 0 || channel->nwaiting > 0)
		return channel;			/* the old row serves what is under way */
	else
	{
		MemoryContextDelete(channel->context);
		channel->blocked_until = 0;
		channel->failures = 0;
	}
	channel->xmin = xmin;
	channel->context = AllocSetContextCreate(dispatcher.context, "o2c channel",
											 ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(channel->context);
	kind = TextValue(row, first, channel->context);
	channel->kind = strcmp(kind, "email") == 0 ? CHANNEL_EMAIL :
		strcmp(kind, "sms") == 0 ? CHANNEL_SMS :
		strcmp(kind, "post") == 0 ? CHANNEL_POST : CHANNEL_WEBHOOK;
	channel->url = TextValue(row, first + 1, channel->context);
	channel->settings = JsonbValueOf(row, first + 2, channel->context);
	channel->rate = DatumGetFloat8(Value(row, first + 3, &isnull));
	if (isnull)
		channel->rate = 0;
	channel->max_concurrency = IntValue(row, first + 4);
	channel->max_attempts = IntValue(row, first + 5);
	name = TextValue(row, first + 6, channel->context);
	email = TextValue(row, first + 7, channel->context);
	channel->timeout = Max(0.1, SettingNumber(channel->settings, "timeout", 30));
	channel->connect_timeout = Max(0.1, SettingNumber(channel->settings, "connect_timeout", 10));
	channel->backoff = Max(0.01, SettingNumber(channel->settings, "backoff", 10));
	channel->window = SettingNumber(channel->settings, "idempotency_window", 0);
	channel->broken = NULL;

	parts = curl_url();
	if (parts == NULL ||
		curl_url_set(parts, CURLUPART_URL, channel->url, CURLU_NON_SUPPORT_SCHEME) != CURLUE_OK ||
		curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
		curl_url_get(parts, CURLUPART_HOST, &host, 0) != CURLUE_OK)
		channel->broken = "url of the channel cannot be used";
	else
	{
		channel->smtp = strncmp(scheme, "smtp", 4) == 0;
		if (curl_url_get(parts, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK)
			channel->port = atoi(port);
		else
			channel->port = channel->smtp ? 25 : 80;
	}
	channel->host = pstrdup(host ? host : "");
	curl_free(scheme);
	curl_free(host);
	curl_free(port);
	curl_url_cleanup(parts);

	channel->from = SettingText(channel->settings, "from");
	if (channel->from == NULL && email != NULL && IsMailAddress(email, strlen(email)))
		channel->from = psprintf("%s <%s>", name, email);
	if (channel->from == NULL)
		channel->from = psprintf("%s <no-reply@%s>", name,
								 strspn(channel->host, "0123456789.") == strlen(channel->host) ||
								 channel->host[0] == '[' ? "localhost.localdomain" : channel->host);
	MemoryContextSwitchTo(old);
	return channel;
}

/* Which lanes have something, and when the first of each is due. */
static void
ListLanes(void)
{
	static Statement list = {
		.expected = SPI_OK_SELECT,
		.sql = "WITH RECURSIVE lane AS ("
		" (SELECT m.company_id, m.channel, m.priority FROM o2c.message m"
		"  WHERE m.state IN ('queued', 'retry')"
		"  ORDER BY m.company_id, m.channel, m.priority LIMIT 1)"
		" UNION ALL"
		" SELECT n.company_id, n.channel, n.priority FROM lane l CROSS JOIN LATERAL"
		"  (SELECT m.company_id, m.channel, m.priority FROM o2c.message m"
		"   WHERE m.state IN ('queued', 'retry')"
		"    AND (m.company_id, m.channel, m.priority) > (l.company_id, l.channel, l.priority)"
		"   ORDER BY m.company_id, m.channel, m.priority LIMIT 1) n)"
		" SELECT l.company_id, l.channel, l.priority, c.xmin::text::int8, f.next_attempt_at,"
		"  c.quiet_from IS NOT NULL OR c.quiet_days <> '{}',"
		"  c.kind, c.url, c.settings, c.rate_per_second::float8, c.max_concurrency, c.max_attempts,"
		"  k.name, k.email"
		" FROM lane l JOIN o2c.channel c ON c.company_id = l.company_id AND c.code = l.channel AND c.enabled"
		" JOIN o2c.company k ON k.company_id = l.company_id"
		" CROSS JOIN LATERAL (SELECT m.next_attempt_at FROM o2c.message m"
		"  WHERE m.company_id = l.company_id AND m.channel = l.channel AND m.priority = l.priority"
		"   AND m.state IN ('queued', 'retry') ORDER BY m.next_attempt_at, m.id LIMIT 1) f"
		" WHERE EXISTS (SELECT FROM o2c.dispatch_state d WHERE d.company_id IN (0, l.company_id)"
		"   AND d.armed_identity = $1)"
		"  AND NOT EXISTS (SELECT FROM o2c.dispatch_state d WHERE d.company_id IN (0, l.company_id) AND d.paused)"
		" ORDER BY l.priority, f.next_attempt_at"
		" LIMIT $2",
		.nargs = 2,
		.argtypes = {TEXTOID, INT4OID}
	};
	static char *identity = NULL;
	Lane	   *old = palloc(sizeof(Lane) * Max(nlanes, 1));
	int			nold = nlanes;
	TimestampTz now = GetCurrentTimestamp();
	bool		keep_cursors = !TimestampDifferenceExceeds(cursors_at, now, CURSOR_REFRESH_MS);
	Datum		args[2];
	int			n;

	memcpy(old, lanes, sizeof(Lane) * nlanes);
	if (!keep_cursors)
		cursors_at = now;
	if (identity == NULL)
	{
		if (SPI_execute("SELECT o2c._database_identity()", true, 1) != SPI_OK_SELECT)
			elog(ERROR, "could not read the database's identity");
		identity = TextValue(0, 1, dispatcher.context);
	}
	args[0] = CStringGetTextDatum(identity);
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

/* Forget what a failed transaction had claimed. */
static void
DropPending(void)
{
	while (!dlist_is_empty(&pending))
	{
		Transfer   *t = dlist_container(Transfer, node, dlist_pop_head_node(&pending));

		MemoryContextDelete(t->context);
	}
}

/* A claimed row becomes a transfer. */
static void
TakeRow(uint64 row)
{
	MemoryContext context = AllocSetContextCreate(dispatcher.context, "o2c message",
												  ALLOCSET_START_SMALL_SIZES);
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

/*
 * Of the messages just claimed, cancel those that ask to be checked again and
 * are not due any more.  The function is the collections domain's.
 */
static void
CancelStale(Datum owner, Datum companies, Datum ids)
{
	static Statement cancel = {
		.sql = "UPDATE o2c.message m SET state = 'cancelled', lease_owner = NULL, lease_until = NULL,"
		"  attempts = m.attempts - 1, last_error = 'not due any more'"
		" FROM unnest($2, $3) r(company_id, id)"
		" WHERE m.company_id = r.company_id AND m.id = r.id AND m.lease_owner = $1"
		"  AND NOT o2c._message_still_due(m.company_id, m.id)"
		" RETURNING m.company_id, m.id",
		.nargs = 3,
		.argtypes = {UUIDOID, INT4ARRAYOID, INT8ARRAYOID},
		.expected = SPI_OK_UPDATE_RETURNING
	};
	Oid			argtypes[2] = {INT4OID, INT8OID};
	List	   *name = list_make2(makeString("o2c"), makeString("_message_still_due"));
	Datum		args[3];
	uint64		n;

	if (!OidIsValid(LookupFuncName(name, 2, argtypes, true)))
		return;
	args[0] = owner;
	args[1] = companies;
	args[2] = ids;
	n = Execute(&cancel, args, NULL);
	for (uint64 i = 0; i < n; i++)
	{
		dlist_mutable_iter iter;

		dlist_foreach_modify(iter, &pending)
		{
			Transfer   *t = dlist_container(Transfer, node, iter.cur);

			if (t->id == IntValue(i, 2) && t->company_id == IntValue(i, 1))
			{
				dlist_delete(&t->node);
				MemoryContextDelete(t->context);
				break;
			}
		}
	}
}

/* Claim for every lane that wants; the transaction is open. */
static void
ClaimLanes(const int *limits, bool *found)
{
	static Statement defer = {
		.sql = "UPDATE o2c.message m SET next_attempt_at = q.until FROM ("
		" SELECT x.company_id, x.id, o2c._quiet_until(x.company_id, x.channel, x.time_zone, now()) AS until"
		" FROM unnest($1, $2, $3, $4) l(company_id, channel, priority, quota)"
		" CROSS JOIN LATERAL (SELECT m.company_id, m.id, m.channel, m.time_zone FROM o2c.message m"
		"  WHERE m.company_id = l.company_id AND m.channel = l.channel AND m.priority = l.priority"
		"   AND m.state IN ('queued', 'retry') AND m.next_attempt_at <= now()"
		"  ORDER BY m.next_attempt_at, m.id LIMIT l.quota FOR NO KEY UPDATE SKIP LOCKED) x) q"
		" WHERE m.company_id = q.company_id AND m.id = q.id AND q.until > now()",
		.nargs = 4,
		.argtypes = {INT4ARRAYOID, TEXTARRAYOID, INT2ARRAYOID, INT4ARRAYOID},
		.expected = SPI_OK_UPDATE
	};
	static Statement claim = {
		.sql = "UPDATE o2c.message m SET state = 'sending', attempts = m.attempts + 1,"
		"  first_attempt_at = coalesce(m.first_attempt_at, now()), lease_owner = $1,"
		"  lease_until = now() + make_interval(secs => $2)"
		" FROM (SELECT l.lane, x.company_id, x.id"
		"  FROM unnest($3, $4, $5, $6, $7, $8, $9, $10)"
		"   l(lane, company_id, channel, priority, quota, cursor_at, cursor_id, quiet)"
		"  CROSS JOIN LATERAL (SELECT m.company_id, m.id FROM o2c.message m"
		"   WHERE m.company_id = l.company_id AND m.channel = l.channel AND m.priority = l.priority"
		"    AND m.state IN ('queued', 'retry') AND m.next_attempt_at <= now()"
		"    AND (m.next_attempt_at, m.id) > (l.cursor_at, l.cursor_id)"
		"    AND (NOT l.quiet OR o2c._quiet_until(m.company_id, m.channel, m.time_zone, now()) IS NULL)"
		"   ORDER BY m.next_attempt_at, m.id LIMIT l.quota FOR NO KEY UPDATE SKIP LOCKED) x) p"
		" WHERE m.company_id = p.company_id AND m.id = p.id"
		" RETURNING p.lane, m.id, m.attempts, m.first_attempt_at, m.idempotency_key, m.recipient, m.kind,"
		"  m.language, coalesce(octet_length(m.body_text), 0) + coalesce(octet_length(m.body_html), 0),"
		"  coalesce(octet_length(m.body_text), 0) + coalesce(octet_length(m.body_html), 0) > " LAZY_SIZE
		"   OR EXISTS (SELECT FROM o2c.message_attachment a"
		"    WHERE a.company_id = m.company_id AND a.message_id = m.id),"
		"  m.subject,"
		"  CASE WHEN coalesce(octet_length(m.body_text), 0) + coalesce(octet_length(m.body_html), 0) <= " LAZY_SIZE
		"   THEN m.body_text END,"
		"  CASE WHEN coalesce(octet_length(m.body_text), 0) + coalesce(octet_length(m.body_html), 0) <= " LAZY_SIZE
		"   THEN m.body_html END,"
		"  m.context, m.next_attempt_at, m.recheck",
		.nargs = 10,
		.argtypes = {UUIDOID, FLOAT8OID, INT4ARRAYOID, INT4ARRAYOID, TEXTARRAYOID, INT2ARRAYOID,
		INT4ARRAYOID, TIMESTAMPTZARRAYOID, INT8ARRAYOID, BOOLARRAYOID},
		.expected = SPI_OK_UPDATE_RETURNING
	};
	Datum	   *columns[8];
	Datum		args[10];
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
	args[1] = Float8GetDatum(o2c_dispatch_lease);
	args[2] = ArrayOf(columns[0], NULL, n, INT4OID);
	args[3] = ArrayOf(columns[1], NULL, n, INT4OID);
	args[4] = ArrayOf(columns[2], NULL, n, TEXTOID);
	args[5] = ArrayOf(columns[3], NULL, n, INT2OID);
	args[6] = ArrayOf(columns[4], NULL, n, INT4OID);
	args[7] = ArrayOf(columns[5], NULL, n, TIMESTAMPTZOID);
	args[8] = ArrayOf(columns[6], NULL, n, INT8OID);
	args[9] = ArrayOf(columns[7], NULL, n, BOOLOID);
	if (quiet)
		(void) Execute(&defer, &args[3], NULL);
	nrows = Execute(&claim, args, NULL);

	companies = palloc(sizeof(Datum) * (nrows + 1));
	ids = palloc(sizeof(Datum) * (nrows + 1));
	for (uint64 r = 0; r < nrows; r++)
	{
		int			lane = IntValue(r, 1);
		TimestampTz at = IntValue(r, 15);
		int64		id = IntValue(r, 2);
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
	*found = nrows > 0;
}

/*
 * Claim what there is room for; lanes are listed again when they may have
 * changed.  Returns how many messages were claimed.
 */
int
ClaimMessages(bool list)
{
	TimestampTz now = GetCurrentTimestamp();
	int			limits[MAX_LANES];
	bool		found = false;
	int			n = 0;

	DropPending();
	list |= lanes_at == 0 || TimestampDifferenceExceeds(lanes_at, now, LANE_REFRESH_MS);
	if (!list && !WantedLanes(limits, now))
		return 0;
	BeginWork("claiming messages");
	if (list)
	{
		ListLanes();
		now = GetCurrentTimestamp();
	}
	if (WantedLanes(limits, now))
		ClaimLanes(limits, &found);
	EndWork();

	while (!dlist_is_empty(&pending))
	{
		Transfer   *t = dlist_container(Transfer, node, dlist_pop_head_node(&pending));

		t->slot = RecorderTake(t->company_id, t->id);
		dlist_push_tail(&t->channel->waiting, &t->node);
		t->channel->nwaiting++;
		dispatcher.nclaimed++;
		n++;
	}
	return n;
}

/* May a claim find anything now?  Cheap: asked in every round. */
bool
ClaimWanted(void)
{
	int			limits[MAX_LANES];

	return nlanes > 0 && WantedLanes(limits, GetCurrentTimestamp());
}
