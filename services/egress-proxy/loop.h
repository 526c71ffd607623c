/*
 * The event loop: one thread, epoll, timers.  Streams, fetches and what belongs to them live on it
 * and need no lock; other threads hand over work by loop_post().
 *
 * Order: loop_new -> watches, timers -> loop_run (on the loop's thread) -> loop_stop -> loop_free.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include "attrs.h"
#include "cleanup.h"

struct loop;

struct loop *loop_new(void);
void loop_free(struct loop *l);
/* Until loop_stop(). */
void loop_run(struct loop *l);
void loop_stop(struct loop *l); /* any thread, signal-safe it is not */

/* events: EPOLLIN and so on, level-triggered.  Sets or changes.  Unwatch before close(). */
typedef void loop_ready(void *arg, int fd, uint32_t events);
void loop_watch(struct loop *l, int fd, uint32_t events, loop_ready *ready, void *arg);
void loop_unwatch(struct loop *l, int fd);

struct loop_timer { /* inside its owner; zeroed before the first use */
	uint64_t due_us;
	void (*fire)(void *arg);
	void *arg;
	struct loop_timer *next, *prev;
	bool is_set;
};
void loop_timer_set(struct loop *l, struct loop_timer *t, uint64_t after_us,
		    void (*fire)(void *arg), void *arg);
void loop_timer_clear(struct loop *l, struct loop_timer *t);

/* Runs fn(arg) on the loop's thread soon.  Any thread. */
void loop_post(struct loop *l, void (*fn)(void *arg), void *arg);
