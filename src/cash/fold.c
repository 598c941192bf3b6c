/*
 * fold.c
 *		Texts folded to ASCII, and the keys that bring lines and documents
 *		together.
 *
 * A key is a 64-bit integer: digits (at most 18, without leading zeros) stand
 * for themselves; anything else is a hash with the sign bit set.  Texts are
 * compared afterwards.
 */
#include "cash/cash.h"

#include "common/hashfn.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(o2c_cash_document_key);
PG_FUNCTION_INFO_V1(o2c_cash_document_digits);
PG_FUNCTION_INFO_V1(o2c_cash_reference_key);

/* ASCII for U+00C0..U+017F, two letters where people write two. */
static const char *
FoldLatin(uint32 code)
{
	static const char *const latin1[] = {
		"A", "A", "A", "A", "AE", "A", "AE", "C", "E", "E", "E", "E", "I", "I", "I", "I",
		"D", "N", "O", "O", "O", "O", "OE", " ", "O", "U", "U", "U", "UE", "Y", "TH", "SS"
	};
	static const char extended[] =
		"AAAAAACCCCCCCCDDDDEEEEEEEEEEGGGGGGGGHHHHIIIIIIIIIIIIJJKKKLLLLLLLLLL"
		"NNNNNNNNNOOOOOOOORRRRRRSSSSSSSSTTTTTTUUUUUUUUUUUUWWYYYZZZZZZS";
	static char one[2];

	if (code >= 0xC0 && code <= 0xFF)
		return code == 0xF7 ? " " : latin1[(code - 0xC0) % 32];
	if (code >= 0x100 && code - 0x100 < sizeof(extended) - 1)
	{
		one[0] = extended[code - 0x100];
		return one;
	}
	return NULL;
}

/* ASCII for Greek and Cyrillic letters as passports and banks write them, and Romanian ones. */
static const char *
FoldOther(uint32 code)
{
	/* U+0386 to U+03CE */
	static const char *const greek[] = {
		"A", " ", "E", "I", "I", "?", "O", "?", "Y", "O", "I",
		"A", "V", "G", "D", "E", "Z", "I", "TH", "I", "K", "L", "M", "N", "X", "O", "P", "R", "S", "S", "T", "Y", "F", "CH", "PS", "O", "I", "Y",
		"A", "E", "I", "I", "Y",
		"A", "V", "G", "D", "E", "Z", "I", "TH", "I", "K", "L", "M", "N", "X", "O", "P", "R", "S", "S", "T", "Y", "F", "CH", "PS", "O", "I", "Y",
		"O", "Y", "O"
	};
	/* U+0410 to U+042F, and the same in small letters */
	static const char *const cyrillic[] = {
		"A", "B", "V", "G", "D", "E", "ZH", "Z", "I", "Y", "K", "L", "M", "N", "O", "P",
		"R", "S", "T", "U", "F", "KH", "TS", "CH", "SH", "SH", "", "Y", "", "E", "YU", "YA"
	};
	/* U+0400 to U+040F */
	static const char *const cyrillic_others[] = {
		"E", "E", "DJ", "G", "E", "Z", "I", "I", "J", "LJ", "NJ", "C", "K", "I", "U", "DZ"
	};

	if (code >= 0x386 && code - 0x386 < lengthof(greek))
		return greek[code - 0x386];
	if (code >= 0x410 && code <= 0x44F)
		return cyrillic[(code - 0x410) % 32];
	if (code >= 0x400 && code <= 0x45F)
		return cyrillic_others[(code - 0x400) % 16];
	if (code >= 0x218 && code <= 0x21B)
		return code <= 0x219 ? "S" : "T";
	return NULL;
}

/*
 * Fold UTF-8 (or any ASCII superset) to upper case ASCII: accents dropped,
 * typographic spaces and dashes made plain, full-width digits read, control
 * characters blank, all else '?'.  Never fails, whatever the bytes.
 */
char *
CashFold(const char *text, int len, int *outlen)
{
	char	   *out = palloc(2 * (Size) len + 1);
	int			n = 0;

	for (int i = 0; i < len;)
	{
		unsigned char c = (unsigned char) text[i];
		uint32		code;
		int			more;
		const char *folded;

		if (c < 0x80)
		{
			out[n++] = c < 0x20 || c == 0x7F ? ' ' : pg_ascii_toupper(c);
			i++;
			continue;
		}
		more = c >= 0xF0 ? 3 : c >= 0xE0 ? 2 : c >= 0xC0 ? 1 : 0;
		code = more == 3 ? c & 0x07 : more == 2 ? c & 0x0F : c & 0x1F;
		if (more == 0 || i + more >= len)
		{
			out[n++] = '?';
			i++;
			continue;
		}
		for (int k = 1; k <= more; k++)
			code = code << 6 | ((unsigned char) text[i + k] & 0x3F);
		i += more + 1;
		folded = FoldLatin(code);
		if (folded == NULL && code < 0x500)
			folded = FoldOther(code);
		if (folded != NULL)
			while (*folded)
				out[n++] = *folded++;
		else if (code == 0xA0 || (code >= 0x2000 && code <= 0x200B) || code == 0x202F ||
				 code == 0x3000 || code == 0xFEFF)
			out[n++] = ' ';
		else if ((code >= 0x2010 && code <= 0x2015) || code == 0x2212)
			out[n++] = '-';
		else if (code >= 0xFF10 && code <= 0xFF19)
			out[n++] = '0' + (code - 0xFF10);
		else
			out[n++] = '?';
	}
	out[n] = '\0';
	*outlen = n;
	return out;
}

/* Key of digits: leading zeros do not count. */
int64
CashKeyDigits(const char *digits, int len)
{
	int64		value = 0;

	while (len > 0 && *digits == '0')
	{
		digits++;
		len--;
	}
	if (len > 18)
		return CashKeyAlnum(digits, len);
	for (int i = 0; i < len; i++)
		value = value * 10 + (digits[i] - '0');
	return value;
}

/* Key of letters and digits. */
int64
CashKeyAlnum(const char *value, int len)
{
	return (int64) (hash_bytes_extended((const unsigned char *) value, len, 0) |
					(UINT64CONST(1) << 63));
}

/* Digits of a text without leading zeros; returns their number. */
int
CashDigitsOf(const char *text, int len, char *out, int max)
{
	int			n = 0;

	for (int i = 0; i < len && n < max; i++)
		if (IsDigit(text[i]) && (n > 0 || text[i] != '0'))
			out[n++] = text[i];
	return n;
}

/* Letters and digits of a text in upper case; returns their number. */
int
CashAlnumOf(const char *text, int len, char *out, int max)
{
	int			n = 0;

	for (int i = 0; i < len && n < max; i++)
	{
		char		c = pg_ascii_toupper((unsigned char) text[i]);

		if (IsDigit(c) || IsLetter(c))
			out[n++] = c;
	}
	return n;
}

/*
 * Key of a document number: its digits when there are at least four, else
 * (or with letters between the digits) its letters and digits.
 */
int64
CashDocumentKey(const char *number, int len)
{
	char		value[CASH_VALUE_MAX];
	int			n = CashDigitsOf(number, len, value, CASH_VALUE_MAX);
	int			changes = 0;
	bool		digit = false;

	for (int i = 0; i < len; i++)
	{
		char		c = pg_ascii_toupper((unsigned char) number[i]);

		if (IsLetter(c) && digit)
			changes++;
		if (IsLetter(c) || IsDigit(c))
			digit = IsDigit(c);
	}
	if (n >= 4 && changes == 0)
		return CashKeyDigits(value, n);
	n = CashAlnumOf(number, len, value, CASH_VALUE_MAX);
	return n == 0 ? 0 : CashKeyAlnum(value, n);
}

/* _document_digits(number): its digits as a key, when letters stand between them; 0 = none. */
Datum
o2c_cash_document_digits(PG_FUNCTION_ARGS)
{
	text	   *in = PG_GETARG_TEXT_PP(0);
	char		value[CASH_VALUE_MAX];
	int			n = CashDigitsOf(VARDATA_ANY(in), VARSIZE_ANY_EXHDR(in), value, CASH_VALUE_MAX);
	int64		key = CashDocumentKey(VARDATA_ANY(in), VARSIZE_ANY_EXHDR(in));

	PG_RETURN_INT64(key < 0 && n >= 6 && n <= 18 ? CashKeyDigits(value, n) : 0);
}

/* _document_key(number): the key of a document's number; 0 = none. */
Datum
o2c_cash_document_key(PG_FUNCTION_ARGS)
{
	text	   *in = PG_GETARG_TEXT_PP(0);

	PG_RETURN_INT64(CashDocumentKey(VARDATA_ANY(in), VARSIZE_ANY_EXHDR(in)));
}

/* _reference_key(reference): the key of a structured reference; 0 = none. */
Datum
o2c_cash_reference_key(PG_FUNCTION_ARGS)
{
	text	   *in = PG_GETARG_TEXT_PP(0);
	char		value[CASH_VALUE_MAX];
	int			n = CashAlnumOf(VARDATA_ANY(in), VARSIZE_ANY_EXHDR(in), value, CASH_VALUE_MAX);
	bool		digits = n > 0;

	for (int i = 0; i < n; i++)
		digits &= IsDigit(value[i]);
	if (n < 4)
		PG_RETURN_INT64(0);
	PG_RETURN_INT64(digits ? CashKeyDigits(value, n) : CashKeyAlnum(value, n));
}
