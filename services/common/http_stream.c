/* Answers that go on: a queue between whoever has something to say and the connection's thread. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "clock.h"
#include "http_internal.h"
#include "mem.h"

#define QUEUE_MAX (1024u * 1024)
/* How long a hang-up or the end of the server may go unnoticed.  Looking five times a second, 2 000 idle streams cost
 * a third of a core. */
#define LOOK_MS 500u

struct http_stream {
	bool is_chunked;
	uint32_t idle_comment_ms;

	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct buf queue;
	bool is_ended; /* by its owner; the owner does not look at it again */
	bool is_gone;
	bool is_left; /* the connection's thread does not look at it again */
	struct gone_call gone;
};

static void stream_free(struct http_stream *s)
{
	buf_done(&s->queue);
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->changed);
	free(s);
}

static bool take_place(struct http_server *server, const char *address)
{
	unsigned open = atomic_load(&server->streams);

	if (!http_client_take_stream(server, address))
		return false;

	do {
		if (open >= server->config.max_streams) {
			http_client_end_stream(server, address);
			return false;
		}
	} while (!atomic_compare_exchange_weak(&server->streams, &open, open + 1));
	return true;
}

static struct http_stream *stream_new(bool is_chunked, uint32_t idle_comment_ms)
{
	struct http_stream *s = mem_alloc(sizeof(*s));

	s->is_chunked = is_chunked;
	s->idle_comment_ms = idle_comment_ms;
	s->queue = (struct buf)BUF_INIT(QUEUE_MAX);
	pthread_mutex_init(&s->lock, NULL);
	http_cond_init(&s->changed);
	return s;
}

struct http_stream *http_stream_begin(struct http_request *rq, const char *content_type,
				      uint32_t idle_comment_ms)
{
	struct buf head = BUF_INIT(64u * 1024);
	struct http_stream *s;

	if (!take_place(rq->server, rq->remote)) {
		struct err err = { 0 };

		(void)err_set(&err, ERR_BUSY, "too many streams are open");
		http_respond_err(rq, &err);
		return NULL;
	}
	rq->must_close |=
		rq->is_http_1_0; /* it has no chunks: the end is the end of the connection */
	s = stream_new(!rq->is_http_1_0, idle_comment_ms);
	http_add_head(rq, 200, content_type, &head);
	buf_add_str(&head, s->is_chunked ? "Transfer-Encoding: chunked\r\n\r\n" : "\r\n");

	pthread_mutex_lock(&rq->lock);
	box_assert(!rq->is_answered && !rq->stream);
	gone_call_clear(&rq->gone, &rq->lock, &rq->changed);
	rq->reply = head;
	rq->stream = s;
	pthread_cond_broadcast(&rq->changed);
	pthread_mutex_unlock(&rq->lock);
	return s;
}

int http_stream_send(struct http_stream *s, const void *data, size_t len)
{
	int r = 0;

	pthread_mutex_lock(&s->lock);
	if (s->is_gone) {
		r = -ERR_CANCELLED;
	} else if (len > QUEUE_MAX - s->queue.len) {
		r = -ERR_BUSY;
	} else {
		buf_add(&s->queue, data, len);
		pthread_cond_broadcast(&s->changed);
	}
	pthread_mutex_unlock(&s->lock);
	return r;
}

bool http_stream_gone(const struct http_stream *s)
{
	struct http_stream *mutable = (struct http_stream *)(uintptr_t)s;
	bool is_gone;

	pthread_mutex_lock(&mutable->lock);
	is_gone = s->is_gone;
	pthread_mutex_unlock(&mutable->lock);
	return is_gone;
}

void http_stream_on_gone(struct http_stream *s, void (*fn)(void *arg), void *arg)
{
	pthread_mutex_lock(&s->lock);
	gone_call_clear(&s->gone, &s->lock, &s->changed);
	s->gone.fn = fn;
	s->gone.arg = arg;
	if (s->is_gone && fn)
		gone_call_run(&s->gone, &s->lock, &s->changed);
	pthread_mutex_unlock(&s->lock);
}

void http_stream_end(struct http_stream *s)
{
	bool is_left;

	pthread_mutex_lock(&s->lock);
	gone_call_clear(&s->gone, &s->lock, &s->changed);
	s->is_ended = true;
	is_left = s->is_left;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
	if (is_left)
		stream_free(s);
}

static bool write_part(struct http_request *rq, const struct http_stream *s, const void *data,
		       size_t len)
{
	struct buf part BOX_CLEANUP(buf_done) = BUF_INIT(QUEUE_MAX + 32);

	if (!s->is_chunked)
		return http_write(rq, data, len);
	buf_printf(&part, "%zx\r\n", len);
	buf_add(&part, data, len);
	buf_add_str(&part, "\r\n");
	return http_write(rq, part.data, part.len);
}

/* Lock held on entry and return; dropped while writing. */
static bool write_queue(struct http_request *rq, struct http_stream *s)
{
	struct buf part BOX_CLEANUP(buf_done) = s->queue;
	bool is_good;

	s->queue = (struct buf)BUF_INIT(QUEUE_MAX);
	pthread_mutex_unlock(&s->lock);
	is_good = write_part(rq, s, part.data, part.len);
	pthread_mutex_lock(&s->lock);
	return is_good;
}

static bool write_comment(struct http_request *rq, struct http_stream *s)
{
	static const char comment[] = ": \n\n";
	bool is_good;

	pthread_mutex_unlock(&s->lock);
	is_good = write_part(rq, s, comment, sizeof(comment) - 1);
	pthread_mutex_lock(&s->lock);
	return is_good;
}

/* Lock held.  Something was queued, the stream ended, a comment is due, or LOOK_MS are over. */
static void wait_change(struct http_stream *s, uint64_t silence_ms)
{
	struct timespec until;
	uint32_t wait_ms = LOOK_MS;

	if (s->idle_comment_ms > silence_ms && s->idle_comment_ms - silence_ms < wait_ms)
		wait_ms = (uint32_t)(s->idle_comment_ms - silence_ms);
	clock_abs_after(wait_ms, &until);
	(void)pthread_cond_timedwait(&s->changed, &s->lock, &until);
}

/* Lock held.  One round; false when the client cannot be reached any more. */
static bool pump(struct http_request *rq, struct http_stream *s, uint64_t *last_ms)
{
	if (s->queue.len) {
		*last_ms = clock_mono_ms();
		return write_queue(rq, s);
	}
	wait_change(s, clock_mono_ms() - *last_ms);
	if (s->queue.len || s->is_ended)
		return true;
	if (http_socket_is_gone(rq))
		return false;
	if (s->idle_comment_ms && clock_mono_ms() - *last_ms >= s->idle_comment_ms) {
		*last_ms = clock_mono_ms();
		return write_comment(rq, s);
	}
	return true;
}

static void leave(struct http_stream *s)
{
	bool is_ended;

	s->is_gone = true;
	if (!s->is_ended)
		gone_call_run(&s->gone, &s->lock, &s->changed);
	s->is_left = true;
	is_ended = s->is_ended;
	pthread_mutex_unlock(&s->lock);
	if (is_ended)
		stream_free(s);
}

void http_stream_run(struct http_request *rq)
{
	struct http_stream *s = rq->stream;
	bool is_good = http_write(rq, rq->reply.data, rq->reply.len);
	uint64_t last_ms = clock_mono_ms();

	pthread_mutex_lock(&s->lock);
	while (is_good && !(s->is_ended && s->queue.len == 0) &&
	       !atomic_load(&rq->server->is_stopping))
		is_good = pump(rq, s, &last_ms);
	/* What was said before the stop, such as a subscription's last message. */
	if (is_good && s->queue.len)
		is_good = write_queue(rq, s);
	/* Before anybody can see the end, so that a stream may follow at once. */
	atomic_fetch_sub(&rq->server->streams, 1);
	http_client_end_stream(rq->server, rq->remote);
	if (is_good && s->is_chunked)
		is_good = http_write(rq, "0\r\n\r\n", 5);
	if (!is_good || !s->is_chunked)
		rq->must_close = true;
	leave(s);
}
