/*
 * gather_book.c
 *		The books of payers: their items that are still open, described.
 *
 * Pages (a customer and a currency) and what the run has taken of items wait in
 * hash tables, 24 bytes for each item that is paid, while the open items stream
 * past them.
 */
#include "cash/gather.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(o2c_cash_book);

#define BOOK_COLUMNS 15

typedef struct BookPage
{
	int64		page;
	int64		customer_id;
	uint32		currency;
	int32		next;
} BookPage;

typedef struct TakenItem
{
	int64		item_id;
	int64		taken;
	int32		next;
} TakenItem;

typedef struct GatherBook
{
	Tuplestorestate *result;
	TupleDesc	desc;
	Tolerances	tolerances;
	MemoryContext context;		/* of pages and what is taken */
	Arena		items;			/* of some that were described */
	int			nitems;
	ARRAY(BookPage) pages;
	Chains		page_chains;
	ARRAY(TakenItem) taken;
	Chains		taken_chains;
} GatherBook;

/* A page: number, customer, currency. */
static bool
ReceivePage(TupleTableSlot *slot, DestReceiver *self)
{
	GatherBook *book = ((GatherReceiver *) self)->state;

	*ARRAY_ADD(book->pages, book->context) = (BookPage) {
		.page = DatumGetInt64(slot->tts_values[0]), .customer_id = DatumGetInt64(slot->tts_values[1]),
		.currency = CurrencyWord(slot->tts_values[2])};
	return true;
}

/* What is taken of an item: item, amount in minor units. */
static bool
ReceiveTaken(TupleTableSlot *slot, DestReceiver *self)
{
	GatherBook *book = ((GatherReceiver *) self)->state;

	*ARRAY_ADD(book->taken, book->context) = (TakenItem) {
		.item_id = DatumGetInt64(slot->tts_values[0]), .taken = DatumGetInt64(slot->tts_values[1])};
	return true;
}

static bool
ReceiveBookTolerance(TupleTableSlot *slot, DestReceiver *self)
{
	ToleranceAdd(&((GatherBook *) ((GatherReceiver *) self)->state)->tolerances, slot);
	return true;
}

static void
HashBook(GatherBook *book)
{
	ChainsBegin(&book->page_chains, book->pages.n, book->context);
	for (int32 i = 0; i < book->pages.n; i++)
	{
		BookPage   *page = &book->pages.at[i];
		int32	   *head = ChainOf(&book->page_chains, HashWords(page->customer_id, page->currency));

		page->next = *head;
		*head = i;
	}
	ChainsBegin(&book->taken_chains, book->taken.n, book->context);
	for (int32 i = 0; i < book->taken.n; i++)
	{
		int32	   *head = ChainOf(&book->taken_chains, HashSeries(book->taken.at[i].item_id));

		book->taken.at[i].next = *head;
		*head = i;
	}
}

static int64
TakenOfItem(const GatherBook *book, int64 item_id)
{
	for (int32 i = *ChainOf(&book->taken_chains, HashSeries(item_id)); i >= 0; i = book->taken.at[i].next)
		if (book->taken.at[i].item_id == item_id)
			return book->taken.at[i].taken;
	return 0;
}

static void
PutBookItem(const GatherBook *book, int64 page, const ItemFacts *facts, int64 taken)
{
	Datum		value[BOOK_COLUMNS];
	bool		isnull[BOOK_COLUMNS] = {false};

	value[0] = Int64GetDatum(page);
	value[1] = Int32GetDatum(facts->due);
	value[2] = Int64GetDatum(facts->item_id);
	value[3] = Int64GetDatum(facts->customer_id);
	value[4] = PointerGetDatum(facts->number);
	value[5] = PointerGetDatum(facts->alt_number);
	isnull[5] = facts->alt_number == NULL;
	value[6] = Int64GetDatum(facts->open - taken);
	value[7] = Int64GetDatum(facts->amount);
	value[8] = Int64GetDatum(facts->discount);
	value[9] = Int32GetDatum(facts->discount_date);
	value[10] = Int32GetDatum(facts->issued);
	value[11] = Int64GetDatum(facts->reference_key);
	value[12] = Int64GetDatum(facts->tolerance);
	value[13] = Int64GetDatum(facts->charges);
	value[14] = Int64GetDatum(taken);
	tuplestore_putvalues(book->result, book->desc, value, isnull);
}

/* An open item, with the columns of gather_pairs.c. */
static bool
ReceiveBookItem(TupleTableSlot *slot, DestReceiver *self)
{
	GatherBook *book = ((GatherReceiver *) self)->state;
	int64		customer_id;
	uint32		currency;
	int32		i;
	int64		taken;

	if (slot->tts_isnull[1])
		return true;
	customer_id = DatumGetInt64(slot->tts_values[1]);
	currency = CurrencyWord(slot->tts_values[2]);
	i = *ChainOf(&book->page_chains, HashWords(customer_id, currency));
	while (i >= 0 && (book->pages.at[i].customer_id != customer_id || book->pages.at[i].currency != currency))
		i = book->pages.at[i].next;
	if (i < 0)
		return true;
	taken = TakenOfItem(book, DatumGetInt64(slot->tts_values[0]));
	if (MinorAmount(slot->tts_values[3], currency) != taken)
	{
		PutBookItem(book, book->pages.at[i].page, DescribeItem(slot, &book->tolerances, &book->items), taken);
		if (++book->nitems % 64 == 0)
			ArenaReset(&book->items);
	}
	return true;
}

/* Customers of the pages, for a query that looks for theirs. */
static Datum
CustomersOf(const GatherBook *book)
{
	Datum	   *elems = palloc(Max(book->pages.n, 1) * sizeof(Datum));

	for (int64 i = 0; i < book->pages.n; i++)
		elems[i] = Int64GetDatum(book->pages.at[i].customer_id);
	return PointerGetDatum(construct_array(elems, book->pages.n, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/*
 * _gather_book(company, few, pages, taken, tolerances, items): queries with the
 * parameters company and, with "few", customers.
 */
Datum
o2c_cash_book(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	static const Oid types[2] = {INT4OID, INT8ARRAYOID};
	static const char *const shapes[4] = {"llt", "ll", SHAPE_TOLERANCE, SHAPE_ITEM};
	static const GatherReceive receive[4] = {ReceivePage, ReceiveTaken, ReceiveBookTolerance, ReceiveBookItem};
	GatherBook	book;
	Datum		param[2] = {PG_GETARG_DATUM(0), PointerGetDatum(construct_empty_array(INT8OID))};

	InitMaterializedSRF(fcinfo, 0);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	memset(&book, 0, sizeof(book));
	book.result = rsinfo->setResult;
	book.desc = rsinfo->setDesc;
	book.context = book.tolerances.context = CurrentMemoryContext;
	book.items.context = AllocSetContextCreate(CurrentMemoryContext, "order2cash items", ALLOCSET_SMALL_SIZES);
	for (int i = 0; i < lengthof(receive); i++)
	{
		GatherReceiver receiver = {.state = &book};
		char	   *sql = text_to_cstring(PG_GETARG_TEXT_PP(2 + i));
		SPIPlanPtr	plan = SPI_prepare(sql, lengthof(types), (Oid *) types);

		if (plan == NULL)
			elog(ERROR, "could not prepare \"%s\": %s", sql, SPI_result_code_string(SPI_result));
		if (receive[i] == ReceiveBookItem)
		{
			HashBook(&book);
			ToleranceFinish(&book.tolerances);
			if (PG_GETARG_BOOL(1))
				param[1] = CustomersOf(&book);
		}
		GatherStream(plan, lengthof(types), types, param, shapes[i], receive[i], &receiver);
	}
	SPI_finish();
	return (Datum) 0;
}
