/*
 * append_only.c
 *		Refuses UPDATE, DELETE and TRUNCATE on tables that money rests on.
 *
 * Attached as a BEFORE statement trigger, it holds for the owner too; what
 * was wrong is corrected by a further row.
 */
#include "o2c.h"

#include "utils/rel.h"

PG_FUNCTION_INFO_V1(o2c_append_only);

/* o2c_append_only(): BEFORE UPDATE, DELETE or TRUNCATE, for each statement. */
Datum
o2c_append_only(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_append_only");
	const char *verb = TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event) ? "update" :
		TRIGGER_FIRED_BY_DELETE(trigdata->tg_event) ? "delete" : "truncate";

	ereport(ERROR,
			(errcode(ERRCODE_O2C_IMMUTABLE),
			 errmsg("cannot %s rows of \"%s\"", verb,
					RelationGetRelationName(trigdata->tg_relation)),
			 errdetail("The table is append-only."),
			 errhint("Correct it with a further entry of its own effective date.")));
	PG_RETURN_NULL();
}
