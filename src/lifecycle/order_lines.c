/*
 * order_lines.c
 *		What a change of order lines means for their order, the stock and the
 *		credit of the customer.
 *
 * One AFTER statement trigger for INSERT, UPDATE and DELETE.  It locks the
 * orders concerned, so that their state holds until the end of the
 * transaction, refuses changes of content after submission, and derives the
 * order's total, the stock's reserved quantity and the customer's exposure.
 */
#include "o2c.h"

#include "catalog/pg_type.h"

#include "credit/credit.h"
#include "lifecycle/order_lock.h"

PG_FUNCTION_INFO_V1(o2c_follow_order_lines);

#define LOCK_ORDERS(rows) \
	"SELECT count(*) FROM (SELECT 1 FROM o2c.sales_order s" \
	" WHERE (s.company_id, s.id) IN (SELECT r.company_id, r.order_id FROM " rows " r)" \
	" ORDER BY s.company_id, s.id FOR NO KEY UPDATE) x"
#define ADD_TOTALS(deltas) \
	"UPDATE o2c.sales_order s SET total_amount = s.total_amount + d.amount" \
	" FROM (SELECT x.company_id, x.order_id, sum(x.amount) AS amount FROM (" deltas ") x GROUP BY 1, 2) d" \
	" WHERE s.company_id = d.company_id AND s.id = d.order_id AND d.amount <> 0"
#define NET(rows, sign) \
	"SELECT r.company_id, r.order_id, " sign "r.net_amount AS amount FROM " rows " r"
/* Reserved quantities that changed, per place of stock. */
#define RESERVED(deltas) \
	"SELECT x.company_id, x.product_id, s.warehouse, sum(x.quantity) AS quantity" \
	" FROM (" deltas ") x JOIN o2c.sales_order s ON s.company_id = x.company_id AND s.id = x.order_id" \
	" GROUP BY 1, 2, 3 HAVING sum(x.quantity) <> 0"
#define RESERVES(rows, sign) \
	"SELECT r.company_id, r.order_id, r.product_id, " sign "r.reserved AS quantity FROM " rows " r WHERE r.reserved <> 0"
#define RESERVED_BY_UPDATE RESERVED(RESERVES("new_rows", "") " UNION ALL " RESERVES("old_rows", "-"))

#define GRAB(rows) GRAB_ORDERS("SELECT r.company_id, r.order_id FROM " rows " r")

/* Column of the first row of the last result, as text. */
static char *
FirstValue(int column)
{
	return SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column);
}

/* Lock orders without waiting; see order_lock.h. */
void
GrabOrders(KeptPlan *grab)
{
	if (KeptPlanExecute(grab, NULL, NULL, SPI_OK_SELECT) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("order %s is being changed by another transaction", FirstValue(1)),
				 errhint("Try again, or lock the order before its lines and shipments.")));
}

/* Refuse when the last statement found a line whose order is not open to change. */
static void
RefuseContent(int found)
{
	if (found > 0)
		ereport(ERROR,
				(errcode(ERRCODE_O2C_IMMUTABLE),
				 errmsg("line %s of order %s cannot be changed", FirstValue(2), FirstValue(1)),
				 errdetail("The order is %s in %s.", FirstValue(3), FirstValue(4)),
				 errhint("Lines change while an order is a draft; o2c.amend_order() changes a confirmed one.")));
}

/* Carry reserved quantities to the stock. */
static void
FollowReservations(void)
{
	static KeptPlan lock_rows = {
		.sql = "SELECT FROM o2c.stock k WHERE (k.company_id, k.product_id, k.warehouse) IN"
		" (SELECT d.company_id, d.product_id, d.warehouse FROM (" RESERVED_BY_UPDATE ") d)"
		" ORDER BY k.company_id, k.product_id, k.warehouse COLLATE \"C\" FOR NO KEY UPDATE"
	};
	static KeptPlan shortage = {
		.sql = "SELECT p.code, d.quantity, k.available FROM (" RESERVED_BY_UPDATE ") d"
		" JOIN o2c.product p ON p.company_id = d.company_id AND p.id = d.product_id"
		" LEFT JOIN o2c.stock k ON k.company_id = d.company_id AND k.product_id = d.product_id AND k.warehouse = d.warehouse"
		" WHERE d.quantity > coalesce(k.available, 0) AND d.quantity > 0 ORDER BY p.code LIMIT 1"
	};
	static KeptPlan carry = {
		.sql = "UPDATE o2c.stock k SET reserved = k.reserved + d.quantity FROM (" RESERVED_BY_UPDATE ") d"
		" WHERE k.company_id = d.company_id AND k.product_id = d.product_id AND k.warehouse = d.warehouse"
	};

	KeptPlanExecute(&lock_rows, NULL, NULL, SPI_OK_SELECT);
	if (KeptPlanExecute(&shortage, NULL, NULL, SPI_OK_SELECT) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_O2C_STOCK),
				 errmsg("not enough stock of product \"%s\"", FirstValue(1)),
				 errdetail("%s more are to be reserved, %s are available.", FirstValue(2),
						   FirstValue(3) ? FirstValue(3) : "0")));
	KeptPlanExecuteDerived(&carry, NULL, NULL, SPI_OK_UPDATE);
}

/* Lines came or went: only while the order is open, with nothing done yet. */
static void
FollowLines(bool insert)
{
	static KeptPlan lock_new = {.sql = LOCK_ORDERS("new_rows")};
	static KeptPlan grab_old = {.sql = GRAB("old_rows")};
	static KeptPlan check_new = {
		.sql = "SELECT s.code, r.line_no, s.state, s.currency FROM new_rows r"
		" JOIN o2c.sales_order s ON s.company_id = r.company_id AND s.id = r.order_id"
		" WHERE s.state NOT IN ('draft', 'submitted') OR r.currency <> s.currency"
		" OR r.reserved <> 0 OR r.picked <> 0 OR r.shipped <> 0 OR r.returned <> 0 OR r.invoiced <> 0 OR r.billed <> 0 OR r.cancelled <> 0 LIMIT 1"
	};
	static KeptPlan check_old = {
		.sql = "SELECT s.code, r.line_no, s.state, s.currency FROM old_rows r"
		" JOIN o2c.sales_order s ON s.company_id = r.company_id AND s.id = r.order_id"
		" WHERE s.state NOT IN ('draft', 'submitted') OR r.reserved <> 0 LIMIT 1"
	};
	static KeptPlan total_new = {.sql = ADD_TOTALS(NET("new_rows", ""))};
	static KeptPlan total_old = {.sql = ADD_TOTALS(NET("old_rows", "-"))};

	if (insert)
		KeptPlanExecute(&lock_new, NULL, NULL, SPI_OK_SELECT);
	else
		GrabOrders(&grab_old);
	RefuseContent(KeptPlanExecute(insert ? &check_new : &check_old, NULL, NULL, SPI_OK_SELECT));
	KeptPlanExecuteDerived(insert ? &total_new : &total_old, NULL, NULL, SPI_OK_UPDATE);
}

/* Columns, ending with NULL, whose change calls for work. */
static const char *const content_columns[] = {
	"order_id", "line_no", "product_id", "quantity", "unit_price", "discount_percent", "currency", "net_amount",
	"tax_category", NULL
};
static const char *const reserved_columns[] = {"reserved", NULL};
static const char *const cancelled_columns[] = {"cancelled", NULL};
static const char *const progress_columns[] = {"cancelled", "shipped", "returned", "billed", NULL};

/* o2c_follow_order_lines(): AFTER INSERT, UPDATE or DELETE ON sales_order_line, for each statement. */
Datum
o2c_follow_order_lines(PG_FUNCTION_ARGS)
{
	static KeptPlan grab = {.sql = GRAB("new_rows")};
	static KeptPlan check_content = {
		.sql = "SELECT s.code, n.line_no, s.state, s.currency"
		" FROM new_rows n JOIN old_rows o ON o.company_id = n.company_id AND o.id = n.id"
		" JOIN o2c.sales_order s ON s.company_id = n.company_id AND s.id = n.order_id"
		" WHERE ((n.order_id, n.line_no, n.product_id, n.quantity, n.unit_price, n.discount_percent, n.currency,"
		"   n.net_amount, n.tax_category) IS DISTINCT FROM (o.order_id, o.line_no, o.product_id, o.quantity,"
		"   o.unit_price, o.discount_percent, o.currency, o.net_amount, o.tax_category)"
		"  AND (s.state NOT IN ('draft', 'submitted') OR n.order_id <> o.order_id OR n.currency <> s.currency"
		"   OR (n.product_id <> o.product_id AND o.reserved <> 0))) LIMIT 1"
	};
	static KeptPlan totals = {.sql = ADD_TOTALS(NET("new_rows", "") " UNION ALL " NET("old_rows", "-"))};
	static KeptPlan check_reserved = {
		.sql = "SELECT s.code, n.line_no, s.state, s.currency"
		" FROM new_rows n JOIN old_rows o ON o.company_id = n.company_id AND o.id = n.id"
		" JOIN o2c.sales_order s ON s.company_id = n.company_id AND s.id = n.order_id"
		" WHERE n.reserved > o.reserved AND s.state NOT IN ('submitted', 'confirmed', 'fulfilling') LIMIT 1"
	};
	/* credit was given back for what is cancelled, and a fulfilled order has nothing open */
	static KeptPlan check_cancelled = {
		.sql = "SELECT s.code, n.line_no, s.state, s.currency"
		" FROM new_rows n JOIN old_rows o ON o.company_id = n.company_id AND o.id = n.id"
		" JOIN o2c.sales_order s ON s.company_id = n.company_id AND s.id = n.order_id"
		" WHERE n.cancelled < o.cancelled AND s.state NOT IN ('draft', 'submitted') LIMIT 1"
	};
	static KeptPlan apply = {
		.sql = CREDIT_APPLY("SELECT x.company_id, x.customer_id, x.currency,"
							" sum(CASE WHEN x.deferred THEN 0 ELSE x.sign * (x.share - x.shipped) END) AS oo,"
							" sum(x.sign * x.shipped) AS sni, 0::numeric AS oi, 0::numeric AS ua, 0::numeric AS rt"
							" FROM (SELECT s.company_id, s.customer_id, s.currency, s.deferred, l.sign, " LINE_SHARE("l", "s") " AS share,"
							"   " LINE_SHIPPED("l", "s") " AS shipped"
							"  FROM (SELECT n.*, 1 AS sign FROM new_rows n UNION ALL SELECT o.*, -1 FROM old_rows o) l"
							"  JOIN o2c.sales_order s ON s.company_id = l.company_id AND s.id = l.order_id"
							"  WHERE " COUNTS("s.state") ") x"
							" GROUP BY 1, 2, 3")
	};
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_follow_order_lines");
	TriggerFrame frame;
	bool		content;
	bool		reserved;
	bool		progress;
	bool		cancelled;

	if (!TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event))
	{
		TriggerFrameBegin(&frame, trigdata);
		FollowLines(TRIGGER_FIRED_BY_INSERT(trigdata->tg_event));
		TriggerFrameEnd(&frame);
		return PointerGetDatum(NULL);
	}

	content = RowsDiffer(trigdata, content_columns);
	reserved = RowsDiffer(trigdata, reserved_columns);
	progress = RowsDiffer(trigdata, progress_columns);
	cancelled = progress && RowsDiffer(trigdata, cancelled_columns);
	if (content || reserved || progress)
	{
		TriggerFrameBegin(&frame, trigdata);
		GrabOrders(&grab);
		if (content)
		{
			RefuseContent(KeptPlanExecute(&check_content, NULL, NULL, SPI_OK_SELECT));
			KeptPlanExecuteDerived(&totals, NULL, NULL, SPI_OK_UPDATE);
		}
		if (reserved)
		{
			RefuseContent(KeptPlanExecute(&check_reserved, NULL, NULL, SPI_OK_SELECT));
			FollowReservations();
		}
		if (cancelled)
			RefuseContent(KeptPlanExecute(&check_cancelled, NULL, NULL, SPI_OK_SELECT));
		if (progress)
			CreditApply(&apply, false);
		TriggerFrameEnd(&frame);
	}
	return PointerGetDatum(NULL);
}
