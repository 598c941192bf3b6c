/*
 * request.c
 *		HTTP requests out of a channel's settings and a message, and what the
 *		reply says.
 *
 * A request is data: method, headers, a JSON, text or form body whose strings
 * hold {{variables}} (variables.c).  A string that is one variable and nothing
 * else takes the value's JSON type.
 */
#include "o2c.h"

#include <time.h>

#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/json.h"

#include "dispatch/worker.h"

/* Text of the database in UTF-8. */
char *
ToUtf8(const char *s, int len)
{
	char	   *copy = pnstrdup(s, len);

	return pg_server_to_any(copy, len, PG_UTF8);
}

/* A JSON scalar as text; NULL for null and for containers. */
char *
JsonScalarText(const JsonbValue *v)
{
	switch (v->type)
	{
		case jbvString:
			return ToUtf8(v->val.string.val, v->val.string.len);
		case jbvNumeric:
			return DatumGetCString(DirectFunctionCall1(numeric_out,
													   NumericGetDatum(v->val.numeric)));
		case jbvBool:
			return pstrdup(v->val.boolean ? "true" : "false");
		default:
			return NULL;
	}
}

/* A text or number of the settings, or NULL. */
char *
SettingText(Jsonb *settings, const char *key)
{
	JsonbValue	v;

	if (getKeyJsonValueFromContainer(&settings->root, key, strlen(key), &v) == NULL)
		return NULL;
	return JsonScalarText(&v);
}

/* A positive number of the settings. */
double
SettingNumber(Jsonb *settings, const char *key, double otherwise)
{
	char	   *s = SettingText(settings, key);
	char	   *end;
	double		d;

	if (s == NULL)
		return otherwise;
	d = strtod(s, &end);
	return end == s || !(d >= 0 && d < 1e9) ? otherwise : d;
}

/* A member of the settings that is an object or array, or NULL. */
static JsonbContainer *
SettingContainer(Jsonb *settings, const char *key)
{
	JsonbValue	v;

	if (getKeyJsonValueFromContainer(&settings->root, key, strlen(key), &v) == NULL ||
		v.type != jbvBinary)
		return NULL;
	return v.val.binary.data;
}

/* A JSON body with its variables replaced. */
static void
AppendJson(StringInfo out, Transfer *t, JsonbContainer *c)
{
	JsonbIterator *it = JsonbIteratorInit(c);
	JsonbValue	v;
	JsonbIteratorToken token;
	bool		first = true;
	bool		object = JsonContainerIsObject(c);

	appendStringInfoChar(out, object ? '{' : '[');
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		if (token != WJB_KEY && token != WJB_VALUE && token != WJB_ELEM)
			continue;
		if (token != WJB_VALUE)
		{
			if (!first)
				appendStringInfoChar(out, ',');
			first = false;
		}
		if (token == WJB_KEY)
		{
			escape_json(out, JsonScalarText(&v));
			appendStringInfoChar(out, ':');
		}
		else if (v.type == jbvBinary)
			AppendJson(out, t, v.val.binary.data);
		else if (v.type == jbvString)
			AppendJsonString(out, t, JsonScalarText(&v));
		else
		{
			char	   *s = JsonScalarText(&v);

			appendStringInfoString(out, s ? s : "null");
		}
	}
	appendStringInfoChar(out, object ? '}' : ']');
}

/* Bodies of channels whose settings name none. */
static void
AppendDefaultBody(StringInfo out, Transfer *t)
{
	static const char *const sms[] = {"id", "key", "to", "recipient", "text", "text", NULL};
	static const char *const post[] = {"id", "key", "to", "recipient", "subject", "subject",
	"text", "text", "html", "html", "attachments", "attachments", NULL};
	static const char *const event[] = {"type", "kind", "id", "key", "data", "context", NULL};
	const char *const *pairs = t->channel->kind == CHANNEL_SMS ? sms :
		t->channel->kind == CHANNEL_WEBHOOK ? event : post;

	if (t->channel->kind == CHANNEL_WEBHOOK && t->body_text != NULL)
	{
		appendStringInfoString(out, t->body_text);
		return;
	}
	appendStringInfoChar(out, '{');
	for (int i = 0; pairs[i] != NULL; i += 2)
	{
		char		source[64];

		if (i > 0)
			appendStringInfoChar(out, ',');
		escape_json(out, pairs[i]);
		appendStringInfoChar(out, ':');
		snprintf(source, sizeof(source), "{{%s}}", pairs[i + 1]);
		AppendJsonString(out, t, source);
	}
	appendStringInfoChar(out, '}');
}

/* An urlencoded form. */
static void
AppendForm(StringInfo out, Transfer *t, JsonbContainer *form)
{
	JsonbIterator *it = JsonbIteratorInit(form);
	JsonbValue	v;
	JsonbIteratorToken token;
	bool		first = true;

	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		char	   *s;

		if (token != WJB_KEY && token != WJB_VALUE)
			continue;
		s = JsonScalarText(&v);
		if (token == WJB_KEY)
		{
			if (!first)
				appendStringInfoChar(out, '&');
			first = false;
			AppendEscapedText(out, s, ESCAPE_URL);
			appendStringInfoChar(out, '=');
		}
		else if (s != NULL)
			AppendEscapedText(out, ExpandText(t, s, ESCAPE_NONE), ESCAPE_URL);
	}
}

/* Add a header line; the list lives as long as the message. */
static void
AddHeader(Transfer *t, char *line)
{
	struct curl_slist *header = palloc(sizeof(struct curl_slist));

	header->data = line;
	header->next = t->headers;
	t->headers = header;
}

/* The headers that the settings ask for. */
static void
AddSettingHeaders(Transfer *t, bool *typed, bool *keyed)
{
	JsonbContainer *headers = SettingContainer(t->channel->settings, "headers");
	JsonbIterator *it;
	JsonbValue	v;
	JsonbIteratorToken token;
	char	   *name = NULL;

	if (headers == NULL || !JsonContainerIsObject(headers))
		return;
	it = JsonbIteratorInit(headers);
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			name = JsonScalarText(&v);
		else if (token == WJB_VALUE)
		{
			char	   *source = JsonScalarText(&v);

			if (source == NULL)
				continue;
			*typed |= pg_strcasecmp(name, "content-type") == 0;
			*keyed |= pg_strcasecmp(name, "idempotency-key") == 0;
			AddHeader(t, psprintf("%s: %s", name, ExpandText(t, source, ESCAPE_HEADER)));
		}
	}
}

/* The signatures of an outbound webhook, one for each secret. */
static void
AddSignature(Transfer *t)
{
	Jsonb	   *settings = t->channel->settings;
	char	   *names = SettingText(settings, "signing_secret");
	int64		now = (int64) time(NULL);
	StringInfoData line;

	AddHeader(t, psprintf("webhook-id: %s", t->key));
	AddHeader(t, psprintf("webhook-timestamp: " INT64_FORMAT, now));
	if (names == NULL)
		return;
	initStringInfo(&line);
	appendStringInfoString(&line, "webhook-signature:");
	for (char *name = strtok(names, " ,"); name != NULL; name = strtok(NULL, " ,"))
	{
		const char *secret = SecretValue(t->company_id, name, t->channel->host);

		if (secret == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_O2C_CHANNEL),
					 errmsg("secret \"%s\" is not known", name)));
		appendStringInfo(&line, " %s", WebhookSignature(secret, t->key, now,
														t->payload, t->payload_len));
	}
	AddHeader(t, line.data);
}

/* A text of settings.response, or NULL. */
static char *
ResponseSetting(Jsonb *settings, const char *key)
{
	JsonbContainer *response = SettingContainer(settings, "response");
	JsonbValue	v;

	if (response == NULL || !JsonContainerIsObject(response) ||
		getKeyJsonValueFromContainer(response, key, strlen(key), &v) == NULL)
		return NULL;
	return JsonScalarText(&v);
}

/*
 * Build URL, method, headers and body of an HTTP message.  Runs with the
 * transfer's context current; an error makes the message dead.
 */
void
BuildHttpRequest(Transfer *t, char **url, char **method)
{
	Jsonb	   *settings = t->channel->settings;
	JsonbContainer *form = SettingContainer(settings, "form");
	JsonbContainer *body = SettingContainer(settings, "body");
	char	   *text = SettingText(settings, "body");
	char	   *bearer = SettingText(settings, "bearer_secret");
	StringInfoData out;
	bool		typed = false;
	bool		keyed = false;

	*url = ExpandText(t, t->channel->url, ESCAPE_URL);
	t->id_header = ResponseSetting(settings, "provider_id");
	if (t->id_header != NULL)
		t->id_header = strncmp(t->id_header, "header:", 7) == 0 ? t->id_header + 7 : NULL;
	*method = SettingText(settings, "method");
	if (*method == NULL)
		*method = "POST";

	initStringInfo(&out);
	if (form != NULL)
		AppendForm(&out, t, form);
	else if (body != NULL)
		AppendJson(&out, t, body);
	else if (text != NULL)
		appendStringInfoString(&out, ExpandText(t, text, strchr("{[", text[0]) != NULL ?
												ESCAPE_JSON : ESCAPE_NONE));
	else
		AppendDefaultBody(&out, t);
	t->payload = out.data;
	t->payload_len = out.len;

	AddSettingHeaders(t, &typed, &keyed);
	if (!typed)
		AddHeader(t, form ? "Content-Type: application/x-www-form-urlencoded" :
				  "Content-Type: application/json");
	if (!keyed)
		AddHeader(t, psprintf("Idempotency-Key: %s", t->key));
	if (bearer != NULL)
		AddHeader(t, ExpandText(t, psprintf("Authorization: Bearer {{secret:%s}}", bearer),
								ESCAPE_HEADER));
	if (t->channel->kind == CHANNEL_WEBHOOK)
		AddSignature(t);
	/* no waiting for 100-continue: it only hides what the peer does */
	AddHeader(t, "Expect:");
}

/*
 * After a reply of success: take the provider's id out of it, and judge it by
 * the settings' response.ok {path: value}.  False leaves t->error set.
 */
bool
ReplyAccepted(Transfer *t)
{
	Jsonb	   *settings = t->channel->settings;
	char	   *path = ResponseSetting(settings, "provider_id");
	JsonbContainer *response = SettingContainer(settings, "response");
	JsonbValue	ok;

	if (path != NULL && strncmp(path, "header:", 7) == 0)
		strlcpy(t->provider_id, t->header_value, sizeof(t->provider_id));
	else if (path != NULL)
		(void) JsonReplyText(t->reply, t->reply_len, path, t->provider_id, sizeof(t->provider_id));

	if (response != NULL && JsonContainerIsObject(response) &&
		getKeyJsonValueFromContainer(response, "ok", 2, &ok) != NULL && ok.type == jbvBinary &&
		JsonContainerIsObject(ok.val.binary.data))
	{
		JsonbIterator *it = JsonbIteratorInit(ok.val.binary.data);
		JsonbValue	v;
		JsonbIteratorToken token;
		char		found[256] = "";

		while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
		{
			if (token == WJB_KEY)
			{
				found[0] = '\0';
				(void) JsonReplyText(t->reply, t->reply_len, JsonScalarText(&v), found, sizeof(found));
			}
			else if (token == WJB_VALUE)
			{
				bool		fits = false;

				if (v.type == jbvBinary)
				{
					JsonbIterator *inner = JsonbIteratorInit(v.val.binary.data);
					JsonbValue	e;
					JsonbIteratorToken et;

					while ((et = JsonbIteratorNext(&inner, &e, true)) != WJB_DONE)
						if (et == WJB_ELEM)
						{
							char	   *s = JsonScalarText(&e);

							fits |= s != NULL && strcmp(s, found) == 0;
						}
				}
				else
				{
					char	   *s = JsonScalarText(&v);

					fits = s != NULL && strcmp(s, found) == 0;
				}
				if (!fits)
				{
					char	   *error_path = ResponseSetting(settings, "error");
					char		why[200] = "";

					if (error_path != NULL)
						(void) JsonReplyText(t->reply, t->reply_len, error_path, why, sizeof(why));
					SetTransferError(t, "peer refused it: %s", why[0] ? why : found);
					return false;
				}
			}
		}
	}
	return true;
}
