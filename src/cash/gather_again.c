/*
 * gather_again.c
 *		Rows that stream past several runs of lines, from a file.
 *
 * When the lines do not fit into memory together, each run of them looks at
 * all keys and items.  To read these through the executor again would cost as
 * much as the first time.  So the first run writes what it looks at into
 * temporary files: the two numbers of a key; of an item (or a settled number)
 * what it is compared by, read already, and the row itself, which is taken
 * apart only for the few lines that want it.
 */
#include "cash/gather.h"

#include "miscadmin.h"

typedef struct KeptKey
{
	int64		key;
	int64		item_id;
} KeptKey;

/* Read so many bytes; false at the end of the file. */
static bool
ReadPart(BufFile *file, void *to, size_t size)
{
	size_t		n = BufFileRead(file, to, size);

	if (n != 0 && n != size)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not read from temporary file: read only %zu of %zu bytes", n, size)));
	return n != 0;
}

static void
ReadFromStart(BufFile *file)
{
	if (BufFileSeek(file, 0, 0, SEEK_SET) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not rewind temporary file: %m")));
}

void
KeepKey(BufFile *file, int64 key, int64 item_id)
{
	KeptKey		kept = {key, item_id};

	BufFileWrite(file, &kept, sizeof(kept));
}

/* Look at the keys again; false when a row was too much. */
bool
ReadKeysAgain(Gathering *g, BufFile *file)
{
	KeptKey		kept;

	ReadFromStart(file);
	for (int64 n = 0; ReadPart(file, &kept, sizeof(kept)); n++)
	{
		if (n % 1024 == 0)
			CHECK_FOR_INTERRUPTS();
		if (!TakeKey(g, kept.key, kept.item_id))
			return false;
	}
	return true;
}

void
KeepRow(BufFile *file, GatherRow *row, TupleTableSlot *slot)
{
	bool		shouldfree;
	MinimalTuple tuple = ExecFetchSlotMinimalTuple(slot, &shouldfree);

	row->size = tuple->t_len;
	BufFileWrite(file, row, sizeof(GatherRow));
	BufFileWrite(file, tuple, tuple->t_len);
	if (shouldfree)
		pfree(tuple);
}

/* Look at the rows again; false when one was too much. */
bool
ReadRowsAgain(Gathering *g, BufFile *file, TupleDesc desc,
			  bool (*take) (Gathering *g, const GatherRow *row, TupleTableSlot *slot))
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	GatherRow	row;
	Size		room = 1024;
	MinimalTuple tuple = palloc(room);
	bool		more = true;

	ReadFromStart(file);
	for (int64 n = 0; more && ReadPart(file, &row, sizeof(row)); n++)
	{
		if (n % 1024 == 0)
			CHECK_FOR_INTERRUPTS();
		if (row.size > room)
		{
			pfree(tuple);
			room = row.size;
			tuple = palloc(room);
		}
		(void) ReadPart(file, tuple, row.size);
		ExecStoreMinimalTuple(tuple, slot, false);
		more = take(g, &row, slot);
	}
	ExecDropSingleTupleTableSlot(slot);
	pfree(tuple);
	return more;
}
