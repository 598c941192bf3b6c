/*
 * camt_split.c
 *		ISO 20022 camt.052, .053 and .054 cut into small pieces of XML.
 *
 * A parser that holds a whole document needs several times its size; a bank's
 * file can be hundreds of megabytes.  This scanner walks the text once, checks
 * that its elements nest, and hands out small documents for xmltable:
 *
 *	head	a statement without its entries
 *	entries	some hundred entries without their transaction details
 *	details	some hundred transaction details
 *
 * The attribute n ties details to their entry.  Namespaces and prefixes are
 * left out, so that one set of paths reads every version; of attributes only
 * the currency stays.  A document type declaration and entities other than
 * XML's own five are refused: nothing outside the file is ever read, and
 * nothing in it can grow.
 */
#include "statement.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(o2c_camt_parts);

#define MAX_DEPTH 64
#define NAME_LIMIT 64
#define PART_SIZE (128 * 1024)

typedef struct CamtPart
{
	const char *kind;
	StringInfoData buf;
	int			elements;
} CamtPart;

typedef struct CamtSplit
{
	StatementReader reader;		/* for its line number and errors */
	const char *p;
	const char *end;
	Tuplestorestate *store;
	TupleDesc	desc;

	const char *name[MAX_DEPTH];	/* qualified names, in the text */
	int			name_len[MAX_DEPTH];
	int			depth;
	char		root[NAME_LIMIT];	/* first element below the root */
	char		message[NAME_LIMIT];	/* camt.053 ... once its element was seen */
	int			message_depth;	/* depth of the message element, 0 outside */
	int			statement_depth;
	int			entry_depth;
	int			detail_depth;
	int			statements;
	int			entries;
	int			details;
	CamtPart	head;
	CamtPart	entry_part;
	CamtPart	detail_part;
	bool		leaf;			/* the element that is open has no child yet */
	bool		has_currency;
	StringInfoData text;		/* of the leaf, escaped */
} CamtSplit;

static void
InitPart(CamtPart *part, const char *kind)
{
	part->kind = kind;
	part->elements = 0;
	initStringInfo(&part->buf);
}

/* Hand out a part and begin it anew. */
static void
PutPart(CamtSplit *s, CamtPart *part)
{
	Datum		values[4];
	bool		nulls[4] = {false, false, false, false};

	if (part->buf.len == 0)
		return;
	CHECK_FOR_INTERRUPTS();
	appendStringInfoString(&part->buf, "</x>");
	values[0] = CStringGetTextDatum(s->message);
	values[1] = Int32GetDatum(s->statements);
	values[2] = CStringGetTextDatum(part->kind);
	values[3] = PointerGetDatum(cstring_to_text_with_len(part->buf.data, part->buf.len));
	tuplestore_putvalues(s->store, s->desc, values, nulls);
	pfree(DatumGetPointer(values[0]));
	pfree(DatumGetPointer(values[2]));
	pfree(DatumGetPointer(values[3]));
	resetStringInfo(&part->buf);
	part->elements = 0;
}

/* Where the open element belongs, or NULL outside statements. */
static CamtPart *
CurrentPart(CamtSplit *s)
{
	if (s->detail_depth)
		return &s->detail_part;
	if (s->entry_depth)
		return &s->entry_part;
	if (s->statement_depth)
		return &s->head;
	return NULL;
}

static bool
LocalNameIs(const char *name, int len, const char *wanted)
{
	return (int) strlen(wanted) == len && memcmp(name, wanted, len) == 0;
}

/* The message that an element of this name begins, or NULL. */
static const char *
MessageOf(const char *name, int len)
{
	static const struct
	{
		const char *element;
		const char *message;
	}			messages[] = {
		{"BkToCstmrAcctRpt", "camt.052"},
		{"BkToCstmrStmt", "camt.053"},
		{"BkToCstmrDbtCdtNtfctn", "camt.054"},
	};

	for (int i = 0; i < (int) lengthof(messages); i++)
	{
		int			n = strlen(messages[i].element);

		/* version 1 names carry "V01" */
		if (len >= n && memcmp(name, messages[i].element, n) == 0 &&
			(len == n || (len == n + 3 && name[n] == 'V')))
			return messages[i].message;
	}
	return NULL;
}

/* The part of a name after its prefix. */
static void
LocalName(const char *name, int len, const char **local, int *local_len)
{
	const char *colon = memchr(name, ':', len);

	*local = colon ? colon + 1 : name;
	*local_len = len - (*local - name);
}

static void
OpenTag(CamtSplit *s, const char *name, int len, const char *currency, int currency_len)
{
	StatementReader *r = &s->reader;
	const char *local;
	int			n;
	CamtPart   *part;
	const char *message;

	if (s->depth == MAX_DEPTH)
		StatementSyntaxError(r, "elements are nested deeper than %d", MAX_DEPTH);
	LocalName(name, len, &local, &n);
	if (n == 0 || n >= NAME_LIMIT)
		StatementSyntaxError(r, "\"%.*s\" is not an element of a statement",
							 pg_mbcliplen(name, len, 40), name);
	for (int i = 0; i < n; i++)
		if (!isalnum((unsigned char) local[i]) && local[i] != '_' && local[i] != '-' && local[i] != '.')
			StatementSyntaxError(r, "\"%.*s\" is not an element of a statement",
								 pg_mbcliplen(name, len, 40), name);
	s->name[s->depth] = name;
	s->name_len[s->depth++] = len;
	if (s->depth <= 2)
	{
		memcpy(s->root, local, n);
		s->root[n] = '\0';
	}

	if (!s->message_depth)
	{
		message = MessageOf(local, n);
		if (message)
		{
			if (s->message[0] && strcmp(s->message, message) != 0)
				StatementSyntaxError(r, "the file holds messages of several types");
			strlcpy(s->message, message, NAME_LIMIT);
			s->message_depth = s->depth;
		}
	}
	else if (!s->statement_depth && s->depth == s->message_depth + 1 &&
			 (LocalNameIs(local, n, "Stmt") || LocalNameIs(local, n, "Rpt") ||
			  LocalNameIs(local, n, "Ntfctn")))
	{
		s->statement_depth = s->depth;
		s->statements++;
		s->entries = 0;
		s->leaf = false;
		appendStringInfoString(&s->head.buf, "<x>");
		return;
	}
	else if (s->statement_depth && !s->entry_depth && s->depth == s->statement_depth + 1 &&
			 LocalNameIs(local, n, "Ntry"))
	{
		s->entry_depth = s->depth;
		s->entries++;
		s->details = 0;
		if (s->entry_part.buf.len > PART_SIZE)
			PutPart(s, &s->entry_part);
		if (s->entry_part.buf.len == 0)
			appendStringInfoString(&s->entry_part.buf, "<x>");
	}
	else if (s->entry_depth && !s->detail_depth && LocalNameIs(local, n, "TxDtls"))
	{
		s->detail_depth = s->depth;
		s->details++;
		if (s->detail_part.buf.len > PART_SIZE)
			PutPart(s, &s->detail_part);
		if (s->detail_part.buf.len == 0)
			appendStringInfoString(&s->detail_part.buf, "<x>");
	}

	part = CurrentPart(s);
	s->leaf = (part != NULL);
	s->has_currency = (currency != NULL);
	resetStringInfo(&s->text);
	if (part == NULL)
		return;
	if (part->buf.len > 64 * PART_SIZE)
		StatementSyntaxError(r, "one entry is larger than %d bytes", 64 * PART_SIZE);

	/* lines of free text that follow each other become one */
	if ((LocalNameIs(local, n, "Ustrd") && part->buf.len > 8 &&
		 memcmp(part->buf.data + part->buf.len - 8, "</Ustrd>", 8) == 0))
	{
		part->buf.len -= 8;
		part->buf.data[part->buf.len] = '\0';
		appendStringInfoChar(&part->buf, ' ');
		return;
	}
	appendStringInfoChar(&part->buf, '<');
	appendBinaryStringInfo(&part->buf, local, n);
	if (s->depth == s->entry_depth)
		appendStringInfo(&part->buf, " n=\"%d\"", s->entries);
	else if (s->depth == s->detail_depth)
		appendStringInfo(&part->buf, " n=\"%d\" d=\"%d\"", s->entries, s->details);
	if (currency)
	{
		if (currency_len != 3 || memchr(currency, '<', 3) || memchr(currency, '&', 3) ||
			memchr(currency, '"', 3))
			StatementSyntaxError(r, "an amount names no currency of three letters");
		appendStringInfo(&part->buf, " Ccy=\"%.*s\"", currency_len, currency);
	}
	appendStringInfoChar(&part->buf, '>');
}

/* What XML's own parser would not know to be an amount or a date. */
static void
CheckLeaf(CamtSplit *s, const char *local, int n)
{
	StatementReader *r = &s->reader;

	if (s->has_currency)
	{
		char	   *value = TrimmedCopy(s->text.data, s->text.len);

		if (strspn(value, "+-0123456789.") != strlen(value))
			StatementSyntaxError(r, "\"%.*s\" is not an amount",
								 pg_mbcliplen(value, strlen(value), 40), value);
		pfree(ParseAmount(r, value, strlen(value), '.', 0));
		pfree(value);
	}
	else if (LocalNameIs(local, n, "Dt") || LocalNameIs(local, n, "DtTm") ||
			 LocalNameIs(local, n, "FrDt") || LocalNameIs(local, n, "ToDt") ||
			 LocalNameIs(local, n, "FrDtTm") || LocalNameIs(local, n, "ToDtTm") ||
			 LocalNameIs(local, n, "CreDtTm"))
	{
		char	   *value = TrimmedCopy(s->text.data, s->text.len);
		char	   *ymd;

		if (value[0] == '\0')
			return;
		if (strlen(value) < 10 || value[4] != '-' || value[7] != '-')
			StatementSyntaxError(r, "\"%.*s\" is not a date",
								 pg_mbcliplen(value, strlen(value), 40), value);
		ymd = psprintf("%.4s%.2s%.2s", value, value + 5, value + 8);
		/* as read, so that 30 February has become a day that there is */
		resetStringInfo(&s->text);
		appendStringInfoString(&s->text, ParseYMD(r, ymd, 4));
		pfree(ymd);
		pfree(value);
	}
}

static void
CloseTag(CamtSplit *s, const char *name, int len)
{
	StatementReader *r = &s->reader;
	const char *local;
	int			n;
	CamtPart   *part;

	if (s->depth == 0 || s->name_len[s->depth - 1] != len ||
		memcmp(s->name[s->depth - 1], name, len) != 0)
		StatementSyntaxError(r, "end tag \"%.*s\" does not fit the element that is open",
							 pg_mbcliplen(name, len, 40), name);
	LocalName(name, len, &local, &n);
	part = CurrentPart(s);
	if (part && s->depth != s->statement_depth)
	{
		if (s->leaf)
		{
			CheckLeaf(s, local, n);
			appendBinaryStringInfo(&part->buf, s->text.data, s->text.len);
		}
		appendStringInfoString(&part->buf, "</");
		appendBinaryStringInfo(&part->buf, local, n);
		appendStringInfoChar(&part->buf, '>');
	}
	s->leaf = false;
	resetStringInfo(&s->text);

	if (s->depth == s->detail_depth)
		s->detail_depth = 0;
	else if (s->depth == s->entry_depth)
		s->entry_depth = 0;
	else if (s->depth == s->statement_depth)
	{
		PutPart(s, &s->entry_part);
		PutPart(s, &s->detail_part);
		PutPart(s, &s->head);
		s->statement_depth = 0;
	}
	else if (s->depth == s->message_depth)
		s->message_depth = 0;
	s->depth--;
}

/* Text between tags; entities are checked, blanks around children dropped. */
static void
ReadText(CamtSplit *s, const char *from, const char *to, bool cdata)
{
	StatementReader *r = &s->reader;

	for (const char *p = from; p < to; p++)
	{
		if (*p == '\n')
			r->lineno++;
		if (s->text.len > STATEMENT_FIELD_MAX)
			StatementSyntaxError(r, "a field is longer than %d bytes", STATEMENT_FIELD_MAX);
		if (cdata && *p == '<')
			appendStringInfoString(&s->text, "&lt;");
		else if (cdata && *p == '&')
			appendStringInfoString(&s->text, "&amp;");
		else if (*p == '>')
			appendStringInfoString(&s->text, "&gt;");
		else if (*p == '&')
		{
			const char *semicolon = memchr(p, ';', Min(to - p, 12));
			int			n = semicolon ? semicolon - p + 1 : 0;
			bool		known = false;

			if (n >= 4 && p[1] == '#')
			{
				bool		hex = (p[2] == 'x');
				uint32		code = 0;
				int			digits = 0;

				for (const char *d = p + 2 + hex; d < semicolon; d++, digits++)
				{
					if (!(hex ? isxdigit((unsigned char) *d) : isdigit((unsigned char) *d)) || digits > 7)
					{
						digits = 0;
						break;
					}
					code = code * (hex ? 16 : 10) +
						(isdigit((unsigned char) *d) ? *d - '0' : tolower((unsigned char) *d) - 'a' + 10);
				}
				known = (digits > 0 && (code >= 32 || code == 9 || code == 10 || code == 13) &&
						 is_valid_unicode_codepoint(code) && (code < 0xD800 || code > 0xDFFF) &&
						 code != 0xFFFE && code != 0xFFFF);
			}
			else
				known = (n > 0 &&
						 (LocalNameIs(p, n, "&amp;") || LocalNameIs(p, n, "&lt;") ||
						  LocalNameIs(p, n, "&gt;") || LocalNameIs(p, n, "&quot;") ||
						  LocalNameIs(p, n, "&apos;")));
			if (!known)
				StatementSyntaxError(r, "an entity that XML does not define");
			appendBinaryStringInfo(&s->text, p, n);
			p += n - 1;
		}
		else
			appendStringInfoChar(&s->text, *p);
	}
}

/* Find a terminator; its absence means that the file is cut off. */
static const char *
FindEnd(CamtSplit *s, const char *from, const char *terminator)
{
	int			n = strlen(terminator);

	for (const char *p = from; p + n <= s->end; p++)
	{
		if (*p == '\n')
			s->reader.lineno++;
		if (memcmp(p, terminator, n) == 0)
			return p;
	}
	StatementSyntaxError(&s->reader, "the XML is cut off");
}

/* A start or end tag at p (after '<'); returns what follows it. */
static const char *
ReadTag(CamtSplit *s, const char *p)
{
	StatementReader *r = &s->reader;
	bool		closing = (*p == '/');
	const char *name = p + closing;
	const char *q = name;
	const char *currency = NULL;
	int			currency_len = 0;
	int			len;
	bool		empty = false;

	while (q < s->end && !isspace((unsigned char) *q) && *q != '>' && *q != '/' && *q != '<')
		q++;
	len = q - name;
	if (len == 0)
		StatementSyntaxError(r, "a tag has no name");
	for (;;)
	{
		const char *attribute;
		const char *value;
		int			attribute_len;
		char		quote;

		while (q < s->end && isspace((unsigned char) *q))
		{
			if (*q == '\n')
				r->lineno++;
			q++;
		}
		if (q >= s->end)
			StatementSyntaxError(r, "the XML is cut off");
		if (*q == '>')
		{
			q++;
			break;
		}
		if (*q == '/' && q + 1 < s->end && q[1] == '>' && !closing)
		{
			empty = true;
			q += 2;
			break;
		}
		attribute = q;
		while (q < s->end && *q != '=' && *q != '>' && *q != '<' && !isspace((unsigned char) *q))
			q++;
		attribute_len = q - attribute;
		while (q < s->end && isspace((unsigned char) *q))
			q++;
		if (closing || attribute_len == 0 || q >= s->end || *q != '=')
			StatementSyntaxError(r, "a tag is not well-formed");
		q++;
		while (q < s->end && isspace((unsigned char) *q))
			q++;
		if (q >= s->end || (*q != '"' && *q != '\''))
			StatementSyntaxError(r, "an attribute has no quotes");
		quote = *q++;
		value = q;
		while (q < s->end && *q != quote && *q != '<')
		{
			if (*q == '\n')
				r->lineno++;
			q++;
		}
		if (q >= s->end || *q != quote)
			StatementSyntaxError(r, "an attribute is cut off");
		if (LocalNameIs(attribute, attribute_len, "Ccy"))
		{
			currency = value;
			currency_len = q - value;
		}
		q++;
	}

	if (closing)
		CloseTag(s, name, len);
	else
	{
		OpenTag(s, name, len, currency, currency_len);
		if (empty)
			CloseTag(s, name, len);
	}
	return q;
}

/* o2c._camt_parts(content text) -> (message, statement_no, kind, fragment xml) */
Datum
o2c_camt_parts(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	text	   *content = PG_GETARG_TEXT_PP(0);
	CamtSplit	s = {0};
	MemoryContext cxt;
	MemoryContext old;
	bool		any = false;

	InitMaterializedSRF(fcinfo, 0);
	cxt = AllocSetContextCreate(CurrentMemoryContext, "order2cash camt reader",
								ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(cxt);
	s.store = rsinfo->setResult;
	s.desc = rsinfo->setDesc;
	s.p = VARDATA_ANY(content);
	s.end = s.p + VARSIZE_ANY_EXHDR(content);
	s.reader.format = "XML";
	s.reader.lineno = 1;
	InitPart(&s.head, "head");
	InitPart(&s.entry_part, "entries");
	InitPart(&s.detail_part, "details");
	initStringInfo(&s.text);

	while (s.p < s.end)
	{
		const char *lt = memchr(s.p, '<', s.end - s.p);
		const char *text_end = lt ? lt : s.end;

		if (s.depth == 0)
		{
			/* nothing but blanks outside the root */
			for (const char *q = s.p; q < text_end; q++)
			{
				if (*q == '\n')
					s.reader.lineno++;
				if (!isspace((unsigned char) *q))
					StatementSyntaxError(&s.reader, "text outside the document");
			}
		}
		else
			ReadText(&s, s.p, text_end, false);
		if (lt == NULL)
			break;
		s.p = lt + 1;
		if (s.p >= s.end)
			StatementSyntaxError(&s.reader, "the XML is cut off");
		if (*s.p == '?')
			s.p = FindEnd(&s, s.p, "?>") + 2;
		else if (s.end - s.p >= 3 && memcmp(s.p, "!--", 3) == 0)
			s.p = FindEnd(&s, s.p + 3, "-->") + 3;
		else if (s.end - s.p >= 8 && memcmp(s.p, "![CDATA[", 8) == 0)
		{
			const char *close;
			int			lineno = s.reader.lineno;

			if (s.depth == 0)
				StatementSyntaxError(&s.reader, "text outside the document");
			close = FindEnd(&s, s.p + 8, "]]>");
			s.reader.lineno = lineno;
			ReadText(&s, s.p + 8, close, true);
			s.p = close + 3;
		}
		else if (*s.p == '!')
			StatementSyntaxError(&s.reader, "a document type declaration is not allowed");
		else
		{
			if (s.depth == 0 && any)
				StatementSyntaxError(&s.reader, "a second document in the file");
			any = true;
			s.p = ReadTag(&s, s.p);
		}
	}
	if (s.depth > 0 || !any)
		StatementSyntaxError(&s.reader, "the XML is cut off");
	if (s.message[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_O2C_STATEMENT_TYPE),
				 errmsg("the XML file is not a bank statement: it holds \"%s\"", s.root),
				 errhint("Statements are camt.053, notifications camt.054, account reports camt.052.")));
	if (s.statements == 0)
		StatementSyntaxError(&s.reader, "the message holds no statement");

	MemoryContextSwitchTo(old);
	MemoryContextDelete(cxt);
	return (Datum) 0;
}
