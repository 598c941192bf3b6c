/*
 * post_items.c
 *		The first entries of new open items.
 *
 * o2c_post_items, the AFTER INSERT statement trigger of o2c.open_item, writes
 * the first entry of items that are inserted with open_amount = amount, so
 * that they need no second row version; of an opening balance also the entry
 * of what was paid before.  It notes what is open on them (balances.c).
 */
#include "receivables/posting.h"

#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

PG_FUNCTION_INFO_V1(o2c_post_items);

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
	EntryWriter entries;
	bool		any = false;
	Balances   *balances = BalancesBegin(rel);
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

		if (!any)
			EntriesBegin(&entries, rel);
		any = true;
		MemoryContextSwitchTo(row_context);
		if (kind != last_kind)
		{
			entry_kind = EnumValue(entries.kind_type, FirstEntryKind(kind));
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
		EntriesInsert(&entries, values, nulls);
		if (!in_full)
		{
			values[ENTRY_AMOUNT] = DirectFunctionCall2(numeric_sub, open, amount);
			values[ENTRY_RAISES] = BoolGetDatum(false);
			EntriesInsert(&entries, values, nulls);
		}
		if (is_open)
		{
			Datum		invoice;
			Balance		balance;

			balance.company_id = DatumGetInt32(values[ENTRY_COMPANY]);
			balance.item_id = DatumGetInt64(values[ENTRY_ITEM]);
			balance.customer_id = nulls[ENTRY_CUSTOMER] ? NO_ID : DatumGetInt64(values[ENTRY_CUSTOMER]);
			balance.due_date = DatumGetDateADT(values[ENTRY_DUE]);
			balance.document_date = DatumGetDateADT(values[ENTRY_EFFECTIVE]);
			balance.currency = values[ENTRY_CURRENCY];
			balance.open_amount = open;
			BalancesAdd(balances, &balance);
			invoice = slot_getattr(row, invoice_att, &isnull);
			if (!isnull)
			{
				ItemChange	change = {.company_id = balance.company_id, .invoice_id = DatumGetInt64(invoice)};

				AmountSet(&change.amount, DatumGetNumeric(open));
				NoteInvoice(changes, &change);
			}
		}
		MemoryContextSwitchTo(before);
	}
	RowReaderEnd(&reader);
	BalancesEnd(balances);
	if (any)
		EntriesEnd(&entries);
	MemoryContextDelete(row_context);
}

/* o2c_post_items(): AFTER INSERT ON open_item, REFERENCING NEW TABLE new_rows. */
Datum
o2c_post_items(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_post_items");
	TriggerFrame frame;
	ItemChanges changes;
	TableWriter *invoices;
	bool		save = o2c_posting;

	if (tuplestore_tuple_count(trigdata->tg_newtable) == 0)
		return PointerGetDatum(NULL);
	TriggerFrameBegin(&frame, trigdata);
	ItemChangesBegin(&changes, InvalidOid, false);
	o2c_posting = true;
	PG_TRY();
	{
		PostNewItems(trigdata, &changes);
		invoices = CarryToInvoices(trigdata->tg_relation, &changes);
		if (invoices != NULL)
			TableWriterEnd(invoices);
	}
	PG_FINALLY();
	{
		o2c_posting = save;
	}
	PG_END_TRY();
	ItemChangesEnd(&changes);
	TriggerFrameEnd(&frame);
	return PointerGetDatum(NULL);
}
