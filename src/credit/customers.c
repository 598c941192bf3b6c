/*
 * customers.c
 *		From customers to their accounts: limit, currency, place in a group.
 *
 * Every customer has a head row from the moment it exists, so that there is
 * always a row to lock.  What moves a customer to another parent locks the
 * whole trees concerned and sums them anew; it is rare.  When somebody else
 * moved a customer into or out of these trees while it waited for the locks, it
 * ends with a serialization failure: what it locked is no longer what it sums.
 */
#include "o2c.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "credit/credit.h"

PG_FUNCTION_INFO_V1(o2c_credit_on_customers);
PG_FUNCTION_INFO_V1(o2c_credit_on_increases);

/* Head rows "a" in the columns that CreditApply judges; alert_at 0 looks at every threshold. */
#define JUDGED \
	" RETURNING a.company_id, a.customer_id, false, a.currency, a.group_exposure," \
	" a.credit_limit, a.mixed, a.temporary, a.alert_level, a.alert_at, a.alert_below"

/* Customers whose account names another parent than their parent_code does. */
#define MOVED(relevant) \
	"SELECT c.company_id, c.id, p.id AS parent_id FROM (" relevant ") c" \
	" JOIN o2c.credit_account h ON h.company_id = c.company_id AND h.customer_id = c.id AND h.head" \
	" LEFT JOIN o2c.customer p ON p.company_id = c.company_id AND p.code = c.parent_code" \
	" WHERE h.parent_id IS DISTINCT FROM p.id"
#define CHILDREN \
	"SELECT c.company_id, c.id, c.parent_code FROM o2c.customer c" \
	" WHERE (c.company_id, c.parent_code) IN (SELECT n.company_id, n.code FROM new_rows n)"
#define RENAMED \
	"SELECT n.company_id, n.id, n.parent_code FROM new_rows n UNION " CHILDREN

/* Customers whose own account changes. */
#define CHANGED \
	" UNION ALL SELECT n.company_id, n.id FROM new_rows n JOIN old_rows o ON o.company_id = n.company_id AND o.id = n.id" \
	"  AND (n.currency <> o.currency OR n.credit_limit IS DISTINCT FROM o.credit_limit)"

/*
 * Every customer of every tree that a moved one leaves or joins, locked with
 * "others" in one order; the trees, and whether a head is no longer one.  Each
 * is locked by its key: PostgreSQL 18 before 18.2 may leave out a row of a
 * join for which it waited.
 */
#define LOCK_TREES(relevant, others) \
	"WITH RECURSIVE moved AS MATERIALIZED (" MOVED(relevant) ")," \
	" up AS (SELECT m.company_id, m.id FROM moved m" \
	"  UNION SELECT m.company_id, m.parent_id FROM moved m WHERE m.parent_id IS NOT NULL" \
	"  UNION SELECT h.company_id, h.parent_id FROM up u JOIN o2c.credit_account h" \
	"   ON h.company_id = u.company_id AND h.customer_id = u.id AND h.head WHERE h.parent_id IS NOT NULL)," \
	" tree AS (SELECT u.company_id, u.id FROM up u" \
	"  UNION SELECT h.company_id, h.customer_id FROM tree t JOIN o2c.credit_account h" \
	"   ON h.company_id = t.company_id AND h.parent_id = t.id)," \
	" wanted AS MATERIALIZED (SELECT t.company_id, t.id FROM tree t" others ")" \
	" SELECT array_agg(x.company_id) FILTER (WHERE x.moves), array_agg(x.customer_id) FILTER (WHERE x.moves)," \
	"  count(DISTINCT (x.company_id, x.customer_id)) <> count(*) FILTER (WHERE x.head)" \
	" FROM (SELECT l.*, (l.company_id, l.customer_id) IN (SELECT t.company_id, t.id FROM tree t) AS moves" \
	"  FROM (SELECT DISTINCT w.company_id, w.id FROM wanted w ORDER BY w.company_id, w.id) k, LATERAL (" \
	"   SELECT a.company_id, a.customer_id, a.head FROM o2c.credit_account a" \
	"   WHERE a.company_id = k.company_id AND a.customer_id = k.id ORDER BY a.head DESC, a.currency FOR NO KEY UPDATE) l) x"
#define SET_PARENTS(relevant) \
	"UPDATE o2c.credit_account a SET parent_id = m.parent_id FROM (" MOVED(relevant) ") m" \
	" WHERE a.company_id = m.company_id AND a.customer_id = m.id AND a.head"

/* The statements of a move, for one kind of change. */
typedef struct MovePlans
{
	KeptPlan	lock_trees;
	KeptPlan	set_parents;
} MovePlans;

/* Lock all accounts that change; args are then the trees in which customers move, false when none does. */
static bool
LockTrees(MovePlans *plans, Datum *args)
{
	HeapTuple	tuple;
	TupleDesc	desc;
	bool		isnull;

	KeptPlanExecuteRow(&plans->lock_trees, NULL, NULL, SPI_OK_SELECT);
	tuple = SPI_tuptable->vals[0];
	desc = SPI_tuptable->tupdesc;
	if (DatumGetBool(SPI_getbinval(tuple, desc, 3, &isnull)))
		RefuseChangedGroup();
	args[0] = SPI_getbinval(tuple, desc, 1, &isnull);
	if (!isnull)
		args[1] = SPI_getbinval(tuple, desc, 2, &isnull);
	return !isnull;
}

/* Move customers within their groups, which are locked. */
static void
MoveCustomers(MovePlans *plans, Datum *args)
{
	static KeptPlan circle = {
		.sql = "WITH RECURSIVE above AS ("
		"  SELECT t.company_id, t.id AS start, t.id, 0 AS depth FROM unnest($1, $2) t(company_id, id)"
		"  UNION ALL"
		"  SELECT h.company_id, v.start, h.parent_id, v.depth + 1 FROM above v JOIN o2c.credit_account h"
		"   ON h.company_id = v.company_id AND h.customer_id = v.id AND h.head"
		"  WHERE h.parent_id IS NOT NULL AND v.depth <= 100 AND (v.depth = 0 OR v.id <> v.start))"
		" SELECT c.code FROM above v JOIN o2c.customer c ON c.company_id = v.company_id AND c.id = v.start"
		" WHERE v.depth > 100 OR (v.depth > 0 AND v.id = v.start) LIMIT 1",
		.nargs = 2,
		.argtypes = {INT4ARRAYOID, INT8ARRAYOID}
	};
	/* an account that is locked below or above one that is not */
	static KeptPlan torn = {
		.sql = "WITH locked AS MATERIALIZED (SELECT DISTINCT t.company_id, t.id FROM unnest($1, $2) t(company_id, id))"
		" (SELECT FROM locked t JOIN o2c.credit_account h"
		"   ON h.company_id = t.company_id AND h.customer_id = t.id AND h.head AND h.parent_id IS NOT NULL"
		"  WHERE (h.company_id, h.parent_id) NOT IN (SELECT l.company_id, l.id FROM locked l))"
		" UNION ALL"
		" (SELECT FROM locked t JOIN o2c.credit_account h ON h.company_id = t.company_id AND h.parent_id = t.id"
		"  WHERE (h.company_id, h.customer_id) NOT IN (SELECT l.company_id, l.id FROM locked l))"
		" LIMIT 1",
		.nargs = 2,
		.argtypes = {INT4ARRAYOID, INT8ARRAYOID}
	};
	static KeptPlan sum = {
		.sql = "WITH RECURSIVE pair AS ("
		"  SELECT DISTINCT t.company_id, t.id AS member, t.id AS above FROM unnest($1, $2) t(company_id, id)"
		"  UNION ALL"
		"  SELECT p.company_id, p.member, h.parent_id FROM pair p JOIN o2c.credit_account h"
		"   ON h.company_id = p.company_id AND h.customer_id = p.above AND h.head WHERE h.parent_id IS NOT NULL)"
		" INSERT INTO o2c.credit_account AS a (company_id, customer_id, currency, group_exposure)"
		" SELECT p.company_id, p.above, m.currency,"
		"  sum(m.open_orders + m.shipped_not_invoiced + m.open_items - m.unapplied + m.returnable)"
		" FROM pair p JOIN o2c.credit_account m ON m.company_id = p.company_id AND m.customer_id = p.member"
		" GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
		" ON CONFLICT (company_id, customer_id, currency) DO UPDATE SET group_exposure = EXCLUDED.group_exposure"
		" WHERE a.group_exposure <> EXCLUDED.group_exposure",
		.nargs = 2,
		.argtypes = {INT4ARRAYOID, INT8ARRAYOID}
	};
	static KeptPlan touch = {
		.sql = "WITH u AS (UPDATE o2c.credit_account a SET alert_at = 0, mixed = EXISTS (SELECT FROM o2c.credit_account o"
		"   WHERE o.company_id = a.company_id AND o.customer_id = a.customer_id AND NOT o.head)"
		"  WHERE a.head AND (a.company_id, a.customer_id) IN (SELECT * FROM unnest($1, $2))"
		JUDGED ") SELECT * FROM u",
		.nargs = 2,
		.argtypes = {INT4ARRAYOID, INT8ARRAYOID}
	};

	KeptPlanExecuteDerived(&plans->set_parents, NULL, NULL, SPI_OK_UPDATE);
	if (KeptPlanExecute(&torn, args, NULL, SPI_OK_SELECT) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("the group of a customer was changed at the same moment"),
				 errhint("Try the transaction again.")));
	if (KeptPlanExecute(&circle, args, NULL, SPI_OK_SELECT) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_O2C_BUSINESS_RULE),
				 errmsg("customer \"%s\" cannot stand below itself",
						SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1)),
				 errdetail("parent_code must lead to a customer without parent in at most 100 steps.")));
	KeptPlanExecuteDerived(&sum, args, NULL, SPI_OK_INSERT);
	/* the heads are written too, so that concurrent confirmations notice */
	CreditApplyWith(&touch, args, false);
}

/* Give a customer's account, which is locked, another currency: it may while nothing is open. */
static void
ChangeCurrency(void)
{
	/* what somebody else added while we waited is there now */
	static KeptPlan exposed = {
		.sql = "SELECT c.code, a.currency FROM new_rows n"
		" JOIN old_rows o ON o.company_id = n.company_id AND o.id = n.id AND o.currency <> n.currency"
		" JOIN o2c.customer c ON c.company_id = n.company_id AND c.id = n.id"
		" JOIN o2c.credit_account a ON a.company_id = n.company_id AND a.customer_id = n.id"
		" WHERE a.open_orders <> 0 OR a.shipped_not_invoiced <> 0 OR a.open_items <> 0"
		"  OR a.unapplied <> 0 OR a.returnable <> 0 OR a.group_exposure <> 0"
		" ORDER BY a.company_id, a.customer_id, a.head DESC, a.currency LIMIT 1"
	};
	static KeptPlan leave = {
		.sql = "UPDATE o2c.credit_account a SET head = false, credit_limit = NULL, parent_id = NULL, temporary = false"
		" FROM new_rows n JOIN old_rows o ON o.company_id = n.company_id AND o.id = n.id AND o.currency <> n.currency"
		" WHERE a.company_id = n.company_id AND a.customer_id = n.id AND a.head"
	};
	static KeptPlan enter = {
		.sql = "INSERT INTO o2c.credit_account AS a (company_id, customer_id, currency, head, mixed, credit_limit, parent_id, temporary)"
		" SELECT n.company_id, n.id, n.currency, true, true, n.credit_limit, p.id,"
		"  EXISTS (SELECT FROM o2c.credit_increase i WHERE i.company_id = n.company_id AND i.customer_id = n.id)"
		" FROM new_rows n JOIN old_rows o ON o.company_id = n.company_id AND o.id = n.id AND o.currency <> n.currency"
		" LEFT JOIN o2c.customer p ON p.company_id = n.company_id AND p.code = n.parent_code"
		" ON CONFLICT (company_id, customer_id, currency) DO UPDATE SET head = true, mixed = true,"
		"  credit_limit = EXCLUDED.credit_limit, parent_id = EXCLUDED.parent_id, temporary = EXCLUDED.temporary"
	};

	if (KeptPlanExecute(&exposed, NULL, NULL, SPI_OK_SELECT) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_O2C_BUSINESS_RULE),
				 errmsg("the currency of customer \"%s\" cannot change",
						SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1)),
				 errdetail("There is exposure in %s.",
						   SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2)),
				 errhint("Orders may have another currency than the limit.")));
	KeptPlanExecuteDerived(&leave, NULL, NULL, SPI_OK_UPDATE);
	KeptPlanExecuteDerived(&enter, NULL, NULL, SPI_OK_INSERT);
}

/* o2c_credit_on_customers(): AFTER INSERT or UPDATE ON customer, for each statement. */
Datum
o2c_credit_on_customers(PG_FUNCTION_ARGS)
{
	static KeptPlan open = {
		/* the first threshold now, so that the first change need not look it up */
		.sql = "INSERT INTO o2c.credit_account (company_id, customer_id, currency, head, credit_limit, parent_id, alert_at)"
		" SELECT n.company_id, n.id, n.currency, true, n.credit_limit, p.id, n.credit_limit * t.first / 100"
		" FROM new_rows n LEFT JOIN o2c.customer p ON p.company_id = n.company_id AND p.code = n.parent_code"
		" JOIN (SELECT c.company_id, (SELECT min(x) FROM unnest(o2c._credit_thresholds(c.company_id)) x) AS first"
		"  FROM (SELECT DISTINCT r.company_id FROM new_rows r) c) t ON t.company_id = n.company_id"
		" ORDER BY n.company_id, n.id"
	};
	static KeptPlan changes = {
		.sql = "SELECT coalesce(bool_or(n.credit_limit IS DISTINCT FROM o.credit_limit), false),"
		" coalesce(bool_or(n.currency <> o.currency), false),"
		" coalesce(bool_or(n.parent_code IS DISTINCT FROM o.parent_code OR n.code <> o.code), false)"
		" FROM new_rows n JOIN old_rows o ON o.company_id = n.company_id AND o.id = n.id"
	};
	static KeptPlan set_limits = {
		.sql = "WITH u AS (UPDATE o2c.credit_account a SET credit_limit = n.credit_limit, alert_at = 0,"
		"   alert_level = CASE WHEN n.credit_limit IS NULL THEN 0 ELSE a.alert_level END"
		"  FROM new_rows n JOIN old_rows o ON o.company_id = n.company_id AND o.id = n.id"
		"  WHERE a.company_id = n.company_id AND a.customer_id = n.id AND a.head"
		"  AND n.credit_limit IS DISTINCT FROM o.credit_limit"
		JUDGED ") SELECT * FROM u"
	};
	static MovePlans inserted = {{.sql = LOCK_TREES(CHILDREN, "")}, {.sql = SET_PARENTS(CHILDREN)}};
	static MovePlans updated = {{.sql = LOCK_TREES(RENAMED, CHANGED)}, {.sql = SET_PARENTS(RENAMED)}};
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_credit_on_customers");
	TriggerFrame frame;
	Datum		args[2];

	TriggerFrameBegin(&frame, trigdata);
	if (TRIGGER_FIRED_BY_INSERT(trigdata->tg_event))
	{
		KeptPlanExecuteDerived(&open, NULL, NULL, SPI_OK_INSERT);
		if (LockTrees(&inserted, args))
			MoveCustomers(&inserted, args);
	}
	else
	{
		HeapTuple	tuple;
		TupleDesc	desc;
		bool		isnull;
		bool		limits;
		bool		currencies;
		bool		parents;
		bool		moves = false;

		KeptPlanExecute(&changes, NULL, NULL, SPI_OK_SELECT);
		tuple = SPI_tuptable->vals[0];
		desc = SPI_tuptable->tupdesc;
		limits = DatumGetBool(SPI_getbinval(tuple, desc, 1, &isnull));
		currencies = DatumGetBool(SPI_getbinval(tuple, desc, 2, &isnull));
		parents = DatumGetBool(SPI_getbinval(tuple, desc, 3, &isnull));
		if (currencies || parents || limits)
			moves = LockTrees(&updated, args);
		if (currencies)
			ChangeCurrency();
		if (moves)
			MoveCustomers(&updated, args);
		if (limits)
			CreditApply(&set_limits, false);
	}
	TriggerFrameEnd(&frame);
	return PointerGetDatum(NULL);
}

/* Of whom "rows" change what is added to the limit. */
#define CUSTOMERS_OF(rows) "SELECT r.company_id, r.customer_id FROM " rows " r"
/* Whether others add to it besides can be asked only when the head is locked. */
#define LOCK_HEADS(customers) \
	"SELECT FROM o2c.credit_account a WHERE a.head AND (a.company_id, a.customer_id) IN (" customers ")" \
	" ORDER BY a.company_id, a.customer_id FOR NO KEY UPDATE"
#define INCREASES(customers) \
	"WITH u AS (UPDATE o2c.credit_account a SET alert_at = 0, temporary = EXISTS (SELECT FROM o2c.credit_increase i" \
	"   WHERE i.company_id = a.company_id AND i.customer_id = a.customer_id)" \
	"  WHERE a.head AND (a.company_id, a.customer_id) IN (" customers ")" \
	JUDGED ") SELECT * FROM u"

/* The statements for one kind of change. */
typedef struct IncreasePlans
{
	KeptPlan	lock_heads;
	KeptPlan	increases;
} IncreasePlans;

/* o2c_credit_on_increases(): AFTER INSERT, UPDATE or DELETE ON credit_increase, for each statement. */
Datum
o2c_credit_on_increases(PG_FUNCTION_ARGS)
{
#define PLANS(customers) {{.sql = LOCK_HEADS(customers)}, {.sql = INCREASES(customers)}}
	static IncreasePlans inserted = PLANS(CUSTOMERS_OF("new_rows"));
	static IncreasePlans updated = PLANS(CUSTOMERS_OF("new_rows") " UNION " CUSTOMERS_OF("old_rows"));
	static IncreasePlans deleted = PLANS(CUSTOMERS_OF("old_rows"));
#undef PLANS
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_credit_on_increases");
	IncreasePlans *plans = TRIGGER_FIRED_BY_INSERT(trigdata->tg_event) ? &inserted :
		TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event) ? &updated : &deleted;
	TriggerFrame frame;

	TriggerFrameBegin(&frame, trigdata);
	KeptPlanExecute(&plans->lock_heads, NULL, NULL, SPI_OK_SELECT);
	CreditApply(&plans->increases, false);
	TriggerFrameEnd(&frame);
	return PointerGetDatum(NULL);
}
