/*
 * tokenise.c
 *		From a remittance text to what may be numbers and references in it.
 *
 * People write one document number in many ways: "INV-2025-000123",
 * "inv 2025 000123", "2025/123", "00193 0571 429".  The text is folded to
 * upper case ASCII once, its maximal runs of digits are found, and every
 * chain of neighbouring runs becomes a candidate number without leading
 * zeros, but for dates, amounts and percentages (marks.c).  Shortened list members
 * and ranges are completed from the number before them.
 */
#include "cash/cash.h"

#define JOIN_RUNS_MAX	6		/* runs that may make up one number */
#define RANGE_MAX		60		/* documents that a range may name */
#define BASES_MAX		4

/* The digit that a letter is easily mistaken for, or 0. */
static char
DigitLike(char c)
{
	switch (c)
	{
		case 'O':
		case 'Q':
		case 'D':
			return '0';
		case 'I':
		case 'L':
			return '1';
		case 'Z':
			return '2';
		case 'S':
			return '5';
		case 'G':
			return '6';
		case 'B':
			return '8';
		default:
			return 0;
	}
}

/*
 * Length of a digit run at pos, taking single letters that look like digits
 * as such when digits stand on both sides (or it ends a long run).
 */
static int
RunLength(const char *s, int len, int pos, bool *repaired)
{
	int			i = pos;
	int			letters = 0;

	*repaired = false;
	while (i < len && IsDigit(s[i]))
		i++;
	for (;;)
	{
		int			k = i;

		if (k >= len || DigitLike(s[k]) == 0 || letters >= 2)
			break;
		k++;
		if (k < len && IsDigit(s[k]))
			;
		else if (i - pos >= 5 && (k >= len || !IsLetter(s[k])))
			;
		else
			break;
		letters++;
		i = k;
		while (i < len && IsDigit(s[i]))
			i++;
	}
	/* more than a slip: letters belong to the number itself */
	if (letters > 0 && i - pos >= 5 && (i >= len || !IsLetter(s[i])))
	{
		*repaired = true;
		return i - pos;
	}
	for (i = pos; i < len && IsDigit(s[i]); i++)
		;
	return i - pos;
}

static void
FindRuns(CashText *t)
{
	for (int i = 0; i < t->len && t->nruns < CASH_RUNS_MAX;)
	{
		CashRun    *run;
		bool		repaired;
		int			n;

		if (!IsDigit(t->folded[i]))
		{
			i++;
			continue;
		}
		n = RunLength(t->folded, t->len, i, &repaired);
		run = &t->runs[t->nruns++];
		memset(run, 0, sizeof(CashRun));
		run->start = i;
		run->end = i + n;
		run->repaired = repaired;
		for (int k = i; k < i + n && run->len < CASH_VALUE_MAX - 1; k++)
			run->digits[run->len++] = IsDigit(t->folded[k]) ? t->folded[k] : DigitLike(t->folded[k]);
		i += n;
	}
}

/* Note a token, when there is room and anything in it. */
void
CashAddToken(CashText *t, char kind, int first, int last, int pos, int64 key,
			 const char *value, int len)
{
	CashToken  *token;

	if (t->ntokens >= CASH_TOKENS_MAX || len <= 0)
		return;
	token = &t->tokens[t->ntokens++];
	token->kind = kind;
	token->first = first;
	token->last = last;
	token->pos = pos;
	token->len = Min(len, CASH_VALUE_MAX - 1);
	token->key = key;
	memcpy(token->value, value, token->len);
	token->value[token->len] = '\0';
}

/* May the runs a and a + 1 be parts of one number? */
static bool
Joinable(const CashText *t, int a)
{
	int			gap = t->runs[a + 1].start - t->runs[a].end;

	if (gap < 0 || gap > 3)
		return false;
	for (int i = t->runs[a].end; i < t->runs[a + 1].start; i++)
		if (strchr(" .-/_*:|\\#'", t->folded[i]) == NULL &&
			!(gap == 3 && i == t->runs[a].end + 1 && IsLetter(t->folded[i]) &&
			  t->folded[i - 1] != ' ' && t->folded[i + 1] != ' '))
			return false;
	return true;
}

/* Significant digits (no leading zeros) of joined runs; returns their number. */
static int
JoinRuns(const CashText *t, int first, int last, char *out)
{
	int			n = 0;

	for (int i = first; i <= last; i++)
		for (int k = 0; k < t->runs[i].len; k++)
			if (n > 0 || t->runs[i].digits[k] != '0')
			{
				if (n >= CASH_VALUE_MAX - 1)
					return CASH_VALUE_MAX;
				out[n++] = t->runs[i].digits[k];
			}
	return n;
}

/* The connector between two list members that makes them a range? */
static bool
IsRangeConnector(const CashText *t, int from, int to)
{
	static const char *const words[] = {
		"-", "--", "/", "..", "...", "BIS", "TO", "TM", "T/M", "A", "AU", "AL", "THRU",
		"THROUGH", "UNTIL", "TILL", "HASTA", "TOT", "FINO", "DO", "AZ", "JUSQU'A"
	};
	char		gap[12];
	int			n = 0;

	while (from < to && t->folded[from] == ' ')
		from++;
	if (to - from > 16)
		return false;
	if (from < to && IsLetter(t->folded[from]))
	{
		while (from < to && t->folded[from] != ' ' && n < (int) sizeof(gap) - 1)
			gap[n++] = t->folded[from++];
	}
	else
	{
		while (from < to && !IsLetter(t->folded[from]) && t->folded[from] != ' ' && n < (int) sizeof(gap) - 1)
			gap[n++] = t->folded[from++];
	}
	gap[n] = '\0';
	/* then only what the next number begins with */
	for (; from < to; from++)
		if (!IsLetter(t->folded[from]) && strchr(" -./_", t->folded[from]) == NULL)
			return false;
	for (int i = 0; i < lengthof(words); i++)
		if (words[i][0] == gap[0] && strcmp(gap, words[i]) == 0)
			return true;
	return false;
}

/* The documents between two numbers that differ in their last digits. */
static void
AddRange(CashText *t, int run, const char *from, const char *to, int len, int wrap)
{
	int			same = 0;
	int64		a;
	int64		b;
	int64		last;

	if (len > 18)
		return;
	while (same < len && from[same] == to[same])
		same++;
	if (same == len || len - same > 6)
		return;
	a = CashKeyDigits(from, len);
	b = CashKeyDigits(to, len);
	last = b - 1;
	/* "1097-01": the shortened end has passed the next hundred */
	if (b < a && wrap > 0 && wrap < len)
	{
		int64		step = 1;

		for (int i = 0; i < wrap; i++)
			step *= 10;
		b += step;
		last = b;
	}
	if (b <= a + 1 || b - a > RANGE_MAX)
		return;
	for (int64 v = a + 1; v <= last; v++)
	{
		char		value[32];
		int			n = snprintf(value, sizeof(value), INT64_FORMAT, v);

		CashAddToken(t, CASH_RANGE, run, run, t->runs[run].start, v, value, n);
	}
}

/* Does a run end a number of so many digits that begins behind the base: "2025/101 + 2025/121" has no range? */
static bool
EndsNumber(const CashText *t, int from, int run, int len)
{
	char		value[CASH_VALUE_MAX];

	for (int first = run - 1; first >= from && first > run - 4 && Joinable(t, first); first--)
		if (JoinRuns(t, first, run, value) == len)
			return true;
	return false;
}

/*
 * Numbers: every chain of joinable runs; then short runs behind a number are
 * completed with its prefix, and ranges are opened.
 */
static void
AddNumbers(CashText *t)
{
	char		base[BASES_MAX][CASH_VALUE_MAX];
	int			baselen[BASES_MAX];
	int			nbases = 0;
	int			baselast = -1;	/* the last member of its list */
	int			baseend = -1;	/* where it ends itself */
	int			before[CASH_RUNS_MAX];	/* where the base ended when a run began */

	for (int i = 0; i < t->nruns; i++)
	{
		bool		completed = false;

		before[i] = baselast;
		for (int j = i; j < t->nruns && j < i + JOIN_RUNS_MAX; j++)
		{
			char		value[CASH_VALUE_MAX];
			bool		repaired = false;
			int			n;

			if (j > i && !Joinable(t, j - 1))
				break;
			n = JoinRuns(t, i, j, value);
			if (n >= CASH_VALUE_MAX)
				break;
			/* a chain of several runs must not begin with nothing */
			if (n < 3 || (j > i && t->runs[i].mark == CASH_AMOUNT))
				continue;
			for (int k = i; k <= j; k++)
				repaired |= t->runs[k].repaired;
			CashAddToken(t, repaired ? CASH_REPAIRED : CASH_NUMBER, i, j,
					 t->runs[i].start, CashKeyDigits(value, n), value, n);
		}

		/* completed from an earlier number? */
		if (nbases > 0 && i > baselast && !t->runs[i].mark && t->runs[i].len >= 2 &&
			!(i > 0 && t->runs[i].start - t->runs[baselast].end > 160))
		{
			for (int b = 0; b < nbases; b++)
			{
				char		value[CASH_VALUE_MAX];
				int			cut = baselen[b] - t->runs[i].len;
				bool		range = i == baselast + 1 &&
					IsRangeConnector(t, t->runs[baselast].end, t->runs[i].start) &&
					!EndsNumber(t, baseend + 1, i, baselen[b]);

				if (cut <= 0)
				{
					if (cut == 0 && range)
						AddRange(t, i, base[b], t->runs[i].digits, baselen[b], 0);
					continue;
				}
				memcpy(value, base[b], cut);
				memcpy(value + cut, t->runs[i].digits, t->runs[i].len);
				CashAddToken(t, CASH_COMPLETED, i, i, t->runs[i].start,
						 CashKeyDigits(value, baselen[b]), value, baselen[b]);
				if (range)
					AddRange(t, i, base[b], value, baselen[b], t->runs[i].len);
				completed = true;
			}
		}

		/* chains that end here are bases for what follows */
		if (!t->runs[i].mark)
		{
			char		fresh[BASES_MAX][CASH_VALUE_MAX];
			int			freshlen[BASES_MAX];
			int			nfresh = 0;

			for (int first = i; first >= 0 && first > i - 3 && nfresh < BASES_MAX; first--)
			{
				int			n;

				if (first < i && !Joinable(t, first))
					break;
				if (t->runs[first].mark)
					break;
				n = JoinRuns(t, first, i, fresh[nfresh]);
				if (n < 5 || n > 18)
					continue;
				/* range between two complete chains */
				if (before[first] >= 0 && first == before[first] + 1 &&
					IsRangeConnector(t, t->runs[before[first]].end, t->runs[first].start))
					for (int b = 0; b < nbases; b++)
						if (baselen[b] == n)
							AddRange(t, i, base[b], fresh[nfresh], n, 0);
				freshlen[nfresh++] = n;
			}
			if (nfresh > 0 && !completed)
			{
				nbases = nfresh;
				baselast = baseend = i;
				memcpy(base, fresh, sizeof(fresh));
				memcpy(baselen, freshlen, sizeof(freshlen));
			}
			else if (completed)
			{
				/* long enough to be a number itself: a base beside the others */
				if (t->runs[i].len >= 6 && nbases < BASES_MAX)
				{
					baselen[nbases] = JoinRuns(t, i, i, base[nbases]);
					if (baselen[nbases] >= 6 && baselen[nbases] <= 18)
						nbases++;
				}
				baselast = i;
			}
		}
	}
}

/* ISO 11649 references, also in groups; "RF" at the start of a word. */
static void
AddReferences(CashText *t)
{
	for (int i = 0; i + 5 <= t->len; i++)
	{
		char		value[26];
		int			ends[26];
		int			n = 0;

		if (t->folded[i] != 'R' || t->folded[i + 1] != 'F' || !IsDigit(t->folded[i + 2]) ||
			!IsDigit(t->folded[i + 3]) ||
			(i > 0 && (IsLetter(t->folded[i - 1]) || IsDigit(t->folded[i - 1]))))
			continue;
		for (int k = i; k < t->len && n < 25; k++)
		{
			char		c = t->folded[k];

			if (c == ' ' && n > 0 && t->folded[k - 1] != ' ')
				continue;
			if (!IsDigit(c) && !IsLetter(c))
				break;
			ends[n] = k + 1;
			value[n++] = c;
		}
		for (; n >= 5; n--)
		{
			int			end = ends[n - 1];
			char		body[CASH_VALUE_MAX];
			int			m;

			if (end < t->len && (IsDigit(t->folded[end]) || IsLetter(t->folded[end])))
				continue;
			if (!CashIsIso11649(value, n))
				continue;
			CashAddToken(t, CASH_REFERENCE, -1, -1, i, CashKeyAlnum(value, n), value, n);
			/* the body often is our own number */
			m = CashDigitsOf(value + 4, n - 4, body, CASH_VALUE_MAX - 1);
			if (m >= 5)
				CashAddToken(t, CASH_NUMBER, -1, -1, i, CashKeyDigits(body, m), body, m);
		}
	}
}

/* Where the next word begins behind a separator that may have blanks around it: "A - 12"; -1 for no such. */
static int
BehindSeparator(const CashText *t, int at)
{
	int			marks = 0;
	int			end = at;

	for (; end < t->len && strchr(" -/._", t->folded[end]) != NULL; end++)
		marks += t->folded[end] != ' ';
	return end < t->len && end - at <= 3 && end - at - marks <= 2 && marks <= 1 && (marks == 1 || end - at == 1) ? end : -1;
}

/* Words with letters and digits, alone and joined over one separator. */
static void
AddAlnum(CashText *t)
{
	for (int i = 0; i < t->len; i++)
	{
		char		value[CASH_VALUE_MAX];
		int			n = 0;
		int			words = 1;
		bool		digits = false;
		bool		letters = false;

		if (!(IsDigit(t->folded[i]) || IsLetter(t->folded[i])) ||
			(i > 0 && (IsDigit(t->folded[i - 1]) || IsLetter(t->folded[i - 1]))))
			continue;
		for (int k = i; k < t->len && n < CASH_VALUE_MAX - 1; k++)
		{
			char		c = t->folded[k];

			if (!IsDigit(c) && !IsLetter(c))
			{
				k = BehindSeparator(t, k) - 1;
				if (++words > 4 || k < 0)
					break;
				continue;
			}
			digits |= IsDigit(c);
			letters |= IsLetter(c);
			value[n++] = c;
			if ((k + 1 >= t->len || !(IsDigit(t->folded[k + 1]) || IsLetter(t->folded[k + 1]))) && digits && letters && n >= 2)
				CashAddToken(t, CASH_ALNUM, -1, -1, i, CashKeyAlnum(value, n), value, n);
		}
	}
}

/* Where the letters and digits of a token end in the text. */
int
CashTokenEnd(const CashText *t, const CashToken *token)
{
	int			at = token->pos;

	for (int n = 0; at < t->len && n < token->len; at++)
		n += IsLetter(t->folded[at]) || IsDigit(t->folded[at]);
	return at;
}

/* Tokenise a text; alnum also gives numbers that have letters in them. */
CashText *
CashTokenise(const char *text, int len, bool alnum)
{
	CashText   *t = palloc0(sizeof(CashText));

	t->cut = len >= 135;
	len = Min(len, CASH_TEXT_MAX);
	t->folded = CashFold(text, len, &t->len);
	t->runs = palloc(CASH_RUNS_MAX * sizeof(CashRun));
	t->tokens = palloc(CASH_TOKENS_MAX * sizeof(CashToken));
	FindRuns(t);
	CashMark(t);
	AddReferences(t);
	AddNumbers(t);
	if (alnum)
		AddAlnum(t);
	return t;
}
