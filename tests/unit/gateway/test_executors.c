#include "gateway_test.h"

#include <pthread.h>
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

static void give_back(struct executors *e, const char *key, const struct executor_place *place,
		      enum place_fate fate)
{
	const struct executor_want want = { .key = key, .server_id = "s" };

	executors_give_back(e, &want, place, fate);
}

static char take_and_return(struct executors *e, const char *key)
{
	struct executor_place place;
	char who = take(e, key, &place);

	if (who != '-')
		give_back(e, key, &place, PLACE_DONE);
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
		for (unsigned n = 0; n < 3; n++)
			seen |= first == three[n].name[0] ? 1u << n : 0;
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
	give_back(e, "k", &p[1], PLACE_DONE);
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
	give_back(e, "k", &p, PLACE_BUSY);
	assert_int_not_equal(take_and_return(e, "k"), first);
	clock_test_advance(1000);
	assert_int_equal(take(e, "k", &p), first);
	give_back(e, "k", &p, PLACE_LOST);
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
	give_back(e, "k", &p, PLACE_DONE);
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

/* ---- many wait ---- */

struct customer {
	struct executors *e;
	struct executor_want want;
	struct executor_place place;
	pthread_t thread;
	int result;
	int order; /* in which it was served; 0: not yet */
};
static int served;

static void *stand_in_line(void *arg)
{
	struct customer *c = arg;

	c->result = executors_take(c->e, &c->want, &c->place, NULL);
	c->order = __atomic_add_fetch(&served, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

/* Returns when it stands in the queue. */
static void join_queue(struct executors *e, struct customer *c, const char *server, const char *key)
{
	size_t before = executors_count(e).waiting;

	*c = (struct customer){ .e = e,
				.want = { .key = key,
					  .server_id = server,
					  .deadline_mono_ms = clock_mono_ms() + 60000 } };
	assert_int_equal(pthread_create(&c->thread, NULL, stand_in_line, c), 0);
	while (executors_count(e).waiting == before)
		(void)sched_yield();
}

static void be_served(struct customer *c)
{
	assert_int_equal(pthread_join(c->thread, NULL), 0);
	assert_int_equal(c->result, 0);
}

static const struct given one[] = { { "a", 4, false } };

/* A flood of one server's calls: another's first call is the next that is served. */
static void what_gets_free_goes_to_the_server_with_the_fewest_calls(void **state)
{
	struct executors *e = executors_new(no_ping, NULL);
	struct executor_want flood = { .key = "slow/1", .server_id = "a" };
	struct executor_place p[4];
	struct customer many[8], few[2];

	(void)state;
	update(e, one, 1);
	served = 0;
	for (int i = 0; i < 4; i++)
		assert_int_equal(executors_take(e, &flood, &p[i], NULL), 0);
	for (int i = 0; i < 8; i++)
		join_queue(e, &many[i], "a", "slow/1");
	for (int i = 0; i < 2; i++)
		join_queue(e, &few[i], "b", "quick/1");
	for (int i = 0; i < 4; i++) {
		executors_give_back(e, &flood, &p[i], PLACE_DONE);
		if (i < 2)
			be_served(&few[i]);
		else
			be_served(&many[i - 2]);
		assert_int_equal(served, i + 1);
	}
	for (int i = 0; i < 8; i++) {
		if (i >= 2)
			be_served(&many[i]);
		executors_give_back(e, &many[i].want, &many[i].place, PLACE_DONE);
		if (i < 2)
			executors_give_back(e, &few[i].want, &few[i].place, PLACE_DONE);
	}
	assert_int_equal(executors_count(e).in_flight, 0);
	assert_int_equal(executors_count(e).waiting, 0);
	executors_free(e);
}

/* It said BUSY because the tool or server has used its share: that is no news for others. */
static void a_share_that_is_used_up_holds_nobody_else(void **state)
{
	static const enum place_fate fates[] = { PLACE_BUSY_TOOL, PLACE_BUSY_SERVER };
	const struct executor_want slow = { .key = "slow/1", .server_id = "a" };
	const struct executor_want sister = { .key = "quick/1", .server_id = "a" };
	const struct executor_want other = { .key = "other/1", .server_id = "b" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(fates); i++) {
		struct executors *e = executors_new(no_ping, NULL);
		struct executor_place p, q;

		update(e, one, 1);
		assert_int_equal(executors_take(e, &slow, &q, NULL), 0);
		assert_int_equal(executors_take(e, &slow, &p, NULL), 0);
		executors_give_back(e, &slow, &p, fates[i]);
		assert_int_equal(executors_take(e, &slow, &p, NULL), -ERR_DEADLINE);
		assert_int_equal(executors_take(e, &sister, &p, NULL),
				 fates[i] == PLACE_BUSY_TOOL ? 0 : -ERR_DEADLINE);
		assert_int_equal(executors_take(e, &other, &p, NULL), 0);
		/* One of its calls ended: there is room again at once. */
		executors_give_back(e, &slow, &q, PLACE_DONE);
		assert_int_equal(executors_take(e, &slow, &p, NULL), 0);
		executors_free(e);
	}
}

static void a_pause_ends_by_itself_for_those_who_wait(void **state)
{
	struct executors *e = executors_new(no_ping, NULL);
	const struct executor_want slow = { .key = "slow/1", .server_id = "a" };
	struct executor_place p;
	struct customer next;

	(void)state;
	update(e, one, 1);
	assert_int_equal(executors_take(e, &slow, &p, NULL), 0);
	executors_give_back(e, &slow, &p, PLACE_BUSY_TOOL);
	join_queue(e, &next, "a", "slow/1");
	be_served(&next);
	executors_give_back(e, &next.want, &next.place, PLACE_DONE);
	executors_free(e);
}

static void one_tool_and_one_server_fill_a_part_of_the_queue(void **state)
{
	enum { OF_TOOL = EXECUTORS_QUEUE / 4 * 3 / 4, OF_SERVER = EXECUTORS_QUEUE / 4 };
	static struct customer line[OF_SERVER + 1];
	static const struct given full[] = { { "a", 1, false } };
	const struct executor_want first = { .key = "x/1", .server_id = "x" };
	struct executors *e = executors_new(no_ping, NULL);
	struct executor_want want = { .key = "slow/1", .server_id = "a" };
	struct executor_place p;
	struct err err = { 0 };

	(void)state;
	update(e, full, 1);
	assert_int_equal(executors_take(e, &first, &p, NULL), 0);
	for (int i = 0; i < OF_TOOL; i++)
		join_queue(e, &line[i], "a", "slow/1");
	assert_int_equal(executors_take(e, &want, &p, &err), -ERR_BUSY);
	assert_non_null(strstr(err.text, "of this tool"));
	for (int i = OF_TOOL; i < OF_SERVER; i++)
		join_queue(e, &line[i], "a", "other/1");
	want.key = "third/1";
	assert_int_equal(executors_take(e, &want, &p, &err), -ERR_BUSY);
	assert_non_null(strstr(err.text, "of this server"));
	join_queue(e, &line[OF_SERVER], "b", "quick/1");
	executors_give_back(e, &first, &p, PLACE_DONE);
	for (int i = 0; i <= OF_SERVER; i++) { /* nobody has any in flight: as they came */
		be_served(&line[i]);
		executors_give_back(e, &line[i].want, &line[i].place, PLACE_DONE);
	}
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
		cmocka_unit_test(what_gets_free_goes_to_the_server_with_the_fewest_calls),
		cmocka_unit_test(a_share_that_is_used_up_holds_nobody_else),
		cmocka_unit_test(a_pause_ends_by_itself_for_those_who_wait),
		cmocka_unit_test(one_tool_and_one_server_fill_a_part_of_the_queue),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
