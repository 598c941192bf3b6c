/*
 * records.c
 *		Records of one size, in order, beyond memory when they are many.
 *
 * A statement may post a million rows, and what is noted of each must not lie
 * in memory then.  These are written into an array, which is sorted in place
 * when it is read.  When the array has its share of memory it goes to a
 * temporary file as a run, and the runs are merged while they are read, as
 * often as they are read.  PostgreSQL's own sort would do, but makes a tuple of
 * each record and takes it apart again: for a hundred bytes that are there in
 * one piece that costs more than to sort them.
 *
 * Memory: the array while records are added; while more than one array was
 * filled, then a block and a record for each run.
 */
#include "records.h"

#include "lib/binaryheap.h"
#include "storage/buffile.h"
#include "utils/memutils.h"

/* Records for which there is room at first, and in the smallest run. */
#define FIRST_RECORDS 8
#define RUN_RECORDS 1024

struct Records
{
	MemoryContext context;
	Size		size;
	RecordCompare compare;		/* NULL: in the order in which they were added */
	int64		n;				/* all of them */

	char	   *array;			/* what is in no run */
	int64		room;
	int64		most;			/* before it goes to a file */
	int64		held;
	int64		next;			/* to be read */
	bool		sorted;

	int			nruns;
	BufFile   **runs;
	char	   *heads;			/* the next record of each run */
	binaryheap *heap;			/* of runs that have one; NULL when there is one run */
	int			current;		/* run whose head was read last, or -1 */
};

/*
 * Start a list of records of that size, which may take so many bytes of memory.
 * They are read in the order of "compare", or as they were added.
 */
Records *
RecordsBegin(Size size, RecordCompare compare, Size bytes)
{
	Records    *records = palloc0(sizeof(Records));

	records->context = CurrentMemoryContext;
	records->size = MAXALIGN(size);
	records->compare = compare;
	records->most = Max(bytes / records->size, RUN_RECORDS);
	records->current = -1;
	return records;
}

static inline char *
RecordOf(const Records *records, char *array, int64 i)
{
	return array + records->size * i;
}

static void
SortArray(Records *records)
{
	if (records->compare != NULL && !records->sorted)
		qsort(records->array, records->held, records->size, records->compare);
	records->sorted = true;
}

/* Write what the array holds to a file: a run of its own, or behind what is in the only one. */
static void
WriteRun(Records *records)
{
	MemoryContext before = MemoryContextSwitchTo(records->context);

	if (records->nruns == 0 || records->compare != NULL)
	{
		records->runs = records->runs == NULL ? palloc(sizeof(BufFile *)) :
			repalloc(records->runs, sizeof(BufFile *) * (records->nruns + 1));
		records->runs[records->nruns++] = BufFileCreateTemp(false);
	}
	SortArray(records);
	/* a write takes no more than an int can say, whatever its argument is */
	for (int64 i = 0; i < records->held; i += RUN_RECORDS)
		BufFileWrite(records->runs[records->nruns - 1], RecordOf(records, records->array, i),
					 records->size * Min(RUN_RECORDS, records->held - i));
	records->held = 0;
	MemoryContextSwitchTo(before);
}

/* Room for a further record, set to zeros.  None is added once they were read. */
void *
RecordsAdd(Records *records)
{
	void	   *record;

	if (records->held == records->most)
		WriteRun(records);
	if (records->held == records->room)
	{
		records->room = Min(Max(records->room * 2, FIRST_RECORDS), records->most);
		records->array = records->array == NULL ?
			MemoryContextAllocHuge(records->context, records->size * records->room) :
			repalloc_huge(records->array, records->size * records->room);
	}
	record = RecordOf(records, records->array, records->held++);
	records->n++;
	records->sorted = false;
	memset(record, 0, records->size);
	return record;
}

/* The order of two runs is that of their heads, the first on top. */
static int
CompareRuns(Datum a, Datum b, void *arg)
{
	Records    *records = arg;

	return records->compare(RecordOf(records, records->heads, DatumGetInt32(b)),
							RecordOf(records, records->heads, DatumGetInt32(a)));
}

/* Read the next record of a run; false at its end. */
static bool
ReadHead(Records *records, int run)
{
	size_t		n = BufFileRead(records->runs[run], RecordOf(records, records->heads, run), records->size);

	if (n != 0 && n != records->size)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not read from temporary file: read only %zu of %zu bytes", n, records->size)));
	return n != 0;
}

/* Read from the first record on. */
void
RecordsRewind(Records *records)
{
	MemoryContext before;

	records->next = 0;
	if (records->nruns == 0)
	{
		SortArray(records);
		return;
	}

	before = MemoryContextSwitchTo(records->context);
	if (records->array != NULL)
	{
		WriteRun(records);
		pfree(records->array);
		records->array = NULL;
		records->room = 0;
	}
	if (records->heads == NULL)
	{
		records->heads = palloc(records->size * records->nruns);
		if (records->nruns > 1)
			records->heap = binaryheap_allocate(records->nruns, CompareRuns, records);
	}
	MemoryContextSwitchTo(before);

	records->current = -1;
	for (int i = 0; i < records->nruns; i++)
		if (BufFileSeek(records->runs[i], 0, 0, SEEK_SET) != 0)
			ereport(ERROR,
					(errcode_for_file_access(),
					 errmsg("could not rewind temporary file: %m")));
	if (records->heap == NULL)
		return;
	binaryheap_reset(records->heap);
	for (int i = 0; i < records->nruns; i++)
		if (ReadHead(records, i))
			binaryheap_add_unordered(records->heap, Int32GetDatum(i));
	binaryheap_build(records->heap);
}

/* The next record, or NULL; valid until the next call. */
const void *
RecordsNext(Records *records)
{
	if (records->nruns == 0)
		return records->next < records->held ? RecordOf(records, records->array, records->next++) : NULL;
	if (records->heap == NULL)
		return ReadHead(records, 0) ? records->heads : NULL;

	/* the run that was read last goes on only now, for its head was in use */
	if (records->current >= 0)
	{
		if (ReadHead(records, records->current))
			binaryheap_replace_first(records->heap, Int32GetDatum(records->current));
		else
			(void) binaryheap_remove_first(records->heap);
	}
	if (binaryheap_empty(records->heap))
	{
		records->current = -1;
		return NULL;
	}
	records->current = DatumGetInt32(binaryheap_first(records->heap));
	return RecordOf(records, records->heads, records->current);
}

int64
RecordsCount(const Records *records)
{
	return records->n;
}

/* Close the files; the memory goes with its context, or here. */
void
RecordsEnd(Records *records)
{
	for (int i = 0; i < records->nruns; i++)
		BufFileClose(records->runs[i]);
	if (records->runs != NULL)
		pfree(records->runs);
	if (records->heads != NULL)
		pfree(records->heads);
	if (records->heap != NULL)
		binaryheap_free(records->heap);
	if (records->array != NULL)
		pfree(records->array);
	pfree(records);
}
