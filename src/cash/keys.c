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

/* The keys of new items, sorted; receipts have none. */
static Key *
CollectKeys(TriggerData *trigdata, int64 *nkeys)
{
	static const PGFunction functions[KEYS_OF_ITEM] = {
		o2c_cash_document_key, o2c_cash_document_digits,
		o2c_cash_document_key, o2c_cash_document_digits, o2c_cash_reference_key
	};
	TupleDesc	desc = RelationGetDescr(trigdata->tg_relation);
	int			company_att = SPI_fnumber(desc, "company_id");
	int			id_att = SPI_fnumber(desc, "id");
	int			kind_att = SPI_fnumber(desc, "kind");
	int			number_att = SPI_fnumber(desc, "number");
	int			invoice_att = SPI_fnumber(desc, "invoice_id");
	int			source_att[KEYS_OF_ITEM];
	Oid			last_kind = InvalidOid;
	bool		receipt = false;
	int64		capacity = 64;
	Key		   *keys = palloc(sizeof(Key) * capacity);
	MemoryContext row_context = AllocSetContextCreate(CurrentMemoryContext, "o2c match keys",
													  ALLOCSET_SMALL_SIZES);
	RowReader	reader;
	TupleTableSlot *row;
	int64		n = 0;

	source_att[0] = source_att[1] = number_att;
	source_att[2] = source_att[3] = SPI_fnumber(desc, "alt_number");
	source_att[4] = SPI_fnumber(desc, "structured_ref");
	RowReaderBegin(&reader, trigdata->tg_newtable, trigdata->tg_relation);
	while ((row = RowReaderNext(&reader)) != NULL)
	{
		bool		isnull;
		Oid			kind = DatumGetObjectId(slot_getattr(row, kind_att, &isnull));
		int32		company_id = DatumGetInt32(slot_getattr(row, company_att, &isnull));
		int64		item_id = DatumGetInt64(slot_getattr(row, id_att, &isnull));
		MemoryContext before;

		if (kind != last_kind)
		{
			char	   *label = DatumGetCString(DirectFunctionCall1(enum_out, ObjectIdGetDatum(kind)));

			receipt = strcmp(label, "on_account") == 0 || strcmp(label, "unidentified") == 0;
			last_kind = kind;
		}
		if (receipt)
			continue;
		/* until it has its number, an item bears # and its invoice's id */
		(void) slot_getattr(row, invoice_att, &isnull);
		if (!isnull)
		{
			text	   *number = DatumGetTextPP(slot_getattr(row, number_att, &isnull));

			if (VARSIZE_ANY_EXHDR(number) > 0 && *VARDATA_ANY(number) == '#')
				continue;
		}
		if (n + KEYS_OF_ITEM > capacity)
		{
			capacity *= 2;
			keys = repalloc_huge(keys, sizeof(Key) * capacity);
		}
		before = MemoryContextSwitchTo(row_context);
		for (int i = 0; i < KEYS_OF_ITEM; i++)
		{
			Datum		source = slot_getattr(row, source_att[i], &isnull);
			int64		key = isnull ? 0 : DatumGetInt64(DirectFunctionCall1(functions[i], source));

			if (key != 0)
				keys[n++] = (Key) {company_id, key, item_id};
		}
		MemoryContextSwitchTo(before);
		MemoryContextReset(row_context);
	}
	RowReaderEnd(&reader);
	MemoryContextDelete(row_context);
	qsort(keys, n, sizeof(Key), CompareKeys);
	*nkeys = n;
	return keys;
}

/* Write the keys of new items. */
static void
InsertKeys(TriggerData *trigdata)
{
	static const char *const columns[] = {"company_id", "key", "item_id"};
	int64		n;
	Key		   *keys = CollectKeys(trigdata, &n);
	TriggerFrame frame;
	TableWriter *writer;

	if (n == 0)
		return;
	TriggerFrameBegin(&frame, trigdata);
	writer = TableWriterBegin(TableByName(trigdata->tg_relation, "match_key"), CMD_INSERT,
							  columns, lengthof(columns));
	for (int64 i = 0; i < n; i++)
	{
		Datum		values[3];

		if (i > 0 && CompareKeys(&keys[i], &keys[i - 1]) == 0)
			continue;
		values[0] = Int32GetDatum(keys[i].company_id);
		values[1] = Int64GetDatum(keys[i].key);
		values[2] = Int64GetDatum(keys[i].item_id);
		TableWriterInsert(writer, values, NULL);
	}
	TableWriterEnd(writer);
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

/* Items of these invoices have their numbers now. */
void
KeepMatchKeysOfInvoices(Datum company, Datum ids)
{
	static KeptPlan numbered = {
		.sql = KEYS_OF("o2c.open_item")
		" AND n.company_id = $1 AND n.invoice_id = ANY ($2) ON CONFLICT DO NOTHING",
		.nargs = 2,
		.argtypes = {INT4OID, INT8ARRAYOID}
	};
	Datum		args[2];

	args[0] = company;
	args[1] = ids;
	KeptPlanExecute(&numbered, args, NULL, SPI_OK_INSERT);
}

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
