#include "confine.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "python.h"
#include "rootfs.h"

#ifndef PR_SET_MDWE /* Linux 6.3 */
#define PR_SET_MDWE              65
#define PR_MDWE_REFUSE_EXEC_GAIN 1
#endif

struct call {
	struct worker *w;
	const struct wire_job *job;
	const int *fds;
};

/* ---- steps of one call, in the order of confine_call() ---- */

static int die_with_zygote(struct call *c)
{
	pid_t parent =
		c->w->has_namespaces ? 0 : c->w->zygote; /* 0: outside of our pid namespace */

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return -errno;
	return getppid() == parent ? 0 : -ESRCH;
}

static int place_descriptors(struct call *c)
{
	static const struct {
		enum wire_job_fd from;
		int to;
	} moves[] = {
		{ JOB_FD_OUTPUT, STDOUT_FILENO },    { JOB_FD_OUTPUT, STDERR_FILENO },
		{ JOB_FD_RESULT, CALL_FD_RESULT },   { JOB_FD_HOST, CALL_FD_HOST },
		{ JOB_FD_PAYLOAD, CALL_FD_PAYLOAD },
	};
	int high[JOB_FD_COUNT];

	/* Out of the way first: a source may have the number of another's target. */
	for (int i = 0; i < JOB_FD_COUNT; i++) {
		high[i] = fcntl(c->fds[i], F_DUPFD_CLOEXEC, 64);
		if (high[i] < 0)
			return -errno;
	}
	for (size_t i = 0; i < sizeof(moves) / sizeof(moves[0]); i++) {
		if (dup2(high[moves[i].from], moves[i].to) < 0)
			return -errno;
	}
	return 0;
}

/* The kept O_PATH descriptors stay until Landlock has used them; all else that the zygote holds
 * goes. */
static int close_the_rest(struct call *c)
{
	const struct landlock *l = &c->w->landlock;
	int first = CALL_FD_END;

	for (size_t i = 0; i < l->count; i++) {
		if (l->fds[i] > first &&
		    close_range((unsigned)first, (unsigned)l->fds[i] - 1, 0) < 0)
			return -errno;
		first = l->fds[i] + 1;
	}
	return close_range((unsigned)first, ~0u, 0) < 0 ? -errno : 0;
}

static int leave_session(struct call *c)
{
	sigset_t none;

	(void)c;
	(void)sigemptyset(&none);
	if (sigprocmask(SIG_SETMASK, &none, NULL) < 0)
		return -errno;
	return setsid() < 0 ? -errno : 0;
}

static int tell_python(struct call *c)
{
	(void)c;
	python_after_fork_child();
	return 0;
}

static int make_scratch(struct call *c)
{
	if (!c->w->has_namespaces)
		return chdir("/") < 0 ? -errno : 0;
	if (unshare(CLONE_NEWNS | CLONE_NEWIPC) < 0)
		return -errno;
	return rootfs_mount_scratch(c->job->scratch_mb);
}

static int leave_user_namespace(struct call *c)
{
	/* No maps: ids stay usable because the scratch belongs to the parent namespace. */
	if (c->w->has_namespaces && unshare(CLONE_NEWUSER) < 0)
		return -errno;
	return 0;
}

static int limit_resources(struct call *c)
{
	if (c->w->config.without & LAYER_RLIMITS)
		return 0;
	return limits_apply(c->job, &c->w->base);
}

static int drop_capabilities(struct call *c)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2];

	(void)c;
	memset(none, 0, sizeof(none));
	/* Refused by kernels before 6.3; the filter refuses executable memory as well. */
	(void)prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0);
	if (syscall(SYS_capset, &head, none) < 0 ||
	    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return -errno;
	return prctl(PR_SET_DUMPABLE, 0) < 0 ? -errno : 0;
}

static int restrict_files(struct call *c)
{
	struct worker *w = c->w;
	int r;

	if (w->landlock.abi == 0)
		return 0;
	r = landlock_restrict(&w->landlock, w->has_namespaces ? SCRATCH_DIR : NULL);
	landlock_close(&w->landlock);
	return r;
}

static int filter_system_calls(struct call *c)
{
	if (c->w->config.without & LAYER_SECCOMP)
		return 0;
	return filter_load(&c->w->filter, getpid());
}

/* Forbidden acts with arguments that fail harmlessly: "refused" and "reached the kernel" differ. */
static int try_the_walls(struct call *c)
{
	if (!(c->w->config.without & LAYER_SECCOMP)) {
		if (syscall(SYS_socket, -1, 0, 0) != -1 || errno != EPERM)
			return -EPROTO;
		if (syscall(SYS_clone, CLONE_SIGHAND, 0, 0, 0, 0) != -1 || errno != EPERM)
			return -EPROTO;
	}
	if (c->w->landlock.abi > 0) {
		if (open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC) != -1 || errno != EACCES)
			return -EPROTO;
	}
	return 0;
}

void confine_call(struct worker *w, const struct wire_job *job, const int *fds)
{
	static int (*const steps[])(struct call *) = {
		/* a dead zygote leaves nobody behind who watches this process */
		die_with_zygote,
		/* fixed numbers, so that what a call inherits can be listed */
		place_descriptors,
		/* control socket, other calls' pipes: nothing of the zygote may be reached */
		close_the_rest,
		/* no terminal, no process group to signal, default signal mask */
		leave_session,
		/* reseeds random, new main thread; before limits, since it allocates */
		tell_python,
		/* needs CAP_SYS_ADMIN of the zygote's user namespace, so before that is left */
		make_scratch,
		/* own count for RLIMIT_NPROC; makes the capabilities of the parent namespace
		   unreachable */
		leave_user_namespace,
		/* after the mounts, which need memory that is not the call's */
		limit_resources,
		/* before the filter, which refuses capset and prctl */
		drop_capabilities,
		/* after the last mount: Landlock forbids mounting; needs /scratch to be there */
		restrict_files,
		/* strictly last: refuses what the steps above needed */
		filter_system_calls,
		/* a wall that does not hold must not meet tool code */
		try_the_walls,
	};
	struct call call = { .w = w, .job = job, .fds = fds };

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		if (steps[i](&call) < 0)
			_exit(CONFINE_EXIT + (int)i);
	}
}

/* ---- steps of the worker ---- */

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), r = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		r = -errno;
	close(fd);
	return r;
}

static int become_plain(void)
{
	sigset_t none;

	/* The supervisor's end of the control socket closes with it as well; this is quicker. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	for (int s = 1; s < NSIG; s++)
		(void)signal(s, SIG_DFL);
	(void)sigemptyset(&none);
	if (sigprocmask(SIG_SETMASK, &none, NULL) < 0)
		return -errno;
	/* As pid 1 of a namespace defaults do not kill; elsewhere they would, where Python expects
	 * an error. */
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGXFSZ, SIG_IGN);
	(void)umask(077);
	/* When memory runs out the kernel is to take calls, not services.  Works only while
	 * dumpable. */
	(void)write_file("/proc/self/oom_score_adj", "1000");
	return 0;
}

static int enter_namespaces(void)
{
	char map[64];
	uid_t uid = geteuid();
	gid_t gid = getegid();
	int r;

	if (unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC |
		    CLONE_NEWUTS | CLONE_NEWCGROUP) < 0)
		return -errno;
	r = write_file("/proc/self/setgroups", "deny");
	if (r < 0)
		return r;
	(void)snprintf(map, sizeof(map), "%u %u 1", uid, uid);
	r = write_file("/proc/self/uid_map", map);
	if (r < 0)
		return r;
	(void)snprintf(map, sizeof(map), "%u %u 1", gid, gid);
	return write_file("/proc/self/gid_map", map);
}

/* Some hosts let a namespace be made but nothing be done in it (AppArmor): so try it all in a
 * child. */
static bool namespaces_work(void)
{
	int status = -1;
	pid_t child = fork();

	if (child == 0)
		_exit(enter_namespaces() < 0 ||
		      mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		      mount("probe", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "size=64k") < 0);
	return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
	       WEXITSTATUS(status) == 0;
}

/* Pid 1 of the namespace: reaps, and goes with the zygote, which takes the whole namespace along.
 */
static void reap_until_gone(pid_t zygote)
{
	pid_t gone;

	(void)close_range(0, ~0u, 0);
	do
		gone = wait(NULL);
	while (gone != zygote && (gone > 0 || errno == EINTR));
	_exit(0);
}

/* The process that the supervisor started stays as the handle on the namespace: killed, its child
 * pid 1 goes too. */
static void wait_for_namespace(pid_t init)
{
	int status = 0;

	(void)close_range(3, ~0u, 0);
	while (waitpid(init, &status, 0) < 0 && errno == EINTR)
		;
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

/*
 * The zygote must not be pid 1: OpenSSL 3.0 notices a fork by getpid(), and call processes are pid
 * 1 of their own namespaces; with a zygote of the same number all calls would draw the same random
 * bytes.
 */
static int fork_zygote(void)
{
	pid_t init = fork(), zygote;

	if (init < 0)
		return -errno;
	if (init > 0)
		wait_for_namespace(init);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return -errno;
	zygote = fork();
	if (zygote < 0)
		return -errno;
	if (zygote > 0)
		reap_until_gone(zygote);
	return prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ? -errno : 0;
}

static int open_proc_files(struct worker *w)
{
	w->statm_fd = limits_open_base();
	if (w->statm_fd < 0)
		return w->statm_fd;
	w->task_fd = open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return w->task_fd < 0 ? -errno : 0;
}

int confine_worker(struct worker *w, const char **ret_step)
{
	int r;

	*ret_step = "process attributes";
	r = become_plain();
	if (r < 0)
		return r;
	w->has_namespaces = !(w->config.without & LAYER_NAMESPACES) && namespaces_work();
	if (w->has_namespaces) {
		*ret_step = "namespaces";
		r = enter_namespaces();
		if (r < 0)
			return r;
		*ret_step = "processes of the namespace";
		r = fork_zygote();
		if (r < 0)
			return r;
	}
	*ret_step = "facts from /proc";
	r = open_proc_files(w);
	if (r < 0)
		return r;
	if (w->has_namespaces) {
		r = rootfs_enter(&w->paths, ret_step);
		if (r < 0)
			return r;
	}
	w->zygote = getpid();
	*ret_step = "pid namespace handle";
	w->self_pidfd = (int)syscall(SYS_pidfd_open, w->zygote, 0);
	return w->self_pidfd < 0 ? -errno : 0;
}

/* A second thread would hold locks that no child can ever take. */
static int check_single_thread(int task_fd)
{
	DIR *dir = fdopendir(task_fd); /* takes task_fd */
	const struct dirent *entry;
	int threads = 0;

	if (!dir)
		return -errno;
	while ((entry = readdir(dir)))
		threads += entry->d_name[0] != '.';
	(void)closedir(dir);
	return threads == 1 ? 0 : -EBUSY;
}

int confine_worker_late(struct worker *w, const char **ret_step)
{
	int r;

	*ret_step = "own sizes";
	r = limits_read_base(w->statm_fd, &w->base);
	close(w->statm_fd);
	if (r < 0)
		return r;
	if (!w->has_namespaces)
		w->base.nproc = w->config.uid_tasks + w->config.capacity * 64;
	*ret_step = "single thread";
	r = check_single_thread(w->task_fd);
	if (r < 0)
		return r;
	*ret_step = "landlock";
	if (!(w->config.without & LAYER_LANDLOCK))
		w->landlock.abi = landlock_probe();
	if (w->landlock.abi > 0) {
		r = landlock_open(&w->landlock, &w->paths);
		if (r < 0)
			return r;
	}
	w->without_files =
		w->landlock.abi == 0 && !w->has_namespaces && !(w->config.without & LAYER_LANDLOCK);
	r = filter_build(w->without_files, &w->filter, ret_step);
	if (r < 0)
		return r;
	*ret_step = "dumpable";
	return prctl(PR_SET_DUMPABLE, 0) < 0 ? -errno : 0;
}

uint32_t worker_layers(const struct worker *w)
{
	return (w->config.without & LAYER_SECCOMP ? 0 : LAYER_SECCOMP) |
	       (w->landlock.abi > 0 ? LAYER_LANDLOCK : 0) | (w->without_files ? LAYER_NOFS : 0) |
	       (w->has_namespaces ? LAYER_NAMESPACES : 0) |
	       (w->config.without & LAYER_RLIMITS ? 0 : LAYER_RLIMITS);
}
