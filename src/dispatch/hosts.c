/*
 * hosts.c
 *		Which hosts a channel may name, and which addresses it may reach.
 *
 * order2cash.dispatch_allowed_hosts lists host names, *.domains, addresses
 * and networks, each with an optional :port.  An empty list allows every host
 * but link-local addresses, where clouds keep their secrets.  The name is judged when
 * the channel is written and again when it is used; the address after it was
 * resolved.
 */
#include "o2c.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/rel.h"

#include "dispatch/dispatch.h"

PG_FUNCTION_INFO_V1(o2c_dispatch_channel_check);

/* An address as 16 bytes; IPv4 is mapped into IPv6. */
static bool
ParseAddress(const char *s, unsigned char out[16], bool *v4)
{
	memset(out, 0, 16);
	if (inet_pton(AF_INET, s, out + 12) == 1)
	{
		out[10] = out[11] = 0xff;
		*v4 = true;
		return true;
	}
	*v4 = false;
	return inet_pton(AF_INET6, s, out) == 1;
}

/* True when the first "bits" bits of both are equal. */
static bool
SamePrefix(const unsigned char *a, const unsigned char *b, int bits)
{
	int			bytes = bits / 8;

	if (memcmp(a, b, bytes) != 0)
		return false;
	return bits % 8 == 0 || ((a[bytes] ^ b[bytes]) >> (8 - bits % 8)) == 0;
}

/* Does one entry of the list fit host or address? */
static bool
EntryFits(const char *entry, int len, const char *host,
		  const unsigned char *addr, int port)
{
	char		pattern[300];
	char	   *colon;
	char	   *slash;
	unsigned char net[16];
	bool		v4;

	if (len == 0 || len >= (int) sizeof(pattern))
		return false;
	memcpy(pattern, entry, len);
	pattern[len] = '\0';

	/* [v6]:port, v6, name:port */
	if (pattern[0] == '[')
	{
		char	   *close = strchr(pattern, ']');

		if (close == NULL)
			return false;
		if (close[1] == ':' && atoi(close + 2) != port)
			return false;
		*close = '\0';
		memmove(pattern, pattern + 1, strlen(pattern));
	}
	else if ((colon = strchr(pattern, ':')) != NULL && strchr(colon + 1, ':') == NULL)
	{
		if (atoi(colon + 1) != port)
			return false;
		*colon = '\0';
	}
	if (strcmp(pattern, "*") == 0)
		return true;
	if (host != NULL)
	{
		if (pg_strcasecmp(pattern, host) == 0)
			return true;
		if (pattern[0] == '*' && pattern[1] == '.')
		{
			int			tail = strlen(pattern) - 1;
			int			hlen = strlen(host);

			return hlen > tail && pg_strcasecmp(host + hlen - tail, pattern + 1) == 0;
		}
	}
	if (addr == NULL)
		return false;
	slash = strchr(pattern, '/');
	if (slash != NULL)
		*slash = '\0';
	if (!ParseAddress(pattern, net, &v4))
		return false;
	return SamePrefix(net, addr, slash == NULL ? 128 :
					  Min(128, Max(0, atoi(slash + 1) + (v4 ? 96 : 0))));
}

/* Does any entry of the setting fit? */
static bool
ListFits(const char *host, const unsigned char *addr, int port)
{
	const char *p = o2c_dispatch_allowed_hosts;

	while (p != NULL && *p != '\0')
	{
		int			len = strcspn(p, ", \t");

		if (EntryFits(p, len, host, addr, port))
			return true;
		p += len;
		p += strspn(p, ", \t");
	}
	return false;
}

static bool
ListIsEmpty(void)
{
	return o2c_dispatch_allowed_hosts == NULL ||
		o2c_dispatch_allowed_hosts[strspn(o2c_dispatch_allowed_hosts, ", \t")] == '\0';
}

/* Link-local, unspecified, multicast: never a peer unless listed. */
static bool
IsSpecialAddress(const unsigned char *a)
{
	static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

	if (memcmp(a, mapped, 12) == 0)
		return (a[12] == 169 && a[13] == 254) || a[12] == 0 || a[12] >= 224;
	if (a[0] == 0xff || (a[0] == 0xfe && (a[1] & 0xc0) == 0x80))
		return true;
	for (int i = 0; i < 16; i++)
		if (a[i] != 0)
			return false;
	return true;
}

/* May a channel name this host?  Runs in backends and in the worker. */
bool
HostAllowed(const char *host, int port)
{
	unsigned char addr[16];
	char		bare[300];
	bool		v4;
	bool		literal;
	int			len = strlen(host);

	if (len == 0 || len >= (int) sizeof(bare))
		return false;
	if (host[0] == '[')
	{
		memcpy(bare, host + 1, len - 1);
		bare[len - 2] = '\0';
	}
	else
		strlcpy(bare, host, sizeof(bare));
	literal = ParseAddress(bare, addr, &v4);
	if (ListIsEmpty())
		return !literal || !IsSpecialAddress(addr);
	return ListFits(bare, literal ? addr : NULL, port);
}

/* May the resolved address be reached?  Called by libcurl: never ereport. */
bool
SockaddrAllowed(const struct sockaddr *sa, const char *host, int port)
{
	unsigned char addr[16];

	memset(addr, 0, sizeof(addr));
	if (sa->sa_family == AF_INET)
	{
		addr[10] = addr[11] = 0xff;
		memcpy(addr + 12, &((const struct sockaddr_in *) sa)->sin_addr, 4);
	}
	else if (sa->sa_family == AF_INET6)
		memcpy(addr, &((const struct sockaddr_in6 *) sa)->sin6_addr, 16);
	else
		return false;
	if (!IsSpecialAddress(addr))
		return ListIsEmpty() || ListFits(host, addr, port);
	return !ListIsEmpty() && ListFits(NULL, addr, port);
}

/* Raise that a channel's url cannot be used. */
static void
RefuseUrl(const char *code, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_O2C_CHANNEL),
			 errmsg("url of channel \"%s\" cannot be used", code),
			 errdetail("%s", detail)));
}

/*
 * o2c_dispatch_channel_check(): BEFORE INSERT OR UPDATE ON channel, each row.
 * Scheme by kind, a host, no credentials, no variable before the path, and a
 * host of order2cash.dispatch_allowed_hosts.
 */
Datum
o2c_dispatch_channel_check(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_dispatch_channel_check");
	TupleDesc	desc = RelationGetDescr(trigdata->tg_relation);
	HeapTuple	tuple = TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event) ?
		trigdata->tg_newtuple : trigdata->tg_trigtuple;
	char	   *code = SPI_getvalue(tuple, desc, SPI_fnumber(desc, "code"));
	char	   *kind = SPI_getvalue(tuple, desc, SPI_fnumber(desc, "kind"));
	char	   *url = SPI_getvalue(tuple, desc, SPI_fnumber(desc, "url"));
	CURLU	   *parts;
	char	   *scheme = NULL;
	char	   *host = NULL;
	char	   *port = NULL;
	char	   *user = NULL;
	char	   *detail = NULL;
	bool		mail;

	if (code == NULL || kind == NULL || url == NULL)
		return PointerGetDatum(tuple);	/* NOT NULL says it */
	for (const char *p = url; *p; p++)
		if ((unsigned char) *p <= 0x20 || *p == 0x7f)
			RefuseUrl(code, "It holds a blank or a control character.");

	mail = strcmp(kind, "email") == 0;
	parts = curl_url();
	if (parts == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	if (curl_url_set(parts, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME) != CURLUE_OK ||
		curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
		curl_url_get(parts, CURLUPART_HOST, &host, 0) != CURLUE_OK)
		detail = pstrdup("It is not an absolute URL.");
	else
	{
		bool		smtp = strcmp(scheme, "smtp") == 0 || strcmp(scheme, "smtps") == 0;
		bool		http = strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0;

		(void) curl_url_get(parts, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT);
		if (!(smtp && mail) && !http)
			detail = psprintf("A channel of kind \"%s\" cannot speak \"%s\".", kind, scheme);
		else if (curl_url_get(parts, CURLUPART_USER, &user, 0) == CURLUE_OK)
			detail = pstrdup("It holds a user name; name secrets in settings instead.");
		else if (strchr(host, '{') != NULL)
			detail = pstrdup("Its host may not be variable.");
		else if (!HostAllowed(host, port ? atoi(port) : (smtp ? 25 : 80)))
			detail = psprintf("order2cash.dispatch_allowed_hosts does not allow host \"%s\".", host);
	}
	curl_free(scheme);
	curl_free(host);
	curl_free(port);
	curl_free(user);
	curl_url_cleanup(parts);
	if (detail != NULL)
		RefuseUrl(code, detail);
	return PointerGetDatum(tuple);
}
