/*
 * entry_rights.c
 *		Which entries and items who may write, whatever the statement.
 *
 * Functions run with their caller's rights, so whoever applies money may
 * insert into the ledger.  What may be settled without money or a document is
 * a manager's to decide (o2c.write_off, o2c.approve_refund and the like); from
 * others the ledger takes only what applying money brings with it: discounts
 * that were granted, differences within the tolerance, bank charges, what a
 * returned payment or an identified payer moves, and the undoing of these.
 * Money itself comes with its payment.
 */
#include "receivables/posting.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

PG_FUNCTION_INFO_V1(o2c_entry_rights);
PG_FUNCTION_INFO_V1(o2c_item_rights);
PG_FUNCTION_INFO_V1(o2c_item_paid);

/* Whether the current user decides for himself: owner of the table, manager or admin. */
bool
MayDecide(Relation rel)
{
	static const char *const roles[] = {"o2c_manager", "o2c_admin"};

	if (GetUserId() == rel->rd_rel->relowner)
		return true;
	for (int i = 0; i < lengthof(roles); i++)
	{
		Oid			role = get_role_oid(roles[i], true);

		if (OidIsValid(role) && has_privs_of_role(GetUserId(), role))
			return true;
	}
	return superuser();
}

/* Refuse the row that a query found: kind, amount and number of an item. */
static void
RefuseFound(const char *hint)
{
	HeapTuple	row = SPI_tuptable->vals[0];
	TupleDesc	desc = SPI_tuptable->tupdesc;

	ereport(ERROR,
			(errcode(ERRCODE_O2C_NOT_ALLOWED),
			 errmsg("you may not post %s of %s on item \"%s\"", SPI_getvalue(row, desc, 1),
					SPI_getvalue(row, desc, 2), SPI_getvalue(row, desc, 3)),
			 errdetail("That takes a member of role o2c_manager."),
			 errhint("%s", hint)));
}

/* Run a query over the new rows that returns those that nobody but a manager writes. */
static void
RefuseWhatIsFound(TriggerData *trigdata, KeptPlan *find, const char *hint)
{
	TriggerFrame frame;

	if (tuplestore_tuple_count(trigdata->tg_newtable) == 0 || MayDecide(trigdata->tg_relation))
		return;
	TriggerFrameBegin(&frame, trigdata);
	if (KeptPlanExecute(find, NULL, NULL, SPI_OK_SELECT) > 0)
		RefuseFound(hint);
	TriggerFrameEnd(&frame);
}

/* o2c_entry_rights(): AFTER INSERT ON ledger_entry, REFERENCING NEW TABLE new_rows. */
Datum
o2c_entry_rights(PG_FUNCTION_ARGS)
{
	/* what was settled with payments before counts towards the bounds */
	static KeptPlan find = {
		.sql = "SELECT n.kind, n.amount, i.number FROM new_rows n"
		" JOIN o2c.open_item i ON i.company_id = n.company_id AND i.id = n.item_id"
		" LEFT JOIN o2c.tolerance t ON t.company_id = n.company_id AND t.customer_id = n.customer_id"
		" LEFT JOIN o2c.tolerance d ON d.company_id = n.company_id AND d.customer_id IS NULL"
		" WHERE n.allocation_id IS NULL AND NOT CASE"
		"  WHEN n.reverses_id IS NOT NULL THEN n.kind IN ('discount', 'write_off', 'charge')"
		"   AND EXISTS (SELECT FROM o2c.ledger_entry o WHERE o.company_id = n.company_id AND o.id = n.reverses_id"
		"    AND o.item_id = n.item_id AND o.kind = n.kind AND o.amount = - n.amount AND o.reason LIKE 'payment %')"
		"  WHEN n.kind IN ('discount', 'write_off', 'charge') THEN NOT n.credit AND n.amount < 0"
		"   AND CASE WHEN n.reason ~ '^payment [0-9]{1,18}$' THEN EXISTS (SELECT FROM o2c.payment p"
		"     WHERE p.company_id = n.company_id AND p.id = pg_catalog.substr(n.reason, 9)::bigint) ELSE false END"
		"   AND (SELECT - pg_catalog.sum(e.amount) FROM o2c.ledger_entry e"
		"     WHERE e.company_id = n.company_id AND e.item_id = n.item_id AND e.kind = n.kind AND e.reverses_id IS NULL"
		"      AND e.reason LIKE 'payment %' AND NOT EXISTS (SELECT FROM o2c.ledger_entry r"
		"       WHERE r.company_id = e.company_id AND r.reverses_id = e.id))"
		"    <= CASE n.kind WHEN 'charge' THEN coalesce(least(d.charges, t.charges), 0)"
		"     WHEN 'discount' THEN coalesce(i.discount_amount, 0) + coalesce(least(d.difference, t.difference), 0)"
		"     ELSE o2c.round_amount(coalesce(least(d.difference, t.difference,"
		"      i.amount * least(d.percent, t.percent) / 100), 0), i.currency) END"
		"  WHEN n.kind = 'transfer' THEN n.credit AND i.kind IN ('on_account', 'unidentified')"
		"   AND NOT EXISTS (SELECT FROM new_rows x WHERE x.kind = 'transfer'"
		"    GROUP BY x.company_id, x.currency::text HAVING pg_catalog.sum(x.amount) <> 0)"
		"  WHEN n.kind = 'return' THEN n.credit AND n.amount > 0 AND EXISTS (SELECT FROM o2c.payment p"
		"   WHERE p.company_id = n.company_id AND p.item_id = n.item_id AND p.state = 'returned')"
		/* fees of a reminder that was never sent */
		"  WHEN n.kind = 'credit' THEN NOT n.credit AND n.amount < 0 AND EXISTS (SELECT FROM o2c.dunning_charge h"
		"   WHERE h.company_id = n.company_id AND h.item_id = n.item_id AND h.reversed_on IS NOT NULL)"
		"  ELSE false END LIMIT 1"
	};

	RefuseWhatIsFound(TriggerDataOf(fcinfo, "o2c_entry_rights"), &find,
					  "Apply a payment with o2c.apply_payment(), or ask a manager for o2c.write_off().");
	return PointerGetDatum(NULL);
}

/*
 * o2c_item_rights(): AFTER INSERT ON open_item, REFERENCING NEW TABLE
 * new_rows.  An item stands for a document: who is no manager makes the
 * document, and the item comes with it.
 */
Datum
o2c_item_rights(PG_FUNCTION_ARGS)
{
	static KeptPlan find = {
		.sql = "SELECT n.kind, n.amount, n.number FROM new_rows n"
		" WHERE NOT CASE"
		"  WHEN n.kind IN ('invoice', 'debit_note', 'credit_note') THEN EXISTS (SELECT FROM o2c.invoice v WHERE v.company_id = n.company_id AND v.id = n.invoice_id"
		"    AND v.customer_id = n.customer_id AND (v.kind = 'credit_note') = (n.kind = 'credit_note')"
		"    AND pg_catalog.abs(v.payable_amount) >= (SELECT pg_catalog.sum(pg_catalog.abs(x.amount)) FROM o2c.open_item x"
		"     WHERE x.company_id = n.company_id AND x.invoice_id = n.invoice_id))"
		"  WHEN n.kind IN ('fee', 'interest', 'deduction') THEN n.amount > 0"
		"  WHEN n.kind IN ('on_account', 'unidentified') THEN n.amount < 0"
		"  ELSE false END LIMIT 1"
	};

	RefuseWhatIsFound(TriggerDataOf(fcinfo, "o2c_item_rights"), &find,
					  "Items come with their document: o2c.issue_invoice(), o2c.credit_invoice(), o2c.record_payment().");
	return PointerGetDatum(NULL);
}

/*
 * o2c_item_paid(): AFTER INSERT ON open_item, for each row of money on account
 * or unidentified, when the transaction ends.  The item comes before the
 * payment that names it.  An item that another one was moved to when its payer
 * became known stands for the same payment, and has nothing but what was moved.
 * A manager may post money by an item alone, but for a number that is a
 * payment's: such an item is found by its payment (o2c._open_item_by_number).
 */
Datum
o2c_item_paid(PG_FUNCTION_ARGS)
{
	static KeptPlan unpaid = {
		.sql = "SELECT i.kind, i.amount, i.number FROM o2c.open_item i"
		" WHERE i.company_id = $1 AND i.id = $2 AND NOT CASE"
		"  WHEN i.source_item_id IS NOT NULL AND EXISTS (SELECT FROM o2c.ledger_entry e"
		"   WHERE e.company_id = i.company_id AND e.item_id = i.id AND e.kind = 'receipt') THEN false"
		"  ELSE EXISTS (SELECT FROM o2c.payment p WHERE p.company_id = i.company_id AND p.item_id = i.id)"
		"   OR EXISTS (SELECT FROM o2c.open_item c"
		"    JOIN o2c.payment p ON p.company_id = c.company_id AND p.item_id = c.id"
		"    WHERE c.company_id = i.company_id AND c.source_item_id = i.id AND c.number = i.number"
		"     AND p.amount = - i.amount AND p.currency::text = i.currency::text) END",
		.nargs = 2,
		.argtypes = {INT4OID, INT8OID}
	};
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_item_paid");
	TupleDesc	desc = RelationGetDescr(trigdata->tg_relation);
	Datum		args[2];
	bool		isnull;
	bool		moved;
	bool		decides = MayDecide(trigdata->tg_relation);
	TriggerFrame frame;

	if (decides && !IsPaymentNumber(SPI_getbinval(trigdata->tg_trigtuple, desc, SPI_fnumber(desc, "number"), &isnull)))
		return PointerGetDatum(NULL);
	args[0] = SPI_getbinval(trigdata->tg_trigtuple, desc, SPI_fnumber(desc, "company_id"), &isnull);
	args[1] = SPI_getbinval(trigdata->tg_trigtuple, desc, SPI_fnumber(desc, "id"), &isnull);
	(void) SPI_getbinval(trigdata->tg_trigtuple, desc, SPI_fnumber(desc, "source_item_id"), &moved);
	moved = !moved;
	if (!moved && ItemHasPayment(DatumGetInt32(args[0]), DatumGetInt64(args[1])))
		return PointerGetDatum(NULL);
	TriggerFrameBegin(&frame, trigdata);
	if (KeptPlanExecute(&unpaid, args, NULL, SPI_OK_SELECT) > 0)
	{
		if (decides)
			ereport(ERROR,
					(errcode(ERRCODE_O2C_BUSINESS_RULE),
					 errmsg("item \"%s\" has a payment's number, and no payment",
							SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 3)),
					 errdetail("Numbers that begin with " PAYMENT_NUMBER " stand for the payment with the id behind it."),
					 errhint("Use o2c.record_payment(), or another number.")));
		RefuseFound("Money comes with its payment: o2c.record_payment(), o2c.match_cash().");
	}
	TriggerFrameEnd(&frame);
	return PointerGetDatum(NULL);
}
