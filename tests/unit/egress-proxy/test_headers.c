/* Header fields: what is refused, what is dropped, what stays. */
#include "test.h"
#include "headers.h"

static void refuses_what_could_split_a_message(void **state)
{
	static const struct {
		const char *name, *value;
	} bad[] = {
		{ "", "x" },         { "A B", "x" },      { "A:", "x" },
		{ ":path", "/" },    { "A\r\nB", "x" },   { "A", "x\r\nB: y" },
		{ "A", "x\n y" },    { "A", "\x7f" },     { "A", "\x01" },
		{ "\xc3\xbc", "x" }, { "A", "\xc4\x8a" }, { "A", "\xe5\x98\x8a" },
		{ "A", "\xff" },     { "A", "\xc3" },
	};
	struct headers h = HEADERS_INIT(HEADERS_REQUEST_COUNT);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (headers_add(&h, bad[i].name, bad[i].value, NULL) != -ERR_INVALID)
			fail_msg("row %zu was taken", i);
	assert_int_equal(h.count, 0);
	headers_done(&h);
}

static void carries_latin1_both_ways(void **state)
{
	struct headers h = HEADERS_INIT(4);
	struct buf b = BUF_INIT(64);

	(void)state;
	assert_int_equal(headers_add(&h, "X-Name", "M\xc3\xbcller\t1", NULL), 0);
	assert_string_equal(headers_find(&h, "x-name"), "M\xfcller\t1");
	headers_value_utf8(headers_find(&h, "X-Name"), &b);
	assert_string_equal(buf_str(&b), "M\xc3\xbcller\t1");
	buf_done(&b);
	headers_done(&h);
}

static void holds_64_fields_and_32_kib(void **state)
{
	struct headers h = HEADERS_INIT(HEADERS_REQUEST_COUNT);
	char *big = calloc(1, HEADERS_BYTES_MAX + 1);

	(void)state;
	for (int i = 0; i < HEADERS_REQUEST_COUNT; i++)
		assert_int_equal(headers_add(&h, "A", "b", NULL), 0);
	assert_int_equal(headers_add(&h, "A", "b", NULL), -ERR_TOO_LARGE);
	headers_clear(&h);
	memset(big, 'x', HEADERS_BYTES_MAX);
	assert_int_equal(headers_add(&h, "A", big, NULL), -ERR_TOO_LARGE);
	big[HEADERS_BYTES_MAX - 5] = '\0';
	assert_int_equal(headers_add(&h, "A", big, NULL), 0);
	assert_int_equal(headers_add(&h, "A", "", NULL), -ERR_TOO_LARGE);
	free(big);
	headers_done(&h);
}

static void drops_what_belongs_to_one_hop_and_what_connection_nominates(void **state)
{
	static const char *const dropped[] = { "Host",    "content-length", "Transfer-Encoding",
					       "TE",      "Keep-Alive",     "Upgrade",
					       "Trailer", "Expect",         "Proxy-Authorization",
					       "proxy-x", "Accept-Encoding" };
	struct headers h = HEADERS_INIT(HEADERS_REQUEST_COUNT);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(dropped); i++)
		assert_int_equal(headers_add(&h, dropped[i], "x", NULL), 0);
	assert_int_equal(headers_add(&h, "Connection", "close, X-Hop,,x-also", NULL), 0);
	assert_int_equal(headers_add(&h, "Connection", "X-Third", NULL), 0);
	assert_int_equal(headers_add(&h, "x-hop", "1", NULL), 0);
	assert_int_equal(headers_add(&h, "X-Also", "1", NULL), 0);
	assert_int_equal(headers_add(&h, "X-Third", "1", NULL), 0);
	assert_int_equal(headers_add(&h, "Authorization", "Bearer x", NULL), 0);
	headers_drop_request_hop(&h);
	assert_int_equal(h.count, 1);
	assert_string_equal(h.items[0].name, "Authorization");
	headers_done(&h);
}

static void keeps_a_length_that_is_true_of_the_decoded_body(void **state)
{
	static const struct {
		const char *also;
		bool is_kept;
	} rows[] = { { "ETag", true },
		     { "content-encoding", false },
		     { "Transfer-Encoding", false } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct headers h = HEADERS_INIT(HEADERS_REQUEST_COUNT);

		assert_int_equal(headers_add(&h, "Content-Length", "5", NULL), 0);
		assert_int_equal(headers_add(&h, rows[i].also, "x", NULL), 0);
		headers_drop_response_hop(&h);
		assert_int_equal(headers_find(&h, "content-length") != NULL, rows[i].is_kept);
		headers_done(&h);
	}
}

static int add_line(struct headers *h, const char *line)
{
	return headers_add_line(h, line, strlen(line));
}

static void reads_lines_of_origins_strictly(void **state)
{
	struct headers h = HEADERS_INIT(2);

	(void)state;
	assert_int_equal(add_line(&h, "Content-Type: \t text/plain \r\n"), 0);
	assert_string_equal(headers_find(&h, "content-type"), "text/plain");
	assert_int_equal(add_line(&h, "X-Empty:\r\n"), 0);
	assert_string_equal(headers_find(&h, "x-empty"), "");
	assert_int_equal(add_line(&h, "X-Third: 1\r\n"), -ERR_TOO_LARGE);
	headers_clear(&h);
	assert_int_equal(add_line(&h, "no colon\r\n"), -ERR_INVALID);
	assert_int_equal(add_line(&h, "A : b\r\n"), -ERR_INVALID);
	assert_int_equal(add_line(&h, " folded\r\n"), -ERR_INVALID);
	assert_int_equal(add_line(&h, "A: b\rc\r\n"), -ERR_INVALID);
	assert_int_equal(headers_add_line(&h, "A: b\0c", 6), -ERR_INVALID);
	headers_done(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refuses_what_could_split_a_message),
		cmocka_unit_test(keeps_a_length_that_is_true_of_the_decoded_body),
		cmocka_unit_test(carries_latin1_both_ways),
		cmocka_unit_test(holds_64_fields_and_32_kib),
		cmocka_unit_test(drops_what_belongs_to_one_hop_and_what_connection_nominates),
		cmocka_unit_test(reads_lines_of_origins_strictly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
