/*
 * dispatch_floor.c
 *		What the dispatcher is measured against, and a peer fast enough for it.
 *
 *	dispatch_floor http URL COUNT CONNECTIONS	the same requests by bare libcurl
 *	dispatch_floor smtp URL COUNT CONNECTIONS	the same mails by bare libcurl
 *	dispatch_floor sink							an SMTP server that takes everything; prints its port
 *
 * The floor keeps CONNECTIONS transfers open in one multi handle and waits with
 * curl_multi_poll: no database, no state, nothing remembered.
 */
#include <curl/curl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static const char mail[] =
"From: billing@example.com\r\nTo: customer@example.com\r\nSubject: Reminder\r\n"
"Message-ID: <0123456789012345678901234567890123456789@example.com>\r\n"
"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nPlease pay invoice 4711 of 119.00 EUR.\r\n";

static size_t
Discard(char *data, size_t size, size_t n, void *arg)
{
	return size * n;
}

static size_t
ReadMail(char *buffer, size_t size, size_t n, void *arg)
{
	size_t	   *pos = arg;
	size_t		left = sizeof(mail) - 1 - *pos;

	n = size * n < left ? size * n : left;
	memcpy(buffer, mail + *pos, n);
	*pos += n;
	return n;
}

static double
Now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static int
Floor(int smtp, const char *url, int count, int width)
{
	CURLM	   *multi = curl_multi_init();
	CURL	  **easy = calloc(width, sizeof(CURL *));
	size_t	   *pos = calloc(width, sizeof(size_t));
	struct curl_slist *rcpt = curl_slist_append(NULL, "customer@example.com");
	struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
	int			started = 0;
	int			done = 0;
	int			running;
	double		start = Now();

	headers = curl_slist_append(headers, "Idempotency-Key: 01234567-0123-0123-0123-012345678901");
	headers = curl_slist_append(headers, "Expect:");
	for (int i = 0; i < width; i++)
	{
		easy[i] = curl_easy_init();
		curl_easy_setopt(easy[i], CURLOPT_URL, url);
		curl_easy_setopt(easy[i], CURLOPT_NOSIGNAL, 1L);
		curl_easy_setopt(easy[i], CURLOPT_WRITEFUNCTION, Discard);
		if (smtp)
		{
			curl_easy_setopt(easy[i], CURLOPT_MAIL_FROM, "billing@example.com");
			curl_easy_setopt(easy[i], CURLOPT_MAIL_RCPT, rcpt);
			curl_easy_setopt(easy[i], CURLOPT_UPLOAD, 1L);
			curl_easy_setopt(easy[i], CURLOPT_READFUNCTION, ReadMail);
			curl_easy_setopt(easy[i], CURLOPT_READDATA, &pos[i]);
		}
		else
		{
			curl_easy_setopt(easy[i], CURLOPT_HTTPHEADER, headers);
			curl_easy_setopt(easy[i], CURLOPT_POSTFIELDS,
							 "{\"id\":\"01234567-0123-0123-0123-012345678901\",\"to\":\"0170\",\"text\":\"Please pay invoice 4711 of 119.00 EUR.\"}");
		}
		curl_easy_setopt(easy[i], CURLOPT_PRIVATE, (char *) &pos[i]);
		if (started < count)
		{
			curl_multi_add_handle(multi, easy[i]);
			started++;
		}
	}
	while (done < count)
	{
		CURLMsg    *msg;
		int			left;

		curl_multi_perform(multi, &running);
		while ((msg = curl_multi_info_read(multi, &left)) != NULL)
		{
			CURL	   *e = msg->easy_handle;
			char	   *p;

			if (msg->data.result != CURLE_OK)
			{
				fprintf(stderr, "%s\n", curl_easy_strerror(msg->data.result));
				return 1;
			}
			done++;
			curl_multi_remove_handle(multi, e);
			curl_easy_getinfo(e, CURLINFO_PRIVATE, &p);
			*(size_t *) p = 0;
			if (started < count)
			{
				curl_multi_add_handle(multi, e);
				started++;
			}
		}
		if (done < count)
			curl_multi_poll(multi, NULL, 0, 100, NULL);
	}
	printf("%.1f\n", (Now() - start) * 1000);
	return 0;
}

/* One connection of the sink: in a mail or not, and how much of an end was seen. */
typedef struct Client
{
	int			in_data;
	char		line[1024];
	int			len;
} Client;

static void
Say(int fd, const char *text)
{
	if (write(fd, text, strlen(text)) < 0)
		return;
}

static void
Line(int fd, Client *c)
{
	if (c->in_data)
	{
		if (strcmp(c->line, ".") == 0)
		{
			c->in_data = 0;
			Say(fd, "250 ok\r\n");
		}
	}
	else if (strncasecmp(c->line, "EHLO", 4) == 0)
		Say(fd, "250-sink\r\n250 PIPELINING\r\n");
	else if (strncasecmp(c->line, "DATA", 4) == 0)
	{
		c->in_data = 1;
		Say(fd, "354 go on\r\n");
	}
	else if (strncasecmp(c->line, "QUIT", 4) == 0)
		Say(fd, "221 bye\r\n");
	else
		Say(fd, "250 ok\r\n");
}

static int
Sink(void)
{
	static Client clients[4096];
	int			listener = socket(AF_INET, SOCK_STREAM, 0);
	int			ep = epoll_create1(0);
	struct sockaddr_in addr = {.sin_family = AF_INET};
	socklen_t	len = sizeof(addr);
	struct epoll_event ev = {.events = EPOLLIN};
	char		buffer[65536];

	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(listener, (struct sockaddr *) &addr, len) != 0 || listen(listener, 512) != 0)
		return 1;
	getsockname(listener, (struct sockaddr *) &addr, &len);
	printf("%d\n", ntohs(addr.sin_port));
	fflush(stdout);
	ev.data.fd = listener;
	epoll_ctl(ep, EPOLL_CTL_ADD, listener, &ev);
	for (;;)
	{
		struct epoll_event events[128];
		int			n = epoll_wait(ep, events, 128, -1);

		for (int i = 0; i < n; i++)
		{
			int			fd = events[i].data.fd;
			ssize_t		got;

			if (fd == listener)
			{
				int			one = 1;

				fd = accept(listener, NULL, NULL);
				if (fd < 0 || fd >= 4096)
					continue;
				setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
				memset(&clients[fd], 0, sizeof(Client));
				ev.data.fd = fd;
				epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
				Say(fd, "220 sink\r\n");
				continue;
			}
			got = read(fd, buffer, sizeof(buffer));
			if (got <= 0)
			{
				close(fd);
				continue;
			}
			for (ssize_t k = 0; k < got; k++)
			{
				Client	   *c = &clients[fd];

				if (buffer[k] == '\n')
				{
					c->line[c->len] = '\0';
					c->len = 0;
					Line(fd, c);
				}
				else if (buffer[k] != '\r' && c->len < (int) sizeof(c->line) - 1)
					c->line[c->len++] = buffer[k];
			}
		}
	}
}

int
main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "sink") == 0)
		return Sink();
	if (argc == 5)
		return Floor(strcmp(argv[1], "smtp") == 0, argv[2], atoi(argv[3]), atoi(argv[4]));
	fprintf(stderr, "usage: %s http|smtp URL COUNT CONNECTIONS | sink\n", argv[0]);
	return 2;
}
