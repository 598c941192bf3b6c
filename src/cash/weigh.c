/*
 * weigh.c
 *		What does this bank line pay?  Hypotheses, their equations, rivals.
 *
 * The payer's own designation comes first, then the exact amount, then what
 * clears the account.  An answer is sure only when its equation holds to the
 * cent (or is a partial payment that the payer designated) and nothing else
 * explains the line as well.  A line that is not sure gets up to three
 * answers in the order in which a person should look at them.
 */
#include "cash/weigh.h"

#include "lib/stringinfo.h"

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

/* "1234.50" of minor units. */
static const char *
Money(const Line *line, int64 amount)
{
	int64		unit = 1;

	for (int i = 0; i < line->minor; i++)
		unit *= 10;
	if (unit == 1)
		return psprintf(INT64_FORMAT, amount);
	return psprintf("%s" INT64_FORMAT ".%0*d", amount < 0 ? "-" : "",
					(amount < 0 ? -amount : amount) / unit, line->minor,
					(int) ((amount < 0 ? -amount : amount) % unit));
}

static const char *
RelWords(const Candidate *c)
{
	if (c->group)
		return "the payer belongs to the customer's group";
	switch (c->rel)
	{
		case REL_ACCOUNT:
			return "the payer's account is the customer's";
		case REL_KNOWN:
			return "the payer's name is the customer's";
		case REL_NAME:
			return "the payer's name is like the customer's";
		case REL_FOREIGN:
			return "the payer is known as another customer";
		default:
			return "the payer is not known";
	}
}

static const char *
CiteWords(const Candidate *c)
{
	switch (c->cite)
	{
		case CITE_REFERENCE:
			return "structured reference";
		case CITE_EXACT:
			return "number in the text";
		case CITE_DERIVED:
			return "number completed from the list or range in the text";
		case CITE_PART:
		case CITE_TAIL:
			return "end of the number in the text";
		case CITE_TYPO:
			return "number in the text with one slip";
		default:
			return "no number in the text";
	}
}

/* Begin an answer; NULL when there are enough. */
static Answer *
NewAnswer(Weighing *w, const char *rule, int tier, double confidence, bool sure)
{
	Answer	   *a;

	if (w->nanswers >= ANSWERS_MAX)
		return NULL;
	a = &w->answers[w->nanswers++];
	memset(a, 0, sizeof(Answer));
	a->rule = rule;
	a->tier = tier;
	a->confidence = confidence;
	a->sure = sure;
	a->settle_kind = "";
	return a;
}

static void
AddItem(Answer *a, const Candidate *c, int64 cash, int64 settle)
{
	if (a == NULL || a->nitems >= ANSWER_ITEMS || (cash == 0 && settle == 0))
		return;
	a->item[a->nitems] = c->item_id;
	a->cash[a->nitems] = cash;
	a->settle[a->nitems] = settle;
	if (a->nitems++ == 0 || c->open > 0)
		a->customer_id = c->customer_id;
}

/* The sentence that explains an answer. */
static void
Explain(Weighing *w, Answer *a, const Candidate *c, const char *equation)
{
	if (a == NULL)
		return;
	if (a->nitems > 1)
		a->explanation = psprintf("%d items; first %s: %s; %s; %s", a->nitems, c->number,
								  CiteWords(c), equation, RelWords(c));
	else
		a->explanation = psprintf("%s: %s; %s; %s", c->number, CiteWords(c), equation, RelWords(c));
}

static bool
Own(const Candidate *c)
{
	return c->rel >= REL_NAME && !c->dropped;
}

/* May an uncited item be meant: open, a debit, and already issued? */
static bool
Payable(const Weighing *w, const Candidate *c)
{
	return c->open > 0 && c->issued <= w->line->date && !c->dropped;
}

static bool
InDiscount(const Weighing *w, const Candidate *c)
{
	return c->discount > 0 && w->line->date <= c->discount_date + w->settings->grace_days;
}

/* Is the text marked as leaving out items, or cut by the bank? */
static bool
Unfinished(const Line *line)
{
	static const char *const marks[] = {
		" U.A", " ETC", " U.W", " USW", "...", " AND OTHERS", " E.A", " E.O", " DIV", " WEITERE", " MORE", " OTHERS", " ALTRI", " AUTRES", " OTROS"
	};
	const char *s = line->tokens->folded;
	int			len = line->tokens->len;

	if (line->tokens->cut)
		return true;
	for (int i = 0; i < lengthof(marks); i++)
		if (strstr(s, marks[i]) != NULL)
			return true;
	/* "+3" at the end */
	for (int i = len - 1; i > 0 && i > len - 4; i--)
		if (s[i] == '+')
			return true;
	return false;
}

/* Words that say: on account, in advance. */
static bool
OnAccountWords(const Line *line)
{
	static const char *const words[] = {
		"AKONTO", "A CONTO", "ACONTO", "ON ACCOUNT", "ABSCHLAG", "ANZAHLUNG", "VORAUSZAHLUNG", "PREPAY", "ADVANCE",
		"PROFORMA", "PRO FORMA", "DEPOSIT", "ACOMPTE", "ACCONTO", "ANTICIPO", "VOORSCHOT", "VORKASSE", "DOWN PAYMENT"
	};

	for (int i = 0; i < lengthof(words); i++)
		if (strstr(line->tokens->folded, words[i]) != NULL)
			return true;
	return false;
}

/* Words that say: a credit note is deducted. */
static bool
CreditWords(const Line *line)
{
	static const char *const words[] = {
		"GUTSCHRIFT", "CREDIT NOTE", "CREDITNOTE", "CREDIT MEMO", "AVOIR", "CREDITNOTA", "NOTA CREDITO", "NOTA DI CREDITO",
		"NOTA DE CREDITO", "LESS CREDIT", "CRN", "HYVITYS"
	};
	const char *s = line->tokens->folded;
	int			len = line->tokens->len;

	for (int i = 0; i < lengthof(words); i++)
		if (strstr(s, words[i]) != NULL)
			return true;
	/* CN, GS, NC as words of their own */
	for (int i = 0; i + 1 < len; i++)
	{
		bool		start = i == 0 || !((s[i - 1] >= 'A' && s[i - 1] <= 'Z') || (s[i - 1] >= '0' && s[i - 1] <= '9'));
		bool		end = i + 2 >= len || !(s[i + 2] >= 'A' && s[i + 2] <= 'Z');

		if (start && end && (strncmp(s + i, "CN", 2) == 0 || strncmp(s + i, "GS", 2) == 0 ||
							 strncmp(s + i, "NC", 2) == 0))
			return true;
	}
	return false;
}

/* Does an amount that the text states equal this? */
static bool
Stated(const Line *line, int64 amount, int *pos)
{
	for (int i = 0; i < line->tokens->ntokens; i++)
	{
		const CashToken *t = &line->tokens->tokens[i];
		int64		value = 0;

		if (t->kind != CASH_AMOUNT)
			continue;
		for (int k = 0; k < t->len; k++)
			if (t->value[k] >= '0' && t->value[k] <= '9')
				value = value * 10 + (t->value[k] - '0');
		for (int k = 2; k < line->minor; k++)
			value *= 10;
		if (value == amount)
		{
			if (pos)
				*pos = t->pos;
			return true;
		}
	}
	return false;
}

/* Another own item that this line pays to the cent, not among the cited. */
static int
EqualRival(const Weighing *w)
{
	for (int i = 0; i < w->n; i++)
	{
		const Candidate *c = &w->cand[i];
		bool		cited = false;

		if (!Own(c) || !Payable(w, c))
			continue;
		if (c->open != w->line->amount &&
			!(InDiscount(w, c) && c->open - c->discount == w->line->amount))
			continue;
		for (int k = 0; k < w->ncited; k++)
			cited |= w->cited[k] == i;
		if (!cited)
			return i;
	}
	return -1;
}

/* All cited items with their whole open amounts. */
static void
AddAllCited(Weighing *w, Answer *a)
{
	for (int i = 0; i < w->ncited; i++)
		AddItem(a, &w->cand[w->cited[i]], w->cand[w->cited[i]].open, 0);
}

static const char *
Equation(const Weighing *w, const char *what, int64 other)
{
	return psprintf("%s %s %s", Money(w->line, w->line->amount), what, Money(w->line, other));
}

/* The cited items add up to the payment. */
static bool
CitedExact(Weighing *w)
{
	const Candidate *first = &w->cand[w->cited[0]];
	bool		negative = false;
	bool		foreign = false;
	Answer	   *a;

	if (w->citedmany || w->sum != w->line->amount)
		return false;
	for (int i = 0; i < w->ncited; i++)
	{
		negative |= w->cand[w->cited[i]].open < 0;
		foreign |= w->cand[w->cited[i]].rel == REL_FOREIGN &&
			w->cand[w->cited[i]].cite != CITE_REFERENCE;
	}
	a = NewAnswer(w, w->ncited > 1 ? (negative ? "net" : "numbers") :
				  first->cite == CITE_REFERENCE ? "reference" : "number",
				  1, foreign ? 0.9 : 0.9999, !foreign);
	AddAllCited(w, a);
	Explain(w, a, first, Equation(w, "equals the open amount", w->sum));
	return true;
}

/*
 * Cited items and weaker citations together make the payment, in exactly one
 * way: first numbers completed from lists and ranges, then tails, then slips.
 */
static bool
CitedWithDerived(Weighing *w)
{
	static const Cite levels[] = {CITE_DERIVED, CITE_PART, CITE_TAIL};

	for (int level = 0; level < lengthof(levels); level++)
	{
		int			extra[ANSWER_ITEMS];
		int64		amount[ANSWER_ITEMS];
		int			nextra = 0;
		int64		sum = 0;
		CashSubset	subset;
		Answer	   *a;
		bool		all;
		const Candidate *first;

		for (int i = 0; i < w->n && nextra < ANSWER_ITEMS; i++)
		{
			const Candidate *c = &w->cand[i];
			bool		own = Own(c);
			bool		covered = false;

			if (c->dropped || c->open == 0 || c->cite < levels[level] || c->cite >= CITE_EXACT)
				continue;
			/* without a known payer only the customer of a cited item */
			for (int k = 0; k < w->ncited; k++)
			{
				const Candidate *cited = &w->cand[w->cited[k]];

				own |= cited->customer_id == c->customer_id;
				covered |= c->cite < CITE_DERIVED && cited->first >= 0 && c->first >= 0 &&
					c->first <= cited->last && cited->first <= c->last;
			}
			if (covered || (!own && !(w->line->payer <= REL_UNKNOWN && c->cite == CITE_DERIVED)))
				continue;
			extra[nextra] = i;
			amount[nextra++] = c->open;
			sum += c->open;
		}
		if (nextra == 0 || w->ncited + nextra < 2 || w->citedmany)
			continue;
		all = w->sum + sum == w->line->amount;
		if (!all)
		{
			CashSubsetSearch(amount, nextra, w->line->amount - w->sum,
							 levels[level] < CITE_PART ? Min(nextra, 4) : Min(nextra, 12),
							 w->settings->budget, &subset);
			if (subset.solutions != 1 || !subset.complete ||
				(w->ncited == 0 && subset.size < 2))
				continue;
		}
		first = w->ncited > 0 ? &w->cand[w->cited[0]] : &w->cand[extra[all ? 0 : subset.members[0]]];
		a = NewAnswer(w, "list", 1, 0.9995, true);
		AddAllCited(w, a);
		for (int i = 0; i < (all ? nextra : subset.size); i++)
			AddItem(a, &w->cand[extra[all ? i : subset.members[i]]],
					w->cand[extra[all ? i : subset.members[i]]].open, 0);
		Explain(w, a, first, Equation(w, "equals the open amounts", w->line->amount));
		return true;
	}
	return false;
}

/* Cash discounts of the cited items explain the difference. */
static bool
CitedDiscount(Weighing *w)
{
	int64		diff = w->sum - w->line->amount;
	int64		amount[ANSWER_ITEMS];
	int			who[ANSWER_ITEMS];
	int			n = 0;
	int64		all = 0;
	bool		taken[ANSWER_ITEMS];
	bool		late = false;
	bool		foreign = false;
	int			slack = 0;
	Answer	   *a;

	if (diff <= 0 || w->citedmany)
		return false;
	memset(taken, 0, sizeof(taken));
	for (int i = 0; i < w->ncited; i++)
	{
		const Candidate *c = &w->cand[w->cited[i]];

		foreign |= c->rel == REL_FOREIGN && c->cite != CITE_REFERENCE;
		if (c->discount <= 0 || c->open <= c->discount)
			continue;
		amount[n] = c->discount;
		who[n++] = i;
		all += c->discount;
	}
	if (n == 0)
		return false;
	if (llabs(all - diff) <= 1)
	{
		slack = (int) (diff - all);
		for (int i = 0; i < n; i++)
			taken[who[i]] = true;
	}
	else
	{
		CashSubset	subset;

		CashSubsetSearch(amount, n, diff, n, w->settings->budget, &subset);
		if (subset.solutions != 1 || !subset.complete)
			return false;
		for (int i = 0; i < subset.size; i++)
			taken[who[subset.members[i]]] = true;
	}
	for (int i = 0; i < w->ncited; i++)
		late |= taken[i] && !InDiscount(w, &w->cand[w->cited[i]]);

	a = NewAnswer(w, late ? "discount_late" : "discount", 2, foreign ? 0.8 : 0.999, !foreign);
	if (a == NULL)
		return true;
	a->settle_kind = late ? "" : "discount";
	for (int i = 0; i < w->ncited; i++)
	{
		const Candidate *c = &w->cand[w->cited[i]];
		int64		less = taken[i] ? c->discount + slack : 0;

		if (taken[i])
			slack = 0;
		AddItem(a, c, c->open - less, late ? 0 : less);
	}
	Explain(w, a, &w->cand[w->cited[0]],
			psprintf("%s is the open amount %s less the cash discount%s", Money(w->line, w->line->amount),
					 Money(w->line, w->sum), late ? ", taken too late" : ""));
	return true;
}

/* A difference within the tolerance, or bank charges. */
static bool
CitedSmallDifference(Weighing *w)
{
	int64		diff = w->sum - w->line->amount;
	int			big = 0;
	bool		foreign = false;
	bool		part = false;
	int64		tolerance = PG_INT64_MAX;
	int64		charges = PG_INT64_MAX;
	bool		stated;
	Answer	   *a;

	for (int i = 0; i < w->ncited; i++)
	{
		const Candidate *c = &w->cand[w->cited[i]];

		if (c->open > w->cand[w->cited[big]].open)
			big = i;
		foreign |= c->rel == REL_FOREIGN && c->cite != CITE_REFERENCE;
		part |= c->cite < CITE_EXACT;
		tolerance = Min(tolerance, c->tolerance);
		charges = Min(charges, c->charges);
	}
	if (w->citedmany || w->cand[w->cited[big]].open <= 0)
		return false;
	stated = diff > 0 && (Stated(w->line, diff, NULL) || w->line->charges == diff);
	if (llabs(diff) <= tolerance && !stated)
	{
		a = NewAnswer(w, "tolerance", 2, foreign ? 0.8 : 0.999, !foreign);
		if (a == NULL)
			return true;
		a->settle_kind = diff > 0 ? "write_off" : "";
		for (int i = 0; i < w->ncited; i++)
		{
			const Candidate *c = &w->cand[w->cited[i]];
			int64		less = i == big && diff > 0 ? Min(diff, c->open) : 0;

			AddItem(a, c, c->open - less, less);
		}
		Explain(w, a, &w->cand[w->cited[big]],
				psprintf("%s differs from the open amount %s within the tolerance",
						 Money(w->line, w->line->amount), Money(w->line, w->sum)));
		return true;
	}
	if (diff > 0 && diff <= charges && w->ncited == 1 && diff < w->sum &&
		(w->line->charges == diff || (stated && strstr(w->line->tokens->folded, "CH") != NULL)))
	{
		const Candidate *c = &w->cand[w->cited[0]];

		a = NewAnswer(w, "charges", 2, foreign || (part && !Own(c)) ? 0.8 : 0.998, !foreign && (!part || Own(c)));
		if (a == NULL)
			return true;
		a->settle_kind = "charge";
		AddItem(a, c, w->line->amount, diff);
		Explain(w, a, c, psprintf("%s is the open amount %s less bank charges of %s", Money(w->line, w->line->amount),
								  Money(w->line, w->sum), Money(w->line, diff)));
		return true;
	}
	return false;
}

/* A credit note that the payer deducted without naming it. */
static bool
CitedUnlistedCredit(Weighing *w)
{
	int64		diff = w->sum - w->line->amount;
	int			found = -1;
	Answer	   *a;

	if (diff <= 0 || w->citedmany)
		return false;
	for (int i = 0; i < w->n; i++)
	{
		const Candidate *c = &w->cand[i];

		if (c->open != -diff || c->issued > w->line->date || c->cite >= CITE_EXACT ||
			c->customer_id != w->cand[w->cited[0]].customer_id)
			continue;
		if (found >= 0)
			return false;
		found = i;
	}
	if (found < 0)
		return false;
	a = NewAnswer(w, "net", 4, 0.995, w->cand[w->cited[0]].rel != REL_FOREIGN);
	AddAllCited(w, a);
	AddItem(a, &w->cand[found], w->cand[found].open, 0);
	Explain(w, a, &w->cand[w->cited[0]],
			psprintf("%s is the open amount %s less credit note %s", Money(w->line, w->line->amount),
					 Money(w->line, w->sum), w->cand[found].number));
	return true;
}

/* The text gives an amount to each number, or says which one is short. */
static bool
CitedStated(Weighing *w)
{
	const CashText *t = w->line->tokens;
	int64		diff = w->sum - w->line->amount;
	int			pos;
	int			who = -1;
	Answer	   *a;

	if (w->ncited < 2 || diff <= 0 || w->citedmany || !Stated(w->line, diff, &pos))
		return false;
	/* the number repeated, or cited first, behind the amount */
	for (int i = 0; i < w->ncited; i++)
	{
		const Candidate *c = &w->cand[w->cited[i]];

		if (c->repeated > pos && c->repeated - pos < 40)
		{
			if (who >= 0)
				return false;
			who = i;
		}
	}
	if (who < 0 || w->cand[w->cited[who]].open <= diff || t->ntokens == 0)
		return false;
	a = NewAnswer(w, "short_stated", 4, 0.998, w->cand[w->cited[who]].rel != REL_FOREIGN);
	for (int i = 0; i < w->ncited; i++)
		AddItem(a, &w->cand[w->cited[i]],
				w->cand[w->cited[i]].open - (i == who ? diff : 0), 0);
	Explain(w, a, &w->cand[w->cited[who]],
			psprintf("%s is the open amount %s less %s stated for this number", Money(w->line, w->line->amount),
					 Money(w->line, w->sum), Money(w->line, diff)));
	return true;
}

/* Own items besides the cited ones, for searches: nearest due dates first. */
static int
Others(const Weighing *w, int *who, int64 *amount, int max, bool credits)
{
	int			n = 0;

	for (int i = 0; i < w->n && n < max; i++)
	{
		const Candidate *c = &w->cand[i];
		bool		cited = false;
		bool		own = c->rel >= REL_KNOWN && !c->group;
		int			k;

		for (k = 0; k < w->ncited; k++)
		{
			cited |= w->cited[k] == i;
			own |= w->cand[w->cited[k]].customer_id == c->customer_id;
		}
		if (cited || !own || c->dropped || c->issued > w->line->date ||
			c->open == 0 || (c->open < 0 && !credits))
			continue;
		/* in the order in which they fall due */
		for (k = n; k > 0; k--)
		{
			const Candidate *o = &w->cand[who[k - 1]];

			if (o->due < c->due || (o->due == c->due && strcmp(o->number, c->number) <= 0))
				break;
			who[k] = who[k - 1];
			amount[k] = amount[k - 1];
		}
		who[k] = i;
		amount[k] = c->open;
		n++;
	}
	return n;
}

/* Does another item have the amount of a member?  Then they may be exchanged. */
static bool
HasTwin(const int64 *amount, int n, const int *members, int size)
{
	for (int m = 0; m < size; m++)
		for (int i = 0; i < n; i++)
		{
			bool		member = false;

			for (int k = 0; k < size; k++)
				member |= members[k] == i;
			if (!member && amount[i] == amount[members[m]])
				return true;
		}
	return false;
}

/* Of items with equal amounts take those that fall due first. */
static void
EarliestTwins(const int64 *amount, int n, int *members, int size)
{
	for (int m = 0; m < size; m++)
		for (int i = 0; i < members[m]; i++)
		{
			bool		member = false;

			for (int k = 0; k < size; k++)
				member |= members[k] == i;
			if (!member && amount[i] == amount[members[m]])
			{
				members[m] = i;
				break;
			}
		}
}

/* "+3" at the end of the text: how many more there are; 0 = not said. */
static int
StatedMore(const Line *line)
{
	const char *s = line->tokens->folded;
	int			i = line->tokens->len - 1;
	int			n = 0;
	int			unit = 1;

	while (i >= 0 && s[i] == ' ')
		i--;
	for (; i >= 0 && s[i] >= '0' && s[i] <= '9' && unit <= 100; i--, unit *= 10)
		n += (s[i] - '0') * unit;
	return i >= 0 && s[i] == '+' && n > 0 && n < 60 ? n : 0;
}

/* Order of document numbers: shorter first, then as text. */
static int
CompareNumbers(const Candidate *a, const Candidate *b)
{
	size_t		alen = strlen(a->number);
	size_t		blen = strlen(b->number);

	return alen != blen ? (alen < blen ? -1 : 1) : strcmp(a->number, b->number);
}

/* The rest of a list in ascending order that was cut: the numbers behind its last. */
static bool
CitedContinued(Weighing *w, const int *others, int nothers, int64 excess)
{
	const Candidate *last = &w->cand[w->cited[0]];
	int			who[128];
	int64		amount[128];
	int			n = 0;
	int			more = StatedMore(w->line);
	CashSubset	subset;
	Answer	   *a;

	for (int i = 1; i < w->ncited; i++)
	{
		const Candidate *c = &w->cand[w->cited[i]];

		if (CompareNumbers(c, last) > 0)
			last = c;
	}
	for (int i = 0; i < w->ncited; i++)
		for (int k = 0; k < w->ncited; k++)
			if (CompareNumbers(&w->cand[w->cited[i]], &w->cand[w->cited[k]]) < 0 &&
				w->cand[w->cited[i]].pos > w->cand[w->cited[k]].pos)
				return false;
	for (int i = 0; i < nothers && n < lengthof(who); i++)
	{
		const Candidate *c = &w->cand[others[i]];
		int			k;

		if (c->customer_id != last->customer_id || CompareNumbers(c, last) <= 0)
			continue;
		for (k = n; k > 0 && CompareNumbers(&w->cand[who[k - 1]], c) > 0; k--)
		{
			who[k] = who[k - 1];
			amount[k] = amount[k - 1];
		}
		who[k] = others[i];
		amount[k] = c->open;
		n++;
	}
	CashPrefixSearch(amount, n, excess, more, w->settings->max_chance / 2, &subset);
	if (subset.solutions != 1 || !subset.complete)
		return false;
	a = NewAnswer(w, "list_completed", 7, 1 - subset.chance / 4,
				  Unfinished(w->line) && !HasTwin(amount, n, subset.members, subset.size));
	AddAllCited(w, a);
	for (int i = 0; i < subset.size; i++)
		AddItem(a, &w->cand[who[subset.members[i]]], amount[subset.members[i]], 0);
	Explain(w, a, last, psprintf("%s is left besides the cited items and equals %d more that follow them",
								 Money(w->line, excess), subset.size));
	return a != NULL && a->sure;
}

/* More than the cited items: unnamed further items, or an overpayment. */
static bool
CitedLess(Weighing *w)
{
	int64		excess = w->line->amount - w->sum;
	int			who[256];
	int64		amount[256];
	int64		sorted = 0;
	int			n;
	CashSubset	subset;
	bool		own = true;
	bool		unfinished = Unfinished(w->line);
	Answer	   *a;

	if (excess <= 0 || w->citedmany)
		return false;
	for (int i = 0; i < w->ncited; i++)
		own &= Own(&w->cand[w->cited[i]]) && w->cand[w->cited[i]].cite >= CITE_PART;
	if (!w->line->late)
		return true;			/* ask again when what others clearly pay is gone */

	n = Others(w, who, amount, 256, false);
	if (own && CitedContinued(w, who, n, excess))
		return true;
	CashSubsetSearch(amount, n, excess, w->settings->max_size, w->settings->budget, &subset);
	if (own &&
		!(subset.solutions == 1 && subset.complete && subset.chance <= w->settings->max_chance && !w->line->windowed))
	{
		CashSubset	window;

		CashWindowSearch(amount, n, excess, 14, w->settings->max_chance / 2, &window);
		if (window.solutions == 1 && window.complete)
		{
			a = NewAnswer(w, "list_completed", 7, 1 - window.chance / 4,
						  unfinished && !HasTwin(amount, n, window.members, window.size));
			AddAllCited(w, a);
			for (int i = 0; i < window.size; i++)
				AddItem(a, &w->cand[who[window.members[i]]], amount[window.members[i]], 0);
			Explain(w, a, &w->cand[w->cited[0]],
					psprintf("%s is left besides the cited items and equals %d more that fall due together",
							 Money(w->line, excess), window.size));
			if (a != NULL && a->sure)
				return true;
		}
	}
	if (subset.solutions >= 1 && subset.chance <= 1)
	{
		a = NewAnswer(w, "list_completed", 7, 0.9,
					  own && subset.solutions == 1 && subset.complete && !w->line->windowed &&
					  subset.chance <= w->settings->max_chance);
		AddAllCited(w, a);
		for (int i = 0; i < subset.size; i++)
			AddItem(a, &w->cand[who[subset.members[i]]], amount[subset.members[i]], 0);
		if (a != NULL && a->sure)
			a->confidence = 1 - subset.chance / 4;
		Explain(w, a, &w->cand[w->cited[0]],
				psprintf("%s is left besides the cited items and equals %d more%s", Money(w->line, excess), subset.size,
						 subset.solutions > 1 ? ", and others as well" : ""));
		if (a != NULL && a->sure)
			return true;
	}
	if (subset.solutions >= 2 && subset.chance <= 1)
	{
		a = NewAnswer(w, "list_completed", 7, 0.5, false);
		AddAllCited(w, a);
		for (int i = 0; i < subset.second_size; i++)
			AddItem(a, &w->cand[who[subset.second[i]]], amount[subset.second[i]], 0);
		Explain(w, a, &w->cand[w->cited[0]], psprintf("%s is left besides the cited items", Money(w->line, excess)));
	}
	if (unfinished)
		return true;			/* there is more: the cited items alone are no answer */
	/* the least sum of a set too large to have been searched */
	if (n > w->settings->max_size)
	{
		for (int k = 0; k <= w->settings->max_size; k++)
		{
			int			least = -1;

			for (int i = 0; i < n; i++)
				if (amount[i] >= 0 && (least < 0 || amount[i] < amount[least]))
					least = i;
			sorted += amount[least];
			amount[least] = -1;
		}
	}
	a = NewAnswer(w, "overpayment", 4, 0.99,
				  own && w->line->whole && subset.solutions == 0 && subset.complete && !unfinished &&
				  (n <= w->settings->max_size || excess < sorted));
	AddAllCited(w, a);
	if (a != NULL && !a->sure)
		a->confidence = 0.6;
	Explain(w, a, &w->cand[w->cited[0]],
			psprintf("%s is %s more than the open amount; no other items make the rest", Money(w->line, w->line->amount),
					 Money(w->line, excess)));
	return true;
}

/* Less than the one cited item: a partial payment that the payer designated. */
static void
CitedPartial(Weighing *w)
{
	const Candidate *c = &w->cand[w->cited[0]];
	int			rival = EqualRival(w);
	Answer	   *a;

	if (rival >= 0)
	{
		a = NewAnswer(w, "conflict", 8, 0.6, false);
		AddItem(a, &w->cand[rival], w->line->amount,
				w->cand[rival].open - w->line->amount);
		if (a != NULL && a->settle[0] > 0)
			a->settle_kind = "discount";
		Explain(w, a, &w->cand[rival], psprintf("%s equals this item, but the text cites %s",
												Money(w->line, w->line->amount), c->number));
	}
	a = NewAnswer(w, "partial", 4, rival >= 0 ? 0.3 : 0.99,
				  rival < 0 && (Own(c) || c->cite == CITE_REFERENCE) && c->rel != REL_FOREIGN &&
				  (c->cite >= CITE_EXACT || (c->cite >= CITE_PART && c->rel >= REL_ACCOUNT)) &&
				  c->issued <= w->line->date && !CreditWords(w->line));
	AddItem(a, c, w->line->amount, 0);
	if (a != NULL && !a->sure && rival < 0)
		a->confidence = 0.5;
	Explain(w, a, c, psprintf("%s is part of the open amount %s", Money(w->line, w->line->amount),
							  Money(w->line, c->open)));
}

/* Several cited items, less money, and no word about which is short. */
static void
CitedShort(Weighing *w)
{
	int64		diff = w->sum - w->line->amount;
	bool		used[ANSWER_ITEMS];

	memset(used, 0, sizeof(used));
	for (int k = 0; k < ANSWERS_MAX; k++)
	{
		int			best = -1;
		Answer	   *a;

		for (int i = 0; i < w->ncited; i++)
		{
			int64		open = w->cand[w->cited[i]].open;

			/* people dispute a part: up to a third of the smallest comes first */
			if (used[i] || open <= diff)
				continue;
			if (best < 0 ||
				(open < diff * 3) < (w->cand[w->cited[best]].open < diff * 3) ||
				((open < diff * 3) == (w->cand[w->cited[best]].open < diff * 3) &&
				 (open < diff * 3 ? open > w->cand[w->cited[best]].open : open < w->cand[w->cited[best]].open)))
				best = i;
		}
		if (best < 0)
			return;
		used[best] = true;
		a = NewAnswer(w, "short", 8, 0.4, false);
		for (int i = 0; i < w->ncited; i++)
			AddItem(a, &w->cand[w->cited[i]],
					w->cand[w->cited[i]].open - (i == best ? diff : 0), 0);
		Explain(w, a, &w->cand[w->cited[best]],
				psprintf("%s is %s less than the cited items; this one may be short", Money(w->line, w->line->amount),
						 Money(w->line, diff)));
	}
}

/* Everything that begins with cited items; true = the line is answered. */
static bool
WeighCited(Weighing *w)
{
	if (w->ncited > 0 && CitedExact(w))
		return true;
	if (CitedWithDerived(w))
		return true;
	if (w->ncited == 0)
		return false;
	if (CitedDiscount(w) || CitedSmallDifference(w) || CitedStated(w) ||
		CitedUnlistedCredit(w))
		return true;
	if (w->sum < w->line->amount)
	{
		int			rival = EqualRival(w);

		if (rival >= 0)
		{
			Answer	   *a = NewAnswer(w, "conflict", 8, 0.6, false);

			AddItem(a, &w->cand[rival], w->line->amount, w->cand[rival].open - w->line->amount);
			if (a != NULL && a->settle[0] > 0)
				a->settle_kind = "discount";
			Explain(w, a, &w->cand[rival], psprintf("%s equals this item, but the text cites %s",
													Money(w->line, w->line->amount), w->cand[w->cited[0]].number));
			return true;
		}
		return CitedLess(w);
	}
	if (w->ncited == 1)
		CitedPartial(w);
	else
		CitedShort(w);
	return true;
}

/* One item of exactly the amount (or less its discount) with some citation. */
static bool
WeighWeakCitation(Weighing *w)
{
	int			best = -1;
	int			ties = 0;
	bool		net = false;

	for (int i = 0; i < w->n; i++)
	{
		const Candidate *c = &w->cand[i];
		bool		equal = c->open == w->line->amount;
		bool		equalnet = c->discount > 0 && c->open - c->discount == w->line->amount;

		if (c->dropped || c->open <= 0 || c->cite == CITE_NONE || c->cite >= CITE_EXACT ||
			!(equal || equalnet) || (c->cite == CITE_TAIL && c->rel < REL_NAME) ||
			c->rel == REL_FOREIGN)
			continue;
		if (best >= 0 && (c->cite > w->cand[best].cite ||
						  (c->cite == w->cand[best].cite && c->rel > w->cand[best].rel)))
		{
			best = i;
			ties = 0;
			net = !equal;
		}
		else if (best >= 0 && c->cite == w->cand[best].cite && c->rel == w->cand[best].rel)
			ties++;
		else if (best < 0)
		{
			best = i;
			net = !equal;
		}
	}
	if (best < 0)
		return false;
	else
	{
		const Candidate *c = &w->cand[best];
		bool		late = net && !InDiscount(w, c);
		Answer	   *a = NewAnswer(w, c->cite == CITE_TYPO ? "number_slip" : "number_part", 3,
								  ties ? 0.5 : 0.999, ties == 0 && w->closed < 0);

		if (a != NULL && net && !late)
			a->settle_kind = "discount";
		AddItem(a, c, w->line->amount, net && !late ? c->discount : 0);
		Explain(w, a, c, Equation(w, net ? "equals the open amount less discount of" : "equals the open amount", c->open));
		return ties == 0;
	}
}

/* No citation: the one open item of the payer with this amount. */
static bool
WeighAmount(Weighing *w)
{
	int			level = REL_UNKNOWN;
	int			order[ANSWERS_MAX];
	int			n = 0;
	int			count = 0;
	bool		net = false;
	bool		group = false;
	bool		sure;
	const char *rule;

	/* equal amounts first, then less a discount that may still be taken */
	for (int pass = 0; pass < 2 && count == 0; pass++)
	{
		for (int i = 0; i < w->n; i++)
		{
			const Candidate *c = &w->cand[i];
			int			rel = c->group ? REL_NAME : c->rel;
			int			k;

			if (!Payable(w, c) || c->rel < REL_NAME ||
				(pass == 0 ? c->open != w->line->amount :
				 !(InDiscount(w, c) && c->open - c->discount == w->line->amount)))
				continue;
			if (rel > level)
			{
				level = rel;
				n = count = 0;
				group = c->group;
			}
			else if (rel < level)
				continue;
			count++;
			/* earliest due first, then the lowest number */
			for (k = n; k > 0; k--)
			{
				const Candidate *o = &w->cand[order[k - 1]];

				if (o->due < c->due || (o->due == c->due && strcmp(o->number, c->number) <= 0))
					break;
				if (k < ANSWERS_MAX)
					order[k] = order[k - 1];
			}
			if (k < ANSWERS_MAX)
			{
				order[k] = i;
				n = Min(n + 1, ANSWERS_MAX);
			}
		}
		net = pass == 1;
	}
	if (count == 0)
		return false;
	rule = group ? "amount_group" : net ? "amount_discount" :
		level == REL_NAME ? "amount_name" : "amount";
	sure = count == 1 && w->closed < 0 && !OnAccountWords(w->line) &&
		(level == REL_ACCOUNT || w->line->payer < REL_ACCOUNT || group) &&
		(level > REL_NAME || group || w->cand[order[0]].similarity >= 0.8) &&
		!(net && level < REL_KNOWN);
	for (int i = 0; i < n; i++)
	{
		const Candidate *c = &w->cand[order[i]];
		Answer	   *a = NewAnswer(w, rule, level == REL_ACCOUNT ? 5 : 6,
								  sure ? 0.999 : 0.9 / count, sure);

		if (a != NULL && net)
			a->settle_kind = "discount";
		AddItem(a, c, w->line->amount, net ? c->discount : 0);
		Explain(w, a, c, count == 1 ? Equation(w, "equals only this item's", c->open) :
				psprintf("%s equals this and %d other items", Money(w->line, w->line->amount), count - 1));
	}
	return true;
}

/* No citation: several items of the payer that make the amount, in one way. */
static bool
WeighBundle(Weighing *w)
{
	int			who[256];
	int64		amount[256];
	int			n = Others(w, who, amount, 128, false);
	int64		all = 0;
	int64		due = 0;
	int			ndue = 0;
	int64		major = 1;
	CashSubset	subset;
	Answer	   *a;
	bool		sure;

	if (n < 2 || !w->line->late || OnAccountWords(w->line) || w->closed >= 0)
		return false;
	for (int i = 0; i < w->line->minor; i++)
		major *= 10;
	for (int i = 0; i < n; i++)
	{
		all += amount[i];
		if (w->cand[who[i]].due <= w->line->date)
		{
			due += amount[i];
			ndue++;
		}
	}
	if (all == w->line->amount || (ndue >= 2 && due == w->line->amount))
	{
		bool		everything = all == w->line->amount;

		a = NewAnswer(w, everything ? "account_cleared" : "past_due_cleared", 7, 0.998,
					  n <= 60 && (everything ? n : ndue) <= ANSWER_ITEMS && w->line->payer == REL_ACCOUNT);
		for (int i = 0; i < n; i++)
			if (everything || w->cand[who[i]].due <= w->line->date)
				AddItem(a, &w->cand[who[i]], amount[i], 0);
		Explain(w, a, &w->cand[who[0]], everything ?
				"the payment equals everything open" : "the payment equals everything past due");
		return true;
	}
	CashSubsetSearch(amount, n, w->line->amount, w->settings->max_size, w->settings->budget, &subset);
	sure = subset.solutions == 1 && subset.complete && subset.chance <= w->settings->max_chance &&
		!w->line->windowed && w->line->payer == REL_ACCOUNT && w->line->amount % (100 * major) != 0;
	if (!sure)
	{
		CashSubset	window;

		CashWindowSearch(amount, n, w->line->amount, 14, w->settings->max_chance / 2, &window);
		if (window.solutions == 1 && window.complete)
		{
			a = NewAnswer(w, "bundle", 7, 1 - window.chance / 4,
						  w->line->payer == REL_ACCOUNT && w->line->amount % (100 * major) != 0 &&
						  !HasTwin(amount, n, window.members, window.size));
			for (int i = 0; i < window.size; i++)
				AddItem(a, &w->cand[who[window.members[i]]], amount[window.members[i]], 0);
			Explain(w, a, &w->cand[who[window.members[0]]],
					psprintf("%s is the sum of %d items of the payer that fall due together",
							 Money(w->line, w->line->amount), window.size));
			if (a != NULL && a->sure)
				return true;
		}
	}
	if (subset.solutions == 0 || subset.chance > 0.7)
		return w->nanswers > 0;
	if (!sure)
	{
		int			found[SUBSET_MEMBERS];
		bool		same = true;

		/* as found stays the second answer, unless it is the first */
		memcpy(found, subset.members, sizeof(found));
		EarliestTwins(amount, n, subset.members, subset.size);
		for (int i = 0; i < subset.size; i++)
			same &= found[i] == subset.members[i];
		if (!same)
		{
			memcpy(subset.second, found, sizeof(found));
			subset.second_size = subset.size;
			subset.solutions = Max(subset.solutions, 2);
		}
	}
	a = NewAnswer(w, "bundle", 7, sure ? 1 - subset.chance / 4 : subset.solutions == 1 ? 0.6 : 0.4, sure);
	for (int i = 0; i < subset.size; i++)
		AddItem(a, &w->cand[who[subset.members[i]]], amount[subset.members[i]], 0);
	Explain(w, a, &w->cand[who[subset.members[0]]],
			psprintf("%s is the sum of %d items of the payer%s", Money(w->line, w->line->amount), subset.size,
					 subset.solutions > 1 ? ", and of others as well" : !subset.complete ? " (not all sets were tried)" : ""));
	if (subset.solutions >= 2)
	{
		a = NewAnswer(w, "bundle", 7, 0.3, false);
		for (int i = 0; i < subset.second_size; i++)
			AddItem(a, &w->cand[who[subset.second[i]]], amount[subset.second[i]], 0);
		Explain(w, a, &w->cand[who[subset.second[0]]],
				psprintf("%s is also the sum of these", Money(w->line, w->line->amount)));
	}
	return true;
}

/* A tail of the only item that it fits counts as its number. */
static void
PromoteParts(Weighing *w)
{
	int			found = -1;

	for (int i = 0; i < w->n; i++)
	{
		const Candidate *c = &w->cand[i];

		if (c->dropped || c->cite != CITE_PART || !Own(c) || c->open <= 0)
			continue;
		if (found >= 0)
			return;
		found = i;
	}
	if (found >= 0 && w->line->whole)
	{
		w->cited[w->ncited++] = found;
		w->sum += w->cand[found].open;
	}
}

/*
 * Weigh a line against its candidates; fills up to ANSWERS_MAX answers, best
 * first, and returns their number.  An answer without items is a remark: why
 * nothing is posted.
 */
int
WeighLine(Line *line, Candidate *cand, int n, const WeighSettings *settings,
		  Answer *answers)
{
	Weighing	w;

	memset(&w, 0, sizeof(w));
	w.line = line;
	w.cand = cand;
	w.n = n;
	w.settings = settings;
	w.answers = answers;
	w.closed = -1;

	for (int i = 0; i < n; i++)
	{
		Candidate  *c = &cand[i];

		if (c->rel < REL_KNOWN && c->customer_name != NULL && line->payer_name != NULL)
		{
			c->similarity = CashNameSimilarity(line->payer_name, c->customer_name);
			if (c->rel == REL_UNKNOWN && c->similarity >= 0.7)
				c->rel = REL_NAME;
			else if (c->rel == REL_FOREIGN && c->similarity >= 0.45)
				c->rel = REL_UNKNOWN;	/* a relative by name */
		}
	}
	CiteCandidates(line, cand, n);
	for (int i = 0; i < n; i++)
	{
		Candidate  *c = &cand[i];

		if (c->cite < CITE_EXACT)
			continue;
		/* somebody else's number, and not his amount: the payer's own reference */
		if (c->rel == REL_FOREIGN && c->cite == CITE_EXACT && c->open != line->amount)
			c->dropped = true;
		else if (c->open == 0 && !(c->rel == REL_UNKNOWN && c->cite == CITE_EXACT && line->payer >= REL_KNOWN))
			w.closed = i;
	}
	for (int i = 0; i < n; i++)
		if (cand[i].cite >= CITE_EXACT && cand[i].open != 0 && !cand[i].dropped)
		{
			if (w.ncited >= ANSWER_ITEMS)
			{
				w.citedmany = true;
				break;
			}
			w.cited[w.ncited++] = i;
			w.sum += cand[i].open;
		}

	if (WeighCited(&w))
		return w.nanswers;
	if (w.closed < 0 && WeighWeakCitation(&w))
		return w.nanswers;
	if (w.closed >= 0)
	{
		Answer	   *a = NewAnswer(&w, "duplicate", 9, 0.9, false);

		if (a != NULL)
		{
			a->customer_id = cand[w.closed].customer_id;
			a->explanation = psprintf("%s is cited and is already settled", cand[w.closed].number);
		}
		return w.nanswers;
	}
	if (w.nanswers == 0 && WeighAmount(&w))
		return w.nanswers;
	if (w.nanswers == 0 && line->whole)
	{
		PromoteParts(&w);
		if (w.ncited == 1 && WeighCited(&w))
			return w.nanswers;
		(void) WeighBundle(&w);
	}
	return w.nanswers;
}
