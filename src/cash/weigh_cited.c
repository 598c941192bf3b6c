/*
 * weigh_cited.c
 *		Hypotheses that begin with the items a text cites.
 *
 * The payer's designation decides, if its equation holds: the whole sum, less
 * discounts, a small difference, a deducted credit note, a stated shortage.
 * A part of one item is a partial payment; more than the cited items is for
 * weigh_excess.c.
 */
#include "cash/weigh.h"

/* The cited items add up to the payment. */
static bool
CitedExact(Weighing *w)
{
	const Candidate *first = &w->cand[w->cited[0]];
	bool		negative = false;
	bool		foreign = false;
	int			rival = -1;
	Answer	   *a;

	if (w->citedmany || w->sum != w->line->amount)
		return false;
	for (int i = 0; i < w->ncited; i++)
	{
		negative |= w->cand[w->cited[i]].open < 0;
		foreign |= w->cand[w->cited[i]].rel == REL_FOREIGN &&
			w->cand[w->cited[i]].cite != CITE_REFERENCE;
	}
	/* nobody knows the payer: the number may be his own order, or the payer's name is that of who has this amount as well */
	if (w->ncited == 1 && first->rel <= REL_UNKNOWN && first->cite == CITE_EXACT)
	{
		rival = WeighEqualRival(w);
		foreign |= rival >= 0 || WeighCalledOther(w, first);
	}
	a = WeighNewAnswer(w, w->ncited > 1 ? (negative ? "net" : "numbers") :
				  first->cite == CITE_REFERENCE ? "reference" : "number",
				  1, foreign ? 0.9 : 0.9999, !foreign);
	WeighAddAllCited(w, a);
	WeighExplain(w, a, first, WeighEquation(w, "equals the open amount", w->sum));
	if (rival >= 0)
	{
		a = WeighNewAnswer(w, "conflict", 8, 0.4, false);
		WeighAddItem(a, &w->cand[rival], w->line->amount, w->cand[rival].open - w->line->amount);
		if (a != NULL && a->settle[0] > 0)
			a->settle_kind = "discount";
		WeighExplain(w, a, &w->cand[rival], WeighEquation(w, "equals this item as well:", w->cand[rival].open));
	}
	return true;
}

/* The only cited item of exactly the amount, where several are cited, or -1. */
static int
CitedEqual(const Weighing *w)
{
	int			found = -1;

	for (int i = 0; i < w->ncited; i++)
	{
		if (w->cand[w->cited[i]].open != w->line->amount)
			continue;
		if (found >= 0)
			return -1;
		found = w->cited[i];
	}
	return found;
}

/*
 * One of several cited items equals the payment.  The numbers of customers
 * who have nothing to do with the payer are his own references; of one
 * customer's items he may have paid this one, or all of them short.
 */
static bool
CitedOneOfSeveral(Weighing *w)
{
	int			equal = w->citedmany || w->ncited < 2 ? -1 : CitedEqual(w);
	const Candidate *c;
	bool		sure;
	Answer	   *a;

	if (equal < 0)
		return false;
	c = &w->cand[equal];
	sure = c->rel != REL_FOREIGN && c->cite >= CITE_EXACT;
	for (int i = 0; i < w->ncited; i++)
	{
		const Candidate *o = &w->cand[w->cited[i]];

		if (w->cited[i] != equal && (o->customer_id == c->customer_id || WeighOwn(o) || o->cite == CITE_REFERENCE))
			sure = false;
	}
	a = WeighNewAnswer(w, "number", 2, sure ? 0.999 : 0.6, sure);
	WeighAddItem(a, c, w->line->amount, 0);
	WeighExplain(w, a, c, psprintf("%s equals this one of %d cited items", WeighMoney(w->line, w->line->amount), w->ncited));
	return sure;
}

/* Is what cites an item with a slip the number of something settled, or of somebody else? */
static bool
OnKnownNumber(const Weighing *w, const Candidate *c)
{
	for (int i = 0; i < w->n; i++)
		if (w->cand[i].cite >= CITE_EXACT && CiteOverlap(c, &w->cand[i]))
			return true;
	return false;
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
			bool		own = WeighOwn(c);
			bool		covered = false;

			if (c->dropped || c->open == 0 || c->cite < levels[level] || c->cite >= CITE_EXACT)
				continue;
			/* without a known payer only the customer of a cited item */
			for (int k = 0; k < w->ncited; k++)
			{
				const Candidate *cited = &w->cand[w->cited[k]];

				own |= cited->customer_id == c->customer_id;
				covered |= c->cite < CITE_DERIVED && CiteOverlap(c, cited);
			}
			if (c->cite == CITE_TYPO)
				covered |= WeighTwin(w, c) >= 0 || OnKnownNumber(w, c);
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
		a = WeighNewAnswer(w, "list", 1, 0.9995, true);
		WeighAddAllCited(w, a);
		for (int i = 0; i < (all ? nextra : subset.size); i++)
			WeighAddItem(a, &w->cand[extra[all ? i : subset.members[i]]],
					w->cand[extra[all ? i : subset.members[i]]].open, 0);
		WeighExplain(w, a, first, WeighEquation(w, "equals the open amounts", w->line->amount));
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
		late |= taken[i] && !WeighInDiscount(w, &w->cand[w->cited[i]]);

	a = WeighNewAnswer(w, late ? "discount_late" : "discount", 2, foreign ? 0.8 : 0.999, !foreign);
	if (a == NULL)
		return true;
	a->settle_kind = late ? "" : "discount";
	for (int i = 0; i < w->ncited; i++)
	{
		const Candidate *c = &w->cand[w->cited[i]];
		int64		less = taken[i] ? c->discount + slack : 0;

		if (taken[i])
			slack = 0;
		WeighAddItem(a, c, c->open - less, late ? 0 : less);
	}
	WeighExplain(w, a, &w->cand[w->cited[0]],
			psprintf("%s is the open amount %s less the cash discount%s", WeighMoney(w->line, w->line->amount),
					 WeighMoney(w->line, w->sum), late ? ", taken too late" : ""));
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
	stated = diff > 0 && (WeighStated(w->line, diff, NULL) || w->line->charges == diff);
	if (llabs(diff) <= tolerance && !stated)
	{
		/* the payer may have meant the item of exactly this amount */
		if (WeighEqualRival(w) >= 0)
			return false;
		a = WeighNewAnswer(w, "tolerance", 2, foreign ? 0.8 : 0.999, !foreign);
		if (a == NULL)
			return true;
		a->settle_kind = diff > 0 ? "write_off" : "";
		for (int i = 0; i < w->ncited; i++)
		{
			const Candidate *c = &w->cand[w->cited[i]];
			int64		less = i == big && diff > 0 ? Min(diff, c->open) : 0;

			WeighAddItem(a, c, c->open - less, less);
		}
		WeighExplain(w, a, &w->cand[w->cited[big]],
				psprintf("%s differs from the open amount %s within the tolerance",
						 WeighMoney(w->line, w->line->amount), WeighMoney(w->line, w->sum)));
		return true;
	}
	if (diff > 0 && diff <= charges && w->ncited == 1 && diff < w->sum &&
		(w->line->charges == diff || (stated && strstr(w->line->tokens->folded, "CH") != NULL)))
	{
		const Candidate *c = &w->cand[w->cited[0]];

		a = WeighNewAnswer(w, "charges", 2, foreign || (part && !WeighOwn(c)) ? 0.8 : 0.998, !foreign && (!part || WeighOwn(c)));
		if (a == NULL)
			return true;
		a->settle_kind = "charge";
		WeighAddItem(a, c, w->line->amount, diff);
		WeighExplain(w, a, c, psprintf("%s is the open amount %s less bank charges of %s", WeighMoney(w->line, w->line->amount),
								  WeighMoney(w->line, w->sum), WeighMoney(w->line, diff)));
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
	a = WeighNewAnswer(w, "net", 4, WeighCreditWords(w->line) ? 0.995 : 0.7,
					   w->cand[w->cited[0]].rel != REL_FOREIGN && WeighCreditWords(w->line));
	WeighAddAllCited(w, a);
	WeighAddItem(a, &w->cand[found], w->cand[found].open, 0);
	WeighExplain(w, a, &w->cand[w->cited[0]],
			psprintf("%s is the open amount %s less credit note %s", WeighMoney(w->line, w->line->amount),
					 WeighMoney(w->line, w->sum), w->cand[found].number));
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

	if (w->ncited < 2 || diff <= 0 || w->citedmany || !WeighStated(w->line, diff, &pos))
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
	a = WeighNewAnswer(w, "short_stated", 4, 0.998, w->cand[w->cited[who]].rel != REL_FOREIGN);
	for (int i = 0; i < w->ncited; i++)
		WeighAddItem(a, &w->cand[w->cited[i]],
				w->cand[w->cited[i]].open - (i == who ? diff : 0), 0);
	WeighExplain(w, a, &w->cand[w->cited[who]],
			psprintf("%s is the open amount %s less %s stated for this number", WeighMoney(w->line, w->line->amount),
					 WeighMoney(w->line, w->sum), WeighMoney(w->line, diff)));
	return true;
}

/*
 * Nobody knows the payer, who says enough: the customer's name besides the
 * number, or what the payment lacks.  So write those who pay for others and
 * keep a share or a fee.
 */
static bool
NamesItem(const Weighing *w, const Candidate *c)
{
	return c->rel == REL_UNKNOWN && w->line->payer <= REL_UNKNOWN && c->cite == CITE_EXACT &&
		(WeighStated(w->line, c->open - w->line->amount, NULL) ||
		 (c->customer_name != NULL && CashNamesParty(w->line->tokens, c->customer_name)));
}

/* Less than the one cited item: a partial payment that the payer designated. */
static void
CitedPartial(Weighing *w)
{
	const Candidate *c = &w->cand[w->cited[0]];
	int			rival = WeighEqualRival(w);
	Answer	   *a;

	if (rival >= 0)
	{
		a = WeighNewAnswer(w, "conflict", 8, 0.6, false);
		WeighAddItem(a, &w->cand[rival], w->line->amount,
				w->cand[rival].open - w->line->amount);
		if (a != NULL && a->settle[0] > 0)
			a->settle_kind = "discount";
		WeighExplain(w, a, &w->cand[rival], psprintf("%s equals this item, but the text cites %s",
												WeighMoney(w->line, w->line->amount), c->number));
	}
	a = WeighNewAnswer(w, "partial", 4, rival >= 0 ? 0.3 : 0.99,
				  rival < 0 && (WeighOwn(c) || c->cite == CITE_REFERENCE || NamesItem(w, c)) && c->rel != REL_FOREIGN &&
				  (c->cite >= CITE_EXACT || (c->cite >= CITE_PART && c->rel >= REL_ACCOUNT)) &&
				  c->issued <= w->line->date && !WeighCalledOther(w, c) && !WeighCreditWords(w->line) && WeighStrange(w, c, false) == NULL &&
				  !WeighCitesMore(w));
	WeighAddItem(a, c, w->line->amount, 0);
	if (a != NULL && !a->sure && rival < 0)
		a->confidence = 0.5;
	WeighExplain(w, a, c, psprintf("%s is part of the open amount %s", WeighMoney(w->line, w->line->amount),
							  WeighMoney(w->line, c->open)));
}

/* Less than all cited items but one, which may be instalments of one document: what is due first comes first. */
static void
CitedOldest(Weighing *w)
{
	Answer	   *a = WeighNewAnswer(w, "short", 8, 0.3, false);
	bool		used[ANSWER_ITEMS] = {false};
	int64		left = w->line->amount;
	const Candidate *c = NULL;

	while (left > 0)
	{
		int			next = -1;

		for (int i = 0; i < w->ncited; i++)
			if (!used[i] && w->cand[w->cited[i]].open > 0 &&
				(next < 0 || w->cand[w->cited[i]].due < w->cand[w->cited[next]].due))
				next = i;
		Assert(next >= 0);		/* together they are more than the payment */
		used[next] = true;
		c = &w->cand[w->cited[next]];
		WeighAddItem(a, c, Min(left, c->open), 0);
		left -= Min(left, c->open);
	}
	WeighExplain(w, a, c, psprintf("%s is %s less than the cited items; what is due first may be meant",
								   WeighMoney(w->line, w->line->amount), WeighMoney(w->line, w->sum - w->line->amount)));
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
		{
			if (k == 0)
				CitedOldest(w);
			return;
		}
		used[best] = true;
		a = WeighNewAnswer(w, "short", 8, 0.4, false);
		for (int i = 0; i < w->ncited; i++)
			WeighAddItem(a, &w->cand[w->cited[i]],
					w->cand[w->cited[i]].open - (i == best ? diff : 0), 0);
		WeighExplain(w, a, &w->cand[w->cited[best]],
				psprintf("%s is %s less than the cited items; this one may be short", WeighMoney(w->line, w->line->amount),
						 WeighMoney(w->line, diff)));
	}
}

/* Everything that begins with cited items; true = the line is answered. */
bool
WeighCited(Weighing *w)
{
	if (w->ncited > 0 && CitedExact(w))
		return true;
	if (CitedWithDerived(w))
		return true;
	if (w->ncited == 0)
		return false;
	/* a credit note that the text speaks of goes before a small difference */
	if (CitedDiscount(w) || (WeighCreditWords(w->line) && CitedUnlistedCredit(w)) || CitedSmallDifference(w) ||
		CitedStated(w) || CitedUnlistedCredit(w) || CitedOneOfSeveral(w))
		return true;
	if (w->sum < w->line->amount)
	{
		int			rival = WeighEqualRival(w);

		if (rival >= 0)
		{
			Answer	   *a = WeighNewAnswer(w, "conflict", 8, 0.6, false);

			WeighAddItem(a, &w->cand[rival], w->line->amount, w->cand[rival].open - w->line->amount);
			if (a != NULL && a->settle[0] > 0)
				a->settle_kind = "discount";
			WeighExplain(w, a, &w->cand[rival], psprintf("%s equals this item, but the text cites %s",
													WeighMoney(w->line, w->line->amount), w->cand[w->cited[0]].number));
			return true;
		}
		return WeighExcess(w);
	}
	if (w->ncited == 1)
		CitedPartial(w);
	else
		CitedShort(w);
	return true;
}
