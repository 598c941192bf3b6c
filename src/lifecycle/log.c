/*
 * log.c
 *		The log of every lifecycle: one o2c.event for each document that moved.
 *
 * An AFTER statement trigger beside the guard (guard.c).  It writes from the
 * transition tables without SQL, for a run that posts thousands of payments
 * logs each of them.
 */
#include "o2c.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

#include "lifecycle/machine.h"
#include "row_reader.h"
#include "table_writer.h"

/* Moves of one statement whose names are kept. */
#define KEPT_MOVES 8

/* The columns of o2c.event that the log gives. */
static const char *const event_columns[] = {
	"company_id", "entity", "entity_id", "event", "from_state", "to_state", "actor", "reason"
};

enum
{
	EVENT_COMPANY, EVENT_ENTITY, EVENT_ENTITY_ID, EVENT_EVENT, EVENT_FROM, EVENT_TO, EVENT_ACTOR, EVENT_REASON,
	EVENT_COLUMNS
};

/* A move and what it is called. */
typedef struct KeptMove
{
	Oid			from;			/* InvalidOid: creation */
	Oid			to;
	Datum		event;			/* 0: the machine does not list it */
	Datum		from_name;
	Datum		to_name;
} KeptMove;

typedef struct Log
{
	const Machine *machine;
	TableWriter *writer;		/* NULL until something moved */
	int			company_att;
	int			id_att;
	int			state_att;
	int			nmoves;
	KeptMove	moves[KEPT_MOVES];
	Datum		values[EVENT_COLUMNS];
	bool		nulls[EVENT_COLUMNS];
} Log;

PG_FUNCTION_INFO_V1(o2c_lifecycle_log);

static char *
StateName(Oid state)
{
	return DatumGetCString(DirectFunctionCall1(enum_out, ObjectIdGetDatum(state)));
}

/* The names of a move, from those of the statement or looked up. */
static const KeptMove *
NamesOf(Log *log, Oid from, Oid to)
{
	KeptMove   *kept;
	const Move *move;
	char	   *from_name;
	char	   *to_name;

	for (int i = 0; i < log->nmoves; i++)
		if (log->moves[i].from == from && log->moves[i].to == to)
			return &log->moves[i];

	kept = &log->moves[log->nmoves < KEPT_MOVES ? log->nmoves++ : 0];
	from_name = OidIsValid(from) ? StateName(from) : NULL;
	to_name = StateName(to);
	move = MachineMove(log->machine, from_name, to_name);
	kept->from = from;
	kept->to = to;
	kept->from_name = from_name ? CStringGetTextDatum(from_name) : (Datum) 0;
	kept->to_name = CStringGetTextDatum(to_name);
	kept->event = move ? CStringGetTextDatum(move->event) : (Datum) 0;
	return kept;
}

/* Write the event of a document that went from a state to the one of its new row. */
static void
LogMove(Log *log, Relation rel, TupleTableSlot *row, Oid from)
{
	const KeptMove *move;
	bool		isnull;

	if (log->writer == NULL)
		log->writer = TableWriterBegin(TableByName(rel, "event"), CMD_INSERT,
									   event_columns, EVENT_COLUMNS);
	move = NamesOf(log, from, DatumGetObjectId(slot_getattr(row, log->state_att, &isnull)));
	log->values[EVENT_COMPANY] = slot_getattr(row, log->company_att, &isnull);
	log->values[EVENT_ENTITY_ID] = slot_getattr(row, log->id_att, &isnull);
	log->values[EVENT_EVENT] = move->event;
	log->nulls[EVENT_EVENT] = move->event == (Datum) 0;
	log->values[EVENT_FROM] = move->from_name;
	log->nulls[EVENT_FROM] = move->from_name == (Datum) 0;
	log->values[EVENT_TO] = move->to_name;
	TableWriterInsert(log->writer, log->values, log->nulls);
}

static int
ColumnNumber(TupleDesc desc, const char *name)
{
	int			att = SPI_fnumber(desc, name);

	if (att <= 0)
		elog(ERROR, "a table with a lifecycle has no column \"%s\"", name);
	return att;
}

/*
 * o2c_lifecycle_log(machine): AFTER INSERT or UPDATE, for each statement, with
 * transition tables new_rows and (for UPDATE) old_rows.  Writes one event for
 * each document that moved, with the caller and order2cash.reason.
 */
Datum
o2c_lifecycle_log(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_lifecycle_log");
	Relation	rel = trigdata->tg_relation;
	TupleDesc	desc = RelationGetDescr(rel);
	bool		update = TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event);
	Log			log = {0};
	RowReader	newrows;
	RowReader	oldrows;
	TupleTableSlot *row;
	TriggerFrame frame;

	if (o2c_numbering)
		return PointerGetDatum(NULL);

	if (trigdata->tg_trigger->tgnargs == 1)
		log.machine = MachineByName(trigdata->tg_trigger->tgargs[0]);
	if (log.machine == NULL)
		elog(ERROR, "lifecycle trigger \"%s\" needs the machine's name",
			 trigdata->tg_trigger->tgname);
	if (tuplestore_tuple_count(trigdata->tg_newtable) == 0)
		return PointerGetDatum(NULL);

	log.company_att = ColumnNumber(desc, "company_id");
	log.id_att = ColumnNumber(desc, "id");
	log.state_att = ColumnNumber(desc, "state");
	TriggerFrameBegin(&frame, trigdata);
	log.values[EVENT_ENTITY] = CStringGetTextDatum(log.machine->name);
	/* who asked for it, not the owner of a table whose trigger moved this one */
	log.values[EVENT_ACTOR] = CStringGetTextDatum(GetUserNameFromId(GetOuterUserId(), false));
	log.nulls[EVENT_REASON] = o2c_reason == NULL || o2c_reason[0] == '\0';
	if (!log.nulls[EVENT_REASON])
		log.values[EVENT_REASON] = CStringGetTextDatum(o2c_reason);

	RowReaderBegin(&newrows, trigdata->tg_newtable, rel);
	if (update)
		RowReaderBegin(&oldrows, trigdata->tg_oldtable, rel);
	while ((row = RowReaderNext(&newrows)) != NULL)
	{
		bool		isnull;
		Oid			from = InvalidOid;

		if (update)
		{
			/* the transition tables hold both versions in the same order */
			TupleTableSlot *before = RowReaderNext(&oldrows);

			if (before == NULL)
				elog(ERROR, "there are fewer old rows than new ones");
			from = DatumGetObjectId(slot_getattr(before, log.state_att, &isnull));
			if (from == DatumGetObjectId(slot_getattr(row, log.state_att, &isnull)))
				continue;
		}
		LogMove(&log, rel, row, from);
	}
	if (update)
		RowReaderEnd(&oldrows);
	RowReaderEnd(&newrows);
	if (log.writer != NULL)
		TableWriterEnd(log.writer);
	TriggerFrameEnd(&frame);
	return PointerGetDatum(NULL);
}
