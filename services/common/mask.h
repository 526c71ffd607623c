/*
 * Finds secrets in text that goes to where they must not be seen, and writes something else in their place: the value as
 * it is, and as JSON, URLs and base64 write it.  A net, not a border: whoever has a value can write it in ways that this
 * does not know.
 *
 * A struct mask is made once and then only read, by any thread.  A stream is one thread's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "buf.h"
#include "cleanup.h"

/* Shorter ones are in every text. */
#define MASK_VALUE_MIN 4

struct mask;

struct mask *mask_new(void);
void mask_free(struct mask *m); /* wipes */
BOX_DEFINE_CLEANUP(struct mask *, mask_free)
/* All forms of a value; one that is shorter than `min` bytes (at least MASK_VALUE_MIN) is left out.  replacement:
 * copied, at most 63 bytes. */
void mask_add(struct mask *m, const void *value, size_t len, size_t min, const char *replacement);
bool mask_is_empty(const struct mask *m);

/*
 * Text that comes in pieces: what may be the beginning of a value is held back until more is known.  Where one value
 * begins like another, the longest that is there counts.
 */
struct mask_stream {
	const struct mask *mask; /* borrowed */
	struct buf held;
	uint64_t masked; /* how often */
};
void mask_begin(struct mask_stream *s, const struct mask *m);
/* Appends to ret what can be told already. */
void mask_feed(struct mask_stream *s, const void *data, size_t len, struct buf *ret);
/* The rest.  hides_partial: the text was cut here, so the beginning of a value (8 bytes at least) counts as one. */
void mask_end(struct mask_stream *s, bool hides_partial, struct buf *ret);

/* Instead of mask_end: forgets what is held. */
void mask_cancel(struct mask_stream *s);

/* A whole text at once; true when something was masked.  ret: appended. */
bool mask_text(const struct mask *m, const void *data, size_t len, struct buf *ret);
