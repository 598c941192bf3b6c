/*
 * weigh_words.c
 *		What the words of a text say of the payment: that its list goes on, that
 *		it is made in advance or for no invoice at all, that a credit note is
 *		deducted.
 *
 * Words are looked for in upper case ASCII, as texts are folded (fold.c).
 */
#include "cash/weigh.h"

/* Letters of a word that is known when it is broken, and where banks begin to break. */
#define BROKEN_MIN	8
#define BANK_LINE	27

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

static bool
HasWord(const char *text, const Word *words, int n)
{
	for (int i = 0; i < n; i++)
		if (FindWord(text, text, &words[i]) != NULL)
			return true;
	return false;
}

/*
 * Has a text without its blanks a long word?  Banks put a blank or a line's
 * end into the middle of words.
 */
static bool
HasBrokenWord(const char *squeezed, const Word *words, int n)
{
	for (int i = 0; i < n; i++)
		if (words[i].within != ALONE && strlen(words[i].word) >= BROKEN_MIN && strstr(squeezed, words[i].word) != NULL)
			return true;
	return false;
}

/* Words that say: on account, in advance. */
static const Word advance_words[] = {
	{"AKONTO", BEGINS}, {"A CONTO", BEGINS}, {"ACONTO", BEGINS}, {"ON ACCOUNT", ALONE}, {"ABSCHLAG", ANYWHERE},
	{"ANZAHLUNG", ANYWHERE}, {"VORAUSZAHLUNG", ANYWHERE}, {"VORAUSKASSE", BEGINS}, {"VORKASSE", BEGINS}, {"VORSCHUSS", ANYWHERE},
	{"PREPAY", BEGINS}, {"PRE-PAY", BEGINS}, {"PREPAID", BEGINS}, {"ADVANCE", ALONE}, {"DOWN PAYMENT", BEGINS}, {"DOWNPAYMENT", BEGINS},
	{"PROFORMA", BEGINS}, {"PRO FORMA", BEGINS}, {"DEPOSIT", ALONE}, {"ACOMPTE", BEGINS}, {"ARRHES", ALONE}, {"AVANCE", ALONE},
	{"ACCONTO", ALONE}, {"ACCONTI", ALONE}, {"CAPARRA", ALONE}, {"ANTICIPO", BEGINS}, {"ANTICIPI", ALONE}, {"ANTICIPAD", BEGINS},
	{"ADELANTO", ALONE}, {"ENGANCHE", ALONE}, {"ADIANTAMENTO", BEGINS}, {"SINAL", ALONE}, {"VOORSCHOT", ANYWHERE},
	{"AANBETALING", ANYWHERE}, {"VOORUITBETALING", ANYWHERE}, {"FORSKOTT", BEGINS}, {"FOERSKOTT", BEGINS}, {"FORSKUD", BEGINS},
	{"FORUDBETAL", BEGINS}, {"HANDPENNING", BEGINS}, {"ENNAKKO", BEGINS}, {"ETTEMAKS", BEGINS}, {"PRIEKSAPMAKS", BEGINS},
	{"ISANKSTIN", BEGINS}, {"ZALICZK", BEGINS}, {"PRZEDPLAT", BEGINS}, {"ZADATEK", ALONE}, {"ZALOH", BEGINS}, {"PREDDAVOK", ALONE},
	{"PREDPLAT", BEGINS}, {"PREDOPLAT", BEGINS}, {"PREDUJ", BEGINS}, {"KAPARA", ALONE}, {"KAPARO", ALONE}, {"ELOLEG", BEGINS},
	{"AVANS", ALONE}, {"AVANSS", ALONE}, {"AVANSAS", ALONE}, {"AVANSU", ALONE}, {"AVANSA", ALONE}, {"PROKATAVOL", BEGINS},
	{"ON ODEME", ALONE}, {"PESINAT", ALONE}, {"PROVISION", ALONE}, {"VORAUSRECHNUNG", BEGINS}, {"SENAL", ALONE},
	/* who pays an offer has no invoice yet */
	{"ANGEBOT", BEGINS}, {"QUOTATION", BEGINS}, {"QUOTE", ALONE}, {"DEVIS", ALONE}, {"PREVENTIVO", BEGINS}, {"PRESUPUESTO", BEGINS},
	{"ORCAMENTO", BEGINS}, {"OFFERTE", ALONE}, {"OFFERT", ALONE}, {"OFERTA", ALONE}, {"OFERTY", ALONE}, {"NABIDK", BEGINS}, {"PONUD", BEGINS},
	{"AJANLAT", BEGINS}, {"TILBUD", BEGINS}, {"TARJOU", BEGINS}, {"TEKLIF", ALONE}, {"PROSFORA", BEGINS}, {"PASIULYM", BEGINS}, {"PAKKUMI", BEGINS}
};

/* Words that say: wages, interest, a refund, a surety, a claim, money moved between own accounts. */
static const Word purpose_words[] = {
	{"LOHN", ALONE}, {"GEHALT", ALONE}, {"GEHAELTER", ALONE}, {"SALARY", ALONE}, {"SALARIES", ALONE}, {"PAYROLL", ALONE}, {"WAGES", ALONE},
	{"SALARIS", ALONE}, {"SALAIRE", BEGINS}, {"SALARIO", BEGINS}, {"NOMINA", ALONE}, {"STIPENDI", BEGINS}, {"WYNAGRODZEN", BEGINS},
	{"PALKKA", ALONE}, {"LOEN", ALONE}, {"LON", ALONE}, {"PLACA", ALONE}, {"ATLYGINIM", BEGINS},
	{"MZDA", ALONE}, {"MUNKABER", BEGINS}, {"BERFIZET", BEGINS}, {"SALARIU", BEGINS}, {"MISTHO", BEGINS}, {"BONUS", ALONE}, {"PREMIA", ALONE},
	{"LOHNZAHL", BEGINS}, {"GEHALTSZAHL", BEGINS}, {"SALARISB", BEGINS}, {"LOON", ALONE}, {"LOENN", ALONE}, {"PALKAN", ALONE}, {"TOOTASU", BEGINS},
	{"ALGA", ALONE}, {"SUELDO", BEGINS}, {"RETRIBUZ", BEGINS}, {"ORDENADO", BEGINS},
	{"ERSTATTUNG", ANYWHERE}, {"RUECKZAHLUNG", BEGINS}, {"REFUND", BEGINS}, {"REIMBURSE", BEGINS}, {"REMBOURSEMENT", BEGINS},
	{"RIMBORS", BEGINS}, {"REEMBOLSO", BEGINS}, {"DEVOLUC", BEGINS}, {"TERUGBETALING", BEGINS}, {"ATERBETALNING", BEGINS},
	{"TILBAGEBETALING", BEGINS}, {"TILBAKEBETALING", BEGINS}, {"PALAUTUS", ANYWHERE}, {"ZWROT", ALONE}, {"POVRAT", ALONE},
	{"GRAZINIM", BEGINS}, {"VZSTANOVYAVAN", BEGINS}, {"TERUGGA", ANYWHERE}, {"ATERBARING", ANYWHERE}, {"ATERBAERING", ANYWHERE},
	{"REPAYMENT", ALONE}, {"TAX REBATE", ALONE}, {"VRATKA", ALONE}, {"VRACILO", ALONE}, {"VRACENI", ALONE}, {"VISSZATERIT", BEGINS},
	{"RAMBURS", BEGINS}, {"TAGASTUS", ANYWHERE}, {"ATMAKSA", BEGINS}, {"VERGI IADE", BEGINS}, {"EPISTROFI", BEGINS},
	{"RESTITU", BEGINS}, {"REINTEGRO", ALONE}, {"TROP PERCU", ALONE}, {"TROP-PERCU", ALONE},
	{"ZINS", ALONE}, {"ZINSEN", ANYWHERE}, {"ZINSGUTSCHRIFT", BEGINS}, {"ZINSERTR", BEGINS}, {"KAPITALERTR", BEGINS}, {"KORKO", ALONE},
	{"UROK", ALONE}, {"UROKY", ALONE}, {"KAMAT", ALONE}, {"OBRESTI", ALONE}, {"DOBAND", BEGINS}, {"FAIZ", ALONE}, {"INTRESS", BEGINS},
	{"INTEREST", ALONE}, {"INTERETS", ALONE}, {"INTERESSI", ALONE}, {"INTERESES", ALONE},
	{"JUROS", ALONE}, {"RENTE", ALONE}, {"RENTER", ALONE}, {"RAENTA", ALONE}, {"RANTA", ALONE}, {"ODSETKI", ALONE}, {"KAMATA", ALONE},
	{"KAMATE", ALONE}, {"PALUKAN", BEGINS}, {"LIKHV", BEGINS}, {"DIVIDEND", BEGINS}, {"DYWIDEND", BEGINS}, {"OSINKO", ALONE}, {"UTDELNING", BEGINS},
	{"UDBYTTE", BEGINS}, {"UTBYTTE", BEGINS}, {"OSZTALEK", BEGINS}, {"MERISMA", BEGINS}, {"TEMETTU", BEGINS},
	{"KAUTION", ANYWHERE}, {"WAARBORG", BEGINS}, {"SCHADEN", ALONE}, {"INSURANCE CLAIM", BEGINS}, {"SINISTR", BEGINS}, {"SINIESTR", BEGINS},
	{"CLAIM SETTLEMENT", ALONE}, {"SCHADENERSATZ", BEGINS}, {"SCHADENSERSATZ", BEGINS}, {"SCHADENREGUL", BEGINS}, {"VERSICHERUNGSLEIST", BEGINS},
	{"ENTSCHAEDIGUNG", ANYWHERE}, {"COMPENSATION", ALONE}, {"INDEMNI", BEGINS}, {"INDENNI", BEGINS}, {"RISARCIMENT", BEGINS},
	{"ODSZKODOWAN", BEGINS}, {"SCHADEVERGOED", BEGINS}, {"SCHADEUITKER", BEGINS}, {"SKADEERSATTN", BEGINS}, {"ERSTATNING", ANYWHERE},
	{"VAKUUTUSKORV", BEGINS}, {"KORVAUS", ALONE}, {"POJISTNE PLNENI", ALONE}, {"ODSKODN", BEGINS}, {"KARTERIT", BEGINS}, {"DESPAGUB", BEGINS},
	{"ODSTET", BEGINS}, {"APOZIMI", BEGINS}, {"TAZMINAT", BEGINS}, {"INDENIZ", BEGINS}, {"UITKERING", ANYWHERE}, {"FORSAKRINGSERS", BEGINS},
	{"FOERSAEKRINGSERS", BEGINS}, {"FORSIKRINGSERS", BEGINS}, {"INSURANCE PAY", BEGINS}, {"INSURANCE SETTLEMENT", ALONE},
	{"SUBVEN", BEGINS}, {"SUBSID", BEGINS}, {"ZUSCHUSS", ANYWHERE}, {"FOERDERMITTEL", BEGINS}, {"GRANT FUND", BEGINS}, {"BIDRAG", ALONE},
	{"TILSKUD", BEGINS}, {"AVUSTUS", ALONE}, {"TOETUS", ALONE}, {"DOTAC", BEGINS}, {"TAMOGATAS", BEGINS}, {"POTICAJ", BEGINS}, {"EPIDOT", BEGINS},
	{"CAPITAL CONTRIBUTION", ALONE}, {"KAPITALEINLAGE", BEGINS}, {"KAUCJ", BEGINS}, {"KAUCE", ALONE},
	{"SPENDE", ALONE}, {"DONATION", ALONE}, {"UST-VA", ALONE}, {"DARLEHEN", ANYWHERE}, {"LOAN", ALONE},
	{"LENING", ALONE}, {"PRESTAMO", BEGINS}, {"PRESTITO", BEGINS}, {"EMPRESTIMO", BEGINS}, {"POZYCZK", BEGINS}, {"PUJCK", BEGINS}, {"LAINA", ALONE},
	{"LAENU", BEGINS}, {"KOLCSON", BEGINS}, {"IMPRUMUT", BEGINS}, {"ZAJAM", BEGINS}, {"DANEIO", BEGINS}, {"DAROWIZN", BEGINS}, {"ADOMANY", BEGINS},
	{"EIGENUEBERTRAG", BEGINS}, {"UMBUCHUNG", BEGINS}, {"OWN TRANSFER", BEGINS}, {"INTERNAL TRANSFER", BEGINS}, {"GIROCONTO", ALONE},
};

/* Does the text say that the money is for no invoice, or not for one that there is already? */
bool
WeighOtherPurpose(const Line *line)
{
	const char *s = line->tokens->folded;
	char	   *squeezed;
	int			n = 0;

	if (HasWord(s, advance_words, lengthof(advance_words)) || HasWord(s, purpose_words, lengthof(purpose_words)))
		return true;
	if (line->tokens->len < BANK_LINE)
		return false;
	squeezed = palloc(line->tokens->len + 1);
	for (int i = 0; i < line->tokens->len; i++)
		if (s[i] != ' ')
			squeezed[n++] = s[i];
	squeezed[n] = '\0';
	return HasBrokenWord(squeezed, advance_words, lengthof(advance_words)) ||
		HasBrokenWord(squeezed, purpose_words, lengthof(purpose_words));
}

/*
 * Does the text speak of several invoices?  Only words that are never the
 * singular in some case: the Polish "faktury" is both.
 */
bool
WeighPlural(const Line *line)
{
	static const Word words[] = {
		{"INVOICES", ALONE}, {"INVS", ALONE}, {"BILLS", ALONE}, {"BULK PAYMENT", ALONE}, {"COLLECTIVE PAYMENT", ALONE},
		{"RECHNUNGEN", ANYWHERE}, {"SAMMELZAHLUNG", BEGINS}, {"SAMMELUEBERWEISUNG", BEGINS}, {"SAMMELUBERWEISUNG", BEGINS},
		{"FACTURES", ALONE}, {"FACTUREN", ALONE}, {"VERZAMELBETALING", BEGINS}, {"FACTURAS", ALONE}, {"FATURAS", ALONE},
		{"FATTURE", ALONE}, {"FAKTUROR", BEGINS}, {"FAKTURAER", BEGINS}, {"FAKTURAENE", ALONE}, {"FAKTURAERNE", ALONE}, {"LASKUT", ALONE},
		{"SZAMLAK", ALONE}, {"FACTURI", ALONE}, {"FACTURILE", ALONE}, {"ARVED", ALONE}, {"TIMOLOGIA", ALONE}, {"FATURALAR", BEGINS}
	};

	return HasWord(line->tokens->folded, words, lengthof(words));
}

/* Words that say: a credit note is deducted. */
bool
WeighCreditWords(const Line *line)
{
	static const Word words[] = {
		{"CREDIT NOTE", BEGINS}, {"CREDITNOTE", BEGINS}, {"CREDIT MEMO", BEGINS}, {"AVOIR", ALONE}, {"AVOIRS", ALONE},
		{"CREDITNOTA", BEGINS}, {"NOTA CREDITO", BEGINS}, {"NOTA DI CREDITO", ALONE}, {"NOTA DE CREDITO", ALONE},
		{"NOTE DE CREDIT", ALONE}, {"LESS CREDIT", ALONE}, {"CRN", ALONE}, {"HYVITYS", BEGINS}, {"KREDITNOT", BEGINS},
		{"KREDITFAKTURA", BEGINS}, {"KREDIT", ALONE}, {"KOREKT", BEGINS}, {"DOBROPIS", BEGINS}, {"JOVAIRAS", BEGINS},
		{"ODOBREN", BEGINS}, {"KREDITINE", BEGINS}, {"KREDITNO IZV", BEGINS}, {"PISTOTIK", BEGINS}, {"IADE FATURA", BEGINS}
	};
	static const Word gutschrift = {"GUTSCHR", BEGINS};
	const char *s = line->tokens->folded;
	int			len = line->tokens->len;

	if (HasWord(s, words, lengthof(words)))
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
