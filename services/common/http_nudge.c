#include "http_nudge.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include "clock.h"
#include "http_internal.h"
#include "mem.h"

#define EVERY_MS 10u
/* Ignored unless handled, and nobody here uses out-of-band data. */
#define NUDGE SIGURG

static void on_nudge(int signal_number)
{
	(void)signal_number; /* that poll() was interrupted is all it is for */
}

void http_nudge_init(struct http_nudge *n)
{
	*n = (struct http_nudge){ 0 };
	pthread_mutex_init(&n->lock, NULL);
	http_cond_init(&n->is_over_changed);
}

void http_nudge_done(struct http_nudge *n)
{
	free(n->threads);
	pthread_mutex_destroy(&n->lock);
	pthread_cond_destroy(&n->is_over_changed);
}

void http_nudge_sign_in(struct http_nudge *n)
{
	pthread_mutex_lock(&n->lock);
	if (n->count == n->room) {
		n->room = n->room ? n->room * 2 : 16;
		n->threads = mem_realloc_array(n->threads, n->room, sizeof(*n->threads));
	}
	n->threads[n->count++] = pthread_self();
	pthread_mutex_unlock(&n->lock);
}

void http_nudge_sign_out(struct http_nudge *n)
{
	pthread_mutex_lock(&n->lock);
	for (uint32_t i = 0; i < n->count; i++) {
		if (pthread_equal(n->threads[i], pthread_self())) {
			n->threads[i] = n->threads[--n->count];
			break;
		}
	}
	pthread_mutex_unlock(&n->lock);
}

static void *nudge_main(void *arg)
{
	struct http_nudge *n = arg;

	pthread_mutex_lock(&n->lock);
	while (!n->is_over) {
		struct timespec until;

		for (uint32_t i = 0; i < n->count; i++)
			(void)pthread_kill(n->threads[i], NUDGE);
		clock_abs_after(EVERY_MS, &until);
		(void)pthread_cond_timedwait(&n->is_over_changed, &n->lock, &until);
	}
	pthread_mutex_unlock(&n->lock);
	return NULL;
}

bool http_nudge_start(struct http_nudge *n)
{
	const struct sigaction action = { .sa_handler = on_nudge };

	n->is_over = false;
	return sigaction(NUDGE, &action, NULL) == 0 &&
	       pthread_create(&n->nudger, NULL, nudge_main, n) == 0;
}

void http_nudge_stop(struct http_nudge *n)
{
	pthread_mutex_lock(&n->lock);
	n->is_over = true;
	pthread_cond_broadcast(&n->is_over_changed);
	pthread_mutex_unlock(&n->lock);
	(void)pthread_join(n->nudger, NULL);
}
