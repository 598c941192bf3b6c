/*
 * issue.c
 *		The one way from draft to issued.
 *
 * o2c._issue() runs o2c._issue_drafts(), which checks, updates and posts in a
 * few statements, and says so to the guard of invoices: no other statement
 * takes a draft to "issued", so none is issued unchecked, without its open
 * items or with a number of its own.  At the end it numbers what still waits
 * for a number and does not draw it at commit.
 */
#include "o2c.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "invoicing/numbering.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(o2c_invoice_issue);
PG_FUNCTION_INFO_V1(o2c_invoice_settle_nothing);

bool		o2c_issuing = false;

/* _issue(company, ids, on_date) */
Datum
o2c_invoice_issue(PG_FUNCTION_ARGS)
{
	static KeptPlan issue = {
		.sql = "SELECT o2c._issue_drafts($1, $2, $3)",
		.nargs = 3,
		.argtypes = {INT4OID, INT8ARRAYOID, DATEOID}
	};
	bool		save = o2c_issuing;
	Datum		args[3];
	char		nulls[4] = "   ";
	Relation	invoice;

	for (int i = 0; i < 3; i++)
	{
		args[i] = PG_GETARG_DATUM(i);
		nulls[i] = PG_ARGISNULL(i) ? 'n' : ' ';
	}
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	o2c_issuing = true;
	PG_TRY();
	{
		(void) KeptPlanExecuteRow(&issue, args, nulls, SPI_OK_SELECT);
	}
	PG_FINALLY();
	{
		o2c_issuing = save;
	}
	PG_END_TRY();
	SPI_finish();

	invoice = table_open(get_relname_relid("invoice", get_namespace_oid("o2c", false)),
						 RowExclusiveLock);
	NumberPending(invoice, false);
	table_close(invoice, NoLock);
	PG_RETURN_VOID();
}

/* _settle_nothing(company, ids): issued with nothing to pay is paid. */
Datum
o2c_invoice_settle_nothing(PG_FUNCTION_ARGS)
{
	static KeptPlan settle = {
		.sql = "UPDATE o2c.invoice SET state = 'paid' WHERE company_id = $1 AND id = ANY ($2)"
		" AND payable_amount = 0 AND state = 'issued'",
		.nargs = 2,
		.argtypes = {INT4OID, INT8ARRAYOID}
	};
	Datum		args[2];

	if (!o2c_issuing)
		PG_RETURN_VOID();
	args[0] = PG_GETARG_DATUM(0);
	args[1] = PG_GETARG_DATUM(1);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	(void) KeptPlanExecuteDerived(&settle, args, NULL, SPI_OK_UPDATE);
	SPI_finish();
	PG_RETURN_VOID();
}
