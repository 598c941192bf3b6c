/*
 * similar.c
 *		How alike two numbers or two names are.
 *
 * Names come from banks in capitals, without accents, cut to 27 or 35
 * characters, without or with another spelling of the legal form, and with a
 * department behind them.  Comparison is by words: each word of the
 * customer's name looks for its equal, its beginning or its misspelling among
 * the payer's.
 */
#include "cash/cash.h"

#include "parser/scansup.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(o2c_cash_account_key);
PG_FUNCTION_INFO_V1(o2c_cash_name_key);
PG_FUNCTION_INFO_V1(o2c_cash_name_similarity);

#define NAME_WORDS	12
#define WORD_LEN	32
#define EDIT_MAX	64
#define NAME_TELLS	12		/* letters that tell a customer apart in a text */
#define NAME_LEAST	8

/* The same for a limit of 1, which is what most comparisons ask: one look. */
static int
OneSlip(const char *a, int alen, const char *b, int blen)
{
	int			same = 0;

	while (same < alen && same < blen && a[same] == b[same])
		same++;
	while (alen > same && blen > same && a[alen - 1] == b[blen - 1])
	{
		alen--;
		blen--;
	}
	alen -= same;
	blen -= same;
	if (alen <= 1 && blen <= 1)
		return Max(alen, blen);
	if (alen == 2 && blen == 2 && a[same] == b[same + 1] && a[same + 1] == b[same])
		return 1;
	return 2;
}

/*
 * Edit distance with transpositions of neighbours, up to limit; limit + 1
 * means more.
 */
int
CashEditDistance(const char *a, int alen, const char *b, int blen, int limit)
{
	int			rows[3][EDIT_MAX + 1];
	int		   *before = rows[0];
	int		   *last = rows[1];
	int		   *now = rows[2];

	if (abs(alen - blen) > limit || alen > EDIT_MAX || blen > EDIT_MAX)
		return limit + 1;
	if (limit == 1)
		return OneSlip(a, alen, b, blen);
	for (int j = 0; j <= blen; j++)
		last[j] = j;
	for (int i = 1; i <= alen; i++)
	{
		int			best;
		int		   *swap;

		now[0] = best = i;
		for (int j = 1; j <= blen; j++)
		{
			int			d = last[j - 1] + (a[i - 1] != b[j - 1]);

			d = Min(d, Min(last[j], now[j - 1]) + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				d = Min(d, before[j - 2] + 1);
			now[j] = d;
			best = Min(best, d);
		}
		if (best > limit)
			return limit + 1;
		swap = before;
		before = last;
		last = now;
		now = swap;
	}
	return Min(last[blen], limit + 1);
}

struct PartyName
{
	int			nwords;
	char		word[NAME_WORDS][WORD_LEN];
	int			len[NAME_WORDS];
	char		form[WORD_LEN]; /* legal form, "" when none */
	bool		cut;			/* as long as a field of a payment */
};

/* The legal form that a word stands for, "" for a filler, NULL for neither. */
static const char *
LegalForm(const char *word)
{
	static const char *const forms[][2] = {
		{"AB", "AB"}, {"AG", "AG"}, {"AND", ""}, {"APS", "APS"}, {"AS", "AS"}, {"ASA", "ASA"}, {"BV", "BV"},
		{"BVBA", "BVBA"}, {"CO", ""}, {"COMPANY", ""}, {"CORP", "CORP"}, {"CORPORATION", "CORP"}, {"DOO", "DOO"},
		{"EG", "EG"}, {"EK", "EK"}, {"ET", ""}, {"GES", ""}, {"GESELLSCHAFT", ""}, {"GMBH", "GMBH"}, {"INC", "INC"},
		{"INCORPORATED", "INC"}, {"KFT", "KFT"}, {"KG", "KG"}, {"KGAA", "KGAA"}, {"LIMITED", "LTD"}, {"LLC", "LLC"},
		{"LLP", "LLP"}, {"LTD", "LTD"}, {"MBH", "GMBH"}, {"NV", "NV"}, {"OG", "OG"}, {"OHG", "OHG"}, {"OY", "OY"},
		{"OYJ", "OYJ"}, {"PLC", "PLC"}, {"PTY", "PTY"}, {"SA", "SA"}, {"SARL", "SARL"}, {"SAS", "SAS"}, {"SE", "SE"},
		{"SL", "SL"}, {"SLU", "SL"}, {"SP", ""}, {"SPA", "SPA"}, {"SPRL", "SPRL"}, {"SRL", "SRL"}, {"SRO", "SRO"},
		{"THE", ""}, {"UG", "UG"}, {"UND", ""}, {"ZOO", "SPZOO"}
	};

	/* in the order of the alphabet, and most words begin otherwise */
	for (int i = 0; i < lengthof(forms) && forms[i][0][0] <= word[0]; i++)
		if (forms[i][0][0] == word[0] && strcmp(forms[i][0], word) == 0)
			return forms[i][1];
	return NULL;
}

/* Split a folded name into words, legal form apart. */
static void
SplitName(const char *text, int len, PartyName *name)
{
	int			foldedlen;
	char	   *folded = CashFold(text, Min(len, 200), &foldedlen);

	memset(name, 0, sizeof(PartyName));
	name->cut = len >= 26;
	for (int i = 0; i <= foldedlen;)
	{
		char		word[WORD_LEN];
		int			n = 0;
		const char *form;

		while (i < foldedlen && (folded[i] == ' ' || folded[i] == ',' || folded[i] == '-' ||
								 folded[i] == '/' || folded[i] == '&' || folded[i] == '+'))
			i++;
		if (i >= foldedlen)
			break;
		while (i < foldedlen && strchr(" ,-/&+", folded[i]) == NULL)
		{
			char		c = folded[i++];

			if (((c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) && n < WORD_LEN - 1)
				word[n++] = c;
		}
		word[n] = '\0';
		if (n == 0)
			continue;
		form = LegalForm(word);
		/* a name may begin with what elsewhere is a legal form */
		if (form != NULL && name->nwords > 0)
		{
			if (form[0] != '\0')
				strlcpy(name->form, form, WORD_LEN);
			continue;
		}
		if (name->nwords < NAME_WORDS)
		{
			strlcpy(name->word[name->nwords], word, WORD_LEN);
			name->len[name->nwords++] = n;
		}
	}
	pfree(folded);
}

/*
 * The name without accents, case, punctuation and legal form; words keep
 * their order.  Equal keys are the same name in two spellings.
 */
char *
CashNameKey(const char *text, int len)
{
	PartyName	name;
	StringInfoData key;

	SplitName(text, len, &name);
	initStringInfo(&key);
	for (int i = 0; i < name.nwords; i++)
		appendStringInfo(&key, "%s%s", i ? " " : "", name.word[i]);
	return key.data;
}

/* Does a text name a customer: how his name begins, written out or cut, whatever blanks there are? */
bool
CashNamesParty(const CashText *t, const char *customer)
{
	const char *name = CashNameKey(customer, strlen(customer));
	char		wanted[NAME_TELLS];
	int			n = 0;

	for (; *name && n < NAME_TELLS; name++)
		if (*name != ' ')
			wanted[n++] = *name;
	if (n < NAME_LEAST)
		return false;
	for (int i = 0; i < t->len; i++)
	{
		int			found = 0;

		if (t->folded[i] != wanted[0] || (i > 0 && IsLetter(t->folded[i - 1])))
			continue;
		for (int k = i; k < t->len && found < n; k++)
			if (t->folded[k] == wanted[found])
				found++;
			else if (strchr(" .-&", t->folded[k]) == NULL)
				break;
		if (found == n)
			return true;
	}
	return false;
}

/* How well a word of the customer's name is met by one of the payer's. */
static double
WordMatch(const char *want, int wantlen, const char *have, int havelen, bool mayend)
{
	if (wantlen == havelen && memcmp(want, have, wantlen) == 0)
		return 1.0;
	if (mayend && havelen >= 3 && havelen < wantlen && memcmp(want, have, havelen) == 0)
		return 0.85;
	if (wantlen >= 4 && havelen >= 3 && CashEditDistance(want, wantlen, have, havelen, 1) <= 1)
		return 0.9;
	if (wantlen >= 9 && CashEditDistance(want, wantlen, have, havelen, 2) <= 2)
		return 0.75;
	return 0;
}

/* Read a payer's name once for all customers that it is compared with. */
PartyName *
CashReadName(const char *payer)
{
	PartyName  *name = palloc(sizeof(PartyName));

	SplitName(payer, strlen(payer), name);
	return name;
}

/* 0 to 1: is this payer that customer? */
double
CashNameSimilarity(const char *payer, const PartyName *p, const char *customer)
{
	PartyName	c;
	double		weight = 0;
	double		sum = 0;
	int			used = 0;
	int			nused = 0;
	double		result;

	if (p->nwords == 0)
		return 0;
	SplitName(customer, strlen(customer), &c);
	if (c.nwords == 0)
		return 0;
	for (int i = 0; i < c.nwords; i++)
	{
		double		w = Min(c.len[i], 10);
		double		best = 0;
		int			who = -1;

		for (int j = 0; j < p->nwords; j++)
		{
			double		m;

			if (used & (1 << j))
				continue;
			m = WordMatch(c.word[i], c.len[i], p->word[j], p->len[j],
						  p->cut && j == p->nwords - 1);
			if (m > best)
			{
				best = m;
				who = j;
			}
		}
		if (who >= 0)
		{
			used |= 1 << who;
			nused++;
		}
		weight += w;
		sum += w * best;
	}
	result = sum / weight;
	/* words glued together or cut apart: the whole string, whatever follows */
	if (result < 0.95)
	{
		char		a[EDIT_MAX + 1];
		char		b[EDIT_MAX + 1];
		int			alen = CashAlnumOf(payer, strlen(payer), a, EDIT_MAX);
		int			blen = CashAlnumOf(customer, strlen(customer), b, EDIT_MAX);

		for (int cut = blen - 1; cut <= blen + 1 && blen >= 8; cut++)
			if ((cut == alen || (cut < alen && alen - cut >= 5)) &&
				CashEditDistance(a, cut, b, blen, 2) <= 1 + (blen >= 14))
				return cut == alen ? 0.95 : 0.9;
	}
	/* the first word carries the name */
	if (!(used & 1))
		result *= 0.8;
	result -= 0.03 * (p->nwords - nused);
	if (p->form[0] != '\0' && c.form[0] != '\0' && strcmp(p->form, c.form) != 0)
		result -= 0.1;
	return Max(result, 0);
}

/* _name_key(name): the name without accents, case, punctuation, legal form. */
Datum
o2c_cash_name_key(PG_FUNCTION_ARGS)
{
	text	   *in = PG_GETARG_TEXT_PP(0);

	PG_RETURN_TEXT_P(cstring_to_text(CashNameKey(VARDATA_ANY(in), VARSIZE_ANY_EXHDR(in))));
}

/* _account_key(account): capitals without blanks, NULL when nothing is left. */
Datum
o2c_cash_account_key(PG_FUNCTION_ARGS)
{
	text	   *in = PG_GETARG_TEXT_PP(0);
	const char *s = VARDATA_ANY(in);
	int			len = VARSIZE_ANY_EXHDR(in);
	text	   *out = palloc(VARHDRSZ + len);
	char	   *to = VARDATA(out);

	for (int i = 0; i < len; i++)
		if (!scanner_isspace(s[i]) && s[i] != '\v')
			*to++ = s[i] >= 'a' && s[i] <= 'z' ? s[i] - 'a' + 'A' : s[i];
	if (to == VARDATA(out))
		PG_RETURN_NULL();
	SET_VARSIZE(out, to - (char *) out);
	PG_RETURN_TEXT_P(out);
}

/* name_similarity(payer, customer): 0 to 1. */
Datum
o2c_cash_name_similarity(PG_FUNCTION_ARGS)
{
	char	   *payer = text_to_cstring(PG_GETARG_TEXT_PP(0));

	PG_RETURN_FLOAT8(CashNameSimilarity(payer, CashReadName(payer), text_to_cstring(PG_GETARG_TEXT_PP(1))));
}
