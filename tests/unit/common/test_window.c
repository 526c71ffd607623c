#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "frame.h"

static void each_counter_counts_once(void **state)
{
	struct frame_window w = { 0 };

	(void)state;
	for (uint64_t c = 1; c <= 5000; c++) {
		assert_true(frame_window_accept(&w, c));
		assert_false(frame_window_accept(&w, c));
	}
}

static void zero_never_counts(void **state)
{
	struct frame_window w = { 0 };

	(void)state;
	assert_false(frame_window_accept(&w, 0));
}

static void late_ones_count_once_within_the_window(void **state)
{
	struct frame_window w = { 0 };

	(void)state;
	assert_true(frame_window_accept(&w, FRAME_WINDOW_BITS));
	for (uint64_t c = 1; c < FRAME_WINDOW_BITS; c++) {
		assert_true(frame_window_accept(&w, c));
		assert_false(frame_window_accept(&w, c));
	}
}

static void older_than_the_window_is_refused(void **state)
{
	struct frame_window w = { 0 };

	(void)state;
	assert_true(frame_window_accept(&w, FRAME_WINDOW_BITS + 10));
	assert_false(frame_window_accept(&w, 10));
	assert_true(frame_window_accept(&w, 11));
}

static void a_leap_forgets_nothing_that_counts(void **state)
{
	struct frame_window w = { 0 };

	(void)state;
	assert_true(frame_window_accept(&w, 7));
	assert_true(frame_window_accept(&w, 1000000));
	assert_false(frame_window_accept(&w, 7));
	assert_false(frame_window_accept(&w, 1000000));
	assert_true(frame_window_accept(&w, 1000000 - FRAME_WINDOW_BITS + 1));
	assert_true(frame_window_accept(&w, UINT64_MAX));
	assert_false(frame_window_accept(&w, UINT64_MAX));
	assert_true(frame_window_accept(&w, UINT64_MAX - 1));
}

/* Against a model that remembers everything, with leaps and stragglers from a fixed seed. */
static void agrees_with_a_model(void **state)
{
	static bool seen[200000];
	struct frame_window w = { 0 };
	uint64_t top = 1, highest = 0;
	unsigned seed = 7;

	(void)state;
	for (int i = 0; i < 100000; i++) {
		uint64_t back = (uint64_t)rand_r(&seed) % 1500;
		uint64_t c;
		bool expected;

		top += (uint64_t)rand_r(&seed) % 3;
		c = back < top ? top - back : 1;
		expected = !seen[c] && (c > highest || highest - c < FRAME_WINDOW_BITS);
		assert_int_equal(frame_window_accept(&w, c), expected);
		if (expected)
			seen[c] = true;
		if (expected && c > highest)
			highest = c;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_counter_counts_once),
		cmocka_unit_test(zero_never_counts),
		cmocka_unit_test(late_ones_count_once_within_the_window),
		cmocka_unit_test(older_than_the_window_is_refused),
		cmocka_unit_test(a_leap_forgets_nothing_that_counts),
		cmocka_unit_test(agrees_with_a_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
