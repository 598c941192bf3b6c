/*
 * aging_lines.h
 *		The lines of an aging (aging_lines.c makes them, aging_report.c returns
 *		them), and how rows of a statement are received without a result set.
 */
#ifndef O2C_AGING_LINES_H
#define O2C_AGING_LINES_H

#include "nodes/params.h"
#include "receivables/aging.h"
#include "tcop/dest.h"
#include "utils/date.h"
#include "utils/timestamp.h"

/*
 * A line of the report.  Amounts are in 10^-4; what a sum has beyond 64 bits
 * goes to "carried", which most lines never need.
 */
typedef struct AgingLine
{
	struct AgingLine *next;		/* in the order of their making */
	struct AgingLine *of_customer;
	text	   *code;			/* the customer's */
	int128	   *carried;
	int64		customer;
	uint32		currency;
	int64		sums[FLEXIBLE_ARRAY_MEMBER];	/* buckets, unapplied, disputed */
} AgingLine;

/*
 * Lines by customer and currency.  The three letters are the low bytes of
 * "currency"; NO_CUSTOMER stands for money that is not identified yet.
 */
#define NO_CUSTOMER		(1u << 24)

typedef struct LineKey
{
	int64		customer;
	uint32		currency;
} LineKey;

static inline uint32
HashCustomer(int64 customer, uint32 currency)
{
	return (uint32) ((((uint64) customer ^ ((uint64) currency << 40)) *
					  UINT64CONST(0x9E3779B97F4A7C15)) >> 32);
}

/*
 * Rows wait until there are some.  Customers come in any order, so that each
 * row would wait for memory twice; known in advance, it is fetched for many
 * rows at once.
 */
#define BATCH_ROWS	128

typedef struct AgingRow
{
	LineKey		key;
	int			place;
	int64		amount;
	AgingLine  *line;
} AgingRow;

/* An aging under way. */
typedef struct Aging
{
	/* what is asked */
	DateADT		as_of;
	const int32 *bounds;
	int			nbounds;
	bool		by_document;
	bool		aged;			/* credits in the bucket of their own date */
	bool		one;			/* of one customer */
	ParamListInfo params;
	/* what was read */
	MemoryContext context;
	struct lines_hash *lines;
	int			nlines;
	AgingLine  *first_line;
	AgingLine **next_line;
	int			nrows;
	AgingRow	rows[BATCH_ROWS];
} Aging;

#define UNAPPLIED(aging)	((aging)->nbounds + 1)
#define DISPUTED(aging)		((aging)->nbounds + 2)
#define SUMS(aging)			((aging)->nbounds + 3)

/* Parameters of the statements. */
#define PARAM_COMPANY		0
#define PARAM_AS_OF			1
#define PARAM_KNOWN_AT		2	/* infinity: whatever is known */
#define PARAM_CUSTOMER		3
#define PARAM_RESOLVED		4	/* a dispute resolved later was one */
#define NPARAMS				5

/* Where the executor sends the rows of a source. */
typedef struct AgingReceiver
{
	DestReceiver pub;
	Aging	   *aging;
	bool		subtract;
	bool		disputes;
	/* columns of the rows; credit goes by the sign when it is not among them */
	int			customer;
	int			currency;
	int			date;
	int			amount;
	int			credit;
	struct customers_hash *customers;	/* of whom codes are wanted */
} AgingReceiver;

typedef enum AgingPath
{
	PATH_STORED,
	PATH_ROLLBACK,
	PATH_FULL
} AgingPath;

static inline int128
SumOf(AgingLine *line, int place)
{
	return line->sums[place] + (line->carried == NULL ? 0 : line->carried[place]);
}

extern SPIPlanPtr AgingPlanOf(KeptPlan *kept, int nargs, const Oid *argtypes);
extern void AgingRunInto(SPIPlanPtr plan, ParamListInfo params, AgingReceiver *receiver,
						 bool (*receive) (TupleTableSlot *, DestReceiver *));
extern Aging *AgingBegin(int32 company, DateADT as_of, TimestampTz resolved, ArrayType *bounds,
						 bool by_document, bool aged, bool known_is_null, TimestampTz known_at,
						 bool one, int64 customer);
extern AgingPath AgingChoosePath(Aging *aging, bool last_is_null, DateADT last_on);
extern void AgingReadLines(Aging *aging, AgingPath path);

#endif							/* O2C_AGING_LINES_H */
