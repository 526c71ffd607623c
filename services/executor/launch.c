#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>
#include "cleanup.h"

#define WORKER_CONTROL_FD 3

/* posix_spawn changes neither; its type is older than const. */
static char *const *mutable_list(const char *const *list)
{
	return (char *const *)(uintptr_t)list;
}

/*
 * posix_spawn, because nng forbids fork() without an immediate exec.  Nothing is inherited but the
 * standard streams and the control socket.
 */
static int start(const char *path, int control, pid_t *ret)
{
	static const char *const environment[] = {
		"LANG=C.UTF-8", "HOME=/scratch", "TMPDIR=/scratch", "PATH=/usr/bin:/bin", "TZ=UTC",
		"SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt",
		/* native libraries must not start threads in the zygote */
		"OPENBLAS_NUM_THREADS=1", "OMP_NUM_THREADS=1",
		/* Debian binds libpython lazily: each call would look its symbols up again */
		"LD_BIND_NOW=1", NULL
	};
	static const char *const argv[] = { "mcpbox-worker", NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none;
	int r;

	(void)sigemptyset(&none);
	(void)posix_spawn_file_actions_init(&actions);
	(void)posix_spawnattr_init(&attr);
	(void)posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	(void)posix_spawnattr_setsigmask(&attr, &none);
	r = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(&actions, control, WORKER_CONTROL_FD);
	if (r == 0)
		r = posix_spawn_file_actions_addclosefrom_np(&actions, WORKER_CONTROL_FD + 1);
	if (r == 0)
		r = posix_spawn(ret, path, &actions, &attr, mutable_list(argv),
				mutable_list(environment));
	(void)posix_spawn_file_actions_destroy(&actions);
	(void)posix_spawnattr_destroy(&attr);
	return -r;
}

int launch_worker(const char *path, pid_t *ret_pid, int *ret_control)
{
	int ends[2], r = 0;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	if (ends[1] == WORKER_CONTROL_FD) { /* dup2 onto itself would keep close-on-exec */
		int other = fcntl(ends[1], F_DUPFD_CLOEXEC, WORKER_CONTROL_FD + 1);

		close(ends[1]);
		ends[1] = other;
	}
	if (fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0 || ends[1] < 0)
		r = -errno;
	if (r == 0)
		r = start(path, ends[1], ret_pid);
	fd_closep(&ends[1]);
	if (r < 0)
		close(ends[0]);
	else
		*ret_control = ends[0];
	return r;
}
