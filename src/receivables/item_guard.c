/*
 * item_guard.c
 *		What only posting may change, and when periods may.
 *
 * o2c_guard_item refuses a client's own change of what posting derives.
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

/*
 * o2c_guard_item(column, ...): BEFORE UPDATE ON open_item, for each row.  The
 * columns named change only through posted entries; posting leaves this trigger out
 * where it can.
 */
Datum
o2c_guard_item(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_guard_item");

	/* at commit a document and its items get their number */
	if (!o2c_posting && !o2c_numbering)
		RefuseDerivedChange(trigdata);
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
