/* Secrets at rest: XChaCha20-Poly1305 under a key derived from the root, bound to server and name, so that a value
 * copied to another row does not open. */
#pragma once

#include <stddef.h>
#include "arena.h"
#include "secret.h"
#include "store.h"

#define SEAL_LABEL "mcpbox secrets 1"

/* nonce || sealed value, in the arena. */
struct bytes seal_value(struct arena *a, const struct secret *key, const char *server_id,
			const char *name, ProtobufCBinaryData value);
