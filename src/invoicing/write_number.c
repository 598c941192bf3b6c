/*
 * write_number.c
 *		Writing drawn numbers into documents and their open items.
 *
 * All is done while the series is locked, and everybody else waits for it: so
 * what can be done before the lock is, and the rows are changed at heap level,
 * where a statement would spend most of its time on plans, on triggers that
 * have nothing to look at and on constraints of columns that stay as they are.
 *
 * Only what is known to be right is left out.  A table whose owner has added
 * a trigger, a generated column or a constraint on these columns is written by
 * a plain UPDATE instead, with all of them.
 */
#include "o2c.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_am_d.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "invoicing/numbering.h"
#include "optimizer/optimizer.h"
#include "types/types.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(o2c_payment_reference);

extern Datum o2c_reference_make(PG_FUNCTION_ARGS);

/* A table that is written, and what is known of it. */
typedef struct NumberedTable
{
	const char *const *columns; /* those that change */
	const char *const *checks;	/* constraints on them that hold */
	Oid			relid;			/* 0 when not looked at since it changed */
	bool		direct;
} NumberedTable;

/* Triggers that have nothing to say to a document's number. */
static const char *const own_triggers[] = {
	"_invoice_guard", "_invoice_assign", "lifecycle_guard", "lifecycle_log",
	"credit_on_invoices", "guard_item", "credit_on_items", "_keep_match_keys", NULL
};

static const char *const invoice_columns[] = {
	"number", "sequence_period", "sequence_no", "issued_at", "payment_reference", NULL
};
static const char *const invoice_checks[] = {
	"invoice_sequence_period_check", "invoice_sequence_no_check", "invoice_draft_has_no_number", NULL
};
static const char *const item_columns[] = {"number", "structured_ref", NULL};
static const char *const item_checks[] = {"open_item_number_check", NULL};

static NumberedTable invoices = {invoice_columns, invoice_checks, InvalidOid, false};
static NumberedTable items = {item_columns, item_checks, InvalidOid, false};

/* A row to change, found before the series is locked. */
typedef struct NumberedRow
{
	ItemPointerData tid;
	int			document;		/* the how manyth of the block */
} NumberedRow;

/* A table open for writing. */
typedef struct OpenTable
{
	Relation	rel;
	EState	   *estate;
	ResultRelInfo *info;
	TupleTableSlot *slot;
	NumberedRow *rows;
	int			nrows;
	int			maxrows;
} OpenTable;

static bool
IsListed(const char *name, const char *const *list)
{
	for (; *list != NULL; list++)
		if (strcmp(name, *list) == 0)
			return true;
	return false;
}

/* ISO 11649 reference of a number; null when it has too many characters. */
Datum
PaymentReference(text *number, bool *isnull)
{
	int			len = VARSIZE_ANY_EXHDR(number);
	const char *s = VARDATA_ANY(number);
	int			n = 0;

	for (int i = 0; i < len; i++)
	{
		if (IS_HIGHBIT_SET(s[i]))
			n = O2C_REFERENCE_MAX;
		else if (isalnum((unsigned char) s[i]))
			n++;
	}
	*isnull = n < 1 || n > O2C_REFERENCE_MAX - 4;
	return *isnull ? (Datum) 0 :
		DirectFunctionCall1(o2c_reference_make, PointerGetDatum(number));
}

/* _payment_reference(number) */
Datum
o2c_payment_reference(PG_FUNCTION_ARGS)
{
	bool		isnull;
	Datum		reference = PaymentReference(PG_GETARG_TEXT_PP(0), &isnull);

	if (isnull)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(reference);
}

/* Something about a relation changed: look again. */
static void
ForgetTable(Datum arg, Oid relid)
{
	if (!OidIsValid(relid) || relid == invoices.relid)
		invoices.relid = InvalidOid;
	if (!OidIsValid(relid) || relid == items.relid)
		items.relid = InvalidOid;
}

/* Whether an enabled trigger is one that an UPDATE of numbers needs. */
static bool
HasOtherTrigger(Relation rel)
{
	for (int i = 0; rel->trigdesc != NULL && i < rel->trigdesc->numtriggers; i++)
	{
		Trigger    *trigger = &rel->trigdesc->triggers[i];
		char	   *name;

		if (!TRIGGER_FOR_UPDATE(trigger->tgtype) || trigger->tgisinternal ||
			trigger->tgenabled == TRIGGER_DISABLED)
			continue;
		name = get_func_name(trigger->tgfoid);
		if (name == NULL || !IsListed(name, own_triggers) ||
			get_func_namespace(trigger->tgfoid) != RelationGetNamespace(rel))
			return true;
	}
	return false;
}

/* Whether a CHECK looks at a column that changes, other than our own. */
static bool
HasOtherCheck(Relation rel, const NumberedTable *table)
{
	TupleConstr *constr = RelationGetDescr(rel)->constr;

	for (int i = 0; constr != NULL && i < constr->num_check; i++)
	{
		Bitmapset  *attrs = NULL;
		int			att = -1;

		if (IsListed(constr->check[i].ccname, table->checks))
			continue;
		pull_varattnos(stringToNode(constr->check[i].ccbin), 1, &attrs);
		while ((att = bms_next_member(attrs, att)) >= 0)
		{
			int			attno = att + FirstLowInvalidHeapAttributeNumber;

			/* 0 is the whole row */
			if (attno == 0 ||
				(attno > 0 && IsListed(NameStr(TupleDescAttr(RelationGetDescr(rel), attno - 1)->attname),
									  table->columns)))
				return true;
		}
	}
	return false;
}

/* Whether rows of a table can be numbered at heap level. */
static bool
IsDirect(NumberedTable *table, Relation rel)
{
	static bool registered = false;
	TupleConstr *constr = RelationGetDescr(rel)->constr;

	if (!registered)
	{
		CacheRegisterRelcacheCallback(ForgetTable, (Datum) 0);
		registered = true;
	}
	if (table->relid == RelationGetRelid(rel))
		return table->direct;
	table->direct = rel->rd_rel->relkind == RELKIND_RELATION &&
		rel->rd_rel->relam == HEAP_TABLE_AM_OID &&
		!rel->rd_rel->relispartition && !rel->rd_rel->relhassubclass && !rel->rd_rel->relhasrules &&
		(constr == NULL || !constr->has_generated_stored) &&
		!HasOtherTrigger(rel) && !HasOtherCheck(rel, table);
	table->relid = RelationGetRelid(rel);
	return table->direct;
}

/* Index of a table that begins with these two columns; InvalidOid for none. */
static Oid
IndexOn(OpenTable *table, const char *first, const char *second)
{
	for (int i = 0; i < table->info->ri_NumIndices; i++)
	{
		Relation	index = table->info->ri_IndexRelationDescs[i];
		int			columns[2];

		if (index->rd_rel->relam != BTREE_AM_OID || !index->rd_index->indisvalid ||
			IndexRelationGetNumberOfKeyAttributes(index) < 2)
			continue;
		columns[0] = index->rd_index->indkey.values[0];
		columns[1] = index->rd_index->indkey.values[1];
		if (columns[0] == SPI_fnumber(RelationGetDescr(table->rel), first) &&
			columns[1] == SPI_fnumber(RelationGetDescr(table->rel), second))
			return RelationGetRelid(index);
	}
	return InvalidOid;
}

/* Open a table for writing; false when it can't be written directly after all. */
static bool
OpenForWriting(OpenTable *table, Relation rel)
{
	table->rel = rel;
	table->rows = NULL;
	table->nrows = table->maxrows = 0;
	table->estate = CreateExecutorState();
	table->info = makeNode(ResultRelInfo);
	InitResultRelInfo(table->info, rel, 0, NULL, 0);
	ExecOpenIndices(table->info, false);
	table->slot = table_slot_create(rel, NULL);
	for (int i = 0; i < table->info->ri_NumIndices; i++)
		if (!table->info->ri_IndexRelationDescs[i]->rd_index->indimmediate)
			return false;
	return true;
}

static void
CloseAfterWriting(OpenTable *table)
{
	ExecDropSingleTupleTableSlot(table->slot);
	ExecCloseIndices(table->info);
	FreeExecutorState(table->estate);
}

static void
AddRow(OpenTable *table, ItemPointer tid, int document)
{
	if (table->nrows == table->maxrows)
	{
		table->maxrows = table->maxrows == 0 ? 16 : table->maxrows * 2;
		table->rows = table->rows == NULL ? palloc(table->maxrows * sizeof(NumberedRow)) :
			repalloc_huge(table->rows, table->maxrows * sizeof(NumberedRow));
	}
	table->rows[table->nrows].tid = *tid;
	table->rows[table->nrows++].document = document;
}

/* Scan the rows of company and id (of a column) as they stand. */
static SysScanDesc
ScanRows(OpenTable *table, Oid index, const char *column, int32 company, int64 id)
{
	TupleDesc	desc = RelationGetDescr(table->rel);
	ScanKeyData keys[2];

	ScanKeyInit(&keys[0], SPI_fnumber(desc, "company_id"), BTEqualStrategyNumber, F_INT4EQ,
				Int32GetDatum(company));
	ScanKeyInit(&keys[1], SPI_fnumber(desc, column), BTEqualStrategyNumber, F_INT8EQ,
				Int64GetDatum(id));
	return systable_beginscan(table->rel, index, true, SnapshotSelf, 2, keys);
}

/*
 * Find the documents, of those given, that still wait for their number, and
 * their items.  Keeps the ids of those found in "ids"; returns how many.
 */
static int
FindRows(OpenTable *invoice, Oid by_id, OpenTable *item, Oid by_invoice,
		 int32 company, const char *series, DateADT on_date, int64 *ids, int nids)
{
	TupleDesc	desc = RelationGetDescr(invoice->rel);
	int			number_att = SPI_fnumber(desc, "number");
	int			date_att = SPI_fnumber(desc, "issue_date");
	int			series_att = SPI_fnumber(desc, "series");
	int			found = 0;

	for (int i = 0; i < nids; i++)
	{
		SysScanDesc scan = ScanRows(invoice, by_id, "id", company, ids[i]);
		HeapTuple	tuple = systable_getnext(scan);
		bool		waits = false;

		if (HeapTupleIsValid(tuple))
		{
			bool		isnull[3];
			Datum		date;
			char	   *name = SPI_getvalue(tuple, desc, series_att);
			char	   *state = SPI_getvalue(tuple, desc, SPI_fnumber(desc, "state"));

			(void) heap_getattr(tuple, number_att, desc, &isnull[0]);
			date = heap_getattr(tuple, date_att, desc, &isnull[1]);
			waits = isnull[0] && !isnull[1] && DatumGetDateADT(date) == on_date &&
				name != NULL && strcmp(name, series) == 0 && strcmp(state, "draft") != 0;
			if (waits)
				AddRow(invoice, &tuple->t_self, found);
		}
		systable_endscan(scan);
		if (!waits)
			continue;			/* taken back with a savepoint */

		scan = ScanRows(item, by_invoice, "invoice_id", company, ids[i]);
		while (HeapTupleIsValid(tuple = systable_getnext(scan)))
			AddRow(item, &tuple->t_self, found);
		systable_endscan(scan);
		ids[found++] = ids[i];
	}
	return found;
}

/* Change some columns of a row that is ours; the slot keeps it as it is then. */
static void
ChangeRow(OpenTable *table, ItemPointer tid, int ncolumns, int *columns, Datum *values, bool *nulls)
{
	TupleTableSlot *slot = table->slot;
	O2CUpdateIndexes which;
	HeapTuple	oldtuple;
	HeapTuple	newtuple;
	bool		shouldfree;

	oldtuple = ExecFetchSlotHeapTuple(slot, false, &shouldfree);
	newtuple = heap_modify_tuple_by_cols(oldtuple, RelationGetDescr(table->rel),
										 ncolumns, columns, values, nulls);
	if (shouldfree)
		heap_freetuple(oldtuple);
	ExecForceStoreHeapTuple(newtuple, slot, false);
	simple_table_tuple_update(table->rel, tid, slot, SnapshotSelf, &which);
	if (O2CAnyIndexes(which))
		list_free(O2CInsertIndexTuples(table->info, slot, table->estate, false, which));
	ResetPerTupleExprContext(table->estate);
}

/* Fetch a row into the table's slot. */
static void
FetchRow(OpenTable *table, ItemPointer tid)
{
	if (!table_tuple_fetch_row_version(table->rel, tid, SnapshotSelf, table->slot))
		elog(ERROR, "a row of \"%s\" is gone while it is numbered",
			 RelationGetRelationName(table->rel));
}

/* Columns of a table by name. */
static void
ResolveColumns(Relation rel, const char *const *names, int *columns)
{
	for (; *names != NULL; names++)
		*columns++ = SPI_fnumber(RelationGetDescr(rel), *names);
}

/* Draw and write: between here and the end of the transaction others wait. */
static void
DrawAndWrite(OpenTable *invoice, OpenTable *item, const Series *series, int32 company,
			 text *code, DateADT on_date, int count)
{
	int			invoice_att[lengthof(invoice_columns) - 1];
	int			item_att[lengthof(item_columns) - 1];
	int			kind_att = SPI_fnumber(RelationGetDescr(invoice->rel), "kind");
	NumberBlock block;
	MemoryContext each = AllocSetContextCreate(CurrentMemoryContext, "o2c number",
											   ALLOCSET_DEFAULT_SIZES);
	MemoryContext old;
	MatchKeys  *match = MatchKeysBegin(item->rel);
	int			next = 0;

	ResolveColumns(invoice->rel, invoice_columns, invoice_att);
	ResolveColumns(item->rel, item_columns, item_att);
	MatchKeysPrepare(match, item->rel);
	block = DrawFromSeries(series, company, code, on_date, count);
	old = MemoryContextSwitchTo(each);
	for (int i = 0; i < count; i++)
	{
		text	   *number = FormatNumber(series->pattern, series->prefix, on_date, block.first + i);
		Datum		values[5];
		bool		nulls[5] = {false};
		bool		noref;
		bool		isnull;
		Datum		reference = PaymentReference(number, &noref);

		/* nobody pays a credit note */
		FetchRow(invoice, &invoice->rows[i].tid);
		noref |= strcmp(TextDatumGetCString(slot_getattr(invoice->slot, kind_att, &isnull)),
						"credit_note") == 0;
		values[0] = PointerGetDatum(number);
		values[1] = DateADTGetDatum(block.period);
		values[2] = Int64GetDatum(block.first + i);
		values[3] = TimestampTzGetDatum(block.issued_at);
		values[4] = reference;
		nulls[4] = noref;
		ChangeRow(invoice, &invoice->rows[i].tid, 5, invoice_att, values, nulls);

		values[1] = reference;
		nulls[1] = noref;
		for (; next < item->nrows && item->rows[next].document == i; next++)
		{
			FetchRow(item, &item->rows[next].tid);
			ChangeRow(item, &item->rows[next].tid, 2, item_att, values, nulls);
			MatchKeysAdd(match, item->slot);
		}
		ExecClearTuple(invoice->slot);
		ExecClearTuple(item->slot);
		MemoryContextReset(each);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(each);
	MatchKeysEnd(match);
	CommandCounterIncrement();
}

/* Run a statement with the columns of numbers open to change. */
static void
ExecuteNumbering(KeptPlan *kept, Datum *args, int expected)
{
	bool		save = o2c_numbering;

	o2c_numbering = true;
	PG_TRY();
	{
		KeptPlanExecute(kept, args, NULL, expected);
	}
	PG_FINALLY();
	{
		o2c_numbering = save;
	}
	PG_END_TRY();
}

/* The same by plain UPDATEs, with every trigger and constraint of the tables. */
static void
DrawAndUpdate(const Series *series, int32 company, text *code, DateADT on_date,
			  Datum ids, int count)
{
	static KeptPlan number = {
		.sql = "WITH n AS MATERIALIZED ("
		" SELECT d.id, $3 + d.k - 1 AS n, o2c._format_number($4, $5, $7, $3 + d.k - 1) AS number"
		" FROM unnest($2) WITH ORDINALITY d(id, k)),"
		" v AS (UPDATE o2c.invoice i SET number = n.number, sequence_no = n.n,"
		"  sequence_period = $6, issued_at = $8,"
		"  payment_reference = CASE WHEN i.kind <> 'credit_note' THEN o2c._payment_reference(n.number) END"
		"  FROM n WHERE i.company_id = $1 AND i.id = n.id)"
		" UPDATE o2c.open_item o SET number = n.number,"
		"  structured_ref = CASE WHEN o.kind <> 'credit_note' THEN o2c._payment_reference(n.number)::text END"
		" FROM n WHERE o.company_id = $1 AND o.invoice_id = n.id",
		.nargs = 8,
		.argtypes = {INT4OID, INT8ARRAYOID, INT8OID, TEXTOID, TEXTOID, DATEOID, DATEOID, TIMESTAMPTZOID}
	};
	NumberBlock block = DrawFromSeries(series, company, code, on_date, count);
	Datum		args[8];

	args[0] = Int32GetDatum(company);
	args[1] = ids;
	args[2] = Int64GetDatum(block.first);
	args[3] = PointerGetDatum(series->pattern);
	args[4] = PointerGetDatum(series->prefix);
	args[5] = DateADTGetDatum(block.period);
	args[6] = DateADTGetDatum(on_date);
	args[7] = TimestampTzGetDatum(block.issued_at);
	ExecuteNumbering(&number, args, SPI_OK_UPDATE);
}

/* Queue the messages of documents that were issued before they had a number. */
static void
TellOfIssued(Datum company, Datum ids)
{
	static KeptPlan tell = {
		.sql = "SELECT o2c._queue_event_messages(array_agg(e.company_id ORDER BY e.id), array_agg(e.id ORDER BY e.id))"
		" FROM o2c.event e WHERE e.company_id = $1 AND e.entity = 'invoice' AND e.event = 'issue'"
		" AND e.entity_id = ANY ($2) HAVING count(*) > 0",
		.nargs = 2,
		.argtypes = {INT4OID, INT8ARRAYOID}
	};
	Datum		args[2];

	args[0] = company;
	args[1] = ids;
	(void) KeptPlanExecute(&tell, args, NULL, SPI_OK_SELECT);
}

/*
 * Give numbers to the documents of one series and date that wait for them;
 * false when their series draws at commit and this is not the commit.
 */
bool
NumberDocuments(Relation invoice_rel, int32 company, const char *series_code, DateADT on_date,
				const int64 *ids, int nids, bool at_commit)
{
	text	   *code = cstring_to_text(series_code);
	OwnerFrame	frame;
	Series		series;
	OpenTable	invoice;
	OpenTable	item;
	Relation	item_rel;
	Oid			by_id;
	Oid			by_invoice;
	int64	   *waiting;
	Datum	   *elems;
	Datum		array;
	bool		direct;
	int			count;
	int			step;

	OwnerFrameBegin(&frame, invoice_rel);
	series = FindSeries(RelationGetNamespace(invoice_rel), company, code);
	if (series.at_commit && !at_commit)
	{
		OwnerFrameEnd(&frame);
		return false;
	}

	/* what this transaction wrote must be an earlier command's */
	CommandCounterIncrement();
	item_rel = table_open(get_relname_relid("open_item", RelationGetNamespace(invoice_rel)),
						  RowExclusiveLock);
	direct = IsDirect(&invoices, invoice_rel) && IsDirect(&items, item_rel);
	direct = OpenForWriting(&invoice, invoice_rel) && direct;
	direct = OpenForWriting(&item, item_rel) && direct;
	by_id = O2CPrimaryKeyIndex(invoice_rel);
	by_invoice = IndexOn(&item, "company_id", "invoice_id");

	waiting = palloc_extended(Max(nids, 1) * sizeof(int64), MCXT_ALLOC_HUGE);
	memcpy(waiting, ids, nids * sizeof(int64));
	count = FindRows(&invoice, by_id, &item, by_invoice, company, series_code, on_date,
					 waiting, nids);
	elems = palloc_extended(Max(count, 1) * sizeof(Datum), MCXT_ALLOC_HUGE);
	for (int i = 0; i < count; i++)
		elems[i] = Int64GetDatum(waiting[i]);
	array = PointerGetDatum(construct_array(elems, count, INT8OID, sizeof(int64),
											FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));

	/* a series that is not gapless has no blocks */
	step = series.gapless ? Max(count, 1) : 1;
	if (direct && step >= count)
	{
		if (count > 0)
			DrawAndWrite(&invoice, &item, &series, company, code, on_date, count);
	}
	else
		for (int i = 0; i < count; i += step)
			DrawAndUpdate(&series, company, code, on_date,
						  step == count ? array :
						  PointerGetDatum(construct_array(&elems[i], 1, INT8OID, sizeof(int64),
														  FLOAT8PASSBYVAL, TYPALIGN_DOUBLE)), step);
	CloseAfterWriting(&invoice);
	CloseAfterWriting(&item);
	table_close(item_rel, NoLock);
	if (count > 0 && series.subscribed)
		TellOfIssued(Int32GetDatum(company), array);
	OwnerFrameEnd(&frame);
	return true;
}
