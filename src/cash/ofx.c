/*
 * ofx.c
 *		OFX bank and credit card statements: version 1 (SGML) and 2 (XML).
 *
 * One scanner reads both: a stream of tags and texts in which an element with
 * text may lack its end tag.  Of the tree only the path matters: statements
 * (STMTRS, CCSTMTRS), their lists of transactions, balances and status.
 *
 * A file has no opening balance, so its statements prove none; FITID is the
 * bank's identity of a transaction.  Entities are the five of XML and
 * character references; a document type declaration is refused.
 */
#include "statement.h"

#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#define MAX_DEPTH 64
#define TAG_MAX 40

typedef struct Ofx
{
	StatementReader *r;
	MemoryContext cxt;			/* lives for the file */
	char		path[MAX_DEPTH][TAG_MAX];
	int			depth;
	StringInfoData text;		/* of the innermost element */
	int			statements;
	int			transactions;
	bool		investment;
	bool		account_list;
	char	   *status_code;
	char	   *status_message;
	char	   *refusal;		/* first status that is an error */
	bool		has_date;
	bool		has_amount;
	bool		has_currency;
	char	   *name;
	char	   *memo;
} Ofx;

static bool
Inside(Ofx *o, const char *tag)
{
	for (int i = 0; i < o->depth; i++)
		if (strcmp(o->path[i], tag) == 0)
			return true;
	return false;
}

/* Decode an entity at s (after '&'); returns its length with ';', 0 if none. */
static int
DecodeEntity(const char *s, const char *end, StringInfo out)
{
	static const struct
	{
		const char *name;
		char		c;
	}			entities[] = {
		{"amp;", '&'}, {"lt;", '<'}, {"gt;", '>'}, {"quot;", '"'}, {"apos;", '\''},
		{"nbsp;", ' '}
	};

	for (int i = 0; i < (int) lengthof(entities); i++)
	{
		int			n = strlen(entities[i].name);

		if (end - s >= n && memcmp(s, entities[i].name, n) == 0)
		{
			appendStringInfoChar(out, entities[i].c);
			return n;
		}
	}
	if (end - s >= 3 && *s == '#')
	{
		bool		hex = (s[1] == 'x' || s[1] == 'X');
		const char *p = s + 1 + hex;
		uint32		code = 0;
		int			digits = 0;
		unsigned char buf[MAX_UNICODE_EQUIVALENT_STRING + 1];

		for (; p < end && digits < 8 &&
			 (hex ? isxdigit((unsigned char) *p) : isdigit((unsigned char) *p)); p++, digits++)
			code = code * (hex ? 16 : 10) +
				(isdigit((unsigned char) *p) ? *p - '0' : (tolower((unsigned char) *p) - 'a' + 10));
		if (digits == 0 || p >= end || *p != ';' || !is_valid_unicode_codepoint(code))
			return 0;
		if (code < 32)
			appendStringInfoChar(out, ' ');
		else if (code < 128)
			appendStringInfoChar(out, code);
		else
		{
			pg_unicode_to_server(code, buf);
			appendStringInfoString(out, (char *) buf);
		}
		return p - s + 1;
	}
	return 0;
}

/* OFX date: YYYYMMDD[HHMMSS[.XXX]][zone]. */
static char *
OfxDate(Ofx *o, const char *s)
{
	if (strlen(s) < 8 || !AllDigits(s, 8))
		StatementSyntaxError(o->r, "\"%.30s\" is not a date", s);
	return ParseYMD(o->r, s, 4);
}

/* The transaction is complete. */
static void
PutTransaction(Ofx *o)
{
	StatementReader *r = o->r;

	if (!o->has_date || !o->has_amount)
		StatementSyntaxError(r, "a transaction (STMTTRN) has no %s",
							 o->has_date ? "amount (TRNAMT)" : "date (DTPOSTED)");
	if (r->row[COL_CURRENCY] == NULL)
		LineSet(r, COL_CURRENCY, r->head[COL_CURRENCY]);
	LineSet(r, COL_PAYER_NAME, o->name);
	/* the memo often repeats the name and goes on */
	if (o->memo && o->memo[0])
		LineSet(r, COL_REMITTANCE_TEXT, o->memo);
	else
		LineSet(r, COL_REMITTANCE_TEXT, o->name);
	LinePut(r);
	o->transactions++;
	o->has_date = o->has_amount = false;
	o->name = o->memo = NULL;
}

/* An element with text is complete. */
static void
ReadValue(Ofx *o, const char *tag, const char *value)
{
	StatementReader *r = o->r;

	if (Inside(o, "STATUS"))
	{
		if (strcmp(tag, "CODE") == 0)
			o->status_code = MemoryContextStrdup(o->cxt, value);
		else if (strcmp(tag, "MESSAGE") == 0)
			o->status_message = MemoryContextStrdup(o->cxt, value);
		return;
	}
	if (o->statements == 0 || !(Inside(o, "STMTRS") || Inside(o, "CCSTMTRS")))
		return;

	if (Inside(o, "STMTTRN"))
	{
		if (strcmp(tag, "DTPOSTED") == 0)
		{
			LineSet(r, COL_BOOKING_DATE, OfxDate(o, value));
			o->has_date = true;
		}
		else if (strcmp(tag, "DTAVAIL") == 0 || strcmp(tag, "VALUEDATE") == 0)
		{
			if (value[0])
				LineSet(r, COL_VALUE_DATE, OfxDate(o, value));
		}
		else if (strcmp(tag, "TRNAMT") == 0)
		{
			LineSet(r, COL_AMOUNT, ParseAmount(r, value, strlen(value), 0, 0));
			o->has_amount = true;
		}
		else if (strcmp(tag, "FITID") == 0)
			LineSet(r, COL_BANK_REF, value);
		else if (strcmp(tag, "TRNTYPE") == 0)
			LineSet(r, COL_TRANSACTION_CODE, value);
		else if (strcmp(tag, "NAME") == 0)
			o->name = pstrdup(value);
		else if (strcmp(tag, "MEMO") == 0)
			o->memo = pstrdup(value);
		else if (strcmp(tag, "ACCTID") == 0 &&
				 (Inside(o, "BANKACCTTO") || Inside(o, "CCACCTTO")))
			LineSet(r, LooksLikeIban(value, strlen(value)) ? COL_PAYER_IBAN : COL_PAYER_ACCOUNT, value);
		else if (strcmp(tag, "CURSYM") == 0)
		{
			/* CURRENCY: the amount is in it; ORIGCURRENCY: it was once */
			if (Inside(o, "ORIGCURRENCY"))
				LineSet(r, COL_ORIGINAL_CURRENCY, value);
			else
				LineSet(r, COL_CURRENCY, value);
			if (r->head[COL_CURRENCY] == NULL && Inside(o, "CURRENCY"))
				HeadSet(r, COL_CURRENCY, value);
		}
		else if (strcmp(tag, "CHECKNUM") == 0 || strcmp(tag, "REFNUM") == 0 ||
				 strcmp(tag, "CURRATE") == 0 || strcmp(tag, "SIC") == 0 ||
				 strcmp(tag, "PAYEEID") == 0 || strcmp(tag, "CORRECTFITID") == 0 ||
				 strcmp(tag, "CORRECTACTION") == 0)
			LineDetail(r, tag, value);
	}
	else if (strcmp(tag, "CURDEF") == 0)
		HeadSet(r, COL_CURRENCY, value);
	else if (strcmp(tag, "ACCTID") == 0 &&
			 (Inside(o, "BANKACCTFROM") || Inside(o, "CCACCTFROM")))
		HeadSet(r, COL_ACCOUNT, value);
	else if (strcmp(tag, "DTSTART") == 0 && value[0])
		HeadSet(r, COL_FROM_DATE, OfxDate(o, value));
	else if (strcmp(tag, "DTEND") == 0 && value[0])
		HeadSet(r, COL_TO_DATE, OfxDate(o, value));
	else if (strcmp(tag, "BALAMT") == 0 && Inside(o, "LEDGERBAL") && value[0])
		HeadSet(r, COL_CLOSING_BALANCE, ParseAmount(r, value, strlen(value), 0, 0));
}

/* The innermost element ends; its text is its value. */
static void
CloseElement(Ofx *o)
{
	char		tag[TAG_MAX];

	strlcpy(tag, o->path[--o->depth], TAG_MAX);
	if (strcmp(tag, "STMTTRN") == 0 && (Inside(o, "STMTRS") || Inside(o, "CCSTMTRS")))
		PutTransaction(o);
	else if (strcmp(tag, "STMTRS") == 0 || strcmp(tag, "CCSTMTRS") == 0)
	{
		if (o->r->head[COL_ACCOUNT] == NULL)
			StatementSyntaxError(o->r, "the statement names no account (ACCTID)");
		HeadSet(o->r, COL_INTERIM, "true");
		HeadPut(o->r);
	}
	else if (strcmp(tag, "STATUS") == 0)
	{
		if (o->status_code && strspn(o->status_code, "0") != strlen(o->status_code) &&
			o->refusal == NULL)
			o->refusal = MemoryContextStrdup(o->cxt,
											 psprintf("the bank answered %s: %s", o->status_code,
													  o->status_message ? o->status_message : "no message"));
		o->status_code = o->status_message = NULL;
	}
}

/* The text so far belongs to the innermost element if it is a leaf. */
static void
EndText(Ofx *o, bool leaf)
{
	char	   *value = TrimmedCopy(o->text.data, o->text.len);

	resetStringInfo(&o->text);
	if (o->depth == 0)
		return;
	if (value[0] != '\0' || leaf)
	{
		char		tag[TAG_MAX];

		/* the element has text: it ends here, with or without end tag */
		strlcpy(tag, o->path[o->depth - 1], TAG_MAX);
		o->depth--;
		ReadValue(o, tag, value);
		o->depth++;
	}
}

static void
OpenElement(Ofx *o, const char *tag)
{
	if (o->depth == MAX_DEPTH)
		StatementSyntaxError(o->r, "elements are nested deeper than %d", MAX_DEPTH);
	strlcpy(o->path[o->depth++], tag, TAG_MAX);
	if (strcmp(tag, "STMTRS") == 0 || strcmp(tag, "CCSTMTRS") == 0)
		o->statements++;
	else if (strcmp(tag, "INVSTMTRS") == 0)
		o->investment = true;
	else if (strcmp(tag, "ACCTINFORS") == 0)
		o->account_list = true;
	else if (strcmp(tag, "STMTTRN") == 0)
	{
		o->has_date = o->has_amount = false;
		o->name = o->memo = NULL;
	}
}

static void
RefuseType(const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_O2C_STATEMENT_TYPE),
			 errmsg("the OFX file is not a bank statement: %s", detail),
			 errhint("Nothing was imported. Export the account's transactions as a bank or credit card statement.")));
}

/* Read a whole OFX file. */
void
ReadOfx(StatementReader *r)
{
	Ofx			o = {.r = r};
	const char *p;
	bool		had_text = false;

	o.cxt = MemoryContextGetParent(r->head_cxt);
	{
		MemoryContext old = MemoryContextSwitchTo(o.cxt);

		initStringInfo(&o.text);
		MemoryContextSwitchTo(old);
	}
	r->lineno = 1;

	/* the header, in either version, ends at the first <OFX> */
	for (p = r->pos; p < r->end; p++)
	{
		if (*p == '\n')
			r->lineno++;
		if (*p == '<' && r->end - p >= 5 && pg_strncasecmp(p, "<OFX>", 5) == 0)
			break;
		if (*p == '<' && r->end - p >= 9 && pg_strncasecmp(p, "<!DOCTYPE", 9) == 0)
			StatementSyntaxError(r, "a document type declaration is not allowed");
	}
	if (p >= r->end)
		StatementSyntaxError(r, "the file has no element OFX");

	while (p < r->end)
	{
		if (*p == '\n')
			r->lineno++;
		if (*p != '<')
		{
			if (*p == '&')
			{
				int			n = DecodeEntity(p + 1, r->end, &o.text);

				if (n > 0)
				{
					p += n + 1;
					continue;
				}
			}
			if (o.text.len >= STATEMENT_FIELD_MAX)
				StatementSyntaxError(r, "a field is longer than %d bytes", STATEMENT_FIELD_MAX);
			appendStringInfoChar(&o.text, (*p == '\n' || *p == '\r' || *p == '\t') ? ' ' : *p);
			p++;
			continue;
		}
		if (r->end - p >= 9 && memcmp(p, "<![CDATA[", 9) == 0)
		{
			for (p += 9; p + 2 < r->end && memcmp(p, "]]>", 3) != 0; p++)
			{
				if (*p == '\n')
					r->lineno++;
				if (o.text.len >= STATEMENT_FIELD_MAX)
					StatementSyntaxError(r, "a field is longer than %d bytes", STATEMENT_FIELD_MAX);
				appendStringInfoChar(&o.text, *p == '\n' || *p == '\r' ? ' ' : *p);
			}
			if (p + 2 >= r->end)
				StatementSyntaxError(r, "a CDATA section is cut off");
			p += 3;
			continue;
		}
		if (r->end - p >= 4 && memcmp(p, "<!--", 4) == 0)
		{
			for (p += 4; p + 2 < r->end && memcmp(p, "-->", 3) != 0; p++)
				if (*p == '\n')
					r->lineno++;
			if (p + 2 >= r->end)
				StatementSyntaxError(r, "a comment is cut off");
			p += 3;
			continue;
		}
		if (p + 1 < r->end && p[1] == '!')
			StatementSyntaxError(r, "a document type declaration is not allowed");

		/* a tag */
		{
			const char *start = p + 1;
			const char *end = memchr(start, '>', Min(r->end - start, 1024));
			bool		closing;
			bool		empty;
			char		tag[TAG_MAX];
			int			n;

			if (end == NULL)
				StatementSyntaxError(r, "a tag is cut off");
			p = end + 1;
			if (*start == '?')
				continue;
			closing = (*start == '/');
			if (closing)
				start++;
			empty = (end > start && end[-1] == '/');
			n = 0;
			while (start + n < end - empty && !isspace((unsigned char) start[n]))
				n++;
			if (n == 0 || n >= TAG_MAX)
				StatementSyntaxError(r, "\"%.*s\" is not an OFX tag", Min(n, 40), start);
			for (int i = 0; i < n; i++)
				tag[i] = pg_ascii_toupper((unsigned char) start[i]);
			tag[n] = '\0';
			if (pg_mbcliplen(tag, n, n) != n)
				StatementSyntaxError(r, "an OFX tag is not plain text");

			had_text = strspn(o.text.data, " ") < (size_t) o.text.len;
			if (!closing)
			{
				/* text before a new element ends the element that had it */
				if (had_text && o.depth > 0)
				{
					EndText(&o, false);
					o.depth--;
				}
				else
					resetStringInfo(&o.text);
				if (!empty)
					OpenElement(&o, tag);
				continue;
			}

			if (o.depth == 0)
				StatementSyntaxError(r, "end tag %s without its element", tag);
			if (strcmp(o.path[o.depth - 1], tag) == 0 && had_text)
			{
				EndText(&o, true);
				o.depth--;
				continue;
			}
			if (had_text)
			{
				EndText(&o, false);
				o.depth--;
			}
			else
				resetStringInfo(&o.text);
			/* elements without text and end tag are empty: leave them */
			while (o.depth > 0 && strcmp(o.path[o.depth - 1], tag) != 0)
			{
				const char *top = o.path[o.depth - 1];

				if (strcmp(top, "STMTTRN") == 0 || strcmp(top, "STMTRS") == 0 ||
					strcmp(top, "CCSTMTRS") == 0 || strcmp(top, "OFX") == 0)
					StatementSyntaxError(r, "end tag %s inside %s", tag, top);
				o.depth--;
			}
			if (o.depth == 0)
				StatementSyntaxError(r, "end tag %s without its element", tag);
			CloseElement(&o);
		}
	}
	if (o.depth > 0)
		StatementSyntaxError(r, "the file ends inside %s; it may be cut off", o.path[0]);

	if (r->statement_no == 1)
	{
		if (o.refusal)
			RefuseType(o.refusal);
		else if (o.investment)
			RefuseType("it holds an investment statement");
		else if (o.account_list)
			RefuseType("it holds a list of accounts");
		else
			RefuseType("it holds no statement");
	}
	else if (o.refusal)
		StatementSyntaxError(r, "%s", o.refusal);
}
