/*
 * reference.c
 *		Structured payment references and their check digits.
 *
 * A reference is recognised by its own arithmetic, so that a typing error in
 * it is noticed before it finds somebody else's invoice.  Digits alone prove
 * little (one number in ten passes a single check digit): the kind is
 * evidence, the key of an open item decides.
 */
#include "cash/cash.h"

#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(o2c_cash_reference_kind);

/* ISO 7064 mod 97-10 over letters and digits, "rotate" characters moved behind. */
static int
Mod97(const char *value, int len, int rotate)
{
	int			rest = 0;

	for (int i = 0; i < len; i++)
	{
		char		c = value[(i + rotate) % len];

		if (c >= '0' && c <= '9')
			rest = (rest * 10 + (c - '0')) % 97;
		else if (c >= 'A' && c <= 'Z')
			rest = (rest * 100 + (c - 'A' + 10)) % 97;
		else
			return -1;
	}
	return rest;
}

static bool
AllDigits(const char *value, int len)
{
	for (int i = 0; i < len; i++)
		if (value[i] < '0' || value[i] > '9')
			return false;
	return len > 0;
}

/* ISO 11649: RF, two check digits, 1 to 21 letters or digits. */
bool
CashIsIso11649(const char *value, int len)
{
	return len >= 5 && len <= 25 && value[0] == 'R' && value[1] == 'F' &&
		value[2] >= '0' && value[2] <= '9' && value[3] >= '0' && value[3] <= '9' &&
		Mod97(value, len, 4) == 1;
}

/* Belgium: ten digits and their remainder by 97 (0 is written 97). */
static bool
IsBelgian(const char *value, int len)
{
	int			rest;

	if (len != 12 || !AllDigits(value, len))
		return false;
	rest = Mod97(value, 10, 0);
	if (rest == 0)
		rest = 97;
	return rest == (value[10] - '0') * 10 + (value[11] - '0');
}

/* Finland: 4 to 20 digits, weights 7, 3, 1 from the right. */
static bool
IsFinnish(const char *value, int len)
{
	static const int weight[] = {7, 3, 1};
	int			sum = 0;

	if (len < 4 || len > 20 || !AllDigits(value, len))
		return false;
	for (int i = 0; i < len - 1; i++)
		sum += (value[len - 2 - i] - '0') * weight[i % 3];
	return (10 - sum % 10) % 10 == value[len - 1] - '0';
}

/* Luhn's mod 10 over the whole value. */
static bool
IsMod10(const char *value, int len)
{
	int			sum = 0;

	for (int i = 0; i < len; i++)
	{
		int			d = value[len - 1 - i] - '0';

		if (i % 2 == 1)
			d = d * 2 > 9 ? d * 2 - 9 : d * 2;
		sum += d;
	}
	return sum % 10 == 0;
}

/* Mod 11 with weights 2 to 7 from the right; a rest of 10 is written "-". */
static bool
IsMod11(const char *value, int len)
{
	int			sum = 0;
	int			check;

	for (int i = 0; i < len - 1; i++)
		sum += (value[len - 2 - i] - '0') * (2 + i % 6);
	check = (11 - sum % 11) % 11;
	return check < 10 ? value[len - 1] == '0' + check : value[len - 1] == '-';
}

/* Norway: KID, 2 to 25 digits, mod 10 or mod 11. */
static bool
IsNorwegian(const char *value, int len)
{
	if (len < 2 || len > 25 || !AllDigits(value, len - 1))
		return false;
	if (value[len - 1] == '-')
		return IsMod11(value, len);
	return AllDigits(value, len) && (IsMod10(value, len) || IsMod11(value, len));
}

/* Switzerland: the 27 digits of a QR reference, recursive mod 10. */
static bool
IsSwissQr(const char *value, int len)
{
	static const int table[] = {0, 9, 4, 6, 8, 2, 7, 1, 3, 5};
	int			carry = 0;

	if (len != 27 || !AllDigits(value, len))
		return false;
	for (int i = 0; i < 26; i++)
		carry = table[(carry + value[i] - '0') % 10];
	return (10 - carry) % 10 == value[26] - '0';
}

/*
 * Slovenia: SI, model, content of at most 20 digits in up to three parts.
 * Model 12 ends in a mod 11 digit; 00 has none; 99 has no content.
 */
static bool
IsSlovenian(const char *value, int len)
{
	int			sum = 0;
	int			check;

	if (len < 4 || len > 26 || value[0] != 'S' || value[1] != 'I' ||
		!AllDigits(value + 2, 2))
		return false;
	for (int i = 4; i < len; i++)
		if ((value[i] < '0' || value[i] > '9') && value[i] != '-')
			return false;
	if (strncmp(value + 2, "99", 2) == 0)
		return len == 4;
	if (strncmp(value + 2, "00", 2) == 0)
		return len > 4;
	if (strncmp(value + 2, "12", 2) != 0)
		return len > 4;
	if (len < 6 || len > 17 || !AllDigits(value + 4, len - 4))
		return false;
	for (int i = 0; i < len - 5; i++)
		sum += (value[len - 2 - i] - '0') * (2 + i);
	check = 11 - sum % 11;
	if (check >= 10)
		check = 0;
	return value[len - 1] == '0' + check;
}

/* The standard that the value satisfies, or NULL; long and sure ones first. */
const char *
CashReferenceKind(const char *value, int len)
{
	if (CashIsIso11649(value, len))
		return "iso11649";
	if (IsSlovenian(value, len))
		return "si";
	if (IsSwissQr(value, len))
		return "ch_qr";
	if (IsBelgian(value, len))
		return "be_ogm";
	if (IsFinnish(value, len))
		return "fi_viite";
	if (IsNorwegian(value, len))
		return "no_kid";
	return NULL;
}

/* reference_kind(text): the standard that a reference satisfies, or NULL. */
Datum
o2c_cash_reference_kind(PG_FUNCTION_ARGS)
{
	text	   *in = PG_GETARG_TEXT_PP(0);
	char		value[64];
	int			n = 0;
	const char *kind;

	for (int i = 0; i < VARSIZE_ANY_EXHDR(in); i++)
	{
		char		c = VARDATA_ANY(in)[i];

		if (c == ' ' || c == '+' || c == '*' || c == '/' || c == '.')
			continue;
		if (n >= sizeof(value) - 1)
			PG_RETURN_NULL();
		value[n++] = pg_ascii_toupper((unsigned char) c);
	}
	kind = CashReferenceKind(value, n);
	if (kind == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(kind));
}
