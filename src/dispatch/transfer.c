/*
 * transfer.c
 *		One message on its way: libcurl's multi interface on an epoll set.
 *
 * The dispatcher waits for sockets and its latch at once: libcurl's sockets
 * are members of one epoll set, which is a single descriptor to PostgreSQL's
 * wait.  All signals are blocked while libcurl runs, so that its resolver
 * threads inherit that and no handler ever runs in one.
 *
 * What is known about a message when something breaks decides its state.
 * connected: the connection stood.  handed: the peer may have the whole
 * message, so that without an answer nobody knows, and it is uncertain.
 */
#include "o2c.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "dispatch/worker.h"

#if LIBCURL_VERSION_NUM < 0x075500
#error "order2cash needs libcurl 7.85 or later"
#endif

#define MAX_EVENTS 256

/* One multi handle for HTTP, one for the connections of mail.c. */
typedef struct Multi
{
	CURLM	   *handle;
	TimestampTz timer_at;		/* when libcurl wants to be called; 0: never */
} Multi;

#define HTTP 0
#define MAIL 1

static Multi multis[2];
static int	epoll_fd = -1;

static sigset_t all_signals;
static ResourceOwner request_owner = NULL;

static int	in_curl = 0;

/* libcurl runs with signals blocked; see above.  May be nested. */
void
EnterCurl(sigset_t *save)
{
	if (in_curl++ == 0)
		pthread_sigmask(SIG_BLOCK, &all_signals, save);
}

void
LeaveCurl(sigset_t *save)
{
	if (--in_curl == 0)
		pthread_sigmask(SIG_SETMASK, save, NULL);
}

/*
 * What the epoll set has of a descriptor.  A connection that is kept is let go
 * and taken up again with every message; the set is told only when that stays
 * so.  Only of sockets that we open and close do we know that a descriptor is
 * still the same one; the others are told of each time.
 */
typedef struct Watched
{
	bool		ours;
	bool		wanted;			/* by libcurl, now */
	uint32		events;			/* in the set */
} Watched;

static Watched *watched = NULL;
static int	nwatched = 0;

/* The entry of a descriptor; NULL when memory is short. */
static Watched *
WatchedOf(curl_socket_t fd)
{
	if (fd >= nwatched)
	{
		int			n = Max(1024, fd * 2);
		Watched    *more = realloc(watched, sizeof(Watched) * n);

		if (more == NULL)
			return NULL;
		memset(more + nwatched, 0, sizeof(Watched) * (n - nwatched));
		watched = more;
		nwatched = n;
	}
	return &watched[fd];
}

/* CURLMOPT_SOCKETFUNCTION: keep the epoll set as libcurl wants it. */
static int
OnSocket(CURL *easy, curl_socket_t fd, int what, void *userp, void *socketp)
{
	struct epoll_event event = {0};
	Watched    *w = WatchedOf(fd);

	if (w == NULL)
		return -1;
	if (what == CURL_POLL_REMOVE)
	{
		w->wanted = false;
		if (!w->ours)
		{
			(void) epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, NULL);
			w->events = 0;
		}
		return 0;
	}
	event.data.u64 = (uint64) fd | (uint64) ((Multi *) userp - multis) << 32;
	event.events = (what & CURL_POLL_IN ? EPOLLIN : 0) | (what & CURL_POLL_OUT ? EPOLLOUT : 0);
	w->wanted = true;
	if (w->ours && w->events == event.events)
		return 0;
	if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, fd, &event) != 0)
		(void) epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
	w->events = event.events;
	return 0;
}

/* An event on a connection that nobody uses: the peer closed it, likely. */
static bool
Unwanted(curl_socket_t fd)
{
	if (fd >= nwatched || !watched[fd].ours || watched[fd].wanted)
		return false;
	(void) epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, NULL);
	watched[fd].events = 0;
	return true;
}

/* CURLMOPT_TIMERFUNCTION */
static int
OnTimer(CURLM *m, long timeout_ms, void *userp)
{
	((Multi *) userp)->timer_at = timeout_ms < 0 ? 0 :
		TimestampTzPlusMilliseconds(GetCurrentTimestamp(), timeout_ms);
	return 0;
}

/* CURLOPT_OPENSOCKETFUNCTION: the address that the name turned out to be. */
static curl_socket_t
OnOpenSocket(void *clientp, curlsocktype purpose, struct curl_sockaddr *address)
{
	Transfer   *t = clientp;
	curl_socket_t fd;
	Watched    *w;

	if (!SockaddrAllowed(&address->addr, t->channel->host, t->channel->port))
	{
		strlcpy(t->last_line, "address of the host is not allowed", sizeof(t->last_line));
		return CURL_SOCKET_BAD;
	}
	fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
	if (fd != CURL_SOCKET_BAD && (w = WatchedOf(fd)) != NULL)
	{
		memset(w, 0, sizeof(Watched));
		w->ours = true;
	}
	return fd;
}

/* CURLOPT_CLOSESOCKETFUNCTION: the epoll set loses it by itself. */
static int
OnCloseSocket(void *clientp, curl_socket_t fd)
{
	if (fd < nwatched)
		memset(&watched[fd], 0, sizeof(Watched));
	return close(fd);
}

/* CURLOPT_PREREQFUNCTION: the connection stands, the request comes now. */
static int
OnConnected(void *clientp, char *ip, char *local_ip, int port, int local_port)
{
	Transfer   *t = clientp;

	/* libcurl would send again what a reused connection swallowed: never */
	if (t->handed)
		return CURL_PREREQFUNC_ABORT;
	t->connected = t->handed = true;
	RecorderMark(t->slot, PHASE_HANDED);
	return CURL_PREREQFUNC_OK;
}

/* CURLOPT_WRITEFUNCTION: a bounded part of the reply. */
static size_t
OnWrite(char *data, size_t size, size_t nmemb, void *userdata)
{
	Transfer   *t = userdata;
	size_t		n = size * nmemb;
	size_t		room = REPLY_MAX - t->reply_len;

	if (t->reply_len + Min(n, room) > t->reply_size)
	{
		size_t		size = Min(REPLY_MAX, Max(1024, 2 * (t->reply_len + n)));
		char	   *more = realloc(t->reply, size);

		if (more == NULL)
			room = 0;
		else
		{
			t->reply = more;
			t->reply_size = size;
		}
	}
	memcpy(t->reply + t->reply_len, data, Min(n, room));
	t->reply_len += Min(n, room);
	if (n > room)
	{
		t->overflow = true;
		return 0;
	}
	return n;
}

/* CURLOPT_HEADERFUNCTION: Retry-After and the id header. */
static size_t
OnHeader(char *data, size_t size, size_t nitems, void *userdata)
{
	Transfer   *t = userdata;
	size_t		n = size * nitems;
	size_t		len = n;

	while (len > 0 && (data[len - 1] == '\r' || data[len - 1] == '\n'))
		len--;
	if (len > 12 && pg_strncasecmp(data, "retry-after:", 12) == 0)
	{
		char		value[64];

		len = Min(len - 12, sizeof(value) - 1);
		memcpy(value, data + 12, len);
		value[len] = '\0';
		if (strspn(value, " 0123456789") == len)
			t->retry_after = Min(Max(0, atoi(value)), 86400);
		else
		{
			time_t		when = curl_getdate(value, NULL);

			if (when > 0)
				t->retry_after = Min(Max(0, (long) (when - time(NULL))), 86400);
		}
	}
	else if (t->id_header != NULL)
	{
		size_t		name = strlen(t->id_header);

		if (len > name && data[name] == ':' && pg_strncasecmp(data, t->id_header, name) == 0)
		{
			const char *value = data + name + 1;

			len -= name + 1;
			while (len > 0 && *value == ' ')
				value++, len--;
			len = Min(len, sizeof(t->header_value) - 1);
			memcpy(t->header_value, value, len);
			t->header_value[len] = '\0';
		}
	}
	return n;
}

/* Once in the life of the dispatcher. */
void
TransferInit(void)
{
	sigset_t	save;

#ifdef __GLIBC__
	/* what a thousand messages need is needed again a moment later */
	(void) mallopt(M_TRIM_THRESHOLD, 64 * 1024 * 1024);
	(void) mallopt(M_TOP_PAD, 1024 * 1024);
#endif
	sigfillset(&all_signals);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0)
		ereport(ERROR, (errmsg("could not create an epoll set: %m")));
	EnterCurl(&save);
	curl_global_init(CURL_GLOBAL_ALL);
	for (int i = 0; i < lengthof(multis); i++)
	{
		CURLM	   *handle = curl_multi_init();

		multis[i].handle = handle;
		if (handle == NULL)
			break;
		curl_multi_setopt(handle, CURLMOPT_SOCKETFUNCTION, OnSocket);
		curl_multi_setopt(handle, CURLMOPT_SOCKETDATA, &multis[i]);
		curl_multi_setopt(handle, CURLMOPT_TIMERFUNCTION, OnTimer);
		curl_multi_setopt(handle, CURLMOPT_TIMERDATA, &multis[i]);
		curl_multi_setopt(handle, CURLMOPT_MAXCONNECTS, 8192L);
		curl_multi_setopt(handle, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
	}
	LeaveCurl(&save);
	if (multis[lengthof(multis) - 1].handle == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	MailInit(multis[MAIL].handle, epoll_fd);
}

/* What a connection of either protocol needs; an error names a lost secret. */
void
SetConnectOptions(CURL *e, Channel *channel)
{
	char	   *user = SettingText(channel->settings, "username");
	char	   *secret = SettingText(channel->settings, "password_secret");

	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
#if LIBCURL_VERSION_NUM >= 0x075700
	curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L);
#endif
	curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, channel->smtp ? "smtp,smtps" : "http,https");
	curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(e, CURLOPT_PROXY, "");
	/* TransferExpire watches the time; this is far behind it */
	curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long) (channel->timeout * 1000) + 60000);
	if (o2c_dispatch_ca_file != NULL && o2c_dispatch_ca_file[0] != '\0')
		curl_easy_setopt(e, CURLOPT_CAINFO, o2c_dispatch_ca_file);

	if (user != NULL)
		curl_easy_setopt(e, CURLOPT_USERNAME, user);
	if (secret != NULL)
	{
		const char *value = SecretValue(channel->company_id, secret, channel->host);

		if (value == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_O2C_CHANNEL),
					 errmsg("secret \"%s\" is not known", secret)));
		curl_easy_setopt(e, CURLOPT_PASSWORD, value);
	}
}

/* A handle for a request of the channel: a used one has all that is the same. */
static CURL *
HttpHandle(Channel *channel)
{
	CURL	   *e;

	if (channel->nhandles > 0)
		return channel->handles[--channel->nhandles];
	e = curl_easy_init();
	if (e == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	PG_TRY();
	{
		SetConnectOptions(e, channel);
	}
	PG_CATCH();
	{
		curl_easy_cleanup(e);
		PG_RE_THROW();
	}
	PG_END_TRY();
	curl_easy_setopt(e, CURLOPT_MAXAGE_CONN, 30L);
	curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, OnOpenSocket);
	curl_easy_setopt(e, CURLOPT_CLOSESOCKETFUNCTION, OnCloseSocket);
	curl_easy_setopt(e, CURLOPT_PREREQFUNCTION, OnConnected);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, OnWrite);
	curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, OnHeader);
	curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(e, CURLOPT_USERAGENT, "order2cash/" O2C_VERSION);
	return e;
}

/* Forget the handles that are kept: their options may have changed. */
void
ForgetHandles(Channel *channel)
{
	while (channel->nhandles > 0)
		curl_easy_cleanup(channel->handles[--channel->nhandles]);
	channel->handles_since++;
}

/* An HTTP request. */
static void
SetHttpOptions(Transfer *t)
{
	CURL	   *e = t->easy;
	char	   *url;
	char	   *method;

	curl_easy_setopt(e, CURLOPT_PRIVATE, t);
	curl_easy_setopt(e, CURLOPT_ERRORBUFFER, t->curl_error);
	curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, t);
	curl_easy_setopt(e, CURLOPT_PREREQDATA, t);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, t);
	curl_easy_setopt(e, CURLOPT_HEADERDATA, t);
	BuildHttpRequest(t, &url, &method);
	curl_easy_setopt(e, CURLOPT_URL, url);
	if (strcmp(method, "GET") == 0)
		curl_easy_setopt(e, CURLOPT_HTTPGET, 1L);
	else
	{
		curl_easy_setopt(e, CURLOPT_POST, 1L);
		curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) t->payload_len);
		curl_easy_setopt(e, CURLOPT_POSTFIELDS, t->payload);
		if (strcmp(method, "POST") != 0)
			curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, method);
	}
	curl_easy_setopt(e, CURLOPT_HTTPHEADER, t->headers);
}

/*
 * Start a message.  False when its request cannot be built: then t->error says
 * why and nothing was sent.
 */
bool
TransferStart(Transfer *t)
{
	MemoryContext old = MemoryContextSwitchTo(t->context);
	volatile bool started = false;

	/* signatures want to be owned, and no transaction is open */
	if (request_owner == NULL)
		request_owner = ResourceOwnerCreate(NULL, "o2c request");
	CurrentResourceOwner = request_owner;
	t->retry_after = -1;
	PG_TRY();
	{
		if (t->channel->broken != NULL)
			ereport(ERROR, (errcode(ERRCODE_O2C_CHANNEL), errmsg("%s", t->channel->broken)));
		if (!HostAllowed(t->channel->host, t->channel->port))
			ereport(ERROR,
					(errcode(ERRCODE_O2C_CHANNEL),
					 errmsg("order2cash.dispatch_allowed_hosts does not allow host \"%s\"",
							t->channel->host)));
		if (t->channel->smtp)
		{
			ComposeMail(t, &t->mail_from, &t->mail_to);
			started = MailStart(t, false);
		}
		else
		{
			sigset_t	save;
			CURLMcode	rc;

			t->easy = HttpHandle(t->channel);
			t->handles_since = t->channel->handles_since;
			SetHttpOptions(t);
			EnterCurl(&save);
			rc = curl_multi_add_handle(multis[HTTP].handle, t->easy);
			LeaveCurl(&save);
			if (rc != CURLM_OK)
				strlcpy(t->error, curl_multi_strerror(rc), ERROR_MAX);
			started = rc == CURLM_OK;
		}
	}
	PG_CATCH();
	{
		ErrorData  *edata;

		MemoryContextSwitchTo(t->context);
		edata = CopyErrorData();
		FlushErrorState();
		strlcpy(t->error, edata->message ? edata->message : "cannot build the request", ERROR_MAX);
		FreeErrorData(edata);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	CurrentResourceOwner = NULL;
	if (!started)
		return false;
	t->state = TRANSFER_FLYING;
	t->started_at = GetCurrentTimestamp();
	return true;
}

/* Everything libcurl holds for it goes back. */
void
TransferRelease(Transfer *t)
{
	if (t->easy != NULL)
	{
		Channel    *channel = t->channel;

		if (channel->nhandles < HANDLES_MAX && t->handles_since == channel->handles_since)
			channel->handles[channel->nhandles++] = t->easy;
		else
			curl_easy_cleanup(t->easy);
		t->easy = NULL;
	}
	t->headers = NULL;
	free(t->reply);
	t->reply = NULL;
	t->reply_len = t->reply_size = 0;
}

/* Free a transfer whose result was recorded, or that never started. */
void
TransferFree(Transfer *t)
{
	TransferRelease(t);
	MemoryContextDelete(t->context);
}

/* Printable text for last_error, without anything that looks like a control. */
void
SetTransferError(Transfer *t, const char *fmt,...)
{
	va_list		args;
	int			len;

	va_start(args, fmt);
	vsnprintf(t->error, ERROR_MAX, fmt, args);
	va_end(args);
	RedactSecrets(t->error);
	len = strlen(t->error);
	for (int i = 0; i < len; i++)
		if ((unsigned char) t->error[i] < 0x20 || (unsigned char) t->error[i] >= 0x7f)
			t->error[i] = '?';
}

/* What an HTTP peer's status means. */
static ResultKind
JudgeHttp(Transfer *t, CURLcode rc, long code)
{
	if (code >= 200 && code < 300)
		return ReplyAccepted(t) ? RESULT_SENT : RESULT_DEAD;
	if (code >= 300)
	{
		SetTransferError(t, "HTTP status %ld: %.*s", code, (int) Min(t->reply_len, 300),
				 t->reply ? t->reply : "");
		if (code == 408 || code == 425 || code == 429 || code >= 500)
			return RESULT_RETRY;
		return RESULT_DEAD;
	}
	SetTransferError(t, "%s", t->curl_error[0] ? t->curl_error : curl_easy_strerror(rc));
	return t->handed ? RESULT_UNCERTAIN : RESULT_RETRY;
}

/* libcurl is through with it. */
static void
Completed(Transfer *t, CURLcode rc)
{
	long		code = 0;
	volatile ResultKind result = RESULT_UNCERTAIN;
	sigset_t	save;

	curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &code);
	PG_TRY();
	{
		MemoryContext old = MemoryContextSwitchTo(t->context);

		if (rc == CURLE_COULDNT_CONNECT && strncmp(t->last_line, "address of", 10) == 0)
		{
			SetTransferError(t, "%s", t->last_line);
			result = RESULT_DEAD;
		}
		else
			result = JudgeHttp(t, rc, code);
		MemoryContextSwitchTo(old);
	}
	PG_CATCH();
	{
		FlushErrorState();
	}
	PG_END_TRY();

	EnterCurl(&save);
	(void) curl_multi_remove_handle(multis[HTTP].handle, t->easy);
	TransferRelease(t);
	LeaveCurl(&save);
	FinishTransfer(t, result);
}

/* Stop a transfer now; what it may have done decides the result. */
void
TransferAbort(Transfer *t)
{
	sigset_t	save;

	MailAbort(t);
	EnterCurl(&save);
	if (t->easy != NULL)
		(void) curl_multi_remove_handle(multis[HTTP].handle, t->easy);
	TransferRelease(t);
	LeaveCurl(&save);
	if (t->handed)
		strlcpy(t->error, "the dispatcher stopped before the peer answered", ERROR_MAX);
	FinishTransfer(t, t->handed ? RESULT_UNCERTAIN : RESULT_RELEASE);
}

/* End transfers whose time is up; looks at them ten times a second. */
void
TransferExpire(TimestampTz now)
{
	static TimestampTz looked_at = 0;
	dlist_mutable_iter iter;

	if (!TimestampDifferenceExceeds(looked_at, now, 100))
		return;
	looked_at = now;
	MailExpireIdle(now);
	dlist_foreach_modify(iter, &dispatcher.flying)
	{
		Transfer   *t = dlist_container(Transfer, node, iter.cur);
		double		limit = t->connected ? t->channel->timeout :
			Min(t->channel->connect_timeout, t->channel->timeout);

		if (now - t->started_at < (TimestampTz) (limit * 1e6))
			continue;
		snprintf(t->curl_error, CURL_ERROR_SIZE, "timed out after %.1f s %s", limit,
				 t->handed ? "waiting for the reply" : t->connected ? "sending" : "connecting");
		t->expired = true;
		if (t->channel->smtp)
			MailBroke(t, pstrdup(t->curl_error));
		else
			Completed(t, CURLE_OPERATION_TIMEDOUT);
	}
}

/* Act on an event or timer; signals are blocked. */
static void
Act(Multi *m, curl_socket_t fd, int mask)
{
	int			running;

	(void) curl_multi_socket_action(m->handle, fd, mask, &running);
}

/* Take what libcurl is through with. */
static bool
TakeCompleted(Multi *m)
{
	CURLMsg    *msg;
	int			left;
	bool		any = false;

	while ((msg = curl_multi_info_read(m->handle, &left)) != NULL)
	{
		if (msg->msg == CURLMSG_DONE)
		{
			char	   *private = NULL;
			CURLcode	rc = msg->data.result;

			curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &private);
			if (m == &multis[MAIL])
				MailConnected(private, rc);
			else
				Completed((Transfer *) private, rc);
			any = true;
		}
	}
	return any;
}

/* Let libcurl work on what is ready; true when anything was. */
static bool
Work(void)
{
	struct epoll_event events[MAX_EVENTS];
	int			n = epoll_wait(epoll_fd, events, MAX_EVENTS, 0);
	bool		worked = n > 0;
	sigset_t	save;

	EnterCurl(&save);
	for (int i = 0; i < n; i++)
	{
		Multi	   *m;

		if (events[i].data.u64 & MAIL_EVENT)
		{
			MailEvent((int) (events[i].data.u64 & 0xffffffff), events[i].events);
			continue;
		}
		m = &multis[events[i].data.u64 >> 32];
		if (Unwanted((curl_socket_t) (events[i].data.u64 & 0xffffffff)))
			continue;
		Act(m, (curl_socket_t) (events[i].data.u64 & 0xffffffff),
			(events[i].events & EPOLLIN ? CURL_CSELECT_IN : 0) |
			(events[i].events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
			(events[i].events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0));
	}
	for (int i = 0; i < lengthof(multis); i++)
	{
		Multi	   *m = &multis[i];

		if (m->timer_at != 0 && m->timer_at <= GetCurrentTimestamp())
		{
			m->timer_at = 0;
			Act(m, CURL_SOCKET_TIMEOUT, 0);
			worked = true;
		}
		worked |= TakeCompleted(m);
	}
	LeaveCurl(&save);
	return worked;
}

/* When libcurl wants to be called next; 0: never. */
static TimestampTz
NextTimer(void)
{
	TimestampTz next = 0;

	for (int i = 0; i < lengthof(multis); i++)
		if (multis[i].timer_at != 0 && (next == 0 || multis[i].timer_at < next))
			next = multis[i].timer_at;
	return next;
}

/*
 * Work on what is ready, or wait for sockets, the latch or the timeout.
 */
void
TransferPump(long timeout_ms)
{
	TimestampTz timer_at;

	TransferExpire(GetCurrentTimestamp());
	if (Work() || timeout_ms <= 0)
		return;
	if (dispatcher.nflying > 0)
		timeout_ms = Min(timeout_ms, 200);
	timer_at = NextTimer();
	if (timer_at != 0)
	{
		TimestampTz now = GetCurrentTimestamp();

		timeout_ms = Min(timeout_ms, timer_at <= now ? 0 :
						 TimestampDifferenceMilliseconds(now, timer_at) + 1);
	}
	(void) WaitLatchOrSocket(MyLatch,
							 WL_LATCH_SET | WL_SOCKET_READABLE | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
							 epoll_fd, timeout_ms, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	(void) Work();
}
