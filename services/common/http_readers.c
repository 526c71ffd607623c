#include "http_readers.h"

#include <string.h>
#include <sys/socket.h>
#include "clock.h"
#include "http_internal.h"

#define BODY_MS_DEFAULT 10000u
#define LOOK_MS         250u

/* Lock held: the request, and with it the connection, lives. */
static void cut_late(struct http_readers *rs, uint64_t now_ms)
{
	for (struct http_reader *r = rs->first; r; r = r->next) {
		int fd;

		if (r->is_late || now_ms < atomic_load(&r->until_ms))
			continue;
		fd = http_socket(r->rq);
		r->is_late = fd >= 0 && shutdown(fd, SHUT_RD) == 0;
	}
}

static void *watcher_main(void *arg)
{
	struct http_readers *rs = arg;

	pthread_mutex_lock(&rs->lock);
	while (!rs->is_over) {
		struct timespec until;

		clock_abs_after(LOOK_MS, &until);
		(void)pthread_cond_timedwait(&rs->is_over_changed, &rs->lock, &until);
		cut_late(rs, clock_mono_ms());
	}
	pthread_mutex_unlock(&rs->lock);
	return NULL;
}

int http_readers_start(struct http_readers *rs, uint32_t body_ms, struct err *err)
{
	int r;

	*rs = (struct http_readers){ .body_ms = body_ms ? body_ms : BODY_MS_DEFAULT };
	pthread_mutex_init(&rs->lock, NULL);
	http_cond_init(&rs->is_over_changed);
	r = pthread_create(&rs->watcher, NULL, watcher_main, rs);
	rs->is_started = r == 0;
	return r ? err_set(err, ERR_INTERNAL, "threads cannot be started: %s", strerrorname_np(r))
		 : 0;
}

void http_readers_stop(struct http_readers *rs)
{
	if (rs->is_started) {
		pthread_mutex_lock(&rs->lock);
		rs->is_over = true;
		pthread_cond_signal(&rs->is_over_changed);
		pthread_mutex_unlock(&rs->lock);
		(void)pthread_join(rs->watcher, NULL);
	}
	pthread_mutex_destroy(&rs->lock);
	pthread_cond_destroy(&rs->is_over_changed);
}

void http_reader_extend(const struct http_readers *rs, struct http_reader *r, uint64_t len)
{
	atomic_store(&r->until_ms, r->since_ms + rs->body_ms + len / 65536 * 1000);
}

void http_reader_enter(struct http_readers *rs, struct http_reader *r, struct http_request *rq,
		       uint64_t len)
{
	*r = (struct http_reader){ .rq = rq, .since_ms = clock_mono_ms() };
	http_reader_extend(rs, r, len);
	pthread_mutex_lock(&rs->lock);
	r->next = rs->first;
	rs->first = r;
	pthread_mutex_unlock(&rs->lock);
}

bool http_reader_leave(struct http_readers *rs, struct http_reader *r)
{
	struct http_reader **at = &rs->first;

	pthread_mutex_lock(&rs->lock);
	while (*at != r)
		at = &(*at)->next;
	*at = r->next;
	pthread_mutex_unlock(&rs->lock);
	return !r->is_late;
}
