/*
 * gather_pairs.c
 *		Which line may pay which item: by what it cites, by its payer and
 *		amount, by its amount alone.
 *
 * The lines of a range stand in memory with hash tables over their keys,
 * payers and amounts; the tables of the database stream past them, each row
 * once, and what fits is noted.  All that is known of an item is decided when
 * it passes, so that candidates can be returned at any time.
 */
#include "cash/gather.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "cash/weigh.h"

/* What lines cite -------------------------------------------------------- */

static void
AddCitation(Gathering *g, int32 line, int64 item_id, text *order_number, bool cited)
{
	*ARRAY_ADD(g->citations, g->context) = (Citation) {
		.item_id = item_id, .line = line, .order_number = order_number, .cited = cited};
}

/* Each key under way takes a step; the first is done, and this one begins. */
static void
StepKeys(Gathering *g, ItemKey begun)
{
	ItemKey		waiting = g->under_way[0];
	ItemKey		ready = g->under_way[1];

	if (begun.head != NULL)
		__builtin_prefetch(begun.head);
	if (waiting.head != NULL && *waiting.head >= 0)
		__builtin_prefetch(&g->line_keys.at[*waiting.head]);
	if (ready.head != NULL)
		for (int32 i = *ready.head; i >= 0; i = g->line_keys.at[i].next)
			if (g->line_keys.at[i].key == ready.key)
				AddCitation(g, g->line_keys.at[i].line, ready.item_id, NULL, true);
	g->under_way[0] = begun;
	g->under_way[1] = waiting;
}

/* A key of an item. */
bool
TakeKey(Gathering *g, int64 key, int64 item_id)
{
	int64		before = g->citations.n;

	StepKeys(g, (ItemKey) {key, item_id, ChainOf(&g->key_chains, HashWords(key, 0))});
	return g->citations.n == before || !GatherTooMuch(g);
}

/* Columns: key, item. */
bool
ReceiveKey(TupleTableSlot *slot, DestReceiver *self)
{
	GatherReceiver *receiver = (GatherReceiver *) self;
	int64		key = DatumGetInt64(slot->tts_values[0]);
	int64		item_id = DatumGetInt64(slot->tts_values[1]);

	if (receiver->keep != NULL)
		KeepKey(receiver->keep, key, item_id);
	return TakeKey(receiver->gather, key, item_id);
}

/* All keys have begun. */
void
GatherKeysDone(Gathering *g)
{
	for (int i = 0; i < KEYS_UNDER_WAY; i++)
		StepKeys(g, (ItemKey) {0, 0, NULL});
}

static Pair *
AddPair(Gathering *g, GatherLine *line, const ItemFacts *facts, text *order_number, bool cited)
{
	Pair	   *pair = ArenaAlloc(&g->out, sizeof(Pair));

	pair->next = line->pairs;
	pair->facts = facts;
	pair->order_number = order_number;
	pair->cited = cited;
	line->pairs = pair;
	return pair;
}

/* What is told of a number without item. */
static ItemFacts *
NumberOnly(Gathering *g, int64 customer_id, TupleTableSlot *slot, int column)
{
	ItemFacts  *facts = ArenaAlloc(&g->out, sizeof(ItemFacts));

	memset(facts, 0, sizeof(ItemFacts));
	facts->customer_id = customer_id;
	slot_getallattrs(slot);
	facts->number = CopyText(slot->tts_values[column], &g->out);
	return facts;
}

/* A number that was settled elsewhere, a candidate without item. */
bool
TakeSettled(Gathering *g, const GatherRow *row, TupleTableSlot *slot)
{
	ItemFacts  *facts = NULL;

	for (int32 i = *ChainOf(&g->key_chains, HashWords(row->id, 0)); i >= 0; i = g->line_keys.at[i].next)
		if (g->line_keys.at[i].key == row->id)
		{
			if (facts == NULL)
				facts = NumberOnly(g, row->customer_id, slot, 2);
			AddPair(g, &g->lines.at[g->line_keys.at[i].line], facts, NULL, false);
		}
	if (facts != NULL)
		GatherMakeRoom(g);
	return true;
}

/* Columns: key, customer, number. */
bool
ReceiveSettled(TupleTableSlot *slot, DestReceiver *self)
{
	GatherReceiver *receiver = (GatherReceiver *) self;
	GatherRow	row = {.id = DatumGetInt64(slot->tts_values[0]),
	.customer_id = slot->tts_isnull[1] ? 0 : DatumGetInt64(slot->tts_values[1])};

	if (receiver->keep != NULL)
		KeepRow(receiver->keep, &row, slot);
	return TakeSettled(receiver->gather, &row, slot);
}

/* A pair that is known already: line, item, number of the order. */
bool
ReceiveCited(TupleTableSlot *slot, DestReceiver *self)
{
	Gathering  *g = ((GatherReceiver *) self)->gather;
	int			low = g->from;
	int			high = g->upto;
	int64		id;

	id = DatumGetInt64(slot->tts_values[0]);
	while (low < high)
	{
		int			mid = low + (high - low) / 2;

		if (g->lines.at[mid].id < id)
			low = mid + 1;
		else
			high = mid;
	}
	if (low < g->upto && g->lines.at[low].id == id)
	{
		text	   *number = slot->tts_isnull[2] ? NULL : CopyText(slot->tts_values[2], &g->kept);

		AddCitation(g, low, DatumGetInt64(slot->tts_values[1]), number, false);
	}
	return !GatherTooMuch(g);
}

void
GatherCitationsDone(Gathering *g)
{
	ChainsBegin(&g->citation_chains, g->citations.n, g->context);
	for (int32 i = 0; i < g->citations.n; i++)
	{
		int32	   *head = ChainOf(&g->citation_chains, HashSeries(g->citations.at[i].item_id));

		g->citations.at[i].next = *head;
		*head = i;
	}
}

/* Items ------------------------------------------------------------------ */

/* Note what a line is short of an item that it cites, or of all of a customer. */
static void
AddGap(Gathering *g, int32 at, const ItemFacts *facts)
{
	const GatherLine *line = &g->lines.at[at];

	if (!g->want_gaps || facts->open <= 0 || facts->customer_id == 0)
		return;
	if (line->amount < facts->open)
		*ARRAY_ADD(g->gaps, g->context) = (Gap) {facts->customer_id, line->amount - facts->open, at, 1};
	*ARRAY_ADD(g->sums, g->context) = (Gap) {facts->customer_id, facts->open, at, 1};
}

/*
 * An item in another currency is nothing that the line pays; of a stranger to a
 * known payer its number is one that is known, though, and a candidate
 * without item.
 */
static void
PairElsewhere(Gathering *g, const GatherRow *row, TupleTableSlot *slot, GatherLine *line)
{
	if (g->parties.at[line->party].best < REL_ACCOUNT || GatherFindPayer(g, line->party, row->customer_id) != NULL)
		return;
	AddPair(g, line, NumberOnly(g, row->customer_id, slot, 9), NULL, false);
}

/* The lines that cite an item are stamped, and paired with it if so wished. */
static ItemFacts *
PairCited(Gathering *g, const GatherRow *row, TupleTableSlot *slot, bool pair)
{
	ItemFacts  *facts = NULL;

	g->stamp++;
	for (int32 i = *ChainOf(&g->citation_chains, HashSeries(row->id)); i >= 0; i = g->citations.at[i].next)
	{
		Citation   *c = &g->citations.at[i];
		GatherLine *line = &g->lines.at[c->line];

		if (c->item_id != row->id)
			continue;
		if (line->currency != row->currency)
		{
			if (pair && c->cited)
				PairElsewhere(g, row, slot, line);
			continue;
		}
		if (line->stamp != g->stamp)
		{
			line->stamp = g->stamp;
			line->stamped = NULL;
			if (pair)
			{
				if (facts == NULL)
					facts = DescribeItem(slot, g->tolerances, &g->out);
				line->stamped = AddPair(g, line, facts, NULL, false);
			}
		}
		if (line->stamped == NULL)
			continue;
		if (c->order_number != NULL)
			line->stamped->order_number = c->order_number;
		if (c->cited && !line->stamped->cited)
		{
			line->stamped->cited = true;
			AddGap(g, c->line, facts);
		}
	}
	return facts;
}

/* Pair an item with the lines of a party that have its amount. */
static ItemFacts *
PairLines(Gathering *g, TupleTableSlot *slot, int32 own, ItemFacts *facts)
{
	for (int32 i = own < 0 ? -1 : g->party_amounts.at[own].line; i >= 0; i = g->lines.at[i].next_same)
		if (g->lines.at[i].stamp != g->stamp)
		{
			if (facts == NULL)
				facts = DescribeItem(slot, g->tolerances, &g->out);
			g->lines.at[i].stamp = g->stamp;
			g->lines.at[i].stamped = AddPair(g, &g->lines.at[i], facts, NULL, false);
		}
	return facts;
}

/* Pair an item with the lines of this amount whose payer may be its customer. */
static ItemFacts *
PairPayers(Gathering *g, TupleTableSlot *slot, int32 at, int64 customer_id, ItemFacts *facts)
{
	const Amount *amount = &g->amounts.at[at];
	const PayerCustomer *customer = GatherFindCustomer(g, customer_id);

	/* many may pay for one customer, and many may pay one amount */
	if (customer == NULL)
		return facts;
	if (amount->n <= customer->n)
	{
		for (int32 i = amount->first; i >= 0; i = g->party_amounts.at[i].next_of_amount)
			if (GatherFindPayer(g, g->party_amounts.at[i].party, customer_id) != NULL)
				facts = PairLines(g, slot, i, facts);
	}
	else
		for (int32 i = customer->first; i >= 0; i = g->payers.at[i].next_of_customer)
			facts = PairLines(g, slot, GatherFindPartyAmount(g, g->payers.at[i].party, at), facts);
	return facts;
}

/* Nobody knows the payer: keep the item until it is known how many have the amount. */
static void
KeepFound(Gathering *g, TupleTableSlot *slot, Amount *amount)
{
	if (amount->nfound < UNKNOWN_ITEMS_MAX)
	{
		Found	   *found = ArenaAlloc(&g->kept, sizeof(Found));

		*found = (Found) {.facts = DescribeItem(slot, g->tolerances, &g->kept)};
		if (amount->nfound == 0)
			amount->found = found;
		else
			amount->last->next = found;
		amount->last = found;
	}
	if (amount->nfound <= UNKNOWN_ITEMS_MAX)
		amount->nfound++;
}

/* An item, and what it is to be compared by. */
bool
TakeItem(Gathering *g, const GatherRow *row, TupleTableSlot *slot)
{
	ItemFacts  *facts;
	bool		kept = false;

	for (int i = 0; i < row->namounts; i++)
		__builtin_prefetch(ChainOf(&g->amount_chains, HashWords(row->amounts[i], row->currency)));
	facts = PairCited(g, row, slot, (row->why & WHY_CITED) != 0);
	for (int i = 0; i < row->namounts; i++)
	{
		int32		at = GatherFindAmount(g, row->currency, row->amounts[i]);

		if (at < 0)
			continue;
		if ((row->why & WHY_PAYER) && row->customer_id != 0)
			facts = PairPayers(g, slot, at, row->customer_id, facts);
		if ((row->why & WHY_AMOUNT) && i == 0 && g->amounts.at[at].unknown >= 0)
		{
			KeepFound(g, slot, &g->amounts.at[at]);
			kept = true;
		}
	}
	if (facts != NULL)
		GatherMakeRoom(g);
	return (facts == NULL && !kept) || !GatherTooMuch(g);
}

/* The columns of an item, and what it is to be compared by. */
bool
ReceiveItem(TupleTableSlot *slot, DestReceiver *self)
{
	GatherReceiver *receiver = (GatherReceiver *) self;
	GatherRow	row = {
		.id = DatumGetInt64(slot->tts_values[0]),
		.customer_id = slot->tts_isnull[1] ? 0 : DatumGetInt64(slot->tts_values[1]),
		.currency = CurrencyWord(slot->tts_values[2]),
		.why = DatumGetInt32(slot->tts_values[12])
	};

	if (row.why & (WHY_PAYER | WHY_AMOUNT))
	{
		int64		open = MinorAmount(slot->tts_values[3], row.currency);

		if (open != 0)
			row.amounts[row.namounts++] = open;
		if (open != 0 && !slot->tts_isnull[5])
		{
			int64		discount = MinorAmount(slot->tts_values[5], row.currency);

			if (discount > 0)
				row.amounts[row.namounts++] = open - discount;
		}
	}
	if (receiver->keep != NULL)
		KeepRow(receiver->keep, &row, slot);
	return TakeItem(receiver->gather, &row, slot);
}

/* Lines whose payer is not known: anybody's items of their amount, when they are few. */
void
GatherUnknown(Gathering *g)
{
	for (int32 a = 0; a < g->amounts.n; a++)
	{
		const Amount *amount = &g->amounts.at[a];

		if (amount->nfound > UNKNOWN_ITEMS_MAX)
			continue;
		for (const Found *found = amount->found; found != NULL; found = found->next)
		{
			const ItemFacts *facts = found->facts;
			GatherRow	row = {.id = facts->item_id, .currency = amount->currency};

			CHECK_FOR_INTERRUPTS();
			(void) PairCited(g, &row, NULL, false);
			for (int32 l = amount->unknown; l >= 0; l = g->lines.at[l].next_unknown)
				if (g->lines.at[l].stamp != g->stamp && GatherFindPayer(g, g->lines.at[l].party, facts->customer_id) == NULL)
					AddPair(g, &g->lines.at[l], facts, NULL, false);
			GatherMakeRoom(g);
		}
	}
}

/* Credit notes ----------------------------------------------------------- */

static int
CompareGaps(const void *a, const void *b)
{
	const Gap  *x = a;
	const Gap  *y = b;

	if (x->line != y->line)
		return x->line < y->line ? -1 : 1;
	return x->customer_id < y->customer_id ? -1 : x->customer_id > y->customer_id;
}

/* What lines are short of all that they cite of a customer; false when nobody is short. */
bool
GatherGapsDone(Gathering *g)
{
	if (g->sums.n > 0)
		qsort(g->sums.at, g->sums.n, sizeof(Gap), CompareGaps);
	for (int64 i = 0; i < g->sums.n;)
	{
		const Gap  *first = &g->sums.at[i];
		int64		line = g->lines.at[first->line].amount;
		int128		sum = 0;
		int			n = 0;

		for (; i < g->sums.n && CompareGaps(first, &g->sums.at[i]) == 0; i++, n++)
			sum += g->sums.at[i].amount;
		if (n > 1 && line < sum && sum - line <= PG_INT64_MAX)
			*ARRAY_ADD(g->gaps, g->context) = (Gap) {first->customer_id, (int64) (line - sum), first->line, n};
	}
	ChainsBegin(&g->gap_chains, g->gaps.n, g->context);
	for (int32 i = 0; i < g->gaps.n; i++)
	{
		int32	   *head = ChainOf(&g->gap_chains, HashWords(g->gaps.at[i].customer_id, g->gaps.at[i].amount));

		g->gaps.at[i].next = *head;
		*head = i;
	}
	return g->gaps.n > 0;
}

/* A credit note: does it make up what a line is short? */
bool
TakeCredit(Gathering *g, const GatherRow *row, TupleTableSlot *slot)
{
	ItemFacts  *facts = NULL;
	int64		open = row->amounts[0];

	for (int32 i = *ChainOf(&g->gap_chains, HashWords(row->customer_id, open)); i >= 0; i = g->gaps.at[i].next)
	{
		const Gap  *gap = &g->gaps.at[i];
		GatherLine *line = &g->lines.at[gap->line];

		if (gap->customer_id != row->customer_id || gap->amount != open || line->currency != row->currency)
			continue;
		if (facts == NULL)
		{
			(void) PairCited(g, row, slot, false);
			facts = DescribeItem(slot, g->tolerances, &g->out);
		}
		if (line->stamp != g->stamp)
		{
			line->stamp = g->stamp;
			AddPair(g, line, facts, NULL, false);
		}
	}
	if (facts != NULL)
		GatherMakeRoom(g);
	return true;
}

/* The columns of an item. */
bool
ReceiveCredit(TupleTableSlot *slot, DestReceiver *self)
{
	GatherReceiver *receiver = (GatherReceiver *) self;
	GatherRow	row = {.id = DatumGetInt64(slot->tts_values[0]), .currency = CurrencyWord(slot->tts_values[2]), .namounts = 1};

	if (slot->tts_isnull[1])
		return true;
	row.customer_id = DatumGetInt64(slot->tts_values[1]);
	row.amounts[0] = MinorAmount(slot->tts_values[3], row.currency);
	if (receiver->keep != NULL)
		KeepRow(receiver->keep, &row, slot);
	return TakeCredit(receiver->gather, &row, slot);
}
