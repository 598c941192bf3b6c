/*
 * collection.c
 *		What must hold in collections for every client.
 *
 * o2c_promise_guard: whether a promise was kept follows from the ledger; a
 * state that the ledger does not give is refused.
 * o2c_dunning_level_order: the levels of a policy are numbered without gap
 * and apply later the higher they are.
 * o2c_dispute_share: carries disputes to open_item.disputed_amount.
 */
#include "o2c.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(o2c_promise_guard);
PG_FUNCTION_INFO_V1(o2c_dunning_level_order);
PG_FUNCTION_INFO_V1(o2c_dispute_share);

/* A column of a row of the trigger's table; raises when it does not exist. */
static Datum
Column(TriggerData *trigdata, HeapTuple tuple, const char *name, bool *isnull)
{
	TupleDesc	desc = RelationGetDescr(trigdata->tg_relation);
	int			att = SPI_fnumber(desc, name);

	if (att <= 0)
		elog(ERROR, "table \"%s\" has no column \"%s\"",
			 RelationGetRelationName(trigdata->tg_relation), name);
	return SPI_getbinval(tuple, desc, att, isnull);
}

static char *
ColumnText(TriggerData *trigdata, HeapTuple tuple, const char *name)
{
	TupleDesc	desc = RelationGetDescr(trigdata->tg_relation);

	return SPI_getvalue(tuple, desc, SPI_fnumber(desc, name));
}

/* o2c_promise_guard(): BEFORE UPDATE, for each row whose state changes. */
Datum
o2c_promise_guard(PG_FUNCTION_ARGS)
{
	static KeptPlan outcome = {
		.sql = "SELECT o.state FROM o2c._promise_outcomes($1, $3, ARRAY[$2]) o",
		.nargs = 3,
		.argtypes = {INT4OID, INT8OID, DATEOID}
	};
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_promise_guard");
	HeapTuple	oldtuple = trigdata->tg_trigtuple;
	HeapTuple	newtuple = trigdata->tg_newtuple;
	TriggerFrame frame;
	Datum		args[3];
	bool		isnull;
	bool		reverse;
	char	   *derived = NULL;
	char	   *newstate = ColumnText(trigdata, newtuple, "state");
	char	   *oldstate = ColumnText(trigdata, oldtuple, "state");

	reverse = strcmp(newstate, "open") == 0;
	args[0] = Column(trigdata, newtuple, "company_id", &isnull);
	args[1] = Column(trigdata, newtuple, "id", &isnull);
	args[2] = Column(trigdata, newtuple, "settled_on", &isnull);
	if (reverse)				/* by all that the ledger knows */
		args[2] = DateADTGetDatum(DATEVAL_NOEND);
	else if (isnull)			/* a CHECK constraint refuses the row */
		return PointerGetDatum(newtuple);

	TriggerFrameBegin(&frame, trigdata);
	if (KeptPlanExecute(&outcome, args, NULL, SPI_OK_SELECT) == 1)
		derived = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	if (derived == NULL ||
		(reverse ? strcmp(derived, oldstate) == 0 : strcmp(derived, newstate) != 0))
		ereport(ERROR,
				(errcode(ERRCODE_O2C_IMMUTABLE),
				 errmsg("promise " INT64_FORMAT " cannot be set to \"%s\"",
						DatumGetInt64(args[1]), newstate),
				 errdetail("By the ledger it is \"%s\".", derived ? derived : "unknown"),
				 errhint("Record the payment; o2c.settle_promises() derives the states.")));
	TriggerFrameEnd(&frame);
	return PointerGetDatum(newtuple);
}

/* o2c_dunning_level_order(): deferred constraint trigger, for each row. */
Datum
o2c_dunning_level_order(PG_FUNCTION_ARGS)
{
	static KeptPlan wrong = {
		.sql = "SELECT l.level FROM (SELECT l.level, l.days,"
		"  lag(l.level) OVER w AS last_level, lag(l.days) OVER w AS last_days"
		"  FROM o2c.dunning_level l WHERE l.company_id = $1 AND l.policy_id = $2"
		"  WINDOW w AS (ORDER BY l.level)) l"
		" WHERE CASE WHEN l.last_level IS NULL THEN l.level > 1"
		"  ELSE l.level <> l.last_level + 1 OR l.days <= l.last_days END LIMIT 1",
		.nargs = 2,
		.argtypes = {INT4OID, INT8OID}
	};
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_dunning_level_order");
	HeapTuple	tuple = TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event) ?
		trigdata->tg_newtuple : trigdata->tg_trigtuple;
	TriggerFrame frame;
	Datum		args[2];
	bool		isnull;

	args[0] = Column(trigdata, tuple, "company_id", &isnull);
	args[1] = Column(trigdata, tuple, "policy_id", &isnull);
	TriggerFrameBegin(&frame, trigdata);
	if (KeptPlanExecute(&wrong, args, NULL, SPI_OK_SELECT) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_O2C_BUSINESS_RULE),
				 errmsg("dunning level %s of policy " INT64_FORMAT " is out of order",
						SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1),
						DatumGetInt64(args[1])),
				 errdetail("Levels are numbered from 0 or 1 without gap, and each applies after more days than the one before.")));
	TriggerFrameEnd(&frame);
	return PointerGetDatum(NULL);
}

/*
 * o2c_dispute_share(): AFTER INSERT, UPDATE or DELETE, for each statement; the
 * rows concerned are the transition table new_rows.
 */
Datum
o2c_dispute_share(PG_FUNCTION_ARGS)
{
	static KeptPlan lock_items = {
		.sql = "SELECT 1 FROM o2c.open_item i"
		" WHERE (i.company_id, i.id) IN (SELECT n.company_id, n.item_id FROM new_rows n)"
		" ORDER BY i.company_id, i.id FOR NO KEY UPDATE"
	};
	static KeptPlan carry = {
		.sql = "UPDATE o2c.open_item i SET disputed_amount = s.amount"
		" FROM (SELECT k.company_id, k.item_id, coalesce(sum(d.amount), 0) AS amount"
		"       FROM (SELECT DISTINCT n.company_id, n.item_id FROM new_rows n) k"
		"       LEFT JOIN o2c.dispute d ON d.company_id = k.company_id AND d.item_id = k.item_id"
		"        AND d.state <> 'resolved'"
		"       GROUP BY k.company_id, k.item_id) s"
		" WHERE i.company_id = s.company_id AND i.id = s.item_id AND i.disputed_amount <> s.amount"
	};
	static KeptPlan over = {
		.sql = "SELECT i.number, i.disputed_amount, i.amount FROM o2c.open_item i"
		" WHERE (i.company_id, i.id) IN (SELECT n.company_id, n.item_id FROM new_rows n)"
		" AND i.disputed_amount > greatest(i.amount, 0) ORDER BY i.number LIMIT 1"
	};
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_dispute_share");
	TriggerFrame frame;
	bool		save = o2c_posting;

	TriggerFrameBegin(&frame, trigdata);
	(void) KeptPlanExecute(&lock_items, NULL, NULL, SPI_OK_SELECT);
	o2c_posting = true;
	PG_TRY();
	{
		(void) KeptPlanExecute(&carry, NULL, NULL, SPI_OK_UPDATE);
	}
	PG_FINALLY();
	{
		o2c_posting = save;
	}
	PG_END_TRY();
	if (KeptPlanExecute(&over, NULL, NULL, SPI_OK_SELECT) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_O2C_BUSINESS_RULE),
				 errmsg("more of item %s is disputed than it has",
						SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1)),
				 errdetail("Disputed %s of %s.",
						   SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2),
						   SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 3))));
	TriggerFrameEnd(&frame);
	return PointerGetDatum(NULL);
}
