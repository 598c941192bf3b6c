/*
 * items.c
 *		From open items to exposure.
 *
 * A debit that is open counts gross; a credit that is open (a payment on
 * account, a credit note) is unapplied.  One statement, however many items it
 * changes, writes each customer's account once; without SQL unless the account
 * is one of a group or of another currency, or passes a threshold.  What posting
 * changes it hands on itself, and no transition table is filled for it.
 */
#include "o2c.h"

#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "credit/credit.h"
#include "numeric_ops.h"
#include "receivables/posting.h"
#include "row_reader.h"

PG_FUNCTION_INFO_V1(o2c_credit_on_items);

/* Zero, kept: all rows of a statement are compared with it. */
static Numeric
Zero(void)
{
	static Numeric zero = NULL;

	if (zero == NULL)
	{
		MemoryContext before = MemoryContextSwitchTo(TopMemoryContext);

		zero = int64_to_numeric(0);
		MemoryContextSwitchTo(before);
	}
	return zero;
}

static inline bool
IsZero(Numeric value)
{
	return NumericCompare(value, Zero()) == 0;
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
		Datum		stored = slot_getattr(row, open_att, &isnull);
		Numeric		open = DatumGetNumeric(stored);
		int32		company_id = DatumGetInt32(slot_getattr(row, company_att, &isnull));
		Datum		currency = slot_getattr(row, currency_att, &isnull);
		int64		customer_id = DatumGetInt64(slot_getattr(row, customer_att, &isnull));
		Numeric	   *sum;
		Numeric		before;
		bool		credit;

		if (isnull || IsZero(open))
			continue;
		if (!account->any)
		{
			account->any = true;
			move->company_id = company_id;
			move->customer_id = customer_id;
			move->currency = datumCopy(currency, false, -1);
			move->items = int64_to_numeric(0);
			move->unapplied = int64_to_numeric(0);
			move->returnable = int64_to_numeric(0);
		}
		one = company_id == move->company_id && customer_id == move->customer_id &&
			DatumGetBool(DirectFunctionCall2Coll(texteq, DEFAULT_COLLATION_OID, currency, move->currency));
		if (!one)
			break;
		/* a credit that is open adds to what is unapplied, with the other sign */
		credit = !account->receipts && NumericCompare(open, Zero()) < 0;
		sum = account->receipts ? &move->returnable : credit ? &move->unapplied : &move->items;
		before = *sum;
		*sum = add != credit ? NumericAdd(before, open) : NumericSubtract(before, open);
		pfree(before);
		if ((Pointer) open != DatumGetPointer(stored))
			pfree(open);
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

/* What is added up for one account. */
typedef struct Account
{
	AccountKey	key;
	Numeric		items;
	Numeric		unapplied;
} Account;

/* Columns that the accounts are read from. */
typedef struct ItemColumns
{
	int			company;
	int			customer;
	int			currency;
	int			open;
} ItemColumns;

/* Add the rows of a transition table to their accounts. */
static void
AddToAccounts(TriggerData *trigdata, Tuplestorestate *rows, const ItemColumns *columns, bool add, HTAB *accounts)
{
	Numeric		zero = Zero();
	MemoryContext sums = CurrentMemoryContext;
	MemoryContext row_context;
	RowReader	reader;
	TupleTableSlot *row;

	if (rows == NULL)
		return;
	row_context = AllocSetContextCreate(sums, "o2c item of an account", ALLOCSET_SMALL_SIZES);
	RowReaderBegin(&reader, rows, trigdata->tg_relation);
	while ((row = RowReaderNext(&reader)) != NULL)
	{
		bool		isnull;
		Numeric		open;
		text	   *currency;
		AccountKey	key = {0};
		Account    *account;
		Numeric    *sum;
		Numeric		before;
		int			sign;
		bool		known;

		MemoryContextReset(row_context);
		MemoryContextSwitchTo(row_context);
		open = DatumGetNumeric(slot_getattr(row, columns->open, &isnull));
		sign = NumericCompare(open, zero);
		MemoryContextSwitchTo(sums);
		key.customer_id = DatumGetInt64(slot_getattr(row, columns->customer, &isnull));
		if (isnull || sign == 0)
			continue;
		key.company_id = DatumGetInt32(slot_getattr(row, columns->company, &isnull));
		currency = DatumGetTextPP(slot_getattr(row, columns->currency, &isnull));
		text_to_cstring_buffer(currency, key.currency, sizeof(key.currency));
		account = hash_search(accounts, &key, HASH_ENTER, &known);
		if (!known)
		{
			account->items = int64_to_numeric(0);
			account->unapplied = int64_to_numeric(0);
		}
		/* a credit that is open adds to what is unapplied, with the other sign */
		sum = sign > 0 ? &account->items : &account->unapplied;
		before = *sum;
		*sum = add == (sign > 0) ? NumericAdd(before, open) : NumericSubtract(before, open);
		pfree(before);
	}
	RowReaderEnd(&reader);
	MemoryContextDelete(row_context);
}

/* A table of accounts, to add up what they take. */
static HTAB *
AccountsBegin(void)
{
	HASHCTL		control = {.keysize = sizeof(AccountKey), .entrysize = sizeof(Account), .hcxt = CurrentMemoryContext};

	return hash_create("o2c accounts of items", 256, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/*
 * Carry what was added up to several accounts.  Those that nothing unusual
 * happens to are written without SQL; the statement meets the others, each
 * once, and no item.
 */
static void
AccountsApply(HTAB *accounts)
{
	static KeptPlan apply = {
		.sql = CREDIT_APPLY("SELECT d.company_id, d.customer_id, d.currency::o2c.currency AS currency, 0::numeric AS oo, 0::numeric AS sni,"
							" d.oi, d.ua, 0::numeric AS rt FROM unnest($1, $2, $3, $4, $5) d (company_id, customer_id, currency, oi, ua)"),
		.nargs = 5,
		.argtypes = {INT4ARRAYOID, INT8ARRAYOID, TEXTARRAYOID, NUMERICARRAYOID, NUMERICARRAYOID}
	};
	HASH_SEQ_STATUS seq;
	Account    *account;
	AccountMove *moves;
	Datum	   *values[5];
	Datum		args[5];
	int64		n = 0;
	int			rest = 0;

	moves = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(AccountMove) * Max(hash_get_num_entries(accounts), 1));
	hash_seq_init(&seq, accounts);
	while ((account = hash_seq_search(&seq)) != NULL)
		if (!IsZero(account->items) || !IsZero(account->unapplied))
			moves[n++] = (AccountMove) {
				.company_id = account->key.company_id, .customer_id = account->key.customer_id,
				.currency = PointerGetDatum(cstring_to_text(account->key.currency)),
				.items = account->items, .unapplied = account->unapplied
			};
	hash_destroy(accounts);
	n = CreditQuickAccounts(moves, n);

	for (int c = 0; c < lengthof(values); c++)
		values[c] = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(Datum) * Max(n, 1));
	for (; rest < n; rest++)
	{
		values[0][rest] = Int32GetDatum(moves[rest].company_id);
		values[1][rest] = Int64GetDatum(moves[rest].customer_id);
		values[2][rest] = moves[rest].currency;
		values[3][rest] = NumericGetDatum(moves[rest].items);
		values[4][rest] = NumericGetDatum(moves[rest].unapplied);
	}
	if (rest > 0)
	{
		args[0] = PointerGetDatum(construct_array(values[0], rest, INT4OID, sizeof(int32), true, TYPALIGN_INT));
		args[1] = PointerGetDatum(construct_array(values[1], rest, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
		args[2] = PointerGetDatum(construct_array(values[2], rest, TEXTOID, -1, false, TYPALIGN_INT));
		args[3] = PointerGetDatum(construct_array(values[3], rest, NUMERICOID, -1, false, TYPALIGN_INT));
		args[4] = PointerGetDatum(construct_array(values[4], rest, NUMERICOID, -1, false, TYPALIGN_INT));
		CreditApplyWith(&apply, args, false);
	}
}

/* Carry the rows of the transition tables to several accounts. */
static void
ApplyToAccounts(TriggerData *trigdata)
{
	TupleDesc	desc = RelationGetDescr(trigdata->tg_relation);
	const ItemColumns columns = {
		SPI_fnumber(desc, "company_id"), SPI_fnumber(desc, "customer_id"),
		SPI_fnumber(desc, "currency"), SPI_fnumber(desc, "open_amount")
	};
	HTAB	   *accounts = AccountsBegin();

	AddToAccounts(trigdata, trigdata->tg_oldtable, &columns, false, accounts);
	AddToAccounts(trigdata, trigdata->tg_newtable, &columns, true, accounts);
	AccountsApply(accounts);
}

/* The account that a change of an item counts for; false when it is none's. */
static bool
AccountOfChange(const ItemChange *change, AccountKey *key)
{
	if (change->item.customer_id == NO_ID || IsZero(AmountGet(&change->amount)))
		return false;
	memset(key, 0, sizeof(AccountKey));
	key->customer_id = change->item.customer_id;
	key->company_id = change->company_id;
	memcpy(key->currency, change->item.currency, sizeof(change->item.currency));
	return true;
}

/* What o2c_credit_on_items does, for items that posting has updated. */
void
CreditOnChanges(ItemChanges *changes)
{
	Account		one = {.items = int64_to_numeric(0), .unapplied = int64_to_numeric(0)};
	HTAB	   *accounts = NULL;
	bool		any = false;
	const ItemChange *change;

	if (o2c_numbering)
		return;
	RecordsRewind(changes->done);
	while ((change = RecordsNext(changes->done)) != NULL)
	{
		Account    *account = &one;
		Numeric		amount = AmountGet(&change->amount);
		AccountKey	key;
		Numeric    *sum;
		Numeric		before;

		if (!AccountOfChange(change, &key))
			continue;
		if (!any)
			one.key = key;
		any = true;
		/* with the second account begins the list of several */
		if (accounts == NULL && memcmp(&key, &one.key, sizeof(key)) != 0)
		{
			accounts = AccountsBegin();
			*(Account *) hash_search(accounts, &one.key, HASH_ENTER, NULL) = one;
		}
		if (accounts != NULL)
		{
			bool		known;

			account = hash_search(accounts, &key, HASH_ENTER, &known);
			if (!known)
			{
				account->items = int64_to_numeric(0);
				account->unapplied = int64_to_numeric(0);
			}
		}
		/* a credit that is open adds to what is unapplied, with the other sign */
		sum = change->item.credit ? &account->unapplied : &account->items;
		before = *sum;
		*sum = change->item.credit ? NumericSubtract(before, amount) : NumericAdd(before, amount);
		pfree(before);
	}
	if (!any || (accounts == NULL && IsZero(one.items) && IsZero(one.unapplied)))
		return;
	if (accounts == NULL)
	{
		const AccountMove move = {
			.company_id = one.key.company_id, .customer_id = one.key.customer_id,
			.currency = PointerGetDatum(cstring_to_text(one.key.currency)),
			.items = one.items, .unapplied = one.unapplied
		};

		if (CreditQuickItems(&move))
			return;
		accounts = AccountsBegin();
		*(Account *) hash_search(accounts, &one.key, HASH_ENTER, NULL) = one;
	}
	AccountsApply(accounts);
}

/* o2c_credit_on_items(): AFTER INSERT, UPDATE or DELETE ON open_item, for each statement. */
Datum
o2c_credit_on_items(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_credit_on_items");
	TriggerFrame frame;

	if (o2c_numbering || CreditOneAccount(trigdata, "open_amount", false))
		return PointerGetDatum(NULL);

	TriggerFrameBegin(&frame, trigdata);
	ApplyToAccounts(trigdata);
	TriggerFrameEnd(&frame);
	return PointerGetDatum(NULL);
}
