/*
 * What others may know about a supervised service: NAME.lock is held (flock) as long as the
 * supervisor lives, so a stale file never looks alive; NAME.state has lines key=value and is
 * replaced as a whole.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct state {
	pid_t supervisor;
	pid_t pid; /* 0: not running just now */
	bool ready;
	int64_t since_unix; /* when this process of the service was started */
	unsigned long restarts;
	const char *tag;
};

/* Takes the lock for good.  Returns a descriptor, or -errno: -EWOULDBLOCK when another one holds
 * it. */
int state_lock(const char *run_dir, const char *name);
/* Returns 0 or -errno. */
int state_write(const char *run_dir, const char *name, const struct state *s);
void state_remove(const char *run_dir, const char *name);
