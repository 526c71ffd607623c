#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>
#include "csrf.h"

static void own_token_matches(void **state)
{
	char token[CSRF_TEXT_SIZE];

	(void)state;
	csrf_token("session-a", token);
	assert_int_equal(strlen(token), CSRF_TEXT_SIZE - 1);
	assert_true(csrf_matches("session-a", token));
}

static void token_of_another_session_does_not(void **state)
{
	char token[CSRF_TEXT_SIZE];

	(void)state;
	csrf_token("session-a", token);
	assert_false(csrf_matches("session-b", token));
}

static void absent_short_or_altered_token_does_not(void **state)
{
	char token[CSRF_TEXT_SIZE];

	(void)state;
	csrf_token("session-a", token);
	assert_false(csrf_matches("session-a", NULL));
	assert_false(csrf_matches("session-a", ""));
	assert_false(csrf_matches("session-a", "session-a"));
	token[0] = token[0] == '0' ? '1' : '0';
	assert_false(csrf_matches("session-a", token));
}

static int start(void **state)
{
	(void)state;
	return crypto_start();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(own_token_matches),
		cmocka_unit_test(token_of_another_session_does_not),
		cmocka_unit_test(absent_short_or_altered_token_does_not),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
