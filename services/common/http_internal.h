/*
 * Inside of the HTTP server: one request between two threads.
 *
 * The connection's thread (civetweb's, 100 KiB of stack) reads, hands the request to a worker,
 * waits, writes.  The guard runs there, before the body is read; a worker runs the handler.  Of struct http_request, the worker owns
 * everything between submit and `is_done` except what stands below `lock`; the connection's thread
 * makes and frees it.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include "buf.h"
#include "http_clients.h"
#include "http_nudge.h"
#include "http_parse.h"
#include "http_readers.h"
#include "http_server.h"

struct mg_connection;

/* What to call when the client leaves; guarded by its owner's lock. */
struct gone_call {
	void (*fn)(void *arg);
	void *arg;
	bool is_running;
	pthread_t runner;
};
/* Lock held; dropped while fn runs. */
void gone_call_run(struct gone_call *g, pthread_mutex_t *lock, pthread_cond_t *changed);
/* Lock held: from here on fn will not be called and is not running, unless the caller is fn itself.
 */
void gone_call_clear(struct gone_call *g, pthread_mutex_t *lock, pthread_cond_t *changed);

struct http_request {
	struct http_server *server;
	struct mg_connection *conn;
	const char *method, *remote;
	uint16_t remote_port, server_port;
	bool is_http_1_0;
	uint64_t received_us;
	struct http_pair headers[HTTP_PAIRS_MAX];
	size_t header_count;
	struct http_framing framing;
	char *path;
	struct http_query query;
	struct http_match match;
	const struct http_route *route; /* NULL: see refusal */
	int refusal;                    /* status to answer after the guard, 0: none */
	struct buf body;
	struct buf more_headers;
	bool has_retry_after;
	bool must_close;                               /* the body was not read to its end */
	struct http_request *next;                     /* in the server's queue */
	struct http_request *next_served, **at_served; /* guarded by the server's lock */
	atomic_int fd; /* of the connection; -1 unknown, -2 not to be found */

	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct buf reply; /* complete when is_answered */
	bool is_answered;
	bool is_done; /* the handler has returned */
	struct http_stream *stream;
	struct gone_call gone;
};

struct http_server {
	struct http_config config;
	struct mg_context *ctx;
	uint16_t port;
	atomic_bool is_stopping;
	atomic_uint streams;
	bool trusts_parser; /* http_head_is_whole() works with this civetweb: keep-alive is safe */

	atomic_int probe; /* enum probe_state */
	char probe_path[40];

	struct http_nudge nudge;
	struct http_readers readers;
	struct http_clients clients;

	pthread_t *workers;
	uint32_t workers_started;
	pthread_mutex_t lock;
	pthread_cond_t has_work;
	pthread_cond_t is_idle;
	/* Guarded by lock. */
	struct http_request *first, **last;
	uint32_t active;             /* requests between reading and the end of their answer */
	struct http_request *served; /* these */
	bool is_drained;             /* there will be no more work */
};

void http_cond_init(pthread_cond_t *c); /* waits by the monotonic clock */
/* The client's socket, negative when it cannot be found.  Any thread, while the connection lives. */
int http_socket(struct http_request *rq);
/* Poll the client's socket.  Any thread, while the connection lives. */
bool http_socket_is_gone(struct http_request *rq);
bool http_write(struct http_request *rq, const void *data, size_t len);

/* civetweb's init_connection and connection_close. */
int http_on_connection(const struct mg_connection *conn, void **ret_data);
void http_on_disconnection(const struct mg_connection *conn);
/* civetweb's begin_request: everything about one request, up to its last byte written. */
int http_on_request(struct mg_connection *conn);

int http_workers_start(struct http_server *s, struct err *err) BOX_MUST_CHECK;
/* Nothing may be under way. */
void http_workers_stop(struct http_server *s);
void http_submit(struct http_request *rq);

/* Head of an answer, without the empty line. */
void http_add_head(struct http_request *rq, int status, const char *content_type, struct buf *out);
/* Answer with a problem of a status that no err_code stands for. */
void http_respond_problem(struct http_request *rq, int status, const struct err *err);

/* Connection's thread: writes until the stream ends, the client leaves or the server stops. */
void http_stream_run(struct http_request *rq);
