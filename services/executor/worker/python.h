/* The only user of libpython.  One thread, one interpreter, never finalised (that would run tool
 * code). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "../wire.h"

/* Starts the interpreter, imports the runtime and what it preloads, freezes the heap.
 * without_files: no module can be read later, so all that calls may import is.  Returns 0 or -1
 * with *ret_step naming what failed; the reason is on stderr. */
int python_start(const struct wire_config *config, bool without_files, const char **ret_step);

/* Imports what a tool's source imports (unless is_late) and compiles it; runs nothing of it.  What
 * is wrong with it is kept for the calls.  payload: JSON (job.h), borrowed.  Returns 0 or -1. */
int python_bind(const uint8_t *payload, size_t len, bool is_late);

/* Around fork(): CPython's own book-keeping.  Before once, and then the zygote runs no Python any more; after in
 * each child. */
void python_before_fork(void);
void python_after_fork_child(void);

/* In a call process, ahead of its call.  has_scratch: the working directory is HOME and TMPDIR.
 * is_awaited: the call is there already.  Returns 0 or -1. */
int python_prepare(bool has_scratch, bool is_awaited);
/* Room for the JSON of the next call, or NULL without memory; to be filled before python_run_call().
 */
uint8_t *python_call_room(size_t len);
/* Runs the call; returns the answer, never NULL (borrowed, until the next python_call_room()). */
const char *python_run_call(size_t *ret_len);
