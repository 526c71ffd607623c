/*
 * Asking.  A slot is a REQ socket, opened at start and given to one address at a time; a channel is
 * a context of a slot, used by one call at a time.  The manager thread alone creates and closes
 * dialers.
 */
#include <nng/nng.h>
#include <nng/protocol/reqrep0/req.h>
#include <stdio.h>
#include <string.h>

#include "bus_internal.h"
#include "clock.h"
#include "crypto.h"
#include "log.h"
#include "mem.h"

#define DEFAULT_TIMEOUT_MS 5000
#define CONNECT_WAIT_MS    1000 /* a peer that is down is reported after this, not at the deadline */
#define IDLE_RETIRE_MS     5000 /* a peer that is down and not asked for is no longer redialled */
#define RECONNECT_MIN_MS   50
#define RECONNECT_MAX_MS   500
#define STALE_REPEATS_MAX  3
#define REPEAT_PAUSE_MS    20

enum slot_state { SLOT_FREE, SLOT_WANTED, SLOT_OPEN, SLOT_RETIRING };

struct channel {
	nng_ctx ctx;
	nng_aio *aio;
	struct channel *next;
};

struct slot {
	struct client *client;
	nng_socket socket;
	nng_dialer dialer;
	bool has_dialer;
	enum slot_state state;
	char addr[BUS_ADDR_SIZE];
	uint32_t in_flight;
	uint32_t pipes; /* connections that stand */
	uint64_t used_ms;
	uint8_t boot_id[BOOT_ID_SIZE]; /* of the peer, learned; zero: not known */
	struct channel *idle;
};

struct client {
	pthread_mutex_t lock;
	pthread_cond_t changed; /* a slot's state or its connection */
	struct slot *slots;     /* guarded by lock, but for socket */
	uint32_t count;
	bool is_stopping;
	pthread_t manager;
};

static const uint8_t zero_boot[BOOT_ID_SIZE];

static bool boot_is_known(const uint8_t boot_id[BOOT_ID_SIZE])
{
	return memcmp(boot_id, zero_boot, BOOT_ID_SIZE) != 0;
}

/* ---- slots ---------------------------------------------------------------------------------- */

/* On a thread of nng: counts, and nothing else (closing or opening here deadlocks). */
static void on_pipe(nng_pipe pipe, nng_pipe_ev event, void *arg)
{
	struct slot *slot = arg;

	(void)pipe;
	(void)pthread_mutex_lock(&slot->client->lock);
	if (event == NNG_PIPE_EV_ADD_POST)
		slot->pipes++;
	else if (slot->pipes > 0)
		slot->pipes--;
	(void)pthread_cond_broadcast(&slot->client->changed);
	(void)pthread_mutex_unlock(&slot->client->lock);
}

static struct slot *slot_find(struct client *c, const char *addr)
{
	for (uint32_t i = 0; i < c->count; i++) {
		struct slot *slot = &c->slots[i];

		if ((slot->state == SLOT_WANTED || slot->state == SLOT_OPEN) &&
		    strcmp(slot->addr, addr) == 0)
			return slot;
	}
	return NULL;
}

static struct slot *slot_assign(struct client *c, const char *addr)
{
	for (uint32_t i = 0; i < c->count; i++) {
		struct slot *slot = &c->slots[i];

		if (slot->state != SLOT_FREE)
			continue;
		slot->state = SLOT_WANTED;
		(void)snprintf(slot->addr, sizeof(slot->addr), "%s", addr);
		memset(slot->boot_id, 0, sizeof(slot->boot_id));
		(void)pthread_cond_broadcast(&c->changed);
		return slot;
	}
	return NULL;
}

/* The longest unused slot makes room.  False when all are in use. */
static bool slot_retire_one(struct client *c)
{
	struct slot *oldest = NULL;

	for (uint32_t i = 0; i < c->count; i++) {
		struct slot *slot = &c->slots[i];

		if (slot->state == SLOT_RETIRING)
			return true;
		if (slot->state == SLOT_OPEN && slot->in_flight == 0 &&
		    (!oldest || slot->used_ms < oldest->used_ms))
			oldest = slot;
	}
	if (!oldest)
		return false;
	oldest->state = SLOT_RETIRING;
	(void)pthread_cond_broadcast(&c->changed);
	return true;
}

/* ms until `deadline`, 0 when it is over. */
static uint32_t remaining(uint64_t deadline_ms)
{
	uint64_t now = clock_mono_ms();

	return now >= deadline_ms ? 0 : (uint32_t)(deadline_ms - now);
}

/*
 * The slot of an address with a standing connection, counted in flight.  Waiting for the connection
 * before sealing keeps the counters of frames in the order in which they leave.
 */
static int slot_take(struct client *c, const char *addr, uint64_t until_ms, struct slot **ret)
{
	struct slot *slot = NULL;
	int r = -ERR_UNAVAILABLE;

	(void)pthread_mutex_lock(&c->lock);
	while (!c->is_stopping) {
		uint32_t left = remaining(until_ms);

		slot = slot_find(c, addr);
		if (!slot)
			slot = slot_assign(c, addr);
		if (slot)
			slot->used_ms = clock_mono_ms();
		if (slot && slot->pipes > 0) {
			slot->in_flight++;
			r = 0;
			break;
		}
		if (!slot && !slot_retire_one(c)) {
			r = -ERR_BUSY;
			break;
		}
		if (left == 0)
			break;
		bus_sync_wait(&c->lock, &c->changed, left);
	}
	(void)pthread_mutex_unlock(&c->lock);
	if (r == 0)
		*ret = slot;
	return r;
}

static void slot_release(struct slot *slot)
{
	(void)pthread_mutex_lock(&slot->client->lock);
	slot->in_flight--;
	slot->used_ms = clock_mono_ms();
	if (slot->state == SLOT_RETIRING)
		(void)pthread_cond_broadcast(&slot->client->changed);
	(void)pthread_mutex_unlock(&slot->client->lock);
}

static void slot_get_boot(struct slot *slot, uint8_t boot_id[BOOT_ID_SIZE])
{
	(void)pthread_mutex_lock(&slot->client->lock);
	if (boot_is_known(slot->boot_id))
		memcpy(boot_id, slot->boot_id, BOOT_ID_SIZE);
	(void)pthread_mutex_unlock(&slot->client->lock);
}

static void slot_set_boot(struct slot *slot, const uint8_t boot_id[BOOT_ID_SIZE])
{
	(void)pthread_mutex_lock(&slot->client->lock);
	memcpy(slot->boot_id, boot_id, BOOT_ID_SIZE);
	(void)pthread_mutex_unlock(&slot->client->lock);
}

static struct channel *channel_take(struct slot *slot)
{
	struct channel *channel;

	(void)pthread_mutex_lock(&slot->client->lock);
	channel = slot->idle;
	if (channel)
		slot->idle = channel->next;
	(void)pthread_mutex_unlock(&slot->client->lock);
	if (channel)
		return channel;
	channel = mem_alloc(sizeof(*channel));
	if (nng_ctx_open(&channel->ctx, slot->socket) != 0 ||
	    nng_aio_alloc(&channel->aio, NULL, NULL) != 0)
		box_bug("no context for a bus call");
	/* Else nng sends again by itself: after 60 s, and at once when the connection breaks. */
	if (nng_ctx_set_ms(channel->ctx, NNG_OPT_REQ_RESENDTIME, NNG_DURATION_INFINITE) != 0)
		box_bug("nng resends and cannot be told not to");
	return channel;
}

static void channel_release(struct slot *slot, struct channel *channel)
{
	(void)pthread_mutex_lock(&slot->client->lock);
	channel->next = slot->idle;
	slot->idle = channel;
	(void)pthread_mutex_unlock(&slot->client->lock);
}

/* ---- the manager ---------------------------------------------------------------------------- */

static int dialer_open(struct slot *slot)
{
	int r = nng_dialer_create(&slot->dialer, slot->socket, slot->addr);

	if (r != 0)
		return r;
	slot->has_dialer = true;
	(void)nng_dialer_set_ms(slot->dialer, NNG_OPT_RECONNMINT, RECONNECT_MIN_MS);
	(void)nng_dialer_set_ms(slot->dialer, NNG_OPT_RECONNMAXT, RECONNECT_MAX_MS);
	(void)nng_dialer_set_bool(slot->dialer, NNG_OPT_TCP_NODELAY, true);
	(void)nng_dialer_set_bool(slot->dialer, NNG_OPT_TCP_KEEPALIVE, true);
	return nng_dialer_start(slot->dialer, NNG_FLAG_NONBLOCK);
}

/* Called and returns with the lock held; lets go of it around nng. */
static void slot_open(struct client *c, struct slot *slot)
{
	int r;

	(void)pthread_mutex_unlock(&c->lock);
	r = dialer_open(slot);
	if (r != 0)
		log_warn("bus.dial_failed", F_STR("addr", slot->addr),
			 F_STR("reason", nng_strerror(r)));
	(void)pthread_mutex_lock(&c->lock);
	slot->state = r == 0 ? SLOT_OPEN : SLOT_RETIRING;
	(void)pthread_cond_broadcast(&c->changed);
}

/* The old peer's connection is gone for certain before the next address may use the slot. */
static void slot_close(struct client *c, struct slot *slot)
{
	if (slot->has_dialer) {
		(void)pthread_mutex_unlock(&c->lock);
		(void)nng_dialer_close(slot->dialer);
		(void)pthread_mutex_lock(&c->lock);
		slot->has_dialer = false;
	}
	if (slot->pipes > 0)
		return;
	slot->state = SLOT_FREE;
	slot->addr[0] = '\0';
	(void)pthread_cond_broadcast(&c->changed);
}

static void slot_manage(struct client *c, struct slot *slot)
{
	if (slot->state == SLOT_OPEN && slot->pipes == 0 && slot->in_flight == 0 &&
	    clock_mono_ms() > slot->used_ms + IDLE_RETIRE_MS)
		slot->state = SLOT_RETIRING;
	if (slot->state == SLOT_WANTED)
		slot_open(c, slot);
	if (slot->state == SLOT_RETIRING && slot->in_flight == 0)
		slot_close(c, slot);
}

static void *manager_run(void *arg)
{
	struct client *c = arg;

	(void)pthread_mutex_lock(&c->lock);
	while (!c->is_stopping) {
		for (uint32_t i = 0; i < c->count; i++)
			slot_manage(c, &c->slots[i]);
		if (!c->is_stopping)
			bus_sync_wait(&c->lock, &c->changed, 1000);
	}
	(void)pthread_mutex_unlock(&c->lock);
	return NULL;
}

static int slot_start(struct client *c, struct slot *slot, struct err *err)
{
	int r;

	slot->client = c;
	r = nng_req0_open(&slot->socket);
	if (r == 0)
		r = nng_socket_set_size(slot->socket, NNG_OPT_RECVMAXSZ, BUS_RECV_MAX);
	if (r == 0)
		r = nng_socket_set_ms(slot->socket, NNG_OPT_REQ_RESENDTIME, NNG_DURATION_INFINITE);
	if (r == 0)
		r = nng_pipe_notify(slot->socket, NNG_PIPE_EV_ADD_POST, on_pipe, slot);
	if (r == 0)
		r = nng_pipe_notify(slot->socket, NNG_PIPE_EV_REM_POST, on_pipe, slot);
	if (r != 0)
		return err_set(err, ERR_UNAVAILABLE, "the bus cannot open its sockets: %s",
			       nng_strerror(r));
	return 0;
}

int client_start(struct bus *b, uint32_t slots, struct err *err)
{
	struct client *c = mem_alloc(sizeof(*c));

	b->client = c;
	bus_sync_init(&c->lock, &c->changed);
	c->slots = mem_alloc_array(slots, sizeof(*c->slots));
	c->count = slots;
	for (uint32_t i = 0; i < slots; i++) {
		int r = slot_start(c, &c->slots[i], err);

		if (r < 0)
			return r;
	}
	c->manager = bus_thread("bus-dial", manager_run, c);
	return 0;
}

void client_stop(struct bus *b)
{
	struct client *c = b->client;

	(void)pthread_mutex_lock(&c->lock);
	c->is_stopping = true;
	(void)pthread_cond_broadcast(&c->changed);
	(void)pthread_mutex_unlock(&c->lock);
	(void)pthread_join(c->manager, NULL);
}

/* ---- sealing a question, opening its answer ------------------------------------------------- */

/* Payload of a request frame.  remaining_ms is counted from now. */
static int question_pack(const struct bus *b, const struct bus_question *q,
			 const ProtobufCMessage *request, const struct bus_call_opts *opts,
			 uint32_t remaining_ms, struct buf *ret)
{
	PB(Request) envelope = MCPBOX__V1__REQUEST__INIT;
	BOX_CLEANUP(mem_freep) uint8_t *body = NULL;
	int64_t registry_now = bus_registry_now(b);
	uint8_t *room;
	size_t len;

	body = msg_pack(request, &len);
	envelope.request_id = pb_bytes(q->request_id, sizeof(q->request_id));
	envelope.remaining_ms = remaining_ms;
	envelope.deadline_registry_unix_ms = registry_now ? registry_now + remaining_ms : 0;
	envelope.principal = (PB(Principal) *)(uintptr_t)bus_principal(opts->principal);
	if (opts->traceparent)
		envelope.traceparent = (char *)(uintptr_t)opts->traceparent;
	envelope.body = pb_bytes(body, len);
	len = protobuf_c_message_get_packed_size(&envelope.base);
	room = buf_grow(ret, len);
	if (!room)
		return -ERR_TOO_LARGE;
	ret->len += protobuf_c_message_pack(&envelope.base, room);
	return 0;
}

static int question_seal(struct bus *b, struct bus_question *q, const ProtobufCMessage *request,
			 const struct bus_call_opts *opts, uint32_t remaining_ms,
			 struct buf *ret_frame, struct err *err)
{
	struct frame_header h = {
		.kind = FRAME_REQUEST,
		.msg = q->msg,
		.key_generation = keys_generation(b->keys),
		.from = b->self,
		.to = q->to.role,
	};
	struct buf payload = BUF_INIT(FRAME_MAX);
	int r = question_pack(b, q, request, opts, remaining_ms, &payload);

	if (r == 0) {
		q->counter = bus_next_counter(b);
		h.counter = q->counter;
		memcpy(h.from_boot, b->boot_id, BOOT_ID_SIZE);
		memcpy(h.to_boot, q->to.boot_id, BOOT_ID_SIZE);
		memcpy(h.request_id, q->request_id, REQUEST_ID_SIZE);
		r = frame_seal(b->keys, &h, payload.data, payload.len, ret_frame);
	}
	buf_done(&payload);
	if (r == -ERR_DENIED)
		return err_set(err, ERR_DENIED, "no key for asking %s", role_name(q->to.role));
	if (r < 0)
		return err_set(err, ERR_TOO_LARGE, "the request is too large for one message");
	return 0;
}

static void question_init(struct bus_question *q, const struct bus_target *to, uint16_t msg,
			  const struct bus_call_opts *opts)
{
	memset(q, 0, sizeof(*q));
	q->to = *to;
	q->msg = msg;
	if (opts->request_id)
		memcpy(q->request_id, opts->request_id, REQUEST_ID_SIZE);
	else
		crypto_random(q->request_id, REQUEST_ID_SIZE);
}

int bus_question_seal(struct bus *b, const struct bus_target *to, uint16_t msg,
		      const ProtobufCMessage *request, const struct bus_call_opts *opts,
		      struct bus_question *ret_q, struct buf *ret_frame, struct err *err)
{
	static const struct bus_call_opts none;

	if (!opts)
		opts = &none;
	question_init(ret_q, to, msg, opts);
	return question_seal(b, ret_q, request, opts,
			     opts->timeout_ms ? opts->timeout_ms : DEFAULT_TIMEOUT_MS, ret_frame,
			     err);
}

static void text_copy(char *to, size_t size, ProtobufCBinaryData from)
{
	size_t len = from.len < size ? from.len : size - 1;

	/* Cut between characters, not within one. */
	if (len < from.len)
		while (len > 0 && (from.data[len] & 0xc0) == 0x80)
			len--;
	if (len > 0)
		memcpy(to, from.data, len);
	to[len] = '\0';
}

static int reply_error(const PB(Error) * e, struct err *err)
{
	enum err_code code = e->code > ERR_OK && e->code < ERR_CODE_COUNT ? (enum err_code)e->code
									  : ERR_INTERNAL;

	if (!err)
		return -code;
	(void)err_set(err, code, "%s", "");
	text_copy(err->text, sizeof(err->text), e->text);
	(void)snprintf(err->field, sizeof(err->field), "%s", e->field);
	text_copy(err->hint, sizeof(err->hint), e->hint);
	if (e->current_json.len > 0)
		err->current_json =
			mem_strndup((const char *)e->current_json.data, e->current_json.len);
	return -code;
}

static int reply_unpack(struct bus_question *q, const struct buf *payload,
			ProtobufCMessage **ret_reply, struct err *err)
{
	BOX_CLEANUP(msg_freep) ProtobufCMessage *envelope = NULL;
	const struct msg_row *row = msg_row(q->msg);
	const PB(Reply) * reply;

	if (msg_unpack(&mcpbox__v1__reply__descriptor, payload->data, payload->len, &envelope) < 0)
		return err_set(err, ERR_INTERNAL, "%s answered with something unreadable",
			       role_name(q->to.role));
	reply = (const PB(Reply) *)envelope;
	if (reply->error)
		return reply_error(reply->error, err);
	if (!row || msg_unpack(row->reply, reply->body.data, reply->body.len, ret_reply) < 0)
		return err_set(err, ERR_INTERNAL, "%s answered with something unreadable",
			       role_name(q->to.role));
	return 0;
}

/* Is it the answer to this very question, of the peer that was asked? */
static bool reply_matches(const struct bus *b, const struct bus_question *q,
			  const struct frame_header *h)
{
	return h->kind == FRAME_REPLY && h->from == q->to.role && h->msg == q->msg &&
	       h->reply_to == q->counter && memcmp(h->to_boot, b->boot_id, BOOT_ID_SIZE) == 0 &&
	       memcmp(h->request_id, q->request_id, REQUEST_ID_SIZE) == 0;
}

/*
 * -ERR_UNKNOWN_OUTCOME when the bytes are no answer to this question.  q->to.boot_id becomes the
 * boot id of who answered.
 */
static int answer_open(struct bus *b, struct bus_question *q, const void *frame, size_t len,
		       ProtobufCMessage **ret_reply, struct err *err)
{
	struct buf payload = BUF_INIT(FRAME_MAX);
	struct frame_header h;
	int r = frame_open(b->keys, b->self, frame, len, &h, &payload);

	if (r < 0 || !reply_matches(b, q, &h)) {
		answering_refuse(b, r < 0 ? answering_cause(r) : REFUSED_REPLAY,
				 q->to.addr ? q->to.addr : role_name(q->to.role));
		buf_done(&payload);
		return err_set(
			err, ERR_UNKNOWN_OUTCOME,
			"the answer of %s was not genuine; the request may or may not have run",
			role_name(q->to.role));
	}
	r = reply_unpack(q, &payload, ret_reply, err);
	buf_done(&payload);
	memcpy(q->to.boot_id, h.from_boot, BOOT_ID_SIZE);
	if (h.from == ROLE_REGISTRY)
		news_registry_heard(b, h.from_boot);
	return r;
}

int bus_question_open(struct bus *b, struct bus_question *q, const void *frame, size_t len,
		      ProtobufCMessage **ret_reply, struct err *err)
{
	return answer_open(b, q, frame, len, ret_reply, err);
}

/* ---- calls ---------------------------------------------------------------------------------- */

struct call {
	struct bus *bus;
	struct bus_question question;
	const ProtobufCMessage *request;
	const struct bus_call_opts *opts;
	uint64_t deadline_ms;
	uint32_t stale_repeats;
	bool was_sent; /* an earlier attempt may have run */
};

static int call_fail_unsent(const struct call *call, struct err *err)
{
	const char *peer = role_name(call->question.to.role);

	if (call->was_sent)
		return err_set(err, ERR_UNKNOWN_OUTCOME,
			       "the connection to %s broke; the request may or may not have run",
			       peer);
	return err_set(err, ERR_UNAVAILABLE, "%s does not answer; nothing was done", peer);
}

/* Hand the frame over.  After success it counts as sent, whatever becomes of the connection. */
static int channel_send(struct channel *channel, const struct buf *frame, uint32_t timeout_ms)
{
	nng_msg *m;
	int r;

	if (nng_msg_alloc(&m, 0) != 0)
		box_bug("no memory for a message");
	if (nng_msg_append(m, frame->data, frame->len) != 0)
		box_bug("no memory for a message");
	nng_aio_set_timeout(channel->aio, (nng_duration)timeout_ms);
	nng_aio_set_msg(channel->aio, m);
	nng_ctx_send(channel->ctx, channel->aio);
	nng_aio_wait(channel->aio);
	r = nng_aio_result(channel->aio);
	if (r != 0) /* still ours */
		nng_msg_free(m);
	return r;
}

static int channel_receive(struct channel *channel, uint32_t timeout_ms, nng_msg **ret)
{
	int r;

	nng_aio_set_timeout(channel->aio, (nng_duration)timeout_ms);
	/* Only after the send finished: cancelling a receive before that crashes (nng#1702). */
	nng_ctx_recv(channel->ctx, channel->aio);
	nng_aio_wait(channel->aio);
	r = nng_aio_result(channel->aio);
	if (r == 0)
		*ret = nng_aio_get_msg(channel->aio);
	return r;
}

static int call_exchange(struct call *call, struct slot *slot, struct channel *channel,
			 ProtobufCMessage **ret_reply, struct err *err)
{
	struct bus_question *q = &call->question;
	struct buf frame = BUF_INIT(FRAME_MAX);
	uint32_t left = remaining(call->deadline_ms);
	nng_msg *answer = NULL;
	int r;

	slot_get_boot(slot, q->to.boot_id);
	r = question_seal(call->bus, q, call->request, call->opts, left, &frame, err);
	if (r < 0) {
		buf_done(&frame);
		return r;
	}
	r = channel_send(channel, &frame, left < CONNECT_WAIT_MS ? left + 1 : CONNECT_WAIT_MS);
	buf_done(&frame);
	if (r != 0)
		return call_fail_unsent(call, err);
	r = channel_receive(channel, remaining(call->deadline_ms) + 1, &answer);
	if (r != 0) {
		bool is_late = r == NNG_ETIMEDOUT;

		call->was_sent = true;
		return err_set(
			err, ERR_UNKNOWN_OUTCOME,
			is_late ? "%s did not answer in time; the request may or may not have run"
				: "the connection to %s broke; the request may or may not have run",
			role_name(q->to.role));
	}
	r = answer_open(call->bus, q, nng_msg_body(answer), nng_msg_len(answer), ret_reply, err);
	nng_msg_free(answer);
	if (r == -ERR_UNKNOWN_OUTCOME)
		call->was_sent = true;
	else
		slot_set_boot(slot, q->to.boot_id);
	return r;
}

static int call_attempt(struct call *call, const char *addr, ProtobufCMessage **ret_reply,
			struct err *err)
{
	/* Who was reached before is waited for until the deadline: it is coming back. */
	uint64_t wait_until = clock_mono_ms() + CONNECT_WAIT_MS;
	struct channel *channel;
	struct slot *slot;
	int r;

	if (wait_until > call->deadline_ms || call->was_sent)
		wait_until = call->deadline_ms;
	r = slot_take(call->bus->client, addr, wait_until, &slot);
	if (r == -ERR_BUSY)
		return err_set(err, ERR_BUSY, "too many peers at once (MCPBOX_BUS_PEERS)");
	if (r < 0)
		return call_fail_unsent(call, err);
	channel = channel_take(slot);
	r = call_exchange(call, slot, channel, ret_reply, err);
	channel_release(slot, channel);
	slot_release(slot);
	return r;
}

/* May this result be followed by another attempt? */
static bool call_repeats(struct call *call, int r)
{
	if (r == -ERR_STALE_PEER) /* nothing was done; the right boot id is known now */
		return call->stale_repeats++ < STALE_REPEATS_MAX;
	if (r != -ERR_UNKNOWN_OUTCOME || !call->opts->repeatable ||
	    remaining(call->deadline_ms) <= REPEAT_PAUSE_MS)
		return false;
	clock_sleep_ms(REPEAT_PAUSE_MS);
	return true;
}

static int call_run(struct call *call, const char *addr, ProtobufCMessage **ret_reply,
		    struct err *err)
{
	int r;

	do {
		if (remaining(call->deadline_ms) == 0)
			return call->was_sent
				       ? call_fail_unsent(call, err)
				       : err_set(err, ERR_DEADLINE,
						 "the time was over before the request was sent");
		r = call_attempt(call, addr, ret_reply, err);
	} while (r < 0 && call_repeats(call, r));
	if (r == -ERR_STALE_PEER)
		return err_set(err, ERR_UNAVAILABLE, "%s keeps restarting; nothing was done",
			       role_name(call->question.to.role));
	return r;
}

static bool is_control_message(uint16_t msg)
{
	return msg == MSG_RENEW_LEASE || msg == MSG_GET_STATUS || msg == MSG_LEAVE;
}

/* The registry has several places; one that cannot be reached hands on to the next. */
static int call_run_registry(struct call *call, ProtobufCMessage **ret_reply, struct err *err)
{
	struct bus *b = call->bus;
	enum bus_port port =
		is_control_message(call->question.msg) ? BUS_PORT_CONTROL : BUS_PORT_WORK;
	int r = -ERR_UNAVAILABLE;

	for (uint32_t tries = 0; tries < b->place_count && r == -ERR_UNAVAILABLE; tries++) {
		uint32_t place = atomic_load(&b->place);
		char addr[BUS_ADDR_SIZE];

		bus_registry_url(b, place, port, addr);
		r = call_run(call, addr, ret_reply, err);
		if (r == -ERR_UNAVAILABLE && b->place_count > 1)
			atomic_compare_exchange_strong(&b->place, &place,
						       (place + 1) % b->place_count);
	}
	return r;
}

int bus_call(struct bus *b, const struct bus_target *to, uint16_t msg,
	     const ProtobufCMessage *request, const struct bus_call_opts *opts,
	     ProtobufCMessage **ret_reply, struct err *err)
{
	static const struct bus_call_opts none;
	struct call call = {
		.bus = b,
		.request = request,
		.opts = opts ? opts : &none,
	};
	int r;

	question_init(&call.question, to, msg, call.opts);
	call.deadline_ms = clock_mono_ms() +
			   (call.opts->timeout_ms ? call.opts->timeout_ms : DEFAULT_TIMEOUT_MS);
	if (!to->addr) {
		box_assert(to->role == ROLE_REGISTRY);
		return call_run_registry(&call, ret_reply, err);
	}
	r = bus_check_address(to->addr, err);
	return r < 0 ? r : call_run(&call, to->addr, ret_reply, err);
}

int bus_ask_registry(struct bus *b, uint16_t msg, const ProtobufCMessage *request,
		     const struct bus_call_opts *opts, ProtobufCMessage **ret_reply,
		     struct err *err)
{
	static const struct bus_target registry = { .role = ROLE_REGISTRY };

	return bus_call(b, &registry, msg, request, opts, ret_reply, err);
}
