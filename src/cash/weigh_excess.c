/*
 * weigh_excess.c
 *		Hypotheses for more money than the cited items have open.
 *
 * It is an unfinished list or an overpayment, whichever nothing else explains.
 */
#include "cash/weigh.h"

/* The rest of a list in ascending order that was cut: the numbers behind its last. */
static bool
CitedContinued(Weighing *w, const int *others, int nothers, int64 excess)
{
	const Candidate *last = &w->cand[w->cited[0]];
	int			who[128];
	int64		amount[128];
	int			n = 0;
	int			more = WeighStatedMore(w->line);
	CashSubset	subset;
	Answer	   *a;

	for (int i = 1; i < w->ncited; i++)
	{
		const Candidate *c = &w->cand[w->cited[i]];

		if (WeighCompareNumbers(c, last) > 0)
			last = c;
	}
	for (int i = 0; i < w->ncited; i++)
		for (int k = 0; k < w->ncited; k++)
			if (WeighCompareNumbers(&w->cand[w->cited[i]], &w->cand[w->cited[k]]) < 0 &&
				w->cand[w->cited[i]].pos > w->cand[w->cited[k]].pos)
				return false;
	for (int i = 0; i < nothers && n < lengthof(who); i++)
	{
		const Candidate *c = &w->cand[others[i]];
		int			k;

		if (c->customer_id != last->customer_id || WeighCompareNumbers(c, last) <= 0)
			continue;
		for (k = n; k > 0 && WeighCompareNumbers(&w->cand[who[k - 1]], c) > 0; k--)
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
	a = WeighNewAnswer(w, "list_completed", 7, 1 - subset.chance / 4,
				  WeighUnfinished(w->line) && !WeighHasTwin(amount, n, subset.members, subset.size));
	WeighAddAllCited(w, a);
	for (int i = 0; i < subset.size; i++)
		WeighAddItem(a, &w->cand[who[subset.members[i]]], amount[subset.members[i]], 0);
	WeighExplain(w, a, last, psprintf("%s is left besides the cited items and equals %d more that follow them",
								 WeighMoney(w->line, excess), subset.size));
	return a != NULL && a->sure;
}

/*
 * Has the text another number that begins like the end of a cited one, as
 * members of a list do?  It may be an item that was not looked at.
 */
static bool
HasOtherNumber(const Weighing *w)
{
	const CashText *t = w->line->tokens;
	bool		found = false;

	for (int r = 0; r < t->nruns; r++)
	{
		const CashRun *run = &t->runs[r];
		bool		alike = false;
		bool		part = run->mark != 0 || run->len < 3;

		for (int i = 0; i < w->ncited && !part; i++)
		{
			const Candidate *c = &w->cand[w->cited[i]];
			char		digits[CASH_VALUE_MAX];
			int			n = CashDigitsOf(c->number, strlen(c->number), digits, CASH_VALUE_MAX - 1);

			digits[n] = '\0';
			part = (r >= c->first && r <= c->last) || strstr(digits, run->digits) != NULL;
			alike |= run->len <= n && memcmp(run->digits, digits + n - run->len, run->len / 2) == 0;
		}
		found |= alike && !part;
	}
	return found;
}

/* Does a number that nobody reads stand between the cited ones of a list? */
static bool
HasUnreadBetween(const Weighing *w)
{
	const CashText *t = w->line->tokens;
	int			first = t->nruns;
	int			last = -1;

	for (int i = 0; i < w->ncited; i++)
		if (w->cand[w->cited[i]].first >= 0)
		{
			first = Min(first, w->cand[w->cited[i]].first);
			last = Max(last, w->cand[w->cited[i]].last);
		}
	for (int r = first; r < last; r++)
	{
		bool		read = t->runs[r].mark != 0 || WeighCalled(t, t->runs[r].start) < 0;

		for (int i = 0; i < w->n && !read; i++)
			read = !w->cand[i].dropped && w->cand[i].cite >= CITE_PART && w->cand[i].first <= r && r <= w->cand[i].last;
		if (!read)
			return true;
	}
	return false;
}

/* Are settled items cited as well, and the rest is not what they came to? */
static bool
CitesSettled(const Weighing *w, int64 rest)
{
	bool		any = false;

	for (int i = 0; i < w->n; i++)
	{
		const Candidate *c = &w->cand[i];

		if (c->cite < CITE_EXACT || c->open != 0 || c->dropped || (c->rel <= REL_UNKNOWN && w->line->payer >= REL_KNOWN))
			continue;
		any = true;
		rest -= c->amount;
	}
	return any && rest != 0;
}

/* More than the cited items: unnamed further items, or an overpayment. */
bool
WeighExcess(Weighing *w)
{
	int64		excess = w->line->amount - w->sum;
	int			who[256];
	int64		amount[256];
	int64		sorted = 0;
	int			n;
	CashSubset	subset;
	bool		own = true;
	bool		unfinished = WeighUnfinished(w->line);
	bool		strange;
	bool		fee;
	bool		round;
	bool		sure;
	int64		step = w->line->minor == 0 ? 500 : 5;	/* of round amounts */
	Answer	   *a;

	if (excess <= 0 || w->citedmany)
		return false;
	for (int i = 0; i < w->line->minor; i++)
		step *= 10;
	for (int i = 0; i < w->ncited; i++)
		own &= WeighOwn(&w->cand[w->cited[i]]) && w->cand[w->cited[i]].cite >= CITE_PART && !WeighCalledOther(w, &w->cand[w->cited[i]]);
	if (!w->line->late)
	{
		w->line->asked = true;	/* again when what others clearly pay is gone */
		return true;
	}

	n = WeighOthers(w, who, amount, 256, false);
	/*
	 * Who cites more than we know may pay that, and who states what is left
	 * pays a fee; a list that was cut ends in a piece of a number.
	 */
	strange = WeighStrange(w, NULL, unfinished) != NULL || CitesSettled(w, excess);
	fee = WeighStated(w->line, excess, NULL);
	/* people pay too much by round amounts, among others that are not round */
	round = excess % step == 0 && w->sum % step != 0 && !unfinished;
	if (own && CitedContinued(w, who, n, excess))
		return true;
	CashSubsetSearch(amount, n, excess, w->settings->max_size, w->settings->budget, &subset);
	if (own &&
		!(subset.solutions == 1 && subset.complete && subset.chance <= w->settings->max_chance && !w->line->windowed))
	{
		CashSubset	window;

		if (WeighWindow(w, amount, n, excess, &window))
		{
			a = WeighNewAnswer(w, "list_completed", 7, 1 - window.chance / 4,
						  WeighTrusted(w, &window) && unfinished && !strange && !fee &&
						  !WeighHasTwin(amount, n, window.members, window.size));
			WeighAddAllCited(w, a);
			for (int i = 0; i < window.size; i++)
				WeighAddItem(a, &w->cand[who[window.members[i]]], amount[window.members[i]], 0);
			WeighExplain(w, a, &w->cand[w->cited[0]],
					psprintf("%s is left besides the cited items and equals %d more that fall due together",
							 WeighMoney(w->line, excess), window.size));
			if (a != NULL && a->sure)
				return true;
		}
	}
	if (subset.solutions >= 1 && subset.chance <= 1)
	{
		/* ... unless the text cites what makes it, be it badly */
		for (int i = 0; i < subset.size; i++)
			round &= w->cand[who[subset.members[i]]].cite == CITE_NONE || w->cand[who[subset.members[i]]].cite == CITE_TYPO;
		sure = own && !strange && !fee && !round && subset.solutions == 1 && subset.complete && !w->line->windowed &&
			subset.chance <= w->settings->max_chance;
		/* what is sure goes before what was only worth a look */
		if (sure)
			w->nanswers = 0;
		a = WeighNewAnswer(w, "list_completed", 7, 0.9, sure);
		WeighAddAllCited(w, a);
		for (int i = 0; i < subset.size; i++)
			WeighAddItem(a, &w->cand[who[subset.members[i]]], amount[subset.members[i]], 0);
		if (a != NULL && a->sure)
			a->confidence = 1 - subset.chance / 4;
		WeighExplain(w, a, &w->cand[w->cited[0]],
				psprintf("%s is left besides the cited items and equals %d more%s", WeighMoney(w->line, excess), subset.size,
						 subset.solutions > 1 ? ", and others as well" : ""));
		if (a != NULL && a->sure)
			return true;
		WeighDropRepeated(w);
	}
	if (subset.solutions >= 2 && subset.chance <= 1)
	{
		a = WeighNewAnswer(w, "list_completed", 7, 0.5, false);
		WeighAddAllCited(w, a);
		for (int i = 0; i < subset.second_size; i++)
			WeighAddItem(a, &w->cand[who[subset.second[i]]], amount[subset.second[i]], 0);
		WeighExplain(w, a, &w->cand[w->cited[0]], psprintf("%s is left besides the cited items", WeighMoney(w->line, excess)));
		WeighDropRepeated(w);
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
	/* whoever lists what he pays and pays more has rather left something out */
	sure = own && w->ncited == 1 && w->sum > 0 && w->line->payer >= REL_KNOWN && w->line->whole &&
		subset.solutions == 0 && subset.complete && (n <= w->settings->max_size || excess < sorted) &&
		!unfinished && !strange && !WeighCitesMore(w) && !WeighOtherPurpose(w->line) &&
		!(w->line->windowed && HasOtherNumber(w)) && !WeighEndsInPiece(w) && !HasUnreadBetween(w);
	a = WeighNewAnswer(w, "overpayment", 4, 0.99, sure);
	WeighAddAllCited(w, a);
	if (a != NULL && !a->sure)
		a->confidence = 0.6;
	WeighExplain(w, a, &w->cand[w->cited[0]],
			psprintf("%s is %s more than the open amount; no other items make the rest", WeighMoney(w->line, w->line->amount),
					 WeighMoney(w->line, excess)));
	return true;
}
