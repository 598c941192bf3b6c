/*
 * match_decide.c
 *		Across all lines no item is claimed twice.
 *
 * Of sure answers that together claim more of an item than is open, the better
 * evidence comes first, then the earlier day.  Claims are sorted and go to
 * temporary files beyond their share of work_mem.  Memory is that, the claims
 * on one item, and in the rounds after the first 24 bytes for each item that
 * these take.
 */
#include "cash/match.h"

#include "common/int.h"
#include "miscadmin.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "records.h"

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
	Records    *records;
	Claim	   *group;			/* on one item */
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

/* A list of claims in the order in which they are lined up. */
static Records *
ListClaims(void)
{
	return RecordsBegin(sizeof(Claim), CompareClaims, work_mem / 8 * INT64CONST(1024));
}

Claims *
NewClaims(void)
{
	Claims	   *claims = palloc(sizeof(Claims));

	claims->records = ListClaims();
	claims->room = 64;
	claims->group = palloc(claims->room * sizeof(Claim));
	return claims;
}

void
EndClaims(Claims *claims)
{
	RecordsEnd(claims->records);
	pfree(claims->group);
	pfree(claims);
}

/* Claim what a sure answer pays. */
void
AddClaims(Claims *claims, const Line *line, int position, int round, const Answer *a)
{
	for (int i = 0; i < a->nitems; i++)
		*(Claim *) RecordsAdd(claims->records) = (Claim) {
			.item_id = a->item[i], .line_id = line->id, .total = a->cash[i] + a->settle[i], .left = a->left[i],
			.date = line->date, .tier = a->plain ? 1 : a->tier, .line = position, .round = round};
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

/* What a line claimed before it was weighed again does not count. */
static bool
ClaimCounts(const Claim *claim, const LineState *lines)
{
	return lines[claim->line].round == claim->round;
}

/* Refuse what items cannot bear. */
static void
LineUpAll(Claims *claims, LineState *lines)
{
	const Claim *c;
	int			n = 0;

	RecordsRewind(claims->records);
	while ((c = RecordsNext(claims->records)) != NULL)
	{
		if (!ClaimCounts(c, lines))
			continue;
		if (n > 0 && claims->group[0].item_id != c->item_id)
		{
			LineUp(claims->group, n, lines);
			n = 0;
		}
		if (n == claims->room)
		{
			claims->room *= 2;
			claims->group = repalloc_huge(claims->group, claims->room * sizeof(Claim));
		}
		claims->group[n++] = *c;
	}
	if (n > 0)
		LineUp(claims->group, n, lines);
}

/*
 * Decide the lines whose claims can all be met; what they take counts as
 * taken in this round, if that is counted, and only what others claim is
 * kept then.  Returns how many lines are decided.
 */
int
DecideClaims(Claims *claims, LineState *lines, int round, Taken *taken)
{
	Records    *others = taken == NULL ? NULL : ListClaims();
	const Claim *c;
	int			decided = 0;

	RecordsRewind(claims->records);
	while ((c = RecordsNext(claims->records)) != NULL)
		if (ClaimCounts(c, lines))
			lines[c->line].refused = false;
	LineUpAll(claims, lines);
	RecordsRewind(claims->records);
	while ((c = RecordsNext(claims->records)) != NULL)
	{
		LineState  *line = &lines[c->line];

		if (!ClaimCounts(c, lines))
			continue;
		if (line->refused)
		{
			if (others != NULL)
				*(Claim *) RecordsAdd(others) = *c;
			continue;
		}
		if (!line->decided)
			decided++;
		line->decided = true;
		if (taken != NULL)
		{
			taken->round = round;
			Take(taken, c->item_id, c->total);
		}
	}
	if (others != NULL)
	{
		RecordsEnd(claims->records);
		claims->records = others;
	}
	return decided;
}

/* What decided lines take of each item, after DecideClaims without "taken": item, amount. */
void
PutTaken(const Claims *claims, const LineState *lines, Tuplestorestate *rows, TupleDesc desc)
{
	const Claim *c;
	int64		item_id = 0;
	int64		taken = 0;

	RecordsRewind(claims->records);
	do
	{
		c = RecordsNext(claims->records);
		if (taken != 0 && (c == NULL || c->item_id != item_id))
		{
			Datum		values[2] = {Int64GetDatum(item_id), Int64GetDatum(taken)};
			bool		nulls[2] = {false, false};

			tuplestore_putvalues(rows, desc, values, nulls);
		}
		if (c == NULL)
			break;
		if (c->item_id != item_id)
			taken = 0;
		item_id = c->item_id;
		if (lines[c->line].decided)
			taken += c->total;
	} while (true);
}
