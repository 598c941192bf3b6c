/*
 * cash.h
 *		What the files of src/cash share: tokens of a remittance text, names,
 *		subset search.
 *
 * A remittance text becomes CashText: its runs of digits with what stands
 * around them, and the tokens that might be document numbers or references.
 * Everything is plain memory of the caller's context; nothing here reads a
 * table.
 */
#ifndef O2C_CASH_H
#define O2C_CASH_H

#include "o2c.h"

/* Texts are read up to here; what banks transport is far below. */
#define CASH_TEXT_MAX	16384
#define CASH_RUNS_MAX	400
#define CASH_TOKENS_MAX 800
#define CASH_VALUE_MAX	40

/* What a token is; lower case: derived from others, weaker. */
typedef enum CashKind
{
	CASH_NUMBER = 'N',			/* digits of one or several joined runs */
	CASH_ALNUM = 'A',			/* letters and digits, joined */
	CASH_REFERENCE = 'S',		/* structured reference with a right check digit */
	CASH_DATE = 'D',
	CASH_AMOUNT = 'M',
	CASH_PERCENT = 'P',
	CASH_COMPLETED = 'c',		/* "1930001001, 1005": the prefix of the first */
	CASH_RANGE = 'r',			/* between the ends of "1001-1005" */
	CASH_REPAIRED = 'o'			/* a letter read as the digit it looks like */
} CashKind;

/* One maximal run of digits. */
typedef struct CashRun
{
	int			start;			/* offset in the folded text */
	int			end;			/* behind the last digit */
	char		mark;			/* 0, or CASH_DATE, CASH_AMOUNT, CASH_PERCENT */
	bool		repaired;
	int			len;
	char		digits[CASH_VALUE_MAX];
} CashRun;

typedef struct CashToken
{
	char		kind;
	int16		first;			/* runs that it is made of */
	int16		last;
	int			pos;			/* offset in the folded text */
	int			len;
	int64		key;
	char		value[CASH_VALUE_MAX];
} CashToken;

typedef struct CashText
{
	char	   *folded;			/* upper case, ASCII, same order as the text */
	int			len;
	bool		cut;			/* may have been cut at the end of a field */
	int			nruns;
	CashRun    *runs;
	int			ntokens;
	CashToken  *tokens;
} CashText;

/* Of folded texts, which are ASCII in upper case. */
static inline bool
IsDigit(char c)
{
	return c >= '0' && c <= '9';
}

static inline bool
IsLetter(char c)
{
	return c >= 'A' && c <= 'Z';
}

/* tokenise.c, marks.c */
extern CashText *CashTokenise(const char *text, int len, bool alnum);
extern void CashMark(CashText *t);
extern void CashAddToken(CashText *t, char kind, int first, int last, int pos, int64 key,
						 const char *value, int len);
extern int	CashTokenEnd(const CashText *t, const CashToken *token);
extern char *CashFold(const char *text, int len, int *outlen);
extern int64 CashKeyDigits(const char *digits, int len);
extern int64 CashKeyAlnum(const char *value, int len);
extern int	CashDigitsOf(const char *text, int len, char *out, int max);
extern int	CashAlnumOf(const char *text, int len, char *out, int max);
extern int64 CashDocumentKey(const char *number, int len);

/* reference.c */
extern const char *CashReferenceKind(const char *value, int len);
extern bool CashIsIso11649(const char *value, int len);

/* similar.c */
typedef struct PartyName PartyName;

extern int	CashEditDistance(const char *a, int alen, const char *b, int blen,
							 int limit);
extern char *CashNameKey(const char *name, int len);
extern bool CashNamesParty(const CashText *t, const char *customer);
extern PartyName *CashReadName(const char *payer);
extern double CashNameSimilarity(const char *payer, const PartyName *p, const char *customer);

/* subset.c */
#define SUBSET_MEMBERS	16

typedef struct CashSubset
{
	int			solutions;		/* 0, 1, or 2 = at least two */
	bool		complete;		/* false: budget or size bound ended the search */
	int			size;			/* of the first solution */
	int			members[SUBSET_MEMBERS];
	int			second_size;
	int			second[SUBSET_MEMBERS];
	double		chance;			/* sums that would equal the target by chance */
	int64		nodes;
} CashSubset;

extern void CashSubsetSearch(const int64 *amounts, int n, int64 target,
							 int maxsize, int64 budget, CashSubset *result);
extern void CashWindowSearch(const int64 *amounts, int n, int64 target,
							 int maxspan, double maxchance, CashSubset *result);
extern void CashPrefixSearch(const int64 *amounts, int n, int64 target, int size,
							 double maxchance, CashSubset *result);

/* text_keys.c */
extern int64 CashMinorAmount(struct varlena *amount, int digits);

/* Keys of what items and remittances are called (fold.c). */
extern Datum o2c_cash_document_key(PG_FUNCTION_ARGS);
extern Datum o2c_cash_document_digits(PG_FUNCTION_ARGS);
extern Datum o2c_cash_reference_key(PG_FUNCTION_ARGS);

/* word.c */
extern bool CashIsOneOf(const char *word, int len, const char *const *words, int n);
extern bool CashIsFiller(const char *word, int len);

/* row_shape.c */
extern void CashCheckShape(TupleDesc desc, const char *shape);
extern void CashCheckNulls(const char *shape, const bool *isnull);

#endif							/* O2C_CASH_H */
