/*
 * numeric_ops.h
 *		Arithmetic on amounts and quantities in C.
 *
 * A numeric's functions speak Datum; these speak Numeric, for the rooms that
 * add up what documents change (credit, receivables).  Results are allocated
 * in the current memory context.
 */
#ifndef O2C_NUMERIC_OPS_H
#define O2C_NUMERIC_OPS_H

#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

/* a + b */
static inline Numeric
NumericAdd(Numeric a, Numeric b)
{
	return DatumGetNumeric(DirectFunctionCall2(numeric_add, NumericGetDatum(a), NumericGetDatum(b)));
}

/* a - b */
static inline Numeric
NumericSubtract(Numeric a, Numeric b)
{
	return DatumGetNumeric(DirectFunctionCall2(numeric_sub, NumericGetDatum(a), NumericGetDatum(b)));
}

/* Below, at or above 0 as a is less than, equal to or greater than b. */
static inline int
NumericCompare(Numeric a, Numeric b)
{
	return DatumGetInt32(DirectFunctionCall2(numeric_cmp, NumericGetDatum(a), NumericGetDatum(b)));
}

#endif							/* O2C_NUMERIC_OPS_H */
