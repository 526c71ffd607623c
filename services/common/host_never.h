/*
 * Names that lead to the machine itself or to a metadata service: no grant opens them.  The registry refuses to save
 * them, the egress-proxy to reach them.  Pure.
 */
#pragma once

#include <stdbool.h>

/* name: lower-case ASCII without a trailing dot. */
bool host_is_never(const char *name);
