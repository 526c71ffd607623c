/*
 * What a sandbox is to do: a tool version with its limits, and the arguments of one call; and the
 * bytes that carry either into the sandbox.  Pure but for job_open_payload.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "attrs.h"
#include "buf.h"
#include "crypto.h"
#include "err.h"
#include "msg.h"
#include "wire.h"

struct bytes {
	const void *data; /* borrowed */
	size_t len;
};

struct job_limits {
	uint32_t timeout_ms;
	uint32_t memory_mb;
	uint32_t cpu_ms;
	uint32_t output_kb; /* total output at which the call ends */
	uint32_t result_kb;
	uint32_t files;
	uint32_t threads;
	uint32_t scratch_mb;
};

struct job {
	/* Names the tool version: jobs with the same key have all the same but for the arguments.
	 * Inspections have the key of zeros. */
	uint8_t key[CRYPTO_HASH_SIZE];
	bool is_inspection;         /* parse `code`, run none of it; only that and limits count */
	bool is_warm;               /* its processes serve many calls, one after the other */
	struct bytes code;          /* UTF-8 */
	struct bytes arguments;     /* JSON object, scanned */
	struct bytes secrets;       /* JSON object, or empty: none */
	struct bytes input_schema;  /* JSON or empty */
	struct bytes output_schema; /* JSON or empty */
	char *const *modules;       /* beside the default list */
	size_t module_count;
	struct job_limits limits;
};

/* Fills what is 0 with the default.  cpu: as long as the wall clock. */
void job_limits_complete(struct job_limits *l);
struct job_limits job_limits_of(const PB(ToolSpec) * spec);
/* Does it use what a spare with httpx has loaded already? */
bool job_wants_http(const struct job *job);
/* shared_nproc stays 0. */
struct wire_tool job_wire(const struct job *job);
/* The tool's payload as a sealed descriptor to read from its beginning (the caller's), or -code. */
int job_open_payload(const struct job *job, struct err *err) BOX_MUST_CHECK;
/* Its bytes.  -ERR_INVALID when the code is not UTF-8, -ERR_TOO_LARGE. */
int job_add_payload(const struct job *job, struct buf *ret, struct err *err) BOX_MUST_CHECK;
/* The frame that starts a call: length and {"arguments":...,"secrets":...}.  The source of an inspection is its
 * argument `code`. */
int job_add_call(const struct job *job, struct buf *ret, struct err *err) BOX_MUST_CHECK;
