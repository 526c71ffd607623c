/*
 * Which executors are alive, and which one runs the next call.
 *
 * The list comes from Status; liveness is judged here by a ping every 500 ms, because the registry
 * may be away. A call goes to one of the two executors that rendezvous hashing ranks first for its
 * tool version (so that its zygote is warm there), to the freer of them; when both are full, to the
 * next in rank.  When all are full the caller waits in a bounded queue, of which one server may
 * fill a quarter, and one of its tools three quarters of that.  What gets free goes to the waiting server with
 * the fewest calls in flight; a server or tool that has used its share of the executors waits by itself.
 *
 * Threads: executors_update on the news thread, one ping thread of our own, the rest any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "attrs.h"
#include "bus.h"
#include "err.h"

#define EXECUTORS_MAX   64
#define EXECUTORS_QUEUE 256

struct executors;

/* Ask one whether it is there; 0 and its answer, or -code.  Injected: tests have no bus. */
typedef int executors_ping_fn(void *arg, const struct bus_target *control, PB(PingReply) * ret);

struct executors *executors_new(executors_ping_fn *ping, void *arg);
void executors_free(struct executors *e);
int executors_start(struct executors *e, struct err *err) BOX_MUST_CHECK; /* the ping thread */
void executors_stop(struct executors *e);

/* The instances of a Status. */
void executors_update(struct executors *e, const PB(Status) * status);

/* A place on one executor, held from executors_take to executors_give_back. */
struct executor_place {
	char instance[64];
	char work_addr[64], control_addr[64];
	uint16_t line_port; /* as its last ping said; 0: none */
	uint8_t boot_id[BOOT_ID_SIZE];
};
enum place_fate {
	PLACE_DONE,        /* it answered */
	PLACE_BUSY,        /* it said BUSY: full for others' sake */
	PLACE_BUSY_TOOL,   /* the tool has used its share of it */
	PLACE_BUSY_SERVER, /* the server has */
	PLACE_LOST,        /* the connection is gone: no new calls until a ping succeeds */
};

struct executor_want {
	const char *key;       /* of the tool version: the same goes to the same */
	const char *server_id; /* for its share */
	uint64_t deadline_mono_ms;
	bool (*given_up)(void *arg); /* asked when woken; true ends the wait with -ERR_CANCELLED */
	void *arg;
};
/*
 * Waits until one has room.  -ERR_DEADLINE (text tells full from none), -ERR_BUSY (queue full),
 * -ERR_CANCELLED.
 */
int executors_take(struct executors *e, const struct executor_want *want,
		   struct executor_place *ret, struct err *err) BOX_MUST_CHECK;
/* want: the one that it was taken for. */
void executors_give_back(struct executors *e, const struct executor_want *want,
			 const struct executor_place *place, enum place_fate fate);
void executors_wake(struct executors *e); /* let waiting calls ask given_up */

/* Is that very start of it (boot id) still listed and answering? */
bool executors_alive(struct executors *e, const struct executor_place *place);
struct executors_count {
	size_t listed, answering, in_flight, waiting;
};
struct executors_count executors_count(struct executors *e);
