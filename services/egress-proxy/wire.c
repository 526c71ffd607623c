#include "wire.h"

#define CHUNK (64u * 1024)

void wire_init(struct wire *w, size_t head_max, size_t body_max)
{
	*w = (struct wire){ .phase = WIRE_IN_LENGTH,
			    .want = sizeof(w->length),
			    .head = BUF_INIT(head_max),
			    .body = BUF_INIT(body_max) };
}

void wire_done(struct wire *w)
{
	buf_done(&w->head);
	buf_done(&w->body);
}

void wire_next(struct wire *w)
{
	wire_done(w);
	w->phase = WIRE_IN_LENGTH;
	w->have = 0;
	w->want = sizeof(w->length);
}

static struct buf *current_buf(struct wire *w)
{
	return w->phase == WIRE_IN_HEAD ? &w->head : &w->body;
}

void *wire_space(struct wire *w, size_t *ret_len)
{
	size_t left = w->want - w->have;

	if (w->phase == WIRE_AT_REST)
		return NULL;
	*ret_len = left < CHUNK ? left : CHUNK;
	if (w->phase == WIRE_IN_LENGTH)
		return w->length + w->have;
	return buf_grow(current_buf(w), *ret_len);
}

static uint32_t read_u32le(const uint8_t b[4])
{
	return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static enum wire_event begin_head(struct wire *w)
{
	uint32_t len = read_u32le(w->length);

	if (len == 0 || len > w->head.max) {
		w->phase = WIRE_AT_REST;
		return WIRE_BAD;
	}
	w->phase = WIRE_IN_HEAD;
	w->have = 0;
	w->want = len;
	return WIRE_MORE;
}

enum wire_event wire_advance(struct wire *w, size_t n)
{
	enum wire_event done = w->phase == WIRE_IN_HEAD ? WIRE_HEAD : WIRE_BODY;

	box_assert(w->phase != WIRE_AT_REST && n <= w->want - w->have);
	w->have += n;
	if (w->phase != WIRE_IN_LENGTH)
		current_buf(w)->len += n;
	if (w->have < w->want)
		return WIRE_MORE;
	if (w->phase == WIRE_IN_LENGTH)
		return begin_head(w);
	w->phase = WIRE_AT_REST;
	return done;
}

enum wire_event wire_expect_body(struct wire *w, size_t len)
{
	box_assert(len <= w->body.max);
	if (len == 0)
		return WIRE_BODY;
	w->phase = WIRE_IN_BODY;
	w->have = 0;
	w->want = len;
	return WIRE_MORE;
}
