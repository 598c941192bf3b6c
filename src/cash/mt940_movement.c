/*
 * mt940_movement.c
 *		The field :61: of MT940: one movement.
 *
 * Its parts have no marks between them; banks leave some out, add blanks and
 * letters, or write the other account into the second line.
 */
#include "mt940.h"

#include "mb/pg_wchar.h"

/* The entry date MMDD in the year that is nearest to the value date. */
static char *
EntryDate(StatementReader *r, const char *mmdd, const char *value_date)
{
	int			year = atoi(value_date);
	int			value_month = atoi(value_date + 5);
	int			month = (mmdd[0] - '0') * 10 + (mmdd[1] - '0');
	int			day = (mmdd[2] - '0') * 10 + (mmdd[3] - '0');

	if (month - value_month > 6)
		year--;
	else if (value_month - month > 6)
		year++;
	return FormatDate(r, year, month, day, pnstrdup(mmdd, 4));
}

/*
 * :61: one movement: value date, [entry date], mark, [funds code], amount,
 * [type], [reference] [// bank's reference] [newline, supplement].  Returns
 * false when no money has moved.
 */
bool
ReadMt940Movement(StatementReader *r, const char *value, int len, char **supplement)
{
	const char *nl = memchr(value, '\n', len);
	const char *cr = memchr(value, '\r', len);
	const char *line_end;
	const char *p;
	const char *amount_start;
	char	   *s;
	char	   *amount;
	char	   *date;
	char	   *ref;
	char	   *bank_ref = NULL;
	char	   *slashes;
	bool		debit;
	bool		reversal = false;

	line_end = value + len;
	if (nl)
		line_end = nl;
	if (cr && cr < line_end)
		line_end = cr;
	s = TrimmedCopy(value, line_end - value);
	p = s;

	if (!AllDigits(p, strnlen(p, 6)) || strlen(p) < 8)
		StatementSyntaxError(r, "a movement (:61:) must begin with its value date");
	date = ParseYMD(r, p, 2);
	LineSet(r, COL_VALUE_DATE, date);
	p += 6;
	while (*p == ' ')
		p++;
	if (AllDigits(p, strnlen(p, 4)) && strchr("CDRE", p[4]) && p[4] != '\0')
	{
		LineSet(r, COL_BOOKING_DATE, EntryDate(r, p, date));
		p += 4;
	}
	else
		LineSet(r, COL_BOOKING_DATE, date);
	while (*p == ' ')
		p++;

	if (*p == 'E')
	{
		/* expected, not booked: no money has moved */
		memset(r->row, 0, sizeof(r->row));
		return false;
	}
	if (*p == 'R' && (p[1] == 'C' || p[1] == 'D'))
	{
		reversal = true;
		p++;
	}
	if (*p != 'C' && *p != 'D')
		StatementSyntaxError(r, "a movement (:61:) has no mark C, D, RC or RD");
	debit = (*p == 'D') != reversal;
	p++;
	if (isalpha((unsigned char) *p) && isdigit((unsigned char) p[1]))
		p++;					/* funds code */
	amount_start = p;
	p += strspn(p, "0123456789,.");
	amount = ParseAmount(r, amount_start, p - amount_start, 0, 0);
	LineSet(r, COL_AMOUNT, debit ? NegatedAmount(amount) : amount);
	LineSet(r, COL_CURRENCY, r->head[COL_CURRENCY]);
	if (reversal)
		LineDetail(r, "reversal", "true");

	if (isalpha((unsigned char) *p) && pg_strncasecmp(p, "NONREF", 6) != 0)
	{
		int			n = pg_mbcliplen(p, strlen(p), 4);

		LineSet(r, COL_TRANSACTION_CODE, TrimmedCopy(p, n));
		p += n;
	}
	slashes = strstr(p, "//");
	if (slashes)
	{
		ref = TrimmedCopy(p, slashes - p);
		bank_ref = TrimmedCopy(slashes + 2, strlen(slashes + 2));
	}
	else
	{
		/* 16 characters are the reference; a few banks go on with the name */
		int			n = pg_mbcliplen(p, strlen(p), 16);

		ref = TrimmedCopy(p, n);
		if (p[n] != '\0')
			LineSet(r, COL_PAYER_NAME, TrimmedCopy(p + n, strlen(p + n)));
	}
	if (ref[0] != '\0' && !NoReference(ref))
	{
		LineDetail(r, "owner_ref", ref);
		LineSet(r, COL_END_TO_END_ID, ref);
	}
	if (bank_ref != NULL && bank_ref[0] != '\0' && !NoReference(bank_ref))
		LineSet(r, COL_BANK_REF, bank_ref);

	/* supplement: the other account, amounts before charges, or text */
	if (line_end < value + len)
	{
		char	   *more = TrimmedCopy(line_end, value + len - line_end);
		char	   *ocmt = strstr(more, "/OCMT/");
		char	   *chgs = strstr(more, "/CHGS/");
		int			n = strcspn(more, " \r\n");

		LineDetail(r, "supplement", more);
		*supplement = more;
		if (ocmt && strlen(ocmt) > 9 && isalpha((unsigned char) ocmt[6]))
		{
			LineSet(r, COL_ORIGINAL_CURRENCY, pnstrdup(ocmt + 6, 3));
			LineSet(r, COL_ORIGINAL_AMOUNT,
					ParseAmount(r, ocmt + 9, strspn(ocmt + 9, "0123456789,."), 0, 0));
		}
		if (chgs && strlen(chgs) > 9 && isalpha((unsigned char) chgs[6]))
			LineSet(r, COL_CHARGES,
					ParseAmount(r, chgs + 9, strspn(chgs + 9, "0123456789,."), 0, 0));
		if (LooksLikeIban(more, n) && more[n] == '\0')
			LineSet(r, COL_PAYER_IBAN, more);
		else if (more[n] == '\0' && n >= 5 && strcspn(more, "0123456789") <= 1 &&
				 strspn(more, "0123456789P") == (size_t) n)
			LineSet(r, COL_PAYER_ACCOUNT, more);
	}
	return true;
}
