/*
 * channel.c
 *		What the dispatcher knows of a channel: its row, and its peer's conduct.
 */
#include "o2c.h"

#include "utils/builtins.h"
#include "utils/memutils.h"

#include "dispatch/worker.h"

/*
 * The channel of that name, read again when its row has changed.  Called with
 * the row of a lane as current result.
 */
Channel *
ChannelOf(int32 company_id, const char *code, int64 version, uint64 row, int first)
{
	Channel    *channel = NULL;
	dlist_iter	iter;
	char	   *scheme = NULL;
	char	   *host = NULL;
	char	   *port = NULL;
	char	   *kind;
	char	   *name;
	char	   *email;
	CURLU	   *parts;
	bool		isnull;
	MemoryContext old;

	dlist_foreach(iter, &dispatcher.channels)
	{
		Channel    *c = dlist_container(Channel, node, iter.cur);

		if (c->company_id == company_id && strcmp(c->code, code) == 0)
		{
			channel = c;
			break;
		}
	}
	if (channel != NULL && channel->version == version)
		return channel;
	if (channel != NULL)
	{
		/* what has not begun goes by the new row, and waits for what has */
		ReleaseWaiting(channel);
		channel->outdated = channel->nflying > 0;
		if (channel->outdated)
			return channel;
	}
	if (channel == NULL)
	{
		channel = MemoryContextAllocZero(dispatcher.context, sizeof(Channel));
		channel->company_id = company_id;
		strlcpy(channel->code, code, sizeof(channel->code));
		dlist_init(&channel->waiting);
		channel->ceiling = 2 * o2c_dispatch_concurrency;
		dlist_push_tail(&dispatcher.channels, &channel->node);
	}
	else
	{
		MemoryContextDelete(channel->context);
		ForgetHandles(channel);
		channel->blocked_until = 0;
		channel->failures = 0;
	}
	channel->version = version;
	channel->context = AllocSetContextCreate(dispatcher.context, "o2c channel",
											 ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(channel->context);
	kind = TextValue(row, first, channel->context);
	channel->kind = strcmp(kind, "email") == 0 ? CHANNEL_EMAIL :
		strcmp(kind, "sms") == 0 ? CHANNEL_SMS :
		strcmp(kind, "post") == 0 ? CHANNEL_POST : CHANNEL_WEBHOOK;
	channel->url = TextValue(row, first + 1, channel->context);
	channel->settings = JsonbValueOf(row, first + 2, channel->context);
	channel->rate = DatumGetFloat8(Value(row, first + 3, &isnull));
	if (isnull)
		channel->rate = 0;
	channel->max_concurrency = IntValue(row, first + 4);
	channel->max_attempts = IntValue(row, first + 5);
	name = TextValue(row, first + 6, channel->context);
	email = TextValue(row, first + 7, channel->context);
	channel->timeout = Max(0.1, SettingNumber(channel->settings, "timeout", 30));
	channel->connect_timeout = Max(0.1, SettingNumber(channel->settings, "connect_timeout", 10));
	channel->backoff = Max(0.01, SettingNumber(channel->settings, "backoff", 10));
	channel->window = SettingNumber(channel->settings, "idempotency_window", 0);
	channel->broken = NULL;

	parts = curl_url();
	if (parts == NULL ||
		curl_url_set(parts, CURLUPART_URL, channel->url, CURLU_NON_SUPPORT_SCHEME) != CURLUE_OK ||
		curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
		curl_url_get(parts, CURLUPART_HOST, &host, 0) != CURLUE_OK)
		channel->broken = "url of the channel cannot be used";
	else
	{
		channel->smtp = strncmp(scheme, "smtp", 4) == 0;
		if (curl_url_get(parts, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK)
			channel->port = atoi(port);
		else
			channel->port = channel->smtp ? 25 : 80;
	}
	channel->host = pstrdup(host ? host : "");
	curl_free(scheme);
	curl_free(host);
	curl_free(port);
	curl_url_cleanup(parts);

	channel->from = SettingText(channel->settings, "from");
	if (channel->from == NULL && email != NULL && IsMailAddress(email, strlen(email)))
		channel->from = psprintf("%s <%s>", name, email);
	if (channel->from == NULL)
		channel->from = psprintf("%s <no-reply@%s>", name,
								 strspn(channel->host, "0123456789.") == strlen(channel->host) ||
								 channel->host[0] == '[' ? "localhost.localdomain" : channel->host);
	MemoryContextSwitchTo(old);
	return channel;
}
