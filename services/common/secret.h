/*
 * Bytes that are wiped when freed, never dumped and have no way into a log line.
 * Memory comes from sodium_malloc: guarded, locked where the host allows it (log once where not).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include "attrs.h"
#include "cleanup.h"

struct secret {
	uint8_t *data; /* NUL behind len, so a textual secret is a C string */
	size_t len;
};

/* Copies; data NULL: zeros. */
struct secret *secret_new(const void *data, size_t len) BOX_MUST_CHECK;
void secret_free(struct secret *s);
BOX_DEFINE_CLEANUP(struct secret *, secret_free)
