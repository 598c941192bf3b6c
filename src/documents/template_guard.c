/*
 * template_guard.c
 *		Refuses a template when it is saved, not when it is sent.
 *
 * The row trigger of o2c.template and o2c.builtin_template parses every text
 * of the row and compares the names in it with the variables that the kind
 * declares.  A kind without declared variables is the user's own: any name.
 */
#include "documents/template.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(o2c_template_guard);

/* What is being checked, for the error's context. */
typedef struct GuardContext
{
	const char *column;
	const char *kind;
	const char *channel;
	const char *language;
} GuardContext;

static void
GuardErrorContext(void *arg)
{
	GuardContext *context = arg;

	errcontext("%s of template \"%s\" for %s in language %s",
			   context->column, context->kind, context->channel, context->language);
}

/* Text of a column of the new row, or NULL. */
static char *
NewValue(TriggerData *trigdata, HeapTuple tuple, const char *column)
{
	TupleDesc	desc = RelationGetDescr(trigdata->tg_relation);
	int			att = SPI_fnumber(desc, column);

	if (att <= 0)
		elog(ERROR, "table \"%s\" has no column \"%s\"",
			 RelationGetRelationName(trigdata->tg_relation), column);
	return SPI_getvalue(tuple, desc, att);
}

/* o2c_template_guard(): BEFORE INSERT OR UPDATE, for each row; raises O2070. */
Datum
o2c_template_guard(PG_FUNCTION_ARGS)
{
	static KeptPlan known_plan = {
		.sql = "SELECT array_agg(v.name ORDER BY v.name) FROM o2c.template_variable v WHERE v.kind = $1",
		.nargs = 1,
		.argtypes = {TEXTOID}
	};
	static const char *const columns[] = {"subject", "body_text", "body_html"};
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_template_guard");
	HeapTuple	tuple = TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event) ?
		trigdata->tg_newtuple : trigdata->tg_trigtuple;
	TriggerFrame frame;
	GuardContext context;
	ErrorContextCallback callback;
	Datum		args[1];
	char	  **known = NULL;
	int			nknown = -1;
	bool		isnull;
	Datum		names;

	TriggerFrameBegin(&frame, trigdata);
	context.kind = NewValue(trigdata, tuple, "kind");
	context.channel = NewValue(trigdata, tuple, "channel_kind");
	context.language = NewValue(trigdata, tuple, "language");
	if (context.kind != NULL && context.channel != NULL && context.language != NULL)
	{
		args[0] = CStringGetTextDatum(context.kind);
		(void) KeptPlanExecute(&known_plan, args, NULL, SPI_OK_SELECT);
		names = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
		if (!isnull)
			known = TemplateNames(DatumGetArrayTypeP(names), &nknown);

		callback.callback = GuardErrorContext;
		callback.arg = &context;
		callback.previous = error_context_stack;
		error_context_stack = &callback;
		for (int i = 0; i < lengthof(columns); i++)
		{
			char	   *source = NewValue(trigdata, tuple, columns[i]);

			context.column = columns[i];
			if (source != NULL)
				TemplateCheck(source, strlen(source), known, nknown);
		}
		error_context_stack = callback.previous;
	}
	TriggerFrameEnd(&frame);
	return PointerGetDatum(tuple);
}
