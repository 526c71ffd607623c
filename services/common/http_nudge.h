/*
 * civetweb's threads look at its stop flag every 2 s, between polls.  While it stops they are nudged: a signal
 * makes poll() return at once.  For that they sign in and out.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct http_nudge {
	pthread_mutex_t lock;
	pthread_cond_t is_over_changed;
	/* Guarded by lock. */
	pthread_t *threads;
	uint32_t count, room;
	bool is_over;
	pthread_t nudger;
};

void http_nudge_init(struct http_nudge *n);
void http_nudge_done(struct http_nudge *n);
/* By a thread about itself. */
void http_nudge_sign_in(struct http_nudge *n);
void http_nudge_sign_out(struct http_nudge *n);
/* Around mg_stop(), when nothing is under way any more: a thread of its own nudges all who are signed in. */
bool http_nudge_start(struct http_nudge *n);
void http_nudge_stop(struct http_nudge *n);
