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

/* From here on a name is worth a person's look; alone it decides nothing. */
#define NAME_LIKELY	0.4

/* Unnamed items of a payer that sums are looked for in. */
#define OTHERS_MAX	128

/*
 * Sums of a payer's items seldom equal another of his items by accident, but
 * of amounts below so many smallest units this happens.
 */
#define OFTEN_EQUAL	50000

/* An item due so many days nearer than another of its amount is rather meant, if nothing else tells. */
#define AGAIN_DAYS	7

/* Does an item fall due before another?  Of the same day, the lower number. */
static bool
DueBefore(const Candidate *a, const Candidate *b)
{
	return a->due < b->due || (a->due == b->due && strcmp(a->number, b->number) <= 0);
}

/* Does an item fall due nearer to the line's day than another? */
static bool
DueNearer(const Weighing *w, const Candidate *a, const Candidate *b)
{
	int			far_a = abs(a->due - w->line->date);
	int			far_b = abs(b->due - w->line->date);

	return far_a < far_b || (far_a == far_b && DueBefore(a, b));
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
		bool		late = net && !WeighInDiscount(w, c);
		int			twin = c->cite == CITE_TYPO && !net ? WeighTwin(w, c) : -1;
		bool		sure = ties == 0 && w->closed < 0;
		Answer	   *a;

		/*
		 * What looks like another number of the series may be one, where the
		 * amount comes again with time, or of a group each pays the same.
		 */
		if (twin >= 0 && abs(c->due - w->line->date) - abs(w->cand[twin].due - w->line->date) <= AGAIN_DAYS)
			twin = -1;
		if ((twin >= 0 || c->group) && c->cite == CITE_TYPO && c->first >= 0 &&
			CiteResembles(w->line->tokens, c->first, c->forms) > 0)
			sure = false;
		else
			twin = -1;
		a = WeighNewAnswer(w, c->by_order ? "order" :
						   c->cite == CITE_TYPO ? "number_slip" : "number_part", 3,
						   sure || w->closed >= 0 ? 0.999 : 0.5, sure);
		/* the customer's own short form of the number claims as the number does: the earlier day first */
		if (a != NULL)
			a->plain = c->cite == CITE_PART && c->rel >= REL_KNOWN && !net;

		if (a != NULL && net && !late)
			a->settle_kind = "discount";
		WeighAddItem(a, c, w->line->amount, net && !late ? c->discount : 0);
		WeighExplain(w, a, c, WeighEquation(w, net ? "equals the open amount less discount of" : "equals the open amount", c->open));
		if (twin >= 0)
		{
			a = WeighNewAnswer(w, "amount", 6, 0.4, false);
			WeighAddItem(a, &w->cand[twin], w->line->amount, 0);
			WeighExplain(w, a, &w->cand[twin], WeighEquation(w, "equals this item as well, due nearer to the day:", c->open));
		}
		return ties == 0;
	}
}

/* Does the text have numbers that may stand for an item not looked at yet? */
static bool
HasNumbers(const Line *line)
{
	for (int i = 0; i < line->tokens->nruns; i++)
		if (line->tokens->runs[i].mark == 0 && line->tokens->runs[i].len >= 3)
			return true;
	return false;
}

/* Is another item of the payer cited, if weakly? */
static bool
OtherCited(const Weighing *w, int meant)
{
	for (int i = 0; i < w->n; i++)
		if (i != meant && WeighOwn(&w->cand[i]) && !w->cand[i].group && w->cand[i].open != 0 &&
			w->cand[i].cite >= CITE_TAIL && w->cand[i].cite < CITE_EXACT && w->cand[i].cite != CITE_TYPO)
			return true;
	return false;
}

/*
 * Does the text have what may be the end of the number of another item, among
 * those of the payer that are not near enough to be looked at?
 */
static bool
OtherHidden(const Weighing *w)
{
	if (!w->line->windowed)
		return false;
	for (int run = 0; run < w->line->tokens->nruns; run++)
		for (int i = 0; i < w->n; i++)
			if (WeighOwn(&w->cand[i]) && CiteEndsAlike(&w->line->tokens->runs[run], w->cand[i].forms))
				return true;
	return false;
}

/*
 * Of items with equal amounts offer the one that falls due first, then those
 * that fall due nearest to the line's day: the two ways in which people pay.
 */
static void
OfferOfEqual(const Weighing *w, int *order, int *n, int candidate)
{
	int			k;

	if (*n > 0 && DueBefore(&w->cand[candidate], &w->cand[order[0]]))
	{
		int			first = order[0];

		order[0] = candidate;
		candidate = first;
	}
	for (k = *n; k > 1 && DueNearer(w, &w->cand[candidate], &w->cand[order[k - 1]]); k--)
		if (k < ANSWERS_MAX)
			order[k] = order[k - 1];
	if (k < ANSWERS_MAX)
	{
		order[k] = candidate;
		*n = Min(*n + 1, ANSWERS_MAX);
	}
}

/*
 * One item has the amount.  Do some that fall due together make it too, so
 * close together that they would be trusted by themselves, or does the text
 * speak of several?  Then they are offered before it, and true comes back.
 */
static bool
WeighSeveral(Weighing *w, bool plural)
{
	int			who[OTHERS_MAX];
	int64		amount[OTHERS_MAX];
	int			n = WeighOthers(w, who, amount, OTHERS_MAX, false);
	CashSubset	window;
	Answer	   *a;

	WeighWindow(w, amount, n, w->line->amount, &window);
	if (window.solutions == 0 || !(plural || WeighTrusted(w, &window)))
		return false;
	a = WeighNewAnswer(w, "bundle", 7, 0.5, false);
	for (int i = 0; i < window.size; i++)
		WeighAddItem(a, &w->cand[who[window.members[i]]], amount[window.members[i]], 0);
	WeighExplain(w, a, &w->cand[who[window.members[0]]],
			psprintf("%s is the sum of %d items of the payer that fall due together%s",
					 WeighMoney(w->line, w->line->amount), window.size, plural ? ", and the text speaks of several" : ""));
	return true;
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
	bool		plural;
	bool		several = false;
	bool		sure;
	const char *rule;
	const char *strange;
	const char *others;

	/* equal amounts first, then less a discount that may still be taken */
	for (int pass = 0; pass < 2 && count == 0; pass++)
	{
		for (int i = 0; i < w->n; i++)
		{
			const Candidate *c = &w->cand[i];
			int			rel = c->group ? REL_NAME : c->rel;

			if (!WeighPayable(w, c) || c->rel < REL_NAME ||
				(pass == 0 ? c->open != w->line->amount :
				 !(WeighInDiscount(w, c) && c->open - c->discount == w->line->amount)))
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
			OfferOfEqual(w, order, &n, i);
		}
		net = pass == 1;
	}
	if (count == 0)
		return false;
	rule = group ? "amount_group" : net ? "amount_discount" :
		level == REL_NAME ? "amount_name" : "amount";
	sure = count == 1 && w->closed < 0 &&
		(level == REL_ACCOUNT || w->line->payer < REL_ACCOUNT || group) &&
		(level > REL_NAME || group || w->cand[order[0]].similarity >= 0.8) &&
		!(net && level < REL_KNOWN) && !OtherCited(w, order[0]) && !WeighOtherPurpose(w->line);
	strange = count == 1 ? WeighStrange(w, &w->cand[order[0]], false) : NULL;
	others = count == 1 ? WeighOthersNumber(w) : NULL;
	sure = sure && strange == NULL && others == NULL && !OtherHidden(w);
	plural = sure && WeighPlural(w->line);
	if (plural || (sure && w->line->amount < OFTEN_EQUAL))
	{
		if (!w->line->late)
		{
			w->line->asked = true;
			return true;
		}
		several = WeighSeveral(w, plural);
		sure = !several;
	}
	for (int i = 0; i < n; i++)
	{
		const Candidate *c = &w->cand[order[i]];
		Answer	   *a = WeighNewAnswer(w, rule, level == REL_ACCOUNT ? 5 : 6,
								  sure ? 0.999 : 0.9 / (count + several), sure);

		if (a != NULL && net)
			a->settle_kind = "discount";
		WeighAddItem(a, c, w->line->amount, net ? c->discount : 0);
		WeighExplain(w, a, c, strange != NULL ?
				psprintf("%s equals only this item, but the text cites %s, which is not known", WeighMoney(w->line, w->line->amount), strange) :
				others != NULL ? psprintf("%s equals only this item, but the text cites %s, which is another customer's", WeighMoney(w->line, w->line->amount), others) :
				several ? psprintf("%s equals this item, but also the sum of some that fall due together", WeighMoney(w->line, w->line->amount)) :
				count == 1 ? WeighEquation(w, "equals only this item's", c->open) :
				psprintf("%s equals this and %d other items", WeighMoney(w->line, w->line->amount), count - 1));
	}
	return true;
}

/*
 * Nothing known of the payer explains the line: items of this amount whose
 * customers are called something like him.  Never posted; a person sees at
 * once what it is.
 */
static void
WeighLikelyNames(Weighing *w)
{
	int			order[ANSWERS_MAX];
	int			n = 0;

	if (w->line->payer == REL_ACCOUNT || WeighOtherPurpose(w->line))
		return;
	for (int i = 0; i < w->n; i++)
	{
		const Candidate *c = &w->cand[i];
		int			k;

		if (!WeighPayable(w, c) || c->rel != REL_UNKNOWN || c->open != w->line->amount ||
			c->similarity < NAME_LIKELY)
			continue;
		for (k = n; k > 0 && c->similarity > w->cand[order[k - 1]].similarity; k--)
			if (k < ANSWERS_MAX)
				order[k] = order[k - 1];
		if (k < ANSWERS_MAX)
		{
			order[k] = i;
			n = Min(n + 1, ANSWERS_MAX);
		}
	}
	for (int i = 0; i < n; i++)
	{
		const Candidate *c = &w->cand[order[i]];
		Answer	   *a = WeighNewAnswer(w, "amount_name", 8, c->similarity / 2 / n, false);

		WeighAddItem(a, c, w->line->amount, 0);
		WeighExplain(w, a, c, psprintf("%s equals this item of %s", WeighMoney(w->line, w->line->amount), c->customer_name));
	}
}

/* No citation: several items of the payer that make the amount, in one way. */
static bool
WeighBundle(Weighing *w)
{
	int			who[OTHERS_MAX];
	int64		amount[OTHERS_MAX];
	int			n = WeighOthers(w, who, amount, OTHERS_MAX, false);
	int64		all = 0;
	int64		due = 0;
	int			ndue = 0;
	int64		major = 1;
	CashSubset	subset;
	Answer	   *a;
	bool		sure;
	bool		own;

	if (n < 2 || WeighOtherPurpose(w->line) || w->closed >= 0)
		return false;
	if (!w->line->late)
	{
		w->line->asked = true;
		return false;
	}
	own = w->line->payer == REL_ACCOUNT && WeighStrange(w, NULL, false) == NULL;
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

		/* what is past due may be paid, or another item of the same amount */
		for (int i = 0; i < n && !everything; i++)
			for (int k = 0; k < n && own; k++)
				own = !(w->cand[who[i]].due <= w->line->date && w->cand[who[k]].due > w->line->date && amount[i] == amount[k]);
		a = WeighNewAnswer(w, everything ? "account_cleared" : "past_due_cleared", 7, 0.998,
					  n <= 60 && (everything ? n : ndue) <= ANSWER_ITEMS && own);
		for (int i = 0; i < n; i++)
			if (everything || w->cand[who[i]].due <= w->line->date)
				WeighAddItem(a, &w->cand[who[i]], amount[i], 0);
		WeighExplain(w, a, &w->cand[who[0]], everything ?
				"the payment equals everything open" : "the payment equals everything past due");
		return true;
	}
	CashSubsetSearch(amount, n, w->line->amount, w->settings->max_size, w->settings->budget, &subset);
	sure = subset.solutions == 1 && subset.complete && subset.chance <= w->settings->max_chance &&
		!w->line->windowed && own && w->line->amount % (100 * major) != 0;
	if (!sure)
	{
		CashSubset	window;

		if (WeighWindow(w, amount, n, w->line->amount, &window))
		{
			a = WeighNewAnswer(w, "bundle", 7, 1 - window.chance / 4,
						  own && WeighTrusted(w, &window) && w->line->amount % (100 * major) != 0 &&
						  !WeighHasTwin(amount, n, window.members, window.size));
			for (int i = 0; i < window.size; i++)
				WeighAddItem(a, &w->cand[who[window.members[i]]], amount[window.members[i]], 0);
			WeighExplain(w, a, &w->cand[who[window.members[0]]],
					psprintf("%s is the sum of %d items of the payer that fall due together",
							 WeighMoney(w->line, w->line->amount), window.size));
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
		WeighEarliestTwins(amount, n, subset.members, subset.size);
		for (int i = 0; i < subset.size; i++)
			same &= found[i] == subset.members[i];
		if (!same)
		{
			memcpy(subset.second, found, sizeof(found));
			subset.second_size = subset.size;
			subset.solutions = Max(subset.solutions, 2);
		}
	}
	a = WeighNewAnswer(w, "bundle", 7, sure ? 1 - subset.chance / 4 : subset.solutions == 1 ? 0.6 : 0.4, sure);
	for (int i = 0; i < subset.size; i++)
		WeighAddItem(a, &w->cand[who[subset.members[i]]], amount[subset.members[i]], 0);
	WeighExplain(w, a, &w->cand[who[subset.members[0]]],
			psprintf("%s is the sum of %d items of the payer%s", WeighMoney(w->line, w->line->amount), subset.size,
					 subset.solutions > 1 ? ", and of others as well" : !subset.complete ? " (not all sets were tried)" : ""));
	WeighDropRepeated(w);
	if (subset.solutions >= 2)
	{
		a = WeighNewAnswer(w, "bundle", 7, 0.3, false);
		for (int i = 0; i < subset.second_size; i++)
			WeighAddItem(a, &w->cand[who[subset.second[i]]], amount[subset.second[i]], 0);
		WeighExplain(w, a, &w->cand[who[subset.second[0]]],
				psprintf("%s is also the sum of these", WeighMoney(w->line, w->line->amount)));
		WeighDropRepeated(w);
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

		if (c->dropped || c->cite != CITE_PART || !WeighOwn(c) || c->open <= 0)
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
	PartyName  *payer = NULL;

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
			if (payer == NULL)
				payer = CashReadName(line->payer_name);
			c->similarity = CashNameSimilarity(line->payer_name, payer, c->customer_name);
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
		int			rival = WeighEqualRival(&w);
		Answer	   *a;

		/* an old number on a new payment, or the old payment once more? */
		if (rival >= 0 && cand[rival].open == line->amount && cand[rival].rel >= REL_KNOWN &&
			cand[w.closed].amount != line->amount)
		{
			a = WeighNewAnswer(&w, "conflict", 8, 0.4, false);
			WeighAddItem(a, &cand[rival], line->amount, 0);
			WeighExplain(&w, a, &cand[rival], psprintf("%s equals this item, but the text cites %s, which is settled",
													   WeighMoney(line, line->amount), cand[w.closed].number));
			return w.nanswers;
		}
		a = WeighNewAnswer(&w, "duplicate", 9, 0.9, false);

		if (a != NULL)
		{
			a->customer_id = cand[w.closed].customer_id;
			a->explanation = psprintf("%s is cited and is already settled", cand[w.closed].number);
		}
		return w.nanswers;
	}
	/* with numbers in the text, only when all items of the payer were looked at */
	if (!line->whole && line->payer >= REL_KNOWN && HasNumbers(line))
		return w.nanswers;
	if (w.nanswers == 0 && WeighAmount(&w))
		return w.nanswers;
	if (w.nanswers == 0 && line->whole)
	{
		PromoteParts(&w);
		if (w.ncited == 1 && WeighCited(&w))
			return w.nanswers;
		(void) WeighBundle(&w);
	}
	if (w.nanswers == 0)
		WeighLikelyNames(&w);
	return w.nanswers;
}
