#include "namespaces.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "scratch.h"

/* What a call is told that its machine is called. */
#define HOST_NAME "sandbox"

static const struct {
	uint32_t layer; /* 0: always */
	int flag;
} kinds[] = {
	{ 0, CLONE_NEWUSER }, /* without it none of the others can be made */
	{ LAYER_PIDNS, CLONE_NEWPID }, { LAYER_MOUNTNS, CLONE_NEWNS },
	{ LAYER_NETNS, CLONE_NEWNET }, { 0, CLONE_NEWIPC },
	{ 0, CLONE_NEWUTS },           { 0, CLONE_NEWCGROUP },
};

static int flags_of(uint32_t without)
{
	int flags = 0;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		flags |= kinds[i].layer & without ? 0 : kinds[i].flag;
	return flags;
}

int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), r = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		r = -errno;
	close(fd);
	return r;
}

static int enter(int flags)
{
	char map[64];
	uid_t uid = geteuid();
	gid_t gid = getegid();
	int r;

	if (unshare(flags) < 0)
		return -errno;
	r = write_file("/proc/self/setgroups", "deny");
	if (r < 0)
		return r;
	(void)snprintf(map, sizeof(map), "%u %u 1", uid, uid);
	r = write_file("/proc/self/uid_map", map);
	if (r < 0)
		return r;
	(void)snprintf(map, sizeof(map), "%u %u 1", gid, gid);
	r = write_file("/proc/self/gid_map", map);
	/* uname() then tells no name of the host; a container's profile may forbid it. */
	(void)!sethostname("sandbox", sizeof("sandbox") - 1);
	return r;
}

/* Some hosts let a namespace be made but nothing be done in it (AppArmor): so try it all in a
 * child. */
static bool do_work(void)
{
	int status = -1;
	pid_t child = fork();

	if (child == 0)
		_exit(enter(flags_of(0)) < 0 ||
		      mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		      mount("probe", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "size=64k") < 0);
	return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
	       WEXITSTATUS(status) == 0;
}

/* The process that the supervisor started stays as the handle on the namespaces. */
static void wait_for_init(pid_t init)
{
	int status = 0;

	(void)close_range(0, ~0u, 0);
	while (waitpid(init, &status, 0) < 0 && errno == EINTR)
		;
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

/* Of all descriptors it keeps its end of the socket, which says when the zygote is gone. */
static void be_init(int socket)
{
	if (dup2(socket, 0) < 0)
		_exit(1);
	(void)close_range(1, ~0u, 0);
	(void)signal(SIGCHLD, SIG_IGN); /* orphans are reaped by the kernel */
	if (prctl(PR_SET_DUMPABLE, 0) < 0)
		_exit(1);
	scratch_serve(0);
}

static int fork_zygote(int *ret_init)
{
	pid_t init = fork(), zygote;
	int ends[2];

	if (init < 0)
		return -errno;
	if (init > 0)
		wait_for_init(init);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	zygote = fork();
	if (zygote < 0)
		return -errno;
	if (zygote > 0)
		be_init(ends[1]);
	close(ends[1]);
	*ret_init = ends[0];
	return prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ? -errno : 0;
}

int namespaces_enter(uint32_t without, uint32_t *ret_in_force, int *ret_init, const char **ret_step)
{
	int r;

	*ret_in_force = 0;
	*ret_init = -1;
	if ((without & LAYER_USERNS) || !do_work())
		return 0;
	*ret_step = "namespaces";
	r = enter(flags_of(without));
	if (r < 0)
		return r;
	/* Where a container's own filter refuses it, the name is the container's. */
	(void)!sethostname(HOST_NAME, strlen(HOST_NAME));
	*ret_in_force = LAYER_NAMESPACES & ~without;
	*ret_step = "processes of the namespaces";
	return fork_zygote(ret_init);
}
