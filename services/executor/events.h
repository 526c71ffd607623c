/* Progress and log messages of one call, in order, until they are fetched.  Bounded.  Not
 * thread-safe. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "hostcalls.h"
#include "msg.h"

#define EVENTS_PENDING_MAX ((size_t)1024 * 1024)
#define EVENTS_COUNT_MAX   2048u

struct event;
struct events {
	struct event *first, **end;
	uint32_t last_seq;
	uint32_t count;
	size_t bytes;
};

void events_init(struct events *e);
void events_done(struct events *e);
/* Copies the event.  False when there are too many that nobody fetched. */
bool events_add(struct events *e, const struct hostcall *call);
/* Drops those up to and including seq. */
void events_acknowledge(struct events *e, uint32_t seq);
/* Those after seq as messages: an array on the heap (free) of pointers into it and into e, valid
 * until e changes. */
size_t events_list(const struct events *e, uint32_t after_seq, PB(Event) * **ret);
/* Is this log level (a raw JSON string) at or above `wanted` ("" or unknown: no log is wanted)? */
bool events_wants_level(const char *wanted, struct json_span level);
