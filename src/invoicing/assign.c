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
 * that the series is locked only while the transaction commits.  A few
 * documents of a series that draws at issue take the same way at the end of
 * o2c._issue(), with all other work done.  PREPARE
 * TRANSACTION fires it too, and then the series stays locked until COMMIT
 * PREPARED: right, but slow for the others.
 */
#include "o2c.h"

#include "access/xact.h"
#include "invoicing/numbering.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"

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

/* A document that was issued without a number. */
typedef struct PendingDocument
{
	int32		company;
	DateADT		on_date;
	int64		id;
	char	   *series;
} PendingDocument;

/* All of them live in TopTransactionContext. */
static DrawnBlock *drawn = NULL;
static PendingDocument *pending = NULL;
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
			pending = NULL;
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
NoteUnnumbered(int32 company, int64 id, const char *series, DateADT on_date)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);
	PendingDocument *document;

	Register();
	if (npending == maxpending)
	{
		maxpending = maxpending == 0 ? 16 : maxpending * 2;
		pending = pending == NULL ? palloc(maxpending * sizeof(PendingDocument)) :
			repalloc_huge(pending, maxpending * sizeof(PendingDocument));
	}
	document = &pending[npending++];
	document->company = company;
	document->id = id;
	document->on_date = on_date;
	/* those of one call have the same series: share its name */
	document->series = npending > 1 && strcmp(document[-1].series, series) == 0 ?
		document[-1].series : pstrdup(series);
	MemoryContextSwitchTo(old);
}

/* By company, series and date, which is a group, then by id. */
static int
ComparePending(const void *left, const void *right)
{
	const PendingDocument *a = left;
	const PendingDocument *b = right;
	int			order = strcmp(a->series, b->series);

	if (a->company != b->company)
		return a->company < b->company ? -1 : 1;
	if (order != 0)
		return order;
	if (a->on_date != b->on_date)
		return a->on_date < b->on_date ? -1 : 1;
	return a->id < b->id ? -1 : a->id > b->id;
}

/*
 * Number the documents that wait for it: in one block for each series and
 * date, series always in the same order so that two transactions cannot
 * deadlock.  Before the transaction commits, only those whose series draws at
 * issue.  The rows may be gone again with a savepoint: whoever writes looks.
 */
void
NumberPending(Relation invoice, bool at_commit)
{
	int			kept = 0;
	int			n = npending;
	int64	   *ids;

	if (n == 0)
		return;
	qsort(pending, n, sizeof(PendingDocument), ComparePending);
	ids = palloc_extended(n * sizeof(int64), MCXT_ALLOC_HUGE);
	npending = 0;
	for (int first = 0; first < n;)
	{
		PendingDocument *group = &pending[first];
		int			count = 0;

		for (; first < n && pending[first].company == group->company &&
			 pending[first].on_date == group->on_date &&
			 strcmp(pending[first].series, group->series) == 0; first++)
		{
			if (count == 0 || ids[count - 1] != pending[first].id)
				ids[count++] = pending[first].id;
		}
		if (!NumberDocuments(invoice, group->company, group->series, group->on_date,
							 ids, count, at_commit))
		{
			memmove(&pending[kept], group, (&pending[first] - group) * sizeof(PendingDocument));
			kept += &pending[first] - group;
		}
	}
	npending = kept;
	pfree(ids);
}

/*
 * _invoice_assign(): deferred constraint trigger AFTER UPDATE ON invoice, for
 * each row issued without a number.  The first firing does all.
 */
Datum
o2c_invoice_assign(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_invoice_assign");

	NumberPending(trigdata->tg_relation, true);
	return PointerGetDatum(NULL);
}
