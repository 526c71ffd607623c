/*
 * Answering: bytes -> frame -> replay window -> boot id -> row -> deadline -> message -> rights ->
 * handler
 * -> bytes.  Each step either answers or passes on; a frame that does not prove its sender gets
 * nothing.
 */
#include <arpa/inet.h>
#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>
#include <stdio.h>
#include <string.h>

#include "bus_internal.h"
#include "clock.h"
#include "crypto.h"
#include "log.h"
#include "mem.h"

#define SPARE_CONTEXTS   16   /* answer BUSY while all of `capacity` are at work */
#define SEND_TIMEOUT_MS  1000 /* a peer that does not read may not hold a thread */
#define PEERS_MAX        65536
#define PEER_BUCKETS     4096
#define REFUSAL_ROWS     128
#define REFUSAL_EVERY_MS 60000
#define SERVERS_MAX      4

struct peer {
	struct peer *next;
	enum bus_role role;
	uint8_t boot_id[BOOT_ID_SIZE];
	struct frame_window window;
};

/* One cause at one address. */
struct refusal {
	bool is_used;
	enum bus_refusal cause;
	char remote[64]; /* without port: each connection has another */
	uint64_t count;  /* since the last report */
	uint64_t reported_ms;
};

struct worker {
	struct serving *serving;
	nng_ctx ctx;
	nng_aio *receive, *send;
	pthread_t thread;
};

struct serving {
	struct bus *bus;
	struct bus_server server;
	char addr[BUS_ADDR_SIZE];
	nng_socket socket;
	nng_listener listener;
	_Atomic uint32_t in_flight;
	struct worker *workers;
	uint32_t worker_count;
};

struct answering {
	pthread_mutex_t peers_lock;
	struct peer *peers[PEER_BUCKETS]; /* guarded by peers_lock */
	uint32_t peer_count;

	_Atomic uint64_t refused[REFUSED_COUNT];
	pthread_mutex_t refusals_lock;
	pthread_cond_t refusals_changed;
	struct refusal refusals[REFUSAL_ROWS]; /* guarded by refusals_lock, like all below */
	void (*on_refused)(void *arg, enum bus_refusal cause, const char *remote, uint64_t count);
	void *on_refused_arg;
	bool is_stopping;
	bool has_reporter;
	pthread_t reporter;

	pthread_mutex_t servers_lock;
	struct serving *servers[SERVERS_MAX]; /* guarded by servers_lock */
	uint32_t server_count;
};

/* ---- refusals ------------------------------------------------------------------------------- */

static const char *const refusal_names[REFUSED_COUNT] = {
	[REFUSED_SHAPE] = "shape",     [REFUSED_SEAL] = "seal", [REFUSED_REPLAY] = "replay",
	[REFUSED_VERSION] = "version", [REFUSED_ROLE] = "role", [REFUSED_PEERS_FULL] = "peers_full",
};

const char *bus_refusal_name(enum bus_refusal cause)
{
	return (unsigned)cause < REFUSED_COUNT ? refusal_names[cause] : "unknown";
}

uint64_t bus_refused(const struct bus *b, enum bus_refusal cause)
{
	return atomic_load(&b->answering->refused[cause]);
}

static struct refusal *refusal_row(struct answering *a, enum bus_refusal cause, const char *remote)
{
	struct refusal *oldest = &a->refusals[0];

	for (size_t i = 0; i < REFUSAL_ROWS; i++) {
		struct refusal *row = &a->refusals[i];

		if (!row->is_used) {
			oldest = row;
			break;
		}
		if (row->cause == cause && strcmp(row->remote, remote) == 0)
			return row;
		/* Rows with nothing to tell make room first; a flood of addresses evicts itself. */
		if (row->count == 0 &&
		    (oldest->count > 0 || row->reported_ms < oldest->reported_ms))
			oldest = row;
	}
	*oldest = (struct refusal){ .is_used = true, .cause = cause };
	(void)snprintf(oldest->remote, sizeof(oldest->remote), "%s", remote);
	return oldest;
}

/* What everybody but the registry does with a refusal: have it audited. */
static void report_to_registry(void *arg, enum bus_refusal cause, const char *remote,
			       uint64_t count)
{
	PB(ReportEventRequest) event = MCPBOX__V1__REPORT_EVENT_REQUEST__INIT;
	struct bus_call_opts opts = { .timeout_ms = 2000, .repeatable = true };
	BOX_CLEANUP(msg_freep) ProtobufCMessage *reply = NULL;
	BOX_CLEANUP(mem_freep) char *detail = NULL;
	struct bus *b = arg;

	detail = mem_printf("{\"cause\":\"%s\",\"count\":%llu,\"instance\":\"%s\"}",
			    bus_refusal_name(cause), (unsigned long long)count, b->instance);
	event.topic = (char *)"bus.refused";
	event.object_kind = (char *)"address";
	event.object_id = (char *)(uintptr_t)remote;
	event.outcome = (char *)"refused";
	event.detail_json = pb_text(detail);
	if (bus_ask_registry(b, MSG_REPORT_EVENT, &event.base, &opts, &reply, NULL) < 0)
		log_warn("bus.refusal_unaudited", F_STR("cause", bus_refusal_name(cause)));
}

void bus_on_refused(struct bus *b,
		    void (*fn)(void *arg, enum bus_refusal cause, const char *remote,
			       uint64_t count),
		    void *arg)
{
	struct answering *a = b->answering;

	(void)pthread_mutex_lock(&a->refusals_lock);
	a->on_refused = fn;
	a->on_refused_arg = arg;
	(void)pthread_mutex_unlock(&a->refusals_lock);
}

static bool refusal_is_due(const struct refusal *row, uint64_t now)
{
	return row->is_used && row->count > 0 &&
	       (row->reported_ms == 0 || now - row->reported_ms >= REFUSAL_EVERY_MS);
}

/* Called and returns with the lock held; lets go of it around the report. */
static void refusal_report(struct answering *a, struct refusal *row, uint64_t now)
{
	void (*fn)(void *, enum bus_refusal, const char *, uint64_t) = a->on_refused;
	void *arg = a->on_refused_arg;
	struct refusal copy = *row;

	row->reported_ms = now;
	row->count = 0;
	(void)pthread_mutex_unlock(&a->refusals_lock);
	log_warn("bus.refused", F_STR("cause", bus_refusal_name(copy.cause)),
		 F_STR("remote", copy.remote), F_UINT("count", copy.count));
	fn(arg, copy.cause, copy.remote, copy.count);
	(void)pthread_mutex_lock(&a->refusals_lock);
}

static void *reporter_run(void *arg)
{
	struct answering *a = arg;

	(void)pthread_mutex_lock(&a->refusals_lock);
	while (!a->is_stopping) {
		for (size_t i = 0; i < REFUSAL_ROWS && !a->is_stopping; i++) {
			uint64_t now = clock_mono_ms();

			if (refusal_is_due(&a->refusals[i], now))
				refusal_report(a, &a->refusals[i], now);
		}
		if (!a->is_stopping)
			bus_sync_wait(&a->refusals_lock, &a->refusals_changed, 1000);
	}
	(void)pthread_mutex_unlock(&a->refusals_lock);
	return NULL;
}

void answering_refuse(struct bus *b, enum bus_refusal cause, const char *remote)
{
	struct answering *a = b->answering;
	char host[64];
	char *colon;

	atomic_fetch_add(&a->refused[cause], 1);
	(void)snprintf(host, sizeof(host), "%s", remote);
	colon = strrchr(host, ':');
	if (colon)
		*colon = '\0';
	(void)pthread_mutex_lock(&a->refusals_lock);
	refusal_row(a, cause, host)->count++;
	if (!a->has_reporter && !a->is_stopping) {
		a->reporter = bus_thread("bus-refusals", reporter_run, a);
		a->has_reporter = true;
	}
	(void)pthread_cond_signal(&a->refusals_changed);
	(void)pthread_mutex_unlock(&a->refusals_lock);
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

static struct peer *peer_add(struct answering *a, const struct frame_header *h)
{
	struct peer **bucket = peer_bucket(a, h->from_boot);
	struct peer *peer;

	/* Never evicted: what was forgotten could be replayed. */
	if (a->peer_count == PEERS_MAX)
		return NULL;
	a->peer_count++;
	peer = mem_alloc(sizeof(*peer));
	peer->role = h->from;
	memcpy(peer->boot_id, h->from_boot, BOOT_ID_SIZE);
	peer->next = *bucket;
	*bucket = peer;
	return peer;
}

/* REFUSED_COUNT: fresh. */
static enum bus_refusal replay_judge(struct answering *a, const struct frame_header *h)
{
	enum bus_refusal refusal = REFUSED_COUNT;
	struct peer *peer;

	(void)pthread_mutex_lock(&a->peers_lock);
	peer = peer_find(a, h);
	if (!peer)
		peer = peer_add(a, h);
	if (!peer)
		refusal = REFUSED_PEERS_FULL;
	else if (!frame_window_accept(&peer->window, h->counter))
		refusal = REFUSED_REPLAY;
	(void)pthread_mutex_unlock(&a->peers_lock);
	return refusal;
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

enum bus_refusal answering_cause(int r)
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

static int question_open(struct question *q, const void *frame, size_t len)
{
	struct bus *b = q->bus;
	enum bus_refusal refusal = REFUSED_COUNT;
	int r = frame_open(b->keys, b->self, frame, len, &q->header, &q->payload);

	if (r < 0)
		refusal = answering_cause(r);
	else if (q->header.kind != FRAME_REQUEST)
		refusal = REFUSED_SHAPE;
	else
		refusal = replay_judge(b->answering, &q->header);
	if (refusal == REFUSED_COUNT)
		return 0;
	answering_refuse(b, refusal, q->remote);
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
	if (memcmp(q->header.to_boot, q->bus->boot_id, BOOT_ID_SIZE) != 0)
		return err_set(err, ERR_STALE_PEER,
			       "the request was for an earlier start; nothing was done");
	q->row = msg_row(q->header.msg);
	q->route = route_find(q->server, q->header.msg);
	if (!q->row || !q->route)
		return err_set(err, ERR_UNSUPPORTED, "%s does not answer this message",
			       role_name(q->bus->self));
	if (!(q->route->callers & FROM(q->header.from))) {
		answering_refuse(q->bus, REFUSED_ROLE, q->remote);
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
		.counter = bus_next_counter(q->bus),
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

static int frame_answer(struct bus *b, const struct bus_server *server, const void *frame,
			size_t len, const char *remote, _Atomic uint32_t *in_flight,
			struct buf *ret_reply)
{
	struct question q = {
		.bus = b,
		.server = server,
		.remote = remote,
		.in_flight = in_flight,
		.arrived_ms = clock_mono_ms(),
		.payload = BUF_INIT(FRAME_MAX),
	};
	struct buf out = BUF_INIT(FRAME_MAX);
	struct err err = { 0 };
	int r = question_open(&q, frame, len);

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
	return frame_answer(b, server, frame, len, remote, NULL, ret_reply);
}

/* ---- sockets and threads -------------------------------------------------------------------- */

static void remote_text(nng_msg *m, char *ret, size_t size)
{
	nng_sockaddr sa;
	char host[INET6_ADDRSTRLEN] = "?";

	(void)snprintf(ret, size, "unknown:0");
	if (nng_pipe_get_addr(nng_msg_get_pipe(m), NNG_OPT_REMADDR, &sa) != 0)
		return;
	if (sa.s_family == NNG_AF_INET) {
		(void)inet_ntop(AF_INET, &sa.s_in.sa_addr, host, sizeof(host));
		(void)snprintf(ret, size, "%s:%u", host, ntohs(sa.s_in.sa_port));
	} else if (sa.s_family == NNG_AF_INET6) {
		(void)inet_ntop(AF_INET6, sa.s_in6.sa_addr, host, sizeof(host));
		(void)snprintf(ret, size, "[%s]:%u", host, ntohs(sa.s_in6.sa_port));
	}
}

static void worker_send(struct worker *w, const struct buf *frame)
{
	nng_msg *m;

	if (nng_msg_alloc(&m, 0) != 0 || nng_msg_append(m, frame->data, frame->len) != 0)
		box_bug("no memory for a message");
	nng_aio_set_msg(w->send, m);
	nng_ctx_send(w->ctx, w->send);
	nng_aio_wait(w->send);
	if (nng_aio_result(w->send) != 0) /* still ours; the asker's deadline tells it */
		nng_msg_free(m);
}

static void worker_answer(struct worker *w, nng_msg *m)
{
	struct serving *s = w->serving;
	struct buf reply = BUF_INIT(FRAME_MAX);
	char remote[64];

	remote_text(m, remote, sizeof(remote));
	if (frame_answer(s->bus, &s->server, nng_msg_body(m), nng_msg_len(m), remote, &s->in_flight,
			 &reply) == 0)
		worker_send(w, &reply);
	buf_done(&reply);
}

static void *worker_run(void *arg)
{
	struct worker *w = arg;

	for (;;) {
		nng_msg *m;
		int r;

		/* Receiving again drops a request that got no answer. */
		nng_ctx_recv(w->ctx, w->receive);
		nng_aio_wait(w->receive);
		r = nng_aio_result(w->receive);
		if (r == NNG_ECANCELED || r == NNG_ECLOSED)
			break;
		if (r != 0)
			continue;
		m = nng_aio_get_msg(w->receive);
		worker_answer(w, m);
		nng_msg_free(m);
	}
	return NULL;
}

static int serving_listen(struct serving *s)
{
	int port = 0;
	int r = nng_rep0_open(&s->socket);

	/* Before any listener exists, or it would not hold for it. */
	if (r == 0)
		r = nng_socket_set_size(s->socket, NNG_OPT_RECVMAXSZ, BUS_RECV_MAX);
	if (r == 0)
		r = nng_listener_create(&s->listener, s->socket, s->server.listen);
	if (r == 0)
		r = nng_listener_set_bool(s->listener, NNG_OPT_TCP_NODELAY, true);
	if (r == 0)
		r = nng_listener_set_bool(s->listener, NNG_OPT_TCP_KEEPALIVE, true);
	if (r == 0)
		r = nng_listener_start(s->listener, 0);
	if (r == 0)
		r = nng_listener_get_int(s->listener, NNG_OPT_TCP_BOUND_PORT, &port);
	if (r == 0)
		(void)snprintf(s->addr, sizeof(s->addr), "%.*s:%d",
			       (int)(strrchr(s->server.listen, ':') - s->server.listen),
			       s->server.listen, port);
	return r;
}

static void serving_start_workers(struct serving *s)
{
	s->worker_count = s->server.capacity + SPARE_CONTEXTS;
	s->workers = mem_alloc_array(s->worker_count, sizeof(*s->workers));
	for (uint32_t i = 0; i < s->worker_count; i++) {
		struct worker *w = &s->workers[i];

		w->serving = s;
		if (nng_ctx_open(&w->ctx, s->socket) != 0 ||
		    nng_aio_alloc(&w->receive, NULL, NULL) != 0 ||
		    nng_aio_alloc(&w->send, NULL, NULL) != 0)
			box_bug("no context for answering");
		nng_aio_set_timeout(w->receive, NNG_DURATION_INFINITE);
		nng_aio_set_timeout(w->send, SEND_TIMEOUT_MS);
		w->thread = bus_thread(s->server.is_control ? "bus-control" : "bus-work",
				       worker_run, w);
	}
}

static void serving_register(struct answering *a, struct serving *s)
{
	(void)pthread_mutex_lock(&a->servers_lock);
	box_assert(a->server_count < SERVERS_MAX);
	a->servers[a->server_count++] = s;
	(void)pthread_mutex_unlock(&a->servers_lock);
}

int bus_serve_start(struct bus *b, const struct bus_server *server, char *ret_addr, size_t ret_size,
		    struct err *err)
{
	struct serving *s;
	int r = bus_check_address(server->listen, err);

	if (r < 0)
		return r;
	s = mem_alloc(sizeof(*s));
	s->bus = b;
	s->server = *server;
	s->server.listen = mem_strdup(server->listen);
	r = serving_listen(s);
	if (r != 0) /* the socket, if it was opened, stays until the process ends */
		return err_set(err, ERR_UNAVAILABLE, "cannot listen on %s: %s", server->listen,
			       nng_strerror(r));
	serving_start_workers(s);
	serving_register(b->answering, s);
	(void)snprintf(ret_addr, ret_size, "%s", s->addr);
	return 0;
}

void answering_addrs(struct bus *b, char ret_control[BUS_ADDR_SIZE], char ret_work[BUS_ADDR_SIZE])
{
	struct answering *a = b->answering;

	ret_control[0] = ret_work[0] = '\0';
	(void)pthread_mutex_lock(&a->servers_lock);
	for (uint32_t i = 0; i < a->server_count; i++)
		(void)snprintf(a->servers[i]->server.is_control ? ret_control : ret_work,
			       BUS_ADDR_SIZE, "%s", a->servers[i]->addr);
	(void)pthread_mutex_unlock(&a->servers_lock);
}

void answering_init(struct bus *b)
{
	struct answering *a = mem_alloc(sizeof(*a));

	b->answering = a;
	bus_sync_init(&a->refusals_lock, &a->refusals_changed);
	(void)pthread_mutex_init(&a->peers_lock, NULL);
	(void)pthread_mutex_init(&a->servers_lock, NULL);
	a->on_refused = report_to_registry;
	a->on_refused_arg = b;
}

static void serving_stop(struct serving *s)
{
	for (uint32_t i = 0; i < s->worker_count; i++)
		nng_aio_stop(s->workers[i].receive);
	/* One that is at work finishes, sends, and finds its next receive cancelled. */
	for (uint32_t i = 0; i < s->worker_count; i++)
		(void)pthread_join(s->workers[i].thread, NULL);
	/* Last, because it also closes the connections on which those answers leave. */
	(void)nng_listener_close(s->listener);
}

void answering_stop(struct bus *b)
{
	struct answering *a = b->answering;

	for (uint32_t i = 0; i < a->server_count; i++)
		serving_stop(a->servers[i]);
	(void)pthread_mutex_lock(&a->refusals_lock);
	a->is_stopping = true;
	(void)pthread_cond_broadcast(&a->refusals_changed);
	(void)pthread_mutex_unlock(&a->refusals_lock);
	if (a->has_reporter)
		(void)pthread_join(a->reporter, NULL);
}
