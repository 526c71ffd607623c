/*
 * How a secret's value gets from the registry to the one role that may use it: sealed to that role's key inside the
 * grant, bound to its server, name, hosts, places and key generation, so that a value that was copied into another
 * binding does not open.  And what tools see instead of a value that they are not given.  Any thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include "attrs.h"
#include "err.h"
#include "keys.h"
#include "msg.h"
#include "secret.h"

/* Every placeholder begins with this; none holds a sign that URLs, headers, forms, JSON or base64 text would write
 * otherwise. */
#define PLACEHOLDER_PREFIX   "mcpbox-secret-"
#define PLACEHOLDER_LEN      (sizeof(PLACEHOLDER_PREFIX) - 1 + 32)
#define PLACEHOLDER_SEED_LEN 32

/* Bytes that sealing adds to a value. */
#define DELIVERY_EXTRA (CRYPTO_HASH_SIZE + CRYPTO_BOX_EXTRA)

/*
 * Registry.  to: the role.  b: all but `sealed` is set; key_generation is set here.  value: borrowed.
 * ret: room for len + DELIVERY_EXTRA.
 */
void delivery_seal(const struct keys *keys, enum bus_role to, const char *server_id,
		   PB(SecretBinding) * b, const void *value, size_t len, uint8_t *ret);
/* The role.  ret: the value, in guarded memory, the caller's (secret_free).  -ERR_DENIED with a text that says nothing
 * of the value. */
int delivery_open(const struct keys *keys, const char *server_id, const PB(SecretBinding) * b,
		  struct secret **ret, struct err *err) BOX_MUST_CHECK;

/* In place of a call's id: for processes that serve many calls and may keep what they got in the first. */
#define PLACEHOLDER_ANY_CALL ""

/* The placeholder of one secret in one call.  Nobody guesses it who has not the grant, and no tool sees that.
 * seed: PLACEHOLDER_SEED_LEN bytes.  ret: a C string. */
void delivery_placeholder(const uint8_t *seed, const char *call_id, const char *key,
			  char ret[PLACEHOLDER_LEN + 1]);
