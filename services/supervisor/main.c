/*
 * mcpbox-supervisor: keeps one service running.  The process that is called returns when the
 * service is ready (0), could not be started (1), or has a supervisor already (3); what it leaves
 * in the background is the supervisor.  README.md has the rest.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "options.h"
#include "run.h"
#include "state.h"

#define EXIT_USAGE   2
#define EXIT_RUNNING 3

/* In the background process: nothing of the caller's terminal or descriptors stays. */
static int become_daemon(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (setsid() < 0 || chdir("/") < 0 || null < 0)
		return -1;
	for (int fd = 0; fd <= 2; fd++) {
		if (dup2(null, fd) < 0)
			return -1;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	return 0;
}

static int wait_for_report(int fd)
{
	char outcome = '0';
	ssize_t n;

	do {
		n = read(fd, &outcome, 1);
	} while (n < 0 && errno == EINTR);
	return n == 1 && outcome == '1' ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int launch(const struct options *o)
{
	int report[2];
	pid_t pid;

	if (pipe2(report, O_CLOEXEC) < 0)
		return EXIT_FAILURE;
	pid = fork();
	if (pid < 0)
		return EXIT_FAILURE;
	if (pid > 0) {
		(void)close(report[1]);
		return wait_for_report(report[0]);
	}
	(void)close(report[0]);
	return become_daemon() == 0 ? run_service(o, report[1]) : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	struct options o;
	int lock;

	(void)close_range(3, ~0U, 0); /* a lock that `up` holds must not live on in here */
	(void)umask(077);
	if (options_parse(&o, argc, argv) < 0)
		return EXIT_USAGE;
	lock = state_lock(o.run_dir, o.name);
	if (lock == -EWOULDBLOCK)
		return EXIT_RUNNING;
	if (lock < 0) {
		(void)fprintf(stderr, "mcpbox-supervisor: %s/%s.lock: %s\n", o.run_dir, o.name,
			      strerror(-lock));
		return EXIT_FAILURE;
	}
	return launch(&o);
}
