/*
 * gather.h
 *		Which open items each bank line may pay: what gather.c (streams),
 *		gather_again.c (streams that are read again), gather_lines.c (the lines
 *		that wait), gather_pairs.c (who fits whom), gather_answers.c (what is
 *		returned) and item_facts.c (what an item is) share.
 */
#ifndef O2C_GATHER_H
#define O2C_GATHER_H

#include "cash/cash.h"

#include "executor/tuptable.h"
#include "storage/buffile.h"
#include "tcop/dest.h"
#include "utils/date.h"
#include "utils/tuplesort.h"

/* Nobody knows the payer: an amount that more items have says nothing. */
#define UNKNOWN_ITEMS_MAX 60

/* What an item in the stream is to be compared by. */
#define WHY_CITED	1			/* its id */
#define WHY_PAYER	2			/* customer and amount */
#define WHY_AMOUNT	4			/* amount, of payers that are not known */

/* Small things that are forgotten together, packed into blocks of a context. */
typedef struct Arena
{
	MemoryContext context;
	char	   *at;
	Size		left;
} Arena;

/* Nodes of one kind by their hash: heads here, "next" in the nodes. */
typedef struct Chains
{
	uint32		mask;
	int32	   *head;
} Chains;

/* Differences that a company or a customer grants. */
typedef struct Tolerance
{
	int64		customer_id;
	int32		next;
	struct varlena *percent;
	int64		hundredths;		/* of a percent; -1 when there are smaller parts */
	int64		difference[5];	/* by the decimals of the currency */
	int64		charges[5];
} Tolerance;

typedef struct Tolerances
{
	MemoryContext context;
	Tolerance	company;
	Tolerance  *customer;
	int			n;
	int			room;
	Chains		chains;
} Tolerances;

/* An item as the weigher takes it. */
typedef struct ItemFacts
{
	int64		item_id;
	int64		customer_id;	/* 0: none */
	int64		open;
	int64		amount;
	int64		discount;
	int64		reference_key;
	int64		tolerance;
	int64		charges;
	DateADT		discount_date;
	DateADT		issued;
	DateADT		due;
	text	   *number;
	text	   *alt_number;
} ItemFacts;

/* A line and an item that it may pay. */
typedef struct Pair
{
	struct Pair *next;			/* of the line */
	const ItemFacts *facts;
	text	   *order_number;
	bool		cited;
} Pair;

typedef struct GatherLine
{
	int64		id;
	int64		party_id;
	int64		amount;
	int64		first_key;		/* of its keys */
	Pair	   *pairs;
	Pair	   *stamped;		/* its pair with the item that the stamp is of */
	uint32		stamp;
	uint32		currency;
	int32		nkeys;
	int32		party;
	int32		next_same;		/* of party, currency and amount */
	int32		next_unknown;	/* of currency and amount, payer not known */
} GatherLine;

/* A key that a line names, with whose it is: looked for by every key that items have. */
typedef struct LineKey
{
	int64		key;
	int32		line;
	int32		next;
} LineKey;

/* A key of an item that is being looked for: memory is slow, so that it waits for its chain and then its node. */
#define KEYS_UNDER_WAY 2
typedef struct ItemKey
{
	int64		key;
	int64		item_id;
	int32	   *head;			/* NULL: none */
} ItemKey;

/* Somebody who pays, as the bank writes him. */
typedef struct Party
{
	int64		id;
	int32		best;			/* REL_ of the customer that it most surely is */
	int32		next;
} Party;

/* A customer that may be a party. */
typedef struct Payer
{
	int64		customer_id;
	int32		party;
	int32		rel;
	bool		group;
	int32		next;
	int32		next_of_customer;
} Payer;

typedef struct PayerCustomer
{
	int64		customer_id;
	int32		first;			/* parties that he may be */
	int32		n;
	int32		next;
} PayerCustomer;

/* An item of an amount. */
typedef struct Found
{
	struct Found *next;
	const ItemFacts *facts;
} Found;

/* An amount on lines, and who pays it. */
typedef struct Amount
{
	int64		amount;
	uint32		currency;
	int32		next;
	int32		first;			/* party by party */
	int32		n;
	int32		unknown;		/* lines whose payer is not known */
	int32		nfound;
	Found	   *found;			/* items of this amount, for these, in their order */
	Found	   *last;
} Amount;

typedef struct PartyAmount
{
	int32		party;
	int32		amount;
	int32		line;
	int32		next;
	int32		next_of_amount;
} PartyAmount;

/* A line cites an item, or its order. */
typedef struct Citation
{
	int64		item_id;
	int32		line;
	int32		next;
	text	   *order_number;
	bool		cited;
} Citation;

/* What a line is short of the items of a customer that it cites. */
typedef struct Gap
{
	int64		customer_id;
	int64		amount;			/* of one, or the sum of several */
	int32		line;
	int32		n;
	int32		next;
} Gap;

/* A customer whose name is to be compared. */
typedef struct Named
{
	int64		customer_id;
	int32		next;
	int64		code_key;		/* of his number as he writes it; 0 = too short to tell */
	text	   *name;
} Named;

/* Parts of the memory, in kB: of the tuplestore of candidates, and of a sort of them. */
#define CANDIDATES_SHARE (work_mem / 4)
#define SORT_SHARE		(work_mem / 8)

/* What is looked at of a row before it is known that a line wants it: an item, or a number that was settled. */
typedef struct GatherRow
{
	int64		id;				/* of the item, or the key */
	int64		customer_id;	/* 0: none */
	int64		amounts[2];		/* what is open, and that less discount */
	int32		namounts;
	uint32		currency;
	int32		why;			/* WHY_ */
	uint32		size;			/* of the tuple, where rows are kept */
} GatherRow;

/* A growing array. */
#define ARRAY(type) struct { type *at; int64 n; int64 room; }

/* A run of lines and what is looked for. */
typedef struct Gathering
{
	Size		room;			/* memory that all of it may take */
	Size		most;			/* memory that the range took */
	Tuplestorestate *result;
	TupleDesc	desc;
	TupleTableSlot *slot;		/* of a candidate */
	Tuplesortstate *sort;		/* of a range whose candidates came in several parts */
	int64		last_line;		/* of the lines before */
	bool		disordered;		/* lines came after others with higher ids */
	Tolerances *tolerances;
	uint32		stamp;

	/* as many lines as fit, and their keys */
	MemoryContext lines_context;
	ARRAY(GatherLine) lines;
	ARRAY(int64) keys;

	/* a range of them under way */
	MemoryContext context;
	MemoryContext keys_context; /* until all is cited */
	Arena		kept;			/* in context */
	bool		overflow;		/* it was too much: try half */
	bool		flushed;		/* some of its candidates were returned */
	Size		returned;		/* memory that these took */
	int			from;
	int			upto;
	ARRAY(LineKey) line_keys;
	Chains		key_chains;
	ItemKey		under_way[KEYS_UNDER_WAY];	/* the later first */
	ARRAY(Party) parties;
	Chains		party_chains;
	ARRAY(Payer) payers;
	Chains		payer_chains;
	ARRAY(PayerCustomer) customers;
	Chains		customer_chains;
	ARRAY(Amount) amounts;
	Chains		amount_chains;
	ARRAY(PartyAmount) party_amounts;
	Chains		party_amount_chains;
	ARRAY(Citation) citations;
	Chains		citation_chains;
	bool		want_gaps;
	ARRAY(Gap)	gaps;
	ARRAY(Gap)	sums;
	Chains		gap_chains;

	/* candidates not yet returned */
	Arena		out;
	ARRAY(Named) named;
	Chains		named_chains;
	void		(*read_names) (struct Gathering *g);
} Gathering;

typedef bool (*GatherReceive) (TupleTableSlot *slot, DestReceiver *self);

/* Where the executor sends the rows of a stream. */
typedef struct GatherReceiver
{
	DestReceiver pub;
	const char *shape;			/* of the rows, see row_shape.c */
	GatherReceive receive;		/* who takes a row that has it, its columns read */
	Gathering  *gather;
	TupleDesc  *desc;			/* where to note what the rows are; or NULL */
	BufFile    *keep;			/* rows are written here to be read again; or NULL */
	void	   *state;			/* of who gathers something else */
} GatherReceiver;

/* Rows of o2c.tolerance, and of open items. */
#define SHAPE_TOLERANCE "Lnnn"
#define SHAPE_ITEM "lLtnnNDddtTT"

/* Make room for one more element of an array. */
static inline void
ArrayGrow(void **at, int64 n, int64 *room, Size size, MemoryContext context)
{
	if (likely(n < *room))
		return;
	*room = Max(64, *room < 8192 ? 2 * *room : *room + *room / 2);
	*at = *at == NULL ? MemoryContextAllocHuge(context, *room * size) : repalloc_huge(*at, *room * size);
}

#define ARRAY_ADD(array, context) \
	(ArrayGrow((void **) &(array).at, (array).n, &(array).room, sizeof(*(array).at), (context)), \
	 &(array).at[(array).n++])

extern void *ArenaMore(Arena *arena, Size size);

/* Room for something small in an arena. */
static inline void *
ArenaAlloc(Arena *arena, Size size)
{
	char	   *at = arena->at;

	size = MAXALIGN(size);
	if (unlikely(size > arena->left))
		return ArenaMore(arena, size);
	arena->at += size;
	arena->left -= size;
	return at;
}

static inline uint32
HashWords(uint64 a, uint64 b)
{
	uint64		h = a + b * UINT64CONST(0x9E3779B97F4A7C15);

	h = (h ^ (h >> 30)) * UINT64CONST(0xBF58476D1CE4E5B9);
	h = (h ^ (h >> 27)) * UINT64CONST(0x94D049BB133111EB);
	return (uint32) (h >> 32);
}

/* A hash that keeps ids which follow each other together, for what streams by in the order of its ids. */
static inline uint32
HashSeries(int64 id)
{
	return (HashWords((uint64) id >> 4, 0) << 4) | (id & 15);
}

static inline int32 *
ChainOf(const Chains *chains, uint32 hash)
{
	return &chains->head[hash & chains->mask];
}

/* item_facts.c */
extern uint32 CurrencyWord(Datum currency);
extern int64 MinorAmount(Datum amount, uint32 currency);
extern Datum AmountOfMinor(int64 minor, uint32 currency);
extern void ArenaReset(Arena *arena);
extern text *CopyText(Datum value, Arena *arena);
extern void ToleranceAdd(Tolerances *all, TupleTableSlot *slot);
extern void ToleranceFinish(Tolerances *all);
extern ItemFacts *DescribeItem(TupleTableSlot *slot, const Tolerances *all, Arena *arena);
extern void ChainsBegin(Chains *chains, int64 nodes, MemoryContext context);

/* gather.c */
extern Tuplestorestate *GatherCandidates(FunctionCallInfo fcinfo, TupleDesc desc);
extern void GatherStream(SPIPlanPtr plan, int nparams, const Oid *types, const Datum *values,
						 const char *shape, GatherReceive receive, GatherReceiver *receiver);

/* gather_again.c */
extern void KeepKey(BufFile *file, int64 key, int64 item_id);
extern void KeepRow(BufFile *file, GatherRow *row, TupleTableSlot *slot);
extern bool ReadKeysAgain(Gathering *g, BufFile *file);
extern bool ReadRowsAgain(Gathering *g, BufFile *file, TupleDesc desc,
						  bool (*take) (Gathering *g, const GatherRow *row, TupleTableSlot *slot));

/* gather_lines.c */
extern bool GatherTooMuch(Gathering *g);
extern void GatherMeasure(Gathering *g);
extern void GatherMakeRoom(Gathering *g);
extern bool GatherPrepare(Gathering *g);
extern void GatherPayersDone(Gathering *g);
extern const Payer *GatherFindPayer(const Gathering *g, int32 party, int64 customer_id);
extern const PayerCustomer *GatherFindCustomer(const Gathering *g, int64 customer_id);
extern int32 GatherFindAmount(const Gathering *g, uint32 currency, int64 amount);
extern int32 GatherFindPartyAmount(const Gathering *g, int32 party, int32 amount);
extern bool ReceivePayer(TupleTableSlot *slot, DestReceiver *self);

/* gather_pairs.c */
extern bool TakeKey(Gathering *g, int64 key, int64 item_id);
extern bool TakeSettled(Gathering *g, const GatherRow *row, TupleTableSlot *slot);
extern bool TakeItem(Gathering *g, const GatherRow *row, TupleTableSlot *slot);
extern bool TakeCredit(Gathering *g, const GatherRow *row, TupleTableSlot *slot);
extern void GatherKeysDone(Gathering *g);
extern void GatherCitationsDone(Gathering *g);
extern void GatherUnknown(Gathering *g);
extern bool GatherGapsDone(Gathering *g);
extern bool ReceiveKey(TupleTableSlot *slot, DestReceiver *self);
extern bool ReceiveSettled(TupleTableSlot *slot, DestReceiver *self);
extern bool ReceiveCited(TupleTableSlot *slot, DestReceiver *self);
extern bool ReceiveItem(TupleTableSlot *slot, DestReceiver *self);
extern bool ReceiveCredit(TupleTableSlot *slot, DestReceiver *self);

/* gather_answers.c */
extern TupleDesc GatherDesc(void);
extern Tuplestorestate *CandidatesBegin(void);
extern void GatherFlush(Gathering *g, bool last);
extern Tuplestorestate *GatherSort(Gathering *g);
extern bool ReceiveName(TupleTableSlot *slot, DestReceiver *self);

#endif							/* O2C_GATHER_H */
