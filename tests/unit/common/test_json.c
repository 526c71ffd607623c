#include "test.h"
#include "buf.h"
#include "crypto.h"
#include "json.h"
#include "mem.h"

static void judges_texts_strictly(void **state)
{
	static const struct {
		const char *text;
		bool is_good;
	} rows[] = {
		{ "null", true },
		{ " [1, -0.5e+10, true, \"x\"] ", true },
		{ "{\"a\":{\"b\":[]},\"c\":{}}", true },
		{ "\"\\ud83d\\ude00\"", true },
		{ "\"\\u0000\"", true },
		{ "0", true },
		{ "-0", true },
		{ "123456789012345678901234567890", true },
		{ "\"\x7f\xc3\xa9\"", true },
		{ "", false },
		{ " ", false },
		{ "nul", false },
		{ "NaN", false },
		{ "Infinity", false },
		{ "01", false },
		{ "-", false },
		{ "1.", false },
		{ ".5", false },
		{ "1e", false },
		{ "+1", false },
		{ "1 2", false },
		{ "[1,]", false },
		{ "[,1]", false },
		{ "[1", false },
		{ "{\"a\":1,}", false },
		{ "{\"a\"}", false },
		{ "{a:1}", false },
		{ "{\"a\":}", false },
		{ "[1}", false },
		{ "]", false },
		{ "'x'", false },
		{ "\"x", false },
		{ "\"\\x\"", false },
		{ "\"\\u12g4\"", false },
		{ "\"\\ud800\"", false },
		{ "\"\\udc00\"", false },
		{ "\"\\ud800\\ud800\"", false },
		{ "\"\xff\"", false },
		{ "\"\xed\xa0\x80\"", false },
		{ "\"\n\"", false },
		{ "\xef\xbb\xbf{}", false },
		{ "{} x", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if ((json_scan(rows[i].text, strlen(rows[i].text), NULL) == 0) != rows[i].is_good)
			fail_msg("misjudged: %s", rows[i].text);
}

static void bounds_the_depth(void **state)
{
	char text[2 * (JSON_DEPTH_MAX + 1)];
	struct err err = { 0 };
	json_t *tree;

	(void)state;
	memset(text, '[', JSON_DEPTH_MAX);
	memset(text + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
	assert_int_equal(json_scan(text, 2 * JSON_DEPTH_MAX, NULL), 0);
	memset(text, '[', JSON_DEPTH_MAX + 1);
	memset(text + JSON_DEPTH_MAX + 1, ']', JSON_DEPTH_MAX + 1);
	assert_int_equal(json_scan(text, sizeof(text), &err), -ERR_TOO_LARGE);
	assert_non_null(strstr(err.text, "byte 64"));
	assert_int_equal(json_load(text, sizeof(text), &tree, NULL), -ERR_TOO_LARGE);
}

static void loads_and_dumps_in_order(void **state)
{
	static const char text[] = " { \"b\" : 1 , \"a\" : [ 1.5 , \"\xc3\xa9\\/\" ] } ";
	BOX_CLEANUP(json_decrefp) json_t *tree = NULL;
	BOX_CLEANUP(mem_freep) char *out = NULL;
	size_t len;

	(void)state;
	assert_int_equal(json_load(text, sizeof(text) - 1, &tree, NULL), 0);
	out = json_dump(tree, &len);
	assert_string_equal(out, "{\"b\":1,\"a\":[1.5,\"\xc3\xa9/\"]}");
	assert_int_equal(len, strlen(out));
	assert_null(json_dump(NULL, &len));
}

static void refuses_to_load_what_a_tree_would_change(void **state)
{
	static const char *const rows[] = { "{\"a\":1,\"a\":2}", "9223372036854775808", "1e999",
					    "\"\\u0000\"" };
	struct err err = { 0 };
	json_t *tree;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(json_load(rows[i], strlen(rows[i]), &tree, &err), -ERR_INVALID);
}

static void finds_raw_members(void **state)
{
	static const char text[] = " {\"x\":{\"id\":1}, \"\\u0069d\" : 12345678901234567890 "
				   ",\"params\":{ \"a\" : [1] }}";
	static const char *const names[] = { "id", "params", "method" };
	struct json_span s[3];

	(void)state;
	assert_int_equal(json_scan_members(text, sizeof(text) - 1, names, 3, s, NULL), 0);
	assert_int_equal(s[0].len, 20);
	assert_memory_equal(s[0].at, "12345678901234567890", 20);
	assert_int_equal(s[1].len, 13);
	assert_memory_equal(s[1].at, "{ \"a\" : [1] }", 13);
	assert_null(s[2].at);
}

static void refuses_members_that_occur_twice(void **state)
{
	static const char *const names[] = { "id" };
	static const char twice[] = "{\"id\":1,\"\\u0069d\":2}",
			  other[] = "{\"x\":1,\"x\":2,\"id\":3}";
	struct json_span s[1];
	struct err err = { 0 };

	(void)state;
	assert_int_equal(json_scan_members(twice, sizeof(twice) - 1, names, 1, s, &err),
			 -ERR_INVALID);
	assert_string_equal(err.field, "id");
	assert_int_equal(json_scan_members(other, sizeof(other) - 1, names, 1, s, NULL), 0);
	assert_int_equal(json_scan_members("[]", 2, names, 1, s, NULL), -ERR_INVALID);
	assert_int_equal(json_scan_members("{}", 2, names, 1, s, NULL), 0);
	assert_int_equal(json_scan_members("{} 1", 4, names, 1, s, NULL), -ERR_INVALID);
}

static int count_value(void *arg, struct json_span value, struct err *err)
{
	(void)err;
	*(size_t *)arg += value.len;
	return value.at[0] == 'n' ? -ERR_STATE : 0;
}

static void walks_elements_until_told_to_stop(void **state)
{
	size_t sum = 0;

	(void)state;
	assert_int_equal(json_each_element("[ 1, [22] ,\"3\"]", 15, count_value, &sum, NULL), 0);
	assert_int_equal(sum, 1 + 4 + 3);
	assert_int_equal(json_each_element("[null,1", 7, count_value, &sum, NULL), -ERR_STATE);
	assert_int_equal(json_each_element("[1", 2, count_value, &sum, NULL), -ERR_INVALID);
	assert_int_equal(json_each_element("[]", 2, count_value, &sum, NULL), 0);
	assert_int_equal(json_each_element("{}", 2, count_value, &sum, NULL), -ERR_INVALID);
}

static void decodes_strings(void **state)
{
	static const struct {
		const char *text, *value;
	} rows[] = {
		{ "\"\"", "" },
		{ "\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "a\"\\/\b\f\n\r\t" },
		{ "\"\\u00e9\\u20AC\\ud83d\\ude00\"", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80" },
		{ "\"a\\u0000b\"", NULL },
		{ "\"\\ud83d\"", NULL },
		{ "\"a", NULL },
		{ "a\"", NULL },
		{ "\"", NULL },
		{ "1", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		BOX_CLEANUP(mem_freep) char *value = NULL;
		struct json_span span = { rows[i].text, strlen(rows[i].text) };
		size_t len;
		int r = json_span_string(span, &value, &len);

		assert_int_equal(r, rows[i].value ? 0 : -ERR_INVALID);
		if (r == 0)
			assert_string_equal(value, rows[i].value);
	}
}

static void writes_strings_that_are_always_valid(void **state)
{
	static const char text[] = "a\"\\\n\1\xff\xc3\xa9\x7f";
	struct buf b BOX_CLEANUP(buf_done) = BUF_INIT(100);

	(void)state;
	json_add_string(&b, text, sizeof(text)); /* with its NUL */
	assert_string_equal(buf_str(&b), "\"a\\\"\\\\\\n\\u0001\xef\xbf\xbd\xc3\xa9\x7f\\u0000\"");
	assert_int_equal(json_scan(b.data, b.len, NULL), 0);
}

static void compacts_outside_of_strings_only(void **state)
{
	static const char text[] = " { \"a b\\\" \" : [ 1 ,\n\t2 ] } ";
	struct buf b BOX_CLEANUP(buf_done) = BUF_INIT(100);

	(void)state;
	json_add_compact(&b, text, sizeof(text) - 1);
	assert_string_equal(buf_str(&b), "{\"a b\\\" \":[1,2]}");
}

static int start(void **state)
{
	(void)state;
	if (crypto_start() < 0)
		return -1;
	json_start();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(judges_texts_strictly),
		cmocka_unit_test(bounds_the_depth),
		cmocka_unit_test(loads_and_dumps_in_order),
		cmocka_unit_test(refuses_to_load_what_a_tree_would_change),
		cmocka_unit_test(finds_raw_members),
		cmocka_unit_test(refuses_members_that_occur_twice),
		cmocka_unit_test(walks_elements_until_told_to_stop),
		cmocka_unit_test(decodes_strings),
		cmocka_unit_test(writes_strings_that_are_always_valid),
		cmocka_unit_test(compacts_outside_of_strings_only),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
