/*
 * Slots: the fixed set of connections on which this process asks.  Any thread; what is taken is released by
 * its taker.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include "attrs.h"
#include "buf.h"
#include "err.h"
#include "frame.h"

struct slots;
struct slot;
struct bus_tls;

/* tls: borrowed for good, or NULL. */
int slots_start(uint32_t count, const struct bus_tls *tls, struct slots **ret,
		struct err *err) BOX_MUST_CHECK;
/* From then on nothing is connected any more; sockets stay open until the process ends. */
void slots_stop(struct slots *all);

/*
 * The slot of an address with a standing connection.  Waits for it until until_ms (monotonic).
 * -ERR_UNAVAILABLE when there is none by then, -ERR_BUSY when all slots are in use by others.
 */
int slot_take(struct slots *all, const char *addr, uint64_t until_ms,
	      struct slot **ret) BOX_MUST_CHECK;
void slot_release(struct slot *slot);

/* The boot id that was last seen at this address; boot_id is left alone while none is known. */
void slot_get_boot(struct slot *slot, uint8_t boot_id[BOOT_ID_SIZE]);
void slot_set_boot(struct slot *slot, const uint8_t boot_id[BOOT_ID_SIZE]);

enum exchange {
	EXCHANGE_ANSWERED,
	EXCHANGE_NOT_SENT, /* for certain: the frame is still here */
	EXCHANGE_LATE,     /* sent, no answer by the deadline */
	EXCHANGE_BROKEN,   /* sent, then the connection broke */
};
struct slot_answer {
	const void *data;
	size_t len;
	void *owner; /* NULL: the answer lies elsewhere */
};
/* One frame there, one back.  send_ms: how long to try to hand it over.  ret: slot_answer_done(). */
enum exchange slot_exchange(struct slot *slot, const struct buf *question, uint32_t send_ms,
			    uint64_t deadline_ms, struct slot_answer *ret);
void slot_answer_done(struct slot_answer *answer);
