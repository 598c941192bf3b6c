/*
 * posting.c
 *		From inserted items, entries and allocations to stored open amounts.
 *
 * o2c_post_entries, the AFTER INSERT statement trigger of o2c.ledger_entry,
 * adds the entries to open_item.open_amount and carries the change to the
 * invoice.  It is also the referential check of an entry on its item (there is
 * no foreign key and no row trigger on the ledger), and refuses entries into
 * closed periods.
 *
 * o2c_post_items, the AFTER INSERT statement trigger of o2c.open_item, writes
 * the first entry of items that are inserted with open_amount = amount, so
 * that they need no second row version; of an opening balance also the entry
 * of what was paid before.  o2c_post_allocations does it for
 * o2c.allocation: each allocation becomes its two entries.
 * What clients may not do themselves is refused in item_guard.c.
 *
 * Concurrency.  Items are locked in the order of their ids before they are
 * updated, then their invoices, then (by triggers of open_item) credit
 * accounts.  All changes are relative (open_amount + delta), so what a waiting
 * transaction finds after the lock is added to, never overwritten.  Payments
 * follow their items last (payment_fit.c).
 *
 * Rows are read and written without plans (table_writer.c): this is the path
 * that issuing, cash application and imports all pay for, one row or a million.
 */
#include "receivables/posting.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

#include "direct_scan.h"

PG_FUNCTION_INFO_V1(o2c_post_items);
PG_FUNCTION_INFO_V1(o2c_post_entries);
PG_FUNCTION_INFO_V1(o2c_post_allocations);

/*
 * Trigger depth at which o2c_post_entries finds entries whose items already
 * have them in open_amount; 0 for none.
 */
static int	entries_counted_at = 0;

/* What posting changes while it runs, and restores. */
typedef struct PostingState
{
	bool		posting;
	int			counted_at;
} PostingState;

/*
 * Open derived columns to change until PostingEnd; entries that are inserted
 * meanwhile by this trigger itself are in their items already if "counted".
 */
static void
PostingBegin(PostingState *save, bool counted)
{
	save->posting = o2c_posting;
	save->counted_at = entries_counted_at;
	o2c_posting = true;
	if (counted)
		entries_counted_at = DatumGetInt32(DirectFunctionCall1(pg_trigger_depth, (Datum) 0)) + 1;
}

static void
PostingEnd(const PostingState *save)
{
	o2c_posting = save->posting;
	entries_counted_at = save->counted_at;
}

/* Attribute of a column that the trigger's table must have. */
int
ColumnOf(TriggerData *trigdata, const char *name)
{
	int			att = SPI_fnumber(RelationGetDescr(trigdata->tg_relation), name);

	if (att <= 0)
		elog(ERROR, "table \"%s\" has no column \"%s\"",
			 RelationGetRelationName(trigdata->tg_relation), name);
	return att;
}

/* A closed period that takes in the date; false when there is none. */
static bool
IsClosed(int32 company_id, DateADT day, DateADT *from, DateADT *to)
{
	static DirectTable periods = {
		.name = "period", .nkeys = 1,
		.columns = {"company_id", "from_date", "to_date", "closed_at"}
	};
	Snapshot	snapshot;
	DirectScan	scan;
	HeapTuple	tuple;
	bool		closed = false;

	if (!DirectTableResolve(&periods))
		elog(ERROR, "table \"period\" is not as it was installed");
	*from = DATEVAL_NOBEGIN;
	*to = DATEVAL_NOEND;
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	DirectScanBegin(&scan, &periods, AccessShareLock, snapshot, company_id, 0);
	while (!closed && (tuple = DirectScanNext(&scan)) != NULL)
	{
		bool		isnull;
		DateADT		first = DatumGetDateADT(DirectValue(&scan, tuple, 1, &isnull));
		DateADT		last = DatumGetDateADT(DirectValue(&scan, tuple, 2, &isnull));

		(void) DirectValue(&scan, tuple, 3, &isnull);
		if (isnull)
			continue;
		/* the days around this one that no closed period takes in */
		if (last < day)
			*from = Max(*from, last + 1);
		else if (first > day)
			*to = Min(*to, first - 1);
		else
			closed = true;
	}
	DirectScanEnd(&scan, AccessShareLock);
	UnregisterSnapshot(snapshot);
	return closed;
}

/*
 * Refuse new entries whose effective date lies in a closed period.
 *
 * The newest committed state is looked at, whatever the transaction's snapshot
 * is.  Whoever closes a period holds a lock that conflicts with our insertion
 * until it has committed (o2c_guard_period), so none slips through.
 */
static void
RefuseClosedPeriods(TriggerData *trigdata)
{
	int			company_att = ColumnOf(trigdata, "company_id");
	int			effective_att = ColumnOf(trigdata, "effective_on");
	bool		known = false;
	int32		company_id = 0;
	DateADT		from = 0;
	DateADT		to = 0;
	RowReader	reader;
	TupleTableSlot *row;

	RowReaderBegin(&reader, trigdata->tg_newtable, trigdata->tg_relation);
	while ((row = RowReaderNext(&reader)) != NULL)
	{
		bool		isnull;
		int32		company = DatumGetInt32(slot_getattr(row, company_att, &isnull));
		DateADT		day = DatumGetDateADT(slot_getattr(row, effective_att, &isnull));

		if (known && company == company_id && day >= from && day <= to)
			continue;
		if (IsClosed(company, day, &from, &to))
			ereport(ERROR,
					(errcode(ERRCODE_O2C_PERIOD_CLOSED),
					 errmsg("period of %s is closed",
							DatumGetCString(DirectFunctionCall1(date_out, DateADTGetDatum(day)))),
					 errdetail("Company %d takes no entry with that effective date.", company),
					 errhint("Post it with an effective date in an open period.")));
		known = true;
		company_id = company;
	}
	RowReaderEnd(&reader);
}

/* Columns of the entries that the triggers write. */
static const char *const entry_columns[] = {
	"company_id", "item_id", "customer_id", "currency", "due_date", "kind", "amount", "raises",
	"effective_on", "recorded_at", "allocation_id"
};

enum
{
	ENTRY_COMPANY, ENTRY_ITEM, ENTRY_CUSTOMER, ENTRY_CURRENCY, ENTRY_DUE, ENTRY_KIND, ENTRY_AMOUNT,
	ENTRY_RAISES, ENTRY_EFFECTIVE, ENTRY_RECORDED, ENTRY_ALLOCATION, ENTRY_COLUMNS
};

static TableWriter *
BeginEntries(Relation sibling)
{
	return TableWriterBegin(TableByName(sibling, "ledger_entry"), CMD_INSERT,
							entry_columns, lengthof(entry_columns));
}

/* The kind of the first entry of an item. */
static const char *
FirstEntryKind(Oid item_kind)
{
	static const char *const kinds[][2] = {
		{"opening", "opening"}, {"fee", "fee"}, {"interest", "interest"}, {"credit_note", "credit"},
		{"on_account", "receipt"}, {"unidentified", "receipt"}, {"deduction", "charge"}
	};
	char	   *label = DatumGetCString(DirectFunctionCall1(enum_out, ObjectIdGetDatum(item_kind)));

	for (int i = 0; i < lengthof(kinds); i++)
		if (strcmp(label, kinds[i][0]) == 0)
			return kinds[i][1];
	return "invoice";
}

/* Write the first entries of new items, and list those that are open. */
static void
PostNewItems(TriggerData *trigdata, ItemChanges *changes)
{
	Relation	rel = trigdata->tg_relation;
	TupleDesc	desc = RelationGetDescr(rel);
	int			company_att = ColumnOf(trigdata, "company_id");
	int			id_att = ColumnOf(trigdata, "id");
	int			customer_att = ColumnOf(trigdata, "customer_id");
	int			currency_att = ColumnOf(trigdata, "currency");
	int			due_att = ColumnOf(trigdata, "due_date");
	int			date_att = ColumnOf(trigdata, "document_date");
	int			kind_att = ColumnOf(trigdata, "kind");
	int			amount_att = ColumnOf(trigdata, "amount");
	int			open_att = ColumnOf(trigdata, "open_amount");
	int			invoice_att = ColumnOf(trigdata, "invoice_id");
	Oid			opening = EnumValue(TupleDescAttr(desc, kind_att - 1)->atttypid, "opening");
	Datum		zero = NumericGetDatum(int64_to_numeric(0));
	TableWriter *entries = NULL;
	Oid			entry_type = InvalidOid;
	Oid			last_kind = InvalidOid;
	Oid			entry_kind = InvalidOid;
	MemoryContext row_context = AllocSetContextCreate(CurrentMemoryContext, "o2c new item",
													  ALLOCSET_SMALL_SIZES);
	MemoryContext before = CurrentMemoryContext;
	RowReader	reader;
	TupleTableSlot *row;

	RowReaderBegin(&reader, trigdata->tg_newtable, rel);
	while ((row = RowReaderNext(&reader)) != NULL)
	{
		Datum		values[ENTRY_COLUMNS];
		bool		nulls[ENTRY_COLUMNS] = {false};
		bool		isnull;
		Datum		amount = slot_getattr(row, amount_att, &isnull);
		Datum		open = slot_getattr(row, open_att, &isnull);
		Oid			kind = DatumGetObjectId(slot_getattr(row, kind_att, &isnull));
		bool		is_open;
		bool		in_full;

		MemoryContextReset(row_context);
		MemoryContextSwitchTo(row_context);
		is_open = !DatumGetBool(DirectFunctionCall2(numeric_eq, open, zero));
		in_full = DatumGetBool(DirectFunctionCall2(numeric_eq, open, amount));
		if (is_open && !in_full && kind != opening)
			ereport(ERROR,
					(errcode(ERRCODE_O2C_BUSINESS_RULE),
					 errmsg("a new open item is open in full or not at all"),
					 errdetail("open_amount must be equal to amount, then its first entry is posted with it, or 0, then entries follow."),
					 errhint("Insert the item with open_amount = amount and post what was paid as further entries.")));
		MemoryContextSwitchTo(before);
		if (!is_open && kind != opening)
			continue;

		if (entries == NULL)
		{
			entries = BeginEntries(rel);
			entry_type = TupleDescAttr(TableWriterDesc(entries),
									   TableWriterAttribute(entries, "kind") - 1)->atttypid;
		}
		MemoryContextSwitchTo(row_context);
		if (kind != last_kind)
		{
			entry_kind = EnumValue(entry_type, FirstEntryKind(kind));
			last_kind = kind;
		}
		values[ENTRY_COMPANY] = slot_getattr(row, company_att, &isnull);
		values[ENTRY_ITEM] = slot_getattr(row, id_att, &isnull);
		values[ENTRY_CUSTOMER] = slot_getattr(row, customer_att, &nulls[ENTRY_CUSTOMER]);
		values[ENTRY_CURRENCY] = slot_getattr(row, currency_att, &isnull);
		values[ENTRY_DUE] = slot_getattr(row, due_att, &isnull);
		values[ENTRY_KIND] = ObjectIdGetDatum(entry_kind);
		values[ENTRY_AMOUNT] = amount;
		values[ENTRY_RAISES] = BoolGetDatum(true);
		values[ENTRY_EFFECTIVE] = slot_getattr(row, date_att, &isnull);
		values[ENTRY_RECORDED] = TimestampTzGetDatum(GetCurrentTimestamp());
		values[ENTRY_ALLOCATION] = (Datum) 0;
		nulls[ENTRY_ALLOCATION] = true;
		TableWriterInsert(entries, values, nulls);
		if (!in_full)
		{
			values[ENTRY_AMOUNT] = DirectFunctionCall2(numeric_sub, open, amount);
			values[ENTRY_RAISES] = BoolGetDatum(false);
			TableWriterInsert(entries, values, nulls);
		}
		if (is_open)
		{
			Datum		invoice = slot_getattr(row, invoice_att, &isnull);

			if (!isnull)
				ItemChangesAdd(changes, DatumGetInt32(values[ENTRY_COMPANY]),
							   DatumGetInt64(values[ENTRY_ITEM]), open)->invoice_id = DatumGetInt64(invoice);
		}
		MemoryContextSwitchTo(before);
	}
	RowReaderEnd(&reader);
	if (entries != NULL)
		TableWriterEnd(entries);
	MemoryContextDelete(row_context);
}

/* o2c_post_items(): AFTER INSERT ON open_item, REFERENCING NEW TABLE new_rows. */
Datum
o2c_post_items(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_post_items");
	TriggerFrame frame;
	ItemChanges changes;
	PostingState save;

	TriggerFrameBegin(&frame, trigdata);
	ItemChangesBegin(&changes, tuplestore_tuple_count(trigdata->tg_newtable), false);
	PostingBegin(&save, true);
	PG_TRY();
	{
		PostNewItems(trigdata, &changes);
		CarryToInvoices(trigdata->tg_relation, &changes);
	}
	PG_FINALLY();
	{
		PostingEnd(&save);
	}
	PG_END_TRY();
	ItemChangesEnd(&changes);
	TriggerFrameEnd(&frame);
	return PointerGetDatum(NULL);
}

/* Why the entries of new_rows do not fit their items, in words. */
static const char *
EntryFault(void)
{
	static KeptPlan find = {
		.sql = "SELECT CASE WHEN i.id IS NULL THEN pg_catalog.format('Company %s has no open item %s.', n.company_id, n.item_id)"
		"  WHEN i.currency <> n.currency THEN pg_catalog.format('Item %s is in %s, the entry in %s.', i.number, i.currency, n.currency)"
		"  WHEN i.customer_id IS DISTINCT FROM n.customer_id THEN pg_catalog.format('Item %s belongs to customer %s, the entry to %s.', i.number, i.customer_id, n.customer_id)"
		"  WHEN i.due_date <> n.due_date THEN pg_catalog.format('Item %s is due on %s, the entry says %s.', i.number, i.due_date, n.due_date)"
		"  WHEN (i.amount < 0) <> n.credit THEN pg_catalog.format('An entry of kind %s and amount %s does not go with item %s of amount %s; column raises tells entries that add to an item from those that settle it.', n.kind, n.amount, i.number, i.amount)"
		"  ELSE pg_catalog.format('It counts from %s, before %s, the date of item %s.', n.effective_on, i.document_date, i.number) END"
		" FROM new_rows n LEFT JOIN o2c.open_item i ON i.company_id = n.company_id AND i.id = n.item_id"
		" WHERE i.id IS NULL OR i.currency <> n.currency OR i.customer_id IS DISTINCT FROM n.customer_id"
		"  OR i.due_date <> n.due_date OR (i.amount < 0) <> n.credit OR n.effective_on < i.document_date LIMIT 1"
	};

	if (KeptPlanExecute(&find, NULL, NULL, SPI_OK_SELECT) == 0)
		return "Its item was changed meanwhile.";
	return SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
}

/* List the items of new entries, with what the entries say of them. */
static void
CollectEntries(TriggerData *trigdata, ItemChanges *changes)
{
	Relation	rel = trigdata->tg_relation;
	int			company_att = ColumnOf(trigdata, "company_id");
	int			item_att = ColumnOf(trigdata, "item_id");
	int			customer_att = ColumnOf(trigdata, "customer_id");
	int			currency_att = ColumnOf(trigdata, "currency");
	int			due_att = ColumnOf(trigdata, "due_date");
	int			kind_att = ColumnOf(trigdata, "kind");
	int			amount_att = ColumnOf(trigdata, "amount");
	int			effective_att = ColumnOf(trigdata, "effective_on");
	int			credit_att = ColumnOf(trigdata, "credit");
	int			allocation_att = ColumnOf(trigdata, "allocation_id");
	Oid			type = TupleDescAttr(RelationGetDescr(rel), kind_att - 1)->atttypid;
	Oid			write_off = EnumValue(type, "write_off");
	Oid			credit = EnumValue(type, "credit");
	RowReader	reader;
	TupleTableSlot *row;

	RowReaderBegin(&reader, trigdata->tg_newtable, rel);
	while ((row = RowReaderNext(&reader)) != NULL)
	{
		bool		isnull;
		Oid			kind = DatumGetObjectId(slot_getattr(row, kind_att, &isnull));
		ItemChange *change = ItemChangesAdd(changes,
											DatumGetInt32(slot_getattr(row, company_att, &isnull)),
											DatumGetInt64(slot_getattr(row, item_att, &isnull)),
											slot_getattr(row, amount_att, &isnull));

		change->written_off = kind == write_off;
		change->credited = kind == credit;
		change->claimed.customer_id = DatumGetInt64(slot_getattr(row, customer_att, &isnull));
		if (isnull)
			change->claimed.customer_id = NO_ID;
		ReadCurrency(change->claimed.currency, slot_getattr(row, currency_att, &isnull));
		change->claimed.due_date = DatumGetDateADT(slot_getattr(row, due_att, &isnull));
		change->claimed.date = DatumGetDateADT(slot_getattr(row, effective_att, &isnull));
		change->claimed.credit = DatumGetBool(slot_getattr(row, credit_att, &isnull));
		(void) slot_getattr(row, allocation_att, &isnull);
		if (!isnull)
			ereport(ERROR,
					(errcode(ERRCODE_O2C_IMMUTABLE),
					 errmsg("entries of an allocation cannot be written directly"),
					 errdetail("Both are written with the allocation."),
					 errhint("Insert an allocation, or an entry without allocation_id.")));
	}
	RowReaderEnd(&reader);
}

/* o2c_post_entries(): AFTER INSERT ON ledger_entry, REFERENCING NEW TABLE new_rows. */
Datum
o2c_post_entries(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_post_entries");
	TriggerFrame frame;

	if (tuplestore_tuple_count(trigdata->tg_newtable) == 0)
		return PointerGetDatum(NULL);
	TriggerFrameBegin(&frame, trigdata);
	RefuseClosedPeriods(trigdata);
	if (entries_counted_at == 0 ||
		entries_counted_at != DatumGetInt32(DirectFunctionCall1(pg_trigger_depth, (Datum) 0)))
	{
		ItemChanges changes;
		PostingState save;

		ItemChangesBegin(&changes, tuplestore_tuple_count(trigdata->tg_newtable), true);
		CollectEntries(trigdata, &changes);
		ItemChangesMerge(&changes);
		PostingBegin(&save, false);
		PG_TRY();
		{
			TableWriter *items = BeginItemUpdate(trigdata->tg_relation);

			if (UpdateItems(items, &changes) != NULL)
				ereport(ERROR,
						(errcode(ERRCODE_O2C_UNKNOWN_OBJECT),
						 errmsg("ledger entry does not fit its open item"),
						 errdetail("%s", EntryFault()),
						 errhint("Customer, currency and due date of an entry are those of its item, and it counts from the item's date or later.")));
			CarryToInvoices(trigdata->tg_relation, &changes);
			TableWriterEnd(items);
			CarryToPayments(trigdata->tg_relation, &changes);
		}
		PG_FINALLY();
		{
			PostingEnd(&save);
		}
		PG_END_TRY();
		ItemChangesEnd(&changes);
	}
	TriggerFrameEnd(&frame);
	return PointerGetDatum(NULL);
}

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
CollectAllocations(TriggerData *trigdata, const AllocationColumns *columns, ItemChanges *changes)
{
	Oid			type = TupleDescAttr(RelationGetDescr(trigdata->tg_relation), columns->kind - 1)->atttypid;
	Oid			write_off = EnumValue(type, "write_off");
	MemoryContext row_context = AllocSetContextCreate(CurrentMemoryContext, "o2c new allocation",
													  ALLOCSET_SMALL_SIZES);
	MemoryContext before;
	bool		reversals = false;
	RowReader	reader;
	TupleTableSlot *row;

	RowReaderBegin(&reader, trigdata->tg_newtable, trigdata->tg_relation);
	before = MemoryContextSwitchTo(row_context);
	while ((row = RowReaderNext(&reader)) != NULL)
	{
		bool		isnull;
		int32		company_id = DatumGetInt32(slot_getattr(row, columns->company, &isnull));
		int64		item_ids[2];
		Datum		amounts[2];
		Oid			kind = DatumGetObjectId(slot_getattr(row, columns->kind, &isnull));

		item_ids[0] = DatumGetInt64(slot_getattr(row, columns->debit, &isnull));
		item_ids[1] = DatumGetInt64(slot_getattr(row, columns->credit, &isnull));
		amounts[1] = slot_getattr(row, columns->amount, &isnull);
		amounts[0] = DirectFunctionCall1(numeric_uminus, amounts[1]);
		for (int side = 0; side < 2; side++)
		{
			ItemChange *change = ItemChangesAdd(changes, company_id, item_ids[side], amounts[side]);

			change->written_off = kind == write_off;
			change->credited = true;	/* unless WriteAllocationEntries knows better */
			change->claimed.credit = side == 1;
			ReadCurrency(change->claimed.currency, slot_getattr(row, columns->currency, &isnull));
		}
		(void) slot_getattr(row, columns->reverses, &isnull);
		reversals = reversals || !isnull;
		MemoryContextReset(row_context);
	}
	MemoryContextSwitchTo(before);
	RowReaderEnd(&reader);
	MemoryContextDelete(row_context);
	return reversals;
}

/* Write the two entries of each new allocation, whose items are locked. */
static void
WriteAllocationEntries(TriggerData *trigdata, const AllocationColumns *columns, ItemChanges *changes)
{
	TableWriter *entries = BeginEntries(trigdata->tg_relation);
	Oid			entry_type = TupleDescAttr(RelationGetDescr(trigdata->tg_relation),
										   columns->kind - 1)->atttypid;
	Oid			application = EnumValue(entry_type, "application");
	Oid			credit = EnumValue(entry_type, "credit");
	Datum		zero = NumericGetDatum(int64_to_numeric(0));
	MemoryContext row_context = AllocSetContextCreate(CurrentMemoryContext, "o2c new entry",
													  ALLOCSET_SMALL_SIZES);
	MemoryContext before;
	Oid			last_kind = InvalidOid;
	bool		by_note = false;
	RowReader	reader;
	TupleTableSlot *row;

	RowReaderBegin(&reader, trigdata->tg_newtable, trigdata->tg_relation);
	before = MemoryContextSwitchTo(row_context);
	while ((row = RowReaderNext(&reader)) != NULL)
	{
		Datum		values[ENTRY_COLUMNS];
		bool		nulls[ENTRY_COLUMNS] = {false};
		bool		isnull;
		int32		company_id = DatumGetInt32(slot_getattr(row, columns->company, &isnull));
		Datum		amount = slot_getattr(row, columns->amount, &isnull);
		DateADT		effective = DatumGetDateADT(slot_getattr(row, columns->effective, &isnull));
		Oid			kind = DatumGetObjectId(slot_getattr(row, columns->kind, &isnull));
		ItemChange *items[2];

		items[0] = ItemChangesFind(changes, company_id,
								   DatumGetInt64(slot_getattr(row, columns->debit, &isnull)));
		items[1] = ItemChangesFind(changes, company_id,
								   DatumGetInt64(slot_getattr(row, columns->credit, &isnull)));
		if (items[1]->kind != last_kind)
		{
			last_kind = items[1]->kind;
			by_note = strcmp(FirstEntryKind(last_kind), "credit") == 0;
		}
		if (kind == application && by_note)
			kind = credit;

		values[ENTRY_COMPANY] = Int32GetDatum(company_id);
		values[ENTRY_CURRENCY] = slot_getattr(row, columns->currency, &isnull);
		values[ENTRY_KIND] = ObjectIdGetDatum(kind);
		values[ENTRY_RAISES] = DirectFunctionCall2(numeric_lt, amount, zero);
		values[ENTRY_EFFECTIVE] = DateADTGetDatum(Max(effective, Max(items[0]->item.date, items[1]->item.date)));
		values[ENTRY_RECORDED] = slot_getattr(row, columns->recorded, &isnull);
		values[ENTRY_ALLOCATION] = slot_getattr(row, columns->id, &isnull);
		for (int side = 0; side < 2; side++)
		{
			items[side]->credited = items[side]->credited && kind == credit;
			values[ENTRY_ITEM] = Int64GetDatum(items[side]->item_id);
			values[ENTRY_CUSTOMER] = Int64GetDatum(items[side]->item.customer_id);
			nulls[ENTRY_CUSTOMER] = items[side]->item.customer_id == NO_ID;
			values[ENTRY_DUE] = DateADTGetDatum(items[side]->item.due_date);
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

/* o2c_post_allocations(): AFTER INSERT ON allocation, REFERENCING NEW TABLE new_rows. */
Datum
o2c_post_allocations(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_post_allocations");
	TriggerFrame frame;
	AllocationColumns columns;
	ItemChanges changes;
	PostingState save;

	if (tuplestore_tuple_count(trigdata->tg_newtable) == 0)
		return PointerGetDatum(NULL);
	FindAllocationColumns(trigdata, &columns);
	TriggerFrameBegin(&frame, trigdata);
	ItemChangesBegin(&changes, 2 * tuplestore_tuple_count(trigdata->tg_newtable), false);
	if (CollectAllocations(trigdata, &columns, &changes))
		RefuseUnfitReversals();
	ItemChangesMerge(&changes);
	PostingBegin(&save, true);
	PG_TRY();
	{
		TableWriter *items = BeginItemUpdate(trigdata->tg_relation);
		const ItemChange *unfit = UpdateItems(items, &changes);

		if (unfit != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_O2C_UNKNOWN_OBJECT),
					 errmsg("allocation does not fit its open items"),
					 errdetail("%s", AllocationFault(unfit)),
					 errhint("A credit item pays a debit item of the same company in the same currency.")));
		WriteAllocationEntries(trigdata, &columns, &changes);
		CarryToInvoices(trigdata->tg_relation, &changes);
		TableWriterEnd(items);
		CarryToPayments(trigdata->tg_relation, &changes);
	}
	PG_FINALLY();
	{
		PostingEnd(&save);
	}
	PG_END_TRY();
	ItemChangesEnd(&changes);
	TriggerFrameEnd(&frame);
	return PointerGetDatum(NULL);
}
