/*
 * direct_scan.c
 *		Reading a few rows of o2c's own tables by key, without SQL.
 *
 * What SQL would check is not at stake: the caller is a trigger, which reads
 * as the owner of the tables, as PostgreSQL's referential triggers do.
 */
#include "o2c.h"

#include "access/table.h"
#include "access/tableam.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_type.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"

#include "direct_scan.h"

#define MAX_TABLES 32

/* Rows that a lookup steps over before it goes down the index again. */
#define LOOKUP_STEPS 8

static DirectTable *tables[MAX_TABLES];
static int	ntables = 0;

/* Forget what was found about a relation that changed. */
static void
InvalidateTables(Datum arg, Oid relid)
{
	for (int i = 0; i < ntables; i++)
		if (relid == InvalidOid || tables[i]->relid == relid)
			tables[i]->valid = false;
}

/* A whole, valid B-tree that begins with the key columns. */
static Oid
FindIndex(Relation rel, const AttrNumber *att, int nkeys)
{
	Oid			found = InvalidOid;
	List	   *indexes = RelationGetIndexList(rel);
	ListCell   *lc;

	foreach(lc, indexes)
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);
		Form_pg_index form = index->rd_index;
		bool		fits = form->indisvalid && form->indisready &&
			form->indnkeyatts >= nkeys && index->rd_rel->relam == BTREE_AM_OID &&
			RelationGetIndexPredicate(index) == NIL;

		for (int i = 0; fits && i < nkeys; i++)
			fits = form->indkey.values[i] == att[i];
		index_close(index, AccessShareLock);
		if (fits)
		{
			found = lfirst_oid(lc);
			break;
		}
	}
	list_free(indexes);
	return found;
}

/* Find relation, columns and index of a table; false when something is not as installed. */
bool
DirectTableResolve(DirectTable *table)
{
	static bool registered = false;
	static const Oid keytypes[] = {INT4OID, INT8OID};
	Relation	rel;
	bool		fits;

	if (table->valid)
		return true;
	if (!registered)
	{
		CacheRegisterRelcacheCallback(InvalidateTables, (Datum) 0);
		registered = true;
	}
	if (!table->known)
	{
		if (ntables >= MAX_TABLES)
			elog(ERROR, "too many tables are read directly");
		tables[ntables++] = table;
		table->known = true;
	}

	table->relid = get_relname_relid(table->name, get_namespace_oid("o2c", false));
	if (!OidIsValid(table->relid))
		return false;
	rel = table_open(table->relid, AccessShareLock);
	/* before looking: a change from here on clears it again */
	table->valid = true;
	fits = rel->rd_rel->relkind == RELKIND_RELATION;
	for (int i = 0; fits && table->columns[i] != NULL; i++)
	{
		table->att[i] = get_attnum(table->relid, table->columns[i]);
		fits = table->att[i] > 0;
		if (fits && i < table->nkeys)
			fits = TupleDescAttr(RelationGetDescr(rel), table->att[i] - 1)->atttypid == keytypes[i];
	}
	if (fits)
	{
		table->indexid = FindIndex(rel, table->att, table->nkeys);
		fits = OidIsValid(table->indexid);
	}
	table_close(rel, AccessShareLock);
	if (!fits)
		table->valid = false;
	return table->valid;
}

/* Scan the rows of a company, or of a company and a key. */
void
DirectScanBegin(DirectScan *scan, DirectTable *table, LOCKMODE lockmode,
				Snapshot snapshot, int32 company, int64 key)
{
	ScanKeyData keys[2];

	scan->table = table;
	scan->rel = table_open(table->relid, lockmode);
	ScanKeyInit(&keys[0], table->att[0], BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(company));
	ScanKeyInit(&keys[1], table->att[1], BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(key));
	scan->scan = systable_beginscan(scan->rel, table->indexid, true, snapshot, table->nkeys, keys);
}

/* Scan the rows of a company with keys in a range, in their order. */
void
DirectScanBeginRange(DirectScan *scan, DirectTable *table, LOCKMODE lockmode,
					 Snapshot snapshot, int32 company, int64 first, int64 last)
{
	ScanKeyData keys[3];

	Assert(table->nkeys == 2);
	scan->table = table;
	scan->rel = table_open(table->relid, lockmode);
	ScanKeyInit(&keys[0], table->att[0], BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(company));
	ScanKeyInit(&keys[1], table->att[1], BTGreaterEqualStrategyNumber, F_INT8GE, Int64GetDatum(first));
	ScanKeyInit(&keys[2], table->att[1], BTLessEqualStrategyNumber, F_INT8LE, Int64GetDatum(last));
	scan->scan = systable_beginscan(scan->rel, table->indexid, true, snapshot, lengthof(keys), keys);
}

/* The next row, valid until the one after; NULL at the end. */
HeapTuple
DirectScanNext(DirectScan *scan)
{
	return systable_getnext(scan->scan);
}

/* End a scan; NoLock keeps the table's lock until the transaction ends. */
void
DirectScanEnd(DirectScan *scan, LOCKMODE unlock)
{
	systable_endscan(scan->scan);
	table_close(scan->rel, unlock);
}

/* Get ready to look up rows by an index on company and key; all is the caller's, who ends the scan. */
void
DirectLookupStart(DirectLookup *lookup, Relation rel, Relation index, Snapshot snapshot, TupleTableSlot *slot)
{
	lookup->rel = rel;
	lookup->index = index;
	lookup->scan = O2CIndexBeginScan(rel, index, snapshot, 2);
	lookup->slot = slot;
	lookup->company = 0;
	lookup->key = PG_INT64_MIN;
	lookup->onward = false;
	lookup->at = PG_INT64_MIN;
}

/* Get ready to look up rows of a table that was resolved. */
void
DirectLookupBegin(DirectLookup *lookup, DirectTable *table, Snapshot snapshot)
{
	Relation	rel = table_open(table->relid, AccessShareLock);

	Assert(table->valid && table->nkeys == 2);
	DirectLookupStart(lookup, rel, index_open(table->indexid, AccessShareLock), snapshot, table_slot_create(rel, NULL));
}

/* The next row of the scan; what it allocates is kept. */
static void
LookupNext(DirectLookup *lookup)
{
	MemoryContext before = MemoryContextSwitchTo(lookup->slot->tts_mcxt);
	bool		isnull;

	lookup->at = PG_INT64_MAX;
	if (index_getnext_slot(lookup->scan, ForwardScanDirection, lookup->slot))
		lookup->at = DatumGetInt64(slot_getattr(lookup->slot, lookup->index->rd_index->indkey.values[1], &isnull));
	MemoryContextSwitchTo(before);
}

/*
 * A row with that key, valid until the next call; NULL when there is none.
 *
 * Going down the index is most of a lookup.  When the last key lies shortly
 * before this one, the scan is one that goes on from it, and the lookups that
 * follow in the order of keys step along.
 */
TupleTableSlot *
DirectLookupFind(DirectLookup *lookup, int32 company, int64 key)
{
	bool		near = lookup->company == company && key >= lookup->key && key - LOOKUP_STEPS <= lookup->key;
	ScanKeyData keys[2];

	lookup->company = company;
	lookup->key = key;
	if (near && lookup->onward)
	{
		for (int i = 0; i < LOOKUP_STEPS && lookup->at < key; i++)
			LookupNext(lookup);
		if (lookup->at >= key)
			return lookup->at == key ? lookup->slot : NULL;
	}
	lookup->onward = near;
	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(company));
	ScanKeyInit(&keys[1], 2, near ? BTGreaterEqualStrategyNumber : BTEqualStrategyNumber,
				near ? F_INT8GE : F_INT8EQ, Int64GetDatum(key));
	index_rescan(lookup->scan, keys, lengthof(keys), NULL, 0);
	LookupNext(lookup);
	return lookup->at == key ? lookup->slot : NULL;
}

void
DirectLookupEnd(DirectLookup *lookup)
{
	ExecDropSingleTupleTableSlot(lookup->slot);
	index_endscan(lookup->scan);
	index_close(lookup->index, AccessShareLock);
	table_close(lookup->rel, AccessShareLock);
}
