/*
 * weigh_help.c
 *		What every hypothesis of the weigher uses: answers and their
 *		sentences, words in the text, other items of the payer.
 */
#include "cash/weigh.h"

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

/* Does the text have one of these, be it within a longer word? */
static bool
SaysOneOf(const char *text, const char *const *words, int n)
{
	for (int i = 0; i < n; i++)
		if (strstr(text, words[i]) != NULL)
			return true;
	return false;
}

/* Is the text marked as leaving out items, or cut by the bank? */
bool
WeighUnfinished(const Line *line)
{
	static const char *const marks[] = {
		" U.A", " ETC", " U.W", " USW", "...", " AND OTHERS", " E.A", " E.O", " DIV", " WEITERE", " MORE", " OTHERS", " ALTRI", " AUTRES", " OTROS"
	};
	const char *s = line->tokens->folded;
	int			len = line->tokens->len;

	if (line->tokens->cut)
		return true;
	if (SaysOneOf(s, marks, lengthof(marks)))
		return true;
	/* "+3" at the end */
	for (int i = len - 1; i > 0 && i > len - 4; i--)
		if (s[i] == '+')
			return true;
	return false;
}

/* How a word may stand in a text: alone, as the beginning of one, or anywhere in one. */
typedef enum Within
{
	ALONE, BEGINS, ANYWHERE
} Within;

typedef struct Word
{
	const char *word;
	Within		within;
} Word;

/* Where the text, from a place in it on, has a word; NULL when it has not. */
static const char *
FindWord(const char *text, const char *from, const Word *word)
{
	int			len = strlen(word->word);

	for (const char *at = strstr(from, word->word); at != NULL; at = strstr(at + 1, word->word))
		if ((word->within == ANYWHERE || at == text || !IsLetter(at[-1])) &&
			(word->within != ALONE || !IsLetter(at[len])))
			return at;
	return NULL;
}

/* Words that say: on account, in advance. */
bool
WeighOnAccountWords(const Line *line)
{
	static const Word words[] = {
		{"AKONTO", BEGINS}, {"A CONTO", BEGINS}, {"ACONTO", BEGINS}, {"ON ACCOUNT", ALONE}, {"ABSCHLAG", ANYWHERE},
		{"ANZAHLUNG", ANYWHERE}, {"VORAUSZAHLUNG", ANYWHERE}, {"PREPAY", BEGINS}, {"PREPAID", BEGINS}, {"ADVANCE", ALONE},
		{"PROFORMA", BEGINS}, {"PRO FORMA", BEGINS}, {"DEPOSIT", ALONE}, {"ACOMPTE", BEGINS}, {"ACCONTO", ALONE}, {"ACCONTI", ALONE},
		{"ANTICIPO", BEGINS}, {"ANTICIPI", ALONE}, {"ADIANTAMENTO", BEGINS}, {"VOORSCHOT", ANYWHERE}, {"VORKASSE", BEGINS},
		{"DOWN PAYMENT", BEGINS}, {"DOWNPAYMENT", BEGINS}, {"AANBETALING", ANYWHERE}, {"VOORUITBETALING", ANYWHERE},
		{"FORSKOTT", BEGINS}, {"FOERSKOTT", BEGINS}, {"FORSKUD", BEGINS}, {"ENNAKKO", BEGINS}, {"ZALICZK", BEGINS},
		{"PRZEDPLAT", BEGINS}, {"ZALOH", BEGINS}, {"ELOLEG", BEGINS}, {"AVANS", ALONE}, {"ON ODEME", ALONE},
	};
	const char *s = line->tokens->folded;

	for (int i = 0; i < lengthof(words); i++)
		if (FindWord(s, s, &words[i]) != NULL)
			return true;
	return false;
}

/* Words that say: a credit note is deducted. */
bool
WeighCreditWords(const Line *line)
{
	static const Word words[] = {
		{"CREDIT NOTE", BEGINS}, {"CREDITNOTE", BEGINS}, {"CREDIT MEMO", BEGINS}, {"AVOIR", ALONE}, {"AVOIRS", ALONE},
		{"CREDITNOTA", BEGINS}, {"NOTA CREDITO", BEGINS}, {"NOTA DI CREDITO", ALONE}, {"NOTA DE CREDITO", ALONE},
		{"NOTE DE CREDIT", ALONE}, {"LESS CREDIT", ALONE}, {"CRN", ALONE}, {"HYVITYS", BEGINS}, {"KREDITNOT", BEGINS},
		{"KREDITFAKTURA", BEGINS}, {"KOREKT", BEGINS}, {"DOBROPIS", BEGINS}, {"JOVAIRAS", BEGINS}
	};
	static const Word gutschrift = {"GUTSCHR", BEGINS};
	const char *s = line->tokens->folded;
	int			len = line->tokens->len;

	for (int i = 0; i < lengthof(words); i++)
		if (FindWord(s, s, &words[i]) != NULL)
			return true;
	/* "SEPA-Gutschrift" is what German banks call money that comes in */
	for (const char *at = FindWord(s, s, &gutschrift); at != NULL; at = FindWord(s, at + 1, &gutschrift))
		if (!(at - s >= 2 && at[-1] == '-' && IsLetter(at[-2])) && !(at - s >= 5 && strncmp(at - 5, "SEPA ", 5) == 0))
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

/* Is another open item of the payer cited, not as well as those that count as cited? */
bool
WeighCitesMore(const Weighing *w)
{
	for (int i = 0; i < w->n; i++)
	{
		const Candidate *c = &w->cand[i];
		bool		cited = false;

		if (!WeighOwn(c) || c->group || c->open == 0 || c->cite < CITE_PART || c->cite >= CITE_EXACT)
			continue;
		for (int k = 0; k < w->ncited; k++)
			cited |= w->cited[k] == i || w->cand[w->cited[k]].first == c->first;
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

/* "+3" at the end of the text: how many more there are; 0 = not said. */
int
WeighStatedMore(const Line *line)
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
int
WeighCompareNumbers(const Candidate *a, const Candidate *b)
{
	size_t		alen = strlen(a->number);
	size_t		blen = strlen(b->number);

	return alen != blen ? (alen < blen ? -1 : 1) : strcmp(a->number, b->number);
}
