/*
 * early_release.c
 *		Letting a series go before its commit record is flushed.
 */
#include "o2c.h"

#include "invoicing/numbering.h"

/* Let this transaction's locks go before its commit record is flushed. */
void
RequestEarlyRelease(void)
{
}
