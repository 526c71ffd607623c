/*
 * What the parts of the pool share.  One lock guards all of it.  Workers, tools and processes are
 * made and freed under it; a worker or a tool is freed by the manager thread only, so that it may
 * let go of the lock and go on with either.
 */
#pragma once

#include <pthread.h>
#include "cgroup.h"
#include "crypto.h"
#include "layers.h"
#include "pool.h"

#define SLOTS_MAX   1024u /* processes that are there at once; a power of two */
#define WORKERS_MAX 128u
#define FREE_MAX    64u
#define REPLACE_MS  100u /* a new spare does not compete with the first call of a tool */

enum { WORKER_PLAIN, WORKER_HTTP, WORKER_KINDS };
enum worker_state {
	WORKER_STARTING,
	WORKER_SPARE,
	WORKER_BINDING,
	WORKER_BOUND,
	WORKER_RETIRING, /* starts no more; ends with its last process */
	WORKER_DEAD      /* killed, not reaped yet */
};

struct worker {
	enum worker_state state;
	uint64_t state_ms; /* when it got there */
	int kind;
	pid_t pid;
	int control;          /* -1 when dead */
	struct cgroup *group; /* NULL where there are none */
	uint64_t oom_kills;   /* of the group, as far as processes were told of them */
	struct wire_ready ready;
	struct wire_bound bound;
	struct tool *tool; /* BINDING, BOUND; RETIRING while the tool is there */
	uint32_t processes;
	uint32_t unanswered; /* FORKs without STARTED or ENDED */
	uint64_t silent_since_ms;
	uint64_t calls;
	struct worker *next;
};

/* Demand of the last one to two seconds. */
struct demand {
	uint64_t window_ms;
	uint32_t peak, calls; /* of this window: at once, in all */
	uint32_t peak_before, calls_before;
};

struct backoff {
	uint32_t ms;
	uint64_t retry_at_ms;
};

struct tool {
	uint8_t key[CRYPTO_HASH_SIZE];
	bool is_warm;
	int kind;
	struct wire_tool limits;
	int payload_fd;
	struct worker *current;       /* BOUND, or the first while it is BINDING */
	struct worker *renewal;       /* BINDING; takes the place of current */
	struct sandbox *first, *last; /* waiting */
	uint32_t waiting;
	uint32_t running; /* taken */
	uint32_t takers;  /* threads in pool_take */
	uint32_t processes;
	bool needs_spare;
	uint64_t needs_since_ms;
	uint64_t used_ms;
	bool wants_renewal;
	uint64_t renewed_ms;
	struct backoff bind, fork; /* after failures */
	uint32_t failures;         /* bindings that failed for a reason of the tool */
	struct wire_failed failed;
	struct demand demand;
	struct tool *next;
};

struct kind {
	uint32_t target; /* spares to keep */
	uint64_t replace_at_ms;
	struct backoff start;
	struct wire_failed failed;
	bool was_ready;
};

struct pool {
	struct pool_config config;
	uint64_t machine_mb;
	struct cgroups *cgroups; /* NULL: none; the manager's */
	unsigned cgroup_version;
	struct err cgroup_err; /* why there are none */
	pthread_t manager;
	int wake_fd, epoll_fd;
	pthread_mutex_t lock;   /* guards all below */
	pthread_cond_t changed; /* something that pool_take waits for */
	struct kind kinds[WORKER_KINDS];
	struct wire_ready ready; /* of the first worker that was */
	struct worker *workers;
	uint32_t worker_count;
	struct tool *tools;
	struct sandbox *slots[SLOTS_MAX];
	uint32_t next_slot;
	uint64_t last_serial;
	struct sandbox *free;
	uint32_t free_count;
	uint32_t taken, leaving;
	uint32_t uid_tasks;    /* where the kernel counts threads for the whole uid */
	uint64_t uid_tasks_ms; /* when they were counted */
	bool is_urgent;        /* the manager has to look at everything */
	bool is_stopping;
};

/* From `then` to `now`; 0 when `now` was looked up first. */
static inline uint64_t ms_since(uint64_t then_ms, uint64_t now_ms)
{
	return now_ms > then_ms ? now_ms - then_ms : 0;
}
struct layers pool_layers(const struct pool *p); /* lock held */
void pool_wake_manager(struct pool *p);          /* lock held */
void backoff_grow(struct backoff *b, uint64_t now_ms);

/* ---- sandboxes.c: processes, lock held unless said ---- */

/* With channels, not started.  NULL without descriptors.  Lock not held. */
struct sandbox *sandbox_new(struct pool *p);
/* Takes s, which is not in any slot any more. */
void sandbox_free(struct pool *p, struct sandbox *s);
/* Has the worker of the tool fork it; it stays the caller's when it fails. */
int sandbox_fork(struct pool *p, struct tool *t, struct sandbox *s);
struct sandbox *sandbox_find(struct pool *p, const struct worker *w, uint64_t number);
void sandbox_kill(struct sandbox *s);
void sandbox_signal(struct sandbox *s);
void sandbox_push(struct tool *t, struct sandbox *s);       /* last of those that wait */
void sandbox_push_front(struct tool *t, struct sandbox *s); /* first of them */
struct sandbox *sandbox_pop(struct tool *t);                /* NULL: none waits */
/* One that waits need not any more: it ends. */
void sandbox_dismiss(struct pool *p, struct sandbox *s);
/* It is gone: told to its taker, or freed. */
void sandbox_end(struct pool *p, struct sandbox *s);

/* ---- tools.c: lock held ---- */

struct tool *tool_find(struct pool *p, const struct job *job);
/* Takes payload_fd. */
struct tool *tool_add(struct pool *p, const struct job *job, int payload_fd);
void tool_note_take(struct tool *t, uint64_t now_ms);
/* Gives it a spare, or notes that it needs one. */
void tool_bind(struct pool *p, struct tool *t);
bool tool_can_fork(const struct tool *t);
/* Manager thread: as many processes as its demand asks for; lets go of the lock meanwhile. */
void tool_refill(struct pool *p, struct tool *t);
/* Manager thread: generations, surplus, idle ones, memory. */
void tools_tend(struct pool *p, uint64_t now_ms);
void tool_on_bound(struct pool *p, struct worker *w, const struct wire_bound *bound);
void tool_on_worker_lost(struct pool *p, struct worker *w, const struct wire_failed *failed);
uint32_t tools_needing(const struct pool *p, int kind);
struct tool *tools_longest_needing(const struct pool *p, int kind);

/* ---- workers.c: lock held ---- */

struct worker *worker_spare(const struct pool *p, int kind);
void worker_retire(struct pool *p, struct worker *w);
void worker_set_state(struct worker *w, enum worker_state state);
/* Manager thread: its group may take what the calls of its tool may. */
void worker_limit_group(const struct pool *p, struct worker *w);
/* The manager thread; arg is the pool. */
void *workers_manage(void *arg);
bool workers_share_thread_count(const struct pool *p);
