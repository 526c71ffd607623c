/*
 * Which part of the world an address belongs to.  Pure, no I/O, fuzzed; any thread.
 *
 * An IPv4 address inside an IPv6 one (mapped, compatible, NAT64, 6to4, Teredo, ISATAP) is never
 * looked through: such a form is a class of its own and never allowed, because only a disguise
 * needs it here.
 *
 * Source: IANA special-purpose address registries (RFC 6890 and its updates), the metadata
 * addresses of the large clouds from their manuals.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "attrs.h"

enum address_class {
	ADDRESS_GLOBAL = 0, /* unicast that the whole internet routes */
	ADDRESS_PRIVATE,    /* RFC 1918, unique local: only with a private grant */
	ADDRESS_LOOPBACK,
	ADDRESS_LINK_LOCAL,
	ADDRESS_METADATA,
	ADDRESS_SHARED, /* carrier-grade NAT */
	ADDRESS_UNSPECIFIED,
	ADDRESS_MULTICAST,
	ADDRESS_EMBEDDED, /* an IPv4 address in an IPv6 form */
	ADDRESS_RESERVED, /* documentation, benchmarks, protocol use, unassigned */
	ADDRESS_CLASS_COUNT
};

struct address {
	uint8_t len;       /* 4 or 16; 0: none */
	uint8_t bytes[16]; /* network byte order */
};
#define ADDRESS_TEXT_SIZE 46

enum address_class address_classify(const struct address *a);
const char *address_class_name(enum address_class c); /* "loopback" */
/* May this class be dialled?  Global always, private with the private grant, nothing else ever. */
bool address_class_is_allowed(enum address_class c, bool allow_private);

bool address_equal(const struct address *a, const struct address *b);
/* Four decimal parts without leading zeros, and nothing else.  -ERR_INVALID. */
int address_parse_v4(const char *text, size_t len, struct address *ret) BOX_MUST_CHECK;
/* Without brackets and zone.  -ERR_INVALID. */
int address_parse_v6(const char *text, size_t len, struct address *ret) BOX_MUST_CHECK;
void address_format(const struct address *a, char ret[ADDRESS_TEXT_SIZE]);

/* -ERR_INVALID when the family is neither IPv4 nor IPv6. */
int address_from_sockaddr(const struct sockaddr *sa, socklen_t len, struct address *ret,
			  uint16_t *ret_port) BOX_MUST_CHECK;
