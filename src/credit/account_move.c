/*
 * account_move.c
 *		Adding changes to customers' exposure without SQL.
 *
 * An invoice, a payment or its application moves open items of one customer:
 * CreditQuickItems adds that to the account, and quick.c what an order takes.
 * A run of cash application or of billing moves items of many customers:
 * CreditQuickAccounts adds to all accounts that stand alone, and leaves groups
 * and further currencies to SQL.
 *
 * The rules are those of CREDIT_APPLY in credit.h: rows in the order of their
 * customers, the latest version of each at READ COMMITTED, a serialization
 * failure above.
 */
#include "o2c.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_collation.h"
#include "executor/executor.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "credit/credit.h"
#include "direct_scan.h"
#include "numeric_ops.h"

/* A customer with more above it than this is left to SQL. */
#define MAX_CHAIN 8

static DirectTable accounts = {
	.name = "credit_account", .nkeys = 2,
	.columns = {"company_id", "customer_id", "head", "currency", "parent_id", "mixed", "temporary",
	"credit_limit", "alert_at", "alert_below", "open_orders", "shipped_not_invoiced", "open_items",
	"unapplied", "returnable", "group_exposure"}
};

/* Positions in its columns. */
enum
{
	ACCOUNT_HEAD = 2, ACCOUNT_CURRENCY, ACCOUNT_PARENT, ACCOUNT_MIXED, ACCOUNT_TEMPORARY,
	ACCOUNT_LIMIT, ACCOUNT_ALERT_AT, ACCOUNT_ALERT_BELOW, ACCOUNT_ORDERS, ACCOUNT_SHIPPED,
	ACCOUNT_ITEMS, ACCOUNT_UNAPPLIED, ACCOUNT_RETURNABLE, ACCOUNT_EXPOSURE
};

/* An account of the customer or of somebody above, as first read. */
typedef struct Link
{
	int64		customer_id;
	int64		parent_id;		/* 0: none */
	bool		head;
	ItemPointerData tid;
	TupleTableSlot *slot;		/* the version that is locked */
} Link;

/*
 * Whether the account may be written here: only o2c's guard and foreign keys
 * are triggers on it, and only the checks that hold for every sum of amounts.
 */
static bool
AccountIsPlain(Relation rel)
{
	static const char *const guards[] = {"credit_account_guard", "credit_account_guard_delete"};

	if (rel->rd_att->constr == NULL || rel->rd_att->constr->num_check > 7 ||
		rel->rd_att->constr->has_generated_stored || rel->rd_rel->relispartition)
		return false;
	for (int i = 0; rel->trigdesc != NULL && i < rel->trigdesc->numtriggers; i++)
	{
		Trigger    *trigger = &rel->trigdesc->triggers[i];

		if (trigger->tgisinternal ?
			trigger->tgfoid != F_RI_FKEY_CHECK_INS && trigger->tgfoid != F_RI_FKEY_CHECK_UPD :
			strcmp(trigger->tgname, guards[0]) != 0 && strcmp(trigger->tgname, guards[1]) != 0)
			return false;
	}
	return true;
}

/* Read the head accounts of a customer and of everybody above; -1 when they are not simple. */
static int
ReadChain(const AccountMove *move, Snapshot snapshot, Link *chain)
{
	int			n = 0;
	int64		customer_id = move->customer_id;

	while (customer_id != 0)
	{
		DirectScan	scan;
		HeapTuple	tuple;
		Link	   *link = &chain[n];

		if (n >= MAX_CHAIN)
			return -1;
		link->customer_id = 0;
		DirectScanBegin(&scan, &accounts, RowExclusiveLock, snapshot, move->company_id, customer_id);
		while ((tuple = DirectScanNext(&scan)) != NULL)
		{
			bool		isnull;
			Datum		value;

			if (!DirectTrue(&scan, tuple, ACCOUNT_HEAD))
				continue;
			value = DirectValue(&scan, tuple, ACCOUNT_CURRENCY, &isnull);
			if (!DatumGetBool(DirectFunctionCall2Coll(texteq, DEFAULT_COLLATION_OID, value, move->currency)))
				continue;
			link->customer_id = customer_id;
			link->head = true;
			link->tid = tuple->t_self;
			value = DirectValue(&scan, tuple, ACCOUNT_PARENT, &isnull);
			link->parent_id = isnull ? 0 : DatumGetInt64(value);
		}
		DirectScanEnd(&scan, NoLock);
		if (link->customer_id == 0)
			return -1;
		customer_id = link->parent_id;
		n++;
	}
	return n;
}

/*
 * Lock the latest version of an account, which must still be what was read: who
 * is above the customer by now may come before it in the order of locks.
 */
static void
LockAccount(Relation rel, Link *link, Snapshot snapshot)
{
	TM_FailureData failure;
	TM_Result	result;
	uint8		flags = IsolationUsesXactSnapshot() ? 0 : TUPLE_LOCK_FLAG_FIND_LAST_VERSION;
	bool		head;
	Datum		parent;
	bool		isnull;

	link->slot = table_slot_create(rel, NULL);
	result = table_tuple_lock(rel, &link->tid, snapshot, link->slot, GetCurrentCommandId(false),
							  LockTupleNoKeyExclusive, LockWaitBlock, flags, &failure);
	if (result == TM_Updated || result == TM_Deleted)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not serialize access due to concurrent update")));
	if (result != TM_Ok)
		elog(ERROR, "unexpected result of locking a credit account: %d", (int) result);

	head = DatumGetBool(slot_getattr(link->slot, accounts.att[ACCOUNT_HEAD], &isnull));
	parent = slot_getattr(link->slot, accounts.att[ACCOUNT_PARENT], &isnull);
	if (head != link->head || (isnull ? 0 : DatumGetInt64(parent)) != link->parent_id)
		RefuseChangedGroup();
}

/* A number of a locked account, or NULL. */
static Numeric
AccountNumber(Link *link, int column)
{
	bool		isnull;
	Datum		value = slot_getattr(link->slot, accounts.att[column], &isnull);

	return isnull ? NULL : DatumGetNumeric(value);
}

/* Whether the change leaves an account on this side of its limit and thresholds. */
static bool
StaysUsual(Link *link, Numeric total, bool enforce)
{
	bool		isnull;
	Numeric		limit = AccountNumber(link, ACCOUNT_LIMIT);
	Numeric		exposure;
	Numeric		bound;

	if (limit == NULL)
		return true;
	if (DatumGetBool(slot_getattr(link->slot, accounts.att[ACCOUNT_MIXED], &isnull)) ||
		DatumGetBool(slot_getattr(link->slot, accounts.att[ACCOUNT_TEMPORARY], &isnull)))
		return false;
	exposure = NumericAdd(AccountNumber(link, ACCOUNT_EXPOSURE), total);
	if (enforce && NumericCompare(exposure, limit) > 0)
		return false;
	bound = AccountNumber(link, ACCOUNT_ALERT_AT);
	if (bound != NULL && NumericCompare(exposure, bound) >= 0)
		return false;
	bound = AccountNumber(link, ACCOUNT_ALERT_BELOW);
	return bound == NULL || NumericCompare(exposure, bound) >= 0;
}

/* Write the new version of a locked account; "own" for the customer's own. */
static void
WriteAccount(Relation rel, Link *link, const AccountMove *move, Numeric total, bool own)
{
	TupleDesc	desc = RelationGetDescr(rel);
	TupleTableSlot *newslot = MakeSingleTupleTableSlot(desc, &TTSOpsHeapTuple);
	bool		shouldfree;
	HeapTuple	tuple = ExecFetchSlotHeapTuple(link->slot, false, &shouldfree);
	const int	accounts_columns[] = {
		ACCOUNT_EXPOSURE, ACCOUNT_ORDERS, ACCOUNT_SHIPPED, ACCOUNT_ITEMS, ACCOUNT_UNAPPLIED, ACCOUNT_RETURNABLE
	};
	const Numeric changes[] = {
		total, move->orders, move->shipped, move->items, move->unapplied, move->returnable
	};
	int			columns[lengthof(changes)];
	Datum		values[lengthof(changes)];
	bool		nulls[lengthof(changes)] = {false};
	int			n = 0;
	O2CUpdateIndexes update_indexes;

	for (int i = 0; i < (own ? lengthof(changes) : 1); i++)
	{
		if (changes[i] == NULL)
			continue;
		columns[n] = accounts.att[accounts_columns[i]];
		values[n++] = NumericGetDatum(NumericAdd(AccountNumber(link, accounts_columns[i]), changes[i]));
	}
	tuple = heap_modify_tuple_by_cols(tuple, desc, n, columns, values, nulls);
	ExecStoreHeapTuple(tuple, newslot, true);
	newslot->tts_tableOid = RelationGetRelid(rel);
	simple_table_tuple_update(rel, &link->slot->tts_tid, newslot, GetActiveSnapshot(), &update_indexes);

	/* no index has to follow as long as there is room on the page */
	if (update_indexes)
	{
		EState	   *estate = CreateExecutorState();
		ResultRelInfo *info = makeNode(ResultRelInfo);

		InitResultRelInfo(info, rel, 0, NULL, 0);
		ExecOpenIndices(info, false);
		O2CInsertIndexTuples(info, newslot, estate, true, update_indexes);
		ExecCloseIndices(info);
		ExecResetTupleTable(estate->es_tupleTable, false);
		FreeExecutorState(estate);
	}
	ExecDropSingleTupleTableSlot(newslot);
}

/* Order of the accounts' keys. */
static int
CompareLinks(const void *a, const void *b)
{
	int64		x = ((const Link *) a)->customer_id;
	int64		y = ((const Link *) b)->customer_id;

	return x < y ? -1 : x > y ? 1 : 0;
}

/*
 * Lock the accounts, judge the change and write it.  False when an account is
 * about to do something unusual; nothing is written then.
 */
bool
CreditMoveAccount(const AccountMove *move, Snapshot snapshot)
{
	Link		chain[MAX_CHAIN];
	int			n;
	Numeric		zero = int64_to_numeric(0);
	Numeric		total = zero;
	bool		enforce;
	Relation	rel;
	bool		usual = true;

	if (!DirectTableResolve(&accounts))
		return false;
	if (move->orders)
		total = NumericAdd(total, move->orders);
	if (move->shipped)
		total = NumericAdd(total, move->shipped);
	if (move->items)
		total = NumericAdd(total, move->items);
	if (move->unapplied)
		total = NumericSubtract(total, move->unapplied);
	if (move->returnable)
		total = NumericAdd(total, move->returnable);
	enforce = move->enforce && NumericCompare(total, zero) > 0;
	n = ReadChain(move, snapshot, chain);
	if (n < 0)
		return false;
	rel = table_open(accounts.relid, RowExclusiveLock);
	if (!AccountIsPlain(rel))
	{
		table_close(rel, NoLock);
		return false;
	}
	if (n > 1)
		qsort(chain, n, sizeof(Link), CompareLinks);
	for (int i = 0; i < n; i++)
		LockAccount(rel, &chain[i], snapshot);
	for (int i = 0; usual && i < n; i++)
		usual = StaysUsual(&chain[i], total, enforce);
	/* those above are locked in any case: a later step may change them too */
	for (int i = 0; usual && i < n; i++)
		if (chain[i].customer_id == move->customer_id || NumericCompare(total, zero) != 0)
			WriteAccount(rel, &chain[i], move, total, chain[i].customer_id == move->customer_id);
	for (int i = 0; i < n; i++)
		ExecDropSingleTupleTableSlot(chain[i].slot);
	table_close(rel, NoLock);
	return usual;
}

/*
 * Add a change of open items to one account.  True when it is done; false,
 * with nothing changed, when the statements of items.c must do it.
 */
bool
CreditQuickItems(const AccountMove *move)
{
	bool		done;

	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	done = CreditMoveAccount(move, GetActiveSnapshot());
	PopActiveSnapshot();
	CommandCounterIncrement();
	return done;
}

/* A row of credit_account that a set of changes locks. */
typedef struct SetRow
{
	int32		company_id;
	char		currency[4];
	Link		link;
	int64		move;			/* that it takes, alone; or -1 */
} SetRow;

typedef struct SetRows
{
	SetRow	   *list;
	int64		n;
	int64		capacity;
	HTAB	   *visited;		/* of AccountKey */
} SetRows;

/* In which accounts are locked, by whomever: company, customer, head, currency. */
static int
CompareSetRows(const void *a, const void *b)
{
	const SetRow *x = a;
	const SetRow *y = b;

	if (x->company_id != y->company_id)
		return x->company_id < y->company_id ? -1 : 1;
	if (x->link.customer_id != y->link.customer_id)
		return x->link.customer_id < y->link.customer_id ? -1 : 1;
	if (x->link.head != y->link.head)
		return x->link.head ? -1 : 1;
	return memcmp(x->currency, y->currency, sizeof(x->currency));
}

/*
 * List the rows that a change of a customer's account in a currency locks: the
 * customer's head, its row in that currency, and those of everybody above.
 */
static void
AddSetRows(SetRows *rows, AccountKey key, int64 move, Snapshot snapshot)
{
	bool		known = false;

	while (!known)
	{
		DirectScan	scan;
		HeapTuple	tuple;
		int64		parent_id = 0;

		(void) hash_search(rows->visited, &key, HASH_ENTER, &known);
		if (known)
			break;
		DirectScanBegin(&scan, &accounts, RowExclusiveLock, snapshot, key.company_id, key.customer_id);
		while ((tuple = DirectScanNext(&scan)) != NULL)
		{
			SetRow		row = {.company_id = key.company_id, .move = -1};
			bool		isnull;
			Datum		value;

			text_to_cstring_buffer(DatumGetTextPP(DirectValue(&scan, tuple, ACCOUNT_CURRENCY, &isnull)),
								   row.currency, sizeof(row.currency));
			value = DirectValue(&scan, tuple, ACCOUNT_PARENT, &isnull);
			row.link = (Link) {.customer_id = key.customer_id, .parent_id = isnull ? 0 : DatumGetInt64(value),
			.head = DirectTrue(&scan, tuple, ACCOUNT_HEAD), .tid = tuple->t_self};
			if (row.link.head)
				parent_id = row.link.parent_id;
			/* it stands alone when nobody is above and the limit is in this currency */
			if (strcmp(row.currency, key.currency) == 0)
				row.move = row.link.head && parent_id == 0 ? move : -1;
			else if (!row.link.head)
				continue;
			if (rows->n == rows->capacity)
			{
				rows->capacity = Max(rows->capacity * 2, 256);
				rows->list = rows->list == NULL ? palloc(sizeof(SetRow) * rows->capacity) :
					repalloc_huge(rows->list, sizeof(SetRow) * rows->capacity);
			}
			rows->list[rows->n++] = row;
		}
		DirectScanEnd(&scan, NoLock);
		if (parent_id == 0)
			break;
		key.customer_id = parent_id;
		move = -1;
	}
}

/*
 * Lock all accounts that the changes reach, in the order in which everybody
 * does, and write those that stand alone and do nothing unusual.  The other
 * changes are moved to the front; returns how many there are, for SQL.
 */
static int64
ApplySet(Relation rel, AccountMove *moves, int64 n, Snapshot snapshot)
{
	HASHCTL		control = {.keysize = sizeof(AccountKey), .entrysize = sizeof(AccountKey), .hcxt = CurrentMemoryContext};
	SetRows		rows = {.visited = hash_create("o2c accounts to lock", Max(n, 64), &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT)};
	bool	   *done = MemoryContextAllocExtended(CurrentMemoryContext, n, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	MemoryContext row_context = AllocSetContextCreate(CurrentMemoryContext, "o2c account row", ALLOCSET_SMALL_SIZES);
	MemoryContext before;
	int64		rest = 0;

	for (int64 i = 0; i < n; i++)
	{
		AccountKey	key = {.customer_id = moves[i].customer_id, .company_id = moves[i].company_id};

		text_to_cstring_buffer(DatumGetTextPP(moves[i].currency), key.currency, sizeof(key.currency));
		AddSetRows(&rows, key, i, snapshot);
	}
	if (rows.n > 1)
		qsort(rows.list, rows.n, sizeof(SetRow), CompareSetRows);
	before = MemoryContextSwitchTo(row_context);
	for (int64 i = 0; i < rows.n; i++)
	{
		SetRow	   *row = &rows.list[i];
		Link	   *link = &row->link;

		/* a head is reached from each of its customer's currencies, and from below */
		if (i > 0 && CompareSetRows(row - 1, row) == 0)
			continue;
		LockAccount(rel, link, snapshot);
		for (int64 k = i; k < rows.n && CompareSetRows(row, &rows.list[k]) == 0; k++)
			if (rows.list[k].move >= 0)
			{
				AccountMove *move = &moves[rows.list[k].move];
				Numeric		total = NumericSubtract(move->items, move->unapplied);

				if (StaysUsual(link, total, false))
				{
					WriteAccount(rel, link, move, total, true);
					done[rows.list[k].move] = true;
				}
			}
		ExecDropSingleTupleTableSlot(link->slot);
		MemoryContextReset(row_context);
	}
	MemoryContextSwitchTo(before);
	MemoryContextDelete(row_context);
	hash_destroy(rows.visited);
	for (int64 i = 0; i < n; i++)
		if (!done[i])
			moves[rest++] = moves[i];
	pfree(done);
	return rest;
}

/*
 * Add changes of open items to several accounts, each of which is named once.
 * Returns how many changes are left to the statement of items.c; these are the
 * first of the list then.
 */
int64
CreditQuickAccounts(AccountMove *moves, int64 n)
{
	Relation	rel;

	if (n == 0 || !DirectTableResolve(&accounts))
		return n;
	rel = table_open(accounts.relid, RowExclusiveLock);
	if (AccountIsPlain(rel))
	{
		CommandCounterIncrement();
		PushActiveSnapshot(GetTransactionSnapshot());
		n = ApplySet(rel, moves, n, GetActiveSnapshot());
		PopActiveSnapshot();
		CommandCounterIncrement();
	}
	table_close(rel, NoLock);
	return n;
}
