/*
 * lock.c
 *		Locking the accounts of many customers, and all that will be posted to.
 *
 * The order of locks is in docs/reference/order.md.  One statement that posts
 * keeps to it by itself: open items, documents, credit accounts.  A function that
 * posts in several statements would go back with the second: it calls
 * o2c._lock_posting() before the first.
 */
#include "o2c.h"

#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "credit/credit.h"

PG_FUNCTION_INFO_V1(o2c_credit_lock_posting);
PG_FUNCTION_INFO_V1(o2c_credit_unchanged_account);

/*
 * Run a statement made with CREDIT_LOCK.  Who was waited for may have changed
 * the currency of a limit, or who is above somebody: what is now to be locked
 * may come before what is.
 */
void
CreditLock(KeptPlan *lock, Datum *args, const char *nulls)
{
	bool		isnull;

	KeptPlanExecuteRow(lock, args, nulls, SPI_OK_SELECT);
	if (DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull)))
		RefuseChangedGroup();
}

/* What was read of accounts is no longer so. */
void
RefuseChangedGroup(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("the group or currency of a customer was changed at the same moment"),
			 errhint("Try the transaction again.")));
}

/* _unchanged_account(same): true, or the refusal; what CREDIT_APPLY asks of each row that it has locked. */
Datum
o2c_credit_unchanged_account(PG_FUNCTION_ARGS)
{
	if (!PG_GETARG_BOOL(0))
		RefuseChangedGroup();
	PG_RETURN_BOOL(true);
}

/* _lock_posting(company_id, item_ids, invoice_ids, customer_ids) */
Datum
o2c_credit_lock_posting(PG_FUNCTION_ARGS)
{
#define ARGUMENTS .nargs = 4, .argtypes = {INT4OID, INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID}
	static KeptPlan visible = {.sql = "SELECT o2c._require_company($1)", ARGUMENTS};
	/* each by its key, in order: without statistics a join would compare all with all */
	static KeptPlan items = {
		.sql = "SELECT count(*) FROM (SELECT unnest($2) AS id UNION SELECT x.id FROM unnest($3) v(id)"
		"  CROSS JOIN LATERAL (SELECT o.id FROM o2c.open_item o WHERE o.company_id = $1 AND o.invoice_id = v.id OFFSET 0) x"
		"  ORDER BY id OFFSET 0) d CROSS JOIN LATERAL"
		" (SELECT FROM o2c.open_item i WHERE i.company_id = $1 AND i.id = d.id FOR NO KEY UPDATE) i",
		ARGUMENTS
	};
	static KeptPlan invoices = {
		.sql = "SELECT count(*) FROM (SELECT unnest($3) AS id UNION SELECT x.invoice_id FROM unnest($2) i(id)"
		"  CROSS JOIN LATERAL (SELECT o.invoice_id FROM o2c.open_item o WHERE o.company_id = $1 AND o.id = i.id OFFSET 0) x"
		"  ORDER BY id OFFSET 0) d CROSS JOIN LATERAL"
		" (SELECT FROM o2c.invoice v WHERE v.company_id = $1 AND v.id = d.id FOR NO KEY UPDATE) v",
		ARGUMENTS
	};
	static KeptPlan accounts = {
		.sql = CREDIT_LOCK("SELECT $1, x.id FROM (SELECT unnest($4) AS id"
						   " UNION SELECT o.customer_id FROM unnest($2) i(id) CROSS JOIN LATERAL"
						   "  (SELECT t.customer_id FROM o2c.open_item t WHERE t.company_id = $1 AND t.id = i.id OFFSET 0) o"
						   " UNION SELECT o.customer_id FROM unnest($3) v(id) CROSS JOIN LATERAL"
						   "  (SELECT t.customer_id FROM o2c.invoice t WHERE t.company_id = $1 AND t.id = v.id OFFSET 0) o) x"
						   " WHERE x.id IS NOT NULL"),
		ARGUMENTS
	};
#undef ARGUMENTS
	Datum		args[4];
	char		nulls[5] = "    ";
	Relation	rel;
	OwnerFrame	frame;

	for (int i = 0; i < 4; i++)
	{
		args[i] = PG_GETARG_DATUM(i);
		nulls[i] = PG_ARGISNULL(i) ? 'n' : ' ';
	}
	/* with the caller's own rights, before those of the tables' owner */
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	KeptPlanExecuteRow(&visible, args, nulls, SPI_OK_SELECT);
	SPI_finish();

	rel = table_open(get_relname_relid("credit_account", get_namespace_oid("o2c", false)), AccessShareLock);
	OwnerFrameBegin(&frame, rel);
	KeptPlanExecuteRow(&items, args, nulls, SPI_OK_SELECT);
	KeptPlanExecuteRow(&invoices, args, nulls, SPI_OK_SELECT);
	CreditLock(&accounts, args, nulls);
	OwnerFrameEnd(&frame);
	table_close(rel, NoLock);
	PG_RETURN_VOID();
}
