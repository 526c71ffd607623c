/* What changed between two texts, line by line, in the unified form.  Pure. */
#pragma once

#include "buf.h"

#define DIFF_CONTEXT 3

/*
 * Append the hunks; nothing when the texts are equal.  Texts that differ too much for an exact
 * comparison (more than 16 million pairs of lines) are shown as one block out and one block in,
 * which is also true.
 */
void diff_unified(const char *before, const char *after, struct buf *ret);
