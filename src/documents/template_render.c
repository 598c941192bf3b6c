/*
 * template_render.c
 *		Rendering a parsed template with a jsonb context.
 *
 * A name is looked up from the innermost section outwards.  Missing, null,
 * false, the empty string, list and object count as nothing: a variable
 * renders as nothing then, a section is skipped, an inverted one shown.
 *
 * How a value is escaped is the caller's choice and never the template's
 * where that would be unsafe: in a header even {{{raw}}} and the template's
 * own text cannot bring in a line break.
 *
 * The parsed template is kept between calls of one statement, so that a run
 * of 100,000 letters parses its template once.
 */
#include "documents/template.h"

#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/numeric.h"

typedef enum EscapeMode
{
	ESCAPE_NONE,
	ESCAPE_HTML,
	ESCAPE_JSON,
	ESCAPE_HEADER,
	ESCAPE_URL
} EscapeMode;

/* Kept in fn_extra: the last template and its tokens. */
typedef struct RenderCache
{
	MemoryContext cxt;
	char	   *source;
	int			len;
	Template   *tmpl;
} RenderCache;

/* One rendering: the stack of contexts and the output so far. */
typedef struct Rendering
{
	Template   *tmpl;
	EscapeMode	mode;
	StringInfoData out;
	int			steps;
	JsonbValue	stack[TEMPLATE_MAX_DEPTH + 1];
	int			depth;
} Rendering;

PG_FUNCTION_INFO_V1(o2c_template_render);

/* The mode of that name. */
static EscapeMode
EscapeModeOf(text *arg)
{
	static const char *const names[] = {"none", "html", "json", "header", "url"};
	char	   *name = text_to_cstring(arg);

	for (int i = 0; i < lengthof(names); i++)
		if (strcmp(name, names[i]) == 0)
			return (EscapeMode) i;
	ereport(ERROR,
			(errcode(ERRCODE_O2C_INVALID_ARGUMENT),
			 errmsg("unknown escape \"%s\"", name),
			 errhint("Use none, html, json, header or url.")));
}

/* Append bytes; the output is bounded whatever the template and context are. */
static void
Emit(Rendering *r, const char *bytes, int len)
{
	if (r->out.len + len > TEMPLATE_MAX_OUTPUT)
		ereport(ERROR,
				(errcode(ERRCODE_O2C_TEMPLATE),
				 errmsg("rendered template is too long"),
				 errdetail("The text of a message has at most %d bytes.",
						   TEMPLATE_MAX_OUTPUT)));
	appendBinaryStringInfo(&r->out, bytes, len);
}

/* Append with the five characters that HTML and XML reserve as entities. */
static void
EmitHtml(Rendering *r, const char *s, int len)
{
	int			done = 0;

	for (int i = 0; i < len; i++)
	{
		const char *entity = s[i] == '&' ? "&amp;" : s[i] == '<' ? "&lt;" :
			s[i] == '>' ? "&gt;" : s[i] == '"' ? "&quot;" :
			s[i] == '\'' ? "&#39;" : NULL;

		if (entity == NULL)
			continue;
		Emit(r, s + done, i - done);
		Emit(r, entity, strlen(entity));
		done = i + 1;
	}
	Emit(r, s + done, len - done);
}

/* Append as the inside of a JSON string. */
static void
EmitJson(Rendering *r, const char *s, int len)
{
	int			done = 0;

	for (int i = 0; i < len; i++)
	{
		unsigned char c = (unsigned char) s[i];
		char		seq[8];

		if (c >= 0x20 && c != '"' && c != '\\')
			continue;
		Emit(r, s + done, i - done);
		if (c == '"' || c == '\\')
			snprintf(seq, sizeof(seq), "\\%c", c);
		else if (c == '\n' || c == '\r' || c == '\t')
			snprintf(seq, sizeof(seq), "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
		else
			snprintf(seq, sizeof(seq), "\\u%04x", c);
		Emit(r, seq, strlen(seq));
		done = i + 1;
	}
	Emit(r, s + done, len - done);
}

/*
 * Length of a character that has no place in a header, or 0: controls, the
 * Unicode line ends, and marks that reverse the reading direction.
 */
static int
HeaderControl(const char *s, int len)
{
	unsigned char c = (unsigned char) s[0];
	pg_wchar	wc;
	int			clen;

	if (c < 0x20 || c == 0x7f)
		return 1;
	if (c < 0x80 || GetDatabaseEncoding() != PG_UTF8)
		return 0;
	clen = pg_utf_mblen((const unsigned char *) s);
	if (clen > len)
		return 0;
	wc = utf8_to_unicode((const unsigned char *) s);
	if ((wc >= 0x80 && wc <= 0x9f) || wc == 0x061c ||
		wc == 0x200e || wc == 0x200f || (wc >= 0x2028 && wc <= 0x202e) ||
		(wc >= 0x2066 && wc <= 0x2069) || wc == 0xfeff)
		return clen;
	return 0;
}

/* Append for a header: every run of controls becomes one blank. */
static void
EmitHeader(Rendering *r, const char *s, int len)
{
	int			i = 0;

	while (i < len)
	{
		int			n = HeaderControl(s + i, len - i);

		if (n == 0)
		{
			int			clen = Min(pg_mblen(s + i), len - i);

			Emit(r, s + i, clen);
			i += clen;
		}
		else
		{
			if (r->out.len == 0 || r->out.data[r->out.len - 1] != ' ')
				Emit(r, " ", 1);
			i += n;
		}
	}
}

/* Append percent-encoded UTF-8, for queries and form bodies. */
static void
EmitUrl(Rendering *r, const char *s, int len)
{
	char	   *utf8 = pg_server_to_any(s, len, PG_UTF8);
	int			ulen = utf8 == s ? len : strlen(utf8);

	for (int i = 0; i < ulen; i++)
	{
		unsigned char c = (unsigned char) utf8[i];

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			(c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.' || c == '~')
			Emit(r, &utf8[i], 1);
		else
		{
			char		seq[4];

			snprintf(seq, sizeof(seq), "%%%02X", c);
			Emit(r, seq, 3);
		}
	}
}

/* Append a value's text in the rendering's mode. */
static void
EmitValue(Rendering *r, const char *s, int len, bool raw)
{
	if (r->mode == ESCAPE_HEADER)
		EmitHeader(r, s, len);
	else if (raw || r->mode == ESCAPE_NONE)
		Emit(r, s, len);
	else if (r->mode == ESCAPE_HTML)
		EmitHtml(r, s, len);
	else if (r->mode == ESCAPE_JSON)
		EmitJson(r, s, len);
	else
		EmitUrl(r, s, len);
}

/* Member of an object by name; false when the value has none such. */
static bool
Member(const JsonbValue *object, const char *name, int len, JsonbValue *result)
{
	if (object->type != jbvBinary ||
		!JsonContainerIsObject(object->val.binary.data))
		return false;
	return getKeyJsonValueFromContainer(object->val.binary.data, name, len,
										result) != NULL;
}

/* Look up a (dotted) name: the first part decides which context is meant. */
static bool
Lookup(Rendering *r, const Token *token, JsonbValue *result)
{
	const char *name = token->start;
	const char *limit = token->start + token->len;
	const char *dot;
	int			level;

	if (token->len == 1 && name[0] == '.')
	{
		*result = r->stack[r->depth];
		return true;
	}

	dot = memchr(name, '.', limit - name);
	if (dot == NULL)
		dot = limit;
	for (level = r->depth; level >= 0; level--)
		if (Member(&r->stack[level], name, dot - name, result))
			break;
	if (level < 0)
		return false;
	while (dot < limit)
	{
		JsonbValue	object = *result;

		name = dot + 1;
		dot = memchr(name, '.', limit - name);
		if (dot == NULL)
			dot = limit;
		if (!Member(&object, name, dot - name, result))
			return false;
	}
	return true;
}

/* Whether a value counts as something. */
static bool
IsSomething(const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvNull:
			return false;
		case jbvBool:
			return value->val.boolean;
		case jbvString:
			return value->val.string.len > 0;
		case jbvBinary:
			return JsonContainerSize(value->val.binary.data) > 0;
		default:
			return true;
	}
}

/* Append a variable's value; lists and objects appear as JSON. */
static void
RenderVariable(Rendering *r, const Token *token)
{
	JsonbValue	value;
	char	   *s;

	if (!Lookup(r, token, &value))
		return;
	switch (value.type)
	{
		case jbvNull:
			return;
		case jbvString:
			EmitValue(r, value.val.string.val, value.val.string.len,
					  token->type == TOKEN_RAW);
			return;
		case jbvBool:
			s = value.val.boolean ? "true" : "false";
			break;
		case jbvNumeric:
			s = DatumGetCString(DirectFunctionCall1(numeric_out,
													NumericGetDatum(value.val.numeric)));
			break;
		case jbvBinary:
			s = JsonbToCString(NULL, value.val.binary.data, value.val.binary.len);
			break;
		default:
			elog(ERROR, "unexpected jsonb value of type %d", (int) value.type);
	}
	EmitValue(r, s, strlen(s), token->type == TOKEN_RAW);
}

/* Render the tokens from "from" up to and without "to". */
static void
RenderRange(Rendering *r, int from, int to)
{
	for (int i = from; i < to; i++)
	{
		Token	   *token = &r->tmpl->tokens[i];
		JsonbValue	value;
		bool		something;

		if (++r->steps > TEMPLATE_MAX_STEPS)
			ereport(ERROR,
					(errcode(ERRCODE_O2C_TEMPLATE),
					 errmsg("template takes too many steps to render"),
					 errdetail("Nested lists multiply; the bound is %d steps.",
							   TEMPLATE_MAX_STEPS)));
		CHECK_FOR_INTERRUPTS();

		switch (token->type)
		{
			case TOKEN_TEXT:
				if (r->mode == ESCAPE_HEADER)
					EmitHeader(r, token->start, token->len);
				else
					Emit(r, token->start, token->len);
				continue;
			case TOKEN_VARIABLE:
			case TOKEN_RAW:
				RenderVariable(r, token);
				continue;
			case TOKEN_END:
				continue;
			case TOKEN_SECTION:
			case TOKEN_INVERTED:
				break;
		}

		something = Lookup(r, token, &value) && IsSomething(&value);
		if (token->type == TOKEN_INVERTED)
		{
			/* its depth is bounded by the parser; the context stays */
			if (!something)
				RenderRange(r, i + 1, token->end);
		}
		else if (something)
		{
			r->depth++;
			if (value.type == jbvBinary && JsonContainerIsArray(value.val.binary.data))
			{
				int			n = JsonContainerSize(value.val.binary.data);

				for (int k = 0; k < n; k++)
				{
					JsonbValue *element =
						getIthJsonbValueFromContainer(value.val.binary.data, k);

					r->stack[r->depth] = *element;
					pfree(element);
					RenderRange(r, i + 1, token->end);
				}
			}
			else
			{
				r->stack[r->depth] = value;
				RenderRange(r, i + 1, token->end);
			}
			r->depth--;
		}
		i = token->end;
	}
}

/* The parsed form of a template, from the cache of the calling statement. */
static Template *
CachedTemplate(FunctionCallInfo fcinfo, text *source)
{
	RenderCache *cache = fcinfo->flinfo->fn_extra;
	int			len = VARSIZE_ANY_EXHDR(source);
	MemoryContext old;

	if (cache == NULL)
	{
		cache = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(RenderCache));
		cache->cxt = AllocSetContextCreate(fcinfo->flinfo->fn_mcxt,
										   "order2cash template",
										   ALLOCSET_SMALL_SIZES);
		fcinfo->flinfo->fn_extra = cache;
	}
	else if (cache->tmpl != NULL && cache->len == len &&
			 memcmp(cache->source, VARDATA_ANY(source), len) == 0)
		return cache->tmpl;

	cache->tmpl = NULL;
	MemoryContextReset(cache->cxt);
	old = MemoryContextSwitchTo(cache->cxt);
	cache->source = pnstrdup(VARDATA_ANY(source), len);
	cache->len = len;
	cache->tmpl = TemplateParse(cache->source, len);
	MemoryContextSwitchTo(old);
	return cache->tmpl;
}

/* render(template, context, escape): the text; raises O2070. */
Datum
o2c_template_render(PG_FUNCTION_ARGS)
{
	text	   *source = PG_GETARG_TEXT_PP(0);
	Jsonb	   *context = PG_GETARG_JSONB_P(1);
	Rendering	r;

	r.mode = EscapeModeOf(PG_GETARG_TEXT_PP(2));
	r.tmpl = CachedTemplate(fcinfo, source);
	r.steps = 0;
	r.depth = 0;
	initStringInfo(&r.out);
	if (JB_ROOT_IS_SCALAR(context))
		(void) JsonbExtractScalar(&context->root, &r.stack[0]);
	else
	{
		r.stack[0].type = jbvBinary;
		r.stack[0].val.binary.data = &context->root;
		r.stack[0].val.binary.len = VARSIZE(context) - VARHDRSZ;
	}

	RenderRange(&r, 0, r.tmpl->ntokens);
	PG_RETURN_TEXT_P(cstring_to_text_with_len(r.out.data, r.out.len));
}
