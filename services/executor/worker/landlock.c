#include "landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Debian 12's header ends at ABI 3; source of the later values: linux/landlock.h of Linux 6.15. */
struct ruleset_attr {
	uint64_t handled_access_fs;
	uint64_t handled_access_net; /* ABI 4 */
	uint64_t scoped;             /* ABI 6 */
};
enum {
	FS_ABI1 = (1 << 13) - 1,
	FS_REFER = 1 << 13,     /* ABI 2 */
	FS_TRUNCATE = 1 << 14,  /* ABI 3 */
	FS_IOCTL_DEV = 1 << 15, /* ABI 5 */
	NET_BIND_CONNECT_TCP = 3,
	SCOPE_ABSTRACT_SOCKET_AND_SIGNAL = 3,
	RESTRICT_LOG_OFF = 1, /* ABI 7: a hostile call would flood the kernel's log */
};

#define READ_FILE  LANDLOCK_ACCESS_FS_READ_FILE
#define READ_DIR   LANDLOCK_ACCESS_FS_READ_DIR
#define WRITE_FILE LANDLOCK_ACCESS_FS_WRITE_FILE
/* Files, directories and links; no execution, no device nodes, sockets and pipes. */
#define SCRATCH_RIGHTS                                                       \
	(READ_FILE | READ_DIR | WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | \
	 LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR |      \
	 LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SYM | FS_REFER | FS_TRUNCATE)

static const uint64_t rights_of[] = {
	[PATH_DIR] = READ_FILE | READ_DIR,
	[PATH_FILE] = READ_FILE,
	[PATH_DEVICE] = READ_FILE | WRITE_FILE | FS_TRUNCATE, /* open(O_TRUNC) of /dev/null */
};

static uint64_t handled_fs(int abi)
{
	return FS_ABI1 | (abi >= 2 ? FS_REFER : 0) | (abi >= 3 ? FS_TRUNCATE : 0) |
	       (abi >= 5 ? FS_IOCTL_DEV : 0);
}

int landlock_probe(void)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

	return abi < 0 ? 0 : (int)abi;
}

static int make_ruleset(const struct landlock *l, uint64_t handled)
{
	struct ruleset_attr attr = {
		.handled_access_fs = handled,
		.handled_access_net = l->abi >= 4 ? NET_BIND_CONNECT_TCP : 0,
		.scoped = l->abi >= 6 ? SCOPE_ABSTRACT_SOCKET_AND_SIGNAL : 0,
	};
	size_t size = l->abi >= 6 ? sizeof(attr) : l->abi >= 4 ? 16 : 8;
	int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);

	return ruleset < 0 ? -errno : ruleset;
}

int landlock_open(struct landlock *l, const struct paths *paths)
{
	for (l->count = 0; l->count < paths->count; l->count++) {
		const struct path_row *row = &paths->rows[l->count];

		l->fds[l->count] = open(row->path, O_PATH | O_CLOEXEC);
		l->kinds[l->count] = row->kind;
		if (l->fds[l->count] < 0)
			return -errno;
	}
	l->apart = l->abi >= 6 ? make_ruleset(l, 0) : -1;
	return l->apart < -1 ? l->apart : 0;
}

static int add_rule(int ruleset, int fd, uint64_t rights)
{
	struct landlock_path_beneath_attr rule = { .allowed_access = rights, .parent_fd = fd };

	return syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0
		       ? -errno
		       : 0;
}

static int add_rules(const struct landlock *l, int ruleset, const char *scratch)
{
	uint64_t handled = handled_fs(l->abi);
	int fd, r;

	for (size_t i = 0; i < l->count; i++) {
		r = add_rule(ruleset, l->fds[i], rights_of[l->kinds[i]] & handled);
		if (r < 0)
			return r;
	}
	if (!scratch)
		return 0;
	fd = open(scratch, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = add_rule(ruleset, fd, SCRATCH_RIGHTS & handled);
	close(fd);
	return r;
}

int landlock_make(const struct landlock *l, const char *scratch)
{
	int ruleset = make_ruleset(l, handled_fs(l->abi)), r;

	if (ruleset < 0)
		return ruleset;
	r = add_rules(l, ruleset, scratch);
	if (r == 0)
		return ruleset;
	close(ruleset);
	return r;
}

int landlock_restrict(const struct landlock *l, int ruleset)
{
	int r = 0;

	if (syscall(SYS_landlock_restrict_self, ruleset, l->abi >= 7 ? RESTRICT_LOG_OFF : 0) < 0)
		r = -errno;
	close(ruleset);
	return r;
}
