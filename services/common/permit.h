/*
 * Judge a signed permit: signature, audience, purpose, expiry in registry time, revocation, needs.
 * A verified permit is remembered by hash, so that the signature is checked once.  Any thread.
 */
#pragma once

#include <stdint.h>
#include "attrs.h"
#include "bus.h"
#include "err.h"

/*
 * signed_permit: borrowed.  ret: unpacked permit, the caller's (msg_free).
 * stale_max_ms: how long permits stay good without a registry (MCPBOX_STALE_MAX): while the registry is
 * silent, expiry is stretched by the silence, up to stale_max_ms; 0 refuses as soon as it is silent for 1.5 s.
 * Errors: ERR_DENIED with a text for people (expired, revoked, forged, another role), ERR_UNSUPPORTED (needs).
 */
int permit_check(struct bus *b, const PB(SignedPermit) *signed_permit, uint32_t purposes /* 1u<<purpose */,
		 uint64_t stale_max_ms, PB(Permit) **ret, struct err *err) BOX_MUST_CHECK;
