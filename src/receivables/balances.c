/*
 * balances.c
 *		Which items are open, and how much: o2c.open_balance.
 *
 * An index on open items that holds what is open would have to be changed with
 * it, and PostgreSQL then writes a row's new version into every index of the
 * table.  So what is open stands in a narrow table of its own: one row for each
 * item of which something is open, changed in place while it is paid in parts,
 * and deleted when nothing is open any more.  Then a payment leaves the indexes of
 * open_item alone, and whoever asks for open items reads rows of some sixty
 * bytes and never those that were settled long ago.
 *
 * The item is the truth, and the row here its image: it is brought to what
 * the item says whatever it said before.  It is written under the lock of the
 * item's row and by nobody else (o2c_guard_balance), so it is never waited for, and what
 * is committed is the newest there is.
 *
 * Rows are written like entries of an index: with the table's indexes, but
 * without triggers or constraints, which would have nothing to say.
 */
#include "receivables/posting.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "direct_scan.h"

PG_FUNCTION_INFO_V1(o2c_guard_balance);

/* Rows that are inserted together. */
#define BATCH_ROWS 256

/* Columns of the table, in its order. */
enum
{
	BALANCE_COMPANY, BALANCE_DUE, BALANCE_CUSTOMER, BALANCE_ITEM, BALANCE_DATE, BALANCE_CURRENCY,
	BALANCE_OPEN, BALANCE_COLUMNS
};

struct Balances
{
	Oid			relid;
	Relation	rel;			/* NULL until something is written */
	EState	   *estate;
	ResultRelInfo *result;
	AttrNumber	columns[BALANCE_COLUMNS];
	CommandId	cid;
	DirectLookup lookup;		/* by the primary key; no scan until a row is looked for */
	TupleTableSlot *changed;
	TupleTableSlot **batch;
	int			nbatch;
};

/* Start to write balances; "sibling" is a table of their schema.  Nothing is opened yet. */
Balances *
BalancesBegin(Relation sibling)
{
	Balances   *balances = palloc0(sizeof(Balances));

	balances->relid = TableByName(sibling, "open_balance");
	return balances;
}

static void
Open(Balances *balances)
{
	static const char *const names[BALANCE_COLUMNS] = {
		"company_id", "due_date", "customer_id", "item_id", "document_date", "currency", "open_amount"
	};
	MemoryContext before;

	if (balances->rel != NULL)
		return;
	before = MemoryContextSwitchTo(GetMemoryChunkContext(balances));
	balances->rel = table_open(balances->relid, RowExclusiveLock);
	for (int i = 0; i < BALANCE_COLUMNS; i++)
	{
		balances->columns[i] = get_attnum(balances->relid, names[i]);
		if (balances->columns[i] == InvalidAttrNumber)
			elog(ERROR, "column \"%s\" does not exist", names[i]);
	}
	balances->estate = CreateExecutorState();
	MemoryContextSwitchTo(balances->estate->es_query_cxt);
	balances->result = makeNode(ResultRelInfo);
	InitResultRelInfo(balances->result, balances->rel, 0, NULL, 0);
	ExecOpenIndices(balances->result, false);
	balances->changed = table_slot_create(balances->rel, &balances->estate->es_tupleTable);
	balances->batch = palloc0(sizeof(TupleTableSlot *) * BATCH_ROWS);
	balances->cid = GetCurrentCommandId(true);
	MemoryContextSwitchTo(before);
}

/* Fill a slot with a row; values that are not passed by value are copied. */
static void
StoreBalance(Balances *balances, TupleTableSlot *slot, const Balance *balance)
{
	AttrNumber *columns = balances->columns;

	ExecClearTuple(slot);
	memset(slot->tts_isnull, true, sizeof(bool) * slot->tts_tupleDescriptor->natts);
	memset(slot->tts_values, 0, sizeof(Datum) * slot->tts_tupleDescriptor->natts);
	slot->tts_values[columns[BALANCE_COMPANY] - 1] = Int32GetDatum(balance->company_id);
	slot->tts_values[columns[BALANCE_DUE] - 1] = DateADTGetDatum(balance->due_date);
	slot->tts_values[columns[BALANCE_CUSTOMER] - 1] = Int64GetDatum(balance->customer_id);
	slot->tts_values[columns[BALANCE_ITEM] - 1] = Int64GetDatum(balance->item_id);
	slot->tts_values[columns[BALANCE_DATE] - 1] = DateADTGetDatum(balance->document_date);
	slot->tts_values[columns[BALANCE_CURRENCY] - 1] = balance->currency;
	slot->tts_values[columns[BALANCE_OPEN] - 1] = balance->open_amount;
	for (int i = 0; i < BALANCE_COLUMNS; i++)
		slot->tts_isnull[columns[i] - 1] = i == BALANCE_CUSTOMER && balance->customer_id == NO_ID;
	ExecStoreVirtualTuple(slot);
	ExecMaterializeSlot(slot);
	slot->tts_tableOid = balances->relid;
}

/* Write the rows that wait. */
static void
FlushBalances(Balances *balances)
{
	EState	   *estate = balances->estate;
	MemoryContext before;

	if (balances->nbatch == 0)
		return;
	before = MemoryContextSwitchTo(GetPerTupleMemoryContext(estate));
	table_multi_insert(balances->rel, balances->batch, balances->nbatch, balances->cid, 0, NULL);
	MemoryContextSwitchTo(before);
	for (int i = 0; i < balances->nbatch; i++)
	{
		(void) O2CInsertIndexTuples(balances->result, balances->batch[i], estate, false, O2C_ALL_INDEXES);
		ExecClearTuple(balances->batch[i]);
		ResetPerTupleExprContext(estate);
	}
	balances->nbatch = 0;
}

/* An item that has no row yet is open. */
void
BalancesAdd(Balances *balances, const Balance *balance)
{
	Open(balances);
	if (balances->batch[balances->nbatch] == NULL)
	{
		MemoryContext before = MemoryContextSwitchTo(balances->estate->es_query_cxt);

		balances->batch[balances->nbatch] = table_slot_create(balances->rel, &balances->estate->es_tupleTable);
		MemoryContextSwitchTo(before);
	}
	StoreBalance(balances, balances->batch[balances->nbatch++], balance);
	if (balances->nbatch == BATCH_ROWS)
		FlushBalances(balances);
}

/* Open the scan by which the rows of items are found. */
static void
PrepareLookup(Balances *balances)
{
	Oid			keyid = O2CPrimaryKeyIndex(balances->rel);
	MemoryContext before;

	for (int i = 0; i < balances->result->ri_NumIndices && balances->lookup.scan == NULL; i++)
	{
		Relation	index = balances->result->ri_IndexRelationDescs[i];
		Form_pg_index key = index->rd_index;

		if (RelationGetRelid(index) != keyid)
			continue;
		if (key->indnkeyatts != 2 || key->indkey.values[0] != balances->columns[BALANCE_COMPANY] ||
			key->indkey.values[1] != balances->columns[BALANCE_ITEM])
			break;
		before = MemoryContextSwitchTo(balances->estate->es_query_cxt);
		/* what this transaction wrote itself, and what is committed by now */
		DirectLookupStart(&balances->lookup, balances->rel, index, SnapshotSelf,
						  table_slot_create(balances->rel, &balances->estate->es_tupleTable));
		MemoryContextSwitchTo(before);
	}
	if (balances->lookup.scan == NULL)
		elog(ERROR, "primary key of \"open_balance\" is not (company_id, item_id)");
	CheckCmdReplicaIdentity(balances->rel, CMD_UPDATE);
	CheckCmdReplicaIdentity(balances->rel, CMD_DELETE);
}

/*
 * The row of an item as it is now, while the item is locked; NULL when there is
 * none.  A scan that steps along may have read the row, or the page of the
 * index on which it is missing, before the item was locked; then it is looked for again.
 */
static TupleTableSlot *
FindBalance(Balances *balances, const Balance *balance)
{
	DirectLookup *lookup = &balances->lookup;
	TupleTableSlot *row = NULL;

	if (lookup->onward && lookup->at < balance->item_id)
		row = DirectLookupFind(lookup, balance->company_id, balance->item_id);
	if (row == NULL)
	{
		lookup->onward = false;
		row = DirectLookupFind(lookup, balance->company_id, balance->item_id);
	}
	return row;
}

/*
 * Bring the row of an item, whose row is locked, to what is open on it now.
 * Of one item, once for each Balances.
 */
void
BalancesSet(Balances *balances, const Balance *balance, bool settled)
{
	TM_Result	result;
	TM_FailureData failure;
	TupleTableSlot *found;

	Open(balances);
	if (balances->lookup.scan == NULL)
		PrepareLookup(balances);
	found = FindBalance(balances, balance);
	if (found == NULL)
	{
		if (!settled)
			BalancesAdd(balances, balance);
		return;
	}
	if (settled)
		result = table_tuple_delete(balances->rel, &found->tts_tid, balances->cid, InvalidSnapshot,
									InvalidSnapshot, true, &failure, false);
	else
	{
		O2CUpdateIndexes update_indexes;
		LockTupleMode lockmode;

		StoreBalance(balances, balances->changed, balance);
		result = table_tuple_update(balances->rel, &found->tts_tid, balances->changed, balances->cid,
									InvalidSnapshot, InvalidSnapshot, true, &failure, &lockmode, &update_indexes);
		if (result == TM_Ok && O2CAnyIndexes(update_indexes))
			(void) O2CInsertIndexTuples(balances->result, balances->changed, balances->estate, true, update_indexes);
		ResetPerTupleExprContext(balances->estate);
	}
	if (result != TM_Ok)
		elog(ERROR, "balance of item " INT64_FORMAT " was changed without its item", balance->item_id);
}

/* Write what waits and close the table. */
void
BalancesEnd(Balances *balances)
{
	if (balances->rel != NULL)
	{
		FlushBalances(balances);
		if (balances->lookup.scan != NULL)
			index_endscan(balances->lookup.scan);
		ExecCloseIndices(balances->result);
		ExecResetTupleTable(balances->estate->es_tupleTable, false);
		FreeExecutorState(balances->estate);
		table_close(balances->rel, NoLock);
	}
	pfree(balances);
}

/*
 * o2c_guard_balance(): BEFORE INSERT, UPDATE, DELETE or TRUNCATE ON
 * open_balance, for each statement.  Refuses: posting needs no statement.
 */
Datum
o2c_guard_balance(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_guard_balance");
	const char *verb = TRIGGER_FIRED_BY_INSERT(trigdata->tg_event) ? "insert" :
		TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event) ? "update" :
		TRIGGER_FIRED_BY_DELETE(trigdata->tg_event) ? "delete" : "truncate";

	ereport(ERROR,
			(errcode(ERRCODE_O2C_IMMUTABLE),
			 errmsg("cannot %s rows of \"%s\"", verb, RelationGetRelationName(trigdata->tg_relation)),
			 errdetail("They are derived from posted entries."),
			 errhint("Post an entry, an allocation or a further document instead.")));
	PG_RETURN_NULL();
}
