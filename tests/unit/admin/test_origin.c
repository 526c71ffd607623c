#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include "origin.h"

struct row {
	const char *method, *host, *origin, *fetch_site;
	int want;
};

static const struct row rows[] = {
	{ "GET", "127.0.0.1:3000", NULL, NULL, 0 },
	{ "GET", "localhost:3000", NULL, NULL, 0 },
	{ "GET", "LocalHost", NULL, NULL, 0 },
	{ "GET", "box.lan:3000", NULL, NULL, 0 },
	{ "GET", "inner.example.com", NULL, NULL, 0 },
	/* a foreign name that resolves to our address */
	{ "GET", "evil.example:3000", NULL, NULL, -ERR_DENIED },
	{ "GET", "127.0.0.1.evil.example", NULL, NULL, -ERR_DENIED },
	{ "GET", "localhost.", NULL, NULL, -ERR_DENIED },
	{ "GET", "localhost:", NULL, NULL, -ERR_DENIED },
	{ "GET", "localhost:3000x", NULL, NULL, -ERR_DENIED },
	{ "GET", "localhost@evil.example", NULL, NULL, -ERR_DENIED },
	{ "GET", "", NULL, NULL, -ERR_DENIED },
	{ "GET", NULL, NULL, NULL, -ERR_DENIED },
	/* the page that asks */
	{ "POST", "localhost:3000", "http://localhost:3000", NULL, 0 },
	{ "POST", "box.lan", "https://box.lan", "same-origin", 0 },
	{ "POST", "localhost:3000", "http://localhost:5173", NULL, -ERR_DENIED },
	{ "POST", "localhost:3000", "http://evil.example", NULL, -ERR_DENIED },
	{ "GET", "localhost:3000", "http://evil.example", NULL, -ERR_DENIED },
	{ "POST", "localhost:3000", "null", NULL, -ERR_DENIED },
	{ "POST", "localhost:3000", "file://localhost:3000", NULL, -ERR_DENIED },
	/* browsers that say it without Origin */
	{ "POST", "localhost:3000", NULL, "cross-site", -ERR_DENIED },
	{ "DELETE", "localhost:3000", NULL, "same-site", -ERR_DENIED },
	{ "POST", "localhost:3000", NULL, "none", 0 },
	{ "GET", "localhost:3000", NULL, "cross-site", 0 }, /* a link that was followed */
};

static void each_origin_is_judged_as_its_row_says(void **state)
{
	struct origin_names names;

	(void)state;
	assert_int_equal(origin_names_init(&names, "box.lan", "a.example, inner.example.com", NULL),
			 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct origin_facts facts = { rows[i].method, rows[i].host, rows[i].origin,
						    rows[i].fetch_site };
		struct err err = { 0 };
		int got = origin_check(&names, &facts, &err);

		if (got != rows[i].want)
			fail_msg("row %zu (%s): %d", i, rows[i].host ? rows[i].host : "-", got);
	}
	origin_names_done(&names);
}

static void wildcard_listener_adds_no_name(void **state)
{
	struct origin_names names;
	const struct origin_facts facts = { "GET", "0.0.0.0:3000", NULL, NULL };
	struct err err = { 0 };

	(void)state;
	assert_int_equal(origin_names_init(&names, "0.0.0.0", "", NULL), 0);
	assert_int_equal(origin_check(&names, &facts, &err), -ERR_DENIED);
	origin_names_done(&names);
}

static void refuses_a_list_with_what_is_no_host_name(void **state)
{
	struct origin_names names;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(origin_names_init(&names, "127.0.0.1", "good.example,http://bad", &err),
			 -ERR_INVALID);
	origin_names_done(&names);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_origin_is_judged_as_its_row_says),
		cmocka_unit_test(wildcard_listener_adds_no_name),
		cmocka_unit_test(refuses_a_list_with_what_is_no_host_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
