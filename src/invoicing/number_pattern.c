/*
 * number_pattern.c
 *		What a drawn number looks like.
 *
 * The pattern of a series has tokens in braces: {series}, {yyyy}, {yy}, {mm}
 * and {n}, the counter, which {n:6} fills with zeros to six digits.
 */
#include "o2c.h"

#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/datetime.h"

#include "invoicing/numbering.h"

PG_FUNCTION_INFO_V1(o2c_number_format);
PG_FUNCTION_INFO_V1(o2c_number_pattern_is_valid);

/* One token of a pattern: what it is and how many digits {n} has at least. */
typedef enum
{
	TOKEN_TEXT, TOKEN_SERIES, TOKEN_YYYY, TOKEN_YY, TOKEN_MM, TOKEN_N, TOKEN_BAD
} TokenKind;

/* Read the token at *s (s < end) and step behind it. */
static TokenKind
NextToken(const char **s, const char *end, int *digits)
{
	static const struct
	{
		const char *name;
		TokenKind	kind;
	}			tokens[] = {
		{"{series}", TOKEN_SERIES}, {"{yyyy}", TOKEN_YYYY}, {"{yy}", TOKEN_YY},
		{"{mm}", TOKEN_MM}, {"{n}", TOKEN_N}
	};

	*digits = 1;
	if (**s != '{')
	{
		(*s)++;
		return (*s)[-1] == '}' ? TOKEN_BAD : TOKEN_TEXT;
	}
	for (int i = 0; i < lengthof(tokens); i++)
	{
		int			len = strlen(tokens[i].name);

		if (end - *s >= len && memcmp(*s, tokens[i].name, len) == 0)
		{
			*s += len;
			return tokens[i].kind;
		}
	}
	/* {n:6}, one or two digits */
	if (end - *s >= 5 && memcmp(*s, "{n:", 3) == 0)
	{
		const char *p = *s + 3;
		int			n = 0;

		while (p < end && p < *s + 5 && *p >= '0' && *p <= '9')
			n = n * 10 + (*p++ - '0');
		if (p < end && *p == '}' && n >= 1 && n <= 18)
		{
			*s = p + 1;
			*digits = n;
			return TOKEN_N;
		}
	}
	return TOKEN_BAD;
}

/*
 * _is_number_pattern(pattern, reset): well formed, {n} once, and the tokens
 * without which numbers of two periods would be the same.
 */
Datum
o2c_number_pattern_is_valid(PG_FUNCTION_ARGS)
{
	text	   *pattern = PG_GETARG_TEXT_PP(0);
	text	   *reset = PG_GETARG_TEXT_PP(1);
	const char *s = VARDATA_ANY(pattern);
	const char *end = s + VARSIZE_ANY_EXHDR(pattern);
	char		period = VARSIZE_ANY_EXHDR(reset) > 0 ? *VARDATA_ANY(reset) : 'n';
	int			count[TOKEN_BAD + 1] = {0};

	if (end - s > 60)
		PG_RETURN_BOOL(false);
	while (s < end)
	{
		int			digits;
		char		c = *s;
		TokenKind	kind = NextToken(&s, end, &digits);

		if (kind == TOKEN_BAD)
			PG_RETURN_BOOL(false);
		/* printable ASCII: numbers go into references, files and XML */
		if (kind == TOKEN_TEXT && (c <= ' ' || c > '~'))
			PG_RETURN_BOOL(false);
		count[kind]++;
	}
	PG_RETURN_BOOL(count[TOKEN_N] == 1 &&
				   (period == 'n' || count[TOKEN_YYYY] + count[TOKEN_YY] > 0) &&
				   (period != 'm' || count[TOKEN_MM] > 0));
}

/* The number n as printed by a pattern. */
text *
FormatNumber(text *pattern, text *series, DateADT date, int64 n)
{
	const char *s = VARDATA_ANY(pattern);
	const char *end = s + VARSIZE_ANY_EXHDR(pattern);
	StringInfoData out;
	int			year;
	int			month;
	int			day;

	if (DATE_NOT_FINITE(date))
		ereport(ERROR,
				(errcode(ERRCODE_O2C_INVALID_DATE),
				 errmsg("the date of a document must be finite")));
	j2date(date + POSTGRES_EPOCH_JDATE, &year, &month, &day);
	initStringInfo(&out);
	while (s < end)
	{
		int			digits;
		char		c = *s;

		switch (NextToken(&s, end, &digits))
		{
			case TOKEN_SERIES:
				appendBinaryStringInfo(&out, VARDATA_ANY(series), VARSIZE_ANY_EXHDR(series));
				break;
			case TOKEN_YYYY:
				appendStringInfo(&out, "%04d", year);
				break;
			case TOKEN_YY:
				appendStringInfo(&out, "%02d", year % 100);
				break;
			case TOKEN_MM:
				appendStringInfo(&out, "%02d", month);
				break;
			case TOKEN_N:
				appendStringInfo(&out, "%0*lld", digits, (long long) n);
				break;
			case TOKEN_TEXT:
			case TOKEN_BAD:
				appendStringInfoChar(&out, c);
				break;
		}
	}
	return cstring_to_text_with_len(out.data, out.len);
}

/* _format_number(pattern, series, on_date, n): the number as printed. */
Datum
o2c_number_format(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(FormatNumber(PG_GETARG_TEXT_PP(0), PG_GETARG_TEXT_PP(1),
								  PG_GETARG_DATEADT(2), PG_GETARG_INT64(3)));
}
