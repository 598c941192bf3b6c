/*
 * word.c
 *		Words of a text that say what the number behind them is.
 *
 * Lists are in upper case, as texts are folded; "RECHN*" is any word that
 * begins so.
 */
#include "cash/cash.h"

/* Is the word one of the list? */
bool
CashIsOneOf(const char *word, int len, const char *const *words, int n)
{
	for (int i = 0; i < n; i++)
	{
		int			wanted = strlen(words[i]);
		bool		begins = words[i][wanted - 1] == '*';

		wanted -= begins;
		if ((begins ? len >= wanted : len == wanted) && strncmp(word, words[i], wanted) == 0)
			return true;
	}
	return false;
}

/* May it stand between what a number is called and the number: "Kunden Nr. 10234"? */
bool
CashIsFiller(const char *word, int len)
{
	static const char *const fillers[] = {
		"NR", "NRN", "NO", "NOS", "NUMMER*", "NUMBER*", "NUM", "NUMERO", "N", "NBR", "CODE", "KOD", "ID", "C", "CIS*"
	};

	return CashIsOneOf(word, len, fillers, lengthof(fillers));
}
