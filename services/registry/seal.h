/* Secrets at rest: XChaCha20-Poly1305 under one of the keys of data_keys.h, bound to server and name, so that a value
 * copied to another row does not open. */
#pragma once

#include <stddef.h>
#include "arena.h"
#include "crypto.h"
#include "secret.h"
#include "store.h"

/* From which the placeholders of a server's secrets are made: 32 bytes, always the same under one key. */
void seal_seed(const struct secret *key, const char *server_id, uint8_t ret[CRYPTO_HASH_SIZE]);
/* A sealed value, opened: the caller's.  -ERR_DENIED: sealed for another row, or under another key. */
int seal_open(const struct secret *key, const char *server_id, const char *name,
	      ProtobufCBinaryData sealed, struct secret **ret) BOX_MUST_CHECK;
/* nonce || sealed value, in the arena. */
struct bytes seal_value(struct arena *a, const struct secret *key, const char *server_id,
			const char *name, ProtobufCBinaryData value);
