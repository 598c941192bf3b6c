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
#include "receivables/aging.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(o2c_aging_bucket);
PG_FUNCTION_INFO_V1(o2c_aging_sum_step);
PG_FUNCTION_INFO_V1(o2c_aging_sum_combine);
PG_FUNCTION_INFO_V1(o2c_aging_sum_final);
PG_FUNCTION_INFO_V1(o2c_aging_line_step);
PG_FUNCTION_INFO_V1(o2c_aging_line_final);

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
	(offsetof(AgingState, bounds) + (nbounds) * sizeof(int32) + (nsums) * sizeof(AgingSum))
#define SumPlace(state, i) \
	((char *) (state) + offsetof(AgingState, bounds) + (state)->nbounds * sizeof(int32) + (i) * sizeof(AgingSum))

/* The bounds of a call, or an error: one dimension, ascending, no nulls. */
const int32 *
AgingBounds(ArrayType *array, int *nbounds)
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

/* o2c_aging_bucket(days, bounds): subscript of the bucket, from 1. */
Datum
o2c_aging_bucket(PG_FUNCTION_ARGS)
{
	int			nbounds;
	const int32 *bounds = AgingBounds(PG_GETARG_ARRAYTYPE_P(1), &nbounds);

	PG_RETURN_INT32(AgingBucket(PG_GETARG_INT32(0), bounds, nbounds) + 1);
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
	return AgingBounds(PG_GETARG_ARRAYTYPE_P(arg), nbounds);
}

/* Add a numeric argument to one of the sums. */
static void
AddArgument(FunctionCallInfo fcinfo, int arg, AgingState *state, int place)
{
	struct varlena *num = PG_DETOAST_DATUM_PACKED(PG_GETARG_DATUM(arg));
	char	   *cell = SumPlace(state, place);
	AgingSum	sum;
	int			dscale;

	memcpy(&sum, cell, sizeof(sum));
	dscale = AgingAddNumeric(&sum, num);
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
		AddArgument(fcinfo, 1, state, AgingBucket(PG_GETARG_INT32(2), bounds, nbounds));
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
	credit = PG_ARGISNULL(4) ? AgingIsNegative(PG_DETOAST_DATUM_PACKED(PG_GETARG_DATUM(1))) :
		PG_GETARG_BOOL(4);
	AddArgument(fcinfo, 1, state,
				credit ? LINE_UNAPPLIED(nbounds) :
				AgingBucket(PG_GETARG_INT32(3), bounds, nbounds));
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
		AgingSum	x;
		AgingSum	y;

		memcpy(&x, SumPlace(a, i), sizeof(x));
		memcpy(&y, SumPlace(b, i), sizeof(y));
		if (__builtin_add_overflow(x.units, y.units, &x.units))
			AgingRefuseAmount();
		x.fraction += y.fraction;
		memcpy(SumPlace(a, i), &x, sizeof(x));
	}
	a->dscale = Max(a->dscale, b->dscale);
	PG_RETURN_POINTER(a);
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
		AgingSum	sum;

		memcpy(&sum, SumPlace(state, i), sizeof(sum));
		buckets[i] = AgingSumToNumeric(sum, state->dscale);
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
	AgingSum	total = {0, 0};
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
		AgingSum	sum;

		memcpy(&sum, SumPlace(state, i), sizeof(sum));
		if (i == LINE_DISPUTED(state->nbounds))
			line[n++] = AgingSumToNumeric(total, state->dscale);
		else
		{
			any = any || sum.units != 0 || sum.fraction != 0;
			total.fraction += sum.fraction;
			if (__builtin_add_overflow(total.units, sum.units, &total.units))
				AgingRefuseAmount();
		}
		line[n++] = AgingSumToNumeric(sum, state->dscale);
	}
	if (!any)
		PG_RETURN_NULL();
	PG_RETURN_ARRAYTYPE_P(construct_array(line, n, NUMERICOID, -1, false, TYPALIGN_INT));
}
