/*
 * statement.h
 *		What the readers of bank files share.
 *
 * A reader walks the text of one file and emits rows: for each statement its
 * lines (line_no 1, 2, ...) and one row for the statement itself (line_no 0).
 * Everything is text in here; the row's SQL types convert and check it.  Sums
 * and accounts are checked by the caller in SQL, the same way for all formats.
 */
#ifndef O2C_STATEMENT_H
#define O2C_STATEMENT_H

#include "o2c.h"

#include "funcapi.h"
#include "lib/stringinfo.h"

/* Columns of o2c._bank_file_row, in its order. */
typedef enum StatementColumn
{
	COL_STATEMENT_NO,
	COL_LINE_NO,
	COL_ACCOUNT,
	COL_STATEMENT_REF,
	COL_SEQUENCE_NO,
	COL_INTERIM,
	COL_FROM_DATE,
	COL_TO_DATE,
	COL_OPENING_BALANCE,
	COL_CLOSING_BALANCE,
	COL_CURRENCY,
	COL_BOOKING_DATE,
	COL_VALUE_DATE,
	COL_AMOUNT,
	COL_PAYER_NAME,
	COL_PAYER_IBAN,
	COL_PAYER_ACCOUNT,
	COL_PAYER_BIC,
	COL_REMITTANCE_TEXT,
	COL_STRUCTURED_REF,
	COL_END_TO_END_ID,
	COL_MANDATE_ID,
	COL_BANK_REF,
	COL_ENTRY_REF,
	COL_TRANSACTION_CODE,
	COL_RETURN_REASON,
	COL_CHARGES,
	COL_ORIGINAL_AMOUNT,
	COL_ORIGINAL_CURRENCY,
	COL_DETAILS,
	STATEMENT_COLUMNS
} StatementColumn;

/* No field of a line may be longer than this; a longer one is refused. */
#define STATEMENT_FIELD_MAX 65536

/* Digits of an amount before and after the decimal mark. */
#define STATEMENT_AMOUNT_DIGITS 18
#define STATEMENT_AMOUNT_DECIMALS 10

typedef struct StatementReader
{
	const char *format;			/* as messages name it */
	const char *pos;			/* what is still to read */
	const char *end;
	int			lineno;			/* of the physical line last read, from 1 */
	int			statement_no;
	int			line_no;		/* of the statement's lines, from 1 */
	char	   *row[STATEMENT_COLUMNS]; /* the line being built */
	StringInfoData details;		/* its further facts, as a JSON object */
	char	   *head[STATEMENT_COLUMNS];	/* the statement being built */
	MemoryContext line_cxt;		/* lives until the line is put */
	MemoryContext head_cxt;		/* lives until the statement is put */
	AttInMetadata *attinmeta;
	Tuplestorestate *store;
} StatementReader;

/* Emitting rows (statement.c) */
extern void LineSet(StatementReader *r, StatementColumn column, const char *value);
extern void LineAppend(StatementReader *r, StatementColumn column,
					   const char *separator, const char *value, int len);
extern void LineDetail(StatementReader *r, const char *key, const char *value);
extern void LinePut(StatementReader *r);
extern void HeadSet(StatementReader *r, StatementColumn column, const char *value);
extern void HeadPut(StatementReader *r);

/* Reading pieces of text (statement.c) */
extern bool NextLine(StatementReader *r, const char **line, int *len);
extern char *ParseAmount(StatementReader *r, const char *s, int len,
						 char decimal, char thousands);
extern char *ParseYMD(StatementReader *r, const char *s, int ylen);
extern char *FormatDate(StatementReader *r, int y, int m, int d, const char *shown);
extern char *TrimmedCopy(const char *s, int len);
extern bool AllDigits(const char *s, int len);
extern bool LooksLikeIban(const char *s, int len);
extern bool NoReference(const char *ref);
extern char *NegatedAmount(const char *amount);
pg_noreturn extern void StatementSyntaxError(StatementReader *r, const char *fmt,...)
			pg_attribute_printf(2, 3);

/* The readers, one file each */
extern void ReadMt940(StatementReader *r);
extern void ReadBai2(StatementReader *r);
extern void ReadCoda(StatementReader *r);
extern void ReadOfx(StatementReader *r);
extern void ReadCsv(StatementReader *r, const char *settings);

#endif							/* O2C_STATEMENT_H */
