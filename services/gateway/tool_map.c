#include "tool_map.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include "clock.h"
#include "log.h"
#include "mem.h"
#include "thread.h"
#include "upstream.h"

enum {
	PAGE = 200, /* tools a page: far below a frame even with long schemas */
	BLOBS_AT_ONCE = 16,
	BLOB_ROUNDS = 4096, /* x BLOBS_AT_ONCE hashes: an end for a registry that gives none */
	CALL_MS = 5000,
	RENEW_BEFORE_MS = 5 * 60 * 1000,
	RETRY_MS = 300,
	IDLE_MS = 2000,
	RESTARTS = 20,
};

struct tool_map {
	struct bus *bus;
	void (*on_change)(void *arg, const struct catalog *c);
	void *arg;
	pthread_t thread;
	bool is_started;
	pthread_mutex_t lock;   /* guards all below */
	pthread_cond_t wanted;  /* for the thread; monotonic clock */
	pthread_cond_t swapped; /* for tool_map_wait; monotonic clock */
	bool is_stopping;
	struct catalog *current;
	uint64_t target_seq;
	uint8_t target_epoch[BOOT_ID_SIZE];
	bool has_target;
};

struct tool_map *tool_map_new(struct bus *b, void (*on_change)(void *arg, const struct catalog *c),
			      void *arg)
{
	struct tool_map *m = mem_alloc(sizeof(*m));
	pthread_condattr_t attr;

	m->bus = b;
	m->on_change = on_change;
	m->arg = arg;
	m->current = catalog_new(NULL, 0, 0);
	catalog_seal(m->current);
	(void)pthread_mutex_init(&m->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&m->wanted, &attr);
	(void)pthread_cond_init(&m->swapped, &attr);
	(void)pthread_condattr_destroy(&attr);
	return m;
}

struct catalog *tool_map_get(struct tool_map *m)
{
	struct catalog *c;

	(void)pthread_mutex_lock(&m->lock);
	c = catalog_ref(m->current);
	(void)pthread_mutex_unlock(&m->lock);
	return c;
}

/* ---- fetching ---- */

/* One page into c, which is made by the first.  1: more to come, 0: that was the last. */
static int fetch_page(struct tool_map *m, struct catalog **c, PB(GetToolMapRequest) * request,
		      char **cursor, bool *ret_restart, struct err *err)
{
	BOX_CLEANUP(msg_freep) ProtobufCMessage *message = NULL;
	const PB(GetToolMapReply) * reply;
	int r = upstream_ask_registry(m->bus, MSG_GET_TOOL_MAP, &request->base, NULL, CALL_MS,
				      &message, err);

	if (r < 0)
		return r;
	reply = (const PB(GetToolMapReply) *)message;
	*ret_restart = reply->restart;
	if (reply->restart)
		return 0;
	if (!*c) {
		*c = catalog_new(reply->epoch.data, reply->epoch.len, reply->state_seq);
		catalog_set_rate_limit(*c, reply->rate_limit_rpm);
	}
	for (size_t i = 0; i < reply->n_servers; i++)
		catalog_add_server(*c, reply->servers[i]);
	for (size_t i = 0; i < reply->n_paused; i++)
		catalog_add_paused(*c, reply->paused[i]);
	for (size_t i = 0; i < reply->n_tools; i++) {
		if (catalog_add_tool(*c, reply->tools[i]) < 0)
			log_warn("gateway.tool_left_out",
				 F_STR("tool_id", reply->tools[i]->tool_id));
	}
	free(*cursor);
	*cursor = mem_strdup(reply->next_cursor);
	return reply->next_cursor[0] ? 1 : 0;
}

/* All pages of one snapshot.  *ret_restart: state moved on meanwhile. */
static int fetch_pages(struct tool_map *m, struct catalog **ret, bool *ret_restart, struct err *err)
{
	BOX_CLEANUP(catalog_unrefp) struct catalog *c = NULL;
	BOX_CLEANUP(mem_freep) char *cursor = mem_strdup("");
	BOX_CLEANUP(mem_freep) uint8_t *epoch = NULL;
	int more;

	do {
		PB(GetToolMapRequest) request = MCPBOX__V1__GET_TOOL_MAP_REQUEST__INIT;

		request.limit = PAGE;
		request.cursor = cursor;
		if (c) {
			size_t len = 0;
			const void *of_first = catalog_epoch(c, &len);

			free(epoch);
			epoch = mem_dup(of_first, len);
			request.epoch = pb_bytes(epoch, len);
			request.state_seq = catalog_state_seq(c);
		}
		more = fetch_page(m, &c, &request, &cursor, ret_restart, err);
	} while (more > 0);
	if (more < 0)
		return more;
	if (!*ret_restart)
		*ret = TAKE(c);
	return 0;
}

/* The spec and grant bytes that no tool of the older snapshot had.  What cannot be had is asked for
 * at a call. */
static int fetch_blobs(struct tool_map *m, struct catalog *c, struct err *err)
{
	for (int round = 0; round < BLOB_ROUNDS; round++) {
		const uint8_t *hashes[BLOBS_AT_ONCE];
		ProtobufCBinaryData wanted[BLOBS_AT_ONCE];
		PB(GetBlobsRequest) request = MCPBOX__V1__GET_BLOBS_REQUEST__INIT;
		BOX_CLEANUP(msg_freep) ProtobufCMessage *message = NULL;
		const PB(GetBlobsReply) * reply;
		size_t n = catalog_missing(c, hashes, BLOBS_AT_ONCE);
		int r;

		if (n == 0)
			return 0;
		for (size_t i = 0; i < n; i++)
			wanted[i] = pb_bytes(hashes[i], CRYPTO_HASH_SIZE);
		request.hashes = wanted;
		request.n_hashes = n;
		r = upstream_ask_registry(m->bus, MSG_GET_BLOBS, &request.base, NULL, CALL_MS,
					  &message, err);
		if (r < 0)
			return r;
		reply = (const PB(GetBlobsReply) *)message;
		for (size_t i = 0; i < reply->n_blobs; i++)
			catalog_give_blob(c, reply->blobs[i]->data.data, reply->blobs[i]->data.len);
		/* State moved on between map and blobs: the next snapshot is on its way. */
		if (reply->n_blobs == 0)
			return 0;
	}
	return 0;
}

static int fetch(struct tool_map *m, struct catalog **ret, struct err *err)
{
	BOX_CLEANUP(catalog_unrefp) struct catalog *older = tool_map_get(m);
	BOX_CLEANUP(catalog_unrefp) struct catalog *c = NULL;
	bool restart = true;
	int r = 0;

	for (int i = 0; restart && i < RESTARTS; i++) {
		restart = false;
		r = fetch_pages(m, &c, &restart, err);
		if (r < 0)
			return r;
	}
	if (!c)
		return err_set(err, ERR_UNAVAILABLE,
			       "the registry's state changes faster than it can be read");
	catalog_share_blobs(c, older);
	r = fetch_blobs(m, c, err);
	if (r < 0)
		return r;
	catalog_seal(c);
	*ret = TAKE(c);
	return 0;
}

/* ---- the thread ---- */

static bool is_due(const struct tool_map *m)
{
	int64_t now = bus_registry_now(m->bus);

	if (!catalog_is_loaded(m->current))
		return true;
	if (m->has_target && (m->target_seq > catalog_state_seq(m->current) ||
			      !catalog_has_epoch(m->current, m->target_epoch, BOOT_ID_SIZE)))
		return true;
	return now != 0 && catalog_first_expiry(m->current) != INT64_MAX &&
	       catalog_first_expiry(m->current) - now < RENEW_BEFORE_MS;
}

static void swap(struct tool_map *m, struct catalog *fresh)
{
	struct catalog *older;

	(void)pthread_mutex_lock(&m->lock);
	older = m->current;
	m->current = fresh;
	(void)pthread_cond_broadcast(&m->swapped);
	(void)pthread_mutex_unlock(&m->lock);
	catalog_unref(older);
	log_debug("gateway.map_swapped", F_UINT("state_seq", catalog_state_seq(fresh)),
		  F_UINT("tools", catalog_tool_count(fresh)));
	m->on_change(m->arg, fresh);
}

/* Under the lock: sleep until something is wanted, at most ms. */
static void pause_thread(struct tool_map *m, uint32_t ms)
{
	struct timespec until;

	clock_abs_after(ms, &until);
	(void)pthread_cond_timedwait(&m->wanted, &m->lock, &until);
}

static void *map_main(void *arg)
{
	struct tool_map *m = arg;
	bool was_failing = false;

	(void)pthread_mutex_lock(&m->lock);
	while (!m->is_stopping) {
		struct catalog *fresh = NULL;
		struct err why = { 0 };
		int r;

		if (!is_due(m)) {
			pause_thread(m, IDLE_MS);
			continue;
		}
		(void)pthread_mutex_unlock(&m->lock);
		r = fetch(m, &fresh, &why);
		if (r == 0)
			swap(m, fresh);
		else if (!was_failing)
			log_warn("gateway.map_not_refreshed", F_ERR(&why));
		was_failing = r < 0;
		err_done(&why);
		(void)pthread_mutex_lock(&m->lock);
		/* Still due after a success: the registry has not signed or published anew yet. */
		if (!m->is_stopping && (r < 0 || is_due(m)))
			pause_thread(m, RETRY_MS);
	}
	(void)pthread_mutex_unlock(&m->lock);
	return NULL;
}

int tool_map_start(struct tool_map *m, struct err *err)
{
	int r = thread_start(&m->thread, map_main, m, err);

	m->is_started = r == 0;
	return r;
}

void tool_map_stop(struct tool_map *m)
{
	if (!m || !m->is_started)
		return;
	(void)pthread_mutex_lock(&m->lock);
	m->is_stopping = true;
	(void)pthread_cond_signal(&m->wanted);
	(void)pthread_mutex_unlock(&m->lock);
	(void)pthread_join(m->thread, NULL);
	m->is_started = false;
}

void tool_map_news(struct tool_map *m, const PB(Status) * status)
{
	if (status->epoch.len != BOOT_ID_SIZE)
		return;
	(void)pthread_mutex_lock(&m->lock);
	memcpy(m->target_epoch, status->epoch.data, BOOT_ID_SIZE);
	m->target_seq = status->state_seq;
	m->has_target = true;
	if (is_due(m))
		(void)pthread_cond_signal(&m->wanted);
	(void)pthread_mutex_unlock(&m->lock);
}

int tool_map_wait(struct tool_map *m, uint64_t state_seq, uint32_t timeout_ms)
{
	struct timespec until;
	int r = 0;

	clock_abs_after(timeout_ms, &until);
	(void)pthread_mutex_lock(&m->lock);
	if (m->has_target && m->target_seq < state_seq)
		m->target_seq = state_seq;
	(void)pthread_cond_signal(&m->wanted);
	while (r != ETIMEDOUT && !m->is_stopping && catalog_state_seq(m->current) < state_seq)
		r = pthread_cond_timedwait(&m->swapped, &m->lock, &until);
	r = catalog_state_seq(m->current) >= state_seq ? 0 : -ERR_DEADLINE;
	(void)pthread_mutex_unlock(&m->lock);
	return r;
}
