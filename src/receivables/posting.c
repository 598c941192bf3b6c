/*
 * posting.c
 *		From appended ledger entries to the stored open amounts.
 *
 * o2c_post_entries is the AFTER INSERT statement trigger of o2c.ledger_entry:
 * it locks the open items concerned in the order of their ids, adds the
 * entries to open_amount (whose constraint refuses to apply more than there
 * is) and carries the result to the invoice.  It is also the referential
 * check of an entry on its item: entries without an item are refused.
 *
 * o2c_post_allocations is the AFTER INSERT statement trigger of
 * o2c.allocation: each allocation becomes its two entries in one statement.
 *
 * o2c_guard_derived refuses a client's own change of what these derive.
 */
#include "o2c.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(o2c_post_entries);
PG_FUNCTION_INFO_V1(o2c_post_allocations);
PG_FUNCTION_INFO_V1(o2c_guard_derived);

/* Run one statement with derived columns open to change. */
static int
ExecutePosting(KeptPlan *kept, int expected)
{
	bool		save = o2c_posting;
	int			n;

	o2c_posting = true;
	PG_TRY();
	{
		n = KeptPlanExecute(kept, NULL, NULL, expected);
	}
	PG_FINALLY();
	{
		o2c_posting = save;
	}
	PG_END_TRY();
	return n;
}

/* o2c_post_entries(): AFTER INSERT ON ledger_entry, REFERENCING NEW TABLE new_rows. */
Datum
o2c_post_entries(PG_FUNCTION_ARGS)
{
	static KeptPlan lock_items = {
		.sql = "SELECT 1 FROM o2c.open_item i"
		" WHERE (i.company_id, i.id) IN (SELECT n.company_id, n.item_id FROM new_rows n)"
		" ORDER BY i.company_id, i.id FOR NO KEY UPDATE"
	};
	static KeptPlan add_entries = {
		.sql = "UPDATE o2c.open_item i SET open_amount = i.open_amount + d.amount"
		" FROM (SELECT n.company_id, n.item_id, n.customer_id, n.currency, n.due_date, sum(n.amount) AS amount"
		"       FROM new_rows n GROUP BY 1, 2, 3, 4, 5) d"
		" WHERE i.company_id = d.company_id AND i.id = d.item_id"
		" AND i.customer_id IS NOT DISTINCT FROM d.customer_id AND i.currency = d.currency"
		" AND i.due_date = d.due_date"
	};
	static KeptPlan count_items = {
		.sql = "SELECT 1 FROM new_rows n"
		" GROUP BY n.company_id, n.item_id, n.customer_id, n.currency, n.due_date"
	};
	static KeptPlan carry_to_invoice = {
		.sql = "UPDATE o2c.invoice v SET open_amount = s.open_amount,"
		" state = CASE WHEN v.state = 'draft' THEN v.state"
		"   WHEN s.open_amount <> 0 THEN 'issued'::o2c.invoice_state"
		"   WHEN v.state = 'issued' THEN coalesce(s.settled_as, 'paid') ELSE v.state END"
		" FROM (SELECT i.company_id, i.invoice_id, sum(i.open_amount) AS open_amount,"
		"         (SELECT CASE WHEN bool_or(n.kind = 'write_off') THEN 'written_off'::o2c.invoice_state"
		"                      WHEN bool_or(n.kind = 'credit') THEN 'credited'::o2c.invoice_state END"
		"          FROM new_rows n JOIN o2c.open_item k ON k.company_id = n.company_id AND k.id = n.item_id"
		"          WHERE k.company_id = i.company_id AND k.invoice_id = i.invoice_id) AS settled_as"
		"       FROM o2c.open_item i"
		"       WHERE (i.company_id, i.invoice_id) IN"
		"         (SELECT k.company_id, k.invoice_id FROM new_rows n"
		"          JOIN o2c.open_item k ON k.company_id = n.company_id AND k.id = n.item_id"
		"          WHERE k.invoice_id IS NOT NULL)"
		"       GROUP BY 1, 2) s"
		" WHERE v.company_id = s.company_id AND v.id = s.invoice_id"
		" AND v.open_amount IS DISTINCT FROM s.open_amount"
	};
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_post_entries");
	TriggerFrame frame;
	int			updated;

	TriggerFrameBegin(&frame, trigdata);
	(void) KeptPlanExecute(&lock_items, NULL, NULL, SPI_OK_SELECT);
	updated = ExecutePosting(&add_entries, SPI_OK_UPDATE);
	if (updated != KeptPlanExecute(&count_items, NULL, NULL, SPI_OK_SELECT))
		ereport(ERROR,
				(errcode(ERRCODE_O2C_UNKNOWN_OBJECT),
				 errmsg("ledger entry does not fit its open item"),
				 errdetail("Customer, currency and due date of an entry must be those of an existing open item of the same company.")));
	(void) ExecutePosting(&carry_to_invoice, SPI_OK_UPDATE);
	TriggerFrameEnd(&frame);
	return PointerGetDatum(NULL);
}

/* o2c_post_allocations(): AFTER INSERT ON allocation, REFERENCING NEW TABLE new_rows. */
Datum
o2c_post_allocations(PG_FUNCTION_ARGS)
{
	static KeptPlan count = {.sql = "SELECT 1 FROM new_rows n"};
	static KeptPlan post = {
		.sql = "INSERT INTO o2c.ledger_entry (company_id, item_id, customer_id, currency, due_date,"
		" kind, amount, effective_on, recorded_at, allocation_id)"
		" SELECT n.company_id, i.id, i.customer_id, i.currency, i.due_date, n.kind,"
		"  CASE s.side WHEN 1 THEN -n.amount ELSE n.amount END, n.effective_on, n.recorded_at, n.id"
		" FROM new_rows n CROSS JOIN (VALUES (1), (2)) s(side)"
		" JOIN o2c.open_item i ON i.company_id = n.company_id"
		"  AND i.id = CASE s.side WHEN 1 THEN n.debit_item_id ELSE n.credit_item_id END"
		"  AND i.currency = n.currency"
	};
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_post_allocations");
	TriggerFrame frame;

	TriggerFrameBegin(&frame, trigdata);
	if (KeptPlanExecute(&post, NULL, NULL, SPI_OK_INSERT) !=
		2 * KeptPlanExecute(&count, NULL, NULL, SPI_OK_SELECT))
		ereport(ERROR,
				(errcode(ERRCODE_O2C_UNKNOWN_OBJECT),
				 errmsg("allocation does not fit its open items"),
				 errdetail("Both items must exist in the company and have the allocation's currency.")));
	TriggerFrameEnd(&frame);
	return PointerGetDatum(NULL);
}

/*
 * o2c_guard_derived(column, ...): BEFORE UPDATE, for each row.  The columns
 * named change only through posted entries.
 */
Datum
o2c_guard_derived(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_guard_derived");
	TupleDesc	desc = RelationGetDescr(trigdata->tg_relation);

	if (o2c_posting)
		return PointerGetDatum(trigdata->tg_newtuple);

	for (int i = 0; i < trigdata->tg_trigger->tgnargs; i++)
	{
		int			att = SPI_fnumber(desc, trigdata->tg_trigger->tgargs[i]);
		Form_pg_attribute attr;
		bool		oldnull;
		bool		newnull;
		Datum		oldvalue;
		Datum		newvalue;

		if (att <= 0)
			elog(ERROR, "table \"%s\" has no column \"%s\"",
				 RelationGetRelationName(trigdata->tg_relation),
				 trigdata->tg_trigger->tgargs[i]);
		attr = TupleDescAttr(desc, att - 1);
		oldvalue = SPI_getbinval(trigdata->tg_trigtuple, desc, att, &oldnull);
		newvalue = SPI_getbinval(trigdata->tg_newtuple, desc, att, &newnull);
		if (oldnull != newnull ||
			(!oldnull && !datumIsEqual(oldvalue, newvalue, attr->attbyval, attr->attlen)))
			ereport(ERROR,
					(errcode(ERRCODE_O2C_IMMUTABLE),
					 errmsg("column \"%s\" of \"%s\" cannot be changed directly",
							trigdata->tg_trigger->tgargs[i],
							RelationGetRelationName(trigdata->tg_relation)),
					 errdetail("It is derived from posted entries."),
					 errhint("Post an entry, an allocation or a further document instead.")));
	}
	return PointerGetDatum(trigdata->tg_newtuple);
}
