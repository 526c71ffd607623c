#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "test.h"
#include "log.h"
#include "mem.h"
#include "service.h"

static bool has_landlock(void)
{
	return syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) > 0;
}

/* Exit status of a child that ran fn; the confinement ends with it. */
static int in_child(int (*fn)(const char *dir), const char *dir)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0)
		_exit(fn(dir));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int errno_of_open(const char *dir, const char *name, int flags)
{
	BOX_CLEANUP(mem_freep) char *path = mem_printf("%s/%s", dir, name);
	int fd = open(path, flags | O_CLOEXEC, 0600);

	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

static int try_confined(const char *dir)
{
	BOX_CLEANUP(mem_freep) char *ro = mem_printf("%s/ro", dir);
	BOX_CLEANUP(mem_freep) char *rw = mem_printf("%s/rw", dir);
	const char *const read_only[] = { ro, NULL }, *const read_write[] = { rw, NULL };

	if (service_confine(read_only, read_write, NULL) < 0)
		return 10;
	if (errno_of_open(dir, "ro/file", O_RDONLY) != 0)
		return 11;
	if (errno_of_open(dir, "ro/file", O_WRONLY) != EACCES)
		return 12;
	if (errno_of_open(dir, "ro/new", O_WRONLY | O_CREAT) != EACCES)
		return 13;
	if (errno_of_open(dir, "rw/new", O_RDWR | O_CREAT) != 0)
		return 14;
	if (errno_of_open(dir, "rw/new", O_WRONLY | O_TRUNC) != 0)
		return 15;
	if (errno_of_open(dir, "other", O_RDONLY) != EACCES)
		return 16;
	if (errno_of_open("/dev", "null", O_RDWR) != 0 ||
	    errno_of_open("/dev", "urandom", O_RDONLY) != 0)
		return 17;
	if (errno_of_open("/etc", "shadow", O_RDONLY) != EACCES)
		return 18;
	return 0;
}

static int try_missing(const char *dir)
{
	BOX_CLEANUP(mem_freep) char *path = mem_printf("%s/missing", dir);
	const char *const read_only[] = { path, NULL };

	return service_confine(read_only, NULL, NULL) < 0 ? 0 : 1;
}

static char dir[] = "/tmp/box_confine_XXXXXX";

static void leaves_only_the_named_paths(void **state)
{
	(void)state;
	if (!has_landlock() && getenv("BOX_SKIP_LANDLOCK"))
		skip();
	assert_int_equal(in_child(try_confined, dir), 0);
}

static void refuses_paths_that_are_not_there(void **state)
{
	(void)state;
	if (!has_landlock() && getenv("BOX_SKIP_LANDLOCK"))
		skip();
	assert_int_equal(in_child(try_missing, dir), 0);
}

static int make_files(void **state)
{
	static const char *const names[] = { "ro/file", "other" };

	(void)state;
	log_open("test", "test", LOG_ERROR);
	if (!mkdtemp(dir))
		return -1;
	for (size_t i = 0; i < 2; i++) {
		BOX_CLEANUP(mem_freep) char *path = mem_printf("%s/%s", dir, i ? "rw" : "ro");

		(void)mkdir(path, 0700);
	}
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (errno_of_open(dir, names[i], O_WRONLY | O_CREAT) != 0)
			return -1;
	return 0;
}

static int remove_files(void **state)
{
	BOX_CLEANUP(mem_freep) char *command = mem_printf("rm -r %s", dir);

	(void)state;
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(leaves_only_the_named_paths),
		cmocka_unit_test(refuses_paths_that_are_not_there),
	};

	return cmocka_run_group_tests(tests, make_files, remove_files);
}
