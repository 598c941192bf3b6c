/*
 * correction.h
 *		Checks of credit and debit notes that a statement issues.
 */
#ifndef O2C_CORRECTION_H
#define O2C_CORRECTION_H

extern void RequireCorrect(void);
extern void RequireRebillable(void);

#endif
