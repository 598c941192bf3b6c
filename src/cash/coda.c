/*
 * coda.c
 *		CODA (coded statements of account) of Belgian banks.
 *
 * Records are lines of 128 characters: 0 header, 1 old balance, 2x movement
 * (2.1 amounts and communication, 2.2 more communication, 2.3 other party),
 * 3x information, 4 free message, 8 new balance, 9 trailer with the sums of
 * debits and credits.  Amounts have 15 digits, 3 of them decimals.
 *
 * A movement that is a total (types 1 and 2) is followed by its details; they
 * become the lines in its place when they add up to it.  Any other detail
 * stays with the movement as further information.
 */
#include "statement.h"

#include "common/int.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#define CODA_LINE 128

typedef struct CodaMovement
{
	char		sequence[5];
	char		detail[5];
	char		type;			/* first digit of the transaction code */
	int64		amount;			/* signed, in thousandths */
	char		ref[43];
	char		value_date[11];
	char		booking_date[11];
	char		code[17];
	char		kind;			/* of the communication: 0 free, 1 structured */
	StringInfoData text;		/* communication, then information */
	bool		full;			/* the text's last field had no blank at its end */
	bool		info_full;
	char		end_to_end[71];
	char		reason[9];
	char		bic[23];
	char		account[75];
	char		name[141];
	StringInfoData info;
} CodaMovement;

typedef struct Coda
{
	StatementReader *r;
	MemoryContext cxt;			/* lives for the file */
	MemoryContext group_cxt;	/* lives for a movement and its details */
	bool		open;			/* a header was read */
	bool		has_old;
	bool		has_new;
	int64		debits;
	int64		credits;
	char		currency[4];
	char		last_date[11];
	CodaMovement *moves;		/* the movement and its details */
	int			nmoves;
	int			maxmoves;
} Coda;

/* DDMMYY, or NULL for zeros and blanks. */
static char *
CodaDate(Coda *c, const char *s)
{
	char		ymd[7];

	if (strncmp(s, "000000", 6) == 0 || strncmp(s, "      ", 6) == 0)
		return NULL;
	memcpy(ymd, s + 4, 2);
	memcpy(ymd + 2, s + 2, 2);
	memcpy(ymd + 4, s, 2);
	ymd[6] = '\0';
	return ParseYMD(c->r, ymd, 2);
}

/* Sign (0 credit, 1 debit) and 15 digits, in thousandths. */
static int64
CodaAmount(Coda *c, const char *sign, const char *digits)
{
	char		buf[16];
	int64		value;

	memcpy(buf, digits, 15);
	buf[15] = '\0';
	if (!AllDigits(buf, 15))
		StatementSyntaxError(c->r, "\"%s\" is not an amount", buf);
	if (*sign != '0' && *sign != '1')
		StatementSyntaxError(c->r, "an amount has neither sign 0 nor 1");
	value = strtoll(buf, NULL, 10);
	return *sign == '1' ? -value : value;
}

static char *
Thousandths(int64 value)
{
	int64		magnitude = value < 0 ? -value : value;
	char	   *text = psprintf("%s" INT64_FORMAT ".%03d", value < 0 ? "-" : "",
								magnitude / 1000, (int) (magnitude % 1000));

	return text;
}

/*
 * Add a fixed field, without the blanks at its end and with one before it
 * where the field before was not full.  A byte is a column here: what is not
 * ASCII stands as Latin-1 and becomes UTF-8 again.
 */
static void
AddText(StringInfo buf, bool *full, const char *s, int len)
{
	int			used = len;

	while (used > 0 && s[used - 1] == ' ')
		used--;
	if (used > 0 && buf->len && !*full && s[0] != ' ')
		appendStringInfoChar(buf, ' ');
	for (int i = 0; i < used; i++)
	{
		unsigned char ch = s[i];

		if (ch >= 0x80 && GetDatabaseEncoding() == PG_UTF8)
		{
			appendStringInfoChar(buf, 0xC0 | (ch >> 6));
			appendStringInfoChar(buf, 0x80 | (ch & 0x3F));
		}
		else
			appendStringInfoChar(buf, ch);
	}
	if (used > 0)
		*full = (used == len);
}

/* Copy a fixed field without blanks at its ends. */
static void
CopyField(char *to, int size, const char *from, int len)
{
	StringInfoData buf;
	bool		full = true;

	initStringInfo(&buf);
	AddText(&buf, &full, from, len);
	strlcpy(to, TrimmedCopy(buf.data, buf.len), size);
	pfree(buf.data);
}

static const char *
TrimZeros(const char *amount)
{
	char	   *copy = pstrdup(amount);
	int			n = strlen(copy);

	if (n > 1 && copy[n - 1] == '0')
		copy[n - 1] = '\0';		/* the third decimal, hardly ever used */
	return copy;
}

/* Emit one movement as a line. */
static void
PutMovement(Coda *c, CodaMovement *m, CodaMovement *main)
{
	StatementReader *r = c->r;
	char	   *text = TrimmedCopy(m->text.data, m->text.len);

	LineSet(r, COL_AMOUNT, TrimZeros(Thousandths(m->amount)));
	LineSet(r, COL_CURRENCY, c->currency);
	LineSet(r, COL_BOOKING_DATE, m->booking_date[0] ? m->booking_date :
			m->value_date[0] ? m->value_date : c->last_date);
	LineSet(r, COL_VALUE_DATE, m->value_date);
	LineSet(r, COL_TRANSACTION_CODE, m->code);
	if (m->ref[0] != '\0' && strspn(m->ref, "0") != strlen(m->ref))
		LineSet(r, COL_BANK_REF, m == main ? m->ref : psprintf("%s/%s", m->ref, m->detail));
	LineSet(r, COL_ENTRY_REF, main->ref);
	LineSet(r, COL_PAYER_NAME, m->name);
	LineSet(r, COL_PAYER_BIC, m->bic);
	LineSet(r, COL_RETURN_REASON, m->reason);
	LineSet(r, COL_END_TO_END_ID, m->end_to_end);
	if (m->account[0] != '\0')
	{
		int			n = strcspn(m->account, " ");

		if (LooksLikeIban(m->account, n))
			LineSet(r, COL_PAYER_IBAN, pnstrdup(m->account, n));
		else
			LineSet(r, COL_PAYER_ACCOUNT, pnstrdup(m->account, n));
	}
	if (m->kind == '1')
	{
		/* structured: 101 and 102 carry the Belgian reference of 12 digits */
		LineDetail(r, "communication_type", pnstrdup(text, pg_mbcliplen(text, strlen(text), 3)));
		if (strlen(text) >= 15 && AllDigits(text, 15) &&
			(strncmp(text, "101", 3) == 0 || strncmp(text, "102", 3) == 0))
		{
			char	   *ref = pnstrdup(text + 3, 12);

			LineSet(r, COL_STRUCTURED_REF, ref);
			LineSet(r, COL_REMITTANCE_TEXT,
					psprintf("+++%.3s/%.4s/%.5s+++", ref, ref + 3, ref + 7));
		}
		else if (strlen(text) > 3)
			LineSet(r, COL_REMITTANCE_TEXT, text + 3);
	}
	else
		LineSet(r, COL_REMITTANCE_TEXT, text);
	if (m->info.len)
		LineDetail(r, "information", TrimmedCopy(m->info.data, m->info.len));
	LinePut(r);
}

/* The movement and its details are complete. */
static void
FlushMovements(Coda *c)
{
	CodaMovement *main;
	int64		sum = 0;
	bool		split;

	if (c->nmoves == 0)
		return;
	main = &c->moves[0];
	for (int i = 1; i < c->nmoves; i++)
		sum += c->moves[i].amount;
	split = (c->nmoves > 2 && sum == main->amount &&
			 (main->type == '1' || main->type == '2'));

	if (main->amount < 0)
		c->debits -= main->amount;
	else
		c->credits += main->amount;

	if (split)
	{
		for (int i = 1; i < c->nmoves; i++)
			PutMovement(c, &c->moves[i], main);
	}
	else
	{
		for (int i = 1; i < c->nmoves; i++)
		{
			CodaMovement *d = &c->moves[i];

			if (main->info.len + d->text.len + d->info.len + 64 > STATEMENT_FIELD_MAX / 2)
				break;			/* the rest is the bank's own arithmetic */
			appendStringInfo(&main->info, "%s%s %s", main->info.len ? "\n" : "",
							 Thousandths(d->amount), d->text.data);
			if (d->info.len)
				appendStringInfo(&main->info, " %s", d->info.data);
		}
		PutMovement(c, main, main);
	}
	c->nmoves = 0;
	c->moves = NULL;
	c->maxmoves = 0;
	MemoryContextReset(c->group_cxt);
}

static CodaMovement *
NewMovement(Coda *c, const char *line)
{
	MemoryContext old = MemoryContextSwitchTo(c->group_cxt);
	CodaMovement *m;

	if (c->nmoves == c->maxmoves)
	{
		c->maxmoves = c->maxmoves ? c->maxmoves * 2 : 4;
		c->moves = c->moves ? repalloc(c->moves, c->maxmoves * sizeof(CodaMovement)) :
			palloc(c->maxmoves * sizeof(CodaMovement));
	}
	m = &c->moves[c->nmoves++];
	memset(m, 0, sizeof(*m));
	memcpy(m->sequence, line + 2, 4);
	memcpy(m->detail, line + 6, 4);
	initStringInfo(&m->text);
	initStringInfo(&m->info);
	MemoryContextSwitchTo(old);
	return m;
}

/* The movement that a record belongs to by its sequence and detail number. */
static CodaMovement *
MovementOf(Coda *c, const char *line)
{
	for (int i = c->nmoves - 1; i >= 0; i--)
		if (memcmp(c->moves[i].sequence, line + 2, 4) == 0 &&
			memcmp(c->moves[i].detail, line + 6, 4) == 0)
			return &c->moves[i];
	return NULL;
}

static void
ReadMovementRecord(Coda *c, const char *line)
{
	StatementReader *r = c->r;
	CodaMovement *m;
	char	   *date;

	if (!c->has_old || c->has_new)
		StatementSyntaxError(r, "a movement outside its balances");
	if (!AllDigits(line + 2, 8))
		StatementSyntaxError(r, "a movement without sequence number");
	if (line[1] == '1')
	{
		/* a detail belongs to the movement before it, everything else is new */
		if (memcmp(line + 6, "0000", 4) == 0 || c->nmoves == 0 ||
			memcmp(c->moves[0].sequence, line + 2, 4) != 0)
		{
			FlushMovements(c);
			if (memcmp(line + 6, "0000", 4) != 0)
				StatementSyntaxError(r, "a detail without its movement");
		}
		m = NewMovement(c, line);
		CopyField(m->ref, sizeof(m->ref), line + 10, 21);
		m->amount = CodaAmount(c, line + 31, line + 32);
		if ((date = CodaDate(c, line + 47)) != NULL)
			strlcpy(m->value_date, date, sizeof(m->value_date));
		CopyField(m->code, sizeof(m->code), line + 53, 8);
		m->type = line[53];
		m->kind = line[61];
		AddText(&m->text, &m->full, line + 62, 53);
		if ((date = CodaDate(c, line + 115)) != NULL)
			strlcpy(m->booking_date, date, sizeof(m->booking_date));
		return;
	}
	m = MovementOf(c, line);
	if (m == NULL)
		StatementSyntaxError(r, "a continuation without its movement");
	if (line[1] == '2')
	{
		AddText(&m->text, &m->full, line + 10, 53);
		CopyField(m->end_to_end, sizeof(m->end_to_end), line + 63, 35);
		CopyField(m->bic, sizeof(m->bic), line + 98, 11);
		CopyField(m->reason, sizeof(m->reason), line + 113, 4);
	}
	else if (line[1] == '3')
	{
		CopyField(m->account, sizeof(m->account), line + 10, 37);
		CopyField(m->name, sizeof(m->name), line + 47, 35);
		AddText(&m->text, &m->full, line + 82, 43);
	}
	else
		StatementSyntaxError(r, "unknown movement record \"%.2s\"", line);
}

static void
ReadInformationRecord(Coda *c, const char *line)
{
	CodaMovement *m;

	if (c->nmoves == 0)
		return;
	m = &c->moves[c->nmoves - 1];
	if (m->info.len > STATEMENT_FIELD_MAX / 4)
		StatementSyntaxError(c->r, "the information of a movement is longer than %d bytes",
							 STATEMENT_FIELD_MAX / 4);
	if (line[1] == '1')
	{
		/* structured information 001 is the name of the other party */
		if (line[39] == '1' && strncmp(line + 40, "001", 3) == 0)
		{
			if (m->name[0] == '\0')
				CopyField(m->name, sizeof(m->name), line + 43, 70);
			AddText(&m->info, &m->info_full, line + 43, 70);
		}
		else
			AddText(&m->info, &m->info_full, line + 40, 73);
	}
	else
	{
		AddText(&m->info, &m->info_full, line + 10, line[1] == '2' ? 105 : 90);
	}
}

static void
ReadOldBalance(Coda *c, const char *line)
{
	StatementReader *r = c->r;
	char		account[75];
	char		structure = line[1];
	char	   *date;

	if (!c->open || c->has_old)
		StatementSyntaxError(r, "an old balance (1) without header (0)");
	c->has_old = true;
	/* number and currency share 37 characters, by the account's structure */
	if (structure == '0')
	{
		CopyField(account, sizeof(account), line + 5, 12);
		memcpy(c->currency, line + 18, 3);
	}
	else if (structure == '1')
	{
		CopyField(account, sizeof(account), line + 5, 34);
		memcpy(c->currency, line + 39, 3);
	}
	else
	{
		CopyField(account, sizeof(account), line + 5, structure == '2' ? 31 : 34);
		memcpy(c->currency, line + 39, 3);
	}
	c->currency[3] = '\0';
	if (c->currency[0] == ' ')
		strcpy(c->currency, "EUR");
	HeadSet(r, COL_ACCOUNT, account);
	HeadSet(r, COL_CURRENCY, c->currency);
	HeadSet(r, COL_SEQUENCE_NO, TrimmedCopy(line + 2, 3));
	HeadSet(r, COL_OPENING_BALANCE, TrimZeros(Thousandths(CodaAmount(c, line + 42, line + 43))));
	date = CodaDate(c, line + 58);
	HeadSet(r, COL_FROM_DATE, date);
	strlcpy(c->last_date, date ? date : "", sizeof(c->last_date));
}

static void
ReadNewBalance(Coda *c, const char *line)
{
	StatementReader *r = c->r;

	if (!c->has_old || c->has_new)
		StatementSyntaxError(r, "a new balance (8) without old balance (1)");
	FlushMovements(c);
	c->has_new = true;
	HeadSet(r, COL_CLOSING_BALANCE, TrimZeros(Thousandths(CodaAmount(c, line + 41, line + 42))));
	HeadSet(r, COL_TO_DATE, CodaDate(c, line + 57));
}

static void
ReadTrailer(Coda *c, const char *line)
{
	StatementReader *r = c->r;
	int64		debits = CodaAmount(c, "0", line + 22);
	int64		credits = CodaAmount(c, "0", line + 37);

	if (!c->has_new)
		StatementSyntaxError(r, "the statement has no new balance (8)");
	if (debits != c->debits || credits != c->credits)
		ereport(ERROR,
				(errcode(ERRCODE_O2C_STATEMENT_BALANCE),
				 errmsg("totals of the statement do not fit: debits %s and credits %s stated, %s and %s found",
						Thousandths(debits), Thousandths(credits),
						Thousandths(c->debits), Thousandths(c->credits)),
				 errdetail("Line %d.", r->lineno),
				 errhint("Nothing was imported. The file may be cut off; ask the bank for it again.")));
	HeadPut(r);
	c->open = c->has_old = c->has_new = false;
	c->debits = c->credits = 0;
}

/* Read a whole CODA file, which may hold several statements. */
void
ReadCoda(StatementReader *r)
{
	Coda		c = {.r = r};
	const char *line;
	int			len;
	char		padded[CODA_LINE + 1];

	c.cxt = MemoryContextGetParent(r->head_cxt);
	c.group_cxt = AllocSetContextCreate(c.cxt, "order2cash CODA movement",
										ALLOCSET_DEFAULT_SIZES);

	while (NextLine(r, &line, &len))
	{
		int			n = 0;

		while (len > 0 && line[len - 1] == ' ')
			len--;
		if (len == 0)
			continue;
		/* one byte a column: Latin-1 as such, anything beyond it as a mark */
		for (int i = 0; i < len && n < CODA_LINE; n++)
		{
			unsigned char lead = line[i];
			int			mblen = Min(pg_mblen(line + i), len - i);

			padded[n] = mblen == 1 ? line[i] :
				mblen == 2 && lead <= 0xC3 ? ((lead & 0x03) << 6 | (line[i + 1] & 0x3F)) : '?';
			i += mblen;
		}
		memset(padded + n, ' ', CODA_LINE - n);
		padded[CODA_LINE] = '\0';

		switch (padded[0])
		{
			case '0':
				if (c.open)
					StatementSyntaxError(r, "the statement before has no trailer (9)");
				c.open = true;
				HeadSet(r, COL_STATEMENT_REF, TrimmedCopy(padded + 24, 10));
				break;
			case '1':
				ReadOldBalance(&c, padded);
				break;
			case '2':
				ReadMovementRecord(&c, padded);
				break;
			case '3':
				ReadInformationRecord(&c, padded);
				break;
			case '4':
				break;			/* a message of the bank to its customer */
			case '8':
				ReadNewBalance(&c, padded);
				break;
			case '9':
				ReadTrailer(&c, padded);
				break;
			default:
				StatementSyntaxError(r, "unknown record \"%c\"", padded[0]);
		}
	}
	if (c.open)
		StatementSyntaxError(r, "the file has no trailer (9); it may be cut off");
	if (r->statement_no == 1)
		StatementSyntaxError(r, "the file holds no statement");
}
