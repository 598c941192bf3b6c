/*
 * weigh_help.c
 *		What every hypothesis of the weigher uses: answers and their
 *		sentences, other items of the payer.
 */
#include "cash/weigh.h"

/* Items that fall due together: from the first to the last are at most so many. */
#define WINDOW_MAX	14

/* "1234.50" of minor units. */
const char *
WeighMoney(const Line *line, int64 amount)
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
			return "the payer's name or number is the customer's";
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
			return c->by_order ? "order or delivery number in the text" :
				"number completed from the list or range in the text";
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
Answer *
WeighNewAnswer(Weighing *w, const char *rule, int tier, double confidence, bool sure)
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

void
WeighAddItem(Answer *a, const Candidate *c, int64 cash, int64 settle)
{
	if (a == NULL || a->nitems >= ANSWER_ITEMS || (cash == 0 && settle == 0))
		return;
	a->item[a->nitems] = c->item_id;
	a->cash[a->nitems] = cash;
	a->settle[a->nitems] = settle;
	a->left[a->nitems] = c->open;
	if (a->nitems++ == 0 || c->open > 0)
		a->customer_id = c->customer_id;
}

/* An answer that pays the same items as one before it tells nobody anything. */
void
WeighDropRepeated(Weighing *w)
{
	const Answer *last = &w->answers[w->nanswers - 1];

	for (int i = 0; i < w->nanswers - 1; i++)
	{
		const Answer *a = &w->answers[i];
		int			same = 0;

		for (int k = 0; k < a->nitems; k++)
			for (int m = 0; m < last->nitems; m++)
				same += a->item[k] == last->item[m] && a->cash[k] == last->cash[m];
		if (same == a->nitems && same == last->nitems)
		{
			w->nanswers--;
			return;
		}
	}
}

/* The sentence that explains an answer. */
void
WeighExplain(Weighing *w, Answer *a, const Candidate *c, const char *equation)
{
	if (a == NULL)
		return;
	if (a->nitems > 1)
		a->explanation = psprintf("%d items; first %s: %s; %s; %s", a->nitems, c->number,
								  CiteWords(c), equation, RelWords(c));
	else
		a->explanation = psprintf("%s: %s; %s; %s", c->number, CiteWords(c), equation, RelWords(c));
}

bool
WeighOwn(const Candidate *c)
{
	return c->rel >= REL_NAME && !c->dropped;
}

/* May an uncited item be meant: open, a debit, and already issued? */
bool
WeighPayable(const Weighing *w, const Candidate *c)
{
	return c->open > 0 && c->issued <= w->line->date && !c->dropped;
}

bool
WeighInDiscount(const Weighing *w, const Candidate *c)
{
	return c->discount > 0 && w->line->date <= c->discount_date + w->settings->grace_days;
}

/* Does an amount that the text states equal this? */
bool
WeighStated(const Line *line, int64 amount, int *pos)
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
int
WeighEqualRival(const Weighing *w)
{
	for (int i = 0; i < w->n; i++)
	{
		const Candidate *c = &w->cand[i];
		bool		cited = false;

		if (!WeighOwn(c) || !WeighPayable(w, c))
			continue;
		if (c->open != w->line->amount &&
			!(WeighInDiscount(w, c) && c->open - c->discount == w->line->amount))
			continue;
		for (int k = 0; k < w->ncited; k++)
			cited |= w->cited[k] == i;
		if (!cited)
			return i;
	}
	return -1;
}

/* Another own item of the same open amount, the one due nearest to the line's day; -1 for none. */
int
WeighTwin(const Weighing *w, const Candidate *c)
{
	int			twin = -1;

	for (int i = 0; i < w->n; i++)
	{
		const Candidate *o = &w->cand[i];

		if (o->item_id != c->item_id && o->open == c->open && WeighOwn(o) && WeighPayable(w, o) &&
			(twin < 0 || abs(o->due - w->line->date) < abs(w->cand[twin].due - w->line->date)))
			twin = i;
	}
	return twin;
}

/* Is another open item of the payer cited, not as well as those that count as cited? */
bool
WeighCitesMore(const Weighing *w)
{
	for (int i = 0; i < w->n; i++)
	{
		const Candidate *c = &w->cand[i];
		bool		cited = false;

		/* four digits at its end, or its counter, say enough */
		bool		ends = c->cite == CITE_TAIL && c->first >= 0 && w->line->tokens->runs[c->first].len >= 4;

		if (!WeighOwn(c) || c->group || c->open == 0 || !(ends || (c->cite >= CITE_PART && c->cite < CITE_EXACT)))
			continue;
		for (int k = 0; k < w->ncited; k++)
			cited |= w->cited[k] == i || (c->first >= 0 ? w->cand[w->cited[k]].first == c->first : w->cand[w->cited[k]].token == c->token);
		if (!cited)
			return true;
	}
	return false;
}

/* All cited items with their whole open amounts. */
void
WeighAddAllCited(Weighing *w, Answer *a)
{
	for (int i = 0; i < w->ncited; i++)
		WeighAddItem(a, &w->cand[w->cited[i]], w->cand[w->cited[i]].open, 0);
}

const char *
WeighEquation(const Weighing *w, const char *what, int64 other)
{
	return psprintf("%s %s %s", WeighMoney(w->line, w->line->amount), what, WeighMoney(w->line, other));
}

/* Own items besides the cited ones, for searches: nearest due dates first. */
int
WeighOthers(const Weighing *w, int *who, int64 *amount, int max, bool credits)
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

/* Equal sums that accident may give, where items that fall due together are trusted. */
static double
TrustedChance(const Weighing *w)
{
	return w->settings->max_chance / 2;
}

/* Items that fall due together and make the amount; true when there is one such set. */
bool
WeighWindow(const Weighing *w, const int64 *amount, int n, int64 target, CashSubset *window)
{
	CashWindowSearch(amount, n, target, WINDOW_MAX, TrustedChance(w), window);
	return window->solutions == 1 && window->complete;
}

/* Do such items lie so close together that accident would hardly give their sum? */
bool
WeighTrusted(const Weighing *w, const CashSubset *window)
{
	return window->chance <= TrustedChance(w);
}

/* Does another item have the amount of a member?  Then they may be exchanged. */
bool
WeighHasTwin(const int64 *amount, int n, const int *members, int size)
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
void
WeighEarliestTwins(const int64 *amount, int n, int *members, int size)
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

/* Order of document numbers: shorter first, then as text. */
int
WeighCompareNumbers(const Candidate *a, const Candidate *b)
{
	size_t		alen = strlen(a->number);
	size_t		blen = strlen(b->number);

	return alen != blen ? (alen < blen ? -1 : 1) : strcmp(a->number, b->number);
}
