/*
 * claim.c
 *		The dispatcher's transactions: claim, load, record, renew, rescue.
 *
 * A lane is (company, channel, priority).  Lanes that have something are
 * found by skipping through the index; each is claimed from its front, behind
 * the place where the last claim ended, so that neither the depth of the queue
 * nor dead versions at its front cost anything.
 *
 * All SQL runs as the owner of o2c.message in a security-restricted operation:
 * a trigger or function that a user of the database made gains nothing from
 * being run by a background worker.
 */
#include "o2c.h"

#include "access/genam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/lmgr.h"
#include "nodes/value.h"
#include "parser/parse_func.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

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

/* A kept plan with more arguments than a trigger needs. */
typedef struct Statement
{
	const char *sql;
	int			nargs;
	Oid			argtypes[12];
	int			expected;
	SPIPlanPtr	plan;
} Statement;

static Oid	saved_userid;
static int	saved_sec_context;

/* Begin a transaction of the dispatcher. */
static void
BeginWork(const char *activity)
{
	Oid			relid;
	HeapTuple	tup;
	Oid			owner = InvalidOid;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	pgstat_report_activity(STATE_RUNNING, activity);
	GetUserIdAndSecContext(&saved_userid, &saved_sec_context);
	relid = get_relname_relid("message", get_namespace_oid("o2c", true));
	if (OidIsValid(relid) && HeapTupleIsValid(tup = SearchSysCache1(RELOID, ObjectIdGetDatum(relid))))
	{
		owner = ((Form_pg_class) GETSTRUCT(tup))->relowner;
		ReleaseSysCache(tup);
	}
	if (!OidIsValid(owner))
		ereport(ERROR,
				(errcode(ERRCODE_O2C_NOT_INSTALLED),
				 errmsg("order2cash is not installed in this database")));
	SetUserIdAndSecContext(owner, saved_sec_context | SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_RESTRICTED_OPERATION | SECURITY_NOFORCE_RLS);
	PushActiveSnapshot(GetTransactionSnapshot());
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
}

/* Commit it; only then is the process itself again. */
static void
EndWork(void)
{
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
	SetUserIdAndSecContext(saved_userid, saved_sec_context);
	pgstat_report_stat(true);
	pgstat_report_activity(STATE_IDLE, NULL);
	MemoryContextSwitchTo(dispatcher.context);
}

/* Execute a statement, prepared once; returns the number of rows. */
static uint64
Execute(Statement *st, Datum *args, const char *nulls)
{
	int			rc;

	if (st->plan == NULL)
	{
		SPIPlanPtr	plan = SPI_prepare(st->sql, st->nargs, st->argtypes);

		if (plan == NULL || SPI_keepplan(plan) != 0)
			elog(ERROR, "could not prepare \"%s\"", st->sql);
		st->plan = plan;
	}
	rc = SPI_execute_plan(st->plan, args, nulls, false, 0);
	if (rc != st->expected)
		elog(ERROR, "unexpected result of \"%s\": %s", st->sql, SPI_result_code_string(rc));
	return SPI_processed;
}

/* A one-dimensional array; nulls may be NULL. */
static Datum
ArrayOf(Datum *values, bool *nulls, int n, Oid type)
{
	int16		len;
	bool		byval;
	char		align;
	int			dims[1];
	int			lbs[1] = {1};

	dims[0] = n;
	get_typlenbyvalalign(type, &len, &byval, &align);
	return PointerGetDatum(construct_md_array(values, nulls, 1, dims, lbs,
											  type, len, byval, align));
}

/* Column of the current result. */
static Datum
Value(uint64 row, int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, isnull);
}

static int64
IntValue(uint64 row, int column)
{
	bool		isnull;
	Datum		d = Value(row, column, &isnull);
	Oid			type = SPI_gettypeid(SPI_tuptable->tupdesc, column);

	if (isnull)
		return 0;
	return type == INT8OID || type == TIMESTAMPTZOID ? DatumGetInt64(d) :
		type == INT2OID ? DatumGetInt16(d) : DatumGetInt32(d);
}

/* A text in UTF-8 in the given context; NULL for SQL NULL. */
static char *
TextValue(uint64 row, int column, MemoryContext context)
{
	bool		isnull;
	Datum		d = Value(row, column, &isnull);
	text	   *t;
	char	   *s;
	char	   *result;

	if (isnull)
		return NULL;
	t = DatumGetTextPP(d);
	s = ToUtf8(VARDATA_ANY(t), VARSIZE_ANY_EXHDR(t));
	result = MemoryContextStrdup(context, s);
	pfree(s);
	return result;
}

static Jsonb *
JsonbValueOf(uint64 row, int column, MemoryContext context)
{
	bool		isnull;
	Datum		d = Value(row, column, &isnull);
	MemoryContext old;
	Jsonb	   *result;

	if (isnull)
		return NULL;
	old = MemoryContextSwitchTo(context);
	result = DatumGetJsonbPCopy(d);
	MemoryContextSwitchTo(old);
	return result;
}

/*
 * Once after connecting: is there anything to serve?  Sets *idle otherwise.
 */
bool
DispatchSetup(DispatchIdle *idle)
{
	bool		installed;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	installed = OidIsValid(get_extension_oid("order2cash", true)) &&
		OidIsValid(get_relname_relid("message", get_namespace_oid("o2c", true))) &&
		OidIsValid(get_relname_relid("installation", get_namespace_oid("o2c", true)));
	CommitTransactionCommand();
	if (!installed)
	{
		*idle = DISPATCH_NOT_INSTALLED;
		return false;
	}

	BeginWork("checking whether this database may send");
	if (SPI_execute("SELECT EXISTS (SELECT FROM o2c.dispatch_state d WHERE d.company_id = 0 AND d.paused),"
					" o2c._dispatch_armed()", true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read o2c.dispatch_state");
	{
		bool		isnull;
		bool		paused = DatumGetBool(Value(0, 1, &isnull));
		bool		armed = DatumGetBool(Value(0, 2, &isnull));

		*idle = paused ? DISPATCH_PAUSED : armed ? DISPATCH_RUNNING : DISPATCH_NOT_ARMED;
	}
	EndWork();
	return *idle == DISPATCH_RUNNING;
}

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

/* Load texts and attachments of messages that were claimed without them. */
void
LoadMessages(Transfer **transfers, int n)
{
	static Statement texts = {
		.sql = "SELECT m.company_id, m.id, m.body_text, m.body_html FROM unnest($1, $2) r(company_id, id)"
		" JOIN o2c.message m ON m.company_id = r.company_id AND m.id = r.id",
		.nargs = 2,
		.argtypes = {INT4ARRAYOID, INT8ARRAYOID},
		.expected = SPI_OK_SELECT
	};
	static Statement files = {
		.sql = "SELECT a.company_id, a.message_id, a.name, a.content_type, a.content"
		" FROM unnest($1, $2) r(company_id, id)"
		" JOIN o2c.message_attachment a ON a.company_id = r.company_id AND a.message_id = r.id"
		" ORDER BY a.company_id, a.message_id, a.id",
		.nargs = 2,
		.argtypes = {INT4ARRAYOID, INT8ARRAYOID},
		.expected = SPI_OK_SELECT
	};
	Datum	   *companies;
	Datum	   *ids;
	Datum		args[2];
	uint64		nrows;

	BeginWork("loading messages");
	companies = palloc(sizeof(Datum) * n);
	ids = palloc(sizeof(Datum) * n);
	for (int i = 0; i < n; i++)
	{
		companies[i] = Int32GetDatum(transfers[i]->company_id);
		ids[i] = Int64GetDatum(transfers[i]->id);
	}
	args[0] = ArrayOf(companies, NULL, n, INT4OID);
	args[1] = ArrayOf(ids, NULL, n, INT8OID);
	nrows = Execute(&texts, args, NULL);
	for (uint64 r = 0; r < nrows; r++)
		for (int i = 0; i < n; i++)
			if (transfers[i]->id == IntValue(r, 2) && transfers[i]->company_id == IntValue(r, 1))
			{
				transfers[i]->body_text = TextValue(r, 3, transfers[i]->context);
				transfers[i]->body_html = TextValue(r, 4, transfers[i]->context);
			}
	nrows = Execute(&files, args, NULL);
	for (uint64 r = 0; r < nrows; r++)
		for (int i = 0; i < n; i++)
			if (transfers[i]->id == IntValue(r, 2) && transfers[i]->company_id == IntValue(r, 1))
			{
				Transfer   *t = transfers[i];
				bool		isnull;
				bytea	   *content = DatumGetByteaPP(Value(r, 5, &isnull));
				MemoryContext old = MemoryContextSwitchTo(t->context);
				Attachment *a;

				t->attachments = t->attachments == NULL ? palloc(sizeof(Attachment)) :
					repalloc(t->attachments, sizeof(Attachment) * (t->nattachments + 1));
				a = &t->attachments[t->nattachments++];
				a->name = TextValue(r, 3, t->context);
				a->content_type = TextValue(r, 4, t->context);
				a->size = VARSIZE_ANY_EXHDR(content);
				a->content = palloc(a->size + 1);
				memcpy(a->content, VARDATA_ANY(content), a->size);
				t->size += a->size;
				MemoryContextSwitchTo(old);
			}
	EndWork();
	for (int i = 0; i < n; i++)
	{
		transfers[i]->lazy = false;
		dispatcher.bytes += transfers[i]->size;
		transfers[i]->loaded = true;
	}
}

static const char *const result_state[] = {"queued", "sent", "retry", "uncertain", "dead"};

/* Tell the event log and the failover channel what will not arrive. */
static void
ReportFailures(Datum companies, Datum ids, Datum states, Datum errors, bool dead)
{
	static Statement report = {
		.sql = "INSERT INTO o2c.event (company_id, entity, entity_id, event, from_state, to_state, reason)"
		" SELECT r.company_id, 'message', r.id, CASE r.state WHEN 'dead' THEN 'fail' ELSE 'lose' END,"
		"  'sending', r.state, r.error"
		" FROM unnest($1, $2, $3, $4) r(company_id, id, state, error) WHERE r.state IN ('dead', 'uncertain')",
		.nargs = 4,
		.argtypes = {INT4ARRAYOID, INT8ARRAYOID, TEXTARRAYOID, TEXTARRAYOID},
		.expected = SPI_OK_INSERT
	};
	static Statement failover = {
		.sql = "SELECT o2c._failover(array_agg(r.company_id), array_agg(r.id))"
		" FROM unnest($1, $2, $3) r(company_id, id, state) WHERE r.state = 'dead'",
		.nargs = 3,
		.argtypes = {INT4ARRAYOID, INT8ARRAYOID, TEXTARRAYOID},
		.expected = SPI_OK_SELECT
	};
	Datum		args[4];

	args[0] = companies;
	args[1] = ids;
	args[2] = states;
	args[3] = errors;
	(void) Execute(&report, args, NULL);
	if (dead)
		(void) Execute(&failover, args, NULL);
}

/* Record the results there are, at most a batch; one transaction. */
void
RecordResults(void)
{
	static Statement record = {
		.sql = "UPDATE o2c.message m SET state = r.state::o2c.message_state,"
		"  next_attempt_at = coalesce(r.next_attempt_at, m.next_attempt_at),"
		"  attempts = m.attempts - (r.state = 'queued')::int,"
		"  lease_owner = NULL, lease_until = NULL,"
		"  sent_at = CASE WHEN r.state = 'sent' THEN now() END,"
		"  provider_id = coalesce(r.provider_id, m.provider_id), last_error = r.error,"
		"  body_text = CASE WHEN m.erase AND r.state = 'sent' THEN NULL ELSE m.body_text END,"
		"  body_html = CASE WHEN m.erase AND r.state = 'sent' THEN NULL ELSE m.body_html END,"
		"  context = CASE WHEN m.erase AND r.state = 'sent' THEN NULL ELSE m.context END"
		" FROM unnest($2, $3, $4, $5, $6, $7) r(company_id, id, state, next_attempt_at, provider_id, error)"
		" WHERE m.company_id = r.company_id AND m.id = r.id AND m.state = 'sending' AND m.lease_owner = $1",
		.nargs = 7,
		.argtypes = {UUIDOID, INT4ARRAYOID, INT8ARRAYOID, TEXTARRAYOID, TIMESTAMPTZARRAYOID,
		TEXTARRAYOID, TEXTARRAYOID},
		.expected = SPI_OK_UPDATE
	};
	int			n = Min(dispatcher.nresults, o2c_dispatch_batch);
	Datum	   *columns[6];
	bool	   *nulls[6];
	Datum		args[7];
	dlist_iter	iter;
	int			i = 0;
	bool		report = false;
	bool		dead = false;

	if (n == 0)
		return;
	BeginWork("recording results");
	for (int c = 0; c < 6; c++)
	{
		columns[c] = palloc0(sizeof(Datum) * n);
		nulls[c] = palloc0(sizeof(bool) * n);
	}
	dlist_foreach(iter, &dispatcher.results)
	{
		Transfer   *t = dlist_container(Transfer, node, iter.cur);

		if (i == n)
			break;
		columns[0][i] = Int32GetDatum(t->company_id);
		columns[1][i] = Int64GetDatum(t->id);
		columns[2][i] = CStringGetTextDatum(result_state[t->result]);
		nulls[3][i] = t->next_attempt_at == 0;
		columns[3][i] = TimestampTzGetDatum(t->next_attempt_at);
		nulls[4][i] = t->provider_id[0] == '\0';
		if (!nulls[4][i])
			columns[4][i] = CStringGetTextDatum(t->provider_id);
		nulls[5][i] = t->error[0] == '\0';
		if (!nulls[5][i])
			columns[5][i] = CStringGetTextDatum(t->error);
		dead |= t->result == RESULT_DEAD;
		report |= t->result == RESULT_DEAD || t->result == RESULT_UNCERTAIN;
		i++;
	}
	args[0] = UUIDPGetDatum(&dispatcher.owner);
	args[1] = ArrayOf(columns[0], NULL, n, INT4OID);
	args[2] = ArrayOf(columns[1], NULL, n, INT8OID);
	args[3] = ArrayOf(columns[2], NULL, n, TEXTOID);
	args[4] = ArrayOf(columns[3], nulls[3], n, TIMESTAMPTZOID);
	args[5] = ArrayOf(columns[4], nulls[4], n, TEXTOID);
	args[6] = ArrayOf(columns[5], nulls[5], n, TEXTOID);
	(void) Execute(&record, args, NULL);
	if (report)
		ReportFailures(args[1], args[2], args[3], args[6], dead);
	EndWork();

	for (i = 0; i < n; i++)
	{
		Transfer   *t = dlist_container(Transfer, node, dlist_pop_head_node(&dispatcher.results));

		if (t->result == RESULT_SENT)
			dispatcher.sent++;
		else if (t->result != RESULT_RELEASE)
			dispatcher.failed++;
		dispatcher.nresults--;
		dispatcher.nclaimed--;
		if (t->loaded)
			dispatcher.bytes -= t->size;
		if (t->slot >= 0)
			RecorderFree(t->slot);
		TransferFree(t);
	}
	dispatcher.first_result_at = dispatcher.nresults > 0 ? GetCurrentTimestamp() : 0;
}

/* Put off the end of the leases of everything that is claimed. */
void
RenewLeases(void)
{
	static Statement renew = {
		.sql = "UPDATE o2c.message m SET lease_until = now() + make_interval(secs => $2)"
		" WHERE m.state = 'sending' AND m.lease_owner = $1",
		.nargs = 2,
		.argtypes = {UUIDOID, FLOAT8OID},
		.expected = SPI_OK_UPDATE
	};
	Datum		args[2];

	BeginWork("renewing leases");
	args[0] = UUIDPGetDatum(&dispatcher.owner);
	args[1] = Float8GetDatum(o2c_dispatch_lease);
	(void) Execute(&renew, args, NULL);
	EndWork();
}

/*
 * Messages that an earlier dispatcher left behind.  At the start its recorder
 * tells what it had done with each; later, and for one of another machine,
 * only that its lease ran out: then nobody knows.
 */
void
RescueMessages(bool start)
{
	static Statement rescue = {
		.sql = "WITH left_behind AS ("
		" SELECT m.company_id, m.id, CASE"
		"   WHEN m.lease_owner = $1 AND e.phase IS NULL OR e.phase = 1 THEN 'queued'"
		"   WHEN e.phase = 3 THEN 'sent'"
		"   WHEN e.phase = 4 THEN 'retry'"
		"   WHEN jsonb_typeof(c.settings->'idempotency_window') = 'number'"
		"    AND m.first_attempt_at + make_interval(secs => least((c.settings->>'idempotency_window')::float8, 1e8)) > now()"
		"    THEN 'retry' ELSE 'uncertain' END AS becomes"
		" FROM o2c.message m JOIN o2c.channel c ON c.company_id = m.company_id AND c.code = m.channel"
		" LEFT JOIN unnest($2, $3, $4) e(company_id, id, phase)"
		"  ON m.lease_owner = $1 AND e.company_id = m.company_id AND e.id = m.id"
		" WHERE m.state = 'sending' AND m.lease_owner <> $5 AND (m.lease_owner = $1 OR m.lease_until < now())),"
		" moved AS ("
		" UPDATE o2c.message m SET state = b.becomes::o2c.message_state, lease_owner = NULL, lease_until = NULL,"
		"  attempts = m.attempts - (b.becomes = 'queued')::int,"
		"  sent_at = CASE WHEN b.becomes = 'sent' THEN now() END,"
		"  last_error = CASE WHEN b.becomes = 'uncertain' THEN 'the dispatcher stopped before the peer answered' END"
		" FROM left_behind b WHERE m.company_id = b.company_id AND m.id = b.id AND m.state = 'sending'"
		" RETURNING m.company_id, m.id, b.becomes)"
		" INSERT INTO o2c.event (company_id, entity, entity_id, event, from_state, to_state, reason)"
		" SELECT company_id, 'message', id, 'lose', 'sending', 'uncertain', 'the dispatcher stopped before the peer answered'"
		" FROM moved WHERE becomes = 'uncertain'",
		.nargs = 5,
		.argtypes = {UUIDOID, INT4ARRAYOID, INT8ARRAYOID, INT4ARRAYOID, UUIDOID},
		.expected = SPI_OK_INSERT
	};
	pg_uuid_t	previous;
	RecorderEntry *entries = NULL;
	int			n = 0;
	bool		valid = false;
	Datum	   *columns[3];
	Datum		args[5];
	char		nulls[] = "     ";

	BeginWork("rescuing messages");
	if (start)
		valid = RecorderRead(MyDatabaseId, &previous, &entries, &n);
	for (int c = 0; c < 3; c++)
		columns[c] = palloc(sizeof(Datum) * Max(n, 1));
	for (int i = 0; i < n; i++)
	{
		columns[0][i] = Int32GetDatum(entries[i].company_id);
		columns[1][i] = Int64GetDatum(entries[i].id);
		columns[2][i] = Int32GetDatum(entries[i].phase);
	}
	args[0] = valid ? UUIDPGetDatum(&previous) : (Datum) 0;
	nulls[0] = valid ? ' ' : 'n';
	args[1] = ArrayOf(columns[0], NULL, n, INT4OID);
	args[2] = ArrayOf(columns[1], NULL, n, INT8OID);
	args[3] = ArrayOf(columns[2], NULL, n, INT4OID);
	args[4] = UUIDPGetDatum(&dispatcher.owner);
	(void) Execute(&rescue, args, nulls);
	EndWork();
}
