/* Tool versions: their zygotes, generations, and how many processes wait for the next calls. */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include "cleanup.h"
#include "clock.h"
#include "log.h"
#include "mem.h"
#include "pool_internal.h"
#include "wire_io.h"

#define WINDOW_MS      1000u
#define HOT_MS         60000u /* so long after a call a process waits for the next one */
#define RENEWAL_GAP_MS 10000u /* between generations that a crash asked for */
#define PROCESS_KB     2048u  /* of a waiting process; measured: tests/bench */
#define SHARED_SPARE   512u   /* threads that may come up after uid_tasks was counted */

/* ---- the table ---- */

struct tool *tool_find(struct pool *p, const struct job *job)
{
	struct tool *t = p->tools;

	while (t && (memcmp(t->key, job->key, sizeof(t->key)) != 0 || t->is_warm != job->is_warm))
		t = t->next;
	return t;
}

struct tool *tool_add(struct pool *p, const struct job *job, int payload_fd)
{
	struct tool *t = mem_alloc(sizeof(*t));

	memcpy(t->key, job->key, sizeof(t->key));
	t->is_warm = job->is_warm;
	t->kind = job_wants_http(job) ? WORKER_HTTP : WORKER_PLAIN;
	t->limits = job_wire(job);
	t->payload_fd = payload_fd;
	t->used_ms = clock_mono_ms();
	t->next = p->tools;
	p->tools = t;
	return t;
}

static void tool_free(struct tool *t)
{
	fd_closep(&t->payload_fd);
	free(t);
}

/* ---- demand ---- */

static void roll_demand(struct demand *d, uint32_t now_running, uint64_t now_ms)
{
	uint64_t age = ms_since(d->window_ms, now_ms);

	if (age < WINDOW_MS)
		return;
	d->peak_before = age < 2 * WINDOW_MS ? d->peak : now_running;
	d->calls_before = age < 2 * WINDOW_MS ? d->calls : 0;
	d->peak = now_running;
	d->calls = 0;
	d->window_ms = now_ms;
}

void tool_note_take(struct tool *t, uint64_t now_ms)
{
	uint32_t at_once = t->running + t->takers;

	roll_demand(&t->demand, t->running, now_ms);
	t->demand.calls++;
	if (at_once > t->demand.peak)
		t->demand.peak = at_once;
	t->used_ms = now_ms;
}

/*
 * Processes that should wait now.  As many as ran at once; one more when calls follow each other,
 * since the next one comes while the process of the last is still going away.
 */
static uint32_t wanted(const struct pool *p, struct tool *t, uint64_t now_ms)
{
	struct demand *d = &t->demand;
	uint32_t peak;

	if (!t->current || t->current->state != WORKER_BOUND || p->is_stopping)
		return 0;
	if (ms_since(t->used_ms, now_ms) > HOT_MS)
		return 0;
	roll_demand(d, t->running, now_ms);
	peak = d->peak > d->peak_before ? d->peak : d->peak_before;
	if (t->is_warm) /* they come back */
		return peak > t->running ? peak - t->running : t->running == 0;
	peak += d->calls + d->calls_before > 1;
	peak = peak > 0 ? peak : 1;
	return peak < p->config.capacity ? peak : p->config.capacity;
}

bool tool_can_fork(const struct tool *t)
{
	return t->current && t->current->state == WORKER_BOUND;
}

void tool_refill(struct pool *p, struct tool *t)
{
	uint64_t now = clock_mono_ms();

	while (now >= t->fork.retry_at_ms && t->waiting < wanted(p, t, now)) {
		struct sandbox *s;

		(void)pthread_mutex_unlock(&p->lock);
		s = sandbox_new(p);
		(void)pthread_mutex_lock(&p->lock);
		if (!s)
			return;
		if (!tool_can_fork(t) || sandbox_fork(p, t, s) < 0) {
			sandbox_free(p, s);
			return;
		}
		sandbox_push(t, s);
	}
}

static void dismiss_surplus(struct pool *p, struct tool *t, uint32_t keep)
{
	while (t->waiting > keep)
		sandbox_dismiss(p, sandbox_pop(t));
}

/* ---- zygotes ---- */

/* False: it could not be sent now, and the worker is a spare as before. */
static bool send_tool(struct pool *p, struct tool *t, struct worker *w)
{
	struct wire_message m = { .kind = WIRE_TOOL, .u.tool = t->limits };
	int r;

	if (workers_share_thread_count(p))
		m.u.tool.shared_nproc =
			p->uid_tasks + p->config.capacity * t->limits.threads + SHARED_SPARE;
	r = wire_send(w->control, &m, &t->payload_fd, TOOL_FD_COUNT);
	if (r < 0) { /* the worker is gone, as its socket says, or too many descriptors travel */
		log_warn("executor.tool_not_sent", F_INT("errno", -r));
		backoff_grow(&t->bind, clock_mono_ms());
		return false;
	}
	worker_set_state(w, WORKER_BINDING);
	w->tool = t;
	t->needs_spare = false;
	p->kinds[t->kind].replace_at_ms = w->state_ms + REPLACE_MS;
	pool_wake_manager(p); /* for another spare */
	return true;
}

void tool_bind(struct pool *p, struct tool *t)
{
	uint64_t now = clock_mono_ms();
	struct worker *spare;

	if (t->current || now < t->bind.retry_at_ms)
		return;
	spare = worker_spare(p, t->kind);
	if (spare) {
		if (send_tool(p, t, spare))
			t->current = spare;
	} else if (!t->needs_spare) {
		t->needs_spare = true;
		t->needs_since_ms = now;
		pool_wake_manager(p);
	}
}

uint32_t tools_needing(const struct pool *p, int kind)
{
	uint32_t count = 0;

	for (const struct tool *t = p->tools; t; t = t->next)
		count += t->needs_spare && t->kind == kind;
	return count;
}

struct tool *tools_longest_needing(const struct pool *p, int kind)
{
	struct tool *longest = NULL;

	for (struct tool *t = p->tools; t; t = t->next) {
		if (t->needs_spare && t->kind == kind &&
		    (!longest || t->needs_since_ms < longest->needs_since_ms))
			longest = t;
	}
	return longest;
}

static void retire_current(struct pool *p, struct tool *t)
{
	dismiss_surplus(p, t, 0);
	if (t->current)
		worker_retire(p, t->current);
	t->current = NULL;
}

void tool_on_bound(struct pool *p, struct worker *w, const struct wire_bound *bound)
{
	struct tool *t = w->tool;

	if (!t || w->state != WORKER_BINDING)
		return;
	worker_set_state(w, WORKER_BOUND);
	w->bound = *bound;
	worker_limit_group(p, w);
	t->bind = t->fork = (struct backoff){ 0 };
	t->failed.step[0] = 0;
	if (t->renewal == w) { /* the new one first, then the old one goes */
		t->renewal = NULL;
		retire_current(p, t);
		t->current = w;
	}
	t->renewed_ms = w->state_ms;
	log_debug("executor.tool_bound", F_UINT("us", bound->bind_us),
		  F_UINT("base_kb", bound->base_kb));
	(void)pthread_cond_broadcast(&p->changed);
	/* Who waits forks for himself; the next ones are for after those calls. */
	if (t->takers == 0)
		tool_refill(p, t);
}

void tool_on_worker_lost(struct pool *p, struct worker *w, const struct wire_failed *failed)
{
	struct tool *t = w->tool;

	if (!t || (t->current != w && t->renewal != w))
		return;
	if (failed && failed->error_number == EBUSY && !(t->limits.flags & TOOL_LATE)) {
		t->limits.flags |= TOOL_LATE; /* the next worker, at once */
	} else {
		if (failed) {
			t->failed = *failed;
			t->failures++;
		}
		if (w->state == WORKER_BINDING)
			backoff_grow(&t->bind, clock_mono_ms());
	}
	if (t->renewal == w)
		t->renewal = NULL;
	else
		t->current = NULL;
	(void)pthread_cond_broadcast(&p->changed);
}

/* ---- what the manager does now and then ---- */

static bool is_idle(const struct tool *t)
{
	return t->running == 0 && t->takers == 0;
}

static bool is_over(const struct pool_config *c, const struct tool *t, uint64_t now_ms)
{
	const struct worker *w = t->current;

	return ms_since(w->state_ms, now_ms) >= c->generation_ms ||
	       w->calls >= c->generation_calls ||
	       (t->wants_renewal && ms_since(t->renewed_ms, now_ms) >= RENEWAL_GAP_MS);
}

static void renew(struct pool *p, struct tool *t, uint64_t now_ms)
{
	struct worker *spare;

	if (!tool_can_fork(t) || t->renewal || now_ms < t->bind.retry_at_ms ||
	    !is_over(&p->config, t, now_ms))
		return;
	spare = worker_spare(p, t->kind);
	if (!spare || !send_tool(p, t, spare))
		return;
	t->wants_renewal = false;
	t->renewal = spare;
}

static uint64_t memory_kb(const struct worker *w)
{
	return w->bound.base_kb + (uint64_t)w->processes * PROCESS_KB;
}

static uint64_t all_memory_kb(const struct pool *p)
{
	uint64_t sum = 0;

	for (const struct worker *w = p->workers; w; w = w->next)
		sum += w->state == WORKER_BOUND ? memory_kb(w) : 0;
	return sum;
}

static struct tool *longest_idle(const struct pool *p)
{
	struct tool *longest = NULL;

	for (struct tool *t = p->tools; t; t = t->next) {
		if (is_idle(t) && tool_can_fork(t) && (!longest || t->used_ms < longest->used_ms))
			longest = t;
	}
	return longest;
}

static void keep_within_memory(struct pool *p)
{
	uint64_t used = all_memory_kb(p), budget = (uint64_t)p->config.tools_mb << 10;
	uint32_t workers = p->worker_count;
	struct tool *t;

	while ((used > budget || workers > WORKERS_MAX * 3 / 4) && (t = longest_idle(p))) {
		uint64_t freed = memory_kb(t->current);

		log_info("executor.tool_evicted", F_UINT("used_mb", used >> 10),
			 F_UINT("idle_ms", clock_mono_ms() - t->used_ms));
		used -= freed < used ? freed : used;
		workers--;
		retire_current(p, t);
	}
}

static void tend_tool(struct pool *p, struct tool *t, uint64_t now_ms)
{
	if (t->takers == 0)
		t->needs_spare = false;
	else
		tool_bind(p, t);
	if (is_idle(t) && ms_since(t->used_ms, now_ms) >= p->config.tool_idle_ms) {
		retire_current(p, t);
		return;
	}
	renew(p, t, now_ms);
	dismiss_surplus(p, t, wanted(p, t, now_ms));
	if (t->takers == 0)
		tool_refill(p, t);
}

static bool is_of_no_use(const struct tool *t)
{
	return is_idle(t) && !t->current && !t->renewal && t->processes == 0;
}

static void forget_workers(struct pool *p, const struct tool *t)
{
	for (struct worker *w = p->workers; w; w = w->next) {
		if (w->tool == t)
			w->tool = NULL;
	}
}

void tools_tend(struct pool *p, uint64_t now_ms)
{
	struct tool **at;

	for (struct tool *t = p->tools; t; t = t->next)
		tend_tool(p, t, now_ms);
	keep_within_memory(p);
	for (at = &p->tools; *at;) {
		struct tool *t = *at;

		/* The failure of a binding is remembered until the next try is due. */
		if (!is_of_no_use(t) || now_ms < t->bind.retry_at_ms) {
			at = &t->next;
			continue;
		}
		*at = t->next;
		forget_workers(p, t);
		tool_free(t);
	}
}
