#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "logfile.h"

static char dir[] = "/tmp/box-logfile-XXXXXX";
static char path[64];

static int make_dir(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	return snprintf(path, sizeof(path), "%s/x.log", dir) > 0 ? 0 : -1;
}

static int remove_dir(void **state)
{
	char old[80];

	(void)state;
	(void)unlink(path);
	for (int i = 1; i <= 4; i++) {
		(void)snprintf(old, sizeof(old), "%s.%d", path, i);
		(void)unlink(old);
	}
	return rmdir(dir);
}

static void expect_content(const char *file, const char *text)
{
	char got[256] = "";
	FILE *in = fopen(file, "re");

	assert_non_null(in);
	assert_int_equal(fread(got, 1, sizeof(got) - 1, in), strlen(text));
	assert_int_equal(fclose(in), 0);
	assert_string_equal(got, text);
}

static void rotates_only_at_the_end_of_a_line(void **state)
{
	struct logfile log;
	char old[80];

	(void)state;
	(void)snprintf(old, sizeof(old), "%s.1", path);
	assert_int_equal(logfile_open(&log, path, 8), 0);
	logfile_append(&log, "0123456789", 10); /* above the size, but the line is not done */
	logfile_append(&log, "ab\nsecond", 9);
	logfile_close(&log);
	expect_content(old, "0123456789ab\n");
	expect_content(path, "second");
}

static void keeps_three_old_files(void **state)
{
	struct logfile log;
	char old[80];

	(void)state;
	assert_int_equal(logfile_open(&log, path, 1), 0);
	for (int i = 0; i < 8; i++)
		logfile_append(&log, "line\n", 5);
	logfile_close(&log);
	(void)snprintf(old, sizeof(old), "%s.3", path);
	assert_int_equal(access(old, F_OK), 0);
	(void)snprintf(old, sizeof(old), "%s.4", path);
	assert_int_equal(access(old, F_OK), -1);
}

static void continues_an_existing_log(void **state)
{
	struct logfile log;

	(void)state;
	(void)unlink(path);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(logfile_open(&log, path, 1000), 0);
		logfile_append(&log, "x\n", 2);
		logfile_close(&log);
	}
	expect_content(path, "x\nx\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rotates_only_at_the_end_of_a_line),
		cmocka_unit_test(keeps_three_old_files),
		cmocka_unit_test(continues_an_existing_log),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
