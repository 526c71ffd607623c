#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "attrs.h"

#include "redact.h"

static const struct {
	const char *in, *out;
} rows[] = {
	{ "{}", "{}" },
	{ "{\"a\":1}", "{\"a\":1}" },
	{ "{\"n\":123456789012345678901234567890}", "{\"n\":123456789012345678901234567890}" },
	{ "{\"password\":\"x\",\"b\":2}", "{\"password\":\"[redacted]\",\"b\":2}" },
	{ "{\"My-API-Key\" : {\"a\":[1,\"}\"]} ,\"b\":2}",
	  "{\"My-API-Key\":\"[redacted]\",\"b\":2}" },
	{ "{\"o\":{\"access_token\":[1,2]},\"c\":\"t\"}",
	  "{\"o\":{\"access_token\":\"[redacted]\"},\"c\":\"t\"}" },
	{ "[{\"secret\":null},{\"x\":\"secret\"}]",
	  "[{\"secret\":\"[redacted]\"},{\"x\":\"secret\"}]" },
	{ "{\"a\":\"quote \\\" token\"}", "{\"a\":\"quote \\\" token\"}" },
	{ "{\"tok\\\"en\":1}", "{\"tok\\\"en\":1}" },
	{ "\"token\"", "\"token\"" },
};

static void replaces_values_of_telling_keys(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct buf b = BUF_INIT(1000);

		redact_json(&b, rows[i].in, strlen(rows[i].in), 500);
		assert_string_equal(buf_str(&b), rows[i].out);
		buf_done(&b);
	}
}

static void a_text_over_the_bound_becomes_its_size(void **state)
{
	struct buf b = BUF_INIT(1000);

	(void)state;
	redact_json(&b, "{\"a\":\"123456789\"}", 17, 16);
	assert_string_equal(buf_str(&b), "{\"cut\":true,\"bytes\":17}");
	buf_clear(&b);
	/* Redaction can make it longer than it was. */
	redact_json(&b, "{\"token\":1}", 11, 16);
	assert_string_equal(buf_str(&b), "{\"cut\":true,\"bytes\":11}");
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(replaces_values_of_telling_keys),
		cmocka_unit_test(a_text_over_the_bound_becomes_its_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
