/*
 * lane.c
 *		Lanes: which messages wait, and how many of them there is room for.
 *
 * A lane is (company, channel, priority).  Lanes that have something are
 * found by skipping through the queue's index; claim.c takes from the front of
 * each, behind the place where the last claim ended, so that neither the depth
 * of the queue nor dead versions at its front cost anything.
 */
#include "o2c.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "dispatch/worker.h"

#define LANE_REFRESH_MS 1000
#define CURSOR_REFRESH_MS 5000

/* What a channel's messages depend on: its row, and who the company is. */
#define VERSION "hashtextextended(concat(k.name, E'\\n', k.email), c.xmin::text::int8)"

Lane		lanes[MAX_LANES];
int			nlanes = 0;

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
 * Give back what was claimed for channels that may not send any more, or not
 * so: switched off or changed, or of a company that was disarmed or paused.
 */
static void
ReleaseForbidden(void)
{
	static Statement forbidden = {
		.sql = "SELECT r.company_id, r.code FROM unnest($2, $3, $4) r(company_id, code, version)"
		" WHERE NOT EXISTS (SELECT FROM o2c.channel c JOIN o2c.company k ON k.company_id = c.company_id"
		"  WHERE c.company_id = r.company_id AND c.code = r.code AND c.enabled AND " VERSION " = r.version)"
		"  OR NOT EXISTS (SELECT FROM o2c.dispatch_state d WHERE d.company_id IN (0, r.company_id)"
		"   AND d.armed_identity = $1)"
		"  OR EXISTS (SELECT FROM o2c.dispatch_state d WHERE d.company_id IN (0, r.company_id) AND d.paused)",
		.nargs = 4,
		.argtypes = {TEXTOID, INT4ARRAYOID, TEXTARRAYOID, INT8ARRAYOID},
		.expected = SPI_OK_SELECT
	};
	Datum	   *columns[3];
	Datum		args[4];
	uint64		nrows;
	int			n = 0;
	dlist_iter	iter;

	dlist_foreach(iter, &dispatcher.channels)
		n += dlist_container(Channel, node, iter.cur)->nwaiting > 0;
	if (n == 0)
		return;
	for (int c = 0; c < 3; c++)
		columns[c] = palloc(sizeof(Datum) * n);
	n = 0;
	dlist_foreach(iter, &dispatcher.channels)
	{
		Channel    *channel = dlist_container(Channel, node, iter.cur);

		if (channel->nwaiting == 0)
			continue;
		columns[0][n] = Int32GetDatum(channel->company_id);
		columns[1][n] = CStringGetTextDatum(channel->code);
		columns[2][n++] = Int64GetDatum(channel->version);
	}
	args[0] = CStringGetTextDatum(Identity());
	args[1] = ArrayOf(columns[0], NULL, n, INT4OID);
	args[2] = ArrayOf(columns[1], NULL, n, TEXTOID);
	args[3] = ArrayOf(columns[2], NULL, n, INT8OID);
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
		" SELECT l.company_id, l.channel, l.priority, " VERSION ", f.due,"
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
	int64		ahead = WallAhead();
	Lane	   *old = palloc(sizeof(Lane) * Max(nlanes, 1));
	int			nold = nlanes;
	TimestampTz now = SteadyNow();
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
		lane->due = IntValue(i, 5) - ahead;
		lane->quiet = DatumGetBool(Value(i, 6, &isnull));
		lane->channel = ChannelOf(lane->company_id, code, IntValue(i, 4), i, 7);
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

	if (channel->blocked_until > now || channel->outdated)
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
bool
LanesWanted(int *limits)
{
	TimestampTz now = SteadyNow();
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

/* May a claim find anything now?  Cheap: asked in every round. */
bool
ClaimWanted(void)
{
	int			limits[MAX_LANES];

	return nlanes > 0 && LanesWanted(limits);
}

/* List the lanes, when asked to or when it was long ago, and what may send with them. */
void
LanesRefresh(bool list)
{
	if (list || lanes_at == 0 ||
		TimestampDifferenceExceeds(lanes_at, SteadyNow(), LANE_REFRESH_MS))
	{
		ReleaseForbidden();
		ListLanes();
	}
}

/* Begin at the front of each lane again: what was claimed from them was not. */
void
LanesRewind(void)
{
	for (int i = 0; i < nlanes; i++)
	{
		lanes[i].cursor_at = DT_NOBEGIN;
		lanes[i].exhausted = false;
	}
}
