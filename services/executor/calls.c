#include "calls.h"

#include <string.h>
#include "call.h"
#include "clock.h"
#include "cleanup.h"
#include "json.h"
#include "mem.h"
#include "runners.h"
#include "seen.h"

#define KEPT_MAX 64u /* finished calls that Wait still finds */
#define KEPT_MS  60000u
#define STOP_MS  5000u /* for killed processes to be gone */

struct calls {
	struct calls_config config;
	struct runners *runners;
	pthread_mutex_t lock; /* guards all below; taken before call.lock, never after */
	pthread_cond_t idle;
	struct call *running;
	struct call *kept, **kept_end; /* finished ones, oldest first */
	uint32_t kept_count;
	struct seen *seen;
	uint32_t in_flight;
	bool is_draining;
};

static void go_on(void *arg);

struct calls *calls_new(const struct calls_config *config)
{
	struct calls *c = mem_alloc(sizeof(*c));

	c->config = *config;
	c->seen = seen_new();
	c->kept_end = &c->kept;
	c->runners = runners_new(config->capacity, go_on);
	(void)pthread_mutex_init(&c->lock, NULL);
	call_init_condition(&c->idle);
	return c;
}

/* ---- admission ---- */

uint32_t calls_share(uint32_t capacity, uint32_t percent)
{
	uint32_t share = (uint32_t)((uint64_t)capacity * percent / 100);

	if (capacity == 1 || percent >= 100)
		return 0;
	return share > 0 ? share : 1;
}

/* What runs already, seen from a call that wants in. */
struct load {
	uint32_t of_tool, of_server;
	uint64_t memory_mb, server_memory_mb;
};

static struct load load_for(const struct calls *c, const struct call *call)
{
	struct load l = { 0 };

	for (const struct call *other = c->running; other; other = other->next) {
		bool same_server = strcmp(other->spec->server_id, call->spec->server_id) == 0;

		l.of_tool += strcmp(other->spec->tool_id, call->spec->tool_id) == 0;
		l.of_server += same_server;
		l.memory_mb += other->job.limits.memory_mb;
		l.server_memory_mb += same_server ? other->job.limits.memory_mb : 0;
	}
	return l;
}

static int check_share(const struct calls *c, const struct load *l, struct err *err)
{
	if (c->config.tool_max && l->of_tool >= c->config.tool_max)
		return err_set_field(err, ERR_BUSY, "tool", NULL,
				     "this tool uses all %u of the %u sandboxes that one tool may "
				     "use; nothing was started",
				     c->config.tool_max, c->config.capacity);
	if (c->config.server_max && l->of_server >= c->config.server_max)
		return err_set_field(err, ERR_BUSY, "server", NULL,
				     "this server's tools use all %u of the %u sandboxes that one "
				     "server may use; nothing was started",
				     c->config.server_max, c->config.capacity);
	return 0;
}

/* Of the memory a server has the same share as of the sandboxes; its first call may need more. */
static bool exceeds_memory_share(const struct calls *c, const struct load *l, uint64_t own_mb)
{
	uint64_t share = c->config.memory_mb * c->config.server_max / c->config.capacity;

	return c->config.server_max && l->of_server > 0 && l->server_memory_mb + own_mb > share;
}

static int check_memory(const struct calls *c, const struct load *l, const struct call *call,
			struct err *err)
{
	uint64_t max = c->config.memory_mb, own = call->job.limits.memory_mb;

	if (max && own > max)
		return err_set_field(err, ERR_TOO_LARGE, "memory", NULL,
				     "the tool's memory limit of %llu MiB is more than the %llu "
				     "MiB that this machine has for calls; nothing was started",
				     (unsigned long long)own, (unsigned long long)max);
	if (max && exceeds_memory_share(c, l, own))
		return err_set_field(err, ERR_BUSY, "server", NULL,
				     "the memory limits of this server's running calls come to "
				     "%llu MiB, the share of the machine that one server may use; "
				     "nothing was started",
				     (unsigned long long)l->server_memory_mb);
	if (max && l->memory_mb + own > max)
		return err_set_field(err, ERR_BUSY, "memory", NULL,
				     "the memory limits of the calls that run come to %llu of the "
				     "%llu MiB that this machine has for calls; nothing was "
				     "started",
				     (unsigned long long)l->memory_mb, (unsigned long long)max);
	return 0;
}

/* Lock held. */
static int check(struct calls *c, const struct call *call, struct err *err)
{
	struct load l = load_for(c, call);
	int r;

	if (c->is_draining)
		return err_set_field(err, ERR_BUSY, "capacity", NULL,
				     "this executor is going away; nothing was started");
	if (c->in_flight >= c->config.capacity)
		return err_set_field(err, ERR_BUSY, "capacity", NULL,
				     "all %u sandboxes are in use; nothing was started",
				     c->config.capacity);
	r = check_share(c, &l, err);
	if (r == 0)
		r = check_memory(c, &l, call, err);
	if (r == 0 && !seen_accept(c->seen, call->id))
		r = err_set(err, ERR_EXISTS, "this call was started before");
	return r;
}

static int admit(struct calls *c, struct call *call, struct err *err)
{
	int r;

	(void)pthread_mutex_lock(&c->lock);
	r = check(c, call, err);
	if (r == 0) {
		atomic_fetch_add(&call->refs, 1); /* the table's */
		call->next = c->running;
		c->running = call;
		c->in_flight++;
	}
	(void)pthread_mutex_unlock(&c->lock);
	return r;
}

/* ---- the end ---- */

/* The oldest goes when it is old, or there are too many.  Lock held; the reference is the caller's. */
static struct call *forget_one(struct calls *c, uint64_t now_ms)
{
	struct call *call = c->kept;

	if (!call || (c->kept_count <= KEPT_MAX && now_ms - call->done_ms <= KEPT_MS))
		return NULL;
	c->kept = call->next;
	if (!c->kept)
		c->kept_end = &c->kept;
	c->kept_count--;
	return call;
}

static void keep(struct calls *c, struct call *call)
{
	struct call **at = &c->running;

	while (*at != call)
		at = &(*at)->next;
	*at = call->next;
	call->next = NULL;
	*c->kept_end = call;
	c->kept_end = &call->next;
	c->kept_count++;
}

/* A call that is done: from those that run to those that are remembered. */
static void settle(struct call *call)
{
	struct calls *c = call->all;
	uint64_t now = clock_mono_ms();
	struct call *old[2];

	(void)pthread_mutex_lock(&c->lock);
	call->done_ms = now;
	keep(c, call);
	c->in_flight--;
	for (size_t i = 0; i < ARRAY_LEN(old); i++) /* more than come: none piles up */
		old[i] = forget_one(c, now);
	if (c->is_draining)
		(void)pthread_cond_broadcast(&c->idle);
	(void)pthread_mutex_unlock(&c->lock);
	for (size_t i = 0; i < ARRAY_LEN(old); i++)
		call_unref(old[i]);
}

/* ---- running ---- */

/* On a thread of the runners. */
static void go_on(void *arg)
{
	struct call *call = arg;

	while (!call_step(call, UINT64_MAX, false))
		;
	settle(call);
	call_unref(call);
}

/* Another thread goes on with it: ours has to answer. */
static void hand_over(struct call *call)
{
	atomic_fetch_add(&call->refs, 1);
	if (runners_submit(call->all->runners, call) == 0)
		return;
	/* Never with the threads that are there; without any the call cannot go on. */
	call_cancel(call, "no thread was left for the call");
	go_on(call);
}

int calls_execute(struct calls *c, const struct call_order *order, uint64_t deadline_mono_ms,
		  struct buf *ret, struct err *err)
{
	BOX_CLEANUP(call_unrefp) struct call *call = NULL;
	int r;

	if (strlen(order->call_id) >= CALL_ID_MAX)
		return err_set(err, ERR_INVALID, "call id is too long");
	r = json_scan(order->arguments.data, order->arguments.len, err);
	if (r == 0)
		r = call_new(c, &c->config, order, &call, err);
	if (r < 0 || !call)
		return r;
	r = admit(c, call, err);
	if (r < 0)
		return r;
	if (call_step(call, deadline_mono_ms, true))
		settle(call);
	else
		hand_over(call);
	call_wait(call, 0, deadline_mono_ms, ret);
	return 0;
}

/* ---- asking for calls ---- */

/* Lock held. */
static struct call *find(struct call *call, const char *call_id)
{
	while (call && strcmp(call->id, call_id) != 0)
		call = call->next;
	return call;
}

struct call *calls_find(struct calls *c, const char *call_id)
{
	struct call *call;

	(void)pthread_mutex_lock(&c->lock);
	call = find(c->running, call_id);
	if (!call)
		call = find(c->kept, call_id);
	if (call)
		atomic_fetch_add(&call->refs, 1);
	(void)pthread_mutex_unlock(&c->lock);
	return call;
}

bool calls_cancel(struct calls *c, const char *call_id, const char *reason)
{
	BOX_CLEANUP(call_unrefp) struct call *call = calls_find(c, call_id);

	if (!call)
		return false;
	call_cancel(call, reason);
	return true;
}

void calls_cancel_permits(struct calls *c, bool (*is_revoked)(void *arg, const char *permit_id),
			  void *arg)
{
	(void)pthread_mutex_lock(&c->lock);
	for (struct call *call = c->running; call; call = call->next) {
		if (is_revoked(arg, call->permit_id))
			call_cancel(call, "the permit was revoked");
	}
	(void)pthread_mutex_unlock(&c->lock);
}

uint32_t calls_in_flight(struct calls *c)
{
	uint32_t n;

	(void)pthread_mutex_lock(&c->lock);
	n = c->in_flight;
	(void)pthread_mutex_unlock(&c->lock);
	return n;
}

bool calls_drain(struct calls *c, uint32_t ms)
{
	struct timespec until;
	int r = 0;

	clock_abs_after(ms, &until);
	(void)pthread_mutex_lock(&c->lock);
	c->is_draining = true;
	while (c->in_flight > 0 && r == 0)
		r = pthread_cond_timedwait(&c->idle, &c->lock, &until);
	r = (int)c->in_flight;
	(void)pthread_mutex_unlock(&c->lock);
	return r == 0;
}

static bool condemn_all(void *arg, const char *permit_id)
{
	(void)arg;
	(void)permit_id;
	return true;
}

void calls_stop(struct calls *c)
{
	if (!c)
		return;
	calls_cancel_permits(c, condemn_all, NULL);
	(void)calls_drain(c, STOP_MS);
}
