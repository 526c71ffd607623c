/*
 * A resolver of the operator's choice (MCPBOX_EGRESS_DNS), asked over UDP and, for long answers, TCP.
 * Blocking, for the lookup threads; any thread.
 */
#pragma once

#include <stdint.h>
#include "address.h"
#include "attrs.h"
#include "dns_message.h"
#include "err.h"

struct dns_server {
	struct address address; /* len 0: the host's own resolver is used */
	uint16_t port;
};

/* "address:port", port 53 when absent; NULL: none.  -ERR_INVALID. */
int dns_parse_server(const char *text, struct dns_server *ret, struct err *err) BOX_MUST_CHECK;
/*
 * A and AAAA of name into answer, within 2 s.  -ERR_NOT_FOUND, -ERR_UNAVAILABLE.  When one of the two questions
 * is not answered the whole lookup fails: an address that was not seen could not be judged.
 */
int dns_look_up(const struct dns_server *server, const char *name, struct dns_answer *answer,
		struct err *err) BOX_MUST_CHECK;
