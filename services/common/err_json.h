/*
 * What an error says of itself, the same at every door: problem+json of REST, `_meta.error` of management tools,
 * `mcpboxctl --json`.  The only place that knows the names.
 */
#pragma once

#include "buf.h"
#include "err.h"

/* Appends the members `detail`, `code`, `field`, `hint` (the last two may be null) and, of a stale revision, `current`:
 * an object without its braces. */
void err_add_members(struct buf *ret, const struct err *err);
/* What RFC 9457 puts before them: `type`, `title`, `status`. */
void err_add_problem(struct buf *ret, const struct err *err, int status);
