/*
 * gather_lines.c
 *		The lines of a range, under what items find them by.
 *
 * They stand in memory with hash tables over their keys, their payers and the
 * customers that these may be, and their amounts; gather_pairs.c looks there
 * for what streams past.
 */
#include "cash/gather.h"

#include "utils/memutils.h"

#include "cash/weigh.h"

/* What lines and tables over them take, without candidates. */
static Size
MemoryHeld(const Gathering *g)
{
	return MemoryContextMemAllocated(g->lines_context, false) + MemoryContextMemAllocated(g->keys_context, false) +
		MemoryContextMemAllocated(g->context, false);
}

/*
 * Has the range taken its share of the memory, which leaves an eighth for
 * candidates?  Once something was returned it must be finished.
 */
bool
GatherTooMuch(Gathering *g)
{
	if (!g->overflow && !g->flushed && g->upto - g->from > 1 && MemoryHeld(g) > g->room - g->room / 8)
		g->overflow = true;
	return g->overflow;
}

/* Note what the range takes now. */
void
GatherMeasure(Gathering *g)
{
	g->most = Max(g->most, MemoryHeld(g) + MemoryContextMemAllocated(g->out.context, false));
}

/* Return candidates when they leave no room for more. */
void
GatherMakeRoom(Gathering *g)
{
	Size		out = MemoryContextMemAllocated(g->out.context, false);

	if (out > g->room / 8 && MemoryHeld(g) + out > g->room)
		GatherFlush(g, false);
}

/* Places of the parties and amounts -------------------------------------- */

/* Place of a party, -1 for none. */
static int32
FindParty(const Gathering *g, int64 id)
{
	int32		i = *ChainOf(&g->party_chains, HashWords(id, 1));

	while (i >= 0 && g->parties.at[i].id != id)
		i = g->parties.at[i].next;
	return i;
}

/* Place of an amount that lines have, -1 for none. */
int32
GatherFindAmount(const Gathering *g, uint32 currency, int64 amount)
{
	int32		i = *ChainOf(&g->amount_chains, HashWords(amount, currency));

	while (i >= 0 && (g->amounts.at[i].amount != amount || g->amounts.at[i].currency != currency))
		i = g->amounts.at[i].next;
	return i;
}

/* Place of an amount that a party pays, -1 for none. */
int32
GatherFindPartyAmount(const Gathering *g, int32 party, int32 amount)
{
	int32		i = *ChainOf(&g->party_amount_chains, HashWords(party, amount));

	while (i >= 0 && (g->party_amounts.at[i].party != party || g->party_amounts.at[i].amount != amount))
		i = g->party_amounts.at[i].next;
	return i;
}

/* A party as a customer that it may be, or NULL. */
const Payer *
GatherFindPayer(const Gathering *g, int32 party, int64 customer_id)
{
	int32		i = *ChainOf(&g->payer_chains, HashWords(customer_id, party));

	while (i >= 0 && (g->payers.at[i].party != party || g->payers.at[i].customer_id != customer_id))
		i = g->payers.at[i].next;
	return i < 0 ? NULL : &g->payers.at[i];
}

/* A customer that some party may be, or NULL. */
const PayerCustomer *
GatherFindCustomer(const Gathering *g, int64 customer_id)
{
	int32		i = *ChainOf(&g->customer_chains, HashWords(customer_id, 2));

	while (i >= 0 && g->customers.at[i].customer_id != customer_id)
		i = g->customers.at[i].next;
	return i < 0 ? NULL : &g->customers.at[i];
}

/* Chain a line to those of its party with its amount, and of its amount. */
static void
AddLineToAmounts(Gathering *g, int32 at)
{
	GatherLine *line = &g->lines.at[at];
	int32		amount = GatherFindAmount(g, line->currency, line->amount);
	int32		own;
	int32	   *head;

	if (amount < 0)
	{
		Amount	   *a = ARRAY_ADD(g->amounts, g->context);

		amount = g->amounts.n - 1;
		head = ChainOf(&g->amount_chains, HashWords(line->amount, line->currency));
		*a = (Amount) {.amount = line->amount, .currency = line->currency, .next = *head, .first = -1, .unknown = -1};
		*head = amount;
	}
	own = GatherFindPartyAmount(g, line->party, amount);
	if (own < 0)
	{
		PartyAmount *a = ARRAY_ADD(g->party_amounts, g->context);

		own = g->party_amounts.n - 1;
		head = ChainOf(&g->party_amount_chains, HashWords(line->party, amount));
		*a = (PartyAmount) {.party = line->party, .amount = amount, .line = -1, .next = *head,
			.next_of_amount = g->amounts.at[amount].first};
		*head = own;
		g->amounts.at[amount].first = own;
		g->amounts.at[amount].n++;
	}
	line->next_same = g->party_amounts.at[own].line;
	g->party_amounts.at[own].line = at;
	if (g->parties.at[line->party].best < REL_ACCOUNT)
	{
		line->next_unknown = g->amounts.at[amount].unknown;
		g->amounts.at[amount].unknown = at;
	}
}

/* Hash the lines of the range; false when they are too many. */
bool
GatherPrepare(Gathering *g)
{
	int			n = g->upto - g->from;
	GatherLine *last = &g->lines.at[g->upto - 1];

	g->line_keys.room = last->first_key + last->nkeys - g->lines.at[g->from].first_key;
	g->line_keys.at = MemoryContextAllocHuge(g->keys_context, Max(g->line_keys.room, 1) * sizeof(LineKey));
	ChainsBegin(&g->key_chains, g->line_keys.room, g->keys_context);
	ChainsBegin(&g->party_chains, n, g->context);
	for (int i = g->from; i < g->upto; i++)
	{
		GatherLine *line = &g->lines.at[i];

		line->pairs = NULL;
		line->stamp = 0;
		for (int64 k = line->first_key; k < line->first_key + line->nkeys; k++)
		{
			int32	   *head = ChainOf(&g->key_chains, HashWords(g->keys.at[k], 0));

			g->line_keys.at[g->line_keys.n] = (LineKey) {g->keys.at[k], i, *head};
			*head = g->line_keys.n++;
		}
		line->party = FindParty(g, line->party_id);
		if (line->party < 0)
		{
			int32	   *head = ChainOf(&g->party_chains, HashWords(line->party_id, 1));
			Party	   *party = ARRAY_ADD(g->parties, g->context);

			line->party = g->parties.n - 1;
			*party = (Party) {line->party_id, REL_UNKNOWN, *head};
			*head = line->party;
		}
	}
	g->stamp = 0;
	return !GatherTooMuch(g);
}

/* A customer that may be a party: party, customer, how sure, by the group. */
bool
ReceivePayer(TupleTableSlot *slot, DestReceiver *self)
{
	Gathering  *g = ((GatherReceiver *) self)->gather;
	int32		party;
	Payer	   *payer;

	party = FindParty(g, DatumGetInt64(slot->tts_values[0]));
	if (party >= 0)
	{
		payer = ARRAY_ADD(g->payers, g->context);
		*payer = (Payer) {
			.customer_id = DatumGetInt64(slot->tts_values[1]), .party = party,
			.rel = DatumGetInt32(slot->tts_values[2]), .group = DatumGetBool(slot->tts_values[3])};
		if (!payer->group)
			g->parties.at[party].best = Max(g->parties.at[party].best, payer->rel);
	}
	return !GatherTooMuch(g);
}

/* Who each party may be is known: chain the payers, and the lines by what they pay. */
void
GatherPayersDone(Gathering *g)
{
	ChainsBegin(&g->payer_chains, g->payers.n, g->context);
	ChainsBegin(&g->customer_chains, g->payers.n, g->context);
	for (int32 i = 0; i < g->payers.n; i++)
	{
		Payer	   *payer = &g->payers.at[i];
		int32	   *head = ChainOf(&g->payer_chains, HashWords(payer->customer_id, payer->party));
		PayerCustomer *customer = (PayerCustomer *) GatherFindCustomer(g, payer->customer_id);

		payer->next = *head;
		*head = i;
		if (customer == NULL)
		{
			head = ChainOf(&g->customer_chains, HashWords(payer->customer_id, 2));
			customer = ARRAY_ADD(g->customers, g->context);
			*customer = (PayerCustomer) {payer->customer_id, -1, 0, *head};
			*head = g->customers.n - 1;
		}
		payer->next_of_customer = customer->first;
		customer->first = i;
		customer->n++;
	}
	ChainsBegin(&g->amount_chains, g->upto - g->from, g->context);
	ChainsBegin(&g->party_amount_chains, g->upto - g->from, g->context);
	for (int i = g->from; i < g->upto; i++)
		AddLineToAmounts(g, i);
}
