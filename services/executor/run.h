/*
 * One job in one sandbox, from hand-over to verdict.  Blocks the calling thread (1 MiB of stack) as
 * long as it says; another thread may take over between two steps.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include "attrs.h"
#include "err.h"
#include "hostcalls.h"
#include "pool.h"
#include "result.h"

enum event_fate { EVENT_IGNORED, EVENT_KEPT, EVENT_TOO_MANY };

struct run_hooks {
	void *arg;
	/* A progress or log message; EVENT_TOO_MANY ends the call. */
	enum event_fate (*on_event)(void *arg, const struct hostcall *call);
	/* A connected stream to the egress-proxy for this call (the caller's), or -code. */
	int (*open_stream)(void *arg, uint32_t remaining_ms, struct err *err);
};

/* On the monotonic clock, in microseconds; 0: did not get there. */
struct run_times {
	uint64_t started;
	uint64_t taken;    /* a process was handed out */
	uint64_t answered; /* its answer was complete, or it had to be ended */
};

enum run_stage { RUN_TAKE, RUN_WATCH };

struct run {
	struct pool *pool;             /* borrowed */
	const struct job *job;         /* borrowed */
	const struct run_hooks *hooks; /* borrowed; NULL: the job may ask for nothing */
	atomic_bool is_cancelled;      /* set by run_cancel */
	char cancel_reason[128];       /* written before is_cancelled */
	pthread_mutex_t lock;          /* guards sandbox, so that no other call is cancelled */
	struct sandbox *sandbox;       /* while it is ours */
	/* of the running thread */
	enum run_stage stage;
	struct pool_wait wait;
	int result_fd, output_fd, host_fd; /* the sandbox's; -1 after their end */
	struct buf call;                   /* the frame that starts it */
	size_t call_sent;
	struct buf frame; /* length and body of the answer, as far as it came */
	struct buf host_in;
	struct capture output;
	enum run_cause cause;
	bool is_foreground, has_news;
	uint64_t deadline_ms;
	uint64_t cpu_before_us; /* what the process had used before the call */
	uint64_t cpu_check_ms;  /* it cannot have used up its CPU time before */
	uint32_t threads, base_kb;
	bool ran_out_of_memory;
	uint32_t opened;  /* streams */
	uint32_t retries; /* processes that were gone before they were told anything */
	struct wire_ended ended;
	pid_t pid; /* of the process that served it; 0: not known */
	struct run_times times;
	uint32_t duration_ms;
};

/* In place; then run_step until it has ended, then run_done. */
void run_init(struct run *r, struct pool *pool, const struct job *job,
	      const struct run_hooks *hooks);
void run_done(struct run *r);

/*
 * Goes on with it until `until_mono_ms`.  In the foreground it comes back earlier: with an event,
 * or when opening a stream would block.
 *
 * Returns 1: it ended, ret_facts says how (points into r).  0: it goes on.  Negative: nothing was
 * started, and will be.
 */
int run_step(struct run *r, uint64_t until_mono_ms, bool is_foreground, struct run_facts *ret_facts,
	     struct err *err) BOX_MUST_CHECK;
/* Runs it to its end.  As run_step, but never 0. */
int run_do(struct run *r, struct run_facts *ret_facts, struct err *err) BOX_MUST_CHECK;
/* From any thread while r lives: ends it at once. */
void run_cancel(struct run *r, const char *reason);
