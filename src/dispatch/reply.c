/*
 * reply.c
 *		One value out of a peer's JSON reply.
 *
 * A reply is what a stranger sent, cut off anywhere: the scanner allocates
 * nothing, raises nothing and gives up at the first thing that is not JSON.
 */
#include "o2c.h"

#include "dispatch/worker.h"

#define REPLY_MAX_DEPTH 64

typedef struct Scanner
{
	const char *p;
	const char *end;
} Scanner;

static void
SkipBlanks(Scanner *s)
{
	while (s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r'))
		s->p++;
}

/* A string; its text goes to out when that is given.  False when cut off. */
static bool
ScanString(Scanner *s, char *out, size_t outlen)
{
	size_t		n = 0;

	if (s->p >= s->end || *s->p != '"')
		return false;
	for (s->p++; s->p < s->end; s->p++)
	{
		char		c = *s->p;

		if (c == '"')
		{
			s->p++;
			if (out != NULL && outlen > 0)
				out[Min(n, outlen - 1)] = '\0';
			return true;
		}
		if (c == '\\')
		{
			s->p++;
			if (s->p >= s->end)
				return false;
			c = *s->p;
			if (c == 'u')
			{
				unsigned int code = 0;

				for (int i = 1; i <= 4; i++)
				{
					char		h;

					if (s->p + i >= s->end)
						return false;
					h = s->p[i];
					code = code << 4 | (h >= '0' && h <= '9' ? h - '0' :
										(h | 32) >= 'a' && (h | 32) <= 'f' ? (h | 32) - 'a' + 10 : 0);
				}
				s->p += 4;
				c = code >= 0x20 && code < 0x7f ? code : '?';
			}
			else
				c = c == 'n' || c == 't' || c == 'r' || c == 'b' || c == 'f' ? ' ' : c;
		}
		if ((unsigned char) c < 0x20)
			c = ' ';
		if (out != NULL && n < outlen)
			out[n] = c;
		n++;
	}
	return false;
}

/* Any value; path NULL skips it, else what the path leads to goes to out. */
static bool
ScanValue(Scanner *s, const char *path, char *out, size_t outlen, bool *found, int depth)
{
	SkipBlanks(s);
	if (s->p >= s->end || depth > REPLY_MAX_DEPTH)
		return false;
	if (*s->p == '{' || *s->p == '[')
	{
		bool		object = *s->p == '{';
		char		close = object ? '}' : ']';
		int			step = path ? strcspn(path, ".") : 0;
		int			i = 0;

		s->p++;
		for (;; i++)
		{
			char		key[256];
			char		index[16];
			const char *next = NULL;

			SkipBlanks(s);
			if (s->p < s->end && *s->p == close)
			{
				s->p++;
				return true;
			}
			if (i > 0)
			{
				if (s->p >= s->end || *s->p != ',')
					return false;
				s->p++;
				SkipBlanks(s);
			}
			if (object)
			{
				if (!ScanString(s, key, sizeof(key)))
					return false;
				SkipBlanks(s);
				if (s->p >= s->end || *s->p != ':')
					return false;
				s->p++;
			}
			else
			{
				snprintf(index, sizeof(index), "%d", i);
				strlcpy(key, index, sizeof(key));
			}
			if (path != NULL && !*found && (int) strlen(key) == step && strncmp(key, path, step) == 0)
				next = path[step] == '.' ? path + step + 1 : path + step;
			if (!ScanValue(s, next, out, outlen, found, depth + 1))
				return false;
		}
	}
	if (*s->p == '"')
	{
		bool		here = path != NULL && *path == '\0';

		if (!ScanString(s, here ? out : NULL, outlen))
			return false;
		*found |= here;
		return true;
	}
	else
	{
		const char *start = s->p;

		while (s->p < s->end && strchr("+-.0123456789eEtrufalsn", *s->p) != NULL)
			s->p++;
		if (s->p == start)
			return false;
		if (path != NULL && *path == '\0')
		{
			strlcpy(out, start, Min(outlen, (size_t) (s->p - start) + 1));
			*found = true;
		}
		return true;
	}
}

/* The scalar at a dotted path ("messages.0.id"); false when there is none. */
bool
JsonReplyText(const char *json, size_t len, const char *path, char *out, size_t outlen)
{
	Scanner		s = {json, json + len};
	bool		found = false;

	if (json == NULL)
		return false;
	(void) ScanValue(&s, path, out, outlen, &found, 0);
	return found;
}
