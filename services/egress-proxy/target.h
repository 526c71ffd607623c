/*
 * What a tool asks for, parsed once and strictly: a URL (forward mode) or host:port (tunnels).
 * Pure, no I/O, fuzzed; any thread.
 *
 * The parsed parts are what is judged, dialled and sent; the text that came in is not used again,
 * so two parsers can never disagree about it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "address.h"
#include "attrs.h"
#include "cleanup.h"
#include "err.h"

#define HOST_NAME_MAX_LEN 253
#define TARGET_URL_MAX    8192

enum host_kind { HOST_IS_NAME, HOST_IS_V4, HOST_IS_V6 };

struct host {
	/* Canonical: lower-case A-labels without trailing dot; dotted quad; RFC 5952 without
	 * brackets. */
	char text[HOST_NAME_MAX_LEN + 1];
	enum host_kind kind;
	struct address address; /* literals only */
};

enum target_mode { TARGET_FORWARD, TARGET_TUNNEL };

struct target {
	enum target_mode mode;
	bool is_https; /* forward only */
	struct host host;
	uint16_t port;
	char *path; /* heap; "/..." with query, without fragment, percent-encoded ASCII; tunnels:
		       NULL */
};

/*
 * Each: -ERR_INVALID with a text that says what is wrong; ret is untouched then.
 * host_parse takes brackets around IPv6 only; the address of a name that looks like a number in
 * disguise (0x7f.1, 2130706433) is refused here, before anyone could resolve it.
 */
int host_parse(const char *text, size_t len, struct host *ret, struct err *err) BOX_MUST_CHECK;
int port_parse(const char *text, size_t len, uint16_t *ret, struct err *err) BOX_MUST_CHECK;
int target_parse_url(const char *url, size_t len, struct target *ret,
		     struct err *err) BOX_MUST_CHECK;
int target_parse_authority(const char *text, size_t len, struct target *ret,
			   struct err *err) BOX_MUST_CHECK;
void target_done(struct target *t);
/* The URL made of the parts: heap. */
char *target_url(const struct target *t);
/* The path as records keep it: the query's values are nobody's business.  Heap. */
char *target_path_redacted(const struct target *t);
