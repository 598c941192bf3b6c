/*
 * statement_text.c
 *		From a file's bytes to text, and from text to the name of its format.
 *
 * Encodings: a byte order mark or the XML declaration decides; otherwise
 * UTF-8 if it is valid, else Windows-1252, which holds Latin-1.  Control
 * characters that transports leave behind become blanks; a zero byte is
 * refused, because what follows it would be lost.
 */
#include "statement.h"

#include "mb/pg_wchar.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(o2c_statement_text);
PG_FUNCTION_INFO_V1(o2c_statement_format);

/* Code points of the bytes 0x80 to 0x9F in Windows-1252; 0 where it has none. */
static const uint16 cp1252[32] = {
	0x20AC, 0, 0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021,
	0x02C6, 0x2030, 0x0160, 0x2039, 0x0152, 0, 0x017D, 0,
	0, 0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014,
	0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0, 0x017E, 0x0178
};

static void
AppendCodePoint(StringInfo buf, uint32 code)
{
	unsigned char utf8[8];

	unicode_to_utf8(code, utf8);
	appendBinaryStringInfo(buf, (char *) utf8, pg_utf_mblen(utf8));
}

/* Windows-1252 (or Latin-1) to UTF-8. */
static void
FromSingleByte(StringInfo buf, const unsigned char *s, int len, bool latin1)
{
	for (int i = 0; i < len; i++)
	{
		if (s[i] < 0x80)
			appendStringInfoChar(buf, s[i]);
		else if (s[i] < 0xA0)
			AppendCodePoint(buf, latin1 || cp1252[s[i] - 0x80] == 0 ? ' ' : cp1252[s[i] - 0x80]);
		else
			AppendCodePoint(buf, s[i]);
	}
}

/* UTF-16 of either byte order to UTF-8. */
static void
FromUtf16(StringInfo buf, const unsigned char *s, int len, bool big_endian)
{
	for (int i = 0; i + 1 < len; i += 2)
	{
		uint32		unit = big_endian ? (s[i] << 8 | s[i + 1]) : (s[i + 1] << 8 | s[i]);

		if (unit >= 0xD800 && unit < 0xDC00 && i + 3 < len)
		{
			uint32		low = big_endian ? (s[i + 2] << 8 | s[i + 3]) : (s[i + 3] << 8 | s[i + 2]);

			if (low >= 0xDC00 && low < 0xE000)
			{
				unit = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
				i += 2;
			}
		}
		if (unit >= 0xD800 && unit < 0xE000)
			unit = 0xFFFD;
		if (unit == 0)
			ereport(ERROR,
					(errcode(ERRCODE_O2C_STATEMENT_SYNTAX),
					 errmsg("the file holds a zero character"),
					 errhint("Nothing was imported. Ask the bank for the file again.")));
		AppendCodePoint(buf, unit);
	}
}

/* The encoding named in an XML declaration, or NULL. */
static char *
DeclaredEncoding(const char *s, int len)
{
	char	   *head = pnstrdup(s, Min(len, 200));
	char	   *end;
	char	   *p;
	char		quote;

	if (strncmp(head, "<?xml", 5) != 0 || (end = strstr(head, "?>")) == NULL)
		return NULL;
	*end = '\0';
	p = strstr(head, "encoding");
	if (p == NULL)
		return NULL;
	p += strcspn(p, "\"'");
	if (*p == '\0')
		return NULL;
	quote = *p++;
	end = strchr(p, quote);
	if (end == NULL)
		return NULL;
	*end = '\0';
	return p;
}

/* o2c._statement_text(content bytea) -> text in the server's encoding */
Datum
o2c_statement_text(PG_FUNCTION_ARGS)
{
	bytea	   *content = PG_GETARG_BYTEA_PP(0);
	const unsigned char *s = (unsigned char *) VARDATA_ANY(content);
	int			len = VARSIZE_ANY_EXHDR(content);
	const unsigned char *zero;
	char	   *declared;
	int			encoding;
	StringInfoData buf;
	char	   *server;

	/* made as a text in place: of a large file there is no copy too many */
	initStringInfo(&buf);
	appendBinaryStringInfo(&buf, "\0\0\0\0", VARHDRSZ);
	if (len >= 2 && ((s[0] == 0xFF && s[1] == 0xFE) || (s[0] == 0xFE && s[1] == 0xFF)))
		FromUtf16(&buf, s + 2, len - 2, s[0] == 0xFE);
	else
	{
		zero = len ? memchr(s, 0, len) : NULL;
		if (zero)
			ereport(ERROR,
					(errcode(ERRCODE_O2C_STATEMENT_SYNTAX),
					 errmsg("the file holds a zero byte"),
					 errdetail("It is byte %d.", (int) (zero - s) + 1),
					 errhint("Nothing was imported. Ask the bank for the file again.")));
		if (len >= 3 && s[0] == 0xEF && s[1] == 0xBB && s[2] == 0xBF)
			s += 3, len -= 3;
		while (len > 0 && isspace(*s) && *s < 0x80)
			s++, len--;
		declared = DeclaredEncoding((const char *) s, len);
		encoding = declared ? pg_char_to_encoding(declared) : -1;
		if (declared &&
			(pg_strcasecmp(declared, "iso-8859-1") == 0 || pg_strcasecmp(declared, "iso8859-1") == 0 ||
			 pg_strcasecmp(declared, "latin1") == 0 || pg_strcasecmp(declared, "windows-1252") == 0 ||
			 pg_strcasecmp(declared, "cp1252") == 0))
			FromSingleByte(&buf, s, len, false);
		else if (pg_verify_mbstr(PG_UTF8, (const char *) s, len, true))
			appendBinaryStringInfo(&buf, (const char *) s, len);
		else if (encoding >= 0 && encoding != PG_UTF8 && encoding != PG_SQL_ASCII &&
				 pg_verify_mbstr(encoding, (const char *) s, len, true))
			appendStringInfoString(&buf, (char *)
								   pg_do_encoding_conversion(unconstify(unsigned char *, s),
															 len, encoding, PG_UTF8));
		else if (len >= 5 && (declared || strncmp((const char *) s, "<?xml", 5) == 0) &&
				 !strstr(pnstrdup((const char *) s, Min(len, 1024)), "OFX"))
			ereport(ERROR,
					(errcode(ERRCODE_O2C_STATEMENT_SYNTAX),
					 errmsg("the file is not valid %s, as it says it is", declared ? declared : "UTF-8"),
					 errhint("Nothing was imported. Ask the bank for the file again.")));
		else
			FromSingleByte(&buf, s, len, false);
	}

	/* blanks for control characters, but for tab and line ends */
	for (int i = VARHDRSZ; i < buf.len; i++)
	{
		unsigned char ch = buf.data[i];

		if ((ch < 32 && ch != '\n' && ch != '\r' && ch != '\t') || ch == 127)
			buf.data[i] = ' ';
	}

	server = pg_any_to_server(buf.data + VARHDRSZ, buf.len - VARHDRSZ, PG_UTF8);
	if (server != buf.data + VARHDRSZ)
		PG_RETURN_TEXT_P(cstring_to_text(server));
	SET_VARSIZE(buf.data, buf.len);
	PG_RETURN_TEXT_P((text *) buf.data);
}

/* Is needle somewhere in the first max bytes? */
static bool
HeadHas(const char *s, int len, const char *needle, int max)
{
	int			n = strlen(needle);

	len = Min(len, max);
	for (int i = 0; i + n <= len; i++)
		if (pg_strncasecmp(s + i, needle, n) == 0)
			return true;
	return false;
}

/* Is there a line that begins with an MT940 field that only statements have? */
static const char *
MtKind(const char *s, int len)
{
	bool		statement = false;
	bool		report = false;

	len = Min(len, 65536);
	for (int i = 0; i < len; i++)
	{
		const char *p = s + i;
		int			n = len - i;

		if (n < 4 || p[0] != ':' || (i > 0 && s[i - 1] != '\n' && s[i - 1] != '\r' && s[i - 1] != '}'))
			continue;
		if (n >= 5 && (strncmp(p, ":60F:", 5) == 0 || strncmp(p, ":60M:", 5) == 0 ||
					   strncmp(p, ":62F:", 5) == 0 || strncmp(p, ":62M:", 5) == 0))
			return "mt940";
		if (n >= 5 && (strncmp(p, ":34F:", 5) == 0 || strncmp(p, ":13D:", 5) == 0 ||
					   strncmp(p, ":90D:", 5) == 0 || strncmp(p, ":90C:", 5) == 0))
			report = true;
		if (strncmp(p, ":20:", 4) == 0 || strncmp(p, ":25:", 4) == 0 ||
			strncmp(p, ":61:", 4) == 0 || strncmp(p, ":86:", 4) == 0 ||
			(n >= 5 && strncmp(p, ":25P:", 5) == 0) || strncmp(p, ":28:", 4) == 0 ||
			(n >= 5 && strncmp(p, ":28C:", 5) == 0) || strncmp(p, ":64:", 4) == 0)
			statement = true;
	}
	return report ? "mt942" : statement ? "mt940" : NULL;
}

/*
 * o2c._statement_format(content text) -> text: ofx, xml, bai2, coda, mt940,
 * mt942 by content, or null.
 */
Datum
o2c_statement_format(PG_FUNCTION_ARGS)
{
	text	   *content = PG_GETARG_TEXT_PP(0);
	const char *s = VARDATA_ANY(content);
	int			len = VARSIZE_ANY_EXHDR(content);
	const char *result = NULL;
	int			line = 0;

	while (len > 0 && isspace((unsigned char) *s))
		s++, len--;
	while (line < len && s[line] != '\n' && s[line] != '\r')
		line++;

	if (len == 0)
		result = NULL;
	else if (HeadHas(s, len, "<OFX>", 65536) || HeadHas(s, len, "OFXHEADER", 1024))
		result = "ofx";
	else if (s[0] == '<')
		result = "xml";
	else if (len > 3 && strncmp(s, "01,", 3) == 0)
		result = "bai2";
	else if (line >= 100 && line <= 140 && strncmp(s, "00000", 5) == 0 &&
			 AllDigits(s + 5, 6) && strncmp(s + 14, "05", 2) == 0)
		result = "coda";
	else
		result = MtKind(s, len);

	if (result == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(result));
}
