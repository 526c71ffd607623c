#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include "backoff.h"

static void first_restart_comes_within_two_seconds(void **state)
{
	struct backoff b = { 0 };

	(void)state;
	assert_int_equal(backoff_next(&b, 5), 200);
	assert_int_equal(backoff_next(&b, 5), 400);
	assert_int_equal(backoff_next(&b, 5), 800);
	assert_int_equal(backoff_next(&b, 5), 1600);
}

static void never_waits_longer_than_thirty_seconds(void **state)
{
	struct backoff b = { 0 };
	int wait = 0;

	(void)state;
	for (int i = 0; i < 40; i++)
		wait = backoff_next(&b, 0);
	assert_int_equal(wait, 30000);
}

static void long_life_begins_anew(void **state)
{
	struct backoff b = { 0 };

	(void)state;
	for (int i = 0; i < 10; i++)
		(void)backoff_next(&b, 0);
	assert_int_equal(backoff_next(&b, 30000), 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_restart_comes_within_two_seconds),
		cmocka_unit_test(never_waits_longer_than_thirty_seconds),
		cmocka_unit_test(long_life_begins_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
