#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include "static_files.h"

static void type_follows_the_ending(void **state)
{
	(void)state;
	assert_string_equal(static_files_type("index.html"), "text/html; charset=utf-8");
	assert_string_equal(static_files_type("assets/app-1f.js"),
			    "text/javascript; charset=utf-8");
	assert_string_equal(static_files_type("a.b/readme"), "application/octet-stream");
	assert_string_equal(static_files_type("x.exe"), "application/octet-stream");
}

static void pages_of_the_ui_are_not_files_and_not_rest(void **state)
{
	(void)state;
	assert_true(static_files_is_page("/"));
	assert_true(static_files_is_page("/servers/0195"));
	assert_true(static_files_is_page("/apis"));
	assert_false(static_files_is_page("/app.js"));
	assert_false(static_files_is_page("/api"));
	assert_false(static_files_is_page("/api/unknown"));
	assert_false(static_files_is_page("/auth/x"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(type_follows_the_ending),
		cmocka_unit_test(pages_of_the_ui_are_not_files_and_not_rest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
