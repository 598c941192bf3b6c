/*
 * table_exprs.h
 *		Constraints and defaults of tables, read and planned once.
 */
#ifndef O2C_TABLE_EXPRS_H
#define O2C_TABLE_EXPRS_H

#include "o2c.h"

#include "nodes/execnodes.h"

typedef struct TableExprs
{
	Oid			relid;
	bool		valid;
	MemoryContext context;		/* NULL: not complete */
	int			nchecks;
	Expr	  **checks;			/* NULL: not enforced */
	Expr	  **defaults;		/* by attribute, generated columns too; NULL: none */
} TableExprs;

extern TableExprs *TableExprsOf(Relation rel);
extern void TableExprsCheck(ResultRelInfo *result, const TableExprs *exprs);

#endif							/* O2C_TABLE_EXPRS_H */
