/*
 * The keys that secrets at rest are sealed with.  The first is derived from the root; each rotation makes a random one,
 * which lies in the database sealed with a key derived from the root ("wrapped") and bound to its generation.  So a
 * rotation is one transaction: whoever comes after it finds everything sealed anew, whoever it was killed under finds
 * nothing changed.
 */
#pragma once

#include "work.h"

/* Labels under which keys come from the root. */
#define DATA_KEY_FIRST_LABEL "mcpbox secrets 1"
#define DATA_KEY_WRAP_LABEL  "mcpbox data keys 1"

/* The key to seal with in this transaction: no rotation passes it until that ends.  The caller's (secret_free). */
int data_key_newest(struct work *w, uint32_t *ret_generation, struct secret **ret) BOX_MUST_CHECK;
/* A value of a row that was read with the key that it names.  -ERR_DENIED: it does not open.  The caller's. */
int data_key_open(const struct registry *reg, const char *server_id, const ROW(SecretRow) * row,
		  struct secret **ret) BOX_MUST_CHECK;

op_run keys_rotate; /* MSG_ROTATE_KEYS */
