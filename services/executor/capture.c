#include "capture.h"

#include <ctype.h>
#include <string.h>
#include "parse.h"

#define REPLACEMENT "\xef\xbf\xbd"

static void keep_tail(struct capture *c, const uint8_t *data, size_t len)
{
	uint64_t at = c->total;

	if (len > CAPTURE_TAIL) {
		data += len - CAPTURE_TAIL;
		at += len - CAPTURE_TAIL;
		len = CAPTURE_TAIL;
	}
	while (len > 0) {
		size_t offset = at % CAPTURE_TAIL;
		size_t step = len < CAPTURE_TAIL - offset ? len : CAPTURE_TAIL - offset;

		memcpy(c->tail + offset, data, step);
		data += step;
		at += step;
		len -= step;
	}
}

void capture_add(struct capture *c, const void *data, size_t len)
{
	size_t room = CAPTURE_KEPT - c->kept.len;

	keep_tail(c, data, len);
	c->total += len;
	buf_add(&c->kept, data, len < room ? len : room);
}

void capture_done(struct capture *c)
{
	buf_done(&c->kept);
}

/* Length of the valid UTF-8 character at p, 0 for none (NUL included). */
static size_t character(const uint8_t *p, size_t left)
{
	size_t len = *p < 0x80 ? 1 : *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : 4;

	if (*p == 0 || len > left || !text_is_utf8(p, len))
		return 0;
	return len;
}

static void add_repaired(const uint8_t *p, size_t left, bool is_cut, struct buf *ret)
{
	while (left > 0) {
		size_t len = character(p, left);

		if (len > 0) {
			buf_add(ret, p, len);
		} else {
			if (is_cut && left < 4 && *p >= 0xc0)
				return; /* the cut went through a character */
			buf_add_str(ret, REPLACEMENT);
			len = 1;
		}
		p += len;
		left -= len;
	}
}

bool capture_is_cut(const struct capture *c)
{
	return c->total > c->kept.len;
}

void capture_text(const struct capture *c, struct buf *ret)
{
	if (text_is_utf8(c->kept.data, c->kept.len) &&
	    !memchr(buf_str((struct buf *)&c->kept), 0, c->kept.len))
		buf_add(ret, c->kept.data, c->kept.len);
	else
		add_repaired(c->kept.data, c->kept.len, capture_is_cut(c), ret);
}

void capture_mark(const struct capture *c, struct buf *ret)
{
	if (capture_is_cut(c))
		buf_printf(ret, "\n[output cut: %llu of %llu bytes are shown]",
			   (unsigned long long)c->kept.len, (unsigned long long)c->total);
}

static bool is_rest_of_character(uint8_t c)
{
	return (c & 0xc0) == 0x80;
}

static void add_tail(const struct capture *c, struct buf *ret)
{
	uint8_t last[CAPTURE_TAIL];
	size_t from = (size_t)(c->total % CAPTURE_TAIL), skip = 0;

	memcpy(last, c->tail + from, CAPTURE_TAIL - from);
	memcpy(last + CAPTURE_TAIL - from, c->tail, from);
	while (skip < 3 && is_rest_of_character(last[skip]))
		skip++;
	add_repaired(last + skip, CAPTURE_TAIL - skip, false, ret);
}

void capture_shorten(const struct capture *c, const struct buf *text, bool with_tail,
		     struct buf *ret)
{
	size_t head = CAPTURE_TAIL, rest = text->len - CAPTURE_TAIL;

	if (text->len <= 2 * (size_t)CAPTURE_TAIL) {
		buf_add(ret, text->data, text->len);
		return;
	}
	while (is_rest_of_character(text->data[head]))
		head--;
	while (is_rest_of_character(text->data[rest]))
		rest++;
	with_tail |= !capture_is_cut(c);
	buf_add(ret, text->data, head);
	buf_printf(ret, "\n[output cut: the first%s %u of %llu bytes are shown]\n",
		   with_tail ? " and the last" : "", CAPTURE_TAIL, (unsigned long long)c->total);
	if (!capture_is_cut(c))
		buf_add(ret, text->data + rest, text->len - rest);
	else if (with_tail)
		add_tail(c, ret);
}

bool capture_is_blank(const struct capture *c)
{
	for (size_t i = 0; i < c->kept.len; i++) {
		if (!isspace(c->kept.data[i]))
			return false;
	}
	return true;
}
