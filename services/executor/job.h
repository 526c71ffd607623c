/* What a sandbox is to do: source, arguments, limits; and the bytes that carry it into the sandbox.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "attrs.h"
#include "buf.h"
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
	bool is_inspection;     /* parse the code, run none of it; only `code` and limits count */
	struct bytes code;      /* UTF-8 */
	struct bytes arguments; /* JSON object, scanned */
	struct bytes input_schema;  /* JSON or empty */
	struct bytes output_schema; /* JSON or empty */
	char *const *modules;       /* beside the default list */
	size_t module_count;
	struct job_limits limits;
};

/* Fills what is 0 with the default.  cpu: as long as the wall clock. */
void job_limits_complete(struct job_limits *l);
struct job_limits job_limits_of(const PB(ToolSpec) * spec);
/* Is httpx worth having loaded before the fork? */
bool job_wants_http(const struct job *job);
struct wire_job job_wire(const struct job *job, uint64_t number);
/* Payload as a descriptor to read from its beginning (the caller's), or -code. */
int job_open_payload(const struct job *job, struct err *err) BOX_MUST_CHECK;
/* The payload's bytes.  -ERR_INVALID when the code is not UTF-8, -ERR_TOO_LARGE. */
int job_add_payload(const struct job *job, struct buf *ret, struct err *err) BOX_MUST_CHECK;

#define JOB_PAYLOAD_MAX (7u * 1024 * 1024)
