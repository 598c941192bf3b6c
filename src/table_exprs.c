/*
 * table_exprs.c
 *		Constraints and defaults of tables, read and planned once.
 *
 * The executor does so for every statement, which for one row costs more than
 * the row.  A table writer copies what it uses.
 */
#include "table_exprs.h"

#include "executor/executor.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "rewrite/rewriteHandler.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#define MAX_TABLES 8

static TableExprs tables[MAX_TABLES];

static void
ForgetRelation(Datum arg, Oid relid)
{
	for (int i = 0; i < MAX_TABLES; i++)
		if (relid == InvalidOid || tables[i].relid == relid)
			tables[i].valid = false;
}

/* A function that was inlined may have changed. */
static void
ForgetFunction(Datum arg, int cacheid, uint32 hash)
{
	ForgetRelation(arg, InvalidOid);
}

/* Constraints and defaults of a table; copy what is used of them. */
TableExprs *
TableExprsOf(Relation rel)
{
	static bool registered = false;
	static int	next = 0;
	TableExprs *exprs = NULL;
	TupleDesc	desc = RelationGetDescr(rel);
	MemoryContext context;
	MemoryContext before;

	for (int i = 0; i < MAX_TABLES && exprs == NULL; i++)
		if (tables[i].relid == RelationGetRelid(rel))
			exprs = &tables[i];
	if (exprs != NULL && exprs->valid && exprs->context != NULL)
		return exprs;
	if (exprs == NULL)
	{
		exprs = &tables[next];
		next = (next + 1) % MAX_TABLES;
	}
	if (!registered)
	{
		CacheRegisterRelcacheCallback(ForgetRelation, (Datum) 0);
		CacheRegisterSyscacheCallback(PROCOID, ForgetFunction, (Datum) 0);
		registered = true;
	}
	if (exprs->context != NULL)
		MemoryContextDelete(exprs->context);
	memset(exprs, 0, sizeof(TableExprs));

	context = AllocSetContextCreate(CurrentMemoryContext, "o2c table expressions", ALLOCSET_SMALL_SIZES);
	before = MemoryContextSwitchTo(context);
	/* what changes while the expressions are planned makes them invalid again */
	exprs->relid = RelationGetRelid(rel);
	exprs->valid = true;
	exprs->nchecks = desc->constr && !O2CVirtualColumns(desc->constr) ? desc->constr->num_check : 0;
	exprs->checks = palloc0(sizeof(Expr *) * Max(exprs->nchecks, 1));
	for (int i = 0; i < exprs->nchecks; i++)
		if (O2CCheckEnforced(&desc->constr->check[i]))
			exprs->checks[i] = expression_planner(stringToNode(desc->constr->check[i].ccbin));
	exprs->defaults = palloc0(sizeof(Expr *) * desc->natts);
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attr = TupleDescAttr(desc, i);
		Expr	   *expr = NULL;

		if (!attr->attisdropped && (!attr->attgenerated || attr->attgenerated == ATTRIBUTE_GENERATED_STORED))
			expr = (Expr *) build_column_default(rel, attr->attnum);
		if (expr != NULL)
			exprs->defaults[i] = expression_planner(expr);
	}
	MemoryContextSwitchTo(before);
	MemoryContextSetParent(context, CacheMemoryContext);
	exprs->context = context;
	return exprs;
}

/* Give the executor the constraints, which it would read from the catalog. */
void
TableExprsCheck(ResultRelInfo *result, const TableExprs *exprs)
{
	ExprState **states;

	if (exprs->nchecks == 0)
		return;
	states = palloc0(sizeof(ExprState *) * exprs->nchecks);
	for (int i = 0; i < exprs->nchecks; i++)
		if (exprs->checks[i] != NULL)
			states[i] = ExecInitExpr(copyObject(exprs->checks[i]), NULL);
	result->O2C_CHECK_EXPRS = states;
}
