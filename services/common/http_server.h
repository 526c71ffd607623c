/*
 * HTTP/1.1 server; http_*.c are the only users of civetweb.  One begin_request callback answers
 * everything: strict framing (Host, lengths, dropped headers: docs/dependencies.md), ceilings, route table.
 * Handlers run on own workers with 1 MiB of stack, never on civetweb's 100 KiB ones, which only read,
 * call the guard and write.
 *
 * Order: http_server_start -> ... -> http_server_stop.  A handler owns its request until it returns.
 *
 * Answered here, before any handler: 400 for bad framing, paths with dot segments, empty segments, "%2F" or bad
 * escapes; 404; 405 with Allow; 413; 415 for a body that is not application/json (or application/x+json);
 * 408 for a body that comes too slowly; nothing at all for a connection of an address whose connections without a
 * request (slow heads, idle ones) hold half of the threads already; a request for a websocket.  The guard runs before all but framing and paths.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stddef.h>
#include "attrs.h"
#include "buf.h"
#include "err.h"

struct http_request;
struct http_stream;

/* A handler answers exactly once: http_respond*(), which goes out when it returns, or http_stream_begin().  One that returns without gets 500. */
typedef void http_handler(struct http_request *rq, void *service, const void *arg);

struct http_route {
	const char *method; /* "GET", or "*" */
	/* "/api/tools/{id}": a brace segment matches one non-empty segment; a final "/{rest...}" anything
	 * that no route before it knows, whatever the method */
	const char *pattern;
	http_handler *handler;
	const void *arg;
	size_t max_body; /* 0: a body is refused (413) */
};
struct http_config {
	const char *listen; /* "127.0.0.1:8000" */
	const struct http_route *routes;
	size_t route_count;
	void *service;
	uint32_t threads; /* connections at once (civetweb workers) */
	uint32_t workers; /* handlers at once; more wait, bounded by threads */
	uint32_t
		max_streams; /* below threads; excess: 503 + Retry-After, as beyond 3/4 of them for one address */
	/* Called before the body is read, on the connection's thread: small stack, no waiting, no http_body().
	 * true = go on, false = it has answered (Host, Origin, ...).  May be NULL. */
	bool (*guard)(struct http_request *rq, void *service);
	const char *const *headers; /* added to every answer: name, value, ..., NULL */
	uint32_t body_ms;           /* for reading a body, and 1 s per 64 KiB; then 408.  0: 10 s */
};
struct http_server;
int http_server_start(const struct http_config *config, struct http_server **ret,
		      struct err *err) BOX_MUST_CHECK;
void http_server_stop(struct http_server *s); /* no new connections, streams end, handlers finish */
uint16_t http_server_port(const struct http_server *s);

const char *http_method(const struct http_request *rq);
const char *http_path(const struct http_request *rq); /* decoded once, checked UTF-8 */
const char *http_param(const struct http_request *rq, const char *name); /* path segment, or NULL */
/* Decoded, or NULL; the first wins. */
const char *http_query(struct http_request *rq, const char *name);
bool http_query_each(struct http_request *rq, size_t i, const char **ret_name,
		     const char **ret_value);
const char *http_header(const struct http_request *rq, const char *name); /* first, or NULL */
size_t http_header_count(const struct http_request *rq, const char *name);
bool http_header_each(const struct http_request *rq, size_t i, const char **ret_name,
		      const char **ret_value);
const void *http_body(const struct http_request *rq, size_t *ret_len);
/* When its head had been read, on the monotonic clock. */
uint64_t http_received_us(const struct http_request *rq);
const char *http_remote(const struct http_request *rq); /* "127.0.0.1" */
/* The client closed its connection while we worked (polls the socket; cheap). */
bool http_client_gone(const struct http_request *rq);
/* Call fn(arg) once, from another thread, when the client leaves before the answer.  For cancelling.  fn NULL
 * takes it back.  Taking back, answering and beginning a stream wait for an fn that is running, so fn may not
 * wait for the handler nor call http_*(rq). */
void http_on_gone(struct http_request *rq, void (*fn)(void *arg), void *arg);

void http_add_header(struct http_request *rq, const char *name, const char *value);
void http_respond(struct http_request *rq, int status, const char *content_type, const void *body,
		  size_t len);
/* problem+json (RFC 9457; err_json.h has its members); http_status from err_row().  Retry-After: 1 is
 * added to 429 and 503 unless the handler set one. */
void http_respond_err(struct http_request *rq, const struct err *err);

/*
 * Turn the answer into a stream (SSE).  Headers set so far go out at once.  The stream outlives the handler; it is
 * written by the connection's own thread.  idle_comment_ms: ": \n\n" after so long a silence (0: never).
 * NULL when max_streams are open: 503 with Retry-After was answered instead.
 */
struct http_stream *http_stream_begin(struct http_request *rq, const char *content_type,
				      uint32_t idle_comment_ms);
/* Queue bytes.  -ERR_CANCELLED when the client left, -ERR_BUSY when 1 MiB is waiting.  Any thread. */
int http_stream_send(struct http_stream *s, const void *data, size_t len);
bool http_stream_gone(const struct http_stream *s);
/* fn(arg) once when the client leaves or the server stops; on another thread, or at once on this one when
 * it has left already.  fn may end the stream; ending it
 * elsewhere waits for an fn that is running. */
void http_stream_on_gone(struct http_stream *s, void (*fn)(void *arg), void *arg);
/* Flushes; s is invalid after.  Due also when the client left. */
void http_stream_end(struct http_stream *s);
