/*
 * keys.c
 *		Keeps o2c.match_key in step with the open items.
 *
 * o2c_cash_keep_keys is an AFTER trigger of o2c.open_item: for each INSERT
 * statement, and for each row whose number or references are changed.  Keys
 * of settled items stay, so that a second payment of the same document is
 * seen as such.
 */
#include "cash/cash.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

#include "row_reader.h"
#include "table_writer.h"

PG_FUNCTION_INFO_V1(o2c_cash_keep_keys);

/* Number, its digits, other number, its digits, structured reference. */
#define KEYS_OF_ITEM 5

typedef struct Key
{
	int32		company_id;
	int64		key;
	int64		item_id;
} Key;

static int
CompareKeys(const void *a, const void *b)
{
	const Key  *x = a;
	const Key  *y = b;

	if (x->company_id != y->company_id)
		return x->company_id < y->company_id ? -1 : 1;
	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return x->item_id < y->item_id ? -1 : x->item_id > y->item_id;
}

/* The keys of some items, as they are collected, and the writer of their table. */
struct MatchKeys
{
	TableWriter *writer;
	int			company_att;
	int			id_att;
	int			kind_att;
	int			number_att;
	int			invoice_att;
	int			source_att[KEYS_OF_ITEM];
	Oid			last_kind;
	bool		receipt;		/* of the last kind */
	Key		   *keys;
	int64		nkeys;
	int64		capacity;
	MemoryContext row_context;
};

/* Start to collect the keys of rows of open_item. */
MatchKeys *
MatchKeysBegin(Relation item)
{
	TupleDesc	desc = RelationGetDescr(item);
	MatchKeys  *match = palloc0(sizeof(MatchKeys));

	match->company_att = SPI_fnumber(desc, "company_id");
	match->id_att = SPI_fnumber(desc, "id");
	match->kind_att = SPI_fnumber(desc, "kind");
	match->number_att = SPI_fnumber(desc, "number");
	match->invoice_att = SPI_fnumber(desc, "invoice_id");
	match->source_att[0] = match->source_att[1] = match->number_att;
	match->source_att[2] = match->source_att[3] = SPI_fnumber(desc, "alt_number");
	match->source_att[4] = SPI_fnumber(desc, "structured_ref");
	match->capacity = 64;
	match->keys = palloc(sizeof(Key) * match->capacity);
	match->row_context = AllocSetContextCreate(CurrentMemoryContext, "o2c match keys",
											   ALLOCSET_SMALL_SIZES);
	return match;
}

/* Open the table of keys, before anybody has to wait for it. */
void
MatchKeysPrepare(MatchKeys *match, Relation item)
{
	static const char *const columns[] = {"company_id", "key", "item_id"};

	match->writer = TableWriterBegin(TableByName(item, "match_key"), CMD_INSERT,
									 columns, lengthof(columns));
}

/* Collect the keys of an item; receipts have none. */
void
MatchKeysAdd(MatchKeys *match, TupleTableSlot *row)
{
	static const PGFunction functions[KEYS_OF_ITEM] = {
		o2c_cash_document_key, o2c_cash_document_digits,
		o2c_cash_document_key, o2c_cash_document_digits, o2c_cash_reference_key
	};
	bool		isnull;
	Oid			kind = DatumGetObjectId(slot_getattr(row, match->kind_att, &isnull));
	int32		company_id = DatumGetInt32(slot_getattr(row, match->company_att, &isnull));
	int64		item_id = DatumGetInt64(slot_getattr(row, match->id_att, &isnull));
	MemoryContext before;

	if (kind != match->last_kind)
	{
		char	   *label = DatumGetCString(DirectFunctionCall1(enum_out, ObjectIdGetDatum(kind)));

		match->receipt = strcmp(label, "on_account") == 0 || strcmp(label, "unidentified") == 0;
		match->last_kind = kind;
	}
	if (match->receipt)
		return;
	/* until it has its number, an item bears # and its invoice's id */
	(void) slot_getattr(row, match->invoice_att, &isnull);
	if (!isnull)
	{
		text	   *number = DatumGetTextPP(slot_getattr(row, match->number_att, &isnull));

		if (VARSIZE_ANY_EXHDR(number) > 0 && *VARDATA_ANY(number) == '#')
			return;
	}
	if (match->nkeys + KEYS_OF_ITEM > match->capacity)
	{
		match->capacity *= 2;
		match->keys = repalloc_huge(match->keys, sizeof(Key) * match->capacity);
	}
	before = MemoryContextSwitchTo(match->row_context);
	for (int i = 0; i < KEYS_OF_ITEM; i++)
	{
		Datum		source = slot_getattr(row, match->source_att[i], &isnull);
		int64		key = isnull ? 0 : DatumGetInt64(DirectFunctionCall1(functions[i], source));

		if (key != 0)
			match->keys[match->nkeys++] = (Key) {company_id, key, item_id};
	}
	MemoryContextSwitchTo(before);
	MemoryContextReset(match->row_context);
}

/* Write the keys that were collected. */
void
MatchKeysEnd(MatchKeys *match)
{
	qsort(match->keys, match->nkeys, sizeof(Key), CompareKeys);
	for (int64 i = 0; i < match->nkeys; i++)
	{
		Key		   *key = &match->keys[i];
		Datum		values[3];

		if (i > 0 && CompareKeys(key, key - 1) == 0)
			continue;
		values[0] = Int32GetDatum(key->company_id);
		values[1] = Int64GetDatum(key->key);
		values[2] = Int64GetDatum(key->item_id);
		TableWriterInsert(match->writer, values, NULL);
	}
	TableWriterEnd(match->writer);
	MemoryContextDelete(match->row_context);
	pfree(match->keys);
	pfree(match);
}

/* Write the keys of new items. */
static void
InsertKeys(TriggerData *trigdata)
{
	MatchKeys  *match = MatchKeysBegin(trigdata->tg_relation);
	RowReader	reader;
	TupleTableSlot *row;
	TriggerFrame frame;

	RowReaderBegin(&reader, trigdata->tg_newtable, trigdata->tg_relation);
	while ((row = RowReaderNext(&reader)) != NULL)
		MatchKeysAdd(match, row);
	RowReaderEnd(&reader);
	if (match->nkeys == 0)
		return;
	TriggerFrameBegin(&frame, trigdata);
	MatchKeysPrepare(match, trigdata->tg_relation);
	MatchKeysEnd(match);
	TriggerFrameEnd(&frame);
}

#define KEYS_OF(rows) \
	"INSERT INTO o2c.match_key (company_id, key, item_id)" \
	" SELECT DISTINCT n.company_id, k.key, n.id FROM " rows " n CROSS JOIN LATERAL" \
	" (VALUES (o2c._document_key(n.number)), (o2c._document_digits(n.number))," \
	"  (o2c._document_key(n.alt_number)), (o2c._document_digits(n.alt_number))," \
	"  (o2c._reference_key(n.structured_ref))) k(key)" \
	" WHERE k.key <> 0 AND n.kind NOT IN ('on_account', 'unidentified')" \
	" AND (n.invoice_id IS NULL OR n.number NOT LIKE '#%')"

/* _keep_match_keys(): AFTER INSERT statement (new_rows), or AFTER UPDATE row. */
Datum
o2c_cash_keep_keys(PG_FUNCTION_ARGS)
{
	static KeptPlan changed = {
		.sql = KEYS_OF("o2c.open_item")
		" AND n.company_id = $1 AND n.id = $2 ON CONFLICT DO NOTHING",
		.nargs = 2,
		.argtypes = {INT4OID, INT8OID}
	};
	TriggerData *trigdata = TriggerDataOf(fcinfo, "_keep_match_keys");
	TupleDesc	desc = RelationGetDescr(trigdata->tg_relation);
	TriggerFrame frame;
	bool		isnull;
	Datum		args[2];

	if (!TRIGGER_FIRED_FOR_ROW(trigdata->tg_event))
	{
		InsertKeys(trigdata);
		return PointerGetDatum(NULL);
	}
	args[0] = SPI_getbinval(trigdata->tg_newtuple, desc, SPI_fnumber(desc, "company_id"), &isnull);
	args[1] = SPI_getbinval(trigdata->tg_newtuple, desc, SPI_fnumber(desc, "id"), &isnull);
	TriggerFrameBegin(&frame, trigdata);
	KeptPlanExecute(&changed, args, NULL, SPI_OK_INSERT);
	TriggerFrameEnd(&frame);
	return PointerGetDatum(NULL);
}
