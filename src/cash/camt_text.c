/*
 * camt_text.c
 *		What the elements of a camt fragment say: their text in one line, the
 *		sum of their amounts.
 *
 * Both are asked for once or more for each payment of a file.
 */
#include "o2c.h"

#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"
#include "utils/xml.h"

PG_FUNCTION_INFO_V1(o2c_camt_text);
PG_FUNCTION_INFO_V1(o2c_camt_sum);

/* The character that an entity at p stands for, and its length; 0 if it is none of XML's own five. */
static char
EntityAt(const char *p, const char *end, int *len)
{
	static const struct
	{
		const char *name;
		char		value;
	}			entities[] = {{"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''}, {"&amp;", '&'}};

	for (int i = 0; i < lengthof(entities); i++)
	{
		*len = strlen(entities[i].name);
		if (end - p >= *len && memcmp(p, entities[i].name, *len) == 0)
			return entities[i].value;
	}
	return 0;
}

/* o2c_camt_text(xml): the text of some elements, separated by single blanks; NULL if there is none. */
Datum
o2c_camt_text(PG_FUNCTION_ARGS)
{
	xmltype    *fragment = PG_GETARG_XML_P(0);
	const char *p = VARDATA_ANY(fragment);
	const char *end = p + VARSIZE_ANY_EXHDR(fragment);
	StringInfoData buf;
	bool		blank = false;	/* one is due before the next character */

	initStringInfo(&buf);
	while (p < end)
	{
		int			len;
		char		c = *p;

		if (c == '<')
		{
			const char *close = memchr(p, '>', end - p);

			if (close != NULL)
			{
				blank = true;
				p = close + 1;
				continue;
			}
		}
		if (c == ' ' || (c >= '\t' && c <= '\r'))
		{
			blank = true;
			p++;
			continue;
		}
		if (blank && buf.len > 0)
			appendStringInfoChar(&buf, ' ');
		blank = false;
		if (c == '&' && (c = EntityAt(p, end, &len)) != 0)
			p += len;
		else
			c = *p++;
		appendStringInfoCharMacro(&buf, c);
	}
	if (buf.len == 0)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text_with_len(buf.data, buf.len));
}

/* o2c_camt_sum(xml): the sum of elements that hold plain amounts; NULL if none does. */
Datum
o2c_camt_sum(PG_FUNCTION_ARGS)
{
	xmltype    *fragment = PG_GETARG_XML_P(0);
	char	   *p = pnstrdup(VARDATA_ANY(fragment), VARSIZE_ANY_EXHDR(fragment));
	Datum		sum = (Datum) 0;
	bool		any = false;

	while ((p = strchr(p, '>')) != NULL)
	{
		char	   *start = ++p;
		char	   *stop;
		int			digits;
		Datum		number;

		start += strspn(start, " \t\n\v\f\r");
		digits = strspn(start, "0123456789");
		stop = start + digits;
		if (*stop == '.' && strspn(stop + 1, "0123456789") > 0)
			stop += 1 + strspn(stop + 1, "0123456789");
		if (digits == 0 || stop[strspn(stop, " \t\n\v\f\r")] != '<')
			continue;
		number = DirectFunctionCall3(numeric_in, CStringGetDatum(pnstrdup(start, stop - start)),
									 ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
		sum = any ? DirectFunctionCall2(numeric_add, sum, number) : number;
		any = true;
		p = stop;
	}
	if (!any)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(sum);
}
