/*
 * secrets.c
 *		The file that order2cash.secrets_file names.
 *
 * Lines are "name = value"; "name@host = value" may only go to that host and
 * "company/name = value" only with that company's channels.  # begins a
 * comment line.  The file must belong to the server's user and nobody else may
 * read it.  Values stay in the memory of the dispatcher; what it writes into
 * rows and logs goes through RedactSecrets.
 */
#include "o2c.h"

#include <sys/stat.h>
#include <unistd.h>

#include "common/base64.h"
#include "storage/fd.h"
#include "utils/memutils.h"

#include "dispatch/worker.h"

typedef struct Secret
{
	char	   *name;			/* without company and host */
	char	   *host;			/* NULL: any */
	int32		company_id;		/* 0: any */
	char	   *value;
	struct Secret *next;
} Secret;

static MemoryContext secrets_context = NULL;
static Secret *secrets = NULL;
static bool loaded = false;

/* Forget the values; the file is read again when the next one is needed. */
void
SecretsForget(void)
{
	loaded = false;
	secrets = NULL;
	if (secrets_context != NULL)
		MemoryContextReset(secrets_context);
}

/* The text between blanks. */
static char *
Trimmed(char *s)
{
	int			len;

	while (*s == ' ' || *s == '\t')
		s++;
	len = strlen(s);
	while (len > 0 && strchr(" \t\r\n", s[len - 1]) != NULL)
		s[--len] = '\0';
	return s;
}

/* Take one line apart. */
static void
AddSecret(char *line)
{
	char	   *eq = strchr(line, '=');
	char	   *name;
	char	   *host;
	char	   *slash;
	Secret	   *secret;

	line = Trimmed(line);
	if (line[0] == '#' || line[0] == '\0' || eq == NULL)
		return;
	*eq = '\0';
	name = Trimmed(line);
	secret = palloc0(sizeof(Secret));
	if ((slash = strchr(name, '/')) != NULL)
	{
		*slash = '\0';
		secret->company_id = atoi(name);
		if (secret->company_id <= 0)
			return;
		name = slash + 1;
	}
	if ((host = strchr(name, '@')) != NULL)
	{
		*host = '\0';
		secret->host = pstrdup(host + 1);
	}
	secret->name = pstrdup(name);
	secret->value = pstrdup(Trimmed(eq + 1));
	secret->next = secrets;
	secrets = secret;
}

/* Read the file; complain once when it cannot be trusted. */
static void
LoadSecrets(void)
{
	FILE	   *file;
	struct stat st;
	char		line[4096];
	MemoryContext old;

	loaded = true;
	if (o2c_secrets_file == NULL || o2c_secrets_file[0] == '\0')
		return;
	if (secrets_context == NULL)
		secrets_context = AllocSetContextCreate(TopMemoryContext, "o2c secrets",
												ALLOCSET_SMALL_SIZES);
	file = AllocateFile(o2c_secrets_file, "r");
	if (file == NULL)
	{
		ereport(LOG,
				(errcode_for_file_access(),
				 errmsg("could not open file \"%s\": %m", o2c_secrets_file)));
		return;
	}
	if (fstat(fileno(file), &st) != 0 || !S_ISREG(st.st_mode) ||
		(st.st_mode & (S_IRWXG | S_IRWXO)) != 0 ||
		(st.st_uid != geteuid() && st.st_uid != 0))
	{
		ereport(LOG,
				(errcode(ERRCODE_CONFIG_FILE_ERROR),
				 errmsg("order2cash.secrets_file \"%s\" is not used", o2c_secrets_file),
				 errdetail("The file must belong to the server's user and have no permissions for others (mode 0600).")));
		FreeFile(file);
		return;
	}
	old = MemoryContextSwitchTo(secrets_context);
	while (fgets(line, sizeof(line), file) != NULL)
		AddSecret(line);
	MemoryContextSwitchTo(old);
	FreeFile(file);
	memset(line, 0, sizeof(line));
}

/* The value for that company and host, the most particular one, or NULL. */
const char *
SecretValue(int32 company_id, const char *name, const char *host)
{
	Secret	   *best = NULL;
	int			best_score = -1;

	if (!loaded)
		LoadSecrets();
	for (Secret *s = secrets; s != NULL; s = s->next)
	{
		int			score = (s->company_id != 0 ? 2 : 0) + (s->host != NULL ? 1 : 0);

		if (strcmp(s->name, name) != 0 ||
			(s->company_id != 0 && s->company_id != company_id) ||
			(s->host != NULL && pg_strcasecmp(s->host, host) != 0))
			continue;
		if (score > best_score)
		{
			best = s;
			best_score = score;
		}
	}
	return best ? best->value : NULL;
}

/* Blot out every occurrence of a form of a secret. */
static void
Blot(char *text, const char *form, size_t len)
{
	char	   *p = text;

	while ((p = strstr(p, form)) != NULL)
	{
		memset(p, '*', len);
		p += len;
	}
}

/*
 * Blot out every secret that a peer may have echoed: as it is, and as it
 * travels in base64 after a user's name, where it may begin at any of three
 * places of a group and only whole groups are its own.
 */
void
RedactSecrets(char *text)
{
	char		padded[512];
	char		encoded[1024];

	for (Secret *s = secrets; s != NULL; s = s->next)
	{
		size_t		len = strlen(s->value);

		if (len < 4)
			continue;
		Blot(text, s->value, len);
		if (len > sizeof(padded) - 3)
			continue;
		for (size_t pad = 0; pad < 3; pad++)
		{
			size_t		first = pad > 0 ? 4 : 0;
			size_t		whole = (pad + len) / 3 * 4;
			int			n;

			memset(padded, 0, sizeof(padded));
			memcpy(padded + pad, s->value, len);
			n = pg_b64_encode((void *) padded, (int) (pad + len), encoded, sizeof(encoded) - 1);
			if (n < 0 || whole < first + 4)
				continue;
			encoded[whole] = '\0';
			Blot(text, encoded + first, whole - first);
		}
	}
	explicit_bzero(padded, sizeof(padded));
	explicit_bzero(encoded, sizeof(encoded));
}
