/*
 * match_stream.c
 *		Streams lines and candidates of a matching run through the weigher.
 *
 * The engine (sql/functions/55_match.sql) keeps the lines of a run and their
 * candidates in temporary tables.  _weigh_lines reads both in the order of
 * the line through cursors, merges them, and returns the answers: memory is
 * that of one line and the result.
 */
#include "cash/weigh.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(o2c_cash_weigh_lines);

#define FETCH_ROWS	1000
#define CANDIDATES_MAX 2000

/* A cursor read row by row. */
typedef struct Stream
{
	Portal		portal;
	SPITupleTable *table;
	uint64		nrows;
	uint64		row;
} Stream;

static void
OpenStream(Stream *stream, const char *sql)
{
	SPIPlanPtr	plan = SPI_prepare(sql, 0, NULL);

	if (plan == NULL)
		elog(ERROR, "could not prepare \"%s\": %s", sql, SPI_result_code_string(SPI_result));
	stream->portal = SPI_cursor_open(NULL, plan, NULL, NULL, true);
	stream->table = NULL;
	stream->nrows = stream->row = 0;
}

/* Step to the next row; false at the end. */
static bool
NextRow(Stream *stream)
{
	if (++stream->row < stream->nrows)
		return true;
	if (stream->table != NULL)
		SPI_freetuptable(stream->table);
	SPI_cursor_fetch(stream->portal, true, FETCH_ROWS);
	stream->table = SPI_tuptable;
	stream->nrows = SPI_processed;
	stream->row = 0;
	return stream->nrows > 0;
}

static Datum
Column(const Stream *stream, int column, bool *isnull)
{
	return SPI_getbinval(stream->table->vals[stream->row], stream->table->tupdesc, column, isnull);
}

static int64
ColumnInt64(const Stream *stream, int column)
{
	bool		isnull;
	Datum		value = Column(stream, column, &isnull);

	return isnull ? 0 : DatumGetInt64(value);
}

static int32
ColumnInt32(const Stream *stream, int column)
{
	bool		isnull;
	Datum		value = Column(stream, column, &isnull);

	return isnull ? 0 : DatumGetInt32(value);
}

static char *
ColumnText(const Stream *stream, int column)
{
	bool		isnull;
	Datum		value = Column(stream, column, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

static void
ReadLine(const Stream *stream, Line *line)
{
	memset(line, 0, sizeof(Line));
	line->id = ColumnInt64(stream, 1);
	line->amount = ColumnInt64(stream, 2);
	line->date = ColumnInt32(stream, 3);
	line->text = ColumnText(stream, 4);
	line->payer_name = ColumnText(stream, 5);
	line->reference_key = ColumnInt64(stream, 6);
	line->charges = ColumnInt64(stream, 7);
	line->minor = ColumnInt32(stream, 8);
	line->payer = ColumnInt32(stream, 9);
	line->whole = ColumnInt32(stream, 10) != 0;
	line->windowed = ColumnInt32(stream, 11) != 0;
	line->late = ColumnInt32(stream, 12) != 0;
	line->tokens = CashTokenise(line->text ? line->text : "",
								line->text ? strlen(line->text) : 0, true);
}

static void
ReadCandidate(const Stream *stream, Candidate *c)
{
	memset(c, 0, sizeof(Candidate));
	c->item_id = ColumnInt64(stream, 2);
	c->customer_id = ColumnInt64(stream, 3);
	c->number = ColumnText(stream, 4);
	c->alt_number = ColumnText(stream, 5);
	c->customer_name = ColumnText(stream, 6);
	c->open = ColumnInt64(stream, 7);
	c->amount = ColumnInt64(stream, 8);
	c->discount = ColumnInt64(stream, 9);
	c->discount_date = ColumnInt32(stream, 10);
	c->issued = ColumnInt32(stream, 11);
	c->due = ColumnInt32(stream, 12);
	c->reference_key = ColumnInt64(stream, 13);
	c->tolerance = ColumnInt64(stream, 14);
	c->charges = ColumnInt64(stream, 15);
	c->rel = ColumnInt32(stream, 16);
	c->group = ColumnInt32(stream, 17) != 0;
}

static Datum
Int64Array(const int64 *values, int n)
{
	Datum		elems[ANSWER_ITEMS];

	for (int i = 0; i < n; i++)
		elems[i] = Int64GetDatum(values[i]);
	return PointerGetDatum(construct_array(elems, n, INT8OID, 8, true, TYPALIGN_DOUBLE));
}

static void
PutAnswer(ReturnSetInfo *rsinfo, int64 line_id, int option, const Answer *a)
{
	Datum		values[12];
	bool		nulls[12] = {false};

	values[0] = Int64GetDatum(line_id);
	values[1] = Int32GetDatum(option);
	values[2] = BoolGetDatum(a->sure);
	values[3] = Int32GetDatum(a->tier);
	values[4] = CStringGetTextDatum(a->rule);
	values[5] = Float8GetDatum(a->confidence);
	values[6] = Int64GetDatum(a->customer_id);
	nulls[6] = a->customer_id == 0;
	values[7] = Int64Array(a->item, a->nitems);
	values[8] = Int64Array(a->cash, a->nitems);
	values[9] = Int64Array(a->settle, a->nitems);
	values[10] = CStringGetTextDatum(a->settle_kind);
	values[11] = CStringGetTextDatum(a->explanation ? a->explanation : "");
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/*
 * _weigh_lines(lines, candidates, max_chance, max_size, grace_days, budget):
 * two queries in the order of their first column, the line's id.
 */
Datum
o2c_cash_weigh_lines(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	char	   *linesql = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char	   *candsql = text_to_cstring(PG_GETARG_TEXT_PP(1));
	WeighSettings settings;
	Stream		lines;
	Stream		cands;
	bool		more;
	MemoryContext context;
	MemoryContext old;
	Candidate  *cand;
	Answer	   *answers;

	settings.max_chance = PG_GETARG_FLOAT8(2);
	settings.max_size = PG_GETARG_INT32(3);
	settings.grace_days = PG_GETARG_INT32(4);
	settings.budget = PG_GETARG_INT64(5);

	InitMaterializedSRF(fcinfo, 0);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	cand = palloc(CANDIDATES_MAX * sizeof(Candidate));
	answers = palloc(ANSWERS_MAX * sizeof(Answer));
	context = AllocSetContextCreate(CurrentMemoryContext, "order2cash line", ALLOCSET_DEFAULT_SIZES);
	OpenStream(&lines, linesql);
	OpenStream(&cands, candsql);
	more = NextRow(&cands);
	while (NextRow(&lines))
	{
		Line		line;
		int			n = 0;
		int			nanswers;

		CHECK_FOR_INTERRUPTS();
		old = MemoryContextSwitchTo(context);
		ReadLine(&lines, &line);
		while (more && ColumnInt64(&cands, 1) <= line.id)
		{
			if (ColumnInt64(&cands, 1) == line.id && n < CANDIDATES_MAX)
				ReadCandidate(&cands, &cand[n++]);
			MemoryContextSwitchTo(old);
			more = NextRow(&cands);
			MemoryContextSwitchTo(context);
		}
		nanswers = n == 0 ? 0 : WeighLine(&line, cand, n, &settings, answers);
		for (int i = 0; i < nanswers; i++)
			PutAnswer(rsinfo, line.id, i + 1, &answers[i]);
		MemoryContextSwitchTo(old);
		MemoryContextReset(context);
	}
	SPI_cursor_close(lines.portal);
	SPI_cursor_close(cands.portal);
	SPI_finish();
	return (Datum) 0;
}
