/*
 * cite.c
 *		Which of the candidates does the text of a line cite, and how well?
 *
 * A candidate's number is compared with the tokens of the text: equal digits
 * or letters, the tail that people quote, one slip of the keyboard or of a
 * scanner.  The best citation of each candidate stands; where one stretch of
 * the text cites several, the better and longer reading wins.
 */
#include "cash/weigh.h"

#include "utils/datetime.h"

/* Groups of digits in a document number, without leading zeros. */
typedef struct Groups
{
	int			n;
	char		digits[4][CASH_VALUE_MAX];
	int			len[4];
	int			rawlen[4];
} Groups;

struct NumberForms
{
	int			n;				/* digits, without leading zeros */
	char		digits[CASH_VALUE_MAX];
	int64		key;			/* as a document; 0 = nothing to compare */
	int64		digitkey;		/* of the digits, when they alone are telling */
	int64		alnumkey;		/* of letters and digits */
	int64		shortkey;		/* ... without the zeros that its groups begin with; 0 = the same */
	Groups		groups;
};

static void
SplitGroups(const char *number, Groups *groups)
{
	groups->n = 0;
	for (const char *p = number; *p && groups->n < 4;)
	{
		int			raw = 0;
		int			n = 0;

		if (*p < '0' || *p > '9')
		{
			p++;
			continue;
		}
		while (*p >= '0' && *p <= '9')
		{
			if ((n > 0 || *p != '0') && n < CASH_VALUE_MAX - 1)
				groups->digits[groups->n][n++] = *p;
			raw++;
			p++;
		}
		groups->digits[groups->n][n] = '\0';
		groups->len[groups->n] = n;
		groups->rawlen[groups->n] = raw;
		groups->n++;
	}
}

/* Letters and digits of a number without the zeros that its groups of digits begin with. */
static int
ShortAlnumOf(const char *number, char *out, int max)
{
	int			n = 0;
	bool		letters = false;

	for (const char *p = number; *p && n < max; p++)
	{
		char		c = pg_ascii_toupper((unsigned char) *p);

		if (!IsLetter(c) && !IsDigit(c))
			continue;
		if (c == '0' && (p == number || !IsDigit(p[-1])) && IsDigit(p[1]))
		{
			while (*p == '0' && IsDigit(p[1]))
				p++;
			c = *p;
		}
		letters |= IsLetter(c);
		out[n++] = c;
	}
	return letters ? n : 0;
}

/* Take a citation if it is better than what the candidate has. */
static void
Take(Candidate *c, Cite cite, const CashToken *token, int index)
{
	if (cite == CITE_NONE)
		return;
	if (cite > c->cite)
	{
		c->cite = cite;
		c->token = index;
		c->first = token->first;
		c->last = token->last;
		c->pos = token->pos;
	}
	else if (cite == c->cite && token->pos > c->pos + 3 &&
			 (token->first < 0 || token->first > c->last))
		c->repeated = token->pos;
}

/* Is a run of the text a group of a number, leading zeros aside? */
static bool
IsGroup(const CashRun *run, const Groups *groups, int group)
{
	int			skip = 0;

	while (skip < run->len - 1 && run->digits[skip] == '0')
		skip++;
	return run->mark == 0 && !run->repaired && run->len - skip == groups->len[group] &&
		memcmp(run->digits + skip, groups->digits[group], run->len - skip) == 0;
}

/* Is a group of digits a year? */
static bool
IsYear(const Groups *groups, int group)
{
	const char *digits = groups->digits[group];

	return groups->rawlen[group] == 4 && groups->len[group] == 4 && strncmp(digits, "20", 2) == 0;
}

/* Is a run of the text a group of a number, where a year may be short? */
static bool
IsShortGroup(const CashRun *run, const Groups *groups, int group)
{
	return IsGroup(run, groups, group) ||
		(IsYear(groups, group) && run->mark == 0 && run->len == 2 && strncmp(run->digits, groups->digits[group] + 2, 2) == 0);
}

/*
 * A short form by neighbouring runs: "25/123" or "2025/123" for
 * INV-2025-000123, "714/8/2025" for FV/714/08/2025, "1521/FE/26" for
 * 1521/FE/2026.  Returns how many runs, 0 for none.
 */
static int
ShortForm(const CashText *t, int run, const Groups *groups)
{
	const CashRun *a = &t->runs[run];
	int			n = groups->n;
	int			digits = 0;

	if (n < 2 || run + 1 >= t->nruns || a->mark)
		return 0;
	if (IsYear(groups, 0) && t->runs[run + 1].start - a->end <= 2 && IsGroup(&t->runs[run + 1], groups, n - 1) &&
		((a->len == 2 && strncmp(a->digits, groups->digits[0] + 2, 2) == 0) ||
		 /* with two digits behind the year it may be a month */
		 (IsGroup(a, groups, 0) && groups->len[n - 1] >= 3)))
		return 2;
	if (run + n > t->nruns)
		return 0;
	for (int g = 0; g < n; g++)
	{
		const CashRun *r = &t->runs[run + g];

		if (!IsShortGroup(r, groups, g) ||
			(g > 0 && (r->start - r[-1].end > 4 || memchr(t->folded + r[-1].end, ' ', r->start - r[-1].end - 1) != NULL)))
			return 0;
		digits += IsYear(groups, g) ? 2 : groups->len[g];
	}
	return n > 2 || digits >= 5 ? n : 0;
}

/* Two numbers of as many digits, near each other as documents of one series are. */
static bool
InSeries(const char *a, const char *b, int len)
{
	int64		range = 2;
	int64		x = CashKeyDigits(a, Min(len, 18));
	int64		y = CashKeyDigits(b, Min(len, 18));

	for (int i = 2; i < len && range < 50000; i++)
		range *= 10;
	return len <= 18 && llabs(x - y) < Min(range, 50000);
}

/*
 * Is the text from a run on made like a number: of one group, as long and not
 * far from it; of several, the same groups, the year within two?  Returns how
 * many runs, 0 for not.
 */
int
CiteResembles(const CashText *t, int run, const NumberForms *f)
{
	const CashRun *a = &t->runs[run];
	const Groups *groups = &f->groups;
	int			n = groups->n;
	int			raw = 0;
	bool		dated = false;

	if (a->mark || n == 0 || f->n < 4)
		return 0;
	/* all digits in one: the groups of the number written together, or its only one */
	for (int g = 0; g < n; g++)
	{
		raw += groups->rawlen[g];
		dated |= IsYear(groups, g);
	}
	if (a->len == raw && raw >= 5 && f->n <= 18)
	{
		const char *digits = a->digits;
		int			len = a->len;

		if (n > 1)
			return groups->len[0] >= 3 && memcmp(digits, groups->digits[0], groups->len[0]) == 0 ? 1 : 0;
		for (; len > f->n; len--)
			if (*digits++ != '0')
				return 0;
		return InSeries(digits, f->digits, len) ? 1 : 0;
	}
	if (n < 2 || run + n > t->nruns)
		return 0;
	for (int g = 0; g < n; g++)
	{
		const CashRun *r = &t->runs[run + g];
		int			skip = 0;

		if (r->mark || r->len > groups->rawlen[g] ||
			(g > 0 && (r->start - r[-1].end > 4 || r->start == r[-1].end)))
			return 0;
		/* a month beside a year, or anything else of two digits, is a year */
		if (n > 2 && groups->rawlen[g] == 2 && !IsYear(groups, g) && (IsYear(groups, 0) || IsYear(groups, n - 1)))
			continue;
		if (IsYear(groups, g) || groups->rawlen[g] == 2)
		{
			int			year = atoi(groups->digits[g]) % 100;

			if ((r->len != 2 && r->len != groups->rawlen[g]) || abs(atoi(r->digits + r->len - 2) - year) > 2)
				return 0;
			continue;
		}
		while (skip < r->len && r->digits[skip] == '0')
			skip++;
		if (r->len - skip < groups->len[g] - 1 || r->len == skip ||
			(!dated && groups->len[g] >= 5 && strncmp(r->digits + skip, groups->digits[g], 2) != 0))
			return 0;
	}
	return n;
}

/* How many digits a number has, leading zeros aside. */
int
CiteDigits(const NumberForms *f)
{
	return f->n;
}

/* Do the digits from a run to the end of the text begin a number that was cut there? */
bool
CiteBegins(const CashText *t, int run, const NumberForms *f)
{
	int			n = 0;
	bool		begun = false;

	if (t->nruns == 0 || t->runs[t->nruns - 1].end != t->len)
		return false;
	for (; run < t->nruns; run++)
		for (int k = 0; k < t->runs[run].len; k++)
		{
			begun |= t->runs[run].digits[k] != '0';
			if (begun && (n >= f->n || t->runs[run].digits[k] != f->digits[n++]))
				return false;
		}
	return true;
}

/* Is a run the end of a number, three digits of it at least? */
bool
CiteEnds(const CashRun *run, const NumberForms *f)
{
	int			skip = 0;
	int			n;

	while (skip < run->len && run->digits[skip] == '0')
		skip++;
	n = run->len - skip;
	return n >= 3 && n <= f->n && memcmp(run->digits + skip, f->digits + f->n - n, n) == 0;
}

/* Is a run as the end of a number could be that is within a thousand of this one? */
bool
CiteEndsAlike(const CashRun *run, const NumberForms *f)
{
	return run->mark == 0 && run->len >= 4 && run->len <= f->n &&
		memcmp(run->digits, f->digits + f->n - run->len, run->len - 3) == 0;
}

/* Read a document number once for all texts that it is compared with. */
static const NumberForms *
FormsOf(const char *number)
{
	NumberForms *f = palloc(sizeof(NumberForms));
	int			len = strlen(number);
	char		alnum[CASH_VALUE_MAX];
	int			m = CashAlnumOf(number, len, alnum, CASH_VALUE_MAX);

	f->n = CashDigitsOf(number, len, f->digits, CASH_VALUE_MAX);
	f->key = CashDocumentKey(number, len);
	f->alnumkey = m > 0 ? CashKeyAlnum(alnum, m) : 0;
	m = ShortAlnumOf(number, alnum, CASH_VALUE_MAX);
	f->shortkey = m > 0 ? CashKeyAlnum(alnum, m) : 0;
	if (f->shortkey == f->alnumkey)
		f->shortkey = 0;
	f->digitkey = f->key < 0 && f->n >= 6 && f->n <= 18 ? CashKeyDigits(f->digits, f->n) : f->key;
	SplitGroups(number, &f->groups);
	return f;
}

/* Read the numbers of a candidate that is compared with several lines. */
void
CiteForms(Candidate *c)
{
	if (c->forms == NULL)
		c->forms = FormsOf(c->number);
	if (c->alt_forms == NULL && c->alt_number != NULL)
		c->alt_forms = FormsOf(c->alt_number);
}

/* Is the token one run of digits that reads as a date, an amount or a percentage? */
static bool
IsMarked(const CashText *t, const CashToken *token)
{
	return token->first >= 0 && token->first == token->last && t->runs[token->first].mark != 0;
}

/* Which group of a number tells: the last, or the first of what ends in the year of the item. */
static int
TellingGroup(const Candidate *c, const Groups *groups)
{
	int			last = groups->n - 1;
	int			year;
	int			month;
	int			day;

	if (last < 1 || !IsYear(groups, last))
		return last;
	j2date(c->issued + POSTGRES_EPOCH_JDATE, &year, &month, &day);
	return atoi(groups->digits[last]) == year && atoi(groups->digits[0]) != year ? 0 : last;
}

/* Compare one number of a candidate with all tokens. */
static void
CiteNumber(const Line *line, Candidate *c, const NumberForms *f)
{
	const CashText *t = line->tokens;
	const char *digits = f->digits;
	int			n = f->n;
	const Groups *groups = &f->groups;
	int			telling;

	if (f->key == 0)
		return;
	telling = TellingGroup(c, groups);
	for (int i = 0; i < t->ntokens; i++)
	{
		const CashToken *token = &t->tokens[i];
		Cite		cite = CITE_NONE;

		switch (token->kind)
		{
			case CASH_NUMBER:
				if (token->key == f->digitkey)
					cite = CITE_EXACT;
				else if (n < 4 || IsMarked(t, token))
					break;
				/* all digits of a number that has letters as well */
				else if (token->len == n && memcmp(token->value, digits, n) == 0)
					cite = CITE_PART;
				else if (token->len >= 5 && token->len < n && token->first == token->last &&
						 memcmp(token->value, digits + n - token->len, token->len) == 0)
					cite = CITE_PART;
				else if (token->len >= 3 && groups->n >= 2 && token->first == token->last &&
						 token->len == groups->len[telling] &&
						 memcmp(token->value, groups->digits[telling], token->len) == 0)
					cite = token->len >= 5 ? CITE_PART : CITE_TAIL;
				else if (token->len >= 3 && token->len < n && token->first == token->last && (telling == groups->n - 1 || token->len > 4) &&
						 memcmp(token->value, digits + n - token->len, token->len) == 0)
					cite = CITE_TAIL;
				else if (n >= 6 && token->len >= 5 &&
						 CashEditDistance(token->value, token->len, digits, n, 1) == 1)
					cite = CITE_TYPO;
				break;
			case CASH_REPAIRED:
				if (token->key == f->digitkey)
					cite = CITE_TYPO;
				break;
			case CASH_COMPLETED:
			case CASH_RANGE:
				if (token->key == f->digitkey)
					cite = CITE_DERIVED;
				break;
			case CASH_ALNUM:
				if (token->key == f->alnumkey)
					cite = CITE_EXACT;
				else if (f->shortkey != 0 && token->key == f->shortkey)
					cite = CITE_PART;
				if (cite != CITE_NONE && (c->spelled < 0 || token->pos > t->tokens[c->spelled].pos))
					c->spelled = i;
				break;
			case CASH_REFERENCE:
				if (c->reference_key != 0 && token->key == c->reference_key)
					cite = CITE_REFERENCE;
				break;
			default:
				break;
		}
		Take(c, cite, token, i);
	}
	if (c->cite < CITE_PART)
		for (int r = 0; r < t->nruns; r++)
		{
			int			runs = ShortForm(t, r, groups);
			CashToken	token = {.first = r, .last = r + runs - 1, .pos = t->runs[r].start};

			if (runs > 0)
				Take(c, CITE_PART, &token, 0);
		}
	/* an amount or date may be the whole number of somebody with short numbers */
	if (c->cite == CITE_EXACT && n < 5 && f->key > 0 && c->first >= 0 &&
		t->runs[c->first].mark != 0)
		c->cite = CITE_NONE;
}

/*
 * The number of its order or delivery cites an item less well than its own:
 * there may be other items of the order.
 */
static void
CiteOrder(const Line *line, Candidate *c)
{
	Candidate	order = *c;

	order.cite = CITE_NONE;
	CiteNumber(line, &order, FormsOf(c->order_number));
	if (order.cite != CITE_EXACT)
		return;
	order.cite = CITE_DERIVED;
	order.by_order = true;
	*c = order;
}

/* Do both citations use the same stretch of text? */
bool
CiteOverlap(const Candidate *a, const Candidate *b)
{
	if (a->first < 0 || b->first < 0)
		return a->token == b->token;
	return a->first <= b->last && b->first <= a->last;
}

/* Does the text have another number, with its letters, where it has only the digits of this one? */
static bool
SpelledOther(const CashText *t, const Candidate *c, const Candidate *other)
{
	const CashToken *token = &t->tokens[other->spelled];

	return c->first >= 0 && token->pos <= t->runs[c->first].start && CashTokenEnd(t, token) >= t->runs[c->last].end;
}

/* Fill the citation of each candidate; drop readings that a better one covers. */
void
CiteCandidates(Line *line, Candidate *cand, int n)
{
	int		   *exact = palloc(Max(n, 1) * sizeof(int));
	int			nexact = 0;

	for (int i = 0; i < n; i++)
	{
		Candidate  *c = &cand[i];

		c->cite = CITE_NONE;
		c->token = c->first = c->last = c->pos = c->repeated = c->spelled = -1;
		CiteForms(c);
		if (line->reference_key != 0 &&
			(line->reference_key == c->reference_key || line->reference_key == c->forms->key))
		{
			c->cite = CITE_REFERENCE;
			continue;
		}
		CiteNumber(line, c, c->forms);
		if (c->alt_number != NULL && c->cite < CITE_EXACT)
			CiteNumber(line, c, c->alt_forms);
		/* what the text calls an order or a customer is no end of ours, nor ours with a slip */
		if (c->cite > CITE_NONE && c->cite <= CITE_PART && c->pos >= 0 && WeighCalled(line->tokens, c->pos) < 0)
			c->cite = CITE_NONE;
		if (c->order_number != NULL && c->cite < CITE_DERIVED)
			CiteOrder(line, c);
	}
	/* "A/26/355" is not "B/26/355" */
	for (int j = 0; j < n; j++)
		if (cand[j].spelled >= 0)
			for (int i = 0; i < n; i++)
				if (cand[i].spelled < 0 && (cand[i].cite == CITE_EXACT || cand[i].cite == CITE_PART) &&
					cand[i].rel <= cand[j].rel && SpelledOther(line->tokens, &cand[i], &cand[j]))
					cand[i].cite = CITE_NONE;
	/* only an exact citation can be the better one */
	for (int i = 0; i < n; i++)
		if (cand[i].cite >= CITE_EXACT)
			exact[nexact++] = i;
	for (int i = 0; i < n && nexact > 0; i++)
		for (int e = 0; e < nexact && cand[i].cite != CITE_NONE; e++)
		{
			int			j = exact[e];
			const Candidate *better = &cand[j];
			int			mine;
			int			theirs;

			if (i == j || better->cite <= cand[i].cite ||
				better->cite < CITE_EXACT || better->dropped || cand[i].pos < 0 || better->pos < 0)
			{
				/* same quality: the longer reading */
				if (i == j || cand[i].cite < CITE_EXACT || better->cite != cand[i].cite ||
					cand[i].first < 0 || better->first < 0)
					continue;
				mine = cand[i].last - cand[i].first;
				theirs = better->last - better->first;
				if (theirs > mine && better->first <= cand[i].first && better->last >= cand[i].last &&
					line->tokens->tokens[cand[i].token].len < 8)
					cand[i].cite = CITE_NONE;
				continue;
			}
			/* a tail or slip on the very text that cites another exactly: kept for equal amounts only */
			if (CiteOverlap(&cand[i], better) && cand[i].cite != CITE_TYPO && cand[i].cite != CITE_DERIVED &&
				cand[i].rel <= better->rel)
				cand[i].cite = CITE_NONE;
		}
}
