/*
 * weigh_strange.c
 *		Numbers in a text that seem to be documents of ours, and are none that
 *		we know.
 *
 * Who cites a number means that document, whatever else has the amount: it
 * may be settled since long, or not be posted yet.  A number is taken for
 * ours when the text calls it an invoice, or when it is made like the numbers
 * of the payer's items; what the text calls an order, a contract, a customer
 * or the like is the payer's own affair.
 */
#include "cash/weigh.h"

/* Words before a number are looked for so many letters back, over so many words. */
#define WORD_MAX	16
#define WORDS_BACK	3

/* Letters of a number that a bank may have left of it at the end of a text. */
#define PIECE_MAX	3

/* What invoices are called, in many languages. */
static const char *const invoice_words[] = {
	"RECHN*", "RECH", "RG", "RGNR", "RE", "RENR", "RNR", "RN", "FAKTUR*", "FAKT*", "FACT*", "FRA", "FATT*", "FT",
	"FATUR*", "INVOICE*", "INV", "INVNO", "INVNR", "BILL", "LASKU*", "SZAMLA*", "SZLA", "FV", "FNR", "ARVE*",
	"SASKAIT*", "SASK", "RACUN*", "REGNING*", "BELEG*", "NOTA", "FOLIO", "FAT", "NFE", "TIM", "TIMOLOGI*", "PARAST*", "R", "F"
};

/* What else people number. */
static const char *const other_words[] = {
	"PO", "ORDER*", "ORD*", "BESTELL*", "BEST", "BESTNR", "AUFTRAG*", "COMMANDE*", "CDE", "BC", "PEDIDO*", "ZAMOW*",
	"ZAM", "OBJ*", "TILAUS*", "COMANDA", "SIPARIS*", "MEGRENDEL*", "VERTRAG*", "VNR", "CONTR*", "UMOW*", "SMLOUV*",
	"AVTALE*", "AVTAL*", "POLIS*", "TEL*", "PHONE", "FAX", "MOBIL*", "UST*", "VAT", "UID", "NIP", "IBAN", "KTO",
	"KONTO*", "BLZ", "KUNDE*", "KUND", "KUNDNR", "KD", "KDNR", "CUST*", "CLIENT*", "PELAT*", "KOD*", "COD*", "CODE",
	"PARANGEL*", "PARAGGEL*", "SYMVAS*", "KLANT*", "DEB*", "RELATIE*", "ASIAKAS*", "KLIENT*", "ACCT", "ACCOUNT*",
	"MUSTERI*", "KST", "PROJEKT*", "PROJECT*", "PROJET*", "JOB", "MANDAT*", "MREF", "CRED", "EREF", "KREF", "BREF",
	"TAN", "TXN*", "PLZ", "ID", "STNR", "ZEICHEN", "NARUDZB*", "UGOVOR*", "DOGOVOR*", "PORCHKA", "ENCOMENDA*", "UZSAKYM*", "SUTART*",
	"AFTALE*", "INKOOP*", "OC", "KUPAC*", "SIFRA*", "PIRKEJ*", "MALERNR", "TRACE*", "TRX", "UETR", "CONF", "BATCH", "CENTRE", "CENTER"
};

/* What the text calls the number that begins at a place in it: +1 an invoice, -1 something else, 0 nothing. */
int
WeighCalled(const CashText *t, int start)
{
	int			at = start;

	for (int words = 0; words < WORDS_BACK; words++)
	{
		int			gap = 0;
		int			end;

		while (at > 0 && !IsLetter(t->folded[at - 1]) && !IsDigit(t->folded[at - 1]) && gap++ < 4)
			at--;
		end = at;
		while (at > 0 && IsLetter(t->folded[at - 1]) && end - at < WORD_MAX)
			at--;
		if (at == end)
			return 0;
		/* "R.Nr." but not "R 12" */
		if ((end - at > 1 || words > 0) && CashIsOneOf(t->folded + at, end - at, invoice_words, lengthof(invoice_words)))
			return 1;
		if (CashIsOneOf(t->folded + at, end - at, other_words, lengthof(other_words)))
			return -1;
		/* letters that the number itself begins with */
		if (words == 0 && end == start && end - at <= 4)
			continue;
		if (!CashIsFiller(t->folded + at, end - at))
			return 0;
	}
	return 0;
}

/* Does the text call the number that cites an item an order or the like? */
bool
WeighCalledOther(const Weighing *w, const Candidate *c)
{
	return c->cite != CITE_REFERENCE && !c->by_order && c->pos >= 0 && WeighCalled(w->line->tokens, c->pos) < 0;
}

/* Does a run belong to a number that we know, or that stands for what is meant? */
static bool
IsKnown(const Weighing *w, const Candidate *meant, int run)
{
	const CashText *t = w->line->tokens;
	const CashRun *r = &t->runs[run];

	for (int i = 0; i < w->n; i++)
	{
		const Candidate *c = &w->cand[i];

		/* what is cited best elsewhere in the text may be meant here as well */
		if (c->open != 0 && WeighOwn(c) && CiteEnds(r, c->forms))
			return true;
		if (c->cite == CITE_NONE || (c->open == 0 && !c->dropped) ||
			!(c->cite >= CITE_EXACT || (WeighOwn(c) && (c->cite != CITE_TYPO || c == meant))))
			continue;
		if (c->first >= 0 ? c->first <= run && run <= c->last :
			c->token >= 0 && t->tokens[c->token].pos <= r->start && r->end <= CashTokenEnd(t, &t->tokens[c->token]))
			return true;
	}
	return false;
}

/* One slip away from what is meant? */
static bool
IsSlip(const CashText *t, int run, int runs, const Candidate *meant)
{
	char		digits[CASH_VALUE_MAX];
	char		mine[CASH_VALUE_MAX];
	int			n = 0;
	int			m;

	if (meant == NULL)
		return false;
	for (int i = run; i < run + runs; i++)
		for (int k = 0; k < t->runs[i].len && n < CASH_VALUE_MAX; k++)
			if (n > 0 || t->runs[i].digits[k] != '0')
				digits[n++] = t->runs[i].digits[k];
	m = CashDigitsOf(meant->number, strlen(meant->number), mine, CASH_VALUE_MAX);
	return m >= 4 && CashEditDistance(digits, n, mine, m, 1) <= 1;
}

/*
 * May a number begin with this run: not in the middle of a word, unless that
 * begins as the numbers of some item do, or says what it is?
 */
static bool
BeginsNumber(const CashText *t, int run, const char *number, int called)
{
	int			at = t->runs[run].start;
	int			end = at;

	while (at > 0 && IsLetter(t->folded[at - 1]))
		at--;
	if (at == end || called > 0)
		return true;
	if (at > 0 && IsDigit(t->folded[at - 1]))
		return false;
	return pg_strncasecmp(t->folded + at, number, end - at) == 0;
}

/* "11/2026", "2026-11", "05/26": a month, or a year alone. */
static bool
IsMonth(const CashText *t, int run, int runs)
{
	const CashRun *a = &t->runs[run];
	const CashRun *b = &t->runs[run + runs - 1];
	int			x = a->len <= 4 ? atoi(a->digits) : 0;
	int			y = b->len <= 4 ? atoi(b->digits) : 0;

	if (runs == 1)
		return a->len == 4 && x >= 1990 && x <= 2099;
	return runs == 2 && ((a->len <= 2 && x <= 12 && (b->len == 2 || (y >= 1990 && y <= 2099))) ||
						 (b->len <= 2 && y <= 12 && x >= 1990 && x <= 2099));
}

/* How many runs from one on are joined as one number is. */
static int
ChainLength(const CashText *t, int run)
{
	int			n = 1;

	while (run + n < t->nruns && n < 4 && !t->runs[run + n].mark &&
		   t->runs[run + n].start - t->runs[run + n - 1].end == 1 &&
		   strchr("-/._", t->folded[t->runs[run + n - 1].end]) != NULL)
		n++;
	return n;
}

/*
 * A number of a document of ours that we do not know, as the text has it; NULL
 * for none.  What is one slip away from the item that is meant stands for it;
 * in a list that was cut the last may be the beginning of a number.
 */
const char *
WeighStrange(const Weighing *w, const Candidate *meant, bool cut)
{
	const CashText *t = w->line->tokens;

	for (int run = 0; run < t->nruns; run++)
	{
		int			chain;
		int			called;
		int			runs = 0;
		int			digits = 0;
		int			least = 4;		/* digits of what is called an invoice */
		bool		known = false;

		if (run > 0 && t->runs[run - 1].end == t->runs[run].start)
			continue;
		called = WeighCalled(t, t->runs[run].start);
		/* "RG-NR 20261105": eight digits may be a date, unless they are called an invoice */
		if (t->runs[run].mark != 0 && !(t->runs[run].mark == CASH_DATE && t->runs[run].len == 8 && called > 0))
			continue;
		chain = ChainLength(t, run);
		if (called < 0)
		{
			run += chain - 1;
			continue;
		}
		for (int i = 0; i < w->n && !known; i++)
			if (WeighOwn(&w->cand[i]) || w->cand[i].cite >= CITE_EXACT)
			{
				if (runs == 0 && BeginsNumber(t, run, w->cand[i].number, called))
					runs = CiteResembles(t, run, w->cand[i].forms);
				known |= CiteBegins(t, run, w->cand[i].forms);
				if (CiteDigits(w->cand[i].forms) <= 4)
					least = 3;
			}
		if (runs == 0 && called > 0)
		{
			for (int i = 0; i < chain; i++)
				digits += t->runs[run + i].len;
			if (digits >= least)
				runs = chain;
		}
		if (runs == 0 || IsMonth(t, run, runs) || (cut && t->runs[run + runs - 1].end == t->len))
			continue;
		known = known || IsSlip(t, run, runs, meant);
		for (int i = 0; i < runs; i++)
			known |= IsKnown(w, meant, run + i);
		if (!known)
			return pnstrdup(t->folded + t->runs[run].start, t->runs[run + runs - 1].end - t->runs[run].start);
		run += runs - 1;
	}
	return NULL;
}

/*
 * The number of another customer's item that the text calls an order or the
 * like; NULL for none.  Such a number is seldom one of ours by accident: who
 * gives it may mean that item, or he pays something else.
 */
const char *
WeighOthersNumber(const Weighing *w)
{
	for (int i = 0; i < w->n; i++)
	{
		const Candidate *c = &w->cand[i];

		if (c->dropped && c->item_id != 0 && c->cite == CITE_EXACT && c->pos >= 0 &&
			WeighCalled(w->line->tokens, c->pos) < 0)
			return c->number;
	}
	return NULL;
}

/* Does the text end behind a cited number with what separates numbers, or with letters that the next would begin with? */
static bool
EndsInList(const CashText *t, int cited)
{
	int			at = cited < 0 ? t->len : t->runs[cited].end;
	int			letters = 0;

	while (at < t->len && (IsLetter(t->folded[at]) || t->folded[at] == ' '))
		at++;
	if (at == t->len || strchr(",;+&", t->folded[at]) == NULL)
		return false;
	for (at++; at < t->len && (IsLetter(t->folded[at]) || strchr(" -.", t->folded[at]) != NULL); at++)
		letters += IsLetter(t->folded[at]);
	return at == t->len && letters <= PIECE_MAX;
}

/* Does the text end in the beginning of a number of the payer's that is not cited, or just before it, where the bank cut it? */
bool
WeighEndsInPiece(const Weighing *w)
{
	const CashText *t = w->line->tokens;
	int			last = t->nruns - 1;
	int			cited = -1;

	for (int i = 0; i < w->n; i++)
		if (w->cand[i].cite >= CITE_PART)
			cited = Max(cited, w->cand[i].last);
	if (last < 0)
		return false;
	if (t->runs[last].end != t->len)
		return EndsInList(t, cited);
	if (WeighCalled(t, t->runs[last].start) < 0 ||
		IsMonth(t, last, 1) || (last > 0 && IsMonth(t, last - 1, 2)))
		return false;
	/* from the last run, or from one before that is joined with it */
	for (int run = last; run > cited; run--)
	{
		if (t->runs[last].end - t->runs[run].start >= 3)
			for (int i = 0; i < w->n; i++)
				if (WeighOwn(&w->cand[i]) && w->cand[i].cite < CITE_PART && CiteBegins(t, run, w->cand[i].forms))
					return true;
		if (run == 0 || ChainLength(t, run - 1) < 2)
			break;
	}
	return false;
}
