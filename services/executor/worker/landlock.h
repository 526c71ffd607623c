/*
 * Landlock: a call may read the rows of paths.h, write the device rows and its scratch, nothing
 * else; it binds and connects no TCP port, reaches no abstract socket, signals nobody outside.
 *
 * The ruleset is made anew for each call: rules added to an inherited ruleset would show in the
 * next call.
 */
#pragma once

#include "paths.h"

#define LANDLOCK_FD_FIRST 128

struct landlock {
	int abi;            /* 0: the kernel has none */
	int fds[PATHS_MAX]; /* O_PATH, of the rows; ascending, from LANDLOCK_FD_FIRST */
	enum path_kind kinds[PATHS_MAX];
	size_t count;
};

int landlock_probe(void); /* ABI version, 0 when absent or off */
/* Opens the rows as they are seen now: call when the mount tree stands.  Returns 0 or -errno. */
int landlock_open(struct landlock *l, const struct paths *paths);
void landlock_close(const struct landlock *l); /* the descriptors, in a call process */
/* Confines the calling process.  scratch: path or NULL.  Needs no_new_privs.  Returns 0 or -errno.
 */
int landlock_restrict(const struct landlock *l, const char *scratch);
