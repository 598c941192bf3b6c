/*
 * worker.h
 *		What the files of the dispatcher process share: channels, transfers,
 *		results.
 *
 * A Transfer is one claimed message.  It waits in its channel, flies when
 * libcurl has it, and is a result when it is known what became of it; it ends
 * when that is recorded.  libcurl's callbacks run while it flies: they touch
 * only what was allocated before, and never ereport.
 */
#ifndef O2C_WORKER_H
#define O2C_WORKER_H

#include <curl/curl.h>
#include <signal.h>

#include "lib/ilist.h"
#include "lib/stringinfo.h"
#include "utils/jsonb.h"
#include "utils/uuid.h"

#include "dispatch/dispatch.h"

/* How much of a reply is kept; more of it ends the transfer. */
#define REPLY_MAX 65536
#define ERROR_MAX 500

/* Idle HTTP handles that a channel keeps. */
#define HANDLES_MAX 64

typedef enum ChannelKind
{
	CHANNEL_EMAIL,
	CHANNEL_SMS,
	CHANNEL_POST,
	CHANNEL_WEBHOOK
} ChannelKind;

/* A channel and what the dispatcher knows of its peer. */
typedef struct Channel
{
	dlist_node	node;			/* in the list of all channels */
	int32		company_id;
	char		code[64];
	int64		version;		/* of the row, and of the sender */
	bool		outdated;		/* there is another row: nothing more is sent by this one */
	MemoryContext context;		/* of what follows up to runtime */
	ChannelKind kind;
	char	   *url;
	char	   *host;
	int			port;
	bool		smtp;
	Jsonb	   *settings;
	double		rate;			/* a second; 0 is unlimited */
	int			max_concurrency;
	int			max_attempts;
	double		timeout;		/* seconds */
	double		connect_timeout;
	double		backoff;		/* seconds before the second attempt */
	double		window;			/* seconds in which the peer knows a key again */
	char	   *from;			/* sender of mail */
	char	   *broken;			/* why no message of it can be sent, or NULL */

	/* runtime: survives a new version of the row */
	dlist_head	waiting;		/* claimed, not started */
	int			nwaiting;
	int			nflying;
	int			ceiling;		/* most messages to have claimed at once */
	TimestampTz claimed_at;		/* the last time */
	double		tokens;			/* of the rate limit */
	TimestampTz tokens_at;
	TimestampTz blocked_until;	/* Retry-After, or the peer is down */
	int			failures;		/* of the connection, in a row */
	CURL	   *handles[HANDLES_MAX];	/* of requests that are over */
	int			nhandles;
	int			handles_since;	/* counts what made older handles useless */
} Channel;

typedef struct Attachment
{
	char	   *name;
	char	   *content_type;
	char	   *content;
	size_t		size;
} Attachment;

/* What was claimed together: one lease, until all of it is recorded. */
typedef struct Claim
{
	dlist_node	node;			/* in the list of all claims */
	int32		company_id;
	int64		id;
	int			remaining;		/* messages not recorded yet */
	int			ending;			/* of them, in the transaction under way */
} Claim;

typedef enum TransferState
{
	TRANSFER_WAITING,
	TRANSFER_FLYING,
	TRANSFER_DONE
} TransferState;

/* What became of a message; the order is that of result_state[] in record.c. */
typedef enum ResultKind
{
	RESULT_RELEASE,				/* never started: back to the queue */
	RESULT_SENT,
	RESULT_RETRY,
	RESULT_UNCERTAIN,
	RESULT_DEAD
} ResultKind;

typedef struct Transfer
{
	dlist_node	node;			/* channel's waiting, flying or results */
	MemoryContext context;		/* of everything the message holds */
	TransferState state;
	Channel    *channel;
	Claim	   *claim;

	/* the message */
	int32		company_id;
	int64		id;
	int			attempts;
	TimestampTz first_attempt_at;
	bool		lazy;			/* texts and attachments are not loaded yet */
	bool		loaded;			/* they were: the size counts */
	size_t		size;
	char	   *key;			/* idempotency_key */
	char	   *recipient;
	char	   *kind;
	char	   *language;
	char	   *subject;
	char	   *body_text;
	char	   *body_html;
	Jsonb	   *message_context;
	Attachment *attachments;
	int			nattachments;

	/* the request, while it flies */
	CURL	   *easy;
	int			handles_since;	/* of the channel, when it was taken */
	struct MailConnection *mail;	/* of a mail: what carries it */
	char	   *mail_from;		/* its envelope */
	char	   *mail_to;
	bool		deferred_start; /* its connection stands already */
	bool		expired;		/* its time was up */
	TimestampTz started_at;
	struct curl_slist *headers;
	char	   *payload;
	size_t		payload_len;
	int			slot;			/* of the recorder */
	bool		connected;		/* the connection stood */
	bool		handed;			/* the peer may have the whole message */
	bool		overflow;		/* the reply was longer than we read */
	char	   *reply;
	size_t		reply_len;
	size_t		reply_size;
	char		last_line[64];	/* why no socket was opened */
	int			retry_after;	/* seconds, -1 when not given */
	char		curl_error[CURL_ERROR_SIZE];
	char	   *id_header;		/* header that holds the provider's id */
	char		header_value[256];

	/* the result */
	ResultKind	result;
	bool		ours;			/* it failed here: the peer has no part in it */
	TimestampTz next_attempt_at;
	char		provider_id[256];
	char		error[ERROR_MAX];
} Transfer;

/* The state of this dispatcher. */
typedef struct Dispatcher
{
	MemoryContext context;
	pg_uuid_t	owner;			/* of this run: lease_owner */
	DispatchIdle idle;			/* why it ends, or does not serve */
	int			hard_limit;		/* most to have flying at once */
	int			kept_limit;		/* idle connections to keep, of mail and of HTTP each */
	dlist_head	channels;
	int			nchannels;
	dlist_head	flying;
	dlist_head	results;
	dlist_head	stuck;			/* results that could not be recorded */
	dlist_head	claims;
	int			nclaimed;		/* waiting + flying + results + stuck */
	int			nflying;
	int			nresults;
	size_t		bytes;			/* that loaded messages hold */
	TimestampTz first_result_at;
	TimestampTz next_due;		/* when the next message of any lane is due */
	uint64		sent;
	uint64		failed;
	bool		left_behind;	/* a former one's messages, that somebody holds */
} Dispatcher;

extern Dispatcher dispatcher;

/* worker.c */
extern bool TakeWake(void);

/* loop.c */
extern TimestampTz SteadyNow(void);
extern int64 WallAhead(void);
extern bool RunGuarded(int (*work) (void *), void *arg, int *result);
extern bool MayServe(int *serve);
extern void Rescue(void);
extern void ServeDatabase(void);

/* pace.c */
extern void FinishTransfer(Transfer *t, ResultKind result);
extern void ReleaseWaiting(Channel *channel);
extern void StartWaiting(void);
extern long NextEvent(TimestampTz now);

/* work.c: the frame of the dispatcher's transactions */

/* A kept plan with more arguments than a trigger needs. */
typedef struct Statement
{
	const char *sql;
	int			nargs;
	Oid			argtypes[12];
	int			expected;
	SPIPlanPtr	plan;
} Statement;

extern volatile sig_atomic_t DispatchAtWork;
extern bool DispatchLeaving;

extern void BeginWork(const char *activity);
extern void WorkOver(void);
extern void EndWork(void);
extern uint64 Execute(Statement *st, Datum *args, const char *nulls);
extern uint64 ExecuteKeepingQueue(Statement *st, Datum *args, const char *nulls);
extern Datum ArrayOf(Datum *values, bool *nulls, int n, Oid type);
extern Datum Value(uint64 row, int column, bool *isnull);
extern int64 IntValue(uint64 row, int column);
extern char *TextValue(uint64 row, int column, MemoryContext context);
extern Jsonb *JsonbValueOf(uint64 row, int column, MemoryContext context);
extern bool DispatchSetup(DispatchIdle *idle);

/* channel.c */
extern Channel *ChannelOf(int32 company_id, const char *code, int64 version,
						  uint64 row, int first);

/* lane.c */
#define MAX_LANES 4096

typedef struct Lane
{
	int32		company_id;
	Channel    *channel;
	int			priority;
	TimestampTz due;			/* of its first message */
	TimestampTz cursor_at;		/* where the last claim ended */
	int64		cursor_id;
	bool		quiet;			/* the channel has quiet hours */
	bool		exhausted;		/* the last claim found less than it asked for */
} Lane;

extern Lane lanes[MAX_LANES];
extern int	nlanes;

extern bool LanesWanted(int *limits);
extern void LanesRefresh(bool list);
extern void LanesRewind(void);
extern bool ClaimWanted(void);

/* claim.c */
extern void ClaimMessages(bool list);
extern void ClaimCommitted(void);

/* record.c */
extern void RescueMessages(void);
extern void LoadMessages(Transfer **transfers, int n);
extern void RecordResults(int most);
extern void RecordCommitted(void);
extern void RenewLeases(void);

/* pump.c */
extern void PumpInit(void);
extern void Pump(long timeout_ms);
extern CURLM *HttpMulti(void);
extern void EnterCurl(sigset_t *save);
extern void LeaveCurl(sigset_t *save);

/* transfer.c */
extern bool TransferStart(Transfer *t);
extern void TransferAbort(Transfer *t);
extern bool TransferExpire(TimestampTz now);
extern void TransferCompleted(Transfer *t, CURLcode rc);
extern void TransferFree(Transfer *t);
extern void TransferRelease(Transfer *t);
extern void ForgetHandles(Channel *channel);
extern void SetTransferError(Transfer *t, const char *fmt,...) pg_attribute_printf(2, 3);
extern void SetConnectOptions(CURL *easy, Channel *channel);

/* mail.c */
typedef struct MailConnection MailConnection;

#define MAIL_EVENT (UINT64CONST(1) << 62)

extern void MailInit(CURLM *multi, int epoll_fd);
extern bool MailStart(Transfer *t, bool fresh);
extern void MailBegin(Transfer *t);
extern void MailBroke(Transfer *t, const char *why);
extern void MailAbort(Transfer *t);
extern void MailEvent(int slot, uint32 events);
extern void MailConnected(void *private, CURLcode rc);
extern void MailExpireIdle(TimestampTz now);

/* variables.c */
typedef enum Escape
{
	ESCAPE_NONE,
	ESCAPE_HEADER,
	ESCAPE_URL,
	ESCAPE_JSON
} Escape;

extern char *ExpandText(Transfer *t, const char *source, Escape escape);
extern void AppendEscapedText(StringInfo out, const char *s, Escape escape);
extern void AppendJsonString(StringInfo out, Transfer *t, const char *source);

/* request.c */
extern void BuildHttpRequest(Transfer *t, char **url, char **method);
extern bool ReplyAccepted(Transfer *t);
extern char *ToUtf8(const char *s, int len);
extern char *JsonScalarText(const JsonbValue *v);
extern char *SettingText(Jsonb *settings, const char *key);
extern double SettingNumber(Jsonb *settings, const char *key, double otherwise);

/* reply.c */
extern bool JsonReplyText(const char *json, size_t len, const char *path,
						  char *out, size_t outlen);

/* compose.c */
extern void ComposeMail(Transfer *t, char **from, char **to);

/* recorder.c */
typedef enum RecorderPhase
{
	PHASE_FREE = 0,
	PHASE_CLAIMED,
	PHASE_HANDED,				/* the peer may have it */
	PHASE_SENT,					/* the peer said yes */
	PHASE_REFUSED				/* the peer said no, or never had it */
} RecorderPhase;

typedef struct RecorderEntry
{
	int64		id;
	int32		company_id;
	int32		phase;
} RecorderEntry;

#define RECORDER_SLOTS 65536

extern List *RecorderFiles(Oid dboid);
extern bool RecorderRead(const char *path, pg_uuid_t *owner, RecorderEntry **entries, int *n);
extern void RecorderForget(const char *path);
extern void RecorderBegin(Oid dboid, const pg_uuid_t *owner);
extern void RecorderEnd(void);
extern int	RecorderTake(int32 company_id, int64 id);
extern void RecorderMark(int slot, RecorderPhase phase);
extern void RecorderFree(int slot);

/* secrets.c */
extern void SecretsForget(void);
extern const char *SecretValue(int32 company_id, const char *name, const char *host);
extern void RedactSecrets(char *text);

/* webhook.c */
extern char *WebhookSignature(const char *secret, const char *id, int64 timestamp,
							  const char *body, size_t len);

#endif							/* O2C_WORKER_H */
