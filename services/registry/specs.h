/*
 * What executors run and what the egress-proxy lets through, as bytes that cannot change: specs, grants,
 * and the permits that bind them together under the registry's signature.
 */
#pragma once

#include "work.h"

#define PERMIT_LIFE_MS (10 * 60 * 1000)

/* Spec, grant and a permit of the head, with their bytes.  timeout_max_ms: a ceiling below the tool's own; 0: none. */
int specs_prepare_test(struct work *w, const PB(Tool) * tool, PB(Permit__Purpose) purpose,
		       uint32_t timeout_max_ms, PB(PrepareTestReply) * reply) BOX_MUST_CHECK;
/* Whatever of a published tool's spec, grant and permit is missing, outdated or about to expire is made. */
int specs_renew(struct work *w, const char *tool_id);
