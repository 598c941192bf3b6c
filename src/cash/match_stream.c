/*
 * match_stream.c
 *		Streams lines and candidates of a matching run through the weigher.
 *
 * The engine (sql/functions/55_match.sql) keeps the lines of a run, their
 * candidates and the books of their payers in temporary tables.  _weigh_lines
 * reads the three in one order through cursors, merges them, and returns the
 * answers.  A payer's book is read once for all his lines, which stand
 * together, and each takes from it the items that fall due near its date;
 * memory is that of one line, one book and the result.
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
#define DUE_LATER	40			/* items of the book that fall due from the line's day on */
#define DUE_BEFORE	60			/* ... and before it */

#define COLUMNS_MAX 19

/* A cursor read row by row. */
typedef struct Stream
{
	Portal		portal;
	SPITupleTable *table;
	uint64		nrows;
	uint64		row;
	Datum		value[COLUMNS_MAX]; /* of the row that the stream is at */
	bool		isnull[COLUMNS_MAX];
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
	if (++stream->row >= stream->nrows)
	{
		if (stream->table != NULL)
			SPI_freetuptable(stream->table);
		SPI_cursor_fetch(stream->portal, true, FETCH_ROWS);
		stream->table = SPI_tuptable;
		stream->nrows = SPI_processed;
		stream->row = 0;
		if (stream->nrows == 0)
			return false;
	}
	Assert(stream->table->tupdesc->natts <= COLUMNS_MAX);
	heap_deform_tuple(stream->table->vals[stream->row], stream->table->tupdesc, stream->value, stream->isnull);
	return true;
}

static int64
ColumnInt64(const Stream *stream, int column)
{
	return stream->isnull[column - 1] ? 0 : DatumGetInt64(stream->value[column - 1]);
}

static int32
ColumnInt32(const Stream *stream, int column)
{
	return stream->isnull[column - 1] ? 0 : DatumGetInt32(stream->value[column - 1]);
}

static char *
ColumnText(const Stream *stream, int column)
{
	return stream->isnull[column - 1] ? NULL : TextDatumGetCString(stream->value[column - 1]);
}

/* Columns: page, id, then what a line is. */
static void
ReadLine(const Stream *stream, Line *line)
{
	memset(line, 0, sizeof(Line));
	line->id = ColumnInt64(stream, 2);
	line->amount = ColumnInt64(stream, 3);
	line->date = ColumnInt32(stream, 4);
	line->text = ColumnText(stream, 5);
	line->payer_name = ColumnText(stream, 6);
	line->reference_key = ColumnInt64(stream, 7);
	line->charges = ColumnInt64(stream, 8);
	line->minor = ColumnInt32(stream, 9);
	line->payer = ColumnInt32(stream, 10);
	line->whole = ColumnInt32(stream, 11) != 0;
	line->late = ColumnInt32(stream, 12) != 0;
	line->tokens = CashTokenise(line->text ? line->text : "",
								line->text ? strlen(line->text) : 0, true);
}

/* Columns: page, line (of a book: due date), then what an item is. */
static void
ReadCandidate(const Stream *stream, Candidate *c)
{
	memset(c, 0, sizeof(Candidate));
	c->item_id = ColumnInt64(stream, 3);
	c->customer_id = ColumnInt64(stream, 4);
	c->number = ColumnText(stream, 5);
	c->alt_number = ColumnText(stream, 6);
	c->customer_name = ColumnText(stream, 7);
	c->open = ColumnInt64(stream, 8);
	c->amount = ColumnInt64(stream, 9);
	c->discount = ColumnInt64(stream, 10);
	c->discount_date = ColumnInt32(stream, 11);
	c->issued = ColumnInt32(stream, 12);
	c->due = ColumnInt32(stream, 13);
	c->reference_key = ColumnInt64(stream, 14);
	c->tolerance = ColumnInt64(stream, 15);
	c->charges = ColumnInt64(stream, 16);
	c->rel = ColumnInt32(stream, 17);
	c->group = ColumnInt32(stream, 18) != 0;
	c->order_number = ColumnText(stream, 19);
}

/* The open items of one payer, in the order in which they fall due. */
typedef struct Book
{
	Stream		stream;
	bool		more;
	int64		page;
	int			n;
	int			room;
	Candidate  *item;
	MemoryContext context;
} Book;

/* Turn to a page; pages come in ascending order. */
static void
TurnTo(Book *book, int64 page)
{
	MemoryContext old;

	if (book->page == page)
		return;
	MemoryContextReset(book->context);
	book->item = NULL;
	book->n = book->room = 0;
	book->page = page;
	while (book->more && ColumnInt64(&book->stream, 1) <= page)
	{
		if (ColumnInt64(&book->stream, 1) == page)
		{
			old = MemoryContextSwitchTo(book->context);
			if (book->n == book->room)
			{
				book->room = Max(64, 2 * book->room);
				book->item = book->item == NULL ? palloc(book->room * sizeof(Candidate)) :
					repalloc_huge(book->item, book->room * sizeof(Candidate));
			}
			ReadCandidate(&book->stream, &book->item[book->n++]);
			MemoryContextSwitchTo(old);
		}
		book->more = NextRow(&book->stream);
	}
}

/* Is the item among the first n candidates, which are in the order of their ids? */
static bool
IsAmong(const Candidate *cand, int n, int64 item_id)
{
	int			low = 0;
	int			high = n;

	while (low < high)
	{
		int			mid = (low + high) / 2;

		if (cand[mid].item_id < item_id)
			low = mid + 1;
		else
			high = mid;
	}
	return low < n && cand[low].item_id == item_id;
}

/* Add the items of the book that fall due near the line's day; returns the number of candidates. */
static int
AddFromBook(Book *book, Line *line, Candidate *cand, int n)
{
	int			known = n;
	int			low = 0;
	int			high = book->n;
	int			from;
	int			upto;

	while (low < high)
	{
		int			mid = (low + high) / 2;

		if (book->item[mid].due < line->date)
			low = mid + 1;
		else
			high = mid;
	}
	from = Max(0, low - DUE_BEFORE);
	upto = Min(book->n, low + DUE_LATER);
	for (int i = from; i < upto && n < CANDIDATES_MAX; i++)
		if (!IsAmong(cand, known, book->item[i].item_id))
		{
			if (book->item[i].forms == NULL)
			{
				MemoryContext old = MemoryContextSwitchTo(book->context);

				CiteForms(&book->item[i]);
				MemoryContextSwitchTo(old);
			}
			cand[n] = book->item[i];
			cand[n++].rel = line->payer;
		}
	line->windowed = book->n > DUE_LATER;
	return n;
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
	Datum		values[13];
	bool		nulls[13] = {false};

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
	values[12] = Int64Array(a->left, a->nitems);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* Open the book of a run; an empty query is an empty book. */
static void
OpenBook(Book *book, const char *sql)
{
	memset(book, 0, sizeof(Book));
	if (*sql == '\0')
		return;
	book->context = AllocSetContextCreate(CurrentMemoryContext, "order2cash book", ALLOCSET_DEFAULT_SIZES);
	OpenStream(&book->stream, sql);
	book->more = NextRow(&book->stream);
}

/*
 * _weigh_lines(lines, candidates, book, max_chance, max_size, grace_days, budget):
 * queries in the order of page and line, page, line and item, page and due date.
 */
Datum
o2c_cash_weigh_lines(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	char	   *linesql = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char	   *candsql = text_to_cstring(PG_GETARG_TEXT_PP(1));
	char	   *booksql = text_to_cstring(PG_GETARG_TEXT_PP(2));
	WeighSettings settings;
	Stream		lines;
	Stream		cands;
	Book		book;
	bool		more;
	MemoryContext context;
	MemoryContext old;
	Candidate  *cand;
	Answer	   *answers;

	settings.max_chance = PG_GETARG_FLOAT8(3);
	settings.max_size = PG_GETARG_INT32(4);
	settings.grace_days = PG_GETARG_INT32(5);
	settings.budget = PG_GETARG_INT64(6);

	InitMaterializedSRF(fcinfo, 0);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	cand = palloc(CANDIDATES_MAX * sizeof(Candidate));
	answers = palloc(ANSWERS_MAX * sizeof(Answer));
	context = AllocSetContextCreate(CurrentMemoryContext, "order2cash line", ALLOCSET_DEFAULT_SIZES);
	OpenStream(&lines, linesql);
	OpenStream(&cands, candsql);
	OpenBook(&book, booksql);
	more = NextRow(&cands);
	while (NextRow(&lines))
	{
		Line		line;
		int64		page = ColumnInt64(&lines, 1);
		int			n = 0;
		int			nanswers;

		CHECK_FOR_INTERRUPTS();
		old = MemoryContextSwitchTo(context);
		ReadLine(&lines, &line);
		while (more && (ColumnInt64(&cands, 1) < page ||
						(ColumnInt64(&cands, 1) == page && ColumnInt64(&cands, 2) <= line.id)))
		{
			if (ColumnInt64(&cands, 2) == line.id && n < CANDIDATES_MAX)
				ReadCandidate(&cands, &cand[n++]);
			MemoryContextSwitchTo(old);
			more = NextRow(&cands);
			MemoryContextSwitchTo(context);
		}
		if (page != 0 && book.context != NULL)
		{
			MemoryContextSwitchTo(old);
			TurnTo(&book, page);
			MemoryContextSwitchTo(context);
			n = AddFromBook(&book, &line, cand, n);
		}
		nanswers = n == 0 ? 0 : WeighLine(&line, cand, n, &settings, answers);
		for (int i = 0; i < nanswers; i++)
			PutAnswer(rsinfo, line.id, i + 1, &answers[i]);
		MemoryContextSwitchTo(old);
		MemoryContextReset(context);
	}
	SPI_cursor_close(lines.portal);
	SPI_cursor_close(cands.portal);
	if (book.stream.portal != NULL)
		SPI_cursor_close(book.stream.portal);
	SPI_finish();
	return (Datum) 0;
}
