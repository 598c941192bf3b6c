/*
 * row_shape.c
 *		Whether the rows of a query are what C is about to read from them.
 *
 * The stages of matching hand their queries to C as text, and who may run a
 * match may call these functions with a text of his own.  Rows are read
 * without further question, so their columns are compared here first.
 *
 * A shape has a letter for each column: b boolean, i integer, l bigint, d date,
 * n numeric, t text or a type stored as one, a bigint[], x text[]; a capital
 * letter may be null.
 */
#include "cash/cash.h"

#include "catalog/pg_type.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

/* Whether a column of that type can be read as the letter says. */
static bool
TypeFits(Oid type, char letter)
{
	switch (pg_ascii_tolower((unsigned char) letter))
	{
		case 'b':
			return type == BOOLOID;
		case 'i':
			return type == INT4OID;
		case 'l':
			return type == INT8OID;
		case 'd':
			return type == DATEOID;
		case 'n':
			return type == NUMERICOID;
		case 't':
			return type == TEXTOID || IsBinaryCoercible(type, TEXTOID);
		case 'a':
			return type == INT8ARRAYOID;
		case 'x':
			return type == TEXTARRAYOID;
	}
	return false;
}

/* Refuse rows with other columns than the shape says. */
void
CashCheckShape(TupleDesc desc, const char *shape)
{
	int			n = strlen(shape);

	if (desc == NULL || desc->natts != n)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("query of matching returns %d columns instead of %d", desc == NULL ? 0 : desc->natts, n)));
	for (int i = 0; i < n; i++)
		if (!TypeFits(TupleDescAttr(desc, i)->atttypid, shape[i]))
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("column %d of a query of matching is of type %s", i + 1,
							format_type_be(TupleDescAttr(desc, i)->atttypid))));
}

/* Refuse a row with a null that the shape does not allow. */
void
CashCheckNulls(const char *shape, const bool *isnull)
{
	for (int i = 0; shape[i] != '\0'; i++)
		if (isnull[i] && shape[i] >= 'a')
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("column %d of a query of matching is null", i + 1)));
}
