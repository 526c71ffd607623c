#include "test.h"
#include "crypto.h"
#include "mask.h"
#include "parse.h"

#define GONE "[REDACTED]"

static char *masked_in_pieces(const struct mask *m, const char *text, size_t piece, bool is_cut)
{
	struct mask_stream s;
	struct buf out = BUF_INIT(1u << 20);
	size_t len = strlen(text);
	size_t ignored;

	mask_begin(&s, m);
	for (size_t i = 0; i < len; i += piece)
		mask_feed(&s, text + i, len - i < piece ? len - i : piece, &out);
	mask_end(&s, is_cut, &out);
	buf_add_char(&out, '\0');
	return (char *)buf_take(&out, &ignored);
}

static void expect(const struct mask *m, const char *text, const char *wanted)
{
	for (size_t piece = 1; piece <= strlen(text) + 1; piece++) {
		char *got = masked_in_pieces(m, text, piece, false);

		assert_string_equal(got, wanted);
		free(got);
	}
}

static struct mask *mask_of(const char *value)
{
	struct mask *m = mask_new();

	mask_add(m, value, strlen(value), 4, GONE);
	return m;
}

static void finds_a_value_in_any_cut_of_the_text(void **state)
{
	static const struct {
		const char *value, *text, *wanted;
	} rows[] = {
		{ "hunter22", "", "" },
		{ "hunter22", "hunter22", GONE },
		{ "hunter22", "a hunter22 b", "a " GONE " b" },
		{ "hunter22", "hunter2 hunter2", "hunter2 hunter2" },
		{ "hunter22", "hunthunter22unter22", "hunt" GONE "unter22" },
		{ "hunter22", "hunter22hunter22", GONE GONE },
		{ "aabaabaac", "aabaabaabaac", "aab" GONE },
		/* JSON */
		{ "a\"b\\c\n\td", "{\"x\":\"a\\\"b\\\\c\\n\\td\"}", "{\"x\":\"" GONE "\"}" },
		{ "s/cr/t-9", "\"s\\/cr\\/t-9\"", "\"" GONE "\"" },
		{ "p\xc3\xa4ss\xf0\x9f\x94\x91w", "\"p\\u00e4ss\\ud83d\\udd11w\"", "\"" GONE "\"" },
		/* Latin-1, as header fields carry it */
		{ "caf\xc3\xa9 crema", "x: caf\xe9 crema; caf%E9%20crema", "x: " GONE "; " GONE },
		/* URLs and forms */
		{ "a b&c=d/e", "x=a%20b%26c%3Dd%2Fe&y", "x=" GONE "&y" },
		{ "a b&c=d/e", "x=a+b%26c%3Dd%2Fe&y", "x=" GONE "&y" },
		{ "a b&c=d/e", "x=a%20b%26c%3dd%2fe&y", "x=" GONE "&y" },
		{ "a b&c=d/e", "x=a%20b%26c%3Dd/e&y", "x=" GONE "&y" },
		{ "%s%n.*[a", "%s%n.*[a %s%n.*[b", GONE " %s%n.*[b" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct mask *m = mask_of(rows[i].value);

		expect(m, rows[i].text, rows[i].wanted);
		mask_free(m);
	}
}

static void finds_a_value_in_base64_wherever_it_lies(void **state)
{
	static const char value[] = "correct horse~battery?staple>>";
	struct mask *m = mask_of(value);

	(void)state;
	for (size_t before = 0; before < 7; before++) {
		char plain[64], *coded, *got;

		(void)snprintf(plain, sizeof(plain), "%.*s%s%s", (int)before, "usernam", value,
			       before % 2 ? "tail" : "");
		coded = format_base64(plain, strlen(plain));
		got = masked_in_pieces(m, coded, 5, false);
		assert_non_null(strstr(got, GONE));
		free(got);
		for (char *p = coded; *p; p++)
			*p = *p == '+' ? '-' : *p == '/' ? '_' : *p;
		got = masked_in_pieces(m, coded, 1, false);
		assert_non_null(strstr(got, GONE));
		free(got);
		free(coded);
	}
	mask_free(m);
}

static void the_longest_of_values_that_begin_alike_counts(void **state)
{
	struct mask *m = mask_new();

	(void)state;
	mask_add(m, "abcd1234", 8, 4, "<short>");
	mask_add(m, "abcd1234567", 11, 4, "<long>");
	mask_add(m, "abcd1234", 8, 4, "<again>");
	expect(m, "abcd1234567", "<long>");
	expect(m, "abcd12345", "<short>5");
	expect(m, "abcd1234", "<short>");
	expect(m, "abcd1234abcd1234567", "<short><long>");
	mask_free(m);
}

static void short_and_empty_values_are_left_out(void **state)
{
	struct mask *m = mask_new();

	(void)state;
	mask_add(m, "", 0, 0, GONE);
	mask_add(m, "abc", 3, 0, GONE);
	mask_add(m, "abcdefg", 7, 8, GONE);
	assert_true(mask_is_empty(m));
	expect(m, "abcdefg", "abcdefg");
	mask_free(m);
}

static void the_beginning_of_a_value_at_a_cut_is_hidden(void **state)
{
	struct mask *m = mask_of("0123456789abcdef");
	char *got = masked_in_pieces(m, "text 0123456789ab", 3, true);

	(void)state;
	assert_string_equal(got, "text " GONE);
	free(got);
	got = masked_in_pieces(m, "text 0123", 3, true);
	assert_string_equal(got, "text 0123");
	free(got);
	mask_free(m);
}

static void ten_thousand_characters_are_found(void **state)
{
	static char value[10001], text[31000];
	struct mask *m;
	char *got;

	(void)state;
	for (size_t i = 0; i < 10000; i++)
		value[i] = (char)('!' + i * 7 % 93);
	m = mask_of(value);
	(void)snprintf(text, sizeof(text), "<%s|%s>", value, value);
	got = masked_in_pieces(m, text, 4096, false);
	assert_string_equal(got, "<" GONE "|" GONE ">");
	free(got);
	mask_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_a_value_in_any_cut_of_the_text),
		cmocka_unit_test(finds_a_value_in_base64_wherever_it_lies),
		cmocka_unit_test(the_longest_of_values_that_begin_alike_counts),
		cmocka_unit_test(short_and_empty_values_are_left_out),
		cmocka_unit_test(the_beginning_of_a_value_at_a_cut_is_hidden),
		cmocka_unit_test(ten_thousand_characters_are_found),
	};

	if (crypto_start() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
