/*
 * mt940.c
 *		SWIFT MT940 customer statements and MT942 interim reports.
 *
 * A file is a series of messages, each a series of fields ":tag:value" whose
 * values run on to the next field.  A statement begins at its opening balance
 * (:60F:) and ends at its closing balance (:62F:); intermediate balances
 * (:62M:, :60M:) join pages to one statement.  A report (MT942) has no
 * balances but may state its totals (:90D:, :90C:), which the caller compares.
 *
 * Banks write envelopes, blanks, one-letter types and lines without the
 * decimal comma; all that is read.  What cannot be read is refused, with the
 * line's number: a statement is never imported in part.
 */
#include "mt940.h"

#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/numeric.h"

#define BLOCK_FIELD_MAX 128

typedef struct Mt940
{
	StatementReader *r;

	/* of the message being read */
	bool		in_message;		/* since :20: or :25: */
	bool		started;		/* its balance or first report field was seen */
	bool		report;			/* an MT942 */
	char		ref[BLOCK_FIELD_MAX];
	char		account[BLOCK_FIELD_MAX];
	char		sequence[BLOCK_FIELD_MAX];

	/* of the statement, which may go on over several messages */
	bool		open;			/* has an opening balance, or is a report */
	char		closed;			/* 'F' or 'M' once a closing balance was read */
	char		statement_account[BLOCK_FIELD_MAX];
	char	   *page_balance;	/* the last :62M:, in head_cxt */
	bool		line_pending;	/* a :61: that waits for its :86: */
	char	   *supplement;		/* its second line: the text if no :86: comes */
} Mt940;

static const char *const known_tags[] = {
	"20", "21", "25", "25P", "28", "28C", "60", "60F", "60M", "61", "62", "62F",
	"62M", "64", "65", "86", "90D", "90C", "34", "34F", "13", "13D", "NS",
	"940", "942", "950"
};

static void
FlushLine(Mt940 *m)
{
	if (!m->line_pending)
		return;
	m->line_pending = false;
	if (m->supplement && m->r->row[COL_REMITTANCE_TEXT] == NULL)
		LineSet(m->r, COL_REMITTANCE_TEXT, m->supplement);
	m->supplement = NULL;
	LinePut(m->r);
}

/* The statement that is open is over. */
static void
EndStatement(Mt940 *m)
{
	if (!m->open)
		return;
	FlushLine(m);
	if (!m->closed && m->r->head[COL_INTERIM] == NULL)
		StatementSyntaxError(m->r, "the statement has no closing balance (:62F:)");
	HeadPut(m->r);
	m->open = false;
	m->closed = 0;
	m->page_balance = NULL;
}

/* The message is over; a statement stays open only at an intermediate page. */
static void
EndMessage(Mt940 *m)
{
	if (!m->in_message)
		return;
	FlushLine(m);
	if (!m->started)
		StatementSyntaxError(m->r, "the message has no opening balance (:60F:)");
	if (m->open && m->closed != 'M')
		EndStatement(m);
	m->in_message = false;
	m->started = false;
	m->report = false;
	m->ref[0] = m->account[0] = m->sequence[0] = '\0';
}

/* Begin a statement with what the message has said so far. */
static void
BeginStatement(Mt940 *m, bool interim)
{
	StatementReader *r = m->r;

	if (m->account[0] == '\0')
		StatementSyntaxError(r, "the statement names no account (:25:)");
	m->open = true;
	m->started = true;
	m->closed = 0;
	strlcpy(m->statement_account, m->account, BLOCK_FIELD_MAX);
	HeadSet(r, COL_ACCOUNT, m->account);
	HeadSet(r, COL_STATEMENT_REF, m->ref);
	HeadSet(r, COL_SEQUENCE_NO, m->sequence);
	if (interim)
		HeadSet(r, COL_INTERIM, "true");
}

/* Keep a field of the message's head. */
static void
KeepField(Mt940 *m, char *field, const char *value, int len)
{
	char	   *copy = TrimmedCopy(value, len);

	if (strlen(copy) >= BLOCK_FIELD_MAX)
		StatementSyntaxError(m->r, "a field is longer than %d bytes", BLOCK_FIELD_MAX - 1);
	strlcpy(field, copy, BLOCK_FIELD_MAX);
}

/*
 * A balance: mark, date, currency, amount.  Returns the signed amount, the
 * date and the currency (NULL where the bank left it out).
 */
static char *
ReadBalance(Mt940 *m, const char *value, int len, char **date, char **currency)
{
	StatementReader *r = m->r;
	char	   *s = TrimmedCopy(value, len);
	bool		debit;
	char	   *amount;

	if (s[0] != 'C' && s[0] != 'D')
		StatementSyntaxError(r, "a balance must begin with C or D");
	debit = (s[0] == 'D');
	s++;
	if (strlen(s) < 7)
		StatementSyntaxError(r, "a balance is cut off");
	*date = ParseYMD(r, s, 2);
	s += 6;
	*currency = NULL;
	if (isalpha((unsigned char) s[0]) && isalpha((unsigned char) s[1]) &&
		isalpha((unsigned char) s[2]))
	{
		*currency = pnstrdup(s, 3);
		s += 3;
	}
	if (*s == '\0')
		StatementSyntaxError(r, "a balance has no amount");
	amount = ParseAmount(r, s, strcspn(s, "\r\n"), 0, 0);
	return debit ? NegatedAmount(amount) : amount;
}

static bool
SameNumber(const char *a, const char *b)
{
	Datum		x = DirectFunctionCall3(numeric_in, CStringGetDatum(a),
										ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
	Datum		y = DirectFunctionCall3(numeric_in, CStringGetDatum(b),
										ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));

	return DatumGetBool(DirectFunctionCall2(numeric_eq, x, y));
}

/* :60F: and :60M: begin a statement or go on with its next page. */
static void
ReadOpening(Mt940 *m, char kind, const char *value, int len)
{
	StatementReader *r = m->r;
	char	   *date;
	char	   *currency;
	char	   *amount = ReadBalance(m, value, len, &date, &currency);

	if (m->started)
		StatementSyntaxError(r, "the message has a second opening balance");
	if (m->open)
	{
		/* the page before ended with an intermediate balance */
		if (kind == 'M' && strcmp(m->account, m->statement_account) == 0)
		{
			if (!SameNumber(amount, m->page_balance))
				ereport(ERROR,
						(errcode(ERRCODE_O2C_STATEMENT_BALANCE),
						 errmsg("pages of the statement do not join: one closes with %s, the next opens with %s",
								m->page_balance, amount),
						 errdetail("Line %d, account \"%s\".", r->lineno, m->account),
						 errhint("Nothing was imported. A page may be missing; ask the bank for the file again.")));
			m->started = true;
			m->closed = 0;
			return;
		}
		EndStatement(m);
	}
	BeginStatement(m, false);
	if (currency == NULL)
		StatementSyntaxError(r, "the opening balance names no currency");
	HeadSet(r, COL_OPENING_BALANCE, amount);
	HeadSet(r, COL_FROM_DATE, date);
	HeadSet(r, COL_CURRENCY, currency);
}

/* :62F: and :62M: close the statement or its page. */
static void
ReadClosing(Mt940 *m, char kind, const char *value, int len)
{
	StatementReader *r = m->r;
	char	   *date;
	char	   *currency;
	char	   *amount = ReadBalance(m, value, len, &date, &currency);

	if (!m->open || !m->started || m->report)
		StatementSyntaxError(r, "a closing balance without an opening balance (:60F:)");
	if (m->closed)
		StatementSyntaxError(r, "the statement has a second closing balance");
	if (currency != NULL && strcmp(currency, r->head[COL_CURRENCY]) != 0)
		StatementSyntaxError(r, "the statement opens in %s and closes in %s",
							 r->head[COL_CURRENCY], currency);
	m->closed = kind;
	HeadSet(r, COL_CLOSING_BALANCE, amount);
	HeadSet(r, COL_TO_DATE, date);
	if (kind == 'M')
		m->page_balance = r->head[COL_CLOSING_BALANCE];
}

/* A report begins with its floor limit, its date or its first line. */
static void
BeginReport(Mt940 *m)
{
	if (m->started)
		return;
	EndStatement(m);
	BeginStatement(m, true);
	m->report = true;
}

/* :34F: currency of the report, [mark], floor limit. */
static void
ReadFloorLimit(Mt940 *m, const char *value, int len)
{
	char	   *s = TrimmedCopy(value, len);

	BeginReport(m);
	if (strlen(s) < 3)
		StatementSyntaxError(m->r, "the floor limit names no currency");
	if (m->r->head[COL_CURRENCY] == NULL)
		HeadSet(m->r, COL_CURRENCY, pnstrdup(s, 3));
}

/* :13D: and :13: date and time of the report. */
static void
ReadReportDate(Mt940 *m, const char *value, int len)
{
	char	   *s = TrimmedCopy(value, len);

	BeginReport(m);
	if (strlen(s) >= 6 && AllDigits(s, 6))
		HeadSet(m->r, COL_TO_DATE, ParseYMD(m->r, s, 2));
}

/* :90D: and :90C: count, currency and sum of the report's lines. */
static void
ReadTotals(Mt940 *m, char mark, const char *value, int len)
{
	StatementReader *r = m->r;
	char	   *s = TrimmedCopy(value, len);
	int			n = strspn(s, "0123456789");
	char	   *amount;
	char	   *json;

	BeginReport(m);
	if (n == 0 || n > 9 || strlen(s + n) < 4)
		StatementSyntaxError(r, "the totals of the report are cut off");
	amount = ParseAmount(r, s + n + 3, strlen(s + n + 3), 0, 0);
	if (r->head[COL_CURRENCY] == NULL)
		HeadSet(r, COL_CURRENCY, pnstrdup(s + n, 3));
	json = psprintf("\"%s_count\": %d, \"%s_sum\": %s",
					mark == 'D' ? "debit" : "credit", atoi(s),
					mark == 'D' ? "debit" : "credit", amount);
	if (r->head[COL_DETAILS] == NULL)
		HeadSet(r, COL_DETAILS, psprintf("{%s}", json));
	else
	{
		char	   *have = pstrdup(r->head[COL_DETAILS]);

		have[strlen(have) - 1] = '\0';
		HeadSet(r, COL_DETAILS, psprintf("%s, %s}", have, json));
	}
}

/* :61: one movement of the statement or report. */
static void
ReadMovement(Mt940 *m, const char *value, int len)
{
	StatementReader *r = m->r;

	if (!m->started)
	{
		if (!m->report)
			StatementSyntaxError(r, "a line before the opening balance (:60F:)");
		BeginReport(m);
	}
	if (m->closed)
		StatementSyntaxError(r, "a line after the closing balance");

	m->line_pending = ReadMt940Movement(r, value, len, &m->supplement);
}

/* Hand a complete field to its reader. */
static void
ReadField(Mt940 *m, const char *tag, const char *value, int len)
{
	StatementReader *r = m->r;

	if (len > STATEMENT_FIELD_MAX)
		StatementSyntaxError(r, "a field is longer than %d bytes", STATEMENT_FIELD_MAX);

	/* only details belong to the movement before them */
	if (strcmp(tag, "86") != 0 && strcmp(tag, "NS") != 0)
		FlushLine(m);

	if (strcmp(tag, "940") == 0 || strcmp(tag, "942") == 0 || strcmp(tag, "950") == 0)
	{
		EndMessage(m);
		m->report = (tag[2] == '2');
	}
	else if (strcmp(tag, "20") == 0)
	{
		bool		report = m->report && !m->in_message;

		EndMessage(m);
		m->in_message = true;
		m->report = report;
		KeepField(m, m->ref, value, len);
	}
	else if (strcmp(tag, "25") == 0 || strcmp(tag, "25P") == 0)
	{
		const char *nl = memchr(value, '\n', len);

		if (m->account[0] != '\0' || m->started)
			StatementSyntaxError(r, "the message names a second account (:25:)");
		m->in_message = true;
		KeepField(m, m->account, value, nl ? nl - value : len);
	}
	else if (strcmp(tag, "28") == 0 || strcmp(tag, "28C") == 0)
	{
		m->in_message = true;
		KeepField(m, m->sequence, value, len);
	}
	else if (tag[0] == '6' && tag[1] == '0')
	{
		m->in_message = true;
		m->report = false;
		ReadOpening(m, tag[2] == 'M' ? 'M' : 'F', value, len);
	}
	else if (tag[0] == '6' && tag[1] == '2')
	{
		m->in_message = true;
		ReadClosing(m, tag[2] == 'M' ? 'M' : 'F', value, len);
	}
	else if (strcmp(tag, "61") == 0)
	{
		m->in_message = true;
		ReadMovement(m, value, len);
	}
	else if (strcmp(tag, "86") == 0 || strcmp(tag, "NS") == 0)
	{
		/* without a movement before it, it tells of the account: left out */
		if (m->line_pending && tag[0] == '8')
			ReadMt940Details(r, value, len);
		else if (m->line_pending)
			ReadMt940NonSwift(r, value, len);
	}
	else if (strncmp(tag, "34", 2) == 0)
		ReadFloorLimit(m, value, len);
	else if (strncmp(tag, "13", 2) == 0)
		ReadReportDate(m, value, len);
	else if (strcmp(tag, "90D") == 0 || strcmp(tag, "90C") == 0)
		ReadTotals(m, tag[2], value, len);
	/* 21, 64, 65: related reference and available balances */
}

/* The tag at the beginning of a line, or NULL; *skip is its length with colons. */
static const char *
TagOf(const char *line, int len, int *skip)
{
	if (len < 4 || line[0] != ':')
		return NULL;
	for (int i = 0; i < (int) lengthof(known_tags); i++)
	{
		int			n = strlen(known_tags[i]);

		if (len >= n + 2 && memcmp(line + 1, known_tags[i], n) == 0 && line[n + 1] == ':')
		{
			*skip = n + 2;
			return known_tags[i];
		}
	}
	return NULL;
}

/* Read a whole file of MT940 and MT942 messages. */
void
ReadMt940(StatementReader *r)
{
	Mt940		m = {.r = r};
	const char *line;
	int			len;
	const char *tag = NULL;		/* of the field being collected */
	const char *value = NULL;
	const char *value_end = NULL;
	int			tag_lineno = 0;

	for (;;)
	{
		bool		more = NextLine(r, &line, &len);
		const char *next = NULL;
		bool		over = !more;
		int			skip = 0;

		if (more)
		{
			/* an envelope's text block may begin on the same line */
			if (len > 0 && line[0] == '{')
			{
				over = true;
				for (int i = 0; i + 4 < len; i++)
					if (memcmp(line + i, "{4:", 3) == 0 && line[i + 3] == ':')
					{
						line += i + 3;
						len -= i + 3;
						break;
					}
			}
			next = TagOf(line, len, &skip);
			if (!next)
			{
				char	   *text = TrimmedCopy(line, Min(len, 8));

				/* "-", "-}" and "-XXX" end a message */
				if (len > 0 && (strcmp(text, "-") == 0 ||
								strncmp(text, "-}", 2) == 0 || strcmp(text, "-XXX") == 0))
					over = true;
				pfree(text);
			}
		}

		if (tag && (next || over))
		{
			int			lineno = r->lineno;

			r->lineno = tag_lineno; /* errors name the field's first line */
			ReadField(&m, tag, value, value_end - value);
			r->lineno = lineno;
			tag = NULL;
		}
		if (over)
			EndMessage(&m);
		if (!more)
			break;
		if (next)
		{
			tag = next;
			tag_lineno = r->lineno;
			value = line + skip;
			value_end = line + len;
		}
		else if (tag)
			value_end = line + len;
	}
	EndStatement(&m);
	if (r->statement_no == 1)
		StatementSyntaxError(r, "the file holds no statement");
}
