/*
 * Answering, from bytes to bytes: frame, replay window, boot id, row, deadline, message, rights, handler.
 * Each step either answers or passes on; a frame that does not prove its sender gets nothing.
 */
#include <string.h>

#include "bus_internal.h"
#include "clock.h"
#include "mem.h"

#define PEERS_MAX    4096 /* of one role */
#define PEER_BUCKETS 4096

struct peer {
	struct peer *next; /* in its bucket */
	struct peer *newer, *older;
	enum bus_role role;
	uint8_t boot_id[BOOT_ID_SIZE];
	struct frame_window window;
};

/* The starts of one role that were heard of, in the order of their last frame. */
struct peers_of_role {
	struct peer *newest, *oldest;
	uint32_t count;
};

/* One for all sockets of a process: a frame may not be played again on another one. */
struct answering {
	pthread_mutex_t lock;
	struct peer *peers[PEER_BUCKETS];       /* guarded by lock */
	struct peers_of_role roles[ROLE_COUNT]; /* guarded by lock */
};

void answering_init(struct bus *b)
{
	b->answering = mem_alloc(sizeof(*b->answering));
	(void)pthread_mutex_init(&b->answering->lock, NULL);
}

/* ---- replay --------------------------------------------------------------------------------- */

static struct peer **peer_bucket(struct answering *a, const uint8_t boot_id[BOOT_ID_SIZE])
{
	/* Boot ids are random and arrive under a seal, so their own bytes spread well. */
	return &a->peers[(boot_id[0] | (unsigned)boot_id[1] << 8) % PEER_BUCKETS];
}

static struct peer *peer_find(struct answering *a, const struct frame_header *h)
{
	struct peer *peer = *peer_bucket(a, h->from_boot);

	while (peer &&
	       (peer->role != h->from || memcmp(peer->boot_id, h->from_boot, BOOT_ID_SIZE) != 0))
		peer = peer->next;
	return peer;
}

static void peer_unlink(struct peers_of_role *role, struct peer *peer)
{
	*(peer->newer ? &peer->newer->older : &role->newest) = peer->older;
	*(peer->older ? &peer->older->newer : &role->oldest) = peer->newer;
}

static void peer_link(struct peers_of_role *role, struct peer *peer)
{
	peer->newer = NULL;
	peer->older = role->newest;
	*(role->newest ? &role->newest->newer : &role->oldest) = peer;
	role->newest = peer;
}

/*
 * Frames of a start that was forgotten could be played again.  To have one forgotten takes frames of more starts of its
 * role than there ever are, hence that role's key, with which one may send what one likes anyway; so a
 * flood costs the role whose key is in wrong hands, and no other one.
 */
static struct peer *peer_forget_oldest(struct answering *a, struct peers_of_role *role)
{
	struct peer *peer = role->oldest;
	struct peer **at = peer_bucket(a, peer->boot_id);

	while (*at != peer)
		at = &(*at)->next;
	*at = peer->next;
	peer_unlink(role, peer);
	memset(peer, 0, sizeof(*peer));
	return peer;
}

static struct peer *peer_add(struct answering *a, const struct frame_header *h)
{
	struct peers_of_role *role = &a->roles[h->from];
	struct peer **bucket = peer_bucket(a, h->from_boot);
	struct peer *peer;

	if (role->count == PEERS_MAX) {
		peer = peer_forget_oldest(a, role);
	} else {
		peer = mem_alloc(sizeof(*peer));
		role->count++;
	}
	peer->role = h->from;
	memcpy(peer->boot_id, h->from_boot, BOOT_ID_SIZE);
	peer->next = *bucket;
	*bucket = peer;
	peer_link(role, peer);
	return peer;
}

/* REFUSED_COUNT: fresh. */
static enum bus_refusal replay_judge(struct answering *a, const struct frame_header *h)
{
	struct peers_of_role *role = &a->roles[h->from];
	struct peer *peer;
	bool is_fresh;

	(void)pthread_mutex_lock(&a->lock);
	peer = peer_find(a, h);
	if (!peer)
		peer = peer_add(a, h);
	if (role->newest != peer) {
		peer_unlink(role, peer);
		peer_link(role, peer);
	}
	is_fresh = frame_window_accept(&peer->window, h->counter);
	(void)pthread_mutex_unlock(&a->lock);
	return is_fresh ? REFUSED_COUNT : REFUSED_REPLAY;
}

/* ---- one request ---------------------------------------------------------------------------- */

struct question {
	struct bus *bus;
	const struct bus_server *server;
	const char *remote;
	_Atomic uint32_t *in_flight; /* handlers at work on this socket; NULL: not limited */
	uint64_t arrived_ms;
	struct frame_header header;
	struct buf payload; /* packed Request */
	const PB(Request) * envelope;
	const struct bus_route *route;
	const struct msg_row *row;
};

enum bus_refusal bus_refusal_of(int r)
{
	switch (r) {
	case -ERR_DENIED:
		return REFUSED_SEAL;
	case -ERR_UNSUPPORTED:
		return REFUSED_VERSION;
	default:
		return REFUSED_SHAPE;
	}
}

/* It was sealed for this start of ours.  Others are only told so, which may be done again and again; so they need not be
 * remembered. */
static bool question_is_ours(const struct question *q)
{
	return memcmp(q->header.to_boot, q->bus->boot_id, BOOT_ID_SIZE) == 0;
}

static int question_open(struct question *q, const void *frame, size_t len)
{
	struct bus *b = q->bus;
	enum bus_refusal refusal = REFUSED_COUNT;
	int r = frame_open(b->keys, b->self, frame, len, &q->header, &q->payload);

	if (r < 0)
		refusal = bus_refusal_of(r);
	else if (q->header.kind != FRAME_REQUEST)
		refusal = REFUSED_SHAPE;
	else if (question_is_ours(q))
		refusal = replay_judge(b->answering, &q->header);
	if (refusal == REFUSED_COUNT)
		return 0;
	bus_refuse(b, refusal, q->remote);
	return -ERR_DENIED;
}

static const struct bus_route *route_find(const struct bus_server *server, uint16_t msg)
{
	for (size_t i = 0; i < server->route_count; i++)
		if (server->routes[i].msg == msg)
			return &server->routes[i];
	return NULL;
}

/* What can be said before the payload is read. */
static int question_admit(struct question *q, struct err *err)
{
	if (!question_is_ours(q))
		return err_set(err, ERR_STALE_PEER,
			       "the request was for an earlier start; nothing was done");
	q->row = msg_row(q->header.msg);
	q->route = route_find(q->server, q->header.msg);
	if (!q->row || !q->route)
		return err_set(err, ERR_UNSUPPORTED, "%s does not answer this message",
			       role_name(q->bus->self));
	if (!(q->route->callers & FROM(q->header.from))) {
		bus_refuse(q->bus, REFUSED_ROLE, q->remote);
		return err_set(err, ERR_DENIED, "%s may not send %s", role_name(q->header.from),
			       q->row->name);
	}
	return 0;
}

/* When the answer stops being of use, on our monotonic clock; in the past when it already has. */
static uint64_t question_deadline(const struct question *q)
{
	uint64_t deadline = q->arrived_ms + q->envelope->remaining_ms;
	int64_t registry_now = bus_registry_now(q->bus);
	int64_t absolute = q->envelope->deadline_registry_unix_ms;
	uint64_t now = clock_mono_ms();

	if (registry_now == 0 || absolute == 0)
		return deadline;
	/* The frame may have lain in a queue while this process or its host stood still. */
	if (absolute <= registry_now)
		return now;
	if ((uint64_t)(absolute - registry_now) < deadline - q->arrived_ms)
		return now + (uint64_t)(absolute - registry_now);
	return deadline;
}

static int question_handle(struct question *q, struct bus_request *rq, struct err *err)
{
	int r = 0;

	if (q->server->authorize)
		r = q->server->authorize(rq, q->route->right, err);
	if (r == 0)
		r = q->route->handler(rq, err);
	if (q->server->finished)
		q->server->finished(rq);
	return r;
}

static int question_run(struct question *q, struct buf *out, struct err *err)
{
	const PB(Request) *envelope = q->envelope;
	BOX_CLEANUP(msg_freep) ProtobufCMessage *in = NULL;
	struct bus_request rq = {
		.service = q->server->service,
		.from = q->header.from,
		.remote = q->remote,
		.msg = q->header.msg,
		.from_boot = q->header.from_boot,
		.request_id = q->header.request_id,
		.principal = bus_principal(envelope->principal),
		.deadline_mono_ms = question_deadline(q),
		.traceparent = envelope->traceparent,
		.in_bytes = envelope->body.data,
		.in_len = envelope->body.len,
		.out = out,
	};

	if (rq.deadline_mono_ms <= clock_mono_ms())
		return err_set(err, ERR_DEADLINE, "the time was over; nothing was started");
	if (msg_unpack(q->row->request, rq.in_bytes, rq.in_len, &in) < 0)
		return err_set(err, ERR_INVALID, "the message is not a valid %s", q->row->name);
	rq.in = in;
	return question_handle(q, &rq, err);
}

static int question_read(struct question *q, struct buf *out, struct err *err)
{
	BOX_CLEANUP(msg_freep) ProtobufCMessage *envelope = NULL;

	if (msg_unpack(&mcpbox__v1__request__descriptor, q->payload.data, q->payload.len,
		       &envelope) < 0)
		return err_set(err, ERR_INVALID, "the request's envelope is not valid");
	q->envelope = (const PB(Request) *)envelope;
	if (q->envelope->request_id.len != REQUEST_ID_SIZE ||
	    memcmp(q->envelope->request_id.data, q->header.request_id, REQUEST_ID_SIZE) != 0)
		return err_set(err, ERR_INVALID, "the request's envelope is not valid");
	return question_run(q, out, err);
}

/* Counts only genuine questions, so that nobody else can fill the house. */
static int question_answer(struct question *q, struct buf *out, struct err *err)
{
	int r = question_admit(q, err);

	if (r < 0)
		return r;
	if (q->in_flight && atomic_fetch_add(q->in_flight, 1) >= q->server->capacity)
		r = err_set(err, ERR_BUSY, "%s is busy; nothing was started",
			    role_name(q->bus->self));
	if (r == 0)
		r = question_read(q, out, err);
	if (q->in_flight)
		atomic_fetch_sub(q->in_flight, 1);
	return r;
}

void bus_answer(struct bus_request *rq, const ProtobufCMessage *reply)
{
	size_t len = protobuf_c_message_get_packed_size(reply);
	uint8_t *room;

	buf_clear(rq->out);
	room = buf_grow(rq->out, len);
	if (room)
		rq->out->len += protobuf_c_message_pack(reply, room);
}

/* ---- the reply ------------------------------------------------------------------------------ */

static void reply_set_error(PB(Error) * e, int r, const struct err *err)
{
	e->code = (uint32_t)-r;
	e->text = pb_text(err->text);
	e->field = (char *)(uintptr_t)err->field;
	e->hint = pb_text(err->hint);
	e->current_json = pb_text(err->current_json);
}

static int reply_seal(const struct question *q, const PB(Reply) * reply, struct buf *ret_frame)
{
	struct frame_header h = {
		.kind = FRAME_REPLY,
		.msg = q->header.msg,
		.key_generation = q->header.key_generation, /* what the asker holds for certain */
		.from = q->bus->self,
		.to = q->header.from,
		.counter = bus_next_counter(q->bus, q->header.from),
		.reply_to = q->header.counter,
	};
	size_t len = protobuf_c_message_get_packed_size(&reply->base);
	struct buf payload = BUF_INIT(FRAME_MAX);
	uint8_t *room = buf_grow(&payload, len);
	int r = -ERR_TOO_LARGE;

	memcpy(h.from_boot, q->bus->boot_id, BOOT_ID_SIZE);
	memcpy(h.to_boot, q->header.from_boot, BOOT_ID_SIZE);
	memcpy(h.request_id, q->header.request_id, REQUEST_ID_SIZE);
	if (room) {
		payload.len += protobuf_c_message_pack(&reply->base, room);
		r = frame_seal(q->bus->keys, &h, payload.data, payload.len, ret_frame);
	}
	buf_done(&payload);
	return r;
}

static int reply_frame(struct question *q, int r, const struct buf *out, struct err *err,
		       struct buf *ret_frame)
{
	PB(Reply) reply = MCPBOX__V1__REPLY__INIT;
	PB(Error) error = MCPBOX__V1__ERROR__INIT;

	if (r == 0 && out->is_over)
		r = err_set(err, ERR_TOO_LARGE, "the answer is too large for one message");
	reply.request_id = pb_bytes(q->header.request_id, REQUEST_ID_SIZE);
	if (r < 0) {
		reply_set_error(&error, r, err);
		reply.error = &error;
	} else {
		reply.body = pb_bytes(out->data, out->len);
	}
	r = reply_seal(q, &reply, ret_frame);
	if (r != -ERR_TOO_LARGE || reply.error)
		return r;
	(void)err_set(err, ERR_TOO_LARGE, "the answer is too large for one message");
	reply_set_error(&error, -ERR_TOO_LARGE, err);
	reply.error = &error;
	reply.body = pb_bytes(NULL, 0);
	return reply_seal(q, &reply, ret_frame);
}

int answer_frame(struct bus *b, const struct bus_server *server, const void *frame, size_t len,
		 const struct answer_way *way, struct buf *ret_reply)
{
	struct question q = {
		.bus = b,
		.server = server,
		.remote = way->remote,
		.in_flight = way->in_flight,
		.arrived_ms = clock_mono_ms(),
		.payload = BUF_INIT(FRAME_MAX),
	};
	struct buf out = BUF_INIT(FRAME_MAX);
	struct err err = { 0 };
	int r = question_open(&q, frame, len);

	if (r == 0 && way->on_genuine)
		way->on_genuine(way->arg);
	if (r == 0) {
		r = question_answer(&q, &out, &err);
		r = reply_frame(&q, r, &out, &err, ret_reply);
	}
	buf_done(&q.payload);
	buf_done(&out);
	err_done(&err);
	return r < 0 ? -ERR_DENIED : 0;
}

int bus_answer_frame(struct bus *b, const struct bus_server *server, const void *frame, size_t len,
		     const char *remote, struct buf *ret_reply)
{
	const struct answer_way way = { .remote = remote };

	return answer_frame(b, server, frame, len, &way, ret_reply);
}
