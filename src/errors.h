/*
 * errors.h
 *		SQLSTATEs of class O2, one for each kind of refusal.
 *
 * docs/reference/errors.md lists the same codes with their causes and next
 * steps; PL/pgSQL functions raise them by their five characters.
 */
#ifndef O2C_ERRORS_H
#define O2C_ERRORS_H

#define ERRCODE_O2C_NOT_INSTALLED		MAKE_SQLSTATE('O', '2', '0', '0', '1')
#define ERRCODE_O2C_UNKNOWN_COMPANY		MAKE_SQLSTATE('O', '2', '0', '0', '2')
#define ERRCODE_O2C_UNKNOWN_OBJECT		MAKE_SQLSTATE('O', '2', '0', '0', '3')
#define ERRCODE_O2C_INVALID_ARGUMENT	MAKE_SQLSTATE('O', '2', '0', '0', '4')
#define ERRCODE_O2C_KEY_CONFLICT		MAKE_SQLSTATE('O', '2', '0', '0', '5')
#define ERRCODE_O2C_MISSING_COLUMN		MAKE_SQLSTATE('O', '2', '0', '0', '6')
#define ERRCODE_O2C_DATA_EXISTS			MAKE_SQLSTATE('O', '2', '0', '0', '7')
#define ERRCODE_O2C_NOT_ALLOWED			MAKE_SQLSTATE('O', '2', '0', '0', '8')

#define ERRCODE_O2C_LIFECYCLE			MAKE_SQLSTATE('O', '2', '0', '1', '0')
#define ERRCODE_O2C_ON_HOLD				MAKE_SQLSTATE('O', '2', '0', '1', '1')
#define ERRCODE_O2C_QUANTITY			MAKE_SQLSTATE('O', '2', '0', '1', '2')
#define ERRCODE_O2C_STOCK				MAKE_SQLSTATE('O', '2', '0', '1', '3')
#define ERRCODE_O2C_CREDIT_LIMIT		MAKE_SQLSTATE('O', '2', '0', '2', '0')

#define ERRCODE_O2C_IMMUTABLE			MAKE_SQLSTATE('O', '2', '0', '3', '0')
#define ERRCODE_O2C_PERIOD_CLOSED		MAKE_SQLSTATE('O', '2', '0', '3', '1')
#define ERRCODE_O2C_NUMBERING			MAKE_SQLSTATE('O', '2', '0', '3', '2')
#define ERRCODE_O2C_BUSINESS_RULE		MAKE_SQLSTATE('O', '2', '0', '3', '3')
#define ERRCODE_O2C_UNBALANCED			MAKE_SQLSTATE('O', '2', '0', '3', '4')

#define ERRCODE_O2C_INVALID_IBAN		MAKE_SQLSTATE('O', '2', '0', '4', '0')
#define ERRCODE_O2C_INVALID_REFERENCE	MAKE_SQLSTATE('O', '2', '0', '4', '1')
#define ERRCODE_O2C_INVALID_CURRENCY	MAKE_SQLSTATE('O', '2', '0', '4', '2')
#define ERRCODE_O2C_INVALID_AMOUNT		MAKE_SQLSTATE('O', '2', '0', '4', '3')
#define ERRCODE_O2C_INVALID_DATE		MAKE_SQLSTATE('O', '2', '0', '4', '4')

#define ERRCODE_O2C_STATEMENT_SYNTAX	MAKE_SQLSTATE('O', '2', '0', '5', '0')
#define ERRCODE_O2C_STATEMENT_TYPE		MAKE_SQLSTATE('O', '2', '0', '5', '1')
#define ERRCODE_O2C_STATEMENT_BALANCE	MAKE_SQLSTATE('O', '2', '0', '5', '2')
#define ERRCODE_O2C_STATEMENT_ACCOUNT	MAKE_SQLSTATE('O', '2', '0', '5', '3')
#define ERRCODE_O2C_OVER_APPLIED		MAKE_SQLSTATE('O', '2', '0', '6', '0')
#define ERRCODE_O2C_ALREADY_REVERSED	MAKE_SQLSTATE('O', '2', '0', '6', '1')

#define ERRCODE_O2C_TEMPLATE			MAKE_SQLSTATE('O', '2', '0', '7', '0')
#define ERRCODE_O2C_CHANNEL				MAKE_SQLSTATE('O', '2', '0', '7', '1')
#define ERRCODE_O2C_NOT_ARMED			MAKE_SQLSTATE('O', '2', '0', '7', '2')
#define ERRCODE_O2C_FOUR_EYES			MAKE_SQLSTATE('O', '2', '0', '8', '0')
#define ERRCODE_O2C_NEEDS_CITUS			MAKE_SQLSTATE('O', '2', '0', '9', '0')

#endif							/* O2C_ERRORS_H */
