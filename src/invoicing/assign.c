/*
 * assign.c
 *		Which numbers this transaction drew, and numbers given at commit.
 *
 * An issued document may carry only a number that its own transaction drew:
 * every block is noted here until the transaction ends, and the guard of
 * invoices asks.  A block drawn in a subtransaction that is rolled back is
 * forgotten with it, as the counter forgets it.  So is a document noted there;
 * one that was only numbered there waits again.
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
	SubTransactionId noted;
	SubTransactionId numbered;	/* invalid while it waits */
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

/* Blocks and documents of a subtransaction go to its parent, or away with it. */
static void
ForgetSubXact(SubXactEvent event, SubTransactionId mySubid,
			  SubTransactionId parentSubid, void *arg)
{
	if (event == SUBXACT_EVENT_COMMIT_SUB)
	{
		for (DrawnBlock *block = drawn; block != NULL; block = block->next)
			if (block->subid == mySubid)
				block->subid = parentSubid;
		for (int i = 0; i < npending; i++)
		{
			if (pending[i].noted == mySubid)
				pending[i].noted = parentSubid;
			if (pending[i].numbered == mySubid)
				pending[i].numbered = parentSubid;
		}
	}
	else if (event == SUBXACT_EVENT_ABORT_SUB)
	{
		DrawnBlock **link = &drawn;
		int			kept = 0;

		while (*link != NULL)
		{
			if ((*link)->subid == mySubid)
				*link = (*link)->next;
			else
				link = &(*link)->next;
		}
		for (int i = 0; i < npending; i++)
		{
			if (pending[i].noted == mySubid)
				continue;
			if (pending[i].numbered == mySubid)
				pending[i].numbered = InvalidSubTransactionId;
			pending[kept++] = pending[i];
		}
		npending = kept;
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
	PendingDocument document = {
		.company = company,
		.on_date = on_date,
		.id = id,
		.noted = GetCurrentSubTransactionId(),
		.numbered = InvalidSubTransactionId
	};

	Register();
	if (pending == NULL)
	{
		pending = palloc(16 * sizeof(PendingDocument));
		maxpending = 16;
	}
	else if (npending == maxpending)
	{
		pending = repalloc_huge(pending, maxpending * 2 * sizeof(PendingDocument));
		maxpending *= 2;
	}
	/* those of one call have the same series: share its name */
	document.series = npending > 0 && strcmp(pending[npending - 1].series, series) == 0 ?
		pending[npending - 1].series : pstrdup(series);
	pending[npending++] = document;
	MemoryContextSwitchTo(old);
}

/* Whether two documents are numbered in one block. */
static bool
IsSameGroup(const PendingDocument *a, const PendingDocument *b)
{
	return a->company == b->company && a->on_date == b->on_date && strcmp(a->series, b->series) == 0;
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

/* Say of a group's documents where they are numbered. */
static void
MarkGroup(const PendingDocument *group, SubTransactionId before, SubTransactionId after)
{
	for (int i = 0; i < npending; i++)
		if (pending[i].numbered == before && IsSameGroup(&pending[i], group))
			pending[i].numbered = after;
}

/* Forget documents that were numbered where they were noted: both hold, or neither. */
static void
ForgetNumbered(void)
{
	int			kept = 0;

	for (int i = 0; i < npending; i++)
		if (pending[i].numbered != pending[i].noted)
			pending[kept++] = pending[i];
	npending = kept;
}

/*
 * Number the documents that wait for it: in one block for each series and
 * date, series always in the same order so that two transactions cannot
 * deadlock.  Before the transaction commits, only those whose series draws at
 * issue.  They are marked before: whoever comes here again from a trigger
 * leaves them alone, and when this subtransaction fails they wait again.
 */
void
NumberPending(Relation invoice, bool at_commit)
{
	SubTransactionId now = GetCurrentSubTransactionId();
	PendingDocument *waiting;
	int64	   *ids;
	int			n = 0;

	if (npending == 0)
		return;
	waiting = palloc_extended(npending * sizeof(PendingDocument), MCXT_ALLOC_HUGE);
	ids = palloc_extended(npending * sizeof(int64), MCXT_ALLOC_HUGE);
	for (int i = 0; i < npending; i++)
		if (pending[i].numbered == InvalidSubTransactionId)
			waiting[n++] = pending[i];
	qsort(waiting, n, sizeof(PendingDocument), ComparePending);
	for (int i = 0; i < n;)
	{
		PendingDocument *group = &waiting[i];
		int			count = 0;

		for (; i < n && IsSameGroup(&waiting[i], group); i++)
			if (count == 0 || ids[count - 1] != waiting[i].id)
				ids[count++] = waiting[i].id;
		MarkGroup(group, InvalidSubTransactionId, now);
		if (!NumberDocuments(invoice, group->company, group->series, group->on_date,
							 ids, count, at_commit))
			MarkGroup(group, now, InvalidSubTransactionId);
	}
	pfree(ids);
	pfree(waiting);
	ForgetNumbered();
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
