/*
 * payment_fit.c
 *		A payment and its credit item in the subledger fit each other.
 *
 * A payment is applied when nothing is left of its item, whoever posted it.
 * Neither is ever deleted, and what was received never changes, so for the
 * rest it is enough to look when a payment is inserted, when it goes to another
 * item or customer, and when it is returned.
 */
#include "receivables/posting.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(o2c_payment_fit);

/* Payments whose items changed become received or applied. */
void
CarryToPayments(const ItemChanges *changes)
{
	static KeptPlan carry = {
		.sql = "UPDATE o2c.payment p"
		" SET state = CASE WHEN u.settled THEN 'applied' ELSE 'received' END::o2c.payment_state"
		" FROM ROWS FROM (unnest($1), unnest($2), unnest($3)) u(company_id, item_id, settled)"
		" WHERE p.company_id = u.company_id AND p.item_id = u.item_id"
		"  AND p.state = CASE WHEN u.settled THEN 'received' ELSE 'applied' END::o2c.payment_state",
		.nargs = 3,
		.argtypes = {INT4ARRAYOID, INT8ARRAYOID, BOOLARRAYOID}
	};
	Datum	   *columns[3];
	Datum		args[3];
	int			n = 0;

	for (int i = 0; i < 3; i++)
		columns[i] = MemoryContextAllocHuge(changes->context, sizeof(Datum) * Max(changes->n, 1));
	for (int64 i = 0; i < changes->n; i++)
	{
		const ItemChange *change = &changes->list[i];

		/* the item of a payment is a credit that no document made */
		if (!change->item.credit || change->invoice_id != NO_ID)
			continue;
		columns[0][n] = Int32GetDatum(change->company_id);
		columns[1][n] = Int64GetDatum(change->item_id);
		columns[2][n++] = BoolGetDatum(change->settled);
	}
	if (n == 0)
		return;
	args[0] = PointerGetDatum(construct_array(columns[0], n, INT4OID, sizeof(int32), true, TYPALIGN_INT));
	args[1] = PointerGetDatum(construct_array(columns[1], n, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	args[2] = PointerGetDatum(construct_array(columns[2], n, BOOLOID, sizeof(bool), true, TYPALIGN_CHAR));
	KeptPlanExecute(&carry, args, NULL, SPI_OK_UPDATE);
}

/*
 * o2c_payment_fit(): AFTER INSERT, for each statement, REFERENCING NEW TABLE
 * new_rows; and AFTER UPDATE, for each row, as a deferred constraint trigger:
 * in between a function moves the item and the payment one after the other.
 */
Datum
o2c_payment_fit(PG_FUNCTION_ARGS)
{
	static KeptPlan inserted = {
		.sql = "SELECT n.id::text FROM new_rows n"
		" LEFT JOIN o2c.open_item i ON i.company_id = n.company_id AND i.id = n.item_id"
		" LEFT JOIN o2c.bank_line b ON b.company_id = n.company_id AND b.id = n.bank_line_id"
		" WHERE i.id IS NULL OR i.currency::text <> n.currency::text OR i.amount <> - n.amount"
		"  OR i.customer_id IS DISTINCT FROM n.customer_id OR (n.bank_line_id IS NOT NULL AND b.id IS NULL) LIMIT 1"
	};
	static KeptPlan moved = {
		.sql = "SELECT p.id::text FROM o2c.payment p"
		" LEFT JOIN o2c.open_item i ON i.company_id = p.company_id AND i.id = p.item_id"
		" WHERE p.company_id = $1 AND p.id = $2"
		"  AND (i.id IS NULL OR i.currency::text <> p.currency::text OR i.amount < - p.amount"
		"   OR i.customer_id IS DISTINCT FROM p.customer_id OR (i.open_amount <> 0) <> (p.state = 'received'))",
		.nargs = 2,
		.argtypes = {INT4OID, INT8OID}
	};
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_payment_fit");
	TupleDesc	desc = RelationGetDescr(trigdata->tg_relation);
	TriggerFrame frame;
	int			n;

	TriggerFrameBegin(&frame, trigdata);
	if (TRIGGER_FIRED_FOR_STATEMENT(trigdata->tg_event))
		n = KeptPlanExecute(&inserted, NULL, NULL, SPI_OK_SELECT);
	else
	{
		Datum		args[2];
		bool		isnull;

		args[0] = SPI_getbinval(trigdata->tg_newtuple, desc, SPI_fnumber(desc, "company_id"), &isnull);
		args[1] = SPI_getbinval(trigdata->tg_newtuple, desc, SPI_fnumber(desc, "id"), &isnull);
		n = KeptPlanExecute(&moved, args, NULL, SPI_OK_SELECT);
	}
	if (n > 0)
		ereport(ERROR,
				(errcode(ERRCODE_O2C_BUSINESS_RULE),
				 errmsg("payment %s does not fit its open item",
						SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1)),
				 errdetail("The item is a credit of the same customer, currency and amount, and nothing is left on it when the payment was returned."),
				 errhint("Use o2c.record_payment(), o2c.apply_payment() and o2c.return_payment().")));
	TriggerFrameEnd(&frame);
	return PointerGetDatum(NULL);
}
