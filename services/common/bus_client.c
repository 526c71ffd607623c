/* Asking: seal, exchange on a slot, open the answer; repeat what may be repeated. */
#include <stdio.h>
#include <string.h>

#include "bus_internal.h"
#include "bus_lines.h"
#include "bus_slots.h"
#include "bus_tls.h"
#include "clock.h"
#include "crypto.h"
#include "mem.h"

#define DEFAULT_TIMEOUT_MS 5000
#define CONNECT_WAIT_MS    1000 /* a peer that is down is reported after this, not at the deadline */
#define STALE_REPEATS_MAX  3
#define REPEAT_PAUSE_MS    20
#define BUSY_PAUSE_MIN_MS  2
#define BUSY_PAUSE_MAX_MS  20

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
		q->counter = bus_next_counter(b, q->to.role);
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
int bus_question_open(struct bus *b, struct bus_question *q, const void *frame, size_t len,
		      ProtobufCMessage **ret_reply, struct err *err)
{
	struct buf payload = BUF_INIT(FRAME_MAX);
	struct frame_header h;
	int r = frame_open(b->keys, b->self, frame, len, &h, &payload);

	if (r < 0 || !reply_matches(b, q, &h)) {
		bus_refuse(b, r < 0 ? bus_refusal_of(r) : REFUSED_REPLAY,
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

/* ---- calls ---------------------------------------------------------------------------------- */

struct call {
	struct bus *bus;
	struct bus_question question;
	const ProtobufCMessage *request;
	const struct bus_call_opts *opts;
	uint64_t deadline_ms;
	uint32_t stale_repeats;
	bool was_sent; /* an earlier attempt may have run */
	bool is_gone;  /* it cannot be reached and will not come back */
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

static int call_fail_sent(struct call *call, enum exchange result, struct err *err)
{
	call->was_sent = true;
	return err_set(err, ERR_UNKNOWN_OUTCOME,
		       result == EXCHANGE_LATE
			       ? "%s did not answer in time; the request may or may not have run"
			       : "the connection to %s broke; the request may or may not have run",
		       role_name(call->question.to.role));
}

static int call_open_answer(struct call *call, struct slot *slot, struct slot_answer *answer,
			    ProtobufCMessage **ret_reply, struct err *err)
{
	struct bus_question *q = &call->question;
	int r = bus_question_open(call->bus, q, answer->data, answer->len, ret_reply, err);

	slot_answer_done(answer);
	if (r == -ERR_UNKNOWN_OUTCOME)
		call->was_sent = true;
	else
		slot_set_boot(slot, q->to.boot_id);
	return r;
}

static int call_exchange(struct call *call, struct slot *slot, ProtobufCMessage **ret_reply,
			 struct err *err)
{
	struct bus_question *q = &call->question;
	uint32_t left = bus_remaining_ms(call->deadline_ms);
	struct buf frame = BUF_INIT(FRAME_MAX);
	struct slot_answer answer;
	enum exchange result;
	int r;

	slot_get_boot(slot, q->to.boot_id);
	r = question_seal(call->bus, q, call->request, call->opts, left, &frame, err);
	if (r < 0) {
		buf_done(&frame);
		return r;
	}
	result = slot_exchange(slot, &frame, left < CONNECT_WAIT_MS ? left + 1 : CONNECT_WAIT_MS,
			       call->deadline_ms, &answer);
	buf_done(&frame);
	if (result == EXCHANGE_NOT_SENT)
		return call_fail_unsent(call, err);
	if (result != EXCHANGE_ANSWERED)
		return call_fail_sent(call, result, err);
	return call_open_answer(call, slot, &answer, ret_reply, err);
}

/* The same on a line, whose asker knows whom it asks. */
static int call_over_line(struct call *call, struct line *line, ProtobufCMessage **ret_reply,
			  struct err *err)
{
	struct bus_question *q = &call->question;
	struct buf frame = BUF_INIT(FRAME_MAX);
	struct slot_answer answer = { 0 };
	enum exchange result = EXCHANGE_NOT_SENT;
	int r = question_seal(call->bus, q, call->request, call->opts,
			      bus_remaining_ms(call->deadline_ms), &frame, err);

	if (r == 0)
		result = line_exchange(line, &frame, call->deadline_ms, &answer);
	buf_done(&frame);
	if (r == 0 && result == EXCHANGE_NOT_SENT)
		r = call_fail_unsent(call, err);
	else if (r == 0 && result != EXCHANGE_ANSWERED)
		r = call_fail_sent(call, result, err);
	else if (r == 0)
		r = bus_question_open(call->bus, q, answer.data, answer.len, ret_reply, err);
	call->was_sent |= r == -ERR_UNKNOWN_OUTCOME;
	line_give_back(line);
	return r;
}

/* Only the registry has an address for life: an instance of the others that is gone comes back elsewhere. */
static bool peer_comes_back(const struct call *call)
{
	return call->question.to.role == ROLE_REGISTRY;
}

static int call_attempt(struct call *call, const char *addr, ProtobufCMessage **ret_reply,
			struct err *err)
{
	/* Who comes back and was reached before is waited for until the deadline. */
	uint64_t wait_until = clock_mono_ms() + CONNECT_WAIT_MS;
	uint16_t line_port = call->question.to.line_port;
	struct line *line;
	struct slot *slot;
	int r;

	if (line_port && line_take(call->bus->lines, addr, line_port, &line) == 0)
		return call_over_line(call, line, ret_reply, err);
	if (wait_until > call->deadline_ms || (call->was_sent && peer_comes_back(call)))
		wait_until = call->deadline_ms;
	r = slot_take(call->bus->slots, addr, wait_until, &slot);
	if (r == -ERR_BUSY)
		return err_set(err, ERR_BUSY, "too many peers at once (MCPBOX_BUS_PEERS)");
	if (r < 0) {
		call->is_gone = !peer_comes_back(call);
		return call_fail_unsent(call, err);
	}
	r = call_exchange(call, slot, ret_reply, err);
	slot_release(slot);
	return r;
}

/* May this result be followed by another attempt? */
static bool call_repeats(struct call *call, int r)
{
	if (r == -ERR_STALE_PEER) /* nothing was done; the right boot id is known now */
		return call->stale_repeats++ < STALE_REPEATS_MAX;
	if (r != -ERR_UNKNOWN_OUTCOME || !call->opts->repeatable || call->is_gone ||
	    bus_remaining_ms(call->deadline_ms) <= REPEAT_PAUSE_MS)
		return false;
	clock_sleep_ms(REPEAT_PAUSE_MS);
	return true;
}

static int call_run(struct call *call, const char *addr, ProtobufCMessage **ret_reply,
		    struct err *err)
{
	int r;

	do {
		if (bus_remaining_ms(call->deadline_ms) == 0)
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
	r = tls_check_address(b->tls, to->addr, err);
	return r < 0 ? r : call_run(&call, to->addr, ret_reply, err);
}

int bus_ask_registry(struct bus *b, uint16_t msg, const ProtobufCMessage *request,
		     const struct bus_call_opts *opts, ProtobufCMessage **ret_reply,
		     struct err *err)
{
	static const struct bus_target registry = { .role = ROLE_REGISTRY };
	uint64_t until_ms = clock_mono_ms() + (opts ? opts->patience_ms : 0);
	struct err why = { 0 };
	int r;

	/* It answers at once when all of its workers are taken: doors with many clients wait here, not there. */
	for (uint32_t pause_ms = BUSY_PAUSE_MIN_MS;; pause_ms += pause_ms < BUSY_PAUSE_MAX_MS) {
		r = bus_call(b, &registry, msg, request, opts, ret_reply, &why);
		if (r != -ERR_BUSY || clock_mono_ms() + pause_ms >= until_ms)
			break;
		err_done(&why);
		why = (struct err){ 0 };
		clock_sleep_ms(pause_ms);
	}
	if (err)
		*err = why;
	else
		err_done(&why);
	return r;
}
