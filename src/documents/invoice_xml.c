/*
 * invoice_xml.c
 *		Elements of electronic documents, from text.
 *
 * The documents are put together by SQL as text; these two functions are the
 * only way in which content gets in, so that it is always escaped, free of
 * characters that XML does not allow, and left out when there is none.
 */
#include "o2c.h"

#include "lib/stringinfo.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(o2c_xml_leaf);
PG_FUNCTION_INFO_V1(o2c_xml_node);

/* Append text as content or as the value of an attribute in double quotes. */
static void
AppendEscaped(StringInfo out, const char *s, int len)
{
	for (const char *end = s + len; s < end; s++)
	{
		unsigned char c = (unsigned char) *s;

		switch (c)
		{
			case '&':
				appendStringInfoString(out, "&amp;");
				break;
			case '<':
				appendStringInfoString(out, "&lt;");
				break;
			case '>':
				appendStringInfoString(out, "&gt;");
				break;
			case '"':
				appendStringInfoString(out, "&quot;");
				break;
			default:
				/* controls but tab, newline and return are not XML */
				if (c >= ' ' || c == '\t' || c == '\n' || c == '\r')
					appendStringInfoChar(out, *s);
		}
	}
}

/*
 * _xml_leaf(tag, content, attribute, value): the element with its content, and
 * one attribute if it has a value; an empty text when there is no content.
 */
Datum
o2c_xml_leaf(PG_FUNCTION_ARGS)
{
	StringInfoData out;
	text	   *tag;
	text	   *content;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_TEXT_P(cstring_to_text_with_len("", 0));
	tag = PG_GETARG_TEXT_PP(0);
	content = PG_GETARG_TEXT_PP(1);
	if (VARSIZE_ANY_EXHDR(content) == 0)
		PG_RETURN_TEXT_P(cstring_to_text_with_len("", 0));

	initStringInfo(&out);
	appendStringInfoChar(&out, '<');
	appendBinaryStringInfo(&out, VARDATA_ANY(tag), VARSIZE_ANY_EXHDR(tag));
	if (!PG_ARGISNULL(2) && !PG_ARGISNULL(3))
	{
		text	   *attribute = PG_GETARG_TEXT_PP(2);
		text	   *value = PG_GETARG_TEXT_PP(3);

		appendStringInfoChar(&out, ' ');
		appendBinaryStringInfo(&out, VARDATA_ANY(attribute), VARSIZE_ANY_EXHDR(attribute));
		appendStringInfoString(&out, "=\"");
		AppendEscaped(&out, VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
		appendStringInfoChar(&out, '"');
	}
	appendStringInfoChar(&out, '>');
	AppendEscaped(&out, VARDATA_ANY(content), VARSIZE_ANY_EXHDR(content));
	appendStringInfoString(&out, "</");
	appendBinaryStringInfo(&out, VARDATA_ANY(tag), VARSIZE_ANY_EXHDR(tag));
	appendStringInfoChar(&out, '>');
	PG_RETURN_TEXT_P(cstring_to_text_with_len(out.data, out.len));
}

/*
 * _xml_node(tag, inner...): the element around elements that these functions
 * made; an empty text when all of them are.
 */
Datum
o2c_xml_node(PG_FUNCTION_ARGS)
{
	StringInfoData out;
	text	   *tag;
	bool		empty = true;

	if (PG_ARGISNULL(0))
		PG_RETURN_TEXT_P(cstring_to_text_with_len("", 0));
	tag = PG_GETARG_TEXT_PP(0);
	initStringInfo(&out);
	appendStringInfoChar(&out, '<');
	appendBinaryStringInfo(&out, VARDATA_ANY(tag), VARSIZE_ANY_EXHDR(tag));
	appendStringInfoChar(&out, '>');
	if (!PG_ARGISNULL(1))
	{
		text	   *inner = PG_GETARG_TEXT_PP(1);

		empty = VARSIZE_ANY_EXHDR(inner) == 0;
		appendBinaryStringInfo(&out, VARDATA_ANY(inner), VARSIZE_ANY_EXHDR(inner));
	}
	if (empty)
		PG_RETURN_TEXT_P(cstring_to_text_with_len("", 0));
	appendStringInfoString(&out, "</");
	appendBinaryStringInfo(&out, VARDATA_ANY(tag), VARSIZE_ANY_EXHDR(tag));
	appendStringInfoChar(&out, '>');
	PG_RETURN_TEXT_P(cstring_to_text_with_len(out.data, out.len));
}
