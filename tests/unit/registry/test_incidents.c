/* How many rows of the audit a tool can cause. */
#include "test.h"
#include "incidents.h"

#define NOW 1795300000000

static void the_first_few_of_a_minute_are_written(void **state)
{
	struct incident_window i = { 0 };

	(void)state;
	for (int n = 0; n < INCIDENT_BURST; n++)
		assert_true(incident_may_write(&i, NOW + n));
	for (int n = 1; n <= 1000; n++) {
		assert_false(incident_may_write(&i, NOW + INCIDENT_WINDOW_MS - 1));
		assert_int_equal(i.pending, n);
	}
}

static void a_minute_later_it_begins_anew(void **state)
{
	struct incident_window i = { .since_unix_ms = NOW, .written = INCIDENT_BURST };

	(void)state;
	assert_false(incident_is_over(&i, NOW + INCIDENT_WINDOW_MS - 1));
	assert_true(incident_is_over(&i, NOW + INCIDENT_WINDOW_MS));
	assert_true(incident_may_write(&i, NOW + INCIDENT_WINDOW_MS));
	assert_int_equal(i.written, 1);
	assert_int_equal(i.since_unix_ms, NOW + INCIDENT_WINDOW_MS);
}

/* Else a clock that was set back would keep a tool's incidents from the audit for as long. */
static void a_clock_that_was_set_back_ends_the_minute(void **state)
{
	struct incident_window i = { .since_unix_ms = NOW, .written = INCIDENT_BURST };

	(void)state;
	assert_true(incident_may_write(&i, NOW - 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_few_of_a_minute_are_written),
		cmocka_unit_test(a_minute_later_it_begins_anew),
		cmocka_unit_test(a_clock_that_was_set_back_ends_the_minute),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
