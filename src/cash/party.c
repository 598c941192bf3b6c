/*
 * party.c
 *		Who pays, as the bank writes it: lines of the same account and name.
 *
 * The same party pays many lines, and payers are looked for once for each.
 * Numbering them while the lines are read saves both a pass that finds the
 * distinct ones and a join on two texts that tells each line its own.
 */
#include "cash/cash.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(o2c_cash_same_party);

/* An account and a name, one behind the other. */
typedef struct PartyKey
{
	uint32		hash;
	int			account_len;
	int			len;
	char	   *text;
} PartyKey;

typedef struct PartyEntry
{
	PartyKey	key;
	int64		line_id;		/* the first of this party */
	char		status;
} PartyEntry;

#define SH_PREFIX party
#define SH_ELEMENT_TYPE PartyEntry
#define SH_KEY_TYPE PartyKey
#define SH_KEY key
#define SH_HASH_KEY(tb, k) (k).hash
#define SH_EQUAL(tb, a, b) ((a).account_len == (b).account_len && (a).len == (b).len && memcmp((a).text, (b).text, (a).len) == 0)
#define SH_STORE_HASH
#define SH_GET_HASH(tb, e) (e)->key.hash
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/* What one place of a statement has seen. */
typedef struct Parties
{
	MemoryContext context;		/* of all that is known, to be forgotten together */
	party_hash *known;
	char	   *text;			/* of the row at hand */
	int			room;
} Parties;

/*
 * _same_party(line_id, account, name_key): the line_id with which this place
 * of a statement was first called for the account and name.  When they are
 * more than a hash table may hold, numbering begins anew: a party may then
 * have several numbers, but no number several parties.
 */
Datum
o2c_cash_same_party(PG_FUNCTION_ARGS)
{
	text	   *account = PG_GETARG_TEXT_PP(1);
	text	   *name = PG_GETARG_TEXT_PP(2);
	Parties    *parties = fcinfo->flinfo->fn_extra;
	PartyKey	key;
	PartyEntry *entry;
	bool		found;

	if (parties == NULL)
	{
		parties = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(Parties));
		parties->context = AllocSetContextCreate(fcinfo->flinfo->fn_mcxt, "order2cash parties", ALLOCSET_DEFAULT_SIZES);
		fcinfo->flinfo->fn_extra = parties;
	}
	if (parties->known == NULL)
		parties->known = party_create(parties->context, 256, NULL);
	key.account_len = VARSIZE_ANY_EXHDR(account);
	key.len = key.account_len + VARSIZE_ANY_EXHDR(name);
	if (key.len > parties->room)
	{
		parties->room = Max(256, 2 * key.len);
		if (parties->text != NULL)
			pfree(parties->text);
		parties->text = MemoryContextAlloc(fcinfo->flinfo->fn_mcxt, parties->room);
	}
	key.text = parties->text;
	memcpy(key.text, VARDATA_ANY(account), key.account_len);
	memcpy(key.text + key.account_len, VARDATA_ANY(name), key.len - key.account_len);
	key.hash = hash_bytes((unsigned char *) key.text, key.len);
	entry = party_insert(parties->known, key, &found);
	if (!found)
	{
		entry->line_id = PG_GETARG_INT64(0);
		entry->key.text = MemoryContextAlloc(parties->context, key.len);
		memcpy(entry->key.text, key.text, key.len);
		if (MemoryContextMemAllocated(parties->context, true) > get_hash_memory_limit())
		{
			MemoryContextReset(parties->context);
			parties->known = NULL;
			return PG_GETARG_DATUM(0);
		}
	}
	PG_RETURN_INT64(entry->line_id);
}
