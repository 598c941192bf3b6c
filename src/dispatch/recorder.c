/*
 * recorder.c
 *		What of a claimed message survives a crash of the dispatcher.
 *
 * Rows say only that a message was claimed.  Whether the peer may have had it
 * when the process was killed stands in a small file that is mapped into
 * memory: it survives the process and the server, not the machine, and that
 * is said in it.  The next dispatcher reads it: what was never handed over is
 * queued again, what the peer had accepted is sent, and only what was handed
 * over without a reply is uncertain.
 *
 * The file lies in the data directory under a name that base backups skip; it
 * names its own inode and the machine's boot, so that a copy is no evidence.
 * Each run has a file of its own, which is there until all that it tells of has
 * been written down: what could not be at once is evidence for whoever comes
 * later.
 */
#include "o2c.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/xlog.h"
#include "miscadmin.h"
#include "storage/fd.h"

#include "dispatch/worker.h"

#define RECORDER_MAGIC 0x6f326366
#define BOOT_ID_LEN 40

typedef struct RecorderFile
{
	uint32		magic;
	uint32		nslots;
	uint64		system_identifier;
	uint64		device;
	uint64		inode;
	char		boot_id[BOOT_ID_LEN];
	pg_uuid_t	owner;
	RecorderEntry entries[FLEXIBLE_ARRAY_MEMBER];
} RecorderFile;

#define RECORDER_SIZE (offsetof(RecorderFile, entries) + sizeof(RecorderEntry) * RECORDER_SLOTS)

static RecorderFile *recorder = NULL;
static int	free_slots[RECORDER_SLOTS];
static int	nfree = 0;

static char own_path[MAXPGPATH];

/* "pgsql_tmp" at the front keeps the files out of base backups. */
static int
RecorderPrefix(Oid dboid, char *path)
{
	return snprintf(path, MAXPGPATH, "pgsql_tmp_order2cash_%u", dboid);
}

/* The files that former dispatchers of the database left; palloc'd. */
List *
RecorderFiles(Oid dboid)
{
	char		prefix[MAXPGPATH];
	int			len = RecorderPrefix(dboid, prefix);
	DIR		   *dir = AllocateDir(".");
	struct dirent *de;
	List	   *files = NIL;

	while ((de = ReadDir(dir, ".")) != NULL)
		if (strncmp(de->d_name, prefix, len) == 0 &&
			(de->d_name[len] == '\0' || de->d_name[len] == '.') && strcmp(de->d_name, own_path) != 0)
			files = lappend(files, pstrdup(de->d_name));
	FreeDir(dir);
	return files;
}

/* What a file told of has been written down, or cannot be trusted. */
void
RecorderForget(const char *path)
{
	(void) unlink(path);
}

/* The machine's boot; empty where the system does not tell. */
static void
BootId(char *out)
{
	int			fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY);
	ssize_t		n = 0;

	memset(out, 0, BOOT_ID_LEN);
	if (fd >= 0)
	{
		n = read(fd, out, BOOT_ID_LEN - 1);
		close(fd);
	}
	if (n <= 0)
		out[0] = '\0';
}

/*
 * Read what a dispatcher of the database left.  False when there is nothing
 * that can be trusted.  The entries are palloc'd.
 */
bool
RecorderRead(const char *path, pg_uuid_t *owner, RecorderEntry **entries, int *n)
{
	char		boot_id[BOOT_ID_LEN];
	struct stat st;
	RecorderFile *file;
	int			fd;
	bool		valid = false;

	*n = 0;
	fd = OpenTransientFile(path, O_RDONLY | PG_BINARY);
	if (fd < 0)
		return false;
	if (fstat(fd, &st) == 0 && st.st_size == RECORDER_SIZE)
	{
		file = MemoryContextAllocHuge(CurrentMemoryContext, RECORDER_SIZE);
		BootId(boot_id);
		if (read(fd, file, RECORDER_SIZE) == (ssize_t) RECORDER_SIZE &&
			file->magic == RECORDER_MAGIC && file->nslots == RECORDER_SLOTS &&
			file->system_identifier == GetSystemIdentifier() &&
			file->device == (uint64) st.st_dev && file->inode == (uint64) st.st_ino &&
			boot_id[0] != '\0' && strcmp(file->boot_id, boot_id) == 0)
		{
			*owner = file->owner;
			*entries = palloc(sizeof(RecorderEntry) * RECORDER_SLOTS);
			for (int i = 0; i < RECORDER_SLOTS; i++)
				if (file->entries[i].phase != PHASE_FREE)
					(*entries)[(*n)++] = file->entries[i];
			valid = true;
		}
		pfree(file);
	}
	CloseTransientFile(fd);
	return valid;
}

/* Begin this run's own file. */
void
RecorderBegin(Oid dboid, const pg_uuid_t *owner)
{
	char		path[MAXPGPATH];
	struct stat st;
	int			fd;
	int			len = RecorderPrefix(dboid, path);

	path[len++] = '.';
	for (int i = 0; i < UUID_LEN; i++)
		len += snprintf(path + len, MAXPGPATH - len, "%02x", owner->data[i]);
	fd = OpenTransientFile(path, O_RDWR | O_CREAT | O_EXCL | PG_BINARY);
	if (fd < 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not create file \"%s\": %m", path)));
	strlcpy(own_path, path, MAXPGPATH);
	/* its room is taken now: writing to a map of a full disk is a signal */
	if ((errno = posix_fallocate(fd, 0, RECORDER_SIZE)) != 0 || fstat(fd, &st) != 0)
	{
		int			save_errno = errno;

		(void) unlink(path);
		errno = save_errno;
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not write file \"%s\": %m", path)));
	}
	recorder = mmap(NULL, RECORDER_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (recorder == MAP_FAILED)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not map file \"%s\": %m", path)));
	CloseTransientFile(fd);

	recorder->nslots = RECORDER_SLOTS;
	recorder->system_identifier = GetSystemIdentifier();
	recorder->device = st.st_dev;
	recorder->inode = st.st_ino;
	BootId(recorder->boot_id);
	recorder->owner = *owner;
	recorder->magic = RECORDER_MAGIC;

	nfree = 0;
	for (int i = RECORDER_SLOTS - 1; i >= 0; i--)
		free_slots[nfree++] = i;
}

/* A slot for a claimed message, or -1 when all are taken. */
int
RecorderTake(int32 company_id, int64 id)
{
	int			slot;

	if (nfree == 0)
		return -1;
	slot = free_slots[--nfree];
	recorder->entries[slot].company_id = company_id;
	recorder->entries[slot].id = id;
	recorder->entries[slot].phase = PHASE_CLAIMED;
	return slot;
}

/* Note how far a message has come.  Called by libcurl's callbacks. */
void
RecorderMark(int slot, RecorderPhase phase)
{
	((volatile RecorderEntry *) &recorder->entries[slot])->phase = phase;
}

/* The row says it now. */
void
RecorderFree(int slot)
{
	RecorderMark(slot, PHASE_FREE);
	free_slots[nfree++] = slot;
}

/* This run has written down all that it knew. */
void
RecorderEnd(void)
{
	if (recorder != NULL)
		RecorderForget(own_path);
}
