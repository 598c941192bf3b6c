/*
 * post_allocations.c
 *		From inserted allocations to their entries.
 *
 * o2c_post_allocations, the AFTER INSERT statement trigger of o2c.allocation,
 * makes of each allocation its two entries and adds them to the open amounts
 * of both items.  Sides of allocations are sorted by item once: items are locked
 * and entries are written in this order, which is also that of the ledger's
 * index on them.  Memory: what item_change.c takes, and eight bytes for each
 * allocation.
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

#include "numeric_ops.h"

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

/* What the entries of an allocation say, as both of its items have it. */
typedef struct BothSides
{
	DateADT		effective;
	bool		by_note;		/* a credit note pays */
} BothSides;

/* The allocations of a statement, and what they change. */
typedef struct NewAllocations
{
	ItemChanges changes;		/* first: this is what PostChanges hands on */
	BothSides  *both;			/* by their rows */
} NewAllocations;

/* List both sides of new allocations; returns whether some allocation undoes another one. */
static bool
CollectAllocations(TriggerData *trigdata, NewAllocations *all)
{
	ItemChanges *changes = &all->changes;
	AllocationColumns columns;
	bool		reversals = false;
	int64		n = 0;
	MemoryContext row_context;
	MemoryContext before;
	RowReader	reader;
	TupleTableSlot *row;

	ItemChangesBegin(changes, TypeOfColumn(trigdata, "kind"), false);
	all->both = MemoryContextAllocHuge(changes->context,
									   sizeof(BothSides) * tuplestore_tuple_count(trigdata->tg_newtable));
	FindAllocationColumns(trigdata, &columns);
	row_context = AllocSetContextCreate(CurrentMemoryContext, "o2c new allocation", ALLOCSET_SMALL_SIZES);
	RowReaderBegin(&reader, trigdata->tg_newtable, trigdata->tg_relation);
	while ((row = RowReaderNext(&reader)) != NULL)
	{
		bool		isnull;
		int32		company_id = DatumGetInt32(slot_getattr(row, columns.company, &isnull));
		int64		items[2];
		Datum		amount = slot_getattr(row, columns.amount, &isnull);
		ItemPart	part = {.row = n, .company_id = company_id};

		items[false] = DatumGetInt64(slot_getattr(row, columns.debit, &isnull));
		items[true] = DatumGetInt64(slot_getattr(row, columns.credit, &isnull));
		part.of.allocation.id = DatumGetInt64(slot_getattr(row, columns.id, &isnull));
		part.of.allocation.recorded = DatumGetTimestampTz(slot_getattr(row, columns.recorded, &isnull));
		part.kind = DatumGetObjectId(slot_getattr(row, columns.kind, &isnull));
		part.effective = DatumGetDateADT(slot_getattr(row, columns.effective, &isnull));
		ReadCurrency(part.currency, slot_getattr(row, columns.currency, &isnull));
		all->both[n++] = (BothSides) {.effective = part.effective};
		before = MemoryContextSwitchTo(row_context);
		for (int side = true; side >= false; side--)
		{
			if (!side)
				amount = DirectFunctionCall1(numeric_uminus, amount);
			part.item_id = items[side];
			part.credit = side;
			AmountSet(&part.amount, DatumGetNumeric(amount));
			memcpy(ItemChangesAdd(changes, company_id, part.item_id), &part, sizeof(ItemPart));
		}
		MemoryContextSwitchTo(before);
		MemoryContextReset(row_context);
		(void) slot_getattr(row, columns.reverses, &isnull);
		reversals = reversals || !isnull;
	}
	RowReaderEnd(&reader);
	MemoryContextDelete(row_context);
	return reversals;
}

/* The change of the next part, which has the item of the one before or the one after that. */
static const ItemChange *
ChangeOf(ItemChanges *changes, const ItemPart *part, const ItemChange *change)
{
	if (change != NULL && change->item_id == part->item_id && change->company_id == part->company_id)
		return change;
	return RecordsNext(changes->done);
}

/*
 * Complete what the entries of each allocation say, now that the items are
 * known: their kind, and the date from which they count.
 */
static void
CompleteAllocations(NewAllocations *all)
{
	ItemChanges *changes = &all->changes;
	const ItemChange *change = NULL;
	const ItemPart *part;
	Oid			last_kind = InvalidOid;
	bool		by_note = false;

	RecordsRewind(changes->parts);
	RecordsRewind(changes->done);
	while ((part = RecordsNext(changes->parts)) != NULL)
	{
		BothSides  *both = &all->both[part->row];

		change = ChangeOf(changes, part, change);
		both->effective = Max(both->effective, change->item.date);
		if (!part->credit)
			continue;
		if (change->kind != last_kind)
		{
			last_kind = change->kind;
			by_note = strcmp(FirstEntryKind(last_kind), "credit") == 0;
		}
		both->by_note = by_note;
	}
}

/* Write the receipt of an item that was inserted without; the values but its own are set. */
static void
WriteReceipt(EntryWriter *entries, Oid kind, const ItemChange *change, Datum *values, bool *nulls)
{
	values[ENTRY_KIND] = ObjectIdGetDatum(kind);
	values[ENTRY_AMOUNT] = NumericGetDatum(AmountGet(&change->receipt));
	values[ENTRY_RAISES] = BoolGetDatum(true);
	values[ENTRY_EFFECTIVE] = DateADTGetDatum(change->item.date);
	nulls[ENTRY_ALLOCATION] = true;
	EntriesInsert(entries, values, nulls);
	nulls[ENTRY_ALLOCATION] = false;
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
	Oid			application;
	Oid			receipt;
	Numeric		zero = int64_to_numeric(0);
	const ItemPart *part;
	ItemChange	change;			/* of the part */
	bool		any = false;
	MemoryContext row_context = AllocSetContextCreate(CurrentMemoryContext, "o2c new entry",
													  ALLOCSET_SMALL_SIZES);
	MemoryContext before;

	EntriesBegin(&entries, trigdata->tg_relation);
	application = EnumValue(entries.kind_type, "application");
	receipt = EnumValue(entries.kind_type, "receipt");
	CompleteAllocations(all);
	before = MemoryContextSwitchTo(row_context);
	RecordsRewind(changes->parts);
	RecordsRewind(changes->done);
	while ((part = RecordsNext(changes->parts)) != NULL)
	{
		const BothSides *both = &all->both[part->row];
		Oid			kind = both->by_note && part->kind == application ? changes->credit : part->kind;
		Numeric		amount = AmountGet(&part->amount);
		Datum		values[ENTRY_COLUMNS];
		bool		nulls[ENTRY_COLUMNS] = {false};
		bool		first = !any || change.item_id != part->item_id || change.company_id != part->company_id;

		if (first)
		{
			if (any)
				NoteInvoice(changes, &change);
			change = *(const ItemChange *) RecordsNext(changes->done);
			any = true;
		}
		change.credited = change.credited && kind == changes->credit;
		values[ENTRY_COMPANY] = Int32GetDatum(change.company_id);
		values[ENTRY_ITEM] = Int64GetDatum(change.item_id);
		values[ENTRY_CUSTOMER] = Int64GetDatum(change.item.customer_id);
		nulls[ENTRY_CUSTOMER] = change.item.customer_id == NO_ID;
		values[ENTRY_CURRENCY] = PointerGetDatum(cstring_to_text_with_len(part->currency, sizeof(part->currency)));
		values[ENTRY_DUE] = DateADTGetDatum(change.item.due_date);
		values[ENTRY_RECORDED] = TimestampTzGetDatum(part->of.allocation.recorded);
		values[ENTRY_ALLOCATION] = Int64GetDatum(part->of.allocation.id);
		if (first && change.born)
			WriteReceipt(&entries, receipt, &change, values, nulls);
		values[ENTRY_KIND] = ObjectIdGetDatum(kind);
		values[ENTRY_AMOUNT] = NumericGetDatum(amount);
		/* what settles an item has the sign that the item has not */
		values[ENTRY_RAISES] = BoolGetDatum(NumericCompare(amount, zero) * (part->credit ? 1 : -1) < 0);
		values[ENTRY_EFFECTIVE] = DateADTGetDatum(both->effective);
		EntriesInsert(&entries, values, nulls);
		MemoryContextReset(row_context);
	}
	if (any)
		NoteInvoice(changes, &change);
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
AllocationFault(const UnfitItem *unfit)
{
	const ItemChange *change = &unfit->change;

	if (change->kind == InvalidOid)
		return psprintf("Company %d has no open item " INT64_FORMAT ".", change->company_id, change->item_id);
	if (unfit->conflict)
		return psprintf("Item " INT64_FORMAT " stands on both sides, or in two currencies.", change->item_id);
	if (unfit->claimed.credit != change->item.credit)
		return psprintf("Item " INT64_FORMAT " is a %s item.", change->item_id, change->item.credit ? "credit" : "debit");
	return psprintf("Item " INT64_FORMAT " is in %.3s, the allocation in %.3s.", change->item_id,
					change->item.currency, unfit->claimed.currency);
}

static void
RefuseAllocation(const UnfitItem *unfit)
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
