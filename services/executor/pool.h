/*
 * The processes that calls run in.  Workers are started ahead (spares), bound to one tool version
 * each on its first call, and then fork processes for it, ahead of the calls: a call takes a
 * process that waits already.  A manager thread starts, watches and replaces all of them.
 *
 * Order: pool_start -> pool_take ... pool_give_back -> pool_stop.  Any thread but for start and
 * stop.
 */
#pragma once

#include <stdatomic.h>
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
	const char *cgroup_dirs; /* as cgroups_open() */
	uint32_t capacity;       /* calls at once */
	uint32_t tool_idle_ms;   /* a tool's zygote that is not used for so long ends; 0: 5 min */
	uint32_t tools_mb;       /* memory that zygotes and waiting processes may use; 0: 1 GiB */
	uint32_t floor;          /* LAYER_* that must be there */
	uint32_t without;        /* tests only: LAYER_* not to be applied; 0 */
	/* A zygote's generation lasts so long, or for so many processes; 0: 10 min, 50,000. */
	uint32_t generation_ms, generation_calls;
};
/* Starts the first workers and waits until one of each kind is ready.  -ERR_UNSUPPORTED below the
 * floor, with what is missing. */
int pool_start(const struct pool_config *config, struct pool **ret, struct err *err) BOX_MUST_CHECK;
/* Ends the workers and with them every process of theirs.  Nothing may be taken any more. */
void pool_stop(struct pool *p);
void pool_add_layers_json(struct pool *p, struct buf *ret);
/* Why layers are not there; before the process confines itself. */
void pool_add_missing_json(struct pool *p, struct buf *ret);
/* Memory of this machine or of the container around it. */
uint64_t pool_machine_mb(const struct pool *p);

/*
 * One process.  From take to give-back the descriptors are its taker's to use (not to close); the
 * rest is the pool's: read it by pool_look().
 */
struct sandbox {
	int result_fd, output_fd, host_fd; /* our ends, non-blocking */
	int events_fd; /* eventfd: readable when something of sandbox_state changed */
	/* of the pool */
	uint64_t number;
	int far_fds[FORK_FD_COUNT]; /* the process' ends, until it has them */
	int pidfd, memory_fd;       /* -1: not known yet */
	pid_t pid;                  /* as long as pidfd is open and it runs; 0: not known */
	enum { SANDBOX_WAITING, SANDBOX_TAKEN, SANDBOX_LEAVING } stage;
	bool was_killed, is_lost, was_signalled;
	bool ran_out_of_memory; /* the kernel killed it because its worker's group had used up its own */
	uint32_t threads_max;
	uint32_t threads_seen;   /* over threads_max: killed for it */
	struct wire_ended ended; /* how 0: still running */
	uint64_t forked_ms;
	uint32_t base_kb;  /* data of its zygote */
	uint64_t stage_ms; /* when it got there */
	uint32_t calls;    /* it was taken so many times */
	struct tool *tool;
	struct worker *worker; /* NULL: lost */
	struct sandbox *next;  /* of those that wait, or are free */
};

struct pool_wait {
	uint64_t until_mono_ms;
	const atomic_bool *is_cancelled; /* pool_nudge() after setting it */
	/* Of the one call; zero before the first pool_take. */
	uint32_t failures; /* of its tool, when it began to wait; 0: it has not */
};
/*
 * A process that waits for a call of this job's tool version.  Waits for one until `until_mono_ms`;
 * several turns are one wait.  1: got it.  0: not yet.  -ERR_CANCELLED; -ERR_UNAVAILABLE: the
 * tool's zygote cannot be made.  Without 1 nothing was started.
 */
int pool_take(struct pool *p, const struct job *job, struct pool_wait *wait, struct sandbox **ret,
	      struct err *err) BOX_MUST_CHECK;
/* Wakes those that wait in pool_take, to look at is_cancelled. */
void pool_nudge(struct pool *p);
/* Takes s.  It is ended, unless it is clean (answered, nothing left in its channels, not killed)
 * and of a warm tool: then it waits for the next call. */
void pool_give_back(struct pool *p, struct sandbox *s, bool is_clean);
/* Kills the process, now or as soon as it is there. */
void pool_kill(struct pool *p, struct sandbox *s);

struct sandbox_state {
	bool is_lost; /* its worker is gone */
	bool ran_out_of_memory;
	uint32_t threads_seen, threads_max;
	struct wire_ended ended; /* how 0: still running */
	pid_t pid;               /* 0: not known (yet) */
	uint32_t base_kb;        /* data of its zygote */
	int memory_fd;           /* for tasks_resident_kb; -1: not known (yet) */
};
struct sandbox_state pool_look(struct pool *p, const struct sandbox *s);
