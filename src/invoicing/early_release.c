/*
 * early_release.c
 *		Letting a series go before its commit record is flushed.
 *
 * Whoever draws from a gapless series holds its row until the transaction
 * ends, and most of a short commit is the wait for the disk.  For a series
 * that says so, the commit record is written but not flushed, the locks go,
 * and then, before the client is answered, the backend flushes up to its own
 * commit record and waits for synchronous standbys as synchronous_commit
 * says.  A crash in between takes the transaction back as if it had never
 * been; every later number is behind it in the same log, so none of those can
 * survive it: the series stays without gaps.  What changes is only that
 * another session may see the rows of a transaction that a crash can still
 * take back, as with any asynchronous commit.
 *
 * How: just before the commit record is written the backend sets its own
 * synchronous_commit to off, and makes up for it when the locks are gone.
 * CommitTransaction() holds interrupts all the while.  A prepared transaction
 * is left alone: its locks stay until COMMIT PREPARED.
 */
#include "o2c.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "invoicing/numbering.h"
#include "replication/syncrep.h"
#include "utils/resowner.h"

bool		o2c_credit_early_release = true;

/* What this transaction asked for, and the setting that was put aside. */
static bool requested = false;
static bool set_aside = false;
static int	setting;

/* Put the setting back. */
static void
Restore(void)
{
	if (set_aside)
		synchronous_commit = setting;
	set_aside = false;
}

/* Set the flush aside just before the commit record is written. */
static void
EarlyReleaseXact(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			if (requested && synchronous_commit > SYNCHRONOUS_COMMIT_OFF)
			{
				setting = synchronous_commit;
				set_aside = true;
				synchronous_commit = SYNCHRONOUS_COMMIT_OFF;
			}
			requested = false;
			break;
		case XACT_EVENT_ABORT:
			/* an error after PRE_COMMIT, or before it */
			Restore();
			requested = false;
			break;
		case XACT_EVENT_PRE_PREPARE:
		case XACT_EVENT_PREPARE:
			requested = false;
			break;
		default:
			break;
	}
}

/* All locks of a committed transaction are gone: now make it durable. */
static void
EarlyReleaseDurable(ResourceReleasePhase phase, bool isCommit, bool isTopLevel, void *arg)
{
	if (!set_aside || !isCommit || !isTopLevel || phase != RESOURCE_RELEASE_AFTER_LOCKS)
		return;
	Restore();
	XLogFlush(XactLastCommitEnd);
	SyncRepWaitForLSN(XactLastCommitEnd, true);
}

/* Let this transaction's locks go before its commit record is flushed. */
void
RequestEarlyRelease(void)
{
	static bool registered = false;

	if (!registered)
	{
		RegisterXactCallback(EarlyReleaseXact, NULL);
		RegisterResourceReleaseCallback(EarlyReleaseDurable, NULL);
		registered = true;
	}
	requested = true;
}

/*
 * The same for credit accounts, when order2cash.credit_early_release says so.
 * Not with synchronous standbys, whose word a reader may rely on.
 */
void
RequestEarlyReleaseOfCredit(void)
{
	if (o2c_credit_early_release &&
		(SyncRepStandbyNames == NULL || SyncRepStandbyNames[0] == '\0'))
		RequestEarlyRelease();
}
