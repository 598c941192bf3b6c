/*
 * order2cash.c
 *		Module magic, _PG_init and settings: nothing else.
 */
#include "o2c.h"

#include "miscadmin.h"
#include "utils/guc.h"

#include "dispatch/dispatch.h"
#include "invoicing/numbering.h"

O2C_MODULE_MAGIC;

void		_PG_init(void);

char	   *o2c_reason = NULL;
char	   *o2c_databases = NULL;
int			o2c_dispatch_concurrency = 64;
int			o2c_dispatch_batch = 500;
int			o2c_dispatch_lease = 60;
char	   *o2c_dispatch_allowed_hosts = NULL;
int			o2c_message_max_size = 10240;
char	   *o2c_secrets_file = NULL;
char	   *o2c_dispatch_ca_file = NULL;

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

	DefineCustomBoolVariable("order2cash.credit_early_release",
							 "Lets credit accounts go before the commit record of a confirmation is flushed.",
							 "The client is answered only when it is durable; without effect when there are synchronous standbys.",
							 &o2c_credit_early_release,
							 true,
							 PGC_USERSET,
							 0,
							 NULL, NULL, NULL);

	DefineCustomStringVariable("order2cash.databases",
							   "Databases whose messages the dispatcher sends, separated by commas.",
							   "Needs order2cash in shared_preload_libraries.",
							   &o2c_databases,
							   "",
							   PGC_SIGHUP,
							   GUC_LIST_INPUT,
							   NULL, NULL, NULL);

	DefineCustomIntVariable("order2cash.dispatch_batch",
							"Most messages that the dispatcher claims or records at once.",
							NULL,
							&o2c_dispatch_batch,
							500, 1, 10000,
							PGC_SIGHUP,
							0,
							NULL, NULL, NULL);

	DefineCustomIntVariable("order2cash.dispatch_concurrency",
							"Most transfers that a dispatcher has open at once.",
							"Channels that have few open always get a few more, up to four times this number.",
							&o2c_dispatch_concurrency,
							64, 1, 1024,
							PGC_SIGHUP,
							0,
							NULL, NULL, NULL);

	DefineCustomIntVariable("order2cash.dispatch_lease",
							"How long a claimed message belongs to its dispatcher; renewed while it works.",
							NULL,
							&o2c_dispatch_lease,
							60, 5, 3600,
							PGC_SIGHUP,
							GUC_UNIT_S,
							NULL, NULL, NULL);

	DefineCustomStringVariable("order2cash.dispatch_allowed_hosts",
							   "Hosts that channels may name: names, *.domains, addresses, networks, each with an optional :port.",
							   "Empty allows every host except link-local addresses.",
							   &o2c_dispatch_allowed_hosts,
							   "",
							   PGC_SIGHUP,
							   0,
							   NULL, NULL, NULL);

	DefineCustomStringVariable("order2cash.dispatch_ca_file",
							   "File of certificate authorities that peers are verified with; empty uses the system's.",
							   NULL,
							   &o2c_dispatch_ca_file,
							   "",
							   PGC_SIGHUP,
							   GUC_SUPERUSER_ONLY,
							   NULL, NULL, NULL);

	DefineCustomIntVariable("order2cash.message_max_size",
							"Largest text of a message, and largest sum of its attachments.",
							NULL,
							&o2c_message_max_size,
							10240, 1, 262144,
							PGC_SIGHUP,
							GUC_UNIT_KB,
							NULL, NULL, NULL);

	DefineCustomStringVariable("order2cash.secrets_file",
							   "File with lines \"name = value\", of mode 0600, that channels' settings name secrets from.",
							   NULL,
							   &o2c_secrets_file,
							   "",
							   PGC_SIGHUP,
							   GUC_SUPERUSER_ONLY,
							   NULL, NULL, NULL);

	MarkGUCPrefixReserved("order2cash");

	if (process_shared_preload_libraries_in_progress)
	{
		DispatchInit();
		SeriesLockInit();
	}
}
