/*
 * match_decide.c
 *		Across all lines no item is claimed twice.
 *
 * Of sure answers that together claim more of an item than is open, the better
 * evidence comes first, then the earlier day.  Memory is 48 bytes for each
 * item that an undecided line surely pays, and in the rounds after the first
 * 24 for each that is taken.
 */
#include "cash/match.h"

#include "common/int.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

/* What is taken of one item. */
typedef struct TakenItem
{
	int64		item_id;
	int64		taken;
	int			round;			/* the last in which something was taken */
} TakenItem;

struct Taken
{
	HTAB	   *items;
	int			round;			/* the last that took anything of any item */
};

/* One item that a line surely pays. */
typedef struct Claim
{
	int64		item_id;
	int64		line_id;
	int64		total;			/* cash and settlement */
	int64		left;			/* open when it was weighed */
	DateADT		date;
	int			tier;
	int			line;			/* position among the lines */
	int			round;			/* in which the line was weighed */
} Claim;

struct Claims
{
	Claim	   *claim;
	int			n;
	int			room;
};

Taken *
NewTaken(void)
{
	Taken	   *taken = palloc0(sizeof(Taken));
	HASHCTL		ctl;

	memset(&ctl, 0, sizeof(ctl));
	ctl.keysize = sizeof(int64);
	ctl.entrysize = sizeof(TakenItem);
	ctl.hcxt = CurrentMemoryContext;
	taken->items = hash_create("order2cash taken items", 256, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	return taken;
}

/* What is taken of an item; changed: in the last round that took anything. */
int64
TakenOf(Taken *taken, int64 item_id, bool *changed)
{
	TakenItem  *item;

	*changed = false;
	if (taken == NULL || taken->round == 0)
		return 0;
	item = hash_search(taken->items, &item_id, HASH_FIND, NULL);
	if (item == NULL)
		return 0;
	*changed = item->round == taken->round;
	return item->taken;
}

static void
Take(Taken *taken, int64 item_id, int64 amount)
{
	bool		found;
	TakenItem  *item = hash_search(taken->items, &item_id, HASH_ENTER, &found);

	if (!found)
		item->taken = 0;
	item->taken += amount;
	item->round = taken->round;
}

Claims *
NewClaims(void)
{
	Claims	   *claims = palloc(sizeof(Claims));

	claims->n = 0;
	claims->room = 256;
	claims->claim = palloc(claims->room * sizeof(Claim));
	return claims;
}

/* Claim what a sure answer pays. */
void
AddClaims(Claims *claims, const Line *line, int position, int round, const Answer *a)
{
	while (claims->n + a->nitems > claims->room)
	{
		claims->room *= 2;
		claims->claim = repalloc_huge(claims->claim, claims->room * sizeof(Claim));
	}
	for (int i = 0; i < a->nitems; i++)
	{
		Claim	   *c = &claims->claim[claims->n++];

		c->item_id = a->item[i];
		c->line_id = line->id;
		c->total = a->cash[i] + a->settle[i];
		c->left = a->left[i];
		c->date = line->date;
		c->tier = a->tier;
		c->line = position;
		c->round = round;
	}
}

/* By item; the better evidence first, then the earlier day. */
static int
CompareClaims(const void *a, const void *b)
{
	const Claim *x = a;
	const Claim *y = b;

	if (x->item_id != y->item_id)
		return x->item_id < y->item_id ? -1 : 1;
	if (x->tier != y->tier)
		return x->tier < y->tier ? -1 : 1;
	if (x->date != y->date)
		return x->date < y->date ? -1 : 1;
	return x->line_id < y->line_id ? -1 : x->line_id > y->line_id ? 1 : 0;
}

/* Refuse the claims on one item that go beyond what it has left, where the claims together do. */
static void
LineUp(const Claim *claim, int n, LineState *lines)
{
	int64		claimed = 0;
	int64		least = llabs(claim[0].left);

	for (int i = 0; i < n; i++)
	{
		least = Min(least, llabs(claim[i].left));
		if (pg_add_s64_overflow(claimed, llabs(claim[i].total), &claimed))
			claimed = PG_INT64_MAX;
	}
	if (claimed <= least)
		return;
	claimed = 0;
	for (int i = 0; i < n; i++)
	{
		if (pg_add_s64_overflow(claimed, llabs(claim[i].total), &claimed))
			claimed = PG_INT64_MAX;
		if (claimed > llabs(claim[i].left))
			lines[claim[i].line].refused = true;
	}
}

/*
 * Decide the lines whose claims can all be met; what they take counts as
 * taken in this round, if that is counted.  Returns how many lines are decided.
 */
int
DecideClaims(Claims *claims, LineState *lines, int round, Taken *taken)
{
	int			n = 0;
	int			decided = 0;

	/* what a line claimed before it was weighed again does not count */
	for (int i = 0; i < claims->n; i++)
	{
		LineState  *line = &lines[claims->claim[i].line];

		if (line->decided || line->round != claims->claim[i].round)
			continue;
		line->refused = false;
		claims->claim[n++] = claims->claim[i];
	}
	claims->n = n;
	qsort(claims->claim, n, sizeof(Claim), CompareClaims);
	for (int i = 0, next; i < n; i = next)
	{
		for (next = i + 1; next < n && claims->claim[next].item_id == claims->claim[i].item_id; next++)
			;
		LineUp(&claims->claim[i], next - i, lines);
	}
	for (int i = 0; i < n; i++)
	{
		LineState  *line = &lines[claims->claim[i].line];

		if (line->refused)
			continue;
		if (!line->decided)
			decided++;
		line->decided = true;
		if (taken != NULL)
		{
			taken->round = round;
			Take(taken, claims->claim[i].item_id, claims->claim[i].total);
		}
	}
	return decided;
}

/* What decided lines take of each item, after DecideClaims: item, amount. */
void
PutTaken(const Claims *claims, const LineState *lines, Tuplestorestate *rows, TupleDesc desc)
{
	for (int i = 0, next; i < claims->n; i = next)
	{
		int64		item_id = claims->claim[i].item_id;
		int64		taken = 0;

		for (next = i; next < claims->n && claims->claim[next].item_id == item_id; next++)
			if (lines[claims->claim[next].line].decided)
				taken += claims->claim[next].total;
		if (taken != 0)
		{
			Datum		values[2] = {Int64GetDatum(item_id), Int64GetDatum(taken)};
			bool		nulls[2] = {false, false};

			tuplestore_putvalues(rows, desc, values, nulls);
		}
	}
}
