#include "test.h"
#include "crypto.h"
#include "json.h"
#include "hide.h"

#define GONE "[REDACTED]"

static const char value[] = "a\"b\\c\xc3\xa4 /12345";

static struct mask *mask_of(const char *v)
{
	struct mask *m = mask_new();

	mask_add(m, v, strlen(v), 8, GONE);
	return m;
}

static void stays_json_whatever_the_value_holds(void **state)
{
	static const struct {
		const char *value, *in, *out;
	} rows[] = {
		{ value, "{\"x\":\"y\",\"n\":[1,-2.5e3,true,null]}",
		  "{\"x\":\"y\",\"n\":[1,-2.5e3,true,null]}" },
		{ value, "[\"a\\\"b\\\\c\xc3\xa4 /12345\"]", "[\"" GONE "\"]" },
		{ value, "[\"a\\u0022b\\u005cc\\u00e4 \\/12345\"]", "[\"" GONE "\"]" },
		{ value, "{\"<a\\\"b\\\\c\xc3\xa4 /12345>\":1}", "{\"<" GONE ">\":1}" },
		/* JSON inside of a string */
		{ value, "\"{\\\"k\\\": \\\"a\\\\\\\"b\\\\\\\\c\xc3\xa4 /12345\\\"}\"",
		  "\"{\\\"k\\\": \\\"" GONE "\\\"}\"" },
		/* what JSON itself is made of */
		{ "\",\"x\":\"yy", "[{\"a\":\"b\",\"x\":\"yy\"}]", "[{\"a\":\"b\",\"x\":\"yy\"}]" },
		{ "[12345678", "[12345678]", "[12345678]" },
		{ "12345678", "{\"a\":12345678,\"b\":\"x12345678\"}",
		  "{\"a\":\"" GONE "\",\"b\":\"x" GONE "\"}" },
		{ "12345678", "[0.123456789e5]", "[\"0." GONE "9e5\"]" },
		{ "[REDACTED]", "[\"[REDACTED]\"]", "[\"" GONE "\"]" },
		{ "12345678", "[\"\\u000012345678\\u0000\"]", "[\"\\u0000" GONE "\\u0000\"]" },
		{ "short", "[\"short\"]", "[\"short\"]" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct mask *m = mask_of(rows[i].value);
		struct buf b = BUF_INIT(4096);

		buf_add_str(&b, rows[i].in);
		assert_int_equal(hide_json(m, &b), strcmp(rows[i].in, rows[i].out) != 0 ||
							   strcmp(rows[i].value, GONE) == 0);
		assert_string_equal(buf_str(&b), rows[i].out);
		assert_int_equal(json_scan(b.data, b.len, NULL), 0);
		buf_done(&b);
		mask_free(m);
	}
}

static void text_that_was_cut_in_the_middle_of_a_value_is_masked(void **state)
{
	struct mask *m = mask_of("0123456789abcdef");
	struct buf b = BUF_INIT(4096);

	(void)state;
	buf_add_str(&b, "x 0123456789abcdef y 0123456789");
	assert_true(hide_text(m, true, &b));
	assert_string_equal(buf_str(&b), "x " GONE " y " GONE);
	buf_done(&b);
	mask_free(m);
}

static void an_empty_buffer_stays_empty(void **state)
{
	struct mask *m = mask_of(value);
	struct buf b = BUF_INIT(16);

	(void)state;
	assert_false(hide_json(m, &b));
	assert_false(hide_text(m, true, &b));
	assert_int_equal(b.len, 0);
	mask_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stays_json_whatever_the_value_holds),
		cmocka_unit_test(text_that_was_cut_in_the_middle_of_a_value_is_masked),
		cmocka_unit_test(an_empty_buffer_stays_empty),
	};

	if (crypto_start() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
