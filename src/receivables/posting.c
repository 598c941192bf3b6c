/*
 * posting.c
 *		From inserted items, entries and allocations to stored open amounts.
 *
 * o2c_post_entries, the AFTER INSERT statement trigger of o2c.ledger_entry,
 * adds the entries to open_item.open_amount and carries the change to the
 * invoice, in one statement.  It is also the referential check of an entry on
 * its item (there is no foreign key and no row trigger on the ledger), and
 * refuses entries into closed periods.
 *
 * o2c_post_items, the AFTER INSERT statement trigger of o2c.open_item, writes
 * the first entry of items that are inserted with open_amount = amount, so
 * that they need no second row version; of an opening balance also the entry
 * of what was paid before.  o2c_post_allocations does it for
 * o2c.allocation: each allocation becomes its two entries.
 *
 * o2c_guard_item refuses a client's own change of what these derive, and more
 * being applied to an item than is open on it.
 *
 * Concurrency.  Items are locked in the order of their ids before they are
 * updated, by a statement whose shape (a lateral sub-select per sorted row)
 * leaves the planner no other order.  All changes are relative (open_amount +
 * delta), so what a waiting transaction finds after the lock is added to, never
 * overwritten.
 *
 * Plans.  Statements here look rows up by primary key, whether they post one
 * row or a million: PostingFrameBegin takes away what the planner could prefer
 * over stale statistics, and no join carries a filter that it could
 * underestimate.
 */
#include "o2c.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

PG_FUNCTION_INFO_V1(o2c_post_items);
PG_FUNCTION_INFO_V1(o2c_post_entries);
PG_FUNCTION_INFO_V1(o2c_post_allocations);
PG_FUNCTION_INFO_V1(o2c_guard_item);
PG_FUNCTION_INFO_V1(o2c_guard_derived);
PG_FUNCTION_INFO_V1(o2c_guard_period);

/*
 * Trigger depth at which o2c_post_entries finds entries whose items already
 * have them in open_amount; 0 for none.
 */
static int	entries_counted_at = 0;

/*
 * What follows a CTE u(company_id, invoice_id, amount, written_off, credited)
 * of moved items: their invoices move with them, and the statement returns the
 * numbers of rows of d, of u, and of invoices wanted and found.
 */
#define CARRY_TO_INVOICE \
	"s AS (SELECT u.company_id, u.invoice_id, pg_catalog.sum(u.amount) AS amount," \
	"        pg_catalog.bool_and(u.written_off) AS written_off, pg_catalog.bool_and(u.credited) AS credited" \
	"      FROM u WHERE u.invoice_id IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2)," \
	" v AS (UPDATE o2c.invoice v SET open_amount = coalesce(v.open_amount, 0) + s.amount," \
	"        state = CASE WHEN v.state IN ('draft', 'void') THEN v.state" \
	"          WHEN coalesce(v.open_amount, 0) + s.amount <> 0 THEN 'issued'::o2c.invoice_state" \
	"          WHEN v.state <> 'issued' THEN v.state" \
	"          WHEN s.written_off THEN 'written_off'::o2c.invoice_state" \
	"          WHEN s.credited THEN 'credited'::o2c.invoice_state" \
	"          ELSE 'paid'::o2c.invoice_state END" \
	"      FROM s WHERE v.company_id = s.company_id AND v.id = s.invoice_id RETURNING 1)" \
	" SELECT (SELECT pg_catalog.count(*) FROM d), (SELECT pg_catalog.count(*) FROM u)," \
	"        (SELECT pg_catalog.count(*) FROM s), (SELECT pg_catalog.count(*) FROM v)"

/* Open the frame with a planner that nests loops over index scans. */
static void
PostingFrameBegin(TriggerFrame *frame, TriggerData *trigdata)
{
	static const char *const off[] = {
		"enable_hashjoin", "enable_mergejoin", "enable_seqscan", "jit"
	};

	TriggerFrameBegin(frame, trigdata);
	for (int i = 0; i < lengthof(off); i++)
		(void) set_config_option(off[i], "off", PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
}

/*
 * Run one statement with derived columns open to change; entries that it
 * inserts itself are counted already if "counted".
 */
static int
ExecutePosting(KeptPlan *kept, int expected, bool counted)
{
	bool		save_posting = o2c_posting;
	int			save_counted = entries_counted_at;
	int			n;

	o2c_posting = true;
	if (counted)
		entries_counted_at = DatumGetInt32(DirectFunctionCall1(pg_trigger_depth, (Datum) 0)) + 1;
	PG_TRY();
	{
		n = KeptPlanExecute(kept, NULL, NULL, expected);
	}
	PG_FINALLY();
	{
		o2c_posting = save_posting;
		entries_counted_at = save_counted;
	}
	PG_END_TRY();
	return n;
}

/* Column of the only row that the last statement returned. */
static int64
ResultCount(int column)
{
	bool		isnull;

	return DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0],
									   SPI_tuptable->tupdesc, column, &isnull));
}

/*
 * Refuse new rows whose effective date lies in a closed period.
 *
 * The newest committed state is looked at, whatever the transaction's snapshot
 * is.  Whoever closes a period holds a lock that conflicts with our insertion
 * until it has committed (o2c_guard_period), so none slips through.
 */
static void
RefuseClosedPeriods(void)
{
	static KeptPlan closed = {
		.sql = "SELECT n.company_id, n.effective_on FROM"
		" (SELECT DISTINCT x.company_id, x.effective_on FROM new_rows x) n"
		" JOIN o2c.period p ON p.company_id = n.company_id AND p.closed_at IS NOT NULL"
		"  AND n.effective_on BETWEEN p.from_date AND p.to_date LIMIT 1"
	};
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	bool		any;

	KeptPlanPrepare(&closed);
	if (SPI_execute_snapshot(closed.plan, NULL, NULL, snapshot, InvalidSnapshot,
							 true, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not look up closed periods");
	any = SPI_processed > 0;
	UnregisterSnapshot(snapshot);
	if (any)
		ereport(ERROR,
				(errcode(ERRCODE_O2C_PERIOD_CLOSED),
				 errmsg("period of %s is closed",
						SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2)),
				 errdetail("Company %s takes no entry with that effective date.",
						   SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1)),
				 errhint("Post it with an effective date in an open period.")));
}

/* o2c_post_items(): AFTER INSERT ON open_item, REFERENCING NEW TABLE new_rows. */
Datum
o2c_post_items(PG_FUNCTION_ARGS)
{
	static KeptPlan look = {
		.sql = "SELECT pg_catalog.count(*) FILTER (WHERE n.open_amount <> 0 OR n.kind = 'opening'),"
		" pg_catalog.count(*) FILTER (WHERE n.open_amount <> 0 AND n.open_amount <> n.amount AND n.kind <> 'opening')"
		" FROM new_rows n"
	};
	static KeptPlan post = {
		.sql = "WITH d AS (INSERT INTO o2c.ledger_entry (company_id, item_id, customer_id, currency,"
		"   due_date, kind, amount, raises, effective_on, recorded_at)"
		"  SELECT n.company_id, n.id, n.customer_id, n.currency, n.due_date,"
		"   CASE n.kind WHEN 'opening' THEN 'opening' WHEN 'fee' THEN 'fee' WHEN 'interest' THEN 'interest'"
		"    WHEN 'credit_note' THEN 'credit' WHEN 'on_account' THEN 'receipt' WHEN 'unidentified' THEN 'receipt'"
		"    WHEN 'deduction' THEN 'charge' ELSE 'invoice' END::o2c.entry_kind,"
		"   s.amount, s.raises, n.document_date, pg_catalog.clock_timestamp()"
		"  FROM new_rows n CROSS JOIN LATERAL (VALUES (n.amount, true), (n.open_amount - n.amount, false)) s (amount, raises)"
		"  WHERE s.amount <> 0 AND (n.kind = 'opening' OR n.open_amount <> 0 AND s.raises) RETURNING 1),"
		" u AS (SELECT n.company_id, n.invoice_id, n.open_amount AS amount, false AS written_off, false AS credited"
		"  FROM new_rows n WHERE n.open_amount <> 0),"
		CARRY_TO_INVOICE
	};
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_post_items");
	TriggerFrame frame;

	PostingFrameBegin(&frame, trigdata);
	(void) KeptPlanExecute(&look, NULL, NULL, SPI_OK_SELECT);
	if (ResultCount(2) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_O2C_BUSINESS_RULE),
				 errmsg("a new open item is open in full or not at all"),
				 errdetail("open_amount must be equal to amount, then its first entry is posted with it, or 0, then entries follow."),
				 errhint("Insert the item with open_amount = amount and post what was paid as further entries.")));
	if (ResultCount(1) > 0)
		(void) ExecutePosting(&post, SPI_OK_SELECT, true);
	TriggerFrameEnd(&frame);
	return PointerGetDatum(NULL);
}

/* Why the entries of new_rows do not fit their items, in words. */
static const char *
EntryFault(void)
{
	static KeptPlan find = {
		.sql = "SELECT CASE WHEN i.id IS NULL THEN pg_catalog.format('Company %s has no open item %s.', n.company_id, n.item_id)"
		"  WHEN i.currency <> n.currency THEN pg_catalog.format('Item %s is in %s, the entry in %s.', i.number, i.currency, n.currency)"
		"  WHEN i.customer_id IS DISTINCT FROM n.customer_id THEN pg_catalog.format('Item %s belongs to customer %s, the entry to %s.', i.number, i.customer_id, n.customer_id)"
		"  WHEN i.due_date <> n.due_date THEN pg_catalog.format('Item %s is due on %s, the entry says %s.', i.number, i.due_date, n.due_date)"
		"  WHEN (i.amount < 0) <> n.credit THEN pg_catalog.format('An entry of kind %s and amount %s does not go with item %s of amount %s; column raises tells entries that add to an item from those that settle it.', n.kind, n.amount, i.number, i.amount)"
		"  ELSE pg_catalog.format('It counts from %s, before %s, the date of item %s.', n.effective_on, i.document_date, i.number) END"
		" FROM new_rows n LEFT JOIN o2c.open_item i ON i.company_id = n.company_id AND i.id = n.item_id"
		" WHERE i.id IS NULL OR i.currency <> n.currency OR i.customer_id IS DISTINCT FROM n.customer_id"
		"  OR i.due_date <> n.due_date OR (i.amount < 0) <> n.credit OR n.effective_on < i.document_date LIMIT 1"
	};

	if (KeptPlanExecute(&find, NULL, NULL, SPI_OK_SELECT) == 0)
		return "Its item was changed meanwhile.";
	return SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
}

/* o2c_post_entries(): AFTER INSERT ON ledger_entry, REFERENCING NEW TABLE new_rows. */
Datum
o2c_post_entries(PG_FUNCTION_ARGS)
{
	static KeptPlan lock_items = {
		.sql = "SELECT 1 FROM (SELECT DISTINCT n.company_id, n.item_id FROM new_rows n ORDER BY 1, 2) d"
		" CROSS JOIN LATERAL (SELECT 1 FROM o2c.open_item i"
		"  WHERE i.company_id = d.company_id AND i.id = d.item_id FOR NO KEY UPDATE) l"
	};
	static KeptPlan post = {
		.sql = "WITH d AS MATERIALIZED (SELECT n.company_id, n.item_id, n.customer_id, n.currency, n.due_date, n.credit,"
		"   pg_catalog.sum(n.amount) AS amount, pg_catalog.min(n.effective_on) AS first_on,"
		"   pg_catalog.bool_and(n.kind = 'write_off') AS written_off, pg_catalog.bool_and(n.kind = 'credit') AS credited"
		"  FROM new_rows n GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2),"
		" u AS (UPDATE o2c.open_item i SET open_amount = i.open_amount + d.amount FROM d"
		"  WHERE i.company_id = d.company_id AND i.id = d.item_id"
		"   AND i.customer_id IS NOT DISTINCT FROM d.customer_id AND i.currency::text = d.currency::text"
		"   AND i.due_date = d.due_date AND (i.amount < 0) = d.credit AND d.first_on >= i.document_date"
		"  RETURNING i.company_id, i.invoice_id, d.amount, d.written_off, d.credited),"
		CARRY_TO_INVOICE
	};
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_post_entries");
	TriggerFrame frame;

	PostingFrameBegin(&frame, trigdata);
	RefuseClosedPeriods();
	if (entries_counted_at == 0 ||
		entries_counted_at != DatumGetInt32(DirectFunctionCall1(pg_trigger_depth, (Datum) 0)))
	{
		if (tuplestore_tuple_count(trigdata->tg_newtable) > 1)
			(void) KeptPlanExecute(&lock_items, NULL, NULL, SPI_OK_SELECT);
		(void) ExecutePosting(&post, SPI_OK_SELECT, false);
		if (ResultCount(1) != ResultCount(2))
			ereport(ERROR,
					(errcode(ERRCODE_O2C_UNKNOWN_OBJECT),
					 errmsg("ledger entry does not fit its open item"),
					 errdetail("%s", EntryFault()),
					 errhint("Customer, currency and due date of an entry are those of its item, and it counts from the item's date or later.")));
	}
	TriggerFrameEnd(&frame);
	return PointerGetDatum(NULL);
}

/* o2c_post_allocations(): AFTER INSERT ON allocation, REFERENCING NEW TABLE new_rows. */
Datum
o2c_post_allocations(PG_FUNCTION_ARGS)
{
	static KeptPlan look = {
		.sql = "SELECT pg_catalog.count(*), pg_catalog.count(n.reverses_id) FROM new_rows n"
	};
	static KeptPlan unfit_reversal = {
		.sql = "SELECT n.id, n.reverses_id FROM new_rows n LEFT JOIN o2c.allocation o"
		"  ON o.company_id = n.company_id AND o.id = n.reverses_id"
		" WHERE n.reverses_id IS NOT NULL AND (o.id IS NULL OR o.reverses_id IS NOT NULL OR o.amount <> - n.amount"
		"  OR o.debit_item_id <> n.debit_item_id OR o.credit_item_id <> n.credit_item_id OR o.currency <> n.currency"
		"  OR o.kind <> n.kind OR n.effective_on < o.effective_on) LIMIT 1"
	};
	static KeptPlan post = {
		.sql = "INSERT INTO o2c.ledger_entry (company_id, item_id, customer_id, currency, due_date,"
		"  kind, amount, raises, effective_on, recorded_at, allocation_id)"
		" SELECT n.company_id, s.item_id, s.customer_id, n.currency, s.due_date,"
		"  CASE WHEN n.kind = 'application' AND c.kind = 'credit_note' THEN 'credit'::o2c.entry_kind ELSE n.kind END,"
		"  CASE s.side WHEN 1 THEN - n.amount ELSE n.amount END, n.amount < 0,"
		"  GREATEST(n.effective_on, b.document_date, c.document_date), n.recorded_at, n.id"
		" FROM new_rows n"
		" CROSS JOIN LATERAL (SELECT i.id, i.customer_id, i.due_date, i.document_date, i.kind FROM o2c.open_item i"
		"  WHERE i.company_id = n.company_id AND i.id = n.debit_item_id OFFSET 0) b"
		" CROSS JOIN LATERAL (SELECT i.id, i.customer_id, i.due_date, i.document_date, i.kind FROM o2c.open_item i"
		"  WHERE i.company_id = n.company_id AND i.id = n.credit_item_id OFFSET 0) c"
		" CROSS JOIN LATERAL (VALUES (1, b.id, b.customer_id, b.due_date), (2, c.id, c.customer_id, c.due_date))"
		"  s (side, item_id, customer_id, due_date)"
	};
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_post_allocations");
	TriggerFrame frame;
	int64		allocations;

	PostingFrameBegin(&frame, trigdata);
	(void) KeptPlanExecute(&look, NULL, NULL, SPI_OK_SELECT);
	allocations = ResultCount(1);
	if (ResultCount(2) > 0 &&
		KeptPlanExecute(&unfit_reversal, NULL, NULL, SPI_OK_SELECT) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_O2C_BUSINESS_RULE),
				 errmsg("allocation %s does not undo allocation %s",
						SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1),
						SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2)),
				 errdetail("A reversal has the items, currency and kind of the allocation it undoes, its amount with the other sign, and an effective date that is not earlier."),
				 errhint("Use o2c.unapply().")));
	if (KeptPlanExecute(&post, NULL, NULL, SPI_OK_INSERT) != 2 * allocations)
		ereport(ERROR,
				(errcode(ERRCODE_O2C_UNKNOWN_OBJECT),
				 errmsg("allocation does not fit its open items"),
				 errdetail("Its debit item and its credit item must exist in the company.")));
	TriggerFrameEnd(&frame);
	return PointerGetDatum(NULL);
}

/* Attribute of a column that the trigger's table must have. */
static int
ColumnOf(TriggerData *trigdata, const char *name)
{
	int			att = SPI_fnumber(RelationGetDescr(trigdata->tg_relation), name);

	if (att <= 0)
		elog(ERROR, "table \"%s\" has no column \"%s\"",
			 RelationGetRelationName(trigdata->tg_relation), name);
	return att;
}

/* Refuse a change of the columns that the trigger's arguments name. */
static void
RefuseDerivedChange(TriggerData *trigdata)
{
	TupleDesc	desc = RelationGetDescr(trigdata->tg_relation);

	for (int i = 0; i < trigdata->tg_trigger->tgnargs; i++)
	{
		int			att = ColumnOf(trigdata, trigdata->tg_trigger->tgargs[i]);
		Form_pg_attribute attr = TupleDescAttr(desc, att - 1);
		bool		oldnull;
		bool		newnull;
		Datum		oldvalue = SPI_getbinval(trigdata->tg_trigtuple, desc, att, &oldnull);
		Datum		newvalue = SPI_getbinval(trigdata->tg_newtuple, desc, att, &newnull);

		if (oldnull != newnull ||
			(!oldnull && !datum_image_eq(oldvalue, newvalue, attr->attbyval, attr->attlen)))
			ereport(ERROR,
					(errcode(ERRCODE_O2C_IMMUTABLE),
					 errmsg("column \"%s\" of \"%s\" cannot be changed directly",
							trigdata->tg_trigger->tgargs[i],
							RelationGetRelationName(trigdata->tg_relation)),
					 errdetail("It is derived from posted entries."),
					 errhint("Post an entry, an allocation or a further document instead.")));
	}
}

/* "10.00" of a numeric, for messages. */
static char *
AmountText(Datum amount)
{
	return DatumGetCString(DirectFunctionCall1(numeric_out, amount));
}

/*
 * o2c_guard_item(column, ...): BEFORE UPDATE ON open_item, for each row.  The
 * columns named change only through posted entries, and those never apply more
 * to an item than is open on it (O2060).
 */
Datum
o2c_guard_item(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_guard_item");
	TupleDesc	desc = RelationGetDescr(trigdata->tg_relation);
	bool		isnull;
	Datum		amount;
	Datum		open;
	Datum		zero;
	bool		debit;

	if (!o2c_posting)
	{
		RefuseDerivedChange(trigdata);
		return PointerGetDatum(trigdata->tg_newtuple);
	}

	amount = SPI_getbinval(trigdata->tg_newtuple, desc, ColumnOf(trigdata, "amount"), &isnull);
	open = SPI_getbinval(trigdata->tg_newtuple, desc, ColumnOf(trigdata, "open_amount"), &isnull);
	if (isnull)
		return PointerGetDatum(trigdata->tg_newtuple);	/* NOT NULL refuses it */
	zero = NumericGetDatum(int64_to_numeric(0));
	debit = DatumGetBool(DirectFunctionCall2(numeric_gt, amount, zero));
	if (DatumGetBool(DirectFunctionCall2(debit ? numeric_lt : numeric_gt, open, zero)) ||
		DatumGetBool(DirectFunctionCall2(debit ? numeric_gt : numeric_lt, open, amount)))
	{
		Datum		before = SPI_getbinval(trigdata->tg_trigtuple, desc,
										   ColumnOf(trigdata, "open_amount"), &isnull);
		char	   *number = SPI_getvalue(trigdata->tg_newtuple, desc,
										  ColumnOf(trigdata, "number"));

		ereport(ERROR,
				(errcode(ERRCODE_O2C_OVER_APPLIED),
				 errmsg("cannot post %s to item \"%s\"",
						AmountText(DirectFunctionCall2(numeric_sub, open, before)), number),
				 errdetail("Of its amount %s, %s is open; %s would be.",
						   AmountText(amount), AmountText(before), AmountText(open)),
				 errhint("Apply at most what is open; the rest stays on the customer's account.")));
	}
	return PointerGetDatum(trigdata->tg_newtuple);
}

/*
 * o2c_guard_derived(column, ...): BEFORE UPDATE, for each row.  The columns
 * named change only through posted entries.
 */
Datum
o2c_guard_derived(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_guard_derived");

	if (!o2c_posting)
		RefuseDerivedChange(trigdata);
	return PointerGetDatum(trigdata->tg_newtuple);
}

/*
 * o2c_guard_period(): BEFORE INSERT, UPDATE or DELETE ON period, for each
 * statement.  Waits for transactions that are posting and keeps new ones
 * waiting until this one ends, so that they see the period as it then is.
 */
Datum
o2c_guard_period(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_guard_period");
	Oid			nspid = RelationGetNamespace(trigdata->tg_relation);
	Oid			ledger = get_relname_relid("ledger_entry", nspid);

	if (!OidIsValid(ledger))
		elog(ERROR, "table \"ledger_entry\" does not exist");
	LockRelationOid(ledger, ShareRowExclusiveLock);
	return PointerGetDatum(NULL);
}
