/*
 * integration_cgroup REPO VERSION: real control groups of that version (1 or 2), handed over by deploy/lib/cgroups.sh
 * to an account without rights.  Exit status 77 (skipped) where this host has none of it or the test is not root's.
 */
#include "test.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "cgroup.h"
#include "mem.h"

#define NOBODY  65534
#define SKIPPED 77
#define MEMORY  ((uint64_t)64 << 20)

static const struct cgroup_limits roomy = { .memory_bytes = MEMORY, .processes = 16 };
static const char *repo;
static char dirs[1024];

/* Runs a function of the shell library as root; what it prints goes to dirs. */
static int shell(const char *command)
{
	char *line =
		mem_printf("is_root() { true; }; data=/test-%d; . '%s/deploy/lib/cgroups.sh'; %s",
			   getpid(), repo, command);
	FILE *out = popen(line, "r");
	size_t len = fread(dirs, 1, sizeof(dirs) - 1, out);
	int r = pclose(out);

	dirs[len] = '\0';
	dirs[strcspn(dirs, "\n")] = '\0';
	free(line);
	return r;
}

static struct cgroups *open_all(void)
{
	struct cgroups *all = NULL;
	struct err err = { 0 };

	if (cgroups_open(dirs, &all, &err) < 0)
		print_error("%s\n", err.text);
	assert_non_null(all);
	return all;
}

/* A process of the account that runs fn once it is in the group; its wait status. */
static int status_inside(struct cgroup *g, int (*fn)(void))
{
	int gate[2], status = -1;
	char byte = 0;
	pid_t pid;

	assert_int_equal(pipe(gate), 0);
	pid = fork();
	if (pid == 0) {
		(void)close(gate[1]);
		if (seteuid(0) < 0 || setresuid(NOBODY, NOBODY, NOBODY) < 0 ||
		    read(gate[0], &byte, 1) != 1 || close_range(3, ~0u, 0) < 0)
			_exit(99); /* without the place's lock, as after exec */
		_exit(fn());
	}
	(void)close(gate[0]);
	/* Until it has become the account, v1 lets only root move it. */
	while (cgroup_enter(g, pid) == -EACCES)
		(void)usleep(1000);
	assert_int_equal(write(gate[1], &byte, 1), 1);
	(void)close(gate[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static int take_memory(void)
{
	size_t size = 2 * MEMORY;
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return 1;
	for (size_t i = 0; i < size; i += 4096)
		p[i] = 1;
	return 0;
}

static int take_processes(void)
{
	int made = 0;

	while (made < 64 && fork() >= 0) {
		made++;
		if (getppid() == 0)
			break;
	}
	return errno == EAGAIN ? 7 : 8;
}

/* Leaves children behind that never end by themselves. */
static int leave_children(void)
{
	for (int i = 0; i < 4; i++)
		if (fork() == 0)
			for (;;)
				(void)pause();
	return 0;
}

static int do_nothing(void)
{
	return 0;
}

static void memory_ends_with_a_count(void **state)
{
	struct cgroups *all = open_all();
	struct cgroup *g;
	int status;

	(void)state;
	assert_int_equal(cgroup_add(all, &roomy, &g), 0);
	assert_int_equal(status_inside(g, do_nothing), 0);
	assert_int_equal(cgroup_oom_kills(g), 0);
	status = status_inside(g, take_memory);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	assert_int_equal(cgroup_oom_kills(g), 1);
	cgroup_drop(g);
	cgroups_close(all);
}

static void limits_can_be_raised_and_lowered(void **state)
{
	struct cgroups *all = open_all();
	struct cgroup_limits limits = { .memory_bytes = 4 * MEMORY, .processes = 16 };
	struct cgroup *g;

	(void)state;
	assert_int_equal(cgroup_add(all, &roomy, &g), 0);
	assert_int_equal(cgroup_limit(g, &limits), 0);
	assert_int_equal(status_inside(g, take_memory), 0);
	limits.memory_bytes = MEMORY;
	assert_int_equal(cgroup_limit(g, &limits), 0);
	assert_int_not_equal(status_inside(g, take_memory), 0);
	cgroup_drop(g);
	cgroups_close(all);
}

static void processes_are_bounded(void **state)
{
	struct cgroups *all = open_all();
	struct cgroup *g;

	(void)state;
	assert_int_equal(cgroup_add(all, &roomy, &g), 0);
	assert_int_equal(status_inside(g, take_processes), 7 << 8);
	cgroup_drop(g);
	cgroups_close(all);
}

static bool has_groups(void)
{
	char *line =
		mem_printf("find $(echo '%s' | tr : ' ') -mindepth 1 -type d -name 'worker-*' | "
			   "grep -q .",
			   dirs);
	int r = system(line);

	free(line);
	return r == 0;
}

static void nothing_outlives_its_group(void **state)
{
	struct cgroups *all = open_all();
	struct cgroup *g;

	(void)state;
	assert_int_equal(cgroup_add(all, &roomy, &g), 0);
	assert_int_equal(status_inside(g, leave_children), 0);
	assert_true(has_groups());
	cgroup_drop(g);
	cgroups_close(all); /* waits for them */
	assert_false(has_groups());
}

static void leftovers_are_removed_at_the_start(void **state)
{
	struct cgroups *all = open_all();
	struct cgroup *g;
	int status;
	pid_t pid;

	(void)state;
	cgroups_close(all);
	/* As an executor that is killed: the place is let go of with a process in a group. */
	pid = fork();
	if (pid == 0) {
		all = open_all();
		_exit(cgroup_add(all, &roomy, &g) == 0 && status_inside(g, leave_children) == 0
			      ? 0
			      : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_true(has_groups());
	all = open_all();
	cgroups_close(all);
	assert_false(has_groups());
}

static void a_place_has_one_user(void **state)
{
	struct cgroups *all = open_all(), *second = NULL;
	struct err err = { 0 };

	(void)state;
	assert_int_equal(cgroups_open(dirs, &second, &err), -ERR_UNSUPPORTED);
	assert_non_null(strstr(err.text, "another executor"));
	cgroups_close(all);
}

/* As the account: 0 or 1 by the tests, or SKIPPED. */
static int run_as_nobody(unsigned version)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_ends_with_a_count),
		cmocka_unit_test(limits_can_be_raised_and_lowered),
		cmocka_unit_test(processes_are_bounded),
		cmocka_unit_test(nothing_outlives_its_group),
		cmocka_unit_test(leftovers_are_removed_at_the_start),
		cmocka_unit_test(a_place_has_one_user),
	};
	struct cgroups *all = NULL;
	struct err err = { 0 };
	unsigned found;

	if (cgroups_open(dirs, &all, &err) < 0)
		print_message("%s: %s\n", dirs, err.text);
	found = cgroups_version(all);
	cgroups_close(all);
	if (found == version)
		return cmocka_run_group_tests(tests, NULL, NULL) == 0 ? 0 : 1;
	print_message("cgroup v%u: this host has none to hand over\n", version);
	return SKIPPED;
}

int main(int argc, char **argv)
{
	int r = SKIPPED;

	if (argc != 3)
		return 2;
	repo = argv[1];
	if (geteuid() != 0) {
		print_message("cgroup v%s: only root can hand one over\n", argv[2]);
		return SKIPPED;
	}
	/* Of v2 the account may move processes below its place only, so this one, the shell's parent, goes there. */
	if (shell("cgroup_make x nobody; for p in $(cgroup_places x); do "
		  "[ ! -e $p/supervisor ] || echo $PPID >$p/supervisor/cgroup.procs; done; "
		  "cgroup_dirs x") != 0)
		return 1;
	if (dirs[0] && seteuid(NOBODY) == 0) {
		r = run_as_nobody((unsigned)atoi(argv[2]));
		if (seteuid(0) < 0)
			return 1;
	}
	(void)shell("for p in $(cgroup_places x); do for pid in $PPID $$; do "
		    "[ ! -e $p/supervisor ] || echo $pid >$(dirname $(dirname $p))/cgroup.procs; "
		    "done; done; "
		    "cgroup_remove x");
	return r;
}
