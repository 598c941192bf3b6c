/*
 * compose.c
 *		Mail messages: headers and MIME (RFC 5322, 2045 to 2047, 2231).
 *
 * Everything that leaves is ASCII in lines of at most 78 characters, whatever
 * the language: header texts become encoded words, bodies quoted-printable or
 * base64.  No value can end its header line, because line ends are taken out
 * of header texts, and addresses were judged by address.c.  Directional
 * overrides are taken out too: a name shall not be able to rewrite how the
 * line around it reads.
 */
#include "o2c.h"

#include <time.h>

#include "mb/pg_wchar.h"

#include "dispatch/worker.h"

#define LINE_MAX_LEN 76

static const char b64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* Append bytes as base64 on one line. */
static void
AppendBase64(StringInfo out, const unsigned char *s, size_t len)
{
	for (size_t i = 0; i < len; i += 3)
	{
		uint32		v = s[i] << 16 | (i + 1 < len ? s[i + 1] << 8 : 0) | (i + 2 < len ? s[i + 2] : 0);
		char		quad[4];

		quad[0] = b64[v >> 18];
		quad[1] = b64[(v >> 12) & 63];
		quad[2] = i + 1 < len ? b64[(v >> 6) & 63] : '=';
		quad[3] = i + 2 < len ? b64[v & 63] : '=';
		appendBinaryStringInfo(out, quad, 4);
	}
}

/* Append bytes as base64 in lines. */
static void
AppendBase64Lines(StringInfo out, const unsigned char *s, size_t len)
{
	enlargeStringInfo(out, (len / 57 + 1) * 78);
	for (size_t i = 0; i < len; i += 57)
	{
		AppendBase64(out, s + i, Min(57, len - i));
		appendStringInfoString(out, "\r\n");
	}
}

/* Length of the UTF-8 character at s, at least 1. */
static inline int
CharLength(const char *s)
{
	int			len = pg_utf_mblen((const unsigned char *) s);

	for (int i = 1; i < len; i++)
		if (((unsigned char) s[i] & 0xc0) != 0x80)
			return 1;
	return len;
}

/* Controls become blanks, directional controls vanish; palloc'd. */
static char *
HeaderText(const char *s)
{
	char	   *out = palloc(strlen(s) + 1);
	char	   *p = out;

	while (*s)
	{
		int			len = CharLength(s);
		const unsigned char *u = (const unsigned char *) s;

		if (len == 3 && u[0] == 0xe2 &&
			((u[1] == 0x80 && ((u[2] >= 0xaa && u[2] <= 0xae) || u[2] == 0x8e || u[2] == 0x8f ||
							   u[2] == 0xa8 || u[2] == 0xa9)) ||
			 (u[1] == 0x81 && u[2] >= 0xa6 && u[2] <= 0xa9)))
			;					/* U+200E/F, U+2028 to U+202E, U+2066 to U+2069 */
		else if (len == 2 && u[0] == 0xc2 && u[1] < 0xa0)
			*p++ = ' ';			/* C1 controls */
		else if (u[0] < 0x20 || u[0] == 0x7f)
			*p++ = ' ';
		else
		{
			memcpy(p, s, len);
			p += len;
		}
		s += len;
	}
	*p = '\0';
	return out;
}

static bool
IsAscii(const char *s)
{
	for (; *s; s++)
		if ((unsigned char) *s >= 0x80)
			return false;
	return true;
}

/* Append encoded words, a fold between any two; room is what the line holds. */
static void
AppendEncodedWords(StringInfo out, const char *s, int room)
{
	bool		first = true;

	while (*s)
	{
		int			bytes = 0;
		int			most = first && room < 64 ? Max(3, (room - 12) / 4 * 3) : 39;

		while (s[bytes] && bytes + CharLength(s + bytes) <= Max(most, 4))
			bytes += CharLength(s + bytes);
		if (!first)
			appendStringInfoString(out, "\r\n ");
		appendStringInfoString(out, "=?UTF-8?B?");
		AppendBase64(out, (const unsigned char *) s, bytes);
		appendStringInfoString(out, "?=");
		s += bytes;
		first = false;
	}
}

/* True when every word fits a line, so that ASCII text can be folded. */
static bool
CanFold(const char *s)
{
	int			word = 0;

	if (strstr(s, "=?") != NULL || s[0] == ' ')
		return false;
	for (; *s; s++)
	{
		word = *s == ' ' ? 0 : word + 1;
		if (word > 60 || (s[0] == ' ' && (s[1] == ' ' || s[1] == '\0')))
			return false;
	}
	return true;
}

/* A header of free text. */
static void
AppendTextHeader(StringInfo out, const char *name, const char *value)
{
	char	   *text = HeaderText(value);
	int			column = strlen(name) + 2;

	appendStringInfo(out, "%s: ", name);
	if (!IsAscii(text) || !CanFold(text))
		AppendEncodedWords(out, text, LINE_MAX_LEN - column);
	else
	{
		for (char *word = text; *word;)
		{
			int			len = strcspn(word, " ");

			if (word != text)
			{
				if (column + 1 + len > LINE_MAX_LEN)
				{
					appendStringInfoString(out, "\r\n");
					column = 0;
				}
				appendStringInfoChar(out, ' ');
				column++;
			}
			appendBinaryStringInfo(out, word, len);
			column += len;
			word += len;
			if (*word == ' ')
				word++;
		}
	}
	appendStringInfoString(out, "\r\n");
}

/* The domain in ASCII where libcurl can tell it (IDNA); palloc'd. */
static char *
AsciiAddress(const char *address)
{
#ifdef CURLU_PUNYCODE
	const char *at = strrchr(address, '@');

	if (at != NULL && !IsAscii(at))
	{
		CURLU	   *parts = curl_url();
		char	   *url = psprintf("smtp://%s", at + 1);
		char	   *host = NULL;
		char	   *result = NULL;

		if (parts != NULL && curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK &&
			curl_url_get(parts, CURLUPART_HOST, &host, CURLU_PUNYCODE) == CURLUE_OK)
			result = psprintf("%.*s@%s", (int) (at - address), address, host);
		curl_free(host);
		curl_url_cleanup(parts);
		if (result != NULL)
			return result;
	}
#endif
	return pstrdup(address);
}

/* A header of one mailbox; returns the bare address. */
static char *
AppendAddressHeader(StringInfo out, const char *header, const char *mailbox)
{
	int			name_len,
				addr_start,
				addr_len;
	char	   *address;
	char	   *name;
	int			start = out->len;

	if (!SplitRecipient(mailbox, strlen(mailbox), &name_len, &addr_start, &addr_len))
		ereport(ERROR,
				(errcode(ERRCODE_O2C_CHANNEL),
				 errmsg("\"%.100s\" is not a mail address", mailbox)));
	address = AsciiAddress(pnstrdup(mailbox + addr_start, addr_len));
	name = HeaderText(pnstrdup(mailbox, name_len));
	while (name[0] == ' ')
		name++;
	while (name[0] && name[strlen(name) - 1] == ' ')
		name[strlen(name) - 1] = '\0';
	if (name[0] == '"' && strlen(name) > 1 && name[strlen(name) - 1] == '"')
	{
		/* the quotes and escapes of the input are not part of the name */
		char	   *to = name;

		name[strlen(name) - 1] = '\0';
		for (char *from = name + 1; *from; from++)
		{
			if (*from == '\\' && from[1])
				from++;
			*to++ = *from;
		}
		*to = '\0';
	}

	appendStringInfo(out, "%s: ", header);
	if (name[0] != '\0')
	{
		if (!IsAscii(name) || strlen(name) > 60)
			AppendEncodedWords(out, name, LINE_MAX_LEN - (out->len - start));
		else
		{
			appendStringInfoChar(out, '"');
			for (char *p = name; *p; p++)
			{
				if (*p == '"' || *p == '\\')
					appendStringInfoChar(out, '\\');
				appendStringInfoChar(out, *p);
			}
			appendStringInfoChar(out, '"');
		}
		appendStringInfo(out, "\r\n <%s>\r\n", address);
	}
	else
		appendStringInfo(out, "%s\r\n", address);
	return address;
}

/* Date in UTC; names are those of the standard, not of a locale. */
static void
AppendDate(StringInfo out)
{
	static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
	"Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	time_t		now = time(NULL);
	struct tm	tm;

	gmtime_r(&now, &tm);
	appendStringInfo(out, "Date: %s, %02d %s %04d %02d:%02d:%02d +0000\r\n",
					 days[tm.tm_wday], tm.tm_mday, months[tm.tm_mon],
					 tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

/* Append text as quoted-printable; line ends become CRLF. */
static void
AppendQuotedPrintable(StringInfo out, const char *s)
{
	int			column = 0;

	for (; *s; s++)
	{
		unsigned char c = *s;
		bool		at_end = s[1] == '\0' || s[1] == '\n' || (s[1] == '\r' && s[2] == '\n');
		bool		literal;

		if (c == '\r' && s[1] == '\n')
			continue;
		if (c == '\n')
		{
			appendStringInfoString(out, "\r\n");
			column = 0;
			continue;
		}
		literal = (c >= 33 && c <= 126 && c != '=' && !(column == 0 && (c == '.' || c == 'F'))) ||
			((c == ' ' || c == '\t') && !at_end);
		if (column + (literal ? 1 : 3) > LINE_MAX_LEN - 1)
		{
			appendStringInfoString(out, "=\r\n");
			column = 0;
		}
		if (literal)
		{
			appendStringInfoChar(out, c);
			column++;
		}
		else
		{
			appendStringInfo(out, "=%02X", c);
			column += 3;
		}
	}
	appendStringInfoString(out, "\r\n");
}

/* A text part, encoded by what it holds. */
static void
AppendTextPart(StringInfo out, const char *type, const char *text)
{
	size_t		len = 0;
	size_t		high = 0;
	int			line = 0;
	bool		plain = true;

	for (const char *p = text; *p; p++, len++)
	{
		unsigned char c = *p;

		line = c == '\n' ? 0 : line + 1;
		if (c >= 0x80)
			high++;
		if (c >= 0x7f || (c < 0x20 && c != '\n' && c != '\t') || line > LINE_MAX_LEN ||
			(c == '=' && p[1] == '_') || (line == 1 && (c == '.' || c == 'F')))
			plain = false;
	}
	appendStringInfo(out, "Content-Type: %s; charset=utf-8\r\n", type);
	if (plain)
	{
		appendStringInfoString(out, "Content-Transfer-Encoding: 7bit\r\n\r\n");
		for (const char *p = text; *p; p++)
		{
			if (*p == '\n')
				appendStringInfoChar(out, '\r');
			appendStringInfoChar(out, *p);
		}
		appendStringInfoString(out, "\r\n");
	}
	else if (high * 5 <= len)
	{
		appendStringInfoString(out, "Content-Transfer-Encoding: quoted-printable\r\n\r\n");
		AppendQuotedPrintable(out, text);
	}
	else
	{
		/* the canonical form of a text has CRLF under any encoding */
		StringInfoData lines;

		initStringInfo(&lines);
		for (const char *p = text; *p; p++)
		{
			if (*p == '\n' && (p == text || p[-1] != '\r'))
				appendStringInfoChar(&lines, '\r');
			appendStringInfoChar(&lines, *p);
		}
		appendStringInfoString(out, "Content-Transfer-Encoding: base64\r\n\r\n");
		AppendBase64Lines(out, (const unsigned char *) lines.data, lines.len);
		pfree(lines.data);
	}
}

/* The file name as a parameter: quoted, or by RFC 2231 in pieces. */
static void
AppendFileName(StringInfo out, const char *name)
{
	static const char hex[] = "0123456789ABCDEF";
	char	   *text = HeaderText(name);
	int			piece = 0;
	int			column = 100;

	if (IsAscii(text) && strlen(text) <= 60)
	{
		appendStringInfoString(out, ";\r\n filename=\"");
		for (char *p = text; *p; p++)
		{
			if (*p == '"' || *p == '\\')
				appendStringInfoChar(out, '\\');
			appendStringInfoChar(out, *p);
		}
		appendStringInfoChar(out, '"');
		return;
	}
	for (char *p = text; *p; p++)
	{
		unsigned char c = *p;

		if (column > 56)
		{
			appendStringInfo(out, ";\r\n filename*%d*=%s", piece, piece == 0 ? "utf-8''" : "");
			column = 8;
			piece++;
		}
		if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
			c == '.' || c == '-' || c == '_')
		{
			appendStringInfoChar(out, c);
			column++;
		}
		else
		{
			appendStringInfo(out, "%%%c%c", hex[c >> 4], hex[c & 15]);
			column += 3;
		}
	}
}

/* The texts: one part, or an alternative of two. */
static void
AppendTexts(StringInfo out, Transfer *t, const char *boundary)
{
	if (t->body_text != NULL && t->body_html != NULL)
	{
		appendStringInfo(out, "Content-Type: multipart/alternative;\r\n boundary=\"%s_a\"\r\n\r\n", boundary);
		appendStringInfo(out, "--%s_a\r\n", boundary);
		AppendTextPart(out, "text/plain", t->body_text);
		appendStringInfo(out, "--%s_a\r\n", boundary);
		AppendTextPart(out, "text/html", t->body_html);
		appendStringInfo(out, "--%s_a--\r\n", boundary);
	}
	else if (t->body_html != NULL)
		AppendTextPart(out, "text/html", t->body_html);
	else
		AppendTextPart(out, "text/plain", t->body_text ? t->body_text : "");
}

/*
 * Compose the whole mail, with the dot that ends it, into t->payload; from and
 * to get the envelope's addresses.  No line begins with a dot: where a text
 * has one it is encoded.  Runs with the transfer's context current.
 */
void
ComposeMail(Transfer *t, char **from, char **to)
{
	StringInfoData out;
	char	   *boundary = psprintf("=_o2c_%d_" INT64_FORMAT, t->company_id, t->id);
	char	   *reply_to = SettingText(t->channel->settings, "reply_to");
	char	   *unsubscribe = SettingText(t->channel->settings, "list_unsubscribe");
	const char *domain;

	initStringInfo(&out);
	AppendDate(&out);
	*from = AppendAddressHeader(&out, "From", t->channel->from);
	*to = AppendAddressHeader(&out, "To", t->recipient);
	if (reply_to != NULL)
		(void) AppendAddressHeader(&out, "Reply-To", reply_to);
	AppendTextHeader(&out, "Subject", t->subject ? t->subject : "");
	domain = strrchr(*from, '@') + 1;
	appendStringInfo(&out, "Message-ID:\r\n <%s@%s>\r\n", t->key, domain);
	if (unsubscribe != NULL)
	{
		char	   *target = ExpandText(t, unsubscribe, ESCAPE_URL);

		if (strpbrk(target, "<> \r\n") == NULL && IsAscii(target))
		{
			appendStringInfo(&out, "List-Unsubscribe:\r\n <%s>\r\n", target);
			if (strncmp(target, "https://", 8) == 0)
				appendStringInfoString(&out, "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n");
		}
	}
	appendStringInfoString(&out, "Auto-Submitted: auto-generated\r\n");
	if (t->language != NULL && strspn(t->language, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-") == strlen(t->language))
		appendStringInfo(&out, "Content-Language: %.20s\r\n", t->language);
	appendStringInfoString(&out, "MIME-Version: 1.0\r\n");

	if (t->nattachments > 0)
	{
		appendStringInfo(&out, "Content-Type: multipart/mixed;\r\n boundary=\"%s_m\"\r\n\r\n--%s_m\r\n",
						 boundary, boundary);
		AppendTexts(&out, t, boundary);
		for (int i = 0; i < t->nattachments; i++)
		{
			Attachment *a = &t->attachments[i];

			appendStringInfo(&out, "--%s_m\r\nContent-Type: %s\r\n", boundary, a->content_type);
			appendStringInfoString(&out, "Content-Transfer-Encoding: base64\r\n"
								   "Content-Disposition: attachment");
			AppendFileName(&out, a->name);
			appendStringInfoString(&out, "\r\n\r\n");
			AppendBase64Lines(&out, (unsigned char *) a->content, a->size);
		}
		appendStringInfo(&out, "--%s_m--\r\n", boundary);
	}
	else
		AppendTexts(&out, t, boundary);
	appendStringInfoString(&out, ".\r\n");
	t->payload = out.data;
	t->payload_len = out.len;
}
