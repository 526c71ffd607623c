/*
 * One record before and one after each request that leaves, one for each that is refused.  Loop
 * thread.
 *
 * Records keep the first 256 bytes of paths, without their queries, never headers or bodies.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include "attrs.h"
#include "call.h"
#include "err.h"
#include "fetch.h"
#include "forward.h"
#include "spool.h"

struct record_facts { /* borrowed */
	const struct call *call;
	const struct forward_request *request;
	uint64_t request_no;
	const char *rule; /* that allowed or refused it */
	bool is_denied;
	const char *error;                 /* or NULL */
	const struct fetch_result *result; /* or NULL: nothing was sent */
	uint32_t total_ms;
};

/* Must succeed before the request is sent.  -ERR_UNAVAILABLE. */
int record_started(struct spool *s, const struct record_facts *f, struct err *err) BOX_MUST_CHECK;
/* A record that cannot be kept here is logged: the started one already tells that the outcome is
 * unknown. */
void record_ended(struct spool *s, const struct record_facts *f);
