/*
 * template_parse.c
 *		From the text of a template to its tokens, and what it refers to.
 *
 * The syntax is the logic-less core of mustache: {{name}}, {{{name}}} and
 * {{&name}}, {{#name}}...{{/name}}, {{^name}}...{{/name}}, {{! comment}},
 * dotted names and {{.}}.  A section tag or comment alone on its line takes
 * the line with it.  Partials and other delimiters are refused: a message
 * must be readable from its one row.
 *
 * Everything that can be wrong with a template is found here, so that it is
 * refused when it is saved and not when it is sent.
 */
#include "documents/template.h"

#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"

/* The section that encloses a position, while parsing or checking. */
typedef struct OpenSection
{
	int			token;			/* index of its TOKEN_SECTION or TOKEN_INVERTED */
	char	   *path;			/* while checking: the known variable it opens;
								 * NULL for an inverted section */
} OpenSection;

PG_FUNCTION_INFO_V1(o2c_template_variables);
PG_FUNCTION_INFO_V1(o2c_template_check);

/* True for a blank that may surround a name or a standalone tag. */
static inline bool
IsBlank(char c)
{
	return c == ' ' || c == '\t';
}

static inline bool
IsSpace(char c)
{
	return IsBlank(c) || c == '\n' || c == '\r';
}

/* Append a token; the array grows in the current memory context. */
static Token *
AddToken(Template *tmpl, TokenType type, const char *start, int len, int line)
{
	Token	   *token;

	if (tmpl->ntokens >= tmpl->maxtokens)
	{
		tmpl->maxtokens *= 2;
		tmpl->tokens = repalloc(tmpl->tokens, tmpl->maxtokens * sizeof(Token));
	}
	token = &tmpl->tokens[tmpl->ntokens++];
	token->type = type;
	token->start = start;
	token->len = len;
	token->line = line;
	token->end = -1;
	return token;
}

/* A name: words of letters, digits, "_" and "-" joined by dots, or ".". */
static bool
IsName(const char *name, int len)
{
	bool		word = false;

	if (len == 1 && name[0] == '.')
		return true;
	for (int i = 0; i < len; i++)
	{
		unsigned char c = (unsigned char) name[i];

		if (c == '.')
		{
			if (!word)
				return false;
			word = false;
		}
		else if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
				 (c >= '0' && c <= '9') || c == '_' || c == '-' || c >= 0x80)
			word = true;
		else
			return false;
	}
	return word;
}

/* Strip blanks around the name of a tag and refuse what is no name. */
static void
TrimName(const char **name, int *len, int line)
{
	while (*len > 0 && IsSpace(**name))
		(*name)++, (*len)--;
	while (*len > 0 && IsSpace((*name)[*len - 1]))
		(*len)--;
	if (*len == 0)
		ereport(ERROR,
				(errcode(ERRCODE_O2C_TEMPLATE),
				 errmsg("template has a tag without a name at line %d", line)));
	if (*len > TEMPLATE_MAX_NAME || !IsName(*name, *len))
		ereport(ERROR,
				(errcode(ERRCODE_O2C_TEMPLATE),
				 errmsg("template has an invalid name \"%s\" at line %d",
						pnstrdup(*name, pg_mbcliplen(*name, *len, 60)), line),
				 errdetail("Names are words of letters, digits, \"_\" and \"-\", joined by dots.")));
}

/*
 * Whether the tag from "open" to "close" stands alone on its line; then
 * *from and *to are widened to the whole line with its line end.
 */
static bool
Standalone(const char *source, const char *limit, const char *open,
		   const char *close, const char **from, const char **to)
{
	const char *left = open;
	const char *right = close;

	while (left > source && IsBlank(left[-1]))
		left--;
	if (left > source && left[-1] != '\n')
		return false;
	while (right < limit && IsBlank(*right))
		right++;
	if (right + 1 < limit && right[0] == '\r' && right[1] == '\n')
		right += 2;
	else if (right < limit && *right == '\n')
		right++;
	else if (right < limit)
		return false;
	*from = left;
	*to = right;
	return true;
}

/* First occurrence of a mark at or after "at", or NULL. */
static const char *
FindMark(const char *at, const char *limit, const char *mark)
{
	int			len = strlen(mark);

	for (; at + len <= limit; at++)
	{
		at = memchr(at, mark[0], limit - at);
		if (at == NULL || at + len > limit)
			return NULL;
		if (memcmp(at, mark, len) == 0)
			return at;
	}
	return NULL;
}

/* Close the innermost section with the tag of this name. */
static void
CloseSection(Template *tmpl, OpenSection *open, int *depth, const Token *end)
{
	Token	   *section;

	if (*depth == 0)
		ereport(ERROR,
				(errcode(ERRCODE_O2C_TEMPLATE),
				 errmsg("template closes section \"%s\" at line %d, but none is open",
						pnstrdup(end->start, end->len), end->line)));
	section = &tmpl->tokens[open[--(*depth)].token];
	if (section->len != end->len ||
		memcmp(section->start, end->start, end->len) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_O2C_TEMPLATE),
				 errmsg("template closes section \"%s\" at line %d, but \"%s\" of line %d is open",
						pnstrdup(end->start, end->len), end->line,
						pnstrdup(section->start, section->len), section->line)));
	section->end = tmpl->ntokens - 1;
}

/*
 * Parse a template.  Tokens point into "source", which must live as long as
 * the result.  Raises O2070 with the line of what is wrong.
 */
Template *
TemplateParse(const char *source, int len)
{
	const char *limit = source + len;
	const char *at = source;
	Template   *tmpl = palloc(sizeof(Template));
	OpenSection open[TEMPLATE_MAX_DEPTH];
	int			depth = 0;
	int			line = 1;

	if (len > TEMPLATE_MAX_SIZE)
		ereport(ERROR,
				(errcode(ERRCODE_O2C_TEMPLATE),
				 errmsg("template of %d bytes is too long", len),
				 errdetail("A template has at most %d bytes.", TEMPLATE_MAX_SIZE)));

	tmpl->maxtokens = 16;
	tmpl->ntokens = 0;
	tmpl->tokens = palloc(tmpl->maxtokens * sizeof(Token));

	while (at < limit)
	{
		const char *tag = FindMark(at, limit, "{{");
		const char *text_end = tag ? tag : limit;
		const char *next;
		const char *name;
		const char *close;
		const char *mark = "}}";
		int			namelen;
		int			tagline;
		char		sigil;
		bool		alone = false;

		if (tag == NULL)
		{
			AddToken(tmpl, TOKEN_TEXT, at, limit - at, line);
			break;
		}

		tagline = line;
		for (const char *p = at; p < tag; p++)
			if (*p == '\n')
				tagline++;

		sigil = tag + 2 < limit ? tag[2] : '\0';
		if (sigil == '{')
			mark = "}}}";
		name = tag + 2;
		if (sigil != '\0' && strchr("{&#^/!>=", sigil) != NULL)
			name++;
		else
			sigil = '\0';
		close = FindMark(name, limit, mark);
		if (close == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_O2C_TEMPLATE),
					 errmsg("template has an unclosed tag at line %d", tagline),
					 errdetail("\"%s\" is not followed by \"%s\".",
							   sigil == '{' ? "{{{" : "{{", mark)));
		namelen = close - name;
		next = close + strlen(mark);
		if (sigil != '\0' && strchr("#^/!", sigil) != NULL)
			alone = Standalone(source, limit, tag, next, &text_end, &next);
		if (!alone)
			text_end = tag;

		/* Standalone() may reach back over what an earlier tag consumed. */
		if (text_end > at)
			AddToken(tmpl, TOKEN_TEXT, at, text_end - at, line);

		if (sigil == '>' || sigil == '=')
			ereport(ERROR,
					(errcode(ERRCODE_O2C_TEMPLATE),
					 errmsg("template uses an unsupported tag at line %d", tagline),
					 errdetail("Partials and other delimiters are not part of the syntax.")));
		if (sigil != '!')
		{
			Token	   *token;
			TokenType	type = sigil == '#' ? TOKEN_SECTION :
				sigil == '^' ? TOKEN_INVERTED :
				sigil == '/' ? TOKEN_END :
				sigil == '\0' ? TOKEN_VARIABLE : TOKEN_RAW;

			TrimName(&name, &namelen, tagline);
			token = AddToken(tmpl, type, name, namelen, tagline);
			if (type == TOKEN_SECTION || type == TOKEN_INVERTED)
			{
				if (depth >= TEMPLATE_MAX_DEPTH)
					ereport(ERROR,
							(errcode(ERRCODE_O2C_TEMPLATE),
							 errmsg("template nests more than %d sections at line %d",
									TEMPLATE_MAX_DEPTH, tagline)));
				open[depth++].token = tmpl->ntokens - 1;
			}
			else if (type == TOKEN_END)
				CloseSection(tmpl, open, &depth, token);
		}

		for (const char *p = at; p < next; p++)
			if (*p == '\n')
				line++;
		at = next;
	}

	if (depth > 0)
	{
		Token	   *section = &tmpl->tokens[open[depth - 1].token];

		ereport(ERROR,
				(errcode(ERRCODE_O2C_TEMPLATE),
				 errmsg("template does not close section \"%s\" of line %d",
						pnstrdup(section->start, section->len), section->line),
				 errhint("Add {{/%s}}.", pnstrdup(section->start, section->len))));
	}
	return tmpl;
}

static int
CompareNames(const void *a, const void *b)
{
	return strcmp(*(char *const *) a, *(char *const *) b);
}

/* template_variables(template): the names it uses, sorted, each once. */
Datum
o2c_template_variables(PG_FUNCTION_ARGS)
{
	text	   *source = PG_GETARG_TEXT_PP(0);
	Template   *tmpl = TemplateParse(VARDATA_ANY(source), VARSIZE_ANY_EXHDR(source));
	char	  **names = palloc(sizeof(char *) * Max(tmpl->ntokens, 1));
	Datum	   *result = palloc(sizeof(Datum) * Max(tmpl->ntokens, 1));
	int			n = 0;
	int			distinct = 0;

	for (int i = 0; i < tmpl->ntokens; i++)
	{
		Token	   *token = &tmpl->tokens[i];

		if (token->type != TOKEN_TEXT && token->type != TOKEN_END &&
			!(token->len == 1 && token->start[0] == '.'))
			names[n++] = pnstrdup(token->start, token->len);
	}
	qsort(names, n, sizeof(char *), CompareNames);
	for (int i = 0; i < n; i++)
		if (i == 0 || strcmp(names[i], names[i - 1]) != 0)
			result[distinct++] = CStringGetTextDatum(names[i]);
	PG_RETURN_ARRAYTYPE_P(construct_array(result, distinct, TEXTOID, -1, false,
										  TYPALIGN_INT));
}

/*
 * Whether "path" is one of the known variables: itself, the beginning of a
 * longer one ("customer" of "customer.name"), or below one ending in ".*".
 */
static bool
IsKnown(const char *path, char **known, int nknown)
{
	int			len = strlen(path);

	for (int i = 0; i < nknown; i++)
	{
		int			klen = strlen(known[i]);

		if (strncmp(known[i], path, len) == 0 &&
			(known[i][len] == '\0' || known[i][len] == '.'))
			return true;
		if (klen >= 1 && known[i][klen - 1] == '*' &&
			strncmp(path, known[i], klen - 1) == 0)
			return true;
	}
	return false;
}

/*
 * The known variable that a name means at this place, looked up from the
 * innermost section outwards as rendering does; NULL when there is none.
 */
static char *
ResolveName(const Token *token, OpenSection *open, int depth,
			char **known, int nknown)
{
	char	   *name = pnstrdup(token->start, token->len);

	if (strcmp(name, ".") == 0)
	{
		while (depth > 0 && open[depth - 1].path == NULL)
			depth--;
		return depth > 0 ? open[depth - 1].path : pstrdup("");
	}
	for (int i = depth - 1; i >= 0; i--)
	{
		char	   *path;

		if (open[i].path == NULL)
			continue;
		path = psprintf("%s.%s", open[i].path, name);
		if (IsKnown(path, known, nknown))
			return path;
	}
	return IsKnown(name, known, nknown) ? name : NULL;
}

/* The elements of a text[] as strings; nulls as "". */
char	  **
TemplateNames(ArrayType *array, int *nnames)
{
	Datum	   *elems;
	bool	   *nulls;
	char	  **names;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elems, &nulls, nnames);
	names = palloc(sizeof(char *) * Max(*nnames, 1));
	for (int i = 0; i < *nnames; i++)
		names[i] = nulls[i] ? "" : TextDatumGetCString(elems[i]);
	return names;
}

/*
 * Raise O2070 unless the template is well formed and uses known variables
 * only; nknown < 0 allows any.
 */
void
TemplateCheck(const char *source, int len, char **known, int nknown)
{
	Template   *tmpl = TemplateParse(source, len);
	OpenSection open[TEMPLATE_MAX_DEPTH];
	int			depth = 0;

	if (nknown < 0)
		return;
	for (int i = 0; i < tmpl->ntokens; i++)
	{
		Token	   *token = &tmpl->tokens[i];
		char	   *path;

		if (token->type == TOKEN_TEXT)
			continue;
		if (token->type == TOKEN_END)
		{
			depth--;
			continue;
		}
		path = ResolveName(token, open, depth, known, nknown);
		if (path == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_O2C_TEMPLATE),
					 errmsg("template uses unknown variable \"%s\" at line %d",
							pnstrdup(token->start, token->len), token->line),
					 errhint("o2c.template_variable lists the variables of each kind of template.")));
		if (token->type == TOKEN_SECTION || token->type == TOKEN_INVERTED)
			open[depth++].path = token->type == TOKEN_SECTION ? path : NULL;
	}
}

/* _check_template_text(template, known): raises O2070; known null allows any. */
Datum
o2c_template_check(PG_FUNCTION_ARGS)
{
	text	   *source;
	char	  **known = NULL;
	int			nknown = -1;

	if (PG_ARGISNULL(0))
		PG_RETURN_VOID();
	source = PG_GETARG_TEXT_PP(0);
	if (!PG_ARGISNULL(1))
		known = TemplateNames(PG_GETARG_ARRAYTYPE_P(1), &nknown);
	TemplateCheck(VARDATA_ANY(source), VARSIZE_ANY_EXHDR(source), known, nknown);
	PG_RETURN_VOID();
}
