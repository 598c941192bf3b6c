/*
 * plain.c
 *		Plain text of imports to numbers and dates, or NULL when it is none.
 *
 * Imports judge every value of every row before they use it, so this must be
 * cheap and must never raise an error: a value that is no number becomes the
 * reason why its row is refused.
 */
#include "o2c.h"

#include "datatype/timestamp.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/numeric.h"

/* Longest text that is read as a number, blanks included. */
#define MAX_NUMBER_LENGTH 60

PG_FUNCTION_INFO_V1(o2c_types_plain_numeric);
PG_FUNCTION_INFO_V1(o2c_types_plain_date);

/* Blanks as files have them; no locale is asked. */
static bool
IsBlank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* True for an ASCII digit. */
static bool
IsDigit(char c)
{
	return c >= '0' && c <= '9';
}

/*
 * o2c_types_plain_numeric(text): [+-]digits[.digits] between blanks, or NULL.
 * NaN, Infinity, exponents and digit separators are no plain numbers.
 */
Datum
o2c_types_plain_numeric(PG_FUNCTION_ARGS)
{
	text	   *value = PG_GETARG_TEXT_PP(0);
	const char *start = VARDATA_ANY(value);
	const char *end = start + VARSIZE_ANY_EXHDR(value);
	const char *p;
	char		number[MAX_NUMBER_LENGTH + 1];
	int			digits = 0;

	while (start < end && IsBlank(*start))
		start++;
	while (end > start && IsBlank(end[-1]))
		end--;
	if (start == end || end - start > MAX_NUMBER_LENGTH)
		PG_RETURN_NULL();

	p = start;
	if (*p == '+' || *p == '-')
		p++;
	for (; p < end && IsDigit(*p); p++)
		digits++;
	if (p < end && *p == '.')
		for (p++; p < end && IsDigit(*p); p++)
			digits++;
	if (p < end || digits == 0)
		PG_RETURN_NULL();

	memcpy(number, start, end - start);
	number[end - start] = '\0';
	return DirectFunctionCall3(numeric_in, CStringGetDatum(number),
							   ObjectIdGetDatum(InvalidOid),
							   Int32GetDatum(-1));
}

/* The number of exactly n digits at p, or -1. */
static int
Digits(const char *p, const char *end, int n)
{
	int			number = 0;

	if (end - p < n)
		return -1;
	for (int i = 0; i < n; i++)
	{
		if (!IsDigit(p[i]))
			return -1;
		number = number * 10 + (p[i] - '0');
	}
	return number;
}

/*
 * o2c_types_plain_date(text): YYYY-MM-DD between blanks, with or without a
 * time after T or a blank, which is ignored; or NULL.
 */
Datum
o2c_types_plain_date(PG_FUNCTION_ARGS)
{
	text	   *value = PG_GETARG_TEXT_PP(0);
	const char *p = VARDATA_ANY(value);
	const char *end = p + VARSIZE_ANY_EXHDR(value);
	int			year,
				month,
				day;

	while (p < end && IsBlank(*p))
		p++;
	if (end - p < 10 || p[4] != '-' || p[7] != '-')
		PG_RETURN_NULL();
	year = Digits(p, end, 4);
	month = Digits(p + 5, end, 2);
	day = Digits(p + 8, end, 2);
	if (year < 1 || month < 1 || month > 12 || day < 1 ||
		day > day_tab[isleap(year)][month - 1])
		PG_RETURN_NULL();
	p += 10;
	if (p < end && *p != 'T' && !IsBlank(*p))
		PG_RETURN_NULL();

	PG_RETURN_DATEADT(date2j(year, month, day) - POSTGRES_EPOCH_JDATE);
}
