#include "test.h"
#include "module_names.h"

static void a_name_is_words_joined_by_dots_or_hyphens(void **state)
{
	static const struct {
		const char *text;
		const char *name; /* NULL: refused */
	} cases[] = {
		{ "numpy", "numpy" },
		{ " numpy\n", "numpy" },
		{ "a.b.c", "a.b.c" },
		{ "a-b_c", "a-b_c" },
		{ "_x9", "_x9" },
		{ "", NULL },
		{ "  ", NULL },
		{ "9x", NULL },
		{ "a..b", NULL },
		{ ".a", NULL },
		{ "a.", NULL },
		{ "a b", NULL },
		{ "a;b", NULL },
		{ "../a", NULL },
		{ "a\xc3\xa9", NULL },
		{ "https://x/y.whl", NULL },
		{ "mcpbox_runtime", NULL },
		{ "MCPBox-x", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct arena a = { 0 };
		struct err err = { 0 };
		const char *name =
			module_name_read(&a, "module_name", pb_text(cases[i].text), &err);

		if (cases[i].name)
			assert_string_equal(name, cases[i].name);
		else
			assert_null(name);
		assert_int_equal(err.code, cases[i].name ? 0 : ERR_INVALID);
		err_done(&err);
		arena_done(&a);
	}
}

static void an_approval_covers_the_names_that_the_package_is_imported_by(void **state)
{
	static const struct {
		const char *approved, *asked;
		bool covers;
	} cases[] = {
		{ "numpy", "numpy", true },
		{ "numpy", "numpy.linalg", true },
		{ "google-cloud", "google_cloud", true },
		{ "google-cloud", "google", true },
		{ "google_cloud", "google-cloud", true },
		{ "numpy.linalg", "numpy", false },
		{ "numpy", "numpyx", false },
		{ "num", "numpy", false },
		{ "google-cloud", "goo", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(module_covers(cases[i].approved, cases[i].asked), cases[i].covers);
	assert_true(module_is_default("json"));
	assert_true(module_is_default("collections.abc"));
	assert_true(module_is_default("json.decoder"));
	assert_false(module_is_default("subprocess"));
	assert_false(module_is_default("jso"));
}

static bool holds(char *const *names, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

static void the_list_is_sorted_and_holds_derived_names_once(void **state)
{
	char first[] = "scikit-learn", second[] = "a.b.c", third[] = "json";
	char *approved[] = { first, second, third };
	struct arena a = { 0 };
	size_t count;
	char **all = modules_allowed(&a, approved, ARRAY_LEN(approved), &count);

	(void)state;
	for (size_t i = 1; i < count; i++)
		assert_true(strcmp(all[i - 1], all[i]) < 0);
	assert_true(holds(all, count, "scikit_learn") && holds(all, count, "scikit-learn") &&
		    holds(all, count, "scikit") && holds(all, count, "a.b.c") &&
		    holds(all, count, "a"));
	assert_int_equal(count, default_module_count + 5);
	arena_done(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_is_words_joined_by_dots_or_hyphens),
		cmocka_unit_test(an_approval_covers_the_names_that_the_package_is_imported_by),
		cmocka_unit_test(the_list_is_sorted_and_holds_derived_names_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
