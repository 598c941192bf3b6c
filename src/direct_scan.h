/*
 * direct_scan.h
 *		Reading a few rows of o2c's own tables by key, without SQL.
 *
 * A trigger that fires for every order cannot afford an executor start for
 * each row it looks at.  A DirectTable names a table, the columns that its
 * caller needs and how many of them, from the left, are the key to search by;
 * which relation, index and attributes these are is found once and kept until
 * the relation changes.  When one cannot be found the caller does its work in
 * SQL.
 */
#ifndef O2C_DIRECT_SCAN_H
#define O2C_DIRECT_SCAN_H

#include "o2c.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "utils/rel.h"
#include "utils/snapshot.h"

#define DIRECT_MAX_COLUMNS 16

typedef struct DirectTable
{
	const char *name;
	int			nkeys;			/* leading columns to search by */
	const char *columns[DIRECT_MAX_COLUMNS + 1];	/* ends with NULL */
	/* found by DirectTableResolve */
	bool		known;
	bool		valid;
	Oid			relid;
	Oid			indexid;
	AttrNumber	att[DIRECT_MAX_COLUMNS];
} DirectTable;

/* A scan of the rows with a key. */
typedef struct DirectScan
{
	DirectTable *table;
	Relation	rel;
	SysScanDesc scan;
} DirectScan;

extern bool DirectTableResolve(DirectTable *table);
extern void DirectScanBegin(DirectScan *scan, DirectTable *table, LOCKMODE lockmode,
							Snapshot snapshot, int32 company, int64 key);
extern void DirectScanBeginRange(DirectScan *scan, DirectTable *table, LOCKMODE lockmode,
								 Snapshot snapshot, int32 company, int64 first, int64 last);
extern HeapTuple DirectScanNext(DirectScan *scan);
extern void DirectScanEnd(DirectScan *scan, LOCKMODE unlock);

/* Looking up one row for each of many keys, best in the order of the keys. */
typedef struct DirectLookup
{
	Relation	rel;
	Relation	index;			/* begins with company and key */
	struct IndexScanDescData *scan;
	struct TupleTableSlot *slot;
	int32		company;		/* of the last key that was looked for */
	int64		key;			/* and the key; below all: none */
	bool		onward;			/* the scan goes on beyond that key */
	int64		at;				/* key of the row in the slot, or above all */
} DirectLookup;

extern void DirectLookupBegin(DirectLookup *lookup, DirectTable *table, Snapshot snapshot);
extern void DirectLookupStart(DirectLookup *lookup, Relation rel, Relation index, Snapshot snapshot,
							  struct TupleTableSlot *slot);
extern struct TupleTableSlot *DirectLookupFind(DirectLookup *lookup, int32 company, int64 key);
extern void DirectLookupEnd(DirectLookup *lookup);

/* Value of a column, by its position in "columns". */
static inline Datum
DirectValue(DirectScan *scan, HeapTuple tuple, int column, bool *isnull)
{
	return heap_getattr(tuple, scan->table->att[column], RelationGetDescr(scan->rel), isnull);
}

/* Whether a row has the value true in a column. */
static inline bool
DirectTrue(DirectScan *scan, HeapTuple tuple, int column)
{
	bool		isnull;
	Datum		value = DirectValue(scan, tuple, column, &isnull);

	return !isnull && DatumGetBool(value);
}

#endif							/* O2C_DIRECT_SCAN_H */
