/*
 * text_keys.c
 *		What SQL asks of the tokeniser: the tokens of a remittance text, and
 *		the keys under which the documents that it names are found; amounts as
 *		the weigher takes them.
 */
#include "cash/cash.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

#include "receivables/aging.h"
#include "types/types.h"

PG_FUNCTION_INFO_V1(o2c_cash_tokens);
PG_FUNCTION_INFO_V1(o2c_cash_keys);
PG_FUNCTION_INFO_V1(o2c_cash_minor_amount);
PG_FUNCTION_INFO_V1(o2c_cash_amounts);

/* cash_tokens(text): (kind, value, pos), what the tokeniser sees. */
Datum
o2c_cash_tokens(PG_FUNCTION_ARGS)
{
	text	   *in = PG_GETARG_TEXT_PP(0);
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	CashText   *t;

	InitMaterializedSRF(fcinfo, 0);
	t = CashTokenise(VARDATA_ANY(in), VARSIZE_ANY_EXHDR(in), true);
	for (int i = 0; i < t->ntokens; i++)
	{
		char		kind[2] = {t->tokens[i].kind, '\0'};
		Datum		values[3];
		bool		nulls[3] = {false, false, false};

		values[0] = CStringGetTextDatum(kind);
		values[1] = CStringGetTextDatum(t->tokens[i].value);
		values[2] = Int32GetDatum(t->tokens[i].pos);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}

static int
CompareKeys(const void *a, const void *b)
{
	int64		x = *(const int64 *) a;
	int64		y = *(const int64 *) b;

	return x < y ? -1 : x > y ? 1 : 0;
}

/* _cash_keys(text): the distinct keys under which documents may be found. */
Datum
o2c_cash_keys(PG_FUNCTION_ARGS)
{
	text	   *in = PG_GETARG_TEXT_PP(0);
	CashText   *t = CashTokenise(VARDATA_ANY(in), VARSIZE_ANY_EXHDR(in), true);
	int64	   *keys = palloc(Max(t->ntokens, 1) * sizeof(int64));
	Datum	   *elems = palloc(Max(t->ntokens, 1) * sizeof(Datum));
	int			n = 0;
	int			m = 0;

	for (int i = 0; i < t->ntokens; i++)
		if (t->tokens[i].key != 0 && (t->tokens[i].len >= 4 || t->tokens[i].key < 0))
			keys[n++] = t->tokens[i].key;
	qsort(keys, n, sizeof(int64), CompareKeys);
	for (int i = 0; i < n; i++)
		if (i == 0 || keys[i] != keys[i - 1])
			elems[m++] = Int64GetDatum(keys[i]);
	PG_RETURN_ARRAYTYPE_P(construct_array(elems, m, INT8OID, 8, true, TYPALIGN_DOUBLE));
}

/* An amount in units of 10^-digits, halves away from zero. */
int64
CashMinorAmount(struct varlena *amount, int digits)
{
	int64		factor = 1;
	AgingSum	sum = {0, 0};

	for (int i = 0; i < digits; i++)
		factor *= 10;
	(void) AgingAddNumeric(&sum, amount);
	if (digits <= AGING_UNIT_SCALE && sum.fraction == 0)
	{
		int64		step = 1;
		int128		minor;

		for (int i = digits; i < AGING_UNIT_SCALE; i++)
			step *= 10;
		if (sum.units == (int64) sum.units && sum.units < PG_INT64_MAX / 2 && sum.units > PG_INT64_MIN / 2)
			return ((int64) sum.units + (sum.units < 0 ? -step / 2 : step / 2)) / step;
		minor = (sum.units + (sum.units < 0 ? -step / 2 : step / 2)) / step;
		if (minor == (int64) minor)
			return (int64) minor;
	}
	return DatumGetInt64(DirectFunctionCall1(numeric_int8,
											 DirectFunctionCall2(numeric_mul, PointerGetDatum(amount),
																 NumericGetDatum(int64_to_numeric(factor)))));
}

/* _minor_amount(amount, currency): in minor units, halves away from zero. */
Datum
o2c_cash_minor_amount(PG_FUNCTION_ARGS)
{
	text	   *currency = PG_GETARG_TEXT_PP(1);
	int			digits = CurrencyMinorUnit(VARDATA_ANY(currency), VARSIZE_ANY_EXHDR(currency));

	if (digits < 0)
		PG_RETURN_NULL();
	PG_RETURN_INT64(CashMinorAmount(PG_DETOAST_DATUM_PACKED(PG_GETARG_DATUM(0)), digits));
}

/* _amounts(minor_amounts, minor): amounts in minor units, with their decimals. */
Datum
o2c_cash_amounts(PG_FUNCTION_ARGS)
{
	ArrayType  *minor = PG_GETARG_ARRAYTYPE_P(0);
	int			digits = PG_GETARG_INT32(1);
	int			n;
	Datum	   *elems;
	bool	   *nulls;

	if (digits < 0 || digits > AGING_UNIT_SCALE)
		elog(ERROR, "a currency has 0 to %d decimals", AGING_UNIT_SCALE);
	deconstruct_array(minor, INT8OID, 8, true, TYPALIGN_DOUBLE, &elems, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("an amount is missing")));
		elems[i] = NumericGetDatum(int64_div_fast_to_numeric(DatumGetInt64(elems[i]), digits));
	}
	PG_RETURN_ARRAYTYPE_P(construct_array(elems, n, NUMERICOID, -1, false, TYPALIGN_INT));
}
