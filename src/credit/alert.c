/*
 * alert.c
 *		Thresholds of the limit: announced once for each crossing.
 *
 * An account remembers the highest threshold announced and the exposures at
 * which that changes, so that the usual change compares two numbers and reads
 * nothing.  A crossing upwards becomes an event, which subscriptions turn into
 * messages, and a notification on channel order2cash_credit.
 */
#include "o2c.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "credit/credit.h"

/* Bring the threshold of a head to its exposure and announce a crossing. */
void
CreditAlert(const CreditHead *head)
{
	static KeptPlan judge = {
		.sql = "SELECT coalesce(max(t.p) FILTER (WHERE t.reached), 0),"
		" min($3 * t.p / 100) FILTER (WHERE NOT t.reached),"
		" CASE WHEN $3 = 0 THEN 1e-9 ELSE max($3 * t.p / 100) FILTER (WHERE t.reached) END"
		" FROM (SELECT p, CASE WHEN $3 > 0 THEN $2 >= $3 * p / 100 ELSE $2 > 0 END AS reached"
		"       FROM unnest(o2c._credit_thresholds($1)) p) t",
		.nargs = 3,
		.argtypes = {INT4OID, NUMERICOID, NUMERICOID}
	};
	static KeptPlan store = {
		.sql = "UPDATE o2c.credit_account a SET alert_level = $3, alert_at = $4, alert_below = $5"
		" WHERE a.company_id = $1 AND a.customer_id = $2 AND a.head"
		" AND (a.alert_level, a.alert_at, a.alert_below) IS DISTINCT FROM ($3, $4, $5)",
		.nargs = 5,
		.argtypes = {INT4OID, INT8OID, INT4OID, NUMERICOID, NUMERICOID}
	};
	static KeptPlan announce = {
		.sql = "WITH e AS (INSERT INTO o2c.event (company_id, entity, entity_id, event, actor, data)"
		"  SELECT $1, 'customer', $2, 'credit_alert', $6, jsonb_build_object('customer', c.code, 'threshold', $3,"
		"   'exposure', $4, 'limit', $5, 'currency', c.currency::text)"
		"  FROM o2c.customer c WHERE c.company_id = $1 AND c.id = $2 RETURNING company_id, data)"
		" SELECT pg_notify('order2cash_credit', (e.data || jsonb_build_object('company_id', e.company_id))::text) FROM e",
		.nargs = 6,
		.argtypes = {INT4OID, INT8OID, INT4OID, NUMERICOID, NUMERICOID, TEXTOID}
	};
	Datum		args[6];
	char		nulls[6] = "     ";
	HeapTuple	tuple;
	TupleDesc	desc;
	bool		isnull;
	bool		save = o2c_posting;
	int32		level;

	args[0] = Int32GetDatum(head->company_id);
	args[1] = NumericGetDatum(head->exposure);
	args[2] = NumericGetDatum(head->limit);
	KeptPlanExecuteRow(&judge, args, NULL, SPI_OK_SELECT);
	tuple = SPI_tuptable->vals[0];
	desc = SPI_tuptable->tupdesc;
	level = DatumGetInt32(SPI_getbinval(tuple, desc, 1, &isnull));

	args[1] = Int64GetDatum(head->customer_id);
	args[2] = Int32GetDatum(level);
	args[3] = SPI_getbinval(tuple, desc, 2, &isnull);
	nulls[3] = isnull ? 'n' : ' ';
	args[4] = SPI_getbinval(tuple, desc, 3, &isnull);
	nulls[4] = isnull ? 'n' : ' ';
	o2c_posting = true;
	PG_TRY();
	{
		KeptPlanExecuteRow(&store, args, nulls, SPI_OK_UPDATE);
	}
	PG_FINALLY();
	{
		o2c_posting = save;
	}
	PG_END_TRY();

	if (level > head->alert_level)
	{
		args[3] = NumericGetDatum(head->exposure);
		args[4] = NumericGetDatum(head->limit);
		args[5] = CStringGetTextDatum(GetUserNameFromId(GetOuterUserId(), false));
		KeptPlanExecuteRow(&announce, args, NULL, SPI_OK_SELECT);
	}
}
