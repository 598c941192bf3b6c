/*
 * keys.c
 *		Keeps o2c.match_key in step with the open items.
 *
 * o2c_cash_keep_keys is an AFTER trigger of o2c.open_item: for each INSERT
 * statement, and for each row whose number or references are changed.  Keys
 * of settled items stay, so that a second payment of the same document is
 * seen as such.
 */
#include "o2c.h"

#include "catalog/pg_type.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(o2c_cash_keep_keys);

#define KEYS_OF(rows) \
	"INSERT INTO o2c.match_key (company_id, key, item_id)" \
	" SELECT DISTINCT n.company_id, k.key, n.id FROM " rows " n CROSS JOIN LATERAL" \
	" (VALUES (o2c._document_key(n.number)), (o2c._document_digits(n.number))," \
	"  (o2c._document_key(n.alt_number)), (o2c._document_digits(n.alt_number))," \
	"  (o2c._reference_key(n.structured_ref))) k(key)" \
	" WHERE k.key <> 0 AND n.kind NOT IN ('on_account', 'unidentified')"

/* _keep_match_keys(): AFTER INSERT statement (new_rows), or AFTER UPDATE row. */
Datum
o2c_cash_keep_keys(PG_FUNCTION_ARGS)
{
	static KeptPlan inserted = {.sql = KEYS_OF("new_rows")};
	static KeptPlan changed = {
		.sql = KEYS_OF("o2c.open_item")
		" AND n.company_id = $1 AND n.id = $2 ON CONFLICT DO NOTHING",
		.nargs = 2,
		.argtypes = {INT4OID, INT8OID}
	};
	TriggerData *trigdata = TriggerDataOf(fcinfo, "_keep_match_keys");
	TriggerFrame frame;

	TriggerFrameBegin(&frame, trigdata);
	if (TRIGGER_FIRED_FOR_ROW(trigdata->tg_event))
	{
		TupleDesc	desc = RelationGetDescr(trigdata->tg_relation);
		bool		isnull;
		Datum		args[2];

		args[0] = SPI_getbinval(trigdata->tg_newtuple, desc, SPI_fnumber(desc, "company_id"), &isnull);
		args[1] = SPI_getbinval(trigdata->tg_newtuple, desc, SPI_fnumber(desc, "id"), &isnull);
		KeptPlanExecute(&changed, args, NULL, SPI_OK_INSERT);
	}
	else
		KeptPlanExecute(&inserted, NULL, NULL, SPI_OK_INSERT);
	TriggerFrameEnd(&frame);
	return PointerGetDatum(NULL);
}
