/*
 * journal.c
 *		Journal documents balance at commit.
 */
#include "o2c.h"

#include "catalog/pg_type.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(o2c_check_journal_balance);

/*
 * o2c_check_journal_balance(): deferred constraint trigger AFTER INSERT ON
 * journal_line, for each row.  Debits and credits of the row's document are
 * equal when the transaction ends (O2034).
 */
Datum
o2c_check_journal_balance(PG_FUNCTION_ARGS)
{
	static KeptPlan sums = {
		.sql = "SELECT pg_catalog.sum(l.base_debit), pg_catalog.sum(l.base_credit) FROM o2c.journal_line l"
		" WHERE l.company_id = $1 AND l.document_id = $2"
		" HAVING pg_catalog.sum(l.base_debit) <> pg_catalog.sum(l.base_credit)",
		.nargs = 2,
		.argtypes = {INT4OID, INT8OID}
	};
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_check_journal_balance");
	TupleDesc	desc = RelationGetDescr(trigdata->tg_relation);
	TriggerFrame frame;
	Datum		args[2];
	bool		isnull;

	TriggerFrameBegin(&frame, trigdata);
	args[0] = SPI_getbinval(trigdata->tg_trigtuple, desc, SPI_fnumber(desc, "company_id"), &isnull);
	args[1] = SPI_getbinval(trigdata->tg_trigtuple, desc, SPI_fnumber(desc, "document_id"), &isnull);
	if (KeptPlanExecute(&sums, args, NULL, SPI_OK_SELECT) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_O2C_UNBALANCED),
				 errmsg("journal document %lld does not balance", (long long) DatumGetInt64(args[1])),
				 errdetail("Debits are %s, credits %s.",
						   SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1),
						   SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2)),
				 errhint("Insert all lines of a document in one transaction.")));
	TriggerFrameEnd(&frame);
	return PointerGetDatum(NULL);
}
