/*
 * code.c
 *		What the validated text types share: compaction and check digits.
 */
#include "o2c.h"

#include "types/types.h"

/* Length of the blank that starts at s: ASCII white space or U+00A0, U+202F; else 0. */
static int
BlankLength(const char *s, const char *end)
{
	unsigned char c = (unsigned char) *s;

	if (c == ' ' || (c >= '\t' && c <= '\r'))
		return 1;
	if (c == 0xC2 && end - s >= 2 && (unsigned char) s[1] == 0xA0)
		return 2;
	if (c == 0xE2 && end - s >= 3 &&
		(unsigned char) s[1] == 0x80 && (unsigned char) s[2] == 0xAF)
		return 3;
	return 0;
}

int
CodeCompact(const char *s, int len, char *out, int max)
{
	const char *end = s + len;
	int			n = 0;

	while (s < end)
	{
		int			blank = BlankLength(s, end);
		char		c = *s;

		if (blank > 0)
		{
			s += blank;
			continue;
		}
		if (c >= 'a' && c <= 'z')
			c -= 'a' - 'A';
		if (n == max || !((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z')))
			return -1;
		out[n++] = c;
		s++;
	}
	return n;
}

int
CodeMod97(int remainder, const char *s, int len)
{
	for (int i = 0; i < len; i++)
	{
		if (s[i] <= '9')
			remainder = (remainder * 10 + (s[i] - '0')) % 97;
		else
			remainder = (remainder * 100 + (s[i] - 'A' + 10)) % 97;
	}
	return remainder;
}
