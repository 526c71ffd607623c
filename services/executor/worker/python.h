/* The only user of libpython.  One thread, one interpreter, never finalised (that would run tool
 * code). */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include "../wire.h"

/* Starts the interpreter, imports the runtime and what it preloads, freezes the heap.  Returns 0 or
 * -1 with *ret_step naming what failed; the reason is on stderr. */
int python_start(const struct wire_config *config, const char **ret_step);

/* Around fork(): CPython's own book-keeping.  Before and the two after always in pairs. */
void python_before_fork(void);
void python_after_fork_parent(void);
void python_after_fork_child(void);

/* Runs one job; returns the answer, never NULL (borrowed, for the life of the process). */
const char *python_run(const uint8_t *payload, size_t len, size_t *ret_len);
