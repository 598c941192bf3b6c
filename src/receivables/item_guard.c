/*
 * item_guard.c
 *		What only posting may change, and when periods may.
 *
 * o2c_guard_item refuses a client's own change of what posting derives, and more
 * being applied to an item than is open on it.
 */
#include "receivables/posting.h"

#include "catalog/namespace.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(o2c_guard_item);
PG_FUNCTION_INFO_V1(o2c_guard_derived);
PG_FUNCTION_INFO_V1(o2c_guard_period);

/* Refuse a change of the columns that the trigger's arguments name. */
static void
RefuseDerivedChange(TriggerData *trigdata)
{
	TupleDesc	desc = RelationGetDescr(trigdata->tg_relation);

	for (int i = 0; i < trigdata->tg_trigger->tgnargs; i++)
	{
		int			att = ColumnOf(trigdata, trigdata->tg_trigger->tgargs[i]);
		Form_pg_attribute attr = TupleDescAttr(desc, att - 1);
		bool		oldnull;
		bool		newnull;
		Datum		oldvalue = SPI_getbinval(trigdata->tg_trigtuple, desc, att, &oldnull);
		Datum		newvalue = SPI_getbinval(trigdata->tg_newtuple, desc, att, &newnull);

		if (oldnull != newnull ||
			(!oldnull && !datum_image_eq(oldvalue, newvalue, attr->attbyval, attr->attlen)))
			ereport(ERROR,
					(errcode(ERRCODE_O2C_IMMUTABLE),
					 errmsg("column \"%s\" of \"%s\" cannot be changed directly",
							trigdata->tg_trigger->tgargs[i],
							RelationGetRelationName(trigdata->tg_relation)),
					 errdetail("It is derived from posted entries."),
					 errhint("Post an entry, an allocation or a further document instead.")));
	}
}

/* "10.00" of a numeric, for messages. */
static char *
AmountText(Datum amount)
{
	return DatumGetCString(DirectFunctionCall1(numeric_out, amount));
}

/*
 * o2c_guard_item(column, ...): BEFORE UPDATE ON open_item, for each row.  The
 * columns named change only through posted entries, and those never apply more
 * to an item than is open on it (O2060).
 */
Datum
o2c_guard_item(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_guard_item");
	TupleDesc	desc = RelationGetDescr(trigdata->tg_relation);
	bool		isnull;
	Datum		amount;
	Datum		open;
	Datum		zero;
	bool		debit;

	if (!o2c_posting)
	{
		/* at commit a document and its items get their number */
		if (!o2c_numbering)
			RefuseDerivedChange(trigdata);
		return PointerGetDatum(trigdata->tg_newtuple);
	}

	amount = SPI_getbinval(trigdata->tg_newtuple, desc, ColumnOf(trigdata, "amount"), &isnull);
	open = SPI_getbinval(trigdata->tg_newtuple, desc, ColumnOf(trigdata, "open_amount"), &isnull);
	if (isnull)
		return PointerGetDatum(trigdata->tg_newtuple);	/* NOT NULL refuses it */
	zero = NumericGetDatum(int64_to_numeric(0));
	debit = DatumGetBool(DirectFunctionCall2(numeric_gt, amount, zero));
	if (DatumGetBool(DirectFunctionCall2(debit ? numeric_lt : numeric_gt, open, zero)) ||
		DatumGetBool(DirectFunctionCall2(debit ? numeric_gt : numeric_lt, open, amount)))
	{
		Datum		before = SPI_getbinval(trigdata->tg_trigtuple, desc,
										   ColumnOf(trigdata, "open_amount"), &isnull);
		char	   *number = SPI_getvalue(trigdata->tg_newtuple, desc,
										  ColumnOf(trigdata, "number"));

		ereport(ERROR,
				(errcode(ERRCODE_O2C_OVER_APPLIED),
				 errmsg("cannot post %s to item \"%s\"",
						AmountText(DirectFunctionCall2(numeric_sub, open, before)), number),
				 errdetail("Of its amount %s, %s is open; %s would be.",
						   AmountText(amount), AmountText(before), AmountText(open)),
				 errhint("Apply at most what is open; the rest stays on the customer's account.")));
	}
	return PointerGetDatum(trigdata->tg_newtuple);
}

/*
 * o2c_guard_derived(column, ...): BEFORE UPDATE, for each row.  The columns
 * named change only through posted entries.
 */
Datum
o2c_guard_derived(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_guard_derived");

	if (!o2c_posting)
		RefuseDerivedChange(trigdata);
	return PointerGetDatum(trigdata->tg_newtuple);
}

/*
 * o2c_guard_period(): BEFORE INSERT, UPDATE or DELETE ON period, for each
 * statement.  Waits for transactions that are posting and keeps new ones
 * waiting until this one ends, so that they see the period as it then is.
 */
Datum
o2c_guard_period(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_guard_period");
	Oid			nspid = RelationGetNamespace(trigdata->tg_relation);
	Oid			ledger = get_relname_relid("ledger_entry", nspid);

	if (!OidIsValid(ledger))
		elog(ERROR, "table \"ledger_entry\" does not exist");
	LockRelationOid(ledger, ShareRowExclusiveLock);
	return PointerGetDatum(NULL);
}
