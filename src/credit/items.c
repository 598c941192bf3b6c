/*
 * items.c
 *		From open items to exposure.
 *
 * A debit that is open counts gross; a credit that is open (a payment on
 * account, a credit note) is unapplied.  One statement, however many items it
 * changes, writes each customer's account once; without SQL when all are
 * one customer's.
 */
#include "o2c.h"

#include "catalog/pg_collation.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/rel.h"

#include "credit/credit.h"
#include "numeric_ops.h"
#include "table_writer.h"

PG_FUNCTION_INFO_V1(o2c_credit_on_items);

#define ITEMS(rows, sign) \
	"SELECT r.company_id, r.customer_id, r.currency, " sign "greatest(r.open_amount, 0) AS oi," \
	" " sign "greatest(-r.open_amount, 0) AS ua FROM " rows " r" \
	" WHERE r.open_amount <> 0 AND r.customer_id IS NOT NULL"
#define ITEM_DELTA(rows) \
	"SELECT i.company_id, i.customer_id, i.currency, 0::numeric AS oo, 0::numeric AS sni," \
	" sum(i.oi) AS oi, sum(i.ua) AS ua, 0::numeric AS rt FROM (" rows ") i GROUP BY 1, 2, 3"

static inline bool
IsZero(Numeric value)
{
	return NumericCompare(value, int64_to_numeric(0)) == 0;
}

/* What the rows of one account change. */
typedef struct OneAccount
{
	const char *amount;			/* the column that counts */
	bool		receipts;		/* it is a receipt that can bounce, not what is open */
	bool		any;
	AccountMove move;
} OneAccount;

/* Add the rows of a transition table to the account; false when they are of several accounts. */
static bool
AddRows(TriggerData *trigdata, Tuplestorestate *rows, bool add, OneAccount *account)
{
	TupleDesc	desc = RelationGetDescr(trigdata->tg_relation);
	int			company_att = SPI_fnumber(desc, "company_id");
	int			customer_att = SPI_fnumber(desc, "customer_id");
	int			currency_att = SPI_fnumber(desc, "currency");
	int			open_att = SPI_fnumber(desc, account->amount);
	AccountMove *move = &account->move;
	RowReader	reader;
	TupleTableSlot *row;
	bool		one = true;

	RowReaderBegin(&reader, rows, trigdata->tg_relation);
	while (one && (row = RowReaderNext(&reader)) != NULL)
	{
		bool		isnull;
		Numeric		open = DatumGetNumeric(slot_getattr(row, open_att, &isnull));
		int32		company_id = DatumGetInt32(slot_getattr(row, company_att, &isnull));
		Datum		currency = slot_getattr(row, currency_att, &isnull);
		int64		customer_id = DatumGetInt64(slot_getattr(row, customer_att, &isnull));
		Numeric	   *sum;

		if (isnull || IsZero(open))
			continue;
		if (!account->any)
		{
			account->any = true;
			move->company_id = company_id;
			move->customer_id = customer_id;
			move->currency = datumCopy(currency, false, -1);
			move->items = move->unapplied = move->returnable = int64_to_numeric(0);
		}
		one = company_id == move->company_id && customer_id == move->customer_id &&
			DatumGetBool(DirectFunctionCall2Coll(texteq, DEFAULT_COLLATION_OID, currency, move->currency));
		if (!one)
			break;
		/* a credit that is open adds to what is unapplied */
		if (account->receipts)
			sum = &move->returnable;
		else if (NumericCompare(open, int64_to_numeric(0)) > 0)
			sum = &move->items;
		else
		{
			sum = &move->unapplied;
			open = DatumGetNumeric(DirectFunctionCall1(numeric_uminus, NumericGetDatum(open)));
		}
		*sum = add ? NumericAdd(*sum, open) : NumericSubtract(*sum, open);
	}
	RowReaderEnd(&reader);
	return one;
}

/*
 * Carry the rows of the transition tables to the account without SQL, when all
 * are of one; false when they are not, with nothing changed.  "amount" is the
 * column that counts: of receipts that can bounce, else what is open.
 */
bool
CreditOneAccount(TriggerData *trigdata, const char *amount, bool receipts)
{
	OneAccount	account = {.amount = amount, .receipts = receipts};

	if (trigdata->tg_oldtable != NULL && !AddRows(trigdata, trigdata->tg_oldtable, false, &account))
		return false;
	if (trigdata->tg_newtable != NULL && !AddRows(trigdata, trigdata->tg_newtable, true, &account))
		return false;
	if (!account.any || (IsZero(account.move.items) && IsZero(account.move.unapplied) && IsZero(account.move.returnable)))
		return true;
	return CreditQuickItems(&account.move);
}

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

	if (o2c_numbering || CreditOneAccount(trigdata, "open_amount", false))
		return PointerGetDatum(NULL);

	TriggerFrameBegin(&frame, trigdata);
	CreditApply(TRIGGER_FIRED_BY_INSERT(trigdata->tg_event) ? &inserted :
				TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event) ? &updated : &deleted, false);
	TriggerFrameEnd(&frame);
	return PointerGetDatum(NULL);
}
