/*
 * guard.c
 *		What is issued is for ever.
 *
 * o2c_invoice_guard refuses every change of an issued document, for the owner
 * too, except what the module's own code derives: the open amount and the
 * state from the ledger, and the number that a series gives at commit.
 *
 * o2c_invoice_part_guard does the same for lines, allowances and taxes.  It
 * locks the documents concerned before it looks at their state, so that none
 * is issued between the look and the commit.  For lines it also keeps what is
 * invoiced of each order line.
 *
 * o2c_invoice_line_compute makes a line's net amount what its parts say.
 */
#include "o2c.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "invoicing/numbering.h"
#include "types/types.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/numeric.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(o2c_invoice_guard);
PG_FUNCTION_INFO_V1(o2c_invoice_part_guard);
PG_FUNCTION_INFO_V1(o2c_invoice_line_compute);
PG_FUNCTION_INFO_V1(o2c_no_truncate);

bool		o2c_numbering = false;

/* Whether column "name" is one of the NULL-terminated list. */
static bool
IsListed(const char *name, const char *const *list)
{
	for (; *list != NULL; list++)
		if (strcmp(name, *list) == 0)
			return true;
	return false;
}

/* The number of a document, or its id while it has none. */
static char *
DocumentName(HeapTuple tuple, TupleDesc desc)
{
	char	   *number = SPI_getvalue(tuple, desc, SPI_fnumber(desc, "number"));

	return number != NULL ? number :
		psprintf("with id %s", SPI_getvalue(tuple, desc, SPI_fnumber(desc, "id")));
}

static void
RefuseChange(const char *verb, const char *document)
{
	ereport(ERROR,
			(errcode(ERRCODE_O2C_IMMUTABLE),
			 errmsg("cannot %s issued invoice %s", verb, document),
			 errdetail("Issued documents are never changed."),
			 errhint("Correct it by a further document: o2c.credit_invoice() or o2c.debit_invoice().")));
}

/*
 * A document that is being issued carries a number that this transaction drew
 * from its series, or waits for commit to get one.
 */
static void
RequireDrawn(HeapTuple tuple, TupleDesc desc)
{
	bool		isnull;
	int32		company = DatumGetInt32(SPI_getbinval(tuple, desc, SPI_fnumber(desc, "company_id"), &isnull));
	int64		id = DatumGetInt64(SPI_getbinval(tuple, desc, SPI_fnumber(desc, "id"), &isnull));
	char	   *series = SPI_getvalue(tuple, desc, SPI_fnumber(desc, "series"));
	DateADT		on_date;
	DateADT		period;
	int64		n;

	on_date = DatumGetDateADT(SPI_getbinval(tuple, desc, SPI_fnumber(desc, "issue_date"), &isnull));
	if (isnull || series == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_O2C_NUMBERING),
				 errmsg("invoice with id %lld has no issue date or series", (long long) id),
				 errhint("Issue it with o2c.issue_invoice().")));
	(void) SPI_getbinval(tuple, desc, SPI_fnumber(desc, "number"), &isnull);
	if (isnull)
	{
		NoteUnnumbered(company, id, series, on_date);
		return;
	}
	period = DatumGetDateADT(SPI_getbinval(tuple, desc, SPI_fnumber(desc, "sequence_period"), &isnull));
	if (!isnull)
		n = DatumGetInt64(SPI_getbinval(tuple, desc, SPI_fnumber(desc, "sequence_no"), &isnull));
	if (isnull || !WasDrawn(company, series, period, n))
		ereport(ERROR,
				(errcode(ERRCODE_O2C_NUMBERING),
				 errmsg("number %s was not drawn from series \"%s\" by this transaction",
						SPI_getvalue(tuple, desc, SPI_fnumber(desc, "number")), series),
				 errhint("Issue documents with o2c.issue_invoice().")));
}

/*
 * Whether the posting of a document's items adds what it was issued with.  A
 * document is issued with its open amount, so the row need not be written
 * again for it, and that both agree is proved here.  A document without
 * anything to pay has no items; what changes it then is its settling.
 */
static bool
IsPostedAlready(TriggerData *trigdata)
{
	TupleDesc	desc = RelationGetDescr(trigdata->tg_relation);
	int			open_att = SPI_fnumber(desc, "open_amount");
	bool		isnull;
	bool		newnull;
	Datum		issued = heap_getattr(trigdata->tg_trigtuple, open_att, desc, &isnull);
	Datum		posted = heap_getattr(trigdata->tg_newtuple, open_att, desc, &newnull);

	if (isnull || newnull ||
		DatumGetBool(DirectFunctionCall2(numeric_eq, issued, posted)))
		return false;
	if (!DatumGetBool(DirectFunctionCall2(numeric_eq, posted,
										  DirectFunctionCall2(numeric_add, issued, issued))))
		elog(ERROR, "items of invoice %s do not sum up to what is to be paid",
			 DocumentName(trigdata->tg_trigtuple, desc));
	return true;
}

/* o2c_invoice_guard(): BEFORE INSERT, UPDATE or DELETE ON invoice, for each row. */
Datum
o2c_invoice_guard(PG_FUNCTION_ARGS)
{
	/* what may be derived from the ledger, and what a series gives at commit */
	static const char *const posted[] = {"open_amount", "state", "advance_amount", NULL};
	static const char *const numbered[] = {
		"number", "sequence_period", "sequence_no", "issued_at", "payment_reference", NULL
	};
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_invoice_guard");
	TupleDesc	desc = RelationGetDescr(trigdata->tg_relation);
	int			state_att = SPI_fnumber(desc, "state");
	bool		draft;

	if (TRIGGER_FIRED_BY_INSERT(trigdata->tg_event))
		return PointerGetDatum(trigdata->tg_trigtuple);

	draft = strcmp(SPI_getvalue(trigdata->tg_trigtuple, desc, state_att), "draft") == 0;
	if (TRIGGER_FIRED_BY_DELETE(trigdata->tg_event))
	{
		if (!draft)
			RefuseChange("delete", DocumentName(trigdata->tg_trigtuple, desc));
		return PointerGetDatum(trigdata->tg_trigtuple);
	}
	if (draft)
	{
		char	   *state = SPI_getvalue(trigdata->tg_newtuple, desc, state_att);

		if (strcmp(state, "draft") != 0)
		{
			if (!o2c_issuing && strcmp(state, "void") != 0)
				ereport(ERROR,
						(errcode(ERRCODE_O2C_LIFECYCLE),
						 errmsg("invoice %s is not issued by changing its state",
								DocumentName(trigdata->tg_newtuple, desc)),
						 errdetail("Issuing checks the document, draws its number and posts its open items."),
						 errhint("Issue it with o2c.issue_invoice().")));
			RequireDrawn(trigdata->tg_newtuple, desc);
		}
		return PointerGetDatum(trigdata->tg_newtuple);
	}
	if (o2c_issuing && o2c_posting && IsPostedAlready(trigdata))
		return PointerGetDatum(NULL);

	for (int att = 1; att <= desc->natts; att++)
	{
		Form_pg_attribute attr = TupleDescAttr(desc, att - 1);
		bool		oldnull;
		bool		newnull;
		Datum		oldvalue = heap_getattr(trigdata->tg_trigtuple, att, desc, &oldnull);
		Datum		newvalue = heap_getattr(trigdata->tg_newtuple, att, desc, &newnull);

		if (attr->attisdropped || (oldnull && newnull) ||
			(!oldnull && !newnull &&
			 datumIsEqual(oldvalue, newvalue, attr->attbyval, attr->attlen)))
			continue;
		if (o2c_posting && IsListed(NameStr(attr->attname), posted))
			continue;
		if (o2c_numbering && IsListed(NameStr(attr->attname), numbered))
			continue;
		RefuseChange("change", DocumentName(trigdata->tg_trigtuple, desc));
	}
	return PointerGetDatum(trigdata->tg_newtuple);
}

/* Run one statement with derived columns open to change. */
static void
ExecuteDerived(KeptPlan *kept, int expected)
{
	bool		save = o2c_posting;

	o2c_posting = true;
	PG_TRY();
	{
		KeptPlanExecute(kept, NULL, NULL, expected);
	}
	PG_FINALLY();
	{
		o2c_posting = save;
	}
	PG_END_TRY();
}

/*
 * Documents of these rows that are no drafts, or else drafts that this
 * transaction has not made; all of them locked in order.  The OFFSET keeps the
 * condition from being asked before the lock, and the outer order keeps the
 * first row from being hurried for.
 */
#define FROZEN(rows) \
	"SELECT x.number, x.id::text, x.state <> 'draft' FROM (SELECT i.id, i.number, i.state, i.xmin FROM o2c.invoice i" \
	" WHERE (i.company_id, i.id) IN (SELECT r.company_id, r.invoice_id FROM " rows " r)" \
	" ORDER BY i.company_id, i.id FOR NO KEY UPDATE OFFSET 0) x" \
	" WHERE x.state <> 'draft' OR x.xmin <> pg_current_xact_id()::xid ORDER BY x.state = 'draft', x.id LIMIT 1"

/*
 * A lock alone would not stop who issues the draft under REPEATABLE READ with a
 * snapshot that does not have the change: a new version of its row does.
 */
#define TOUCH(rows) \
	"UPDATE o2c.invoice i SET note = i.note" \
	" WHERE (i.company_id, i.id) IN (SELECT r.company_id, r.invoice_id FROM " rows " r)" \
	" AND i.xmin <> pg_current_xact_id()::xid"

/* Lines that bill an order line themselves: not those that credit or deduct. */
#define BILLING "order_line_id IS NOT NULL AND original_line_id IS NULL"
#define ADDED "SELECT n.company_id, n.order_line_id, n.quantity FROM new_rows n WHERE n." BILLING
#define REMOVED "SELECT o.company_id, o.order_line_id, -o.quantity FROM old_rows o WHERE o." BILLING
#define CARRY(rows) \
	"UPDATE o2c.sales_order_line l SET invoiced = l.invoiced + d.quantity" \
	" FROM (SELECT u.company_id, u.order_line_id, sum(u.quantity) AS quantity FROM (" rows ")" \
	"       u(company_id, order_line_id, quantity) GROUP BY 1, 2 HAVING sum(u.quantity) <> 0) d" \
	" WHERE l.company_id = d.company_id AND l.id = d.order_line_id"

/*
 * o2c_invoice_part_guard(part): AFTER INSERT, UPDATE or DELETE, for each
 * statement, on invoice_line, invoice_allowance and invoice_tax.
 */
Datum
o2c_invoice_part_guard(PG_FUNCTION_ARGS)
{
	/* one plan for each table and event: transition tables differ in type */
	static const char *const parts[] = {"line", "allowance", "tax"};
	static KeptPlan frozen_new[lengthof(parts)][2];
	static KeptPlan frozen_old[lengthof(parts)][2];
	static KeptPlan touch_new[lengthof(parts)][2];
	static KeptPlan touch_old[lengthof(parts)][2];
	static KeptPlan carry_insert = {.sql = CARRY(ADDED)};
	static KeptPlan carry_delete = {.sql = CARRY(REMOVED)};
	static KeptPlan carry_update = {.sql = CARRY(ADDED " UNION ALL " REMOVED)};
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_invoice_part_guard");
	TriggerFrame frame;
	int			part = 0;
	bool		update = TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event);

	while (part < lengthof(parts) && strcmp(parts[part], trigdata->tg_trigger->tgargs[0]) != 0)
		part++;
	if (part == lengthof(parts))
		elog(ERROR, "o2c_invoice_part_guard does not know \"%s\"", trigdata->tg_trigger->tgargs[0]);

	TriggerFrameBegin(&frame, trigdata);
	for (int old = 0; old < 2; old++)
	{
		KeptPlan   *kept = old ? &frozen_old[part][update] : &frozen_new[part][update];

		if ((old ? trigdata->tg_oldtable : trigdata->tg_newtable) == NULL)
			continue;
		kept->sql = old ? FROZEN("old_rows") : FROZEN("new_rows");
		if (KeptPlanExecute(kept, NULL, NULL, SPI_OK_SELECT) > 0)
		{
			HeapTuple	found = SPI_tuptable->vals[0];
			TupleDesc	desc = SPI_tuptable->tupdesc;
			char	   *number = SPI_getvalue(found, desc, 1);
			bool		isnull;

			if (DatumGetBool(SPI_getbinval(found, desc, 3, &isnull)))
				RefuseChange("change lines or taxes of",
							 number != NULL ? number : psprintf("with id %s", SPI_getvalue(found, desc, 2)));
			/* taxes follow from the rest */
			if (strcmp(parts[part], "tax") != 0)
			{
				KeptPlan   *touch = old ? &touch_old[part][update] : &touch_new[part][update];

				touch->sql = old ? TOUCH("old_rows") : TOUCH("new_rows");
				(void) KeptPlanExecute(touch, NULL, NULL, SPI_OK_UPDATE);
			}
		}
	}
	if (part == 0)
		ExecuteDerived(update ? &carry_update :
					   trigdata->tg_newtable != NULL ? &carry_insert : &carry_delete,
					   SPI_OK_UPDATE);
	TriggerFrameEnd(&frame);
	return PointerGetDatum(NULL);
}

/* o2c_no_truncate(): BEFORE TRUNCATE, for each statement. */
Datum
o2c_no_truncate(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_no_truncate");

	ereport(ERROR,
			(errcode(ERRCODE_O2C_IMMUTABLE),
			 errmsg("cannot truncate \"%s\"", RelationGetRelationName(trigdata->tg_relation)),
			 errdetail("It holds issued documents, which are never changed."),
			 errhint("Drop drafts with o2c.drop_draft().")));
	PG_RETURN_NULL();
}

/* Value of a numeric column, zero when it is null. */
static Numeric
NumericColumn(HeapTuple tuple, TupleDesc desc, const char *name)
{
	bool		isnull;
	Datum		value = SPI_getbinval(tuple, desc, SPI_fnumber(desc, name), &isnull);

	return isnull ? int64_to_numeric(0) : DatumGetNumeric(value);
}

/*
 * o2c_invoice_line_compute(): BEFORE INSERT OR UPDATE ON invoice_line, for each
 * row.  net = round(quantity x price x (1 - discount) - allowance + charge).
 */
Datum
o2c_invoice_line_compute(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_invoice_line_compute");
	TupleDesc	desc = RelationGetDescr(trigdata->tg_relation);
	HeapTuple	tuple = TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event) ?
		trigdata->tg_newtuple : trigdata->tg_trigtuple;
	int			currency_att = SPI_fnumber(desc, "currency");
	int			net_att = SPI_fnumber(desc, "net_amount");
	bool		isnull;
	Datum		value = SPI_getbinval(tuple, desc, currency_att, &isnull);
	text	   *currency;
	int			digits;
	Numeric		net;
	Numeric		discount;
	Datum		netdatum;
	bool		notnull = false;

	if (isnull)
		return PointerGetDatum(tuple);	/* NOT NULL refuses it */
	currency = DatumGetTextPP(value);
	digits = CurrencyMinorUnit(VARDATA_ANY(currency), VARSIZE_ANY_EXHDR(currency));
	if (digits < 0)
		ereport(ERROR,
				(errcode(ERRCODE_O2C_INVALID_CURRENCY),
				 errmsg("currency \"%s\" has no minor unit", text_to_cstring(currency))));

	net = numeric_mul_opt_error(NumericColumn(tuple, desc, "quantity"),
								NumericColumn(tuple, desc, "unit_price"), NULL);
	discount = NumericColumn(tuple, desc, "discount_percent");
	if (numeric_is_nan(net) || numeric_is_inf(net))
		return PointerGetDatum(tuple);	/* CHECKs of the columns refuse it */
	if (DatumGetBool(DirectFunctionCall2(numeric_ne, NumericGetDatum(discount),
										 NumericGetDatum(int64_to_numeric(0)))))
	{
		/* times (100 - discount) x 0.01: exact, unlike a division */
		Numeric		left = numeric_sub_opt_error(int64_to_numeric(100), discount, NULL);

		net = numeric_mul_opt_error(net, left, NULL);
		net = numeric_mul_opt_error(net, int64_div_fast_to_numeric(1, 2), NULL);
	}
	net = numeric_sub_opt_error(net, NumericColumn(tuple, desc, "allowance_amount"), NULL);
	net = numeric_add_opt_error(net, NumericColumn(tuple, desc, "charge_amount"), NULL);
	netdatum = DirectFunctionCall2(numeric_round, NumericGetDatum(net), Int32GetDatum(digits));
	tuple = heap_modify_tuple_by_cols(tuple, desc, 1, &net_att, &netdatum, &notnull);
	return PointerGetDatum(tuple);
}
