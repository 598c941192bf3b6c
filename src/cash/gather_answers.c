/*
 * gather_answers.c
 *		Returning the candidates of lines: how the customer of each item stands
 *		to the payer, and his name where it is to be compared.
 *
 * gather_pairs.c finds the pairs; GatherFlush returns those found so far
 * whenever there is no room for more.
 */
#include "cash/gather.h"

#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/tuplesort.h"

#include "cash/weigh.h"

/* Letters and digits of a customer's number that a text may have by itself. */
#define CODE_TELLS	5

/* The columns of a candidate, as match_stream.c reads them. */
static const struct
{
	const char *name;
	Oid			type;
}			columns[] = {
	{"page", INT8OID}, {"line_id", INT8OID}, {"item_id", INT8OID}, {"customer_id", INT8OID}, {"number", TEXTOID},
	{"alt_number", TEXTOID}, {"customer_name", TEXTOID}, {"open", INT8OID}, {"amount", INT8OID}, {"discount", INT8OID},
	{"discount_date", INT4OID}, {"issued", INT4OID}, {"due", INT4OID}, {"reference_key", INT8OID}, {"tolerance", INT8OID},
	{"charges", INT8OID}, {"rel", INT4OID}, {"grp", INT4OID}, {"order_number", TEXTOID}
};

/* What rows of candidates are. */
TupleDesc
GatherDesc(void)
{
	TupleDesc	desc = CreateTemplateTupleDesc(lengthof(columns));

	for (int i = 0; i < lengthof(columns); i++)
		TupleDescInitEntry(desc, i + 1, columns[i].name, columns[i].type, -1, 0);
	return desc;
}

/* The customer of an item as a payer of the line, and how sure that is. */
static int
RelationOf(const Gathering *g, const GatherLine *line, const ItemFacts *facts, bool *group)
{
	const Payer *payer = GatherFindPayer(g, line->party, facts->customer_id);

	*group = payer != NULL && payer->group;
	return payer != NULL ? payer->rel : g->parties.at[line->party].best >= REL_ACCOUNT ? REL_FOREIGN : REL_UNKNOWN;
}

/* Names are compared where it is not clear who pays, and told where no item is. */
static bool
WantsName(const ItemFacts *facts, int rel)
{
	return facts->customer_id != 0 && (rel < REL_KNOWN || facts->item_id == 0);
}

static Named *
FindNamed(const Gathering *g, int64 customer_id)
{
	int32		i = *ChainOf(&g->named_chains, HashWords(customer_id, 4));

	while (i >= 0 && g->named.at[i].customer_id != customer_id)
		i = g->named.at[i].next;
	return i < 0 ? NULL : &g->named.at[i];
}

/* The key under which a text has a customer's number, written out, when it is long enough to tell. */
static int64
CodeKey(text *code)
{
	char		alnum[CASH_VALUE_MAX];
	int			n = CashAlnumOf(VARDATA_ANY(code), VARSIZE_ANY_EXHDR(code), alnum, CASH_VALUE_MAX);
	int			digits = 0;

	for (int i = 0; i < n; i++)
		digits += IsDigit(alnum[i]);
	if (n < CODE_TELLS || digits < CODE_TELLS - 1)
		return 0;
	return digits == n ? CashKeyDigits(alnum, n) : CashKeyAlnum(alnum, n);
}

/* A customer's name: id, name, number. */
bool
ReceiveName(TupleTableSlot *slot, DestReceiver *self)
{
	Gathering  *g = ((GatherReceiver *) self)->gather;
	Named	   *named;

	named = FindNamed(g, DatumGetInt64(slot->tts_values[0]));
	if (named != NULL && named->name == NULL && !slot->tts_isnull[1])
	{
		named->name = CopyText(slot->tts_values[1], &g->out);
		if (!slot->tts_isnull[2])
			named->code_key = CodeKey(DatumGetTextPP(slot->tts_values[2]));
	}
	return true;
}

/* Read the names that the pairs want. */
static void
NameCustomers(Gathering *g)
{
	int64		n = 0;
	bool		group;

	for (int i = g->from; i < g->upto; i++)
		for (Pair *pair = g->lines.at[i].pairs; pair != NULL; pair = pair->next)
			n += WantsName(pair->facts, RelationOf(g, &g->lines.at[i], pair->facts, &group));
	memset(&g->named, 0, sizeof(g->named));
	ChainsBegin(&g->named_chains, n, g->out.context);
	if (n == 0)
		return;
	for (int i = g->from; i < g->upto; i++)
		for (Pair *pair = g->lines.at[i].pairs; pair != NULL; pair = pair->next)
		{
			const ItemFacts *facts = pair->facts;

			if (WantsName(facts, RelationOf(g, &g->lines.at[i], facts, &group)) &&
				FindNamed(g, facts->customer_id) == NULL)
			{
				int32	   *head = ChainOf(&g->named_chains, HashWords(facts->customer_id, 4));

				*ARRAY_ADD(g->named, g->out.context) = (Named) {facts->customer_id, *head, 0, NULL};
				*head = g->named.n - 1;
			}
		}
	g->read_names(g);
}

/* Does a line name a customer by his number? */
static bool
NamesCode(const Gathering *g, const GatherLine *line, const Named *named)
{
	for (int64 k = line->first_key; named->code_key != 0 && k < line->first_key + line->nkeys; k++)
		if (g->keys.at[k] == named->code_key)
			return true;
	return false;
}

static int
ComparePairs(const void *a, const void *b)
{
	int64		x = (*(Pair *const *) a)->facts->item_id;
	int64		y = (*(Pair *const *) b)->facts->item_id;

	return x < y ? -1 : x > y;
}

static void
PutCandidate(Gathering *g, const GatherLine *line, const Pair *pair)
{
	const ItemFacts *facts = pair->facts;
	bool		group;
	int			rel = RelationOf(g, line, facts, &group);
	const Named *named = WantsName(facts, rel) ? FindNamed(g, facts->customer_id) : NULL;
	Datum		value[lengthof(columns)];
	bool		isnull[lengthof(columns)] = {false};

	/* nobody knows the payer, who gives the number of a customer and pays what that one owes */
	if (rel == REL_UNKNOWN && named != NULL && facts->open == line->amount && NamesCode(g, line, named))
		rel = REL_KNOWN;
	value[0] = Int64GetDatum(0);	/* the lines are not in the order of books yet */
	value[1] = Int64GetDatum(line->id);
	value[2] = Int64GetDatum(facts->item_id);
	value[3] = Int64GetDatum(facts->customer_id);
	isnull[3] = facts->customer_id == 0;
	value[4] = PointerGetDatum(facts->number);
	value[5] = PointerGetDatum(facts->alt_number);
	isnull[5] = facts->alt_number == NULL;
	value[6] = PointerGetDatum(named == NULL ? NULL : named->name);
	isnull[6] = named == NULL || named->name == NULL;
	value[7] = Int64GetDatum(facts->open);
	value[8] = Int64GetDatum(facts->amount);
	value[9] = Int64GetDatum(facts->discount);
	value[10] = Int32GetDatum(facts->discount_date);
	value[11] = Int32GetDatum(facts->issued);
	value[12] = Int32GetDatum(facts->due);
	value[13] = Int64GetDatum(facts->reference_key);
	value[14] = Int64GetDatum(facts->tolerance);
	value[15] = Int64GetDatum(facts->charges);
	value[16] = Int32GetDatum(rel);
	value[17] = Int32GetDatum(group);
	value[18] = PointerGetDatum(pair->order_number);
	isnull[18] = pair->order_number == NULL;
	if (g->sort == NULL)
		tuplestore_putvalues(g->result, g->desc, value, isnull);
	else
	{
		ExecClearTuple(g->slot);
		memcpy(g->slot->tts_values, value, sizeof(value));
		memcpy(g->slot->tts_isnull, isnull, sizeof(isnull));
		ExecStoreVirtualTuple(g->slot);
		tuplesort_puttupleslot(g->sort, g->slot);
	}
}

/* A place for candidates. */
Tuplestorestate *
CandidatesBegin(void)
{
	return tuplestore_begin_heap(false, false, CANDIDATES_SHARE);
}

/* Begin to sort candidates by line and item. */
static Tuplesortstate *
SortBegin(TupleDesc desc)
{
	AttrNumber	keys[2] = {2, 3};
	Oid			operators[2] = {Int8LessOperator, Int8LessOperator};
	Oid			collations[2] = {InvalidOid, InvalidOid};
	bool		nulls_first[2] = {false, false};

	return tuplesort_begin_heap(desc, 2, keys, operators, collations, nulls_first, SORT_SHARE, NULL, TUPLESORT_NONE);
}

/* Put them into a tuplestore. */
static void
SortEnd(Tuplesortstate *sort, TupleDesc desc, Tuplestorestate *result)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);

	tuplesort_performsort(sort);
	while (tuplesort_gettupleslot(sort, true, false, slot, NULL))
		tuplestore_puttupleslot(result, slot);
	ExecDropSingleTupleTableSlot(slot);
	tuplesort_end(sort);
}

/* All candidates in order, when the lines came in another one. */
Tuplestorestate *
GatherSort(Gathering *g)
{
	Tuplesortstate *sort = SortBegin(g->desc);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(g->desc, &TTSOpsMinimalTuple);
	Tuplestorestate *sorted;

	while (tuplestore_gettupleslot(g->result, true, false, slot))
		tuplesort_puttupleslot(sort, slot);
	ExecDropSingleTupleTableSlot(slot);
	tuplestore_end(g->result);
	sorted = CandidatesBegin();
	SortEnd(sort, g->desc, sorted);
	return sorted;
}

/*
 * Return what was found so far, in the order of lines and items.  What is
 * returned before the last has come is sorted with it.
 */
void
GatherFlush(Gathering *g, bool last)
{
	ARRAY(Pair *) sorted = {NULL, 0, 0};

	GatherMeasure(g);
	if (!last)
		g->returned += MemoryContextMemAllocated(g->out.context, false);
	if (!last && g->sort == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(MemoryContextGetParent(g->context));

		g->sort = SortBegin(g->desc);
		MemoryContextSwitchTo(old);
	}
	NameCustomers(g);
	for (int i = g->from; i < g->upto; i++)
	{
		GatherLine *line = &g->lines.at[i];

		CHECK_FOR_INTERRUPTS();
		if (line->pairs == NULL)
			continue;
		sorted.n = 0;
		for (Pair *pair = line->pairs; pair != NULL; pair = pair->next)
			*ARRAY_ADD(sorted, g->out.context) = pair;
		if (sorted.n > 1)
			qsort(sorted.at, sorted.n, sizeof(Pair *), ComparePairs);
		for (int64 p = 0; p < sorted.n; p++)
			PutCandidate(g, line, sorted.at[p]);
		line->pairs = NULL;
		line->stamped = NULL;
	}
	ArenaReset(&g->out);
	g->flushed = true;
	if (last && g->sort != NULL)
	{
		SortEnd(g->sort, g->desc, g->result);
		g->sort = NULL;
	}
}
