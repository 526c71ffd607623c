#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SWEEP_ROUNDS   200
#define SWEEP_PAUSE_NS 10000000L

/* In the child, between fork and exec. */
static void become_service(pid_t parent, int log_fd, int notify_fd, char *const *argv,
			   char *const *env)
{
	int null = open("/dev/null", O_RDONLY);
	sigset_t none;

	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)setpgid(0, 0);
	/* A supervisor that is killed takes its service along, so that `up` finds a clean field. */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(127); /* it died before the line above */
	if (dup2(null, 0) < 0 || dup2(log_fd, 1) < 0 || dup2(log_fd, 2) < 0 ||
	    dup2(notify_fd, CHILD_NOTIFY_FD) < 0)
		_exit(127);
	(void)close_range(CHILD_NOTIFY_FD + 1, ~0U, 0);
	(void)execve(argv[0], argv, env);
	dprintf(2, "mcpbox-supervisor: cannot run %s: %s\n", argv[0], strerrorname_np(errno));
	_exit(127);
}

/* pipe2 with both ends above CHILD_NOTIFY_FD, so that become_service may dup2 in any order. */
static int make_pipe(int ends[2])
{
	int low[2];

	if (pipe2(low, O_CLOEXEC) < 0)
		return -errno;
	for (int i = 0; i < 2; i++) {
		ends[i] = fcntl(low[i], F_DUPFD_CLOEXEC, CHILD_NOTIFY_FD + 1);
		(void)close(low[i]);
	}
	if (ends[0] < 0 || ends[1] < 0)
		return -EMFILE;
	return fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

int child_start(struct child *c, char *const *argv, char *const *env)
{
	int log[2] = { -1, -1 };
	int notify[2] = { -1, -1 };
	pid_t parent = getpid();
	int r = make_pipe(log);

	if (r == 0)
		r = make_pipe(notify);
	if (r == 0) {
		c->pid = fork();
		if (c->pid == 0)
			become_service(parent, log[1], notify[1], argv, env);
		r = c->pid < 0 ? -errno : 0;
	}
	if (log[1] >= 0)
		(void)close(log[1]);
	if (notify[1] >= 0)
		(void)close(notify[1]);
	c->log_fd = log[0];
	c->notify_fd = notify[0];
	if (r < 0)
		child_close(c);
	return r;
}

void child_close(struct child *c)
{
	if (c->log_fd >= 0)
		(void)close(c->log_fd);
	if (c->notify_fd >= 0)
		(void)close(c->notify_fd);
	*c = (struct child){ .pid = 0, .log_fd = -1, .notify_fd = -1 };
}

/* Sends SIGKILL to each child of this process; returns how many there were. */
static int kill_children(void)
{
	FILE *list = fopen("/proc/thread-self/children", "re");
	int count = 0;
	int pid = 0;

	while (list && fscanf(list, "%d", &pid) == 1) {
		(void)kill(pid, SIGKILL);
		count++;
	}
	if (list)
		(void)fclose(list);
	return count;
}

void child_sweep(void)
{
	const struct timespec pause = { .tv_nsec = SWEEP_PAUSE_NS };

	/* Killing one may hand us its own children, hence the rounds. */
	for (int round = 0; round < SWEEP_ROUNDS && kill_children() > 0; round++) {
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		(void)nanosleep(&pause, NULL);
	}
}
