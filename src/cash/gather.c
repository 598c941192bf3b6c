/*
 * gather.c
 *		The items that bank lines may pay, found in one pass over the tables.
 *
 * The engine (sql/functions/55_match.sql) says in SQL which rows are to be
 * read; here they stream past the lines, which wait in hash tables
 * (gather_pairs.c).  A join would carry each row through several sorts and
 * hash tables; here an item that no line wants costs two look-ups.
 *
 * Lines are taken in runs that fit, with all that is found for them, into the
 * memory of one hash table, of which the tuplestore and the sort of candidates
 * have a part.  How long a run may be is learned from what the one before
 * took; one that turns out to be too much is halved.  Runs after the first
 * read what it read from files (gather_again.c).  Candidates go to the
 * tuplestore, which spills and from which the first round reads them.  Runs
 * follow each other, so that they come in the order of lines and items, as the
 * weigher reads them; a run whose candidates memory did not hold is sorted.
 */
#include "cash/gather.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"

#define FETCH_ROWS	1000
#define LEAST_ROOM	(256 * 1024)	/* memory that is taken in any case */
#define FIRST_SHARE	5			/* the part of the memory that lines of the first run may take alone */

/* Parameters of the queries. */
enum
{
	PARAM_COMPANY,				/* integer */
	PARAM_IDS,					/* bigint[]: keys, or items */
	PARAM_CUSTOMERS,			/* bigint[] */
	PARAM_AMOUNTS,				/* numeric[] */
	NPARAMS
};

/* The queries, in the order of the arguments. */
typedef enum GatherQuery
{
	QUERY_LINES,
	QUERY_TOLERANCES,
	QUERY_PAYERS,
	QUERY_KEYS,
	QUERY_SETTLED,
	QUERY_PAIRS,
	QUERY_ITEMS,
	QUERY_CREDITS,
	QUERY_NAMES,
	NQUERIES
} GatherQuery;

typedef struct GatherRun
{
	Gathering		gather;
	Tolerances	tolerances;
	bool		few;			/* queries look for what the arrays have */
	SPIPlanPtr	plan[NQUERIES]; /* NULL: nothing of this kind */
	BufFile    *file[NQUERIES]; /* its rows, to be read again; or NULL */
	TupleDesc	desc[NQUERIES]; /* of these */
	MemoryContext context;		/* of the files */
	bool		more;			/* lines come after these */
	Size		line_bytes;		/* that a line of the last run took; 0: none yet */
	Datum		param[NPARAMS];
} GatherRun;

/* What the rows of each query are; see row_shape.c. */
static const char *const shapes[NQUERIES] = {
	[QUERY_LINES] = "lltlLA",
	[QUERY_TOLERANCES] = SHAPE_TOLERANCE,
	[QUERY_PAYERS] = "llib",
	[QUERY_KEYS] = "ll",
	[QUERY_SETTLED] = "lLt",
	[QUERY_PAIRS] = "llT",
	[QUERY_ITEMS] = SHAPE_ITEM "i",
	[QUERY_CREDITS] = SHAPE_ITEM "i",
	[QUERY_NAMES] = "lTT",
};

static void
ReceiverStartup(DestReceiver *self, int operation, TupleDesc desc)
{
	GatherReceiver *receiver = (GatherReceiver *) self;

	CashCheckShape(desc, receiver->shape);
	if (receiver->desc != NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(GetMemoryChunkContext(receiver->gather));

		*receiver->desc = CreateTupleDescCopy(desc);
		MemoryContextSwitchTo(old);
	}
}

static bool
ReceiveRow(TupleTableSlot *slot, DestReceiver *self)
{
	GatherReceiver *receiver = (GatherReceiver *) self;

	slot_getallattrs(slot);
	CashCheckNulls(receiver->shape, slot->tts_isnull);
	return receiver->receive(slot, self);
}

static void
ReceiverEnd(DestReceiver *self)
{
}

/* Queries whose rows are many and all are looked at by every run; payers and pairs are in tables of the run. */
static bool
IsKept(GatherQuery query)
{
	return query == QUERY_KEYS || query == QUERY_SETTLED || query == QUERY_ITEMS || query == QUERY_CREDITS;
}

/* Run a query whose rows go to a function. */
void
GatherStream(SPIPlanPtr plan, int nparams, const Oid *types, const Datum *values, const char *shape,
			 GatherReceive receive, GatherReceiver *receiver)
{
	SPIExecuteOptions options;
	ParamListInfo params = makeParamList(nparams);
	int			rc;

	receiver->shape = shape;
	receiver->receive = receive;
	receiver->pub.receiveSlot = ReceiveRow;
	receiver->pub.rStartup = ReceiverStartup;
	receiver->pub.rShutdown = ReceiverEnd;
	receiver->pub.rDestroy = ReceiverEnd;
	receiver->pub.mydest = DestTuplestore;	/* rows are kept, in a way */
	for (int i = 0; i < nparams; i++)
		params->params[i] = (ParamExternData) {values[i], false, PARAM_FLAG_CONST, types[i]};
	memset(&options, 0, sizeof(options));
	options.params = params;
	options.read_only = true;
	options.dest = &receiver->pub;
	rc = SPI_execute_plan_extended(plan, &options);
	if (rc != SPI_OK_SELECT)
		elog(ERROR, "could not gather candidates: %s", SPI_result_code_string(rc));
	pfree(params);
}

static const Oid param_types[NPARAMS] = {INT4OID, INT8ARRAYOID, INT8ARRAYOID, NUMERICARRAYOID};

/* Look again at the rows of a query; false when one was too much. */
static bool
RunAgain(GatherRun *run, GatherQuery query)
{
	Gathering  *g = &run->gather;
	BufFile    *file = run->file[query];

	switch (query)
	{
		case QUERY_KEYS:
			return ReadKeysAgain(g, file);
		case QUERY_SETTLED:
			return ReadRowsAgain(g, file, run->desc[query], TakeSettled);
		case QUERY_ITEMS:
			return ReadRowsAgain(g, file, run->desc[query], TakeItem);
		case QUERY_CREDITS:
			return ReadRowsAgain(g, file, run->desc[query], TakeCredit);
		default:
			elog(ERROR, "unexpected query: %d", (int) query);
	}
}

/* Run one of the queries, if there is one; false when a row was too much. */
static bool
RunInto(GatherRun *run, GatherQuery query, GatherReceive receive)
{
	Gathering  *g = &run->gather;
	GatherReceiver receiver = {.gather = g};
	MemoryContext old;

	if (run->plan[query] == NULL)
		return true;
	if (run->file[query] != NULL)
		return RunAgain(run, query);
	old = MemoryContextSwitchTo(run->context);
	if (run->more && !run->few && IsKept(query))
	{
		receiver.keep = BufFileCreateTemp(false);
		receiver.desc = &run->desc[query];
	}
	GatherStream(run->plan[query], NPARAMS, param_types, run->param, shapes[query], receive, &receiver);
	MemoryContextSwitchTo(old);
	if (receiver.keep != NULL && g->overflow)
		BufFileClose(receiver.keep);
	else
		run->file[query] = receiver.keep;
	return !g->overflow;
}

/* Arrays that queries for few lines look for ----------------------------- */

static int
CompareInt64(const void *a, const void *b)
{
	int64		x = *(const int64 *) a;
	int64		y = *(const int64 *) b;

	return x < y ? -1 : x > y;
}

/* The distinct values as a parameter; the array is sorted. */
static Datum
Int64Param(int64 *values, int64 n)
{
	Datum	   *elems = palloc(Max(n, 1) * sizeof(Datum));
	int			m = 0;

	if (n > 1)
		qsort(values, n, sizeof(int64), CompareInt64);
	for (int64 i = 0; i < n; i++)
		if (i == 0 || values[i] != values[i - 1])
			elems[m++] = Int64GetDatum(values[i]);
	return PointerGetDatum(construct_array(elems, m, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

static void
KeysParam(GatherRun *run)
{
	const Gathering *g = &run->gather;
	const GatherLine *last = &g->lines.at[g->upto - 1];
	int64		first = g->lines.at[g->from].first_key;
	int64		n = last->first_key + last->nkeys - first;
	int64	   *values = palloc(Max(n, 1) * sizeof(int64));

	memcpy(values, g->keys.at + first, n * sizeof(int64));
	run->param[PARAM_IDS] = Int64Param(values, n);
}

static void
ItemsParam(GatherRun *run)
{
	const Gathering *g = &run->gather;
	int64	   *values = palloc(Max(g->citations.n, 1) * sizeof(int64));

	for (int64 i = 0; i < g->citations.n; i++)
		values[i] = g->citations.at[i].item_id;
	run->param[PARAM_IDS] = Int64Param(values, g->citations.n);
}

static void
CustomersParam(GatherRun *run, bool gaps)
{
	const Gathering *g = &run->gather;
	int64		n = gaps ? g->gaps.n : g->customers.n;
	int64	   *values = palloc(Max(n, 1) * sizeof(int64));

	for (int64 i = 0; i < n; i++)
		values[i] = gaps ? g->gaps.at[i].customer_id : g->customers.at[i].customer_id;
	run->param[PARAM_CUSTOMERS] = Int64Param(values, n);
}

/* Amounts of lines whose payer is not known, in each currency what they are there. */
static void
AmountsParam(GatherRun *run)
{
	const Gathering *g = &run->gather;
	Datum	   *elems = palloc(Max(g->amounts.n, 1) * sizeof(Datum));
	int			n = 0;

	for (int64 i = 0; i < g->amounts.n; i++)
		if (g->amounts.at[i].unknown >= 0)
			elems[n++] = AmountOfMinor(g->amounts.at[i].amount, g->amounts.at[i].currency);
	run->param[PARAM_AMOUNTS] = PointerGetDatum(construct_array(elems, n, NUMERICOID, -1, false, TYPALIGN_INT));
}

/* Names for what is about to be returned, perhaps while another query is read. */
static void
ReadNames(Gathering *g)
{
	GatherRun  *run = (GatherRun *) g;	/* its first member */
	Datum		customers = run->param[PARAM_CUSTOMERS];

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	if (run->few)
	{
		int64	   *values = palloc(g->named.n * sizeof(int64));

		for (int64 i = 0; i < g->named.n; i++)
			values[i] = g->named.at[i].customer_id;
		run->param[PARAM_CUSTOMERS] = Int64Param(values, g->named.n);
	}
	RunInto(run, QUERY_NAMES, ReceiveName);
	run->param[PARAM_CUSTOMERS] = customers;
	SPI_finish();
}

/* Ranges of lines -------------------------------------------------------- */

/* Gather for the lines of the range; false when they are too many at once. */
static bool
GatherOnce(GatherRun *run)
{
	Gathering  *g = &run->gather;

	if (!GatherPrepare(g) || !RunInto(run, QUERY_PAYERS, ReceivePayer))
		return false;
	GatherPayersDone(g);
	if (run->few)
		KeysParam(run);
	if (!RunInto(run, QUERY_KEYS, ReceiveKey))
		return false;
	GatherKeysDone(g);
	if (!RunInto(run, QUERY_PAIRS, ReceiveCited))
		return false;
	GatherCitationsDone(g);
	if (!RunInto(run, QUERY_SETTLED, ReceiveSettled))
		return false;
	GatherMeasure(g);
	MemoryContextReset(g->keys_context);
	if (run->few)
	{
		ItemsParam(run);
		CustomersParam(run, false);
		AmountsParam(run);
	}
	g->want_gaps = run->plan[QUERY_CREDITS] != NULL;
	if (!RunInto(run, QUERY_ITEMS, ReceiveItem))
		return false;
	GatherUnknown(g);
	if (g->want_gaps && GatherGapsDone(g))
	{
		if (run->few)
			CustomersParam(run, true);
		RunInto(run, QUERY_CREDITS, ReceiveCredit);
	}
	GatherFlush(g, true);
	return true;
}

/* Gather for the lines that were read, all at once or in ranges that fit. */
static void
GatherLines(GatherRun *run)
{
	Gathering  *g = &run->gather;
	int			length = g->lines.n;

	g->disordered |= g->lines.at[0].id < g->last_line;
	g->last_line = g->lines.at[g->lines.n - 1].id;
	for (g->from = 0; g->from < g->lines.n;)
	{
		bool		done;

		g->upto = Min(g->from + length, g->lines.n);
		g->overflow = g->flushed = false;
		g->most = g->returned = 0;
		memset(&g->line_keys, 0, offsetof(Gathering, out) - offsetof(Gathering, line_keys));
		done = GatherOnce(run);
		ArenaReset(&g->kept);
		MemoryContextReset(g->keys_context);
		ArenaReset(&g->out);
		if (done)
		{
			Size		held = MemoryContextMemAllocated(g->lines_context, false);

			elog(DEBUG1, "gathered candidates of %d lines in %zu kB", g->upto - g->from, g->most / 1024);
			/* candidates that came in parts need not all fit: what they are found by does */
			run->line_bytes = held / g->lines.n + Min(g->most + g->returned - held, 2 * (g->most - held)) / (g->upto - g->from) + 1;
			g->from = g->upto;
		}
		else
		{
			length = (g->upto - g->from) / 2;
			run->more = true;
		}
	}
}

/* Lines ------------------------------------------------------------------ */

static int
CompareLines(const void *a, const void *b)
{
	return CompareInt64(&((const GatherLine *) a)->id, &((const GatherLine *) b)->id);
}

/* Columns: id, party, currency, amount in minor units, key of the reference, keys of the text. */
static void
AddLine(Gathering *g, const Datum *value, const bool *isnull)
{
	GatherLine *line = ARRAY_ADD(g->lines, g->lines_context);
	int64		reference = isnull[4] ? 0 : DatumGetInt64(value[4]);

	memset(line, 0, sizeof(GatherLine));
	line->id = DatumGetInt64(value[0]);
	line->party_id = DatumGetInt64(value[1]);
	line->currency = CurrencyWord(value[2]);
	line->amount = DatumGetInt64(value[3]);
	line->next_same = line->next_unknown = -1;
	line->first_key = g->keys.n;
	if (!isnull[5])
	{
		ArrayType  *keys = DatumGetArrayTypeP(value[5]);
		int			n = ARR_NDIM(keys) == 0 ? 0 : ARR_DIMS(keys)[0];
		const int64 *key = (const int64 *) ARR_DATA_PTR(keys);

		if (ARR_HASNULL(keys))
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("key of a line is null")));
		for (int i = 0; i < n; i++)
			*ARRAY_ADD(g->keys, g->lines_context) = key[i];
		if ((Pointer) keys != DatumGetPointer(value[5]))
			pfree(keys);
	}
	if (reference != 0)
		*ARRAY_ADD(g->keys, g->lines_context) = reference;
	line->nkeys = g->keys.n - line->first_key;
}

/* Read as many lines as fit; false when there were none. */
static bool
ReadLines(GatherRun *run, Portal portal)
{
	Gathering  *g = &run->gather;
	Datum		value[6];
	bool		isnull[6];
	int64		most = PG_INT32_MAX / 2;
	bool		sorted = true;

	if (run->line_bytes != 0)
		most = Max(1, Min(most, (g->room - g->room / 8) / run->line_bytes));
	MemoryContextReset(g->lines_context);
	memset(&g->lines, 0, sizeof(g->lines));
	memset(&g->keys, 0, sizeof(g->keys));
	do
	{
		int64		asked = Min(FETCH_ROWS, most - g->lines.n);

		SPI_cursor_fetch(portal, true, asked);
		for (uint64 i = 0; i < SPI_processed; i++)
		{
			heap_deform_tuple(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, value, isnull);
			CashCheckNulls(shapes[QUERY_LINES], isnull);
			AddLine(g, value, isnull);
		}
		run->more = SPI_processed == asked;
		SPI_freetuptable(SPI_tuptable);
	} while (run->more && g->lines.n < most && g->keys.n < PG_INT32_MAX / 2 &&
			 (run->line_bytes != 0 || MemoryContextMemAllocated(g->lines_context, false) < g->room / FIRST_SHARE));
	for (int64 i = 1; i < g->lines.n && sorted; i++)
		sorted = g->lines.at[i - 1].id < g->lines.at[i].id;
	if (!sorted)
	{
		int64	   *keys = MemoryContextAllocHuge(g->lines_context, Max(g->keys.n, 1) * sizeof(int64));
		int64		n = 0;

		/* keys stand in the order of their lines */
		qsort(g->lines.at, g->lines.n, sizeof(GatherLine), CompareLines);
		for (int64 i = 0; i < g->lines.n; i++)
		{
			GatherLine *line = &g->lines.at[i];

			memcpy(keys + n, g->keys.at + line->first_key, line->nkeys * sizeof(int64));
			line->first_key = n;
			n += line->nkeys;
		}
		if (g->keys.at != NULL)
			pfree(g->keys.at);
		g->keys.at = keys;
		g->keys.room = Max(g->keys.n, 1);
	}
	return g->lines.n > 0;
}

static bool
ReceiveTolerance(TupleTableSlot *slot, DestReceiver *self)
{
	ToleranceAdd(((GatherReceiver *) self)->gather->tolerances, slot);
	return true;
}

/*
 * The candidates of lines, in the order of lines and items: rows of
 * GatherDesc.  The call has company, few, and the queries in the order of
 * GatherQuery; they may use the parameters company, keys or items, customers,
 * and amounts; without "few" they return all rows of the company.
 */
Tuplestorestate *
GatherCandidates(FunctionCallInfo fcinfo, TupleDesc desc)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "order2cash gatherer", ALLOCSET_DEFAULT_SIZES);
	Tuplestorestate *result = CandidatesBegin();
	MemoryContext old = MemoryContextSwitchTo(context);
	GatherRun  *run = palloc0(sizeof(GatherRun));
	Gathering  *g = &run->gather;
	Portal		portal;

	g->room = Max(get_hash_memory_limit() - (CANDIDATES_SHARE + SORT_SHARE) * UINT64CONST(1024), LEAST_ROOM);
	g->result = result;
	g->desc = desc;
	g->slot = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
	g->tolerances = &run->tolerances;
	g->read_names = ReadNames;
	g->last_line = PG_INT64_MIN;
	run->context = context;
	run->tolerances.context = context;
	run->few = PG_GETARG_BOOL(1);
	run->param[PARAM_COMPANY] = PG_GETARG_DATUM(0);
	run->param[PARAM_IDS] = run->param[PARAM_CUSTOMERS] = Int64Param(NULL, 0);
	run->param[PARAM_AMOUNTS] = PointerGetDatum(construct_empty_array(NUMERICOID));
	for (int i = 0; i < NQUERIES; i++)
	{
		char	   *sql = text_to_cstring(PG_GETARG_TEXT_PP(2 + i));

		if (*sql == '\0')
			continue;
		run->plan[i] = SPI_prepare(sql, NPARAMS, (Oid *) param_types);
		if (run->plan[i] == NULL)
			elog(ERROR, "could not prepare \"%s\": %s", sql, SPI_result_code_string(SPI_result));
	}
	g->lines_context = AllocSetContextCreate(context, "order2cash gathered lines", ALLOCSET_DEFAULT_SIZES);
	g->context = g->kept.context = AllocSetContextCreate(context, "order2cash gathering", ALLOCSET_DEFAULT_SIZES);
	g->keys_context = AllocSetContextCreate(context, "order2cash keys of lines", ALLOCSET_DEFAULT_SIZES);
	g->out.context = AllocSetContextCreate(context, "order2cash candidates", ALLOCSET_DEFAULT_SIZES);
	RunInto(run, QUERY_TOLERANCES, ReceiveTolerance);
	ToleranceFinish(&run->tolerances);
	if (run->plan[QUERY_LINES] == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("no query for the lines")));
	portal = SPI_cursor_open(NULL, run->plan[QUERY_LINES], run->param, NULL, true);
	CashCheckShape(portal->tupDesc, shapes[QUERY_LINES]);
	while (ReadLines(run, portal))
		GatherLines(run);
	SPI_cursor_close(portal);
	for (int i = 0; i < NQUERIES; i++)
		if (run->file[i] != NULL)
			BufFileClose(run->file[i]);
	ExecDropSingleTupleTableSlot(g->slot);
	MemoryContextSwitchTo(old);
	result = g->disordered ? GatherSort(g) : g->result;
	MemoryContextDelete(context);
	return result;
}
