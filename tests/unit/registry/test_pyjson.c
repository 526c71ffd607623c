/* What Python's json.dumps writes, byte for byte.  The right answers were made with Python 3.11. */
#include "pyjson.h"
#include "test.h"

static void expect(const char *json, bool ascii, const char *right)
{
	BOX_CLEANUP(json_decrefp) json_t *tree = NULL;
	struct buf b BOX_CLEANUP(buf_done) = BUF_INIT(4096);

	assert_int_equal(json_load(json, strlen(json), &tree, NULL), 0);
	pyjson_add(&b, tree, ascii);
	assert_string_equal(buf_str(&b), right);
}

static void writes_numbers_as_repr_does(void **state)
{
	static const struct {
		const char *json, *right;
	} rows[] = {
		{ "0", "0" },
		{ "-0.0", "-0.0" },
		{ "1.0", "1.0" },
		{ "1E5", "100000.0" },
		{ "0.1", "0.1" },
		{ "0.30000000000000004", "0.30000000000000004" },
		{ "0.0001", "0.0001" },
		{ "0.00001", "1e-05" },
		{ "1e15", "1000000000000000.0" },
		{ "9999999999999998.0", "9999999999999998.0" },
		{ "1e16", "1e+16" },
		{ "123456789012345678.0", "1.2345678901234568e+17" },
		{ "9007199254740993.0", "9007199254740992.0" },
		{ "1.5e300", "1.5e+300" },
		{ "5e-324", "5e-324" },
		{ "1.7976931348623157e308", "1.7976931348623157e+308" },
		{ "-2.5e-7", "-2.5e-07" },
		{ "9223372036854775807", "9223372036854775807" },
		{ "-9223372036854775808", "-9223372036854775808" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		expect(rows[i].json, true, rows[i].right);
}

static void escapes_as_python_does(void **state)
{
	static const char text[] =
		"\"x\\u001f\\u007f\\b\\f\\n\\r\\t\\\"\\\\/\\u00e9\\ud83d\\ude00\"";

	(void)state;
	expect(text, true, "\"x\\u001f\\u007f\\b\\f\\n\\r\\t\\\"\\\\/\\u00e9\\ud83d\\ude00\"");
	expect(text, false, "\"x\\u001f\x7f\\b\\f\\n\\r\\t\\\"\\\\/\xc3\xa9\xf0\x9f\x98\x80\"");
}

static void sorts_keys_by_code_point(void **state)
{
	(void)state;
	expect("{\"b\":1,\"a\":[],\"\\u00e9\":{},\"Z\":null,\"\\ud83d\\ude00\":0,\"\\uffff\":[true,"
	       "false]}",
	       true,
	       "{\"Z\":null,\"a\":[],\"b\":1,\"\\u00e9\":{},\"\\uffff\":[true,false],"
	       "\"\\ud83d\\ude00\":0}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_numbers_as_repr_does),
		cmocka_unit_test(escapes_as_python_does),
		cmocka_unit_test(sorts_keys_by_code_point),
	};

	json_start();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
