/* Where the time of one call went, told to its caller in the Server-Timing header. */
#pragma once

#include <stdint.h>
#include "msg.h"

/* Pure times, in microseconds; filled by calls_run(). */
struct call_times {
	uint64_t queue_us; /* waiting for a place on an executor */
	uint64_t away_us;  /* from handing the question to the bus to its answer, all attempts */
};

#define TIMING_SIZE 160
/*
 * "gateway;dur=0.061, queue;dur=0.000, bus;dur=0.080, sandbox;dur=0.402, tool;dur=0.120": milliseconds, which add
 * up to whole_us.  executor: its own account, NULL when there is none; what it claims beyond away_us counts as bus 0.
 */
void timing_text(const struct call_times *t, const PB(Timing) * executor, uint64_t whole_us,
		 char ret[TIMING_SIZE]);
