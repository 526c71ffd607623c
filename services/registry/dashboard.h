/*
 * Which buckets of the roll-up a time is made of.  Pure.
 */
#pragma once

#include <stdint.h>

/* Whole buckets: from the one in which the time begins up to now; fine ones up to the next coarse one. */
struct window {
	uint32_t fine_min, coarse_min; /* minutes of a bucket */
	int64_t from_unix_ms, coarse_unix_ms;
};
struct window window_of_hours(uint32_t hours, int64_t now_unix_ms);
int64_t window_floor(int64_t unix_ms, uint32_t minutes);
