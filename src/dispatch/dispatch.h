/*
 * dispatch.h
 *		What the files of the dispatcher share.
 *
 * outbox.c	 triggers of the outbox, wake-up at commit
 * address.c	mail addresses and telephone numbers
 * hosts.c		which hosts a channel may name
 * control.c	arming, pausing, status: the SQL side of the worker
 * launcher.c	shared memory, the launcher
 * worker.c		one dispatcher per database: the process
 * loop.c		its loop
 * pace.c		what may start when
 * work.c		the frame of its transactions
 * channel.c	what is known of a channel
 * lane.c		which messages wait, and room for them
 * claim.c		claiming
 * record.c		loading, recording, renewing, rescuing
 * pump.c		libcurl's sockets and PostgreSQL's wait
 * transfer.c	libcurl: a message on its way
 * mail.c		the SMTP dialogue
 * variables.c	{{variables}} of a channel's settings
 * request.c	HTTP requests out of channel and message
 * reply.c		values out of a JSON reply
 * compose.c	mail messages: headers and MIME
 * recorder.c	what of a claimed message survives a crash of the worker
 * secrets.c	the file of order2cash.secrets_file
 * webhook.c	signatures of Standard Webhooks
 */
#ifndef O2C_DISPATCH_H
#define O2C_DISPATCH_H

#include "o2c.h"

#include <sys/socket.h>

#include "storage/latch.h"
#include "storage/lwlock.h"
#include "utils/timestamp.h"

/* Settings, defined in order2cash.c */
extern char *o2c_databases;
extern int	o2c_dispatch_concurrency;
extern int	o2c_dispatch_batch;
extern int	o2c_dispatch_lease;
extern char *o2c_dispatch_allowed_hosts;
extern int	o2c_message_max_size;	/* kB */
extern char *o2c_secrets_file;
extern char *o2c_dispatch_ca_file;

/* Why no dispatcher runs for a database. */
typedef enum DispatchIdle
{
	DISPATCH_STARTING = 0,
	DISPATCH_RUNNING,
	DISPATCH_NOT_INSTALLED,
	DISPATCH_NOT_ARMED,
	DISPATCH_PAUSED,
	DISPATCH_FAILED
} DispatchIdle;

#define DISPATCH_MAX_DATABASES 64

/* One database that has, had or should have a dispatcher. */
typedef struct DispatchSlot
{
	Oid			dboid;			/* InvalidOid: the slot is free */
	DispatchIdle state;
	pid_t		pid;			/* of the dispatcher, 0 when none runs */
	Latch	   *latch;			/* of the dispatcher, NULL when none runs */
	bool		woken;			/* something was queued or changed */
	TimestampTz started_at;
	TimestampTz retry_at;		/* the launcher tries again then */
	int			in_flight;
	int			claimed;
	uint64		sent;
	uint64		failed;
} DispatchSlot;

typedef struct DispatchShared
{
	LWLock	   *lock;
	pid_t		launcher_pid;
	Latch	   *launcher_latch;
	DispatchSlot slots[DISPATCH_MAX_DATABASES];
} DispatchShared;

extern DispatchShared *DispatchMemory(void);
extern void DispatchInit(void);
extern DispatchSlot *DispatchSlotOf(Oid dboid, bool create);

/* outbox.c */
extern bool DispatchKeepsQueue;
extern void DispatchWakeAtCommit(bool launcher);

/* address.c */
extern bool IsMailAddress(const char *address, int len);
extern bool SplitRecipient(const char *recipient, int len,
						   int *name_len, int *addr_start, int *addr_len);
extern bool IsRecipient(const char *kind, const char *recipient, int len);

/* hosts.c */
extern bool HostAllowed(const char *host, int port);
extern bool SockaddrAllowed(const struct sockaddr *addr, const char *host, int port);

#endif							/* O2C_DISPATCH_H */
