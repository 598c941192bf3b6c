/*
 * item_change.c
 *		Changes of open items, gathered and written in the order of their ids.
 *
 * Memory: some hundred bytes for each item that one statement changes.
 */
#include "receivables/posting.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "direct_scan.h"
#include "numeric_ops.h"

/* What an invoice takes over from its items. */
typedef struct InvoiceChange
{
	int32		company_id;
	int64		invoice_id;
	Numeric		amount;
	bool		written_off;
	bool		credited;
} InvoiceChange;

/* The value of an enum type with that label. */
Oid
EnumValue(Oid type, const char *label)
{
	return DatumGetObjectId(DirectFunctionCall2(enum_in, CStringGetDatum(label),
												ObjectIdGetDatum(type)));
}

/* A currency as it is compared here. */
void
ReadCurrency(char *code, Datum value)
{
	text	   *t = DatumGetTextPP(value);

	if (VARSIZE_ANY_EXHDR(t) != 3)
		elog(ERROR, "a currency has three letters");
	memcpy(code, VARDATA_ANY(t), 3);
}

/* Start a list for at most "capacity" changes. */
void
ItemChangesBegin(ItemChanges *changes, int64 capacity, bool claims)
{
	changes->context = AllocSetContextCreate(CurrentMemoryContext, "o2c item changes",
											 ALLOCSET_DEFAULT_SIZES);
	changes->list = MemoryContextAllocHuge(changes->context, sizeof(ItemChange) * Max(capacity, 1));
	changes->n = 0;
	changes->claims = claims;
}

void
ItemChangesEnd(ItemChanges *changes)
{
	MemoryContextDelete(changes->context);
}

/* A further change, for the caller to complete; the amount is copied. */
ItemChange *
ItemChangesAdd(ItemChanges *changes, int32 company_id, int64 item_id, Datum amount)
{
	ItemChange *change = &changes->list[changes->n++];
	MemoryContext before = MemoryContextSwitchTo(changes->context);

	memset(change, 0, sizeof(ItemChange));
	change->invoice_id = NO_ID;
	change->company_id = company_id;
	change->item_id = item_id;
	change->amount = DatumGetNumericCopy(amount);
	MemoryContextSwitchTo(before);
	return change;
}

static int
CompareItems(const void *a, const void *b)
{
	const ItemChange *x = a;
	const ItemChange *y = b;

	if (x->company_id != y->company_id)
		return x->company_id < y->company_id ? -1 : 1;
	if (x->item_id != y->item_id)
		return x->item_id < y->item_id ? -1 : 1;
	return 0;
}

/* Whether two claims agree, as far as the list's claims go. */
static bool
SameFacts(const ItemChanges *changes, const ItemFacts *a, const ItemFacts *b)
{
	return a->credit == b->credit && memcmp(a->currency, b->currency, 3) == 0 &&
		(!changes->claims || (a->customer_id == b->customer_id && a->due_date == b->due_date));
}

/* Sort the list and make one change of all changes of an item. */
void
ItemChangesMerge(ItemChanges *changes)
{
	ItemChange *last = changes->list;
	MemoryContext before;

	if (changes->n < 2)
		return;
	qsort(changes->list, changes->n, sizeof(ItemChange), CompareItems);
	before = MemoryContextSwitchTo(changes->context);
	for (int64 i = 1; i < changes->n; i++)
	{
		ItemChange *next = &changes->list[i];

		if (CompareItems(last, next) != 0)
		{
			last++;
			if (last != next)
				*last = *next;
			continue;
		}
		last->amount = NumericAdd(last->amount, next->amount);
		last->written_off = last->written_off && next->written_off;
		last->credited = last->credited && next->credited;
		last->conflict = last->conflict || !SameFacts(changes, &last->claimed, &next->claimed);
		last->claimed.date = Min(last->claimed.date, next->claimed.date);
	}
	MemoryContextSwitchTo(before);
	changes->n = last - changes->list + 1;
}

/* Open the items for UpdateItems; "sibling" is a table of their schema. */
TableWriter *
BeginItemUpdate(Relation sibling)
{
	static const char *const columns[] = {"open_amount"};

	return TableWriterBegin(TableByName(sibling, "open_item"), CMD_UPDATE, columns, lengthof(columns));
}

static bool
IsNegative(Datum amount)
{
	return DatumGetBool(DirectFunctionCall2(numeric_lt, amount,
											NumericGetDatum(int64_to_numeric(0))));
}

/* Whether what is claimed of an item is true of the row that was locked. */
static bool
ClaimsFit(const ItemChanges *changes, const ItemChange *change)
{
	return !change->conflict && SameFacts(changes, &change->claimed, &change->item) &&
		(!changes->claims || change->claimed.date >= change->item.date);
}

static DirectTable entries = {
	.name = "ledger_entry", .nkeys = 2,
	.columns = {"company_id", "item_id"}
};

/*
 * Whether an item, whose row is locked, has no entry yet.  Entries come with the
 * lock of their item: for one that only this transaction can see nobody else has
 * written any, and the items' snapshot shows what it wrote itself, unless it
 * wrote more since.  Else the newest committed state is looked at.  The lookup
 * is opened in that context when it is needed.
 */
static bool
HasNoEntry(DirectLookup *lookup, MemoryContext context, const ItemChange *change, bool own)
{
	Snapshot	snapshot = GetActiveSnapshot();
	DirectScan	scan;
	bool		none;

	if (!DirectTableResolve(&entries))
		elog(ERROR, "table \"ledger_entry\" is not as it was installed");
	if (own && snapshot->curcid == GetCurrentCommandId(false))
	{
		if (lookup->scan == NULL)
		{
			MemoryContext before = MemoryContextSwitchTo(context);

			DirectLookupBegin(lookup, &entries, snapshot);
			MemoryContextSwitchTo(before);
		}
		return DirectLookupFind(lookup, change->company_id, change->item_id) == NULL;
	}
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	DirectScanBegin(&scan, &entries, AccessShareLock, snapshot, change->company_id, change->item_id);
	none = DirectScanNext(&scan) == NULL;
	DirectScanEnd(&scan, AccessShareLock);
	UnregisterSnapshot(snapshot);
	return none;
}

/*
 * Lock the items of a merged list in the order of their ids and add the
 * changes to them.  Items on account that have no entry yet take their receipt
 * as well, when allocations need it.  Returns the first change that has no item or does not fit
 * its item, or NULL when all did.  What is open on the items follows them.
 */
const ItemChange *
UpdateItems(TableWriter *items, Balances *balances, ItemChanges *changes)
{
	AttrNumber	customer = TableWriterAttribute(items, "customer_id");
	AttrNumber	kind = TableWriterAttribute(items, "kind");
	AttrNumber	invoice = TableWriterAttribute(items, "invoice_id");
	AttrNumber	document_date = TableWriterAttribute(items, "document_date");
	AttrNumber	due_date = TableWriterAttribute(items, "due_date");
	AttrNumber	currency = TableWriterAttribute(items, "currency");
	AttrNumber	amount = TableWriterAttribute(items, "amount");
	AttrNumber	open_amount = TableWriterAttribute(items, "open_amount");
	Oid			kind_type = TupleDescAttr(TableWriterDesc(items), kind - 1)->atttypid;
	Oid			on_account = EnumValue(kind_type, "on_account");
	Oid			unidentified = EnumValue(kind_type, "unidentified");
	Datum		zero = NumericGetDatum(int64_to_numeric(0));
	MemoryContext row_context = AllocSetContextCreate(CurrentMemoryContext, "o2c item row",
													  ALLOCSET_SMALL_SIZES);
	MemoryContext before = MemoryContextSwitchTo(row_context);
	const ItemChange *unfit = NULL;
	DirectLookup lookup = {0};

	for (int64 i = 0; i < changes->n && unfit == NULL; i++)
	{
		ItemChange *change = &changes->list[i];
		TupleTableSlot *row = TableWriterFind(items, change->company_id, change->item_id);
		bool		isnull;
		Datum		open;
		bool		was_open;
		Balance		balance;

		if (row == NULL)
		{
			unfit = change;
			break;
		}
		change->item.customer_id = DatumGetInt64(slot_getattr(row, customer, &isnull));
		if (isnull)
			change->item.customer_id = NO_ID;
		change->invoice_id = DatumGetInt64(slot_getattr(row, invoice, &isnull));
		if (isnull)
			change->invoice_id = NO_ID;
		change->kind = DatumGetObjectId(slot_getattr(row, kind, &isnull));
		change->item.date = DatumGetDateADT(slot_getattr(row, document_date, &isnull));
		change->item.due_date = DatumGetDateADT(slot_getattr(row, due_date, &isnull));
		ReadCurrency(change->item.currency, slot_getattr(row, currency, &isnull));
		change->item.credit = IsNegative(slot_getattr(row, amount, &isnull));
		if (!ClaimsFit(changes, change))
			unfit = change;
		else
		{
			open = slot_getattr(row, open_amount, &isnull);
			was_open = !DatumGetBool(DirectFunctionCall2(numeric_eq, open, zero));
			if (!changes->claims && (change->kind == on_account || change->kind == unidentified) &&
				!was_open && HasNoEntry(&lookup, changes->context, change, TableWriterFoundOwn(items)))
			{
				Datum		whole = slot_getattr(row, amount, &isnull);

				MemoryContextSwitchTo(changes->context);
				change->receipt = DatumGetNumericCopy(whole);
				change->amount = NumericAdd(change->amount, change->receipt);
				MemoryContextSwitchTo(row_context);
				change->born = true;
			}
			open = DirectFunctionCall2(numeric_add, open, NumericGetDatum(change->amount));
			change->settled = DatumGetBool(DirectFunctionCall2(numeric_eq, open, zero));
			/* a receipt that is used up stays as it was inserted */
			if (!change->born || !change->settled || !TableWriterFoundOwn(items))
				TableWriterUpdate(items, &open, NULL);
			if (was_open || !change->settled)
			{
				balance.company_id = change->company_id;
				balance.item_id = change->item_id;
				balance.customer_id = change->item.customer_id;
				balance.due_date = change->item.due_date;
				balance.document_date = change->item.date;
				balance.currency = slot_getattr(row, currency, &isnull);
				balance.open_amount = open;
				BalancesSet(balances, &balance, change->settled);
			}
		}
		MemoryContextReset(row_context);
	}
	if (lookup.scan != NULL)
		DirectLookupEnd(&lookup);
	MemoryContextSwitchTo(before);
	MemoryContextDelete(row_context);
	return unfit;
}

static int
CompareInvoices(const void *a, const void *b)
{
	const InvoiceChange *x = a;
	const InvoiceChange *y = b;

	if (x->company_id != y->company_id)
		return x->company_id < y->company_id ? -1 : 1;
	if (x->invoice_id != y->invoice_id)
		return x->invoice_id < y->invoice_id ? -1 : 1;
	return 0;
}

/* The state of an invoice of which "open" is open after the change. */
static Oid
InvoiceState(Oid type, Oid state, Datum open, const InvoiceChange *change)
{
	bool		settled = DatumGetBool(DirectFunctionCall2(numeric_eq, open,
														   NumericGetDatum(int64_to_numeric(0))));
	Oid			issued = EnumValue(type, "issued");

	if (state == EnumValue(type, "draft") || state == EnumValue(type, "void"))
		return state;
	if (!settled)
		return issued;
	if (state != issued)
		return state;
	return EnumValue(type, change->written_off ? "written_off" : change->credited ? "credited" : "paid");
}

/* Invoices move with their items: what is open, and their state. */
void
CarryToInvoices(Relation sibling, ItemChanges *changes)
{
	static const char *const columns[] = {"open_amount", "state"};
	InvoiceChange *list;
	int64		n = 0;
	int64		last = 0;
	TableWriter *invoices;
	AttrNumber	open_amount;
	AttrNumber	state;
	Oid			state_type;
	MemoryContext row_context;
	MemoryContext before;

	for (int64 i = 0; i < changes->n; i++)
		n += changes->list[i].invoice_id != NO_ID;
	if (n == 0)
		return;

	before = MemoryContextSwitchTo(changes->context);
	list = MemoryContextAllocHuge(changes->context, sizeof(InvoiceChange) * n);
	n = 0;
	for (int64 i = 0; i < changes->n; i++)
	{
		ItemChange *change = &changes->list[i];

		if (change->invoice_id != NO_ID)
			list[n++] = (InvoiceChange) {
				change->company_id, change->invoice_id, change->amount,
				change->written_off, change->credited
			};
	}
	qsort(list, n, sizeof(InvoiceChange), CompareInvoices);
	for (int64 i = 1; i < n; i++)
	{
		if (CompareInvoices(&list[last], &list[i]) != 0)
		{
			list[++last] = list[i];
			continue;
		}
		list[last].amount = NumericAdd(list[last].amount, list[i].amount);
		list[last].written_off = list[last].written_off && list[i].written_off;
		list[last].credited = list[last].credited && list[i].credited;
	}
	n = last + 1;
	MemoryContextSwitchTo(before);

	invoices = TableWriterBegin(TableByName(sibling, "invoice"), CMD_UPDATE, columns, lengthof(columns));
	open_amount = TableWriterAttribute(invoices, "open_amount");
	state = TableWriterAttribute(invoices, "state");
	state_type = TupleDescAttr(TableWriterDesc(invoices), state - 1)->atttypid;
	row_context = AllocSetContextCreate(CurrentMemoryContext, "o2c invoice row", ALLOCSET_SMALL_SIZES);
	before = MemoryContextSwitchTo(row_context);
	for (int64 i = 0; i < n; i++)
	{
		TupleTableSlot *row = TableWriterFind(invoices, list[i].company_id, list[i].invoice_id);
		Datum		values[2];
		bool		isnull;

		if (row == NULL)
			elog(ERROR, "invoice " INT64_FORMAT " does not exist", list[i].invoice_id);
		values[0] = slot_getattr(row, open_amount, &isnull);
		values[0] = isnull ? NumericGetDatum(list[i].amount) :
			DirectFunctionCall2(numeric_add, values[0], NumericGetDatum(list[i].amount));
		values[1] = ObjectIdGetDatum(InvoiceState(state_type,
												  DatumGetObjectId(slot_getattr(row, state, &isnull)),
												  values[0], &list[i]));
		TableWriterUpdate(invoices, values, NULL);
		MemoryContextReset(row_context);
	}
	MemoryContextSwitchTo(before);
	MemoryContextDelete(row_context);
	TableWriterEnd(invoices);
}
