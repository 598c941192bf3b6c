/*
 * compat.h
 *		The only place that tests PG_VERSION_NUM.
 *
 * order2cash builds against PostgreSQL 15 to 18.  Where an interface changed
 * between them, this file gives it one name that the rest of src/ uses.
 */
#ifndef O2C_COMPAT_H
#define O2C_COMPAT_H

#if PG_VERSION_NUM < 150000
#error "order2cash needs PostgreSQL 15 or later"
#endif

/* VARDATA_ANY and friends moved out of postgres.h in 16. */
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/*
 * Input functions report bad values softly from 16 on, so that
 * pg_input_is_valid() works; earlier they raise.
 */
#if PG_VERSION_NUM >= 160000
#include "nodes/miscnodes.h"
#define O2C_ERETURN(escontext, value, ...)	ereturn(escontext, value, __VA_ARGS__)
#else
#define O2C_ERETURN(escontext, value, ...) \
	do { \
		(void) (escontext); \
		ereport(ERROR, __VA_ARGS__); \
	} while (0)
#endif

/* PG_MODULE_MAGIC_EXT names the module and its version from 18 on. */
#if PG_VERSION_NUM >= 180000
#define O2C_MODULE_MAGIC \
	PG_MODULE_MAGIC_EXT(.name = "order2cash", .version = O2C_VERSION)
#else
#define O2C_MODULE_MAGIC PG_MODULE_MAGIC
#endif

/* Before 18, functions that never return said so after their declaration. */
#ifndef pg_noreturn
#define pg_noreturn pg_attribute_noreturn()
#endif

/* 18 asks whether a deferrable primary key will do; ours never are. */
#if PG_VERSION_NUM >= 180000
#define O2CPrimaryKeyIndex(rel)	RelationGetPrimaryKeyIndex(rel, false)
#else
#define O2CPrimaryKeyIndex(rel)	RelationGetPrimaryKeyIndex(rel)
#endif

/*
 * What is used of the executor to write rows.  From 16 on permissions, and with
 * them the columns of an UPDATE, stand apart from the range table, and summarizing
 * indexes may be updated alone; 15 reports a concurrent change in another way.
 */
#if PG_VERSION_NUM >= 160000
typedef TU_UpdateIndexes O2CUpdateIndexes;
#define O2C_ALL_INDEXES	TU_All
#define O2CAnyIndexes(which)	((which) != TU_None)
#define O2CInsertIndexTuples(result, slot, estate, update, which) \
	ExecInsertIndexTuples(result, slot, estate, update, false, NULL, NIL, (which) == TU_Summarizing)
#define O2CEvalPlanQualInit(epq, estate)	EvalPlanQualInit(epq, estate, NULL, NIL, -1, NIL)
#define O2CBeforeRowUpdate(estate, epq, result, tid, slot) \
	ExecBRUpdateTriggers(estate, epq, result, tid, NULL, slot, NULL, NULL)
#else
typedef bool O2CUpdateIndexes;
#define O2C_ALL_INDEXES	true
#define O2CAnyIndexes(which)	(which)
#define O2CInsertIndexTuples(result, slot, estate, update, which) \
	ExecInsertIndexTuples(result, slot, estate, update, false, NULL, NIL)
#define O2CEvalPlanQualInit(epq, estate)	EvalPlanQualInit(epq, estate, NULL, NIL, -1)
#define O2CBeforeRowUpdate(estate, epq, result, tid, slot) \
	ExecBRUpdateTriggers(estate, epq, result, tid, NULL, slot, NULL)
#endif

/* From 18 on a check may be stated and not enforced, and speak of columns that are not stored. */
#if PG_VERSION_NUM >= 180000
#define O2CVirtualColumns(constr)	((constr)->has_generated_virtual)
#define O2CCheckEnforced(check)	((check)->ccenforced)
#define O2C_CHECK_EXPRS	ri_CheckConstraintExprs
#else
#define O2CVirtualColumns(constr)	false
#define O2CCheckEnforced(check)	true
#define O2C_CHECK_EXPRS	ri_ConstraintExprs
#endif

#if PG_VERSION_NUM >= 180000
#define O2CIndexBeginScan(rel, index, snapshot, nkeys)	index_beginscan(rel, index, snapshot, NULL, nkeys, 0)
#define O2CInitRangeTable(estate, rte, columns) \
	do { \
		List	   *o2c_perms = NIL; \
		addRTEPermissionInfo(&o2c_perms, rte)->updatedCols = (columns); \
		ExecInitRangeTable(estate, list_make1(rte), o2c_perms, bms_make_singleton(1)); \
	} while (0)
#elif PG_VERSION_NUM >= 160000
#define O2CIndexBeginScan(rel, index, snapshot, nkeys)	index_beginscan(rel, index, snapshot, nkeys, 0)
#define O2CInitRangeTable(estate, rte, columns) \
	do { \
		List	   *o2c_perms = NIL; \
		addRTEPermissionInfo(&o2c_perms, rte)->updatedCols = (columns); \
		ExecInitRangeTable(estate, list_make1(rte), o2c_perms); \
	} while (0)
#else
#define O2CIndexBeginScan(rel, index, snapshot, nkeys)	index_beginscan(rel, index, snapshot, nkeys, 0)
#define O2CInitRangeTable(estate, rte, columns) \
	do { \
		(rte)->updatedCols = (columns); \
		ExecInitRangeTable(estate, list_make1(rte)); \
	} while (0)
#endif

/* TupleDescAttr is an inline function or a macro in all versions; attributes
 * of a descriptor must always be reached through it (18 hides the array). */

#endif							/* O2C_COMPAT_H */
