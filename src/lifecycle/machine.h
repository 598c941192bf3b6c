/*
 * machine.h
 *		A lifecycle: the states of one kind of document and its moves.
 */
#ifndef O2C_MACHINE_H
#define O2C_MACHINE_H

/* One permitted move.  "from" NULL is the creation of the document. */
typedef struct Move
{
	const char *from;
	const char *event;
	const char *to;
} Move;

typedef struct Machine
{
	const char *name;			/* argument of the trigger, entity in the log */
	const char *table;			/* the table whose column "state" it rules */
	const Move *moves;
	int			nmoves;
} Machine;

extern const Machine o2c_machines[];
extern const int o2c_nmachines;

extern const Machine *MachineByName(const char *name);
extern const Move *MachineMove(const Machine *machine, const char *from,
							   const char *to);

#endif							/* O2C_MACHINE_H */
