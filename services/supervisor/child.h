/*
 * The supervised process: start it with its pipes, end it with everything that it started.
 */
#pragma once

#include <sys/types.h>

struct child {
	pid_t pid;     /* 0: none */
	int log_fd;    /* its stdout and stderr, non-blocking; -1: closed */
	int notify_fd; /* what it writes to NOTIFY_FD, non-blocking; -1: closed */
};

/*
 * Forks and executes argv with env (which must name CHILD_NOTIFY_FD in NOTIFY_FD).  The child has a
 * process group of its own, dies with its parent, and sees descriptors 0 to CHILD_NOTIFY_FD only.
 * Returns 0 or -errno.
 */
#define CHILD_NOTIFY_FD 3
int child_start(struct child *c, char *const *argv, char *const *env);

/* Closes the pipes; the process must have been reaped. */
void child_close(struct child *c);

/*
 * Kills whatever the dead service left behind.  The caller is a subreaper, so orphans are its
 * children. Ends when none is left, or after 2 s (a process in uninterruptible sleep).
 */
void child_sweep(void);
