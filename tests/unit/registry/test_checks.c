#include "test.h"
#include "checks.h"
#include "json.h"
#include "servers.h"

static void judges_limits(void **state)
{
	static const struct {
		const char *json;
		int expected;
	} rows[] = {
		{ "", 0 },
		{ "{}", 0 },
		{ "{\"memory_mb\":256,\"threads\":4}", 0 },
		{ "{\"memory_mb\":1024}", 0 },
		{ "{\"memory_mb\":1025}", -ERR_INVALID },
		{ "{\"memory_mb\":\"256\"}", -ERR_INVALID },
		{ "{\"memory_mb\":-1}", -ERR_INVALID },
		{ "{\"speed\":1}", -ERR_INVALID },
		{ "[]", -ERR_INVALID },
		{ "{", -ERR_INVALID },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(check_limits(pb_text(rows[i].json), NULL), rows[i].expected);
}

static void fills_limits_that_were_not_given(void **state)
{
	PB(Limits) l = MCPBOX__V1__LIMITS__INIT;

	(void)state;
	limits_read(pb_text("{\"memory_mb\":64}"), &l);
	assert_int_equal(l.memory_mb, 64);
	assert_int_equal(l.result_kb, 1024);
}

static void limits_are_shown_whole_and_kept_in_one_order(void **state)
{
	struct buf b = BUF_INIT(LIMITS_TEXT_MAX);

	(void)state;
	limits_show(pb_text("{\"threads\":3}"), &b);
	assert_string_equal(
		buf_str(&b),
		"{\"memory_mb\":256,\"cpu_ms\":60000,\"output_kb\":4096,\"result_kb\":1024,"
		"\"files\":128,\"threads\":3,\"scratch_mb\":16}");
	buf_clear(&b);
	limits_merge(pb_text("{\"threads\":3,\"memory_mb\":64}"),
		     pb_text("{ \"files\" : 99, \"threads\": 5}"), &b);
	assert_string_equal(buf_str(&b), "{\"memory_mb\":64,\"files\":99,\"threads\":5}");
	buf_clear(&b);
	limits_merge((ProtobufCBinaryData){ 0 }, pb_text("{}"), &b);
	assert_int_equal(b.len, 0);
	buf_done(&b);
}

static void an_input_schema_is_an_object_of_type_object(void **state)
{
	(void)state;
	assert_int_equal(check_object("s", pb_text("{\"type\":\"object\"}"), true, NULL), 0);
	assert_int_equal(check_object("s", pb_text("{\"type\":\"string\"}"), true, NULL),
			 -ERR_INVALID);
	assert_int_equal(check_object("s", pb_text("{}"), true, NULL), -ERR_INVALID);
	assert_int_equal(check_object("s", pb_text("{}"), false, NULL), 0);
	assert_int_equal(check_object("s", pb_text("null"), false, NULL), -ERR_INVALID);
}

static void counts_signs_and_not_bytes(void **state)
{
	(void)state;
	assert_int_equal(check_text("t", pb_text("ääää"), 4, NULL), 0);
	assert_int_equal(check_text("t", pb_text("äääää"), 4, NULL), -ERR_INVALID);
	assert_int_equal(check_text("t", pb_bytes("a\0b", 3), 9, NULL), -ERR_INVALID);
	assert_int_equal(check_text("t", pb_bytes("\xff", 1), 9, NULL), -ERR_INVALID);
	assert_int_equal(check_text("t", (ProtobufCBinaryData){ 0 }, 9, NULL), 0);
}

static void timeouts_lie_between_one_second_and_five_minutes(void **state)
{
	(void)state;
	assert_int_equal(check_timeout("t", 999, NULL), -ERR_INVALID);
	assert_int_equal(check_timeout("t", 1000, NULL), 0);
	assert_int_equal(check_timeout("t", 300000, NULL), 0);
	assert_int_equal(check_timeout("t", 300001, NULL), -ERR_INVALID);
}

static void some_names_are_reserved_for_servers_only(void **state)
{
	(void)state;
	assert_int_equal(name_check("server", "health", NULL), -ERR_INVALID);
	assert_int_equal(name_check("tool", "health", NULL), 0);
	assert_int_equal(name_check("tool", "mcpbox_call", NULL), -ERR_INVALID);
	assert_int_equal(name_check("tool", "", NULL), -ERR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(judges_limits),
		cmocka_unit_test(fills_limits_that_were_not_given),
		cmocka_unit_test(limits_are_shown_whole_and_kept_in_one_order),
		cmocka_unit_test(an_input_schema_is_an_object_of_type_object),
		cmocka_unit_test(counts_signs_and_not_bytes),
		cmocka_unit_test(timeouts_lie_between_one_second_and_five_minutes),
		cmocka_unit_test(some_names_are_reserved_for_servers_only),
	};

	json_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
