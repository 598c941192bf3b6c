/*
 * screen.c
 *		Which orders would pass, decided in one go before they are confirmed.
 *
 * o2c_credit_screen locks the stock and then the head accounts of every
 * customer concerned and of everybody above, each in the order of its key, and
 * goes through the orders by promise, oldest first: an order passes when its
 * goods are there and no limit is exceeded, and then takes both.  The locks
 * are held until the end of the transaction, so what passes here passes the
 * triggers too.
 */
#include "o2c.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "credit/credit.h"
#include "numeric_ops.h"

PG_FUNCTION_INFO_V1(o2c_credit_screen);

/* A place of stock. */
typedef struct Place
{
	int64		product_id;
	char	   *warehouse;
	Numeric		available;
} Place;

/* The account of a customer or of somebody above. */
typedef struct Account
{
	CreditHead	head;
	char	   *code;
	int64		parent_id;		/* 0: none */
} Account;

typedef struct Screen
{
	Place	   *places;
	int			nplaces;
	Account    *accounts;
	int			naccounts;
	Datum		company_id;
} Screen;

static inline int64
GetInt64(HeapTuple tuple, TupleDesc desc, int column)
{
	bool		isnull;
	Datum		value = SPI_getbinval(tuple, desc, column, &isnull);

	return isnull ? 0 : DatumGetInt64(value);
}

static inline bool
GetBool(HeapTuple tuple, TupleDesc desc, int column)
{
	bool		isnull;

	return DatumGetBool(SPI_getbinval(tuple, desc, column, &isnull));
}

/* Lock the stock of all lines and note what is available. */
static void
LockStock(Screen *screen, Datum *args)
{
	static KeptPlan lock = {
		.sql = "SELECT k.product_id, k.warehouse, k.on_hand - k.reserved FROM o2c.stock k"
		" WHERE k.company_id = $1 AND (k.product_id, k.warehouse) IN (SELECT l.product_id, s.warehouse"
		"  FROM o2c.sales_order s JOIN o2c.sales_order_line l ON l.company_id = s.company_id AND l.order_id = s.id"
		"  JOIN o2c.product p ON p.company_id = l.company_id AND p.id = l.product_id AND p.stocked"
		"  WHERE s.company_id = $1 AND s.id = ANY ($2) AND NOT (" COUNTS("s.state") "))"
		" ORDER BY k.product_id, k.warehouse COLLATE \"C\" FOR NO KEY UPDATE",
		.nargs = 2,
		.argtypes = {INT4OID, INT8ARRAYOID}
	};

	screen->nplaces = KeptPlanExecute(&lock, args, NULL, SPI_OK_SELECT);
	screen->places = palloc((screen->nplaces + 1) * sizeof(Place));
	for (int i = 0; i < screen->nplaces; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;

		screen->places[i].product_id = GetInt64(tuple, desc, 1);
		screen->places[i].warehouse = SPI_getvalue(tuple, desc, 2);
		screen->places[i].available = SPIGetNumeric(tuple, desc, 3);
	}
}

/* The account of a customer, or NULL. */
static Account *
AccountOf(Screen *screen, int64 customer_id)
{
	int			low = 0;
	int			high = screen->naccounts - 1;

	while (low <= high)
	{
		int			mid = (low + high) / 2;
		Account    *account = &screen->accounts[mid];

		if (account->head.customer_id == customer_id)
			return account;
		if (account->head.customer_id < customer_id)
			low = mid + 1;
		else
			high = mid - 1;
	}
	return NULL;
}

/* Lock the accounts of all customers and of everybody above them. */
static void
LockAccounts(Screen *screen, Datum *args)
{
	static KeptPlan lock = {
		.sql = "WITH RECURSIVE chain AS ("
		"  SELECT s.customer_id AS id FROM o2c.sales_order s WHERE s.company_id = $1 AND s.id = ANY ($2)"
		"  UNION"
		"  SELECT h.parent_id FROM chain c JOIN o2c.credit_account h"
		"   ON h.company_id = $1 AND h.customer_id = c.id AND h.head WHERE h.parent_id IS NOT NULL)"
		" SELECT a.customer_id, a.currency, a.group_exposure, a.credit_limit, a.mixed, a.temporary, a.parent_id, c.code"
		" FROM o2c.credit_account a JOIN o2c.customer c ON c.company_id = a.company_id AND c.id = a.customer_id"
		" WHERE a.company_id = $1 AND a.head AND a.customer_id IN (SELECT h.id FROM chain h)"
		" ORDER BY a.customer_id FOR NO KEY UPDATE OF a",
		.nargs = 2,
		.argtypes = {INT4OID, INT8ARRAYOID}
	};
	SPITupleTable *rows;

	screen->naccounts = KeptPlanExecute(&lock, args, NULL, SPI_OK_SELECT);
	rows = SPI_tuptable;
	screen->accounts = palloc0((screen->naccounts + 1) * sizeof(Account));
	for (int i = 0; i < screen->naccounts; i++)
	{
		HeapTuple	tuple = rows->vals[i];
		TupleDesc	desc = rows->tupdesc;
		Account    *account = &screen->accounts[i];
		bool		mixed = GetBool(tuple, desc, 5);

		account->head.company_id = DatumGetInt32(args[0]);
		account->head.customer_id = GetInt64(tuple, desc, 1);
		account->head.currency = SPI_getvalue(tuple, desc, 2);
		account->head.exposure = SPIGetNumeric(tuple, desc, 3);
		account->head.limit = SPIGetNumeric(tuple, desc, 4);
		account->head.temporary = GetBool(tuple, desc, 6);
		account->parent_id = GetInt64(tuple, desc, 7);
		account->code = SPI_getvalue(tuple, desc, 8);
		if (account->head.limit != NULL && (mixed || account->head.temporary))
			CreditHeadComplete(&account->head, mixed);
	}

	/* who is above somebody since the statement began must not be locked later, out of order */
	for (int i = 0; i < screen->naccounts; i++)
		if (screen->accounts[i].parent_id != 0 && AccountOf(screen, screen->accounts[i].parent_id) == NULL)
			RefuseChangedGroup();
}

/* The place of stock of a line, or NULL. */
static Place *
PlaceOf(Screen *screen, int64 product_id, const char *warehouse)
{
	int			low = 0;
	int			high = screen->nplaces - 1;

	while (low <= high)
	{
		int			mid = (low + high) / 2;
		Place	   *place = &screen->places[mid];
		int			cmp = place->product_id < product_id ? -1 :
			place->product_id > product_id ? 1 : strcmp(place->warehouse, warehouse);

		if (cmp == 0)
			return place;
		if (cmp < 0)
			low = mid + 1;
		else
			high = mid - 1;
	}
	return NULL;
}

/* An amount in another currency, at today's rate; NULL when there is none. */
static Numeric
Convert(Screen *screen, Numeric amount, const char *from, const char *to)
{
	static KeptPlan convert = {
		.sql = "SELECT o2c.round_amount($4 * o2c._credit_rate($1, $2, $3), $3::o2c.currency)",
		.nargs = 4,
		.argtypes = {INT4OID, TEXTOID, TEXTOID, NUMERICOID}
	};
	Datum		args[4];

	if (strcmp(from, to) == 0)
		return amount;
	args[0] = screen->company_id;
	args[1] = CStringGetTextDatum(from);
	args[2] = CStringGetTextDatum(to);
	args[3] = NumericGetDatum(amount);
	KeptPlanExecuteRow(&convert, args, NULL, SPI_OK_SELECT);
	return SPIGetNumeric(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
}

/* Why the customer or somebody above may not take the amount; NULL when all may. */
static char *
CreditRefusal(Screen *screen, int64 customer_id, Numeric amount, const char *currency)
{
	for (Account *account = AccountOf(screen, customer_id); account != NULL;
		 account = account->parent_id ? AccountOf(screen, account->parent_id) : NULL)
	{
		Numeric		more;

		if (account->head.limit == NULL)
			continue;
		more = Convert(screen, amount, currency, account->head.currency);
		if (more == NULL || account->head.exposure == NULL)
			return psprintf("customer \"%s\": there is no exchange rate into %s",
							account->code, account->head.currency);
		if (NumericCompare(NumericAdd(account->head.exposure, more), account->head.limit) > 0)
			return NumericCompare(more, int64_to_numeric(0)) == 0 ?
				psprintf("customer \"%s\": exposure %s is over the limit of %s %s", account->code,
						 NumericText(account->head.exposure), NumericText(account->head.limit), account->head.currency) :
				psprintf("customer \"%s\": exposure %s and this order of %s are over the limit of %s %s",
							account->code, NumericText(account->head.exposure), NumericText(more),
							NumericText(account->head.limit), account->head.currency);
	}
	return NULL;
}

/* Take the amount on the accounts of the customer and everybody above. */
static void
TakeCredit(Screen *screen, int64 customer_id, Numeric amount, const char *currency)
{
	for (Account *account = AccountOf(screen, customer_id); account != NULL;
		 account = account->parent_id ? AccountOf(screen, account->parent_id) : NULL)
		if (account->head.limit != NULL)
			account->head.exposure = NumericAdd(account->head.exposure,
										 Convert(screen, amount, currency, account->head.currency));
}

/*
 * _screen_orders(company_id, order_ids, as_of): order_id, verdict (NULL:
 * passes, "stock" or "credit") and note for each order that has lines.  An
 * order beyond the horizon takes no credit.  One that is confirmed has its
 * goods; it takes credit when it was beyond the horizon and no longer is, and
 * is over the limit when its customer is.
 */
Datum
o2c_credit_screen(PG_FUNCTION_ARGS)
{
	static KeptPlan lines = {
		.sql = "SELECT s.id, s.customer_id, s.currency, s.warehouse, l.product_id, p.code,"
		" p.stocked AND NOT (" COUNTS("s.state") "), p.backorder, l.quantity - l.cancelled - l.shipped - l.reserved,"
		" CASE WHEN coalesce(s.promised_on, s.ordered_on) > $3 OR (" COUNTS("s.state") " AND NOT s.deferred) THEN 0"
		"  ELSE " LINE_SHARE("l", "s") " - " LINE_SHIPPED("l", "s") " END,"
		" " COUNTS("s.state") " AND NOT s.deferred"
		" FROM o2c.sales_order s JOIN o2c.sales_order_line l ON l.company_id = s.company_id AND l.order_id = s.id"
		" JOIN o2c.product p ON p.company_id = l.company_id AND p.id = l.product_id"
		" WHERE s.company_id = $1 AND s.id = ANY ($2)"
		" ORDER BY coalesce(s.promised_on, s.ordered_on), s.id, l.line_no",
		.nargs = 3,
		.argtypes = {INT4OID, INT8ARRAYOID, DATEOID}
	};
	CreditPolicy policy;
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Datum		args[3];
	char		nulls[] = "   ";
	Screen		screen;
	SPITupleTable *rows;
	TupleDesc	desc;
	Numeric		zero = int64_to_numeric(0);
	int			n;
	int			next;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		return (Datum) 0;
	args[0] = PG_GETARG_DATUM(0);
	args[1] = PG_GETARG_DATUM(1);
	CreditPolicyOf(PG_GETARG_INT32(0), &policy);
	if (policy.horizon < 0)
		nulls[2] = 'n';
	else
		args[2] = DateADTGetDatum((PG_ARGISNULL(2) ? policy.today : PG_GETARG_DATEADT(2)) + policy.horizon);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	screen.company_id = args[0];
	LockStock(&screen, args);
	LockAccounts(&screen, args);
	n = KeptPlanExecute(&lines, args, nulls, SPI_OK_SELECT);
	rows = SPI_tuptable;
	desc = rows->tupdesc;

	for (int first = 0; first < n; first = next)
	{
		int64		order_id = GetInt64(rows->vals[first], desc, 1);
		int64		customer_id = GetInt64(rows->vals[first], desc, 2);
		char	   *currency = SPI_getvalue(rows->vals[first], desc, 3);
		char	   *warehouse = SPI_getvalue(rows->vals[first], desc, 4);
		Numeric		amount = zero;
		Place	  **taken;
		Numeric    *before;
		int			ntaken = 0;
		char	   *verdict = NULL;
		char	   *note = NULL;
		Datum		values[3];
		bool		nulls[3] = {false, true, true};

		CHECK_FOR_INTERRUPTS();
		/* its head was another one when the statement that locks it began */
		if (AccountOf(&screen, customer_id) == NULL)
			RefuseChangedGroup();
		for (next = first; next < n && GetInt64(rows->vals[next], desc, 1) == order_id; next++)
			;
		taken = palloc((next - first) * sizeof(Place *));
		before = palloc((next - first) * sizeof(Numeric));
		for (int i = first; i < next; i++)
		{
			HeapTuple	tuple = rows->vals[i];
			Numeric		wanted = SPIGetNumeric(tuple, desc, 9);
			Place	   *place;

			amount = NumericAdd(amount, SPIGetNumeric(tuple, desc, 10));
			if (verdict != NULL || !GetBool(tuple, desc, 7))
				continue;
			place = PlaceOf(&screen, GetInt64(tuple, desc, 5), warehouse);
			if (place == NULL || NumericCompare(place->available, wanted) < 0)
			{
				if (!GetBool(tuple, desc, 8))
				{
					verdict = "stock";
					note = psprintf("product \"%s\": %s ordered, %s available",
									SPI_getvalue(tuple, desc, 6), NumericText(wanted),
									NumericText(place ? place->available : zero));
					continue;
				}
				if (place == NULL)
					continue;
				wanted = place->available;
			}
			taken[ntaken] = place;
			before[ntaken++] = place->available;
			place->available = NumericSubtract(place->available, wanted);
		}
		if (verdict == NULL && (NumericCompare(amount, zero) > 0 || GetBool(rows->vals[first], desc, 11)))
		{
			note = CreditRefusal(&screen, customer_id, amount, currency);
			if (note != NULL)
				verdict = "credit";
			else
				TakeCredit(&screen, customer_id, amount, currency);
		}
		/* what does not pass takes no goods either */
		if (verdict != NULL)
			while (ntaken-- > 0)
				taken[ntaken]->available = before[ntaken];

		values[0] = Int64GetDatum(order_id);
		if (verdict != NULL)
		{
			values[1] = CStringGetTextDatum(verdict);
			values[2] = CStringGetTextDatum(note);
			nulls[1] = nulls[2] = false;
		}
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	if (SPI_finish() != SPI_OK_FINISH)
		elog(ERROR, "could not finish SPI");
	return (Datum) 0;
}
