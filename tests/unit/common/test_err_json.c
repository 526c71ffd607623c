#include "test.h"
#include "err_json.h"
#include "json.h"

static void says(const struct err *err, int status, const char *want)
{
	struct buf b = BUF_INIT(16 * 1024);

	err_add_problem(&b, err, status);
	assert_string_equal(buf_str(&b), want);
	assert_int_equal(json_scan(b.data, b.len, NULL), 0);
	buf_done(&b);
}

static void a_problem_has_type_title_status_and_our_four(void **state)
{
	struct err err = { 0 };

	(void)state;
	(void)err_set_field(&err, ERR_INVALID, "name", "small letters", "'%s' is no name", "A");
	says(&err, 422,
	     "{\"type\":\"urn:mcpbox:error:invalid\",\"title\":\"the request has another shape or "
	     "a "
	     "bad value\",\"status\":422,\"detail\":\"'A' is no name\",\"code\":\"invalid\","
	     "\"field\":\"name\",\"hint\":\"small letters\"}");
}

static void what_was_not_said_is_null_and_foreign_text_stays_text(void **state)
{
	struct err err = { 0 };

	(void)state;
	(void)err_set(&err, ERR_NOT_FOUND, "%s", "no \"x\"\n\\ \xff");
	says(&err, 404,
	     "{\"type\":\"urn:mcpbox:error:not_found\",\"title\":\"there is no such thing\","
	     "\"status\":404,\"detail\":\"no \\\"x\\\"\\n\\\\ "
	     "\xef\xbf\xbd\",\"code\":\"not_found\","
	     "\"field\":null,\"hint\":null}");
}

static void a_stale_one_carries_the_object_as_it_is(void **state)
{
	struct err err = { 0 };
	struct buf b = BUF_INIT(16 * 1024);

	(void)state;
	(void)err_set(&err, ERR_STALE, "changed");
	err.current_json = strdup("{\"revision\":4}");
	err_add_members(&b, &err);
	assert_string_equal(buf_str(&b), "\"detail\":\"changed\",\"code\":\"stale\",\"field\":null,"
					 "\"hint\":null,\"current\":{\"revision\":4}");
	buf_done(&b);
	err_done(&err);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_problem_has_type_title_status_and_our_four),
		cmocka_unit_test(what_was_not_said_is_null_and_foreign_text_stays_text),
		cmocka_unit_test(a_stale_one_carries_the_object_as_it_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
