/*
 * receipts.c
 *		Receipts that can still bounce.
 *
 * A direct debit or a cheque is booked long before it is final.  The payment
 * keeps until when it can be returned, by what the company had decided for its
 * method on the day of recording, and its amount until it is final or was
 * returned.  That amount stays in the exposure as a part of its own, whatever
 * the money was applied to: what it took off elsewhere is added here.
 */
#include "o2c.h"

#include "access/htup_details.h"
#include "utils/builtins.h"
#include "utils/numeric.h"
#include "utils/rel.h"

#include "credit/credit.h"
#include "numeric_ops.h"

PG_FUNCTION_INFO_V1(o2c_credit_receipt);
PG_FUNCTION_INFO_V1(o2c_credit_on_payments);

/* What is known to the statement that fires the trigger. */
typedef struct StatementReceipts
{
	CreditPolicy policy;		/* of the company of the last row */
	int			company_att;
	int			method_att;
	int			day_att;
	int			amount_att;
	int			kept_atts[2];	/* returnable_until, returnable_amount */
	Datum		zero;
} StatementReceipts;

static StatementReceipts *
ReceiptsOf(FunctionCallInfo fcinfo, TupleDesc desc)
{
	StatementReceipts *known = fcinfo->flinfo->fn_extra;

	if (known == NULL)
	{
		MemoryContext before = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);

		known = palloc0(sizeof(StatementReceipts));
		known->company_att = SPI_fnumber(desc, "company_id");
		known->method_att = SPI_fnumber(desc, "method");
		known->day_att = SPI_fnumber(desc, "received_on");
		known->amount_att = SPI_fnumber(desc, "amount");
		known->kept_atts[0] = SPI_fnumber(desc, "returnable_until");
		known->kept_atts[1] = SPI_fnumber(desc, "returnable_amount");
		known->zero = NumericGetDatum(int64_to_numeric(0));
		fcinfo->flinfo->fn_extra = known;
		MemoryContextSwitchTo(before);
	}
	return known;
}

/* Days for which a receipt by a method can bounce; -1 when it is final at once. */
static int32
ReturnDays(const CreditPolicy *policy, Datum method)
{
	text	   *label = DatumGetTextPP(method);

	for (int i = 0; i < CREDIT_METHODS; i++)
		if (strlen(credit_methods[i]) == VARSIZE_ANY_EXHDR(label) &&
			memcmp(credit_methods[i], VARDATA_ANY(label), VARSIZE_ANY_EXHDR(label)) == 0)
			return policy->returns[i];
	return -1;					/* a CHECK refuses it */
}

/*
 * o2c_credit_receipt(): BEFORE INSERT ON payment, and BEFORE UPDATE when it is
 * returned, for each row.  Sets until when the receipt can bounce and what of
 * it counts, whatever the statement says.
 */
Datum
o2c_credit_receipt(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_credit_receipt");
	TupleDesc	desc = RelationGetDescr(trigdata->tg_relation);
	StatementReceipts *known = ReceiptsOf(fcinfo, desc);
	TupleTableSlot *row = trigdata->tg_trigslot;
	Datum		values[2] = {(Datum) 0, known->zero};
	bool		nulls[2] = {true, false};
	int32		company_id;
	Datum		method;
	Datum		day;
	Datum		given;
	bool		method_null;
	bool		day_null;
	bool		isnull;

	if (TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event))
		/* it has come back: nothing of it is to come */
		return PointerGetDatum(heap_modify_tuple_by_cols(trigdata->tg_newtuple, desc, 1, &known->kept_atts[1],
														 &values[1], &nulls[1]));

	company_id = DatumGetInt32(slot_getattr(row, known->company_att, &isnull));
	if (isnull)
		return PointerGetDatum(trigdata->tg_trigtuple); /* NOT NULL refuses it, as all of the following */
	method = slot_getattr(row, known->method_att, &method_null);
	day = slot_getattr(row, known->day_att, &day_null);
	if (!method_null && !day_null && !DATE_NOT_FINITE(DatumGetDateADT(day)))
	{
		int32		days;

		if (!known->policy.known || known->policy.company_id != company_id)
			CreditPolicyOf(company_id, &known->policy);
		days = ReturnDays(&known->policy, method);
		if (days >= 0)
		{
			values[0] = DirectFunctionCall2(date_pli, day, Int32GetDatum(days));
			nulls[0] = false;
			if (DatumGetDateADT(values[0]) >= known->policy.today)
				values[1] = slot_getattr(row, known->amount_att, &nulls[1]);
		}
	}

	/* most rows are as they should be */
	given = slot_getattr(row, known->kept_atts[1], &isnull);
	if (nulls[0] && !isnull && NumericCompare(DatumGetNumeric(given), DatumGetNumeric(known->zero)) == 0)
	{
		(void) slot_getattr(row, known->kept_atts[0], &isnull);
		if (isnull)
			return PointerGetDatum(trigdata->tg_trigtuple);
	}
	if (nulls[1])
	{
		values[1] = known->zero;
		nulls[1] = false;
	}
	return PointerGetDatum(heap_modify_tuple_by_cols(trigdata->tg_trigtuple, desc, 2, known->kept_atts, values, nulls));
}

#define RECEIPTS(rows, sign) \
	"SELECT r.company_id, r.customer_id, r.currency, " sign "r.returnable_amount AS amount FROM " rows " r" \
	" WHERE r.returnable_amount <> 0 AND r.customer_id IS NOT NULL"
#define RECEIPT_DELTA(rows) \
	"SELECT i.company_id, i.customer_id, i.currency, 0::numeric AS oo, 0::numeric AS sni, 0::numeric AS oi," \
	" 0::numeric AS ua, sum(i.amount) AS rt FROM (" rows ") i GROUP BY 1, 2, 3"

/* o2c_credit_on_payments(): AFTER INSERT or UPDATE ON payment, for each statement. */
Datum
o2c_credit_on_payments(PG_FUNCTION_ARGS)
{
	/* documents are locked before accounts: those that it had paid are open again next */
	static KeptPlan lock = {
		.sql = "SELECT count(*) FROM (SELECT 1 FROM o2c.invoice v WHERE (v.company_id, v.id) IN"
		" (SELECT d.company_id, d.invoice_id FROM new_rows n"
		"  JOIN old_rows o ON o.company_id = n.company_id AND o.id = n.id AND o.state <> 'returned'"
		"  JOIN o2c.open_item i ON i.company_id = n.company_id AND i.id = n.item_id"
		"  JOIN o2c.allocation a ON a.company_id = n.company_id AND a.credit_item_id IN (i.id, i.source_item_id)"
		"  JOIN o2c.open_item d ON d.company_id = a.company_id AND d.id = a.debit_item_id"
		"  WHERE n.state = 'returned' AND o.returnable_amount <> 0 AND d.invoice_id IS NOT NULL)"
		" ORDER BY v.company_id, v.id FOR NO KEY UPDATE) x"
	};
	static KeptPlan inserted = {.sql = CREDIT_APPLY(RECEIPT_DELTA(RECEIPTS("new_rows", "")))};
	static KeptPlan updated = {
		.sql = CREDIT_APPLY(RECEIPT_DELTA(RECEIPTS("new_rows", "") " UNION ALL " RECEIPTS("old_rows", "-")))
	};
	static const char *const amount[] = {"returnable_amount", "customer_id", NULL};
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_credit_on_payments");
	bool		is_update = TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event);
	TriggerFrame frame;

	if (is_update)
	{
		if (!RowsDiffer(trigdata, amount))
			return PointerGetDatum(NULL);
		TriggerFrameBegin(&frame, trigdata);
		KeptPlanExecute(&lock, NULL, NULL, SPI_OK_SELECT);
		TriggerFrameEnd(&frame);
	}
	if (CreditOneAccount(trigdata, "returnable_amount", true))
		return PointerGetDatum(NULL);

	TriggerFrameBegin(&frame, trigdata);
	CreditApply(is_update ? &updated : &inserted, false);
	TriggerFrameEnd(&frame);
	return PointerGetDatum(NULL);
}
