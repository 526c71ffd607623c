/*
 * Bytes of bodies held in memory at this moment, of requests and answers together: many small calls may each be
 * within their ceilings and still be too much for the host.  Loop thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct budget {
	uint64_t held;
	uint64_t max;
};

/* False: there is no room now; nothing was taken. */
static inline bool budget_take(struct budget *b, uint64_t bytes)
{
	if (bytes > b->max || b->held > b->max - bytes)
		return false;
	b->held += bytes;
	return true;
}

/* What is in memory already changes hands: counted, never refused. */
static inline void budget_take_over(struct budget *b, uint64_t bytes)
{
	b->held += bytes;
}

static inline void budget_give(struct budget *b, uint64_t bytes)
{
	b->held -= bytes;
}
