/*
 * assign.c
 *		Which numbers this transaction drew, and numbers given at commit.
 *
 * An issued document may carry only a number that its own transaction drew:
 * every block is noted here until the transaction ends, and the guard of
 * invoices asks.  A block drawn in a subtransaction that is rolled back is
 * forgotten with it, as the counter forgets it.
 *
 * A series whose assign is commit gives its numbers in a deferred trigger.
 * The guard notes each document that was issued without a number; the first
 * firing of the trigger numbers all of them, in one block for each series, so
 * that the series is locked only while the transaction commits.  PREPARE
 * TRANSACTION fires it too, and then the series stays locked until COMMIT
 * PREPARED: right, but slow for the others.
 */
#include "o2c.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "invoicing/numbering.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(o2c_invoice_assign);

/* A block that this transaction drew. */
typedef struct DrawnBlock
{
	int32		company;
	char	   *series;
	DateADT		period;
	int64		first;
	int64		last;
	SubTransactionId subid;
	struct DrawnBlock *next;
} DrawnBlock;

/* Both live in TopTransactionContext. */
static DrawnBlock *drawn = NULL;
static Datum *pending_companies = NULL;
static Datum *pending_ids = NULL;
static int	npending = 0;
static int	maxpending = 0;

/* The transaction is over: its memory is going. */
static void
ForgetXact(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			drawn = NULL;
			pending_companies = pending_ids = NULL;
			npending = maxpending = 0;
			break;
		default:
			break;
	}
}

/* Blocks of a subtransaction go to its parent, or away with it. */
static void
ForgetSubXact(SubXactEvent event, SubTransactionId mySubid,
			  SubTransactionId parentSubid, void *arg)
{
	if (event == SUBXACT_EVENT_COMMIT_SUB)
	{
		for (DrawnBlock *block = drawn; block != NULL; block = block->next)
			if (block->subid == mySubid)
				block->subid = parentSubid;
	}
	else if (event == SUBXACT_EVENT_ABORT_SUB)
	{
		DrawnBlock **link = &drawn;

		while (*link != NULL)
		{
			if ((*link)->subid == mySubid)
				*link = (*link)->next;
			else
				link = &(*link)->next;
		}
	}
}

static void
Register(void)
{
	static bool registered = false;

	if (registered)
		return;
	RegisterXactCallback(ForgetXact, NULL);
	RegisterSubXactCallback(ForgetSubXact, NULL);
	registered = true;
}

/* Note a block that was drawn. */
void
NoteDrawn(int32 company, text *series, const NumberBlock *block, int32 count)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);
	DrawnBlock *note = palloc(sizeof(DrawnBlock));

	Register();
	note->company = company;
	note->series = text_to_cstring(series);
	note->period = block->period;
	note->first = block->first;
	note->last = block->first + count - 1;
	note->subid = GetCurrentSubTransactionId();
	note->next = drawn;
	drawn = note;
	MemoryContextSwitchTo(old);
}

/* Whether this transaction drew that number. */
bool
WasDrawn(int32 company, const char *series, DateADT period, int64 n)
{
	for (DrawnBlock *block = drawn; block != NULL; block = block->next)
		if (block->company == company && block->period == period &&
			n >= block->first && n <= block->last && strcmp(block->series, series) == 0)
			return true;
	return false;
}

/* Note a document that was issued without a number. */
void
NoteUnnumbered(int32 company, int64 id)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);

	Register();
	if (npending == maxpending)
	{
		maxpending = maxpending == 0 ? 16 : maxpending * 2;
		if (pending_ids == NULL)
		{
			pending_companies = palloc(maxpending * sizeof(Datum));
			pending_ids = palloc(maxpending * sizeof(Datum));
		}
		else
		{
			pending_companies = repalloc_huge(pending_companies, maxpending * sizeof(Datum));
			pending_ids = repalloc_huge(pending_ids, maxpending * sizeof(Datum));
		}
	}
	pending_companies[npending] = Int32GetDatum(company);
	pending_ids[npending++] = Int64GetDatum(id);
	MemoryContextSwitchTo(old);
}

/* Number the documents of one series and date, whose ids are given. */
static void
AssignGroup(int32 company, text *series, DateADT on_date, Datum ids, Datum pattern, Datum prefix)
{
	/* the invoice and its open items, in one statement under the lock */
	static KeptPlan number = {
		.sql = "WITH n AS MATERIALIZED ("
		" SELECT d.id, $3 + d.k - 1 AS n, o2c._format_number($4, $5, $7, $3 + d.k - 1) AS number"
		" FROM unnest($2) WITH ORDINALITY d(id, k)),"
		" v AS (UPDATE o2c.invoice i SET number = n.number, sequence_no = n.n,"
		"  sequence_period = $6, issued_at = $8,"
		"  payment_reference = CASE WHEN i.kind <> 'credit_note' THEN o2c._payment_reference(n.number) END"
		"  FROM n WHERE i.company_id = $1 AND i.id = n.id)"
		" UPDATE o2c.open_item o SET number = n.number,"
		"  structured_ref = CASE WHEN o.kind <> 'credit_note' THEN o2c._payment_reference(n.number)::text END"
		" FROM n WHERE o.company_id = $1 AND o.invoice_id = n.id",
		.nargs = 8,
		.argtypes = {INT4OID, INT8ARRAYOID, INT8OID, TEXTOID, TEXTOID, DATEOID, DATEOID, TIMESTAMPTZOID}
	};
	bool		save = o2c_numbering;
	ArrayType  *array = DatumGetArrayTypeP(ids);
	NumberBlock block = DrawNumbers(company, series, on_date,
									ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array)));
	Datum		args[8];

	args[0] = Int32GetDatum(company);
	args[1] = ids;
	args[2] = Int64GetDatum(block.first);
	args[3] = pattern;
	args[4] = prefix;
	args[5] = DateADTGetDatum(block.period);
	args[6] = DateADTGetDatum(on_date);
	args[7] = TimestampTzGetDatum(block.issued_at);
	o2c_numbering = true;
	PG_TRY();
	{
		KeptPlanExecute(&number, args, NULL, SPI_OK_UPDATE);
	}
	PG_FINALLY();
	{
		o2c_numbering = save;
	}
	PG_END_TRY();
}

/*
 * _invoice_assign(): deferred constraint trigger AFTER UPDATE ON invoice, for
 * each row issued without a number.
 */
Datum
o2c_invoice_assign(PG_FUNCTION_ARGS)
{
	static KeptPlan groups = {
		.sql = "SELECT i.company_id, s.code, i.issue_date, array_agg(i.id ORDER BY i.id),"
		" s.pattern, coalesce(s.prefix, s.code)"
		" FROM unnest($1, $2) p(company_id, id)"
		" JOIN o2c.invoice i ON i.company_id = p.company_id AND i.id = p.id"
		" JOIN o2c.number_series s ON s.company_id = i.company_id AND s.code = i.series"
		" WHERE i.number IS NULL AND i.state <> 'draft'"
		" GROUP BY 1, 2, 3, 5, 6 ORDER BY 1, 2, 3",
		.nargs = 2,
		.argtypes = {INT4ARRAYOID, INT8ARRAYOID}
	};
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_invoice_assign");
	TriggerFrame frame;
	Datum		args[2];
	SPITupleTable *found;
	uint64		nfound;

	if (npending == 0)
		return PointerGetDatum(NULL);	/* the first firing did all */

	args[0] = PointerGetDatum(construct_array(pending_companies, npending, INT4OID,
											  sizeof(int32), true, TYPALIGN_INT));
	args[1] = PointerGetDatum(construct_array(pending_ids, npending, INT8OID,
											  sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	TriggerFrameBegin(&frame, trigdata);
	KeptPlanExecute(&groups, args, NULL, SPI_OK_SELECT);
	found = SPI_tuptable;
	nfound = SPI_processed;
	for (uint64 i = 0; i < nfound; i++)
	{
		HeapTuple	row = found->vals[i];
		bool		isnull;
		Datum		col[6];

		for (int c = 0; c < 6; c++)
			col[c] = SPI_getbinval(row, found->tupdesc, c + 1, &isnull);
		AssignGroup(DatumGetInt32(col[0]), DatumGetTextPP(col[1]), DatumGetDateADT(col[2]),
					col[3], col[4], col[5]);
	}
	npending = 0;
	TriggerFrameEnd(&frame);
	return PointerGetDatum(NULL);
}
