#include "executors.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include "clock.h"
#include "crypto.h"
#include "log.h"
#include "mem.h"
#include "pauses.h"
#include "thread.h"

enum {
	PING_EVERY_MS = 500,
	MISSES_ALLOWED = 1,
	BUSY_PAUSE_MS = 50,
	WAIT_LOOK_MS = 500,
	QUEUE_OF_SERVER = EXECUTORS_QUEUE / 4,
	QUEUE_OF_TOOL = QUEUE_OF_SERVER * 3 / 4,
};

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
/* A server with calls here; gone with the last of them. */
struct server_load {
	char id[64];
	uint32_t own; /* in flight, on all executors */
	uint32_t waiting;
	struct server_load *next;
};
/* Lives on the stack of executors_take. */
struct waiter {
	const struct executor_want *want;
	struct server_load *server;
	struct waiter *next;
	pthread_cond_t placed;
	bool is_placed;
	struct executor_place place;
};
struct executors {
	executors_ping_fn *ping;
	void *ping_arg;
	pthread_t thread;
	bool is_started;
	pthread_mutex_t lock;     /* guards all below */
	pthread_condattr_t clock; /* monotonic, for all conditions */
	pthread_cond_t stopping;  /* for the ping thread alone: a call's end must not wake it */
	bool is_stopping;
	struct executor rows[EXECUTORS_MAX];
	size_t count;
	struct waiter *waiting; /* in the order of their arrival */
	struct server_load *servers;
	struct pauses pauses;
};

struct executors *executors_new(executors_ping_fn *ping, void *arg)
{
	struct executors *e = mem_alloc(sizeof(*e));

	e->ping = ping;
	e->ping_arg = arg;
	(void)pthread_mutex_init(&e->lock, NULL);
	(void)pthread_condattr_init(&e->clock);
	(void)pthread_condattr_setclock(&e->clock, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&e->stopping, &e->clock);
	return e;
}

void executors_free(struct executors *e)
{
	if (!e)
		return;
	while (e->servers) {
		struct server_load *s = e->servers;

		e->servers = s->next;
		free(s);
	}
	(void)pthread_cond_destroy(&e->stopping);
	(void)pthread_condattr_destroy(&e->clock);
	(void)pthread_mutex_destroy(&e->lock);
	free(e);
}

static void dispatch(struct executors *e);

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
	dispatch(e);
	(void)pthread_mutex_unlock(&e->lock);
}

/* ---- choice ---- */

static bool is_usable(const struct executor *x)
{
	return x->is_listed && !x->is_down && !x->is_draining && x->capacity > 0;
}

static bool has_room(const struct executors *e, const struct executor *x,
		     const struct executor_want *want, uint64_t now_ms)
{
	return is_usable(x) && x->own + x->foreign < x->capacity && x->full_until_ms <= now_ms &&
	       !pauses_hold(&e->pauses, x->at.boot_id, want->key, now_ms) &&
	       !pauses_hold(&e->pauses, x->at.boot_id, want->server_id, now_ms);
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
static struct executor *choose(struct executors *e, const struct executor_want *want,
			       uint64_t now_ms)
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
		r = rank(x, want->key);
		for (k = n++; k > 0 && ranks[k - 1] < r; k--) {
			ranks[k] = ranks[k - 1];
			ranked[k] = ranked[k - 1];
		}
		ranks[k] = r;
		ranked[k] = x;
	}
	if (n > 0 && has_room(e, ranked[0], want, now_ms))
		a = ranked[0];
	if (n > 1 && has_room(e, ranked[1], want, now_ms))
		b = ranked[1];
	if (a && b)
		return is_freer(b, a) ? b : a;
	for (size_t i = 2; !a && !b && i < n; i++) {
		if (has_room(e, ranked[i], want, now_ms))
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

/* ---- servers ---- */

static struct server_load *find_server(struct executors *e, const char *id)
{
	struct server_load *s = e->servers;

	while (s && strcmp(s->id, id) != 0)
		s = s->next;
	return s;
}

static struct server_load *need_server(struct executors *e, const char *id)
{
	struct server_load *s = find_server(e, id);

	if (!s) {
		s = mem_alloc(sizeof(*s));
		(void)snprintf(s->id, sizeof(s->id), "%s", id);
		s->next = e->servers;
		e->servers = s;
	}
	return s;
}

static void drop_server(struct executors *e, struct server_load *s)
{
	struct server_load **p = &e->servers;

	if (s->own > 0 || s->waiting > 0)
		return;
	while (*p != s)
		p = &(*p)->next;
	*p = s->next;
	free(s);
}

/* ---- the queue ---- */

static void queue_join(struct executors *e, struct waiter *w)
{
	struct waiter **p = &e->waiting;

	while (*p)
		p = &(*p)->next;
	*p = w;
	w->server->waiting++;
}

static void queue_leave(struct executors *e, struct waiter *w)
{
	struct waiter **p = &e->waiting;

	while (*p != w)
		p = &(*p)->next;
	*p = w->next;
	w->server->waiting--;
}

static size_t queue_count(const struct executors *e, const char *key)
{
	size_t n = 0;

	for (const struct waiter *w = e->waiting; w; w = w->next)
		n += !key || strcmp(w->want->key, key) == 0;
	return n;
}

/* May one more wait? */
static int check_queue(const struct executors *e, const struct executor_want *want,
		       const struct server_load *server, struct err *err)
{
	const char *whose = NULL;

	if (queue_count(e, want->key) >= QUEUE_OF_TOOL)
		whose = " of this tool";
	else if (server->waiting >= QUEUE_OF_SERVER)
		whose = " of this server";
	else if (queue_count(e, NULL) >= EXECUTORS_QUEUE)
		whose = "";
	return whose ? err_set(err, ERR_BUSY,
			       "too many calls%s are waiting; the tool was not started", whose)
		     : 0;
}

/*
 * The waiting call that is next, and its executor: of the server with the fewest calls in flight, the one that
 * came first.  What holds for one call of a tool version holds for those behind it.
 */
static struct waiter *next_waiter(struct executors *e, uint64_t now_ms, struct executor **ret)
{
	const char *hopeless[32];
	size_t hopeless_count = 0;
	struct waiter *best = NULL;

	for (struct waiter *w = e->waiting; w; w = w->next) {
		struct executor *x;
		size_t i = 0;

		if (best && w->server->own >= best->server->own)
			continue;
		while (i < hopeless_count && strcmp(hopeless[i], w->want->key) != 0)
			i++;
		if (i < hopeless_count)
			continue;
		x = choose(e, w->want, now_ms);
		if (x) {
			best = w;
			*ret = x;
		} else if (hopeless_count < ARRAY_LEN(hopeless)) {
			hopeless[hopeless_count++] = w->want->key;
		}
	}
	return best;
}

static void occupy(struct executor *x, struct server_load *server, struct executor_place *ret)
{
	x->own++;
	server->own++;
	*ret = x->at;
}

/* Under the lock: what is free goes to those who wait. */
static void dispatch(struct executors *e)
{
	uint64_t now = clock_mono_ms();
	struct executor *x = NULL;
	struct waiter *w;

	while (e->waiting && (w = next_waiter(e, now, &x))) {
		queue_leave(e, w);
		occupy(x, w->server, &w->place);
		w->is_placed = true;
		(void)pthread_cond_signal(&w->placed);
	}
}

static int fail_deadline(const struct executors *e, struct err *err)
{
	if (any_usable(e))
		return err_set(err, ERR_DEADLINE,
			       "all executors are busy; the tool was not started");
	return err_set(err, ERR_DEADLINE, "no executor is running; the tool was not started");
}

/* Under the lock, which is released meanwhile.  A pause after BUSY ends without an event: the first in the queue
 * looks for all. */
static void wait_a_little(struct executors *e, struct waiter *w)
{
	uint64_t now = clock_mono_ms(), deadline = w->want->deadline_mono_ms;
	uint64_t left = deadline > now ? deadline - now : 0;
	uint64_t most = e->waiting == w ? BUSY_PAUSE_MS : WAIT_LOOK_MS;
	struct timespec until;

	clock_abs_after((uint32_t)(left < most ? left : most), &until);
	(void)pthread_cond_timedwait(&w->placed, &e->lock, &until);
	if (!w->is_placed && e->waiting == w)
		dispatch(e);
}

/* Under the lock: wait for a place. */
static int wait_for_place(struct executors *e, struct waiter *w, struct err *err)
{
	int r = 0;

	(void)pthread_cond_init(&w->placed, &e->clock);
	queue_join(e, w);
	while (r == 0 && !w->is_placed) {
		if (w->want->given_up && w->want->given_up(w->want->arg))
			r = err_set(err, ERR_CANCELLED, "cancelled before the tool was started");
		else if (e->is_stopping || clock_mono_ms() >= w->want->deadline_mono_ms)
			r = fail_deadline(e, err);
		else
			wait_a_little(e, w);
	}
	if (!w->is_placed)
		queue_leave(e, w);
	(void)pthread_cond_destroy(&w->placed);
	return r;
}

int executors_take(struct executors *e, const struct executor_want *want,
		   struct executor_place *ret, struct err *err)
{
	struct waiter w = { .want = want };
	struct executor *x = NULL;
	int r = 0;

	(void)pthread_mutex_lock(&e->lock);
	w.server = need_server(e, want->server_id);
	/* Nobody overtakes those who wait for the same. */
	if (!e->waiting || queue_count(e, want->key) == 0)
		x = choose(e, want, clock_mono_ms());
	if (x) {
		occupy(x, w.server, &w.place);
	} else {
		r = check_queue(e, want, w.server, err);
		if (r == 0)
			r = wait_for_place(e, &w, err);
	}
	if (r == 0)
		*ret = w.place;
	drop_server(e, w.server);
	(void)pthread_mutex_unlock(&e->lock);
	return r;
}

/* What the end of a call says of its executor.  Under the lock. */
static void note_fate(struct executors *e, struct executor *x, const struct executor_want *want,
		      enum place_fate fate)
{
	uint64_t until = clock_mono_ms() + BUSY_PAUSE_MS;

	switch (fate) {
	case PLACE_DONE:
		pauses_lift(&e->pauses, x->at.boot_id, want->key);
		pauses_lift(&e->pauses, x->at.boot_id, want->server_id);
		break;
	case PLACE_BUSY:
		x->full_until_ms = until;
		break;
	case PLACE_BUSY_TOOL:
		pauses_set(&e->pauses, x->at.boot_id, want->key, until);
		break;
	case PLACE_BUSY_SERVER:
		pauses_set(&e->pauses, x->at.boot_id, want->server_id, until);
		break;
	case PLACE_LOST:
		if (!x->is_down)
			log_warn("gateway.executor_lost", F_STR("executor", x->at.instance));
		x->is_down = true;
		break;
	}
}

void executors_give_back(struct executors *e, const struct executor_want *want,
			 const struct executor_place *place, enum place_fate fate)
{
	struct server_load *server;
	struct executor *x;

	(void)pthread_mutex_lock(&e->lock);
	x = find(e, place->boot_id);
	if (x) {
		x->own--;
		note_fate(e, x, want, fate);
		forget_departed(e);
	}
	server = need_server(e, want->server_id);
	server->own--;
	drop_server(e, server);
	dispatch(e);
	(void)pthread_mutex_unlock(&e->lock);
}

void executors_wake(struct executors *e)
{
	(void)pthread_mutex_lock(&e->lock);
	for (struct waiter *w = e->waiting; w; w = w->next)
		(void)pthread_cond_signal(&w->placed);
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
	c.waiting = queue_count(e, NULL);
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
	x->at.line_port = reply->line_port <= UINT16_MAX ? (uint16_t)reply->line_port : 0;
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
	dispatch(e);
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
	for (struct waiter *w = e->waiting; w; w = w->next)
		(void)pthread_cond_signal(&w->placed);
	(void)pthread_cond_broadcast(&e->stopping);
	(void)pthread_mutex_unlock(&e->lock);
	(void)pthread_join(e->thread, NULL);
	e->is_started = false;
}
