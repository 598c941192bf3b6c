/*
 * guard.c
 *		The one trigger that enforces every lifecycle.
 *
 * o2c_lifecycle_guard is a BEFORE INSERT OR UPDATE row trigger on each table
 * that has a lifecycle: a move that machines.c does not list is refused for
 * every client and every kind of statement.  Its log is log.c.
 */
#include "o2c.h"

#include "access/htup_details.h"
#include "catalog/pg_enum.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "lifecycle/machine.h"

#define MAX_STATES 16
#define MAX_GUARDS 16

/* What the guard of one trigger needs for each row, resolved once. */
typedef struct Guard
{
	Oid			trigger_oid;
	bool		valid;
	const Machine *machine;
	AttrNumber	state_att;
	int			nstates;
	Oid			state_oid[MAX_STATES];
	const char *state_name[MAX_STATES];
	/* permitted[from] is a bit mask of states; creation is the last row */
	uint32		permitted[MAX_STATES + 1];
} Guard;

static Guard guards[MAX_GUARDS];
static int	nguards = 0;

PG_FUNCTION_INFO_V1(o2c_lifecycle_guard);
PG_FUNCTION_INFO_V1(o2c_lifecycle_event);
PG_FUNCTION_INFO_V1(o2c_lifecycle_moves);

/* Forget what was resolved: a relation or a type changed. */
static void
InvalidateGuards(Datum arg, Oid relid)
{
	for (int i = 0; i < nguards; i++)
		guards[i].valid = false;
}

/* Index of a state of the guard by name; adds it when new. */
static int
GuardState(Guard *guard, Oid enumtype, const char *name)
{
	HeapTuple	tup;

	for (int i = 0; i < guard->nstates; i++)
		if (strcmp(guard->state_name[i], name) == 0)
			return i;

	if (guard->nstates >= MAX_STATES)
		elog(ERROR, "lifecycle \"%s\" has too many states", guard->machine->name);
	tup = SearchSysCache2(ENUMTYPOIDNAME, ObjectIdGetDatum(enumtype),
						  CStringGetDatum(name));
	if (!HeapTupleIsValid(tup))
		elog(ERROR, "type %u has no label \"%s\"", enumtype, name);
	guard->state_oid[guard->nstates] = ((Form_pg_enum) GETSTRUCT(tup))->oid;
	guard->state_name[guard->nstates] = name;
	ReleaseSysCache(tup);
	return guard->nstates++;
}

/* Resolve machine, column and enum values of a trigger. */
static void
ResolveGuard(Guard *guard, TriggerData *trigdata)
{
	Trigger    *trigger = trigdata->tg_trigger;
	TupleDesc	desc = RelationGetDescr(trigdata->tg_relation);
	Oid			enumtype;

	if (trigger->tgnargs != 1)
		elog(ERROR, "lifecycle trigger \"%s\" needs the machine's name",
			 trigger->tgname);
	guard->machine = MachineByName(trigger->tgargs[0]);
	if (guard->machine == NULL)
		elog(ERROR, "there is no lifecycle \"%s\"", trigger->tgargs[0]);
	guard->state_att = SPI_fnumber(desc, "state");
	if (guard->state_att <= 0)
		elog(ERROR, "table \"%s\" has no column \"state\"",
			 RelationGetRelationName(trigdata->tg_relation));
	enumtype = SPI_gettypeid(desc, guard->state_att);

	guard->nstates = 0;
	memset(guard->permitted, 0, sizeof(guard->permitted));
	for (int i = 0; i < guard->machine->nmoves; i++)
	{
		const Move *move = &guard->machine->moves[i];
		int			to = GuardState(guard, enumtype, move->to);
		int			from = move->from == NULL ? MAX_STATES :
			GuardState(guard, enumtype, move->from);

		guard->permitted[from] |= (uint32) 1 << to;
	}
	guard->trigger_oid = trigger->tgoid;
	guard->valid = true;
}

/* The guard of this trigger, from the cache of the backend. */
static Guard *
GuardOf(TriggerData *trigdata)
{
	static bool registered = false;
	Oid			oid = trigdata->tg_trigger->tgoid;
	Guard	   *guard = NULL;

	if (!registered)
	{
		CacheRegisterRelcacheCallback(InvalidateGuards, (Datum) 0);
		registered = true;
	}
	for (int i = 0; i < nguards; i++)
	{
		if (guards[i].trigger_oid == oid)
		{
			if (guards[i].valid)
				return &guards[i];
			guard = &guards[i];
			break;
		}
	}
	if (guard == NULL)
		guard = nguards < MAX_GUARDS ? &guards[nguards++] : &guards[0];
	guard->valid = false;
	ResolveGuard(guard, trigdata);
	return guard;
}

/* Index of the enum value, or -1 when the machine does not know it. */
static inline int
StateIndex(const Guard *guard, Oid value)
{
	for (int i = 0; i < guard->nstates; i++)
		if (guard->state_oid[i] == value)
			return i;
	return -1;
}

/* "code" or id of the row, for messages. */
static char *
DocumentLabel(TriggerData *trigdata, HeapTuple tuple)
{
	static const char *const columns[] = {"code", "number", "id"};
	TupleDesc	desc = RelationGetDescr(trigdata->tg_relation);

	for (int i = 0; i < lengthof(columns); i++)
	{
		int			att = SPI_fnumber(desc, columns[i]);
		char	   *value = att > 0 ? SPI_getvalue(tuple, desc, att) : NULL;

		if (value != NULL)
			return value;
	}
	return pstrdup("?");
}

/* Refuse a move with the document, its state and what would be allowed. */
static void
RefuseMove(const Guard *guard, TriggerData *trigdata, HeapTuple tuple,
		   const char *from, Datum to)
{
	const Machine *machine = guard->machine;
	StringInfoData allowed;
	HeapTuple	tup = SearchSysCache1(ENUMOID, to);
	char	   *toname = HeapTupleIsValid(tup) ?
		pstrdup(NameStr(((Form_pg_enum) GETSTRUCT(tup))->enumlabel)) : "?";

	if (HeapTupleIsValid(tup))
		ReleaseSysCache(tup);
	initStringInfo(&allowed);
	for (int i = 0; i < machine->nmoves; i++)
	{
		const Move *move = &machine->moves[i];

		if ((from == NULL) != (move->from == NULL) ||
			(from != NULL && strcmp(from, move->from) != 0))
			continue;
		appendStringInfo(&allowed, "%s%s (to %s)", allowed.len ? ", " : "",
						 move->event, move->to);
	}

	if (from == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_O2C_LIFECYCLE),
				 errmsg("%s %s cannot be created in state \"%s\"",
						machine->name, DocumentLabel(trigdata, tuple), toname),
				 errdetail("Allowed: %s.", allowed.data)));
	else
		ereport(ERROR,
				(errcode(ERRCODE_O2C_LIFECYCLE),
				 errmsg("%s %s cannot go from \"%s\" to \"%s\"",
						machine->name, DocumentLabel(trigdata, tuple), from, toname),
				 allowed.len ?
				 errdetail("Allowed from \"%s\": %s.", from, allowed.data) :
				 errdetail("\"%s\" is a final state.", from),
				 errhint("Call the function of the event; o2c.lifecycle lists every move.")));
}

/*
 * o2c_lifecycle_guard(machine): BEFORE INSERT OR UPDATE, for each row.
 * Raises O2010 for a move that the machine does not list.
 */
Datum
o2c_lifecycle_guard(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_lifecycle_guard");
	TupleDesc	desc = RelationGetDescr(trigdata->tg_relation);
	Guard	   *guard;
	HeapTuple	newtuple;
	Datum		newstate;
	bool		isnull;
	int			from;
	int			to;

	if (!TRIGGER_FIRED_BEFORE(trigdata->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigdata->tg_event))
		elog(ERROR, "o2c_lifecycle_guard must fire before each row");

	guard = GuardOf(trigdata);
	if (TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event))
	{
		Datum		oldstate = heap_getattr(trigdata->tg_trigtuple,
											guard->state_att, desc, &isnull);

		newtuple = trigdata->tg_newtuple;
		newstate = heap_getattr(newtuple, guard->state_att, desc, &isnull);
		if (isnull)
			return PointerGetDatum(newtuple);	/* NOT NULL refuses it */
		if (oldstate == newstate)
			return PointerGetDatum(newtuple);
		from = StateIndex(guard, DatumGetObjectId(oldstate));
		if (from < 0)
			elog(ERROR, "lifecycle \"%s\" does not know the present state",
				 guard->machine->name);
	}
	else
	{
		newtuple = trigdata->tg_trigtuple;
		newstate = heap_getattr(newtuple, guard->state_att, desc, &isnull);
		if (isnull)
			return PointerGetDatum(newtuple);
		from = MAX_STATES;
	}

	to = StateIndex(guard, DatumGetObjectId(newstate));
	if (to < 0 || (guard->permitted[from] & ((uint32) 1 << to)) == 0)
		RefuseMove(guard, trigdata, newtuple,
				   from == MAX_STATES ? NULL : guard->state_name[from], newstate);

	return PointerGetDatum(newtuple);
}

/* _lifecycle_event(machine, from, to): the event's name, or NULL. */
Datum
o2c_lifecycle_event(PG_FUNCTION_ARGS)
{
	const Machine *machine;
	const Move *move;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(2))
		PG_RETURN_NULL();
	machine = MachineByName(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	if (machine == NULL)
		PG_RETURN_NULL();
	move = MachineMove(machine,
					   PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1)),
					   text_to_cstring(PG_GETARG_TEXT_PP(2)));
	if (move == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(move->event));
}

/* lifecycle_moves(): every machine's moves, for the view o2c.lifecycle. */
Datum
o2c_lifecycle_moves(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	for (int m = 0; m < o2c_nmachines; m++)
	{
		for (int i = 0; i < o2c_machines[m].nmoves; i++)
		{
			const Move *move = &o2c_machines[m].moves[i];
			Datum		values[4];
			bool		nulls[4] = {false, move->from == NULL, false, false};

			values[0] = CStringGetTextDatum(o2c_machines[m].name);
			values[1] = move->from ? CStringGetTextDatum(move->from) : (Datum) 0;
			values[2] = CStringGetTextDatum(move->event);
			values[3] = CStringGetTextDatum(move->to);
			tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
		}
	}
	return (Datum) 0;
}
