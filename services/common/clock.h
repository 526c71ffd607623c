/* Time.  Deadlines live on the monotonic clock; wall time is for records.  Replaceable in tests. */
#pragma once

#include <stdint.h>
#include <time.h>

uint64_t clock_mono_ms(void);
uint64_t clock_mono_us(void);
int64_t clock_unix_ms(void);
void clock_format_iso(int64_t unix_ms, char ret[32]); /* 2026-11-22T16:00:00.123Z */
void clock_sleep_ms(uint32_t ms);
void clock_abs_after(uint32_t ms, struct timespec *ret); /* CLOCK_MONOTONIC, for condition waits */
/* Tests only: fixed offsets added to both clocks. */
void clock_test_advance(int64_t ms);
