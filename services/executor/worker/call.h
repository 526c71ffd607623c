/* What a call process does: waits confined on its host stream, runs, answers. */
#pragma once

#include <stdbool.h>

/* In a process confined by confine_call().  has_scratch: the working directory is its own.
 * is_warm: serves one call after the other. */
void call_serve(bool has_scratch, bool is_warm) __attribute__((noreturn));
