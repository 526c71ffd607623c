#include "executors.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include "clock.h"
#include "crypto.h"
#include "log.h"
#include "mem.h"
#include "thread.h"

enum { PING_EVERY_MS = 500, MISSES_ALLOWED = 1, BUSY_PAUSE_MS = 50 };

struct executor {
	bool is_listed; /* in the newest Status; else kept only while calls are in flight */
	struct executor_place at;
	uint32_t capacity;
	uint32_t own;           /* our calls in flight */
	uint32_t foreign;       /* what it reported beyond ours at the last ping */
	uint32_t missed;        /* pings in a row */
	uint64_t full_until_ms; /* it said BUSY */
	bool is_draining, is_down;
};
struct waiter {
	const char *server_id;
	struct waiter *next;
};
struct executors {
	executors_ping_fn *ping;
	void *ping_arg;
	pthread_t thread;
	bool is_started;
	pthread_mutex_t lock;    /* guards all below */
	pthread_cond_t changed;  /* for calls that wait; monotonic clock, as the next */
	pthread_cond_t stopping; /* for the ping thread alone: a call's end must not wake it */
	bool is_stopping;
	struct executor rows[EXECUTORS_MAX];
	size_t count;
	struct waiter *waiting;
};

struct executors *executors_new(executors_ping_fn *ping, void *arg)
{
	struct executors *e = mem_alloc(sizeof(*e));
	pthread_condattr_t attr;

	e->ping = ping;
	e->ping_arg = arg;
	(void)pthread_mutex_init(&e->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&e->changed, &attr);
	(void)pthread_cond_init(&e->stopping, &attr);
	(void)pthread_condattr_destroy(&attr);
	return e;
}

void executors_free(struct executors *e)
{
	if (!e)
		return;
	(void)pthread_cond_destroy(&e->changed);
	(void)pthread_cond_destroy(&e->stopping);
	(void)pthread_mutex_destroy(&e->lock);
	free(e);
}

/* ---- the list ---- */

static struct executor *find(struct executors *e, const uint8_t *boot_id)
{
	for (size_t i = 0; i < e->count; i++) {
		if (memcmp(e->rows[i].at.boot_id, boot_id, BOOT_ID_SIZE) == 0)
			return &e->rows[i];
	}
	return NULL;
}

static void forget_departed(struct executors *e)
{
	for (size_t i = 0; i < e->count;) {
		if (e->rows[i].is_listed || e->rows[i].own > 0)
			i++;
		else
			e->rows[i] = e->rows[--e->count];
	}
}

static bool copy_text(char *into, size_t size, const char *text)
{
	return text[0] && (size_t)snprintf(into, size, "%s", text) < size;
}

static void list(struct executors *e, const PB(Instance) * i)
{
	struct executor *row;
	struct executor fresh = { 0 };

	if (i->boot_id.len != BOOT_ID_SIZE ||
	    !copy_text(fresh.at.instance, sizeof(fresh.at.instance), i->instance) ||
	    !copy_text(fresh.at.work_addr, sizeof(fresh.at.work_addr), i->work_addr) ||
	    !copy_text(fresh.at.control_addr, sizeof(fresh.at.control_addr), i->control_addr))
		return;
	row = find(e, i->boot_id.data);
	if (!row) {
		if (e->count == EXECUTORS_MAX)
			return;
		memcpy(fresh.at.boot_id, i->boot_id.data, BOOT_ID_SIZE);
		row = &e->rows[e->count++];
		*row = fresh;
		log_info("gateway.executor_joined", F_STR("executor", i->instance));
	}
	row->is_listed = true;
	row->capacity = i->capacity;
	row->is_draining = i->draining;
}

void executors_update(struct executors *e, const PB(Status) * status)
{
	(void)pthread_mutex_lock(&e->lock);
	for (size_t i = 0; i < e->count; i++)
		e->rows[i].is_listed = false;
	for (size_t i = 0; i < status->n_instances; i++) {
		if (status->instances[i]->role == MCPBOX__V1__ROLE__ROLE_EXECUTOR)
			list(e, status->instances[i]);
	}
	forget_departed(e);
	(void)pthread_cond_broadcast(&e->changed);
	(void)pthread_mutex_unlock(&e->lock);
}

/* ---- choice ---- */

static bool is_usable(const struct executor *x)
{
	return x->is_listed && !x->is_down && !x->is_draining && x->capacity > 0;
}

static bool has_room(const struct executor *x, uint64_t now_ms)
{
	return is_usable(x) && x->own + x->foreign < x->capacity && x->full_until_ms <= now_ms;
}

static uint64_t rank(const struct executor *x, const char *key)
{
	char text[256];
	uint8_t hash[CRYPTO_HASH_SIZE];
	uint64_t r;
	int len = snprintf(text, sizeof(text), "%s %s", x->at.instance, key);

	crypto_hash(text, (size_t)len < sizeof(text) ? (size_t)len : sizeof(text) - 1, hash);
	memcpy(&r, hash, sizeof(r));
	return r;
}

/* a is less busy than b, in parts of its capacity. */
static bool is_freer(const struct executor *a, const struct executor *b)
{
	return (uint64_t)(a->own + a->foreign) * b->capacity <
	       (uint64_t)(b->own + b->foreign) * a->capacity;
}

/* The freer of the first two in rank; when both are full, the first in rank that has room. */
static struct executor *choose(struct executors *e, const char *key, uint64_t now_ms)
{
	struct executor *ranked[EXECUTORS_MAX];
	uint64_t ranks[EXECUTORS_MAX];
	struct executor *a = NULL, *b = NULL;
	size_t n = 0;

	for (size_t i = 0; i < e->count; i++) {
		struct executor *x = &e->rows[i];
		uint64_t r;
		size_t k;

		if (!is_usable(x))
			continue;
		r = rank(x, key);
		for (k = n++; k > 0 && ranks[k - 1] < r; k--) {
			ranks[k] = ranks[k - 1];
			ranked[k] = ranked[k - 1];
		}
		ranks[k] = r;
		ranked[k] = x;
	}
	if (n > 0 && has_room(ranked[0], now_ms))
		a = ranked[0];
	if (n > 1 && has_room(ranked[1], now_ms))
		b = ranked[1];
	if (a && b)
		return is_freer(b, a) ? b : a;
	for (size_t i = 2; !a && !b && i < n; i++) {
		if (has_room(ranked[i], now_ms))
			return ranked[i];
	}
	return a ? a : b;
}

static bool any_usable(const struct executors *e)
{
	for (size_t i = 0; i < e->count; i++) {
		if (is_usable(&e->rows[i]))
			return true;
	}
	return false;
}

/* May one more wait for this server? */
static bool queue_has_room(const struct executors *e, const char *server_id)
{
	size_t all = 0, same = 0;

	for (const struct waiter *w = e->waiting; w; w = w->next) {
		all++;
		same += strcmp(w->server_id, server_id) == 0;
	}
	return all < EXECUTORS_QUEUE && same < EXECUTORS_QUEUE / 4;
}

static void queue_leave(struct executors *e, struct waiter *w)
{
	struct waiter **p = &e->waiting;

	while (*p != w)
		p = &(*p)->next;
	*p = w->next;
}

/* Under the lock: until something changed, a pause after BUSY is over, or the deadline. */
static void wait_change(struct executors *e, uint64_t deadline_ms)
{
	uint64_t now = clock_mono_ms();
	uint64_t left = deadline_ms > now ? deadline_ms - now : 0;
	struct timespec until;

	clock_abs_after((uint32_t)(left < BUSY_PAUSE_MS ? left : BUSY_PAUSE_MS), &until);
	(void)pthread_cond_timedwait(&e->changed, &e->lock, &until);
}

static int fail_deadline(const struct executors *e, struct err *err)
{
	if (any_usable(e))
		return err_set(err, ERR_DEADLINE,
			       "all executors are busy; the tool was not started");
	return err_set(err, ERR_DEADLINE, "no executor is running; the tool was not started");
}

/* Under the lock: wait for room.  The executor, or NULL with the reason in err. */
static struct executor *wait_for_room(struct executors *e, const struct executor_want *want,
				      struct err *err)
{
	struct waiter w = { .server_id = want->server_id, .next = e->waiting };
	struct executor *x = NULL;

	e->waiting = &w;
	while (!x) {
		if (want->given_up && want->given_up(want->arg)) {
			(void)err_set(err, ERR_CANCELLED, "cancelled before the tool was started");
			break;
		}
		if (e->is_stopping || clock_mono_ms() >= want->deadline_mono_ms) {
			(void)fail_deadline(e, err);
			break;
		}
		wait_change(e, want->deadline_mono_ms);
		x = choose(e, want->key, clock_mono_ms());
	}
	queue_leave(e, &w);
	return x;
}

int executors_take(struct executors *e, const struct executor_want *want,
		   struct executor_place *ret, struct err *err)
{
	struct executor *x;
	struct err why = { 0 };

	(void)pthread_mutex_lock(&e->lock);
	x = choose(e, want->key, clock_mono_ms());
	if (!x && !queue_has_room(e, want->server_id))
		(void)err_set(&why, ERR_BUSY,
			      "too many calls are waiting; the tool was not started");
	else if (!x)
		x = wait_for_room(e, want, &why);
	if (x) {
		x->own++;
		*ret = x->at;
	}
	(void)pthread_mutex_unlock(&e->lock);
	return x ? 0 : err_set(err, why.code, "%s", why.text);
}

void executors_give_back(struct executors *e, const struct executor_place *place,
			 enum place_fate fate)
{
	struct executor *x;

	(void)pthread_mutex_lock(&e->lock);
	x = find(e, place->boot_id);
	if (x) {
		x->own--;
		if (fate == PLACE_BUSY)
			x->full_until_ms = clock_mono_ms() + BUSY_PAUSE_MS;
		if (fate == PLACE_LOST && !x->is_down) {
			x->is_down = true;
			log_warn("gateway.executor_lost", F_STR("executor", place->instance));
		}
		forget_departed(e);
	}
	if (e->waiting)
		(void)pthread_cond_broadcast(&e->changed);
	(void)pthread_mutex_unlock(&e->lock);
}

void executors_wake(struct executors *e)
{
	(void)pthread_mutex_lock(&e->lock);
	(void)pthread_cond_broadcast(&e->changed);
	(void)pthread_mutex_unlock(&e->lock);
}

bool executors_alive(struct executors *e, const struct executor_place *place)
{
	const struct executor *x;
	bool alive;

	(void)pthread_mutex_lock(&e->lock);
	x = find(e, place->boot_id);
	alive = x && x->is_listed && !x->is_down;
	(void)pthread_mutex_unlock(&e->lock);
	return alive;
}

struct executors_count executors_count(struct executors *e)
{
	struct executors_count c = { 0 };

	(void)pthread_mutex_lock(&e->lock);
	for (size_t i = 0; i < e->count; i++) {
		c.listed += e->rows[i].is_listed;
		c.answering += is_usable(&e->rows[i]);
		c.in_flight += e->rows[i].own;
	}
	for (const struct waiter *w = e->waiting; w; w = w->next)
		c.waiting++;
	(void)pthread_mutex_unlock(&e->lock);
	return c;
}

/* ---- liveness ---- */

/* What a ping said about the executor that had this boot id; it may be gone by now. */
static void note_ping(struct executors *e, const uint8_t *boot_id, int r,
		      const PB(PingReply) * reply)
{
	struct executor *x = find(e, boot_id);

	if (!x)
		return;
	if (r < 0) {
		if (x->missed++ == MISSES_ALLOWED && !x->is_down) {
			x->is_down = true;
			log_warn("gateway.executor_silent", F_STR("executor", x->at.instance));
		}
		return;
	}
	if (x->is_down)
		log_info("gateway.executor_back", F_STR("executor", x->at.instance));
	x->missed = 0;
	x->is_down = false;
	x->is_draining = reply->draining;
	x->foreign = reply->in_flight > x->own ? reply->in_flight - x->own : 0;
}

static void ping_all(struct executors *e)
{
	struct executor_place places[EXECUTORS_MAX];
	size_t n = 0;

	for (size_t i = 0; i < e->count; i++) {
		if (e->rows[i].is_listed)
			places[n++] = e->rows[i].at;
	}
	for (size_t i = 0; i < n && !e->is_stopping; i++) {
		PB(PingReply) reply = MCPBOX__V1__PING_REPLY__INIT;
		struct bus_target to = { .role = ROLE_EXECUTOR, .addr = places[i].control_addr };
		int r;

		memcpy(to.boot_id, places[i].boot_id, BOOT_ID_SIZE);
		(void)pthread_mutex_unlock(&e->lock);
		r = e->ping(e->ping_arg, &to, &reply);
		(void)pthread_mutex_lock(&e->lock);
		note_ping(e, places[i].boot_id, r, &reply);
	}
	(void)pthread_cond_broadcast(&e->changed);
}

static void *ping_main(void *arg)
{
	struct executors *e = arg;

	(void)pthread_mutex_lock(&e->lock);
	while (!e->is_stopping) {
		struct timespec next;
		int r = 0;

		clock_abs_after(PING_EVERY_MS, &next);
		ping_all(e);
		while (!e->is_stopping && r != ETIMEDOUT)
			r = pthread_cond_timedwait(&e->stopping, &e->lock, &next);
	}
	(void)pthread_mutex_unlock(&e->lock);
	return NULL;
}

int executors_start(struct executors *e, struct err *err)
{
	int r = thread_start(&e->thread, ping_main, e, err);

	e->is_started = r == 0;
	return r;
}

void executors_stop(struct executors *e)
{
	if (!e || !e->is_started)
		return;
	(void)pthread_mutex_lock(&e->lock);
	e->is_stopping = true;
	(void)pthread_cond_broadcast(&e->changed);
	(void)pthread_cond_broadcast(&e->stopping);
	(void)pthread_mutex_unlock(&e->lock);
	(void)pthread_join(e->thread, NULL);
	e->is_started = false;
}
