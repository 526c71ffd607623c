#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>
#include "mem.h"
#include "msg.h"
#include "json.h"
#include "print.h"

static void foreign_text_cannot_steer_the_terminal(void **state)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
		{ "plain\ttext\n", "plain\ttext\n" },
		{ "grüße 日本 🎉", "grüße 日本 🎉" },
		{ "\x1b[2J\x07", "\\x1b[2J\\x07" },
		{ "a\rb", "a\\x0db" },
		{ "\x7f", "\\x7f" },
		{ "\xc2\x9b"
		  "31m",
		  "\\u{009b}31m" }, /* C1: CSI in one character */
		{ "\xe2\x80\xae"
		  "txet",
		  "\\u{202e}txet" }, /* right-to-left override */
		{ "a\xe2\x81\xa6"
		  "b",
		  "a\\u{2066}b" }, /* isolate */
		{ "a\xe2\x80\x8b"
		  "b",
		  "a\\u{200b}b" },                    /* zero width */
		{ "\xf3\xa0\x81\x81", "\\u{e0041}" }, /* tag character */
		{ "\xff\xfe", "\\xff\\xfe" },
		{ "\xc0\x9b", "\\xc0\\x9b" }, /* overlong ESC */
		{ "\xe2\x80", "\\xe2\\x80" }, /* cut off */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct buf b = BUF_INIT(256);

		print_escape(&b, rows[i].text, strlen(rows[i].text), false);
		assert_string_equal(buf_str(&b), rows[i].want);
		buf_done(&b);
	}
}

static void one_line_text_has_no_line_ends(void **state)
{
	struct buf b = BUF_INIT(256);

	(void)state;
	print_escape(&b, "a\nb\tc", 5, true);
	assert_string_equal(buf_str(&b), "a\\nb\\x09c");
	buf_done(&b);
}

/* What fn-free code printed; heap. */
static char *printed(FILE *f)
{
	char *text = mem_alloc(4096);

	rewind(f);
	assert_true(fread(text, 1, 4095, f) > 0);
	(void)fclose(f);
	return text;
}

static void columns_line_up_by_characters_not_bytes(void **state)
{
	FILE *f = tmpfile();
	struct print_table *t = print_table_begin((const char *const[]){ "NAME", "N", "WHY" }, 3);
	BOX_CLEANUP(mem_freep) char *text = NULL;

	(void)state;
	print_table_row(t, (const char *const[]){ "grüße", "1", "ok" });
	print_table_row(t, (const char *const[]){ "b", "12", NULL });
	print_table_end(t, f);
	text = printed(f);
	assert_string_equal(text, "NAME   N   WHY\n"
				  "grüße  1   ok\n"
				  "b      12  -\n");
}

static void json_of_a_message_is_safe_and_still_json(void **state)
{
	PB(AuditEvent) e = MCPBOX__V1__AUDIT_EVENT__INIT;
	BOX_CLEANUP(mem_freep) char *text = NULL;
	BOX_CLEANUP(json_decrefp) json_t *tree = NULL;
	FILE *f = tmpfile();

	(void)state;
	e.seq = 7;
	e.detail_json = pb_text("{\"name\":\"\xe2\x80\xae"
				"evil\xf3\xa0\x81\x81\"}");
	print_proto(f, &e.base);
	text = printed(f);
	assert_non_null(strstr(text, "\\u202eevil\\udb40\\udc41"));
	assert_int_equal(json_load(text, strlen(text), &tree, NULL), 0);
	assert_string_equal(
		json_string_value(json_object_get(json_object_get(tree, "detail"), "name")),
		"\xe2\x80\xae"
		"evil\xf3\xa0\x81\x81");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(foreign_text_cannot_steer_the_terminal),
		cmocka_unit_test(one_line_text_has_no_line_ends),
		cmocka_unit_test(columns_line_up_by_characters_not_bytes),
		cmocka_unit_test(json_of_a_message_is_safe_and_still_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
