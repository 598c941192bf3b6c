/*
 * template.h
 *		Logic-less message templates: what parser and renderer share.
 */
#ifndef O2C_TEMPLATE_H
#define O2C_TEMPLATE_H

#include "o2c.h"

#include "utils/array.h"

/* Bounds: a template is a letter, not a program. */
#define TEMPLATE_MAX_SIZE		(1024 * 1024)
#define TEMPLATE_MAX_OUTPUT		(8 * 1024 * 1024)
#define TEMPLATE_MAX_STEPS		(4 * 1024 * 1024)
#define TEMPLATE_MAX_DEPTH		32
#define TEMPLATE_MAX_NAME		200

typedef enum TokenType
{
	TOKEN_TEXT,					/* literal text */
	TOKEN_VARIABLE,				/* {{name}}: the value, escaped */
	TOKEN_RAW,					/* {{{name}}} or {{&name}}: as it is */
	TOKEN_SECTION,				/* {{#name}}: once, or for each element */
	TOKEN_INVERTED,				/* {{^name}}: when there is nothing */
	TOKEN_END					/* {{/name}} */
} TokenType;

typedef struct Token
{
	TokenType	type;
	const char *start;			/* text or name, inside the template */
	int			len;
	int			line;			/* where it stands, from 1 */
	int			end;			/* of a section: index of its TOKEN_END */
} Token;

typedef struct Template
{
	Token	   *tokens;
	int			ntokens;
	int			maxtokens;
} Template;

extern Template *TemplateParse(const char *source, int len);
extern char **TemplateNames(ArrayType *array, int *nnames);
extern void TemplateCheck(const char *source, int len, char **known, int nknown);

#endif							/* O2C_TEMPLATE_H */
