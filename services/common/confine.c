/*
 * Landlock for a service.  glibc has no wrappers, so the three system calls are made raw; each
 * kernel is asked for its ABI and only rights that it knows are named.
 */
#include "service.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "cleanup.h"
#include "log.h"
#include "mem.h"

/* Newer than Debian 12's header. */
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14)
#endif
#ifndef LANDLOCK_ACCESS_FS_IOCTL_DEV
#define LANDLOCK_ACCESS_FS_IOCTL_DEV (1ULL << 15)
#endif

#define ABI_1_RIGHTS ((1ULL << 13) - 1)
#define READ_RIGHTS  (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define WRITE_RIGHTS                                                                 \
	(READ_RIGHTS | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_TRUNCATE | \
	 LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |            \
	 LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |                 \
	 LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_REFER)
/* The kernel refuses rights of directories on a file. */
#define FILE_RIGHTS                                                  \
	(LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | \
	 LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_TRUNCATE)

struct confinement {
	int ruleset;
	uint64_t handled;
	struct err *err;
};

/* What every process needs: libraries, the resolver, certificates, time zones, its own /proc. */
static const struct base_path {
	const char *path;
	uint64_t rights;
} base_paths[] = {
	{ "/lib", READ_RIGHTS },
	{ "/lib64", READ_RIGHTS },
	{ "/usr/lib", READ_RIGHTS },
	{ "/usr/lib64", READ_RIGHTS },
	{ "/lib64/ld-linux-x86-64.so.2", FILE_RIGHTS & ~LANDLOCK_ACCESS_FS_WRITE_FILE },
	{ "/lib/ld-linux-aarch64.so.1", FILE_RIGHTS & ~LANDLOCK_ACCESS_FS_WRITE_FILE },
	{ "/etc/ld.so.cache", READ_RIGHTS },
	{ "/etc/resolv.conf", READ_RIGHTS },
	{ "/etc/hosts", READ_RIGHTS },
	{ "/etc/host.conf", READ_RIGHTS },
	{ "/etc/nsswitch.conf", READ_RIGHTS },
	{ "/etc/gai.conf", READ_RIGHTS },
	{ "/etc/services", READ_RIGHTS },
	{ "/etc/passwd", READ_RIGHTS },
	{ "/etc/localtime", READ_RIGHTS },
	{ "/etc/ssl", READ_RIGHTS },
	{ "/usr/share/ca-certificates", READ_RIGHTS },
	{ "/usr/local/share/ca-certificates", READ_RIGHTS },
	{ "/usr/share/zoneinfo", READ_RIGHTS },
	{ "/proc/self", READ_RIGHTS },
	{ "/dev/urandom", READ_RIGHTS },
	{ "/dev/null", READ_RIGHTS | LANDLOCK_ACCESS_FS_WRITE_FILE },
};

static uint64_t rights_of_abi(long abi)
{
	uint64_t rights = ABI_1_RIGHTS;

	if (abi >= 2)
		rights |= LANDLOCK_ACCESS_FS_REFER;
	if (abi >= 3)
		rights |= LANDLOCK_ACCESS_FS_TRUNCATE;
	if (abi >= 5)
		rights |= LANDLOCK_ACCESS_FS_IOCTL_DEV;
	return rights;
}

/* 0, or -errno. */
static int add_path(const struct confinement *c, const char *path, uint64_t rights)
{
	BOX_CLEANUP(fd_closep) int fd = open(path, O_PATH | O_CLOEXEC);
	struct landlock_path_beneath_attr rule = { .parent_fd = fd };
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode))
		rights &= FILE_RIGHTS;
	rule.allowed_access = rights & c->handled;
	if (syscall(SYS_landlock_add_rule, c->ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
		return -errno;
	return 0;
}

static bool is_program(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 0111);
}

static int add_paths(const struct confinement *c, const char *const *paths, uint64_t rights)
{
	for (; paths && *paths; paths++) {
		uint64_t more = is_program(*paths) ? LANDLOCK_ACCESS_FS_EXECUTE : 0;
		int r = add_path(c, *paths, rights | more);

		if (r < 0) {
			log_error("process.confine_failed", F_STR("path", *paths), F_ERRNO(-r));
			return err_set(c->err, ERR_INTERNAL, "a needed path cannot be opened");
		}
	}
	return 0;
}

static int add_base_paths(const struct confinement *c)
{
	for (size_t i = 0; i < ARRAY_LEN(base_paths); i++) {
		int r = add_path(c, base_paths[i].path, base_paths[i].rights);

		if (r < 0 && r != -ENOENT)
			return err_set(c->err, ERR_INTERNAL, "Landlock refused a rule: %s",
				       strerrorname_np(-r));
	}
	return 0;
}

static int enforce(const struct confinement *c)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    syscall(SYS_landlock_restrict_self, c->ruleset, 0) < 0)
		return err_set(c->err, ERR_INTERNAL, "Landlock could not be enforced: %s",
			       strerrorname_np(errno));
	return 0;
}

int service_confine(const char *const *read_only, const char *const *read_write, struct err *err)
{
	struct confinement c = { .err = err };
	struct landlock_ruleset_attr attr = { 0 };
	BOX_CLEANUP(fd_closep) int ruleset = -1;
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	int r;

	if (abi < 1) {
		log_warn("process.landlock_missing", F_ERRNO(errno));
		return 0;
	}
	attr.handled_access_fs = c.handled = rights_of_abi(abi);
	ruleset =
		(int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr.handled_access_fs), 0);
	if (ruleset < 0)
		return err_set(err, ERR_INTERNAL, "Landlock could not be set up: %s",
			       strerrorname_np(errno));
	c.ruleset = ruleset;
	r = add_base_paths(&c);
	if (r == 0)
		r = add_paths(&c, read_only, READ_RIGHTS);
	if (r == 0)
		r = add_paths(&c, read_write, WRITE_RIGHTS);
	if (r == 0)
		r = enforce(&c);
	return r;
}
