/*
 * records.h
 *		Records of one size, in order, beyond memory when they are many.
 */
#ifndef O2C_RECORDS_H
#define O2C_RECORDS_H

#include "o2c.h"

/* Below, at or above 0 as a comes before, with or after b. */
typedef int (*RecordCompare) (const void *a, const void *b);

typedef struct Records Records;

extern Records *RecordsBegin(Size size, RecordCompare compare, Size bytes);
extern void *RecordsAdd(Records *records);
extern void RecordsRewind(Records *records);
extern const void *RecordsNext(Records *records);
extern int64 RecordsCount(const Records *records);
extern void RecordsEnd(Records *records);

#endif							/* O2C_RECORDS_H */
