/*
 * outbox.c
 *		Triggers of the outbox, and waking the dispatcher at commit.
 *
 * o2c.message_queue follows o2c.message: it holds what waits, by lane and due
 * time, and what is uncertain, due at infinity.
 *
 * What can never be sent is refused when it is written: a recipient that the
 * channel cannot reach, a message or attachment over the cap.  A transaction
 * that queued something sets the dispatcher's latch once it has committed.
 */
#include "o2c.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/rel.h"

#include "dispatch/dispatch.h"

PG_FUNCTION_INFO_V1(o2c_dispatch_message_queued);
PG_FUNCTION_INFO_V1(o2c_dispatch_message_moved);
PG_FUNCTION_INFO_V1(o2c_dispatch_message_attached);
PG_FUNCTION_INFO_V1(o2c_dispatch_event_subscriptions);
PG_FUNCTION_INFO_V1(o2c_dispatch_wake);

/* The dispatcher's own statement keeps the queue itself. */
bool		DispatchKeepsQueue = false;

static bool wake_worker = false;
static bool wake_launcher = false;

/* After commit: set the latches that the transaction asked for. */
static void
WakeCallback(XactEvent event, void *arg)
{
	if (!wake_worker && !wake_launcher)
		return;
	if (event == XACT_EVENT_COMMIT)
	{
		DispatchShared *shared = DispatchMemory();

		if (shared != NULL)
		{
			DispatchSlot *slot;

			LWLockAcquire(shared->lock, LW_SHARED);
			slot = DispatchSlotOf(MyDatabaseId, false);
			if (slot != NULL)
			{
				slot->woken = true;
				if (slot->latch != NULL)
					SetLatch(slot->latch);
			}
			if (wake_launcher && shared->launcher_latch != NULL)
				SetLatch(shared->launcher_latch);
			LWLockRelease(shared->lock);
		}
	}
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT ||
		event == XACT_EVENT_PREPARE)
		wake_worker = wake_launcher = false;
}

/* Wake the dispatcher of this database (and the launcher) at commit. */
void
DispatchWakeAtCommit(bool launcher)
{
	static bool registered = false;

	if (!registered)
	{
		RegisterXactCallback(WakeCallback, NULL);
		registered = true;
	}
	wake_worker = true;
	wake_launcher |= launcher;
}

/* _wake_dispatcher(): for functions that change what the worker must see. */
Datum
o2c_dispatch_wake(PG_FUNCTION_ARGS)
{
	DispatchWakeAtCommit(true);
	PG_RETURN_VOID();
}

/* The first row of the last SPI result, as text; NULL for SQL NULL. */
static char *
ResultText(int column)
{
	return SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column);
}

/*
 * o2c_dispatch_message_queued(): AFTER INSERT ON message, REFERENCING NEW
 * TABLE new_rows.  Raises O2071 for a recipient that the channel cannot reach
 * and for a message over order2cash.message_max_size.
 */
Datum
o2c_dispatch_message_queued(PG_FUNCTION_ARGS)
{
	static KeptPlan first_bad = {
		.sql = "SELECT n.id, c.code, c.kind, n.recipient, o2c._is_recipient(c.kind, n.recipient)"
		" FROM new_rows n JOIN o2c.channel c ON c.company_id = n.company_id AND c.code = n.channel"
		" WHERE NOT o2c._is_recipient(c.kind, n.recipient)"
		"  OR coalesce(octet_length(n.subject), 0) + coalesce(octet_length(n.body_text), 0)"
		"   + coalesce(octet_length(n.body_html), 0) > $1"
		" LIMIT 1",
		.nargs = 1,
		.argtypes = {INT4OID}
	};
	static KeptPlan queue = {
		.sql = "INSERT INTO o2c.message_queue (company_id, channel, priority, due, message_id)"
		" SELECT n.company_id, n.channel, n.priority, n.next_attempt_at, n.id"
		" FROM new_rows n WHERE n.state IN ('queued', 'retry')"
	};
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_dispatch_message_queued");
	TriggerFrame frame;
	Datum		args[1];

	TriggerFrameBegin(&frame, trigdata);
	args[0] = Int32GetDatum(o2c_message_max_size * 1024);
	if (KeptPlanExecute(&first_bad, args, NULL, SPI_OK_SELECT) > 0)
	{
		char	   *code = ResultText(2);
		char	   *kind = ResultText(3);
		char	   *recipient = ResultText(4);

		if (strcmp(ResultText(5), "f") != 0)
			ereport(ERROR,
					(errcode(ERRCODE_O2C_CHANNEL),
					 errmsg("message for channel \"%s\" is too large", code),
					 errdetail("order2cash.message_max_size is %d kB.", o2c_message_max_size)));
		if (recipient == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_O2C_CHANNEL),
					 errmsg("message for channel \"%s\" has no recipient", code),
					 errdetail("A channel of kind \"%s\" needs one.", kind)));
		ereport(ERROR,
				(errcode(ERRCODE_O2C_CHANNEL),
				 errmsg("channel \"%s\" cannot reach the recipient", code),
				 errdetail("\"%.100s\" is not an address of kind \"%s\".", recipient, kind)));
	}
	(void) KeptPlanExecute(&queue, NULL, NULL, SPI_OK_INSERT);
	TriggerFrameEnd(&frame);
	DispatchWakeAtCommit(false);
	return PointerGetDatum(NULL);
}

/* What of a transition table the queue has: its whole key. */
#define QUEUE_KEYS(rows) \
	"SELECT company_id, channel, priority," \
	" CASE WHEN state = 'uncertain' THEN 'infinity' ELSE next_attempt_at END AS due, id" \
	" FROM " rows " WHERE state IN ('queued', 'retry', 'uncertain')"

#define QUEUE_REMOVE(gone) \
	"DELETE FROM o2c.message_queue q USING (" gone ") o" \
	" WHERE q.company_id = o.company_id AND q.channel = o.channel AND q.priority = o.priority" \
	"  AND q.due = o.due AND q.message_id = o.id"

/*
 * o2c_dispatch_message_moved(): AFTER UPDATE ON message, REFERENCING OLD TABLE
 * old_rows NEW TABLE new_rows, and AFTER DELETE with old_rows.  The row locks
 * of the statement on the messages serialise what is done to their queue rows.
 */
Datum
o2c_dispatch_message_moved(PG_FUNCTION_ARGS)
{
	static KeptPlan gone = {
		.sql = QUEUE_REMOVE(QUEUE_KEYS("old_rows") " EXCEPT " QUEUE_KEYS("new_rows"))
	};
	static KeptPlan come = {
		.sql = "INSERT INTO o2c.message_queue (company_id, channel, priority, due, message_id) "
		QUEUE_KEYS("new_rows") " EXCEPT " QUEUE_KEYS("old_rows")
	};
	static KeptPlan removed = {
		.sql = QUEUE_REMOVE(QUEUE_KEYS("old_rows"))
	};
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_dispatch_message_moved");
	TriggerFrame frame;

	if (DispatchKeepsQueue)
		return PointerGetDatum(NULL);
	TriggerFrameBegin(&frame, trigdata);
	if (TRIGGER_FIRED_BY_DELETE(trigdata->tg_event))
		(void) KeptPlanExecute(&removed, NULL, NULL, SPI_OK_DELETE);
	else
	{
		(void) KeptPlanExecute(&gone, NULL, NULL, SPI_OK_DELETE);
		if (KeptPlanExecute(&come, NULL, NULL, SPI_OK_INSERT) > 0)
			DispatchWakeAtCommit(false);
	}
	TriggerFrameEnd(&frame);
	return PointerGetDatum(NULL);
}

/*
 * o2c_dispatch_message_attached(): AFTER INSERT ON message_attachment,
 * REFERENCING NEW TABLE new_rows.  Raises O2071 when a message's attachments
 * exceed order2cash.message_max_size together, or when it has left the queue.
 */
Datum
o2c_dispatch_message_attached(PG_FUNCTION_ARGS)
{
	static KeptPlan first_bad = {
		.sql = "SELECT m.id, m.state::text FROM (SELECT DISTINCT company_id, message_id FROM new_rows) n"
		" JOIN o2c.message m ON m.company_id = n.company_id AND m.id = n.message_id"
		" WHERE m.state <> 'queued'"
		"  OR (SELECT sum(octet_length(a.content)) FROM o2c.message_attachment a"
		"   WHERE a.company_id = n.company_id AND a.message_id = n.message_id) > $1"
		" LIMIT 1",
		.nargs = 1,
		.argtypes = {INT4OID}
	};
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_dispatch_message_attached");
	TriggerFrame frame;
	Datum		args[1];

	TriggerFrameBegin(&frame, trigdata);
	args[0] = Int32GetDatum(o2c_message_max_size * 1024);
	if (KeptPlanExecute(&first_bad, args, NULL, SPI_OK_SELECT) > 0)
	{
		char	   *id = ResultText(1);
		char	   *state = ResultText(2);

		if (strcmp(state, "queued") != 0)
			ereport(ERROR,
					(errcode(ERRCODE_O2C_CHANNEL),
					 errmsg("message %s takes no more attachments", id),
					 errdetail("It is \"%s\".", state)));
		ereport(ERROR,
				(errcode(ERRCODE_O2C_CHANNEL),
				 errmsg("attachments of message %s are too large", id),
				 errdetail("order2cash.message_max_size is %d kB.", o2c_message_max_size)));
	}
	TriggerFrameEnd(&frame);
	return PointerGetDatum(NULL);
}

/*
 * o2c_dispatch_event_subscriptions(): AFTER INSERT ON event, REFERENCING NEW
 * TABLE new_rows.  Most events interest nobody: one probe, and only when a
 * subscription fits, the statement that queues.
 */
Datum
o2c_dispatch_event_subscriptions(PG_FUNCTION_ARGS)
{
	static KeptPlan wanted = {
		.sql = "SELECT 1 FROM new_rows n JOIN o2c.event_subscription s"
		" ON s.company_id = n.company_id AND s.entity = n.entity AND s.event = n.event AND s.enabled"
		" LIMIT 1"
	};
	static KeptPlan queue = {
		.sql = "SELECT o2c._queue_event_messages(array_agg(n.company_id ORDER BY n.id), array_agg(n.id ORDER BY n.id))"
		" FROM new_rows n JOIN o2c.event_subscription s"
		" ON s.company_id = n.company_id AND s.entity = n.entity AND s.event = n.event AND s.enabled"
		/* one that waits for its number is told of when it has it */
		" WHERE NOT (n.entity = 'invoice' AND n.event = 'issue' AND EXISTS (SELECT FROM o2c.invoice i"
		"  WHERE i.company_id = n.company_id AND i.id = n.entity_id AND i.number IS NULL))"
	};
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_dispatch_event_subscriptions");
	TriggerFrame frame;

	TriggerFrameBegin(&frame, trigdata);
	if (KeptPlanExecute(&wanted, NULL, NULL, SPI_OK_SELECT) > 0)
		(void) KeptPlanExecute(&queue, NULL, NULL, SPI_OK_SELECT);
	TriggerFrameEnd(&frame);
	return PointerGetDatum(NULL);
}
