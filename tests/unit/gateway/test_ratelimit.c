#include "gateway_test.h"

#include "ratelimit.h"

static void zero_means_no_limit(void **state)
{
	struct ratelimit *r = ratelimit_new(0);

	(void)state;
	for (int i = 0; i < 10000; i++)
		assert_int_equal(ratelimit_take(r, "a", 1000), 0);
	ratelimit_free(r);
}

static void a_minute_holds_that_many(void **state)
{
	struct ratelimit *r = ratelimit_new(60);

	(void)state;
	for (int i = 0; i < 60; i++)
		assert_int_equal(ratelimit_take(r, "a", 1000), 0);
	assert_in_range(ratelimit_take(r, "a", 1000), 1, 2);
	assert_int_equal(ratelimit_take(r, "b", 1000), 0); /* another caller is not concerned */
	assert_in_range(ratelimit_take(r, "a", 1500), 1, 2);
	assert_int_equal(ratelimit_take(r, "a", 2100), 0);
	ratelimit_free(r);
}

static void another_limit_is_in_force_at_once(void **state)
{
	struct ratelimit *r = ratelimit_new(0);

	(void)state;
	assert_int_equal(ratelimit_take(r, "a", 1000), 0);
	ratelimit_set(r, 10);
	for (int i = 0; i < 10; i++)
		assert_int_equal(ratelimit_take(r, "a", 1000), 0);
	assert_int_not_equal(ratelimit_take(r, "a", 1000), 0);
	ratelimit_set(r, 60000);
	assert_int_equal(ratelimit_take(r, "a", 1002), 0);
	ratelimit_set(r, 0);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(ratelimit_take(r, "a", 1002), 0);
	ratelimit_free(r);
}

static void many_callers_push_out_the_oldest_only(void **state)
{
	struct ratelimit *r = ratelimit_new(1);
	char key[16];

	(void)state;
	assert_int_equal(ratelimit_take(r, "busy", 1), 0);
	for (unsigned i = 0; i < RATELIMIT_KEYS - 1; i++) {
		(void)snprintf(key, sizeof(key), "%u", i);
		assert_int_equal(ratelimit_take(r, key, 10 + i), 0);
	}
	assert_int_not_equal(ratelimit_take(r, "busy", 2000), 0);
	assert_int_equal(ratelimit_take(r, "new", 2001), 0);
	assert_int_not_equal(ratelimit_take(r, "busy", 2002), 0);
	ratelimit_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(zero_means_no_limit),
		cmocka_unit_test(a_minute_holds_that_many),
		cmocka_unit_test(another_limit_is_in_force_at_once),
		cmocka_unit_test(many_callers_push_out_the_oldest_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
