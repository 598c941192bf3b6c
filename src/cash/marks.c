/*
 * marks.c
 *		The dates, amounts and percentages of a remittance text.
 *
 * The tokeniser marks the runs of digits that they are made of, so that nothing
 * later takes a part of them for the number of a document.
 */
#include "cash/cash.h"

#include "types/types.h"

/* A short run as a number; -1 when it is none of a date. */
static int
RunValue(const CashRun *run)
{
	return run->len > 8 ? -1 : atoi(run->digits);
}

/* Two runs with one of these characters, and nothing else, between them. */
static bool
Adjacent(const CashText *t, int a, const char *separators)
{
	return a + 1 < t->nruns && t->runs[a + 1].start == t->runs[a].end + 1 &&
		strchr(separators, t->folded[t->runs[a].end]) != NULL;
}

/* May this be a day?  Years of two digits are of any century. */
static bool
IsDay(int y, int m, int d, int ylen)
{
	return m >= 1 && m <= 12 && d >= 1 && d <= 31 &&
		(ylen == 2 || (y >= 1980 && y <= 2099));
}

/* Is there a letter or digit just before or behind? */
static bool
Bounded(const CashText *t, int start, int end)
{
	return (start == 0 || (!IsLetter(t->folded[start - 1]) && !IsDigit(t->folded[start - 1]))) &&
		(end >= t->len || (!IsLetter(t->folded[end]) && !IsDigit(t->folded[end])));
}

/* Runs that are no part of a number. */
static void
MarkRuns(CashText *t, int first, int last, char mark)
{
	int			start = t->runs[first].start;

	for (int i = first; i <= last; i++)
		t->runs[i].mark = mark;
	CashAddToken(t, mark, first, last, start, 0, t->folded + start,
				 t->runs[last].end - start);
}

/* Dates: d.m.y, y-m-d with one kind of separator, and yyyymmdd. */
static void
MarkDates(CashText *t)
{
	for (int i = 0; i < t->nruns; i++)
	{
		CashRun    *a = &t->runs[i];

		if (a->mark || a->repaired)
			continue;
		if (Adjacent(t, i, "./-") && Adjacent(t, i + 1, "./-") &&
			t->folded[a->end] == t->folded[t->runs[i + 1].end])
		{
			CashRun    *b = &t->runs[i + 1];
			CashRun    *c = &t->runs[i + 2];
			int			x = RunValue(a);
			int			y = RunValue(b);
			int			z = RunValue(c);
			bool		dmy = a->len <= 2 && b->len <= 2 && (c->len == 4 || c->len == 2) &&
				(IsDay(z, y, x, c->len) || IsDay(z, x, y, c->len));
			bool		ymd = a->len == 4 && b->len == 2 && c->len == 2 && IsDay(x, y, z, 4);

			if ((dmy || ymd) && Bounded(t, a->start, c->end))
			{
				MarkRuns(t, i, i + 2, CASH_DATE);
				i += 2;
				continue;
			}
		}
		if (a->len == 8 && Bounded(t, a->start, a->end) &&
			(strncmp(a->digits, "19", 2) == 0 || strncmp(a->digits, "20", 2) == 0) &&
			IsDay(RunValue(a) / 10000, RunValue(a) / 100 % 100, RunValue(a) % 100, 4))
			MarkRuns(t, i, i, CASH_DATE);
	}
}

/*
 * "55010656,55 009716": is the run behind a comma the beginning of a second
 * number, as long as the first, that a line break has cut?
 */
static bool
IsBrokenNumber(const CashText *t, int first, int run)
{
	return run == first + 1 && t->runs[first].len >= 6 && Adjacent(t, run, " ") &&
		t->runs[run].len + t->runs[run + 1].len == t->runs[first].len;
}

/*
 * "26-30700,26-30709", "26/30700,26 30709": do the digits behind the comma
 * begin the next of a list of numbers, as they begin the one before it?
 */
static bool
BeginsNextNumber(const CashText *t, int first, int next)
{
	const CashRun *begin;
	const CashRun *again = &t->runs[next];
	int			at = again->end;

	if (first == 0 || t->runs[first - 1].mark || !Adjacent(t, first - 1, "-/"))
		return false;
	begin = &t->runs[first - 1];
	if (begin->len == again->len && memcmp(begin->digits, again->digits, again->len) == 0)
		return true;
	while (at < t->len && t->folded[at] == ' ')
		at++;
	return at < t->len && strchr("-/", t->folded[at]) != NULL && next + 1 < t->nruns && t->runs[next + 1].start <= at + 2;
}

/* Does a currency stand just before a place: "EUR25.00"? */
static bool
BehindCurrency(const CashText *t, int at)
{
	int			word = at;

	while (word > 0 && at - word < 4 && IsLetter(t->folded[word - 1]))
		word--;
	return at - word == 3 && (word == 0 || !IsDigit(t->folded[word - 1])) &&
		CurrencyMinorUnit(t->folded + word, 3) >= 0;
}

/* Amounts: groups of three and two decimals, or plain digits and two decimals. */
static void
MarkAmounts(CashText *t)
{
	for (int i = 0; i < t->nruns; i++)
	{
		int			last = i;

		if (t->runs[i].mark || t->runs[i].repaired ||
			(t->runs[i].start > 0 && IsLetter(t->folded[t->runs[i].start - 1]) && !BehindCurrency(t, t->runs[i].start)))
			continue;
		if (t->runs[i].end < t->len &&
			(t->folded[t->runs[i].end] == '%' ||
			 (t->folded[t->runs[i].end] == ' ' && t->runs[i].end + 1 < t->len &&
			  t->folded[t->runs[i].end + 1] == '%')))
		{
			MarkRuns(t, i, i, CASH_PERCENT);
			continue;
		}
		while (t->runs[i].len <= 3 && Adjacent(t, last, ".,'") && t->runs[last + 1].len == 3 &&
			   !t->runs[last + 1].mark)
			last++;
		if (Adjacent(t, last, ".,") && t->runs[last + 1].len == 2 && !t->runs[last + 1].mark &&
			t->runs[last].len <= 9 &&
			(last == i || t->folded[t->runs[last].end] != t->folded[t->runs[i].end]) &&
			!(Adjacent(t, last + 1, ".,/-") && t->runs[last + 2].len <= 4) &&
			(t->runs[last + 1].end >= t->len || !IsLetter(t->folded[t->runs[last + 1].end])) &&
			!IsBrokenNumber(t, i, last + 1) && !BeginsNextNumber(t, i, last + 1))
		{
			MarkRuns(t, i, last + 1, CASH_AMOUNT);
			i = last + 1;
		}
	}
}

/* Mark what is a date, an amount or a percentage. */
void
CashMark(CashText *t)
{
	MarkDates(t);
	MarkAmounts(t);
}
