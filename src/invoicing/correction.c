/*
 * correction.c
 *		What credit and debit notes may say of the document that they correct.
 *
 * These run for the documents that a statement issues, in the trigger that
 * has locked what they correct: whoever corrects the same meanwhile waits, or
 * fails at the higher isolation levels, so that none is credited twice.
 */
#include "o2c.h"

#include "invoicing/correction.h"

/*
 * Each correction of another document with what is wrong of it, or NULL.  A
 * credit note never takes more than its invoice has, in any tax category.
 */
#define CORRECTIONS \
	"SELECT n.id::text, r.number, CASE" \
	"  WHEN r.state IN ('draft', 'void') THEN 'It is not issued.'" \
	"  WHEN n.kind = 'credit_note' AND r.kind = 'credit_note' THEN 'It is a credit note itself.'" \
	"  WHEN r.customer_id <> n.customer_id THEN 'It is another customer''s.'" \
	"  WHEN r.currency <> n.currency THEN 'It is in another currency.'" \
	"  WHEN n.issue_date < r.issue_date THEN format('It is of a later date, %s.', r.issue_date)" \
	"  WHEN n.kind = 'credit_note' THEN" \
	"   (SELECT format('Of tax category %s at %s %%, credits would be %s with tax of %s; the invoice has %s with tax of %s.'," \
	"     c.tax_category, c.tax_rate, c.base, c.tax, coalesce(t.base_amount, 0), coalesce(t.tax_amount, 0))" \
	"    FROM (SELECT x.tax_category, x.tax_rate, sum(x.base_amount) AS base, sum(x.tax_amount) AS tax" \
	"     FROM o2c.invoice c JOIN o2c.invoice_tax x ON x.company_id = c.company_id AND x.invoice_id = c.id" \
	"     WHERE c.company_id = r.company_id AND c.original_id = r.id AND c.kind = 'credit_note'" \
	"     AND c.state NOT IN ('draft', 'void') GROUP BY 1, 2) c" \
	"    LEFT JOIN o2c.invoice_tax t ON t.company_id = r.company_id AND t.invoice_id = r.id" \
	"     AND t.tax_category = c.tax_category AND t.tax_rate = c.tax_rate" \
	"    WHERE abs(c.base) > coalesce(abs(t.base_amount), 0) OR abs(c.tax) > coalesce(abs(t.tax_amount), 0)" \
	"    LIMIT 1) END" \
	" FROM new_rows n JOIN old_rows o ON o.company_id = n.company_id AND o.id = n.id" \
	" JOIN o2c.invoice r ON r.company_id = n.company_id AND r.id = n.original_id" \
	" WHERE o.state = 'draft' AND n.state NOT IN ('draft', 'void') AND n.kind IN ('credit_note', 'debit_note')" \
	" ORDER BY n.id"

/*
 * A line that is to be billed again and cannot be: it takes back more than
 * what the line that it credits billed, or another line than that, or one
 * whose invoice deducts a prepayment, which its credit would have to undo.
 */
#define WRONG_REBILL \
	"SELECT v.line_no::text, n.id::text, CASE" \
	"  WHEN n.kind <> 'credit_note' OR l.invoice_id <> n.original_id OR l.order_line_id IS DISTINCT FROM v.order_line_id" \
	"   OR l.original_line_id IS NOT NULL THEN 'It does not credit a line that bills the same line of the order.'" \
	"  WHEN EXISTS (SELECT FROM o2c.invoice_line d WHERE d.company_id = l.company_id AND d.invoice_id = l.invoice_id" \
	"   AND d.original_line_id IS NOT NULL) THEN 'Its invoice deducts a prepayment.'" \
	"  WHEN x.quantity > l.quantity THEN format('Line %s of the invoice billed %s, credits to be billed again would be %s.'," \
	"   l.line_no, trim_scale(l.quantity), trim_scale(x.quantity)) END" \
	" FROM new_rows n JOIN old_rows o ON o.company_id = n.company_id AND o.id = n.id" \
	" JOIN o2c.invoice_line v ON v.company_id = n.company_id AND v.invoice_id = n.id AND v.rebill" \
	" JOIN o2c.invoice_line l ON l.company_id = v.company_id AND l.id = v.original_line_id" \
	" CROSS JOIN LATERAL (SELECT sum(c.quantity) AS quantity FROM o2c.invoice_line c" \
	"  JOIN o2c.invoice i ON i.company_id = c.company_id AND i.id = c.invoice_id AND i.state NOT IN ('draft', 'void')" \
	"  WHERE c.company_id = l.company_id AND c.original_line_id = l.id AND c.rebill) x" \
	" WHERE o.state = 'draft' AND n.state NOT IN ('draft', 'void')" \
	" ORDER BY n.id, v.line_no"

/* Refuse corrections that do not fit what they correct. */
void
RequireCorrect(void)
{
	static KeptPlan corrections = {.sql = CORRECTIONS};

	KeptPlanExecute(&corrections, NULL, NULL, SPI_OK_SELECT);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		char	   *number = SPI_getvalue(tuple, desc, 2);
		char	   *why = SPI_getvalue(tuple, desc, 3);

		if (why != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_O2C_BUSINESS_RULE),
					 errmsg("invoice %s cannot be issued: it does not correct %s",
							SPI_getvalue(tuple, desc, 1), number != NULL ? number : "what it names"),
					 errdetail("%s", why),
					 errhint("Use o2c.credit_invoice() or o2c.debit_invoice(). No number was drawn.")));
	}
}

/*
 * Refuse to bill again what was not billed.  The orders are locked by then, so
 * whoever credits the same line meanwhile waits and sees this credit.
 */
void
RequireRebillable(void)
{
	static KeptPlan wrong = {.sql = WRONG_REBILL};

	KeptPlanExecute(&wrong, NULL, NULL, SPI_OK_SELECT);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		char	   *why = SPI_getvalue(tuple, desc, 3);

		if (why != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_O2C_BUSINESS_RULE),
					 errmsg("line %s of credit note %s cannot be billed again",
							SPI_getvalue(tuple, desc, 1), SPI_getvalue(tuple, desc, 2)),
					 errdetail("%s", why),
					 errhint("Credit it without rebill.")));
	}
}
