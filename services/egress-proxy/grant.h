/*
 * Grants by hash: the bytes that a permit names, unpacked and compiled once, shared by all streams
 * that bring them.  Loop thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include "attrs.h"
#include "cleanup.h"
#include "crypto.h"
#include "err.h"
#include "msg.h"
#include "policy.h"
#include "vault.h"

struct grant {
	unsigned refs;
	uint8_t hash[CRYPTO_HASH_SIZE];
	PB(Grant) * message;
	struct policy *policy;
	struct vault *vault;
};
struct grant_cache;

struct grant_cache *grant_cache_new(void);
void grant_cache_free(struct grant_cache *c);
/*
 * data: packed Grant, borrowed; hash: what the permit says its hash is, of any length.
 * ret: a reference, grant_unref().  -ERR_DENIED when the bytes have another hash, -ERR_INVALID.
 */
int grant_get(struct grant_cache *c, const ProtobufCBinaryData *data,
	      const ProtobufCBinaryData *hash, struct grant **ret, struct err *err) BOX_MUST_CHECK;
void grant_unref(struct grant *g);

/* Ceilings of a grant, with the defaults of those that it leaves open. */
uint64_t grant_max_request(const struct grant *g);
uint64_t grant_max_response(const struct grant *g);
uint32_t grant_max_streams(const struct grant *g);
