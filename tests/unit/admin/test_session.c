#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>
#include "mem.h"
#include "session.h"

static void bearer_token_wins_over_cookie(void **state)
{
	struct session s;

	(void)state;
	assert_int_equal(session_read("Bearer abc.DEF-1", "mcpbox_session=other", &s, NULL), 0);
	assert_string_equal(s.token, "abc.DEF-1");
	assert_false(s.is_cookie);
}

static void scheme_is_not_case_sensitive(void **state)
{
	struct session s;

	(void)state;
	assert_int_equal(session_read("bearer abc", NULL, &s, NULL), 0);
	assert_string_equal(s.token, "abc");
}

static void refuses_other_authorization(void **state)
{
	static const char *const bad[] = {
		"",           "Basic YTpi", "Bearer",       "Bearer ",
		"Bearer a b", "Bearer a;b", "Bearer \"a\"", "Bearer  a"
	};
	struct session s;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(session_read(bad[i], NULL, &s, NULL), -ERR_UNAUTHENTICATED);
}

static void finds_the_cookie_among_others(void **state)
{
	static const struct {
		const char *header, *token;
	} rows[] = {
		{ "mcpbox_session=abc", "abc" },
		{ "a=1; mcpbox_session=abc; b=2", "abc" },
		{ "a=1;mcpbox_session=abc", "abc" },
		{ "xmcpbox_session=abc", "" },
		{ "a=mcpbox_session=abc", "" },
		{ "mcpbox_session=", "" },
		{ "mcpbox_session=a b", "" },
		{ "", "" },
		{ ";;; ", "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct session s;

		assert_int_equal(session_read(NULL, rows[i].header, &s, NULL), 0);
		assert_string_equal(s.token, rows[i].token);
		assert_true(s.is_cookie == (rows[i].token[0] != 0));
	}
}

static void overlong_token_is_no_token(void **state)
{
	char header[SESSION_TOKEN_MAX + 64] = "Bearer ";
	struct session s;

	(void)state;
	memset(header + 7, 'a', SESSION_TOKEN_MAX);
	header[7 + SESSION_TOKEN_MAX] = 0;
	assert_int_equal(session_read(header, NULL, &s, NULL), 0);
	assert_int_equal(strlen(s.token), SESSION_TOKEN_MAX);
	memset(header + 7, 'a', SESSION_TOKEN_MAX + 1);
	assert_int_equal(session_read(header, NULL, &s, NULL), -ERR_UNAUTHENTICATED);
}

static void cookie_is_out_of_reach_of_scripts_and_other_sites(void **state)
{
	BOX_CLEANUP(mem_freep) char *cookie = session_set_cookie("tok", 900);

	(void)state;
	assert_string_equal(cookie,
			    "mcpbox_session=tok; Path=/; Max-Age=900; HttpOnly; SameSite=Strict");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bearer_token_wins_over_cookie),
		cmocka_unit_test(scheme_is_not_case_sensitive),
		cmocka_unit_test(refuses_other_authorization),
		cmocka_unit_test(finds_the_cookie_among_others),
		cmocka_unit_test(overlong_token_is_no_token),
		cmocka_unit_test(cookie_is_out_of_reach_of_scripts_and_other_sites),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
