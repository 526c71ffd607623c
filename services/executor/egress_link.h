/*
 * The way to the egress-proxy: an AF_UNIX stream, opened with a sealed Open that names the call,
 * its permit and grant.  What comes back is a plain stream for the call process, which never sees a
 * key.  Any thread.
 */
#pragma once

#include <stdint.h>
#include "attrs.h"
#include "bus.h"
#include "calls.h"
#include "err.h"

struct egress_link {
	struct bus *bus;         /* borrowed */
	const char *socket_path; /* NULL: no network on this executor */
};

/* The connected stream (the caller's), or -ERR_UNAVAILABLE, -ERR_DENIED as the proxy says.  Blocks
 * for 5 s at most, never longer than remaining_ms. */
int egress_link_open(const struct egress_link *link, const struct call_egress *who,
		     uint32_t remaining_ms, struct err *err) BOX_MUST_CHECK;
