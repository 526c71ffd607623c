#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "mem.h"
#include "place.h"

static int make_directory(void **state)
{
	char *dir = mem_strdup("/tmp/mcpbox-place-XXXXXX");

	*state = mkdtemp(dir);
	(void)unsetenv("MCPBOX_ADMIN_PORT");
	(void)unsetenv("MCPBOX_REGISTRY_ADDR");
	(void)unsetenv("MCPBOX_TOKEN");
	return *state ? 0 : -1;
}

static int remove_directory(void **state)
{
	BOX_CLEANUP(mem_freep) char *command = mem_printf("rm -r '%s'", (char *)*state);
	int r = system(command);

	free(*state);
	return r;
}

static void write_config(const char *dir, const char *text)
{
	BOX_CLEANUP(mem_freep) char *path = mem_printf("%s/config.env", dir);

	assert_int_equal(place_write_file(path, text, strlen(text), NULL), 0);
}

static void defaults_hold_without_a_config(void **state)
{
	struct place p;

	assert_int_equal(place_find(*state, &p, NULL), 0);
	assert_int_equal(p.admin_port, 3000);
	assert_string_equal(p.registry_addr, "127.0.0.1:8100");
	assert_null(p.token);
	place_done(&p);
}

static void what_up_remembered_wins_over_the_environment(void **state)
{
	struct place p;

	(void)setenv("MCPBOX_ADMIN_PORT", "4444", 1);
	write_config(*state,
		     "MCPBOX_ADMIN_PORTS=1\nMCPBOX_ADMIN_PORT=3456\nMCPBOX_REGISTRY_ADDR='h:1'\n");
	assert_int_equal(place_find(*state, &p, NULL), 0);
	assert_int_equal(p.admin_port, 3456);
	assert_string_equal(p.registry_addr, "h:1");
	place_done(&p);
	(void)unsetenv("MCPBOX_ADMIN_PORT");
}

static void refuses_a_port_that_is_none(void **state)
{
	struct place p;
	struct err err = { 0 };

	write_config(*state, "MCPBOX_ADMIN_PORT=x\n");
	assert_int_equal(place_find(*state, &p, &err), -ERR_INVALID);
}

static void files_are_for_their_owner_alone(void **state)
{
	BOX_CLEANUP(mem_freep) char *path = mem_printf("%s/ctl/token", (char *)*state);
	BOX_CLEANUP(mem_freep) char *text = NULL;
	struct stat st;
	size_t len;

	assert_int_equal(place_write_file(path, "one", 3, NULL), 0);
	assert_int_equal(place_write_file(path, "two", 3, NULL), 0);
	assert_int_equal(place_read_file(path, 16, &text, &len, NULL), 0);
	assert_string_equal(text, "two");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void refuses_a_file_over_its_ceiling(void **state)
{
	BOX_CLEANUP(mem_freep) char *path = mem_printf("%s/large", (char *)*state);
	char *text;
	size_t len;

	assert_int_equal(place_write_file(path, "12345", 5, NULL), 0);
	assert_int_equal(place_read_file(path, 4, &text, &len, NULL), -ERR_TOO_LARGE);
	assert_int_equal(place_read_file(path, 5, &text, &len, NULL), 0);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(defaults_hold_without_a_config, make_directory,
						remove_directory),
		cmocka_unit_test_setup_teardown(what_up_remembered_wins_over_the_environment,
						make_directory, remove_directory),
		cmocka_unit_test_setup_teardown(refuses_a_port_that_is_none, make_directory,
						remove_directory),
		cmocka_unit_test_setup_teardown(files_are_for_their_owner_alone, make_directory,
						remove_directory),
		cmocka_unit_test_setup_teardown(refuses_a_file_over_its_ceiling, make_directory,
						remove_directory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
