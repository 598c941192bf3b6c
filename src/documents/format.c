/*
 * format.c
 *		Amounts and dates as a reader of a language writes them.
 *
 * Only what letters need: grouping, decimal mark, order of day and month.
 * Independent of the server's locale, so that the same run writes the same
 * letters everywhere.  A language not listed gets English numbers and ISO
 * dates, which nobody misreads.
 */
#include "o2c.h"

#include "datatype/timestamp.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/numeric.h"

#define NBSP "\xc2\xa0"

typedef struct LanguageFormat
{
	const char *language;		/* exact tag, or its part before "-" */
	const char *group;
	const char *decimal;
	const char *date;			/* d, m, y: two or four digits; M: English month */
} LanguageFormat;

/* The exact tag is looked for before the language alone. */
static const LanguageFormat formats[] = {
	{"de-CH", "'", ".", "d.m.y"},
	{"de-LI", "'", ".", "d.m.y"},
	{"fr-CH", "'", ".", "d.m.y"},
	{"it-CH", "'", ".", "d.m.y"},
	{"es-MX", ",", ".", "d/m/y"},
	{"en", ",", ".", "D M y"},
	{"de", ".", ",", "d.m.y"},
	{"it", ".", ",", "d/m/y"},
	{"fr", NBSP, ",", "d/m/y"},
	{"es", ".", ",", "d/m/y"},
	{"nl", ".", ",", "d-m-y"},
	{"pt", ".", ",", "d/m/y"},
	{"da", ".", ",", "d.m.y"},
	{"pl", NBSP, ",", "d.m.y"},
	{"cs", NBSP, ",", "d.m.y"},
	{"fi", NBSP, ",", "d.m.y"},
	{"sv", NBSP, ",", "y-m-d"},
};

static const LanguageFormat other_format = {"", ",", ".", "y-m-d"};

PG_FUNCTION_INFO_V1(o2c_format_amount);
PG_FUNCTION_INFO_V1(o2c_format_date);

/* The format of a language tag. */
static const LanguageFormat *
FormatOf(text *arg)
{
	const char *tag = VARDATA_ANY(arg);
	int			len = VARSIZE_ANY_EXHDR(arg);
	const char *dash = memchr(tag, '-', len);
	int			base = dash ? dash - tag : len;

	for (int i = 0; i < lengthof(formats); i++)
	{
		int			flen = strlen(formats[i].language);

		if ((flen == len || flen == base) &&
			memcmp(formats[i].language, tag, flen) == 0)
			return &formats[i];
	}
	return &other_format;
}

/* format_amount(amount, language): all its digits, grouped by thousands. */
Datum
o2c_format_amount(PG_FUNCTION_ARGS)
{
	char	   *number = DatumGetCString(DirectFunctionCall1(numeric_out, PG_GETARG_DATUM(0)));
	const LanguageFormat *format = FormatOf(PG_GETARG_TEXT_PP(1));
	StringInfoData buf;
	int			digits;

	initStringInfo(&buf);
	if (*number == '-')
		appendStringInfoChar(&buf, *number++);
	digits = strspn(number, "0123456789");
	for (int i = 0; i < digits; i++)
	{
		if (i > 0 && (digits - i) % 3 == 0)
			appendStringInfoString(&buf, format->group);
		appendStringInfoChar(&buf, number[i]);
	}
	number += digits;
	if (*number == '.')
	{
		appendStringInfoString(&buf, format->decimal);
		number++;
	}
	appendStringInfoString(&buf, number);	/* also NaN and Infinity */
	PG_RETURN_TEXT_P(cstring_to_text_with_len(buf.data, buf.len));
}

/* format_date(date, language). */
Datum
o2c_format_date(PG_FUNCTION_ARGS)
{
	DateADT		date = PG_GETARG_DATEADT(0);
	const LanguageFormat *format = FormatOf(PG_GETARG_TEXT_PP(1));
	StringInfoData buf;
	int			year;
	int			month;
	int			day;

	if (DATE_NOT_FINITE(date))
		PG_RETURN_NULL();
	j2date(date + POSTGRES_EPOCH_JDATE, &year, &month, &day);
	initStringInfo(&buf);
	for (const char *f = format->date; *f; f++)
	{
		if (*f == 'd')
			appendStringInfo(&buf, "%02d", day);
		else if (*f == 'D')
			appendStringInfo(&buf, "%d", day);
		else if (*f == 'm')
			appendStringInfo(&buf, "%02d", month);
		else if (*f == 'M')
			appendStringInfoString(&buf, months[month - 1]);
		else if (*f == 'y')
			appendStringInfo(&buf, "%04d", year);
		else
			appendStringInfoChar(&buf, *f);
	}
	PG_RETURN_TEXT_P(cstring_to_text_with_len(buf.data, buf.len));
}
