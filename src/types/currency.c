/*
 * currency.c
 *		The type o2c.currency and what depends on a currency's minor unit:
 *		whether a number is an amount, and rounding to one.
 *
 * Codes and minor units are a table indexed by the three letters, so that the
 * CHECK constraints of every table with an amount cost a few nanoseconds.
 */
#include "o2c.h"

#include "libpq/pqformat.h"
#include "numeric_ops.h"
#include "receivables/aging.h"
#include "types/types.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/numeric.h"

PG_FUNCTION_INFO_V1(o2c_currency_in);
PG_FUNCTION_INFO_V1(o2c_currency_recv);
PG_FUNCTION_INFO_V1(o2c_currency_from_text);
PG_FUNCTION_INFO_V1(o2c_currency_is_valid);
PG_FUNCTION_INFO_V1(o2c_currency_minor_unit);
PG_FUNCTION_INFO_V1(o2c_currency_is_amount);
PG_FUNCTION_INFO_V1(o2c_currency_is_total);
PG_FUNCTION_INFO_V1(o2c_currency_round);
PG_FUNCTION_INFO_V1(o2c_quantity_is_valid);

/* 0 in the table is "no such code", so digits are stored plus one. */
#define NO_MINOR_UNIT	99
#define CODE_INDEX(a, b, c)	((((a) - 'A') * 26 + ((b) - 'A')) * 26 + ((c) - 'A'))
#define CURRENCY(a, b, c, digits)	[CODE_INDEX(a, b, c)] = (digits) + 1,

static const uint8 currencies[26 * 26 * 26] = {
#include "types/currency_table.h"
};

#undef CURRENCY

/*
 * Digits of an amount, those of the minor unit included: as many as ISO 20022
 * gives amounts, and as an int64 holds when it counts minor units.
 */
#define AMOUNT_DIGITS	18

/* Digits that a sum of amounts may have before the point: as many as aging adds up. */
#define TOTAL_DIGITS	27

/* The most decimals a quantity may have, and the bound of its absolute value. */
#define QUANTITY_SCALE	6
#define QUANTITY_BOUND	INT64CONST(1000000000000000)

/* Digits of the minor unit plus one of three capital letters, 0 if no such code. */
static inline int
CurrencyEntry(const char *s, int len)
{
	if (len != 3 ||
		s[0] < 'A' || s[0] > 'Z' || s[1] < 'A' || s[1] > 'Z' || s[2] < 'A' || s[2] > 'Z')
		return 0;
	return currencies[CODE_INDEX(s[0], s[1], s[2])];
}

int
CurrencyMinorUnit(const char *s, int len)
{
	int			entry = CurrencyEntry(s, len);

	return (entry == 0 || entry == NO_MINOR_UNIT + 1) ? -1 : entry - 1;
}

int
CurrencyNormalise(const char *s, int len, char *out, CodeFault *fault)
{
	int			n = len <= O2C_CODE_INPUT_MAX ? CodeCompact(s, len, out, 3) : -1;

	fault->hint = "Use an alphabetic code of ISO 4217, such as EUR.";
	if (n != 3)
	{
		fault->detail = "A currency code has three letters.";
		return -1;
	}
	if (CurrencyEntry(out, n) == 0)
	{
		fault->detail = "The code is not in the list of current currencies.";
		return -1;
	}
	return n;
}

/* Datum of a checked code, or the error; NULL after a soft error. */
static text *
CurrencyMake(const char *s, int len, struct Node *escontext)
{
	char		code[3];
	CodeFault	fault;
	int			n = CurrencyNormalise(s, len, code, &fault);

	if (n < 0)
		O2C_ERETURN(escontext, NULL,
					(errcode(ERRCODE_O2C_INVALID_CURRENCY),
					 errmsg("invalid currency code: \"%s\"",
							pnstrdup(s, pg_mbcliplen(s, len, O2C_CODE_INPUT_MAX))),
					 errdetail("%s", fault.detail),
					 errhint("%s", fault.hint)));
	return cstring_to_text_with_len(code, n);
}

/* o2c_currency_in(cstring): checks and normalises. */
Datum
o2c_currency_in(PG_FUNCTION_ARGS)
{
	char	   *s = PG_GETARG_CSTRING(0);

	PG_RETURN_TEXT_P(CurrencyMake(s, strlen(s), fcinfo->context));
}

/* o2c_currency_recv(internal): like input. */
Datum
o2c_currency_recv(PG_FUNCTION_ARGS)
{
	StringInfo	buf = (StringInfo) PG_GETARG_POINTER(0);
	int			len;
	char	   *s = pq_getmsgtext(buf, buf->len - buf->cursor, &len);

	PG_RETURN_TEXT_P(CurrencyMake(s, len, NULL));
}

/* o2c_currency_from_text(text): like input. */
Datum
o2c_currency_from_text(PG_FUNCTION_ARGS)
{
	text	   *t = PG_GETARG_TEXT_PP(0);

	PG_RETURN_TEXT_P(CurrencyMake(VARDATA_ANY(t), VARSIZE_ANY_EXHDR(t), NULL));
}

/* o2c_currency_is_valid(text): whether the text is a currency code. */
Datum
o2c_currency_is_valid(PG_FUNCTION_ARGS)
{
	text	   *t = PG_GETARG_TEXT_PP(0);
	char		code[3];
	CodeFault	fault;

	PG_RETURN_BOOL(CurrencyNormalise(VARDATA_ANY(t), VARSIZE_ANY_EXHDR(t),
									 code, &fault) > 0);
}

/* o2c_currency_minor_unit(currency): digits behind the point, NULL if it has none. */
Datum
o2c_currency_minor_unit(PG_FUNCTION_ARGS)
{
	text	   *t = PG_GETARG_TEXT_PP(0);
	int			digits = CurrencyMinorUnit(VARDATA_ANY(t), VARSIZE_ANY_EXHDR(t));

	if (digits < 0)
		PG_RETURN_NULL();
	PG_RETURN_INT32(digits);
}

/* 10^n or -10^n, kept for the session: every amount of every row is compared with them. */
static Numeric
PowerOfTen(int n, bool negative)
{
	static Numeric power[2][TOTAL_DIGITS + 1];

	if (power[negative][n] == NULL)
	{
		char		digits[TOTAL_DIGITS + 3];
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

		snprintf(digits, sizeof(digits), "%s1%0*d", negative ? "-" : "", n, 0);
		power[negative][n] = DatumGetNumeric(DirectFunctionCall3(numeric_in, CStringGetDatum(digits),
																 ObjectIdGetDatum(InvalidOid),
																 Int32GetDatum(-1)));
		MemoryContextSwitchTo(old);
	}
	return power[negative][n];
}

/*
 * Whether a number is finite, has no digit other than zero beyond the minor
 * unit, and no more than so many before the point.
 */
static bool
IsMoney(FunctionCallInfo fcinfo, bool total)
{
	static const int64 steps[] = {10000, 1000, 100, 10, 1};
	text	   *t = PG_GETARG_TEXT_PP(1);
	int			digits = CurrencyMinorUnit(VARDATA_ANY(t), VARSIZE_ANY_EXHDR(t));
	int			before = total ? TOTAL_DIGITS : AMOUNT_DIGITS - digits;
	int64		units;
	Numeric		num;
	bool		result;

	/* checks of tables ask this of every amount of every row, and they are small */
	if (digits >= 0 && AgingUnits((struct varlena *) PG_DETOAST_DATUM_PACKED(PG_GETARG_DATUM(0)), &units))
		return units % steps[digits] == 0;
	num = PG_GETARG_NUMERIC(0);
	if (digits < 0 || numeric_is_nan(num) || numeric_is_inf(num))
		return false;
	result = DatumGetInt32(DirectFunctionCall1(numeric_min_scale,
											   NumericGetDatum(num))) <= digits &&
		NumericCompare(num, PowerOfTen(before, false)) < 0 &&
		NumericCompare(num, PowerOfTen(before, true)) > 0;
	PG_FREE_IF_COPY(num, 0);
	PG_FREE_IF_COPY(t, 1);
	return result;
}

/*
 * o2c_currency_is_amount(numeric, currency): finite, no digit other than zero
 * beyond the minor unit, 18 digits with those of the minor unit.
 */
Datum
o2c_currency_is_amount(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(IsMoney(fcinfo, false));
}

/* o2c_currency_is_total(numeric, currency): the same for a sum of amounts. */
Datum
o2c_currency_is_total(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(IsMoney(fcinfo, true));
}

/* o2c_currency_round(numeric, currency): half away from zero to the minor unit. */
Datum
o2c_currency_round(PG_FUNCTION_ARGS)
{
	Numeric		num = PG_GETARG_NUMERIC(0);
	text	   *t = PG_GETARG_TEXT_PP(1);
	int			digits = CurrencyMinorUnit(VARDATA_ANY(t), VARSIZE_ANY_EXHDR(t));

	if (digits < 0)
		ereport(ERROR,
				(errcode(ERRCODE_O2C_INVALID_CURRENCY),
				 errmsg("currency \"%s\" has no minor unit", text_to_cstring(t)),
				 errdetail("Amounts are stated in currencies that have one.")));
	if (numeric_is_nan(num) || numeric_is_inf(num))
		ereport(ERROR,
				(errcode(ERRCODE_O2C_INVALID_AMOUNT),
				 errmsg("an amount must be finite")));
	PG_RETURN_DATUM(DirectFunctionCall2(numeric_round, NumericGetDatum(num),
										Int32GetDatum(digits)));
}

/*
 * o2c_quantity_is_valid(numeric): finite, at most six decimals by value, below
 * 1e15 in absolute value.
 */
Datum
o2c_quantity_is_valid(PG_FUNCTION_ARGS)
{
	Numeric		num = PG_GETARG_NUMERIC(0);
	Datum		magnitude;

	if (numeric_is_nan(num) || numeric_is_inf(num))
		PG_RETURN_BOOL(false);
	if (DatumGetInt32(DirectFunctionCall1(numeric_min_scale,
										  NumericGetDatum(num))) > QUANTITY_SCALE)
		PG_RETURN_BOOL(false);
	magnitude = DirectFunctionCall1(numeric_abs, NumericGetDatum(num));
	PG_RETURN_BOOL(DatumGetBool(DirectFunctionCall2(numeric_lt, magnitude,
													NumericGetDatum(int64_to_numeric(QUANTITY_BOUND)))));
}
