/*
 * post_entries.c
 *		From inserted entries to the open amounts of their items.
 *
 * o2c_post_entries, the AFTER INSERT statement trigger of o2c.ledger_entry,
 * adds the entries to open_item.open_amount and carries the change to the
 * invoice.  It is also the referential check of an entry on its item (there is
 * no foreign key and no row trigger on the ledger), and refuses entries into
 * closed periods.  It does not fire for the entries that posting itself writes;
 * those are looked at as they are written (posting.c).
 */
#include "receivables/posting.h"

#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

#include "direct_scan.h"

PG_FUNCTION_INFO_V1(o2c_post_entries);

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
 * Refuse an entry that counts from a day in a closed period; "open" keeps what is known.
 *
 * The newest committed state is looked at, whatever the transaction's snapshot
 * is.  Whoever closes a period holds a lock that conflicts with our insertion
 * until it has committed (o2c_guard_period), so none slips through.
 */
void
RefuseClosedPeriod(OpenDays *open, int32 company_id, DateADT day)
{
	if (open->known && company_id == open->company_id && day >= open->from && day <= open->to)
		return;
	if (IsClosed(company_id, day, &open->from, &open->to))
		ereport(ERROR,
				(errcode(ERRCODE_O2C_PERIOD_CLOSED),
				 errmsg("period of %s is closed",
						DatumGetCString(DirectFunctionCall1(date_out, DateADTGetDatum(day)))),
				 errdetail("Company %d takes no entry with that effective date.", company_id),
				 errhint("Post it with an effective date in an open period.")));
	open->known = true;
	open->company_id = company_id;
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
	OpenDays	open = {0};
	int64		n = 0;
	MemoryContext row_context = AllocSetContextCreate(CurrentMemoryContext, "o2c new entry",
													  ALLOCSET_SMALL_SIZES);
	MemoryContext before = CurrentMemoryContext;
	RowReader	reader;
	TupleTableSlot *row;

	RowReaderBegin(&reader, trigdata->tg_newtable, rel);
	MemoryContextSwitchTo(row_context);
	while ((row = RowReaderNext(&reader)) != NULL)
	{
		bool		isnull;
		int32		company_id = DatumGetInt32(slot_getattr(row, company_att, &isnull));
		ItemPart   *part = ItemChangesAdd(changes, company_id,
										  DatumGetInt64(slot_getattr(row, item_att, &isnull)));

		part->row = n++;
		part->kind = DatumGetObjectId(slot_getattr(row, kind_att, &isnull));
		AmountSet(&part->amount, DatumGetNumeric(slot_getattr(row, amount_att, &isnull)));
		part->of.entry.customer_id = DatumGetInt64(slot_getattr(row, customer_att, &isnull));
		if (isnull)
			part->of.entry.customer_id = NO_ID;
		ReadCurrency(part->currency, slot_getattr(row, currency_att, &isnull));
		part->of.entry.due_date = DatumGetDateADT(slot_getattr(row, due_att, &isnull));
		part->effective = DatumGetDateADT(slot_getattr(row, effective_att, &isnull));
		RefuseClosedPeriod(&open, company_id, part->effective);
		part->credit = DatumGetBool(slot_getattr(row, credit_att, &isnull));
		(void) slot_getattr(row, allocation_att, &isnull);
		if (!isnull)
			ereport(ERROR,
					(errcode(ERRCODE_O2C_IMMUTABLE),
					 errmsg("entries of an allocation cannot be written directly"),
					 errdetail("Both are written with the allocation."),
					 errhint("Insert an allocation, or an entry without allocation_id.")));
		MemoryContextReset(row_context);
	}
	MemoryContextSwitchTo(before);
	RowReaderEnd(&reader);
	MemoryContextDelete(row_context);
}

static void
RefuseEntry(const UnfitItem *unfit)
{
	ereport(ERROR,
			(errcode(ERRCODE_O2C_UNKNOWN_OBJECT),
			 errmsg("ledger entry does not fit its open item"),
			 errdetail("%s", EntryFault()),
			 errhint("Customer, currency and due date of an entry are those of its item, and it counts from the item's date or later.")));
}

/* o2c_post_entries(): AFTER INSERT ON ledger_entry, REFERENCING NEW TABLE new_rows. */
Datum
o2c_post_entries(PG_FUNCTION_ARGS)
{
	static const PostingSteps steps = {.refuse = RefuseEntry};
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_post_entries");
	TriggerFrame frame;
	ItemChanges changes;

	if (tuplestore_tuple_count(trigdata->tg_newtable) == 0)
		return PointerGetDatum(NULL);
	TriggerFrameBegin(&frame, trigdata);
	ItemChangesBegin(&changes, TypeOfColumn(trigdata, "kind"), true);
	CollectEntries(trigdata, &changes);
	PostChanges(trigdata, &changes, &steps);
	ItemChangesEnd(&changes);
	TriggerFrameEnd(&frame);
	return PointerGetDatum(NULL);
}
