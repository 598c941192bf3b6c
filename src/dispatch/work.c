/*
 * work.c
 *		The frame of the dispatcher's transactions.
 *
 * All SQL runs as the owner of o2c.message in a security-restricted operation:
 * a trigger or function that a user of the database made gains nothing from
 * being run by a background worker.
 */
#include "o2c.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "dispatch/worker.h"

/* A transaction is open that a signal may cancel. */
volatile sig_atomic_t DispatchAtWork = false;

/* What is known is being written down before the process ends. */
bool		DispatchLeaving = false;

static Oid	saved_userid;
static int	saved_sec_context;

/* Begin a transaction of the dispatcher. */
void
BeginWork(const char *activity)
{
	Oid			relid;
	HeapTuple	tup;
	Oid			owner = InvalidOid;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	DispatchAtWork = true;
	if (ShutdownRequestPending && !DispatchLeaving)
		InterruptPending = QueryCancelPending = true;
	pgstat_report_activity(STATE_RUNNING, activity);
	GetUserIdAndSecContext(&saved_userid, &saved_sec_context);
	relid = get_relname_relid("message", get_namespace_oid("o2c", true));
	if (OidIsValid(relid) && HeapTupleIsValid(tup = SearchSysCache1(RELOID, ObjectIdGetDatum(relid))))
	{
		owner = ((Form_pg_class) GETSTRUCT(tup))->relowner;
		ReleaseSysCache(tup);
	}
	if (!OidIsValid(owner))
		ereport(ERROR,
				(errcode(ERRCODE_O2C_NOT_INSTALLED),
				 errmsg("order2cash is not installed in this database")));
	SetUserIdAndSecContext(owner, saved_sec_context | SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_RESTRICTED_OPERATION | SECURITY_NOFORCE_RLS);
	PushActiveSnapshot(GetTransactionSnapshot());
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
}

/* No transaction is open: a signal that was meant for it has nothing to cancel. */
void
WorkOver(void)
{
	DispatchAtWork = false;
	QueryCancelPending = false;
}

/* Commit it; only then is the process itself again. */
void
EndWork(void)
{
	SPI_finish();
	PopActiveSnapshot();
	CommitTransactionCommand();
	WorkOver();
	SetUserIdAndSecContext(saved_userid, saved_sec_context);
	pgstat_report_stat(true);
	pgstat_report_activity(STATE_IDLE, NULL);
	MemoryContextSwitchTo(dispatcher.context);
}

/* Execute a statement, prepared once; returns the number of rows. */
uint64
Execute(Statement *st, Datum *args, const char *nulls)
{
	int			rc;

	if (st->plan == NULL)
	{
		SPIPlanPtr	plan = SPI_prepare(st->sql, st->nargs, st->argtypes);

		if (plan == NULL || SPI_keepplan(plan) != 0)
			elog(ERROR, "could not prepare \"%s\"", st->sql);
		st->plan = plan;
	}
	rc = SPI_execute_plan(st->plan, args, nulls, false, 0);
	if (rc != st->expected)
		elog(ERROR, "unexpected result of \"%s\": %s", st->sql, SPI_result_code_string(rc));
	return SPI_processed;
}

/* The same for a statement that does itself what o2c.message_queue needs. */
uint64
ExecuteKeepingQueue(Statement *st, Datum *args, const char *nulls)
{
	uint64		n;

	DispatchKeepsQueue = true;
	PG_TRY();
	{
		n = Execute(st, args, nulls);
	}
	PG_FINALLY();
	{
		DispatchKeepsQueue = false;
	}
	PG_END_TRY();
	return n;
}

/* A one-dimensional array; nulls may be NULL. */
Datum
ArrayOf(Datum *values, bool *nulls, int n, Oid type)
{
	int16		len;
	bool		byval;
	char		align;
	int			dims[1];
	int			lbs[1] = {1};

	dims[0] = n;
	get_typlenbyvalalign(type, &len, &byval, &align);
	return PointerGetDatum(construct_md_array(values, nulls, 1, dims, lbs,
											  type, len, byval, align));
}

/* Column of the current result. */
Datum
Value(uint64 row, int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, isnull);
}

int64
IntValue(uint64 row, int column)
{
	bool		isnull;
	Datum		d = Value(row, column, &isnull);
	Oid			type = SPI_gettypeid(SPI_tuptable->tupdesc, column);

	if (isnull)
		return 0;
	return type == INT8OID || type == TIMESTAMPTZOID ? DatumGetInt64(d) :
		type == INT2OID ? DatumGetInt16(d) : DatumGetInt32(d);
}

/* A text in UTF-8 in the given context; NULL for SQL NULL. */
char *
TextValue(uint64 row, int column, MemoryContext context)
{
	bool		isnull;
	Datum		d = Value(row, column, &isnull);
	text	   *t;
	char	   *s;
	char	   *result;

	if (isnull)
		return NULL;
	t = DatumGetTextPP(d);
	s = ToUtf8(VARDATA_ANY(t), VARSIZE_ANY_EXHDR(t));
	result = MemoryContextStrdup(context, s);
	pfree(s);
	return result;
}

Jsonb *
JsonbValueOf(uint64 row, int column, MemoryContext context)
{
	bool		isnull;
	Datum		d = Value(row, column, &isnull);
	MemoryContext old;
	Jsonb	   *result;

	if (isnull)
		return NULL;
	old = MemoryContextSwitchTo(context);
	result = DatumGetJsonbPCopy(d);
	MemoryContextSwitchTo(old);
	return result;
}

/*
 * Once after connecting: is there anything to serve?  Sets *idle otherwise.
 */
bool
DispatchSetup(DispatchIdle *idle)
{
	bool		installed;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	installed = OidIsValid(get_extension_oid("order2cash", true)) &&
		OidIsValid(get_relname_relid("message", get_namespace_oid("o2c", true))) &&
		OidIsValid(get_relname_relid("installation", get_namespace_oid("o2c", true)));
	CommitTransactionCommand();
	if (!installed)
	{
		*idle = DISPATCH_NOT_INSTALLED;
		return false;
	}

	BeginWork("checking whether this database may send");
	if (SPI_execute("SELECT EXISTS (SELECT FROM o2c.dispatch_state d WHERE d.company_id = 0 AND d.paused),"
					" o2c._dispatch_armed()", true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read o2c.dispatch_state");
	{
		bool		isnull;
		bool		paused = DatumGetBool(Value(0, 1, &isnull));
		bool		armed = DatumGetBool(Value(0, 2, &isnull));

		*idle = paused ? DISPATCH_PAUSED : armed ? DISPATCH_RUNNING : DISPATCH_NOT_ARMED;
	}
	EndWork();
	return *idle == DISPATCH_RUNNING;
}
