/*
 * News and what follows from it: the newest Status, the registry's time, who is alive.
 *
 * News is a hint.  It counts only from the start of the registry that last answered a question of
 * ours, so that recorded news of an earlier start cannot turn time back; anything else makes the
 * watch ask.
 */
#include <nng/nng.h>
#include <nng/protocol/pubsub0/pub.h>
#include <nng/protocol/pubsub0/sub.h>
#include <stdio.h>
#include <string.h>

#include "bus_internal.h"
#include "bus_tls.h"
#include "clock.h"
#include "crypto.h"
#include "log.h"
#include "mem.h"

#define SILENCE_MS     800 /* longer than the 500 ms between two Status */
#define ASK_TIMEOUT_MS 1000
#define ASK_PAUSE_MS   200
#define QUEUE_LEN      1024 /* nng drops silently beyond; gaps are noticed and asked for */
#define CLOCK_STEP_MS \
	2000 /* beyond this the registry's clock was set back, not just slow to arrive */
#define TOPIC_PREFIX_LEN 8 /* magic, version, kind, message number of the frame */

struct news {
	struct bus *bus;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	PB(Status) * status; /* newest, verified; guarded by lock like all below */
	uint64_t status_ms;  /* when it came */
	uint64_t heard_ms;   /* when the registry last answered or told anything */
	bool has_boot;
	uint8_t boot_id[BOOT_ID_SIZE]; /* of the registry */
	uint64_t counters[NEWS_COUNT]; /* of the last news; 0: none from this start yet */
	bool is_repair_wanted;
	bool is_stopping;
	int64_t clock_offset_ms; /* registry time minus own monotonic time */
	bool has_clock;

	pthread_mutex_t intake_lock; /* held over a whole frame; taken first of all */
	bool is_closed; /* guarded by it: nothing of the caller's is touched any more */
	pthread_mutex_t deliver_lock; /* one callback at a time, in order; taken before lock */
	struct bus_news callbacks;

	nng_socket sub;
	pthread_t watch;
	bool has_watch;

	pthread_mutex_t publish_lock; /* held while sending: the counters' order is the point */
	nng_socket pub;
	bool is_publisher;
	uint64_t published[NEWS_COUNT];
};

static const uint16_t topic_messages[NEWS_COUNT] = {
	[NEWS_STATUS] = MSG_NEWS_STATUS,
	[NEWS_AUDIT] = MSG_NEWS_AUDIT,
};

/* ---- what is known -------------------------------------------------------------------------- */

void news_init(struct bus *b)
{
	struct news *n = mem_alloc(sizeof(*n));

	b->news = n;
	n->bus = b;
	bus_sync_init(&n->lock, &n->changed);
	(void)pthread_mutex_init(&n->intake_lock, NULL);
	(void)pthread_mutex_init(&n->deliver_lock, NULL);
	(void)pthread_mutex_init(&n->publish_lock, NULL);
	n->heard_ms = clock_mono_ms();
}

void news_registry_heard(struct bus *b, const uint8_t boot_id[BOOT_ID_SIZE])
{
	struct news *n = b->news;

	(void)pthread_mutex_lock(&n->lock);
	n->heard_ms = clock_mono_ms();
	if (!n->has_boot || memcmp(n->boot_id, boot_id, BOOT_ID_SIZE) != 0) {
		n->has_boot = true;
		memcpy(n->boot_id, boot_id, BOOT_ID_SIZE);
		memset(n->counters, 0, sizeof(n->counters));
	}
	(void)pthread_mutex_unlock(&n->lock);
}

int64_t bus_registry_now(const struct bus *b)
{
	struct news *n = b->news;
	int64_t now = 0;

	if (b->self == ROLE_REGISTRY)
		return clock_unix_ms();
	(void)pthread_mutex_lock(&n->lock);
	if (n->has_clock)
		now = (int64_t)clock_mono_ms() + n->clock_offset_ms;
	(void)pthread_mutex_unlock(&n->lock);
	return now;
}

uint64_t bus_registry_silence_ms(const struct bus *b)
{
	struct news *n = b->news;
	uint64_t now, heard;

	if (b->self == ROLE_REGISTRY)
		return 0;
	(void)pthread_mutex_lock(&n->lock);
	heard = n->heard_ms;
	(void)pthread_mutex_unlock(&n->lock);
	now = clock_mono_ms();
	return now > heard ? now - heard : 0;
}

PB(Status) * bus_status(const struct bus *b)
{
	struct news *n = b->news;
	BOX_CLEANUP(mem_freep) uint8_t *packed = NULL;
	ProtobufCMessage *copy = NULL;
	size_t len = 0;

	(void)pthread_mutex_lock(&n->lock);
	if (n->status)
		packed = msg_pack(&n->status->base, &len);
	(void)pthread_mutex_unlock(&n->lock);
	if (!packed || msg_unpack(&mcpbox__v1__status__descriptor, packed, len, &copy) < 0)
		return NULL;
	return (PB(Status) *)copy;
}

bool bus_permit_is_revoked(const struct bus *b, const char *permit_id)
{
	struct news *n = b->news;
	bool is_revoked = false;

	(void)pthread_mutex_lock(&n->lock);
	for (size_t i = 0; n->status && i < n->status->n_revoked_permit_ids && !is_revoked; i++)
		is_revoked = strcmp(n->status->revoked_permit_ids[i], permit_id) == 0;
	(void)pthread_mutex_unlock(&n->lock);
	return is_revoked;
}

int bus_wait_state(struct bus *b, uint64_t state_seq, uint32_t timeout_ms)
{
	struct news *n = b->news;
	uint64_t until = clock_mono_ms() + timeout_ms;
	int r = 0;

	(void)pthread_mutex_lock(&n->lock);
	while (!n->status || n->status->state_seq < state_seq) {
		uint64_t now = clock_mono_ms();

		if (now >= until || n->is_stopping) {
			r = -ERR_DEADLINE;
			break;
		}
		bus_sync_wait(&n->lock, &n->changed, (uint32_t)(until - now));
	}
	(void)pthread_mutex_unlock(&n->lock);
	return r;
}

/* ---- taking a Status in --------------------------------------------------------------------- */

enum source { SOURCE_NEWS, SOURCE_REPLY };

/*
 * A sample is late by its way to us, never early: the highest is the best.  Only a reply, whose age
 * is bounded by the question, can show that the registry's clock was set back.
 */
static void clock_sample(struct news *n, int64_t registry_unix_ms, enum source source)
{
	int64_t offset = registry_unix_ms - (int64_t)clock_mono_ms();

	if (!n->has_clock || offset > n->clock_offset_ms ||
	    (source == SOURCE_REPLY && n->clock_offset_ms - offset > CLOCK_STEP_MS))
		n->clock_offset_ms = offset;
	n->has_clock = true;
}

static bool status_is_newer(const PB(Status) * now, const PB(Status) * status, enum source source)
{
	bool is_same_epoch = now && now->epoch.len == status->epoch.len &&
			     memcmp(now->epoch.data, status->epoch.data, now->epoch.len) == 0;

	if (!is_same_epoch)
		return true;
	if (status->state_seq != now->state_seq)
		return status->state_seq > now->state_seq;
	/* News that a reply has overtaken; unless the registry's clock was set back. */
	return source == SOURCE_REPLY || status->registry_unix_ms >= now->registry_unix_ms ||
	       now->registry_unix_ms - status->registry_unix_ms > CLOCK_STEP_MS;
}

static int status_verify(const struct bus *b, const PB(SignedStatus) * s, PB(Status) * *ret)
{
	const uint8_t *key = keys_verify(b->keys, s->key_id);
	ProtobufCMessage *m = NULL;

	if (!key || s->signature.len != CRYPTO_SIGN_SIZE ||
	    !crypto_verify(key, "mcpbox status", s->status.data, s->status.len, s->signature.data))
		return -ERR_DENIED;
	if (msg_unpack(&mcpbox__v1__status__descriptor, s->status.data, s->status.len, &m) < 0)
		return -ERR_INVALID;
	*ret = (PB(Status) *)m;
	return 0;
}

/* Keep it when it is newer.  Takes status; called with deliver_lock held. */
static bool status_keep(struct news *n, PB(Status) * status, enum source source)
{
	PB(Status) *old = status;
	bool is_newer;

	(void)pthread_mutex_lock(&n->lock);
	clock_sample(n, status->registry_unix_ms, source);
	n->status_ms = n->heard_ms = clock_mono_ms();
	is_newer = status_is_newer(n->status, status, source);
	if (is_newer) {
		old = n->status;
		n->status = status;
		(void)pthread_cond_broadcast(&n->changed);
	}
	(void)pthread_mutex_unlock(&n->lock);
	if (old)
		msg_free(&old->base);
	return is_newer;
}

static int status_take(struct news *n, const PB(SignedStatus) * s, enum source source)
{
	PB(Status) * status;
	int r = status_verify(n->bus, s, &status);

	if (r < 0) {
		log_warn("bus.status_refused", F_STR("code", err_row((enum err_code) - r)->name));
		return r;
	}
	(void)pthread_mutex_lock(&n->deliver_lock);
	/* Nobody else replaces n->status while deliver_lock is held, so it can be lent out. */
	if (status_keep(n, status, source) && n->callbacks.on_status)
		n->callbacks.on_status(n->callbacks.arg, status);
	(void)pthread_mutex_unlock(&n->deliver_lock);
	return 0;
}

int news_take_reply(struct bus *b, const PB(SignedStatus) * status)
{
	return status_take(b->news, status, SOURCE_REPLY);
}

int news_ask_status(struct bus *b, struct err *err)
{
	PB(GetStatusRequest) request = MCPBOX__V1__GET_STATUS_REQUEST__INIT;
	struct bus_call_opts opts = { .timeout_ms = ASK_TIMEOUT_MS, .repeatable = true };
	BOX_CLEANUP(msg_freep) ProtobufCMessage *reply = NULL;
	int r = bus_ask_registry(b, MSG_GET_STATUS, &request.base, &opts, &reply, err);

	if (r < 0)
		return r;
	r = news_take_reply(b, (const PB(SignedStatus) *)reply);
	return r < 0 ? err_set(err, ERR_DENIED, "the registry's status is not signed by it") : 0;
}

/* ---- listening ------------------------------------------------------------------------------ */

enum verdict { NEWS_DROP, NEWS_TAKE };

/* May this frame, whose seal is right, be believed?  Asks for repair where something is missing. */
static enum verdict news_judge(struct news *n, enum news_topic topic, const struct frame_header *h)
{
	enum verdict verdict = NEWS_DROP;
	bool is_gap = false;

	(void)pthread_mutex_lock(&n->lock);
	if (!n->has_boot || memcmp(n->boot_id, h->from_boot, BOOT_ID_SIZE) != 0) {
		is_gap = true;
	} else if (h->counter > n->counters[topic]) {
		is_gap = n->counters[topic] != 0 && h->counter != n->counters[topic] + 1;
		n->counters[topic] = h->counter;
		n->heard_ms = clock_mono_ms();
		verdict = NEWS_TAKE;
	}
	if (is_gap) {
		n->is_repair_wanted = true;
		(void)pthread_cond_broadcast(&n->changed);
	}
	(void)pthread_mutex_unlock(&n->lock);
	return verdict;
}

static void audit_take(struct news *n, const struct buf *payload)
{
	BOX_CLEANUP(msg_freep) ProtobufCMessage *event = NULL;

	if (!n->callbacks.on_audit || msg_unpack(&mcpbox__v1__audit_event__descriptor,
						 payload->data, payload->len, &event) < 0)
		return;
	(void)pthread_mutex_lock(&n->deliver_lock);
	n->callbacks.on_audit(n->callbacks.arg, (const PB(AuditEvent) *)event);
	(void)pthread_mutex_unlock(&n->deliver_lock);
}

static void signed_status_take(struct news *n, const struct buf *payload)
{
	BOX_CLEANUP(msg_freep) ProtobufCMessage *s = NULL;

	if (msg_unpack(&mcpbox__v1__signed_status__descriptor, payload->data, payload->len, &s) < 0)
		return;
	(void)status_take(n, (const PB(SignedStatus) *)s, SOURCE_NEWS);
}

static void topic_take(struct news *n, const struct frame_header *h, const struct buf *payload)
{
	enum news_topic topic = h->msg == MSG_NEWS_STATUS ? NEWS_STATUS : NEWS_AUDIT;

	if (news_judge(n, topic, h) != NEWS_TAKE)
		return;
	if (topic == NEWS_STATUS)
		signed_status_take(n, payload);
	else
		audit_take(n, payload);
}

static void frame_take(struct news *n, const void *frame, size_t len)
{
	struct buf payload = BUF_INIT(FRAME_MAX);
	struct frame_header h;
	int r = frame_open(n->bus->keys, n->bus->self, frame, len, &h, &payload);

	if (r < 0)
		bus_refuse(n->bus, bus_refusal_of(r), "news");
	else if (h.kind != FRAME_NEWS)
		bus_refuse(n->bus, REFUSED_SHAPE, "news");
	else
		topic_take(n, &h, &payload);
	buf_done(&payload);
}

/* Blocks without a timeout (timeouts on SUB crash, nng#1682); Status comes twice a second. */
static void *sub_run(void *arg)
{
	struct news *n = arg;

	for (;;) {
		nng_msg *m;
		int r = nng_recvmsg(n->sub, &m, 0);

		if (r == NNG_ECLOSED)
			return NULL;
		if (r != 0)
			continue;
		(void)pthread_mutex_lock(&n->intake_lock);
		if (!n->is_closed)
			frame_take(n, nng_msg_body(m), nng_msg_len(m));
		(void)pthread_mutex_unlock(&n->intake_lock);
		nng_msg_free(m);
	}
}

/* ms to wait before the registry has to be asked; 0: now. */
static uint32_t watch_wait(const struct news *n)
{
	uint64_t now = clock_mono_ms();

	if (n->is_repair_wanted || n->status_ms == 0 || now >= n->status_ms + SILENCE_MS)
		return 0;
	return (uint32_t)(n->status_ms + SILENCE_MS - now);
}

static void *watch_run(void *arg)
{
	struct news *n = arg;
	struct err err = { 0 };

	(void)pthread_mutex_lock(&n->lock);
	while (!n->is_stopping) {
		uint32_t wait_ms = watch_wait(n);

		if (wait_ms > 0) {
			bus_sync_wait(&n->lock, &n->changed, wait_ms);
			continue;
		}
		n->is_repair_wanted = false;
		(void)pthread_mutex_unlock(&n->lock);
		if (news_ask_status(n->bus, &err) < 0)
			log_debug("bus.status_not_had", F_ERR(&err));
		(void)pthread_mutex_lock(&n->lock);
		/* Not more often than this, whatever makes us ask. */
		if (!n->is_stopping)
			bus_sync_wait(&n->lock, &n->changed, ASK_PAUSE_MS);
	}
	(void)pthread_mutex_unlock(&n->lock);
	return NULL;
}

static int sub_subscribe(struct news *n, enum news_topic topic)
{
	const uint8_t prefix[TOPIC_PREFIX_LEN] = { 'M',
						   'B',
						   'X',
						   '1',
						   FRAME_PROTOCOL,
						   FRAME_NEWS,
						   (uint8_t)(topic_messages[topic] & 0xff),
						   (uint8_t)(topic_messages[topic] >> 8) };

	return nng_socket_set(n->sub, NNG_OPT_SUB_SUBSCRIBE, prefix, sizeof(prefix));
}

static int sub_dial(struct news *n, uint32_t which)
{
	char url[BUS_ADDR_SIZE];
	nng_dialer dialer;
	int r;

	bus_registry_url(n->bus, which, BUS_PORT_NEWS, url);
	r = tls_dialer_create(n->bus->tls, n->sub, url, &dialer);
	if (r != 0)
		return r;
	(void)nng_dialer_set_ms(dialer, NNG_OPT_RECONNMINT, 50);
	(void)nng_dialer_set_ms(dialer, NNG_OPT_RECONNMAXT, 500);
	(void)nng_dialer_set_bool(dialer, NNG_OPT_TCP_KEEPALIVE, true);
	return nng_dialer_start(dialer, NNG_FLAG_NONBLOCK);
}

static int sub_open(struct news *n)
{
	int r = nng_sub0_open(&n->sub);

	if (r == 0)
		r = nng_socket_set_size(n->sub, NNG_OPT_RECVMAXSZ, BUS_RECV_MAX);
	if (r == 0)
		r = nng_socket_set_int(n->sub, NNG_OPT_RECVBUF, QUEUE_LEN);
	if (r == 0)
		r = sub_subscribe(n, NEWS_STATUS);
	if (r == 0 && n->callbacks.on_audit)
		r = sub_subscribe(n, NEWS_AUDIT);
	for (uint32_t i = 0; r == 0 && i < n->bus->place_count; i++)
		r = sub_dial(n, i);
	return r;
}

int bus_news_start(struct bus *b, const struct bus_news *news, struct err *err)
{
	struct news *n = b->news;
	int r;

	(void)pthread_mutex_lock(&n->deliver_lock);
	n->callbacks = *news;
	(void)pthread_mutex_unlock(&n->deliver_lock);
	r = sub_open(n);
	if (r != 0)
		return err_set(err, ERR_UNAVAILABLE, "cannot listen to the registry's news: %s",
			       nng_strerror(r));
	/* Never joined: it sleeps in nng until the process ends; news_stop closes its intake. */
	(void)pthread_detach(bus_thread("bus-news", sub_run, n));
	n->watch = bus_thread("bus-watch", watch_run, n);
	n->has_watch = true;
	return 0;
}

/* ---- publishing ----------------------------------------------------------------------------- */

int bus_publish_start(struct bus *b, const char *listen, struct err *err)
{
	struct news *n = b->news;
	nng_listener listener;
	int r = tls_check_address(b->tls, listen, err);

	if (r < 0)
		return r;
	r = nng_pub0_open(&n->pub);
	if (r == 0)
		r = nng_socket_set_size(n->pub, NNG_OPT_RECVMAXSZ, 64); /* nobody talks here */
	if (r == 0)
		r = nng_socket_set_int(n->pub, NNG_OPT_SENDBUF, QUEUE_LEN);
	if (r == 0)
		r = tls_listener_create(b->tls, n->pub, listen, &listener);
	if (r == 0)
		r = nng_listener_set_bool(listener, NNG_OPT_TCP_KEEPALIVE, true);
	if (r == 0)
		r = nng_listener_start(listener, 0);
	if (r != 0)
		return err_set(err, ERR_UNAVAILABLE, "cannot publish on %s: %s", listen,
			       nng_strerror(r));
	n->is_publisher = true;
	return 0;
}

static void publish_frame(struct news *n, const struct buf *frame)
{
	nng_msg *m;

	if (nng_msg_alloc(&m, 0) != 0 || nng_msg_append(m, frame->data, frame->len) != 0)
		box_bug("no memory for a message");
	if (nng_sendmsg(n->pub, m, NNG_FLAG_NONBLOCK) != 0)
		nng_msg_free(m);
}

void bus_publish(struct bus *b, enum news_topic topic, const ProtobufCMessage *m)
{
	struct news *n = b->news;
	struct frame_header h = {
		.kind = FRAME_NEWS,
		.msg = topic_messages[topic],
		.key_generation = keys_generation(b->keys),
		.from = b->self,
		.to = ROLE_NONE,
	};
	BOX_CLEANUP(mem_freep) uint8_t *payload = NULL;
	struct buf frame = BUF_INIT(FRAME_MAX);
	size_t len;

	box_assert(n->is_publisher);
	payload = msg_pack(m, &len);
	memcpy(h.from_boot, b->boot_id, BOOT_ID_SIZE);
	crypto_random(h.request_id, REQUEST_ID_SIZE);
	(void)pthread_mutex_lock(&n->publish_lock);
	h.counter = ++n->published[topic];
	if (frame_seal(b->keys, &h, payload, len, &frame) == 0)
		publish_frame(n, &frame);
	else
		log_error("bus.news_lost", F_UINT("message", h.msg), F_UINT("bytes", len));
	(void)pthread_mutex_unlock(&n->publish_lock);
	buf_done(&frame);
}

void news_stop(struct bus *b)
{
	struct news *n = b->news;

	(void)pthread_mutex_lock(&n->lock);
	n->is_stopping = true;
	(void)pthread_cond_broadcast(&n->changed);
	(void)pthread_mutex_unlock(&n->lock);
	if (n->has_watch)
		(void)pthread_join(n->watch, NULL);
	/* The keys and what the callbacks point at may be freed once this returns. */
	(void)pthread_mutex_lock(&n->intake_lock);
	n->is_closed = true;
	(void)pthread_mutex_unlock(&n->intake_lock);
}
