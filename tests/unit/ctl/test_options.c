#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include "options.h"

static int parse(struct options *o, struct err *err, const char **argv)
{
	int argc = 0;

	while (argv[argc])
		argc++;
	return options_parse(argc, (char **)(uintptr_t)argv, o, err);
}
#define PARSE(o, err, ...) parse(o, err, (const char *[]){ "mcpboxctl", __VA_ARGS__, NULL })

static void options_stand_anywhere(void **state)
{
	struct options o;

	(void)state;
	assert_int_equal(
		PARSE(&o, NULL, "--json", "reject", "--reason", "too wide", "a/b", "--data=/d"), 0);
	assert_true(o.json);
	assert_string_equal(o.reason, "too wide");
	assert_string_equal(o.data, "/d");
	assert_int_equal(o.word_count, 2);
	assert_string_equal(o.words[1], "a/b");
}

static void two_dashes_end_the_options(void **state)
{
	struct options o;

	(void)state;
	assert_int_equal(PARSE(&o, NULL, "show", "--", "--json"), 0);
	assert_false(o.json);
	assert_string_equal(o.words[1], "--json");
}

static void topics_add_up(void **state)
{
	struct options o;

	(void)state;
	assert_int_equal(PARSE(&o, NULL, "--topic", "a", "--topic=b"), 0);
	assert_int_equal(o.topic_count, 2);
	assert_string_equal(o.topics[1], "b");
}

static void refuses_what_is_no_option(void **state)
{
	struct options o;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(PARSE(&o, &err, "--nope"), -ERR_INVALID);
	assert_int_equal(PARSE(&o, &err, "--reason"), -ERR_INVALID);
	assert_int_equal(PARSE(&o, &err, "--json=1"), -ERR_INVALID);
	assert_int_equal(PARSE(&o, &err, "--since", "-1"), -ERR_INVALID);
	assert_int_equal(PARSE(&o, &err, "--since", "12x"), -ERR_INVALID);
	assert_int_equal(PARSE(&o, &err, "1", "2", "3", "4", "5", "6", "7", "8", "9"),
			 -ERR_INVALID);
}

static void foreign_option_is_named(void **state)
{
	(void)state;
	assert_string_equal(
		options_first_foreign(OPT(OPTION_REASON) | OPT(OPTION_JSON), OPT_EVERYWHERE),
		"--reason");
	assert_null(options_first_foreign(OPT(OPTION_JSON), OPT_EVERYWHERE));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_stand_anywhere),
		cmocka_unit_test(two_dashes_end_the_options),
		cmocka_unit_test(topics_add_up),
		cmocka_unit_test(refuses_what_is_no_option),
		cmocka_unit_test(foreign_option_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
