#include "clock.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>

static _Atomic int64_t test_offset_ms;

static int64_t read_us(clockid_t id)
{
	struct timespec ts;

	(void)clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000 +
	       atomic_load_explicit(&test_offset_ms, memory_order_relaxed) * 1000;
}

uint64_t clock_mono_us(void)
{
	return (uint64_t)read_us(CLOCK_MONOTONIC);
}

uint64_t clock_mono_ms(void)
{
	return clock_mono_us() / 1000;
}

int64_t clock_unix_ms(void)
{
	return read_us(CLOCK_REALTIME) / 1000;
}

void clock_format_iso(int64_t unix_ms, char ret[32])
{
	int64_t ms = unix_ms % 1000;
	time_t seconds = (time_t)(unix_ms / 1000);
	char rest[24];
	struct tm tm;

	if (ms < 0) {
		ms += 1000;
		seconds--;
	}
	/* Years beyond 9999 have no place in the format, and nobody means them. */
	if (!gmtime_r(&seconds, &tm) || tm.tm_year < -1900 || tm.tm_year > 9999 - 1900 ||
	    strftime(rest, sizeof(rest), "-%m-%dT%H:%M:%S", &tm) == 0) {
		(void)snprintf(ret, 32, "0000-00-00T00:00:00.000Z");
		return;
	}
	/* strftime() writes the year 26 with two digits. */
	(void)snprintf(ret, 32, "%04u%.15s.%03uZ", (unsigned)(tm.tm_year + 1900) % 10000, rest,
		       (unsigned)ms % 1000);
}

void clock_sleep_ms(uint32_t ms)
{
	struct timespec left = { ms / 1000, (long)(ms % 1000) * 1000000 };

	while (nanosleep(&left, &left) < 0 && errno == EINTR)
		;
}

void clock_abs_after(uint32_t ms, struct timespec *ret)
{
	(void)clock_gettime(CLOCK_MONOTONIC, ret);
	ret->tv_sec += ms / 1000;
	ret->tv_nsec += (long)(ms % 1000) * 1000000;
	if (ret->tv_nsec >= 1000000000) {
		ret->tv_nsec -= 1000000000;
		ret->tv_sec++;
	}
}

void clock_test_advance(int64_t ms)
{
	atomic_fetch_add(&test_offset_ms, ms);
}
