/*
 * posting.h
 *		Changes of open items on their way to the tables.
 *
 * A statement's entries or allocations are collected as one ItemChange for
 * each item, the items are locked and updated in the order of their ids, and
 * what they are worth is carried to their invoices.
 */
#ifndef O2C_POSTING_H
#define O2C_POSTING_H

#include "o2c.h"

#include "utils/date.h"
#include "utils/numeric.h"

#include "row_reader.h"
#include "table_writer.h"

/* What the number of a payment's item begins with; its id follows. */
#define PAYMENT_NUMBER "PAY-"

/* No customer, no invoice. */
#define NO_ID	PG_INT64_MIN

/* What is known of an item, from its row or from what refers to it. */
typedef struct ItemFacts
{
	int64		customer_id;	/* or NO_ID */
	DateADT		due_date;
	DateADT		date;			/* document date; of entries the first effective date */
	char		currency[3];
	bool		credit;
} ItemFacts;

typedef struct ItemChange
{
	int32		company_id;
	int64		item_id;
	Numeric		amount;			/* to be added to open_amount */
	bool		written_off;	/* by nothing but write-offs */
	bool		credited;		/* by nothing but credits */
	bool		settled;		/* nothing is open on the item any more */
	bool		conflict;		/* what is claimed contradicts itself */
	ItemFacts	claimed;		/* by what refers to the item */
	ItemFacts	item;			/* as it was locked */
	Oid			kind;			/* of the item */
	int64		invoice_id;		/* or NO_ID */
	Numeric		receipt;		/* to be posted first, for the item has no entry yet; or NULL */
	bool		born;			/* posted by this change */
} ItemChange;

typedef struct ItemChanges
{
	MemoryContext context;
	ItemChange *list;
	int64		n;
	bool		claims;			/* all of "claimed" counts, else side and currency */
} ItemChanges;

/* What writes o2c.open_balance. */
typedef struct Balances Balances;

extern void ItemChangesBegin(ItemChanges *changes, int64 capacity, bool claims);
extern ItemChange *ItemChangesAdd(ItemChanges *changes, int32 company_id, int64 item_id, Datum amount);
extern void ItemChangesMerge(ItemChanges *changes);
extern void ItemChangesEnd(ItemChanges *changes);
extern const ItemChange *UpdateItems(TableWriter *items, Balances *balances, ItemChanges *changes);
extern void CarryToInvoices(Relation sibling, ItemChanges *changes);
extern void CarryToPayments(Relation sibling, const ItemChanges *changes);
extern bool ItemHasPayment(int32 company_id, int64 item_id);
extern bool IsPaymentNumber(Datum number);

/* What is open on an item; see balances.c. */
typedef struct Balance
{
	int32		company_id;
	int64		item_id;
	int64		customer_id;	/* or NO_ID */
	DateADT		due_date;
	DateADT		document_date;
	Datum		currency;
	Datum		open_amount;
} Balance;

extern Balances *BalancesBegin(Relation sibling);
extern void BalancesAdd(Balances *balances, const Balance *balance);
extern void BalancesSet(Balances *balances, const Balance *balance, bool settled);
extern void BalancesEnd(Balances *balances);

/* Columns of the entries that posting writes. */
enum
{
	ENTRY_COMPANY, ENTRY_ITEM, ENTRY_CUSTOMER, ENTRY_CURRENCY, ENTRY_DUE, ENTRY_KIND, ENTRY_AMOUNT,
	ENTRY_RAISES, ENTRY_EFFECTIVE, ENTRY_RECORDED, ENTRY_ALLOCATION, ENTRY_COLUMNS
};

/* Days, all of one company, that are in no closed period. */
typedef struct OpenDays
{
	bool		known;
	int32		company_id;
	DateADT		from;
	DateADT		to;
} OpenDays;

extern void RefuseClosedPeriod(OpenDays *open, int32 company_id, DateADT day);

/* What writes entries of items that have them in open_amount already. */
typedef struct EntryWriter
{
	TableWriter *rows;
	Oid			kind_type;		/* of the ledger's column */
	bool		periods;		/* closed ones are looked at here */
	OpenDays	open;
} EntryWriter;

extern void EntriesBegin(EntryWriter *entries, Relation sibling);
extern void EntriesInsert(EntryWriter *entries, const Datum *values, const bool *nulls);
extern void EntriesEnd(EntryWriter *entries);
extern bool MayDecide(Relation rel);

/* What is particular to a trigger that posts; see PostChanges. */
typedef struct PostingSteps
{
	void		(*refuse) (const ItemChange *unfit);
	void		(*write) (TriggerData *trigdata, ItemChanges *changes); /* or NULL */
} PostingSteps;

extern const char *FirstEntryKind(Oid item_kind);
extern void PostChanges(TriggerData *trigdata, ItemChanges *changes, const PostingSteps *steps);

extern int	ColumnOf(TriggerData *trigdata, const char *name);
extern TableWriter *BeginItemUpdate(Relation sibling);
extern Oid	EnumValue(Oid type, const char *label);
extern void ReadCurrency(char *code, Datum value);

#endif							/* O2C_POSTING_H */
