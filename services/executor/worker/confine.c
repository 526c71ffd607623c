#include "confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "heap.h"
#include "namespaces.h"
#include "python.h"
#include "rootfs.h"

#ifndef PR_SET_MDWE /* Linux 6.3 */
#define PR_SET_MDWE              65
#define PR_MDWE_REFUSE_EXEC_GAIN 1
#endif

static bool leaves_out(const struct worker *w, uint32_t layer)
{
	return (w->config.without & layer) != 0;
}

static int drop_capabilities(const struct worker *w)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2];

	memset(none, 0, sizeof(none));
	return !leaves_out(w, LAYER_CAPS) && syscall(SYS_capset, &head, none) < 0 ? -errno : 0;
}

static int forbid_attaching(const struct worker *w)
{
	return !leaves_out(w, LAYER_DUMPABLE) && prctl(PR_SET_DUMPABLE, 0) < 0 ? -errno : 0;
}

static bool is_refused(long result, int with)
{
	return result == -1 && errno == with;
}

/* ---- steps of one call process, in the order of confine_call() ---- */

struct call {
	struct worker *w;
	const int *fds;
	const struct scratch_slot *slot; /* NULL: no scratch */
};

static int die_with_zygote(struct call *c)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return -errno;
	return getppid() == c->w->zygote ? 0 : -ESRCH;
}

static int ruleset_of(const struct call *c)
{
	if (c->w->landlock.abi == 0)
		return -1;
	return c->slot ? c->slot->ruleset : c->w->landlock.apart;
}

/* One of its own: flags that a call sets on an inherited open file the next would see. */
static int open_empty_input(void)
{
	int ends[2], fd;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	fd = fcntl(ends[0], F_DUPFD_CLOEXEC, CALL_FD_END);
	if (fd < 0)
		fd = -errno;
	close(ends[0]);
	close(ends[1]);
	return fd;
}

static int place_descriptors(struct call *c)
{
	int input = open_empty_input();
	const struct {
		int from, to;
	} moves[] = {
		{ input, STDIN_FILENO },
		{ c->fds[FORK_FD_OUTPUT], STDOUT_FILENO },
		{ c->fds[FORK_FD_OUTPUT], STDERR_FILENO },
		{ c->fds[FORK_FD_RESULT], CALL_FD_RESULT },
		{ c->fds[FORK_FD_HOST], CALL_FD_HOST },
		{ ruleset_of(c), CALL_FD_RULESET },
	};
	enum { COUNT = sizeof(moves) / sizeof(moves[0]) };
	int high[COUNT];

	if (input < 0)
		return input;
	/* Out of the way first: a source may have the number of another's target. */
	for (int i = 0; i < COUNT; i++) {
		high[i] =
			moves[i].from < 0 ? -1 : fcntl(moves[i].from, F_DUPFD_CLOEXEC, CALL_FD_END);
		if (moves[i].from >= 0 && high[i] < 0)
			return -errno;
	}
	for (int i = 0; i < COUNT; i++) {
		if (high[i] >= 0 && dup2(high[i], moves[i].to) < 0)
			return -errno;
	}
	if (leaves_out(c->w, LAYER_FDS))
		return 0;
	return close_range(ruleset_of(c) < 0 ? CALL_FD_RULESET : CALL_FD_END, ~0u, 0) < 0 ? -errno
											  : 0;
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

static int enter_scratch(struct call *c)
{
	int r = c->slot && chdir(c->slot->path) < 0 ? -errno : 0;

	scratch_forget_paths(&c->w->scratch);
	return r;
}

static int leave_user_namespace(struct call *c)
{
	/* No maps: ids stay usable because the scratch belongs to the parent namespace. */
	return c->w->has_call_namespaces && unshare(CLONE_NEWUSER) < 0 ? -errno : 0;
}

static int limit_resources(struct call *c)
{
	if (leaves_out(c->w, LAYER_RLIMITS))
		return 0;
	return limits_apply_call(&c->w->tool, &c->w->base, c->w->has_call_namespaces);
}

static int drop_new_capabilities(struct call *c)
{
	int r = drop_capabilities(c->w);

	return r < 0 ? r : forbid_attaching(c->w);
}

static int restrict_files(struct call *c)
{
	return ruleset_of(c) < 0 ? 0 : landlock_restrict(&c->w->landlock, CALL_FD_RULESET);
}

static int filter_system_calls(struct call *c)
{
	if (leaves_out(c->w, LAYER_SECCOMP))
		return 0;
	return filter_load_call(&c->w->call_filter, getpid());
}

/* Forbidden acts with arguments that fail harmlessly: "refused" and "reached the kernel" differ. */
static int try_the_walls(struct call *c)
{
	if (!leaves_out(c->w, LAYER_SECCOMP)) {
		if (!is_refused(socket(-1, 0, 0), EPERM) ||
		    !is_refused(syscall(SYS_clone, CLONE_SIGHAND, 0, 0, 0, 0), EPERM) ||
		    !is_refused(syscall(SYS_capset, NULL, NULL), EPERM))
			return -EPROTO;
	}
	if (c->w->landlock.abi > 0) {
		const char *above = c->slot ? SCRATCH_DIR : "/";

		/* the zygote may read it, so this is the second layer's */
		if (!is_refused(open(above, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
				c->w->without_files ? EPERM : EACCES))
			return -EPROTO;
	}
	return 0;
}

void confine_call(struct worker *w, const int *fds, int slot)
{
	static int (*const steps[])(struct call *) = {
		/* a dead zygote leaves nobody behind who watches this process */
		die_with_zygote,
		/* fixed numbers, so that what a call inherits can be listed; all else goes: control
		   socket, other calls' pipes and rulesets, the way to init */
		place_descriptors,
		/* no terminal, no process group to signal, default signal mask */
		leave_session,
		/* reseeds random, new main thread; before limits, since it allocates */
		tell_python,
		/* while paths above it may still be walked; the names of other calls' go from
		   memory, where the tool could read them */
		enter_scratch,
		/* own count for RLIMIT_NPROC; nothing of the zygote's namespace may be administered
		 */
		leave_user_namespace,
		/* after the namespace, in which threads are counted */
		limit_resources,
		/* the new namespace gave all of them; before the filter, which refuses capset */
		drop_new_capabilities,
		/* the zygote's layer is there already: to the own scratch, away from siblings */
		restrict_files,
		/* strictly last: refuses what the steps above needed */
		filter_system_calls,
		/* a wall that does not hold must not meet tool code */
		try_the_walls,
	};
	struct call call = { .w = w,
			     .fds = fds,
			     .slot = slot < 0 ? NULL : &w->scratch.slots[slot] };

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		if (steps[i](&call) < 0)
			_exit(WIRE_CONFINE_EXIT + (int)i);
	}
}

/* ---- steps of the zygote of a tool, in the order of confine_tool() ---- */

static int size_scratch(struct worker *w)
{
	if (!w->has_scratch || w->tool.scratch_mb == 0)
		return 0;
	return scratch_set_size(&w->scratch, w->tool.scratch_mb);
}

static int leave_supervisor_session(struct worker *w)
{
	(void)w;
	/* EPERM: the leader of a process group of its own already */
	return (setsid() < 0 && errno != EPERM) || chdir("/") < 0 ? -errno : 0;
}

static int limit_zygote(struct worker *w)
{
	if (leaves_out(w, LAYER_RLIMITS))
		return 0;
	return limits_apply_zygote(&w->tool, &w->base, (w->namespaces & LAYER_USERNS) != 0);
}

static int drop_worker_capabilities(struct worker *w)
{
	/* Refused by kernels before 6.3; the filter refuses executable memory as well. */
	(void)prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0);
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return -errno;
	return drop_capabilities(w);
}

static int restrict_zygote_files(struct worker *w)
{
	int ruleset;

	if (w->landlock.abi == 0)
		return 0;
	ruleset = landlock_make(&w->landlock, w->has_scratch ? SCRATCH_DIR : NULL);
	return ruleset < 0 ? ruleset : landlock_restrict(&w->landlock, ruleset);
}

static int filter_zygote(struct worker *w)
{
	return leaves_out(w, LAYER_SECCOMP) ? 0 : filter_load(&w->zygote_filter);
}

static int try_the_zygotes_walls(struct worker *w)
{
	if (!leaves_out(w, LAYER_SECCOMP)) {
		if (!is_refused(socket(-1, 0, 0), EPERM) ||
		    !is_refused(syscall(SYS_execve, NULL, NULL, NULL), EPERM))
			return -EPROTO;
	}
	if (w->landlock.abi > 0 && !w->without_files &&
	    !is_refused(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC), EACCES))
		return -EPROTO;
	return 0;
}

int confine_tool(struct worker *w, const char **ret_step)
{
	static const struct {
		const char *name;
		int (*take)(struct worker *);
	} steps[] = {
		/* init hears it from us now and from nobody later */
		{ "size of scratch", size_scratch },
		/* kill(0) and the working directory: nothing of the supervisor's */
		{ "session", leave_supervisor_session },
		/* before foreign modules and foreign source are read */
		{ "limits", limit_zygote },
		/* init keeps the right to mount; here and in all calls nobody has any */
		{ "capabilities", drop_worker_capabilities },
		/* after capabilities, as the last that opens files at will */
		{ "files", restrict_zygote_files },
		/* strictly last: what forking and confining calls does not take is gone */
		{ "system calls", filter_zygote },
		/* a wall that does not hold must not meet foreign modules and source */
		{ "walls", try_the_zygotes_walls },
	};
	int r = 0;

	for (size_t i = 0; r == 0 && i < sizeof(steps) / sizeof(steps[0]); i++) {
		*ret_step = steps[i].name;
		r = steps[i].take(w);
	}
	return r;
}

int confine_tool_late(struct worker *w, const char **ret_step)
{
	int r;

	*ret_step = "sizes of the bound tool";
	r = limits_read_base(w->status_fd, &w->base);
	close(w->status_fd);
	if (r < 0)
		return r;
	/* A second thread would hold locks that no child can ever take. */
	*ret_step = "a module of the tool starts threads when it is imported";
	return w->base.threads == 1 ? 0 : -EBUSY;
}

/* ---- steps of the worker ---- */

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
	/* Python expects an error where the default is death. */
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGXFSZ, SIG_IGN);
	(void)umask(077);
	/* When memory runs out the kernel is to take calls, not services.  Works only while
	 * dumpable. */
	(void)write_file("/proc/self/oom_score_adj", "1000");
	return 0;
}

static void plan_files(struct worker *w)
{
	int abi = landlock_probe();

	/* Landlock keeps calls of a tool out of each other's scratch: without it there is none.
	 * (Left out by a test, the rest stays as it is.) */
	w->has_scratch = abi > 0 && (w->namespaces & LAYER_MOUNTNS);
	w->without_files = abi == 0 && !(w->namespaces & LAYER_MOUNTNS);
	w->landlock.abi = leaves_out(w, LAYER_LANDLOCK) ? 0 : abi;
	w->landlock.apart = -1;
}

int confine_worker(struct worker *w, const char **ret_step)
{
	int r;

	*ret_step = "process attributes";
	r = become_plain();
	if (r == 0)
		r = namespaces_enter(w->config.without, &w->namespaces, &w->scratch.init, ret_step);
	if (r < 0)
		return r;
	*ret_step = "facts from /proc";
	w->maps_fd = heap_open_maps();
	w->status_fd = limits_open_base();
	if (w->status_fd < 0)
		return w->status_fd;
	if (w->namespaces & LAYER_MOUNTNS) {
		r = rootfs_enter(&w->paths, ret_step);
		if (r < 0)
			return r;
	}
	plan_files(w);
	*ret_step = "place for scratch";
	r = w->has_scratch ? scratch_open(&w->scratch) : 0;
	if (r < 0)
		return r;
	w->has_call_namespaces = (w->namespaces & LAYER_USERNS) && !leaves_out(w, LAYER_CALLNS);
	w->zygote = getpid();
	return 0;
}

static int prepare_filters(struct worker *w, const char **ret_step)
{
	const struct filter_options o = {
		.without_files = w->without_files,
		.without_changes = !(w->namespaces & LAYER_MOUNTNS),
		.without_signal = !(w->namespaces & LAYER_PIDNS) && w->landlock.abi < 6,
	};
	int r = filter_build_zygote(&o, &w->zygote_filter, ret_step);

	return r < 0 ? r : filter_build_call(&o, &w->call_filter, ret_step);
}

int confine_worker_late(struct worker *w, const char **ret_step)
{
	int r;

	*ret_step = "own sizes";
	r = limits_read_base(w->status_fd, &w->base);
	if (r < 0)
		return r;
	*ret_step = "single thread";
	if (w->base.threads != 1)
		return -EBUSY;
	*ret_step = "landlock";
	r = w->landlock.abi > 0 ? landlock_open(&w->landlock, &w->paths) : 0;
	if (r == 0)
		r = prepare_filters(w, ret_step);
	if (r < 0)
		return r;
	*ret_step = "dumpable";
	return forbid_attaching(w);
}

uint32_t worker_layers(const struct worker *w)
{
	return (leaves_out(w, LAYER_SECCOMP) ? 0 : LAYER_SECCOMP) |
	       (w->landlock.abi > 0 ? LAYER_LANDLOCK : 0) | (w->without_files ? LAYER_NOFS : 0) |
	       w->namespaces | (leaves_out(w, LAYER_RLIMITS) ? 0 : LAYER_RLIMITS);
}
