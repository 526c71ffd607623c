#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "envfile.h"

static char path[] = "/tmp/box-envfile-XXXXXX";

static int make_file(void **state)
{
	int fd = mkstemp(path);

	(void)state;
	return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
	(void)state;
	return unlink(path);
}

static char **read_text(const char *text)
{
	FILE *out = fopen(path, "we");

	assert_non_null(out);
	assert_true(fputs(text, out) >= 0);
	assert_int_equal(fclose(out), 0);
	return envfile_read(path, NULL, 0);
}

static void takes_values_as_they_stand(void **state)
{
	char **env = read_text("# a comment\n\nA=b c=\"d\" $HOME\nEMPTY=\nLAST=without newline");

	(void)state;
	assert_non_null(env);
	assert_string_equal(env[0], "A=b c=\"d\" $HOME");
	assert_string_equal(env[1], "EMPTY=");
	assert_string_equal(env[2], "LAST=without newline");
	assert_null(env[3]);
	envfile_free(env);
}

static void puts_given_entries_first(void **state)
{
	static const char *const more[] = { "PATH=/bin" };
	char **env = read_text("A=b\n");

	(void)state;
	envfile_free(env);
	env = envfile_read(path, more, 1);
	assert_non_null(env);
	assert_string_equal(env[0], "PATH=/bin");
	assert_string_equal(env[1], "A=b");
	envfile_free(env);
}

static void refuses_line_that_is_no_assignment(void **state)
{
	static const char *const bad[] = { "A\n", "=x\n", "a=b\n", "1A=b\n", "A b=c\n" };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_null(read_text(bad[i]));
		assert_int_equal(errno, EINVAL);
	}
}

static void refuses_more_than_256_lines(void **state)
{
	char text[257 * 4 + 1];

	(void)state;
	for (int i = 0; i < 257; i++)
		(void)snprintf(text + (ptrdiff_t)i * 4, 5, "A=b\n");
	assert_null(read_text(text));
	assert_int_equal(errno, E2BIG);
}

static void says_why_a_missing_file_is_not_read(void **state)
{
	(void)state;
	assert_null(envfile_read("/nonexistent/file", NULL, 0));
	assert_int_equal(errno, ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_values_as_they_stand),
		cmocka_unit_test(puts_given_entries_first),
		cmocka_unit_test(refuses_line_that_is_no_assignment),
		cmocka_unit_test(refuses_more_than_256_lines),
		cmocka_unit_test(says_why_a_missing_file_is_not_read),
	};

	return cmocka_run_group_tests(tests, make_file, remove_file);
}
