/*
 * csv.c
 *		Bank lines from CSV files, by a mapping that is data.
 *
 * The settings come as lines "key=value" (o2c._csv_settings makes them of
 * o2c.statement_format.settings): delimiter, quote, skip, header, decimal,
 * thousands, date_format, debit_mark (repeated), column.FIELD=HEADING or
 * POSITION (repeated: joined with a blank).
 *
 * With a column "balance" the running balances prove opening and closing
 * balance, whichever way the rows are ordered; without one the file proves
 * none.
 */
#include "statement.h"

#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/numeric.h"

#define MAX_COLUMNS 256
#define MAX_MAPPINGS 64
#define MAX_MARKS 16

/* Fields that are not columns of a line as they stand. */
enum
{
	FIELD_CREDIT = STATEMENT_COLUMNS,
	FIELD_DEBIT,
	FIELD_MARK,
	FIELD_BALANCE
};

static const struct
{
	const char *name;
	int			field;
}			csv_fields[] = {
	{"account", COL_ACCOUNT},
	{"booking_date", COL_BOOKING_DATE},
	{"value_date", COL_VALUE_DATE},
	{"amount", COL_AMOUNT},
	{"credit", FIELD_CREDIT},
	{"debit", FIELD_DEBIT},
	{"mark", FIELD_MARK},
	{"balance", FIELD_BALANCE},
	{"currency", COL_CURRENCY},
	{"payer_name", COL_PAYER_NAME},
	{"payer_iban", COL_PAYER_IBAN},
	{"payer_account", COL_PAYER_ACCOUNT},
	{"payer_bic", COL_PAYER_BIC},
	{"remittance_text", COL_REMITTANCE_TEXT},
	{"structured_ref", COL_STRUCTURED_REF},
	{"end_to_end_id", COL_END_TO_END_ID},
	{"mandate_id", COL_MANDATE_ID},
	{"bank_ref", COL_BANK_REF},
	{"transaction_code", COL_TRANSACTION_CODE},
	{"charges", COL_CHARGES},
};

typedef struct Mapping
{
	int			field;
	char	   *source;			/* heading or position as text */
	int			position;		/* of the column, from 0 */
} Mapping;

typedef struct Csv
{
	StatementReader *r;
	MemoryContext cxt;			/* lives for the file */
	char		delimiter;		/* 0: find it in the heading */
	char		quote;
	char		decimal;
	char		thousands;
	int			skip;
	bool		header;
	char	   *date_format;
	char	   *marks[MAX_MARKS];
	int			nmarks;
	Mapping		mappings[MAX_MAPPINGS];
	int			nmappings;

	char	   *columns[MAX_COLUMNS];
	int			ncolumns;

	/* running balances, in cxt */
	Numeric		first_amount;
	Numeric		first_balance;
	Numeric		last_amount;
	Numeric		last_balance;
	bool		ascending;
	bool		descending;
	int			broken_line;
} Csv;

static void
ReadSettings(Csv *c, const char *settings)
{
	const char *p = settings ? settings : "";

	c->quote = '"';
	c->header = true;
	c->date_format = "YYYY-MM-DD";
	while (*p != '\0')
	{
		const char *nl = p + strcspn(p, "\n");
		const char *eq = memchr(p, '=', nl - p);
		char	   *key;
		char	   *value;

		if (eq != NULL)
		{
			MemoryContext old = MemoryContextSwitchTo(c->cxt);

			key = pnstrdup(p, eq - p);
			value = pnstrdup(eq + 1, nl - eq - 1);
			MemoryContextSwitchTo(old);
			if (strcmp(key, "delimiter") == 0)
				c->delimiter = strcmp(value, "\\t") == 0 ? '\t' : value[0];
			else if (strcmp(key, "quote") == 0)
				c->quote = value[0];
			else if (strcmp(key, "decimal") == 0)
				c->decimal = value[0];
			else if (strcmp(key, "thousands") == 0)
				c->thousands = value[0];
			else if (strcmp(key, "skip") == 0)
				c->skip = atoi(value);
			else if (strcmp(key, "header") == 0)
				c->header = (strcmp(value, "false") != 0);
			else if (strcmp(key, "date_format") == 0)
				c->date_format = value;
			else if (strcmp(key, "debit_mark") == 0 && c->nmarks < MAX_MARKS)
				c->marks[c->nmarks++] = value;
			else if (strncmp(key, "column.", 7) == 0)
			{
				int			field = -1;

				for (int i = 0; i < (int) lengthof(csv_fields); i++)
					if (strcmp(csv_fields[i].name, key + 7) == 0)
						field = csv_fields[i].field;
				if (field < 0 || c->nmappings == MAX_MAPPINGS)
					ereport(ERROR,
							(errcode(ERRCODE_O2C_INVALID_ARGUMENT),
							 errmsg("statement format maps unknown field \"%s\"", key + 7),
							 errhint("See docs/reference/statement.md for the fields.")));
				c->mappings[c->nmappings].field = field;
				c->mappings[c->nmappings++].source = value;
			}
		}
		p = (*nl == '\n') ? nl + 1 : nl;
	}
}

/*
 * Read one record into columns, across line breaks inside quotes.  False at
 * the end of the file.
 */
static bool
ReadRecord(Csv *c)
{
	StatementReader *r = c->r;
	StringInfoData field;
	bool		quoted = false;

	c->ncolumns = 0;
	if (r->pos >= r->end)
		return false;
	r->lineno++;
	initStringInfo(&field);
	for (;;)
	{
		char		ch = r->pos < r->end ? *r->pos : '\0';
		bool		at_end = (r->pos >= r->end);

		if (quoted)
		{
			if (at_end)
				StatementSyntaxError(r, "a quoted field is cut off");
			r->pos++;
			if (ch == c->quote)
			{
				if (r->pos < r->end && *r->pos == c->quote)
					r->pos++;
				else
				{
					quoted = false;
					continue;
				}
			}
			if (ch == '\n')
				r->lineno++;
			appendStringInfoChar(&field, ch);
		}
		else if (at_end || ch == '\n' || ch == '\r' || ch == c->delimiter)
		{
			if (c->ncolumns == MAX_COLUMNS)
				StatementSyntaxError(r, "the record has more than %d columns", MAX_COLUMNS);
			c->columns[c->ncolumns++] = TrimmedCopy(field.data, field.len);
			resetStringInfo(&field);
			if (at_end)
				return true;
			r->pos++;
			if (ch == '\r' && r->pos < r->end && *r->pos == '\n')
				r->pos++;
			if (ch != c->delimiter)
				return true;
		}
		else
		{
			r->pos++;
			if (c->quote && ch == c->quote && strspn(field.data, " ") == (size_t) field.len)
			{
				resetStringInfo(&field);
				quoted = true;
			}
			else
				appendStringInfoChar(&field, ch);
		}
		if (field.len > STATEMENT_FIELD_MAX)
			StatementSyntaxError(r, "a field is longer than %d bytes", STATEMENT_FIELD_MAX);
	}
}

/* The delimiter that is most frequent in the line that comes next. */
static char
GuessDelimiter(StatementReader *r)
{
	static const char candidates[] = {';', ',', '\t', '|'};
	int			best = 0;
	char		delimiter = ',';

	for (int i = 0; i < (int) lengthof(candidates); i++)
	{
		int			n = 0;

		for (const char *p = r->pos; p < r->end && *p != '\n' && *p != '\r'; p++)
			if (*p == candidates[i])
				n++;
		if (n > best)
		{
			best = n;
			delimiter = candidates[i];
		}
	}
	return delimiter;
}

/* Find the columns of the mappings: by heading, or by position from 1. */
static void
ResolveMappings(Csv *c)
{
	bool		has_date = false;
	bool		has_amount = false;

	for (int i = 0; i < c->nmappings; i++)
	{
		Mapping    *m = &c->mappings[i];

		m->position = -1;
		for (int k = 0; k < c->ncolumns && c->header; k++)
			if (pg_strcasecmp(c->columns[k], m->source) == 0)
			{
				m->position = k;
				break;
			}
		if (m->position < 0 && AllDigits(m->source, strlen(m->source)) &&
			strlen(m->source) <= 3 && atoi(m->source) >= 1)
			m->position = atoi(m->source) - 1;
		if (m->position < 0)
			StatementSyntaxError(c->r, "the file has no column \"%s\"", m->source);
		has_date |= (m->field == COL_BOOKING_DATE);
		has_amount |= (m->field == COL_AMOUNT || m->field == FIELD_CREDIT || m->field == FIELD_DEBIT);
	}
	if (!has_date || !has_amount)
		ereport(ERROR,
				(errcode(ERRCODE_O2C_INVALID_ARGUMENT),
				 errmsg("statement format maps no column to \"%s\"",
						has_date ? "amount" : "booking_date"),
				 errhint("Name it in the columns of its settings.")));
}

/* A date by the format's tokens D, DD, M, MM, YY, YYYY; all else is literal. */
static char *
CsvDate(Csv *c, const char *s)
{
	StatementReader *r = c->r;
	const char *f = c->date_format;
	const char *p = s;
	int			y = -1;
	int			m = -1;
	int			d = -1;

	while (*f != '\0')
	{
		char		token = *f;

		if (token == 'Y' || token == 'M' || token == 'D')
		{
			int			width = strspn(f, (char[]) {token, '\0'});
			int			max = token == 'Y' ? width : 2;
			int			n = 0;
			int			value = 0;

			while (n < max && isdigit((unsigned char) p[n]))
				value = value * 10 + (p[n++] - '0');
			if (n == 0 || (width >= 2 && n < width))
				StatementSyntaxError(r, "\"%.40s\" is not a date as %s", s, c->date_format);
			if (token == 'Y')
				y = width == 2 ? value + (value < 80 ? 2000 : 1900) : value;
			else if (token == 'M')
				m = value;
			else
				d = value;
			p += n;
			f += width;
		}
		else
		{
			if (*p != *f)
				StatementSyntaxError(r, "\"%.40s\" is not a date as %s", s, c->date_format);
			p++;
			f++;
		}
	}
	/* a time of day may follow */
	if (*p != '\0' && *p != ' ' && *p != 'T')
		StatementSyntaxError(r, "\"%.40s\" is not a date as %s", s, c->date_format);
	return FormatDate(r, y, m, d, s);
}

static Numeric
ToNumeric(const char *s)
{
	return DatumGetNumeric(DirectFunctionCall3(numeric_in, CStringGetDatum(s),
											   ObjectIdGetDatum(InvalidOid),
											   Int32GetDatum(-1)));
}

static bool
AddsUp(Numeric before, Numeric amount, Numeric after)
{
	Datum		sum = DirectFunctionCall2(numeric_add, NumericGetDatum(before),
										  NumericGetDatum(amount));

	return DatumGetBool(DirectFunctionCall2(numeric_eq, sum, NumericGetDatum(after)));
}

/* Follow the running balances both ways. */
static void
FollowBalance(Csv *c, const char *amount_text, const char *balance_text)
{
	MemoryContext old = MemoryContextSwitchTo(c->cxt);
	Numeric		amount = ToNumeric(amount_text);
	Numeric		balance = ToNumeric(balance_text);

	if (c->first_balance == NULL)
	{
		c->first_amount = amount;
		c->first_balance = balance;
		c->ascending = c->descending = true;
	}
	else
	{
		c->ascending = c->ascending && AddsUp(c->last_balance, amount, balance);
		c->descending = c->descending && AddsUp(balance, c->last_amount, c->last_balance);
		if (!c->ascending && !c->descending && c->broken_line == 0)
			c->broken_line = c->r->lineno;
		if (c->last_balance != c->first_balance)
		{
			pfree(c->last_amount);
			pfree(c->last_balance);
		}
	}
	c->last_amount = amount;
	c->last_balance = balance;
	MemoryContextSwitchTo(old);
}

/* Amount of a record, by whichever columns the format has; NULL if blank. */
static char *
RecordAmount(Csv *c, const char *amount, const char *credit, const char *debit,
			 const char *mark)
{
	StatementReader *r = c->r;
	char	   *value = NULL;

	if (amount && amount[0])
	{
		value = ParseAmount(r, amount, strlen(amount), c->decimal, c->thousands);
		for (int i = 0; mark && i < c->nmarks; i++)
			if (pg_strcasecmp(mark, c->marks[i]) == 0 && value[0] != '-')
				return NegatedAmount(value);
		return value;
	}
	if (credit && credit[0])
		value = ParseAmount(r, credit, strlen(credit), c->decimal, c->thousands);
	if (debit && debit[0])
	{
		char	   *d = ParseAmount(r, debit, strlen(debit), c->decimal, c->thousands);

		if (value && strspn(value, "-0.") != strlen(value) && strspn(d, "-0.") != strlen(d))
			StatementSyntaxError(r, "the record has both a credit and a debit");
		if (value == NULL || strspn(value, "-0.") == strlen(value))
			value = d[0] == '-' ? d : NegatedAmount(d);
	}
	return value;
}

static void
ReadLine(Csv *c)
{
	StatementReader *r = c->r;
	const char *parts[FIELD_BALANCE + 1] = {0};
	char	   *amount;

	for (int i = 0; i < c->nmappings; i++)
	{
		Mapping    *m = &c->mappings[i];
		const char *value = m->position < c->ncolumns ? c->columns[m->position] : "";

		if (value[0] == '\0')
			continue;
		if (m->field == COL_BOOKING_DATE || m->field == COL_VALUE_DATE)
			LineSet(r, m->field, CsvDate(c, value));
		else if (m->field == COL_ACCOUNT)
		{
			if (r->head[COL_ACCOUNT] == NULL)
				HeadSet(r, COL_ACCOUNT, value);
			else if (strcmp(r->head[COL_ACCOUNT], value) != 0)
				StatementSyntaxError(r, "the file holds lines of several accounts");
		}
		else if (m->field == COL_AMOUNT || m->field >= STATEMENT_COLUMNS)
			parts[m->field] = value;
		else if (m->field == COL_CHARGES)
			LineSet(r, COL_CHARGES, ParseAmount(r, value, strlen(value), c->decimal, c->thousands));
		else
			LineAppend(r, m->field, " ", value, strlen(value));
	}
	amount = RecordAmount(c, parts[COL_AMOUNT], parts[FIELD_CREDIT],
						  parts[FIELD_DEBIT], parts[FIELD_MARK]);
	if (amount == NULL)
		StatementSyntaxError(r, "the record has no amount");
	if (r->row[COL_BOOKING_DATE] == NULL)
		StatementSyntaxError(r, "the record has no booking date");
	LineSet(r, COL_AMOUNT, amount);
	if (r->head[COL_CURRENCY] == NULL)
		HeadSet(r, COL_CURRENCY, r->row[COL_CURRENCY]);
	if (parts[FIELD_BALANCE])
	{
		const char *s = parts[FIELD_BALANCE];

		FollowBalance(c, amount, ParseAmount(r, s, strlen(s), c->decimal, c->thousands));
	}
	LinePut(r);
}

/* Read a whole CSV file as one statement. */
void
ReadCsv(StatementReader *r, const char *settings)
{
	Csv			c = {.r = r};
	const char *line;
	int			len;

	c.cxt = MemoryContextGetParent(r->head_cxt);
	ReadSettings(&c, settings);
	for (int i = 0; i < c.skip; i++)
		if (!NextLine(r, &line, &len))
			StatementSyntaxError(r, "the file is shorter than the %d lines to skip", c.skip);
	if (c.delimiter == 0)
		c.delimiter = GuessDelimiter(r);
	if (c.header && !ReadRecord(&c))
		StatementSyntaxError(r, "the file has no heading");
	ResolveMappings(&c);

	while (ReadRecord(&c))
	{
		bool		blank = true;

		for (int i = 0; i < c.ncolumns && blank; i++)
			blank = (c.columns[i][0] == '\0');
		if (!blank)
			ReadLine(&c);
	}

	if (c.first_balance && c.broken_line)
		ereport(ERROR,
				(errcode(ERRCODE_O2C_STATEMENT_BALANCE),
				 errmsg("the running balances do not follow from the amounts"),
				 errdetail("Line %d breaks the order, upwards and downwards.", c.broken_line),
				 errhint("Nothing was imported. A line may be missing; export the file again.")));
	if (c.first_balance)
	{
		Numeric		open_balance = c.ascending ? c.first_balance : c.last_balance;
		Numeric		open_amount = c.ascending ? c.first_amount : c.last_amount;
		Numeric		close_balance = c.ascending ? c.last_balance : c.first_balance;
		Datum		opening = DirectFunctionCall2(numeric_sub, NumericGetDatum(open_balance),
												  NumericGetDatum(open_amount));

		HeadSet(r, COL_OPENING_BALANCE, DatumGetCString(DirectFunctionCall1(numeric_out, opening)));
		HeadSet(r, COL_CLOSING_BALANCE,
				DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(close_balance))));
	}
	else
		HeadSet(r, COL_INTERIM, "true");
	HeadPut(r);
}
