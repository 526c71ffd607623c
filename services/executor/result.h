/*
 * Judges how a call ended.  The answer frame comes from a process that hostile code ran in: one
 * JSON object, capped, scanned, nothing in it believed but what concerns its own caller.  Pure;
 * fuzzed.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include "attrs.h"
#include "capture.h"
#include "err.h"
#include "job.h"
#include "mask.h"
#include "wire.h"

/* Answer and structured value together must fit into one bus frame. */
#define RESULT_FRAME_MAX (7u * 1024 * 1024)

/* Why the supervisor ended a call, if it did. */
enum run_cause {
	CAUSE_NONE,
	CAUSE_TIMEOUT,
	CAUSE_CPU,      /* over cpu_ms */
	CAUSE_OUTPUT,   /* over output_kb */
	CAUSE_EVENTS,   /* too many events that nobody fetched */
	CAUSE_RESULT,   /* answer frame over RESULT_FRAME_MAX */
	CAUSE_PROTOCOL, /* broke the rules of its channels */
	CAUSE_THREADS,  /* over its thread limit, where the kernel does not hold it */
	CAUSE_CANCELLED,
	CAUSE_LOST, /* the worker is gone */
};

/* All that is known at the end. */
struct run_facts {
	enum run_cause cause;
	bool has_frame;
	struct bytes frame;      /* without its length */
	uint64_t frame_size;     /* as announced; with CAUSE_RESULT more than came */
	struct wire_ended ended; /* how 0: the worker never said */
	uint32_t threads;        /* with CAUSE_THREADS: so many were seen */
	uint32_t base_kb;        /* of memory_kb the interpreter's own; 0: not known */
	bool ran_out_of_memory; /* the kernel ended it, since its tool's group had used up its memory */
	uint32_t duration_ms; /* 0: not known */
	const struct job_limits *limits;
	const struct capture *output;
	const struct mask *mask;   /* what is to be hidden in all that leaves; NULL: nothing */
	const char *cancel_reason; /* or NULL */
};

/* The limit that was exceeded, in the unit that its name ends with. */
struct result_excess {
	const char *limit;      /* "timeout_ms" or a field of Limits; NULL: none was */
	uint64_t allowed, used; /* used 0: not known */
	bool is_fixed;          /* no setting of the tool moves it */
};

struct result {
	Mcpbox__V1__Done__Outcome outcome;
	struct result_excess excess;
	struct buf content;      /* MCP content array */
	struct buf structured;   /* JSON or empty */
	struct buf error_text;   /* short; empty when fine */
	struct buf error_detail; /* JSON object or empty */
	struct buf output;       /* UTF-8 */
};
#define RESULT_INIT                                                                              \
	{                                                                                        \
		.content = BUF_INIT(RESULT_FRAME_MAX), .structured = BUF_INIT(RESULT_FRAME_MAX), \
		.error_text = BUF_INIT(64 * 1024), .error_detail = BUF_INIT(256 * 1024),         \
		.output = BUF_INIT(4 * CAPTURE_KEPT)                                             \
	}
void result_done(struct result *r);
/* When no process was started: outcome and text. */
void result_fail(struct result *ret, Mcpbox__V1__Done__Outcome outcome, const char *text);
const char *result_outcome_name(Mcpbox__V1__Done__Outcome outcome); /* "tool_error" */
void result_judge(const struct run_facts *facts, struct result *ret);
/* Whether the process that gave this answer holds what its next call would fail for: it ran into a limit, or failed
 * with half of its memory in use. */
bool result_is_spent(const struct run_facts *facts);

/* The answer to an inspection, the caller's (msg_free).  -ERR_INVALID, about the source, when reading
 * it ended the process or broke its answer; -ERR_UNAVAILABLE when the sandbox itself went away. */
int result_judge_inspection(const struct run_facts *facts, PB(InspectReply) * *ret,
			    struct err *err) BOX_MUST_CHECK;
