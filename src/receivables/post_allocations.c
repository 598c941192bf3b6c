/*
 * post_allocations.c
 *		From inserted allocations to their entries.
 *
 * o2c_post_allocations, the AFTER INSERT statement trigger of o2c.allocation,
 * makes of each allocation its two entries and adds them to the open amounts
 * of both items.
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

/*
 * List both items of each new allocation; returns whether some allocation
 * undoes another one.
 */
static bool
CollectAllocations(TriggerData *trigdata, ItemChanges *changes)
{
	AllocationColumns columns;
	Oid			write_off;
	MemoryContext row_context = AllocSetContextCreate(CurrentMemoryContext, "o2c new allocation",
													  ALLOCSET_SMALL_SIZES);
	MemoryContext before;
	bool		reversals = false;
	RowReader	reader;
	TupleTableSlot *row;

	FindAllocationColumns(trigdata, &columns);
	write_off = EnumValue(TupleDescAttr(RelationGetDescr(trigdata->tg_relation), columns.kind - 1)->atttypid,
						  "write_off");
	RowReaderBegin(&reader, trigdata->tg_newtable, trigdata->tg_relation);
	before = MemoryContextSwitchTo(row_context);
	while ((row = RowReaderNext(&reader)) != NULL)
	{
		bool		isnull;
		int32		company_id = DatumGetInt32(slot_getattr(row, columns.company, &isnull));
		int64		item_ids[2];
		Datum		amounts[2];
		Oid			kind = DatumGetObjectId(slot_getattr(row, columns.kind, &isnull));

		item_ids[0] = DatumGetInt64(slot_getattr(row, columns.debit, &isnull));
		item_ids[1] = DatumGetInt64(slot_getattr(row, columns.credit, &isnull));
		amounts[1] = slot_getattr(row, columns.amount, &isnull);
		amounts[0] = DirectFunctionCall1(numeric_uminus, amounts[1]);
		for (int side = 0; side < 2; side++)
		{
			ItemChange *change = ItemChangesAdd(changes, company_id, item_ids[side], amounts[side]);

			change->written_off = kind == write_off;
			change->credited = true;	/* unless WriteAllocationEntries knows better */
			change->claimed.credit = side == 1;
			ReadCurrency(change->claimed.currency, slot_getattr(row, columns.currency, &isnull));
		}
		(void) slot_getattr(row, columns.reverses, &isnull);
		reversals = reversals || !isnull;
		MemoryContextReset(row_context);
	}
	MemoryContextSwitchTo(before);
	RowReaderEnd(&reader);
	MemoryContextDelete(row_context);
	return reversals;
}

/* Write the receipt of an item that was inserted without; the values but its own are set. */
static void
WriteReceipt(TableWriter *entries, Oid kind, ItemChange *change, Datum *values, bool *nulls)
{
	Datum		receipt[ENTRY_COLUMNS];

	memcpy(receipt, values, sizeof(receipt));
	receipt[ENTRY_KIND] = ObjectIdGetDatum(kind);
	receipt[ENTRY_AMOUNT] = NumericGetDatum(change->receipt);
	receipt[ENTRY_RAISES] = BoolGetDatum(true);
	receipt[ENTRY_EFFECTIVE] = DateADTGetDatum(change->item.date);
	nulls[ENTRY_ALLOCATION] = true;
	TableWriterInsert(entries, receipt, nulls);
	nulls[ENTRY_ALLOCATION] = false;
	change->receipt = NULL;
}

/* Write the two entries of each new allocation, whose items are locked. */
static void
WriteAllocationEntries(TriggerData *trigdata, ItemChanges *changes)
{
	AllocationColumns columns;
	TableWriter *entries = BeginEntries(trigdata->tg_relation);
	Oid			entry_type = TupleDescAttr(TableWriterDesc(entries),
										   TableWriterAttribute(entries, "kind") - 1)->atttypid;
	Oid			application = EnumValue(entry_type, "application");
	Oid			credit = EnumValue(entry_type, "credit");
	Oid			receipt = EnumValue(entry_type, "receipt");
	Datum		zero = NumericGetDatum(int64_to_numeric(0));
	MemoryContext row_context = AllocSetContextCreate(CurrentMemoryContext, "o2c new entry",
													  ALLOCSET_SMALL_SIZES);
	MemoryContext before;
	Oid			last_kind = InvalidOid;
	bool		by_note = false;
	RowReader	reader;
	TupleTableSlot *row;

	FindAllocationColumns(trigdata, &columns);
	RowReaderBegin(&reader, trigdata->tg_newtable, trigdata->tg_relation);
	before = MemoryContextSwitchTo(row_context);
	while ((row = RowReaderNext(&reader)) != NULL)
	{
		Datum		values[ENTRY_COLUMNS];
		bool		nulls[ENTRY_COLUMNS] = {false};
		bool		isnull;
		int32		company_id = DatumGetInt32(slot_getattr(row, columns.company, &isnull));
		Datum		amount = slot_getattr(row, columns.amount, &isnull);
		DateADT		effective = DatumGetDateADT(slot_getattr(row, columns.effective, &isnull));
		Oid			kind = DatumGetObjectId(slot_getattr(row, columns.kind, &isnull));
		ItemChange *items[2];

		items[0] = ItemChangesFind(changes, company_id,
								   DatumGetInt64(slot_getattr(row, columns.debit, &isnull)));
		items[1] = ItemChangesFind(changes, company_id,
								   DatumGetInt64(slot_getattr(row, columns.credit, &isnull)));
		if (items[1]->kind != last_kind)
		{
			last_kind = items[1]->kind;
			by_note = strcmp(FirstEntryKind(last_kind), "credit") == 0;
		}
		if (kind == application && by_note)
			kind = credit;

		values[ENTRY_COMPANY] = Int32GetDatum(company_id);
		values[ENTRY_CURRENCY] = slot_getattr(row, columns.currency, &isnull);
		values[ENTRY_KIND] = ObjectIdGetDatum(kind);
		values[ENTRY_RAISES] = DirectFunctionCall2(numeric_lt, amount, zero);
		values[ENTRY_EFFECTIVE] = DateADTGetDatum(Max(effective, Max(items[0]->item.date, items[1]->item.date)));
		values[ENTRY_RECORDED] = slot_getattr(row, columns.recorded, &isnull);
		values[ENTRY_ALLOCATION] = slot_getattr(row, columns.id, &isnull);
		for (int side = 0; side < 2; side++)
		{
			items[side]->credited = items[side]->credited && kind == credit;
			values[ENTRY_ITEM] = Int64GetDatum(items[side]->item_id);
			values[ENTRY_CUSTOMER] = Int64GetDatum(items[side]->item.customer_id);
			nulls[ENTRY_CUSTOMER] = items[side]->item.customer_id == NO_ID;
			values[ENTRY_DUE] = DateADTGetDatum(items[side]->item.due_date);
			if (items[side]->receipt != NULL)
				WriteReceipt(entries, receipt, items[side], values, nulls);
			values[ENTRY_AMOUNT] = side == 1 ? amount : DirectFunctionCall1(numeric_uminus, amount);
			TableWriterInsert(entries, values, nulls);
		}
		MemoryContextReset(row_context);
	}
	MemoryContextSwitchTo(before);
	RowReaderEnd(&reader);
	MemoryContextDelete(row_context);
	TableWriterEnd(entries);
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
	ItemChanges changes;

	if (tuplestore_tuple_count(trigdata->tg_newtable) == 0)
		return PointerGetDatum(NULL);
	TriggerFrameBegin(&frame, trigdata);
	ItemChangesBegin(&changes, 2 * tuplestore_tuple_count(trigdata->tg_newtable), false);
	if (CollectAllocations(trigdata, &changes))
		RefuseUnfitReversals();
	ItemChangesMerge(&changes);
	PostChanges(trigdata, &changes, &steps);
	ItemChangesEnd(&changes);
	TriggerFrameEnd(&frame);
	return PointerGetDatum(NULL);
}
