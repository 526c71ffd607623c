/*
 * DNS questions and answers as bytes (RFC 1035), for A and AAAA only.  Pure, fuzzed; any thread.
 *
 * An answer is taken only if it repeats the question; aliases are followed inside it, from the name that was
 * asked for, so that records about other names count for nothing.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "address.h"
#include "attrs.h"
#include "buf.h"

#define DNS_UDP_MAX 1232 /* what passes without fragments (DNS flag day 2020) */

enum dns_type { DNS_A = 1, DNS_AAAA = 28 };

struct dns_question {
	uint16_t id;
	enum dns_type type;
	const char *name; /* canonical: lower case, no trailing dot */
};

enum dns_verdict {
	DNS_ANSWERED,  /* count addresses, which may be 0 */
	DNS_NO_NAME,   /* NXDOMAIN */
	DNS_TRUNCATED, /* ask again over TCP */
	DNS_FAILED,    /* the server could not; another try may */
	DNS_NOT_OURS   /* malformed, or an answer to something else: keep waiting */
};

struct dns_answer {
	struct address *addresses; /* room for max, the caller's */
	size_t max;
	size_t count;
	bool is_over;   /* there were more */
	uint32_t ttl_s; /* the least of the records used */
};

/* -ERR_INVALID when the name cannot be one. */
int dns_write_question(const struct dns_question *q, struct buf *ret) BOX_MUST_CHECK;
/* Adds to answer->addresses.  Only DNS_ANSWERED changes it. */
enum dns_verdict dns_read_answer(const struct dns_question *q, const uint8_t *data, size_t len,
				 struct dns_answer *answer);
