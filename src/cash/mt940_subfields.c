/*
 * mt940_subfields.c
 *		The field :86: of MT940 in sub-fields: "166?00...?20...?32...".
 *
 * German speaking and many central European banks write it so; the mark may be
 * another sign than "?".  The purpose is cut into pieces of 27 characters,
 * which are joined again, and has key words of its own (EREF+, SVWZ+).
 */
#include "mt940.h"

#include "lib/stringinfo.h"

#include "types/types.h"

/* ---- key words in the purpose: EREF+..., SVWZ+... ---- */

typedef struct PurposeKey
{
	const char *word;
	int			column;			/* a StatementColumn, or -1: a detail */
} PurposeKey;

static const PurposeKey purpose_keys[] = {
	{"EREF", COL_END_TO_END_ID},
	{"KREF", -1},
	{"MREF", COL_MANDATE_ID},
	{"CRED", -1},
	{"DEBT", -1},
	{"COAM", COL_CHARGES},
	{"OAMT", COL_ORIGINAL_AMOUNT},
	{"SVWZ", COL_REMITTANCE_TEXT},
	{"ABWA", -1},
	{"ABWE", -1},
	{"PURP", -1},
	{"IBAN", COL_PAYER_IBAN},
	{"BIC", COL_PAYER_BIC},
	{"RREF", COL_RETURN_REASON},
};

/*
 * An amount of a return, with its currency or in that of the account:
 * "EUR 3,00", "     3,00".  What is no amount is kept as it is said.
 */
static void
SetPurposeAmount(StatementReader *r, const PurposeKey *key, const char *value)
{
	bool		has_currency = strlen(value) > 3 && CurrencyMinorUnit(value, 3) >= 0;
	const char *s = has_currency ? value + 3 : value;
	int			whole;
	int			n;

	s += strspn(s, " ");
	n = whole = strspn(s, "0123456789");
	if (s[n] == ',' || s[n] == '.')
		n += 1 + strspn(s + n + 1, "0123456789");
	if (whole == 0 || whole > 12 || n - whole > 4 || s[n] != '\0')
	{
		LineDetail(r, key->word, value);
		return;
	}
	LineSet(r, key->column, ParseAmount(r, s, n, 0, 0));
	if (key->column == COL_ORIGINAL_AMOUNT && has_currency)
		LineSet(r, COL_ORIGINAL_CURRENCY, pnstrdup(value, 3));
}

/* The key word that begins at s, before "+" (or ":" with a blank), or NULL. */
static const PurposeKey *
PurposeKeyAt(const char *s, bool at_start, int *skip)
{
	for (int i = 0; i < (int) lengthof(purpose_keys); i++)
	{
		int			n = strlen(purpose_keys[i].word);

		if (strncmp(s, purpose_keys[i].word, n) != 0)
			continue;
		if (s[n] == '+' || (s[n] == ':' && s[n + 1] == ' ' && at_start))
		{
			*skip = n + 1;
			return &purpose_keys[i];
		}
	}
	return NULL;
}

/* Spread a purpose over the line's columns by its key words. */
static void
ReadPurpose(StatementReader *r, const char *purpose)
{
	const PurposeKey *key = NULL;
	const char *start = purpose;
	const char *p = purpose;
	bool		any = false;

	for (;;)
	{
		const PurposeKey *next = NULL;
		int			skip = 0;
		bool		at_start = (p == purpose);

		if (*p != '\0' && (at_start || p[-1] == ' ' || any))
			next = PurposeKeyAt(p, at_start || any, &skip);
		if (next != NULL && !at_start && p[-1] != ' ' && p[skip - 1] != '+')
			next = NULL;

		if (next || *p == '\0')
		{
			char	   *value = TrimmedCopy(start, p - start);

			if (value[0] != '\0')
			{
				if (key == NULL || key->column == COL_REMITTANCE_TEXT)
					LineAppend(r, COL_REMITTANCE_TEXT, " ", value, strlen(value));
				else if (key->column == COL_END_TO_END_ID)
					Mt940SetEndToEnd(r, value);
				else if (key->column == COL_PAYER_BIC)
					Mt940SetBic(r, value);
				else if (key->column == COL_CHARGES || key->column == COL_ORIGINAL_AMOUNT)
					SetPurposeAmount(r, key, value);
				else if (key->column >= 0)
					LineSet(r, key->column, value);
				else
					LineDetail(r, key->word, value);
			}
			if (*p == '\0')
				return;
			any = true;
			key = next;
			p += skip;
			start = p;
			continue;
		}
		p++;
	}
}

/* ---- sub-fields: code, mark, two digits, text, mark, ... ---- */

/* The sub-fields that banks use. */
bool
Mt940IsSubfield(int code)
{
	return code == 0 || code == 10 || code == 11 || (code >= 20 && code <= 34) ||
		code == 38 || code == 39 || (code >= 60 && code <= 65) ||
		(code >= 70 && code <= 79);
}

/* The sub-field that begins at s, or -1. */
static int
SubfieldCode(const char *s, char mark)
{
	int			code;

	if (s[0] != mark || !isdigit((unsigned char) s[1]) || !isdigit((unsigned char) s[2]))
		return -1;
	code = (s[1] - '0') * 10 + (s[2] - '0');
	return Mt940IsSubfield(code) ? code : -1;
}

/* Spread sub-fields over the line's columns. */
void
Mt940ReadSubfields(StatementReader *r, const char *text)
{
	char		mark = text[3];
	StringInfoData purpose;
	StringInfoData name;
	char	   *key = NULL;		/* sub-field 34 */
	char		gvc[4];
	const char *p = text + 3;
	int			last_len = 27;

	initStringInfo(&purpose);
	initStringInfo(&name);
	memcpy(gvc, text, 3);
	gvc[3] = '\0';
	LineDetail(r, "business_code", gvc);

	while (*p != '\0')
	{
		int			code = SubfieldCode(p, mark);
		const char *start = p + 3;
		const char *end;
		int			chars = 0;

		if (code < 0)
		{
			p++;
			continue;
		}
		for (end = start; *end != '\0' && SubfieldCode(end, mark) < 0; end++)
			if ((*end & 0xC0) != 0x80)
				chars++;
		if ((code >= 20 && code <= 29) || (code >= 60 && code <= 65))
		{
			/* a full sub-field of 27 characters runs on in the next */
			if (purpose.len && last_len < 27)
				appendStringInfoChar(&purpose, ' ');
			appendBinaryStringInfo(&purpose, start, end - start);
			last_len = chars;
		}
		else if (code == 32 || code == 33)
		{
			if (name.len && code == 33 && chars > 0 && name.len < 27)
				appendStringInfoChar(&name, ' ');
			appendBinaryStringInfo(&name, start, end - start);
		}
		else
		{
			char	   *value = TrimmedCopy(start, end - start);

			if (code == 0)
				LineDetail(r, "booking_text", value);
			else if (code == 10 || code == 11)
				LineDetail(r, "journal_no", value);
			else if (code == 30)
			{
				Mt940SetBic(r, value);
				LineDetail(r, "payer_bank", value);
			}
			else if (code == 31)
				Mt940SetAccount(r, value, strlen(value));
			else if (code == 38 && LooksLikeIban(value, strlen(value)))
				LineSet(r, COL_PAYER_IBAN, value);
			else if (code == 34)
				key = value;
			else if (value[0] != '\0')
				LineDetail(r, psprintf("field_%02d", code), value);
		}
		p = end;
	}

	if (name.len)
		LineSet(r, COL_PAYER_NAME, TrimmedCopy(name.data, name.len));
	ReadPurpose(r, purpose.data);
	LineDetail(r, "text_key", key);

	/* returned direct debits and transfers give the reason as the key */
	if (strcmp(gvc, "108") == 0 || strcmp(gvc, "109") == 0 || strcmp(gvc, "159") == 0)
	{
		LineDetail(r, "returned", "true");
		if (r->row[COL_RETURN_REASON] == NULL)
			LineSet(r, COL_RETURN_REASON, key);
	}
}
