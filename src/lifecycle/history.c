/*
 * history.c
 *		Master data remembers: who changed what, before and after.
 *
 * One AFTER statement trigger for any table that has company_id and id.  It
 * writes one row for each row that really changed, with the changed columns
 * alone, as the owner of the table, so that nobody can write history himself.
 */
#include "o2c.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/rel.h"

#define MAX_TABLES 16

PG_FUNCTION_INFO_V1(o2c_history_record);

/* Plans of one table: transition tables of other tables have other columns. */
typedef struct HistoryPlans
{
	Oid			relid;
	KeptPlan	insert;
	KeptPlan	update;
	KeptPlan	delete;
} HistoryPlans;

static const KeptPlan insert_plan = {
	.sql = "INSERT INTO o2c.master_history (company_id, entity, entity_id, operation, after, changed_by)"
	" SELECT n.company_id, $1, n.id::text, 'insert', to_jsonb(n), $2 FROM new_rows n",
	.nargs = 2,
	.argtypes = {TEXTOID, TEXTOID}
};
static const KeptPlan update_plan = {
	.sql = "INSERT INTO o2c.master_history (company_id, entity, entity_id, operation, before, after, changed_by)"
	" SELECT x.company_id, $1, x.id::text, 'update', d.before, d.after, $2"
	" FROM (SELECT n.company_id, n.id, to_jsonb(o) AS before, to_jsonb(n) AS after"
	"  FROM new_rows n JOIN old_rows o ON o.company_id = n.company_id AND o.id = n.id"
	"  WHERE n IS DISTINCT FROM o) x"
	" CROSS JOIN LATERAL (SELECT jsonb_object_agg(b.key, b.value) AS before, jsonb_object_agg(b.key, x.after -> b.key) AS after"
	"  FROM jsonb_each(x.before) b WHERE b.value IS DISTINCT FROM x.after -> b.key) d",
	.nargs = 2,
	.argtypes = {TEXTOID, TEXTOID}
};
static const KeptPlan delete_plan = {
	.sql = "INSERT INTO o2c.master_history (company_id, entity, entity_id, operation, before, changed_by)"
	" SELECT o.company_id, $1, o.id::text, 'delete', to_jsonb(o), $2 FROM old_rows o",
	.nargs = 2,
	.argtypes = {TEXTOID, TEXTOID}
};

/* The plans of a table; a table made anew has another oid. */
static HistoryPlans *
PlansOf(Oid relid)
{
	static HistoryPlans tables[MAX_TABLES];
	static int	ntables = 0;
	HistoryPlans *plans;

	for (int i = 0; i < ntables; i++)
		if (tables[i].relid == relid)
			return &tables[i];
	if (ntables < MAX_TABLES)
		plans = &tables[ntables++];
	else
	{
		plans = &tables[relid % MAX_TABLES];
		if (plans->insert.plan != NULL)
			SPI_freeplan(plans->insert.plan);
		if (plans->update.plan != NULL)
			SPI_freeplan(plans->update.plan);
		if (plans->delete.plan != NULL)
			SPI_freeplan(plans->delete.plan);
	}
	plans->relid = relid;
	plans->insert = insert_plan;
	plans->update = update_plan;
	plans->delete = delete_plan;
	return plans;
}

/* o2c_history_record(): AFTER INSERT, UPDATE or DELETE, for each statement. */
Datum
o2c_history_record(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_history_record");
	HistoryPlans *plans = PlansOf(RelationGetRelid(trigdata->tg_relation));
	TriggerFrame frame;
	Datum		args[2];

	TriggerFrameBegin(&frame, trigdata);
	args[0] = CStringGetTextDatum(RelationGetRelationName(trigdata->tg_relation));
	args[1] = CStringGetTextDatum(GetUserNameFromId(frame.save_userid, false));
	KeptPlanExecute(TRIGGER_FIRED_BY_INSERT(trigdata->tg_event) ? &plans->insert :
					TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event) ? &plans->update : &plans->delete,
					args, NULL, SPI_OK_INSERT);
	TriggerFrameEnd(&frame);
	return PointerGetDatum(NULL);
}
