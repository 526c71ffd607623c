/*
 * One job in one sandbox, from hand-over to verdict.  Blocks the calling thread (1 MiB of stack);
 * needs no lock.
 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>
#include "attrs.h"
#include "err.h"
#include "hostcalls.h"
#include "pool.h"
#include "result.h"

struct run_hooks {
	void *arg;
	/* A progress or log message; false: too many, the call ends. */
	bool (*on_event)(void *arg, const struct hostcall *call);
	/* A connected stream to the egress-proxy for this call (the caller's), or -code. */
	int (*open_stream)(void *arg, uint32_t remaining_ms, struct err *err);
};

struct run {
	struct pool *pool;             /* borrowed */
	const struct job *job;         /* borrowed */
	const struct run_hooks *hooks; /* borrowed; NULL: the job may ask for nothing */
	struct sandbox sandbox;
	atomic_bool is_cancelled; /* set by run_cancel */
	char cancel_reason[128];  /* written before is_cancelled */
	/* of the running thread */
	int result_fd, output_fd, host_fd;
	struct buf frame; /* length and body of the answer, as far as it came */
	struct buf host_in;
	struct capture output;
	enum run_cause cause;
	uint64_t deadline_ms;
	uint32_t opened; /* streams */
	uint32_t duration_ms;
};

/* In place; then run_do once, then run_done.  Returns 0 or -ERR_UNAVAILABLE. */
int run_init(struct run *r, struct pool *pool, const struct job *job, const struct run_hooks *hooks,
	     struct err *err) BOX_MUST_CHECK;
void run_done(struct run *r);
/* Runs it.  0: ret_facts says how it ended (points into r).  Negative: nothing was started. */
int run_do(struct run *r, struct run_facts *ret_facts, struct err *err) BOX_MUST_CHECK;
/* From any thread while r lives: ends it at once. */
void run_cancel(struct run *r, const char *reason);
