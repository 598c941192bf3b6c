/*
 * order_lock.h
 *		Locking orders from the triggers of what stands below them.
 *
 * Orders are locked before their lines, shipments and stock: every function of
 * the API does so.  A statement that changes lines or shipments by hand holds
 * those already when its trigger fires.  Were it to wait for the order then, it
 * could wait for a function that has the order and waits for the line.  So it
 * does not wait: it is refused with a serialization failure when somebody else
 * has the order, and its client tries again or takes the order first.
 */
#ifndef O2C_ORDER_LOCK_H
#define O2C_ORDER_LOCK_H

#include "o2c.h"

/* "orders" gives company_id and order_id of the orders to lock, perhaps repeatedly. */
#define GRAB_ORDERS(orders) \
	"WITH wanted AS MATERIALIZED (SELECT DISTINCT w.company_id, w.order_id FROM (" orders ") w)," \
	" locked AS MATERIALIZED (SELECT s.company_id, s.id FROM o2c.sales_order s" \
	"  WHERE (s.company_id, s.id) IN (SELECT w.company_id, w.order_id FROM wanted w)" \
	"  ORDER BY s.company_id, s.id FOR NO KEY UPDATE SKIP LOCKED)" \
	" SELECT (SELECT s.code FROM o2c.sales_order s WHERE s.company_id = w.company_id AND s.id = w.order_id)" \
	" FROM wanted w WHERE NOT EXISTS" \
	"  (SELECT FROM locked k WHERE k.company_id = w.company_id AND k.id = w.order_id)"

/* Run a statement made with GRAB_ORDERS and refuse when an order was not to be had. */
extern void GrabOrders(KeptPlan *grab);

#endif							/* O2C_ORDER_LOCK_H */
