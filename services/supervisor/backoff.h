/*
 * How long to wait before a dead service is started again: 200 ms, doubled at each death up to 30
 * s; one that had run for 30 s begins anew.  The first four restarts come within 2 s each.  Pure.
 */
#pragma once

#include <stdint.h>

struct backoff {
	int next_ms; /* 0: nothing died yet */
};

/* The service lived for ran_ms and died: returns the wait in milliseconds. */
int backoff_next(struct backoff *b, int64_t ran_ms);
