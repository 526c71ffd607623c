#include "test.h"
#include "clock.h"
#include "err.h"
#include "mem.h"
#include "parse.h"

static void reads_whole_numbers_only(void **state)
{
	static const struct {
		const char *text;
		bool is_good;
		uint64_t value;
	} rows[] = {
		{ "0", true, 0 },    { "18446744073709551615", true, UINT64_MAX },
		{ "007", true, 7 },  { "18446744073709551616", false, 0 },
		{ "", false, 0 },    { " 1", false, 0 },
		{ "1 ", false, 0 },  { "+1", false, 0 },
		{ "-1", false, 0 },  { "0x1", false, 0 },
		{ "1e3", false, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint64_t v = 42;

		assert_int_equal(parse_u64(rows[i].text, 0, UINT64_MAX, &v) == 0, rows[i].is_good);
		assert_true(v == (rows[i].is_good ? rows[i].value : 42));
	}
}

static void reads_signed_numbers_to_their_ends(void **state)
{
	int64_t v = 0;

	(void)state;
	assert_int_equal(parse_i64("-9223372036854775808", INT64_MIN, INT64_MAX, &v), 0);
	assert_true(v == INT64_MIN);
	assert_int_equal(parse_i64("9223372036854775807", INT64_MIN, INT64_MAX, &v), 0);
	assert_true(v == INT64_MAX);
	assert_int_equal(parse_i64("9223372036854775808", INT64_MIN, INT64_MAX, &v), -ERR_INVALID);
	assert_int_equal(parse_i64("--1", -5, 5, &v), -ERR_INVALID);
	assert_int_equal(parse_i64("-6", -5, 5, &v), -ERR_INVALID);
	assert_int_equal(parse_u64("101", 1, 100, (uint64_t *)&v), -ERR_INVALID);
}

static void reads_durations_and_sizes_with_their_units(void **state)
{
	static const struct {
		int (*parse)(const char *s, uint64_t *ret);
		const char *text;
		bool is_good;
		uint64_t value;
	} rows[] = {
		{ parse_duration_ms, "250", true, 250 },
		{ parse_duration_ms, "250ms", true, 250 },
		{ parse_duration_ms, "30s", true, 30000 },
		{ parse_duration_ms, "10m", true, 600000 },
		{ parse_duration_ms, "2h", true, 7200000 },
		{ parse_duration_ms, "2d", false, 0 },
		{ parse_duration_ms, "s", false, 0 },
		{ parse_duration_ms, "5124095576030432h", false, 0 },
		{ parse_size, "4096", true, 4096 },
		{ parse_size, "64k", true, 65536 },
		{ parse_size, "8m", true, 8 << 20 },
		{ parse_size, "1g", true, 1 << 30 },
		{ parse_size, "1K", false, 0 },
		{ parse_size, "1.5m", false, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint64_t v = 0;

		assert_int_equal(rows[i].parse(rows[i].text, &v) == 0, rows[i].is_good);
		assert_true(v == rows[i].value);
	}
}

static void reads_truth_in_a_few_words(void **state)
{
	bool v = false;

	(void)state;
	assert_int_equal(parse_bool("yes", &v), 0);
	assert_true(v);
	assert_int_equal(parse_bool("off", &v), 0);
	assert_false(v);
	assert_int_equal(parse_bool("TRUE", &v), -ERR_INVALID);
	assert_int_equal(parse_bool("", &v), -ERR_INVALID);
}

static void reads_hexadecimal_of_the_exact_length(void **state)
{
	uint8_t b[3] = { 9, 9, 9 };
	char text[7];

	(void)state;
	assert_int_equal(parse_hex("00fFa1", b, 3), 0);
	assert_memory_equal(b, "\x00\xff\xa1", 3);
	format_hex(b, 3, text);
	assert_string_equal(text, "00ffa1");
	assert_int_equal(parse_hex("00ff", b, 3), -ERR_INVALID);
	assert_int_equal(parse_hex("00ff0011", b, 3), -ERR_INVALID);
	assert_int_equal(parse_hex("00ff0g", b, 3), -ERR_INVALID);
}

static void tells_utf8_from_what_looks_like_it(void **state)
{
	static const struct {
		const char *text;
		bool is_good;
	} rows[] = {
		{ "", true },
		{ "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", true },
		{ "\xc0\x80", false },         /* overlong NUL */
		{ "\xe0\x80\xaf", false },     /* overlong slash */
		{ "\xed\xa0\x80", false },     /* surrogate */
		{ "\xf4\x90\x80\x80", false }, /* beyond U+10FFFF */
		{ "\xe2\x82", false },         /* cut off */
		{ "\x80", false },
		{ "\xff", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(text_is_utf8(rows[i].text, strlen(rows[i].text)), rows[i].is_good);
	assert_true(text_is_plain("a\tb\r\n", 5));
	assert_false(text_is_plain("a\033[1m", 5));
	assert_false(text_is_plain("a\0b", 3));
	assert_false(text_is_plain("\x7f", 1));
}

static void holds_names_to_their_pattern(void **state)
{
	static const struct {
		const char *text;
		bool is_good;
	} rows[] = {
		{ "a", true },     { "get_forecast2", true },
		{ "a_1", true },   { "", false },
		{ "A", false },    { "1a", false },
		{ "_a", false },   { "a_", false },
		{ "a__b", false }, { "a-b", false },
		{ "a b", false },  { "\xc3\xa4", false },
	};
	char longest[62];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(text_is_name(rows[i].text), rows[i].is_good);
	memset(longest, 'a', 61);
	longest[60] = '\0';
	assert_true(text_is_name(longest));
	longest[60] = 'a';
	longest[61] = '\0';
	assert_false(text_is_name(longest));
	assert_true(text_is_uuid("0194fe2a-7b1c-7def-8123-0123456789ab"));
	assert_false(text_is_uuid("0194fe2a-7b1c-7def-8123-0123456789a"));
	assert_false(text_is_uuid("0194fe2a07b1c-7def-8123-0123456789ab"));
}

static void writes_and_reads_base64(void **state)
{
	static const char *const rows[][2] = {
		{ "", "" },        { "f", "Zg==" },        { "fo", "Zm8=" },
		{ "foo", "Zm9v" }, { "foob", "Zm9vYg==" }, { "\xff\xfe\xfd", "//79" },
	};
	static const char *const bad[] = { "Zg=",  "Zg",       "Z===", "Zh==",
					   "Zm9=", "Zg==Zg==", "Zm 9", "====" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		BOX_CLEANUP(mem_freep) char *text = format_base64(rows[i][0], strlen(rows[i][0]));
		BOX_CLEANUP(mem_freep) uint8_t *data = NULL;
		size_t len;

		assert_string_equal(text, rows[i][1]);
		assert_int_equal(parse_base64(text, strlen(text), &data, &len), 0);
		assert_int_equal(len, strlen(rows[i][0]));
		assert_memory_equal(data, rows[i][0], len);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		uint8_t *data;
		size_t len;

		assert_int_equal(parse_base64(bad[i], strlen(bad[i]), &data, &len), -ERR_INVALID);
	}
}

static void writes_and_reads_times(void **state)
{
	static const struct {
		const char *text;
		int64_t ms;
	} rows[] = {
		{ "1970-01-01T00:00:00.000Z", 0 },
		{ "2026-11-22T16:00:00.123Z", 1795363200123 },
		{ "2024-02-29T23:59:59.999Z", 1709251199999 },
		{ "1969-12-31T23:59:59.999Z", -1 },
	};
	static const char *const bad[] = { "",
					   "2026-11-22",
					   "2026-11-22 16:00:00Z",
					   "2026-02-30T00:00:00Z",
					   "2026-13-01T00:00:00Z",
					   "2026-11-22T24:00:00Z",
					   "2026-11-22T16:00:00",
					   "2026-11-22T16:00:00.Z",
					   "2026-11-22T16:00:00+02:00",
					   "2026-11-22T16:00:00Zx" };
	char text[32];
	int64_t ms;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		clock_format_iso(rows[i].ms, text);
		assert_string_equal(text, rows[i].text);
		assert_int_equal(parse_iso(text, &ms), 0);
		assert_true(ms == rows[i].ms);
	}
	assert_int_equal(parse_iso("2026-11-22T16:00:00+00:00", &ms), 0);
	assert_int_equal(parse_iso("2026-11-22T16:00:00.5Z", &ms), 0);
	assert_int_equal(ms % 1000, 500);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(parse_iso(bad[i], &ms), -ERR_INVALID);
	clock_format_iso(INT64_MAX, text);
	assert_int_equal(strlen(text), 24);
}

static void moves_the_clock_in_tests(void **state)
{
	uint64_t before = clock_mono_ms();

	(void)state;
	clock_test_advance(60000);
	assert_true(clock_mono_ms() >= before + 60000);
	clock_test_advance(-60000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_whole_numbers_only),
		cmocka_unit_test(reads_signed_numbers_to_their_ends),
		cmocka_unit_test(reads_durations_and_sizes_with_their_units),
		cmocka_unit_test(reads_truth_in_a_few_words),
		cmocka_unit_test(reads_hexadecimal_of_the_exact_length),
		cmocka_unit_test(tells_utf8_from_what_looks_like_it),
		cmocka_unit_test(holds_names_to_their_pattern),
		cmocka_unit_test(writes_and_reads_base64),
		cmocka_unit_test(writes_and_reads_times),
		cmocka_unit_test(moves_the_clock_in_tests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
