/*
 * Specs and grants by the hash of their bytes: what an executor was given once it need not be given
 * again.  Bounded; the least recently used go.  Any thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include "attrs.h"
#include "crypto.h"
#include "err.h"
#include "msg.h"

struct blobs;
struct blob; /* counted */

struct blobs *blobs_new(size_t max_bytes);
void blobs_free(struct blobs *b);

/* Keeps the bytes if their hash is the claimed one; -ERR_INVALID if not, -ERR_TOO_LARGE. */
int blobs_put(struct blobs *b, const PB(Blob) * from, struct err *err) BOX_MUST_CHECK;
/* A reference (blob_unref), or NULL when unknown. */
struct blob *blobs_get(struct blobs *b, ProtobufCBinaryData hash);
struct blob *blob_ref(struct blob *blob); /* one more; returns it */
void blob_unref(struct blob *blob);
static inline void blob_unrefp(struct blob **p)
{
	if (*p)
		blob_unref(*p);
}
const uint8_t *blob_data(const struct blob *blob, size_t *ret_len);
