/* The order of confinement; read confine.c from the top. */
#pragma once

#include "worker.h"

/*
 * Turns the freshly started process into the zygote: with namespaces it returns in a grandchild of
 * the process that called it.  Returns 0, or -errno with *ret_step naming what failed; then the
 * process must end.
 */
int confine_worker(struct worker *w, const char **ret_step);
/* After Python is loaded: what can only be prepared then, and the checks before the first fork. */
int confine_worker_late(struct worker *w, const char **ret_step);

/*
 * Confines the calling process, a fresh fork of the zygote, for one job.  fds: in the order of
 * enum wire_job_fd; they end up at enum call_fd.  Does not return when a step fails:
 * _exit(CONFINE_EXIT + step).
 */
void confine_call(struct worker *w, const struct wire_job *job, const int *fds);
#define CONFINE_EXIT 120
