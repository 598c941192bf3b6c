/*
 * row_reader.c
 *		Reading the transition tables of a trigger, as often as need be.
 */
#include "row_reader.h"

#include "executor/executor.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

/* Read a transition table of "rel" from its beginning. */
void
RowReaderBegin(RowReader *reader, Tuplestorestate *rows, Relation rel)
{
	reader->rows = rows;
	reader->pointer = tuplestore_alloc_read_pointer(rows, EXEC_FLAG_REWIND);
	tuplestore_select_read_pointer(rows, reader->pointer);
	tuplestore_rescan(rows);
	reader->slot = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsMinimalTuple);
}

/* The next row, or NULL; valid until the next call. */
TupleTableSlot *
RowReaderNext(RowReader *reader)
{
	/* a row that was written to disk is read into the current context */
	MemoryContext before = MemoryContextSwitchTo(reader->slot->tts_mcxt);
	bool		any;

	tuplestore_select_read_pointer(reader->rows, reader->pointer);
	any = tuplestore_gettupleslot(reader->rows, true, false, reader->slot);
	MemoryContextSwitchTo(before);
	return any ? reader->slot : NULL;
}

void
RowReaderEnd(RowReader *reader)
{
	ExecDropSingleTupleTableSlot(reader->slot);
}
