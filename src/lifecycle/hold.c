/*
 * hold.c
 *		Who may lift a hold, whatever the statement.
 *
 * A hold is released by a member of its release_role, or of o2c_manager when
 * it names none; anybody may note that one has lapsed.  Released is for ever.
 */
#include "o2c.h"

#include "access/htup_details.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(o2c_hold_guard);

/* Column of a row. */
static Datum
Column(HeapTuple tuple, TupleDesc desc, const char *name, bool *isnull)
{
	return SPI_getbinval(tuple, desc, SPI_fnumber(desc, name), isnull);
}

/* o2c_hold_guard(): BEFORE UPDATE ON hold, for each row. */
Datum
o2c_hold_guard(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_hold_guard");
	TupleDesc	desc = RelationGetDescr(trigdata->tg_relation);
	HeapTuple	old = trigdata->tg_trigtuple;
	const char *role = "o2c_manager";
	bool		isnull;
	Datum		value;
	Oid			roleid;

	(void) Column(old, desc, "released_at", &isnull);
	if (!isnull)
		ereport(ERROR,
				(errcode(ERRCODE_O2C_IMMUTABLE),
				 errmsg("a hold that was released cannot be changed"),
				 errhint("Place a further hold with o2c.hold_order().")));

	value = Column(old, desc, "expires_at", &isnull);
	if (!isnull && DatumGetTimestampTz(value) <= GetCurrentTransactionStartTimestamp())
		return PointerGetDatum(trigdata->tg_newtuple);

	value = Column(old, desc, "release_role", &isnull);
	if (!isnull)
		role = NameStr(*DatumGetName(value));
	roleid = get_role_oid(role, true);
	if (!OidIsValid(roleid) ? !superuser() : !has_privs_of_role(GetUserId(), roleid))
		ereport(ERROR,
				(errcode(ERRCODE_O2C_NOT_ALLOWED),
				 errmsg("you may not release the hold \"%s\"",
						TextDatumGetCString(Column(old, desc, "reason", &isnull))),
				 errdetail("It takes a member of role %s.", role)));
	return PointerGetDatum(trigdata->tg_newtuple);
}
