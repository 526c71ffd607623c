/* What a call prints: the first CAPTURE_KEPT bytes and the last CAPTURE_TAIL are kept, all are counted.
 * Pure.  Not thread-safe. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "buf.h"

#define CAPTURE_KEPT (64u * 1024)
#define CAPTURE_TAIL 2048u

struct capture {
	struct buf kept;
	uint64_t total;
	uint8_t tail[CAPTURE_TAIL]; /* byte n of all is at n % CAPTURE_TAIL */
};
#define CAPTURE_INIT                               \
	{                                          \
		.kept = BUF_INIT(CAPTURE_KEPT + 1) \
	}

void capture_add(struct capture *c, const void *data, size_t len);
void capture_done(struct capture *c);
bool capture_is_cut(const struct capture *c);
/* Appends what was kept as valid UTF-8 (foreign bytes and NUL become U+FFFD). */
void capture_text(const struct capture *c, struct buf *ret);
/* Says that something is missing, when it is. */
void capture_mark(const struct capture *c, struct buf *ret);
/*
 * For errors: the beginning and the end of what was printed.
 *
 * text       what capture_text() gave, whatever was hidden in it since
 * with_tail  the end may be shown as it was printed where `text` does not reach that far
 */
void capture_shorten(const struct capture *c, const struct buf *text, bool with_tail,
		     struct buf *ret);
/* Nothing but white space? */
bool capture_is_blank(const struct capture *c);
