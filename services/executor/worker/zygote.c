#include "zygote.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "../wire_io.h"
#include "call.h"
#include "confine.h"
#include "python.h"

#define SEND_AGAIN_MS 2

/* A call process, from its fork until it is reaped. */
struct job {
	pid_t pid; /* 0: free */
	uint64_t number;
	int slot; /* of the scratch; -1: none */
};

struct zygote {
	struct worker *w;
	int children; /* signalfd of SIGCHLD */
	struct job jobs[SCRATCH_SLOTS];
};

static struct zygote zygote; /* too large for a stack frame */

static int report(struct zygote *z, const struct wire_message *m, const int *fds, size_t count)
{
	return wire_send(z->w->control, m, fds, count);
}

/*
 * While the processes of this uid have too many descriptors under way it is tried again: nobody
 * could end what was started.  Is that for long, the supervisor takes us for stuck.
 */
static int report_started(struct zygote *z, uint64_t number, int pidfd)
{
	struct wire_message m = { .kind = WIRE_STARTED, .u.started.number = number };
	int r;

	while ((r = report(z, &m, &pidfd, 1)) == -ETOOMANYREFS)
		(void)poll(NULL, 0, SEND_AGAIN_MS);
	return r;
}

static int report_ended(struct zygote *z, const struct wire_ended *ended)
{
	struct wire_message m = { .kind = WIRE_ENDED, .u.ended = *ended };

	return report(z, &m, NULL, 0);
}

static struct job *find_job(struct zygote *z, pid_t pid)
{
	for (size_t i = 0; i < SCRATCH_SLOTS; i++) {
		if (z->jobs[i].pid == pid)
			return &z->jobs[i];
	}
	return NULL;
}

static bool wants_scratch(const struct worker *w)
{
	return w->has_scratch && w->tool.scratch_mb > 0;
}

static void be_call(struct worker *w, const int *fds, int slot)
{
	confine_call(w, fds, slot);
	call_serve(slot >= 0, (w->tool.flags & TOOL_WARM) != 0);
}

static pid_t fork_call(struct worker *w, const int *fds, int slot)
{
	pid_t pid = fork();

	if (pid == 0)
		be_call(w, fds, slot);
	return pid < 0 ? -errno : pid;
}

/* Returns 0, or -errno: nothing runs then. */
static int start_process(struct zygote *z, struct job *job, const int *fds)
{
	int slot = wants_scratch(z->w) ? scratch_take(&z->w->scratch, &z->w->landlock) : -1;
	pid_t pid;

	if (slot < 0 && wants_scratch(z->w))
		return slot;
	pid = fork_call(z->w, fds, slot);
	if (pid < 0) {
		if (slot >= 0)
			(void)scratch_give_back(&z->w->scratch, slot);
		return pid;
	}
	job->pid = pid;
	job->slot = slot;
	return 0;
}

static int start_job(struct zygote *z, uint64_t number, const int *fds)
{
	struct job *job = find_job(z, 0);
	int pidfd, r = job ? start_process(z, job, fds) : -EAGAIN;

	if (r < 0)
		return report_ended(z, &(struct wire_ended){ .number = number,
							     .how = WIRE_NOT_STARTED,
							     .code = (uint32_t)-r });
	job->number = number;
	pidfd = (int)syscall(SYS_pidfd_open, job->pid, 0);
	if (pidfd < 0)
		return 0; /* nobody can end it: closing its host stream does, or the zygote's end */
	r = report_started(z, number, pidfd);
	close(pidfd);
	return r;
}

static int take_order(struct zygote *z)
{
	struct wire_message m;
	int fds[WIRE_FDS_MAX];
	size_t count;
	int r = wire_receive(z->w->control, &m, fds, &count);

	if (r < 0)
		return r;
	r = m.kind == WIRE_FORK && count == FORK_FD_COUNT ? start_job(z, m.u.fork.number, fds)
							  : -EPROTO;
	for (size_t i = 0; i < count; i++)
		close(fds[i]);
	return r;
}

static uint64_t microseconds(struct timeval t)
{
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_usec;
}

static int reap(struct zygote *z)
{
	struct signalfd_siginfo ignored;
	struct rusage usage;
	int status, r = 0;
	pid_t pid;

	if (read(z->children, &ignored, sizeof(ignored)) < 0 && errno != EAGAIN)
		return -errno;
	while (r == 0 && (pid = wait4(-1, &status, WNOHANG, &usage)) > 0) {
		struct job *job = find_job(z, pid);
		bool exited = WIFEXITED(status);

		if (!job)
			continue;
		r = report_ended(
			z, &(struct wire_ended){ .number = job->number,
						 .how = exited ? WIRE_EXITED : WIRE_SIGNALED,
						 .code = (uint32_t)(exited ? WEXITSTATUS(status)
									   : WTERMSIG(status)),
						 .cpu_us = microseconds(usage.ru_utime) +
							   microseconds(usage.ru_stime),
						 .memory_kb = (uint64_t)usage.ru_maxrss });
		if (r == 0 && job->slot >= 0)
			r = scratch_give_back(&z->w->scratch, job->slot);
		*job = (struct job){ 0 };
	}
	return r;
}

static int watch_children(struct zygote *z)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGCHLD);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	z->children = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return z->children < 0 ? -errno : 0;
}

int zygote_prepare(void)
{
	return watch_children(&zygote);
}

int zygote_serve(struct worker *w)
{
	int r = 0;

	zygote.w = w;
	while (r == 0) {
		/* init: -1, which poll passes over, or the end of the namespace */
		struct pollfd polls[] = { { .fd = w->control, .events = POLLIN },
					  { .fd = zygote.children, .events = POLLIN },
					  { .fd = w->scratch.init, .events = POLLIN } };

		if (poll(polls, sizeof(polls) / sizeof(polls[0]), -1) < 0 && errno != EINTR)
			return -errno;
		if (polls[1].revents)
			r = reap(&zygote);
		if (r == 0 && polls[2].revents)
			r = scratch_receive(&w->scratch, &w->landlock);
		if (r == 0 && polls[0].revents)
			r = take_order(&zygote);
	}
	return r == -EPIPE ? 0 : r;
}
