#include "gateway_test.h"

#include <stdlib.h>
#include "clock.h"
#include "executors.h"

/* ---- a Status with executors a, b, c ... ---- */

struct given {
	const char *name;
	uint32_t capacity;
	bool draining;
};

static void update(struct executors *e, const struct given *given, size_t count)
{
	PB(Status) status = MCPBOX__V1__STATUS__INIT;
	PB(Instance) rows[16];
	PB(Instance) * pointers[16];
	uint8_t boot[16][BOOT_ID_SIZE] = { { 0 } };

	for (size_t i = 0; i < count; i++) {
		rows[i] = (PB(Instance))MCPBOX__V1__INSTANCE__INIT;
		boot[i][0] = (uint8_t)given[i].name[0];
		rows[i].role = MCPBOX__V1__ROLE__ROLE_EXECUTOR;
		rows[i].instance = (char *)(uintptr_t)given[i].name;
		rows[i].boot_id = pb_bytes(boot[i], BOOT_ID_SIZE);
		rows[i].work_addr = rows[i].control_addr = (char *)(uintptr_t) "tcp://127.0.0.1:1";
		rows[i].capacity = given[i].capacity;
		rows[i].draining = given[i].draining;
		pointers[i] = &rows[i];
	}
	status.instances = pointers;
	status.n_instances = count;
	executors_update(e, &status);
}

static int no_ping(void *arg, const struct bus_target *control, PB(PingReply) * ret)
{
	(void)arg;
	(void)control;
	(void)ret;
	return -ERR_UNAVAILABLE;
}

static bool never(void *arg)
{
	return arg != NULL;
}

/* Who gets the call; '-' when nobody does at once. */
static char take(struct executors *e, const char *key, struct executor_place *ret)
{
	const struct executor_want want = { .key = key, .server_id = "s", .given_up = never };

	return executors_take(e, &want, ret, NULL) == 0 ? ret->instance[0] : '-';
}

static char take_and_return(struct executors *e, const char *key)
{
	struct executor_place place;
	char who = take(e, key, &place);

	if (who != '-')
		executors_give_back(e, &place, PLACE_DONE);
	return who;
}

static const struct given three[] = { { "a", 2, false }, { "b", 2, false }, { "c", 2, false } };

static struct executors *started(void)
{
	struct executors *e = executors_new(no_ping, NULL);

	update(e, three, 3);
	return e;
}

/* ---- claims ---- */

static void same_version_goes_to_the_same_executor(void **state)
{
	struct executors *e = started();
	unsigned seen = 0;

	(void)state;
	for (int i = 0; i < 64; i++) {
		char key[16];
		char first;

		(void)snprintf(key, sizeof(key), "tool/%d", i);
		first = take_and_return(e, key);
		for (int k = 0; k < 3; k++)
			assert_int_equal(take_and_return(e, key), first);
		seen |= 1u << (first - 'a');
	}
	assert_int_equal(seen, 7); /* and the versions are spread over all */
	executors_free(e);
}

static void others_keep_their_place_when_one_leaves(void **state)
{
	static const struct given two[] = { { "a", 2, false }, { "c", 2, false } };
	struct executors *e = started();

	(void)state;
	for (int i = 0; i < 32; i++) {
		char key[16];
		char before;

		(void)snprintf(key, sizeof(key), "tool/%d", i);
		update(e, three, 3);
		before = take_and_return(e, key);
		update(e, two, 2);
		if (before != 'b')
			assert_int_equal(take_and_return(e, key), before);
	}
	executors_free(e);
}

static void second_call_goes_to_the_freer_of_two_and_then_to_the_third(void **state)
{
	struct executors *e = started();
	struct executor_place p[7];
	char who[8] = { 0 };

	(void)state;
	for (int i = 0; i < 6; i++)
		who[i] = take(e, "k", &p[i]);
	assert_int_not_equal(who[0], who[1]);
	assert_true((who[2] == who[0]) != (who[2] == who[1]));
	assert_int_not_equal(who[4], who[0]);
	assert_int_not_equal(who[4], who[1]);
	assert_int_equal(who[5], who[4]);
	assert_int_equal(take(e, "k", &p[6]), '-'); /* all full */
	executors_give_back(e, &p[1], PLACE_DONE);
	assert_int_equal(take(e, "k", &p[6]), who[1]);
	executors_free(e);
}

static void draining_lost_and_busy_ones_are_passed_over(void **state)
{
	static const struct given draining[] = { { "a", 2, true },
						 { "b", 2, false },
						 { "c", 2, false } };
	struct executors *e = started();
	struct executor_place p;
	char first;

	(void)state;
	update(e, draining, 3);
	for (int i = 0; i < 16; i++) {
		char key[16];

		(void)snprintf(key, sizeof(key), "%d", i);
		assert_int_not_equal(take_and_return(e, key), 'a');
	}
	first = take(e, "k", &p);
	executors_give_back(e, &p, PLACE_BUSY);
	assert_int_not_equal(take_and_return(e, "k"), first);
	clock_test_advance(1000);
	assert_int_equal(take(e, "k", &p), first);
	executors_give_back(e, &p, PLACE_LOST);
	assert_false(executors_alive(e, &p));
	clock_test_advance(1000);
	assert_int_not_equal(take_and_return(e, "k"), first);
	executors_free(e);
}

static void a_place_outlives_its_executors_departure(void **state)
{
	struct executors *e = started();
	struct executor_place p;

	(void)state;
	assert_int_not_equal(take(e, "k", &p), '-');
	update(e, three, 0);
	assert_int_equal(executors_count(e).in_flight, 1);
	assert_false(executors_alive(e, &p));
	executors_give_back(e, &p, PLACE_DONE);
	assert_int_equal(executors_count(e).in_flight, 0);
	executors_free(e);
}

static void nobody_there_and_everybody_full_are_told_apart(void **state)
{
	const struct executor_want want = { .key = "k", .server_id = "s" };
	struct executors *e = executors_new(no_ping, NULL);
	struct executor_place p[3];
	struct err err = { 0 };

	(void)state;
	assert_int_equal(executors_take(e, &want, &p[0], &err), -ERR_DEADLINE);
	assert_non_null(strstr(err.text, "no executor is running"));
	update(e, three, 1);
	assert_int_equal(executors_take(e, &want, &p[0], &err), 0);
	assert_int_equal(executors_take(e, &want, &p[1], &err), 0);
	assert_int_equal(executors_take(e, &want, &p[2], &err), -ERR_DEADLINE);
	assert_non_null(strstr(err.text, "busy"));
	executors_free(e);
}

static void waiting_ends_when_the_caller_gave_up(void **state)
{
	int yes = 1;
	const struct executor_want want = { .key = "k",
					    .server_id = "s",
					    .deadline_mono_ms = UINT64_MAX,
					    .given_up = never,
					    .arg = &yes };
	struct executors *e = executors_new(no_ping, NULL);
	struct executor_place p;

	(void)state;
	assert_int_equal(executors_take(e, &want, &p, NULL), -ERR_CANCELLED);
	executors_free(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_version_goes_to_the_same_executor),
		cmocka_unit_test(others_keep_their_place_when_one_leaves),
		cmocka_unit_test(second_call_goes_to_the_freer_of_two_and_then_to_the_third),
		cmocka_unit_test(draining_lost_and_busy_ones_are_passed_over),
		cmocka_unit_test(a_place_outlives_its_executors_departure),
		cmocka_unit_test(nobody_there_and_everybody_full_are_told_apart),
		cmocka_unit_test(waiting_ends_when_the_caller_gave_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
