/*
 * orders.c
 *		What a move of orders does to credit, stock and holds.
 *
 * The AFTER UPDATE statement trigger of sales_order compares the states in
 * its transition tables row by row, without SQL, and runs only the statements
 * that the moves it found call for.  It is the judge for every client: an
 * order that may not be confirmed is refused here, whoever tries.
 *
 * It also keeps the flag "deferred" of orders that count: whether the order is
 * promised for a day beyond the company's horizon, decided when it is
 * confirmed and whenever its date changes.  What is not yet shipped of such an
 * order takes no credit; settle.c brings it in when its day comes.
 */
#include "o2c.h"

#include "access/xact.h"
#include "catalog/pg_enum.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/tuplestore.h"

#include "credit/credit.h"
#include "invoicing/numbering.h"
#include "numeric_ops.h"

PG_FUNCTION_INFO_V1(o2c_credit_on_orders);

/* What the moves of one statement call for. */
typedef struct OrderMoves
{
	bool		confirm;		/* some order became confirmed */
	bool		credit;			/* some order began or ceased to count */
	bool		flipped;		/* settle.c brought orders inside or outside of the horizon */
	bool		billed;			/* milestones of orders were billed: nothing else changed */
	bool		milestones;		/* some order that moved has milestones that are billed */
	bool		leave;			/* some order may no longer reserve stock */
	bool		cancel;
	bool		close;
	bool		progress;		/* some order is said to be on its way, or done */
	int			moved;			/* how many orders */
	OrderMove	only;			/* which, when it is one */
	int			ndefer;			/* orders whose flag is no longer right */
	int			maxdefer;
	Datum	   *companies;
	Datum	   *orders;
} OrderMoves;

/* While SetDeferred updates orders, whose change of credit its caller applies. */
static bool setting_deferred = false;

/* Label of an order's state. */
static void
StateLabel(Oid value, NameData *label)
{
	HeapTuple	tup = SearchSysCache1(ENUMOID, ObjectIdGetDatum(value));

	if (!HeapTupleIsValid(tup))
		elog(ERROR, "cache lookup failed for enum value %u", value);
	namestrcpy(label, NameStr(((Form_pg_enum) GETSTRUCT(tup))->enumlabel));
	ReleaseSysCache(tup);
}

static inline bool
StateCounts(const char *state)
{
	return strcmp(state, "confirmed") == 0 || strcmp(state, "fulfilling") == 0 ||
		strcmp(state, "fulfilled") == 0;
}

/* The columns of an order that decide on its credit. */
typedef struct OrderColumns
{
	int			company_id;
	int			id;
	int			state;
	int			deferred;
	int			milestone_percent;
	int			ordered_on;
	int			promised_on;
} OrderColumns;

/* The day for which an order is wanted. */
static DateADT
WantedOn(TupleTableSlot *slot, const OrderColumns *columns)
{
	bool		isnull;
	Datum		day = slot_getattr(slot, columns->promised_on, &isnull);

	if (isnull)
		day = slot_getattr(slot, columns->ordered_on, &isnull);
	return DatumGetDateADT(day);
}

/* Note an order whose flag is not what its day calls for. */
static void
NoteDeferral(TupleTableSlot *slot, const OrderColumns *columns, CreditPolicy *policy, OrderMoves *moves)
{
	bool		isnull;
	Datum		company_id = slot_getattr(slot, columns->company_id, &isnull);

	if (CreditIsBeyond(policy, DatumGetInt32(company_id), WantedOn(slot, columns)) ==
		DatumGetBool(slot_getattr(slot, columns->deferred, &isnull)))
		return;
	if (moves->ndefer == moves->maxdefer)
	{
		Size		size = (moves->maxdefer = Max(8, moves->maxdefer * 2)) * sizeof(Datum);

		moves->companies = moves->ndefer == 0 ? palloc(size) : repalloc_huge(moves->companies, size);
		moves->orders = moves->ndefer == 0 ? palloc(size) : repalloc_huge(moves->orders, size);
	}
	moves->companies[moves->ndefer] = company_id;
	moves->orders[moves->ndefer++] = Int64GetDatum(DatumGetInt64(slot_getattr(slot, columns->id, &isnull)));
	moves->credit = true;
}

/* Compare the orders before and after, row by row. */
static void
FindMoves(TriggerData *trigdata, OrderMoves *moves)
{
	TupleDesc	desc = RelationGetDescr(trigdata->tg_relation);
	const OrderColumns columns = {
		SPI_fnumber(desc, "company_id"), SPI_fnumber(desc, "id"), SPI_fnumber(desc, "state"),
		SPI_fnumber(desc, "deferred"), SPI_fnumber(desc, "milestone_percent"), SPI_fnumber(desc, "ordered_on"),
		SPI_fnumber(desc, "promised_on")
	};
	CreditPolicy policy = {0};
	HeapTuple	only = NULL;
	TupleTableSlot *oldslot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	TupleTableSlot *newslot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);

	memset(moves, 0, sizeof(*moves));
	tuplestore_rescan(trigdata->tg_oldtable);
	tuplestore_rescan(trigdata->tg_newtable);
	while (tuplestore_gettupleslot(trigdata->tg_oldtable, true, false, oldslot) &&
		   tuplestore_gettupleslot(trigdata->tg_newtable, true, false, newslot))
	{
		bool		isnull;
		Oid			before = DatumGetObjectId(slot_getattr(oldslot, columns.state, &isnull));
		Oid			after = DatumGetObjectId(slot_getattr(newslot, columns.state, &isnull));
		bool		deferred = DatumGetBool(slot_getattr(newslot, columns.deferred, &isnull));
		Numeric		percent;
		NameData	from;
		NameData	to;

		if (DatumGetBool(slot_getattr(oldslot, columns.deferred, &isnull)) != deferred)
			moves->flipped = moves->credit = true;
		percent = DatumGetNumeric(slot_getattr(newslot, columns.milestone_percent, &isnull));
		if (NumericCompare(DatumGetNumeric(slot_getattr(oldslot, columns.milestone_percent, &isnull)), percent) != 0)
			moves->billed = moves->credit = true;
		if (before == after && WantedOn(oldslot, &columns) == WantedOn(newslot, &columns))
			continue;
		StateLabel(before, &from);
		StateLabel(after, &to);
		if (StateCounts(NameStr(to)) &&
			(!StateCounts(NameStr(from)) || WantedOn(oldslot, &columns) != WantedOn(newslot, &columns)))
			NoteDeferral(newslot, &columns, &policy, moves);
		if (before == after)
			continue;
		if (moves->moved++ == 0)
			only = ExecCopySlotHeapTuple(newslot);
		if (NumericCompare(percent, int64_to_numeric(0)) != 0)
			moves->milestones = true;
		moves->only.deferred = deferred;
		moves->only.confirmed = strcmp(NameStr(to), "confirmed") == 0;
		moves->only.counts = StateCounts(NameStr(to));
		if (strcmp(NameStr(to), "confirmed") == 0)
			moves->confirm = true;
		if (StateCounts(NameStr(from)) != StateCounts(NameStr(to)))
			moves->credit = true;
		if (strcmp(NameStr(to), "cancelled") == 0)
			moves->cancel = moves->leave = true;
		else if (strcmp(NameStr(to), "closed") == 0)
			moves->close = true;
		else if (!o2c_posting && (strcmp(NameStr(to), "fulfilling") == 0 || strcmp(NameStr(to), "fulfilled") == 0))
			moves->progress = true;	/* not by the trigger of shipments, which counted */
		else if (strcmp(NameStr(to), "draft") == 0 ||
				 (strcmp(NameStr(to), "submitted") == 0 && StateCounts(NameStr(from))))
			moves->leave = true;
	}
	ExecDropSingleTupleTableSlot(oldslot);
	ExecDropSingleTupleTableSlot(newslot);

	if (moves->moved == 1)
	{
		bool		isnull;

		moves->only.company_id = DatumGetInt32(SPI_getbinval(only, desc, SPI_fnumber(desc, "company_id"), &isnull));
		moves->only.order_id = DatumGetInt64(SPI_getbinval(only, desc, SPI_fnumber(desc, "id"), &isnull));
		moves->only.customer_id = DatumGetInt64(SPI_getbinval(only, desc, SPI_fnumber(desc, "customer_id"), &isnull));
		moves->only.currency = SPI_getbinval(only, desc, SPI_fnumber(desc, "currency"), &isnull);
	}
}

/*
 * Orders "n" that went to a state in this statement, "o" before.  The CASE
 * hides from the planner that a state is compared with a constant: it would
 * believe that hardly any row has it, and join many rows by nested loops.
 */
#define MOVED_TO(state) \
	"new_rows n JOIN old_rows o ON o.company_id = n.company_id AND o.id = n.id" \
	" AND CASE n.state WHEN '" state "' THEN o.state <> n.state ELSE false END"

/* Column of the first row of the last result, as text. */
static char *
FirstValue(int column)
{
	return SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column);
}

/* An order that becomes confirmed: no hold forbids it, its goods are reserved. */
static void
RefuseConfirmation(void)
{
	static KeptPlan held = {
		.sql = "SELECT n.code, h.reason FROM " MOVED_TO("confirmed")
		" JOIN o2c.hold h ON h.company_id = n.company_id AND h.order_id = n.id"
		" WHERE h.released_at IS NULL AND 'confirm' = ANY (h.blocks)"
		" AND (h.expires_at IS NULL OR h.expires_at > now()) LIMIT 1"
	};
	static KeptPlan unreserved = {
		.sql = "SELECT n.code, p.code, l.quantity - l.cancelled - l.shipped, l.reserved FROM " MOVED_TO("confirmed")
		" JOIN o2c.sales_order_line l ON l.company_id = n.company_id AND l.order_id = n.id"
		" JOIN o2c.product p ON p.company_id = l.company_id AND p.id = l.product_id"
		" WHERE p.stocked AND NOT p.backorder AND l.reserved + l.shipped + l.cancelled < l.quantity LIMIT 1"
	};
	static KeptPlan ruled_out = {
		.sql = "SELECT n.code, f.note FROM (SELECT m.company_id, array_agg(m.id) AS ids FROM"
		"  (SELECT n.company_id, n.id FROM " MOVED_TO("confirmed") ") m"
		"  WHERE m.company_id IN (SELECT r.company_id FROM o2c.credit_rule r WHERE r.active) GROUP BY 1) g"
		" CROSS JOIN LATERAL o2c._credit_findings(g.company_id, g.ids) f"
		" JOIN new_rows n ON n.company_id = g.company_id AND n.id = f.order_id LIMIT 1"
	};

	if (KeptPlanExecute(&held, NULL, NULL, SPI_OK_SELECT) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_O2C_ON_HOLD),
				 errmsg("order %s is on hold: %s", FirstValue(1), FirstValue(2)),
				 errhint("Release it with o2c.release_order().")));
	if (KeptPlanExecute(&ruled_out, NULL, NULL, SPI_OK_SELECT) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_O2C_CREDIT_LIMIT),
				 errmsg("order %s cannot be confirmed", FirstValue(1)),
				 errdetail_internal("%s.", FirstValue(2)),
				 errhint("o2c.confirm_order() puts such an order on hold; the rules stand in o2c.credit_rule.")));
	if (KeptPlanExecute(&unreserved, NULL, NULL, SPI_OK_SELECT) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_O2C_STOCK),
				 errmsg("order %s cannot be confirmed without stock of product \"%s\"",
						FirstValue(1), FirstValue(2)),
				 errdetail("%s are to be delivered, %s are reserved.",
						   FirstValue(3), FirstValue(4)),
				 errhint("Call o2c.confirm_order(), which reserves what it confirms.")));
}

/* Bring the flag of the orders that were noted to what it should be. */
static void
SetDeferred(OrderMoves *moves)
{
	static KeptPlan change = {
		.sql = "UPDATE o2c.sales_order s SET deferred = NOT s.deferred FROM unnest($1, $2) d(company_id, id)"
		" WHERE s.company_id = d.company_id AND s.id = d.id",
		.nargs = 2,
		.argtypes = {INT4ARRAYOID, INT8ARRAYOID}
	};
	Datum		args[2];

	args[0] = PointerGetDatum(construct_array(moves->companies, moves->ndefer, INT4OID, 4, true, TYPALIGN_INT));
	args[1] = PointerGetDatum(construct_array(moves->orders, moves->ndefer, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	setting_deferred = true;
	PG_TRY();
	{
		KeptPlanExecuteDerived(&change, args, NULL, SPI_OK_UPDATE);
	}
	PG_FINALLY();
	{
		setting_deferred = false;
	}
	PG_END_TRY();
}

/*
 * What orders "n", "o" before, add to the accounts: all of it as they begin to
 * count, what is not shipped as they come inside the horizon.  "deferred" is
 * the flag as it now is, "join" what it takes to know it.
 */
#define ORDER_DELTA(deferred, join) \
	"SELECT x.company_id, x.customer_id, x.currency, sum(x.opens * (x.share - x.shipped)) AS oo," \
	" sum(x.counts * x.shipped) AS sni, 0::numeric AS oi, 0::numeric AS ua, 0::numeric AS rt" \
	" FROM (SELECT n.company_id, n.customer_id, n.currency," \
	"   (" COUNTS("n.state") ")::integer - (" COUNTS("o.state") ")::integer AS counts," \
	"   (" COUNTS("n.state") " AND NOT " deferred ")::integer - (" COUNTS("o.state") " AND NOT o.deferred)::integer AS opens," \
	"   " LINE_SHARE("l", "n") " AS share, " LINE_SHIPPED("l", "n") " AS shipped" \
	"  FROM new_rows n JOIN old_rows o ON o.company_id = n.company_id AND o.id = n.id" join \
	"  JOIN o2c.sales_order_line l ON l.company_id = n.company_id AND l.order_id = n.id" \
	"  WHERE (" COUNTS("n.state") ") <> (" COUNTS("o.state") ") OR " deferred " <> o.deferred) x" \
	" GROUP BY 1, 2, 3"

/* What the milestones that were billed of orders "n" take off the accounts: invoices.c changes nothing else of them. */
#define MILESTONE_DELTA \
	"SELECT x.company_id, x.customer_id, x.currency, sum(CASE WHEN x.deferred THEN 0 ELSE x.share - x.shipped END) AS oo," \
	" sum(x.shipped) AS sni, 0::numeric AS oi, 0::numeric AS ua, 0::numeric AS rt" \
	" FROM (SELECT n.company_id, n.customer_id, n.currency, n.deferred," \
	"   " LINE_SHARE("l", "n") " - " LINE_SHARE("l", "o") " AS share," \
	"   " LINE_SHIPPED("l", "n") " - " LINE_SHIPPED("l", "o") " AS shipped" \
	"  FROM new_rows n JOIN old_rows o ON o.company_id = n.company_id AND o.id = n.id" \
	"  JOIN o2c.sales_order_line l ON l.company_id = n.company_id AND l.order_id = n.id" \
	"  WHERE " COUNTS("n.state") ") x" \
	" GROUP BY 1, 2, 3"

/* o2c_credit_on_orders(): AFTER UPDATE ON sales_order, for each statement. */
Datum
o2c_credit_on_orders(PG_FUNCTION_ARGS)
{
	static KeptPlan shipped = {
		.sql = "SELECT n.code, sum(l.shipped) FROM " MOVED_TO("cancelled")
		" JOIN o2c.sales_order_line l ON l.company_id = n.company_id AND l.order_id = n.id"
		" WHERE l.shipped > 0 GROUP BY n.code LIMIT 1"
	};
	/* goods say how far an order is */
	static KeptPlan untrue = {
		.sql = "SELECT n.code, n.state, sum(l.shipped), sum(l.quantity - l.cancelled - l.shipped)"
		" FROM new_rows n JOIN old_rows o ON o.company_id = n.company_id AND o.id = n.id AND o.state <> n.state"
		" JOIN o2c.sales_order_line l ON l.company_id = n.company_id AND l.order_id = n.id"
		" WHERE n.state IN ('fulfilling', 'fulfilled') GROUP BY n.code, n.state"
		" HAVING sum(l.shipped) = 0 OR (n.state = 'fulfilled') <> (sum(l.quantity - l.cancelled - l.shipped) = 0) LIMIT 1"
	};
	/* by line, or by milestones where an order has them */
	static KeptPlan unbilled = {
		.sql = "SELECT n.code, l.line_no FROM " MOVED_TO("closed")
		" JOIN o2c.sales_order_line l ON l.company_id = n.company_id AND l.order_id = n.id"
		" WHERE l.net_amount > 0 AND l.shipped - l.returned > l.billed"
		" AND coalesce((SELECT bool_or(NOT EXISTS (SELECT FROM o2c.invoice_line v"
		"   JOIN o2c.invoice i ON i.company_id = v.company_id AND i.id = v.invoice_id"
		"   WHERE v.company_id = m.company_id AND v.milestone_id = m.id AND i.state NOT IN ('draft', 'void')))"
		"  FROM o2c.billing_milestone m WHERE m.company_id = n.company_id AND m.order_id = n.id), true)"
		" ORDER BY l.line_no LIMIT 1"
	};
	/* with an older snapshot, goods picked meanwhile are not seen, but their lines changed */
	static KeptPlan lock_lines = {
		.sql = "SELECT count(*) FROM (SELECT FROM o2c.sales_order_line l"
		" WHERE (l.company_id, l.order_id) IN (SELECT n.company_id, n.id FROM " MOVED_TO("cancelled") ")"
		" ORDER BY l.company_id, l.id FOR NO KEY UPDATE) x"
	};
	static KeptPlan put_back = {
		.sql = "UPDATE o2c.shipment h SET state = 'cancelled' FROM " MOVED_TO("cancelled")
		" WHERE h.company_id = n.company_id AND h.order_id = n.id AND h.state IN ('planned', 'picked', 'packed')"
	};
	static KeptPlan release = {
		.sql = "UPDATE o2c.sales_order_line l SET reserved = 0"
		" FROM new_rows n JOIN old_rows o ON o.company_id = n.company_id AND o.id = n.id AND o.state <> n.state"
		" WHERE l.company_id = n.company_id AND l.order_id = n.id AND l.reserved > 0"
		" AND n.state IN ('draft', 'submitted', 'cancelled')"
	};
	static KeptPlan apply = {.sql = CREDIT_APPLY(ORDER_DELTA("n.deferred", ""))};
	static KeptPlan apply_deferral = {
		.sql = CREDIT_APPLY(ORDER_DELTA("f.deferred", " JOIN o2c.sales_order f ON f.company_id = n.company_id AND f.id = n.id"))
	};
	static KeptPlan bill = {.sql = CREDIT_APPLY(MILESTONE_DELTA)};
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_credit_on_orders");
	OrderMoves	moves;
	TriggerFrame frame;

	if (setting_deferred)
		return PointerGetDatum(NULL);
	FindMoves(trigdata, &moves);
	if (!moves.confirm && !moves.credit && !moves.leave && !moves.close && !moves.progress)
		return PointerGetDatum(NULL);

	if (moves.credit && moves.moved > 0)
		RequestEarlyReleaseOfCredit();
	if (moves.moved == 1 && moves.credit && !moves.cancel && !moves.close && !moves.progress &&
		!moves.flipped && !moves.milestones && moves.ndefer == 0 &&
		CreditQuick(&moves.only))
		return PointerGetDatum(NULL);

	TriggerFrameBegin(&frame, trigdata);
	if (moves.confirm)
		RefuseConfirmation();
	if (moves.progress && KeptPlanExecute(&untrue, NULL, NULL, SPI_OK_SELECT) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_O2C_LIFECYCLE),
				 errmsg("order %s cannot be %s", FirstValue(1), FirstValue(2)),
				 errdetail("%s of it have been shipped, %s are open.", FirstValue(3), FirstValue(4)),
				 errhint("Ship it with o2c.ship_order(); o2c.cancel_rest() cancels what is still open.")));
	if (moves.cancel && KeptPlanExecute(&shipped, NULL, NULL, SPI_OK_SELECT) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_O2C_LIFECYCLE),
				 errmsg("order %s cannot be cancelled", FirstValue(1)),
				 errdetail("Goods of it have been shipped."),
				 errhint("o2c.cancel_rest() cancels what is still open.")));
	if (moves.close && KeptPlanExecute(&unbilled, NULL, NULL, SPI_OK_SELECT) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_O2C_LIFECYCLE),
				 errmsg("order %s cannot be closed", FirstValue(1)),
				 errdetail("Line %s is shipped and not yet invoiced.", FirstValue(2)),
				 errhint("Invoice it with o2c.invoice_order().")));
	if (moves.cancel && IsolationUsesXactSnapshot())
		KeptPlanExecute(&lock_lines, NULL, NULL, SPI_OK_SELECT);
	if (moves.cancel)
		KeptPlanExecute(&put_back, NULL, NULL, SPI_OK_UPDATE);
	if (moves.leave)
		KeptPlanExecute(&release, NULL, NULL, SPI_OK_UPDATE);
	if (moves.ndefer > 0)
		SetDeferred(&moves);
	if (moves.credit)
		CreditApply(moves.billed ? &bill : moves.ndefer > 0 ? &apply_deferral : &apply,
					moves.confirm || moves.ndefer > 0);
	TriggerFrameEnd(&frame);
	return PointerGetDatum(NULL);
}
