/*
 * posting.c
 *		What the triggers that post have in common.
 *
 * From inserted items (post_items.c), entries (post_entries.c) and allocations
 * (post_allocations.c) to entries, stored open amounts and what follows from
 * them.  What clients may not do themselves is refused in item_guard.c.
 *
 * Concurrency.  Items are locked in the order of their ids before they are
 * updated, and what is open on them with them (balances.c), then their invoices,
 * then (by triggers of open_item) credit accounts.  All changes are relative (open_amount + delta), so what a waiting
 * transaction finds after the lock is added to, never overwritten.  Payments
 * follow their items last (payment_fit.c).
 *
 * Rows are read and written without plans (table_writer.c): this is the path
 * that issuing, cash application and imports all pay for, one row or a million.
 */
#include "receivables/posting.h"

#include "utils/builtins.h"
#include "utils/rel.h"

#include "credit/credit.h"

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

/* Type of such a column. */
Oid
TypeOfColumn(TriggerData *trigdata, const char *name)
{
	return SPI_gettypeid(RelationGetDescr(trigdata->tg_relation), ColumnOf(trigdata, name));
}

/*
 * Open the ledger to write entries; "sibling" is a table of its schema.
 *
 * What the ledger's triggers would do with a million rows is done as they are
 * written: to look at their periods, and nothing else, for they are in their
 * items already; and whoever posts as the owner may write any entry.
 */
void
EntriesBegin(EntryWriter *entries, Relation sibling)
{
	/* in the order of the enum */
	static const char *const columns[] = {
		"company_id", "item_id", "customer_id", "currency", "due_date", "kind", "amount", "raises",
		"effective_on", "recorded_at", "allocation_id"
	};
	TableWriter *rows = TableWriterBegin(TableByName(sibling, "ledger_entry"), CMD_INSERT, columns, lengthof(columns));

	memset(entries, 0, sizeof(EntryWriter));
	entries->rows = rows;
	entries->kind_type = TupleDescAttr(TableWriterDesc(rows), TableWriterAttribute(rows, "kind") - 1)->atttypid;
	entries->periods = TableWriterTakeOver(rows, "post_entries");
	if (MayDecide(TableWriterRelation(rows)))
		(void) TableWriterTakeOver(rows, "_entry_rights");
}

void
EntriesInsert(EntryWriter *entries, const Datum *values, const bool *nulls)
{
	if (entries->periods)
		RefuseClosedPeriod(&entries->open, DatumGetInt32(values[ENTRY_COMPANY]), DatumGetDateADT(values[ENTRY_EFFECTIVE]));
	TableWriterInsert(entries->rows, values, nulls);
}

void
EntriesEnd(EntryWriter *entries)
{
	TableWriterEnd(entries->rows);
}

/* The kind of the first entry of an item. */
const char *
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

/* Note what all items that were changed hand on to invoices. */
static void
NoteInvoices(ItemChanges *changes)
{
	const ItemChange *change;

	RecordsRewind(changes->done);
	while ((change = RecordsNext(changes->done)) != NULL)
		NoteInvoice(changes, change);
}

/*
 * Bring items, invoices and payments to what the parts say, in this order.
 * "steps" says what to do in between: refuse an item that does not fit, and
 * write the entries once the items are locked, unless they were there before;
 * then it is known what invoices take over, and is noted with them.
 */
void
PostChanges(TriggerData *trigdata, ItemChanges *changes, const PostingSteps *steps)
{
	bool		save = o2c_posting;

	o2c_posting = true;
	PG_TRY();
	{
		TableWriter *items = BeginItemUpdate(trigdata->tg_relation);
		bool		credit = TableWriterTakeOver(items, "credit_on_items");
		Balances   *balances = BalancesBegin(trigdata->tg_relation);
		const UnfitItem *unfit;
		TableWriter *invoices;

		/* which would let pass all that this does */
		(void) TableWriterTakeOver(items, "guard_item");
		unfit = UpdateItems(items, balances, changes);
		BalancesEnd(balances);
		if (unfit != NULL)
			steps->refuse(unfit);
		if (steps->write != NULL)
			steps->write(trigdata, changes);
		else
			NoteInvoices(changes);
		invoices = CarryToInvoices(trigdata->tg_relation, changes);
		/* before the trigger of invoices: what it finds of prepayments goes to accounts that are locked by now, all in one order */
		if (credit)
			CreditOnChanges(changes);
		if (invoices != NULL)
			TableWriterEnd(invoices);
		TableWriterEnd(items);
		CarryToPayments(trigdata->tg_relation, changes);
	}
	PG_FINALLY();
	{
		o2c_posting = save;
	}
	PG_END_TRY();
}
