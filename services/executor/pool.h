/*
 * The workers: started by exec, watched, replaced.  Two kinds, each one process: one with httpx
 * loaded, one without.  A manager thread owns them (the kernel ties a worker's life to the thread
 * that started it), reads what they report and starts a new one when one is gone.
 *
 * Order: pool_start -> pool_submit ... pool_release -> pool_stop.  Any thread but for start and
 * stop.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "attrs.h"
#include "buf.h"
#include "err.h"
#include "job.h"
#include "wire.h"

struct pool;
struct pool_config {
	const char *worker_path;
	const char *runtime_dir;
	const char *module_dirs; /* "" for none */
	uint32_t capacity;
	uint32_t floor;   /* LAYER_* that must be there */
	uint32_t without; /* tests only: LAYER_* not to be applied; 0 */
};
/* Starts the workers and waits until they are ready.  -ERR_UNSUPPORTED below the floor, with what
 * is missing. */
int pool_start(const struct pool_config *config, struct pool **ret, struct err *err) BOX_MUST_CHECK;
/* Ends the workers and with them every process of theirs.  Nothing may be submitted any more. */
void pool_stop(struct pool *p);
void pool_add_layers_json(struct pool *p, struct buf *ret);

/* One process of a worker.  Plain memory of its submitter; fields but `events_fd` are the pool's,
 * read them by pool_look(). */
struct sandbox {
	uint64_t number;
	int events_fd; /* eventfd: readable when something below changed; the submitter's */
	int pidfd;
	pid_t pid; /* as long as pidfd is open and it runs; 0: not known */
	bool was_started, was_killed, is_lost;
	uint32_t threads_max;
	uint32_t threads_seen;   /* over threads_max: killed for it */
	struct wire_ended ended; /* how 0: still running */
	uint64_t submitted_ms;
	struct pool_worker *worker;
	struct sandbox *next;
};
/* Hands the job to a worker; fds in the order of enum wire_job_fd, borrowed.  -ERR_UNAVAILABLE
 * while no worker is ready: nothing was started. */
int pool_submit(struct pool *p, struct sandbox *s, const struct job *job, const int *fds,
		struct err *err) BOX_MUST_CHECK;
/* Kills the process, now or as soon as it is there. */
void pool_kill(struct pool *p, struct sandbox *s);
struct sandbox pool_look(struct pool *p, const struct sandbox *s);
/* Forgets it; kills it if it still runs. */
void pool_release(struct pool *p, struct sandbox *s);
