/*
 * code.c
 *		The customer numbers that a payment names as such.
 *
 * "Kd.Nr. 10234", in the text or before the payer's name, tells who pays when
 * his account and name do not: a trustee, a payment service, a new account.
 * Numbers without a word for them are anything.
 */
#include "cash/cash.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(o2c_cash_named_codes);

#define CODES_MAX	4

/* Words for a customer number, as they begin. */
static const char *const code_words[] = {
	"KUNDEN", "KUNDE", "KUNDNR", "KUND", "KDNR", "KD", "CUSTOMER", "CUST", "CLIENT", "KLANT", "DEBITEUR", "DEBITOR", "DEBNR", "DEB", "RELATIE",
	"ASIAKAS", "KLIENT", "MUSTERI", "CARI", "UGYFEL", "VEVOKOD", "ZAKAZNI", "ZAK", "PELAT", "ACCOUNT", "ACCT"
};

/* What may stand between them and the number. */
static const char *const filler_words[] = {"NR", "NO", "N", "NUMMER", "NUMBER", "NUMERO", "NUM", "CODE", "KOD", "ID", "C"};

static inline bool
IsLetter(char c)
{
	return c >= 'A' && c <= 'Z';
}

static inline bool
IsDigit(char c)
{
	return c >= '0' && c <= '9';
}

/* Short words stand alone, longer ones may go on ("Kundennummer"). */
static bool
IsCodeWord(const char *word, int len)
{
	for (int i = 0; i < lengthof(code_words); i++)
	{
		int			wanted = strlen(code_words[i]);

		if ((wanted < 5 ? len == wanted : len >= wanted) && memcmp(word, code_words[i], wanted) == 0)
			return true;
	}
	return false;
}

static bool
IsFiller(const char *word, int len)
{
	for (int i = 0; i < lengthof(filler_words); i++)
		if (len == strlen(filler_words[i]) && memcmp(word, filler_words[i], len) == 0)
			return true;
	return false;
}

/* Add the keys of the codes that a text names. */
static int
AddCodes(text *in, Datum *keys, int n)
{
	int			len;
	char	   *s = CashFold(VARDATA_ANY(in), Min(VARSIZE_ANY_EXHDR(in), CASH_TEXT_MAX), &len);

	for (int i = 0; i < len && n < CODES_MAX;)
	{
		int			word = i;
		int			start;
		int			end;
		bool		digit = false;
		int64		key;

		while (i < len && IsLetter(s[i]))
			i++;
		if (i == word)
		{
			/* a word does not begin within a number */
			while (i < len && (IsDigit(s[i]) || (i > word && IsLetter(s[i]))))
				i++;
			i += i == word;
			continue;
		}
		if (!IsCodeWord(s + word, i - word))
			continue;
		for (start = i;;)
		{
			int			filler;

			while (start < len && strchr(" .:#-/=", s[start]) != NULL)
				start++;
			for (filler = start; filler < len && IsLetter(s[filler]); filler++)
				;
			if (filler == start || (filler < len && IsDigit(s[filler])) || !IsFiller(s + start, filler - start))
				break;
			start = filler;
		}
		for (end = start; end < len && end - start < CASH_VALUE_MAX &&
			 (IsLetter(s[end]) || IsDigit(s[end]) ||
			  (end > start && strchr("-/.", s[end]) != NULL && end + 1 < len && IsDigit(s[end + 1]))); end++)
			digit |= IsDigit(s[end]);
		key = digit ? CashDocumentKey(s + start, end - start) : 0;
		if (key != 0)
		{
			keys[n++] = Int64GetDatum(key);
			i = end;
		}
	}
	pfree(s);
	return n;
}

/* _named_codes(remittance_text, payer_name): the keys of customer numbers that they name; NULL for none. */
Datum
o2c_cash_named_codes(PG_FUNCTION_ARGS)
{
	Datum		keys[CODES_MAX];
	int			n = 0;

	for (int i = 0; i < 2; i++)
		if (!PG_ARGISNULL(i))
			n = AddCodes(PG_GETARG_TEXT_PP(i), keys, n);
	if (n == 0)
		PG_RETURN_NULL();
	PG_RETURN_ARRAYTYPE_P(construct_array(keys, n, INT8OID, 8, true, TYPALIGN_DOUBLE));
}
