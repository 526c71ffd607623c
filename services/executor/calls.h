/*
 * The calls of this executor: admitted up to its capacity, answered once, remembered for a while so
 * that a lost answer can be fetched again.
 *
 * Any thread.  A struct call is counted: calls_find gives a reference, call_unref takes it back.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include "attrs.h"
#include "blobs.h"
#include "err.h"
#include "keys.h"
#include "msg.h"
#include "pool.h"

struct calls;
struct call;

/* What a call is made of; all borrowed but for what is said. */
struct call_order {
	const char *call_id;
	const PB(Permit) * permit;
	const PB(SignedPermit) * signed_permit;
	struct blob *spec;  /* takes a reference of its own */
	struct blob *grant; /* may be NULL: no network */
	struct bytes arguments;
	bool wants_progress;
	const char *log_level;
	uint64_t received_us; /* by the monotonic clock */
};

/* What is passed to calls_config.open_stream: facts of the call that wants to get out. */
struct call_egress {
	const char *call_id;
	const char *tool_name;
	const PB(SignedPermit) * permit;
	struct bytes grant;
};

struct calls_config {
	struct pool *pool; /* borrowed */
	const struct keys
		*keys; /* borrowed; open what is revealed to tools; NULL: calls get no secrets */
	uint32_t capacity;
	uint32_t tool_max;   /* of one tool at once; 0: no cap */
	uint32_t server_max; /* of one server's tools at once; 0: no cap */
	uint64_t memory_mb;  /* that the limits of running calls may come to; 0: no cap */
	/* A connected stream to the egress-proxy (the caller's), or -code. */
	int (*open_stream)(void *arg, const struct call_egress *who, uint32_t remaining_ms,
			   struct err *err);
	void *arg;
};

struct calls *calls_new(const struct calls_config *config);
/* Cancels what runs and waits for it.  The memory stays for the life of the process: the bus' thread that follows the
 * news cannot be ended and may still ask. */
void calls_stop(struct calls *c);

/* How many of `capacity` a share in percent is: at least 1; 0 (no cap) where there is one only. */
uint32_t calls_share(uint32_t capacity, uint32_t percent);
/*
 * Starts a call and answers as call_wait does.  The call runs in this very thread as long as it does
 * not have to answer before the end.
 *
 * -ERR_BUSY (full, draining, a cap; err.field says which: capacity, tool, server, memory),
 * -ERR_EXISTS (id was started before), -ERR_INVALID (spec or arguments), -ERR_DENIED,
 * -ERR_TOO_LARGE: nothing was started.
 */
int calls_execute(struct calls *c, const struct call_order *order, uint64_t deadline_mono_ms,
		  struct buf *ret, struct err *err) BOX_MUST_CHECK;
struct call *calls_find(struct calls *c, const char *call_id); /* NULL when unknown or forgotten */
void call_unref(struct call *call);

/* Waits until the call is done or has events after after_seq, or the deadline passes; then packs
 * Done or Running (with no events in the last case) into ret.  Events up to after_seq are dropped.
 */
void call_wait(struct call *call, uint32_t after_seq, uint64_t deadline_mono_ms, struct buf *ret);

/* Ends the call.  False when it is not known or already done. */
bool calls_cancel(struct calls *c, const char *call_id, const char *reason);
/* Ends every call whose permit the function condemns. */
void calls_cancel_permits(struct calls *c, bool (*is_revoked)(void *arg, const char *permit_id),
			  void *arg);

uint32_t calls_in_flight(struct calls *c);
/* No new calls from now on; waits up to ms for those that run.  True when none is left. */
bool calls_drain(struct calls *c, uint32_t ms);
