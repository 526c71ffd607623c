/* The order of confinement, in three parts; read confine.c from the bottom. */
#pragma once

#include "worker.h"

/*
 * Turns the freshly started process into a spare: with namespaces it returns in a grandchild of the
 * process that called it.  Returns 0, or -errno with *ret_step naming what failed; then the process
 * must end.
 */
int confine_worker(struct worker *w, const char **ret_step);
/* After Python is loaded: what can only be prepared then. */
int confine_worker_late(struct worker *w, const char **ret_step);

/*
 * Confines the spare for w->tool, before anything of the tool is imported or compiled.  What it
 * applies all its call processes inherit.  Returns 0, or -errno with *ret_step; then the process
 * must end.
 */
int confine_tool(struct worker *w, const char **ret_step);
/* After the tool is bound: what its imports left behind. */
int confine_tool_late(struct worker *w, const char **ret_step);

/*
 * Confines the calling process, a fresh fork of the zygote, for calls.  fds: in the order of enum
 * wire_fork_fd; they end up at enum call_fd.  slot: of w->scratch, or -1.  Does not return when a
 * step fails: _exit(WIRE_CONFINE_EXIT + step).
 */
void confine_call(struct worker *w, const int *fds, int slot);
