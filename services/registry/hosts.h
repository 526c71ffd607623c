/*
 * Grammar of a host that a server may reach: host[:port][+private], host exact or "*.suffix".
 * Pure; fuzzed.  Judged when an entry is asked for or saved, so that nothing malformed is ever granted;
 * the egress-proxy judges addresses again when it connects.
 * Source: RFC 1123 and 5890 for names, RFC 6890 registries for addresses, publicsuffix.org for "*.".
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "attrs.h"
#include "err.h"

struct host_entry {
	char host
		[256]; /* lower-case ASCII without trailing dot; "*.suffix"; IPv6 without brackets */
	uint32_t port;   /* 0: none given */
	bool is_private; /* "+private" was there */
	bool is_literal; /* an address */
	/* It can work only with a private grant: private addresses, single labels, .local .internal .lan ... */
	bool needs_private;
};

/*
 * text need not be terminated; white space around it is passed over.
 * -ERR_INVALID with field "host" and a text that says what is wrong, and a hint where one helps.
 */
int host_parse(const char *text, size_t len, struct host_entry *ret,
	       struct err *err) BOX_MUST_CHECK;

/* The entry as people write it: "[::1]:80+private". */
void host_format(const struct host_entry *h, bool with_private, char ret[300]);
