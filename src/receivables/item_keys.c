/*
 * item_keys.c
 *		An item's customer and source exist, and stay.
 *
 * What a foreign key does, for all items of a statement at once: the trigger
 * of a foreign key looks its row up again for each item, through a plan, which
 * cost a quarter of inserting the item.  Here each customer is looked up and
 * locked once (FOR KEY SHARE, in the order of ids, as the foreign key does), and
 * o2c_keep_customer refuses what would leave items without.  Items are never
 * deleted and never change their id, customer or source (item_guard.c).
 */
#include "receivables/posting.h"

#include "access/tableam.h"
#include "access/xact.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

#include "direct_scan.h"

PG_FUNCTION_INFO_V1(o2c_item_belongs);
PG_FUNCTION_INFO_V1(o2c_keep_customer);

/* A row that items name. */
typedef struct Named
{
	int32		company_id;
	int64		id;
} Named;

typedef struct NamedList
{
	Named	   *list;
	int64		n;
	int64		capacity;
} NamedList;

static int
CompareNamed(const void *a, const void *b)
{
	const Named *x = a;
	const Named *y = b;

	if (x->company_id != y->company_id)
		return x->company_id < y->company_id ? -1 : 1;
	if (x->id != y->id)
		return x->id < y->id ? -1 : 1;
	return 0;
}

static void
Add(NamedList *named, int32 company_id, int64 id)
{
	Named		next = {company_id, id};

	if (named->n > 0 && CompareNamed(&named->list[named->n - 1], &next) == 0)
		return;
	if (named->n == named->capacity)
	{
		named->capacity = Max(named->capacity * 2, 64);
		named->list = named->list == NULL ? palloc(sizeof(Named) * named->capacity) :
			repalloc_huge(named->list, sizeof(Named) * named->capacity);
	}
	named->list[named->n++] = next;
}

/* Lock a row against being deleted or given another key; false when there is none. */
static bool
LockKey(DirectTable *table, const Named *named)
{
	DirectScan	scan;
	HeapTuple	tuple;
	TupleTableSlot *slot;
	ItemPointerData tid;
	TM_FailureData failure;
	bool		isnull;
	bool		found = false;

	DirectScanBegin(&scan, table, RowShareLock, GetActiveSnapshot(), named->company_id, named->id);
	tuple = DirectScanNext(&scan);
	if (tuple == NULL)
	{
		DirectScanEnd(&scan, NoLock);
		return false;
	}
	slot = table_slot_create(scan.rel, NULL);
	tid = tuple->t_self;
	switch (table_tuple_lock(scan.rel, &tid, GetActiveSnapshot(), slot, GetCurrentCommandId(false),
							 LockTupleKeyShare, LockWaitBlock,
							 IsolationUsesXactSnapshot() ? 0 : TUPLE_LOCK_FLAG_FIND_LAST_VERSION, &failure))
	{
		case TM_Ok:
			/* the version found after waiting may be another row's by now */
			found = DatumGetInt32(slot_getattr(slot, table->att[0], &isnull)) == named->company_id &&
				DatumGetInt64(slot_getattr(slot, table->att[1], &isnull)) == named->id;
			break;
		case TM_SelfModified:
		case TM_Updated:
		case TM_Deleted:
			if (IsolationUsesXactSnapshot())
				ereport(ERROR,
						(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
						 errmsg("could not serialize access due to concurrent update")));
			break;
		default:
			elog(ERROR, "could not lock row of \"%s\"", RelationGetRelationName(scan.rel));
	}
	ExecDropSingleTupleTableSlot(slot);
	DirectScanEnd(&scan, NoLock);
	return found;
}

/* Lock all rows of a list once, in order; refuse the items when one is missing. */
static void
LockKeys(DirectTable *table, NamedList *named, const char *column)
{
	if (named->n == 0)
		return;
	if (!DirectTableResolve(table))
		elog(ERROR, "table \"%s\" is not as it was installed", table->name);
	qsort(named->list, named->n, sizeof(Named), CompareNamed);
	for (int64 i = 0; i < named->n; i++)
	{
		if (i > 0 && CompareNamed(&named->list[i - 1], &named->list[i]) == 0)
			continue;
		if (!LockKey(table, &named->list[i]))
			ereport(ERROR,
					(errcode(ERRCODE_FOREIGN_KEY_VIOLATION),
					 errmsg("open item names a %s that does not exist", table->name),
					 errdetail("Company %d has no row with id " INT64_FORMAT " (column %s).",
							   named->list[i].company_id, named->list[i].id, column)));
	}
}

/*
 * o2c_item_belongs(): AFTER INSERT ON open_item, REFERENCING NEW TABLE
 * new_rows.  The customers and sources of the items exist, and stay for as long
 * as they are locked; it fires before the other triggers of the table.
 */
Datum
o2c_item_belongs(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_item_belongs");
	static DirectTable customers = {.name = "customer", .nkeys = 2, .columns = {"company_id", "id"}};
	static DirectTable items = {.name = "open_item", .nkeys = 2, .columns = {"company_id", "id"}};
	int			company_att = ColumnOf(trigdata, "company_id");
	int			customer_att = ColumnOf(trigdata, "customer_id");
	int			source_att = ColumnOf(trigdata, "source_item_id");
	NamedList	customer_list = {0};
	NamedList	source_list = {0};
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "o2c item keys",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext before;
	RowReader	reader;
	TupleTableSlot *row;

	RowReaderBegin(&reader, trigdata->tg_newtable, trigdata->tg_relation);
	before = MemoryContextSwitchTo(context);
	while ((row = RowReaderNext(&reader)) != NULL)
	{
		bool		isnull;
		int32		company_id = DatumGetInt32(slot_getattr(row, company_att, &isnull));
		int64		id = DatumGetInt64(slot_getattr(row, customer_att, &isnull));

		if (!isnull)
			Add(&customer_list, company_id, id);
		id = DatumGetInt64(slot_getattr(row, source_att, &isnull));
		if (!isnull)
			Add(&source_list, company_id, id);
	}
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	LockKeys(&customers, &customer_list, "customer_id");
	LockKeys(&items, &source_list, "source_item_id");
	PopActiveSnapshot();
	MemoryContextSwitchTo(before);
	RowReaderEnd(&reader);
	MemoryContextDelete(context);
	return PointerGetDatum(NULL);
}

/*
 * o2c_keep_customer(): AFTER DELETE, or UPDATE of the key, ON customer, for
 * each row: no customer goes while it has open items.
 */
Datum
o2c_keep_customer(PG_FUNCTION_ARGS)
{
	static DirectTable items = {.name = "open_item", .nkeys = 2, .columns = {"company_id", "customer_id"}};
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_keep_customer");
	TupleDesc	desc = RelationGetDescr(trigdata->tg_relation);
	Snapshot	snapshot;
	DirectScan	scan;
	bool		isnull;
	bool		any;
	int32		company_id = DatumGetInt32(SPI_getbinval(trigdata->tg_trigtuple, desc, ColumnOf(trigdata, "company_id"), &isnull));
	int64		id = DatumGetInt64(SPI_getbinval(trigdata->tg_trigtuple, desc, ColumnOf(trigdata, "id"), &isnull));

	if (!DirectTableResolve(&items))
		elog(ERROR, "table \"open_item\" is not as it was installed");
	/* whoever inserted items for it held its key until he committed: the newest state tells */
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	DirectScanBegin(&scan, &items, AccessShareLock, snapshot, company_id, id);
	any = DirectScanNext(&scan) != NULL;
	DirectScanEnd(&scan, AccessShareLock);
	UnregisterSnapshot(snapshot);
	if (any)
		ereport(ERROR,
				(errcode(ERRCODE_FOREIGN_KEY_VIOLATION),
				 errmsg("customer " INT64_FORMAT " of company %d has open items", id, company_id),
				 errdetail("Items are never deleted, so their customer stays, with its id.")));
	return PointerGetDatum(NULL);
}
