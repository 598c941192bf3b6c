/*
 * mt940.h
 *		What the readers of MT940's fields share.
 */
#ifndef O2C_MT940_H
#define O2C_MT940_H

#include "statement.h"

/* The field :61: (mt940_movement.c) */
extern bool ReadMt940Movement(StatementReader *r, const char *value, int len, char **supplement);

/* The text of a field :86: or :NS: (mt940_details.c) */
extern void ReadMt940Details(StatementReader *r, const char *text, int len);
extern void ReadMt940NonSwift(StatementReader *r, const char *text, int len);
extern void Mt940SetAccount(StatementReader *r, const char *s, int len);
extern void Mt940SetBic(StatementReader *r, const char *s);
extern void Mt940SetEndToEnd(StatementReader *r, const char *s);

/* The same in sub-fields (mt940_subfields.c) */
extern bool Mt940IsSubfield(int code);
extern void Mt940ReadSubfields(StatementReader *r, const char *text);

#endif							/* O2C_MT940_H */
