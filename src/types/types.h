/*
 * types.h
 *		The validated text types (currency, iban, creditor_reference) to the
 *		rest of src/.
 *
 * All three are stored exactly like text, in their normal form: capital
 * letters, no blanks.  They cast to text for free and use its operators and
 * indexes, as varchar does; what a value of the type adds is that it has been
 * checked.
 */
#ifndef O2C_TYPES_H
#define O2C_TYPES_H

#include "fmgr.h"

#define O2C_IBAN_MAX		34
#define O2C_REFERENCE_MAX	25

/*
 * The longest input that can normalise to a valid code; more is refused
 * before it is looked at.
 */
#define O2C_CODE_INPUT_MAX	128

/* Why a code was refused; static text, NULL where there is nothing to say. */
typedef struct CodeFault
{
	const char *detail;
	const char *hint;
} CodeFault;

/*
 * Each checks "len" bytes of "s" and writes the normal form, without a
 * terminator, to "out"; returns its length, or -1 and the fault.
 */
extern int	CurrencyNormalise(const char *s, int len, char *out, CodeFault *fault);
extern int	IbanNormalise(const char *s, int len, char *out, CodeFault *fault);
extern int	ReferenceNormalise(const char *s, int len, char *out, CodeFault *fault);

/* Capital letters and digits without blanks; -1 on another character or more than "max". */
extern int	CodeCompact(const char *s, int len, char *out, int max);

/* Remainder by 97 of the digits of "s", letters counting A=10 to Z=35. */
extern int	CodeMod97(int remainder, const char *s, int len);

/* Digits of the minor unit, or -1 when the currency has none or isn't one. */
extern int	CurrencyMinorUnit(const char *s, int len);

/* Round a numeric to the minor unit of a currency. */
extern PGDLLEXPORT Datum o2c_currency_round(PG_FUNCTION_ARGS);

#endif							/* O2C_TYPES_H */
