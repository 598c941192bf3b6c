/*
 * numbering.h
 *		Drawing document numbers, and what a commit does with their lock.
 */
#ifndef O2C_NUMBERING_H
#define O2C_NUMBERING_H

#include "datatype/timestamp.h"
#include "utils/date.h"

/* A block of numbers, all of one series and one period. */
typedef struct NumberBlock
{
	int64		first;
	DateADT		period;
	TimestampTz issued_at;
} NumberBlock;

extern NumberBlock DrawNumbers(int32 company, text *series, DateADT on_date,
							   int32 count);

/* Numbers that this transaction drew, and documents that still need one. */
extern void NoteDrawn(int32 company, text *series, const NumberBlock *block,
					  int32 count);
extern bool WasDrawn(int32 company, const char *series, DateADT period, int64 n);
extern void NoteUnnumbered(int32 company, int64 id);

/* Let this transaction's locks go before its commit record is flushed. */
extern void RequestEarlyRelease(void);
extern void RequestEarlyReleaseOfCredit(void);

#endif							/* O2C_NUMBERING_H */
