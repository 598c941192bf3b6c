/*
 * invoices.c
 *		From an issued invoice to its order lines.
 *
 * A draft changes nothing: goods that were shipped count as such until their
 * invoice is issued.  Then the lines note what was billed, and the open item
 * that the same transaction posts counts instead.  A credit note that takes
 * goods back to be billed again is the reverse of it.  A milestone bills its
 * share of every line of its order, once; the order notes the sum of them.
 *
 * The share of a milestone stays once it is billed.
 *
 * What is settled of a prepayment invoice and not yet deducted is an advance:
 * the document keeps it, and its account has it among what is unapplied.
 */
#include "o2c.h"

#include "catalog/pg_enum.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "utils/datum.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/tuplestore.h"

#include "credit/credit.h"
#include "invoicing/correction.h"

PG_FUNCTION_INFO_V1(o2c_credit_on_invoices);
PG_FUNCTION_INFO_V1(o2c_keep_milestone);

/* What the changes of one statement call for. */
typedef struct InvoiceMoves
{
	int			issued;			/* how many rows left the state "draft" */
	bool		corrects;		/* and corrects another document */
	bool		settled;		/* what is open of a prepayment invoice changed */
	bool		advanced;		/* an advance changed: this trigger's own doing */
} InvoiceMoves;

/* Whether a value of a row is another one than before. */
static bool
Differs(TupleTableSlot *oldslot, TupleTableSlot *newslot, int att, const FormData_pg_attribute *attr)
{
	bool		oldnull;
	bool		newnull;
	Datum		before = slot_getattr(oldslot, att, &oldnull);
	Datum		after = slot_getattr(newslot, att, &newnull);

	return oldnull != newnull ||
		(!oldnull && !datumIsEqual(before, after, attr->attbyval, attr->attlen));
}

/* Compare the rows before and after, without SQL. */
static void
FindInvoiceMoves(TriggerData *trigdata, InvoiceMoves *moves)
{
	TupleDesc	desc = RelationGetDescr(trigdata->tg_relation);
	int			state = SPI_fnumber(desc, "state");
	int			kind = SPI_fnumber(desc, "kind");
	int			open = SPI_fnumber(desc, "open_amount");
	int			advance = SPI_fnumber(desc, "advance_amount");
	int			original = SPI_fnumber(desc, "original_id");
	TupleTableSlot *oldslot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	TupleTableSlot *newslot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);

	memset(moves, 0, sizeof(*moves));
	tuplestore_rescan(trigdata->tg_oldtable);
	tuplestore_rescan(trigdata->tg_newtable);
	while (tuplestore_gettupleslot(trigdata->tg_oldtable, true, false, oldslot) &&
		   tuplestore_gettupleslot(trigdata->tg_newtable, true, false, newslot))
	{
		bool		isnull;
		Datum		before = slot_getattr(oldslot, state, &isnull);
		Datum		after = slot_getattr(newslot, state, &isnull);
		text	   *label;

		if (before != after)
		{
			HeapTuple	tup = SearchSysCache1(ENUMOID, before);

			if (!HeapTupleIsValid(tup))
				elog(ERROR, "cache lookup failed for enum value %u", DatumGetObjectId(before));
			if (strcmp(NameStr(((Form_pg_enum) GETSTRUCT(tup))->enumlabel), "draft") == 0)
			{
				moves->issued++;
				if (!slot_attisnull(newslot, original))
					moves->corrects = true;
			}
			ReleaseSysCache(tup);
		}
		label = DatumGetTextPP(slot_getattr(newslot, kind, &isnull));
		if (VARSIZE_ANY_EXHDR(label) != strlen("prepayment") ||
			memcmp(VARDATA_ANY(label), "prepayment", strlen("prepayment")) != 0)
			continue;
		if (before != after || Differs(oldslot, newslot, open, TupleDescAttr(desc, open - 1)))
			moves->settled = true;
		if (Differs(oldslot, newslot, advance, TupleDescAttr(desc, advance - 1)))
			moves->advanced = true;
	}
	ExecDropSingleTupleTableSlot(oldslot);
	ExecDropSingleTupleTableSlot(newslot);
}

/*
 * Conditions on what is null stand in CASE here: tables without statistics
 * would be read by the partial index of the column, whole for each document.
 */

/*
 * Lines of documents that were issued in this statement and bill an order
 * line, or take back what is to be billed again.
 */
#define BILLED \
	"SELECT v.company_id, v.order_line_id," \
	" sum(CASE WHEN v.rebill THEN -v.quantity ELSE v.quantity END) AS quantity," \
	" coalesce(sum(v.quantity) FILTER (WHERE v.rebill), 0) AS back" \
	" FROM new_rows n JOIN old_rows o ON o.company_id = n.company_id AND o.id = n.id" \
	" JOIN o2c.invoice_line v ON v.company_id = n.company_id AND v.invoice_id = n.id" \
	" WHERE o.state = 'draft' AND n.state NOT IN ('draft', 'void')" \
	" AND CASE WHEN v.order_line_id IS NULL THEN false ELSE v.original_line_id IS NULL OR v.rebill END GROUP BY 1, 2"

/* Orders of which documents that were issued in this statement bill milestones. */
#define MILESTONES \
	"SELECT m.company_id, m.order_id, sum(m.percent) AS percent" \
	" FROM (SELECT DISTINCT v.company_id, v.milestone_id" \
	"  FROM new_rows n JOIN old_rows o ON o.company_id = n.company_id AND o.id = n.id" \
	"  JOIN o2c.invoice_line v ON v.company_id = n.company_id AND v.invoice_id = n.id" \
	"  WHERE o.state = 'draft' AND n.state NOT IN ('draft', 'void')" \
	"  AND CASE WHEN v.milestone_id IS NULL THEN false ELSE v.original_line_id IS NULL END) v" \
	" JOIN o2c.billing_milestone m ON m.company_id = v.company_id AND m.id = v.milestone_id GROUP BY 1, 2"

/*
 * Prepayment invoices whose advance may change: what is open of them did, or a
 * document that was issued in this statement deducts or credits their lines.
 */
#define USED \
	"SELECT pl.company_id, pl.invoice_id AS id" \
	" FROM new_rows n JOIN old_rows o ON o.company_id = n.company_id AND o.id = n.id" \
	" JOIN o2c.invoice_line v ON v.company_id = n.company_id AND v.invoice_id = n.id" \
	" CROSS JOIN LATERAL (SELECT x.company_id, x.invoice_id FROM o2c.invoice_line x" \
	"  WHERE x.company_id = v.company_id AND x.id = v.original_line_id OFFSET 0) pl" \
	" WHERE o.state = 'draft' AND n.state NOT IN ('draft', 'void') AND CASE WHEN v.original_line_id IS NULL THEN false ELSE true END"
#define PREPAYMENTS \
	"SELECT n.company_id, n.id FROM new_rows n WHERE n.kind = 'prepayment' AND n.state <> 'draft'" \
	" UNION SELECT p.company_id, p.id FROM (" USED ") x" \
	" JOIN o2c.invoice p ON p.company_id = x.company_id AND p.id = x.id WHERE p.kind = 'prepayment'"

/* Documents that are corrected by one that was issued in this statement. */
#define CORRECTED \
	"SELECT n.company_id, n.original_id FROM new_rows n" \
	" JOIN old_rows o ON o.company_id = n.company_id AND o.id = n.id" \
	" WHERE o.state = 'draft' AND n.state NOT IN ('draft', 'void') AND n.original_id IS NOT NULL"

/*
 * Lock the prepayment invoices and corrected documents concerned, items before
 * documents as payments do: a payment and the invoice that deducts it wait for
 * each other, and the later one sees both.  What a payment settles it has locked
 * itself, and must not wait for other instalments of it, whose payments wait
 * for the document.  Their keys are left in args; false when there are none.
 */
static bool
LockAdvances(Datum *args, bool issued)
{
	static KeptPlan find = {
		.sql = "SELECT array_agg(p.company_id ORDER BY p.company_id, p.id), array_agg(p.id ORDER BY p.company_id, p.id)"
		" FROM (" PREPAYMENTS " UNION " CORRECTED ") p"
	};
	static KeptPlan lock_items = {
		.sql = "SELECT FROM o2c.open_item i JOIN unnest($1, $2) p(company_id, id)"
		" ON i.company_id = p.company_id AND i.invoice_id = p.id"
		" ORDER BY i.company_id, i.id FOR NO KEY UPDATE OF i",
		.nargs = 2,
		.argtypes = {INT4ARRAYOID, INT8ARRAYOID}
	};
	static KeptPlan lock = {
		.sql = "SELECT FROM o2c.invoice i JOIN unnest($1, $2) p(company_id, id)"
		" ON i.company_id = p.company_id AND i.id = p.id"
		" ORDER BY i.company_id, i.id FOR NO KEY UPDATE OF i",
		.nargs = 2,
		.argtypes = {INT4ARRAYOID, INT8ARRAYOID}
	};
	bool		isnull;

	KeptPlanExecute(&find, NULL, NULL, SPI_OK_SELECT);
	args[0] = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	if (isnull)
		return false;
	args[1] = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull);
	if (issued)
	{
		KeptPlanExecute(&lock_items, args, NULL, SPI_OK_SELECT);
		KeptPlanExecute(&lock, args, NULL, SPI_OK_SELECT);
	}
	return true;
}

/*
 * Bring the advances of locked prepayment invoices up to date.  A document
 * that is used or corrected is written even when its advance stays: a payment
 * or correction that runs at a higher isolation level and did not see the use
 * must fail.
 */
static void
WriteAdvances(Datum *args)
{
	static KeptPlan keep = {
		.sql = "UPDATE o2c.invoice i SET advance_amount = x.advance"
		" FROM unnest($1, $2) p(company_id, id) JOIN o2c.invoice v ON v.company_id = p.company_id AND v.id = p.id"
		" CROSS JOIN LATERAL (SELECT coalesce(sum(abs(u.net_amount)), 0) AS net FROM o2c.invoice_line l"
		"  JOIN o2c.invoice_line u ON u.company_id = l.company_id AND u.original_line_id = l.id"
		"  JOIN o2c.invoice d ON d.company_id = u.company_id AND d.id = u.invoice_id AND d.state NOT IN ('draft', 'void')"
		"  WHERE l.company_id = v.company_id AND l.invoice_id = v.id) used"
		" CROSS JOIN LATERAL (SELECT CASE WHEN v.kind <> 'prepayment' THEN v.advance_amount WHEN v.state IN ('void', 'written_off') OR v.payable_amount <= 0 THEN 0"
		"  ELSE greatest(0, o2c.round_amount(v.net_amount * (v.payable_amount - v.open_amount) / v.payable_amount,"
		"   v.currency) - used.net) END AS advance) x"
		" WHERE i.company_id = v.company_id AND i.id = v.id"
		" AND (i.advance_amount <> x.advance OR used.net <> 0 OR v.kind <> 'prepayment')",
		.nargs = 2,
		.argtypes = {INT4ARRAYOID, INT8ARRAYOID}
	};

	KeptPlanExecuteDerived(&keep, args, NULL, SPI_OK_UPDATE);
}

/*
 * Refuse to deduct or credit more of a prepayment invoice than it billed: a
 * credit note may have come after the draft.  They are locked, so that what
 * is issued meanwhile waits and sees this.
 */
static void
RequireLeft(Datum *args)
{
	static KeptPlan over = {
		.sql = "SELECT v.number, l.line_no, l.net_amount, x.net"
		" FROM unnest($1, $2) p(company_id, id) JOIN o2c.invoice v ON v.company_id = p.company_id AND v.id = p.id AND v.kind = 'prepayment'"
		" JOIN o2c.invoice_line l ON l.company_id = v.company_id AND l.invoice_id = v.id"
		" CROSS JOIN LATERAL (SELECT sum(abs(u.net_amount)) AS net FROM o2c.invoice_line u"
		"  JOIN o2c.invoice d ON d.company_id = u.company_id AND d.id = u.invoice_id AND d.state NOT IN ('draft', 'void')"
		"  WHERE u.company_id = l.company_id AND u.original_line_id = l.id) x"
		" WHERE x.net > abs(l.net_amount) ORDER BY v.id, l.line_no LIMIT 1",
		.nargs = 2,
		.argtypes = {INT4ARRAYOID, INT8ARRAYOID}
	};

	if (KeptPlanExecute(&over, args, NULL, SPI_OK_SELECT) > 0)
	{
		HeapTuple	tuple = SPI_tuptable->vals[0];
		TupleDesc	desc = SPI_tuptable->tupdesc;

		ereport(ERROR,
				(errcode(ERRCODE_O2C_BUSINESS_RULE),
				 errmsg("more than what is left of prepayment invoice %s would be deducted or credited",
						SPI_getvalue(tuple, desc, 1)),
				 errdetail("Its line %s is %s, documents with this one would take %s.", SPI_getvalue(tuple, desc, 2),
						   SPI_getvalue(tuple, desc, 3), SPI_getvalue(tuple, desc, 4)),
				 errhint("Drop the draft with o2c.drop_draft() and bill again. No number was drawn.")));
	}
}

/* o2c_credit_on_invoices(): AFTER UPDATE ON invoice, for each statement. */
Datum
o2c_credit_on_invoices(PG_FUNCTION_ARGS)
{
	static KeptPlan lock = {
		.sql = "SELECT bool_or(x.back), bool_or(x.milestone) FROM (SELECT b.back, b.milestone FROM o2c.sales_order s JOIN"
		" (SELECT u.company_id, u.order_id, bool_or(u.back) AS back, bool_or(u.milestone) AS milestone FROM"
		"  (SELECT l.company_id, l.order_id, b.back <> 0 AS back, false AS milestone FROM (" BILLED ") b"
		"   JOIN o2c.sales_order_line l ON l.company_id = b.company_id AND l.id = b.order_line_id"
		"   UNION ALL SELECT m.company_id, m.order_id, false, true FROM (" MILESTONES ") m) u GROUP BY 1, 2) b"
		" ON s.company_id = b.company_id AND s.id = b.order_id"
		" ORDER BY s.company_id, s.id FOR NO KEY UPDATE OF s) x"
	};
	static KeptPlan bill = {
		.sql = "UPDATE o2c.sales_order_line l SET billed = l.billed + b.quantity, invoiced = l.invoiced - b.back"
		" FROM (" BILLED ") b WHERE l.company_id = b.company_id AND l.id = b.order_line_id"
	};
	static KeptPlan reach = {
		.sql = "UPDATE o2c.sales_order s SET milestone_percent = s.milestone_percent + m.percent"
		" FROM (" MILESTONES ") m WHERE s.company_id = m.company_id AND s.id = m.order_id"
	};
	static KeptPlan advance = {
		.sql = CREDIT_APPLY("SELECT n.company_id, n.customer_id, n.currency, 0::numeric AS oo, 0::numeric AS sni,"
							" 0::numeric AS oi, sum(n.advance_amount - o.advance_amount) AS ua, 0::numeric AS rt"
							" FROM new_rows n JOIN old_rows o ON o.company_id = n.company_id AND o.id = n.id"
							" WHERE n.advance_amount <> o.advance_amount GROUP BY 1, 2, 3")
	};
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_credit_on_invoices");
	InvoiceMoves moves;
	TriggerFrame frame;
	Datum		args[2];
	bool		advances = false;
	bool		rebill = false;
	bool		milestones = false;

	if (o2c_numbering)
		return PointerGetDatum(NULL);

	FindInvoiceMoves(trigdata, &moves);
	if (moves.issued == 0 && !moves.settled && !moves.advanced)
		return PointerGetDatum(NULL);
	TriggerFrameBegin(&frame, trigdata);
	/*
	 * Orders, items and documents are locked before accounts, and those of all
	 * lines at once.  One document writes its customer's accounts only; those of
	 * many were locked by o2c._issue().
	 */
	if (moves.issued > 0)
	{
		bool		isnull;
		Datum		any;

		KeptPlanExecute(&lock, NULL, NULL, SPI_OK_SELECT);
		any = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
		rebill = !isnull && DatumGetBool(any);
		any = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull);
		milestones = !isnull && DatumGetBool(any);
	}
	if (moves.issued > 0 || moves.settled)
		advances = LockAdvances(args, moves.issued > 0);
	if (moves.issued > 0)
	{
		if (rebill)
			RequireRebillable();
		KeptPlanExecuteDerived(&bill, NULL, NULL, SPI_OK_UPDATE);
		if (milestones)
			KeptPlanExecuteDerived(&reach, NULL, NULL, SPI_OK_UPDATE);
	}
	if (advances)
	{
		WriteAdvances(args);
		if (moves.issued > 0)
			RequireLeft(args);
	}
	if (moves.corrects)
		RequireCorrect();
	if (moves.advanced)
		CreditApply(&advance, false);
	TriggerFrameEnd(&frame);
	return PointerGetDatum(NULL);
}

/*
 * o2c_keep_milestone(): BEFORE UPDATE ON billing_milestone, for each row whose
 * share or order changes: not once a document bills it, since its order notes
 * that share.  run_billing() locks milestones before it drafts, as the update
 * has by now.
 */
Datum
o2c_keep_milestone(PG_FUNCTION_ARGS)
{
	static KeptPlan billed = {
		.sql = "SELECT FROM o2c.invoice_line l WHERE l.company_id = $1 AND l.milestone_id = $2 LIMIT 1",
		.nargs = 2,
		.argtypes = {INT4OID, INT8OID}
	};
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_keep_milestone");
	TupleDesc	desc = RelationGetDescr(trigdata->tg_relation);
	HeapTuple	tuple = trigdata->tg_trigtuple;
	TriggerFrame frame;
	Datum		args[2];
	bool		isnull;

	args[0] = SPI_getbinval(tuple, desc, SPI_fnumber(desc, "company_id"), &isnull);
	args[1] = SPI_getbinval(tuple, desc, SPI_fnumber(desc, "id"), &isnull);
	TriggerFrameBegin(&frame, trigdata);
	if (KeptPlanExecute(&billed, args, NULL, SPI_OK_SELECT) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_O2C_BUSINESS_RULE),
				 errmsg("milestone \"%s\" is billed", SPI_getvalue(tuple, desc, SPI_fnumber(desc, "name"))),
				 errdetail("Its share and order stand on a document."),
				 errhint("Delete the draft that bills it, or add another milestone.")));
	TriggerFrameEnd(&frame);
	return PointerGetDatum(trigdata->tg_newtuple);
}
