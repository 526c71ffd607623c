#include "pool.h"

#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "cleanup.h"
#include "clock.h"
#include "layers.h"
#include "log.h"
#include "mem.h"
#include "pool_internal.h"
#include "tasks.h"

#define READY_MS     10000u
#define IDLE_MS      300000u
#define TOOLS_MB     1024u
#define PLAIN_SPARES 2u
#define WARM_MS      600000u /* a warm process serves no longer, and no more calls, than this */
#define WARM_CALLS   50000u
/* A generation shares hash seed, canary and layout. */
#define GENERATION_MS    600000u
#define GENERATION_CALLS 50000u

void pool_wake_manager(struct pool *p)
{
	uint64_t one = 1;

	if (p->is_urgent)
		return;
	p->is_urgent = true;
	(void)!write(p->wake_fd, &one, sizeof(one));
}

/* ---- start and stop ---- */

static bool all_ready(const struct pool *p)
{
	for (size_t i = 0; i < WORKER_KINDS; i++) {
		if (!p->kinds[i].was_ready)
			return false;
	}
	return true;
}

static const struct wire_failed *any_failed(const struct pool *p)
{
	for (size_t i = 0; i < WORKER_KINDS; i++) {
		if (p->kinds[i].failed.step[0])
			return &p->kinds[i].failed;
	}
	return NULL;
}

struct layers pool_layers(const struct pool *p)
{
	return (struct layers){ .ready = &p->ready,
				.cgroup_version = p->cgroup_version,
				.cgroup_reason = p->cgroup_err.text };
}

static int check_floor(const struct pool *p, struct err *err)
{
	const struct layers reached = pool_layers(p);

	return layers_check(&reached, p->config.floor, err);
}

static int wait_until_ready(struct pool *p, struct err *err)
{
	const struct wire_failed *failed = NULL;
	struct timespec until;
	int r = 0;

	clock_abs_after(READY_MS, &until);
	(void)pthread_mutex_lock(&p->lock);
	while (r == 0 && !all_ready(p) && !(failed = any_failed(p)))
		r = pthread_cond_timedwait(&p->changed, &p->lock, &until);
	if (failed)
		r = err_set(err, ERR_UNAVAILABLE,
			    "the sandbox cannot be built: %s failed (errno %u)", failed->step,
			    failed->error_number);
	else if (r != 0)
		r = err_set(err, ERR_UNAVAILABLE, "the sandbox worker was not ready in time");
	else
		r = check_floor(p, err);
	p->kinds[WORKER_PLAIN].target = PLAIN_SPARES; /* the second one beside the first calls */
	(void)pthread_mutex_unlock(&p->lock);
	return r;
}

static void init_lock(struct pool *p)
{
	pthread_condattr_t attr;

	(void)pthread_mutex_init(&p->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&p->changed, &attr);
	(void)pthread_condattr_destroy(&attr);
}

static void set_defaults(struct pool_config *c)
{
	c->tool_idle_ms = c->tool_idle_ms ? c->tool_idle_ms : IDLE_MS;
	c->tools_mb = c->tools_mb ? c->tools_mb : TOOLS_MB;
	c->generation_ms = c->generation_ms ? c->generation_ms : GENERATION_MS;
	c->generation_calls = c->generation_calls ? c->generation_calls : GENERATION_CALLS;
}

static void pool_free(struct pool *p)
{
	fd_closep(&p->wake_fd);
	fd_closep(&p->epoll_fd);
	cgroups_close(p->cgroups);
	(void)pthread_cond_destroy(&p->changed);
	(void)pthread_mutex_destroy(&p->lock);
	free(p);
}

static int open_polls(struct pool *p)
{
	struct epoll_event e = { .events = EPOLLIN };

	p->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	p->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	return p->wake_fd >= 0 && p->epoll_fd >= 0
		       ? epoll_ctl(p->epoll_fd, EPOLL_CTL_ADD, p->wake_fd, &e)
		       : -1;
}

/* Without groups the rest holds; whether that is enough, the floor decides. */
static void open_cgroups(struct pool *p)
{
	if ((p->config.without & LAYER_CGROUP) ||
	    cgroups_open(p->config.cgroup_dirs, &p->cgroups, &p->cgroup_err) == 0)
		p->cgroup_version = cgroups_version(p->cgroups);
	else
		log_info("executor.no_cgroup", F_STR("reason", p->cgroup_err.text));
}

int pool_start(const struct pool_config *config, struct pool **ret, struct err *err)
{
	struct pool *p = mem_alloc(sizeof(*p));
	int r;

	p->config = *config;
	set_defaults(&p->config);
	p->machine_mb = tasks_machine_mb();
	open_cgroups(p);
	p->ready.layers = LAYER_USERNS; /* not known yet: no counting of threads */
	p->kinds[WORKER_PLAIN].target = p->kinds[WORKER_HTTP].target = 1;
	init_lock(p);
	if (open_polls(p) < 0 || pthread_create(&p->manager, NULL, workers_manage, p) != 0) {
		pool_free(p);
		return err_set(err, ERR_UNAVAILABLE, "no thread for the sandbox workers");
	}
	r = wait_until_ready(p, err);
	if (r < 0)
		pool_stop(p);
	else
		*ret = p;
	return r;
}

static void free_tools(struct pool *p)
{
	while (p->tools) {
		struct tool *t = p->tools;

		p->tools = t->next;
		fd_closep(&t->payload_fd);
		free(t);
	}
	while (p->free) {
		struct sandbox *s = p->free;

		p->free = s->next;
		close(s->events_fd);
		free(s);
	}
}

void pool_stop(struct pool *p)
{
	if (!p)
		return;
	(void)pthread_mutex_lock(&p->lock);
	p->is_stopping = true;
	p->is_urgent = false;
	pool_wake_manager(p);
	(void)pthread_cond_broadcast(&p->changed);
	(void)pthread_mutex_unlock(&p->lock);
	(void)pthread_join(p->manager, NULL);
	free_tools(p);
	pool_free(p);
}

void pool_add_layers_json(struct pool *p, struct buf *ret)
{
	struct layers reached;

	(void)pthread_mutex_lock(&p->lock);
	reached = pool_layers(p);
	layers_add_json(&reached, ret);
	(void)pthread_mutex_unlock(&p->lock);
}

void pool_add_missing_json(struct pool *p, struct buf *ret)
{
	struct layers reached;

	(void)pthread_mutex_lock(&p->lock);
	reached = pool_layers(p);
	layers_add_missing_json(&reached, ret);
	(void)pthread_mutex_unlock(&p->lock);
}

uint64_t pool_machine_mb(const struct pool *p)
{
	return p->machine_mb;
}

/* ---- taking ---- */

/* The tool's row; made with the lock let go of, since a payload may be large. */
static int find_or_add(struct pool *p, const struct job *job, struct tool **ret, struct err *err)
{
	struct tool *t = tool_find(p, job);
	int payload_fd;

	if (!t) {
		(void)pthread_mutex_unlock(&p->lock);
		payload_fd = job_open_payload(job, err);
		(void)pthread_mutex_lock(&p->lock);
		if (payload_fd < 0)
			return payload_fd;
		t = tool_find(p, job); /* somebody else's first call, meanwhile */
		if (t)
			close(payload_fd);
		else
			t = tool_add(p, job, payload_fd);
	}
	*ret = t;
	return 0;
}

static int refuse(const struct tool *t, struct err *err)
{
	return err_set(err, ERR_UNAVAILABLE,
		       "the sandbox of this tool cannot be built: %s failed (errno %u); the tool "
		       "did not run",
		       t->failed.step, t->failed.error_number);
}

static struct sandbox *fork_one(struct pool *p, struct tool *t)
{
	struct sandbox *s;

	(void)pthread_mutex_unlock(&p->lock);
	s = sandbox_new(p);
	(void)pthread_mutex_lock(&p->lock);
	if (s && (!tool_can_fork(t) || sandbox_fork(p, t, s) < 0)) {
		sandbox_free(p, s);
		s = NULL;
	}
	return s;
}

/* Waits for a change, no longer than until `until_ms`.  False: the time is over. */
static bool wait_change(struct pool *p, uint64_t until_ms)
{
	uint64_t now = clock_mono_ms();
	struct timespec until;

	if (now >= until_ms)
		return false;
	clock_abs_after((uint32_t)(until_ms - now < 1000 ? until_ms - now : 1000), &until);
	(void)pthread_cond_timedwait(&p->changed, &p->lock, &until);
	return true;
}

/* Returns as pool_take. */
static int take_from(struct pool *p, struct tool *t, struct pool_wait *wait, struct sandbox **ret,
		     struct err *err)
{
	for (;;) {
		struct sandbox *s;

		if (p->is_stopping)
			return err_set(err, ERR_UNAVAILABLE,
				       "this executor is going away; the tool did not run");
		if (wait->is_cancelled && atomic_load(wait->is_cancelled))
			return err_set(err, ERR_CANCELLED, "cancelled before the tool was started");
		if (t->failures + 1 != wait->failures ||
		    (t->failed.step[0] && clock_mono_ms() < t->bind.retry_at_ms))
			return refuse(t, err);
		s = sandbox_pop(t);
		if (!s && tool_can_fork(t))
			s = fork_one(p, t);
		if (s) {
			*ret = s;
			return 1;
		}
		tool_bind(p, t);
		if (!wait_change(p, wait->until_mono_ms))
			return 0;
	}
}

static void hand_out(struct pool *p, struct sandbox *s)
{
	s->stage = SANDBOX_TAKEN;
	s->stage_ms = clock_mono_ms();
	s->calls++;
	s->tool->running++;
	p->taken++;
}

int pool_take(struct pool *p, const struct job *job, struct pool_wait *wait, struct sandbox **ret,
	      struct err *err)
{
	struct sandbox *s = NULL;
	struct tool *t = NULL;
	int r;

	(void)pthread_mutex_lock(&p->lock);
	r = find_or_add(p, job, &t, err);
	if (r == 0) {
		if (wait->failures == 0)
			wait->failures = t->failures + 1;
		t->takers++;
		tool_note_take(t, clock_mono_ms());
		r = take_from(p, t, wait, &s, err);
		t->takers--;
		if (s)
			hand_out(p, s);
	}
	(void)pthread_mutex_unlock(&p->lock);
	*ret = s;
	return r;
}

void pool_nudge(struct pool *p)
{
	(void)pthread_mutex_lock(&p->lock);
	(void)pthread_cond_broadcast(&p->changed);
	(void)pthread_mutex_unlock(&p->lock);
}

/* ---- giving back ---- */

static bool may_serve_again(const struct pool *p, const struct sandbox *s)
{
	const struct tool *t = s->tool;

	return t->is_warm && s->worker && s->worker == t->current && !s->was_killed &&
	       s->ended.how == 0 && !p->is_stopping && s->calls < WARM_CALLS &&
	       clock_mono_ms() - s->forked_ms < WARM_MS;
}

void pool_give_back(struct pool *p, struct sandbox *s, bool is_clean)
{
	(void)pthread_mutex_lock(&p->lock);
	p->taken--;
	s->tool->running--;
	s->tool->used_ms = clock_mono_ms();
	if (is_clean)
		s->tool->fork = (struct backoff){ 0 };
	if (s->ended.how != 0 || s->is_lost) {
		sandbox_free(p, s);
	} else if (is_clean && may_serve_again(p, s)) {
		sandbox_push_front(s->tool, s);
	} else {
		if (!is_clean)
			sandbox_kill(s);
		sandbox_dismiss(p, s);
	}
	(void)pthread_mutex_unlock(&p->lock);
}

void pool_kill(struct pool *p, struct sandbox *s)
{
	(void)pthread_mutex_lock(&p->lock);
	sandbox_signal(s);
	sandbox_kill(s);
	(void)pthread_mutex_unlock(&p->lock);
}

struct sandbox_state pool_look(struct pool *p, const struct sandbox *s)
{
	struct sandbox_state state;

	(void)pthread_mutex_lock(&p->lock);
	state = (struct sandbox_state){ .is_lost = s->is_lost,
					.ran_out_of_memory = s->ran_out_of_memory,
					.threads_seen = s->threads_seen,
					.threads_max = s->threads_max,
					.ended = s->ended,
					.pid = s->pid,
					.base_kb = s->base_kb,
					.memory_fd = s->memory_fd };
	(void)pthread_mutex_unlock(&p->lock);
	return state;
}
