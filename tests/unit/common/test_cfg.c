#include <fcntl.h>
#include <unistd.h>
#include "test.h"
#include "cfg.h"
#include "crypto.h"
#include "err.h"
#include "json.h"
#include "mem.h"
#include "secret.h"

struct settings {
	char *name, *log_level;
	struct secret *password;
	uint32_t port, timeout_ms;
	uint64_t limit;
	bool is_open;
};

#define ROW(name, kind, field, fallback, min, max, flags)                          \
	CFG(struct settings, "TEST_" name, kind, field, fallback, min, max, flags, \
	    "what " name " is")

static const struct cfg_row rows[] = {
	ROW("NAME", CFG_STRING, name, NULL, 1, 8, 0),
	ROW("PASSWORD", CFG_SECRET, password, NULL, 4, 64, CFG_REQUIRED | CFG_FILE_ALLOWED),
	ROW("PORT", CFG_UINT, port, "8000", 1, 65535, 0),
	ROW("TIMEOUT", CFG_MS, timeout_ms, "5s", 100, 60000, 0),
	ROW("LIMIT", CFG_SIZE, limit, "1m", 0, 0, 0),
	ROW("OPEN", CFG_BOOL, is_open, "no", 0, 0, CFG_INTERNAL),
	CFG_LOG_LEVEL(struct settings, log_level),
};

static int clean(void **state)
{
	static const char *const names[] = { "TEST_NAME", "TEST_PASSWORD",   "TEST_PASSWORD_FILE",
					     "TEST_PORT", "TEST_TIMEOUT",    "TEST_LIMIT",
					     "TEST_OPEN", "MCPBOX_LOG_LEVEL" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		unsetenv(names[i]);
	return 0;
}

static void reads_values_and_defaults(void **state)
{
	struct settings s = { 0 };

	(void)state;
	setenv("TEST_PASSWORD", "hunter22", 1);
	setenv("TEST_PORT", "81", 1);
	setenv("TEST_NAME", "", 1);
	assert_int_equal(cfg_load(rows, ARRAY_LEN(rows), &s), 0);
	assert_null(s.name);
	assert_string_equal((char *)s.password->data, "hunter22");
	assert_int_equal(s.port, 81);
	assert_int_equal(s.timeout_ms, 5000);
	assert_int_equal(s.limit, 1 << 20);
	assert_false(s.is_open);
	assert_string_equal(s.log_level, "info");
	cfg_free(rows, ARRAY_LEN(rows), &s);
}

/* Everything printed to `stream` while fn runs; heap. */
static char *printed(int fd, void (*fn)(void *arg), void *arg)
{
	char path[] = "/tmp/box_cfg_XXXXXX", *text = mem_alloc(8192);
	int file = mkstemp(path), kept = dup(fd);

	fflush(NULL);
	dup2(file, fd);
	fn(arg);
	fflush(NULL);
	dup2(kept, fd);
	assert_true(pread(file, text, 8191, 0) >= 0);
	close(kept);
	close(file);
	unlink(path);
	return text;
}

static void load_badly(void *arg)
{
	assert_int_equal(cfg_load(rows, ARRAY_LEN(rows), arg), -ERR_INVALID);
}

static void reports_all_bad_values_at_once(void **state)
{
	struct settings s = { 0 };
	BOX_CLEANUP(mem_freep) char *text = NULL;

	(void)state;
	setenv("TEST_NAME", "longer than eight", 1);
	setenv("TEST_PASSWORD", "abc", 1);
	setenv("TEST_PORT", "65536", 1);
	setenv("TEST_TIMEOUT", "5 s", 1);
	setenv("TEST_OPEN", "maybe", 1);
	text = printed(2, load_badly, &s);
	assert_non_null(strstr(text, "TEST_NAME: bad value: longer than eight (string 1..8;"));
	assert_non_null(strstr(text, "TEST_PASSWORD: bad value ("));
	assert_null(strstr(text, "abc"));
	assert_non_null(strstr(text, "TEST_PORT: bad value: 65536"));
	assert_non_null(strstr(text, "TEST_TIMEOUT: "));
	assert_non_null(strstr(text, "TEST_OPEN: "));
	assert_null(s.name);
	assert_null(s.log_level);
}

static void asks_for_what_is_required(void **state)
{
	struct settings s = { 0 };
	BOX_CLEANUP(mem_freep) char *text = printed(2, load_badly, &s);

	(void)state;
	assert_non_null(strstr(text, "TEST_PASSWORD: must be set"));
}

static void reads_secrets_from_files(void **state)
{
	char path[] = "/tmp/box_cfg_XXXXXX";
	int fd = mkstemp(path);
	struct settings s = { 0 };
	BOX_CLEANUP(mem_freep) char *both = NULL;
	BOX_CLEANUP(mem_freep) char *missing = NULL;

	(void)state;
	assert_int_equal(write(fd, "from file\n", 10), 10);
	close(fd);
	setenv("TEST_PASSWORD_FILE", path, 1);
	assert_int_equal(cfg_load(rows, ARRAY_LEN(rows), &s), 0);
	assert_string_equal((char *)s.password->data, "from file");
	cfg_free(rows, ARRAY_LEN(rows), &s);

	setenv("TEST_PASSWORD", "directly", 1);
	both = printed(2, load_badly, &s);
	assert_non_null(strstr(both, "set directly and as a file"));
	unsetenv("TEST_PASSWORD");
	unlink(path);
	missing = printed(2, load_badly, &s);
	assert_non_null(strstr(missing, "file cannot be read"));
}

static void print_all(void *arg)
{
	cfg_print(rows, ARRAY_LEN(rows), arg, stdout);
	cfg_print_table(rows, ARRAY_LEN(rows), stdout);
}

static void prints_settings_but_no_secrets(void **state)
{
	struct settings s = { 0 };
	BOX_CLEANUP(mem_freep) char *text = NULL;
	char *line;

	(void)state;
	setenv("TEST_PASSWORD", "hunter22", 1);
	setenv("TEST_TIMEOUT", "10s", 1);
	assert_int_equal(cfg_load(rows, ARRAY_LEN(rows), &s), 0);
	text = printed(1, print_all, &s);
	assert_null(strstr(text, "hunter22"));
	assert_non_null(strstr(text, "TEST_PASSWORD\t(set)\twhat PASSWORD is\n"));
	assert_non_null(strstr(text, "TEST_TIMEOUT\t10000\t"));
	assert_non_null(strstr(text, "TEST_NAME\t\t"));
	line = strstr(text, "{\"name\":\"TEST_PORT\"");
	assert_non_null(line);
	assert_int_equal(json_scan(line, strcspn(line, "\n"), NULL), 0);
	cfg_free(rows, ARRAY_LEN(rows), &s);
}

static int start(void **state)
{
	(void)state;
	return crypto_start();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(reads_values_and_defaults, clean),
		cmocka_unit_test_setup(reports_all_bad_values_at_once, clean),
		cmocka_unit_test_setup(asks_for_what_is_required, clean),
		cmocka_unit_test_setup(reads_secrets_from_files, clean),
		cmocka_unit_test_setup(prints_settings_but_no_secrets, clean),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
