/* Starts worker programs.  Whoever starts one has to live on: the kernel ties a worker's life to
 * the thread that started it (parent-death signal). */
#pragma once

#include <sys/types.h>
#include "attrs.h"

/*
 * Starts `path` with a control socket and nothing else; the environment is built, not passed on.
 * Returns 0 with its pid and our end of the socket (non-blocking, the caller's), or -errno.
 */
int launch_worker(const char *path, pid_t *ret_pid, int *ret_control) BOX_MUST_CHECK;
