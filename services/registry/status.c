#include "status.h"

#include <pthread.h>
#include <string.h>
#include "canon.h"
#include "clock.h"
#include "crypto.h"
#include "frame.h"
#include "incidents.h"
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
	FLUSH_MS = 5000,
	EVENTS_MAX = 256, /* joins and departures that wait for the database */
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
	uint64_t signed_seq; /* the head that this process signed last, or found signed */
	uint8_t signed_hash[CRYPTO_HASH_SIZE];
	bool is_broken;             /* the chain does not follow from there: sign nothing */
	struct arena revoked_arena; /* owns revoked and paused */
	char **revoked;
	size_t revoked_count;
	bool is_paused;
	char **paused; /* names of servers; in revoked_arena too */
	size_t paused_count;
	struct pending events[EVENTS_MAX];
	size_t event_count;

	bool is_started;
	pthread_t ticker, follower;
	uint64_t expired_ms, flushed_ms; /* follower's own; 0: not yet */
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
	ret->paused = s->is_paused;
	ret->n_paused_servers = s->paused_count;
	ret->paused_servers = arena_pointers(arena, s->paused_count);
	for (size_t i = 0; i < s->paused_count; i++)
		ret->paused_servers[i] = arena_str(arena, s->paused[i]);
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

/* What a Status tells of the state: rows of one transaction. */
struct found {
	char **revoked, **paused;
	size_t revoked_count, paused_count;
	bool is_paused;
};

static char **keep_texts(struct status *s, char *const *texts, size_t count)
{
	char **kept = (char **)arena_pointers(&s->revoked_arena, count);

	for (size_t i = 0; i < count; i++)
		kept[i] = arena_str(&s->revoked_arena, texts[i]);
	return kept;
}

static void keep_found(struct status *s, const struct found *f)
{
	arena_done(&s->revoked_arena);
	s->revoked = keep_texts(s, f->revoked, f->revoked_count);
	s->revoked_count = f->revoked_count;
	s->paused = keep_texts(s, f->paused, f->paused_count);
	s->paused_count = f->paused_count;
	s->is_paused = f->is_paused;
}

/* One state: the revoked permits and the state_seq that goes with them. */
static int read_state(struct status *s, struct store_tx *tx, bool *ret_moved)
{
	ROW(HeadRow) * head;
	struct found f;
	int r = store_head_get(tx, false, &head);

	if (r == 0)
		r = store_permits_revoked(tx, &f.revoked, &f.revoked_count);
	if (r == 0)
		r = store_pause_get(tx, &f.is_paused, &f.paused, &f.paused_count);
	if (r != 0)
		return r;
	pthread_mutex_lock(&s->lock);
	*ret_moved = head->state_seq != s->state_seq || f.revoked_count != s->revoked_count;
	s->state_seq = head->state_seq;
	keep_found(s, &f);
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

/* ---- follower: signing --------------------------------------------------------------------------- */

/* The chain up to here is proven: nothing that the database says later can change that. */
struct proven {
	uint64_t seq;
	uint8_t hash[CRYPTO_HASH_SIZE];
};

/* In: from where the rows must follow.  Out: what was signed. */
struct signing {
	struct proven from, *ret;
	bool *ret_broken;
};

static int sign_row(struct work *w, const struct proven *row, bool is_checkpoint)
{
	uint8_t text[8 + CRYPTO_HASH_SIZE], signature[CRYPTO_SIGN_SIZE];
	struct bytes hash = { row->hash, CRYPTO_HASH_SIZE };
	struct bytes signed_bytes = { signature, sizeof(signature) };
	uint32_t key_id;

	merge_head_text(row->seq, row->hash, text);
	crypto_sign(keys_sign(w->reg->keys, &key_id), "mcpbox audit", text, sizeof(text),
		    signature);
	return is_checkpoint ? store_checkpoint_add(w->tx, row->seq, hash, signed_bytes, key_id)
			     : store_head_sign(w->tx, row->seq, hash, signed_bytes, key_id);
}

static bool is_hash(ProtobufCBinaryData b, const uint8_t hash[CRYPTO_HASH_SIZE])
{
	return b.len == CRYPTO_HASH_SIZE && memcmp(b.data, hash, CRYPTO_HASH_SIZE) == 0;
}

/* Take one more row: the proven one itself once more, or the one that must follow it. */
static bool follows(struct proven *at, const PB(AuditEvent) * row)
{
	uint8_t hash[CRYPTO_HASH_SIZE];

	canon_audit_hash(row, hash);
	if (!is_hash(row->hash, hash))
		return false;
	if (row->seq == at->seq)
		return memcmp(hash, at->hash, sizeof(hash)) == 0;
	if (row->seq != at->seq + 1 || !is_hash(row->prev_hash, at->hash))
		return false;
	at->seq = row->seq;
	memcpy(at->hash, hash, sizeof(hash));
	return true;
}

/* Hash the rows from the proven one up to the head again.  They are few: this happens each second. */
static int prove(struct work *w, const ROW(HeadRow) * head, struct proven *at, bool *ret_broken)
{
	uint64_t since = at->seq > 0 ? at->seq - 1 : 0;
	PB(AuditEvent) * *rows;
	size_t count = FOLLOW_ROWS;
	int r = 0;

	while (r == 0 && count == FOLLOW_ROWS) {
		r = store_audit_list(w->tx, since, FOLLOW_ROWS, NULL, 0, &rows, &count);
		if (r == 0 && count == 0)
			break;
		for (size_t i = 0; r == 0 && i < count; i++) {
			uint64_t before = at->seq;

			*ret_broken = !follows(at, rows[i]);
			if (*ret_broken)
				return 0;
			if (at->seq != before && at->seq % MERGE_CHECKPOINT_ROWS == 0)
				r = sign_row(w, at, true);
		}
		since = at->seq;
	}
	*ret_broken = at->seq != head->seq || !is_hash(head->hash, at->hash);
	return r;
}

static int sign_head(struct work *w, const void *in, struct err *err)
{
	const struct signing *sg = in;
	struct proven at = sg->from;
	ROW(HeadRow) * head;
	int r = store_head_get(w->tx, true, &head);

	(void)err;
	*sg->ret_broken = false;
	if (r == 0 && head->seq == at.seq && head->signed_seq == at.seq && head->signature.len > 0)
		return 0;
	if (r == 0)
		r = prove(w, head, &at, sg->ret_broken);
	if (r == 0 && !*sg->ret_broken)
		r = sign_row(w, &at, false);
	if (r == 0 && !*sg->ret_broken)
		*sg->ret = at;
	return r;
}

static void say_broken(struct status *s, uint64_t seq)
{
	bool is_new;

	pthread_mutex_lock(&s->lock);
	is_new = !s->is_broken;
	s->is_broken = true;
	pthread_mutex_unlock(&s->lock);
	if (is_new)
		log_error("audit.chain_broken", F_UINT("signed_seq", seq),
			  F_STR("reason", "the chain does not follow from its signed head: nothing "
					  "is signed any more, see `audit verify`"));
}

int status_sign(struct status *s)
{
	struct proven signed_now;
	bool broken = false;
	struct signing sg = { .ret = &signed_now, .ret_broken = &broken };
	struct err err = { 0 };
	int r;

	pthread_mutex_lock(&s->lock);
	broken = s->is_broken;
	sg.from.seq = s->signed_seq;
	memcpy(sg.from.hash, s->signed_hash, CRYPTO_HASH_SIZE);
	pthread_mutex_unlock(&s->lock);
	if (broken)
		return 0;
	signed_now = sg.from;
	r = work_system(s->reg, sign_head, &sg, &err); /* a failure is logged by the store */
	err_done(&err);
	if (r < 0)
		return r;
	if (broken) {
		say_broken(s, sg.from.seq);
		return 0;
	}
	pthread_mutex_lock(&s->lock);
	if (signed_now.seq > s->signed_seq) {
		s->signed_seq = signed_now.seq;
		memcpy(s->signed_hash, signed_now.hash, CRYPTO_HASH_SIZE);
	}
	pthread_mutex_unlock(&s->lock);
	return 0;
}

uint64_t status_signed_head(struct status *s, uint8_t ret_hash[CRYPTO_HASH_SIZE])
{
	uint64_t seq;

	pthread_mutex_lock(&s->lock);
	seq = s->signed_seq;
	memcpy(ret_hash, s->signed_hash, CRYPTO_HASH_SIZE);
	pthread_mutex_unlock(&s->lock);
	return seq;
}

/* ---- follower: the house ------------------------------------------------------------------------- */

static int expire(struct work *w, const void *in, struct err *err)
{
	(void)in;
	(void)err;
	return store_expire(w->tx);
}

static void run_due(struct status *s, uint64_t *done_ms, uint64_t every_ms, op_run *fn,
		    const char *failure)
{
	uint64_t now = clock_mono_ms();
	struct err err = { 0 };

	if (*done_ms > 0 && now - *done_ms < every_ms)
		return;
	*done_ms = now;
	if (work_system(s->reg, fn, NULL, &err) < 0)
		log_warn(failure, F_ERR(&err));
	err_done(&err);
}

static void keep_house(struct status *s)
{
	if (status_sign(s) < 0)
		return;
	run_due(s, &s->flushed_ms, FLUSH_MS, incidents_flush, "incidents.not_written");
	run_due(s, &s->expired_ms, EXPIRE_MS, expire, "store.not_expired");
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

/* What this process goes on from.  An empty chain is signed too, before its first row: so rows without any
 * signature are never right. */
static void read_signed_head(struct status *s, const ROW(HeadRow) * head)
{
	bool is_empty = head->seq == 0 && head->signed_seq == 0 && head->signature.len == 0;

	if (is_empty)
		return;
	if (!merge_head_is_signed(s->reg->keys, head)) {
		say_broken(s, head->signed_seq);
		return;
	}
	s->signed_seq = head->signed_seq;
	memcpy(s->signed_hash, head->signed_hash.data, CRYPTO_HASH_SIZE);
}

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
			read_signed_head(s, head);
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
	if (read_head(s) < 0 || status_sign(s) < 0)
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
