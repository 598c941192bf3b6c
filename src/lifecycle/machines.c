/*
 * machines.c
 *		The lifecycles as tables: read each one as a picture.
 *
 * The guard (guard.c) refuses every change of a state column that is not a
 * row here, whoever makes it.  Variation between companies is data (holds),
 * never another state.
 */
#include "o2c.h"

#include "lifecycle/machine.h"

static const Move order_moves[] = {
	{NULL, "draft", "draft"},
	{"draft", "submit", "submitted"},
	{"submitted", "confirm", "confirmed"},
	{"submitted", "reopen", "draft"},
	{"confirmed", "amend", "submitted"},
	{"confirmed", "start", "fulfilling"},
	{"confirmed", "complete", "fulfilled"},
	{"fulfilling", "complete", "fulfilled"},
	{"fulfilled", "close", "closed"},
	{"draft", "cancel", "cancelled"},
	{"submitted", "cancel", "cancelled"},
	{"confirmed", "cancel", "cancelled"},
	{"fulfilling", "cancel", "cancelled"},
};

static const Move invoice_moves[] = {
	{NULL, "draft", "draft"},
	{"draft", "issue", "issued"},
	{"issued", "settle", "paid"},
	{"paid", "reopen", "issued"},
	{"issued", "write_off", "written_off"},
	{"written_off", "reopen", "issued"},
	{"issued", "credit", "credited"},
	{"credited", "reopen", "issued"},
	{"draft", "void", "void"},
};

static const Move quote_moves[] = {
	{NULL, "draft", "draft"},
	{"draft", "send", "sent"},
	{"sent", "accept", "accepted"},
	{"sent", "reject", "rejected"},
	{"sent", "expire", "expired"},
	{"accepted", "order", "ordered"},
};

static const Move contract_moves[] = {
	{NULL, "draft", "draft"},
	{"draft", "send", "sent"},
	{"sent", "sign", "signed"},
	{"signed", "activate", "active"},
	{"active", "end", "ended"},
};

static const Move shipment_moves[] = {
	{NULL, "plan", "planned"},
	{"planned", "pick", "picked"},
	{"picked", "pack", "packed"},
	{"packed", "ship", "shipped"},
	{"shipped", "deliver", "delivered"},
	{"planned", "cancel", "cancelled"},
	{"picked", "cancel", "cancelled"},
	{"packed", "cancel", "cancelled"},
};

static const Move payment_moves[] = {
	{NULL, "receive", "received"},
	{NULL, "receive", "applied"},	/* recorded together with its applications */
	{"received", "apply", "applied"},
	{"applied", "unapply", "received"},
	{"received", "return", "returned"},
	{"applied", "return", "returned"},
};

static const Move dispute_moves[] = {
	{NULL, "open", "open"},
	{"open", "investigate", "investigating"},
	{"open", "resolve", "resolved"},
	{"investigating", "resolve", "resolved"},
};

static const Move promise_moves[] = {
	{NULL, "promise", "open"},
	{"open", "keep", "kept"},
	{"open", "break", "broken"},
	{"kept", "reverse", "open"},
	{"broken", "reverse", "open"},
};

static const Move message_moves[] = {
	{NULL, "queue", "queued"},
	{"queued", "claim", "sending"},
	{"retry", "claim", "sending"},
	{"sending", "release", "queued"},
	{"sending", "accept", "sent"},
	{"sending", "defer", "retry"},
	{"sending", "lose", "uncertain"},
	{"sending", "fail", "dead"},
	{"sending", "cancel", "cancelled"},
	{"uncertain", "confirm", "sent"},
	{"uncertain", "resend", "retry"},
	{"uncertain", "fail", "dead"},
	{"retry", "confirm", "sent"},
	{"sent", "deliver", "delivered"},
	{"sent", "bounce", "dead"},
	{"delivered", "bounce", "dead"},
	{"dead", "revive", "queued"},
	{"queued", "cancel", "cancelled"},
	{"retry", "cancel", "cancelled"},
};

#define MACHINE(name, table, moves) {name, table, moves, lengthof(moves)}

const Machine o2c_machines[] = {
	MACHINE("order", "sales_order", order_moves),
	MACHINE("invoice", "invoice", invoice_moves),
	MACHINE("quote", "quote", quote_moves),
	MACHINE("contract", "contract", contract_moves),
	MACHINE("shipment", "shipment", shipment_moves),
	MACHINE("payment", "payment", payment_moves),
	MACHINE("dispute", "dispute", dispute_moves),
	MACHINE("promise", "promise", promise_moves),
	MACHINE("message", "message", message_moves),
};

const int	o2c_nmachines = lengthof(o2c_machines);

/* The machine of that name, or NULL. */
const Machine *
MachineByName(const char *name)
{
	for (int i = 0; i < o2c_nmachines; i++)
		if (strcmp(o2c_machines[i].name, name) == 0)
			return &o2c_machines[i];
	return NULL;
}

/* The move that leads from one state to another, or NULL; from may be NULL. */
const Move *
MachineMove(const Machine *machine, const char *from, const char *to)
{
	for (int i = 0; i < machine->nmoves; i++)
	{
		const Move *move = &machine->moves[i];

		if ((from == NULL) != (move->from == NULL))
			continue;
		if (from != NULL && strcmp(move->from, from) != 0)
			continue;
		if (strcmp(move->to, to) == 0)
			return move;
	}
	return NULL;
}
