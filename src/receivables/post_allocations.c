/*
 * post_allocations.c
 *		From inserted allocations to their entries.
 *
 * o2c_post_allocations, the AFTER INSERT statement trigger of o2c.allocation,
 * makes of each allocation its two entries and adds them to the open amounts
 * of both items.  Sides of allocations are sorted by item once: items are locked
 * and entries are written in this order, which is also that of the ledger's
 * index on them.  Memory: some hundred bytes for each side.
 *
 * A receipt may be posted together with what it pays: an item on account that
 * was inserted with open_amount 0 has no entry yet, and its first allocations
 * write the receipt before their own entries.  What they use up entirely
 * is thus inserted once, as it remains.
 */
#include "receivables/posting.h"

#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

PG_FUNCTION_INFO_V1(o2c_post_allocations);

/* Columns of new allocations. */
typedef struct AllocationColumns
{
	int			company;
	int			id;
	int			debit;
	int			credit;
	int			currency;
	int			amount;
	int			kind;
	int			effective;
	int			recorded;
	int			reverses;
} AllocationColumns;

static void
FindAllocationColumns(TriggerData *trigdata, AllocationColumns *columns)
{
	columns->company = ColumnOf(trigdata, "company_id");
	columns->id = ColumnOf(trigdata, "id");
	columns->debit = ColumnOf(trigdata, "debit_item_id");
	columns->credit = ColumnOf(trigdata, "credit_item_id");
	columns->currency = ColumnOf(trigdata, "currency");
	columns->amount = ColumnOf(trigdata, "amount");
	columns->kind = ColumnOf(trigdata, "kind");
	columns->effective = ColumnOf(trigdata, "effective_on");
	columns->recorded = ColumnOf(trigdata, "recorded_at");
	columns->reverses = ColumnOf(trigdata, "reverses_id");
}

/* A new allocation, until its entries are written. */
typedef struct NewAllocation
{
	int64		id;
	TimestampTz recorded;
	Numeric		amount;
	Oid			kind;			/* of its entries, once the items are known */
	DateADT		effective;		/* likewise */
	char		currency[3];
} NewAllocation;

/* One of its two entries. */
typedef struct Side
{
	int64		item_id;
	int32		company_id;
	bool		credit;
	NewAllocation *allocation;
} Side;

/* The allocations of a statement, and what they change. */
typedef struct NewAllocations
{
	ItemChanges changes;		/* first: this is what PostChanges hands on */
	Side	   *sides;			/* in the order of their items */
	int64		nsides;
} NewAllocations;

static int
CompareSides(const void *a, const void *b)
{
	const Side *x = a;
	const Side *y = b;

	if (x->company_id != y->company_id)
		return x->company_id < y->company_id ? -1 : 1;
	if (x->item_id != y->item_id)
		return x->item_id < y->item_id ? -1 : 1;
	if (x->allocation != y->allocation)
		return x->allocation < y->allocation ? -1 : 1;
	return 0;
}

/*
 * List new allocations and the changes of their items, in the order of the
 * items; returns whether some allocation undoes another one.
 */
static bool
CollectAllocations(TriggerData *trigdata, NewAllocations *all)
{
	ItemChanges *changes = &all->changes;
	int64		n = tuplestore_tuple_count(trigdata->tg_newtable);
	NewAllocation *next;
	AllocationColumns columns;
	Oid			write_off;
	MemoryContext before;
	bool		reversals = false;
	RowReader	reader;
	TupleTableSlot *row;

	ItemChangesBegin(changes, 2 * n, false);
	next = MemoryContextAllocHuge(changes->context, sizeof(NewAllocation) * n);
	all->sides = MemoryContextAllocHuge(changes->context, sizeof(Side) * 2 * n);
	all->nsides = 0;
	FindAllocationColumns(trigdata, &columns);
	write_off = EnumValue(TupleDescAttr(RelationGetDescr(trigdata->tg_relation), columns.kind - 1)->atttypid,
						  "write_off");
	RowReaderBegin(&reader, trigdata->tg_newtable, trigdata->tg_relation);
	before = MemoryContextSwitchTo(changes->context);
	while ((row = RowReaderNext(&reader)) != NULL)
	{
		bool		isnull;
		int32		company_id = DatumGetInt32(slot_getattr(row, columns.company, &isnull));
		int64		debit = DatumGetInt64(slot_getattr(row, columns.debit, &isnull));
		int64		credit = DatumGetInt64(slot_getattr(row, columns.credit, &isnull));

		next->id = DatumGetInt64(slot_getattr(row, columns.id, &isnull));
		next->recorded = DatumGetTimestampTz(slot_getattr(row, columns.recorded, &isnull));
		next->amount = DatumGetNumericCopy(slot_getattr(row, columns.amount, &isnull));
		next->kind = DatumGetObjectId(slot_getattr(row, columns.kind, &isnull));
		next->effective = DatumGetDateADT(slot_getattr(row, columns.effective, &isnull));
		ReadCurrency(next->currency, slot_getattr(row, columns.currency, &isnull));
		all->sides[all->nsides++] = (Side) {debit, company_id, false, next};
		all->sides[all->nsides++] = (Side) {credit, company_id, true, next};
		(void) slot_getattr(row, columns.reverses, &isnull);
		reversals = reversals || !isnull;
		next++;
	}
	RowReaderEnd(&reader);

	qsort(all->sides, all->nsides, sizeof(Side), CompareSides);
	for (int64 i = 0; i < all->nsides; i++)
	{
		Side	   *side = &all->sides[i];
		NewAllocation *allocation = side->allocation;
		Numeric		amount = allocation->amount;
		ItemChange *change;

		if (!side->credit)
			amount = DatumGetNumeric(DirectFunctionCall1(numeric_uminus, NumericGetDatum(amount)));
		change = ItemChangesAdd(changes, side->company_id, side->item_id, NumericGetDatum(amount));
		change->written_off = allocation->kind == write_off;
		change->credited = true;	/* unless WriteAllocationEntries knows better */
		change->claimed.credit = side->credit;
		memcpy(change->claimed.currency, allocation->currency, sizeof(allocation->currency));
	}
	MemoryContextSwitchTo(before);
	ItemChangesMerge(changes);
	return reversals;
}

/* The change of the next side, which has the item of the one before or the one after that. */
static ItemChange *
ChangeOf(const Side *side, ItemChange *change)
{
	return change->company_id == side->company_id && change->item_id == side->item_id ? change : change + 1;
}

/*
 * Complete what the entries of each allocation say, now that the items are
 * known: their kind, and the date from which they count.
 */
static void
CompleteAllocations(NewAllocations *all, Oid application, Oid credit)
{
	ItemChange *change = all->changes.list;
	Oid			last_kind = InvalidOid;
	bool		by_note = false;

	for (int64 i = 0; i < all->nsides; i++)
	{
		Side	   *side = &all->sides[i];
		NewAllocation *allocation = side->allocation;

		change = ChangeOf(side, change);
		allocation->effective = Max(allocation->effective, change->item.date);
		if (!side->credit || allocation->kind != application)
			continue;
		if (change->kind != last_kind)
		{
			last_kind = change->kind;
			by_note = strcmp(FirstEntryKind(last_kind), "credit") == 0;
		}
		if (by_note)
			allocation->kind = credit;
	}
}

/* Write the receipt of an item that was inserted without; the values but its own are set. */
static void
WriteReceipt(EntryWriter *entries, Oid kind, ItemChange *change, Datum *values, bool *nulls)
{
	values[ENTRY_KIND] = ObjectIdGetDatum(kind);
	values[ENTRY_AMOUNT] = NumericGetDatum(change->receipt);
	values[ENTRY_RAISES] = BoolGetDatum(true);
	values[ENTRY_EFFECTIVE] = DateADTGetDatum(change->item.date);
	nulls[ENTRY_ALLOCATION] = true;
	EntriesInsert(entries, values, nulls);
	nulls[ENTRY_ALLOCATION] = false;
	change->receipt = NULL;
}

/*
 * Write the two entries of each new allocation, whose items are locked: in the
 * order of the items, which is that of the ledger's index on them.
 */
static void
WriteAllocationEntries(TriggerData *trigdata, ItemChanges *changes)
{
	NewAllocations *all = (NewAllocations *) changes;
	EntryWriter entries;
	Oid			credit;
	Oid			receipt;
	Datum		zero = NumericGetDatum(int64_to_numeric(0));
	ItemChange *change = changes->list;
	MemoryContext row_context = AllocSetContextCreate(CurrentMemoryContext, "o2c new entry",
													  ALLOCSET_SMALL_SIZES);
	MemoryContext before;

	EntriesBegin(&entries, trigdata->tg_relation);
	credit = EnumValue(entries.kind_type, "credit");
	receipt = EnumValue(entries.kind_type, "receipt");
	CompleteAllocations(all, EnumValue(entries.kind_type, "application"), credit);
	before = MemoryContextSwitchTo(row_context);
	for (int64 i = 0; i < all->nsides; i++)
	{
		Side	   *side = &all->sides[i];
		NewAllocation *allocation = side->allocation;
		Datum		amount = NumericGetDatum(allocation->amount);
		Datum		values[ENTRY_COLUMNS];
		bool		nulls[ENTRY_COLUMNS] = {false};

		change = ChangeOf(side, change);
		change->credited = change->credited && allocation->kind == credit;
		values[ENTRY_COMPANY] = Int32GetDatum(change->company_id);
		values[ENTRY_ITEM] = Int64GetDatum(change->item_id);
		values[ENTRY_CUSTOMER] = Int64GetDatum(change->item.customer_id);
		nulls[ENTRY_CUSTOMER] = change->item.customer_id == NO_ID;
		values[ENTRY_CURRENCY] = PointerGetDatum(cstring_to_text_with_len(allocation->currency,
																		  sizeof(allocation->currency)));
		values[ENTRY_DUE] = DateADTGetDatum(change->item.due_date);
		values[ENTRY_RECORDED] = TimestampTzGetDatum(allocation->recorded);
		values[ENTRY_ALLOCATION] = Int64GetDatum(allocation->id);
		if (change->receipt != NULL)
			WriteReceipt(&entries, receipt, change, values, nulls);
		values[ENTRY_KIND] = ObjectIdGetDatum(allocation->kind);
		values[ENTRY_AMOUNT] = side->credit ? amount : DirectFunctionCall1(numeric_uminus, amount);
		values[ENTRY_RAISES] = DirectFunctionCall2(numeric_lt, amount, zero);
		values[ENTRY_EFFECTIVE] = DateADTGetDatum(allocation->effective);
		EntriesInsert(&entries, values, nulls);
		MemoryContextReset(row_context);
	}
	MemoryContextSwitchTo(before);
	MemoryContextDelete(row_context);
	EntriesEnd(&entries);
}

/* Refuse reversals that are not exactly the allocation they undo. */
static void
RefuseUnfitReversals(void)
{
	static KeptPlan unfit_reversal = {
		.sql = "SELECT n.id, n.reverses_id FROM new_rows n LEFT JOIN o2c.allocation o"
		"  ON o.company_id = n.company_id AND o.id = n.reverses_id"
		" WHERE n.reverses_id IS NOT NULL AND (o.id IS NULL OR o.reverses_id IS NOT NULL OR o.amount <> - n.amount"
		"  OR o.debit_item_id <> n.debit_item_id OR o.credit_item_id <> n.credit_item_id OR o.currency <> n.currency"
		"  OR o.kind <> n.kind OR n.effective_on < o.effective_on) LIMIT 1"
	};

	if (KeptPlanExecute(&unfit_reversal, NULL, NULL, SPI_OK_SELECT) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_O2C_BUSINESS_RULE),
				 errmsg("allocation %s does not undo allocation %s",
						SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1),
						SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2)),
				 errdetail("A reversal has the items, currency and kind of the allocation it undoes, its amount with the other sign, and an effective date that is not earlier."),
				 errhint("Use o2c.unapply().")));
}

/* Say why an item that an allocation names is not the one it needs. */
static const char *
AllocationFault(const ItemChange *change)
{
	if (change->kind == InvalidOid)
		return psprintf("Company %d has no open item " INT64_FORMAT ".", change->company_id, change->item_id);
	if (change->conflict)
		return psprintf("Item " INT64_FORMAT " stands on both sides, or in two currencies.", change->item_id);
	if (change->claimed.credit != change->item.credit)
		return psprintf("Item " INT64_FORMAT " is a %s item.", change->item_id, change->item.credit ? "credit" : "debit");
	return psprintf("Item " INT64_FORMAT " is in %.3s, the allocation in %.3s.", change->item_id,
					change->item.currency, change->claimed.currency);
}

static void
RefuseAllocation(const ItemChange *unfit)
{
	ereport(ERROR,
			(errcode(ERRCODE_O2C_UNKNOWN_OBJECT),
			 errmsg("allocation does not fit its open items"),
			 errdetail("%s", AllocationFault(unfit)),
			 errhint("A credit item pays a debit item of the same company in the same currency.")));
}

/* o2c_post_allocations(): AFTER INSERT ON allocation, REFERENCING NEW TABLE new_rows. */
Datum
o2c_post_allocations(PG_FUNCTION_ARGS)
{
	static const PostingSteps steps = {.refuse = RefuseAllocation, .write = WriteAllocationEntries};
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_post_allocations");
	TriggerFrame frame;
	NewAllocations all;

	if (tuplestore_tuple_count(trigdata->tg_newtable) == 0)
		return PointerGetDatum(NULL);
	TriggerFrameBegin(&frame, trigdata);
	if (CollectAllocations(trigdata, &all))
		RefuseUnfitReversals();
	PostChanges(trigdata, &all.changes, &steps);
	ItemChangesEnd(&all.changes);
	TriggerFrameEnd(&frame);
	return PointerGetDatum(NULL);
}
