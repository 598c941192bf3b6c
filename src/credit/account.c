/*
 * account.c
 *		Adding changes to credit accounts and judging the limit.
 *
 * Everything happens in one statement under the locks of the rows concerned
 * (see CREDIT_APPLY), so that what is compared with the limit is what will be
 * committed.  At READ COMMITTED a second transaction waits for the row and
 * adds to its latest version; at higher levels it fails with a serialization
 * error and is tried again by its client.
 */
#include "o2c.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "credit/credit.h"
#include "numeric_ops.h"

PG_FUNCTION_INFO_V1(o2c_posting_only);

/* A numeric column of an SPI result, or NULL. */
Numeric
SPIGetNumeric(HeapTuple tuple, TupleDesc desc, int column)
{
	bool		isnull;
	Datum		value = SPI_getbinval(tuple, desc, column, &isnull);

	return isnull ? NULL : DatumGetNumeric(value);
}

/* A number as text, for messages. */
char *
NumericText(Numeric value)
{
	return DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value)));
}

/*
 * Complete a head: exposure over all currencies when there are several, and
 * what is added to the limit today.  The caller holds the head row, so no
 * other row of the customer can change meanwhile.  exposure becomes NULL when
 * an exchange rate is missing.
 */
void
CreditHeadComplete(CreditHead *head, bool mixed)
{
	static KeptPlan complete = {
		.sql = "SELECT (SELECT CASE WHEN bool_and(r.rate IS NOT NULL)"
		"   THEN sum(o2c.round_amount(a.group_exposure * r.rate, $3::o2c.currency)) END"
		"  FROM o2c.credit_account a"
		"  CROSS JOIN LATERAL (SELECT o2c._credit_rate(a.company_id, a.currency, $3) AS rate) r"
		"  WHERE a.company_id = $1 AND a.customer_id = $2 AND a.group_exposure <> 0),"
		" (SELECT coalesce(sum(i.amount), 0) FROM o2c.credit_increase i"
		"  WHERE i.company_id = $1 AND i.customer_id = $2"
		"  AND o2c.today($1) BETWEEN i.valid_from AND i.valid_to),"
		" EXISTS (SELECT FROM o2c.credit_account a WHERE a.company_id = $1 AND a.customer_id = $2"
		"  AND a.group_exposure <> 0)",
		.nargs = 3,
		.argtypes = {INT4OID, INT8OID, TEXTOID}
	};
	Datum		args[3];
	HeapTuple	tuple;
	TupleDesc	desc;
	Numeric		sum;
	bool		isnull;

	args[0] = Int32GetDatum(head->company_id);
	args[1] = Int64GetDatum(head->customer_id);
	args[2] = CStringGetTextDatum(head->currency);
	KeptPlanExecuteRow(&complete, args, NULL, SPI_OK_SELECT);
	tuple = SPI_tuptable->vals[0];
	desc = SPI_tuptable->tupdesc;
	if (mixed && DatumGetBool(SPI_getbinval(tuple, desc, 3, &isnull)))
	{
		sum = SPIGetNumeric(tuple, desc, 1);
		head->exposure = sum;
	}
	if (head->limit != NULL)
		head->limit = NumericAdd(head->limit, DatumGetNumeric(SPI_getbinval(tuple, desc, 2, &isnull)));
}

/* Refuse a change that leads over the limit. */
static void
RefuseOverLimit(const CreditHead *head)
{
	static KeptPlan code = {
		.sql = "SELECT c.code FROM o2c.customer c WHERE c.company_id = $1 AND c.id = $2",
		.nargs = 2,
		.argtypes = {INT4OID, INT8OID}
	};
	Datum		args[2];
	char	   *label = "?";

	args[0] = Int32GetDatum(head->company_id);
	args[1] = Int64GetDatum(head->customer_id);
	if (KeptPlanExecute(&code, args, NULL, SPI_OK_SELECT) == 1)
		label = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	if (head->exposure == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_O2C_UNKNOWN_OBJECT),
				 errmsg("exposure of customer \"%s\" cannot be told in %s", label, head->currency),
				 errdetail("An exchange rate is missing."),
				 errhint("Insert it into o2c.exchange_rate.")));
	ereport(ERROR,
			(errcode(ERRCODE_O2C_CREDIT_LIMIT),
			 errmsg("customer \"%s\" would exceed its credit limit", label),
			 errdetail("Exposure would be %s %s, the limit is %s.",
					   NumericText(head->exposure), head->currency,
					   NumericText(head->limit)),
			 errhint("o2c.confirm_order() puts such an order on hold; o2c.set_credit_limit() changes the limit.")));
}

/*
 * Execute a statement that changes accounts, with the result columns of
 * CREDIT_APPLY, and judge the head rows it returns.  With "enforce" a change
 * that grows an exposure over its limit is refused; thresholds are announced
 * in any case.  Must run inside a TriggerFrame.
 */
void
CreditApplyWith(KeptPlan *apply, Datum *args, bool enforce)
{
	int			n = KeptPlanExecuteDerived(apply, args, NULL, SPI_OK_SELECT);
	SPITupleTable *rows = SPI_tuptable;

	for (int i = 0; i < n; i++)
	{
		HeapTuple	tuple = rows->vals[i];
		TupleDesc	desc = rows->tupdesc;
		CreditHead	head;
		bool		isnull;
		bool		grows;
		bool		mixed;

		head.limit = SPIGetNumeric(tuple, desc, 6);
		if (head.limit == NULL)
			continue;
		head.company_id = DatumGetInt32(SPI_getbinval(tuple, desc, 1, &isnull));
		head.customer_id = DatumGetInt64(SPI_getbinval(tuple, desc, 2, &isnull));
		grows = DatumGetBool(SPI_getbinval(tuple, desc, 3, &isnull));
		head.currency = SPI_getvalue(tuple, desc, 4);
		head.exposure = SPIGetNumeric(tuple, desc, 5);
		mixed = DatumGetBool(SPI_getbinval(tuple, desc, 7, &isnull));
		head.temporary = DatumGetBool(SPI_getbinval(tuple, desc, 8, &isnull));
		head.alert_level = DatumGetInt32(SPI_getbinval(tuple, desc, 9, &isnull));
		head.alert_at = SPIGetNumeric(tuple, desc, 10);
		head.alert_below = SPIGetNumeric(tuple, desc, 11);
		if (mixed || head.temporary)
			CreditHeadComplete(&head, mixed);

		if (enforce && grows &&
			(head.exposure == NULL || NumericCompare(head.exposure, head.limit) > 0))
			RefuseOverLimit(&head);
		if (head.exposure != NULL &&
			(head.temporary ||
			 (head.alert_at != NULL && NumericCompare(head.exposure, head.alert_at) >= 0) ||
			 (head.alert_below != NULL && NumericCompare(head.exposure, head.alert_below) < 0)))
			CreditAlert(&head);
	}
	SPI_freetuptable(rows);
}

/* The same for a statement without arguments. */
void
CreditApply(KeptPlan *apply, bool enforce)
{
	CreditApplyWith(apply, NULL, enforce);
}

/*
 * o2c_posting_only(): BEFORE INSERT, UPDATE or DELETE, for each row: refuses
 * what does not come from o2c's own triggers.
 */
Datum
o2c_posting_only(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_posting_only");

	if (!o2c_posting)
		ereport(ERROR,
				(errcode(ERRCODE_O2C_IMMUTABLE),
				 errmsg("rows of \"%s\" cannot be changed directly",
						SPI_getrelname(trigdata->tg_relation)),
				 errdetail("They are derived from orders, shipments, invoices and payments."),
				 errhint("o2c.check() tells whether they agree with the documents.")));
	return PointerGetDatum(TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event) ?
						   trigdata->tg_newtuple : trigdata->tg_trigtuple);
}
