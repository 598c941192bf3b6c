/*
 * bai2.c
 *		BAI2 cash management files, as banks in North America send them.
 *
 * Records 01 file, 02 group, 03 account, 16 transaction, 88 continuation,
 * 49/98/99 trailers; fields end at a comma, a record at a slash, a text at the
 * record's end.  An account is a statement.  Its trailer's control total and
 * the opening and closing ledger balance (010, 015), where both are given,
 * must fit what was read; without them the report proves no balance.
 *
 * Banks put several records on a line, break lines inside a record and leave
 * out the last slash; records are therefore found by "nn," after a slash or at
 * the beginning of a line.
 */
#include "statement.h"

#include "common/int.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

typedef struct Bai2
{
	StatementReader *r;
	MemoryContext cxt;			/* lives for the file */
	char	   *record;			/* the logical record, 88s joined with \n */
	int			record_len;
	int			record_size;
	bool		record_open;	/* no slash has ended it yet */

	char		as_of[11];		/* the group's date, ISO */
	char		group_currency[4];
	char		currency[4];
	int			decimals;
	bool		in_account;
	char	   *opening;		/* 010 and 015, in cxt */
	char	   *closing;
	int64		control;		/* sum of the account's amounts */
	int64		group_control;
	int64		file_control;
	bool		file_over;
	bool		file_open;
} Bai2;

/* The record's fields one by one. */
typedef struct FieldCursor
{
	char	   *p;				/* NULL: no more */
} FieldCursor;

/* The next field, "" when there is none; commas and line breaks end it. */
static char *
NextField(FieldCursor *cursor)
{
	char	   *start = cursor->p;
	char	   *end;

	if (start == NULL)
		return "";
	end = start + strcspn(start, ",\n");
	if (*end == '\0')
		cursor->p = NULL;
	else
	{
		cursor->p = end + 1;
		*end = '\0';
	}
	while (*start == ' ')
		start++;
	end = start + strlen(start);
	while (end > start && isspace((unsigned char) end[-1]))
		*--end = '\0';
	return start;
}

static bool
MoreFields(FieldCursor *cursor)
{
	return cursor->p != NULL && *cursor->p != '\0';
}

/* How many decimals the amounts of a currency imply. */
static int
ImpliedDecimals(const char *currency)
{
	static const char *const zero[] = {
		"BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF",
		"UGX", "VND", "VUV", "XAF", "XOF", "XPF"
	};
	static const char *const three[] = {"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"};

	for (int i = 0; i < (int) lengthof(zero); i++)
		if (strcmp(currency, zero[i]) == 0)
			return 0;
	for (int i = 0; i < (int) lengthof(three); i++)
		if (strcmp(currency, three[i]) == 0)
			return 3;
	return 2;
}

/* An amount in minor units, added to the control total; as a decimal text. */
static char *
ReadMinorUnits(Bai2 *b, const char *s)
{
	StatementReader *r = b->r;
	const char *digits = s + (*s == '-' || *s == '+');
	int64		value;

	if (!AllDigits(digits, strlen(digits)))
		StatementSyntaxError(r, "\"%.40s\" is not an amount", s);
	while (*digits == '0' && digits[1] != '\0')
		digits++;
	if (strlen(digits) > STATEMENT_AMOUNT_DIGITS)
		StatementSyntaxError(r, "amount \"%.40s\" has too many digits", s);
	value = strtoll(digits, NULL, 10);
	if (*s == '-')
		value = -value;
	if (pg_add_s64_overflow(b->control, value, &b->control))
		StatementSyntaxError(r, "the control total is out of range");
	if (b->decimals == 0)
		return psprintf(INT64_FORMAT, value);
	else
	{
		int64		unit = b->decimals == 3 ? 1000 : 100;
		int64		magnitude = value < 0 ? -value : value;

		return psprintf("%s" INT64_FORMAT ".%0*d", value < 0 ? "-" : "",
						magnitude / unit, b->decimals, (int) (magnitude % unit));
	}
}

/* Skip what a funds type brings along; returns a value date for type V. */
static char *
ReadFundsType(Bai2 *b, FieldCursor *cursor, const char *type)
{
	StatementReader *r = b->r;
	char	   *value_date = NULL;

	if (strcmp(type, "V") == 0)
	{
		char	   *date = NextField(cursor);

		(void) NextField(cursor);	/* time */
		if (date[0] != '\0')
			value_date = ParseYMD(r, date, strlen(date) == 8 ? 4 : 2);
	}
	else if (strcmp(type, "S") == 0)
	{
		for (int i = 0; i < 3; i++)
			(void) NextField(cursor);
	}
	else if (strcmp(type, "D") == 0)
	{
		char	   *count = NextField(cursor);
		int			n = strlen(count) <= 3 && AllDigits(count, strlen(count)) ? atoi(count) : -1;

		if (n < 0)
			StatementSyntaxError(r, "the distribution of an amount has no count");
		for (int i = 0; i < 2 * n; i++)
			(void) NextField(cursor);
	}
	else if (type[0] != '\0' && (type[1] != '\0' || strchr("Z012", type[0]) == NULL))
		StatementSyntaxError(r, "unknown funds type \"%.10s\"", type);
	return value_date;
}

static void
CheckControl(Bai2 *b, const char *what, const char *stated, int64 found)
{
	StatementReader *r = b->r;
	const char *digits = stated + (*stated == '-' || *stated == '+');
	int64		value;

	if (stated[0] == '\0')
		return;
	if (!AllDigits(digits, strlen(digits)) || strlen(digits) > 18)
		StatementSyntaxError(r, "the control total of the %s is not a number", what);
	value = strtoll(digits, NULL, 10);
	if (*stated == '-')
		value = -value;
	if (value != found)
		ereport(ERROR,
				(errcode(ERRCODE_O2C_STATEMENT_BALANCE),
				 errmsg("control total of the %s does not fit: " INT64_FORMAT " stated, " INT64_FORMAT " found",
						what, value, found),
				 errdetail("Line %d; the totals are in minor units.", r->lineno),
				 errhint("Nothing was imported. The file may be cut off; ask the bank for it again.")));
}

static void
ReadGroup(Bai2 *b, FieldCursor *cursor)
{
	StatementReader *r = b->r;
	char	   *field;

	(void) NextField(cursor);	/* receiver */
	(void) NextField(cursor);	/* originator */
	(void) NextField(cursor);	/* status */
	field = NextField(cursor);
	if (field[0] == '\0')
		StatementSyntaxError(r, "the group has no as-of date");
	strlcpy(b->as_of, ParseYMD(r, field, strlen(field) == 8 ? 4 : 2), sizeof(b->as_of));
	(void) NextField(cursor);	/* time */
	field = NextField(cursor);
	if (field[0] != '\0' && strlen(field) != 3)
		StatementSyntaxError(r, "\"%.10s\" is not a currency", field);
	strlcpy(b->group_currency, field[0] ? field : "USD", sizeof(b->group_currency));
	b->group_control = 0;
}

static void
ReadAccount(Bai2 *b, FieldCursor *cursor)
{
	StatementReader *r = b->r;
	char	   *account = pstrdup(NextField(cursor));
	char	   *currency;

	if (b->as_of[0] == '\0')
		StatementSyntaxError(r, "an account (03) before its group (02)");
	if (b->in_account)
		StatementSyntaxError(r, "an account (03) inside another");
	if (account[0] == '\0')
		StatementSyntaxError(r, "an account record (03) without account number");
	currency = NextField(cursor);
	if (currency[0] != '\0' && strlen(currency) != 3)
		StatementSyntaxError(r, "\"%.10s\" is not a currency", currency);
	strlcpy(b->currency, currency[0] ? currency : b->group_currency, sizeof(b->currency));
	b->decimals = ImpliedDecimals(b->currency);
	b->control = 0;
	b->opening = b->closing = NULL;
	b->in_account = true;
	HeadSet(r, COL_ACCOUNT, account);
	HeadSet(r, COL_CURRENCY, b->currency);
	HeadSet(r, COL_FROM_DATE, b->as_of);
	HeadSet(r, COL_TO_DATE, b->as_of);

	while (MoreFields(cursor))
	{
		char	   *type = NextField(cursor);
		char	   *amount = NextField(cursor);
		char	   *value = NULL;

		if (type[0] == '\0' && amount[0] == '\0' && !MoreFields(cursor))
			break;
		if (amount[0] != '\0')
			value = ReadMinorUnits(b, amount);
		if (strcmp(type, "010") == 0 && value)
			b->opening = MemoryContextStrdup(b->cxt, value);
		else if (strcmp(type, "015") == 0 && value)
			b->closing = MemoryContextStrdup(b->cxt, value);
		(void) NextField(cursor);	/* item count */
		(void) ReadFundsType(b, cursor, NextField(cursor));
	}
}

static void
ReadTransaction(Bai2 *b, FieldCursor *cursor)
{
	StatementReader *r = b->r;
	char	   *type = NextField(cursor);
	char	   *amount;
	char	   *value_date;
	char	   *ref;
	int			code;

	if (!b->in_account)
		StatementSyntaxError(r, "a transaction (16) outside an account (03)");
	if (strlen(type) != 3 || !AllDigits(type, 3))
		StatementSyntaxError(r, "\"%.10s\" is not a transaction type", type);
	code = atoi(type);
	amount = NextField(cursor);
	value_date = amount[0] ? ReadMinorUnits(b, amount) : pstrdup("0");
	amount = value_date;
	value_date = ReadFundsType(b, cursor, NextField(cursor));

	/*
	 * 100 to 399 are credits, 400 to 699 debits, 890 to 899 no money at all;
	 * 920 to 959 and 960 to 999 are the bank's own credits and debits.
	 */
	if ((code >= 100 && code <= 399) || (code >= 920 && code <= 959))
		LineSet(r, COL_AMOUNT, amount);
	else if ((code >= 400 && code <= 699) || code >= 960)
		LineSet(r, COL_AMOUNT, NegatedAmount(amount));
	else if (code >= 890 && code <= 899)
		return;
	else
		StatementSyntaxError(r, "transaction type %s is neither credit nor debit", type);
	LineSet(r, COL_CURRENCY, b->currency);
	LineSet(r, COL_BOOKING_DATE, b->as_of);
	LineSet(r, COL_VALUE_DATE, value_date ? value_date : b->as_of);
	LineSet(r, COL_TRANSACTION_CODE, type);
	ref = NextField(cursor);
	if (strspn(ref, "0") != strlen(ref))
		LineSet(r, COL_BANK_REF, ref);
	ref = NextField(cursor);
	if (strspn(ref, "0") != strlen(ref))
	{
		LineSet(r, COL_END_TO_END_ID, ref);
		LineDetail(r, "customer_ref", ref);
	}
	if (cursor->p)
	{
		char	   *text = cursor->p;

		/* the text with its continuations, blanks made single */
		for (char *p = text; *p; p++)
			if (*p == '\n')
				*p = ' ';
		text = TrimmedCopy(text, strlen(text));
		for (char *in = text, *out = text;; in++)
		{
			if (*in == ' ' && in[1] == ' ')
				continue;
			*out++ = *in;
			if (*in == '\0')
				break;
		}
		LineSet(r, COL_REMITTANCE_TEXT, text);
	}
	if (code == 555 || code == 552 || code == 257 || code == 252 || code == 559)
		LineDetail(r, "returned", "true");
	LinePut(r);
}

static void
EndAccount(Bai2 *b, FieldCursor *cursor)
{
	StatementReader *r = b->r;

	if (!b->in_account)
		StatementSyntaxError(r, "an account trailer (49) without account (03)");
	CheckControl(b, "account", NextField(cursor), b->control);
	if (pg_add_s64_overflow(b->group_control, b->control, &b->group_control))
		StatementSyntaxError(r, "the control total is out of range");
	if (b->opening && b->closing)
	{
		HeadSet(r, COL_OPENING_BALANCE, b->opening);
		HeadSet(r, COL_CLOSING_BALANCE, b->closing);
	}
	else
	{
		HeadSet(r, COL_INTERIM, "true");
		HeadSet(r, COL_OPENING_BALANCE, b->opening);
		HeadSet(r, COL_CLOSING_BALANCE, b->closing);
	}
	HeadPut(r);
	b->in_account = false;
}

/* A logical record is complete. */
static void
ReadRecord(Bai2 *b)
{
	StatementReader *r = b->r;
	FieldCursor cursor;
	char		code[3];

	if (b->record_len == 0)
		return;
	b->record[b->record_len] = '\0';
	memcpy(code, b->record, 2);
	code[2] = '\0';
	cursor.p = b->record + 3;

	if (b->file_over && strcmp(code, "01") != 0)
		StatementSyntaxError(r, "record %s after the file trailer (99)", code);
	if (strcmp(code, "01") == 0)
	{
		if (b->file_open)
			StatementSyntaxError(r, "the file before has no trailer (99)");
		b->file_control = 0;
		b->file_over = false;
		b->file_open = true;
	}
	else if (!b->file_open)
		StatementSyntaxError(r, "record %s before the file header (01)", code);
	else if (strcmp(code, "02") == 0)
		ReadGroup(b, &cursor);
	else if (strcmp(code, "03") == 0)
		ReadAccount(b, &cursor);
	else if (strcmp(code, "16") == 0)
		ReadTransaction(b, &cursor);
	else if (strcmp(code, "49") == 0)
		EndAccount(b, &cursor);
	else if (strcmp(code, "98") == 0)
	{
		if (b->in_account)
			StatementSyntaxError(r, "the account before has no trailer (49)");
		CheckControl(b, "group", NextField(&cursor), b->group_control);
		if (pg_add_s64_overflow(b->file_control, b->group_control, &b->file_control))
			StatementSyntaxError(r, "the control total is out of range");
		b->as_of[0] = '\0';
	}
	else if (strcmp(code, "99") == 0)
	{
		if (b->as_of[0] != '\0' || b->in_account)
			StatementSyntaxError(r, "the group before has no trailer (98)");
		CheckControl(b, "file", NextField(&cursor), b->file_control);
		b->file_over = true;
		b->file_open = false;
	}
	b->record_len = 0;
}

static void
AppendRecord(Bai2 *b, const char *s, int len)
{
	if (b->record_len + len + 2 > STATEMENT_FIELD_MAX)
		StatementSyntaxError(b->r, "a record is longer than %d bytes", STATEMENT_FIELD_MAX);
	memcpy(b->record + b->record_len, s, len);
	b->record_len += len;
}

/* Does a record begin here: a known code and a comma? */
static bool
RecordAt(const char *s, int len)
{
	static const char *const codes[] = {"01", "02", "03", "16", "49", "88", "98", "99"};

	if (len < 3 || s[2] != ',')
		return false;
	for (int i = 0; i < (int) lengthof(codes); i++)
		if (memcmp(s, codes[i], 2) == 0)
			return true;
	return false;
}

/* Read a whole BAI2 file. */
void
ReadBai2(StatementReader *r)
{
	Bai2		b = {.r = r};
	const char *line;
	int			len;

	b.cxt = MemoryContextGetParent(r->head_cxt);
	b.record = MemoryContextAlloc(b.cxt, STATEMENT_FIELD_MAX + 2);

	while (NextLine(r, &line, &len))
	{
		while (len > 0)
		{
			int			end = len;

			while (len > 0 && (*line == ' ' || *line == '\t'))
				line++, len--, end--;
			if (len == 0)
				break;

			/* the record ends at a slash that ends the line or is before another */
			for (int i = 0; i < len; i++)
			{
				int			j = i + 1;

				if (line[i] != '/')
					continue;
				while (j < len && isspace((unsigned char) line[j]))
					j++;
				if (j == len || (j > i + 1 && RecordAt(line + j, len - j)))
				{
					end = i;
					break;
				}
			}
			if (RecordAt(line, len))
			{
				if (memcmp(line, "88,", 3) == 0)
				{
					if (b.record_len == 0)
						StatementSyntaxError(r, "a continuation (88) without a record");
					AppendRecord(&b, "\n", 1);
					AppendRecord(&b, line + 3, end - 3 > 0 ? end - 3 : 0);
				}
				else
				{
					r->lineno--;
					ReadRecord(&b);
					r->lineno++;
					AppendRecord(&b, line, end);
				}
			}
			else if (b.record_len > 0)
			{
				/* a line break inside a record */
				AppendRecord(&b, " ", 1);
				AppendRecord(&b, line, end);
			}
			else
				StatementSyntaxError(r, "the line begins with no record code");
			line += Min(end + 1, len);
			len -= Min(end + 1, len);
		}
	}
	ReadRecord(&b);
	if (!b.file_over)
		StatementSyntaxError(r, "the file has no trailer (99); it may be cut off");
	if (r->statement_no == 1)
		StatementSyntaxError(r, "the file holds no statement");
}
