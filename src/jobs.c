/*
 * jobs.c
 *		CALL o2c.run_jobs(): the tick with a transaction for each job.
 *
 * A PL/pgSQL procedure that sets search_path cannot commit; here every name is
 * qualified instead.  What runs is in sql/functions/85_jobs.sql.
 */
#include "o2c.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/builtins.h"

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

/* run_jobs(now): every due job, each in a transaction of its own. */
Datum
o2c_jobs_run(PG_FUNCTION_ARGS)
{
	bool		atomic = !(fcinfo->context != NULL && IsA(fcinfo->context, CallContext) &&
						   !((CallContext *) fcinfo->context)->atomic);
	Oid			types[3] = {TIMESTAMPTZOID, INT4OID, TEXTOID};
	Oid			counts[2] = {INT8OID, INT8OID};
	Datum		args[3] = {PG_ARGISNULL(0) ? (Datum) 0 : PG_GETARG_DATUM(0)};
	const char *nulls = PG_ARGISNULL(0) ? "n  " : "   ";
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
		Datum		call[3] = {Int32GetDatum(jobs[i].company_id), CStringGetTextDatum(jobs[i].name), args[0]};
		Oid			call_types[3] = {INT4OID, TEXTOID, TIMESTAMPTZOID};
		bool		isnull;
		bool		ok;

		CHECK_FOR_INTERRUPTS();
		Run("SELECT o2c._run_job($1, $2, $3)", 3, call_types, call, NULL);
		ok = DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
		SPI_freetuptable(SPI_tuptable);
		if (!isnull)
		{
			ran++;
			failed += !ok;
		}
		if (!atomic)
			SPI_commit();
	}
	args[0] = Int64GetDatum(ran);
	args[1] = Int64GetDatum(failed);
	Run("SELECT o2c._end_tick($1, $2)", 2, counts, args, NULL);
	SPI_finish();
	PG_RETURN_VOID();
}
