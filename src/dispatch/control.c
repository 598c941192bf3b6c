/*
 * control.c
 *		What SQL asks of the worker's shared memory.
 */
#include "o2c.h"

#include "access/htup_details.h"
#include "access/xlog.h"
#include "commands/dbcommands.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "dispatch/dispatch.h"

PG_FUNCTION_INFO_V1(o2c_dispatch_identity);
PG_FUNCTION_INFO_V1(o2c_dispatch_slot);

/* _database_identity(): what a copy of this database does not share. */
Datum
o2c_dispatch_identity(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(psprintf(UINT64_FORMAT "/%u/%s",
											  GetSystemIdentifier(), MyDatabaseId,
											  get_database_name(MyDatabaseId))));
}

/* _dispatcher_slot(): the slot of this database as a row. */
Datum
o2c_dispatch_slot(PG_FUNCTION_ARGS)
{
	static const char *const names[] = {
		"starting", "running", "not installed", "not armed", "paused", "failed"
	};
	DispatchShared *shared = DispatchMemory();
	DispatchSlot copy;
	bool		found = false;
	TupleDesc	desc;
	Datum		values[7] = {0};
	bool		nulls[7] = {false, true, true, true, true, true, true};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (shared != NULL)
	{
		DispatchSlot *slot;

		LWLockAcquire(shared->lock, LW_SHARED);
		slot = DispatchSlotOf(MyDatabaseId, false);
		if (slot != NULL)
		{
			copy = *slot;
			found = true;
		}
		LWLockRelease(shared->lock);
	}
	if (!found)
		values[0] = CStringGetTextDatum(shared == NULL ? "not preloaded" : "not served");
	else
	{
		values[0] = CStringGetTextDatum(names[copy.state]);
		if (copy.pid != 0)
		{
			values[1] = Int32GetDatum(copy.pid);
			values[2] = TimestampTzGetDatum(copy.started_at);
			values[3] = Int32GetDatum(copy.in_flight);
			values[4] = Int32GetDatum(copy.claimed);
			values[5] = Int64GetDatum((int64) copy.sent);
			values[6] = Int64GetDatum((int64) copy.failed);
			memset(nulls, false, sizeof(nulls));
		}
	}
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
