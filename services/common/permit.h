/*
 * Judge a signed permit: signature, audience, purpose, expiry in registry time, revocation, needs.
 * A verified permit is remembered by hash, so that the signature is checked once.  Any thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include "attrs.h"
#include "bus.h"
#include "err.h"

/* What a permit is held against. */
struct permit_view {
	enum bus_role role;           /* ours: must be in its audience */
	uint32_t purposes;            /* 1u << purpose, of those that are served here */
	int64_t registry_now_unix_ms; /* 0: not known */
	uint64_t silence_ms;          /* of the registry */
	uint64_t stale_max_ms;
};
/* Signature alone; remembered when right. */
bool permit_is_signed(const struct keys *keys, const PB(SignedPermit) * signed_permit);
/* All but signature and revocation.  Pure. */
int permit_judge(const PB(Permit) * permit, const struct permit_view *view,
		 struct err *err) BOX_MUST_CHECK;

/*
 * signed_permit: borrowed.  ret: unpacked permit, the caller's (msg_free).
 * stale_max_ms: how long permits stay good without a registry (MCPBOX_STALE_MAX).  While it is silent (more
 * than 1.5 s) expiry is stretched by the silence; silent for longer than stale_max_ms, all are refused; so 0
 * refuses as soon as it is silent.
 * Errors: ERR_DENIED with a text for people (expired, revoked, forged, another role), ERR_UNSUPPORTED (needs),
 * ERR_UNAVAILABLE (no Status yet).
 */
int permit_check(struct bus *b, const PB(SignedPermit) * signed_permit,
		 uint32_t purposes /* 1u<<purpose */, uint64_t stale_max_ms, PB(Permit) * *ret,
		 struct err *err) BOX_MUST_CHECK;
