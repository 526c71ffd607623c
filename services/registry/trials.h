/* Test runs of what nobody has approved yet, by reviewers. */
#pragma once

#include "attrs.h"
#include "err.h"
#include "registry.h"

/* At the start: test runs that the end of the last process cut off get their end, "unknown". */
int trials_end_open(struct registry *reg, struct err *err) BOX_MUST_CHECK;
