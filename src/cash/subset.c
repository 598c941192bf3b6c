/*
 * subset.c
 *		Which of these open amounts add up to exactly this payment?
 *
 * Bounded search, small sizes first: every size up to the bound is searched
 * to its end before a larger one begins, so "one solution" means that no
 * other set of at most that size exists, or the result says that the search
 * was not complete.  The last two are found by walking towards each other;
 * before them the least and the greatest sum still reachable cut the search.
 *
 * Many sets always reach many sums: "chance" is the number of equal sums that
 * unrelated amounts of this size and number would give, which is what decides
 * whether a unique answer means anything.
 */
#include "cash/cash.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(o2c_cash_subset);

#define SUBSET_MAX_SIZE SUBSET_MEMBERS

/*
 * Sets that lie close together have rivals that lie wider.  Of 21,000 postings
 * of small amounts ten times keep three wrong ones and no right one out, thirty
 * times seven right ones besides.  Where the first set is far less likely by
 * accident than any rival, a rival says nothing.
 */
#define WIDER		10			/* times the chance at which a set is trusted */
#define RIVAL		100			/* times the chance of the first set */
#define QUICK_SPAN	9			/* all sets of so many amounts are soon looked through */

/* An amount and where the caller has it. */
typedef struct Entry
{
	int64		amount;
	int			index;
} Entry;

typedef struct Search
{
	Entry	   *entry;			/* ascending by amount */
	int64	   *prefix;			/* prefix[i] = sum of the first i amounts */
	int			n;
	int64		budget;
	uint64	   *pairs;			/* a bit for each sum that two amounts make, by its hash */
	int			pairshift;
	int			chosen[SUBSET_MAX_SIZE];
	int			size;			/* of the sets looked for now */
	CashSubset *result;
} Search;

static int
CompareEntries(const void *a, const void *b)
{
	const Entry *x = a;
	const Entry *y = b;

	if (x->amount != y->amount)
		return x->amount < y->amount ? -1 : 1;
	return x->index < y->index ? -1 : x->index > y->index ? 1 : 0;
}

/* Keep a solution; the search ends at the second. */
static void
KeepSolution(Search *search)
{
	CashSubset *result = search->result;
	int		   *members = result->solutions == 0 ? result->members : result->second;

	for (int i = 0; i < search->size; i++)
		members[i] = search->entry[search->chosen[i]].index;
	if (result->solutions == 0)
		result->size = search->size;
	else
		result->second_size = search->size;
	result->solutions++;
}

/* First position in [lo, hi) whose amount is not below the value. */
static int
LowerBound(const Search *search, int lo, int hi, int64 value)
{
	while (lo < hi)
	{
		int			mid = (lo + hi) / 2;

		if (search->entry[mid].amount < value)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* The last two entries: as one becomes smaller, the other must be greater. */
static void
DescendPairs(Search *search, int hi, int64 rest)
{
	const Entry *entry = search->entry;
	int			low = 0;

	for (int i = hi - 1; i >= 1; i--)
	{
		int64		wanted = rest - entry[i].amount;

		if (entry[i - 1].amount < wanted)
			return;				/* all further ones are smaller */
		if (search->result->nodes > search->budget)
			return;
		search->result->nodes++;
		while (low < i && entry[low].amount < wanted)
			low++;
		for (int k = low; k < i && entry[k].amount == wanted; k++)
		{
			search->chosen[search->size - 2] = i;
			search->chosen[search->size - 1] = k;
			KeepSolution(search);
			if (search->result->solutions >= 2)
				return;
		}
	}
}

/* Noting pairs is outside of the budget: more amounts than matching ever has are searched without. */
#define PAIRS_OF_MAX 2000

static inline uint64
PairHash(const Search *search, int64 sum)
{
	return ((uint64) sum * UINT64CONST(0x9E3779B97F4A7C15)) >> search->pairshift;
}

/* May two amounts add up to this?  No is certain. */
static inline bool
PairMakes(const Search *search, int64 sum)
{
	uint64		hash = PairHash(search, sum);

	if (search->pairs == NULL)
		return true;
	return (search->pairs[hash >> 6] >> (hash & 63)) & 1;
}

/* Note the sums of all pairs, in sixteen times as many bits. */
static void
NotePairs(Search *search)
{
	int			bits = 10;

	while (bits < 18 && (1 << bits) < 8 * search->n * search->n)
		bits++;
	search->pairshift = 64 - bits;
	search->pairs = palloc0(((Size) 1 << bits) / 8);
	for (int i = 1; i < search->n; i++)
		for (int k = 0; k < i; k++)
		{
			uint64		hash = PairHash(search, search->entry[i].amount + search->entry[k].amount);

			search->pairs[hash >> 6] |= UINT64CONST(1) << (hash & 63);
		}
}

/*
 * The last three entries.  As the greatest becomes smaller, what it leaves to
 * the other two grows, and so do the bounds between which DescendPairs would
 * look for these.  Where no pair makes the rest, only its steps are counted:
 * what the budget allows does not depend on how fast we are.
 */
static void
DescendTriples(Search *search, int hi, int64 rest)
{
	const Entry *entry = search->entry;
	CashSubset *result = search->result;
	int			top = 0;		/* first whose amount leaves too little for the least */
	int			low = 1;		/* first that with the one before it makes enough */

	for (int i = hi - 1; i >= 2; i--)
	{
		int64		wanted = rest - entry[i].amount;

		if (search->prefix[i + 1] - search->prefix[i - 2] < rest)
			return;				/* all further ones are smaller */
		while (top < i && entry[top].amount <= wanted - entry[0].amount)
			top++;
		while (low < i && entry[low - 1].amount + entry[low].amount < wanted)
			low++;
		result->nodes++;
		if (PairMakes(search, wanted) || result->nodes + Max(Min(top, i) - low, 0) > search->budget)
		{
			search->chosen[search->size - 3] = i;
			DescendPairs(search, Min(top, i), wanted);
			if (result->solutions >= 2 || result->nodes > search->budget)
				return;
		}
		else
			result->nodes += Max(Min(top, i) - low, 0);
	}
}

/*
 * Choose "left" more entries from positions below "hi" that add up to rest.
 * Entries are taken in descending order, so each set is seen once.
 */
static void
Descend(Search *search, int hi, int left, int64 rest)
{
	if (search->result->solutions >= 2 || search->result->nodes > search->budget)
		return;
	search->result->nodes++;

	if (left == 1)
	{
		for (int i = LowerBound(search, 0, hi, rest);
			 i < hi && search->entry[i].amount == rest; i++)
		{
			search->chosen[search->size - 1] = i;
			KeepSolution(search);
			if (search->result->solutions >= 2)
				return;
		}
		return;
	}
	/* whatever is greater leaves too little for the others */
	hi = LowerBound(search, 0, hi, rest - search->prefix[left - 1] + 1);
	if (left == 2)
	{
		DescendPairs(search, hi, rest);
		return;
	}
	if (left == 3)
	{
		DescendTriples(search, hi, rest);
		return;
	}
	for (int i = hi - 1; i >= left - 1; i--)
	{
		int64		amount = search->entry[i].amount;
		int64		greatest = search->prefix[i + 1] - search->prefix[i + 1 - left];

		if (greatest < rest)
			return;				/* all further ones are smaller */
		search->chosen[search->size - left] = i;
		Descend(search, i, left - 1, rest - amount);
		if (search->result->solutions >= 2 ||
			search->result->nodes > search->budget)
			return;
	}
}

/* Number of sets of k out of n, as a double. */
static double
Choose(int n, int k)
{
	double		c = 1;

	for (int i = 0; i < k; i++)
		c = c * (n - i) / (i + 1);
	return c;
}

/*
 * Expected number of sets of k whose sum equals the target by chance: the
 * sums are spread around k times the mean with the deviation of a sum, in
 * steps of the amounts' common granularity.  A flat share of the sets keeps
 * the estimate honest far from the mean.
 */
static double
ChanceOf(const int64 *amounts, int n, int k, int64 target)
{
	double		mean = 0;
	double		var = 0;
	double		deviation;
	double		z;
	double		density;
	double		range = 1;
	int64		step = 100;

	for (int i = 0; i < n; i++)
	{
		mean += amounts[i];
		while (step > 1 && amounts[i] % step != 0)
			step = step == 100 ? 10 : 1;
	}
	mean /= n;
	for (int i = 0; i < n; i++)
	{
		var += (amounts[i] - mean) * (amounts[i] - mean);
		range = Max(range, fabs((double) amounts[i]));
	}
	deviation = sqrt(Max(var / n, 1.0) * k);
	z = (target - k * mean) / deviation;
	density = exp(-z * z / 2) / (deviation * 2.5066);
	density = Max(density, 0.1 / (k * range));
	return Choose(n, k) * density * step;
}

/*
 * Search all sets of at most maxsize of the n amounts that add up to target.
 * Negative amounts (credit notes) are allowed.  Stops at the second solution,
 * or when the budget of nodes is used and nothing is proved.
 */
void
CashSubsetSearch(const int64 *amounts, int n, int64 target, int maxsize,
				 int64 budget, CashSubset *result)
{
	Search		search;

	memset(result, 0, sizeof(CashSubset));
	result->complete = true;
	if (n <= 0)
		return;
	maxsize = Min(Min(maxsize, n), SUBSET_MAX_SIZE);

	search.n = n;
	search.budget = budget;
	search.result = result;
	search.entry = palloc(n * sizeof(Entry));
	search.prefix = palloc((n + 1) * sizeof(int64));
	for (int i = 0; i < n; i++)
	{
		search.entry[i].amount = amounts[i];
		search.entry[i].index = i;
	}
	qsort(search.entry, n, sizeof(Entry), CompareEntries);
	search.prefix[0] = 0;
	for (int i = 0; i < n; i++)
		search.prefix[i + 1] = search.prefix[i] + search.entry[i].amount;
	search.pairs = NULL;

	for (int k = 1; k <= maxsize && result->solutions < 2; k++)
	{
		search.size = k;
		if (k == 3 && n <= PAIRS_OF_MAX)
			NotePairs(&search);
		Descend(&search, n, k, target);
		result->chance += ChanceOf(amounts, n, k, target);
		if (result->nodes > budget)
		{
			result->complete = false;
			break;
		}
	}
	pfree(search.entry);
	pfree(search.prefix);
	if (search.pairs != NULL)
		pfree(search.pairs);
}

/* Subsets of entries from..to that, with what is chosen, make the rest. */
static void
DescendWindow(const int64 *amounts, int from, int to, int64 rest, int64 left,
			  int *chosen, int n, int64 *nodes, CashSubset *result)
{
	if (rest == 0)
	{
		int		   *members = result->solutions == 0 ? result->members : result->second;

		memcpy(members, chosen, n * sizeof(int));
		if (result->solutions == 0)
			result->size = n;
		else
			result->second_size = n;
		result->solutions++;
		return;
	}
	/* with the next or without; calls that would end at once are not made */
	for (; from <= to && rest >= 0 && left >= rest && n < SUBSET_MAX_SIZE; from++)
	{
		int64		less = rest - amounts[from];

		if (++*nodes > INT64_C(2000000))
			return;
		left -= amounts[from];
		chosen[n] = from;
		if (less == 0 || (less > 0 && from < to))
			DescendWindow(amounts, from + 1, to, less, left, chosen, n + 1, nodes, result);
		if (result->solutions >= 2)
			return;
	}
}

/* How many equal sums accident may give where a window of this span is still searched. */
static double
WindowLimit(double maxchance, int span, const CashSubset *result)
{
	if (result->solutions > 0)
		return Min(maxchance * WIDER, result->chance * RIVAL);
	return span <= QUICK_SPAN ? maxchance * WIDER : maxchance;
}

/*
 * Like CashSubsetSearch for amounts in the order in which they fall due, all
 * positive: people pay what falls due together, so sets that lie close
 * together are searched first, and those that accident would give more often
 * than maxchance are worth a look only: as others besides the first, and
 * where that is soon done.  Unique means: the only set of at most the last
 * span.  The result's chance is that of the span at which the first was found.
 */
void
CashWindowSearch(const int64 *amounts, int n, int64 target, int maxspan,
				 double maxchance, CashSubset *result)
{
	int			chosen[SUBSET_MAX_SIZE];
	double		chance = 0;

	memset(result, 0, sizeof(CashSubset));
	result->complete = true;
	for (int span = 2; span <= Min(maxspan, n) && result->solutions < 2; span++)
	{
		chance += ChanceOf(amounts, n, span / 2 + 1, target) /
			Choose(n, span / 2 + 1) * (n - span + 1) * pow(2, span - 2);
		if (chance > WindowLimit(maxchance, span, result))
			break;
		if (result->solutions == 0)
			result->chance = chance;
		for (int i = 0; i + span <= n && result->solutions < 2; i++)
		{
			int			last = i + span - 1;
			int64		left = 0;

			for (int k = i + 1; k < last; k++)
				left += amounts[k];
			if (amounts[i] + amounts[last] > target || amounts[i] + amounts[last] + left < target)
				continue;
			chosen[0] = i;
			chosen[1] = last;
			DescendWindow(amounts, i + 1, last - 1, target - amounts[i] - amounts[last], left,
						  chosen, 2, &result->nodes, result);
		}
	}
	if (result->nodes > INT64_C(2000000))
		result->complete = false;
}

/* Like DescendWindow, for sets of exactly size (0: of any size). */
static void
DescendPrefix(const int64 *amounts, int from, int to, int64 rest, int64 left,
			  int *chosen, int n, int size, CashSubset *result)
{
	if (rest == 0 && (size == 0 || n == size))
	{
		int		   *members = result->solutions == 0 ? result->members : result->second;

		memcpy(members, chosen, n * sizeof(int));
		if (result->solutions == 0)
			result->size = n;
		else
			result->second_size = n;
		result->solutions++;
		return;
	}
	for (; from <= to && rest > 0 && left >= rest && n < SUBSET_MAX_SIZE &&
		 (size == 0 || (n < size && n + to - from + 1 >= size)); from++)
	{
		int64		less = rest - amounts[from];

		if (++result->nodes > INT64_C(4000000))
			return;
		left -= amounts[from];
		chosen[n] = from;
		if (less == 0 || (less > 0 && from < to))
			DescendPrefix(amounts, from + 1, to, less, left, chosen, n + 1, size, result);
		if (result->solutions >= 2)
			return;
	}
}

/*
 * What continues a list: sets of the first amounts, in their order, that add
 * up to target, each time one amount further, until accident would give more
 * than maxchance equal sums.  size: how many the list says are missing, or 0.
 */
void
CashPrefixSearch(const int64 *amounts, int n, int64 target, int size,
				 double maxchance, CashSubset *result)
{
	int			chosen[SUBSET_MAX_SIZE];
	int64		left = 0;

	memset(result, 0, sizeof(CashSubset));
	result->complete = true;
	for (int last = 0; last < Min(n, 40) && result->solutions < 2; last++)
	{
		int			k = size > 0 ? size : last / 2 + 1;
		double		sets = size > 0 ? (last + 1 >= size ? Choose(last, size - 1) : 0) : pow(2, last);
		double		chance = sets == 0 ? 0 : ChanceOf(amounts, n, Min(k, n), target) / Choose(n, Min(k, n)) * sets;

		if (result->chance + chance > maxchance)
			break;
		result->chance += chance;
		if (amounts[last] <= target && left + amounts[last] >= target && sets > 0)
		{
			chosen[0] = last;
			DescendPrefix(amounts, 0, last - 1, target - amounts[last], left, chosen, 1, size, result);
		}
		left += amounts[last];
	}
	if (result->nodes > INT64_C(4000000))
		result->complete = false;
}

/*
 * _subset_search(amounts, target, max_size, budget): (members integer[],
 * solutions, complete, chance); members are positions, from 1.
 */
Datum
o2c_cash_subset(PG_FUNCTION_ARGS)
{
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(0);
	TupleDesc	desc;
	Datum	   *elems;
	bool	   *elemnulls;
	int			n;
	int64	   *amounts;
	CashSubset	result;
	Datum		members[SUBSET_MAX_SIZE];
	Datum		values[4];
	bool		nulls[4] = {false, false, false, false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	deconstruct_array(array, INT8OID, 8, true, TYPALIGN_DOUBLE, &elems, &elemnulls, &n);
	amounts = palloc(Max(n, 1) * sizeof(int64));
	for (int i = 0; i < n; i++)
	{
		if (elemnulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_O2C_INVALID_ARGUMENT),
					 errmsg("amounts must not contain nulls")));
		amounts[i] = DatumGetInt64(elems[i]);
		if (amounts[i] > INT64_C(1000000000000000) ||
			amounts[i] < -INT64_C(1000000000000000))
			ereport(ERROR,
					(errcode(ERRCODE_O2C_INVALID_AMOUNT),
					 errmsg("amount is too large for a subset search")));
	}
	CashSubsetSearch(amounts, n, PG_GETARG_INT64(1), PG_GETARG_INT32(2),
					 PG_GETARG_INT64(3), &result);
	for (int i = 0; i < result.size; i++)
		members[i] = Int32GetDatum(result.members[i] + 1);
	values[0] = PointerGetDatum(construct_array(members, result.size, INT4OID,
												4, true, TYPALIGN_INT));
	nulls[0] = result.solutions == 0;
	values[1] = Int32GetDatum(result.solutions);
	values[2] = BoolGetDatum(result.complete);
	values[3] = Float8GetDatum(result.chance);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
