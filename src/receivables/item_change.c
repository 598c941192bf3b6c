/*
 * item_change.c
 *		Changes of open items, gathered and written in the order of their ids.
 *
 * Memory: work_mem for all lists of a statement together; what is more goes to
 * disk and is read in order (records.c).
 */
#include "receivables/posting.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "direct_scan.h"
#include "numeric_ops.h"

/* What an invoice takes over from its items. */
typedef struct InvoiceChange
{
	int64		invoice_id;
	int32		company_id;
	bool		written_off;
	bool		credited;
	Amount		amount;
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

static int
CompareParts(const void *a, const void *b)
{
	const ItemPart *x = a;
	const ItemPart *y = b;

	if (x->company_id != y->company_id)
		return x->company_id < y->company_id ? -1 : 1;
	if (x->item_id != y->item_id)
		return x->item_id < y->item_id ? -1 : 1;
	if (x->row != y->row)
		return x->row < y->row ? -1 : 1;
	return 0;
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

/* Start the lists; "kind_type" is that of the ledger's entries, when there will be parts. */
void
ItemChangesBegin(ItemChanges *changes, Oid kind_type, bool claims)
{
	MemoryContext before;

	changes->context = AllocSetContextCreate(CurrentMemoryContext, "o2c item changes",
											 ALLOCSET_DEFAULT_SIZES);
	before = MemoryContextSwitchTo(changes->context);
	changes->parts = RecordsBegin(sizeof(ItemPart), CompareParts, work_mem * (Size) 512);
	changes->done = RecordsBegin(sizeof(ItemChange), NULL, work_mem * (Size) 256);
	changes->invoices = RecordsBegin(sizeof(InvoiceChange), CompareInvoices, work_mem * (Size) 256);
	MemoryContextSwitchTo(before);
	if (OidIsValid(kind_type))
	{
		changes->write_off = EnumValue(kind_type, "write_off");
		changes->credit = EnumValue(kind_type, "credit");
	}
	changes->claims = claims;
}

void
ItemChangesEnd(ItemChanges *changes)
{
	RecordsEnd(changes->parts);
	RecordsEnd(changes->done);
	RecordsEnd(changes->invoices);
	MemoryContextDelete(changes->context);
}

/* What a further row says of an item, for the caller to complete. */
ItemPart *
ItemChangesAdd(ItemChanges *changes, int32 company_id, int64 item_id)
{
	ItemPart   *part = RecordsAdd(changes->parts);

	part->company_id = company_id;
	part->item_id = item_id;
	return part;
}

/* Whether two claims agree, as far as the list's claims go. */
static bool
SameFacts(const ItemChanges *changes, const ItemFacts *a, const ItemFacts *b)
{
	return a->credit == b->credit && memcmp(a->currency, b->currency, 3) == 0 &&
		(!changes->claims || (a->customer_id == b->customer_id && a->due_date == b->due_date));
}

/* What a part claims of its item. */
static ItemFacts
ClaimsOf(const ItemChanges *changes, const ItemPart *part)
{
	ItemFacts	facts = {.date = part->effective, .credit = part->credit};

	memcpy(facts.currency, part->currency, sizeof(facts.currency));
	if (changes->claims)
	{
		facts.customer_id = part->of.entry.customer_id;
		facts.due_date = part->of.entry.due_date;
	}
	return facts;
}

/*
 * Make one change of all parts of an item, of which "part" is the first;
 * returns the first part of the next item, or NULL.  Sums are made in the current
 * context.
 */
static const ItemPart *
MergeParts(ItemChanges *changes, const ItemPart *part, UnfitItem *next)
{
	ItemChange *change = &next->change;

	memset(next, 0, sizeof(UnfitItem));
	change->company_id = part->company_id;
	change->item_id = part->item_id;
	change->invoice_id = NO_ID;
	change->written_off = part->kind == changes->write_off;
	/* of allocations their entries say it, when their kind is known */
	change->credited = !changes->claims || part->kind == changes->credit;
	change->amount = part->amount;
	next->claimed = ClaimsOf(changes, part);
	while ((part = RecordsNext(changes->parts)) != NULL &&
		   part->item_id == change->item_id && part->company_id == change->company_id)
	{
		ItemFacts	claimed = ClaimsOf(changes, part);

		AmountSet(&change->amount, NumericAdd(AmountGet(&change->amount), AmountGet(&part->amount)));
		change->written_off = change->written_off && part->kind == changes->write_off;
		change->credited = change->credited && (!changes->claims || part->kind == changes->credit);
		next->conflict = next->conflict || !SameFacts(changes, &next->claimed, &claimed);
		next->claimed.date = Min(next->claimed.date, claimed.date);
	}
	return part;
}

/* Open the items for UpdateItems; "sibling" is a table of their schema. */
TableWriter *
BeginItemUpdate(Relation sibling)
{
	static const char *const columns[] = {"open_amount"};

	return TableWriterBegin(TableByName(sibling, "open_item"), CMD_UPDATE, columns, lengthof(columns));
}

/* Whether what is claimed of an item is true of the row that was locked. */
static bool
ClaimsFit(const ItemChanges *changes, const UnfitItem *next)
{
	return !next->conflict && SameFacts(changes, &next->claimed, &next->change.item) &&
		(!changes->claims || next->claimed.date >= next->change.item.date);
}

/* "10.00" of a numeric, for messages. */
static char *
AmountText(Datum amount)
{
	return DatumGetCString(DirectFunctionCall1(numeric_out, amount));
}

/*
 * Refuse to bring an item to "open", of which more would be applied than is open on it.
 * The table's CHECK would refuse it too, with less to say.
 */
static void
RefuseOverApplied(TableWriter *items, TupleTableSlot *row, Datum amount, Datum before, Datum open)
{
	bool		isnull;
	Datum		number = slot_getattr(row, TableWriterAttribute(items, "number"), &isnull);

	ereport(ERROR,
			(errcode(ERRCODE_O2C_OVER_APPLIED),
			 errmsg("cannot post %s to item \"%s\"",
					AmountText(DirectFunctionCall2(numeric_sub, open, before)), TextDatumGetCString(number)),
			 errdetail("Of its amount %s, %s is open; %s would be.",
					   AmountText(amount), AmountText(before), AmountText(open)),
			 errhint("Apply at most what is open; the rest stays on the customer's account.")));
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
 * Lock the items in the order of their ids and add to each what its parts say;
 * what was done is listed.  Items on account that have no entry yet take their
 * receipt as well, when allocations need it.  Returns the first that has no item or
 * does not fit its item, or NULL when all did.  What is open on the items
 * follows them.
 */
const UnfitItem *
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
	Numeric		zero = int64_to_numeric(0);
	MemoryContext row_context = AllocSetContextCreate(CurrentMemoryContext, "o2c item row",
													  ALLOCSET_SMALL_SIZES);
	MemoryContext before = MemoryContextSwitchTo(row_context);
	bool		fits = true;
	UnfitItem	next;
	const ItemPart *part;
	DirectLookup lookup = {0};

	RecordsRewind(changes->parts);
	part = RecordsNext(changes->parts);
	while (fits && part != NULL)
	{
		ItemChange *change = &next.change;
		TupleTableSlot *row;
		bool		isnull;
		Datum		whole;
		Datum		stored;
		Datum		open;
		int			rest;
		bool		was_open;
		Balance		balance;

		part = MergeParts(changes, part, &next);
		row = TableWriterFind(items, change->company_id, change->item_id);
		if (row == NULL)
		{
			fits = false;
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
		whole = slot_getattr(row, amount, &isnull);
		change->item.credit = NumericCompare(DatumGetNumeric(whole), zero) < 0;
		fits = ClaimsFit(changes, &next);
		if (!fits)
			break;

		stored = slot_getattr(row, open_amount, &isnull);
		was_open = NumericCompare(DatumGetNumeric(stored), zero) != 0;
		if (!changes->claims && (change->kind == on_account || change->kind == unidentified) &&
			!was_open && HasNoEntry(&lookup, changes->context, change, TableWriterFoundOwn(items)))
		{
			AmountSet(&change->receipt, DatumGetNumeric(whole));
			AmountSet(&change->amount, NumericAdd(AmountGet(&change->amount), DatumGetNumeric(whole)));
			change->born = true;
		}
		open = DirectFunctionCall2(numeric_add, stored, NumericGetDatum(AmountGet(&change->amount)));
		rest = NumericCompare(DatumGetNumeric(open), zero);
		change->settled = rest == 0;
		if (change->item.credit ?
			rest > 0 || NumericCompare(DatumGetNumeric(open), DatumGetNumeric(whole)) < 0 :
			rest < 0 || NumericCompare(DatumGetNumeric(open), DatumGetNumeric(whole)) > 0)
			RefuseOverApplied(items, row, whole, stored, open);
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
		memcpy(RecordsAdd(changes->done), change, sizeof(ItemChange));
		MemoryContextReset(row_context);
	}
	if (lookup.scan != NULL)
		DirectLookupEnd(&lookup);
	MemoryContextSwitchTo(before);
	MemoryContextDelete(row_context);
	return fits ? NULL : memcpy(palloc(sizeof(UnfitItem)), &next, sizeof(UnfitItem));
}

/* Note what the invoice of an item, if it has one, takes over from it. */
void
NoteInvoice(ItemChanges *changes, const ItemChange *change)
{
	InvoiceChange *invoice;

	if (change->invoice_id == NO_ID)
		return;
	invoice = RecordsAdd(changes->invoices);
	invoice->company_id = change->company_id;
	invoice->invoice_id = change->invoice_id;
	invoice->written_off = change->written_off;
	invoice->credited = change->credited;
	invoice->amount = change->amount;
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

/* Make one change of all changes of an invoice, as MergeParts does of those of an item. */
static const InvoiceChange *
MergeInvoices(ItemChanges *changes, const InvoiceChange *first, InvoiceChange *change)
{
	const InvoiceChange *next;

	*change = *first;
	while ((next = RecordsNext(changes->invoices)) != NULL && CompareInvoices(change, next) == 0)
	{
		AmountSet(&change->amount, NumericAdd(AmountGet(&change->amount), AmountGet(&next->amount)));
		change->written_off = change->written_off && next->written_off;
		change->credited = change->credited && next->credited;
	}
	return next;
}

/*
 * Invoices that were noted move with their items: what is open, and their state.
 * The writer is left for the caller to end, when accounts follow; NULL when there
 * are none.
 */
TableWriter *
CarryToInvoices(Relation sibling, ItemChanges *changes)
{
	static const char *const columns[] = {"open_amount", "state"};
	TableWriter *invoices;
	AttrNumber	open_amount;
	AttrNumber	state;
	Oid			state_type;
	const InvoiceChange *next;
	MemoryContext row_context;
	MemoryContext before;

	if (RecordsCount(changes->invoices) == 0)
		return NULL;
	RecordsRewind(changes->invoices);
	invoices = TableWriterBegin(TableByName(sibling, "invoice"), CMD_UPDATE, columns, lengthof(columns));
	open_amount = TableWriterAttribute(invoices, "open_amount");
	state = TableWriterAttribute(invoices, "state");
	state_type = TupleDescAttr(TableWriterDesc(invoices), state - 1)->atttypid;
	row_context = AllocSetContextCreate(CurrentMemoryContext, "o2c invoice row", ALLOCSET_SMALL_SIZES);
	before = MemoryContextSwitchTo(row_context);
	next = RecordsNext(changes->invoices);
	while (next != NULL)
	{
		InvoiceChange change;
		TupleTableSlot *row;
		Datum		values[2];
		Datum		added;
		bool		isnull;

		next = MergeInvoices(changes, next, &change);
		added = NumericGetDatum(AmountGet(&change.amount));
		row = TableWriterFind(invoices, change.company_id, change.invoice_id);
		if (row == NULL)
			elog(ERROR, "invoice " INT64_FORMAT " does not exist", change.invoice_id);
		values[0] = slot_getattr(row, open_amount, &isnull);
		values[0] = isnull ? added : DirectFunctionCall2(numeric_add, values[0], added);
		values[1] = ObjectIdGetDatum(InvoiceState(state_type,
												  DatumGetObjectId(slot_getattr(row, state, &isnull)),
												  values[0], &change));
		TableWriterUpdate(invoices, values, NULL);
		MemoryContextReset(row_context);
	}
	MemoryContextSwitchTo(before);
	MemoryContextDelete(row_context);
	return invoices;
}
