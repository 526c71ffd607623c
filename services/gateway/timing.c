#include "timing.h"

#include <stdio.h>

static uint64_t without(uint64_t whole, uint64_t part)
{
	return whole > part ? whole - part : 0;
}

static double ms(uint64_t us)
{
	return (double)us / 1000;
}

void timing_text(const struct call_times *t, const PB(Timing) * executor, uint64_t whole_us,
		 char ret[TIMING_SIZE])
{
	static const PB(Timing) none = MCPBOX__V1__TIMING__INIT;
	const PB(Timing) *x = executor ? executor : &none;
	uint64_t sandbox = (uint64_t)x->sandbox_wait_us + x->judge_us;

	(void)snprintf(ret, TIMING_SIZE,
		       "gateway;dur=%.3f, queue;dur=%.3f, bus;dur=%.3f, sandbox;dur=%.3f, "
		       "tool;dur=%.3f",
		       ms(without(whole_us, t->queue_us + t->away_us)),
		       ms(t->queue_us + x->queue_us),
		       ms(without(t->away_us, sandbox + x->queue_us + x->run_us)), ms(sandbox),
		       ms(x->run_us));
}
