/* What a sandbox asks for, and the events that come of it. */
#include "test.h"
#include "events.h"
#include "hostcalls.h"

static long take(const char *json, struct hostcall *ret, uint8_t frame[4096])
{
	size_t len = strlen(json);

	frame[0] = (uint8_t)len;
	frame[1] = (uint8_t)(len >> 8);
	frame[2] = frame[3] = 0;
	memcpy(frame + 4, json, len);
	return hostcall_take(frame, 4 + len, ret);
}

static void takes_what_is_known_and_refuses_the_rest(void **state)
{
	static const struct {
		const char *json;
		int expected; /* enum hostcall_op or -ERR_INVALID */
	} rows[] = {
		{ "{\"op\":\"open\"}", HOSTCALL_OPEN },
		{ "{\"op\":\"progress\",\"event\":{\"progress\":1}}", HOSTCALL_PROGRESS },
		{ "{\"op\":\"progress\",\"event\":{\"progress\":\"1\"}}", -ERR_INVALID },
		{ "{\"op\":\"progress\",\"event\":{}}", -ERR_INVALID },
		{ "{\"op\":\"progress\",\"event\":[1]}", -ERR_INVALID },
		{ "{\"op\":\"progress\"}", -ERR_INVALID },
		{ "{\"op\":\"log\",\"event\":{\"level\":\"info\",\"data\":null}}", HOSTCALL_LOG },
		{ "{\"op\":\"log\",\"event\":{\"level\":\"info\"}}", -ERR_INVALID },
		{ "{\"op\":\"log\",\"event\":{\"level\":1,\"data\":2}}", -ERR_INVALID },
		{ "{\"op\":\"exec\"}", -ERR_INVALID },
		{ "{}", -ERR_INVALID },
		{ "{\"op\":\"open\"} ", HOSTCALL_OPEN },
		{ "{\"op\":\"open\"}x", -ERR_INVALID },
		{ "[]", -ERR_INVALID },
		{ "", -ERR_INVALID },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct hostcall call = { 0 };
		uint8_t frame[4096];
		long n = take(rows[i].json, &call, frame);

		if (rows[i].expected < 0)
			assert_int_equal(n, rows[i].expected);
		else
			assert_true(n == (long)(4 + strlen(rows[i].json)) &&
				    call.op == (unsigned)rows[i].expected);
	}
}

static void waits_for_the_whole_frame(void **state)
{
	uint8_t frame[4096];
	struct hostcall call;
	long n = take("{\"op\":\"open\"}", &call, frame);

	(void)state;
	for (long i = 0; i < n; i++)
		assert_int_equal(hostcall_take(frame, (size_t)i, &call), 0);
}

static void refuses_a_length_over_the_ceiling_at_once(void **state)
{
	static const uint8_t frame[] = { 1, 0, 1, 0 };
	struct hostcall call;

	(void)state;
	assert_int_equal(hostcall_take(frame, sizeof(frame), &call), -ERR_INVALID);
}

static struct hostcall progress(const char *json)
{
	return (struct hostcall){ .op = HOSTCALL_PROGRESS, .event = { json, strlen(json) } };
}

static void events_keep_their_order_until_acknowledged(void **state)
{
	struct hostcall call = progress("{\"progress\":1}");
	PB(Event) **list = NULL;
	struct events e;

	(void)state;
	events_init(&e);
	for (int i = 0; i < 3; i++)
		assert_true(events_add(&e, &call));
	assert_int_equal(events_list(&e, 1, &list), 2);
	assert_int_equal(list[0]->seq, 2);
	assert_int_equal(list[1]->seq, 3);
	free(list);
	events_acknowledge(&e, 2);
	assert_true(events_add(&e, &call));
	assert_int_equal(events_list(&e, 0, &list), 2);
	assert_int_equal(list[0]->seq, 3);
	assert_int_equal(list[1]->seq, 4);
	free(list);
	events_done(&e);
}

static void too_many_events_are_refused(void **state)
{
	struct hostcall call = progress("{\"progress\":1}");
	struct events e;
	uint32_t n = 0;

	(void)state;
	events_init(&e);
	while (events_add(&e, &call))
		n++;
	assert_int_equal(n, EVENTS_COUNT_MAX);
	events_done(&e);
}

static void log_levels_are_ranked(void **state)
{
	static const struct {
		const char *wanted, *level;
		bool is_wanted;
	} rows[] = {
		{ "info", "\"info\"", true },       { "info", "\"error\"", true },
		{ "info", "\"debug\"", false },     { "", "\"emergency\"", false },
		{ "debug", "\"nonsense\"", false }, { "x", "\"info\"", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct json_span span = { rows[i].level, strlen(rows[i].level) };

		assert_int_equal(events_wants_level(rows[i].wanted, span), rows[i].is_wanted);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_what_is_known_and_refuses_the_rest),
		cmocka_unit_test(waits_for_the_whole_frame),
		cmocka_unit_test(refuses_a_length_over_the_ceiling_at_once),
		cmocka_unit_test(events_keep_their_order_until_acknowledged),
		cmocka_unit_test(too_many_events_are_refused),
		cmocka_unit_test(log_levels_are_ranked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
