/* On whose behalf a stream speaks: bound when it is opened, not changed by anything that follows.
 * And what a call has used up, over all its streams.  Loop thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include "grant.h"
#include "msg.h"

/* Far above what a useful tool asks for; each request is two records in the audit log. */
#define CALL_REQUESTS_MAX 1000
/* A refusal costs the tool nothing, so it gets few of them, and still fewer records of their own.
 */
#define CALL_DENIALS_MAX        50
#define CALL_DENIALS_SINGLE_MAX 20

/* Kept until the deadline of the call, so that a new stream starts no new count. */
struct tally {
	struct tally *next;
	char *call_id;
	uint64_t deadline_mono_ms;
	unsigned streams;
	unsigned requests;
	unsigned denials;
	unsigned unrecorded; /* denials that no record tells of yet */
	bool is_over;        /* it was told, and recorded, that a ceiling was met */
};

struct call {
	PB(OpenRequest) * open; /* call_id, tool_name, the signed permit */
	PB(Permit) * permit;    /* verified */
	struct grant *grant;
	struct tally *tally;
	uint64_t deadline_mono_ms;
};
void call_done(struct call *c);

/* Sets c->tally, the one of its call_id; drops those whose time is over. */
void call_join_tally(struct call *c, struct tally **tallies);
/* All of them; no call may be left. */
void call_free_tallies(struct tally **tallies);
