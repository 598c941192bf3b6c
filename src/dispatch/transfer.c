/*
 * transfer.c
 *		One message on its way: from a claimed row to a known result.
 *
 * An HTTP message is a request of libcurl that pump.c moves; a mail is handed
 * to mail.c.  libcurl's callbacks touch only what was allocated before.
 *
 * What is known about a message when something breaks decides its state.
 * connected: the connection stood.  handed: the peer may have the whole
 * message, so that without an answer nobody knows, and it is uncertain.
 */
#include "o2c.h"

#include <sys/socket.h>
#include <unistd.h>

#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "dispatch/worker.h"

static ResourceOwner request_owner = NULL;

/* CURLOPT_OPENSOCKETFUNCTION: the address that the name turned out to be. */
static curl_socket_t
OnOpenSocket(void *clientp, curlsocktype purpose, struct curl_sockaddr *address)
{
	Transfer   *t = clientp;

	if (!SockaddrAllowed(&address->addr, t->channel->host, t->channel->port))
	{
		strlcpy(t->last_line, "address of the host is not allowed", sizeof(t->last_line));
		return CURL_SOCKET_BAD;
	}
	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
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
		size_t		grown = Min(REPLY_MAX, Max(1024, 2 * (t->reply_len + n)));
		char	   *more = realloc(t->reply, grown);

		if (more == NULL)
			room = 0;
		else
		{
			t->reply = more;
			t->reply_size = grown;
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
			t->retry_after = (int) Min(strtod(value, NULL), 86400);
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

/* What has become part of the request is held once. */
static void
ForgetAttachments(Transfer *t)
{
	for (int i = 0; i < t->nattachments; i++)
		pfree(t->attachments[i].content);
	t->nattachments = 0;
}

/*
 * Start a message.  False when that cannot be: then t->error says why, t->result
 * whether it may pass, and nothing was sent.
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
	t->result = RESULT_RETRY;
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
			ForgetAttachments(t);
			started = MailStart(t, false);
		}
		else
		{
			sigset_t	save;
			CURLMcode	rc;

			t->easy = HttpHandle(t->channel);
			t->handles_since = t->channel->handles_since;
			SetHttpOptions(t);
			ForgetAttachments(t);
			EnterCurl(&save);
			rc = curl_multi_add_handle(HttpMulti(), t->easy);
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
		if (ERRCODE_TO_CATEGORY(edata->sqlerrcode) != ERRCODE_INSUFFICIENT_RESOURCES)
			t->result = RESULT_DEAD;	/* no request can be made of it */
		FreeErrorData(edata);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	CurrentResourceOwner = NULL;
	if (!started)
		return false;
	t->state = TRANSFER_FLYING;
	t->started_at = SteadyNow();
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
	{
		if (ReplyAccepted(t))
			return RESULT_SENT;
		if (rc == CURLE_OK)
			return RESULT_DEAD;
		/* half a reply that does not say yes does not say no either */
		SetTransferError(t, "the reply broke off: %s", t->curl_error[0] ? t->curl_error : curl_easy_strerror(rc));
		return RESULT_UNCERTAIN;
	}
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
void
TransferCompleted(Transfer *t, CURLcode rc)
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
	(void) curl_multi_remove_handle(HttpMulti(), t->easy);
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
		(void) curl_multi_remove_handle(HttpMulti(), t->easy);
	TransferRelease(t);
	LeaveCurl(&save);
	if (t->handed)
		strlcpy(t->error, "the dispatcher stopped before the peer answered", ERROR_MAX);
	FinishTransfer(t, t->handed ? RESULT_UNCERTAIN : RESULT_RELEASE);
}

/* End transfers whose time is up; looks at them ten times a second.  True when there were any. */
bool
TransferExpire(TimestampTz now)
{
	static TimestampTz looked_at = 0;
	dlist_mutable_iter iter;
	bool		any = false;

	if (!TimestampDifferenceExceeds(looked_at, now, 100))
		return false;
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
		any = t->expired = true;
		if (t->channel->smtp)
			MailBroke(t, pstrdup(t->curl_error));
		else
			TransferCompleted(t, CURLE_OPERATION_TIMEDOUT);
	}
	return any;
}
