/*
 * aging.h
 *		What the aggregates of aging.c and the report of aging_report.c share:
 *		bounds, buckets, and exact sums of numerics.
 */
#ifndef O2C_AGING_H
#define O2C_AGING_H

#include "utils/array.h"

/* More bounds than any report has columns; keeps the state small. */
#define AGING_MAX_BOUNDS	64

/*
 * A sum has two parts: whole units of 10^-4, the first base-10000 digit behind
 * the point, and what is smaller, in 10^-24.  No currency has more than four
 * decimals; the second part is for other uses of the aggregate.
 */
typedef struct AgingSum
{
	int128		units;
	int128		fraction;
} AgingSum;

#define AGING_UNIT_SCALE	4

/* Index from 0 of the bucket of a number of days. */
static inline int
AgingBucket(int64 days, const int32 *bounds, int nbounds)
{
	int			i = 0;

	while (i < nbounds && days > bounds[i])
		i++;
	return i;
}

extern const int32 *AgingBounds(ArrayType *array, int *nbounds);
extern bool AgingUnits(const struct varlena *num, int64 *units);
extern int	AgingAddNumeric(AgingSum *sum, struct varlena *num);
extern bool AgingIsNegative(struct varlena *num);
extern Size AgingPutNumeric(char *to, int128 units, int dscale);
extern Datum AgingSumToNumeric(AgingSum sum, int dscale);
extern void AgingRefuseAmount(void);

/* The most bytes that AgingPutNumeric writes. */
#define AGING_NUMERIC_SIZE	40

#endif							/* O2C_AGING_H */
