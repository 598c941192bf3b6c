/*
 * horizon.c
 *		What a company has decided about credit and time.
 *
 * company.settings may name two things.  "credit_horizon_days" is the number
 * of days ahead that orders count: one that is promised for later does not
 * take credit until its day comes near.  "credit_return_days" tells for each
 * method of payment for how many days a receipt can still bounce.  Both are
 * read without SQL by the triggers that need them, and refused when they make
 * no sense as they are written.
 */
#include "o2c.h"

#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "credit/credit.h"
#include "direct_scan.h"

PG_FUNCTION_INFO_V1(o2c_credit_settings);

#define HORIZON "credit_horizon_days"
#define RETURNS "credit_return_days"
/* Days that either may name at most: a hundred years. */
#define MAX_DAYS 36525

/* Methods of payment, as column method of o2c.payment has them. */
const char *const credit_methods[CREDIT_METHODS] = {
	"transfer", "cash", "cheque", "card", "direct_debit", "other"
};

static DirectTable companies = {
	.name = "company", .nkeys = 1,
	.columns = {"company_id", "settings", "time_zone"}
};

/* Member of an object, or NULL when it is absent or null. */
static JsonbValue *
Member(JsonbContainer *object, const char *name, JsonbValue *value)
{
	if (getKeyJsonValueFromContainer(object, name, strlen(name), value) == NULL || value->type == jbvNull)
		return NULL;
	return value;
}

/* A whole number of days; -1 when the value is none. */
static int32
Days(const JsonbValue *value)
{
	Numeric		number;
	Datum		zero = NumericGetDatum(int64_to_numeric(0));
	Datum		most = NumericGetDatum(int64_to_numeric(MAX_DAYS));

	if (value->type != jbvNumeric)
		return -1;
	number = value->val.numeric;
	if (DatumGetBool(DirectFunctionCall2(numeric_lt, NumericGetDatum(number), zero)) ||
		DatumGetBool(DirectFunctionCall2(numeric_gt, NumericGetDatum(number), most)) ||
		DatumGetBool(DirectFunctionCall2(numeric_ne, NumericGetDatum(number),
										 DirectFunctionCall1(numeric_floor, NumericGetDatum(number)))))
		return -1;
	return DatumGetInt32(DirectFunctionCall1(numeric_int4, NumericGetDatum(number)));
}

/* Today by a company's clock. */
static DateADT
Today(Datum time_zone)
{
	Datum		local = DirectFunctionCall2(timestamptz_zone, time_zone,
											TimestampTzGetDatum(GetCurrentTransactionStartTimestamp()));

	return DatumGetDateADT(DirectFunctionCall1(timestamp_date, local));
}

/*
 * Read what a company has decided.  horizon and all of returns are -1 when
 * nothing is.  Today is not looked up unless something is.
 */
void
CreditPolicyOf(int32 company_id, CreditPolicy *policy)
{
	DirectScan	scan;
	HeapTuple	tuple;

	policy->known = true;
	policy->company_id = company_id;
	policy->horizon = -1;
	policy->today = 0;
	for (int i = 0; i < CREDIT_METHODS; i++)
		policy->returns[i] = -1;
	if (!DirectTableResolve(&companies))
		elog(ERROR, "table \"company\" is not as it was installed");
	DirectScanBegin(&scan, &companies, AccessShareLock, GetActiveSnapshot(), company_id, 0);
	if ((tuple = DirectScanNext(&scan)) != NULL)
	{
		bool		isnull;
		Jsonb	   *settings = DatumGetJsonbP(DirectValue(&scan, tuple, 1, &isnull));
		JsonbValue	value;
		bool		any = false;

		if (JB_ROOT_IS_OBJECT(settings) && Member(&settings->root, HORIZON, &value) != NULL)
		{
			policy->horizon = Days(&value);
			any = policy->horizon >= 0;
		}
		if (JB_ROOT_IS_OBJECT(settings) && Member(&settings->root, RETURNS, &value) != NULL &&
			value.type == jbvBinary && JsonContainerIsObject(value.val.binary.data))
		{
			for (int i = 0; i < CREDIT_METHODS; i++)
			{
				JsonbValue	days;

				if (Member(value.val.binary.data, credit_methods[i], &days) != NULL)
					policy->returns[i] = Days(&days);
				any = any || policy->returns[i] >= 0;
			}
		}
		if (any)
			policy->today = Today(DirectValue(&scan, tuple, 2, &isnull));
	}
	DirectScanEnd(&scan, AccessShareLock);
}

/*
 * Whether an order for a day is beyond its company's horizon today.  "policy"
 * keeps what was read of the company of the last call.
 */
bool
CreditIsBeyond(CreditPolicy *policy, int32 company_id, DateADT day)
{
	/* no clock is more than twelve hours behind that of UTC */
	DateADT		earliest = (DateADT) ((GetCurrentTransactionStartTimestamp() - 12 * USECS_PER_HOUR) / USECS_PER_DAY);

	if (day <= earliest)
		return false;
	if (!policy->known || policy->company_id != company_id)
		CreditPolicyOf(company_id, policy);
	return policy->horizon >= 0 && day > policy->today + policy->horizon;
}

/* Refuse a value of the settings. */
static void
RefuseSetting(const char *setting, const char *method, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_O2C_INVALID_ARGUMENT),
			 method ? errmsg("company setting \"%s\" of \"%s\" %s", setting, method, what) :
			 errmsg("company setting \"%s\" %s", setting, what),
			 errhint("Write for example {\"" HORIZON "\": 90, \"" RETURNS "\": {\"direct_debit\": 56, \"cheque\": 10}}.")));
}

/* o2c_credit_settings(): BEFORE INSERT OR UPDATE OF settings ON company, for each row. */
Datum
o2c_credit_settings(PG_FUNCTION_ARGS)
{
	static const char *const not_days = "must be a whole number of days from 0 to 36525";
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_credit_settings");
	HeapTuple	tuple = TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event) ?
		trigdata->tg_newtuple : trigdata->tg_trigtuple;
	TupleDesc	desc = RelationGetDescr(trigdata->tg_relation);
	bool		isnull;
	Datum		settings = SPI_getbinval(tuple, desc, SPI_fnumber(desc, "settings"), &isnull);
	Jsonb	   *json;
	JsonbValue	value;
	JsonbIterator *it;
	JsonbIteratorToken token;

	if (isnull)
		return PointerGetDatum(tuple);	/* NOT NULL refuses it */
	json = DatumGetJsonbP(settings);
	if (!JB_ROOT_IS_OBJECT(json))
		return PointerGetDatum(tuple);	/* as does a CHECK */
	if (Member(&json->root, HORIZON, &value) != NULL && Days(&value) < 0)
		RefuseSetting(HORIZON, NULL, not_days);
	if (Member(&json->root, RETURNS, &value) == NULL)
		return PointerGetDatum(tuple);
	if (value.type != jbvBinary || !JsonContainerIsObject(value.val.binary.data))
		RefuseSetting(RETURNS, NULL, "must be an object of methods of payment and days");

	it = JsonbIteratorInit(value.val.binary.data);
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		char	   *method;
		bool		known = false;

		if (token != WJB_KEY)
			continue;
		method = pnstrdup(value.val.string.val, value.val.string.len);
		for (int i = 0; i < CREDIT_METHODS; i++)
			known = known || strcmp(method, credit_methods[i]) == 0;
		if (!known)
			RefuseSetting(RETURNS, method, "is for no method of payment");
		if (JsonbIteratorNext(&it, &value, true) != WJB_VALUE ||
			(value.type != jbvNull && Days(&value) < 0))
			RefuseSetting(RETURNS, method, not_days);
	}
	return PointerGetDatum(tuple);
}
