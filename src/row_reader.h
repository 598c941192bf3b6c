/*
 * row_reader.h
 *		Reading the transition tables of a trigger, as often as need be.
 */
#ifndef O2C_ROW_READER_H
#define O2C_ROW_READER_H

#include "o2c.h"

#include "executor/tuptable.h"

/* Rows of a transition table. */
typedef struct RowReader
{
	struct Tuplestorestate *rows;
	int			pointer;
	TupleTableSlot *slot;
} RowReader;

extern void RowReaderBegin(RowReader *reader, struct Tuplestorestate *rows, Relation rel);
extern TupleTableSlot *RowReaderNext(RowReader *reader);
extern void RowReaderEnd(RowReader *reader);

#endif							/* O2C_ROW_READER_H */
