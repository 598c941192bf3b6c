/*
 * four_eyes.c
 *		Nobody changes where a customer's money goes alone.
 *
 * With company.settings {"four_eyes_bank_accounts": true} a bank account of a
 * customer counts only when somebody else than its proposer approved it.
 * A refund always takes two, and what the bank is told to pay or to collect
 * goes by refunds, mandates and the account that the customer is known by.
 * Who did what is what the session says, not what the statement says.
 */
#include "o2c.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(o2c_four_eyes_account);
PG_FUNCTION_INFO_V1(o2c_four_eyes_customer);
PG_FUNCTION_INFO_V1(o2c_four_eyes_refund);
PG_FUNCTION_INFO_V1(o2c_four_eyes_order_line);

/* Column of a row. */
static Datum
Column(HeapTuple tuple, TupleDesc desc, const char *name, bool *isnull)
{
	return SPI_getbinval(tuple, desc, SPI_fnumber(desc, name), isnull);
}

/* The row with one column set. */
static HeapTuple
WithColumn(HeapTuple tuple, TupleDesc desc, const char *name, Datum value, bool isnull)
{
	int			att = SPI_fnumber(desc, name);

	return heap_modify_tuple_by_cols(tuple, desc, 1, &att, &value, &isnull);
}

/* Whether the company of a row asks for four eyes.  Runs inside a frame. */
static bool
AsksForFourEyes(Datum company_id)
{
	static KeptPlan asks = {
		.sql = "SELECT FROM o2c.company c WHERE c.company_id = $1"
		" AND c.settings -> 'four_eyes_bank_accounts' = 'true'::jsonb",
		.nargs = 1,
		.argtypes = {INT4OID}
	};

	return KeptPlanExecute(&asks, &company_id, NULL, SPI_OK_SELECT) > 0;
}

/*
 * o2c_four_eyes_account(): BEFORE INSERT OR UPDATE ON customer_bank_account,
 * for each row.  Stamps who proposes and who approves; nothing else changes.
 */
Datum
o2c_four_eyes_account(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_four_eyes_account");
	TupleDesc	desc = RelationGetDescr(trigdata->tg_relation);
	HeapTuple	old = trigdata->tg_trigtuple;
	HeapTuple	tuple;
	Datum		user = CStringGetTextDatum(GetUserNameFromId(GetSessionUserId(), false));
	Datum		company_id;
	Datum		proposer;
	bool		isnull;
	bool		was_open;
	bool		is_open;
	bool		asks;
	TriggerFrame frame;

	if (TRIGGER_FIRED_BY_INSERT(trigdata->tg_event))
	{
		tuple = WithColumn(old, desc, "proposed_by", user, false);
		tuple = WithColumn(tuple, desc, "approved_by", (Datum) 0, true);
		return PointerGetDatum(WithColumn(tuple, desc, "approved_at", (Datum) 0, true));
	}

	tuple = trigdata->tg_newtuple;
	(void) Column(old, desc, "approved_by", &was_open);
	(void) Column(tuple, desc, "approved_by", &is_open);
	for (int att = 1; att <= desc->natts; att++)
	{
		Form_pg_attribute attr = TupleDescAttr(desc, att - 1);
		bool		oldnull;
		bool		newnull;
		Datum		before;
		Datum		after;

		if (attr->attisdropped ||
			(was_open && strncmp(NameStr(attr->attname), "approved_", 9) == 0))
			continue;
		before = SPI_getbinval(old, desc, att, &oldnull);
		after = SPI_getbinval(tuple, desc, att, &newnull);
		if (oldnull != newnull ||
			(!oldnull && !datumIsEqual(before, after, attr->attbyval, attr->attlen)))
			ereport(ERROR,
					(errcode(ERRCODE_O2C_IMMUTABLE),
					 errmsg("column \"%s\" of a customer's bank account cannot be changed",
							NameStr(attr->attname)),
					 errhint("Propose another account with o2c.propose_bank_account().")));
	}
	if (!was_open || is_open)
		return PointerGetDatum(tuple);

	company_id = Column(old, desc, "company_id", &isnull);
	proposer = Column(old, desc, "proposed_by", &isnull);
	TriggerFrameBegin(&frame, trigdata);
	asks = AsksForFourEyes(company_id);
	TriggerFrameEnd(&frame);
	if (asks && strcmp(TextDatumGetCString(proposer), TextDatumGetCString(user)) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_O2C_FOUR_EYES),
				 errmsg("who proposed a bank account may not approve it"),
				 errdetail("\"%s\" proposed it.", TextDatumGetCString(proposer)),
				 errhint("Let a second person call o2c.approve_bank_account().")));
	tuple = WithColumn(tuple, desc, "approved_by", user, false);
	return PointerGetDatum(WithColumn(tuple, desc, "approved_at",
									  TimestampTzGetDatum(GetCurrentTimestamp()), false));
}

/*
 * o2c_four_eyes_customer(): BEFORE INSERT OR UPDATE ON customer, for each row
 * with an IBAN: where four eyes are asked for, only an approved one.
 */
Datum
o2c_four_eyes_customer(PG_FUNCTION_ARGS)
{
	static KeptPlan approved = {
		.sql = "SELECT FROM o2c.customer_bank_account b WHERE b.company_id = $1 AND b.customer_id = $2"
		" AND b.iban = $3 AND b.approved_by IS NOT NULL",
		.nargs = 3,
		.argtypes = {INT4OID, INT8OID, TEXTOID}
	};
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_four_eyes_customer");
	TupleDesc	desc = RelationGetDescr(trigdata->tg_relation);
	bool		update = TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event);
	HeapTuple	tuple = update ? trigdata->tg_newtuple : trigdata->tg_trigtuple;
	Datum		args[3];
	bool		isnull;
	bool		refused;
	TriggerFrame frame;

	args[2] = Column(tuple, desc, "iban", &isnull);
	if (isnull)
		return PointerGetDatum(tuple);
	if (update)
	{
		Datum		before = Column(trigdata->tg_trigtuple, desc, "iban", &isnull);

		if (!isnull && strcmp(TextDatumGetCString(before), TextDatumGetCString(args[2])) == 0)
			return PointerGetDatum(tuple);
	}
	args[0] = Column(tuple, desc, "company_id", &isnull);
	args[1] = Column(tuple, desc, "id", &isnull);
	TriggerFrameBegin(&frame, trigdata);
	refused = AsksForFourEyes(args[0]) &&
		KeptPlanExecute(&approved, args, NULL, SPI_OK_SELECT) == 0;
	TriggerFrameEnd(&frame);
	if (refused)
		ereport(ERROR,
				(errcode(ERRCODE_O2C_FOUR_EYES),
				 errmsg("the bank account of customer \"%s\" takes two persons to change",
						TextDatumGetCString(Column(tuple, desc, "code", &isnull))),
				 errhint("Call o2c.propose_bank_account(); a second person calls o2c.approve_bank_account().")));
	return PointerGetDatum(tuple);
}

/*
 * o2c_four_eyes_refund(): BEFORE INSERT OR UPDATE ON refund, for each row.  A
 * refund begins as asked for by who runs the session, and is decided once, by
 * a manager who is somebody else.
 */
Datum
o2c_four_eyes_refund(PG_FUNCTION_ARGS)
{
	static const char *const decided[] = {"state", "approved_by", "approved_at", "entry_id"};
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_four_eyes_refund");
	TupleDesc	desc = RelationGetDescr(trigdata->tg_relation);
	HeapTuple	old = trigdata->tg_trigtuple;
	HeapTuple	tuple = trigdata->tg_newtuple;
	Datum		user = CStringGetTextDatum(GetUserNameFromId(GetSessionUserId(), false));
	Oid			manager = get_role_oid("o2c_manager", true);
	Oid			admin = get_role_oid("o2c_admin", true);
	bool		isnull;

	if (TRIGGER_FIRED_BY_INSERT(trigdata->tg_event))
	{
		if (strcmp(TextDatumGetCString(Column(old, desc, "state", &isnull)), "requested") != 0)
			ereport(ERROR,
					(errcode(ERRCODE_O2C_LIFECYCLE),
					 errmsg("a refund begins as requested"),
					 errhint("Ask with o2c.refund(); another person calls o2c.approve_refund().")));
		return PointerGetDatum(WithColumn(old, desc, "requested_by", user, false));
	}

	for (int att = 1; att <= desc->natts; att++)
	{
		Form_pg_attribute attr = TupleDescAttr(desc, att - 1);
		bool		oldnull;
		bool		newnull;
		Datum		before;
		Datum		after;
		bool		may_change = false;

		for (int i = 0; i < lengthof(decided); i++)
			may_change = may_change || strcmp(NameStr(attr->attname), decided[i]) == 0;
		if (attr->attisdropped ||
			(may_change && strcmp(TextDatumGetCString(Column(old, desc, "state", &isnull)), "requested") == 0))
			continue;
		before = SPI_getbinval(old, desc, att, &oldnull);
		after = SPI_getbinval(tuple, desc, att, &newnull);
		if (oldnull != newnull ||
			(!oldnull && !datumIsEqual(before, after, attr->attbyval, attr->attlen)))
			ereport(ERROR,
					(errcode(ERRCODE_O2C_IMMUTABLE),
					 errmsg("column \"%s\" of a refund cannot be changed", NameStr(attr->attname)),
					 errhint("Ask for another refund with o2c.refund().")));
	}
	if (strcmp(TextDatumGetCString(Column(tuple, desc, "state", &isnull)), "approved") != 0)
		return PointerGetDatum(tuple);
	if (!(OidIsValid(manager) && has_privs_of_role(GetUserId(), manager)) &&
		!(OidIsValid(admin) && has_privs_of_role(GetUserId(), admin)))
		ereport(ERROR,
				(errcode(ERRCODE_O2C_NOT_ALLOWED),
				 errmsg("you may not approve a refund"),
				 errdetail("It takes a member of role %s.", "o2c_manager")));
	if (strcmp(TextDatumGetCString(Column(old, desc, "requested_by", &isnull)), TextDatumGetCString(user)) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_O2C_FOUR_EYES),
				 errmsg("a refund is approved by another person than asked for it"),
				 errdetail("\"%s\" asked for it.", TextDatumGetCString(user))));
	return PointerGetDatum(WithColumn(tuple, desc, "approved_by", user, false));
}

/*
 * o2c_four_eyes_order_line(): AFTER INSERT ON payment_order_line, REFERENCING
 * NEW TABLE new_rows.
 */
Datum
o2c_four_eyes_order_line(PG_FUNCTION_ARGS)
{
	static KeptPlan find = {
		.sql = "SELECT n.end_to_end_id, n.iban, n.refund_id IS NULL FROM new_rows n"
		" WHERE NOT CASE WHEN n.refund_id IS NOT NULL THEN EXISTS ("
		"   SELECT FROM o2c.refund r JOIN o2c.payment p ON p.company_id = r.company_id AND p.id = r.payment_id"
		"   JOIN o2c.customer c ON c.company_id = p.company_id AND c.id = p.customer_id"
		"   WHERE r.company_id = n.company_id AND r.id = n.refund_id AND r.state = 'approved'"
		"    AND r.amount = n.amount AND r.currency::text = n.currency::text AND c.id = n.customer_id AND c.iban::text = n.iban::text)"
		"  ELSE EXISTS (SELECT FROM o2c.mandate m JOIN o2c.open_item i ON i.company_id = m.company_id AND i.customer_id = m.customer_id"
		"   WHERE m.company_id = n.company_id AND m.id = n.mandate_id AND m.customer_id = n.customer_id AND m.iban::text = n.iban::text"
		"    AND i.id = n.item_id AND i.currency::text = n.currency::text AND n.amount <= i.amount) END LIMIT 1"
	};
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_four_eyes_order_line");
	TriggerFrame frame;

	TriggerFrameBegin(&frame, trigdata);
	if (KeptPlanExecute(&find, NULL, NULL, SPI_OK_SELECT) > 0)
	{
		HeapTuple	row = SPI_tuptable->vals[0];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		bool		isnull;

		ereport(ERROR,
				(errcode(ERRCODE_O2C_FOUR_EYES),
				 errmsg("payment order line \"%s\" to account %s has nothing to stand on",
						SPI_getvalue(row, desc, 1), SPI_getvalue(row, desc, 2)),
				 DatumGetBool(SPI_getbinval(row, desc, 3, &isnull)) ?
				 errdetail("A collection goes by the customer's mandate and an open item of his.") :
				 errdetail("A transfer is an approved refund, in full, to the account that the customer is known by."),
				 errhint("Draw orders with o2c.collect_direct_debits() and o2c.order_refunds().")));
	}
	TriggerFrameEnd(&frame);
	return PointerGetDatum(NULL);
}
