#include "answer.h"

#include <string.h>

#include "clock.h"

#define FRAME_HEAD "event: message\ndata: "
#define FRAME_TAIL "\n\n"

struct http_stream *sse_begin(struct http_request *rq)
{
	http_add_header(rq, "Cache-Control", "no-cache, no-transform");
	http_add_header(rq, "X-Accel-Buffering", "no");
	return http_stream_begin(rq, "text/event-stream", SSE_IDLE_MS);
}

int sse_send(struct http_stream *s, const void *json, size_t len)
{
	struct buf event = BUF_INIT(len + sizeof(FRAME_HEAD FRAME_TAIL));
	int r;

	/* One write per event: a reader must never see half of one as the last. */
	buf_add_str(&event, FRAME_HEAD);
	buf_add(&event, json, len);
	buf_add_str(&event, FRAME_TAIL);
	r = http_stream_send(s, event.data, event.len);
	buf_done(&event);
	return r;
}

void answer_init(struct answer *a, struct http_request *rq, struct accepts accepts)
{
	*a = (struct answer){ .rq = rq, .accepts = accepts, .since_mono_ms = clock_mono_ms() };
	(void)pthread_mutex_init(&a->lock, NULL);
}

void answer_done(struct answer *a)
{
	(void)pthread_mutex_destroy(&a->lock);
}

void answer_on_gone(struct answer *a, void (*fn)(void *arg), void *arg)
{
	(void)pthread_mutex_lock(&a->lock);
	a->on_gone = fn;
	a->on_gone_arg = arg;
	if (a->stream)
		http_stream_on_gone(a->stream, fn, arg);
	else
		http_on_gone(a->rq, fn, arg);
	(void)pthread_mutex_unlock(&a->lock);
}

/* Under the lock. */
static void begin(struct answer *a)
{
	if (a->stream)
		return;
	a->stream = sse_begin(a->rq);
	a->is_over = !a->stream; /* no place for a stream: it was answered with 503 */
	if (a->stream && a->on_gone)
		http_stream_on_gone(a->stream, a->on_gone, a->on_gone_arg);
}

void answer_notify(struct answer *a, const void *json, size_t len)
{
	(void)pthread_mutex_lock(&a->lock);
	if (!a->is_over && a->accepts.sse) {
		begin(a);
		/* A slow reader loses notifications, never the result. */
		if (a->stream)
			(void)sse_send(a->stream, json, len);
	}
	(void)pthread_mutex_unlock(&a->lock);
}

void answer_keep_alive(struct answer *a, uint64_t now_mono_ms)
{
	(void)pthread_mutex_lock(&a->lock);
	if (!a->is_over && a->accepts.sse && now_mono_ms - a->since_mono_ms >= SSE_IDLE_MS)
		begin(a);
	(void)pthread_mutex_unlock(&a->lock);
}

void answer_set_timing(struct answer *a, const char text[TIMING_SIZE])
{
	(void)pthread_mutex_lock(&a->lock);
	(void)memcpy(a->timing, text, TIMING_SIZE);
	(void)pthread_mutex_unlock(&a->lock);
}

void answer_finish(struct answer *a, int status, const void *json, size_t len)
{
	(void)pthread_mutex_lock(&a->lock);
	if (!a->accepts.json && status == 200)
		begin(a);
	if (a->stream) {
		(void)sse_send(a->stream, json, len);
		http_stream_end(a->stream);
	} else if (!a->is_over) {
		http_add_header(a->rq, "Cache-Control", "no-store");
		if (a->timing[0])
			http_add_header(a->rq, "Server-Timing", a->timing);
		http_respond(a->rq, status, "application/json", json, len);
	}
	a->is_over = true;
	(void)pthread_mutex_unlock(&a->lock);
}

void answer_abandon(struct answer *a)
{
	(void)pthread_mutex_lock(&a->lock);
	if (a->stream)
		http_stream_end(a->stream);
	else if (!a->is_over)
		http_respond(a->rq, 202, NULL, NULL, 0);
	a->is_over = true;
	(void)pthread_mutex_unlock(&a->lock);
}
