/*
 * order2cash.c
 *		Module magic, _PG_init and settings: nothing else.
 */
#include "o2c.h"

#include "miscadmin.h"
#include "utils/guc.h"

O2C_MODULE_MAGIC;

void		_PG_init(void);

char	   *o2c_reason = NULL;

/* Define settings and, when preloaded, register the launcher. */
void
_PG_init(void)
{
	DefineCustomStringVariable("order2cash.reason",
							   "Reason noted in the event log with changes of state.",
							   "API functions set it for the transaction; a direct UPDATE may set it too.",
							   &o2c_reason,
							   "",
							   PGC_USERSET,
							   0,
							   NULL, NULL, NULL);

	MarkGUCPrefixReserved("order2cash");
}
