/*
 * The bus: questions (REQ/REP) and news (PUB/SUB) between the services.  bus*.c are the only users of
 * nng.  Frames are sealed per pair of roles (frame.h), so an address is never trusted, only a key.
 * On tls+tcp:// addresses mutual TLS is one more layer around that: who a peer is still follows from the
 * key that opens its frame, never from its certificate.
 *
 * Order: bus_new -> (registry: bus_publish_start) -> bus_serve_start ... -> bus_listen_news ->
 * bus_lease_start -> calls -> bus_stop.  One struct bus per process.  Calls: any thread with 1 MiB of
 * stack, never from a bus callback.
 *
 * Promises: a call answers by its deadline.  A request is delivered at most once; when the connection
 * breaks after sending, a call that is not marked repeatable returns ERR_UNKNOWN_OUTCOME.  Repeatable
 * calls are repeated with the same request id until the deadline.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include "attrs.h"
#include "err.h"
#include "frame.h"
#include "keys.h"
#include "msg.h"

struct bus;

/*
 * Certificate with key and the peers' CA, PEM.  Read here, before the service confines itself; NULL is returned
 * when neither file is named.  Lives as long as the process, like the bus' sockets.  The certificate names
 * mcpbox-bus (DNS name or CN), which diallers look for whatever the address.
 */
struct bus_tls;
int bus_tls_load(const char *cert_file, const char *ca_file, struct bus_tls **ret,
		 struct err *err) BOX_MUST_CHECK;

struct bus_config {
	struct keys *keys;    /* borrowed, outlives the bus */
	const char *instance; /* "gateway-3fa94c01" */
	const char *
		registry_addrs; /* "127.0.0.1:8100[,host:port]" or with scheme; port of news is +1 */
	uint32_t slots;         /* REQ sockets, MCPBOX_BUS_PEERS */
	struct bus_tls *tls;    /* for tls+tcp:// addresses; NULL: they are refused */
};
/* ipc:// anywhere is refused with the reason; tls+tcp:// is taken by address alone, once there is a tls. */
int bus_new(const struct bus_config *config, struct bus **ret, struct err *err) BOX_MUST_CHECK;
/* Drain and leave: stops listeners and threads, tells the registry (Leave).  The sockets stay open until the
 * process ends (nng_close under traffic may hang). */
void bus_stop(struct bus *b);
const uint8_t *bus_boot_id(const struct bus *b);
enum bus_role bus_self(const struct bus *b);
const char *bus_instance(const struct bus *b);
const struct keys *bus_keys(const struct bus *b);
/* Judge an address as a listener or peer: tcp:// or tls+tcp://; ipc:// is refused with the reason. */
int bus_check_address(const char *url, struct err *err) BOX_MUST_CHECK;

/* Where the registry is: its work socket at the configured port P, news at P+1, control at P+2.  `which` counts
 * through the configured addresses (0 first; wraps).  Also what the registry itself listens on. */
enum bus_port { BUS_PORT_WORK = 0, BUS_PORT_NEWS = 1, BUS_PORT_CONTROL = 2 };
#define BUS_ADDR_SIZE 128
void bus_registry_url(const struct bus *b, uint32_t which, enum bus_port port,
		      char ret[BUS_ADDR_SIZE]);

/* ---- asking --------------------------------------------------------------------------------- */

struct bus_target {
	enum bus_role role;
	const char *addr; /* "tcp://127.0.0.1:41234"; NULL with ROLE_REGISTRY: the registry */
	uint8_t boot_id[BOOT_ID_SIZE]; /* zero: learn it (one extra round trip) */
	/* bus_line_port() of the peer, 0: not known.  Tried first, for messages that come by the thousand. */
	uint16_t line_port;
};
struct bus_call_opts {
	uint32_t timeout_ms; /* 0: 5000 */
	bool repeatable;     /* safe to send again: reads, and changes with a request id */
	const PB(Principal) * principal; /* NULL: system */
	const uint8_t *request_id;       /* 16 bytes; NULL: a fresh one */
	const char *traceparent;         /* NULL: none */
	uint32_t
		patience_ms; /* bus_ask_registry: ask again for so long while it is busy (nothing was done) */
};
/*
 * Ask and wait.  ret_reply: unpacked, checked, the caller's (msg_free).
 * Errors of the peer come back as they are; of the bus: ERR_UNAVAILABLE (nothing was done),
 * ERR_DEADLINE (not sent, nothing was done), ERR_UNKNOWN_OUTCOME, ERR_BUSY.
 */
int bus_call(struct bus *b, const struct bus_target *to, uint16_t msg,
	     const ProtobufCMessage *request, const struct bus_call_opts *opts,
	     ProtobufCMessage **ret_reply, struct err *err) BOX_MUST_CHECK;
/* The same to the registry (work socket; lease and status go to control by message number). */
int bus_ask_registry(struct bus *b, uint16_t msg, const ProtobufCMessage *request,
		     const struct bus_call_opts *opts, ProtobufCMessage **ret_reply,
		     struct err *err) BOX_MUST_CHECK;

/*
 * The same question and answer on another stream than the bus' sockets (the egress-proxy's AF_UNIX
 * socket): seal, carry the bytes as you like, open the answer.  No retry here: when bus_question_open
 * returns -ERR_STALE_PEER (nothing was done), q.to.boot_id holds the right boot id; seal again.
 */
struct bus_question {
	struct bus_target to; /* addr is not used */
	uint16_t msg;
	uint64_t counter;
	uint8_t request_id[REQUEST_ID_SIZE];
};
int bus_question_seal(struct bus *b, const struct bus_target *to, uint16_t msg,
		      const ProtobufCMessage *request, const struct bus_call_opts *opts,
		      struct bus_question *ret_q, struct buf *ret_frame,
		      struct err *err) BOX_MUST_CHECK;
int bus_question_open(struct bus *b, struct bus_question *q, const void *frame, size_t len,
		      ProtobufCMessage **ret_reply, struct err *err) BOX_MUST_CHECK;

/* ---- answering ------------------------------------------------------------------------------ */

struct bus_request {
	void *service; /* bus_server.service */
	enum bus_role from;
	const char *remote; /* peer address, text */
	uint16_t msg;
	const uint8_t *from_boot;
	const uint8_t *request_id;
	const PB(Principal) * principal; /* never NULL: system when the caller gave none */
	uint64_t deadline_mono_ms;
	const char *traceparent;    /* or "" */
	const ProtobufCMessage *in; /* unpacked and checked; freed after the handler */
	const uint8_t *in_bytes;    /* the same, packed */
	size_t in_len;
	struct buf *out; /* bus_answer() packs into it */
	void *auth;      /* for the authorize hook's use; freed by it never, see below */
};
/* Returns 0 after bus_answer(), or -code with err filled. */
typedef int bus_handler(struct bus_request *rq, struct err *err);
void bus_answer(struct bus_request *rq,
		const ProtobufCMessage *reply); /* packed at once, borrowed */

struct bus_route {
	uint16_t msg;
	uint32_t callers; /* FROM(ROLE_GATEWAY) | ... : others are refused and counted */
	uint32_t right;   /* the service's own enum, judged by authorize */
	bus_handler *handler;
};
/* Causes: counted, audited at most once a minute each, never answered (but ROLE, answered with DENIED). */
enum bus_refusal {
	REFUSED_SHAPE,
	REFUSED_SEAL,
	REFUSED_REPLAY,
	REFUSED_VERSION,
	REFUSED_ROLE,
	REFUSED_COUNT
};
struct bus_server {
	const char *listen; /* "tcp://127.0.0.1:0" */
	bool is_control;
	uint32_t capacity; /* handlers at once; contexts = capacity + 16, the excess answers BUSY */
	const struct bus_route *routes;
	size_t route_count;
	void *service;
	/* Called before the handler with the row's right; may set rq->auth.  NULL: roles alone decide. */
	int (*authorize)(struct bus_request *rq, uint32_t right, struct err *err);
	/* Called after the answer was packed, to free rq->auth.  May be NULL. */
	void (*finished)(struct bus_request *rq);
	bool has_lines; /* also answer over connections that cost less (tcp:// only), see bus_line_port() */
};
/* Starts listening; ret_addr (at least 64 bytes) gets the address with the real port. */
int bus_serve_start(struct bus *b, const struct bus_server *server, char *ret_addr, size_t ret_size,
		    struct err *err) BOX_MUST_CHECK;
/* For bus_target.line_port of those who ask here; 0 while no server of this process has lines.  The port itself
 * may travel in any message: what comes over a line is sealed like all else. */
uint16_t bus_line_port(const struct bus *b);
/*
 * Answer one frame that came over another stream: the whole way from bytes to bytes (seal, replay, boot
 * id, deadline, row, handler).  Uses of `server`: routes, service, authorize, finished.  remote: text for
 * the audit.  Returns 0 with a frame in ret_reply, or -ERR_DENIED: counted, no answer is due.
 */
int bus_answer_frame(struct bus *b, const struct bus_server *server, const void *frame, size_t len,
		     const char *remote, struct buf *ret_reply) BOX_MUST_CHECK;
uint64_t bus_refused(const struct bus *b, enum bus_refusal cause);
const char *bus_refusal_name(enum bus_refusal cause);
/* Called at most once a minute per cause and address, on a thread of the bus; the default asks the
 * registry to audit it (ReportEvent bus.refused).  The registry sets its own.  False: it could not be written down;
 * the count is told again a minute later. */
typedef bool bus_refused_fn(void *arg, enum bus_refusal cause, const char *remote, uint64_t count);
void bus_on_refused(struct bus *b, bus_refused_fn *fn, void *arg);

/* ---- news, status, peers -------------------------------------------------------------------- */

/* Registry only. */
int bus_publish_start(struct bus *b, const char *listen, struct err *err) BOX_MUST_CHECK;
void bus_publish(struct bus *b, enum news_topic topic, const ProtobufCMessage *m);

/*
 * Follow the registry: a thread subscribes, verifies seal and signature, keeps the newest Status, and asks by
 * REQ when there was none for 800 ms or a gap shows.  Callbacks come one at
 * a time, on threads of the bus; they must be quick and may not call over the bus.  on_status: for every Status that is newer or has another epoch; on_audit only for roles
 * with the audit key.
 */
struct bus_news {
	void (*on_status)(void *arg, const PB(Status) * status);
	void (*on_audit)(void *arg, const PB(AuditEvent) * event);
	void *arg;
};
int bus_news_start(struct bus *b, const struct bus_news *news, struct err *err) BOX_MUST_CHECK;

/* Registry time in ms, from Status and the own monotonic clock; 0 before the first Status.  The registry
 * itself: wall clock. */
int64_t bus_registry_now(const struct bus *b);
/* ms since the registry was last heard of. */
uint64_t bus_registry_silence_ms(const struct bus *b);
/* Copy of the newest verified Status (msg_free), or NULL. */
PB(Status) * bus_status(const struct bus *b);
/* True when the permit id is in the newest Status' revoked list. */
bool bus_permit_is_revoked(const struct bus *b, const char *permit_id);
/* Wait until a Status with state_seq >= seq arrived, or the time is over (-ERR_DEADLINE). */
int bus_wait_state(struct bus *b, uint64_t state_seq, uint32_t timeout_ms) BOX_MUST_CHECK;

/* Announce this instance and renew every 2 s on an own thread.  fill() sets the changing parts (in_flight,
 * draining, layers_json); strings stay valid until the next fill().  A listener on 0.0.0.0 is announced by the own
 * address on the way to the registry. */
int bus_lease_start(struct bus *b, void (*fill)(void *arg, PB(Instance) * instance), void *arg,
		    struct err *err) BOX_MUST_CHECK;
