/*
 * open_lines.c
 *		Where bank lines are that wait to be matched.
 *
 * o2c.bank_line_open holds stretches of ids in which such lines may be, and
 * for each of them there is one that takes it in.  A state in an index would
 * make each line's move to "matched" write all indexes anew; a stretch is
 * written once for all lines that come with one statement, and taken away by
 * match_cash when its lines are done.
 *
 * Stretches are written with the lines that they stand for, in the same
 * transaction, and nobody else's: so they wait for nobody, may overlap, and
 * whoever sees a line sees its stretch.  Taking stretches away writes those
 * again that are needed for what still waits in them, so that no deletion,
 * whoever asks for it, can lose a line.
 */
#include "o2c.h"

#include "miscadmin.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

#include "direct_scan.h"
#include "receivables/posting.h"
#include "row_reader.h"
#include "table_writer.h"

PG_FUNCTION_INFO_V1(o2c_cash_open_lines);
PG_FUNCTION_INFO_V1(o2c_cash_open_lines_again);

/* Ids that a stretch leaps over: a few lines more to look at are less than a further row. */
#define LEAP 32

static DirectTable bank_lines = {
	.name = "bank_line", .nkeys = 2,
	.columns = {"company_id", "id", "amount", "return_reason", "state"}
};

/* Positions in the columns of bank_lines. */
enum
{
	LINE_COMPANY, LINE_ID, LINE_AMOUNT, LINE_REASON, LINE_STATE
};

/* The stretch that grows, and where it goes when it is whole. */
typedef struct Stretches
{
	Relation	sibling;
	TableWriter *writer;
	bool		any;
	int32		company_id;
	int64		first;
	int64		last;
} Stretches;

static void
WriteStretch(Stretches *stretches)
{
	static const char *const columns[] = {"company_id", "first_id", "last_id"};
	Datum		values[3];

	if (!stretches->any)
		return;
	if (stretches->writer == NULL)
		stretches->writer = TableWriterBegin(TableByName(stretches->sibling, "bank_line_open"),
											 CMD_INSERT, columns, lengthof(columns));
	values[0] = Int32GetDatum(stretches->company_id);
	values[1] = Int64GetDatum(stretches->first);
	values[2] = Int64GetDatum(stretches->last);
	TableWriterInsert(stretches->writer, values, NULL);
	stretches->any = false;
}

/* Take in a line; those of a statement come by id, as a rule. */
static void
TakeIn(Stretches *stretches, int32 company_id, int64 id)
{
	if (stretches->any && stretches->company_id == company_id &&
		id > stretches->last && id - stretches->last <= LEAP)
	{
		stretches->last = id;
		return;
	}
	WriteStretch(stretches);
	stretches->any = true;
	stretches->company_id = company_id;
	stretches->first = stretches->last = id;
}

static void
StretchesEnd(Stretches *stretches)
{
	WriteStretch(stretches);
	if (stretches->writer != NULL)
		TableWriterEnd(stretches->writer);
}

/* Whether match_cash looks at such lines: money in, or money that came back. */
static bool
IsMatched(Datum amount, bool reason_null)
{
	static Numeric zero = NULL;

	if (zero == NULL)
	{
		MemoryContext before = MemoryContextSwitchTo(TopMemoryContext);

		zero = int64_to_numeric(0);
		MemoryContextSwitchTo(before);
	}
	/* of the datum as it is stored: numeric_cmp frees what it unpacks */
	return (DatumGetInt32(DirectFunctionCall2(numeric_cmp, amount, NumericGetDatum(zero))) > 0) == reason_null;
}

/* The state "open". */
static Oid
OpenState(Relation lines)
{
	return EnumValue(TupleDescAttr(RelationGetDescr(lines), bank_lines.att[LINE_STATE] - 1)->atttypid, "open");
}

/*
 * o2c_cash_open_lines(): of bank_line, AFTER INSERT for each statement,
 * REFERENCING NEW TABLE AS new_rows; and AFTER UPDATE for each row that is open again.
 */
Datum
o2c_cash_open_lines(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_cash_open_lines");
	Relation	rel = trigdata->tg_relation;
	Stretches	stretches = {.sibling = rel};
	RowReader	reader;
	TupleTableSlot *row;
	Oid			open;
	bool		isnull;
	TriggerFrame frame;

	if (TRIGGER_FIRED_FOR_STATEMENT(trigdata->tg_event) &&
		tuplestore_tuple_count(trigdata->tg_newtable) == 0)
		return PointerGetDatum(NULL);
	if (!DirectTableResolve(&bank_lines))
		elog(ERROR, "table \"bank_line\" is not as it was installed");
	TriggerFrameBegin(&frame, trigdata);
	if (!TRIGGER_FIRED_FOR_STATEMENT(trigdata->tg_event))
	{
		TupleDesc	desc = RelationGetDescr(rel);

		TakeIn(&stretches,
			   DatumGetInt32(heap_getattr(trigdata->tg_newtuple, bank_lines.att[LINE_COMPANY], desc, &isnull)),
			   DatumGetInt64(heap_getattr(trigdata->tg_newtuple, bank_lines.att[LINE_ID], desc, &isnull)));
	}
	else
	{
		open = OpenState(rel);
		RowReaderBegin(&reader, trigdata->tg_newtable, rel);
		while ((row = RowReaderNext(&reader)) != NULL)
		{
			bool		reason_null;

			if (DatumGetObjectId(slot_getattr(row, bank_lines.att[LINE_STATE], &isnull)) != open)
				continue;
			(void) slot_getattr(row, bank_lines.att[LINE_REASON], &reason_null);
			if (IsMatched(slot_getattr(row, bank_lines.att[LINE_AMOUNT], &isnull), reason_null))
				TakeIn(&stretches,
					   DatumGetInt32(slot_getattr(row, bank_lines.att[LINE_COMPANY], &isnull)),
					   DatumGetInt64(slot_getattr(row, bank_lines.att[LINE_ID], &isnull)));
		}
		RowReaderEnd(&reader);
	}
	StretchesEnd(&stretches);
	TriggerFrameEnd(&frame);
	return PointerGetDatum(NULL);
}

/*
 * o2c_cash_open_lines_again(): of bank_line_open, AFTER DELETE for each
 * statement, REFERENCING OLD TABLE AS old_rows; and BEFORE TRUNCATE.
 */
Datum
o2c_cash_open_lines_again(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = TriggerDataOf(fcinfo, "o2c_cash_open_lines_again");
	Relation	rel = trigdata->tg_relation;
	int			company_att = ColumnOf(trigdata, "company_id");
	int			first_att = ColumnOf(trigdata, "first_id");
	int			last_att = ColumnOf(trigdata, "last_id");
	Stretches	stretches = {.sibling = rel};
	RowReader	reader;
	TupleTableSlot *row;
	Oid			open = InvalidOid;
	bool		isnull;
	TriggerFrame frame;

	if (TRIGGER_FIRED_BY_TRUNCATE(trigdata->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_O2C_IMMUTABLE),
				 errmsg("cannot truncate \"%s\"", RelationGetRelationName(rel)),
				 errdetail("Lines that wait to be matched are found by its rows."),
				 errhint("Delete them: those that are needed come again.")));
	if (tuplestore_tuple_count(trigdata->tg_oldtable) == 0)
		return PointerGetDatum(NULL);
	if (!DirectTableResolve(&bank_lines))
		elog(ERROR, "table \"bank_line\" is not as it was installed");
	TriggerFrameBegin(&frame, trigdata);
	RowReaderBegin(&reader, trigdata->tg_oldtable, rel);
	while ((row = RowReaderNext(&reader)) != NULL)
	{
		int32		company_id = DatumGetInt32(slot_getattr(row, company_att, &isnull));
		DirectScan	scan;
		HeapTuple	line;

		DirectScanBeginRange(&scan, &bank_lines, AccessShareLock, GetActiveSnapshot(), company_id,
							 DatumGetInt64(slot_getattr(row, first_att, &isnull)),
							 DatumGetInt64(slot_getattr(row, last_att, &isnull)));
		if (!OidIsValid(open))
			open = OpenState(scan.rel);
		while ((line = DirectScanNext(&scan)) != NULL)
		{
			bool		reason_null;

			CHECK_FOR_INTERRUPTS();
			if (DatumGetObjectId(DirectValue(&scan, line, LINE_STATE, &isnull)) != open)
				continue;
			(void) DirectValue(&scan, line, LINE_REASON, &reason_null);
			if (IsMatched(DirectValue(&scan, line, LINE_AMOUNT, &isnull), reason_null))
				TakeIn(&stretches, company_id, DatumGetInt64(DirectValue(&scan, line, LINE_ID, &isnull)));
		}
		DirectScanEnd(&scan, AccessShareLock);
	}
	RowReaderEnd(&reader);
	StretchesEnd(&stretches);
	TriggerFrameEnd(&frame);
	return PointerGetDatum(NULL);
}
