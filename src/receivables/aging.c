/*
 * aging.c
 *		Buckets of an aging report: which one a number of days falls into, and
 *		aggregates that fill all of them in one pass: o2c.aging_sum for
 *		everybody, and one that makes a whole line of o2c.aging().
 *
 * The state of both is a bytea of fixed size, changed in place, that holds
 * the bounds and exact 128-bit sums; so it needs no serialisation, runs in
 * parallel workers, and can be sent between servers and combined there.  A
 * numeric is read digit by digit into the sum instead of going through
 * numeric_add, which is what makes one pass over millions of entries cheap.
 */
#include "o2c.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

PG_FUNCTION_INFO_V1(o2c_aging_bucket);
PG_FUNCTION_INFO_V1(o2c_aging_sum_step);
PG_FUNCTION_INFO_V1(o2c_aging_sum_combine);
PG_FUNCTION_INFO_V1(o2c_aging_sum_final);
PG_FUNCTION_INFO_V1(o2c_aging_line_step);
PG_FUNCTION_INFO_V1(o2c_aging_line_final);

/* More bounds than any report has columns; keeps the state small. */
#define AGING_MAX_BOUNDS	64

/*
 * The stored form of numeric (src/backend/utils/adt/numeric.c): a 16-bit
 * header, in the long form a 16-bit weight, then base-10000 digits.
 */
#define NUM_SIGN_MASK			0xC000
#define NUM_NEG					0x4000
#define NUM_SHORT				0x8000
#define NUM_SPECIAL				0xC000
#define NUM_LONG_DSCALE_MASK	0x3FFF
#define NUM_SHORT_NEG			0x2000
#define NUM_SHORT_DSCALE_MASK	0x1F80
#define NUM_SHORT_DSCALE_SHIFT	7
#define NUM_SHORT_WEIGHT_NEG	0x0040
#define NUM_SHORT_WEIGHT_MASK	0x003F
#define NUM_BASE				10000

/*
 * A sum has two parts: whole units of 10^-4, the first base-10000 digit behind
 * the point, and what is smaller, in 10^-24.  No currency has more than four
 * decimals; the second part is for other uses of the aggregate.
 */
#define FRACTION_DIGITS			5
#define FRACTION_SCALE			24
#define FRACTION_PER_UNIT		((int128) INT64CONST(10000000000) * INT64CONST(10000000000))
#define MAX_WEIGHT				6

typedef struct Sum
{
	int128		units;
	int128		fraction;
} Sum;

/*
 * The state; bounds and then sums follow, the latter not aligned.  A line of
 * the report has two sums more than it has buckets.
 */
typedef struct AgingState
{
	int32		vl_len_;
	int16		nbounds;
	int16		nsums;
	int32		dscale;
	int32		bounds[FLEXIBLE_ARRAY_MEMBER];
} AgingState;

#define LINE_UNAPPLIED(nbounds)	((nbounds) + 1)
#define LINE_DISPUTED(nbounds)	((nbounds) + 2)
#define LINE_SUMS(nbounds)		((nbounds) + 3)

#define AgingStateSize(nbounds, nsums) \
	(offsetof(AgingState, bounds) + (nbounds) * sizeof(int32) + (nsums) * sizeof(Sum))
#define AgingSum(state, i) \
	((char *) (state) + offsetof(AgingState, bounds) + (state)->nbounds * sizeof(int32) + (i) * sizeof(Sum))

/* The bounds of a call, or an error: one dimension, ascending, no nulls. */
static const int32 *
BoundsOf(ArrayType *array, int *nbounds)
{
	const int32 *bounds = (const int32 *) ARR_DATA_PTR(array);
	int			n = ARR_NDIM(array) == 0 ? 0 : ARR_DIMS(array)[0];

	if (ARR_NDIM(array) > 1 || ARR_HASNULL(array) || n > AGING_MAX_BOUNDS)
		ereport(ERROR,
				(errcode(ERRCODE_O2C_INVALID_ARGUMENT),
				 errmsg("bounds of aging buckets must be a list of at most %d numbers of days",
						AGING_MAX_BOUNDS)));
	for (int i = 1; i < n; i++)
		if (bounds[i] <= bounds[i - 1])
			ereport(ERROR,
					(errcode(ERRCODE_O2C_INVALID_ARGUMENT),
					 errmsg("bounds of aging buckets must ascend"),
					 errdetail("%d follows %d.", bounds[i], bounds[i - 1])));
	*nbounds = n;
	return bounds;
}

/* Index from 0 of the bucket of a number of days. */
static inline int
BucketOf(int32 days, const int32 *bounds, int nbounds)
{
	int			i = 0;

	while (i < nbounds && days > bounds[i])
		i++;
	return i;
}

/* o2c_aging_bucket(days, bounds): subscript of the bucket, from 1. */
Datum
o2c_aging_bucket(PG_FUNCTION_ARGS)
{
	int			nbounds;
	const int32 *bounds = BoundsOf(PG_GETARG_ARRAYTYPE_P(1), &nbounds);

	PG_RETURN_INT32(BucketOf(PG_GETARG_INT32(0), bounds, nbounds) + 1);
}

static void
RefuseAmount(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_O2C_INVALID_AMOUNT),
			 errmsg("amount is out of the range of aging_sum"),
			 errdetail("Amounts are finite, below 10^28 and have at most %d decimals.",
					   FRACTION_SCALE)));
}

/* Add one numeric to a sum; returns its display scale. */
static int
AddNumeric(Sum *sum, struct varlena *num)
{
	const char *p = VARDATA_ANY(num);
	int			size = VARSIZE_ANY_EXHDR(num);
	uint16		header;
	int			weight;
	int			dscale;
	bool		negative;
	int128		units = 0;
	int128		fraction = 0;
	int			ndigits;
	int			group;

	memcpy(&header, p, sizeof(header));
	p += sizeof(header);
	size -= sizeof(header);
	if ((header & NUM_SIGN_MASK) == NUM_SPECIAL)
		RefuseAmount();
	if ((header & NUM_SIGN_MASK) == NUM_SHORT)
	{
		negative = (header & NUM_SHORT_NEG) != 0;
		dscale = (header & NUM_SHORT_DSCALE_MASK) >> NUM_SHORT_DSCALE_SHIFT;
		weight = (header & NUM_SHORT_WEIGHT_NEG ? ~NUM_SHORT_WEIGHT_MASK : 0) |
			(header & NUM_SHORT_WEIGHT_MASK);
	}
	else
	{
		int16		w;

		negative = (header & NUM_SIGN_MASK) == NUM_NEG;
		dscale = header & NUM_LONG_DSCALE_MASK;
		memcpy(&w, p, sizeof(w));
		p += sizeof(w);
		size -= sizeof(w);
		weight = w;
	}
	ndigits = size / sizeof(int16);
	if (ndigits == 0)
		return dscale;
	if (weight > MAX_WEIGHT || weight - ndigits + 1 < -1 - FRACTION_DIGITS)
		RefuseAmount();

	/* group is the power of 10000 that the next digit counts */
	for (group = weight; ndigits > 0; ndigits--, group--)
	{
		int16		digit;

		memcpy(&digit, p, sizeof(digit));
		p += sizeof(digit);
		if (group >= -1)
			units = units * NUM_BASE + digit;
		else
			fraction = fraction * NUM_BASE + digit;
	}
	/* trailing groups of zeros are not stored */
	for (; group >= -1; group--)
		units *= NUM_BASE;
	if (fraction != 0)
		for (; group >= -1 - FRACTION_DIGITS; group--)
			fraction *= NUM_BASE;

	if (negative)
	{
		units = -units;
		fraction = -fraction;
	}
	if (__builtin_add_overflow(sum->units, units, &sum->units))
		RefuseAmount();
	sum->fraction += fraction;
	return dscale;
}

/* A state with these bounds and nothing in it. */
static AgingState *
MakeState(const int32 *bounds, int nbounds, int nsums)
{
	AgingState *state = palloc0(AgingStateSize(nbounds, nsums));

	SET_VARSIZE(state, AgingStateSize(nbounds, nsums));
	state->nbounds = nbounds;
	state->nsums = nsums;
	if (nbounds > 0)
		memcpy(state->bounds, bounds, nbounds * sizeof(int32));
	return state;
}

/* The state of an argument, safe to change: in place within an aggregate. */
static AgingState *
StateOf(FunctionCallInfo fcinfo, int arg)
{
	AgingState *state = (AgingState *) (AggCheckCallContext(fcinfo, NULL) ?
										PG_GETARG_BYTEA_P(arg) :
										PG_GETARG_BYTEA_P_COPY(arg));

	if (VARSIZE(state) < offsetof(AgingState, bounds) ||
		state->nbounds < 0 || state->nbounds > AGING_MAX_BOUNDS ||
		(state->nsums != state->nbounds + 1 && state->nsums != LINE_SUMS(state->nbounds)) ||
		VARSIZE(state) != AgingStateSize(state->nbounds, state->nsums))
		ereport(ERROR,
				(errcode(ERRCODE_O2C_INVALID_ARGUMENT),
				 errmsg("not a state of aging_sum")));
	return state;
}

static void
RefuseBounds(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_O2C_INVALID_ARGUMENT),
			 errmsg("bounds of aging_sum must be the same for all rows of a group")));
}

/* The state that a transition changes, made or checked against the bounds. */
static AgingState *
StepState(FunctionCallInfo fcinfo, const int32 *bounds, int nbounds, int nsums)
{
	AgingState *state;

	if (PG_ARGISNULL(0))
		return MakeState(bounds, nbounds, nsums);
	state = StateOf(fcinfo, 0);
	if (state->nbounds != nbounds || state->nsums != nsums ||
		memcmp(state->bounds, bounds, nbounds * sizeof(int32)) != 0)
		RefuseBounds();
	return state;
}

/* Bounds that must be given. */
static const int32 *
BoundsArgument(FunctionCallInfo fcinfo, int arg, int *nbounds)
{
	if (PG_ARGISNULL(arg))
		ereport(ERROR,
				(errcode(ERRCODE_O2C_INVALID_ARGUMENT),
				 errmsg("bounds of aging buckets must not be null")));
	return BoundsOf(PG_GETARG_ARRAYTYPE_P(arg), nbounds);
}

/* Whether a finite numeric is below zero. */
static bool
IsNegative(struct varlena *num)
{
	uint16		header;

	memcpy(&header, VARDATA_ANY(num), sizeof(header));
	return (header & NUM_SIGN_MASK) == NUM_SHORT ?
		(header & NUM_SHORT_NEG) != 0 : (header & NUM_SIGN_MASK) == NUM_NEG;
}

/* Add a numeric argument to one of the sums. */
static void
AddArgument(FunctionCallInfo fcinfo, int arg, AgingState *state, int place)
{
	struct varlena *num = PG_DETOAST_DATUM_PACKED(PG_GETARG_DATUM(arg));
	char	   *cell = AgingSum(state, place);
	Sum			sum;
	int			dscale;

	memcpy(&sum, cell, sizeof(sum));
	dscale = AddNumeric(&sum, num);
	memcpy(cell, &sum, sizeof(sum));
	state->dscale = Max(state->dscale, dscale);
}

static void
RefuseMissingDays(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_O2C_INVALID_ARGUMENT),
			 errmsg("days of an amount must not be null"),
			 errhint("An amount without a date would vanish from the report; give it one.")));
}

/* o2c_aging_sum_step(state, amount, days, bounds): a null amount adds nothing. */
Datum
o2c_aging_sum_step(PG_FUNCTION_ARGS)
{
	int			nbounds;
	const int32 *bounds = BoundsArgument(fcinfo, 3, &nbounds);
	AgingState *state = StepState(fcinfo, bounds, nbounds, nbounds + 1);

	if (!PG_ARGISNULL(1))
	{
		if (PG_ARGISNULL(2))
			RefuseMissingDays();
		AddArgument(fcinfo, 1, state, BucketOf(PG_GETARG_INT32(2), bounds, nbounds));
	}
	PG_RETURN_POINTER(state);
}

/*
 * o2c_aging_line_step(state, amount, disputed, days, credit, bounds): credits
 * are summed as unapplied, debits by bucket.  A null "credit" goes by the sign.
 */
Datum
o2c_aging_line_step(PG_FUNCTION_ARGS)
{
	int			nbounds;
	const int32 *bounds = BoundsArgument(fcinfo, 5, &nbounds);
	AgingState *state = StepState(fcinfo, bounds, nbounds, LINE_SUMS(nbounds));
	bool		credit;

	if (PG_ARGISNULL(1) || PG_ARGISNULL(3))
		RefuseMissingDays();
	credit = PG_ARGISNULL(4) ? IsNegative(PG_DETOAST_DATUM_PACKED(PG_GETARG_DATUM(1))) :
		PG_GETARG_BOOL(4);
	AddArgument(fcinfo, 1, state,
				credit ? LINE_UNAPPLIED(nbounds) :
				BucketOf(PG_GETARG_INT32(3), bounds, nbounds));
	if (!PG_ARGISNULL(2))
		AddArgument(fcinfo, 2, state, LINE_DISPUTED(nbounds));
	PG_RETURN_POINTER(state);
}

/* o2c_aging_sum_combine(state, state): the sums of both. */
Datum
o2c_aging_sum_combine(PG_FUNCTION_ARGS)
{
	AgingState *a;
	AgingState *b;

	if (PG_ARGISNULL(0))
	{
		if (PG_ARGISNULL(1))
			PG_RETURN_NULL();
		/* the second state may live shorter than the result */
		PG_RETURN_POINTER(PG_GETARG_BYTEA_P_COPY(1));
	}
	a = StateOf(fcinfo, 0);
	if (PG_ARGISNULL(1))
		PG_RETURN_POINTER(a);
	b = StateOf(fcinfo, 1);
	if (a->nbounds != b->nbounds || a->nsums != b->nsums ||
		memcmp(a->bounds, b->bounds, a->nbounds * sizeof(int32)) != 0)
		RefuseBounds();
	for (int i = 0; i < a->nsums; i++)
	{
		Sum			x;
		Sum			y;

		memcpy(&x, AgingSum(a, i), sizeof(x));
		memcpy(&y, AgingSum(b, i), sizeof(y));
		if (__builtin_add_overflow(x.units, y.units, &x.units))
			RefuseAmount();
		x.fraction += y.fraction;
		memcpy(AgingSum(a, i), &x, sizeof(x));
	}
	a->dscale = Max(a->dscale, b->dscale);
	PG_RETURN_POINTER(a);
}

/* Decimal digits of a non-negative number, at least "width" of them. */
static void
AppendDigits(StringInfo buf, int128 value, int width)
{
	char		digits[48];
	int			n = 0;

	while (value > 0 || n < width)
	{
		digits[n++] = '0' + (int) (value % 10);
		value /= 10;
	}
	while (n > 0)
		appendStringInfoChar(buf, digits[--n]);
}

/* A sum as numeric with a display scale. */
static Datum
SumToNumeric(Sum sum, int dscale)
{
	Datum		num;

	/* the usual case, an amount of money: drop zeros beyond the scale */
	if (sum.fraction == 0 && dscale <= 4 && sum.units == (int64) sum.units)
	{
		static const int64 beyond[] = {10000, 1000, 100, 10, 1};

		return NumericGetDatum(int64_div_fast_to_numeric((int64) sum.units / beyond[dscale],
														 dscale));
	}

	/* bring the fraction below one unit and to the sign of the units */
	sum.units += sum.fraction / FRACTION_PER_UNIT;
	sum.fraction %= FRACTION_PER_UNIT;
	if (sum.units > 0 && sum.fraction < 0)
	{
		sum.units--;
		sum.fraction += FRACTION_PER_UNIT;
	}
	else if (sum.units < 0 && sum.fraction > 0)
	{
		sum.units++;
		sum.fraction -= FRACTION_PER_UNIT;
	}

	if (sum.fraction == 0 && sum.units == (int64) sum.units)
		num = NumericGetDatum(int64_div_fast_to_numeric((int64) sum.units, 4));
	else
	{
		StringInfoData buf;
		int128		units = sum.units < 0 ? -sum.units : sum.units;

		initStringInfo(&buf);
		if (sum.units < 0 || sum.fraction < 0)
			appendStringInfoChar(&buf, '-');
		AppendDigits(&buf, units / NUM_BASE, 1);
		appendStringInfoChar(&buf, '.');
		AppendDigits(&buf, units % NUM_BASE, 4);
		AppendDigits(&buf, sum.fraction < 0 ? -sum.fraction : sum.fraction, 20);
		num = DirectFunctionCall3(numeric_in, CStringGetDatum(buf.data),
								  ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
	}
	return DirectFunctionCall2(numeric_round, num, Int32GetDatum(dscale));
}

/* o2c_aging_sum_final(state): the buckets, in the scale of the amounts. */
Datum
o2c_aging_sum_final(PG_FUNCTION_ARGS)
{
	AgingState *state;
	Datum	   *buckets;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	state = StateOf(fcinfo, 0);
	buckets = palloc((state->nbounds + 1) * sizeof(Datum));
	for (int i = 0; i <= state->nbounds; i++)
	{
		Sum			sum;

		memcpy(&sum, AgingSum(state, i), sizeof(sum));
		buckets[i] = SumToNumeric(sum, state->dscale);
	}
	PG_RETURN_ARRAYTYPE_P(construct_array(buckets, state->nbounds + 1, NUMERICOID,
										  -1, false, TYPALIGN_INT));
}

/*
 * o2c_aging_line_final(state): buckets, unapplied, total and disputed, or NULL
 * when nothing is open.
 */
Datum
o2c_aging_line_final(PG_FUNCTION_ARGS)
{
	AgingState *state;
	Datum	   *line;
	Sum			total = {0, 0};
	bool		any = false;
	int			n = 0;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	state = StateOf(fcinfo, 0);
	if (state->nsums != LINE_SUMS(state->nbounds))
		RefuseBounds();
	line = palloc((state->nsums + 1) * sizeof(Datum));
	for (int i = 0; i <= LINE_DISPUTED(state->nbounds); i++)
	{
		Sum			sum;

		memcpy(&sum, AgingSum(state, i), sizeof(sum));
		if (i == LINE_DISPUTED(state->nbounds))
			line[n++] = SumToNumeric(total, state->dscale);
		else
		{
			any = any || sum.units != 0 || sum.fraction != 0;
			total.fraction += sum.fraction;
			if (__builtin_add_overflow(total.units, sum.units, &total.units))
				RefuseAmount();
		}
		line[n++] = SumToNumeric(sum, state->dscale);
	}
	if (!any)
		PG_RETURN_NULL();
	PG_RETURN_ARRAYTYPE_P(construct_array(line, n, NUMERICOID, -1, false, TYPALIGN_INT));
}
