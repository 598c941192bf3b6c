/*
 * weigh.h
 *		One bank line, the open items that it may pay, and the answers.
 *
 * match_stream.c fills these from the work tables of a run, cite.c finds
 * which items the text cites, weigh.c decides.  Amounts are minor units.
 */
#ifndef O2C_WEIGH_H
#define O2C_WEIGH_H

#include "cash/cash.h"

#include "datatype/timestamp.h"
#include "utils/date.h"

#define ANSWER_ITEMS	64
#define ANSWERS_MAX		3

/* How sure it is that the payer is the customer of an item. */
#define REL_FOREIGN		(-1)	/* the payer is known, and is somebody else */
#define REL_UNKNOWN		0		/* nobody knows the payer */
#define REL_NAME		1		/* the names are alike, or a group is likely */
#define REL_KNOWN		2		/* same name, one confirmation, or same group */
#define REL_ACCOUNT		3		/* own account, or trusted alias */

/* How an item is cited in the text, weakest first. */
typedef enum Cite
{
	CITE_NONE = 0,
	CITE_TAIL,					/* a short tail: three or four digits */
	CITE_TYPO,					/* one slip away */
	CITE_PART,					/* a tail of five digits, or its own counter */
	CITE_DERIVED,				/* completed from a prefix, inside a range, or by its order */
	CITE_EXACT,
	CITE_REFERENCE				/* structured reference */
} Cite;

/* A document number as texts are compared with it (cite.c). */
typedef struct NumberForms NumberForms;

typedef struct Candidate
{
	int64		item_id;
	int64		customer_id;
	char	   *number;
	char	   *alt_number;
	char	   *order_number;	/* of its order or delivery, when the text may name it */
	const NumberForms *forms;	/* of number and alt_number; NULL until they are needed */
	const NumberForms *alt_forms;
	char	   *customer_name;	/* NULL when nobody asked */
	int64		open;			/* what is left after this run's decisions */
	int64		amount;			/* of the document */
	int64		discount;		/* 0 = none */
	DateADT		discount_date;	/* 0 with discount 0 */
	DateADT		issued;
	DateADT		due;
	int64		reference_key;
	int64		tolerance;
	int64		charges;		/* bank charges that may be settled */
	int			rel;
	bool		group;			/* known by its group, not itself */
	bool		fee;
	/* found by cite.c */
	Cite		cite;
	int			token;			/* best token that cites it */
	int			first;			/* runs of that token, or -1 */
	int			last;
	int			pos;
	int			repeated;		/* position of a second citation, or -1 */
	int			spelled;		/* token with its letters as well as its digits, or -1 */
	bool		by_order;		/* cited by its order or delivery */
	double		similarity;
	bool		dropped;		/* somebody else's number: noise here */
	bool		changed;		/* has less open than in the round before */
} Candidate;

typedef struct Line
{
	int64		id;
	int64		amount;
	DateADT		date;
	char	   *text;
	char	   *reference;
	char	   *payer_name;
	int64		reference_key;
	int64		charges;
	int			minor;			/* decimals of the currency */
	int			payer;			/* best REL_ of any customer */
	bool		whole;			/* the open items of the payer are candidates */
	bool		windowed;		/* ... only those due near the booking date */
	bool		late;			/* what other lines clearly pay is gone */
	bool		asked;			/* out: another answer is possible when late */
	CashText   *tokens;
} Line;

typedef struct Answer
{
	bool		sure;			/* may be posted by itself */
	int			tier;			/* order of claims: lower first */
	bool		plain;			/* ... where it claims among the first: as good as the number */
	const char *rule;
	double		confidence;
	int64		customer_id;
	int			nitems;
	int64		item[ANSWER_ITEMS];
	int64		cash[ANSWER_ITEMS];
	int64		settle[ANSWER_ITEMS];	/* settled beyond the cash */
	int64		left[ANSWER_ITEMS];	/* open when it was weighed */
	const char *settle_kind;	/* discount, write_off, charge; "" = none */
	char	   *explanation;
} Answer;

/* Rules a company may switch and margins it may set. */
typedef struct WeighSettings
{
	double		max_chance;		/* of an equal sum by accident */
	int			max_size;		/* of unreferenced bundles */
	int			grace_days;		/* after the discount date */
	int64		budget;			/* nodes of a subset search */
} WeighSettings;

/* The line being weighed, with what all hypotheses need. */
typedef struct Weighing
{
	Line	   *line;
	Candidate  *cand;
	int			n;
	const WeighSettings *settings;
	Answer	   *answers;
	int			nanswers;
	int			cited[ANSWER_ITEMS];	/* exactly cited, open, not dropped */
	int			ncited;
	bool		citedmany;		/* more than fit */
	int64		sum;			/* of their open amounts */
	int			closed;			/* a cited item without open amount, or -1 */
} Weighing;

/* cite.c, weigh.c */
extern void CiteCandidates(Line *line, Candidate *cand, int n);
extern void CiteForms(Candidate *c);
extern int	CiteDigits(const NumberForms *f);
extern bool CiteBegins(const CashText *t, int run, const NumberForms *f);
extern bool CiteEnds(const CashRun *run, const NumberForms *f);
extern bool CiteEndsAlike(const CashRun *run, const NumberForms *f);
extern bool CiteOverlap(const Candidate *a, const Candidate *b);
extern int	CiteResembles(const CashText *t, int run, const NumberForms *f);
extern int	WeighLine(Line *line, Candidate *cand, int n,
					  const WeighSettings *settings, Answer *answers);

/* weigh_help.c, weigh_cited.c, weigh_excess.c */
extern const char *WeighMoney(const Line *line, int64 amount);
extern Answer *WeighNewAnswer(Weighing *w, const char *rule, int tier, double confidence, bool sure);
extern void WeighAddItem(Answer *a, const Candidate *c, int64 cash, int64 settle);
extern void WeighDropRepeated(Weighing *w);
extern void WeighExplain(Weighing *w, Answer *a, const Candidate *c, const char *equation);
extern bool WeighOwn(const Candidate *c);
extern bool WeighPayable(const Weighing *w, const Candidate *c);
extern bool WeighInDiscount(const Weighing *w, const Candidate *c);
extern bool WeighStated(const Line *line, int64 amount, int *pos);
extern bool WeighCitesMore(const Weighing *w);
extern int WeighEqualRival(const Weighing *w);
extern int WeighTwin(const Weighing *w, const Candidate *c);
extern void WeighAddAllCited(Weighing *w, Answer *a);
extern const char *WeighEquation(const Weighing *w, const char *what, int64 other);
extern int WeighOthers(const Weighing *w, int *who, int64 *amount, int max, bool credits);
extern bool WeighWindow(const Weighing *w, const int64 *amount, int n, int64 target, CashSubset *window);
extern bool WeighTrusted(const Weighing *w, const CashSubset *window);
extern bool WeighHasTwin(const int64 *amount, int n, const int *members, int size);
extern void WeighEarliestTwins(const int64 *amount, int n, int *members, int size);
extern int WeighCompareNumbers(const Candidate *a, const Candidate *b);
extern bool WeighCited(Weighing *w);
extern bool WeighExcess(Weighing *w);

/* weigh_words.c */
extern bool WeighUnfinished(const Line *line);
extern bool WeighOtherPurpose(const Line *line);
extern bool WeighPlural(const Line *line);
extern bool WeighCreditWords(const Line *line);
extern int WeighStatedMore(const Line *line);

/* weigh_strange.c */
extern int WeighCalled(const CashText *t, int start);
extern bool WeighCalledOther(const Weighing *w, const Candidate *c);
extern const char *WeighStrange(const Weighing *w, const Candidate *meant, bool cut);
extern const char *WeighOthersNumber(const Weighing *w);
extern bool WeighEndsInPiece(const Weighing *w);

#endif							/* O2C_WEIGH_H */
