/*
 * address.c
 *		Mail addresses and telephone numbers, judged when they are written.
 *
 * The rules are those of a mailbox that a relay will take (RFC 5321, 6531):
 * dot-atoms without quoting, any UTF-8 letter, no control, no blank.  What
 * could end a header or an SMTP command is refused here, once and for all.
 */
#include "o2c.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "dispatch/dispatch.h"

PG_FUNCTION_INFO_V1(o2c_dispatch_is_recipient);
PG_FUNCTION_INFO_V1(o2c_dispatch_is_line);
PG_FUNCTION_INFO_V1(o2c_dispatch_is_key);

/* Characters of an atom (RFC 5322), with every byte above ASCII. */
static inline bool
IsAtomChar(unsigned char c)
{
	return c >= 0x80 || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		(c >= '0' && c <= '9') || (c != '\0' && strchr("!#$%&'*+/=?^_`{|}~-", c) != NULL);
}

/* Dot-separated, non-empty parts of atoms. */
static bool
IsDotAtom(const char *s, int len)
{
	int			part = 0;

	for (int i = 0; i < len; i++)
	{
		if (s[i] == '.')
		{
			if (part == 0)
				return false;
			part = 0;
		}
		else if (!IsAtomChar((unsigned char) s[i]))
			return false;
		else
			part++;
	}
	return part > 0;
}

/* Labels of a domain, of letters, digits, inner hyphens and UTF-8. */
static bool
IsDomain(const char *s, int len)
{
	int			label = 0;

	if (len < 1 || len > 253)
		return false;
	for (int i = 0; i <= len; i++)
	{
		unsigned char c = i < len ? s[i] : '.';

		if (c == '.')
		{
			if (label == 0 || label > 63 || s[i - 1] == '-')
				return false;
			label = 0;
		}
		else if (c >= 0x80 || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
				 (c >= '0' && c <= '9') || (c == '-' && label > 0))
			label++;
		else
			return false;
	}
	return true;
}

/* True for local@domain that needs no quoting. */
bool
IsMailAddress(const char *address, int len)
{
	const char *at = NULL;
	int			local;

	for (int i = 0; i < len; i++)
		if (address[i] == '@')
			at = address + i;
	if (at == NULL || len > 320)
		return false;
	local = at - address;
	return local >= 1 && local <= 64 && IsDotAtom(address, local) &&
		IsDomain(at + 1, len - local - 1);
}

/*
 * Split "Name <address>" or "address".  The name may be quoted; name_len is
 * the length of what stands before the address, blanks and quotes included.
 */
bool
SplitRecipient(const char *recipient, int len,
			   int *name_len, int *addr_start, int *addr_len)
{
	for (int i = 0; i < len; i++)
		if ((unsigned char) recipient[i] < 0x20 || recipient[i] == 0x7f)
			return false;
	*name_len = 0;
	*addr_start = 0;
	*addr_len = len;
	if (len > 0 && recipient[len - 1] == '>')
	{
		int			open = len - 1;

		while (open >= 0 && recipient[open] != '<')
			open--;
		if (open < 0)
			return false;
		*name_len = open;
		*addr_start = open + 1;
		*addr_len = len - open - 2;
	}
	return IsMailAddress(recipient + *addr_start, *addr_len);
}

/* True when a channel of that kind can reach the recipient. */
bool
IsRecipient(const char *kind, const char *recipient, int len)
{
	int			name_len,
				addr_start,
				addr_len;

	if (strcmp(kind, "email") == 0)
		return SplitRecipient(recipient, len, &name_len, &addr_start, &addr_len);
	if (strcmp(kind, "sms") == 0)
	{
		int			digits = 0;

		for (int i = 0; i < len; i++)
		{
			if (recipient[i] >= '0' && recipient[i] <= '9')
				digits++;
			else if (!(recipient[i] == '+' && i == 0) &&
					 (recipient[i] == '\0' || strchr(" -./()", recipient[i]) == NULL))
				return false;
		}
		return digits >= 3 && digits <= 20;
	}
	for (int i = 0; i < len; i++)
		if (((unsigned char) recipient[i] < 0x20 && recipient[i] != '\n') || recipient[i] == 0x7f)
			return false;
	return len > 0;
}

/* _is_recipient(kind, recipient): NULL recipients suit webhooks only. */
Datum
o2c_dispatch_is_recipient(PG_FUNCTION_ARGS)
{
	char	   *kind;
	text	   *recipient;

	if (PG_ARGISNULL(0))
		PG_RETURN_BOOL(false);
	kind = text_to_cstring(PG_GETARG_TEXT_PP(0));
	if (PG_ARGISNULL(1))
		PG_RETURN_BOOL(strcmp(kind, "webhook") == 0);
	recipient = PG_GETARG_TEXT_PP(1);
	PG_RETURN_BOOL(IsRecipient(kind, VARDATA_ANY(recipient), VARSIZE_ANY_EXHDR(recipient)));
}

/*
 * _is_line(text, most, breaks): at most that many bytes and no control; line
 * feeds only when breaks.  A constraint runs at every update of a row, where a
 * regular expression would cost more than all the rest.
 */
Datum
o2c_dispatch_is_line(PG_FUNCTION_ARGS)
{
	text	   *t = PG_GETARG_TEXT_PP(0);
	const unsigned char *s = (const unsigned char *) VARDATA_ANY(t);
	int			len = VARSIZE_ANY_EXHDR(t);
	bool		breaks = PG_GETARG_BOOL(2);

	if (len > PG_GETARG_INT32(1))
		PG_RETURN_BOOL(false);
	for (int i = 0; i < len; i++)
		if ((s[i] < 0x20 && !(breaks && s[i] == '\n')) || s[i] == 0x7f)
			PG_RETURN_BOOL(false);
	PG_RETURN_BOOL(true);
}

/* _is_key(text): what may stand in a Message-ID and in a header as it is. */
Datum
o2c_dispatch_is_key(PG_FUNCTION_ARGS)
{
	text	   *t = PG_GETARG_TEXT_PP(0);
	const char *s = VARDATA_ANY(t);
	int			len = VARSIZE_ANY_EXHDR(t);

	if (len < 1 || len > 128)
		PG_RETURN_BOOL(false);
	for (int i = 0; i < len; i++)
	{
		bool		alnum = (s[i] >= '0' && s[i] <= '9') || (s[i] >= 'a' && s[i] <= 'z') ||
			(s[i] >= 'A' && s[i] <= 'Z');

		if (!alnum && (i == 0 || (s[i] != '_' && s[i] != '-')))
			PG_RETURN_BOOL(false);
	}
	PG_RETURN_BOOL(true);
}
