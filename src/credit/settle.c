/*
 * settle.c
 *		What a new day calls for: receipts that have become final, and orders
 *		that come inside the horizon.
 *
 * Everything follows from dates that stand on the documents, so a day that was
 * missed is made up and a day that was done changes nothing.  What is to be
 * written is locked first, in the order in which everybody locks: orders, open
 * items (which stand for their payments), accounts.
 *
 * An order that comes inside the horizon counts from then on, whether there is
 * room for it or not: it is confirmed.  When there is none it is put on hold,
 * oldest promise first, so that nothing of it leaves until somebody decides.
 */
#include "o2c.h"

#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "credit/credit.h"

PG_FUNCTION_INFO_V1(o2c_credit_settle);

enum
{
	COMPANY, DAY, LAST, ITEMS, ENTER, LEAVE, ACTOR, NARGS
};

/* Every statement has the same arguments, so that one array serves all. */
#define ARGTYPES {INT4OID, DATEOID, DATEOID, INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID, TEXTOID}

#define LOCK_ORDERS(wanted) \
	"SELECT array_agg(x.id) FILTER (WHERE x.deferred), array_agg(x.id) FILTER (WHERE NOT x.deferred) FROM" \
	" (SELECT s.id, s.deferred FROM o2c.sales_order s WHERE s.company_id = $1 AND " COUNTS("s.state") " AND " wanted \
	"  ORDER BY s.id FOR NO KEY UPDATE) x"
#define BOUNCES "p.company_id = $1 AND p.returnable_amount <> 0 AND p.returnable_until < $2"
#define SET_DEFERRED(ids, flag) \
	"UPDATE o2c.sales_order s SET deferred = " flag " WHERE s.company_id = $1 AND s.id = ANY (" ids ") AND s.deferred <> " flag

/* Column of the only row of the last result; its place in "nulls" too. */
static Datum
OnlyValue(int column, char *isnull)
{
	bool		none;
	Datum		value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column, &none);

	*isnull = none ? 'n' : ' ';
	return value;
}

/* Lock what the day concerns; the arguments then name it. */
static void
LockAll(Datum *args, char *nulls)
{
	static KeptPlan orders = {
		.sql = LOCK_ORDERS("s.deferred <> (coalesce(s.promised_on, s.ordered_on) > $3)"),
		.nargs = NARGS, .argtypes = ARGTYPES
	};
	static KeptPlan all_orders = {
		.sql = LOCK_ORDERS("s.deferred"), .nargs = NARGS, .argtypes = ARGTYPES
	};
	static KeptPlan items = {
		.sql = "SELECT array_agg(x.id) FROM (SELECT i.id FROM o2c.open_item i WHERE i.company_id = $1"
		"  AND i.id IN (SELECT p.item_id FROM o2c.payment p WHERE " BOUNCES ")"
		"  ORDER BY i.id FOR NO KEY UPDATE) x",
		.nargs = NARGS, .argtypes = ARGTYPES
	};
	static KeptPlan accounts = {
		.sql = CREDIT_LOCK("SELECT $1, s.customer_id FROM o2c.sales_order s WHERE s.company_id = $1 AND s.id = ANY ($5 || $6)"
						   " UNION SELECT $1, p.customer_id FROM o2c.payment p"
						   "  WHERE p.company_id = $1 AND p.item_id = ANY ($4) AND p.customer_id IS NOT NULL"),
		.nargs = NARGS, .argtypes = ARGTYPES
	};

	/* without a horizon every order counts */
	KeptPlanExecute(nulls[LAST] == 'n' ? &all_orders : &orders, args, nulls, SPI_OK_SELECT);
	args[ENTER] = OnlyValue(1, &nulls[ENTER]);
	args[LEAVE] = OnlyValue(2, &nulls[LEAVE]);
	KeptPlanExecute(&items, args, nulls, SPI_OK_SELECT);
	args[ITEMS] = OnlyValue(1, &nulls[ITEMS]);
	CreditLock(&accounts, args, nulls);
}

/* _settle_exposure(company_id, as_of): see o2c.settle_exposure(). */
Datum
o2c_credit_settle(PG_FUNCTION_ARGS)
{
	static KeptPlan visible = {
		.sql = "SELECT o2c._require_company($1)", .nargs = 1, .argtypes = {INT4OID}
	};
	static KeptPlan finish = {
		.sql = "UPDATE o2c.payment p SET returnable_amount = 0 WHERE " BOUNCES " AND p.item_id = ANY ($4)",
		.nargs = NARGS, .argtypes = ARGTYPES
	};
	static KeptPlan leave = {.sql = SET_DEFERRED("$6", "true"), .nargs = NARGS, .argtypes = ARGTYPES};
	static KeptPlan enter = {.sql = SET_DEFERRED("$5", "false"), .nargs = NARGS, .argtypes = ARGTYPES};
	static KeptPlan hold = {
		.sql = "WITH v AS MATERIALIZED (SELECT * FROM o2c._screen_orders($1, $5, $2)),"
		" held AS (INSERT INTO o2c.hold (company_id, order_id, reason, note, blocks, release_role, automatic, placed_by)"
		"  SELECT $1, v.order_id, 'credit', v.note, coalesce(r.blocks, '{confirm,pick,ship}'), r.release_role, true, $7"
		"  FROM v LEFT JOIN o2c.hold_reason r ON r.company_id = $1 AND r.code = 'credit'"
		"  WHERE v.verdict = 'credit' ON CONFLICT DO NOTHING RETURNING order_id, note),"
		" told AS (INSERT INTO o2c.event (company_id, entity, entity_id, event, actor, reason)"
		"  SELECT $1, 'order', h.order_id, 'credit_hold', $7, h.note FROM held h)"
		" SELECT count(*) FROM held",
		.nargs = NARGS, .argtypes = ARGTYPES
	};
	int32		company_id = PG_GETARG_INT32(0);
	DateADT		day = PG_GETARG_DATEADT(1);
	Datum		args[NARGS];
	char		nulls[NARGS + 1] = "  nnnn ";
	Datum		values[3];
	bool		result_nulls[3] = {false};
	TupleDesc	result;
	HeapTuple	row;
	CreditPolicy policy;
	Relation	rel;
	OwnerFrame	frame;
	int64		receipts = 0;
	int64		orders = 0;
	int64		held = 0;

	if (get_call_result_type(fcinfo, NULL, &result) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "function must return a row");
	args[COMPANY] = Int32GetDatum(company_id);
	args[DAY] = DateADTGetDatum(day);
	args[ACTOR] = CStringGetTextDatum(GetUserNameFromId(GetOuterUserId(), false));

	/* with the caller's own rights, before those of the tables' owner */
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	KeptPlanExecuteRow(&visible, args, NULL, SPI_OK_SELECT);
	SPI_finish();

	CreditPolicyOf(company_id, &policy);
	if (policy.horizon >= 0)
	{
		args[LAST] = DateADTGetDatum(day + policy.horizon);
		nulls[LAST] = ' ';
	}
	rel = table_open(get_relname_relid("sales_order", get_namespace_oid("o2c", false)), AccessShareLock);
	OwnerFrameBegin(&frame, rel);
	LockAll(args, nulls);
	if (nulls[ITEMS] != 'n')
		receipts = KeptPlanExecuteDerived(&finish, args, nulls, SPI_OK_UPDATE);
	if (nulls[LEAVE] != 'n')
		orders += KeptPlanExecuteDerived(&leave, args, nulls, SPI_OK_UPDATE);
	if (nulls[ENTER] != 'n')
	{
		char		none;

		KeptPlanExecute(&hold, args, nulls, SPI_OK_SELECT);
		held = DatumGetInt64(OnlyValue(1, &none));
		orders += KeptPlanExecuteDerived(&enter, args, nulls, SPI_OK_UPDATE);
	}
	OwnerFrameEnd(&frame);
	table_close(rel, NoLock);

	values[0] = Int64GetDatum(receipts);
	values[1] = Int64GetDatum(orders);
	values[2] = Int64GetDatum(held);
	row = heap_form_tuple(BlessTupleDesc(result), values, result_nulls);
	PG_RETURN_DATUM(HeapTupleGetDatum(row));
}
