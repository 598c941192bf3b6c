/*
 * match.h
 *		What the reading and the rounds of a matching run share.
 *
 * match_stream.c reads lines, candidates and books; match_rounds.c goes
 * through the rounds, match_decide.c decides.
 */
#ifndef O2C_MATCH_H
#define O2C_MATCH_H

#include "cash/weigh.h"

#include "utils/portal.h"
#include "utils/queryenvironment.h"
#include "utils/tuplestore.h"

/* Rows of lines, and of candidates from the third column on. */
#define SHAPE_LINE "llliTTLliiX"
#define SHAPE_CANDIDATE "LLtTTLLLIIILLLIIT"
#define CANDIDATES_MAX 2000

/* A query read row by row, once from its cursor or several times as kept. */
typedef struct Stream
{
	const char *shape;			/* of its rows, see row_shape.c */
	Portal		portal;
	SPITupleTable *table;
	uint64		nrows;
	uint64		row;
	Tuplestorestate *kept;
	TupleTableSlot *slot;		/* the row that the stream is at */
	MemoryContext context;
} Stream;

/* The open items of one payer, in the order in which they fall due. */
typedef struct Book
{
	Stream		stream;
	bool		more;
	int64		page;
	int			n;
	int			room;
	Candidate  *item;
	MemoryContext context;
} Book;

/* What lines decided in these rounds take of items. */
typedef struct Taken Taken;

/* What undecided lines surely pay. */
typedef struct Claims Claims;

/* Where a line is in the rounds. */
typedef struct LineState
{
	int64		id;
	int8		round;			/* in which it was last weighed */
	bool		asked;			/* then asked for what the third round knows */
	bool		decided;
	bool		refused;		/* other lines have what it claims */
} LineState;

/* match_stream.c */
extern void OpenStream(Stream *stream, const char *sql, const char *shape, bool kept);
extern void OpenKept(Stream *stream, Tuplestorestate *kept, TupleDesc desc, const char *shape);
extern void HandOver(const char *sql, Tuplestorestate *rows, TupleDesc desc);
extern bool NextRow(Stream *stream);
extern void RewindStream(Stream *stream);
extern void CloseStream(Stream *stream);
extern int64 ColumnInt64(const Stream *stream, int column);
extern int32 ColumnInt32(const Stream *stream, int column);
extern char *ColumnText(const Stream *stream, int column);
extern void ReadLine(const Stream *stream, Line *line);
extern void ReadCandidate(const Stream *stream, Taken *taken, Candidate *c);
extern void OpenBook(Book *book, const char *sql);
extern void RewindBook(Book *book);
extern void TurnTo(Book *book, Taken *taken, int64 page);
extern void BookWindow(const Book *book, Line *line, int *from, int *upto);
extern int	AddFromBook(Book *book, const Line *line, int from, int upto, Candidate *cand, int n);

/* match_decide.c */
extern Taken *NewTaken(void);
extern int64 TakenOf(Taken *taken, int64 item_id, bool *changed);
extern Claims *NewClaims(void);
extern void EndClaims(Claims *claims);
extern void AddClaims(Claims *claims, const Line *line, int position, int round, const Answer *a);
extern void PutTaken(const Claims *claims, const LineState *lines, Tuplestorestate *rows, TupleDesc desc);
extern int	DecideClaims(Claims *claims, LineState *lines, int round, Taken *taken);

#endif							/* O2C_MATCH_H */
