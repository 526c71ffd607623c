/*
 * Landlock: tool code may read the rows of paths.h, write the device rows and its scratch, nothing
 * else; it binds and connects no TCP port, reaches no abstract socket, signals nobody outside.
 *
 * Two layers: the zygote's, which its call processes inherit, and for each call one that narrows
 * scratch to the call's own and keeps call processes apart.  A ruleset is a descriptor that never
 * reaches tool code: rules added to it would show in the next call.
 */
#pragma once

#include "paths.h"

struct landlock {
	int abi;            /* 0: the kernel has none, or it is left out */
	int fds[PATHS_MAX]; /* O_PATH, of the rows */
	enum path_kind kinds[PATHS_MAX];
	size_t count;
	int apart; /* ruleset for calls without scratch: keeps signals and abstract sockets of call
		      processes apart, says nothing about files; -1: the kernel cannot */
};

int landlock_probe(void); /* ABI version, 0 when absent or off */
/* Opens the rows as they are seen now: call when the mount tree stands.  Returns 0 or -errno. */
int landlock_open(struct landlock *l, const struct paths *paths);
/* A ruleset for the rows and, unless NULL, scratch: the zygote's directory of all slots, a call's
 * slot.  Returns its descriptor or -errno. */
int landlock_make(const struct landlock *l, const char *scratch);
/* Confines the calling process; closes ruleset.  Needs no_new_privs.  Returns 0 or -errno. */
int landlock_restrict(const struct landlock *l, int ruleset);
