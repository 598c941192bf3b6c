/*
 * table_writer.c
 *		Inserting and updating rows of a table from C, with all its triggers.
 *
 * A trigger that posts to several tables spends most of its time on starting
 * and ending plans when it does so in SQL, and looks up the same rows again in
 * each of them.  A writer does what the executor does for INSERT and for UPDATE
 * by primary key, and nothing less: defaults, generated columns, constraints,
 * indexes, and every trigger of the table, for rows and for statements, with
 * transition tables; but for triggers whose work the caller takes over.
 * Permissions and row security are not checked: it writes for the owner of the
 * table, as the statements of referential triggers do.
 *
 * Concurrency is that of UPDATE.  A row is locked before it is changed, and what
 * is changed is its newest committed version at READ COMMITTED; in a
 * transaction with a fixed snapshot a row that was changed since raises a
 * serialization failure.
 *
 * One writer may be opened while another is open, and must be ended first;
 * meanwhile the outer one writes nothing.
 */
#include "table_writer.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "executor/nodeModifyTable.h"
#include "nodes/makefuncs.h"
#include "nodes/parsenodes.h"
#include "parser/parse_relation.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "direct_scan.h"
#include "table_exprs.h"

/* Rows that are inserted together. */
#define BATCH_ROWS 256

struct TableWriter
{
	CmdType		operation;
	Relation	rel;
	EState	   *estate;
	ResultRelInfo *result;
	TransitionCaptureState *capture;
	int			ncolumns;
	AttrNumber *columns;		/* that the caller gives */

	/* of an update: the row that was found last */
	EPQState	epq;
	DirectLookup lookup;		/* by the primary key */
	TupleTableSlot *found;
	bool		own;			/* it is this transaction's own version */
	TupleTableSlot *changed;

	/* of an insertion: what is not written yet, and what other columns get */
	TupleTableSlot **batch;
	int			nbatch;
	bool		row_by_row;
	int			ndefaults;
	AttrNumber *default_columns;
	ExprState **defaults;
	int			ngenerated;
	AttrNumber *generated_columns;
	ExprState **generated;
};

/* A table in the schema of another one. */
Oid
TableByName(Relation sibling, const char *name)
{
	Oid			relid = get_relname_relid(name, RelationGetNamespace(sibling));

	if (!OidIsValid(relid))
		elog(ERROR, "table \"%s\" does not exist", name);
	return relid;
}

/* Attribute number of a column that must exist. */
static AttrNumber
AttributeOf(TupleDesc desc, const char *column)
{
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attr = TupleDescAttr(desc, i);

		if (!attr->attisdropped && strcmp(NameStr(attr->attname), column) == 0)
			return attr->attnum;
	}
	elog(ERROR, "column \"%s\" does not exist", column);
}

AttrNumber
TableWriterAttribute(TableWriter *writer, const char *column)
{
	return AttributeOf(RelationGetDescr(writer->rel), column);
}

TupleDesc
TableWriterDesc(TableWriter *writer)
{
	return RelationGetDescr(writer->rel);
}

Relation
TableWriterRelation(TableWriter *writer)
{
	return writer->rel;
}

/* Whether the session fires a trigger. */
static bool
Fires(const Trigger *trigger)
{
	char		unlike = SessionReplicationRole == SESSION_REPLICATION_ROLE_REPLICA ?
		TRIGGER_FIRES_ON_ORIGIN : TRIGGER_FIRES_ON_REPLICA;

	return trigger->tgenabled != TRIGGER_DISABLED && trigger->tgenabled != unlike;
}

/*
 * Leave out the triggers after the statement, and before rows that it updates, that call
 * this function of the table's schema, for the caller does what they would do; false when
 * none would fire.  Transition tables that nobody else reads are not filled then.  To be
 * said before the first row.
 */
bool
TableWriterTakeOver(TableWriter *writer, const char *function)
{
	/* the writer's own copy */
	TriggerDesc *triggers = writer->result->ri_TrigDesc;
	bool		update = writer->operation == CMD_UPDATE;
	bool		taken = false;
	bool		old_table = false;
	bool		new_table = false;
	bool		before_row = false;
	MemoryContext before;

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		Trigger    *trigger = &triggers->triggers[i];
		char	   *name;

		if (!(update ? TRIGGER_FOR_UPDATE(trigger->tgtype) : TRIGGER_FOR_INSERT(trigger->tgtype)) ||
			!Fires(trigger))
			continue;
		if ((TRIGGER_FOR_ROW(trigger->tgtype) ? update && TRIGGER_FOR_BEFORE(trigger->tgtype) :
			 TRIGGER_FOR_AFTER(trigger->tgtype)) &&
			get_func_namespace(trigger->tgfoid) == RelationGetNamespace(writer->rel) &&
			(name = get_func_name(trigger->tgfoid)) != NULL && strcmp(name, function) == 0)
		{
			trigger->tgenabled = TRIGGER_DISABLED;
			taken = true;
			continue;
		}
		before_row = before_row || (TRIGGER_FOR_ROW(trigger->tgtype) && TRIGGER_FOR_BEFORE(trigger->tgtype));
		old_table = old_table || trigger->tgoldtable != NULL;
		new_table = new_table || trigger->tgnewtable != NULL;
	}
	if (!taken)
		return false;
	if (update)
	{
		triggers->trig_update_before_row = before_row;
		triggers->trig_update_old_table = old_table;
		triggers->trig_update_new_table = new_table;
	}
	else
		triggers->trig_insert_new_table = new_table;
	before = MemoryContextSwitchTo(writer->estate->es_query_cxt);
	writer->capture = MakeTransitionCaptureState(triggers, RelationGetRelid(writer->rel), writer->operation);
	MemoryContextSwitchTo(before);
	return true;
}

/* Make ready what the columns get that the caller does not give: defaults, or what they are generated from. */
static void
PrepareDefaults(TableWriter *writer, TableExprs *exprs)
{
	TupleDesc	desc = RelationGetDescr(writer->rel);

	writer->default_columns = palloc(sizeof(AttrNumber) * desc->natts);
	writer->defaults = palloc(sizeof(ExprState *) * desc->natts);
	writer->generated_columns = palloc(sizeof(AttrNumber) * desc->natts);
	writer->generated = palloc(sizeof(ExprState *) * desc->natts);
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attr = TupleDescAttr(desc, i);
		bool		given = exprs->defaults[i] == NULL;

		if (attr->attgenerated)
		{
			if (given)
				continue;
			writer->generated_columns[writer->ngenerated] = attr->attnum;
			writer->generated[writer->ngenerated++] = ExecInitExpr(copyObject(exprs->defaults[i]), NULL);
			continue;
		}

		for (int c = 0; c < writer->ncolumns && !given; c++)
			given = writer->columns[c] == attr->attnum;
		if (given)
			continue;
		writer->default_columns[writer->ndefaults] = attr->attnum;
		writer->defaults[writer->ndefaults++] = ExecInitExpr(copyObject(exprs->defaults[i]), NULL);
	}
}

/* Open the scan of the primary key by which rows are found. */
static void
PrepareFind(TableWriter *writer)
{
	Oid			keyid = O2CPrimaryKeyIndex(writer->rel);
	TupleDesc	desc = RelationGetDescr(writer->rel);
	Relation	index;
	Form_pg_index key;

	if (!OidIsValid(keyid))
		elog(ERROR, "table \"%s\" has no primary key", RelationGetRelationName(writer->rel));
	index = index_open(keyid, RowExclusiveLock);
	key = index->rd_index;
	if (key->indnkeyatts != 2 ||
		key->indkey.values[0] != AttributeOf(desc, "company_id") ||
		key->indkey.values[1] != AttributeOf(desc, "id"))
		elog(ERROR, "primary key of \"%s\" is not (company_id, id)",
			 RelationGetRelationName(writer->rel));
	writer->found = table_slot_create(writer->rel, &writer->estate->es_tupleTable);
	DirectLookupStart(&writer->lookup, writer->rel, index, GetActiveSnapshot(), writer->found);
	writer->changed = table_slot_create(writer->rel, &writer->estate->es_tupleTable);
	O2CEvalPlanQualInit(&writer->epq, writer->estate);
}

/*
 * Start an INSERT or an UPDATE.  "columns" are those that the caller gives for
 * each row, in this order; an UPDATE leaves the others as they are, an INSERT
 * takes their defaults.
 */
TableWriter *
TableWriterBegin(Oid relid, CmdType operation, const char *const *columns, int ncolumns)
{
	TableWriter *writer = palloc0(sizeof(TableWriter));
	MemoryContext before;
	RangeTblEntry *rte;
	Bitmapset  *changed = NULL;
	TriggerDesc *triggers;
	TableExprs *exprs;

	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());

	writer->operation = operation;
	writer->rel = table_open(relid, RowExclusiveLock);
	if (writer->rel->rd_rel->relkind != RELKIND_RELATION)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not an ordinary table", RelationGetRelationName(writer->rel))));
	writer->estate = CreateExecutorState();
	before = MemoryContextSwitchTo(writer->estate->es_query_cxt);

	writer->ncolumns = ncolumns;
	writer->columns = palloc(sizeof(AttrNumber) * Max(ncolumns, 1));
	for (int i = 0; i < ncolumns; i++)
	{
		writer->columns[i] = TableWriterAttribute(writer, columns[i]);
		changed = bms_add_member(changed, writer->columns[i] - FirstLowInvalidHeapAttributeNumber);
	}

	rte = makeNode(RangeTblEntry);
	rte->rtekind = RTE_RELATION;
	rte->relid = relid;
	rte->relkind = RELKIND_RELATION;
	rte->rellockmode = RowExclusiveLock;
	O2CInitRangeTable(writer->estate, rte, operation == CMD_UPDATE ? changed : NULL);

	writer->result = makeNode(ResultRelInfo);
	InitResultRelInfo(writer->result, writer->rel, 1, NULL, 0);
	writer->estate->es_opened_result_relations = list_make1(writer->result);
	writer->estate->es_snapshot = GetActiveSnapshot();
	writer->estate->es_output_cid = GetCurrentCommandId(true);
	ExecOpenIndices(writer->result, false);
	exprs = TableExprsOf(writer->rel);
	TableExprsCheck(writer->result, exprs);

	AfterTriggerBeginQuery();
	triggers = writer->result->ri_TrigDesc;
	writer->capture = MakeTransitionCaptureState(triggers, relid, operation);
	if (operation == CMD_UPDATE)
	{
		CheckCmdReplicaIdentity(writer->rel, CMD_UPDATE);
		ExecBSUpdateTriggers(writer->estate, writer->result);
		PrepareFind(writer);
	}
	else
	{
		ExecBSInsertTriggers(writer->estate, writer->result);
		writer->batch = palloc0(sizeof(TupleTableSlot *) * BATCH_ROWS);
		writer->row_by_row = triggers && triggers->trig_insert_before_row;
		PrepareDefaults(writer, exprs);
	}
	MemoryContextSwitchTo(before);
	return writer;
}

static void
RefuseConcurrent(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("could not serialize access due to concurrent update")));
}

/* Whether this transaction wrote the row in the slot, and did nothing to it since. */
static bool
IsOwnVersion(TupleTableSlot *slot)
{
	bool		isnull;
	TransactionId xmin = DatumGetTransactionId(slot_getsysattr(slot, MinTransactionIdAttributeNumber, &isnull));
	HeapTuple	tuple;

	if (!TransactionIdIsCurrentTransactionId(xmin) || !TTS_IS_BUFFERTUPLE(slot))
		return false;
	tuple = ExecFetchSlotHeapTuple(slot, false, NULL);
	return (tuple->t_data->t_infomask & HEAP_XMAX_INVALID) != 0;
}

/*
 * Find the row with that key and lock it for an update; NULL when there is
 * none.  The slot is valid until the next call.  Rows are best asked for in the
 * order of their keys.
 */
TupleTableSlot *
TableWriterFind(TableWriter *writer, int32 company_id, int64 id)
{
	TupleTableSlot *slot;
	Form_pg_index key = writer->lookup.index->rd_index;
	bool		isnull;
	TM_FailureData failure;

	/* what was found is not what the slot holds any more, once it was locked */
	if (company_id == writer->lookup.company && id == writer->lookup.key)
		writer->lookup.onward = false;
	slot = DirectLookupFind(&writer->lookup, company_id, id);
	if (slot == NULL)
		return NULL;

	/* a version that nobody else can see yet needs no lock */
	writer->own = IsOwnVersion(slot);
	if (writer->own)
		return slot;

	switch (table_tuple_lock(writer->rel, &slot->tts_tid, writer->estate->es_snapshot, slot,
							 writer->estate->es_output_cid, LockTupleNoKeyExclusive, LockWaitBlock,
							 IsolationUsesXactSnapshot() ? 0 : TUPLE_LOCK_FLAG_FIND_LAST_VERSION,
							 &failure))
	{
		case TM_Ok:
			break;
		case TM_Updated:
			RefuseConcurrent();
			break;
		case TM_Deleted:
			if (IsolationUsesXactSnapshot())
				RefuseConcurrent();
			return NULL;
		case TM_SelfModified:
			ereport(ERROR,
					(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
					 errmsg("row of \"%s\" was changed by an operation that its own change triggered",
							RelationGetRelationName(writer->rel))));
			break;
		default:
			elog(ERROR, "could not lock row of \"%s\"", RelationGetRelationName(writer->rel));
	}
	/* the version found after waiting may be another row's by now */
	if (DatumGetInt32(slot_getattr(slot, key->indkey.values[0], &isnull)) != company_id ||
		DatumGetInt64(slot_getattr(slot, key->indkey.values[1], &isnull)) != id)
		return NULL;
	return slot;
}

/* Whether the row that was found last is a version that only this transaction can see. */
bool
TableWriterFoundOwn(TableWriter *writer)
{
	return writer->own;
}

/* Constraints and generated columns of a row that is about to be stored. */
static void
CompleteRow(TableWriter *writer, TupleTableSlot *slot)
{
	TupleConstr *constr = RelationGetDescr(writer->rel)->constr;

	slot->tts_tableOid = RelationGetRelid(writer->rel);
	if (constr == NULL)
		return;
	if (constr->has_generated_stored)
		ExecComputeStoredGenerated(writer->result, writer->estate, slot, writer->operation);
	ExecConstraints(writer->result, slot, writer->estate);
}

/* Update the row that TableWriterFind returned; values of the given columns. */
void
TableWriterUpdate(TableWriter *writer, const Datum *values, const bool *nulls)
{
	EState	   *estate = writer->estate;
	TupleTableSlot *slot = writer->changed;
	ItemPointerData tid = writer->found->tts_tid;
	TriggerDesc *triggers = writer->result->ri_TrigDesc;
	O2CUpdateIndexes update_indexes;
	TM_FailureData failure;
	LockTupleMode lockmode;
	List	   *recheck = NIL;

	slot_getallattrs(writer->found);
	ExecClearTuple(slot);
	memcpy(slot->tts_values, writer->found->tts_values, sizeof(Datum) * slot->tts_tupleDescriptor->natts);
	memcpy(slot->tts_isnull, writer->found->tts_isnull, sizeof(bool) * slot->tts_tupleDescriptor->natts);
	for (int i = 0; i < writer->ncolumns; i++)
	{
		slot->tts_values[writer->columns[i] - 1] = values[i];
		slot->tts_isnull[writer->columns[i] - 1] = nulls != NULL && nulls[i];
	}
	ExecStoreVirtualTuple(slot);
	ExecMaterializeSlot(slot);

	if (triggers && triggers->trig_update_before_row &&
		!O2CBeforeRowUpdate(estate, &writer->epq, writer->result, &tid, slot))
		return;
	CompleteRow(writer, slot);

	if (table_tuple_update(writer->rel, &tid, slot, estate->es_output_cid, estate->es_snapshot,
						   InvalidSnapshot, true, &failure, &lockmode, &update_indexes) != TM_Ok)
		elog(ERROR, "could not update locked row of \"%s\"", RelationGetRelationName(writer->rel));
	if (writer->result->ri_NumIndices > 0 && O2CAnyIndexes(update_indexes))
		recheck = O2CInsertIndexTuples(writer->result, slot, estate, true, update_indexes);
	ExecARUpdateTriggers(estate, writer->result, NULL, NULL, &tid, NULL, slot, recheck,
						 writer->capture, false);
	list_free(recheck);
	ResetPerTupleExprContext(estate);
}

/* Write the rows that wait. */
static void
FlushBatch(TableWriter *writer)
{
	EState	   *estate = writer->estate;
	MemoryContext before;

	if (writer->nbatch == 0)
		return;
	before = MemoryContextSwitchTo(GetPerTupleMemoryContext(estate));
	table_multi_insert(writer->rel, writer->batch, writer->nbatch, estate->es_output_cid, 0, NULL);
	MemoryContextSwitchTo(before);
	for (int i = 0; i < writer->nbatch; i++)
	{
		List	   *recheck = NIL;

		if (writer->result->ri_NumIndices > 0)
			recheck = O2CInsertIndexTuples(writer->result, writer->batch[i], estate, false, O2C_ALL_INDEXES);
		ExecARInsertTriggers(estate, writer->result, writer->batch[i], recheck, writer->capture);
		list_free(recheck);
		ExecClearTuple(writer->batch[i]);
		ResetPerTupleExprContext(estate);
	}
	writer->nbatch = 0;
}

/* Insert a row with these values of the given columns. */
void
TableWriterInsert(TableWriter *writer, const Datum *values, const bool *nulls)
{
	EState	   *estate = writer->estate;
	ExprContext *econtext = GetPerTupleExprContext(estate);
	MemoryContext before;
	TupleTableSlot *slot;

	if (writer->batch[writer->nbatch] == NULL)
	{
		before = MemoryContextSwitchTo(estate->es_query_cxt);
		writer->batch[writer->nbatch] = table_slot_create(writer->rel, &estate->es_tupleTable);
		MemoryContextSwitchTo(before);
	}
	slot = writer->batch[writer->nbatch];
	ExecClearTuple(slot);
	memset(slot->tts_isnull, true, sizeof(bool) * slot->tts_tupleDescriptor->natts);
	memset(slot->tts_values, 0, sizeof(Datum) * slot->tts_tupleDescriptor->natts);
	for (int i = 0; i < writer->ncolumns; i++)
	{
		slot->tts_values[writer->columns[i] - 1] = values[i];
		slot->tts_isnull[writer->columns[i] - 1] = nulls != NULL && nulls[i];
	}
	before = MemoryContextSwitchTo(GetPerTupleMemoryContext(estate));
	for (int i = 0; i < writer->ndefaults; i++)
		slot->tts_values[writer->default_columns[i] - 1] =
			ExecEvalExpr(writer->defaults[i], econtext,
						 &slot->tts_isnull[writer->default_columns[i] - 1]);
	ExecStoreVirtualTuple(slot);
	if (writer->row_by_row)
	{
		bool		stored;

		ExecMaterializeSlot(slot);
		/* what triggers keep from row to row lives as long as the statement */
		MemoryContextSwitchTo(estate->es_query_cxt);
		stored = ExecBRInsertTriggers(estate, writer->result, slot);
		MemoryContextSwitchTo(before);
		if (!stored)
			return;
		CompleteRow(writer, slot);
	}
	else
	{
		/* what CompleteRow does, before a tuple is formed and not after */
		slot->tts_tableOid = RelationGetRelid(writer->rel);
		econtext->ecxt_scantuple = slot;
		for (int i = 0; i < writer->ngenerated; i++)
			slot->tts_values[writer->generated_columns[i] - 1] =
				ExecEvalExpr(writer->generated[i], econtext,
							 &slot->tts_isnull[writer->generated_columns[i] - 1]);
		MemoryContextSwitchTo(before);
		if (RelationGetDescr(writer->rel)->constr != NULL)
			ExecConstraints(writer->result, slot, estate);
	}
	ExecMaterializeSlot(slot);
	ResetPerTupleExprContext(estate);
	writer->nbatch++;
	if (writer->nbatch == BATCH_ROWS || writer->row_by_row)
		FlushBatch(writer);
}

/* End the statement: its remaining triggers run here. */
void
TableWriterEnd(TableWriter *writer)
{
	EState	   *estate = writer->estate;

	if (writer->operation == CMD_UPDATE)
	{
		ExecASUpdateTriggers(estate, writer->result, writer->capture);
		index_endscan(writer->lookup.scan);
		index_close(writer->lookup.index, NoLock);
	}
	else
	{
		FlushBatch(writer);
		ExecASInsertTriggers(estate, writer->result, writer->capture);
	}
	AfterTriggerEndQuery(estate);
	if (writer->operation == CMD_UPDATE)
		EvalPlanQualEnd(&writer->epq);
	ExecResetTupleTable(estate->es_tupleTable, false);
	ExecCloseResultRelations(estate);
	FreeExecutorState(estate);
	table_close(writer->rel, NoLock);
	PopActiveSnapshot();
	pfree(writer);
}
