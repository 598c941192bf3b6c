/*
 * reference.c
 *		The type o2c.creditor_reference: ISO 11649, RF + check digits + up to
 *		21 letters and digits.
 */
#include "o2c.h"

#include "libpq/pqformat.h"
#include "types/types.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(o2c_reference_in);
PG_FUNCTION_INFO_V1(o2c_reference_recv);
PG_FUNCTION_INFO_V1(o2c_reference_from_text);
PG_FUNCTION_INFO_V1(o2c_reference_is_valid);
PG_FUNCTION_INFO_V1(o2c_reference_make);

#define REFERENCE_BODY_MAX	(O2C_REFERENCE_MAX - 4)

/* Check digits, 2 to 98, of a body of letters and digits. */
static int
ReferenceCheck(const char *body, int len)
{
	return 98 - CodeMod97(CodeMod97(0, body, len), "RF00", 4);
}

int
ReferenceNormalise(const char *s, int len, char *out, CodeFault *fault)
{
	int			n = len <= O2C_CODE_INPUT_MAX ? CodeCompact(s, len, out, O2C_REFERENCE_MAX) : -1;
	int			check;

	fault->hint = "Make one with o2c.creditor_reference_from().";
	if (n < 5 || out[0] != 'R' || out[1] != 'F' || out[2] > '9' || out[3] > '9')
	{
		fault->detail = "A creditor reference is RF, two check digits and up to 21 letters and digits.";
		return -1;
	}
	check = ReferenceCheck(out + 4, n - 4);
	if (out[2] - '0' != check / 10 || out[3] - '0' != check % 10)
	{
		fault->detail = "The check digits do not fit the rest.";
		return -1;
	}
	return n;
}

/* Datum of a checked reference, or the error; NULL after a soft error. */
static text *
ReferenceMake(const char *s, int len, struct Node *escontext)
{
	char		code[O2C_REFERENCE_MAX];
	CodeFault	fault;
	int			n = ReferenceNormalise(s, len, code, &fault);

	if (n < 0)
		O2C_ERETURN(escontext, NULL,
					(errcode(ERRCODE_O2C_INVALID_REFERENCE),
					 errmsg("invalid creditor reference: \"%s\"",
							pnstrdup(s, pg_mbcliplen(s, len, O2C_CODE_INPUT_MAX))),
					 errdetail("%s", fault.detail),
					 errhint("%s", fault.hint)));
	return cstring_to_text_with_len(code, n);
}

/* o2c_reference_in(cstring): checks and normalises. */
Datum
o2c_reference_in(PG_FUNCTION_ARGS)
{
	char	   *s = PG_GETARG_CSTRING(0);

	PG_RETURN_TEXT_P(ReferenceMake(s, strlen(s), fcinfo->context));
}

/* o2c_reference_recv(internal): like input. */
Datum
o2c_reference_recv(PG_FUNCTION_ARGS)
{
	StringInfo	buf = (StringInfo) PG_GETARG_POINTER(0);
	int			len;
	char	   *s = pq_getmsgtext(buf, buf->len - buf->cursor, &len);

	PG_RETURN_TEXT_P(ReferenceMake(s, len, NULL));
}

/* o2c_reference_from_text(text): like input. */
Datum
o2c_reference_from_text(PG_FUNCTION_ARGS)
{
	text	   *t = PG_GETARG_TEXT_PP(0);

	PG_RETURN_TEXT_P(ReferenceMake(VARDATA_ANY(t), VARSIZE_ANY_EXHDR(t), NULL));
}

/* o2c_reference_is_valid(text): whether the text is a creditor reference. */
Datum
o2c_reference_is_valid(PG_FUNCTION_ARGS)
{
	text	   *t = PG_GETARG_TEXT_PP(0);
	char		code[O2C_REFERENCE_MAX];
	CodeFault	fault;

	PG_RETURN_BOOL(ReferenceNormalise(VARDATA_ANY(t), VARSIZE_ANY_EXHDR(t),
									  code, &fault) > 0);
}

/*
 * o2c_reference_make(text): RF and check digits before the letters and digits
 * of a document number; its blanks and ASCII punctuation are dropped.
 */
Datum
o2c_reference_make(PG_FUNCTION_ARGS)
{
	text	   *t = PG_GETARG_TEXT_PP(0);
	const char *s = VARDATA_ANY(t);
	int			len = VARSIZE_ANY_EXHDR(t);
	char		code[O2C_REFERENCE_MAX];
	int			n = 4;
	int			check;

	for (int i = 0; i < len; i++)
	{
		char		c = s[i];

		if (c >= 'a' && c <= 'z')
			c -= 'a' - 'A';
		if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z'))
		{
			if (n < O2C_REFERENCE_MAX)
				code[n] = c;
			n++;
		}
		else if (IS_HIGHBIT_SET(c))
			ereport(ERROR,
					(errcode(ERRCODE_O2C_INVALID_REFERENCE),
					 errmsg("cannot make a creditor reference from \"%s\"", text_to_cstring(t)),
					 errdetail("Only the letters A to Z and digits can stand in it.")));
	}
	if (n == 4 || n > O2C_REFERENCE_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_O2C_INVALID_REFERENCE),
				 errmsg("cannot make a creditor reference from \"%s\"", text_to_cstring(t)),
				 errdetail("It needs 1 to %d letters or digits and has %d.",
						   REFERENCE_BODY_MAX, n - 4)));
	check = ReferenceCheck(code + 4, n - 4);
	code[0] = 'R';
	code[1] = 'F';
	code[2] = '0' + check / 10;
	code[3] = '0' + check % 10;
	PG_RETURN_TEXT_P(cstring_to_text_with_len(code, n));
}
