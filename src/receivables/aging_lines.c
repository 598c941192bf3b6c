/*
 * aging_lines.c
 *		From open items and entries to the lines of an aging.
 *
 * Open(item, D, T) is the sum of its ledger entries with effective_on <= D and
 * recorded_at <= T.  An entry repeats customer, currency, due date and side of
 * its item, so a bucket is a sum over entries and no item is looked up:
 *	stored		open balances, when no entry lies after D
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

#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "optimizer/optimizer.h"
#include "receivables/aging_lines.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/plancache.h"
#include "utils/resowner.h"

typedef struct LineEntry
{
	LineKey		key;
	char		status;
	AgingLine  *line;
} LineEntry;

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

/* Adding up one row, in units of cpu_operator_cost. */
#define ADDING_COST	10

/* What is cheaper than this is not compared with other ways. */
#define SMALL_COST	1000

static const Oid param_types[NPARAMS] = {INT4OID, DATEOID, TIMESTAMPTZOID, INT8OID, TIMESTAMPTZOID};

/*
 * What can be read: (customer_id, currency, date, amount), for entries also
 * whether they belong to a credit; for open amounts see below.
 */
typedef enum AgingSource
{
	SOURCE_STORED,				/* open balances */
	SOURCE_AFTER,				/* entries that count after the date */
	SOURCE_LATER,				/* entries that count, known later */
	SOURCE_FULL					/* entries that count and are known */
} AgingSource;

#define NSOURCES	4

#define WHEN_AFTER	" AND e.effective_on > $2"
#define WHEN_LATER	" AND e.effective_on <= $2 AND e.recorded_at > $3"
#define WHEN_FULL	" AND e.effective_on <= $2 AND e.recorded_at <= $3"

/* all columns of the table in their order, so that nothing is projected */
#define STORED(more) \
	"SELECT i.company_id, i.due_date, i.customer_id, i.item_id, i.document_date, i.currency, i.open_amount" \
	" FROM o2c.open_balance i WHERE i.company_id = $1" more
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
SPIPlanPtr
AgingPlanOf(KeptPlan *kept, int nargs, const Oid *argtypes)
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
	return AgingPlanOf(kept, NPARAMS, param_types);
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
Aging *
AgingBegin(int32 company, DateADT as_of, TimestampTz resolved, ArrayType *bounds,
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
		aging->nlines++;
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

/* Add the waiting rows to their lines. */
static void
AddRows(Aging *aging)
{
	for (int i = 0; i < aging->nrows; i++)
		__builtin_prefetch(&aging->lines->data[HashCustomer(aging->rows[i].key.customer, aging->rows[i].key.currency) & aging->lines->sizemask]);
	for (int i = 0; i < aging->nrows; i++)
	{
		AgingRow   *row = &aging->rows[i];

		/* a customer's items often follow each other */
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

static void
ReceiverStartup(DestReceiver *self, int operation, TupleDesc desc)
{
}

static void
ReceiverEnd(DestReceiver *self)
{
}

/* Run a statement that sends its rows to a receiver. */
void
AgingRunInto(SPIPlanPtr plan, ParamListInfo params, AgingReceiver *receiver,
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
		receiver.customer = 2;
		receiver.currency = 5;
		receiver.date = aging->by_document ? 4 : 1;
		receiver.amount = 6;
		receiver.credit = 0;
	}

	AgingRunInto(AgingPlan(SourceOf(aging, source)), aging->params, &receiver, ReceiveRow);
	AddRows(aging);
}

/* Fill the lines. */
void
AgingReadLines(Aging *aging, AgingPath path)
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
	AgingRunInto(AgingPlan(&disputes[aging->one]), aging->params, &receiver, ReceiveRow);
	AddRows(aging);
}

/* The way that reads least, by the planner's estimates. */
AgingPath
AgingChoosePath(Aging *aging, bool last_is_null, DateADT last_on)
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
