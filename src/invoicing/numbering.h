/*
 * numbering.h
 *		Drawing document numbers, and what a commit does with their lock.
 */
#ifndef O2C_NUMBERING_H
#define O2C_NUMBERING_H

#include "datatype/timestamp.h"
#include "utils/date.h"
#include "utils/relcache.h"

/* A block of numbers, all of one series and one period. */
typedef struct NumberBlock
{
	int64		first;
	DateADT		period;
	TimestampTz issued_at;
} NumberBlock;

/* What a series says about drawing from it. */
typedef struct Series
{
	char		reset;			/* 'n'ever, 'y'ear, 'm'onth */
	bool		gapless;
	bool		early_release;
	bool		at_commit;		/* assign is commit */
	bool		subscribed;		/* somebody is to be told of issued documents */
	text	   *pattern;
	text	   *prefix;			/* what {series} stands for */
} Series;

extern Series ReadSeries(int32 company, text *code);
extern Series FindSeries(Oid schema, int32 company, text *code);
extern NumberBlock DrawNumbers(int32 company, text *code, DateADT on_date,
							   int32 count);
extern NumberBlock DrawFromSeries(const Series *series, int32 company, text *code,
								  DateADT on_date, int32 count);
extern text *FormatNumber(text *pattern, text *series, DateADT date, int64 n);

/* Numbers that this transaction drew, and documents that still need one. */
extern void NoteDrawn(int32 company, text *series, const NumberBlock *block,
					  int32 count);
extern bool WasDrawn(int32 company, const char *series, DateADT period, int64 n);
extern void NoteUnnumbered(int32 company, int64 id, const char *series, DateADT on_date);
extern void NumberPending(Relation invoice, bool at_commit);

/* Write drawn numbers into documents and what bears their number. */
extern bool NumberDocuments(Relation invoice, int32 company, const char *series,
							DateADT on_date, const int64 *ids, int nids,
							bool at_commit);
extern Datum PaymentReference(text *number, bool *isnull);

/* One transaction at a time draws from a gapless series. */
extern void SeriesLockInit(void);
extern void LockSeries(Oid counter, int32 company, text *series);

/* Let this transaction's locks go before its commit record is flushed. */
extern void RequestEarlyRelease(void);
extern void RequestEarlyReleaseOfCredit(void);

/*
 * True while o2c._issue() runs: nothing else takes a draft to "issued", so no
 * document is issued unchecked or without its open items.
 */
extern bool o2c_issuing;

#endif							/* O2C_NUMBERING_H */
