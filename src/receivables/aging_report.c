/*
 * aging_report.c
 *		o2c.aging() and the three ways to its lines.
 *
 * Open(item, D, T) is the sum of its ledger entries with effective_on <= D and
 * recorded_at <= T.  An entry repeats customer, currency, due date and side of
 * its item, so a bucket is a sum over entries and no item is looked up:
 *	stored		open_item.open_amount, when no entry lies after D
 *	rollback	stored amounts minus the entries after D (or T)
 *	full		the entries up to D and T
 * All three give the same lines; the planner's estimates choose.
 *
 * The statements that read the rows are plain scans.  Their rows go straight
 * from the executor into a hash table of lines here, never through a sort, an
 * aggregate of the executor or a result set: most of what an aging costs
 * would be that.  It is sums of integers in 10^-4, which is exact, since no
 * currency has more decimals.
 */
#include "o2c.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/tstoreReceiver.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/params.h"
#include "optimizer/optimizer.h"
#include "receivables/aging.h"
#include "tcop/dest.h"
#include "types/types.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/plancache.h"
#include "utils/resowner.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(o2c_aging_report);
PG_FUNCTION_INFO_V1(o2c_aging_lines);
PG_FUNCTION_INFO_V1(o2c_aging_path);

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

typedef struct LineEntry
{
	LineKey		key;
	char		status;
	AgingLine  *line;
} LineEntry;

static inline uint32
HashCustomer(int64 customer, uint32 currency)
{
	return (uint32) ((((uint64) customer ^ ((uint64) currency << 40)) *
					  UINT64CONST(0x9E3779B97F4A7C15)) >> 32);
}

#define SH_PREFIX lines
#define SH_ELEMENT_TYPE LineEntry
#define SH_KEY_TYPE LineKey
#define SH_KEY key
#define SH_HASH_KEY(tb, key) HashCustomer((key).customer, (key).currency)
#define SH_EQUAL(tb, a, b) ((a).customer == (b).customer && (a).currency == (b).currency)
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/* Customers that have lines, to find their codes. */
typedef struct CustomerEntry
{
	int64		id;
	char		status;
	AgingLine  *lines;
} CustomerEntry;

#define SH_PREFIX customers
#define SH_ELEMENT_TYPE CustomerEntry
#define SH_KEY_TYPE int64
#define SH_KEY id
#define SH_HASH_KEY(tb, key) HashCustomer(key, 0)
#define SH_EQUAL(tb, a, b) ((a) == (b))
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

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
	lines_hash *lines;
	AgingLine  *first_line;
	AgingLine **next_line;
	int			nrows;
	AgingRow	rows[BATCH_ROWS];
} Aging;

#define UNAPPLIED(aging)	((aging)->nbounds + 1)
#define DISPUTED(aging)		((aging)->nbounds + 2)
#define SUMS(aging)			((aging)->nbounds + 3)

/* Adding up one row, in units of cpu_operator_cost. */
#define ADDING_COST	10

/* What is cheaper than this is not compared with other ways. */
#define SMALL_COST	1000

/* Parameters of the statements. */
#define PARAM_COMPANY		0
#define PARAM_AS_OF			1
#define PARAM_KNOWN_AT		2	/* infinity: whatever is known */
#define PARAM_CUSTOMER		3
#define PARAM_RESOLVED		4	/* a dispute resolved later was one */
#define NPARAMS				5

static const Oid param_types[NPARAMS] = {INT4OID, DATEOID, TIMESTAMPTZOID, INT8OID, TIMESTAMPTZOID};

/*
 * What can be read: (customer_id, currency, date, amount), for entries also
 * whether they belong to a credit; for open amounts see below.
 */
typedef enum AgingSource
{
	SOURCE_STORED,				/* open amounts */
	SOURCE_AFTER,				/* entries that count after the date */
	SOURCE_LATER,				/* entries that count, known later */
	SOURCE_FULL					/* entries that count and are known */
} AgingSource;

#define NSOURCES	4

#define WHEN_AFTER	" AND e.effective_on > $2"
#define WHEN_LATER	" AND e.effective_on <= $2 AND e.recorded_at > $3"
#define WHEN_FULL	" AND e.effective_on <= $2 AND e.recorded_at <= $3"

/* the columns of open_item_open_idx in their order, so that nothing is projected */
#define STORED(more) \
	"SELECT i.company_id, i.customer_id, i.currency, i.due_date, i.document_date, i.open_amount FROM o2c.open_item i" \
	" WHERE i.company_id = $1 AND i.open_amount <> 0" more
#define ENTRIES(when) \
	"SELECT e.customer_id, e.currency, e.due_date, e.amount, e.credit FROM o2c.ledger_entry e" \
	" WHERE e.company_id = $1" when
#define ITEM_ENTRIES(anchor, more, when) \
	"SELECT e.customer_id, e.currency, i." anchor ", e.amount, e.credit FROM o2c.open_item i" \
	" JOIN o2c.ledger_entry e ON e.company_id = i.company_id AND e.item_id = i.id" \
	" WHERE i.company_id = $1" more when
#define MINE		" AND i.customer_id = $4"

/* By source, whether by document date, whether of one customer. */
static KeptPlan sources[NSOURCES][2][2] = {
	{{{.sql = STORED("")}, {.sql = STORED(MINE)}},
	{{.sql = STORED("")}, {.sql = STORED(MINE)}}},
	{{{.sql = ENTRIES(WHEN_AFTER)}, {.sql = ITEM_ENTRIES("due_date", MINE, WHEN_AFTER)}},
	{{.sql = ITEM_ENTRIES("document_date", "", WHEN_AFTER)}, {.sql = ITEM_ENTRIES("document_date", MINE, WHEN_AFTER)}}},
	{{{.sql = ENTRIES(WHEN_LATER)}, {.sql = ITEM_ENTRIES("due_date", MINE, WHEN_LATER)}},
	{{.sql = ITEM_ENTRIES("document_date", "", WHEN_LATER)}, {.sql = ITEM_ENTRIES("document_date", MINE, WHEN_LATER)}}},
	{{{.sql = ENTRIES(WHEN_FULL)}, {.sql = ITEM_ENTRIES("due_date", MINE, WHEN_FULL)}},
	{{.sql = ITEM_ENTRIES("document_date", "", WHEN_FULL)}, {.sql = ITEM_ENTRIES("document_date", MINE, WHEN_FULL)}}}
};

/*
 * The disputed share, (customer_id, currency, NULL, amount): of each item what
 * was in dispute, as far as it was open.
 */
#define DISPUTES(more) \
	"SELECT d.customer_id, d.currency, NULL::pg_catalog.date, LEAST(d.amount, o.open)" \
	" FROM (SELECT x.item_id, x.customer_id, x.currency, pg_catalog.sum(x.amount) AS amount FROM o2c.dispute x" \
	"       WHERE x.company_id = $1 AND x.opened_on <= $2 AND x.recorded_at <= $3" \
	"         AND (x.resolved_at IS NULL OR x.resolved_at >= $5)" more \
	"       GROUP BY x.item_id, x.customer_id, x.currency) d" \
	" CROSS JOIN LATERAL (SELECT pg_catalog.sum(e.amount) AS open FROM o2c.ledger_entry e" \
	"       WHERE e.company_id = $1 AND e.item_id = d.item_id" WHEN_FULL ") o WHERE o.open > 0"

static KeptPlan disputes[2] = {
	{.sql = DISPUTES("")}, {.sql = DISPUTES(" AND x.customer_id = $4")}
};

/*
 * A kept statement that is planned for its parameters each time: how much of
 * the ledger it reads depends on them.
 */
static SPIPlanPtr
PlanOf(KeptPlan *kept, int nargs, const Oid *argtypes)
{
	if (kept->plan == NULL)
	{
		SPIPlanPtr	plan = SPI_prepare_cursor(kept->sql, nargs, (Oid *) argtypes,
											  CURSOR_OPT_CUSTOM_PLAN);

		if (plan == NULL || SPI_keepplan(plan) != 0)
			elog(ERROR, "could not prepare \"%s\": %s", kept->sql,
				 SPI_result_code_string(SPI_result));
		kept->plan = plan;
	}
	return kept->plan;
}

static SPIPlanPtr
AgingPlan(KeptPlan *kept)
{
	return PlanOf(kept, NPARAMS, param_types);
}

static KeptPlan *
SourceOf(Aging *aging, AgingSource source)
{
	return &sources[source][aging->by_document][aging->one];
}

/*
 * What reading a source costs by the planner's estimate, and adding up its
 * rows, which the planner knows nothing of.
 */
static Cost
SourceCost(Aging *aging, AgingSource source)
{
	List	   *plan = SPI_plan_get_plan_sources(AgingPlan(SourceOf(aging, source)));
	CachedPlan *cached = GetCachedPlan(linitial(plan), aging->params,
									   CurrentResourceOwner, NULL);
	Plan	   *tree = linitial_node(PlannedStmt, cached->stmt_list)->planTree;
	Cost		cost = tree->total_cost + ADDING_COST * cpu_operator_cost * tree->plan_rows;

	ReleaseCachedPlan(cached, CurrentResourceOwner);
	return cost;
}

static void
SetParam(Aging *aging, int param, Datum value, bool isnull)
{
	ParamExternData *p = &aging->params->params[param];

	p->value = value;
	p->isnull = isnull;
	p->pflags = PARAM_FLAG_CONST;
	p->ptype = param_types[param];
}

/*
 * Begin an aging; SPI is connected, and what it makes lives until SPI ends.
 * The arguments are good, but for the company and the customer.
 */
static Aging *
BeginAging(int32 company, DateADT as_of, TimestampTz resolved, ArrayType *bounds,
		   bool by_document, bool aged, bool known_is_null, TimestampTz known_at,
		   bool one, int64 customer)
{
	Aging	   *aging = palloc0(sizeof(Aging));

	aging->as_of = as_of;
	aging->bounds = AgingBounds(bounds, &aging->nbounds);
	aging->by_document = by_document;
	aging->aged = aged;
	aging->one = one;
	aging->context = AllocSetContextCreate(CurrentMemoryContext, "o2c aging",
										   ALLOCSET_DEFAULT_SIZES);
	aging->lines = lines_create(aging->context, 256, NULL);
	aging->next_line = &aging->first_line;
	aging->params = makeParamList(NPARAMS);
	SetParam(aging, PARAM_COMPANY, Int32GetDatum(company), false);
	SetParam(aging, PARAM_AS_OF, DateADTGetDatum(as_of), false);
	SetParam(aging, PARAM_KNOWN_AT,
			 TimestampTzGetDatum(known_is_null ? DT_NOEND : known_at), false);
	SetParam(aging, PARAM_CUSTOMER, Int64GetDatum(customer), !one);
	/* a dispute counts unless it was resolved by the end of the day and known to be */
	if (!known_is_null && known_at < resolved)
		resolved = TIMESTAMP_IS_NOBEGIN(known_at) ? known_at : known_at + 1;
	SetParam(aging, PARAM_RESOLVED, TimestampTzGetDatum(resolved), false);
	return aging;
}

/* The line of a key, made when it is not there. */
static AgingLine *
LineOf(Aging *aging, LineKey key)
{
	LineEntry  *entry;
	bool		found;

	entry = lines_insert(aging->lines, key, &found);
	if (!found)
	{
		AgingLine  *line = MemoryContextAllocZero(aging->context,
												  offsetof(AgingLine, sums) + SUMS(aging) * sizeof(int64));

		line->customer = key.customer;
		line->currency = key.currency;
		entry->line = line;
		*aging->next_line = line;
		aging->next_line = &line->next;
	}
	return entry->line;
}

/* Move a sum to what is carried, and another amount with it. */
static void
CarrySum(Aging *aging, AgingLine *line, int place, int128 amount)
{
	if (line->carried == NULL)
		line->carried = MemoryContextAllocZero(aging->context, SUMS(aging) * sizeof(int128));
	amount += line->sums[place];
	line->sums[place] = 0;
	if (__builtin_add_overflow(line->carried[place], amount, &line->carried[place]))
		AgingRefuseAmount();
}

static inline int128
SumOf(AgingLine *line, int place)
{
	return line->sums[place] + (line->carried == NULL ? 0 : line->carried[place]);
}

/* Add the waiting rows to their lines. */
static void
AddRows(Aging *aging)
{
	for (int i = 0; i < aging->nrows; i++)
		__builtin_prefetch(&aging->lines->data[HashCustomer(aging->rows[i].key.customer, aging->rows[i].key.currency) & aging->lines->sizemask]);
	for (int i = 0; i < aging->nrows; i++)
	{
		AgingRow   *row = &aging->rows[i];

		/* open items come in the order of customers */
		if (i > 0 && row->key.customer == row[-1].key.customer &&
			row->key.currency == row[-1].key.currency)
			row->line = row[-1].line;
		else
			row->line = LineOf(aging, row->key);
		__builtin_prefetch(&row->line->sums[row->place], 1);
	}
	for (int i = 0; i < aging->nrows; i++)
	{
		AgingRow   *row = &aging->rows[i];
		int64		sum;

		if (likely(!__builtin_add_overflow(row->line->sums[row->place], row->amount, &sum)))
			row->line->sums[row->place] = sum;
		else
			CarrySum(aging, row->line, row->place, row->amount);
	}
	aging->nrows = 0;
}

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
	customers_hash *customers;	/* of whom codes are wanted */
} AgingReceiver;

static bool
ReceiveRow(TupleTableSlot *slot, DestReceiver *self)
{
	AgingReceiver *receiver = (AgingReceiver *) self;
	Aging	   *aging = receiver->aging;
	AgingRow   *row = &aging->rows[aging->nrows];
	AgingSum	sum = {0, 0};
	text	   *currency;
	const unsigned char *code;

	slot_getallattrs(slot);
	currency = DatumGetTextPP(slot->tts_values[receiver->currency]);
	code = (const unsigned char *) VARDATA_ANY(currency);
	if (VARSIZE_ANY_EXHDR(currency) != 3)
		elog(ERROR, "unexpected currency code");
	row->key.currency = code[0] | code[1] << 8 | code[2] << 16;
	row->key.customer = DatumGetInt64(slot->tts_values[receiver->customer]);
	if (slot->tts_isnull[receiver->customer])
	{
		row->key.customer = 0;
		row->key.currency |= NO_CUSTOMER;
	}
	(void) AgingAddNumeric(&sum, PG_DETOAST_DATUM_PACKED(slot->tts_values[receiver->amount]));
	if (sum.fraction != 0)
		AgingRefuseAmount();

	if (receiver->disputes)
		row->place = DISPUTED(aging);
	else if (!aging->aged &&
			 (receiver->credit > 0 ? DatumGetBool(slot->tts_values[receiver->credit]) : sum.units < 0))
		row->place = UNAPPLIED(aging);
	else
		row->place = AgingBucket((int64) aging->as_of - DatumGetDateADT(slot->tts_values[receiver->date]),
								 aging->bounds, aging->nbounds);
	if (receiver->subtract)
		sum.units = -sum.units;
	row->amount = (int64) sum.units;
	if (unlikely(row->amount != sum.units))
		CarrySum(aging, LineOf(aging, row->key), row->place, sum.units);
	else if (++aging->nrows == BATCH_ROWS)
		AddRows(aging);
	return true;
}

/* Takes the codes of customers, (id, code), for those that have lines. */
static bool
ReceiveCode(TupleTableSlot *slot, DestReceiver *self)
{
	AgingReceiver *receiver = (AgingReceiver *) self;
	CustomerEntry *entry;

	slot_getallattrs(slot);
	entry = customers_lookup(receiver->customers, DatumGetInt64(slot->tts_values[0]));
	if (entry != NULL)
	{
		text	   *code = DatumGetTextPP(slot->tts_values[1]);
		text	   *copy = MemoryContextAlloc(receiver->aging->context, VARSIZE_ANY(code));

		memcpy(copy, code, VARSIZE_ANY(code));
		for (AgingLine *line = entry->lines; line != NULL; line = line->of_customer)
			line->code = copy;
	}
	return true;
}

static void
ReceiverStartup(DestReceiver *self, int operation, TupleDesc desc)
{
}

static void
ReceiverEnd(DestReceiver *self)
{
}

/* Run a statement that sends its rows to a receiver. */
static void
RunInto(SPIPlanPtr plan, ParamListInfo params, AgingReceiver *receiver,
		bool (*receive) (TupleTableSlot *, DestReceiver *))
{
	SPIExecuteOptions options = {0};
	int			rc;

	receiver->pub.receiveSlot = receive;
	receiver->pub.rStartup = ReceiverStartup;
	receiver->pub.rShutdown = ReceiverEnd;
	receiver->pub.rDestroy = ReceiverEnd;
	receiver->pub.mydest = DestTuplestore;	/* rows are kept, in a way */
	options.params = params;
	options.read_only = true;
	options.dest = &receiver->pub;
	rc = SPI_execute_plan_extended(plan, &options);
	if (rc != SPI_OK_SELECT)
		elog(ERROR, "could not read receivables: %s", SPI_result_code_string(rc));
}

/* Add what a source has, or take it away. */
static void
ReadSource(Aging *aging, AgingSource source, bool subtract)
{
	AgingReceiver receiver = {.aging = aging, .subtract = subtract,
	.currency = 1, .date = 2, .amount = 3, .credit = 4};

	if (source == SOURCE_STORED)
	{
		receiver.customer = 1;
		receiver.currency = 2;
		receiver.date = aging->by_document ? 4 : 3;
		receiver.amount = 5;
		receiver.credit = 0;
	}

	RunInto(AgingPlan(SourceOf(aging, source)), aging->params, &receiver, ReceiveRow);
	AddRows(aging);
}

typedef enum AgingPath
{
	PATH_STORED,
	PATH_ROLLBACK,
	PATH_FULL
} AgingPath;

static const char *const path_names[] = {"stored", "rollback", "full"};

/* Fill the lines. */
static void
ReadLines(Aging *aging, AgingPath path)
{
	AgingReceiver receiver = {.aging = aging, .disputes = true, .currency = 1, .date = 2, .amount = 3};
	bool		of_old = aging->params->params[PARAM_KNOWN_AT].value != TimestampTzGetDatum(DT_NOEND);

	if (path == PATH_FULL)
		ReadSource(aging, SOURCE_FULL, false);
	else
	{
		ReadSource(aging, SOURCE_STORED, false);
		if (path == PATH_ROLLBACK)
			ReadSource(aging, SOURCE_AFTER, true);
		if (path == PATH_ROLLBACK && of_old)
			ReadSource(aging, SOURCE_LATER, true);
	}
	RunInto(AgingPlan(&disputes[aging->one]), aging->params, &receiver, ReceiveRow);
	AddRows(aging);
}

/* The way that reads least, by the planner's estimates. */
static AgingPath
ChoosePath(Aging *aging, bool last_is_null, DateADT last_on)
{
	bool		of_old = aging->params->params[PARAM_KNOWN_AT].value != TimestampTzGetDatum(DT_NOEND);
	Cost		full;
	Cost		back;

	if (!of_old && (last_is_null || last_on <= aging->as_of))
		return PATH_STORED;
	full = SourceCost(aging, SOURCE_FULL);
	/* of most customers planning costs more than reading */
	if (aging->one && full < SMALL_COST)
		return PATH_FULL;
	back = SourceCost(aging, SOURCE_STORED) + SourceCost(aging, SOURCE_AFTER);
	if (of_old)
		back += SourceCost(aging, SOURCE_LATER);
	return back <= full ? PATH_ROLLBACK : PATH_FULL;
}

/*
 * Look up the codes of the customers that have lines: of a few one by one, of
 * many by reading all.
 */
static void
ReadCodes(Aging *aging)
{
	static KeptPlan all = {
		.sql = "SELECT c.id, c.code FROM o2c.customer c WHERE c.company_id = $1",
		.nargs = 1, .argtypes = {INT4OID}
	};
	static KeptPlan some = {
		.sql = "SELECT c.id, c.code FROM pg_catalog.unnest($2) u (id)"
		" CROSS JOIN LATERAL (SELECT k.id, k.code FROM o2c.customer k WHERE k.company_id = $1 AND k.id = u.id OFFSET 0) c",
		.nargs = 2, .argtypes = {INT4OID, INT8ARRAYOID}
	};
	AgingReceiver receiver = {.aging = aging};
	ParamListInfo params = makeParamList(2);
	KeptPlan   *kept = &all;
	Oid			customer = get_relname_relid("customer", get_namespace_oid("o2c", false));
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(customer));
	float4		in_table;
	int			wanted;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "table \"customer\" does not exist");
	in_table = ((Form_pg_class) GETSTRUCT(tuple))->reltuples;
	ReleaseSysCache(tuple);

	receiver.customers = customers_create(aging->context, aging->lines->members, NULL);
	for (AgingLine *line = aging->first_line; line != NULL; line = line->next)
	{
		CustomerEntry *entry;
		bool		found;

		if (line->currency & NO_CUSTOMER)
			continue;
		entry = customers_insert(receiver.customers, line->customer, &found);
		line->of_customer = found ? entry->lines : NULL;
		entry->lines = line;
	}
	wanted = receiver.customers->members;
	if (wanted == 0)
		return;

	params->params[0] = aging->params->params[PARAM_COMPANY];
	params->numParams = 1;
	if (wanted < 100 || wanted * 20.0 < in_table)
	{
		Datum	   *ids = palloc(wanted * sizeof(Datum));
		customers_iterator i;
		CustomerEntry *entry;
		int			n = 0;

		customers_start_iterate(receiver.customers, &i);
		while ((entry = customers_iterate(receiver.customers, &i)) != NULL)
			ids[n++] = Int64GetDatum(entry->id);
		kept = &some;
		params->numParams = 2;
		params->params[1].value = PointerGetDatum(construct_array(ids, n, INT8OID, sizeof(int64),
																  FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
		params->params[1].isnull = false;
		params->params[1].pflags = PARAM_FLAG_CONST;
		params->params[1].ptype = INT8ARRAYOID;
	}
	RunInto(PlanOf(kept, kept->nargs, kept->argtypes), params, &receiver, ReceiveCode);
}

/* Buckets of a line as numeric[]; "to" is large enough. */
static Datum
BucketArray(Aging *aging, AgingLine *line, int digits, char *to)
{
	ArrayType  *array = (ArrayType *) to;
	int			n = aging->nbounds + 1;
	char	   *p;

	array->ndim = 1;
	array->dataoffset = 0;
	array->elemtype = NUMERICOID;
	ARR_DIMS(array)[0] = n;
	ARR_LBOUND(array)[0] = 1;
	p = ARR_DATA_PTR(array);
	for (int i = 0; i < n; i++)
	{
		Size		size = AgingPutNumeric(p, SumOf(line, i), digits);
		Size		aligned = INTALIGN(size);

		memset(p + size, 0, aligned - size);
		p += aligned;
	}
	SET_VARSIZE(array, p - to);
	return PointerGetDatum(array);
}

/*
 * Return the lines that have something: of o2c.aging() with the customer's
 * code, of o2c._aging() with its id.
 */
static void
ReturnLines(FunctionCallInfo fcinfo, Aging *aging, bool codes)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	char	   *array = palloc(ARR_OVERHEAD_NONULLS(1) + (aging->nbounds + 1) * AGING_NUMERIC_SIZE);
	union
	{
		char		data[AGING_NUMERIC_SIZE];
		int32		align;
	}			unapplied, total, disputed;
	struct
	{
		int32		header;
		char		code[4];
	}			currency;

	if (codes)
		ReadCodes(aging);
	SET_VARSIZE(&currency, VARHDRSZ + 3);
	for (AgingLine *line = aging->first_line; line != NULL; line = line->next)
	{
		Datum		values[6];
		bool		nulls[6] = {0};
		int128		sum = 0;
		bool		any = false;
		int			digits;

		for (int i = 0; i < DISPUTED(aging); i++)
		{
			int128		x = SumOf(line, i);

			any = any || x != 0;
			if (__builtin_add_overflow(sum, x, &sum))
				AgingRefuseAmount();
		}
		if (!any)
			continue;
		if (codes)
		{
			values[0] = PointerGetDatum(line->code);
			nulls[0] = line->code == NULL;
		}
		else
		{
			values[0] = Int64GetDatum(line->customer);
			nulls[0] = (line->currency & NO_CUSTOMER) != 0;
		}
		currency.code[0] = (char) line->currency;
		currency.code[1] = (char) (line->currency >> 8);
		currency.code[2] = (char) (line->currency >> 16);
		digits = CurrencyMinorUnit(currency.code, 3);
		if (digits < 0)
			elog(ERROR, "currency \"%.3s\" has no minor unit", currency.code);
		values[1] = PointerGetDatum(&currency);
		values[2] = BucketArray(aging, line, digits, array);
		(void) AgingPutNumeric(unapplied.data, SumOf(line, UNAPPLIED(aging)), digits);
		values[3] = PointerGetDatum(&unapplied);
		(void) AgingPutNumeric(total.data, sum, digits);
		values[4] = PointerGetDatum(&total);
		(void) AgingPutNumeric(disputed.data, SumOf(line, DISPUTED(aging)), digits);
		values[5] = PointerGetDatum(&disputed);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
}

/* Run a statement for a single row; returns whether there is one. */
static bool
OneRow(KeptPlan *kept, Datum *args, const char *nulls)
{
	KeptPlanPrepare(kept);
	if (SPI_execute_plan(kept->plan, args, nulls, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not execute \"%s\"", kept->sql);
	return SPI_processed > 0;
}

/* Column of the row that the last statement returned. */
static Datum
RowValue(int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column, isnull);
}

/* An argument that is one of a few words; the first is the default. */
static int
Choice(FunctionCallInfo fcinfo, int arg, const char *what, const char *const *words,
	   int nwords, const char *hint)
{
	char	   *given = PG_ARGISNULL(arg) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(arg));

	for (int i = 0; given != NULL && i < nwords; i++)
		if (strcmp(given, words[i]) == 0)
			return i;
	ereport(ERROR,
			(errcode(ERRCODE_O2C_INVALID_ARGUMENT),
			 errmsg("%s \"%s\" is not known", what, given != NULL ? given : "NULL"),
			 errhint("%s", hint)));
}

/* The array of bounds, which must be given. */
static ArrayType *
BoundsArray(FunctionCallInfo fcinfo, int arg)
{
	if (PG_ARGISNULL(arg))
		ereport(ERROR,
				(errcode(ERRCODE_O2C_INVALID_ARGUMENT),
				 errmsg("bounds of aging buckets must not be null")));
	return PG_GETARG_ARRAYTYPE_P(arg);
}

/*
 * What an aging has to know of its company: the date, which is today's when
 * none is given, when its day ends, and the last date that an entry counts
 * from.  Returns whether there is the company.
 */
static bool
LookUpCompany(Datum *args, const char *nulls, DateADT *as_of, TimestampTz *resolved,
			  bool *last_is_null, DateADT *last_on)
{
	static KeptPlan kept = {
		.sql = "SELECT d.as_of, CASE WHEN d.as_of BETWEEN '4000-01-01 BC' AND '290000-01-01'"
		"   THEN (d.as_of + 1)::pg_catalog.timestamp AT TIME ZONE d.time_zone ELSE 'infinity' END,"
		"  (SELECT pg_catalog.max(e.effective_on) FROM o2c.ledger_entry e WHERE e.company_id = $1)"
		" FROM (SELECT coalesce($2, (pg_catalog.now() AT TIME ZONE c.time_zone)::pg_catalog.date) AS as_of, c.time_zone"
		"  FROM o2c.company c WHERE c.company_id = $1) d",
		.nargs = 2, .argtypes = {INT4OID, DATEOID}
	};
	bool		isnull;

	if (!OneRow(&kept, args, nulls))
		return false;
	*as_of = DatumGetDateADT(RowValue(1, &isnull));
	*resolved = DatumGetTimestampTz(RowValue(2, &isnull));
	*last_on = DatumGetDateADT(RowValue(3, last_is_null));
	return true;
}

/* Id of a customer by its code; an error when there is none. */
static int64
CustomerByCode(Datum company, Datum code)
{
	static KeptPlan kept = {
		.sql = "SELECT o2c._customer_id($1, $2)", .nargs = 2, .argtypes = {INT4OID, TEXTOID}
	};
	Datum		args[2] = {company, code};
	bool		isnull;

	(void) OneRow(&kept, args, NULL);
	return DatumGetInt64(RowValue(1, &isnull));
}

/* Refuse a company that is not there, or not for the caller. */
static void
RefuseCompany(Datum company, bool isnull)
{
	static KeptPlan kept = {
		.sql = "SELECT o2c._require_company($1)", .nargs = 1, .argtypes = {INT4OID}
	};
	char		null = isnull ? 'n' : ' ';

	(void) OneRow(&kept, &company, &null);
	elog(ERROR, "company could not be read");
}

/*
 * Return what o2c._aging_summary() makes of the lines of customers, in the
 * order of the arguments of o2c.aging().
 */
static void
ReturnSummary(FunctionCallInfo fcinfo, DateADT as_of, bool one, int64 customer)
{
	static KeptPlan kept = {
		.sql = "SELECT s.* FROM o2c._aging_summary($1, $2, $3, $4, $5, $6, $7, $8, $9) s"
	};
	static const Oid argtypes[] = {
		INT4OID, DATEOID, INT4ARRAYOID, TEXTOID, TIMESTAMPTZOID, TEXTOID, TEXTOID, TEXTOID, INT8OID
	};
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	ParamListInfo params = makeParamList(lengthof(argtypes));
	SPIExecuteOptions options = {0};

	for (int i = 0; i < lengthof(argtypes); i++)
	{
		params->params[i].value = fcinfo->args[i].value;
		params->params[i].isnull = fcinfo->args[i].isnull;
		params->params[i].pflags = PARAM_FLAG_CONST;
		params->params[i].ptype = argtypes[i];
	}
	params->params[1].value = DateADTGetDatum(as_of);
	params->params[1].isnull = false;
	params->params[8].value = Int64GetDatum(customer);
	params->params[8].isnull = !one;
	options.params = params;
	options.read_only = true;
	options.dest = CreateDestReceiver(DestTuplestore);
	SetTuplestoreDestReceiverParams(options.dest, rsinfo->setResult, CurrentMemoryContext,
									false, NULL, NULL);
	if (SPI_execute_plan_extended(PlanOf(&kept, lengthof(argtypes), argtypes), &options) != SPI_OK_SELECT)
		elog(ERROR, "could not sum up an aging");
	options.dest->rDestroy(options.dest);
}

static const char *const bases[] = {"due", "document"};
static const char *const treatments[] = {"separate", "aged", "netted"};
static const char *const groupings[] = {"customer", "group", "company"};

static int
BasisArgument(FunctionCallInfo fcinfo, int arg)
{
	return Choice(fcinfo, arg, "basis", bases, lengthof(bases), "Use due or document.");
}

/*
 * o2c_aging_report(company, as_of, bounds, basis, known_at, credits, grouped_by,
 * in_currency, customer): the SQL function o2c.aging.
 */
Datum
o2c_aging_report(PG_FUNCTION_ARGS)
{
	Datum		args[2] = {PG_GETARG_DATUM(0), PG_GETARG_DATUM(1)};
	char		nulls[3] = {PG_ARGISNULL(0) ? 'n' : ' ', PG_ARGISNULL(1) ? 'n' : ' ', '\0'};
	bool		one = !PG_ARGISNULL(8);
	int64		customer = 0;
	ArrayType  *bounds;
	int			nbounds;
	int			basis;
	int			credits;
	int			grouped_by;
	DateADT		as_of;
	TimestampTz resolved;
	bool		last_is_null;
	DateADT		last_on;

	if (!PG_ARGISNULL(1) && DATE_NOT_FINITE(PG_GETARG_DATEADT(1)))
		ereport(ERROR,
				(errcode(ERRCODE_O2C_INVALID_DATE),
				 errmsg("the date of an aging must be finite")));
	basis = BasisArgument(fcinfo, 3);
	credits = Choice(fcinfo, 5, "treatment of credits", treatments, lengthof(treatments),
					 "Use separate, aged or netted.");
	grouped_by = Choice(fcinfo, 6, "grouping", groupings, lengthof(groupings),
						"Use customer, group or company.");
	bounds = BoundsArray(fcinfo, 2);
	(void) AgingBounds(bounds, &nbounds);

	InitMaterializedSRF(fcinfo, 0);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	if (!LookUpCompany(args, nulls, &as_of, &resolved, &last_is_null, &last_on))
		RefuseCompany(args[0], PG_ARGISNULL(0));
	if (one)
		customer = CustomerByCode(args[0], PG_GETARG_DATUM(8));

	if (credits == 2 || grouped_by != 0 || !PG_ARGISNULL(7))
		ReturnSummary(fcinfo, as_of, one, customer);
	else
	{
		Aging	   *aging = BeginAging(PG_GETARG_INT32(0), as_of, resolved, bounds, basis == 1,
									   credits == 1, PG_ARGISNULL(4),
									   PG_ARGISNULL(4) ? 0 : PG_GETARG_TIMESTAMPTZ(4), one, customer);

		ReadLines(aging, ChoosePath(aging, last_is_null, last_on));
		ReturnLines(fcinfo, aging, true);
	}
	if (SPI_finish() != SPI_OK_FINISH)
		elog(ERROR, "could not finish SPI");
	PG_RETURN_NULL();
}

/*
 * o2c_aging_lines(company, as_of, bounds, basis, known_at, customer, path, aged):
 * the SQL function o2c._aging.
 */
Datum
o2c_aging_lines(PG_FUNCTION_ARGS)
{
	Datum		args[2] = {PG_GETARG_DATUM(0), PG_GETARG_DATUM(1)};
	char		nulls[3] = {PG_ARGISNULL(0) ? 'n' : ' ', PG_ARGISNULL(1) ? 'n' : ' ', '\0'};
	ArrayType  *bounds = BoundsArray(fcinfo, 2);
	int			basis = BasisArgument(fcinfo, 3);
	AgingPath	path = 0;
	DateADT		as_of;
	TimestampTz resolved;
	bool		last_is_null;
	DateADT		last_on;

	if (!PG_ARGISNULL(6))
		path = Choice(fcinfo, 6, "way of an aging", path_names, lengthof(path_names),
					  "Use stored, rollback or full.");
	InitMaterializedSRF(fcinfo, 0);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	if (LookUpCompany(args, nulls, &as_of, &resolved, &last_is_null, &last_on))
	{
		Aging	   *aging = BeginAging(PG_GETARG_INT32(0), as_of, resolved, bounds, basis == 1,
									   !PG_ARGISNULL(7) && PG_GETARG_BOOL(7), PG_ARGISNULL(4),
									   PG_ARGISNULL(4) ? 0 : PG_GETARG_TIMESTAMPTZ(4),
									   !PG_ARGISNULL(5), PG_ARGISNULL(5) ? 0 : PG_GETARG_INT64(5));

		ReadLines(aging, PG_ARGISNULL(6) ? ChoosePath(aging, last_is_null, last_on) : path);
		ReturnLines(fcinfo, aging, false);
	}
	if (SPI_finish() != SPI_OK_FINISH)
		elog(ERROR, "could not finish SPI");
	PG_RETURN_NULL();
}

/* o2c_aging_path(company, as_of, known_at): the way that o2c.aging() would take. */
Datum
o2c_aging_path(PG_FUNCTION_ARGS)
{
	Datum		args[2] = {PG_GETARG_DATUM(0), PG_GETARG_DATUM(1)};
	char		nulls[3] = {PG_ARGISNULL(0) ? 'n' : ' ', PG_ARGISNULL(1) ? 'n' : ' ', '\0'};
	AgingPath	path = PATH_STORED;
	DateADT		as_of;
	TimestampTz resolved;
	bool		last_is_null;
	DateADT		last_on;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	if (LookUpCompany(args, nulls, &as_of, &resolved, &last_is_null, &last_on))
		path = ChoosePath(BeginAging(PG_GETARG_INT32(0), as_of, resolved,
									 construct_empty_array(INT4OID), false, false, PG_ARGISNULL(2),
									 PG_ARGISNULL(2) ? 0 : PG_GETARG_TIMESTAMPTZ(2), false, 0),
						  last_is_null, last_on);
	if (SPI_finish() != SPI_OK_FINISH)
		elog(ERROR, "could not finish SPI");
	PG_RETURN_TEXT_P(cstring_to_text(path_names[path]));
}
