/*
 * The answer to one POST: JSON, or an SSE stream from the first notification on.  Nothing goes out
 * before the first notification or the result, so that an early error can still choose its status.
 * Any thread may notify; the handler ends it with answer_finish() or answer_abandon(), exactly
 * once.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "http_server.h"
#include "negotiate.h"
#include "timing.h"

#define SSE_IDLE_MS \
	15000 /* a comment after so long a silence; a silent call becomes a stream then too */

struct answer {
	struct http_request *rq;
	struct accepts accepts;
	uint64_t since_mono_ms;
	pthread_mutex_t lock;       /* guards all below */
	struct http_stream *stream; /* NULL: still undecided */
	bool is_over;
	char timing[TIMING_SIZE]; /* for the header; empty: none */
	void (*on_gone)(void *arg);
	void *on_gone_arg;
};

void answer_init(struct answer *a, struct http_request *rq, struct accepts accepts);
void answer_done(struct answer *a);

/*
 * fn(arg), on another thread and at most once, when the client leaves before the end.  fn may take
 * no lock under which the answer is used.  After answer_on_gone(a, NULL, NULL) it is not running
 * and will not run.
 */
void answer_on_gone(struct answer *a, void (*fn)(void *arg), void *arg);
/* One JSON-RPC notification; dropped when the client takes no stream. */
void answer_notify(struct answer *a, const void *json, size_t len);
/* Become a stream if the client has waited long enough. */
void answer_keep_alive(struct answer *a, uint64_t now_mono_ms);
/* What the response shall say of its time, unless it is a stream: its head is out by then. */
void answer_set_timing(struct answer *a, const char text[TIMING_SIZE]);
/* The one response.  status counts unless a stream is open. */
void answer_finish(struct answer *a, int status, const void *json, size_t len);
/* The client took its request back: 202 or the stream's end. */
void answer_abandon(struct answer *a);

/* An SSE stream with the headers that every stream has. */
struct http_stream *sse_begin(struct http_request *rq);
/* event: message / data: <json>. */
int sse_send(struct http_stream *s, const void *json, size_t len);
