/*
 * aging_report.c
 *		o2c.aging(): arguments, the way to the lines, and the rows of the answer.
 */
#include "o2c.h"

#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/tstoreReceiver.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "receivables/aging_lines.h"
#include "types/types.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

PG_FUNCTION_INFO_V1(o2c_aging_report);
PG_FUNCTION_INFO_V1(o2c_aging_lines);
PG_FUNCTION_INFO_V1(o2c_aging_path);

static const char *const path_names[] = {"stored", "rollback", "full"};

/* Customers that have lines, to find their codes. */
typedef struct CustomerEntry
{
	int64		id;
	char		status;
	AgingLine  *lines;
} CustomerEntry;

#define SH_PREFIX customers
#define SH_ELEMENT_TYPE CustomerEntry
#define SH_KEY_TYPE int64
#define SH_KEY id
#define SH_HASH_KEY(tb, key) HashCustomer(key, 0)
#define SH_EQUAL(tb, a, b) ((a) == (b))
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/* Takes the codes of customers, (id, code), for those that have lines. */
static bool
ReceiveCode(TupleTableSlot *slot, DestReceiver *self)
{
	AgingReceiver *receiver = (AgingReceiver *) self;
	CustomerEntry *entry;

	slot_getallattrs(slot);
	entry = customers_lookup(receiver->customers, DatumGetInt64(slot->tts_values[0]));
	if (entry != NULL)
	{
		text	   *code = DatumGetTextPP(slot->tts_values[1]);
		text	   *copy = MemoryContextAlloc(receiver->aging->context, VARSIZE_ANY(code));

		memcpy(copy, code, VARSIZE_ANY(code));
		for (AgingLine *line = entry->lines; line != NULL; line = line->of_customer)
			line->code = copy;
	}
	return true;
}

/*
 * Look up the codes of the customers that have lines: of a few one by one, of
 * many by reading all.
 */
static void
ReadCodes(Aging *aging)
{
	static KeptPlan all = {
		.sql = "SELECT c.id, c.code FROM o2c.customer c WHERE c.company_id = $1",
		.nargs = 1, .argtypes = {INT4OID}
	};
	static KeptPlan some = {
		.sql = "SELECT c.id, c.code FROM pg_catalog.unnest($2) u (id)"
		" CROSS JOIN LATERAL (SELECT k.id, k.code FROM o2c.customer k WHERE k.company_id = $1 AND k.id = u.id OFFSET 0) c",
		.nargs = 2, .argtypes = {INT4OID, INT8ARRAYOID}
	};
	AgingReceiver receiver = {.aging = aging};
	ParamListInfo params = makeParamList(2);
	KeptPlan   *kept = &all;
	Oid			customer = get_relname_relid("customer", get_namespace_oid("o2c", false));
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(customer));
	float4		in_table;
	int			wanted;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "table \"customer\" does not exist");
	in_table = ((Form_pg_class) GETSTRUCT(tuple))->reltuples;
	ReleaseSysCache(tuple);

	receiver.customers = customers_create(aging->context, aging->nlines, NULL);
	for (AgingLine *line = aging->first_line; line != NULL; line = line->next)
	{
		CustomerEntry *entry;
		bool		found;

		if (line->currency & NO_CUSTOMER)
			continue;
		entry = customers_insert(receiver.customers, line->customer, &found);
		line->of_customer = found ? entry->lines : NULL;
		entry->lines = line;
	}
	wanted = receiver.customers->members;
	if (wanted == 0)
		return;

	params->params[0] = aging->params->params[PARAM_COMPANY];
	params->numParams = 1;
	if (wanted < 100 || wanted * 20.0 < in_table)
	{
		Datum	   *ids = palloc(wanted * sizeof(Datum));
		customers_iterator i;
		CustomerEntry *entry;
		int			n = 0;

		customers_start_iterate(receiver.customers, &i);
		while ((entry = customers_iterate(receiver.customers, &i)) != NULL)
			ids[n++] = Int64GetDatum(entry->id);
		kept = &some;
		params->numParams = 2;
		params->params[1].value = PointerGetDatum(construct_array(ids, n, INT8OID, sizeof(int64),
																  FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
		params->params[1].isnull = false;
		params->params[1].pflags = PARAM_FLAG_CONST;
		params->params[1].ptype = INT8ARRAYOID;
	}
	AgingRunInto(AgingPlanOf(kept, kept->nargs, kept->argtypes), params, &receiver, ReceiveCode);
}

/* Buckets of a line as numeric[]; "to" is large enough. */
static Datum
BucketArray(Aging *aging, AgingLine *line, int digits, char *to)
{
	ArrayType  *array = (ArrayType *) to;
	int			n = aging->nbounds + 1;
	char	   *p;

	array->ndim = 1;
	array->dataoffset = 0;
	array->elemtype = NUMERICOID;
	ARR_DIMS(array)[0] = n;
	ARR_LBOUND(array)[0] = 1;
	p = ARR_DATA_PTR(array);
	for (int i = 0; i < n; i++)
	{
		Size		size = AgingPutNumeric(p, SumOf(line, i), digits);
		Size		aligned = INTALIGN(size);

		memset(p + size, 0, aligned - size);
		p += aligned;
	}
	SET_VARSIZE(array, p - to);
	return PointerGetDatum(array);
}

/*
 * Return the lines that have something: of o2c.aging() with the customer's
 * code, of o2c._aging() with its id.
 */
static void
ReturnLines(FunctionCallInfo fcinfo, Aging *aging, bool codes)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	char	   *array = palloc(ARR_OVERHEAD_NONULLS(1) + (aging->nbounds + 1) * AGING_NUMERIC_SIZE);
	union
	{
		char		data[AGING_NUMERIC_SIZE];
		int32		align;
	}			unapplied, total, disputed;
	struct
	{
		int32		header;
		char		code[4];
	}			currency;

	if (codes)
		ReadCodes(aging);
	SET_VARSIZE(&currency, VARHDRSZ + 3);
	for (AgingLine *line = aging->first_line; line != NULL; line = line->next)
	{
		Datum		values[6];
		bool		nulls[6] = {0};
		int128		sum = 0;
		bool		any = false;
		int			digits;

		for (int i = 0; i < DISPUTED(aging); i++)
		{
			int128		x = SumOf(line, i);

			any = any || x != 0;
			if (__builtin_add_overflow(sum, x, &sum))
				AgingRefuseAmount();
		}
		if (!any)
			continue;
		if (codes)
		{
			values[0] = PointerGetDatum(line->code);
			nulls[0] = line->code == NULL;
		}
		else
		{
			values[0] = Int64GetDatum(line->customer);
			nulls[0] = (line->currency & NO_CUSTOMER) != 0;
		}
		currency.code[0] = (char) line->currency;
		currency.code[1] = (char) (line->currency >> 8);
		currency.code[2] = (char) (line->currency >> 16);
		digits = CurrencyMinorUnit(currency.code, 3);
		if (digits < 0)
			elog(ERROR, "currency \"%.3s\" has no minor unit", currency.code);
		values[1] = PointerGetDatum(&currency);
		values[2] = BucketArray(aging, line, digits, array);
		(void) AgingPutNumeric(unapplied.data, SumOf(line, UNAPPLIED(aging)), digits);
		values[3] = PointerGetDatum(&unapplied);
		(void) AgingPutNumeric(total.data, sum, digits);
		values[4] = PointerGetDatum(&total);
		(void) AgingPutNumeric(disputed.data, SumOf(line, DISPUTED(aging)), digits);
		values[5] = PointerGetDatum(&disputed);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
}

/* Run a statement for a single row; returns whether there is one. */
static bool
OneRow(KeptPlan *kept, Datum *args, const char *nulls)
{
	KeptPlanPrepare(kept);
	if (SPI_execute_plan(kept->plan, args, nulls, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not execute \"%s\"", kept->sql);
	return SPI_processed > 0;
}

/* Column of the row that the last statement returned. */
static Datum
RowValue(int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column, isnull);
}

/* An argument that is one of a few words; the first is the default. */
static int
Choice(FunctionCallInfo fcinfo, int arg, const char *what, const char *const *words,
	   int nwords, const char *hint)
{
	char	   *given = PG_ARGISNULL(arg) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(arg));

	for (int i = 0; given != NULL && i < nwords; i++)
		if (strcmp(given, words[i]) == 0)
			return i;
	ereport(ERROR,
			(errcode(ERRCODE_O2C_INVALID_ARGUMENT),
			 errmsg("%s \"%s\" is not known", what, given != NULL ? given : "NULL"),
			 errhint("%s", hint)));
}

/* The array of bounds, which must be given. */
static ArrayType *
BoundsArray(FunctionCallInfo fcinfo, int arg)
{
	if (PG_ARGISNULL(arg))
		ereport(ERROR,
				(errcode(ERRCODE_O2C_INVALID_ARGUMENT),
				 errmsg("bounds of aging buckets must not be null")));
	return PG_GETARG_ARRAYTYPE_P(arg);
}

/*
 * What an aging has to know of its company: the date, which is today's when
 * none is given, when its day ends, and the last date that an entry counts
 * from.  Returns whether there is the company.
 */
static bool
LookUpCompany(Datum *args, const char *nulls, DateADT *as_of, TimestampTz *resolved,
			  bool *last_is_null, DateADT *last_on)
{
	static KeptPlan kept = {
		.sql = "SELECT d.as_of, CASE WHEN d.as_of BETWEEN '4000-01-01 BC' AND '290000-01-01'"
		"   THEN (d.as_of + 1)::pg_catalog.timestamp AT TIME ZONE d.time_zone ELSE 'infinity' END,"
		"  (SELECT pg_catalog.max(e.effective_on) FROM o2c.ledger_entry e WHERE e.company_id = $1)"
		" FROM (SELECT coalesce($2, (pg_catalog.now() AT TIME ZONE c.time_zone)::pg_catalog.date) AS as_of, c.time_zone"
		"  FROM o2c.company c WHERE c.company_id = $1) d",
		.nargs = 2, .argtypes = {INT4OID, DATEOID}
	};
	bool		isnull;

	if (!OneRow(&kept, args, nulls))
		return false;
	*as_of = DatumGetDateADT(RowValue(1, &isnull));
	*resolved = DatumGetTimestampTz(RowValue(2, &isnull));
	*last_on = DatumGetDateADT(RowValue(3, last_is_null));
	return true;
}

/* Id of a customer by its code; an error when there is none. */
static int64
CustomerByCode(Datum company, Datum code)
{
	static KeptPlan kept = {
		.sql = "SELECT o2c._customer_id($1, $2)", .nargs = 2, .argtypes = {INT4OID, TEXTOID}
	};
	Datum		args[2] = {company, code};
	bool		isnull;

	(void) OneRow(&kept, args, NULL);
	return DatumGetInt64(RowValue(1, &isnull));
}

/* Refuse a company that is not there, or not for the caller. */
static void
RefuseCompany(Datum company, bool isnull)
{
	static KeptPlan kept = {
		.sql = "SELECT o2c._require_company($1)", .nargs = 1, .argtypes = {INT4OID}
	};
	char		null = isnull ? 'n' : ' ';

	(void) OneRow(&kept, &company, &null);
	elog(ERROR, "company could not be read");
}

/*
 * Return what o2c._aging_summary() makes of the lines of customers, in the
 * order of the arguments of o2c.aging().
 */
static void
ReturnSummary(FunctionCallInfo fcinfo, DateADT as_of, bool one, int64 customer)
{
	static KeptPlan kept = {
		.sql = "SELECT s.* FROM o2c._aging_summary($1, $2, $3, $4, $5, $6, $7, $8, $9) s"
	};
	static const Oid argtypes[] = {
		INT4OID, DATEOID, INT4ARRAYOID, TEXTOID, TIMESTAMPTZOID, TEXTOID, TEXTOID, TEXTOID, INT8OID
	};
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	ParamListInfo params = makeParamList(lengthof(argtypes));
	SPIExecuteOptions options = {0};

	for (int i = 0; i < lengthof(argtypes); i++)
	{
		params->params[i].value = fcinfo->args[i].value;
		params->params[i].isnull = fcinfo->args[i].isnull;
		params->params[i].pflags = PARAM_FLAG_CONST;
		params->params[i].ptype = argtypes[i];
	}
	params->params[1].value = DateADTGetDatum(as_of);
	params->params[1].isnull = false;
	params->params[8].value = Int64GetDatum(customer);
	params->params[8].isnull = !one;
	options.params = params;
	options.read_only = true;
	options.dest = CreateDestReceiver(DestTuplestore);
	SetTuplestoreDestReceiverParams(options.dest, rsinfo->setResult, CurrentMemoryContext,
									false, NULL, NULL);
	if (SPI_execute_plan_extended(AgingPlanOf(&kept, lengthof(argtypes), argtypes), &options) != SPI_OK_SELECT)
		elog(ERROR, "could not sum up an aging");
	options.dest->rDestroy(options.dest);
}

static const char *const bases[] = {"due", "document"};
static const char *const treatments[] = {"separate", "aged", "netted"};
static const char *const groupings[] = {"customer", "group", "company"};

static int
BasisArgument(FunctionCallInfo fcinfo, int arg)
{
	return Choice(fcinfo, arg, "basis", bases, lengthof(bases), "Use due or document.");
}

/*
 * o2c_aging_report(company, as_of, bounds, basis, known_at, credits, grouped_by,
 * in_currency, customer): the SQL function o2c.aging.
 */
Datum
o2c_aging_report(PG_FUNCTION_ARGS)
{
	Datum		args[2] = {PG_GETARG_DATUM(0), PG_GETARG_DATUM(1)};
	char		nulls[3] = {PG_ARGISNULL(0) ? 'n' : ' ', PG_ARGISNULL(1) ? 'n' : ' ', '\0'};
	bool		one = !PG_ARGISNULL(8);
	int64		customer = 0;
	ArrayType  *bounds;
	int			nbounds;
	int			basis;
	int			credits;
	int			grouped_by;
	DateADT		as_of;
	TimestampTz resolved;
	bool		last_is_null;
	DateADT		last_on;

	if (!PG_ARGISNULL(1) && DATE_NOT_FINITE(PG_GETARG_DATEADT(1)))
		ereport(ERROR,
				(errcode(ERRCODE_O2C_INVALID_DATE),
				 errmsg("the date of an aging must be finite")));
	basis = BasisArgument(fcinfo, 3);
	credits = Choice(fcinfo, 5, "treatment of credits", treatments, lengthof(treatments),
					 "Use separate, aged or netted.");
	grouped_by = Choice(fcinfo, 6, "grouping", groupings, lengthof(groupings),
						"Use customer, group or company.");
	bounds = BoundsArray(fcinfo, 2);
	(void) AgingBounds(bounds, &nbounds);

	InitMaterializedSRF(fcinfo, 0);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	if (!LookUpCompany(args, nulls, &as_of, &resolved, &last_is_null, &last_on))
		RefuseCompany(args[0], PG_ARGISNULL(0));
	if (one)
		customer = CustomerByCode(args[0], PG_GETARG_DATUM(8));

	if (credits == 2 || grouped_by != 0 || !PG_ARGISNULL(7))
		ReturnSummary(fcinfo, as_of, one, customer);
	else
	{
		Aging	   *aging = AgingBegin(PG_GETARG_INT32(0), as_of, resolved, bounds, basis == 1,
									   credits == 1, PG_ARGISNULL(4),
									   PG_ARGISNULL(4) ? 0 : PG_GETARG_TIMESTAMPTZ(4), one, customer);

		AgingReadLines(aging, AgingChoosePath(aging, last_is_null, last_on));
		ReturnLines(fcinfo, aging, true);
	}
	if (SPI_finish() != SPI_OK_FINISH)
		elog(ERROR, "could not finish SPI");
	PG_RETURN_NULL();
}

/*
 * o2c_aging_lines(company, as_of, bounds, basis, known_at, customer, path, aged):
 * the SQL function o2c._aging.
 */
Datum
o2c_aging_lines(PG_FUNCTION_ARGS)
{
	Datum		args[2] = {PG_GETARG_DATUM(0), PG_GETARG_DATUM(1)};
	char		nulls[3] = {PG_ARGISNULL(0) ? 'n' : ' ', PG_ARGISNULL(1) ? 'n' : ' ', '\0'};
	ArrayType  *bounds = BoundsArray(fcinfo, 2);
	int			basis = BasisArgument(fcinfo, 3);
	AgingPath	path = 0;
	DateADT		as_of;
	TimestampTz resolved;
	bool		last_is_null;
	DateADT		last_on;

	if (!PG_ARGISNULL(6))
		path = Choice(fcinfo, 6, "way of an aging", path_names, lengthof(path_names),
					  "Use stored, rollback or full.");
	InitMaterializedSRF(fcinfo, 0);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	if (LookUpCompany(args, nulls, &as_of, &resolved, &last_is_null, &last_on))
	{
		Aging	   *aging = AgingBegin(PG_GETARG_INT32(0), as_of, resolved, bounds, basis == 1,
									   !PG_ARGISNULL(7) && PG_GETARG_BOOL(7), PG_ARGISNULL(4),
									   PG_ARGISNULL(4) ? 0 : PG_GETARG_TIMESTAMPTZ(4),
									   !PG_ARGISNULL(5), PG_ARGISNULL(5) ? 0 : PG_GETARG_INT64(5));

		AgingReadLines(aging, PG_ARGISNULL(6) ? AgingChoosePath(aging, last_is_null, last_on) : path);
		ReturnLines(fcinfo, aging, false);
	}
	if (SPI_finish() != SPI_OK_FINISH)
		elog(ERROR, "could not finish SPI");
	PG_RETURN_NULL();
}

/* o2c_aging_path(company, as_of, known_at): the way that o2c.aging() would take. */
Datum
o2c_aging_path(PG_FUNCTION_ARGS)
{
	Datum		args[2] = {PG_GETARG_DATUM(0), PG_GETARG_DATUM(1)};
	char		nulls[3] = {PG_ARGISNULL(0) ? 'n' : ' ', PG_ARGISNULL(1) ? 'n' : ' ', '\0'};
	AgingPath	path = PATH_STORED;
	DateADT		as_of;
	TimestampTz resolved;
	bool		last_is_null;
	DateADT		last_on;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	if (LookUpCompany(args, nulls, &as_of, &resolved, &last_is_null, &last_on))
		path = AgingChoosePath(AgingBegin(PG_GETARG_INT32(0), as_of, resolved,
									 construct_empty_array(INT4OID), false, false, PG_ARGISNULL(2),
									 PG_ARGISNULL(2) ? 0 : PG_GETARG_TIMESTAMPTZ(2), false, 0),
						  last_is_null, last_on);
	if (SPI_finish() != SPI_OK_FINISH)
		elog(ERROR, "could not finish SPI");
	PG_RETURN_TEXT_P(cstring_to_text(path_names[path]));
}
