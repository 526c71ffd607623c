/*
 * Calls that ran into a limit, were killed or asked for something in vain, as rows of the audit:
 * sandbox.killed and tool.refused.  Bounded: INCIDENT_BURST rows per tool, topic and minute, then one
 * that counts the rest.
 */
#pragma once

#include "work.h"

enum { INCIDENT_BURST = 5, INCIDENT_WINDOW_MS = 60000 };

/* Where one tool stands with one topic.  Pure. */
struct incident_window {
	int64_t since_unix_ms; /* 0: never */
	uint32_t written;
	uint64_t pending;
};
bool incident_is_over(const struct incident_window *i, int64_t now_unix_ms);
/* One more.  True: it gets a row of its own; false: it is counted.  What was counted in a window that is over
 * must have been written before. */
bool incident_may_write(struct incident_window *i, int64_t now_unix_ms);

/* What the ends of calls among these records (numbers after last_no) tell; in the transaction of their batch. */
int incidents_take(struct work *w, PB(Record) *const *records, size_t count,
		   uint64_t last_no) BOX_MUST_CHECK;
/* Writes what was counted in windows that are over.  Run now and then. */
op_run incidents_flush;
