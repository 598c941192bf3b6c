/*
 * invoices.c
 *		From an issued invoice to its order lines.
 *
 * A draft changes nothing: goods that were shipped count as such until their
 * invoice is issued.  Then the lines note what was billed, and the open item
 * that the same transaction posts counts instead.
 */
#include "o2c.h"

#include "catalog/pg_enum.h"
#include "executor/tuptable.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/tuplestore.h"

#include "credit/credit.h"

PG_FUNCTION_INFO_V1(o2c_credit_on_invoices);

/* Whether some row left the state "draft". */
static bool
DraftsLeft(TriggerData *trigdata)
{
	TupleDesc	desc = RelationGetDescr(trigdata->tg_relation);
	int			att = SPI_fnumber(desc, "state");
	TupleTableSlot *oldslot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	TupleTableSlot *newslot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	bool		found = false;

	tuplestore_rescan(trigdata->tg_oldtable);
	tuplestore_rescan(trigdata->tg_newtable);
	while (!found &&
		   tuplestore_gettupleslot(trigdata->tg_oldtable, true, false, oldslot) &&
		   tuplestore_gettupleslot(trigdata->tg_newtable, true, false, newslot))
	{
		bool		isnull;
		Datum		before = slot_getattr(oldslot, att, &isnull);
		Datum		after = slot_getattr(newslot, att, &isnull);
		HeapTuple	tup;

		if (before == after)
			continue;
		tup = SearchSysCache1(ENUMOID, before);
		if (!HeapTupleIsValid(tup))
			elog(ERROR, "cache lookup failed for enum value %u", DatumGetObjectId(before));
		found = strcmp(NameStr(((Form_pg_enum) GETSTRUCT(tup))->enumlabel), "draft") == 0;
		ReleaseSysCache(tup);
	}
	ExecDropSingleTupleTableSlot(oldslot);
	ExecDropSingleTupleTableSlot(newslot);
	return found;
}

/* Lines of invoices that were issued in this statement and bill an order line. */
#define BILLED \
	"SELECT v.company_id, v.order_line_id, sum(v.quantity) AS quantity" \
	" FROM new_rows n JOIN old_rows o ON o.company_id = n.company_id AND o.id = n.id" \
	" JOIN o2c.invoice_line v ON v.company_id = n.company_id AND v.invoice_id = n.id" \
	" WHERE o.state = 'draft' AND n.state NOT IN ('draft', 'void')" \
	" AND v.order_line_id IS NOT NULL AND v.original_line_id IS NULL GROUP BY 1, 2"

/* o2c_credit_on_invoices(): AFTER UPDATE ON invoice, for each statement. */
Datum
o2c_credit_on_invoices(PG_FUNCTION_ARGS)
{
	static KeptPlan lock = {
		.sql = "SELECT count(*) FROM (SELECT 1 FROM o2c.sales_order s WHERE (s.company_id, s.id) IN"
		" (SELECT l.company_id, l.order_id FROM (" BILLED ") b"
		"  JOIN o2c.sales_order_line l ON l.company_id = b.company_id AND l.id = b.order_line_id)"
		" ORDER BY s.company_id, s.id FOR NO KEY UPDATE) x"
	};
	static KeptPlan bill = {
		.sql = "UPDATE o2c.sales_order_line l SET billed = l.billed + b.quantity FROM (" BILLED ") b"
		" WHERE l.company_id = b.company_id AND l.id = b.order_line_id"
	};
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_credit_on_invoices");
	TriggerFrame frame;

	if (o2c_numbering)
		return PointerGetDatum(NULL);

	if (!DraftsLeft(trigdata))
		return PointerGetDatum(NULL);
	TriggerFrameBegin(&frame, trigdata);
	KeptPlanExecute(&lock, NULL, NULL, SPI_OK_SELECT);
	KeptPlanExecuteDerived(&bill, NULL, NULL, SPI_OK_UPDATE);
	TriggerFrameEnd(&frame);
	return PointerGetDatum(NULL);
}
