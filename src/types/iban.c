/*
 * iban.c
 *		The type o2c.iban: ISO 13616, checked by country, modulo 97 and, where
 *		a country has one rule for all banks, by the account's own check digits.
 *
 * What is stored and printed is the electronic form, without blanks;
 * o2c.iban_format() makes the paper form in groups of four.
 */
#include "o2c.h"

#include "libpq/pqformat.h"
#include "types/types.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(o2c_iban_in);
PG_FUNCTION_INFO_V1(o2c_iban_recv);
PG_FUNCTION_INFO_V1(o2c_iban_from_text);
PG_FUNCTION_INFO_V1(o2c_iban_is_valid);
PG_FUNCTION_INFO_V1(o2c_iban_country);
PG_FUNCTION_INFO_V1(o2c_iban_format);

typedef struct IbanCountry
{
	char		country[3];
	int			length;
	const char *structure;
} IbanCountry;

#define IBAN_COUNTRY(country, length, structure)	{country, length, structure},

static const IbanCountry iban_countries[] = {
#include "types/iban_table.h"
};

#undef IBAN_COUNTRY

static int
CompareCountry(const void *key, const void *entry)
{
	return memcmp(key, ((const IbanCountry *) entry)->country, 2);
}

/* Whether the characters are those that the country's structure wants. */
static bool
FitsStructure(const char *s, const char *structure)
{
	while (*structure != '\0')
	{
		int			count = 0;
		char		kind;

		while (*structure >= '0' && *structure <= '9')
			count = count * 10 + (*structure++ - '0');
		structure++;			/* the exclamation mark: exactly */
		kind = *structure++;
		for (; count > 0; count--, s++)
		{
			bool		digit = (*s >= '0' && *s <= '9');

			if ((kind == 'n' && !digit) || (kind == 'a' && digit))
				return false;
		}
	}
	return true;
}

/* One check digit of a Spanish account over ten digits. */
static char
SpanishCheck(const char *digits)
{
	static const int weights[] = {1, 2, 4, 8, 5, 10, 9, 7, 3, 6};
	int			sum = 0;

	for (int i = 0; i < 10; i++)
		sum += (digits[i] - '0') * weights[i];
	sum = 11 - sum % 11;
	return sum == 11 ? '0' : sum == 10 ? '1' : '0' + sum;
}

/*
 * Whether the account's own check digits fit, in the countries whose banks all
 * use one published rule: Belgium (two digits modulo 97) and Spain (one digit
 * over bank and branch, one over the account).
 */
static bool
NationalCheckFits(const char *iban)
{
	const char *bban = iban + 4;

	if (memcmp(iban, "BE", 2) == 0)
	{
		int			check = CodeMod97(0, bban, 10);

		if (check == 0)
			check = 97;
		return bban[10] - '0' == check / 10 && bban[11] - '0' == check % 10;
	}
	if (memcmp(iban, "ES", 2) == 0)
	{
		char		branch[10] = {'0', '0'};

		memcpy(branch + 2, bban, 8);
		return bban[8] == SpanishCheck(branch) && bban[9] == SpanishCheck(bban + 10);
	}
	return true;
}

int
IbanNormalise(const char *s, int len, char *out, CodeFault *fault)
{
	int			n = len <= O2C_CODE_INPUT_MAX ? CodeCompact(s, len, out, O2C_IBAN_MAX) : -1;
	const IbanCountry *country;
	int			check;

	fault->hint = "Write it with or without blanks, such as DE89 3704 0044 0532 0130 00.";
	if (n < 5 || out[0] < 'A' || out[1] < 'A' || out[2] > '9' || out[3] > '9')
	{
		fault->detail = "An IBAN is a country code, two check digits and up to 30 letters and digits.";
		return -1;
	}
	country = bsearch(out, iban_countries, lengthof(iban_countries),
					  sizeof(IbanCountry), CompareCountry);
	if (country == NULL)
	{
		fault->detail = "The country is not in the IBAN registry.";
		return -1;
	}
	if (n != country->length)
	{
		fault->detail = "The length is not that of the country's IBANs.";
		return -1;
	}
	if (!FitsStructure(out + 4, country->structure))
	{
		fault->detail = "Digits and letters do not stand where the country's IBANs have them.";
		return -1;
	}
	check = 98 - CodeMod97(CodeMod97(CodeMod97(0, out + 4, n - 4), out, 2), "00", 2);
	if (out[2] - '0' != check / 10 || out[3] - '0' != check % 10)
	{
		fault->detail = "The check digits do not fit the rest.";
		fault->hint = "A digit is probably mistyped or two are exchanged.";
		return -1;
	}
	if (!NationalCheckFits(out))
	{
		fault->detail = "The check digits of the account within it do not fit.";
		fault->hint = "A digit is probably mistyped or two are exchanged.";
		return -1;
	}
	return n;
}

/* Datum of a checked IBAN, or the error; NULL after a soft error. */
static text *
IbanMake(const char *s, int len, struct Node *escontext)
{
	char		code[O2C_IBAN_MAX];
	CodeFault	fault;
	int			n = IbanNormalise(s, len, code, &fault);

	if (n < 0)
		O2C_ERETURN(escontext, NULL,
					(errcode(ERRCODE_O2C_INVALID_IBAN),
					 errmsg("invalid IBAN: \"%s\"",
							pnstrdup(s, pg_mbcliplen(s, len, O2C_CODE_INPUT_MAX))),
					 errdetail("%s", fault.detail),
					 errhint("%s", fault.hint)));
	return cstring_to_text_with_len(code, n);
}

/* o2c_iban_in(cstring): checks and normalises. */
Datum
o2c_iban_in(PG_FUNCTION_ARGS)
{
	char	   *s = PG_GETARG_CSTRING(0);

	PG_RETURN_TEXT_P(IbanMake(s, strlen(s), fcinfo->context));
}

/* o2c_iban_recv(internal): like input. */
Datum
o2c_iban_recv(PG_FUNCTION_ARGS)
{
	StringInfo	buf = (StringInfo) PG_GETARG_POINTER(0);
	int			len;
	char	   *s = pq_getmsgtext(buf, buf->len - buf->cursor, &len);

	PG_RETURN_TEXT_P(IbanMake(s, len, NULL));
}

/* o2c_iban_from_text(text): like input. */
Datum
o2c_iban_from_text(PG_FUNCTION_ARGS)
{
	text	   *t = PG_GETARG_TEXT_PP(0);

	PG_RETURN_TEXT_P(IbanMake(VARDATA_ANY(t), VARSIZE_ANY_EXHDR(t), NULL));
}

/* o2c_iban_is_valid(text): whether the text is an IBAN. */
Datum
o2c_iban_is_valid(PG_FUNCTION_ARGS)
{
	text	   *t = PG_GETARG_TEXT_PP(0);
	char		code[O2C_IBAN_MAX];
	CodeFault	fault;

	PG_RETURN_BOOL(IbanNormalise(VARDATA_ANY(t), VARSIZE_ANY_EXHDR(t),
								 code, &fault) > 0);
}

/* o2c_iban_country(iban): its country code. */
Datum
o2c_iban_country(PG_FUNCTION_ARGS)
{
	text	   *t = PG_GETARG_TEXT_PP(0);

	PG_RETURN_TEXT_P(cstring_to_text_with_len(VARDATA_ANY(t), Min(2, VARSIZE_ANY_EXHDR(t))));
}

/* o2c_iban_format(iban): the paper form, in groups of four. */
Datum
o2c_iban_format(PG_FUNCTION_ARGS)
{
	text	   *t = PG_GETARG_TEXT_PP(0);
	const char *s = VARDATA_ANY(t);
	int			len = VARSIZE_ANY_EXHDR(t);
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < len; i++)
	{
		if (i > 0 && i % 4 == 0)
			appendStringInfoChar(&buf, ' ');
		appendStringInfoChar(&buf, s[i]);
	}
	PG_RETURN_TEXT_P(cstring_to_text_with_len(buf.data, buf.len));
}
