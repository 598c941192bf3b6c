/*
 * shipments.c
 *		From shipments to order lines, stock and the order's state.
 *
 * Two AFTER statement triggers.  That of shipment_line counts what is picked
 * and returned, that of shipment what leaves or is put back; both lock the
 * orders first, then the lines, then the stock, so that two shipments of the
 * same last piece meet on the line and the second is refused.
 */
#include "o2c.h"

#include "catalog/pg_type.h"

#include "lifecycle/order_lock.h"

PG_FUNCTION_INFO_V1(o2c_follow_shipments);
PG_FUNCTION_INFO_V1(o2c_follow_shipment_lines);
PG_FUNCTION_INFO_V1(o2c_ship_at_once);

/* Column of the first row of the last result, as text. */
static char *
FirstValue(int column)
{
	return SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column);
}

#define LOCK_OF_LINES(rows) \
	"SELECT count(*) FROM (SELECT 1 FROM o2c.sales_order s WHERE (s.company_id, s.id) IN" \
	"  (SELECT h.company_id, h.order_id FROM " rows " r" \
	"   JOIN o2c.shipment h ON h.company_id = r.company_id AND h.id = r.shipment_id)" \
	"  ORDER BY s.company_id, s.id FOR NO KEY UPDATE) x"
#define GRAB_OF_LINES(rows) \
	GRAB_ORDERS("SELECT h.company_id, h.order_id FROM " rows " r" \
				" JOIN o2c.shipment h ON h.company_id = r.company_id AND h.id = r.shipment_id")
#define LOCK_LINES(rows) \
	"SELECT count(*) FROM (SELECT 1 FROM o2c.sales_order_line l WHERE (l.company_id, l.id) IN" \
	"  (SELECT r.company_id, r.order_line_id FROM " rows " r)" \
	"  ORDER BY l.company_id, l.id FOR NO KEY UPDATE) x"
#define ADD_PICKED(rows, sign) \
	"UPDATE o2c.sales_order_line l SET picked = l.picked " sign " d.quantity" \
	" FROM (SELECT r.company_id, r.order_line_id, sum(r.quantity) AS quantity FROM " rows " r GROUP BY 1, 2) d" \
	" WHERE l.company_id = d.company_id AND l.id = d.order_line_id"

/*
 * Shipments "n" that went to a state in this statement, "o" before.  The CASE
 * hides from the planner that a state is compared with a constant: it would
 * believe that hardly any row has it, and join many rows by nested loops.
 */
#define WENT_TO(state) \
	"new_rows n JOIN old_rows o ON o.company_id = n.company_id AND o.id = n.id" \
	" AND CASE n.state WHEN '" state "' THEN o.state <> n.state ELSE false END"
/* What the shipments that leave take of each order line. */
#define LEAVING \
	"SELECT w.company_id, w.order_line_id, sum(w.quantity) AS quantity FROM " WENT_TO("shipped") \
	" JOIN o2c.shipment_line w ON w.company_id = n.company_id AND w.shipment_id = n.id GROUP BY 1, 2"
/* The same of lines that are added to shipments which leave at once. */
#define LEAVING_AT_ONCE \
	"SELECT r.company_id, r.order_line_id, sum(r.quantity) AS quantity FROM new_rows r GROUP BY 1, 2"
/* And of each place of stock. */
#define TAKEN(leaving) \
	"SELECT l.company_id, l.product_id, s.warehouse, sum(v.quantity) AS quantity, sum(least(l.reserved, v.quantity)) AS reserved" \
	" FROM (" leaving ") v JOIN o2c.sales_order_line l ON l.company_id = v.company_id AND l.id = v.order_line_id" \
	" JOIN o2c.sales_order s ON s.company_id = l.company_id AND s.id = l.order_id" \
	" JOIN o2c.product p ON p.company_id = l.company_id AND p.id = l.product_id AND p.stocked GROUP BY 1, 2, 3"

/* The places of stock are locked in the order of their keys, and then judged. */
#define SHORTAGE(leaving) \
	"WITH t AS MATERIALIZED (" TAKEN(leaving) ")," \
	" k AS MATERIALIZED (SELECT k.company_id, k.product_id, k.warehouse, k.on_hand, k.reserved, k.available FROM o2c.stock k" \
	"  WHERE (k.company_id, k.product_id, k.warehouse) IN (SELECT t.company_id, t.product_id, t.warehouse FROM t)" \
	"  ORDER BY k.company_id, k.product_id, k.warehouse COLLATE \"C\" FOR NO KEY UPDATE)" \
	" SELECT p.code, t.quantity, coalesce(k.on_hand, 0), coalesce(k.reserved, 0) FROM t" \
	" LEFT JOIN k ON k.company_id = t.company_id AND k.product_id = t.product_id AND k.warehouse = t.warehouse" \
	" JOIN o2c.product p ON p.company_id = t.company_id AND p.id = t.product_id" \
	" WHERE t.quantity - t.reserved > coalesce(k.available, 0) ORDER BY p.code LIMIT 1"
#define SHIP(leaving, picked) \
	"UPDATE o2c.sales_order_line l SET shipped = l.shipped + v.quantity," picked \
	" reserved = l.reserved - least(l.reserved, v.quantity) FROM (" leaving ") v" \
	" WHERE l.company_id = v.company_id AND l.id = v.order_line_id"
/* The trigger of the lines has taken back what they had reserved. */
#define TAKE(leaving) \
	"UPDATE o2c.stock k SET on_hand = k.on_hand - t.quantity FROM (" TAKEN(leaving) ") t" \
	" WHERE k.company_id = t.company_id AND k.product_id = t.product_id AND k.warehouse = t.warehouse"

/* True while shipments are made that leave at once: each order line is written once. */
static bool shipping_at_once = false;

/* Lines and stock follow goods that leave; the lines are locked. */
static void
TakeGoods(KeptPlan *shortage, KeptPlan *ship, KeptPlan *take)
{
	if (KeptPlanExecute(shortage, NULL, NULL, SPI_OK_SELECT) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_O2C_STOCK),
				 errmsg("not enough stock of product \"%s\" to ship", FirstValue(1)),
				 errdetail("%s are to be shipped, %s are on hand, of which orders have reserved %s.",
						   FirstValue(2), FirstValue(3), FirstValue(4))));
	KeptPlanExecuteDerived(ship, NULL, NULL, SPI_OK_UPDATE);
	KeptPlanExecuteDerived(take, NULL, NULL, SPI_OK_UPDATE);
}

/* o2c_follow_shipment_lines(): AFTER INSERT, UPDATE or DELETE ON shipment_line, for each statement. */
Datum
o2c_follow_shipment_lines(PG_FUNCTION_ARGS)
{
	static KeptPlan lock_new = {.sql = LOCK_OF_LINES("new_rows")};
	static KeptPlan grab_new = {.sql = GRAB_OF_LINES("new_rows")};
	static KeptPlan grab_old = {.sql = GRAB_OF_LINES("old_rows")};
	static KeptPlan lines_new = {.sql = LOCK_LINES("new_rows")};
	static KeptPlan lines_old = {.sql = LOCK_LINES("old_rows")};
	static KeptPlan misplaced = {
		.sql = "SELECT s.code, r.shipment_id, h.state, s.state FROM new_rows r"
		" JOIN o2c.shipment h ON h.company_id = r.company_id AND h.id = r.shipment_id"
		" JOIN o2c.sales_order s ON s.company_id = h.company_id AND s.id = h.order_id"
		" JOIN o2c.sales_order_line l ON l.company_id = r.company_id AND l.id = r.order_line_id"
		" WHERE h.state <> 'planned' OR s.state NOT IN ('confirmed', 'fulfilling') OR l.order_id <> h.order_id"
		"  OR r.returned <> 0 LIMIT 1"
	};
	static KeptPlan over = {
		.sql = "SELECT s.code, l.line_no, d.quantity, l.quantity - l.cancelled - l.picked"
		" FROM (SELECT r.company_id, r.order_line_id, sum(r.quantity) AS quantity FROM new_rows r GROUP BY 1, 2) d"
		" JOIN o2c.sales_order_line l ON l.company_id = d.company_id AND l.id = d.order_line_id"
		" JOIN o2c.sales_order s ON s.company_id = l.company_id AND s.id = l.order_id"
		" WHERE d.quantity > l.quantity - l.cancelled - l.picked ORDER BY l.line_no LIMIT 1"
	};
	static KeptPlan pick = {.sql = ADD_PICKED("new_rows", "+")};
	static KeptPlan shortage = {.sql = SHORTAGE(LEAVING_AT_ONCE)};
	static KeptPlan ship = {.sql = SHIP(LEAVING_AT_ONCE, " picked = l.picked + v.quantity,")};
	static KeptPlan take = {.sql = TAKE(LEAVING_AT_ONCE)};
	static KeptPlan gone = {
		.sql = "SELECT r.shipment_id, h.state FROM old_rows r"
		" JOIN o2c.shipment h ON h.company_id = r.company_id AND h.id = r.shipment_id WHERE h.state NOT IN ('planned', 'cancelled') LIMIT 1"
	};
	/* those of a cancelled shipment were put back when it was cancelled */
	static KeptPlan unpick = {
		.sql = ADD_PICKED("(SELECT o.* FROM old_rows o JOIN o2c.shipment h ON h.company_id = o.company_id"
						  " AND h.id = o.shipment_id AND h.state = 'planned')", "-")
	};
	static KeptPlan changed = {
		.sql = "SELECT n.shipment_id, h.state FROM new_rows n JOIN old_rows o ON o.company_id = n.company_id AND o.id = n.id"
		" JOIN o2c.shipment h ON h.company_id = n.company_id AND h.id = n.shipment_id"
		" WHERE (n.shipment_id, n.order_line_id, n.quantity) IS DISTINCT FROM (o.shipment_id, o.order_line_id, o.quantity)"
		"  OR (n.returned <> o.returned AND h.state NOT IN ('shipped', 'delivered')) LIMIT 1"
	};
	static KeptPlan give_back = {
		.sql = "UPDATE o2c.sales_order_line l SET returned = l.returned + d.quantity"
		" FROM (SELECT n.company_id, n.order_line_id, sum(n.returned - o.returned) AS quantity"
		"  FROM new_rows n JOIN old_rows o ON o.company_id = n.company_id AND o.id = n.id"
		"  WHERE n.returned <> o.returned GROUP BY 1, 2) d"
		" WHERE l.company_id = d.company_id AND l.id = d.order_line_id"
	};
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_follow_shipment_lines");
	TriggerFrame frame;

	TriggerFrameBegin(&frame, trigdata);
	if (TRIGGER_FIRED_BY_INSERT(trigdata->tg_event))
	{
		KeptPlanExecute(&lock_new, NULL, NULL, SPI_OK_SELECT);
		KeptPlanExecute(&lines_new, NULL, NULL, SPI_OK_SELECT);
		if (KeptPlanExecute(&misplaced, NULL, NULL, SPI_OK_SELECT) > 0)
			ereport(ERROR,
					(errcode(ERRCODE_O2C_LIFECYCLE),
					 errmsg("a shipment of order %s cannot take a line", FirstValue(1)),
					 errdetail("Shipment %s is %s, its order is %s.",
							   FirstValue(2), FirstValue(3), FirstValue(4)),
					 errhint("Only planned shipments of confirmed orders take lines, of their own order.")));
		if (KeptPlanExecute(&over, NULL, NULL, SPI_OK_SELECT) > 0)
			ereport(ERROR,
					(errcode(ERRCODE_O2C_QUANTITY),
					 errmsg("order %s line %s: %s wanted, %s open", FirstValue(1), FirstValue(2),
							FirstValue(3), FirstValue(4))));
		if (shipping_at_once)
			TakeGoods(&shortage, &ship, &take);
		else
			KeptPlanExecuteDerived(&pick, NULL, NULL, SPI_OK_UPDATE);
	}
	else if (TRIGGER_FIRED_BY_DELETE(trigdata->tg_event))
	{
		GrabOrders(&grab_old);
		KeptPlanExecute(&lines_old, NULL, NULL, SPI_OK_SELECT);
		if (KeptPlanExecute(&gone, NULL, NULL, SPI_OK_SELECT) > 0)
			ereport(ERROR,
					(errcode(ERRCODE_O2C_IMMUTABLE),
					 errmsg("lines of shipment %s cannot be removed", FirstValue(1)),
					 errdetail("The shipment is %s.", FirstValue(2)),
					 errhint("Cancel the shipment with o2c.cancel_shipment() before it leaves.")));
		KeptPlanExecuteDerived(&unpick, NULL, NULL, SPI_OK_UPDATE);
	}
	else
	{
		GrabOrders(&grab_new);
		KeptPlanExecute(&lines_new, NULL, NULL, SPI_OK_SELECT);
		if (KeptPlanExecute(&changed, NULL, NULL, SPI_OK_SELECT) > 0)
			ereport(ERROR,
					(errcode(ERRCODE_O2C_IMMUTABLE),
					 errmsg("lines of shipment %s cannot be changed", FirstValue(1)),
					 errdetail("The shipment is %s.", FirstValue(2)),
					 errhint("o2c.return_goods() takes goods back once they were shipped.")));
		KeptPlanExecuteDerived(&give_back, NULL, NULL, SPI_OK_UPDATE);
	}
	TriggerFrameEnd(&frame);
	return PointerGetDatum(NULL);
}

/* Goods leave: lines, stock and orders follow. */
static void
ShipGoods(void)
{
	static KeptPlan refused = {
		.sql = "SELECT s.code, s.state, (SELECT string_agg(b.reason, ', ') FROM o2c.hold b WHERE b.company_id = s.company_id"
		"  AND b.order_id = s.id AND b.released_at IS NULL AND 'ship' = ANY (b.blocks)"
		"  AND (b.expires_at IS NULL OR b.expires_at > now())) AS held"
		" FROM " WENT_TO("shipped")
		" JOIN o2c.sales_order s ON s.company_id = n.company_id AND s.id = n.order_id"
		" WHERE s.state NOT IN ('confirmed', 'fulfilling')"
		"  OR EXISTS (SELECT FROM o2c.hold b WHERE b.company_id = s.company_id AND b.order_id = s.id"
		"   AND b.released_at IS NULL AND 'ship' = ANY (b.blocks) AND (b.expires_at IS NULL OR b.expires_at > now())) LIMIT 1"
	};
	static KeptPlan lock_lines = {
		.sql = "SELECT count(*) FROM (SELECT 1 FROM o2c.sales_order_line l WHERE (l.company_id, l.id) IN"
		" (SELECT v.company_id, v.order_line_id FROM (" LEAVING ") v) ORDER BY l.company_id, l.id FOR NO KEY UPDATE) x"
	};
	static KeptPlan shortage = {.sql = SHORTAGE(LEAVING)};
	static KeptPlan ship = {.sql = SHIP(LEAVING, "")};
	static KeptPlan take = {.sql = TAKE(LEAVING)};
	static KeptPlan move_orders = {
		.sql = "UPDATE o2c.sales_order s SET state = d.state"
		" FROM (SELECT x.company_id, x.order_id, CASE WHEN bool_or(l.shipped + l.cancelled < l.quantity)"
		"   THEN 'fulfilling'::o2c.order_state ELSE 'fulfilled' END AS state"
		"  FROM (SELECT DISTINCT n.company_id, n.order_id FROM " WENT_TO("shipped") ") x"
		"  JOIN o2c.sales_order_line l ON l.company_id = x.company_id AND l.order_id = x.order_id GROUP BY 1, 2) d"
		" WHERE s.company_id = d.company_id AND s.id = d.order_id AND s.state <> d.state"
	};
	/*
	 * The number of the transport document is drawn last, because its series
	 * stays locked until the transaction ends.  It is of the day the goods
	 * left, but dates do not run backwards within a series, nor ahead of today:
	 * the series is locked before its last day is asked for.
	 */
	static KeptPlan number = {
		.sql = "WITH k AS MATERIALIZED (SELECT c.company_id, o2c._last_number_date(c.company_id, 'shipment') AS last_date"
		"  FROM (SELECT DISTINCT s.company_id FROM " WENT_TO("shipped")
		"   JOIN o2c.number_series s ON s.company_id = n.company_id AND s.code = 'shipment' WHERE n.number IS NULL ORDER BY 1) c),"
		" r AS (SELECT n.company_id, n.id, s.pattern, coalesce(s.prefix, s.code) AS prefix,"
		"   greatest(k.last_date, least(coalesce(n.shipped_on, o2c.today(n.company_id)), o2c.today(n.company_id))) AS on_date"
		"  FROM " WENT_TO("shipped")
		"  JOIN o2c.number_series s ON s.company_id = n.company_id AND s.code = 'shipment'"
		"  JOIN k ON k.company_id = n.company_id WHERE n.number IS NULL),"
		" d AS MATERIALIZED (SELECT c.company_id, c.on_date, o2c._draw_numbers(c.company_id, 'shipment', c.on_date, c.n::integer) AS first"
		"  FROM (SELECT r.company_id, r.on_date, count(*) AS n FROM r GROUP BY 1, 2 ORDER BY 1, 2) c)"
		" UPDATE o2c.shipment h SET number = o2c._format_number(i.pattern, i.prefix, i.on_date, d.first + i.i - 1)"
		" FROM (SELECT r.*, row_number() OVER (PARTITION BY r.company_id, r.on_date ORDER BY r.id) AS i FROM r) i"
		" JOIN d ON d.company_id = i.company_id AND d.on_date = i.on_date"
		" WHERE h.company_id = i.company_id AND h.id = i.id"
	};

	if (KeptPlanExecute(&refused, NULL, NULL, SPI_OK_SELECT) > 0)
	{
		if (FirstValue(3) != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_O2C_ON_HOLD),
					 errmsg("order %s is on hold: %s", FirstValue(1), FirstValue(3)),
					 errhint("Release it with o2c.release_order().")));
		ereport(ERROR,
				(errcode(ERRCODE_O2C_LIFECYCLE),
				 errmsg("order %s is %s and cannot be shipped", FirstValue(1), FirstValue(2)),
				 errhint("Only confirmed orders are shipped.")));
	}
	if (!shipping_at_once)
	{
		KeptPlanExecute(&lock_lines, NULL, NULL, SPI_OK_SELECT);
		TakeGoods(&shortage, &ship, &take);
	}
	KeptPlanExecuteDerived(&move_orders, NULL, NULL, SPI_OK_UPDATE);
	KeptPlanExecute(&number, NULL, NULL, SPI_OK_UPDATE);
}

/* o2c_follow_shipments(): AFTER UPDATE ON shipment, for each statement. */
Datum
o2c_follow_shipments(PG_FUNCTION_ARGS)
{
	static KeptPlan moves = {
		.sql = "SELECT coalesce(bool_or(n.state = 'shipped' AND o.state <> n.state), false), coalesce(bool_or(n.state = 'cancelled' AND o.state <> n.state), false),"
		" coalesce(bool_or(n.order_id <> o.order_id OR n.number <> o.number OR (n.number IS NULL AND o.number IS NOT NULL)), false)"
		" FROM new_rows n JOIN old_rows o ON o.company_id = n.company_id AND o.id = n.id"
		" WHERE o.state <> n.state OR n.order_id <> o.order_id OR n.number IS DISTINCT FROM o.number"
	};
	static KeptPlan grab = {.sql = GRAB_ORDERS("SELECT n.company_id, n.order_id FROM new_rows n")};
	static KeptPlan put_back = {
		.sql = "UPDATE o2c.sales_order_line l SET picked = l.picked - d.quantity"
		" FROM (SELECT w.company_id, w.order_line_id, sum(w.quantity) AS quantity FROM " WENT_TO("cancelled")
		"  JOIN o2c.shipment_line w ON w.company_id = n.company_id AND w.shipment_id = n.id GROUP BY 1, 2) d"
		" WHERE l.company_id = d.company_id AND l.id = d.order_line_id"
	};
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_follow_shipments");
	TriggerFrame frame;
	HeapTuple	tuple;
	TupleDesc	desc;
	bool		isnull;
	bool		ship;
	bool		cancel;

	TriggerFrameBegin(&frame, trigdata);
	KeptPlanExecute(&moves, NULL, NULL, SPI_OK_SELECT);
	tuple = SPI_tuptable->vals[0];
	desc = SPI_tuptable->tupdesc;
	ship = DatumGetBool(SPI_getbinval(tuple, desc, 1, &isnull));
	cancel = DatumGetBool(SPI_getbinval(tuple, desc, 2, &isnull));
	if (DatumGetBool(SPI_getbinval(tuple, desc, 3, &isnull)))
		ereport(ERROR,
				(errcode(ERRCODE_O2C_IMMUTABLE),
				 errmsg("a shipment keeps its order and its number")));
	if (ship || cancel)
		GrabOrders(&grab);
	if (ship)
		ShipGoods();
	if (cancel)
		KeptPlanExecuteDerived(&put_back, NULL, NULL, SPI_OK_UPDATE);
	TriggerFrameEnd(&frame);
	return PointerGetDatum(NULL);
}

/*
 * _ship_at_once(company, order_ids, on_date): runs _make_shipments(), whose
 * shipments leave in the statement after the one that makes their lines, so
 * that the goods leave with the lines already.
 */
Datum
o2c_ship_at_once(PG_FUNCTION_ARGS)
{
	static KeptPlan make = {
		.sql = "SELECT o2c._make_shipments($1, $2, $3)",
		.nargs = 3,
		.argtypes = {INT4OID, INT8ARRAYOID, DATEOID}
	};
	bool		save = shipping_at_once;
	Datum		args[3];
	Datum		made;
	bool		isnull;

	for (int i = 0; i < 3; i++)
		args[i] = PG_GETARG_DATUM(i);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	shipping_at_once = true;
	PG_TRY();
	{
		(void) KeptPlanExecuteRow(&make, args, NULL, SPI_OK_SELECT);
	}
	PG_FINALLY();
	{
		shipping_at_once = save;
	}
	PG_END_TRY();
	made = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	if (!isnull)
		made = SPI_datumTransfer(made, false, -1);
	SPI_finish();
	if (isnull)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(made);
}
