/*
 * aging_number.c
 *		Exact sums of numerics, fast: digits go straight from the stored form of
 *		a numeric into 128-bit numbers and back, without numeric_add and
 *		numeric_div.
 *
 * That is what makes one pass over millions of entries cheap.
 */
#include "o2c.h"

#include "receivables/aging.h"
#include "utils/builtins.h"
#include "utils/numeric.h"

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

/* Digits of an AgingSum. */
#define FRACTION_DIGITS			5
#define FRACTION_SCALE			24
#define FRACTION_PER_UNIT		((int128) INT64CONST(10000000000) * INT64CONST(10000000000))
#define MAX_WEIGHT				6
#define MAX_INT64_WEIGHT		2	/* of numbers whose units fit an int64 */

void
AgingRefuseAmount(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_O2C_INVALID_AMOUNT),
			 errmsg("amount is out of the range of aging_sum"),
			 errdetail("Amounts are finite, below 10^28 and have at most %d decimals.",
					   FRACTION_SCALE)));
}

/* A numeric as it is stored. */
typedef struct Stored
{
	const char *digits;
	int			ndigits;
	int			weight;			/* power of 10000 that the first digit counts */
	int			dscale;
	bool		negative;
	bool		special;		/* not a finite number; nothing else is read */
} Stored;

static inline Stored
ReadStored(const struct varlena *num)
{
	const char *p = VARDATA_ANY(num);
	int			size = VARSIZE_ANY_EXHDR(num);
	uint16		header;
	Stored		stored = {0};

	memcpy(&header, p, sizeof(header));
	p += sizeof(header);
	size -= sizeof(header);
	if ((header & NUM_SIGN_MASK) == NUM_SPECIAL)
	{
		stored.special = true;
		return stored;
	}
	if ((header & NUM_SIGN_MASK) == NUM_SHORT)
	{
		stored.negative = (header & NUM_SHORT_NEG) != 0;
		stored.dscale = (header & NUM_SHORT_DSCALE_MASK) >> NUM_SHORT_DSCALE_SHIFT;
		stored.weight = (header & NUM_SHORT_WEIGHT_NEG ? ~NUM_SHORT_WEIGHT_MASK : 0) |
			(header & NUM_SHORT_WEIGHT_MASK);
	}
	else
	{
		int16		weight;

		stored.negative = (header & NUM_SIGN_MASK) == NUM_NEG;
		stored.dscale = header & NUM_LONG_DSCALE_MASK;
		memcpy(&weight, p, sizeof(weight));
		p += sizeof(weight);
		size -= sizeof(weight);
		stored.weight = weight;
	}
	stored.digits = p;
	stored.ndigits = size / sizeof(int16);
	return stored;
}

/* Are these the digits of a usual amount of money: below 10^12, none behind the units? */
static inline bool
IsUsual(const Stored *stored)
{
	return !stored->special && stored->weight <= MAX_INT64_WEIGHT && stored->weight - stored->ndigits + 1 >= -1;
}

/* The units of a usual amount. */
static inline int64
UsualUnits(const Stored *stored)
{
	const char *p = stored->digits;
	int			ndigits = stored->ndigits;
	int64		units = 0;

	if (ndigits == 0)
		return 0;
	for (int group = stored->weight; group >= -1; group--)
	{
		int16		digit = 0;

		/* trailing groups of zeros are not stored */
		if (ndigits-- > 0)
		{
			memcpy(&digit, p, sizeof(digit));
			p += sizeof(digit);
		}
		units = units * NUM_BASE + digit;
	}
	return stored->negative ? -units : units;
}

/* The units of a usual amount of money; false for any other number. */
bool
AgingUnits(const struct varlena *num, int64 *units)
{
	Stored		stored = ReadStored(num);

	if (!IsUsual(&stored))
		return false;
	*units = UsualUnits(&stored);
	return true;
}

/* Add one numeric to a sum; returns its display scale. */
int
AgingAddNumeric(AgingSum *sum, struct varlena *num)
{
	Stored		stored = ReadStored(num);
	const char *p = stored.digits;
	int			ndigits = stored.ndigits;
	int128		units = 0;
	int128		fraction = 0;
	int			group;

	if (stored.special)
		AgingRefuseAmount();
	if (IsUsual(&stored))
	{
		if (__builtin_add_overflow(sum->units, UsualUnits(&stored), &sum->units))
			AgingRefuseAmount();
		return stored.dscale;
	}
	if (stored.weight > MAX_WEIGHT || stored.weight - ndigits + 1 < -1 - FRACTION_DIGITS)
		AgingRefuseAmount();

	/* group is the power of 10000 that the next digit counts */
	for (group = stored.weight; ndigits > 0; ndigits--, group--)
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

	if (stored.negative)
	{
		units = -units;
		fraction = -fraction;
	}
	if (__builtin_add_overflow(sum->units, units, &sum->units))
		AgingRefuseAmount();
	sum->fraction += fraction;
	return stored.dscale;
}

/* Whether a finite numeric is below zero. */
bool
AgingIsNegative(struct varlena *num)
{
	uint16		header;

	memcpy(&header, VARDATA_ANY(num), sizeof(header));
	return (header & NUM_SIGN_MASK) == NUM_SHORT ?
		(header & NUM_SHORT_NEG) != 0 : (header & NUM_SIGN_MASK) == NUM_NEG;
}

/*
 * Write units of 10^-4 as a numeric with a display scale of at most 4, beyond
 * which all digits are zeros; returns its size.  "to" is aligned for an int and
 * has AGING_NUMERIC_SIZE bytes.
 */
Size
AgingPutNumeric(char *to, int128 units, int dscale)
{
	int16		digits[AGING_NUMERIC_SIZE / sizeof(int16)];
	bool		negative = units < 0;
	int			n = 0;
	int			zeros = 0;
	int			weight;
	int64		rest;
	uint16		header;
	Size		size;

	/* digits[i] counts 10000^(i - 1) */
	if (negative)
		units = -units;
	while (units > PG_INT64_MAX)
	{
		digits[n++] = (int16) (units % NUM_BASE);
		units /= NUM_BASE;
	}
	for (rest = (int64) units; rest > 0; rest /= NUM_BASE)
		digits[n++] = (int16) (rest % NUM_BASE);
	weight = n > 0 ? n - 2 : 0;
	/* groups of zeros at the end are not stored */
	while (zeros < n && digits[zeros] == 0)
		zeros++;

	header = NUM_SHORT | (negative ? NUM_SHORT_NEG : 0) |
		(dscale << NUM_SHORT_DSCALE_SHIFT) |
		(weight < 0 ? NUM_SHORT_WEIGHT_NEG : 0) | (weight & NUM_SHORT_WEIGHT_MASK);
	size = VARHDRSZ + sizeof(header) + (n - zeros) * sizeof(int16);
	SET_VARSIZE(to, size);
	to += VARHDRSZ;
	memcpy(to, &header, sizeof(header));
	to += sizeof(header);
	for (int i = n - 1; i >= zeros; i--, to += sizeof(int16))
		memcpy(to, &digits[i], sizeof(int16));
	return size;
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
Datum
AgingSumToNumeric(AgingSum sum, int dscale)
{
	Datum		num;

	/* the usual case, an amount of money */
	if (sum.fraction == 0 && dscale <= AGING_UNIT_SCALE)
	{
		char	   *buf = palloc(AGING_NUMERIC_SIZE);

		(void) AgingPutNumeric(buf, sum.units, dscale);
		return PointerGetDatum(buf);
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

