/*
 * statement.c
 *		Rows out of bank files: the set-returning function over all line
 *		formats and the pieces that the readers share.
 *
 * Rows go to a tuplestore, which spills to disk beyond work_mem; what a reader
 * allocates for a line lives in line_cxt and is gone when the line is put.
 */
#include "statement.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(o2c_statement_rows);

/* o2c._statement_rows(content text, format text, settings text) */
Datum
o2c_statement_rows(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	text	   *content;
	char	   *format;
	char	   *settings;
	StatementReader r = {0};
	MemoryContext reader_cxt;
	MemoryContext old;

	InitMaterializedSRF(fcinfo, 0);
	/* only the settings may be missing, so the function cannot be STRICT */
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	content = PG_GETARG_TEXT_PP(0);
	format = text_to_cstring(PG_GETARG_TEXT_PP(1));
	settings = PG_ARGISNULL(2) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(2));

	reader_cxt = AllocSetContextCreate(CurrentMemoryContext,
									   "order2cash statement reader",
									   ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(reader_cxt);
	r.line_cxt = AllocSetContextCreate(reader_cxt,
									   "order2cash statement line",
									   ALLOCSET_DEFAULT_SIZES);
	r.head_cxt = AllocSetContextCreate(reader_cxt,
									   "order2cash statement head",
									   ALLOCSET_SMALL_SIZES);
	r.attinmeta = TupleDescGetAttInMetadata(rsinfo->setDesc);
	r.store = rsinfo->setResult;
	r.pos = VARDATA_ANY(content);
	r.end = r.pos + VARSIZE_ANY_EXHDR(content);
	r.statement_no = 1;
	if (rsinfo->setDesc->natts != STATEMENT_COLUMNS)
		elog(ERROR, "unexpected row type of statement rows");

	MemoryContextSwitchTo(r.line_cxt);
	initStringInfo(&r.details);

	if (strcmp(format, "mt940") == 0 || strcmp(format, "mt942") == 0)
	{
		r.format = "MT940";
		ReadMt940(&r);
	}
	else if (strcmp(format, "bai2") == 0)
	{
		r.format = "BAI2";
		ReadBai2(&r);
	}
	else if (strcmp(format, "coda") == 0)
	{
		r.format = "CODA";
		ReadCoda(&r);
	}
	else if (strcmp(format, "ofx") == 0)
	{
		r.format = "OFX";
		ReadOfx(&r);
	}
	else if (strcmp(format, "csv") == 0)
	{
		r.format = "CSV";
		ReadCsv(&r, settings);
	}
	else
		ereport(ERROR,
				(errcode(ERRCODE_O2C_STATEMENT_TYPE),
				 errmsg("there is no line format \"%s\"", format),
				 errhint("Use mt940, mt942, bai2, coda, ofx or csv.")));

	MemoryContextSwitchTo(old);
	MemoryContextDelete(reader_cxt);
	return (Datum) 0;
}

/* Refuse the file: what it was read as, at which line, why. */
void
StatementSyntaxError(StatementReader *r, const char *fmt,...)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (;;)
	{
		va_list		args;
		int			needed;

		va_start(args, fmt);
		needed = appendStringInfoVA(&buf, fmt, args);
		va_end(args);
		if (needed == 0)
			break;
		enlargeStringInfo(&buf, needed);
	}
	/* an excerpt may end within a character */
	for (;;)
	{
		int			good = pg_encoding_verifymbstr(GetDatabaseEncoding(), buf.data, buf.len);

		if (good >= buf.len)
			break;
		buf.data[good] = '?';
	}
	ereport(ERROR,
			(errcode(ERRCODE_O2C_STATEMENT_SYNTAX),
			 errmsg("cannot read the file as %s: line %d: %s", r->format,
					r->lineno, buf.data),
			 errhint("Nothing was imported. Ask the bank for the file again, or name its format.")));
	pg_unreachable();
}

/* Set a column of the line; the value is copied, null and empty leave null. */
void
LineSet(StatementReader *r, StatementColumn column, const char *value)
{
	if (value == NULL || value[0] == '\0')
		return;
	if (strlen(value) > STATEMENT_FIELD_MAX)
		StatementSyntaxError(r, "a field is longer than %d bytes", STATEMENT_FIELD_MAX);
	r->row[column] = MemoryContextStrdup(r->line_cxt, value);
}

/* Append to a column of the line, with the separator if there is something. */
void
LineAppend(StatementReader *r, StatementColumn column, const char *separator,
		   const char *value, int len)
{
	int			have;
	int			seplen;

	while (len > 0 && isspace((unsigned char) value[len - 1]))
		len--;
	if (len <= 0)
		return;
	have = r->row[column] ? strlen(r->row[column]) : 0;
	seplen = have ? strlen(separator) : 0;
	if (have + seplen + len > STATEMENT_FIELD_MAX)
		StatementSyntaxError(r, "a field is longer than %d bytes", STATEMENT_FIELD_MAX);
	if (r->row[column] == NULL)
		r->row[column] = MemoryContextAlloc(r->line_cxt, len + 1);
	else
		r->row[column] = repalloc(r->row[column], have + seplen + len + 1);
	memcpy(r->row[column] + have, separator, seplen);
	memcpy(r->row[column] + have + seplen, value, len);
	r->row[column][have + seplen + len] = '\0';
}

/* Note a further fact of the line in details; empty values are left out. */
void
LineDetail(StatementReader *r, const char *key, const char *value)
{
	if (value == NULL || value[0] == '\0')
		return;
	if (r->details.len + strlen(value) > STATEMENT_FIELD_MAX)
		StatementSyntaxError(r, "the details of a line are longer than %d bytes",
							 STATEMENT_FIELD_MAX);
	appendStringInfoString(&r->details, r->details.len ? ", " : "{");
	escape_json(&r->details, key);
	appendStringInfoString(&r->details, ": ");
	escape_json(&r->details, value);
}

/* Store a row built of cstrings. */
static void
PutRow(StatementReader *r, char **values, int line_no)
{
	HeapTuple	tuple;
	char		number[2][12];

	CHECK_FOR_INTERRUPTS();
	/* fixed positions may cut a character in two: such a value is none */
	for (int i = 0; i < STATEMENT_COLUMNS; i++)
		if (values[i] != NULL && !pg_verifymbstr(values[i], strlen(values[i]), true))
			StatementSyntaxError(r, "a field is cut within a character");
	snprintf(number[0], sizeof(number[0]), "%d", r->statement_no);
	snprintf(number[1], sizeof(number[1]), "%d", line_no);
	values[COL_STATEMENT_NO] = number[0];
	values[COL_LINE_NO] = number[1];
	tuple = BuildTupleFromCStrings(r->attinmeta, values);
	tuplestore_puttuple(r->store, tuple);
}

/* The line is complete: store it and start afresh. */
void
LinePut(StatementReader *r)
{
	if (r->details.len)
	{
		appendStringInfoChar(&r->details, '}');
		r->row[COL_DETAILS] = r->details.data;
	}
	PutRow(r, r->row, ++r->line_no);
	memset(r->row, 0, sizeof(r->row));
	MemoryContextReset(r->line_cxt);
	MemoryContextSwitchTo(r->line_cxt);
	initStringInfo(&r->details);
}

/* Set a column of the statement. */
void
HeadSet(StatementReader *r, StatementColumn column, const char *value)
{
	if (value == NULL || value[0] == '\0')
		return;
	if (strlen(value) > STATEMENT_FIELD_MAX)
		StatementSyntaxError(r, "a field is longer than %d bytes", STATEMENT_FIELD_MAX);
	r->head[column] = MemoryContextStrdup(r->head_cxt, value);
}

/* The statement is complete: store its row and start the next. */
void
HeadPut(StatementReader *r)
{
	MemoryContext old = MemoryContextSwitchTo(r->head_cxt);

	PutRow(r, r->head, 0);
	MemoryContextSwitchTo(old);
	memset(r->head, 0, sizeof(r->head));
	MemoryContextReset(r->head_cxt);
	r->statement_no++;
	r->line_no = 0;
}

/* The next physical line without its end (LF, CR, CRLF); false at the end. */
bool
NextLine(StatementReader *r, const char **line, int *len)
{
	const char *p = r->pos;

	if (p >= r->end)
		return false;
	while (p < r->end && *p != '\n' && *p != '\r')
		p++;
	*line = r->pos;
	*len = p - r->pos;
	if (p < r->end)
	{
		if (*p == '\r' && p + 1 < r->end && p[1] == '\n')
			p++;
		p++;
	}
	r->pos = p;
	r->lineno++;
	return true;
}

/* A palloc'd copy without blanks at both ends. */
char *
TrimmedCopy(const char *s, int len)
{
	while (len > 0 && isspace((unsigned char) *s))
		s++, len--;
	while (len > 0 && isspace((unsigned char) s[len - 1]))
		len--;
	return pnstrdup(s, Max(len, 0));
}

/* Nothing but digits, and at least one. */
bool
AllDigits(const char *s, int len)
{
	if (len <= 0)
		return false;
	for (int i = 0; i < len; i++)
		if (!isdigit((unsigned char) s[i]))
			return false;
	return true;
}

/* Two letters, two digits, then 8 to 30 letters and digits: shaped as an IBAN. */
bool
LooksLikeIban(const char *s, int len)
{
	if (len < 12 || len > 34 ||
		!isupper((unsigned char) s[0]) || !isupper((unsigned char) s[1]) ||
		!isdigit((unsigned char) s[2]) || !isdigit((unsigned char) s[3]))
		return false;
	for (int i = 4; i < len; i++)
		if (!isupper((unsigned char) s[i]) && !isdigit((unsigned char) s[i]))
			return false;
	return true;
}

/* A reference that says that there is none, or too short to mean one. */
bool
NoReference(const char *ref)
{
	static const char *const none[] = {
		"NONREF", "NOREF", "NONE", "NOTPROVIDED", "NOT PROVIDED", "KREF+",
		"KREF", "EREF+", "EREF", "PREF", "MARF", "NOTAPPLICABLE"
	};

	for (int i = 0; i < (int) lengthof(none); i++)
		if (pg_strcasecmp(ref, none[i]) == 0)
			return true;
	return strlen(ref) < 2 || strspn(ref, "0 .-") == strlen(ref);
}

/*
 * An amount as numeric_in reads it, without leading zeros.  decimal is the
 * mark of decimals (either '.' or ',' if it is 0), thousands a mark to leave
 * out (none if 0).  Signs at either end are read.
 */
char *
ParseAmount(StatementReader *r, const char *s, int len, char decimal, char thousands)
{
	char	   *result = palloc(STATEMENT_AMOUNT_DIGITS + STATEMENT_AMOUNT_DECIMALS + 4);
	char	   *out = result;
	int			digits = 0;
	int			decimals = -1;
	bool		negative = false;
	bool		any = false;
	char	   *shown = pnstrdup(s, pg_mbcliplen(s, len, 40));

	while (len > 0 && isspace((unsigned char) *s))
		s++, len--;
	while (len > 0 && isspace((unsigned char) s[len - 1]))
		len--;
	if (len > 0 && (*s == '-' || *s == '+'))
	{
		negative = (*s == '-');
		s++, len--;
	}
	else if (len > 0 && (s[len - 1] == '-' || s[len - 1] == '+'))
	{
		negative = (s[len - 1] == '-');
		len--;
	}

	if (negative)
		*out++ = '-';
	for (int i = 0; i < len; i++)
	{
		char		c = s[i];

		if (isdigit((unsigned char) c))
		{
			any = true;
			if (decimals >= 0)
			{
				if (++decimals > STATEMENT_AMOUNT_DECIMALS)
					StatementSyntaxError(r, "amount \"%s\" has too many decimals", shown);
				*out++ = c;
			}
			else if (digits > 0 || c != '0')
			{
				if (++digits > STATEMENT_AMOUNT_DIGITS)
					StatementSyntaxError(r, "amount \"%s\" has too many digits", shown);
				*out++ = c;
			}
		}
		else if (decimals < 0 && any &&
				 (decimal ? c == decimal : (c == ',' || c == '.')))
		{
			decimals = 0;
			if (digits == 0)
				*out++ = '0';
			*out++ = '.';
		}
		else if (thousands && c == thousands && decimals < 0)
			continue;
		else
			StatementSyntaxError(r, "\"%s\" is not an amount", shown);
	}
	if (!any)
		StatementSyntaxError(r, "\"%s\" is not an amount", shown);
	if (decimals < 0 && digits == 0)
		*out++ = '0';
	if (decimals == 0)
		out--;					/* nothing follows the mark */
	*out = '\0';
	return result;
}

/* The amount with the other sign. */
char *
NegatedAmount(const char *amount)
{
	return amount[0] == '-' ? pstrdup(amount + 1) : psprintf("-%s", amount);
}

/*
 * A date in ISO form, or an error that shows the text.  Banks that count
 * interest in months of 30 days value on 29 and 30 February of any year: that
 * is read as the month's last day.
 */
char *
FormatDate(StatementReader *r, int y, int m, int d, const char *shown)
{
	static const int month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool		leap = (y % 4 == 0 && (y % 100 != 0 || y % 400 == 0));
	int			last;

	if (y < 1900 || y > 2199 || m < 1 || m > 12 || d < 1)
		StatementSyntaxError(r, "\"%s\" is not a date", shown);
	last = month_days[m - 1] + (m == 2 && leap ? 1 : 0);
	if (m == 2 && d > last && d <= 30)
		d = last;
	if (d > last)
		StatementSyntaxError(r, "\"%s\" is not a date", shown);
	return psprintf("%04d-%02d-%02d", y, m, d);
}

/* YYMMDD or YYYYMMDD (ylen 2 or 4 digits of year) to an ISO date. */
char *
ParseYMD(StatementReader *r, const char *s, int ylen)
{
	char	   *shown = pnstrdup(s, ylen + 4);
	int			y;
	int			m;
	int			d;

	if (!AllDigits(shown, strlen(shown)) || (int) strlen(shown) != ylen + 4)
		StatementSyntaxError(r, "\"%s\" is not a date", shown);
	if (ylen == 2)
	{
		y = (s[0] - '0') * 10 + (s[1] - '0');
		y += (y < 80) ? 2000 : 1900;
	}
	else
		y = (s[0] - '0') * 1000 + (s[1] - '0') * 100 + (s[2] - '0') * 10 + (s[3] - '0');
	m = (s[ylen] - '0') * 10 + (s[ylen + 1] - '0');
	d = (s[ylen + 2] - '0') * 10 + (s[ylen + 3] - '0');
	return FormatDate(r, y, m, d, shown);
}
