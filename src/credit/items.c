/*
 * items.c
 *		From open items to exposure.
 *
 * A debit that is open counts gross; a credit that is open (a payment on
 * account, a credit note) is unapplied.  One statement, however many items it
 * changes, writes each customer's account once.
 */
#include "o2c.h"

#include "credit/credit.h"

PG_FUNCTION_INFO_V1(o2c_credit_on_items);

#define ITEMS(rows, sign) \
	"SELECT r.company_id, r.customer_id, r.currency, " sign "greatest(r.open_amount, 0) AS oi," \
	" " sign "greatest(-r.open_amount, 0) AS ua FROM " rows " r" \
	" WHERE r.open_amount <> 0 AND r.customer_id IS NOT NULL"
#define ITEM_DELTA(rows) \
	"SELECT i.company_id, i.customer_id, i.currency, 0::numeric AS oo, 0::numeric AS sni," \
	" sum(i.oi) AS oi, sum(i.ua) AS ua FROM (" rows ") i GROUP BY 1, 2, 3"

/* o2c_credit_on_items(): AFTER INSERT, UPDATE or DELETE ON open_item, for each statement. */
Datum
o2c_credit_on_items(PG_FUNCTION_ARGS)
{
	static KeptPlan inserted = {.sql = CREDIT_APPLY(ITEM_DELTA(ITEMS("new_rows", "")))};
	static KeptPlan updated = {
		.sql = CREDIT_APPLY(ITEM_DELTA(ITEMS("new_rows", "") " UNION ALL " ITEMS("old_rows", "-")))
	};
	static KeptPlan deleted = {.sql = CREDIT_APPLY(ITEM_DELTA(ITEMS("old_rows", "-")))};
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_credit_on_items");
	TriggerFrame frame;

	if (o2c_numbering)
		return PointerGetDatum(NULL);

	TriggerFrameBegin(&frame, trigdata);
	CreditApply(TRIGGER_FIRED_BY_INSERT(trigdata->tg_event) ? &inserted :
				TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event) ? &updated : &deleted, false);
	TriggerFrameEnd(&frame);
	return PointerGetDatum(NULL);
}
