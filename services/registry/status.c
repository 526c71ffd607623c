#include "status.h"

#include <pthread.h>
#include <string.h>
#include "clock.h"
#include "crypto.h"
#include "frame.h"
#include "log.h"
#include "mem.h"
#include "merge.h"
#include "registry.h"
#include "work.h"

enum {
	TICK_MS = 500,
	FOLLOW_MS = 1000, /* also how often the head is signed */
	WAIT_MS = 1000,
	FOLLOW_ROWS = 200,
	EXPIRE_MS = 60000,
	EVENTS_MAX = 256, /* joins and departures that wait for the database */
	CHECKPOINT_ROWS = 1000,
};

struct pending {
	PB(Instance) * instance;
	const char *topic;
	const char *why;
};

struct status {
	struct registry *reg;
	uint8_t epoch[16];
	pthread_mutex_t lock; /* guards all below but the threads */
	pthread_cond_t moved;
	bool is_stopping, must_tick, must_follow;
	uint64_t state_seq, audit_seq;
	uint8_t audit_head[CRYPTO_HASH_SIZE];
	struct arena revoked_arena; /* owns revoked */
	char **revoked;
	size_t revoked_count;
	struct pending events[EVENTS_MAX];
	size_t event_count;

	bool is_started;
	pthread_t ticker, follower;
	uint64_t expired_ms; /* follower's own */
};

/* ---- what is known ------------------------------------------------------------------------------- */

const uint8_t *status_epoch(const struct status *s)
{
	return s->epoch;
}

uint64_t status_state_seq(struct status *s)
{
	uint64_t seq;

	pthread_mutex_lock(&s->lock);
	seq = s->state_seq;
	pthread_mutex_unlock(&s->lock);
	return seq;
}

uint64_t status_audit_seq(struct status *s)
{
	uint64_t seq;

	pthread_mutex_lock(&s->lock);
	seq = s->audit_seq;
	pthread_mutex_unlock(&s->lock);
	return seq;
}

void status_moved(struct status *s)
{
	pthread_mutex_lock(&s->lock);
	s->must_follow = true;
	pthread_cond_broadcast(&s->moved);
	pthread_mutex_unlock(&s->lock);
}

void status_wait(struct status *s, uint64_t state_seq)
{
	struct timespec until;
	int r = 0;

	clock_abs_after(WAIT_MS, &until);
	pthread_mutex_lock(&s->lock);
	while (r == 0 && !s->is_stopping && s->state_seq < state_seq)
		r = pthread_cond_timedwait(&s->moved, &s->lock, &until);
	pthread_mutex_unlock(&s->lock);
}

void status_tell(struct status *s)
{
	pthread_mutex_lock(&s->lock);
	s->must_tick = true;
	pthread_cond_broadcast(&s->moved);
	pthread_mutex_unlock(&s->lock);
}

void status_instance(struct status *s, PB(Instance) * instance, const char *topic, const char *why)
{
	pthread_mutex_lock(&s->lock);
	if (s->event_count < EVENTS_MAX) {
		s->events[s->event_count++] = (struct pending){ instance, topic, why };
	} else {
		log_warn("status.event_dropped", F_STR("topic", topic),
			 F_STR("instance", instance->instance));
		msg_free(&instance->base);
	}
	s->must_follow = true;
	s->must_tick = true;
	pthread_cond_broadcast(&s->moved);
	pthread_mutex_unlock(&s->lock);
}

static void fill_known(struct status *s, struct arena *arena, PB(Status) * ret)
{
	pthread_mutex_lock(&s->lock);
	ret->state_seq = s->state_seq;
	ret->audit_seq = s->audit_seq;
	ret->audit_head =
		pb_bytes(arena_dup(arena, s->audit_head, CRYPTO_HASH_SIZE), CRYPTO_HASH_SIZE);
	ret->n_revoked_permit_ids = s->revoked_count;
	ret->revoked_permit_ids = arena_pointers(arena, s->revoked_count);
	for (size_t i = 0; i < s->revoked_count; i++)
		ret->revoked_permit_ids[i] = arena_str(arena, s->revoked[i]);
	pthread_mutex_unlock(&s->lock);
}

PB(SignedStatus) * status_signed(struct status *s, struct arena *arena)
{
	PB(Status) status = MCPBOX__V1__STATUS__INIT;
	PB(SignedStatus) *ret = arena_msg(arena, &mcpbox__v1__signed_status__descriptor);
	uint8_t *signature = arena_alloc(arena, CRYPTO_SIGN_SIZE);
	uint8_t *packed;
	size_t len;

	fill_known(s, arena, &status);
	status.epoch = pb_bytes(s->epoch, sizeof(s->epoch));
	status.registry_unix_ms = registry_now();
	status.instances = lease_list(s->reg->leases, arena, &status.n_instances);
	status.key_generation = keys_generation(s->reg->keys);
	len = protobuf_c_message_get_packed_size(&status.base);
	packed = arena_alloc(arena, len + 1);
	(void)protobuf_c_message_pack(&status.base, packed);
	crypto_sign(keys_sign(s->reg->keys, &ret->key_id), "mcpbox status", packed, len, signature);
	ret->status = pb_bytes(packed, len);
	ret->signature = pb_bytes(signature, CRYPTO_SIGN_SIZE);
	return ret;
}

/* ---- ticker -------------------------------------------------------------------------------------- */

static void drop_lost(struct status *s)
{
	PB(Instance) * gone;

	while ((gone = lease_expire(s->reg->leases, clock_mono_ms()))) {
		log_warn("instance.lost", F_STR("instance", gone->instance));
		status_instance(s, gone, "instance.left", "lease ran out");
	}
}

static void publish_status(struct status *s)
{
	struct arena arena = { 0 };

	bus_publish(s->reg->bus, NEWS_STATUS, &status_signed(s, &arena)->base);
	arena_done(&arena);
}

static bool wait_for(struct status *s, bool *flag, uint32_t timeout_ms)
{
	struct timespec until;
	bool go_on;
	int r = 0;

	clock_abs_after(timeout_ms, &until);
	pthread_mutex_lock(&s->lock);
	while (!*flag && !s->is_stopping && r == 0)
		r = pthread_cond_timedwait(&s->moved, &s->lock, &until);
	*flag = false;
	go_on = !s->is_stopping;
	pthread_mutex_unlock(&s->lock);
	return go_on;
}

static void *tick(void *arg)
{
	struct status *s = arg;

	do {
		drop_lost(s);
		publish_status(s);
	} while (wait_for(s, &s->must_tick, TICK_MS));
	return NULL;
}

/* ---- follower: what was committed ---------------------------------------------------------------- */

/* Publish the next rows of the chain; *ret_count tells how many there were. */
static int publish_rows(struct status *s, struct arena *arena, struct store_tx *tx,
			size_t *ret_count)
{
	PB(AuditEvent) * *rows;
	uint64_t newest = status_audit_seq(s);
	int r = store_audit_list(tx, newest, FOLLOW_ROWS, NULL, 0, &rows, ret_count);

	for (size_t i = 0; r == 0 && i < *ret_count; i++) {
		struct merged parts = { 0 };

		bus_publish(s->reg->bus, NEWS_AUDIT, &rows[i]->base);
		r = merge_parts(tx, arena, rows[i], &parts);
		for (size_t k = 0; r == 0 && k < parts.count; k++)
			bus_publish(s->reg->bus, NEWS_AUDIT, &parts.events[k]->base);
		newest = rows[i]->seq;
	}
	pthread_mutex_lock(&s->lock);
	if (*ret_count > 0 && r == 0) {
		s->audit_seq = newest;
		memcpy(s->audit_head, rows[*ret_count - 1]->hash.data, CRYPTO_HASH_SIZE);
	}
	pthread_mutex_unlock(&s->lock);
	return r;
}

static void keep_revoked(struct status *s, char *const *ids, size_t count)
{
	arena_done(&s->revoked_arena);
	s->revoked = arena_pointers(&s->revoked_arena, count);
	for (size_t i = 0; i < count; i++)
		s->revoked[i] = arena_str(&s->revoked_arena, ids[i]);
	s->revoked_count = count;
}

/* One state: the revoked permits and the state_seq that goes with them. */
static int read_state(struct status *s, struct store_tx *tx, bool *ret_moved)
{
	ROW(HeadRow) * head;
	char **ids;
	size_t count;
	int r = store_head_get(tx, false, &head);

	if (r == 0)
		r = store_permits_revoked(tx, &ids, &count);
	if (r != 0)
		return r;
	pthread_mutex_lock(&s->lock);
	*ret_moved = head->state_seq != s->state_seq || count != s->revoked_count;
	s->state_seq = head->state_seq;
	keep_revoked(s, ids, count);
	pthread_cond_broadcast(&s->moved);
	pthread_mutex_unlock(&s->lock);
	return 0;
}

static int follow_once(struct status *s, size_t *ret_count)
{
	struct arena arena = { 0 };
	struct store_tx *tx;
	bool moved = false;
	int r = store_begin(s->reg->store, STORE_SNAPSHOT, &arena, &tx);

	*ret_count = 0;
	if (r == 0) {
		r = publish_rows(s, &arena, tx, ret_count);
		if (r == 0)
			r = read_state(s, tx, &moved);
		store_end(tx);
	}
	arena_done(&arena);
	if (moved)
		status_tell(s);
	return r;
}

/* ---- follower: what we have to write ------------------------------------------------------------- */

static int write_instance(struct work *w, const void *in, struct err *err)
{
	const struct pending *p = in;
	const PB(Instance) *i = p->instance;
	bool joined = strcmp(p->topic, "instance.joined") == 0;
	int r = joined ? store_instance_joined(w->tx, i)
		       : store_instance_left(w->tx, work_bytes(i->boot_id));

	(void)err;
	work_audit(w, p->topic, "instance", i->instance, "ok",
		   json_pack("{s:s, s:s, s:s}", "role", role_name((enum bus_role)i->role),
			     "version", i->version, "why", p->why));
	return r;
}

static bool next_event(struct status *s, struct pending *ret)
{
	bool is;

	pthread_mutex_lock(&s->lock);
	is = s->event_count > 0;
	if (is)
		*ret = s->events[0];
	pthread_mutex_unlock(&s->lock);
	return is;
}

static void event_done(struct status *s)
{
	PB(Instance) * instance;

	pthread_mutex_lock(&s->lock);
	instance = s->events[0].instance;
	s->event_count--;
	memmove(s->events, s->events + 1, s->event_count * sizeof(s->events[0]));
	pthread_mutex_unlock(&s->lock);
	msg_free(&instance->base);
}

static void write_events(struct status *s)
{
	struct pending p;
	struct err err = { 0 };

	/* What cannot be written now waits for the database. */
	while (next_event(s, &p) && work_system(s->reg, write_instance, &p, &err) == 0)
		event_done(s);
}

static int sign_head(struct work *w, const void *in, struct err *err)
{
	uint8_t text[8 + CRYPTO_HASH_SIZE];
	uint8_t signature[CRYPTO_SIGN_SIZE];
	struct bytes hash, signed_bytes = { signature, sizeof(signature) };
	ROW(HeadRow) * head;
	uint32_t key_id;
	int r = store_head_get(w->tx, true, &head);

	(void)in;
	(void)err;
	if (r < 0 || head->seq == head->signed_seq)
		return r;
	hash = work_bytes(head->hash);
	merge_head_text(head->seq, hash.data, text);
	crypto_sign(keys_sign(w->reg->keys, &key_id), "mcpbox audit", text, sizeof(text),
		    signature);
	r = store_head_sign(w->tx, head->seq, hash, signed_bytes, key_id);
	if (r == 0 && head->seq / CHECKPOINT_ROWS != head->signed_seq / CHECKPOINT_ROWS)
		r = store_checkpoint_add(w->tx, head->seq, hash, signed_bytes, key_id);
	return r;
}

static int expire(struct work *w, const void *in, struct err *err)
{
	(void)in;
	(void)err;
	return store_expire(w->tx);
}

static void keep_house(struct status *s)
{
	uint64_t now = clock_mono_ms();
	struct err err = { 0 };
	int r = work_system(s->reg, sign_head, NULL, &err); /* a failure is logged by the store */

	if (r < 0 || now - s->expired_ms < EXPIRE_MS)
		return;
	s->expired_ms = now;
	r = work_system(s->reg, expire, NULL, &err);
	if (r < 0)
		log_warn("store.not_expired", F_ERR(&err));
}

static void *follow(void *arg)
{
	struct status *s = arg;
	uint64_t kept_ms = 0;
	size_t count;

	do {
		write_events(s);
		while (follow_once(s, &count) == 0 && count == FOLLOW_ROWS)
			;
		if (clock_mono_ms() - kept_ms >= FOLLOW_MS) {
			kept_ms = clock_mono_ms();
			keep_house(s);
		}
	} while (wait_for(s, &s->must_follow, FOLLOW_MS));
	return NULL;
}

/* ---- life ---------------------------------------------------------------------------------------- */

static int read_head(struct status *s)
{
	struct arena arena = { 0 };
	struct store_tx *tx;
	ROW(HeadRow) * head;
	int r = store_begin(s->reg->store, STORE_READ, &arena, &tx);

	if (r == 0) {
		r = store_head_get(tx, false, &head);
		if (r == 0) {
			s->audit_seq = head->seq;
			s->state_seq = head->state_seq;
			memcpy(s->audit_head, head->hash.data, CRYPTO_HASH_SIZE);
		}
		store_end(tx);
	}
	arena_done(&arena);
	return r;
}

int status_new(struct registry *reg, struct status **ret, struct err *err)
{
	struct status *s = mem_alloc(sizeof(*s));
	pthread_condattr_t attr;

	s->reg = reg;
	crypto_random(s->epoch, sizeof(s->epoch));
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->moved, &attr);
	pthread_condattr_destroy(&attr);
	*ret = s;
	if (read_head(s) < 0)
		return err_set(err, ERR_UNAVAILABLE, "registry storage is not answering");
	return 0;
}

void status_start(struct status *s)
{
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 1024 * 1024);
	if (pthread_create(&s->ticker, &attr, tick, s) != 0 ||
	    pthread_create(&s->follower, &attr, follow, s) != 0)
		box_bug("no thread");
	pthread_attr_destroy(&attr);
	s->is_started = true;
}

void status_stop(struct status *s)
{
	if (!s || !s->is_started)
		return;
	pthread_mutex_lock(&s->lock);
	s->is_stopping = true;
	pthread_cond_broadcast(&s->moved);
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->ticker, NULL);
	pthread_join(s->follower, NULL);
	s->is_started = false;
}

void status_free(struct status *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->event_count; i++)
		msg_free(&s->events[i].instance->base);
	arena_done(&s->revoked_arena);
	pthread_cond_destroy(&s->moved);
	pthread_mutex_destroy(&s->lock);
	free(s);
}
