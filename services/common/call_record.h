/*
 * What the record of a call keeps of its arguments and of its end: redacted, cut, named.  For those who write such
 * records: gateways, and the registry for its own test runs.  Pure.
 */
#pragma once

#include "buf.h"
#include "msg.h"

#define CALL_RECORD_ARGS   BUF_INIT(16384 + 64)
#define CALL_RECORD_RESULT BUF_INIT(65536 + 64)
#define CALL_OUTCOME_SIZE  32

/* arguments: JSON that was scanned.  kept: begun as CALL_RECORD_ARGS; r points into it. */
void call_record_arguments(PB(CallRecord) * r, const void *arguments, size_t len, struct buf *kept);
/* kept: begun as CALL_RECORD_RESULT; r points into it, into outcome and into done. */
void call_record_done(PB(CallRecord) * r, const PB(Done) * done, struct buf *kept,
		      char outcome[CALL_OUTCOME_SIZE]);
/* The outcome of a call that has no Done, from the code of its error: "not_started", "executor_lost", ... */
const char *call_failure_outcome(int code);
