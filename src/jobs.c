/*
 * jobs.c
 *		CALL o2c.run_jobs(): the tick with a transaction for each job.
 *
 * A PL/pgSQL procedure that sets search_path cannot commit; here every name is
 * qualified instead.  What runs is in sql/functions/85_jobs.sql.
 *
 * No job keeps the others from running: each has statement_timeout for itself,
 * whatever it raises is its own failure, and that it was begun is committed
 * before it runs, so that one that takes the session or the server with it
 * waits like one that failed.
 */
#include "o2c.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/timeout.h"

PG_FUNCTION_INFO_V1(o2c_jobs_run);

typedef struct DueJob
{
	int32		company_id;
	char	   *name;
} DueJob;

/* Execute one of the tick's functions. */
static void
Run(const char *sql, int nargs, Oid *types, Datum *args, const char *nulls)
{
	if (SPI_execute_with_args(sql, nargs, types, args, nulls, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not execute \"%s\"", sql);
}

/* Execute one of them about a job; false for false and NULL, which *isnull tells. */
static bool
Ask(const char *sql, DueJob *job, Datum at, ErrorData *failure, bool *isnull)
{
	Oid			types[5] = {INT4OID, TEXTOID, TIMESTAMPTZOID, TEXTOID, TEXTOID};
	Datum		args[5] = {Int32GetDatum(job->company_id), CStringGetTextDatum(job->name), at};
	bool		answer;

	if (failure != NULL)
	{
		args[3] = CStringGetTextDatum(unpack_sql_state(failure->sqlerrcode));
		args[4] = CStringGetTextDatum(failure->message ? failure->message : "");
	}
	Run(sql, failure ? 5 : 3, types, args, NULL);
	answer = DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, isnull));
	SPI_freetuptable(SPI_tuptable);
	return answer && !*isnull;
}

/*
 * The same in a subtransaction.  NULL when it went well, else what it raised;
 * that somebody cancels the tick is raised again, that time was up is not.
 */
static ErrorData *
TryAsk(const char *sql, DueJob *job, Datum at, ErrorData *failure, bool *answer, bool *isnull)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile edata = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		*answer = Ask(sql, job, at, failure, isnull);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		edata = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	if (edata != NULL && edata->sqlerrcode == ERRCODE_QUERY_CANCELED &&
		(edata->message_id == NULL ||
		 strcmp(edata->message_id, "canceling statement due to statement timeout") != 0))
		ReThrowError(edata);
	return edata;
}

/* What follows is a statement of its own to statement_timeout. */
static void
RestartStatementTimeout(void)
{
	disable_timeout(STATEMENT_TIMEOUT, false);
	if (StatementTimeout > 0)
		enable_timeout_after(STATEMENT_TIMEOUT, StatementTimeout);
}

/* run_jobs(now): every due job, each in a transaction of its own. */
Datum
o2c_jobs_run(PG_FUNCTION_ARGS)
{
	bool		atomic = !(fcinfo->context != NULL && IsA(fcinfo->context, CallContext) &&
						   !((CallContext *) fcinfo->context)->atomic);
	bool		timed = !atomic && get_timeout_active(STATEMENT_TIMEOUT);
	Oid			types[1] = {TIMESTAMPTZOID};
	Oid			counts[2] = {INT8OID, INT8OID};
	Datum		args[2] = {PG_ARGISNULL(0) ? (Datum) 0 : PG_GETARG_DATUM(0)};
	Datum		at = args[0];
	const char *nulls = PG_ARGISNULL(0) ? "n " : "  ";
	DueJob	   *jobs;
	int			njobs;
	int64		ran = 0;
	int64		failed = 0;

	if (SPI_connect_ext(atomic ? 0 : SPI_OPT_NONATOMIC) != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	Run("SELECT o2c._begin_tick($1)", 1, types, args, nulls);
	Run("SELECT d.company_id, d.name FROM o2c._due_jobs($1) d", 1, types, args, nulls);
	njobs = (int) SPI_processed;
	jobs = palloc(sizeof(DueJob) * Max(njobs, 1));
	for (int i = 0; i < njobs; i++)
	{
		bool		isnull;

		jobs[i].company_id = DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull));
		jobs[i].name = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2);
	}
	SPI_freetuptable(SPI_tuptable);
	if (!atomic)
		SPI_commit();

	for (int i = 0; i < njobs; i++)
	{
		DueJob	   *job = &jobs[i];
		bool		ok = false;
		bool		isnull = false;
		ErrorData  *failure;

		CHECK_FOR_INTERRUPTS();
		if (timed)
			RestartStatementTimeout();
		if (!atomic)
		{
			bool		begun = Ask("SELECT o2c._begin_job($1, $2, $3)", job, at, NULL, &isnull);

			SPI_commit();
			if (!begun)
				continue;
		}
		failure = TryAsk("SELECT o2c._run_job($1, $2, $3)", job, at, NULL, &ok, &isnull);
		if (failure != NULL)
		{
			if (timed)
				RestartStatementTimeout();
			failure = TryAsk("SELECT o2c._job_failed($1, $2, $3, $4, $5)", job, at, failure, &ok, &isnull);
			if (failure != NULL)	/* that it was begun is on record */
				ereport(WARNING,
						(errmsg("the failure of job \"%s\" of company %d could not be recorded: %s",
								job->name, job->company_id, failure->message)));
			ok = isnull = false;
		}
		if (!isnull)
		{
			ran++;
			failed += !ok;
		}
		if (!atomic)
			SPI_commit();
	}
	if (timed)
		RestartStatementTimeout();
	args[0] = Int64GetDatum(ran);
	args[1] = Int64GetDatum(failed);
	Run("SELECT o2c._end_tick($1, $2)", 2, counts, args, NULL);
	SPI_finish();
	PG_RETURN_VOID();
}
