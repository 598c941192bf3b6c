/*
 * table_writer.h
 *		Inserting and updating rows of a table from C, with all its triggers.
 */
#ifndef O2C_TABLE_WRITER_H
#define O2C_TABLE_WRITER_H

#include "o2c.h"

#include "executor/tuptable.h"
#include "nodes/nodes.h"
#include "utils/relcache.h"

typedef struct TableWriter TableWriter;

extern TableWriter *TableWriterBegin(Oid relid, CmdType operation,
									 const char *const *columns, int ncolumns);
extern AttrNumber TableWriterAttribute(TableWriter *writer, const char *column);
extern TupleDesc TableWriterDesc(TableWriter *writer);
extern Relation TableWriterRelation(TableWriter *writer);
extern bool TableWriterTakeOver(TableWriter *writer, const char *function);
extern TupleTableSlot *TableWriterFind(TableWriter *writer, int32 company_id, int64 id);
extern bool TableWriterFoundOwn(TableWriter *writer);
extern void TableWriterUpdate(TableWriter *writer, const Datum *values, const bool *nulls);
extern void TableWriterInsert(TableWriter *writer, const Datum *values, const bool *nulls);
extern void TableWriterEnd(TableWriter *writer);

extern Oid	TableByName(Relation sibling, const char *name);

#endif							/* O2C_TABLE_WRITER_H */
