/*
 * journal.c
 *		Journal documents balance at commit; items keep the rate they came with.
 */
#include "o2c.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datum.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "direct_scan.h"

PG_FUNCTION_INFO_V1(o2c_check_journal_balance);
PG_FUNCTION_INFO_V1(o2c_item_rate);

/*
 * o2c_check_journal_balance(): deferred constraint trigger AFTER INSERT ON
 * journal_line, for each row.  Debits and credits of the row's document are
 * equal when the transaction ends (O2034).
 */
Datum
o2c_check_journal_balance(PG_FUNCTION_ARGS)
{
	static KeptPlan sums = {
		.sql = "SELECT pg_catalog.sum(l.base_debit), pg_catalog.sum(l.base_credit) FROM o2c.journal_line l"
		" WHERE l.company_id = $1 AND l.document_id = $2"
		" HAVING pg_catalog.sum(l.base_debit) <> pg_catalog.sum(l.base_credit)",
		.nargs = 2,
		.argtypes = {INT4OID, INT8OID}
	};
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_check_journal_balance");
	TupleDesc	desc = RelationGetDescr(trigdata->tg_relation);
	TriggerFrame frame;
	Datum		args[2];
	bool		isnull;

	TriggerFrameBegin(&frame, trigdata);
	args[0] = SPI_getbinval(trigdata->tg_trigtuple, desc, SPI_fnumber(desc, "company_id"), &isnull);
	args[1] = SPI_getbinval(trigdata->tg_trigtuple, desc, SPI_fnumber(desc, "document_id"), &isnull);
	if (KeptPlanExecute(&sums, args, NULL, SPI_OK_SELECT) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_O2C_UNBALANCED),
				 errmsg("journal document %lld does not balance", (long long) DatumGetInt64(args[1])),
				 errdetail("Debits are %s, credits %s.",
						   SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1),
						   SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2)),
				 errhint("Insert all lines of a document in one transaction.")));
	TriggerFrameEnd(&frame);
	return PointerGetDatum(NULL);
}

/*
 * Whether a code is the currency of the company.  Items come in crowds of one
 * company: the last answer is kept while the transaction, or the part of it that
 * a savepoint may take back, lasts.
 */
static bool
IsBaseCurrency(int32 company_id, Datum currency)
{
	static DirectTable companies = {
		.name = "company", .nkeys = 1,
		.columns = {"company_id", "currency"}
	};
	static TransactionId last_xid = InvalidTransactionId;
	static SubTransactionId last_subid;
	static int32 last_company;
	static char last_code[8];
	TransactionId xid = GetTopTransactionIdIfAny();
	SubTransactionId subid = GetCurrentSubTransactionId();

	if (!TransactionIdIsValid(xid) || xid != last_xid || subid != last_subid || company_id != last_company)
	{
		DirectScan	scan;
		HeapTuple	tuple;

		if (!DirectTableResolve(&companies))
			elog(ERROR, "table \"company\" is not as it was installed");
		last_xid = InvalidTransactionId;
		last_code[0] = '\0';
		DirectScanBegin(&scan, &companies, AccessShareLock, GetActiveSnapshot(), company_id, 0);
		if ((tuple = DirectScanNext(&scan)) != NULL)
		{
			bool		isnull;
			Datum		code = DirectValue(&scan, tuple, 1, &isnull);

			if (!isnull)
				text_to_cstring_buffer(DatumGetTextPP(code), last_code, sizeof(last_code));
		}
		DirectScanEnd(&scan, AccessShareLock);
		last_company = company_id;
		last_subid = subid;
		last_xid = xid;
	}
	return strlen(last_code) == VARSIZE_ANY_EXHDR(DatumGetTextPP(currency)) &&
		memcmp(VARDATA_ANY(DatumGetTextPP(currency)), last_code, strlen(last_code)) == 0;
}

/* Rates of one statement: items come in crowds of few currencies and days. */
typedef struct RateKey
{
	int32		company_id;
	DateADT		day;
	char		currency[8];	/* padded with zeros */
} RateKey;

typedef struct Rate
{
	RateKey		key;
	bool		missing;
	Datum		rate;
} Rate;

typedef struct StatementRates
{
	int			company_att;
	int			currency_att;
	int			date_att;
	int			rate_att;
	HTAB	   *rates;			/* NULL: nothing was looked up yet */
} StatementRates;

/* What is known to the statement that fires the trigger. */
static StatementRates *
RatesOf(FunctionCallInfo fcinfo, TupleDesc desc)
{
	StatementRates *known = fcinfo->flinfo->fn_extra;

	if (known == NULL)
	{
		known = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(StatementRates));
		known->company_att = SPI_fnumber(desc, "company_id");
		known->currency_att = SPI_fnumber(desc, "currency");
		known->date_att = SPI_fnumber(desc, "document_date");
		known->rate_att = SPI_fnumber(desc, "base_rate");
		fcinfo->flinfo->fn_extra = known;
	}
	return known;
}

/* The rate of a currency on a day, in the company's own; looked up once a statement. */
static Rate *
RateOn(FunctionCallInfo fcinfo, StatementRates *known, Datum *args)
{
	static KeptPlan find = {
		.sql = "SELECT CASE WHEN q.from_currency::text = $2 THEN q.rate ELSE 1 / q.rate END"
		" FROM o2c.company k JOIN o2c.exchange_rate q ON q.company_id = k.company_id AND q.valid_from <= $3"
		"  AND ((q.from_currency::text = $2 AND q.to_currency::text = k.currency::text)"
		"   OR (q.from_currency::text = k.currency::text AND q.to_currency::text = $2))"
		" WHERE k.company_id = $1 ORDER BY q.valid_from DESC, (q.from_currency::text = $2) DESC LIMIT 1",
		.nargs = 3,
		.argtypes = {INT4OID, TEXTOID, DATEOID}
	};
	RateKey		key = {.company_id = DatumGetInt32(args[0]), .day = DatumGetDateADT(args[2])};
	TriggerFrame frame;
	Rate	   *rate;
	bool		found;

	if (known->rates == NULL)
	{
		HASHCTL		control = {
			.keysize = sizeof(RateKey), .entrysize = sizeof(Rate), .hcxt = fcinfo->flinfo->fn_mcxt
		};

		known->rates = hash_create("o2c item rates", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	text_to_cstring_buffer(DatumGetTextPP(args[1]), key.currency, sizeof(key.currency));
	rate = hash_search(known->rates, &key, HASH_FIND, NULL);
	if (rate != NULL)
		return rate;

	TriggerFrameBegin(&frame, (TriggerData *) fcinfo->context);
	found = KeptPlanExecuteRow(&find, args, "   ", SPI_OK_SELECT) > 0;
	rate = hash_search(known->rates, &key, HASH_ENTER, NULL);
	rate->missing = true;
	rate->rate = (Datum) 0;
	if (found)
	{
		Datum		value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &rate->missing);
		MemoryContext before = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);

		if (!rate->missing)
			rate->rate = datumCopy(value, false, -1);
		MemoryContextSwitchTo(before);
	}
	TriggerFrameEnd(&frame);
	return rate;
}

/*
 * o2c_item_rate(): BEFORE INSERT ON open_item, for each row.  An item in
 * another currency keeps the rate of its date, so that a rate that is corrected
 * later changes nothing that was posted.
 */
Datum
o2c_item_rate(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_item_rate");
	TupleDesc	desc = RelationGetDescr(trigdata->tg_relation);
	HeapTuple	tuple = trigdata->tg_trigtuple;
	TupleTableSlot *row = trigdata->tg_trigslot;
	StatementRates *known = RatesOf(fcinfo, desc);
	Datum		args[3];
	Datum		value = (Datum) 0;
	bool		isnull;

	args[0] = slot_getattr(row, known->company_att, &isnull);
	if (!isnull)
		args[1] = slot_getattr(row, known->currency_att, &isnull);
	if (!isnull)
		args[2] = slot_getattr(row, known->date_att, &isnull);
	if (isnull)					/* NOT NULL refuses the row */
		return PointerGetDatum(tuple);

	isnull = true;
	if (!IsBaseCurrency(DatumGetInt32(args[0]), args[1]))
	{
		Rate	   *rate = RateOn(fcinfo, known, args);

		isnull = rate->missing;
		value = rate->rate;
	}
	if (isnull && slot_attisnull(row, known->rate_att))
		return PointerGetDatum(tuple);
	return PointerGetDatum(heap_modify_tuple_by_cols(tuple, desc, 1, &known->rate_att, &value, &isnull));
}
