/*
 * record.c
 *		What became of claimed messages: load, record, renew, rescue.
 */
#include "o2c.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "dispatch/worker.h"

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
ReportFailures(Datum companies, Datum ids, Datum states, Datum errors)
{
	static Statement report = {
		.sql = "SELECT o2c._report_failures(array_agg(r.company_id), array_agg(r.id), array_agg(r.state), array_agg(r.error))"
		" FROM unnest($1, $2, $3, $4) r(company_id, id, state, error) WHERE r.state IN ('dead', 'uncertain')",
		.nargs = 4,
		.argtypes = {INT4ARRAYOID, INT8ARRAYOID, TEXTARRAYOID, TEXTARRAYOID},
		.expected = SPI_OK_SELECT
	};
	Datum		args[4];

	args[0] = companies;
	args[1] = ids;
	args[2] = states;
	args[3] = errors;
	(void) Execute(&report, args, NULL);
}

/* Reports on messages that overtook what the dispatcher knows of them. */
static void
TakeLateReports(Datum companies, Datum ids)
{
	static Statement take = {
		.sql = "SELECT o2c._late_reports($1, $2) WHERE EXISTS (SELECT FROM unnest($1, $2) r(company_id, id)"
		" JOIN o2c.delivery_report d ON d.company_id = r.company_id AND d.message_id = r.id)",
		.nargs = 2,
		.argtypes = {INT4ARRAYOID, INT8ARRAYOID},
		.expected = SPI_OK_SELECT
	};
	Datum		args[2];

	args[0] = companies;
	args[1] = ids;
	(void) Execute(&take, args, NULL);
}

/* Results in the transaction under way. */
static int	nrecording = 0;

/* Claims that end with the results under way. */
static void
EndClaims(void)
{
	static Statement end = {
		.sql = "DELETE FROM o2c.message_claim k USING unnest($1, $2) r(company_id, id)"
		" WHERE k.company_id = r.company_id AND k.id = r.id",
		.nargs = 2,
		.argtypes = {INT4ARRAYOID, INT8ARRAYOID},
		.expected = SPI_OK_DELETE
	};
	Datum	   *columns[2];
	Datum		args[2];
	dlist_iter	iter;
	int			n = 0;

	columns[0] = palloc(sizeof(Datum) * nrecording);
	columns[1] = palloc(sizeof(Datum) * nrecording);
	dlist_foreach(iter, &dispatcher.claims)
	{
		Claim	   *claim = dlist_container(Claim, node, iter.cur);

		if (claim->ending == 0 || claim->ending < claim->remaining)
			continue;
		columns[0][n] = Int32GetDatum(claim->company_id);
		columns[1][n++] = Int64GetDatum(claim->id);
	}
	args[0] = ArrayOf(columns[0], NULL, n, INT4OID);
	args[1] = ArrayOf(columns[1], NULL, n, INT8OID);
	if (n > 0)
		(void) Execute(&end, args, NULL);
}

/* Record the first results, at most so many, in the transaction that is open. */
void
RecordResults(int most)
{
	static Statement record = {
		.sql = "UPDATE o2c.message m SET state = r.state::o2c.message_state,"
		"  next_attempt_at = coalesce(r.next_attempt_at, m.next_attempt_at),"
		"  attempts = m.attempts - (r.state = 'queued')::int,"
		"  lease_owner = NULL,"
		"  sent_at = CASE WHEN r.state = 'sent' THEN now() END,"
		"  provider_id = coalesce(r.provider_id, m.provider_id), last_error = r.error,"
		"  body_text = CASE WHEN m.erase AND r.state = 'sent' THEN NULL ELSE m.body_text END,"
		"  body_html = CASE WHEN m.erase AND r.state = 'sent' THEN NULL ELSE m.body_html END,"
		"  context = CASE WHEN m.erase AND r.state = 'sent' THEN NULL ELSE m.context END"
		" FROM unnest($2, $3, $4, $5, $6, $7) r(company_id, id, state, next_attempt_at, provider_id, error)"
		" WHERE m.company_id = r.company_id AND m.id = r.id AND m.lease_owner = $1",
		.nargs = 7,
		.argtypes = {UUIDOID, INT4ARRAYOID, INT8ARRAYOID, TEXTARRAYOID, TIMESTAMPTZARRAYOID,
		TEXTARRAYOID, TEXTARRAYOID},
		.expected = SPI_OK_UPDATE
	};
	int			n = Min(dispatcher.nresults, most);
	Datum	   *columns[6];
	bool	   *nulls[6];
	Datum		args[7];
	dlist_iter	iter;
	int			i = 0;
	bool		report = false;
	bool		requeue = false;

	nrecording = n;
	if (n == 0)
		return;
	for (int c = 0; c < 6; c++)
	{
		columns[c] = palloc0(sizeof(Datum) * n);
		nulls[c] = palloc0(sizeof(bool) * n);
	}
	dlist_foreach(iter, &dispatcher.claims)
		dlist_container(Claim, node, iter.cur)->ending = 0;
	dlist_foreach(iter, &dispatcher.results)
	{
		Transfer   *t = dlist_container(Transfer, node, iter.cur);

		if (i == n)
			break;
		t->claim->ending++;
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
		report |= t->result == RESULT_DEAD || t->result == RESULT_UNCERTAIN;
		requeue |= t->result != RESULT_SENT && t->result != RESULT_DEAD;
		i++;
	}
	args[0] = UUIDPGetDatum(&dispatcher.owner);
	args[1] = ArrayOf(columns[0], NULL, n, INT4OID);
	args[2] = ArrayOf(columns[1], NULL, n, INT8OID);
	args[3] = ArrayOf(columns[2], NULL, n, TEXTOID);
	args[4] = ArrayOf(columns[3], nulls[3], n, TIMESTAMPTZOID);
	args[5] = ArrayOf(columns[4], nulls[4], n, TEXTOID);
	args[6] = ArrayOf(columns[5], nulls[5], n, TEXTOID);
	/* what is sent or dead has left the queue when it was claimed */
	if (requeue)
		(void) Execute(&record, args, NULL);
	else
		(void) ExecuteKeepingQueue(&record, args, NULL);
	if (report)
		ReportFailures(args[1], args[2], args[3], args[6]);
	TakeLateReports(args[1], args[2]);
	EndClaims();
}

/* The transaction has committed: what was recorded is over. */
void
RecordCommitted(void)
{
	for (; nrecording > 0; nrecording--)
	{
		Transfer   *t = dlist_container(Transfer, node, dlist_pop_head_node(&dispatcher.results));
		Claim	   *claim = t->claim;

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
		if (--claim->remaining == 0)
		{
			dlist_delete(&claim->node);
			pfree(claim);
		}
	}
	dispatcher.first_result_at = dispatcher.nresults > 0 ? SteadyNow() : 0;
}

/* Put off the end of the leases of everything that is claimed. */
void
RenewLeases(void)
{
	static Statement renew = {
		.sql = "UPDATE o2c.message_claim k SET lease_until = now() + make_interval(secs => $2)"
		" WHERE k.lease_owner = $1",
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
 * Write down what became of messages of claims that nobody works on: those of
 * the owner, by his recorder; without one, those whose lease ran out, of which
 * nobody knows.  A message that somebody holds is passed by, and its claim
 * stays.
 */
static void
RescueClaims(const pg_uuid_t *owner, RecorderEntry *entries, int n, Datum known)
{
	static Statement rescue = {
		.sql = "WITH claim AS ("
		" SELECT k.company_id, k.id, k.lease_owner, k.message_ids FROM o2c.message_claim k"
		" WHERE CASE WHEN $1 IS NULL THEN k.lease_until < now() AND k.lease_owner <> ALL ($5) ELSE k.lease_owner = $1 END"
		" FOR UPDATE SKIP LOCKED),"
		" held AS ("
		" SELECT k.company_id, k.id AS claim, m.id FROM claim k CROSS JOIN unnest(k.message_ids) i(id)"
		" JOIN o2c.message m ON m.company_id = k.company_id AND m.id = i.id AND m.state = 'sending'"
		"  AND m.lease_owner = k.lease_owner),"
		" left_behind AS ("
		" SELECT h.company_id, h.claim, h.id, CASE"
		"   WHEN $1 IS NOT NULL AND e.phase IS NULL OR e.phase = 1 THEN 'queued'"
		"   WHEN e.phase = 3 THEN 'sent'"
		"   WHEN e.phase = 4 THEN 'retry'"
		"   WHEN jsonb_typeof(c.settings->'idempotency_window') = 'number'"
		"    AND m.first_attempt_at + make_interval(secs => least((c.settings->>'idempotency_window')::float8, 1e8)) > now()"
		"    THEN 'retry' ELSE 'uncertain' END AS becomes"
		" FROM held h JOIN o2c.message m ON m.company_id = h.company_id AND m.id = h.id AND m.state = 'sending'"
		" JOIN o2c.channel c ON c.company_id = m.company_id AND c.code = m.channel"
		" LEFT JOIN unnest($2, $3, $4) e(company_id, id, phase) ON e.company_id = m.company_id AND e.id = m.id"
		" FOR NO KEY UPDATE OF m SKIP LOCKED),"
		" passed_by AS ("
		" SELECT company_id, claim FROM (SELECT company_id, claim, 1 AS n FROM held"
		"  UNION ALL SELECT company_id, claim, -1 FROM left_behind) u GROUP BY company_id, claim HAVING sum(n) > 0),"
		" over AS (DELETE FROM o2c.message_claim k USING claim c WHERE k.company_id = c.company_id AND k.id = c.id"
		"  AND NOT EXISTS (SELECT FROM passed_by p WHERE p.company_id = k.company_id AND p.claim = k.id)),"
		" moved AS ("
		" UPDATE o2c.message m SET state = b.becomes::o2c.message_state, lease_owner = NULL,"
		"  attempts = m.attempts - (b.becomes = 'queued')::int,"
		"  sent_at = CASE WHEN b.becomes = 'sent' THEN now() END,"
		"  last_error = CASE WHEN b.becomes = 'uncertain' THEN 'the dispatcher stopped before the peer answered' END"
		" FROM left_behind b WHERE m.company_id = b.company_id AND m.id = b.id AND m.state = 'sending'"
		" RETURNING m.company_id, m.id, b.becomes),"
		" told AS ("
		" INSERT INTO o2c.event (company_id, entity, entity_id, event, from_state, to_state, reason)"
		" SELECT company_id, 'message', id, 'lose', 'sending', 'uncertain', 'the dispatcher stopped before the peer answered'"
		" FROM moved WHERE becomes = 'uncertain')"
		" SELECT array_agg(company_id), array_agg(id) FROM moved HAVING count(*) > 0",
		.nargs = 5,
		.argtypes = {UUIDOID, INT4ARRAYOID, INT8ARRAYOID, INT4ARRAYOID, UUIDARRAYOID},
		.expected = SPI_OK_SELECT
	};
	Datum	   *columns[3];
	Datum		args[5];

	for (int c = 0; c < 3; c++)
		columns[c] = palloc(sizeof(Datum) * Max(n, 1));
	for (int i = 0; i < n; i++)
	{
		columns[0][i] = Int32GetDatum(entries[i].company_id);
		columns[1][i] = Int64GetDatum(entries[i].id);
		columns[2][i] = Int32GetDatum(entries[i].phase);
	}
	args[0] = owner == NULL ? (Datum) 0 : UUIDPGetDatum(owner);
	args[1] = ArrayOf(columns[0], NULL, n, INT4OID);
	args[2] = ArrayOf(columns[1], NULL, n, INT8OID);
	args[3] = ArrayOf(columns[2], NULL, n, INT4OID);
	args[4] = known;
	if (Execute(&rescue, args, owner == NULL ? "n    " : NULL) > 0)
	{
		bool		isnull;

		TakeLateReports(Value(0, 1, &isnull), Value(0, 2, &isnull));
	}
}

/* Is a claim of the owner left? */
static bool
ClaimsLeft(const pg_uuid_t *owner)
{
	static Statement left = {
		.sql = "SELECT FROM o2c.message_claim k WHERE k.lease_owner = $1 LIMIT 1",
		.nargs = 1,
		.argtypes = {UUIDOID},
		.expected = SPI_OK_SELECT
	};
	Datum		args[1];

	args[0] = UUIDPGetDatum(owner);
	return Execute(&left, args, NULL) > 0;
}

/*
 * Look after messages that earlier dispatchers left behind.  Their recorders
 * tell what they had done with each, and are there until all of it is written
 * down; of one of another machine nobody knows.
 */
void
RescueMessages(void)
{
	List	   *files;
	List	   *over = NIL;
	ListCell   *lc;
	Datum	   *known;
	int			nknown = 0;
	bool		left_behind = false;

	BeginWork("rescuing messages");
	/* what it joins is as large as what was in the air */
	(void) set_config_option("enable_hashjoin", "on", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
	files = RecorderFiles(MyDatabaseId);
	known = palloc(sizeof(Datum) * (list_length(files) + 1));
	known[nknown++] = UUIDPGetDatum(&dispatcher.owner);
	foreach(lc, files)
	{
		char	   *path = lfirst(lc);
		pg_uuid_t  *owner = palloc(sizeof(pg_uuid_t));
		RecorderEntry *entries = NULL;
		int			n = 0;
		MemoryContext old;

		if (RecorderRead(path, owner, &entries, &n))
		{
			RescueClaims(owner, entries, n, ArrayOf(known, NULL, 1, UUIDOID));
			known[nknown++] = UUIDPGetDatum(owner);
			if (ClaimsLeft(owner))
			{
				left_behind = true;
				continue;
			}
		}
		old = MemoryContextSwitchTo(dispatcher.context);
		over = lappend(over, pstrdup(path));
		MemoryContextSwitchTo(old);
	}
	RescueClaims(NULL, NULL, 0, ArrayOf(known, NULL, nknown, UUIDOID));
	EndWork();
	foreach(lc, over)
		RecorderForget(lfirst(lc));
	list_free_deep(over);
	dispatcher.left_behind = left_behind;
}
