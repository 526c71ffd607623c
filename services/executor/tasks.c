#include "tasks.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* The whole of a short file as text; "" when it cannot be read. */
static void read_text(const char *path, char *ret, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, ret, size - 1) : -1;

	ret[n > 0 ? n : 0] = 0;
	if (fd >= 0)
		close(fd);
}

/* The number behind `name`, which begins a line; fallback without one. */
static uint64_t number_after(const char *text, const char *name, uint64_t fallback)
{
	const char *at = strstr(text, name);

	return at ? strtoull(at + strlen(name), NULL, 10) : fallback;
}

pid_t tasks_pid_of(int pidfd)
{
	char path[64], text[256];
	uint64_t pid;

	(void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
	read_text(path, text, sizeof(text));
	pid = number_after(text, "\nPid:", 0); /* -1 when it is gone */
	return pid > 0 && pid < INT32_MAX ? (pid_t)pid : 0;
}

pid_t tasks_parent_of(pid_t pid)
{
	char path[64], text[2048];

	(void)snprintf(path, sizeof(path), "/proc/%d/status", pid);
	read_text(path, text, sizeof(text));
	return (pid_t)number_after(text, "\nPPid:", 0);
}

uint32_t tasks_of_process(pid_t pid)
{
	char path[64], text[2048];

	(void)snprintf(path, sizeof(path), "/proc/%d/status", pid);
	read_text(path, text, sizeof(text));
	if (number_after(text, "\nUid:", UINT64_MAX) != geteuid())
		return 0;
	return (uint32_t)number_after(text, "\nThreads:", 0);
}

uint32_t tasks_of_uid(void)
{
	DIR *dir = opendir("/proc");
	const struct dirent *entry;
	uint32_t tasks = 0;

	while (dir && (entry = readdir(dir))) {
		if (isdigit((unsigned char)entry->d_name[0]))
			tasks += tasks_of_process((pid_t)strtol(entry->d_name, NULL, 10));
	}
	if (dir)
		(void)closedir(dir);
	return tasks;
}

int tasks_open_memory(pid_t pid)
{
	char path[64];
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/statm", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

uint64_t tasks_resident_kb(int memory_fd)
{
	char text[128];
	ssize_t n = memory_fd >= 0 ? pread(memory_fd, text, sizeof(text) - 1, 0) : -1;
	const char *second;

	text[n > 0 ? n : 0] = 0;
	second = strchr(text, ' '); /* size resident ..., in pages (proc(5)) */
	return second ? strtoull(second, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE) / 1024 : 0;
}

uint64_t tasks_cpu_us(pid_t pid)
{
	struct timespec t;
	clockid_t id;

	if (pid <= 0 || clock_getcpuclockid(pid, &id) != 0 || clock_gettime(id, &t) < 0)
		return 0;
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* ---- the machine ---- */

/* The lowest limit of a control group and those above it; UINT64_MAX without one. */
static uint64_t group_limit(const char *root, char *group, const char *file)
{
	uint64_t least = UINT64_MAX;

	for (;;) {
		char path[4200], text[64];
		char *end;

		(void)snprintf(path, sizeof(path), "%s%s/%s", root, group, file);
		read_text(path, text, sizeof(text));
		if (isdigit((unsigned char)text[0]) && strtoull(text, NULL, 10) < least)
			least = strtoull(text, NULL, 10);
		end = strrchr(group, '/');
		if (!end)
			return least;
		*end = 0;
	}
}

/* Lines of /proc/self/cgroup: "0::/path" (v2), "7:memory:/path" (v1). */
static uint64_t container_limit(void)
{
	char text[4096];
	char *rest = text, *line;
	uint64_t least = UINT64_MAX, limit;

	read_text("/proc/self/cgroup", text, sizeof(text));
	while ((line = strsep(&rest, "\n"))) {
		char *first = strchr(line, ':');
		char *second = first ? strchr(first + 1, ':') : NULL;

		if (!second)
			continue;
		*second = 0;
		limit = UINT64_MAX;
		if (first[1] == 0)
			limit = group_limit("/sys/fs/cgroup", second + 1, "memory.max");
		else if (strcmp(first + 1, "memory") == 0)
			limit = group_limit("/sys/fs/cgroup/memory", second + 1,
					    "memory.limit_in_bytes");
		least = limit < least ? limit : least;
	}
	return least;
}

uint64_t tasks_machine_mb(void)
{
	char text[4096];
	uint64_t machine, container = container_limit();

	read_text("/proc/meminfo", text, sizeof(text));
	machine = number_after(text, "MemTotal:", 0) * 1024;
	return (container < machine ? container : machine) >> 20;
}
