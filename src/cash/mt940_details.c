/*
 * mt940_details.c
 *		The field :86: of MT940: who paid, why, with which references.
 *
 * SWIFT leaves its structure to the banks.  Four families are told apart by
 * how the text begins: sub-fields "166?00...?20..." (mt940_subfields.c), code words
 * "/NAME/.../REMI/..." (Dutch, Belgian and Nordic banks), labels
 * "OD: ...; TYT.: ..." (Polish banks), and plain text, which becomes the
 * remittance text as it stands, with a leading IBAN taken as the other account.
 */
#include "mt940.h"

#include "lib/stringinfo.h"

/* Is the whole text from here on a line end? */
static inline bool
IsLineEnd(char c)
{
	return c == '\n' || c == '\r';
}

/*
 * Physical lines joined: a full line of 65 characters (a few banks count 64)
 * runs on, a shorter one ended where a blank is due unless a code word begins
 * the next.  In sub-field texts lines always run on.
 */
static char *
JoinedLines(const char *text, int len, bool run_on)
{
	StringInfoData buf;
	int			start = 0;

	initStringInfo(&buf);
	while (start < len)
	{
		int			end = start;
		int			chars = 0;

		while (end < len && !IsLineEnd(text[end]))
		{
			if ((text[end] & 0xC0) != 0x80)
				chars++;
			end++;
		}
		appendBinaryStringInfo(&buf, text + start, end - start);
		start = end;
		while (start < len && IsLineEnd(text[start]))
			start++;
		if (start < len && !run_on && chars < 64 && text[start] != '/' &&
			buf.len > 0 && buf.data[buf.len - 1] != ' ')
			appendStringInfoChar(&buf, ' ');
	}
	return buf.data;
}

/* Put an account where it belongs by its shape, without blanks. */
void
Mt940SetAccount(StatementReader *r, const char *s, int len)
{
	char	   *copy = palloc(len + 1);
	int			n = 0;

	for (int i = 0; i < len; i++)
		if (!isspace((unsigned char) s[i]))
			copy[n++] = s[i];
	copy[n] = '\0';
	if (LooksLikeIban(copy, n))
		LineSet(r, COL_PAYER_IBAN, copy);
	else if (n > 0)
		LineSet(r, COL_PAYER_ACCOUNT, copy);
}

/* A BIC that a line end has cut is joined again. */
void
Mt940SetBic(StatementReader *r, const char *s)
{
	char	   *copy = pstrdup(s);
	int			n = 0;

	for (int i = 0; copy[i] != '\0'; i++)
		if (!isspace((unsigned char) copy[i]))
			copy[n++] = copy[i];
	copy[n] = '\0';
	LineSet(r, COL_PAYER_BIC, copy);
}

/* The payer's own reference, unless it says that there is none. */
void
Mt940SetEndToEnd(StatementReader *r, const char *s)
{
	if (!NoReference(s))
		LineSet(r, COL_END_TO_END_ID, s);
}

/* ---- code words between slashes ---- */

typedef struct SlashKey
{
	const char *word;
	int			column;			/* a StatementColumn, -1: a detail, -2: drop */
} SlashKey;

static const SlashKey slash_keys[] = {
	{"EREF", COL_END_TO_END_ID},
	{"PREF", -1},
	{"KREF", -1},
	{"MARF", COL_MANDATE_ID},
	{"CSID", -1},
	{"IBAN", COL_PAYER_IBAN},
	{"BBAN", COL_PAYER_ACCOUNT},
	{"BIC", COL_PAYER_BIC},
	{"NAME", COL_PAYER_NAME},
	{"ADDR", -1},
	{"REMI", COL_REMITTANCE_TEXT},
	{"TRTP", -1},
	{"ISDT", -1},
	{"TRCD", -1},
	{"PURP", -1},
	{"SVCL", -1},
	{"ULTD", -1},
	{"ULTB", -1},
	{"ULTC", -1},
	{"RTRN", COL_RETURN_REASON},
	{"RREF", -1},
	{"CREF", -1},
	{"OCMT", -1},
	{"CHGS", -1},
	{"EXCH", -1},
	{"ORDP", -3},
	{"BENM", -3},
	{"CNTP", -4},
};

/* The code word at "/WORD/", or NULL. */
static const SlashKey *
SlashKeyAt(const char *s)
{
	if (s[0] != '/')
		return NULL;
	for (int i = 0; i < (int) lengthof(slash_keys); i++)
	{
		int			n = strlen(slash_keys[i].word);

		if (strncmp(s + 1, slash_keys[i].word, n) == 0 && s[n + 1] == '/')
			return &slash_keys[i];
	}
	return NULL;
}

/* "account/name/..." after /ORDP/ or /BENM/, or nothing before "/NAME/". */
static void
ReadParty(StatementReader *r, const char *value, int len)
{
	const char *slash = memchr(value, '/', len);
	const char *rest;
	const char *end = value + len;

	if (slash == NULL)
		slash = end;
	if (slash > value && strcspn(value, "0123456789") < (size_t) (slash - value))
		Mt940SetAccount(r, value, slash - value);
	else if (slash > value)
		LineSet(r, COL_PAYER_NAME, TrimmedCopy(value, slash - value));
	if (slash >= end)
		return;
	rest = memchr(slash + 1, '/', end - slash - 1);
	if (rest == NULL)
		rest = end;
	if (r->row[COL_PAYER_NAME] == NULL)
		LineSet(r, COL_PAYER_NAME, TrimmedCopy(slash + 1, rest - slash - 1));
	while (rest < end && (*rest == '/' || *rest == ' '))
		rest++;
	LineAppend(r, COL_REMITTANCE_TEXT, " ", rest, end - rest);
}

/* "account/bic/name/city/" after /CNTP/. */
static void
ReadCounterparty(StatementReader *r, const char *value, int len)
{
	const char *end = value + len;

	for (int i = 0; i < 3 && value < end; i++)
	{
		const char *slash = memchr(value, '/', end - value);
		char	   *part;

		if (slash == NULL)
			slash = end;
		part = TrimmedCopy(value, slash - value);
		if (i == 0)
			Mt940SetAccount(r, part, strlen(part));
		else
			LineSet(r, i == 1 ? COL_PAYER_BIC : COL_PAYER_NAME, part);
		value = slash + 1;
	}
}

/* "USTD//text" and "STRD/kind/reference" after /REMI/, or just text. */
static void
ReadRemittance(StatementReader *r, const char *value, int len)
{
	if (len > 6 && strncmp(value, "USTD//", 6) == 0)
		LineAppend(r, COL_REMITTANCE_TEXT, " ", value + 6, len - 6);
	else if (len > 5 && strncmp(value, "STRD/", 5) == 0)
	{
		const char *slash = memchr(value + 5, '/', len - 5);
		const char *ref = slash ? slash + 1 : value + 5;

		LineSet(r, COL_STRUCTURED_REF, TrimmedCopy(ref, value + len - ref));
		LineAppend(r, COL_REMITTANCE_TEXT, " ", ref, value + len - ref);
	}
	else
		LineAppend(r, COL_REMITTANCE_TEXT, " ", value, len);
}

static void
ReadSlashes(StatementReader *r, const char *text)
{
	const char *p = text;

	while (*p != '\0')
	{
		const SlashKey *key = SlashKeyAt(p);
		const char *start = p;
		const char *end;
		char	   *value;
		int			len;

		if (key)
			start += strlen(key->word) + 2;
		for (end = start; *end != '\0' && !SlashKeyAt(end); end++)
			;
		len = end - start;
		while (len > 0 && (start[len - 1] == '/' || isspace((unsigned char) start[len - 1])))
			len--;
		value = TrimmedCopy(start, len);

		if (key == NULL)
			LineAppend(r, COL_REMITTANCE_TEXT, " ", value, strlen(value));
		else if (value[0] == '\0')
			;
		else if (key->column == COL_END_TO_END_ID)
			Mt940SetEndToEnd(r, value);
		else if (key->column == COL_PAYER_BIC)
			Mt940SetBic(r, value);
		else if (key->column == COL_REMITTANCE_TEXT)
			ReadRemittance(r, value, strlen(value));
		else if (key->column == COL_PAYER_IBAN || key->column == COL_PAYER_ACCOUNT)
			Mt940SetAccount(r, value, strlen(value));
		else if (key->column == -3)
			ReadParty(r, value, strlen(value));
		else if (key->column == -4)
			ReadCounterparty(r, value, strlen(value));
		else if (key->column >= 0)
			LineSet(r, key->column, value);
		else
			LineDetail(r, key->word, value);
		p = end;
	}
}

/* ---- labels of Polish banks ---- */

static const struct
{
	const char *label;
	int			column;
}			labels[] = {
	{"; Z RACH.:", COL_PAYER_ACCOUNT},
	{"; NA RACH.:", COL_PAYER_ACCOUNT},
	{"; OD:", COL_PAYER_NAME},
	{"; DLA:", COL_PAYER_NAME},
	{"; TYT.:", COL_REMITTANCE_TEXT},
	{"; TNR:", -1},
};

static int
LabelAt(const char *s)
{
	for (int i = 0; i < (int) lengthof(labels); i++)
		if (strncmp(s, labels[i].label, strlen(labels[i].label)) == 0)
			return i;
	return -1;
}

static void
ReadLabels(StatementReader *r, const char *text)
{
	const char *p = text;

	while (*p != '\0')
	{
		int			label = LabelAt(p);
		const char *start = p + (label >= 0 ? strlen(labels[label].label) : 0);
		const char *end = start;
		char	   *value;

		while (*end != '\0' && LabelAt(end) < 0)
			end++;
		value = TrimmedCopy(start, end - start);
		if (label < 0)
			LineDetail(r, "booking_text", value);
		else if (labels[label].column == COL_PAYER_ACCOUNT)
			Mt940SetAccount(r, value, strlen(value));
		else if (labels[label].column >= 0)
			LineAppend(r, labels[label].column, " ", value, strlen(value));
		else
			LineDetail(r, "bank_transaction", value);
		p = end;
	}
}

/* ---- plain text ---- */

static void
ReadPlain(StatementReader *r, const char *text)
{
	const char *p = text;
	const char *rek;
	int			n;

	while (isspace((unsigned char) *p))
		p++;
	n = strcspn(p, " \t");

	/* "IBAN name": the other account leads */
	if (LooksLikeIban(p, n) && r->row[COL_PAYER_IBAN] == NULL)
		LineSet(r, COL_PAYER_IBAN, pnstrdup(p, n));

	/* "REK: iban/NAAM: name" */
	rek = strstr(p, "REK: ");
	if (rek)
	{
		const char *naam = strstr(rek, "/NAAM: ");

		n = strcspn(rek + 5, "/ \t");
		Mt940SetAccount(r, rek + 5, n);
		if (naam)
			LineSet(r, COL_PAYER_NAME, TrimmedCopy(naam + 7, strlen(naam + 7)));
	}
	LineAppend(r, COL_REMITTANCE_TEXT, " ", p, strlen(p));
}

/* Read the text of one field :86: into the line; several add up. */
void
ReadMt940Details(StatementReader *r, const char *text, int len)
{
	char	   *joined;

	while (len > 0 && isspace((unsigned char) *text))
		text++, len--;
	if (len == 0)
		return;

	/* three digits, a mark, two digits */
	if (len >= 6 && AllDigits(text, 3) && !isalnum((unsigned char) text[3]) &&
		!isspace((unsigned char) text[3]) && text[3] != '/' && text[3] != ',' &&
		text[3] != '.' && text[3] != '-' && (unsigned char) text[3] < 0x80 &&
		AllDigits(text + 4, 2) &&
		Mt940IsSubfield((text[4] - '0') * 10 + (text[5] - '0')))
	{
		Mt940ReadSubfields(r, JoinedLines(text, len, true));
		return;
	}

	joined = JoinedLines(text, len, false);
	if (SlashKeyAt(joined))
		ReadSlashes(r, joined);
	else if (strstr(joined, "; TYT.:") && strstr(joined, "; TNR:"))
		ReadLabels(r, joined);
	else
		ReadPlain(r, joined);
}

/* The non-SWIFT field :NS:: numbered lines of text. */
void
ReadMt940NonSwift(StatementReader *r, const char *text, int len)
{
	int			start = 0;

	while (start < len)
	{
		int			end = start;

		while (end < len && !IsLineEnd(text[end]))
			end++;
		if (end - start > 2 && AllDigits(text + start, 2))
		{
			int			code = (text[start] - '0') * 10 + (text[start + 1] - '0');
			char	   *value = TrimmedCopy(text + start + 2, end - start - 2);

			if (code <= 14)
				LineAppend(r, COL_REMITTANCE_TEXT, " ", value, strlen(value));
			else if (code == 15 || code == 16)
				LineAppend(r, COL_PAYER_NAME, " ", value, strlen(value));
			else if (code == 34)
				Mt940SetAccount(r, value, strlen(value));
			else if (value[0] != '\0')
				LineDetail(r, psprintf("ns_%02d", code), value);
		}
		start = end;
		while (start < len && IsLineEnd(text[start]))
			start++;
	}
}
