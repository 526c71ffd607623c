/* Control groups without a kernel that has them: what is read, which directories are taken, what is said. */
#include "test.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cgroup.h"
#include "mem.h"

struct tree {
	char path[64];
};

static void make_file(const char *dir, const char *name, const char *text)
{
	char path[256];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	(void)close(fd);
}

static int set_up(void **state)
{
	struct tree *t = mem_alloc(sizeof(*t));

	(void)snprintf(t->path, sizeof(t->path), "/tmp/mcpbox-cgroup-XXXXXX");
	*state = t;
	return mkdtemp(t->path) ? 0 : -1;
}

static int tear_down(void **state)
{
	struct tree *t = *state;
	char command[128];
	int r;

	(void)snprintf(command, sizeof(command), "rm -rf '%s'", t->path);
	r = system(command);
	free(t);
	return r;
}

static void refuses(const char *dirs, const char *word)
{
	struct cgroups *all = NULL;
	struct err err = { 0 };

	assert_int_equal(cgroups_open(dirs, &all, &err), -ERR_UNSUPPORTED);
	assert_null(all);
	assert_non_null(strstr(err.text, word));
	err_done(&err);
}

static void kills_are_counted(void **state)
{
	(void)state;
	assert_int_equal(cgroup_parse_oom_kills(""), 0);
	assert_int_equal(cgroup_parse_oom_kills("low 1\nhigh 2\nmax 3\noom 4\noom_kill 5\n"
						"oom_group_kill 6\n"),
			 5);
	assert_int_equal(cgroup_parse_oom_kills("oom_kill_disable 1\nunder_oom 0\noom_kill 17\n"),
			 17);
	assert_int_equal(cgroup_parse_oom_kills("oom_kill_disable 1\nunder_oom 0\n"), 0);
}

static void what_is_no_cgroup_is_refused(void **state)
{
	struct tree *t = *state;

	refuses("/nonexistent", "no cgroup of its own");
	refuses(t->path, "no cgroup of its own");
	/* The root of a hierarchy: v1 by its extra file, v2 by a missing one. */
	make_file(t->path, "memory.limit_in_bytes", "0");
	make_file(t->path, "cgroup.sane_behavior", "0");
	refuses(t->path, "no cgroup of its own");
}

static void a_v2_root_is_refused(void **state)
{
	struct tree *t = *state;

	make_file(t->path, "cgroup.controllers", "memory pids\n");
	refuses(t->path, "no cgroup of its own");
}

static void half_of_v1_is_not_enough(void **state)
{
	struct tree *t = *state;

	make_file(t->path, "memory.limit_in_bytes", "0");
	refuses(t->path, "both the memory and the pids hierarchy");
}

static void v2_without_controllers_is_refused(void **state)
{
	struct tree *t = *state;

	make_file(t->path, "cgroup.controllers", "cpu hugetlb\n");
	make_file(t->path, "cgroup.events", "");
	refuses(t->path, "lacks the memory or the pids controller");
}

/* Limits cannot be set in this tree, so nothing may be left of the attempt, nor of an earlier run. */
static void nothing_is_left_of_a_failed_attempt(void **state)
{
	struct tree *t = *state;
	char path[128];

	make_file(t->path, "cgroup.controllers", "cpu memory pids\n");
	make_file(t->path, "cgroup.subtree_control", "memory pids\n");
	make_file(t->path, "cgroup.events", "");
	(void)snprintf(path, sizeof(path), "%s/worker-1", t->path);
	assert_int_equal(mkdir(path, 0755), 0);
	refuses(t->path, "cannot be made: ENOENT");
	assert_int_equal(access(path, F_OK), -1);
	(void)snprintf(path, sizeof(path), "%s/worker-2", t->path);
	assert_int_equal(access(path, F_OK), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kills_are_counted),
		cmocka_unit_test_setup_teardown(what_is_no_cgroup_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_v2_root_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(half_of_v1_is_not_enough, set_up, tear_down),
		cmocka_unit_test_setup_teardown(v2_without_controllers_is_refused, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(nothing_is_left_of_a_failed_attempt, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
