/*
 * item_facts.c
 *		Open items as the weigher takes them: amounts in minor units of their
 *		currency, and what difference each would bear.
 *
 * Of a whole table of items few are candidates; only these are described.
 */
#include "cash/gather.h"

#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/numeric.h"

#include "receivables/aging.h"
#include "types/types.h"

/* Columns of the streams of items. */
enum
{
	ITEM_ID,
	ITEM_CUSTOMER,
	ITEM_CURRENCY,
	ITEM_OPEN,
	ITEM_AMOUNT,
	ITEM_DISCOUNT,
	ITEM_DISCOUNT_DATE,
	ITEM_DOCUMENT_DATE,
	ITEM_DUE_DATE,
	ITEM_NUMBER,
	ITEM_ALT_NUMBER,
	ITEM_REFERENCE
};

#define PERCENT_UNITS	INT64CONST(1000000) /* 100 % in 10^-4 */

/* Bytes that an arena takes at once: more than the smallest that a context has from the system in a piece of its own. */
#define ARENA_BLOCK	16384

/* Room in a new block of an arena. */
void *
ArenaMore(Arena *arena, Size size)
{
	Size		block = Max(size, ARENA_BLOCK);
	char	   *at = MemoryContextAlloc(arena->context, block);

	arena->at = at + size;
	arena->left = block - size;
	return at;
}

/* Forget all that is in an arena's context. */
void
ArenaReset(Arena *arena)
{
	MemoryContextReset(arena->context);
	arena->at = NULL;
	arena->left = 0;
}

/* Heads for a number of nodes. */
void
ChainsBegin(Chains *chains, int64 nodes, MemoryContext context)
{
	uint32		size = 64;

	while (size < nodes && size < (UINT32_C(1) << 30))
		size *= 2;
	chains->mask = size - 1;
	chains->head = MemoryContextAllocHuge(context, size * sizeof(int32));
	memset(chains->head, 0xFF, size * sizeof(int32));	/* -1 */
}

/* The letters of a currency. */
uint32
CurrencyWord(Datum currency)
{
	text	   *t = DatumGetTextPP(currency);
	const unsigned char *code = (const unsigned char *) VARDATA_ANY(t);

	if (VARSIZE_ANY_EXHDR(t) != 3)
		elog(ERROR, "unexpected currency code");
	return code[0] | code[1] << 8 | code[2] << 16;
}

/* Decimals of a currency that an item may have. */
static int
DecimalsOf(uint32 currency)
{
	char		code[3] = {currency & 0xFF, (currency >> 8) & 0xFF, (currency >> 16) & 0xFF};
	int			digits = CurrencyMinorUnit(code, 3);

	if (digits < 0 || digits > AGING_UNIT_SCALE)
		elog(ERROR, "currency %.3s has no minor unit", code);
	return digits;
}

/* An amount in minor units. */
int64
MinorAmount(Datum amount, uint32 currency)
{
	return CashMinorAmount(PG_DETOAST_DATUM_PACKED(amount), DecimalsOf(currency));
}

/* ... and back. */
Datum
AmountOfMinor(int64 minor, uint32 currency)
{
	return NumericGetDatum(int64_div_fast_to_numeric(minor, DecimalsOf(currency)));
}

static void
ToleranceSet(Tolerance *tolerance, Datum difference, Datum percent, Datum charges)
{
	AgingSum	sum = {0, 0};

	tolerance->percent = PG_DETOAST_DATUM_COPY(percent);
	(void) AgingAddNumeric(&sum, tolerance->percent);
	tolerance->hundredths = sum.fraction == 0 ? (int64) sum.units : -1;
	for (int digits = 0; digits <= AGING_UNIT_SCALE; digits++)
	{
		tolerance->difference[digits] = CashMinorAmount(PG_DETOAST_DATUM_PACKED(difference), digits);
		tolerance->charges[digits] = CashMinorAmount(PG_DETOAST_DATUM_PACKED(charges), digits);
	}
}

/* A row of o2c.tolerance: customer, difference, percent, charges. */
void
ToleranceAdd(Tolerances *all, TupleTableSlot *slot)
{
	Tolerance  *tolerance = &all->company;
	MemoryContext old = MemoryContextSwitchTo(all->context);

	if (!slot->tts_isnull[0])
	{
		if (all->n == all->room)
		{
			all->room = Max(64, 2 * all->room);
			all->customer = all->customer == NULL ?
				MemoryContextAllocHuge(all->context, all->room * sizeof(Tolerance)) :
				repalloc_huge(all->customer, all->room * sizeof(Tolerance));
		}
		tolerance = &all->customer[all->n++];
		tolerance->customer_id = DatumGetInt64(slot->tts_values[0]);
	}
	ToleranceSet(tolerance, slot->tts_values[1], slot->tts_values[2], slot->tts_values[3]);
	MemoryContextSwitchTo(old);
}

/* All have been added: who is whose. */
void
ToleranceFinish(Tolerances *all)
{
	ChainsBegin(&all->chains, all->n, all->context);
	for (int i = 0; i < all->n; i++)
	{
		int32	   *head = ChainOf(&all->chains, HashWords(all->customer[i].customer_id, 0));

		all->customer[i].next = *head;
		*head = i;
	}
}

static const Tolerance *
ToleranceOf(const Tolerances *all, int64 customer_id)
{
	if (all->n > 0)
		for (int32 i = *ChainOf(&all->chains, HashWords(customer_id, 0)); i >= 0; i = all->customer[i].next)
			if (all->customer[i].customer_id == customer_id)
				return &all->customer[i];
	return NULL;
}

/* A percentage of an amount in minor units, halves up. */
static int64
ShareOf(int64 amount, const Tolerance *tolerance)
{
	int128		share;

	if (tolerance->percent == NULL)
		return 0;
	if (tolerance->hundredths < 0)
	{
		Datum		product = DirectFunctionCall2(numeric_mul, NumericGetDatum(int64_to_numeric(amount)),
												  PointerGetDatum(tolerance->percent));

		return DatumGetInt64(DirectFunctionCall1(numeric_int8,
												 DirectFunctionCall2(numeric_div, product,
																	 NumericGetDatum(int64_to_numeric(100)))));
	}
	share = ((int128) amount * tolerance->hundredths + PERCENT_UNITS / 2) / PERCENT_UNITS;
	return (int64) share;
}

/* A text in an arena, as short as it was. */
text *
CopyText(Datum value, Arena *arena)
{
	struct varlena *from = PG_DETOAST_DATUM_PACKED(value);
	Size		size = VARSIZE_ANY(from);
	void	   *to = ArenaAlloc(arena, size);

	memcpy(to, from, size);
	return to;
}

/* What the weigher wants to know of an item. */
ItemFacts *
DescribeItem(TupleTableSlot *slot, const Tolerances *all, Arena *arena)
{
	ItemFacts  *facts = ArenaAlloc(arena, sizeof(ItemFacts));
	Datum	   *value = slot->tts_values;
	bool	   *isnull = slot->tts_isnull;
	uint32		currency;
	int			digits;
	int64		size;
	const Tolerance *own;

	slot_getallattrs(slot);
	currency = CurrencyWord(value[ITEM_CURRENCY]);
	digits = DecimalsOf(currency);
	facts->item_id = DatumGetInt64(value[ITEM_ID]);
	facts->customer_id = isnull[ITEM_CUSTOMER] ? 0 : DatumGetInt64(value[ITEM_CUSTOMER]);
	facts->open = MinorAmount(value[ITEM_OPEN], currency);
	facts->amount = MinorAmount(value[ITEM_AMOUNT], currency);
	facts->discount = isnull[ITEM_DISCOUNT] ? 0 : MinorAmount(value[ITEM_DISCOUNT], currency);
	facts->issued = DatumGetDateADT(value[ITEM_DOCUMENT_DATE]);
	facts->due = DatumGetDateADT(value[ITEM_DUE_DATE]);
	facts->discount_date = isnull[ITEM_DISCOUNT_DATE] ? facts->issued : DatumGetDateADT(value[ITEM_DISCOUNT_DATE]);
	facts->number = CopyText(value[ITEM_NUMBER], arena);
	facts->alt_number = isnull[ITEM_ALT_NUMBER] ? NULL : CopyText(value[ITEM_ALT_NUMBER], arena);
	facts->reference_key = isnull[ITEM_REFERENCE] ? 0 :
		DatumGetInt64(DirectFunctionCall1(o2c_cash_reference_key, value[ITEM_REFERENCE]));

	/* the stricter of the company's and the customer's own */
	size = facts->amount < 0 ? -facts->amount : facts->amount;
	facts->tolerance = Min(all->company.difference[digits], ShareOf(size, &all->company));
	facts->charges = all->company.charges[digits];
	own = ToleranceOf(all, facts->customer_id);
	if (own != NULL)
	{
		facts->tolerance = Min(facts->tolerance, Min(own->difference[digits], ShareOf(size, own)));
		facts->charges = Min(facts->charges, own->charges[digits]);
	}
	return facts;
}
