/*
 * trigger_frame.c
 *		Running kept SQL plans inside statement-level triggers.
 *
 * Every enforcing trigger of order2cash that needs SQL does it in one frame:
 * SPI connected, transition tables visible, the owner of the table as current
 * user (with row security not forced, as for foreign keys) and search_path
 * pg_catalog, o2c, pg_temp.  An error leaves the frame through transaction
 * abort, which restores user and settings by itself.
 */
#include "o2c.h"

#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/datum.h"
#include "utils/guc.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

bool		o2c_posting = false;

/*
 * A plan that is kept must not be one made for another size of work: planned
 * over an empty table it would scan it for ever after, planned for a million
 * rows it would hash the table for one.  So few rows use a kept plan that goes
 * by index and nested loops, and many rows are planned afresh, which costs
 * nothing beside their work.
 */
#define KEPT_PLAN_ROWS 256

static bool many_rows = false;

/* Change a setting until the frame ends. */
static void
FrameSetting(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

/* Rows in the statement's transition tables. */
static int64
TransitionRows(TriggerData *trigdata)
{
	int64		rows = 0;

	if (trigdata->tg_newtable != NULL)
		rows = tuplestore_tuple_count(trigdata->tg_newtable);
	if (trigdata->tg_oldtable != NULL)
		rows = Max(rows, tuplestore_tuple_count(trigdata->tg_oldtable));
	return rows;
}

/* Settings, SPI and the owner of "rel" as user, for so many rows of work. */
static void
FrameBegin(TriggerFrame *frame, Relation rel, TriggerData *trigdata, bool many)
{
	frame->save_many_rows = many_rows;
	many_rows = many;

	frame->guc_level = NewGUCNestLevel();
	FrameSetting("search_path", "pg_catalog, o2c, pg_temp");
	/* set both ways: a frame may stand within one for another size of work */
	FrameSetting("enable_seqscan", many_rows ? "on" : "off");
	FrameSetting("enable_hashjoin", many_rows ? "on" : "off");
	FrameSetting("enable_mergejoin", many_rows ? "on" : "off");
	/* a scan that is switched off looks dear enough to be compiled */
	FrameSetting("jit", "off");

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	if (trigdata != NULL)
	{
		int			rc = SPI_register_trigger_data(trigdata);

		if (rc != SPI_OK_TD_REGISTER)
			elog(ERROR, "could not register transition tables: %s",
				 SPI_result_code_string(rc));
	}

	GetUserIdAndSecContext(&frame->save_userid, &frame->save_sec_context);
	SetUserIdAndSecContext(RelationGetForm(rel)->relowner,
						   frame->save_sec_context |
						   SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_NOFORCE_RLS);
}

/* Open the frame; must be paired with TriggerFrameEnd on success. */
void
TriggerFrameBegin(TriggerFrame *frame, TriggerData *trigdata)
{
	FrameBegin(frame, trigdata->tg_relation, trigdata,
			   TransitionRows(trigdata) > KEPT_PLAN_ROWS);
}

/* Close the frame: user, SPI and settings are as before. */
void
TriggerFrameEnd(TriggerFrame *frame)
{
	SetUserIdAndSecContext(frame->save_userid, frame->save_sec_context);
	if (SPI_finish() != SPI_OK_FINISH)
		elog(ERROR, "could not finish SPI");
	AtEOXact_GUC(true, frame->guc_level);
	many_rows = frame->save_many_rows;
}

/* The frame without a trigger, for statements that do not depend on its rows. */
void
OwnerFrameBegin(OwnerFrame *frame, Relation rel)
{
	FrameBegin(frame, rel, NULL, false);
}

void
OwnerFrameEnd(OwnerFrame *frame)
{
	TriggerFrameEnd(frame);
}

/* Prepare a kept plan unless it is. */
void
KeptPlanPrepare(KeptPlan *kept)
{
	SPIPlanPtr	plan;

	if (kept->plan != NULL)
		return;
	/* always one plan for all parameters: it goes by index whatever they are */
	plan = SPI_prepare_cursor(kept->sql, kept->nargs, kept->argtypes,
							  CURSOR_OPT_GENERIC_PLAN);
	if (plan == NULL)
		elog(ERROR, "could not prepare \"%s\": %s", kept->sql,
			 SPI_result_code_string(SPI_result));
	if (SPI_keepplan(plan) != 0)
		elog(ERROR, "could not keep plan of \"%s\"", kept->sql);
	kept->plan = plan;
}

/* Execute the kept plan, preparing it on first use; returns SPI's result code. */
static int
ExecuteKept(KeptPlan *kept, Datum *args, const char *nulls)
{
	KeptPlanPrepare(kept);
	return SPI_execute_plan(kept->plan, args, nulls, false, 0);
}

/*
 * Execute a statement of a trigger; returns SPI_processed.  "expected" is the
 * SPI result code that it must give.
 */
int
KeptPlanExecute(KeptPlan *kept, Datum *args, const char *nulls, int expected)
{
	int			rc;

	if (many_rows)
		rc = SPI_execute_with_args(kept->sql, kept->nargs, kept->argtypes,
								   args, nulls, false, 0);
	else
		rc = ExecuteKept(kept, args, nulls);

	if (rc != expected)
		elog(ERROR, "unexpected result of \"%s\": %s", kept->sql,
			 SPI_result_code_string(rc));
	return (int) SPI_processed;
}

/*
 * Execute a statement that a trigger runs for one row of its work, perhaps
 * many times: always with the kept plan.
 */
int
KeptPlanExecuteRow(KeptPlan *kept, Datum *args, const char *nulls, int expected)
{
	int			rc = ExecuteKept(kept, args, nulls);

	if (rc != expected)
		elog(ERROR, "unexpected result of \"%s\": %s", kept->sql,
			 SPI_result_code_string(rc));
	return (int) SPI_processed;
}

/* Execute a kept plan that changes what only o2c's own triggers may change. */
int
KeptPlanExecuteDerived(KeptPlan *kept, Datum *args, const char *nulls, int expected)
{
	bool		save = o2c_posting;
	int			n;

	o2c_posting = true;
	PG_TRY();
	{
		n = KeptPlanExecute(kept, args, nulls, expected);
	}
	PG_FINALLY();
	{
		o2c_posting = save;
	}
	PG_END_TRY();
	return n;
}

/*
 * Whether an UPDATE changed any of the columns (an array that ends with NULL)
 * in any row: the transition tables hold the old and the new rows in the same
 * order.  Values that are equal and written differently count as changed.
 */
bool
RowsDiffer(TriggerData *trigdata, const char *const *columns)
{
	TupleDesc	desc = RelationGetDescr(trigdata->tg_relation);
	TupleTableSlot *oldslot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	TupleTableSlot *newslot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	int			att[16];
	int			natts = 0;
	bool		differ = false;

	for (; columns[natts] != NULL; natts++)
	{
		Assert(natts < lengthof(att));
		att[natts] = SPI_fnumber(desc, columns[natts]);
		if (att[natts] <= 0)
			elog(ERROR, "table \"%s\" has no column \"%s\"",
				 RelationGetRelationName(trigdata->tg_relation), columns[natts]);
	}
	tuplestore_rescan(trigdata->tg_oldtable);
	tuplestore_rescan(trigdata->tg_newtable);
	while (!differ &&
		   tuplestore_gettupleslot(trigdata->tg_oldtable, true, false, oldslot) &&
		   tuplestore_gettupleslot(trigdata->tg_newtable, true, false, newslot))
	{
		for (int i = 0; !differ && i < natts; i++)
		{
			Form_pg_attribute attr = TupleDescAttr(desc, att[i] - 1);
			bool		oldnull;
			bool		newnull;
			Datum		before = slot_getattr(oldslot, att[i], &oldnull);
			Datum		after = slot_getattr(newslot, att[i], &newnull);

			differ = oldnull != newnull ||
				(!oldnull && !datum_image_eq(before, after, attr->attbyval, attr->attlen));
		}
	}
	ExecDropSingleTupleTableSlot(oldslot);
	ExecDropSingleTupleTableSlot(newslot);
	return differ;
}

/* The trigger data of a call, or an error that names the function. */
TriggerData *
TriggerDataOf(FunctionCallInfo fcinfo, const char *name)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("%s must be called as a trigger", name)));
	return (TriggerData *) fcinfo->context;
}
