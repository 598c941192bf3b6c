/*
 * variables.c
 *		The {{variables}} of a channel's settings, replaced by what a message says.
 *
 * Variables: id, key, recipient, subject, text, html, kind, language,
 * company_id, timestamp, attachments, context, secret:NAME, and every dotted
 * path of the message's context.  Values are escaped for the place where they
 * stand.
 */
#include "o2c.h"

#include <time.h>

#include "common/base64.h"
#include "utils/builtins.h"
#include "utils/json.h"

#include "dispatch/worker.h"

/* Follow a dotted path into the message's context. */
static bool
ContextValue(Transfer *t, const char *path, JsonbValue *out)
{
	JsonbContainer *c;

	if (t->message_context == NULL)
		return false;
	c = &t->message_context->root;
	for (;;)
	{
		int			len = strcspn(path, ".");
		char	   *end;
		long		i;

		if (JsonContainerIsObject(c))
		{
			if (getKeyJsonValueFromContainer(c, path, len, out) == NULL)
				return false;
		}
		else
		{
			JsonbValue *element;

			i = strtol(path, &end, 10);
			if (end != path + len || i < 0 ||
				(element = getIthJsonbValueFromContainer(c, (uint32) i)) == NULL)
				return false;
			*out = *element;
		}
		path += len;
		if (*path == '\0')
			return true;
		path++;
		if (out->type != jbvBinary)
			return false;
		c = out->val.binary.data;
	}
}

/* The attachments as a JSON array. */
static char *
AttachmentsJson(Transfer *t)
{
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfoChar(&out, '[');
	for (int i = 0; i < t->nattachments; i++)
	{
		Attachment *a = &t->attachments[i];
		int			max = pg_b64_enc_len(a->size) + 1;

		appendStringInfoString(&out, i == 0 ? "{\"name\":" : ",{\"name\":");
		escape_json(&out, a->name);
		appendStringInfoString(&out, ",\"content_type\":");
		escape_json(&out, a->content_type);
		appendStringInfoString(&out, ",\"content\":\"");
		enlargeStringInfo(&out, max + 4);
		out.len += Max(0, pg_b64_encode((void *) a->content, a->size, out.data + out.len, max));
		out.data[out.len] = '\0';
		appendStringInfoString(&out, "\"}");
	}
	appendStringInfoChar(&out, ']');
	return out.data;
}

/*
 * The value of a variable: *json for what is JSON already (objects, numbers),
 * else *text.  Unknown variables are empty.
 */
static void
Variable(Transfer *t, const char *name, char **text, char **json)
{
	JsonbValue	v;

	*text = NULL;
	*json = NULL;
	if (strncmp(name, "secret:", 7) == 0)
	{
		const char *value = SecretValue(t->company_id, name + 7, t->channel->host);

		if (value == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_O2C_CHANNEL),
					 errmsg("secret \"%s\" is not known", name + 7)));
		*text = pstrdup(value);
	}
	else if (strcmp(name, "recipient") == 0)
		*text = t->recipient;
	else if (strcmp(name, "key") == 0 || strcmp(name, "idempotency_key") == 0)
		*text = t->key;
	else if (strcmp(name, "subject") == 0)
		*text = t->subject;
	else if (strcmp(name, "text") == 0 || strcmp(name, "body_text") == 0)
		*text = t->body_text;
	else if (strcmp(name, "html") == 0 || strcmp(name, "body_html") == 0)
		*text = t->body_html;
	else if (strcmp(name, "kind") == 0)
		*text = t->kind;
	else if (strcmp(name, "language") == 0)
		*text = t->language;
	else if (strcmp(name, "id") == 0 || strcmp(name, "message_id") == 0)
		*json = psprintf(INT64_FORMAT, t->id);
	else if (strcmp(name, "company_id") == 0)
		*json = psprintf("%d", t->company_id);
	else if (strcmp(name, "timestamp") == 0)
		*json = psprintf(INT64_FORMAT, (int64) time(NULL));
	else if (strcmp(name, "attachments") == 0)
		*json = AttachmentsJson(t);
	else if (strcmp(name, "context") == 0)
	{
		if (t->message_context != NULL)
		{
			char	   *s = JsonbToCString(NULL, &t->message_context->root,
										   VARSIZE(t->message_context));

			*json = ToUtf8(s, strlen(s));
		}
	}
	else if (ContextValue(t, name, &v))
	{
		if (v.type == jbvString)
			*text = JsonScalarText(&v);
		else if (v.type == jbvBinary)
		{
			char	   *s = JsonbToCString(NULL, v.val.binary.data, v.val.binary.len);

			*json = ToUtf8(s, strlen(s));
		}
		else
			*json = JsonScalarText(&v);
	}
}

/* Append a value as its place demands. */
void
AppendEscapedText(StringInfo out, const char *s, Escape escape)
{
	static const char hex[] = "0123456789ABCDEF";

	switch (escape)
	{
		case ESCAPE_NONE:
			appendStringInfoString(out, s);
			break;
		case ESCAPE_HEADER:
			for (; *s; s++)
				appendStringInfoChar(out, (unsigned char) *s < 0x20 || *s == 0x7f ? ' ' : *s);
			break;
		case ESCAPE_URL:
			for (; *s; s++)
			{
				unsigned char c = *s;

				if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
					(c >= 'a' && c <= 'z') || strchr("-._~", c) != NULL)
					appendStringInfoChar(out, c);
				else
					appendStringInfo(out, "%%%c%c", hex[c >> 4], hex[c & 15]);
			}
			break;
		case ESCAPE_JSON:
			{
				StringInfoData quoted;

				initStringInfo(&quoted);
				escape_json(&quoted, s);
				appendBinaryStringInfo(out, quoted.data + 1, quoted.len - 2);
				pfree(quoted.data);
			}
			break;
	}
}

/* The next {{name}} of a source: its place, length and name; or false. */
static bool
NextVariable(const char *source, const char **start, int *len, char *name)
{
	const char *open = strstr(source, "{{");
	const char *close = open ? strstr(open + 2, "}}") : NULL;
	const char *from;
	const char *to;

	if (close == NULL)
		return false;
	from = open + 2;
	to = close;
	while (from < to && *from == ' ')
		from++;
	while (to > from && to[-1] == ' ')
		to--;
	*start = open;
	*len = close + 2 - open;
	strlcpy(name, from, Min(to - from + 1, 200));
	return true;
}

/* A text with its variables replaced, each escaped; palloc'd. */
char *
ExpandText(Transfer *t, const char *source, Escape escape)
{
	StringInfoData out;
	const char *start;
	int			len;
	char		name[200];

	initStringInfo(&out);
	while (NextVariable(source, &start, &len, name))
	{
		char	   *text;
		char	   *json;

		appendBinaryStringInfo(&out, source, start - source);
		Variable(t, name, &text, &json);
		if (text != NULL || json != NULL)
			AppendEscapedText(&out, text ? text : json, escape);
		source = start + len;
	}
	appendStringInfoString(&out, source);
	return out.data;
}

/* One string of a JSON body. */
void
AppendJsonString(StringInfo out, Transfer *t, const char *source)
{
	const char *start;
	int			len;
	char		name[200];

	if (NextVariable(source, &start, &len, name) && start == source && source[len] == '\0')
	{
		char	   *text;
		char	   *json;

		Variable(t, name, &text, &json);
		if (text != NULL)
			escape_json(out, text);
		else
			appendStringInfoString(out, json ? json : "null");
	}
	else
	{
		appendStringInfoChar(out, '"');
		appendStringInfoString(out, ExpandText(t, source, ESCAPE_JSON));
		appendStringInfoChar(out, '"');
	}
}
