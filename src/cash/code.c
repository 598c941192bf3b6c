/*
 * code.c
 *		The customer numbers that a payment names as such.
 *
 * "Kd.Nr. 10234", in the text or before the payer's name, tells who pays when
 * his account and name do not: a trustee, a payment service, a new account.
 * Of numbers without a word for them, gather_answers.c takes what is beside the
 * amount that the customer owes.
 */
#include "cash/cash.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(o2c_cash_named_codes);

#define CODES_MAX	4

/* Words for a customer number. */
static const char *const code_words[] = {
	"KUNDE*", "KUNDNR*", "KUND", "KDNR", "KD", "CUSTOMER*", "CUST", "CLIENT*", "KLANT*", "DEBITEUR*",
	"DEBITOR*", "DEBNR*", "DEB", "RELATIE*", "ASIAKAS*", "KLIENT*", "MUSTERI*", "CARI", "UGYFEL*", "VEVOKOD*",
	"ZAKAZNI*", "ZAK", "PELAT*", "ACCOUNT*", "ACCT"
};

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
		if (!CashIsOneOf(s + word, i - word, code_words, lengthof(code_words)))
			continue;
		for (start = i;;)
		{
			int			filler;

			while (start < len && strchr(" .:#-/=", s[start]) != NULL)
				start++;
			for (filler = start; filler < len && IsLetter(s[filler]); filler++)
				;
			if (filler == start || (filler < len && IsDigit(s[filler])) || !CashIsFiller(s + start, filler - start))
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
