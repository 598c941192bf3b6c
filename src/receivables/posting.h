/*
 * posting.h
 *		Changes of open items on their way to the tables.
 *
 * What a statement's entries or allocations say of items is sorted by item;
 * the items are locked and updated in the order of their ids, one ItemChange
 * each, and what they are worth is carried to their invoices, accounts and
 * payments.  All of these are lists that go to disk beyond their share of
 * work_mem (records.c).
 */
#ifndef O2C_POSTING_H
#define O2C_POSTING_H

#include "o2c.h"

#include "utils/date.h"
#include "utils/numeric.h"

#include "records.h"
#include "row_reader.h"
#include "table_writer.h"

/* What the number of a payment's item begins with; its id follows. */
#define PAYMENT_NUMBER "PAY-"

/* No customer, no invoice. */
#define NO_ID	PG_INT64_MIN

/*
 * A numeric within a record: room for 32 digits.  CHECKs allow an amount 18 of
 * them, so that a sum is refused by them long before it has more.
 */
typedef struct Amount
{
	int64		numeric[3];
} Amount;

static inline void
AmountSet(Amount *amount, Numeric value)
{
	if (VARSIZE(value) > sizeof(amount->numeric))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("an amount has too many digits to be posted")));
	memcpy(amount->numeric, value, VARSIZE(value));
}

/* The numeric; valid as long as the record. */
static inline Numeric
AmountGet(const Amount *amount)
{
	return (Numeric) amount->numeric;
}

/* What an entry or an allocation of the statement says of an item. */
typedef struct ItemPart
{
	int64		item_id;
	int64		row;			/* in the statement, from 0 */
	int32		company_id;
	DateADT		effective;
	Oid			kind;			/* of the ledger's entries */
	char		currency[3];
	bool		credit;			/* of an allocation: the item is what pays */
	union
	{
		struct
		{
			int64		customer_id;	/* or NO_ID */
			DateADT		due_date;
		}			entry;
		struct
		{
			int64		id;
			TimestampTz recorded;
		}			allocation;
	}			of;
	Amount		amount;			/* to be added to open_amount */
} ItemPart;

/* What is known of an item, from its row or from what refers to it. */
typedef struct ItemFacts
{
	int64		customer_id;	/* or NO_ID */
	DateADT		due_date;
	DateADT		date;			/* document date; of entries the first effective date */
	char		currency[3];
	bool		credit;
} ItemFacts;

/* An item that was locked and changed. */
typedef struct ItemChange
{
	int64		item_id;
	int64		invoice_id;		/* or NO_ID */
	ItemFacts	item;
	int32		company_id;
	Oid			kind;			/* of the item */
	bool		written_off;	/* by nothing but write-offs */
	bool		credited;		/* by nothing but credits */
	bool		settled;		/* nothing is open on the item any more */
	bool		born;			/* its receipt is posted by this change, for it has no entry yet */
	Amount		amount;			/* what was added to open_amount, with the receipt */
	Amount		receipt;		/* when it is born */
} ItemChange;

/* An item that cannot be changed as it should, and why. */
typedef struct UnfitItem
{
	ItemChange	change;			/* kind is InvalidOid when there is no such item */
	ItemFacts	claimed;		/* by what refers to the item */
	bool		conflict;		/* what is claimed contradicts itself */
} UnfitItem;

typedef struct ItemChanges
{
	MemoryContext context;
	Records    *parts;			/* ItemPart, in the order of items */
	Records    *done;			/* ItemChange, in the order of items */
	Records    *invoices;		/* what is to be carried to invoices, in their order */
	Oid			write_off;		/* kinds of entries */
	Oid			credit;
	bool		claims;			/* parts are entries, and all they claim of the item counts; else side and currency */
} ItemChanges;

/* What writes o2c.open_balance. */
typedef struct Balances Balances;

extern void ItemChangesBegin(ItemChanges *changes, Oid kind_type, bool claims);
extern ItemPart *ItemChangesAdd(ItemChanges *changes, int32 company_id, int64 item_id);
extern void ItemChangesEnd(ItemChanges *changes);
extern const UnfitItem *UpdateItems(TableWriter *items, Balances *balances, ItemChanges *changes);
extern void NoteInvoice(ItemChanges *changes, const ItemChange *change);
extern TableWriter *CarryToInvoices(Relation sibling, ItemChanges *changes);
extern void CarryToPayments(Relation sibling, ItemChanges *changes);
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
	void		(*refuse) (const UnfitItem *unfit);
	void		(*write) (TriggerData *trigdata, ItemChanges *changes); /* or NULL */
} PostingSteps;

extern const char *FirstEntryKind(Oid item_kind);
extern void PostChanges(TriggerData *trigdata, ItemChanges *changes, const PostingSteps *steps);

extern int	ColumnOf(TriggerData *trigdata, const char *name);
extern Oid	TypeOfColumn(TriggerData *trigdata, const char *name);
extern TableWriter *BeginItemUpdate(Relation sibling);
extern Oid	EnumValue(Oid type, const char *label);
extern void ReadCurrency(char *code, Datum value);

#endif							/* O2C_POSTING_H */
