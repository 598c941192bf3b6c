/*
 * match_stream.c
 *		Lines, candidates and books of a matching run, as they reach the weigher.
 *
 * The engine (sql/functions/55_match.sql) keeps the lines of a run, the
 * candidates of those that the first round leaves and the books of their
 * payers in temporary tables.  Each is read through a cursor, all in one order,
 * so that memory is that of one line and one book; what is read several times
 * (match_rounds.c) is kept as it came in a tuplestore, which goes to disk
 * beyond its share of work_mem.  A payer's book is read once for all his
 * lines, which stand together, and each takes from it the items that fall due
 * near its date.
 */
#include "cash/match.h"

#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#define FETCH_ROWS	1000
#define DUE_LATER	40			/* items of the book that fall due from the line's day on */
#define DUE_BEFORE	60			/* ... and before it */

/* Fetch the next rows of the cursor; false at the end. */
static bool
FetchRows(Stream *stream)
{
	if (stream->table != NULL)
		SPI_freetuptable(stream->table);
	SPI_cursor_fetch(stream->portal, true, FETCH_ROWS);
	stream->table = SPI_tuptable;
	stream->nrows = SPI_processed;
	stream->row = 0;
	return stream->nrows > 0;
}

/* Begin to read a query whose rows have that shape; with kept, rows can be read again after RewindStream. */
void
OpenStream(Stream *stream, const char *sql, const char *shape, bool kept)
{
	SPIPlanPtr	plan = SPI_prepare(sql, 0, NULL);

	if (plan == NULL)
		elog(ERROR, "could not prepare \"%s\": %s", sql, SPI_result_code_string(SPI_result));
	memset(stream, 0, sizeof(Stream));
	stream->context = CurrentMemoryContext;
	stream->portal = SPI_cursor_open(NULL, plan, NULL, NULL, true);
	CashCheckShape(stream->portal->tupDesc, shape);
	stream->shape = shape;
	if (kept)
	{
		stream->slot = MakeSingleTupleTableSlot(CreateTupleDescCopy(stream->portal->tupDesc), &TTSOpsMinimalTuple);
		stream->kept = tuplestore_begin_heap(false, false, work_mem / 4);
		while (FetchRows(stream))
			for (uint64 i = 0; i < stream->nrows; i++)
				tuplestore_puttuple(stream->kept, stream->table->vals[i]);
		SPI_freetuptable(stream->table);
		stream->table = NULL;
		SPI_cursor_close(stream->portal);
		stream->portal = NULL;
	}
	else
		stream->slot = MakeSingleTupleTableSlot(CreateTupleDescCopy(stream->portal->tupDesc), &TTSOpsHeapTuple);
}

/* Begin to read rows that are kept already. */
void
OpenKept(Stream *stream, Tuplestorestate *kept, TupleDesc desc, const char *shape)
{
	memset(stream, 0, sizeof(Stream));
	stream->context = CurrentMemoryContext;
	CashCheckShape(desc, shape);
	stream->shape = shape;
	stream->slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	stream->kept = kept;
}

/* Run a statement that inserts rows somewhere, which it calls o2c_rows. */
void
HandOver(const char *sql, Tuplestorestate *rows, TupleDesc desc)
{
	EphemeralNamedRelationData relation = {
		.md = {.name = "o2c_rows", .tupdesc = desc, .enrtype = ENR_NAMED_TUPLESTORE, .enrtuples = tuplestore_tuple_count(rows)},
		.reldata = rows};
	int			rc = SPI_register_relation(&relation);

	if (rc == SPI_OK_REL_REGISTER)
		rc = SPI_execute(sql, false, 0);
	if (rc != SPI_OK_INSERT)
		elog(ERROR, "could not hand over rows: %s", SPI_result_code_string(rc));
	SPI_unregister_relation(relation.md.name);
}

/* Step to the next row; false at the end. */
bool
NextRow(Stream *stream)
{
	if (stream->kept != NULL)
	{
		/* a row that comes from disk belongs to the slot */
		MemoryContext old = MemoryContextSwitchTo(stream->context);
		bool		more = tuplestore_gettupleslot(stream->kept, true, false, stream->slot);

		MemoryContextSwitchTo(old);
		return more;
	}
	if (++stream->row >= stream->nrows && !FetchRows(stream))
		return false;
	ExecStoreHeapTuple(stream->table->vals[stream->row], stream->slot, false);
	return true;
}

/* Read the rows from the first again. */
void
RewindStream(Stream *stream)
{
	ExecClearTuple(stream->slot);
	tuplestore_rescan(stream->kept);
}

void
CloseStream(Stream *stream)
{
	ExecDropSingleTupleTableSlot(stream->slot);
	if (stream->kept != NULL)
		tuplestore_end(stream->kept);
	else
		SPI_cursor_close(stream->portal);
}

int64
ColumnInt64(const Stream *stream, int column)
{
	bool		isnull;
	Datum		value = slot_getattr(stream->slot, column, &isnull);

	return isnull ? 0 : DatumGetInt64(value);
}

int32
ColumnInt32(const Stream *stream, int column)
{
	bool		isnull;
	Datum		value = slot_getattr(stream->slot, column, &isnull);

	return isnull ? 0 : DatumGetInt32(value);
}

char *
ColumnText(const Stream *stream, int column)
{
	bool		isnull;
	Datum		value = slot_getattr(stream->slot, column, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

/* Columns: page, id, then what a line is; its text is not read into tokens yet. */
void
ReadLine(const Stream *stream, Line *line)
{
	slot_getallattrs(stream->slot);
	CashCheckNulls(stream->shape, stream->slot->tts_isnull);
	memset(line, 0, sizeof(Line));
	line->id = ColumnInt64(stream, 2);
	line->amount = ColumnInt64(stream, 3);
	line->date = ColumnInt32(stream, 4);
	line->text = ColumnText(stream, 5);
	line->payer_name = ColumnText(stream, 6);
	line->reference_key = ColumnInt64(stream, 7);
	line->charges = ColumnInt64(stream, 8);
	line->minor = ColumnInt32(stream, 9);
	if (line->minor < 0 || line->minor > 4)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("no currency has %d decimals", line->minor)));
	line->payer = ColumnInt32(stream, 10);
}

/* Columns: page, line (of a book: due date), then what an item is. */
void
ReadCandidate(const Stream *stream, Taken *taken, Candidate *c)
{
	slot_getallattrs(stream->slot);
	CashCheckNulls(stream->shape, stream->slot->tts_isnull);
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
	c->open -= TakenOf(taken, c->item_id, &c->changed);
}

/* Open the book of a run. */
void
OpenBook(Book *book, const char *sql)
{
	memset(book, 0, sizeof(Book));
	book->context = AllocSetContextCreate(CurrentMemoryContext, "order2cash book", ALLOCSET_DEFAULT_SIZES);
	OpenStream(&book->stream, sql, "li" SHAPE_CANDIDATE, true);
}

/* Read the book from its first page again, now that more is taken. */
void
RewindBook(Book *book)
{
	MemoryContextReset(book->context);
	book->item = NULL;
	book->n = book->room = 0;
	book->page = 0;
	RewindStream(&book->stream);
	book->more = NextRow(&book->stream);
}

/* Turn to a page; pages come in ascending order. */
void
TurnTo(Book *book, Taken *taken, int64 page)
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
			ReadCandidate(&book->stream, taken, &book->item[book->n++]);
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

/* The items of the book that fall due near the line's day: positions from "from" up to the one before "upto". */
void
BookWindow(const Book *book, Line *line, int *from, int *upto)
{
	int			low = 0;
	int			high = book->n;

	while (low < high)
	{
		int			mid = (low + high) / 2;

		if (book->item[mid].due < line->date)
			low = mid + 1;
		else
			high = mid;
	}
	*from = Max(0, low - DUE_BEFORE);
	*upto = Min(book->n, low + DUE_LATER);
	line->windowed = book->n > DUE_LATER;
}

/* Add these items of the book to a line's candidates; returns the number of candidates. */
int
AddFromBook(Book *book, const Line *line, int from, int upto, Candidate *cand, int n)
{
	int			known = n;

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
	return n;
}
