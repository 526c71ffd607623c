/*
 * What a call asked for in vain: modules, hosts, system calls.  Said by its own process, which may lie,
 * flood or send rubbish; so bounded, and made of few signs.  Pure.  Not thread-safe.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include "hostcalls.h"
#include "msg.h"

#define REFUSALS_MAX     16u /* different ones; more are dropped */
#define REFUSAL_NAME_MAX 128u

struct refusal {
	const char *kind; /* static */
	char name[REFUSAL_NAME_MAX];
	uint32_t line, count;
};
struct refusals {
	struct refusal rows[REFUSALS_MAX];
	size_t count;
};

/* One more, or one that is known counted once more.  An unknown kind is ignored. */
void refusals_add(struct refusals *r, const struct hostcall *call);
/* As messages: an array on the heap (free) that points into r. */
size_t refusals_list(const struct refusals *r, PB(Refusal) * **ret);
