#include "cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cleanup.h"
#include "attrs.h"
#include "log.h"
#include "mem.h"

#define DIRS_MAX      2
#define PREFIX        "worker-"
#define OWN_LEAF      "supervisor" /* v2: a group with groups in it may hold no process itself */
#define CLOSE_TRIES   50
#define CLOSE_WAIT_US 10000

enum { DIR_MEMORY, DIR_PIDS }; /* v2: both at once */

struct cgroup {
	struct cgroups *all;
	char name[32];
	int events_fd; /* holds the count of out-of-memory kills */
	struct cgroup *next;
};

struct cgroups {
	unsigned version;
	int dirs[DIRS_MAX]; /* -1: none */
	unsigned last_number;
	struct cgroup *leaving; /* dropped, but not removed yet */
};

/* ---- files ---- */

static int write_at(int dir, const char *name, const char *text)
{
	BOX_CLEANUP(fd_closep) int fd = openat(dir, name, O_WRONLY | O_CLOEXEC);

	return fd < 0 || write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

static int write_number_at(int dir, const char *name, uint64_t number)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)number);
	return write_at(dir, name, text);
}

static bool has_file(int dir, const char *name)
{
	return faccessat(dir, name, F_OK, 0) == 0;
}

static bool has_word_at(int dir, const char *name, const char *word)
{
	BOX_CLEANUP(fd_closep) int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	char text[512], *rest = text, *one;
	ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (len < 0)
		return false;
	text[len] = '\0';
	while ((one = strsep(&rest, " \n")))
		if (strcmp(one, word) == 0)
			return true;
	return false;
}

static int open_dir(int at, const char *path)
{
	return openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

/* ---- finding a place ---- */

/* Which controllers a directory is for: its files tell.  A hierarchy's root has no limits, so none of them either. */
static bool take_dir(struct cgroups *all, int dir)
{
	int slot = has_file(dir, "memory.limit_in_bytes") ? DIR_MEMORY : DIR_PIDS;

	if (has_file(dir, "cgroup.controllers")) {
		if (all->version != 0 || !has_file(dir, "cgroup.events"))
			return false;
		all->version = 2;
		all->dirs[DIR_MEMORY] = dir;
		return true;
	}
	if (all->version == 2 || all->dirs[slot] >= 0 || has_file(dir, "cgroup.sane_behavior") ||
	    (slot == DIR_PIDS && !has_file(dir, "pids.max")))
		return false;
	all->version = 1;
	all->dirs[slot] = dir;
	return true;
}

static int take_list(struct cgroups *all, const char *dirs, struct err *err)
{
	BOX_CLEANUP(mem_freep) char *copy = mem_strdup(dirs);
	char *rest = copy;

	for (char *path; (path = strsep(&rest, ":"));) {
		int dir = open_dir(AT_FDCWD, path);

		if (dir >= 0 && take_dir(all, dir))
			continue;
		if (dir >= 0)
			close(dir);
		return err_set(err, ERR_UNSUPPORTED,
			       "MCPBOX_CGROUP names a directory that is no cgroup of its own");
	}
	return 0;
}

/* In a container its own cgroup looks like the hierarchy, but for the files that only a true root has or lacks. */
static int take_own(struct cgroups *all)
{
	static const char *const places[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/memory",
					      "/sys/fs/cgroup/pids" };

	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		int dir = faccessat(AT_FDCWD, places[i], W_OK, AT_EACCESS) == 0
				  ? open_dir(AT_FDCWD, places[i])
				  : -1;

		if (dir >= 0 && !take_dir(all, dir))
			close(dir);
	}
	return all->version != 0 ? 0 : -ENOENT;
}

/* ---- ending what is in a group ---- */

/* One that forks meanwhile is met again by the next sweep. */
static void kill_processes(int group)
{
	int fd = openat(group, "cgroup.procs", O_RDONLY | O_CLOEXEC);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "r");
	int pid;

	while (f && fscanf(f, "%d", &pid) == 1)
		if (pid > 1 && pid != getpid()) /* 0: of another pid namespace */
			(void)kill(pid, SIGKILL);
	if (f)
		(void)fclose(f);
	else if (fd >= 0)
		close(fd);
}

/* 0, or -EBUSY while a process is in it. */
static int remove_group(int dir, const char *name)
{
	BOX_CLEANUP(fd_closep) int group = -1;

	if (unlinkat(dir, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	group = open_dir(dir, name);
	if (group >= 0)
		kill_processes(group);
	return unlinkat(dir, name, AT_REMOVEDIR) == 0 ? 0 : -EBUSY;
}

static int remove_everywhere(const struct cgroups *all, const char *name)
{
	int r = 0;

	for (size_t i = 0; i < DIRS_MAX; i++)
		if (all->dirs[i] >= 0 && remove_group(all->dirs[i], name) < 0)
			r = -EBUSY;
	return r;
}

static void leave_later(struct cgroups *all, struct cgroup *g)
{
	g->next = all->leaving;
	all->leaving = g;
}

/* Nobody else makes groups here, so each one that is here is left over. */
static void adopt_leftovers(struct cgroups *all, int dir)
{
	int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *entries = copy < 0 ? NULL : fdopendir(copy);
	const struct dirent *entry;

	while (entries && (entry = readdir(entries))) {
		struct cgroup *g;

		if (strncmp(entry->d_name, PREFIX, strlen(PREFIX)) != 0 ||
		    strlen(entry->d_name) >= sizeof(g->name))
			continue;
		g = mem_alloc(sizeof(*g));
		*g = (struct cgroup){ .all = all, .events_fd = -1 };
		memcpy(g->name, entry->d_name, strlen(entry->d_name) + 1);
		leave_later(all, g);
	}
	if (entries)
		(void)closedir(entries);
	else if (copy >= 0)
		close(copy);
}

void cgroups_sweep(struct cgroups *all)
{
	struct cgroup **at = all ? &all->leaving : NULL;

	while (at && *at) {
		struct cgroup *g = *at;

		if (remove_everywhere(all, g->name) < 0) {
			at = &g->next;
			continue;
		}
		*at = g->next;
		free(g);
	}
}

/* ---- opening ---- */

/* Into a leaf with whatever runs in our own cgroup: only then may it have groups with controllers. */
static void move_into_leaf(int dir)
{
	BOX_CLEANUP(fd_closep) int procs = openat(dir, "cgroup.procs", O_RDONLY | O_CLOEXEC);
	BOX_CLEANUP(fd_closep) int leaf = -1;
	char text[4096], *rest = text, *one;
	ssize_t len;

	if (mkdirat(dir, OWN_LEAF, 0755) < 0 && errno != EEXIST)
		return;
	leaf = open_dir(dir, OWN_LEAF);
	len = procs < 0 || leaf < 0 ? -1 : read(procs, text, sizeof(text) - 1);
	if (len <= 0)
		return;
	text[len] = '\0';
	while ((one = strsep(&rest, "\n")))
		if (*one)
			(void)write_at(leaf, "cgroup.procs", one);
}

static int enable_controllers(int dir, struct err *err)
{
	static const char wanted[] = "+memory +pids";

	if (!has_word_at(dir, "cgroup.controllers", "memory") ||
	    !has_word_at(dir, "cgroup.controllers", "pids"))
		return err_set(
			err, ERR_UNSUPPORTED,
			"the cgroup that was handed over lacks the memory or the pids controller");
	if (has_word_at(dir, "cgroup.subtree_control", "memory") &&
	    has_word_at(dir, "cgroup.subtree_control", "pids"))
		return 0;
	if (write_at(dir, "cgroup.subtree_control", wanted) == 0)
		return 0;
	move_into_leaf(dir);
	if (write_at(dir, "cgroup.subtree_control", wanted) == 0)
		return 0;
	return err_set(err, ERR_UNSUPPORTED,
		       "the cgroup's controllers cannot be passed on to groups of its own");
}

/* Two executors in one place would take each other's groups for leftovers. */
static int lock_place(const struct cgroups *all, struct err *err)
{
	if (flock(all->dirs[DIR_MEMORY], LOCK_EX | LOCK_NB) == 0)
		return 0;
	return err_set(err, ERR_UNSUPPORTED, "another executor uses the same cgroup");
}

/* Everything that a worker's group takes, tried once. */
static int try_group(struct cgroups *all, struct err *err)
{
	const struct cgroup_limits limits = { .memory_bytes = 1 << 20, .processes = 1 };
	struct cgroup *g = NULL;
	int r = cgroup_add(all, &limits, &g);

	if (r < 0)
		return err_set(err, ERR_UNSUPPORTED, "a cgroup of its own cannot be made: %s",
			       strerrorname_np(-r));
	cgroup_drop(g);
	return 0;
}

int cgroups_open(const char *dirs, struct cgroups **ret, struct err *err)
{
	struct cgroups *all = mem_alloc(sizeof(*all));
	int r;

	*all = (struct cgroups){ .dirs = { -1, -1 } };
	r = *dirs ? take_list(all, dirs, err) : take_own(all);
	if (r == -ENOENT)
		r = err_set(err, ERR_UNSUPPORTED, "no cgroup is handed over to the executor");
	if (r == 0 && all->version == 1 && (all->dirs[DIR_MEMORY] < 0 || all->dirs[DIR_PIDS] < 0))
		r = err_set(err, ERR_UNSUPPORTED,
			    "of cgroup v1 both the memory and the pids hierarchy are needed");
	if (r == 0 && all->version == 2)
		r = enable_controllers(all->dirs[DIR_MEMORY], err);
	if (r == 0)
		r = lock_place(all, err);
	for (size_t i = 0; r == 0 && i < DIRS_MAX; i++)
		if (all->dirs[i] >= 0)
			adopt_leftovers(all, all->dirs[i]);
	cgroups_sweep(all);
	if (r == 0)
		r = try_group(all, err);
	if (r == 0)
		*ret = all;
	else
		cgroups_close(all);
	return r;
}

void cgroups_close(struct cgroups *all)
{
	if (!all)
		return;
	for (int i = 0; all->leaving && i < CLOSE_TRIES; i++) {
		cgroups_sweep(all);
		if (all->leaving)
			(void)usleep(CLOSE_WAIT_US);
	}
	while (all->leaving) {
		struct cgroup *g = all->leaving;

		log_warn("executor.cgroup_left", F_STR("name", g->name));
		all->leaving = g->next;
		free(g);
	}
	for (size_t i = 0; i < DIRS_MAX; i++)
		fd_closep(&all->dirs[i]);
	free(all);
}

unsigned cgroups_version(const struct cgroups *all)
{
	return all ? all->version : 0;
}

/* ---- one group ---- */

static int open_group(const struct cgroup *g, int slot)
{
	int dir = g->all->dirs[g->all->version == 2 ? DIR_MEMORY : slot];
	int group = open_dir(dir, g->name);

	return group < 0 ? -errno : group;
}

static int limit_memory_v1(int group, uint64_t bytes)
{
	int r;

	/* Memory with swap may never be below memory alone: when raising it goes first, when lowering last. */
	(void)write_number_at(group, "memory.memsw.limit_in_bytes", bytes);
	r = write_number_at(group, "memory.limit_in_bytes", bytes);
	if (r == 0)
		r = write_number_at(group, "memory.memsw.limit_in_bytes", bytes);
	return r == -ENOENT ? 0 : r; /* a kernel that does not account swap */
}

static int limit_memory_v2(int group, uint64_t bytes)
{
	int r = write_number_at(group, "memory.swap.max", 0);

	return r < 0 && r != -ENOENT ? r : write_number_at(group, "memory.max", bytes);
}

int cgroup_limit(struct cgroup *g, const struct cgroup_limits *limits)
{
	BOX_CLEANUP(fd_closep) int memory = open_group(g, DIR_MEMORY);
	BOX_CLEANUP(fd_closep) int pids = open_group(g, DIR_PIDS);
	int r;

	if (memory < 0 || pids < 0)
		return memory < 0 ? memory : pids;
	r = g->all->version == 2 ? limit_memory_v2(memory, limits->memory_bytes)
				 : limit_memory_v1(memory, limits->memory_bytes);
	return r < 0 ? r : write_number_at(pids, "pids.max", limits->processes);
}

static int make_dirs(const struct cgroup *g)
{
	for (size_t i = 0; i < DIRS_MAX; i++)
		if (g->all->dirs[i] >= 0 && mkdirat(g->all->dirs[i], g->name, 0755) < 0)
			return -errno;
	return 0;
}

/* Numbers of an earlier run may still be there. */
static int make_fresh(struct cgroups *all, struct cgroup *g)
{
	int r = -EEXIST;

	for (int tries = 0; r == -EEXIST && tries < 1000; tries++) {
		(void)snprintf(g->name, sizeof(g->name), PREFIX "%u", ++all->last_number);
		r = make_dirs(g);
	}
	return r;
}

static int open_events(struct cgroup *g)
{
	BOX_CLEANUP(fd_closep) int memory = open_group(g, DIR_MEMORY);

	if (memory < 0)
		return memory;
	g->events_fd = openat(memory, g->all->version == 2 ? "memory.events" : "memory.oom_control",
			      O_RDONLY | O_CLOEXEC);
	return g->events_fd < 0 ? -errno : 0;
}

int cgroup_add(struct cgroups *all, const struct cgroup_limits *limits, struct cgroup **ret)
{
	struct cgroup *g = mem_alloc(sizeof(*g));
	int r;

	*g = (struct cgroup){ .all = all, .events_fd = -1 };
	r = make_fresh(all, g);
	if (r == 0)
		r = cgroup_limit(g, limits);
	if (r == 0)
		r = open_events(g);
	if (r == 0)
		*ret = g;
	else
		cgroup_drop(g);
	return r;
}

int cgroup_enter(struct cgroup *g, pid_t pid)
{
	int r = 0;

	for (int slot = DIR_MEMORY; r == 0 && slot < (g->all->version == 2 ? 1 : DIRS_MAX);
	     slot++) {
		BOX_CLEANUP(fd_closep) int group = open_group(g, slot);

		r = group < 0 ? group : write_number_at(group, "cgroup.procs", (uint64_t)pid);
	}
	return r;
}

uint64_t cgroup_parse_oom_kills(const char *text)
{
	static const char key[] = "oom_kill ";

	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, key, strlen(key)) == 0)
			return strtoull(line + strlen(key), NULL, 10);
	}
	return 0;
}

uint64_t cgroup_oom_kills(const struct cgroup *g)
{
	char text[512];
	ssize_t len = pread(g->events_fd, text, sizeof(text) - 1, 0);

	if (len < 0)
		return 0;
	text[len] = '\0';
	return cgroup_parse_oom_kills(text);
}

void cgroup_drop(struct cgroup *g)
{
	if (!g)
		return;
	fd_closep(&g->events_fd);
	g->events_fd = -1;
	if (remove_everywhere(g->all, g->name) == 0)
		free(g);
	else
		leave_later(g->all, g);
}
