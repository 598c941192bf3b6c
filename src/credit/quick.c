/*
 * quick.c
 *		Taking or giving back the credit of one order without SQL.
 *
 * Most confirmations are one order of a customer whose account, and whose
 * group's, is in the order's currency, that no rule or hold concerns and that
 * stays under the next threshold.  For these the account is read by key,
 * locked, compared with the limit and written directly.  Whatever is unusual
 * (a hold, a rule, milestones that are billed, goods not reserved, another currency, a temporary limit, a
 * threshold, the limit itself) is left to the statements of orders.c, which
 * judge and report it; until then nothing has been changed here, and the rows
 * that are locked are the ones that those statements lock.
 */
#include "o2c.h"

#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/snapmgr.h"

#include "credit/credit.h"
#include "direct_scan.h"
#include "numeric_ops.h"
#include "types/types.h"

static DirectTable holds = {
	.name = "hold", .nkeys = 2,
	.columns = {"company_id", "order_id", "released_at"}
};
static DirectTable rules = {
	.name = "credit_rule", .nkeys = 1,
	.columns = {"company_id", "active"}
};
static DirectTable lines = {
	.name = "sales_order_line", .nkeys = 2,
	.columns = {"company_id", "order_id", "product_id", "quantity", "cancelled", "reserved",
	"shipped", "returned", "billed", "net_amount"}
};
static DirectTable products = {
	.name = "product", .nkeys = 2,
	.columns = {"company_id", "id", "stocked", "backorder"}
};

/* Positions in the columns of lines. */
enum
{
	LINE_PRODUCT = 2, LINE_QUANTITY, LINE_CANCELLED, LINE_RESERVED, LINE_SHIPPED_Q,
	LINE_RETURNED, LINE_BILLED, LINE_NET
};

static inline Numeric
Greatest(Numeric a, Numeric b)
{
	return NumericCompare(a, b) >= 0 ? a : b;
}

static Numeric
LineNumber(DirectScan *scan, HeapTuple tuple, int column)
{
	bool		isnull;

	return DatumGetNumeric(DirectValue(scan, tuple, column, &isnull));
}

/* Whether an order has a hold that was not released. */
static bool
HasHold(const OrderMove *move, Snapshot snapshot)
{
	DirectScan	scan;
	HeapTuple	tuple;
	bool		found = false;

	DirectScanBegin(&scan, &holds, AccessShareLock, snapshot, move->company_id, move->order_id);
	while (!found && (tuple = DirectScanNext(&scan)) != NULL)
		(void) DirectValue(&scan, tuple, 2, &found);
	DirectScanEnd(&scan, AccessShareLock);
	return found;
}

/* Whether a company has a credit rule that is active. */
static bool
HasRule(const OrderMove *move, Snapshot snapshot)
{
	DirectScan	scan;
	HeapTuple	tuple;
	bool		found = false;

	DirectScanBegin(&scan, &rules, AccessShareLock, snapshot, move->company_id, 0);
	while (!found && (tuple = DirectScanNext(&scan)) != NULL)
		found = DirectTrue(&scan, tuple, 1);
	DirectScanEnd(&scan, AccessShareLock);
	return found;
}

/* Whether a product must be reserved before an order of it is confirmed. */
static bool
MustBeReserved(int32 company_id, int64 product_id, Snapshot snapshot)
{
	DirectScan	scan;
	HeapTuple	tuple;
	bool		result = true;

	DirectScanBegin(&scan, &products, AccessShareLock, snapshot, company_id, product_id);
	if ((tuple = DirectScanNext(&scan)) != NULL)
		result = DirectTrue(&scan, tuple, 2) && !DirectTrue(&scan, tuple, 3);
	DirectScanEnd(&scan, AccessShareLock);
	return result;
}

/* net × quantity of the line that is meant / quantity, rounded to the currency. */
static Numeric
Share(Numeric net, Numeric part, Numeric quantity, Datum currency)
{
	Datum		share;

	if (NumericCompare(part, quantity) == 0)
		return net;				/* an amount of the currency already */
	share = DirectFunctionCall2(numeric_mul, NumericGetDatum(net), NumericGetDatum(part));
	share = DirectFunctionCall2(numeric_div, share, NumericGetDatum(quantity));
	return DatumGetNumeric(DirectFunctionCall2(o2c_currency_round, share, currency));
}

/*
 * What the lines of an order count: LINE_SHARE and LINE_SHIPPED of credit.h,
 * summed; only what is shipped when the order is beyond the horizon.  False when goods that must be reserved are not, or when goods are
 * reserved of an order that no longer may.
 */
static bool
SumLines(const OrderMove *move, Snapshot snapshot, Numeric *open, Numeric *shipped)
{
	DirectScan	scan;
	HeapTuple	tuple;
	Numeric		zero = int64_to_numeric(0);
	bool		usual = true;

	*open = *shipped = zero;
	DirectScanBegin(&scan, &lines, AccessShareLock, snapshot, move->company_id, move->order_id);
	while (usual && (tuple = DirectScanNext(&scan)) != NULL)
	{
		Numeric		quantity = LineNumber(&scan, tuple, LINE_QUANTITY);
		Numeric		cancelled = LineNumber(&scan, tuple, LINE_CANCELLED);
		Numeric		reserved = LineNumber(&scan, tuple, LINE_RESERVED);
		Numeric		gone = LineNumber(&scan, tuple, LINE_SHIPPED_Q);
		Numeric		done = NumericAdd(LineNumber(&scan, tuple, LINE_RETURNED), LineNumber(&scan, tuple, LINE_BILLED));
		Numeric		net = LineNumber(&scan, tuple, LINE_NET);
		Numeric		wanted = NumericSubtract(quantity, cancelled);
		Numeric		share;
		Numeric		left;
		bool		isnull;

		if (move->confirmed &&
			NumericCompare(NumericAdd(reserved, gone), wanted) < 0 &&
			MustBeReserved(move->company_id,
						   DatumGetInt64(DirectValue(&scan, tuple, LINE_PRODUCT, &isnull)), snapshot))
			usual = false;
		if (!move->counts && NumericCompare(reserved, zero) > 0)
			usual = false;

		share = Share(net, Greatest(NumericSubtract(Greatest(wanted, gone), done), zero), quantity, move->currency);
		left = NumericCompare(gone, zero) == 0 ? zero :
			Share(net, Greatest(NumericSubtract(gone, done), zero), quantity, move->currency);
		if (!move->deferred)
			*open = NumericAdd(*open, NumericSubtract(share, left));
		*shipped = NumericAdd(*shipped, left);
	}
	DirectScanEnd(&scan, AccessShareLock);
	return usual;
}

/*
 * Take or give back the credit of one order.  True when all is done; false,
 * with nothing changed, when the statements of orders.c must do it.
 */
bool
CreditQuick(const OrderMove *move)
{
	Snapshot	snapshot;
	Numeric		open;
	Numeric		shipped;
	bool		done;

	if (!DirectTableResolve(&holds) || !DirectTableResolve(&rules) || !DirectTableResolve(&lines) ||
		!DirectTableResolve(&products))
		return false;

	/* what was committed while the statement waited for the order counts */
	CommandCounterIncrement();
	snapshot = GetTransactionSnapshot();
	PushActiveSnapshot(snapshot);
	snapshot = GetActiveSnapshot();
	done = !(move->confirmed && (HasHold(move, snapshot) || HasRule(move, snapshot))) &&
		SumLines(move, snapshot, &open, &shipped);
	if (done && !move->counts)
	{
		open = DatumGetNumeric(DirectFunctionCall1(numeric_uminus, NumericGetDatum(open)));
		shipped = DatumGetNumeric(DirectFunctionCall1(numeric_uminus, NumericGetDatum(shipped)));
	}
	if (done && (NumericCompare(open, int64_to_numeric(0)) != 0 || NumericCompare(shipped, int64_to_numeric(0)) != 0))
	{
		AccountMove account = {
			.company_id = move->company_id, .customer_id = move->customer_id, .currency = move->currency,
			.orders = open, .shipped = shipped, .enforce = move->confirmed
		};

		done = CreditMoveAccount(&account, snapshot);
	}
	PopActiveSnapshot();
	CommandCounterIncrement();
	return done;
}
