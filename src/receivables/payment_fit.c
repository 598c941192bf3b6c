/*
 * payment_fit.c
 *		A payment and its credit item in the subledger fit each other.
 *
 * A payment is applied when nothing is left of its item, whoever posted it.
 * Neither is ever deleted, and what was received never changes, so for the
 * rest it is enough to look when a payment is inserted, when it goes to another
 * item or customer, and when it is returned.
 */
#include "receivables/posting.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

#include "direct_scan.h"

PG_FUNCTION_INFO_V1(o2c_payment_fit);

static DirectTable payments = {
	.name = "payment", .nkeys = 2,
	.columns = {"company_id", "item_id", "id", "state", "customer_id", "amount", "currency", "bank_line_id"}
};

static DirectTable items = {
	.name = "open_item", .nkeys = 2,
	.columns = {"company_id", "id", "customer_id", "amount", "open_amount", "currency", "number"}
};

static DirectTable lines = {
	.name = "bank_line", .nkeys = 2, .columns = {"company_id", "id"}
};

static DirectTable entries = {
	.name = "ledger_entry", .nkeys = 2, .columns = {"company_id", "item_id"}
};

/* Positions in the columns of payments and items. */
enum
{
	PAYMENT_COMPANY, PAYMENT_ITEM, PAYMENT_ID, PAYMENT_STATE, PAYMENT_CUSTOMER, PAYMENT_AMOUNT, PAYMENT_CURRENCY, PAYMENT_LINE
};

enum
{
	ITEM_CUSTOMER = 2, ITEM_AMOUNT, ITEM_OPEN, ITEM_CURRENCY, ITEM_NUMBER
};

/*
 * The payment of an item, when it is not yet in the state it should be in.
 * What the current snapshot shows is newest: the item is locked, and its
 * payment moves with it.
 */
static bool
FindPayment(const ItemChange *change, Oid unlike, int64 *id)
{
	DirectScan	scan;
	HeapTuple	tuple;
	bool		isnull;
	bool		found = false;

	DirectScanBegin(&scan, &payments, AccessShareLock, GetActiveSnapshot(),
					change->company_id, change->item_id);
	if ((tuple = DirectScanNext(&scan)) != NULL)
	{
		*id = DatumGetInt64(DirectValue(&scan, tuple, PAYMENT_ID, &isnull));
		found = DatumGetObjectId(DirectValue(&scan, tuple, PAYMENT_STATE, &isnull)) == unlike;
	}
	DirectScanEnd(&scan, AccessShareLock);
	return found;
}

/*
 * Items whose payments were inserted, and found to fit, by this transaction
 * itself: what it asks about each item of a run when it ends needs no look
 * into the index.  Stretches of ids in ascending order; a payment that a
 * savepoint may still take back is not among them.
 */
#define MAX_STRETCHES 1024

typedef struct Stretch
{
	int32		company_id;
	int64		first;
	int64		last;
} Stretch;

static Stretch *stretches;		/* in the transaction's memory */
static int	nstretches;
static FullTransactionId stretches_of = {0};

static void
RememberPaid(int32 company_id, int64 item_id)
{
	FullTransactionId now = GetTopFullTransactionIdIfAny();
	Stretch    *last;

	if (GetCurrentTransactionNestLevel() > 1)
		return;
	if (!FullTransactionIdEquals(stretches_of, now))
	{
		stretches = MemoryContextAlloc(TopTransactionContext, sizeof(Stretch) * MAX_STRETCHES);
		nstretches = 0;
		stretches_of = now;
	}
	last = nstretches > 0 ? &stretches[nstretches - 1] : NULL;
	if (last != NULL && last->company_id == company_id && last->last + 1 == item_id)
		last->last = item_id;
	else if (nstretches < MAX_STRETCHES &&
			 (last == NULL || last->company_id < company_id ||
			  (last->company_id == company_id && last->last < item_id)))
		stretches[nstretches++] = (Stretch) {company_id, item_id, item_id};
}

static bool
IsRemembered(int32 company_id, int64 item_id)
{
	int			low = 0;
	int			high = nstretches;

	if (!FullTransactionIdIsValid(stretches_of) ||
		!FullTransactionIdEquals(stretches_of, GetTopFullTransactionIdIfAny()))
		return false;
	while (low < high)
	{
		int			middle = (low + high) / 2;
		const Stretch *at = &stretches[middle];

		if (at->company_id < company_id || (at->company_id == company_id && at->last < item_id))
			low = middle + 1;
		else
			high = middle;
	}
	return low < nstretches && stretches[low].company_id == company_id && stretches[low].first <= item_id;
}

/* Whether a payment names the item, by the index alone. */
bool
ItemHasPayment(int32 company_id, int64 item_id)
{
	DirectScan	scan;
	bool		found;

	if (IsRemembered(company_id, item_id))
		return true;
	if (!DirectTableResolve(&payments))
		return false;
	DirectScanBegin(&scan, &payments, AccessShareLock, GetActiveSnapshot(), company_id, item_id);
	found = DirectScanNext(&scan) != NULL;
	DirectScanEnd(&scan, AccessShareLock);
	return found;
}

/* Payments whose items changed become received or applied. */
void
CarryToPayments(Relation sibling, ItemChanges *changes)
{
	static const char *const columns[] = {"state"};
	Oid			relid = TableByName(sibling, "payment");
	TableWriter *writer = NULL;
	Oid			type = InvalidOid;
	Oid			received = InvalidOid;
	Oid			applied = InvalidOid;
	const ItemChange *change;

	if (!DirectTableResolve(&payments))
		elog(ERROR, "table \"payment\" is not as it was installed");
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	RecordsRewind(changes->done);
	while ((change = RecordsNext(changes->done)) != NULL)
	{
		TupleTableSlot *row;
		Datum		state;
		bool		isnull;
		int64		id;

		/* the item of a payment is a credit that no document made, and has its receipt */
		if (!change->item.credit || change->invoice_id != NO_ID || change->born)
			continue;
		if (!OidIsValid(type))
		{
			type = get_atttype(relid, payments.att[PAYMENT_STATE]);
			received = EnumValue(type, "received");
			applied = EnumValue(type, "applied");
		}
		if (!FindPayment(change, change->settled ? received : applied, &id))
			continue;
		if (writer == NULL)
			writer = TableWriterBegin(relid, CMD_UPDATE, columns, lengthof(columns));
		row = TableWriterFind(writer, change->company_id, id);
		if (row == NULL || DatumGetObjectId(slot_getattr(row, payments.att[PAYMENT_STATE], &isnull)) !=
			(change->settled ? received : applied))
			continue;
		state = ObjectIdGetDatum(change->settled ? applied : received);
		TableWriterUpdate(writer, &state, NULL);
	}
	if (writer != NULL)
		TableWriterEnd(writer);
	PopActiveSnapshot();
}

/*
 * Whether a number is one of those that belong to payments, which
 * open_item_number_key leaves out for their items.
 */
bool
IsPaymentNumber(Datum number)
{
	text	   *t = DatumGetTextPP(number);

	return VARSIZE_ANY_EXHDR(t) >= strlen(PAYMENT_NUMBER) &&
		memcmp(VARDATA_ANY(t), PAYMENT_NUMBER, strlen(PAYMENT_NUMBER)) == 0;
}

/* Whether it is the number of the payment with that id, if it is one of theirs. */
static bool
NumberFits(Datum number, int64 id)
{
	char		expected[sizeof(PAYMENT_NUMBER) + MAXINT8LEN];
	text	   *t = DatumGetTextPP(number);
	int			len;

	if (!IsPaymentNumber(PointerGetDatum(t)))
		return true;
	len = snprintf(expected, sizeof(expected), PAYMENT_NUMBER INT64_FORMAT, id);
	return VARSIZE_ANY_EXHDR(t) == len && memcmp(VARDATA_ANY(t), expected, len) == 0;
}

/* Refuse the payment with that id. */
static void
RefusePayment(const char *id)
{
	ereport(ERROR,
			(errcode(ERRCODE_O2C_BUSINESS_RULE),
			 errmsg("payment %s does not fit its open item", id),
			 errdetail("The item is a credit of the same customer, currency and amount that stands in the ledger, a number that begins with " PAYMENT_NUMBER " ends with the payment's id, only an item made from it takes its place, and nothing is left on it when the payment was returned."),
			 errhint("Use o2c.record_payment(), o2c.apply_payment() and o2c.return_payment().")));
}

/* Whether an item is the credit item of a new payment, but for what stands in the ledger. */
static bool
IsItemOf(TupleTableSlot *item, TupleTableSlot *payment)
{
	char		currency[2][3];
	bool		isnull[2];
	Datum		customer[2];

	ReadCurrency(currency[0], slot_getattr(item, items.att[ITEM_CURRENCY], &isnull[0]));
	ReadCurrency(currency[1], slot_getattr(payment, payments.att[PAYMENT_CURRENCY], &isnull[1]));
	if (memcmp(currency[0], currency[1], sizeof(currency[0])) != 0)
		return false;
	customer[0] = slot_getattr(item, items.att[ITEM_CUSTOMER], &isnull[0]);
	customer[1] = slot_getattr(payment, payments.att[PAYMENT_CUSTOMER], &isnull[1]);
	if (isnull[0] != isnull[1] || (!isnull[0] && DatumGetInt64(customer[0]) != DatumGetInt64(customer[1])))
		return false;
	if (!NumberFits(slot_getattr(item, items.att[ITEM_NUMBER], &isnull[0]),
					DatumGetInt64(slot_getattr(payment, payments.att[PAYMENT_ID], &isnull[1]))))
		return false;
	return DatumGetBool(DirectFunctionCall2(numeric_eq,
											slot_getattr(item, items.att[ITEM_AMOUNT], &isnull[0]),
											DirectFunctionCall1(numeric_uminus,
																slot_getattr(payment, payments.att[PAYMENT_AMOUNT], &isnull[1]))));
}

/*
 * New payments have their items and their bank lines; an item on which nothing
 * is open may be one that awaits its receipt, and must stand in the ledger.
 */
static void
LookAtNewPayments(TriggerData *trigdata)
{
	Datum		zero = NumericGetDatum(int64_to_numeric(0));
	MemoryContext work = AllocSetContextCreate(CurrentMemoryContext, "o2c new payment", ALLOCSET_SMALL_SIZES);
	DirectLookup item;
	DirectLookup line;
	DirectLookup entry;
	RowReader	reader;
	TupleTableSlot *row;

	if (!DirectTableResolve(&payments) || !DirectTableResolve(&items) ||
		!DirectTableResolve(&lines) || !DirectTableResolve(&entries))
		elog(ERROR, "tables of payments are not as they were installed");
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	DirectLookupBegin(&item, &items, GetActiveSnapshot());
	DirectLookupBegin(&line, &lines, GetActiveSnapshot());
	DirectLookupBegin(&entry, &entries, GetActiveSnapshot());
	RowReaderBegin(&reader, trigdata->tg_newtable, trigdata->tg_relation);
	while ((row = RowReaderNext(&reader)) != NULL)
	{
		MemoryContext before = MemoryContextSwitchTo(work);
		bool		isnull;
		bool		no_line;
		int32		company_id = DatumGetInt32(slot_getattr(row, payments.att[PAYMENT_COMPANY], &isnull));
		int64		item_id = DatumGetInt64(slot_getattr(row, payments.att[PAYMENT_ITEM], &isnull));
		int64		line_id = DatumGetInt64(slot_getattr(row, payments.att[PAYMENT_LINE], &no_line));
		TupleTableSlot *found = DirectLookupFind(&item, company_id, item_id);
		bool		fits = found != NULL && IsItemOf(found, row) &&
			(no_line || DirectLookupFind(&line, company_id, line_id) != NULL);

		CHECK_FOR_INTERRUPTS();
		if (fits && DatumGetBool(DirectFunctionCall2(numeric_eq, slot_getattr(found, items.att[ITEM_OPEN], &isnull), zero)))
			fits = DirectLookupFind(&entry, company_id, item_id) != NULL;
		if (!fits)
			RefusePayment(psprintf(INT64_FORMAT, DatumGetInt64(slot_getattr(row, payments.att[PAYMENT_ID], &isnull))));
		RememberPaid(company_id, item_id);
		MemoryContextSwitchTo(before);
		MemoryContextReset(work);
	}
	RowReaderEnd(&reader);
	DirectLookupEnd(&entry);
	DirectLookupEnd(&line);
	DirectLookupEnd(&item);
	PopActiveSnapshot();
	MemoryContextDelete(work);
}

/*
 * o2c_payment_fit(): AFTER INSERT, for each statement, REFERENCING NEW TABLE
 * new_rows; and AFTER UPDATE, for each row, as a deferred constraint trigger:
 * in between a function moves the item and the payment one after the other.
 */
Datum
o2c_payment_fit(PG_FUNCTION_ARGS)
{
	static KeptPlan moved = {
		.sql = "SELECT p.id::text FROM o2c.payment p"
		" LEFT JOIN o2c.open_item i ON i.company_id = p.company_id AND i.id = p.item_id"
		" WHERE p.company_id = $1 AND p.id = $2"
		"  AND (i.id IS NULL OR i.currency::text <> p.currency::text OR i.amount < - p.amount"
		"   OR i.customer_id IS DISTINCT FROM p.customer_id OR (i.open_amount <> 0) <> (p.state = 'received')"
		"   OR (i.number ^@ '" PAYMENT_NUMBER "' AND i.number <> '" PAYMENT_NUMBER "' || p.id))"
		/* it goes with its money, to the item that was made from its own */
		" UNION ALL SELECT $2::text FROM o2c.open_item i"
		" WHERE i.company_id = $1 AND i.id = $4 AND $4 <> $3 AND i.source_item_id IS DISTINCT FROM $3 LIMIT 1",
		.nargs = 4,
		.argtypes = {INT4OID, INT8OID, INT8OID, INT8OID}
	};
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_payment_fit");
	TupleDesc	desc = RelationGetDescr(trigdata->tg_relation);
	TriggerFrame frame;
	int			item = SPI_fnumber(desc, "item_id");
	Datum		args[4];
	bool		isnull;

	if (TRIGGER_FIRED_FOR_STATEMENT(trigdata->tg_event))
	{
		if (tuplestore_tuple_count(trigdata->tg_newtable) > 0)
			LookAtNewPayments(trigdata);
		return PointerGetDatum(NULL);
	}
	TriggerFrameBegin(&frame, trigdata);
	args[0] = SPI_getbinval(trigdata->tg_newtuple, desc, SPI_fnumber(desc, "company_id"), &isnull);
	args[1] = SPI_getbinval(trigdata->tg_newtuple, desc, SPI_fnumber(desc, "id"), &isnull);
	args[2] = SPI_getbinval(trigdata->tg_trigtuple, desc, item, &isnull);
	args[3] = SPI_getbinval(trigdata->tg_newtuple, desc, item, &isnull);
	if (KeptPlanExecute(&moved, args, NULL, SPI_OK_SELECT) > 0)
		RefusePayment(SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1));
	TriggerFrameEnd(&frame);
	return PointerGetDatum(NULL);
}
