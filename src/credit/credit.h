/*
 * credit.h
 *		What the files of src/credit share.
 *
 * An account (table o2c.credit_account) is the exposure of one customer in one
 * currency.  account.c adds changes to accounts and judges limits, alert.c
 * announces thresholds; orders.c, items.c, receipts.c and customers.c are the
 * triggers that turn changes of documents into changes of accounts, screen.c
 * decides before a confirmation which orders would pass, quick.c does the
 * work of orders.c for the usual single order, and account_move.c adds usual
 * changes to accounts as account.c does, but without SQL.  horizon.c knows what a company
 * has decided about days; settle.c does what a new day calls for.
 */
#ifndef O2C_CREDIT_H
#define O2C_CREDIT_H

#include "o2c.h"

#include "utils/date.h"
#include "utils/numeric.h"

/* The head row of a customer, as it stands under this transaction's lock. */
typedef struct CreditHead
{
	int32		company_id;
	int64		customer_id;
	char	   *currency;		/* of the limit */
	Numeric		exposure;		/* of the customer and all below, in currency */
	Numeric		limit;			/* with what is added today; NULL: unlimited */
	int32		alert_level;
	Numeric		alert_at;		/* NULL: no further threshold */
	Numeric		alert_below;	/* NULL: no threshold reached */
	bool		temporary;
} CreditHead;

/* One order that began or ceased to count. */
typedef struct OrderMove
{
	int32		company_id;
	int64		order_id;
	int64		customer_id;
	Datum		currency;
	bool		confirmed;		/* went to "confirmed" */
	bool		counts;			/* counts from now on */
	bool		deferred;		/* is beyond the horizon: what is not shipped takes no credit */
} OrderMove;

/* What one account takes over; NULL: nothing. */
typedef struct AccountMove
{
	int32		company_id;
	int64		customer_id;
	Datum		currency;
	Numeric		orders;
	Numeric		shipped;
	Numeric		items;
	Numeric		unapplied;
	Numeric		returnable;
	bool		enforce;		/* refuse what grows over the limit */
} AccountMove;

/*
 * The statement that adds changes to accounts.  "source" gives one row for
 * each customer and currency that changes: company_id, customer_id, currency,
 * oo (open orders), sni (shipped, not invoiced), oi (open items), ua
 * (unapplied) and rt (receipts that can still bounce).
 *
 * Every customer above takes the change into its group_exposure.  When the
 * change is not in the currency of the limit, the head row is written too,
 * so that at every isolation level two transactions that change the same
 * customer's exposure meet on one row.  Rows are locked in the order of
 * company, customer, head, currency.  A row that is no head any more, or has
 * another parent than the snapshot shows, is refused as soon as it is met: what
 * follows would be locked out of order.
 */
#define CREDIT_APPLY(source) \
	"WITH RECURSIVE delta AS MATERIALIZED (" source ")," \
	" chain AS (" \
	"  SELECT d.company_id, d.customer_id, d.currency, d.oo, d.sni, d.oi, d.ua, d.rt," \
	"   d.oo + d.sni + d.oi - d.ua + d.rt AS total, h.currency AS head_currency, h.parent_id, 1 AS depth" \
	"  FROM delta d LEFT JOIN o2c.credit_account h" \
	"   ON h.company_id = d.company_id AND h.customer_id = d.customer_id AND h.head" \
	"  WHERE d.oo <> 0 OR d.sni <> 0 OR d.oi <> 0 OR d.ua <> 0 OR d.rt <> 0" \
	"  UNION ALL" \
	"  SELECT c.company_id, c.parent_id, c.currency, 0::numeric, 0::numeric, 0::numeric, 0::numeric, 0::numeric," \
	"   c.total, h.currency, h.parent_id, c.depth + 1" \
	"  FROM chain c JOIN o2c.credit_account h" \
	"   ON h.company_id = c.company_id AND h.customer_id = c.parent_id AND h.head" \
	"  WHERE c.depth < 100)," \
	" change AS MATERIALIZED (" \
	"  SELECT r.company_id, r.customer_id, r.currency, r.head, r.parent_id, sum(r.oo) AS oo, sum(r.sni) AS sni," \
	"   sum(r.oi) AS oi, sum(r.ua) AS ua, sum(r.rt) AS rt, sum(r.total) AS total, bool_or(r.mixed) AS mixed," \
	"   sum(r.growth) > 0 AS grows" \
	"  FROM (SELECT c.company_id, c.customer_id, c.currency, c.currency = c.head_currency AS head," \
	"         CASE WHEN c.currency = c.head_currency THEN c.parent_id END AS parent_id," \
	"         c.oo, c.sni, c.oi, c.ua, c.rt, c.total, c.currency <> c.head_currency AS mixed, c.total AS growth FROM chain c" \
	"        UNION ALL" \
	"        SELECT c.company_id, c.customer_id, c.head_currency, true, c.parent_id," \
	"         0, 0, 0, 0, 0, 0, true, greatest(c.total, 0) FROM chain c WHERE c.currency <> c.head_currency) r" \
	"  GROUP BY 1, 2, 3, 4, 5)," \
	" done AS (" \
	"  INSERT INTO o2c.credit_account AS a (company_id, customer_id, currency, head, parent_id," \
	"   open_orders, shipped_not_invoiced, open_items, unapplied, returnable, group_exposure, mixed)" \
	"  SELECT g.company_id, g.customer_id, g.currency, g.head, g.parent_id, g.oo, g.sni, g.oi, g.ua, g.rt, g.total, g.mixed" \
	"  FROM change g ORDER BY g.company_id, g.customer_id, g.head DESC, g.currency" \
	"  ON CONFLICT (company_id, customer_id, currency) DO UPDATE SET" \
	"   open_orders = a.open_orders + EXCLUDED.open_orders," \
	"   shipped_not_invoiced = a.shipped_not_invoiced + EXCLUDED.shipped_not_invoiced," \
	"   open_items = a.open_items + EXCLUDED.open_items," \
	"   unapplied = a.unapplied + EXCLUDED.unapplied," \
	"   returnable = a.returnable + EXCLUDED.returnable," \
	"   group_exposure = a.group_exposure + EXCLUDED.group_exposure," \
	"   mixed = a.mixed OR EXCLUDED.mixed" \
	"  WHERE o2c._unchanged_account(a.head = EXCLUDED.head AND a.parent_id IS NOT DISTINCT FROM EXCLUDED.parent_id)" \
	"  RETURNING a.*)" \
	" SELECT g.company_id, g.customer_id, g.grows, d.currency," \
	"  d.group_exposure, d.credit_limit, d.mixed, d.temporary, d.alert_level, d.alert_at, d.alert_below" \
	" FROM change g JOIN done d" \
	"  ON d.company_id = g.company_id AND d.customer_id = g.customer_id AND d.currency = g.currency" \
	" WHERE g.head"

/*
 * The statement that locks the head accounts of customers ("customers" gives
 * company_id and customer_id, none of them null) and of everybody above them,
 * in the order of all locks.  It tells whether some of them changed meanwhile:
 * CreditLock() refuses that.
 */
#define CREDIT_LOCK(customers) \
	"WITH RECURSIVE chain AS (SELECT c.company_id, c.id FROM (" customers ") c(company_id, id)" \
	"  UNION SELECT h.company_id, h.parent_id FROM chain c JOIN o2c.credit_account h" \
	"   ON h.company_id = c.company_id AND h.customer_id = c.id AND h.head WHERE h.parent_id IS NOT NULL)," \
	" locked AS MATERIALIZED (SELECT a.* FROM (SELECT c.company_id, c.id FROM chain c ORDER BY c.company_id, c.id OFFSET 0) d" \
	"  CROSS JOIN LATERAL (SELECT h.company_id, h.parent_id FROM o2c.credit_account h" \
	"   WHERE h.company_id = d.company_id AND h.customer_id = d.id AND h.head FOR NO KEY UPDATE) a)" \
	" SELECT (SELECT count(*) FROM locked) <> (SELECT count(*) FROM chain) OR EXISTS (SELECT FROM locked l" \
	"  WHERE l.parent_id IS NOT NULL AND (l.company_id, l.parent_id) NOT IN (SELECT c.company_id, c.id FROM chain c))"

/*
 * What a line of an order in a state that counts adds: ordered and open, and
 * shipped but not invoiced.  "l" is a row of sales_order_line, "s" of its
 * sales_order: milestones bill that share of each line.
 */
#define LINE_BILLED(l, s) "(" l ".billed + " l ".quantity * " s ".milestone_percent * 0.01)"
#define LINE_SHIPPED(l, s) \
	"o2c.round_amount(" l ".net_amount * greatest(" l ".shipped - " l ".returned - " LINE_BILLED(l, s) ", 0) / " l ".quantity, " l ".currency)"
#define LINE_SHARE(l, s) \
	"o2c.round_amount(" l ".net_amount * greatest(greatest(" l ".quantity - " l ".cancelled, " l ".shipped) - " l ".returned - " LINE_BILLED(l, s) ", 0)" \
	" / " l ".quantity, " l ".currency)"
#define COUNTS(state) state " IN ('confirmed', 'fulfilling', 'fulfilled')"

/* An account; of fixed size, padded with zeros, so that it can be hashed. */
typedef struct AccountKey
{
	int64		customer_id;
	int32		company_id;
	char		currency[4];
} AccountKey;

/* Methods of payment. */
#define CREDIT_METHODS 6
extern const char *const credit_methods[CREDIT_METHODS];

/* What a company has decided about credit and days; see horizon.c. */
typedef struct CreditPolicy
{
	bool		known;
	int32		company_id;
	int32		horizon;		/* days ahead that orders count; -1: all */
	int32		returns[CREDIT_METHODS];	/* days for which a receipt can bounce; -1: none */
	DateADT		today;			/* when anything is decided */
} CreditPolicy;

struct ItemChanges;				/* receivables/posting.h */

extern bool CreditQuick(const OrderMove *move);
extern bool CreditMoveAccount(const AccountMove *move, Snapshot snapshot);
extern bool CreditQuickItems(const AccountMove *move);
extern int64 CreditQuickAccounts(AccountMove *moves, int64 n);
extern void CreditOnChanges(struct ItemChanges *changes);
extern bool CreditOneAccount(TriggerData *trigdata, const char *amount, bool receipts);
extern void CreditPolicyOf(int32 company_id, CreditPolicy *policy);
extern bool CreditIsBeyond(CreditPolicy *policy, int32 company_id, DateADT day);
extern void CreditApply(KeptPlan *apply, bool enforce);
extern void CreditApplyWith(KeptPlan *apply, Datum *args, bool enforce);
extern void CreditLock(KeptPlan *lock, Datum *args, const char *nulls);
pg_noreturn extern void RefuseChangedGroup(void);
extern void CreditHeadComplete(CreditHead *head, bool mixed);
extern void CreditAlert(const CreditHead *head);
extern Numeric SPIGetNumeric(HeapTuple tuple, TupleDesc desc, int column);
extern char *NumericText(Numeric value);

#endif							/* O2C_CREDIT_H */
