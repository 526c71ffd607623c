/* What a sandbox asks for, and the events that come of it. */
#include "test.h"
#include "events.h"
#include "hostcalls.h"
#include "mem.h"
#include "refusals.h"

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
		{ "{\"op\":\"refused\",\"event\":{\"kind\":\"import\",\"name\":\"os\",\"line\":3}}",
		  HOSTCALL_REFUSED },
		{ "{\"op\":\"refused\",\"event\":{\"kind\":\"host\",\"name\":\"a.b\"}}",
		  HOSTCALL_REFUSED },
		{ "{\"op\":\"refused\",\"event\":{\"kind\":\"import\"}}", -ERR_INVALID },
		{ "{\"op\":\"refused\",\"event\":{\"kind\":1,\"name\":\"os\"}}", -ERR_INVALID },
		{ "{\"op\":\"refused\",\"event\":{\"kind\":\"host\",\"name\":\"a\",\"line\":[]}}",
		  -ERR_INVALID },
		{ "{\"op\":\"refused\"}", -ERR_INVALID },
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

/* ---- what was asked for in vain ---- */

static void add_refusal(struct refusals *r, const char *kind, const char *name, const char *line)
{
	struct hostcall call = { .op = HOSTCALL_REFUSED,
				 .kind = { kind, strlen(kind) },
				 .name = { name, strlen(name) } };

	if (line)
		call.line = (struct json_span){ line, strlen(line) };
	refusals_add(r, &call);
}

static void refusals_are_counted_by_kind_and_name(void **state)
{
	struct refusals r = { 0 };
	BOX_CLEANUP(mem_freep) PB(Refusal) **list = NULL;

	(void)state;
	add_refusal(&r, "\"import\"", "\"os\"", "3");
	add_refusal(&r, "\"import\"", "\"os\"", "9");
	add_refusal(&r, "\"host\"", "\"os\"", NULL);
	add_refusal(&r, "\"nonsense\"", "\"x\"", NULL);
	assert_int_equal(refusals_list(&r, &list), 2);
	assert_string_equal(list[0]->kind, "import");
	assert_string_equal(list[0]->name, "os");
	assert_int_equal(list[0]->line, 3);
	assert_int_equal(list[0]->count, 2);
	assert_string_equal(list[1]->kind, "host");
	assert_int_equal(list[1]->line, 0);
}

/* The bytes are the tool's: they may be long, many, and made to be shown to an administrator. */
static void refusals_are_bounded_and_plain(void **state)
{
	struct refusals r = { 0 };
	char name[600];

	(void)state;
	memset(name, 'a', sizeof(name));
	name[0] = '"';
	name[597] = '"';
	name[598] = 0;
	add_refusal(&r, "\"import\"", name, "99999999999999999999");
	assert_int_equal(strlen(r.rows[0].name), REFUSAL_NAME_MAX - 1);
	assert_int_equal(r.rows[0].line, 0);
	add_refusal(&r, "\"host\"", "\"a\\u001b[2J\\u202e<b>\\u0000c\"", "-1");
	assert_null(strpbrk(r.rows[1].name, "\x1b<>\xe2"));
	assert_int_equal(r.rows[1].line, 0);
	for (int i = 0; i < 100; i++) {
		(void)snprintf(name, sizeof(name), "\"m%d\"", i);
		add_refusal(&r, "\"import\"", name, NULL);
	}
	assert_int_equal(r.count, REFUSALS_MAX);
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
		cmocka_unit_test(refusals_are_counted_by_kind_and_name),
		cmocka_unit_test(refusals_are_bounded_and_plain),
		cmocka_unit_test(events_keep_their_order_until_acknowledged),
		cmocka_unit_test(too_many_events_are_refused),
		cmocka_unit_test(log_levels_are_ranked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
