#include "buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "err.h"
#include "mem.h"

#define FIRST_CAP 64

void buf_done(struct buf *b)
{
	/* Opened frames and passwords pass through buffers. */
	if (b->data)
		explicit_bzero(b->data, b->cap);
	free(b->data);
	*b = (struct buf)BUF_INIT(b->max);
}

void buf_clear(struct buf *b)
{
	b->len = 0;
	b->is_over = false;
	if (b->data)
		b->data[0] = '\0';
}

uint8_t *buf_grow(struct buf *b, size_t len)
{
	size_t need, cap;

	if (b->is_over || b->len > b->max || len > b->max - b->len) {
		b->is_over = true;
		return NULL;
	}
	need = b->len + len + 1; /* the NUL is beyond the ceiling */
	if (need > b->cap) {
		cap = b->cap > b->max / 2 ? b->max + 1 : b->cap * 2;
		if (cap < need)
			cap = need < FIRST_CAP ? FIRST_CAP : need;
		b->data = mem_realloc_array(b->data, cap, 1);
		b->cap = cap;
	}
	return b->data + b->len;
}

void buf_add(struct buf *b, const void *data, size_t len)
{
	uint8_t *room = buf_grow(b, len);

	if (!room)
		return;
	if (len)
		memcpy(room, data, len);
	b->len += len;
	b->data[b->len] = '\0';
}

void buf_add_str(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void buf_add_char(struct buf *b, char c)
{
	buf_add(b, &c, 1);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list args;
	uint8_t *room;
	int n;

	va_start(args, fmt);
	n = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	box_assert(n >= 0);
	room = buf_grow(b, (size_t)n);
	if (!room)
		return;
	va_start(args, fmt);
	(void)vsnprintf((char *)room, (size_t)n + 1, fmt, args);
	va_end(args);
	b->len += (size_t)n;
}

void buf_add_u32le(struct buf *b, uint32_t v)
{
	uint8_t bytes[4] = { (uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16),
			     (uint8_t)(v >> 24) };

	buf_add(b, bytes, sizeof(bytes));
}

const char *buf_str(struct buf *b)
{
	if (!b->data)
		return "";
	b->data[b->len] = '\0';
	return (const char *)b->data;
}

uint8_t *buf_take(struct buf *b, size_t *ret_len)
{
	uint8_t *data;

	if (!b->data)
		(void)buf_grow(b, 0);
	(void)buf_str(b);
	data = b->data;
	*ret_len = b->len;
	*b = (struct buf)BUF_INIT(b->max);
	return data;
}
