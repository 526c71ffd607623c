/*
 * The operator's own resolution (MCPBOX_EGRESS_PINNED_HOSTS): "name[:port]=address[:port],...".
 * Pure; read-only after pinned_parse, any thread.
 *
 * No port on the left: every granted port.  No port on the right: the port that was asked for. IPv6
 * addresses stand in brackets.  A name that occurs several times has several addresses.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include "address.h"
#include "attrs.h"
#include "err.h"
#include "target.h"

struct pin {
	struct host name;
	uint16_t port; /* 0: every port */
	struct address address;
	uint16_t to_port; /* 0: the port that was asked for */
};
struct pinned {
	struct pin *pins; /* heap */
	size_t count;
};
#define PINNED_MAX 1024

/* text NULL or empty: none.  -ERR_INVALID names the entry. */
int pinned_parse(const char *text, struct pinned *ret, struct err *err) BOX_MUST_CHECK;
void pinned_done(struct pinned *p);
/*
 * Pins for this host and port.  An entry with exactly this port stands above those without one.
 * ret: room for max pins, borrowed from p.  Returns how many.
 */
size_t pinned_find(const struct pinned *p, const struct host *host, uint16_t port,
		   const struct pin **ret, size_t max);
