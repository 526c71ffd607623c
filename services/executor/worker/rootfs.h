/*
 * The mount tree of a worker with namespaces: an empty, read-only tmpfs that shows the rows of
 * paths.h and a directory for scratch (scratch.h).  No /proc, no /sys, no /home.
 */
#pragma once

#include "paths.h"

/* Builds it and makes it the root of this mount namespace (private, CAP_SYS_ADMIN in its user
 * namespace). Returns 0 or -errno; *ret_what then names the step. */
int rootfs_enter(const struct paths *paths, const char **ret_what);
