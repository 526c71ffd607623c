/*
 * Takes revealed secrets out of what a call gives back.  In JSON only what stands in strings is replaced, so that it
 * stays JSON whatever a value holds; a number that is a value becomes a string.  Pure.
 */
#pragma once

#include <stdbool.h>
#include "buf.h"
#include "mask.h"

/* b: one valid JSON value (json_scan), or empty.  True when something was replaced. */
bool hide_json(const struct mask *mask, struct buf *b);
/* b: any text.  is_cut: its end is missing. */
bool hide_text(const struct mask *mask, bool is_cut, struct buf *b);
