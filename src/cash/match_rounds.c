/*
 * match_rounds.c
 *		The rounds of a matching run.
 *
 * The first round weighs every line against what it cites and what its amount
 * pays.  The lines that it leaves undecided are weighed again with the books
 * of their payers, in the third round knowing that what others clearly pay is
 * gone, and then as long as a decision changes what a line saw: a line is
 * weighed again only when one of its items lost something, or when it asked
 * for what the third round knows.
 */
#include "cash/gather.h"
#include "cash/match.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/numeric.h"

PG_FUNCTION_INFO_V1(o2c_cash_first_round);
PG_FUNCTION_INFO_V1(o2c_cash_weigh_lines);

#define ROUNDS_MAX	8
#define SEARCH_BUDGET 100000	/* nodes of a subset search */
#define RULE_LEN	40
#define STATES		4096		/* lines of which the states are allocated at once */
#define ANSWER_COLUMNS 15
#define DECIDED		2			/* position among the columns of an answer */
#define POSITION	ANSWER_COLUMNS
#define ROUND		(ANSWER_COLUMNS + 1)
#define LINE_REJECTED 11		/* column of a line: answers that a person rejected */

/* May what a rule finds be posted without a person? */
typedef struct RuleKey
{
	int64		customer_id;	/* 0 = the company's */
	char		rule[RULE_LEN];
} RuleKey;

typedef struct Rule
{
	RuleKey		key;
	bool		automatic;
	double		min_confidence;
} Rule;

/* One call of _first_round or _weigh_lines. */
typedef struct Run
{
	WeighSettings settings;
	Stream		lines;
	Stream		cands;
	Book		book;
	bool		rest;			/* the later rounds */
	Candidate  *cand;
	Answer	   *answers;
	HTAB	   *rules;
	bool		own_rules;		/* customers have rules of their own */
	Taken	   *taken;
	Claims	   *claims;
	LineState  *state;			/* of each line, in the order of the stream */
	int			nlines;
	Tuplestorestate *found;		/* answers, each time that a line is weighed */
	TupleDesc	desc;
	MemoryContext context;		/* of one line */
} Run;

/* Read the rules of a company and its customers. */
static void
ReadRules(Run *run, int32 company)
{
	Oid			argtypes[1] = {INT4OID};
	Datum		args[1] = {Int32GetDatum(company)};
	HASHCTL		ctl;

	memset(&ctl, 0, sizeof(ctl));
	ctl.keysize = sizeof(RuleKey);
	ctl.entrysize = sizeof(Rule);
	ctl.hcxt = CurrentMemoryContext;
	run->rules = hash_create("order2cash match rules", 64, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	SPI_execute_with_args("SELECT coalesce(r.customer_id, 0), r.rule, r.automatic, r.min_confidence::double precision"
						  " FROM o2c.match_rule r WHERE r.company_id = $1",
						  1, argtypes, args, NULL, true, 0);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	row = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		char	   *name = SPI_getvalue(row, desc, 2);
		bool		isnull;
		bool		found;
		RuleKey		key;
		Rule	   *rule;

		if (strlen(name) >= RULE_LEN)
			continue;			/* no rule of ours */
		memset(&key, 0, sizeof(key));
		key.customer_id = DatumGetInt64(SPI_getbinval(row, desc, 1, &isnull));
		strlcpy(key.rule, name, RULE_LEN);
		rule = hash_search(run->rules, &key, HASH_ENTER, &found);
		rule->automatic = DatumGetBool(SPI_getbinval(row, desc, 3, &isnull));
		rule->min_confidence = DatumGetFloat8(SPI_getbinval(row, desc, 4, &isnull));
		run->own_rules |= key.customer_id != 0;
	}
	SPI_freetuptable(SPI_tuptable);
}

/* Has a person rejected these items for the line? */
static bool
WasRejected(const Run *run, const Answer *a)
{
	bool		isnull;
	Datum		rejected = slot_getattr(run->lines.slot, LINE_REJECTED, &isnull);
	StringInfoData items;
	Datum	   *elems;
	int			n;

	if (isnull)
		return false;
	initStringInfo(&items);
	for (int i = 0; i < a->nitems; i++)
		appendStringInfo(&items, "%c" INT64_FORMAT, i == 0 ? '{' : ',', a->item[i]);
	appendStringInfoChar(&items, '}');
	deconstruct_array(DatumGetArrayTypeP(rejected), TEXTOID, -1, false, TYPALIGN_INT, &elems, NULL, &n);
	for (int i = 0; i < n; i++)
		if (strcmp(TextDatumGetCString(elems[i]), items.data) == 0)
			return true;
	return false;
}

/* May this answer be posted: sure, and nobody wants to see it first? */
static bool
MayPost(const Run *run, const Answer *a)
{
	RuleKey		key;
	Rule	   *rule = NULL;

	if (!a->sure || a->nitems == 0)
		return false;
	memset(&key, 0, sizeof(key));
	strlcpy(key.rule, a->rule, RULE_LEN);
	if (run->own_rules)
	{
		key.customer_id = a->customer_id;
		rule = hash_search(run->rules, &key, HASH_FIND, NULL);
		key.customer_id = 0;
	}
	if (rule == NULL)
		rule = hash_search(run->rules, &key, HASH_FIND, NULL);
	return rule != NULL && rule->automatic && a->confidence >= rule->min_confidence && !WasRejected(run, a);
}

static Datum
Int64Array(const int64 *values, int n)
{
	Datum		elems[ANSWER_ITEMS];

	for (int i = 0; i < n; i++)
		elems[i] = Int64GetDatum(values[i]);
	return PointerGetDatum(construct_array(elems, n, INT8OID, 8, true, TYPALIGN_DOUBLE));
}

/* A confidence as proposals have it: at most 1, to five decimals; what is written with six and a 5 goes up. */
static Datum
ConfidenceDatum(double confidence)
{
	return NumericGetDatum(int64_div_fast_to_numeric((int64) floor(Min(confidence, 1.0) * 100000 + 0.5 + 1e-7), 5));
}

/* An answer as it is returned, and for answers of a round which line's and which round's. */
static void
PutAnswer(Tuplestorestate *store, TupleDesc desc, const Line *line, int option, bool decided, const Answer *a,
		  int position, int round)
{
	Datum		values[ANSWER_COLUMNS + 2];
	bool		nulls[ANSWER_COLUMNS + 2] = {false};
	int64		paid = 0;

	for (int i = 0; i < a->nitems; i++)
		paid += a->cash[i];
	values[0] = Int64GetDatum(line->id);
	values[1] = Int32GetDatum(option);
	values[DECIDED] = BoolGetDatum(decided);
	values[3] = Int32GetDatum(a->tier);
	values[4] = CStringGetTextDatum(a->rule);
	values[5] = ConfidenceDatum(a->confidence);
	values[6] = Int64GetDatum(a->customer_id);
	nulls[6] = a->customer_id == 0;
	values[7] = Int64Array(a->item, a->nitems);
	values[8] = Int64Array(a->cash, a->nitems);
	values[9] = Int64Array(a->settle, a->nitems);
	values[10] = CStringGetTextDatum(a->settle_kind);
	values[11] = CStringGetTextDatum(a->explanation ? a->explanation : "");
	values[12] = Int64Array(a->left, a->nitems);
	values[13] = Int32GetDatum(line->date);
	values[14] = Int64GetDatum(paid);
	values[POSITION] = Int32GetDatum(position);
	values[ROUND] = Int32GetDatum(round);
	tuplestore_putvalues(store, desc, values, nulls);
}

/* The columns of an answer and of what PutAnswer adds for answers of a round. */
static TupleDesc
FoundDesc(TupleDesc desc)
{
	TupleDesc	found = CreateTemplateTupleDesc(ANSWER_COLUMNS + 2);

	for (int i = 1; i <= ANSWER_COLUMNS; i++)
		TupleDescCopyEntry(found, i, desc, i);
	TupleDescInitEntry(found, POSITION + 1, "position", INT4OID, -1, 0);
	TupleDescInitEntry(found, ROUND + 1, "round", INT4OID, -1, 0);
	return found;
}

/*
 * Read the candidates of the line that the stream of lines is at; lines
 * before it that were passed over have theirs skipped.
 */
static int
ReadCandidates(Run *run, bool *more, int64 page, int64 line_id, bool *changed)
{
	int			n = 0;

	while (*more)
	{
		int64		at = ColumnInt64(&run->cands, 1);

		if (at > page || (at == page && ColumnInt64(&run->cands, 2) > line_id))
			break;
		if (at == page && n < CANDIDATES_MAX && ColumnInt64(&run->cands, 2) == line_id)
		{
			ReadCandidate(&run->cands, run->taken, &run->cand[n]);
			*changed |= run->cand[n++].changed;
		}
		*more = NextRow(&run->cands);
	}
	return n;
}

/* Weigh the line that the stream is at, if this round has something new for it; true if so. */
static bool
WeighNext(Run *run, int position, int round, bool *more, Line *line, int *nanswers)
{
	LineState  *state = run->rest ? &run->state[position] : NULL;
	int64		page = ColumnInt64(&run->lines, 1);
	bool		changed = round <= 2 || (round == 3 && state->asked);
	int			from = 0;
	int			upto = 0;
	int			n;

	if (state != NULL && state->decided)
		return false;
	ReadLine(&run->lines, line);
	n = ReadCandidates(run, more, page, line->id, &changed);
	if (run->rest && page != 0)
	{
		TurnTo(&run->book, run->taken, page);
		BookWindow(&run->book, line, &from, &upto);
		for (int i = from; i < upto && !changed; i++)
			changed = run->book.item[i].changed;
	}
	if (!changed)
		return false;
	n = AddFromBook(&run->book, line, from, upto, run->cand, n);
	line->whole = round >= 2;
	line->late = round >= 3;
	line->tokens = CashTokenise(line->text ? line->text : "", line->text ? strlen(line->text) : 0, true);
	*nanswers = n == 0 ? 0 : WeighLine(line, run->cand, n, &run->settings, run->answers);
	if (state != NULL)
	{
		state->round = round;
		state->asked = line->asked;
	}
	return true;
}

/* The state of one more line, none in the beginning. */
static LineState *
AddLineState(Run *run, int64 id)
{
	if (run->nlines % STATES == 0)
	{
		Size		size = (run->nlines + STATES) * sizeof(LineState);

		run->state = run->state == NULL ? palloc(size) : repalloc_huge(run->state, size);
	}
	run->state[run->nlines] = (LineState) {.id = id};
	return &run->state[run->nlines++];
}

/* The first round: answers of the lines that it may decide, nothing of others. */
static void
FirstRound(Run *run, ReturnSetInfo *rsinfo)
{
	bool		more = NextRow(&run->cands);

	run->claims = NewClaims();
	while (NextRow(&run->lines))
	{
		Line		line;
		int			nanswers;
		LineState  *state = AddLineState(run, ColumnInt64(&run->lines, 2));
		MemoryContext old = MemoryContextSwitchTo(run->context);

		CHECK_FOR_INTERRUPTS();
		if (WeighNext(run, 0, 1, &more, &line, &nanswers) && nanswers > 0 && MayPost(run, &run->answers[0]))
		{
			state->round = 1;
			for (int i = 0; i < nanswers; i++)
				PutAnswer(rsinfo->setResult, rsinfo->setDesc, &line, i + 1, true, &run->answers[i], 0, 0);
			AddClaims(run->claims, &line, run->nlines - 1, 1, &run->answers[0]);
		}
		MemoryContextSwitchTo(old);
		MemoryContextReset(run->context);
	}
	DecideClaims(run->claims, run->state, 1, NULL);
}

/* What the first round leaves: undecided lines, their candidates, what the others take of items. */
static void
HandOverRest(Run *run, const char *lines, const char *cands, const char *taken)
{
	TupleDesc	desc = CreateTemplateTupleDesc(2);
	Tuplestorestate *rows = tuplestore_begin_heap(false, false, work_mem / 4);
	int			at = 0;

	TupleDescInitEntry(desc, 1, "id", INT8OID, -1, 0);
	TupleDescInitEntry(desc, 2, "amount", INT8OID, -1, 0);
	PutTaken(run->claims, run->state, rows, desc);
	HandOver(taken, rows, desc);
	tuplestore_clear(rows);
	for (int i = 0; i < run->nlines; i++)
		if (!run->state[i].decided)
		{
			Datum		values[2] = {Int64GetDatum(run->state[i].id)};
			bool		nulls[2] = {false, true};

			tuplestore_putvalues(rows, desc, values, nulls);
		}
	HandOver(lines, rows, desc);
	tuplestore_end(rows);

	rows = tuplestore_begin_heap(false, false, work_mem / 4);
	RewindStream(&run->cands);
	while (NextRow(&run->cands))
	{
		int64		line_id = ColumnInt64(&run->cands, 2);

		while (at < run->nlines && run->state[at].id < line_id)
			at++;
		if (at < run->nlines && run->state[at].id == line_id && !run->state[at].decided)
			tuplestore_puttupleslot(rows, run->cands.slot);
	}
	HandOver(cands, rows, run->cands.slot->tts_tupleDescriptor);
	tuplestore_end(rows);
}

/* One of the later rounds; returns how many lines were weighed. */
static int
LaterRound(Run *run, int round, TupleDesc founddesc)
{
	bool		more;
	int			weighed = 0;

	RewindStream(&run->lines);
	RewindStream(&run->cands);
	RewindBook(&run->book);
	more = NextRow(&run->cands);
	for (int position = 0; NextRow(&run->lines); position++)
	{
		Line		line;
		int			nanswers;
		MemoryContext old = MemoryContextSwitchTo(run->context);

		CHECK_FOR_INTERRUPTS();
		if (WeighNext(run, position, round, &more, &line, &nanswers))
		{
			weighed++;
			for (int i = 0; i < nanswers; i++)
				PutAnswer(run->found, founddesc, &line, i + 1, false, &run->answers[i], position, round);
			if (nanswers > 0 && MayPost(run, &run->answers[0]))
				AddClaims(run->claims, &line, position, round, &run->answers[0]);
		}
		MemoryContextSwitchTo(old);
		MemoryContextReset(run->context);
	}
	return weighed;
}

/* The rounds after the first: what was last found for each line, and whether that is decided. */
static void
LaterRounds(Run *run, ReturnSetInfo *rsinfo)
{
	TupleDesc	founddesc = FoundDesc(rsinfo->setDesc);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(founddesc, &TTSOpsMinimalTuple);

	while (NextRow(&run->lines))
		(void) AddLineState(run, ColumnInt64(&run->lines, 2));
	run->found = tuplestore_begin_heap(false, false, work_mem / 4);
	run->taken = NewTaken();
	run->claims = NewClaims();
	for (int round = 2; round <= ROUNDS_MAX; round++)
	{
		if (LaterRound(run, round, founddesc) == 0)
			break;
		if (DecideClaims(run->claims, run->state, round, run->taken) == 0 && round > 2)
			break;
	}
	while (tuplestore_gettupleslot(run->found, true, false, slot))
	{
		const LineState *state;

		slot_getallattrs(slot);
		state = &run->state[DatumGetInt32(slot->tts_values[POSITION])];
		if (state->round != DatumGetInt32(slot->tts_values[ROUND]))
			continue;
		slot->tts_values[DECIDED] = BoolGetDatum(state->decided);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, slot->tts_values, slot->tts_isnull);
	}
	ExecDropSingleTupleTableSlot(slot);
	tuplestore_end(run->found);
}

/* The company's own bounds and margins. */
static void
ReadSettings(WeighSettings *settings, int32 company)
{
	Oid			argtypes[1] = {INT4OID};
	Datum		args[1] = {Int32GetDatum(company)};
	HeapTuple	row;
	TupleDesc	desc;
	bool		isnull;

	SPI_execute_with_args("SELECT coalesce(max(r.max_chance), 0.01)::double precision, coalesce(max(r.max_size), 5),"
						  " coalesce((SELECT t.grace_days FROM o2c.tolerance t WHERE t.company_id = $1 AND t.customer_id IS NULL), 0)"
						  " FROM o2c.match_rule r WHERE r.company_id = $1 AND r.rule = 'bundle' AND r.customer_id IS NULL",
						  1, argtypes, args, NULL, true, 1);
	if (SPI_processed != 1)
		elog(ERROR, "could not read the settings of matching");
	row = SPI_tuptable->vals[0];
	desc = SPI_tuptable->tupdesc;
	settings->max_chance = DatumGetFloat8(SPI_getbinval(row, desc, 1, &isnull));
	settings->max_size = DatumGetInt32(SPI_getbinval(row, desc, 2, &isnull));
	settings->grace_days = DatumGetInt32(SPI_getbinval(row, desc, 3, &isnull));
	settings->budget = SEARCH_BUDGET;
	SPI_freetuptable(SPI_tuptable);
}

/* Answers, too, have a share of work_mem only: claims, lines and candidates are kept beside them. */
static void
ShareResult(ReturnSetInfo *rsinfo)
{
	MemoryContext old = MemoryContextSwitchTo(rsinfo->econtext->ecxt_per_query_memory);

	tuplestore_end(rsinfo->setResult);
	rsinfo->setResult = tuplestore_begin_heap((rsinfo->allowedModes & SFRM_Materialize_Random) != 0, false, work_mem / 4);
	MemoryContextSwitchTo(old);
}

/* Begin a call. */
static void
BeginRun(Run *run, FunctionCallInfo fcinfo)
{
	int32		company = PG_GETARG_INT32(0);

	memset(run, 0, sizeof(Run));
	InitMaterializedSRF(fcinfo, 0);
	ShareResult((ReturnSetInfo *) fcinfo->resultinfo);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	ReadSettings(&run->settings, company);
	ReadRules(run, company);
	run->cand = palloc(CANDIDATES_MAX * sizeof(Candidate));
	run->answers = palloc(ANSWERS_MAX * sizeof(Answer));
	run->context = AllocSetContextCreate(CurrentMemoryContext, "order2cash line", ALLOCSET_DEFAULT_SIZES);
}

/*
 * _first_round(company, few, queries of GatherCandidates, lines, taken,
 * undecided, candidates): a query of the lines as _weigh_lines has it, then
 * what inserts the o2c_rows that are left.
 */
Datum
o2c_cash_first_round(PG_FUNCTION_ARGS)
{
	Run			run;
	TupleDesc	desc;

	BeginRun(&run, fcinfo);
	desc = GatherDesc();
	OpenKept(&run.cands, GatherCandidates(fcinfo, desc), desc, "ll" SHAPE_CANDIDATE);
	OpenStream(&run.lines, text_to_cstring(PG_GETARG_TEXT_PP(11)), SHAPE_LINE, false);
	FirstRound(&run, (ReturnSetInfo *) fcinfo->resultinfo);
	CloseStream(&run.lines);
	HandOverRest(&run, text_to_cstring(PG_GETARG_TEXT_PP(13)), text_to_cstring(PG_GETARG_TEXT_PP(14)),
				 text_to_cstring(PG_GETARG_TEXT_PP(12)));
	CloseStream(&run.cands);
	EndClaims(run.claims);
	SPI_finish();
	return (Datum) 0;
}

/*
 * _weigh_lines(company, lines, candidates, book): queries in the order of page
 * and line; page, line and item; page, due date and item.  All rounds that
 * come after the first.
 */
Datum
o2c_cash_weigh_lines(PG_FUNCTION_ARGS)
{
	Run			run;

	BeginRun(&run, fcinfo);
	run.rest = true;
	OpenStream(&run.lines, text_to_cstring(PG_GETARG_TEXT_PP(1)), SHAPE_LINE, true);
	OpenStream(&run.cands, text_to_cstring(PG_GETARG_TEXT_PP(2)), "ll" SHAPE_CANDIDATE, true);
	OpenBook(&run.book, text_to_cstring(PG_GETARG_TEXT_PP(3)));
	LaterRounds(&run, (ReturnSetInfo *) fcinfo->resultinfo);
	CloseStream(&run.book.stream);
	CloseStream(&run.lines);
	CloseStream(&run.cands);
	EndClaims(run.claims);
	SPI_finish();
	return (Datum) 0;
}
