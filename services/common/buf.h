/*
 * Growing bytes with a ceiling set at birth.  Going over the ceiling does not abort: the buffer turns
 * `is_over`, keeps what it had and ignores everything after; the caller asks once, at the end.
 * Not thread-safe.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stddef.h>
#include "attrs.h"

struct buf {
	uint8_t *data; /* always NUL-terminated behind len once anything was added */
	size_t len;
	size_t cap;
	size_t max;
	bool is_over;
};

#define BUF_INIT(max_bytes)        \
	{                          \
		.max = (max_bytes) \
	}

void buf_done(struct buf *b);  /* frees, leaves an empty buffer with the same max */
void buf_clear(struct buf *b); /* keeps the memory */
void buf_add(struct buf *b, const void *data, size_t len);
void buf_add_str(struct buf *b, const char *s);
void buf_add_char(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...) BOX_PRINTF(2, 3);
void buf_add_u32le(struct buf *b, uint32_t v);
/* Room for len bytes more, NULL when over.  The caller adds to b->len what it wrote there. */
uint8_t *buf_grow(struct buf *b, size_t len);
const char *buf_str(struct buf *b);                /* "" when empty */
uint8_t *buf_take(struct buf *b, size_t *ret_len); /* caller frees; buffer is empty after */
