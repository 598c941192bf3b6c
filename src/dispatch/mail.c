/*
 * mail.c
 *		SMTP: libcurl connects, we speak.
 *
 * libcurl's own SMTP waits for the answer to the final dot, and to QUIT, with
 * the whole process.  So it only opens the connection (TLS, EHLO, AUTH), and
 * the dialogue of each mail is a small machine here that never waits.  It also
 * knows exactly when a mail may have been accepted: from the moment its final
 * dot is about to leave.  Connections are kept for the channel's next mail.
 */
#include "o2c.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "miscadmin.h"
#include "utils/memutils.h"

#include "dispatch/worker.h"

#define MAX_CONNECTIONS 4096
#define IDLE_MS 10000
#define USES_MAX 1000

/* What the next reply answers. */
typedef enum MailPhase
{
	MAIL_FREE = 0,				/* no connection */
	MAIL_CONNECTING,
	MAIL_IDLE,
	MAIL_FROM,
	MAIL_RCPT,
	MAIL_DATA,
	MAIL_DOT
} MailPhase;

struct MailConnection
{
	MailPhase	phase;
	CURL	   *easy;
	Channel    *channel;
	int64		version;		/* of the channel that it was opened for */
	Transfer   *t;				/* whose mail it carries, or waits for */
	int			fd;
	uint32		watched;		/* events in the epoll set, 0: none */
	int			uses;
	bool		answered;		/* to this mail, anything at all */
	bool		pipelining;
	bool		smtputf8;
	bool		demands_tls;
	TimestampTz idle_since;
	const char *out;			/* what is being sent */
	size_t		out_len;
	char		command[2048];
	char		line[512];		/* of a reply, as far as it came */
	int			line_len;
	size_t		heard;			/* of this mail's replies */
	char		curl_error[CURL_ERROR_SIZE];
};

static MailConnection *connections[MAX_CONNECTIONS];
static int	nconnections = 0;
static CURLM *mail_multi;
static int	mail_epoll;

static void Speak(MailConnection *c);

/* The multi handle and epoll set that pump.c made. */
void
MailInit(CURLM *multi, int epoll_fd)
{
	mail_multi = multi;
	mail_epoll = epoll_fd;
}

/* Watch the socket for these events; 0 forgets it. */
static void
Watch(MailConnection *c, int slot, uint32 events)
{
	struct epoll_event event = {0};

	if (events == c->watched || c->fd < 0)
		return;
	event.events = events;
	event.data.u64 = MAIL_EVENT | (uint64) slot;
	(void) epoll_ctl(mail_epoll, events == 0 ? EPOLL_CTL_DEL :
					 c->watched == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, c->fd, &event);
	c->watched = events;
}

static int
SlotOf(MailConnection *c)
{
	for (int i = 0; i < nconnections; i++)
		if (connections[i] == c)
			return i;
	return -1;
}

/* Close a connection; its mail, if any, has been taken from it. */
static void
CloseConnection(MailConnection *c)
{
	sigset_t	save;

	if (c->phase == MAIL_FREE)
		return;
	if (c->phase != MAIL_CONNECTING)
		Watch(c, SlotOf(c), 0);
	EnterCurl(&save);
	(void) curl_multi_remove_handle(mail_multi, c->easy);
	curl_easy_cleanup(c->easy);
	LeaveCurl(&save);
	c->easy = NULL;
	c->t = NULL;
	c->fd = -1;
	c->phase = MAIL_FREE;
}

/* CURLOPT_OPENSOCKETFUNCTION */
static curl_socket_t
OnMailSocket(void *clientp, curlsocktype purpose, struct curl_sockaddr *address)
{
	MailConnection *c = clientp;

	if (!SockaddrAllowed(&address->addr, c->channel->host, c->channel->port))
	{
		strlcpy(c->line, "550 address of the host is not allowed", sizeof(c->line));
		return CURL_SOCKET_BAD;
	}
	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* CURLOPT_HEADERFUNCTION: what the peer can, and its last word. */
static size_t
OnMailHeader(char *data, size_t size, size_t nitems, void *userdata)
{
	MailConnection *c = userdata;
	size_t		n = size * nitems;
	size_t		len = Min(n, sizeof(c->line) - 1);

	while (len > 0 && (data[len - 1] == '\r' || data[len - 1] == '\n'))
		len--;
	memcpy(c->line, data, len);
	c->line[len] = '\0';
	if (len >= 14 && pg_strncasecmp(data + 4, "PIPELINING", 10) == 0)
		c->pipelining = true;
	if (len >= 12 && pg_strncasecmp(data + 4, "SMTPUTF8", 8) == 0)
		c->smtputf8 = true;
	return n;
}

/* Whether one more connection may be idle. */
static bool
MayKeep(void)
{
	int			nidle = 0;

	for (int i = 0; i < nconnections; i++)
		nidle += connections[i]->phase == MAIL_IDLE;
	return nidle < dispatcher.kept_limit;
}

/* The mail's result is known; the connection goes on, or ends. */
static void
Finish(MailConnection *c, ResultKind result, bool keep)
{
	Transfer   *t = c->t;

	c->t = NULL;
	t->mail = NULL;
	if (keep && c->uses < USES_MAX && MayKeep())
	{
		c->phase = MAIL_IDLE;
		c->idle_since = SteadyNow();
		Watch(c, SlotOf(c), EPOLLIN);
	}
	else
		CloseConnection(c);
	TransferRelease(t);
	FinishTransfer(t, result);
}

/* The connection broke or its time is up: evidence decides. */
void
MailBroke(Transfer *t, const char *why)
{
	MailConnection *c = t->mail;

	SetTransferError(t, "%s", why);
	if (c == NULL)
		return;
	/* a kept connection that the peer had closed: a new one, once */
	if (c->uses > 1 && !c->answered && !t->handed && !t->expired)
	{
		c->t = NULL;
		t->mail = NULL;
		CloseConnection(c);
		if (MailStart(t, true))
			return;
		TransferRelease(t);
		FinishTransfer(t, RESULT_RETRY);
		return;
	}
	Finish(c, t->handed ? RESULT_UNCERTAIN : RESULT_RETRY, false);
}

/* Send what is left; asks to be called again when the socket is full. */
static bool
Send(MailConnection *c)
{
	while (c->out_len > 0)
	{
		size_t		n = 0;
		CURLcode	rc;
		sigset_t	save;

		EnterCurl(&save);
		rc = curl_easy_send(c->easy, c->out, c->out_len, &n);
		LeaveCurl(&save);
		if (rc == CURLE_AGAIN)
		{
			Watch(c, SlotOf(c), EPOLLIN | EPOLLOUT);
			return true;
		}
		if (rc != CURLE_OK)
		{
			MailBroke(c->t, curl_easy_strerror(rc));
			return false;
		}
		c->out += n;
		c->out_len -= n;
	}
	Watch(c, SlotOf(c), EPOLLIN);
	return true;
}

/* Begin the dialogue of the connection's mail. */
static void
Begin(MailConnection *c)
{
	Transfer   *t = c->t;
	const char *utf8 = "";

	t->connected = true;
	c->uses++;
	c->answered = false;
	c->line_len = 0;
	c->heard = 0;
	for (const char *p = t->mail_from; *p; p++)
		if ((unsigned char) *p >= 0x80)
			utf8 = " SMTPUTF8";
	for (const char *p = t->mail_to; *p; p++)
		if ((unsigned char) *p >= 0x80)
			utf8 = " SMTPUTF8";
	if (utf8[0] && !c->smtputf8)
	{
		SetTransferError(t, "the peer does not take addresses beyond ASCII");
		Finish(c, RESULT_DEAD, true);
		return;
	}
	snprintf(c->command, sizeof(c->command), "MAIL FROM:<%s>%s\r\n%s%s%s%s",
			 t->mail_from, utf8, c->pipelining ? "RCPT TO:<" : "",
			 c->pipelining ? t->mail_to : "", c->pipelining ? ">\r\n" : "",
			 c->pipelining ? "DATA\r\n" : "");
	c->out = c->command;
	c->out_len = strlen(c->command);
	c->phase = MAIL_FROM;
	(void) Send(c);
}

/* A whole reply came. */
static void
Answer(MailConnection *c, int code)
{
	Transfer   *t = c->t;

	c->answered = true;
	if (c->phase == MAIL_DOT && !t->handed && code < 400)
	{
		/* it cannot have what it says that it took */
		MailBroke(t, "the peer answered before it was asked");
		return;
	}
	if (c->phase == MAIL_DOT && code >= 200 && code < 300)
	{
		Finish(c, RESULT_SENT, true);
		return;
	}
	if (c->phase == MAIL_DATA ? code != 354 : code >= 300)
	{
		/* refused; a connection in the middle of a dialogue is of no more use */
		SetTransferError(t, "%s", c->line);
		if (code >= 500 && code < 600)
			Finish(c, RESULT_DEAD, false);
		else if (code >= 400 && code < 500)
			Finish(c, RESULT_RETRY, false);
		else
			Finish(c, t->handed ? RESULT_UNCERTAIN : RESULT_RETRY, false);
		return;
	}
	switch (c->phase)
	{
		case MAIL_FROM:
			c->phase = MAIL_RCPT;
			if (c->pipelining)
				return;
			snprintf(c->command, sizeof(c->command), "RCPT TO:<%s>\r\n", t->mail_to);
			break;
		case MAIL_RCPT:
			c->phase = MAIL_DATA;
			if (c->pipelining)
				return;
			strlcpy(c->command, "DATA\r\n", sizeof(c->command));
			break;
		case MAIL_DATA:
			c->phase = MAIL_DOT;
			Speak(c);
			return;
		default:
			return;
	}
	c->out = c->command;
	c->out_len = strlen(c->command);
	(void) Send(c);
}

/* Send the mail; its last bytes are the dot that hands it over. */
static void
Speak(MailConnection *c)
{
	Transfer   *t = c->t;

	if (!t->handed && t->payload_len > REPLY_MAX && c->out != t->payload + t->payload_len - REPLY_MAX)
	{
		/* of a long mail all but the end first */
		c->out = t->payload;
		c->out_len = t->payload_len - REPLY_MAX;
		if (!Send(c) || c->out_len > 0)
			return;
	}
	if (!t->handed)
	{
		t->handed = true;
		RecorderMark(t->slot, PHASE_HANDED);
		c->out = t->payload_len > REPLY_MAX ? t->payload + t->payload_len - REPLY_MAX : t->payload;
		c->out_len = Min(t->payload_len, REPLY_MAX);
	}
	(void) Send(c);
}

/* Read what is there, line by line. */
static void
Listen(MailConnection *c)
{
	char		buffer[4096];

	for (;;)
	{
		size_t		n = 0;
		CURLcode	rc;
		sigset_t	save;
		Transfer   *t = c->t;

		EnterCurl(&save);
		rc = curl_easy_recv(c->easy, buffer, sizeof(buffer), &n);
		LeaveCurl(&save);
		if (rc == CURLE_AGAIN)
			return;
		if (c->phase == MAIL_IDLE)
		{
			/* a peer that speaks unasked says goodbye */
			CloseConnection(c);
			return;
		}
		if (rc != CURLE_OK || n == 0)
		{
			MailBroke(t, rc != CURLE_OK ? curl_easy_strerror(rc) : "the peer closed the connection");
			return;
		}
		/* one that talks without end would have us listen to nobody else */
		c->heard += n;
		if (c->heard > REPLY_MAX)
		{
			MailBroke(t, "the peer talks without end");
			return;
		}
		for (size_t i = 0; i < n; i++)
		{
			char		ch = buffer[i];

			if (ch != '\n')
			{
				if (c->line_len < (int) sizeof(c->line) - 1 && ch != '\r')
					c->line[c->line_len++] = ch;
				continue;
			}
			c->line[c->line_len] = '\0';
			if (c->line_len >= 3 && c->line[3] != '-' &&
				strspn(c->line, "0123456789") >= 3)
			{
				int			code = atoi(c->line);

				c->line_len = 0;
				if (c->phase == MAIL_DATA && code < 400 && i + 1 < n)
				{
					/* what comes with the leave to send is no answer to the mail */
					MailBroke(t, "the peer answered before it was asked");
					return;
				}
				Answer(c, code);
				if (c->t != t || c->phase == MAIL_FREE)
				{
					if (c->phase == MAIL_IDLE && i + 1 < n)
						CloseConnection(c);
					return;
				}
			}
			else
			{
				bool		more = c->line_len >= 4 && c->line[3] == '-';

				c->line_len = 0;
				if (!more)
				{
					MailBroke(t, "the peer does not speak SMTP");
					return;
				}
			}
		}
	}
}

/* An event of the epoll set on one of our sockets. */
void
MailEvent(int slot, uint32 events)
{
	MailConnection *c = slot < nconnections ? connections[slot] : NULL;

	if (c == NULL || c->phase <= MAIL_CONNECTING)
		return;
	if ((events & EPOLLOUT) && c->t != NULL && c->out_len > 0)
	{
		if (c->phase == MAIL_DOT)
		{
			Transfer   *t = c->t;

			if (!Send(c) || c->out_len > 0)
				return;
			if (!t->handed)
				Speak(c);
		}
		else if (!Send(c))
			return;
	}
	if ((events & (EPOLLIN | EPOLLERR | EPOLLHUP)) && c->phase > MAIL_CONNECTING)
		Listen(c);
}

/* libcurl has opened a connection, or could not. */
void
MailConnected(void *private, CURLcode rc)
{
	MailConnection *c = private;
	Transfer   *t = c->t;

	if (rc != CURLE_OK || curl_easy_getinfo(c->easy, CURLINFO_ACTIVESOCKET, &c->fd) != CURLE_OK || c->fd < 0)
	{
		bool		refused = c->line[0] == '4' || c->line[0] == '5';

		SetTransferError(t, "%s", refused ? c->line :
						 c->curl_error[0] ? c->curl_error : curl_easy_strerror(rc));
		Finish(c, strstr(c->line, "address of the host is not") ? RESULT_DEAD : RESULT_RETRY, false);
		return;
	}
	c->phase = MAIL_FROM;
	Begin(c);
}

/* Options of a connection. */
static void
SetConnectionOptions(MailConnection *c)
{
	CURL	   *e = c->easy;
	Channel    *channel = c->channel;
	Jsonb	   *settings = channel->settings;
	char	   *tls = SettingText(settings, "tls");
	bool		loopback = strncmp(channel->host, "127.", 4) == 0 ||
		strcmp(channel->host, "localhost") == 0 || strcmp(channel->host, "[::1]") == 0;
	long		use_ssl;

	/* a password never leaves this machine in the clear unless told */
	if (tls == NULL)
		use_ssl = SettingText(settings, "password_secret") != NULL && !loopback ?
			CURLUSESSL_ALL : CURLUSESSL_TRY;
	else
		use_ssl = strcmp(tls, "none") == 0 ? CURLUSESSL_NONE :
			strcmp(tls, "try") == 0 ? CURLUSESSL_TRY : CURLUSESSL_ALL;
	SetConnectOptions(e, channel);
	curl_easy_setopt(e, CURLOPT_PRIVATE, c);
	curl_easy_setopt(e, CURLOPT_ERRORBUFFER, c->curl_error);
	curl_easy_setopt(e, CURLOPT_URL, channel->url);
	curl_easy_setopt(e, CURLOPT_CONNECT_ONLY, 1L);
	curl_easy_setopt(e, CURLOPT_USE_SSL, use_ssl);
	curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, OnMailSocket);
	curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, c);
	curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, OnMailHeader);
	curl_easy_setopt(e, CURLOPT_HEADERDATA, c);
}

/* A connection that the channel has kept, or a free place for a new one. */
static MailConnection *
FindConnection(Channel *channel, bool fresh)
{
	MailConnection *unused = NULL;

	for (int i = 0; i < nconnections; i++)
	{
		MailConnection *c = connections[i];

		if (!fresh && c->phase == MAIL_IDLE && c->channel == channel && c->version == channel->version)
			return c;
		if (c->phase == MAIL_FREE)
			unused = c;
	}
	if (unused == NULL && nconnections < MAX_CONNECTIONS)
	{
		unused = MemoryContextAllocZero(dispatcher.context, sizeof(MailConnection));
		connections[nconnections++] = unused;
	}
	return unused;
}

/*
 * Start a mail that has been composed: on a kept connection, or on a new one.
 * May ereport while nothing was sent.
 */
bool
MailStart(Transfer *t, bool fresh)
{
	MailConnection *c = FindConnection(t->channel, fresh);
	CURLMcode	rc;
	sigset_t	save;

	if (c == NULL)
	{
		strlcpy(t->error, "too many connections", ERROR_MAX);
		return false;
	}
	t->started_at = SteadyNow();
	if (c->phase == MAIL_IDLE)
	{
		t->mail = c;
		c->t = t;
		t->deferred_start = true;	/* once it is in the list of flying ones */
		return true;
	}
	memset(c, 0, sizeof(MailConnection));
	c->fd = -1;
	c->channel = t->channel;
	c->version = t->channel->version;
	c->easy = curl_easy_init();
	if (c->easy == NULL)
	{
		strlcpy(t->error, "out of memory", ERROR_MAX);
		return false;
	}
	SetConnectionOptions(c);
	EnterCurl(&save);
	rc = curl_multi_add_handle(mail_multi, c->easy);
	LeaveCurl(&save);
	if (rc != CURLM_OK)
	{
		strlcpy(t->error, curl_multi_strerror(rc), ERROR_MAX);
		curl_easy_cleanup(c->easy);
		return false;
	}
	c->phase = MAIL_CONNECTING;
	c->t = t;
	t->mail = c;
	return true;
}

/* Begin on a kept connection; the transfer is in the list of flying ones. */
void
MailBegin(Transfer *t)
{
	t->deferred_start = false;
	if (t->mail != NULL)
		Begin(t->mail);
}

/* Stop a mail now: its connection ends. */
void
MailAbort(Transfer *t)
{
	if (t->mail != NULL)
	{
		t->mail->t = NULL;
		CloseConnection(t->mail);
		t->mail = NULL;
	}
}

/* Close what was idle for long. */
void
MailExpireIdle(TimestampTz now)
{
	for (int i = 0; i < nconnections; i++)
		if (connections[i]->phase == MAIL_IDLE &&
			TimestampDifferenceExceeds(connections[i]->idle_since, now, IDLE_MS))
			CloseConnection(connections[i]);
}
