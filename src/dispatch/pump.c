/*
 * pump.c
 *		What makes messages move: libcurl's multi interface on an epoll set.
 *
 * The dispatcher waits for sockets and its latch at once: libcurl's sockets
 * are members of one epoll set, which is a single descriptor to PostgreSQL's
 * wait.  All signals are blocked while libcurl runs, so that its resolver
 * threads inherit that and no handler ever runs in one.
 *
 * Which message a socket carries, and what its end means, is transfer.c's and
 * mail.c's affair.
 */
#include "o2c.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"

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
static int	in_curl = 0;

/* libcurl runs with signals blocked; see the top.  May be nested. */
void
EnterCurl(sigset_t *save)
{
	if (in_curl++ == 0)
		pthread_sigmask(SIG_BLOCK, &all_signals, save);
}

/* The end of that. */
void
LeaveCurl(sigset_t *save)
{
	if (--in_curl == 0)
		pthread_sigmask(SIG_SETMASK, save, NULL);
}

/*
 * Of which descriptors libcurl wants to hear.  A connection that is kept is let
 * go and taken up again with every message: the set has it all the time, and
 * loses it when it speaks unasked.  libcurl does not tell of every socket that
 * it closes, so nothing is taken for known of one that it asks for.
 */
static bool *wanted = NULL;
static int	nwanted = 0;

/* CURLMOPT_SOCKETFUNCTION: keep the epoll set as libcurl wants it. */
static int
OnSocket(CURL *easy, curl_socket_t fd, int what, void *userp, void *socketp)
{
	struct epoll_event event = {0};

	if (fd >= nwanted)
	{
		int			n = Max(1024, fd * 2);
		bool	   *more = realloc(wanted, sizeof(bool) * n);

		if (more == NULL)
			return -1;
		memset(more + nwanted, 0, sizeof(bool) * (n - nwanted));
		wanted = more;
		nwanted = n;
	}
	wanted[fd] = what != CURL_POLL_REMOVE;
	if (wanted[fd])
	{
		event.data.u64 = (uint64) fd | (uint64) ((Multi *) userp - multis) << 32;
		event.events = (what & CURL_POLL_IN ? EPOLLIN : 0) | (what & CURL_POLL_OUT ? EPOLLOUT : 0);
		if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, fd, &event) != 0)
			(void) epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
	}
	else if (userp == &multis[MAIL])
		(void) epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, NULL);	/* mail.c watches it from here on */
	return 0;
}

/* An event on a connection that nobody uses: the peer closed it, likely. */
static bool
Unwanted(curl_socket_t fd)
{
	if (fd < nwanted && wanted[fd])
		return false;
	(void) epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, NULL);
	return true;
}

/* CURLMOPT_TIMERFUNCTION */
static int
OnTimer(CURLM *m, long timeout_ms, void *userp)
{
	((Multi *) userp)->timer_at = timeout_ms < 0 ? 0 :
		TimestampTzPlusMilliseconds(SteadyNow(), timeout_ms);
	return 0;
}

/* Once in the life of the dispatcher. */
void
PumpInit(void)
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
		/* mail.c counts its own, which libcurl would take for idle */
		curl_multi_setopt(handle, CURLMOPT_MAXCONNECTS, i == HTTP ? (long) dispatcher.kept_limit : 8192L);
		curl_multi_setopt(handle, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
	}
	LeaveCurl(&save);
	if (multis[lengthof(multis) - 1].handle == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	MailInit(multis[MAIL].handle, epoll_fd);
}

/* The handle that carries the HTTP requests. */
CURLM *
HttpMulti(void)
{
	return multis[HTTP].handle;
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
				TransferCompleted((Transfer *) private, rc);
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

		if (m->timer_at != 0 && m->timer_at <= SteadyNow())
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
Pump(long timeout_ms)
{
	TimestampTz timer_at;
	bool		expired = TransferExpire(SteadyNow());

	if (Work() || expired || timeout_ms <= 0)
		return;
	if (dispatcher.nflying > 0)
		timeout_ms = Min(timeout_ms, 200);
	timer_at = NextTimer();
	if (timer_at != 0)
	{
		TimestampTz now = SteadyNow();

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
