/*
 * The mount tree of a worker with namespaces: an empty, read-only tmpfs that shows the rows of
 * paths.h and an empty directory SCRATCH_DIR.  No /proc, no /sys, no /home.
 */
#pragma once

#include "paths.h"

#define SCRATCH_DIR "/scratch"

/* Builds it and makes it the root of this mount namespace (private, CAP_SYS_ADMIN in its user
 * namespace). Returns 0 or -errno; *ret_what then names the step. */
int rootfs_enter(const struct paths *paths, const char **ret_what);
/* Mounts a private scratch of `size_mb` and makes it the working directory. */
int rootfs_mount_scratch(uint32_t size_mb);
