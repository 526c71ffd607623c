#include "run.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "backoff.h"
#include "child.h"
#include "envfile.h"
#include "logfile.h"
#include "state.h"

#define READY_LINE "READY=1"

enum phase {
	PHASE_STARTING, /* runs, has not said READY=1; the timer is ready_ms */
	PHASE_READY,    /* no timer */
	PHASE_WAITING,  /* dead; the timer is the back-off */
	PHASE_STOPPING, /* was told to drain; the timer is stop_ms */
	PHASE_ENDED,
};

struct run {
	const struct options *o;
	int report_fd; /* -1 once reported */
	int signal_fd;
	enum phase phase;
	bool was_ready; /* at least once in this supervisor's life */
	bool failed;
	int64_t timer_ms;   /* monotonic; 0: none */
	int64_t started_ms; /* monotonic */
	struct child child;
	struct backoff backoff;
	struct logfile log;
	struct state state;
};

static int64_t now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void event(struct run *r, const char *name, const char *key, long number)
{
	logfile_event(&r->log, r->o->name, name, key, number);
}

static void publish(struct run *r)
{
	r->state.pid = r->child.pid;
	r->state.ready = r->phase == PHASE_READY;
	(void)state_write(r->o->run_dir, r->o->name, &r->state);
}

static void report(struct run *r, char outcome)
{
	if (r->report_fd < 0)
		return;
	(void)!write(r->report_fd, &outcome, 1);
	(void)close(r->report_fd);
	r->report_fd = -1;
}

static void enter(struct run *r, enum phase phase, int timer_ms)
{
	r->phase = phase;
	r->timer_ms = timer_ms > 0 ? now_ms() + timer_ms : 0;
	publish(r);
}

static void become_ready(struct run *r)
{
	r->was_ready = true;
	event(r, "service.became_ready", "after_ms", (long)(now_ms() - r->started_ms));
	enter(r, PHASE_READY, 0);
	report(r, '1');
}

static void give_up(struct run *r)
{
	event(r, "service.failed_to_start", "after_ms", (long)(now_ms() - r->started_ms));
	r->failed = true;
	enter(r, PHASE_ENDED, 0);
	report(r, '0');
}

static void start(struct run *r)
{
	static const char *const more[] = { "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8",
					    "NOTIFY_FD=3" };
	char **env = envfile_read(r->o->env_path, more, (int)(sizeof(more) / sizeof(more[0])));
	int rc = env ? child_start(&r->child, r->o->program, env) : -errno;

	envfile_free(env);
	r->started_ms = now_ms();
	r->state.since_unix = (int64_t)time(NULL);
	if (rc < 0) {
		event(r, "service.not_started", "errno", -rc);
		if (!r->was_ready)
			give_up(r);
		else
			enter(r, PHASE_WAITING, backoff_next(&r->backoff, 0));
		return;
	}
	event(r, "service.started", "pid", r->child.pid);
	enter(r, PHASE_STARTING, r->o->ready_ms);
	if (r->o->ready_by_start)
		become_ready(r);
}

/* Reads what is there; returns false at the end of the pipe. */
static bool copy_log(struct run *r)
{
	char chunk[16384];
	ssize_t n;

	while ((n = read(r->child.log_fd, chunk, sizeof(chunk))) > 0)
		logfile_append(&r->log, chunk, (size_t)n);
	return n < 0 && (errno == EAGAIN || errno == EINTR);
}

static void read_log(struct run *r)
{
	if (copy_log(r))
		return;
	(void)close(r->child.log_fd);
	r->child.log_fd = -1;
}

static void read_notify(struct run *r)
{
	char text[64];
	ssize_t n = read(r->child.notify_fd, text, sizeof(text) - 1);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0) {
		text[n] = '\0';
		if (r->phase == PHASE_STARTING && strstr(text, READY_LINE))
			become_ready(r);
		return;
	}
	(void)close(r->child.notify_fd);
	r->child.notify_fd = -1;
}

static void child_died(struct run *r, int status)
{
	enum phase before = r->phase;
	int64_t ran_ms = now_ms() - r->started_ms;

	if (r->child.log_fd >= 0)
		(void)copy_log(r);
	child_close(&r->child);
	child_sweep();
	event(r, "service.ended", WIFSIGNALED(status) ? "signal" : "status",
	      WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	if (before == PHASE_STOPPING) {
		enter(r, PHASE_ENDED, 0);
	} else if (!r->was_ready) {
		give_up(r);
	} else {
		r->state.restarts++;
		enter(r, PHASE_WAITING, backoff_next(&r->backoff, ran_ms));
	}
}

static void reap(struct run *r)
{
	int status = 0;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == r->child.pid)
			child_died(r, status);
	}
}

static void stop(struct run *r)
{
	if (r->phase == PHASE_STOPPING)
		return;
	report(r, '0');
	if (r->child.pid == 0) {
		enter(r, PHASE_ENDED, 0);
		return;
	}
	event(r, "service.asked_to_stop", "pid", r->child.pid);
	(void)kill(r->child.pid, r->o->stop_signal);
	enter(r, PHASE_STOPPING, r->o->stop_ms);
}

static void read_signals(struct run *r)
{
	struct signalfd_siginfo info;

	while (read(r->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo != SIGCHLD)
			stop(r);
	}
	reap(r);
}

static void timer_fired(struct run *r)
{
	r->timer_ms = 0;
	if (r->phase == PHASE_WAITING) {
		start(r);
		return;
	}
	/* Too slow to start or to drain: the same end for both, child_died() sorts out what
	 * follows. */
	event(r, "service.killed", "pid", r->child.pid);
	(void)kill(-r->child.pid, SIGKILL);
}

static int timeout_of(const struct run *r)
{
	int64_t left = r->timer_ms - now_ms();

	if (r->timer_ms == 0)
		return -1;
	return left > 0 ? (int)left : 0;
}

static void step(struct run *r)
{
	struct pollfd fds[] = {
		{ .fd = r->signal_fd, .events = POLLIN },
		{ .fd = r->child.log_fd, .events = POLLIN },
		{ .fd = r->child.notify_fd, .events = POLLIN },
	};
	int n = poll(fds, sizeof(fds) / sizeof(fds[0]), timeout_of(r));

	if (n == 0)
		timer_fired(r);
	if (n <= 0)
		return;
	/* Its words before its death: the log and READY=1 may come with the SIGCHLD. */
	if (fds[1].revents)
		read_log(r);
	if (fds[2].revents)
		read_notify(r);
	if (fds[0].revents)
		read_signals(r);
}

static int open_signals(void)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGCHLD);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -1;
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* The gateway parks a descriptor per stream: give services what the system allows. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

int run_service(const struct options *o, int report_fd)
{
	struct run r = { .o = o,
			 .report_fd = report_fd,
			 .child = { .log_fd = -1, .notify_fd = -1 },
			 .state = { .supervisor = getpid(), .tag = o->tag } };

	r.signal_fd = open_signals();
	if (r.signal_fd < 0 || logfile_open(&r.log, o->log_path, o->log_bytes) < 0)
		return EXIT_FAILURE; /* the closed report_fd tells */
	raise_descriptor_limit();
	/* Orphans of a dead service come to us and not to init, so that they can be swept. */
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1);
	start(&r);
	while (r.phase != PHASE_ENDED)
		step(&r);
	child_sweep();
	state_remove(o->run_dir, o->name);
	logfile_close(&r.log);
	return r.failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
