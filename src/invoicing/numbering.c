/*
 * numbering.c
 *		Gapless numbers: drawing them.
 *
 * A series has one row in o2c.number_counter.  Drawing locks the series, adds
 * to that row and keeps the lock until the transaction ends; a rollback, of the
 * whole transaction or to a savepoint, takes the number back with the row, so
 * that none is ever missing.  The moment of issuing is taken under that lock,
 * which is why numbers, dates and moments all run the same way.
 *
 * The row is changed here, at heap level, and not by an UPDATE: it must be the
 * newest version that is counted on, whatever the isolation level, or else
 * REPEATABLE READ would fail whoever comes second.  That is sound because
 * nothing else in a transaction is decided by reading the counter.
 */
#include "o2c.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "funcapi.h"
#include "invoicing/numbering.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(o2c_number_draw);
PG_FUNCTION_INFO_V1(o2c_number_last_date);
PG_FUNCTION_INFO_V1(o2c_number_series_counter);
PG_FUNCTION_INFO_V1(o2c_number_series_guard);
PG_FUNCTION_INFO_V1(o2c_number_counter_guard);

/* Columns of o2c.number_counter. */
enum
{
	Anum_counter_company = 1,
	Anum_counter_series,
	Anum_counter_period,
	Anum_counter_last_number,
	Anum_counter_last_date,
	Anum_counter_last_issued_at,
	Natts_counter = Anum_counter_last_issued_at
};

/* A text column of a row of SPI, in a memory context. */
static text *
CopyText(MemoryContext context, Datum value)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	text	   *copy = DatumGetTextPCopy(value);

	MemoryContextSwitchTo(old);
	return copy;
}

pg_noreturn static void
RefuseUnknownSeries(int32 company, text *code)
{
	ereport(ERROR,
			(errcode(ERRCODE_O2C_UNKNOWN_OBJECT),
			 errmsg("there is no number series \"%s\" in company %d",
					text_to_cstring(code), company),
			 errhint("Series are rows of o2c.number_series.")));
}

/* The series, read with the current user's rights; raises when there is none. */
Series
ReadSeries(int32 company, text *code)
{
	static KeptPlan read = {
		.sql = "SELECT s.reset, s.gapless, s.early_release, s.assign, s.pattern, coalesce(s.prefix, s.code),"
		" EXISTS (SELECT FROM o2c.event_subscription e WHERE e.company_id OPERATOR(pg_catalog.=) s.company_id"
		"  AND e.entity OPERATOR(pg_catalog.=) 'invoice' AND e.event OPERATOR(pg_catalog.=) 'issue' AND e.enabled)"
		" FROM o2c.number_series s"
		" WHERE s.company_id OPERATOR(pg_catalog.=) $1 AND s.code OPERATOR(pg_catalog.=) $2",
		.nargs = 2,
		.argtypes = {INT4OID, TEXTOID}
	};
	MemoryContext caller = CurrentMemoryContext;
	Datum		args[2];
	Series		series;
	bool		isnull;
	HeapTuple	tuple;
	TupleDesc	desc;

	args[0] = Int32GetDatum(company);
	args[1] = PointerGetDatum(code);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	if (KeptPlanExecute(&read, args, NULL, SPI_OK_SELECT) != 1)
		RefuseUnknownSeries(company, code);
	tuple = SPI_tuptable->vals[0];
	desc = SPI_tuptable->tupdesc;
	series.reset = *VARDATA_ANY(DatumGetTextPP(SPI_getbinval(tuple, desc, 1, &isnull)));
	series.gapless = DatumGetBool(SPI_getbinval(tuple, desc, 2, &isnull));
	series.early_release = DatumGetBool(SPI_getbinval(tuple, desc, 3, &isnull));
	series.at_commit = *VARDATA_ANY(DatumGetTextPP(SPI_getbinval(tuple, desc, 4, &isnull))) == 'c';
	series.pattern = CopyText(caller, SPI_getbinval(tuple, desc, 5, &isnull));
	series.prefix = CopyText(caller, SPI_getbinval(tuple, desc, 6, &isnull));
	series.subscribed = DatumGetBool(SPI_getbinval(tuple, desc, 7, &isnull));
	SPI_finish();
	return series;
}

/* Whether issued documents of a company are to be told to somebody. */
static bool
IsSubscribed(Relation series, int32 company)
{
	Relation	rel = table_open(get_relname_relid("event_subscription", RelationGetNamespace(series)),
								 AccessShareLock);
	TupleDesc	desc = RelationGetDescr(rel);
	bool		subscribed = false;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, SPI_fnumber(desc, "company_id"), BTEqualStrategyNumber, F_INT4EQ,
				Int32GetDatum(company));
	scan = systable_beginscan(rel, O2CPrimaryKeyIndex(rel), true, NULL, 1, &key);
	while (!subscribed && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;

		subscribed = DatumGetBool(SPI_getbinval(tuple, desc, SPI_fnumber(desc, "enabled"), &isnull)) &&
			strcmp(SPI_getvalue(tuple, desc, SPI_fnumber(desc, "entity")), "invoice") == 0 &&
			strcmp(SPI_getvalue(tuple, desc, SPI_fnumber(desc, "event")), "issue") == 0;
	}
	systable_endscan(scan);
	table_close(rel, NoLock);
	return subscribed;
}

/*
 * The same as ReadSeries() by key and as it stands now, for the tables' owner:
 * a statement would cost a quarter of what numbering a document does.
 */
Series
FindSeries(Oid schema, int32 company, text *code)
{
	Relation	rel = table_open(get_relname_relid("number_series", schema), AccessShareLock);
	TupleDesc	desc = RelationGetDescr(rel);
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	Series		series;
	bool		isnull;
	Datum		prefix;

	ScanKeyInit(&keys[0], SPI_fnumber(desc, "company_id"), BTEqualStrategyNumber, F_INT4EQ,
				Int32GetDatum(company));
	ScanKeyInit(&keys[1], SPI_fnumber(desc, "code"), BTEqualStrategyNumber, F_TEXTEQ,
				PointerGetDatum(code));
	scan = systable_beginscan(rel, O2CPrimaryKeyIndex(rel), true, NULL, 2, keys);
	tuple = systable_getnext(scan);
	if (!HeapTupleIsValid(tuple))
		RefuseUnknownSeries(company, code);
	series.reset = *VARDATA_ANY(DatumGetTextPP(SPI_getbinval(tuple, desc, SPI_fnumber(desc, "reset"), &isnull)));
	series.gapless = DatumGetBool(SPI_getbinval(tuple, desc, SPI_fnumber(desc, "gapless"), &isnull));
	series.early_release = DatumGetBool(SPI_getbinval(tuple, desc, SPI_fnumber(desc, "early_release"), &isnull));
	series.at_commit = *VARDATA_ANY(DatumGetTextPP(SPI_getbinval(tuple, desc, SPI_fnumber(desc, "assign"), &isnull))) == 'c';
	series.pattern = DatumGetTextPCopy(SPI_getbinval(tuple, desc, SPI_fnumber(desc, "pattern"), &isnull));
	prefix = SPI_getbinval(tuple, desc, SPI_fnumber(desc, "prefix"), &isnull);
	series.prefix = isnull ? code : DatumGetTextPCopy(prefix);
	systable_endscan(scan);
	series.subscribed = IsSubscribed(rel, company);
	table_close(rel, NoLock);
	return series;
}

/* First day of the period of counting that a date falls in. */
static DateADT
PeriodOf(char reset, DateADT on_date)
{
	int			year;
	int			month;
	int			day;

	if (reset == 'n')
		return date2j(1, 1, 1) - POSTGRES_EPOCH_JDATE;
	j2date(on_date + POSTGRES_EPOCH_JDATE, &year, &month, &day);
	return date2j(year, reset == 'y' ? 1 : month, 1) - POSTGRES_EPOCH_JDATE;
}

/* A date as people of all countries read it. */
static char *
DateText(DateADT date)
{
	int			year;
	int			month;
	int			day;

	j2date(date + POSTGRES_EPOCH_JDATE, &year, &month, &day);
	return psprintf("%04d-%02d-%02d", year, month, day);
}

/*
 * The counter's row as it stands, NULL when there is none.  The series is
 * locked, so the newest version is committed or our own: the one that the
 * snapshot of now sees, which also leaves no mark for SERIALIZABLE.
 */
static HeapTuple
ReadCounter(Relation rel, Oid index, int32 company, text *series)
{
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&keys[0], Anum_counter_company, BTEqualStrategyNumber, F_INT4EQ,
				Int32GetDatum(company));
	ScanKeyInit(&keys[1], Anum_counter_series, BTEqualStrategyNumber, F_TEXTEQ,
				PointerGetDatum(series));
	scan = systable_beginscan(rel, index, true, SnapshotSelf, 2, keys);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		tuple = heap_copytuple(tuple);
	systable_endscan(scan);
	return tuple;
}

/*
 * Lock the series, add "count" to its counter and return the block.  Waits for
 * whoever has it; the caller's snapshot plays no part.
 */
static NumberBlock
AdvanceCounter(const Series *series, int32 company, text *code, DateADT on_date,
			   int32 count)
{
	NumberBlock block;
	Oid			relid = get_relname_relid("number_counter", get_namespace_oid("o2c", false));
	Relation	rel;
	Oid			index;
	Datum		values[Natts_counter];
	bool		nulls[Natts_counter] = {0};
	bool		replace[Natts_counter] = {0};
	HeapTuple	oldtuple;
	HeapTuple	newtuple;
	int64		last;

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_O2C_NOT_INSTALLED),
				 errmsg("order2cash is not installed in this database"),
				 errhint("Call o2c.install() first.")));
	rel = table_open(relid, RowExclusiveLock);
	index = O2CPrimaryKeyIndex(rel);
	LockSeries(relid, company, code);

	oldtuple = ReadCounter(rel, index, company, code);
	if (oldtuple == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_O2C_NUMBERING),
				 errmsg("number series \"%s\" has no counter", text_to_cstring(code))));
	heap_deform_tuple(oldtuple, RelationGetDescr(rel), values, nulls);

	if (on_date < DatumGetDateADT(values[Anum_counter_last_date - 1]))
		ereport(ERROR,
				(errcode(ERRCODE_O2C_NUMBERING),
				 errmsg("date %s is before the last one of number series \"%s\"",
						DateText(on_date), text_to_cstring(code)),
				 errdetail("Its last document is of %s.",
						   DateText(DatumGetDateADT(values[Anum_counter_last_date - 1]))),
				 errhint("Dates never run backwards within a series: use that date or a later one.")));

	block.period = PeriodOf(series->reset, on_date);
	last = DatumGetInt64(values[Anum_counter_last_number - 1]);
	if (last > 0 && block.period != DatumGetDateADT(values[Anum_counter_period - 1]) &&
		DatumGetDateADT(values[Anum_counter_last_date - 1]) > PeriodOf('n', 0))
		last = 0;
	block.first = last + 1;
	block.issued_at = Max(GetCurrentTimestamp(),
						  DatumGetTimestampTz(values[Anum_counter_last_issued_at - 1]));

	values[Anum_counter_period - 1] = DateADTGetDatum(block.period);
	values[Anum_counter_last_number - 1] = Int64GetDatum(last + count);
	values[Anum_counter_last_date - 1] = DateADTGetDatum(on_date);
	values[Anum_counter_last_issued_at - 1] = TimestampTzGetDatum(block.issued_at);
	replace[Anum_counter_period - 1] = true;
	replace[Anum_counter_last_number - 1] = true;
	replace[Anum_counter_last_date - 1] = true;
	replace[Anum_counter_last_issued_at - 1] = true;
	newtuple = heap_modify_tuple(oldtuple, RelationGetDescr(rel), values, nulls, replace);
	CatalogTupleUpdate(rel, &oldtuple->t_self, newtuple);

	heap_freetuple(oldtuple);
	heap_freetuple(newtuple);
	table_close(rel, NoLock);

	/* a second draw by the same command must see this one */
	CommandCounterIncrement();
	return block;
}

/*
 * o2c_number_last_date(company, series): the day of the last number of a
 * gapless series, whatever the caller's snapshot shows; NULL of any other.  The
 * series stays locked, so that nobody draws with a later day before the caller.
 */
Datum
o2c_number_last_date(PG_FUNCTION_ARGS)
{
	int32		company = PG_GETARG_INT32(0);
	text	   *code = PG_GETARG_TEXT_PP(1);
	Relation	rel;
	HeapTuple	tuple = NULL;
	DateADT		last = 0;
	bool		isnull;

	if (!ReadSeries(company, code).gapless)
		PG_RETURN_NULL();
	rel = table_open(get_relname_relid("number_counter", get_namespace_oid("o2c", false)), RowExclusiveLock);
	LockSeries(RelationGetRelid(rel), company, code);
	tuple = ReadCounter(rel, O2CPrimaryKeyIndex(rel), company, code);
	if (tuple != NULL)
		last = DatumGetDateADT(heap_getattr(tuple, Anum_counter_last_date, RelationGetDescr(rel), &isnull));
	table_close(rel, NoLock);
	if (tuple == NULL)
		PG_RETURN_NULL();
	PG_RETURN_DATEADT(last);
}

/* Draw "count" consecutive numbers of a series that was read before. */
NumberBlock
DrawFromSeries(const Series *series, int32 company, text *code, DateADT on_date,
			   int32 count)
{
	NumberBlock block;

	if (series->gapless)
	{
		block = AdvanceCounter(series, company, code, on_date, count);
		if (series->early_release)
			RequestEarlyRelease();
	}
	else
	{
		Oid			seq = get_relname_relid("number_loose_seq", get_namespace_oid("o2c", false));

		/* only a single number keeps its word of being consecutive */
		if (count > 1)
			ereport(ERROR,
					(errcode(ERRCODE_O2C_NUMBERING),
					 errmsg("number series \"%s\" is not gapless and has no blocks",
							text_to_cstring(code))));
		block.first = nextval_internal(seq, false);
		block.period = PeriodOf('n', on_date);
		block.issued_at = GetCurrentTimestamp();
	}
	NoteDrawn(company, code, &block, count);
	return block;
}

/* Draw "count" consecutive numbers of a series for documents of one date. */
NumberBlock
DrawNumbers(int32 company, text *code, DateADT on_date, int32 count)
{
	Series		series;

	if (count < 1)
		ereport(ERROR,
				(errcode(ERRCODE_O2C_INVALID_ARGUMENT),
				 errmsg("the count of numbers to draw must be at least 1, not %d", count)));
	if (DATE_NOT_FINITE(on_date))
		ereport(ERROR,
				(errcode(ERRCODE_O2C_INVALID_DATE),
				 errmsg("the date of a document must be finite")));

	series = ReadSeries(company, code);
	return DrawFromSeries(&series, company, code, on_date, count);
}

/* _draw_block(company, series, on_date, count): first, period, issued_at. */
Datum
o2c_number_draw(PG_FUNCTION_ARGS)
{
	NumberBlock block = DrawNumbers(PG_GETARG_INT32(0), PG_GETARG_TEXT_PP(1),
									PG_GETARG_DATEADT(2), PG_GETARG_INT32(3));
	TupleDesc	desc;
	Datum		values[3];
	bool		nulls[3] = {false, false, false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "o2c_number_draw must return a row");
	values[0] = Int64GetDatum(block.first);
	values[1] = DateADTGetDatum(block.period);
	values[2] = TimestampTzGetDatum(block.issued_at);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/* _number_series_counter(): AFTER INSERT ON number_series, for each statement. */
Datum
o2c_number_series_counter(PG_FUNCTION_ARGS)
{
	static KeptPlan add = {
		.sql = "INSERT INTO o2c.number_counter (company_id, series, last_number)"
		" SELECT n.company_id, n.code, n.first_number - 1 FROM new_rows n ON CONFLICT DO NOTHING"
	};
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_number_series_counter");
	TriggerFrame frame;

	TriggerFrameBegin(&frame, trigdata);
	KeptPlanExecute(&add, NULL, NULL, SPI_OK_INSERT);
	TriggerFrameEnd(&frame);
	return PointerGetDatum(NULL);
}

/*
 * _number_series_guard(): BEFORE UPDATE ON number_series.  What the proof of
 * gaplessness rests on stays as it is; pattern and prefix may change.
 */
Datum
o2c_number_series_guard(PG_FUNCTION_ARGS)
{
	static const char *const fixed[] = {"company_id", "code", "reset", "gapless", "first_number"};
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_number_series_guard");
	TupleDesc	desc = RelationGetDescr(trigdata->tg_relation);

	for (int i = 0; i < lengthof(fixed); i++)
	{
		int			att = SPI_fnumber(desc, fixed[i]);
		char	   *before = SPI_getvalue(trigdata->tg_trigtuple, desc, att);
		char	   *after = SPI_getvalue(trigdata->tg_newtuple, desc, att);

		if (after == NULL || strcmp(before, after) != 0)
		{
			static KeptPlan used = {
				.sql = "SELECT 1 FROM o2c.number_counter c WHERE c.company_id = $1::integer"
				" AND c.series = $2 AND c.last_issued_at > '2000-01-01 00:00:00+00'",
				.nargs = 2,
				.argtypes = {TEXTOID, TEXTOID}
			};
			TriggerFrame frame;
			Datum		args[2];
			int			n;

			args[0] = CStringGetTextDatum(SPI_getvalue(trigdata->tg_trigtuple, desc, 1));
			args[1] = CStringGetTextDatum(SPI_getvalue(trigdata->tg_trigtuple, desc, 2));
			TriggerFrameBegin(&frame, trigdata);
			n = KeptPlanExecute(&used, args, NULL, SPI_OK_SELECT);
			TriggerFrameEnd(&frame);
			if (n > 0 || i < 2)
				ereport(ERROR,
						(errcode(ERRCODE_O2C_NUMBERING),
						 errmsg("column \"%s\" of number series \"%s\" cannot change",
								fixed[i], SPI_getvalue(trigdata->tg_trigtuple, desc, 2)),
						 errdetail("Numbers have been drawn from the series."),
						 errhint("Start a new series and name it in company settings or on the document.")));
			if (strcmp(fixed[i], "first_number") == 0)
				ereport(ERROR,
						(errcode(ERRCODE_O2C_NUMBERING),
						 errmsg("first_number is set when a series is created"),
						 errhint("Delete the unused series and insert it again.")));
		}
	}
	return PointerGetDatum(trigdata->tg_newtuple);
}

/* _number_counter_guard(): BEFORE UPDATE OR DELETE ON number_counter, each row. */
Datum
o2c_number_counter_guard(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_number_counter_guard");
	TupleDesc	desc = RelationGetDescr(trigdata->tg_relation);
	bool		isnull;

	if (TRIGGER_FIRED_BY_DELETE(trigdata->tg_event) &&
		DatumGetDateADT(SPI_getbinval(trigdata->tg_trigtuple, desc,
									  Anum_counter_last_date, &isnull)) == PeriodOf('n', 0))
		return PointerGetDatum(trigdata->tg_trigtuple); /* never drawn from */
	ereport(ERROR,
			(errcode(ERRCODE_O2C_IMMUTABLE),
			 errmsg("counter of number series \"%s\" cannot be changed",
					SPI_getvalue(trigdata->tg_trigtuple, desc, Anum_counter_series)),
			 errdetail("It counts the documents of the series.")));
	PG_RETURN_NULL();
}
