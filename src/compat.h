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

/* Which indexes must follow an update: yes or no before 16, which kind from then on. */
#if PG_VERSION_NUM >= 160000
#define O2CUpdateIndexes	TU_UpdateIndexes
#define O2CInsertIndexTuples(info, slot, estate, which) \
	ExecInsertIndexTuples(info, slot, estate, true, false, NULL, NIL, (which) == TU_Summarizing)
#else
#define O2CUpdateIndexes	bool
#define O2CInsertIndexTuples(info, slot, estate, which) \
	ExecInsertIndexTuples(info, slot, estate, true, false, NULL, NIL)
#endif

/* TupleDescAttr is an inline function or a macro in all versions; attributes
 * of a descriptor must always be reached through it (18 hides the array). */

#endif							/* O2C_COMPAT_H */
