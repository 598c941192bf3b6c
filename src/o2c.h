/*
 * o2c.h
 *		What every room of src/ shares: settings and the frame in which
 *		triggers run SQL.
 *
 * The frame (trigger_frame.c) is how a statement-level trigger reads its
 * transition tables with a kept plan, as the owner of the table and under a
 * fixed search_path, like PostgreSQL's own referential triggers do.
 */
#ifndef O2C_H
#define O2C_H

#include "postgres.h"

#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"

#include "compat.h"
#include "errors.h"

/* Settings, defined in order2cash.c */
extern char *o2c_reason;
extern bool o2c_credit_early_release;

/* A statement text whose plan is kept for the life of the backend. */
typedef struct KeptPlan
{
	const char *sql;
	int			nargs;
	Oid			argtypes[8];
	SPIPlanPtr	plan;
} KeptPlan;

/* What a trigger must restore when it has run its SQL. */
typedef struct TriggerFrame
{
	Oid			save_userid;
	int			save_sec_context;
	int			guc_level;
	bool		save_many_rows;
} TriggerFrame;

/* The same for work that is no trigger's: as a table's owner, few rows. */
typedef TriggerFrame OwnerFrame;

extern void TriggerFrameBegin(TriggerFrame *frame, TriggerData *trigdata);
extern void TriggerFrameEnd(TriggerFrame *frame);
extern void OwnerFrameBegin(OwnerFrame *frame, Relation rel);
extern void OwnerFrameEnd(OwnerFrame *frame);
extern void KeptPlanPrepare(KeptPlan *kept);
extern int	KeptPlanExecute(KeptPlan *kept, Datum *args, const char *nulls,
							int expected);
extern int	KeptPlanExecuteRow(KeptPlan *kept, Datum *args, const char *nulls,
							   int expected);
extern int	KeptPlanExecuteDerived(KeptPlan *kept, Datum *args,
								   const char *nulls, int expected);
extern bool RowsDiffer(TriggerData *trigdata, const char *const *columns);
extern TriggerData *TriggerDataOf(FunctionCallInfo fcinfo, const char *name);

/* True while o2c's own ledger trigger updates derived columns. */
extern bool o2c_posting;

/*
 * True while issued documents get their numbers at commit: triggers that do not
 * care for numbers stay out of the way, because the series is locked.
 */
extern bool o2c_numbering;

/* Writing the match keys of open items (src/cash/keys.c). */
typedef struct MatchKeys MatchKeys;

extern MatchKeys *MatchKeysBegin(Relation item);
extern void MatchKeysPrepare(MatchKeys *match, Relation item);
extern void MatchKeysAdd(MatchKeys *match, struct TupleTableSlot *row);
extern void MatchKeysEnd(MatchKeys *match);

#endif							/* O2C_H */
