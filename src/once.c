/*
 * once.c
 *		The same asked for twice at once is done once.
 *
 * A function that looks whether a thing exists and makes it if not waits for
 * whoever does the same before it looks.  Above READ COMMITTED that is not
 * enough: its snapshot may be older than what the other one made.  So it looks
 * with the newest snapshot too, as PostgreSQL's referential triggers do, and
 * who would see something else is told to try again.
 */
#include "o2c.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(o2c_once);

/* What a query, which was executed, answers: a bigint, or null. */
static int64
Answer(int rc, bool *isnull)
{
	Datum		value = (Datum) 0;

	if (rc != SPI_OK_SELECT)
		elog(ERROR, "unexpected result of a look at what exists: %s", SPI_result_code_string(rc));
	*isnull = true;
	if (SPI_processed > 0)
		value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, isnull);
	return *isnull ? 0 : DatumGetInt64(value);
}

/*
 * _once(company, what, key, newest): wait for those who do the same; "newest"
 * is a query for the newest row (a bigint) of company $1 and key $2.
 */
Datum
o2c_once(PG_FUNCTION_ARGS)
{
	int32		company = PG_GETARG_INT32(0);
	char	   *what = text_to_cstring(PG_GETARG_TEXT_PP(1));
	char	   *key = text_to_cstring(PG_GETARG_TEXT_PP(2));
	char	   *lock = psprintf("order2cash.%s %d %s", what, company, key);
	Oid			types[] = {INT4OID, TEXTOID};
	Datum		args[2];
	Snapshot	snapshot;
	SPIPlanPtr	plan;
	bool		unknown[2];
	int64		seen[2];

	DirectFunctionCall1(pg_advisory_xact_lock_int8,
						Int64GetDatum((int64) hash_bytes_extended((unsigned char *) lock, strlen(lock), 0)));
	if (!IsolationUsesXactSnapshot())
		PG_RETURN_VOID();

	args[0] = PG_GETARG_DATUM(0);
	args[1] = PG_GETARG_DATUM(2);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	plan = SPI_prepare(text_to_cstring(PG_GETARG_TEXT_PP(3)), lengthof(types), types);
	if (plan == NULL)
		elog(ERROR, "could not prepare a look at what exists: %s", SPI_result_code_string(SPI_result));
	seen[0] = Answer(SPI_execute_plan(plan, args, NULL, false, 1), &unknown[0]);
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	seen[1] = Answer(SPI_execute_snapshot(plan, args, NULL, snapshot, InvalidSnapshot, true, false, 1), &unknown[1]);
	UnregisterSnapshot(snapshot);
	SPI_finish();
	if (unknown[0] != unknown[1] || seen[0] != seen[1])
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("the same (%s) was done at the same moment", what),
				 errhint("Try the transaction again.")));
	PG_RETURN_VOID();
}
