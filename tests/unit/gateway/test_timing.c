#include "gateway_test.h"

#include <string.h>
#include "timing.h"

static void parts_add_up_to_the_whole(void **state)
{
	const struct call_times t = { .queue_us = 100, .away_us = 1000 };
	PB(Timing) x = MCPBOX__V1__TIMING__INIT;
	char text[TIMING_SIZE];

	(void)state;
	x.queue_us = 5;
	x.sandbox_wait_us = 200;
	x.run_us = 400;
	x.judge_us = 50;
	timing_text(&t, &x, 1500, text);
	assert_string_equal(text, "gateway;dur=0.400, queue;dur=0.105, bus;dur=0.345, "
				  "sandbox;dur=0.250, tool;dur=0.400");
}

static void an_executor_without_account_is_bus(void **state)
{
	const struct call_times t = { .queue_us = 0, .away_us = 1000 };
	char text[TIMING_SIZE];

	(void)state;
	timing_text(&t, NULL, 1200, text);
	assert_string_equal(text, "gateway;dur=0.200, queue;dur=0.000, bus;dur=1.000, "
				  "sandbox;dur=0.000, tool;dur=0.000");
}

/* The executor is another process, and what it says is no reason for a negative time. */
static void claims_beyond_the_time_away_do_not_turn_parts_negative(void **state)
{
	const struct call_times t = { .away_us = 10 };
	PB(Timing) x = MCPBOX__V1__TIMING__INIT;
	char text[TIMING_SIZE];

	(void)state;
	x.queue_us = x.sandbox_wait_us = x.run_us = x.judge_us = UINT32_MAX;
	timing_text(&t, &x, 5, text);
	assert_null(strchr(text, '-'));
	assert_non_null(strstr(text, "bus;dur=0.000, "));
	assert_true(strlen(text) < TIMING_SIZE - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parts_add_up_to_the_whole),
		cmocka_unit_test(an_executor_without_account_is_bus),
		cmocka_unit_test(claims_beyond_the_time_away_do_not_turn_parts_negative),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
